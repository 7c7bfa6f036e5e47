"""Work in a process of its own: the answer comes back, and what goes wrong there is told in one line. What is kept of a run."""

import os, signal, subprocess, sys, time
import numpy as np, pandas as pd, pytest
from mtl_course.core.errors import UserError
from mtl_course.config import make_config
from mtl_course.data.sampling import subsample_indices
from mtl_course.core.process import ProcessError, run_in_subprocess
from mtl_course.studies.runner import (
    read_study,
    study_summary,
    head_tail_recall,
    train_and_score,
    train_run_apart,
)
from mtl_course.studies.plans import STUDIES, STUDY_FILE


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_can_be_summed_up(study, part):
    table = read_study(STUDY_FILE)
    own = table[table.run.isin([*STUDIES[study], "alone"])]
    summary = study_summary(own, part).set_index("run")
    assert (
        set(summary.index) == set(own.run)
        and summary.delta_m.dropna().is_monotonic_decreasing
        and summary.delta_m["alone"] == pytest.approx(0)
    )


def test_the_answer_comes_from_another_process_with_its_own_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert (
        run_in_subprocess("os:getenv", dict(key="OMP_NUM_THREADS"), threads=3) == "3"
        and run_in_subprocess("os:getenv", dict(key="OMP_NUM_THREADS")) == os.environ["OMP_NUM_THREADS"] == "7"
    )


def test_what_went_wrong_is_told():
    with pytest.raises(ProcessError, match="^the process ended with code 3$") as found:
        run_in_subprocess("os:_exit", dict(status=3))
    assert (found.value.code, found.value.stderr) == (3, "")
    with pytest.raises(UserError, match="^ModuleNotFoundError: No module named 'nowhere'$") as found:
        run_in_subprocess("builtins:__import__", dict(name="nowhere"))
    assert found.value.code == 1 and "Traceback" in found.value.stderr


def test_a_process_ends_soon_after_the_one_that_asked_for_it(tmp_path):
    (tmp_path / "waits.py").write_text(
        "import os, pathlib, time\ndef wait(path):\n    pathlib.Path(path).write_text(str(os.getpid())); time.sleep(120)\n"
    )
    code = f"from mtl_course.core.process import run_in_subprocess; run_in_subprocess('waits:wait', dict(path={str(tmp_path / 'pid')!r}))"
    asking = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path)})

    def until(condition):
        for _ in range(600):
            if condition():
                return True
            time.sleep(0.1)

    try:
        assert until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    finally:
        asking.send_signal(signal.SIGKILL)
        asking.wait()
    waiting = int((tmp_path / "pid").read_text())

    def gone():
        try:
            os.kill(waiting, 0)
        except ProcessLookupError:
            return True
        status = f"/proc/{waiting}/stat"  # ended, and not yet fetched by whoever adopted it
        return os.path.exists(status) and open(status).read().rpartition(")")[2].split()[0] == "Z"

    assert until(gone)


def test_a_training_that_cannot_be_made_is_one_sentence():
    with pytest.raises(UserError, match="^accumulate is 9"):
        train_run_apart([make_config("smoke", tasks="lane", batch_size=1, accumulate=9)])


def test_the_thirds_are_those_that_a_skew_makes_rare_and_frequent():
    labels = np.repeat(np.arange(43), 40)
    kept = np.bincount(labels[subsample_indices(labels, len(labels), skew=10.0)], minlength=43)
    rank = pd.Series(kept).rank(method="first")  # 1: the rarest
    per_class = pd.DataFrame(dict(recall=kept / 40))
    got, third = head_tail_recall(per_class), 43 // 3
    assert got["recall_rarest_third"] == pytest.approx(per_class["recall"][rank <= third].mean()) and got[
        "recall_most_frequent_third"
    ] == pytest.approx(per_class["recall"][rank > 43 - third].mean())
    assert got["recall_rarest_third"] < 0.3 < 0.5 < got["recall_most_frequent_third"]
    per_class.loc[kept.argmin(), "recall"] = np.nan  # a class without an image
    assert head_tail_recall(per_class)["recall_rarest_third"] > got["recall_rarest_third"]


def test_a_run_keeps_the_recall_of_its_tails():
    rows = pd.DataFrame(
        train_and_score(make_config("smoke", tasks="classification", steps_per_epoch=1, epochs=1, num_workers=0))
    )
    test = rows[(rows.part == "test") & (rows.task == "classification")].set_index("metric").value
    assert {"accuracy", "recall_rarest_third", "recall_most_frequent_third"} <= set(test.index) and test.between(
        0, 1
    ).all()
    assert not rows[rows.part == "val"].metric.str.contains("third").any()
