"""How long the `specification` recipe would train on this processor: a few steps, projected.

    python benchmarks/specification_time.py
    python benchmarks/specification_time.py --shrink 8      # a quick look, stored nowhere

The images are random numbers (a step's time hardly depends on their content; loading is left
out, so the projection is a little too kind). A step is one batch of four images of every task,
forward, backward, clipping and Adam. Writes results/specification_time.csv. Read by notebook
26.
"""

import math, resource, statistics, time
import pandas as pd, torch
from fastcore.script import Param, call_parse
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm
from mtl_course.core.files import atomic_write, resolve
from mtl_course.config import make_config
from mtl_course.core.seeds import seed_everything
from mtl_course.models import model_from_config
from mtl_course.training.distributed import start_fabric
from mtl_course.training.optimizer import make_optimizer
from mtl_course.training.random_batch import random_batch
from mtl_course.training.steps import compute_gradients

GTSRB_IMAGES, TRAINING_SHARE = 39_209, 0.9  # as published; the specification's split


def measure(config, steps: int) -> tuple[list, float]:  # (seconds of each step, floating-point operations of one)
    "Takes `steps` counted training steps after one whose operations are counted."
    fabric = start_fabric(config)
    seed_everything(config.seed)
    model = model_from_config(config).train()
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = fabric.setup_optimizers(make_optimizer(model, config, steps + 1)[0])

    def step():
        compute_gradients(fabric, model, random_batch(config))
        fabric.clip_gradients(model, optimizer, max_norm=config.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = []
    for _ in tqdm(range(steps), desc="steps"):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds, counter.get_total_flops()


def projection(config, seconds: list, operations: float, claimed_hours: float) -> dict:  # metric -> value
    "What the measured steps say about the whole training."
    per_epoch = math.ceil(round(GTSRB_IMAGES * TRAINING_SHARE) / config.batch_size_of("classification"))
    hours = {
        n: f(seconds) * per_epoch * config.epochs / 3600
        for n, f in (("", statistics.median), (", fastest step", min), (", slowest step", max))
    }
    return {
        "steps measured": len(seconds),
        "seconds per step, median": statistics.median(seconds),
        "seconds per step, fastest": min(seconds),
        "seconds per step, slowest": max(seconds),
        "threads": torch.get_num_threads(),
        "steps per epoch": per_epoch,
        "epochs": config.epochs,
        **{f"projected hours{n}": h for n, h in hours.items()},
        "operations per step": operations,
        "operations per second here": operations / statistics.median(seconds),
        "seconds per step claimed": claimed_hours * 3600 / (per_epoch * config.epochs),
        "operations per second claimed": operations * per_epoch * config.epochs / (claimed_hours * 3600),
        "peak memory, GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


@call_parse
def main(
    steps: Param("counted steps", int) = 5,
    shrink: Param("divides the sides of the images; above 1 nothing is stored", int) = 1,
    claimed_hours: Param("what the specification says", float) = 6.8,
):
    "Projects the specification's training time."
    full = make_config("specification")
    sizes = {}
    for task in full.tasks:
        height, width = full.image_size_of(task)
        sizes[f"{task}_size"] = (max(32, height // shrink), max(32, width // shrink))
    config = make_config("specification", pretrained="false", device="cpu", **sizes)
    rows = projection(config, *measure(config, steps), claimed_hours)
    table = pd.DataFrame([dict(metric=m, value=v) for m, v in rows.items()])
    if shrink == 1:
        with atomic_write(resolve("results/specification_time.csv")) as t:
            table.to_csv(t, index=False)
    print(table.to_string(index=False))
