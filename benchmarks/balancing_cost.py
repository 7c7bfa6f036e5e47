"""What a step costs by the way in which the tasks' gradients are made.

    python benchmarks/balancing_cost.py
    python benchmarks/balancing_cost.py --size 96 --batch 8 --out results/balancing_cost_96.csv

T tasks share a ResNet; every head is one linear layer. Either each task has images of its own, or
every image carries all labels. Timed is the forward and backward pass of a step, up to the combined
gradient in `.grad`; the optimizer's step is the same for all. Each timed step stands between two
summed-loss steps, and its ratio is to their mean, so that a machine whose speed drifts does not
favour anybody. Memory: on a GPU the allocator's peak, on a CPU the bytes of all tensors alive at
once, counted by storage (parameters and images, which all ways hold, are left out; so is what a
kernel uses inside itself). Before anything is timed, all ways that promise exact gradients must
give the same Gramian. Writes results/balancing_cost.csv, read by lesson 18, and a figure beside it.

TorchJD's autogram engine runs with `batch_dim=None`: a batch dimension would save memory, but needs
images that do not see each other, and BatchNorm makes them (with `batch_dim=0` the engine refuses
PyTorch's layer and fails inside `F.batch_norm` of this course's).
"""

import contextlib
import copy
import os
import platform
import subprocess
import sys
import time
import weakref

import numpy as np
import pandas as pd
import torch
from balancing_ways import TORCHJD, WAYS, Problem, wait
from fastcore.script import Param, call_parse
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from mtl_course.core.files import atomic_write, project_root, resolve
from mtl_course.core.device import choose_device
from mtl_course.core.errors import UserError
from mtl_course.plots.balancing import cost_figure

LABELS = {
    "summed": "summed loss",
    "separate": "one backward pass per loss",
    "streamed": "streamed, Gramian-based balancer",
    "fixed": "streamed, fixed weights",
    "shared_input": "gradients at the features",
    "autogram": "TorchJD autogram",
    "torchjd": "TorchJD mtl_backward",
    "torchjd_saving": "TorchJD, set to save memory",
    "stacked": "stacked losses, as in LibMTL",
}
FOR_IMAGES = {  # whose images -> the ways that are measured
    "own": ("summed", "separate", "streamed", "fixed", "autogram", "torchjd", "torchjd_saving", "stacked"),
    "shared": ("summed", "separate", "shared_input", "autogram", "torchjd", "torchjd_saving"),
}
ALWAYS = ("summed", "separate", "streamed")  # the base, its nearest rival, the course's own way
EXACT = ("separate", "streamed", "autogram", "torchjd", "torchjd_saving", "stacked")  # promise the tasks' Gramian
TOLERANCE = 1e-8  # of Gramians in float64, relative


SHOWN = [  # columns that are printed
    "threads",
    "way",
    "timed",
    "seconds",
    "time_ratio",
    "time_limit",
    "peak_mb",
    "memory_ratio",
    "memory_limit_mb",
    "difference",
]


class LiveBytes(TorchDispatchMode):
    "Counts the bytes of all storages made inside it that are alive; `peak` is the most there were."

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.alive = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {id(a.untyped_storage()) for a in tree_leaves((args, kwargs)) if isinstance(a, torch.Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in given:
                self._add(tensor.untyped_storage())
        return out

    def _add(self, storage):
        key, size = id(storage), storage.nbytes()
        if key in self.alive:
            return  # another view of a storage that is counted already

        def gone(_):
            self.now -= size
            del self.alive[key]

        self.alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def seconds(problem, way, name) -> tuple:  # of the step, and what the way itself returned
    problem.clear()
    wait(problem.device)
    began = time.perf_counter()
    inside = WAYS[way](problem, name)
    wait(problem.device)
    return time.perf_counter() - began, inside


@contextlib.contextmanager
def peak_memory(device):
    """Yields a list that afterwards holds two numbers of bytes above the beginning's.

    The peak, and what is still alive at the end.
    """
    peak = []
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        torch.cuda.synchronize()
        peak += [torch.cuda.max_memory_allocated() - before, torch.cuda.memory_allocated() - before]
    else:
        with LiveBytes() as live:
            yield peak
        peak += [live.peak, live.now]


def memory(problem, way, name) -> tuple:  # peak bytes of a step, its gradient
    problem.clear()
    with peak_memory(problem.device) as peak:
        WAYS[way](problem, name)
    return peak[0], problem.gradient()


def limits(problem, tasks, backward_share) -> dict:  # way -> (time ratio, bytes)
    """What a way cannot beat.

    A stacked loss walks all T graphs T times, autogram once more; whoever runs all tasks forward
    first holds all activations, whoever streams holds one task's. A way that needs the tasks'
    gradients has those of the first T − 1 when the last backward pass begins, autogram has none.
    """
    problem.clear()
    with peak_memory(problem.device) as one:
        loss = problem.loss(problem.names[0])
    activations = one[1]  # what the graph of one loss keeps; temporaries are gone
    del loss
    gradient = sum(p.numel() * p.element_size() for p in problem.shared)
    other_gradients = (tasks - 1) * gradient
    all_graphs = activations if problem.shares_images else tasks * activations
    walked_often = (1 + (tasks - 1) * backward_share, all_graphs + other_gradients)
    graphs_freed = (1, max(all_graphs, activations + other_gradients))
    return {
        "summed": (1, all_graphs),
        "separate": walked_often if problem.shares_images else graphs_freed,
        "streamed": (1, activations + other_gradients),
        "fixed": (1, activations + gradient),
        "shared_input": (1, activations),
        "autogram": (1 + tasks * backward_share, all_graphs),
        "torchjd": walked_often,
        "torchjd_saving": walked_often,
        "stacked": walked_often,
    }


def gramian_differences(images: str, balancer: str, backbone: str = "resnet10") -> dict[str, float]:
    """How far each exact way's Gramian is from that of plain gradients, relative, in float64.

    In float32 BatchNorm over a few values alone moves it by up to a per cent. Of gradients at the
    features the combined gradient is compared, for the weights that were used. Raises `UserError`
    beyond `TOLERANCE`.
    """
    plain = Problem(3, backbone, 32, 2, "cpu", "float64", images)
    rows = []
    for loss in plain.losses():
        grads = torch.autograd.grad(loss, plain.shared, retain_graph=True)
        rows.append(torch.cat([g.reshape(-1) for g in grads]))
    jacobian = torch.stack(rows)
    differences = {}
    for way in FOR_IMAGES[images]:
        problem = Problem(3, backbone, 32, 2, "cpu", "float64", images)
        WAYS[way](problem, balancer)
        if way in EXACT:
            differences[way] = _relative(problem.gramian, jacobian @ jacobian.T)
        elif way == "shared_input":
            differences[way] = _relative(problem.gradient(), jacobian.new_tensor(problem.weights) @ jacobian)
    for way, difference in differences.items():
        if not difference <= TOLERANCE:
            raise UserError(
                f"{LABELS[way]}: {difference:.1e} away from what plain gradients give: expected at most "
                f"{TOLERANCE:g}; its times would be those of something else"
            )
    return differences


def _relative(value, reference) -> float:
    return ((value - reference).norm() / reference.norm()).item()


class Alternation:
    """Times steps in turn: summed, a way, summed, a way, …

    A way that has taken `budget` seconds gets no further step, unless it always runs.
    """

    def __init__(self, problems: dict[str, Problem], name: str, steps: int, budget: float):
        self.times = {way: [] for way in problems}
        self.ratios = {way: [] for way in problems}
        self.shares = []  # of the backward pass in a summed step
        seconds(problems["summed"], "summed", name)  # warms up: the number of threads may be new
        for _ in range(steps):
            before, _ = seconds(problems["summed"], "summed", name)
            for way, problem in problems.items():
                over_budget = way not in ALWAYS and sum(self.times[way]) > budget
                if way == "summed" or over_budget:
                    continue
                time_of_way, _ = seconds(problem, way, name)
                after, backward = seconds(problems["summed"], "summed", name)
                around = (before + after) / 2
                self._add(way, time_of_way, around)
                self._add("summed", after, around)
                self.shares.append(backward / after)
                before = after

    def _add(self, way, time_of_way, around):
        self.times[way].append(time_of_way)
        self.ratios[way].append(time_of_way / around)


def measure(problem, ways, name, steps, budget, threads) -> list[dict]:  # one record per way and number of threads
    "Measures memory and gradients, which warms up, then times the ways in turn."
    problems = dict.fromkeys(ways, problem)
    if "autogram" in ways:
        problems["autogram"] = copy.deepcopy(problem)  # the engine's hooks would slow the others
    peaks = {}
    gradients = {}
    for way in ways:
        peaks[way], gradients[way] = memory(problems[way], way, name)
    differences = {way: _difference(gradients, way) for way in ways}
    records = []
    for number in threads:
        torch.set_num_threads(number)
        timed = Alternation(problems, name, steps, budget)
        bounds = limits(problem, len(problem.names), float(np.median(timed.shares)))
        for way in ways:
            time_limit, memory_limit = bounds[way]
            record = {"tasks": len(problem.names), "threads": number, "way": way, "label": LABELS[way]}
            record |= {"timed": len(timed.times[way])}
            record |= _quartiles("seconds", timed.times[way]) | _quartiles("time_ratio", timed.ratios[way])
            record |= {"time_limit": time_limit, "peak_mb": peaks[way] / 1e6}
            record |= {"memory_ratio": peaks[way] / peaks["summed"], "memory_limit_mb": memory_limit / 1e6}
            records.append(record | {"difference": differences[way]})
    return records


def _quartiles(column, values) -> dict:
    first, third = np.percentile(values, [25, 75])
    return {column: np.median(values), f"{column}_q1": first, f"{column}_q3": third}


def _difference(gradients, way) -> float:
    "Relative to a reference: of fixed weights the summed loss, else one backward pass per loss."
    if way == "summed":
        return float("nan")
    return _relative(gradients[way], gradients["summed" if way == "fixed" else "separate"])


def about(backbone, size, batch, steps, device, precision, balancer) -> dict:
    "What has to be known to repeat the run."
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=project_root(), capture_output=True, text=True).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    if device == "cuda":
        machine = torch.cuda.get_device_name()
    return {
        "backbone": backbone,
        "size": size,
        "batch": batch,
        "steps": steps,
        "device": device,
        "precision": precision,
        "balancer": balancer,
        "machine": machine,
        "torch": torch.__version__,
        "commit": commit,
        "command": " ".join(["python benchmarks/balancing_cost.py", *sys.argv[1:]]),
    }


@call_parse
def main(
    backbone: Param("resnet10, resnet18, resnet34 or resnet50", str) = "resnet18",
    size: Param("height and width of the images", int) = 64,
    batch: Param("images per task, or for all tasks", int) = 4,
    steps: Param("timed steps of each way", int) = 3,
    budget: Param(f"seconds after which a way gets no further step; not {', '.join(ALWAYS)}", float) = 3,
    tasks: Param("numbers of tasks", str) = "2,4,8",
    threads: Param("numbers of threads", str) = "1,2",
    images: Param("own: of each task; shared: every image carries all labels", str) = "own,shared",
    ways: Param(f"some of {','.join(WAYS)}; {' and '.join(ALWAYS)} always run", str) = ",".join(WAYS),
    balancer: Param("one of " + ", ".join(TORCHJD), str) = "upgrad",
    device: Param("auto, cpu or cuda", str) = "auto",
    precision: Param("float32 or bf16", str) = "float32",
    out: Param("csv file", str) = "results/balancing_cost.csv",
):
    "Times the ways to get all tasks' gradients, and counts their memory."
    device = choose_device(device)
    facts = about(backbone, size, batch, steps, device, precision, balancer)
    records = []
    began = time.perf_counter()
    for owner in images.split(","):
        exact = gramian_differences(owner, balancer)
        print(f"{owner} images, Gramians from plain gradients' (tolerance {TOLERANCE:g}), relative:")
        print(pd.Series(exact).to_string(float_format="%.1e"), flush=True)
        asked = {*ways.split(","), *ALWAYS}
        chosen = [way for way in WAYS if way in asked and way in FOR_IMAGES[owner]]
        for number in map(int, tasks.split(",")):
            problem = Problem(number, backbone, size, batch, device, precision, owner)
            latest = pd.DataFrame(measure(problem, chosen, balancer, steps, budget, list(map(int, threads.split(",")))))
            latest.insert(0, "images", owner)
            latest["gramian_difference"] = latest.way.map(exact)
            records.append(latest)
            print(f"{owner} images, {number} tasks, {time.perf_counter() - began:.0f} s", flush=True)
            print(latest[SHOWN].to_string(index=False, float_format="%.3g"), flush=True)
            table = pd.concat(records).assign(**facts)
            with atomic_write(resolve(out)) as file:
                table.to_csv(file, index=False)
    with atomic_write(resolve(out).with_suffix(".png")) as file:
        cost_figure(table).savefig(file, dpi=150)
