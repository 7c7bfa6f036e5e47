"""What `from mtl_course.metrics import …` gives."""

from .kitti import kitti_ap_arrays
from .kitti_files import kitti_ap
from .tusimple import tusimple_scores
from .tusimple_files import tusimple_metric
from .scores import (
    PRIMARY_METRIC,
    ClassificationMetric,
    DetectionMetric,
    LaneMetric,
    class_scores,
    classification_scores,
    confusion_matrix,
    constant_lane_scores,
    lane_scores,
    make_metric,
    checkpoint_score,
)

__all__ = [
    "PRIMARY_METRIC",
    "ClassificationMetric",
    "DetectionMetric",
    "LaneMetric",
    "class_scores",
    "classification_scores",
    "confusion_matrix",
    "constant_lane_scores",
    "kitti_ap",
    "kitti_ap_arrays",
    "lane_scores",
    "make_metric",
    "checkpoint_score",
    "tusimple_metric",
    "tusimple_scores",
]
