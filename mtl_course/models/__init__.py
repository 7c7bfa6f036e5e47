"""What `from mtl_course.models import …` gives, and the specification's example."""

from .checkpoint import load_model
from .multi_task_model import MultiTaskModel, model_from_config

__all__ = ["MultiTaskModel", "load_model", "model_from_config"]
