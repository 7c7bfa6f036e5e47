"""Gradients and updates as arrows in the plane, the table of who gets worse, and both in words."""

import math
import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.task import TASKS
from ..losses import BALANCERS
from .arrow_updates import METHODS, conflict_free_degrees, conflict_free_region, stands_still
from .base import widget_style

__all__ = []

_SIGNS = {"losses": "○", "gramian": "◆", "gradients": "★"}  # what a method looks at -> its sign
_COLOURS = {"losses": "#7b3f8c", "gramian": "#000000", "gradients": "#8a6d00"}
_QUIVER = dict(angles="xy", scale_units="xy", scale=1)
_SIZE = (9.25, 5.0)  # inches: what a tab leaves of a laptop's window, with 96 pixels to the inch
_PLANE = 4.35  # inches, side of the plane


def _looks_at(method: str) -> str:
    """What a method of METHODS looks at: losses, gramian or gradients."""
    return BALANCERS[METHODS[method][0]].needs


def _tasks_of(table: pd.DataFrame) -> list[str]:
    return [column.removeprefix("change ") for column in table if column.startswith("change ")]


def table_to_html(
    table: pd.DataFrame,  # of `update_table`
) -> str:
    """The table with a word and a sign for each change, so that nothing hangs on a colour."""
    tasks = _tasks_of(table)
    head = "".join(f"<th>{task}</th>" for task in tasks)
    body = "".join(_table_row(method, record, tasks) for method, record in table.iterrows())
    style = "font-size:95%; line-height:1.25; white-space:nowrap; border-spacing:0.7em 0; border-collapse:separate"
    return (
        f"<table style='{style}'><caption>change of each loss for a step of length 1</caption>"
        f"<tr><th style='text-align:left'>balancer</th>{head}<th>weights</th></tr>{body}</table>"
    )


def _table_row(method: str, record: pd.Series, tasks: list[str]) -> str:
    name = f"{_SIGNS[record.looks_at]} {method}"
    cells = "".join(_cell(record[f"change {task}"]) for task in tasks)
    if record.worse == "stands still":
        cells = f"<td colspan={len(tasks)}>stands still</td>"
    weights = " / ".join(_weight(record[f"weight {task}"]) for task in tasks)
    left = "text-align:left; font-weight:normal"
    return f"<tr><th style='{left}'>{name}</th>{cells}<td style='color:#555'>{weights}</td></tr>"


def _cell(change: float) -> str:
    if change == 0:
        return "<td>· same</td>"
    if change > 0:
        return f"<td style='background:#fbe3d6'>▲ worse {change:+.2f}</td>"
    return f"<td>▼ better {change:+.2f}</td>"


def _weight(weight: float) -> str:
    return "–" if math.isnan(weight) else f"{weight:.2g}"


def describe_arrows(
    gradients: dict[str, np.ndarray],  # task -> (2,); empty where the plane shows only a part of them
    table: pd.DataFrame,  # of `update_table`
) -> str:
    """The gradients, the conflict-free region, and who gets worse with which method, in words."""
    sentences = []
    if gradients:
        arrows = ", ".join(_arrow_words(task, gradient) for task, gradient in gradients.items())
        degrees = conflict_free_degrees(np.array(list(gradients.values())))
        region = f"The conflict-free region is {degrees:.0f}° wide."
        sentences += [f"Gradients: {arrows}.", region if degrees > 0 else "No direction is free of conflict."]
    sentences.append(f"{'; '.join(_harms(table)) or 'No task gets worse with any method'}.")
    still = methods_standing_still(table)
    if still:
        sentences.append(f"Standing still: {', '.join(still)}.")
    return " ".join(sentences)


def _arrow_words(task: str, gradient: np.ndarray) -> str:
    angle = math.degrees(math.atan2(gradient[1], gradient[0]))
    return f"{task} {np.linalg.norm(gradient):.3g} long at {angle:.0f}°"


def _harms(table: pd.DataFrame) -> list[str]:
    harms = []
    for task in _tasks_of(table):
        methods = [method for method, worse in table.worse.items() if task in worse.split(", ")]
        if methods:
            harms.append(f"{task} gets worse with {', '.join(methods)}")
    return harms


def methods_standing_still(
    table: pd.DataFrame,  # of `update_table`
) -> list[str]:
    """The methods whose update is next to nothing."""
    return list(table.index[table.worse == "stands still"])


def draw_arrows(
    gradients: dict[str, np.ndarray],  # task -> (2,)
    updates: dict[str, np.ndarray],  # method -> (2,) d
    same_length: bool = False,  # show only where the updates point
    title: str = "",
    still: Iterable[str] | None = None,  # methods that stand still; None: those whose d is next to nothing
) -> Figure:
    """Gradients (thick), updates (thin), convex hull, cone and conflict-free region.

    A method that stands still gets no arrow: what rounding leaves of its update points somewhere.
    """
    arrows = np.array(list(gradients.values()))
    if still is None:
        still = [method for method, direction in updates.items() if stands_still(arrows, direction)]
    still = set(still)
    radius = _frame(arrows)
    moving = {method: direction for method, direction in updates.items() if method not in still}
    tips = _tips(moving, radius, same_length)
    width, height = _SIZE
    with widget_style():
        figure = Figure(figsize=_SIZE, layout="none")
        place = (0.5 - _PLANE / 2 / width, 0.34 / height, _PLANE / width, _PLANE / height)
        axes = _draw_plane(figure, place, radius)
        _draw_regions(axes, arrows, radius)
        _draw_updates(axes, tips)
        _draw_gradients(axes, gradients, [tip for tip, _ in tips.values()], radius)
        groups = _grouped(tips, 0.02 * radius)
        if still:
            groups += _grouped({method: (np.zeros(2), 1.0) for method in updates if method in still}, 0)
            groups[-1] = (groups[-1][0], "stands still: " + groups[-1][1])
            axes.plot(0, 0, "o", ms=6, mfc="white", mec="black", zorder=6)
        _label_tips(axes, groups, radius)
        figure.text(0.5, 0.97, title, fontsize=10, ha="center")
        legend = "dotted: conflict-free region (dual cone)     grey: cone of the gradients     dashed: convex hull"
        figure.text(0.5, 0.015, legend, fontsize=9, ha="center")
    return figure


def _frame(gradients: np.ndarray) -> float:
    """Half the width of the plane: 0.5, 0.75, 1, 1.5, 2, 3, …, so that it changes seldom."""
    needed = 1.35 * max(np.linalg.norm(gradients, axis=1).max(), 1e-9)
    power = 2.0 ** math.floor(math.log2(needed))
    return min(step for step in (power, 1.5 * power, 2 * power) if needed <= step)


def _tips(
    updates: dict[str, np.ndarray],  # method -> (2,)
    radius: float,
    same_length: bool,
) -> dict[str, tuple[np.ndarray, float]]:
    """Where each arrow ends inside the frame, and how much longer it really is."""
    tips = {}
    for method, direction in updates.items():
        length = np.linalg.norm(direction)
        if length <= 1e-9 * radius:
            tips[method] = (np.zeros(2), 1.0)
        elif same_length:
            tips[method] = (direction * 0.8 * radius / length, 1.0)
        else:
            longer = max(1.0, abs(direction).max() / (0.96 * radius))
            tips[method] = (direction / longer, longer)
    return tips


def _draw_plane(figure: Figure, place: tuple, radius: float) -> Axes:
    axes = figure.add_axes(place, xlim=(-radius, radius), ylim=(-radius, radius))
    axes.set_axis_off()  # ticks cost more time than everything that is drawn here
    square = radius * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
    cross = radius * np.array([[-1, 1, math.nan, 0, 0], [0, 0, math.nan, -1, 1]])
    axes.plot(*square, color="#bbbbbb", lw=1, clip_on=False, zorder=0)
    axes.plot(*cross, color="#dddddd", lw=0.6, zorder=0)
    return axes


def _draw_regions(axes: Axes, gradients: np.ndarray, radius: float):
    corners = conflict_free_region(gradients, radius)
    if len(corners) > 2:
        axes.fill(*corners.T, facecolor="#d8efe4", edgecolor="#009E73", hatch="...", lw=0, zorder=0)
    cone = gradients / np.maximum(np.linalg.norm(gradients, axis=1, keepdims=True), 1e-12) * 3 * radius
    if conflict_free_degrees(gradients) > 0:
        cone = np.vstack([cone, np.zeros((1, 2))])
    axes.fill(*cone.T, facecolor="black", alpha=0.06, lw=0, zorder=0)
    axes.fill(*gradients.T, facecolor="none", edgecolor="#555555", ls="--", lw=1, zorder=1)


def _draw_updates(axes: Axes, tips: dict):
    """Thin arrows below the gradients, with a point at each tip that is seen on top of them."""
    if not tips:
        return
    ends = np.array([tip for tip, _ in tips.values()])
    colours = [_COLOURS[_looks_at(method)] for method in tips]
    origins = np.zeros((2, len(ends)))
    axes.quiver(*origins, *ends.T, color=colours, width=0.004, headwidth=5, zorder=3, **_QUIVER)
    axes.scatter(*ends.T, s=9, c=colours, edgecolors="white", linewidths=0.5, zorder=5)


def _draw_gradients(axes: Axes, gradients: dict[str, np.ndarray], tips: list[np.ndarray], radius: float):
    arrows = np.array(list(gradients.values()))
    head = dict(width=0.013, headlength=3.5, headaxislength=3.5, edgecolor="white", linewidth=0.7)
    colours = [TASKS[task].colour for task in gradients]
    axes.quiver(*np.zeros((2, len(arrows))), *arrows.T, color=colours, zorder=4, **head, **_QUIVER)
    words = dict(fontsize=9, weight="bold", va="center", ha="center", zorder=7)
    ground = dict(facecolor="white", alpha=0.7, lw=0, pad=0.5)
    for task, place in _name_places(gradients, tips, radius).items():
        colour = TASKS[task].colour
        axes.plot(*gradients[task], TASKS[task].marker, color=colour, ms=7, mec="white", zorder=6)
        axes.text(*place, task, color=colour, bbox=ground, **words)


def _name_places(
    gradients: dict[str, np.ndarray],  # task -> (2,)
    tips: list[np.ndarray],  # of the updates
    radius: float,
) -> dict[str, np.ndarray]:
    """Where each gradient's name stands: at its tip, where it covers the fewest arrows."""
    thick = _points_along(gradients.values())
    thin = _points_along(tips)
    mark = np.full(2, 0.03 * radius)
    taken = [(tip, mark) for tip in (*gradients.values(), np.zeros(2))]
    places = {}
    for task, tip in gradients.items():
        half = np.array([0.0185 * len(task) + 0.01, 0.042]) * radius
        candidates = _places_around(tip, half, radius)
        costs = []
        for place in candidates:
            overlaps = sum((abs(place - other) < half + size).all() for other, size in taken)
            costs.append(1000 * overlaps + 10 * _inside(thick, place, half) + _inside(thin, place, half))
        places[task] = candidates[int(np.argmin(costs))]
        taken.append((places[task], half))
    return places


def _places_around(tip: np.ndarray, half: np.ndarray, radius: float) -> np.ndarray:
    """Places for a name around an arrow's tip and further out, the best first, (N, 2)."""
    turns = np.radians([0, 35, -35, 70, -70, 105, -105])
    distances = np.array([1, 1.5, 2.2, 3.0])
    angles = np.arctan2(tip[1], tip[0]) + turns
    ways = np.stack([np.cos(angles), np.sin(angles)], -1) * (half + 0.05 * radius)
    places = tip + (distances[:, None, None] * ways).reshape(-1, 2)
    return np.clip(places, half - radius, radius - half)


def _points_along(ends: Iterable[np.ndarray]) -> np.ndarray:
    """Forty points on each arrow from the origin, (N, 2)."""
    ends = np.array(list(ends)).reshape(-1, 2)
    return (np.linspace(0.05, 1, 40)[:, None, None] * ends).reshape(-1, 2)


def _inside(points: np.ndarray, place: np.ndarray, half: np.ndarray) -> int:
    """How many points a name at a place covers."""
    return int((abs(points - place) < half).all(1).sum())


def _grouped(tips: dict, near: float) -> list[tuple[np.ndarray, str]]:
    """A label for each place: arrows that end there share it, sorted by what they look at."""
    groups = []  # (tip, kind -> names)
    for method, (tip, longer) in tips.items():
        name = method if longer < 1.05 else f"{method}\u00a0(×{longer:.3g})"  # stays in one line
        names = next((names for place, names in groups if np.linalg.norm(place - tip) <= near), None)
        if names is None:
            names = {}
            groups.append((tip, names))
        names.setdefault(_looks_at(method), []).append(name)
    return [(tip, _group_label(names)) for tip, names in groups]


def _group_label(names: dict[str, list[str]]) -> str:
    return "  ".join(f"{_SIGNS[kind]}\u00a0{', '.join(methods)}" for kind, methods in names.items())


def _label_tips(axes: Axes, groups: list, radius: float):
    """Names of the updates in two columns beside the plane, thin lines to their tips."""
    lines = []
    for side in (-1, 1):
        groups_here = [group for group in groups if (group[0][0] >= 0) == (side > 0)]
        groups_here.sort(key=lambda group: -group[0][1])
        texts = ["\n".join(textwrap.wrap(names, 32, break_long_words=False)) for _, names in groups_here]
        heights = [radius * (0.064 * (text.count("\n") + 1) + 0.035) for text in texts]
        centres = _spread([tip[1] for tip, _ in groups_here], heights, -radius, radius)
        align = "left" if side > 0 else "right"
        for (tip, _), text, y in zip(groups_here, texts, centres):
            text = text.replace("\u00a0", " ")
            axes.text(side * 1.06 * radius, y, text, fontsize=9, va="center", ha=align, linespacing=1.05)
            lines += [tip, (side * 1.045 * radius, y), (math.nan, math.nan)]
    axes.plot(*np.array(lines).reshape(-1, 2).T, color="#999999", lw=0.4, zorder=2, clip_on=False)


def _spread(
    targets: list[float],  # where labels would like to stand, the highest first
    heights: list[float],
    low: float,
    high: float,
) -> list[float]:
    """Centres of labels near the targets, from high to low, that do not overlap."""
    centres = []
    ceiling = high
    for target, height in zip(targets, heights):
        centres.append(min(target, ceiling - height / 2))
        ceiling = centres[-1] - height / 2
    floor = low
    for k in reversed(range(len(centres))):  # those pushed out below come back
        if centres[k] - heights[k] / 2 >= floor:
            break
        centres[k] = floor + heights[k] / 2
        floor = centres[k] + heights[k] / 2
    return centres
