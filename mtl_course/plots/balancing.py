"""Figures of lessons 16 to 18: toys, gradients in the plane, what a step costs."""

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core.task import TASKS

__all__ = []  # drawings of lessons

TOY_COLOURS = ("#0072B2", "#D55E00", "#009E73")  # first, second and third task of a toy
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WAYS = {
    "summed": ("#000000", "o"),
    "fixed": ("#56B4E9", "v"),
    "streamed": ("#0072B2", "s"),
    "separate": ("#009E73", "^"),
    "stacked": ("#E69F00", "D"),
    "shared_input": ("#6A3D9A", "*"),
    "autogram": ("#8C564B", "h"),
    "torchjd": ("#D55E00", "P"),
    "torchjd_saving": ("#CC79A7", "X"),
}  # way to get the gradients -> colour, marker


def toy_figure(
    ends: dict[str, float],  # label -> x at which training ends
) -> Figure:
    "The two losses of lesson 16 as rings around their optima, and where weights let training end."
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 2.9), layout="constrained")
        ax = figure.subplots()
        for x, task, colour in zip((0, 1), ("task 1", "task 2"), TOY_COLOURS):
            for radius in (0.15, 0.3, 0.45):
                ax.add_patch(plt.Circle((x, 0), radius, fill=False, color=colour, lw=0.8, alpha=0.6))
            ax.plot(x, 0, "*", color=colour, ms=13, zorder=3)
            ax.text(x, -0.14, f"optimum of {task}", color=colour, ha="center", va="top")
        ax.plot([0, 1], [0, 0], color="0.6", lw=1.2, zorder=1)
        for row, (label, x) in enumerate(ends.items()):
            height = 0.2 + 0.17 * row
            ax.plot([x, x], [0, height], color="0.4", lw=0.8)
            ax.plot(x, 0, "o", color="black", ms=5, zorder=4)
            ax.text(x, height, label, ha="center", va="bottom", bbox={"fc": "white", "ec": "none", "pad": 1})
        ax.set(xlim=(-0.75, 1.75), ylim=(-0.5, 1.0), aspect="equal")
        ax.axis("off")
        return figure


def toy_runs_figure(
    runs: dict[str, tuple],  # balancer -> (path (steps, 2), weights (steps, 2))
) -> Figure:
    "How the ratio of the two weights moves in training, and where training ends."
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
        colours = plt.get_cmap("tab10").colors
        styles = ("-", "--", "-.", ":") * 2
        for row, (name, (path, weights)) in enumerate(runs.items()):
            alpha = 0.35 if name == "random" else 1
            ratio = weights[:, 1] / weights[:, 0]
            left.plot(ratio, color=colours[row], ls=styles[row], lw=1.8, alpha=alpha, label=name)
            right.plot(path[-1, 0], row, "o", color=colours[row], ms=8)
        left.axhline(0.01, color="black", lw=0.8)
        left.text(0, 0.0105, "undoes the units", va="bottom", fontsize=8.5)
        left.set(yscale="log", xlabel="step", ylabel="$w_2/w_1$", title="ratio of the weights")
        left.set_ylim(top=3e4)  # room for the legend above the random weights
        left.legend(ncol=2, frameon=False, loc="upper right")
        right.axvline(0.5, color="black", lw=0.8)
        right.set(yticks=range(len(runs)), yticklabels=list(runs), xlim=(-0.05, 1.05), ylim=(len(runs) - 0.5, -0.5))
        right.set(xlabel="x:  0 = optimum of task 1,  1 = of task 2", title="where training ends")
        return figure


def schedule_figure(
    factors: list[dict[str, float]],  # task -> factor, at equal distances over the run
) -> Figure:
    "How the factors on the tasks' weights move during a run."
    progress = np.linspace(0, 1, len(factors))
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(6, 2.2), layout="constrained")
        ax = figure.subplots()
        for task, style in zip(factors[0], ("-", "--", ":")):
            ax.plot(progress, [f[task] for f in factors], style, color=TASKS[task].colour, lw=2, label=task)
        ax.set(xlabel="share of the run that is over", title="factor on each task's weight")
        ax.legend(frameon=False, loc="lower right")
        return figure


def two_losses_figure(
    losses: dict[str, Callable],  # task -> loss as a function of the weight
    slopes: dict[str, float],  # task -> slope at `theta`
    theta: float,
) -> Figure:
    "Two losses of one weight with their slopes at a point, and the slope of their sum."
    x = np.linspace(theta - 2.2, theta + 2.2, 200)
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(8, 2.9), layout="constrained")
        axes = figure.subplots(1, 2)
        curves = {task: np.vectorize(loss)(x) for task, loss in losses.items()}
        for (task, y), colour in zip(curves.items(), TOY_COLOURS):
            at = float(losses[task](theta))
            axes[0].plot(x, y, color=colour)
            axes[0].plot(x, at + slopes[task] * (x - theta), "--", color=colour, lw=1)
            end = -1 if y[-1] > y[0] else 0
            label = f"{task}: slope {slopes[task]:+.1f}"
            axes[0].text(x[end], y[end], label, color=colour, ha="right" if end else "left", va="bottom")
        total = sum(curves.values())
        level = sum(float(loss(theta)) for loss in losses.values())
        axes[1].plot(x, total, color="black")
        axes[1].plot(x, level + sum(slopes.values()) * (x - theta), "--", color="black", lw=1)
        axes[0].set(title="what the tasks want", ylabel="loss", xlabel="shared weight θ")
        slope = round(sum(slopes.values()), 1) or 0  # no "-0.0"
        axes[1].set(title=f"their sum: .grad holds {slope:g}", xlabel="shared weight θ")
        for ax in axes:
            ax.axvline(theta, color="0.7", lw=0.8, zorder=0)
            low, high = ax.get_ylim()
            ax.set_ylim(low, high + 0.12 * (high - low))
        return figure


def plane_figure(
    gradients,  # (T, 2), two or three tasks
    directions: dict[str, object],  # method -> its step d (2,)
    columns: int = 4,
    same_length: bool = False,  # draw all steps equally long: for methods that differ in length alone
) -> Figure:
    """Panels with the task gradients in colours and each method's step in black.

    The grey wedge holds the directions that harm no task; the title says how long the step is and
    whom it harms.
    """
    gradients = np.asarray(gradients, float)
    steps = {name: np.asarray(d, float) for name, d in directions.items()}
    length = np.linalg.norm(gradients, axis=1).max()
    shown = steps
    if same_length:
        shown = {name: 0.8 * length * d / max(np.linalg.norm(d), 1e-12) for name, d in steps.items()}
    wedge = _harmless_wedge(gradients) * 1.1 * length
    low, high = _limits(np.vstack([gradients, wedge, *shown.values()]))
    columns = min(columns, len(steps))
    rows = math.ceil(len(steps) / columns)
    width = 2.4
    height = 0.5 + width * (high - low)[1] / (high - low)[0]
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        for ax, (name, step) in zip(axes, steps.items()):
            ax.fill(*wedge.T, color="0.9", zorder=0, lw=0)
            for k, gradient in enumerate(gradients):
                _arrow(ax, gradient, TOY_COLOURS[k], 2)
                _label(ax, gradient, str(k + 1), TOY_COLOURS[k], 0.08 * length)
            _arrow(ax, shown[name], "black", 2.6)
            ax.set_title(f"{name}: ‖d‖ = {np.linalg.norm(step):.2f}\n{_harmed(gradients, step)}")
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
        return figure


def _harmless_wedge(gradients) -> np.ndarray:  # (N, 2) outline of radius 1, the origin first
    angles = np.linspace(-np.pi, np.pi, 1441)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    harmless = (circle @ gradients.T >= 0).all(1)
    start = np.flatnonzero(harmless & ~np.roll(harmless, 1))  # the wedge may lie across the angle π
    first = start[0] if len(start) else 0
    arc = np.roll(circle, -first, 0)[np.roll(harmless, -first)]
    return np.vstack([[0, 0], arc])


def _limits(points) -> tuple[np.ndarray, np.ndarray]:  # lower left and upper right corner
    points = np.vstack([points, [[0, 0]]])
    margin = 0.08 * (points.max(0) - points.min(0)).max()
    return points.min(0) - margin, points.max(0) + margin


def _arrow(ax, tip, colour, width):
    if np.linalg.norm(tip) < 1e-9:
        ax.plot(0, 0, "o", color=colour)
        return
    style = {"arrowstyle": "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
    ax.annotate("", tip, (0, 0), arrowprops=style)


def _label(ax, tip, text, colour, distance):
    place = tip * (1 + distance / max(np.linalg.norm(tip), 1e-9))
    ax.text(*place, text, color=colour, ha="center", va="center", weight="bold")


def _harmed(gradients, step) -> str:
    gains = gradients @ step
    harmed = [str(k + 1) for k, gain in enumerate(gains) if gain < -1e-9 * np.abs(gains).max(initial=1)]
    return f"harms task {' and '.join(harmed)}" if harmed else "harms none"


def listening_figure(
    table: pd.DataFrame,  # balancer x situation: how much of a factor on one loss reaches the backbone
    factor: float,
) -> Figure:
    "Each balancer's answers between undoing the factor (1) and passing it on."
    markers = ("o", "s", "^", "D")
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.6), layout="constrained")
        ax = figure.subplots()
        for offset, (situation, marker) in enumerate(zip(table, markers)):
            heights = np.arange(len(table)) + 0.16 * (offset - 1.5)
            ax.plot(table[situation], heights, marker, ms=5, label=situation)
        for value, label in ((1, "undone"), (factor, "passed on")):
            ax.axvline(value, color="black", lw=0.8, zorder=0)
            ax.text(value, -0.9, label, ha="center", va="bottom")
        ax.set(xscale="log", yticks=range(len(table)), yticklabels=list(table.index), ylim=(len(table) - 0.5, -0.95))
        ax.set(xlabel=f"growth of the task's share in the backbone's step when its loss is multiplied by {factor:g}")
        ax.set_xticks([0.01, 0.1, 1, 10, factor], ["0.01", "0.1", "1", "10", f"{factor:g}"])
        ax.minorticks_off()
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
        ax.legend(loc="lower left", frameon=True)
        return figure


def cost_figure(
    cost: pd.DataFrame,  # the table of benchmarks/balancing_cost.py
) -> Figure:
    """Time and peak memory against the number of tasks; dashed: what the way cannot beat.

    A row for each kind of images, a panel of times for each number of threads.
    """
    kinds = cost.images.unique()
    threads = sorted(cost.threads.unique())
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(threads) + 5.3, 2.9 * len(kinds) + 0.2), layout="constrained")
        axes = figure.subplots(len(kinds), len(threads) + 1, squeeze=False)
        for row, kind in zip(axes, kinds):
            records = cost[cost.images == kind]
            for ax, number in zip(row, threads):
                _draw_times(ax, records[records.threads == number])
                ax.set_title(f"time / summed loss's, {number} thread{'s' if number > 1 else ''}")
            _draw_memory(row[-1], records[records.threads == threads[0]])
            row[0].set_ylabel({"own": "images of each task's own", "shared": "images with all labels"}[kind])
        handles = {}
        for ax in axes[:, 0]:
            drawn, labels = ax.get_legend_handles_labels()
            handles |= dict(zip(labels, drawn))
        figure.legend(handles.values(), handles.keys(), loc="outside right", frameon=False)
        return figure


def _draw_times(ax, records):
    for way, part in records.groupby("way", sort=False):
        ratio = part.time_ratio
        spread = [ratio - part.time_ratio_q1, part.time_ratio_q3 - ratio]
        label = part.label.iloc[0]
        ax.errorbar(part.tasks, ratio, spread, capsize=2, label=label, **_way_style(way))
        if way in ("streamed", "stacked"):
            ax.plot(part.tasks, part.time_limit, "--", color=WAYS[way][0], lw=1)
    ticks = (1, 2, 4, 8, 16)
    ax.set(xlabel="tasks", yscale="log", yticks=ticks, yticklabels=ticks, xticks=sorted(records.tasks.unique()))
    ax.minorticks_off()


def _draw_memory(ax, records):
    for way, part in records.groupby("way", sort=False):
        ax.plot(part.tasks, part.peak_mb, **_way_style(way))
        if way in ("streamed", "stacked"):
            ax.plot(part.tasks, part.memory_limit_mb, "--", color=WAYS[way][0], lw=1)
    ax.set(xlabel="tasks", title="peak memory (MB)", ylim=(0, None), xticks=sorted(records.tasks.unique()))


def _way_style(way) -> dict:
    colour, marker = WAYS[way]
    return {"color": colour, "marker": marker, "ms": 5, "lw": 1.2}
