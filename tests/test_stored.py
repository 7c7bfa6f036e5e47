"""A network as one small file, and the one that the package brings."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import project_root
from mtl_course.data.loaders import evaluation_loader
from mtl_course.data.sources import prepare_data
from mtl_course.evaluation.evaluate import evaluate_model
from mtl_course.models import load_model, model_from_config
from mtl_course.models.checkpoint import load_fitting_weights, read_checkpoint
from mtl_course.models.stored import checkpoint_path, pack_model


@pytest.fixture
def small():
    torch.manual_seed(0)
    config = make_config("smoke", tasks="classification,lane")
    model = model_from_config(config)
    model.config = config
    return model


def test_a_packed_network_comes_back(small, tmp_path):
    pack_model(small, tmp_path / "small.safetensors")
    back = load_model(tmp_path / "small.safetensors")
    assert back.config == small.config
    parameters = dict(small.named_parameters())
    for name, tensor in back.state_dict().items():
        before = small.state_dict()[name]
        expected = before.half().float() if name in parameters else before
        assert tensor.dtype == before.dtype and torch.equal(tensor, expected), name


def test_a_weight_too_large_for_16_bits_is_told(small, tmp_path):
    with torch.no_grad():
        next(small.heads["lane"].parameters()).fill_(1e6)
    with pytest.raises(UserError, match="'heads.lane.* does not fit into 16 bits"):
        pack_model(small, tmp_path / "small.safetensors")
    assert not list(tmp_path.iterdir())
    with torch.no_grad():
        next(small.heads["lane"].parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="'heads.lane.* is not finite"):
        pack_model(small, tmp_path / "small.safetensors")


def test_a_packed_file_is_readable_by_others(small, tmp_path):
    pack_model(small, tmp_path / "small.safetensors")
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert (tmp_path / "small.safetensors").stat().st_mode == plain.stat().st_mode


def test_other_data_of_a_recipe_keep_its_size():
    config = make_config("evening")
    assert config.on_data("datasets/world").world_size == "laptop"
    assert config.on_data("datasets/world-tiny").world_size == "tiny"
    assert config.on_data("elsewhere").world_size == "evening"
    own = make_config("laptop", world_size="tiny")  # asked for so: a recipe's size is another one
    assert own.on_data(own.data_root) == own


def test_other_safetensors_files_are_told_in_a_sentence(small, tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(dict(weight=torch.ones(2)), path)
    with pytest.raises(UserError, match="no checkpoint of mtl_course"):
        load_model(path)
    save_file(dict(weight=torch.ones(2)), path, metadata=dict(config="{"))
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_model(path)
    pack_model(small, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_model(path)
    with pytest.raises(UserError, match="no such checkpoint"):
        load_model(tmp_path / "none.safetensors")


def test_the_network_in_the_box_is_small_and_complete():
    file = checkpoint_path("evening")
    assert file.stat().st_size < 30e6
    state = read_checkpoint("evening")
    assert state["config"]["recipe"] == "evening"
    model = load_model("evening")
    assert model.tasks == ("classification", "detection", "lane") and not model.training


def test_a_training_may_begin_from_the_box():
    config = make_config("evening", lane_channels=128)
    with pytest.warns(UserWarning, match="its lane head does not fit"):
        assert load_fitting_weights(model_from_config(config), "evening") == ["lane"]


def test_the_network_in_the_box_sees():
    config = make_config("smoke")
    prepare_data(config)
    model = load_model("evening")
    config = model.config.replace(data_root=config.data_root)
    loaders = {task: evaluation_loader(config, "all", (task,)) for task in model.tasks}
    scores = evaluate_model(model, loaders, "cpu", "32-true")
    values = {task: scores[task].scores for task in model.tasks}
    assert values["classification"]["accuracy"] > 0.9
    assert values["detection"]["map50"] > 0.4
    assert values["lane"]["iou"] > 0.5


def test_untrained_commands_take_the_network_in_the_box(tmp_path, monkeypatch, capsys):
    shutil.copy(project_root() / "settings.ini", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert checkpoint_path().name == "evening.safetensors"
    assert "taking the network in the box" in capsys.readouterr().out
    best = tmp_path / "results" / "checkpoints" / "model_best.pt"
    best.parent.mkdir(parents=True)
    best.write_bytes(b"")
    assert checkpoint_path() == best and not capsys.readouterr().out
    assert checkpoint_path("own.pt") == tmp_path / "own.pt"
