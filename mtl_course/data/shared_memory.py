"""Batches come from the loader processes through shared memory; containers give little of it."""

import os
from pathlib import Path

from ..config import Config
from ..core.errors import UserError

__all__ = ["check_shared_memory"]

_PREFETCHED = 2  # batches that each process of a `DataLoader` has ready


def batch_bytes(config: Config) -> int:
    """Bytes of the images of one training batch, float32: the largest task's where a step has one
    task.
    """
    sizes = []
    for task in config.tasks:
        height, width = config.image_size_of(task)
        sizes.append(config.batch_size_of(task) * height * width * 3 * 4)
    return sum(sizes) if config.task_sampling == "all" else max(sizes)


def check_shared_memory(
    config: Config,
    place: str | Path = "/dev/shm",
):
    """Raises `UserError` where the batches of the loader's processes do not fit into shared memory:
    there training would wait for ever, or be ended by the system.
    """
    if not config.num_workers or not Path(place).is_dir():
        return
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    needed = config.num_workers * _PREFETCHED * batch_bytes(config)
    if free < needed:
        raise UserError(
            f"shared memory ({place}) has {free / 2**20:.0f} MB free: expected {needed / 2**20:.0f} MB for the batches "
            f"of {config.num_workers} processes; choose fewer --num_workers (0: none), or give the container more "
            "(--shm-size)"
        )
