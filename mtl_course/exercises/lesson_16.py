"""Checks of the exercises of lesson 16."""

import torch

from ..losses.balancer import Balancer
from ..losses.schedules import schedule_factors
from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


def _adam_step_lengths(gradients):  # -> (N,) in learning rates
    "The lengths of Adam's steps for a sequence of gradients, by PyTorch's Adam."
    value = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([value], lr=1.0, eps=1e-12)
    lengths = []
    for gradient in gradients:
        before = value.item()
        value.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        lengths.append(before - value.item())
    return lengths


def _pair(answer, what: str) -> tuple[float, float]:
    "Two numbers out of a list, tuple, array or tensor."
    try:
        first, second = (float(value) for value in answer)
    except (TypeError, ValueError):
        raise Slip(f"you gave {show(answer)}; expected two numbers, {what}") from None
    return first, second


@exercise("16.1")
def _check_longest_step(answer):
    step, length = _pair(call(answer), "the step, counted from 1, and its length")
    lengths = _adam_step_lengths([schedule_factors("lane=1>30", s / 1000)["lane"] for s in range(1000)])
    longest = lengths.index(max(lengths)) + 1
    expect(
        step == int(step) and 1 <= step <= 1000,
        f"you gave step {show(step)}; expected one of the 1000 steps, counted from 1",
    )
    at_step = lengths[int(step) - 1]
    slip = "; steps are counted from 1" if step == longest - 1 else "; did you correct both means for their start at 0?"
    expect(
        step == longest,
        f"you gave step {int(step)}, where Adam's step has the length {at_step:.4f}; "
        f"there is a longer one somewhere{slip}",
    )
    expect_close(length, max(lengths), "the length at that step", "It is mean / square**0.5, both corrected", 1e-3)


@exercise("16.2")
def _check_slowest(answer):
    expect(
        isinstance(answer, type) and issubclass(answer, Balancer),
        f"you gave {show(answer)}; expected a class that derives from `Balancer`, with `weight` and `finish`",
    )
    balancer = call(answer, ["a", "b", "c"])
    at_first = [call(balancer.weight, task, None) for task in balancer.tasks]
    expect_close(at_first, [1, 1, 1], "the weights before the first step", "Nobody is behind yet: all count 1")
    factor = call(balancer.finish, {"a": 4.0, "b": 2.0, "c": 1.0})
    expect_close(factor, 1.0, "what `finish` returns", "It is the factor common to all weights, 1 here")
    call(balancer.finish, {"a": 3.0, "b": 1.8, "c": 0.5})
    _expect_weights(balancer, [0, 1, 0], "with ratios 0.75, 0.9 and 0.5 to the first losses")
    call(balancer.finish, {"a": 2.0, "b": 0.8, "c": 0.45})
    _expect_weights(balancer, [1, 0, 0], "with ratios 0.5, 0.4 and 0.45 to the FIRST losses, not the last ones")
    call(balancer.finish, {"b": 0.8, "c": 0.46})
    _expect_weights(balancer, [0, 0, 1], "in a step without task a, with ratios 0.4 and 0.46")
    restarted = call(answer, ["a", "b", "c"])
    restarted.load_state_dict(balancer.state_dict())
    _expect_weights(restarted, [0, 0, 1], "after a restart (`state` names what has to be saved)")
    call(restarted.finish, {"a": 2.0, "b": 1.9, "c": 0.6})
    _expect_weights(restarted, [0, 1, 0], "in the first step after a restart, with ratios 0.5, 0.95 and 0.6")


def _expect_weights(balancer, expected, situation):
    weights = [call(balancer.weight, task, None) for task in balancer.tasks]
    expect_close(weights, expected, f"the weights of a, b and c {situation}", "All goes to the largest ratio")


@exercise("16.3")
def _check_floor(answer):
    try:
        floor = float(answer)
    except (TypeError, ValueError):
        raise Slip(f"you gave {show(answer)}; expected a number above 0, the floor of both losses") from None
    expect(floor > 0, f"you gave {show(floor)}; expected a floor above 0: the geometric mean needs positive losses")
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    product = (x**2 / 2 + floor) * ((1 - x) ** 2 / 2 + floor)
    place = x[product.argmin()].item()
    expect(
        product[500] > product.min() * (1 + 1e-9),
        f"with the floor {show(floor)} the product is smallest at x = {place:.2f}, still in the middle; "
        "a floor hides how far ahead a task is, so which way must it go?",
    )
    left = min(place, 1 - place)
    return f"with the floor {show(floor)} the product is smallest at x = {left:.2f} and at x = {1 - left:.2f}"
