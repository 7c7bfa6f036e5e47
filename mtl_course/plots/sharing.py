"""One run against one run is an anecdote. The same comparison over seeds, with both sides' uncertainty, is a measurement."""

__all__ = [
    "BOTH_WAYS",
    "SHARING_FIGURES",
    "sharing_rows",
    "sharing_effect",
    "study_parameters",
    "performance_comparison",
    "mtl_benefits",
]

from pathlib import Path
import numpy as np, pandas as pd
from matplotlib.figure import Figure
from ..plots import comparison as comparison_figures
from .comparison import SCORES, score_figure, benefit_figure, relative_change
from ..config import RECIPES, TASKS
from ..core.errors import UserError
from ..studies.runner import (
    SINGLE_TASK_RUNS,
    config_hash,
    delta_m,
    headline_scores,
    mean_and_interval,
    read_study,
    run_configs,
)
from .figures import TASK_COLOURS
from ..metrics.scores import PRIMARY_METRIC
from ..models.multi_task_model import model_from_config
from ..studies.plans import study_command

BOTH_WAYS = {"alone": "one network per task", "equal": "shared network"}  # runs of a study -> names


def sharing_rows(results_dir: str | Path) -> pd.DataFrame | None:  # STUDY_COLUMNS
    "Rows of `alone` and `equal` in the folder's studies.csv, of the seeds that both have with one and the same number of steps; None when there are none."
    table = read_study(Path(results_dir).absolute() / "studies.csv")
    made = {run: set(zip(own.seed, own.steps)) for run, own in table[table.run.isin(BOTH_WAYS)].groupby("run")}
    both = set.intersection(*(made.get(run, set()) for run in BOTH_WAYS))
    rows = table[
        table.run.isin(BOTH_WAYS)
        & pd.Series([pair in both for pair in zip(table.seed, table.steps)], table.index, dtype=bool)
    ]
    return rows if len(rows) else None


def sharing_effect(
    rows: pd.DataFrame,  # of `sharing_rows`
    part: str = "test",
) -> pd.DataFrame:  # index: tasks and "all"; alone, shared (means), change, low, high (shares of alone)
    "What sharing changes for each task, and their mean Δm (index `all`), with 95 % intervals: over the seeds of both sides for a task, over the seeds' differences for Δm; without intervals (NaN) for one seed."
    scores, deltas, found = headline_scores(rows, part), delta_m(rows, part) / 100, {}
    for task in scores:
        alone, shared = (mean_and_interval(scores.loc[run][task]) for run in BOTH_WAYS)
        found[task] = (alone[0], shared[0], *relative_change(shared, alone))
    found["all"] = (np.nan, np.nan, *mean_and_interval(deltas.loc["equal"]))  # each seed against its own single tasks
    return pd.DataFrame.from_dict(found, orient="index", columns=["alone", "shared", "change", "low", "high"])


def _note(rows):
    seeds = rows.seed.nunique()
    return (
        f"{seeds} seeds, {rows.steps.iloc[-1]} steps: mean and 95 % interval"
        if seeds > 1
        else f"one seed, {rows.steps.iloc[-1]} steps: no interval"
    )


def study_parameters(rows: pd.DataFrame) -> pd.DataFrame | None:  # what, model, part, value, as in efficiency.csv
    "Parameters by part of the shared network and of the three single ones; None when no recipe has the hash of the rows."
    hash_ = rows[rows.run == "equal"].config.iloc[-1]
    recipe = next((r for r in RECIPES if config_hash(run_configs({}, 0, r)) == hash_), None)
    if recipe is None:
        return None
    found = []
    for name, config in zip(("shared", *TASKS), run_configs([{}, *SINGLE_TASK_RUNS], 0, recipe)):
        model = model_from_config(config.replace(pretrained="false"))
        parts = {"trunk": model.backbone} | dict(model.heads.items())
        found += [
            dict(what="parameters", model=name, part=p, value=sum(q.numel() for q in m.parameters()))
            for p, m in parts.items()
        ]
    return pd.DataFrame(found)


def performance_comparison(
    results_dir: str | Path,
) -> Figure:  # reads studies.csv, or else what comparison_figures.performance_comparison reads
    "Test scores of each task alone and shared: mean, 95 % interval and every seed; without a study the comparison of single runs."
    rows = sharing_rows(results_dir)
    if rows is None:
        return _single_run(comparison_figures.performance_comparison, results_dir)
    scores = headline_scores(rows, "test")
    keys = {s[0]: s for s in SCORES if s[1] == PRIMARY_METRIC[s[0]] and s[0] in scores}
    fig = score_figure(
        {name: {keys[t]: mean_and_interval(scores.loc[run][t]) for t in keys} for run, name in BOTH_WAYS.items()},
        _note(rows),
    )
    for k, run in enumerate(BOTH_WAYS):
        for y, t in enumerate(keys):
            fig.axes[0].plot(
                scores.loc[run][t],
                [y + 0.17 * (2 * k - 1)] * len(scores.loc[run]),
                "|",
                ms=5,
                mew=0.7,
                color=TASK_COLOURS[t],
            )
    return fig


def mtl_benefits(
    results_dir: str | Path,
) -> Figure:  # reads studies.csv, or else what comparison_figures.mtl_benefits reads
    "What sharing changes for each task, Δm and the parameters it saves; without a study for the single runs."
    rows = sharing_rows(results_dir)
    if rows is None:
        return _single_run(comparison_figures.mtl_benefits, results_dir)
    effect = sharing_effect(rows)[["change", "low", "high"]]
    return benefit_figure(
        {t: tuple(effect.loc[t]) for t in effect.index if t != "all"},
        tuple(effect.loc["all"]),
        study_parameters(rows),
        _note(rows),
    )


def _single_run(figure, results_dir):
    "A figure of single runs; when their results are missing, the sentence names the study as another way."
    try:
        return figure(results_dir)
    except UserError as e:
        raise UserError(f"{e}; or, with several seeds: `{study_command(runs=BOTH_WAYS)}` makes studies.csv") from None


SHARING_FIGURES = {
    "performance_comparison": performance_comparison,
    "mtl_benefits": mtl_benefits,
}  # in place of those of single runs
