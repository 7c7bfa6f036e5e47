"""What a `MultiTaskModel` is given: options of its heads, names of tasks, predictions, labels."""

from types import SimpleNamespace

from torch import Tensor, nn

from ..core.errors import UserError
from ..core.task import TASKS, check_weight

__all__ = []


def head_options(given: dict) -> SimpleNamespace:
    """What the tasks may be told about their heads, by name; raises `UserError` for another name,
    or a wrong value.
    """
    fields = {}
    for task in TASKS.values():
        fields |= {field.name: field for field in (*task.fields, *task.model_fields)}
    for name in given:
        if name not in fields:
            raise UserError(f"unknown argument {name!r}: expected one of {', '.join(sorted(fields))}")
    values = {name: field.check(given.get(name, field.default), name) for name, field in fields.items()}
    return SimpleNamespace(**values)


def make_head(task: str, channels: dict[str, int], options: SimpleNamespace) -> nn.Module:
    """The head of a task, on maps of these channels; raises `UserError` for one without a loss."""
    head = TASKS[task].make_head(channels, options)
    if not isinstance(head, nn.Module):
        kind = type(head).__name__
        raise UserError(f"make_head of task {task!r} returns a {kind}: expected a torch.nn.Module with a loss")
    if not callable(getattr(head, "loss", None)):
        raise UserError(f"the head of task {task!r} has no loss: define loss(self, output, labels)")
    return head


def check_loss(task: str, loss: Tensor) -> Tensor:  # ()
    """The loss of a task; raises `UserError` for what cannot be descended."""
    if not isinstance(loss, Tensor):
        raise UserError(f"the loss of task {task!r} is a {type(loss).__name__}: expected a tensor of one number")
    if loss.ndim:
        shape = "×".join(map(str, loss.shape))
        raise UserError(f"the loss of task {task!r} has {shape} numbers: expected one, such as their mean")
    return loss


def check_task_of(model, task: str) -> str:
    """The name of a task; raises `UserError` unless the model has it."""
    if task not in model.tasks:
        raise UserError(f"this model has no task {task!r}: it has {', '.join(model.tasks)}")
    return task


def stats_task_of(model, statistics: str) -> str | None:  # a task, or "pooled"
    """The task whose running statistics normalise an image that all heads see; None: pooled.

    A model of one task has that task's only. Raises `UserError` for a task that it does not have.
    """
    if len(model.tasks) == 1:
        return model.tasks[0]
    return None if statistics == "pooled" else check_task_of(model, statistics)


def check_weights(model, weights: dict) -> dict[str, float]:  # task -> weight of its loss
    """The weights as numbers; raises `UserError` for a task that the model does not have, or a
    weight that is none.
    """
    return {check_task_of(model, task): check_weight(task, weight) for task, weight in weights.items()}


def check_losses_possible(model, predictions: dict, batch: dict):
    """Raises `UserError` unless the predictions are given by task and the batch has labels for one
    of them.
    """
    if not isinstance(predictions, dict) or not set(predictions) <= set(model.tasks):
        raise UserError(
            "the predictions are not given by task: model(images) does so, "
            "and the output of model(images, task=t) is passed as {t: output}"
        )
    if not set(predictions) & set(batch):
        expected = " or ".join(map(repr, predictions))
        given = ", ".join(map(repr, batch)) or "none"
        raise UserError(f"the batch has no labels for these predictions: expected the key {expected}, it has {given}")
