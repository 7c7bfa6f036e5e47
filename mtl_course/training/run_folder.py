"""The folder of a run: one training at a time, and an earlier run is kept until a new one has
something better.
"""

import contextlib
import csv
import itertools
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from lightning_fabric import Fabric

from ..config import Config
from ..core.errors import UserError
from ..core.files import atomic_write, locked, resolve, short_path
from ..core.inputs import parse_json
from .distributed import run_on_rank_zero
from .state import TrainState

__all__ = ["config_to_resume"]

_CHECKPOINTS = ("checkpoints/last.pt", "checkpoints/model_best.pt")
_FILES = (*_CHECKPOINTS, "config.json", "logs/training.csv", "logs/training.log", "logs/gradients.csv")
_TABLES = ("evaluation_results.csv", "per_class_*.csv", "confusion_matrix.csv")
# Beside an earlier run a new one writes into the folder `.next` until it has a checkpoint. The
# folder's second name says that the earlier files are gone, so that moving goes on after a kill.
_NEXT = ".next"
_MOVING = ".moving"


class RunFolder:
    "Where a run reads and writes; `checkpoint` is what it goes on from, or None."

    def __init__(self, folder: Path, place: Path, checkpoint: Path | None):
        self.folder = folder
        self.place = place  # the folder, or the one inside it where a new run waits
        self.checkpoint = checkpoint
        self.logs = []  # whose `results_dir` follows when a waiting run moves

    def save(self, state: TrainState, name: str):  # name: last.pt or model_best.pt
        "Saves a checkpoint; with its first `last.pt` a run takes the place of an earlier one."
        state.save(self.place / "checkpoints" / name)
        if name == "last.pt" and self.place != self.folder:
            _replace_earlier(self.folder)
            self.place = self.folder
            for log in self.logs:
                log.results_dir = self.folder

    def begin(self, config: Config):
        "Writes the config; from here on the folder, or the one inside it, is the run's."
        if self.place == self.folder:
            shutil.rmtree(self.folder / _NEXT, ignore_errors=True)
        config.save(self.place / "config.json")


@contextlib.contextmanager
def open_run(
    fabric: Fabric,
    config: Config,
    resume: bool,  # go on from the checkpoint in the folder
    overwrite: bool,  # begin although there is one
) -> Iterator[RunFolder]:
    """The folder of a run, locked while it is open.

    Raises `UserError` where another training writes into it, and where an earlier run lies in it
    that is to be neither resumed nor overwritten.
    """
    folder = resolve(config.results_dir)
    shown = short_path(folder)
    with contextlib.ExitStack() as stack:

        def take():
            busy = f"{shown} is written by another training: expected one at a time; wait for it, or choose another"
            stack.enter_context(locked(folder / "training", f"{busy} --results_dir"))
            _finish_replacing(folder)
            for leftover in (folder / "checkpoints").glob(".*.tmp.pt"):
                leftover.unlink(missing_ok=True)
            if not (resume or overwrite):
                _refuse_earlier_run(folder)

        if resume and overwrite:
            raise UserError("resume and overwrite are both given: expected one of them; choose what shall happen")
        run_on_rank_zero(fabric, take)
        earlier = has_run(folder)
        checkpoint = checkpoint_to_resume(folder, warn=fabric.global_rank == 0) if resume else None
        waits = earlier and checkpoint is None
        run = RunFolder(folder, *fabric.broadcast((folder / _NEXT if waits else folder, checkpoint)))
        try:
            yield run
        finally:
            abandoned = run.place != folder and not (run.place / _CHECKPOINTS[0]).exists()
            if abandoned and fabric.global_rank == 0:  # with a checkpoint the next start takes it
                shutil.rmtree(run.place, ignore_errors=True)


@contextlib.contextmanager
def pending_run(
    fabric: Fabric,
    run: RunFolder,
    config: Config,
) -> Iterator[None]:
    """While a new run is prepared its config lies in the folder `.next`, so that it can be resumed
    after a kill.

    A mistake in the block takes it back.
    """
    writes = run.checkpoint is None and fabric.global_rank == 0
    waiting = run.folder / _NEXT
    if writes:
        config.save(waiting / "config.json")
    try:
        yield
    except (UserError, OSError):
        if writes:
            shutil.rmtree(waiting, ignore_errors=True)
        raise


def has_run(folder: Path) -> bool:  # folder: results_dir
    "Whether a run lies there that is worth something: a checkpoint, or the log of an epoch."
    return any((folder / name).exists() for name in _CHECKPOINTS) or _logged_epochs(folder) > 0


def checkpoint_to_resume(
    folder: Path,  # the run's
    warn: bool = True,  # when it is not `last.pt`
) -> Path | None:  # None: there is none, so that the run begins anew
    "The checkpoint from which a run goes on: `last.pt`, or `model_best.pt` if only that is left."
    checkpoints = [folder / name for name in _CHECKPOINTS if (folder / name).exists()]
    if warn and not checkpoints:
        warnings.warn(f"{folder.name}: this run has no checkpoint to go on from, so it begins at step 0", stacklevel=5)
    elif warn and checkpoints[0].name != "last.pt":
        warnings.warn(f"{folder.name}: last.pt is missing, so the run goes on from model_best.pt", stacklevel=5)
    return checkpoints[0] if checkpoints else None


def config_to_resume(folder: Path) -> Path:  # which need not exist
    """The config of the run that `checkpoint_to_resume` will be about, when a replacing that a kill
    stopped has been finished; without a checkpoint, of the last run begun.
    """
    places = [folder / _MOVING]
    if (folder / _NEXT / _CHECKPOINTS[0]).exists() or not has_run(folder):
        places.append(folder / _NEXT)
    configs = [place / "config.json" for place in places]
    return next((config for config in configs if config.exists()), folder / "config.json")


def _refuse_earlier_run(folder: Path):
    "Raises `UserError` where a run lies in the folder."
    if not has_run(folder):
        return
    raise UserError(
        f"{short_path(folder)} holds {_describe_run(folder)}: expected a folder without one; --resume goes on with it, "
        "another --results_dir leaves it alone, --overwrite replaces it"
    )


def _describe_run(folder: Path) -> str:
    "A run in some words, as far as its config and its log can be read."
    epochs = _logged_epochs(folder)
    try:
        total = int(parse_json((folder / "config.json").read_text(encoding="utf-8"))["epochs"])
    except (OSError, ValueError, KeyError, TypeError):
        return "a run"
    return (
        f"a finished run ({total} epochs)" if epochs >= total else f"an unfinished run (epoch {epochs + 1} of {total})"
    )


def _logged_epochs(folder: Path) -> int:  # finished ones
    try:
        with open(folder / "logs" / "training.csv", newline="", encoding="utf-8") as f:
            epochs = [row["epoch"] for row in csv.DictReader(f) if row.get("kind") == "epoch_mean"]
    except (OSError, ValueError, KeyError, csv.Error):
        return 0
    return max((int(epoch) for epoch in epochs if str(epoch).isdigit()), default=0)


def _replace_earlier(folder: Path):
    "Puts a waiting run in the place of the earlier one, whose scores go with its weights."
    _forget_scores(folder)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    os.rename(folder / _NEXT, folder / _MOVING)
    _finish_replacing(folder)


def _forget_scores(folder: Path):
    "Leaves the checkpoints of this folder out of the tables of evaluations that lie in it."
    checkpoints = {str(short_path(folder / name)) for name in _CHECKPOINTS}
    for path in itertools.chain.from_iterable(map(folder.glob, _TABLES)):
        with locked(path):
            header, *rows = _rows_of(path) or [[]]
            if "checkpoint" not in header:
                continue
            place = header.index("checkpoint")
            kept = [row for row in rows if row[place : place + 1] and row[place] not in checkpoints]
            if not kept:
                path.unlink()
            elif len(kept) < len(rows):
                with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
                    csv.writer(f, lineterminator="\n").writerows([header, *kept])


def _rows_of(path: Path) -> list[list[str]]:
    "The rows of a csv file, as text; none where it is something else."
    try:
        with open(path, newline="", encoding="utf-8") as f:
            return list(csv.reader(f))
    except (csv.Error, UnicodeDecodeError):
        return []


def _finish_replacing(folder: Path):
    "Goes on where a kill stopped `_replace_earlier`; a run that waits without a checkpoint goes."
    if (folder / _NEXT / _CHECKPOINTS[0]).exists():
        return _replace_earlier(folder)
    moving = folder / _MOVING
    for name in _FILES:
        if (moving / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(moving / name, folder / name)
    shutil.rmtree(moving, ignore_errors=True)
    shutil.rmtree(folder / _NEXT, ignore_errors=True)
