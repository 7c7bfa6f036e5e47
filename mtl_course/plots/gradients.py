"""Depth upwards, training time to the right: one glance shows where, when and through whom the
trunk learns.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import CenteredNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from ..core.errors import UserError
from ..core.task import TASKS
from ..training.gradients import read_gradients
from .style import style

__all__ = []


def _grid(rows: pd.DataFrame, value: str, by: str) -> pd.DataFrame:  # by × step
    """A table of one quantity with a row per layer or stage, in network order, and a column per
    recorded step.
    """
    order = rows.drop_duplicates(by)[by].tolist()
    return rows.pivot_table(index=by, columns="step", values=value, sort=False, dropna=False).reindex(order)


def _edges(centres: np.ndarray) -> np.ndarray:  # borders of cells round these centres
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = (middle[0], middle[-1]) if len(middle) else (centres[0] + 0.5, centres[0] - 0.5)
    return np.concatenate([[2 * centres[0] - first], middle, [2 * centres[-1] - last]])


def _heat(ax, grid: pd.DataFrame, norm, cmap: str, lines: list = ()):  # lines: before which rows a stage begins
    "Draws a grid, the first row at the bottom; cells without a value stay grey."
    ax.set_facecolor("#d9d9d9")
    ax.grid(False)
    mesh = ax.pcolormesh(
        _edges(grid.columns.to_numpy(float)),
        np.arange(len(grid) + 1) - 0.5,
        np.ma.masked_invalid(grid.to_numpy(float)),
        norm=norm,
        cmap=cmap,
        rasterized=True,
    )
    for y in lines:
        ax.axhline(y - 0.5, color="white", lw=0.7)
    ax.tick_params(axis="x", length=2, pad=1.5)
    ax.tick_params(axis="y", length=0, pad=2)
    ax.xaxis.get_major_locator().set_params(nbins=3, integer=True)
    return mesh


def _decades(values) -> LogNorm:  # a scale that leaves out the most extreme hundredth at both ends
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return LogNorm(1e-3, 1)
    low, high = np.quantile(values, [0.01, 0.99])
    return LogNorm(low, max(high, 1.01 * low))


def _stage_ticks(ax, rows: pd.DataFrame, named: bool) -> list[int]:  # the first row of each stage
    "Names the stages at the side of a heatmap whose rows are layers."
    stages = rows.drop_duplicates("layer")["stage"].tolist()
    names = list(dict.fromkeys(stages))
    first = [stages.index(s) for s in names]
    middle = [(a + b - 1) / 2 for a, b in zip(first, [*first[1:], len(stages)])]
    ax.set_yticks(middle, names if named else [])
    return first[1:]


def _colorbar(
    fig, mesh, axes, label, ticks=None
):  # its pointed ends: values beyond the scale have the colour of the end
    bar = fig.colorbar(
        mesh,
        ax=axes,
        label=label,
        ticks=ticks,
        extend="both",
        pad=0.015,
        aspect=12,
        shrink=0.95,
        format=StrMethodFormatter("{x:g}"),
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2, pad=1.5)
    bar.ax.yaxis.label.set_fontsize(8)
    bar.ax.minorticks_off()


def _layer_panels(fig, axes, layers, tasks, value, norm, cmap, label, **bar):
    "One heatmap per task, depth by step, with a common scale."
    for ax, task in zip(axes, tasks):
        rows = layers[layers["task"] == task]
        mesh = _heat(ax, _grid(rows, value, "layer"), norm, cmap, _stage_ticks(ax, rows, ax is axes[0]))
        ax.tick_params(labelbottom=False)
    _colorbar(fig, mesh, list(axes), label, **bar)


def _short(task: str) -> str:
    return TASKS[task].short if task in TASKS else task


def _cosine_panels(fig, axes, table, pairs):
    "One heatmap per pair of tasks, stage by step."
    limit = max(0.05, float(np.nanquantile(table["cosine"].abs(), 0.98)))
    for ax, pair in zip(axes, pairs):
        grid = _grid(table[table["task"] == pair], "cosine", "stage")
        mesh = _heat(ax, grid, CenteredNorm(0, limit), "RdBu", range(1, len(grid)))
        ax.set_yticks(range(len(grid)), grid.index if ax is axes[0] else [])
        ax.set_title(" – ".join(map(_short, pair.split("+"))), fontsize=8, pad=2)
        ax.tick_params(labelbottom=False)
    _colorbar(fig, mesh, list(axes), "cosine")


def _ratio_panel(fig, ax, layers):
    "How far a step moves each layer, over the whole width."
    rows = layers[layers["task"] == "all"]
    grid = _grid(rows, "ratio", "layer")
    mesh = _heat(ax, grid, _decades(grid), "cividis", _stage_ticks(ax, rows, True))
    ax.xaxis.get_major_locator().set_params(nbins=7, integer=True)
    ax.set_xlabel("training step", labelpad=1)
    _colorbar(fig, mesh, [ax], "update / weight", LogLocator(subs=(1, 3)))


def _draw_task_panels(fig, cells, layers: pd.DataFrame, tasks: list[str]):
    "The two upper rows: norms and shares, a column per task."
    norms = [fig.add_subplot(cells[0, k]) for k in range(len(tasks))]
    shares = [fig.add_subplot(cells[1, k]) for k in range(len(tasks))]
    scale = _decades(layers[layers["task"] != "all"]["norm"])
    _layer_panels(fig, norms, layers, tasks, "norm", scale, "viridis", "gradient norm")
    _layer_panels(fig, shares, layers, tasks, "share", Normalize(-1, 1), "RdBu", "share of the sum", ticks=[-1, 0, 1])
    for ax, task in zip(norms, tasks):
        title = TASKS[task].title if task in TASKS else task
        ax.set_title(title, color=TASKS[task].colour if task in TASKS else "black", fontsize=8, pad=2)


def gradient_flow_figure(
    table: pd.DataFrame,  # GRADIENT_COLUMNS, of one run
    title: str = "",
) -> Figure:
    """Norms, shares of the summed gradient, cosines of the pairs and update-to-weight ratios, over
    depth and time.

    Raises `UserError` when no layer was trained.
    """
    layers = table[table["kind"].isin(["conv", "linear"])]
    if layers.empty:
        raise UserError(
            "logs/gradients.csv has no layer in it: the backbone was frozen or not shared, "
            "so no gradients of several tasks meet in it"
        )
    names = list(dict.fromkeys(layers["task"][~layers["task"].isin(["all"])]))
    tasks = [t for t in TASKS if t in names] or names
    stages = table[table["task"].str.contains("+", regex=False) & (table["stage"] != "trunk")]
    pairs = list(dict.fromkeys(stages["task"]))
    heights = [1.3, 1.3, 1.0, 1.2] if pairs else [1.3, 1.3, 1.2]
    columns = max(len(tasks), len(pairs))
    fig = Figure(figsize=(7, sum(heights) + 0.6 + 0.2 * bool(title)))
    cells = fig.add_gridspec(len(heights), columns, height_ratios=heights)
    _draw_task_panels(fig, cells, layers, tasks)
    if pairs:
        places = range(len(pairs)) if len(pairs) > 1 else [slice(None)]
        _cosine_panels(fig, [fig.add_subplot(cells[2, place]) for place in places], stages, pairs)
    _ratio_panel(fig, fig.add_subplot(cells[-1, :]), layers)
    if title:
        fig.suptitle(title, fontsize=9)
    return fig


def norm_map(
    table: pd.DataFrame,  # GRADIENT_COLUMNS, of one run
    task: str,
) -> Figure:
    """One panel of the whole figure, large: the norm of one task's gradient over depth (upwards)
    and time.
    """
    layers = table[table["kind"].isin(["conv", "linear"])]
    rows = layers[layers["task"] == task]
    with style():
        fig = Figure(figsize=(6, 2.6))
        ax = fig.subplots()
        scale = _decades(layers[layers["task"] != "all"]["norm"])
        mesh = _heat(ax, _grid(rows, "norm", "layer"), scale, "viridis", _stage_ticks(ax, rows, True))
        ax.tick_params(labelsize=8)
        ax.set(xlabel="training step", ylabel="image  →  top", title=f"{TASKS[task].title}: gradient norm")
        _colorbar(fig, mesh, [ax], "norm")
    return fig


def run_figure(
    series: dict[str, dict],  # title of a panel -> {task: one number per window, step as index}
    label: str,  # of the vertical axis
    logarithmic: bool = False,
) -> Figure:
    """One quantity of every task over time or depth, a panel per run."""
    with style():
        fig = Figure(figsize=(7.5, 2.3))
        axes = fig.subplots(1, len(series), sharey=True, squeeze=False)[0]
        for ax, (title, lines) in zip(axes, series.items()):
            for name, values in lines.items():
                task = TASKS[name]
                ax.plot(values, color=task.colour, marker=task.marker, ms=3.5, label=task.short)
            ax.set(title=title, xlabel=values.index.name)
            ax.tick_params(labelsize=8)
            if logarithmic:
                ax.set_yscale("log")
            else:
                ax.axhline(0, color="0.6", lw=0.6)
        axes[0].set_ylabel(label)
        axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return fig


def figure_11_gradient_flow(
    results_dir: str | Path,  # reads logs/gradients.csv, or gradient_flow.csv where a run has recorded none
) -> Figure:
    """The gradients of a training run, over depth and time.

    Raises `UserError` naming the command when they were not recorded.
    """
    study = Path(results_dir) / "gradient_flow.csv"  # of benchmarks/gradient_flow.py: means over windows of steps
    if (Path(results_dir) / "logs" / "gradients.csv").exists() or not study.exists():
        return gradient_flow_figure(read_gradients(results_dir))
    table = pd.read_csv(study).query("run == 'equal'")
    return gradient_flow_figure(table, "weights 1/1/1 in benchmarks/gradient_flow.py")
