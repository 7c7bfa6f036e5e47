"""Folders of the project, and files that are never half written."""

import contextlib
import errno
import fcntl
import functools
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import UserError

__all__ = [
    "atomic_write",
    "locked",
    "project_root",
    "real_data_root",
    "replaced_folder",
    "resolve",
    "short_path",
    "temporary_folder",
]


def project_root() -> Path:
    """The nearest folder at or above the current one that holds this project's `settings.ini`, else
    the current folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        settings = folder / "settings.ini"
        if settings.is_file() and "lib_name = mtl_course" in settings.read_text(encoding="utf-8"):
            return folder
    return here


def resolve(path: str | Path) -> Path:  # absolute, or relative to the project's root
    "An absolute path for `path`, taken from `project_root()` when it is relative."
    path = Path(path).expanduser()
    return path if path.is_absolute() else project_root() / path


def short_path(path: str | Path) -> Path:
    """A path as seen from the project's root where it lies in it, as `resolve` takes it back; else
    an absolute one. It is the same wherever a command is started.
    """
    path = Path(os.path.abspath(path))
    return path.relative_to(project_root()) if path.is_relative_to(project_root()) else path


def real_data_root() -> Path | None:
    """The folder with slices of the real data sets (`MTL_REAL_DATA`, else `../shared/data` beside
    the project), or None.
    """
    for folder in (os.environ.get("MTL_REAL_DATA"), project_root().parent / "shared" / "data"):
        if folder and (Path(folder) / "gtsrb" / "GTSRB" / "Training").is_dir():
            return Path(folder).resolve()
    return None


# written beside, then renamed


@contextlib.contextmanager
def atomic_write(
    path: str | Path,  # the file to write
    durable: bool = True,  # False: one of many that are soon made anew, not worth waiting for the disk
) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` when the block ends well, removes
    it when it does not.

    What it holds is on the disk before it gets its name, if it is to be durable. What earlier
    processes left behind when they were killed while they wrote `path` is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path, _hidden_at_first(path.parent.absolute()))
    temporary = _beside(path, f"tmp{path.suffix}")  # keeps the ending: writers choose the format by it
    file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        _mark_as_written(file)
        yield temporary
        if durable:
            os.fsync(file)
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    finally:
        os.close(file)
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(path: str | Path) -> Iterator[Path]:  # the folder to write
    """Yields an empty folder beside `path`, which takes its place when the block ends well.

    When it does not, the new folder is removed and the old one stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path, _hidden(path.parent))
    old = _beside(path, "old")
    with _marked_folder(_beside(path, "new")) as new:
        try:
            yield new
            if path.exists():
                path.rename(old)
            new.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields an empty folder among the system's temporary files and removes it at the end.

    Those that killed processes left behind are removed before.
    """
    place = Path(tempfile.gettempdir()) / f"mtl_course-{os.getuid()}"
    _remove_leftovers(place, _hidden(place.parent))
    with _marked_folder(_beside(place, "new")) as folder:
        yield folder


@contextlib.contextmanager
def _marked_folder(folder: Path) -> Iterator[Path]:
    "Makes a folder and keeps a descriptor of it as a mark; removes the folder at the end."
    folder.mkdir(mode=0o700 if folder.parent == Path(tempfile.gettempdir()) else 0o777)
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _mark_as_written(file)
        yield folder
    finally:
        os.close(file)
        shutil.rmtree(folder, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    "A name that nobody can guess, with the process in it."
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.{ending}")


def _mark_as_written(file: int):  # its descriptor
    "A lock that ends with this process, whatever ends it; some file systems have none."
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(folder: Path):
    "Brings the names in a folder to the disk, where the system can."
    with contextlib.suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _hidden(folder: Path) -> list[str]:
    "The names of hidden files and folders, as all are that are being written."
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.startswith(".")]


@functools.cache
def _hidden_at_first(folder: Path) -> list[str]:
    "Those that were there when this process first wrote there; thousands of files may come."
    return _hidden(folder)


def _remove_leftovers(path: Path, names: list[str]):  # names: of what is hidden beside it
    """Removes what killed processes left beside `path` while they wrote it.

    A folder that had just been moved aside comes back.
    """
    pattern = rf"\.{re.escape(path.name)}\.(\d+)(-[0-9a-f]{{8}})?\.(tmp.*|new|old)"
    for name in [name for name in names if name.startswith(f".{path.name}.")]:
        leftover = path.with_name(name)
        match = re.fullmatch(pattern, name)
        if match is None or not _is_abandoned(leftover, int(match[1])):
            continue
        if match[3] == "old" and not path.exists():
            leftover.rename(path)
        elif leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _is_abandoned(path: Path, process: int) -> bool:
    """Whether nobody writes a temporary file or folder any more.

    Its process has ended; or, since numbers of processes come again, it is an hour old. A lock on
    it says that it is being written in any case.
    """
    try:
        age = time.time() - path.lstat().st_mtime
        if age < 3600 and _is_running(process):
            return False
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as e:
        return e.errno == errno.ELOOP  # a link, which nothing here makes
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:  # held; or a file system without locks, where only the process can tell
        return e.errno not in (errno.EAGAIN, errno.EACCES) and not _is_running(process)
    finally:
        os.close(file)
    return True


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


# one writer at a time

_held = set()  # files that this process holds: the system's locks are one for all its threads
_guard = threading.Lock()


@contextlib.contextmanager
def locked(
    path: str | Path,  # of what is written; the lock is a file beside it, gone at the end
    busy: str = "",  # begins the error where another writes it; empty: wait
) -> Iterator[None]:
    "Keeps others from writing `path` in the block; raises `UserError` where one does already."
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.parent.resolve() / f".{path.name}.lock"
    while (file := _take(lock)) is None:
        if busy:
            raise UserError(busy)
        time.sleep(0.05)
    try:
        yield
    finally:
        with _guard:
            with contextlib.suppress(OSError):  # a folder that can no longer be written
                lock.unlink(missing_ok=True)
            os.close(file)
            _held.discard(lock)


def _take(lock: Path) -> int | None:  # a descriptor; None: another has it
    with _guard:
        if lock in _held:
            return None
        file = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = os.stat(lock).st_ino == os.fstat(file).st_ino  # not one that was just removed
        except OSError as e:
            held = (errno.EAGAIN, errno.EACCES, errno.ENOENT, errno.ESTALE)
            current = e.errno not in held  # a file system without locks: nobody can be kept out
        if not current:
            os.close(file)
            return None
        _held.add(lock)
        return file
