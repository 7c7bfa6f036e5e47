"""The ground: each pixel below the horizon is carried back to the road and looks up its colour.

What it looks like is a product: the colour of its place in the cross-section, times a rough
texture, times the light that falls on it; paint covers the rest. All of it happens in float32,
one colour at a time."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera
from .canvas import Canvas, to_fixed_point
from .road import Road
from .textures import noise

__all__ = []

_GRASS = np.array([[96, 112, 50], [74, 92, 40], [128, 118, 62], [150, 128, 84], [110, 96, 70]], np.float64)
_GOLD_LACKS = (np.float32(0), np.float32(0.28), np.float32(0.82))  # what golden paint lacks of white, by channel


@dataclass
class GroundPositions:
    """Where on the road the pixels below the horizon lie."""

    top: int  # first row
    z: np.ndarray  # (h,) float32 depth of each row in metres
    s: np.ndarray  # (h, W) float32 metres to the right of the ego lane's middle


@dataclass
class _Roughness:
    """A rough ground, and the noise it is made of; (h, W) float32 each."""

    factor: np.ndarray  # around 1, with cracks and repairs
    coarse: np.ndarray
    fine: np.ndarray


def ground_positions(camera: Camera, road: Road) -> GroundPositions:
    """(s, Z) of each pixel below the horizon, by the inverse of the projection: a row is a
    depth."""
    top = max(0, int(math.floor(camera.horizon)) + 1)
    z = camera.depth(np.arange(top, camera.height) + 0.5).astype(np.float32)
    columns = np.arange(camera.width, dtype=np.float32) + 0.5 - camera.cx
    s = columns * (z[:, None] / camera.focal) - road.centre(z)[:, None].astype(np.float32)
    return GroundPositions(top, z, s)


def paint_ground(
    canvas: Canvas,
    road: Road,
    shadows: np.ndarray,  # (H, W) uint8, 255 = fully shaded
):
    """Paints road, verge, markings and shadows below the horizon."""
    weather = canvas.weather
    rng = canvas.rng
    f32 = np.float32
    ground = ground_positions(canvas.camera, road)
    top = ground.top
    z = ground.z
    s = ground.s
    along = np.broadcast_to(z[:, None], s.shape) + f32(rng.uniform(0, 100))
    table = np.clip(_cross_section(road, rng), 0, 255).astype(np.uint8)
    colours = cv2.remap(table, (s + 40) * 20, np.zeros_like(s), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    off_road = (s < f32(road.left)) | (s > f32(road.right))
    rough = _roughness(canvas, road, ground, along, off_road)
    on, paint = _worn_paint(canvas, road, top, rough)
    white = f32(rng.uniform(190, 240))
    shade = shadows[top:].astype(f32) / 255
    if weather.direct > 0.3 and rng.uniform() < (0.3 if road.place == "highway" else 0.6):
        shade = np.maximum(shade, _leaf_shade(ground, along, road, rng))
    lit = _daylight(canvas, shade, s, z)
    clear = np.exp(-weather.haze * np.minimum(z, 250))[:, None].astype(f32)
    lit = lit.astype(f32) * clear
    factor = rough.factor
    factor *= lit
    factor.ravel()[on] *= 1 - paint
    paint *= lit.ravel()[on]
    paint *= white
    golden = paint * (s.ravel()[on] < f32(road.borders[0] + 1)) if road.yellow_left else None
    planes = []
    air = weather.air.astype(f32)
    for channel, plane in enumerate(cv2.split(colours)):  # by channel: broadcasting over an axis of 3 is slow
        plane = plane * factor
        plane.ravel()[on] += paint if golden is None else paint - golden * _GOLD_LACKS[channel]
        plane += air[channel] * (1 - clear)
        planes.append(cv2.convertScaleAbs(plane))
    canvas.image[top:] = cv2.merge(planes)
    canvas.owner[top:] = cv2.compare(off_road.view(np.uint8), 0, cv2.CMP_EQ)  # 255 = Canvas.ROAD


def wet_road(canvas: Canvas):
    """Mirrors what stands above the horizon on a wet road, smeared downwards (drawn last)."""
    camera = canvas.camera
    top = int(camera.horizon) + 2
    n = min(top, camera.height - top)
    mirror = cv2.flip(canvas.image[top - n : top], 0)
    mirror = cv2.copyMakeBorder(mirror, 0, camera.height - top - n, 0, 0, cv2.BORDER_REPLICATE)
    wet = cv2.addWeighted(canvas.image[top:], 0.8, cv2.blur(mirror, (5, 21)), 0.3, 0)
    cv2.copyTo(wet, cv2.compare(canvas.owner[top:], Canvas.ROAD, cv2.CMP_EQ), canvas.image[top:])


def _cross_section(road: Road, rng) -> np.ndarray:
    """Colours over s from -40 m to 40 m in steps of 5 cm, (1, 1600, 3) float32."""
    s = np.arange(1600) / 20 - 40
    lightest = 178 if road.place == "highway" else 155
    asphalt = rng.uniform(92, lightest) * np.array([1, 0.99, 0.97]) + rng.normal(0, 3, 3)
    table = np.broadcast_to(_GRASS[int(rng.integers(5))] * rng.uniform(0.7, 1.2), (1600, 3)).copy()
    beyond = (s < road.left - rng.uniform(4, 12)) | (s > road.right + rng.uniform(4, 12))
    table[beyond] = _GRASS[int(rng.integers(5))] * rng.uniform(0.7, 1.1)
    on_road = (s > road.left) & (s < road.right)
    between = (s > road.borders[0]) & (s < road.borders[-1])
    table[on_road] = asphalt
    if rng.uniform() < 0.5:
        table[on_road & ~between] = asphalt * rng.uniform(0.72, 1.1)
    if road.place in ("street", "avenue"):
        _pavements(table, s, road, rng)
    else:
        gravel = (np.abs(s - road.left + 0.4) < 0.4) | (np.abs(s - road.right - 0.4) < 0.4)
        table[gravel] *= rng.uniform(0.7, 1.3)
    for a, b in zip(road.borders, road.borders[1:]):  # tyres polish two tracks, oil drips between them
        middle = (a + b) / 2
        for track in (middle - 0.8, middle + 0.8):
            table[np.abs(s - track) < 0.35] *= rng.uniform(0.9, 1.05)
        table[np.abs(s - middle) < 0.3] *= rng.uniform(0.78, 1.0)
    for _ in range(int(rng.integers(0, 3))):
        table[np.abs(s - rng.uniform(road.left, road.right)) < 0.04] *= 0.72  # seams
    if road.tram is not None:
        table[np.abs(s - road.tram) < 1.3] = np.array([118, 112, 104.0]) * rng.uniform(0.7, 1.1)
        for rail in (road.tram - 0.72, road.tram + 0.72):
            table[np.abs(s - rail) < 0.06] = (62, 60, 62)
    return cv2.GaussianBlur(table[None].astype(np.float32), (7, 1), 1.6)


def _pavements(table: np.ndarray, s: np.ndarray, road: Road, rng):
    """Pavements and kerbs of a town, into a cross-section."""
    pavement = rng.uniform(105, 165) * np.array([1, 0.97, 0.92])
    kerb = rng.uniform(120, 185)
    start = road.left - rng.uniform(1.5, 4)
    stop = road.right + rng.uniform(1.5, 4)
    table[(s > start) & (s < road.left)] = pavement
    table[(s > road.right) & (s < stop)] = pavement
    for edge in (road.left - 0.08, road.right + 0.08):
        table[np.abs(s - edge) < 0.1] = kerb


def _stripe(
    camera: Camera,
    road: Road,
    s: float,  # metres
    z: np.ndarray,  # (..., n) depths in metres
    width: float,  # metres
) -> np.ndarray:  # (..., 2 n, 2) pixels
    """Outlines of painted lines: up the left side, down the right."""
    z = np.concatenate([z, z[..., ::-1]], -1)
    side = np.repeat([-width / 2, width / 2], z.shape[-1] // 2)
    world = np.zeros(z.shape + (3,))
    world[..., 0] = road.centre(z) + s + side
    world[..., 2] = z
    return camera.project(world)


def _dashes(road: Road, near: float) -> np.ndarray:
    """Depths of the dashes of a line, (n, 4) metres."""
    starts = np.arange(-road.phase, 130, road.dash[1])[:, None]
    visible = np.maximum(starts, near)
    depths = visible + (starts + road.dash[0] - visible) * np.linspace(0, 1, 4)
    return depths[depths[:, -1] > near]


def _markings(camera: Camera, road: Road, rng) -> np.ndarray:
    """Paint on the road as coverage 0..255, (H, W) uint8."""
    paint = np.zeros((camera.height, camera.width), np.uint8)
    near = max(1.2, float(camera.depth(camera.height + 20)))
    far = min(180.0, float(camera.depth(camera.horizon + 1.5)))
    solid = near * (far / near) ** np.linspace(0, 1, 28)
    dashes = _dashes(road, near)
    for s, style in zip(road.borders, road.styles):
        width = rng.uniform(0.11, 0.17) * (1.3 if road.place == "highway" else 1)
        if style == "solid":
            outlines = [_stripe(camera, road, s, solid, width)]
        elif style == "double":
            outlines = [_stripe(camera, road, s + d, solid, 0.11) for d in (-0.13, 0.13)]
        elif style == "dashed":
            outlines = list(_stripe(camera, road, s, dashes, width))
        else:
            continue
        cv2.fillPoly(paint, [to_fixed_point(outline) for outline in outlines], 255, cv2.LINE_AA, 4)
    return paint


def _blemishes(camera: Camera, road: Road, rng) -> np.ndarray:
    """Cracks, joints, repairs, manholes: darkness 0..255, (H, W) uint8."""
    dark = np.zeros((camera.height, camera.width), np.uint8)
    near = max(1.3, float(camera.depth(camera.height + 10)))

    def outline(points):  # (N, 2) of (s, z) in metres
        s, z = points.T
        return to_fixed_point(camera.project(np.stack([s + road.centre(z), 0 * s, np.maximum(z, near)], -1)))

    for _ in range(int(rng.integers(0, 5))):  # tar lines and cracks wander along or across
        z = near + rng.uniform(0, 1) ** 2 * 35
        s = rng.uniform(road.left, road.right)
        steps = rng.normal(0, 0.35, (9, 2))
        steps = np.cumsum(steps + ((0, 0.8) if rng.uniform() < 0.6 else (rng.choice([-0.5, 0.5]), 0.1)), 0)
        value = int(rng.uniform(50, 150))
        cv2.polylines(dark, [outline(np.array([s, z]) + steps)], False, value, 1, cv2.LINE_AA, 4)
    for _ in range(int(rng.integers(0, 3))):  # repairs
        z = near + rng.uniform(0, 25)
        s = rng.uniform(road.left, road.right - 0.5)
        length = rng.uniform(1, 8)
        width = rng.uniform(0.5, 3)
        value = int(rng.uniform(20, 90))
        corners = np.array([[s, z], [s + width, z], [s + width, z + length], [s, z + length]])
        cv2.fillPoly(dark, [outline(corners)], value, cv2.LINE_AA, 4)
    if rng.uniform() < 0.4:  # concrete slabs
        for z in np.arange(rng.uniform(2, 7), 60, rng.uniform(4.5, 6)):
            joint = outline(np.array([[road.left, z], [road.right, z]]))
            cv2.polylines(dark, [joint], False, 60, 1, cv2.LINE_AA, 4)
    return dark


def _noise_on_road(
    seed: int,
    power: float,
    s: np.ndarray,  # (h, W) metres
    along: np.ndarray,  # (h, W) metres
    across: float,  # texels per metre
    ahead: float,  # texels per metre
) -> np.ndarray:  # (h, W) float32
    """Noise that lies on the road, looked up at half the picture's resolution and enlarged."""
    x = s[::2, ::2] * np.float32(across)
    y = along[::2, ::2] * np.float32(ahead)
    half = cv2.remap(noise(seed, power=power), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return cv2.resize(half, s.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _leaf_shade(ground: GroundPositions, along: np.ndarray, road: Road, rng) -> np.ndarray:
    """Shade of leaves on the road, 0..1: noise above a level that falls towards one side."""
    leaves = _noise_on_road(31, 1.15, ground.s, along, 16, 7)
    side = ground.s / max(road.right - road.left, 1) * rng.uniform(-1.6, 1.6)
    return np.clip((leaves + side + rng.uniform(-1.2, 0.9)) * rng.uniform(0.9, 2), 0, 1)


def _roughness(
    canvas: Canvas,
    road: Road,
    ground: GroundPositions,
    along: np.ndarray,  # (h, W) metres, from a random start
    off_road: np.ndarray,  # (h, W) bool
) -> _Roughness:
    """Roughness of the ground with cracks and repairs; grass is rougher than asphalt."""
    s = ground.s
    coarse = _noise_on_road(1, 1.0, s, along, 9, 6)
    fine = cv2.remap(noise(2, power=0.4), s * 40, along * 40, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
    fine *= np.minimum(1, 12 / ground.z)[:, None]
    factor = coarse + fine
    strength = np.float32(canvas.rng.uniform(0.025, 0.06))
    factor *= np.where(off_road, strength + np.float32(0.1), strength)
    factor += 1
    dark = _blemishes(canvas.camera, road, canvas.rng)[canvas.camera.height - len(s) :]
    if cv2.countNonZero(dark):
        factor -= dark * np.float32(1 / 400)
    return _Roughness(factor, coarse, fine)


def _worn_paint(canvas: Canvas, road: Road, top: int, rough: _Roughness) -> tuple[np.ndarray, np.ndarray]:
    """Where there is paint, as indices into the ground's pixels, and how much of it, 0..1."""
    paint = _markings(canvas.camera, road, canvas.rng)[top:].ravel()
    on = np.flatnonzero(paint != 0)  # little of the ground is painted: its paint is worked out there alone
    paint = paint[on].astype(np.float32) / 255
    wear = 0.5 + 0.55 * rough.coarse.ravel()[on] + 0.2 * rough.fine.ravel()[on]
    paint *= np.clip(1 - road.wear * wear, 0.1, 1)
    return on, paint


def _daylight(canvas: Canvas, shade: np.ndarray, s: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Light that reaches the ground, (h, W): sky, sun where it is not shaded, headlights."""
    weather = canvas.weather
    sun = weather.direct * max(0.0, float(weather.sun[1]))
    lit = (weather.ambient + sun * (1 - shade)) * (1 - np.float32(canvas.rng.uniform(0.05, 0.3)) * shade)
    if weather.night > 0.3:  # headlights
        beam = np.exp(-np.square(s / (2.5 + 0.12 * z[:, None])))
        reach = np.clip(1.2 - z / 38, 0, 1)[:, None]
        lit += np.float32(weather.night * 0.8) * beam * reach
    return lit
