"""Pictures of what the readers give: tracks of signs, boxes, lanes."""

import base64
import io

import numpy as np
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..config import DETECTION_CLASSES
from ..world.signs import SIGN_NAMES
from .style import CLASS_COLOURS, LANE_COLOURS

__all__ = []  # drawings of lessons


def show_tracks(
    signs,  # a GTSRB reader of all images
    classes: tuple,  # the first track of each is shown
    columns: int = 8,  # frames at most
) -> HTML:
    """Tracks from their first frame to their last, one in each row."""
    fig = Figure(figsize=(9, 1.25 * len(classes)), layout="constrained")
    axes = fig.subplots(len(classes), columns + 1, squeeze=False, width_ratios=[1.9] + [1] * columns)
    for row, label in zip(axes, classes):
        track = signs.tracks[(signs.labels == label) & (signs.tracks >= 0)].min()
        row[0].text(0, 0.5, SIGN_NAMES[label].replace(" (", "\n("), fontsize=9, va="center", wrap=True)
        for ax, i in zip(row[1:], np.flatnonzero(signs.tracks == track)):
            ax.imshow(signs[i]["image"].permute(1, 2, 0))
            ax.set_title(f"{signs.sizes[i][1]} px", fontsize=9)
        for ax in row:
            ax.axis("off")
    return as_jpeg(fig)


def show_pairs(
    signs,  # a GTSRB reader of all images
    asked: np.ndarray,  # (n,) rows of it
    answers: np.ndarray,  # (n,) the rows that were found for them
) -> HTML:
    """Images above those that a classifier found most similar."""
    fig = Figure(figsize=(9, 2.6), layout="constrained")
    axes = fig.subplots(2, len(asked), squeeze=False)
    for row, indices, title in zip(axes, (asked, answers), ("asked", "nearest")):
        for ax, i in zip(row, indices):
            ax.imshow(signs[i]["image"].permute(1, 2, 0))
            ax.set_title(f"frame {signs.frames[i]}", fontsize=9)
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(title, fontsize=10)
    return as_jpeg(fig)


def show_split_scores(scores: dict[str, list]) -> Figure:  # rule of splitting -> accuracies, 0..1, one a seed
    """Mean accuracy of each rule as a bar, its seeds as dots."""
    fig = Figure(figsize=(7, 1.9), layout="constrained")
    ax = fig.subplots()
    ax.barh(list(scores), [np.mean(s) for s in scores.values()], color=["#D55E00", "#0072B2"])
    for y, accuracies in enumerate(scores.values()):
        ax.plot(accuracies, [y] * len(accuracies), "k.")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="accuracy of 1-nearest-neighbour (dots: three seeds)")
    ax.set_title("one classifier, two splits")
    return fig


def show_class_counts(
    splits: dict,  # split -> its GTSRB reader
    named: tuple = (1, 7, 13, 19, 25, 32, 38),  # classes whose names are written below
) -> Figure:
    """Tracks of each class, one split on top of the other."""
    fig = Figure(figsize=(9, 2.4), layout="constrained")
    ax = fig.subplots()
    bottom = np.zeros(len(SIGN_NAMES))
    for split, reader in splits.items():
        class_of_track = dict(zip(reader.tracks[reader.tracks >= 0], reader.labels[reader.tracks >= 0]))
        counts = np.bincount(list(class_of_track.values()), minlength=len(bottom))
        ax.bar(range(len(bottom)), counts, bottom=bottom, label=split)
        bottom += counts
    ax.set_xticks(named, [SIGN_NAMES[k] for k in named], fontsize=9)
    ax.set(ylabel="tracks", title="tracks of each class (every sixth or so is named)")
    ax.legend()
    return fig


def show_objects(
    frames,  # a KITTI reader
    indices: list,  # of the frames to show
) -> HTML:
    """Frames with their boxes, named; hatched areas are ignored."""
    fig = Figure(figsize=(9, 2.85 * len(indices)), layout="constrained")
    for ax, i in zip(fig.subplots(len(indices), 1, squeeze=False).flat, indices):
        sample = frames[i]
        ax.imshow(sample["image"].permute(1, 2, 0))
        ax.axis("off")
        for box in sample["ignore"].numpy():
            style = dict(facecolor=(1, 1, 1, 0.35), edgecolor="black", hatch="//////", lw=0.8)
            ax.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), **style))
        for box, label in zip(sample["boxes"].numpy(), sample["labels"].tolist()):
            _draw_box(ax, box, label)
    return as_jpeg(fig)


def _draw_box(ax, box: np.ndarray, label: int):
    "A box with the name of its class above it."
    name = DETECTION_CLASSES[label - 1]
    colour = CLASS_COLOURS[name]
    ax.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), edgecolor=colour, lw=1.6, fill=False))
    style = dict(fontsize=8, color="black", va="bottom", bbox=dict(color=colour, pad=0.6), clip_on=True)
    ax.text(max(0, box[0]), box[1] - 2, name, **style)


def show_labelled_lanes(
    image: np.ndarray,  # (H, W, 3) as published
    record,  # a LaneRecord
    mask: np.ndarray,  # (h, w) uint8, drawn from it
) -> HTML:
    """The points of a label on their image, and the mask that a network is asked for."""
    fig = Figure(figsize=(9, 2.9), layout="constrained")
    axes = fig.subplots(1, 2)
    axes[0].imshow(image)
    axes[0].set_title("the label: one x for each height", fontsize=10)
    for k, lane in enumerate(record.lanes):
        present = lane >= 0
        colour = LANE_COLOURS[k % len(LANE_COLOURS)]
        axes[0].plot(lane[present], record.h_samples[present], ".-", ms=4, lw=1, color=colour)
    axes[1].imshow(mask, cmap="gray")
    axes[1].set_title(f"the mask, {mask.shape[0]}×{mask.shape[1]} pixels", fontsize=10)
    for ax in axes:
        ax.axis("off")
    return as_jpeg(fig)


def show_masks(masks: dict) -> Figure:  # title -> (h, w)
    """Masks side by side, single pixels to be seen."""
    fig = Figure(figsize=(9, 2.9), layout="constrained")
    for ax, (title, mask) in zip(fig.subplots(1, len(masks), squeeze=False).flat, masks.items()):
        ax.imshow(mask, cmap="gray", interpolation="nearest")
        ax.set_title(title, fontsize=10)
        ax.axis("off")
    return fig


def as_jpeg(fig: Figure, quality: int = 85) -> HTML:
    "A figure at twice its resolution as a JPEG: noisy pictures make large PNGs."
    drawn = io.BytesIO()
    fig.savefig(drawn, format="jpeg", dpi=200, pil_kwargs=dict(quality=quality))
    encoded = base64.b64encode(drawn.getvalue()).decode()
    return HTML(f'<img width="{int(100 * fig.get_figwidth())}" src="data:image/jpeg;base64,{encoded}">')
