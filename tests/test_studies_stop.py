"""Ctrl-C in a study: one press ends everything, and what is finished is in the table."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mtl_course.studies.runner as runner
from mtl_course.core.errors import UserError
from mtl_course.core.process import run_in_subprocess
from mtl_course.studies.runner import read_study, run_study

RUNS = {"first": dict(lane_weight=2.0), "second": dict(lane_weight=3.0), "third": dict(lane_weight=4.0)}
ROWS = [dict(part="val", task="lane", metric="iou", value=0.5)]


@pytest.fixture
def trained(monkeypatch):
    "Weights of the runs that were begun: the first ends at once, the second when it is stopped."
    begun = []

    def train_run_apart(configs, stop=None):
        begun.append(configs[0].lane_weight)
        if len(begun) == 1:
            return ROWS
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C
        if not stop.wait(30):
            raise UserError("nobody stopped it")
        raise UserError("stopped")

    monkeypatch.setattr(runner, "train_run_apart", train_run_apart)
    monkeypatch.setattr(runner, "prepare_data", lambda *_: None)
    return begun


def test_one_press_ends_a_study(trained, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path / "studies.csv", RUNS, [0], workers=1, progress=False)
    assert trained == [2.0, 3.0]
    assert read_study(tmp_path / "studies.csv").run.tolist() == ["first"]


def test_what_ended_during_the_press_is_in_the_table(monkeypatch, tmp_path):
    "Both have ended, and Ctrl-C comes while the first is stored."
    monkeypatch.setattr(runner, "train_run_apart", lambda configs, stop: ROWS)
    monkeypatch.setattr(runner, "prepare_data", lambda *_: None)
    stored = []

    def store(*arguments, real=runner._store_rows):
        stored.append(arguments)
        if len(stored) == 1:
            time.sleep(0.3)
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(runner, "_store_rows", store)
    with pytest.raises(KeyboardInterrupt):
        run_study(tmp_path / "studies.csv", RUNS, [0], workers=3, progress=False)
    assert set(read_study(tmp_path / "studies.csv").run) == set(RUNS)


def test_two_studies_in_one_table_keep_each_others_rows(monkeypatch, tmp_path):
    def other_study_meanwhile(configs, stop):
        if configs[0].lane_weight == 2.0:
            job = runner._Job("other", 0, configs)
            runner._store_rows(tmp_path / "studies.csv", job, ROWS)
        return ROWS

    monkeypatch.setattr(runner, "train_run_apart", other_study_meanwhile)
    monkeypatch.setattr(runner, "prepare_data", lambda *_: None)
    run_study(tmp_path / "studies.csv", RUNS, [0], workers=1, progress=False)
    assert set(read_study(tmp_path / "studies.csv").run) == {*RUNS, "other"}


def test_a_file_in_the_current_folder_is_no_module(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise SystemExit('a foreign file was run')")
    monkeypatch.chdir(tmp_path)
    assert run_in_subprocess("os:getcwd", {}) == str(tmp_path)


WAITS = """
from mtl_course.core.process import run_in_subprocess
print("begins", flush=True)
run_in_subprocess("signal:pause", {})
"""


def children_of(process: int) -> list[str]:
    children = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        children += path.read_text().split()
    return children


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="children are read from /proc")
@pytest.mark.parametrize("seconds", [0, 0.001, 0.003, 0.01, 3])
def test_an_interrupt_ends_the_process_of_a_study(seconds):
    "The interrupt reaches the caller alone, as from `kill -INT`, at any moment after the start."
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    asking = subprocess.Popen([sys.executable, "-c", WAITS], **pipes)
    assert asking.stdout.readline() == "begins\n"
    while not (children := children_of(asking.pid)):
        assert asking.poll() is None
    time.sleep(seconds)
    asking.send_signal(signal.SIGINT)
    assert asking.communicate(timeout=60)[1].rstrip().endswith("KeyboardInterrupt")
    with pytest.raises(ProcessLookupError):
        os.kill(int(children[0]), 0)
