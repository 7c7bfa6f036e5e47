"""States that are almost right, weights to start from, and limits of the machine."""

import copy
import errno
import math
import os
import subprocess
import sys

import pytest
import torch

import mtl_course.training.loop as loop
from mtl_course.cli.program import command
from mtl_course.config import Config, make_config
from mtl_course.core.errors import UserError
from mtl_course.models import model_from_config
from mtl_course.models.checkpoint import load_fitting_weights, load_model, read_checkpoint
from mtl_course.studies.runner import config_hash, run_configs
from mtl_course.training.loop import train

SHORT = dict(tasks="lane", steps_per_epoch=1, epochs=1, num_workers=0)


@pytest.fixture(scope="module")
def saved(smoke, tmp_path_factory):
    "What one step of training leaves in last.pt."
    folder = tmp_path_factory.mktemp("saved")
    train(make_config("smoke", results_dir=str(folder), **SHORT), progress=False)
    return read_checkpoint(folder / "checkpoints" / "last.pt")


def resume(saved, folder, **changes):
    "Goes on from a checkpoint in which some values are others; None: without them."
    content = {name: value for name, value in (saved | changes).items() if value is not None}
    (folder / "checkpoints").mkdir()
    torch.save(content, folder / "checkpoints" / "last.pt")
    return train(make_config("smoke", results_dir=str(folder), **SHORT), resume=True, progress=False)


STATES = ("optimizer", "scheduler", "balancer", "random", "step", "epoch", "seconds", "best", "best_epoch")


@pytest.mark.parametrize("name", STATES)
def test_a_stripped_checkpoint_is_refused(saved, tmp_path, name):
    with pytest.raises(UserError, match=rf"last.pt: the checkpoint lacks {name}.*--init_from"):
        resume(saved, tmp_path, **{name: None})


@pytest.mark.parametrize("value", ["a word", [1, [2]], {"a": {"b": 1}}, torch.ones(3), -7])
@pytest.mark.parametrize("name", [*STATES, "model", "config"])
def test_a_state_of_another_kind_is_refused(saved, tmp_path, name, value):
    if name in ("balancer", "scheduler") and isinstance(value, dict):
        pytest.skip("a dict is what they are")
    with pytest.raises(UserError, match="last.pt"):
        resume(saved, tmp_path, **{name: value})


def put_in(state: dict, place: str, value):
    *path, last = place.split("/")
    for key in path:
        state = state[int(key) if key.isdigit() else key]
    state[last] = value


SPOILT = [  # place in a checkpoint, what stands there instead
    ("optimizer/state/0/exp_avg", torch.zeros(1)),
    ("optimizer/state/0/exp_avg", torch.zeros(10**6)),
    ("optimizer/state/0/exp_avg", torch.tensor(math.nan)),
    ("optimizer/state/0/exp_avg", "a"),
    ("optimizer/param_groups/0/lr", "a"),
    ("optimizer/param_groups/0/lr", math.inf),
    ("optimizer/param_groups/0/lr", [1.0]),
    ("optimizer/param_groups/0/betas", (0.9,)),
    ("optimizer/param_groups/0/betas", ("a", "b")),
    ("scheduler/base_lrs", []),
    ("scheduler/base_lrs", ["a", "b"]),
    ("scheduler/last_epoch", math.nan),
    ("scheduler/last_epoch", "a"),
    ("step", -1),
    ("step", 10**9),
    ("step", math.nan),
    ("seconds", math.inf),
    ("best", math.nan),
]


@pytest.mark.parametrize("place, value", SPOILT)
def test_one_spoilt_value_is_refused(saved, tmp_path, place, value):
    "A moment of another shape made PyTorch write where other memory was."
    state = copy.deepcopy(saved)
    put_in(state, place, value)
    with pytest.raises(UserError, match="last.pt.*in this checkpoint is"):
        resume(state, tmp_path)


@pytest.mark.parametrize(
    "spoil, found",
    [
        (lambda w: torch.empty_like(w, device="meta"), "has no values"),
        (lambda w: w.to(torch.int8), "has torch.int8"),
        (lambda w: w.to(torch.complex64), "has torch.complex64"),
        (lambda w: w.to_sparse(), "has torch.float32, torch.sparse_coo"),
        (lambda w: w * math.nan, "is not finite"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(saved, tmp_path, spoil, found):
    name = next(name for name, weight in saved["model"].items() if weight.ndim > 1)
    with pytest.raises(UserError, match=f"{name}.* in this checkpoint {found}"):
        resume(saved | dict(model=saved["model"] | {name: spoil(saved["model"][name])}), tmp_path)


@pytest.mark.parametrize("value", [{"a": 1}, [["x"], 1], ["x", {}]])
@pytest.mark.parametrize("name", ["results_dir", "seed", "learning_rate", "channels_last", "lane_size", "tasks"])
def test_nested_values_are_no_config(name, value):
    with pytest.raises(UserError, match=f"config field '{name}'|needs|expected"):
        Config(**{name: value})


@pytest.mark.parametrize("text", ["[]", "3", '{"seed": [1]}', '{"seed": {"a": 1}}', '{"unknown": 1}'])
def test_a_config_file_of_another_kind_names_the_file(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json"):
        Config.load(tmp_path / "config.json")


def test_a_value_of_many_digits_is_not_repeated_in_full():
    with pytest.raises(UserError) as error:
        make_config(learning_rate="9" * 10**5 + "x")
    assert len(str(error.value)) < 500


def limits(name, value):
    with pytest.raises(UserError, match=f"config field '{name}'"):
        make_config("smoke", **{name: value})


@pytest.mark.parametrize("name, value", [("lane_channels", 1), ("lane_channels", 10**9), ("anchor_scale", 1e300)])
def test_values_that_make_no_network_are_refused(name, value):
    limits(name, value)


# --- weights to start from


@pytest.fixture(scope="module")
def three_tasks(smoke, tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("three") / "three.pt"
    torch.save(dict(model=model_from_config(smoke).state_dict(), config=smoke.to_dict()), path)
    return path


def test_a_training_starts_from_given_weights(three_tasks, tmp_path):
    fields = dict(SHORT, learning_rate=0.0, weight_decay=0.0, optimizer="adamw", init_from=str(three_tasks))
    run = train(make_config("smoke", results_dir=str(tmp_path), **fields), progress=False)
    given = read_checkpoint(three_tasks)["model"]
    parameters = dict(run.model.named_parameters())
    assert all(torch.equal(value, given[name]) for name, value in parameters.items())


def test_heads_that_do_not_fit_start_anew_and_are_named(three_tasks):
    model = model_from_config(make_config("smoke", lane_channels=64))
    before = {name: value.clone() for name, value in model.heads["lane"].state_dict().items()}
    with pytest.warns(UserWarning, match="three.pt: its lane head does not fit"):
        assert load_fitting_weights(model, three_tasks) == ["lane"]
    given = read_checkpoint(three_tasks)["model"]
    assert all(torch.equal(value, before[name]) for name, value in model.heads["lane"].state_dict().items())
    assert torch.equal(
        model.state_dict()["heads.detection.rpn.head.cls_logits.weight"],
        given["heads.detection.rpn.head.cls_logits.weight"],
    )


def test_a_backbone_that_does_not_fit_is_refused(three_tasks):
    with pytest.raises(UserError, match="three.pt: the backbone is another one"):
        load_fitting_weights(model_from_config(make_config("smoke", backbone_name="resnet10")), three_tasks)


def test_weights_to_start_from_are_not_needed_to_resume(three_tasks, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(three_tasks.read_bytes())
    config = make_config("smoke", results_dir=str(tmp_path / "run"), init_from=str(copy), **SHORT)
    train(config, progress=False)
    copy.unlink()
    assert train(config, resume=True, progress=False).step == 1


def test_a_run_without_given_weights_keeps_its_hash():
    assert config_hash(run_configs(dict(init_from=""), 0)) == "b7d41b88"


# --- the machine's limits


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(saved, tmp_path, monkeypatch):
    run = resume(saved, tmp_path)
    before = read_checkpoint(tmp_path / "checkpoints" / "last.pt")["step"]

    def full(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="last.pt cannot be written, the disk is full.*--resume"):
        run.save(tmp_path / "checkpoints" / "last.pt")
    assert read_checkpoint(tmp_path / "checkpoints" / "last.pt")["step"] == before
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["model_best.pt"] * 0 + ["last.pt"]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_memory_limit_is_not_a_broken_checkpoint(three_tasks, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(UserError, match="memory ran out while it was read"):
        load_model(three_tasks)


LIMITS = [
    (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "prepares batches was ended"),
    (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "prepares batches was ended"),
    (RuntimeError("unable to write to file </torch_7>: No space left on device; shared memory"), "--shm-size"),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:116] can't allocate memory: you tried 7 bytes"), "memory ran out"),
    (MemoryError(), "memory ran out"),
]


@pytest.mark.parametrize("error, words", LIMITS)
def test_a_limit_of_the_machine_is_one_sentence(capsys, error, words):
    @command
    def mtl_example():
        raise error

    with pytest.raises(SystemExit) as end:
        mtl_example()
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert words in err


BAR = """
from tqdm.auto import tqdm
from mtl_course.cli.program import command
from mtl_course.core.errors import UserError
@command
def mtl_example():
    for step in tqdm(range(4), desc="training"):
        raise UserError("step 1: the loss is nan")
mtl_example()
"""


def test_an_error_stands_on_a_line_of_its_own():
    done = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2
    assert done.stderr.split("\n")[-2] == "mtl_example: step 1: the loss is nan"


def test_a_bar_is_closed_when_a_step_fails(tmp_path, monkeypatch, capsys):
    def failing_step(*_, **__):
        raise UserError("step 1: the loss is nan")

    monkeypatch.setattr(loop, "train_step", failing_step)
    with pytest.raises(UserError):
        train(make_config("smoke", results_dir=str(tmp_path), **SHORT))
    assert capsys.readouterr().err.endswith("\n")
