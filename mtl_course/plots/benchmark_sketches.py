"""Drawings of deep dives 41 to 43: two benchmarks' own scores, and intervals of rankings."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..metrics.intervals import interval
from .metric_sketches import BLUE, ORANGE, with_style

__all__ = []  # drawings of lessons

GREEN = "#009E73"
YELLOW = "#E69F00"
GREY = "#888888"


@with_style
def show_band(
    y: np.ndarray,  # (H,) heights in pixels
    true_x: np.ndarray,  # (H,) a true lane, pixels
    predicted_x: np.ndarray,  # (H,)
    half: float,  # half the width of its band along the row, pixels
) -> Figure:
    "A lane with its band, and which predicted points lie inside."
    inside = abs(predicted_x - true_x) < half
    fig = Figure(figsize=(7, 3.8), layout="constrained")
    ax = fig.subplots()
    band = dict(color=BLUE, alpha=0.15, lw=0, label="band of ± 20 px across the lane")
    ax.fill_betweenx(y, true_x - half, true_x + half, **band)
    ax.plot(true_x, y, color=BLUE, label="true lane")
    ax.plot(predicted_x[inside], y[inside], "o", color=GREEN, ms=5, label=f"right: {inside.sum()} of {len(y)} points")
    ax.plot(predicted_x[~inside], y[~inside], "x", color=ORANGE, ms=7, label="wrong")
    arrow = dict(arrowstyle="<->", shrinkA=0, shrinkB=0)
    ax.annotate("", (true_x[10] + half, y[10]), (true_x[10], y[10]), arrowprops=arrow)
    ax.text(true_x[10] + half + 10, y[10] + 6, f"{half:.0f} px along the row")
    ax.set(xlabel="x in pixels", ylabel="y in pixels", xlim=(240, 1080), ylim=(720, 230))
    ax.legend(loc="upper right")
    return fig


@with_style
def show_detectors(
    means: dict,  # (official or corrected, detector) -> its accuracy, fp, fn
    honest: int,  # so many detectors stand above the line
) -> Figure:
    "Three scores of each detector, official and corrected."
    names = [name for which, name in means if which == "official"]
    fig = Figure(figsize=(9, 3.8), layout="constrained")
    axes = fig.subplots(1, 3, sharey=True)
    at = np.arange(len(names))[::-1]
    for ax, (score, title) in zip(axes, {"accuracy": "accuracy", "fp": "FP", "fn": "FN"}.items()):
        for which, offset, colour in (("official", 0.2, BLUE), ("corrected", -0.2, YELLOW)):
            ax.barh(at + offset, [means[which, name][score] for name in names], 0.38, color=colour, label=which)
        ax.axhline(len(names) - honest - 0.5, color="0.6", lw=0.8)
        ax.axvline(0, color="0.4", lw=0.8)
        ax.set(title=title, xlim=(-0.05, 1.02))
    axes[0].set_yticks(at, names)
    axes[1].legend(loc="upper right")
    return fig


@with_style
def show_kitti_frame(labels, detections) -> Figure:  # KittiLabels and KittiDetections of a frame of 402×150 pixels
    "Labels in green, detections dashed with their letters and scores."
    fig = Figure(figsize=(7.5, 3.1), layout="constrained")
    ax = fig.subplots()
    for name, (x1, y1, x2, y2) in zip(labels.names, labels.boxes):
        face = "#dddddd" if name == "DontCare" else "none"
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=face, edgecolor=GREEN, lw=2))
        ax.text(x2, y1 - 3, name, color=GREEN, ha="right")
    for letter, (x1, y1, x2, y2), score in zip("abcdef", detections.boxes, detections.scores):
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=ORANGE, ls="--"))
        ax.text(x1 + 3, y1 + 10, f"{letter} {score:.2f}", color=ORANGE)
    ax.set(xlim=(0, 402), ylim=(150, 0), aspect="equal", xlabel="x in pixels", ylabel="y in pixels")
    ax.set_title("labels (green) and detections (dashed, with scores)")
    return fig


@with_style
def show_small_sets(
    perfect: dict[int, dict],  # objects -> scores of a detector that finds all
    three_in_four: dict[int, list],  # objects -> scores of one that finds three in four, on random sets
) -> Figure:
    "What a class scores with few objects: everything found, and three in four."
    fig = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    runs = perfect.values()
    left.plot(list(perfect), [run["r40"][0] for run in runs], color=BLUE, label="official R40")
    left.plot(list(perfect), [run["r11"][0] for run in runs], color=ORANGE, ls="--", label="official R11")
    corrected = [run["corrected"]["r40"][0] for run in runs]
    left.plot(list(perfect), corrected, color=GREY, ls=":", label="corrected (both)")
    left.set(title="all found, no false positive", xlabel="objects in the set", ylabel="AP in per cent", ylim=(0, 108))
    left.legend(loc="lower right")
    sizes = list(three_in_four)
    official = []
    corrected = []
    for runs in three_in_four.values():
        official.append([run["r40"][0] for run in runs])
        corrected.append([run["corrected"]["r40"][0] for run in runs])
    _draw_range(right, sizes, np.array(official), color=BLUE, marker="o", label="official R40")
    _draw_range(right, sizes, np.array(corrected), color=GREY, marker="s", label="corrected R40")
    right.set(title="three in four found", xlabel="objects in the set", xscale="log")
    right.set_xticks(sizes, sizes)
    right.minorticks_off()
    right.legend(loc="lower right")
    return fig


def _draw_range(ax, x: list, values: np.ndarray, color: str, **line):  # values: (len(x), N)
    "The mean of each row, and the range between its least and its largest value."
    ax.plot(x, values.mean(1), ms=4, color=color, **line)
    ax.fill_between(x, values.min(1), values.max(1), color=color, alpha=0.2, lw=0)


@with_style
def show_quirks(quirks: dict[str, tuple]) -> Figure:  # case -> (official, corrected) AP in per cent
    "Two bars for each case."
    y = np.arange(len(quirks))
    official, corrected = np.array(list(quirks.values())).T
    fig = Figure(figsize=(7.5, 3.2), layout="constrained")
    ax = fig.subplots()
    ax.barh(y - 0.2, official, 0.38, color=BLUE, label="official")
    ax.barh(y + 0.2, corrected, 0.38, color=GREY, label="corrected")
    ax.set_yticks(y, quirks)
    ax.invert_yaxis()
    ax.set(xlabel="AP R40 in per cent", title="the same detections, two ways of counting")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return fig


@with_style
def show_draws(
    levels: np.ndarray,  # (R,) recalls
    precisions: np.ndarray,  # (R,) of the images themselves
    draws: list[np.ndarray],  # the same of each draw
) -> Figure:
    "A precision-recall curve over those of draws of its images."
    fig = Figure(figsize=(6.5, 3.3), layout="constrained")
    ax = fig.subplots()
    for drawn in draws:
        ax.step(levels, drawn, color="#BBBBBB", lw=0.8)
    ax.step(levels, precisions, color=BLUE, lw=2, label="the 40 images")
    ax.plot([], [], color="#BBBBBB", label=f"{len(draws)} draws of 40 images from them")
    ax.set(xlabel="recall", ylabel="best precision from here on", ylim=(0, 1.03))
    ax.set_title(f"one matching, {len(draws) + 1} curves")
    ax.legend(loc="lower left")
    return fig


@with_style
def show_widths(samples: dict[int, np.ndarray]) -> Figure:  # images -> AP of the sample (first) and of its resamples
    "An AP with its interval for each number of images."
    fig = Figure(figsize=(6.5, 2.2), layout="constrained")
    ax = fig.subplots()
    for y, values in enumerate(samples.values()):
        low, high = interval(values[1:])
        ax.plot([low, high], [y, y], color=BLUE, lw=2)
        ax.plot(values[0], y, "o", color=BLUE)
        ax.text(high, y + 0.12, f"{values[0]:.2f}  [{low:.2f}, {high:.2f}]", ha="right")
    ax.set_yticks(range(len(samples)), [f"{n} images" for n in samples])
    ax.set(xlabel="AP50 with its 95 % interval", ylim=(-0.4, len(samples) - 0.4))
    ax.set_title("the same detector, tested on more images")
    return fig
