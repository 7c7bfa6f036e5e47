"""Checks of the exercises of 02_objects."""

import numpy as np

from ..data.kitti import KittiRecord
from .base import call, exercise, expect, expect_close

__all__ = []


@exercise("02.1")
def _check_count_easy(answer):
    cases = (
        (dict(), 1, "a car of 60 pixels, visible and whole", "It meets all four conditions."),
        (dict(height=40), 1, "a car of exactly 40 pixels", "At least 40: that includes 40."),
        (dict(height=39), 0, "a car of 39 pixels", "It is too small."),
        (dict(occlusion=1), 0, "a partly hidden car", "Occlusion has to be 0."),
        (dict(truncation=0.15), 1, "a car truncated by 0.15", "At most 0.15: that includes 0.15."),
        (dict(truncation=0.2), 0, "a car truncated by 0.2", "Truncation is at most 0.15."),
        (dict(name="DontCare", occlusion=-1, truncation=-1), 0, "a DontCare area", "DontCare is no class."),
        (dict(name="Person_sitting"), 0, "a sitting person", "Person_sitting is not scored."),
        (dict(name="Tram"), 1, "a tram", "All classes of DETECTION_CLASSES count."),
    )
    for options, expected, what, slip in cases:
        expect_close(call(answer, _record([options])), expected, f"the number of easy objects among {what}", slip)
    every = _record([options for options, *_ in cases])
    total = sum(expected for _, expected, *_ in cases)
    expect_close(call(answer, every), total, "the number among all of these objects", "Count objects, one by one.")
    return "moderate and hard relax these limits; every official KITTI score is given for all three"


def _record(objects: list[dict]) -> KittiRecord:
    "A record of some objects, each a visible car of 60 pixels but for its options."
    n = len(objects)
    default = dict(name="Car", height=60, occlusion=0, truncation=0.0)
    objects = [default | options for options in objects]
    boxes = [[5, 100, 50, 100 + o["height"]] for o in objects]
    return KittiRecord(
        file="",
        image_size=(375, 1242),
        names=np.array([o["name"] for o in objects]),
        truncation=np.array([o["truncation"] for o in objects], float),
        occlusion=np.array([o["occlusion"] for o in objects]),
        alpha=np.zeros(n),
        boxes=np.array(boxes, np.float32),
        dimensions=np.ones((n, 3)),
        location=np.ones((n, 3)),
        rotation_y=np.zeros(n),
    )


@exercise("02.2")
def _check_input_height(answer):
    heights = np.array([10.0, 20, 30, 40, 50, 60, 70, 80, 90, 100])
    given = call(answer, heights, 375)
    slip = "Nine of ten have 20 pixels or more, and 20 becomes 8 at 375 * 8 / 20, not the smallest one at 10"
    expect_close(given, 150, "the height for objects of 10, 20, … 100 pixels in frames of 375", slip)
    expect(float(given) == int(given), f"you gave {given}; expected a whole number of pixels")
    slip = "The smallest whole number that is enough: round up"
    expect_close(call(answer, heights, 188), 76, "the height for the same objects in frames of 188", slip)
    slip = "Use the arguments share and pixels, not their defaults"
    expect_close(call(answer, heights, 375, 0.5, 16), 100, "the height for share=0.5, pixels=16", slip)
    return "at 128 pixels far fewer than nine in ten are that high: it is the pyramid's finest level that finds them"
