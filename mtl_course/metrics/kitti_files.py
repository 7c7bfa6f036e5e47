"""Detections in the format of KITTI's object benchmark, and its scores computed from the files."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import DETECTION_CLASSES
from ..core.files import replaced_folder
from .intervals import KITTI_SCORES, RESAMPLES, bootstrap_kitti, interval
from .kitti import DIFFICULTIES, KITTI_CLASSES, find_labels, kitti_ap, read_kitti_folders

__all__ = ["kitti_lines", "score_kitti", "to_original", "write_kitti"]


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
    "Writes a KITTI submission and the labels it is to be scored with."
    with replaced_folder(folder) as new:
        (new / "data").mkdir()
        (new / "label_2").mkdir()
        for file, text in zip(label_files, contents, strict=True):
            (new / "data" / Path(file).name).write_text(text, encoding="utf-8")
            shutil.copyfile(file, new / "label_2" / Path(file).name)


def score_kitti(
    folder: str | Path,  # what `write_kitti` wrote
    resamples: int = RESAMPLES,  # of the frames; 0: no intervals
    seed: int = 0,
) -> pd.DataFrame:  # metric, class, difficulty, value, low, high; values and intervals in 0..1
    """KITTI's AP from files, by `kitti_ap`: R40 and R11, official and corrected, at each difficulty.

    The number of objects stands beside them. Raises `UserError` for missing folders and files.
    """
    folder = Path(folder)
    scores = kitti_ap(folder / "label_2", folder / "data", corrected=True)
    samples = _bootstrap_folder(folder, resamples, seed) if resamples else {}
    rows = []
    for name in KITTI_CLASSES:
        entry = scores[name]
        for level, difficulty in enumerate(DIFFICULTIES):
            key = {"class": name, "difficulty": difficulty}
            rows.append({"metric": "kitti_objects", **key, "value": entry["n_gt"][level]})
            for score in KITTI_SCORES:
                values = entry["corrected"] if score.endswith("corrected") else entry
                row = {"metric": f"kitti_ap_{score}", **key, "value": values[score[:3]][level] / 100}
                if samples:
                    row["low"], row["high"] = interval(samples[name, difficulty, score][1:] / 100)
                rows.append(row)
    return pd.DataFrame(rows, columns=["metric", "class", "difficulty", "value", "low", "high"])


def _bootstrap_folder(folder: Path, resamples: int, seed: int) -> dict:
    labels, detections, _ = read_kitti_folders(folder / "label_2", folder / "data")
    return bootstrap_kitti(labels, detections, len(find_labels(folder / "label_2")), resamples, seed)
