"""The picture as a camera delivers it: glow, rain, exposure, contrast, blur and noise."""

from functools import lru_cache

import cv2
import numpy as np

from .canvas import Canvas

__all__ = []


def take_picture(canvas: Canvas) -> np.ndarray:
    """The finished picture of a canvas, (H, W, 3) uint8 RGB."""
    weather = canvas.weather
    rng = canvas.rng
    image = canvas.image
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
    return _add_noise(image, rng.uniform(0.04, 0.2) + 0.2 * weather.night, rng)


@lru_cache(None)
def _grain() -> np.ndarray:
    """Sensor noise around 128, (1024, 1024, 3) uint8, deviation 24."""
    grain = np.random.default_rng(5).standard_normal((1024, 1024, 3))
    return np.clip(128 + 24 * grain, 0, 255).astype(np.uint8)


def _add_noise(image: np.ndarray, strength: float, rng) -> np.ndarray:
    """Add a random cut-out of the grain."""
    h, w = image.shape[:2]
    grain = _grain()
    if h > 1024 or w > 1024:
        grain = np.tile(grain, (h // 1024 + 1, w // 1024 + 1, 1))
    y = rng.integers(0, grain.shape[0] - h + 1)
    x = rng.integers(0, grain.shape[1] - w + 1)
    return cv2.addWeighted(image, 1, grain[y : y + h, x : x + w], strength, -128 * strength)


def _shines(canvas: Canvas, x: float, y: float, owner: int) -> bool:
    """Whether nothing covers a lamp; one of nobody's things may stand before the road."""
    if not (0 <= x < canvas.camera.width and 0 <= y < canvas.camera.height):
        return False
    return canvas.owner[int(y), int(x)] in (owner, Canvas.NOBODY if owner else Canvas.ROAD)


def _glow(canvas: Canvas, image: np.ndarray) -> np.ndarray:
    """Lamps in the dark and the sun's glare, painted at a quarter of the size, blurred and
    added."""
    camera = canvas.camera
    weather = canvas.weather
    small = np.zeros((camera.height // 4 + 1, camera.width // 4 + 1, 3), np.float32)
    for x, y, r, colour, owner in canvas.lamps:
        if _shines(canvas, x, y, owner):
            cv2.circle(small, (int(x / 4), int(y / 4)), max(1, int(r / 3)), colour.tolist(), -1)
    small = cv2.GaussianBlur(small, (0, 0), 2.5) * (1.3 * weather.night)
    sun = weather.sun
    if weather.name == "low_sun" and sun[2] > 0.2:
        x = camera.cx + camera.focal * sun[0] / sun[2]
        y = camera.horizon - camera.focal * sun[1] / sun[2]
        gy, gx = np.mgrid[: small.shape[0], : small.shape[1]].astype(np.float32) * 4
        r = np.hypot(gx - np.float32(x), gy - np.float32(y)) / camera.width
        small += (150 * np.exp(-r * 9) + 60 * np.exp(-r * 2.5))[..., None] * np.array([1, 0.92, 0.75], np.float32)
    glow = cv2.resize(np.clip(small, 0, 255).astype(np.uint8), (camera.width, camera.height))
    return cv2.add(image, glow)


def _rain(canvas: Canvas, image: np.ndarray) -> np.ndarray:
    """Falling drops as faint streaks."""
    camera = canvas.camera
    rng = canvas.rng
    streaks = np.zeros(image.shape[:2], np.uint8)
    slant = int(rng.integers(-2, 3))
    for x, y, n in rng.uniform(0, [camera.width, camera.height, 1], (120, 3)):
        start = (int(x), int(y))
        stop = (int(x) + slant, int(y + camera.height * (0.02 + 0.04 * n)))
        cv2.line(streaks, start, stop, int(15 + 35 * n), 1, cv2.LINE_AA)
    return cv2.add(image, cv2.merge([streaks] * 3))
