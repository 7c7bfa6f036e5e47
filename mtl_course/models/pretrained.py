"""ImageNet weights through torchvision, or a sentence that says why there are none."""

import warnings

import torch
import torchvision
from torch import Tensor

from ..core.errors import UserError

__all__ = []


def imagenet_weights(
    name: str,  # resnet10, resnet18, resnet34 or resnet50
    pretrained: bool | str,  # True: where they can be had; "require": or stop; False: none
) -> dict[str, Tensor] | None:
    """torchvision's ImageNet weights; None when not asked for or, with a warning, not to be had.

    Raises `UserError` instead of warning when `pretrained` is "require", and for any other word.
    """
    choice = str(pretrained).lower()
    if choice not in ("true", "false", "require"):
        raise UserError(f"pretrained is {pretrained!r}: expected True, False or 'require'")
    if choice == "false":
        return None
    try:
        return _download(name)
    except UserError as error:
        if choice == "require":
            raise UserError(f"{error}, or set pretrained to true or false") from None
        warnings.warn(f"{error}. Going on with random weights.", stacklevel=2)
        return None


def _download(name) -> dict[str, Tensor]:
    """The published weights; raises `UserError` that says why not, and how to get them."""
    if name == "resnet10":
        raise UserError("there are no published ImageNet weights for resnet10: choose resnet18")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # no network, a full disk, a broken file: the consequence is the same
        reason = f"{type(error).__name__}: {error}"
        file = weights.url.rsplit("/", 1)[-1]
        raise UserError(
            f"ImageNet weights for {name} are missing and could not be downloaded ({reason}); put {file} into "
            f"{torch.hub.get_dir()}/checkpoints (torchvision.models.{weights} downloads it)"
        ) from None
