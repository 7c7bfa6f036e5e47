"""Pictures of what the loaders do: samples and their labels, passes over the data, a batch."""

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torchvision.utils import make_grid

from ..core.task import TASKS
from ..data.loaders import MultiTaskBatchSampler, denormalise
from ..world.signs import SIGN_NAMES
from .data_sketches import as_jpeg

__all__ = []

_ORANGE = "#D55E00"
_PASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # colours of one pass after another


def show_samples(
    samples: dict,  # title -> a reader's sample
    columns: int = 3,
    width: float = 8.0,  # of the figure, inches
) -> HTML:
    """Images with the labels that they have: a sign's name below, boxes, lanes in orange."""
    ratios = [sample["image"].shape[-1] / sample["image"].shape[-2] for sample in samples.values()][:columns]
    rows = -(-len(samples) // columns)
    text = 0.55 if any("label" in sample for sample in samples.values()) else 0.3  # inches: title, and a sign's name
    fig = Figure(figsize=(width, rows * (text + width / sum(ratios))), layout="constrained")
    axes = list(fig.subplots(rows, columns, squeeze=False, width_ratios=ratios).flat)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    for ax, (title, sample) in zip(axes, samples.items()):
        ax.set_title(title, fontsize=9)
        _draw_sample(ax, sample)
    return as_jpeg(fig, quality=60)


def _draw_sample(ax, sample: dict):
    "One image with its labels."
    picture = np.array(sample["image"].permute(1, 2, 0))
    if "mask" in sample:
        picture[np.asarray(sample["mask"]) > 0] = (213, 94, 0)
    ax.imshow(picture, interpolation="nearest")
    if "label" in sample:
        ax.set_xlabel(SIGN_NAMES[sample["label"]], fontsize=9)
    for x1, y1, x2, y2 in np.asarray(sample.get("boxes", np.zeros((0, 4)))).tolist():
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=_ORANGE, lw=1.5))


def show_passes(
    sampler: MultiTaskBatchSampler,
    steps: int,  # the first ones of the run are shown
) -> Figure:
    """Which images each step takes: a point for each, a colour for each pass over a task's data."""
    fig = Figure(figsize=(8, 2.9), layout="constrained")
    axes = fig.subplots(1, len(sampler.lengths), squeeze=False).flat
    for ax, (task, n) in zip(axes, sampler.lengths.items()):
        points = _images_by_step(sampler, task, steps)
        for k in range(-(-len(points) // n)):
            style = dict(s=16, color=_PASSES[k % 4], marker="os^D"[k % 4], label=f"pass {k + 1}")
            ax.scatter(*points[k * n : (k + 1) * n].T, **style)
        ax.set_title(f"{task}: {n} images, {sampler.batch_sizes[task]} a step", fontsize=10)
        ax.set(xlabel="step", ylabel="image", ylim=(-1, n * 1.28))
        ax.legend(fontsize=8, loc="upper center", ncols=4, columnspacing=1, handletextpad=0.2, frameon=False)
    return fig


def _images_by_step(sampler, task: str, steps: int) -> np.ndarray:  # (n, 2) step and image
    "What the first steps take of one task."
    points = []
    for step in range(steps):
        points += [(step, image) for name, image, _ in sampler.keys(step) if name == task]
    return np.array(points)


def show_batch(batch: dict) -> HTML:  # as `create_dataloaders` yields it
    """All images of a batch, one panel for each task."""
    grids = {}
    for task, images in batch["images"].items():
        grids[task] = make_grid(denormalise(images), nrow=4 if len(images) > 4 else 1, pad_value=1)
    ratios = [grid.shape[2] / grid.shape[1] for grid in grids.values()]
    fig = Figure(figsize=(8, 0.4 + 8 / sum(ratios)), layout="constrained")
    for ax, (task, grid) in zip(fig.subplots(1, len(grids), squeeze=False, width_ratios=ratios).flat, grids.items()):
        shape = " × ".join(map(str, batch["images"][task].shape))
        ax.imshow(grid.permute(1, 2, 0))
        ax.set_title(f"{TASKS[task].short}: {shape}", fontsize=9)
        ax.axis("off")
    return as_jpeg(fig, quality=60)
