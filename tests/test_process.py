"""Work in a process of its own: the answer comes back, and what goes wrong there is told in one
line.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from mtl_course.core.errors import UserError
from mtl_course.core.process import ProcessError, run_in_subprocess


@pytest.mark.parametrize("threads, expected", [(3, "3"), (None, "7")])
def test_the_answer_comes_from_a_process_with_its_own_threads(monkeypatch, threads, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert run_in_subprocess("os:getenv", dict(key="OMP_NUM_THREADS"), threads=threads) == expected
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_process_that_ends_by_itself_is_told_by_its_code():
    with pytest.raises(ProcessError, match="^the process ended with code 3$") as error:
        run_in_subprocess("os:_exit", dict(status=3))
    assert (error.value.code, error.value.stderr) == (3, "")


def test_an_exception_there_is_told_by_its_last_line():
    with pytest.raises(UserError, match="^ModuleNotFoundError: No module named 'nowhere'$") as error:
        run_in_subprocess("builtins:__import__", dict(name="nowhere"))
    assert error.value.code == 1
    assert "Traceback" in error.value.stderr


WAITS = """
import os, pathlib, time
def wait(path):
    pathlib.Path(path).write_text(str(os.getpid()))
    time.sleep(120)
"""
ASKS = "from mtl_course.core.process import run_in_subprocess; run_in_subprocess('waits:wait', dict(path={path!r}))"


def until(condition) -> bool:  # within a minute
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.1)
    return False


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = f"/proc/{pid}/stat"  # ended, and not yet fetched by whoever adopted it
    return os.path.exists(status) and open(status).read().rpartition(")")[2].split()[0] == "Z"


def test_a_process_ends_soon_after_the_one_that_asked_for_it(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    path = tmp_path / "pid"
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", ASKS.format(path=str(path))]
    asking = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": places})
    try:
        assert until(lambda: path.exists() and path.read_text())
    finally:
        asking.send_signal(signal.SIGKILL)
        asking.wait()
    waiting = int(path.read_text())
    assert until(lambda: has_ended(waiting))


@pytest.mark.parametrize(
    "given, used",
    [({}, "1000"), (dict(GOMP_SPINCOUNT="5"), "5"), (dict(OMP_WAIT_POLICY="ACTIVE"), "None")],
)
def test_threads_do_not_spin_for_long(given, used):
    "Set before PyTorch is loaded; what a user has chosen stays."
    chosen = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in chosen} | given
    code = "import mtl_course, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    asked = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == used
