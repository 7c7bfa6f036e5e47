"""Scores are made once, on data that took no part in any decision."""

import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.task import TASKS
from ..metrics.intervals import RESAMPLES
from .predictions import Predictions, predict_task

__all__ = ["evaluate_model", "evaluate_task", "score_task"]


@dataclass
class TaskResult:
    "What the evaluation of one task on one split gives."

    task: str
    images: int  # number of images
    scores: dict  # metric -> value, in 0..1
    per_class: pd.DataFrame  # one row per class, index = class name
    confusion: np.ndarray | None = None  # (K, K) counts, rows = target; None: a task without
    seconds: float = 0.0  # wall time, data loading included
    intervals: dict = field(default_factory=dict)  # (metric, class or "all") -> (low, high), 95 %, bootstrap
    predictions: Predictions | None = None  # what prediction files are written from


def evaluate_task(
    model,  # model(images, task=t) gives the output of that head
    loader,  # yields batches {"images": {task: (B, 3, H, W)}, task: its labels, "files": {task: names}}
    task: str,  # one of TASKS
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
    progress: str = "",  # title of a progress bar; none when empty
    resamples: int = 0,  # of the bootstrap; 0: no intervals and no prediction files
) -> TaskResult:
    "Runs one task over a split; raises `UserError` when the split is empty."
    start = time.perf_counter()
    metric = _make_metric(task)
    predictions = Predictions.for_loader(task, loader)
    seconds = [] if resamples else None
    images = 0
    for prediction, batch in predict_task(model, loader, task, device, precision, progress, seconds):
        metric.update(prediction, batch[task])
        images += len(batch["images"][task])
        if resamples:
            predictions.add(prediction, batch, seconds[-1])
    if not images:
        raise UserError(f"there is no {task} image to evaluate: check data_root and the split")
    scores, per_class = TASKS[task].summarise(metric)
    if TASKS[task].primary_metric not in scores:
        given = f"the metric of task {task!r} computes {', '.join(scores) or 'nothing'}"
        raise UserError(f"{given}: expected {TASKS[task].primary_metric!r}, the first of the task's metrics, too")
    result = TaskResult(task, images, scores, per_class, TASKS[task].confusion(metric))
    if resamples:
        result.intervals = TASKS[task].intervals(predictions, per_class, scores, resamples, seed=0)
        result.predictions = predictions
    result.seconds = time.perf_counter() - start
    return result


def _make_metric(task: str):
    "A task's accumulator; raises `UserError` for one that lacks a method."
    metric = TASKS[task].make_metric()
    for name in ("update", "compute", "per_class"):
        if not hasattr(metric, name):
            given = f"make_metric of task {task!r} returns a {type(metric).__name__} without {name}"
            raise UserError(f"{given}: expected update(decoded, labels), compute() and per_class()")
    return metric


def score_task(
    model,  # model(images, task=t) gives the output of that head
    loader,  # yields batches that hold `task`
    task: str,  # one of TASKS
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
) -> dict[str, float]:  # metric -> value, in 0..1
    "The scores of one task on one split, as the training loop wants them after each epoch."
    return evaluate_task(model, loader, task, device, precision).scores


def evaluate_model(
    model,  # a MultiTaskModel, or anything that is called like one
    loaders: dict,  # task -> loader of the split to evaluate
    device: str = "cpu",
    precision: str = "32-true",  # a Lightning Fabric precision
    progress: bool = True,  # show progress bars
    resamples: int = RESAMPLES,  # of the bootstrap; 0: no intervals and no prediction files
) -> dict[str, TaskResult]:  # task -> result, in the order of TASKS
    """Evaluates every task that has a loader, with 95 % intervals.

    `write_results` then writes prediction files and adds the official scores.
    """
    unknown = set(loaders) - set(TASKS)
    if unknown:
        raise ValueError(f"unknown tasks {sorted(unknown)}: expected some of {', '.join(TASKS)}")
    results = {}
    for task in [t for t in TASKS if t in loaders]:
        title = f"evaluating {task}" if progress else ""
        results[task] = evaluate_task(model, loaders[task], task, device, precision, title, resamples)
    return results
