"""A network can learn to read real signs from drawings alone, if the drawings have the right shapes and the right troubles."""

__all__ = ["SIGN_NAMES", "SIGN_MIRROR", "draw_sign", "draw_sign_crop", "draw_sign_track"]

import functools
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

SIGN_NAMES = (
    "Speed limit 20",
    "Speed limit 30",
    "Speed limit 50",
    "Speed limit 60",
    "Speed limit 70",
    "Speed limit 80",
    "End of speed limit 80",
    "Speed limit 100",
    "Speed limit 120",
    "No overtaking",
    "No overtaking by trucks",
    "Priority at next crossing",
    "Priority road",
    "Give way",
    "Stop",
    "No vehicles",
    "No trucks",
    "No entry",
    "Danger",
    "Bend to the left",
    "Bend to the right",
    "Double bend",
    "Bumpy road",
    "Slippery road",
    "Road narrows on the right",
    "Road works",
    "Traffic lights",
    "Pedestrians",
    "Children",
    "Bicycles",
    "Snow or ice",
    "Wild animals",
    "End of all limits",
    "Turn right",
    "Turn left",
    "Straight ahead",
    "Straight or right",
    "Straight or left",
    "Keep right",
    "Keep left",
    "Roundabout",
    "End of no overtaking",
    "End of no overtaking by trucks",
)  # index = GTSRB ClassId

_SYMMETRIC = (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)
_PAIRS = ((19, 20), (33, 34), (36, 37), (38, 39))
SIGN_MIRROR = {c: c for c in _SYMMETRIC} | dict(_PAIRS) | {b: a for a, b in _PAIRS}

_COLOURS = dict(
    white=(0.93, 0.93, 0.92),
    red=(0.74, 0.07, 0.12),
    black=(0.07, 0.07, 0.08),
    blue=(0.04, 0.27, 0.66),
    yellow=(0.96, 0.68, 0.05),
    grey=(0.42, 0.42, 0.43),
    green=(0.05, 0.55, 0.42),
    amber=(0.93, 0.60, 0.08),
)
_FADED = dict(
    white=(0.90, 0.90, 0.88),
    red=(0.90, 0.62, 0.42),
    black=(0.20, 0.20, 0.20),
    blue=(0.30, 0.50, 0.75),
    yellow=(0.95, 0.82, 0.50),
    grey=(0.55, 0.55, 0.55),
    green=(0.40, 0.70, 0.65),
    amber=(0.95, 0.80, 0.50),
)
_LABEL = {name: i + 1 for i, name in enumerate(_COLOURS)}  # 0 means "outside the sign"
_MASTER, _OVERSAMPLE, _REACH = 160, 3, 1.03  # finished size, map pixels per finished pixel, units shown


class _Painter:
    "A map of colour numbers in unit coordinates, on which later shapes cover earlier ones."

    def __init__(self, size: int = _MASTER):  # side of the finished drawing in pixels
        n = size * _OVERSAMPLE
        self.labels, self.scale = np.zeros((n, n), np.uint8), n / 2 / _REACH

    def _pixels(self, points):  # units (N, 2) -> OpenCV's fixed-point pixels with 4 fractional bits
        p = (np.asarray(points, np.float64) + _REACH) * self.scale - 0.5
        return np.round(p * 16).astype(np.int32)

    def polygon(self, points, colour):
        "Fill a polygon, which may be concave."
        cv2.fillPoly(self.labels, [self._pixels(points)], _LABEL[colour], shift=4)

    def disc(self, centre, radius, colour):
        "Fill a circle."
        self.polygon(np.array(centre) + _arc(0, 0, radius, radius, 0, 355, 72), colour)

    def stroke(self, points, width, colour):
        "Draw a line of constant width with mitred joints and flat ends."
        left, right = _offset(np.asarray(points, np.float64), width / 2)
        for i in range(len(left) - 1):
            quad = self._pixels([left[i], left[i + 1], right[i + 1], right[i]])
            cv2.fillConvexPoly(self.labels, quad, _LABEL[colour], shift=4)


def _offset(p, r):  # polyline (N, 2) -> its two parallels at distance r
    d = np.diff(p, axis=0)
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    n = np.stack([-d[:, 1], d[:, 0]], 1)
    first, last = (n[-1], n[0]) if np.allclose(p[0], p[-1]) else (n[0], n[-1])  # a closed line has a joint there, too
    m = np.concatenate([[first], n]) + np.concatenate([n, [last]])
    m = m * np.minimum(2 / np.maximum((m * m).sum(1, keepdims=True), 1e-9), 1.4)
    return p + r * m, p - r * m


def _arc(cx, cy, rx, ry, start, stop, n=16):  # points on an ellipse; degrees, 0 = right, 90 = down
    a = np.radians(np.linspace(start, stop, n))
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1)


def _bezier(p0, p1, p2, p3, n=14):  # cubic Bezier curve from p0 to p3
    t = np.linspace(0, 1, n)[:, None]
    p0, p1, p2, p3 = map(np.asarray, (p0, p1, p2, p3))
    return (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3


def _rounded(
    points, r, n=7
):  # polygon whose corners are replaced by curves that touch the sides r / tan(angle / 2) away
    p, out = np.asarray(points, np.float64), []
    t = np.linspace(0, 1, n)[:, None]
    for a, b, c in zip(np.roll(p, 1, 0), p, np.roll(p, -1, 0)):
        u, v = (a - b) / np.linalg.norm(a - b), (c - b) / np.linalg.norm(c - b)
        cut = r / np.tan(np.arccos(np.clip(u @ v, -1, 1)) / 2)
        out.append((1 - t) ** 2 * (b + u * cut) + 2 * t * (1 - t) * b + t**2 * (b + v * cut))
    return np.concatenate(out)


def _digit_straight(
    d, W, H, e
):  # 0, 1, 2 and 7: centre lines in a W x H box, a list of polylines; e = half the width of the line
    r, q = W / 2, min(W / 2, H * 0.3)
    if d == "0":
        return [np.concatenate([_arc(r, q, r, q, 180, 360), _arc(r, H - q, r, q, 0, 180), [(0, q)]])]
    if d == "1":
        return [np.array([(W * 0.08, H * 0.24), (W * 0.62, 0)]), np.array([(W * 0.62, -e), (W * 0.62, H + e)])]
    if d == "7":
        return [
            np.array([(-e, 0), (W + e, 0)]),
            np.array([(W, 0), (W * 0.36, H), (W * 0.36 - 0.64 * W * e / H, H + e)]),
        ]
    tail = _bezier((W, q * 1.1), (W, H * 0.5), (W * 0.55, H * 0.58), (W * 0.02, H))
    return [np.concatenate([_arc(r, q, r, q, 188, 365), tail]), np.array([(-0.8 * e, H), (W + e, H)])]


def _digit_round(d, W, H, e):  # 3, 5, 6 and 8
    r, waist = W / 2, (W * 0.42, H * 0.455)
    if d == "3":
        return [
            np.concatenate([_arc(r, H * 0.235, r * 0.94, H * 0.235, 200, 430), [waist]]),
            np.concatenate([[waist], _arc(r, H * 0.727, r, H * 0.273, -80, 155)]),
        ]
    if d == "5":
        return [
            np.array([(W + 0.5 * e, 0), (W * 0.09, 0), (W * 0.05, H * 0.47)]),
            np.concatenate([[(W * 0.05, H * 0.47)], _arc(r, H * 0.69, r, H * 0.31, 222, 505)]),
        ]
    if d == "6":
        return [
            _arc(r, H * 0.69, r, H * 0.31, 180, 540, 32),
            _bezier((0, H * 0.70), (0, H * 0.42), (W * 0.36, H * 0.28), (W * 0.66, -e * 0.5)),
        ]
    return [_arc(r, H * 0.235, r * 0.90, H * 0.235, -90, 270, 32), _arc(r, H * 0.735, r, H * 0.265, -90, 270, 32)]


def _letter(c, W, H, e):  # the letters of STOP
    r = W / 2
    if c == "O":
        return _digit_straight("0", W, H, e)
    if c == "T":
        return [np.array([(-e, 0), (W + e, 0)]), np.array([(r, 0), (r, H + e)])]
    if c == "P":
        return [
            np.array([(0, H + e), (0, 0), (W * 0.5, 0)]),
            np.concatenate(
                [[(W * 0.4, 0)], _arc(W * 0.55, H * 0.27, W * 0.45, H * 0.27, -90, 90, 12), [(0, H * 0.54)]]
            ),
        ]
    return [
        np.concatenate(
            [
                _arc(r, H * 0.25, r, H * 0.25, 350, 180, 10),
                _bezier((0, H * 0.25), (0, H * 0.5), (W, H * 0.5), (W, H * 0.75), 10),
                _arc(r, H * 0.75, r, H * 0.25, 0, 170, 10),
            ]
        )
    ]


def _glyph(c, W, H, e):  # any character a sign can carry
    draw = _letter if c in "STOP" else _digit_straight if c in "0127" else _digit_round
    return draw(c, W, H, e)


@dataclass(frozen=True)
class _Design:
    stroke: float = 1.0  # line width of digits and pictograms
    border: float = 1.0  # width of the red border
    wide: float = 1.0  # width of digits and pictograms
    high: float = 1.0  # height of digits and pictograms
    gap: float = 1.0  # distance between digits
    shift: tuple = (0.0, 0.0)  # pictogram off centre
    style: int = 0  # the other pictogram where there are two
    rim: float = 0.035  # light edge around the border


_DESIGNS = 8  # designs per class


def _design(class_id, number):
    if number == 0:
        return _Design()
    g = np.random.default_rng([4301, class_id, number])
    return _Design(
        g.uniform(0.82, 1.2),
        g.uniform(0.88, 1.12),
        g.uniform(0.85, 1.2),
        g.uniform(0.9, 1.1),
        g.uniform(0.6, 1.4),
        tuple(g.normal(0, 0.015, 2)),
        int(g.integers(2)),
        float(g.choice([0.01, 0.03, 0.045])),
    )


def _write(
    paint, design, text, colour, height=0.86, width=0.435, stroke=0.13, gap=0.13
):  # characters centred on the plate
    h, w, t, gap = height * design.high, width * design.wide, stroke * design.stroke, gap * design.gap
    widths = [w * (0.68 if c == "1" else 1) for c in text]
    x = -(sum(widths) + gap * (len(text) - 1)) / 2
    for c, w in zip(text, widths):
        for line in _glyph(c, w - t, h - t, t / 2):
            paint.stroke(line + (x + t / 2, -h / 2 + t / 2) + np.array(design.shift), t, colour)
        x += w + gap


def _limit(paint, design, text):  # two digits in the normal, three in the narrow form
    if len(text) == 2:
        _write(paint, design, text, "black")
    else:
        _write(paint, design, text, "black", 0.83, 0.345, 0.108, 0.085)


def _fit(points, design, centre=(0, 0)):  # points of a pictogram after its design's small changes
    return np.array(centre) + (np.asarray(points, np.float64) - centre) * (design.wide, design.high) + design.shift


def _prohibition(paint, design):  # white disc in a red ring
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 1 - design.rim, "red")
    paint.disc((0, 0), 1 - design.rim - 0.225 * design.border, "white")


def _mandatory(paint, design):  # blue disc with a thin light edge
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 1 - 0.6 * design.rim, "blue")


def _end_of(paint, design):  # white disc with a thin dark edge
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 0.985, "grey")
    paint.disc((0, 0), 0.955, "white")


_TRIANGLE = np.array([(-1.09, 0.885), (0, -1.0), (1.09, 0.885)])


def _warning(paint, design, up=1):  # white triangle with a red border; up=-1 stands it on its tip
    centre, corners = np.array([0, 0.26 * up]), _TRIANGLE * (1, up)
    inset = lambda r: centre + (corners - centre) * (1 - r / 0.629)  # .629: from the centre to a side
    paint.polygon(_rounded(inset(0), 0.12), "white")
    paint.polygon(_rounded(inset(0.022 + design.rim * 0.4), 0.09), "red")
    paint.polygon(_rounded(inset(0.215 * design.border + design.rim * 0.4), 0.02), "white")


def _diamond(paint, design):  # priority road
    corners = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
    for reach, r, colour in (
        (1.03, 0.12, "black"),
        (1.0, 0.11, "white"),
        (0.645, 0.03, "black"),
        (0.615, 0.03, "yellow"),
    ):
        paint.polygon(_rounded(corners * reach, r), colour)


def _octagon(paint, design):  # stop
    corners = _arc(0, 0, 1.082, 1.082, 22.5, 337.5, 8)
    paint.polygon(corners, "white")
    paint.polygon(corners * (0.955 - 0.3 * design.rim), "red")
    _write(paint, design, "STOP", "white", 0.69, 0.325, 0.12, 0.06)


def _no_entry(paint, design):
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 1 - 0.7 * design.rim, "red")
    paint.polygon(_fit([(-0.84, -0.155), (0.84, -0.155), (0.84, 0.155), (-0.84, 0.155)], design), "white")


def _stripes(paint, design):  # five dark diagonal lines: what was ordered ends here
    pitch, along, across = 0.085 * design.gap**0.5, np.array([0.7071, -0.7071]), np.array([0.7071, 0.7071])
    for k in (-2, -1, 0, 1, 2):
        half, middle = np.sqrt(0.955**2 - (k * pitch) ** 2), across * k * pitch
        paint.stroke([middle - along * half, middle + along * half], 0.043 * design.stroke, "black")


def _arrow(paint, design, path, width, head):  # white arrow along a path, whose last point is the tip
    p, w, half = np.asarray(path, np.float64), width * design.stroke, head * design.wide
    d = (p[-1] - p[-2]) / np.linalg.norm(p[-1] - p[-2])
    tip, side = p[-1], np.array([-d[1], d[0]]) * half
    paint.stroke(np.concatenate([p[:-1], [tip - d * w]]), w, "white")
    if design.style:
        return paint.polygon([tip, tip - d * half * 1.35 + side, tip - d * half * 1.35 - side], "white")
    outer, barb = tip - d * half * 0.92, d * w * 1.25
    paint.polygon([tip, outer + side, outer - barb + side, tip - barb, outer - barb - side, outer - side], "white")


def _ahead(paint, design):
    _arrow(paint, design, [(0, 0.72), (0, 0), (0, -0.74)], 0.19, 0.40)


def _keep(paint, design, side):
    _arrow(paint, design, np.array([(-0.5, -0.5), (0, 0), (0.5, 0.5)]) * (side, 1), 0.20, 0.41)


def _turn(paint, design, side):  # side: 1 = right, -1 = left
    curve = _bezier((-0.34, 0.15), (-0.34, -0.18), (-0.18, -0.30), (0.06, -0.30), 12)
    _arrow(
        paint, design, np.concatenate([[(-0.34, 0.62)], curve, [(0.3, -0.30), (0.70, -0.30)]]) * (side, 1), 0.19, 0.39
    )


def _straight_and(paint, design, side):
    curve = _bezier((-0.12, 0.50), (-0.12, 0.28), (0.08, 0.17), (0.22, 0.17), 10)
    _arrow(paint, design, np.array([(-0.12, 0.80), (-0.12, -0.2), (-0.12, -0.72)]) * (side, 1), 0.155, 0.30)
    _arrow(
        paint, design, np.concatenate([[(-0.12, 0.62)], curve, [(0.4, 0.17), (0.76, 0.17)]]) * (side, 1), 0.155, 0.28
    )


def _roundabout(paint, design):  # three arrows that chase each other anticlockwise
    for k in range(3):
        ring = _arc(0, 0, 0.62, 0.62, 138 + 120 * k, 62 + 120 * k, 12)
        tip = _arc(0, 0, 0.65, 0.65, 41.6 + 120 * k, 0, 2)[:1]
        _arrow(paint, design, np.concatenate([ring, tip]), 0.135, 0.25)


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


def _behind(
    paint, design, place, width, colour, tilt=0.0, truck=False
):  # rear view; place = middle of the wheels' bottom
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    put = lambda p: np.asarray(p) * (width * design.wide, width * design.high) @ turn + place + np.array(design.shift)
    inner = 0.26 if truck else 0.30
    if truck:
        paint.polygon(put([(-0.5, -0.22), (-0.5, -1.12), (0.5, -1.12), (0.5, -0.22)]), colour)
    else:
        paint.polygon(put(_CAR), colour)
        paint.polygon(put(_WINDOW), "white")
    for s in (-1, 1):
        paint.polygon(put([(s * 0.46, -0.22), (s * 0.46, 0), (s * inner, 0), (s * inner, -0.22)]), colour)


def _two_cars(paint, design, left, right):
    _behind(paint, design, (-0.355, 0.22), 0.60, left)
    _behind(paint, design, (0.355, 0.22), 0.60, right)


def _truck_and_car(paint, design, left, right):
    _behind(paint, design, (-0.31, 0.22), 0.50, left, truck=True)
    _behind(paint, design, (0.33, 0.22), 0.48, right)


def _truck_side(paint, design):  # a lorry that drives to the left, with or without a bonnet
    fit = lambda p: _fit(p, design)
    paint.polygon(fit([(-0.24, -0.30), (0.60, -0.30), (0.60, 0.10), (-0.24, 0.10)]), "black")
    if design.style:
        paint.polygon(
            fit([(-0.66, 0.22), (-0.66, 0.06), (-0.46, 0.02), (-0.40, -0.17), (-0.28, -0.17), (-0.28, 0.22)]), "black"
        )
    else:
        paint.polygon(fit([(-0.60, 0.22), (-0.60, 0.02), (-0.52, -0.17), (-0.28, -0.17), (-0.28, 0.22)]), "black")
        paint.polygon(fit([(-0.54, 0.01), (-0.49, -0.11), (-0.40, -0.11), (-0.40, 0.01)]), "white")
    paint.polygon(fit([(-0.5, 0.14), (0.60, 0.14), (0.60, 0.20), (-0.5, 0.20)]), "black")
    for x in (-0.44, 0.32):
        paint.disc(fit([(x, 0.22)])[0], 0.135, "white")
        paint.disc(fit([(x, 0.22)])[0], 0.11, "black")


def _slippery(paint, design):  # a car that leaves wavy tracks
    fit, w = lambda p: _fit(p, design, (0, 0.3)), 0.055 * design.stroke
    _behind(paint, design, (0.01, 0.28), 0.54, "black", tilt=0.14)
    paint.stroke(
        fit(
            np.concatenate(
                [
                    _bezier((-0.18, 0.27), (-0.10, 0.34), (-0.42, 0.36), (-0.40, 0.44), 9),
                    _bezier((-0.40, 0.44), (-0.36, 0.52), (-0.10, 0.38), (-0.12, 0.46), 9),
                    _bezier((-0.12, 0.46), (-0.14, 0.54), (-0.30, 0.50), (-0.38, 0.60), 9),
                ]
            )
        ),
        w,
        "black",
    )
    paint.stroke(
        fit(
            np.concatenate(
                [
                    _bezier((0.26, 0.33), (0.30, 0.40), (0.02, 0.42), (0.06, 0.47), 9),
                    _bezier((0.06, 0.47), (0.14, 0.54), (0.30, 0.42), (0.34, 0.48), 9),
                    _bezier((0.34, 0.48), (0.38, 0.54), (0.42, 0.54), (0.50, 0.56), 6),
                ]
            )
        ),
        w,
        "black",
    )


def _bend(paint, design, side):  # side: -1 = left, 1 = right; a swallow-tailed arrow
    fit, w = lambda p: _fit(np.asarray(p) * (side, 1), design, (0, 0.3)), 0.155 * design.stroke
    curve = _bezier((-0.21, 0.28), (-0.21, 0.12), (-0.12, 0.08), (0.04, 0.08), 10)
    paint.stroke(fit(np.concatenate([[(-0.21, 0.60), (-0.21, 0.30)], curve, [(0.15, 0.08)]])), w, "black")
    paint.polygon(fit([(0.14, 0.08 - w * 0.62), (0.30, 0.08), (0.14, 0.08 + w * 0.62)]), "black")
    paint.polygon(fit([(-0.21 - w / 2, 0.61), (-0.21, 0.53), (-0.21 + w / 2, 0.61)]), "white")


def _double_bend(paint, design):
    fit, w = lambda p: _fit(np.asarray(p) * (0.88, 0.97), design, (0, 0.2)), 0.145 * design.stroke
    path = [
        [(0.21, 0.58), (0.20, 0.34)],
        _bezier((0.20, 0.26), (0.20, 0.06), (0.06, 0.22), (-0.02, 0.24), 8),
        _bezier((-0.06, 0.26), (-0.15, 0.34), (-0.15, 0.20), (-0.155, 0.10), 8),
        [(-0.16, -0.12)],
    ]
    paint.stroke(fit(np.concatenate(path)), w, "black")
    paint.polygon(fit([(-0.16 - w * 0.55, -0.10), (-0.16, -0.24), (-0.16 + w * 0.55, -0.10)]), "black")
    paint.polygon(fit([(0.21 - w / 2, 0.59), (0.21, 0.51), (0.21 + w / 2, 0.59)]), "white")


def _crossing(paint, design):  # a broad arrow over a narrow road
    fit = lambda p: _fit(p, design, (0, 0.2))
    paint.polygon(
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
    paint.stroke(fit([(-0.36, 0.17), (0.36, 0.17)]), 0.11 * design.stroke, "black")


def _narrow(paint, design):
    fit, w = lambda p: _fit(p, design, (0, 0.3)), 0.105 * design.stroke
    paint.stroke(fit([(-0.11, -0.10), (-0.11, 0.60)]), w, "black")
    paint.stroke(fit([(0.11, -0.10), (0.11, 0.12), (0.24, 0.34), (0.24, 0.60)]), w, "black")


def _bumps(paint, design):
    half = [(-0.47, 0.60), (-0.44, 0.52), (-0.36, 0.50), (-0.26, 0.38), (-0.15, 0.38), (-0.02, 0.52)]
    paint.polygon(_fit(np.array(half + [(-x, y) for x, y in half[::-1]]) * (0.95, 0.97), design, (0, 0.5)), "black")


def _danger(paint, design):  # an exclamation mark
    fit, k = lambda p: _fit(p, design, (0, 0.2)), design.stroke
    paint.polygon(fit([(-0.085 * k, -0.28), (0.085 * k, -0.28), (0.055 * k, 0.36), (-0.055 * k, 0.36)]), "black")
    paint.disc(fit([(0, -0.27)])[0], 0.083 * k, "black")
    paint.disc(fit([(0, 0.54)])[0], 0.098 * k, "black")


def _traffic_lights(paint, design):
    for y, colour in ((-0.15, "red"), (0.165, "amber"), (0.48, "green")):
        paint.disc(_fit([(0, y)], design, (0, 0.2))[0], 0.138 * design.stroke**0.5, colour)


def _snow(paint, design):  # six branches of a snowflake
    for a in np.radians(np.arange(6) * 60 + 90):
        axes = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * design.high
        paint.stroke(np.array([(0, 0), (0.33, 0)]) @ axes + (0, 0.28), 0.062 * design.stroke, "black")
        for r, b in ((0.13, 0.10), (0.22, 0.09)):
            for s in (-1, 1):
                paint.stroke(
                    np.array([(r, 0), (r + b * 0.75, s * b)]) @ axes + (0, 0.28), 0.05 * design.stroke, "black"
                )


def _person(paint, design, head, radius, limbs):  # limbs: (thickness, points) each
    for thickness, points in limbs:
        points, w = _fit(points, design, (0, 0.3)), 0.09 * thickness * design.stroke
        paint.stroke(points, w, "black")
        for p in points:
            paint.disc(p, w / 2, "black")
    paint.disc(_fit([head], design, (0, 0.3))[0], radius, "black")


def _pedestrian(paint, design):
    _person(
        paint,
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


def _children(paint, design):
    _person(
        paint,
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
        paint,
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


def _works(paint, design):  # a man with a shovel and a heap
    _person(
        paint,
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
    paint.polygon(
        _fit([(0.0, 0.60), (0.10, 0.48), (0.22, 0.40), (0.34, 0.26), (0.44, 0.36), (0.58, 0.60)], design, (0, 0.3)),
        "black",
    )


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


def _deer(paint, design):
    paint.polygon(_fit(np.array(_DEER) * (0.88, 0.93) + (0, 0.03), design, (0, 0.2)), "black")


def _bicycle(paint, design):
    fit, w = lambda p: _fit(p, design, (0, 0.3)), 0.04 * design.stroke
    for x in (-0.29, 0.29):
        paint.stroke(fit(_arc(x, 0.44, 0.19, 0.19, 0, 360, 25)), w, "black")
    for line in (
        [(-0.29, 0.44), (-0.16, 0.17), (0.19, 0.17), (0.29, 0.44)],
        [(-0.29, 0.44), (-0.03, 0.46), (0.18, 0.18)],
        [(-0.03, 0.46), (-0.17, 0.10)],
        [(-0.25, 0.10), (-0.10, 0.10)],
        [(0.20, 0.20), (0.15, 0.05), (0.27, 0.03)],
    ):
        paint.stroke(fit(line), w * 1.25, "black")


_WARNINGS = {
    11: (_crossing,),
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
}
_ORDERS = {
    33: (_turn, 1),
    34: (_turn, -1),
    35: (_ahead,),
    36: (_straight_and, 1),
    37: (_straight_and, -1),
    38: (_keep, 1),
    39: (_keep, -1),
    40: (_roundabout,),
}
_LIMITS = {0: "20", 1: "30", 2: "50", 3: "60", 4: "70", 5: "80", 7: "100", 8: "120"}
_SIGNS = {
    **{c: ((_prohibition,), (_limit, text)) for c, text in _LIMITS.items()},
    **{c: ((_warning,), step) for c, step in _WARNINGS.items()},
    **{c: ((_mandatory,), step) for c, step in _ORDERS.items()},
    6: ((_end_of,), (_write, "80", "grey", 0.94, 0.58, 0.145, 0.15), (_stripes,)),
    9: ((_prohibition,), (_two_cars, "red", "black")),
    10: ((_prohibition,), (_truck_and_car, "red", "black")),
    12: ((_diamond,),),
    13: ((_warning, -1),),
    14: ((_octagon,),),
    15: ((_prohibition,),),
    16: ((_prohibition,), (_truck_side,)),
    17: ((_no_entry,),),
    32: ((_end_of,), (_stripes,)),
    41: ((_end_of,), (_two_cars, "grey", "grey"), (_stripes,)),
    42: ((_end_of,), (_truck_and_car, "grey", "grey"), (_stripes,)),
}


@functools.lru_cache(maxsize=4096)
def _master(
    class_id, design, size=_MASTER
):  # uint8 (size, size, K): share of each colour used; and the K colours' indices
    steps, paint, look = _SIGNS[class_id], _Painter(), _design(class_id, design)
    for step, *details in steps:
        step(paint, look, *details)
    masks = {
        k: cv2.compare(paint.labels, k, cv2.CMP_EQ) for k in _LABEL.values()
    }  # faster than np.unique, which sorts the pixels
    used = [k for k, mask in masks.items() if cv2.countNonZero(mask)]
    layers = [cv2.resize(masks[k], (size, size), interpolation=cv2.INTER_AREA) for k in used]
    return np.ascontiguousarray(np.stack(layers, -1)), np.array(used) - 1


def _palette(rng):  # float32 (8, 3): the colours of one sign, with its age and its maker's taste
    new, old = (np.array(list(c.values()), np.float32) for c in (_COLOURS, _FADED))
    if rng is None:
        return new
    p = new + np.clip(rng.normal(0, 0.22), 0, 0.7) * (old - new)
    return np.clip(p * np.exp(rng.normal(0, 0.12, (8, 1))) + rng.normal(0, 0.025, (8, 3)), 0, 1).astype(np.float32)


def draw_sign(
    class_id: int,  # GTSRB ClassId, 0..42
    size: int = 128,  # side of the picture in pixels
    rng: np.random.Generator | None = None,  # None: the standard sign, new; else one of several makes and ages
) -> np.ndarray:  # uint8 (size, size, 4): red, green, blue, opacity
    "Draw one clean sign that fills the picture: uint8 RGBA (size, size, 4), 0..255, transparent outside; `KeyError` for an unknown class."
    cover, used = _master(int(class_id), 0 if rng is None else int(rng.integers(_DESIGNS)))
    if size != _MASTER:
        cover = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA if size < _MASTER else cv2.INTER_CUBIC)
    cover = cover.reshape(size, size, -1).astype(np.float32)
    total = cover.sum(-1, keepdims=True)
    colour = cover @ _palette(rng)[used] / np.maximum(total, 1e-6) * 255
    return np.round(np.concatenate([colour, total], -1).clip(0, 255)).astype(np.uint8)


_TEXTURE, _TEXTURES = 160, 96  # side of a texture in pixels, and how many there are


def _noise(g, n, cells, channels=1):  # smooth random field (n, n, channels) around .5 from a coarse grid
    grid = g.random((cells + 2, cells + 2, channels), dtype=np.float32)
    return cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC).reshape(n, n, channels)


_LEAVES = np.array(
    [(0.35, 0.5, 0.2), (0.5, 0.45, 0.2), (0.55, 0.35, 0.15), (0.6, 0.65, 0.6), (0.9, 0.95, 1.0)]
)  # green, autumn, grey, sky behind


def _foliage(g, n):  # leaves: noise of four scales between a dark and a bright colour
    v = sum(_noise(g, n, cells) * weight for cells, weight in ((5, 0.5), (14, 0.6), (40, 0.8), (90, 0.8))) / 2.7
    v = np.clip((v - 0.5) * g.uniform(2, 6) + g.uniform(0.2, 0.6), 0, 1)
    dark, light = g.uniform(0, 0.12, 3), g.choice(_LEAVES) * g.uniform(0.5, 1.2)
    return dark + v**1.5 * (light - dark) * 1.3 + 0.15 * (_noise(g, n, 60, 3) - 0.5)


def _branches(g, n):  # bare twigs before the sky
    img = (np.array([0.75, 0.85, 1.0]) * g.uniform(0.6, 1.3) + 0.1 * (_noise(g, n, 4) - 0.5)).astype(np.float32)
    for _ in range(int(g.integers(8, 45))):
        points = np.cumsum(np.concatenate([g.uniform(0, n, (1, 2)), g.normal(0, n / 8, (5, 2))]), 0).astype(np.int32)
        cv2.polylines(img, [points], False, [g.uniform(0, 0.2)] * 3, int(g.integers(1, 5)), cv2.LINE_AA)
    return img


def _building(g, n):  # walls, windows, boards: flat patches with straight edges
    img = np.ones((n, n, 3), np.float32) * (g.uniform(0.1, 0.9) + g.normal(0, 0.08, 3)).astype(np.float32)
    for _ in range(int(g.integers(3, 14))):
        grey, tint = g.choice([0.02, 0.2, 0.6, 1.0]) * g.uniform(0.75, 1.0, 3), g.random(3)
        box = cv2.boxPoints(
            (tuple(g.uniform(-0.2 * n, n, 2)), tuple(g.uniform(0.05, 0.8, 2) * n), float(g.normal(0, 6)))
        )
        cv2.fillConvexPoly(img, box.astype(np.int32), (grey if g.random() < 0.85 else tint).tolist(), cv2.LINE_AA)
    if g.random() < 0.4:
        img[:: int(g.integers(6, 16))] *= g.uniform(0.6, 0.9)
    return img * (0.85 + 0.3 * _noise(g, n, int(g.choice([4, 30, 80]))))


def _open_sky(g, n):  # sky with clouds, sometimes trees below
    y = np.linspace(0, 1, n)[:, None, None]
    sky = np.array([0.55, 0.72, 1.0]) * (1.2 - 0.5 * y) + 0.6 * np.clip(_noise(g, n, 5) - g.uniform(0.3, 0.9), 0, 1)
    return np.where(y > g.uniform(0.5, 2), _foliage(g, n) * 0.6, sky * g.uniform(0.5, 1.3))


@functools.lru_cache(maxsize=_TEXTURES)
def _texture(i):  # the i-th background, float32 (160, 160, 3), contrast raised
    g = np.random.default_rng([7919, i])
    make = (_foliage, _foliage, _branches, _building, _building, _open_sky)[i % 6]
    return np.clip((make(g, _TEXTURE) - 0.4) * 1.5 + 0.42, 0, 1.5).astype(np.float32)


def _homography(yaw, pitch, roll, distance=5.0):  # radians -> 3x3 from plate units to picture units
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    R = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ [[1, 0, 0], [0, cp, -sp], [0, sp, cp]]
        @ [[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]
    )
    H = np.column_stack([R[:, 0], R[:, 1], (0, 0, distance)])
    H[:2] *= distance
    return H


def _project(H, p):  # points (N, 2) through a homography
    q = np.concatenate([p, np.ones((len(p), 1))], 1) @ H.T
    return q[:, :2] / q[:, 2:]


_CIRCLE = _arc(0, 0, 1, 1, 0, 345, 24)


def _outline(class_id):  # points that span the plate's bounding box
    if class_id == 12:
        return np.array([(0, -1.0), (1, 0), (0, 1), (-1, 0)])
    if class_id == 13:
        return np.array([(-1.0, -0.86), (1, -0.86), (0, 0.90)])
    return np.array([(-1.0, 0.86), (1, 0.86), (0, -0.90)]) if class_id in _WARNINGS else _CIRCLE


@dataclass(frozen=True)
class _Camera:
    blur: float = 0.3  # standard deviation of the lens blur in pixels
    motion: float = 0.0  # length of the motion blur as a share of the picture's width
    angle: float = 0.0  # direction of the motion
    fringe: tuple = ((0.0, 0.0), (0.0, 0.0))  # shift of red and blue against green in pixels
    haze: float = 0.0  # share of stray light
    saturation: float = 1.0  # share of the colourfulness that is kept
    gamma: float = 1.0  # tone curve
    noise: float = 0.0  # standard deviation of the sensor noise, full scale = 1
    mosaic: bool = False  # one colour per pixel, the others interpolated
    sharpen: float = 0.0  # strength of the sharpening
    jpeg: int = 0  # quality of the compression, 0 = none
    channels: tuple = (0, 1, 2)  # order of the colours (a misread mosaic swaps them)


@dataclass(frozen=True)
class _Look:
    class_id: int
    design: int = 0
    palette: np.ndarray = field(default_factory=lambda: _palette(None))
    texture: int = 1  # number of the background
    place: tuple = (0.5, 0.5, 0.7)  # where in the texture, and how much it is enlarged
    pose: tuple = (0.0, 0.0, 0.0)  # yaw, pitch, roll in radians
    gain: float = 1.0  # light on the sign
    back_gain: float = 1.0  # light on the background
    cast: tuple = (1.0, 1.0, 1.0)  # colour of the light
    shade: tuple = (0.0, 0.0)  # change of the light across the sign
    dapple: tuple | None = None  # shadow of leaves: (texture, threshold, place, darkness)
    pole: tuple | None = None  # (offset, half width, grey, goes on above)
    plate: bool = False  # a white supplementary plate below
    neighbours: tuple = ()  # other signs on the pole: (class, design, palette, dx, dy)
    stickers: tuple = ()  # (place, size, colour)
    camera: _Camera = _Camera()


_MIPS = (40, 80, 160)  # sizes at which masters are kept


def _paste(canvas, class_id, design, palette, H, radius, light):  # H: units -> pixels; radius of the sign in pixels
    size = next((m for m in _MIPS if m >= 1.6 * radius), _MIPS[-1])
    cover, used = _master(class_id, design, size)
    unit = 2 * _REACH / size
    M = H @ [[unit, 0, unit / 2 - _REACH], [0, unit, unit / 2 - _REACH], [0, 0, 1]]
    share = (
        cv2.warpPerspective(cover, M, canvas.shape[1::-1], flags=cv2.INTER_LINEAR)
        .reshape(*canvas.shape[:2], -1)
        .astype(np.float32)
    )
    mixed = (
        share @ np.column_stack([palette[used], np.ones_like(used)]).astype(np.float32) * np.float32(1 / 255)
    )  # colours, opacity
    return canvas * (1 - mixed[..., 3:]) + mixed[..., :3] * light


def _fill(canvas, H, points, colour):  # a polygon in units on the canvas, in one colour
    pixels = np.round(_project(H, np.asarray(points, np.float64)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [pixels], [float(c) for c in colour], cv2.LINE_AA, 4)


def _from_texture(i, place, zoom, centre, size):  # part of a texture, seen at a zoom, its point `place` at `centre`
    A = np.array([[zoom, 0, centre[0] - zoom * place[0] * _TEXTURE], [0, zoom, centre[1] - zoom * place[1] * _TEXTURE]])
    return cv2.warpAffine(_texture(i), A, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _backdrop(look, H, size, radius):  # what stands behind the sign, float32 (h, w, 3)
    *place, zoom = look.place
    img = _from_texture(look.texture, place, zoom * 3 * radius / _TEXTURE, H[:2, 2] / H[2, 2], size) * np.float32(
        look.back_gain
    )
    cast = np.array(look.cast)
    if look.pole:
        dx, half, grey, above = look.pole
        top = -3 if above else 0
        _fill(
            img, H, [(dx - half, top), (dx + half, top), (dx + half, 3), (dx - half, 3)], cast * grey * look.back_gain
        )
    if look.plate:
        for x, y, grey in ((0.95, 0.27, 0.1), (0.90, 0.24, 0.9)):
            _fill(img, H, [(-x, 1.35 - y), (x, 1.35 - y), (x, 1.35 + y), (-x, 1.35 + y)], cast * grey * look.gain)
    return img


def _light(look, H, size, radius):  # light on the sign's surface, float32 (h, w, 3)
    c = H[:2, 2] / H[2, 2]
    x, y = ((np.arange(n, dtype=np.float32) - m) / np.float32(radius) for n, m in zip(size, c))
    light = 1 + np.float32(look.shade[0]) * x[None] + np.float32(look.shade[1]) * y[:, None]
    if look.dapple:
        i, threshold, place, dark = look.dapple
        leaves = _from_texture(i, place, 3.2 * radius / _TEXTURE, c, size)[..., 1]
        light = light * (1 - np.float32(dark) * np.clip((leaves - np.float32(threshold)) * 8 + 0.5, 0, 1))
    return np.maximum(light, 0.05)[..., None] * (look.gain * np.array(look.cast)).astype(np.float32)


def _kernel(sigma, length, angle):  # a Gaussian, drawn out along a line; sums to 1
    n = int(np.ceil(2 * sigma + length / 2))
    x, y = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    k = np.exp(-0.5 * (np.maximum(np.abs(along) - length / 2, 0) ** 2 + across**2) / sigma**2)
    return (k / k.sum()).astype(np.float32)


def _lens(light, camera, size, factor=1.0):  # light (H, W, 3) -> blurred light at the picture's size (h, w, 3)
    scale = light.shape[1] / size[0]
    kernel = _kernel(max(camera.blur * factor * scale, 0.35), camera.motion * factor * light.shape[1], camera.angle)
    img = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT)
    if scale != 1:
        img = cv2.resize(img, size, interpolation=cv2.INTER_AREA)
    for c, (dx, dy) in zip((0, 2), camera.fringe):
        if dx or dy:
            img[..., c] = cv2.warpAffine(
                img[..., c], np.array([[1, 0, dx], [0, 1, dy]]), size, borderMode=cv2.BORDER_REFLECT
            )
    return img


def _mosaic(
    img,
):  # what a sensor with one colour per pixel sees (red and blue every fourth, green every second), interpolated
    raw = img[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = img[::2, ::2, 0], img[1::2, 1::2, 2]
    return cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB_EA)


def _sensor(light, camera, rng):  # light (h, w, 3) -> uint8 picture
    s = camera.saturation * (1 - camera.haze)
    mix = s * np.eye(3) + (1 - camera.haze - s) / 3  # keeps brightness, drops colourfulness
    img = cv2.transform(light, np.column_stack([mix, np.full(3, 0.6 * camera.haze)]).astype(np.float32))
    img = np.clip(img, 0, 1) ** np.float32(camera.gamma)
    if camera.noise:
        img += rng.standard_normal(img.shape, np.float32) * np.float32(camera.noise)
    out = np.clip(img * 255 + 0.5, 0, 255).astype(np.uint8)
    if camera.mosaic:
        out = _mosaic(out)
    if camera.sharpen:
        out = cv2.addWeighted(out, 1 + camera.sharpen, cv2.GaussianBlur(out, (0, 0), 0.8), -camera.sharpen, 0)
    if camera.jpeg:
        out = cv2.imdecode(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])[1], cv2.IMREAD_COLOR)
    return np.ascontiguousarray(out[..., list(camera.channels)])


def _render(look, width, rng, pose=None, factor=1.0):  # uint8 RGB (h, w, 3) and the sign's box; factor scales the blur
    margin, H, outline = (
        max(5, round(0.083 * width)),
        _homography(*(look.pose if pose is None else pose)),
        _outline(look.class_id),
    )
    (x0, y0), (x1, y1) = (p := _project(H, outline)).min(0), p.max(0)
    zoom = (width - 2 * margin) / (x1 - x0)
    height = int(np.clip(round((y1 - y0) * zoom + 2 * margin), width * 0.7, width * 1.4))
    zoom *= rng.normal(0.96, 0.03)  # boxes drawn by hand are a little loose
    middle = np.array([width, height]) / 2 + rng.normal(0, 0.02, 2) * width - np.array([x0 + x1, y0 + y1]) / 2 * zoom
    ss = 2 if width < 72 else 1
    P = np.array([[zoom, 0, middle[0]], [0, zoom, middle[1]], [0, 0, 1 / ss]]) @ H
    size, radius = (width * ss, height * ss), zoom * ss
    img, light = _backdrop(look, P, size, radius), _light(look, P, size, radius)
    for class_id, design, palette, dx, dy in look.neighbours:
        img = _paste(img, class_id, design, palette, P @ [[1, 0, dx], [0, 1, dy], [0, 0, 1]], radius, light)
    img = np.ascontiguousarray(_paste(img, look.class_id, look.design, look.palette, P, radius, light), np.float32)
    for place, size_, colour in look.stickers:
        _fill(img, P, place + size_ * _CIRCLE * (1, 0.7), np.array(colour) * look.gain)
    box = np.round(_project(P, outline) / ss)
    roi = np.clip(np.concatenate([box.min(0), box.max(0)]), 0, [width - 1, height - 1] * 2)
    return _sensor(_lens(img, look.camera, (width, height), factor), look.camera, rng), tuple(int(v) for v in roi)


def _sample_camera(g):
    haze, swap = g.uniform(0.05, 0.45) * (g.random() < 0.25), g.random() < 0.1
    return _Camera(
        blur=g.uniform(0.25, 0.9),
        motion=g.exponential(0.05) * (g.random() < 0.35),
        angle=g.uniform(0, np.pi),
        fringe=tuple(map(tuple, g.normal(0, 1.0, (2, 2)) * (g.random() < 0.5))),
        haze=haze,
        saturation=g.uniform(0.35, 1.05),
        gamma=np.exp(g.normal(0, 0.2)),
        noise=g.exponential(0.006),
        mosaic=bool(g.random() < 0.5),
        sharpen=g.uniform(0.3, 1.8) * (g.random() < 0.45),
        jpeg=int(g.integers(45, 96)) * int(g.random() < 0.2),
        channels=((2, 0, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0))[int(g.integers(4))] if swap else (0, 1, 2),
    )


def _some_sign(g):
    return int(g.integers(43)), int(g.integers(_DESIGNS)), _palette(g)


def _sample_look(class_id, g):
    gain = np.exp(g.normal(-0.65, 0.75))
    cast = np.exp(g.normal(0, 0.07, 3) + g.normal(0, 0.10) * np.array([1, 0, -1]))
    stickers = [
        (g.uniform(-0.8, 0.8, 2), g.uniform(0.04, 0.3), g.random(3) * g.choice([0.3, 1.0]))
        for _ in range(int(g.integers(1, 4)))
    ]
    return _Look(
        class_id,
        int(g.integers(_DESIGNS)),
        _palette(g),
        int(g.integers(_TEXTURES)),
        tuple(g.uniform((0, 0, 0.35), (1, 1, 1.1))),
        pose=tuple(g.normal(0, (0.30, 0.12, 0.075)).clip(-0.8, 0.8)),
        gain=gain,
        back_gain=gain * np.exp(g.normal(0.05, 0.75)),
        cast=tuple(cast),
        shade=tuple(g.normal(0, 0.14, 2)),
        dapple=(int(g.integers(_TEXTURES)), g.uniform(0.25, 0.7), g.uniform(0, 1, 2), g.uniform(0.3, 0.8))
        if g.random() < 0.15
        else None,
        pole=(g.normal(0, 0.15), g.uniform(0.05, 0.14), g.uniform(0.05, 0.8), g.random() < 0.4)
        if g.random() < 0.5
        else None,
        plate=bool(g.random() < 0.12),
        stickers=tuple(stickers) if g.random() < 0.18 else (),
        camera=_sample_camera(g),
        neighbours=tuple(
            (*_some_sign(g), g.normal(0, 0.06), s * g.uniform(1.95, 2.3)) for s in (-1, 1) if g.random() < 0.22
        ),
    )


_WIDTHS = (
    (0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1),
    (25, 28, 30, 34, 42, 56, 76, 94, 130, 210),
)  # quantiles of GTSRB's widths


def draw_sign_crop(
    class_id: int,  # GTSRB ClassId, 0..42
    rng: np.random.Generator,  # source of everything random
    width: int | None = None,  # width of the crop in pixels; None: drawn from GTSRB's own distribution
) -> tuple[np.ndarray, tuple[int, int, int, int]]:  # picture and the sign's box (x1, y1, x2, y2)
    """Draw one sign as a camera in a moving car might see it: uint8 RGB (h, w, 3), 0..255, and the sign's box in pixels.

    Domain randomisation (Tobin et al. 2017): sign, surroundings, pose, light, lens and sensor are all drawn at random.
    Raises `KeyError` for an unknown class."""
    look = _sample_look(int(class_id), rng)
    if width is None:
        width = int(np.interp(rng.random(), *_WIDTHS))
    return _render(look, int(width), rng, factor=np.exp(rng.normal(0, 0.3)))


def draw_sign_track(
    class_id: int,  # GTSRB ClassId, 0..42
    seed: int,  # fixes every pixel of the track
    frames: int = 30,  # number of pictures
    first: int | None = None,  # width of the first (farthest) picture in pixels; None: 25..33
    last: int | None = None,  # width of the last (nearest) one; None: drawn from GTSRB's distribution
) -> list[tuple[np.ndarray, tuple[int, int, int, int]]]:  # pictures and boxes, from far to near
    """Draw the pictures in which a car approaches one sign: a list of (uint8 RGB (h, w, 3), (x1, y1, x2, y2)).

    Sign, place, light and camera stay; size grows as 1 / distance; pose drifts; blur trembles. Raises `KeyError` for an unknown class."""
    rng = np.random.default_rng([43, int(class_id), int(seed)])
    look = _sample_look(int(class_id), rng)
    first = int(rng.integers(25, 34)) if first is None else int(first)
    last = max(first, int(np.interp(rng.uniform(0.4, 1), *_WIDTHS)) if last is None else int(last))
    drift, track = rng.normal(0, (0.12, 0.04, 0.02)), []
    for t in np.linspace(0, 1, frames):
        pose = look.pose + drift * t + rng.normal(0, (0.015, 0.01, 0.008))
        track.append(_render(look, round(first / (1 - (1 - first / last) * t)), rng, pose, np.exp(rng.normal(0, 0.2))))
    return track
