"""Sky with clouds, and what stands at the horizon: far hills are smooth, near trees ragged."""

import cv2
import numpy as np

from .canvas import Canvas
from .exact import exact_power
from .textures import noise

__all__ = []

_HILLS = ((2500, 90.0, 1.6), (600, 20.0, 1.1), (160, 9.0, 0.9))  # metres away, metres high, power of the noise


def paint_sky(canvas: Canvas):
    """Paints sky, clouds, hills and a far line of trees."""
    camera = canvas.camera
    weather = canvas.weather
    rng = canvas.rng
    bottom = min(camera.height, max(2, int(camera.horizon) + 2))
    high, low = (np.array(c, np.float32) for c in weather.sky)
    if weather.name in ("clear", "cloudy", "low_sun") and rng.uniform() < 0.45:  # overexposed
        high = high * 0.4 + 150
        low = low * 0.3 + 178
    t = exact_power(np.linspace(0, 1, bottom, dtype=np.float32)[:, None], rng.uniform(0.6, 2.0))
    cloud = np.zeros((1, camera.width), np.float32)
    if weather.name in ("clear", "cloudy", "low_sun", "dusk", "rain"):
        y, x = rng.integers(0, 400, 2)
        window = noise(3, power=1.6)[y : y + 70, x : x + 110]
        cloud = cv2.resize(window, (camera.width, bottom), interpolation=cv2.INTER_CUBIC)
        cloud = np.clip(cloud * rng.uniform(8, 30) + rng.uniform(-25, 12), -45, 60) * (1 - weather.night)
    planes = []
    for top, horizon in zip(high, low):  # by channel: faster
        planes.append(np.clip(top * (1 - t) + horizon * t + cloud, 0, 255).astype(np.uint8))
    canvas.image[:bottom] = cv2.merge(planes)
    for metres, size, power in _HILLS:
        if rng.uniform() >= 0.3:
            _paint_hills(canvas, metres, size, power)


def _paint_hills(canvas: Canvas, z: float, size: float, power: float):
    """One outline: a row of noise, raised to metres and divided by depth."""
    camera = canvas.camera
    weather = canvas.weather
    rng = canvas.rng
    row = noise(7, power=power)[int(rng.integers(512))]
    x = np.linspace(-20, camera.width + 20, 140)
    at = np.linspace(0, 139, 140) * (1 if z < 1000 else 0.35)
    up = size * rng.uniform(0.4, 1.3) * (1.1 + 0.55 * np.interp(at, np.arange(512), row))
    y = camera.horizon - np.maximum(up, size * 0.15) * camera.focal / z
    green = np.array([62, 74, 48.0]) * rng.uniform(0.5, 1.3)
    colour = weather.tone(green.tolist(), 0.3, min(z * 0.6, 240))
    corners = [[camera.width + 20, camera.horizon + 3], [-20, camera.horizon + 3]]
    outline = np.concatenate([np.stack([x, y], -1), corners])
    canvas.fill(outline, colour)
    if z >= 1000 or weather.night >= 0.5 or weather.haze >= 0.005:
        return
    silhouette = np.zeros(canvas.owner.shape, np.uint8)
    cv2.fillPoly(silhouette, [np.round(np.clip(outline, -9000, 9000)).astype(np.int32)], 255)
    box = (0, max(y.min(), 0), camera.width, camera.horizon + 2)
    canvas.roughen(box, "leaves", lambda x1, y1, x2, y2: silhouette[y1:y2, x1:x2])
