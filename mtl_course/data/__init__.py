"""What `from mtl_course.data import …` gives."""

from .loaders import create_dataloaders
from .gtsrb import GTSRB
from .kitti import KITTI
from .tusimple import TuSimple

__all__ = ["create_dataloaders", "GTSRB", "KITTI", "TuSimple"]
