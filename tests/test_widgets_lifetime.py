"""Widgets that are deleted without `close()` leave nothing behind; on a page they stay."""

import gc
import weakref

import ipywidgets as ipw
import numpy as np
import pytest
import torch

from mtl_course.config import make_config
from mtl_course.models import model_from_config
from mtl_course.training.recording import Recording
from mtl_course.widgets import GradientArrows, ImbalanceLab, PredictionBrowser


def gradient_arrows():
    gramians = np.tile(np.eye(3), (2, 1, 1))
    recording = Recording(("classification", "detection", "lane"), [0, 1], np.ones((2, 3)), {"trunk": gramians})
    return GradientArrows(recording=recording)


def prediction_browser():
    config = make_config("smoke", tasks="lane")
    torch.manual_seed(0)
    return PredictionBrowser(model_from_config(config), config, images=2, progress=False)


MAKERS = dict(gradient_arrows=gradient_arrows, imbalance_lab=ImbalanceLab, prediction_browser=prediction_browser)


@pytest.fixture(params=MAKERS)
def make(request, smoke):
    return MAKERS[request.param]


def living_widgets() -> int:
    gc.collect()
    return len(ipw.widgets.widget._instances)


def test_a_deleted_widget_is_freed(make):
    before = living_widgets()
    widget = make()
    weak = weakref.ref(widget)
    del widget
    assert living_widgets() == before
    assert weak() is None


def test_a_widget_without_a_name_stays_while_it_is_on_the_page(make):
    widget = make()
    weak = weakref.ref(widget)
    box = widget.box
    widget._repr_mimebundle_()
    del widget
    gc.collect()
    box._view_count = 1
    gc.collect()
    assert weak() is not None
    box._view_count = 0
    gc.collect()
    assert weak() is None
