"""Loaders, waiting for data, and a training step in float32 against the tuned path, in turn.

    python benchmarks/training_speed.py --steps 10

Writes results/training_speed.csv.
"""

import resource, statistics, time
import pandas as pd
from fastcore.script import Param, call_parse
from lightning_fabric import Fabric
from mtl_course.config import TASKS, make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.core.device import choose_precision
from mtl_course.core.seeds import seed_everything
from mtl_course.data.loaders import create_dataloaders, make_reader, prepare_data
from mtl_course.training.log import with_waiting_time
from mtl_course.training.state import create_train_state
from mtl_course.training.steps import compute_gradients


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


def steppers(config) -> dict:
    "Functions that take a step in float32 and on the tuned path (bf16, channels-last)."
    made = {}
    loader = create_dataloaders(config)[0]
    for name, precision, channels_last in (("float32", "32-true", False), ("tuned", choose_precision("auto"), True)):
        c = make_config("laptop", precision=precision, channels_last=channels_last)
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        seed_everything(0)
        state = create_train_state(fabric, c, loader)
        state.model.train()

        def step(batch, fabric=fabric, state=state):
            compute_gradients(fabric, state.model, batch)
            fabric.clip_gradients(state.model, state.optimizer, max_norm=5.0)
            state.optimizer.step()
            state.optimizer.zero_grad()

        made[name] = step
    return made, loader


@call_parse
def main(steps: Param("counted steps of each path", int) = 10):
    "Measures the loaders and a training step."
    config = make_config("laptop")
    prepare_data(config)
    rows = loader_rates(config)
    paths, loader = steppers(config)
    seconds, waits = {n: [] for n in paths}, []
    for k, (batch, clock) in enumerate(with_waiting_time(loader)):
        if k == steps + 2:
            break
        for name, step in paths.items():
            began = time.perf_counter()
            step(batch)
            seconds[name].append(time.perf_counter() - began)
        waits.append(clock.waited)
    medians = {n: statistics.median(s[2:]) for n, s in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["float32"][2:], seconds["tuned"][2:])]
    rows += [dict(what=f"training step, {n}", unit="s", value=v) for n, v in medians.items()]
    rows += [
        dict(what="float32 step / tuned step, median of pairs", unit="ratio", value=statistics.median(ratios)),
        dict(what="smallest pair", unit="ratio", value=min(ratios)),
        dict(what="largest pair", unit="ratio", value=max(ratios)),
        dict(
            what="share of a tuned step spent waiting for data",
            unit="share",
            value=statistics.median(waits[2:]) / (statistics.median(waits[2:]) + medians["tuned"]),
        ),
        dict(
            what="peak memory of this benchmark",
            unit="GiB",
            value=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        ),
    ]
    with atomic_write(resolve("results/training_speed.csv")) as t:
        pd.DataFrame(rows).to_csv(t, index=False)
    print(pd.DataFrame(rows).round(3).to_string(index=False))
