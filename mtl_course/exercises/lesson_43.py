"""Checks of deep dive 43, intervals of rankings."""

import numpy as np

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("43.1")
def _check_weighted_curve(answer):
    hits = np.array([True, False, True, True])
    frames = np.array([0, 1, 0, 2])
    objects = np.array([2, 0, 3])
    for weights in ([1, 1, 1], [2, 1, 0], [0, 1, 2]):
        weights = np.array(weights)
        given = call(answer, hits, frames, weights, objects)
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise Slip(f"you gave {show(given)}; expected two arrays, precision and recall")
        weight = weights[frames]
        tp = np.cumsum(weight * hits)
        with np.errstate(invalid="ignore"):
            precision = tp / np.cumsum(weight)
        drawn = f"for the weights {weights.tolist()}"
        seen = ~np.isnan(precision)
        expect_close(
            numbers(given[0], len(hits))[seen],
            precision[seen],
            f"the precision {drawn}",
            "An entry counts as often as its image was drawn, in the numerator and in the denominator",
        )
        expect_close(
            numbers(given[1], len(hits)),
            tp / (weights @ objects),
            f"the recall {drawn}",
            "The objects of an image count as often as it was drawn, too",
        )
    return "a draw is nothing but a weight for each image"


@exercise("43.2")
def _check_paired_interval(answer):
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.03, 1000)
    a = 0.62 + luck + rng.normal(0, 0.005, 1000)
    b = 0.60 + luck + rng.normal(0, 0.005, 1000)
    given = call(answer, a, b)
    try:
        low, high = np.asarray(given, float).ravel()
    except (TypeError, ValueError):
        raise Slip(
            f"you gave {show(given)}; expected two numbers, the low end of the interval and the high one"
        ) from None
    expected = np.quantile(a - b, [0.025, 0.975])
    expect(
        abs((low + high) / 2 - 0.02) < 0.01,
        f"the middle of your interval is {(low + high) / 2:.3f}; A is better by 0.02: expected A minus B",
    )
    expect(
        abs(high - low - np.diff(expected)[0]) < 0.004,
        f"your interval is {high - low:.3f} wide, expected {np.diff(expected)[0]:.3f}: both rows of a draw share "
        "their images, so subtract draw by draw and take the 0.025 and 0.975 quantiles of the differences",
    )
    return "it leaves 0 out, though the two intervals overlap widely"


def numbers(values, length: int) -> np.ndarray:
    "So many numbers as float64; raises `Slip` for anything else."
    try:
        array = np.asarray(values, float).ravel()
    except (TypeError, ValueError):
        array = np.empty(0)
    if len(array) != length:
        raise Slip(f"you gave {show(values)}; expected {length} numbers, one for each entry of the list")
    return array
