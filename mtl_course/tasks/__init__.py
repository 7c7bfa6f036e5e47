"""The tasks of the course, in the order in which they are registered."""

from .classification import SignClassification
from .detection import ObjectDetection
from .lane import LaneSegmentation

__all__ = ["LaneSegmentation", "ObjectDetection", "SignClassification"]
