"""A folder that never looks like a world while it is half written: write beside it, rename at
the end."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path

__all__ = []

_EXTRAS = ("bdd100k",)  # folders that are written into a world on demand, with a list of files in each


@contextlib.contextmanager
def making_folder(
    root: Path,  # the folder to be
):
    """Yields the path of a folder beside root to write into; what is left of it is removed at the
    end.

    What interrupted runs left there is removed, too: the number of its process is in the name of
    the folder."""
    root.parent.mkdir(parents=True, exist_ok=True)
    for old in root.parent.glob(f"{root.name}.making-*"):
        if not _is_written(old):
            _remove(old)
    making = root.with_name(f"{root.name}.making-{os.getpid()}-{uuid.uuid4().hex[:6]}")
    try:
        yield making
    finally:
        _remove(making)


def move_into_place(making: Path, root: Path):
    """Move a finished folder to root; an older one there, all of whose files the world wrote, is
    removed.

    What was written into the older one on demand moves over."""
    if not (root.is_dir() and any(root.iterdir())):
        if root.is_dir():
            root.rmdir()
        return os.rename(making, root)
    old = root.with_name(f"{root.name}.making-{os.getpid()}-old")
    os.rename(root, old)
    try:
        os.rename(making, root)
    except BaseException:
        os.rename(old, root)
        raise
    for name in _EXTRAS:
        if (old / name).is_dir():
            os.rename(old / name, root / name)
    _remove(old)


def rescue(root: Path):
    """Put back the folder that a replacement had just moved aside when it was interrupted."""
    if root.exists():
        return
    for old in sorted(root.parent.glob(f"{root.name}.making-*-old")):
        if (old / "manifest.json").is_file() and not _is_written(old):
            return os.rename(old, root)


def foreign_file(root: Path) -> str | None:
    """A file under root that the world did not write, or None.

    Each `files.csv` lists what was written."""
    written = set()
    for folder in ("", *(f"{name}/" for name in _EXTRAS)):
        with contextlib.suppress(OSError):
            listing = (root / folder / "files.csv").read_text(encoding="utf-8")
            written |= {folder + line.split(";")[0] for line in listing.splitlines()}
            written |= {f"{folder}manifest.json", f"{folder}files.csv"}
    for folder, _, names in os.walk(root):
        if ".making-" in folder.removeprefix(str(root)):
            continue  # left by an interrupted run
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if path not in written:
                return path
    return None


def _is_written(folder: Path) -> bool:
    """Whether the process that writes a temporary folder still runs."""
    pid = folder.name.rpartition("making-")[2].split("-")[0]
    if pid.isdigit() and os.name == "posix":
        with contextlib.suppress(OSError):
            os.kill(int(pid), 0)
            return True
    return False


def _remove(folder: Path):
    """Delete a folder, its manifest first: what is left of it must not look like a world."""
    with contextlib.suppress(OSError):
        (folder / "manifest.json").unlink()
    shutil.rmtree(folder, ignore_errors=True)
