"""Predictions in the formats of the benchmarks, so that anyone can score them again."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.images import image_size
from ..data.kitti import LABELS
from ..metrics.gtsrb_files import write_gtsrb
from ..metrics.intervals import RESAMPLES
from ..metrics.kitti_files import kitti_lines, score_kitti, to_original, write_kitti
from ..metrics.tusimple_files import score_tusimple, write_tusimple
from .predictions import Predictions

__all__ = ["official_scores", "write_predictions"]

_FOLDERS = {"classification": "gtsrb", "detection": "kitti", "lane": "tusimple"}


def write_predictions(
    predictions: Predictions,  # with a reader
    folder: str | Path,  # gets gtsrb/, kitti/ or tusimple/
) -> Path:  # the folder written
    "Writes the predictions of one task, and their targets, in the format of its benchmark."
    folder = Path(folder) / _FOLDERS[predictions.task]
    write = {"classification": _write_signs, "detection": _write_boxes, "lane": _write_lanes}
    write[predictions.task](predictions, folder)
    return folder


def _write_signs(predictions: Predictions, folder: Path):
    names = []
    for file, i in zip(predictions.files, predictions.index()):
        is_official_test = int(predictions.reader.tracks[i]) < 0  # its images have no class folder
        path = Path(file)
        names.append(path.name if is_official_test else "/".join(path.parts[-2:]))
    write_gtsrb(folder, names, predictions.predictions, predictions.targets)


def _write_boxes(predictions: Predictions, folder: Path):
    reader = predictions.reader
    labels = [reader.data_root / LABELS / f"{Path(file).stem}.txt" for file in predictions.files]
    contents = []
    for i, detections in zip(predictions.index(), predictions.predictions):
        size = image_size(reader.path(i), str(reader.files[i]))
        boxes = to_original(detections["boxes"], predictions.size, size)
        contents.append(kitti_lines(detections["labels"], boxes, detections["scores"]))
    write_kitti(folder, labels, contents)


def _write_lanes(predictions: Predictions, folder: Path):
    run_time = float(np.median(predictions.run_time))
    if run_time > 200:
        warnings.warn(
            f"a lane frame took {run_time:.0f} ms here; the official TuSimple accuracy of frames above 200 ms is 0"
        )
    records = [predictions.reader.record(i) for i in predictions.index()]
    write_tusimple(folder, records, predictions.predictions, run_time)


def official_scores(
    task: str,
    folder: str | Path,  # what `write_predictions` returned
    resamples: int = RESAMPLES,
) -> pd.DataFrame | None:  # metric, class, difficulty, value, low, high
    """The benchmark's scores from the files.

    None for GTSRB, whose are the accuracies that the table has anyway.
    """
    if task == "classification":
        return None
    score = score_kitti if task == "detection" else score_tusimple
    return score(folder, resamples)
