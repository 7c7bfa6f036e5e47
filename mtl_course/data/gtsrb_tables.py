"""The csv files of GTSRB: read fast when they are right, line by line to say what is wrong."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.errors import UserError
from ..core.inputs import refuse_special_file
from ..core.task import LabelFiles, LabelIndex
from .validation import Problem, other_tasks_hint, read_label_text

__all__ = ["GTSRBFiles"]

CSV_COLUMNS = ("Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
TRAINING = "gtsrb/GTSRB/Training"  # torchvision's archive
FINAL_TRAINING = "gtsrb/GTSRB/Final_Training/Images"  # the larger official one
TEST_IMAGES = "gtsrb/GTSRB/Final_Test/Images"
TEST_CSV = "gtsrb/GT-final_test.csv"
_LAYOUT = f"{TRAINING}/000cc/TTTTT_FFFFF.ppm with GT-000cc.csv (cc: class 00-42)"
_NUM_CLASSES = 43


@dataclass(frozen=True)
class SignIndex:
    "What the csv files say, one row per image; broken lines are left out and listed as problems."

    files: np.ndarray  # (n,) str, relative to the data root
    labels: np.ndarray  # (n,) int64, 0-42
    tracks: np.ndarray  # (n,) int64, class*100000 + number: it counts within its class only; -1: official test set
    frames: np.ndarray  # (n,) int64, 0-29; -1: official test set
    sizes: np.ndarray  # (n, 2) int64, height and width in pixels
    rois: np.ndarray  # (n, 4) int64, x1, y1, x2, y2 of the sign in pixels
    official: np.ndarray  # (n,) bool, whether an image is of the official test set
    problems: list  # of `Problem`


def index_gtsrb(
    data_root: str | Path,  # folder that holds gtsrb/
    need_training: bool = True,  # False: the official test set alone will do
) -> SignIndex:
    "Parses every csv of GTSRB without opening an image; 39,209 lines take half a second."
    root = Path(data_root)
    problems = []
    folders = []
    base = FINAL_TRAINING if (root / FINAL_TRAINING).is_dir() and not (root / TRAINING).is_dir() else TRAINING
    for name in _class_folders(root, base, need_training, problems):
        folder = f"{base}/{name}"
        folders.append(_index_folder(root, folder, f"{folder}/GT-{name}.csv", int(name), problems))
    has_csv = (root / TEST_CSV).is_file()
    has_images = (root / TEST_IMAGES).is_dir()
    if has_csv and has_images:
        folders.append(_index_folder(root, TEST_IMAGES, TEST_CSV, None, problems))
    elif has_csv or has_images:
        missing = TEST_IMAGES if has_csv else TEST_CSV
        fault = "is missing, while the other half of the official test set is there: add or remove one"
        problems.append(Problem(missing, "", fault))
    return _joined(folders, problems)


class GTSRBFiles(LabelFiles):
    "GTSRB as `mtl_data check` sees it."

    layout = f"{_LAYOUT};\n        {TEST_IMAGES}/NNNNN.ppm with {TEST_CSV} (optional)"

    def index(self, root: Path) -> LabelIndex:
        index = index_gtsrb(root, need_training=False)
        labels = index.labels[~index.official]
        counts = {
            "images": len(index.files),
            "official test images": int(index.official.sum()),
            "classes": len(np.unique(labels)),
            "tracks": len(np.unique(index.tracks[~index.official])),
            "images per class": dict(sorted(Counter(labels.tolist()).items())),
        }
        return LabelIndex(counts, dict(zip(index.files.tolist(), index.sizes)), index.problems)

    def faults(self, label, image_size: tuple) -> list[str]:
        return size_faults(label, image_size)

    def images(self, root: Path) -> set[str]:
        training = TRAINING if (root / TRAINING).is_dir() else FINAL_TRAINING
        paths = [*root.glob(f"{training}/*/*.ppm"), *root.glob(f"{TEST_IMAGES}/*.ppm")]
        return {path.relative_to(root).as_posix() for path in paths}


class _Folder(NamedTuple):
    "The good rows of one csv."

    files: list  # relative to the data root
    values: np.ndarray  # int64 (rows, 7): the columns after the name
    numbers: np.ndarray  # int64 (rows, 2): track in its class and frame, from the name; -1: official test set


def _joined(folders: list, problems: list) -> SignIndex:
    "All folders in one table."
    files = []
    for folder in folders:
        files += folder.files
    values = np.concatenate([np.empty((0, 7), np.int64), *[folder.values for folder in folders]])
    numbers = np.concatenate([np.empty((0, 2), np.int64), *[folder.numbers for folder in folders]])
    labels = values[:, 6]
    official = numbers[:, 0] < 0
    return SignIndex(
        files=np.array(files, str),
        labels=labels,
        tracks=np.where(official, -1, labels * 100_000 + numbers[:, 0]),
        frames=numbers[:, 1],
        sizes=values[:, 1::-1],
        rois=values[:, 2:6],
        official=official,
        problems=problems,
    )


def _class_folders(root, base, needed, problems) -> list[str]:
    "Names of the class folders that hold something; faults go to `problems`."
    if not (root / base).is_dir():
        if needed or not (root / TEST_CSV).is_file():
            fault = f"no such folder in {root.name or root}, expected {_LAYOUT}: unpack the archive there"
            fault += other_tasks_hint(root, "gtsrb") if not (root / "gtsrb").exists() else ""
            problems.append(Problem(base, "", fault))
        return []
    folders = sorted(e.name for e in os.scandir(root / base) if e.is_dir() and not e.name.startswith("."))
    if not folders:
        problems.append(Problem(base, "", f"is an empty folder, expected {_LAYOUT}: unpack the archive there"))
    good = []
    for name in folders:
        fault = _folder_fault(root / base / name)
        if fault:
            problems.append(Problem(f"{base}/{name}", "", fault))
        else:
            good.append(name)
    return good


def _folder_fault(folder: Path) -> str:
    "Why a folder is not one of a class, or ''."
    name = folder.name
    if not (len(name) == 5 and name.isdigit() and int(name) < _NUM_CLASSES):
        return f"is not the folder of a class, expected 00000-{_NUM_CLASSES - 1:05d}: rename or remove it"
    if not any(os.scandir(folder)):
        return f"is an empty folder, expected images and GT-{name}.csv: unpack it again or remove it"
    return ""


def size_faults(
    csv_size,  # (height, width) that the csv says
    image_size: tuple,  # (height, width) of the file
) -> list[str]:
    "Why an image is not the one that its csv speaks of: the Roi is in pixels of the latter."
    height, width = image_size
    if tuple(csv_size) == (height, width):
        return []
    said = f"{csv_size[1]}x{csv_size[0]}"
    return [f"has {width}x{height} pixels, but its csv says {said}: copy the image again or mend the csv"]


def _index_folder(root, folder, csv, folder_class, problems) -> _Folder:
    "Good rows of one csv; faults go to `problems`, in the order of the lines."
    found = []
    rows = _parse_csv(root / csv, csv, found)
    present = {e.name for e in os.scandir(root / folder) if e.name.endswith(".ppm")}
    tracked = folder_class is not None
    faults = list(_value_faults(rows.values, folder_class))
    numbers = np.full((len(rows.names), 2), -1, np.int64)
    seen = {}
    for i, name in enumerate(rows.names):
        fault = _name_fault(name, present, seen, rows.lines[i], tracked)
        if fault:
            faults.append((i, fault))
        elif tracked:
            numbers[i] = int(name[:5]), int(name[6:11])
    found += [Problem(csv, f"line {rows.lines[i]}", sentence) for i, sentence in faults]
    problems += sorted(found, key=lambda p: int(p.where[5:] or 0))
    named = _names_in(root / csv) if present - seen.keys() else seen
    if named is not None:  # where the csv cannot be read, that is the problem, and not each of its images
        fault = f"has no line in {Path(csv).name}: add one, or remove the image"
        problems += [Problem(f"{folder}/{name}", "", fault) for name in sorted(present - set(named))]
    broken = {i for i, _ in faults}
    good = np.array([i for i in range(len(rows.names)) if i not in broken], np.int64)
    return _Folder([f"{folder}/{rows.names[i]}" for i in good], rows.values[good], numbers[good])


def _names_in(csv: Path) -> set[str] | None:
    "All file names in a csv, broken lines included; None for a file that cannot be read as text."
    try:
        refuse_special_file(csv)
        return {line.split(";")[0].strip() for line in csv.read_text(encoding="utf-8-sig").splitlines()}
    except (OSError, UnicodeDecodeError, UserError):
        return None


class _Rows(NamedTuple):
    "The rows of a csv that are numbers."

    lines: list  # their line numbers
    names: list  # of the files
    values: np.ndarray  # int64 (rows, 7)


def _parse_csv(path, file, problems) -> _Rows:
    "The rows of a GTSRB csv; every fault is added to `problems` and its row left out."
    lines = read_label_text(path, file, problems).splitlines()
    if lines and tuple(lines[0].strip().split(";")) != CSV_COLUMNS:
        fault = f"the header is {lines[0][:80]!r}, expected {';'.join(CSV_COLUMNS)!r}: add or mend it"
        problems.append(Problem(file, "line 1", fault))
        lines = []
    rows = [(n, line.strip().split(";")) for n, line in enumerate(lines[1:], 2) if line.strip()]
    if lines and not rows:
        problems.append(Problem(file, "", "holds a header but no image, expected a line for each: unpack it again"))
    try:  # a whole table at once
        return _rows(rows)
    except (ValueError, OverflowError):
        pass  # some row is broken: go through them one by one
    good = []
    for n, row in rows:
        fault = _row_fault(row)
        if fault:
            problems.append(Problem(file, f"line {n}", fault))
        else:
            good.append((n, [row[0], *map(int, row[1:])]))
    return _rows(good)


def _rows(rows: list) -> _Rows:
    "Rows as numbers; raises ValueError or OverflowError when one is broken."
    values = np.array([row[1:] for _, row in rows], dtype=str).reshape(-1, 7).astype(np.int64)
    return _Rows([n for n, _ in rows], [row[0] for _, row in rows], values)


def _row_fault(row: list[str]) -> str:
    "Why a csv row cannot be read, or ''."
    if len(row) != len(CSV_COLUMNS):
        return f"{len(row)} columns, expected {len(CSV_COLUMNS)} separated by ';': mend or remove the line"
    for name, value in zip(CSV_COLUMNS[1:], row[1:]):
        try:
            usual = abs(int(value)) < 1_000_000
        except ValueError:
            usual = False
        if not usual:
            return f"{name} is {value!r}, expected a whole number below a million: mend or remove the line"
    return ""


def _value_faults(values, folder_class):
    "Yields (row, sentence) for each row of a csv whose values cannot be right."
    width, height, x1, y1, x2, y2, label = values.T
    known = (label >= 0) & (label < _NUM_CLASSES)
    proper = (x2 > x1) & (y2 > y1)
    outside = (np.minimum(x1, y1) < 0) | (x2 > width) | (y2 > height)
    for i in np.flatnonzero(~known):
        yield i, f"ClassId is {label[i]}, expected 0-{_NUM_CLASSES - 1}: mend the line"
    for i in np.flatnonzero(~proper):
        roi = f"the Roi ({x1[i]}, {y1[i]}, {x2[i]}, {y2[i]})"
        yield i, f"{roi} is turned round or empty, expected X1 < X2 and Y1 < Y2: mend the line"
    for i in np.flatnonzero(proper & outside):
        roi = f"the Roi ({x1[i]}, {y1[i]}, {x2[i]}, {y2[i]})"
        yield i, f"{roi} leaves the image of {width[i]}x{height[i]} pixels, expected it inside: mend the line"
    if folder_class is None:
        return
    for i in np.flatnonzero(known & (label != folder_class)):
        remedy = "move the image or mend the line"
        yield i, f"ClassId is {label[i]}, expected {folder_class} as its folder says: {remedy}"


def _name_fault(name: str, present: set, seen: dict, line: int, tracked: bool) -> str:
    "Why the file name of a csv line is wrong, or ''; remembers the name in `seen`."
    if name in seen:
        return f"{name} was named in line {seen[name]} already: remove one of the two lines"
    seen[name] = line
    if tracked and not (len(name) == 15 and name[5] == "_" and (name[:5] + name[6:11]).isdigit()):
        fault = f"the file is called {name!r}, expected TTTTT_FFFFF.ppm"
        return f"{fault}: without its track an image cannot be split fairly, so rename or remove it"
    return "" if name in present else f"names {name}, which is not there: copy the image there or remove the line"
