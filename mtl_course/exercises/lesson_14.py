"""Checks of the exercises of 14_one_step."""

import torch
from torch import nn

from .base import NotYet, Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("14.1")
def _check_first_step(answer):
    expect_close(
        answer,
        0.4,
        "θ after the step",
        "The gradient at 0 is 3·2·(0 − 1) + 1·2·(0 + 1); the step goes against it, times η",
    )


class _TwoHeads(nn.Module):
    "A shared layer and one linear head for each task."

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(3, 4)
        self.heads = nn.ModuleDict(dict(signs=nn.Linear(4, 2), lanes=nn.Linear(4, 1)))

    def forward(self, images, task):
        return self.heads[task](torch.tanh(self.shared(images)))


def _loss(task, prediction, labels):
    return (prediction - labels).square().mean()


def _problem(seed: int):
    "A network, an optimiser, a batch and weights, always the same for a seed."
    generator = torch.Generator().manual_seed(seed)
    model = _TwoHeads()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 2)
    batch = dict(
        images=dict(signs=torch.randn(5, 3, generator=generator), lanes=torch.randn(2, 3, generator=generator)),
        signs=torch.randn(5, 2, generator=generator),
        lanes=torch.randn(2, 1, generator=generator),
    )
    return model, torch.optim.SGD(model.parameters(), lr=0.1), batch, dict(signs=2.0, lanes=0.25)


def _right_step(model, loss, optimizer, batch, weights):
    optimizer.zero_grad()
    losses = {task: loss(task, model(x, task), batch[task]) for task, x in batch["images"].items()}
    sum(weights[task] * value for task, value in losses.items()).backward()
    optimizer.step()
    return {task: value.item() for task, value in losses.items()}


@exercise("14.2")
def _check_training_step(answer):
    model, optimizer, batch, weights = _problem(0)
    reference, reference_optimizer, *_ = _problem(0)
    for p in model.parameters():
        p.grad = torch.ones_like(p)  # left over from before
    for number in (1, 2):
        losses = call(answer, model, _loss, optimizer, batch, weights)
        expected = _right_step(reference, _loss, reference_optimizer, batch, weights)
        for name, p in reference.named_parameters():
            given = dict(model.named_parameters())[name]
            slip = (
                "Are the gradients emptied before the step, is each loss multiplied by its own weight, and do both "
                "tasks count?"
            )
            expect_close(given, p, f"after step {number} the weight {name}", slip, tolerance=1e-3)
        expect(isinstance(losses, dict), f"you returned {show(losses)}; expected a dictionary {{task: loss}}")
        expect(set(losses) == set(expected), f"the losses have the tasks {show(list(losses))}; expected both tasks")
        for task, value in expected.items():
            expect_close(
                losses[task], value, f"the loss of {task} in step {number}", "It is returned without its weight"
            )


@exercise("14.3")
def _check_accumulation(answer):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 3, generator=generator)
    for sizes in ((3, 4), (1, 6), (2, 2, 3)):
        weight = nn.Parameter(torch.randn(3, generator=generator))

        def loss(part):
            return (part @ weight - 1).square().mean()

        (expected,) = torch.autograd.grad(loss(images), weight)
        weight.grad = None if sizes == (3, 4) else torch.ones(3)
        before = None if weight.grad is None else weight.grad.clone()
        try:
            result = answer([weight], loss, list(images.split(sizes)))
        except NotImplementedError:
            raise NotYet from None
        except Exception as error:
            raise Slip(f"your function raised {type(error).__name__}: {error}; it is given 7 images in parts") from None
        if before is None and weight.grad is None:
            if result is None:
                raise NotYet
            raise Slip(f"you returned {show(result)} and left no gradient; expected it in .grad of the parameters")
        slip = "A part with n of 7 images counts n/7; what was in .grad before does not count"
        expect_close(weight.grad, expected, f"with parts of {sizes} images the gradient", slip)


def _without_zero_grad(model, loss, optimizer, batch, weights):
    losses = {task: loss(task, model(x, task), batch[task]) for task, x in batch["images"].items()}
    sum(weights[task] * value for task, value in losses.items()).backward()
    optimizer.step()
    return {task: value.item() for task, value in losses.items()}


def _without_weights(model, loss, optimizer, batch, weights):
    return _right_step(model, loss, optimizer, batch, dict.fromkeys(weights, 1.0))


def _with_last_task_only(model, loss, optimizer, batch, weights):
    losses = _right_step(lambda x, task: model(x, task).detach(), *_frozen(loss, batch, weights))
    task = list(batch["images"])[-1]
    optimizer.zero_grad()
    (weights[task] * loss(task, model(batch["images"][task], task), batch[task])).backward()
    optimizer.step()
    return losses


def _frozen(loss, batch, weights):
    "Arguments with which `_right_step` computes losses and moves nothing."
    parameter = nn.Parameter(torch.zeros(()))

    def added(task, prediction, labels):
        return loss(task, prediction, labels) + 0 * parameter

    return added, torch.optim.SGD([parameter], lr=0.0), batch, weights


def _with_wrong_direction(model, loss, optimizer, batch, weights):
    return _right_step(model, loss, optimizer, batch, {task: -weight for task, weight in weights.items()})


_FAULTY = {
    "one that never empties the gradients": _without_zero_grad,
    "one that ignores the weights": _without_weights,
    "one that follows the last task only": _with_last_task_only,
    "one that goes uphill": _with_wrong_direction,
}


@exercise("14.4")
def _check_trust(answer):
    verdict = call(answer, _right_step)
    expect(bool(verdict), f"a right step was called faulty (you returned {show(verdict)}); compare with a tolerance")
    for name, step in _FAULTY.items():
        verdict = call(answer, step)
        slip = "take unequal weights, look at both tasks' losses, and take more than one step"
        expect(not verdict, f"a faulty step was trusted, {name}: {slip}")
    return f"{len(_FAULTY)} faulty steps were found out"
