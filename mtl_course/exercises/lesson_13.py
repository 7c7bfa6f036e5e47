"""Checks of lesson 13, intervals."""

import math

import numpy as np

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("13.1")
def _check_smallest_plausible_rate(answer):
    for tracks in (12, 1, 100):
        rate = call(answer, tracks)
        expect_close(
            rate,
            0.05 ** (1 / tracks),
            f"the smallest plausible rate of {tracks} tracks, all read correctly",
            "Solve p**n = 0.05 for p; more perfect tracks make low rates less plausible",
        )
    return "twelve perfect tracks are compatible with one mistake in five"


@exercise("13.2")
def _check_difference_interval(answer):
    first = np.r_[np.ones(170), np.ones(10), np.zeros(4), np.zeros(16)].astype(bool)
    second = np.r_[np.ones(170), np.zeros(10), np.ones(4), np.zeros(16)].astype(bool)
    given = "two networks, both right on 170 of 200 images, only the first on 10, only the second on 4"
    low, high = two_numbers(call(answer, first, second))
    each = first.astype(float) - second
    scatter = 1.96 * each.std() / math.sqrt(len(each))
    expect(
        abs((low + high) / 2 - 0.03) < 0.012,
        f"for {given} the interval is {low:.3f} to {high:.3f}; expected one around 0.03, the first minus the second",
    )
    width = (high - low) / (2 * scatter)
    expect(
        width < 1.25,
        f"for {given} the interval is {high - low:.3f} wide, expected about {2 * scatter:.3f}. "
        "Images that both read, or neither, add nothing: draw each image with both answers",
    )
    expect(
        width > 0.8,
        f"for {given} the interval is {high - low:.3f} wide, expected about {2 * scatter:.3f}: "
        "take the quantiles 0.025 and 0.975 of the resampled means",
    )
    return "it contains 0: fourteen images do not decide between the networks"


@exercise("13.3")
def _check_images_needed(answer):
    for per_track in (1, 30):
        images = call(answer, per_track)
        expect_close(
            images,
            3458 * per_track,
            f"the number of images for tracks of {per_track}",
            "What is independent are the tracks: 2 · 1.96 · sqrt(0.09 / tracks) must be at most 0.02, "
            "rounded up to whole tracks, and each brings its images along",
            tolerance=1e-6,
        )
    return "more images of the same tracks cost time and tell nothing"


def two_numbers(given) -> np.ndarray:
    "(low, high) of whatever holds two numbers; raises `Slip` for anything else."
    try:
        ends = np.asarray(given, float).ravel()
    except (TypeError, ValueError):
        ends = np.empty(0)
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise Slip(f"you gave {show(given)}; expected two numbers, the low end of the interval and the high one")
    return ends
