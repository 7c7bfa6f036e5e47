"""Checks of the exercises of 03_lanes."""

import numpy as np

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("03.1")
def _check_iou_when_shifted(answer):
    cases = (
        (8, 0, 1.0, "The same mask: overlap and union are the same."),
        (8, 2, 0.6, "6 pixels are in both masks, 10 in at least one."),
        (4, 2, 1 / 3, "2 pixels are in both masks, 6 in at least one."),
        (2, 2, 0.0, "They touch and do not overlap."),
        (1, 3, 0.0, "An overlap is never negative."),
    )
    for width, shift, expected, slip in cases:
        given = call(answer, width, shift)
        expect_close(given, expected, f"the IoU for width={width}, shift={shift}", slip)
    return "an error of 2 pixels leaves an IoU of 0.60 for lanes 8 pixels wide, and of nothing for 2 pixels"


@exercise("03.2")
def _check_fill_gaps(answer):
    cases = (
        ([[-2, 10, -2, 30, -2]], [[-2, 10, 20, 30, -2]], "Only what lies between two points is filled."),
        ([[-2, -2, -2]], [[-2, -2, -2]], "A lane without a point stays as it is."),
        ([[8, -2, -2, 2, 5]], [[8, 6, 4, 2, 5]], "A longer gap is filled in equal steps."),
        ([[-2, 7, -2]], [[-2, 7, -2]], "One point has nothing beside it to be joined with."),
        ([[1, -2, 3, -2, 9], [4, 4, 4, 4, 4]], [[1, 2, 3, 6, 9], [4, 4, 4, 4, 4]], "Every gap of every lane."),
    )
    for lanes, expected, slip in cases:
        given = np.array(lanes, np.float32)
        filled = call(answer, given)
        if not np.array_equal(given, np.array(lanes, np.float32)):
            raise Slip(f"the lanes that were passed in have become {show(given)}: expected a copy, so copy them first")
        expect_close(filled, expected, f"{lanes} without gaps", slip)
    expect(np.shape(call(answer, np.zeros((0, 5), np.float32))) == (0, 5), "no lanes: expected an array (0, 5) again")
    return "whether to close gaps is a choice, and one more thing to state beside a score"
