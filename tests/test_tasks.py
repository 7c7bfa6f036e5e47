"""A task is one object: a fifth one, defined here, is trained, evaluated, saved and loaded without
a line elsewhere.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors

import mtl_course
from mtl_course.cli.evaluate import mtl_evaluate
from mtl_course.config import Config, config_fields, make_config
from mtl_course.core.errors import UserError
from mtl_course.core.fields import Field
from mtl_course.core.task import TASKS, Task, default_tasks, register_task, registered, unregister_task
from mtl_course.data.checking import check_data
from mtl_course.data.download import how_to_get
from mtl_course.data.loaders import create_dataloaders
from mtl_course.evaluation.predict import draw_described, predict_image
from mtl_course.metrics.scores import ClassificationMetric
from mtl_course.models import MultiTaskModel, load_model
from mtl_course.training import train


class RainScenes:
    """Pictures with and without streaks, drawn when they are asked for."""

    task = "rain"

    def __init__(self, count, size):
        self.files = [f"rain/{i:03d}.png" for i in range(count)]
        self.size = size

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        image = rng.integers(90, 110, (3, *self.size), np.uint8)
        if i % 2:
            image[:, :, rng.integers(0, self.size[1], 20)] = 230
        return dict(image=tv_tensors.Image(torch.from_numpy(image)), label=i % 2, file=self.files[i])


class RainHead(nn.Module):
    def __init__(self, channels, hidden):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, features, image_size):
        return self.layers(features["c2"].amax((2, 3)))

    def loss(self, logits, labels):
        return nn.functional.cross_entropy(logits.float(), labels)


class Rain(Task):
    name = "rain"
    title = "rain or dry"
    metrics = {"accuracy": "accuracy"}
    image_size = (32, 64)
    fields = (Field("rain_hidden", 8, "hidden units of the rain head", least=1),)

    def make_reader(self, config, split):
        return RainScenes(24 if split == "train" else 8, config.image_size_of("rain"))

    def collate(self, samples):
        return torch.tensor([sample["label"] for sample in samples])

    def make_head(self, channels, options):
        return RainHead(channels["c2"], options.rain_hidden)

    def make_metric(self):
        return ClassificationMetric(2)


@pytest.fixture
def rain():
    with registered(Rain) as task:
        yield task


def rain_config(**changes):
    tiny = dict(tasks="lane,rain", epochs=1, steps_per_epoch=3, batch_size=2, cache_images=False)
    return make_config("smoke", **tiny | changes)


def test_a_fifth_task_is_trained_evaluated_and_loaded(rain, tmp_path):
    config = rain_config(results_dir=str(tmp_path), rain_hidden=5)
    run = train(config, progress=False)
    checkpoint = tmp_path / "checkpoints" / "model_best.pt"
    model = load_model(checkpoint)
    assert run.step == 3 and model.tasks == ("lane", "rain")
    assert model.heads["rain"].layers[0].out_features == 5
    assert Config.load(tmp_path / "config.json") == config
    mtl_evaluate(str(checkpoint), device="cpu")
    assert "rain" in (tmp_path / "evaluation_results.csv").read_text()
    picture = np.zeros((120, 240, 3), np.uint8)
    described = predict_image(model, picture)
    assert len(described["rain"]) == 2 and draw_described(picture, described).shape == picture.shape


def test_its_own_confusion_is_not_shown_as_that_of_signs(rain, tmp_path):
    train(rain_config(tasks="rain", results_dir=str(tmp_path)), progress=False)
    mtl_evaluate(str(tmp_path / "checkpoints" / "model_best.pt"), device="cpu")
    assert (tmp_path / "per_class_rain.csv").is_file() and not (tmp_path / "confusion_matrix.csv").exists()


def test_its_run_is_taken_up_again(rain, tmp_path):
    config = rain_config(tasks="rain", results_dir=str(tmp_path))
    trained = train(config, progress=False).model.state_dict()
    resumed = train(config, resume=True, progress=False)
    assert resumed.step == 3
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, trained[name]), name


def test_a_batch_holds_its_labels(rain):
    batch = next(iter(create_dataloaders(rain_config())[0]))
    assert batch["rain"].shape == (2,) and batch["images"]["rain"].shape == (2, 3, 32, 64)


def test_its_fields_are_in_the_config_only_when_it_takes_part(rain):
    assert {"rain_size", "rain_batch_size", "rain_limit", "rain_weight", "rain_hidden"} <= config_fields().keys()
    assert "rain_size" not in Config().to_dict() and "rain_size" in rain_config().to_dict()
    assert Config().tasks == default_tasks() == ("classification", "detection", "lane")
    assert rain_config(rain_size="64x96", rain_weight=3).task_weights["rain"] == 3.0


def test_seeds_come_from_the_order_of_registration(rain):
    assert [TASKS.index(name) for name in ("classification", "detection", "lane", "rain")] == [0, 1, 2, 3]


def test_a_cell_run_twice_replaces_its_task(rain):
    register_task(Rain)
    assert list(TASKS).count("rain") == 1
    unregister_task("rain")
    register_task(Rain)
    assert list(TASKS) == [*default_tasks(), "rain"]


def test_without_it_a_config_with_its_name_is_refused():
    with registered(Rain):
        stored = rain_config().to_dict()
    for values in (dict(tasks="lane,rain"), stored):
        with pytest.raises(UserError, match="'tasks' is .*import the module that registers it first"):
            make_config(**dict(recipe="smoke") | values)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(name="no name"), "expected an identifier"),
        (dict(name="all"), "expected an identifier"),
        (dict(metrics={}), "task 'rain' has no metrics: define metrics"),
        (dict(image_size=(8, 8)), "rain_size is .8, 8.: expected height x width"),
        (dict(name="lane"), "there is a task 'lane' already"),
    ],
)
def test_a_task_that_cannot_work_is_refused(changes, sentence):
    broken = type("Broken", (Rain,), changes)
    with pytest.raises(UserError, match=sentence), registered(broken):
        pass


def test_a_field_that_exists_is_refused():
    taken = type("Taken", (Rain,), dict(fields=(Field("dropout", 0.5, ""),)))
    with registered(taken), pytest.raises(UserError, match="'rain' brings the config field 'dropout'"):
        Config()


PIECES = {
    "make_reader": lambda task: task.make_reader(None, "train"),
    "collate": lambda task: task.collate([]),
    "make_head": lambda task: MultiTaskModel("resnet10", tasks="rain"),
    "make_metric": lambda task: task.make_metric(),
    "random_labels": lambda task: task.random_labels(2, (32, 32)),
    "download": lambda task: task.download(Path()),
}


@pytest.mark.parametrize("piece", PIECES)
def test_a_missing_piece_says_what_it_is(piece):
    bare = type("Bare", (Task,), dict(name="rain", metrics=Rain.metrics))
    with registered(bare) as task, pytest.raises(UserError, match="rain") as e:
        PIECES[piece](task)
    sentence = str(e.value)
    assert "\n" not in sentence and len(sentence) > 40
    assert piece == "download" or f"has no {piece}: define {piece}(self" in sentence


class EmptyMetric(ClassificationMetric):
    def compute(self):
        return {}


class NamelessScenes(RainScenes):
    def __getitem__(self, i):
        sample = super().__getitem__(i)
        del sample["file"]
        return sample


class ArrayScenes(RainScenes):
    def __getitem__(self, i):
        sample = super().__getitem__(i)
        return sample | dict(image=sample["image"].numpy())


class TupleScenes(RainScenes):
    def __getitem__(self, i):
        return tuple(super().__getitem__(i).values())


def scenes(kind, **attributes):
    "A `make_reader` that gives such scenes."
    made = type("Scenes", (kind,), attributes)
    return lambda task, config, split: made(8, config.image_size_of("rain"))


class DeafHead(nn.Linear):
    "Without a loss."


class LongLossHead(RainHead):
    def loss(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels, reduction="none")


class NumberLossHead(RainHead):
    def loss(self, logits, labels):
        return super().loss(logits, labels).item()


HALF_PIECES = [  # what a method returns instead, and what is said about it
    (dict(make_reader=lambda *_: None), "make_reader of task 'rain' returns a NoneType without __len__"),
    (dict(make_reader=scenes(RainScenes, task="lane")), "says that its task is 'lane': expected 'rain'"),
    (dict(make_reader=lambda *_: "rain"), "returns a str without files: define files"),
    (dict(make_reader=scenes(NamelessScenes)), "a sample of task 'rain' has no 'file': expected the image's name"),
    (dict(make_reader=scenes(ArrayScenes)), "the image of a sample of task 'rain' is a ndarray: expected"),
    (dict(make_reader=scenes(TupleScenes)), "a sample of task 'rain' is a tuple: expected a dictionary"),
    (dict(make_head=lambda *_: None), "make_head of task 'rain' returns a NoneType: expected a torch.nn.Module"),
    (dict(make_head=lambda *_: DeafHead(3, 2)), "the head of task 'rain' has no loss: define loss"),
    (dict(make_head=lambda _, c, o: LongLossHead(c["c2"], 4)), "the loss of task 'rain' has 2 numbers: expected one"),
    (dict(make_head=lambda _, c, o: NumberLossHead(c["c2"], 4)), "the loss of task 'rain' is a float: expected"),
    (dict(make_metric=lambda _: None), "make_metric of task 'rain' returns a NoneType without update"),
    (dict(make_metric=lambda _: EmptyMetric(2)), "computes nothing: expected 'accuracy', the first"),
]


@pytest.mark.parametrize("changes, sentence", HALF_PIECES)
def test_half_a_piece_says_what_it_lacks(changes, sentence, tmp_path):
    half = type("Half", (Rain,), changes)
    with registered(half), pytest.raises(UserError, match=sentence):
        train(rain_config(tasks="rain", steps_per_epoch=1, results_dir=str(tmp_path)), progress=False)


def test_labels_that_nobody_can_check_are_not_called_right(rain, tmp_path):
    report = check_data(tmp_path, ("rain",), progress=False)
    assert "rain: not checked, since the task has no `label_files`" in str(report)


def test_it_says_when_nothing_is_known_about_its_data(rain):
    assert how_to_get("rain") == "rain: nothing is said about where its data comes from (`how_to_get`)"


def test_nothing_else_asks_for_a_task_by_name():
    package = Path(mtl_course.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        if "tasks" not in path.relative_to(package).parts:
            lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            found += [f"{path}:{n}" for n, line in lines if re.search(r"task *(==|!=) *['\"]", line)]
    assert not found
