"""Checks of the exercises of 08_lane_head."""

import torch
import torch.nn.functional as F

from ..models.lane_head import dice_loss
from .base import call, exercise, expect, expect_close

__all__ = []


@exercise("08.1")
def _check_constant_iou(answer):
    for lane_pixels in (3, 20):
        given = call(answer, lane_pixels / 100)
        pair = isinstance(given, (tuple, list, torch.Tensor)) and len(given) == 2
        expect(pair, f"you gave {given!r}; expected two numbers: lane everywhere, background everywhere")
        target = torch.arange(100) < lane_pixels
        expected = [(target & answer).sum() / (target | answer).sum() for answer in (target | True, target & False)]
        expect_close(
            given,
            torch.stack(expected),
            f"the pair of IoUs with {lane_pixels} lane pixels of 100",
            "Everything is in the union with 'lane everywhere', and nothing in the intersection with the other",
        )
    return "an IoU close to the share of lane pixels shows no knowledge at all"


@exercise("08.2")
def _check_pull_of_lanes(answer):
    for lane_pixels in (20, 1):
        labels = (torch.arange(100) < lane_pixels).long()
        logits = torch.zeros(100, 2, requires_grad=True)
        F.cross_entropy(logits, labels).backward()
        expect_close(
            call(answer, lane_pixels / 100),
            logits.grad[labels > 0, 1].sum().abs(),
            f"the pull of {lane_pixels} lane pixels of 100",
            "At zero logits each pixel has p = ½, and the mean divides by all pixels, not by those of the lane",
        )
    return "and the background pulls the other way with half of its own share"


@exercise("08.3")
def _check_tversky_loss(answer):
    torch.manual_seed(0)
    p = torch.rand(3, 6, 8)
    y = (torch.rand(3, 6, 8) < torch.tensor([0.05, 0.3, 0.6])[:, None, None]).float()
    expect_close(
        call(answer, p, y, 0.5, 0.5),
        dice_loss(p, y),
        "the loss for α = β = ½, which is the Dice loss",
        "Take the ratio for each image and average the ratios; add ½ above and below",
    )
    for alpha, beta in ((0.2, 0.8), (1.0, 0.0)):
        both = torch.einsum("bhw,bhw->b", p, y)
        total = both + alpha * (p.sum((1, 2)) - both) + beta * (y.sum((1, 2)) - both)
        expect_close(
            call(answer, p, y, alpha, beta),
            (1 - (both + 0.5) / (total + 0.5)).mean(),
            f"the loss for α = {alpha} and β = {beta}",
            "α belongs to what is predicted and not there, β to what is there and not predicted",
        )
    return "for α = β = ½ it is the Dice loss; a large β asks for recall"
