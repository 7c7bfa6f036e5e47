"""What each part of the `laptop` recipe does: one change taken back at a time, validation scores.

    python benchmarks/recipe_parts.py --seeds 0

Every variant is trained for its whole length and validated after each epoch, so that the table also
holds the learning curves: scores against the minutes of training steps, evaluations not counted.
A run that is stored is not made again. Writes results/recipe_parts.csv. All runs that are compared
must have the machine in the same state: run them one after another, with the same OMP_NUM_THREADS.
"""

import tempfile

import pandas as pd
import torch
from fastcore.script import Param, call_parse

from recipes import EVERY_STEP, FIRST_LAPTOP

from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.training.loop import train

VARIANTS = {  # fields of the laptop recipe
    "laptop": {},
    "laptop of 800 steps": FIRST_LAPTOP,
    "no prior of lanes": dict(lane_prior=0.0),
    # in the minutes of 1,500 steps
    "all tasks in every step": EVERY_STEP | dict(steps_per_epoch=240, classification_weight=2.0, lane_weight=3.0),
    "a quarter of the samples objects": dict(roi_objects=0.25),
    "a box correction for each class": dict(shared_box=False),
    "Adam's memory of 0.999": dict(adam_beta2=0.999),
}
METRICS = ("accuracy", "map50", "map50_95", "iou", "f1")
COLUMNS = ["variant", "seed", "threads", "epoch", "step", "minutes", "task", "metric", "value"]


def train_variant(variant: str, seed: int) -> pd.DataFrame:  # with COLUMNS
    """Validation scores after each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        changes = VARIANTS[variant] | dict(evaluate_every=1, checkpoint_every=0)
        train(make_config("laptop", results_dir=folder, seed=seed, **changes))
        log = pd.read_csv(f"{folder}/logs/training.csv")
    seconds = log[log.kind == "step"].groupby("step").seconds.first().cumsum()
    scores = log[(log.kind == "epoch") & log.metric.isin(METRICS)].copy()
    scores["minutes"] = scores.step.map(seconds) / 60
    return scores.assign(variant=variant, seed=seed, threads=torch.get_num_threads())[COLUMNS]


@call_parse
def main(
    seeds: Param("seeds, comma-separated", str) = "0",
    variants: Param("which of them, separated by semicolons; empty: all", str) = "",
):
    """Trains the variants that are not stored yet and prints the last scores of each."""
    path = resolve("results/recipe_parts.csv")
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in map(int, seeds.split(",")):
        for variant in variants.split(";") if variants else VARIANTS:
            if not ((table.variant == variant) & (table.seed == seed)).any():
                rows = train_variant(variant, seed)
                table = pd.concat([table, rows], ignore_index=True) if len(table) else rows
                with atomic_write(path) as t:
                    table.to_csv(t, index=False)
    last = table[table.step == table.groupby(["variant", "seed"]).step.transform("max")]
    shown = last.pivot_table(index=["variant", "minutes"], columns="metric", values="value", sort=False)
    print(shown.round(3).to_string())
