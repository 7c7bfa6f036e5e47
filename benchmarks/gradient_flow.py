"""What flows through the trunk under other weights, clipping, freezing and balancers: short runs at
a small size, same seed, gradients recorded.

    python benchmarks/gradient_flow.py  # goes on where it was stopped
    python benchmarks/gradient_flow.py --runs equal,boosted

Three long runs (equal weights, the specification's 5/30/1, uncertainty weighting) and short ones
that change one thing each; `control` is the short run in which nothing is changed.
Writes results/gradient_flow.csv (columns as in logs/gradients.csv, means over windows of steps;
layers for the long runs, stages for all; `conflict` is the share of recorded steps with a
negative cosine) and results/gradient_flow_losses.csv (mean loss and weight of each task per
window). The three runs named statistics_… are not trainings: the weights that `equal` ended with,
the same
batches, normalised by the batch itself, by the task's own running statistics, and by the pooled
ones. Read by notebook 24.
"""

import time
from unittest import mock
import numpy as np, pandas as pd
from fastcore.script import Param, call_parse
from recipes import FIRST_LAPTOP
from mtl_course.config import BOOSTED_WEIGHTS, make_config
from mtl_course.core.errors import UserError
from mtl_course.core.files import atomic_write, resolve
from mtl_course.core.seeds import seed_everything
from mtl_course.data.loaders import create_dataloaders
from mtl_course.training.gradients import (
    GRADIENT_COLUMNS,
    cosine_rows,
    gradient_rows,
    layer_groups,
    sum_gramians,
    read_gradients,
    backbone_layers,
)
from mtl_course.losses import streamed_backward
from mtl_course.models.checkpoint import load_model
import mtl_course.training.loop as training

SMALL = dict(
    backbone_name="resnet18",
    classification_size=(32, 32),
    detection_size=(96, 320),
    lane_size=(96, 160),
    classification_batch_size=32,
    detection_batch_size=3,
    lane_batch_size=4,
    neck_channels=32,
    roi_samples=32,
    train_proposals=300,
    lane_channels=128,
    cache_images=False,
    epochs=1,
    checkpoint_every=20,
)


def weights(values):
    return {f"{t}_weight": w for t, w in values.items()}


EQUAL = SMALL | weights(dict.fromkeys(BOOSTED_WEIGHTS, 1.0))
LONG = {
    "equal": {},
    "boosted": weights(BOOSTED_WEIGHTS),
    "uncertainty": dict(balancer="uncertainty"),
}  # run -> what differs from `equal`
SHORT = {
    "control": {},
    "clip_1": dict(gradient_clip=1.0),
    "clip_0": dict(gradient_clip=0.0),
    "frozen": dict(freeze_backbone=True),
    "lane_30": dict(lane_weight=30.0),
    "pcgrad": dict(balancer="pcgrad"),
    "mgda": dict(balancer="mgda"),
    "upgrad": dict(balancer="upgrad"),
    "nash": dict(balancer="nash"),
}  # clipping is the recipe's, at 5
RUNS = LONG | SHORT
STATISTICS = ("statistics_batch", "statistics_own", "statistics_pooled")
KEYS = ["stage", "layer", "depth", "kind", "task"]


def run_config(run: str, steps: int, folder):
    "The laptop recipe at a small size; short runs warm up in ten steps."
    warmup = {} if run in LONG else dict(warmup_steps=10)
    return make_config(
        "laptop",
        **FIRST_LAPTOP
        | EQUAL
        | warmup
        | RUNS[run]
        | dict(steps_per_epoch=steps, gradient_log_every=2, results_dir=str(folder)),
    )


def windows(step: pd.Series, width: int) -> pd.Series:  # the middle of each step's window
    return (step - 1) // width * width + (width + 1) / 2


def summary(table: pd.DataFrame, full: bool, width: int) -> pd.DataFrame:
    """Means over windows of steps: geometric ones of norms and ratios, plain ones of shares and
    cosines. Only convolutions and stages, or stages alone.
    """
    table = table[table.layer.isna() | (table.kind.eq("conv") & full)].assign(window=windows(table.step, width))
    table = table.assign(
        norm=np.log(table.norm.where(table.norm > 0)),
        ratio=np.log(table.ratio.where(table.ratio > 0)),
        conflict=(table.cosine < 0).where(table.cosine.notna()).astype(float),
    )
    means = (
        table.groupby(["window", *KEYS], sort=False, dropna=False)[["norm", "share", "cosine", "ratio", "conflict"]]
        .mean()
        .reset_index()
        .rename(columns=dict(window="step"))
    )
    return means.assign(norm=np.exp(means.norm), ratio=np.exp(means.ratio))


def train_run(run: str, steps: int, width: int) -> tuple[pd.DataFrame, pd.DataFrame]:  # gradients, losses
    "Trains (or goes on where an earlier command stopped) and condenses the logs."
    folder = resolve(f"results/gradient_flow/{run}")

    def saved(setup, epoch):
        setup.state.epoch = epoch
        setup.run.save(setup.state, "last.pt")

    with mock.patch.object(
        training, "finish_epoch", saved
    ):  # without validation: after so few steps scores say nothing
        training.train(run_config(run, steps, folder), resume=True)
    log = pd.read_csv(folder / "logs" / "training.csv").query("kind == 'step'")
    losses = (
        log.assign(step=windows(log.step, width))
        .groupby(["step", "task"], sort=False)[["loss", "weight"]]
        .mean()
        .reset_index()
    )
    return summary(read_gradients(folder), run in LONG, width).assign(run=run), losses.assign(run=run)


def statistics_rows(steps: int, batches: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The gradients of `equal`'s last weights on the same batches under three kinds of BatchNorm
    statistics in the trunk.
    """
    folder = resolve("results/gradient_flow/equal")
    model = load_model(folder / "checkpoints" / "last.pt").train()
    config = run_config("equal", steps, folder)
    layers = backbone_layers(model.backbone, model.shared_parameters())
    places, groups = layer_groups(layers)
    gradients, losses = [], []
    for k, batch in enumerate(create_dataloaders(config)[0]):
        if k == batches:
            break
        for kind in STATISTICS:
            model.backbone.train(kind == "statistics_batch")

            def features(task, images):
                return (
                    model.backbone.forward_all(images)[task]
                    if kind == "statistics_pooled"
                    else model.backbone(images, task)
                )

            def loss(task, images):
                return model.heads[task].loss(model._head(task, features(task, images), images), batch[task])

            seed_everything(k)  # dropout and box sampling: the same for all three
            step = streamed_backward(
                model.shared_parameters(),
                {t: (lambda t=t, x=x: loss(t, x)) for t, x in batch["images"].items()},
                record=True,
            )
            model.zero_grad()
            losses += [dict(run=kind, step=k + 1, task=t, loss=l, weight=1.0) for t, l in step.losses.items()]
            for place, gramian in zip(places, sum_gramians(step.layers, groups)):
                if "layer" not in place:
                    gradients += [
                        dict(run=kind, step=k + 1) | r
                        for r in gradient_rows(place, gramian, step, model.task_weights)
                        + cosine_rows(place, gramian, list(step.losses))
                    ]
    table = pd.DataFrame(gradients).reindex(columns=["run", *GRADIENT_COLUMNS])
    for c in ("norm", "share", "cosine"):
        table[c] = pd.to_numeric(table[c])
    kept = pd.concat(
        [summary(rows, False, batches).assign(run=kind) for kind, rows in table.groupby("run", sort=False)]
    )
    losses = pd.DataFrame(losses)
    return kept, losses.assign(step=windows(losses.step, batches)).groupby(["run", "step", "task"], sort=False)[
        ["loss", "weight"]
    ].mean().reset_index()


def add(paths, kept, new):
    "Appends a run's tables to those on disk, whole files at a time."
    for k, (path, rows) in enumerate(zip(paths, new)):
        for c in rows.select_dtypes("float"):
            rows[c] = rows[c].map(lambda v: float(f"{v:.4g}"))
        kept[k] = (
            pd.concat([kept[k], rows[["run", *[c for c in rows if c != "run"]]]], ignore_index=True)
            if len(kept[k])
            else rows[["run", *[c for c in rows if c != "run"]]]
        )
        if "depth" in kept[k]:
            kept[k]["depth"] = kept[k]["depth"].astype("Int64")
        with atomic_write(path) as t:
            kept[k].to_csv(t, index=False)


@call_parse
def main(
    runs: Param(f"some of {', '.join([*RUNS, 'statistics'])}", str) = ",".join([*RUNS, "statistics"]),
    steps: Param("steps of a long run", int) = 120,
    short: Param("steps of a short one", int) = 30,
    width: Param("steps over which a row is a mean", int) = 10,
    out: Param("csv file", str) = "results/gradient_flow.csv",
):
    "Trains the runs one after the other and condenses their gradient logs."
    if unknown := set(runs.split(",")) - {*RUNS, "statistics"}:
        raise UserError(
            f"unknown runs {', '.join(sorted(unknown))}: expected some of {', '.join([*RUNS, 'statistics'])}"
        )
    paths = [resolve(out), resolve(out).with_name(resolve(out).stem + "_losses.csv")]
    kept = [pd.read_csv(p) if p.exists() else pd.DataFrame(columns=["run"]) for p in paths]
    for run in runs.split(","):
        names, began = STATISTICS if run == "statistics" else (run,), time.perf_counter()
        if set(names) <= set(kept[1].run):
            print(f"{run}: measured already")
            continue
        add(
            paths,
            kept,
            statistics_rows(steps) if run == "statistics" else train_run(run, steps if run in LONG else short, width),
        )
        print(f"{run}: {time.perf_counter() - began:.0f} s", flush=True)
    print(
        kept[1]
        .groupby("run", sort=False)
        .tail(3)
        .pivot(index="run", columns="task", values="loss")
        .round(3)
        .to_string()
    )
