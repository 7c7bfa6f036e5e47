"""Checks of the exercises of lesson 18."""

import gc
import weakref
from functools import partial

import torch

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("18.1")
def _check_jacobians(answer):
    try:
        first, second = (float(value) for value in answer)
    except (TypeError, ValueError):
        raise Slip(f"you gave {show(answer)}; expected two numbers, one for each process") from None
    mean_gramian = (first**2 + second**2) / 2
    gramian_of_mean = ((first + second) / 2) ** 2
    expect(
        mean_gramian > 0,
        f"you gave {show((first, second))}: both Gramians are 0 then, and do not differ; take numbers other than 0",
    )
    expect(
        gramian_of_mean <= 1e-6 * mean_gramian,
        f"for {show((first, second))} the mean of the Gramians is {mean_gramian:.4g}, the Gramian of the mean "
        f"{gramian_of_mean:.4g}, {gramian_of_mean / mean_gramian:.0%} of it; they can differ more",
    )
    return "the mean gradient vanishes, the mean Gramian does not"


class _Network:
    "Two shared tensors, three tasks, the third reaching the first tensor only; notes its use."

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.shared = [torch.randn(3, generator=generator), torch.randn(2, 2, generator=generator)]
        for tensor in self.shared:
            tensor.requires_grad_()
        self.calls = []
        self.graphs = []
        self.most_alive = 0

    def loss(self, task):
        gc.collect()
        self.most_alive = max(self.most_alive, sum(graph() is not None for graph in self.graphs))
        self.calls.append(task)
        first, second = self.shared
        values = {"a": (first**2).sum() + second.sum(), "b": -3 * first.sum() + (second**2).sum(), "c": first.prod()}
        hidden = values[task] * 1.0
        self.graphs.append(weakref.ref(hidden))
        return hidden**2  # the graph keeps its input until the backward pass

    def gradients(self):  # (3, 7), each task's by itself
        rows = []
        for task in "abc":
            grads = torch.autograd.grad(self.loss(task), self.shared, allow_unused=True)
            filled = [torch.zeros_like(p) if g is None else g for p, g in zip(self.shared, grads)]
            rows.append(torch.cat([g.reshape(-1) for g in filled]))
        return torch.stack(rows)


@exercise("18.2")
def _check_streamed_step(answer):
    network = _Network()
    jacobian = network.gradients()
    network = _Network()
    network.shared[0].grad = torch.ones(3)  # left over from an earlier step
    seen = []

    def weigh(gramian):
        seen.append(gramian)
        return torch.tensor([1.0, 0.5, -2.0])

    closures = {task: partial(network.loss, task) for task in "abc"}
    gramian = call(answer, network.shared, closures, weigh)
    expect(
        network.calls == list("abc"),
        f"your step called the closures {show(network.calls)}; expected each once, in their order",
    )
    slip = "Sum over all parameters; a task that does not reach one has the gradient 0 there; forget what `.grad` held"
    expect_close(gramian, jacobian @ jacobian.T, "the Gramian that you return", slip)
    expect(len(seen) == 1, f"your step called `weigh` {len(seen)} times; expected once, when all gradients are known")
    expect_close(seen[0], jacobian @ jacobian.T, "the Gramian that you gave to `weigh`", slip)
    expected = torch.tensor([1.0, 0.5, -2.0]) @ jacobian
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.shared]
    given = torch.cat([g.reshape(-1) for g in grads])
    expect_close(given, expected, "what `.grad` of the shared parameters holds afterwards", "It is Σ w_t g_t")
    expect(
        network.most_alive == 0,
        "when a closure was called, the graph of an earlier task's loss was still alive; go backward and let go of "
        "the loss before the next forward pass",
    )


@exercise("18.3")
def _check_make_closures(answer):
    calls = []

    def task_loss(task):
        calls.append(task)
        return {"lane": 1.0, "detection": 2.0, "classification": 3.0}[task]

    tasks = ["lane", "detection", "classification"]
    closures = call(answer, task_loss, tasks)
    expect(isinstance(closures, dict), f"you gave {show(closures)}; expected a dictionary from task to function")
    expect(list(closures) == tasks, f"the keys are {show(list(closures))}; expected the tasks {tasks} in their order")
    expect(
        not calls,
        f"making the closures computed the losses of {show(calls)}; expected functions that compute when called",
    )
    losses = [call(closure) for closure in closures.values()]
    slip = "If all are the last one, the loop's variable was looked up too late: bind it early"
    expect_close(losses, [1.0, 2.0, 3.0], "what the three closures return", slip)
    again = [call(closure) for closure in closures.values()]
    expect(
        calls == tasks * 2,
        f"called twice, the closures computed {show(calls)}; expected a forward pass of the right task at each call",
    )
    expect_close(again, losses, "what the closures return at the second call")


@exercise("18.4")
def _check_images(answer):
    try:
        images = float(answer)
    except (TypeError, ValueError):
        raise Slip(f"you gave {show(answer)}; expected a whole number of images per task") from None
    expect(images == int(images), f"you gave {show(images)}; expected a whole number of images")
    summed = 3 * images * 6
    streamed = images * 6 + 2 * 94
    numbers = f"with {int(images)} images the summed loss holds {summed:g} MB, streaming {streamed:g} MB"
    expect(streamed < summed, f"{numbers}: not less yet; take more images")
    before = f"with {int(images) - 1} it is {summed - 18:g} MB against {streamed - 6:g} MB"
    expect(streamed - 6 >= summed - 18, f"{numbers}, but {before}, less already; a smaller number will do")
    return f"{numbers}; {before}"
