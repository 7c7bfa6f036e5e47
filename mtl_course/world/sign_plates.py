"""Plates of signs: disc, triangle, diamond, octagon, with their borders.

Every step takes a painter and a design."""

import numpy as np

from .sign_painter import arc, rounded
from .sign_writing import write

__all__ = []

_TRIANGLE = np.array([(-1.09, 0.885), (0, -1.0), (1.09, 0.885)])


def _prohibition(painter, design):
    """White disc in a red ring."""
    painter.disc((0, 0), 1, "white")
    painter.disc((0, 0), 1 - design.rim, "red")
    painter.disc((0, 0), 1 - design.rim - 0.225 * design.border, "white")


def _mandatory(painter, design):
    """Blue disc with a thin light edge."""
    painter.disc((0, 0), 1, "white")
    painter.disc((0, 0), 1 - 0.6 * design.rim, "blue")


def _end_of(painter, design):
    """White disc with a thin dark edge."""
    painter.disc((0, 0), 1, "white")
    painter.disc((0, 0), 0.985, "grey")
    painter.disc((0, 0), 0.955, "white")


def _warning(painter, design, up=1):
    """White triangle with a red border; up=-1 stands it on its tip."""
    centre = np.array([0, 0.26 * up])
    corners = _TRIANGLE * (1, up)
    for distance, r, colour in (
        (0, 0.12, "white"),
        (0.022 + design.rim * 0.4, 0.09, "red"),
        (0.215 * design.border + design.rim * 0.4, 0.02, "white"),
    ):
        inset = centre + (corners - centre) * (1 - distance / 0.629)  # .629: from the centre to a side
        painter.polygon(rounded(inset, r), colour)


def _diamond(painter, design):
    """Priority road."""
    corners = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
    for reach, r, colour in (
        (1.03, 0.12, "black"),
        (1.0, 0.11, "white"),
        (0.645, 0.03, "black"),
        (0.615, 0.03, "yellow"),
    ):
        painter.polygon(rounded(corners * reach, r), colour)


def _octagon(painter, design):
    """Stop."""
    corners = arc(0, 0, 1.082, 1.082, 22.5, 337.5, 8)
    painter.polygon(corners, "white")
    painter.polygon(corners * (0.955 - 0.3 * design.rim), "red")
    write(painter, design, "STOP", "white", 0.69, 0.325, 0.12, 0.06)


def _no_entry(painter, design):
    """White bar on a red disc."""
    painter.disc((0, 0), 1, "white")
    painter.disc((0, 0), 1 - 0.7 * design.rim, "red")
    painter.polygon(design.fit([(-0.84, -0.155), (0.84, -0.155), (0.84, 0.155), (-0.84, 0.155)]), "white")


def draw_stripes(painter, design):
    """Five dark diagonal lines: what was ordered ends here."""
    pitch = 0.085 * design.gap**0.5
    along = np.array([0.7071, -0.7071])
    across = np.array([0.7071, 0.7071])
    for k in (-2, -1, 0, 1, 2):
        half = np.sqrt(0.955**2 - (k * pitch) ** 2)
        middle = across * k * pitch
        painter.stroke([middle - along * half, middle + along * half], 0.043 * design.stroke, "black")


def _plates() -> dict[int, tuple]:
    """The plate of each class: a step and its further arguments."""
    plates = {c: (_prohibition,) for c in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16)}
    plates |= {c: (_warning,) for c in (11, *range(18, 32))}
    plates |= {c: (_mandatory,) for c in range(33, 41)}
    plates |= {c: (_end_of,) for c in (6, 32, 41, 42)}
    return plates | {12: (_diamond,), 13: (_warning, -1), 14: (_octagon,), 17: (_no_entry,)}


PLATES = _plates()
