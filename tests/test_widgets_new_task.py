"""Widgets and a task they have never heard of: the playground shows it, the browser draws it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mtl_course.core.errors import UserError
from mtl_course.core.task import TASKS, Task, registered
from mtl_course.widgets.background_training import Curve, playground_config, presets_of
from mtl_course.widgets.playground_board import PlaygroundBoard
from mtl_course.widgets.samples import Sample
from mtl_course.widgets.sheet import Sheet
from mtl_course.widgets.task_views import PAIR, TaskView, make_view

FOUR = ("detection", "lane", "classification", "wet")


class Wet(Task):
    """Which pixels are wet? A mask, whose prediction is drawn in red."""

    name = "wet"
    title = "wet road"
    colour = "#123456"
    metrics = {"iou": "wet IoU"}
    class_names = ("wet", "dry")

    def targets_of(self, sample):
        return sample["mask"].numpy()

    def decode(self, model, output):
        return output.argmax(1)

    def describe(self, model, output, image_size, picture_size, score_threshold=0.5):
        return dict(wet=bool(self.decode(model, output).any()))

    def draw(self, picture, described):
        picture[:] = (255, 0, 0)
        return picture

    def image_score(self, decoded, targets):
        return float((decoded.numpy() == targets).mean())


class Damp(Wet):
    """The same without a score for one image."""

    name = "damp"

    def image_score(self, decoded, targets):
        return None


@pytest.fixture(params=[Wet, Damp])
def view(request):
    """The view of a task with one picture of 8 × 8 pixels, half of which is right."""
    with registered(request.param) as task:
        view = make_view(SimpleNamespace(), task.name)
        raw = torch.zeros(1, 2, 8, 8)
        targets = np.zeros((8, 8), np.int64)
        targets[:4] = 1
        view.samples.append(Sample(task.name, None, "a.png", (8, 8), raw, targets))
        yield view


def test_the_board_has_panels_for_four_tasks():
    with registered(Wet):
        board = PlaygroundBoard(FOUR, 2)
        curve = Curve(dict.fromkeys(FOUR, 1.0), steps=[1, 2], losses={task: [3.0, 2.0] for task in FOUR})
        board.update(curve.weights, "fixed", curve, [])
        assert tuple(board.loss) == tuple(board.score) == FOUR and len(board.bars) == 4
        assert board.loss["wet"][0].get_title() == "wet road" and board.score["wet"][0].get_title() == "wet IoU"
        assert board.loss["wet"][1][-1].get_color() == "#123456" and board.names[0].get_text() == "1/1/1/1 (now)"
        assert board.pixels().shape[2] == 3


def test_presets_and_sizes_know_four_tasks():
    with registered(Wet):
        presets = presets_of(tuple(TASKS))
        assert list(presets)[:2] == ["1/1/1/1", "5/30/1/1"] and presets["mgda"][0]["wet"] == 1
        assert playground_config(tasks=FOUR).image_size_of("wet") == (64, 96)


def test_a_task_without_a_view_is_drawn_beside_its_targets(view):
    assert type(view) is TaskView
    sheet = Sheet(*PAIR.size)
    pixels = np.full((40, 40, 3), 200, np.uint8)
    view.draw(sheet, pixels, view.samples[0], dict(score=0.5))
    x, y = PAIR.picture[:2]
    right = x + PAIR.picture[2] + 8
    assert (sheet.pixels[y + 5, x + 5] == (255, 0, 0)).all()  # as the task draws it
    assert (sheet.pixels[y + 5, right + 5] != sheet.pixels[y + 35, right + 5]).any()  # two classes of the targets
    assert [spot.words for spot in sheet.spots] == ["predicted", "true"]


def test_pictures_are_sorted_by_the_tasks_score(view):
    if type(view.task) is Damp:
        with pytest.raises(UserError, match="image_score"):
            view.image_scores(dict(score=0.5))
    else:
        assert view.image_scores(dict(score=0.5)) == [0.5]
        assert view.describe(view.state(view.samples[0], dict(score=0.5))) == "Score of this picture 50.0 %"
