"""Files of KITTI's object benchmark, read as the official program reads them, and scored."""

import os
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..config import DETECTION_CLASSES
from ..core.errors import UserError
from ..core.files import replaced_folder
from ..core.inputs import refuse_special_file
from ..data.kitti_labels import parse_label
from ..data.validation import raise_problems
from .intervals import RESAMPLES, interval
from .kitti import score_flat
from .kitti_frames import DIFFICULTIES, KITTI_CLASSES, FlatDetections, FlatLabels, class_numbers
from .ranking import KITTI_SCORES, bootstrap_kitti

__all__ = ["kitti_ap", "kitti_lines", "score_kitti", "to_original", "write_kitti"]


class KittiFileError(UserError, FileNotFoundError, ValueError):
    """A folder or file of the evaluation that is missing.

    For a result file the message begins as the official program's and adds the remedy.
    """


# A line holds a name and these numbers; a label's occlusion is read as an integer
_LABEL = (float, int, *[float] * 12)
_RESULT = (float,) * 15
_WORD = re.compile(rb"\s*(\S+)")
_INT = re.compile(rb"\s*([+-]?\d+)")
_FLOAT = re.compile(rb"\s*([+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan))", re.I)


def scan_tokens(
    data: bytes,
    casts: tuple,  # of the numbers behind a name
) -> tuple:  # (columns, number of words that began no object)
    """Reads bytes as C's fscanf would: a name, then numbers until enough have come.

    Where a number is expected and the next token is none, what has been read is dropped,
    and the token in the way begins the next object.
    """
    rows = []
    at = 0
    lost = 0
    while word := _WORD.match(data, at):
        row = [word[1]]
        at = word.end()
        for cast in casts:
            number = (_INT if cast is int else _FLOAT).match(data, at)
            if not number:
                lost += 1
                break
            row.append(cast(number[1]))
            at = number.end()
        else:
            rows.append(row)
    return list(zip(*rows)) or [()] * (len(casts) + 1), lost


def read_columns(data: bytes, casts: tuple) -> tuple:  # ((names, numbers, …), number of lost words)
    "The columns of a file: at once where all is regular, else token by token."
    tokens = data.split()
    width = len(casts) + 1
    numbers_only = b"".join(token for k, token in enumerate(tokens) if k % width)
    if len(tokens) % width == 0 and b"_" not in numbers_only:  # Python reads 2_0 as a number, C does not
        try:
            numbers = [list(map(cast, tokens[k::width])) for k, cast in enumerate(casts, 1)]
            return [tokens[::width], *numbers], 0
        except ValueError:
            pass
    return scan_tokens(data, casts)


class _Folder(NamedTuple):
    "What the files of a folder hold, one entry per object."

    frame: np.ndarray  # (objects,) number of the file
    kind: np.ndarray  # (objects,) number of the class
    numbers: np.ndarray  # (columns, objects) float64
    broken: list  # names of the files with lost words, or whose first word a byte-order mark hides


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _read_folder(folder: str | Path, files: list, casts: tuple) -> _Folder:
    names = []
    columns = [[] for _ in casts]
    counts = []
    broken = []
    for file in files:
        try:
            data = _read(os.path.join(folder, file))
        except OSError as e:
            reason = e.strerror or "no such file"
            raise KittiFileError(
                f"ERROR: Couldn't read: {file} ({reason} in {Path(folder).name}/; every label file "
                "needs a result file: write an empty one for a frame without detections)"
            ) from None
        (file_names, *numbers), lost = read_columns(data, casts)
        if lost or data.startswith(_BYTE_ORDER_MARK):
            broken.append(file)
        names += file_names
        counts.append(len(file_names))
        for column, values in zip(columns, numbers):
            column += values
    kind = class_numbers([name.decode("latin-1") for name in names])
    numbers = np.array(columns, np.float64).reshape(len(casts), -1)
    return _Folder(np.repeat(np.arange(len(files)), counts), kind, numbers, broken)


def _read(path: str) -> bytes:
    refuse_special_file(path)
    with open(path, "rb", buffering=0) as f:
        return f.read()


def _find_labels(label_dir: str | Path) -> list[str]:
    "Names of the label files, sorted; raises `KittiFileError` when there are none."
    try:
        files = sorted(os.listdir(label_dir))
    except OSError:
        raise KittiFileError(f"label folder {label_dir}: no such folder, expected one with NNNNNN.txt files") from None
    files = [file for file in files if file.endswith(".txt") and not file.startswith(".")]
    if not files:
        raise KittiFileError(f"label folder {label_dir}: holds no label, expected files NNNNNN.txt, one per frame")
    return files


class KittiFolders(NamedTuple):
    "Labels and detections of all frames."

    labels: FlatLabels
    detections: FlatDetections
    frames: int
    broken: list  # result files with incomplete lines
    broken_labels: list  # label files that the official program does not read as they are meant


def read_kitti_folders(label_dir: str | Path, result_dir: str | Path) -> KittiFolders:
    """All frames for which there is a label file.

    Raises `KittiFileError` for missing folders and files.
    """
    files = _find_labels(label_dir)
    if not os.path.isdir(result_dir):
        raise KittiFileError(
            f"result folder {result_dir}: no such folder, expected one with a result file for each label file"
        )
    read = _read_folder(label_dir, files, _LABEL)
    truncation, occlusion = read.numbers[:2]
    boxes = np.ascontiguousarray(read.numbers[3:7].T)
    labels = FlatLabels(read.frame, read.kind, truncation, occlusion, boxes)
    broken_labels = read.broken
    read = _read_folder(result_dir, files, _RESULT)
    boxes = np.ascontiguousarray(read.numbers[3:7].T)
    detections = FlatDetections(read.frame, read.kind, boxes, read.numbers[14])
    return KittiFolders(labels, detections, len(files), read.broken, broken_labels)


def kitti_ap(
    label_dir: str | Path,  # folder of label files NNNNNN.txt; they say which frames are scored
    result_dir: str | Path,  # folder of result files of the same names; an empty file: nothing was detected
    corrected: bool = False,  # also the number without the traps
) -> dict:  # class -> {"r40", "r11": [easy, moderate, hard], "precision": (3, 41), "evaluated": bool, …}
    """KITTI's average precision of 2D boxes for Car, Pedestrian and Cyclist, in percent.

    It is what `evaluate_object.cpp` computes (Geiger et al. 2012). Further keys of a class:
    `n_gt` and `n_tp` (valid objects, true positives of pass 1: three integers each),
    `thresholds` (three arrays of scores), and with `corrected=True` `corrected`, a dictionary
    with `r40`, `r11` and `precision` of the same shapes. A class without a detection of x1 >= 0
    has `evaluated` False and an official AP of 0. `precision` belongs to recalls 0, 1/40, …, 1,
    in 0..1. R11 is NaN where the official program gives NaN. Warns of files of which the official
    program loses words or shifts columns. Raises `KittiFileError` (a `UserError`,
    `FileNotFoundError` and `ValueError`) for a missing folder, a folder without labels and a label
    without a result file.
    """
    read = read_kitti_folders(label_dir, result_dir)
    if read.broken_labels:
        warnings.warn(
            f"{len(read.broken_labels)} label file(s), the first {read.broken_labels[0]}, are not read by the official "
            "program as they are meant (a byte-order mark, a number such as 0.0 for occluded, a missing column): "
            "objects are lost or shifted; write name, truncated, whole occluded and twelve numbers, without a mark",
            stacklevel=2,
        )
    if read.broken:
        warnings.warn(
            f"{len(read.broken)} result file(s), the first {read.broken[0]}, have lines that are not a name and "
            "15 numbers: as in the official program a line without a score is dropped and further columns are skipped",
            stacklevel=2,
        )
    return score_flat(read.labels, read.detections, corrected)


def to_original(
    boxes: np.ndarray,  # (N, 4) x1, y1, x2, y2 in pixels of the network's input
    size: tuple,  # (height, width) of the network's input
    original: tuple,  # (height, width) of the original image
) -> np.ndarray:  # (N, 4) float64 in pixels of the original image, inside it
    "Boxes back in the pixels of the image they were found in."
    h, w = size
    H, W = original
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4) * [W / w, H / h, W / w, H / h]
    return np.clip(boxes, 0, [W, H, W, H])


def kitti_lines(
    labels,  # (N,) 1…7
    boxes: np.ndarray,  # (N, 4) pixels of the original image
    scores,  # (N,)
) -> str:  # sixteen columns, highest score first
    "The content of a KITTI result file; scores with nine digits, so that no float32 changes."
    lines = []
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        name = DETECTION_CLASSES[int(labels[i]) - 1]
        corners = " ".join(f"{v:.2f}" for v in boxes[i])
        lines.append(f"{name} -1 -1 -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10 {float(scores[i]):.9g}\n")
    return "".join(lines)


def write_kitti(
    folder: str | Path,  # becomes folder/data (results) and folder/label_2 (targets)
    label_files: list,  # of the frames' labels: paths NNNNNN.txt
    contents: list,  # of the result files, as `kitti_lines` gives them, in the same order
):
    """Writes a KITTI submission and the labels it is to be scored with.

    A label that the official program would read in another way than the course's parser is written
    in the form that it reads. Raises `UserError` for a label that cannot be parsed.
    """
    with replaced_folder(folder) as new:
        (new / "data").mkdir()
        (new / "label_2").mkdir()
        for file, text in zip(label_files, contents, strict=True):
            (new / "data" / Path(file).name).write_text(text, encoding="utf-8")
            (new / "label_2" / Path(file).name).write_bytes(_official_label(Path(file)))


def _official_label(path: Path) -> bytes:
    "A label as the official program understands it: as it is where both parsers agree, else anew."
    data = path.read_bytes()
    problems = []
    label = parse_label(data.decode("utf-8-sig", errors="replace"), path.name, problems)
    raise_problems(problems)
    columns = [label.truncation, label.occlusion, label.alpha, label.boxes, label.dimensions, label.location]
    numbers = np.column_stack([*columns, label.rotation_y])
    (names, *scanned), lost = read_columns(data, _LABEL)
    scanned = np.array(scanned, np.float64).reshape(len(_LABEL), -1).T
    same_names = [name.decode("latin-1") for name in names] == label.names.tolist()
    if not lost and same_names and np.array_equal(scanned, numbers):
        return data
    lines = []
    for name, (truncated, occluded, *rest) in zip(label.names, numbers.tolist()):
        lines.append(" ".join([name, repr(truncated), str(int(occluded)), *map(repr, rest)]) + "\n")
    return "".join(lines).encode()


def score_kitti(
    folder: str | Path,  # what `write_kitti` wrote
    resamples: int = RESAMPLES,  # of the frames; 0: no intervals
    seed: int = 0,
) -> pd.DataFrame:  # metric, class, difficulty, value, low, high; values and intervals in 0..1
    """KITTI's AP from files: R40 and R11, official and corrected, at each difficulty.

    The number of objects stands beside them. Raises `UserError` for missing folders and files.
    """
    folders = Path(folder) / "label_2", Path(folder) / "data"
    scores = kitti_ap(*folders, corrected=True)
    samples = {}
    if resamples:
        read = read_kitti_folders(*folders)
        samples = bootstrap_kitti(read.labels, read.detections, read.frames, resamples, seed)
    rows = []
    for name in KITTI_CLASSES:
        entry = scores[name]
        for level, difficulty in enumerate(DIFFICULTIES):
            key = {"class": name, "difficulty": difficulty}
            rows.append({"metric": "kitti_objects", **key, "value": entry["n_gt"][level]})
            for score in KITTI_SCORES:
                values = entry["corrected"] if score.endswith("corrected") else entry
                row = {"metric": f"kitti_ap_{score}", **key, "value": values[score[:3]][level] / 100}
                if resamples:
                    row["low"], row["high"] = interval(samples[name, difficulty, score][1:] / 100)
                rows.append(row)
    return pd.DataFrame(rows, columns=["metric", "class", "difficulty", "value", "low", "high"])
