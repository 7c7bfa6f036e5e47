"""Everything that decides what a world looks like."""

from dataclasses import dataclass, fields, replace

import numpy as np

from ..core.errors import UserError
from .camera import SCENE_SIZES
from .traffic import check_class_weights

__all__ = ["WORLD_SIZES"]


@dataclass(frozen=True)
class WorldOptions:
    """Seed, counts and sizes; the counts are the imbalance between tasks."""

    seed: int = 0
    signs: int = 25800  # sign crops for training, in tracks
    frames_per_track: int = 3  # fewer than GTSRB's 30: for the same number of pictures, more different signs
    sign_test: int = 1720  # sign crops of the test set
    sign_skew: float = 0.0  # 0: equally many of each class, 1: as skewed as GTSRB
    scenes: int = 1400  # KITTI-like frames
    class_weights: dict | None = None  # relative frequency of the seven detection classes
    lanes: int = 1000  # TuSimple-like frames for training
    lane_test: int = 200
    joint: int = 60  # scenes labelled for all three tasks
    scene_size: tuple = SCENE_SIZES["kitti"]  # (width, height) in pixels
    lane_size: tuple = SCENE_SIZES["tusimple"]


WORLD_SIZES = dict(
    laptop=WorldOptions(),
    evening=WorldOptions(seed=1, signs=51600, scenes=4200, lanes=3000),  # another seed: no picture is in both worlds
    tiny=WorldOptions(signs=258, frames_per_track=3, sign_test=86, scenes=24, lanes=16, lane_test=8, joint=4),
)
_COUNTS = ("seed", "signs", "sign_test", "scenes", "lanes", "lane_test", "joint", "frames_per_track")
_GTSRB_COUNTS = np.array(
    """210 2220 2250 1410 1980 1860 420 1440 1410 1470 2010 1320 2100 2160 780 630 420 1110 1200 210 360 330
    390 510 270 1500 600 240 540 270 450 780 240 689 420 1200 390 210 2070 300 360 240 240""".split(),
    np.float64,
)  # training pictures of each class


def world_options(size: str = "laptop", **changes) -> WorldOptions:
    """Options of a named size with changes.

    Raises `UserError` for an unknown name, option or value."""
    if size not in WORLD_SIZES:
        raise UserError(f"world size must be one of {', '.join(WORLD_SIZES)}, got {size!r}.")
    known = {f.name for f in fields(WorldOptions)}
    for name in changes:
        if name not in known:
            raise UserError(f"unknown world option {name!r}; the options are {', '.join(sorted(known))}.")
    options = replace(WORLD_SIZES[size], **changes)
    _check(options)
    return replace(options, scene_size=tuple(options.scene_size), lane_size=tuple(options.lane_size))


def sign_counts(
    total: int,  # to share out
    skew: float = 0.0,  # 0 equal, 1 as GTSRB
) -> np.ndarray:  # (43,) int, sums to total
    """How many of `total` each sign class gets, by largest remainders.

    At least one each where there are enough."""
    weight = _GTSRB_COUNTS**skew
    share = total * weight / weight.sum()
    if total >= 43:
        share = 1 + (total - 43) * weight / weight.sum()
    counts = np.floor(share + 1e-9).astype(int)
    order = np.argsort(counts - share, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def _check(options: WorldOptions):
    """Raises `UserError` where a value makes no sense."""
    for name in _COUNTS:
        value = getattr(options, name)
        least = int(name == "frames_per_track")
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise UserError(f"world option {name} must be a whole number of at least {least}, got {value!r}.")
    frames = options.frames_per_track
    if frames > 30:
        raise UserError(f"world option frames_per_track must be at most 30, as in GTSRB, got {frames}.")
    if not 0 <= options.sign_skew <= 2:
        raise UserError(f"world option sign_skew must lie between 0 and 2, got {options.sign_skew}.")
    if options.class_weights is not None:
        check_class_weights(options.class_weights)
    for name in ("scene_size", "lane_size"):
        pair = getattr(options, name)
        if len(pair) != 2 or pair[0] < 64 or pair[1] < 32:
            raise UserError(f"world option {name} must be (width, height) of at least 64 x 32, got {pair}.")
