"""Checks of deep dive 42, the KITTI metric."""

import numpy as np

from ..metrics.kitti import kitti_ap_arrays
from ..metrics.kitti_frames import KittiDetections, KittiLabels
from ..metrics.matching import paired_iou
from .base import Slip, call, exercise, expect, show

__all__ = []


@exercise("42.1")
def _check_fourteen_cyclists(answer):
    try:
        r40, r11 = np.asarray(answer, float).ravel()
    except (TypeError, ValueError):
        raise Slip(f"you gave {show(answer)}; expected two numbers in per cent, R40 and R11") from None
    expect(
        abs(r40 - 32.5) < 0.01,
        f"R40 is {r40:g}, expected 32.5 %: fourteen thresholds fill places 0 to 13, and R40 averages places 1 to 40",
    )
    expect(
        abs(r11 - 400 / 11) < 0.01,
        f"R11 is {r11:g}, expected 36.36 %: of places 0, 4, 8, …, 40 those up to 13 are filled, four of eleven",
    )
    return "a perfect detector, and 32.5 %"


@exercise("42.2")
def _check_spoil(answer):
    car = (100.0, 100.0, 200.0, 150.0)
    given = call(answer, car)
    try:
        box = np.asarray(given, float).ravel()
    except (TypeError, ValueError):
        box = np.empty(0)
    if len(box) != 4:
        raise Slip(f"you gave {show(given)}; expected four numbers x1, y1, x2, y2")
    height = box[3] - box[1]
    expect(
        0 < height < 40,
        f"your box is {height:g} pixels high; expected less than 40: a higher pedestrian is absent from the game",
    )
    iou = paired_iou(box[None], np.array([car]))[0]
    expect(
        iou > 0.7, f"the IoU of your box with the car is {iou:.2f}; expected more than 0.7, or it takes nothing away"
    )
    labels = KittiLabels(["Car"], [0], [0], np.array([car]))
    detections = KittiDetections(["Car", "Pedestrian"], np.array([car, box]), [0.5, 0.9])
    ap = kitti_ap_arrays([labels] * 50, [detections] * 50)["Car"]["r40"][0]
    expect(ap == 0, f"the easy AP of the cars is {ap:g}; expected 0")
    return "cars of more than 57 pixels are safe: 40/57.1 = 0.7"
