"""A picture of a multi-task network, made by asking it."""

import torch
from matplotlib.figure import Figure
from torch import nn

from ..core.task import TASKS
from ..models.backbone import STRIDES
from ..models.multi_task_model import MultiTaskModel
from .architecture import stages_read

__all__ = []

_PLACES = {"classification": 4.0, "detection": 1.15, "lane": 2.6}  # x of the heads: each above what it reads


def show_network(
    model: MultiTaskModel,  # with the course's three tasks
    image_size: tuple = (128, 416),  # (height, width), pixels
) -> Figure:
    """The stages of the backbone with the shapes that they give for one image, and the heads; a
    line where a head reads a stage.
    """
    with torch.no_grad():
        features = model.eval().backbone(torch.zeros(1, 3, *image_size), model.tasks[0])
    fig = Figure(figsize=(8, 3.3), layout="constrained")
    ax = fig.subplots()
    ax.set(xlim=(-0.6, 4.7), ylim=(-0.75, 2.15))
    ax.axis("off")
    _box(ax, 0, 0, f"image\n3×{image_size[0]}×{image_size[1]}", "white")
    for x, (stage, f) in enumerate(features.items(), 1):
        ax.annotate("", (x - 0.36, 0), (x - 0.64, 0), arrowprops=dict(arrowstyle="->"))
        _box(ax, x, 0, f"{stage}, stride {STRIDES[stage]}\n{'×'.join(map(str, f.shape[1:]))}", "#dddddd")
    for task, stages in stages_read(model).items():
        x = _PLACES[task]
        _box(ax, x, 1.75, f"{task}: {_millions(model.heads[task])}\n→ {_output(task, image_size)}", _pale(task))
        for stage in stages:
            below = list(STRIDES).index(stage) + 1
            ax.plot([below, x], [0.28, 1.45], color=TASKS[task].colour, lw=1.8, alpha=0.8)
    ax.text(2.5, -0.6, f"the shared backbone: {_millions(model.backbone)}", ha="center", fontsize=10)
    return fig


def _output(task: str, image_size: tuple) -> str:
    "What the head gives, in words."
    return {"classification": "43 scores", "lane": f"2×{image_size[0]}×{image_size[1]}"}.get(task, TASKS[task].output)


def _millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M parameters"


def _pale(task: str) -> str:
    "The colour of a task, mixed with white."
    colour = TASKS[task].colour.lstrip("#")
    channels = [int(colour[k : k + 2], 16) for k in (0, 2, 4)]
    return "#" + "".join(f"{255 - (255 - c) // 3:02x}" for c in channels)


def _box(ax, x: float, y: float, words: str, colour: str):
    style = dict(boxstyle="round,pad=0.45", facecolor=colour, edgecolor="#555555", lw=0.7)
    ax.text(x, y, words, ha="center", va="center", fontsize=9, bbox=style, zorder=3)
