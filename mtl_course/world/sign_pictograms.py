"""Pictograms of signs: arrows, vehicles, shapes of the road, people and animals.

Every step takes a painter and a design; which class shows what stands in PICTOGRAMS."""

from functools import partial

import numpy as np

from .sign_painter import arc, bezier
from .sign_writing import write, write_limit

__all__ = []


_CAR = [
    (-0.5, -0.14),
    (-0.5, -0.48),
    (-0.44, -0.54),
    (-0.33, -0.82),
    (0.33, -0.82),
    (0.44, -0.54),
    (0.5, -0.48),
    (0.5, -0.14),
]
_WINDOW = [(-0.39, -0.53), (-0.29, -0.765), (0.29, -0.765), (0.39, -0.53)]
_DEER = [
    (-0.30, -0.02),
    (-0.24, -0.08),
    (-0.20, -0.16),
    (-0.27, -0.26),
    (-0.22, -0.26),
    (-0.18, -0.17),
    (-0.10, -0.25),
    (-0.12, -0.13),
    (-0.08, -0.06),
    (-0.02, 0.12),
    (0.16, 0.18),
    (0.30, 0.22),
    (0.34, 0.17),
    (0.36, 0.24),
    (0.34, 0.36),
    (0.44, 0.50),
    (0.50, 0.60),
    (0.45, 0.60),
    (0.34, 0.46),
    (0.26, 0.40),
    (0.36, 0.56),
    (0.33, 0.60),
    (0.16, 0.38),
    (0.02, 0.38),
    (-0.10, 0.36),
    (-0.20, 0.36),
    (-0.34, 0.44),
    (-0.36, 0.40),
    (-0.22, 0.31),
    (-0.36, 0.32),
    (-0.44, 0.39),
    (-0.47, 0.36),
    (-0.36, 0.26),
    (-0.20, 0.24),
    (-0.19, 0.06),
    (-0.22, 0.0),
    (-0.29, 0.03),
]


def _arrow(painter, design, path, width, head):
    """White arrow along a path, whose last point is the tip."""
    p = np.asarray(path, np.float64)
    w = width * design.stroke
    half = head * design.wide
    d = (p[-1] - p[-2]) / np.linalg.norm(p[-1] - p[-2])
    tip = p[-1]
    side = np.array([-d[1], d[0]]) * half
    painter.stroke(np.concatenate([p[:-1], [tip - d * w]]), w, "white")
    if design.style:
        return painter.polygon([tip, tip - d * half * 1.35 + side, tip - d * half * 1.35 - side], "white")
    outer = tip - d * half * 0.92
    barb = d * w * 1.25
    painter.polygon([tip, outer + side, outer - barb + side, tip - barb, outer - barb - side, outer - side], "white")


def _ahead(painter, design):
    """Straight on."""
    _arrow(painter, design, [(0, 0.72), (0, 0), (0, -0.74)], 0.19, 0.40)


def _keep(painter, design, side):
    """Down to a side: 1 = right, -1 = left."""
    _arrow(painter, design, np.array([(-0.5, -0.5), (0, 0), (0.5, 0.5)]) * (side, 1), 0.20, 0.41)


def _turn(painter, design, side):
    """Around a corner to a side: 1 = right, -1 = left."""
    curve = bezier((-0.34, 0.15), (-0.34, -0.18), (-0.18, -0.30), (0.06, -0.30), 12)
    _arrow(
        painter, design, np.concatenate([[(-0.34, 0.62)], curve, [(0.3, -0.30), (0.70, -0.30)]]) * (side, 1), 0.19, 0.39
    )


def _straight_and(painter, design, side):
    """Straight on or to a side: 1 = right, -1 = left."""
    curve = bezier((-0.12, 0.50), (-0.12, 0.28), (0.08, 0.17), (0.22, 0.17), 10)
    _arrow(painter, design, np.array([(-0.12, 0.80), (-0.12, -0.2), (-0.12, -0.72)]) * (side, 1), 0.155, 0.30)
    _arrow(
        painter, design, np.concatenate([[(-0.12, 0.62)], curve, [(0.4, 0.17), (0.76, 0.17)]]) * (side, 1), 0.155, 0.28
    )


def _roundabout(painter, design):
    """Three arrows that chase each other anticlockwise."""
    for k in range(3):
        ring = arc(0, 0, 0.62, 0.62, 138 + 120 * k, 62 + 120 * k, 12)
        tip = arc(0, 0, 0.65, 0.65, 41.6 + 120 * k, 0, 2)[:1]
        _arrow(painter, design, np.concatenate([ring, tip]), 0.135, 0.25)


def _behind(painter, design, place, width, colour, tilt=0.0, truck=False):
    """A car or truck seen from behind; place = middle of the wheels' bottom."""
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    size = (width * design.wide, width * design.high)

    def put(points):
        return np.asarray(points) * size @ turn + place + np.array(design.shift)

    inner = 0.26 if truck else 0.30
    if truck:
        painter.polygon(put([(-0.5, -0.22), (-0.5, -1.12), (0.5, -1.12), (0.5, -0.22)]), colour)
    else:
        painter.polygon(put(_CAR), colour)
        painter.polygon(put(_WINDOW), "white")
    for s in (-1, 1):
        painter.polygon(put([(s * 0.46, -0.22), (s * 0.46, 0), (s * inner, 0), (s * inner, -0.22)]), colour)


def _two_cars(painter, design, left, right):
    """Two cars side by side, in these colours."""
    _behind(painter, design, (-0.355, 0.22), 0.60, left)
    _behind(painter, design, (0.355, 0.22), 0.60, right)


def _truck_and_car(painter, design, left, right):
    """A truck beside a car, in these colours."""
    _behind(painter, design, (-0.31, 0.22), 0.50, left, truck=True)
    _behind(painter, design, (0.33, 0.22), 0.48, right)


def _truck_side(painter, design):
    """A lorry that drives to the left, with or without a bonnet."""
    fit = design.fit
    painter.polygon(fit([(-0.24, -0.30), (0.60, -0.30), (0.60, 0.10), (-0.24, 0.10)]), "black")
    if design.style:
        painter.polygon(
            fit([(-0.66, 0.22), (-0.66, 0.06), (-0.46, 0.02), (-0.40, -0.17), (-0.28, -0.17), (-0.28, 0.22)]), "black"
        )
    else:
        painter.polygon(fit([(-0.60, 0.22), (-0.60, 0.02), (-0.52, -0.17), (-0.28, -0.17), (-0.28, 0.22)]), "black")
        painter.polygon(fit([(-0.54, 0.01), (-0.49, -0.11), (-0.40, -0.11), (-0.40, 0.01)]), "white")
    painter.polygon(fit([(-0.5, 0.14), (0.60, 0.14), (0.60, 0.20), (-0.5, 0.20)]), "black")
    for x in (-0.44, 0.32):
        painter.disc(fit([(x, 0.22)])[0], 0.135, "white")
        painter.disc(fit([(x, 0.22)])[0], 0.11, "black")


def _slippery(painter, design):
    """A car that leaves wavy tracks."""
    fit = partial(design.fit, centre=(0, 0.3))
    w = 0.055 * design.stroke
    _behind(painter, design, (0.01, 0.28), 0.54, "black", tilt=0.14)
    painter.stroke(
        fit(
            np.concatenate(
                [
                    bezier((-0.18, 0.27), (-0.10, 0.34), (-0.42, 0.36), (-0.40, 0.44), 9),
                    bezier((-0.40, 0.44), (-0.36, 0.52), (-0.10, 0.38), (-0.12, 0.46), 9),
                    bezier((-0.12, 0.46), (-0.14, 0.54), (-0.30, 0.50), (-0.38, 0.60), 9),
                ]
            )
        ),
        w,
        "black",
    )
    painter.stroke(
        fit(
            np.concatenate(
                [
                    bezier((0.26, 0.33), (0.30, 0.40), (0.02, 0.42), (0.06, 0.47), 9),
                    bezier((0.06, 0.47), (0.14, 0.54), (0.30, 0.42), (0.34, 0.48), 9),
                    bezier((0.34, 0.48), (0.38, 0.54), (0.42, 0.54), (0.50, 0.56), 6),
                ]
            )
        ),
        w,
        "black",
    )


def _bend(painter, design, side):
    """A swallow-tailed arrow to a side: -1 = left, 1 = right."""

    def fit(p):
        return design.fit(np.asarray(p) * (side, 1), (0, 0.3))

    w = 0.155 * design.stroke
    curve = bezier((-0.21, 0.28), (-0.21, 0.12), (-0.12, 0.08), (0.04, 0.08), 10)
    painter.stroke(fit(np.concatenate([[(-0.21, 0.60), (-0.21, 0.30)], curve, [(0.15, 0.08)]])), w, "black")
    painter.polygon(fit([(0.14, 0.08 - w * 0.62), (0.30, 0.08), (0.14, 0.08 + w * 0.62)]), "black")
    painter.polygon(fit([(-0.21 - w / 2, 0.61), (-0.21, 0.53), (-0.21 + w / 2, 0.61)]), "white")


def _double_bend(painter, design):
    """Right, then left."""

    def fit(p):
        return design.fit(np.asarray(p) * (0.88, 0.97), (0, 0.2))

    w = 0.145 * design.stroke
    path = [
        [(0.21, 0.58), (0.20, 0.34)],
        bezier((0.20, 0.26), (0.20, 0.06), (0.06, 0.22), (-0.02, 0.24), 8),
        bezier((-0.06, 0.26), (-0.15, 0.34), (-0.15, 0.20), (-0.155, 0.10), 8),
        [(-0.16, -0.12)],
    ]
    painter.stroke(fit(np.concatenate(path)), w, "black")
    painter.polygon(fit([(-0.16 - w * 0.55, -0.10), (-0.16, -0.24), (-0.16 + w * 0.55, -0.10)]), "black")
    painter.polygon(fit([(0.21 - w / 2, 0.59), (0.21, 0.51), (0.21 + w / 2, 0.59)]), "white")


def _crossing(painter, design):
    """A broad arrow over a narrow road."""
    fit = partial(design.fit, centre=(0, 0.2))
    painter.polygon(
        fit(
            [
                (0, -0.24),
                (0.21, 0.02),
                (0.165, 0.02),
                (0.165, 0.58),
                (0, 0.46),
                (-0.165, 0.58),
                (-0.165, 0.02),
                (-0.21, 0.02),
            ]
        ),
        "black",
    )
    painter.stroke(fit([(-0.36, 0.17), (0.36, 0.17)]), 0.11 * design.stroke, "black")


def _narrow(painter, design):
    """A road whose right side comes in."""
    fit = partial(design.fit, centre=(0, 0.3))
    w = 0.105 * design.stroke
    painter.stroke(fit([(-0.11, -0.10), (-0.11, 0.60)]), w, "black")
    painter.stroke(fit([(0.11, -0.10), (0.11, 0.12), (0.24, 0.34), (0.24, 0.60)]), w, "black")


def _bumps(painter, design):
    """Two humps."""
    half = [(-0.47, 0.60), (-0.44, 0.52), (-0.36, 0.50), (-0.26, 0.38), (-0.15, 0.38), (-0.02, 0.52)]
    painter.polygon(design.fit(np.array(half + [(-x, y) for x, y in half[::-1]]) * (0.95, 0.97), (0, 0.5)), "black")


def _danger(painter, design):
    """An exclamation mark."""
    fit = partial(design.fit, centre=(0, 0.2))
    k = design.stroke
    painter.polygon(fit([(-0.085 * k, -0.28), (0.085 * k, -0.28), (0.055 * k, 0.36), (-0.055 * k, 0.36)]), "black")
    painter.disc(fit([(0, -0.27)])[0], 0.083 * k, "black")
    painter.disc(fit([(0, 0.54)])[0], 0.098 * k, "black")


def _traffic_lights(painter, design):
    """Red, amber and green."""
    for y, colour in ((-0.15, "red"), (0.165, "amber"), (0.48, "green")):
        painter.disc(design.fit([(0, y)], (0, 0.2))[0], 0.138 * design.stroke**0.5, colour)


def _snow(painter, design):
    """Six branches of a snowflake."""
    for a in np.radians(np.arange(6) * 60 + 90):
        axes = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * design.high
        painter.stroke(np.array([(0, 0), (0.33, 0)]) @ axes + (0, 0.28), 0.062 * design.stroke, "black")
        for r, b in ((0.13, 0.10), (0.22, 0.09)):
            for s in (-1, 1):
                painter.stroke(
                    np.array([(r, 0), (r + b * 0.75, s * b)]) @ axes + (0, 0.28), 0.05 * design.stroke, "black"
                )


def _person(painter, design, head, radius, limbs):
    """A handful of strokes with round joints; limbs: (thickness, points) each."""
    for thickness, points in limbs:
        points = design.fit(points, (0, 0.3))
        w = 0.09 * thickness * design.stroke
        painter.stroke(points, w, "black")
        for p in points:
            painter.disc(p, w / 2, "black")
    painter.disc(design.fit([head], (0, 0.3))[0], radius, "black")


def _pedestrian(painter, design):
    """Somebody on foot."""
    _person(
        painter,
        design,
        (-0.07, -0.19),
        0.08,
        [
            (1.5, [(-0.06, 0.02), (-0.04, 0.22)]),
            (1.1, [(-0.06, 0.26), (-0.10, 0.42), (-0.22, 0.62)]),
            (1.1, [(-0.02, 0.26), (0.10, 0.42), (0.19, 0.62)]),
            (0.8, [(-0.10, 0.0), (-0.20, 0.14), (-0.19, 0.28)]),
            (0.8, [(0.0, 0.0), (0.10, 0.16), (0.16, 0.24)]),
        ],
    )


def _children(painter, design):
    """Two children, running."""
    _person(
        painter,
        design,
        (0.06, -0.10),
        0.075,
        [
            (1.5, [(0.10, 0.06), (0.09, 0.24)]),
            (1.0, [(0.08, 0.28), (0.02, 0.40), (-0.06, 0.56)]),
            (1.0, [(0.12, 0.26), (0.20, 0.40), (0.37, 0.46)]),
            (0.75, [(0.10, 0.04), (-0.02, 0.14), (-0.13, 0.18)]),
            (0.75, [(0.14, 0.04), (0.26, 0.12), (0.31, 0.05)]),
        ],
    )
    _person(
        painter,
        design,
        (-0.30, 0.11),
        0.068,
        [
            (1.3, [(-0.29, 0.24), (-0.29, 0.36)]),
            (0.85, [(-0.31, 0.40), (-0.38, 0.50), (-0.44, 0.60)]),
            (0.85, [(-0.27, 0.38), (-0.17, 0.46), (-0.13, 0.60)]),
            (0.65, [(-0.31, 0.22), (-0.40, 0.28), (-0.46, 0.22)]),
            (0.65, [(-0.27, 0.22), (-0.19, 0.28), (-0.12, 0.20)]),
        ],
    )


def _works(painter, design):
    """A man with a shovel and a heap."""
    _person(
        painter,
        design,
        (-0.05, -0.12),
        0.078,
        [
            (1.7, [(-0.17, 0.0), (-0.24, 0.24)]),
            (1.1, [(-0.25, 0.28), (-0.27, 0.42), (-0.38, 0.60)]),
            (1.1, [(-0.21, 0.26), (-0.14, 0.42), (-0.13, 0.60)]),
            (0.9, [(-0.14, 0.02), (-0.10, 0.20), (0.02, 0.25)]),
            (0.9, [(-0.20, 0.02), (-0.30, 0.16), (-0.20, 0.26)]),
            (0.42, [(-0.30, 0.16), (0.14, 0.44)]),
        ],
    )
    painter.polygon(
        design.fit([(0.0, 0.60), (0.10, 0.48), (0.22, 0.40), (0.34, 0.26), (0.44, 0.36), (0.58, 0.60)], (0, 0.3)),
        "black",
    )


def _deer(painter, design):
    """A deer that leaps."""
    painter.polygon(design.fit(np.array(_DEER) * (0.88, 0.93) + (0, 0.03), (0, 0.2)), "black")


def _bicycle(painter, design):
    """A bicycle from the side."""
    fit = partial(design.fit, centre=(0, 0.3))
    w = 0.04 * design.stroke
    for x in (-0.29, 0.29):
        painter.stroke(fit(arc(x, 0.44, 0.19, 0.19, 0, 360, 25)), w, "black")
    for line in (
        [(-0.29, 0.44), (-0.16, 0.17), (0.19, 0.17), (0.29, 0.44)],
        [(-0.29, 0.44), (-0.03, 0.46), (0.18, 0.18)],
        [(-0.03, 0.46), (-0.17, 0.10)],
        [(-0.25, 0.10), (-0.10, 0.10)],
        [(0.20, 0.20), (0.15, 0.05), (0.27, 0.03)],
    ):
        painter.stroke(fit(line), w * 1.25, "black")


PICTOGRAMS = {
    0: (write_limit, "20"),
    1: (write_limit, "30"),
    2: (write_limit, "50"),
    3: (write_limit, "60"),
    4: (write_limit, "70"),
    5: (write_limit, "80"),
    6: (write, "80", "grey", 0.94, 0.58, 0.145, 0.15),
    7: (write_limit, "100"),
    8: (write_limit, "120"),
    9: (_two_cars, "red", "black"),
    10: (_truck_and_car, "red", "black"),
    11: (_crossing,),
    16: (_truck_side,),
    18: (_danger,),
    19: (_bend, -1),
    20: (_bend, 1),
    21: (_double_bend,),
    22: (_bumps,),
    23: (_slippery,),
    24: (_narrow,),
    25: (_works,),
    26: (_traffic_lights,),
    27: (_pedestrian,),
    28: (_children,),
    29: (_bicycle,),
    30: (_snow,),
    31: (_deer,),
    33: (_turn, 1),
    34: (_turn, -1),
    35: (_ahead,),
    36: (_straight_and, 1),
    37: (_straight_and, -1),
    38: (_keep, 1),
    39: (_keep, -1),
    40: (_roundabout,),
    41: (_two_cars, "grey", "grey"),
    42: (_truck_and_car, "grey", "grey"),
}  # class -> a step and its further arguments
