"""KITTI's label files: fifteen columns a line, checked one by one."""

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import DETECTION_CLASSES
from ..core.task import LabelFiles, LabelIndex
from .validation import Problem, finite_number, other_tasks_hint, read_label_text

__all__ = ["KITTIFiles", "parse_label"]

IMAGES = "kitti/training/image_2"
LABELS = "kitti/training/label_2"
_LAYOUT = f"{IMAGES}/NNNNNN.png and {LABELS}/NNNNNN.txt"
IGNORED = ("DontCare", "Person_sitting")
_COLUMNS = "type truncated occluded alpha x1 y1 x2 y2 height width length x y z rotation_y".split()
_NAMES = (*DETECTION_CLASSES, *IGNORED)
_MOST_OBJECTS = 1000  # of a frame; KITTI's fullest has 29
_FAR = 0.01  # of the image: how far a box may reach beyond its edge; KITTI's do not
_CUT_OFF = 0.3  # truncated by so much, an object ends at an edge of the image
_NEAR_EDGE = 0.02  # of the image; within 0.001 in KITTI


class KittiObjects(NamedTuple):
    "The objects of one label file, one row each, in the order of the file."

    names: np.ndarray  # (N,) str, as written
    truncation: np.ndarray  # (N,) 0 (inside) to 1, -1 for DontCare
    occlusion: np.ndarray  # (N,) 0 visible, 1 partly, 2 largely hidden, 3 unknown, -1 for DontCare
    alpha: np.ndarray  # (N,) radians, -10 for DontCare
    boxes: np.ndarray  # (N, 4) x1, y1, x2, y2 in pixels of the original image
    dimensions: np.ndarray  # (N, 3) height, width, length in metres
    location: np.ndarray  # (N, 3) x, y, z in metres, camera coordinates
    rotation_y: np.ndarray  # (N,) radians


class KittiIndex(NamedTuple):
    "What KITTI's training folder holds."

    files: list  # of the images, relative to the data root
    labels: list  # of `KittiObjects`, one per image
    problems: list  # of `Problem`


class KITTIFiles(LabelFiles):
    "KITTI's training folder as `mtl_data check` sees it."

    layout = _LAYOUT
    label_folder = LABELS  # below the data root

    def index(self, root: Path) -> LabelIndex:
        files, labels, problems = index_kitti(root)
        names = Counter()
        for objects in labels:
            names.update(objects.names.tolist())
        boxes = {name: names[name] for name in _NAMES if names[name]}
        return LabelIndex({"images": len(files), "boxes": boxes}, dict(zip(files, labels)), problems)

    def faults(self, label: KittiObjects, image_size: tuple) -> list[str]:
        return box_faults(label, image_size)

    def images(self, root: Path) -> set[str]:
        paths = [*root.glob(f"{IMAGES}/*.png"), *root.glob(f"{IMAGES}/*.jpg")]
        return {path.relative_to(root).as_posix() for path in paths}


def parse_label(
    text: str,  # the content of a label file
    file: str,  # its name, for errors
    problems: list,  # faults are added here
) -> KittiObjects:
    "The objects of one KITTI label file; broken lines are left out and added to `problems`."
    names = []
    values = []
    if text.count("\n") > _MOST_OBJECTS:
        fault = f"has {text.count(chr(10)):,} lines, expected at most {_MOST_OBJECTS} objects: unpack it again"
        problems.append(Problem(file, "", fault))
        text = ""
    for n, line in enumerate(text.splitlines(), 1):
        row = line.split()
        if not row:
            continue
        numbers = _numbers(row)
        if numbers is None:
            problems.append(Problem(file, f"line {n}", _line_fault(row) + ": mend the line"))
        else:
            names.append(row[0])
            values.append(numbers)
    return _objects(names, np.array(values, np.float64).reshape(-1, 14))


def _objects(names: list, values: np.ndarray) -> KittiObjects:  # values: (objects, 14), the columns after the name
    "The columns by their names."
    return KittiObjects(
        names=np.array(names, str),
        truncation=values[:, 0],
        occlusion=values[:, 1],
        alpha=values[:, 2],
        boxes=values[:, 3:7],
        dimensions=values[:, 7:10],
        location=values[:, 10:13],
        rotation_y=values[:, 13],
    )


def _numbers(row: list[str]) -> list[float] | None:
    "The fourteen numbers of a good line; None, quickly, for a line with a fault."
    if len(row) != 15 or row[0] not in _NAMES:
        return None
    try:
        values = [float(text) for text in row[1:]]
    except ValueError:
        return None
    truncated, occluded, _, x1, y1, x2, y2 = values[:7]
    proper = x2 > x1 and y2 > y1 and -1 <= truncated <= 1 and occluded in (-1, 0, 1, 2, 3)
    return values if proper and all(-1e6 < value < 1e6 for value in values) else None


def _line_fault(row: list[str]) -> str:
    "What is wrong with a label line."
    if len(row) != 15:
        score = "; a 16th is the score of a detection, not of a label" if len(row) == 16 else ""
        return f"{len(row)} columns, expected 15 ({' '.join(_COLUMNS)}){score}"
    if row[0] not in _NAMES:
        return f"{row[0]!r} is not a class of KITTI, expected one of {', '.join(_NAMES)}, spelt like that"
    for name, value in zip(_COLUMNS[1:], row[1:]):
        try:
            finite_number(value)
        except ValueError:
            return f"{name} is {value!r}, expected a finite number"
    x1, y1, x2, y2 = map(float, row[4:8])
    if x2 <= x1 or y2 <= y1:
        return f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is turned round or empty, expected x1 < x2 and y1 < y2"
    if not -1 <= float(row[1]) <= 1:
        return f"truncated is {row[1]}, expected 0 to 1 (-1 for DontCare)"
    if float(row[2]) not in (-1, 0, 1, 2, 3):
        return f"occluded is {row[2]}, expected 0, 1, 2 or 3 (-1 for DontCare)"
    return "a number is beyond a million, expected pixels, metres and radians"


def box_faults(
    objects: KittiObjects,
    image_size: tuple,  # (height, width) of the image
) -> list[str]:
    """Why a label cannot belong to an image of this size: boxes that lie outside, or reach out, or
    are cut off by an edge where there is none.
    """
    height, width = image_size
    x1, y1, x2, y2 = objects.boxes.T
    outside = (x2 <= 0) | (y2 <= 0) | (x1 >= width) | (y1 >= height)
    gap = np.minimum.reduce([x1 / width, y1 / height, 1 - x2 / width, 1 - y2 / height])  # to the nearest edge
    far = gap < -_FAR
    inside = (objects.truncation >= _CUT_OFF) & (gap > _NEAR_EDGE)
    faults = []
    for i in np.flatnonzero(outside | far | inside):
        box = f"its {objects.names[i]} box ({', '.join(f'{v:g}' for v in objects.boxes[i])})"
        place = "lies outside" if outside[i] else "reaches far out of"
        if inside[i]:
            place = f"is cut off by an edge (truncated {objects.truncation[i]:g}), but ends inside"
        remedy = "mend the label, or copy the image in its first size"
        faults.append(f"{box} {place} the image of {width}x{height} pixels: {remedy}")
    return faults


def index_kitti(
    data_root: str | Path,  # folder that holds kitti/
) -> KittiIndex:
    "Parses every label of the training folder without opening an image; faults become problems."
    root = Path(data_root)
    index = KittiIndex([], [], _folder_problems(root))
    if index.problems:
        return index
    images = {Path(e.name).stem: e.name for e in os.scandir(root / IMAGES) if e.name.endswith((".png", ".jpg"))}
    texts = {Path(e.name).stem for e in os.scandir(root / LABELS) if e.name.endswith(".txt")}
    for stem in sorted(images.keys() | texts):
        file = f"{IMAGES}/{images.get(stem, stem + '.png')}"
        label = f"{LABELS}/{stem}.txt"
        if stem not in texts:
            index.problems.append(Problem(file, "", f"has no label {label}: add it, or remove the image"))
            continue
        if stem not in images:
            index.problems.append(Problem(label, "", f"has no image {file}: add it, or remove the label"))
        remedy = "copy it again; a frame that shows no object has a label of one empty line (or --empty_labels ok)"
        text = read_label_text(root / label, label, index.problems, remedy, may_be_empty=True)
        objects = parse_label(text, label, index.problems)
        if stem in images:
            index.files.append(file)
            index.labels.append(objects)
    if not images and not texts:
        fault = f"holds no image, expected {_LAYOUT}: unpack the archives there"
        index.problems.append(Problem(IMAGES, "", fault))
    return index


def _folder_problems(root: Path) -> list[Problem]:
    "What is wrong with the two folders as such."
    problems = []
    for folder in (IMAGES, LABELS):
        if (root / folder).is_dir() and any(os.scandir(root / folder)):
            continue
        fault = "is an empty folder" if (root / folder).is_dir() else "no such folder"
        remedy = f"expected {_LAYOUT}: unpack the archives there"
        remedy += other_tasks_hint(root, "kitti") if not (root / "kitti").exists() else ""
        problems.append(Problem(folder, "", f"{fault} in {root.name or root}, {remedy}"))
    return problems
