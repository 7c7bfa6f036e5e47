"""The replay: recorded gradients of a run as arrows, their table and its sentence."""

import math
import random

import numpy as np
import pytest
import torch
from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.training.loop import train
from mtl_course.training.recording import read_recording, record_gradients, recording_of_run
from mtl_course.widgets import gradient_arrows as ga
from mtl_course.widgets.gradient_arrows import (
    GradientArrows,
    GradientReplay,
    replay_drawing,
)
from arrow_examples import TASKS, drawn, recording

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_replay_draws_no_arrow_for_who_stands_still():
    made = recording()
    made.gramians["trunk"][0] = [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]  # two opposite gradients and one that is gone
    figure, table, _ = replay_drawing(made, 0)
    still = set(table.index[table.worse == "stands still"])
    assert "mgda" in still and drawn(figure)[0] == len(table) - len(still)


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

    def remember(gradients, updates, *rest, **named):
        drawn.update(g=gradients, u=updates)
        return original(gradients, updates, *rest, **named)

    try:
        ga.draw_arrows = remember
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


@pytest.mark.parametrize(
    "field", [dict(lane_every=2), dict(task_sampling="temperature"), dict(weight_schedule="lane=1>2")]
)
def test_a_recording_needs_every_task_in_every_step(field):
    with pytest.raises(UserError, match=next(iter(field))):
        record_gradients(make_config("smoke", **field))


def test_a_run_in_which_tasks_never_meet_is_no_recording(smoke, tmp_path):
    rests = dict(classification_every=2, lane_every=2, gradient_log_every=1)
    train(make_config("smoke", steps_per_epoch=2, epochs=1, results_dir=str(tmp_path), **rests), progress=False)
    with pytest.raises(UserError, match="no recorded step has all of classification, detection, lane.*TASK_every"):
        recording_of_run(tmp_path)


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
