"""Greedy matching: which detection finds which object, all frames and thresholds at once."""

from collections.abc import Iterator

import numpy as np

from ..core.statistics import safe_divide

__all__ = ["paired_ioa", "paired_iou"]


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # both (K, 4) -> (K,) square pixels
    "Common area of the boxes `a[k]` and `b[k]`; 0 when they do not meet."
    w = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    h = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return np.where((w <= 0) | (h <= 0), 0.0, w * h)


def _area(boxes: np.ndarray) -> np.ndarray:  # (K, 4) -> (K,)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def paired_iou(
    a: np.ndarray,  # (K, 4) boxes x1, y1, x2, y2
    b: np.ndarray,  # (K, 4) boxes
) -> np.ndarray:  # (K,) in 0..1
    "Intersection over union of `a[k]` and `b[k]`, summed in the order of KITTI's program."
    intersection = _intersection(a, b)
    return safe_divide(intersection, _area(a) + _area(b) - intersection)


def paired_ioa(
    a: np.ndarray,  # (K, 4) detections
    b: np.ndarray,  # (K, 4) regions
) -> np.ndarray:  # (K,) in 0..1
    "Intersection over area: the share of `a[k]` that lies inside `b[k]`."
    return safe_divide(_intersection(a, b), _area(a))


def pairs_within_frames(
    frame_a: np.ndarray,  # (A,) number of the frame of each item
    frame_b: np.ndarray,  # (B,) the same, sorted
    block: int = 1 << 21,  # about so many pairs at a time, for the sake of memory
) -> Iterator[tuple]:  # (i, j)
    "Yields index arrays of all pairs with frame_a[i] == frame_b[j], ordered by i."
    frames = int(max(frame_a.max(initial=-1), frame_b.max(initial=-1))) + 1
    count = np.bincount(frame_b, minlength=frames)
    first = (np.cumsum(count) - count)[frame_a]  # of the frame's items in b
    partners = count[frame_a]
    ends = np.cumsum(partners)
    cuts = np.searchsorted(ends, np.arange(block, ends[-1], block)) if len(ends) else []
    for chunk in np.split(np.arange(len(frame_a)), cuts):
        repeats = partners[chunk]
        offset = first[chunk] - (np.cumsum(repeats) - repeats)
        i = np.repeat(chunk, repeats)
        yield i, np.arange(len(i)) + np.repeat(offset, repeats)


def greedy_match(
    query: np.ndarray,  # (P,) who takes; pairs are sorted by query, then by preference
    candidate: np.ndarray,  # (P,) who is taken
    frame: np.ndarray,  # (P,) pairs of different frames share nobody
    allowed: np.ndarray,  # (P, T) bool: the pair exists at threshold t
    exclusive: np.ndarray,  # (candidates,) bool: may be taken only once
) -> np.ndarray:  # (P, T) bool: the matches
    """Each query of a frame, one after another, takes its first candidate that is still free.

    Queries of different frames never compete, so the first queries of all frames take together,
    then all second ones, and so on, at all T thresholds at once.
    """
    matched = np.zeros(allowed.shape, bool)
    if not len(query):
        return matched
    taken = np.zeros((len(exclusive), allowed.shape[1]), bool)
    starts_query = np.flatnonzero(np.r_[True, query[1:] != query[:-1]])
    size = np.diff(np.r_[starts_query, len(query)])  # pairs of each query
    first_frame = frame[starts_query]
    turn = np.arange(len(first_frame)) - np.searchsorted(first_frame, first_frame)  # 0: first query of its frame
    by_turn = np.argsort(turn, kind="stable")
    pair_order = np.argsort(np.repeat(turn, size), kind="stable")
    size = size[by_turn]
    start = np.cumsum(size) - size
    rounds = np.cumsum(np.bincount(turn))
    for a, b in zip(np.r_[0, rounds[:-1]], rounds):  # one round: at most one query of each frame
        low = start[a]
        high = start[b - 1] + size[b - 1]
        pairs = pair_order[low:high]
        free = allowed[pairs] & ~taken[candidate[pairs]]
        place = np.where(free, np.arange(high - low, dtype=np.int32)[:, None], high - low)
        choice = np.minimum.reduceat(place, start[a:b] - low, axis=0)  # (queries, T); high - low: none is free
        who, threshold = np.nonzero(choice < high - low)
        pair = pairs[choice[who, threshold]]
        matched[pair, threshold] = True
        blocks = exclusive[candidate[pair]]
        taken[candidate[pair][blocks], threshold[blocks]] = True
    return matched
