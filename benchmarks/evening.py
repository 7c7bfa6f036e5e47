"""The network in the box: packs what the recipe `evening` has trained, and scores the packed file.

    mtl_train --recipe evening
    python benchmarks/evening.py --real FOLDER

Scored are the held-out pictures of its own world, those of the laptop's world (of which it has seen
none, either), and, if there is a folder of real ones, all of these. Writes
mtl_course/weights/evening.safetensors and results/evening.csv, with 95 % intervals by bootstrap
(over tracks for signs, over images else).
"""

import pandas as pd
import torch
from fastcore.script import Param, call_parse

from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.loaders import evaluation_loader
from mtl_course.data.sources import prepare_data
from mtl_course.evaluation.evaluate import evaluate_task
from mtl_course.metrics.intervals import RESAMPLES
from mtl_course.models import load_model
from mtl_course.models.stored import checkpoint_path, pack_model

RUN = "results/evening"


def score_on(model, data_root: str, part: str) -> list[dict]:
    """Rows of every score on a part of some data."""
    size = "laptop" if data_root == make_config("laptop").data_root else "evening"
    config = model.config.replace(data_root=data_root, world_size=size)
    prepare_data(config)
    rows = []
    for task in config.tasks:
        loader = evaluation_loader(config, part, (task,))
        result = evaluate_task(model, loader, task, "cpu", "bf16-mixed", resamples=RESAMPLES)
        about = dict(data=data_root.split("/")[-1], part=part, task=task, images=result.images)
        for metric, value in result.scores.items():
            low, high = result.intervals.get((metric, "all"), (float("nan"), float("nan")))
            rows.append(about | {"metric": metric, "class": "all", "value": value, "low": low, "high": high})
        for metric in result.per_class if task == "detection" else ():
            for name, value in result.per_class[metric].items():
                low, high = result.intervals.get((metric, name), (float("nan"), float("nan")))
                rows.append(about | {"metric": metric, "class": name, "value": value, "low": low, "high": high})
    return rows


def cost_of_training() -> list[dict]:
    """Steps and minutes of the run: its steps alone, without validations."""
    log = pd.read_csv(resolve(f"{RUN}/logs/training.csv"))
    seconds = log[log.kind == "step"].groupby("step").seconds.first()
    about = {"data": "world-evening", "part": "train", "task": "all", "class": "all"}
    return [
        about | dict(metric="steps", value=float(len(seconds))),
        about | dict(metric="minutes of steps", value=seconds.sum() / 60),
    ]


@call_parse
def main(
    real: Param("folder with real gtsrb/, kitti/ and tusimple/; empty: none", str) = "",
    threads: Param("with which the run was trained, for the table", int) = 0,
):
    """Packs the network and tabulates its scores."""
    pack_model(load_model(f"{RUN}/checkpoints/model_best.pt"), checkpoint_path("evening"))
    model = load_model("evening").to(memory_format=torch.channels_last)
    rows = cost_of_training()
    if threads:
        rows.append(rows[0] | dict(metric="threads", value=float(threads)))
    for data_root in ("datasets/world-evening", make_config("laptop").data_root):
        rows += score_on(model, data_root, "test")
    rows += score_on(model, real, "all") if real else []
    table = pd.DataFrame(rows)
    with atomic_write(resolve("results/evening.csv")) as temporary:
        table.to_csv(temporary, index=False)
    print(table.round(3).to_string(index=False))
