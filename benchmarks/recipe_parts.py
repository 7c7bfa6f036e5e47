"""What each part of the `laptop` recipe does: one change at a time, taken back or tried, validation
scores.

    python benchmarks/recipe_parts.py --seeds 0
    python benchmarks/recipe_parts.py --timed

Every variant is trained for its whole length and validated after each epoch, so that
results/recipe_parts.csv holds learning curves. A run that is stored is not made again, and other
work may share the machine. On a quiet machine --timed then takes steps of every variant in turn,
and writes the median seconds of a step (over rounds in which every task has its turn) to
results/recipe_step_times.csv.
"""

import statistics
import tempfile
import time

import pandas as pd
from fastcore.script import Param, call_parse, store_true

from recipes import EVERY_STEP, FIRST_LAPTOP

from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.core.seeds import seed_everything
from mtl_course.data.loaders import create_dataloaders
from mtl_course.training.distributed import start_fabric
from mtl_course.training.loop import train
from mtl_course.training.state import create_train_state
from mtl_course.training.steps import train_step

VARIANTS = {  # fields of the laptop recipe
    "laptop": {},
    "laptop of 800 steps": FIRST_LAPTOP,
    "no prior of lanes": dict(lane_prior=0.0),
    # the next two take about as many minutes as the recipe
    "all tasks in every step": EVERY_STEP | dict(steps_per_epoch=240, classification_weight=2.0, lane_weight=3.0),
    "four scenes in each of 1,800 steps": dict(detection_batch_size=4, steps_per_epoch=360),
    "a learning rate of 0.002": dict(learning_rate=2e-3),
    "a quarter of the samples objects": dict(roi_objects=0.25),
    "a box correction for each class": dict(shared_box=False),
    "Adam's memory of 0.999": dict(adam_beta2=0.999),
}
METRICS = ("accuracy", "map50", "map50_95", "iou", "f1")
COLUMNS = ["variant", "seed", "epoch", "step", "task", "metric", "value"]
ROUND = 2  # steps: every task has had its turn
UNCOUNTED = 2  # first rounds


def train_variant(variant: str, seed: int) -> pd.DataFrame:  # with COLUMNS
    """Validation scores after each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        changes = VARIANTS[variant] | dict(evaluate_every=1, checkpoint_every=0)
        train(make_config("laptop", results_dir=folder, seed=seed, **changes))
        log = pd.read_csv(f"{folder}/logs/training.csv")
    scores = log[(log.kind == "epoch") & log.metric.isin(METRICS)]
    return scores.assign(variant=variant, seed=seed)[COLUMNS]


def make_rounds(variant: str):
    """Yields the seconds of a step, round after round."""
    config = make_config("laptop", **VARIANTS[variant] | dict(cache_images=False))
    fabric = start_fabric(config)
    seed_everything(0)
    loader = create_dataloaders(config)[0]
    state = create_train_state(fabric, config, loader)
    batches = iter(loader)
    state.model.train()
    while True:
        round_batches = [next(batches) for _ in range(ROUND)]
        began = time.perf_counter()
        for batch in round_batches:
            train_step(fabric, state, batch)
        yield (time.perf_counter() - began) / ROUND


def time_steps(rounds: int) -> pd.DataFrame:  # variant, seconds
    """Rounds of all variants in turn."""
    running = {variant: make_rounds(variant) for variant in VARIANTS}
    seconds = {variant: [] for variant in VARIANTS}
    for _ in range(UNCOUNTED + rounds):
        for variant, variant_rounds in running.items():
            seconds[variant].append(next(variant_rounds))
    medians = {variant: statistics.median(values[UNCOUNTED:]) for variant, values in seconds.items()}
    return pd.DataFrame(dict(variant=medians.keys(), seconds=medians.values()))


@call_parse
def main(
    seeds: Param("seeds, comma-separated", str) = "0",
    variants: Param("which of them, separated by semicolons; empty: all", str) = "",
    timed: Param("train nothing, time steps", store_true) = False,
    rounds: Param("counted rounds of steps of each variant", int) = 12,
):
    """Trains the variants that are not stored yet and prints the last scores of each."""
    if timed:
        times = time_steps(rounds)
        with atomic_write(resolve("results/recipe_step_times.csv")) as t:
            times.to_csv(t, index=False)
        print(times.round(3).to_string(index=False))
        return
    path = resolve("results/recipe_parts.csv")
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    for seed in map(int, seeds.split(",")):
        for variant in variants.split(";") if variants else VARIANTS:
            if not ((table.variant == variant) & (table.seed == seed)).any():
                rows = train_variant(variant, seed)
                table = pd.concat([table, rows], ignore_index=True) if len(table) else rows
                with atomic_write(path) as t:
                    table.to_csv(t, index=False)
    last = table[table.step == table.groupby(["variant", "seed"]).step.transform("max")]
    shown = last.pivot_table(index=["variant", "step"], columns="metric", values="value", sort=False)
    print(shown.round(3).to_string())
