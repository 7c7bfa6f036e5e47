"""Loaders, waiting for data, and a training step on three paths, in turn.

float32: numbers of 32 bits, channels first. tuned: bf16 where the processor has it, channels
last. library: the tuned path with the convolutions and RoIAlign of torch and torchvision. compiled
(asked for, and and a minute and a half longer): the tuned path with backbone and lane head through
`torch.compile`.

The floor is the time that the multiplications of a step would take at the speed of one large
product of matrices, and nothing else any.

    python benchmarks/training_speed.py --steps 10
    python benchmarks/training_speed.py --steps 10 --compiled

Writes results/training_speed.csv.
"""

import resource
import statistics
import time
from collections.abc import Callable

import pandas as pd
import torch
from fastcore.script import Param, call_parse, store_true
from lightning_fabric import Fabric
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import MultiScaleRoIAlign

from recipes import EVERY_STEP

from mtl_course.config import TASKS, make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.core.device import choose_precision
from mtl_course.core.seeds import seed_everything
from mtl_course.data.loaders import create_dataloaders
from mtl_course.data.sources import make_reader, prepare_data
from mtl_course.models.roi_pooling import RoIPool
from mtl_course.training.log import with_waiting_time
from mtl_course.training.state import create_train_state
from mtl_course.training.steps import compute_gradients

UNCOUNTED = 2  # first steps


def loader_rates(config) -> list[dict]:
    "Images per second that each reader decodes, and that the training loader delivers from memory."
    rows = []
    for task in TASKS:
        reader = make_reader(config, task, "train")
        n = min(len(reader), 200)
        began = time.perf_counter()
        for i in range(n):
            reader[i]
        rows.append(dict(what=f"decode {task}", unit="images/s", value=n / (time.perf_counter() - began)))
    loader = create_dataloaders(config, processes=1)[0]
    began, images = time.perf_counter(), 0
    for k, (batch, _) in enumerate(with_waiting_time(loader)):
        images += sum(len(x) for x in batch["images"].values())
        if k == 20:
            break
    return rows + [
        dict(
            what="augment and collate, images in memory", unit="images/s", value=images / (time.perf_counter() - began)
        )
    ]


def use_library_layers(model: nn.Module):
    "Takes back what the course computes in a faster way of its own."
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
        if isinstance(module, RoIPool):
            module.__class__ = MultiScaleRoIAlign


def compile_layers(model: nn.Module):
    "Lets inductor fuse what lies between the convolutions."
    for module in (model.backbone, model.heads["lane"]):
        module.forward = torch.compile(module.forward, dynamic=False)


def make_step(loader, precision: str, channels_last: bool, change: Callable | None = None) -> Callable:
    "A function that takes a step with a batch; `change` does something to the network first."
    config = make_config("laptop", **EVERY_STEP, precision=precision, channels_last=channels_last)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    seed_everything(0)
    state = create_train_state(fabric, config, loader)
    state.model.train()
    if change:
        change(state.model)

    def step(batch):
        compute_gradients(fabric, state.model, batch)
        fabric.clip_gradients(state.model, state.optimizer, max_norm=5.0)
        state.optimizer.step()
        state.optimizer.zero_grad()

    return step


def make_paths(loader, compiled: bool) -> dict[str, Callable]:  # name -> a step
    best = choose_precision("auto")
    paths = {
        "float32": make_step(loader, "32-true", channels_last=False, change=use_library_layers),
        "library": make_step(loader, best, channels_last=True, change=use_library_layers),
        "tuned": make_step(loader, best, channels_last=True),
    }
    if compiled:
        paths["compiled"] = make_step(loader, best, channels_last=True, change=compile_layers)
    return paths


def floor_rows(step: Callable, batch: dict) -> list[dict]:
    "What a step multiplies, how fast this machine multiplies, and the quotient."
    with FlopCounterMode(display=False) as counter:
        step(batch)
    operations = counter.get_total_flops()
    matrix = torch.randn(2048, 2048, dtype=torch.bfloat16 if choose_precision("auto") != "32-true" else torch.float32)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    rate = 2 * len(matrix) ** 3 / statistics.median(seconds)
    return [
        dict(what="multiplications and additions of a step", unit="Gflop", value=operations / 1e9),
        dict(what="one product of 2048×2048 matrices", unit="Gflop/s", value=rate / 1e9),
        dict(what="floor of a step at that rate", unit="s", value=operations / rate),
    ]


def ratio_rows(seconds: dict[str, list[float]]) -> list[dict]:
    "How many times as long a step of the other paths takes: median and range of pairs."
    rows = []
    for name in [name for name in seconds if name != "tuned"]:
        ratios = [other / tuned for other, tuned in zip(seconds[name], seconds["tuned"])]
        row = dict(what=f"{name} step / tuned step, median of pairs", unit="ratio", value=statistics.median(ratios))
        rows.append(row)
        rows.append(dict(what=f"{name} step / tuned step, smallest pair", unit="ratio", value=min(ratios)))
        rows.append(dict(what=f"{name} step / tuned step, largest pair", unit="ratio", value=max(ratios)))
    return rows


@call_parse
def main(
    steps: Param("counted steps of each path", int) = 10,
    compiled: Param("also the tuned path through torch.compile", store_true) = False,
):
    "Measures the loaders and a training step."
    config = make_config("laptop", **EVERY_STEP)
    prepare_data(config)
    rows = loader_rates(config)
    loader = create_dataloaders(config)[0]
    paths = make_paths(loader, compiled)
    seconds = {name: [] for name in paths}
    waits = []
    for k, (batch, clock) in enumerate(with_waiting_time(loader)):
        if k == steps + UNCOUNTED:
            break
        for name, step in paths.items():
            began = time.perf_counter()
            step(batch)
            seconds[name].append(time.perf_counter() - began)
        waits.append(clock.waited)
    seconds = {name: values[UNCOUNTED:] for name, values in seconds.items()}
    wait = statistics.median(waits[UNCOUNTED:])
    tuned = statistics.median(seconds["tuned"])
    for name, values in seconds.items():
        rows.append(dict(what=f"training step, {name}", unit="s", value=statistics.median(values)))
    rows += ratio_rows(seconds) + floor_rows(paths["tuned"], batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows += [
        dict(what="share of a tuned step spent waiting for data", unit="share", value=wait / (wait + tuned)),
        dict(what="peak memory of this benchmark", unit="GiB", value=peak),
    ]
    with atomic_write(resolve("results/training_speed.csv")) as t:
        pd.DataFrame(rows).to_csv(t, index=False)
    print(pd.DataFrame(rows).round(3).to_string(index=False))
