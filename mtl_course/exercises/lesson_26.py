"""Checks of lesson 26, the audit of claims."""

from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("26.1")
def _check_can_agree(answer):
    cases = (
        ([0.3, 0.3, 0.3], [0.1, 0.1, 0.1], 1.0, 0.1, True),
        ([23.5, 1.2, 0.85, 2.0], [0.1, 0.1, 0.01, 0.1], 70.2, 0.1, False),
        ([33.0, 33.0, 33.0], [1.0, 1.0, 1.0], 100.0, 1.0, True),
        ([33.0, 33.0, 31.0], [1.0, 1.0, 1.0], 100.0, 1.0, False),
        ([36.0, 35.0, 32.0], [1.0, 1.0, 1.0], 100.0, 1.0, False),
    )
    for parts, units, total, unit, expected in cases:
        given = bool(call(answer, parts, units, total, unit))
        expect(
            given == expected,
            f"for the parts {show(parts)} with last digits {show(units)} and a total of {total:g} ± {unit / 2:g} "
            f"you gave {given}, expected {expected}. A rounded number may be off by half a unit of its last digit, "
            "up or down; the parts' errors add up, and the total has one as well",
        )
    return "rounding excuses a little, and says exactly how much"


@exercise("26.2")
def _check_largest_error_rate(answer):
    for n in (100, 3_921, 10):
        expect_close(
            call(answer, n),
            1 - 0.05 ** (1 / n),
            f"the largest error rate after {n} images without an error",
            "Solve (1 - p)^n = 0.05 for p; the rule of three, 3 / n, is only its approximation",
            2e-4,
        )
    return "even 3,921 images without an error leave room for one error in 1,300"


@exercise("26.3")
def _check_shares(answer):
    for accuracy, iou in ((0.96, 0.5), (0.1591, 0.0819)):
        positives = iou * (1 - accuracy) / (1 - iou)
        expect_close(
            call(answer, accuracy, iou),
            (positives, accuracy - positives),
            f"(TP, TN) for an accuracy of {accuracy} and an IoU of {iou}",
            "TP + TN is the accuracy, and TP / (1 - TN) the IoU, since everything but TN is in the union",
        )
    return "two scores, two equations, two unknowns"
