"""Roads with known lanes, drawn as masks, and how much of them a decoder brings back."""

import cv2
import numpy as np

from ..data.tusimple import draw_lanes

__all__ = ["HEIGHTS", "made_up_mask"]

HEIGHTS = np.arange(160, 711, 10)  # of TuSimple's format, pixels
MASK_SIZE = (192, 320)
MASK_KINDS = ("whole", "gaps", "soft", "open gaps")
_NATIVE = (720, 1280)


def made_up_mask(
    kind: str,  # whole, gaps, soft or open gaps
    seed: int,  # of the road
) -> tuple | None:  # (probability (192, 320), lanes (n, 56)); None for the rare road without a lane
    """A road as a mask: like a label, with gaps, like a network's output, or with hidden ends."""
    rng = np.random.default_rng(seed)
    lanes = _random_road(rng)
    if not len(lanes):
        return None
    if kind == "whole":
        return draw_lanes(lanes, HEIGHTS, _NATIVE, MASK_SIZE).astype(np.float32), lanes
    mask = _with_gaps(rng, lanes, keep_ends=kind != "open gaps")
    return (_soften(rng, mask) if kind == "soft" else mask.astype(np.float32)), lanes


def _random_road(rng):
    """Two to five lanes on a straight or curved road: (lanes, 56) x in pixels, -2 where absent.

    A pinhole camera of 1280x720: x = c + (X/h) u + bend/u, u pixels below the horizon.
    """
    horizon = rng.uniform(200, 280)
    middle = rng.uniform(540, 740)
    n = rng.integers(2, 6)
    bend = rng.normal() * 2500 * (rng.random() < 0.7)
    spread = rng.uniform(1.6, 2.6)
    u = HEIGHTS - horizon
    first = -rng.uniform(0.25, 0.75) - rng.integers(0, n - 1)
    start = horizon + rng.uniform(15, 60)
    lanes = []
    for i in range(n):
        x = middle + (first + i) * spread * rng.uniform(0.97, 1.03) * u + bend / np.maximum(u, 1)
        end = rng.choice([720, 720, rng.uniform(500, 720)])
        present = np.flatnonzero((HEIGHTS >= start) & (HEIGHTS <= end) & (x >= 0) & (x <= 1279))
        if len(present) < 4 or (np.diff(present) > 1).any():
            continue
        lane = np.full(len(HEIGHTS), -2.0)
        lane[present] = np.round(x[present])
        lanes.append(lane)
    return np.array(lanes).reshape(-1, len(HEIGHTS))


def _with_gaps(rng, lanes, keep_ends):
    """The mask of `lanes` with dashes and a hidden box."""
    mask = np.zeros(MASK_SIZE, np.uint8)
    x = rng.integers(0, 260)
    y = rng.integers(70, 150)
    w = rng.integers(30, 60)
    h = rng.integers(20, 40)
    hide = rng.random() < 0.6
    for lane in lanes:
        whole = draw_lanes(lane[None], HEIGHTS, _NATIVE, MASK_SIZE)
        rows = np.flatnonzero(whole.any(1))
        visible = whole.copy()
        if rng.random() < 0.5:  # on the road all dashes are equally long: in the image they shrink with the distance
            distance = np.log(np.maximum(np.arange(MASK_SIZE[0]) - 60, 1))
            phase = distance / rng.uniform(0.25, 0.6) + rng.random()
            visible[phase % 1 > rng.uniform(0.45, 0.7)] = 0
        if hide:
            visible[y : y + h, x : x + w] = 0
        if keep_ends:
            ends = np.r_[rows[:6], rows[-8:]]
            visible[ends] = whole[ends]
        mask |= visible
    return mask


def _soften(rng, mask):
    """Blurred, with blotches, as probabilities."""
    blotches = cv2.GaussianBlur(rng.normal(0, 1, mask.shape).astype(np.float32), (0, 0), 2)
    return np.clip(0.95 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1) + 0.2 * blotches, 0, 1)


def _right_points(predictions, lane, heights):
    """(predictions, heights): True where near enough to one lane, or both absent."""
    predictions = np.array(predictions, float).reshape(-1, len(heights))
    slope = np.polyfit(heights[lane >= 0], lane[lane >= 0], 1)[0]
    distance = np.abs(np.where(predictions < 0, -100, predictions) - np.where(lane < 0, -100, lane))
    return distance < 20 * np.hypot(1, slope)


def lane_accuracy(
    predictions,  # (P, heights) x in pixels, -2 where absent
    targets,  # (T, heights) the same
    heights=HEIGHTS,  # pixels
) -> np.ndarray:  # (T,) in 0..1
    """TuSimple's share of right points of each lane: within 20/cos θ pixels, or both absent."""
    heights = np.asarray(heights, float)
    shares = []
    for lane in np.asarray(targets, float):
        shares.append(_right_points(predictions, lane, heights).mean(1).max(initial=0))
    return np.array(shares)


def count_lost_and_invented(
    predictions,  # (P, heights) x in pixels, -2 where absent
    targets,  # (T, heights) the same
    heights=HEIGHTS,  # pixels
) -> tuple[int, int]:
    """True lanes without a prediction; predictions that match none or one already taken.

    A prediction belongs to the true lane on which most of its points lie, if that is half of them.
    """
    present = np.array(predictions).reshape(-1, len(heights)) >= 0  # (P, heights)
    shared = []
    for lane in targets:
        shared.append((_right_points(predictions, lane, heights) & present & (lane >= 0)).sum(1))
    shared = np.array(shared)  # (T, P)
    belongs = shared.max(0) >= present.sum(1) / 2
    taken = len(set(shared.argmax(0)[belongs]))
    return len(targets) - taken, len(present) - taken
