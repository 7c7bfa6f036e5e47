"""Checks of the exercises of 09_detection_head."""

import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms

from ..models.backbone import STRIDES
from ..models.detection_head import make_anchors
from .base import Slip, call, exercise, expect, expect_close

__all__ = []


@exercise("09.1")
def _check_encode(answer):
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    for box, anchor in (((10, 20, 50, 40), (0, 0, 40, 40)), ((3, 7, 13, 57), (100, 50, 140, 60))):
        expected = coder.encode_single(torch.tensor([box]).float(), torch.tensor([anchor]).float())[0]
        expect_close(
            call(answer, box, anchor),
            expected,
            f"the encoding of box {box} against anchor {anchor}",
            "Distances of centres are divided by the anchor's width and height, and sizes are compared by a logarithm",
        )
    return "as torchvision's coder"


@exercise("09.2")
def _check_count_anchors(answer):
    for height, width in ((384, 1248), (96, 320)):
        for neck in ("fpn", "c5"):
            strides = [s for name, s in STRIDES.items() if neck == "fpn" or name == "c5"]
            maps = [torch.zeros(1, 1, height // s, width // s) for s in strides]
            images = ImageList(torch.zeros(1, 3, height, width), [(height, width)])
            expect_close(
                call(answer, height, width, neck),
                len(make_anchors(neck)(images, maps)[0]),
                f"the number of anchors of a {height}×{width} image with {neck}",
                "Nine at each place, and a map of stride s has height/s × width/s places",
                tolerance=1e-9,
            )
    return "358,020 anchors with a pyramid, 4,212 on c5 alone, for an image of KITTI's size"


@exercise("09.3")
def _check_suppress(answer):
    torch.manual_seed(0)
    corners = 40 * torch.rand(30, 2)
    boxes = torch.cat([corners, corners + 10 + 20 * torch.rand(30, 2)], 1)
    scores = torch.rand(30)
    chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    cases = [
        (chain, torch.tensor([0.9, 0.8, 0.7]), 0.3, "a chain of three boxes"),
        (boxes, scores, 0.5, "thirty boxes at 0.5"),
        (boxes, scores, 0.1, "thirty boxes at 0.1"),
    ]
    for given_boxes, given_scores, threshold, what in cases:
        indices = call(answer, given_boxes.clone(), given_scores.clone(), threshold)
        try:
            indices = [int(i) for i in indices]
        except (TypeError, ValueError):
            raise Slip(f"for {what} you gave {indices!r}; expected a list of indices") from None
        expected = nms(given_boxes, given_scores, threshold).tolist()
        expect(
            indices == expected,
            f"of {what} you keep {indices}; expected {expected}: compare with the boxes that stay only (a box "
            "that was removed removes no other), best score first",
        )
    return "as torchvision's nms"
