"""Work in a process of its own: the answer comes back, and what goes wrong there is told in one line."""
import os
import pytest
from mtl_course.config import UserError, make_config
from mtl_course.experiments import ProcessError, in_own_process, train_run_apart


def test_the_answer_comes_from_another_process_with_its_own_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert in_own_process("os:getenv", dict(key="OMP_NUM_THREADS"), threads=3) == "3" and in_own_process("os:getenv", dict(key="OMP_NUM_THREADS")) == os.environ["OMP_NUM_THREADS"] == "7"


def test_what_went_wrong_is_told():
    with pytest.raises(ProcessError, match="^the process ended with code 3$") as found: in_own_process("os:_exit", dict(status=3))
    assert (found.value.code, found.value.stderr) == (3, "")
    with pytest.raises(UserError, match="^ModuleNotFoundError: No module named 'nowhere'$") as found: in_own_process("builtins:__import__", dict(name="nowhere"))
    assert found.value.code == 1 and "Traceback" in found.value.stderr


def test_a_training_that_cannot_be_made_is_one_sentence():
    with pytest.raises(UserError, match="^accumulate is 9"): train_run_apart([make_config("smoke", tasks="lane", batch_size=1, accumulate=9)])
