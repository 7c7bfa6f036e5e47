"""Random numbers of the world: one generator for each picture, and draws by weight."""

from bisect import bisect_left
from itertools import accumulate

import numpy as np

__all__ = []

_STREAMS = dict(track=1, sign_test=2, kitti=3, lane=4, lane_test=5, joint=6, drivable=7)


def picture_rng(
    seed: int,  # of the world
    stream: str,  # what is drawn: "track", "sign_test", "kitti", "lane", "lane_test", "joint" or "drivable"
    index: int,  # number of the picture (or track) in its stream
) -> np.random.Generator:
    """The random generator of one picture (or track): its bytes depend on these three and
    nothing else."""
    return np.random.default_rng(np.random.SeedSequence([seed, _STREAMS[stream], index]))


def weighted_choice(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A key drawn with probability proportional to its weight."""
    names = list(weights)
    sums = list(accumulate(map(float, weights.values())))
    return names[min(bisect_left(sums, rng.uniform(0, sums[-1])), len(names) - 1)]
