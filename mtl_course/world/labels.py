"""Labels as by-products of drawing.

Boxes come from projected corners, occlusion from counting owners, lanes from (s, Z)."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera
from .canvas import Canvas
from .road import Road
from .traffic import RoadUser

__all__ = []


@dataclass
class SceneObject:
    """A labelled object."""

    name: str  # one of DETECTION_CLASSES
    box: tuple  # x1 y1 x2 y2 in pixels, clipped to the picture
    truncation: float = 0.0  # share of the box outside the picture, 0..1
    occlusion: int = 0  # KITTI's level 0..3
    visible: float = 1.0  # share of its pixels that nothing covers, 0..1
    size: tuple = (0.0, 0.0, 0.0)  # height, width, length in metres
    place: tuple = (0.0, 0.0, 0.0)  # bottom centre in camera axes (right, down, forward), metres
    yaw: float = 0.0  # KITTI's rotation_y: 0 = heading right, -pi/2 = heading away


@dataclass
class Drawn:
    """Something that was drawn and may be labelled."""

    what: RoadUser | int  # a road user, or the ClassId of a sign
    box: np.ndarray | None  # x1 y1 x2 y2 around all of it; None: not wholly inside the picture
    owner: int  # of its pixels


def lane_rows(height: int) -> list[int]:
    """TuSimple's 56 rows, 160..710 of 720, scaled to a picture height."""
    return [int(round(y * height / 720)) for y in range(160, 720, 10)]


def lane_labels(
    camera: Camera,
    road: Road,
    rows: list[int],
    most: int = 5,  # lanes
) -> list[list[int]]:  # x per row, -2 = absent; lanes from left to right
    """Lanes that a labeller would mark: the ego lane's borders and their neighbours.

    Hidden parts are continued."""
    near = 2.35 * (road.borders[1] - road.borders[0])  # beyond the neighbouring lane's far border nothing is marked
    painted = [s for s, style in zip(road.borders, road.styles) if style not in ("none", "edge")]
    marked = [s for s in painted if abs(s + road.x0) < near]
    marked = sorted(sorted(marked, key=lambda s: abs(s + road.x0))[:most])
    y = np.array(rows, np.float64)
    z = camera.depth(y)
    on_road = y > camera.horizon + 0.02 * camera.height
    lanes = []
    for s in marked:
        x = camera.cx + camera.focal * (s + road.centre(np.where(on_road, z, 1.0))) / np.where(on_road, z, 1.0)
        inside = on_road & (x >= 0) & (x <= camera.width - 1)
        if inside.sum() >= 4:
            lanes.append(np.where(inside, np.round(x), -2).astype(int).tolist())
    return lanes


def label_objects(
    canvas: Canvas,  # on which all is drawn
    drawn: list[Drawn],
) -> tuple[list[SceneObject], list[tuple]]:  # objects, and DontCare boxes x1 y1 x2 y2
    """Labels of the road users; what is too small, too covered or cut off becomes DontCare."""
    counts = cv2.calcHist([canvas.owner], [0], None, [256], [0, 256]).ravel().tolist()
    objects = []
    ignored = []
    for thing in drawn:
        full = thing.box
        right = canvas.camera.width - 1
        bottom = canvas.camera.height - 1
        box = np.array([max(full[0], 0), max(full[1], 0), min(full[2], right), min(full[3], bottom)])
        wide = box[2] - box[0]
        tall = box[3] - box[1]
        if wide < 2 or tall < 3:
            continue
        truncation = 1 - wide * tall / max((full[2] - full[0]) * (full[3] - full[1]), 1e-6)
        pixels = counts[thing.owner]
        visible = pixels / max(canvas.drawn[thing.owner], 1)
        if visible < 0.03 or pixels < 6:
            continue
        corners = tuple(np.round(box, 2).tolist())
        small = tall < 25 * canvas.camera.focal / 721  # 25 px at KITTI's focal length
        if visible < 0.14 or small or truncation > 0.9:
            ignored.append(corners)
            continue
        objects.append(_object(thing.what, corners, truncation, visible, canvas.camera.above))
    return objects, ignored


def label_signs(canvas: Canvas, drawn: list[Drawn]) -> list[tuple]:
    """(ClassId, box) of the signs of at least 10 pixels that are whole and not covered."""
    signs = []
    for sign in drawn:
        if sign.box is None or sign.box[2] - sign.box[0] < 10:
            continue
        pixels = cv2.countNonZero(cv2.compare(canvas.around(sign.box), sign.owner, cv2.CMP_EQ))
        if pixels > 0.85 * canvas.drawn[sign.owner]:
            signs.append((sign.what, tuple(sign.box.tolist())))
    return signs


def _object(user: RoadUser, box: tuple, truncation: float, visible: float, above: float) -> SceneObject:
    """The label of one road user."""
    return SceneObject(
        user.name,
        box,
        round(float(truncation), 2),
        _occlusion(visible),
        round(float(visible), 3),
        size=user.model.size(),
        place=(user.x, above, user.z),
        yaw=(user.yaw - math.pi / 2 + math.pi) % (2 * math.pi) - math.pi,
    )


def _occlusion(visible: float) -> int:
    """KITTI's level: 0 fully visible, 1 partly, 2 largely hidden, 3 unknown."""
    if visible > 0.85:
        return 0
    if visible > 0.5:
        return 1
    return 2 if visible > 0.22 else 3
