"""Scores over a threshold, computed once from what the network said before it decided."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..metrics.ranking import COCO_RECALLS, Ranking
from ..metrics.scores import lane_scores
from ..plots.predictions import match_boxes

__all__ = []

FLOOR = 0.05  # smallest score that is looked at, as in the evaluation
FALSE_ALARM = -1  # in `FoundBoxes.match`: no object
IGNORED = -2  # in `FoundBoxes.match`: in a region that is not judged


@dataclass
class FoundBoxes:
    """The boxes of one picture above `FLOOR`, the surest first, in pixels of the network's input.

    Non-maximum suppression and matching go from the surest box to the least sure: raising the
    score threshold cuts off the tail of this list and changes nothing before the cut.
    """

    boxes: np.ndarray  # (N, 4) x1, y1, x2, y2
    labels: np.ndarray  # (N,) 1…7
    scores: np.ndarray  # (N,) descending
    match: np.ndarray  # (N,) number of the object found, or FALSE_ALARM or IGNORED


def find_boxes(
    decode,  # (raw output, score threshold, NMS overlap) -> one dict of boxes, labels and scores per picture
    samples: list,  # `Sample`s of a detection task
    nms: float,  # boxes of a class that overlap a surer one by more are dropped
) -> list[FoundBoxes]:
    """Decodes and matches every picture once, for all score thresholds.

    Without targets everything is a false alarm.
    """
    unknown = dict(boxes=np.empty((0, 4)), labels=np.empty(0), ignore=np.empty((0, 4)))
    found = []
    for sample in samples:
        decoded = decode(sample.raw, FLOOR, nms)[0]
        boxes = decoded["boxes"].float().numpy().astype(np.float64)
        labels = decoded["labels"].numpy().astype(int)
        scores = decoded["scores"].float().numpy().astype(np.float64)
        targets = sample.targets or unknown
        match = match_boxes(targets["boxes"], targets["labels"], targets["ignore"], boxes, labels)
        found.append(FoundBoxes(boxes, labels, scores, match))
    return found


def detection_curve(
    found: list[FoundBoxes],
    targets: list[dict],  # of each picture: boxes, labels, ignore
    thresholds: np.ndarray | float,
) -> pd.DataFrame:
    """precision, recall, f1 and ap50 of boxes above each threshold, one row per threshold.

    0..1, with 0/0 = 0; ap50 is the mean over the classes that have objects.
    """
    scores = np.concatenate([boxes.scores for boxes in found])
    match = np.concatenate([boxes.match for boxes in found])
    labels = np.concatenate([boxes.labels for boxes in found])
    picture = np.repeat(np.arange(len(found)), [len(boxes.scores) for boxes in found])
    objects = np.array([np.bincount(target["labels"], minlength=8)[1:] for target in targets])  # (pictures, classes)
    records = []
    for threshold in np.atleast_1d(thresholds):
        judged = (scores >= threshold) & (match != IGNORED)
        precisions = []
        for column in np.flatnonzero(objects.sum(0)):
            rows = judged & (labels == column + 1)
            ranking = Ranking(scores[rows], match[rows] >= 0, picture[rows], objects[:, column])
            precisions.append(_average_precision(ranking, len(found)) if rows.any() else 0.0)
        hits = (judged & (match >= 0)).sum()
        shown = judged.sum()
        records.append(
            dict(
                precision=hits / max(shown, 1),
                recall=hits / max(objects.sum(), 1),
                f1=2 * hits / max(shown + objects.sum(), 1),
                ap50=float(np.mean(precisions)) if precisions else np.nan,
            )
        )
    return pd.DataFrame(records, index=_index(thresholds, "score threshold"))


def _average_precision(ranking: Ranking, pictures: int) -> float:
    return ranking.precisions(np.ones(pictures, int), COCO_RECALLS).mean()


def lane_curve(
    probabilities: np.ndarray,  # (N, h, w) in 0..1
    targets: np.ndarray,  # (N, h, w) bool
    thresholds: np.ndarray | float,
) -> pd.DataFrame:
    """iou, f1, precision and recall of pixels above each threshold, one row per threshold.

    0..1, with 0/0 = 0.
    """
    levels = np.atleast_1d(thresholds).astype(probabilities.dtype)
    on_lane = probabilities[targets]
    shown = np.array([(probabilities > level).sum() for level in levels])
    hits = np.array([(on_lane > level).sum() for level in levels])
    misses = len(on_lane) - hits
    scores = lane_scores(hits, shown - hits, misses, probabilities.size - shown - misses)
    columns = {name: scores[name] for name in ("iou", "f1", "precision", "recall")}
    return pd.DataFrame(columns, index=_index(thresholds, "lane threshold"))


def sign_curve(
    probabilities: np.ndarray,  # (N, 43)
    targets: np.ndarray,  # (N,) classes
    thresholds: np.ndarray | float,
) -> pd.DataFrame:
    """What becomes of signs when unsure answers are withheld (Chow 1970), a row per threshold.

    answered: share of signs with a probability of at least the threshold; right: share of right
    answers among these (NaN without any); top1: right answers among all signs.
    """
    best = probabilities.max(1)
    right = probabilities.argmax(1) == targets
    answered = best[None] >= np.atleast_1d(thresholds)[:, None]
    answered_right = answered & right
    with np.errstate(invalid="ignore"):
        among_answered = answered_right.sum(1) / answered.sum(1)
    columns = dict(right=among_answered, answered=answered.mean(1), top1=answered_right.mean(1))
    return pd.DataFrame(columns, index=_index(thresholds, "score threshold"))


def _index(thresholds: np.ndarray | float, name: str) -> pd.Index:
    return pd.Index(np.atleast_1d(thresholds), name=name)
