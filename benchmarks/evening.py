"""The network in the box: packs what the recipe `evening` has trained, and scores the packed file.

    mtl_train --recipe evening
    python benchmarks/evening.py --real FOLDER

Scored are the held-out pictures of its own world, those of the laptop's world (of which it has seen
none, either), and, if there is a folder of real ones, all of these. Writes
mtl_course/weights/evening.safetensors and results/evening.csv, with 95 % intervals by bootstrap
(over tracks for signs, over images else).
"""

import tempfile
from pathlib import Path

import pandas as pd
from fastcore.script import Param, call_parse

from mtl_course.cli.evaluate import score_and_report
from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.sources import prepare_data
from mtl_course.models import load_model
from mtl_course.models.stored import checkpoint_path, pack_model

RUN = "results/evening"
COLUMNS = ["data", "split", "task", "metric", "class", "difficulty", "value", "low", "high"]


def score_on(model, data: str, data_root: str, part: str) -> pd.DataFrame:  # data: its name in the table
    """Every score on a part of some data, the official ones among them."""
    config = model.config.on_data(data_root)
    prepare_data(config)
    with tempfile.TemporaryDirectory() as folder:
        score_and_report(config, model, checkpoint_path("evening"), "cpu", part, Path(folder))
        table = pd.read_csv(f"{folder}/evaluation_results.csv")
    signs_of_a_class = (table.task == "classification") & (table["class"] != "all")
    return table[~signs_of_a_class].assign(data=data)[COLUMNS]


def cost_of_training(threads: int) -> list[dict]:
    """Steps and minutes of the run, validations included."""
    log = pd.read_csv(resolve(f"{RUN}/logs/training.csv"))
    steps = log[log.kind == "step"]
    about = {"data": "world-evening", "split": "train", "task": "all", "class": "all"}
    values = {"steps": steps.step.max(), "minutes": steps.seconds.max() / 60, "threads": threads or None}
    return [about | dict(metric=metric, value=value) for metric, value in values.items() if value]


@call_parse
def main(
    real: Param("folder with real gtsrb/, kitti/ and tusimple/; empty: none", str) = "",
    threads: Param("with which the run was trained, for the table", int) = 0,
):
    """Packs the network and tabulates its scores."""
    pack_model(load_model(f"{RUN}/checkpoints/model_best.pt"), checkpoint_path("evening"))
    model = load_model("evening")
    costs = pd.DataFrame(cost_of_training(threads))
    tables = [costs, score_on(model, "world-evening", model.config.data_root, "test")]
    tables.append(score_on(model, "world", make_config("laptop").data_root, "test"))
    if real:
        tables.append(score_on(model, "real", real, "all"))
    table = pd.concat(tables).reindex(columns=COLUMNS)
    with atomic_write(resolve("results/evening.csv")) as temporary:
        table.to_csv(temporary, index=False)
    print(table.round(3).to_string(index=False))
