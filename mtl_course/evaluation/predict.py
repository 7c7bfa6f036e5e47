"""What a model sees on one picture, in plain numbers, and the picture with it drawn."""

import numpy as np
import torch

from ..core.errors import UserError
from ..core.inputs import check_picture
from ..core.task import TASKS
from ..data.images import to_image
from ..data.loaders import normalise

__all__ = ["draw_described", "guess_tasks", "predict_image"]


def guess_tasks(
    height: int,  # pixels of the picture
    width: int,
    tasks: tuple,  # of the model
) -> tuple:  # those that make sense for such a picture
    "Sign crops are at most 320 pixels wide and nearly square; everything else is a road scene."
    fitting = tuple(task for task in tasks if TASKS[task].fits_picture(height, width))
    return fitting or tuple(tasks)


@torch.inference_mode()
def predict_image(
    model,  # from load_model
    image: np.ndarray,  # RGB uint8 (H, W, 3)
    tasks: tuple | None = None,  # default: guessed from the shape
    score_threshold: float = 0.5,  # smallest score of a box
) -> dict:  # "detections", "lanes" + "lane_names" + "h_samples", "sign": whatever the tasks give
    """What the model sees on one picture, in plain numbers, coordinates in the picture's pixels.

    Raises `UserError` for anything but an upright RGB picture of uint8 (`read_picture` reads one),
    a task that the model does not have, and a score outside 0..1.
    """
    check_picture(image)
    if not isinstance(score_threshold, (int, float)) or not 0 <= score_threshold <= 1:
        raise UserError(f"score_threshold is {score_threshold!r}: expected a number from 0 to 1")
    if isinstance(tasks, str) or not set(tasks or ()) <= set(model.tasks):
        raise UserError(f"tasks is {tasks!r}: expected a tuple of some of {', '.join(model.tasks)}")
    picture_size = image.shape[:2]
    device = next(model.parameters()).device
    described = {}
    for task in tasks or guess_tasks(*picture_size, model.tasks):
        image_size = model.config.image_size_of(task)
        resized = to_image(image[..., ::-1], image_size)
        x = normalise(resized.as_subclass(torch.Tensor))[None].to(device)
        output = model(x, task=task)
        described |= TASKS[task].describe(model, output, image_size, picture_size, score_threshold)
    return described


def draw_described(
    image: np.ndarray,  # RGB uint8 (H, W, 3)
    described: dict,  # what `predict_image` returned
) -> np.ndarray:  # RGB uint8 (H, W, 3)
    """The picture with boxes, lanes, the sign's name and whatever else the tasks draw on it.

    Raises `UserError` for anything but an RGB picture of uint8.
    """
    check_picture(image)
    for task in reversed(list(TASKS)):  # what covers most comes first
        image = TASKS[task].draw(image, described)
    return image
