"""What a `MultiTaskModel` is given: options of its heads, names of tasks, predictions, labels."""

from types import SimpleNamespace

from ..core.errors import UserError
from ..core.task import TASKS

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


def check_task_of(model, task: str) -> str:
    """The name of a task; raises `UserError` unless the model has it."""
    if task not in model.tasks:
        raise UserError(f"this model has no task {task!r}: it has {', '.join(model.tasks)}")
    return task


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
