"""Digits and letters of signs as strokes, after DIN 1451.

Seven of the 43 classes differ in one digit only, so digits deserve care. A character is a list of
centre lines in a box; the same lines serve for bold and light, wide and narrow."""

import numpy as np

from .sign_painter import SignDesign, SignPainter, arc, bezier

__all__ = []


def write(
    painter: SignPainter,
    design: SignDesign,
    text: str,
    colour: str,
    height: float = 0.86,  # units, of a character
    width: float = 0.435,  # units, of a character
    stroke: float = 0.13,  # units, of its lines
    gap: float = 0.13,  # units, between characters
):
    """Write characters centred on the plate."""
    height *= design.high
    width *= design.wide
    stroke *= design.stroke
    gap *= design.gap
    widths = [width * (0.68 if c == "1" else 1) for c in text]
    x = -(sum(widths) + gap * (len(text) - 1)) / 2
    for c, w in zip(text, widths):
        corner = (x + stroke / 2, -height / 2 + stroke / 2)
        for line in glyph(c, w - stroke, height - stroke, stroke / 2):
            painter.stroke(line + corner + np.array(design.shift), stroke, colour)
        x += w + gap


def write_limit(painter: SignPainter, design: SignDesign, text: str):
    """Write a speed: two digits in the normal, three in the narrow form."""
    if len(text) == 2:
        write(painter, design, text, "black")
    else:
        write(painter, design, text, "black", 0.83, 0.345, 0.108, 0.085)


def glyph(
    c: str,  # one of 0 1 2 3 5 6 7 8 S T O P
    W: float,  # units, width of its box
    H: float,  # units, height of its box
    e: float,  # units, half the width of its lines: flat ends reach out by it
) -> list[np.ndarray]:  # polylines (N, 2)
    """Centre lines of a character."""
    if c in "STOP":
        return _letter(c, W, H, e)
    return _digit_straight(c, W, H, e) if c in "0127" else _digit_round(c, W, H, e)


def _digit_straight(d, W, H, e):
    """0, 1, 2 and 7."""
    r = W / 2
    q = min(W / 2, H * 0.3)
    if d == "0":
        return [np.concatenate([arc(r, q, r, q, 180, 360), arc(r, H - q, r, q, 0, 180), [(0, q)]])]
    if d == "1":
        return [np.array([(W * 0.08, H * 0.24), (W * 0.62, 0)]), np.array([(W * 0.62, -e), (W * 0.62, H + e)])]
    if d == "7":
        return [
            np.array([(-e, 0), (W + e, 0)]),
            np.array([(W, 0), (W * 0.36, H), (W * 0.36 - 0.64 * W * e / H, H + e)]),
        ]
    tail = bezier((W, q * 1.1), (W, H * 0.5), (W * 0.55, H * 0.58), (W * 0.02, H))
    return [np.concatenate([arc(r, q, r, q, 188, 365), tail]), np.array([(-0.8 * e, H), (W + e, H)])]


def _digit_round(d, W, H, e):
    """3, 5, 6 and 8."""
    r = W / 2
    waist = (W * 0.42, H * 0.455)
    if d == "3":
        return [
            np.concatenate([arc(r, H * 0.235, r * 0.94, H * 0.235, 200, 430), [waist]]),
            np.concatenate([[waist], arc(r, H * 0.727, r, H * 0.273, -80, 155)]),
        ]
    if d == "5":
        return [
            np.array([(W + 0.5 * e, 0), (W * 0.09, 0), (W * 0.05, H * 0.47)]),
            np.concatenate([[(W * 0.05, H * 0.47)], arc(r, H * 0.69, r, H * 0.31, 222, 505)]),
        ]
    if d == "6":
        return [
            arc(r, H * 0.69, r, H * 0.31, 180, 540, 32),
            bezier((0, H * 0.70), (0, H * 0.42), (W * 0.36, H * 0.28), (W * 0.66, -e * 0.5)),
        ]
    return [arc(r, H * 0.235, r * 0.90, H * 0.235, -90, 270, 32), arc(r, H * 0.735, r, H * 0.265, -90, 270, 32)]


def _letter(c, W, H, e):
    """The letters of STOP."""
    r = W / 2
    if c == "O":
        return _digit_straight("0", W, H, e)
    if c == "T":
        return [np.array([(-e, 0), (W + e, 0)]), np.array([(r, 0), (r, H + e)])]
    if c == "P":
        return [
            np.array([(0, H + e), (0, 0), (W * 0.5, 0)]),
            np.concatenate([[(W * 0.4, 0)], arc(W * 0.55, H * 0.27, W * 0.45, H * 0.27, -90, 90, 12), [(0, H * 0.54)]]),
        ]
    return [
        np.concatenate(
            [
                arc(r, H * 0.25, r, H * 0.25, 350, 180, 10),
                bezier((0, H * 0.25), (0, H * 0.5), (W, H * 0.5), (W, H * 0.75), 10),
                arc(r, H * 0.75, r, H * 0.25, 0, 170, 10),
            ]
        )
    ]
