"""One small object that says everything about a run, so that a run can be repeated."""

import json
from pathlib import Path

from .core.errors import UserError
from .core.fields import Field
from .core.files import atomic_write
from .core.inputs import parse_json, refuse_special_file
from .core.task import TASKS, default_tasks

__all__ = [
    "BOOSTED_WEIGHTS",
    "DETECTION_CLASSES",
    "RECIPES",
    "RENAMED_FIELDS",
    "TASKS",
    "Config",
    "config_fields",
    "make_config",
]

DETECTION_CLASSES = ("Car", "Pedestrian", "Cyclist", "Van", "Truck", "Tram", "Misc")
BOOSTED_WEIGHTS = dict(detection=5.0, lane=30.0, classification=1.0)  # the specification's remedy for imbalance

RENAMED_FIELDS = {"split": "split_rule"}  # old name, as in stored configs and hashes -> the name now

_RUN_FIELDS = (
    Field("recipe", "laptop", "the named recipe that the values started from"),
    Field("seed", 0, "fixes the weights, the order of the images, augmentation and dropout"),
    Field("data_root", "datasets/world", "folder with gtsrb/, kitti/ and tusimple/"),
    Field("results_dir", "results", "folder for checkpoints, logs, tables and figures"),
    Field(
        "world_size",
        "laptop",
        "size of the built-in world, made when data_root is missing",
        ("tiny", "laptop", "evening"),
    ),
)
_DATA_FIELDS = (
    Field(
        "split_rule",
        "held_out",
        "held_out: by track or frame, 70/15/15; specification: by image, 90/10 and 80/20",
        ("held_out", "specification"),
    ),
    Field("batch_size", 4, "images per task and step", least=1),
    Field("empty_labels", "refuse", "a label of 0 bytes; ok: nothing is there", ("refuse", "ok")),
    Field("num_workers", 0, "processes that prepare batches; 0: in the training process"),
    Field("cache_images", False, "keep decoded, resized images in memory"),
    Field(
        "class_skew",
        1.0,
        "training signs of the most frequent class for each of the rarest; 1: as they are",
        least=1,
    ),
    Field("use_horizontal_flip", True, "mirror images (signs only where the mirrored sign is a sign)"),
    Field("use_recropping", False, "cut signs out a little differently each time: turned, scaled, sheared, shifted"),
    Field("use_rotation", True, "rotate by up to 10 degrees"),
    Field("use_brightness", True, "change the brightness by up to 30 %"),
    Field("use_contrast", True, "change the contrast by up to 30 %"),
    Field("use_gaussian_noise", True, "add noise of standard deviation up to 0.05"),
)
_MODEL_FIELDS = (
    Field("backbone_name", "resnet50", "the shared backbone", ("resnet10", "resnet18", "resnet34", "resnet50")),
    Field(
        "pretrained",
        "false",
        "ImageNet weights; require: an error when they cannot be had",
        ("true", "false", "require"),
    ),
    Field("init_from", "", "a checkpoint whose weights the training starts from; heads that do not fit start anew"),
    Field("freeze_backbone", False, "keep the ResNet (or ResNets) as it is; train the rest"),
    Field(
        "sharing",
        "hard",
        "how the tasks share the backbone; hard: one backbone for all",
        ("hard", "separate", "cross_stitch", "attention", "mtan"),
    ),
)
_TRAINING_FIELDS = (
    Field("epochs", 5, "passes of steps_per_epoch steps"),
    Field("steps_per_epoch", 0, "0: one pass over the largest data set"),
    Field("optimizer", "adam", "adamw decays weights apart from the gradient", ("adam", "adamw")),
    Field("learning_rate", 1e-4, "peak learning rate"),
    Field("adam_beta2", 0.999, "how slowly Adam forgets the squares of the gradients", most=0.999999),
    Field("weight_decay", 1e-5, "L2 penalty (adam) or decoupled decay (adamw)"),
    Field("warmup_steps", 0, "steps over which the learning rate rises from 0 to its peak"),
    Field("scheduler_type", "cosine", "learning rate after the warm-up", ("cosine", "constant")),
    Field("gradient_clip", 1.0, "largest norm of the whole gradient; 0: no clipping"),
    Field("balancer", "fixed", "rule that weighs the tasks on top of their fixed weights; mtl_train --help lists them"),
    Field("balancer_options", "", "its options, such as lr=0.01,seed=1"),
    Field(
        "weight_schedule",
        "",
        "factors of the task weights, applied after the balancer: lane=1>30 over the whole run, "
        "or lane=0>1@0.2-0.5 between these parts of it",
    ),
    Field(
        "task_sampling",
        "all",
        "all: every task in every step; else one task is drawn for a step",
        ("all", "temperature", "loss"),
    ),
    Field(
        "sampling_temperature",
        1.0,
        "tasks are drawn in proportion to images^(1/temperature); large: all alike",
        least=1,
    ),
    Field("sampling_temperature_end", 0.0, "the temperature at the end, reached in a straight line; 0: it stays"),
    Field(
        "accumulate",
        1,
        "parts into which each task's batch is cut; memory is needed for one at a time",
        least=1,
    ),
)
_MACHINE_FIELDS = (
    Field("device", "auto", "auto: a GPU where there is one", ("auto", "cpu", "cuda")),
    Field(
        "precision",
        "auto",
        "auto: bf16 where the hardware computes in it",
        ("auto", "32-true", "bf16-mixed", "16-mixed"),
    ),
    Field("channels_last", True, "memory layout that convolutions like on most hardware"),
    Field("num_processes", 1, "processes that mtl_train starts (gloo on the CPU, NCCL on GPUs)", least=1),
    Field("checkpoint_every", 0, "also save last.pt every so many steps; 0: at the end of each epoch only"),
    Field("evaluate_every", 1, "validate every so many epochs", least=1),
    Field("gradient_log_every", 0, "write logs/gradients.csv every so many steps; 0: never"),
)
_GENERAL_FIELDS = (*_RUN_FIELDS, *_DATA_FIELDS, *_MODEL_FIELDS, *_TRAINING_FIELDS, *_MACHINE_FIELDS)


def config_fields(
    tasks: tuple | None = None,  # whose fields are wanted; default: every registered task
) -> dict[str, Field]:
    """Name -> field: those of every run, and those that each task brings. Raises `UserError` for a
    name used twice.
    """
    help_tasks = "tasks to train, comma-separated; one task gives a single-task baseline"
    fields = [*_GENERAL_FIELDS, Field("tasks", default_tasks(), help_tasks)]
    by_name = {field.name: field for field in fields}
    for task in TASKS if tasks is None else tasks:
        for field in TASKS[task].config_fields():
            if field.name in by_name:
                raise UserError(f"task {task!r} brings the config field {field.name!r}, which is there: rename one")
            by_name[field.name] = field
    return by_name


class Config:
    """Everything that describes a run; saved with its results.

    `Config(batch_size=8)` sets some fields and leaves the others at their defaults;
    `config_fields()` lists them with
    their help. Raises `UserError` for an unknown field and for a value that does not fit its field.
    """

    def __init__(self, **values):
        fields = config_fields()
        if values.get("tasks") == "all":
            values["tasks"] = default_tasks()
        _check_tasks(fields["tasks"].check(values.get("tasks", default_tasks())))
        for name in values:
            if name not in fields:
                raise UserError(f"unknown config field {name!r}: expected one of {', '.join(sorted(fields))}")
        for name, field in fields.items():
            setattr(self, name, field.check(values.get(name, field.default)))

    def replace(self, **changes) -> "Config":
        """The same config with some fields changed."""
        return Config(**self.to_dict() | changes)

    def on_data(self, data_root: str) -> "Config":
        """The same on other data; a recipe's world that has to be drawn gets that recipe's size."""
        known = (self, *map(make_config, RECIPES))
        sizes = [config.world_size for config in known if config.data_root == data_root]
        return self.replace(data_root=data_root, world_size=sizes[0] if sizes else self.world_size)

    def to_dict(self) -> dict:
        """Field -> value; of tasks that do not belong to the course, only those of this run have
        their fields in it.
        """
        tasks = [task for task in TASKS if task in self.tasks or TASKS[task].in_default]
        return {name: getattr(self, name) for name in config_fields(tasks)}

    def __eq__(self, other):
        return isinstance(other, Config) and self.to_dict() == other.to_dict()

    def __repr__(self):
        defaults = config_fields()
        changed = {name: value for name, value in self.to_dict().items() if value != defaults[name].default}
        return f"Config({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def save(self, path: str | Path):
        """Writes the config as json, for `Config.load`."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_dict(cls, values: dict) -> "Config":  # as `to_dict` gave it, perhaps in an earlier version
        """A stored config; fields that have another name by now are understood."""
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise UserError("the stored config is not a table of fields: expected name and value of each")
        return make_config(**{RENAMED_FIELDS.get(name, name): value for name, value in values.items()})

    @classmethod
    def load(cls, path: str | Path) -> "Config":  # a json file written by `save`
        """Reads a config back; raises `UserError` when the file is missing or is not one."""
        try:
            refuse_special_file(path)
            values = parse_json(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: no such config file") from None
        except ValueError as e:
            raise UserError(f"{path}: not a json file ({e})") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: expected a json object with config fields")
        try:
            return cls.from_dict(values)
        except UserError as e:
            raise UserError(f"{path}: {e}") from None

    @property
    def task_weights(self) -> dict:  # task -> weight of its loss
        return {task: getattr(self, f"{task}_weight") for task in self.tasks}

    def image_size_of(self, task: str) -> tuple:  # (height, width) in pixels
        return getattr(self, f"{task}_size")

    def batch_size_of(self, task: str) -> int:  # images of `task` in a step
        return getattr(self, f"{task}_batch_size") or self.batch_size

    def every_of(self, task: str) -> int:  # `task` takes part in every so many steps
        return getattr(self, f"{task}_every")

    def check_every_task(self, purpose: str):  # what needs it: the first words of the sentence
        """Raises `UserError` unless every task is in every step."""
        sentence = f"{purpose} needs every task in every step: set"
        if self.task_sampling != "all":
            raise UserError(f"{sentence} task_sampling to all")
        least = min(map(self.every_of, self.tasks))  # common to all it would change nothing
        for task in self.tasks:
            if self.every_of(task) > least:
                raise UserError(f"{sentence} {task}_every to {least}")

    def limit_of(self, task: str) -> int:  # training images of `task` that are used; 0: all
        return getattr(self, f"{task}_limit")

    @property
    def balancer_settings(self) -> dict:  # option -> number or text
        """`balancer_options` as keywords; raises `UserError` for a part that is not name=value."""
        settings = {}
        for part in filter(str.strip, self.balancer_options.split(",")):
            name, equals, value = map(str.strip, part.partition("="))
            if not (name.isidentifier() and equals and value):
                raise UserError(
                    f"config field 'balancer_options' is {self.balancer_options!r}: expected name=value,name=value"
                )
            settings[name] = _number(value)
        return settings


def _check_tasks(tasks: tuple):
    "Raises `UserError` for a task that is not registered; before all else, for it brings fields."
    if not tasks or not set(tasks) <= set(TASKS):
        remedy = "for one of your own, import the module that registers it first"
        raise UserError(f"config field 'tasks' is {tasks!r}: expected one or more of {', '.join(TASKS)}; {remedy}")


def _number(text: str):
    "A text as int or float where it is one."
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


RECIPES = {
    "smoke": dict(
        world_size="tiny",
        data_root="datasets/world-tiny",
        results_dir="results/smoke",
        backbone_name="resnet18",
        neck_channels=64,
        anchor_scale=2.0,
        roi_samples=32,
        classification_size=(32, 32),
        detection_size=(96, 320),
        lane_size=(96, 160),
        batch_size=2,
        classification_batch_size=16,
        epochs=2,
        steps_per_epoch=8,
        optimizer="adamw",
        learning_rate=1e-3,
        lane_dice=1.0,
        lane_positive_weight=4.0,
        cache_images=True,
    ),
    "laptop": dict(
        backbone_name="resnet10",
        neck_channels=64,
        anchor_scale=2.0,
        anchor_ratios=(0.6, 1.2, 3.0),
        roi_samples=48,
        train_proposals=150,
        dropout=0.2,
        roi_margin=0.05,
        classification_size=(48, 48),
        lane_size=(144, 256),
        lane_channels=256,
        lane_prior=0.05,
        roi_objects=0.5,
        shared_box=True,
        batch_size=4,
        classification_batch_size=64,
        detection_batch_size=5,
        classification_every=2,
        lane_every=2,
        epochs=5,
        steps_per_epoch=300,
        evaluate_every=2,
        optimizer="adamw",
        learning_rate=1.2e-3,
        adam_beta2=0.99,
        weight_decay=0.02,
        warmup_steps=30,
        gradient_clip=5.0,
        classification_weight=4.0,
        detection_weight=4.0,
        lane_weight=6.0,
        lane_dice=1.0,
        use_rotation=False,
        use_brightness=False,
        use_contrast=False,
        use_gaussian_noise=False,
        cache_images=True,
        checkpoint_every=50,
    ),
    "study": dict(
        backbone_name="resnet18",
        neck_channels=32,
        anchor_scale=2.0,
        anchor_ratios=(0.6, 1.2, 3.0),
        roi_samples=32,
        dropout=0.2,
        roi_margin=0.05,
        results_dir="results/study",
        classification_size=(32, 32),
        detection_size=(96, 320),
        lane_size=(96, 160),
        lane_channels=128,
        classification_batch_size=48,
        detection_batch_size=3,
        lane_batch_size=4,
        epochs=1,
        steps_per_epoch=200,
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.02,
        warmup_steps=20,
        gradient_clip=5.0,
        lane_dice=1.0,
        use_rotation=False,
        use_brightness=False,
        use_contrast=False,
        use_gaussian_noise=False,
    ),
    "specification": dict(
        backbone_name="resnet50",
        pretrained="true",
        detection_neck="c5",
        lane_skips=False,
        split_rule="specification",
        detection_size=(384, 1248),
        lane_size=(384, 640),
        data_root="datasets",
        results_dir="results/specification",
        epochs=5,
        precision="32-true",
        num_workers=4,
    ),
    "gpu": dict(
        backbone_name="resnet50",
        pretrained="true",
        batch_size=16,
        classification_batch_size=128,
        detection_size=(384, 1248),
        lane_size=(384, 640),
        epochs=50,
        optimizer="adamw",
        learning_rate=3e-4,
        weight_decay=0.02,
        warmup_steps=500,
        lane_dice=1.0,
        lane_positive_weight=4.0,
        num_workers=8,
        results_dir="results/gpu",
        checkpoint_every=500,
    ),
}
RECIPES["evening"] = RECIPES["laptop"] | dict(
    world_size="evening",
    data_root="datasets/world-evening",
    results_dir="results/evening",
    detection_size=(192, 640),
    anchor_scale=3.0,
    detection_batch_size=4,
    lane_size=(192, 320),
    epochs=10,
    steps_per_epoch=700,
    evaluate_every=5,
    weight_decay=0.05,
    warmup_steps=100,
    checkpoint_every=100,
)
RECIPES["specification_boosted"] = (
    RECIPES["specification"]
    | {f"{t}_weight": w for t, w in BOOSTED_WEIGHTS.items()}
    | dict(results_dir="results/specification_boosted")
)


def make_config(
    recipe: str = "laptop",  # one of RECIPES
    **overrides,  # fields that differ from the recipe
) -> Config:
    """The `Config` of a named recipe with some fields changed.

    A `batch_size` among them holds for every task whose own is not, too.
    Raises `UserError` for an unknown recipe, field or value.
    """
    if recipe not in RECIPES:
        raise UserError(f"unknown recipe {recipe!r}: expected one of {', '.join(RECIPES)}")
    values = RECIPES[recipe] | dict(recipe=recipe)
    if "batch_size" in overrides:  # the recipe's sizes of single tasks go with its own batch size
        values |= {f"{task}_batch_size": 0 for task in TASKS}
    return Config(**values | overrides)
