"""Cars, vans, lorries and trams: side views, extruded across their width.

All lengths are metres along the vehicle: `back` its rear end, `nose` its front end."""

import numpy as np

from .vehicle_parts import GLASS, PAINTS, TRIM, Vehicle, car_paint, rectangle

__all__ = []

_TRAM_PAINTS = np.array([[225, 205, 60], [200, 40, 40], [230, 228, 222], [40, 100, 170], [60, 140, 90]], float)


def make_car(rng: np.random.Generator) -> Vehicle:
    """A passenger car: hatchback, saloon or estate by the length of its tail."""
    solid = Vehicle()
    paint = car_paint(rng)
    length = rng.uniform(3.7, 4.8)
    half = rng.uniform(0.83, 0.93)
    roof = rng.uniform(1.38, 1.62)
    back = -length / 2
    nose = length / 2
    belt = rng.uniform(0.86, 0.96)
    tail = {0: 0.08, 1: 0.75, 2: 0.12}[int(rng.integers(3))]  # boot behind the rear window
    hood = length * rng.uniform(0.22, 0.27)
    _car_body(solid, paint, rng, length, half, belt, hood)
    _car_cabin(solid, paint, rng, back, nose, half, belt, roof, tail, hood)
    return solid


def make_van(rng: np.random.Generator) -> Vehicle:
    """A delivery van or minibus: short sloping nose, tall body."""
    solid = Vehicle()
    paint = PAINTS[int(rng.choice([0, 0, 0, 1, 2, 5, 7, 9, 14, 11]))] + rng.normal(0, 6, 3)
    length = rng.uniform(4.5, 6.0)
    half = rng.uniform(0.93, 1.03)
    roof = rng.uniform(1.9, 2.6)
    back = -length / 2
    nose = length / 2
    belt = rng.uniform(1.05, 1.2)
    solid.part(0)
    body = solid.extrude(
        [
            (back, 0.3),
            (back + 0.04, roof - 0.1),
            (back + 0.2, roof),
            (nose - 1.5, roof),
            (nose - 0.75, belt + 0.1),
            (nose - 0.08, belt - 0.2),
            (nose, 0.3),
        ],
        [half, half * 0.93, half * 0.9, half * 0.9, half * 0.96, half * 0.96, half],
        [paint] * 3 + [paint, paint, paint, TRIM, paint],
    )
    windows = rng.uniform() < 0.5
    screen = [
        (nose - 0.85, belt + 0.16, -half * 0.85),
        (nose - 0.85, belt + 0.16, half * 0.85),
        (nose - 1.42, roof - 0.12, half * 0.8),
        (nose - 1.42, roof - 0.12, -half * 0.8),
    ]
    solid.face(screen, GLASS, body[3])

    def strip(a0, a1):
        solid.on_both_sides(
            body,
            [
                (a0, belt, half * 0.97),
                (a0, roof - 0.22, half * 0.93),
                (a1 - 0.1, roof - 0.22, half * 0.93),
                (a1, belt, half * 0.97),
            ],
            GLASS,
        )

    strip(nose - 2.1, nose - 1.1)
    if windows:
        strip(back + 0.2, back + length * 0.32)
        strip(back + length * 0.35, nose - 2.2)
    if windows or rng.uniform() < 0.6:
        for s in (1, -1):
            solid.face(rectangle(back - 0.01, belt, roof - 0.25, s * 0.06, s * half * 0.8), GLASS, body[0])
    solid.face(rectangle(back - 0.01, 0.35, roof - 0.12, -0.02, 0.02), paint * 0.5, body[0])
    solid.face(rectangle(nose + 0.01, 0.4, 0.62, -half * 0.8, half * 0.8), TRIM, body[5])
    solid.lamps(body[0], body[5], back, nose, half, 0.7, 1.1, 0.2)
    solid.face(rectangle(back - 0.02, 0.3, 0.52, -half, half), TRIM * 1.4, body[0])
    solid.face(rectangle(nose + 0.02, 0.3, 0.46, -half, half), TRIM * 1.4, body[5])
    solid.wheels(body, (back + length * 0.2, nose - length * 0.17), 0.34, half + 0.01, arch=True)
    return solid


def make_truck(rng: np.random.Generator) -> Vehicle:
    """A lorry: cab in front, cargo box, flatbed or tank behind."""
    solid = Vehicle()
    cab = car_paint(rng)
    cargo = PAINTS[int(rng.choice([0, 0, 1, 2, 7, 9, 11, 12, 14, 15]))] + rng.normal(0, 8, 3)
    length = rng.uniform(6.5, 12)
    half = rng.uniform(1.15, 1.27)
    top = rng.uniform(2.9, 3.9)
    back = -length / 2
    nose = length / 2
    tall = rng.uniform(2.5, 3.1)
    solid.part(-1)
    frame = solid.box(back, nose - 0.3, 0.45, 1.0, half - 0.1, TRIM)
    solid.face(rectangle(back - 0.01, 0.48, 0.62, -half * 0.9, half * 0.9), (150, 40, 36), frame[0])
    solid.wheels(frame, (back + 1.2, back + 2.4, nose - 1.3) if length > 8 else (back + 1.5, nose - 1.3), 0.5, half)
    solid.part(0)
    flat = rng.uniform() < 0.2
    load = solid.box(back, nose - 2.1, 1.0, 1.7 if flat else top, half, [cargo * 0.93, cargo, cargo, cargo, cargo])
    if not flat:
        solid.face(rectangle(back - 0.01, 1.05, top - 0.08, -0.03, 0.03), cargo * 0.5, load[0])
        for u in (1.06, top - 0.12):
            solid.face(rectangle(back - 0.01, u, u + 0.06, -half, half), cargo * 0.6, load[0])
        if rng.uniform() < 0.5:
            u = rng.uniform(1.4, top - 0.9)
            stripe = [
                (back + 0.6, u, half + 0.01),
                (back + 0.6, u + 0.5, half + 0.01),
                (nose - 2.8, u + 0.5, half + 0.01),
                (nose - 2.8, u, half + 0.01),
            ]
            solid.on_both_sides(load, stripe, PAINTS[int(rng.integers(len(PAINTS)))])
    solid.lamps(load[0], load[2], back, nose - 2.1, half, 1.02, 1.14, 0.35)
    _truck_cab(solid, cab, nose, half, tall)
    return solid


def make_tram(rng: np.random.Generator) -> Vehicle:
    """A tram: long, tall, a band of windows, a pantograph, a slanted front at both ends."""
    solid = Vehicle()
    paint = _TRAM_PAINTS[int(rng.integers(5))] + rng.normal(0, 8, 3)
    band = np.array([235, 233, 226.0]) if paint.mean() < 200 else np.array([170, 36, 36.0])
    length = rng.uniform(14, 26)
    half = rng.uniform(1.15, 1.3)
    top = rng.uniform(3.2, 3.5)
    back = -length / 2
    nose = length / 2
    solid.part(0)
    profile = [
        (back, 0.3),
        (back, 1.3),
        (back + 0.5, top - 0.2),
        (back + 0.9, top),
        (nose - 0.9, top),
        (nose - 0.5, top - 0.2),
        (nose, 1.3),
        (nose, 0.3),
    ]
    nose_half = half * 0.8
    body = solid.extrude(
        profile,
        [nose_half, nose_half * 1.02, nose_half, nose_half, nose_half, nose_half, nose_half * 1.02, nose_half],
        [paint, paint, band, band, band, paint, paint, TRIM, paint],
    )
    _tram_end(solid, body[1], back, 1, top, nose_half)
    _tram_end(solid, body[5], nose, -1, top, nose_half)
    for a in np.arange(back + 1.0, nose - 1.5, 1.55):
        solid.on_both_sides(
            body,
            [
                (a, 1.35, half * 0.825),
                (a, 2.6, half * 0.815),
                (a + 1.3, 2.6, half * 0.815),
                (a + 1.3, 1.35, half * 0.825),
            ],
            GLASS * rng.uniform(0.8, 1.4),
        )
    solid.on_both_sides(
        body,
        [
            (back + 0.2, 0.95, half * 0.83),
            (back + 0.2, 1.15, half * 0.83),
            (nose - 0.2, 1.15, half * 0.83),
            (nose - 0.2, 0.95, half * 0.83),
        ],
        band,
    )
    solid.lamps(body[0], body[6], back, nose, half * 0.8, 0.75, 1.05, 0.3)
    solid.part(1)
    solid.box(-1.2, 1.2, top, top + 0.25, half * 0.5, (120, 122, 126))
    solid.part(2)
    solid.box(-0.1, 0.05, top + 0.25, top + 1.1, 0.6, (60, 60, 64))
    return solid


def _tram_end(solid: Vehicle, face: int, end: float, inward: int, top: float, half: float):
    """Windscreen and destination board at one end; inward: 1 at the back, -1 at the nose."""
    high = end + inward * 0.42
    upper = end + inward * 0.48
    screen = [(end, 1.4, -half * 0.87), (end, 1.4, half * 0.87)]
    screen += [(high, top - 0.45, half * 0.85), (high, top - 0.45, -half * 0.85)]
    solid.face(screen, GLASS, face)
    board = [(high, top - 0.42, -half / 2), (high, top - 0.42, half / 2)]
    board += [(upper, top - 0.2, half / 2), (upper, top - 0.2, -half / 2)]
    solid.face(board, (235, 170, 50), face, 0.15)


def _car_body(solid: Vehicle, paint: np.ndarray, rng, length: float, half: float, belt: float, hood: float):
    """Everything below the windows: doors, lamps, bumpers, wheels."""
    back = -length / 2
    nose = length / 2
    solid.part(0)
    body = solid.extrude(
        [
            (back + 0.06, 0.22),
            (back, 0.5),
            (back + 0.05, belt),
            (nose - hood, belt),
            (nose - 0.1, belt - 0.18),
            (nose, 0.5),
            (nose - 0.05, 0.22),
        ],
        [half - 0.05, half, half - 0.02, half - 0.02, half - 0.05, half - 0.03, half - 0.05],
        [paint * 0.8, paint, paint, paint, paint, paint * 0.8, TRIM, paint],
    )
    solid.on_both_sides(
        body,
        [(back + 0.1, 0.22, half), (back + 0.1, 0.36, half), (nose - 0.1, 0.36, half), (nose - 0.1, 0.22, half)],
        paint * 0.5,
    )
    for a in (nose - hood - 0.25, nose - hood - 1.25):
        solid.on_both_sides(
            body,
            [(a, 0.38, half + 0.005), (a, belt, half), (a + 0.025, belt, half), (a + 0.025, 0.38, half + 0.005)],
            paint * 0.55,
        )
    deep = rng.uniform(0.12, 0.42)
    wide = rng.uniform(0.16, 0.36)
    solid.lamps(body[1], body[4], back, nose - 0.06, half, belt - 0.04 - deep, belt - 0.04, wide)
    bumper = paint * rng.uniform(0.75, 1) if rng.uniform() < 0.6 else TRIM
    solid.face(rectangle(back - 0.01, 0.3, 0.52, -half * 0.97, half * 0.97), bumper * 0.9, body[1])
    solid.face(rectangle(back - 0.02, 0.5, 0.53, -half * 0.97, half * 0.97), bumper * 0.5, body[1])
    solid.face(rectangle(nose + 0.01, 0.32, 0.46, -half * 0.75, half * 0.75), TRIM, body[5])
    solid.face(rectangle(nose - 0.03, belt - 0.34, belt - 0.22, -half * 0.5, half * 0.5), TRIM * 1.3, body[4])
    solid.wheels(body, (back + length * 0.19, nose - length * 0.18), 0.32, half + 0.01, arch=True)


def _car_cabin(
    solid: Vehicle,
    paint: np.ndarray,
    rng,
    back: float,
    nose: float,
    half: float,
    belt: float,
    roof: float,
    tail: float,
    hood: float,
):
    """Roof, pillars and windows; the sides lean inwards."""
    solid.part(1)
    roof_back = back + tail + 0.25 + rng.uniform(0, 0.35)
    roof_front = nose - hood - rng.uniform(0.65, 0.85)
    low_half = half - 0.04
    high_half = half * rng.uniform(0.76, 0.82)
    cabin = solid.extrude(
        [(back + tail, belt), (roof_back, roof), (roof_front, roof), (nose - hood + 0.08, belt)],
        [low_half, high_half, high_half, low_half],
        [paint, paint, paint, paint, paint],
    )

    def inset(p, q, wp, wq, k):
        return [(p[0] + k * (q[0] - p[0]), p[1] + k * (q[1] - p[1]), s * (wp + k * (wq - wp)) * 0.9) for s in (1, -1)]

    for face, (p, q) in (
        (0, ((back + tail, belt), (roof_back, roof))),
        (2, ((nose - hood + 0.08, belt), (roof_front, roof))),
    ):
        low = inset(p, q, low_half, high_half, 0.12)
        high = inset(p, q, low_half, high_half, 0.88)
        solid.face([low[0], low[1], high[1], high[0]], GLASS, cabin[face])
        mid = inset(p, q, low_half, high_half, 0.55)
        solid.face([mid[0], mid[1], high[1], high[0]], GLASS * 1.5, cabin[face])

    def at(k, h):
        return (
            (back + tail + k * (nose - hood + 0.08 - back - tail)) * (1 - h)
            + h * (roof_back + k * (roof_front - roof_back)),
            belt + h * (roof - belt),
            low_half + h * (high_half - low_half) + 0.005,
        )

    for k0, k1 in ((0.07, 0.32), (0.35, 0.62), (0.65, 0.93)):
        solid.on_both_sides(cabin, [at(k0, 0.1), at(k0, 0.86), at(k1, 0.86), at(k1, 0.1)], GLASS)


def _truck_cab(solid: Vehicle, paint: np.ndarray, nose: float, half: float, tall: float):
    """The driver's cab, up to the nose at `along` = nose."""
    solid.part(0)
    cab = solid.extrude(
        [(nose - 1.9, 0.5), (nose - 1.9, tall), (nose - 0.25, tall), (nose, 1.5), (nose, 0.45)],
        [half - 0.03] * 5,
        [paint, paint, paint, paint * 0.9, TRIM, paint],
    )
    solid.face(
        [
            (nose - 0.03, 1.62, -half + 0.15),
            (nose - 0.03, 1.62, half - 0.15),
            (nose - 0.22, tall - 0.25, half - 0.15),
            (nose - 0.22, tall - 0.25, -half + 0.15),
        ],
        GLASS,
        cab[2],
    )
    solid.on_both_sides(
        cab,
        [
            (nose - 1.2, 1.6, half - 0.02),
            (nose - 1.2, tall - 0.3, half - 0.02),
            (nose - 0.35, tall - 0.3, half - 0.02),
            (nose - 0.15, 1.6, half - 0.02),
        ],
        GLASS,
    )
    solid.lamps(cab[0], cab[3], nose - 1.9, nose, half - 0.03, 0.8, 1.05, 0.3)
    solid.face(rectangle(nose + 0.01, 0.95, 1.4, -half * 0.6, half * 0.6), TRIM, cab[3])
    solid.wheels(cab, (nose - 1.1,), 0.5, half)
