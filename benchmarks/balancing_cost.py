"""What a step costs by the way in which the tasks' gradients are made: summed loss, streamed tasks, TorchJD, stacked losses as in LibMTL.

    python benchmarks/balancing_cost.py
    python benchmarks/balancing_cost.py --size 96 --batch 8 --steps 8       # larger images and batches: activations and convolutions dominate

T tasks, each with images of its own, share a ResNet; every head is one linear layer. Timed is the forward and backward part of a step, up to the combined
gradient in `.grad`; the optimizer's step is the same for all. Each timed step stands between two summed-loss steps, and its ratio is to their mean, so that
a machine whose speed drifts does not favour anybody. Memory: on a GPU the allocator's peak, on a CPU the bytes of all tensors alive at once, counted by storage
(parameters and images, which all ways hold, are left out; so is what a kernel uses inside itself). Writes results/balancing_cost.csv, read by notebook 18.
"""

import contextlib, platform, subprocess, sys, time, weakref
import numpy as np, pandas as pd, torch
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

LABELS = {
    "summed": "summed loss",
    "fixed": "streamed, fixed weights",
    "streamed": "streamed, Gramian-based balancer",
    "separate": "one backward per loss, graphs kept",
    "stacked": "stacked losses, as in LibMTL",
    "torchjd": "TorchJD mtl_backward",
    "torchjd_saving": "TorchJD, set to save memory",
}
TORCHJD = dict(
    upgrad="UPGrad", mgda="MGDA", pcgrad="PCGrad", imtl_g="IMTLG", aligned_mtl="AlignedMTL"
)  # our name -> its aggregator


class LiveBytes(TorchDispatchMode):
    "Counts the bytes of all storages made inside it and still alive; `peak` is the most there ever were."

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
    "A shared trunk, T linear heads, and for each task a batch of its own."

    def __init__(self, tasks: int, backbone: str, size: int, batch: int, device: str, precision: str):
        seed_everything(0)
        self.names, self.device, self.precision = [f"task{i}" for i in range(tasks)], device, precision
        self.trunk = Backbone(backbone, tasks=tuple(self.names)).to(device).train()
        self.heads = nn.ModuleDict({t: nn.Linear(self.trunk.channels["c5"], 10) for t in self.names}).to(device)
        self.images = {t: torch.randn(batch, 3, size, size, device=device) for t in self.names}
        self.labels = {t: torch.randint(0, 10, (batch,), device=device) for t in self.names}
        self.shared = list(self.trunk.parameters())

    def features(self, task):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.trunk(self.images[task], task)["c5"]

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


def fixed(problem, name):
    streamed_backward(
        problem.shared, {t: lambda t=t: problem.loss(t) for t in problem.names}, make_balancer("fixed", problem.names)
    )


def streamed(problem, name):
    streamed_backward(
        problem.shared, {t: lambda t=t: problem.loss(t) for t in problem.names}, make_balancer(name, problem.names)
    )


def _loop(problem, losses, name):
    "One backward pass for each of the losses, whose gradients become the rows of a matrix; the graphs live until the last one."
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
    jac_to_grad(
        problem.shared,
        getattr(aggregation, TORCHJD[name])(),
        **(dict(optimize_gramian_computation=True) if saving else {}),
    )


def torchjd_saving(problem, name):
    torchjd(problem, name, chunk=1, saving=True)


WAYS = dict(
    summed=summed,
    fixed=fixed,
    streamed=streamed,
    separate=separate,
    stacked=stacked,
    torchjd=torchjd,
    torchjd_saving=torchjd_saving,
)


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
    "Yields a list that afterwards holds the peak of bytes above what was alive at the beginning, and what is still alive at the end."
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
    """What a way cannot beat: a stacked loss walks all T graphs T times; whoever keeps the graphs holds all activations, whoever streams holds one task's.

    A way that needs the tasks' gradients has those of the first T − 1 when the last backward pass begins.
    """
    problem.clear()
    with peak_memory(problem.device) as one:
        loss = problem.loss(problem.names[0])
    activations = one[1]  # what the graph of one loss keeps; temporaries are gone
    del loss
    gradient = sum(p.numel() * p.element_size() for p in problem.shared)
    many = 1 + (tasks - 1) * backward_share
    return dict(
        summed=(1, tasks * activations),
        fixed=(1, activations + gradient),
        streamed=(1, activations + (tasks - 1) * gradient),
        separate=(1, tasks * activations + (tasks - 1) * gradient),
        **dict.fromkeys(("stacked", "torchjd", "torchjd_saving"), (many, tasks * activations + (tasks - 1) * gradient)),
    )


def measure(problem, ways, name, steps) -> list[dict]:  # one row per way
    "Warms up, measures memory and gradients, then alternates: summed, a way, summed, the next way, …"
    peaks, gradients = {}, {}
    for way in ways:
        peaks[way], gradients[way] = memory(problem, way, name)  # this is the warm-up, too
    times, ratios, shares = {w: [] for w in ways}, {w: [] for w in ways}, []
    for _ in range(steps):
        before, backward = seconds(problem, "summed", name)
        for way in ways[1:]:
            own = seconds(problem, way, name)[0]
            after, inside = seconds(problem, "summed", name)
            times[way].append(own)
            ratios[way].append(own / ((before + after) / 2))
            times["summed"].append(after)
            ratios["summed"].append(after / ((before + after) / 2))
            shares.append(inside / after)
            before = after
    bound = limits(problem, len(problem.names), float(np.median(shares)))
    rows = []
    for way in ways:
        reference = gradients["summed" if way == "fixed" else "streamed"]
        q1, q3 = np.percentile(times[way], [25, 75])
        r1, r3 = np.percentile(ratios[way], [25, 75])
        rows.append(
            dict(
                tasks=len(problem.names),
                way=way,
                label=LABELS[way],
                seconds=np.median(times[way]),
                seconds_q1=q1,
                seconds_q3=q3,
                time_ratio=np.median(ratios[way]),
                time_ratio_q1=r1,
                time_ratio_q3=r3,
                time_limit=bound[way][0],
                peak_mb=peaks[way] / 1e6,
                memory_ratio=peaks[way] / peaks["summed"],
                memory_limit_mb=bound[way][1] / 1e6,
                difference=float("nan")
                if way == "summed"
                else ((gradients[way] - reference).norm() / reference.norm()).item(),
            )
        )
    return rows


def about(backbone, size, batch, steps, device, precision, balancer) -> dict:
    "What has to be known to repeat the run."
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=project_root(), capture_output=True, text=True
    ).stdout.strip()
    machine = (
        torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )
    return dict(
        backbone=backbone,
        size=size,
        batch=batch,
        steps=steps,
        device=device,
        precision=precision,
        balancer=balancer,
        machine=machine,
        torch=torch.__version__,
        commit=commit,
        command=" ".join(["python benchmarks/balancing_cost.py", *sys.argv[1:]]),
    )


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
    device, chosen = choose_device(device), [w for w in WAYS if w in {*ways.split(","), "summed", "streamed"}]
    rows, began = [], time.perf_counter()
    for number in map(int, tasks.split(",")):
        rows += measure(Problem(number, backbone, size, batch, device, precision), chosen, balancer, steps)
        print(f"{number} tasks, {time.perf_counter() - began:.0f} s", flush=True)
        print(
            pd.DataFrame(rows[-len(chosen) :])[
                [
                    "way",
                    "seconds",
                    "time_ratio",
                    "time_limit",
                    "peak_mb",
                    "memory_ratio",
                    "memory_limit_mb",
                    "difference",
                ]
            ].to_string(index=False, float_format="%.3g"),
            flush=True,
        )
        table = pd.DataFrame(rows).assign(**about(backbone, size, batch, steps, device, precision, balancer))
        with atomic_write(resolve(out)) as t:
            table.to_csv(t, index=False)
