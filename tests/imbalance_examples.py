"""Made-up tables of the imbalance study."""

import itertools
import json

import numpy as np
import pandas as pd
from mtl_course.config import TASKS
from mtl_course.metrics.scores import lane_scores

LUCK = (0.04, 0.0, -0.04)  # of the seeds, in every run and task


def table_of(values, seeds=3, split="test"):
    "A studies' table from {run: (sign accuracy, mAP50, lane IoU)}; None: not trained."
    rows = []
    for run, scores in values.items():
        for seed, (task, score) in itertools.product(range(seeds), zip(TASKS, scores)):
            if score is None:
                continue
            row = dict(run=run, config="x", seed=seed, steps=200, part=split, task=task)
            rows.append(row | dict(metric=TASKS[task].primary_metric, value=score + LUCK[seed]))
            if task == "classification":  # a score that is not the primary one
                rows.append(row | dict(metric="macro_f1", value=score + LUCK[seed] + 0.1))
    return pd.DataFrame(rows)


def wobble(table, run, amount):
    "Other luck for one run, so that its differences have a spread."
    table = table.copy()
    mine = table["run"] == run
    table.loc[mine, "value"] += table.loc[mine, "seed"].map(dict(zip(range(3), (amount, -amount, 0.0))))
    return table


CAUSES = {
    "equal": (0.6, 0.2, 0.5),
    "few lanes": (0.6, 0.2, 0.38),
    "few lanes, boosted": (0.5, 0.22, 0.44),
    "few lanes, alone": (None, None, 0.3),
    "rare lanes": (0.61, 0.2, 0.49),
    "small lane loss": (0.6, 0.2, 0.5),
}


def make_causes():
    table = table_of(CAUSES)
    for run in CAUSES:
        table = wobble(table, run, 0.03 if run in ("rare lanes", "small lane loss") else 0.002 * len(run) / 10)
    return table


def record(path, gramians, tasks=TASKS):
    path.write_text(
        json.dumps(
            dict(
                source="",
                tasks=list(tasks),
                steps=list(range(len(gramians))),
                losses=[[1, 1, 1]] * len(gramians),
                gramians=dict(trunk=np.asarray(gramians).tolist()),
            )
        )
    )


def lane_rows(run, seed, tp, fp, fn, tn):
    "All scores of one run from its pixel counts."
    return [
        dict(run=run, config="x", seed=seed, steps=200, part="test", task="lane", metric=m, value=v)
        for m, v in lane_scores(tp, fp, fn, tn).items()
    ]


def floored():
    """Lanes are 7 of 100 pixels. `regime` and its ×30 predict constants, in seed 1 everything; with
    temperature 5 they learn.
    """
    rows = []
    for seed, counts in enumerate(((0, 0, 7, 93), (7, 93, 0, 0), (0, 0, 7, 93))):
        for run in ("regime", "regime, boosted"):
            rows += lane_rows(run, seed, *counts)
        for run in ("drawn alike", "regime, temperature 5"):
            rows += lane_rows(run, seed, 4, 3 + seed, 3, 90 - seed)
    return pd.DataFrame(rows)
