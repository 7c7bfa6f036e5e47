"""`mtl_predict`: what a trained model sees on pictures and videos."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from fastcore.script import Param
from tqdm.auto import tqdm

from ..config import make_config
from ..core.device import choose_device
from ..core.errors import UserError, is_disk_full
from ..core.files import atomic_write, resolve, short_path
from ..core.inputs import parse_json, refuse_special_file
from ..data.images import read_picture
from ..evaluation.pictures import VIDEOS, find_pictures
from ..evaluation.predict import draw_described, predict_image
from ..models.checkpoint import load_model
from ..models.stored import checkpoint_path
from .program import check_tasks, command

__all__ = []


@command
def mtl_predict(
    images: Param(
        "pictures, folders of pictures, or videos; a picture of a sign shall be cut close to the sign, as those are "
        "that the laptop recipe learns from (roi_margin)",
        str,
        nargs="+",
    ),
    checkpoint: Param("the trained model; default: make train's, else the one in the box, evening", str) = None,
    out: Param("folder for the drawn pictures and the json files", str) = "results/predictions",
    tasks: Param("tasks to run, comma-separated; default: guessed from the picture's shape", str) = None,
    score_threshold: Param("smallest score of a box, 0 to 1", float) = 0.5,
    device: Param("auto: a GPU where there is one", str, choices=["auto", "cpu", "cuda"]) = "auto",
):
    """Draws boxes, lanes and the sign's name on pictures or videos, and writes them as json.

    Pictures are turned upright. What cannot be read is listed at the end; the others are done.
    """
    if not 0 <= score_threshold <= 1:
        raise UserError(f"score_threshold is {score_threshold}: expected a number from 0 to 1")
    failures = []
    files = find_pictures(images, failures)
    if not files:
        _tell_failures(failures, len(failures))
    out = resolve(out)
    checkpoint = checkpoint_path(checkpoint)
    missing = len(failures)
    tasks = make_config(tasks=tasks).tasks if tasks else None
    model = load_model(checkpoint, choose_device(device))
    check_tasks(tasks, model, checkpoint)
    for file, output in tqdm(_name_outputs(files, out).items(), desc="predicting", disable=len(files) < 5):
        predict = _predict_video if file.suffix.lower() in VIDEOS else _predict_picture
        try:
            refuse_special_file(file)
            predict(model, file, output, tasks, score_threshold)
        except (UserError, OSError, cv2.error) as e:
            if is_disk_full(e):  # no fault of this picture, and the next will not fit either
                raise
            failures.append(str(e) if str(file) in str(e) else f"{file}: {e}")
            continue
        print(_printable(f"{file.name} → {short_path(output)}"))
    _tell_failures(failures, len(files) + missing)


def _tell_failures(failures: list[str], count: int):  # count: of all that was asked for
    "Raises `UserError` when something could not be done; lists it where it is more than one."
    if count == 1 and failures:
        raise UserError(failures[0])
    for failure in failures:
        print(f"  {_printable(failure)}", file=sys.stderr)
    if failures:
        raise UserError(
            f"{len(failures)} of {count} pictures or videos could not be done, listed above; mend or omit them"
        )


def _printable(text: str) -> str:
    "Names may hold bytes that are no text, or ends of lines: they are shown as escapes."
    shown = [c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text]
    return "".join(shown)


def _predict_picture(model, file: Path, output: Path, tasks: tuple | None, score_threshold: float):
    "Writes a picture with what was found and, beside it, a json file."
    picture = read_picture(file)
    found = predict_image(model, picture, tasks, score_threshold)
    with atomic_write(output, durable=False) as temporary:
        drawn = np.ascontiguousarray(draw_described(picture, found)[..., ::-1])
        temporary.write_bytes(cv2.imencode(".png", drawn)[1])  # imwrite falls over names that are no UTF-8
    content = dict(file=file.name, height=picture.shape[0], width=picture.shape[1]) | found
    with atomic_write(output.with_suffix(".json"), durable=False) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _predict_video(model, file: Path, output: Path, tasks: tuple | None, score_threshold: float):
    "Draws on every frame of a video; writes a video and, beside it, one json object per frame."
    if not _printable(str(file)) == str(file):  # OpenCV falls over such names
        raise UserError(f"{_printable(str(file))}: expected a name of printable UTF-8: rename the video")
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_write(output) as movie,
        atomic_write(output.with_suffix(".jsonl")) as lines,
        open(lines, "w", encoding="utf-8") as text,
    ):
        writer = None
        number = 0
        for number, frame in enumerate(_frames(file)):
            found = predict_image(model, frame, tasks, score_threshold)
            writer = writer or _open_video(movie, output, _frame_rate(file), frame.shape[1::-1])
            writer.write(np.ascontiguousarray(draw_described(frame, found)[..., ::-1]))
            text.write(json.dumps(dict(frame=number) | found) + "\n")
        writer.release()
        _check_video(movie, output, number + 1)


def _open_video(path: Path, output: Path, rate: float, size: tuple) -> cv2.VideoWriter:  # size: width, height
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise UserError(f"{output}: this OpenCV cannot write mp4 videos of {size[0]} x {size[1]} pixels")
    return writer


def _check_video(path: Path, output: Path, frames: int):
    "Raises `UserError` for a video that was not written to its end: OpenCV does not say so."
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    playable = video.read()[0]
    video.release()
    if not playable or count < frames:
        raise UserError(
            f"{output}: {count if playable else 0} of {frames} frames could be written: expected all; "
            "free some space on the disk"
        )


def _frame_rate(file: Path) -> float:  # frames per second
    "What the video's header says; 25 where that cannot be."
    video = cv2.VideoCapture(str(file))
    rate = video.get(cv2.CAP_PROP_FPS)
    video.release()
    return rate if 0 < rate <= 1000 else 25


def _frames(file: Path) -> Iterator[np.ndarray]:
    "Yields the frames of a video, RGB uint8 (H, W, 3); raises `UserError` when there is none."
    video = cv2.VideoCapture(str(file))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    count = 0
    with contextlib.closing(tqdm(total=total if total > 0 else None, desc=file.name, unit=" frames")) as bar:
        while True:
            good, frame = video.read()
            if not good:
                break
            count += 1
            bar.update()
            yield np.ascontiguousarray(frame[..., ::-1])
    video.release()
    if not count:
        raise UserError(f"{file}: not a readable video")


def _is_foreign(stem: Path) -> bool:  # stem: a path without ending
    "Whether files lie there that no earlier prediction wrote: it is known by its json."
    for ending, outputs, key in ((".json", (".png",), "height"), (".jsonl", (".mp4",), "frame")):
        present = [stem.with_name(stem.name + each) for each in (ending, *outputs)]
        present = [path for path in present if path.exists()]
        if present and not _is_json_with(stem.with_name(stem.name + ending), key):
            return True
    return False


def _is_json_with(path: Path, key: str) -> bool:
    "Whether a file begins with a json object that has a key."
    try:
        text = path.read_text(encoding="utf-8")
        value = parse_json(text if path.suffix == ".json" else text.split("\n")[0])
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and key in value


def _name_outputs(files: list[Path], out: Path) -> dict[Path, Path]:  # input -> drawn picture or video
    """A name in `out` for each input: the input's, or with _2, _3 …

    The latter where another input has that name or lies there itself, or where a file of other
    origin does.
    """
    folder = out.resolve()
    here = [file.resolve() for file in files if file.resolve().parent == folder]
    taken = {str(file.with_suffix("")).lower() for file in here}
    outputs = {}
    for file in files:
        stem = folder / file.stem
        number = 1
        while str(stem).lower() in taken or _is_foreign(stem):
            number += 1
            stem = folder / f"{file.stem}_{number}"
        taken.add(str(stem).lower())
        ending = ".mp4" if file.suffix.lower() in VIDEOS else ".png"
        outputs[file] = out / f"{stem.name}{ending}"
    return outputs
