"""Each task's part in the summed gradient, from the Gramians that were recorded while a network was
trained.
"""

from pathlib import Path

import numpy as np

from ..config import TASKS
from ..training.recording import read_recording
from .scores import find_result

__all__ = ["read_gramians", "share_text", "step_shares", "update_shares"]


def read_gramians(
    results_dir: str | Path,
) -> tuple[list[int], np.ndarray]:  # steps [S], (S, T, T) of the whole backbone in the order of TASKS
    """The recorded Gramians of the study's network. Raises `UserError` with the command when there
    are none.
    """
    recording = read_recording(find_result(results_dir, "gradient_recording.json"))
    order = [recording.tasks.index(task) for task in TASKS if task in recording.tasks]
    return recording.steps, recording.gramians["trunk"][:, order][:, :, order]


def step_shares(
    gramians: np.ndarray,  # (S, T, T)
    weights: np.ndarray,  # (T,) task weights, times the probability of being drawn
) -> np.ndarray:  # (S, T), their sum over the tasks is 1; below zero: the sum runs against the task
    """Each task's part wₜ⟨gₜ, d⟩/‖d‖² of the summed gradient d = Σ wₜgₜ, before clipping and Adam,
    at each step.
    """
    parts = weights * (gramians @ weights)
    return parts / parts.sum(-1, keepdims=True)


def update_shares(gramians: np.ndarray, weights: np.ndarray) -> np.ndarray:  # (S, T, T), (T,) -> (T,)
    """The mean of `step_shares` over the recorded steps."""
    return step_shares(gramians, weights).mean(0)


def _percent(share: float) -> str:  # two digits
    return f"{100 * share:.2g}".replace("-", "−")


def share_text(shares: np.ndarray) -> str:  # (S,) of one task
    """A mean share with its range over the steps, no more exact than the steps allow.

    Where they do not even agree on the sign it is a bound.
    """
    low, high = shares.min(), shares.max()
    if len(shares) == 1:
        return f"{_percent(shares[0])} %"
    extent = f"({_percent(low)} to {_percent(high)} %)"
    if low < 0 < high:
        largest = 100 * max(-low, high)
        bound = next(b for b in (0.1, 0.5, 1, 2, 5, 10, 20, 50, 1000) if largest < b)
        return f"under {bound:g} % {extent}"
    return f"{_percent(shares.mean())} % {extent}"


def drowned_sentence(results_dir: str | Path) -> str:
    """How much of the summed gradient is the lane task's at equal weights and at ×30.

    Raises `UserError` when nothing was recorded.
    """
    steps, gramians = read_gramians(results_dir)
    lane = list(TASKS).index("lane")
    norms = np.sqrt(np.diagonal(gramians, axis1=1, axis2=2))
    length = (norms / norms.sum(1, keepdims=True)).mean(0)[lane]
    weights = np.ones(len(TASKS))
    equal = share_text(step_shares(gramians, weights)[:, lane])
    weights[lane] = 30
    boosted = share_text(step_shares(gramians, weights)[:, lane])
    return (
        f"At equal weights the lane task's gradient is {length:.1%} of the three lengths "
        f"(mean over {len(steps)} recorded steps) and {equal} of the summed gradient; with ×30 it is {boosted}. "
        "In brackets: smallest and largest step."
    )
