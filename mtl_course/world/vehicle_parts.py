"""What vehicles are made of: paint, wheels, lamps, and what is the same on both sides."""

from functools import lru_cache

import numpy as np

from .solid import Solid

__all__ = []

PAINTS = np.array(
    [
        [232, 232, 230],
        [205, 207, 208],
        [168, 170, 172],
        [112, 115, 118],
        [70, 72, 76],
        [34, 35, 38],
        [22, 22, 24],
        [40, 62, 112],
        [24, 34, 62],
        [150, 26, 28],
        [110, 20, 24],
        [190, 176, 150],
        [44, 74, 56],
        [120, 90, 60],
        [214, 196, 60],
        [60, 110, 170],
    ],
    np.float64,
)  # RGB
GLASS = np.array([44, 52, 58.0])
TRIM = np.array([38, 38, 40.0])
TYRE = np.array([24, 24, 26.0])
_DARK = TYRE * 0.8
_RIM = np.array([135, 137, 140.0])
_MIRROR = np.array([1.0, 1, -1])  # right side to left side


class Vehicle(Solid):
    """A solid with wheels and lamps; `faces` are the numbers that `extrude` and `box` return."""

    def on_both_sides(
        self,
        faces: dict,
        points: list,  # (N, 3): along, up, half width
        colour,
    ):
        """The same decal on the right and on the left."""
        for side, sign in (("right", 1), ("left", -1)):
            self.face([(along, up, sign * half) for along, up, half in points], colour, faces[side])

    def wheels(
        self,
        faces: dict,
        at,  # along of the axles, metres
        r: float,  # radius, metres
        half: float,  # half width, metres
        arch: bool = False,  # with a dark arch above
    ):
        """Wheels as decals on both sides of a body, and tyres that show under its rear and its
        front."""
        discs = []
        for along in at:
            if arch:
                discs.append((circle(along, r, r * 1.22, half, 8, np.pi), _DARK))
            discs.append((circle(along, r, r, half), TYRE))
            discs.append((circle(along, r, r * 0.62, half), _RIM))
            discs.append((circle(along, r, r * 0.22, half, 6), _RIM * 0.5))
        for points, colour in discs:
            self.face(points, colour, faces["right"])
        for points, colour in discs:
            self.face(points * _MIRROR, colour, faces["left"])
        self.part(-2)
        self.box(min(at) - r, max(at) + r, 0.12, r + 0.15, half - 0.15, [_DARK] * 5)
        for along in (min(at) - r * 0.8, max(at) + r * 0.8):
            for sign in (1, -1):
                inner = sign * (half - 0.24 - 0.2 * (r > 0.4))
                self.face(rectangle(along, 0.0, r * 1.5, inner, sign * (half - 0.02)), TYRE)

    def lamps(
        self,
        rear: int,  # number of the rear face
        front: int,  # number of the front face
        back: float,  # along of the rear, metres
        nose: float,  # along of the front, metres
        half: float,  # half width, metres
        low: float,  # up, metres
        high: float,  # up, metres
        size: float = 0.3,  # metres
    ):
        """Rear and front lights, number plates."""
        for sign in (1, -1):
            inner = sign * (half - size)
            outer = sign * (half - 0.03)
            self.face(rectangle(back - 0.01, low, high, inner, outer), (150, 22, 20), rear, 0.1)
            if high - low > 0.3:
                self.face(rectangle(back - 0.015, low, low + 0.12, inner, outer), (205, 150, 130), rear)
            self.face(rectangle(nose + 0.01, low - 0.06, high - 0.1, inner, outer), (222, 226, 225), front, 0.2)
        for along, face in ((back - 0.02, rear), (nose + 0.01, front)):
            self.face(rectangle(along, low - 0.16, low - 0.05, -0.26, 0.26), (222, 222, 214), face)


def car_paint(rng: np.random.Generator) -> np.ndarray:
    """A car colour; two in three are white, grey or black, as on the road."""
    index = int(rng.integers(7) if rng.uniform() < 0.66 else rng.integers(7, 16))
    return np.clip(PAINTS[index] + rng.normal(0, 6, 3), 8, 240)


def rectangle(along, low, high, inner, outer) -> list[tuple]:
    """A rectangle across the vehicle at one place along it."""
    return [(along, low, inner), (along, high, inner), (along, high, outer), (along, low, outer)]


def circle(
    along: float,
    up: float,
    r: float,
    across: float,
    n: int = 12,  # points
    stop: float = 0.0,  # radians; 0: the whole circle
) -> np.ndarray:  # (n, 3)
    """Points of a wheel-like circle, or of its arc from 0 to `stop`."""
    cos, sin = _directions(n, stop)
    points = np.empty((n, 3))
    points[:, 0] = along + r * cos
    points[:, 1] = up + r * sin
    points[:, 2] = across
    return points


@lru_cache(None)
def _directions(n: int, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of n angles: around the whole circle, or from 0 to `stop`."""
    t = np.linspace(0, stop, n) if stop else np.arange(n) * 2 * np.pi / n
    return np.cos(t), np.sin(t)
