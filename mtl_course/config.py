"""One small object that says everything about a run, so that a run can be repeated."""

__all__ = [
    "TASKS",
    "DETECTION_CLASSES",
    "EQUAL_WEIGHTS",
    "BOOSTED_WEIGHTS",
    "OKABE_ITO",
    "TASK_COLOURS",
    "TASK_MARKERS",
    "TASK_LABELS",
    "RECIPES",
    "RunFields",
    "DataFields",
    "ModelFields",
    "TrainingFields",
    "MachineFields",
    "Config",
    "make_config",
    "load_config",
]

import dataclasses, json
from dataclasses import dataclass, field
from pathlib import Path
from .core.errors import UserError
from .core.files import atomic_write, resolve

TASKS = ("classification", "detection", "lane")
DETECTION_CLASSES = ("Car", "Pedestrian", "Cyclist", "Van", "Truck", "Tram", "Misc")
EQUAL_WEIGHTS = dict(detection=1.0, lane=1.0, classification=1.0)
BOOSTED_WEIGHTS = dict(detection=5.0, lane=30.0, classification=1.0)  # the specification's remedy for imbalance

OKABE_ITO = dict(
    black="#000000",
    orange="#E69F00",
    sky="#56B4E9",
    green="#009E73",
    yellow="#F0E442",
    blue="#0072B2",
    vermillion="#D55E00",
    purple="#CC79A7",
)
TASK_COLOURS = {"classification": OKABE_ITO["blue"], "detection": OKABE_ITO["vermillion"], "lane": OKABE_ITO["green"]}
TASK_MARKERS = {"classification": "o", "detection": "s", "lane": "^"}  # a second cue beside the colour
TASK_LABELS = {"classification": "sign classification", "detection": "object detection", "lane": "lane segmentation"}


def _choice(default, *options, help=""):
    "A field that takes one of `options`."
    return field(default=default, metadata=dict(options=options, help=help))


def _opt(default, help):
    "A field with a line of help for the command line."
    return field(default=default, metadata=dict(help=help))


@dataclass
class RunFields:
    "Who, where and how large."

    recipe: str = _opt("laptop", "the named recipe that the values started from")
    seed: int = _opt(0, "fixes the weights, the order of the images, augmentation and dropout")
    tasks: tuple = _opt(TASKS, "tasks to train, comma-separated; one task gives a single-task baseline")
    data_root: str = _opt("datasets/world", "folder with gtsrb/, kitti/ and tusimple/")
    results_dir: str = _opt("results", "folder for checkpoints, logs, tables and figures")
    world_size: str = _choice(
        "laptop", "tiny", "laptop", help="size of the built-in world, made when data_root is missing"
    )


@dataclass
class DataFields:
    "What the images are made into."

    split: str = _choice(
        "held_out",
        "held_out",
        "specification",
        help="held_out: by track or frame, 70/15/15; specification: by image, 90/10 and 80/20",
    )
    classification_size: tuple = _opt((64, 64), "height x width of sign crops, pixels")
    roi_margin: float = _opt(1.0, "margin round the sign in its crop, in sign widths; 1: the crop as published")
    detection_size: tuple = _opt((128, 416), "height x width of road scenes, pixels")
    lane_size: tuple = _opt((192, 320), "height x width of lane images, pixels")
    batch_size: int = _opt(4, "images per task and step")
    classification_batch_size: int = _opt(0, "sign crops per step; 0: batch_size")
    detection_batch_size: int = _opt(0, "road scenes per step; 0: batch_size")
    lane_batch_size: int = _opt(0, "lane images per step; 0: batch_size")
    num_workers: int = _opt(0, "processes that prepare batches; 0: in the training process")
    cache_images: bool = _opt(False, "keep decoded, resized images in memory")
    classification_limit: int = _opt(0, "training signs that are used; 0: all")
    detection_limit: int = _opt(0, "training road scenes that are used; 0: all")
    lane_limit: int = _opt(0, "training lane images that are used; 0: all")
    class_skew: float = _opt(1.0, "training signs of the most frequent class for each of the rarest; 1: as they are")
    use_horizontal_flip: bool = _opt(True, "mirror images (signs only where the mirrored sign is a sign)")
    use_rotation: bool = _opt(True, "rotate by up to 10 degrees")
    use_brightness: bool = _opt(True, "change the brightness by up to 30 %")
    use_contrast: bool = _opt(True, "change the contrast by up to 30 %")
    use_gaussian_noise: bool = _opt(True, "add noise of standard deviation up to 0.05")


@dataclass
class ModelFields:
    "The network."

    backbone_name: str = _choice("resnet50", "resnet10", "resnet18", "resnet34", "resnet50", help="the shared trunk")
    pretrained: str = _choice(
        "false", "true", "false", "require", help="ImageNet weights; require: an error when they cannot be had"
    )
    freeze_backbone: bool = _opt(False, "keep the ResNet (or ResNets) as it is; train the rest")
    sharing: str = _choice(
        "hard",
        "hard",
        "separate",
        "cross_stitch",
        "attention",
        "mtan",
        help="how the tasks share the trunk; hard: one trunk for all",
    )
    detection_neck: str = _choice(
        "fpn", "fpn", "c5", help="fpn: feature pyramid; c5: the specification's head on stride-32 features"
    )
    neck_channels: int = _opt(256, "channels of the feature pyramid")
    anchor_scale: float = _opt(4.0, "smallest anchor of a pyramid level, in strides; 2 for small images")
    anchor_ratios: tuple = _opt((0.5, 1.0, 2.0), "three shapes of anchors, height / width")
    roi_samples: int = _opt(128, "proposals per image in the second stage's loss")
    train_proposals: int = _opt(300, "proposals per image from which those are drawn")
    dropout: float = _opt(0.5, "share of activations silenced in the classification head")
    lane_skips: bool = _opt(True, "U-Net skip connections from the trunk into the lane decoder")
    lane_channels: int = _opt(512, "channels of the lane decoder at stride 32; each of its five blocks halves them")


@dataclass
class TrainingFields:
    "The optimiser, its schedule and the weights of the losses."

    epochs: int = _opt(5, "passes of steps_per_epoch steps")
    steps_per_epoch: int = _opt(0, "0: one pass over the largest data set")
    optimizer: str = _choice("adam", "adam", "adamw", help="adamw decays weights apart from the gradient")
    learning_rate: float = _opt(1e-4, "peak learning rate")
    weight_decay: float = _opt(1e-5, "L2 penalty (adam) or decoupled decay (adamw)")
    warmup_steps: int = _opt(0, "steps over which the learning rate rises from 0 to its peak")
    scheduler_type: str = _choice("cosine", "cosine", "constant", help="learning rate after the warm-up")
    gradient_clip: float = _opt(1.0, "largest norm of the whole gradient; 0: no clipping")
    detection_weight: float = _opt(1.0, "weight of the detection loss")
    lane_weight: float = _opt(1.0, "weight of the lane loss")
    classification_weight: float = _opt(1.0, "weight of the classification loss")
    balancer: str = _opt(
        "fixed", "rule that weighs the tasks on top of their fixed weights; mtl_train --help lists them"
    )
    balancer_options: str = _opt("", "its options, such as lr=0.01,seed=1")
    weight_schedule: str = _opt(
        "",
        "factors of the task weights, applied after the balancer: lane=1>30 over the whole run, or lane=0>1@0.2-0.5 between these parts of it",
    )
    task_sampling: str = _choice(
        "all", "all", "temperature", "loss", help="all: every task in every step; else one task is drawn for a step"
    )
    sampling_temperature: float = _opt(1.0, "tasks are drawn in proportion to images^(1/temperature); large: all alike")
    sampling_temperature_end: float = _opt(0.0, "the temperature at the end, reached in a straight line; 0: it stays")
    accumulate: int = _opt(1, "parts into which each task's batch is cut; memory is needed for one at a time")
    classification_loss: str = _choice(
        "cross_entropy",
        "cross_entropy",
        "focal",
        "class_balanced",
        help="focal: hard signs count more; class_balanced: rare classes count more",
    )
    focal_gamma: float = _opt(2.0, "how much less a sign counts that is known well")
    class_balance_beta: float = _opt(
        0.999, "class_balanced: 0 weighs all classes alike, near 1 by the inverse of their signs"
    )
    lane_dice: float = _opt(0.0, "weight of the Dice term beside the lane cross-entropy")
    lane_positive_weight: float = _opt(1.0, "weight of lane pixels against background in the cross-entropy")


@dataclass
class MachineFields:
    "What the run does with the machine."

    device: str = _choice("auto", "auto", "cpu", "cuda", help="auto: a GPU where there is one")
    precision: str = _choice(
        "auto", "auto", "32-true", "bf16-mixed", "16-mixed", help="auto: bf16 where the hardware computes in it"
    )
    channels_last: bool = _opt(True, "memory layout that convolutions like on most hardware")
    num_processes: int = _opt(1, "training processes (gloo on the CPU, NCCL on GPUs)")
    checkpoint_every: int = _opt(0, "also save last.pt every so many steps; 0: at the end of each epoch only")
    evaluate_every: int = _opt(1, "validate every so many epochs")
    gradient_log_every: int = _opt(0, "write logs/gradients.csv every so many steps; 0: never")


@dataclass
class Config(MachineFields, TrainingFields, ModelFields, DataFields, RunFields):
    "Everything that describes a run; saved with its results. Raises `UserError` for a value that does not fit its field."

    def __post_init__(self):
        for f in dataclasses.fields(self):
            setattr(self, f.name, _checked(f, getattr(self, f.name)))
        if not set(self.tasks) <= set(TASKS) or not self.tasks:
            raise UserError(f"config field 'tasks' is {self.tasks!r}: expected one or more of {', '.join(TASKS)}")

    @property
    def task_weights(self) -> dict:  # task -> weight of its loss
        return {t: getattr(self, f"{t}_weight") for t in self.tasks}

    def batch_size_of(self, task: str) -> int:  # images of `task` in a step
        return getattr(self, f"{task}_batch_size") or self.batch_size

    @property
    def balancer_settings(self) -> dict:  # option -> number or text
        "`balancer_options` as keywords; raises `UserError` for a part that is not name=value."
        pairs = [p.partition("=") for p in self.balancer_options.split(",") if p.strip()]
        for name, equals, value in pairs:
            if not (name.strip().isidentifier() and equals and value.strip()):
                raise UserError(
                    f"config field 'balancer_options' is {self.balancer_options!r}: expected name=value,name=value"
                )
        return {name.strip(): _number(value.strip()) for name, _, value in pairs}

    def image_size_of(self, task: str) -> tuple:  # (height, width) in pixels
        return getattr(self, f"{task}_size")

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    def save(self, path):
        with atomic_write(path) as t:
            t.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


def _number(text: str):
    "A text as int or float where it is one."
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


_YES, _NO = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def _parse(kind, name, value):
    "`value` (text or already typed) as `kind`."
    if kind is bool:
        if str(value).lower() in _YES | _NO:
            return str(value).lower() in _YES
        raise ValueError
    if kind is tuple:
        if isinstance(value, str):
            value = value.replace("x", ",").split(",") if name.endswith("_size") else value.split(",")
        one = int if name.endswith("_size") else float if name.endswith("_ratios") else str
        return tuple(one(v.strip() if isinstance(v, str) else v) for v in value)
    if kind is int and isinstance(value, float) and value != int(value):
        raise ValueError
    return kind(value)


_POSITIVE = {
    "batch_size",
    "accumulate",
    "lane_channels",
    "evaluate_every",
    "num_processes",
    "neck_channels",
    "roi_samples",
    "train_proposals",
    "anchor_scale",
    "class_skew",
    "sampling_temperature",
}  # 0 makes no sense
_AT_MOST = {"dropout": 0.99, "class_balance_beta": 0.999999}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}
_KINDS = {"str": str, "int": int, "float": float, "bool": bool, "tuple": tuple}


def _wanted(f, kind):  # in words
    if f.name.endswith("_ratios"):
        return "three positive numbers, such as 0.5,1,2"
    return "height x width, such as 128x416" if kind is tuple and f.name.endswith("_size") else _WORDS.get(kind, "text")


def _checked(f, value):
    "The value of field `f` in its type, or a `UserError` that names it."
    kind = f.type if isinstance(f.type, type) else _KINDS[f.type]
    if f.name == "pretrained" and isinstance(value, bool):
        value = str(value).lower()
    if f.name == "tasks" and value == "all":
        value = TASKS
    try:
        value = _parse(kind, f.name, value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"config field '{f.name}' is {value!r}: expected {_wanted(f, kind)}") from None
    options = f.metadata.get("options")
    if options and value not in options:
        raise UserError(f"config field '{f.name}' is {value!r}: expected one of {', '.join(options)}")
    if kind is tuple and f.name.endswith("_size") and (len(value) != 2 or min(value) < 32):
        raise UserError(f"config field '{f.name}' is {value!r}: expected height and width of at least 32 pixels")
    if f.name.endswith("_ratios") and not (len(value) == 3 and all(0 < v < float("inf") for v in value)):
        raise UserError(f"config field '{f.name}' is {value!r}: expected {_wanted(f, kind)}")
    least, most = int(f.name in _POSITIVE), _AT_MOST.get(f.name, float("inf"))
    if kind in (int, float) and not (least <= value <= most and value < float("inf")):
        raise UserError(
            f"config field '{f.name}' is {value!r}: expected a finite number of at least {least}{'' if most > 1 else f' and at most {most}'}"
        )
    return value


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
        batch_size=4,
        classification_batch_size=64,
        detection_batch_size=5,
        epochs=5,
        steps_per_epoch=160,
        evaluate_every=2,
        optimizer="adamw",
        learning_rate=1.2e-3,
        weight_decay=0.02,
        warmup_steps=30,
        gradient_clip=5.0,
        classification_weight=2.0,
        detection_weight=4.0,
        lane_weight=3.0,
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
        split="specification",
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
RECIPES["specification_boosted"] = (
    RECIPES["specification"]
    | {f"{t}_weight": w for t, w in BOOSTED_WEIGHTS.items()}
    | dict(results_dir="results/specification_boosted")
)


def make_config(
    recipe: str = "laptop",  # one of RECIPES
    **overrides,
) -> Config:  # fields that differ from the recipe
    "The `Config` of a named recipe with some fields changed; `batch_size` then holds for every task whose own is not among them. Raises `UserError` for an unknown recipe, field or value."
    if recipe not in RECIPES:
        raise UserError(f"unknown recipe {recipe!r}: expected one of {', '.join(RECIPES)}")
    names = {f.name for f in dataclasses.fields(Config)}
    for name in overrides:
        if name not in names:
            raise UserError(f"unknown config field {name!r}: expected one of {', '.join(sorted(names))}")
    own = (
        {f"{t}_batch_size": 0 for t in TASKS} if "batch_size" in overrides else {}
    )  # the recipe's go with its own batch size
    return Config(**RECIPES[recipe] | own | dict(recipe=recipe) | overrides)


def load_config(path: str | Path) -> Config:  # a json file written by `Config.save`
    "Reads a `Config` back; raises `UserError` when the file is missing or is not one."
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file") from None
    except ValueError as e:
        raise UserError(f"{path}: not a json file ({e})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a json object with config fields")
    return make_config(values.get("recipe", "laptop"), **{k: v for k, v in values.items() if k != "recipe"})
