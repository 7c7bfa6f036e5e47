"""Who stands where on the road, and the shadows on the ground."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..core.errors import UserError
from .camera import Camera
from .canvas import Canvas, to_fixed_point
from .chance import weighted_choice
from .other_vehicles import make_misc
from .people import make_cyclist, make_pedestrian
from .road import Road
from .solid import Body, Solid
from .vehicles import make_car, make_tram, make_truck, make_van

__all__ = []

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
_FOOTPRINTS = dict(
    Car=(5.0, 1.9),
    Van=(6.0, 2.1),
    Truck=(12.5, 2.6),
    Tram=(26.0, 2.6),
    Misc=(12.0, 2.5),
    Pedestrian=(0.8, 0.7),
    Cyclist=(2.0, 0.8),
)  # length and width in metres
_CROWDS = dict(kitti=2.7, tusimple=2.1, joint=2.5)  # mean number of road users / 3
_ODDS = dict(
    highway=dict(Pedestrian=0, Cyclist=0, Tram=0, Truck=2.0, Misc=1.2),
    country=dict(Pedestrian=0.5, Tram=0, Misc=1.4),
    street=dict(Truck=0.6, Pedestrian=1.3, Cyclist=1.2),
    avenue=dict(Pedestrian=1.2, Cyclist=1.2),
)  # who is met where


@dataclass
class RoadUser:
    """Somebody or something that moves on the road, in world metres."""

    name: str  # one of the seven classes
    model: Solid | Body
    x: float  # to the right
    z: float  # ahead
    yaw: float  # 0 drives away from the camera, pi towards it, pi/2 to the right
    ahead: float = 0.0  # half of its footprint, along the road
    aside: float = 0.0  # half of its footprint, across the road

    def nearest(self) -> float:
        """Depth that decides what covers what: a little behind its near end."""
        return self.z - 0.45 * (self.model.length() * abs(math.cos(self.yaw)))


def check_class_weights(
    weights: dict | None,  # relative frequency of the seven classes; None: CLASS_WEIGHTS
) -> dict:
    """The weights; raises `UserError` where a class is unknown or no weight is left."""
    weights = dict(CLASS_WEIGHTS if weights is None else weights)
    unknown = set(weights) - set(CLASS_WEIGHTS)
    if unknown:
        classes = ", ".join(CLASS_WEIGHTS)
        raise UserError(f"class_weights: unknown class {sorted(unknown)[0]!r}; the classes are {classes}.")
    if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise UserError("class_weights: weights must not be negative and at least one must be above 0.")
    return weights


def make_traffic(
    kind: str,  # "kitti", "tusimple" or "joint"
    road: Road,
    camera: Camera,
    rng: np.random.Generator,
    weights: dict,  # relative frequency of the classes
) -> list[RoadUser]:
    """Road users within the picture, none inside another."""
    crowd = rng.gamma(3.0, _CROWDS[kind] * (1.3 if road.parking else 1.0))
    count = int(np.clip(crowd, 0 if kind == "tusimple" else 1, 28))
    weights = _local_weights(road, weights)
    users = []
    for _ in range(count * 4):
        if len(users) >= count:
            break
        name = weighted_choice(rng, weights)
        s, yaw = _lateral_place(name, road, rng)
        length, width = _FOOTPRINTS[name]
        small = length < 3
        z = (4.0 if small else 5.0) * (12.0 if small else 14.0) ** rng.uniform() ** 0.85
        z += 0 if small else length * 0.4
        x = s + road.centre(z)
        ahead = (abs(length * math.cos(yaw)) + width) / 2
        aside = (abs(length * math.sin(yaw)) + width) / 2
        if any(abs(z - o.z) < ahead + o.ahead and abs(x - o.x) < aside + o.aside for o in users):
            continue
        if abs(x) * camera.focal / z > camera.width * 0.62:
            continue  # outside the picture
        if z - ahead < 2 or (z < 9 and abs(x) < aside + 1 and not small):
            continue  # inside the ego car
        model = _MAKERS[name](rng)
        users.append(RoadUser(name, model, float(x), float(z), float(yaw + road.slope(z)), ahead, aside))
    return users


def shadow_map(canvas: Canvas, road: Road, users: list[RoadUser], rng) -> np.ndarray:
    """Where the sun does not reach the ground, (H, W) uint8, 255 = fully shaded.

    Under and beside road users, and where trees and houses stand across the road."""
    camera = canvas.camera
    sun = canvas.weather.sun
    shade = np.zeros((camera.height, camera.width), np.uint8)
    reach = -sun[[0, 2]] / max(sun[1], 0.15) * min(1.0, canvas.weather.direct * 2)  # metres per metre of height

    def blot(points, value):
        hull = cv2.convexHull(to_fixed_point(camera.project(points)))
        cv2.fillConvexPoly(shade, hull, value, cv2.LINE_AA, 4)

    if canvas.weather.direct > 0.3:
        for _ in range(int(rng.integers(0, 5))):
            blot(_stripe_of_shade(road, rng), int(rng.uniform(150, 255)))
    for user in users:
        if isinstance(user.model, Solid):
            blot(_shadow_of_solid(user, reach), 150 if canvas.weather.direct < 0.3 else 230)
        else:
            blot(_shadow_of_body(user, reach), 170)
    return cv2.GaussianBlur(shade, (0, 0), max(0.8, camera.width / 500))


def _local_weights(road: Road, weights: dict) -> dict:
    """Class weights at a place; trams need a track."""
    local = {name: w * _ODDS[road.place].get(name, 1.0) for name, w in weights.items()}
    if "Tram" in local:
        local["Tram"] *= 6.0 if road.tram is not None else 0.0
    if sum(local.values()) > 0:
        return local
    return {name: w for name, w in weights.items() if name != "Tram" or w == sum(weights.values())}


def _lateral_place(name: str, road: Road, rng) -> tuple[float, float]:
    """s in metres and yaw against the road for a road user of a class."""
    right = rng.uniform() < 0.5
    if name == "Pedestrian":
        return _pedestrian_place(road, right, rng)
    if name == "Cyclist":
        return _cyclist_place(road, rng)
    if name == "Tram" and road.tram is not None:
        return road.tram, math.pi if rng.uniform() < 0.6 else 0.0
    if road.parking and rng.uniform() < 0.55 and name in ("Car", "Van", "Misc"):
        turned = rng.uniform() < 0.15
        s = road.right - 1.05 if right else road.left + 1.05
        return s, (0.0 if right != turned else math.pi) + rng.normal(0, 0.03)
    lanes = [(a + b) / 2 for a, b in zip(road.borders, road.borders[1:])]
    i = int(rng.integers(len(lanes)))
    yaw = (0.0 if road.directions[i] > 0 else math.pi) + rng.normal(0, 0.03)
    if rng.uniform() < 0.06 and road.place != "highway":
        yaw += rng.uniform(-1.5, 1.5)  # turning, crossing
    return lanes[i] + rng.normal(0, 0.2), yaw


def _pedestrian_place(road: Road, right: bool, rng) -> tuple[float, float]:
    """Three in four walk beside the road, the others cross it."""
    if rng.uniform() >= 0.75:
        s = rng.uniform(road.left, road.right)
    elif right:
        s = road.right + rng.uniform(0.4, 2.6)
    else:
        s = road.left - rng.uniform(0.4, 2.6)
    return s, rng.uniform(0, 2 * math.pi)


def _cyclist_place(road: Road, rng) -> tuple[float, float]:
    """At an edge of the road; one in five crosses it."""
    right = rng.uniform() < 0.7
    if rng.uniform() < 0.8:
        yaw = (0.0 if right else math.pi) + rng.normal(0, 0.15)
    else:
        yaw = rng.choice([-1.0, 1.0]) * math.pi / 2 + rng.normal(0, 0.3)
    return road.right - rng.uniform(0.3, 1.0) if right else road.left + rng.uniform(0.3, 1.0), yaw


def _stripe_of_shade(road: Road, rng) -> np.ndarray:
    """Shadow of a tree or a house across the road, (4, 3) metres."""
    z = rng.uniform(4, 60)
    wide = rng.uniform(1.0, 6)
    x = rng.uniform(-10, 10) + road.centre(z)
    slant = rng.uniform(-6, 6)
    near = [[x - 12, 0, z - slant], [x + 12, 0, z + slant]]
    far = [[x + 12, 0, z + slant + wide], [x - 12, 0, z - slant + wide]]
    return np.array(near + far)


def _shadow_of_solid(user: RoadUser, reach: np.ndarray) -> np.ndarray:
    """Points of a solid on the ground, and where the sun throws them, (2 N, 3) metres."""
    base = user.model.place(user.x, user.z, user.yaw)
    tall = np.minimum(base[:, 1], 4)
    base[:, 1] = 0
    thrown = base.copy()
    thrown[:, 0] += reach[0] * tall
    thrown[:, 2] += reach[1] * tall
    return np.concatenate([thrown, base])


def _shadow_of_body(user: RoadUser, reach: np.ndarray) -> np.ndarray:
    """A narrow shadow, (4, 3) metres."""
    x = reach[0] * 1.5
    z = reach[1] * 1.5
    offsets = [[-0.3, 0, 0], [0.3, 0, 0], [0.2 + x, 0, z], [-0.2 + x, 0, z]]
    return np.array([user.x, 0, user.z]) + np.array(offsets)
