"""Figures of sharing against single tasks: over the seeds of a study, or of single runs where there
is none.
"""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ..core.errors import UserError
from ..core.statistics import mean_and_interval
from ..core.task import TASKS
from ..studies.plans import study_command
from ..studies.scores import headline_scores
from ..studies.sharing import BOTH_WAYS, sharing_effect, sharing_rows, study_parameters
from . import comparison
from .comparison import SCORES, benefit_figure, score_figure

__all__ = []


def _note(rows: pd.DataFrame) -> str:
    seeds = rows.seed.nunique()
    steps = rows.steps.iloc[-1]
    if seeds > 1:
        return f"{seeds} seeds, {steps} steps: mean and 95 % interval"
    return f"one seed, {steps} steps: no interval"


def performance_comparison(
    results_dir: str | Path,  # reads studies.csv, or else what `compare_single_runs` reads
) -> Figure:
    """Test scores of each task alone and shared: mean, 95 % interval and every seed.

    Without a study it is the comparison of single runs.
    """
    rows = sharing_rows(results_dir)
    if rows is None:
        return _of_single_runs(comparison.compare_single_runs, results_dir)
    scores = headline_scores(rows, "test")
    keys = {s.task: s for s in SCORES if s.metric == TASKS[s.task].primary_metric and s.task in scores}
    series = {}
    for run, name in BOTH_WAYS.items():
        series[name] = {keys[task]: mean_and_interval(scores.loc[run][task]) for task in keys}
    fig = score_figure(series, _note(rows))
    for k, run in enumerate(BOTH_WAYS):
        for y, task in enumerate(keys):
            seeds = scores.loc[run][task]
            at = [y + 0.17 * (2 * k - 1)] * len(seeds)
            fig.axes[0].plot(seeds, at, "|", ms=5, mew=0.7, color=TASKS[task].colour)
    return fig


def mtl_benefits(
    results_dir: str | Path,  # reads studies.csv, or else what `benefits_of_single_runs` reads
) -> Figure:
    """What sharing changes for each task, Δm and the parameters it saves; without a study for the
    single runs.
    """
    rows = sharing_rows(results_dir)
    if rows is None:
        return _of_single_runs(comparison.benefits_of_single_runs, results_dir)
    effect = sharing_effect(rows)[["change", "low", "high"]]
    changes = {task: tuple(effect.loc[task]) for task in effect.index.drop("all", errors="ignore")}
    return benefit_figure(changes, tuple(effect.loc["all"]), study_parameters(rows), _note(rows))


def _of_single_runs(figure, results_dir: str | Path) -> Figure:
    """A figure of single runs; when their results are missing, the sentence names the study as
    another way.
    """
    try:
        return figure(results_dir)
    except UserError as error:
        command = study_command(runs=BOTH_WAYS)
        raise UserError(f"{error}; or, with several seeds: `{command}` makes studies.csv") from None
