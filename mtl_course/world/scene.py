"""A road scene.

Camera, road, weather and traffic; sky and ground; then everything from far to near; labels and
sensor."""

from dataclasses import dataclass, field

import numpy as np

from .camera import Camera, scene_camera
from .canvas import Canvas
from .ground import paint_ground, wet_road
from .labels import Drawn, SceneObject, label_objects, label_signs, lane_labels, lane_rows
from .road import Road, make_road
from .roadside import RoadsideItem, draw_roadside, draw_sign_post, make_roadside
from .sensor import take_picture
from .sky import paint_sky
from .traffic import RoadUser, check_class_weights, make_traffic, shadow_map
from .weather import make_weather

__all__ = ["draw_scene"]


@dataclass
class Scene:
    """A picture with everything that is known about it."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    objects: list[SceneObject]
    ignored: list[tuple]  # DontCare boxes x1 y1 x2 y2
    lanes: list[list[int]]  # x per row of h_samples, -2 = absent, left to right
    h_samples: list[int]  # rows
    signs: list[tuple]  # (ClassId, (x1, y1, x2, y2))
    camera: Camera
    road: Road
    weather: str
    owner: np.ndarray  # (H, W) uint8: who owns each pixel; Canvas.ROAD where the road's surface is seen
    stats: dict = field(default_factory=dict)


@dataclass
class _SignPost:
    """A traffic sign that will stand beside the road."""

    s: float  # metres to the right of the ego lane's middle
    class_id: int  # GTSRB ClassId


@dataclass
class _Item:
    """Something that stands on or beside the road."""

    z: float  # metres; what is farther is drawn first
    what: RoadUser | RoadsideItem | _SignPost
    owner: int = Canvas.NOBODY  # of a road user's pixels


def draw_scene(
    rng: np.random.Generator,  # every random choice comes from here
    kind: str = "kitti",  # "kitti", "tusimple" or "joint"
    size: tuple[int, int] | None = None,  # (width, height) in pixels; None: SCENE_SIZES[kind]
    class_weights: dict | None = None,  # relative frequency of the seven classes; None: CLASS_WEIGHTS
    weather: str | None = None,  # a name from WEATHERS, None: random
) -> Scene:
    """One labelled road scene.

    Raises `UserError` for an unknown kind, class, weather or an impossible size."""
    weights = check_class_weights(class_weights)
    camera = scene_camera(kind, size, rng)
    road = make_road(kind, rng, weights.get("Tram", 0) / sum(weights.values()))
    canvas = Canvas(camera, make_weather(rng, weather), rng)
    traffic = make_traffic(kind, road, camera, rng, weights)
    paint_sky(canvas)
    paint_ground(canvas, road, shadow_map(canvas, road, traffic, rng))
    items = _items(kind, road, traffic, rng)
    users, signs = _draw_items(canvas, road, items, rng)
    if canvas.weather.wet:
        wet_road(canvas)
    objects, ignored = label_objects(canvas, users)
    rows = lane_rows(camera.height)
    return Scene(
        take_picture(canvas),
        objects,
        ignored,
        lane_labels(camera, road, rows),
        rows,
        label_signs(canvas, signs),
        camera,
        road,
        canvas.weather.name,
        canvas.owner,
        stats=dict(place=road.place, drawn=len(users)),
    )


def _items(kind: str, road: Road, traffic: list[RoadUser], rng) -> list[_Item]:
    """All that stands on or beside the road, the farthest first."""
    items = [_Item(user.nearest(), user, owner) for owner, user in enumerate(traffic, 1)]
    items += [_Item(thing.z, thing) for thing in make_roadside(road, rng)]
    for _ in range(int(rng.integers(1 if kind == "joint" else 0, 4))):
        side = 1 if rng.uniform() < 0.75 else -1
        s = (road.right if side > 0 else road.left) + side * rng.uniform(0.5, 2.0)
        z = float(rng.uniform(6, 35))
        items.append(_Item(z, _SignPost(s, int(rng.integers(43)))))
    return sorted(items, key=lambda item: -item.z)


def _draw_items(canvas: Canvas, road: Road, items: list[_Item], rng) -> tuple[list[Drawn], list[Drawn]]:
    """Draw from far to near; returns what was drawn of road users and of signs, for the labels."""
    users = []
    signs = []
    for item in items:
        thing = item.what
        if isinstance(thing, RoadUser):
            box = thing.model.draw(canvas, thing.x, thing.z, thing.yaw, item.owner)
            users.append(Drawn(thing, box, item.owner))
            canvas.count(item.owner, box)
        elif isinstance(thing, _SignPost):
            owner = Canvas.FIRST_SIGN + len(signs)
            x = float(thing.s + road.centre(item.z))
            box = draw_sign_post(canvas, x, item.z, thing.class_id, rng, owner)
            signs.append(Drawn(thing.class_id, box, owner))
            if box is not None:
                canvas.count(owner, box)
        else:
            draw_roadside(canvas, road, thing, rng)
    return users, signs
