"""Detections and objects matched as COCO does (`evaluateImg` of pycocotools), at once."""

from typing import NamedTuple

import numpy as np
import torch

from ..core.statistics import safe_divide
from .matching import greedy_match, pairs_within_frames

__all__ = []

_MOST_DETECTIONS = 100  # of one class and image that COCO looks at


def _as_array(values) -> np.ndarray:
    return np.asarray(torch.as_tensor(values).detach().cpu())


def with_ignored_regions(
    target: dict,  # {"boxes", "labels"} and, if there are any, {"ignore": (L, 4)}
    classes: int,  # number of classes
) -> dict:  # boxes (M + L·classes, 4), labels, crowd
    """Objects followed by the regions to be ignored, as COCO's crowd boxes.

    A crowd box belongs to a class, so each region comes once for each class.
    """
    boxes = _as_array(target["boxes"]).reshape(-1, 4)
    ignored = _as_array(target.get("ignore", np.empty((0, 4)))).reshape(-1, 4)
    labels = np.tile(np.arange(1, classes + 1), len(ignored))
    return dict(
        boxes=np.concatenate([boxes, np.repeat(ignored, classes, 0)]),
        labels=np.r_[_as_array(target["labels"]).ravel(), labels].astype(np.int64),
        crowd=np.r_[np.zeros(len(boxes), np.int64), np.ones(len(labels), np.int64)],
    )


def plain_tensors(item: dict, *keys: str) -> dict[str, torch.Tensor]:
    "Plain tensors on the CPU: evaluators edit boxes in place and must not edit the data set."
    tensors = {}
    for key in keys:
        tensor = torch.as_tensor(item[key]).detach().cpu().clone().as_subclass(torch.Tensor)
        tensors[key] = tensor.float() if tensor.is_floating_point() else tensor
    return tensors


class _Boxes(NamedTuple):
    "Boxes of all images, sorted by image and label."

    image: np.ndarray  # (N,) number of the image
    label: np.ndarray  # (N,) 1…K
    value: np.ndarray  # (N,) score of a detection, or whether an object is a crowd
    box: np.ndarray  # (N, 4) float64: x, y, width, height, as COCO has them

    def take(self, index: np.ndarray):
        return _Boxes(*(column[index] for column in self))


def _flatten(items: list, key: str) -> _Boxes:
    "The boxes of all images; those of one image and class keep their order."
    columns = ([], [], [], [])
    for number, item in enumerate(items):
        corners = np.asarray(item["boxes"], np.float32).reshape(-1, 4)
        columns[0].append(np.full(len(corners), number))
        columns[1].append(np.asarray(item["labels"], np.int64).ravel())
        columns[2].append(np.asarray(item[key], np.float64).ravel())
        columns[3].append(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1))
    boxes = _Boxes(*(np.concatenate(column) for column in columns))
    boxes = boxes.take(np.lexsort((boxes.label, boxes.image)))
    return boxes._replace(box=boxes.box.astype(np.float64))


def _best_of_each_image(detections: _Boxes) -> _Boxes:
    "The hundred highest scores of each image and class, highest first."
    detections = detections.take(np.lexsort((-detections.value, detections.label, detections.image)))
    image, label = detections.image, detections.label
    if not len(image):
        return detections
    first = np.r_[True, (image[1:] != image[:-1]) | (label[1:] != label[:-1])]
    rank = np.arange(len(image)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    return detections.take(rank < _MOST_DETECTIONS)


def _overlap(a: np.ndarray, b: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    "IoU of boxes x, y, w, h; with a crowd the share of the detection that lies inside."
    w = np.minimum(a[:, 0] + a[:, 2], b[:, 0] + b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    h = np.minimum(a[:, 1] + a[:, 3], b[:, 1] + b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    intersection = np.where((w <= 0) | (h <= 0), 0.0, w * h)
    area = a[:, 2] * a[:, 3]
    return safe_divide(intersection, np.where(crowd, area, area + b[:, 2] * b[:, 3] - intersection))


class CocoMatches(NamedTuple):
    "Which detections found an object, and which a region to be ignored."

    score: np.ndarray  # (D,) of the detections
    image: np.ndarray  # (D,) number of the image
    label: np.ndarray  # (D,) 1…K
    hit: np.ndarray  # (D, limits) bool: found an object
    ignored: np.ndarray  # (D, limits) bool: found a region to be ignored
    objects: np.ndarray  # (images, K) objects of each class in each image


def match_coco(
    predictions: list,  # per image {"boxes" (N, 4) XYXY, "labels" 1…K, "scores"}
    targets: list,  # per image {"boxes", "labels"} and, if there are any, {"ignore"}
    limits: np.ndarray,  # (L,) IoU limits, rising
    classes: int,  # K
) -> CocoMatches:
    """Each detection takes the free object of its class that it overlaps most, best scores first.

    Objects come before regions to be ignored, and of equal overlaps the last one is taken.
    """
    detections = _best_of_each_image(_flatten(predictions, "scores"))
    objects = _flatten([with_ignored_regions(target, classes) for target in targets], "crowd")
    crowd = objects.value > 0
    group = (detections.image * classes + detections.label - 1).astype(np.int64)
    object_group = (objects.image * classes + objects.label - 1).astype(np.int64)
    blocks = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for d, g in pairs_within_frames(group, object_group):
        overlap = _overlap(detections.box[d], objects.box[g], crowd[g])
        enough = overlap >= limits[0]
        blocks.append((d[enough], g[enough], overlap[enough]))
    d, g, overlap = (np.concatenate(column) for column in zip(*blocks))
    order = np.lexsort((-g, -overlap, crowd[g], d))
    d, g, overlap = (column[order] for column in (d, g, overlap))
    allowed = overlap[:, None] >= np.minimum(limits, 1 - 1e-10)
    matches = greedy_match(d, g, group[d], allowed, exclusive=~crowd)
    hit = np.zeros((len(group), len(limits)), bool)
    ignored = np.zeros_like(hit)
    for k in range(len(limits)):
        hit[d[matches[:, k] & ~crowd[g]], k] = True
        ignored[d[matches[:, k] & crowd[g]], k] = True
    counts = np.zeros((len(targets), classes), np.int64)
    np.add.at(counts, (objects.image[~crowd].astype(np.int64), objects.label[~crowd] - 1), 1)
    return CocoMatches(detections.value, detections.image, detections.label, hit, ignored, counts)
