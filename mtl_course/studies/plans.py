"""Which runs would convince somebody who doubts? Written down before the first of them is made."""

__all__ = [
    "GRID",
    "BALANCER_RUNS",
    "FEW",
    "SMALL",
    "SKEW",
    "BOOST",
    "AUGMENT",
    "REGIME",
    "SKEWED_SIGNS",
    "BALANCED_FACTOR",
    "IMBALANCE_RUNS",
    "SIZES",
    "CURVE_RUNS",
    "CURRICULUM_RUNS",
    "STUDIES",
    "STUDY_FILE",
    "fixed_weights",
    "drawn",
    "curve_name",
    "make_study",
    "study_command",
    "not_in",
    "missing_sentence",
]

import pandas as pd
from ..core.errors import UserError
from .runner import SINGLE_TASK_RUNS, ENOUGH_SEEDS, run_study
from ..losses import BALANCERS


def fixed_weights(classification: float, detection: float, lane: float) -> dict:  # fields of a config
    "The three fixed task weights as fields."
    return dict(classification_weight=float(classification), detection_weight=float(detection), lane_weight=float(lane))


GRID = {
    f"fixed {c:g}:{d:g}:{l:g}": fixed_weights(c, d, l)
    for c, d, l in (  # classification : detection : lane
        (1, 1, 1),
        (2, 0.5, 0.5),
        (0.5, 2, 0.5),
        (0.5, 0.5, 2),
        (1.4, 1.4, 0.2),
        (1.4, 0.2, 1.4),
        (0.2, 1.4, 1.4),
    )
}
BALANCER_RUNS = (
    {"alone": SINGLE_TASK_RUNS, "equal": {}}
    | {k: v for k, v in GRID.items() if k != "fixed 1:1:1"}
    | {"fixed 1:5:30": fixed_weights(1, 5, 30)}
    | {b: dict(balancer=b) for b in BALANCERS if b not in ("fixed", "torchjd", "dwa")}
    | {"dwa": dict(balancer="dwa", balancer_options="period=10")}
)  # its own 100 steps would leave all weights at 1 until step 200

FEW, SMALL, SKEW = dict(lane_limit=65), dict(lane_weight=1 / 30), dict(class_skew=10.0)
BOOST, AUGMENT = (
    dict(lane_weight=30.0),
    dict(use_rotation=True, use_brightness=True, use_contrast=True, use_gaussian_noise=True),
)
REGIME = dict(classification_limit=6370, detection_limit=980, lane_limit=65)  # 78 : 12 : 0.8
SKEWED_SIGNS = 8636  # that the laptop world's training part keeps at a skew of 10
BALANCED_FACTOR = 0.6635  # by which class-balanced weights lower the mean loss of those signs


def drawn(temperature: float, steps: int = 600) -> dict:  # fields of a config
    "One task per step, at a temperature; `steps` as many as three times those of the recipe."
    return dict(task_sampling="temperature", sampling_temperature=float(temperature), steps_per_epoch=steps)


IMBALANCE_RUNS = {
    "equal": {},
    "alone": SINGLE_TASK_RUNS,
    "boosted lanes": BOOST,
    "uncertainty": dict(balancer="uncertainty"),
    "imtl_g": dict(balancer="imtl_g"),
    "few lanes": FEW,
    "few lanes, alone": FEW | dict(tasks=("lane",)),
    "few lanes, boosted": FEW | BOOST,
    "few lanes, augmented": FEW | AUGMENT,
    "few lanes, uncertainty": FEW | dict(balancer="uncertainty"),
    "few lanes, imtl_g": FEW | dict(balancer="imtl_g"),
    "rare lanes": drawn(1),
    "rare lanes, boosted": drawn(1) | BOOST,
    "rare lanes, temperature 5": drawn(5),
    "drawn alike": drawn(1e6),
    "small lane loss": SMALL,
    "small lane loss, uncertainty": SMALL | dict(balancer="uncertainty"),
    "small lane loss, imtl_g": SMALL | dict(balancer="imtl_g"),
    "skewed signs": SKEW,
    "skewed signs, class-balanced": SKEW | dict(classification_loss="class_balanced"),
    "skewed signs, focal": SKEW | dict(classification_loss="focal"),
    "skewed signs, smaller loss": SKEW | dict(classification_weight=BALANCED_FACTOR),
    "as many signs, balanced": dict(classification_limit=SKEWED_SIGNS),
    "regime": REGIME | drawn(1),
    "regime, boosted": REGIME | drawn(1) | BOOST,
    "regime, temperature 5": REGIME | drawn(5),
}

SIZES = {"classification": (600, 3000), "detection": (60, 240), "lane": (20, 65, 200)}


def curve_name(task: str, images: int, shared: bool) -> str:  # of a run in CURVE_RUNS
    "The name of a point of a learning curve."
    return f"{images} {task}, {'shared' if shared else 'alone'}"


CURVE_RUNS = {"equal": {}, "alone": SINGLE_TASK_RUNS} | {
    curve_name(t, n, shared): {f"{t}_limit": n} | ({} if shared else dict(tasks=(t,)))
    for t, sizes in SIZES.items()
    for n in sizes
    for shared in (True, False)
}

CURRICULUM_RUNS = {
    "few lanes": FEW,
    "few lanes, boosted": FEW | BOOST,
    "few lanes, 15.5": FEW | dict(lane_weight=15.5),
    "few lanes, 30>1": FEW | dict(weight_schedule="lane=30>1"),
    "few lanes, 1>30": FEW | dict(weight_schedule="lane=1>30"),
    "few lanes last": FEW | dict(weight_schedule="detection=0>1@0.1-0.3,lane=0>1@0.4-0.6"),
    "few lanes first": FEW | dict(weight_schedule="detection=0>1@0.1-0.3,classification=0>1@0.4-0.6"),
    "few lanes, evenly": FEW | drawn(1e6, 100) | dict(epochs=6),
    "few lanes, by loss": FEW | dict(task_sampling="loss", steps_per_epoch=100, epochs=6),
}

STUDIES = {
    "balancers": BALANCER_RUNS,
    "imbalance": IMBALANCE_RUNS,
    "learning_curves": CURVE_RUNS,
    "curriculum": CURRICULUM_RUNS,
}  # name -> runs
STUDY_FILE = "results/studies.csv"  # all runs of all studies: what two studies share is made once


def make_study(
    study: str = "balancers",  # a key of STUDIES
    seeds: list[int] = (0, 1, 2),
    runs: list[str] | None = None,  # names of some of its runs; None: all
    workers: int | None = None,
    progress: bool = True,
    path: str = STUDY_FILE,
    recipe: str = "study",
) -> pd.DataFrame:  # the table so far, with STUDY_COLUMNS
    "Makes what is missing of a study; raises `UserError` for an unknown study or run."
    if study not in STUDIES:
        raise UserError(f"unknown study {study!r}: expected one of {', '.join(STUDIES)}")
    unknown = set(runs or ()) - set(STUDIES[study])
    if unknown:
        raise UserError(
            f"study {study!r} has no run {', '.join(sorted(unknown))}: expected some of {', '.join(STUDIES[study])}"
        )
    return run_study(
        path, {k: v for k, v in STUDIES[study].items() if not runs or k in runs}, list(seeds), recipe, workers, progress
    )


def study_command(
    study: str = "balancers", runs: list[str] = (), seeds: list[int] = ()
) -> str:  # runs, seeds: none named: all of them
    "The command that makes runs of a study."
    return (
        "mtl_compare"
        + (f" --study {study}" if study != "balancers" else "")
        + (f' --runs "{";".join(runs)}"' if runs else "")
        + (f" --seeds {','.join(map(str, seeds))}" if seeds else "")
    )


def not_in(table: pd.DataFrame, runs: dict | list = tuple(BALANCER_RUNS)) -> list[str]:  # in the order of `runs`
    "The runs that a table has with no seed."
    return [r for r in runs if r not in set(table["run"])]


def missing_sentence(table: pd.DataFrame, study: str = "balancers", seeds: int = ENOUGH_SEEDS) -> str:  # STUDY_COLUMNS
    "Which runs of a study are not in the table, or with fewer seeds, and the command that makes them; empty when nothing is missing."
    runs, found = STUDIES[study], table[table["part"] == "test"].groupby("run")["seed"].nunique()
    missing = [r for r in runs if found.get(r, 0) < seeds]
    if not missing:
        return ""
    none = [r for r in missing if r not in found]
    what = (
        f"{len(none)} of {len(runs)} runs of the study {study!r} are not made yet"
        if none
        else f"all {len(runs)} runs of the study {study!r} are there"
    )
    fewer = [f"{r} ({found[r]})" for r in missing if r in found]
    return f"{what}{', ' + str(len(fewer)) + (' has' if len(fewer) == 1 else ' have') + ' fewer than ' + str(seeds) + ' seeds: ' + ', '.join(fewer) if fewer else ''}. Make them with: {study_command(study)}"
