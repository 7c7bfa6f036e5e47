"""Drawings that explain how a lane mask becomes lanes."""

import numpy as np
from matplotlib.figure import Figure

from ..models import lane_decoding as decoding
from ..models.synthetic_lanes import HEIGHTS

__all__ = []  # drawings of lessons

_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#D55E00")
_TRUE = "#009E73"


def decoding_steps(probability: np.ndarray, lanes: np.ndarray) -> Figure:  # (192, 320), (n, 56)
    """The four steps on one mask: runs, segments, merged segments, lanes at TuSimple's heights."""
    runs = decoding._find_runs(probability, 0.5)
    height = len(probability)
    fig = Figure(figsize=(8, 4.7), layout="constrained")
    axes = fig.subplots(2, 2).flat
    segments = decoding._link_runs(runs, height, 1.0)
    _panel(axes[0], probability, f"1. runs: {len(runs.row)}, every fourth row drawn")
    few = runs.row % 4 == 0
    axes[0].hlines(runs.row[few], runs.start[few] - 0.5, runs.end[few] - 0.5, color=_COLOURS[4], lw=1.3)
    _panel(axes[1], probability, f"2. linked: {len(segments)} segments")
    _draw_segments(axes[1], segments)
    merged = decoding._merge_segments(segments, height, 1.0)
    _panel(axes[2], probability, f"3. merged: {len(merged)} segments")
    _draw_segments(axes[2], merged)
    decoded = np.array(decoding.mask_to_lanes(probability, HEIGHTS))
    _panel(axes[3], probability, f"4. fitted: {len(decoded)} of {len(lanes)} lanes, x at each height")
    for lane, colour in zip(decoded, _COLOURS):
        axes[3].plot(*_in_mask(lane), ".", ms=3.5, color=colour)
    return fig


def draw_decoded(
    ax,
    probability: np.ndarray,  # (192, 320)
    lanes,  # (n, 56) true lanes: wide and green
    decoded,  # the same, decoded: thin
):
    """A mask with true and decoded lanes."""
    _panel(ax, probability, "")
    for lane in np.array(lanes):
        ax.plot(*_in_mask(lane), color=_TRUE, lw=4)
    for k, lane in enumerate(np.array(decoded)):
        ax.plot(*_in_mask(lane), color=_COLOURS[k % len(_COLOURS)], lw=1.4)


def _panel(ax, probability, title):
    ax.imshow(probability, cmap="gray", vmax=1.6)
    ax.set_title(title, fontsize=9)
    ax.axis("off")


def _draw_segments(ax, segments):
    for k, segment in enumerate(segments):
        ax.plot(segment.x, segment.y, color=_COLOURS[k % len(_COLOURS)], lw=1.6)


def _in_mask(lane):
    """x and y of a lane in pixels of the mask, where it is present."""
    on = lane >= 0
    return (lane[on] + 0.5) / 4 - 0.5, (HEIGHTS[on] + 0.5) / 3.75 - 0.5
