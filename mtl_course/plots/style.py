"""What every figure shares: type, lines, colours and the names of scores."""

import matplotlib
import seaborn as sns

from ..config import DETECTION_CLASSES
from ..core.task import TASKS

__all__ = ["style"]

WIDTH = 3.5  # inches: a figure is half a page wide
GREY = "#999999"  # of what belongs to no task
CLASS_COLOURS = dict(
    zip(DETECTION_CLASSES, ("#56B4E9", "#E69F00", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF"))
)
LANE_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#D55E00")
METRIC_LABELS = {
    "accuracy": "top-1 accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "map50": "mAP50",
    "map50_95": "mAP50:95",
    "pixel_accuracy": "pixel accuracy",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
_SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "mtl_course",  # without it each svg gets other names inside
}


def style():
    """The context in which every figure is drawn, `with style(): …`: small type for half a page of
    width.
    """
    return matplotlib.rc_context(sns.axes_style("ticks") | sns.plotting_context("paper") | _SETTINGS)


def part_colours() -> dict:  # "trunk" or a task -> its colour
    """Colours of the parts of the network: the trunk belongs to no task."""
    return {"trunk": GREY, **{name: task.colour for name, task in TASKS.items()}}


def primary_label(task: str) -> str:
    """The name in figures of the score by which a task is judged."""
    metric = TASKS[task].primary_metric
    return METRIC_LABELS.get(metric, TASKS[task].metrics[metric])


def rgb(colour: str) -> tuple:
    """Red, green and blue in 0..255 of a colour such as #0072B2."""
    return tuple(int(255 * value) for value in matplotlib.colors.to_rgb(colour))
