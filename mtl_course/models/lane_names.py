"""Which lane marking is which, as a driver would say it."""

import numpy as np

__all__ = ["name_lanes"]


def name_lanes(
    lanes: list,  # each a list of x in pixels, negative where absent, one per height
    h_samples: list,  # the heights in pixels, from the top down
    picture_size: tuple,  # (height, width) in pixels
) -> list[str]:  # of each lane, in their order
    """Names such as "left": that and "right" border the lane in which the camera drives, "left 2"
    is the next one out, of those that were found.

    What counts is where a marking, drawn on in a straight line, meets the picture's lower edge, and
    on which side of the middle: a camera that is not mounted in the middle of the car is wrong by
    as much.
    """
    height, width = picture_size
    offsets = [_place_at(lane, h_samples, height) - width / 2 for lane in lanes]
    names = [""] * len(lanes)
    found = {"left": 0, "right": 0}
    for k in np.argsort(np.abs(offsets), kind="stable"):  # from the middle outwards
        side = "left" if offsets[k] < 0 else "right"
        found[side] += 1
        names[k] = side if found[side] == 1 else f"{side} {found[side]}"
    return names


def _place_at(lane, h_samples, height) -> float:
    "Where the nearest third of a lane, drawn on, meets a height."
    points = [(y, x) for x, y in zip(lane, h_samples) if x >= 0]
    if not points:
        return 0.0
    y, x = np.array(points[-max(2, len(points) // 3) :], float).T
    return float(np.polyfit(y - height, x, min(1, len(y) - 1))[-1])
