"""Checks of the exercises of 11_multi_task_model."""

import numpy as np
import torch

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("11.1")
def _check_shared_share(answer):
    slip = "The backbone is shared, the heads are not; three networks have three backbones, and each head once"
    if not isinstance(answer, (list, tuple, np.ndarray, torch.Tensor)) or len(answer) != 2:
        raise Slip(f"you gave {show(answer)}; expected two numbers: the share, and millions of parameters")
    expect_close(answer[0], 0.335, "the share of the parameters that is shared", slip, tolerance=0.01)
    expect_close(answer[1], 117.2, "the millions of parameters of three networks", slip, tolerance=0.002)
    return "a third is shared: three networks would need 117 million, not 70"


class _Backbone:
    "Stands in for a backbone: remembers its calls."

    def __init__(self):
        self.calls = []

    def __call__(self, images, task=None):
        self.calls.append(task)
        return images.sum() + len(task or "")


@exercise("11.2")
def _check_forward(answer):
    heads = {"signs": lambda f: f * 2, "lanes": lambda f: f + 100, "boxes": lambda f: -f}
    scene = torch.ones(2, 3)
    backbone = _Backbone()
    given = _outputs(call(answer, backbone, heads, scene), list(heads), "one tensor")
    sentence = f"for one tensor and three heads the backbone ran {len(backbone.calls)} times, for {backbone.calls}"
    expect(backbone.calls == [None], f"{sentence}; expected one pass, with pooled statistics: None")
    _compare(given, {"signs": 12.0, "lanes": 106.0, "boxes": -6.0}, "one tensor for all heads")
    backbone = _Backbone()
    images = {"lanes": torch.ones(1, 4), "signs": torch.zeros(3)}
    given = _outputs(call(answer, backbone, heads, images), list(images), "images of lanes and signs")
    sentence = f"for images of lanes and signs the backbone ran for {backbone.calls}"
    expect(sorted(backbone.calls, key=str) == ["lanes", "signs"], f"{sentence}; expected each task's own statistics")
    _compare(given, {"lanes": 109.0, "signs": 10.0}, "each task's own images")
    return "one pass where all look at one scene, one per task where each has images of its own"


def _outputs(given, tasks: list, what: str) -> dict:
    "The outputs by task, when they are given so."
    if not isinstance(given, dict) or set(given) != set(tasks):
        names = list(given) if isinstance(given, dict) else show(given)
        raise Slip(f"for {what} you gave {names}; expected a dictionary with an output for each of {tasks}")
    return given


def _compare(given: dict, expected: dict, what: str):
    for task, value in expected.items():
        slip = "Each head gets the features of its own images"
        expect_close(given[task], value, f"the output of {task} for {what}", slip)


@exercise("11.3")
def _check_balancing_weights(answer):
    for losses in ({"signs": 0.5, "boxes": 2.0, "lanes": 4.0}, {"signs": 3.0, "lanes": 1.0}):
        given = call(answer, dict(losses))
        if not isinstance(given, dict) or set(given) != set(losses):
            raise Slip(f"for {losses} you gave {show(given)}; expected one weight for each task, by its name")
        weighted = {task: float(given[task]) * loss for task, loss in losses.items()}
        same = max(weighted.values()) - min(weighted.values()) < 1e-4 * max(weighted.values())
        rounded = {task: round(value, 4) for task, value in weighted.items()}
        expect(same, f"for {losses} the weighted losses are {rounded}; expected equal ones: weigh a large loss less")
        total = float(sum(given.values()))
        sentence = f"for {losses} the weights sum to {total:.4g}, expected {len(losses)}"
        expect(abs(total - len(losses)) < 1e-3, f"{sentence}: scale them all by one number")
    return "equal losses are not yet equal gradients"
