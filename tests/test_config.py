"""Configs are checked, saved and read back; files are written whole or not at all."""

import itertools
import json

import pytest
from mtl_course.training.random_batch import with_batch_size
from mtl_course.config import BOOSTED_WEIGHTS, RECIPES, TASKS, Config, make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write
from mtl_course.core.device import choose_device, choose_precision
from mtl_course.core.seeds import derive_seed


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_survive_a_round_trip(recipe, tmp_path):
    config = make_config(recipe, seed=3)
    config.save(tmp_path / "config.json")
    assert Config.load(tmp_path / "config.json") == config
    assert json.loads((tmp_path / "config.json").read_text())["recipe"] == recipe


def test_specification_values():
    c = make_config("specification")
    assert (
        c.optimizer,
        c.learning_rate,
        c.weight_decay,
        c.scheduler_type,
        c.gradient_clip,
        c.batch_size,
        c.epochs,
    ) == ("adam", 1e-4, 1e-5, "cosine", 1.0, 4, 5)
    assert (c.backbone_name, c.detection_neck, c.lane_skips, c.split_rule) == ("resnet50", "c5", False, "specification")
    assert all((c.use_horizontal_flip, c.use_rotation, c.use_brightness, c.use_contrast, c.use_gaussian_noise))
    assert c.task_weights == dict(classification=1.0, detection=1.0, lane=1.0)
    assert (
        make_config("specification_boosted").task_weights
        == BOOSTED_WEIGHTS
        == dict(detection=5.0, lane=30.0, classification=1.0)
    )


def test_text_values_become_typed():
    c = make_config(
        "laptop",
        detection_size="96x320",
        tasks="lane,detection",
        learning_rate="3e-4",
        epochs="2",
        use_rotation="false",
        pretrained=True,
    )
    assert (c.detection_size, c.tasks, c.learning_rate, c.epochs, c.use_rotation, c.pretrained) == (
        (96, 320),
        ("lane", "detection"),
        3e-4,
        2,
        False,
        "true",
    )


@pytest.mark.parametrize(
    "field, value",
    [
        ("batch_size", "many"),
        ("batch_size", "2.5"),
        ("epochs", "-1"),
        ("learning_rate", "nan"),
        ("backbone_name", "vgg"),
        ("lane_size", "16x16"),
        ("lane_size", "100"),
        ("tasks", "depth"),
        ("tasks", ""),
        ("batch_size", 0),
        ("evaluate_every", "0"),
        ("epochs", "inf"),
        ("dropout", 1.5),
        ("num_processes", 0),
        ("use_rotation", "maybe"),
        ("no_such_field", 1),
    ],
)
def test_bad_values_name_the_field(field, value):
    with pytest.raises(UserError, match=field):
        make_config("laptop", **{field: value})


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_explicit_batch_size_holds_for_every_task(recipe, tmp_path):
    def sizes(c):
        return {t: c.batch_size_of(t) for t in TASKS}

    assert sizes(make_config(recipe, batch_size=3)) == dict.fromkeys(TASKS, 3)
    assert sizes(make_config(recipe, batch_size="3", lane_batch_size=7)) == dict.fromkeys(TASKS, 3) | dict(lane=7)
    for config in (
        make_config(recipe),
        with_batch_size(make_config(recipe), 7),
        make_config(recipe, batch_size=3, detection_batch_size=2),
    ):
        config.save(tmp_path / "config.json")  # all values are explicit there
        assert Config.load(tmp_path / "config.json") == config == make_config(**config.to_dict())


def test_unknown_recipe():
    with pytest.raises(UserError, match="laptop"):
        make_config("lptop")


def test_atomic_write_leaves_nothing_half_written(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with atomic_write(target) as t:
        t.write_text("first")
    with pytest.raises(RuntimeError), atomic_write(target) as t:
        t.write_text("sec")
        raise RuntimeError
    assert target.read_text() == "first" and [p.name for p in target.parent.iterdir()] == ["file.txt"]


def test_seeds_are_fixed_for_ever():
    assert derive_seed(0, 700) == 4239950804794081051
    assert len({derive_seed(*keys) for keys in itertools.product(range(20), range(20))}) == 400


def test_device_and_precision():
    assert (
        choose_device("cpu") == "cpu"
        and choose_precision("32-true") == "32-true"
        and choose_precision("auto", "cpu") in ("32-true", "bf16-mixed")
    )
    assert isinstance(Config(), Config)
