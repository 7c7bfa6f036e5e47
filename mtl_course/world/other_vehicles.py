"""What KITTI calls Misc: a drawer for what fits no other class, which has no one look."""

import numpy as np

from .people import make_motorbike
from .solid import Body
from .vehicle_parts import GLASS, TRIM, TYRE, Vehicle, car_paint, rectangle

__all__ = []


def make_misc(rng: np.random.Generator) -> Vehicle | Body:
    """What fits no other class: caravan, box trailer, tractor, city bus, motorbike."""
    pick = int(rng.integers(5))
    if pick == 4:
        return make_motorbike(rng)
    return (_caravan, _trailer, _tractor, _bus)[pick](rng, car_paint(rng))


def _caravan(rng, paint: np.ndarray) -> Vehicle:
    """A caravan with one window on each side."""
    solid = Vehicle()
    length = rng.uniform(3.8, 5.5)
    half = rng.uniform(1.0, 1.12)
    top = rng.uniform(2.3, 2.6)
    white = np.array([228, 226, 218.0])
    back = -length / 2
    nose = length / 2
    solid.part(0)
    profile = [(back + 0.1, 0.4), (back, 1.2), (back + 0.3, top), (nose - 0.5, top), (nose, 1.3), (nose - 0.15, 0.4)]
    body = solid.extrude(profile, half, [white * 0.95, white, white, white, white, TRIM, white])
    solid.face(
        [
            (back + 0.04, 1.35, -half * 0.7),
            (back + 0.04, 1.35, half * 0.7),
            (back + 0.22, top - 0.3, half * 0.7),
            (back + 0.22, top - 0.3, -half * 0.7),
        ],
        GLASS * 1.3,
        body[1],
    )
    solid.on_both_sides(
        body,
        [(back + 0.1, 0.95, half), (back + 0.1, 1.1, half), (nose - 0.1, 1.1, half), (nose - 0.1, 0.95, half)],
        paint,
    )
    solid.on_both_sides(
        body, [(-0.6, 1.35, half), (-0.6, top - 0.45, half), (0.7, top - 0.45, half), (0.7, 1.35, half)], GLASS
    )
    solid.wheels(body, (-0.1,), 0.32, half)
    solid.lamps(body[0], body[4], back + 0.08, nose, half, 0.6, 0.85, 0.25)
    return solid


def _trailer(rng, paint: np.ndarray) -> Vehicle:
    """A box trailer or an open one, with its drawbar."""
    solid = Vehicle()
    length = rng.uniform(2.0, 3.4)
    half = rng.uniform(0.7, 0.95)
    top = rng.uniform(0.95, 1.8)
    solid.part(0)
    body = solid.box(-length / 2, length / 2, 0.5, top, half, paint)
    solid.wheels(body, (0.0,), 0.3, half + 0.1)
    solid.lamps(body[0], body[2], -length / 2, length / 2, half, 0.55, 0.68, 0.3)
    solid.part(0)
    solid.box(length / 2, length / 2 + 1.1, 0.45, 0.55, 0.06, TRIM)
    return solid


def _tractor(rng, paint: np.ndarray) -> Vehicle:
    """A tractor: small wheels in front, large ones under the cab."""
    solid = Vehicle()
    solid.part(0)
    bonnet = solid.box(-0.3, 1.9, 0.75, 1.45, 0.42, paint)
    solid.face(rectangle(1.91, 0.8, 1.4, -0.3, 0.3), TRIM, bonnet[2])
    solid.wheels(bonnet, (1.4,), 0.45, 0.7)
    solid.part(1)
    cab = solid.box(-1.4, 0.0, 1.1, 2.75, 0.75, paint)
    solid.on_both_sides(cab, [(-1.25, 1.5, 0.76), (-1.25, 2.5, 0.76), (-0.1, 2.5, 0.76), (-0.1, 1.5, 0.76)], GLASS)
    for a, k in ((-1.41, 0), (0.01, 2)):
        solid.face(rectangle(a, 1.5, 2.5, -0.65, 0.65), GLASS, cab[k])
    solid.wheels(cab, (-1.0,), 0.8, 0.95)
    for s in (1, -1):
        solid.face(rectangle(-1.5, 0.0, 1.6, s * 0.5, s * 0.95), TYRE, cab[0])
        solid.face(rectangle(0.02, 0.0, 1.5, s * 0.5, s * 0.95), TYRE, cab[2])
    return solid


def _bus(rng, paint: np.ndarray) -> Vehicle:
    """A city bus."""
    solid = Vehicle()
    length = rng.uniform(9, 12)
    half = 1.27
    top = rng.uniform(2.9, 3.2)
    back = -length / 2
    nose = length / 2
    solid.part(0)
    body = solid.box(back, nose, 0.35, top, half, paint)
    solid.on_both_sides(
        body,
        [
            (back + 0.4, 1.3, half),
            (back + 0.4, top - 0.35, half),
            (nose - 0.3, top - 0.35, half),
            (nose - 0.3, 1.3, half),
        ],
        GLASS,
    )
    solid.face(rectangle(nose + 0.01, 1.1, top - 0.4, -half * 0.92, half * 0.92), GLASS, body[2])
    solid.face(rectangle(back - 0.01, 1.7, top - 0.4, -half * 0.8, half * 0.8), GLASS, body[0])
    solid.face(rectangle(nose + 0.01, top - 0.32, top - 0.08, -0.8, 0.8), (240, 180, 60), body[2], 0.2)
    solid.wheels(body, (back + 2.6, nose - 2.4), 0.48, half + 0.01)
    solid.lamps(body[0], body[2], back, nose, half, 0.75, 1.0, 0.3)
    return solid
