"""Checks of the exercises of lesson 25."""

import numpy as np

from ..data.sampling import task_probabilities
from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("25.1")
def _check_lane_steps(answer):
    sizes = {"classification": 6370, "detection": 980, "lane": 65}
    right = [600 * task_probabilities(sizes, temperature)["lane"] for temperature in (1, 5)]
    slip = "The probability of a lane step is n^(1/τ) over the sum of n^(1/τ), times 600"
    expect_close(answer, right, "the pair of lane steps", slip, tolerance=0.005)


@exercise("25.2")
def _check_factor(answer):
    for frequent, rare, beta in ((1000, 10, 0.999), (500, 50, 0.99)):
        right = (1 - beta**frequent) / (1 - beta**rare)
        slip = "A class of n images weighs (1 − β)/(1 − βⁿ); divide the rare one's weight by the frequent one's"
        what = f"the factor for {frequent} and {rare} images, β = {beta}"
        expect_close(call(answer, frequent, rare, beta), right, what, slip)


@exercise("25.3")
def _check_parts(answer):
    gramian = np.array([[400.0, -5.0, 0.1], [-5.0, 100.0, 0.0], [0.1, 0.0, 0.2]])
    for weights in (np.array([1.0, 1.0, 30.0]), np.array([0.1, 0.1, 3.0])):
        each = weights * (gramian @ weights)
        slip = "Task t has the part wₜ(Gw)ₜ of wᵀGw: the weight enters twice, and the other tasks' gradients count"
        expect_close(call(answer, gramian, weights), each / each.sum(), "the parts of the sum", slip)
    return "the two are the same: parts depend on the ratios of the weights alone, so none of the tasks' parts differ"


@exercise("25.4")
def _check_few_and_rare(answer):
    right = dict(lane_limit=65, task_sampling="temperature", sampling_temperature=1.0, steps_per_epoch=600)
    if not isinstance(answer, dict):
        raise Slip(f"you gave {show(answer)}; expected a dictionary of config fields such as lane_limit")
    for field, value in right.items():
        expect(
            answer.get(field) == value,
            f"{field} is {show(answer.get(field))}, expected {value!r}: few images is a limit, drawn in proportion is "
            "temperature 1, and 600 steps of one task stand for 200 of all three",
        )
    more = [field for field in answer if field not in right]
    expect(
        not more, f"{', '.join(map(str, more))} is changed, too: expected one cause at a time, signs and scenes whole"
    )
