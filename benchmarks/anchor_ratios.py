"""Two sets of anchor shapes for detection, everything else equal.

    python benchmarks/anchor_ratios.py --steps 300

Trains the detection task alone with the `laptop` recipe's budget per step, same seed, steps and data; writes results/anchor_ratios.csv (validation scores).
"""
import tempfile
import pandas as pd
from fastcore.script import Param, call_parse
from mtl_course.config import atomic_write, make_config, resolve
from mtl_course.training import train

RATIOS = [(0.5, 1.0, 2.0), (0.6, 1.2, 3.0)]  # height / width; the second set has a shape for standing pedestrians


def run(ratios, steps, seed):
    "Trains detection alone and returns rows of validation scores."
    with tempfile.TemporaryDirectory() as folder:
        config = make_config("laptop", results_dir=folder, tasks="detection", steps_per_epoch=steps, epochs=1, seed=seed, checkpoint_every=0, anchor_ratios=ratios)
        seconds = train(config).seconds
        log = pd.read_csv(f"{folder}/logs/training.csv").query("kind == 'epoch'")
    name = ", ".join(f"{r:g}" for r in ratios)
    return [dict(ratios=name, seed=seed, steps=steps, seconds=seconds, metric=m, value=v) for m, v in zip(log.metric, log.value) if m in ("map50", "map50_95")]


@call_parse
def main(steps: Param("training steps of each run", int) = 300, seeds: Param("number of seeds", int) = 1):
    "Compares the usual anchor shapes with a set that has a taller one."
    rows = []
    for seed in range(seeds):
        for ratios in RATIOS:
            rows += run(ratios, steps, seed)
            print(rows[-2:])
    table = pd.DataFrame(rows)
    with atomic_write(resolve("results/anchor_ratios.csv")) as t: table.to_csv(t, index=False)
    print(table.round(3).to_string(index=False))
