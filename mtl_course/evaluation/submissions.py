"""A score can be believed when the predictions behind it can be scored again, by anyone, with the benchmark's own program."""

__all__ = [
    "SCORE_COLUMNS",
    "replaced_folder",
    "to_original",
    "kitti_lines",
    "write_kitti",
    "score_kitti",
    "write_tusimple",
    "score_tusimple",
    "write_gtsrb",
    "read_gtsrb",
    "score_gtsrb",
]

import contextlib, json, os, shutil
from pathlib import Path
import numpy as np, pandas as pd
from ..config import DETECTION_CLASSES
from ..core.errors import UserError
from ..metrics.intervals import KITTI_SCORES, RESAMPLES, bootstrap_kitti, draw_counts, interval
from ..metrics.kitti import KITTI_CLASSES, find_labels, read_kitti_folders, kitti_ap
from ..metrics.scores import classification_scores, confusion_matrix
from ..metrics.tusimple import tusimple_metric


@contextlib.contextmanager
def replaced_folder(path: str | Path):  # the folder to write
    "Yields an empty folder beside `path`, which takes its place when the block ends well and is removed when it does not."
    path = Path(path)
    new, old = (path.with_name(f".{path.name}.{os.getpid()}.{w}") for w in ("new", "old"))
    for p in (new, old):
        shutil.rmtree(p, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for p in (new, old):
            shutil.rmtree(p, ignore_errors=True)


def to_original(
    boxes: np.ndarray,  # (N, 4) x1, y1, x2, y2 in pixels of the network's input
    size: tuple,  # (height, width) of the network's input
    original: tuple,  # (height, width) of the original image
) -> np.ndarray:  # (N, 4) float64 in pixels of the original image, inside it
    "Boxes back in the pixels of the image they were found in."
    (h, w), (H, W) = size, original
    return np.clip(np.asarray(boxes, np.float64).reshape(-1, 4) * [W / w, H / h, W / w, H / h], 0, [W, H, W, H])


def kitti_lines(
    labels,  # (N,) 1…7
    boxes: np.ndarray,  # (N, 4) pixels of the original image
    scores,  # (N,)
) -> str:  # sixteen columns, highest score first
    "The content of a KITTI result file; scores with nine digits, so that no float32 changes."
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    return "".join(
        f"{DETECTION_CLASSES[int(labels[i]) - 1]} -1 -1 -10 {' '.join(f'{v:.2f}' for v in boxes[i])} -1 -1 -1 -1000 -1000 -1000 -10 {float(scores[i]):.9g}\n"
        for i in order
    )


def write_kitti(
    folder: str | Path,  # becomes folder/data (results) and folder/label_2 (truth)
    label_files: list,  # of the frames' labels: paths NNNNNN.txt
    contents: list,  # of the result files, as `kitti_lines` gives them, in the same order
):
    "Writes a KITTI submission and the labels it is to be scored with."
    with replaced_folder(folder) as new:
        for name in ("data", "label_2"):
            (new / name).mkdir()
        for file, text in zip(label_files, contents, strict=True):
            (new / "data" / Path(file).name).write_text(text, encoding="utf-8")
            shutil.copyfile(file, new / "label_2" / Path(file).name)


SCORE_COLUMNS = ["metric", "class", "difficulty", "value", "low", "high"]


def score_kitti(
    folder: str | Path,  # what `write_kitti` wrote
    resamples: int = RESAMPLES,  # of the frames; 0: no intervals
    seed: int = 0,
) -> pd.DataFrame:  # SCORE_COLUMNS; values and intervals in 0..1
    """KITTI's AP from files, by `kitti_ap`: R40 and R11, official and corrected, at each difficulty; and the number of objects.

    Raises `UserError` for missing folders and files.
    """
    folder, rows = Path(folder), []
    scores = kitti_ap(folder / "label_2", folder / "data", corrected=True)
    boot = _bootstrap_folder(folder, resamples, seed) if resamples else {}
    for name in KITTI_CLASSES:
        for level, difficulty in enumerate(("easy", "moderate", "hard")):
            rows.append((f"kitti_objects", name, difficulty, scores[name]["n_gt"][level], np.nan, np.nan))
            for score in KITTI_SCORES:
                entry = scores[name]["corrected"] if score.endswith("corrected") else scores[name]
                low, high = interval(boot[name, difficulty, score][1:] / 100) if boot else (np.nan, np.nan)
                rows.append((f"kitti_ap_{score}", name, difficulty, entry[score[:3]][level] / 100, low, high))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _bootstrap_folder(folder, resamples, seed):
    truth, found, _ = read_kitti_folders(folder / "label_2", folder / "data")
    return bootstrap_kitti(truth, found, len(find_labels(folder / "label_2")), resamples, seed)


def _write_json_lines(path, entries):
    Path(path).write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")


def write_tusimple(
    folder: str | Path,  # becomes folder/pred.json and folder/label.json
    records: list,  # of the frames: with raw_file, lanes (L, h) and h_samples (h,), as `TuSimple.record` gives them
    lanes: list,  # predicted lanes of each frame: lists of x at its h_samples
    run_time: float,  # milliseconds per frame
):
    "Writes a TuSimple submission and the labels it is to be scored with."
    numbers = lambda a: [float(v) if v % 1 else int(v) for v in np.asarray(a).tolist()]
    with replaced_folder(folder) as new:
        _write_json_lines(
            new / "pred.json",
            [
                dict(raw_file=r.raw_file, lanes=l, h_samples=numbers(r.h_samples), run_time=round(run_time, 2))
                for r, l in zip(records, lanes, strict=True)
            ],
        )
        _write_json_lines(
            new / "label.json",
            [
                dict(raw_file=r.raw_file, lanes=[numbers(x) for x in r.lanes], h_samples=numbers(r.h_samples))
                for r in records
            ],
        )


def score_tusimple(
    folder: str | Path, resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:  # what `write_tusimple` wrote -> SCORE_COLUMNS
    "TuSimple's accuracy, FP and FN from files, by `tusimple_metric`, official and corrected, with intervals over frames; raises `UserError` for broken files."
    folder = Path(folder)
    try:
        scores = tusimple_metric(folder / "pred.json", folder / "label.json", corrected=True)
    except (ValueError, OSError) as e:
        raise UserError(
            f"{folder}: {e}; expected pred.json and label.json of the same frames, let `mtl_evaluate` write them anew"
        ) from None
    weights, rows = draw_counts(len(scores["rows"]), resamples, seed) if resamples else None, []
    for ending, get in (("", lambda r: r), ("_corrected", lambda r: r["corrected"])):
        for name in ("accuracy", "fp", "fn"):
            each = np.array([get(r)[name] for r in scores["rows"]])
            low, high = interval(weights @ each / len(each)) if resamples else (np.nan, np.nan)
            rows.append((f"tusimple_{name}{ending}", "all", "all", get(scores)[name], low, high))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def write_gtsrb(
    folder: str | Path,  # becomes folder/pred.csv and folder/truth.csv
    names: list,  # of the images, such as 00000.ppm or 00014/00003_00027.ppm
    predicted,
    truth,  # (N,) classes 0…42
):
    "Writes a GTSRB submission and its truth."
    with replaced_folder(folder) as new:
        for file, classes in (("pred.csv", predicted), ("truth.csv", truth)):
            lines = "".join(f"{n};{int(c)}\n" for n, c in zip(names, classes, strict=True))
            (new / file).write_text("Filename;ClassId\n" + lines, encoding="utf-8")


def read_gtsrb(path: str | Path) -> dict:  # name -> class
    "Reads a csv with the columns Filename and ClassId; raises `UserError` naming the line that is wrong."
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(
            f"{path}: cannot be read ({getattr(e, 'strerror', None) or e}), expected lines Filename;ClassId"
        ) from None
    if not lines or lines[0] != "Filename;ClassId":
        raise UserError(f"{path}, line 1: expected the header Filename;ClassId: add it")
    found = {}
    for n, line in enumerate(lines[1:], 2):
        name, _, number = line.partition(";")
        if not (name and number.isdecimal() and int(number) < 43):
            raise UserError(
                f"{path}, line {n}: {line[:60]!r}, expected an image's name and a class 0-42 separated by ';': mend the line"
            )
        if name in found:
            raise UserError(f"{path}, line {n}: {name} was named before: remove one of the lines")
        found[name] = int(number)
    return found


def score_gtsrb(folder: str | Path) -> dict:  # metric -> value in 0..1
    "Accuracy and macro scores from files; raises `UserError` when an image has no prediction, or a prediction no image."
    truth, predicted = (read_gtsrb(Path(folder) / f) for f in ("truth.csv", "pred.csv"))
    odd = sorted(truth.keys() ^ predicted.keys())
    if odd:
        raise UserError(
            f"{folder}: {odd[0]} is in only one of truth.csv and pred.csv ({len(odd)} such images): each image needs one prediction"
        )
    return classification_scores(confusion_matrix(list(truth.values()), [predicted[n] for n in truth], 43))
