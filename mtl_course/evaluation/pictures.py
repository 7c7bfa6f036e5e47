"""The user's own pictures and videos: which files a list of names stands for."""

from collections.abc import Iterable
from pathlib import Path

from ..core.errors import UserError

__all__ = []

PICTURES = {".png", ".jpg", ".jpeg", ".ppm"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv"}


def find_pictures(
    names: Iterable[str | Path],  # files and folders
) -> list[Path]:
    """The pictures and videos that the names stand for, each once.

    Raises `UserError` for one that does not exist or cannot be read.
    """
    suffixes = PICTURES | VIDEOS
    expected = ", ".join(sorted(suffixes))
    files = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes)
            if not inside:
                raise UserError(f"{name}: no pictures or videos in this folder (looked for {expected})")
            files += inside
        elif not path.is_file():
            raise UserError(f"{name}: no such file or folder")
        elif path.suffix.lower() not in suffixes:
            raise UserError(f"{name}: expected a picture or video ({expected})")
        else:
            files.append(path)
    return list({path.resolve(): path for path in files}.values())
