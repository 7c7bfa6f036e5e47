"""Pictures with perfect labels cost nothing when they are computed: this notebook paints the roads that detection and lanes are learnt on."""

from __future__ import annotations
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
import cv2
import numpy as np
from ..config import DETECTION_CLASSES
from ..core.errors import UserError
from .signs import draw_sign

__all__ = [
    "SCENE_SIZES",
    "PLACES",
    "WEATHERS",
    "PAINTS",
    "CLASS_WEIGHTS",
    "Camera",
    "scene_camera",
    "Road",
    "make_road",
    "Weather",
    "make_weather",
    "Canvas",
    "Solid",
    "make_car",
    "make_van",
    "make_truck",
    "make_tram",
    "make_misc",
    "make_pedestrian",
    "make_cyclist",
    "SceneObject",
    "Scene",
    "lane_rows",
    "lane_labels",
    "draw_scene",
]


@dataclass(frozen=True)
class Camera:
    "A pinhole camera above a flat road; see Hartley and Zisserman, Multiple View Geometry, chapter 6."

    width: int  # pixels
    height: int  # pixels
    focal: float  # focal length in pixels
    cx: float  # column of the optical axis
    horizon: float  # row of the horizon
    above: float = 1.65  # metres between the road and the camera

    def project(self, points: np.ndarray) -> np.ndarray:
        "World points (..., 3) in metres to pixels (..., 2); depths under 0.5 m are drawn as if at 0.5 m."
        pixels, per_metre = np.empty(points.shape[:-1] + (2,)), self.focal / np.maximum(points[..., 2], 0.5)
        pixels[..., 0] = self.cx + per_metre * points[..., 0]  # x = c_x + f X / Z
        pixels[..., 1] = self.horizon + per_metre * (self.above - points[..., 1])  # y = y_h + f (h - Y) / Z
        return pixels

    def pixel(self, x: float, y: float, z: float) -> tuple[float, float]:
        "The same for one point, in plain numbers: arrays of one element cost ten times as much."
        per_metre = self.focal / max(z, 0.5)
        return self.cx + per_metre * x, self.horizon + per_metre * (self.above - y)

    def depth(self, row):
        "Depth in metres of the road seen at a row (scalar or array) below the horizon: Z = f h / (y - y_h)."
        return self.focal * self.above / np.maximum(np.asarray(row, np.float64) - self.horizon, 1e-6)


SCENE_SIZES = {
    "kitti": (621, 188),
    "tusimple": (640, 360),
    "joint": (640, 360),
}  # (width, height): half the published sizes


def scene_camera(
    kind: str,  # "kitti", "tusimple" or "joint"
    size: tuple[int, int] | None,  # (width, height) in pixels, None: SCENE_SIZES[kind]
    rng: np.random.Generator,  # mounting differs from scene to scene
) -> Camera:
    "The camera of a data set at a picture size; raises UserError for an unknown kind or a size under 64 × 32."
    if kind not in SCENE_SIZES:
        raise UserError(f"scene kind must be one of {', '.join(SCENE_SIZES)}, got {kind!r}.")
    w, h = size or SCENE_SIZES[kind]
    if w < 64 or h < 32:
        raise UserError(f"a scene must be at least 64 x 32 pixels, got {w} x {h}: choose a larger scene size.")
    if kind == "kitti":  # tilt changes a little with load and road
        return Camera(w, h, 721 / 1242 * w, 0.49 * w, h * (0.46 + rng.normal(0, 0.012)), rng.uniform(1.6, 1.7))
    return Camera(
        w,
        h,
        rng.uniform(0.7, 0.88) * w,
        w * rng.uniform(0.47, 0.53),
        h * rng.uniform(0.29, 0.4),
        rng.uniform(1.45, 1.85),
    )


@dataclass
class Road:
    "A road's cross-section and bend; lateral positions s in metres, 0 = middle of the ego lane."

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
        "X of the ego lane's middle at depth z."
        return self.x0 + self.heading * z + 0.5 * self.curvature * (z * z)

    def slope(self, z: float) -> float:
        "Direction of the road at depth z as an angle from straight ahead."
        return math.atan(self.heading + self.curvature * z)


PLACES = {
    "kitti": dict(street=0.4, avenue=0.3, country=0.14, highway=0.16),
    "tusimple": dict(highway=0.7, country=0.12, avenue=0.18),
    "joint": dict(street=0.1, avenue=0.5, country=0.15, highway=0.25),
}


def _choice(rng, weights: dict):
    "A key drawn with probability proportional to its weight."
    names, sums = list(weights), list(accumulate(map(float, weights.values())))
    return names[min(bisect_left(sums, rng.uniform(0, sums[-1])), len(names) - 1)]


def _lanes(kind: str, place: str, rng: np.random.Generator) -> tuple[list[float], list[str], int]:
    "Lane lines of a place: their s, their styles, and how many lanes come against us."
    width = rng.uniform(
        *{"street": (2.7, 3.2), "avenue": (3.0, 3.5), "country": (3.0, 3.5), "highway": (3.5, 3.9)}[place]
    )
    ours = {"street": 1, "avenue": int(rng.integers(1, 4)), "country": 1, "highway": int(rng.integers(2, 6))}[place]
    theirs = {"street": int(rng.uniform() < 0.8), "avenue": int(rng.integers(1, 3)), "country": 1, "highway": 0}[place]
    if kind == "tusimple" and place == "highway":
        ours = max(ours, 3)
    ego = ours // 2 if rng.uniform() < 0.4 else int(rng.integers(0, ours))
    first = -(theirs + ego + 0.5) * width
    borders = [first + i * width for i in range(ours + theirs + 1)]
    painted = kind != "kitti" or place != "street" or rng.uniform() < 0.35
    styles = ["dashed" if painted else "none"] * len(borders)
    edge = "solid" if place in ("highway", "country") or rng.uniform() < 0.45 or kind == "tusimple" else "edge"
    styles[0] = styles[-1] = edge if painted else "none"
    if theirs and painted and place != "street":
        styles[theirs] = _choice(rng, dict(dashed=0.35, solid=0.3, double=0.35))
    return borders, styles, theirs


def make_road(
    kind: str,  # "kitti", "tusimple" or "joint"
    rng: np.random.Generator,
    tram: float = 0.04,  # share of trams among the objects to come
) -> Road:
    "A random road that belongs to a data set; the more trams are wanted, the more likely is a track."
    place = _choice(rng, PLACES[kind])
    if tram > 0.5 and place in ("highway", "country"):
        place = "avenue"
    borders, styles, theirs = _lanes(kind, place, rng)
    ours = len(borders) - 1 - theirs
    shoulder = {"street": 0.0, "avenue": 0.4, "country": 0.5, "highway": 2.6}[place]
    parking = place == "street" or (place == "avenue" and rng.uniform() < 0.4)
    side = 2.1 if parking else shoulder * rng.uniform(0.6, 1.2)
    bend = {"street": 1 / 250, "avenue": 1 / 350, "country": 1 / 220, "highway": 1 / 900}[place]
    road = Road(
        place,
        borders,
        styles,
        [-1] * theirs + [1] * ours,
        borders[0] - side * (1 if theirs or place == "highway" else 0.3),
        borders[-1] + side,
        rng.normal(0, 0.25)
        if rng.uniform() < 0.88
        else rng.choice([-1, 1]) * rng.uniform(0.7, 1.7),  # the latter: changing lanes
        rng.normal(0, 0.012),
        rng.uniform(-1, 1) ** 3 * bend,
        rng.uniform(0, 1) ** 2 * 0.65,
        parking,
        dash=[(6.0, 18.0), (3.0, 9.0), (3.0, 12.0), (6.0, 12.0), (4.0, 8.0)][int(rng.integers(5))],
        phase=rng.uniform(0, 18),
        yellow_left=place == "highway" and rng.uniform() < 0.5,
    )
    if place in ("avenue", "street") and rng.uniform() < 0.2 + 9 * tram * (place == "avenue"):
        road.tram = (
            road.left - 2.2
            if place == "avenue" and rng.uniform() < 0.6
            else (borders[max(theirs, 1) - 1] + borders[max(theirs, 1)]) / 2
        )
    return road


@dataclass
class Weather:
    "Light, air and sensor of one scene; colours are RGB 0..255."

    name: str
    sun: np.ndarray  # unit vector towards the sun
    ambient: float
    direct: float  # strength of the sun, 0 = overcast
    air: np.ndarray  # colour that distance fades to
    haze: float  # beta, 1/m
    sky: tuple  # colours at the zenith and at the horizon
    exposure: float = 1.0
    tint: tuple = (1.0, 1.0, 1.0)
    night: float = 0.0  # 0 day .. 1 night: lamps and headlights
    wet: float = 0.0

    def shade(self, colour: np.ndarray, light, z: float) -> np.ndarray:
        "Colours (..., 3) of surfaces that receive `light` (n·l, a number or (..., 1)) and lie z metres away."
        t = math.exp(-self.haze * min(z, 250))
        lit = (
            self.ambient + self.direct * light + 0.7 * self.night * max(0.0, 1 - z / 45)
        )  # the last term: our headlights
        return np.minimum(np.asarray(colour) * (lit * t) + self.air * (1 - t), 255)

    def tone(self, colour, light: float, z: float) -> list[float]:
        "`shade` for one colour, in plain numbers."
        t = math.exp(-self.haze * min(z, 250))
        lit = (self.ambient + self.direct * light + 0.7 * self.night * max(0.0, 1 - z / 45)) * t
        return [min(c * lit + air * (1 - t), 255.0) for c, air in zip(colour, self.air.tolist())]


WEATHERS = dict(clear=0.34, cloudy=0.26, low_sun=0.12, fog=0.07, rain=0.09, dusk=0.07, night=0.05)


def make_weather(rng: np.random.Generator, name: str | None = None) -> Weather:
    "Random weather, or a random instance of the named one; raises UserError for an unknown name."
    if name is None:
        name = _choice(rng, WEATHERS)
    if name not in WEATHERS:
        raise UserError(f"weather must be one of {', '.join(WEATHERS)}, got {name!r}.")
    height = {"low_sun": rng.uniform(0.12, 0.3), "dusk": 0.1}.get(name, rng.uniform(0.5, 1.1))
    angle = rng.uniform(0, 2 * math.pi)
    sun = np.array([math.cos(angle) * math.cos(height), math.sin(height), math.sin(angle) * math.cos(height)])
    base = dict(
        ambient=0.62, direct=0.06, air=np.array([186, 194, 202.0]), haze=0.0022, sky=((150, 165, 182), (214, 220, 224))
    )
    base.update(
        {
            "clear": dict(
                ambient=0.42,
                direct=0.62,
                haze=0.0013,
                air=np.array([196, 208, 222.0]),
                sky=((70, 125, 205), (205, 222, 238)),
            ),
            "cloudy": {},
            "fog": dict(
                haze=rng.uniform(0.012, 0.035), sky=((196, 200, 204), (204, 208, 210)), air=np.array([202, 206, 208.0])
            ),
            "low_sun": dict(
                ambient=0.36,
                direct=0.72,
                haze=0.004,
                air=np.array([232, 208, 170.0]),
                tint=(1.06, 1.0, 0.9),
                sky=((120, 150, 200), (248, 222, 176)),
            ),
            "rain": dict(
                ambient=0.52,
                direct=0.02,
                haze=0.008,
                wet=1.0,
                sky=((128, 136, 146), (176, 182, 188)),
                air=np.array([166, 172, 178.0]),
            ),
            "dusk": dict(
                ambient=0.5,
                direct=0.1,
                haze=0.003,
                air=np.array([150, 130, 130.0]),
                tint=(1.05, 0.97, 1.02),
                night=0.4,
                sky=((64, 84, 132), (214, 150, 120)),
            ),
            "night": dict(
                ambient=rng.uniform(0.3, 0.45),
                direct=0.0,
                haze=0.003,
                air=np.array([24, 26, 34.0]),
                tint=(1.02, 0.98, 0.95),
                night=1.0,
                sky=((10, 13, 24), (34, 36, 48)),
            ),
        }[name]
    )
    return Weather(name, sun, exposure=float(np.exp(rng.normal(0.06, 0.16))), **base)


@lru_cache(None)
def _noise(seed: int, size: int = 512, power: float = 1.0) -> np.ndarray:
    "Periodic noise (size, size) float32, zero mean, unit deviation, with spectrum 1 / frequency ** power."
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    radius = np.maximum(np.hypot(fx, fy), 1 / size)
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((size, size))) / radius**power
    texture = np.fft.irfft2(spectrum, s=(size, size))
    return ((texture - texture.mean()) / texture.std()).astype(np.float32)


@lru_cache(None)
def _grain() -> np.ndarray:
    "Sensor noise around 128, (1024, 1024, 3) uint8, deviation 24."
    noise = np.random.default_rng(5).standard_normal((1024, 1024, 3))
    return np.clip(128 + 24 * noise, 0, 255).astype(np.uint8)


@lru_cache(None)
def _texture(kind: str) -> np.ndarray:
    "Factors around 128, (256, 256, 3) uint8, that make a flat surface rough: 'plaster', 'leaves' or 'metal'."
    y = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
    soft, fine, streak = _noise(21, 256, 1.2), _noise(22, 256, 0.5), cv2.blur(_noise(23, 256, 0.6), (1, 31))
    factor = {
        "plaster": 1 + 0.05 * soft + 0.02 * fine + 0.03 * streak,
        "leaves": 0.9 + 0.16 * soft + 0.18 * fine,
        "metal": 1.02
        - 0.16 * y
        + 0.1 * np.exp(-(((y + 0.25) / 0.12) ** 2))
        + 0.05 * cv2.blur(soft, (61, 5))
        + 0.015 * fine,
    }[kind]
    return cv2.merge([np.clip(factor * 128, 0, 255).astype(np.uint8)] * 3)


def _fixed(pixels: np.ndarray) -> np.ndarray:
    "Pixel coordinates as OpenCV's fixed point numbers, in sixteenths; far outside is cut off."
    return np.rint(np.minimum(np.maximum(pixels, -9000.0), 9000.0) * 16).astype(np.int32)


def _texture_patch(kind: str, w: int, h: int, rng: np.random.Generator, stretch: bool) -> np.ndarray:
    "A texture of w × h pixels: the whole of it stretched, or a random cut-out."
    texture = _texture(kind)
    if stretch:
        return cv2.resize(texture, (w, h), interpolation=cv2.INTER_LINEAR)
    if w > 255 or h > 255:
        texture = np.tile(texture, (h // 256 + 2, w // 256 + 2, 1))
    y, x = rng.integers(0, texture.shape[0] - h + 1), rng.integers(0, texture.shape[1] - w + 1)
    return np.ascontiguousarray(texture[y : y + h, x : x + w])


class _Layers:
    "Two pictures of one size, colours and owners, on which polygons are painted together."

    def __init__(self, camera: Camera, weather: Weather, rng: np.random.Generator):
        self.camera, self.weather, self.rng = camera, weather, rng
        self.image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.owner = np.zeros((camera.height, camera.width), np.uint8)
        self.drawn: dict[int, int] = {}  # pixels of each owner when it was drawn
        self.lamps: list[tuple] = []  # (x, y, radius, colour, owner) of lights that glow

    def fill(self, polygon: np.ndarray, colour, owner: int | None = None):
        "One polygon (N, 2) in pixels."
        self._paint([_fixed(polygon)], colour, owner)

    def _paint(self, outlines: list[np.ndarray], colour, owner: int | None):
        "Polygons in fixed point numbers; where they overlap an even number of times nothing is painted."
        cv2.fillPoly(self.image, outlines, colour, cv2.LINE_AA, 4)
        if owner is not None:
            cv2.fillPoly(self.owner, outlines, owner, cv2.LINE_8, 4)

    def quads(self, world: np.ndarray, colours: list, owner: int | None = None):
        "Polygons (n, N, 3) in metres, one after the other, each in its colour."
        for outline, colour in zip(_fixed(self.camera.project(world)), colours):
            self._paint([outline], colour, owner)


class Canvas(_Layers):
    "A picture under construction: colours, owners of pixels, light."

    def around(self, box) -> np.ndarray:
        "The owners in a box (x1 y1 x2 y2) and three pixels around it, as a view; polygons are rounded outwards by less."
        x1, y1, x2, y2 = (max(int(v), 0) for v in (box[0] - 3, box[1] - 3, box[2] + 4, box[3] + 4))
        return self.owner[y1:y2, x1:x2]

    def count(self, owner: int, box=None):
        "Remember how many pixels an owner has just after it was drawn (in a box around it)."
        owners = self.owner if box is None else self.around(box)
        self.drawn[owner] = cv2.countNonZero(cv2.compare(owners, owner, cv2.CMP_EQ)) if owners.size else 0

    def roughen(self, box, kind: str, mask: np.ndarray | None = None, stretch: bool = False):
        "Multiply the pixels of a box (x1 y1 x2 y2), or those where mask(x1, y1, x2, y2) holds, by a texture."
        x1, y1, x2, y2 = box
        x1, y1, x2, y2 = (
            int(max(x1, 0)),
            int(max(y1, 0)),
            int(min(x2 + 1, self.camera.width)),
            int(min(y2 + 1, self.camera.height)),
        )
        if x2 - x1 < 6 or y2 - y1 < 6:
            return
        texture = _texture_patch(kind, x2 - x1, y2 - y1, self.rng, stretch)
        patch = self.image[y1:y2, x1:x2]
        rough = cv2.multiply(patch, texture, scale=1 / 128)
        cv2.copyTo(rough, mask(x1, y1, x2, y2), patch)


_GRASS = np.array([[96, 112, 50], [74, 92, 40], [128, 118, 62], [150, 128, 84], [110, 96, 70]], np.float64)


def _cross_section(road: Road, rng) -> np.ndarray:
    "Colours over s from -40 m to 40 m in steps of 5 cm, (1, 1600, 3) float32."
    s = np.arange(1600) / 20 - 40
    asphalt = rng.uniform(92, 178 if road.place == "highway" else 155) * np.array([1, 0.99, 0.97]) + rng.normal(0, 3, 3)
    table = np.broadcast_to(_GRASS[int(rng.integers(5))] * rng.uniform(0.7, 1.2), (1600, 3)).copy()
    beyond = (s < road.left - rng.uniform(4, 12)) | (s > road.right + rng.uniform(4, 12))
    table[beyond] = _GRASS[int(rng.integers(5))] * rng.uniform(0.7, 1.1)
    on_road, between = (s > road.left) & (s < road.right), (s > road.borders[0]) & (s < road.borders[-1])
    table[on_road] = asphalt
    if rng.uniform() < 0.5:
        table[on_road & ~between] = asphalt * rng.uniform(0.72, 1.1)
    if road.place in ("street", "avenue"):
        pave, kerb = rng.uniform(105, 165) * np.array([1, 0.97, 0.92]), rng.uniform(120, 185)
        for lo, hi in ((road.left - rng.uniform(1.5, 4), road.left), (road.right, road.right + rng.uniform(1.5, 4))):
            table[(s > lo) & (s < hi)] = pave
        for edge in (road.left - 0.08, road.right + 0.08):
            table[np.abs(s - edge) < 0.1] = kerb
    else:
        table[(np.abs(s - road.left + 0.4) < 0.4) | (np.abs(s - road.right - 0.4) < 0.4)] *= rng.uniform(
            0.7, 1.3
        )  # gravel
    for a, b in zip(road.borders, road.borders[1:]):  # tyres polish two tracks, oil drips between them
        m = (a + b) / 2
        for track in (m - 0.8, m + 0.8):
            table[np.abs(s - track) < 0.35] *= rng.uniform(0.9, 1.05)
        table[np.abs(s - m) < 0.3] *= rng.uniform(0.78, 1.0)
    for _ in range(int(rng.integers(0, 3))):
        table[np.abs(s - rng.uniform(road.left, road.right)) < 0.04] *= 0.72  # seams
    if road.tram is not None:
        table[np.abs(s - road.tram) < 1.3] = np.array([118, 112, 104.0]) * rng.uniform(0.7, 1.1)
        for rail in (road.tram - 0.72, road.tram + 0.72):
            table[np.abs(s - rail) < 0.06] = (62, 60, 62)
    return cv2.GaussianBlur(table[None].astype(np.float32), (7, 1), 1.6)


def _ground_maps(camera: Camera, road: Road):
    "First road row, depth per row, and (s, z) of each pixel below the horizon."
    top = max(0, int(math.floor(camera.horizon)) + 1)
    rows = np.arange(top, camera.height) + 0.5
    z = camera.depth(rows).astype(np.float32)
    s = (np.arange(camera.width, dtype=np.float32) + 0.5 - camera.cx) * (z[:, None] / camera.focal) - road.centre(z)[
        :, None
    ].astype(np.float32)
    return top, z, s


def _stripe(camera: Camera, road: Road, s: float, z: np.ndarray, width: float) -> np.ndarray:
    "Outlines in pixels (..., 2 n, 2) of painted lines of some width (m) along depths z (..., n)."
    z = np.concatenate([z, z[..., ::-1]], -1)  # up the left side, down the right
    side = np.repeat([-width / 2, width / 2], z.shape[-1] // 2)
    world = np.zeros(z.shape + (3,))
    world[..., 0], world[..., 2] = road.centre(z) + s + side, z
    return camera.project(world)


def _markings(camera: Camera, road: Road, rng, shape) -> np.ndarray:
    "Paint on the road as coverage 0..255, (H, W) uint8."
    paint = np.zeros(shape, np.uint8)
    near = max(1.2, float(camera.depth(camera.height + 20)))
    far = min(180.0, float(camera.depth(camera.horizon + 1.5)))
    solid = near * (far / near) ** np.linspace(0, 1, 28)
    starts = np.arange(-road.phase, 130, road.dash[1])[:, None]
    dashes = np.maximum(starts, near) + (starts + road.dash[0] - np.maximum(starts, near)) * np.linspace(0, 1, 4)
    dashes = dashes[dashes[:, -1] > near]  # (n, 4) depths
    for s, style in zip(road.borders, road.styles):
        wide = rng.uniform(0.11, 0.17) * (1.3 if road.place == "highway" else 1)
        if style == "solid":
            outlines = [_stripe(camera, road, s, solid, wide)]
        elif style == "double":
            outlines = [_stripe(camera, road, s + d, solid, 0.11) for d in (-0.13, 0.13)]
        elif style == "dashed":
            outlines = list(_stripe(camera, road, s, dashes, wide))
        else:
            continue
        cv2.fillPoly(paint, [_fixed(outline) for outline in outlines], 255, cv2.LINE_AA, 4)
    return paint


def _blemishes(camera: Camera, road: Road, rng, shape) -> np.ndarray:
    "Cracks, joints, repairs, manholes: darkness 0..255, (H, W) uint8."
    dark = np.zeros(shape, np.uint8)
    near, width = max(1.3, float(camera.depth(camera.height + 10))), road.right - road.left

    def add(points, value):  # points (N, 2) of (s, z)
        world = np.stack(
            [points[:, 0] + road.centre(points[:, 1]), 0 * points[:, 0], np.maximum(points[:, 1], near)], -1
        )
        return _fixed(camera.project(world)), value

    for _ in range(int(rng.integers(0, 5))):  # tar lines and cracks wander along or across
        z, s = near + rng.uniform(0, 1) ** 2 * 35, rng.uniform(road.left, road.right)
        steps = np.cumsum(
            rng.normal(0, 0.35, (9, 2)) + ((0, 0.8) if rng.uniform() < 0.6 else (rng.choice([-0.5, 0.5]), 0.1)), 0
        )
        line, value = add(np.array([s, z]) + steps, int(rng.uniform(50, 150)))
        cv2.polylines(dark, [line], False, value, 1, cv2.LINE_AA, 4)
    for _ in range(int(rng.integers(0, 3))):  # repairs
        z, s, l, w = (
            near + rng.uniform(0, 25),
            rng.uniform(road.left, road.right - 0.5),
            rng.uniform(1, 8),
            rng.uniform(0.5, 3),
        )
        outline, value = add(np.array([[s, z], [s + w, z], [s + w, z + l], [s, z + l]]), int(rng.uniform(20, 90)))
        cv2.fillPoly(dark, [outline], value, cv2.LINE_AA, 4)
    if rng.uniform() < 0.4:  # concrete slabs
        for z in np.arange(rng.uniform(2, 7), 60, rng.uniform(4.5, 6)):
            cv2.polylines(dark, [add(np.array([[road.left, z], [road.right, z]]), 0)[0]], False, 60, 1, cv2.LINE_AA, 4)
    return dark


def _sample(seed: int, power: float, s: np.ndarray, along: np.ndarray, across: float, ahead: float) -> np.ndarray:
    "Noise that lies on the road, looked up at half the picture's resolution and enlarged; scales in texels per metre."
    half = cv2.remap(
        _noise(seed, power=power),
        s[::2, ::2] * np.float32(across),
        along[::2, ::2] * np.float32(ahead),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return cv2.resize(half, s.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _dapple(z: np.ndarray, s: np.ndarray, along: np.ndarray, road: Road, rng) -> np.ndarray:
    "Shade of leaves on the road, 0..1: noise above a level that falls towards one side."
    leaves = _sample(31, 1.15, s, along, 16, 7)
    side = s / max(road.right - road.left, 1) * rng.uniform(-1.6, 1.6)
    return np.clip((leaves + side + rng.uniform(-1.2, 0.9)) * rng.uniform(0.9, 2), 0, 1)


def _road_texture(canvas: Canvas, road: Road, s: np.ndarray, along: np.ndarray, z: np.ndarray, off_road: np.ndarray):
    "Roughness of the ground as a factor around 1 with cracks and repairs, and the coarse and the fine noise it is made of; (h, W) float32 each."
    camera, rng, f32 = canvas.camera, canvas.rng, np.float32
    coarse = _sample(1, 1.0, s, along, 9, 6)
    fine = cv2.remap(_noise(2, power=0.4), s * 40, along * 40, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
    fine *= np.minimum(1, 12 / z)[:, None]
    texture = coarse + fine
    texture *= np.where(off_road, *(lambda v: (v + f32(0.1), v))(f32(rng.uniform(0.025, 0.06))))
    texture += 1
    dark = _blemishes(camera, road, rng, (camera.height, camera.width))[camera.height - len(s) :]
    if cv2.countNonZero(dark):
        texture -= dark * f32(1 / 400)
    return texture, coarse, fine


def _worn_paint(
    canvas: Canvas, road: Road, top: int, coarse: np.ndarray, fine: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    "Where there is paint, as indices into the ground's pixels, and how much of it, 0..1: worn where the noise is high."
    camera = canvas.camera
    paint = _markings(camera, road, canvas.rng, (camera.height, camera.width))[top:].ravel()
    on = np.flatnonzero(paint != 0)  # little of the ground is painted: its paint is worked out there alone
    paint = paint[on].astype(np.float32) / 255
    paint *= np.clip(1 - road.wear * (0.5 + 0.55 * coarse.ravel()[on] + 0.2 * fine.ravel()[on]), 0.1, 1)
    return on, paint


def _daylight(canvas: Canvas, road: Road, shade: np.ndarray, s: np.ndarray, z: np.ndarray) -> np.ndarray:
    "Light that reaches the ground, (h, W) float32: sky and sun, less where it is shaded, and the headlights at night."
    weather, rng, f32 = canvas.weather, canvas.rng, np.float32
    lit = (weather.ambient + weather.direct * max(0.0, float(weather.sun[1])) * (1 - shade)) * (
        1 - f32(rng.uniform(0.05, 0.3)) * shade
    )
    if weather.night > 0.3:
        lit += (
            f32(weather.night * 0.8)
            * np.exp(-np.square(s / (2.5 + 0.12 * z[:, None])))
            * np.clip(1.2 - z / 38, 0, 1)[:, None]
        )  # headlights
    return lit


def _paint_ground(canvas: Canvas, road: Road, shadows: np.ndarray):
    "Road, verge, paint and shadows below the horizon; shadows (H, W) uint8, 255 = fully shaded."
    camera, weather, rng, f32 = canvas.camera, canvas.weather, canvas.rng, np.float32
    top, z, s = _ground_maps(camera, road)
    along = np.broadcast_to(z[:, None], s.shape) + f32(rng.uniform(0, 100))
    table = np.clip(_cross_section(road, rng), 0, 255).astype(np.uint8)
    colours = cv2.remap(table, (s + 40) * 20, np.zeros_like(s), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    off_road = (s < f32(road.left)) | (s > f32(road.right))
    texture, coarse, fine = _road_texture(canvas, road, s, along, z, off_road)
    on, paint = _worn_paint(canvas, road, top, coarse, fine)
    white = f32(rng.uniform(190, 240))
    shade = shadows[top:].astype(f32) / 255
    if weather.direct > 0.3 and rng.uniform() < (0.3 if road.place == "highway" else 0.6):
        shade = np.maximum(shade, _dapple(z, s, along, road, rng))
    lit = _daylight(canvas, road, shade, s, z)
    t = np.exp(-weather.haze * np.minimum(z, 250))[:, None].astype(f32)
    lit = lit.astype(f32) * t
    texture *= lit
    texture.ravel()[on] *= 1 - paint
    paint *= lit.ravel()[on]
    paint *= white
    golden = paint * (s.ravel()[on] < f32(road.borders[0] + 1)) if road.yellow_left else None
    planes = []
    for plane, air, missing in zip(
        cv2.split(colours), weather.air.astype(f32), (f32(0), f32(0.28), f32(0.82))
    ):  # by channel: broadcasting over an axis of 3 is slow
        plane = plane * texture
        plane.ravel()[on] += paint if golden is None else paint - golden * missing
        plane += air * (1 - t)
        planes.append(cv2.convertScaleAbs(plane))
    canvas.image[top:] = cv2.merge(planes)
    canvas.owner[top:] = cv2.compare(off_road.view(np.uint8), 0, cv2.CMP_EQ)  # 255 = road surface


def _wet_road(canvas: Canvas, road: Road):
    "What stands above the horizon, mirrored and smeared downwards on a wet road (drawn last)."
    camera, top = canvas.camera, int(canvas.camera.horizon) + 2
    n = min(top, camera.height - top)
    mirror = cv2.copyMakeBorder(
        cv2.flip(canvas.image[top - n : top], 0), 0, camera.height - top - n, 0, 0, cv2.BORDER_REPLICATE
    )
    wet = cv2.addWeighted(canvas.image[top:], 0.8, cv2.blur(mirror, (5, 21)), 0.3, 0)
    cv2.copyTo(wet, cv2.compare(canvas.owner[top:], 255, cv2.CMP_EQ), canvas.image[top:])


def _paint_hills(canvas: Canvas):
    "Hills and lines of trees at the horizon, the farthest first."
    camera, weather, rng = canvas.camera, canvas.weather, canvas.rng
    for z, size, ragged in ((2500, 90.0, 1.6), (600, 20.0, 1.1), (160, 9.0, 0.9)):
        if rng.uniform() < 0.3:
            continue
        row = _noise(7, power=ragged)[int(rng.integers(512))]
        x = np.linspace(-20, camera.width + 20, 140)
        up = (
            size
            * rng.uniform(0.4, 1.3)
            * (1.1 + 0.55 * np.interp(np.linspace(0, 139, 140) * (1 if z < 1000 else 0.35), np.arange(512), row))
        )
        y = camera.horizon - np.maximum(up, size * 0.15) * camera.focal / z
        colour = weather.tone((np.array([62, 74, 48.0]) * rng.uniform(0.5, 1.3)).tolist(), 0.3, min(z * 0.6, 240))
        outline = np.concatenate(
            [np.stack([x, y], -1), [[camera.width + 20, camera.horizon + 3], [-20, camera.horizon + 3]]]
        )
        canvas.fill(outline, colour)
        if z < 1000 and weather.night < 0.5 and weather.haze < 0.005:
            silhouette = np.zeros(canvas.owner.shape, np.uint8)
            cv2.fillPoly(silhouette, [np.round(np.clip(outline, -9000, 9000)).astype(np.int32)], 255)
            canvas.roughen(
                (0, max(y.min(), 0), camera.width, camera.horizon + 2),
                "leaves",
                lambda x1, y1, x2, y2: silhouette[y1:y2, x1:x2],
            )


def _paint_sky(canvas: Canvas):
    "Sky with clouds, hills and a far line of trees."
    camera, weather, rng = canvas.camera, canvas.weather, canvas.rng
    bottom = min(camera.height, max(2, int(camera.horizon) + 2))
    high, low = (np.array(c, np.float32) for c in weather.sky)
    if weather.name in ("clear", "cloudy", "low_sun") and rng.uniform() < 0.45:
        high, low = high * 0.4 + 150, low * 0.3 + 178  # overexposed
    t = np.linspace(0, 1, bottom, dtype=np.float32)[:, None] ** np.float32(rng.uniform(0.6, 2.0))
    cloud = np.zeros((1, camera.width), np.float32)
    if weather.name in ("clear", "cloudy", "low_sun", "dusk", "rain"):
        y, x = rng.integers(0, 400, 2)
        cloud = cv2.resize(
            _noise(3, power=1.6)[y : y + 70, x : x + 110], (camera.width, bottom), interpolation=cv2.INTER_CUBIC
        )
        cloud = np.clip(cloud * rng.uniform(8, 30) + rng.uniform(-25, 12), -45, 60) * (1 - weather.night)
    planes = [
        np.clip(h * (1 - t) + l * t + cloud, 0, 255).astype(np.uint8) for h, l in zip(high, low)
    ]  # by channel: faster
    canvas.image[:bottom] = cv2.merge(planes)
    _paint_hills(canvas)


_MIRROR = np.array([1.0, 1, -1])  # (along, up, across): right side to left side


class _Mesh:
    "Polygons in the order in which they were added, each of a convex part."

    def __init__(self):
        self.points: list[np.ndarray] = []
        self.faces: list[tuple] = []  # (part, parent, colour, glow)
        self.layers: list[int] = []  # per part: lower layers are drawn first
        self._all: np.ndarray | None = None  # the points of all faces, once they have been asked for

    def part(self, layer: int = 0) -> int:
        "Start a convex part and return its number."
        self.layers.append(layer)
        return len(self.layers) - 1

    def face(self, points, colour, parent: int = -1, glow: float = 0.0) -> int:
        "Add a polygon (N, 3) to the current part; with `parent` it is a decal on that face."
        self.points.append(np.asarray(points, np.float64))
        part = len(self.layers) - 1 if parent < 0 else self.faces[parent][0]
        self.faces.append((part, parent, np.asarray(colour, np.float64), glow))
        self._all = None
        return len(self.faces) - 1

    def decals(self, points: np.ndarray, colour, parent: int, glow: float = 0.0):
        "Add polygons (n, N, 3) of one colour as decals on a face."
        self.points += list(points)
        self.faces += [(self.faces[parent][0], parent, np.asarray(colour, np.float64), glow)] * len(points)
        self._all = None

    def vertices(self) -> np.ndarray:
        "The points of all faces, one after the other, (N, 3)."
        if self._all is None:
            self._all = np.concatenate(self.points)
        return self._all


class Solid(_Mesh):
    "A mesh of convex parts in its own frame: (along, up, across) in metres, along = driving direction, across = to its right."

    def extrude(self, profile, half, colours) -> dict:
        "A profile (N, 2) of (along, up), extruded to ± half (N widths); colours: one per edge, then the sides. Returns face numbers."
        n = len(profile)
        right = np.empty((n + 1, 3))  # the first point again at the end
        right[:-1, :2], right[:-1, 2], right[-1, :2] = profile, half, profile[0]
        right[-1] = right[0]
        left = right * _MIRROR
        out = {
            i: self.face(edge, colours[i])
            for i, edge in enumerate(np.stack([right[:-1], right[1:], left[1:], left[:-1]], 1))
        }
        right, left = right[:-1], left[:-1]
        out["right"], out["left"] = self.face(right, colours[-1]), self.face(left, colours[-1])
        return out

    def box(self, a0, a1, u0, u1, half, colours) -> dict:
        "A box from a0 to a1 along and u0 to u1 up; faces 0 = rear, 1 = top, 2 = front, 3 = bottom, right, left."
        return self.extrude(
            [(a0, u0), (a0, u1), (a1, u1), (a1, u0)], half, colours if isinstance(colours, list) else [colours] * 5
        )


_SCENERY, _FIRST_SIGN = 254, 200  # owners: a building while it is drawn; the first sign (objects are 1, 2, ...)


def _turn(p: np.ndarray, x: float, z: float, yaw: float) -> np.ndarray:
    "Points (..., 3) of (along, up, across) turned by yaw and moved to (x, z)."
    sin, cos, world = math.sin(yaw), math.cos(yaw), np.empty(p.shape)
    world[..., 0], world[..., 1], world[..., 2] = (
        x + p[..., 0] * sin + p[..., 2] * cos,
        p[..., 1],
        z + p[..., 0] * cos - p[..., 2] * sin,
    )
    return world


def _place(solid: Solid, x: float, z: float, yaw: float) -> np.ndarray:
    "All points of a solid in world metres; yaw 0 drives away from the camera, pi towards it, pi/2 to the right."
    return _turn(solid.vertices(), x, z, yaw)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    "Cross products of rows, (N, 3); much faster than np.cross for few rows."
    (ax, ay, az), (bx, by, bz), out = a.T, b.T, np.empty(a.shape)
    out[:, 0], out[:, 1], out[:, 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return out


def _facing(solid: Solid, world: np.ndarray, starts: np.ndarray, eye: np.ndarray):
    "Outward unit normals (F, 3) and middles (F, 3) of the faces, and distances from the camera of faces (F,) and parts (P,)."
    following = np.arange(1, len(world) + 1)
    following[starts[1:] - 1] = starts[:-1]
    normal = np.add.reduceat(_cross(world, world[following]), starts[:-1])  # Newell: sum of p_i x p_{i+1}
    normal /= np.sqrt((normal * normal).sum(1, keepdims=True)) + 1e-9
    middle = np.add.reduceat(world, starts[:-1]) / np.diff(starts)[:, None]
    parts = np.array([part for part, _, _, _ in solid.faces])
    centre = np.empty((len(solid.layers), 3))
    for k in range(len(centre)):
        faces = middle[parts == k]
        centre[k] = np.add.reduce(faces) / len(faces)
    normal *= np.where((normal * (middle - centre[parts])).sum(1) < 0, -1.0, 1.0)[:, None]  # outwards
    far, away = (np.sqrt((d * d).sum(1)) for d in (middle - eye, centre - eye))
    return normal, middle, far, away


def _colours(solid: Solid, weather: Weather, normal: np.ndarray, z: float) -> list[list[float]]:
    "Lit colour of every face; a decal is lit like the face it lies on."
    light = np.maximum(normal @ weather.sun, 0) + 0.12 * normal[:, 1]
    host = [i if parent < 0 else parent for i, (_, parent, _, _) in enumerate(solid.faces)]
    paints = np.concatenate([colour for _, _, colour, _ in solid.faces]).reshape(-1, 3)
    return weather.shade(paints, light[host][:, None], z).tolist()


def _batches(solid: Solid, seen: list[bool], colours: list, shines: bool) -> dict[int, list[list[int]]]:
    "For every face that is seen: itself and its decals in the order in which they were added, in runs of one colour."
    batches = {i: [[i]] for i, face in enumerate(solid.faces) if face[1] < 0 and seen[i]}
    for j, (_, parent, colour, glow) in enumerate(solid.faces):
        runs = batches.get(parent)
        if runs is None:
            continue
        if colours[runs[-1][-1]] == colours[j] and not glow:
            runs[-1].append(j)
        else:
            runs.append([j])
        if glow and shines:
            colours[j] = colour.tolist()  # a lamp in the dark needs no light
    return batches


def _draw_faces(canvas: Canvas, solid: Solid, world: np.ndarray, pixels: np.ndarray, z: float, owner: int):
    "Paint the visible faces of a solid, layer by layer, from the farthest part to the nearest."
    camera, weather, lamp_owner = canvas.camera, canvas.weather, 0 if owner == _SCENERY else owner
    starts = np.cumsum([0, *map(len, solid.points)])
    eye = np.array([0, camera.above, 0])
    normal, middle, far, away = _facing(solid, world, starts, eye)
    colours, seen = _colours(solid, weather, normal, z), ((normal * (eye - middle)).sum(1) > 0).tolist()
    batches = _batches(solid, seen, colours, weather.night > 0)
    far, away, starts = far.tolist(), away.tolist(), starts.tolist()
    fixed = _fixed(pixels)

    def depth(i):
        part = solid.faces[i][0]
        return solid.layers[part], -away[part], part, -far[i]

    for i in sorted(batches, key=depth):
        for run in batches[i]:
            canvas._paint([fixed[starts[j] : starts[j + 1]] for j in run], colours[run[0]], owner)
    if not weather.night:
        return
    for j, (_, parent, colour, glow) in enumerate(solid.faces):
        if glow and parent in batches:
            canvas.lamps.append(
                (*pixels[starts[j] : starts[j + 1]].mean(0), glow * camera.focal / max(z, 1), colour, lamp_owner)
            )


def _draw_solid(canvas: Canvas, solid: Solid, x: float, z: float, yaw: float, owner: int) -> np.ndarray:
    "Draw a solid and return the box x1 y1 x2 y2 around all of it, whether inside the picture or not."
    camera = canvas.camera
    world = _place(solid, x, z, yaw)
    pixels = camera.project(world)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    x1, y1, x2, y2 = box.tolist()
    if x1 > camera.width + 2 or y1 > camera.height + 2 or x2 < -2 or y2 < -2:
        return box  # beside the picture
    _draw_faces(canvas, solid, world, pixels, z, owner)
    mine = lambda x1, y1, x2, y2: cv2.compare(canvas.owner[y1:y2, x1:x2], owner, cv2.CMP_EQ)
    canvas.roughen((x1, y1, x2, y2), "plaster" if owner == _SCENERY else "metal", mine, stretch=owner != _SCENERY)
    if owner == _SCENERY:  # nobody's from now on
        owners = canvas.around((x1, y1, x2, y2))
        owners[owners == _SCENERY] = 0
    return box


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
)


def _paint(rng) -> np.ndarray:
    "A car colour; two in three are white, grey or black, as on the road."
    return np.clip(
        PAINTS[int(rng.integers(7) if rng.uniform() < 0.66 else rng.integers(7, 16))] + rng.normal(0, 6, 3), 8, 240
    )


_GLASS, _TYRE, _TRIM = np.array([44, 52, 58.0]), np.array([24, 24, 26.0]), np.array([38, 38, 40.0])


@lru_cache(None)
def _directions(n: int, stop: float) -> tuple[np.ndarray, np.ndarray]:
    "Cosines and sines of n angles: around the whole circle, or from 0 to `stop`."
    t = np.linspace(0, stop, n) if stop else np.arange(n) * 2 * np.pi / n
    return np.cos(t), np.sin(t)


def _circle(a, u, r, across, n=12, stop=0.0):
    "Points of a wheel-like circle in the plane `across`, or of its arc from 0 to `stop`."
    (cos, sin), points = _directions(n, stop), np.empty((n, 3))
    points[:, 0], points[:, 1], points[:, 2] = a + r * cos, u + r * sin, across
    return points


def _wheels(solid: Solid, faces: dict, at, r: float, half: float, arch: bool = False):
    "Wheels as decals on both sides of a body, and tyres that show under its rear and its front."
    dark, rim = _TYRE * 0.8, np.array([135, 137, 140.0])
    discs = []
    for a in at:
        if arch:
            discs.append((_circle(a, r, r * 1.22, half, 8, np.pi), dark))
        discs += [
            (_circle(a, r, r, half), _TYRE),
            (_circle(a, r, r * 0.62, half), rim),
            (_circle(a, r, r * 0.22, half, 6), rim * 0.5),
        ]
    for points, colour in discs:
        solid.face(points, colour, faces["right"])
    for points, colour in discs:
        solid.face(points * _MIRROR, colour, faces["left"])
    solid.part(-2)
    solid.box(min(at) - r, max(at) + r, 0.12, r + 0.15, half - 0.15, [dark] * 5)
    for a in (min(at) - r * 0.8, max(at) + r * 0.8):
        for sign in (1, -1):
            solid.face(_quad(a, 0.0, r * 1.5, sign * (half - 0.24 - 0.2 * (r > 0.4)), sign * (half - 0.02)), _TYRE)


def _quad(a, u0, u1, c0, c1):
    "A rectangle across the vehicle at `along` = a."
    return [(a, u0, c0), (a, u1, c0), (a, u1, c1), (a, u0, c1)]


def _side(solid, faces, points, colour):
    "The same decal (N, 2) of (along, up) on both sides; the third column is the half width."
    for side, sign in (("right", 1), ("left", -1)):
        solid.face([(a, u, sign * w) for a, u, w in points], colour, faces[side])


def _lamps(solid, faces, rear, front, back, nose, half, low, high, size=0.3):
    "Rear and front lights, number plates."
    for sign in (1, -1):
        inner, outer = sign * (half - size), sign * (half - 0.03)
        solid.face(_quad(back - 0.01, low, high, inner, outer), (150, 22, 20), faces[rear], 0.1)
        if high - low > 0.3:
            solid.face(_quad(back - 0.015, low, low + 0.12, inner, outer), (205, 150, 130), faces[rear])
        solid.face(_quad(nose + 0.01, low - 0.06, high - 0.1, inner, outer), (222, 226, 225), faces[front], 0.2)
    for a, f in ((back - 0.02, rear), (nose + 0.01, front)):
        solid.face(_quad(a, low - 0.16, low - 0.05, -0.26, 0.26), (222, 222, 214), faces[f])


def _car_body(solid: Solid, paint: np.ndarray, rng, length: float, half: float, belt: float, hood: float):
    "Everything below the windows: doors, lamps, bumpers, wheels."
    b, n = -length / 2, length / 2
    solid.part(0)
    f = solid.extrude(
        [
            (b + 0.06, 0.22),
            (b, 0.5),
            (b + 0.05, belt),
            (n - hood, belt),
            (n - 0.1, belt - 0.18),
            (n, 0.5),
            (n - 0.05, 0.22),
        ],
        [half - 0.05, half, half - 0.02, half - 0.02, half - 0.05, half - 0.03, half - 0.05],
        [paint * 0.8, paint, paint, paint, paint, paint * 0.8, _TRIM, paint],
    )
    _side(
        solid,
        f,
        [(b + 0.1, 0.22, half), (b + 0.1, 0.36, half), (n - 0.1, 0.36, half), (n - 0.1, 0.22, half)],
        paint * 0.5,
    )
    for a in (n - hood - 0.25, n - hood - 1.25):
        _side(
            solid,
            f,
            [(a, 0.38, half + 0.005), (a, belt, half), (a + 0.025, belt, half), (a + 0.025, 0.38, half + 0.005)],
            paint * 0.55,
        )
    deep, wide = rng.uniform(0.12, 0.42), rng.uniform(0.16, 0.36)
    _lamps(solid, f, 1, 4, b, n - 0.06, half, belt - 0.04 - deep, belt - 0.04, wide)
    bumper = paint * rng.uniform(0.75, 1) if rng.uniform() < 0.6 else _TRIM
    solid.face(_quad(b - 0.01, 0.3, 0.52, -half * 0.97, half * 0.97), bumper * 0.9, f[1])
    solid.face(_quad(b - 0.02, 0.5, 0.53, -half * 0.97, half * 0.97), bumper * 0.5, f[1])
    solid.face(_quad(n + 0.01, 0.32, 0.46, -half * 0.75, half * 0.75), _TRIM, f[5])
    solid.face(_quad(n - 0.03, belt - 0.34, belt - 0.22, -half * 0.5, half * 0.5), _TRIM * 1.3, f[4])
    _wheels(solid, f, (b + length * 0.19, n - length * 0.18), 0.32, half + 0.01, arch=True)


def _car_cabin(
    solid: Solid,
    paint: np.ndarray,
    rng,
    b: float,
    n: float,
    half: float,
    belt: float,
    roof: float,
    tail: float,
    hood: float,
):
    "Roof, pillars and windows; the sides lean inwards."
    solid.part(1)
    rb, rf = b + tail + 0.25 + rng.uniform(0, 0.35), n - hood - rng.uniform(0.65, 0.85)
    w0, w1 = half - 0.04, half * rng.uniform(0.76, 0.82)
    c = solid.extrude(
        [(b + tail, belt), (rb, roof), (rf, roof), (n - hood + 0.08, belt)],
        [w0, w1, w1, w0],
        [paint, paint, paint, paint, paint],
    )

    def inset(p, q, wp, wq, k):
        return [(p[0] + k * (q[0] - p[0]), p[1] + k * (q[1] - p[1]), s * (wp + k * (wq - wp)) * 0.9) for s in (1, -1)]

    for face, (p, q) in ((0, ((b + tail, belt), (rb, roof))), (2, ((n - hood + 0.08, belt), (rf, roof)))):
        low, high = inset(p, q, w0, w1, 0.12), inset(p, q, w0, w1, 0.88)
        solid.face([low[0], low[1], high[1], high[0]], _GLASS, c[face])
        mid = inset(p, q, w0, w1, 0.55)
        solid.face([mid[0], mid[1], high[1], high[0]], _GLASS * 1.5, c[face])

    def at(k, h):
        return (
            (b + tail + k * (n - hood + 0.08 - b - tail)) * (1 - h) + h * (rb + k * (rf - rb)),
            belt + h * (roof - belt),
            w0 + h * (w1 - w0) + 0.005,
        )

    for k0, k1 in ((0.07, 0.32), (0.35, 0.62), (0.65, 0.93)):
        _side(solid, c, [at(k0, 0.1), at(k0, 0.86), at(k1, 0.86), at(k1, 0.1)], _GLASS)


def make_car(rng: np.random.Generator) -> Solid:
    "A passenger car: hatchback, saloon or estate by the length of its tail."
    solid, paint = Solid(), _paint(rng)
    length, half, roof = rng.uniform(3.7, 4.8), rng.uniform(0.83, 0.93), rng.uniform(1.38, 1.62)
    b, n, belt = -length / 2, length / 2, rng.uniform(0.86, 0.96)
    tail = {0: 0.08, 1: 0.75, 2: 0.12}[int(rng.integers(3))]  # boot behind the rear window
    hood = length * rng.uniform(0.22, 0.27)
    _car_body(solid, paint, rng, length, half, belt, hood)
    _car_cabin(solid, paint, rng, b, n, half, belt, roof, tail, hood)
    return solid


def make_van(rng: np.random.Generator) -> Solid:
    "A delivery van or minibus: short sloping nose, tall body."
    solid, paint = Solid(), PAINTS[int(rng.choice([0, 0, 0, 1, 2, 5, 7, 9, 14, 11]))] + rng.normal(0, 6, 3)
    length, half, roof = rng.uniform(4.5, 6.0), rng.uniform(0.93, 1.03), rng.uniform(1.9, 2.6)
    b, n, belt = -length / 2, length / 2, rng.uniform(1.05, 1.2)
    solid.part(0)
    f = solid.extrude(
        [
            (b, 0.3),
            (b + 0.04, roof - 0.1),
            (b + 0.2, roof),
            (n - 1.5, roof),
            (n - 0.75, belt + 0.1),
            (n - 0.08, belt - 0.2),
            (n, 0.3),
        ],
        [half, half * 0.93, half * 0.9, half * 0.9, half * 0.96, half * 0.96, half],
        [paint] * 3 + [paint, paint, paint, _TRIM, paint],
    )
    windows = rng.uniform() < 0.5
    screen = [
        (n - 0.85, belt + 0.16, -half * 0.85),
        (n - 0.85, belt + 0.16, half * 0.85),
        (n - 1.42, roof - 0.12, half * 0.8),
        (n - 1.42, roof - 0.12, -half * 0.8),
    ]
    solid.face(screen, _GLASS, f[3])

    def strip(a0, a1):
        _side(
            solid,
            f,
            [
                (a0, belt, half * 0.97),
                (a0, roof - 0.22, half * 0.93),
                (a1 - 0.1, roof - 0.22, half * 0.93),
                (a1, belt, half * 0.97),
            ],
            _GLASS,
        )

    strip(n - 2.1, n - 1.1)
    if windows:
        strip(b + 0.2, b + length * 0.32)
        strip(b + length * 0.35, n - 2.2)
    if windows or rng.uniform() < 0.6:
        for s in (1, -1):
            solid.face(_quad(b - 0.01, belt, roof - 0.25, s * 0.06, s * half * 0.8), _GLASS, f[0])
    solid.face(_quad(b - 0.01, 0.35, roof - 0.12, -0.02, 0.02), paint * 0.5, f[0])
    solid.face(_quad(n + 0.01, 0.4, 0.62, -half * 0.8, half * 0.8), _TRIM, f[5])
    _lamps(solid, f, 0, 5, b, n, half, 0.7, 1.1, 0.2)
    solid.face(_quad(b - 0.02, 0.3, 0.52, -half, half), _TRIM * 1.4, f[0])
    solid.face(_quad(n + 0.02, 0.3, 0.46, -half, half), _TRIM * 1.4, f[5])
    _wheels(solid, f, (b + length * 0.2, n - length * 0.17), 0.34, half + 0.01, arch=True)
    return solid


def _truck_cab(solid: Solid, cab: np.ndarray, n: float, half: float, tall: float):
    "The driver's cab, up to the nose at `along` = n."
    solid.part(0)
    k = solid.extrude(
        [(n - 1.9, 0.5), (n - 1.9, tall), (n - 0.25, tall), (n, 1.5), (n, 0.45)],
        [half - 0.03] * 5,
        [cab, cab, cab, cab * 0.9, _TRIM, cab],
    )
    solid.face(
        [
            (n - 0.03, 1.62, -half + 0.15),
            (n - 0.03, 1.62, half - 0.15),
            (n - 0.22, tall - 0.25, half - 0.15),
            (n - 0.22, tall - 0.25, -half + 0.15),
        ],
        _GLASS,
        k[2],
    )
    _side(
        solid,
        k,
        [
            (n - 1.2, 1.6, half - 0.02),
            (n - 1.2, tall - 0.3, half - 0.02),
            (n - 0.35, tall - 0.3, half - 0.02),
            (n - 0.15, 1.6, half - 0.02),
        ],
        _GLASS,
    )
    _lamps(solid, k, 0, 3, n - 1.9, n, half - 0.03, 0.8, 1.05, 0.3)
    solid.face(_quad(n + 0.01, 0.95, 1.4, -half * 0.6, half * 0.6), _TRIM, k[3])
    _wheels(solid, k, (n - 1.1,), 0.5, half)


def make_truck(rng: np.random.Generator) -> Solid:
    "A lorry: cab in front, cargo box, flatbed or tank behind."
    solid = Solid()
    cab, cargo = _paint(rng), PAINTS[int(rng.choice([0, 0, 1, 2, 7, 9, 11, 12, 14, 15]))] + rng.normal(0, 8, 3)
    length, half, top = rng.uniform(6.5, 12), rng.uniform(1.15, 1.27), rng.uniform(2.9, 3.9)
    b, n, tall = -length / 2, length / 2, rng.uniform(2.5, 3.1)
    solid.part(-1)
    f = solid.box(b, n - 0.3, 0.45, 1.0, half - 0.1, _TRIM)
    solid.face(_quad(b - 0.01, 0.48, 0.62, -half * 0.9, half * 0.9), (150, 40, 36), f[0])
    _wheels(solid, f, (b + 1.2, b + 2.4, n - 1.3) if length > 8 else (b + 1.5, n - 1.3), 0.5, half)
    solid.part(0)
    flat = rng.uniform() < 0.2
    c = solid.box(b, n - 2.1, 1.0, 1.7 if flat else top, half, [cargo * 0.93, cargo, cargo, cargo, cargo])
    if not flat:
        solid.face(_quad(b - 0.01, 1.05, top - 0.08, -0.03, 0.03), cargo * 0.5, c[0])
        for u in (1.06, top - 0.12):
            solid.face(_quad(b - 0.01, u, u + 0.06, -half, half), cargo * 0.6, c[0])
        if rng.uniform() < 0.5:
            u = rng.uniform(1.4, top - 0.9)
            stripe = [
                (b + 0.6, u, half + 0.01),
                (b + 0.6, u + 0.5, half + 0.01),
                (n - 2.8, u + 0.5, half + 0.01),
                (n - 2.8, u, half + 0.01),
            ]
            _side(solid, c, stripe, PAINTS[int(rng.integers(len(PAINTS)))])
    _lamps(solid, c, 0, 2, b, n - 2.1, half, 1.02, 1.14, 0.35)
    _truck_cab(solid, cab, n, half, tall)
    return solid


def make_tram(rng: np.random.Generator) -> Solid:
    "A tram: long, tall, a band of windows, a pantograph, a slanted front at both ends."
    solid = Solid()
    paint = np.array([[225, 205, 60], [200, 40, 40], [230, 228, 222], [40, 100, 170], [60, 140, 90]], float)[
        int(rng.integers(5))
    ] + rng.normal(0, 8, 3)
    band = np.array([235, 233, 226.0]) if paint.mean() < 200 else np.array([170, 36, 36.0])
    length, half, top = rng.uniform(14, 26), rng.uniform(1.15, 1.3), rng.uniform(3.2, 3.5)
    b, n = -length / 2, length / 2
    solid.part(0)
    nose = [
        (b, 0.3),
        (b, 1.3),
        (b + 0.5, top - 0.2),
        (b + 0.9, top),
        (n - 0.9, top),
        (n - 0.5, top - 0.2),
        (n, 1.3),
        (n, 0.3),
    ]
    w = half * 0.8
    f = solid.extrude(
        nose, [w, w * 1.02, w, w, w, w, w * 1.02, w], [paint, paint, band, band, band, paint, paint, _TRIM, paint]
    )
    for end, back, face in ((b, 1, 1), (n, -1, 5)):  # windscreen and destination board at both ends
        low, high, upper = end, end + back * 0.42, end + back * 0.48
        solid.face(
            [(low, 1.4, -w * 0.87), (low, 1.4, w * 0.87), (high, top - 0.45, w * 0.85), (high, top - 0.45, -w * 0.85)],
            _GLASS,
            f[face],
        )
        solid.face(
            [
                (high, top - 0.42, -w / 2),
                (high, top - 0.42, w / 2),
                (upper, top - 0.2, w / 2),
                (upper, top - 0.2, -w / 2),
            ],
            (235, 170, 50),
            f[face],
            0.15,
        )
    for a in np.arange(b + 1.0, n - 1.5, 1.55):
        _side(
            solid,
            f,
            [
                (a, 1.35, half * 0.825),
                (a, 2.6, half * 0.815),
                (a + 1.3, 2.6, half * 0.815),
                (a + 1.3, 1.35, half * 0.825),
            ],
            _GLASS * rng.uniform(0.8, 1.4),
        )
    _side(
        solid,
        f,
        [
            (b + 0.2, 0.95, half * 0.83),
            (b + 0.2, 1.15, half * 0.83),
            (n - 0.2, 1.15, half * 0.83),
            (n - 0.2, 0.95, half * 0.83),
        ],
        band,
    )
    _lamps(solid, f, 0, 6, b, n, half * 0.8, 0.75, 1.05, 0.3)
    solid.part(1)
    solid.box(-1.2, 1.2, top, top + 0.25, half * 0.5, (120, 122, 126))
    solid.part(2)
    solid.box(-0.1, 0.05, top + 0.25, top + 1.1, 0.6, (60, 60, 64))
    return solid


def _caravan(rng, paint: np.ndarray) -> Solid:
    "A caravan with one window on each side."
    solid = Solid()
    length, half, top, white = (
        rng.uniform(3.8, 5.5),
        rng.uniform(1.0, 1.12),
        rng.uniform(2.3, 2.6),
        np.array([228, 226, 218.0]),
    )
    b, n = -length / 2, length / 2
    solid.part(0)
    profile = [(b + 0.1, 0.4), (b, 1.2), (b + 0.3, top), (n - 0.5, top), (n, 1.3), (n - 0.15, 0.4)]
    f = solid.extrude(profile, half, [white * 0.95, white, white, white, white, _TRIM, white])
    solid.face(
        [
            (b + 0.04, 1.35, -half * 0.7),
            (b + 0.04, 1.35, half * 0.7),
            (b + 0.22, top - 0.3, half * 0.7),
            (b + 0.22, top - 0.3, -half * 0.7),
        ],
        _GLASS * 1.3,
        f[1],
    )
    _side(solid, f, [(b + 0.1, 0.95, half), (b + 0.1, 1.1, half), (n - 0.1, 1.1, half), (n - 0.1, 0.95, half)], paint)
    _side(solid, f, [(-0.6, 1.35, half), (-0.6, top - 0.45, half), (0.7, top - 0.45, half), (0.7, 1.35, half)], _GLASS)
    _wheels(solid, f, (-0.1,), 0.32, half)
    _lamps(solid, f, 0, 4, b + 0.08, n, half, 0.6, 0.85, 0.25)
    return solid


def _trailer(rng, paint: np.ndarray) -> Solid:
    "A box trailer or an open one, with its drawbar."
    solid = Solid()
    length, half, top = rng.uniform(2.0, 3.4), rng.uniform(0.7, 0.95), rng.uniform(0.95, 1.8)
    solid.part(0)
    f = solid.box(-length / 2, length / 2, 0.5, top, half, paint)
    _wheels(solid, f, (0.0,), 0.3, half + 0.1)
    _lamps(solid, f, 0, 2, -length / 2, length / 2, half, 0.55, 0.68, 0.3)
    solid.part(0)
    solid.box(length / 2, length / 2 + 1.1, 0.45, 0.55, 0.06, _TRIM)
    return solid


def _tractor(rng, paint: np.ndarray) -> Solid:
    "A tractor: small wheels in front, large ones under the cab."
    solid = Solid()
    solid.part(0)
    f = solid.box(-0.3, 1.9, 0.75, 1.45, 0.42, paint)
    solid.face(_quad(1.91, 0.8, 1.4, -0.3, 0.3), _TRIM, f[2])
    _wheels(solid, f, (1.4,), 0.45, 0.7)
    solid.part(1)
    c = solid.box(-1.4, 0.0, 1.1, 2.75, 0.75, paint)
    _side(solid, c, [(-1.25, 1.5, 0.76), (-1.25, 2.5, 0.76), (-0.1, 2.5, 0.76), (-0.1, 1.5, 0.76)], _GLASS)
    for a, k in ((-1.41, 0), (0.01, 2)):
        solid.face(_quad(a, 1.5, 2.5, -0.65, 0.65), _GLASS, c[k])
    _wheels(solid, c, (-1.0,), 0.8, 0.95)
    for s in (1, -1):
        solid.face(_quad(-1.5, 0.0, 1.6, s * 0.5, s * 0.95), _TYRE, c[0])
        solid.face(_quad(0.02, 0.0, 1.5, s * 0.5, s * 0.95), _TYRE, c[2])
    return solid


def _bus(rng, paint: np.ndarray) -> Solid:
    "A city bus."
    solid = Solid()
    length, half, top = rng.uniform(9, 12), 1.27, rng.uniform(2.9, 3.2)
    b, n = -length / 2, length / 2
    solid.part(0)
    f = solid.box(b, n, 0.35, top, half, paint)
    _side(
        solid,
        f,
        [(b + 0.4, 1.3, half), (b + 0.4, top - 0.35, half), (n - 0.3, top - 0.35, half), (n - 0.3, 1.3, half)],
        _GLASS,
    )
    solid.face(_quad(n + 0.01, 1.1, top - 0.4, -half * 0.92, half * 0.92), _GLASS, f[2])
    solid.face(_quad(b - 0.01, 1.7, top - 0.4, -half * 0.8, half * 0.8), _GLASS, f[0])
    solid.face(_quad(n + 0.01, top - 0.32, top - 0.08, -0.8, 0.8), (240, 180, 60), f[2], 0.2)
    _wheels(solid, f, (b + 2.6, n - 2.4), 0.48, half + 0.01)
    _lamps(solid, f, 0, 2, b, n, half, 0.75, 1.0, 0.3)
    return solid


def make_misc(rng: np.random.Generator) -> Solid | list:
    "What fits no other class: caravan, box trailer, tractor, city bus, motorbike."
    pick = int(rng.integers(5))
    if pick == 4:
        return _motorbike(rng)
    return (_caravan, _trailer, _tractor, _bus)[pick](rng, _paint(rng))


def _walking(rng, swing: float, skin, top, legs, hair, shoe) -> list[tuple]:
    "Capsules of somebody on foot, 1.75 m tall; opposite arm and leg swing forward together."
    out = []
    hip, neck, knee = 0.92, 1.45, 0.5
    for side, turn in ((-1, swing), (1, -swing)):
        a, kn = side * 0.09, turn * 0.45
        out += [
            ((0, hip, a), (kn, knee, a), 0.085, 0.065, legs),
            ((kn, knee, a), (turn * 0.85 - 0.06 * abs(turn), 0.07, a), 0.065, 0.05, legs),
            ((turn * 0.85 - 0.03, 0.05, a), (turn * 0.85 + 0.16, 0.05, a), 0.045, 0.04, shoe),
        ]
        elbow = (-turn * 0.35, 1.12, side * 0.25)
        out += [
            ((0, neck - 0.05, side * 0.2), elbow, 0.06, 0.05, top),
            (elbow, (-turn * 0.6 + 0.12, 0.9, side * 0.24), 0.045, 0.04, skin if rng.uniform() < 0.4 else top * 0.95),
        ]
    coat = rng.uniform() < 0.3
    out += [((0, 0.6 if coat else 0.95, 0), (0, neck - 0.1, 0), 0.2 if coat else 0.15, 0.19, top)]
    if rng.uniform() < 0.25:
        out.append(((-0.16, 1.0, 0), (-0.16, 1.35, 0), 0.13, 0.12, rng.uniform(20, 200, 3)))
    out += [
        ((0, neck, 0), (0.02, 1.5, 0), 0.055, 0.055, skin),
        ((0.02, 1.58, 0), (0.03, 1.66, 0), 0.095, 0.1, skin),
        ((-0.02, 1.64, 0), (-0.01, 1.68, 0), 0.1, 0.105, hair),
    ]
    return out


def _riding(rng, skin, top, legs, hair, shoe) -> list[tuple]:
    "Capsules of a cyclist of 1.75 m; the feet turn with the pedals."
    out = []
    turn = rng.uniform(0, 2 * np.pi)
    for side, t in ((-1, turn), (1, turn + np.pi)):
        foot = (0.08 + 0.17 * np.cos(t), 0.32 + 0.17 * np.sin(t), side * 0.1)
        knee = (0.22 + 0.1 * np.cos(t), 0.72 + 0.1 * np.sin(t), side * 0.11)
        out += [
            ((-0.2, 0.98, side * 0.08), knee, 0.085, 0.065, legs),
            (knee, foot, 0.06, 0.045, legs),
            (foot, (foot[0] + 0.15, foot[1], foot[2]), 0.04, 0.035, shoe),
        ]
        out += [
            ((0.1, 1.42, side * 0.19), (0.28, 1.2, side * 0.24), 0.055, 0.045, top),
            ((0.28, 1.2, side * 0.24), (0.45, 1.05, side * 0.24), 0.045, 0.04, skin),
        ]
    out += [
        ((-0.2, 1.0, 0), (0.08, 1.42, 0), 0.15, 0.17, top),
        ((0.14, 1.5, 0), (0.16, 1.58, 0), 0.06, 0.06, skin),
        ((0.18, 1.62, 0), (0.19, 1.68, 0), 0.095, 0.1, skin),
    ]
    out.append(((0.15, 1.7, 0), (0.2, 1.73, 0), 0.11, 0.11, rng.uniform(30, 240, 3) if rng.uniform() < 0.6 else hair))
    return out


def _limbs(rng, pose: str) -> list[tuple]:
    "Capsules (joint, joint, radius, radius, colour) in (along, up, across) metres: 'walk' or 'ride'."
    tall = rng.uniform(1.5, 1.95) if rng.uniform() < 0.85 else rng.uniform(1.05, 1.5)
    k, skin = (
        tall / 1.75,
        np.array([[232, 190, 160], [210, 160, 125], [150, 105, 78], [92, 64, 50]], float)[int(rng.integers(4))],
    )
    top, legs = rng.uniform(20, 225, 3), rng.uniform(15, 120) * np.array([0.95, 1, 1.1])
    top = top.mean() + (top - top.mean()) * rng.uniform(0, 0.9)
    hair, shoe = (
        np.array([[40, 30, 24], [90, 64, 40], [160, 130, 90], [150, 150, 150]], float)[int(rng.integers(4))],
        np.full(3, rng.uniform(20, 90)),
    )
    swing = 0.0 if pose == "ride" else rng.uniform(-1, 1) * 0.42
    out = (
        _walking(rng, swing, skin, top, legs, hair, shoe)
        if pose == "walk"
        else _riding(rng, skin, top, legs, hair, shoe)
    )
    return [(np.multiply(p, k), np.multiply(q, k), r * k, s * k, c) for p, q, r, s, c in out]


def _bicycle(rng) -> list[tuple]:
    "Frame and wheels of a bicycle as thin capsules."
    paint, dark = rng.uniform(10, 220, 3), np.array([28, 28, 30.0])
    out = []
    for a in (-0.52, 0.52):
        ring = _circle(a, 0.34, 0.33, 0.0, 14)
        out += [(ring[i], ring[(i + 1) % 14], 0.024, 0.024, dark) for i in range(14)]
    for p, q in (
        ((-0.52, 0.34, 0), (-0.2, 0.9, 0)),
        ((-0.52, 0.34, 0), (0.03, 0.3, 0)),
        ((0.03, 0.3, 0), (-0.2, 0.9, 0)),
        ((0.03, 0.3, 0), (0.36, 0.82, 0)),
        ((-0.15, 0.8, 0), (0.36, 0.82, 0)),
        ((0.36, 1.02, 0), (0.52, 0.34, 0)),
    ):
        out.append((np.array(p), np.array(q), 0.024, 0.024, paint))
    out += [
        (np.array((0.4, 1.03, -0.26)), np.array((0.4, 1.03, 0.26)), 0.018, 0.018, dark),
        (np.array((-0.3, 0.93, 0)), np.array((-0.08, 0.93, 0)), 0.05, 0.03, dark),
    ]
    return out


def _motorbike(rng) -> list[tuple]:
    "Capsules of a motorbike with a helmeted rider."
    paint, dark, metal = _paint(rng), np.array([24, 24, 26.0]), np.array([120, 122, 126.0])
    out = [
        (np.array(p), np.array(q), r, s, c)
        for p, q, r, s, c in (
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
        )
    ]
    jacket, helmet = rng.uniform(20, 110, 3), rng.uniform(20, 235, 3)
    for side in (-1, 1):
        out += [
            (np.array(p), np.array(q), r, s, c)
            for p, q, r, s, c in (
                ((-0.3, 0.88, side * 0.12), (0.15, 0.72, side * 0.26), 0.1, 0.08, jacket * 0.7),
                ((0.15, 0.72, side * 0.26), (-0.05, 0.35, side * 0.22), 0.075, 0.06, jacket * 0.7),
                ((-0.05, 1.32, side * 0.2), (0.12, 1.1, side * 0.36), 0.065, 0.055, jacket),
                ((0.12, 1.1, side * 0.36), (0.36, 1.06, side * 0.32), 0.055, 0.045, jacket),
            )
        ]
    return out + [
        (np.array((-0.32, 0.92, 0.0)), np.array((-0.08, 1.36, 0.0)), 0.17, 0.2, jacket),
        (np.array((0.02, 1.56, 0.0)), np.array((0.03, 1.6, 0.0)), 0.14, 0.14, helmet),
    ]


def make_pedestrian(rng: np.random.Generator) -> list[tuple]:
    "Capsules of somebody on foot."
    return _limbs(rng, "walk")


def make_cyclist(rng: np.random.Generator) -> list[tuple]:
    "Capsules of a bicycle and its rider."
    return _bicycle(rng) + _limbs(rng, "ride")


def _draw_limbs(canvas: Canvas, limbs: list[tuple], x: float, z: float, yaw: float, owner: int) -> np.ndarray:
    "Draw capsules from far to near and return the box around them."
    world = _turn(np.array([[p, q] for p, q, *_ in limbs]), x, z, yaw)
    px = canvas.camera.project(world)  # (n, 2, 2)
    radius = np.array([[r, s] for _, _, r, s, _ in limbs]) * canvas.camera.focal / np.maximum(world[..., 2], 0.5)
    radius = np.maximum(radius, 0.35)
    d = px[:, 1] - px[:, 0]
    angle = np.arctan2(d[:, 1], d[:, 0])
    t = np.linspace(np.pi / 2, 3 * np.pi / 2, 6)
    first = px[:, :1] + radius[:, :1, None] * np.stack([np.cos(angle[:, None] + t), np.sin(angle[:, None] + t)], -1)
    second = px[:, 1:] + radius[:, 1:, None] * np.stack(
        [np.cos(angle[:, None] + t + np.pi), np.sin(angle[:, None] + t + np.pi)], -1
    )
    outline = np.concatenate([first, second], 1)
    fixed = _fixed(outline)
    colours = canvas.weather.shade(
        np.array([limb[4] for limb in limbs], np.float64), 0.35 + 0.3 * max(0.0, -canvas.weather.sun[2]), z
    ).tolist()
    for i in np.argsort(-world[..., 2].mean(1) - 0.02 * np.arange(len(limbs)) / len(limbs), kind="stable"):
        cv2.fillConvexPoly(canvas.image, fixed[i], colours[i], cv2.LINE_AA, 4)
        cv2.fillConvexPoly(canvas.owner, fixed[i], owner, cv2.LINE_8, 4)
    return np.concatenate([outline.min((0, 1)), outline.max((0, 1))])


_BRIGHTNESS = np.arange(256)[:, None] / 128  # factor of a grey value


def _draw_tree(canvas: Canvas, x: float, z: float, rng, bush: bool = False):
    "A trunk and a crown of dark and light blobs."
    camera, weather, scale = canvas.camera, canvas.weather, canvas.camera.focal / z
    tall, wide = (rng.uniform(0.8, 2.2), rng.uniform(1.0, 2.5)) if bush else (rng.uniform(5, 11), rng.uniform(3, 6))
    bx, by = camera.pixel(x, 0, z)
    if abs(bx - camera.width / 2) > camera.width / 2 + wide * scale:
        return
    green = np.array([rng.uniform(40, 90), rng.uniform(62, 105), rng.uniform(25, 50)])
    if not bush:
        w, crotch = rng.uniform(0.12, 0.3) * scale, by - tall * 0.5 * scale
        canvas.fill(
            np.array([[bx - w, by], [bx + w, by], [bx + w * 0.7, crotch], [bx - w * 0.7, crotch]]),
            weather.tone((74, 60, 48), 0.2, z),
            0,
        )
    w, h = int(min(wide * scale, 900)), int(min(tall * (1 if bush else 0.75) * scale, 900))
    if w < 3 or h < 3:
        return
    cx, cy = bx, by - (tall * (0.5 if bush else 0.62)) * scale
    x0, y0 = int(cx - w / 2), int(cy - h / 2)
    xa, ya, xb, yb = max(x0, 0), max(y0, 0), min(x0 + w, camera.width), min(y0 + h, camera.height)
    if xa >= xb or ya >= yb:
        return
    levels = _crowns()[int(rng.integers(12)) + 12 * (weather.sun[0] < 0)]
    crown = next((c for c in levels if len(c) <= 1.6 * max(w, h)), levels[-1])
    n = len(crown)
    crown = crown[
        (ya - y0) * n // h : max((yb - y0) * n // h, (ya - y0) * n // h + 1),
        (xa - x0) * n // w : max((xb - x0) * n // w, (xa - x0) * n // w + 1),
    ]
    crown = cv2.resize(crown, (xb - xa, yb - ya), interpolation=cv2.INTER_LINEAR)
    tones = weather.shade(green * _BRIGHTNESS, 0.55, z).astype(np.uint8)[:, None]  # brightness -> colour
    patch, mask = (
        cv2.applyColorMap(cv2.extractChannel(crown, 1), tones),
        cv2.compare(cv2.extractChannel(crown, 0), 127, cv2.CMP_GT),
    )
    cv2.copyTo(patch, mask, canvas.image[ya:yb, xa:xb])
    cv2.copyTo(np.zeros_like(mask), mask, canvas.owner[ya:yb, xa:xb])


@lru_cache(None)
def _crowns() -> list[list[np.ndarray]]:
    "Crowns lit from the right (12) and from the left (12), each (n, n, 2) uint8, coverage and brightness, in six sizes."
    y, x = np.mgrid[-1:1:160j, -1:1:160j].astype(np.float32)
    out = []
    for i in range(12):
        n, fine = (
            np.roll(_noise(11, power=1.0), i * 41, 0)[:160, :160],
            np.roll(_noise(12, power=0.55), i * 37, 1)[:160, :160],
        )
        cover = (np.hypot(x, y) + 0.16 * n + 0.05 * fine < 0.8) * 255
        light = np.clip(112 - 40 * y + 30 * x + 30 * fine + 18 * n, 16, 255)
        out.append(np.dstack([cover, light]).astype(np.uint8))
    out += [np.ascontiguousarray(crown[:, ::-1]) for crown in out]
    return [
        [cv2.resize(crown, (n, n), interpolation=cv2.INTER_AREA) for n in (160, 80, 40, 20, 10, 5)] for crown in out
    ]


_WALLS = np.array(
    [[214, 204, 186], [190, 178, 160], [172, 120, 96], [200, 200, 196], [222, 206, 160], [150, 140, 132]], np.float64
)


def _panels(a: np.ndarray, u: np.ndarray, w: float, h: float, plane: float) -> np.ndarray:
    "Rectangles (n, 4, 3) of w × h metres in a plane, their lower corners at (along, up) = (a, u), each (n,)."
    points = np.full((len(a), 4, 3), plane)
    points[:, :2, 0], points[:, 2:, 0] = a[:, None], (a + w)[:, None]
    points[:, ::3, 1], points[:, 1:3, 1] = u[:, None], (u + h)[:, None]
    return points


def _roof(solid: Solid, wall, rng, tall: float, deep: float, wide: float):
    "A saddle roof with its two gables."
    solid.part(1)
    roof, ridge, eaves, k = (
        np.array([128, 70, 54.0]) * rng.uniform(0.6, 1.2),
        tall + rng.uniform(0.3, 4.5),
        deep / 2 + 0.4,
        wide / 2 + 0.2,
    )
    for sign in (1, -1):
        solid.face([(-k, tall - 0.1, sign * eaves), (k, tall - 0.1, sign * eaves), (k, ridge, 0), (-k, ridge, 0)], roof)
    for end in (-k, k):
        solid.face([(end, tall, -eaves), (end, tall, eaves), (end, ridge, 0)], wall)


def _draw_building(canvas: Canvas, x: float, z: float, road: Road, rng, side: int, wide: float):
    "A house whose facade faces the road; windows in rows."
    tall, deep = rng.uniform(5, 15), rng.uniform(8, 12)
    wall = _WALLS[int(rng.integers(6))] + rng.normal(0, 8, 3)
    solid = Solid()
    solid.part()
    f = solid.box(-wide / 2, wide / 2, 0, tall, deep / 2, wall)
    facade, plane = f["left" if side > 0 else "right"], -side * deep / 2

    def panels(a, u, w, h, colour, glow=0.0):
        solid.decals(_panels(a, u, w, h, plane), colour, facade, glow)

    corner, ground = np.array([-wide / 2]), np.zeros(1)
    panels(corner, ground, wide, rng.uniform(0.4, 1.0), wall * rng.uniform(0.6, 0.9))
    w, h = rng.uniform(0.8, 1.3), rng.uniform(1.2, 1.7)
    columns, storeys = (
        np.arange(-wide / 2 + 0.8, wide / 2 - w - 0.3, rng.uniform(w + 0.7, w + 1.6)),
        np.arange(1.0, tall - h - 0.3, rng.uniform(2.6, 3.2)),
    )
    a, u = np.tile(columns, len(storeys)), np.repeat(storeys, len(columns))
    if z < 35:
        panels(a - 0.1, u - 0.1, w + 0.2, h + 0.2, np.clip(wall * rng.uniform(0.7, 1.35), 0, 245))
    panels(a, u, w, h, np.array([60, 68, 76.0]) * rng.uniform(0.6, 1.6))
    lit = (rng.uniform(size=len(a)) < 0.3) & (canvas.weather.night > 0.3)
    panels(a[lit], u[lit], w, h, (240, 205, 130), 0.05)
    door = rng.uniform(-wide / 2 + 0.5, wide / 2 - 1.5)
    panels(np.array([door]), ground, 1.1, 2.2, rng.uniform(40, 130, 3))
    _roof(solid, wall, rng, tall, deep, wide)
    _draw_solid(canvas, solid, x + side * deep / 2, z, road.slope(z), _SCENERY)


def _draw_pole(canvas: Canvas, x: float, z: float, tall: float, width: float, colour):
    "A thin post."
    (middle, low), (_, high) = canvas.camera.pixel(x, 0, z), canvas.camera.pixel(x, tall, z)
    w = max(width * canvas.camera.focal / z / 2, 0.4)
    left, right = middle - w, middle + w
    canvas.fill(
        np.array([[left, low], [right, low], [right, high], [left, high]]), canvas.weather.tone(colour, 0.3, z), 0
    )


def _draw_sign_at(canvas: Canvas, x: float, z: float, class_id: int, rng, owner: int) -> np.ndarray | None:
    "A traffic sign on its post; returns its box x1 y1 x2 y2, or None where it is not inside the picture."
    camera, weather, size, up = canvas.camera, canvas.weather, rng.uniform(0.6, 0.9), rng.uniform(1.9, 2.7)
    _draw_pole(canvas, x, z + 0.05, up, 0.07, (128, 130, 132))
    centre = camera.project(np.array([x, up, z]))
    n = int(round(size * camera.focal / z))
    if n < 4:
        return None
    x0, y0 = int(round(centre[0] - n / 2)), int(round(centre[1] - n / 2))
    xa, ya, xb, yb = max(x0, 0), max(y0, 0), min(x0 + n, camera.width), min(y0 + n, camera.height)
    if xa >= xb or ya >= yb:
        return None
    big = draw_sign(class_id, max(n, 24), rng)
    sign = big if big.shape[0] == n else cv2.resize(big, (n, n), interpolation=cv2.INTER_AREA)
    sign = sign[ya - y0 : yb - y0, xa - x0 : xb - x0]
    light = weather.ambient + weather.direct * max(0.1, -weather.sun[2] * 0.8)
    if weather.night:
        light = max(light, 0.75)  # retro-reflective in the headlights
    t = math.exp(-weather.haze * z)
    colour = np.clip(sign[..., :3].astype(np.float32) * (light * t) + weather.air * (1 - t), 0, 255)
    alpha = sign[..., 3:].astype(np.float32) / 255
    patch = canvas.image[ya:yb, xa:xb]
    patch[:] = (patch * (1 - alpha) + colour * alpha).astype(np.uint8)
    canvas.owner[ya:yb, xa:xb][alpha[..., 0] > 0.5] = owner
    inside = (xb - xa) * (yb - ya) / n**2
    return np.array([x0, y0, x0 + n, y0 + n], np.float32) if inside > 0.99 else None


CLASS_WEIGHTS = dict(Car=0.57, Pedestrian=0.11, Cyclist=0.07, Van=0.09, Truck=0.06, Tram=0.04, Misc=0.06)
_MAKERS = dict(
    Car=make_car,
    Van=make_van,
    Truck=make_truck,
    Tram=make_tram,
    Misc=make_misc,
    Pedestrian=make_pedestrian,
    Cyclist=make_cyclist,
)
_FOOTPRINT = dict(
    Car=(5.0, 1.9),
    Van=(6.0, 2.1),
    Truck=(12.5, 2.6),
    Tram=(26.0, 2.6),
    Misc=(12.0, 2.5),
    Pedestrian=(0.8, 0.7),
    Cyclist=(2.0, 0.8),
)  # metres


def _spot(name: str, road: Road, rng) -> tuple[float, float]:
    "Lateral place s and yaw against the road for an object of a class."
    lanes = [(a + b) / 2 for a, b in zip(road.borders, road.borders[1:])]
    right = rng.uniform() < 0.5
    if name == "Pedestrian":
        if rng.uniform() < 0.75:
            s = road.right + rng.uniform(0.4, 2.6) if right else road.left - rng.uniform(0.4, 2.6)
        else:
            s = rng.uniform(road.left, road.right)  # crossing
        return s, rng.uniform(0, 2 * math.pi)
    if name == "Cyclist":
        right = rng.uniform() < 0.7
        yaw = (
            (0.0 if right else math.pi) + rng.normal(0, 0.15)
            if rng.uniform() < 0.8
            else rng.choice([-1.0, 1.0]) * math.pi / 2 + rng.normal(0, 0.3)
        )
        return road.right - rng.uniform(0.3, 1.0) if right else road.left + rng.uniform(0.3, 1.0), yaw
    if name == "Tram" and road.tram is not None:
        return road.tram, math.pi if rng.uniform() < 0.6 else 0.0
    if road.parking and rng.uniform() < 0.55 and name in ("Car", "Van", "Misc"):
        turned = rng.uniform() < 0.15
        return road.right - 1.05 if right else road.left + 1.05, (0.0 if right != turned else math.pi) + rng.normal(
            0, 0.03
        )
    i = int(rng.integers(len(lanes)))
    yaw = (0.0 if road.directions[i] > 0 else math.pi) + rng.normal(0, 0.03)
    if rng.uniform() < 0.06 and road.place != "highway":
        yaw += rng.uniform(-1.5, 1.5)  # turning, crossing
    return lanes[i] + rng.normal(0, 0.2), yaw


_CROWD = dict(kitti=2.7, tusimple=2.1, joint=2.5)  # mean number of objects / 3
_ODDS = dict(
    highway=dict(Pedestrian=0, Cyclist=0, Tram=0, Truck=2.0, Misc=1.2),
    country=dict(Pedestrian=0.5, Tram=0, Misc=1.4),
    street=dict(Truck=0.6, Pedestrian=1.3, Cyclist=1.2),
    avenue=dict(Pedestrian=1.2, Cyclist=1.2),
)  # who is met where


def _local_weights(road: Road, weights: dict) -> dict:
    "Class weights at a place; trams need a track."
    local = {name: w * _ODDS[road.place].get(name, 1.0) for name, w in weights.items()}
    if "Tram" in local:
        local["Tram"] *= 6.0 if road.tram is not None else 0.0
    return (
        local
        if sum(local.values()) > 0
        else {name: w for name, w in weights.items() if name != "Tram" or w == sum(weights.values())}
    )


def _cast(road: Road, camera: Camera, rng, weights: dict, count: int) -> list[dict]:
    "Objects with class, model, position and yaw, none inside another."
    out, weights = [], _local_weights(road, weights)
    for _ in range(count * 4):
        if len(out) >= count:
            break
        name = _choice(rng, weights)
        (s, yaw), (length, width) = _spot(name, road, rng), _FOOTPRINT[name]
        small = length < 3
        z = (4.0 if small else 5.0) * (12.0 if small else 14.0) ** rng.uniform() ** 0.85 + (
            0 if small else length * 0.4
        )
        x = s + road.centre(z)
        ahead, aside = (abs(length * math.cos(yaw)) + width) / 2, (abs(length * math.sin(yaw)) + width) / 2
        if any(abs(z - o["z"]) < ahead + o["ahead"] and abs(x - o["x"]) < aside + o["aside"] for o in out):
            continue
        if abs(x) * camera.focal / z > camera.width * 0.62:
            continue  # outside the picture
        if z - ahead < 2 or z < 9 and abs(x) < aside + 1 and not small:
            continue  # inside the ego car
        out.append(
            dict(
                name=name,
                model=_MAKERS[name](rng),
                x=float(x),
                z=float(z),
                yaw=float(yaw + road.slope(z)),
                ahead=ahead,
                aside=aside,
            )
        )
    return out


def _shadow_map(canvas: Canvas, road: Road, objects: list[dict], rng) -> np.ndarray:
    "Where the sun does not reach the ground, (H, W) uint8: under and beside objects, and from trees and houses across the road."
    camera, sun = canvas.camera, canvas.weather.sun
    out = np.zeros((camera.height, camera.width), np.uint8)
    reach = -sun[[0, 2]] / max(sun[1], 0.15) * min(1.0, canvas.weather.direct * 2)

    def blot(points, value):
        hull = cv2.convexHull(_fixed(camera.project(points)))
        cv2.fillConvexPoly(out, hull, value, cv2.LINE_AA, 4)

    if canvas.weather.direct > 0.3:
        for _ in range(int(rng.integers(0, 5))):
            z, wide, x = rng.uniform(4, 60), rng.uniform(1.0, 6), rng.uniform(-10, 10)
            x, slant = x + road.centre(z), rng.uniform(-6, 6)
            stripe = [
                [x - 12, 0, z - slant],
                [x + 12, 0, z + slant],
                [x + 12, 0, z + slant + wide],
                [x - 12, 0, z - slant + wide],
            ]
            blot(np.array(stripe), int(rng.uniform(150, 255)))
    for o in objects:
        if isinstance(o["model"], Solid):
            base = _place(o["model"], o["x"], o["z"], o["yaw"])
            tall = np.minimum(base[:, 1], 4)
            base[:, 1] = 0
            top = base.copy()  # where the sun throws the points
            top[:, 0] += reach[0] * tall
            top[:, 2] += reach[1] * tall
            blot(np.concatenate([top, base]), 150 if canvas.weather.direct < 0.3 else 230)
        else:
            p = np.array([o["x"], 0, o["z"]])
            blot(
                p
                + np.array(
                    [
                        [-0.3, 0, 0],
                        [0.3, 0, 0],
                        [0.2 + reach[0] * 1.5, 0, reach[1] * 1.5],
                        [-0.2 + reach[0] * 1.5, 0, reach[1] * 1.5],
                    ]
                ),
                170,
            )
    return cv2.GaussianBlur(out, (0, 0), max(0.8, camera.width / 500))


@dataclass
class SceneObject:
    "A labelled object: class name, box x1 y1 x2 y2 in pixels (clipped to the picture), truncation 0..1, occlusion 0..3, visible share 0..1."

    name: str
    box: tuple
    truncation: float = 0.0
    occlusion: int = 0
    visible: float = 1.0
    size: tuple = (0.0, 0.0, 0.0)  # height, width, length in metres
    place: tuple = (0.0, 0.0, 0.0)  # bottom centre in camera axes (right, down, forward), metres
    yaw: float = 0.0  # KITTI's rotation_y: 0 = heading right, -pi/2 = heading away


@dataclass
class Scene:
    "A picture (H, W, 3) uint8 RGB with everything that is known about it."

    image: np.ndarray
    objects: list[SceneObject]
    ignored: list[tuple]  # DontCare boxes x1 y1 x2 y2
    lanes: list[list[int]]  # x per row of h_samples, -2 = absent, left to right
    h_samples: list[int]
    signs: list[tuple]  # (ClassId, (x1, y1, x2, y2))
    camera: Camera
    road: Road
    weather: str
    stats: dict = field(default_factory=dict)


def lane_rows(height: int) -> list[int]:
    "TuSimple's 56 rows, 160..710 of 720, scaled to a picture height."
    return [int(round(y * height / 720)) for y in range(160, 720, 10)]


def lane_labels(camera: Camera, road: Road, rows: list[int], most: int = 5) -> list[list[int]]:
    "Lanes that a labeller would mark: the ego lane's borders and their neighbours, at most `most`; hidden parts are continued."
    marked = [(s, style) for s, style in zip(road.borders, road.styles) if style not in ("none", "edge")]
    near = 2.35 * (road.borders[1] - road.borders[0])  # beyond the neighbouring lane's far border nothing is marked
    marked = sorted(sorted([b for b in marked if abs(b[0] + road.x0) < near], key=lambda b: abs(b[0] + road.x0))[:most])
    y = np.array(rows, np.float64)
    z = camera.depth(y)
    ok = y > camera.horizon + 0.02 * camera.height
    out = []
    for s, _ in marked:
        x = camera.cx + camera.focal * (s + road.centre(np.where(ok, z, 1.0))) / np.where(ok, z, 1.0)
        keep = ok & (x >= 0) & (x <= camera.width - 1)
        if keep.sum() >= 4:
            out.append(np.where(keep, np.round(x), -2).astype(int).tolist())
    return out


def _metres(model) -> tuple[float, float, float]:
    "Height, width and length of a model."
    points = model.vertices() if isinstance(model, Solid) else np.array([p for limb in model for p in limb[:2]])
    along, up, across = np.ptp(points, axis=0)
    return float(up), float(across), float(along)


def _label_objects(canvas: Canvas, drawn: list[tuple]) -> tuple[list[SceneObject], list[tuple]]:
    "Objects and DontCare boxes from what was drawn: (object, full box, owner number)."
    w, h = canvas.camera.width, canvas.camera.height
    counts = (
        cv2.calcHist([canvas.owner], [0], None, [256], [0, 256]).ravel().tolist()
    )  # owners: 0 scenery, 255 road, else objects
    objects, ignored = [], []
    for o, full, owner in drawn:
        box = np.array([max(full[0], 0), max(full[1], 0), min(full[2], w - 1), min(full[3], h - 1)])
        wide, tall = box[2] - box[0], box[3] - box[1]
        if wide < 2 or tall < 3:
            continue
        truncation = 1 - wide * tall / max((full[2] - full[0]) * (full[3] - full[1]), 1e-6)
        visible = counts[owner] / max(canvas.drawn[owner], 1)
        if visible < 0.03 or counts[owner] < 6:
            continue
        small = tall < 25 * canvas.camera.focal / 721  # 25 px at KITTI's focal length
        if visible < 0.14 or small or truncation > 0.9:
            ignored.append(tuple(np.round(box, 2).tolist()))
            continue
        level = 0 if visible > 0.85 else 1 if visible > 0.5 else 2 if visible > 0.22 else 3
        turn = (o["yaw"] - math.pi / 2 + math.pi) % (2 * math.pi) - math.pi
        objects.append(
            SceneObject(
                o["name"],
                tuple(np.round(box, 2).tolist()),
                round(float(truncation), 2),
                level,
                round(float(visible), 3),
                _metres(o["model"]),
                (o["x"], canvas.camera.above, o["z"]),
                turn,
            )
        )
    return objects, ignored


def _label_signs(canvas: Canvas, drawn: list[tuple]) -> list[tuple]:
    "(ClassId, box) of the signs of at least 10 pixels that are whole and not covered: (ClassId, box, owner number)."

    def free(owner, box):
        return cv2.countNonZero(cv2.compare(canvas.around(box), owner, cv2.CMP_EQ)) > 0.85 * canvas.drawn[owner]

    return [
        (c, tuple(box.tolist()))
        for c, box, owner in drawn
        if box is not None and box[2] - box[0] >= 10 and free(owner, box)
    ]


def _glow(canvas: Canvas, image: np.ndarray) -> np.ndarray:
    "Lamps in the dark and the sun's glare, painted at a quarter of the size, blurred and added."
    camera, weather, rng = canvas.camera, canvas.weather, canvas.rng
    small = np.zeros((camera.height // 4 + 1, camera.width // 4 + 1, 3), np.float32)
    for x, y, r, c, owner in canvas.lamps:
        if not (0 <= x < camera.width and 0 <= y < camera.height) or canvas.owner[int(y), int(x)] not in (
            owner,
            255 - 255 * bool(owner),
        ):
            continue  # hidden
        cv2.circle(small, (int(x / 4), int(y / 4)), max(1, int(r / 3)), c.tolist(), -1)
    small = cv2.GaussianBlur(small, (0, 0), 2.5) * (1.3 * weather.night)
    if weather.name == "low_sun" and weather.sun[2] > 0.2:
        x, y = (
            camera.cx + camera.focal * weather.sun[0] / weather.sun[2],
            camera.horizon - camera.focal * weather.sun[1] / weather.sun[2],
        )
        gy, gx = np.mgrid[: small.shape[0], : small.shape[1]].astype(np.float32) * 4
        r = np.hypot(gx - np.float32(x), gy - np.float32(y)) / camera.width
        small += (150 * np.exp(-r * 9) + 60 * np.exp(-r * 2.5))[..., None] * np.array([1, 0.92, 0.75], np.float32)
    return cv2.add(image, cv2.resize(np.clip(small, 0, 255).astype(np.uint8), (camera.width, camera.height)))


def _rain(canvas: Canvas, image: np.ndarray) -> np.ndarray:
    "Falling drops as faint streaks, and some haze of spray."
    camera, rng = canvas.camera, canvas.rng
    streaks, slant = np.zeros(image.shape[:2], np.uint8), int(rng.integers(-2, 3))
    for x, y, n in rng.uniform(0, [camera.width, camera.height, 1], (120, 3)):
        cv2.line(
            streaks,
            (int(x), int(y)),
            (int(x) + slant, int(y + camera.height * (0.02 + 0.04 * n))),
            int(15 + 35 * n),
            1,
            cv2.LINE_AA,
        )
    return cv2.add(image, cv2.merge([streaks] * 3))


def _finish(canvas: Canvas) -> np.ndarray:
    "The picture as a camera delivers it: glow, rain, exposure, contrast, white balance, blur, vignette and noise."
    camera, weather, rng, image = canvas.camera, canvas.weather, canvas.rng, canvas.image
    if (weather.night and canvas.lamps) or weather.name == "low_sun":
        image = _glow(canvas, image)
    if weather.wet:
        image = _rain(canvas, image)
    v = np.arange(256)[:, None] / 255 * np.array(weather.tint) * weather.exposure * rng.normal(1, 0.025, 3)
    v = np.clip(v, 0, 1) ** rng.uniform(0.85, 1.2)
    v += rng.uniform(0, 0.6) * (v * v * (3 - 2 * v) - v)  # S-shaped contrast of a tone curve
    curves = np.clip(255 * v, 0, 255).astype(np.uint8).T.copy()
    image = cv2.merge([cv2.LUT(plane, curve) for plane, curve in zip(cv2.split(image), curves)])
    if rng.uniform() < 0.75:
        image = cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 0.75))
    strength = rng.uniform(0.04, 0.2) + 0.2 * weather.night
    grain = _grain()
    if camera.height > 1024 or camera.width > 1024:
        grain = np.tile(grain, (camera.height // 1024 + 1, camera.width // 1024 + 1, 1))
    y, x = rng.integers(0, grain.shape[0] - camera.height + 1), rng.integers(0, grain.shape[1] - camera.width + 1)
    return cv2.addWeighted(image, 1, grain[y : y + camera.height, x : x + camera.width], strength, -128 * strength)


def _row(
    kind: str, road: Road, side: int, offset: float, step: float, rng, start: float = 3.0, end: float = 120.0, **extra
) -> list[tuple]:
    "Things of one kind along the road at regular distances."
    z, edge = np.arange(start + rng.uniform(0, step), end, step), road.right if side > 0 else road.left
    return [(float(d), kind, edge + side * offset, dict(extra, side=side, step=step)) for d in z]


def _one_side(road: Road, side: int, rng) -> list[tuple]:
    "What stands on one side of the road (-1 left, 1 right)."
    out, built, spots = [], road.place in ("street", "avenue"), rng.uniform
    edge = road.right if side > 0 else road.left
    if built:
        z, front = spots(2, 16), spots(3.2, 9)
        while z < 110 and spots() < 0.95:
            wide = spots(8, 20)
            out.append((z + wide / 2, "building", edge + side * (front + spots(0, 1.5)), dict(side=side, wide=wide)))
            z += wide + (spots(0, 2) if spots() < 0.6 else spots(4, 14))
    if spots() < (0.45 if built else 0.6):  # an avenue or the edge of a wood
        gap = spots(7, 12) if built else spots(3, 6)
        for z, kind, s, d in _row("tree", road, side, spots(1.2, 2.5) if built else spots(5, 10), gap, rng, 5):
            out.append((z + spots(-0.3, 0.3) * gap, kind, s + side * (0 if built else spots(0, 6)), d))
    for z in spots(6, 120, int(rng.integers(3, 12) if built else rng.integers(6, 22))):
        kind = "bush" if spots() < 0.45 else "tree"
        out.append((float(z), kind, edge + side * (spots(2.5, 5) if built else spots(4, 30)), dict(side=side)))
    border = _choice(
        rng,
        dict(none=0.45, hedge=0.2, wall=0.15, fence=0.2) if built else dict(none=0.3, rail=0.45, wall=0.12, fence=0.13),
    )
    if road.place == "highway":
        border = _choice(rng, dict(wall=0.5, rail=0.4, none=0.1) if side < 0 else dict(rail=0.5, wall=0.15, none=0.35))
    if border == "hedge":
        out += _row("bush", road, side, spots(2.2, 3.2), 1.8, rng, end=60)
    elif border != "none":
        tall = dict(
            wall=spots(0.7, 1.1) if road.place == "highway" else spots(0.5, 1.8), rail=0.75, fence=spots(0.8, 1.5)
        )[border]
        out += _row(
            border,
            road,
            side,
            spots(0.3, 0.9) if not built else spots(2.5, 3.2),
            4.0,
            rng,
            1.5,
            tall=tall,
            grey=spots(0.5, 1.2),
            end=110,
        )
    if spots() < 0.7:
        out += _row("pole", road, side, spots(0.5, 1.5), spots(22, 45), rng, tall=spots(5, 10), arm=spots() < 0.6)
    for _ in range(int(rng.integers(0, 3))):
        out.append((spots(6, 60), "clutter", edge + side * spots(0.4, 3), dict(side=side)))
    return out


def _roadside(road: Road, rng) -> list[tuple]:
    "Trees, hedges, walls, houses, posts and boards as (depth, kind, s, details)."
    out, spots = _one_side(road, -1, rng) + _one_side(road, 1, rng), rng.uniform
    if road.place == "highway" and spots() < 0.35:
        out.append((spots(25, 90), "gantry", 0.0, dict(side=1)))
    return out


def _draw_segment(
    canvas: Canvas, road: Road, z: float, s: float, kind: str, step: float, tall: float, grey: float, **_
):
    "A piece of wall, guard rail or fence, `step` metres long."
    ends = max(z - step / 2, 1.2), z + step / 2 + 0.05
    near, far = (road.centre(end) + s for end in ends)
    if abs(far) * canvas.camera.focal > 0.7 * canvas.camera.width * ends[1]:
        return  # beside the picture

    def grade(colour):
        return [c * grey for c in colour]

    def bands(*rows):  # (low, high, colour) each
        world = np.array(
            [
                [[near, low, ends[0]], [near, high, ends[0]], [far, high, ends[1]], [far, low, ends[1]]]
                for low, high, _ in rows
            ]
        )
        canvas.quads(world, [canvas.weather.tone(grade(colour), 0.35, z) for *_, colour in rows], 0)

    if kind == "wall":
        bands((0, tall, (178, 168, 150)), (tall * 0.9, tall, (200, 192, 176)), (0, 0.12, (110, 104, 96)))
    elif kind == "rail":
        bands((tall - 0.32, tall, (176, 180, 184)), (tall - 0.2, tall - 0.12, (120, 124, 128)))
        _draw_pole(canvas, far, ends[1], tall, 0.12, grade((110, 112, 114)))
    else:
        posts = np.arange(*ends, 0.5 if z < 20 else 1.3 if z < 45 else 4.0).tolist()
        for d in posts:
            _draw_pole(canvas, road.centre(d) + s, d, tall, 0.07, grade((150, 140, 128)))
        bands(*((tall * h, tall * h + 0.07, (140, 132, 120)) for h in (0.3, 0.85)))


def _draw_lamp_post(canvas: Canvas, road: Road, z: float, s: float, tall: float, arm: bool, side: int, **_):
    "A street lamp, or a plain post."
    x = road.centre(z) + s
    _draw_pole(canvas, x, z, tall, 0.14, (112, 114, 116))
    if not arm:
        return
    top = canvas.camera.project(np.array([[x, tall, z], [x - side * 1.8, tall + 0.25, z]]))
    w = max(0.05 * canvas.camera.focal / z, 0.4)
    canvas.fill(np.concatenate([top - [0, w], top[::-1] + [0, w]]), canvas.weather.tone((112, 114, 116), 0.3, z), 0)
    if canvas.weather.night > 0.2:
        canvas.lamps.append((*top[1], 0.25 * canvas.camera.focal / z, np.array([255, 214, 150.0]), 0))


def _draw_clutter(canvas: Canvas, x: float, z: float, rng):
    "Bins, cabinets, boards, bollards: boxes that are nobody's label."
    solid, colour = Solid(), rng.uniform(30, 220, 3) * 0.6 + rng.uniform(20, 80)
    solid.part()
    pick = rng.uniform()
    if pick < 0.4:
        solid.box(
            -rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.5), 0, rng.uniform(0.8, 1.4), rng.uniform(0.2, 0.4), colour
        )
    elif pick < 0.6:
        solid.box(
            -0.08, 0.08, 0, rng.uniform(0.7, 1.1), 0.08, (200, 200, 200) if rng.uniform() < 0.5 else (190, 60, 40)
        )
    else:
        low, half = rng.uniform(0.8, 2.5), rng.uniform(0.6, 2)
        f = solid.box(-0.1, 0.1, low, low + rng.uniform(0.6, 2), half, colour)
        for u in (low + 0.2, low + 0.4):
            solid.face(_quad(-0.11, u, u + 0.1, -half * 0.8, half * rng.uniform(0, 0.8)), (235, 235, 230), f[0])
        for c in (-half * 0.8, half * 0.8):
            solid.part(-1)
            solid.box(-0.05, 0.05, 0, low, 0.05, (110, 110, 112))
            solid.points[-6:] = [p + [0, 0, c] for p in solid.points[-6:]]
    _draw_solid(canvas, solid, x, z, rng.normal(0, 0.2), 0)


def _draw_gantry(canvas: Canvas, road: Road, z: float, rng):
    "A sign bridge with direction boards over the carriageway."
    middle, tone = road.centre(z), canvas.weather.tone
    for s in (road.left - 0.5, road.right + 0.5):
        _draw_pole(canvas, middle + s, z, 7.2, 0.35, (130, 132, 134))

    def board(s0, s1, low, high, c):
        corners = np.array(
            [[middle + s0, low, z], [middle + s0, high, z], [middle + s1, high, z], [middle + s1, low, z]]
        )
        canvas.fill(canvas.camera.project(corners), tone(c, 0.3, z), 0)

    board(road.left - 0.5, road.right + 0.5, 6.6, 7.2, (120, 122, 124))
    blue = (np.array([24, 84, 170]), np.array([20, 110, 70]))[int(rng.integers(2))]
    s = road.left + rng.uniform(0, 3)
    while s + 3.5 < road.right:
        w = rng.uniform(2.8, 4.5)
        board(s, s + w, 5.5, 8.0, blue)
        board(s + 0.15, s + w - 0.15, 5.65, 7.85, blue * 1.08)
        for u in (6.1, 6.7, 7.3):
            board(s + 0.4, s + w * rng.uniform(0.5, 0.9), u, u + 0.28, (235, 238, 238))
        s += w + rng.uniform(0.3, 4)


def _near(o: dict) -> float:
    "Depth that decides what covers what: a little behind an object's near end."
    return o["z"] - 0.45 * (
        0.0 if isinstance(o["model"], list) else np.ptp(o["model"].vertices()[:, 0]) * abs(math.cos(o["yaw"]))
    )


def _items(kind: str, road: Road, cast: list[dict], rng) -> list[tuple]:
    "All that stands on or beside the road as (depth, what, ...), the farthest first."
    items = [(_near(o), "object", o, i + 1) for i, o in enumerate(cast)] + _roadside(road, rng)
    for _ in range(int(rng.integers(1 if kind == "joint" else 0, 4))):
        side = 1 if rng.uniform() < 0.75 else -1
        s = (road.right if side > 0 else road.left) + side * rng.uniform(0.5, 2.0)
        items.append((float(rng.uniform(6, 35)), "sign", s, int(rng.integers(43))))
    return sorted(items, key=lambda item: -item[0])


def _draw_items(canvas: Canvas, road: Road, items: list[tuple], rng) -> tuple[list, list]:
    "Draw from far to near; returns what was drawn of objects and of signs, for the labels."
    drawn, signs = [], []
    for z, what, a, b in items:
        x = 0.0 if what == "object" else float(a + road.centre(z))
        if what == "object":
            paint = _draw_solid if isinstance(a["model"], Solid) else _draw_limbs
            box = paint(canvas, a["model"], a["x"], a["z"], a["yaw"], b)
            drawn.append((a, box, b))
            canvas.count(b, box)
        elif what == "sign":
            owner = _FIRST_SIGN + len(signs)
            box = _draw_sign_at(canvas, x, z, b, rng, owner)
            signs.append((b, box, owner))
            if box is not None:
                canvas.count(owner, box)
        elif what == "building":
            _draw_building(canvas, x, z, road, rng, **b)
        elif what in ("wall", "rail", "fence"):
            _draw_segment(canvas, road, z, a, what, **b)
        elif what == "pole":
            _draw_lamp_post(canvas, road, z, a, **b)
        elif what == "clutter":
            _draw_clutter(canvas, x, z, rng)
        elif what == "gantry":
            _draw_gantry(canvas, road, z, rng)
        else:
            _draw_tree(canvas, x, z, rng, what == "bush")
    return drawn, signs


def _check_weights(weights: dict | None) -> dict:
    "Class weights with every key known and some weight left."
    weights = dict(CLASS_WEIGHTS if weights is None else weights)
    unknown = set(weights) - set(DETECTION_CLASSES)
    if unknown:
        raise UserError(
            f"class_weights: unknown class {sorted(unknown)[0]!r}; the classes are {', '.join(DETECTION_CLASSES)}."
        )
    if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise UserError("class_weights: weights must not be negative and at least one must be above 0.")
    return weights


def draw_scene(
    rng: np.random.Generator,  # every random choice comes from here
    kind: str = "kitti",  # "kitti", "tusimple" or "joint"
    size: tuple[int, int] | None = None,  # (width, height) in pixels; None: SCENE_SIZES[kind]
    class_weights: dict | None = None,  # relative frequency of the seven classes; None: CLASS_WEIGHTS
    weather: str | None = None,  # a name from WEATHERS, None: random
) -> Scene:
    "One labelled road scene; raises UserError for an unknown kind, class, weather or an impossible size."
    weights = _check_weights(class_weights)
    camera = scene_camera(kind, size, rng)
    road = make_road(kind, rng, weights.get("Tram", 0) / sum(weights.values()))
    canvas = Canvas(camera, make_weather(rng, weather), rng)
    count = int(
        np.clip(rng.gamma(3.0, _CROWD[kind] * (1.3 if road.parking else 1.0)), 0 if kind == "tusimple" else 1, 28)
    )
    cast = _cast(road, camera, rng, weights, count)
    _paint_sky(canvas)
    _paint_ground(canvas, road, _shadow_map(canvas, road, cast, rng))
    drawn, signs = _draw_items(canvas, road, _items(kind, road, cast, rng), rng)
    if canvas.weather.wet:
        _wet_road(canvas, road)
    objects, ignored = _label_objects(canvas, drawn)
    rows = lane_rows(camera.height)
    return Scene(
        _finish(canvas),
        objects,
        ignored,
        lane_labels(camera, road, rows),
        rows,
        _label_signs(canvas, signs),
        camera,
        road,
        canvas.weather.name,
        dict(place=road.place, drawn=len(drawn)),
    )
