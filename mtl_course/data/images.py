"""Images decoded strictly, cut out and scaled: a half-copied file is an error."""

import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision import tv_tensors

from ..core.errors import UserError

__all__ = ["image_size", "read_image"]


def _png_size(data):
    "(height, width) of a PNG whose chunks are all whole; raises ValueError with the reason."
    view = memoryview(data)
    at = 8
    size = None
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"the checksum of its {kind.decode('latin1')} chunk at byte {at} is wrong")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data, at + 8)[::-1]
        if kind == b"IEND" and size:
            return size
        at = end
    raise ValueError("it is cut off: its last chunk (IEND) is missing")


_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the JPEG markers that carry the image size


def _jpeg_size(data):
    "(height, width) of a JPEG that has its end marker; raises ValueError with the reason."
    at, size = 2, None
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xFF:
            at += 1
            continue  # a fill byte
        if marker in _SOF:
            size = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xDA and size:  # the compressed picture starts here
            if data.rfind(b"\xff\xd9", at) >= 0:
                return size
            break
        at += 2 + length
    raise ValueError("it is cut off: its end marker (FF D9) is missing")


_PPM_HEADER = re.compile(
    rb"P6" + rb"(?:\s|#[^\n]*\n)+(\d{1,6})" * 3 + rb"\s"
)  # width, height, largest value; comments start with #


def _ppm_size(data):
    "(height, width) of a whole binary PPM (P6, 8 bits); raises ValueError with the reason."
    header = _PPM_HEADER.match(data[:1000])
    if not header:
        raise ValueError("its header does not give width, height and largest value")
    width, height, largest = map(int, header.groups())
    if largest != 255 or not width or not height:
        raise ValueError(f"its header says {width}x{height} with values up to {largest}, expected up to 255")
    expected = header.end() + width * height * 3
    if len(data) < expected:
        raise ValueError(f"it is cut off: {len(data)} bytes, expected {expected} for {width}x{height} pixels")
    return height, width


_FORMATS = ((b"\x89PNG\r\n\x1a\n", _png_size), (b"\xff\xd8", _jpeg_size), (b"P6", _ppm_size))


def whole_image_size(data: bytes) -> tuple:  # (height, width) in pixels
    """The size of a complete encoded image, of a format that its first bytes tell.

    Raises ValueError with the reason when it is not complete.
    """
    if not data:
        raise ValueError("it is empty (0 bytes)")
    for start, size in _FORMATS:
        if data.startswith(start):
            return size(data)
    raise ValueError("it is neither a PNG, nor a JPEG, nor a binary PPM (P6)")


cv2.setNumThreads(
    1
)  # images are decoded in several worker processes already; threads inside each would fight for the same cores

_NO_ORIENTATION = (
    cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
)  # labels are in stored pixels, whatever the camera's EXIF says


def _decode(data, native, size):
    "BGR pixels of a whole encoded image, a JPEG at half size where that is still at least `size`."
    half = size is not None and data[:2] == b"\xff\xd8" and size[0] * 2 <= native[0] and size[1] * 2 <= native[1]
    flags = cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION if half else _NO_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("its pixels cannot be decoded")
    return image


def _read_bytes(
    path: str | Path,  # the file
    name: str = "",
) -> bytes:  # how to call it in errors; default: the path
    "All bytes of a file; raises `UserError` when it is missing or cannot be read."
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{name or path}: no such file, expected an image: copy it there, or take its line out of the labels"
        ) from None
    except OSError as e:
        raise UserError(f"{name or path}: cannot be read ({e.strerror})") from None


def read_pixels(
    path: str | Path,  # a .png, .jpg or .ppm file
    size: tuple | None = None,  # (height, width) that will be wanted: a larger JPEG may come at half its size
    name: str = "",  # how to call the file in errors; default: the path
) -> tuple:  # (uint8 (H, W, 3) blue-green-red, (height, width) of the file)
    """Decodes an image strictly, in OpenCV's order.

    Raises `UserError` for a file that is missing, cut off or not an image.
    """
    data = _read_bytes(path, name)
    try:
        native = whole_image_size(data)
        return _decode(data, native, size), native
    except ValueError as e:
        raise UserError(f"{name or path}: not a usable image, {e}: copy or download the file again") from None


def read_image(
    path: str | Path,  # a .png, .jpg or .ppm file
    size: tuple | None = None,  # (height, width) to scale to; None: as it is
    crop: tuple | None = None,  # (x1, y1, x2, y2) in the file's pixels, cut out before scaling
    name: str = "",  # how to call the file in errors; default: the path
) -> tuple:  # (tv_tensors.Image uint8 (3, h, w) RGB, (height, width) of the file)
    """Decodes an image strictly, cuts out and scales.

    Raises `UserError` for a file that is missing, cut off or not an image.
    """
    image, native = read_pixels(path, None if crop else size, name)
    if crop:
        image = image[crop[1] : crop[3], crop[0] : crop[2]]
    return to_image(image, size), native


def to_image(
    image: np.ndarray,  # (H, W, 3) uint8 in OpenCV's order, blue-green-red
    size: tuple | None = None,
) -> tv_tensors.Image:  # (3, h, w) uint8, red-green-blue
    "OpenCV's pixels as a `tv_tensors.Image` of `size` = (height, width), in memory of its own."
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

    Raises `UserError` when it is not a whole image.
    """
    try:
        return whole_image_size(_read_bytes(path, name))
    except ValueError as e:
        raise UserError(f"{name or path}: not a usable image, {e}: copy or download the file again") from None
