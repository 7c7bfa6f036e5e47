"""The same trained weights, normalised by different running statistics.

    python benchmarks/batchnorm_statistics.py --checkpoint results/checkpoints/model_best.pt

1. On the test split of each task: its own statistics against the pooled ones and one shared running
   average (results/batchnorm_statistics.csv).
2. On scenes labelled for detection *and* lanes: one pass of the backbone for both heads with each
   choice of statistics, against one pass per head (results/single_pass.csv).
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
from mtl_course.models import load_model
from mtl_course.models.backbone import TaskBatchNorm2d

METRICS = {"classification": ("accuracy",), "detection": ("map50", "map50_95"), "lane": ("iou", "f1")}
READERS = {"detection": KITTI, "lane": TuSimple}


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


def with_shared_average(model):
    """A copy with what one running average would keep: means of means and of variances."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, TaskBatchNorm2d):
            module.running_mean[:] = module.running_mean.mean(0)
            module.running_var[:] = module.running_var.mean(0)
    return model


def scores_of(model, loader, task, precision):
    result = evaluate_task(model, loader, task, "cpu", precision)
    return [dict(task=task, metric=metric, value=result.scores[metric]) for metric in METRICS[task]]


def joint_loader(root: Path, task: str, size: tuple, config):
    """The scenes that carry all labels, as a loader of one task at a given size."""
    data = READERS[task](root / "joint", "all", size=size)
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


def compare_single_pass(model, config, precision) -> list[dict]:
    records = []
    root = resolve(config.data_root)
    for task in READERS:
        loader = joint_loader(root, task, config.detection_size, config)
        for stats_task in ("detection", "lane", None):
            about = dict(image="scene at the detection size", trunk_passes=1, statistics=stats_task or "pooled")
            variant = WithStatistics(model, stats_task)
            records += [about | score for score in scores_of(variant, loader, task, precision)]
        loader = joint_loader(root, task, config.image_size_of(task), config)
        about = dict(image="each head at its own size", trunk_passes=2, statistics="own")
        records += [about | score for score in scores_of(model, loader, task, precision)]
    return records


def save(records: list[dict], name: str):
    table = pd.DataFrame(records)
    with atomic_write(resolve(f"results/{name}.csv")) as path:
        table.to_csv(path, index=False)
    print(table.round(4).to_string(index=False), "\n")


@call_parse
def main(checkpoint: Param("a trained three-task model", str) = "results/checkpoints/model_best.pt"):
    """Scores a trained model with own, pooled and foreign BatchNorm statistics."""
    model = load_model(resolve(checkpoint)).to(memory_format=torch.channels_last)
    precision = choose_precision("auto")
    save(compare_on_test_splits(model, model.config, precision), "batchnorm_statistics")
    save(compare_single_pass(model, model.config, precision), "single_pass")
