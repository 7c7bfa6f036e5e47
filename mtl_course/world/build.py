"""Three data sets in their published layouts, written in a minute: whatever reads them reads the
real ones."""

import concurrent.futures
import concurrent.futures.process
import contextlib
import errno
import json
import math
import multiprocessing
import os
import shutil
import sys
import threading
import warnings
from dataclasses import asdict, fields
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from ..core.errors import UserError
from ..core.inputs import parse_json
from .folders import foreign_file, making_folder, move_into_place, rescue
from .layouts import Shelf, draw_picture, write_tables
from .options import WorldOptions, sign_counts, world_options

__all__ = ["ensure_world", "make_world"]

WORLD_VERSION = "1.9a0b9f25"  # raised with every change that moves a pixel or a label (a test pins the tiny world)


def make_world(
    root: str | Path,  # folder of the world
    size: str = "laptop",  # a key of WORLD_SIZES
    workers: int | None = None,  # processes; None: one per core
    progress: bool = True,  # show a bar with the time left
    **options,  # fields of WorldOptions
) -> dict:  # the manifest
    """Make the world with these options, or leave it alone when it is already there.

    Raises `UserError` for bad options or a folder that is not the world's."""
    options = world_options(size, **options)
    root = Path(root).expanduser().absolute()
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise UserError(f"workers must be a whole number of at least 1, got {workers!r}.")
    identity = dict(version=WORLD_VERSION, options=json.loads(json.dumps(asdict(options))))
    try:
        rescue(root)
        if manifest := _check_folder(root, identity):
            return manifest
        return _make(root, options, identity, workers or _cores(), progress)
    except concurrent.futures.process.BrokenProcessPool as e:
        raise UserError(
            "a drawing process was ended from outside, perhaps for lack of memory: start again with fewer workers."
        ) from e
    except OSError as e:
        if e.errno == errno.ENOSPC:
            needed = f"{root} needs about {_megabytes(options)} MB"
            raise UserError(f"the disk is full: {needed}; free some space or choose a smaller world.") from e
        raise UserError(f"cannot write the world to {root}: {e.strerror or e}.") from e


def ensure_world(
    root: str | Path,  # folder of the world
    size: str = "laptop",  # a key of WORLD_SIZES: what is made where there is no world yet
    workers: int | None = None,  # processes; None: one per core
    progress: bool = True,  # show a bar with the time left
) -> dict:  # the manifest
    """The world at root as this version draws it.

    Made where there is none, made again with the options it has where it is out of date. Raises
    `UserError` like `make_world`."""
    root = Path(root).expanduser().absolute()
    with contextlib.suppress(OSError):
        rescue(root)
    manifest = read_manifest(root)
    if manifest is None:
        return make_world(root, size, workers, progress)
    if manifest.get("version") == WORLD_VERSION:
        return manifest
    return make_world(root, workers=workers, progress=progress, **_recorded_options(root, manifest))


def read_manifest(root: str | Path) -> dict | None:
    """The manifest of a world, or None where there is none; raises `UserError` if it does not
    parse."""
    path = Path(root) / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise UserError(f"{path}: not valid JSON ({e}): delete the folder and make the world again with mtl_data make.")
    except OSError as e:
        advice = "mend its permissions, or choose another folder"
        raise UserError(f"{path}: cannot be read ({e.strerror}): {advice}.") from e
    if not isinstance(manifest, dict) or "hash" not in manifest:
        raise UserError(f"{path}: not a manifest of the built-in world: choose another folder.")
    return manifest


def _recorded_options(root: Path, manifest: dict) -> dict:
    """The options with which a world was made; raises `UserError` where they can no longer be
    used."""
    path = root / "manifest.json"
    advice = (
        "it is out of date and cannot be made again as it was; say what it shall be: "
        f"mtl_data make {root} with the options you want."
    )
    options = manifest.get("options")
    if not isinstance(options, dict):
        raise UserError(f"{path}: the options of this world are missing; {advice}")
    known = {f.name for f in fields(WorldOptions)}
    if gone := sorted(set(options) - known):
        raise UserError(f"{path}: this world was made with the option {gone[0]!r}, which no longer exists; {advice}")
    try:
        world_options(**options)
    except (UserError, TypeError, ValueError) as e:
        raise UserError(f"{path}: {str(e).rstrip('.')}; {advice}") from e
    return options


# Drawing with several processes


def _jobs(options: WorldOptions) -> list[tuple]:
    """Every piece of work as (stream, index, class), all kinds evenly mixed, so that the time
    left is honest."""
    tracks = max(1, round(options.signs / options.frames_per_track)) if options.signs else 0
    classes = dict(
        track=np.repeat(np.arange(43), sign_counts(tracks, options.sign_skew)).tolist(),
        sign_test=[i % 43 for i in range(options.sign_test)],
        kitti=[0] * options.scenes,
        lane=[0] * options.lanes,
        lane_test=[0] * options.lane_test,
        joint=[0] * options.joint,
    )
    jobs = []
    for stream, of_stream in classes.items():
        for i, class_id in enumerate(of_stream):
            jobs.append(((i + 0.5) / len(of_stream), (stream, i, class_id)))
    return [job for _, job in sorted(jobs, key=lambda timed: timed[0])]


def _draw(root: str, options: WorldOptions, jobs: list[tuple]) -> Shelf:
    """Draw some jobs."""
    shelf = Shelf(Path(root))
    for stream, index, class_id in jobs:
        draw_picture(shelf, options, stream, index, class_id)
    return shelf


def _draw_all(root: Path, options: WorldOptions, jobs: list[tuple], workers: int, progress: bool):
    """Draw all jobs; yields the shelves of eight jobs each as they come."""
    chunks = [jobs[i : i + 8] for i in range(0, len(jobs), 8)]
    with tqdm(total=len(jobs), desc="drawing the world", unit=" pictures", disable=not progress) as bar:
        if workers <= 1:
            for chunk in chunks:
                yield _draw(str(root), options, chunk)
                bar.update(len(chunk))
            return
        with _pool(workers) as pool:
            futures = {pool.submit(_draw, str(root), options, chunk): len(chunk) for chunk in chunks}
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
                bar.update(futures[future])


@contextlib.contextmanager
def _pool(workers: int):
    """A pool of drawing processes whose waiting jobs are dropped at the end.

    OpenCV's threads end before: a fork would wait for ever for those it did not inherit."""
    fork = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    context = multiprocessing.get_context("fork" if fork else "spawn")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads: the workers use none of them
        pool = concurrent.futures.ProcessPoolExecutor(workers, context, _watch_parent)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
            cv2.setNumThreads(threads)


def _watch_parent():
    """Worker start: one OpenCV thread each, and an end when the parent process ends."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()

    def follow():
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# The folder


def _make(root: Path, options: WorldOptions, identity: dict, workers: int, progress: bool) -> dict:
    """Draw into a folder beside root and rename it at the end."""
    with making_folder(root) as making:
        if shutil.disk_usage(root.parent).free < _megabytes(options) * 1e6:
            raise OSError(errno.ENOSPC, "No space left on device")
        facts = _draw_into(making, options, workers, progress)
        versions = dict(numpy=np.__version__, opencv=cv2.__version__)
        manifest = dict(**identity, seed=options.seed, **facts, made_with=versions)
        (making / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        move_into_place(making, root)
    return manifest


def _draw_into(making: Path, options: WorldOptions, workers: int, progress: bool) -> dict:
    """Draw everything into a new folder; returns counts, files, bytes and the hash."""
    making.mkdir()
    jobs = _jobs(options)
    labels = []
    files = []
    for shelf in _draw_all(making, options, jobs, workers, progress):
        labels += shelf.labels
        files += shelf.files
    tracks = sum(stream == "track" for stream, _, _ in jobs)
    counts = dict(
        signs=tracks * options.frames_per_track,
        sign_test=options.sign_test,
        kitti=options.scenes,
        lane=options.lanes,
        lane_test=options.lane_test,
        joint=options.joint,
    )
    return dict(counts=counts, **write_tables(making, labels, files))


def _check_folder(root: Path, identity: dict) -> dict | None:
    """The manifest if root already is this world, None if it may be made; `UserError` where
    files of others lie."""
    if root.exists() and not root.is_dir():
        raise UserError(f"{root} is a file: give a folder for the world.")
    manifest = read_manifest(root)
    if manifest and all(manifest.get(k) == v for k, v in identity.items()):
        return manifest
    if not root.is_dir() or not any(root.iterdir()):
        return None
    foreign = foreign_file(root)
    if manifest is None and foreign:
        state = f"{root} is not empty and has no manifest.json"
        raise UserError(f"{state}: it is not the built-in world, so nothing is written there; choose another folder.")
    if foreign:
        state = f"{root} holds {foreign}, which the world did not write"
        raise UserError(f"{state}: move it away, or choose another folder.")
    return None


def _megabytes(options: WorldOptions) -> int:
    """Rough size of a world on disk."""
    signs = 0.007 * (options.signs + options.sign_test)
    scenes = 2.1e-6 * (options.scenes + options.joint) * math.prod(options.scene_size)
    lanes = 5e-7 * (options.lanes + options.lane_test + options.joint) * math.prod(options.lane_size)
    return 1 + int(signs + scenes + lanes)
