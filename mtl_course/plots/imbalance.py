"""Figures of the imbalance study and of the learning curves, from what `studies/` computes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from ..core.errors import UserError
from ..core.statistics import mean_and_interval
from ..core.task import TASKS, default_tasks
from ..studies.imbalance import GROUPS, run_label, training_images
from ..studies.learning_curves import curve_runs
from ..studies.plans import STUDIES, not_in, study_command
from ..studies.gradient_shares import read_gramians, share_text, step_shares
from ..studies.scores import floor_score, read_runs, scores_of
from .data_counts import data_counts_figure
from .style import primary_label

__all__ = []

_GREY = "#555555"


# a row per run


class _Row(NamedTuple):
    "A line of the figure: a title of a group, or a run."

    y: float
    name: str  # a key of GROUPS, or a run
    is_title: bool = False
    is_remedy: bool = False

    @property
    def label(self) -> str:
        if self.is_title:
            return "no disturbance" if self.name == "nothing" else self.name
        return run_label(self.name)


def _rows(table: pd.DataFrame) -> list[_Row]:
    "Where each run that the table has is drawn; groups without a run are left out."
    measured = set(table["run"])
    rows = []
    y = 0.0
    for name, group in GROUPS.items():
        runs = [run for run in (group.cause, *group.remedies) if run in measured]
        if not runs:
            continue
        rows.append(_Row(y, name, is_title=True))
        y += 0.85
        for run in runs:
            rows.append(_Row(y, run, is_remedy=run != group.cause))
            y += 1
        y += 0.15
    return rows


def _write_labels(ax, rows: list[_Row], height: float):
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(height - 0.4, -0.6))
    for row in rows:
        indent = 0 if row.is_title else 0.04 + 0.04 * row.is_remedy
        ax.text(indent, row.y, row.label, va="center", fontsize=8, fontweight="bold" if row.is_title else "normal")


def _draw_run(ax, row: _Row, values: pd.Series, task: str):
    "Mean, interval and seeds of one run."
    colour = TASKS[task].colour
    mean, low, high = mean_and_interval(values)
    if np.isfinite(low):
        ax.plot([low, high], [row.y, row.y], color=colour, lw=1)
    ax.plot(values, [row.y] * len(values), "|", color=colour, ms=4, mew=0.7)
    face = "white" if row.is_remedy else colour
    ax.plot(mean, row.y, TASKS[task].marker, color=colour, mfc=face, ms=4.5, mew=1)


def _forest(ax, table: pd.DataFrame, task: str, rows: list[_Row], split: str):
    "Scores of one task, a row per run."
    scores = {row: scores_of(table, row.name, task, split=split) for row in rows if not row.is_title}
    for row, values in scores.items():
        if len(values):
            _draw_run(ax, row, values, task)
    undisturbed = scores_of(table, "equal", task, split=split)
    if len(undisturbed):
        ax.axvline(undisturbed.mean(), color=_GREY, ls="--", lw=0.7, zorder=0)
    floor = floor_score(table, task, split)
    if floor:
        ax.axvline(floor, color=_GREY, ls=":", lw=0.9, zorder=0)
    seen = pd.concat([*scores.values(), pd.Series(dtype=float)])
    if len(seen):  # wide intervals of few seeds must not squeeze the means together
        room = max(0.02, 0.35 * np.ptp(seen))
        ax.set_xlim(max(0, seen.min() - room), min(1, seen.max() + room))
    ax.set_title(f"{TASKS[task].title}\n{primary_label(task)}", color=TASKS[task].colour, fontsize=8)
    ax.tick_params(axis="y", length=0, labelleft=False)
    ax.tick_params(axis="x", labelsize=8)
    ax.grid(axis="y", visible=False)
    ax.xaxis.get_major_locator().set_params(nbins=4)


# the panels above and below


def _flat_bars(ax, labels: list[str], title: str):
    "What the two panels of horizontal bars have in common."
    ax.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.5, -0.5))
    ax.tick_params(axis="x", labelsize=8, pad=1)
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.set_title(title, loc="left", fontsize=8)


def _image_bars(ax, counts: pd.Series):  # task -> training images
    ax.barh(range(len(counts)), counts, color=[TASKS[t].colour for t in counts.index], height=0.75)
    for k, n in enumerate(counts):
        ax.text(n, k, f" {n:,} ({n / counts.sum():.1%})", va="center", fontsize=8)
    _flat_bars(ax, [TASKS[t].title for t in counts.index], "training images")
    ax.set_xlim(0, 1.35 * counts.max())
    ax.grid(axis="y", visible=False)
    ax.xaxis.get_major_locator().set_params(nbins=4)


_SHARE_WEIGHTS = {"weights 1 : 1 : 1": 1, "lane × 1/30": 1 / 30, "lane × 30": 30}  # weight of the lane loss
_HATCHES = ("", "////", "....")


def _share_bars(ax, gramians: np.ndarray):  # (S, T, T)
    "Stacked bars of the parts of the summed gradient; hatches besides colours."
    lane = list(TASKS).index("lane")
    for k, weight in enumerate(_SHARE_WEIGHTS.values()):
        weights = np.ones(len(TASKS))
        weights[lane] = weight
        by_step = step_shares(gramians, weights)
        shares = np.clip(by_step.mean(0), 0, None)
        left = 0.0
        for task, share, hatch in zip(TASKS, shares / shares.sum(), _HATCHES):
            ax.barh(k, share, left=left, color=TASKS[task].colour, hatch=hatch, edgecolor="white", lw=0.3, height=0.72)
            left += share
        ax.text(1.01, k, f"lane {share_text(by_step[:, lane]).partition(' (')[0]}", va="center", fontsize=8)
    title = "parts of the summed gradient, before clipping and Adam (plain: signs, lines: objects, dots: lanes)"
    _flat_bars(ax, list(_SHARE_WEIGHTS), title)
    ax.set_xlim(0, 1)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _note(table: pd.DataFrame, split: str) -> str:  # below the figure
    seeds = table.groupby("run")["seed"].nunique()
    count = f"{seeds.min()} seed{'s' if seeds.min() > 1 else ''}"
    if seeds.min() < seeds.max():  # runs may differ while a study is being made
        count = f"{seeds.min()} to {seeds.max()} seeds"
    lines = [
        f"{split} split; lines: 95 % intervals over {count}, cut at the edges; ticks: seeds;",
        "hollow: remedies (+); dashed: undisturbed; dotted: every pixel called lane",
    ]
    missing = not_in(table, STUDIES["imbalance"])
    if missing:
        command = study_command("imbalance")
        lines.append(f"{len(missing)} of {len(STUDIES['imbalance'])} runs are not made yet: {command}")
    return "\n".join(lines)


def imbalance_figure(
    table: pd.DataFrame,  # STUDY_COLUMNS, of the study `imbalance`
    images: pd.Series | None = None,  # task -> training images
    gramians: np.ndarray | None = None,  # (S, T, T) of the backbone
    split: str = "test",
) -> Figure:
    """Images of each task; scores of every task in every run, with intervals; the parts of the
    summed gradient.

    Panels without input are left out.
    """
    rows = _rows(table)
    height = max(row.y for row in rows) + 1
    heights = [0.95 * (images is not None), 0.6 + 0.175 * height, 1.0 * (gramians is not None)]
    fig = Figure(figsize=(7, sum(heights) + 0.6))
    top, middle, bottom = fig.subfigures(3, 1, height_ratios=[max(h, 1e-3) for h in heights])
    if images is not None:
        _image_bars(top.subplots(), images)
    axes = middle.subplots(1, 4, sharey=True, width_ratios=[1.2, 1, 1, 1])
    _write_labels(axes[0], rows, height)
    for ax, task in zip(axes[1:], ("lane", "detection", "classification")):
        _forest(ax, table, task, rows, split)
    if gramians is not None:
        _share_bars(bottom.subplots(), gramians)
    fig.supxlabel(_note(table, split), fontsize=8, x=0.01, ha="left")
    return fig


def _optional(read, *args):
    "What `read` gives, or None where its file is missing: a panel that is left out."
    try:
        return read(*args)
    except UserError:
        return None


def figure_12_data_imbalance(
    results_dir: str | Path,  # reads studies.csv; data_counts.csv or study_data.csv, gradient_recording.json if there
) -> Figure:
    """What starves the lane task, what repairs it and at whose cost; without runs of the study the
    data's counts.

    Raises `UserError` with the command when there is neither.
    """
    try:
        table = read_runs(results_dir, "imbalance")
    except UserError:
        if not (Path(results_dir) / "data_counts.csv").is_file():
            raise
        return data_counts_figure(results_dir)
    recorded = _optional(read_gramians, results_dir)
    return imbalance_figure(table, _optional(training_images, results_dir), recorded[1] if recorded else None)


# learning curves


def _thousands(n: int) -> str:
    if n >= 1000 and n % 100 == 0:
        return f"{n / 1000:g}k"
    return f"{n / 1000:.0f}k" if n >= 10000 else str(n)


def _draw_curve(ax, table: pd.DataFrame, task: str, full: int | None, shared: bool, split: str):
    points = []
    for images, run in curve_runs(task, full, shared).items():
        values = scores_of(table, run, task, split=split)
        if len(values):
            shift = 1.1 if shared else 1 / 1.1
            points.append((images * shift, *mean_and_interval(values)))
    if not points:
        return
    x, mean, low, high = np.array(points).T
    colour = TASKS[task].colour
    line, face = ("-", colour) if shared else ("--", "white")
    ax.vlines(x, low, high, color=colour, lw=1)
    ax.plot(x, mean, line, marker=TASKS[task].marker, color=colour, mfc=face, ms=4.5)


def learning_curves_figure(
    table: pd.DataFrame,  # STUDY_COLUMNS
    images: pd.Series | None = None,  # task -> number of all its training images
    split: str = "test",
) -> Figure:
    """One panel per task: headline score against number of training images, shared and alone, with
    intervals.
    """
    fig = Figure(figsize=(7, 2.9))
    for ax, task in zip(fig.subplots(1, len(default_tasks())), default_tasks()):
        full = None if images is None else images.get(task)
        for shared in (True, False):
            _draw_curve(ax, table, task, full, shared, split)
        sizes = list(curve_runs(task, full, True))
        ax.set_xscale("log")
        ax.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticks(sizes, [_thousands(n) for n in sizes], fontsize=8)
        ax.set_title(TASKS[task].title, color=TASKS[task].colour, fontsize=8.5)
        ax.set_xlabel("training images")
        ax.set_ylabel(primary_label(task))
        ax.tick_params("y", labelsize=8)
        means = [line.get_ydata() for line in ax.lines]
        if means:
            means = np.concatenate(means)
            ax.set_ylim(max(0, means.min() - 0.1), min(1, means.max() + 0.1))
    marks = [
        Line2D([], [], color=_GREY, marker="o", ms=4.5, ls="-", label="shared"),
        Line2D([], [], color=_GREY, marker="o", ms=4.5, ls="--", mfc="white", label="alone"),
    ]
    note = f"lines: 95 % intervals over seeds, cut at the edges ({split} split)"
    fig.legend(
        handles=marks, frameon=False, fontsize=8, loc="outside lower center", ncols=2, title=note, title_fontsize=8
    )
    return fig


def learning_curves(
    results_dir: str | Path,  # reads studies.csv; data_counts.csv or study_data.csv where one is
) -> Figure:
    """Score against number of images, alone and shared.

    Raises `UserError` with the command when no run with fewer images is there.
    """
    table = read_runs(results_dir, "learning_curves")
    if not set(table["run"]) - {"equal", "alone"}:
        command = study_command("learning_curves")
        raise UserError(f"studies.csv has no run with fewer images yet; `{command}` makes them")
    return learning_curves_figure(table, _optional(training_images, results_dir))
