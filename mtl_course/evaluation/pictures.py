"""The user's own pictures and videos: which files a list of names stands for."""

from collections.abc import Iterable
from pathlib import Path

from ..core.errors import UserError

__all__ = ["VIDEOS", "find_pictures"]

PICTURES = {".png", ".jpg", ".jpeg", ".ppm"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv"}


def find_pictures(
    names: Iterable[str | Path],  # files and folders
    failures: list | None = None,  # gets a sentence for each name that stands for nothing
) -> list[Path]:
    """The pictures and videos that the names stand for, each once.

    Raises `UserError` for one that does not exist or cannot be read, unless there are `failures`.
    """
    files = []
    for name in names:
        try:
            files += _files_of(name)
        except (UserError, OSError) as e:
            if failures is None:
                raise
            failures.append(str(e))
    return list({path.resolve(): path for path in reversed(files)}.values())[::-1]  # of equal ones the first


def _files_of(name: str | Path) -> list[Path]:
    "The pictures and videos behind one name."
    suffixes = PICTURES | VIDEOS
    expected = ", ".join(sorted(suffixes))
    path = Path(name)
    if path.is_dir():
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
        if not inside:
            raise UserError(f"{name}: no pictures or videos in this folder (looked for {expected})")
        return inside
    if path.is_symlink() and not path.exists():
        raise UserError(f"{name}: a link to nothing: remove it, or bring back what it names")
    if not path.exists():
        raise UserError(f"{name}: no such file or folder")
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{name}: expected a picture or video ({expected})")
    return [path]
