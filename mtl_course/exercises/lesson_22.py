"""Checks of the exercises of lesson 22."""

import numpy as np
import pandas as pd
from scipy import stats

from ..core.task import TASKS, default_tasks
from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("22.1")
def _check_half_widths(answer):
    first = np.array([50, 53, 47])
    second = np.array([51, 54.5, 47.5])
    t = stats.t.ppf(0.975, 2)
    right = [t * values.std(ddof=1) / 3**0.5 for values in (second, second - first)]
    slip = "Student's t with two degrees of freedom, s of a sample (ddof=1), divided by √3"
    expect_close(answer, right, "the pair of half-widths", slip, tolerance=0.01)


def _made_up(gain: float) -> pd.DataFrame:  # of `fixed 1:5:30` on test, in lane IoU
    """A study of two seeds: on validation equal weights are ahead, on test the others; a balancer
    beats both.
    """
    lanes = {"alone": (0.30, 0.30), "equal": (0.36, 0.32), "fixed 1:5:30": (0.33, 0.30 + gain), "mgda": (0.4, 0.5)}
    rows = []
    for run, scores in lanes.items():
        for split, lane in zip(("val", "test"), scores):
            for task in default_tasks():
                score = dict(lane=lane).get(task, 0.5)
                row = dict(run=run, config="", steps=200, part=split, task=task, value=score)
                row["metric"] = TASKS[task].primary_metric
                rows += [row | dict(seed=seed) for seed in (0, 1)]
    return pd.DataFrame(rows)


@exercise("22.2")
def _check_optimism(answer):
    for gain in (0.03, 0.08):
        right = 100 * (gain - 0.02) / 0.3 / 3
        slip = (
            "Take the maximum over the fixed weights on test, balancers left out, minus the run that validation chose"
        )
        expect_close(call(answer, _made_up(gain)), right, "the optimism of a made-up study", slip)


@exercise("22.3")
def _check_false_alarm(answer):
    for methods, seeds in ((10, 3), (1, 3), (10, 5)):
        given = float(call(answer, methods, seeds))
        right = 1 - 0.95**methods
        expect(
            abs(given - right) < 0.04,
            f"{show(given)} for {methods} methods and {seeds} seeds: expected about {right:.2f}, the share of "
            "studies in which at least one interval misses zero; count studies, not intervals",
        )
