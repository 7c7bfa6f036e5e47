"""Checks of lesson 19, training and evaluating."""

import numpy as np
from scipy import stats

from ..config import TASKS, make_config
from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("19.1")
def _check_images_seen(answer):
    for changes in ({}, {"epochs": 2, "steps_per_epoch": 7, "lane_every": 7}):
        config = make_config("laptop", **changes)
        given = call(answer, config)
        expect(
            isinstance(given, dict) and set(given) == set(TASKS),
            f"you gave {show(given)}; expected a dictionary with one number for each of {', '.join(TASKS)}",
        )
        steps = config.epochs * config.steps_per_epoch
        for task in TASKS:
            expect_close(
                given[task],
                steps // config.every_of(task) * config.batch_size_of(task),
                f"the number of {task} images in {config.epochs} epochs of {config.steps_per_epoch} steps",
                "Every step in which a task takes part takes one batch of its own size; "
                "config.every_of(task) says that it is in every n-th step of all epochs",
                1e-9,
            )
    return "signs are seen more often than scenes, since their batches are larger"


@exercise("19.2")
def _check_interval(answer):
    for scores in ([0.40, 0.44], [0.61, 0.60, 0.64]):
        half = stats.t.ppf(0.975, len(scores) - 1) * np.std(scores, ddof=1) / len(scores) ** 0.5
        expect_close(
            call(answer, scores),
            (np.mean(scores) - half, np.mean(scores) + half),
            f"the interval of {show(scores)}",
            "So few runs need Student's t with n - 1 degrees of freedom, and a standard deviation "
            "that divides by n - 1, over the root of n",
            1e-3,
        )
    return "two runs say next to nothing: 0.30 is inside"


@exercise("19.3")
def _check_seeds_needed(answer):
    for std, half_width, expected in ((0.0318, 0.061, 4), (0.0318, 0.03, 7), (0.001, 0.5, 2), (0.0127, 0.015, 6)):
        expect_close(
            call(answer, std, half_width),
            expected,
            f"the number of seeds for a scatter of {std} and a half width of {half_width}",
            "It is the smallest n from 2 upwards with t(0.975, n - 1) * std / sqrt(n) at most the half width; "
            "t itself shrinks with n",
            1e-9,
        )
    return "half the width costs less than four times the seeds while n is small, since t falls as well"
