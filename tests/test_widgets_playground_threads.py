"""The playground's training thread: pausing, ending, mistakes, and what is freed."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from mtl_course.core.errors import UserError
from mtl_course.widgets import TaskWeightPlayground
from mtl_course.widgets import background_training as module
from mtl_course.widgets.background_training import BackgroundTraining
from playground_examples import ORDER, PATIENCE, Slow, make_playgrounds, steps, threads

pytestmark = pytest.mark.usefixtures("one_thread", "smoke")

make = pytest.fixture(make_playgrounds)


def test_pause_takes_effect_within_one_step(make):
    p = make()
    slow = Slow(p)
    p.train()
    slow.go.release()
    slow.inside.clear()
    assert slow.inside.wait(PATIENCE) and p.training
    ask = threading.Thread(target=p.pause, kwargs=dict(timeout=PATIENCE))
    ask.start()
    assert p._stop.wait(PATIENCE)
    done = slow.done
    for _ in range(5):
        slow.go.release()  # it could go on, but must not
    ask.join(PATIENCE)
    assert not ask.is_alive() and slow.done <= done + 1 and not p.training and not threads()
    assert p.state()["error"] is None  # it stopped because it was asked to
    p.train()  # and goes on when asked
    for _ in range(3):
        slow.go.release()
    p._stop.set()
    p.wait(PATIENCE)
    assert slow.done > done


def test_no_validation_after_pause_was_asked_for(make, monkeypatch):
    p, real = make(score_every=1), module.compute_gradients
    p.step()
    before = {t: len(p.curve.scores[t]) for t in ORDER}

    def asked_for(*args, **kwargs):
        p._stop.set()
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "compute_gradients", asked_for)
    p.step()
    assert {t: len(p.curve.scores[t]) for t in ORDER} == before and sum(before.values()) == 1


def test_the_thread_trains_and_ends_by_itself(make):
    p = make()
    p.train(steps=3)
    p.wait(PATIENCE)
    assert p.state()["step"] == 3 and not p.training and not threads() and p.state()["first_point"] > 0
    assert p.curve.losses == steps(make(), 3).curve.losses  # the same as by hand


def test_close_ends_the_thread(make):
    p = make()
    p.box
    slow = Slow(p)
    p.train()
    assert slow.inside.wait(PATIENCE)
    for _ in range(3):
        slow.go.release()
    p.close()
    assert not threads() and p.session is None and p.box.comm is None
    with pytest.raises(UserError, match="closed"):
        p.train()


def test_a_removed_display_ends_the_thread(make):
    p = make()
    p._repr_mimebundle_()
    assert p.box._view_count == 0
    slow = Slow(p)
    p.box._view_count = 1
    p.train()
    assert slow.inside.wait(PATIENCE)
    for _ in range(3):
        slow.go.release()
    p.box._view_count = 2
    p.box._view_count = 1
    assert not p._stop.is_set()  # another view is still there
    p.box._view_count = 0
    assert not threads()


def test_a_forgotten_playground_ends():
    p = BackgroundTraining()
    let = threading.Event()
    inside = threading.Event()
    done = []

    def step():
        inside.set()
        done.append(1)
        assert let.wait(PATIENCE)

    p.step = step
    p.train()
    assert inside.wait(PATIENCE)
    thread, gone = p.thread, weakref.ref(p)
    del p
    let.set()
    thread.join(PATIENCE)
    gc.collect()
    assert not thread.is_alive() and gone() is None and len(done) == 1  # after the running step


def test_one_playground_trains_at_a_time(make):
    a, b = make(), make()
    first, second = Slow(a), Slow(b)
    a.train()
    assert first.inside.wait(PATIENCE)
    for _ in range(3):
        first.go.release()
    b.train()
    assert b.training and not a.training
    for _ in range(3):
        second.go.release()
    b.pause()


def test_a_mistake_in_the_thread_is_said(make, monkeypatch):
    p = make()
    p.box

    def broken(*args, **kwargs):
        raise UserError("the loss of task 'lane' is nan")

    monkeypatch.setattr(module, "compute_gradients", broken)
    p.train()
    p.wait(PATIENCE)
    assert p.state()["error"] == "the loss of task 'lane' is nan" and "is nan" in p.status.value and not p.training
    monkeypatch.undo()
    p.train(steps=1)
    p.wait(PATIENCE)
    assert p.state()["error"] is None and p.state()["step"] == 1


def test_the_random_generator_of_the_user_is_left_alone(make):
    p = make()
    torch.manual_seed(5)
    np.random.seed(5)
    before, other = torch.get_rng_state(), np.random.get_state()[1].copy()
    steps(p, 5)
    assert torch.equal(before, torch.get_rng_state()) and np.array_equal(other, np.random.get_state()[1])


@pytest.mark.parametrize("stopped_by", ["pause", "reset"])
def test_steps_by_hand_are_scored_after_a_stop(make, stopped_by):
    p = make(BackgroundTraining)
    getattr(p, stopped_by)()
    assert set(steps(p, 3 * p.score_every).state()["scores"]) == set(ORDER)


@pytest.mark.parametrize("gone", ["never shown", "removed from the page", "closed"])
def test_a_playground_with_a_box_is_freed(gone):
    p = TaskWeightPlayground()
    weak, box = weakref.ref(p), p.box
    p.step()
    if gone != "never shown":
        p._repr_mimebundle_()
        p = None  # shown without a name: the page holds it
        gc.collect()
        assert weak() is not None
        box._view_count = 1
        gc.collect()
        assert weak().sliders["lane"].value == 1
        weak().sliders["lane"].value = 2
        assert weak().weights["lane"] == 2
    if gone == "removed from the page":
        box._view_count = 0
    if gone == "closed":
        weak().close()
    del p
    gc.collect()
    assert weak() is None
    box.children[1].children[
        -1
    ].value = "nobody is there"  # what is left of the page answers to nobody, without an error
    for control in box.children[1].children[1:-1]:
        control.click()


def test_close_closes_every_control(make):
    p = make()
    p._repr_mimebundle_()
    inside = [p.box]
    for w in inside:
        inside += getattr(w, "children", ())
    parts = [*inside, *(w.layout for w in inside), *(w.style for w in inside if hasattr(w, "style"))]
    assert len(inside) > 12 and all(w.comm is not None for w in parts)
    p.close()
    assert all(w.comm is None for w in parts)


def test_a_closed_playground_says_so(make):
    p = steps(make(), 1)
    p.box
    p.close()
    p.close()
    assert p.session is None and p.data is None
    for act in (p.step, p.train, p.reset, p._repr_mimebundle_):
        with pytest.raises(UserError, match="closed"):
            act()
    assert not threads() and p.session is None


@pytest.mark.parametrize("by", ["reset", "close"])
def test_a_step_longer_than_the_patience_of_pause(make, monkeypatch, by):
    """A thread in its step at a reset or close gives no error, and its step does not count."""
    p, real = make(score_every=1), module.compute_gradients
    inside, go = threading.Event(), threading.Event()

    def long(*args, **kwargs):
        made = real(*args, **kwargs)
        inside.set()
        assert go.wait(PATIENCE)
        return made

    monkeypatch.setattr(module, "compute_gradients", long)
    monkeypatch.setattr(
        BackgroundTraining, "pause", lambda self, timeout=0.01, pause=BackgroundTraining.pause: pause(self, timeout)
    )
    p.train()
    assert inside.wait(PATIENCE)
    thread = p.thread
    getattr(p, by)()
    assert thread.is_alive()
    go.set()
    thread.join(PATIENCE)
    assert (
        p.state()["error"] is None and p.state()["step"] == 0 and p.session is None and not any(p.curve.scores.values())
    )
    if by == "close":
        assert p.data is None
    else:
        assert p.curve.steps == [] and steps(p, 1).curve.steps == [1]


def test_train_does_not_count_on_a_thread_that_leaves(make, monkeypatch):
    """Pressed while the last picture is drawn or the last step runs, it trains on."""
    p = make()
    slow = Slow(p)
    drawing = threading.Event()
    go = threading.Event()

    def changed():
        if threading.current_thread().name == "task-weight playground":
            drawing.set()
            assert go.wait(PATIENCE)

    p._on_change = changed
    p.train(steps=1)
    slow.go.release()
    assert drawing.wait(PATIENCE) and not p.training
    first = p._last_thread
    p.train()  # the old thread is still there
    assert p.training and p._last_thread is not first and not p._stop.is_set()
    go.set()
    first.join(PATIENCE)
    assert p.training  # the end of the old one says nothing about the new one
    slow.inside.clear()
    slow.go.release()
    assert slow.inside.wait(PATIENCE)
    p._stop.set()
    monkeypatch.setattr(p, "wait", lambda timeout=None: None)  # nobody waits: the step runs on
    p.train()
    assert p.training and not p._stop.is_set()
    slow.inside.clear()
    slow.go.release()
    assert slow.inside.wait(PATIENCE)
    monkeypatch.undo()
    for _ in range(3):
        slow.go.release()
    p.pause(PATIENCE)
    assert not p.training and slow.done >= 3
