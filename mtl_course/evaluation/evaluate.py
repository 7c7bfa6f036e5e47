"""Scores are made once, on data that took no part in any decision."""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..config import TASKS
from ..core.errors import UserError
from ..metrics.intervals import RESAMPLES, bootstrap_sums, interval, sign_counts, sign_score_rows
from ..metrics.ranking import COCO_LIMITS, bootstrap_coco
from ..metrics.scores import lane_scores, make_metric
from ..world.signs import SIGN_NAMES
from .predictions import Predictions, predict_task

__all__ = ["TaskResult", "evaluate_model", "evaluate_task", "score_task"]


@dataclass
class TaskResult:
    "What the evaluation of one task on one split gives."

    task: str
    images: int  # number of images
    scores: dict  # metric -> value, in 0..1
    per_class: pd.DataFrame  # one row per class, index = class name
    confusion: np.ndarray | None = None  # (K, K) counts, rows = target; classification only
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
    metric = make_metric(task)
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
    per_class = metric.per_class()
    if task == "classification":
        per_class.index = list(SIGN_NAMES)
    scores = metric.summary(per_class) if task == "detection" else metric.compute()
    result = TaskResult(task, images, scores, per_class, getattr(metric, "confusion", None))
    if resamples:
        result.intervals = bootstrap_intervals(predictions, per_class, scores, resamples)
        result.predictions = predictions
    result.seconds = time.perf_counter() - start
    return result


def bootstrap_intervals(
    predictions: Predictions,
    per_class: pd.DataFrame,  # scores of each class, index = class names
    scores: dict,  # metric -> value, of the whole sample
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:  # (metric, class or "all") -> (low, high)
    """95 % bootstrap intervals: over tracks for signs where they are known, else over images.

    mAP50:95 takes ten times the work of mAP50, so it is computed on a fifth of the resamples.
    A class whose AP of the sample itself, computed here, is not the reported one gets no interval,
    and a warning is given.
    """
    resampled = {"classification": _resampled_signs, "detection": _resampled_boxes, "lane": _resampled_lanes}
    whole, each = resampled[predictions.task](predictions, per_class, resamples, seed)
    intervals = {(metric, "all"): interval(values) for metric, values in whole.items() if metric in scores}
    for metric, values in each.items():
        for k, name in enumerate(per_class.index):
            intervals[metric, name] = interval(values[:, k])
    return intervals


def _resampled_signs(predictions, per_class, resamples, seed):
    """({metric: (resamples,)}, {metric: (resamples, classes)}) of signs.

    Tracks are drawn as a whole.
    """
    counts = sign_counts(np.array(predictions.targets), np.array(predictions.predictions))
    return sign_score_rows(bootstrap_sums(counts, predictions.groups(), resamples, seed))


def _resampled_lanes(predictions, per_class, resamples, seed):
    whole = lane_scores(*bootstrap_sums(np.array(predictions.counts), None, resamples, seed).T)
    return whole, {metric: values[:, None] for metric, values in whole.items() if metric in per_class}


def _resampled_boxes(predictions, per_class, resamples, seed):
    detections, targets = predictions.predictions, predictions.targets
    fewer = max(resamples // 5, 2)
    each = {
        "ap50": bootstrap_coco(detections, targets, resamples, seed),
        "ap50_95": bootstrap_coco(detections, targets, fewer, seed, COCO_LIMITS),
    }
    whole = {}
    for metric, values in each.items():
        reported = per_class[metric]
        _drop_disagreeing(metric, values, reported)
        each[metric] = values[1:]
        if np.array_equal(np.isnan(values[0]), reported.isna()):
            with np.errstate(invalid="ignore"):  # a resample without any object has no score
                whole[f"m{metric}"] = np.nansum(values[1:], 1) / (~np.isnan(values[1:])).sum(1)
    return whole, each


def _drop_disagreeing(metric: str, values: np.ndarray, reported: pd.Series):
    "Sets columns to NaN whose score of the sample itself (row 0) is not the reported one; warns."
    off = ~np.isclose(values[0], reported, atol=1e-5, equal_nan=True)
    if off.any():
        names = ", ".join(reported.index[off])
        warnings.warn(
            f"no intervals of {metric} for {names} and the mean: "
            f"computed here it is {values[0][off]}, reported {reported.to_numpy()[off]}"
        )
        values[:, off] = np.nan


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
