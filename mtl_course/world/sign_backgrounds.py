"""What surrounds a sign: leaves, twigs, sky and houses, often with more contrast than the sign.

A network that has only seen signs on grey would take twigs for strokes."""

import functools

import cv2
import numpy as np

__all__ = []

BACKGROUNDS = 96  # how many there are
_SIDE = 160  # pixels
_LEAVES = np.array(
    [(0.35, 0.5, 0.2), (0.5, 0.45, 0.2), (0.55, 0.35, 0.15), (0.6, 0.65, 0.6), (0.9, 0.95, 1.0)]
)  # green, autumn, grey, sky behind


def show_background(
    number: int,  # 0..BACKGROUNDS - 1
    place: tuple,  # the point of it, 0..1 across and down, that is seen at `centre`
    width: float,  # pixels over which the whole of it is spread
    centre: np.ndarray,  # column and row
    size: tuple[int, int],  # (width, height) in pixels
) -> np.ndarray:  # (height, width, 3) float32
    """A part of a background, at some enlargement."""
    zoom = width / _SIDE
    x = centre[0] - zoom * place[0] * _SIDE
    y = centre[1] - zoom * place[1] * _SIDE
    A = np.array([[zoom, 0, x], [0, zoom, y]])
    return cv2.warpAffine(_background(number), A, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


@functools.lru_cache(maxsize=BACKGROUNDS)
def _background(i: int) -> np.ndarray:
    """The i-th background, float32 (160, 160, 3), contrast raised."""
    rng = np.random.default_rng([7919, i])
    make = (_foliage, _foliage, _branches, _building, _building, _open_sky)[i % 6]
    return np.clip((make(rng, _SIDE) - 0.4) * 1.5 + 0.42, 0, 1.5).astype(np.float32)


def _noise(rng, n: int, cells: int, channels: int = 1) -> np.ndarray:
    """Smooth random field (n, n, channels) around .5 from a coarse grid."""
    grid = rng.random((cells + 2, cells + 2, channels), dtype=np.float32)
    return cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC).reshape(n, n, channels)


def _foliage(rng, n: int) -> np.ndarray:
    """Leaves: noise of four scales between a dark and a bright colour."""
    scales = ((5, 0.5), (14, 0.6), (40, 0.8), (90, 0.8))
    v = sum(_noise(rng, n, cells) * weight for cells, weight in scales) / 2.7
    v = np.clip((v - 0.5) * rng.uniform(2, 6) + rng.uniform(0.2, 0.6), 0, 1)
    dark = rng.uniform(0, 0.12, 3)
    light = rng.choice(_LEAVES) * rng.uniform(0.5, 1.2)
    return dark + v**1.5 * (light - dark) * 1.3 + 0.15 * (_noise(rng, n, 60, 3) - 0.5)


def _branches(rng, n: int) -> np.ndarray:
    """Bare twigs before the sky."""
    sky = np.array([0.75, 0.85, 1.0]) * rng.uniform(0.6, 1.3)
    image = (sky + 0.1 * (_noise(rng, n, 4) - 0.5)).astype(np.float32)
    for _ in range(int(rng.integers(8, 45))):
        steps = np.concatenate([rng.uniform(0, n, (1, 2)), rng.normal(0, n / 8, (5, 2))])
        points = np.cumsum(steps, 0).astype(np.int32)
        cv2.polylines(image, [points], False, [rng.uniform(0, 0.2)] * 3, int(rng.integers(1, 5)), cv2.LINE_AA)
    return image


def _building(rng, n: int) -> np.ndarray:
    """Walls, windows, boards: flat patches with straight edges."""
    wall = (rng.uniform(0.1, 0.9) + rng.normal(0, 0.08, 3)).astype(np.float32)
    image = np.ones((n, n, 3), np.float32) * wall
    for _ in range(int(rng.integers(3, 14))):
        grey = rng.choice([0.02, 0.2, 0.6, 1.0]) * rng.uniform(0.75, 1.0, 3)
        tint = rng.random(3)
        centre = tuple(rng.uniform(-0.2 * n, n, 2))
        sides = tuple(rng.uniform(0.05, 0.8, 2) * n)
        box = cv2.boxPoints((centre, sides, float(rng.normal(0, 6))))
        colour = grey if rng.random() < 0.85 else tint
        cv2.fillConvexPoly(image, box.astype(np.int32), colour.tolist(), cv2.LINE_AA)
    if rng.random() < 0.4:
        image[:: int(rng.integers(6, 16))] *= rng.uniform(0.6, 0.9)
    return image * (0.85 + 0.3 * _noise(rng, n, int(rng.choice([4, 30, 80]))))


def _open_sky(rng, n: int) -> np.ndarray:
    """Sky with clouds, sometimes trees below."""
    y = np.linspace(0, 1, n)[:, None, None]
    clouds = np.clip(_noise(rng, n, 5) - rng.uniform(0.3, 0.9), 0, 1)
    sky = np.array([0.55, 0.72, 1.0]) * (1.2 - 0.5 * y) + 0.6 * clouds
    return np.where(y > rng.uniform(0.5, 2), _foliage(rng, n) * 0.6, sky * rng.uniform(0.5, 1.3))
