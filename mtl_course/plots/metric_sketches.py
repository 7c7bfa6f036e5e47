"""Drawings of lessons 12 and 13: what scores count, and how sure they are."""

import functools

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

__all__ = []  # drawings of lessons

BLUE = "#0072B2"
ORANGE = "#D55E00"
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}


def with_style(draw):
    "A drawing function in the letters and frames of these lessons."

    @functools.wraps(draw)
    def drawn(*args, **options):
        with matplotlib.rc_context(STYLE):
            return draw(*args, **options)

    return drawn


@with_style
def show_pixels(
    target: np.ndarray,  # (H, W) bool: lane pixels
    painted: np.ndarray,  # (H, W) bool: what a network calls lane
) -> Figure:
    "Found, false and missed pixels, with three scores above."
    found = target & painted
    areas = {"#0072B2": found, "#E69F00": ~target & painted, "#009E73": target & ~painted}
    picture = np.full((*target.shape, 3), 0.96)
    for colour, area in areas.items():
        picture[area] = to_rgb(colour)
    fig = Figure(figsize=(6, 2.4), layout="constrained")
    ax = fig.subplots()
    ax.imshow(picture)
    accuracy = (target == painted).mean()
    iou = found.sum() / (target | painted).sum()
    f1 = 2 * found.sum() / (target.sum() + painted.sum())
    ax.set(xticks=[], yticks=[], title=f"pixel accuracy {accuracy:.2f}, IoU {iou:.2f}, F1 {f1:.2f}")
    ax.legend([Patch(color=c) for c in areas], ["found", "false", "missed"], loc="upper left", bbox_to_anchor=(1, 1))
    return fig


@with_style
def show_average_precision(
    recall: np.ndarray,  # (N,) after each box of the ranking
    precision: np.ndarray,  # (N,) likewise
    levels: np.ndarray,  # (R,) recalls at which the curve is read
    best: np.ndarray,  # (R,) best precision from each of them on
) -> Figure:
    "The steps of a precision-recall curve and the area under them."
    fig = Figure(figsize=(6, 2.8), layout="constrained")
    ax = fig.subplots()
    ax.fill_between(levels, best, step="post", color=BLUE, alpha=0.2, lw=0)
    ax.step(levels, best, where="post", color=BLUE, label="best precision from here on")
    ax.plot(recall, precision, "o", color="black", label=f"after each of the {len(recall)} boxes")
    ax.set(xlabel="recall", ylabel="precision", ylim=(0, 1.08))
    ax.set_title(f"the mean over {len(levels)} recall levels: AP = {best.mean():.4f}")
    ax.legend(loc="lower left")
    return fig


@with_style
def show_resamples(
    shares: list[float],  # one for each resample
    score: float,  # of the sample itself
    other: float,  # of another network
    low: float,
    high: float,
) -> Figure:
    "A histogram of resampled scores with their interval."
    fig = Figure(figsize=(6.5, 2.8), layout="constrained")
    ax = fig.subplots()
    ax.hist(shares, bins=np.arange(0.8125, 0.98, 0.005), color="#56B4E9")
    ax.axvline(score, color="black", label=f"this network: {200 * score:.0f} of 200")
    ax.axvline(other, color=ORANGE, ls=":", lw=2, label=f"the other one: {200 * other:.0f} of 200")
    ax.axvspan(low, high, color="#999999", alpha=0.25, lw=0, label=f"95 % interval: {low:.3f} to {high:.3f}")
    ax.set(xlabel="share of right signs", ylabel="resamples", ylim=(0, 155))
    ax.set_title("a thousand draws of the same 200 signs")
    ax.legend(loc="upper left")
    return fig


@with_style
def show_coverage(
    intervals: dict[str, list],  # what is drawn -> (low, high) of each test set
    truth: float,  # the score that they should hold
    shown: int = 60,  # test sets that are drawn
) -> Figure:
    "Intervals of many test sets; those that miss the truth are orange."
    fig = Figure(figsize=(7.5, 3), layout="constrained")
    axes = fig.subplots(1, len(intervals), sharex=True, sharey=True)
    for ax, (what, ends) in zip(axes, intervals.items()):
        low, high = np.array(ends).T
        holds = (low <= truth) & (truth <= high)
        for k in range(shown):
            ax.plot([low[k], high[k]], [k, k], color=BLUE if holds[k] else ORANGE, lw=1.5)
        ax.axvline(truth, color="black", lw=1)
        ax.set(title=f"{what}: {holds.mean():.0%} hold the truth", xlabel="accuracy", yticks=[])
    axes[0].set_ylabel(f"{shown} of the {len(ends)} test sets")
    return fig
