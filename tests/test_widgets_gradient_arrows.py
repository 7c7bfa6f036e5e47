"""Gradient arrows: balancers are asked and not copied, the geometry and the logic are right."""

import base64
import itertools
import math

import numpy as np
import pytest
import torch
from mtl_course.core.errors import UserError
from mtl_course.losses import BALANCERS, make_balancer
from mtl_course.widgets import gradient_arrows as ga
from mtl_course.widgets.arrow_drawing import table_to_html
from mtl_course.widgets.arrow_updates import (
    METHODS,
    Update,
    balanced_updates,
    can_settle,
    conflict_free_degrees,
    conflict_free_region,
    embed_gramian,
    fresh_balancer,
    in_plane,
    loss_changes,
    plane_share,
    update_table,
)
from mtl_course.widgets.gradient_arrows import (
    PRESETS,
    GradientArrows,
    HandmadeGradients,
    handmade_drawing,
)
from arrow_examples import TASKS, drawn, recording

pytestmark = pytest.mark.usefixtures("one_thread")
LOSSES = dict(classification=2.0, detection=1.0, lane=0.5)
J = in_plane([15, 80, 150], [1.5, 1.0, 1.2])


def test_every_balancer_is_drawn_and_torchjds_double_is_not():
    assert {name for name, _ in METHODS.values()} == set(BALANCERS) - {"torchjd"}


@pytest.mark.parametrize("method", METHODS)
def test_an_update_is_the_balancers_own(method):
    "Weights or combination of a balancer that is asked directly."
    name, options = METHODS[method]
    asked, update = make_balancer(name, LOSSES, **options), balanced_updates(J, LOSSES)[method]
    if asked.needs == "gramian":
        d = asked.weights(torch.from_numpy(J @ J.T), LOSSES).numpy() @ J
    elif asked.needs == "gradients":
        d = asked.combine(torch.from_numpy(J), LOSSES).numpy()
    else:
        weights = np.array([float(asked.weight(t, torch.tensor(l))) for t, l in LOSSES.items()])
        d = asked.finish(LOSSES) * weights @ J
    assert np.allclose(update.direction, d, rtol=1e-5, atol=1e-9)
    if asked.needs != "gradients":
        assert np.allclose(np.array(list(update.weights.values())) @ J, update.direction, rtol=1e-5, atol=1e-9)


def test_a_redraw_does_not_depend_on_earlier_ones():
    first, _, again = (balanced_updates(J, LOSSES, settled) for settled in (False, True, False))
    assert all(np.array_equal(first[m].direction, again[m].direction) for m in METHODS)
    settled = [balanced_updates(J, LOSSES, True) for _ in range(2)]
    assert all(np.array_equal(settled[0][m].direction, settled[1][m].direction) for m in METHODS)


def test_settled_weights_are_what_the_methods_converge_to():
    weights = {m: np.array(list(u.weights.values())) for m, u in balanced_updates(J, LOSSES, settled=True).items()}
    losses, lengths = np.array(list(LOSSES.values())), np.linalg.norm(J, axis=1)
    assert np.allclose(weights["uncertainty"] * losses, 0.5, rtol=0.1)  # Kendall: minimum of w L + s/2 at w = 1/(2L)
    assert np.allclose(weights["imtl_l"] * losses, 1, rtol=0.1)  # IMTL-L: w L = 1
    norms = weights["gradnorm"] * lengths
    assert norms.max() / norms.min() < 1.15 and (lengths.max() / lengths.min()) > 1.4  # GradNorm: equal lengths
    assert np.allclose(weights["fixed"], 1) and np.allclose(weights["dwa"], 1)


def weights_of(balancer, gramian):
    """What a balancer would weigh the tasks of LOSSES with, (3,)."""
    if balancer.needs == "gramian":
        return balancer.weights(gramian, LOSSES)
    return torch.tensor([float(balancer.weight(task, torch.tensor(loss))) for task, loss in LOSSES.items()])


@pytest.mark.parametrize("name", [n for n in BALANCERS if can_settle(n)])
def test_settling_is_sixty_steps_of_the_balancer_at_this_place(name):
    """That the widget remembers them by losses and lengths alone must not show."""
    gramian = torch.from_numpy(J @ J.T)
    slow = make_balancer(name, LOSSES, lr=0.15)
    for _ in range(60):
        slow.weights(gramian, LOSSES) if slow.needs == "gramian" else slow.finish(LOSSES)
    quick = fresh_balancer(name, gramian, LOSSES, settled=True)
    assert torch.allclose(weights_of(slow, gramian), weights_of(quick, gramian), rtol=1e-6)


def test_another_seed_changes_only_those_that_draw_lots():
    a, b = (balanced_updates(in_plane([90, 210, 330], [1, 1.5, 2]), LOSSES, seed=s) for s in (0, 3))
    changed = {m for m in METHODS if not np.allclose(a[m].direction, b[m].direction)}
    assert "random" in changed and changed <= {"random", "pcgrad", "graddrop"}


def test_who_gets_worse_is_what_a_small_step_shows():
    g, table = J, update_table(J, LOSSES, updates := balanced_updates(J, LOSSES))
    for method, update in updates.items():
        step = -1e-3 * update.direction / np.linalg.norm(update.direction)  # a descent step, by hand
        worse = [t for t, change in zip(LOSSES, g @ step) if change > 1e-9]
        assert table.worse[method] == ", ".join(worse)
        assert np.allclose([table.loc[method, f"change {t}"] for t in LOSSES], 1e3 * (g @ step), atol=1e-6)
    assert table.worse["fixed 5/30/1"] == "classification" and table.worse["upgrad"] == ""


def test_the_methods_promises_hold_in_all_presets():
    for name, cases in PRESETS.items():
        for T in (2, 3):
            losses = dict(list(LOSSES.items())[:T])
            g = in_plane(*cases[T])
            table = update_table(g, losses, balanced_updates(g, losses))
            safe = ["mgda", "upgrad"] + (["pcgrad"] if T == 2 else [])
            assert all(table.worse[m] in ("", "stands still") for m in safe), (name, T)
            free, inside = conflict_free_degrees(g) > 0, all(table.worse[m] == "" for m in safe)
            assert free == inside or name == "linearly dependent", (name, T)
    assert (
        update_table(
            in_plane([0, 180], [1, 1]), dict(a=1.0, b=1.0), dict(mgda=Update(np.zeros(2), dict(a=0.5, b=0.5)))
        ).worse["mgda"]
        == "stands still"
    )


@pytest.mark.parametrize("same_length", (False, True))
def test_who_stands_still_gets_a_dot_and_no_arrow(same_length):
    seen = set()
    for name, cases in PRESETS.items():
        hand = HandmadeGradients(name)
        figure, table, text = handmade_drawing(hand.state() | dict(same_length=same_length))
        still = set(table.index[table.worse == "stands still"])
        seen |= still
        arrows, labels = drawn(figure)
        assert arrows == len(METHODS) - len(still)
        dots = [l for l in labels if l.startswith("stands still")]
        assert len(dots) == bool(still) and all(m in dots[0] and m in text.split("Standing still")[1] for m in still)
        assert any(
            l.get_marker() == "o" and l.get_xdata()[0] == 0 == l.get_ydata()[0] for l in figure.axes[0].lines
        ) == bool(still)
    assert {"mgda", "nash", "upgrad"} <= seen
    rounding = ga.draw_arrows(
        dict(classification=np.array([1.0, 0]), lane=np.array([-1.0, 0])),
        dict(mgda=np.array([1e-12, 3e-12]), fixed=np.array([0.0, 2e-3])),
        same_length,
    )
    assert drawn(rounding)[0] == 1 and any(
        l.startswith("stands still") and "mgda" in l for l in drawn(rounding)[1]
    )  # without a table the same limit


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("number", (2, 3))
def test_names_of_gradients_do_not_overlap(preset, number):
    gradients = dict(zip(TASKS, in_plane(*PRESETS[preset][number])))
    figure = ga.draw_arrows(gradients, dict(fixed=np.array([1.0, 1.0])))
    plane = figure.axes[0]
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [t.get_window_extent(canvas.get_renderer()) for t in plane.texts if t.get_text() in TASKS]
    assert len(boxes) == number
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    tips = plane.transData.transform(list(gradients.values()))
    assert not any(box.contains(*tip) for box, tip in itertools.product(boxes, tips))
    thin, thick = [c for c in plane.collections if type(c).__name__ == "Quiver"]
    assert thick.get_zorder() > thin.get_zorder()  # no update hides a gradient


def test_loss_changes_forgive_rounding_and_tell_standing_still():
    g = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert (loss_changes(g, np.array([1.0, -1e-9])) == [-1, 0]).all()
    assert loss_changes(g, np.array([1.0, -1e-3]))[1] > 0
    assert (loss_changes(g, np.array([5e-4, -5e-4])) == 0).all()
    assert np.allclose(loss_changes(g, np.array([3.0, 4.0])), [-0.6, -0.8])


@pytest.mark.parametrize(
    "angles, degrees",
    [
        ([0], 180),
        ([0, 90], 90),
        ([10, 170], 20),
        ([0, 180], 0),
        ([90, 210, 330], 0),
        ([350, 20], 150),
        ([15, 80, 150], 45),
        ([-170, 170], 160),
    ],
)
def test_the_conflict_free_region(angles, degrees):
    g = in_plane(angles, [2.0] * len(angles))
    assert conflict_free_degrees(g) == pytest.approx(degrees, abs=1e-6)
    region = conflict_free_region(g, 1.0)
    x, y = region.T if len(region) else np.zeros((2, 1))
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    assert area / 4 == pytest.approx(
        (points @ g.T >= 0).all(1).mean(), abs=0.02
    )  # the share of random directions without conflict
    assert (region @ g.T >= -1e-9).all()


def test_an_embedding_keeps_all_inner_products():
    g = np.random.default_rng(1).normal(size=(3, 50)) * [[30], [1], [0.1]]
    rows = embed_gramian(g @ g.T)
    assert np.allclose(rows @ rows.T, g @ g.T) and abs(rows[0, 1]) < 1e-9 and rows[0, 0] > 0 and rows[1, 1] >= 0
    eigenvalues = np.linalg.eigvalsh(g @ g.T)
    assert plane_share(rows) == pytest.approx(eigenvalues[1:].sum() / eigenvalues.sum())
    for bad in (np.diag([1.0, -1.0]), np.full((2, 2), math.nan), np.ones((2, 3))):
        with pytest.raises(UserError):
            embed_gramian(bad)


def test_the_widgets_logic():
    arrows = GradientArrows(recording=recording())
    before, table = arrows.picture.png, arrows.table
    arrows.set_gradient("lane", angle=200, length=3, loss=2)
    lane = arrows.state()["gradients"]["lane"]
    assert lane["angle"] == 200 and lane["length"] == pytest.approx(3) and lane["loss"] == pytest.approx(2)
    assert arrows.picture.png != before and not arrows.table.equals(table)
    assert table_to_html(arrows.table) == arrows.hand.table_html.value and "lane gets worse with" in arrows.picture.text
    arrows.hand.sliders["detection"]["angle"].value = 300  # by mouse or key
    assert arrows.state()["gradients"]["detection"]["angle"] == 300
    arrows.set_preset("agreement")
    same = arrows.picture.png
    assert (
        not any(w and "5/30/1" not in m for m, w in arrows.table.worse.items()) and "115° wide" in arrows.picture.text
    )
    arrows.hand.same_length.value = True
    assert arrows.picture.png != same
    arrows.hand.number.value = 2
    assert list(arrows.state()["gradients"]) == list(TASKS[:2]) and arrows.hand.rows["lane"].layout.display == "none"
    for wrong in (
        dict(angle=float("nan")),
        dict(angle=1e9),
        dict(length=0),
        dict(length="long"),
        dict(loss=-1),
        dict(loss=math.inf),
        dict(angle=0, length=[1]),
        dict(loss=True),
    ):
        before = arrows.state()
        with pytest.raises(UserError, match=list(wrong)[-1]) as e:
            arrows.set_gradient("detection", **wrong)
        assert arrows.state() == before and "\n" not in str(e.value)
    for wrong in (-1, 99, 1.5, "first"):
        with pytest.raises(UserError, match="step"):
            arrows.replay.set_step(wrong)
    for call in (
        lambda: arrows.set_preset("peace"),
        lambda: arrows.set_gradient("lane", angle=0),
        lambda: arrows.to_jshtml("lane"),
        lambda: arrows.replay.set_stage("roof"),
    ):
        with pytest.raises(UserError):
            call()


def test_the_list_of_presets_says_what_is_drawn():
    hand = HandmadeGradients()
    hand.sliders["lane"]["angle"].value = 200
    assert hand.state()["preset"] == ga.OWN == hand.preset.value
    hand.preset.value = "conflict"  # the same entry again does something
    assert hand.state()["gradients"]["lane"]["angle"] == 150 and hand.state()["preset"] == "conflict"
    hand.set_gradient("lane", length=5)
    hand.number.value = 2
    assert (
        hand.state()["preset"] == "own arrows" and hand.state()["gradients"]["detection"]["angle"] == 80
    )  # another number moves no arrow of one's own
    hand.set_preset("agreement")
    hand.number.value = 3
    assert hand.state()["preset"] == "agreement" and hand.state()["gradients"]["lane"]["angle"] == 85
    hand.set_gradient("lane", angle=90)
    hand.set_gradient("lane", angle=85)
    assert hand.state()["preset"] == "agreement"  # moved and moved back


def test_one_change_is_one_redraw(monkeypatch):
    count = []
    original = ga.handmade_drawing
    hand = HandmadeGradients()
    monkeypatch.setattr(ga, "handmade_drawing", lambda *a, **k: count.append(1) or original(*a, **k))
    hand.set_preset("one dominating")
    assert len(count) == 1
    hand.set_gradient("lane", angle=10, length=2, loss=3)
    assert len(count) == 2
    hand.preset.value = "conflict"
    assert len(count) == 3


def test_what_a_place_without_a_kernel_gets():
    arrows = GradientArrows(recording=recording())
    (bundle, metadata), state = arrows._repr_mimebundle_(), arrows.state()
    assert (
        base64.b64decode(bundle["image/png"]) == arrows.picture.png
        and arrows.picture.text in bundle["text/plain"]
        and metadata["image/png"]["alt"] == arrows.picture.text
    )
    html = arrows.to_jshtml(angles=(60, 150, 240))
    assert html.count("data:image/webp;base64") == 3 and len(html) < 300_000 and arrows.state() == state
    assert (
        'aria-label="angle of the lane gradient"' in html and "lane 1.26 long at -120°" in html
    )  # a sentence for each frame
    with pytest.raises(UserError, match="angle"):
        arrows.to_jshtml(angles=(60, 1000))


def test_a_frame_of_the_sweep_says_its_angle(monkeypatch):
    titles, original = [], ga.draw_arrows
    monkeypatch.setattr(ga, "draw_arrows", lambda *a, **k: titles.append(a[3]) or original(*a, **k))
    GradientArrows(recording=recording()).to_jshtml(angles=(60, 240))
    assert titles[-2:] == ["lane at 60°; conflict-free: 115°", "lane at 240°; no direction is free of conflict"]
