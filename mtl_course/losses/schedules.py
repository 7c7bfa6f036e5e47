"""A curriculum is a function from "how far are we" to task weights."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ..core.errors import UserError
from ..core.task import TASKS

__all__ = ["parse_schedule", "schedule_factors"]

_RAMP = re.compile(r"(\w+)=([\d.]+)>([\d.]+)(?:@([\d.]+)-([\d.]+))?")


class Ramp(NamedTuple):
    "A factor that goes in a straight line from one value to another."

    start: float  # a
    end: float  # b
    begins: float  # u₀, as a share of the run
    ends: float  # u₁

    def at(self, progress: float) -> float:  # f(u) = a + (b - a) min(1, max(0, (u - u₀)/(u₁ - u₀)))
        "The factor when a share `progress` of the run is over."
        share = min(1.0, max(0.0, (progress - self.begins) / (self.ends - self.begins)))
        return self.start + (self.end - self.start) * share


def parse_schedule(
    text: str,  # such as "lane=1>30,detection=0>1@0.2-0.5"
    tasks: Iterable[str] = TASKS,
) -> dict[str, Ramp]:
    "A weight schedule as numbers; raises `UserError` for one that cannot be read."
    tasks = list(tasks)
    ramps = {}
    for piece in text.split(","):
        if not piece.strip():
            continue
        task, ramp = _parse_ramp(piece.strip())
        if task not in tasks:
            raise UserError(
                f"config field 'weight_schedule' names the task {task!r}: expected one of {', '.join(tasks)}"
            )
        if task in ramps:
            raise UserError(f"config field 'weight_schedule' names the task {task!r} twice: give it one ramp")
        ramps[task] = ramp
    return ramps


def _parse_ramp(piece: str) -> tuple[str, Ramp]:
    "The task and the ramp of one piece, such as lane=0>1@0.2-0.5."
    match = _RAMP.fullmatch(piece)
    try:
        ramp = Ramp(float(match[2]), float(match[3]), float(match[4] or 0), float(match[5] or 1))
    except (TypeError, ValueError):
        ramp = None
    if ramp is None or not 0 <= ramp.begins < ramp.ends <= 1:
        raise UserError(
            f"config field 'weight_schedule' has the piece {piece!r}: expected task=start>end, such as lane=1>30, "
            "or task=start>end@from-to with 0 <= from < to <= 1"
        )
    return match[1], ramp


def schedule_factors(
    text: str,  # the schedule; "": none
    progress: float,  # u, the share of the run that is over, 0..1
    tasks: Iterable[str] = TASKS,
) -> dict[str, float]:  # task -> f(u)
    "What each task's balanced weight is multiplied by at one moment of the run."
    tasks = list(tasks)
    ramps = parse_schedule(text, tasks)
    return {task: ramps[task].at(progress) if task in ramps else 1.0 for task in tasks}
