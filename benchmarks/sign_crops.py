"""What cutting signs out differently each time does for signs that nobody drew.

    OMP_NUM_THREADS=1 python benchmarks/sign_crops.py FOLDER --seeds 0,1,2

Trains the laptop recipe's signs alone, for as many steps as signs have in it, without and with
`use_recropping`, and reads the validation part of the built-in world and the real crops in FOLDER:
those of tracks with an even number, on which the spread of the cuts was chosen, and of the odd
ones. A run that is stored is not made again. Writes results/sign_crops.csv.
"""

import tempfile

import numpy as np
import pandas as pd
import torch
from fastcore.script import Param, call_parse

from mtl_course.config import make_config
from mtl_course.core.device import choose_precision
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.loaders import evaluation_loader
from mtl_course.evaluation.predictions import predict_task
from mtl_course.models import load_model
from mtl_course.training.loop import train


def read_signs(model, config, part: str) -> tuple[np.ndarray, np.ndarray]:  # right (N,) bool, number of track (N,)
    """Which crops of a part are read right."""
    right = []
    tracks = []
    loader = evaluation_loader(config, part, ("classification",))
    for logits, batch in predict_task(model, loader, "classification", "cpu", choose_precision("auto"), ""):
        right += (logits.argmax(1) == batch["classification"]).tolist()
        tracks += [int(file.split("/")[-1].split("_")[0]) for file in batch["files"]["classification"]]
    return np.array(right), np.array(tracks)


def run(seed: int, recropping: bool, data_root: str) -> list[dict]:
    """Trains once; a row for each part."""
    laptop = make_config("laptop")
    steps = laptop.steps_per_epoch // laptop.classification_every
    with tempfile.TemporaryDirectory() as folder:
        changes = dict(steps_per_epoch=steps, evaluate_every=laptop.epochs, checkpoint_every=0, results_dir=folder)
        config = laptop.replace(tasks="classification", seed=seed, use_recropping=recropping, **changes)
        train(config)
        model = load_model(f"{folder}/checkpoints/model_best.pt").to(memory_format=torch.channels_last)
    drawn, _ = read_signs(model, config, "val")
    real, tracks = read_signs(model, config.replace(data_root=data_root), "all")
    accuracies = {
        "the world, validation": drawn.mean(),
        "real, even tracks": real[tracks % 2 == 0].mean(),
        "real, odd tracks": real[tracks % 2 == 1].mean(),
    }
    about = dict(seed=seed, recropping=recropping, steps=steps * laptop.epochs)
    return [about | dict(signs=signs, accuracy=accuracy) for signs, accuracy in accuracies.items()]


@call_parse
def main(
    data_root: Param("folder with real gtsrb/", str),
    seeds: Param("seeds, comma-separated", str) = "0,1,2",
):
    """Trains what is not stored yet and prints the means."""
    path = resolve("results/sign_crops.csv")
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    for seed in map(int, seeds.split(",")):
        for recropping in (False, True):
            if not any((row["seed"], row["recropping"]) == (seed, recropping) for row in rows):
                rows += run(seed, recropping, data_root)
                with atomic_write(path) as temporary:
                    pd.DataFrame(rows).to_csv(temporary, index=False)
    table = pd.DataFrame(rows).pivot_table(index="signs", columns="recropping", values="accuracy", sort=False)
    print(table.round(4).to_string())
