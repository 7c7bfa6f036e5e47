"""The same trained weights, normalised by different running statistics.

    python benchmarks/batchnorm_statistics.py --checkpoint results/checkpoints/model_best.pt

1. On the test split of each task: its own statistics against the pooled ones and one shared running
   average (results/batchnorm_statistics.csv).
2. On scenes labelled for detection *and* lanes: one pass of the backbone for both heads with each
   choice of statistics, against one pass per head, and against one pass on a band cut out around
   the horizon instead of the whole scene pressed flat (results/single_pass.csv).
"""

import copy
from pathlib import Path

import pandas as pd
import torch
from fastcore.script import Param, call_parse

from mtl_course.core.device import choose_precision
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.kitti import KITTI
from mtl_course.data.loaders import MultiTaskDataset, collate, evaluation_loader
from mtl_course.data.tusimple import TuSimple
from mtl_course.evaluation.evaluate import evaluate_task
from mtl_course.metrics.intervals import RESAMPLES
from mtl_course.models import load_model
from mtl_course.models.backbone import TaskBatchNorm2d
from mtl_course.world.camera import SCENE_SIZES

METRICS = {"classification": ("accuracy",), "detection": ("map50", "map50_95"), "lane": ("iou", "f1")}
READERS = {"detection": KITTI, "lane": TuSimple}
MIDDLE = 0.4  # of a joint scene's height: half of the objects have their centres above


class WithStatistics:
    """A model whose backbone uses the statistics of one task (None: pooled) whatever is asked."""

    def __init__(self, model, stats_task):
        self.model = model
        self.stats_task = stats_task

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, images, task):
        features = self.model.backbone.features_of(images, (task,), self.stats_task)[task]
        return self.model.heads[task](features, tuple(images.shape[-2:]))


class OnBand:
    """A model that sees some rows of an image and answers for all: nothing is elsewhere."""

    def __init__(self, model, top: int, bottom: int):
        self.model = model
        self.top = top
        self.bottom = bottom

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, images, task):
        output = self.model(images[:, :, self.top : self.bottom], task)
        if not torch.is_tensor(output):
            return output
        logits = output.new_zeros(*output.shape[:2], images.shape[2], images.shape[3])
        logits[:, 0] = 20.0  # certainly no lane
        logits[:, :, self.top : self.bottom] = output
        return logits

    def decode_detections(self, output):
        decoded = self.model.decode_detections(output)
        for image in decoded:
            image["boxes"] = image["boxes"] + image["boxes"].new_tensor([0, self.top, 0, self.top])
        return decoded


class LanesOfBand(torch.utils.data.Dataset):
    "Lane samples of which only some rows are kept, in the image and in the mask."

    def __init__(self, data, top: int, bottom: int):
        self.data = data
        self.top = top
        self.bottom = bottom

    def __getattr__(self, name):
        return getattr(self.data, name)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        sample = self.data[index]
        image = sample["image"][:, self.top : self.bottom]
        return sample | dict(image=image, mask=sample["mask"][self.top : self.bottom])


def with_shared_average(model):
    """A copy with what one running average would keep: means of means and of variances."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, TaskBatchNorm2d):
            module.running_mean[:] = module.running_mean.mean(0)
            module.running_var[:] = module.running_var.mean(0)
    return model


def scores_of(model, loader, task, precision, resamples=0):
    "The scores of a task, with intervals over images where these are drawn again."
    result = evaluate_task(model, loader, task, "cpu", precision, resamples=resamples)
    rows = [dict(task=task, metric=metric, value=result.scores[metric]) for metric in METRICS[task]]
    for row in rows if resamples else ():
        row["low"], row["high"] = result.intervals[row["metric"], "all"]
    return rows


def joint_loader(root: Path, task: str, size: tuple, config, rows: tuple | None = None):
    """The scenes that carry all labels, as a loader of one task at a given size; `rows`: of lanes
    only these.
    """
    data = READERS[task](root / "joint", "all", size=size)
    if rows is not None:
        data = LanesOfBand(data, *rows)
    keys = []
    for first in range(0, len(data), 8):
        keys.append([(task, i, None) for i in range(first, min(first + 8, len(data)))])
    return torch.utils.data.DataLoader(MultiTaskDataset({task: data}, config), batch_sampler=keys, collate_fn=collate)


def compare_on_test_splits(model, config, precision) -> list[dict]:
    records = []
    for task in METRICS:
        loader = evaluation_loader(config, "test", (task,))
        variants = {
            "own": WithStatistics(model, task),
            "pooled": WithStatistics(model, None),
            "shared": WithStatistics(with_shared_average(model), None),
        }
        for name, variant in variants.items():
            records += [dict(statistics=name, **score) for score in scores_of(variant, loader, task, precision)]
    return records


def band_of(config) -> tuple[tuple, int, int]:  # size of the whole scene, first row, row after the last
    "The size at which a joint scene is as wide as the detection input, and the rows that fit it."
    height, width = config.detection_size
    scene_width, scene_height = SCENE_SIZES["joint"]
    whole = round(scene_height * width / scene_width)
    top = round(MIDDLE * whole - height / 2)
    return (whole, width), top, top + height


def compare_single_pass(model, config, precision) -> list[dict]:
    records = []
    root = resolve(config.data_root)
    whole, top, bottom = band_of(config)

    def score(name, passes, stats_task, variant, loader):
        about = dict(image=name, trunk_passes=passes, statistics=stats_task or "pooled")
        records.extend(about | row for row in scores_of(variant, loader, task, precision, RESAMPLES))

    for task in READERS:
        pressed = joint_loader(root, task, config.detection_size, config)
        at_width = joint_loader(root, task, whole, config)
        for stats_task in ("detection", "lane", None):
            variant = WithStatistics(model, stats_task)
            score("scene at the detection size", 1, stats_task, variant, pressed)
            score("band of the scene", 1, stats_task, OnBand(variant, top, bottom), at_width)
            if task == "lane":
                inside = joint_loader(root, task, whole, config, (top, bottom))
                score("band of the scene, scored inside", 1, stats_task, variant, inside)
        own_size = joint_loader(root, task, config.image_size_of(task), config)
        score("each head at its own size", 2, "own", model, own_size)
        score("each head at the scene's shape", 2, "own", model, at_width)
    return records


def save(records: list[dict], name: str):
    table = pd.DataFrame(records)
    with atomic_write(resolve(f"results/{name}.csv")) as path:
        table.to_csv(path, index=False)
    print(table.round(4).to_string(index=False), "\n")


@call_parse
def main(
    checkpoint: Param("a trained three-task model", str) = "results/checkpoints/model_best.pt",
    only_single_pass: Param("make the second table alone", bool) = False,
):
    """Scores a trained model with own, pooled and foreign BatchNorm statistics."""
    model = load_model(resolve(checkpoint)).to(memory_format=torch.channels_last)
    precision = choose_precision("auto")
    if not only_single_pass:
        save(compare_on_test_splits(model, model.config, precision), "batchnorm_statistics")
    save(compare_single_pass(model, model.config, precision), "single_pass")
