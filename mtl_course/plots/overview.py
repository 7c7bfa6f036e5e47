"""The idea of the course in one picture, and its map."""

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon

from ..core.task import TASKS
from ..world.scene import draw_scene
from ..world.signs import SIGN_NAMES
from .style import style

__all__ = []

GREY = "#666666"
SCENE_SEED = 27  # a scene with cars, lanes and a sign that can be read
SCENE_SIZE = (1280, 720)  # pixels


def _rgb(colour: str) -> tuple:
    "Red, green, blue in 0..255 of a colour such as #0072B2."
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _with_boxes(scene, colour: tuple) -> np.ndarray:
    "The scene with the boxes of its objects."
    drawn = scene.image.copy()
    for item in scene.objects:
        x1, y1, x2, y2 = (round(v) for v in item.box)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 6)
    return drawn


def _with_lanes(scene, colour: tuple) -> np.ndarray:
    "The scene with its lane lines."
    drawn = scene.image.copy()
    for lane in scene.lanes:
        points = [(round(x), y) for x, y in zip(lane, scene.h_samples, strict=True) if x >= 0]
        cv2.polylines(drawn, [np.array(points, np.int32).reshape(-1, 1, 2)], False, colour, 12)
    return drawn


def _sign_crop(scene) -> tuple[np.ndarray, str]:
    "The largest sign of a scene, cut out, and its name."
    class_id, box = max(scene.signs, key=lambda sign: sign[1][2] - sign[1][0])
    x1, y1, x2, y2 = (round(v) for v in box)
    margin = max(4, (x2 - x1) // 5)
    crop = scene.image[max(0, y1 - margin) : y2 + margin, max(0, x1 - margin) : x2 + margin]
    return crop, SIGN_NAMES[class_id]


def _rounded_box(ax: Axes, left: float, bottom: float, width: float, height: float, colour: str, text: str):
    "A rounded box with white text; places in inches."
    shape = FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.08", color=colour, lw=0)
    ax.add_patch(shape)
    ax.text(left + width / 2, bottom + height / 2, text, color="white", ha="center", va="center", weight="bold")


def _arrow(ax: Axes, start: tuple, end: tuple, colour: str):
    "An arrow between two places in inches."
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, color=colour, lw=2))


def _picture(fig: Figure, pixels: np.ndarray, place: tuple, edge: str):
    "A picture at (left, bottom, width, height) in inches."
    width, height = fig.get_size_inches()
    left, bottom, across, up = place
    ax = fig.add_axes((left / width, bottom / height, across / width, up / height))
    ax.imshow(pixels, interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=edge, linewidth=2)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    "A figure whose one pair of axes is measured in inches."
    fig = Figure(figsize=(width, height), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return fig, ax


def sharing_drawing() -> Figure:
    """One backbone and three heads on a picture from the car."""
    scene = draw_scene(np.random.default_rng(SCENE_SEED), "joint", SCENE_SIZE)
    crop, name = _sign_crop(scene)
    with style():
        fig, ax = _canvas(9.6, 4.0)
        _picture(fig, scene.image, (0.1, 1.22, 2.7, 1.52), GREY)
        ax.text(1.45, 2.92, "one picture", ha="center", fontsize=10)
        _arrow(ax, (2.85, 1.98), (3.2, 1.98), GREY)
        ax.add_patch(Polygon([(3.22, 0.9), (3.22, 3.06), (4.75, 2.4), (4.75, 1.56)], color=GREY, lw=0))
        ax.text(3.95, 1.98, "shared\nbackbone\n(ResNet)", color="white", ha="center", va="center", weight="bold")
        answers = {
            "detection": _with_boxes(scene, _rgb(TASKS["detection"].colour)),
            "lane": _with_lanes(scene, _rgb(TASKS["lane"].colour)),
            "classification": crop,
        }
        for row, (task, answer) in enumerate(answers.items()):
            middle = 3.35 - 1.33 * row
            colour = TASKS[task].colour
            _arrow(ax, (4.8, 1.98), (5.3, middle), colour)
            _rounded_box(ax, 5.33, middle - 0.3, 1.65, 0.6, colour, TASKS[task].title.replace(" ", "\n"))
            _arrow(ax, (7.0, middle), (7.3, middle), colour)
            across = 1.18 * answer.shape[1] / answer.shape[0]
            _picture(fig, answer, (7.35, middle - 0.59, across, 1.18), colour)
        ax.text(7.45 + across, middle, f"“{name}”", va="center", fontsize=9)
    return fig


FOLDERS = (  # folder, colour, its lessons
    ("1_data", "#0072B2", ("01 signs", "02 objects", "03 lanes", "04 built-in world", "05 loaders")),
    (
        "2_model",
        "#56B4E9",
        (
            "06 backbone",
            "07 sign head",
            "08 lane head",
            "09 detection head",
            "10 ways of sharing",
            "11 the whole model",
        ),
    ),
    ("3_training", "#009E73", ("12 metrics", "13 intervals", "14 one step", "15 training")),
    ("4_balancing", "#CC79A7", ("16 from losses", "17 from gradients", "18 exact gradients")),
    (
        "5_findings",
        "#D55E00",
        (
            "19 train, evaluate",
            "20 real roads",
            "21 cost of sharing",
            "22 balancers",
            "23 should I share?",
            "24 gradient flow",
            "25 imbalance",
            "26 claims audit",
        ),
    ),
    ("6_play", "#E69F00", ("27 gradient arrows", "28 task weights", "29 imbalance lab", "30 predictions")),
    ("7_make_it_yours", "#666666", ("31 add a task",)),
    (
        "8_deep_dives",
        "#999999",
        ("40 lane decoding", "41 TuSimple metric", "42 KITTI metric", "43 rankings", "44 batch size", "45 dense head"),
    ),
)


def course_map() -> Figure:
    """The course as a picture: one column a folder, one line a lesson, read from left to right."""
    column = 1.3  # inches
    with style():
        fig, ax = _canvas(column * len(FOLDERS), 2.9)
        for k, (folder, colour, lessons) in enumerate(FOLDERS):
            left = column * k + 0.04
            _rounded_box(ax, left, 2.45, column - 0.08, 0.36, colour, folder)
            for line, lesson in enumerate(lessons):
                ax.text(left + 0.03, 2.22 - 0.27 * line, lesson, fontsize=8.5, va="center")
    return fig
