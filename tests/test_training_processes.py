"""Training in two processes: one gradient, one loop, one sentence for a mistake."""

import os, re, subprocess, sys
from pathlib import Path
import pytest, torch
from mtl_course.models.checkpoint import read_checkpoint
from training_examples import log_of


@pytest.mark.parametrize("balancer", ["fixed", "mgda"])
def test_two_processes_average_to_one(smoke, tmp_path, balancer):
    script = Path(__file__).with_name("two_processes.py")
    environment = os.environ | dict(OMP_NUM_THREADS="1")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node=2",
            "--master_port=29517",
            str(script),
            str(tmp_path / "two.pt"),
            balancer,
        ],
        check=True,
        env=environment,
    )
    subprocess.run([sys.executable, str(script), str(tmp_path / "one.pt"), balancer], check=True, env=environment)
    two, one = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("two", "one"))
    assert (two["processes"], one["processes"]) == (2, 1)
    assert two["weights"] == pytest.approx(
        one["weights"], rel=1e-3
    )  # MGDA's from the Gramian of the averaged gradients
    if balancer == "mgda":
        assert torch.allclose(two["gramian"], one["gramian"], rtol=1e-3)
    for name, g in one["gradients"].items():  # … and the average is the whole batch's gradient
        assert (two["gradients"][name] - g).norm() <= 1e-3 * g.norm() + 1e-7, name


def test_the_loop_runs_in_two_processes(smoke, tmp_path):
    code = (
        "from mtl_course.config import make_config\nfrom mtl_course.training.loop import train\n"
        "short = dict(steps_per_epoch=2, epochs=1)\n"
        f"train(make_config('smoke', results_dir={str(tmp_path)!r}, **short), progress=False)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29518", str(script)],
        check=True,
        env=os.environ | dict(OMP_NUM_THREADS="1"),
    )
    assert read_checkpoint(tmp_path / "checkpoints" / "last.pt")["step"] == 2 and len(log_of(tmp_path)) > 4


def two_processes(script, *options):
    "Exit code and stderr of a training command in two processes, as Lightning Fabric starts them."
    command = [
        sys.executable,
        script,
        "--recipe",
        "smoke",
        "--num_processes",
        "2",
        "--tasks",
        "lane",
        "--epochs",
        "1",
        "--steps_per_epoch",
        "2",
        *map(str, options),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | dict(OMP_NUM_THREADS="1"), timeout=600
    )
    return done.returncode, done.stderr


def test_the_command_starts_two_processes_and_scores_all_tasks(smoke, tmp_path):
    program = Path(sys.executable).with_name("mtl_train")
    code, err = two_processes(program, "--tasks", "all", "--data_root", smoke.data_root, "--results_dir", tmp_path)
    assert code == 0, err
    assert {"classification", "detection", "lane"} <= set(log_of(tmp_path).query("kind == 'epoch'").task)
    assert (tmp_path / "evaluation_results.csv").exists()


def test_a_mistake_in_two_processes_is_one_sentence(tmp_path):
    code, err = two_processes(
        Path(sys.executable).with_name("mtl_train"), "--data_root", "nowhere/at/all", "--results_dir", tmp_path
    )
    assert code == 2 and "Traceback" not in err, err
    assert [line for line in err.splitlines() if "mtl_train:" in line or "rror" in line] == [
        line for line in err.splitlines() if "nowhere/at/all: no such folder" in line
    ]
    assert err.count("no such folder") == 1


@pytest.mark.parametrize(
    "rank, sentences",
    [
        (0, ["mtl_train: image 7 is broken"]),
        (1, ["mtl_train: another process of this run ended", "mtl_train: image 7 is broken"]),
    ],
)
def test_a_mistake_of_one_process_ends_the_other(smoke, tmp_path, rank, sentences):
    script = tmp_path / "run.py"
    script.write_text(
        "import os, mtl_course.training.loop as training\nfrom mtl_course.core.errors import UserError\n"
        "from mtl_course.cli.train import mtl_train\n"
        "def broken(*args, real=training.train_step, **options):\n"
        f"    if os.environ.get('LOCAL_RANK', '0') == '{rank}': raise UserError('image 7 is broken')\n"
        "    return real(*args, **options)\n"
        "training.train_step = broken\nif __name__ == '__main__': mtl_train()\n"
    )
    code, err = two_processes(script, "--results_dir", tmp_path / "results")
    assert code != 0 and "Traceback" not in err, err
    assert sorted(re.findall(r"mtl_train: [^;\n]*", err)) == sentences, (
        err
    )  # a progress bar may stand before it on the line
