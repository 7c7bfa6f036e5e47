"""Lanes and run times as TuSimple's program accepts them, with its habits of Python 2."""

import numpy as np

__all__ = []

MAX_MILLISECONDS = 200  # a frame that took longer is rejected


def as_points(
    lanes: list,  # of lists of x in pixels; `None` counts as absent
    heights: int,  # values that a lane must have
) -> np.ndarray:  # (L, heights) float64
    "Lanes as an array; raises `ValueError` unless every lane is a list of so many numbers."
    if any(len(lane) != heights for lane in lanes):
        raise ValueError(f"a lane has not {heights} values")
    x = np.array(lanes)
    if x.dtype.kind == "O":
        filled = []
        for lane in lanes:
            filled.append([-2 if value is None else value for value in lane])
        x = np.array(filled)
    if x.dtype.kind not in "biuf" or (x.size and x.shape != (len(lanes), heights)):
        raise ValueError("a lane holds something else than numbers")
    return x.reshape(len(lanes), heights).astype(np.float64)


def is_too_slow(run_time) -> bool:  # milliseconds
    "Whether a frame took over 200 ms; text and lists count as more than any number, None as less."
    return isinstance(run_time, (str, list, dict)) or (run_time is not None and run_time > MAX_MILLISECONDS)
