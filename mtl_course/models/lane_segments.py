"""Pieces of lanes: their rows, their ends, and the curve through them."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

__all__ = []


class SegmentEnd(NamedTuple):
    """One end of a segment."""

    x: float  # mean point of the first 24 pixels of path, pixels
    y: float
    direction: float  # radians
    trusted: bool  # whether there are enough rows for a direction


@dataclass(eq=False)
class LaneSegment:
    """Part of one lane: its rows from the bottom up, with centre, width and confidence."""

    y: list = field(default_factory=list)
    x: list = field(default_factory=list)
    width: list = field(default_factory=list)
    confidence: list = field(default_factory=list)
    start: int = 0  # of the last run, first column
    end: int = 0  # and behind its last column
    lower: SegmentEnd | None = None
    upper: SegmentEnd | None = None

    def add(self, y, x, width, confidence, start=0, end=0):
        """Appends a row."""
        self.y.append(y)
        self.x.append(x)
        self.width.append(width)
        self.confidence.append(confidence)
        self.start = start
        self.end = end

    def extend(self, above: "LaneSegment"):
        """Appends the rows of another segment that lie above this one."""
        for y, x, width, confidence in zip(above.y, above.x, above.width, above.confidence):
            if y < self.y[-1]:
                self.add(y, x, width, confidence)

    def expected(self, y: int) -> float:
        """x in row `y` above, straight on from the last ten rows."""
        k = min(len(self.y) - 1, 10)
        slope = (self.x[-1] - self.x[-1 - k]) / (self.y[-1] - self.y[-1 - k]) if k >= 2 else 0.0
        return self.x[-1] + slope * (y - self.y[-1])

    def distance(self, y: int, start: int, end: int, reach: float) -> float:
        """Pixels between the expected point and a run; infinite when out of reach."""
        gap = self.y[-1] - y
        touches = start <= self.end and end >= self.start
        no_direction = len(self.y) < 4 or self.end - self.start > 3 * reach
        if gap == 1 and no_direction and touches:
            return 0.0
        x = self.expected(y)
        distance = max(start - x, x - end + 1, 0.0)
        return distance if distance <= reach * (0.75 + 0.25 * gap) else math.inf

    def measure_ends(self, unit: float):  # size of a pixel at width 320
        """Sets `lower` and `upper`."""
        self.lower = _measure_end(self.x, self.y, self.width, unit)
        self.upper = _measure_end(self.x[::-1], self.y[::-1], self.width[::-1], unit)


def _measure_end(x, y, width, unit) -> SegmentEnd:
    """The end at the beginning of the lists; wider rows count more, for tips are round."""
    n = 1
    while n < len(x) and (n < 12 * unit or math.hypot(x[n] - x[0], y[n] - y[0]) < 24 * unit):
        n += 1
    x = x[:n]
    y = y[:n]
    weight = [w * w for w in width[:n]]
    total = sum(weight)
    x_mean = sum(a * w for a, w in zip(x, weight)) / total
    y_mean = sum(b * w for b, w in zip(y, weight)) / total
    spread = sum(w * (b - y_mean) ** 2 for b, w in zip(y, weight))
    slope = 0.0
    if spread:
        slope = sum(w * (a - x_mean) * (b - y_mean) for a, b, w in zip(x, y, weight)) / spread
    return SegmentEnd(x_mean, y_mean, math.atan2(-1, -slope), n >= 7 * unit)


class _Curve(NamedTuple):
    coefficients: np.ndarray  # of x in powers of (y - middle)/half
    middle: float
    half: float
    residual: np.ndarray  # pixels


def _fit(y, x, weight, unit, rounds=4) -> _Curve:
    """Robust polynomial x(y): residuals pull less, the larger they are (Tukey's biweight)."""
    middle = (y[0] + y[-1]) / 2
    half = max(y[0] - y[-1], 1) / 2
    degree = min(_degree(half, unit), max(len(y) - 1, 0))
    powers = np.vander((y - middle) / half, degree + 1)
    w = weight
    for _ in range(rounds):
        coefficients = np.linalg.solve(powers.T * w @ powers + 1e-9 * np.eye(degree + 1), (powers.T * w) @ x)
        residual = powers @ coefficients - x
        scale = max(1.48 * np.median(np.abs(residual)), 0.3 * unit)
        w = weight * np.clip(1 - (residual / (4.7 * scale)) ** 2, 0.03, 1) ** 2
    return _Curve(coefficients, middle, half, residual)


def _degree(half, unit):
    """A line below 10 rows, a parabola below 30, else a cubic."""
    if half < 5 * unit:
        return 1
    return 2 if half < 15 * unit else 3


def fits_one_curve(low: LaneSegment, high: LaneSegment, unit: float) -> bool:
    """Whether one polynomial fits both, to two pixels (root mean square) across the lane."""
    y = np.array(low.y + high.y, np.float64)
    x = np.array(low.x + high.x, np.float64)
    width = np.array(low.width + high.width, np.float64)
    curve = _fit(y, x, 1 / width, unit, rounds=1)
    slope = np.polyval(np.polyder(curve.coefficients), (y - curve.middle) / curve.half) / curve.half
    across = curve.residual**2 / (1 + slope**2)
    return np.average(across, weights=1 / width) < (2 * unit) ** 2


def evaluate_lane(
    segment: LaneSegment,
    heights: np.ndarray,  # in pixels of the original image
    shape: tuple[int, int],  # of the mask
    original_size: tuple[int, int],  # (height, width) of the original image
    unit: float,  # size of a pixel at width 320
) -> np.ndarray:  # x at each height in original pixels, NaN where the lane is absent
    """A robust polynomial through a segment, evaluated no further than the marking reaches."""
    y = np.array(segment.y, np.float64)
    x = np.array(segment.x, np.float64)
    width = np.array(segment.width, np.float64)
    confidence = np.array(segment.confidence, np.float64)
    scale_y = original_size[0] / shape[0]
    scale_x = original_size[1] / shape[1]
    cut = (x - width / 2 < 0) | (x + width / 2 > shape[1] - 1)  # runs cut off by the border: their centres are off
    use = ~cut if (~cut).sum() >= 6 else np.ones(len(x), bool)
    thickness = np.median(width / np.hypot(1, np.gradient(x, y))) if len(x) > 1 else width[0]
    tip = np.minimum(y[0] - y, y - y[-1]) < thickness / 2  # rounded off: their centres lean inwards
    weight = confidence / width * np.where(tip, 0.05, 1)
    curve = _fit(y[use], x[use], weight[use], unit)
    rows = (heights + 0.5) / scale_y - 0.5  # of the mask
    step = np.abs(np.diff(rows)).min() if len(rows) > 1 else 1.0
    # markings are drawn with round ends; where the border cuts one off, it goes on
    low = y[0] + 3 * step if cut[0] or y[0] >= shape[0] - 1 else y[0] - (thickness - 1) / 2 + step / 2
    high = y[-1] - 3 * step if cut[-1] or y[-1] <= 0 else y[-1] + (thickness - 1) / 2 - step / 2
    lane = (np.polyval(curve.coefficients, (rows - curve.middle) / curve.half) + 0.5) * scale_x - 0.5
    present = (rows <= low) & (rows >= high) & (lane >= 0) & (lane <= original_size[1] - 1)
    return np.where(present, lane, np.nan)
