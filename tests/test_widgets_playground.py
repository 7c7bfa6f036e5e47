"""The task-weight playground: what sliders do to the training, and that its thread obeys."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from mtl_course.config import BOOSTED_WEIGHTS
from mtl_course.core.errors import UserError
from mtl_course.core.task import TASKS
from mtl_course.losses import BALANCERS
from mtl_course.widgets import TaskWeightPlayground
from mtl_course.widgets import background_training as module
from mtl_course.widgets.background_training import EQUAL_WEIGHTS, Curve, few_images, playground_config, presets_of
from mtl_course.widgets.playground_board import PlaygroundBoard, running_mean
from playground_examples import ORDER, PATIENCE, Slow, make_playgrounds, steps, threads

pytestmark = pytest.mark.usefixtures("one_thread", "smoke")

make = pytest.fixture(make_playgrounds)
PRESETS = presets_of(ORDER)


def trunk(p):
    return torch.cat([x.detach().flatten() for x in p.session.state.model.shared_parameters()])


def test_weights_change_what_is_trained_and_nothing_else_does(make):
    one, again, boosted = (make() for _ in range(3))
    boosted.set_weights(detection=5, lane=30)
    for p in (one, again, boosted):
        steps(p, 2)
    assert torch.equal(trunk(one), trunk(again)) and not torch.equal(trunk(one), trunk(boosted))
    assert {t: boosted.curve.used[t] for t in ORDER} == {t: [BOOSTED_WEIGHTS[t]] * 2 for t in ORDER}
    for t in ORDER:
        assert boosted.curve.losses[t][0] == pytest.approx(
            one.curve.losses[t][0], rel=1e-5
        )  # without the weight; the first step starts from the same place
    assert all(np.isfinite(one.curve.losses[t]).all() for t in ORDER)


def test_a_wish_is_read_at_the_beginning_of_a_step(make, monkeypatch):
    p, real = make(), module.compute_gradients

    def meddling(*args, **kwargs):
        p.set_weights(lane=7)
        return real(*args, **kwargs)

    p.step()
    monkeypatch.setattr(module, "compute_gradients", meddling)
    p.step()
    assert p.curve.weights == EQUAL_WEIGHTS and p.curve.used["lane"] == [1, 1]
    p.step()
    assert p.curve.weights["lane"] == 7 and p.curve.used["lane"] == [7] and p.curve.steps == [3]


def test_a_changed_setting_leaves_a_ghost_but_no_short_one(make):
    p = steps(make(), 3)
    p.set_weights(lane=3)
    p.step()
    p.set_weights(lane=30)
    steps(p, 3)
    assert p.state()["ghosts"] == ["1/1/1"] and p.curve.label == "1/30/1"
    assert p.ghosts[0].steps == [1, 2, 3] and p.curve.steps == [5, 6, 7] and p.ghosts[0].number != p.curve.number


def test_reset_keeps_the_ghosts_and_begins_at_the_same_place(make):
    p = make(ghosts=2)
    p.choose("5/30/1")
    steps(p, 3)
    first, start = {t: list(p.curve.losses[t]) for t in ORDER}, trunk(p)
    p.reset()
    state = p.state()
    assert (
        state["step"] == 0 and state["ghosts"] == ["5/30/1"] and state["losses"] == {} and p.ghosts[0].losses == first
    )
    steps(p, 3)
    assert p.curve.losses == first and torch.equal(trunk(p), start) and p.curve.steps == [1, 2, 3]
    p.reset()
    p.choose("1/1/1")
    steps(p, 3)
    p.reset()
    assert p.state()["ghosts"] == ["5/30/1", "1/1/1"]  # two have room
    assert len({g.number % p.board.rows for g in p.ghosts}) == 2  # each in its own style


def test_each_preset_is_trained(make):
    assert set(PRESETS) == {"1/1/1", "5/30/1", *BALANCERS} - {"fixed"}
    p = make(score_every=10**6)
    for name in PRESETS:
        p.choose(name)
        p.step()
        assert p.curve.label == ("1/1/1 " + name if name in BALANCERS else name)
        assert p.session.state.model.task_weights == (BOOSTED_WEIGHTS if name == "5/30/1" else EQUAL_WEIGHTS)
        assert type(p.session.state.balancer) is BALANCERS[name if name in BALANCERS else "fixed"]
    p.choose("uncertainty")
    p.step()
    mine = p.session.state.balancer
    p.set_weights(lane=2)
    p.step()
    assert p.session.state.balancer is mine  # a weight does not make it forget what it learned


def test_a_balancer_that_looks_afterwards_is_told(make, monkeypatch):
    p, told = make(), []
    p.choose("famo")
    monkeypatch.setattr(BALANCERS["famo"], "after_step", lambda self, losses: told.append(losses))
    p.step()
    assert len(told) == 1 and set(told[0]) == set(ORDER)


def test_wrong_values_get_one_sentence(make):
    p = make()
    for wrong, word in (
        (dict(lane=0), "lane"),
        (dict(lane=-1), "lane"),
        (dict(lane=float("nan")), "lane"),
        (dict(lane="much"), "much"),
        (dict(lane=1e9), "100"),
        (dict(road=1), "road"),
        (dict(lane=True), "lane"),
    ):
        with pytest.raises(UserError, match=word):
            p.set_weights(**wrong)
    for wrong in ("scales", "torchjd:x"):
        with pytest.raises(UserError, match=wrong):
            p.set_balancer(wrong)
        with pytest.raises(UserError, match=wrong):
            p.choose(wrong)
    with pytest.raises(UserError, match="lane"):
        p.set_weights(detection=4, lane=-1)
    assert p.weights == EQUAL_WEIGHTS and p.balancer == "fixed"  # nothing was half done
    with pytest.raises(UserError, match="banana"):
        TaskWeightPlayground(banana=1)


def test_scores_are_of_the_validation_images_and_take_turns(make):
    p = steps(make(score_every=1), 4)
    assert sorted(len(p.curve.scores[t]) for t in ORDER) == [1, 1, 2]
    assert all(0 <= np.array(p.curve.scores[t])[:, 1].min() for t in ORDER)
    assert all(np.array(p.curve.scores[t])[:, 1].max() <= 1 for t in ORDER) and p.session.state.model.training
    config = playground_config()
    val, train = (
        set(map(str, files))
        for files in (
            few_images(config, "classification", 1000)["files"]["classification"],
            p.data.dataset.datasets["classification"].files,
        )
    )
    assert val and not val & train
    assert len(few_images(config, "classification", 5)["files"]["classification"]) == 5


def test_the_sliders_and_the_list_follow_each_other(make):
    p = make()
    p.box
    lane = p.sliders["lane"]
    assert lane.description == "lane weight" and set(p.sliders) == set(ORDER)
    before = p.picture.png
    lane.value = 30
    assert (
        p.weights == EQUAL_WEIGHTS | dict(lane=30.0)
        and p.preset_list.value == "own weights"
        and "1/30/1" in p.status.value
    )
    assert p.picture.png != before and "lane 30" in p.picture.text
    p.preset_list.value = "5/30/1"
    assert p.weights == BOOSTED_WEIGHTS and p.sliders["detection"].value == 5
    p.preset_list.value = "mgda"
    assert p.weights == EQUAL_WEIGHTS and p.balancer == "mgda" and lane.value == 1
    lane.value = 4
    assert p.balancer == "mgda" and p.preset_list.value == "mgda" and p.weights["lane"] == 4
    p.set_weights(detection=2)
    assert p.sliders["detection"].value == 2
    p.set_balancer("dwa")
    assert p.preset_list.value == "dwa" and p.weights["lane"] == 4  # the list follows; it does not choose
    p.set_weights(lane=100, detection=0.01)  # the ends
    assert p.weights == dict(lane=100, detection=0.01, classification=1)


def test_a_slider_does_not_wait_for_a_picture(make, monkeypatch):
    p = make()
    p.box
    p.draw()
    before = p.picture.png

    class Taken:  # another thread is drawing
        def acquire(self, blocking=True, timeout=-1):
            assert not blocking and timeout == -1
            return False

    lock, p._drawing = p._drawing, Taken()
    p.sliders["lane"].value = 20
    assert "1/20/1" in p.status.value and p.picture.png == before
    p._drawing = lock
    p.draw()
    assert "lane 20" in p.picture.text
    real, moved = p.picture.show, []

    def show(*args):
        if not moved:
            moved.append(1)
            p.sliders["lane"].value = 9  # moved while it is drawn
        return real(*args)

    monkeypatch.setattr(p.picture, "show", show)
    p.draw()
    assert "lane 9" in p.picture.text and p.board.values[1].get_text() == "9"


def test_the_buttons_do_what_they_say(make):
    p = make()
    p.box
    buttons = p.buttons
    slow = Slow(p)
    buttons["train"].click()
    assert slow.inside.wait(PATIENCE) and "training" in p.status.value or "preparing" in p.status.value
    for _ in range(3):
        slow.go.release()
    buttons["pause"].click()
    assert not threads()
    del p.step
    steps(p, 3)
    buttons["reset"].click()
    assert p.state()["ghosts"] == ["1/1/1"] and p.state()["step"] == 0
    p.closed = True
    buttons["train"].click()  # a sentence, not a traceback
    assert "closed" in p.status.value
    p.closed = False


def test_the_picture_is_drawn_while_it_trains(make):
    p = make()
    p.box
    before = p.picture.png
    p.train(steps=4)
    p.wait(PATIENCE)
    assert p.picture.png != before and "Step 4" in p.picture.text and "step 4" in p.status.value
    bundle, metadata = p._repr_mimebundle_()
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(
        bundle
    ) and "Step 4" in metadata["image/png"]["alt"]


def test_the_board_shows_every_curve_with_its_weights():
    def curve(number, weights, n):
        c = Curve(weights, "fixed", number, list(range(1, n + 1)))
        for k, t in enumerate(ORDER):
            c.losses[t] = [k + number + 1.0] * n
            c.scores[t] = [(n, 0.1 * (number + 1))]
            c.used[t] = [weights[t]] * n
        return c

    board, ghosts = PlaygroundBoard(ORDER, 3), [curve(0, EQUAL_WEIGHTS, 5), curve(1, BOOSTED_WEIGHTS, 7)]
    now = curve(2, EQUAL_WEIGHTS | dict(lane=9.0), 3)
    board.update(now.weights, "fixed", now, ghosts)
    assert [n.get_text() for n in board.names] == ["1/9/1 (now)", "5/30/1", "1/1/1", ""]
    styles = [key.get_linestyle() for key in board.keys if key.get_visible()]
    assert len(styles) == len(set(styles)) == 3  # not told apart by colour alone
    axes, lines = board.loss["lane"]
    assert {lines[g.number].get_linestyle() for g in ghosts} | {lines[-1].get_linestyle()} == set(styles)
    drawn = {len(l.get_xdata()): l.get_ydata() for l in lines if len(l.get_xdata())}
    assert set(drawn) == {5, 7, 3} and np.allclose(drawn[7], 3.0) and np.allclose(drawn[3], 4.0)
    assert lines[-1].get_linewidth() > lines[0].get_linewidth() and axes.get_xlim()[1] > 7 and axes.get_ylim()[1] > 4
    assert [v.get_text() for v in board.values] == ["1", "9", "1"]
    board.update(now.weights, "fixed", now, ghosts, until=4)
    assert sorted(len(l.get_xdata()) for l in lines if len(l.get_xdata())) == [3, 4, 4] and axes.get_xlim()[1] > 7
    assert running_mean([1, 2, 3, 4], 2).tolist() == [1, 1.5, 2.5, 3.5] and running_mean([]).tolist() == []


def test_a_sweep_for_where_there_is_no_kernel(make):
    p = make()
    steps(p, 4)
    p.choose("5/30/1")
    steps(p, 4)
    html = p.to_jshtml(frames=4)
    assert html.count("data:image/webp;base64") == 4 and 'type="range"' in html and len(html) < 300_000
    assert p.state()["step"] == 8  # nothing was trained for it
    assert 'aria-label="step"' in html and html.count("Up to step") == 4 + 2 and "5/30/1: detection" in html
    frame = re.findall('data:image/webp;base64,([^"]+)', html)[-1]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(frame))).convert("RGB")).reshape(-1, 3)
    for t in ORDER:
        assert (pixels == [int(TASKS[t].colour[k : k + 2], 16) for k in (1, 3, 5)]).all(1).sum() > 50, (
            t
        )  # the very colours of the tasks


def test_a_sweep_without_curves_compares_two_settings(make):
    p = make()
    p.to_jshtml(frames=2, steps=3)
    assert [c.label for c in (*p.ghosts, p.curve)] == ["1/1/1", "5/30/1"] and all(
        c.steps == [1, 2, 3] for c in (*p.ghosts, p.curve)
    )
