"""Choices of architecture, each with everything else equal.

    python benchmarks/architecture_choices.py --choices neck --steps 200 --seeds 0,1
    python benchmarks/architecture_choices.py --choices skips --steps 200 --seeds 0,1,2
    python benchmarks/architecture_choices.py --choices anchors --steps 300 --seeds 0,1

Pyramid or stride 32 and shapes of anchors for detection, skips or none for lanes. Trains a single
task at a time on a ResNet-18 with 300 training proposals, else with the `laptop` recipe's sizes and
budget per step, same seeds and data (validation scores). Writes results/necks_and_skips.csv (neck,
skips) and results/anchor_ratios.csv (anchors).
"""

import tempfile

import pandas as pd
from fastcore.script import Param, call_parse

from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, resolve
from mtl_course.training.loop import train

# name -> task, field, its values; the second set of anchors has a shape for pedestrians
CHOICES = {
    "neck": ("detection", "detection_neck", ("fpn", "c5")),
    "skips": ("lane", "lane_skips", (True, False)),
    "anchors": ("detection", "anchor_ratios", ((0.5, 1.0, 2.0), (0.6, 1.2, 3.0))),
}
FILES = {"neck": "necks_and_skips", "skips": "necks_and_skips", "anchors": "anchor_ratios"}
METRICS = ("map50", "map50_95", "iou", "f1")


def label(value):
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else value


def train_one(task: str, field: str, value, steps: int, seed: int) -> list[dict]:
    """Trains one task alone and returns records of validation scores."""
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(
            "laptop",
            backbone_name="resnet18",
            train_proposals=300,
            results_dir=folder,
            tasks=task,
            steps_per_epoch=steps,
            epochs=1,
            seed=seed,
            checkpoint_every=0,
            **{field: value},
        )
        run = train(config)
        log = pd.read_csv(f"{folder}/logs/training.csv").query("kind == 'epoch'")
    about = dict(
        task=task,
        field=field,
        option=label(value),
        seed=seed,
        steps=steps,
        seconds=run.seconds,
        head_parameters_millions=sum(p.numel() for p in run.model.heads[task].parameters()) / 1e6,
    )
    scores = log[log.metric.isin(METRICS)]
    return [about | dict(metric=metric, value=score) for metric, score in zip(scores.metric, scores.value)]


def store(records: list[dict], name: str):
    """Puts records into a result file in place of its rows of the same field."""
    table = pd.DataFrame(records)
    path = resolve(f"results/{name}.csv")
    if name == "anchor_ratios":
        table = table.rename(columns=dict(option="ratios"))
    if path.exists():
        stored = pd.read_csv(path)
        if "field" in stored:
            table = pd.concat([stored[~stored.field.isin(table.field)], table], ignore_index=True)
    with atomic_write(path) as temporary:
        table.astype({"seed": int}).to_csv(temporary, index=False)


@call_parse
def main(
    choices: Param(f"some of {', '.join(CHOICES)}; comma-separated", str) = "neck,skips",
    steps: Param("training steps of each run", int) = 80,
    seeds: Param("seeds, comma-separated", str) = "0",
):
    """Compares the options of each choice."""
    names = [choice.strip() for choice in choices.split(",")]
    unknown = [name for name in names if name not in CHOICES]
    if unknown:
        raise UserError(f"choices is {choices!r}: {unknown[0]!r} is none of {', '.join(CHOICES)}")
    for name in names:
        task, field, values = CHOICES[name]
        records = []
        for seed in map(int, seeds.split(",")):
            for value in values:
                records += train_one(task, field, value, steps, seed)
        store(records, FILES[name])
        print(pd.DataFrame(records).round(3).to_string(index=False))
