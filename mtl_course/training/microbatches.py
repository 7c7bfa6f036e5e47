"""Which tasks of a batch take part in a step, and in how many parts."""

from torch import Tensor

from ..core.errors import UserError

__all__ = []


def split_into_microbatches(
    batch: dict,  # as `collate` makes it
    task: str,
    parts: int,
) -> list[tuple[Tensor, object]]:  # [(images (b, 3, H, W), their labels), …]
    """A task's images and labels cut into `parts` of nearly equal size; the step weighs them by it.

    Raises `UserError` when there are fewer images than parts.
    """
    images = batch["images"][task]
    labels = batch[task]
    if len(images) < parts:
        raise UserError(f"accumulate is {parts}: expected at most the {len(images)} {task} images of a step; lower it")
    ends = [len(images) * k // parts for k in range(parts + 1)]
    return [(images[a:b], labels[a:b]) for a, b in zip(ends, ends[1:])]


def drop_zero_weight_tasks(
    batch: dict,  # as `collate` makes it
    weights: dict[str, float],  # task -> weight
) -> dict:  # a batch
    "The batch with the images of those tasks that have a weight, unless none has one."
    images = {task: x for task, x in batch["images"].items() if weights[task]}
    return batch | dict(images=images or batch["images"])
