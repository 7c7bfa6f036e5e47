"""Depth upwards, training time to the right: one glance shows where, when and through whom the trunk learns."""

__all__ = ["GRADIENT_FIGURES", "gradient_flow_figure", "figure_11_gradient_flow"]

from pathlib import Path
import numpy as np, pandas as pd
from matplotlib.colors import CenteredNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter
from ..config import TASKS
from ..core.errors import UserError
from .figures import TASK_COLOURS, TASK_LABELS
from ..training.gradients import read_gradients


def _grid(rows: pd.DataFrame, value: str, by: str) -> pd.DataFrame:  # by × step
    "A table of one quantity with a row per layer or stage, in network order, and a column per recorded step."
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
    bar.ax.tick_params(labelsize=6, length=2, pad=1.5)
    bar.ax.yaxis.label.set_fontsize(6.5)
    bar.ax.minorticks_off()


def _layer_panels(fig, axes, layers, tasks, value, norm, cmap, label, **bar):
    "One heatmap per task, depth by step, with a common scale."
    for ax, task in zip(axes, tasks):
        rows = layers[layers["task"] == task]
        mesh = _heat(ax, _grid(rows, value, "layer"), norm, cmap, _stage_ticks(ax, rows, ax is axes[0]))
        ax.tick_params(labelbottom=False)
    _colorbar(fig, mesh, list(axes), label, **bar)


_SHORT = {"classification": "signs", "detection": "objects", "lane": "lanes"}  # for the titles of pairs


def _cosine_panels(fig, axes, table, pairs):
    "One heatmap per pair of tasks, stage by step."
    limit = max(0.05, float(np.nanquantile(table["cosine"].abs(), 0.98)))
    for ax, pair in zip(axes, pairs):
        grid = _grid(table[table["task"] == pair], "cosine", "stage")
        mesh = _heat(ax, grid, CenteredNorm(0, limit), "RdBu", range(1, len(grid)))
        ax.set_yticks(range(len(grid)), grid.index if ax is axes[0] else [])
        ax.set_title(" – ".join(_SHORT.get(t, t) for t in pair.split("+")), fontsize=6.5, pad=2)
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


def gradient_flow_figure(
    table: pd.DataFrame,  # GRADIENT_COLUMNS, of one run
    title: str = "",
) -> Figure:  # 3.5 inches wide: half a page
    "Norm of each task and its share of the summed gradient over depth and time, the cosine of each pair per stage, and the update-to-weight ratio; raises `UserError` when no layer was trained."
    layers = table[table["kind"].isin(["conv", "linear"])]
    if layers.empty:
        raise UserError(
            "logs/gradients.csv has no layer in it: the trunk was frozen or not shared, so no gradients of several tasks meet in it"
        )
    tasks = [t for t in TASKS if t in set(layers["task"])] or [t for t in layers["task"].unique() if t != "all"]
    stages = table[table["task"].str.contains("+", regex=False) & (table["stage"] != "trunk")]
    pairs = list(dict.fromkeys(stages["task"]))
    heights = [1.1, 1.1, 0.85, 1.0] if pairs else [1.1, 1.1, 1.0]
    fig = Figure(figsize=(3.5, sum(heights) + 0.5 + 0.15 * bool(title)))
    cells, columns = (
        fig.add_gridspec(len(heights), max(len(tasks), len(pairs)), height_ratios=heights),
        range(max(len(tasks), len(pairs))),
    )
    norms, shares = ([fig.add_subplot(cells[row, k]) for k in columns[: len(tasks)]] for row in (0, 1))
    _layer_panels(
        fig, norms, layers, tasks, "norm", _decades(layers[layers["task"] != "all"]["norm"]), "viridis", "gradient norm"
    )
    _layer_panels(fig, shares, layers, tasks, "share", Normalize(-1, 1), "RdBu", "share of the sum", ticks=[-1, 0, 1])
    for ax, task in zip(norms, tasks):
        ax.set_title(
            TASK_LABELS.get(task, task).replace(" ", "\n"), color=TASK_COLOURS.get(task, "black"), fontsize=6.5, pad=2
        )
    if pairs:
        _cosine_panels(
            fig,
            [fig.add_subplot(cells[2, k if len(pairs) > 1 else slice(None)]) for k in columns[: len(pairs)]],
            stages,
            pairs,
        )
    _ratio_panel(fig, fig.add_subplot(cells[-1, :]), layers)
    if title:
        fig.suptitle(title, fontsize=7.5)
    return fig


def figure_11_gradient_flow(
    results_dir: str | Path,
) -> Figure:  # reads logs/gradients.csv, or gradient_flow.csv where a run has recorded none
    "The gradients of a training run, over depth and time; raises `UserError` naming the command when they were not recorded."
    study = Path(results_dir) / "gradient_flow.csv"  # of benchmarks/gradient_flow.py: means over windows of steps
    if (Path(results_dir) / "logs" / "gradients.csv").exists() or not study.exists():
        return gradient_flow_figure(read_gradients(results_dir))
    return gradient_flow_figure(
        pd.read_csv(study).query("run == 'equal'"), "weights 1/1/1 in benchmarks/gradient_flow.py"
    )


GRADIENT_FIGURES = {"figure_11_gradient_flow": figure_11_gradient_flow}  # file name -> function of the results folder
