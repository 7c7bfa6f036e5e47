"""Two or three arrows in the plane, nineteen opinions on where to go: pull at the arrows and see which task each balancer would harm."""

__all__ = [
    "METHODS",
    "PRESETS",
    "OWN",
    "RANGES",
    "Update",
    "balanced_update",
    "can_settle",
    "fresh_balancer",
    "balanced_updates",
    "stands_still",
    "loss_changes",
    "update_table",
    "table_to_html",
    "conflict_free_region",
    "conflict_free_degrees",
    "draw_arrows",
    "in_plane",
    "embed_gramian",
    "plane_share",
    "Recording",
    "read_recording",
    "recording_of_run",
    "record_gradients",
    "describe",
    "handmade_figure",
    "HandmadeGradients",
    "replay_figure",
    "GradientReplay",
    "GradientArrows",
]

import html, math, textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
import ipywidgets as ipw, numpy as np, pandas as pd, torch
from fastcore.basics import patch
from matplotlib.figure import Figure
from torch import nn
from ..config import BOOSTED_WEIGHTS, TASKS, make_config
from ..core.errors import UserError
from ..core.files import project_root
from ..core.seeds import random_states_restored
from ..plots.figures import TASK_COLOURS, TASK_LABELS, TASK_MARKERS, style
from ..losses import BALANCERS, balancer_options, make_balancer, streamed_backward
from ..losses import Balancer
from ..training.recording import Recording, read_recording, record_gradients, recording_of_run
from .base import Picture, Playable, button, checked_number, choice, log_slider, slider, sweep_to_jshtml

METHODS = {
    "fixed": ("fixed", {}),
    "fixed 5/30/1": ("fixed", dict(weights=BOOSTED_WEIGHTS)),
    **{name: (name, {}) for name in BALANCERS if name not in ("fixed", "torchjd")},
}  # what is drawn -> (name, options) for `make_balancer`


@dataclass
class Update:
    "What a balancer makes of the tasks' gradients."

    direction: np.ndarray  # (P,) d: the parameters move along -d
    weights: dict[str, float]  # task -> its weight (NaN where the method has no such number)


def balanced_update(
    gradients: np.ndarray,  # (T, P)
    losses: dict[str, float],  # the T tasks' losses, in the same order
    balancer: Balancer,
) -> Update:
    "One step of the engine on linear losses that have these gradients; moves the balancer's state on."
    theta = nn.Parameter(torch.zeros(gradients.shape[1], dtype=torch.float64))
    linear = lambda start, g: start + g @ theta
    closures = {
        t: partial(linear, start, g)
        for (t, start), g in zip(losses.items(), torch.from_numpy(np.asarray(gradients, float)))
    }
    step = streamed_backward([theta], closures, balancer)
    return Update(theta.grad.numpy(), step.weights)


_options = lru_cache(balancer_options)  # asked for each arrow that is turned


def can_settle(name: str) -> bool:  # a key of BALANCERS
    "True for methods that learn their weights from the losses or gradients of a step alone."
    return "lr" in _options(name) and not BALANCERS[name].wants_losses_after


@lru_cache(maxsize=256)
def _settled_state(
    name: str, squares: tuple, losses: tuple
) -> dict:  # squared lengths of the gradients, (task, loss) pairs
    "What a balancer has learned after sixty steps at the same place. It learns from losses and lengths alone, whatever the angles; so a turned arrow needs no new sixty steps."
    balancer, losses = make_balancer(name, [t for t, _ in losses], lr=0.15), dict(losses)
    for _ in range(60):
        balancer.weights(
            torch.diag(torch.tensor(squares, dtype=torch.float64)), losses
        ) if balancer.needs == "gramian" else balancer.finish(losses)
    return balancer.state_dict()


def fresh_balancer(
    method: str,  # a key of METHODS
    gramian: torch.Tensor,  # (T, T) float64
    losses: dict[str, float],
    settled: bool = False,  # after sixty steps at the same place
    seed: int = 0,  # of methods that draw lots
) -> Balancer:
    "A new balancer for the tasks of `losses`, at its start or settled."
    name, options = METHODS[method]
    options = {k: {t: w for t, w in v.items() if t in losses} for k, v in options.items()}  # weights by task
    if "seed" in _options(name):
        options["seed"] = seed
    balancer = make_balancer(name, losses, **options)
    if settled and can_settle(name):
        squares = tuple(float(f"{g:.9g}") for g in gramian.diagonal()) if name == "gradnorm" else (1.0,) * len(losses)
        balancer.load_state_dict(_settled_state(name, squares, tuple(losses.items())))
    return balancer


def balanced_updates(
    gradients: np.ndarray,  # (T, P)
    losses: dict[str, float],
    settled: bool = False,
    seed: int = 0,
) -> dict[str, Update]:  # method -> update
    "The update of every method in METHODS, each from a fresh balancer."
    gramian = torch.from_numpy(gradients @ gradients.T)
    return {m: balanced_update(gradients, losses, fresh_balancer(m, gramian, losses, settled, seed)) for m in METHODS}


def stands_still(gradients: np.ndarray, direction: np.ndarray) -> bool:  # (T, P), (P,) d
    "Whether an update is next to nothing: shorter than a thousandth of the longest gradient. Where it points is then a matter of rounding."
    return bool(np.linalg.norm(direction) <= 1e-3 * np.linalg.norm(gradients, axis=1).max())


def loss_changes(
    gradients: np.ndarray,  # (T, P)
    direction: np.ndarray,  # (P,) d
) -> np.ndarray:  # (T,)
    "The change of each loss, to first order, for a step of length one along -d; 0 where |cos| < 1e-6; all 0 where d is shorter than a thousandth of the longest gradient."
    lengths, length = np.linalg.norm(gradients, axis=1), np.linalg.norm(direction)
    if stands_still(gradients, direction):
        return np.zeros(len(gradients))
    change = -(gradients @ direction) / length
    return np.where(abs(change) < 1e-6 * lengths, 0.0, change)


def update_table(gradients: np.ndarray, losses: dict[str, float], updates: dict[str, Update]) -> pd.DataFrame:
    "One row per method: what it looks at, its weights, the change of each loss for a step of length one, and which tasks get worse."
    rows = []
    for method, update in updates.items():
        change = dict(zip(losses, loss_changes(gradients, update.direction)))
        still = not any(change.values())
        rows.append(
            dict(
                method=method,
                looks_at=BALANCERS[METHODS[method][0]].needs,
                **{f"weight {t}": update.weights[t] for t in losses},
                **{f"change {t}": c for t, c in change.items()},
                worse="stands still" if still else ", ".join(t for t, c in change.items() if c > 0),
            )
        )
    return pd.DataFrame(rows).set_index("method")


_LOOKS = {"losses": "○", "gramian": "◆", "gradients": "★"}  # what a method looks at -> its sign
_LOOK_COLOURS = {"losses": "#7b3f8c", "gramian": "#000000", "gradients": "#8a6d00"}


def _cell(change: float) -> str:
    if change == 0:
        return "<td>· same</td>"
    return (
        f"<td style='background:#fbe3d6'>▲ worse {change:+.2f}</td>"
        if change > 0
        else f"<td>▼ better {change:+.2f}</td>"
    )


def table_to_html(
    table: pd.DataFrame,  # of `update_table`
) -> str:
    "The table with a word for each change, weights in small print."
    tasks = [c.removeprefix("change ") for c in table if c.startswith("change ")]
    head = "".join(f"<th>{t}</th>" for t in tasks)
    body = []
    for method, row in table.iterrows():
        weights = " / ".join("–" if math.isnan(row[f"weight {t}"]) else f"{row[f'weight {t}']:.2g}" for t in tasks)
        cells = (
            f"<td colspan={len(tasks)}>stands still</td>"
            if row.worse == "stands still"
            else "".join(_cell(row[f"change {t}"]) for t in tasks)
        )
        body.append(
            f"<tr><th style='text-align:left; font-weight:normal'>{_LOOKS[row.looks_at]} {method}</th>{cells}<td style='color:#555'>{weights}</td></tr>"
        )
    return (
        "<table style='font-size:85%; line-height:1.25; white-space:nowrap; border-spacing:0.7em 0; border-collapse:separate'><caption>change of each loss for a step of length 1</caption>"
        f"<tr><th style='text-align:left'>balancer</th>{head}<th>weights</th></tr>{''.join(body)}</table>"
    )


def _cut(polygon: np.ndarray, normal: np.ndarray) -> np.ndarray:  # (N, 2), (2,) → (M, 2)
    "The part of a polygon with normal · x ≥ 0."
    kept = []
    for a, b in zip(polygon, np.roll(polygon, -1, 0)):
        at, bt = normal @ a, normal @ b
        if at >= 0:
            kept.append(a)
        if (at < 0) != (bt < 0):
            kept.append(a + (b - a) * at / (at - bt))
    return np.array(kept).reshape(-1, 2)


def conflict_free_region(gradients: np.ndarray, radius: float) -> np.ndarray:  # (T, 2), half the square's side → (N, 2)
    "The corners of {d : g_t · d ≥ 0 for all t} inside a square around the origin."
    polygon = radius * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for g in gradients:
        polygon = _cut(polygon, g)
    return polygon


def conflict_free_degrees(gradients: np.ndarray) -> float:  # (T, 2) → 0..180
    "The opening angle of the conflict-free region: 180° minus the smallest angle that holds all gradients; 0 where no direction helps all."
    angles = np.sort(np.degrees(np.arctan2(*gradients[np.linalg.norm(gradients, axis=1) > 0].T[::-1])))
    if not len(angles):
        return 360.0
    gaps = np.diff(np.append(angles, angles[0] + 360))
    return float(max(0.0, 180 - (360 - gaps.max())))


def _frame(gradients: np.ndarray) -> float:
    "Half the width of the plane that is shown: a step of 0.5, 0.75, 1, 1.5, 2, 3, … so that it does not change with every move."
    wanted = 1.35 * max(np.linalg.norm(gradients, axis=1).max(), 1e-9)
    power = 2.0 ** math.floor(math.log2(wanted))
    return power if wanted <= power else 1.5 * power if wanted <= 1.5 * power else 2 * power


def _tips(
    updates: dict[str, np.ndarray], radius: float, same_length: bool
) -> dict[str, tuple[np.ndarray, float]]:  # method -> tip, how much longer the arrow is
    "Where each arrow ends inside the frame."
    tips = {}
    for method, d in updates.items():
        length = np.linalg.norm(d)
        if length <= 1e-9 * radius:
            tips[method] = (np.zeros(2), 1.0)
            continue
        if same_length:
            tips[method] = (d * 0.8 * radius / length, 1.0)
            continue
        longer = max(1.0, abs(d).max() / (0.96 * radius))
        tips[method] = (d / longer, longer)
    return tips


def _grouped(tips: dict, near: float, before: str = "") -> list[tuple[np.ndarray, str]]:  # [(tip, label)]
    "Arrows that end at about the same place share a label; methods of a kind stand together after its sign."
    groups = []
    for method, (tip, longer) in tips.items():
        name = method if longer < 1.05 else f"{method}\u00a0(×{longer:.3g})"  # kept in one line
        kinds = next((kinds for place, kinds in groups if np.linalg.norm(place - tip) <= near), None)
        if kinds is None:
            groups.append((tip, kinds := {}))
        kinds.setdefault(BALANCERS[METHODS[method][0]].needs, []).append(name)
    return [
        (tip, before + "  ".join(f"{_LOOKS[kind]}\u00a0{', '.join(names)}" for kind, names in kinds.items()))
        for tip, kinds in groups
    ]


def _spread(wanted: list[float], heights: list[float], low: float, high: float) -> list[float]:
    "Centres of labels near the wanted ones, from high to low, that do not overlap."
    centres, ceiling = [], high
    for y, h in zip(wanted, heights):
        centres.append(min(y, ceiling - h / 2))
        ceiling = centres[-1] - h / 2
    floor = low
    for k in reversed(range(len(centres))):  # those pushed out below come back
        if centres[k] - heights[k] / 2 >= floor:
            break
        centres[k] = floor + heights[k] / 2
        floor = centres[k] + heights[k] / 2
    return centres


def _label_tips(axes, groups: list, radius: float):
    "Names of the updates in two columns beside the plane, thin lines to their tips."
    lines = []
    for side in (-1, 1):
        mine = sorted((g for g in groups if (1 if g[0][0] >= 0 else -1) == side), key=lambda g: -g[0][1])
        texts = [
            "\n".join(textwrap.wrap(names, 30, break_long_words=False)).replace("\u00a0", " ") for _, names in mine
        ]
        heights = [0.085 * radius * (t.count("\n") + 1.35) for t in texts]
        for (tip, _), text, y in zip(mine, texts, _spread([g[0][1] for g in mine], heights, -radius, radius)):
            axes.text(
                side * 1.06 * radius,
                y,
                text,
                fontsize=7,
                va="center",
                ha="left" if side > 0 else "right",
                linespacing=1.05,
            )
            lines += [tip, (side * 1.045 * radius, y), (math.nan, math.nan)]
    axes.plot(*np.array(lines).reshape(-1, 2).T, color="#999999", lw=0.4, zorder=2, clip_on=False)


def _draw_regions(axes, gradients: np.ndarray, radius: float):
    corners = conflict_free_region(gradients, radius)
    if len(corners) > 2:
        axes.fill(*corners.T, facecolor="#d8efe4", edgecolor="#009E73", hatch="...", lw=0, zorder=0)
    wide = gradients / np.maximum(np.linalg.norm(gradients, axis=1, keepdims=True), 1e-12) * 3 * radius
    axes.fill(
        *np.vstack([wide, np.zeros((1, 2))] if conflict_free_degrees(gradients) > 0 else wide).T,
        facecolor="black",
        alpha=0.06,
        lw=0,
        zorder=0,
    )
    axes.fill(*gradients.T, facecolor="none", edgecolor="#555555", ls="--", lw=1, zorder=1)


def _draw_plane(figure: Figure, place: tuple, radius: float):
    axes = figure.add_axes(place, xlim=(-radius, radius), ylim=(-radius, radius))
    axes.set_axis_off()  # ticks cost more time than everything that is drawn here
    axes.plot(
        *radius * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]]), color="#bbbbbb", lw=1, clip_on=False, zorder=0
    )
    axes.plot(*radius * np.array([[-1, 1, math.nan, 0, 0], [0, 0, math.nan, -1, 1]]), color="#dddddd", lw=0.6, zorder=0)
    return axes


def _name_places(gradients: dict[str, np.ndarray], radius: float) -> dict[str, np.ndarray]:  # task -> (2,)
    "Where each gradient's name stands: beyond its tip, or to the side of it or further out where it would cover another name or tip."
    places, taken = (
        {},
        [(tip, np.full(2, 0.03 * radius)) for tip in gradients.values()] + [(np.zeros(2), np.full(2, 0.03 * radius))],
    )
    for task, tip in gradients.items():
        half, way = np.array([0.0165 * len(task) + 0.01, 0.04]) * radius, np.arctan2(*tip[::-1])
        for out, turn in (
            (out, turn) for out in (1, 1.8, 2.6, 3.4) for turn in np.radians([0, 35, -35, 70, -70, 105, -105])
        ):
            beyond = np.array([math.cos(way + turn), math.sin(way + turn)])
            place = np.clip(tip + beyond * (half + 0.05 * radius) * out, half - radius, radius - half)
            if not any((abs(place - other) < half + size).all() for other, size in taken):
                break
        places[task] = place
        taken.append((place, half))
    return places


def _draw_gradients(axes, gradients: dict[str, np.ndarray], radius: float):
    g = np.array(list(gradients.values()))
    axes.quiver(
        *np.zeros((2, len(g))),
        *g.T,
        color=[TASK_COLOURS[t] for t in gradients],
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.013,
        headlength=3.5,
        headaxislength=3.5,
        zorder=4,
        edgecolor="white",
        linewidth=0.7,
    )
    for task, place in _name_places(gradients, radius).items():
        axes.plot(*gradients[task], TASK_MARKERS[task], color=TASK_COLOURS[task], ms=7, mec="white", zorder=6)
        axes.text(
            *place,
            task,
            color=TASK_COLOURS[task],
            fontsize=8,
            weight="bold",
            va="center",
            ha="center",
            zorder=7,
            bbox=dict(facecolor="white", alpha=0.7, lw=0, pad=0.5),
        )


def draw_arrows(
    gradients: dict[str, np.ndarray],  # task -> (2,)
    updates: dict[str, np.ndarray],  # method -> (2,) d
    same_length: bool = False,  # show only where the updates point
    title: str = "",
    lines: Iterable[str] = (),  # a table in plain letters, at the right side
    still: Iterable[str] | None = None,  # methods that stand still; None: those whose d is next to nothing
) -> Figure:
    "Gradients (thick), updates (thin, a dot where one stands still), convex hull, cone and conflict-free region in the plane."
    lines, g = list(lines), np.array(list(gradients.values()))
    still = {m for m, d in updates.items() if stands_still(g, d)} if still is None else set(still)
    radius, width = _frame(g), 8.4 + (3.2 if lines else 0)
    with style():
        figure = Figure(figsize=(width, 4.9), layout="none")
        axes = _draw_plane(figure, (1.95 / width, 0.075, 4.5 / width, 4.5 / 4.9 * 0.967), radius)
        _draw_regions(axes, g, radius)
        tips = _tips({m: d for m, d in updates.items() if m not in still}, radius, same_length)
        _draw_updates(axes, tips)
        _draw_gradients(axes, gradients, radius)
        groups = _grouped(tips, 0.02 * radius)
        if still:
            groups += _grouped({m: (np.zeros(2), 1.0) for m in updates if m in still}, 0, "stands still: ")
            axes.plot(0, 0, "o", ms=6, mfc="white", mec="black", zorder=6)
        _label_tips(axes, groups, radius)
        figure.text(4.2 / width, 0.975, title, fontsize=8.5, ha="center")
        figure.text(
            4.2 / width,
            0.025,
            "dotted: conflict-free region (dual cone)     grey: cone of the gradients     dashed: convex hull",
            fontsize=7.5,
            ha="center",
        )
        if lines:
            figure.text(
                8.35 / width, 0.95, "\n".join(lines), family="monospace", fontsize=7.5, va="top", linespacing=1.4
            )
    return figure


def _draw_updates(axes, tips: dict):
    "Thin arrows below the gradients, with a point at each tip that is seen on top of them."
    if not tips:
        return
    ends, colours = (
        np.array([t for t, _ in tips.values()]),
        [_LOOK_COLOURS[BALANCERS[METHODS[m][0]].needs] for m in tips],
    )
    axes.quiver(
        *np.zeros((2, len(ends))),
        *ends.T,
        color=colours,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.004,
        headwidth=5,
        zorder=3,
    )
    axes.scatter(*ends.T, s=9, c=colours, edgecolors="white", linewidths=0.5, zorder=5)


PRESETS = {
    "agreement": {
        2: ([20, 70], [1.41, 1.0]),
        3: ([20, 50, 85], [1.41, 1.26, 1.0]),
    },  # name -> number of tasks -> (angles, lengths)
    "conflict": {2: ([15, 140], [1.41, 1.26]), 3: ([15, 80, 150], [1.41, 1.0, 1.26])},
    "one dominating": {2: ([15, 140], [3.16, 0.398]), 3: ([15, 80, 150], [0.631, 3.16, 0.398])},
    "linearly dependent": {2: ([40, 220], [1.41, 1.0]), 3: ([40, 220, 110], [1.41, 1.0, 1.0])},  # two of them opposite
    "no common way": {2: ([40, 220], [1.0, 1.0]), 3: ([90, 210, 330], [1.5, 1.0, 1.0])},
}


def in_plane(angles: Iterable[float], lengths: Iterable[float]) -> np.ndarray:  # degrees, lengths → (T, 2)
    "Arrows of these angles and lengths."
    a = np.radians(np.asarray(list(angles), float))
    return np.asarray(list(lengths), float)[:, None] * np.c_[np.cos(a), np.sin(a)]


def embed_gramian(
    gramian: np.ndarray,  # (T, T)
) -> np.ndarray:  # (T, T): one vector per row
    "Vectors with these inner products, along the eigenvectors: the first two coordinates show most. Raises `UserError` for a matrix that is not a Gramian."
    gramian = np.asarray(gramian, float)
    if gramian.ndim != 2 or gramian.shape[0] != gramian.shape[1] or not np.isfinite(gramian).all():
        raise UserError(
            f"a Gramian of shape {gramian.shape} with finite numbers only was expected: look at the recording"
        )
    values, vectors = np.linalg.eigh((gramian + gramian.T) / 2)
    if values[0] < -1e-3 * abs(values[-1]):
        raise UserError(
            f"the matrix has the eigenvalue {values[0]:.3g}: inner products of vectors have none below 0, look at the recording"
        )
    rows = (vectors * np.sqrt(values.clip(0)))[:, ::-1]
    if len(rows) < 2:
        return rows
    (x, y), turn = rows[0, :2], np.eye(len(rows))
    length = math.hypot(x, y)
    if length > 0:
        turn[:2, :2] = [[x / length, -y / length], [y / length, x / length]]  # the first task to the right
    rows = rows @ turn
    if rows[1, 1] < 0:
        rows[:, 1] *= -1  # the second above it
    return rows


def plane_share(rows: np.ndarray) -> float:  # (T, T) of `embed_gramian` → 0..1
    "How much of the squared lengths the first two coordinates show."
    total = (rows**2).sum()
    return float((rows[:, :2] ** 2).sum() / total) if total > 0 else 1.0


def _names(table: pd.DataFrame, task: str) -> list[str]:
    return [m for m, w in table.worse.items() if task in w.split(", ")]


def _still(table: pd.DataFrame) -> list[str]:
    return list(table.index[table.worse == "stands still"])


def describe(gradients: dict[str, np.ndarray], table: pd.DataFrame, degrees: float | None = None) -> str:
    "What the picture shows, in words: the gradients, the conflict-free region (in degrees, of plane arrows only), and who gets worse with which method."
    arrows = ", ".join(
        f"{t} {np.linalg.norm(g):.3g} long at {math.degrees(math.atan2(g[1], g[0])):.0f}°" for t, g in gradients.items()
    )
    region = (
        ""
        if degrees is None
        else f" The conflict-free region is {degrees:.0f}° wide."
        if degrees > 0
        else " No direction is free of conflict."
    )
    tasks = [c.removeprefix("change ") for c in table if c.startswith("change ")]  # the replay gives no arrows
    worse = [f"{t} gets worse with {', '.join(names)}" for t in tasks if (names := _names(table, t))]
    still = _still(table)
    return f"{f'Gradients: {arrows}.' if arrows else ''}{region} {'; '.join(worse) or 'No task gets worse with any method'}.{' Standing still: ' + ', '.join(still) + '.' if still else ''}".strip()


def handmade_figure(
    state: dict,  # of `HandmadeGradients.state`
    with_table: bool = False,  # print who gets worse beside the plane
    before: str = "",  # of the title
) -> tuple[Figure, pd.DataFrame, str]:
    "Figure, table of `update_table` and description of one position of the controls."
    set_by_hand = state["gradients"]
    J = in_plane([g["angle"] for g in set_by_hand.values()], [g["length"] for g in set_by_hand.values()])
    losses, gradients = {t: g["loss"] for t, g in set_by_hand.items()}, dict(zip(set_by_hand, J))
    updates = balanced_updates(J, losses, state["settled"], state["seed"])
    table, degrees = update_table(J, losses, updates), conflict_free_degrees(J)
    title = f"conflict-free: {degrees:.0f}°" if degrees > 0 else "no direction is free of conflict"
    lines = (
        [f"{'balancer':20} worse for", *(f"{m:20} {w or '-'}" for m, w in table.worse.items())] if with_table else ()
    )
    return (
        draw_arrows(
            gradients,
            {m: u.direction for m, u in updates.items()},
            state["same_length"],
            before + title,
            lines,
            _still(table),
        ),
        table,
        describe(gradients, table, degrees),
    )


OWN = "own arrows"  # what the list of presets shows after an arrow was moved
RANGES = dict(angle=(-180, 360), length=(0.1, 10), loss=(0.1, 10))  # ends of the sliders
_WRAP = ipw.Layout(flex_flow="row wrap", align_items="flex-start")


class _ArrowControls:
    "What is set by hand on the first page; `moved` is called after every change, `chosen` with the name of a preset."

    def __init__(self, num_tasks: int, moved, chosen, draw_again):
        changed = lambda _: moved()
        self.preset = choice("preset", [*PRESETS, OWN], on_change=chosen, width="16em")
        self.number = choice("number of tasks", [2, 3], num_tasks, lambda _: chosen(self.preset.value), "12em")
        self.same_length = choice(
            "updates", [("true length", False), ("same length", True)], on_change=changed, width="14em"
        )
        self.settled = choice(
            "learned weights", [("as they start", False), ("settled", True)], on_change=changed, width="18em"
        )
        self.sliders = {
            t: dict(
                angle=slider(f"{t}: angle (°)", *RANGES["angle"], 0, 5, changed, "27em"),
                length=log_slider("length", *RANGES["length"], 1, 20, changed, "20em"),
                loss=log_slider("loss", *RANGES["loss"], 1, 20, changed, "18em"),
            )
            for t in TASKS
        }
        self.rows = {
            t: ipw.HBox(list(s.values()), layout=ipw.Layout(flex_flow="row wrap")) for t, s in self.sliders.items()
        }
        again = button("draw lots again", draw_again, "random, pcgrad and graddrop draw lots: with another seed")
        self.box = ipw.VBox(
            [
                ipw.HBox([self.preset, self.number, self.same_length, self.settled, again], layout=_WRAP),
                *self.rows.values(),
            ]
        )

    def show_rows(self, tasks):
        for t, row in self.rows.items():
            row.layout.display = "flex" if t in tasks else "none"


class HandmadeGradients(Playable):
    "Two or three gradients in the plane, set by hand, and every balancer's update; `table` holds the numbers. Raises `UserError` for an unknown preset or task."

    def __init__(self, preset: str = "conflict", num_tasks: int = 3):  # a key of PRESETS; 2 or 3
        self.seed, self.picture, self.table_html = 0, Picture(), ipw.HTML()
        self.controls = _ArrowControls(num_tasks, self.redraw, self._chosen, self.draw_again)
        self.box = ipw.VBox([self.controls.box, ipw.HBox([self.picture, self.table_html], layout=_WRAP)])
        self.set_preset(preset)

    @property
    def tasks(self) -> tuple[str, ...]:
        return TASKS[: self.controls.number.value]

    def state(self) -> dict:
        "Everything that is set."
        c = self.controls
        return dict(
            gradients={t: {k: s.value for k, s in c.sliders[t].items()} for t in self.tasks},
            preset=c.preset.value,
            same_length=c.same_length.value,
            settled=c.settled.value,
            seed=self.seed,
        )

    def set_preset(self, name: str):  # a key of PRESETS
        "Puts the gradients where the preset has them."
        if name not in PRESETS:
            raise UserError(f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}")
        self._set(
            {self.controls.preset: name}
            | {
                self.controls.sliders[t][k]: v
                for t, *values in zip(self.tasks, *PRESETS[name][len(self.tasks)])
                for k, v in zip(("angle", "length"), values)
            }
        )

    def set_gradient(
        self, task: str, angle: float | None = None, length: float | None = None, loss: float | None = None
    ):  # degrees; 0.1..10 both
        "Moves one task's arrow, or sets its loss; None leaves a value as it is. Raises `UserError` for a task or a number that is none of those possible, and then moves nothing."
        if task not in self.tasks:
            raise UserError(f"unknown task {task!r}: expected one of {', '.join(self.tasks)}")
        wanted = {
            k: checked_number(f"the {k} of {task}", v, *RANGES[k])
            for k, v in dict(angle=angle, length=length, loss=loss).items()
            if v is not None
        }
        self._set({self.controls.sliders[task][k]: round(v) if k == "angle" else v for k, v in wanted.items()})


@patch
def draw_again(self: HandmadeGradients):
    "Gives the methods that draw lots another seed."
    self.seed += 1
    self.redraw()


@patch
def _chosen(self: HandmadeGradients, name: str):  # in the list; it is asked again when the number of tasks changes
    if self.quiet:
        return
    if name in PRESETS:
        self.set_preset(name)
    else:
        self.redraw()


@patch
def _preset(self: HandmadeGradients) -> str:  # a key of PRESETS, or OWN
    "The preset that the arrows are, whoever moved them."
    now = [[s[k].value for s in (self.controls.sliders[t] for t in self.tasks)] for k in ("angle", "length")]
    return next((name for name, cases in PRESETS.items() if np.allclose(now, cases[len(self.tasks)], rtol=1e-3)), OWN)


@patch
def _set(self: HandmadeGradients, values: dict):  # control -> value
    "Sets several controls with one redraw."
    if self.quiet:
        return
    with self.callbacks_silenced():
        for control, value in values.items():
            control.value = value
    self.redraw()


@patch
def redraw(self: HandmadeGradients):
    "Computes all updates from fresh balancers and draws them."
    if self.quiet:
        return
    with self.callbacks_silenced():
        self.controls.preset.value = self._preset()
    figure, self.table, text = handmade_figure(self.state())
    self.controls.show_rows(self.tasks)
    self.table_html.value = table_to_html(self.table)
    self.picture.show(figure, text)


def replay_figure(
    recording: Recording,
    step: int,  # index of the recorded step
    stage: str = "trunk",
    same_length: bool = True,
    settled: bool = False,
    seed: int = 0,
) -> tuple[Figure, pd.DataFrame, str]:
    "Figure, table of `update_table` and description of one recorded step."
    rows = embed_gramian(recording.gramians[stage][step])
    losses = dict(zip(recording.tasks, recording.losses[step].tolist()))
    updates = balanced_updates(rows, losses, settled, seed)
    del updates["graddrop"]  # looks at coordinates, which the embedding does not keep
    table = update_table(rows, losses, updates)
    lengths = np.linalg.norm(rows, axis=1)
    shown, turn = rows, np.eye(len(rows))
    if same_length:
        unit = rows / np.maximum(lengths, 1e-12)[:, None]
        shown = embed_gramian(unit @ unit.T)  # another plane: the best one for the angles
        turn = np.linalg.lstsq(unit, shown, rcond=None)[0]  # the updates turn with the gradients
    flat, drawn = (
        {t: g[:2] for t, g in zip(recording.tasks, shown)},
        {m: (u.direction @ turn)[:2] for m, u in updates.items()},
    )
    share, name = plane_share(shown), f"step {recording.steps[step]}, {'whole trunk' if stage == 'trunk' else stage}"
    text = f"{name[0].upper()}{name[1:]}. Lengths: {', '.join(f'{t} {l:.3g}' for t, l in zip(recording.tasks, lengths))}. The plane shows {share:.0%} of the gradients. {describe({}, table)}"
    return (
        draw_arrows(flat, drawn, same_length, f"{name}: the plane shows {share:.0%}", still=_still(table)),
        table,
        text,
    )


class GradientReplay(Playable):
    "Leafs through the recorded gradients of a real run; `set_step` and `set_stage` move, `record` makes another recording on the tiny world."

    def __init__(self, recording: Recording | None = None):  # None: the committed one
        self.picture, self.table_html, self.message = Picture(), ipw.HTML(), ipw.HTML()
        changed = lambda _: self.redraw()
        self.step = slider("recorded step", 0, 0, 0, on_change=changed, width="30em")
        self.stage = choice("part of the trunk", ["trunk"], on_change=changed, width="18em")
        self.same_length = choice(
            "arrows", [("same length", True), ("true length", False)], on_change=changed, width="14em"
        )
        self.settled = choice(
            "learned weights", [("as they start", False), ("settled", True)], on_change=changed, width="18em"
        )
        self.again = button(
            "record a run now",
            self.record,
            "trains the smoke recipe on the tiny world for 24 steps: about half a minute, in which nothing else answers",
        )
        self.box = ipw.VBox(
            [
                ipw.HBox([self.step, self.stage, self.same_length, self.settled, self.again], layout=_WRAP),
                self.message,
                ipw.HBox([self.picture, self.table_html], layout=_WRAP),
            ]
        )
        try:
            self.load(recording or read_recording(project_root() / "results" / "gradient_recording.json"))
        except UserError as e:
            self.message.value = f"{e} Or press <i>record a run now</i>."

    recording, table = None, pd.DataFrame()  # until one is loaded

    def load(self, recording: Recording):
        "Shows another recording from its first step."
        self.recording = None  # nothing is drawn while the controls change
        self.step.value, self.step.max = 0, len(recording.steps) - 1
        self.stage.options = [("whole trunk" if s == "trunk" else s, s) for s in recording.gramians]
        self.stage.value = "trunk"
        self.recording, self.message.value = (
            recording,
            f"Recorded with <code>{recording.source}</code>" if recording.source else "",
        )
        self.redraw()


@patch
def state(self: GradientReplay) -> dict:
    "Everything that is set."
    return dict(
        step=self.step.value, stage=self.stage.value, same_length=self.same_length.value, settled=self.settled.value
    )


@patch
def set_step(self: GradientReplay, step: int):  # index of the recorded step
    "Turns to a recorded step; raises `UserError` for what is no whole number from 0 on."
    self.step.value = checked_number("the step", step, 0, self.step.max, whole=True)


@patch
def set_stage(self: GradientReplay, stage: str):  # a part of the trunk, or "trunk"
    "Looks at one part of the trunk; raises `UserError` when it is not recorded."
    if self.recording is None or stage not in self.recording.gramians:
        raise UserError(
            f"no stage {stage!r} in this recording: expected one of {', '.join(self.recording.gramians if self.recording else [])}"
        )
    self.stage.value = stage


@patch
def redraw(self: GradientReplay):
    "Draws the chosen step, if there is a recording."
    if self.recording is None:
        return
    figure, self.table, text = replay_figure(self.recording, **self.state())
    self.table_html.value = table_to_html(self.table)
    self.picture.show(figure, text)


@patch
def record(self: GradientReplay, steps: int = 24, every: int = 2):
    "Trains the smoke recipe on the tiny world and shows its gradients; a mistake is said in `message`. The random generators are afterwards where they were."
    tell = lambda k, n: setattr(self.message, "value", f"recording: step {k} of {n}")
    self.again.disabled, self.message.value = True, "making the tiny world and starting …"
    try:
        with random_states_restored():
            made = record_gradients(make_config("smoke", epochs=1, steps_per_epoch=steps), every, tell)
        made.source = f"record_gradients, recipe smoke, {steps} steps"
        self.load(made)
    except UserError as e:
        self.message.value = html.escape(f"No recording was made: {e}")
    except BaseException as e:
        self.message.value = html.escape(f"No recording was made: {type(e).__name__}")
        raise
    finally:
        self.again.disabled = False


@patch
def to_jshtml(
    self: GradientReplay, frames: int = 5, dpi: int = 80
) -> str:  # recorded steps that are shown, evenly spread
    "The recorded steps as HTML that needs no kernel, with the controls as they stand; raises `UserError` without a recording."
    if self.recording is None:
        raise UserError("there is no recording to leaf through: `record` makes one")
    chosen = np.unique(np.linspace(0, len(self.recording.steps) - 1, frames).round().astype(int))
    figures, _, texts = zip(*(replay_figure(self.recording, **self.state() | dict(step=int(k))) for k in chosen))
    return sweep_to_jshtml(figures, dpi, photo=75, label="recorded step", sentences=texts)


class GradientArrows(Playable):
    """Gradients of two or three tasks as arrows in the plane with every balancer's update: one page to pull at them, one with those of a real run.

    `set_preset`, `set_gradient` and `state` work on the first page; `hand` and `replay` are the pages. Each redraw asks fresh balancers."""

    def __init__(
        self,
        preset: str = "conflict",
        num_tasks: int = 3,  # a key of PRESETS; 2 or 3
        recording: Recording | None = None,
    ):  # None: the committed one
        self.hand, self.replay = HandmadeGradients(preset, num_tasks), GradientReplay(recording)
        self.set_preset, self.set_gradient, self.draw_again, self.state = (
            self.hand.set_preset,
            self.hand.set_gradient,
            self.hand.draw_again,
            self.hand.state,
        )
        self.box = ipw.Tab([self.hand.box, self.replay.box], titles=("by hand", "from a real run"))

    @property
    def picture(self) -> Picture:
        return (self.hand, self.replay)[self.box.selected_index or 0].picture

    @property
    def table(self) -> pd.DataFrame:
        return (self.hand, self.replay)[self.box.selected_index or 0].table

    def to_jshtml(
        self,
        task: str = "lane",  # whose arrow turns
        angles: Iterable[float] = range(60, 241, 30),  # degrees
        dpi: int = 100,
    ) -> str:  # with a multiple of 50 no row of pixels is lost to rounding
        "Pictures of one gradient turning while the others stay, as HTML that needs no kernel; the controls stay where they are."
        state, figures, texts = self.state(), [], []
        angles = [checked_number("an angle", a, *RANGES["angle"]) for a in angles]
        if task not in state["gradients"]:
            raise UserError(f"unknown task {task!r}: expected one of {', '.join(state['gradients'])}")
        for angle in angles:
            turned = state["gradients"] | {task: state["gradients"][task] | dict(angle=angle)}
            figure, _, text = handmade_figure(state | dict(gradients=turned), True, f"{task} at {angle:g}°; ")
            figures.append(figure)
            texts.append(text)
        return sweep_to_jshtml(figures, dpi, photo=75, label=f"angle of the {task} gradient", sentences=texts)
