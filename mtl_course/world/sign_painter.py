"""A painter for signs that fills in numbers of colours, not colours.

Only at the end is each colour's share of every (smaller) pixel computed: edges become smooth, and
one drawing serves for new paint, faded paint and any light. Coordinates are *units*: a round sign
fills the circle of radius 1 around (0, 0), y points down."""

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = []

_NEW = dict(
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
_LABEL = {name: i + 1 for i, name in enumerate(_NEW)}  # 0 means "outside the sign"


@dataclass(frozen=True)
class SignDesign:
    """What differs between signs of one class: makers and decades."""

    stroke: float = 1.0  # line width of digits and pictograms
    border: float = 1.0  # width of the red border
    wide: float = 1.0  # width of digits and pictograms
    high: float = 1.0  # height of digits and pictograms
    gap: float = 1.0  # distance between digits
    shift: tuple = (0.0, 0.0)  # pictogram off centre
    style: int = 0  # the other pictogram where there are two
    rim: float = 0.035  # light edge around the border

    @classmethod
    def numbered(cls, class_id: int, number: int) -> "SignDesign":
        """Design 0 is the standard one; the others come from a fixed generator, the same
        everywhere."""
        if number == 0:
            return cls()
        rng = np.random.default_rng([4301, class_id, number])
        return cls(
            stroke=rng.uniform(0.82, 1.2),
            border=rng.uniform(0.88, 1.12),
            wide=rng.uniform(0.85, 1.2),
            high=rng.uniform(0.9, 1.1),
            gap=rng.uniform(0.6, 1.4),
            shift=tuple(rng.normal(0, 0.015, 2)),
            style=int(rng.integers(2)),
            rim=float(rng.choice([0.01, 0.03, 0.045])),
        )

    def fit(self, points, centre=(0, 0)) -> np.ndarray:
        """Points of a pictogram after the design's small changes."""
        return np.array(centre) + (np.asarray(points, np.float64) - centre) * (self.wide, self.high) + self.shift


class SignPainter:
    """A map of colour numbers in unit coordinates, on which later shapes cover earlier ones."""

    SIZE = 160  # side of a finished drawing in pixels
    REACH = 1.03  # units shown to each side of the middle

    def __init__(self):
        n = 3 * self.SIZE
        self.labels = np.zeros((n, n), np.uint8)
        self.scale = n / 2 / self.REACH

    def polygon(self, points, colour: str):
        """Fill a polygon, which may be concave."""
        cv2.fillPoly(self.labels, [self._pixels(points)], _LABEL[colour], shift=4)

    def disc(self, centre, radius: float, colour: str):
        """Fill a circle."""
        self.polygon(np.array(centre) + arc(0, 0, radius, radius, 0, 355, 72), colour)

    def stroke(self, points, width: float, colour: str):
        """Draw a line of constant width with mitred joints and flat ends."""
        left, right = _parallels(np.asarray(points, np.float64), width / 2)
        for i in range(len(left) - 1):
            quad = self._pixels([left[i], left[i + 1], right[i + 1], right[i]])
            cv2.fillConvexPoly(self.labels, quad, _LABEL[colour], shift=4)

    def shares(
        self,
        size: int,  # side in pixels
    ) -> tuple[np.ndarray, np.ndarray]:  # (size, size, K) uint8 and (K,) indices of the K colours used
        """Share of each colour in every pixel of the finished drawing."""
        masks = {k: cv2.compare(self.labels, k, cv2.CMP_EQ) for k in _LABEL.values()}  # np.unique would sort pixels
        used = [k for k, mask in masks.items() if cv2.countNonZero(mask)]
        layers = [cv2.resize(masks[k], (size, size), interpolation=cv2.INTER_AREA) for k in used]
        return np.ascontiguousarray(np.stack(layers, -1)), np.array(used) - 1

    def _pixels(self, points) -> np.ndarray:
        """Units (N, 2) as OpenCV's fixed point pixels, in sixteenths."""
        pixels = (np.asarray(points, np.float64) + self.REACH) * self.scale - 0.5
        return np.round(pixels * 16).astype(np.int32)


def palette(
    rng: np.random.Generator | None,  # None: new paint
    faded: float = 0.0,  # 0 new .. 1 faded; drawn where there is a generator
) -> np.ndarray:  # (8, 3) float32, 0..1
    """The colours of one sign, with its age and its maker's taste."""
    new = np.array(list(_NEW.values()), np.float32)
    old = np.array(list(_FADED.values()), np.float32)
    if rng is None:
        return new * (1 - faded) + faded * old if faded else new
    colours = new + np.clip(rng.normal(0, 0.22), 0, 0.7) * (old - new)
    colours = colours * np.exp(rng.normal(0, 0.12, (8, 1))) + rng.normal(0, 0.025, (8, 3))
    return np.clip(colours, 0, 1).astype(np.float32)


def arc(
    cx: float,
    cy: float,
    rx: float,
    ry: float,
    start: float,  # degrees, 0 = right, 90 = down
    stop: float,  # degrees
    n: int = 16,  # points
) -> np.ndarray:  # (n, 2)
    """Points on an ellipse."""
    a = np.radians(np.linspace(start, stop, n))
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1)


def bezier(p0, p1, p2, p3, n: int = 14) -> np.ndarray:
    """A cubic Bézier curve from p0 to p3, (n, 2)."""
    t = np.linspace(0, 1, n)[:, None]
    p0, p1, p2, p3 = map(np.asarray, (p0, p1, p2, p3))
    return (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3


def rounded(points, r: float, n: int = 7) -> np.ndarray:
    """A polygon whose corners are curves that touch the sides r / tan(angle / 2) away."""
    p = np.asarray(points, np.float64)
    t = np.linspace(0, 1, n)[:, None]
    curves = []
    for a, b, c in zip(np.roll(p, 1, 0), p, np.roll(p, -1, 0)):
        u = (a - b) / np.linalg.norm(a - b)
        v = (c - b) / np.linalg.norm(c - b)
        cut = r / np.tan(np.arccos(np.clip(u @ v, -1, 1)) / 2)
        curves.append((1 - t) ** 2 * (b + u * cut) + 2 * t * (1 - t) * b + t**2 * (b + v * cut))
    return np.concatenate(curves)


def _parallels(p: np.ndarray, r: float) -> tuple[np.ndarray, np.ndarray]:
    """The two parallels of a polyline (N, 2) at distance r.

    At a joint of pieces with normals n1 and n2 they pass through p ± r m with m = 2 (n1 + n2) /
    |n1 + n2|², the point at distance r from both pieces; very sharp corners are cut."""
    d = np.diff(p, axis=0)
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    n = np.stack([-d[:, 1], d[:, 0]], 1)
    closed = np.allclose(p[0], p[-1])  # a closed line has a joint there, too
    first = n[-1] if closed else n[0]
    last = n[0] if closed else n[-1]
    m = np.concatenate([[first], n]) + np.concatenate([n, [last]])
    m = m * np.minimum(2 / np.maximum((m * m).sum(1, keepdims=True), 1e-9), 1.4)
    return p + r * m, p - r * m
