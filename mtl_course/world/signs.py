"""Traffic signs, drawn: a plate, a border and a pictogram, all of it plain geometry."""

import functools

import cv2
import numpy as np

from .sign_painter import SignDesign, SignPainter, palette
from .sign_pictograms import PICTOGRAMS
from .sign_plates import PLATES, draw_stripes

__all__ = ["SIGN_MIRROR", "SIGN_NAMES", "draw_sign"]

DESIGNS = 8  # per class
SIGN_NAMES = (
    "Speed limit 20",
    "Speed limit 30",
    "Speed limit 50",
    "Speed limit 60",
    "Speed limit 70",
    "Speed limit 80",
    "End of speed limit 80",
    "Speed limit 100",
    "Speed limit 120",
    "No overtaking",
    "No overtaking by trucks",
    "Priority at next crossing",
    "Priority road",
    "Give way",
    "Stop",
    "No vehicles",
    "No trucks",
    "No entry",
    "Danger",
    "Bend to the left",
    "Bend to the right",
    "Double bend",
    "Bumpy road",
    "Slippery road",
    "Road narrows on the right",
    "Road works",
    "Traffic lights",
    "Pedestrians",
    "Children",
    "Bicycles",
    "Snow or ice",
    "Wild animals",
    "End of all limits",
    "Turn right",
    "Turn left",
    "Straight ahead",
    "Straight or right",
    "Straight or left",
    "Keep right",
    "Keep left",
    "Roundabout",
    "End of no overtaking",
    "End of no overtaking by trucks",
)  # index = GTSRB ClassId

_SYMMETRIC = (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)
_PAIRS = ((19, 20), (33, 34), (36, 37), (38, 39))
SIGN_MIRROR = {c: c for c in _SYMMETRIC} | dict(_PAIRS) | {b: a for a, b in _PAIRS}  # what a flipped sign shows
_STRIPED = (6, 32, 41, 42)  # what was ordered ends here


def draw_sign(
    class_id: int,  # GTSRB ClassId, 0..42
    size: int = 128,  # side of the picture in pixels
    rng: np.random.Generator | None = None,  # None: the standard sign, new; else one of several makes and ages
) -> np.ndarray:  # (size, size, 4) uint8: red, green, blue, opacity
    """One clean sign that fills the picture, transparent outside.

    Raises `KeyError` for an unknown class."""
    cover, used = sign_cover(int(class_id), 0 if rng is None else int(rng.integers(DESIGNS)))
    if size != SignPainter.SIZE:
        shrinks = size < SignPainter.SIZE
        cover = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    cover = cover.reshape(size, size, -1).astype(np.float32)
    total = cover.sum(-1, keepdims=True)
    colour = cover @ palette(rng)[used] / np.maximum(total, 1e-6) * 255
    return np.round(np.concatenate([colour, total], -1).clip(0, 255)).astype(np.uint8)


@functools.lru_cache(maxsize=4096)
def sign_cover(
    class_id: int,  # GTSRB ClassId, 0..42
    design: int,  # 0..DESIGNS - 1
    size: int = SignPainter.SIZE,  # side in pixels
) -> tuple[np.ndarray, np.ndarray]:  # (size, size, K) uint8 and (K,) indices of the K colours used
    """Share of each colour in every pixel of a sign, computed once.

    Turning it into colours is a small matrix product."""
    plate, *details = PLATES[class_id]
    painter = SignPainter()
    look = SignDesign.numbered(class_id, design)
    plate(painter, look, *details)
    if class_id in PICTOGRAMS:
        pictogram, *details = PICTOGRAMS[class_id]
        pictogram(painter, look, *details)
    if class_id in _STRIPED:
        draw_stripes(painter, look)
    return painter.shares(size)
