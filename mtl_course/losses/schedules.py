"""A curriculum is a function from "how far are we" to task weights."""

__all__ = ["parse_schedule", "schedule_factors"]

import math, re
from collections.abc import Iterable
from ..config import TASKS
from ..core.errors import UserError

_PART = re.compile(r"(\w+)=([\d.]+)>([\d.]+)(?:@([\d.]+)-([\d.]+))?")


def parse_schedule(
    text: str,  # such as "lane=1>30,detection=0>1@0.2-0.5"
    tasks: Iterable[str] = TASKS,
) -> dict[str, tuple]:  # task -> (a, b, u₀, u₁)
    "A weight schedule as numbers; raises `UserError` for one that cannot be read, or for a task that is not there."
    tasks, parts = list(tasks), {}
    for piece in filter(None, (p.strip() for p in text.split(","))):
        expected = f"config field 'weight_schedule' has the part {piece!r}: expected task=start>end, such as lane=1>30, or task=start>end@from-to with 0 <= from < to <= 1"
        match = _PART.fullmatch(piece)
        try:
            task, (a, b, u0, u1) = match[1], (float(v) for v in (match[2], match[3], match[4] or 0, match[5] or 1))
        except (TypeError, ValueError):
            raise UserError(expected) from None
        if not 0 <= u0 < u1 <= 1:
            raise UserError(expected)
        if task not in tasks:
            raise UserError(
                f"config field 'weight_schedule' names the task {task!r}: expected one of {', '.join(tasks)}"
            )
        if task in parts:
            raise UserError(f"config field 'weight_schedule' names the task {task!r} twice: give it one part")
        parts[task] = (a, b, u0, u1)
    return parts


def schedule_factors(
    text: str,  # the schedule; "": none
    progress: float,  # u
    tasks: Iterable[str] = TASKS,
) -> dict[str, float]:  # task -> f(u)
    "What each task's balanced weight is multiplied by when a part `progress` (0..1) of the run is over."
    tasks = list(tasks)
    factors = {
        t: a + (b - a) * min(1.0, max(0.0, (progress - u0) / (u1 - u0)))
        for t, (a, b, u0, u1) in parse_schedule(text, tasks).items()
    }
    return {t: factors.get(t, 1.0) for t in tasks}
