"""Four causes of "imbalance", each varied alone, and what remedies repair: the tables and the
sentences below them.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..config import TASKS
from ..evaluation.results import read_table
from .scores import (
    FLOOR,
    PairedChange,
    change_text,
    change_verdict,
    constant_seeds,
    find_result,
    paired_change,
    paired_series,
    scores_of,
    seeds_text,
    signed,
)

__all__ = ["GROUPS", "run_label", "training_images"]


class _Group(NamedTuple):
    "One cause of imbalance and the runs about it."

    cause: str  # the run in which it is turned on
    victim: str  # the task that it is about
    controls: tuple[str, ...]  # runs without it, in the order of preference
    remedies: tuple[str, ...]


GROUPS = {  # what is disturbed -> its runs
    "nothing": _Group("equal", "lane", (), ("boosted lanes", "imtl_g", "uncertainty", "alone")),
    "few images": _Group(
        "few lanes",
        "lane",
        ("equal",),
        (
            "few lanes, boosted",
            "few lanes, augmented",
            "few lanes, uncertainty",
            "few lanes, imtl_g",
            "few lanes, alone",
        ),
    ),
    "drawn rarely": _Group(
        "rare lanes",
        "lane",
        ("drawn alike", "equal"),
        ("rare lanes, boosted", "rare lanes, temperature 5", "drawn alike"),
    ),
    "a small loss": _Group(
        "small lane loss",
        "lane",
        ("equal",),
        ("small lane loss, uncertainty", "small lane loss, imtl_g"),
    ),
    "skewed classes": _Group(
        "skewed signs",
        "classification",
        ("as many signs, balanced", "equal"),
        (
            "skewed signs, class-balanced",
            "skewed signs, smaller loss",
            "skewed signs, focal",
            "as many signs, balanced",
        ),
    ),
    "all at once": _Group(
        "regime",
        "lane",
        ("drawn alike", "equal"),
        ("regime, boosted", "regime, temperature 5"),
    ),
}
_ONE_AT_A_TIME = ("few images", "drawn rarely", "a small loss")  # causes that touch the lane task alone
_LABELS = {
    "equal": "undisturbed",
    "boosted lanes": "+ weight ×30",
    "alone": "+ each task alone",
    "few lanes": "65 lane images",
    "rare lanes": "drawn in proportion",
    "small lane loss": "lane loss × 1/30",
    "drawn alike": "+ drawn alike",
    "skewed signs": "signs 10 : 1",
    "as many signs, balanced": "+ as many, balanced",
    "regime": "78 : 12 : 0.8 %, drawn so",
}
_REMEDIES = {
    "boosted": "weight ×30",
    "augmented": "augmentation",
    "uncertainty": "uncertainty",
    "imtl_g": "IMTL-G",
    "alone": "lanes alone",
    "temperature 5": "temperature 5",
    "class-balanced": "class-balanced loss",
    "smaller loss": "loss as small (control)",
    "focal": "focal loss",
}
_UNDISTURBED = {  # a remedy -> the run with the remedy and no cause
    "boosted": "boosted lanes",
    "imtl_g": "imtl_g",
    "uncertainty": "uncertainty",
    "alone": "alone",
}


def run_label(run: str) -> str:  # a key of IMBALANCE_RUNS
    """A run in a few words; remedies begin with +."""
    return _LABELS[run] if run in _LABELS else f"+ {_REMEDIES[_remedy_of(run)]}"


def _plain_label(run: str) -> str:
    return run_label(run).lstrip("+ ")


def _remedy_of(run: str) -> str:  # "few lanes, boosted" -> "boosted"
    return run.rpartition(", ")[2]


def training_images(results_dir: str | Path) -> pd.Series:  # task -> images
    """Training images of each task, of a run's data_counts.csv or of the studies' study_data.csv.

    Raises `UserError` when both are missing.
    """
    path = find_result(results_dir, "data_counts.csv")
    if not path.is_file():
        path = find_result(results_dir, "study_data.csv")
    table = read_table(path, ["part", "task", "class", "count"], "python benchmarks/study_data.py")
    counts = table[(table["part"] == "train") & (table["class"] == "all")].set_index("task")["count"]
    return counts.reindex([t for t in TASKS if t in counts.index]).astype(int)


# tables


class _Cause(NamedTuple):
    "A group of runs with the best control that the table has."

    name: str
    group: _Group
    control: str | None  # None: the table has none
    change: PairedChange | None  # what the cause does to its victim; None: cannot be compared


def _causes(table: pd.DataFrame, split: str) -> Iterator[_Cause]:
    for name, group in GROUPS.items():
        control = next((run for run in group.controls if run in set(table["run"])), None)
        change = paired_change(table, group.cause, control, group.victim, split=split) if control else None
        yield _Cause(name, group, control, change)


_CAUSE_COLUMNS = ["group", "victim", "cause", "against", "control", "run", "change", "low", "high", "p", "same"]
_CAUSE_COLUMNS += ["floor", "seeds"]


def cause_table(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:  # one row per cause that was measured
    """What each cause does to its victim's headline score: the run `cause` against the run
    `against`.

    The other columns are the fields of `PairedChange`.
    """
    rows = []
    for name, group, control, change in _causes(table, split):
        if change:
            rows.append(dict(group=name, victim=group.victim, cause=group.cause, against=control) | asdict(change))
    return pd.DataFrame(rows, columns=_CAUSE_COLUMNS)


def _gain_difference(table: pd.DataFrame, remedy: str, cause: _Cause, split: str) -> PairedChange | None:
    """A remedy's gain with the cause (run) against its gain without it (control); None where it was
    not tried there.
    """
    undisturbed = _UNDISTURBED.get(_remedy_of(remedy))
    if cause.control != "equal" or undisturbed is None:
        return None
    victim = cause.group.victim

    def scores(run):
        return scores_of(table, run, victim, split=split)

    return paired_series(scores(remedy) - scores(cause.group.cause), scores(undisturbed) - scores("equal"))


def _repaired(cause: _Cause, change: PairedChange) -> float:
    """A remedy's gain as a part of what the cause took; NaN unless the seeds tell that loss from
    nothing.
    """
    if cause.change is None or change_verdict(cause.change) != "lower" or change_verdict(change) == FLOOR:
        return np.nan
    return change.change / -cause.change.change


def _cost_columns(table: pd.DataFrame, remedy: str, cause: _Cause, split: str) -> dict:
    "What a remedy does to the other tasks, against the run with the cause alone."
    columns = {}
    for task in TASKS:
        if task == cause.group.victim:
            continue
        change = paired_change(table, remedy, cause.group.cause, task, split=split)
        columns[f"{task} change"] = change.change if change else np.nan
        columns[f"{task} verdict"] = change_verdict(change) if change else "not measured"
    return columns


def remedy_table(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:  # one row per remedy that was measured
    """What a remedy gives the victim and what it does to the other tasks, against the run with the
    cause alone.

    `repaired`: the gain as a part of what the cause took; `undisturbed`: the gain where nothing is
    wrong;
    `more`: the difference of the two gains (`PairedChange`), or None.
    """
    rows = []
    for cause in _causes(table, split):
        group = cause.group
        for remedy in group.remedies:
            change = paired_change(table, remedy, group.cause, group.victim, split=split)
            if change is None or remedy == cause.control:
                continue
            more = _gain_difference(table, remedy, cause, split)
            row = dict(group=cause.name, cause=group.cause, remedy=remedy, victim=group.victim) | asdict(change)
            row |= dict(undisturbed=more.control if more else np.nan, more=more, repaired=_repaired(cause, change))
            rows.append(row | _cost_columns(table, remedy, cause, split))
    return pd.DataFrame(rows)


# sentences


def _score_name(task: str) -> str:
    return TASKS[task].metrics[TASKS[task].primary_metric]


def _floor_text(table: pd.DataFrame, run: str, split: str) -> str:  # a sentence in brackets, or nothing
    "In how many seeds a run predicts a constant."
    constant = list(constant_seeds(table, run, split=split).values())
    if not constant:
        return ""
    kinds = [kind for kind in ("nothing", "everything") if kind in constant]
    counts = " and ".join(f"{kind} is lane in {constant.count(kind)}" for kind in kinds)
    return f" (Of {len(scores_of(table, run, 'lane', split=split))} seeds, {counts}: a constant prediction.)"


def _cause_sentence(row, table: pd.DataFrame, split: str) -> str:  # row of `cause_table`
    return (
        f"{row.group} ({run_label(row.cause)}, against “{_plain_label(row.against)}”): "
        f"the {_score_name(row.victim)} is {row.run:.3f} instead of {row.control:.3f}, "
        f"{change_text(row)}, {seeds_text(row)}.{_floor_text(table, row.cause, split)}"
    )


def _worst_cause_sentence(causes: pd.DataFrame) -> str:  # of `cause_table`
    "Which of the causes that touch the lane task alone costs most."
    rows = list(causes[causes["group"].isin(_ONE_AT_A_TIME)].sort_values("change").itertuples())
    worse = [row.group for row in rows if change_verdict(row) == "lower"]
    if not worse:
        return (
            f"None of the {len(rows)} causes lowers the lane score by more than the seeds scatter; the largest "
            f"mean change is {signed(rows[0].change)}, from “{rows[0].group}”, {seeds_text(rows[0])}."
        )
    start = f"Of the {len(rows)} causes measured one at a time “{worse[0]}” costs the lane task most; "
    rest = [f"“{row.group}”" for row in rows if row.group not in worse]
    if not rest:
        return f"{start}each of them lowers it by more than the seeds scatter."
    return f"{start}{' and '.join(rest)} {_do(rest)} not lower it by more than the seeds scatter."


def _do(names: list) -> str:
    return "do" if len(names) > 1 else "does"


def cause_sentences(table: pd.DataFrame, split: str = "test") -> list[str]:
    """One sentence for each measured cause, and one that says which costs the lane task most."""
    causes = cause_table(table, split)
    sentences = [_cause_sentence(row, table, split) for row in causes.itertuples()]
    if causes["group"].isin(_ONE_AT_A_TIME).sum() < 2:
        return sentences
    return [*sentences, _worst_cause_sentence(causes)]


def _gain_text(row: dict) -> str:  # of `remedy_table`
    """How the remedy's gain compares with that in the undisturbed run; empty where that cannot be
    told.
    """
    if not row["more"]:
        return ""
    gain = signed(row["undisturbed"])
    return f" Where nothing is wrong it gives {gain}; difference of the two gains {change_text(row['more'])}."


def _cost_text(row: dict) -> str:  # of `remedy_table`
    "What the other tasks pay."
    costs = []
    for task in TASKS:
        change = row.get(f"{task} change", np.nan)
        if np.isfinite(change):
            costs.append(f"{task} {signed(change)} ({row[f'{task} verdict']})")
    return f" Other tasks: {', '.join(costs)}." if costs else " The other tasks are not trained in this run."


def _remedy_sentence(row: dict) -> str:  # of `remedy_table`
    change = PairedChange(**{name: row[name] for name in PairedChange.__dataclass_fields__})
    part = ""
    if np.isfinite(row["repaired"]) and row["group"] != "nothing" and change_verdict(change) == "higher":
        part = f", {row['repaired']:.0%} of what the cause took".replace("-", "−")
    group = "undisturbed run" if row["group"] == "nothing" else row["group"]
    floor = ""
    if change.floor > 0:
        floor = f" In {change.floor} of {change.seeds} seeds the run and its control both predict a constant."
    return (
        f"{group}, {_plain_label(row['remedy'])}: {row['victim']} {change_text(change)}{part}."
        f"{_gain_text(row)}{_cost_text(row)}{floor}"
    )


def remedy_sentences(table: pd.DataFrame, split: str = "test") -> list[str]:
    """One sentence for each measured remedy: what it repairs and what the other tasks pay."""
    return [_remedy_sentence(row) for row in remedy_table(table, split).to_dict("records")]
