"""A run's folder: an earlier run stays until a new one has a checkpoint; one writer at a time."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

import mtl_course.training.loop as loop
import mtl_course.training.setup as setup
from mtl_course.config import Config, make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import locked, short_path
from mtl_course.models.checkpoint import read_checkpoint
from mtl_course.training.loop import train
from mtl_course.training.run_folder import _finish_replacing, _replace_earlier, config_to_resume

SHORT = dict(tasks="lane", steps_per_epoch=2, epochs=1, num_workers=0)


def lane_run(folder, resume=False, overwrite=False, **options):
    config = make_config("smoke", results_dir=str(folder), **SHORT | options)
    return train(config, resume=resume, overwrite=overwrite, progress=False)


def files_in(folder) -> dict:  # path -> bytes
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def names_in(folder) -> set:
    return {path.relative_to(folder) for path in files_in(folder)}


@pytest.fixture(scope="module")
def finished(smoke, tmp_path_factory):
    "A finished run; tests copy it."
    folder = tmp_path_factory.mktemp("finished")
    lane_run(folder)
    return files_in(folder), folder


@pytest.fixture
def earlier(finished, tmp_path):
    "A folder with a finished run."
    files, folder = finished
    for path, content in files.items():
        copy = tmp_path / "run" / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    return tmp_path / "run"


def stopped(*_, **__):
    raise KeyboardInterrupt


def stop_in(monkeypatch, where, folder, **options):
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(loop if hasattr(loop, where) else setup, where, stopped)
        lane_run(folder, **options)


def test_a_finished_run_is_not_trained_over(earlier):
    before = files_in(earlier)
    with pytest.raises(UserError, match=r"finished run \(1 epochs?\).*--resume.*--results_dir.*--overwrite"):
        lane_run(earlier, seed=1)
    assert files_in(earlier) == before


def test_an_unfinished_run_is_not_trained_over(earlier):
    Config.load(earlier / "config.json").replace(epochs=3).save(earlier / "config.json")
    with pytest.raises(UserError, match=r"an unfinished run \(epoch 2 of 3\)"):
        lane_run(earlier, seed=1)


def test_a_log_without_checkpoints_is_not_trained_over(earlier):
    for checkpoint in (earlier / "checkpoints").iterdir():
        checkpoint.unlink()
    with pytest.raises(UserError, match="holds a finished run"):
        lane_run(earlier)


@pytest.mark.parametrize("where", ["make_loaders", "train_step", "validate"])
def test_overwriting_keeps_the_old_run_until_a_checkpoint(earlier, monkeypatch, where):
    before = files_in(earlier)
    stop_in(monkeypatch, where, earlier, overwrite=True, seed=1)
    assert files_in(earlier) == before


def test_overwriting_ends_with_the_new_run_alone(earlier, tmp_path):
    lane_run(tmp_path / "alone", seed=1)
    lane_run(earlier, overwrite=True, seed=1)
    names = names_in(earlier)
    expected = names_in(tmp_path / "alone")
    assert names == expected
    assert Config.load(earlier / "config.json").seed == 1
    logs = [pd.read_csv(f / "logs" / "training.csv")[["kind", "step", "loss"]] for f in (earlier, tmp_path / "alone")]
    pd.testing.assert_frame_equal(*logs)


def test_scores_go_with_the_weights_that_they_are_of(earlier):
    own = str(short_path(earlier / "checkpoints" / "model_best.pt"))
    head = "model,checkpoint,value\n"
    tables = {name: earlier / name for name in ("evaluation_results.csv", "per_class_lane.csv", "confusion_matrix.csv")}
    tables["evaluation_results.csv"].write_text(f"{head}a,{own},0.5\nb,other/model_best.pt,0.250\nc,,1\n")
    tables["per_class_lane.csv"].write_text(f"{head}a,{own},0.5\n")
    tables["confusion_matrix.csv"].write_bytes(b"\xff\xfe no table")
    lane_run(earlier, overwrite=True, seed=1)
    assert tables["evaluation_results.csv"].read_text() == f"{head}b,other/model_best.pt,0.250\nc,,1\n"
    assert not tables["per_class_lane.csv"].exists()
    assert tables["confusion_matrix.csv"].read_bytes() == b"\xff\xfe no table"


def test_files_of_the_user_survive_overwriting(earlier):
    (earlier / "checkpoints" / "kept.pt").write_text("a copy of the user's")
    lane_run(earlier, overwrite=True, seed=1)
    assert (earlier / "checkpoints" / "kept.pt").read_text() == "a copy of the user's"


def test_a_stopped_new_run_does_not_cost_the_old_on_resume(earlier, monkeypatch):
    stop_in(monkeypatch, "make_loaders", earlier, overwrite=True, seed=1)
    config = Config.load(config_to_resume(earlier))
    run = train(config, resume=True, progress=False)
    assert (config.seed, run.step) == (0, 2)


def test_a_kill_while_the_new_run_takes_the_place(earlier, tmp_path):
    "Whichever file was moved last: the next start puts all of the new run there."
    lane_run(tmp_path / "new", seed=1)
    new = {path.relative_to(tmp_path / "new"): content for path, content in files_in(tmp_path / "new").items()}
    (tmp_path / "new").rename(earlier / ".next")
    moves = []

    def killed_move(*names, real=os.replace):
        if moves:
            raise KeyboardInterrupt
        moves.append(real(*names))

    with pytest.MonkeyPatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(os, "replace", killed_move)
        _replace_earlier(earlier)
    with pytest.raises(UserError, match="finished run"):
        lane_run(earlier)
    assert {path.relative_to(earlier): content for path, content in files_in(earlier).items()} == new


@pytest.mark.parametrize("after", range(13))  # files removed, a folder renamed, files moved
def test_a_kill_while_a_run_is_replaced_leaves_its_config(tmp_path, monkeypatch, after):
    "What is read before the replacing goes on is the new run's, whatever is still in its way."
    for folder, seed in ((tmp_path, 0), (tmp_path / ".next", 1)):
        make_config("smoke", seed=seed).save(folder / "config.json")
        for name in ("checkpoints/last.pt", "checkpoints/model_best.pt", "logs/training.csv", "logs/training.log"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
    calls = []

    def until_killed(real, *names, **options):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(names)
        return real(*names, **options)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        for name in ("unlink", "rename", "replace"):
            m.setattr(os, name, partial(until_killed, getattr(os, name)))
        _replace_earlier(tmp_path)
        raise KeyboardInterrupt
    assert Config.load(config_to_resume(tmp_path)).seed == 1
    _finish_replacing(tmp_path)
    assert Config.load(config_to_resume(tmp_path)).seed == 1


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(UserError, match="resume and overwrite"):
        lane_run(tmp_path, resume=True, overwrite=True)


def test_a_leftover_of_process_1_does_not_end_the_start(earlier):
    leftover = earlier / "checkpoints" / ".last.pt.1.tmp.pt"
    leftover.write_text("half a checkpoint")
    lane_run(earlier, overwrite=True, seed=1)
    assert not leftover.exists()


def test_a_second_training_in_one_folder_is_refused(tmp_path):
    with locked(tmp_path / "training"), pytest.raises(UserError, match="written by another training.*--results_dir"):
        lane_run(tmp_path)


def test_a_stopped_run_frees_its_folder(tmp_path, monkeypatch):
    stop_in(monkeypatch, "train_step", tmp_path)
    assert lane_run(tmp_path).step == 2


TRAINS = """
import sys, time
import mtl_course.training.loop as loop
from mtl_course.config import make_config
def wait(*args, **options):
    print("in a step", flush=True)
    time.sleep(600)
loop.train_step = wait
config = make_config("smoke", results_dir=sys.argv[1], tasks="lane", steps_per_epoch=2, epochs=1, num_workers=1)
loop.train(config, progress=False)
"""


def test_two_processes_and_a_kill(smoke, tmp_path):
    "The second is refused; when the first is killed, the folder is free at once."
    first = subprocess.Popen([sys.executable, "-c", TRAINS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "in a step\n"
        with pytest.raises(UserError, match="written by another training"):
            lane_run(tmp_path)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert lane_run(tmp_path).step == 2


def test_a_weight_that_is_not_a_number_is_not_saved(earlier, monkeypatch):
    def diverging_step(fabric, state, *others, real=loop.train_step):
        step = real(fabric, state, *others)
        if state.step == 3:  # the last of the resumed run
            next(state.model.parameters()).data.fill_(torch.nan)
        return step

    monkeypatch.setattr(loop, "train_step", diverging_step)
    folder = earlier.with_name("diverging")
    with pytest.raises(UserError, match="^step 4: weight backbone.* is not finite.*learning_rate"):
        lane_run(folder, epochs=2)
    assert read_checkpoint(folder / "checkpoints" / "last.pt")["step"] == 2
