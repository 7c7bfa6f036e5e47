"""Roads: how many lanes, how wide, how painted, and how they bend."""

import math
from dataclasses import dataclass

import numpy as np

from .chance import weighted_choice

__all__ = []

_PLACES = dict(
    kitti=dict(street=0.4, avenue=0.3, country=0.14, highway=0.16),
    tusimple=dict(highway=0.7, country=0.12, avenue=0.18),
    joint=dict(street=0.1, avenue=0.5, country=0.15, highway=0.25),
)
_LANE_WIDTHS = dict(street=(2.7, 3.2), avenue=(3.0, 3.5), country=(3.0, 3.5), highway=(3.5, 3.9))  # metres
_SHOULDERS = dict(street=0.0, avenue=0.4, country=0.5, highway=2.6)  # metres
_BENDS = dict(street=1 / 250, avenue=1 / 350, country=1 / 220, highway=1 / 900)  # largest curvature, 1/m
_DASHES = ((6.0, 18.0), (3.0, 9.0), (3.0, 12.0), (6.0, 12.0), (4.0, 8.0))  # length and period in metres


@dataclass
class Road:
    """A road's cross-section and bend; s in metres, 0 = middle of the ego lane."""

    place: str  # "street", "avenue", "country" or "highway"
    borders: list[float]  # s of the lane lines, left to right
    styles: list[str]  # per line: "solid", "dashed", "double", "none", "edge" (kerb, no paint)
    directions: list[int]  # per lane: +1 with us, -1 against us
    left: float  # s of the road's left edge (end of asphalt)
    right: float  # s of its right edge
    x0: float = 0.0  # metres
    heading: float = 0.0  # radians
    curvature: float = 0.0  # 1/m
    wear: float = 0.0  # 0 fresh paint .. 1 gone
    parking: bool = False  # parked cars along the edges
    tram: float | None = None  # s of a tram track
    dash: tuple[float, float] = (6.0, 12.0)  # length and period of dashes in metres
    phase: float = 0.0  # metres
    yellow_left: bool = False

    def centre(self, z):
        """X of the ego lane's middle at depth z: X = x_0 + φ Z + κ Z² / 2."""
        return self.x0 + self.heading * z + 0.5 * self.curvature * (z * z)

    def slope(self, z: float) -> float:
        """Direction of the road at depth z as an angle from straight ahead."""
        return math.atan(self.heading + self.curvature * z)


def make_road(
    kind: str,  # "kitti", "tusimple" or "joint"
    rng: np.random.Generator,
    tram: float = 0.04,  # share of trams among the objects to come
) -> Road:
    """A random road of a data set; the more trams are to come, the more likely is a track."""
    place = weighted_choice(rng, _PLACES[kind])
    if tram > 0.5 and place in ("highway", "country"):
        place = "avenue"
    borders, styles, oncoming = _lanes(kind, place, rng)
    parking = place == "street" or (place == "avenue" and rng.uniform() < 0.4)
    side = 2.1 if parking else _SHOULDERS[place] * rng.uniform(0.6, 1.2)
    road = Road(
        place,
        borders,
        styles,
        directions=[-1] * oncoming + [1] * (len(borders) - 1 - oncoming),
        left=borders[0] - side * (1 if oncoming or place == "highway" else 0.3),
        right=borders[-1] + side,
        x0=_offset(rng),
        heading=rng.normal(0, 0.012),
        curvature=rng.uniform(-1, 1) ** 3 * _BENDS[place],
        wear=rng.uniform(0, 1) ** 2 * 0.65,
        parking=parking,
        dash=_DASHES[int(rng.integers(5))],
        phase=rng.uniform(0, 18),
        yellow_left=place == "highway" and rng.uniform() < 0.5,
    )
    if place in ("avenue", "street") and rng.uniform() < 0.2 + 9 * tram * (place == "avenue"):
        beside = place == "avenue" and rng.uniform() < 0.6
        lane = max(oncoming, 1)
        road.tram = road.left - 2.2 if beside else (borders[lane - 1] + borders[lane]) / 2
    return road


def _lanes(kind: str, place: str, rng: np.random.Generator) -> tuple[list[float], list[str], int]:
    """Lane lines of a place: their s, their styles, and how many lanes come against us."""
    width = rng.uniform(*_LANE_WIDTHS[place])
    with_us = dict(street=1, avenue=int(rng.integers(1, 4)), country=1, highway=int(rng.integers(2, 6)))[place]
    against_us = dict(street=int(rng.uniform() < 0.8), avenue=int(rng.integers(1, 3)), country=1, highway=0)[place]
    if kind == "tusimple" and place == "highway":
        with_us = max(with_us, 3)
    ego = with_us // 2 if rng.uniform() < 0.4 else int(rng.integers(0, with_us))
    first = -(against_us + ego + 0.5) * width
    borders = [first + i * width for i in range(with_us + against_us + 1)]
    painted = kind != "kitti" or place != "street" or rng.uniform() < 0.35
    styles = ["dashed" if painted else "none"] * len(borders)
    edge = "solid" if place in ("highway", "country") or rng.uniform() < 0.45 or kind == "tusimple" else "edge"
    styles[0] = styles[-1] = edge if painted else "none"
    if against_us and painted and place != "street":
        styles[against_us] = weighted_choice(rng, dict(dashed=0.35, solid=0.3, double=0.35))
    return borders, styles, against_us


def _offset(rng: np.random.Generator) -> float:
    """Where in its lane the car drives, in metres; one in eight is changing lanes."""
    if rng.uniform() < 0.88:
        return rng.normal(0, 0.25)
    return rng.choice([-1, 1]) * rng.uniform(0.7, 1.7)
