"""Pictures of the lessons on findings: each draws a table of `results/`, or rows made from it."""

import contextlib
import itertools
from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from ..core.colours import OKABE_ITO
from ..core.statistics import mean_and_interval
from ..core.task import TASKS
from .predictions import plain_sign
from .style import GREY, part_colours, primary_label, style

__all__ = []  # drawings of lessons

_WIDTH = 7.0  # inches, of a figure in a notebook
VERDICT_COLOURS = {
    "reproduced": "#009E73",
    "not reproduced": "#D55E00",
    "undecided": "#56B4E9",
    "contradicts itself": "#8C2D04",
    "cannot be tested": "#999999",
    "untested": "#DDDDDD",
}


@contextlib.contextmanager
def _style():
    "The common style with ticks and legends of 8 points, as a notebook shows them."
    with style(), matplotlib.rc_context({f"{name}size": 8 for name in ("xtick.label", "ytick.label", "legend.font")}):
        yield


def _new_figure(height: float, columns: int = 1, **options):
    "A figure of one row and its panels, at the width of a notebook."
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots(1, columns, **options)


def draw_seed_scores(scores: pd.DataFrame) -> Figure:  # rows of laptop_seeds.csv, one recipe
    "Primary score of each task on the test split: every seed, the mean and its 95 % interval."
    with _style():
        figure, ax = _new_figure(1.9)
        for y, task in enumerate(TASKS):
            rows = scores[(scores.task == task) & (scores.metric == TASKS[task].primary_metric)]
            mean, low, high = mean_and_interval(rows.value)
            ax.hlines(y, low, high, color=TASKS[task].colour, lw=5, alpha=0.3)
            ax.plot(rows.value, [y] * len(rows), TASKS[task].marker, color=TASKS[task].colour, ms=4)
            ax.annotate(f"{mean:.3f}", (high, y), xytext=(6, 0), textcoords="offset points", va="center")
        labels = [f"{TASKS[task].title}: {primary_label(task)}" for task in TASKS]
        ax.set(yticks=range(len(TASKS)), yticklabels=labels, ylim=(len(TASKS) - 0.5, -0.5), xlim=(0, 1.05))
        ax.set(xlabel="score on the test split (points: seeds; bars: 95 % interval of the mean)")
        return figure


def draw_log(log: pd.DataFrame) -> Figure:  # training.csv
    "Task by task: every step's loss, its running median, every epoch's validation score."
    steps = log[log.kind == "step"]
    epochs = log[log.kind == "epoch"]
    with _style():
        figure = Figure(figsize=(_WIDTH, 3.8), layout="constrained")
        for (above, below), task in zip(figure.subplots(2, len(TASKS)).T, TASKS):
            loss = steps[steps.task == task].set_index("step").loss
            above.plot(loss, lw=0.5, alpha=0.4, color=TASKS[task].colour)
            above.plot(loss.rolling(25, center=True).median(), color=TASKS[task].colour)
            above.set(title=TASKS[task].title, xlabel="step", yscale="log")
            above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            above.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            above.yaxis.set_minor_formatter(NullFormatter())
            rows = epochs[(epochs.task == task) & (epochs.metric == TASKS[task].primary_metric)]
            below.plot(rows.epoch, rows.value, marker=TASKS[task].marker, ms=5, color=TASKS[task].colour)
            below.set(title=primary_label(task), xlabel="epoch", ylim=(0, 1), xticks=rows.epoch)
        figure.axes[0].set_ylabel("training loss")
        figure.axes[len(TASKS)].set_ylabel("validation score")
        return figure


def draw_learning_curves(curves: pd.DataFrame) -> Figure:  # rows of recipe_parts.csv, and minutes
    "Validation score of each task against minutes of training; the first recipe's line is solid."
    with _style():
        figure, axes = _new_figure(2.4, len(TASKS))
        for ax, task in zip(axes, TASKS):
            rows = curves[(curves.task == task) & (curves.metric == TASKS[task].primary_metric)]
            for variant, line in zip(rows.variant.unique(), itertools.cycle(("-", "--", ":", "-."))):
                points = rows[rows.variant == variant].groupby("epoch")[["minutes", "value"]].mean()
                about = dict(color=TASKS[task].colour, marker=TASKS[task].marker, ms=4)
                ax.plot(points.minutes, points.value, line, label=variant, **about)
            ax.set(title=f"{TASKS[task].short}: {primary_label(task)}", xlabel="minutes of training", ylim=(0, 1))
            ax.set_xlim(left=0)
            ax.legend(loc="best", frameon=False)
        axes[0].set_ylabel("validation score")
        return figure


def draw_class_precision(classes: pd.DataFrame) -> Figure:  # index: names; mean, train_objects, median_width
    "AP50 of each class against its number of training objects and its width in the input."
    axes_labels = {"train_objects": "objects in the training split", "median_width": "median width (pixels)"}
    with _style():
        figure, axes = _new_figure(2.7, 2, sharey=True)
        for ax, (column, label) in zip(axes, axes_labels.items()):
            ax.scatter(classes[column], classes["mean"], color=TASKS["detection"].colour, s=18)
            for name, row in classes.iterrows():
                ax.annotate(name, (row[column], row["mean"]), xytext=(4, -9), textcoords="offset points")
            ax.set(xlabel=label, ylim=(0, 1))
            ax.margins(x=0.25)
        axes[0].set(xscale="log", ylabel="AP50 on the test split")
        return figure


def draw_error_rates(rows: pd.DataFrame) -> Figure:  # index: what was trained; accuracy, low, high, trained_on
    "Error rate on real signs with its 95 % interval; the colour says what a network learned from."
    colours = {"drawings": OKABE_ITO["orange"], "real signs": TASKS["classification"].colour}
    with _style():
        figure, ax = _new_figure(0.7 + 0.32 * len(rows))
        for y, row in enumerate(rows.itertuples()):
            error = 1 - row.accuracy
            ax.barh(y, error, color=colours[row.trained_on], height=0.6)
            ax.hlines(y, 1 - row.high, 1 - row.low, color="black", lw=1)
            ax.annotate(f"{error:.1%}", (1 - row.low, y), xytext=(5, 0), textcoords="offset points", va="center")
        handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
        ax.legend(handles, [f"trained on {name}" for name in colours], loc="upper right", frameon=False)
        ax.set(yticks=range(len(rows)), yticklabels=rows.index, ylim=(len(rows) - 0.5, -0.5), xlim=(0, 0.26))
        ax.set(xlabel="share of real signs misread (black: 95 % interval)")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return figure


def draw_misread_signs(
    confusions: list[dict],  # true, read_as (names), count
    class_ids: Mapping[str, int],  # of the names
) -> Figure:
    "Signs that were confused most often, as drawn: above what stood there, below what was read."
    with _style():
        figure = Figure(figsize=(_WIDTH, 3.1), layout="constrained")
        axes = figure.subplots(2, len(confusions), squeeze=False)
        for (above, below), pair in zip(axes.T, confusions):
            for ax, name in ((above, pair["true"]), (below, pair["read_as"])):
                ax.imshow(plain_sign(class_ids[name]))
                ax.axis("off")
                ax.set_title(name.replace(" to the ", "\nto the ").replace("Speed limit", "Speed\nlimit"), fontsize=8)
            below.text(0.5, -0.12, f"{pair['count']} crops", transform=below.transAxes, ha="center", va="top")
        axes[0, 0].text(-0.25, 0.5, "is", transform=axes[0, 0].transAxes, ha="right", va="center", fontsize=9)
        axes[1, 0].text(-0.25, 0.5, "read as", transform=axes[1, 0].transAxes, ha="right", va="center", fontsize=9)
        return figure


def draw_ratios(rows: pd.DataFrame) -> Figure:  # index: what was measured; ratio, low, high (NaN: exact)
    "How many times as much three networks cost as one, for each kind of cost."
    with _style():
        figure, ax = _new_figure(0.8 + 0.27 * len(rows))
        ax.barh(range(len(rows)), rows.ratio, color=OKABE_ITO["orange"], height=0.6)
        ends = rows[["low", "high"]].fillna(np.inf).max(axis=1)
        for y, row in enumerate(rows.itertuples()):
            ax.hlines(y, row.low, row.high, color="black", lw=1)
            end = row.ratio if np.isinf(ends.iloc[y]) else ends.iloc[y]
            ax.annotate(f"{row.ratio:.2f}", (end, y), xytext=(5, 0), textcoords="offset points", va="center")
        for value, name in ((1, "nothing saved"), (3, "only the backbone counts")):
            ax.axvline(value, color="black", lw=0.8, ls="--")
            ax.annotate(name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
                        textcoords="offset points", ha="center")  # fmt: skip
        ax.set(yticks=range(len(rows)), yticklabels=rows.index, ylim=(len(rows) - 0.4, -0.6), xlim=(0, 3.5))
        ax.set(xlabel="three networks / one shared network")
        return figure


def draw_latency_ratios(ratios: pd.DataFrame) -> Figure:  # rows of efficiency.csv with the model "ratio"
    "Time of three passes over that of one, sorted, with quartiles; a panel for each image size."
    sizes = list(dict.fromkeys(ratios["size"]))
    with _style():
        figure, axes = _new_figure(2.6, len(sizes), sharex=True, squeeze=False)
        for ax, size in zip(axes[0], sizes):
            rows = ratios[ratios["size"] == size].sort_values("value", ascending=False)
            parts = zip(rows.batch, rows.precision, rows["mode"])
            names = [f"{int(batch)}×, {precision}, {mode}" for batch, precision, mode in parts]
            ax.hlines(range(len(rows)), rows.low, rows.high, color="black", lw=1)
            ax.plot(rows.value, range(len(rows)), "o", ms=4, color="black")
            ax.axvline(3, color=GREY, lw=0.8, ls="--")
            ax.set(title=f"image {size}", yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5), xlim=(1, 3.1))
            ax.set_yticklabels(names, fontsize=8)
        figure.supxlabel("time of three passes / time of one (points: median; lines: quartiles)", fontsize=8)
        return figure


def draw_scenes(
    pictures: Mapping[str, tuple],  # title -> (image (H, W, 3), boxes (N, 4) in pixels)
    band: tuple | None = None,  # (top, bottom) in pixels, drawn into the first picture
) -> Figure:
    "Scenes with their boxes, each in its own shape."
    shapes = [image.shape for image, _ in pictures.values()]
    with _style():
        ratios = [width / height for height, width, _ in shapes]
        figure, axes = _new_figure(1.55, len(pictures), width_ratios=ratios)
        for ax, (title, (image, boxes)) in zip(axes, pictures.items()):
            ax.imshow(image)
            ax.set_title(title)
            ax.axis("off")
            for x1, y1, x2, y2 in boxes:
                box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=TASKS["detection"].colour, lw=1.2)
                ax.add_patch(box)
        if band is not None:
            top, bottom = band
            edge = Rectangle((1, top), shapes[0][1] - 3, bottom - top, fill=False, ec="white", ls="--", lw=1.4)
            axes[0].add_patch(edge)
        return figure


_ONE_IMAGE = {  # as single_pass.csv calls it -> as the picture does
    "scene at the detection size": "one pass: scene pressed flat",
    "band of the scene": "one pass: band of the scene",
    "band of the scene, scored inside": "    … scored inside the band",
    "each head at the scene's shape": "a pass each: scene not pressed",
    "each head at its own size": "a pass each: the head's own size",
}


def draw_single_pass(single: pd.DataFrame) -> Figure:  # rows of single_pass.csv
    "Lane IoU and mAP50 on joint scenes, by what the network was given (own statistics)."
    titles = {"iou": "lanes: IoU", "map50": "objects: mAP50"}
    own = single[(single.statistics == "own") | (single.statistics == single.task)]
    with _style():
        figure, axes = _new_figure(2.0, 2, sharey=True)
        for ax, (metric, title) in zip(axes, titles.items()):
            rows = own[own.metric == metric].set_index("image").reindex(_ONE_IMAGE)
            task_colour = TASKS[rows.task.dropna().iloc[0]].colour
            colours = [task_colour if passes == 1 else GREY for passes in rows.trunk_passes]
            reach = [rows.value - rows.low, rows.high - rows.value]
            bars = ax.barh(list(_ONE_IMAGE.values()), rows.value, color=colours, xerr=reach)
            ax.bar_label(bars, labels=["" if pd.isna(x) else f"{x:.2f}" for x in rows.value], padding=3, fontsize=8)
            ax.set(title=title, xlim=(0, 0.75), xlabel="score")
        axes[0].invert_yaxis()
        return figure


def draw_parameter_sums(
    sums: Mapping[str, Mapping[str, float]],  # title -> component -> millions of parameters
    total: float,  # millions, as stated
) -> Figure:
    "Stacked bars of parameters, with the total that is stated as a line."
    with _style():
        figure, ax = _new_figure(1.8)
        colours = {"backbone": GREY, **part_colours()}
        for y, parts in enumerate(sums.values()):
            left = 0
            for part, millions in parts.items():
                label = part if y == 0 else None
                ax.barh(y, millions, left=left, color=colours[part], height=0.6, label=label)
                left += millions
            ax.annotate(f"{left:.2f} M", (left, y), xytext=(6, 0), textcoords="offset points", va="center")
        ax.axvline(total, color="black", lw=1, ls="--")
        ax.set(yticks=range(len(sums)), yticklabels=sums, ylim=(len(sums) - 0.5, -0.5), xlim=(0, 1.25 * total))
        ax.set(xlabel=f"parameters (millions); dashed: the stated total of {total:g}")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncol=4, frameon=False)
        return figure


def draw_verdicts(counts: pd.DataFrame) -> Figure:  # index: sections; columns: kinds of verdict
    "How many claims of each section met which fate."
    with _style():
        figure, ax = _new_figure(2.6)
        left = np.zeros(len(counts))
        for kind in counts:
            ink = "white" if kind == "contradicts itself" else "black"
            bars = ax.barh(counts.index, counts[kind], left=left, color=VERDICT_COLOURS[kind], height=0.7, label=kind)
            ax.bar_label(bars, labels=[n or "" for n in counts[kind]], label_type="center", fontsize=8, color=ink)
            left += counts[kind].to_numpy()
        ax.set(ylim=(len(counts) - 0.5, -0.5), xlabel="claims")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside right center", frameon=False)
        return figure
