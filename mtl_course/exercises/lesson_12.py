"""Checks of lesson 12, metrics."""

import numpy as np
import torch

from ..metrics.scores import DetectionMetric
from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("12.1")
def _check_balanced_accuracy(answer):
    full = np.array([[5, 1, 0], [0, 1, 1], [1, 0, 1]])
    with_absent = np.array([[8, 2, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]])
    expect_close(
        call(answer, full),
        (5 / 6 + 1 / 2 + 1 / 2) / 3,
        "the balanced accuracy of a matrix with the rows 5 1 0, 0 1 1 and 1 0 1",
        "The recall of a class divides by the images of the class: the sum of its row, not of its column; "
        "and each class counts alike, however many images it has",
    )
    expect_close(
        call(answer, with_absent),
        (0.8 + 0.5 + 0.5) / 3,
        "the balanced accuracy where one of four classes has no image",
        "A class without an image has no recall: leave it out of the mean",
    )
    return "a class without an image is left out, and each of the others counts alike"


@exercise("12.2")
def _check_lane_share(answer):
    for accuracy, iou in ((0.159, 0.082), (0.9, 0.5), (0.6, 0.2)):
        false_positives = 1 - accuracy
        expect_close(
            call(answer, accuracy, iou),
            iou * false_positives / (1 - iou),
            f"the share of lane pixels for a pixel accuracy of {accuracy} and an IoU of {iou}",
            "With recall 1 the only wrong pixels are false positives, FP = 1 - accuracy, and IoU = p / (p + FP)",
        )
    return "about 7.5 % of the pixels are lane: painting nothing would have had an accuracy of 92 %"


@exercise("12.3")
def _check_wrong_score(answer):
    try:
        score = float(answer)
    except (TypeError, ValueError):
        score = np.nan
    expect(0 <= score <= 1, f"you gave {show(answer)}; expected one number from 0 to 1, the score of the wrong box")
    boxes = torch.tensor([[0.0, 0, 40, 40], [200, 10, 230, 40], [100, 0, 140, 40]])
    metric = DetectionMetric()
    detections = dict(boxes=boxes, labels=torch.ones(3, dtype=torch.long), scores=torch.tensor([0.9, score, 0.8]))
    metric.update([detections], [dict(boxes=boxes[[0, 2]], labels=torch.ones(2, dtype=torch.long))])
    ap = metric.compute()["map50"]
    expect(
        ap > 0.9999,
        f"with a score of {score:g} for the wrong box mAP50 is {ap:.3f}, expected 1. "
        "The wrong box must rank below both cars, or it lowers the precision at which the second one is found",
    )
    expect(score >= 0.75, f"{score:g} gives an mAP50 of 1, but a much higher score does, too: how high may it be?")
    return "below the last hit a false alarm costs nothing"
