"""What a step costs by the way in which the tasks' gradients are made.

Summed loss, streamed tasks, TorchJD, stacked losses as in LibMTL.

    python benchmarks/balancing_cost.py
    python benchmarks/balancing_cost.py --size 96 --batch 8 --steps 8   # convolutions dominate

T tasks, each with images of its own, share a ResNet; every head is one linear layer. Timed is the
forward and backward pass of a step, up to the combined gradient in `.grad`; the optimizer's step is
the same for all. Each timed step stands between two summed-loss steps, and its ratio is to their
mean, so that a machine whose speed drifts does not favour anybody. Memory: on a GPU the allocator's
peak, on a CPU the bytes of all tensors alive at once, counted by storage (parameters and images,
which all ways hold, are left out; so is what a kernel uses inside itself). Writes
results/balancing_cost.csv, read by lesson 18, and a figure beside it.
"""

import contextlib
import platform
import subprocess
import sys
import time
import weakref
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from fastcore.script import Param, call_parse
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from mtl_course.core.files import atomic_write, project_root, resolve
from mtl_course.core.device import choose_device
from mtl_course.core.seeds import seed_everything
from mtl_course.losses import make_balancer, streamed_backward
from mtl_course.models.backbone import Backbone
from mtl_course.plots.balancing import cost_figure

LABELS = {
    "summed": "summed loss",
    "fixed": "streamed, fixed weights",
    "streamed": "streamed, Gramian-based balancer",
    "separate": "one backward per loss, graphs kept",
    "stacked": "stacked losses, as in LibMTL",
    "torchjd": "TorchJD mtl_backward",
    "torchjd_saving": "TorchJD, set to save memory",
}
TORCHJD = {  # our name -> its aggregator
    "upgrad": "UPGrad",
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "imtl_g": "IMTLG",
    "aligned": "AlignedMTL",
}


SHOWN = [  # columns that are printed
    "way",
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


class Problem:
    "A shared backbone, T linear heads, and for each task a batch of its own."

    def __init__(self, tasks: int, backbone: str, size: int, batch: int, device: str, precision: str):
        seed_everything(0)
        self.names = [f"task{i}" for i in range(tasks)]
        self.device = device
        self.precision = precision
        self.backbone = Backbone(backbone, tasks=tuple(self.names)).to(device).train()
        self.heads = nn.ModuleDict({t: nn.Linear(self.backbone.channels["c5"], 10) for t in self.names}).to(device)
        self.images = {t: torch.randn(batch, 3, size, size, device=device) for t in self.names}
        self.labels = {t: torch.randint(0, 10, (batch,), device=device) for t in self.names}
        self.shared = list(self.backbone.parameters())

    def features(self, task):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.backbone(self.images[task], task)["c5"]

    def loss(self, task, features=None):
        features = self.features(task) if features is None else features
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.heads[task](features.mean((2, 3)))
        return F.cross_entropy(logits.float(), self.labels[task])

    def clear(self):
        for p in (*self.shared, *self.heads.parameters()):
            p.grad = None
        for p in self.shared:
            p.__dict__.pop("jac", None)

    def gradient(self):
        return torch.cat([p.grad.detach().reshape(-1) for p in self.shared]).double().cpu()


# Each way takes a problem and the name of a balancer and leaves the gradients in `.grad`.


def summed(problem, name):
    "All forward passes, one backward pass of the sum; returns the seconds of the backward pass."
    loss = sum(problem.loss(t) for t in problem.names)
    wait(problem.device)
    began = time.perf_counter()
    loss.backward()
    wait(problem.device)
    return time.perf_counter() - began


def streamed(problem, name):
    closures = {task: partial(problem.loss, task) for task in problem.names}
    streamed_backward(problem.shared, closures, make_balancer(name, problem.names))


def fixed(problem, name):
    streamed(problem, "fixed")


def _loop(problem, losses, name):
    "One backward pass for each loss, its gradient a row of a matrix; graphs live until the last."
    rows = torch.zeros(len(losses), sum(p.numel() for p in problem.shared), device=problem.device)
    for i in range(len(losses)):
        losses[i].backward(retain_graph=i + 1 < len(losses))
        rows[i] = torch.cat([p.grad.reshape(-1) for p in problem.shared])
        for p in problem.shared:
            p.grad = None
    weights = make_balancer(name, problem.names).weights((rows @ rows.T).double(), dict.fromkeys(problem.names, 1.0))
    combined = weights.to(rows) @ rows
    for p, g in zip(problem.shared, combined.split([p.numel() for p in problem.shared])):
        p.grad = g.view_as(p).clone()


def separate(problem, name):
    _loop(problem, [problem.loss(t) for t in problem.names], name)  # a list: each loss has a graph of its own


def stacked(problem, name):
    losses = torch.zeros(len(problem.names), device=problem.device)
    for i, t in enumerate(problem.names):
        losses[i] = problem.loss(t)  # one tensor: every element's graph is that of all
    _loop(problem, losses, name)


def torchjd(problem, name, chunk=None, saving=False):
    import torchjd.aggregation as aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    features = {t: problem.features(t) for t in problem.names}
    mtl_backward(
        [problem.loss(t, features[t]) for t in problem.names],
        list(features.values()),
        shared_params=problem.shared,
        parallel_chunk_size=chunk,
        tasks_params=[problem.heads[t].parameters() for t in problem.names],
    )
    options = {"optimize_gramian_computation": True} if saving else {}
    jac_to_grad(problem.shared, getattr(aggregation, TORCHJD[name])(), **options)


def torchjd_saving(problem, name):
    torchjd(problem, name, chunk=1, saving=True)


WAYS = {
    "summed": summed,
    "fixed": fixed,
    "streamed": streamed,
    "separate": separate,
    "stacked": stacked,
    "torchjd": torchjd,
    "torchjd_saving": torchjd_saving,
}


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


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

    A stacked loss walks all T graphs T times; whoever keeps the graphs holds all activations,
    whoever streams holds one task's. A way that needs the tasks' gradients has those of the first
    T − 1 when the last backward pass begins.
    """
    problem.clear()
    with peak_memory(problem.device) as one:
        loss = problem.loss(problem.names[0])
    activations = one[1]  # what the graph of one loss keeps; temporaries are gone
    del loss
    gradient = sum(p.numel() * p.element_size() for p in problem.shared)
    all_graphs = tasks * activations + (tasks - 1) * gradient
    walked_often = (1 + (tasks - 1) * backward_share, all_graphs)
    return {
        "summed": (1, tasks * activations),
        "fixed": (1, activations + gradient),
        "streamed": (1, activations + (tasks - 1) * gradient),
        "separate": (1, all_graphs),
        "stacked": walked_often,
        "torchjd": walked_often,
        "torchjd_saving": walked_often,
    }


def measure(problem, ways, name, steps) -> list[dict]:  # one record per way
    "Warms up, measures memory and gradients, then alternates: summed, a way, summed, a way, …"
    peaks = {}
    gradients = {}
    for way in ways:
        peaks[way], gradients[way] = memory(problem, way, name)  # this is the warm-up, too
    times = {way: [] for way in ways}
    ratios = {way: [] for way in ways}
    shares = []
    for _ in range(steps):
        before, _ = seconds(problem, "summed", name)
        for way in ways[1:]:
            time_of_way, _ = seconds(problem, way, name)
            after, backward = seconds(problem, "summed", name)
            around = (before + after) / 2
            times[way].append(time_of_way)
            ratios[way].append(time_of_way / around)
            times["summed"].append(after)
            ratios["summed"].append(after / around)
            shares.append(backward / after)
            before = after
    bounds = limits(problem, len(problem.names), float(np.median(shares)))
    records = []
    for way in ways:
        time_limit, memory_limit = bounds[way]
        record = {"tasks": len(problem.names), "way": way, "label": LABELS[way]}
        record |= _quartiles("seconds", times[way]) | _quartiles("time_ratio", ratios[way])
        record |= {"time_limit": time_limit, "peak_mb": peaks[way] / 1e6}
        record |= {"memory_ratio": peaks[way] / peaks["summed"], "memory_limit_mb": memory_limit / 1e6}
        record["difference"] = _difference(gradients, way)
        records.append(record)
    return records


def _quartiles(column, values) -> dict:
    first, third = np.percentile(values, [25, 75])
    return {column: np.median(values), f"{column}_q1": first, f"{column}_q3": third}


def _difference(gradients, way) -> float:
    "Relative to a reference: of fixed weights the summed loss, else the Gramian-based step."
    if way == "summed":
        return float("nan")
    reference = gradients["summed" if way == "fixed" else "streamed"]
    return ((gradients[way] - reference).norm() / reference.norm()).item()


def about(backbone, size, batch, steps, device, precision, balancer) -> dict:
    "What has to be known to repeat the run."
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=project_root(), capture_output=True, text=True).stdout.strip()
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads"
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
    backbone: Param("resnet18, resnet34 or resnet50", str) = "resnet50",
    size: Param("height and width of the images", int) = 64,
    batch: Param("images per task", int) = 4,
    steps: Param("timed steps of each way", int) = 3,
    tasks: Param("numbers of tasks", str) = "2,3,5,8",
    ways: Param(f"some of {','.join(WAYS)}; summed and streamed always run", str) = ",".join(WAYS),
    balancer: Param("one of " + ", ".join(TORCHJD), str) = "upgrad",
    device: Param("auto, cpu or cuda", str) = "auto",
    precision: Param("float32 or bf16", str) = "float32",
    out: Param("csv file", str) = "results/balancing_cost.csv",
):
    "Times the ways to get all tasks' gradients, and counts their memory."
    device = choose_device(device)
    asked = {*ways.split(","), "summed", "streamed"}
    chosen = [way for way in WAYS if way in asked]
    records = []
    began = time.perf_counter()
    for number in map(int, tasks.split(",")):
        latest = measure(Problem(number, backbone, size, batch, device, precision), chosen, balancer, steps)
        records += latest
        print(f"{number} tasks, {time.perf_counter() - began:.0f} s", flush=True)
        print(pd.DataFrame(latest)[SHOWN].to_string(index=False, float_format="%.3g"), flush=True)
        table = pd.DataFrame(records).assign(**about(backbone, size, batch, steps, device, precision, balancer))
        with atomic_write(resolve(out)) as file:
            table.to_csv(file, index=False)
    with atomic_write(resolve(out).with_suffix(".png")) as file:
        cost_figure(table).savefig(file, dpi=150)
