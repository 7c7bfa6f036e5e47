"""Noise and rough surfaces: a network that saw flat colours only would look for flatness."""

from functools import lru_cache

import cv2
import numpy as np

__all__ = []


@lru_cache(None)
def noise(
    seed: int,
    size: int = 512,  # pixels
    power: float = 1.0,  # the larger, the smoother
) -> np.ndarray:  # (size, size) float32, zero mean, unit deviation
    """Periodic noise with the spectrum 1 / frequency ** power."""
    fy = np.fft.fftfreq(size)[:, None]
    fx = np.fft.rfftfreq(size)[None]
    radius = np.maximum(np.hypot(fx, fy), 1 / size)
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((size, size))) / radius**power
    texture = np.fft.irfft2(spectrum, s=(size, size))
    return ((texture - texture.mean()) / texture.std()).astype(np.float32)


def material_patch(
    kind: str,  # "plaster", "leaves" or "metal"
    w: int,  # pixels
    h: int,  # pixels
    rng: np.random.Generator,
    stretch: bool,  # the whole texture stretched, or a random cut-out
) -> np.ndarray:  # (h, w, 3) uint8
    """Factors around 128 that make a flat surface rough."""
    texture = _material(kind)
    if stretch:
        return cv2.resize(texture, (w, h), interpolation=cv2.INTER_LINEAR)
    if w > 255 or h > 255:
        texture = np.tile(texture, (h // 256 + 2, w // 256 + 2, 1))
    y = rng.integers(0, texture.shape[0] - h + 1)
    x = rng.integers(0, texture.shape[1] - w + 1)
    return np.ascontiguousarray(texture[y : y + h, x : x + w])


@lru_cache(None)
def _material(kind: str) -> np.ndarray:
    """The whole texture of a material, (256, 256, 3) uint8."""
    y = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
    soft = noise(21, 256, 1.2)
    fine = noise(22, 256, 0.5)
    streak = cv2.blur(noise(23, 256, 0.6), (1, 31))
    band = np.exp(-(((y + 0.25) / 0.12) ** 2))  # the sky, mirrored in the side of a car
    factor = {
        "plaster": 1 + 0.05 * soft + 0.02 * fine + 0.03 * streak,
        "leaves": 0.9 + 0.16 * soft + 0.18 * fine,
        "metal": 1.02 - 0.16 * y + 0.1 * band + 0.05 * cv2.blur(soft, (61, 5)) + 0.015 * fine,
    }[kind]
    return cv2.merge([np.clip(factor * 128, 0, 255).astype(np.uint8)] * 3)
