"""A task is one object: its data, its head, its scores and its pictures; all tasks stand in one
registry.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .errors import UserError
from .fields import Field

__all__ = [
    "TASKS",
    "LabelFiles",
    "LabelIndex",
    "Task",
    "check_weight",
    "default_tasks",
    "known_tasks",
    "register_task",
]


class LabelIndex(NamedTuple):
    """What the labels of a data set say, found without opening an image."""

    counts: dict  # name -> a number, or a table {what: how many}
    labels: dict  # file, relative to the data root -> its label
    problems: list  # of `Problem`


class LabelFiles:
    """The files of a data set: where they lie, and what `mtl_data check` has to know of them."""

    layout = ""  # where images and labels lie below the data root

    def index(self, root: Path) -> LabelIndex:  # folder that holds the task's folder
        """Parses all labels without opening an image."""
        raise NotImplementedError

    def faults(self, label, image_size: tuple) -> list[str]:  # (height, width)
        """Why a label of `index` cannot belong to an image of this size."""
        return []

    def images(self, root: Path) -> set[str]:
        """Every image that is there, relative to `root`."""
        return set()


class Task:
    """Everything that is special about one task. A new task is a subclass with the decorator
    `register_task`:

        from mtl_course.core.task import Task, register_task

        @register_task
        class Rain(Task):
            name = "rain"                      # Config then has rain_size, rain_limit …
            title = "rain or dry"
            metrics = {"accuracy": "accuracy"}  # in 0..1, larger is better; the first one
                                                # chooses the best checkpoint
            image_size = (96, 160)

            def make_reader(self, config, split): ...    # len(), files, task, samples by index
            def collate(self, samples): ...              # labels of a batch
            def make_head(self, channels, options): ...  # an nn.Module with a loss
            def make_metric(self): ...                   # update, compute, per_class

    Then `make_config(tasks="lane,rain")`, training, resuming, evaluating, the commands and the
    widgets know it, wherever its module has been imported; a command knows it when a script
    imports the module and calls `mtl_course.cli.train.mtl_train()`. A method of this list that is
    missing says so, in one sentence, when it is first needed. Everything else has a default: what
    `Task` does is right for a task with one label per image, or does nothing.

    | what for | attributes and methods, in the order in which a new task wants them |
    | --- | --- |
    | names | `name`, `title`, `short`, `images`, `class_names`, `folder`, `colour`, `marker` |
    | the config | `image_size`, `weight`, `fields`, `model_fields`, `max_rotation` |
    | reading | `make_reader`, `collate`, `mirror`, `recrop`, `finish_augmentation`, |
    | | `class_labels` |
    | the network | `make_head`, `configure_loss`, `decode` |
    | scores | `make_metric`, `summarise`, `confusion`, `keep`, `intervals` |
    | pictures | `targets_of`, `draw`, `describe`, `image_score`, `fits_picture` |
    | `mtl_data` | `label_files`, `how_to_get`, `download` |
    | official files | `look_up`, `write_predictions`, `official_scores` |
    | measuring without data | `random_labels` |
    """

    name = ""  # an identifier, such as "lane": in configs, tables and file names
    title = ""  # such as "lane segmentation": in figures; default: the name
    short = ""  # such as "lanes": where there is little room; default: the name
    images = "images"  # what its images are called, such as "sign crops"
    colour = "#000000"  # of its curves and bars
    marker = "D"  # a second cue beside the colour
    metrics: dict = {}  # metric -> its label in tables, in the order shown; the first is the primary one
    folder = ""  # of its data below the data root, and of its prediction files; default: the name
    how_to_get = ""  # where its data comes from, under which terms, and how to lay it out
    label_files: LabelFiles | None = None  # what `mtl_data check` reads; None: the labels are not checked
    image_size = (128, 128)  # default (height, width) of the network's input, pixels
    weight = 1.0  # default weight of its loss
    fields: tuple = ()  # its other config fields (`Field`); the network's are handed to `make_head`
    model_fields: tuple = ()  # arguments of the network that no config has, such as the number of classes
    class_names: tuple = ()
    output = ""  # what the head gives, in words, where the shape of its output says little
    max_rotation = 2.0  # degrees, of the augmentation
    in_default = False  # trained unless a config names its tasks: true for the three of the course

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for attribute in ("title", "short", "folder"):
            if not getattr(cls, attribute):
                setattr(cls, attribute, cls.name)

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r})"

    @property
    def primary_metric(self) -> str:
        """The score by which the task is judged and the best checkpoint chosen."""
        return next(iter(self.metrics))

    @property
    def downloadable(self) -> bool:
        """Whether the task has a `download` of its own."""
        return type(self).download is not Task.download

    def config_fields(self) -> tuple:
        """All fields that this task adds to `Config`."""
        return (
            Field(f"{self.name}_size", self.image_size, f"height x width of {self.images}, pixels"),
            Field(f"{self.name}_batch_size", 0, f"{self.images} per step; 0: batch_size"),
            Field(f"{self.name}_every", 1, "takes part in every so many steps, where task_sampling is all", least=1),
            Field(f"{self.name}_limit", 0, f"training {self.images} that are used; 0: all"),
            Field(f"{self.name}_weight", self.weight, f"weight of the {self.name} loss"),
            *self.fields,
        )

    def _missing(self, method: str, returns: str):
        "The error for a method without which a task cannot do what is asked."
        return UserError(f"task {self.name!r} has no {method.split('(')[0]}: define {method} that returns {returns}")

    # reading

    def make_reader(self, config, split: str):  # split: train, val, test or all
        """The data set of a split: `len`, `files` (paths below the data root), `task` (this name),
        samples by index.

        A sample is a dict with "image" (`tv_tensors.Image`, uint8 (3, H, W) of the config's size),
        "file" and labels; what lives in the image plane is a `tv_tensors` type: augmentation moves
        it with the image.
        """
        raise self._missing("make_reader(self, config, split)", "a data set of samples {'image', 'file', …}")

    def collate(self, samples: list):
        """The labels of a batch, as the head's `loss` and the metric take them, from a list of
        samples.
        """
        raise self._missing("collate(self, samples)", "the labels of a batch as one tensor or list")

    def mirror(self, sample: dict) -> dict:
        """A sample seen in a mirror; override where a label changes with it, or must not be
        mirrored.
        """
        from torchvision.transforms.v2.functional import horizontal_flip
        from torchvision.tv_tensors import TVTensor

        return {key: horizontal_flip(v) if isinstance(v, TVTensor) else v for key, v in sample.items()}

    def recrop(self, sample: dict, rng) -> dict:  # rng: numpy's Generator
        """A sample as if another hand had cut it out; as it stands, a whole picture was never
        cut.
        """
        return sample

    def finish_augmentation(self, sample: dict) -> dict:
        """Tidies an augmented sample, such as boxes that now leave the image."""
        return sample

    def class_labels(self, reader):  # -> (N,) integers, or None
        """The class of each image of a reader, for `class_skew`; None: images have no class of
        their own.
        """
        return None

    # the network

    def make_head(self, channels: dict, options):  # stage c2 … c5 -> channels; an object with the task's fields
        """The head: an `nn.Module` with `forward(features, image_size)` and `loss(output, labels)`.

        `features` are a dict of stages "c2" … "c5", (B, C, H/4, W/4) … (B, C, H/32, W/32);
        `image_size` is (H, W);
        the loss of a batch is one number, unweighted.
        """
        raise self._missing(
            "make_head(self, channels, options)", "a module with forward(features, image_size) and loss(output, labels)"
        )

    def configure_loss(self, head, config, train_loader):
        """Tells the head what its loss has to know of the config or of the training data."""

    def decode(self, model, output):  # the whole model, and what this task's head gave
        """What `make_metric().update` takes, in float32; as it stands, the head's output."""
        return output.float()

    def random_labels(self, images: int, image_size: tuple):
        """Made-up labels for a batch of noise, where speed is measured without data."""
        raise self._missing("random_labels(self, images, image_size)", "labels for that many images of noise")

    # scores

    def make_metric(self):
        """A fresh accumulator: `update(decoded, labels)`, `compute()` -> {metric: value},
        `per_class()` -> table.
        """
        raise self._missing("make_metric(self)", "an object with update(decoded, labels), compute() and per_class()")

    def summarise(self, metric) -> tuple[dict, object]:  # ({metric: value in 0..1}, table with one row per class)
        """The scores of a split and of each class, from its metric."""
        return metric.compute(), metric.per_class()

    def confusion(self, metric):  # -> (K, K) counts, rows: labels; K: rows of the table of classes
        """The counts that confusion_matrix.csv and its figure show; none as it stands, for both are
        about signs.
        """
        return None

    def extra_scores(self, per_class) -> dict:  # metric -> value
        """Scores that only studies ask for, from the table of classes."""
        return {}

    def look_up(self, reader, index: list):  # which images of the reader
        """What `keep` needs to know about the images of a batch; the time it takes is not counted
        as computing.
        """
        return None

    def keep(self, decoded, labels, looked_up) -> list[dict]:  # one entry for each image of the batch
        """What is kept of a batch for intervals and prediction files, in small plain values."""
        return [{} for _ in range(len(labels))]

    def intervals(self, predictions, per_class, scores: dict, resamples: int, seed: int) -> dict:
        """95 % intervals, (metric, class or "all") -> (low, high), from the kept predictions; none
        as it stands.
        """
        return {}

    def write_predictions(self, predictions, folder: Path) -> Path | None:  # the folder written
        """Writes the kept predictions in the format of the task's benchmark; a task without one
        writes nothing.
        """
        return None

    def official_scores(self, folder: Path, resamples: int):  # -> table with SCORE_COLUMNS, or None
        """The benchmark's own scores, from what `write_predictions` wrote."""
        return None

    # pictures

    def fits_picture(self, height: int, width: int) -> bool:  # pixels
        """Whether a picture of this shape is of the task's kind: as it stands, anything but a crop
        of a sign, which is at most 320 pixels wide and nearly square.
        """
        return max(height, width) > 320 or max(height, width) >= 1.5 * min(height, width)

    def targets_of(self, sample: dict):
        """The labels of one sample, in plain arrays."""
        return self.collate([sample])[0]

    def describe(self, model, output, image_size: tuple, picture_size: tuple, score_threshold: float = 0.5) -> dict:
        """What the head's output on one picture says, in plain numbers and in the picture's pixels
        (for json).

        `output` is of one image of `image_size`, (height, width) of the network's input.
        """
        return {self.name: self.decode(model, output)[0].detach().cpu().tolist()}

    def draw(self, picture, described: dict):  # RGB uint8 (H, W, 3), what `describe` gave -> RGB uint8 (H, W, 3)
        """The picture with what was predicted on it; as it stands, the picture as it is."""
        return picture

    def image_score(self, decoded, targets) -> float | None:  # of one image, in 0..1; None: not defined
        """How good one prediction is, so that images can be sorted from the worst on."""
        return None

    # mtl_data

    def download(self, root: Path):
        """Fetches the real data and lays it out below `root`."""
        raise UserError(f"{self.title} has no downloader: get it by hand as `mtl_data get --tasks {self.name}` says")

    def count_classes(self, reader, image_size: tuple) -> tuple[str, dict]:  # (unit, {class: count})
        """How many signs, objects or pixels there are of each class."""
        return self.images, {}


class TaskRegistry(Mapping):
    """Name -> `Task`, in the order of registration; the course's tasks are loaded when the registry
    is first read.
    """

    def __init__(self):
        self._tasks = {}
        self._loaded = False
        self._lock = threading.RLock()  # a second thread waits until the built-in tasks are there

    def _load(self) -> dict:
        with self._lock:
            if not self._loaded:
                self._loaded = True
                importlib.import_module("mtl_course.tasks")  # late: its modules stand below this one
        return self._tasks

    def __getitem__(self, name: str) -> Task:
        try:
            return self._load()[name]
        except KeyError:
            raise UnknownTask(f"unknown task {name!r}: expected one of {', '.join(self._tasks)}") from None

    def __iter__(self):
        return iter(self._load())

    def __len__(self):
        return len(self._load())

    def __repr__(self):
        return f"TASKS({', '.join(self)})"

    def primary_metrics(self) -> dict:
        """Name -> the metric by which the task is judged."""
        return {name: task.primary_metric for name, task in self.items()}

    def index(self, name: str) -> int:
        """The number of a task in the order of registration; it enters the sampler's seeds."""
        return list(self).index(self[name].name)


class UnknownTask(UserError, KeyError):
    """A name that no registered task has."""

    __str__ = UserError.__str__  # a KeyError would put the sentence in quotes


TASKS = TaskRegistry()


def register_task(task_class: type) -> type:
    """Adds a task to the registry (a decorator); raises `UserError` for a task that cannot work.

    The same class again, as when a notebook's cell is run twice, takes the place of the one before.
    """
    task = task_class()
    check_task(task)
    previous = TASKS._load().get(task.name)
    if previous and _place_of(type(previous)) != _place_of(task_class):
        raise UserError(f"there is a task {task.name!r} already, {previous!r}: choose another name")
    TASKS._tasks[task.name] = task
    return task_class


def _place_of(task_class: type) -> tuple:
    return task_class.__module__, task_class.__qualname__


def unregister_task(name: str):
    """Takes a task out of the registry again."""
    TASKS._load().pop(name, None)


def check_weight(
    task: str,
    weight: float,  # of its loss
    what: str = "weight",  # the word in the sentence
) -> float:
    """The weight of a task's loss; raises `UserError` unless it is finite and at least 0."""
    try:
        is_weight = 0 <= weight < float("inf")
    except TypeError:  # no number at all
        is_weight = False
    if not is_weight:
        raise UserError(f"the {what} of {task} is {weight!r}: expected a finite number of at least 0")
    return float(weight)


@contextlib.contextmanager
def registered(task_class: type):
    """A task that is registered inside the block only."""
    register_task(task_class)
    try:
        yield TASKS[task_class.name]
    finally:
        unregister_task(task_class.name)


def check_task(task: Task):
    """Raises `UserError` for what can be seen to be wrong with a task before it is used."""
    name = task.name
    if not isinstance(task, Task):
        raise UserError(f"{type(task).__name__} is no task: derive it from mtl_course.core.task.Task")
    if not (isinstance(name, str) and name.isidentifier()) or name == "all":
        raise UserError(f"a task has the name {name!r}: expected an identifier such as 'lane'")
    if not task.metrics or not isinstance(task.metrics, dict):
        raise UserError(f"task {name!r} has no metrics: define metrics = {{metric: its label}}, the primary one first")
    for field in task.config_fields():
        field.check(field.default, f"task {name!r}, default of {field.name}")


def default_tasks() -> tuple:
    """The tasks that a config trains unless it names others: the three of the course."""
    return tuple(name for name, task in TASKS.items() if task.in_default)


def known_tasks(tasks) -> tuple:  # names: a tuple, or text with commas
    """The names as a tuple in the order of the registry; raises `UserError` for an unknown one, or
    none.
    """
    names = [name.strip() for name in tasks.split(",")] if isinstance(tasks, str) else list(tasks)
    if not names or not set(names) <= set(TASKS):
        raise UserError(f"tasks is {tasks!r}: expected one or more of {', '.join(TASKS)}")
    return tuple(name for name in TASKS if name in names)
