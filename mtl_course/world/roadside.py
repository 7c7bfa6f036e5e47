"""Trees, hedges, houses, walls, lamps and boards.

Nobody's label, and yet what a detector must learn not to report."""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from .canvas import Canvas
from .chance import weighted_choice
from .road import Road
from .signs import draw_sign
from .solid import Solid
from .textures import noise
from .vehicle_parts import rectangle

__all__ = []

_TOWN = ("street", "avenue")
_TOWN_BORDERS = dict(none=0.45, hedge=0.2, wall=0.15, fence=0.2)
_COUNTRY_BORDERS = dict(none=0.3, rail=0.45, wall=0.12, fence=0.13)
_LEFT_OF_HIGHWAY = dict(wall=0.5, rail=0.4, none=0.1)
_RIGHT_OF_HIGHWAY = dict(rail=0.5, wall=0.15, none=0.35)
_WALLS = np.array(
    [[214, 204, 186], [190, 178, 160], [172, 120, 96], [200, 200, 196], [222, 206, 160], [150, 140, 132]], np.float64
)
_BOARDS = (np.array([24, 84, 170]), np.array([20, 110, 70]))
_GREYS = np.arange(256)[:, None] / 128  # factor of a grey value


@dataclass
class RoadsideItem:
    """Something beside the road."""

    z: float  # metres ahead
    kind: str  # "tree", "bush", "building", "wall", "rail", "fence", "pole", "clutter" or "gantry"
    s: float  # metres to the right of the ego lane's middle
    details: dict = field(default_factory=dict)  # further arguments of its drawing


def make_roadside(road: Road, rng: np.random.Generator) -> list[RoadsideItem]:
    """What stands on both sides of a road."""
    items = _one_side(road, -1, rng) + _one_side(road, 1, rng)
    if road.place == "highway" and rng.uniform() < 0.35:
        items.append(RoadsideItem(rng.uniform(25, 90), "gantry", 0.0))
    return items


def draw_roadside(canvas: Canvas, road: Road, item: RoadsideItem, rng: np.random.Generator):
    """Draw one thing beside the road."""
    z = item.z
    x = float(item.s + road.centre(z))
    if item.kind == "building":
        _draw_building(canvas, x, z, road, rng, **item.details)
    elif item.kind in ("wall", "rail", "fence"):
        _draw_segment(canvas, road, item)
    elif item.kind == "pole":
        _draw_lamp_post(canvas, x, z, item.details)
    elif item.kind == "clutter":
        _draw_clutter(canvas, x, z, rng)
    elif item.kind == "gantry":
        _draw_gantry(canvas, road, z, rng)
    else:
        _draw_tree(canvas, x, z, rng, item.kind == "bush")


def draw_sign_post(
    canvas: Canvas,
    x: float,  # metres to the right
    z: float,  # metres ahead
    class_id: int,  # GTSRB ClassId
    rng: np.random.Generator,
    owner: int,  # of the sign's pixels
) -> np.ndarray | None:  # (4,) x1 y1 x2 y2; None where the sign is not inside the picture
    """Draw a traffic sign on its post."""
    camera = canvas.camera
    weather = canvas.weather
    size = rng.uniform(0.6, 0.9)
    up = rng.uniform(1.9, 2.7)
    _draw_pole(canvas, x, z + 0.05, up, 0.07, (128, 130, 132))
    centre = camera.project(np.array([x, up, z]))
    n = int(round(size * camera.focal / z))
    if n < 4:
        return None
    x0 = int(round(centre[0] - n / 2))
    y0 = int(round(centre[1] - n / 2))
    x1 = max(x0, 0)
    y1 = max(y0, 0)
    x2 = min(x0 + n, camera.width)
    y2 = min(y0 + n, camera.height)
    if x1 >= x2 or y1 >= y2:
        return None
    sign = draw_sign(class_id, max(n, 24), rng)
    if len(sign) != n:
        sign = cv2.resize(sign, (n, n), interpolation=cv2.INTER_AREA)
    sign = sign[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]
    light = weather.ambient + weather.direct * max(0.1, -weather.sun[2] * 0.8)
    if weather.night:
        light = max(light, 0.75)  # retro-reflective in the headlights
    t = math.exp(-weather.haze * z)
    colour = np.clip(sign[..., :3].astype(np.float32) * (light * t) + weather.air * (1 - t), 0, 255)
    alpha = sign[..., 3:].astype(np.float32) / 255
    patch = canvas.image[y1:y2, x1:x2]
    patch[:] = (patch * (1 - alpha) + colour * alpha).astype(np.uint8)
    canvas.owner[y1:y2, x1:x2][alpha[..., 0] > 0.5] = owner
    inside = (x2 - x1) * (y2 - y1) / n**2
    return np.array([x0, y0, x0 + n, y0 + n], np.float32) if inside > 0.99 else None


def _one_side(road: Road, side: int, rng) -> list[RoadsideItem]:
    """What stands on one side of the road (-1 left, 1 right)."""
    town = road.place in _TOWN
    items = _buildings(road, side, rng) if town else []
    items += _trees(road, side, town, rng)
    items += _border(road, side, town, rng)
    if rng.uniform() < 0.7:
        offset = rng.uniform(0.5, 1.5)
        step = rng.uniform(22, 45)
        post = dict(tall=rng.uniform(5, 10), arm=rng.uniform() < 0.6)
        items += _row("pole", road, side, offset, step, rng, details=post)
    for _ in range(int(rng.integers(0, 3))):
        z = rng.uniform(6, 60)
        items.append(RoadsideItem(z, "clutter", _edge(road, side) + side * rng.uniform(0.4, 3)))
    return items


def _edge(road: Road, side: int) -> float:
    """s of the road's edge on a side."""
    return road.right if side > 0 else road.left


def _row(
    kind: str,
    road: Road,
    side: int,  # -1 left, 1 right
    offset: float,  # metres from the road's edge
    step: float,  # metres
    rng,
    start: float = 3.0,  # metres
    end: float = 120.0,  # metres
    details: dict | None = None,
) -> list[RoadsideItem]:
    """Things of one kind along the road at regular distances."""
    s = _edge(road, side) + side * offset
    details = dict(details or {}, side=side, step=step)
    return [RoadsideItem(float(z), kind, s, details) for z in np.arange(start + rng.uniform(0, step), end, step)]


def _buildings(road: Road, side: int, rng) -> list[RoadsideItem]:
    """Houses, wall to wall or with gaps."""
    items = []
    z = rng.uniform(2, 16)
    front = rng.uniform(3.2, 9)
    while z < 110 and rng.uniform() < 0.95:
        wide = rng.uniform(8, 20)
        s = _edge(road, side) + side * (front + rng.uniform(0, 1.5))
        items.append(RoadsideItem(z + wide / 2, "building", s, dict(side=side, wide=wide)))
        z += wide + (rng.uniform(0, 2) if rng.uniform() < 0.6 else rng.uniform(4, 14))
    return items


def _trees(road: Road, side: int, town: bool, rng) -> list[RoadsideItem]:
    """An avenue or the edge of a wood, and single trees and bushes."""
    items = []
    if rng.uniform() < (0.45 if town else 0.6):
        gap = rng.uniform(7, 12) if town else rng.uniform(3, 6)
        offset = rng.uniform(1.2, 2.5) if town else rng.uniform(5, 10)
        for tree in _row("tree", road, side, offset, gap, rng, start=5):
            tree.z += rng.uniform(-0.3, 0.3) * gap
            tree.s += side * (0 if town else rng.uniform(0, 6))
            items.append(tree)
    count = int(rng.integers(3, 12) if town else rng.integers(6, 22))
    for z in rng.uniform(6, 120, count):
        kind = "bush" if rng.uniform() < 0.45 else "tree"
        offset = rng.uniform(2.5, 5) if town else rng.uniform(4, 30)
        items.append(RoadsideItem(float(z), kind, _edge(road, side) + side * offset))
    return items


def _border(road: Road, side: int, town: bool, rng) -> list[RoadsideItem]:
    """A hedge, wall, guard rail or fence along the road, or none."""
    border = weighted_choice(rng, _TOWN_BORDERS if town else _COUNTRY_BORDERS)
    if road.place == "highway":
        border = weighted_choice(rng, _LEFT_OF_HIGHWAY if side < 0 else _RIGHT_OF_HIGHWAY)
    if border == "hedge":
        return _row("bush", road, side, rng.uniform(2.2, 3.2), 1.8, rng, end=60)
    if border == "none":
        return []
    wall = rng.uniform(0.7, 1.1) if road.place == "highway" else rng.uniform(0.5, 1.8)
    tall = dict(wall=wall, rail=0.75, fence=rng.uniform(0.8, 1.5))[border]
    offset = rng.uniform(2.5, 3.2) if town else rng.uniform(0.3, 0.9)
    details = dict(tall=tall, grey=rng.uniform(0.5, 1.2))
    return _row(border, road, side, offset, 4.0, rng, start=1.5, end=110, details=details)


def _draw_tree(canvas: Canvas, x: float, z: float, rng, bush: bool):
    """A trunk and a crown of dark and light blobs."""
    camera = canvas.camera
    scale = camera.focal / z
    tall = rng.uniform(0.8, 2.2) if bush else rng.uniform(5, 11)
    wide = rng.uniform(1.0, 2.5) if bush else rng.uniform(3, 6)
    bx, by = camera.pixel(x, 0, z)
    if abs(bx - camera.width / 2) > camera.width / 2 + wide * scale:
        return
    green = np.array([rng.uniform(40, 90), rng.uniform(62, 105), rng.uniform(25, 50)])
    if not bush:
        w = rng.uniform(0.12, 0.3) * scale
        crotch = by - tall * 0.5 * scale
        trunk = np.array([[bx - w, by], [bx + w, by], [bx + w * 0.7, crotch], [bx - w * 0.7, crotch]])
        canvas.fill(trunk, canvas.weather.tone((74, 60, 48), 0.2, z), Canvas.NOBODY)
    w = int(min(wide * scale, 900))
    h = int(min(tall * (1 if bush else 0.75) * scale, 900))
    if w < 3 or h < 3:
        return
    x0 = int(bx - w / 2)
    y0 = int(by - (tall * (0.5 if bush else 0.62)) * scale - h / 2)
    x1 = max(x0, 0)
    y1 = max(y0, 0)
    x2 = min(x0 + w, camera.width)
    y2 = min(y0 + h, camera.height)
    if x1 >= x2 or y1 >= y2:
        return
    levels = _crowns()[int(rng.integers(12)) + 12 * (canvas.weather.sun[0] < 0)]
    crown = next((c for c in levels if len(c) <= 1.6 * max(w, h)), levels[-1])
    rows = _texels(y1 - y0, y2 - y0, h, len(crown))
    columns = _texels(x1 - x0, x2 - x0, w, len(crown))
    crown = cv2.resize(crown[rows, columns], (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    tones = canvas.weather.shade(green * _GREYS, 0.55, z).astype(np.uint8)[:, None]  # brightness -> colour
    patch = cv2.applyColorMap(cv2.extractChannel(crown, 1), tones)
    mask = cv2.compare(cv2.extractChannel(crown, 0), 127, cv2.CMP_GT)
    cv2.copyTo(patch, mask, canvas.image[y1:y2, x1:x2])
    cv2.copyTo(np.zeros_like(mask), mask, canvas.owner[y1:y2, x1:x2])


def _texels(first: int, last: int, pixels: int, texels: int) -> slice:
    """The part of a texture that pixels first..last of `pixels` show, at least one texel."""
    start = first * texels // pixels
    return slice(start, max(last * texels // pixels, start + 1))


@lru_cache(None)
def _crowns() -> list[list[np.ndarray]]:
    """Crowns lit from the right (12) and from the left (12), each in six sizes."""
    y, x = np.mgrid[-1:1:160j, -1:1:160j].astype(np.float32)
    crowns = []
    for i in range(12):
        coarse = np.roll(noise(11, power=1.0), i * 41, 0)[:160, :160]
        fine = np.roll(noise(12, power=0.55), i * 37, 1)[:160, :160]
        cover = (np.hypot(x, y) + 0.16 * coarse + 0.05 * fine < 0.8) * 255
        light = np.clip(112 - 40 * y + 30 * x + 30 * fine + 18 * coarse, 16, 255)
        crowns.append(np.dstack([cover, light]).astype(np.uint8))
    crowns += [np.ascontiguousarray(crown[:, ::-1]) for crown in crowns]
    return [_shrunk(crown) for crown in crowns]


def _shrunk(crown: np.ndarray) -> list[np.ndarray]:
    """A crown in six sizes."""
    return [cv2.resize(crown, (n, n), interpolation=cv2.INTER_AREA) for n in (160, 80, 40, 20, 10, 5)]


def _panels(along: np.ndarray, up: np.ndarray, w: float, h: float, plane: float) -> np.ndarray:
    """Rectangles (n, 4, 3) of w × h metres in a plane, their lower corners at (along, up), each
    (n,)."""
    points = np.full((len(along), 4, 3), plane)
    points[:, :2, 0] = along[:, None]
    points[:, 2:, 0] = (along + w)[:, None]
    points[:, ::3, 1] = up[:, None]
    points[:, 1:3, 1] = (up + h)[:, None]
    return points


def _roof(solid: Solid, wall, rng, tall: float, deep: float, wide: float):
    """A saddle roof with its two gables."""
    solid.part(1)
    colour = np.array([128, 70, 54.0]) * rng.uniform(0.6, 1.2)
    ridge = tall + rng.uniform(0.3, 4.5)
    eaves = deep / 2 + 0.4
    end = wide / 2 + 0.2
    for sign in (1, -1):
        low = [(-end, tall - 0.1, sign * eaves), (end, tall - 0.1, sign * eaves)]
        solid.face(low + [(end, ridge, 0), (-end, ridge, 0)], colour)
    for along in (-end, end):
        solid.face([(along, tall, -eaves), (along, tall, eaves), (along, ridge, 0)], wall)


def _draw_building(canvas: Canvas, x: float, z: float, road: Road, rng, side: int, wide: float):
    """A house whose facade faces the road; windows in rows."""
    tall = rng.uniform(5, 15)
    deep = rng.uniform(8, 12)
    wall = _WALLS[int(rng.integers(6))] + rng.normal(0, 8, 3)
    solid = Solid()
    solid.part()
    faces = solid.box(-wide / 2, wide / 2, 0, tall, deep / 2, wall)
    facade = faces["left" if side > 0 else "right"]

    def panels(along, up, w, h, colour, glow=0.0):
        solid.decals(_panels(along, up, w, h, -side * deep / 2), colour, facade, glow)

    ground = np.zeros(1)
    panels(np.array([-wide / 2]), ground, wide, rng.uniform(0.4, 1.0), wall * rng.uniform(0.6, 0.9))
    w = rng.uniform(0.8, 1.3)
    h = rng.uniform(1.2, 1.7)
    columns = np.arange(-wide / 2 + 0.8, wide / 2 - w - 0.3, rng.uniform(w + 0.7, w + 1.6))
    storeys = np.arange(1.0, tall - h - 0.3, rng.uniform(2.6, 3.2))
    along = np.tile(columns, len(storeys))
    up = np.repeat(storeys, len(columns))
    if z < 35:  # frames
        panels(along - 0.1, up - 0.1, w + 0.2, h + 0.2, np.clip(wall * rng.uniform(0.7, 1.35), 0, 245))
    panels(along, up, w, h, np.array([60, 68, 76.0]) * rng.uniform(0.6, 1.6))
    lit = (rng.uniform(size=len(along)) < 0.3) & (canvas.weather.night > 0.3)
    panels(along[lit], up[lit], w, h, (240, 205, 130), 0.05)
    door = rng.uniform(-wide / 2 + 0.5, wide / 2 - 1.5)
    panels(np.array([door]), ground, 1.1, 2.2, rng.uniform(40, 130, 3))
    _roof(solid, wall, rng, tall, deep, wide)
    solid.draw(canvas, x + side * deep / 2, z, road.slope(z), Canvas.BUILDING)


def _draw_pole(canvas: Canvas, x: float, z: float, tall: float, width: float, colour):
    """A thin post."""
    middle, low = canvas.camera.pixel(x, 0, z)
    _, high = canvas.camera.pixel(x, tall, z)
    w = max(width * canvas.camera.focal / z / 2, 0.4)
    left = middle - w
    right = middle + w
    corners = np.array([[left, low], [right, low], [right, high], [left, high]])
    canvas.fill(corners, canvas.weather.tone(colour, 0.3, z), Canvas.NOBODY)


def _draw_segment(canvas: Canvas, road: Road, item: RoadsideItem):
    """A piece of wall, guard rail or fence."""
    z = item.z
    tall = item.details["tall"]
    grey = item.details["grey"]
    step = item.details["step"]  # its length in metres
    ends = (max(z - step / 2, 1.2), z + step / 2 + 0.05)
    near, far = (road.centre(end) + item.s for end in ends)
    if abs(far) * canvas.camera.focal > 0.7 * canvas.camera.width * ends[1]:
        return  # beside the picture

    def grade(colour):
        return [c * grey for c in colour]

    def bands(*rows):  # (low, high, colour) each
        world = []
        for low, high, _ in rows:
            start = [[near, low, ends[0]], [near, high, ends[0]]]
            world.append(start + [[far, high, ends[1]], [far, low, ends[1]]])
        colours = [canvas.weather.tone(grade(colour), 0.35, z) for *_, colour in rows]
        canvas.quads(np.array(world), colours, Canvas.NOBODY)

    if item.kind == "wall":
        bands((0, tall, (178, 168, 150)), (tall * 0.9, tall, (200, 192, 176)), (0, 0.12, (110, 104, 96)))
    elif item.kind == "rail":
        bands((tall - 0.32, tall, (176, 180, 184)), (tall - 0.2, tall - 0.12, (120, 124, 128)))
        _draw_pole(canvas, far, ends[1], tall, 0.12, grade((110, 112, 114)))
    else:
        for depth in np.arange(*ends, _fence_gap(z)).tolist():
            _draw_pole(canvas, road.centre(depth) + item.s, depth, tall, 0.07, grade((150, 140, 128)))
        bands(*((tall * h, tall * h + 0.07, (140, 132, 120)) for h in (0.3, 0.85)))


def _fence_gap(z: float) -> float:
    """Metres between the posts of a fence; far away nobody sees all of them."""
    if z < 20:
        return 0.5
    return 1.3 if z < 45 else 4.0


def _draw_lamp_post(canvas: Canvas, x: float, z: float, details: dict):
    """A street lamp, or a plain post."""
    grey = (112, 114, 116)
    tall = details["tall"]
    _draw_pole(canvas, x, z, tall, 0.14, grey)
    if not details["arm"]:
        return
    arm = np.array([[x, tall, z], [x - details["side"] * 1.8, tall + 0.25, z]])
    ends = canvas.camera.project(arm)
    w = max(0.05 * canvas.camera.focal / z, 0.4)
    outline = np.concatenate([ends - [0, w], ends[::-1] + [0, w]])
    canvas.fill(outline, canvas.weather.tone(grey, 0.3, z), Canvas.NOBODY)
    if canvas.weather.night > 0.2:
        glow = 0.25 * canvas.camera.focal / z
        canvas.lamps.append((*ends[1], glow, np.array([255, 214, 150.0]), Canvas.NOBODY))


def _draw_clutter(canvas: Canvas, x: float, z: float, rng):
    """Bins, cabinets, boards, bollards: boxes that are nobody's label."""
    solid = Solid()
    colour = rng.uniform(30, 220, 3) * 0.6 + rng.uniform(20, 80)
    solid.part()
    pick = rng.uniform()
    if pick < 0.4:
        back = -rng.uniform(0.2, 0.4)
        solid.box(back, rng.uniform(0.2, 0.5), 0, rng.uniform(0.8, 1.4), rng.uniform(0.2, 0.4), colour)
    elif pick < 0.6:
        tall = rng.uniform(0.7, 1.1)
        solid.box(-0.08, 0.08, 0, tall, 0.08, (200, 200, 200) if rng.uniform() < 0.5 else (190, 60, 40))
    else:
        _board(solid, colour, rng)
    solid.draw(canvas, x, z, rng.normal(0, 0.2), Canvas.NOBODY)


def _board(solid: Solid, colour, rng):
    """A board with two lines of writing on two posts."""
    low = rng.uniform(0.8, 2.5)
    half = rng.uniform(0.6, 2)
    faces = solid.box(-0.1, 0.1, low, low + rng.uniform(0.6, 2), half, colour)
    for up in (low + 0.2, low + 0.4):
        line = rectangle(-0.11, up, up + 0.1, -half * 0.8, half * rng.uniform(0, 0.8))
        solid.face(line, (235, 235, 230), faces[0])
    for across in (-half * 0.8, half * 0.8):
        solid.part(-1)
        solid.box(-0.05, 0.05, 0, low, 0.05, (110, 110, 112))
        solid.points[-6:] = [points + [0, 0, across] for points in solid.points[-6:]]


def _draw_gantry(canvas: Canvas, road: Road, z: float, rng):
    """A sign bridge with direction boards over the carriageway."""
    middle = road.centre(z)
    for s in (road.left - 0.5, road.right + 0.5):
        _draw_pole(canvas, middle + s, z, 7.2, 0.35, (130, 132, 134))

    def board(left, right, low, high, colour):
        corners = np.array([[left, low, z], [left, high, z], [right, high, z], [right, low, z]])
        corners[:, 0] += middle
        canvas.fill(canvas.camera.project(corners), canvas.weather.tone(colour, 0.3, z), Canvas.NOBODY)

    board(road.left - 0.5, road.right + 0.5, 6.6, 7.2, (120, 122, 124))
    colour = _BOARDS[int(rng.integers(2))]
    s = road.left + rng.uniform(0, 3)
    while s + 3.5 < road.right:
        w = rng.uniform(2.8, 4.5)
        board(s, s + w, 5.5, 8.0, colour)
        board(s + 0.15, s + w - 0.15, 5.65, 7.85, colour * 1.08)
        for up in (6.1, 6.7, 7.3):
            board(s + 0.4, s + w * rng.uniform(0.5, 0.9), up, up + 0.28, (235, 238, 238))
        s += w + rng.uniform(0.3, 4)
