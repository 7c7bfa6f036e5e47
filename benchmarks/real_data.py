"""The same code on real data: only `data_root` changes.

    python benchmarks/real_data.py FOLDER

1. The classifier alone on real GTSRB crops, twice with the same budget: split by track (70/15/15) and by image (90/10, as the specification does).
2. All three tasks together on the real slices, a few epochs.
Writes results/real_data.csv. Which crops a split calls "held out" decides what it claims.
"""
import tempfile
import pandas as pd
from fastcore.script import Param, call_parse
from mtl_course.config import atomic_write, make_config, resolve
from mtl_course.data.loaders import evaluation_loader
from mtl_course.evaluation import evaluate_task
from mtl_course.models import load_model
from mtl_course.training import train


def run(part_names, **changes):
    "Trains and scores the best checkpoint on the named parts; returns rows."
    with tempfile.TemporaryDirectory() as folder:
        config = make_config("laptop", results_dir=folder, checkpoint_every=0, **changes)
        seconds = train(config).seconds
        model = load_model(f"{folder}/checkpoints/model_best.pt")
    rows = []
    for part in part_names:
        for task in config.tasks:
            result = evaluate_task(model, evaluation_loader(config, part, (task,)), task, "cpu", "32-true")
            rows += [dict(part=part, task=task, metric=m, value=v, images=result.images, steps=config.epochs*config.steps_per_epoch, seconds=seconds)
                     for m, v in result.scores.items() if m in ("accuracy", "macro_f1", "map50", "iou", "f1")]
    return rows


@call_parse
def main(data_root: Param("folder with real gtsrb/, kitti/ and tusimple/", str), steps: Param("training steps of each classifier", int) = 240,
         together: Param("training steps of the three-task run", int) = 40, seed: Param("seed", int) = 0):
    "Trains on real data and reports held-out scores."
    rows, same = [], dict(data_root=data_root, seed=seed)
    signs = dict(tasks="classification", classification_batch_size=64, epochs=4, steps_per_epoch=steps//4, **same)
    for split in ("held_out", "specification"):
        rows += [dict(run="signs alone", split=split, **r) for r in run(("val", "test") if split == "held_out" else ("val",), split=split, **signs)]
    rows += [dict(run="three tasks together", split="held_out", **r) for r in run(("train", "test"), epochs=2, steps_per_epoch=together//2, **same)]
    with atomic_write(resolve("results/real_data.csv")) as t: pd.DataFrame(rows).to_csv(t, index=False)
    print(pd.DataFrame(rows).round(3).to_string(index=False))
