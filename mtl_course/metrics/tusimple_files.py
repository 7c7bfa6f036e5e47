"""Lanes in the format of TuSimple's lane benchmark, and its scores computed from the files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.files import replaced_folder
from .intervals import RESAMPLES, draw_counts, interval
from .tusimple import tusimple_metric

__all__ = ["score_tusimple", "write_tusimple"]


def _plain_numbers(values: np.ndarray) -> list:
    "Whole numbers as integers, as the official files have them."
    return [float(v) if v % 1 else int(v) for v in np.asarray(values).tolist()]


def _write_json_lines(path: Path, entries: list):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")


def write_tusimple(
    folder: str | Path,  # becomes folder/pred.json and folder/label.json
    records: list,  # of the frames: raw_file, lanes (L, h), h_samples (h,), as `TuSimple.record` gives them
    lanes: list,  # predicted lanes of each frame: lists of x at its h_samples
    run_time: float,  # milliseconds per frame
):
    "Writes a TuSimple submission and the labels it is to be scored with."
    predictions, labels = [], []
    for record, predicted in zip(records, lanes, strict=True):
        heights = _plain_numbers(record.h_samples)
        entry = dict(raw_file=record.raw_file, lanes=predicted, h_samples=heights, run_time=round(run_time, 2))
        predictions.append(entry)
        true_lanes = [_plain_numbers(x) for x in record.lanes]
        labels.append(dict(raw_file=record.raw_file, lanes=true_lanes, h_samples=heights))
    with replaced_folder(folder) as new:
        _write_json_lines(new / "pred.json", predictions)
        _write_json_lines(new / "label.json", labels)


def score_tusimple(
    folder: str | Path,  # what `write_tusimple` wrote
    resamples: int = RESAMPLES,  # of the frames; 0: no intervals
    seed: int = 0,
) -> pd.DataFrame:  # metric, class, difficulty, value, low, high
    """TuSimple's accuracy, FP and FN from files, by `tusimple_metric`, official and corrected.

    Intervals are over frames. Raises `UserError` for broken files.
    """
    folder = Path(folder)
    try:
        scores = tusimple_metric(folder / "pred.json", folder / "label.json", corrected=True)
    except (ValueError, OSError) as e:
        raise UserError(
            f"{folder}: {e}; expected pred.json and label.json of the same frames, let `mtl_evaluate` write them anew"
        ) from None
    frames = scores["rows"]
    weights = draw_counts(len(frames), resamples, seed) if resamples else None
    corrected = [frame["corrected"] for frame in frames]
    rows = []
    for ending, whole, each in (("", scores, frames), ("_corrected", scores["corrected"], corrected)):
        for name in ("accuracy", "fp", "fn"):
            row = {"metric": f"tusimple_{name}{ending}", "class": "all", "difficulty": "all", "value": whole[name]}
            if resamples:
                values = np.array([frame[name] for frame in each])
                row["low"], row["high"] = interval(weights @ values / len(values))
            rows.append(row)
    return pd.DataFrame(rows, columns=["metric", "class", "difficulty", "value", "low", "high"])
