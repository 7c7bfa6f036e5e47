"""Checks of the exercises of 40_lane_decoding."""

from ..models.lane_decoding import mask_to_lanes
from ..models.synthetic_lanes import HEIGHTS, made_up_mask
from .base import Slip, call, exercise, expect, expect_close

__all__ = []


@exercise("40.1")
def _check_good_thresholds(answer):
    given = call(answer)
    try:
        chosen = {round(10 * float(threshold)) for threshold in given}
    except (TypeError, ValueError):
        raise Slip(f"you gave {given!r}; expected a list of thresholds such as [0.1, 0.5]") from None
    probability, lanes = made_up_mask("soft", 0)
    counts = {k: len(mask_to_lanes(probability, HEIGHTS, threshold=k / 10)) for k in range(1, 10)}
    for k, count in counts.items():
        if (k in chosen) == (count == len(lanes)):
            continue
        verb = "is in" if k in chosen else "is missing from"
        raise Slip(f"{k / 10} {verb} your list: with it {count} lanes are decoded; expected those with {len(lanes)}")
    expect(chosen <= set(counts), f"you gave {sorted(given)}; expected only thresholds out of 0.1, 0.2, … 0.9")
    return "too low a threshold makes lanes of noise, too high a one tears them apart"


@exercise("40.2")
def _check_meeting_point(answer):
    for a, y1, y2 in ((0.3, 1.0, 5.0), (-2.0, 3.0, -1.0)):
        given = call(answer, a, y1, y2)
        pair = isinstance(given, (tuple, list)) and len(given) == 2
        expect(pair, f"you gave {given!r}; expected two numbers (x, y)")
        y = (y1 + y2) / 2
        expect_close(
            given,
            (2 * a * y1 * y - a * y1**2, y),
            f"the point for a = {a}, y₁ = {y1}, y₂ = {y2}",
            "The tangent at y₁ is x = 2 a y₁ y − a y₁²; the point lies on the tangents, not on the parabola",
        )
    return "halfway in height, whatever the bend: this is why tan α and tan β cancel"
