"""Lens and sensor. The order matters: the lens blurs light, then the sensor saturates.

In an overexposed picture the white around a digit is far above full scale, so its blurred skirt
still saturates, and the digit becomes thin. Blurring a clipped picture would not show this."""

from dataclasses import dataclass

import cv2
import numpy as np

from .exact import exact_power

__all__ = []

_MISREAD = ((2, 0, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0))  # orders of the colours


@dataclass(frozen=True)
class SignCamera:
    """What lens, sensor and processing do; the defaults are no trouble at all."""

    blur: float = 0.3  # standard deviation of the lens blur in pixels
    motion: float = 0.0  # length of the motion blur as a share of the picture's width
    angle: float = 0.0  # direction of the motion in radians
    fringe: tuple = ((0.0, 0.0), (0.0, 0.0))  # shift of red and blue against green in pixels
    haze: float = 0.0  # share of stray light
    saturation: float = 1.0  # share of the colourfulness that is left
    gamma: float = 1.0  # tone curve
    noise: float = 0.0  # standard deviation of the sensor noise, full scale = 1
    mosaic: bool = False  # one colour per pixel, the others interpolated
    sharpen: float = 0.0  # strength of the sharpening
    jpeg: int = 0  # quality of the compression, 0 = none
    channels: tuple = (0, 1, 2)  # order of the colours (a misread mosaic swaps them)

    @classmethod
    def random(cls, rng: np.random.Generator) -> "SignCamera":
        """A camera with its troubles."""
        haze = rng.uniform(0.05, 0.45) * (rng.random() < 0.25)
        misread = rng.random() < 0.1
        return cls(
            blur=rng.uniform(0.25, 0.9),
            motion=rng.exponential(0.05) * (rng.random() < 0.35),
            angle=rng.uniform(0, np.pi),
            fringe=tuple(map(tuple, rng.normal(0, 1.0, (2, 2)) * (rng.random() < 0.5))),
            haze=haze,
            saturation=rng.uniform(0.35, 1.05),
            gamma=np.exp(rng.normal(0, 0.2)),
            noise=rng.exponential(0.006),
            mosaic=bool(rng.random() < 0.5),
            sharpen=rng.uniform(0.3, 1.8) * (rng.random() < 0.45),
            jpeg=int(rng.integers(45, 96)) * int(rng.random() < 0.2),
            channels=_MISREAD[int(rng.integers(4))] if misread else (0, 1, 2),
        )


def expose(
    light: np.ndarray,  # (H, W, 3) float32, 1 = full scale
    camera: SignCamera,
    size: tuple[int, int],  # (width, height) of the picture in pixels
    rng: np.random.Generator,  # of the noise
    blur: float = 1.0,  # factor of the lens blur
) -> np.ndarray:  # (height, width, 3) uint8
    """The picture that a camera makes of some light."""
    return _sensor(_lens(light, camera, size, blur), camera, rng)


def _kernel(sigma: float, length: float, angle: float) -> np.ndarray:
    """A Gaussian, drawn out along a line of some length: exp(-(max(|a| - L/2, 0)² + b²) / 2σ²);
    sums to 1."""
    n = int(np.ceil(2 * sigma + length / 2))
    x, y = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    k = np.exp(-0.5 * (np.maximum(np.abs(along) - length / 2, 0) ** 2 + across**2) / sigma**2)
    return (k / k.sum()).astype(np.float32)


def _lens(light: np.ndarray, camera: SignCamera, size: tuple, factor: float) -> np.ndarray:
    """Blurred light at the picture's size."""
    scale = light.shape[1] / size[0]
    sigma = max(camera.blur * factor * scale, 0.35)
    kernel = _kernel(sigma, camera.motion * factor * light.shape[1], camera.angle)
    image = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT)
    if scale != 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for c, (dx, dy) in zip((0, 2), camera.fringe):
        if dx or dy:
            shift = np.array([[1, 0, dx], [0, 1, dy]])
            image[..., c] = cv2.warpAffine(image[..., c], shift, size, borderMode=cv2.BORDER_REFLECT)
    return image


def _mosaic(image: np.ndarray) -> np.ndarray:
    """What a sensor with one colour per pixel sees: red and blue every fourth, green every
    second, interpolated."""
    raw = image[..., 1].copy()
    raw[::2, ::2] = image[::2, ::2, 0]
    raw[1::2, 1::2] = image[1::2, 1::2, 2]
    return cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB_EA)


def _sensor(light: np.ndarray, camera: SignCamera, rng) -> np.ndarray:
    """Saturation, tone curve, noise, mosaic, sharpening, compression."""
    s = camera.saturation * (1 - camera.haze)
    mix = s * np.eye(3) + (1 - camera.haze - s) / 3  # keeps brightness, drops colourfulness
    image = cv2.transform(light, np.column_stack([mix, np.full(3, 0.6 * camera.haze)]).astype(np.float32))
    image = exact_power(np.clip(image, 0, 1), camera.gamma)
    if camera.noise:
        image += rng.standard_normal(image.shape, np.float32) * np.float32(camera.noise)
    picture = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if camera.mosaic:
        picture = _mosaic(picture)
    if camera.sharpen:
        soft = cv2.GaussianBlur(picture, (0, 0), 0.8)
        picture = cv2.addWeighted(picture, 1 + camera.sharpen, soft, -camera.sharpen, 0)
    if camera.jpeg:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])[1]
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(picture[..., list(camera.channels)])
