"""Signs as a camera in a moving car might see them."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from .sign_backgrounds import BACKGROUNDS, show_background
from .sign_camera import SignCamera, expose
from .sign_painter import SignPainter, arc, palette
from .signs import DESIGNS, sign_cover

__all__ = []

_COVER_SIZES = (40, 80, 160)  # small pictures start from a smaller drawing, or thin lines would flicker (aliasing)
_WIDTHS = (
    (0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 1),
    (25, 28, 30, 34, 42, 56, 76, 94, 130, 210),
)  # quantiles of GTSRB's widths
_CIRCLE = arc(0, 0, 1, 1, 0, 345, 24)
_TRIANGLE = np.array([(-1.0, 0.86), (1, 0.86), (0, -0.90)])
_OUTLINES = {c: _TRIANGLE for c in (11, *range(18, 32))} | {
    12: np.array([(0, -1.0), (1, 0), (0, 1), (-1, 0)]),
    13: np.array([(-1.0, -0.86), (1, -0.86), (0, 0.90)]),
}  # points that span the plate's bounding box, where it is no circle


@dataclass(frozen=True)
class SignLook:
    """What stays the same while a car approaches a sign: the sign, what is around it, and the
    light.

    The defaults are no trouble at all, so that each nuisance can be switched on by itself."""

    class_id: int  # GTSRB ClassId
    design: int = 0
    palette: np.ndarray = field(default_factory=lambda: palette(None))
    background: int = 1  # its number
    place: tuple = (0.5, 0.5, 0.7)  # where in the background, and how much it is enlarged
    pose: tuple = (0.0, 0.0, 0.0)  # yaw, pitch, roll in radians
    gain: float = 1.0  # light on the sign
    back_gain: float = 1.0  # light on the background
    cast: tuple = (1.0, 1.0, 1.0)  # colour of the light
    shade: tuple = (0.0, 0.0)  # change of the light across the sign
    dapple: tuple | None = None  # shadow of leaves: (background, threshold, place, darkness)
    pole: tuple | None = None  # (offset, half width, grey, goes on above)
    plate: bool = False  # a white supplementary plate below
    neighbours: tuple = ()  # other signs on the pole: (class, design, palette, dx, dy)
    stickers: tuple = ()  # (place, size, colour)
    camera: SignCamera = SignCamera()


def draw_sign_crop(
    class_id: int,  # GTSRB ClassId, 0..42
    rng: np.random.Generator,  # source of everything random
    width: int | None = None,  # width of the crop in pixels; None: drawn from GTSRB's own distribution
) -> tuple[np.ndarray, tuple[int, int, int, int]]:  # picture (h, w, 3) uint8 RGB and the sign's box (x1, y1, x2, y2)
    """One sign as a camera in a moving car might see it.

    Domain randomisation (Tobin et al. 2017): sign, surroundings, pose, light, lens and sensor
    are all drawn at random. Raises `KeyError` for an unknown class."""
    look = _random_look(int(class_id), rng)
    if width is None:
        width = int(np.interp(rng.random(), *_WIDTHS))
    return render_sign(look, int(width), rng, blur=np.exp(rng.normal(0, 0.3)))


def draw_sign_track(
    class_id: int,  # GTSRB ClassId, 0..42
    seed: int,  # fixes every pixel of the track
    frames: int = 30,  # number of pictures
    first: int | None = None,  # width of the first (farthest) picture in pixels; None: 25..33
    last: int | None = None,  # width of the last (nearest) one; None: drawn from GTSRB's distribution
) -> list[tuple[np.ndarray, tuple[int, int, int, int]]]:  # pictures and boxes, from far to near
    """The pictures in which a car approaches one sign.

    Sign, place, light and camera stay; size grows as 1 / distance; pose drifts; blur trembles.
    With a distance that falls evenly from t = 0 to 1 the width is w0 / (1 - (1 - w0 / w1) t).
    Raises `KeyError` for an unknown class."""
    rng = np.random.default_rng([43, int(class_id), int(seed)])
    look = _random_look(int(class_id), rng)
    first = int(rng.integers(25, 34)) if first is None else int(first)
    last = max(first, int(np.interp(rng.uniform(0.4, 1), *_WIDTHS)) if last is None else int(last))
    drift = rng.normal(0, (0.12, 0.04, 0.02))
    track = []
    for t in np.linspace(0, 1, frames):
        pose = look.pose + drift * t + rng.normal(0, (0.015, 0.01, 0.008))
        width = round(first / (1 - (1 - first / last) * t))
        track.append(render_sign(look, width, rng, pose, np.exp(rng.normal(0, 0.2))))
    return track


def render_sign(
    look: SignLook,
    width: int,  # pixels
    rng: np.random.Generator,  # of how the box is drawn, and of the noise
    pose: tuple | None = None,  # yaw, pitch, roll in radians; None: that of the look
    blur: float = 1.0,  # factor of the lens blur
) -> tuple[np.ndarray, tuple[int, int, int, int]]:  # picture (h, w, 3) uint8 RGB and the sign's box (x1, y1, x2, y2)
    """One picture of a sign.

    In GTSRB the margin is a twelfth of the width, but never under five pixels: in a crop of 25
    pixels the sign has only fifteen. Pictures below 72 pixels are rendered twice as large and
    shrunk."""
    margin = max(5, round(0.083 * width))
    H = _homography(*(look.pose if pose is None else pose))
    outline = _OUTLINES.get(look.class_id, _CIRCLE)
    points = _project(H, outline)
    x0, y0 = points.min(0)
    x1, y1 = points.max(0)
    zoom = (width - 2 * margin) / (x1 - x0)
    height = int(np.clip(round((y1 - y0) * zoom + 2 * margin), width * 0.7, width * 1.4))
    zoom *= rng.normal(0.96, 0.03)  # boxes drawn by hand are a little loose
    middle = np.array([width, height]) / 2 + rng.normal(0, 0.02, 2) * width - np.array([x0 + x1, y0 + y1]) / 2 * zoom
    scale = 2 if width < 72 else 1
    P = np.array([[zoom, 0, middle[0]], [0, zoom, middle[1]], [0, 0, 1 / scale]]) @ H
    light = _draw_light(look, P, (width * scale, height * scale), zoom * scale)
    box = np.round(_project(P, outline) / scale)
    roi = np.clip(np.concatenate([box.min(0), box.max(0)]), 0, [width - 1, height - 1] * 2)
    return expose(light, look.camera, (width, height), rng, blur), tuple(int(v) for v in roi)


def _homography(yaw: float, pitch: float, roll: float, distance: float = 5.0) -> np.ndarray:
    """From plate units to picture units, 3x3; radians.

    A plate turned by R and seen from distance d: the point (x, y) stands at R (x, y, 0) + (0, 0,
    d) in space, and the camera divides by depth."""
    cy, cp, cr = (np.cos(angle) for angle in (yaw, pitch, roll))
    sy, sp, sr = (np.sin(angle) for angle in (yaw, pitch, roll))
    R = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ [[1, 0, 0], [0, cp, -sp], [0, sp, cp]]
        @ [[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]
    )
    H = np.column_stack([R[:, 0], R[:, 1], (0, 0, distance)])
    H[:2] *= distance
    return H


def _project(H: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Points (N, 2) through a homography."""
    q = np.concatenate([p, np.ones((len(p), 1))], 1) @ H.T
    return q[:, :2] / q[:, 2:]


def _draw_light(
    look: SignLook,
    H: np.ndarray,  # units -> pixels
    size: tuple[int, int],  # (width, height) in pixels
    radius: float,  # of the sign in pixels
) -> np.ndarray:  # (height, width, 3) float32, 1 = full scale
    """The light that reaches the lens: surroundings, the other signs, the sign, what sticks on
    it."""
    image = _surroundings(look, H, size, radius)
    light = _light_on_sign(look, H, size, radius)
    for class_id, design, colours, dx, dy in look.neighbours:
        moved = H @ [[1, 0, dx], [0, 1, dy], [0, 0, 1]]
        image = _paste(image, sign_cover(class_id, design, _cover_size(radius)), colours, moved, light)
    cover = sign_cover(look.class_id, look.design, _cover_size(radius))
    image = np.ascontiguousarray(_paste(image, cover, look.palette, H, light), np.float32)
    for place, size_, colour in look.stickers:
        _fill(image, H, place + size_ * _CIRCLE * (1, 0.7), np.array(colour) * look.gain)
    return image


def _cover_size(radius: float) -> int:
    """The smallest drawing that is large enough for a sign of some radius in pixels."""
    return next((size for size in _COVER_SIZES if size >= 1.6 * radius), _COVER_SIZES[-1])


def _paste(
    canvas: np.ndarray,  # (h, w, 3) float32
    cover: tuple,  # shares of colours and their indices
    colours: np.ndarray,  # (8, 3)
    H: np.ndarray,  # units -> pixels
    light: np.ndarray,  # (h, w, 3)
) -> np.ndarray:
    """Lay a sign over a picture: I <- (1 - α) I + light · sign."""
    shares, used = cover
    unit = 2 * SignPainter.REACH / len(shares)
    offset = unit / 2 - SignPainter.REACH
    M = H @ [[unit, 0, offset], [0, unit, offset], [0, 0, 1]]
    warped = cv2.warpPerspective(shares, M, canvas.shape[1::-1], flags=cv2.INTER_LINEAR)
    warped = warped.reshape(*canvas.shape[:2], -1).astype(np.float32)
    mixing = np.column_stack([colours[used], np.ones_like(used)]).astype(np.float32)
    mixed = warped @ mixing * np.float32(1 / 255)  # colours, opacity
    return canvas * (1 - mixed[..., 3:]) + mixed[..., :3] * light


def _fill(canvas: np.ndarray, H: np.ndarray, points, colour):
    """A polygon in units, in one colour."""
    pixels = np.round(_project(H, np.asarray(points, np.float64)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [pixels], [float(c) for c in colour], cv2.LINE_AA, 4)


def _surroundings(look: SignLook, H: np.ndarray, size: tuple, radius: float) -> np.ndarray:
    """What stands behind the sign, (h, w, 3) float32."""
    *place, zoom = look.place
    image = show_background(look.background, place, zoom * 3 * radius, H[:2, 2] / H[2, 2], size)
    image = image * np.float32(look.back_gain)
    cast = np.array(look.cast)
    if look.pole:
        dx, half, grey, above = look.pole
        top = -3 if above else 0
        corners = [(dx - half, top), (dx + half, top), (dx + half, 3), (dx - half, 3)]
        _fill(image, H, corners, cast * grey * look.back_gain)
    if look.plate:
        for x, y, grey in ((0.95, 0.27, 0.1), (0.90, 0.24, 0.9)):
            corners = [(-x, 1.35 - y), (x, 1.35 - y), (x, 1.35 + y), (-x, 1.35 + y)]
            _fill(image, H, corners, cast * grey * look.gain)
    return image


def _light_on_sign(look: SignLook, H: np.ndarray, size: tuple, radius: float) -> np.ndarray:
    """Light on the sign's surface, (h, w, 3) float32."""
    centre = H[:2, 2] / H[2, 2]
    x, y = ((np.arange(n, dtype=np.float32) - m) / np.float32(radius) for n, m in zip(size, centre))
    light = 1 + np.float32(look.shade[0]) * x[None] + np.float32(look.shade[1]) * y[:, None]
    if look.dapple:
        background, threshold, place, dark = look.dapple
        leaves = show_background(background, place, 3.2 * radius, centre, size)[..., 1]
        light = light * (1 - np.float32(dark) * np.clip((leaves - np.float32(threshold)) * 8 + 0.5, 0, 1))
    return np.maximum(light, 0.05)[..., None] * (look.gain * np.array(look.cast)).astype(np.float32)


def _random_look(class_id: int, rng) -> SignLook:
    """A sign, its surroundings, pose and light.

    The spreads were chosen by looking at half of the real tracks, and are a little too wide on
    purpose: what the network has seen in every disguise it will also recognise in the one that
    reality wears."""
    gain = np.exp(rng.normal(-0.65, 0.75))
    cast = np.exp(rng.normal(0, 0.07, 3) + rng.normal(0, 0.10) * np.array([1, 0, -1]))
    stickers = [_random_sticker(rng) for _ in range(int(rng.integers(1, 4)))]
    return SignLook(
        class_id,
        design=int(rng.integers(DESIGNS)),
        palette=palette(rng),
        background=int(rng.integers(BACKGROUNDS)),
        place=tuple(rng.uniform((0, 0, 0.35), (1, 1, 1.1))),
        pose=tuple(rng.normal(0, (0.30, 0.12, 0.075)).clip(-0.8, 0.8)),
        gain=gain,
        back_gain=gain * np.exp(rng.normal(0.05, 0.75)),
        cast=tuple(cast),
        shade=tuple(rng.normal(0, 0.14, 2)),
        dapple=_random_dapple(rng) if rng.random() < 0.15 else None,
        pole=_random_pole(rng) if rng.random() < 0.5 else None,
        plate=bool(rng.random() < 0.12),
        stickers=tuple(stickers) if rng.random() < 0.18 else (),
        camera=SignCamera.random(rng),
        neighbours=tuple(_random_neighbour(side, rng) for side in (-1, 1) if rng.random() < 0.22),
    )


def _random_sticker(rng) -> tuple:
    """Place, size and colour."""
    return rng.uniform(-0.8, 0.8, 2), rng.uniform(0.04, 0.3), rng.random(3) * rng.choice([0.3, 1.0])


def _random_dapple(rng) -> tuple:
    """Shadow of leaves."""
    return int(rng.integers(BACKGROUNDS)), rng.uniform(0.25, 0.7), rng.uniform(0, 1, 2), rng.uniform(0.3, 0.8)


def _random_pole(rng) -> tuple:
    """Offset, half width, grey, and whether it goes on above."""
    return rng.normal(0, 0.15), rng.uniform(0.05, 0.14), rng.uniform(0.05, 0.8), rng.random() < 0.4


def _random_neighbour(side: int, rng) -> tuple:
    """Another sign above (-1) or below (1)."""
    class_id = int(rng.integers(43))
    design = int(rng.integers(DESIGNS))
    return class_id, design, palette(rng), rng.normal(0, 0.06), side * rng.uniform(1.95, 2.3)
