"""A pinhole camera above a flat road."""

from dataclasses import dataclass

import numpy as np

from ..core.errors import UserError

__all__ = []

SCENE_SIZES = dict(kitti=(621, 188), tusimple=(640, 360), joint=(640, 360))  # (width, height): half the published ones


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above a flat road; see Hartley and Zisserman, Multiple View Geometry,
    chapter 6."""

    width: int  # pixels
    height: int  # pixels
    focal: float  # focal length in pixels
    cx: float  # column of the optical axis
    horizon: float  # row of the horizon
    above: float = 1.65  # metres between the road and the camera

    def project(
        self,
        points: np.ndarray,  # (..., 3) metres: right, up from the road, forward
    ) -> np.ndarray:  # (..., 2) pixels: column, row
        """Pixels of points in the world; depths under 0.5 m are drawn as if at 0.5 m."""
        pixels = np.empty(points.shape[:-1] + (2,))
        per_metre = self.focal / np.maximum(points[..., 2], 0.5)
        pixels[..., 0] = self.cx + per_metre * points[..., 0]  # x = c_x + f X / Z
        pixels[..., 1] = self.horizon + per_metre * (self.above - points[..., 1])  # y = y_h + f (h - Y) / Z
        return pixels

    def pixel(self, x: float, y: float, z: float) -> tuple[float, float]:
        """The same for one point, in plain numbers: arrays of one element cost ten times as
        much."""
        per_metre = self.focal / max(z, 0.5)
        return self.cx + per_metre * x, self.horizon + per_metre * (self.above - y)

    def depth(
        self,
        row,  # scalar or array, below the horizon
    ):
        """Depth in metres of the road seen at a row: Z = f h / (y - y_h)."""
        return self.focal * self.above / np.maximum(np.asarray(row, np.float64) - self.horizon, 1e-6)


def scene_camera(
    kind: str,  # "kitti", "tusimple" or "joint"
    size: tuple[int, int] | None,  # (width, height) in pixels, None: SCENE_SIZES[kind]
    rng: np.random.Generator,  # mounting differs from scene to scene
) -> Camera:
    """The camera of a data set at a picture size.

    Raises `UserError` for an unknown kind or a size under 64 × 32."""
    if kind not in SCENE_SIZES:
        raise UserError(f"scene kind must be one of {', '.join(SCENE_SIZES)}, got {kind!r}.")
    w, h = size or SCENE_SIZES[kind]
    if w < 64 or h < 32:
        raise UserError(f"a scene must be at least 64 x 32 pixels, got {w} x {h}: choose a larger scene size.")
    if kind == "kitti":  # tilt changes a little with load and road
        return Camera(w, h, 721 / 1242 * w, 0.49 * w, h * (0.46 + rng.normal(0, 0.012)), rng.uniform(1.6, 1.7))
    return Camera(
        w,
        h,
        focal=rng.uniform(0.7, 0.88) * w,
        cx=w * rng.uniform(0.47, 0.53),
        horizon=h * rng.uniform(0.29, 0.4),
        above=rng.uniform(1.45, 1.85),
    )
