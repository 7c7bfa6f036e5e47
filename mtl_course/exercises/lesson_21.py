"""Checks of lesson 21, the cost of sharing."""

from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("21.1")
def _check_share_saved(answer):
    for backbone, head, tasks in ((10, 1, 3), (10, 0, 3), (5, 5, 2)):
        expect_close(
            call(answer, backbone, head, tasks),
            (tasks - 1) * backbone / (tasks * (backbone + head)),
            f"the share saved with a backbone of {backbone}, heads of {head} and {tasks} tasks",
            "Single networks have one backbone and one head for each task; sharing leaves out all backbones but one",
        )
    return "without heads it is (T - 1) / T; no sharing of one backbone among three tasks can save more than two thirds"


@exercise("21.2")
def _check_backbone_share(answer):
    for ratio in (2.0, 3.0, 1.0, 1.71):
        expect_close(
            call(answer, ratio) + 1,
            (ratio - 1) / 2 + 1,
            f"one plus the share for a ratio of {ratio}",
            "With 3 the heads cost nothing, with 1 the backbone costs nothing: 3 (t + h) = ratio (t + 3 h), "
            "solved for t / (t + 3 h)",
        )
    return "at the measured median of 1.71 the backbone is about a third of a pass"


@exercise("21.3")
def _check_band(answer):
    cases = (
        ((640, 360), (416, 128), 180, (81.5385, 278.4615)),
        ((640, 360), (416, 128), 20, (0, 196.9231)),
        ((640, 360), (416, 128), 350, (163.0769, 360)),
    )
    for scene, given_size, centre, expected in cases:
        given = call(answer, scene, given_size, centre)
        expect(
            isinstance(given, (tuple, list)) and len(given) == 2,
            f"you gave {show(given)}; expected two numbers, the top and the bottom of the band in pixels",
        )
        expect_close(
            given,
            expected,
            f"the band of a {scene[0]}×{scene[1]} scene for an input of {given_size[0]}×{given_size[1]}, "
            f"around row {centre}",
            "The band is as wide as the scene and has the input's shape: height = scene width * input height / "
            "input width; move it (do not shrink it) where it would leave the scene",
        )
    return "resizing that band presses nothing: both sides shrink by the same factor"
