"""Do task weights help? The `laptop` recipe with equal weights, with the specification's 5/30/1 and with its own, same seeds, steps and data.

    python benchmarks/task_weights.py --steps 300 --seeds 0,1,2
    python benchmarks/task_weights.py --runs equal,uncertainty,alone      # a learned balance; each task alone

Writes results/task_weights.csv (validation scores; the test part stays unseen). A run that is there already is kept, so the command can be continued. Read by notebook 25.
"""
import tempfile
import pandas as pd
from fastcore.script import Param, call_parse
from mtl_course.config import BOOSTED_WEIGHTS, EQUAL_WEIGHTS, TASKS, UserError, atomic_write, make_config, resolve
from mtl_course.training import train

def _fields(weights): return {f"{t}_weight": w for t, w in weights.items()}

RUNS = {"equal": [_fields(EQUAL_WEIGHTS)], "boosted": [_fields(BOOSTED_WEIGHTS)], "recipe": [{}],
        "uncertainty": [_fields(EQUAL_WEIGHTS) | dict(balancer="uncertainty")],
        "alone": [dict(tasks=(t,)) | {f"{t}_weight": 1.0} for t in TASKS]}      # run -> fields of each training; alone: three of them


def scores_after(config) -> list[dict]:
    "Trains and returns the validation scores after the last epoch."
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(**config.to_dict() | dict(results_dir=folder))
        seconds = train(config).seconds
        log = pd.read_csv(f"{folder}/logs/training.csv")
    last = log[(log.kind == "epoch") & (log.epoch == config.epochs)]
    return [dict(task=r.task, metric=r.metric, value=r.value, seconds=seconds) for r in last.itertuples()]


@call_parse
def main(steps: Param("steps of each training", int) = 300, seeds: Param("seeds, comma-separated", str) = "0,1,2", runs: Param(f"some of {', '.join(RUNS)}", str) = "equal,boosted,recipe",
         recipe: Param("recipe to start from", str) = "laptop", out: Param("where the table goes", str) = "results/task_weights.csv"):
    "Trains once per seed and weighting and tabulates validation scores."
    if unknown := set(runs.split(",")) - set(RUNS): raise UserError(f"unknown runs {', '.join(sorted(unknown))}: expected some of {', '.join(RUNS)}")
    path = resolve(out)
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["run", "recipe", "steps", "seed", "task", "metric", "value", "seconds"])
    for seed in map(int, seeds.split(",")):                                     # all weightings of a seed before the next: a broken-off command is still a fair comparison
        for run in runs.split(","):
            key = dict(run=run, recipe=recipe, steps=steps, seed=seed)
            if (table[list(key)] == pd.Series(key)).all(axis=1).any(): print(f"{run}, seed {seed}: measured already"); continue
            epochs = make_config(recipe).epochs
            made = [make_config(recipe, seed=seed, steps_per_epoch=max(1, steps//epochs), evaluate_every=epochs, checkpoint_every=0, **f) for f in RUNS[run]]
            new = pd.DataFrame([key | r for c in made for r in scores_after(c)])
            table = pd.concat([table, new], ignore_index=True) if len(table) else new
            with atomic_write(path) as t: table.to_csv(t, index=False)
    print(table.pivot_table(index=["task", "metric"], columns=["steps", "run"], values="value", sort=False).round(3).to_string())
