"""Which runs would convince somebody who doubts? Written down before the first of them is made."""

import pandas as pd

from ..core.errors import UserError
from ..losses import BALANCERS
from .runner import SINGLE_TASK_RUNS, run_study

__all__ = ["STUDIES", "STUDY_FILE", "make_study", "not_in", "study_command"]

ENOUGH_SEEDS = 3  # below this no verdict is given: an interval over two has a factor of 12.7 instead of 4.3


# does balancing help?


def _fixed_weights(classification: float, detection: float, lane: float) -> dict:  # fields of a config
    return dict(classification_weight=float(classification), detection_weight=float(detection), lane_weight=float(lane))


_GRID = (  # classification : detection : lane; with 1 : 1 : 1 in the middle
    (2, 0.5, 0.5),
    (0.5, 2, 0.5),
    (0.5, 0.5, 2),
    (1.4, 1.4, 0.2),
    (1.4, 0.2, 1.4),
    (0.2, 1.4, 1.4),
    (1, 5, 30),  # the specification's
)
BALANCER_RUNS = {"alone": SINGLE_TASK_RUNS, "equal": {}}
BALANCER_RUNS |= {f"fixed {c:g}:{d:g}:{l:g}": _fixed_weights(c, d, l) for c, d, l in _GRID}
BALANCER_RUNS |= {name: dict(balancer=name) for name in BALANCERS if name not in ("fixed", "torchjd", "dwa")}
# its own 100 steps would leave all weights of DWA at 1 until step 200
BALANCER_RUNS["dwa"] = dict(balancer="dwa", balancer_options="period=10")


# what does imbalance do?

FEW = dict(lane_limit=65)
SMALL = dict(lane_weight=1 / 30)
SKEW = dict(class_skew=10.0)
BOOST = dict(lane_weight=30.0)
AUGMENT = dict(use_rotation=True, use_brightness=True, use_contrast=True, use_gaussian_noise=True)
REGIME = dict(classification_limit=6370, detection_limit=980, lane_limit=65)  # 78 : 12 : 0.8
SKEWED_SIGNS = 8636  # that the laptop world's training split keeps at a skew of 10
BALANCED_FACTOR = 0.6635  # by which class-balanced weights lower the mean loss of those signs


def _drawn(temperature: float, steps: int = 600) -> dict:  # fields; steps: three times those of the recipe
    "One task per step, at a temperature."
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
    "rare lanes": _drawn(1),
    "rare lanes, boosted": _drawn(1) | BOOST,
    "rare lanes, temperature 5": _drawn(5),
    "drawn alike": _drawn(1e6),
    "small lane loss": SMALL,
    "small lane loss, uncertainty": SMALL | dict(balancer="uncertainty"),
    "small lane loss, imtl_g": SMALL | dict(balancer="imtl_g"),
    "skewed signs": SKEW,
    "skewed signs, class-balanced": SKEW | dict(classification_loss="class_balanced"),
    "skewed signs, focal": SKEW | dict(classification_loss="focal"),
    "skewed signs, smaller loss": SKEW | dict(classification_weight=BALANCED_FACTOR),
    "as many signs, balanced": dict(classification_limit=SKEWED_SIGNS),
    "regime": REGIME | _drawn(1),
    "regime, boosted": REGIME | _drawn(1) | BOOST,
    "regime, temperature 5": REGIME | _drawn(5),
}


# from how many images on does sharing stop to help?

SIZES = {"classification": (600, 3000), "detection": (60, 240), "lane": (20, 65, 200)}


def curve_name(task: str, images: int, shared: bool) -> str:  # a key of CURVE_RUNS
    """The name of a point of a learning curve."""
    return f"{images} {task}, {'shared' if shared else 'alone'}"


def _curve_runs() -> dict:
    runs = {"equal": {}, "alone": SINGLE_TASK_RUNS}
    for task, sizes in SIZES.items():
        for images in sizes:
            limit = {f"{task}_limit": images}
            runs[curve_name(task, images, True)] = limit
            runs[curve_name(task, images, False)] = limit | dict(tasks=(task,))
    return runs


CURVE_RUNS = _curve_runs()


# does a curriculum help a rare task?

CURRICULUM_RUNS = {
    "few lanes": FEW,
    "few lanes, boosted": FEW | BOOST,
    "few lanes, 15.5": FEW | dict(lane_weight=15.5),
    "few lanes, 30>1": FEW | dict(weight_schedule="lane=30>1"),
    "few lanes, 1>30": FEW | dict(weight_schedule="lane=1>30"),
    "few lanes last": FEW | dict(weight_schedule="detection=0>1@0.1-0.3,lane=0>1@0.4-0.6"),
    "few lanes first": FEW | dict(weight_schedule="detection=0>1@0.1-0.3,classification=0>1@0.4-0.6"),
    "few lanes, evenly": FEW | _drawn(1e6, 100) | dict(epochs=6),
    "few lanes, by loss": FEW | dict(task_sampling="loss", steps_per_epoch=100, epochs=6),
}


# all of them

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
    workers: int | None = None,  # as for `run_study`
    progress: bool = True,
    path: str = STUDY_FILE,
    recipe: str = "study",
) -> pd.DataFrame:  # the table so far, with STUDY_COLUMNS
    """Makes what is missing of a study. Raises `UserError` for an unknown study or run."""
    if study not in STUDIES:
        raise UserError(f"unknown study {study!r}: expected one of {', '.join(STUDIES)}")
    unknown = set(runs or ()) - set(STUDIES[study])
    if unknown:
        names = ", ".join(sorted(unknown))
        raise UserError(f"study {study!r} has no run {names}: expected some of {', '.join(STUDIES[study])}")
    selected = {name: fields for name, fields in STUDIES[study].items() if not runs or name in runs}
    return run_study(path, selected, list(seeds), recipe, workers, progress)


def study_command(
    study: str = "balancers",
    runs: list[str] = (),  # none named: all of them
    seeds: list[int] = (),
) -> str:
    """The command that makes runs of a study."""
    words = ["mtl_compare"]
    if study != "balancers":
        words.append(f"--study {study}")
    if runs:
        words.append(f'--runs "{";".join(runs)}"')
    if seeds:
        words.append(f"--seeds {','.join(map(str, seeds))}")
    return " ".join(words)


def not_in(table: pd.DataFrame, runs: dict | list = tuple(BALANCER_RUNS)) -> list[str]:  # in the order of `runs`
    """The runs that a table has with no seed."""
    return [run for run in runs if run not in set(table["run"])]


def missing_sentence(
    table: pd.DataFrame,  # STUDY_COLUMNS
    study: str = "balancers",
    seeds: int = ENOUGH_SEEDS,
) -> str:
    """Which runs of a study are missing or have fewer seeds, and the command that makes them.

    Empty when nothing is missing.
    """
    runs = STUDIES[study]
    seeds_of = table[table["part"] == "test"].groupby("run")["seed"].nunique()
    missing = [run for run in runs if seeds_of.get(run, 0) < seeds]
    if not missing:
        return ""
    absent = [run for run in missing if run not in seeds_of]
    sentence = f"all {len(runs)} runs of the study {study!r} are there"
    if absent:
        sentence = f"{len(absent)} of {len(runs)} runs of the study {study!r} are not made yet"
    fewer = [f"{run} ({seeds_of[run]})" for run in missing if run in seeds_of]
    if fewer:
        verb = "has" if len(fewer) == 1 else "have"
        sentence += f", {len(fewer)} {verb} fewer than {seeds} seeds: {', '.join(fewer)}"
    return f"{sentence}. Make them with: {study_command(study)}"
