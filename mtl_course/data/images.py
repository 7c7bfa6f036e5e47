"""Images decoded strictly, cut out and scaled: a half-copied file is an error.

Labels speak of stored pixels, people of pictures as they are shown. An image with labels must
therefore have no EXIF orientation but 1; a picture of the user's own is turned upright.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision import tv_tensors

from ..core.errors import UserError
from ..core.inputs import check_picture, refuse_special_file
from .image_headers import image_header, turn_upright

__all__ = ["image_size", "read_image", "read_picture", "to_image"]

MOST_PIXELS = 2**27  # 134 million, 400 MB decoded: a few kB that claim more would fill the memory

# images are decoded in several worker processes already; threads would fight for the same cores
cv2.setNumThreads(1)

_STORED = cv2.IMREAD_IGNORE_ORIENTATION  # orientations are dealt with here
_COPY_AGAIN = "copy or download the file again"


def _decode(data, native, size):
    "BGR pixels of a whole encoded image, a JPEG at half size where that is still at least `size`."
    half = size is not None and data[:2] == b"\xff\xd8" and size[0] * 2 <= native[0] and size[1] * 2 <= native[1]
    flags = _STORED | (cv2.IMREAD_REDUCED_COLOR_2 if half else cv2.IMREAD_COLOR)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as e:
        raise ValueError(f"its pixels cannot be decoded ({e.err})") from None
    if image is None:
        raise ValueError("its pixels cannot be decoded")
    return image


def _read_bytes(path: str | Path, name: str) -> bytes:
    "All bytes of a file; raises `UserError` when it is missing or cannot be read."
    try:
        refuse_special_file(path, name)
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{name}: no such file, expected an image: copy it there, or take its line out of the labels"
        ) from None
    except OSError as e:
        raise UserError(f"{name}: cannot be read ({e.strerror})") from None


def _header(data: bytes, name: str, labelled: bool):  # -> ImageHeader
    "The header of an image; raises `UserError` for one that is broken or cannot be used."
    try:
        header = image_header(data)
    except ValueError as e:
        raise UserError(f"{name}: not a usable image, {e}: {_COPY_AGAIN}") from None
    if labelled and header.orientation != 1:
        raise UserError(
            f"{name}: its EXIF orientation is {header.orientation}: expected 1, for it is not clear whether its labels "
            "are for the stored or for the turned picture; save it without the tag, turned as its labels are"
        )
    return header


def read_pixels(
    path: str | Path,  # a .png, .jpg or .ppm file
    size: tuple | None = None,  # (height, width) that will be wanted: a larger JPEG may come at half its size
    name: str = "",  # how to call the file in errors; default: the path
    upright: bool = False,  # True: a picture without labels, turned as its EXIF orientation says
) -> tuple:  # (uint8 (H, W, 3) blue-green-red, (height, width) of the file)
    """Decodes an image strictly, in OpenCV's order.

    Raises `UserError` for a file that is missing, cut off, not an image, or larger than
    `MOST_PIXELS`, and for one with labels whose EXIF orientation is not 1.
    """
    name = str(name or path)
    data = _read_bytes(path, name)
    header = _header(data, name, labelled=not upright)
    height, width = header.size
    if height * width > MOST_PIXELS:
        raise UserError(
            f"{name}: its header says {width}x{height} pixels: expected at most {MOST_PIXELS / 1e6:.0f} million; "
            "scale it down"
        )
    try:
        image = _decode(data, header.size, size)
    except ValueError as e:
        raise UserError(f"{name}: not a usable image, {e}: {_COPY_AGAIN}") from None
    return turn_upright(image, header.orientation) if upright else image, header.size


def read_image(
    path: str | Path,  # a .png, .jpg or .ppm file
    size: tuple | None = None,  # (height, width) to scale to; None: as it is
    crop: tuple | None = None,  # (x1, y1, x2, y2) in the file's pixels, cut out before scaling
    name: str = "",  # how to call the file in errors; default: the path
) -> tuple:  # (tv_tensors.Image uint8 (3, h, w) RGB, (height, width) of the file)
    """Decodes an image that has labels strictly, cuts out and scales.

    Raises `UserError` as `read_pixels`.
    """
    image, native = read_pixels(path, None if crop else size, name)
    if crop:
        image = image[crop[1] : crop[3], crop[0] : crop[2]]
    return to_image(image, size), native


def read_picture(
    path: str | Path,  # a .png, .jpg or .ppm file
) -> np.ndarray:  # RGB uint8 (H, W, 3)
    """A picture without labels, such as the user's own, upright as its EXIF orientation says.

    Raises `UserError` for a file that is missing, cut off or not an image.
    """
    return np.ascontiguousarray(read_pixels(path, upright=True)[0][..., ::-1])


def to_image(
    image: np.ndarray,  # (H, W, 3) uint8 in OpenCV's order, blue-green-red
    size: tuple | None = None,
) -> tv_tensors.Image:  # (3, h, w) uint8, red-green-blue
    "OpenCV's pixels as a `tv_tensors.Image` of `size` = (height, width), in memory of its own."
    check_picture(image)
    if size is not None and image.shape[:2] != tuple(size):
        shrink = image.shape[0] >= size[0] and image.shape[1] >= size[1]
        image = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    for c in range(3):
        cv2.extractChannel(image, 2 - c, planes[c])  # twice as fast as a transposed copy
    return tv_tensors.Image(torch.from_numpy(planes))


def image_size(
    path: str | Path,  # a .png, .jpg or .ppm file
    name: str = "",
) -> tuple:  # (height, width) in pixels
    """The size of an image file without decoding its pixels.

    Raises `UserError` when it is not a whole image, or its EXIF orientation is not 1.
    """
    name = str(name or path)
    return _header(_read_bytes(path, name), name, labelled=True).size
