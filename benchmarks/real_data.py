"""The same code on real data: only `data_root` changes.

    python benchmarks/real_data.py FOLDER

0. The network that `make train` left reads all real sign crops; it has seen none.
1. The classifier alone on real GTSRB crops, twice with the same budget: split by track (70/15/15)
   and by image (90/10, as the specification does).
2. All three tasks together on the real slices, three passes over the signs.
1 and 2 train the first laptop recipe (`recipes.py`); with --only_make_train their rows stay.
Writes results/real_data.csv, with 95 % intervals by bootstrap (over tracks for signs, over images
else). Which crops a split rule calls "held out" decides what it claims.
"""

import tempfile
import pandas as pd
from fastcore.script import Param, call_parse, store_true
from recipes import FIRST_LAPTOP
from mtl_course.core.files import atomic_write, resolve
from mtl_course.config import make_config
from mtl_course.data.loaders import evaluation_loader
from mtl_course.evaluation.evaluate import evaluate_task
from mtl_course.metrics.intervals import RESAMPLES
from mtl_course.models import load_model
from mtl_course.training.loop import train


def scores(model, config, part: str, **about) -> list[dict]:
    "Rows of a model's scores on a part."
    rows = []
    for task in config.tasks:
        result = evaluate_task(
            model, evaluation_loader(config, part, (task,)), task, "cpu", "32-true", resamples=RESAMPLES
        )
        for m, v in result.scores.items():
            low, high = result.intervals.get((m, "all"), (float("nan"),) * 2)
            if m in ("accuracy", "macro_f1", "map50", "iou", "f1"):
                rows.append(
                    dict(part=part, task=task, metric=m, value=v, low=low, high=high, images=result.images, **about)
                )
    return rows


def run(part_names, **changes):
    "Trains and scores the best checkpoint on the named parts; returns rows."
    with tempfile.TemporaryDirectory() as folder:
        values = FIRST_LAPTOP | dict(results_dir=folder, checkpoint_every=0) | changes
        config = make_config("laptop", **values)
        seconds = train(config).seconds
        model = load_model(f"{folder}/checkpoints/model_best.pt")
    rows = []
    for part in part_names:
        rows += scores(model, config, part, steps=config.epochs * config.steps_per_epoch, seconds=seconds)
    return rows


def never_saw_a_photo(data_root: str, checkpoint) -> list[dict]:
    "Rows of the network that `make train` left, on all real signs."
    model = load_model(checkpoint)
    config = make_config(**model.config.to_dict() | dict(data_root=data_root, tasks="classification"))
    return scores(model, config, "all", steps=model.config.epochs * model.config.steps_per_epoch)


def write(table: pd.DataFrame):
    with atomic_write(resolve("results/real_data.csv")) as t:
        table.to_csv(t, index=False)
    print(table.round(3).to_string(index=False))


@call_parse
def main(
    data_root: Param("folder with real gtsrb/, kitti/ and tusimple/", str),
    steps: Param("training steps of each classifier", int) = 240,
    together: Param("training steps of the three-task run", int) = 210,
    checkpoint: Param("what make train wrote", str) = "results/checkpoints/model_best.pt",
    seed: Param("seed", int) = 0,
    only_make_train: Param("train nothing: score the checkpoint anew", store_true) = False,
):
    "Trains on real data and reports held-out scores."
    rows = []
    for row in never_saw_a_photo(data_root, resolve(checkpoint)):
        rows.append(dict(run="make train, no photo seen", split="held_out", **row))
    if only_make_train:
        stored = pd.read_csv(resolve("results/real_data.csv"))
        write(pd.concat([pd.DataFrame(rows), stored[stored.run != rows[0]["run"]]]))
        return
    same = dict(data_root=data_root, seed=seed)
    signs = dict(tasks="classification", classification_batch_size=64, epochs=4, steps_per_epoch=steps // 4, **same)
    for split in ("held_out", "specification"):
        rows += [
            dict(run="signs alone", split=split, **r)
            for r in run(("val", "test") if split == "held_out" else ("val",), split_rule=split, **signs)
        ]
    rows += [
        dict(run="three tasks together", split="held_out", **r)
        for r in run(("train", "test"), epochs=3, steps_per_epoch=together // 3, **same)
    ]
    write(pd.DataFrame(rows))
