"""What `from mtl_course.widgets import …` gives: four widgets, loaded when they are asked for."""

import importlib

_PLACES = {
    "GradientArrows": "gradient_arrows",
    "ImbalanceLab": "imbalance_lab",
    "PredictionBrowser": "prediction_browser",
    "TaskWeightPlayground": "task_weight_playground",
}  # class -> module
__all__ = list(_PLACES)


def __getattr__(name: str):
    """A widget by its name, its module loaded when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"mtl_course.widgets has no {name!r}: expected one of {', '.join(_PLACES)}")
    return getattr(importlib.import_module(f"mtl_course.widgets.{_PLACES[name]}"), name)


def __dir__():
    return sorted([*globals(), *_PLACES])
