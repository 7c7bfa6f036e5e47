"""Data for the lessons that read it: the real sets where they are, else a small built-in world."""

from pathlib import Path

from ..core.files import real_data_root, resolve
from ..world.build import make_world

__all__ = ["example_data"]

_OPTIONS = dict(
    signs=3440,
    frames_per_track=8,
    sign_skew=1.0,  # classes as unequal as GTSRB's
    sign_test=0,
    scenes=120,
    lanes=20,
    lane_test=0,
    joint=0,
)


def example_data(progress: bool = True) -> Path:  # a folder with gtsrb/, kitti/ and tusimple/
    """The real data sets (`MTL_REAL_DATA`), or a small built-in world.

    That is `datasets/world-lessons`, drawn at its first use in half a minute.
    """
    root = real_data_root()
    if root is not None:
        print("data: the real sets")
        return root
    root = resolve("datasets/world-lessons")
    make_world(root, "tiny", progress=progress, **_OPTIONS)
    print("data: the built-in world in datasets/world-lessons")
    return root
