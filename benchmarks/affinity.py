"""Who helps whom: affinities between the tasks from the first steps of the study's training, over
seeds, and the cosines of the gradients stage by stage.

    python benchmarks/affinity.py  # goes on where it was stopped
    python benchmarks/affinity.py --steps 200 --every 10 --seeds 0,1,2

Writes results/affinity.csv (seed, step, source, target, affinity) and results/affinity_cosines.csv
(seed, step, stage, task = pair, cosine). Read by notebook 22.
"""

import time
import pandas as pd
from fastcore.script import Param, call_parse
from mtl_course.studies.affinity import measure_affinity, should_i_share
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, resolve
from mtl_course.config import make_config


def add(path, new):  # -> the whole table
    "Puts a seed's rows below those on disk, the whole file at a time."
    table = pd.concat([pd.read_csv(path), new], ignore_index=True) if path.exists() else new
    with atomic_write(path) as t:
        table.to_csv(t, index=False, float_format="%.5g")
    return table


@call_parse
def main(
    recipe: Param("recipe", str) = "study",
    steps: Param("steps of each run", int) = 200,
    every: Param("look ahead every so many steps", int) = 10,
    seeds: Param("seeds, comma-separated", str) = "0,1,2",
    out: Param("csv file", str) = "results/affinity.csv",
):
    "Measures the affinities with each seed and prints the report."
    path = resolve(out)
    done = set(pd.read_csv(path).seed) if path.exists() else set()
    for seed in map(int, seeds.split(",")):
        if seed in done:
            print(f"seed {seed}: measured already")
            continue
        began = time.perf_counter()
        affinity, cosines, _ = measure_affinity(make_config(recipe, seed=seed), steps, every)
        add(path.with_name(path.stem + "_cosines.csv"), cosines.assign(seed=seed)[["seed", *cosines]])
        add(path, affinity.assign(seed=seed)[["seed", *affinity]])
        print(f"seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
    if not path.exists():
        raise UserError("no seed was measured: name some with --seeds")
    print(should_i_share(pd.read_csv(path)))
