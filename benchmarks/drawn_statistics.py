"""Is a task that is drawn rarely badly trained, or only badly normalised? Runs with one task per
step, scored with the running statistics they ended with and with better ones.

    python benchmarks/drawn_statistics.py  # goes on where it was stopped
    python benchmarks/drawn_statistics.py --runs regime --seeds 0

BatchNorm keeps running statistics of each task, moved by a tenth per step of that task from 0 and 1
on: after five steps more than half of them is still where they began. Here each run of the study is
trained as there and scored on the test part; then the statistics of every BatchNorm, in the trunk
and in the heads, are taken anew as means over fresh training batches of the task,
no weight is changed, and the run is scored again. Writes results/drawn_statistics.csv. Read by
notebook 25.
"""

import tempfile, time
import pandas as pd, torch
from fastcore.script import Param, call_parse
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, resolve
from mtl_course.config import make_config
from mtl_course.data.loaders import evaluation_loader, training_loader
from mtl_course.evaluation.evaluate import score_task
from mtl_course.studies.plans import IMBALANCE_RUNS
from mtl_course.training.loop import train

RUNS = ("rare lanes", "regime", "drawn alike")


@torch.no_grad()
def estimate_anew(run, config, task, batches):
    """Takes the task's running statistics anew, each the plain mean over the batches, normalised as
    in training.
    """
    model, norms = run.model, [m for m in run.model.modules() if hasattr(m, "running_mean")]
    momenta = [m.momentum for m in norms]
    alone = make_config(
        **config.to_dict() | dict(tasks=(task,), task_sampling="all", steps_per_epoch=batches, epochs=1)
    )
    model.train()
    for k, batch in enumerate(training_loader(alone)):
        for m in norms:
            m.momentum = 1 / (k + 1)  # the first batch takes the place of what was there
        with run.precision.forward_context():
            model(batch["images"][task], task=task)
    for m, momentum in zip(norms, momenta):
        m.momentum = momentum


def scores(run, statistics, precision):  # -> rows
    tested = {
        t: score_task(run.model, evaluation_loader(run.config, "test", (t,)), t, "cpu", precision)
        for t in run.config.tasks
    }
    rows = []
    for task, by_metric in tested.items():
        rows += [dict(statistics=statistics, task=task, metric=m, value=v) for m, v in by_metric.items()]
    return rows


def both_scores(name, seed, batches):  # -> rows
    config = make_config("study", **IMBALANCE_RUNS[name] | dict(seed=seed, device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            make_config(
                **config.to_dict() | dict(results_dir=folder, evaluate_every=config.epochs, checkpoint_every=0)
            ),
            progress=False,
        )
        precision = run.precision.precision
        rows = scores(run, "trained", precision)
        for t in config.tasks:
            estimate_anew(run, config, t, batches)
        return rows + scores(run, "estimated anew", precision)


@call_parse
def main(
    runs: Param("runs of the study imbalance, comma-separated", str) = ",".join(RUNS),
    seeds: Param("seeds, comma-separated", str) = "0,1,2",
    batches: Param("training batches of each task for the new statistics", int) = 50,
    out: Param("csv file", str) = "results/drawn_statistics.csv",
):
    "Trains the runs, seed by seed, and scores each with both kinds of statistics."
    if unknown := set(runs.split(",")) - set(IMBALANCE_RUNS):
        raise UserError(f"unknown runs {', '.join(sorted(unknown))}: expected some of {', '.join(IMBALANCE_RUNS)}")
    torch.set_num_threads(1)  # as in the study: with more, sums are rounded in another order
    path = resolve(out)
    for seed in map(int, seeds.split(",")):
        for name in runs.split(","):
            table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["run", "seed"])
            if ((table.run == name) & (table.seed == seed)).any():
                print(f"{name}, seed {seed}: measured already")
                continue
            began = time.perf_counter()
            new = pd.DataFrame(both_scores(name, seed, batches)).assign(run=name, seed=seed, batches=batches)[
                ["run", "seed", "batches", "statistics", "task", "metric", "value"]
            ]
            with atomic_write(path) as t:
                (pd.concat([table, new], ignore_index=True) if len(table) else new).to_csv(
                    t, index=False, float_format="%.6g"
                )
            lane = new[new.metric == "iou"].set_index("statistics").value
            change = f"{lane['trained']:.3f}, with statistics estimated anew {lane['estimated anew']:.3f}"
            print(f"{name}, seed {seed}: lane IoU {change}; {time.perf_counter() - began:.0f} s", flush=True)
