"""Is the shared network worth it? Its scores beside those of one network per task."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from ..core.colours import OKABE_ITO
from ..core.errors import UserError
from ..core.files import project_root
from ..core.task import TASKS
from ..evaluation.results import RESULT_COLUMNS, read_table
from ..metrics.kitti_frames import KITTI_CLASSES
from ..metrics.scores import checkpoint_score
from ..studies.sharing import relative_change
from .efficiency import count_parameters, draw_parameters, read_efficiency
from .figures import read_scores, run_config, select_run
from .style import WIDTH, primary_label

__all__ = []


class Score(NamedTuple):
    """A row of the comparison."""

    task: str
    metric: str
    name: str  # of the class, or all
    difficulty: str
    label: str


SCORES = [Score(t, TASKS[t].primary_metric, "all", "all", primary_label(t)) for t in TASKS]
SCORES[2:2] = [Score("detection", "kitti_ap_r40", name, "moderate", f"KITTI AP, {name}") for name in KITTI_CLASSES]
SCORES.append(Score("lane", "tusimple_accuracy", "all", "all", "TuSimple accuracy"))


def pick_score(
    rows: pd.DataFrame,  # RESULT_COLUMNS of one run
    task: str,
    metric: str,
    name: str = "all",  # of the class
    difficulty: str = "all",
) -> tuple | None:  # value, low, high
    """One score: its 95 % interval with one seed, mean and range with several; NaN where there is
    no interval.
    """
    chosen = (rows["task"] == task) & (rows["metric"] == metric)
    chosen &= (rows["class"] == name) & (rows["difficulty"] == difficulty)
    seeds = rows[chosen].dropna(subset="value")
    if seeds.empty:
        return None
    if len(seeds) > 1:
        return seeds["value"].mean(), seeds["value"].min(), seeds["value"].max()
    return tuple(seeds[["value", "low", "high"]].iloc[0])


def score_figure(
    series: dict,  # name -> {`Score`: (value, low, high)}
    note: str,
) -> Figure:
    """Dots with intervals, one row per score, one kind of dot per series: the first hollow, the
    last filled.
    """
    scored = set().union(*series.values())
    keys = [score for score in SCORES if score in scored]
    fig = Figure(figsize=(WIDTH, 0.9 + 0.27 * len(keys)))
    ax = fig.subplots()
    for k, (name, scores) in enumerate(series.items()):
        dot = dict(marker="o", ms=4) if k == len(series) - 1 else dict(marker="D", ms=3.5, mfc="white")
        for y, key in enumerate(keys):
            if key in scores:
                _draw_score(ax, scores[key], y + 0.17 * (2 * k - 1), TASKS[key.task].colour, dot)
        ax.plot([], [], ls="", color="#444444", label=name, **dot)
    ax.set(yticks=range(len(keys)), ylim=(len(keys) - 0.45, -0.55), xlim=(0, 1), xlabel=f"score ({note})")
    ax.grid(axis="y", visible=False)
    ax.set_yticklabels([key.label for key in keys])
    for tick, key in zip(ax.get_yticklabels(), keys):
        tick.set_color(TASKS[key.task].colour)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    fig.legend(loc="outside upper center", ncol=len(series), frameon=False)
    return fig


def _draw_score(ax, score: tuple, y: float, colour: str, dot: dict):  # (value, low, high)
    "A dot with its interval, and its number at the right edge."
    value, low, high = score
    ax.plot([value], [y], ls="", color=colour, zorder=3, clip_on=False, **dot)
    if not np.isnan(low):
        ax.hlines(y, low, high, color=colour, lw=1, alpha=0.7)
    place = ax.get_yaxis_transform()
    ax.text(1.03, y, f"{100 * value:.1f}", fontsize=5.5, va="center", color=colour, transform=place)


def _note(*tables):
    return "line: range over seeds" if max(t["seed"].nunique() for t in tables) > 1 else "line: 95 % interval"


def _run_rows(results_dir, **choice):
    return read_scores(results_dir, "mtl_train", **choice)


def _all_scores(rows):
    "The scores that a run has: `Score` -> (value, low, high)."
    scores = {score: pick_score(rows, *score[:4]) for score in SCORES}
    return {score: value for score, value in scores.items() if value is not None}


def _logged_scores(results_dir):
    """Validation scores of the log's best epoch (the mean of the headline scores decides, as in
    training).
    """
    log = read_table(Path(results_dir) / "logs" / "training.csv", ["kind", "epoch", "task", "metric", "value"])
    wide = log[(log["kind"] == "epoch")].pivot_table(index="epoch", columns=["task", "metric"], values="value")
    primary = [(task, TASKS[task].primary_metric) for task in TASKS]
    wide = wide[[column for column in primary if column in wide]]
    if wide.empty:
        return {}

    def mean_score(epoch):
        return checkpoint_score({task: {metric: value} for (task, metric), value in wide.loc[epoch].items()})

    best = wide.loc[max(wide.index, key=mean_score)].fillna(0)
    return {s: (best[s.task, s.metric], np.nan, np.nan) for s in SCORES if (s.task, s.metric) in best}


def evaluation_comparison(
    results_dir: str | Path,  # evaluation_results.csv, and logs/training.csv where it has no validation rows
) -> Figure:
    "Validation and test scores of every task with their intervals, the official metrics beside."
    test = _run_rows(results_dir, split="test")
    try:
        val = _run_rows(results_dir, split="val", model=test["model"].iloc[0], data_set=test["data_set"].iloc[0])
    except UserError:
        series = {"validation (log, best epoch)": _logged_scores(results_dir), "test": _all_scores(test)}
        return score_figure(series, _note(test))
    return score_figure({"validation": _all_scores(val), "test": _all_scores(test)}, _note(test, val))


def _short(path):
    "A path below the project's root without the root."
    path = Path(path)
    return path.relative_to(project_root()) if path.is_relative_to(project_root()) else path


def single_rows(
    results_dir: str | Path,
    shared: pd.DataFrame,  # rows of the shared network
) -> pd.DataFrame:  # rows of the single-task ones
    """Scores of the single-task runs in single/<task>/ on the same data as the shared network's;
    raises `UserError` naming the command for a missing one.
    """
    tables = []
    for task in (t for t in TASKS if t in set(shared["task"])):
        folder = Path(results_dir) / "single" / task
        command = f"mtl_train --tasks {task} --results_dir {_short(folder)}"
        table = read_table(folder / "evaluation_results.csv", RESULT_COLUMNS, command)
        same = {column: shared[column].iloc[0] for column in ("data_set", "split")}
        rows = select_run(table, model=f"single_{task}", **same)
        tables.append(rows[rows["task"] == task])
    return pd.concat(tables, ignore_index=True)


def compare_single_runs(
    results_dir: str | Path,  # evaluation_results.csv here and in single/<task>/
) -> Figure:
    "Test scores of the shared network and of one network per task."
    shared = _run_rows(results_dir, model="multi_task", split="test")
    single = single_rows(results_dir, shared)
    series = {"one network per task": _all_scores(single), "shared network": _all_scores(shared)}
    return score_figure(series, _note(shared, single))


def benefit_figure(
    changes: dict,  # task -> (value, low, high): shares of the single-task score, NaN where unknown
    mean: tuple,  # Δm with its interval, or with NaN
    table: pd.DataFrame | None,  # rows of efficiency.csv with the parameters; None: without that panel
    note: str = "",  # above the figure
) -> Figure:
    """Relative change of every task's headline score against its single-task network, their mean
    Δm, and the parameters that sharing saves.
    """
    heights = [2] if table is None else [2, 1]
    fig = Figure(figsize=(WIDTH, 2.2 if table is None else 3.2))
    axes = fig.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_changes(axes[0], changes, mean)
    if note:
        fig.suptitle(note, fontsize=7)
    if table is not None:
        draw_parameters(axes[1], table)
        three, one = [sum(parts.values()) for parts in count_parameters(table).values()]
        axes[1].set_xlabel(f"parameters (millions): sharing saves {100 * (1 - one / three):.0f} %")
    return fig


def _draw_changes(ax, changes: dict, mean: tuple):
    "A bar for each task and for their mean, with intervals and numbers."
    place = ax.get_yaxis_transform()
    for y, (name, (value, low, high)) in enumerate([*changes.items(), ("mean", mean)]):
        colour = TASKS[name].colour if name in TASKS else OKABE_ITO["black"]
        ax.barh(y, value, color=colour, height=0.6, alpha=0.85 if name in TASKS else 0.6)
        if not np.isnan(low):
            ax.hlines(y, low, high, color="black", lw=1)
        text = "–" if np.isnan(value) else f"{100 * value:+.1f} %"
        ax.text(1.02, y, text, transform=place, va="center", fontsize=6.5)
    ax.axvline(0, color="black", lw=0.8)
    ax.set(
        yticks=range(len(changes) + 1),
        yticklabels=[*(f"{TASKS[t].title}\n({primary_label(t)})" for t in changes), "mean (Δm)"],
        ylim=(len(changes) + 0.5, -0.5),
        xlabel="change against a network of its own",
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:+.3g} %" if v else "0"))
    ax.grid(axis="y", visible=False)
    ax.xaxis.get_major_locator().set_params(nbins=5)


def benefits_of_single_runs(
    results_dir: str | Path,  # config.json, efficiency.csv, evaluation_results.csv here and in single/<task>/
) -> Figure:
    """Gain and saving of the run in a results folder; raises `UserError` naming the command for
    what is missing.
    """
    shared = _run_rows(results_dir, model="multi_task", split="test")
    single = single_rows(results_dir, shared)
    table = read_efficiency(results_dir, run_config(results_dir))
    changes = {}
    for task in (t for t in TASKS if t in set(shared["task"])):
        metric = TASKS[task].primary_metric
        changes[task] = relative_change(pick_score(shared, task, metric), pick_score(single, task, metric))
    mean = np.mean([change[0] for change in changes.values()])
    return benefit_figure(changes, (mean, np.nan, np.nan), table)
