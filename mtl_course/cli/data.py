"""`mtl_data`: makes the built-in driving world, checks data, or says how to get the real sets."""

import math

from fastcore.script import Param

from ..config import make_config
from ..core.errors import UserError
from ..core.files import resolve
from ..core.task import TASKS, default_tasks
from ..data.checking import Report, check_data
from ..data.download import download, how_to_get, refuse_world
from ..world.build import make_world
from ..world.options import WORLD_SIZES
from .program import command

__all__ = []


@command
def mtl_data(
    action: Param(
        "make: the built-in world; check: a folder of data, file by file; get: how to obtain the real sets; "
        "download: those that can be",
        str,
        choices=["make", "check", "get", "download"],
    ),
    data_root: Param(
        "folder with gtsrb/, kitti/ and tusimple/; make and check: datasets/world unless another is given; "
        "download: a new folder, which must be given",
        str,
        opt=False,
        nargs="?",
    ) = None,
    size: Param("size of the world to make", str, choices=list(WORLD_SIZES)) = "laptop",
    tasks: Param("tasks to check or download, comma-separated", str) = ",".join(default_tasks()),
    seed: Param("make: seed of the world; default: that of the size", int) = None,
    signs: Param(
        "make: sign crops for training (without this option, as many as the size has; so with those below)", int
    ) = None,
    sign_test: Param("make: sign crops of the test set", int) = None,
    frames_per_track: Param("make: pictures of one and the same sign while coming nearer, 1 to 30", int) = None,
    sign_skew: Param(
        "make: imbalance of the sign classes, 0: equally many of each, 1: as in GTSRB, at most 2", float
    ) = None,
    scenes: Param("make: road scenes with boxes", int) = None,
    class_weights: Param(
        "make: how often each kind of object comes, such as Car=3,Tram=0.5; those left out do not come", str
    ) = None,
    lanes: Param("make: lane images for training", int) = None,
    lane_test: Param("make: lane images of the test set", int) = None,
    joint: Param("make: scenes labelled for all three tasks", int) = None,
    workers: Param("make: drawing processes; default: one per core", int) = None,
    empty_labels: Param("check: a label of 0 bytes; ok: nothing is there", str, choices=["refuse", "ok"]) = "refuse",
):
    "Makes the built-in driving world, checks data, or says how to get the real data sets."
    class_weights = _parse_class_weights(class_weights)
    options = dict(signs=signs, sign_test=sign_test, frames_per_track=frames_per_track, sign_skew=sign_skew)
    options |= dict(scenes=scenes, class_weights=class_weights, lanes=lanes, lane_test=lane_test)
    options |= dict(joint=joint, workers=workers, seed=seed)
    options = {name: value for name, value in options.items() if value is not None}
    if options and action != "make":
        raise UserError(f"{next(iter(options))} is an option of `mtl_data make`, not of `mtl_data {action}`")
    if action == "download" and not data_root:
        raise UserError("name the folder for the real data: mtl_data download FOLDER")
    data_root = data_root or "datasets/world"
    tasks = make_config(tasks=tasks).tasks
    if action == "make":
        _make(data_root, size, options)
    elif action == "check":
        _check(data_root, tasks, empty_labels)
    elif action == "get":
        for task in tasks:
            print(how_to_get(task))
    else:
        _download_all(tasks, data_root)


def _make(data_root: str, size: str, options: dict):
    manifest = make_world(resolve(data_root), size=size, **options)
    counts = ", ".join(f"{count} {name}" for name, count in manifest["counts"].items())
    print(f"{data_root}: {counts}; seed {manifest['seed']}, hash {manifest['hash'][:16]}")


def _check(data_root: str, tasks: tuple, empty_labels: str):
    root = resolve(data_root)
    if not root.is_dir():
        folders = [f"{TASKS[task].folder}/" for task in default_tasks()]
        names = f"{', '.join(folders[:-1])} and {folders[-1]}"
        raise UserError(f"{data_root}: no such folder, expected one that holds {names}")
    report = check_data(root, tasks, empty_labels=empty_labels)
    print(report)
    refuse_problems(report, data_root)


def refuse_problems(
    report: Report,  # shown before
    data_root: str,
    note: str = "",  # ends the sentence
):
    "Raises `UserError` when a report has problems."
    count = len(report.problems)
    if count == 1:
        raise UserError(f"{data_root}: 1 problem, listed above; mend it before training{note}")
    if count:
        raise UserError(f"{data_root}: {count} problems, listed above; mend them before training{note}")


def _download_all(tasks: tuple, data_root: str):
    "Downloads what can be; one that fails does not keep the others from being tried."
    refuse_world(data_root)
    failures = []
    for task in tasks:
        try:
            print(_download(task, data_root))
        except (UserError, OSError) as e:
            failures.append(f"{task}: {e}" if len(tasks) > 1 else str(e))
    if failures:
        raise UserError("; ".join(failures))


def _download(task: str, data_root: str) -> str:
    "Downloads a real data set and says so; for one that has no downloader, how to get it."
    if not TASKS[task].downloadable:
        return f"{task}: has no downloader, get it by hand\n{how_to_get(task)}"
    download(task, data_root)
    return f"{task}: in {data_root}"


def _parse_class_weights(text: str | None) -> dict | None:
    "Class -> weight from text such as Car=3,Tram=0.5; None stays None."
    if text is None:
        return None
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        weights = {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        weights = {}
    if not weights or not all(map(math.isfinite, weights.values())):
        raise UserError(f"class_weights is {text!r}: expected class=number, comma-separated, such as Car=3,Tram=0.5")
    return weights
