"""A batch of noise in a config's sizes: for measurements that need no data."""

import torch

from ..config import Config
from ..core.task import TASKS

__all__ = []


def with_batch_size(config: Config, batch_size: int) -> Config:
    """The config with another `batch_size`.

    A task that has a batch size of its own keeps its ratio to it (at least one image).
    """
    changes = dict(batch_size=batch_size)
    for task in TASKS:
        size = getattr(config, f"{task}_batch_size")
        if size:
            changes[f"{task}_batch_size"] = max(1, round(size * batch_size / config.batch_size))
    return config.replace(**changes)


def images_per_task(config: Config) -> dict[str, int]:  # task -> images in a step
    "How many images of each task a step holds."
    return {task: config.batch_size_of(task) for task in config.tasks}


def random_batch(config: Config) -> dict:  # as `collate` makes it
    "A batch of noise with made-up labels, in the config's tasks, image and batch sizes."
    batch = dict(images={}, files={})
    for task, count in images_per_task(config).items():
        batch["images"][task] = torch.randn(count, 3, *config.image_size_of(task))
        batch["files"][task] = [""] * count
    for task, count in images_per_task(config).items():
        batch[task] = TASKS[task].random_labels(count, config.image_size_of(task))
    return batch
