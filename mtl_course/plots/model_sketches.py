"""Drawings that explain the model: feature maps, statistics, anchors, ways of sharing."""

from itertools import combinations

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from ..core.task import TASKS
from ..models.backbone import STRIDES, Backbone
from ..models.detection_head import make_anchors

__all__ = []  # drawings of lessons

GREY = "#8a8a8a"
LEVEL_COLOURS = {"c2": "#56B4E9", "c3": "#E69F00", "c4": "#CC79A7", "c5": "#D55E00"}
_TASKS = ("classification", "detection", "lane")  # of the course; a learner's own are not drawn
TASK_PAIRS = dict(zip(combinations(_TASKS, 2), "os^"))  # two tasks -> a marker
_BLUE, _ORANGE = "#0072B2", "#D55E00"


def show_image(ax, image: torch.Tensor, title: str = ""):  # (3, H, W) in 0..255 or 0..1
    """Shows an image without axes."""
    if image.dtype == torch.uint8:
        image = image // 16 * 16 + 8  # fewer colours: a notebook with pictures stays small
    ax.imshow(image.permute(1, 2, 0), interpolation="nearest")
    ax.set_title(title, fontsize=9)
    ax.axis("off")


def draw_boxes(ax, boxes, **style):  # (N, 4) corners in pixels; style of matplotlib's Rectangle
    """Draws the outlines of boxes."""
    for x1, y1, x2, y2 in np.asarray(boxes, float).reshape(-1, 4):
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))


def feature_pyramid(image: torch.Tensor) -> Figure:  # (3, H, W) uint8
    """An image and the four maps of a ResNet-18 with random weights, averaged over channels."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        features = Backbone("resnet18")(image[None].float() / 255 - 0.5, _TASKS[0])
    fig = Figure(figsize=(7.4, 2.1), layout="constrained")
    axes = fig.subplots(2, 3).flat
    height, width = image.shape[1:]
    show_image(axes[0], image, f"the image: 3 × {height} × {width}")
    for ax, (name, f) in zip(axes[1:], features.items()):
        ax.imshow(f[0].mean(0), cmap="magma", extent=(0, width, height, 0))
        ax.set_title(f"{name}, stride {STRIDES[name]}: {' × '.join(map(str, f.shape[1:]))}", fontsize=9)
        ax.axis("off")
    axes[5].axis("off")
    return fig


def average_pooling(image: torch.Tensor) -> Figure:  # (3, H, W) uint8
    """A sign, six channels of its c5 map (random ResNet-18), and the mean of each."""
    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        c5 = Backbone("resnet18")(image[None].float() / 255 - 0.5, _TASKS[0])["c5"][0, :6]
    fig = Figure(figsize=(7.4, 1.9), layout="constrained")
    axes = fig.subplots(1, 8, width_ratios=[1.3, *[1] * 6, 1.7])
    show_image(axes[0], image, "image")
    for k, (ax, channel) in enumerate(zip(axes[1:7], c5)):
        ax.imshow(channel, cmap="magma", vmin=0, vmax=c5.max())
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"channel {k + 1}", fontsize=9)
        ax.set_xlabel(f"mean {channel.mean():.2f}", fontsize=9)
    axes[7].barh(range(1, 7), c5.mean((1, 2)), color=GREY)
    axes[7].set_yticks(range(1, 7))
    axes[7].invert_yaxis()
    axes[7].set_title("the vector z", fontsize=9)
    axes[7].tick_params(labelsize=8)
    return fig


def detection_steps(image: torch.Tensor, boxes: torch.Tensor) -> Figure:  # (3, H, W) uint8, (N, 4)
    """The four steps of a two-stage detector on one scene, as a perfect one would take them."""
    boxes = boxes.as_subclass(torch.Tensor)
    anchors = _all_anchors(image)
    overlap = box_iou(boxes, anchors)
    fig = Figure(figsize=(7.4, 2.8), layout="constrained")
    axes = fig.subplots(2, 2).flat
    titles = (
        "1. anchors (one in 251 drawn)",
        "2. proposals",
        "3. region features: 7 × 7 cells",
        "4. corrected boxes, each with a class",
    )
    for ax, title in zip(axes, titles):
        show_image(ax, image, title)
        ax.set(xlim=(-0.5, image.shape[2] - 0.5), ylim=(image.shape[1] - 0.5, -0.5))
    draw_boxes(axes[0], anchors[::251], ec="#E69F00", lw=0.8)
    draw_boxes(axes[1], anchors[overlap.topk(3, 1).indices.flatten()], ec="#E69F00", lw=0.9)
    for x1, y1, x2, y2 in boxes.tolist():
        draw_boxes(axes[2], [(x1, y1, x2, y2)], ec="white", lw=1.2)
        axes[2].vlines(np.linspace(x1, x2, 8), y1, y2, color="white", lw=0.4)
        axes[2].hlines(np.linspace(y1, y2, 8), x1, x2, color="white", lw=0.4)
    draw_boxes(axes[3], boxes, ec=_ORANGE, lw=1.6)
    return fig


def anchors_on_a_scene(
    image: torch.Tensor,  # (3, H, W) uint8
    boxes: torch.Tensor,  # (N, 4) true boxes
    cell_anchors: list,  # per level (9, 4), around (0, 0)
) -> Figure:
    """The anchors of one place per level over a scene, and its true boxes in white."""
    height, width = image.shape[1:]
    fig = Figure(figsize=(7.4, 2.65), layout="constrained")
    ax = fig.subplots()
    show_image(ax, image)
    columns, rows = np.meshgrid(np.arange(0, width, 32), np.arange(0, height, 32))
    ax.plot(columns, rows, ".", color=LEVEL_COLOURS["c5"], ms=4)
    middle = height // 2
    for (level, stride), cell, share in zip(STRIDES.items(), cell_anchors, (0.08, 0.24, 0.47, 0.78)):
        x = round(share * width / 32) * 32
        draw_boxes(ax, cell + torch.tensor([x, middle, x, middle]), ec=LEVEL_COLOURS[level], lw=1)
        label = dict(ha="center", va="bottom", fontsize=9, weight="bold")
        ax.text(x, -3, f"{level}, stride {stride}", color=LEVEL_COLOURS[level], **label)
    draw_boxes(ax, boxes, ec="white", lw=1.5)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return fig


def labelled_anchors(image: torch.Tensor, boxes: torch.Tensor, generator) -> Figure:
    """Centres of a scene's anchors by their label: positive, left out or (most) negative."""
    anchors = _all_anchors(image, generator)
    overlap = box_iou(boxes.as_subclass(torch.Tensor), anchors)
    best = overlap.amax(0)
    positive = (best >= 0.7) | (overlap == overlap.amax(1, keepdim=True)).any(0)
    left_out = (best >= 0.3) & ~positive
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    fig = Figure(figsize=(7.4, 2.7), layout="constrained")
    ax = fig.subplots()
    negative = len(anchors) - int((positive | left_out).sum())
    show_image(ax, image, f"centres of {len(anchors):,} anchors; {negative:,} are negative and not drawn")
    for chosen, colour, name in ((left_out, "#E69F00", "left out"), (positive, "#56B4E9", "positive")):
        x, y = (centres[chosen] + torch.rand(int(chosen.sum()), 2) * 2 - 1).T
        ax.plot(x, y, ".", ms=8 if name == "positive" else 4, color=colour, label=f"{name}: {int(chosen.sum())}")
    draw_boxes(ax, boxes, ec="white", lw=1.2)
    ax.set(xlim=(-0.5, image.shape[2] - 0.5), ylim=(image.shape[1] - 0.5, -0.5))
    ax.legend(loc="upper right", fontsize=9)
    return fig


def answering_places(
    image: torch.Tensor,  # (3, H, W) uint8
    boxes: torch.Tensor,  # (N, 4) true boxes
    points: torch.Tensor,  # (P, 2) those that answer for a box
    strides: torch.Tensor,  # (P,) of their levels
) -> Figure:
    """The places that answer for a box in a dense head, coloured by their level of the pyramid."""
    height, width = image.shape[1:]
    fig = Figure(figsize=(7.4, 2.7), layout="constrained")
    ax = fig.subplots()
    show_image(ax, image, f"{len(points)} places answer for {len(boxes)} boxes")
    for size, (level, stride) in enumerate(STRIDES.items(), 1):
        x, y = points[strides == stride].T
        label = f"{level}, stride {stride}: {len(x)}"
        ax.plot(x - 0.5, y - 0.5, "o", ms=1.5 + size, color=LEVEL_COLOURS[level], mec="white", mew=0.3, label=label)
    draw_boxes(ax, boxes, ec="white", lw=1)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    return fig


def learned_scene(image: torch.Tensor, boxes: torch.Tensor, found: torch.Tensor) -> Figure:
    """True boxes of a scene, solid, and a network's, dashed."""
    fig = Figure(figsize=(7.4, 2.5), layout="constrained")
    ax = fig.subplots()
    show_image(ax, image)
    draw_boxes(ax, boxes, ec="white", lw=1.6)
    draw_boxes(ax, found, ec=_ORANGE, lw=1.4, ls="--")
    return fig


def _all_anchors(image, generator=None):
    """All anchors of an image, (A, 4)."""
    height, width = image.shape[1:]
    generator = generator or make_anchors("fpn", 2.0)
    maps = [torch.zeros(1, 1, -(-height // s), -(-width // s)) for s in STRIDES.values()]
    return generator(ImageList(torch.zeros(1, 3, height, width), [(height, width)]), maps)[0]


def two_clouds() -> Figure:
    """One channel on two tasks' images, normalised by each batch and by one shared average."""
    x = np.linspace(-9, 9, 400)
    fig = Figure(figsize=(7.4, 2.2), layout="constrained")
    axes = fig.subplots(1, 3)
    panels = {
        "before BatchNorm": ((-5, 1), (5, 1)),
        "normalised by the batch (training)": ((0, 1), (0, 1)),
        "by both tasks' average (evaluation)": ((-5, 1), (5, 1)),  # means average to 0, variances to 1
    }
    for ax, (title, bells) in zip(axes, panels.items()):
        styles = (("signs", _BLUE, "-"), ("roads", _ORANGE, "--"))
        for (mean, width), (name, colour, line) in zip(bells, styles):
            ax.plot(x, np.exp(-(((x - mean) / width) ** 2) / 2) / width, line, color=colour, label=name)
        ax.set_title(title, fontsize=9)
        ax.set(yticks=[], xlabel="value of one channel", xlim=(-9, 9))
    axes[0].legend(frameon=False, fontsize=8)
    return fig


def three_lines() -> tuple[torch.Tensor, torch.Tensor]:  # (1, 3, 64, 96), (1, 64, 96) int64
    """A noisy picture of three thin lines, and its mask."""
    mask = torch.zeros(1, 64, 96, dtype=torch.long)
    rows = torch.arange(64)
    for k in range(3):
        mask[0, rows, 20 + 25 * k + (rows - 32) * (k - 1) // 3] = 1
    return mask[:, None].float().expand(1, 3, -1, -1) + 0.3 * torch.randn(1, 3, 64, 96), mask


def label_stages(ax, backbone: Backbone):
    """Names the stages on an axis that counts BatchNorm layers, with a line where each begins."""
    names = [n for n, m in backbone.named_modules() if hasattr(m, "running_mean")]
    stages = [name.split(".")[0] for name in names]
    starts = [k for k, stage in enumerate(stages) if k == 0 or stage != stages[k - 1]]
    for start in starts[1:]:
        ax.axvline(start - 0.5, color="#dddddd", lw=0.8, zorder=0)
    named = dict(zip(("layer1", "layer2", "layer3", "layer4"), STRIDES))
    labels = [named.get(stages[start], stages[start]) for start in starts]
    ends = [*starts[1:], len(names)]
    ax.set_xticks([(start + end - 1) / 2 for start, end in zip(starts, ends)], labels)
    ax.tick_params(axis="x", length=0)
    ax.set(xlabel="stage of the layer", xlim=(-0.5, len(names) - 0.5))


_COLUMNS = dict(zip(_TASKS, (0.5, 1.5, 2.5)))  # task -> middle of its column
_ACTIVE = _TASKS[-1]  # an image of its data set runs through the drawing


def sharing_sketch(sharing: str) -> Figure:  # hard, separate, cross_stitch, attention or mtan
    """What a lane image runs through, drawn strongly; what stands idle meanwhile is faint."""
    draw, title = _SKETCHES[sharing]
    fig = Figure(figsize=(4.6, 2.9), layout="constrained")
    ax = fig.subplots()
    ax.set(xlim=(-0.05, 3.05), ylim=(-0.25, 3.25))
    ax.axis("off")
    ax.set_title(title, fontsize=10)
    _block(ax, 2.5, 0, f"a {_ACTIVE} image", TASKS[_ACTIVE].colour)
    for task, x in _COLUMNS.items():
        _block(ax, x, 3, f"{task} head", TASKS[task].colour, task == _ACTIVE)
    draw(ax)
    return fig


def _block(ax, x, y, words, colour=GREY, active=True, width=0.94, height=0.42):
    corner = (x - width / 2, y - height / 2)
    shape = "round,pad=0,rounding_size=0.06"
    alpha = 0.45 if active else 0.1
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, fc=colour, alpha=alpha, ec="none"))
    ax.text(x, y, words, ha="center", va="center", fontsize=8.5, alpha=1 if active else 0.45)


def _arrow(ax, start, end, active=True):
    style = dict(arrowstyle="->", color="black", shrinkA=0, shrinkB=0)
    style |= dict(lw=1.3, alpha=1) if active else dict(lw=0.8, alpha=0.25)
    ax.annotate("", end, start, arrowprops=style)


def _hard(ax):
    _block(ax, 1.5, 1.5, "one ResNet", width=2.94)
    _arrow(ax, (2.5, 0.21), (2.5, 1.29))
    for task, x in _COLUMNS.items():
        _arrow(ax, (x, 1.71), (x, 2.79), task == _ACTIVE)


def _separate(ax):
    _block(ax, 1.5, 2.1, "one projection P per stage", width=2.94)
    _arrow(ax, (2.5, 0.21), (2.5, 0.89))
    for task, x in _COLUMNS.items():
        _block(ax, x, 1.1, "ResNet", TASKS[task].colour, task == _ACTIVE)
        _arrow(ax, (x, 1.31), (x, 1.89), task == _ACTIVE)
        _arrow(ax, (x, 2.31), (x, 2.79), task == _ACTIVE)


def _cross_stitch(ax):
    for y in (1.1, 2.1):
        _block(ax, 1.5, y, "α: mixes the streams", width=2.94, height=0.3)
    for task, x in _COLUMNS.items():
        _block(ax, x, 0.65, "stage 1", TASKS[task].colour, height=0.34)
        _block(ax, x, 1.6, "stages 2–4", TASKS[task].colour, height=0.34)
        _arrow(ax, (2.5, 0.21), (x, 0.48))
        _arrow(ax, (x, 2.25), (x, 2.79), task == _ACTIVE)
        for low, high in ((0.82, 0.95), (1.25, 1.43), (1.77, 1.95)):
            _arrow(ax, (x, low), (x, high))


def _attention(ax):
    _block(ax, 1.5, 0.85, "one ResNet", width=2.94, height=0.34)
    _arrow(ax, (2.5, 0.21), (2.5, 0.68))
    for task, x in _COLUMNS.items():
        _block(ax, x, 1.6, "tokens of c5", TASKS[task].colour, height=0.34)
        _arrow(ax, (x, 1.02), (x, 1.43))
        if task != _ACTIVE:
            _arrow(ax, (x, 1.77), (2.1, 2.18))
    _block(ax, 2.5, 2.2, "attention", height=0.34)
    _arrow(ax, (2.5, 1.77), (2.5, 2.03))
    for task, x in _COLUMNS.items():
        _arrow(ax, (x, 2.37 if task == _ACTIVE else 1.77), (x, 2.79), task == _ACTIVE)


def _masks(ax):
    _block(ax, 1.5, 1.0, "one ResNet", width=2.94)
    _arrow(ax, (2.5, 0.21), (2.5, 0.79))
    for task, x in _COLUMNS.items():
        _block(ax, x, 2.0, "⊙ a mask per stage", TASKS[task].colour, task == _ACTIVE)
        _arrow(ax, (x, 1.21), (x, 1.79), task == _ACTIVE)
        _arrow(ax, (x, 2.21), (x, 2.79), task == _ACTIVE)


_SKETCHES = {
    "hard": (_hard, "hard sharing"),
    "separate": (_separate, "separate networks, shared projections"),
    "cross_stitch": (_cross_stitch, "cross-stitch: mixed after every stage"),
    "attention": (_attention, "cross-task attention"),
    "mtan": (_masks, "attention masks"),
}
