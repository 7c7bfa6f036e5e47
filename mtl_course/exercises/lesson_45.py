"""Checks of the exercises of 45_dense_detection_head."""

import torch
from torchvision.ops import generalized_box_iou, sigmoid_focal_loss

from .base import call, exercise, expect_close

__all__ = []


@exercise("45.1")
def _check_answering_box(answer):
    car = (10, 10, 50, 30)
    pedestrian = (20, 5, 28, 33)
    lorry = (0, 0, 90, 60)
    cases = [
        ((24, 20), [car, pedestrian, lorry], 1, "a point in three boxes belongs to the one with the smallest area"),
        ((24, 20), [lorry, car], 1, "the order of the boxes must not matter"),
        ((40, 20), [lorry, pedestrian], 0, "a smaller box that does not hold the point is out of the question"),
        ((95, 20), [car, pedestrian, lorry], -1, "no box holds the point"),
        ((24, 20), [], -1, "there is no box"),
    ]
    for point, boxes, expected, slip in cases:
        given = call(answer, point, boxes)
        expect_close(given, expected, f"the box that {point} answers for, of {boxes},", f"Here {slip}", tolerance=1e-9)


@exercise("45.2")
def _check_how_much_smaller(answer):
    for p in (0.5, 0.01, 0.9):
        logit = torch.logit(torch.tensor([p], dtype=torch.float64))
        no = torch.zeros_like(logit)
        losses = [sigmoid_focal_loss(logit, no, alpha=-1, gamma=gamma).item() for gamma in (0, 2)]
        slip = "The focal loss weighs by (1 − pₜ)², and pₜ is the probability of what is true: that nothing is there"
        expect_close(call(answer, p), losses[0] / losses[1], f"the factor for p = {p}", slip)
    return "10,000 times at 1 %: thousands of easy places weigh next to nothing"


@exercise("45.3")
def _check_giou(answer):
    cases = {
        "equal boxes": ((0, 0, 10, 10), (0, 0, 10, 10)),
        "overlapping boxes": ((0, 0, 10, 10), (5, 5, 20, 15)),
        "boxes apart in x": ((0, 0, 10, 10), (30, 2, 44, 12)),
        "boxes apart in x and in y": ((0, 0, 10, 10), (30, 40, 35, 60)),
        "one box inside another": ((0, 0, 10, 10), (2, 3, 5, 6)),
    }
    for what, (a, b) in cases.items():
        expected = generalized_box_iou(torch.tensor([a]).double(), torch.tensor([b]).double()).item()
        slip = (
            "It is IoU minus the share of the enclosing box that neither covers; boxes that do not touch share nothing"
        )
        expect_close(call(answer, a, b), expected, f"for {what} the generalised IoU", slip)
    return "as torchvision's generalized_box_iou"
