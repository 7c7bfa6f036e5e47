"""What sharing the trunk saves: one network with three heads against three networks with the same
trunk and the same heads.

    python benchmarks/efficiency.py                  # about ten minutes on two CPU cores
    python benchmarks/efficiency.py --quality_only   # seconds: scores out of results/studies.csv
    python benchmarks/efficiency.py --device cuda --sizes 64x64,128x416,384x1248 --batches 1,16 \
        --repeats 30 --modes eager,compiled

Parameters by part, size on disk, floating-point operations, latency of one pass against three
(alternating), time and memory of a training step. Writes results/efficiency.csv: one tidy row per
number (value: a count, or the median; low, high: the quartiles). Rows of another network or device
stay.
"""

import itertools
import multiprocessing
import os
import statistics
import tempfile
import time

import pandas as pd
import torch
from fastcore.script import Param, call_parse, store_true
from lightning_fabric.utilities import move_data_to_device
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm
from mtl_course.training.random_batch import random_batch
from mtl_course.config import TASKS, make_config
from mtl_course.core.errors import UserError
from mtl_course.core import process
from mtl_course.core.files import atomic_write, resolve
from mtl_course.core.statistics import mean_and_interval
from mtl_course.studies.scores import headline_scores
from mtl_course.models import MultiTaskModel
from mtl_course.studies.sharing import sharing_effect, sharing_rows
from mtl_course.studies.plans import study_command

KEY = ["device", "backbone", "detection_neck", "what", "model", "part", "size", "batch", "precision", "mode", "metric"]


def networks(backbone: str, neck: str, names: tuple = ("shared", *TASKS)) -> dict:  # name -> network
    "The shared network and the three single ones."

    def make(tasks):
        return MultiTaskModel(backbone, tasks=tasks, detection_neck=neck, lane_skips=neck == "fpn").eval()

    return {n: make(TASKS if n == "shared" else (n,)) for n in names}


def sizes_on_disk(models: dict) -> list[dict]:
    "Parameters by part, and bytes of saved weights: float32, float16, and with Adam's two moments."
    rows = []
    for name, model in models.items():
        parts = {"trunk": model.backbone} | dict(model.heads.items())
        for part, module in parts.items():
            count = sum(p.numel() for p in module.parameters())
            rows.append(dict(what="parameters", model=name, part=part, metric="count", value=count))
        optimizer = torch.optim.Adam(model.parameters())
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
        for part, content in (
            ("weights float32", model.state_dict()),
            ("weights float16", half),
            ("weights and Adam", dict(model=model.state_dict(), optimizer=optimizer.state_dict())),
        ):
            with tempfile.TemporaryDirectory() as folder:
                torch.save(content, f"{folder}/w.pt")
                size = os.path.getsize(f"{folder}/w.pt")
            rows.append(dict(what="disk", model=name, part=part, metric="bytes", value=size))
        model.zero_grad(set_to_none=True)
    return rows


def passes(models: dict, images) -> dict:  # name -> function
    "One pass for three heads, and a pass through each of the three single networks."
    return {
        "one pass": lambda: models["shared"](images),
        "three passes": lambda: [models[t](images, task=t) for t in TASKS],
    }


def operations(models: dict, size: tuple, device: str) -> list[dict]:
    """Floating-point operations of both ways on one image (convolutions and matrix products; RoI
    align and NMS are not counted).
    """
    rows = []
    for name, run in passes(models, torch.randn(1, 3, *size, device=device)).items():
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            run()
        rows.append(
            dict(
                what="operations",
                model=name,
                size=f"{size[0]}x{size[1]}",
                batch=1,
                metric="flop",
                value=counter.get_total_flops(),
            )
        )
    return rows


def timed(run, device: str) -> float:
    "Seconds of one call."
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def spread(values: list[float]) -> dict:  # median and quartiles
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return dict(value=statistics.median(values), low=low, high=high)


def latencies(
    models: dict, size: tuple, batch: int, precision: str, mode: str, repeats: int, device: str
) -> list[dict]:
    "Alternating passes; the ratio is taken between neighbours."
    images = torch.randn(batch, 3, *size, device=device).contiguous(memory_format=torch.channels_last)
    used = {n: torch.compile(m, dynamic=False) for n, m in models.items()} if mode == "compiled" else models
    times = {"one pass": [], "three passes": []}
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        for k in range(repeats + 2):
            for name, run in passes(used, images).items():
                times[name].append(timed(run, device))
    times = {n: t[2:] for n, t in times.items()}  # the first two warm up
    about = dict(what="latency", size=f"{size[0]}x{size[1]}", batch=batch, precision=precision, mode=mode)
    rows = [about | dict(model=n, metric="seconds") | spread(t) for n, t in times.items()]
    return rows + [
        about
        | dict(model="ratio", metric="ratio three passes / one pass")
        | spread([b / a for a, b in zip(*times.values())])
    ]


def made_up(size: tuple, batch: int, device: str) -> dict:  # task -> (images, labels)
    """Noise and made-up labels of one size for all tasks: the cost of a step does not depend on
    what is in the picture, but for the boxes' number.
    """
    config = make_config(
        "laptop", batch_size=batch, **{f"{t}_size": size for t in TASKS}, **{f"{t}_batch_size": 0 for t in TASKS}
    )
    data = move_data_to_device(random_batch(config), device)
    return {t: (data["images"][t], data[t]) for t in TASKS}


def training_step(models: dict, shared: bool, data: dict) -> None:
    """Forward and backward of all tasks, one task's graph at a time; through one trunk, or through
    three.
    """
    for task, (images, targets) in data.items():
        model = models["shared" if shared else task]
        model.compute_losses({task: model(images, task=task)}, {task: targets})[task].backward()


def step_costs(backbone: str, neck: str, size: tuple, batch: int, repeats: int, device: str) -> list[dict]:
    """Seconds of a training step (zeroing, forward, backward, Adam), shared and three single
    networks, alternating; on a GPU its peak memory.
    """
    models = {n: m.train().to(device) for n, m in networks(backbone, neck).items()}
    data = made_up(size, batch, device)
    optimizers = {
        True: torch.optim.Adam(models["shared"].parameters()),
        False: torch.optim.Adam(all_parameters(models[t] for t in TASKS)),
    }

    def step(shared):
        optimizers[shared].zero_grad()
        training_step(models, shared, data)
        optimizers[shared].step()

    times = {True: [], False: []}
    for _ in range(repeats + 1):
        for shared in times:
            times[shared].append(timed(lambda: step(shared), device))
    about, names = (
        dict(what="training step", size=f"{size[0]}x{size[1]}", batch=batch, precision="float32", mode="eager"),
        {True: "shared", False: "three single"},
    )
    rows = [about | dict(model=names[s], metric="seconds") | spread(t[1:]) for s, t in times.items()]
    return rows + [
        about
        | dict(model="ratio", metric="ratio three single / shared")
        | spread([b / a for a, b in zip(times[True][1:], times[False][1:])])
    ]


def peak_memory(backbone: str, neck: str, size: tuple, batch: int, device: str, shared: bool) -> int:  # bytes
    """Peak memory of one training step in a process of its own: of the GPU, or of the whole process
    (the interpreter and PyTorch included).
    """
    models = {n: m.train().to(device) for n, m in networks(backbone, neck, ("shared",) if shared else TASKS).items()}
    data = made_up(size, batch, device)
    optimizer = torch.optim.Adam(all_parameters(models.values()))
    for _ in range(2):
        training_step(models, shared, data)
        optimizer.step()
    return process.peak_memory(device)


def memories(*about) -> list[dict]:
    backbone, neck, size, batch, device = about
    rows = []
    for shared in (True, False):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak = pool.apply(peak_memory, (*about, shared))
        rows.append(
            dict(
                what="training memory",
                model="shared" if shared else "three single",
                size=f"{size[0]}x{size[1]}",
                batch=batch,
                precision="float32",
                mode="eager",
                metric="bytes",
                value=peak,
            )
        )
    return rows


def quality() -> list[dict]:
    """Test scores of the study's network, each task alone and all in one, with 95 % intervals over
    seeds, and Δm in percent: same budget, same data.
    """
    rows, config = sharing_rows(resolve("results")), make_config("study")
    if rows is None:
        raise UserError(
            f"results/studies.csv lacks the runs alone and equal; `{study_command(runs=['alone', 'equal'])}` makes them"
        )
    scores, change = headline_scores(rows, "test"), sharing_effect(rows).loc["all"]
    about = dict(
        device="any",
        backbone=config.backbone_name,
        detection_neck=f"{config.detection_neck}, {config.neck_channels} channels",
        what="quality",
    )
    records = []
    for (run, model), task in itertools.product((("equal", "shared"), ("alone", "three single")), TASKS):
        value, low, high = mean_and_interval(scores.loc[run][task])
        metric = TASKS[task].primary_metric
        records.append(about | dict(model=model, part=task, metric=metric, value=value, low=low, high=high))
    value, low, high = 100 * change[["change", "low", "high"]]
    gain = dict(model="shared", part="all", metric="delta_m percent", value=value, low=low, high=high)
    return [*records, about | gain]


def all_parameters(models) -> list:  # networks
    "The parameters of several networks, one after another."
    return list(itertools.chain.from_iterable(model.parameters() for model in models))


def _pairs(text: str) -> list[tuple]:
    return [tuple(map(int, s.split("x"))) for s in text.split(",")]


@call_parse
def main(
    backbone: Param("trunk", str) = "resnet50",
    neck: Param("detection neck; c5 with a lane head without skips is the specification's network", str) = "fpn",
    sizes: Param("height x width, comma-separated", str) = "64x64,128x416,384x1248",
    batches: Param("batch sizes for latencies", str) = "1,16",
    precisions: Param("float32, bf16", str) = "float32,bf16",
    modes: Param("eager, compiled", str) = "eager",
    repeats: Param("counted pairs", int) = 7,
    step_batches: Param("batch sizes of training steps", str) = "1,2,4,8",
    step_size: Param("height x width of a training step's images", str) = "128x416",
    largest: Param("a latency of more than so many megapixels per batch is left out", float) = 2.0,
    device: Param("cpu or cuda", str) = "cpu",
    quality_only: Param("nothing but the rows of quality, from results/studies.csv", store_true) = False,
):
    "Measures what one shared network saves against three."
    path = resolve("results/efficiency.csv")
    if quality_only:
        table = pd.DataFrame(quality()).reindex(columns=[*KEY, "value", "low", "high"])
        if path.exists():
            table = pd.concat([table, (old := pd.read_csv(path))[old.what != "quality"]])
        with atomic_write(path) as t:
            table.to_csv(t, index=False)
        return print(table[table.what == "quality"].to_string(index=False))
    models = {n: m.to(device) for n, m in networks(backbone, neck).items()}
    rows = sizes_on_disk(models)
    for size in _pairs(sizes):
        rows += operations(models, size, device)
    models = {n: m.to(memory_format=torch.channels_last) for n, m in models.items()}
    counts = map(int, batches.split(","))
    jobs = itertools.product(_pairs(sizes), counts, precisions.split(","), modes.split(","))
    jobs = [(size, count, *job) for size, count, *job in jobs if count * size[0] * size[1] <= largest * 1e6]
    for job in tqdm(jobs, desc="latencies"):
        rows += latencies(models, *job, repeats, device)
    del models
    for batch in tqdm([*map(int, step_batches.split(","))], desc="training steps"):
        rows += step_costs(backbone, neck, _pairs(step_size)[0], batch, max(3, repeats // 2), device) + memories(
            backbone, neck, _pairs(step_size)[0], batch, device
        )
    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    table = pd.DataFrame([dict(device=name, backbone=backbone, detection_neck=neck) | r for r in rows]).reindex(
        columns=[*KEY, "value", "low", "high"]
    )
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(KEY, keep="last")
    with atomic_write(path) as t:
        table.to_csv(t, index=False)
    print(table[table.what != "disk"].to_string(index=False))
