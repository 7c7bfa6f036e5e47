"""What a table of runs holds: scores by seed, Δm, and differences taken seed by seed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.statistics import mean_and_interval, mean_p_value
from ..core.task import TASKS
from ..evaluation.results import read_table
from .plans import CURVE_RUNS, IMBALANCE_RUNS, STUDIES, study_command
from .runner import STUDY_COLUMNS

__all__ = [
    "change_text",
    "delta_m",
    "find_result",
    "floor_score",
    "headline_scores",
    "paired_change",
    "pareto_front",
    "read_runs",
    "scores_of",
    "study_summary",
]


def find_result(
    results_dir: str | Path,  # a run's folder such as results/laptop, or results itself
    name: str,
) -> Path:  # need not exist
    """A result file in a folder or in the one above: a run's results lie in results/NAME, the
    studies in results.
    """
    folder = Path(results_dir).resolve()
    for place in (folder / name, folder.parent / name):
        if place.is_file():
            return place
    return folder / name


def _with_other_names(table: pd.DataFrame) -> pd.DataFrame:  # STUDY_COLUMNS
    """The table with runs that two studies share under the names of both.

    `few lanes` of the study `imbalance` has the fields of `65 lane, shared` of `learning_curves`.
    """
    copies = []
    for name, fields in IMBALANCE_RUNS.items():
        same = [other for other in CURVE_RUNS if other != name and CURVE_RUNS[other] == fields]
        copies += [table[table["run"] == name].assign(run=other) for other in same if other not in set(table["run"])]
    return pd.concat([table, *copies], ignore_index=True)


def read_runs(
    results_dir: str | Path,
    study: str,  # a key of STUDIES
) -> pd.DataFrame:  # STUDY_COLUMNS
    """The rows of a study's runs. Raises `UserError` with the command when there are none."""
    path = find_result(results_dir, "studies.csv")
    command = study_command(study)
    table = _with_other_names(read_table(path, STUDY_COLUMNS, command))
    table = table[table["run"].isin(STUDIES[study])]
    if table.empty:
        raise UserError(
            f"{path.name} in {path.parent.name} has no run of the study {study!r} yet; `{command}` makes them"
        )
    return table


# scores


def headline_scores(table: pd.DataFrame, split: str) -> pd.DataFrame:  # index (run, seed), one column per task
    """The primary metric of every task, for each run and seed."""
    rows = table[(table.part == split) & (table.metric == table.task.map(TASKS.primary_metrics()))]
    wide = rows.pivot_table(index=["run", "seed"], columns="task", values="value", sort=False)
    return wide[[t for t in TASKS if t in wide]]


def scores_of(
    table: pd.DataFrame,  # STUDY_COLUMNS
    run: str,
    task: str,
    metric: str | None = None,  # None: the primary one
    split: str = "test",
) -> pd.Series:  # index seed
    """A run's score of one task for each seed; empty when there is none."""
    rows = table[(table["run"] == run) & (table["task"] == task) & (table["part"] == split)]
    rows = rows[rows["metric"] == (metric or TASKS[task].primary_metric)]
    return rows.drop_duplicates("seed", keep="last").set_index("seed")["value"].dropna().sort_index()


def delta_m(
    table: pd.DataFrame,  # STUDY_COLUMNS
    split: str = "test",
    baseline: str = "alone",
) -> pd.Series:  # index (run, seed), in percent
    """Mean over tasks of the relative change against the single-task baselines (Maninis et al.
    2019, equation 3).

    Differences are taken from the baseline of the same seed, so its scatter is in the result; they
    are divided by
    the mean over its seeds. Raises `UserError` when there is no baseline.
    """
    scores = headline_scores(table, split)
    if baseline not in scores.index.get_level_values("run"):
        raise UserError(
            f"the table has no run {baseline!r} to compare with: run the study with its single-task baselines"
        )
    alone = scores.loc[baseline]
    same_seed = alone.reindex(scores.index.get_level_values("seed")).to_numpy()
    return 100 * ((scores - same_seed) / alone.mean()).mean(axis=1, skipna=False).dropna()


def study_summary(
    table: pd.DataFrame,  # STUDY_COLUMNS
    split: str = "test",
    baseline: str = "alone",
) -> pd.DataFrame:  # one row per run, sorted by Δm
    """Per run: seeds, mean headline scores, Δm in percent with its interval, seconds per step and
    peak memory.

    Δm is NaN for a run without all tasks; such runs come last.
    """
    scores = headline_scores(table, split)
    change = delta_m(table, split, baseline)
    rows = []
    for run, by_seed in scores.groupby(level="run", sort=False):
        mean, low, high = mean_and_interval(change[change.index.get_level_values("run") == run])
        cost = table[(table.run == run) & table.task.isin(["all"])].groupby("metric").value.median()
        row = dict(run=run, seeds=len(by_seed), **by_seed.mean(), delta_m=mean, low=low, high=high)
        row |= {name: cost.get(name) for name in ("step_seconds", "peak_memory_gib")}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("delta_m", ascending=False, ignore_index=True)


def pareto_front(scores: np.ndarray) -> np.ndarray:  # (N, T), more is better -> (N,) bool
    """Which rows no other row dominates (no worse everywhere, better somewhere)."""
    scores = np.asarray(scores, float)
    no_worse = (scores[None] >= scores[:, None]).all(2)  # [i, j]: row j against row i
    better = (scores[None] > scores[:, None]).any(2)
    return ~(no_worse & better).any(1)


# differences seed by seed

FLOOR = "at the floor: cannot be told"


@dataclass(frozen=True)
class PairedChange:
    """A run against its control, over the seeds that both have."""

    run: float  # mean of the run
    control: float  # mean of the control
    change: float  # mean of the differences
    low: float  # ends of its 95 % interval (Student's t); NaN for one seed
    high: float
    p: float  # two-sided p-value; NaN for one seed
    same: int  # seeds whose difference has the sign of the mean
    seeds: int
    floor: int = 0  # seeds in which both predict a constant


def paired_series(run: pd.Series, control: pd.Series, floor: int = 0) -> PairedChange | None:  # values by seed
    """The change between two quantities, seed by seed; None when they have no seed in common."""
    both = pd.concat([run, control], axis=1, keys=["run", "control"]).dropna()
    if both.empty:
        return None
    differences = both["run"] - both["control"]
    mean, low, high = mean_and_interval(differences)
    same = int((differences * mean > 0).sum())
    p = mean_p_value(differences)
    return PairedChange(both["run"].mean(), both["control"].mean(), mean, low, high, p, same, len(both), floor)


def paired_change(
    table: pd.DataFrame,  # STUDY_COLUMNS
    run: str,
    control: str,
    task: str,
    metric: str | None = None,  # None: the primary one
    split: str = "test",
) -> PairedChange | None:
    """How a score differs between a run and its control; None when they have no seed in common."""
    floor = set(constant_seeds(table, run, task, split)) & set(constant_seeds(table, control, task, split))
    scores = [scores_of(table, name, task, metric, split) for name in (run, control)]
    return paired_series(*scores, floor=len(floor))


def _pixel_scores(table: pd.DataFrame, run: str, task: str, split: str) -> pd.DataFrame:
    """IoU, recall, precision and pixel accuracy, a row per seed; no rows where one of them is not
    in the table.
    """
    metrics = ("iou", "recall", "precision", "pixel_accuracy")
    return pd.concat({m: scores_of(table, run, task, m, split) for m in metrics}, axis=1).dropna()


def constant_seeds(
    table: pd.DataFrame,  # STUDY_COLUMNS
    run: str,
    task: str = "lane",  # one of pixels; others have no constant seeds
    split: str = "test",
) -> dict[int, str]:  # seed -> nothing or everything
    """The seeds in which a run calls (next to) no pixel lane, or every pixel."""
    iou = scores_of(table, run, task, "iou", split)
    constant = {seed: "nothing" for seed in iou.index[iou < 5e-4]}  # an IoU that is 0.000 in a table
    for row in _pixel_scores(table, run, task, split).itertuples():
        if row.recall == 1 and np.isclose(row.iou, row.pixel_accuracy, atol=1e-5):
            constant[row.Index] = "everything"
    return constant


def floor_score(
    table: pd.DataFrame,  # STUDY_COLUMNS
    task: str = "lane",
    split: str = "test",
) -> float | None:  # in 0..1; None: pixel scores are not in the table
    """The share of the task's pixels, which is the IoU of calling every pixel so, worked out from
    the scores.

    Wrong pixels are p(1 − recall) misses and p · recall · (1/precision − 1) false alarms.
    """
    tables = [_pixel_scores(table, run, task, split) for run in table["run"].unique()]
    rows = pd.concat([pd.DataFrame(columns=["recall", "precision"], dtype=float), *tables])
    rows = rows[(rows["recall"] > 0.1) & (rows["precision"] > 0.01)]
    if rows.empty:
        return None
    wrong = 1 - rows["pixel_accuracy"]
    per_lane_pixel = 1 - rows["recall"] + rows["recall"] * (1 / rows["precision"] - 1)
    return float((wrong / per_lane_pixel).median())


def change_verdict(change) -> str:  # a `PairedChange`, or a row of a table with its fields
    """`higher`, `lower`, `undecided` (the interval contains zero), `one seed`, or FLOOR.

    FLOOR: both runs predict a constant in every seed.
    """
    if change.floor == change.seeds:
        return FLOOR
    if change.seeds < 2 or not np.isfinite(change.low):
        return "one seed"
    if change.high < 0:
        return "lower"
    return "higher" if change.low > 0 else "undecided"


def signed(value: float) -> str:
    """A number with its sign and three decimals, such as −0.120."""
    return f"{value:+.3f}".replace("-", "−")


def change_text(change) -> str:  # a `PairedChange`, a row of a table with its fields, or None
    """A difference in words, such as −0.120 (−0.140 to −0.100, 3 seeds: lower)."""
    if change is None:
        return "not measured"
    verdict = change_verdict(change)
    if verdict == FLOOR:
        return FLOOR
    if verdict == "one seed":
        return f"{signed(change.change)} (one seed, no interval)"
    interval = f"{signed(change.low)} to {signed(change.high)}"
    return f"{signed(change.change)} ({interval}, {change.seeds} seeds: {verdict})"


def seeds_text(change) -> str:  # as for `change_text`
    """In how many of the seeds the difference has the sign of its mean, such as: lower in 3 of 3
    seeds.
    """
    side = "lower" if change.change < 0 else "higher"
    return f"{side} in {change.same} of {change.seeds} seed{'s' if change.seeds > 1 else ''}"
