"""The same trained weights, normalised by different running statistics.

    python benchmarks/batchnorm_statistics.py --checkpoint results/checkpoints/model_best.pt

1. On the test part of each task: its own statistics against the pooled ones and one shared running average (results/batchnorm_statistics.csv).
2. On scenes labelled for detection *and* lanes: one trunk pass for both heads with each choice of statistics, against one pass per head (results/single_pass.csv).
"""

import copy
from pathlib import Path
import pandas as pd, torch
from fastcore.script import Param, call_parse
from mtl_course.config import TASKS
from mtl_course.core.files import atomic_write, resolve
from mtl_course.core.device import choose_precision
from mtl_course.data.kitti import KITTI
from mtl_course.data.loaders import MultiTaskDataset, collate, evaluation_loader
from mtl_course.data.tusimple import TuSimple
from mtl_course.evaluation.evaluate import evaluate_task
from mtl_course.models import load_model
from mtl_course.models.backbone import TaskBatchNorm2d


class WithStatistics:
    'A model whose trunk uses the statistics of `row` (a task, None for pooled, "shared" for one running average) whatever the task.'

    def __init__(self, model, row):
        self.model, self.row = (model, row) if row != "shared" else (one_average(model), None)

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, images, task):
        return self.model._head(task, self.model.backbone.features_of(images, (task,), self.row)[task], images)


def one_average(model):
    "A copy that keeps what a single running average fed by all tasks would keep: the mean of their means and of their variances."
    model = copy.deepcopy(model)
    for m in model.modules():
        if isinstance(m, TaskBatchNorm2d):
            m.running_mean[:] = m.running_mean.mean(0)
            m.running_var[:] = m.running_var.mean(0)
    return model


def scores_of(model, loader, task, precision):
    result = evaluate_task(model, loader, task, "cpu", precision)
    keep = dict(classification=("accuracy",), detection=("map50", "map50_95"), lane=("iou", "f1"))[task]
    return [dict(task=task, metric=m, value=result.scores[m]) for m in keep]


def joint_loader(root: Path, task: str, size: tuple, config):
    "The scenes that carry all labels, as a loader of one task at a given size."
    data = {"detection": KITTI, "lane": TuSimple}[task](root / "joint", part="all", size=size)
    keys = [[(task, i, None) for i in range(k, min(k + 8, len(data)))] for k in range(0, len(data), 8)]
    return torch.utils.data.DataLoader(MultiTaskDataset({task: data}, config), batch_sampler=keys, collate_fn=collate)


def save(rows, name):
    table = pd.DataFrame(rows)
    with atomic_write(resolve(f"results/{name}.csv")) as t:
        table.to_csv(t, index=False)
    print(table.round(4).to_string(index=False), "\n")


@call_parse
def main(checkpoint: Param("a trained three-task model", str) = "results/checkpoints/model_best.pt"):
    "Scores a trained model with own, pooled and foreign BatchNorm statistics."
    model = load_model(resolve(checkpoint)).to(memory_format=torch.channels_last)
    config, precision = model.config, choose_precision("auto")
    rows = []
    for task in TASKS:
        loader = evaluation_loader(config, "test", (task,))
        for name, row in (("own", task), ("pooled", None), ("shared", "shared")):
            rows += [dict(statistics=name, **s) for s in scores_of(WithStatistics(model, row), loader, task, precision)]
    save(rows, "batchnorm_statistics")
    rows = []
    for task in ("detection", "lane"):
        loader = joint_loader(resolve(config.data_root), task, config.detection_size, config)
        for row in ("detection", "lane", None):
            rows += [
                dict(image="scene at the detection size", trunk_passes=1, statistics=row or "pooled", **s)
                for s in scores_of(WithStatistics(model, row), loader, task, precision)
            ]
        loader = joint_loader(resolve(config.data_root), task, config.image_size_of(task), config)
        rows += [
            dict(image="each head at its own size", trunk_passes=2, statistics="own", **s)
            for s in scores_of(model, loader, task, precision)
        ]
    save(rows, "single_pass")
