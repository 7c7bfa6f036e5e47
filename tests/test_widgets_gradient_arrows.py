"""Gradient arrows: balancers are asked and not copied, the geometry and the logic are right."""

import base64
import itertools
import math
import random

import numpy as np
import pytest
import torch
from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.core.task import default_tasks
from mtl_course.losses import BALANCERS, make_balancer
from mtl_course.training.recording import Recording, read_recording, record_gradients, recording_of_run
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
    GradientReplay,
    HandmadeGradients,
    handmade_drawing,
    replay_drawing,
)

pytestmark = pytest.mark.usefixtures("one_thread")
TASKS = default_tasks()
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


def drawn(figure):  # the thin arrows, and the labels beside the plane
    plane = figure.axes[0]
    return next(c for c in plane.collections if type(c).__name__ == "Quiver").U.size, [
        " ".join(t.get_text().split()) for t in plane.texts
    ]


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


def test_the_replay_draws_no_arrow_for_who_stands_still():
    made = recording()
    made.gramians["trunk"][0] = [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]  # two opposite gradients and one that is gone
    figure, table, _ = replay_drawing(made, 0)
    still = set(table.index[table.worse == "stands still"])
    assert "mgda" in still and drawn(figure)[0] == len(table) - len(still)


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


def recording(tasks=TASKS, steps=4):
    generator = np.random.default_rng(2)
    parts = {}
    for stage in ("stem", "layer1"):
        rows = generator.normal(size=(steps, len(tasks), 6)) * [[9.0], [1.0], [0.2]][: len(tasks)]
        parts[stage] = rows @ rows.transpose(0, 2, 1)
    return Recording(
        tuple(tasks),
        list(range(0, 5 * steps, 5)),
        generator.uniform(0.5, 3, (steps, len(tasks))),
        {s: p for s, p in [*parts.items(), ("trunk", sum(parts.values()))]},
        "made up",
    )


def test_a_recording_survives_the_disk(tmp_path):
    made = recording()
    made.save(tmp_path / "r.json")
    read = read_recording(tmp_path / "r.json")
    assert (read.tasks, read.steps, read.source, list(read.gramians)) == (
        made.tasks,
        made.steps,
        made.source,
        list(made.gramians),
    )
    assert np.allclose(read.losses, made.losses, rtol=1e-5) and all(
        np.allclose(read.gramians[s], g, rtol=1e-5) for s, g in made.gramians.items()
    )
    for text in (
        "",
        "[]",
        '{"tasks": ["lane"]}',
        (tmp_path / "r.json").read_text().replace('"trunk"', '"branch"'),
        (tmp_path / "r.json").read_text().replace('"steps": [0, ', '"steps": ['),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match="bad.json"):
            read_recording(tmp_path / "bad.json")
    with pytest.raises(UserError, match="benchmarks/gradient_recording.py"):
        read_recording(tmp_path / "none.json")


def test_the_replays_table_is_exact_and_its_updates_turn():
    made = recording()
    gramian = made.gramians["trunk"][2]
    figure, table, text = replay_drawing(made, 2)
    for method, row in table.iterrows():
        w = np.array([row[f"weight {t}"] for t in TASKS])
        expected = -(gramian @ w) / math.sqrt(w @ gramian @ w)  # -g_t·d/‖d‖ from the Gramian alone
        assert np.allclose(
            [row[f"change {t}"] for t in TASKS], expected, rtol=1e-4, atol=1e-6 * math.sqrt(gramian.max())
        ), method
    assert "graddrop" not in table.index and f"step {made.steps[2]}" in text.lower()
    drawn = {}
    original = ga.draw_arrows
    try:
        ga.draw_arrows = lambda gradients, updates, *rest, **named: (
            drawn.update(g=gradients, u=updates) or original(gradients, updates, *rest, **named)
        )
        for same_length in (False, True):
            _, table, _ = replay_drawing(made, 2, same_length=same_length)
            lengths = np.sqrt(np.diag(gramian)) if same_length else np.ones(3)
            flat = np.array([drawn["g"][t] for t in TASKS]) * lengths[:, None]
            for m in ("fixed", "mgda", "nash"):
                assert np.allclose(
                    drawn["u"][m], np.array([table.loc[m, f"weight {t}"] for t in TASKS]) @ flat, rtol=1e-4, atol=1e-6
                ), (m, same_length)
    finally:
        ga.draw_arrows = original


def test_the_replays_sentence_agrees_with_its_table():
    made = recording()
    made.gramians["trunk"][0] = [[9, -4, 0], [-4, 2, 0], [0, 0, 1]]  # equal weights harm detection
    for step in range(len(made.steps)):
        _, table, text = replay_drawing(made, step)
        for t in TASKS:
            names = [m for m, w in table.worse.items() if t in w.split(", ")]
            assert (f"{t} gets worse with {', '.join(names)}" in text) if names else (f"{t} gets worse" not in text), (
                step,
                t,
            )
        assert ("No task gets worse" in text) == (not any(set(w.split(", ")) & set(TASKS) for w in table.worse))
    assert "detection gets worse with fixed" in replay_drawing(made, 0)[2]
    made.gramians["trunk"][1] = np.eye(3)
    assert "No task gets worse with any method" in replay_drawing(made, 1)[2]


def test_a_run_that_logged_its_gradients_can_be_replayed(tmp_path):
    made = recording(steps=2)
    from mtl_course.training.gradients import GRADIENT_COLUMNS

    lines, losses = [",".join(GRADIENT_COLUMNS)], ["kind,epoch,step,task,loss"]

    def add(**cells):
        lines.append(",".join(str(cells.get(column, "")) for column in GRADIENT_COLUMNS))

    for k, step in enumerate(made.steps):
        for stage, grams in made.gramians.items():
            n = np.sqrt(np.diag(grams[k]))
            for i, t in enumerate(TASKS):
                add(step=step, stage=stage, task=t, norm=n[i])
                add(
                    step=step, stage=stage, layer="conv", depth=0, task=t, norm=1.0
                )  # a layer's row, not to be mixed up
                for j in range(i):
                    add(step=step, stage=stage, task=f"{TASKS[j]}+{t}", cosine=grams[k][i, j] / n[i] / n[j])
        add(step=step, stage="network", task="all", norm=1.0)
        losses += [f"step,1,{step},{t},{made.losses[k, i]}" for i, t in enumerate(TASKS)]
    with pytest.raises(UserError, match="gradient_log_every"):
        recording_of_run(tmp_path)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gradients.csv").write_text("\n".join(lines))
    (tmp_path / "logs" / "training.csv").write_text("\n".join(losses))
    read = recording_of_run(tmp_path)
    assert read.steps == made.steps and read.tasks == TASKS and np.allclose(read.losses, made.losses)
    assert all(np.allclose(read.gramians[s], g) for s, g in made.gramians.items())


def test_recording_a_real_run(smoke):
    config = make_config(
        "smoke", **{k: v for k, v in smoke.to_dict().items() if k in ("data_root",)}, epochs=1, steps_per_epoch=3
    )
    seen = []
    made = record_gradients(config, every=2, progress=lambda k, n: seen.append((k, n)))
    assert made.steps == [0, 2] and seen == [(1, 3), (2, 3), (3, 3)] and set(made.tasks) == set(TASKS)
    trunk = made.gramians["trunk"]
    assert np.allclose(sum(g for s, g in made.gramians.items() if s != "trunk"), trunk) and len(made.gramians) > 3
    assert (
        (np.linalg.eigvalsh(trunk) > -1e-6 * trunk.max()).all()
        and (np.einsum("stt->st", trunk) > 0).all()
        and (made.losses > 0).all()
    )
    GradientReplay(made).set_step(1)


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


def test_a_recording_that_fails_or_works_leaves_the_user_alone(monkeypatch):
    replay, states = GradientReplay(recording()), []
    monkeypatch.setattr(ga, "make_config", lambda *a, **k: None)

    def fails(*args):
        states.append((replay.record_button.disabled, replay.message.value))
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        raise UserError("the disk is <full>")

    def works(*args):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        return recording(steps=2)

    for way, words in (
        (fails, "No recording was made: the disk is &lt;full&gt;"),
        (works, "record_gradients, recipe smoke"),
    ):
        monkeypatch.setattr(ga, "record_gradients", way)
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        replay.record_button.click()
        assert words in replay.message.value and not replay.record_button.disabled
        assert (
            torch.equal(before[0], torch.get_rng_state())
            and np.array_equal(before[1], np.random.get_state()[1])
            and before[2] == random.getstate()
        )
    assert states[0][0] and "making the tiny world" in states[0][1] and len(replay.recording.steps) == 2
    monkeypatch.setattr(ga, "record_gradients", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        replay.record()
    assert (
        "ZeroDivisionError" in replay.message.value and not replay.record_button.disabled
    )  # what is not the user's mistake is raised, too


def test_the_replays_logic(tmp_path, monkeypatch):
    replay = GradientReplay(recording())
    pictures = [replay.picture.png]
    for act in (
        lambda: replay.set_step(3),
        lambda: replay.set_stage("stem"),
        lambda: setattr(replay.same_length, "value", False),
    ):
        act()
        pictures.append(replay.picture.png)
    assert (
        len(set(pictures)) == 4
        and replay.state() == dict(step=3, stage="stem", same_length=False, settled=False)
        and "Step 15, stem" in replay.picture.text
    )
    replay.load(recording(steps=2))
    assert replay.step.max == 1 and replay.state()["step"] == 0 and replay.state()["stage"] == "trunk"
    monkeypatch.setattr(ga, "project_root", lambda: tmp_path)
    empty = GradientReplay()
    assert "benchmarks/gradient_recording.py" in empty.message.value and empty.recording is None
    empty.set_step(0)  # nothing to draw, no error
    arrows = GradientArrows()
    arrows.box.selected_index = 1
    assert arrows.table.empty and "image/png" not in arrows._repr_mimebundle_()[0]
    with pytest.raises(UserError, match="no recording"):
        empty.to_jshtml()


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


def test_the_replay_without_a_kernel():
    replay = GradientReplay(recording())
    replay.set_step(3)
    before, state = replay.picture.png, replay.state()
    html = replay.to_jshtml(frames=3)
    assert (
        html.count("data:image/webp;base64") == 3
        and 'aria-label="recorded step"' in html
        and all(f"Step {s}, whole backbone" in html for s in (0, 10, 15))
    )
    assert replay.state() == state and replay.picture.png == before
