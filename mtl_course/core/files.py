"""Folders of the project, and files that are never half written."""

import contextlib
import os
import shutil
from pathlib import Path

__all__ = ["project_root", "resolve", "atomic_write"]


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


def real_data_root() -> Path | None:
    """The folder with slices of the real data sets (`MTL_REAL_DATA`, else `../shared/data` beside
    the project), or None.
    """
    for folder in (os.environ.get("MTL_REAL_DATA"), project_root().parent / "shared" / "data"):
        if folder and (Path(folder) / "gtsrb" / "GTSRB" / "Training").is_dir():
            return Path(folder).resolve()
    return None


@contextlib.contextmanager
def atomic_write(path: str | Path):  # the file to write
    """Yields a temporary path beside `path`; renames it to `path` when the block ends well, removes
    it when it does not.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f".{path.name}.{os.getpid()}.tmp{path.suffix}"
    )  # keeps the ending: writers choose the format by it
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replaced_folder(path: str | Path):  # the folder to write
    """Yields an empty folder beside `path`, which takes its place when the block ends well.

    When it does not, the new folder is removed and the old one stays.
    """
    path = Path(path)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
