"""What users hand in, checked before it is used: files that may never end, odd arrays."""

import json
import stat
from pathlib import Path

import numpy as np

from .errors import UserError

__all__ = ["check_picture", "parse_json", "refuse_special_file"]


def refuse_special_file(path: str | Path, name: str = ""):  # name: how to call it in errors; default: the path
    "Raises `UserError` for a pipe, a device or a socket, whose reading might never end."
    mode = Path(path).stat().st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise UserError(f"{name or path}: is a pipe or a device: expected a regular file; copy the data into one")


def parse_json(text: str, **options):  # options: of `json.loads`
    "What a text of json says; raises `ValueError` when it is none, or nested without end."
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("lists within lists, too deep to read") from None


def check_picture(
    image,  # what a user took for a picture
    name: str = "image",  # what it is called in errors
) -> np.ndarray:  # the same
    "Raises `UserError` unless `image` is a picture of this package: RGB, uint8, (H, W, 3)."
    if not isinstance(image, np.ndarray):
        remedy = "np.asarray(image) makes an array of a PIL picture, and image.permute(1, 2, 0).numpy() of a tensor"
        raise UserError(f"{name} is of type {type(image).__name__}: expected {_PICTURE}; {remedy}")
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and min(image.shape[:2]) > 0:
        return image
    raise UserError(f"{name} is {image.dtype} of shape {image.shape}: expected {_PICTURE}; {_picture_remedy(image)}")


_PICTURE = "an RGB picture, a NumPy array of uint8 with shape (height, width, 3)"


def _picture_remedy(image: np.ndarray) -> str:
    if 0 in image.shape:
        return "give a picture that has pixels"
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return "cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) makes one of a gray picture"
    if image.ndim == 3 and image.shape[2] == 4:
        return "image[..., :3] leaves the alpha channel out"
    if image.ndim == 3 and image.shape[2] != 3 and image.shape[0] == 3:
        return "image.transpose(1, 2, 0) puts the channels last"
    if image.ndim == 4:
        return "give one picture at a time"
    if np.issubdtype(image.dtype, np.floating):
        return "(255 * image).round().astype(np.uint8) makes one of values in 0..1"
    return "give one as cv2.imread(file)[..., ::-1] reads it"
