"""What the bytes of an image file say before a pixel is decoded: its size, whether it is whole,
which side is up.
"""

import re
import struct
import zlib
from typing import NamedTuple

import numpy as np

__all__ = []


class ImageHeader(NamedTuple):
    "What stands in front of the pixels."

    size: tuple  # (height, width) of the stored pixels
    orientation: int = 1  # EXIF's, 1 to 8; 1: upright as stored


def image_header(data: bytes) -> ImageHeader:
    """The header of a complete encoded image, of a format that its first bytes tell.

    Raises ValueError with the reason when it is not complete.
    """
    if not data:
        raise ValueError("it is empty (0 bytes)")
    for start, read_header in _FORMATS:
        if data.startswith(start):
            header = read_header(data)
            if min(header.size) < 1:
                raise ValueError(f"its header says {header.size[1]}x{header.size[0]} pixels")
            return header
    raise ValueError("it is neither a PNG, nor a JPEG, nor a binary PPM (P6)")


def turn_upright(
    image: np.ndarray,  # (H, W, …) as stored
    orientation: int,  # EXIF's, 1 to 8
) -> np.ndarray:  # as people see it
    "The picture with the turn or the mirroring that its EXIF orientation asks for."
    if orientation >= 5:  # rows and columns change places
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _png_header(data: bytes) -> ImageHeader:
    "Of a PNG whose chunks are all whole."
    view = memoryview(data)
    at = 8
    size = None
    orientation = 1
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"the checksum of its {kind.decode('latin1')} chunk at byte {at} is wrong")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data, at + 8)[::-1]
        if kind == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : end - 4])
        if kind == b"IEND" and size:
            return ImageHeader(size, orientation)
        at = end
    raise ValueError("it is cut off: its last chunk (IEND) is missing")


_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the JPEG markers that carry the image size


def _jpeg_header(data: bytes) -> ImageHeader:
    "Of a JPEG that has its end marker."
    at = 2
    size = None
    has_exif = False
    orientation = 1
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xFF:
            at += 1
            continue  # a fill byte
        if marker in _SOF:
            size = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0" and not has_exif:
            has_exif = True  # further blocks are not read, as elsewhere
            orientation = _exif_orientation(data[at + 10 : at + 2 + length])
        if marker == 0xDA and size:  # the compressed picture starts here
            if data.rfind(b"\xff\xd9", at) >= 0:
                return ImageHeader(size, orientation)
            break
        at += 2 + length
    raise ValueError("it is cut off: its end marker (FF D9) is missing")


_PPM_HEADER = re.compile(
    rb"P6" + rb"(?:\s|#[^\n]*\n)+(\d{1,6})" * 3 + rb"\s"
)  # width, height, largest value; comments start with #


def _ppm_header(data: bytes) -> ImageHeader:
    "Of a whole binary PPM (P6, 8 bits)."
    header = _PPM_HEADER.match(data[:1000])
    if not header:
        raise ValueError("its header does not give width, height and largest value")
    width, height, largest = map(int, header.groups())
    if largest != 255 or not width or not height:
        raise ValueError(f"its header says {width}x{height} with values up to {largest}, expected up to 255")
    expected = header.end() + width * height * 3
    if len(data) < expected:
        raise ValueError(f"it is cut off: {len(data)} bytes, expected {expected} for {width}x{height} pixels")
    return ImageHeader((height, width))


_ORIENTATION_TAG = 0x0112
_LONG = 4  # a type of TIFF: four bytes; the usual one has two


def _exif_orientation(exif: bytes) -> int:  # exif: the TIFF structure
    "The orientation that an EXIF block names; 1 where it names none that exists."
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        start = struct.unpack_from(f"{order}I", exif, 4)[0]
        entries = struct.unpack_from(f"{order}H", exif, start)[0]
        for k in range(entries):
            entry = start + 2 + 12 * k
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _ORIENTATION_TAG:
                value = struct.unpack_from(f"{order}{'I' if kind == _LONG else 'H'}", exif, entry + 8)[0]
                return value if 1 <= value <= 8 else 1
    except struct.error:  # no EXIF block, or one that is cut off
        pass
    return 1


_FORMATS = ((b"\x89PNG\r\n\x1a\n", _png_header), (b"\xff\xd8", _jpeg_header), (b"P6", _ppm_header))
