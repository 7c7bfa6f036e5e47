"""Figures of the balancer study: Δm of every run, and the tasks one by one and two by two."""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core.colours import OKABE_ITO
from ..core.statistics import mean_and_interval
from ..core.task import TASKS
from ..studies.balancers import run_kind
from ..studies.scores import delta_m, headline_scores, pareto_front
from .style import primary_label, style

__all__ = []  # drawings of lessons

KIND_STYLES = {
    "single-task": dict(marker="*", color="black"),
    "fixed weights": dict(marker="s", color=OKABE_ITO["vermillion"]),
    "control": dict(marker="D", color="#777777"),
    "balancer": dict(marker="o", color=OKABE_ITO["blue"]),
}  # kind -> marker and colour


def _interval_row(ax, y: float, mean: float, low: float, high: float, look: dict):
    if np.isfinite(low):
        ax.plot([low, high], [y, y], color=look["color"], lw=1.2, alpha=0.6)
    ax.plot(mean, y, ls="", ms=5, **look)


def _clip_axis(ax, rows: pd.DataFrame, limits: tuple):  # mean, low, high; row k is drawn at y = k
    "Cuts the axis; an arrowhead at the edge says that an interval goes on."
    left, right = limits
    ax.set_xlim(left, right)
    for y, row in enumerate(rows.itertuples()):
        if row.low < left:
            ax.plot(left, y, "<", color="#555555", ms=4, clip_on=False)
        if row.high > right:
            ax.plot(right, y, ">", color="#555555", ms=4, clip_on=False)


def answer_figure(
    differences: pd.DataFrame,  # of `paired_differences`
    opponent: str,  # the run that all are compared with
    limits: tuple = (-30, 30),  # of the axis, points of Δm; what lies beyond is marked at the edge
) -> Figure:
    """Does a balancer beat tuned fixed weights? Δm minus theirs, seed by seed, with 95 %
    intervals.
    """
    rows = differences.sort_values("mean", ignore_index=True)
    with style():
        fig = Figure(figsize=(6.5, 0.9 + 0.22 * len(rows)), layout="constrained")
        ax = fig.subplots()
        for y, row in enumerate(rows.itertuples()):
            _interval_row(ax, y, row.mean, row.low, row.high, KIND_STYLES[run_kind(row.run)])
        ax.axvline(0, color=KIND_STYLES["fixed weights"]["color"], lw=1)
        ax.set_yticks(range(len(rows)), rows.run, fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
        _clip_axis(ax, rows, limits)
        ax.set_xlabel(f"points of Δm on test, minus {opponent} (tuned), with the same seed; line: 95 % interval")
        ax.set_title(f"worse than tuned fixed weights  ◀      ▶  better ({len(rows)} comparisons)", loc="center")
    return fig


def delta_m_figure(block: pd.DataFrame, split: str = "test", limits: tuple | None = None) -> Figure:
    """Δm of each run with its 95 % interval over seeds, sorted; small marks: the seeds."""
    change = delta_m(block, split)
    records = [(run, *mean_and_interval(values)) for run, values in change.groupby(level="run", sort=False)]
    rows = pd.DataFrame(records, columns=["run", "mean", "low", "high"]).sort_values("mean", kind="stable")
    with style():
        fig = Figure(figsize=(6.5, 0.9 + 0.2 * len(rows)), layout="constrained")
        ax = fig.subplots()
        for y, row in enumerate(rows.itertuples()):
            look = KIND_STYLES[run_kind(row.run)]
            _interval_row(ax, y, row.mean, row.low, row.high, look)
            seeds = change[row.run]
            ax.plot(seeds, [y] * len(seeds), "|", color=look["color"], ms=6, alpha=0.6)
        for kind, look in KIND_STYLES.items():
            ax.plot([], [], ls="", ms=5, label=kind, **look)
        ax.axvline(0, color="black", lw=0.6, ls=":")
        ax.set_yticks(range(len(rows)), rows.run, fontsize=8)
        ax.tick_params(axis="x", labelsize=8)
        if limits:
            _clip_axis(ax, rows, limits)
        ax.set(xlabel=f"Δm on {split} against single tasks, percent")
        ax.legend(fontsize=8, loc="lower right")
    return fig


def task_change_figure(block: pd.DataFrame, split: str = "test", clip: float = 100) -> Figure:
    """Mean relative change of each task's score against the single tasks, a panel per task, runs
    sorted by Δm.

    Values beyond ± `clip` percent are drawn at the edge with their number.
    """
    means = headline_scores(block, split).groupby(level="run", sort=False).mean()
    order = delta_m(block, split).groupby(level="run", sort=False).mean().drop("alone").sort_values().index
    changes = (100 * (means / means.loc["alone"] - 1)).loc[order]
    with style():
        fig = Figure(figsize=(7, 0.9 + 0.2 * len(order)), layout="constrained")
        for ax, task in zip(fig.subplots(1, len(changes.columns), sharey=True), changes):
            for y, value in enumerate(changes[task]):
                x = np.clip(value, -clip, clip)
                ax.plot(x, y, TASKS[task].marker, color=TASKS[task].colour, ms=4.5, clip_on=False)
                if x != value:
                    ax.annotate(f"{value:+.0f}", (x, y), (-5, 0), textcoords="offset points", **_LEFT_OF_POINT)
            ax.axvline(0, color="black", lw=0.6, ls=":")
            ax.set(xlim=(-clip, clip), title=TASKS[task].title, xlabel="change, percent")
            ax.set_yticks(range(len(order)), order, fontsize=8)
            ax.tick_params(axis="x", labelsize=8)
    return fig


_LEFT_OF_POINT = dict(ha="right", va="center", fontsize=8)


def front_figure(
    block: pd.DataFrame,
    split: str = "test",
    named: tuple = (),  # runs whose names are written beside their points
) -> Figure:
    """Mean scores of each pair of tasks.

    The line joins the fixed weights that no other fixed weights dominate in these two tasks.
    """
    means = headline_scores(block, split).groupby(level="run", sort=False).mean()
    pairs = list(combinations([t for t in TASKS if t in means], 2))
    with style():
        fig = Figure(figsize=(7.6, 2.9), layout="constrained")
        for ax, (a, b) in zip(fig.subplots(1, len(pairs)), pairs):
            fixed = means.loc[[run for run in means.index if run_kind(run) == "fixed weights"], [a, b]]
            front = fixed[pareto_front(fixed)].sort_values(a)
            ax.plot(front[a], front[b], color=KIND_STYLES["fixed weights"]["color"], lw=0.8, alpha=0.6, zorder=0)
            for run, (x, y) in means[[a, b]].iterrows():
                ax.plot(x, y, ls="", ms=8 if run == "alone" else 4.5, **KIND_STYLES[run_kind(run)])
                if run in named:
                    ax.annotate(run, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=8)
            ax.set_xlabel(f"{TASKS[a].title}: {primary_label(a)}")
            ax.set_ylabel(f"{TASKS[b].title}: {primary_label(b)}")
            ax.tick_params(labelsize=8)
            ax.margins(0.14)
        marks = [ax.plot([], [], ls="", ms=5, label=kind, **look)[0] for kind, look in KIND_STYLES.items()]
        fig.legend(handles=marks, fontsize=8, loc="outside upper center", ncols=len(marks))
    return fig
