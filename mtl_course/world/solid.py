"""What stands on the ground: solids for vehicles and houses, bodies of capsules for people."""

import math

import cv2
import numpy as np

from .canvas import Canvas, to_fixed_point
from .weather import Weather

__all__ = []

_MIRROR = np.array([1.0, 1, -1])  # (along, up, across): right side to left side


class Solid:
    """A mesh of convex parts in its frame: (along, up, across) in metres.

    along = driving direction, across = to its right. A face is drawn when it looks towards the
    camera; windows, wheels and lamps are *decals*, drawn right after the face that they lie on."""

    def __init__(self):
        self.points: list[np.ndarray] = []
        self.faces: list[tuple] = []  # (part, parent, colour, glow)
        self.layers: list[int] = []  # per part: lower layers are drawn first
        self._all: np.ndarray | None = None  # the points of all faces, once they have been asked for

    def part(self, layer: int = 0) -> int:
        """Start a convex part and return its number."""
        self.layers.append(layer)
        return len(self.layers) - 1

    def face(
        self,
        points,  # (N, 3) metres
        colour,  # RGB 0..255
        parent: int = -1,  # face that this one lies on as a decal
        glow: float = 0.0,  # radius of the light at night in metres
    ) -> int:
        """Add a polygon to the current part; returns its number."""
        self.points.append(np.asarray(points, np.float64))
        part = len(self.layers) - 1 if parent < 0 else self.faces[parent][0]
        self.faces.append((part, parent, np.asarray(colour, np.float64), glow))
        self._all = None
        return len(self.faces) - 1

    def decals(self, points: np.ndarray, colour, parent: int, glow: float = 0.0):
        """Add polygons (n, N, 3) of one colour as decals on a face."""
        self.points += list(points)
        self.faces += [(self.faces[parent][0], parent, np.asarray(colour, np.float64), glow)] * len(points)
        self._all = None

    def extrude(
        self,
        profile,  # (N, 2) of (along, up)
        half,  # half width, or one per point
        colours,  # one per edge, then the sides
    ) -> dict:  # numbers of the faces: 0, 1, ... by edge, "right", "left"
        """Add a side view and give it a width."""
        n = len(profile)
        right = np.empty((n + 1, 3))  # the first point again at the end
        right[:-1, :2] = profile
        right[:-1, 2] = half
        right[-1] = right[0]
        left = right * _MIRROR
        edges = np.stack([right[:-1], right[1:], left[1:], left[:-1]], 1)
        faces = {i: self.face(edge, colours[i]) for i, edge in enumerate(edges)}
        faces["right"] = self.face(right[:-1], colours[-1])
        faces["left"] = self.face(left[:-1], colours[-1])
        return faces

    def box(self, a0, a1, u0, u1, half, colours) -> dict:
        """A box from a0 to a1 along and u0 to u1 up.

        Faces: 0 = rear, 1 = top, 2 = front, 3 = bottom, "right", "left"."""
        profile = [(a0, u0), (a0, u1), (a1, u1), (a1, u0)]
        return self.extrude(profile, half, colours if isinstance(colours, list) else [colours] * 5)

    def vertices(self) -> np.ndarray:
        """The points of all faces, one after the other, (N, 3)."""
        if self._all is None:
            self._all = np.concatenate(self.points)
        return self._all

    def place(
        self,
        x: float,  # metres to the right
        z: float,  # metres ahead
        yaw: float,  # 0 drives away from the camera, pi towards it, pi/2 to the right
    ) -> np.ndarray:  # (N, 3)
        """All points in world metres."""
        return _place(self.vertices(), x, z, yaw)

    def length(self) -> float:
        """Metres along."""
        return np.ptp(self.vertices()[:, 0])

    def size(self) -> tuple[float, float, float]:
        """Height, width and length in metres."""
        along, up, across = np.ptp(self.vertices(), axis=0)
        return float(up), float(across), float(along)

    def draw(
        self,
        canvas: Canvas,
        x: float,  # metres to the right
        z: float,  # metres ahead
        yaw: float,  # 0 drives away from the camera
        owner: int,  # of its pixels; Canvas.BUILDING: nobody's when it has been drawn
    ) -> np.ndarray:  # (4,) x1 y1 x2 y2 of all of it, whether inside the picture or not
        """Draw it and return its box."""
        camera = canvas.camera
        world = self.place(x, z, yaw)
        pixels = camera.project(world)
        box = np.concatenate([pixels.min(0), pixels.max(0)])
        x1, y1, x2, y2 = box.tolist()
        if x1 > camera.width + 2 or y1 > camera.height + 2 or x2 < -2 or y2 < -2:
            return box  # beside the picture
        _draw_faces(canvas, self, world, pixels, z, owner)

        def its_pixels(x1, y1, x2, y2):
            return cv2.compare(canvas.owner[y1:y2, x1:x2], owner, cv2.CMP_EQ)

        building = owner == Canvas.BUILDING
        canvas.roughen((x1, y1, x2, y2), "plaster" if building else "metal", its_pixels, stretch=not building)
        if building:
            owners = canvas.around((x1, y1, x2, y2))
            owners[owners == Canvas.BUILDING] = Canvas.NOBODY
        return box


class Body:
    """Capsules in its frame: two circles each, (along, up, across) in metres, and their common
    tangents."""

    def __init__(
        self,
        capsules: list[tuple],  # (joint, joint, radius, radius, colour) each
    ):
        self.joints = np.array([[p, q] for p, q, *_ in capsules])  # (n, 2, 3)
        self.radii = np.array([[r, s] for _, _, r, s, _ in capsules])  # (n, 2)
        self.colours = np.array([colour for *_, colour in capsules], np.float64)  # (n, 3)

    def length(self) -> float:
        """Metres along; people are thin."""
        return 0.0

    def size(self) -> tuple[float, float, float]:
        """Height, width and length in metres."""
        along, up, across = np.ptp(self.joints.reshape(-1, 3), axis=0)
        return float(up), float(across), float(along)

    def draw(
        self,
        canvas: Canvas,
        x: float,  # metres to the right
        z: float,  # metres ahead
        yaw: float,  # 0 walks away from the camera
        owner: int,  # of its pixels
    ) -> np.ndarray:  # (4,) x1 y1 x2 y2 of all of it, whether inside the picture or not
        """Draw the capsules from far to near and return the box around them."""
        world = _place(self.joints, x, z, yaw)
        outline = self._outlines(canvas, world)
        fixed = to_fixed_point(outline)
        light = 0.35 + 0.3 * max(0.0, -canvas.weather.sun[2])
        colours = canvas.weather.shade(self.colours, light, z).tolist()
        n = len(colours)
        for i in np.argsort(-world[..., 2].mean(1) - 0.02 * np.arange(n) / n, kind="stable"):
            cv2.fillConvexPoly(canvas.image, fixed[i], colours[i], cv2.LINE_AA, 4)
            cv2.fillConvexPoly(canvas.owner, fixed[i], owner, cv2.LINE_8, 4)
        return np.concatenate([outline.min((0, 1)), outline.max((0, 1))])

    def _outlines(
        self,
        canvas: Canvas,
        world: np.ndarray,  # (n, 2, 3) joints in metres
    ) -> np.ndarray:  # (n, 12, 2) pixels
        """Half a circle around each joint, on the side away from the other."""
        pixels = canvas.camera.project(world)
        radius = self.radii * canvas.camera.focal / np.maximum(world[..., 2], 0.5)
        radius = np.maximum(radius, 0.35)
        d = pixels[:, 1] - pixels[:, 0]
        t = np.arctan2(d[:, 1], d[:, 0])[:, None] + np.linspace(np.pi / 2, 3 * np.pi / 2, 6)
        first = pixels[:, :1] + radius[:, :1, None] * np.stack([np.cos(t), np.sin(t)], -1)
        second = pixels[:, 1:] + radius[:, 1:, None] * np.stack([np.cos(t + np.pi), np.sin(t + np.pi)], -1)
        return np.concatenate([first, second], 1)


def _place(p: np.ndarray, x: float, z: float, yaw: float) -> np.ndarray:
    """Points (..., 3) of (along, up, across) turned by yaw and moved to (x, z)."""
    sin = math.sin(yaw)
    cos = math.cos(yaw)
    world = np.empty(p.shape)
    world[..., 0] = x + p[..., 0] * sin + p[..., 2] * cos
    world[..., 1] = p[..., 1]
    world[..., 2] = z + p[..., 0] * cos - p[..., 2] * sin
    return world


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of rows, (N, 3); much faster than np.cross for few rows."""
    ax, ay, az = a.T
    bx, by, bz = b.T
    product = np.empty(a.shape)
    product[:, 0] = ay * bz - az * by
    product[:, 1] = az * bx - ax * bz
    product[:, 2] = ax * by - ay * bx
    return product


def _normals(
    solid: Solid,
    world: np.ndarray,  # (N, 3) points of all faces
    starts: np.ndarray,  # (F + 1,) where each face's points begin
    middle: np.ndarray,  # (F, 3) middles of the faces
    centre: np.ndarray,  # (P, 3) middles of the parts
) -> np.ndarray:  # (F, 3)
    """Unit normals, turned away from the middle of their part.

    Newell's method: the sum of p_i × p_{i+1}."""
    following = np.arange(1, len(world) + 1)
    following[starts[1:] - 1] = starts[:-1]
    normal = np.add.reduceat(_cross(world, world[following]), starts[:-1])
    normal /= np.sqrt((normal * normal).sum(1, keepdims=True)) + 1e-9
    parts = np.array([face[0] for face in solid.faces])
    normal *= np.where((normal * (middle - centre[parts])).sum(1) < 0, -1.0, 1.0)[:, None]
    return normal


def _centres(solid: Solid, middle: np.ndarray) -> np.ndarray:
    """Middles of the parts, (P, 3)."""
    parts = np.array([face[0] for face in solid.faces])
    centre = np.empty((len(solid.layers), 3))
    for k in range(len(centre)):
        faces = middle[parts == k]
        centre[k] = np.add.reduce(faces) / len(faces)
    return centre


def _distances(points: np.ndarray, eye: np.ndarray) -> list[float]:
    """Metres from the camera."""
    d = points - eye
    return np.sqrt((d * d).sum(1)).tolist()


def _colours(solid: Solid, weather: Weather, normal: np.ndarray, z: float) -> list[list[float]]:
    """Lit colour of every face; a decal is lit like the face it lies on."""
    light = np.maximum(normal @ weather.sun, 0) + 0.12 * normal[:, 1]
    host = [i if face[1] < 0 else face[1] for i, face in enumerate(solid.faces)]
    paints = np.concatenate([face[2] for face in solid.faces]).reshape(-1, 3)
    return weather.shade(paints, light[host][:, None], z).tolist()


def _batches(solid: Solid, seen: list[bool], colours: list, shines: bool) -> dict[int, list[list[int]]]:
    """For every face that is seen: itself and its decals in their order, in runs of one colour.

    What follows one another in one colour is painted in one go: a house has dozens of equal
    windows."""
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
    """Paint the visible faces of a solid, layer by layer, from the farthest part to the nearest."""
    eye = np.array([0, canvas.camera.above, 0])
    starts = np.cumsum([0, *map(len, solid.points)])
    middle = np.add.reduceat(world, starts[:-1]) / np.diff(starts)[:, None]
    centre = _centres(solid, middle)
    normal = _normals(solid, world, starts, middle, centre)
    colours = _colours(solid, canvas.weather, normal, z)
    seen = ((normal * (eye - middle)).sum(1) > 0).tolist()
    batches = _batches(solid, seen, colours, canvas.weather.night > 0)
    far = _distances(middle, eye)
    away = _distances(centre, eye)
    starts = starts.tolist()
    fixed = to_fixed_point(pixels)

    def order(i):
        part = solid.faces[i][0]
        return solid.layers[part], -away[part], part, -far[i]

    for i in sorted(batches, key=order):
        for run in batches[i]:
            canvas.paint([fixed[starts[j] : starts[j + 1]] for j in run], colours[run[0]], owner)
    if not canvas.weather.night:
        return
    lamp_owner = Canvas.NOBODY if owner == Canvas.BUILDING else owner
    for j, (_, parent, colour, glow) in enumerate(solid.faces):
        if glow and parent in batches:
            x, y = pixels[starts[j] : starts[j + 1]].mean(0)
            canvas.lamps.append((x, y, glow * canvas.camera.focal / max(z, 1), colour, lamp_owner))
