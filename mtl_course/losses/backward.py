"""What real training adds to a backward pass: microbatches, processes, float16, heads.

*Accumulation.* A task may come as a list of closures, one for each microbatch (`Microbatch` where
they differ in size). Their mean, weighed by size, is the task's loss, and the balancer sees the
mean's gradient: the whole batch's, if the loss is a mean over images that do not look at each
other. BatchNorm in training mode does look: it normalises each microbatch by itself.

*Several processes.* `average` replaces a list of tensors by their means over all processes. The
Gramian is made from averaged gradients: the mean of the processes' Gramians would be another
matrix.

*float16.* Losses are multiplied by `loss_scale` in the backward pass; the Gramian is brought back
by its square. After an overflow there is no Gramian to speak of: the gradient is left infinite, and
the scaler skips the step.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .balancer import Balancer

__all__ = ["Microbatch"]

Closure = Callable[[], Tensor]  # runs a task's forward pass, returns its scalar loss


class Microbatch(NamedTuple):
    "A part of a task's batch, where parts differ in size."

    closure: Closure
    size: int  # images


class NotFinite(ValueError):
    "A task's loss or gradient is NaN or infinite; `task` says whose, `parameter` where."

    def __init__(self, task: str, what: str, value: float, parameter: nn.Parameter | None = None):
        self.task = task
        self.value = value
        self.parameter = parameter  # None: of a loss, or in another process
        super().__init__(
            f"the {what} of task {task!r} is {value}: lower the learning rate or the task's weight, "
            "or look at its images"
        )

    def told(self, model: nn.Module) -> str:
        "The sentence, with the parameter's name in a model."
        if self.parameter is None:
            return str(self)
        names = {id(p): name for name, p in model.named_parameters()}
        place = names.get(id(self.parameter), f"a parameter of shape {tuple(self.parameter.shape)}")
        return (
            f"the gradient of task {self.task!r} is {self.value} in {place}, though its loss is finite: look for a "
            "root or a power of zero in that loss, lower the learning rate or the task's weight, or look at its images"
        )


@dataclass(frozen=True)
class BackwardOptions:
    "How a training loop wants its backward passes."

    backward: Callable[[Tensor], None] = Tensor.backward  # Fabric's, for example
    average: Callable[[list[Tensor]], None] | None = None  # puts means over all processes in the tensors' place
    loss_scale: float = 1.0  # by which `backward` multiplies a loss (float16)
    record: bool = False  # make the Gramian for its own sake


class TaskRun(NamedTuple):
    "What is left of a task's forward and backward pass besides gradients."

    loss: Tensor  # (), mean over the microbatches
    weight: float | Tensor  # that the loss was multiplied by
    parameters: dict[int, nn.Parameter]  # id -> a parameter that the loss depends on; empty unless asked for
    grads: list[tuple[nn.Parameter, Tensor]] = []  # what the backward pass left in `.grad`
    norm: Tensor | None = None  # () of all of them together


def run_task(
    closures: Closure | list[Closure],  # the task's, or one for each microbatch
    weigh: Callable[[Tensor], float | Tensor],  # detached loss -> weight
    backward: Callable[[Tensor], None],
    find_parameters: bool,
) -> TaskRun:
    "Runs a task; a microbatch's graph is gone when the next one's forward pass begins."
    microbatches = _as_microbatches(closures)
    total = sum(microbatch.size for microbatch in microbatches)
    losses = []
    weight = 1.0
    parameters = {}
    for closure, size in microbatches:
        loss = closure()
        losses.append(loss.detach())
        parameters |= {id(p): p for p in _graph_parameters(loss)}
        weight = weigh(losses[-1])
        backward(loss * (weight / (total / size)))  # .grad += w ∇L/k, for k parts of equal size
    grads = [(p, p.grad) for p in parameters.values() if p.grad is not None]
    norm = torch.stack(torch._foreach_norm([grad for _, grad in grads])).sum() if grads else None
    mean = _mean(torch.stack(losses), [microbatch.size for microbatch in microbatches])
    return TaskRun(mean, weight, parameters if find_parameters else {}, grads, norm)


def _as_microbatches(closures: Closure | Microbatch | list) -> list[Microbatch]:
    "Each closure with its size; those without one count alike."
    if isinstance(closures, Microbatch) or not isinstance(closures, (list, tuple)):
        closures = [closures]
    return [closure if isinstance(closure, Microbatch) else Microbatch(closure, 1) for closure in closures]


def _mean(losses: Tensor, sizes: list[int]) -> Tensor:
    "The mean of the microbatches' losses, weighed by size."
    if len(set(sizes)) == 1:
        return losses.mean()
    shares = losses.new_tensor(sizes) / sum(sizes)
    return (losses * shares).sum()


def _graph_parameters(loss: Tensor) -> list[nn.Parameter]:
    "All parameters that a loss depends on, found by walking its graph."
    parameters = []
    seen = set()
    nodes = [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            parameters.append(node.variable)
        nodes += [parent for parent, _ in node.next_functions]
    return parameters


def pop_grads(parameters: list[nn.Parameter]) -> list[Tensor]:
    """Takes the gradients out of `.grad` without copying; the next backward pass makes new ones.

    A parameter that the loss does not depend on gives zeros.
    """
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    return grads


class RowStack:
    """Puts the tasks' gradients of one parameter under each other, (T, n), parameter after
    parameter in the same memory: to get fresh memory takes longer than to copy.
    """

    def __init__(self, task_grads: list[list[Tensor]]):  # task -> parameter -> its gradient
        self.largest = len(task_grads) * max((g.numel() for g in chain.from_iterable(task_grads)), default=0)
        self.memory = torch.empty(0)

    def __call__(self, grads: list[Tensor]) -> Tensor:  # of one parameter, one for each task; valid until the next call
        first = grads[0]
        if (self.memory.dtype, self.memory.device) != (first.dtype, first.device) or not len(self.memory):
            self.memory = first.new_empty(self.largest)
        rows = self.memory[: len(grads) * first.numel()].view(len(grads), first.numel())
        return torch.stack([g.reshape(-1) for g in grads], out=rows)


def unflatten_(
    vector: Tensor,  # (P,)
    tensors: list[Tensor],  # of P elements together
):
    "Writes a flat gradient into tensors of several shapes, in place."
    for tensor, piece in zip(tensors, vector.split([t.numel() for t in tensors])):
        tensor.copy_(piece.view_as(tensor))


def check_losses(
    runs: dict[str, TaskRun],
    average: Callable | None,
    loss_scale: float = 1.0,  # another one: gradients may overflow, and the scaler skips the step
) -> dict[str, float]:
    """The losses as numbers, averaged over processes: here a GPU is waited for, once a step.

    Raises `NotFinite` for the first task whose loss or gradient is not finite.
    """
    values = [run.loss.float() for run in runs.values()]
    values += [run.loss.new_zeros(()).float() if run.norm is None else run.norm.float() for run in runs.values()]
    values = torch.stack(values)
    if average:
        average([values])
    numbers = values.tolist()
    losses = dict(zip(runs, numbers))
    for task, loss in losses.items():
        if not math.isfinite(loss):
            raise NotFinite(task, "loss", loss)
    if loss_scale == 1:
        for task, norm in zip(runs, numbers[len(losses) :]):
            if not math.isfinite(norm):  # in every process, or in none
                _check_gradient(task, runs[task], average)
    return losses


def _check_gradient(task: str, run: TaskRun, average: Callable | None):
    "Raises `NotFinite` unless it was only the norm that overflowed."
    broken = [(p, grad) for p, grad in run.grads if not grad.isfinite().all()]
    found = run.loss.new_full((), float(len(broken)))
    if average:
        average([found])
    if found > 0:
        parameter, grad = broken[0] if broken else (None, found.new_full((1,), math.nan))
        raise NotFinite(task, "gradient", float(grad[~grad.isfinite()][0]), parameter)


def head_parameters(
    runs: dict[str, TaskRun],
    shared: list[nn.Parameter],
) -> dict[str, list[nn.Parameter]]:  # task -> its head's parameters that have a gradient
    "Each task's unshared parameters; raises `ValueError` for one that two tasks use."
    shared_ids = {id(p) for p in shared}
    owner = {}
    heads = {}
    for task, run in runs.items():
        head = {key: p for key, p in run.parameters.items() if key not in shared_ids}
        for key, p in head.items():
            if owner.setdefault(key, task) != task:
                raise ValueError(
                    f"tasks {owner[key]!r} and {task!r} both use a parameter of shape {tuple(p.shape)} "
                    "that is not in shared_parameters: add it there"
                )
        heads[task] = [p for p in head.values() if p.grad is not None]
    return heads


def task_weights(
    balancer: Balancer,
    losses: dict[str, float],
    gramian: Tensor | None,  # (T, T) float64
    loss_scale: float = 1.0,
    dtype: torch.dtype = torch.float64,  # of the gradients behind the Gramian
) -> list[float]:  # NaN for a method that has no weights
    "What each task's shared gradient is multiplied by, once all losses and gradients are known."
    if balancer.needs == "gradients":
        return [math.nan] * len(losses)
    if balancer.needs == "losses":
        weights = [float(balancer.weight(task, torch.tensor(loss))) for task, loss in losses.items()]
        factor = balancer.finish(losses)
        return [weight * factor for weight in weights]
    if gramian.isfinite().all():
        return balancer.weights(gramian, losses, dtype).tolist()
    if loss_scale != 1:
        return [1.0] * len(losses)  # float16 overflowed: the scaler will skip this step
    squared_norms = dict(zip(losses, gramian.diagonal().tolist()))
    broken = [task for task, value in squared_norms.items() if not math.isfinite(value)]
    task = (broken or list(losses))[0]
    raise NotFinite(task, "squared gradient norm", squared_norms[task])


def coarsest_type(parameters: list[nn.Parameter]) -> torch.dtype:
    "The type of their gradients; of several the one that rounds most."
    types = {p.dtype for p in parameters} or {torch.float64}
    return max(types, key=lambda dtype: torch.finfo(dtype).eps)


def add_weighted_(
    task_grads: list[list[Tensor]],  # task -> parameter -> its gradient
    weights: list[float],
):
    """Σ wₜ gₜ for each parameter, in the memory of the first task's gradients.

    A weight that a float32 cannot hold is applied in two steps: the gradient is as short as the
    weight is large.
    """
    total = task_grads[0]
    for grads, weight in zip(task_grads, weights):
        within = min(max(abs(weight), 2.0**-100), 2.0**100) if weight else 1.0
        rest = abs(weight) / within if weight else 1.0
        if rest != 1:
            torch._foreach_mul_(grads, rest)
            weight = math.copysign(within, weight)
        if grads is total:
            torch._foreach_mul_(total, weight)
        else:
            torch._foreach_add_(total, grads, alpha=weight)


class GradientRecorder:
    """Listens to backward passes, which stay as they are, and notes each task's gradient.

    A hook on each parameter is called with the gradient before it is added to `.grad`. So not even
    the order of additions changes, and a recorded training is the unrecorded one, digit for digit.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]):
        self.parameters = list(parameters)
        self.tasks = []  # task -> parameter -> weighted gradient, or None

    def __enter__(self):
        self.handles = [p.register_hook(partial(self._add, i)) for i, p in enumerate(self.parameters)]
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()

    def next_task(self):
        "What comes from now on belongs to another task."
        self.tasks.append([None] * len(self.parameters))

    def _add(self, index: int, grad: Tensor):
        so_far = self.tasks[-1][index]
        self.tasks[-1][index] = grad if so_far is None else so_far + grad

    def task_grads(self, average: Callable | None) -> list[list[Tensor]]:  # task -> parameter -> weighted gradient
        "What was heard, averaged over processes; zeros where nothing came."
        tasks = []
        for grads in self.tasks:
            tasks.append([torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, grads)])
        if average:
            for grads in tasks:
                average(grads)
        return tasks
