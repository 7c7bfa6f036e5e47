"""Checks of deep dive 41, the TuSimple metric."""

import numpy as np

from ..metrics.tusimple import tusimple_scores
from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("41.1")
def _check_limit(answer):
    expect_close(
        answer,
        52,
        "the limit along the row for a slope of 12/5",
        "t = 20 / cos θ, and in the triangle 5-12-13 the cosine is 5/13: the slanted lane has the wider band",
    )
    return "20 · 13/5"


@exercise("41.2")
def _check_two_x(answer):
    try:
        places = np.asarray(answer, float).ravel()
    except (TypeError, ValueError):
        places = np.empty(0)
    if len(places) != 2:
        raise Slip(f"you gave {show(answer)}; expected two numbers, the x of two vertical lanes")
    expect((places >= 0).all(), f"you gave {show(answer)}; expected two x inside the picture, at least 0")
    true_x = np.array([100.0, 114.0])
    scores = tusimple_scores(
        np.repeat(places[:, None], 20, 1), np.repeat(true_x[:, None], 20, 1), np.arange(200, 400, 10)
    )
    distance = np.abs(places[:, None] - true_x).min(1)
    expect(
        (distance > 100).sum() == 1,
        f"the distances to the nearest true lane are {show(distance.tolist())} px; expected exactly one above 100 px",
    )
    expect(
        scores["fp"] == 0,
        f"FP is {scores['fp']:g}, expected 0: the good lane must be less than 20 px from *both* true lanes, "
        "for each true lane takes its best prediction, taken or not",
    )
    return "the nonsense is paid for by the double match"


@exercise("41.3")
def _check_official_fn(answer):
    cases = {
        (2, 1): (0.5, "One of two lanes is missed"),
        (4, 0): (1, "All of four lanes are missed"),
        (3, 1): (2 / 3, "The divisor is the number of lanes, as long as it is at most four"),
        (5, 4): (0, "With more than four lanes one of the missed ones is forgiven"),
        (5, 5): (0, "Where nothing is missed nothing is forgiven: the number of missed lanes never goes below 0"),
        (5, 3): (0.25, "The divisor is at most four, and one of the two missed lanes is forgiven"),
        (6, 0): (1.25, "Exactly one is forgiven, also with six lanes, and the divisor is four: FN may exceed 1"),
        (0, 0): (0, "A road without a lane has the divisor 1"),
    }
    for (lanes, matched), (fn, slip) in cases.items():
        expect_close(call(answer, lanes, matched), fn, f"FN for {lanes} lanes of which {matched} are matched", slip)
    return "with six lanes and none matched it is 1.25"
