"""Checks of the exercises of 15_training."""

from types import SimpleNamespace

import torch
from torch import nn

from .base import NotYet, Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("15.1")
def _check_repeated_steps(answer):
    slip = "last.pt was written after 8, 16, 20, 24 and 32 steps: what was done since the last of them is repeated"
    expect_close(answer, 7, "the number of steps that are done twice", slip)


@exercise("15.2")
def _check_clipped_average(answer):
    cases = ((6.0, 0.0), (0.0, 0.4), 1.0), ((6.0, 0.0), (0.0, 0.4), 9.0), ((3.0, 4.0), (-1.0, 0.0), 1.0)
    for first, second, largest in cases:
        a = torch.tensor(first)
        b = torch.tensor(second)
        mean = (a + b) / 2
        expected = mean * min(1.0, largest / float(mean.norm()))
        slip = "One process with the whole batch has the mean as its gradient, and clips that, if it is too long"
        expect_close(call(answer, a, b, largest), expected, f"for {first}, {second} and {largest} the gradient", slip)


def _new_run() -> SimpleNamespace:
    "A small run before its first step."
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    return SimpleNamespace(model=model, optimizer=optimizer, scheduler=scheduler, step=0)


def _train(run: SimpleNamespace, steps: int) -> list[float]:  # losses
    losses = []
    for _ in range(steps):
        images = torch.full((4, 3), 0.1 * run.step)  # another batch in each step
        loss = (run.model(images) - 1).square().mean()
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        run.scheduler.step()
        run.step += 1
        losses.append(loss.item())
    return losses


@exercise("15.3")
def _check_resume(answer):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = _new_run()
        _train(whole, 5)
        expected = _train(whole, 6)
        torch.manual_seed(0)
        cut = _new_run()
        _train(cut, 5)
        checkpoint = call(answer, cut)
        _train(cut, 2)  # done, but lost in the power cut
        torch.rand(7)
        resumed = _new_run()
        _restore(checkpoint, resumed)
        given = f"the resumed run is at step {resumed.step}"
        expect(resumed.step == 5, f"{given}, expected 5: the position in the run belongs to its state, too")
        slip = (
            "Something of the state was forgotten, or kept as a reference that training went on to change: "
            "weights, momentum, learning rate, random generator"
        )
        expect_close(_train(resumed, 6), expected, "the losses after resuming", slip, tolerance=1e-6)


def _restore(checkpoint, run: SimpleNamespace):
    "Calls the method of the answer; nothing kept and nothing restored counts as not yet."
    if not hasattr(checkpoint, "restore"):
        raise Slip(f"you gave {show(checkpoint)}; expected an object with the method restore(run)")
    if not any(value is not None for value in vars(checkpoint).values()):
        raise NotYet
    try:
        checkpoint.restore(run)
    except Exception as error:
        raise Slip(f"restore raised {type(error).__name__}: {error}; it is given a fresh run") from None
