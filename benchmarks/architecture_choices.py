"""Choices of architecture, each with everything else equal.

    python benchmarks/architecture_choices.py --choices neck --steps 200 --seeds 0,1
    python benchmarks/architecture_choices.py --choices skips --steps 200 --seeds 0,1,2
    python benchmarks/architecture_choices.py --choices anchors --steps 300 --seeds 0,1
    python benchmarks/architecture_choices.py --choices heads --steps 900 --seeds 0,1
    OMP_NUM_THREADS=1 python benchmarks/architecture_choices.py --choices heads --steps 25 --timed

Pyramid or stride 32 and shapes of anchors for detection, skips or none for lanes. Trains a single
task at a time on a ResNet-18 with 300 training proposals, else with the `laptop` recipe's sizes and
budget per step, same seeds and data (validation scores). Writes results/necks_and_skips.csv (neck,
skips) and results/anchor_ratios.csv (anchors).

A region head or a dense one (heads): the first `laptop` recipe's network and sizes as they are,
then each with a shorter memory of Adam (β₂ 0.99), the region head also with half of its samples
objects and one correction of a box for all classes. A run that is stored is not made again. Kept
are scores and AP50 of each class, or of a short run on a quiet machine (timed) the median seconds
of a training step, and of an image alone: network and decoding, and decoding by itself. Writes
results/detection_heads.csv. Set OMP_NUM_THREADS for the number of threads.
"""

import itertools
import statistics
import tempfile
import time

import pandas as pd
import torch
from fastcore.script import Param, call_parse, store_true

from recipes import FIRST_LAPTOP

from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.loaders import evaluation_loader
from mtl_course.evaluation.evaluate import evaluate_task
from mtl_course.evaluation.predictions import evaluation_mode
from mtl_course.training.loop import train

# name -> task, field, its values; the second set of anchors has a shape for pedestrians
CHOICES = {
    "neck": ("detection", "detection_neck", ("fpn", "c5")),
    "skips": ("lane", "lane_skips", (True, False)),
    "anchors": ("detection", "anchor_ratios", ((0.5, 1.0, 2.0), (0.6, 1.2, 3.0))),
    "heads": ("detection", "detection_head", ("region", "dense", "region, tuned", "dense, tuned")),
}
HEADS = {  # fields of a config
    "region": {},
    "dense": dict(detection_head="dense"),
    "region, tuned": dict(roi_objects=0.5, shared_box=True, adam_beta2=0.99),
    "dense, tuned": dict(detection_head="dense", adam_beta2=0.99),
}
FILES = {
    "neck": "necks_and_skips",
    "skips": "necks_and_skips",
    "anchors": "anchor_ratios",
    "heads": "detection_heads",
}
METRICS = ("map50", "map50_95", "iou", "f1")
LARGER = dict(backbone_name="resnet18", train_proposals=300)  # of all choices but the heads
WARM_UP = 3  # steps and images that are not timed


def label(value):
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else value


def train_one(task: str, field: str, value, steps: int, seed: int) -> list[dict]:
    """Trains one task alone and returns records of validation scores."""
    with tempfile.TemporaryDirectory() as folder:
        network = HEADS[value] if field == "detection_head" else LARGER | {field: value}
        values = FIRST_LAPTOP | network | dict(steps_per_epoch=steps, epochs=1, checkpoint_every=0)
        config = make_config("laptop", results_dir=folder, tasks=task, seed=seed, **values)
        run = train(config)
        log = pd.read_csv(f"{folder}/logs/training.csv")
    about = dict(
        task=task,
        field=field,
        option=label(value),
        seed=seed,
        steps=steps,
        seconds=run.seconds,
        head_parameters_millions=sum(p.numel() for p in run.model.heads[task].parameters()) / 1e6,
    )
    scores = log[(log.kind == "epoch") & log.metric.isin(METRICS)]
    values = dict(zip(scores.metric, scores.value))
    if field == "detection_head":
        values |= ap50_of_classes(run.model, config) | seconds_of(run.model, config, log)
    return [about | dict(metric=metric, value=score) for metric, score in values.items()]


def ap50_of_classes(model, config) -> dict[str, float]:
    """AP50 of each class on the validation split."""
    loader = evaluation_loader(config, "val", ("detection",))
    per_class = evaluate_task(model, loader, "detection").per_class
    return {f"ap50 {name}": value for name, value in per_class["ap50"].items()}


def seconds_of(model, config, log: pd.DataFrame) -> dict[str, float]:
    """Medians: of a training step, of a validation image alone, and of its decoding alone."""
    steps = log[log.kind == "step"]
    seconds_step = config.batch_size_of("detection") / steps.images_per_second
    batches = itertools.islice(evaluation_loader(config, "val", ("detection",)), 4)
    scenes = torch.cat([batch["images"]["detection"] for batch in batches])
    image_seconds = []
    decoding_seconds = []
    with evaluation_mode(model), torch.inference_mode():
        for scene in scenes.split(1):
            start = time.perf_counter()
            output = model(scene, task="detection")
            answered = time.perf_counter()
            model.decode_detections(output)
            decoded = time.perf_counter()
            image_seconds.append(decoded - start)
            decoding_seconds.append(decoded - answered)
    return dict(
        seconds_step=seconds_step[WARM_UP:].median(),
        seconds_image=statistics.median(image_seconds[WARM_UP:]),
        seconds_decoding=statistics.median(decoding_seconds[WARM_UP:]),
    )


def read_stored(name: str) -> pd.DataFrame:
    path = resolve(f"results/{name}.csv")
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def store(records: list[dict], name: str):
    """Puts records in place of stored ones of the same field, of heads of the same run."""
    table = pd.DataFrame(records)
    if name == "anchor_ratios":
        table = table.rename(columns=dict(option="ratios"))
    stored = read_stored(name)
    if "field" in stored:
        same = stored.field.isin(table.field)
        if name == "detection_heads":
            same &= stored.option.isin(table.option) & stored.seed.isin(table.seed) & stored.steps.isin(table.steps)
        table = pd.concat([stored[~same], table], ignore_index=True)
    with atomic_write(resolve(f"results/{name}.csv")) as temporary:
        table.astype({"seed": int}).to_csv(temporary, index=False)


def compare_heads(steps: int, seeds: list[int], timed: bool):
    """Trains the heads that are not stored at this length, and stores each at once."""
    task, field, options = CHOICES["heads"]
    for option in options:
        for seed in seeds:
            stored = read_stored("detection_heads")
            if len(stored) and len(stored.query("option == @option and seed == @seed and steps == @steps")):
                continue
            records = train_one(task, field, option, steps, seed)
            records = [record for record in records if record["metric"].startswith("seconds") == timed]
            store(records, "detection_heads")
            print(pd.DataFrame(records).round(3).to_string(index=False), flush=True)


@call_parse
def main(
    choices: Param(f"some of {', '.join(CHOICES)}; comma-separated", str) = "neck,skips",
    steps: Param("training steps of each run", int) = 80,
    seeds: Param("seeds, comma-separated", str) = "0",
    timed: Param("heads: keep seconds in place of scores, of a short run on a quiet machine", store_true) = False,
):
    """Compares the options of each choice."""
    names = [choice.strip() for choice in choices.split(",")]
    unknown = [name for name in names if name not in CHOICES]
    if unknown:
        raise UserError(f"choices is {choices!r}: {unknown[0]!r} is none of {', '.join(CHOICES)}")
    seeds = [int(seed) for seed in seeds.split(",")]
    for name in names:
        if name == "heads":
            compare_heads(steps, seeds, timed)
            continue
        task, field, values = CHOICES[name]
        records = []
        for seed in seeds:
            for value in values:
                records += train_one(task, field, value, steps, seed)
        store(records, FILES[name])
        print(pd.DataFrame(records).round(3).to_string(index=False))
