"""Random changes of training images that leave their meaning as it is; labels change with the
image.
"""

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ..config import Config
from ..core.task import TASKS

__all__ = []


def augment(
    sample: dict,  # as a reader gives it
    task: str,  # which says how its samples are mirrored, how far they are turned and how labels are tidied
    config: Config,  # its use_… flags say what may be done
    seed: int,
) -> dict:  # a new sample of the same form
    """Changes a sample at random, labels included; the same seed gives the same change."""
    rng = np.random.default_rng(seed)
    flip = rng.random()
    angle, brightness, contrast = rng.uniform(-1, 1, 3)
    noise = rng.random()
    sample = dict(sample)
    if config.use_horizontal_flip and flip < 0.5:
        sample = TASKS[task].mirror(sample)
    if config.use_recropping:
        sample = TASKS[task].recrop(sample, rng)
    if config.use_rotation:
        sample = _rotate(sample, angle * TASKS[task].max_rotation)
    if config.use_brightness:
        sample["image"] = F.adjust_brightness(sample["image"], 1 + 0.3 * brightness)
    if config.use_contrast:
        sample["image"] = F.adjust_contrast(sample["image"], 1 + 0.3 * contrast)
    if config.use_gaussian_noise:
        sample["image"] = _add_noise(sample["image"], 0.05 * noise, int(rng.integers(2**62)))
    return TASKS[task].finish_augmentation(sample)


def _rotate(sample: dict, degrees: float) -> dict:
    "Turns everything that lives in the image plane; class numbers in a mask are not averaged."
    turned = dict(sample)
    for key, value in sample.items():
        if isinstance(value, tv_tensors.TVTensor):
            is_mask = isinstance(value, tv_tensors.Mask)
            interpolation = InterpolationMode.NEAREST if is_mask else InterpolationMode.BILINEAR
            turned[key] = F.rotate(value, degrees, interpolation)
    return turned


def _add_noise(image: tv_tensors.Image, sigma: float, seed: int) -> tv_tensors.Image:  # sigma: in 0..1
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return tv_tensors.wrap((image + 255 * sigma * noise).clamp_(0, 255).to(torch.uint8), like=image)
