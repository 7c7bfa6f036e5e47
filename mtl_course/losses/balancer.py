"""What balancers have in common: a step's calls, a state that can be saved, a small Adam."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.errors import UserError

__all__ = ["Balancer"]


class Balancer:
    """A rule that weighs the tasks of a training step.

    A subclass that looks at losses (`needs = "losses"`) fills in `weight` and, where its weights
    have a common factor or it learns, `finish`; one that looks at the Gramian derives from
    `GramianBalancer`; one that looks at the gradients themselves (`needs = "gradients"`) fills in
    `combine(jacobian, losses)`. It names in `state` the attributes that change during training.
    Raises `UserError` for an empty or doubled list of tasks.
    """

    needs = "losses"  # "losses", "gramian" or "gradients": what the rule looks at
    wants_losses_after = False  # True: evaluate the batch again after the optimiser's step and call `after_step`
    weight_needs_loss = False  # True: `weight` looks at the value of the loss
    has_factor = False  # True: `finish` may return something else than 1
    state = ()  # names of the attributes that change during training

    def __init__(
        self,
        tasks: Sequence[str],  # names of all tasks, in a fixed order
    ):
        self.tasks = tuple(tasks)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise UserError(f"a balancer needs one or more different tasks, not {list(self.tasks)}")

    def index(self, task: str) -> int:  # position in `tasks`
        "Position of a task; raises `UserError` for one that this balancer does not have."
        if task not in self.tasks:
            raise UserError(f"the balancer was made for the tasks {', '.join(self.tasks)}; it has no task {task!r}")
        return self.tasks.index(task)

    def present(
        self,
        losses: dict[str, float],  # task -> loss, of the K tasks that take part in a step
    ) -> tuple[list[int], Tensor]:  # indices (K,), losses (K,) float64
        "The tasks of a step as indices, and their losses as a tensor, in the order of `losses`."
        values = torch.tensor([float(loss) for loss in losses.values()], dtype=torch.float64)
        return [self.index(task) for task in losses], values

    def weight(
        self,
        task: str,  # whose forward pass is done
        loss: Tensor,  # its loss, detached, 0-dimensional
    ) -> float | Tensor:
        "The task's weight up to the factor that `finish` returns; does not change the state."
        raise NotImplementedError

    def finish(
        self,
        losses: dict[str, float],  # task -> loss of this step, averaged over processes
    ) -> float:
        "Ends a step: updates the state, returns the factor common to all weights of this step."
        return 1.0

    def state_dict(self) -> dict:
        "What changes during training, in types that `torch.load(weights_only=True)` reads."
        return {"tasks": list(self.tasks)} | {name: _pack(getattr(self, name)) for name in self.state}

    def load_state_dict(self, state: dict):
        """Goes on where `state_dict` was taken; raises `UserError` for another method's or tasks'
        state.
        """
        expected = {"tasks", *self.state}
        if list(state.get("tasks", [])) != list(self.tasks) or set(state) != expected:
            raise UserError(
                f"the saved state holds {sorted(state)} for the tasks {state.get('tasks')}, but this "
                f"{type(self).__name__} needs {sorted(expected)} for {list(self.tasks)}: "
                "resume with the balancer and the tasks of the saved run"
            )
        for name in self.state:
            _unpack(self, name, state[name])

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(self.tasks)})"


class GramianBalancer(Balancer):
    "A rule that looks at the Gramian of the shared gradients; subclasses fill in `solve`."

    needs = "gramian"
    eps = torch.finfo(torch.float64).eps  # rounding of the gradients that the Gramian is made of

    def weights(
        self,
        gramian: Tensor,  # (K, K) inner products of the present tasks' shared gradients
        losses: dict[str, float],  # the K present tasks' losses, in the Gramian's order
        dtype: torch.dtype = torch.float64,  # of the gradients: what is smaller than its rounding is zero
    ) -> Tensor:  # (K,) float64: the shared gradient becomes Σ w_t g_t
        "This step's weights; moves the state on. Raises `UserError` for a gradient not finite."
        self.eps = torch.finfo(dtype).eps
        gramian = gramian.detach().to("cpu", torch.float64)
        if gramian.shape != (len(losses), len(losses)):
            raise ValueError(f"a Gramian of shape {tuple(gramian.shape)} for {len(losses)} tasks")
        for task in losses:
            self.index(task)
        if not gramian.isfinite().all():
            broken = [task for task, row in zip(losses, gramian) if not row.isfinite().any()]
            raise UserError(
                f"the shared gradient of {' and '.join(broken or losses)} is not finite: "
                "lower the learning rate or look at the step's images"
            )
        return self.solve((gramian + gramian.T) / 2, losses)

    def solve(
        self,
        gramian: Tensor,  # (K, K) float64, symmetric, finite
        losses: dict[str, float],
    ) -> Tensor:  # (K,)
        "The method itself, for a checked Gramian."
        raise NotImplementedError


class TaskAdam:
    """Adam on one number per task, in float64 (Kingma & Ba 2015, algorithm 1).

    A task that is absent from a step keeps its value and its moments.
    """

    state = ("mean", "square", "steps")

    def __init__(
        self,
        num_tasks: int,  # T
        lr: float,  # learning rate: about the largest change of a number in one step
        weight_decay: float = 0.0,  # added to the gradient, times the value
    ):
        self.lr = float(lr)
        self.weight_decay = float(weight_decay)
        self.mean = torch.zeros(num_tasks, dtype=torch.float64)
        self.square = torch.zeros(num_tasks, dtype=torch.float64)
        self.steps = torch.zeros(num_tasks, dtype=torch.float64)

    def step(
        self,
        values: Tensor,  # (T,) float64, changed in place
        gradient: Tensor,  # (K,) of the present tasks
        present: list[int],  # their K indices
    ):
        "One descent step of the present tasks' values."
        gradient = gradient + self.weight_decay * values[present]
        self.steps[present] += 1
        self.mean[present] = 0.9 * self.mean[present] + 0.1 * gradient
        self.square[present] = 0.999 * self.square[present] + 0.001 * gradient**2
        mean = self.mean[present] / (1 - 0.9 ** self.steps[present])
        square = self.square[present] / (1 - 0.999 ** self.steps[present])
        values[present] -= self.lr * mean / (square.sqrt() + 1e-8)


def _pack(value):
    "A copy made of tensors, numbers, lists and dictionaries only."
    if isinstance(value, torch.Generator):
        return value.get_state()
    if hasattr(value, "state"):
        return {name: _pack(getattr(value, name)) for name in value.state}
    return copy.deepcopy(value)


def _unpack(owner, name: str, saved):
    "Puts what `_pack` made of `owner.name` back."
    present = getattr(owner, name)
    if isinstance(present, torch.Generator):
        present.set_state(saved.cpu())
    elif hasattr(present, "state"):
        for part in present.state:
            _unpack(present, part, saved[part])
    else:
        setattr(owner, name, copy.deepcopy(saved))
