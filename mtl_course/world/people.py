"""People as bodies of capsules between joints; legs and arms swing with the phase of the step.

A capsule is (joint, joint, radius, radius, colour), with joints at (along, up, across) in
metres."""

from dataclasses import dataclass

import numpy as np

from .solid import Body
from .vehicle_parts import car_paint, circle

__all__ = []

_SKINS = np.array([[232, 190, 160], [210, 160, 125], [150, 105, 78], [92, 64, 50]], float)
_HAIRS = np.array([[40, 30, 24], [90, 64, 40], [160, 130, 90], [150, 150, 150]], float)
_BICYCLE_FRAME = (
    ((-0.52, 0.34, 0), (-0.2, 0.9, 0)),
    ((-0.52, 0.34, 0), (0.03, 0.3, 0)),
    ((0.03, 0.3, 0), (-0.2, 0.9, 0)),
    ((0.03, 0.3, 0), (0.36, 0.82, 0)),
    ((-0.15, 0.8, 0), (0.36, 0.82, 0)),
    ((0.36, 1.02, 0), (0.52, 0.34, 0)),
)


@dataclass
class _Person:
    """How tall somebody is, and in which colours."""

    scale: float  # height / 1.75 m
    skin: np.ndarray
    top: np.ndarray
    legs: np.ndarray
    hair: np.ndarray
    shoe: np.ndarray

    def scaled(self, capsules: list[tuple]) -> list[tuple]:
        """Capsules of somebody of 1.75 m, as tall as this person."""
        k = self.scale
        return [(np.multiply(p, k), np.multiply(q, k), r * k, s * k, colour) for p, q, r, s, colour in capsules]


def make_pedestrian(rng: np.random.Generator) -> Body:
    """Somebody on foot."""
    person = _person(rng)
    swing = rng.uniform(-1, 1) * 0.42
    return Body(person.scaled(_walking(rng, swing, person)))


def make_cyclist(rng: np.random.Generator) -> Body:
    """A bicycle and its rider."""
    bicycle = _bicycle(rng)
    person = _person(rng)
    return Body(bicycle + person.scaled(_riding(rng, person)))


def make_motorbike(rng: np.random.Generator) -> Body:
    """A motorbike with a helmeted rider."""
    paint = car_paint(rng)
    dark = np.array([24, 24, 26.0])
    metal = np.array([120, 122, 126.0])
    capsules = [
        ((-0.72, 0.31, 0), (-0.66, 0.31, 0), 0.31, 0.31, dark),
        ((0.72, 0.31, 0), (0.66, 0.31, 0), 0.31, 0.31, dark),
        ((-0.7, 0.31, 0), (-0.7, 0.32, 0), 0.15, 0.15, metal),
        ((0.7, 0.31, 0), (0.7, 0.32, 0), 0.15, 0.15, metal),
        ((-0.6, 0.42, 0), (0.2, 0.42, 0), 0.16, 0.2, metal * 0.6),
        ((-0.75, 0.82, 0), (-0.1, 0.78, 0), 0.1, 0.14, dark),
        ((-0.05, 0.82, 0), (0.4, 0.88, 0), 0.17, 0.15, paint),
        ((0.7, 0.35, 0), (0.45, 0.95, 0), 0.06, 0.06, metal),
        ((0.5, 0.98, 0), (0.56, 0.92, 0), 0.14, 0.12, paint),
        ((0.38, 1.05, -0.36), (0.38, 1.05, 0.36), 0.025, 0.025, dark),
        ((-0.85, 0.72, 0), (-0.8, 0.72, 0), 0.06, 0.06, np.array([170, 26, 22.0])),
    ]
    jacket = rng.uniform(20, 110, 3)
    helmet = rng.uniform(20, 235, 3)
    for side in (-1, 1):
        capsules += [
            ((-0.3, 0.88, side * 0.12), (0.15, 0.72, side * 0.26), 0.1, 0.08, jacket * 0.7),
            ((0.15, 0.72, side * 0.26), (-0.05, 0.35, side * 0.22), 0.075, 0.06, jacket * 0.7),
            ((-0.05, 1.32, side * 0.2), (0.12, 1.1, side * 0.36), 0.065, 0.055, jacket),
            ((0.12, 1.1, side * 0.36), (0.36, 1.06, side * 0.32), 0.055, 0.045, jacket),
        ]
    capsules += [
        ((-0.32, 0.92, 0.0), (-0.08, 1.36, 0.0), 0.17, 0.2, jacket),
        ((0.02, 1.56, 0.0), (0.03, 1.6, 0.0), 0.14, 0.14, helmet),
    ]
    return Body(capsules)


def _person(rng) -> _Person:
    """Somebody; one in seven is a child."""
    tall = rng.uniform(1.5, 1.95) if rng.uniform() < 0.85 else rng.uniform(1.05, 1.5)
    skin = _SKINS[int(rng.integers(4))]
    top = rng.uniform(20, 225, 3)
    legs = rng.uniform(15, 120) * np.array([0.95, 1, 1.1])
    top = top.mean() + (top - top.mean()) * rng.uniform(0, 0.9)
    hair = _HAIRS[int(rng.integers(4))]
    return _Person(tall / 1.75, skin, top, legs, hair, shoe=np.full(3, rng.uniform(20, 90)))


def _walking(rng, swing: float, person: _Person) -> list[tuple]:
    """Capsules of somebody on foot, 1.75 m tall; opposite arm and leg swing forward together."""
    skin = person.skin
    top = person.top
    hip = 0.92
    neck = 1.45
    capsules = []
    for side, turn in ((-1, swing), (1, -swing)):
        across = side * 0.09
        knee = (turn * 0.45, 0.5, across)
        capsules += [
            ((0, hip, across), knee, 0.085, 0.065, person.legs),
            (knee, (turn * 0.85 - 0.06 * abs(turn), 0.07, across), 0.065, 0.05, person.legs),
            ((turn * 0.85 - 0.03, 0.05, across), (turn * 0.85 + 0.16, 0.05, across), 0.045, 0.04, person.shoe),
        ]
        elbow = (-turn * 0.35, 1.12, side * 0.25)
        hand = (-turn * 0.6 + 0.12, 0.9, side * 0.24)
        capsules += [
            ((0, neck - 0.05, side * 0.2), elbow, 0.06, 0.05, top),
            (elbow, hand, 0.045, 0.04, skin if rng.uniform() < 0.4 else top * 0.95),
        ]
    coat = rng.uniform() < 0.3
    waist = (0, 0.6 if coat else 0.95, 0)
    capsules.append((waist, (0, neck - 0.1, 0), 0.2 if coat else 0.15, 0.19, top))
    if rng.uniform() < 0.25:  # a rucksack
        capsules.append(((-0.16, 1.0, 0), (-0.16, 1.35, 0), 0.13, 0.12, rng.uniform(20, 200, 3)))
    return capsules + [
        ((0, neck, 0), (0.02, 1.5, 0), 0.055, 0.055, skin),
        ((0.02, 1.58, 0), (0.03, 1.66, 0), 0.095, 0.1, skin),
        ((-0.02, 1.64, 0), (-0.01, 1.68, 0), 0.1, 0.105, person.hair),
    ]


def _riding(rng, person: _Person) -> list[tuple]:
    """Capsules of a cyclist of 1.75 m; the feet turn with the pedals."""
    skin = person.skin
    top = person.top
    turn = rng.uniform(0, 2 * np.pi)
    capsules = []
    for side, t in ((-1, turn), (1, turn + np.pi)):
        foot = (0.08 + 0.17 * np.cos(t), 0.32 + 0.17 * np.sin(t), side * 0.1)
        knee = (0.22 + 0.1 * np.cos(t), 0.72 + 0.1 * np.sin(t), side * 0.11)
        capsules += [
            ((-0.2, 0.98, side * 0.08), knee, 0.085, 0.065, person.legs),
            (knee, foot, 0.06, 0.045, person.legs),
            (foot, (foot[0] + 0.15, foot[1], foot[2]), 0.04, 0.035, person.shoe),
            ((0.1, 1.42, side * 0.19), (0.28, 1.2, side * 0.24), 0.055, 0.045, top),
            ((0.28, 1.2, side * 0.24), (0.45, 1.05, side * 0.24), 0.045, 0.04, skin),
        ]
    capsules += [
        ((-0.2, 1.0, 0), (0.08, 1.42, 0), 0.15, 0.17, top),
        ((0.14, 1.5, 0), (0.16, 1.58, 0), 0.06, 0.06, skin),
        ((0.18, 1.62, 0), (0.19, 1.68, 0), 0.095, 0.1, skin),
    ]
    helmet = rng.uniform(30, 240, 3) if rng.uniform() < 0.6 else person.hair
    return capsules + [((0.15, 1.7, 0), (0.2, 1.73, 0), 0.11, 0.11, helmet)]


def _bicycle(rng) -> list[tuple]:
    """Frame and wheels of a bicycle as thin capsules."""
    paint = rng.uniform(10, 220, 3)
    dark = np.array([28, 28, 30.0])
    capsules = []
    for along in (-0.52, 0.52):
        ring = circle(along, 0.34, 0.33, 0.0, 14)
        capsules += [(ring[i], ring[(i + 1) % 14], 0.024, 0.024, dark) for i in range(14)]
    capsules += [(p, q, 0.024, 0.024, paint) for p, q in _BICYCLE_FRAME]
    return capsules + [
        ((0.4, 1.03, -0.26), (0.4, 1.03, 0.26), 0.018, 0.018, dark),
        ((-0.3, 0.93, 0), (-0.08, 0.93, 0), 0.05, 0.03, dark),
    ]
