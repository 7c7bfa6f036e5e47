"""Checks of the exercises of 06_backbone."""

import torch
from torch import nn

from ..models.backbone import Backbone, TaskBatchNorm2d
from .base import Slip, call, exercise, expect, expect_close

__all__ = []


@exercise("06.1")
def _check_extra_share(answer):
    for name in ("resnet10", "resnet50"):
        net = Backbone(name)
        channels = sum(m.weight.numel() for m in net.modules() if isinstance(m, TaskBatchNorm2d))
        parameters = sum(p.numel() for p in net.parameters())
        expect_close(
            call(answer, net),
            4 * channels / parameters,
            f"the share for a {name}",
            "Two further tasks add a mean and a variance per channel each; divide by the parameters, not the buffers",
        )
    return "less than half a percent buys each task statistics of its own"


@exercise("06.2")
def _check_task_batchnorm(answer):
    torch.manual_seed(0)
    norm = call(answer, 3, 2)
    if not isinstance(norm, nn.Module):
        raise Slip("TaskBatchNorm(3, 2) is no torch.nn.Module: expected a class that inherits from nn.Module")
    _check_start(norm)
    references = [nn.BatchNorm1d(3), nn.BatchNorm1d(3)]  # PyTorch's, one per task
    for k in (0, 1, 1):
        x = 3 * torch.randn(8, 3) + 10 * k
        expect_close(
            call(norm, x, k),
            references[k](x).detach(),
            "a batch normalised in training",
            "In training use the batch's own mean and biased variance",
        )
    rows = {
        "running_mean": [r.running_mean for r in references],
        "running_var": [r.running_var for r in references],
    }
    for name, values in rows.items():
        expect_close(
            getattr(norm, name),
            torch.stack(values),
            f"{name} after one batch of task 0 and two of task 1",
            "Only the row of the batch's task moves, a tenth of the way, and the variance that is kept is unbiased",
        )
    norm.eval()
    before = norm.running_mean.clone()
    expect_close(
        call(norm, x, 0),
        references[0].eval()(x).detach(),
        "a batch of task 0 in evaluation",
        "In evaluation the row of the task normalises, whatever the batch",
    )
    expect_close(norm.running_mean, before, "running_mean after evaluation", "In evaluation no row may move")
    _check_learns(norm)
    return "your layer agrees with one nn.BatchNorm1d per task, in training and in evaluation"


def _check_start(norm):
    shapes = dict(weight=(3,), bias=(3,), running_mean=(2, 3), running_var=(2, 3))
    state = {name: tuple(value.shape) for name, value in norm.state_dict().items()}
    expect(
        state == shapes,
        f"TaskBatchNorm(3, 2) keeps {state}; expected {shapes}: nn.Parameter for the shared scale and shift, "
        "register_buffer for the statistics",
    )
    parameters = sorted(name for name, _ in norm.named_parameters())
    expect(
        parameters == ["bias", "weight"],
        f"the parameters that learn are {parameters}; expected weight and bias: statistics are buffers",
    )


def _check_learns(norm):
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(-1.0)
    x = norm.running_mean[1:2] + 0.0
    expect_close(
        call(norm, x, 1),
        -torch.ones(1, 3),
        "the mean of task 1 with scale 2 and shift −1",
        "Scale first, then add the shift: y = γ (x − μ)/√(σ² + ε) + β",
    )


@exercise("06.3")
def _check_pooled_weighted(answer):
    means = torch.tensor([[-5.0, 1.0], [5.0, 2.0], [0.0, 4.0]])
    variances = torch.tensor([[1.0, 0.5], [1.0, 0.1], [2.0, 3.0]])
    for p in ([1 / 3, 1 / 3, 1 / 3], [0.9, 0.1, 0.0]):
        given = call(answer, means, variances, torch.tensor(p))
        pair = isinstance(given, (tuple, list, torch.Tensor)) and len(given) == 2
        expect(pair, f"for p = {p} you gave {type(given).__name__}; expected two things: mean and variance")
        weights = torch.tensor(p)[:, None]
        mean = (weights * means).sum(0)
        variance = (weights * (variances + (means - mean) ** 2)).sum(0)
        expect_close(given[0], mean, f"the mean for p = {[round(v, 2) for v in p]}", "Weigh each task's mean by p")
        expect_close(
            given[1],
            variance,
            f"the variance for p = {[round(v, 2) for v in p]}",
            "The tasks' means differ, and this difference is part of the mixture's variance",
        )
    return "the variance of a mixture is the mean variance plus the variance of the means"
