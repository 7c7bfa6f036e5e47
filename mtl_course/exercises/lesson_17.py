"""Checks of the exercises of lesson 17."""

import itertools

import torch
from torch.nn.functional import normalize

from ..losses import make_balancer
from ..losses.solvers import min_norm_weights
from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


def _directions(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    "A balancer's direction for three gradients, and with the first loss multiplied by 100."
    gradients = torch.randn(3, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    steps = []
    for factor in (1.0, 100.0):
        scaled = gradients * torch.tensor([[factor], [1.0], [1.0]], dtype=torch.float64)
        weights = make_balancer(name, "abc").weights(scaled @ scaled.T, dict.fromkeys("abc", 1.0))
        steps.append(normalize(weights @ scaled, dim=0))
    return steps[0], steps[1]


@exercise("17.1")
def _check_keep_direction(answer):
    names = ("mgda", "nash", "upgrad", "imtl_g")
    given = {answer} if isinstance(answer, str) else answer
    try:
        given = set(given)
    except TypeError:
        raise Slip(f"you gave {show(answer)}; expected a set of names out of {', '.join(names)}") from None
    unknown = [name for name in given if name not in names]
    expect(not unknown, f"you named {show(unknown)}; expected some of {', '.join(names)}, as strings in a set")
    for name in names:
        before, after = _directions(name)
        keeps = bool(torch.allclose(before, after, atol=1e-6))
        cosine = float(before @ after)
        expect(
            name not in given or keeps,
            f"you named {name}, but its direction turns (cosine {cosine:.2f} between before and after): "
            "it looks at the gradients' lengths, too",
        )
    for name in names:
        before, after = _directions(name)
        expect(
            name in given or not torch.allclose(before, after, atol=1e-6),
            f"you named {show(sorted(given))}, and one is missing: among the others there is one that looks at "
            "angles alone, up to the step's length",
        )


@exercise("17.2")
def _check_two_task_mgda(answer):
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.tensor([[1.0], [1.0 + seed % 5]], dtype=torch.float64)
        gradients = torch.randn(2, 3, generator=generator, dtype=torch.float64) * lengths
        gramian = gradients @ gradients.T
        expected = min_norm_weights(gramian)
        given = call(answer, gramian)
        slip = "The weights belong to g₁ and g₂ in this order, are at least 0 and sum to 1"
        expect_close(given, expected, f"the answer for the Gramian {show(gramian)}", slip, 1e-5)
    for gramian in ([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]):  # the weights may be any
        weights = call(answer, torch.tensor(gramian, dtype=torch.float64))
        total = sum(float(weight) for weight in weights)
        expect(
            abs(total - 1) < 1e-5 and min(float(weight) for weight in weights) >= 0,
            f"for the Gramian {gramian}, of equal gradients, you gave {show(weights)}; expected two weights of at "
            "least 0 with sum 1: there the parabola is flat, and its lowest point a division by zero",
        )


def _project(gradients, order):
    "PCGrad's step, from coefficients of the original gradients."
    gramian = gradients @ gradients.T
    weights = torch.zeros(len(gradients), dtype=gradients.dtype)
    for i in range(len(gradients)):
        coefficients = torch.zeros_like(weights)
        coefficients[i] = 1
        for j in order:
            inner = gramian[j] @ coefficients
            if j != i and inner < 0:
                coefficients[j] -= inner / gramian[j, j]
        weights += coefficients
    return weights @ gradients


@exercise("17.3")
def _check_pcgrad(answer):
    cases = {
        "two gradients in conflict": ([[1.0, 0.0], [-1.0, 1.0]], "Take the part of g_i along g_j out, and add up"),
        "two gradients that agree": (
            [[1.0, 0.0], [1.0, 1.0]],
            "Without a conflict nothing is taken out: it is the sum",
        ),
        "two gradients of different lengths in conflict": (
            [[4.0, 0.0], [-1.0, 1.0]],
            "The part of g_i along g_j is (g_i·g_j/‖g_j‖²) g_j, with the squared length",
        ),
    }
    for what, (rows, slip) in cases.items():
        gradients = torch.tensor(rows)
        given = call(answer, gradients.clone(), [0, 1])
        expect_close(given, _project(gradients, [0, 1]), f"the step for {what}, {rows}", slip)
    generator = torch.Generator().manual_seed(0)
    for order in itertools.permutations(range(3)):
        gradients = torch.randn(3, 4, generator=generator)
        copy = gradients.clone()
        slip = "g_j is the original gradient; the order is the same for each i; what is left of g_i counts from then on"
        given = call(answer, copy, list(order))
        expect_close(given, _project(gradients, order), f"the step for three gradients in the order {order}", slip)
        expect(torch.equal(copy, gradients), "your function changed the gradients it was given; work on copies")
