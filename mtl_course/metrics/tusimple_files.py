"""Files of TuSimple's lane benchmark, read as the official program reads them, and scored."""

import functools
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..core.files import replaced_folder
from ..core.inputs import parse_json, refuse_special_file
from .intervals import RESAMPLES, draw_counts, interval
from .tusimple import tusimple_scores

__all__ = ["read_json_lines", "score_tusimple", "write_tusimple"]

_NAMES = ("accuracy", "fp", "fn")
_TEXT_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?)(\d*)(?:(\.)(\d*))?(?:([eE])([+-]?\d*))?', re.DOTALL | re.ASCII)
_LONG_NUMBER = re.compile(rb"\d{19}")


def _in_json_spelling(match: re.Match) -> str:
    "A number in ujson's easy spelling (12., 007, a lone -) in JSON's; anything else unchanged."
    sign, whole, dot, fraction, e, power = [group or "" for group in match.groups()]
    if not sign and not whole:
        return match[0]
    number = sign + (whole.lstrip("0") or "0")
    if dot or e:
        number += f".{fraction or 0}"
    return number + (f"e{power}" if power.strip("+-") else "")


def _refuse(name: str):
    raise ValueError(f"{name} is not JSON")


def _int64(digits: str) -> int:
    "An integer as ujson reads it: in 64 bits; some that are too large wrap around unnoticed."
    negative = digits.startswith("-")
    value = 0
    for digit in digits.lstrip("-"):
        before = value
        value = (10 * value + int(digit)) % 2**64
        overflows = value > 2**63 if negative else value < before
        if overflows:
            raise ValueError(f"{digits} does not fit into 64 bits")
    return -value if negative else value


def _float(number: str) -> float:
    _int64(re.match(r"-?\d*", number)[0])  # its whole part has the same limit
    return float(number)


def _parse(line: bytes):  # what it says
    "One line of JSON as ujson 2.0.3 understands it; raises `ValueError`."
    if b"\0" in line:
        raise ValueError("a zero byte")
    text = line.decode("utf-8")
    numbers = dict(parse_int=_int64, parse_float=_float) if _LONG_NUMBER.search(line) else {}
    load = functools.partial(parse_json, strict=False, parse_constant=_refuse, **numbers)
    try:
        return load(text)
    except ValueError:
        return load(_TEXT_OR_NUMBER.sub(_in_json_spelling, text))


def read_json_lines(path: str | Path) -> list:  # what each line says
    "Parses a file of JSON lines; raises `ValueError` naming the first line that is none."
    entries = []
    refuse_special_file(path)
    with open(path, "rb") as f:
        for n, line in enumerate(f, 1):
            try:
                entries.append(_parse(line))
            except ValueError as e:
                raise ValueError(
                    f"{Path(path).name}, line {n}: not JSON ({e}), expected one object a line: mend or remove the line"
                ) from e
    return entries


def _by_frame(entries: list, name: str) -> dict:  # raw_file -> entry
    "The labels by frame, the last line winning; raises `ValueError` for a line that is no label."
    for n, entry in enumerate(entries, 1):
        is_label = isinstance(entry, dict) and {"raw_file", "lanes", "h_samples"} <= entry.keys()
        if not is_label or not isinstance(entry["raw_file"], str):
            raise ValueError(
                f"{name}, line {n}: expected an object with raw_file (text), lanes and h_samples: mend the line"
            )
    return {entry["raw_file"]: entry for entry in entries}


def _frame_of(entry, frames: dict) -> str:
    """The frame that a line predicts.

    Raises `ValueError` with the official sentence for a line without its keys.
    """
    if entry is None or isinstance(entry, (bool, int, float)):
        raise ValueError(f"argument of type '{type(entry).__name__}' is not iterable")
    if not isinstance(entry, dict) or not {"raw_file", "lanes", "run_time"} <= entry.keys():
        raise ValueError("raw_file or lanes or run_time not in some predictions.")
    frame = entry["raw_file"]
    if isinstance(frame, (list, dict)):
        raise ValueError(f"unhashable type: '{type(frame).__name__}'")
    if frame not in frames:
        raise ValueError("Some raw_file from your predictions do not exist in the test tasks.")
    return frame


def _mean(scores: list, n: int) -> dict:
    "accuracy, fp and fn added in order and divided by `n`."
    means = {}
    for name in _NAMES:
        total = np.cumsum([score[name] for score in scores])[-1]
        means[name] = float(total / n)
    return means


def tusimple_metric(
    pred_file: str | Path,  # JSON lines with raw_file, lanes, run_time (milliseconds)
    gt_file: str | Path,  # JSON lines with raw_file, lanes, h_samples
    corrected: bool = False,  # also give the scores without what misleads
) -> dict:
    """TuSimple's lane scores of a file of predictions.

    They equal those of the official evaluate/lane.py (commit d1f5ef1b). Returns `accuracy`, `fp`,
    `fn` and `rows`: one dictionary per prediction, in the order of the file, with `raw_file` and
    the three scores. With `corrected=True` the whole and each row also hold `corrected`, the three
    scores without what misleads, each in 0..1: predictions assigned one to one, absent points not
    counted, every frame of the truth counted once. Raises `ValueError` with the official sentence
    for malformed predictions, and with one naming file and line for malformed labels.
    """
    try:
        predictions = read_json_lines(pred_file)
    except (ValueError, OSError) as e:
        raise ValueError("Fail to load json file of the prediction.") from e
    labels = read_json_lines(gt_file)
    if len(labels) != len(predictions):
        raise ValueError("We do not get the predictions of all the test tasks")
    if not labels:
        raise ValueError("float division by zero")  # what the program says of two empty files
    frames = _by_frame(labels, Path(gt_file).name)
    rows = []
    for entry in predictions:
        frame = _frame_of(entry, frames)
        label = frames[frame]
        scores = tusimple_scores(entry["lanes"], label["lanes"], label["h_samples"], entry["run_time"], corrected)
        rows.append({"raw_file": frame, **scores})
    result = _mean(rows, len(frames))
    if math.isnan(result["accuracy"]):
        raise ValueError("Invalid value when encoding double")  # lanes without any height
    if corrected:
        result["corrected"] = _corrected_mean(rows, frames)
    return {**result, "rows": rows}


def _corrected_mean(rows: list, frames: dict) -> dict:
    "Every frame once, by its first prediction; a frame without one as if nothing was predicted."
    first = {}
    for row in reversed(rows):  # the order of the sum decides the last bit
        first[row["raw_file"]] = row["corrected"]
    for frame, label in frames.items():
        if frame not in first:
            first[frame] = tusimple_scores([], label["lanes"], label["h_samples"], 0, True)["corrected"]
    return _mean(list(first.values()), len(frames))


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
        for name in _NAMES:
            row = {"metric": f"tusimple_{name}{ending}", "class": "all", "difficulty": "all", "value": whole[name]}
            if resamples:
                values = np.array([frame[name] for frame in each])
                row["low"], row["high"] = interval(weights @ values / len(values))
            rows.append(row)
    return pd.DataFrame(rows, columns=["metric", "class", "difficulty", "value", "low", "high"])
