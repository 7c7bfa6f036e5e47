"""The one kind of error that speaks to the user."""

import math

__all__ = ["UserError", "check_task_weight"]


class UserError(Exception):
    "A mistake in the input that the user can mend: what, what was expected, what to do."


def check_task_weight(
    task: str,
    weight: float,  # of the task's loss
    what: str = "weight",  # the word in the sentence
) -> float:
    "The weight as a float; raises `UserError` unless it is a finite number of at least 0."
    try:
        valid = 0 <= weight < math.inf
    except TypeError:
        valid = False  # no number at all
    if not valid:
        raise UserError(f"the {what} of {task} is {weight!r}: expected a finite number of at least 0")
    return float(weight)
