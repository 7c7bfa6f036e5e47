"""TuSimple's label files: one JSON object a line, checked one by one."""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.inputs import parse_json
from ..core.task import LabelFiles, LabelIndex
from .validation import Problem, other_tasks_hint, read_label_text

__all__ = ["TuSimpleFiles"]

_LAYOUT = "tusimple/label_data_*.json with tusimple/clips/<date>/<id>/20.jpg"
_TEST_LABELS = "test_label.json"
_MOST_LANES = 1000  # of a frame; TuSimple has five at most
_MOST_HEIGHTS = 10_000


class LaneLabel(NamedTuple):
    "One label line."

    file: str  # relative to the data root
    raw_file: str  # as written in the json
    lanes: np.ndarray  # float32 (lanes, heights)
    h_samples: np.ndarray  # float32 (heights,)


class TuSimpleIndex(NamedTuple):
    "What TuSimple's label files say."

    labels: list  # of `LaneLabel`
    official: np.ndarray  # (n,) bool, whether a frame is of the official test set
    problems: list  # of `Problem`


class TuSimpleFiles(LabelFiles):
    "TuSimple's label files and frames as `mtl_data check` sees them."

    layout = f"{_LAYOUT};\n        tusimple/{_TEST_LABELS} (optional: becomes the test part)"

    def index(self, root: Path) -> LabelIndex:
        labels, official, problems = index_tusimple(root, need_training=False)
        heights = Counter(len(label.h_samples) for label in labels)
        counts = {
            "images": len(labels),
            "official test images": int(official.sum()),
            "lanes": sum(len(label.lanes) for label in labels),
            "heights per lane": dict(sorted(heights.items())),
        }
        return LabelIndex(counts, {label.file: label for label in labels}, problems)

    def faults(self, label: LaneLabel, image_size: tuple) -> list[str]:
        return reach_faults(label, image_size)

    def images(self, root: Path) -> set[str]:
        return {path.relative_to(root).as_posix() for path in root.glob("tusimple/clips/*/*/20.jpg")}


def index_tusimple(
    data_root: str | Path,  # folder that holds tusimple/
    need_training: bool = True,  # False: the official test set alone will do
) -> TuSimpleIndex:
    "Parses every TuSimple label line without opening an image; faults are returned as problems."
    root = Path(data_root)
    folder = root / "tusimple"
    names = sorted(path.name for path in folder.glob("label_data_*.json"))
    problems = []
    has_test = (folder / _TEST_LABELS).exists()
    if not names and (need_training or not has_test):
        fault = "holds no label_data_*.json" if folder.is_dir() else "no such folder"
        remedy = f"expected {_LAYOUT}: unpack the archives there"
        remedy += other_tasks_hint(root, "tusimple") if not folder.exists() else ""
        problems.append(Problem("tusimple", "", f"{fault} in {root.name or root}, {remedy}"))
    labels = []
    official = []
    seen = {}
    for name in names + [_TEST_LABELS] * has_test:
        file = f"tusimple/{name}"
        lines = read_label_text(folder / name, file, problems, may_be_empty=True).split("\n")
        for n, line in enumerate(lines, 1):
            label = _parse_line(line, folder, seen, file, n, problems) if line.strip() else None
            if label:
                labels.append(label)
                official.append(name == _TEST_LABELS)
    if (names or has_test) and not labels and not problems:
        fault = "its label files hold no label, expected one JSON object a line: unpack them again"
        problems.append(Problem("tusimple", "", fault))
    return TuSimpleIndex(labels, np.array(official, bool), problems)


def reach_faults(
    label: LaneLabel,
    image_size: tuple,  # (height, width) of the image
) -> list[str]:
    """Why a label cannot belong to an image of this size.

    Lanes may end a little beyond the edge, and reach down to the car; those that are made for
    another image size go beyond, or end well above the lower edge. (TuSimple's end at 710 of 720.)
    """
    height, width = image_size
    x = float(label.lanes.max(initial=0))
    y = float(label.h_samples.max(initial=0))
    remedy = "label and image do not belong together, copy both again"
    if x > 1.02 * width or y > 1.02 * height:
        return [f"its lanes reach to ({x:g}, {y:g}), outside the image of {width}x{height} pixels: {remedy}"]
    if y < 0.8 * height:
        place = f"far above the lower edge of the image of {width}x{height} pixels"
        return [f"its h_samples end at {y:g}, {place}: {remedy}"]
    return []


def _parse_line(line, folder, seen, file, n, problems) -> LaneLabel | None:
    "One label line, or None with the fault added to `problems`."
    try:
        entry = parse_json(line)
    except ValueError as e:
        reason = f"{e.msg} at column {e.colno}" if isinstance(e, json.JSONDecodeError) else e
        fault = f"is not JSON ({reason}), expected one object a line: mend or remove the line"
    else:
        fault = _entry_fault(entry)
        if fault:
            fault = f"{fault}: mend the line"
        else:
            fault = _file_fault(folder, entry["raw_file"], seen, f"{file}, line {n}")
    if fault:
        problems.append(Problem(file, f"line {n}", fault))
        return None
    heights = np.array(entry["h_samples"], np.float32)
    lanes = np.array(entry["lanes"], np.float32).reshape(-1, len(heights))
    return LaneLabel(f"tusimple/{entry['raw_file'].strip('/')}", entry["raw_file"], lanes, heights)


def _entry_fault(entry) -> str:
    "Why a label line is not a TuSimple label, or ''."
    if not isinstance(entry, dict) or not {"lanes", "h_samples", "raw_file"} <= entry.keys():
        return "expected an object with lanes, h_samples and raw_file"
    raw_file = entry["raw_file"]
    heights = entry["h_samples"]
    if not isinstance(raw_file, str) or ".." in raw_file or not raw_file.strip("/"):
        return "raw_file is not a path below tusimple/, expected such as clips/0601/1494453497604532231/20.jpg"
    if not _is_numbers(heights) or not heights or any(b <= a for a, b in zip(heights, heights[1:])):
        return "h_samples is not a list of rising numbers, expected pixels from the top"
    if len(heights) > _MOST_HEIGHTS:
        return f"h_samples has {len(heights):,} values, expected at most {_MOST_HEIGHTS:,}"
    if not isinstance(entry["lanes"], list):
        return "lanes is not a list, expected a list of lanes"
    if len(entry["lanes"]) > _MOST_LANES:
        return f"lanes has {len(entry['lanes']):,} lanes, expected at most {_MOST_LANES}"
    for k, lane in enumerate(entry["lanes"]):
        if not _is_numbers(lane):
            return f"lane {k} is not a list of numbers, expected one x for each height"
        if len(lane) != len(heights):
            expected = f"expected {len(heights)} as h_samples has (-2 where the lane is absent)"
            return f"lane {k} has {len(lane)} values, {expected}"
    return ""


def _is_numbers(values) -> bool:
    "Whether a value is a list of sensible numbers: no NaN, no Infinity, which json accepts."
    return isinstance(values, list) and all(type(v) in (int, float) and -1e6 < v < 1e6 for v in values)


def _file_fault(folder: Path, raw_file: str, seen: dict, here: str) -> str:
    "Why the image of a label line cannot be used, or ''; remembers the image in `seen`."
    name = raw_file.strip("/")
    first = seen.setdefault(name, here)
    if first != here:
        return f"{raw_file} was labelled in {first} already, expected once: remove one of the two lines"
    if (folder / name).is_file():
        return ""
    return f"names {raw_file}, which is not there: copy the image to tusimple/{name} or remove the line"
