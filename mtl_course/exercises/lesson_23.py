"""Checks of the exercises of lesson 23."""

import numpy as np

from .base import call, exercise, expect_close

__all__ = []


@exercise("23.1")
def _check_first_order(answer):
    gramian = np.array([[1.0, -1.0], [-1.0, 5.0]])  # of the toy with goals (1, 0) and (−1, 2)
    losses = np.array([0.5, 2.5])
    right = 1e-4 * gramian / losses[None, :]
    slip = "Row i steps, column j is judged: below the line stands the loss of j"
    expect_close(call(answer, gramian, losses, 1e-4), right, "the table of affinities", slip)


@exercise("23.2")
def _check_best_step(answer):
    slip = "b is best off at its own goal; how far is that from a's, squared?"
    expect_close(answer, [1.0, -7.0], "the pair of step length and affinity of b onto a", slip)


@exercise("23.3")
def _check_delta_and_points(answer):
    slip = "Δm is the mean of three relative changes in percent; a hundredth of mAP50 is one point"
    expect_close(answer, [-8 / 3, 0.2], "the pair of Δm in percent and lost points", slip, tolerance=0.02)
