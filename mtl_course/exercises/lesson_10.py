"""Checks of the exercises of 10_ways_of_sharing."""

import torch
from torch import nn

from ..models.backbone import Backbone
from ..models.sharing import SHARING, CrossStitchUnit, MultiTaskBackbone, make_backbone
from .base import Slip, call, exercise, expect, expect_close

__all__ = []


@exercise("10.1")
def _check_passes(answer):
    for tasks in (("classification", "detection", "lane"), ("detection", "lane")):
        for sharing in SHARING:
            given = call(answer, sharing, len(tasks))
            pair = isinstance(given, (tuple, list)) and len(given) == 2
            expect(pair, f"for {sharing} you gave {given!r}; expected two numbers: for one task, for all heads")
            expect_close(
                given,
                _count_passes(sharing, tasks),
                f"the pair for {sharing} and {len(tasks)} tasks",
                "Count the ResNets that the image itself runs through; masks, projections and attention are none",
            )
    return "only cross-stitch pays for every image; separate networks pay when one image serves all heads"


def _count_passes(sharing, tasks):
    backbone = make_backbone(sharing, "resnet10", tasks=tasks).eval()
    calls = []
    for module in backbone.modules():
        if isinstance(module, Backbone):
            module.layer4.register_forward_hook(lambda *_: calls.append(1))
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        backbone(image, tasks[-1])
        for_one = len(calls)
        backbone.forward_all(image)
    return for_one, len(calls) - for_one


@exercise("10.2")
def _check_stitch(answer):
    torch.manual_seed(0)
    for tasks in (2, 3):
        unit = CrossStitchUnit(tasks, 4)
        nn.init.normal_(unit.alpha)
        streams = torch.randn(tasks, 2, 4, 3, 5)
        names = [str(k) for k in range(tasks)]
        mixed = torch.stack(list(unit(dict(zip(names, streams)), names).values()))
        expect_close(
            call(answer, unit.alpha.detach(), streams),
            mixed.detach(),
            f"the mixture of {tasks} streams",
            "x̃ of stream s is the sum over t of α[s, t] times x of t: the first axis of α is the listener",
        )
    return "for any number of streams"


class _Half(MultiTaskBackbone):
    """Two tasks that share one layer; a third reads nothing of it."""

    def __init__(self):
        super().__init__()
        self.tasks = ("a", "b", "c")
        self.common = nn.Conv2d(3, 2, 1)
        self.layers = nn.ModuleDict({task: nn.Conv2d(3 if task in ("c",) else 2, 2, 1) for task in self.tasks})

    def forward(self, images, task):
        x = images if task in ("c",) else self.common(images)
        return dict(c2=self.layers[task](x))


@exercise("10.3")
def _check_shared_names(answer):
    images = torch.randn(2, 3, 64, 64)
    for sharing in ("mtan", "separate", "half"):
        backbone = _Half() if sharing == "half" else make_backbone(sharing, "resnet10")
        given = call(answer, backbone, images)
        try:
            given = set(given)
        except TypeError:
            raise Slip(f"you gave {given!r}; expected a set of names of parameters") from None
        shared = {id(p) for p in backbone.shared_parameters()}
        if sharing == "half":
            shared = {id(p) for p in backbone.common.parameters()}
        expected = {name for name, p in backbone.named_parameters() if id(p) in shared}
        missing = sorted(map(str, expected - given))[:2]
        surplus = sorted(map(str, given - expected))[:2]
        what = "two tasks of three that share a layer" if sharing == "half" else f"the backbone {sharing!r}"
        expect(
            not missing and not surplus,
            f"for {what} you gave {len(given)} names; expected {len(expected)} (missing, for example: {missing}; "
            f"surplus: {surplus}): count for each name how many tasks give it a gradient, and ask for every stage",
        )
    return "and it would work for a way of sharing that nobody has thought of yet"
