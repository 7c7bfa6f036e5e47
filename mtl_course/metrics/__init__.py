"""Scores: an accumulator for each task, and the benchmarks' own programs."""

from .kitti_files import kitti_ap
from .scores import ClassificationMetric, DetectionMetric, LaneMetric, make_metric
from .tusimple_files import tusimple_metric

__all__ = ["ClassificationMetric", "DetectionMetric", "LaneMetric", "kitti_ap", "make_metric", "tusimple_metric"]
