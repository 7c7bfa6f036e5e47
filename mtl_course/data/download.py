"""The real data sets: where they come from, under which terms, and how they are fetched."""

from pathlib import Path

from ..core.errors import UserError
from ..core.files import resolve
from ..core.task import TASKS

__all__ = ["download", "how_to_get", "refuse_world"]


def how_to_get(task: str) -> str:
    """Where the real data set of a task comes from, under which terms, and how to lay it out."""
    return TASKS[task].how_to_get or f"{task}: nothing is said about where its data comes from (`how_to_get`)"


def refuse_world(data_root: str | Path):
    """Raises `UserError` for the built-in world: its drawings would pass for the real set."""
    if (resolve(data_root) / "manifest.json").is_file():
        raise UserError(f"{data_root} is the built-in world: choose another folder for the real data")


def download(
    task: str,
    data_root: str | Path,  # gets the task's folder; not the built-in world
):
    """Downloads a real data set and lays it out.

    Raises `UserError` when that fails, no downloader exists, or the folder is the built-in world.
    """
    root = resolve(data_root)
    refuse_world(data_root)
    try:
        TASKS[task].download(root)
    except (OSError, RuntimeError) as e:  # no network, no such page, disk full, checksum
        raise UserError(
            f"the download of the {task} data to {root} failed ({e}): check the network and the disk and try again, "
            f"or do it by hand as `mtl_data get --tasks {task}` says"
        ) from e
