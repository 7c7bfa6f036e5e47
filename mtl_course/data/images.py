"""Three data sets in three layouts share four needs: decode an image strictly, scale it, split it fairly, and complain clearly."""

__all__ = [
    "PARTS",
    "Problem",
    "raise_problems",
    "whole_image_size",
    "read_bytes",
    "read_pixels",
    "read_image",
    "to_image",
    "split_groups",
    "ReaderBase",
    "image_size",
    "read_text",
    "number",
]

import re, struct, zlib
from dataclasses import dataclass
from pathlib import Path
import cv2, numpy as np, torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..core.files import resolve


@dataclass(frozen=True)
class Problem:
    "One fault in the data: the file (relative to the data root), the place in it, and what was expected and what to do."

    file: str
    where: str  # "line 3", or "" when the whole file is meant
    message: str

    def __str__(self):
        return ", ".join(filter(None, (self.file, self.where))) + ": " + self.message


def raise_problems(problems: list):
    "Raises a `UserError` that shows the first of `problems` and counts the others; does nothing when there are none."
    if not problems:
        return
    more = f" ({len(problems) - 1} more: `mtl_data check FOLDER` lists them all)" if len(problems) > 1 else ""
    raise UserError(f"{problems[0]}{more}")


def _png_size(data):
    "(height, width) of a PNG whose chunks are all there and whole; raises ValueError with the reason."
    view, at, size = memoryview(data), 8, None
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
    "(height, width) of a binary PPM (P6, 8 bits) with all its bytes; raises ValueError with the reason."
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
    "The size of an encoded image that is complete; raises ValueError with the reason when it is not. The format is told by its first bytes."
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


def read_bytes(
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
    "Decodes an image strictly, in OpenCV's order; raises `UserError` for a file that is missing, cut off or not an image."
    data = read_bytes(path, name)
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
    "Decodes an image strictly, cuts out and scales; raises `UserError` for a file that is missing, cut off or not an image."
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


def split_groups(
    groups,  # one hashable, sortable name per item; items of equal name stay together
    fractions: tuple,  # share of each part, training first; sums to 1
    seed: int,  # fixes the split
    strata=None,  # one non-negative integer per item: each is split by itself; None: one stratum
) -> np.ndarray:  # int64 (items,): the part of each item, 0 = the first
    "Deals whole groups out to parts, stratum by stratum; the same on every machine for the same names and seed."
    groups = np.asarray(groups)
    strata = np.zeros(len(groups), np.int64) if strata is None else np.asarray(strata)
    parts = np.zeros(len(groups), np.int64)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        names, which = np.unique(groups[inside], return_inverse=True)
        order = np.random.default_rng(derive_seed(seed, int(stratum))).permutation(len(names))
        part_of = np.zeros(len(names), np.int64)
        part_of[order] = np.repeat(np.arange(len(fractions)), _part_sizes(len(names), fractions))
        parts[inside] = part_of[which.ravel()]
    return parts


def _part_sizes(n, fractions):
    "How many of `n` groups go to each part."
    if n < len(fractions):  # too few for every part: training first, then the last part (test), then the ones between
        priority = [0, *range(len(fractions) - 1, 0, -1)][:n]
        return [int(k in priority) for k in range(len(fractions))]
    rest = [max(1, round(f * n)) for f in fractions[1:]]
    while sum(rest) >= n:
        rest[int(np.argmax(rest))] -= 1  # keep one for training
    return [n - sum(rest), *rest]


PARTS = ("train", "val", "test")


class ReaderBase(Dataset):
    "Common part of the three readers: which files, which part, which size; images are decoded when asked for, not before."

    task = ""

    def __init__(
        self,
        data_root: str | Path,  # folder with the data set, absolute or relative to the project
        part: str,  # train, val, test or all
        split: str,  # held_out or specification
        seed: int,  # fixes the split
        size: tuple | None,
    ):  # (height, width) of the images; None: as they are
        _one_of("part", part, (*PARTS, "all"))
        _one_of("split", split, ("held_out", "specification"))
        self.data_root, self.part, self.split, self.seed = resolve(data_root), part, split, seed
        self.size = None if size is None else tuple(size)
        self.files = np.empty(0, str)  # one path per image, relative to data_root, with forward slashes

    def __len__(self):
        return len(self.files)

    def path(self, i: int) -> Path:  # where image i lies
        "The file of image `i`."
        return self.data_root / str(self.files[i])

    def _wanted(self, parts, test_is_val):
        "Indices of the images of this part; `parts` numbers them 0 train, 1 val, 2 test."
        if self.part == "all":
            return np.arange(len(parts))
        number = 1 if self.part == "test" and test_is_val else PARTS.index(self.part)
        keep = np.flatnonzero(parts == number)
        if not len(keep):
            raise UserError(
                f"{self.data_root.name}: no image of task {self.task} in part {self.part!r} (split {self.split!r}, "
                f"{len(parts)} images in all), expected at least one: add data or choose another part"
            )
        return keep

    def __repr__(self):
        return f"{type(self).__name__}(part={self.part!r}, split={self.split!r}, seed={self.seed}, size={self.size}): {len(self)} images"


def _one_of(name, value, options):
    "Raises `UserError` unless `value` is one of `options`."
    if value not in options:
        raise UserError(f"{name} is {value!r}: expected one of {', '.join(options)}")


def image_size(
    path: str | Path,  # a .png, .jpg or .ppm file
    name: str = "",
) -> tuple:  # (height, width) in pixels
    "The size of an image file without decoding its pixels; raises `UserError` when it is not a whole image."
    try:
        return whole_image_size(read_bytes(path, name))
    except ValueError as e:
        raise UserError(f"{name or path}: not a usable image, {e}: copy or download the file again") from None


def read_text(
    path: Path,  # the file
    file: str,  # its name, for errors
    problems: list,  # faults are added here
    empty: str = "copy or unpack it again",  # what to do about an empty file
) -> str:  # "" when it cannot be read
    "The text of a label file; a file that is missing, empty or not text is added to `problems`."
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        missing = isinstance(e, FileNotFoundError)
        problems.append(
            Problem(
                file,
                "",
                f"{'no such file' if missing else f'cannot be read as text ({e})'}, expected labels: unpack the archive again",
            )
        )
        return ""
    if not text:
        problems.append(Problem(file, "", f"is empty (0 bytes), expected labels: {empty}"))
    return text


def number(text: str) -> float:  # the value
    "A finite number; raises ValueError otherwise (`float` alone would take 'nan' and 'inf')."
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(text)
    return value
