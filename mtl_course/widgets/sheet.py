"""A page of pixels: pictures, lines and words, drawn faster than a figure with axes."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..core.colours import OKABE_ITO

__all__ = []

TEXT = 12  # pixels: 9 pt on a screen
COLOURS = dict(found=OKABE_ITO["sky"], missed=OKABE_ITO["yellow"], false=OKABE_ITO["vermillion"], target="#FFFFFF")
MARKS = dict(found="✓", missed="?", false="✗", target="")
_DASHES = dict(found=None, missed=(6, 4), false=(2, 5), target=None)  # pixels on and off


class Spot(NamedTuple):
    """Words on a sheet: which, and where."""

    words: str
    x: float
    y: float
    size: int
    colour: str
    anchor: str


class LabelledBox(NamedTuple):
    """A box of a picture and what became of it."""

    box: np.ndarray  # x1, y1, x2, y2
    kind: str  # found, missed, false or target
    words: str


def rgb(
    colour: str,  # such as #56B4E9
) -> tuple[int, int, int]:
    """A colour as three numbers in 0..255."""
    return tuple(bytes.fromhex(colour[1:]))


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def text_width(words: str, size: int = TEXT) -> float:
    """How many pixels the words take."""
    return _font(size).getlength(words)


class Sheet:
    """A white page of pixels for pictures, lines and words."""

    def __init__(self, height: int, width: int):
        self.pixels = np.full((height, width, 3), 255, np.uint8)
        self.spots = []  # words are written last, on top of everything

    def paste(
        self,
        picture: np.ndarray,  # uint8 (h, w, 3)
        x: int,  # of its left upper corner
        y: int,
    ):
        """Puts a picture on the page."""
        self.pixels[y : y + picture.shape[0], x : x + picture.shape[1]] = picture

    def line(
        self,
        points,  # (N, 2) pixels
        colour: str = "#000000",
        dashes: tuple | None = None,  # pixels on, off, on, off …
        width: int = 1,
    ):
        """Draws a line through the points."""
        points = np.asarray(points, np.float64)
        lines = [points] if dashes is None else _cut_into_dashes(points, dashes)
        fixed_point = [np.round(16 * line).astype(np.int32) for line in lines]
        cv2.polylines(self.pixels, fixed_point, False, rgb(colour), width, cv2.LINE_AA, 4)

    def text(
        self,
        words: str,
        x: float,
        y: float,
        size: int = TEXT,  # pixels
        colour: str = "#000000",
        ground: str = "",  # colour behind the words
        anchor: str = "lb",  # what is at (x, y): left, middle or right, and top, middle or bottom
    ):
        """Writes words on the page."""
        if ground:
            left_top = (int(x) - 1, int(y) - size - 2)
            right_bottom = (int(x + text_width(words, size)) + 1, int(y))
            cv2.rectangle(self.pixels, left_top, right_bottom, rgb(ground), -1)
        self.spots.append(Spot(words, x, y, size, colour, anchor))

    def finished(self) -> np.ndarray:
        """The pixels with all words on them, uint8 (H, W, 3)."""
        image = Image.fromarray(self.pixels)
        pen = ImageDraw.Draw(image)
        for spot in self.spots:
            anchor = spot.anchor.replace("b", "d").replace("t", "a")  # Pillow's letters
            pen.text((spot.x, spot.y), spot.words, spot.colour, _font(spot.size), anchor=anchor)
        return np.asarray(image)


def _cut_into_dashes(
    points: np.ndarray,  # (N, 2) pixels
    dashes: tuple,  # on, off, on, off …
) -> list[np.ndarray]:
    """The line as short lines."""
    along = np.r_[0, np.hypot(*np.diff(points, axis=0).T).cumsum()]
    repeats = int(along[-1] // sum(dashes)) + 1
    ends = np.r_[0, np.tile(dashes, repeats).cumsum()].clip(max=along[-1])
    corners = np.stack([np.interp(ends, along, points[:, k]) for k in (0, 1)], -1)
    return list(np.stack([corners[:-1], corners[1:]], 1)[::2])


def pattern(kind: str, height: int, width: int) -> np.ndarray:
    """Which pixels of a region its kind colours, bool (H, W): all, diagonal stripes or dots."""
    y, x = np.ogrid[:height, :width]
    if kind == "missed":
        return (x + y) % 6 < 3
    if kind == "false":
        return ((x + y // 6 * 3) % 6 < 3) & (y % 6 < 3)
    return np.ones((height, width), bool)


def paint(
    pixels: np.ndarray,  # uint8 (H, W, 3), changed in place
    where: np.ndarray,  # (H, W) bool
    kind: str,
):
    """Fills a region in the colour and pattern of its kind, on a darkened ground."""
    pixels[where] //= 2
    pixels[where & pattern(kind, *where.shape)] = rgb(COLOURS[kind])


def draw_box(
    sheet: Sheet,
    box,  # x1, y1, x2, y2
    kind: str,  # found, missed, false or target
):
    """A box in the colour and line of its kind."""
    x1, y1, x2, y2 = box
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    is_target = kind == "target"
    if not is_target:
        sheet.line(corners, width=3)
    for side in zip(corners, corners[1:]):
        sheet.line(side, COLOURS[kind], _DASHES[kind], 1 if is_target else 2)


def label_boxes(
    sheet: Sheet,
    boxes: list[LabelledBox],  # the most important first
    frame: tuple,  # x1, y1, x2, y2 of the picture
    size: int = TEXT,
) -> list[str]:
    """Writes mark and text of each box where no earlier label stands: above it, below or inside.

    The mark alone where there is no room for more, nothing where there is none for that. Returns
    the words.
    """
    taken = np.empty((0, 4))
    written = []
    for box, kind, text in boxes:
        for words in (f"{MARKS[kind]} {text}", MARKS[kind]):
            place = _free_place(box, (text_width(words, size) + 2, size + 3), frame, taken)
            if place is not None:
                sheet.text(words, place[0] + 1, place[3], size, ground=COLOURS[kind])
                taken = np.vstack([taken, place])
                written.append(words)
                break
    return written


def _free_place(
    box,  # x1, y1, x2, y2
    size: tuple,  # width, height of the label
    frame: tuple,  # x1, y1, x2, y2
    taken: np.ndarray,  # (N, 4) other labels
) -> np.ndarray | None:
    """The best place around a box where a label covers no other; None if there is none."""
    x1, y1, x2, y2 = box
    width, height = size
    columns = (x1, x2 - width)
    rows = (y1 - 2 - height, y2 + 2, y1 + 2, y2 - 2 - height)
    spots = np.stack([np.tile(columns, 4), np.repeat(rows, 2)], -1)
    corners = spots.clip((frame[0], frame[1]), (frame[2] - width, frame[3] - height))
    for place in np.hstack([corners, corners + (width, height)]):
        if not ((taken[:, :2] < place[2:]) & (taken[:, 2:] > place[:2])).all(1).any():
            return place
    return None


def draw_legend(
    sheet: Sheet,
    kinds: dict[str, str],  # kind -> words
    x: int,
    y: int,
    boxes: bool,  # samples are boxes, else filled patches
):
    """What each colour and line stands for, in a row."""
    for kind, words in kinds.items():
        if kind == "target":
            cv2.rectangle(sheet.pixels, (x - 2, y - 2), (x + 24, y + 12), (90, 90, 90), -1)  # white needs a dark ground
        if boxes:
            draw_box(sheet, (x, y, x + 22, y + 10), kind)
        else:
            paint(sheet.pixels[y : y + 11, x : x + 23], np.ones((11, 23), bool), kind)
        words = f"{MARKS[kind]} {words}".strip() if boxes else words
        sheet.text(words, x + 29, y + 11)
        x += 46 + int(text_width(words))


@dataclass
class SheetAxes:
    """Axes on a sheet, from 0 to 1 across and from 0 to `top` upwards."""

    sheet: Sheet
    place: tuple[int, int, int, int]  # left, top, width, height
    top: float

    def at(self, x, y) -> np.ndarray:
        """Values as pixels (…, 2)."""
        left, top, width, height = self.place
        across = left + width * np.asarray(x, float)
        upwards = top + height - height * np.asarray(y, float) / self.top
        return np.stack(np.broadcast_arrays(across, upwards), -1)

    def draw(self, label: str, title: str, percent: bool):
        """Grid, numbers, label and title."""
        left, top, width, height = self.place
        for k in range(6):
            share = k / 5
            value = share * self.top
            self.sheet.line(self.at([0, 1], value), "#E6E6E6")
            self.sheet.line(self.at([share] * 2, [0, self.top]), "#E6E6E6")
            words = f"{100 * value:.3g}%" if percent else f"{value:.3g}"
            self.sheet.text(words, left - 5, top + height - height * share, anchor="rm")
            self.sheet.text(f"{share:.1f}", left + width * share, top + height + 5, anchor="mt")
        self.sheet.line(self.at([0, 0, 1], [self.top, 0, 0]))
        self.sheet.text(label, left + width / 2, top + height + 22, anchor="mt")
        self.sheet.text(title, left, top - 9)
