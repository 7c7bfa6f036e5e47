"""Labels and detections of KITTI in flat arrays, and who plays which role for a class."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .matching import paired_ioa, paired_iou, pairs_within_frames

__all__ = ["KITTI_CLASSES", "KittiDetections", "KittiLabels"]

KITTI_CLASSES = ("Car", "Pedestrian", "Cyclist")
DIFFICULTIES = ("easy", "moderate", "hard")


MIN_HEIGHT = (40, 25, 25)  # pixels, per difficulty
MAX_OCCLUSION = (0, 1, 2)
MAX_TRUNCATION = (0.15, 0.30, 0.50)
MIN_OVERLAP = dict(Car=0.7, Pedestrian=0.5, Cyclist=0.5)
NEIGHBOUR = dict(Car="Van", Pedestrian="Person_sitting")  # taking one for the other is not judged

_NUMBERED = (*KITTI_CLASSES, *NEIGHBOUR.values(), "DontCare")
_NUMBER = {name.lower(): i for i, name in enumerate(_NUMBERED)}
_DONT_CARE = _NUMBER["dontcare"]
_OTHER = len(_NUMBER)


def class_numbers(names: list) -> np.ndarray:  # (N,) int8
    "A number for each class name; names are compared without regard to case."
    return np.array([_NUMBER.get(str(name).lower(), _OTHER) for name in names], np.int8)


@dataclass(frozen=True)
class KittiLabels:
    "The labels of one frame, one row per object, in the order of the file (the order matters)."

    names: list  # (N,) class names, any case; names that KITTI does not score play no role
    truncation: np.ndarray  # (N,) 0 (inside the image) to 1
    occlusion: np.ndarray  # (N,) 0 visible, 1 partly, 2 largely hidden, 3 unknown
    boxes: np.ndarray  # (N, 4) x1, y1, x2, y2 in pixels


@dataclass(frozen=True)
class KittiDetections:
    "The detections of one frame, one row per box."

    names: list  # (M,) class names, any case
    boxes: np.ndarray  # (M, 4) x1, y1, x2, y2 in pixels
    scores: np.ndarray  # (M,) any real numbers, higher = surer


VALID = 0  # roles
IGNORED = 1
ABSENT = -1


@dataclass
class FlatLabels:
    "The labels of all frames behind one another."

    frame: np.ndarray  # (N,) number of the frame, rising
    kind: np.ndarray  # (N,) number of the class
    truncation: np.ndarray  # (N,)
    occlusion: np.ndarray  # (N,)
    boxes: np.ndarray  # (N, 4)

    def roles(self, name: str, level: int) -> np.ndarray:  # class, 0 easy … 2 hard -> (N,) int8
        height = self.boxes[:, 3] - self.boxes[:, 1]
        too_low = height <= MIN_HEIGHT[level]
        hidden = (self.occlusion > MAX_OCCLUSION[level]) | (self.truncation > MAX_TRUNCATION[level])
        of_class = self.kind == _NUMBER[name.lower()]
        neighbour = self.kind == _NUMBER.get(NEIGHBOUR.get(name, "").lower(), ABSENT)
        roles = np.where(neighbour, IGNORED, ABSENT)
        return np.where(of_class, (too_low | hidden).astype(np.int8), roles).astype(np.int8)


@dataclass
class FlatDetections:
    "The detections of all frames behind one another."

    frame: np.ndarray  # (M,) number of the frame, rising
    kind: np.ndarray  # (M,) number of the class
    boxes: np.ndarray  # (M, 4)
    scores: np.ndarray  # (M,)

    def too_low(self, level: int) -> np.ndarray:  # (M,) bool
        # the official program cuts heights to whole pixels: no difference to whole limits
        return ~(np.abs(self.boxes[:, 3] - self.boxes[:, 1]) >= MIN_HEIGHT[level])

    def ranks(self) -> np.ndarray:  # (M,)
        "The scores; those that are no number come last."
        return np.where(np.isnan(self.scores), -np.inf, self.scores)

    def of_class(self, name: str) -> np.ndarray:  # (M,) bool
        return self.kind == _NUMBER[name.lower()]

    def shown(self, name: str) -> np.ndarray:  # (M,) bool
        "The detections for whose sake the official program evaluates a class."
        return self.of_class(name) & (self.boxes[:, 0] >= 0)

    def roles(self, name: str, level: int) -> np.ndarray:  # (M,) int8
        judged = np.where(self.of_class(name), VALID, ABSENT)
        return np.where(self.too_low(level), IGNORED, judged).astype(np.int8)


def _flatten(frames: list, shapes: dict, what: str) -> list:  # frame number, kind, then the fields
    counts = [len(frame.names) for frame in frames]
    columns = []
    for field, shape in shapes.items():
        arrays = [np.asarray(getattr(frame, field), np.float64).reshape(-1, *shape) for frame in frames]
        for k, (array, count) in enumerate(zip(arrays, counts)):
            if len(array) != count:
                raise ValueError(f"{what} of frame {k}: {len(array)} {field} but {count} names; give one for each")
        columns.append(np.concatenate([np.empty((0, *shape)), *arrays]))
    kinds = [class_numbers(frame.names) for frame in frames]
    frame = np.repeat(np.arange(len(frames)), counts)
    return [frame, np.concatenate([np.empty(0, np.int8), *kinds]), *columns]


def flatten_labels(frames: list) -> FlatLabels:  # of `KittiLabels`
    "Labels of all frames; raises `ValueError` for arrays of one frame that differ in length."
    return FlatLabels(*_flatten(frames, {"truncation": (), "occlusion": (), "boxes": (4,)}, "labels"))


def flatten_detections(frames: list) -> FlatDetections:  # of `KittiDetections`
    "Detections of all frames; raises `ValueError` for arrays of one frame that differ in length."
    return FlatDetections(*_flatten(frames, {"boxes": (4,), "scores": ()}, "detections"))


class Pairs(NamedTuple):
    "Labels and detections of the same frame that overlap."

    label: np.ndarray  # (P,)
    detection: np.ndarray  # (P,)
    iou: np.ndarray  # (P,)

    def take(self, index: np.ndarray):
        return Pairs(self.label[index], self.detection[index], self.iou[index])


def overlapping_pairs(labels: FlatLabels, detections: FlatDetections) -> Pairs:
    "All pairs that any class could match."
    scored = np.flatnonzero(labels.kind < _DONT_CARE)
    blocks = [Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for i, j in pairs_within_frames(labels.frame[scored], detections.frame):
        iou = paired_iou(detections.boxes[j], labels.boxes[scored[i]])
        blocks.append(Pairs(scored[i], j, iou).take(iou > min(MIN_OVERLAP.values())))
    return Pairs(*(np.concatenate(column) for column in zip(*blocks)))


def dont_care_overlap(labels: FlatLabels, detections: FlatDetections) -> np.ndarray:  # (detections,) in 0..1
    "The largest share of each detection inside a single DontCare region."
    regions = np.flatnonzero(labels.kind == _DONT_CARE)
    share = np.zeros(len(detections.frame))
    for i, j in pairs_within_frames(labels.frame[regions], detections.frame):
        np.fmax.at(share, j, paired_ioa(detections.boxes[j], labels.boxes[regions[i]]))
    return share
