"""One run against one run is an anecdote; sharing against single tasks over seeds is a
measurement.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..config import RECIPES, TASKS
from ..core.statistics import mean_and_interval
from ..metrics.intervals import interval_of_difference
from ..models.multi_task_model import model_from_config
from .runner import SINGLE_TASK_RUNS, config_hash, read_study, run_configs
from .scores import delta_m, headline_scores

__all__ = ["BOTH_WAYS", "relative_change", "sharing_effect", "sharing_rows", "study_parameters"]

BOTH_WAYS = {"alone": "one network per task", "equal": "shared network"}  # runs of a study -> names


def relative_change(
    shared: tuple,  # (score, low, high)
    single: tuple,  # the same, of the single task
) -> tuple[float, float, float]:  # (change, low, high), as parts of the single-task score
    """(M − S)/S with the interval of the difference (Zou & Donner 2008).

    NaN ends where either has none, NaN altogether for S = 0.
    """
    if not single[0]:
        return (np.nan,) * 3
    return tuple(v / single[0] for v in interval_of_difference(shared, single))


def sharing_rows(results_dir: str | Path) -> pd.DataFrame | None:  # STUDY_COLUMNS
    """Rows of `alone` and `equal` in the folder's studies.csv, of the seeds that both have with
    equally many steps.

    None when there are none.
    """
    table = read_study(Path(results_dir).absolute() / "studies.csv")
    table = table[table.run.isin(BOTH_WAYS)]
    trained = [set(zip(rows.seed, rows.steps)) for _, rows in table.groupby("run")]
    common = set.intersection(*trained) if len(trained) == len(BOTH_WAYS) else set()
    comparable = [pair in common for pair in zip(table.seed, table.steps)]
    rows = table[pd.Series(comparable, table.index, dtype=bool)]
    return rows if len(rows) else None


def sharing_effect(
    rows: pd.DataFrame,  # of `sharing_rows`
    split: str = "test",
) -> pd.DataFrame:  # index: tasks and "all"; alone, shared (means), change, low, high (parts of alone)
    """What sharing changes for each task, and their mean Δm (index `all`), with 95 % intervals.

    The interval is over the seeds of both sides for a task, over the seeds' differences for Δm; NaN
    for one seed.
    """
    scores = headline_scores(rows, split)
    effects = {}
    for task in scores:
        alone, shared = (mean_and_interval(scores.loc[run][task]) for run in BOTH_WAYS)
        effects[task] = (alone[0], shared[0], *relative_change(shared, alone))
    change = (delta_m(rows, split) / 100).loc["equal"]  # each seed against its own single tasks
    effects["all"] = (np.nan, np.nan, *mean_and_interval(change))
    return pd.DataFrame.from_dict(effects, orient="index", columns=["alone", "shared", "change", "low", "high"])


def study_parameters(rows: pd.DataFrame) -> pd.DataFrame | None:  # what, model, part, value, as in efficiency.csv
    """Parameters by component of the shared network and of the single ones.

    None when no recipe has the hash of the rows.
    """
    stored = rows[rows.run == "equal"].config.iloc[-1]
    recipe = next((r for r in RECIPES if config_hash(run_configs({}, 0, r)) == stored), None)
    if recipe is None:
        return None
    records = []
    for name, config in zip(("shared", *TASKS), run_configs([{}, *SINGLE_TASK_RUNS], 0, recipe)):
        model = model_from_config(config.replace(pretrained="false"))
        components = {"trunk": model.backbone} | dict(model.heads.items())
        for component, module in components.items():
            count = sum(p.numel() for p in module.parameters())
            records.append(dict(what="parameters", model=name, part=component, value=count))
    return pd.DataFrame(records)
