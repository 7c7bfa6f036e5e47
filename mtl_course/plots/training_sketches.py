"""Drawings of lessons 14 and 15: a batch, losses, what a run wrote down."""

import pandas as pd
from matplotlib.figure import Figure

from ..core.task import TASKS
from ..data.loaders import denormalise
from ..training.optimizer import learning_rate_factor

__all__ = []  # drawings of lessons


def show_batch(batch: dict) -> Figure:  # as `collate` makes it
    "The first image of each task."
    fig = Figure(figsize=(8, 2), layout="constrained")
    for ax, (task, images) in zip(fig.subplots(1, len(batch["images"])), batch["images"].items()):
        ax.imshow(denormalise(images[0]).permute(1, 2, 0))
        ax.set(title=f"{task}: first of {len(images)}", xticks=[], yticks=[])
    return fig


def show_losses(history: list[dict]) -> Figure:  # one for each step: task -> loss
    "Each task's loss, step by step."
    curves = pd.DataFrame(history, index=range(1, len(history) + 1))
    fig = Figure(figsize=(8, 2), layout="constrained")
    for ax, task in zip(fig.subplots(1, curves.shape[1]), curves):
        ax.plot(curves[task], color=TASKS[task].colour, marker=TASKS[task].marker, ms=3)
        ax.set(title=task, xlabel="step", ylabel="loss", ylim=(0, 1.08 * curves[task].max()))
    return fig


def show_stored(megabytes: dict[str, float]) -> Figure:  # task -> MiB that its forward pass stores
    "What waits for the backward pass: of all tasks together, and of one after another."
    fig = Figure(figsize=(6, 1.6), layout="constrained")
    ax = fig.subplots()
    left = 0.0
    for task, size in megabytes.items():
        ax.barh("together", size, left=left, color=TASKS[task].colour, edgecolor="white")
        ax.text(left + size / 2, 0, task, ha="center", va="center", fontsize=8, color="white")
        left += size
    largest = max(megabytes, key=megabytes.get)
    ax.barh("one after another", megabytes[largest], color=TASKS[largest].colour)
    ax.set(xlabel="MiB stored for the backward pass", ylim=(1.5, -0.5))
    return fig


def show_run(log: pd.DataFrame) -> Figure:  # logs/training.csv
    "The losses of a run with their rolling means, and its learning rate."
    steps = log[log.kind == "step"]
    tasks = list(steps.task.unique())
    fig = Figure(figsize=(9, 2.1), layout="constrained")
    axes = fig.subplots(1, len(tasks) + 1)
    for ax, task in zip(axes, tasks):
        losses = steps[steps.task == task].set_index("step").loss
        ax.plot(losses, color="0.8", lw=0.6)
        ax.plot(losses.rolling(40, min_periods=10).mean(), color=TASKS[task].colour, lw=1.2)
        ax.set(title=f"{task} loss", xlabel="step", ylim=(0, losses.quantile(0.995)))
    axes[-1].plot(steps.drop_duplicates("step").set_index("step").learning_rate * 1000, color="black", lw=1.2)
    axes[-1].set(title="learning rate / 0.001", xlabel="step")
    return fig


def show_learning_rates(warmups: tuple[int, ...], total: int) -> Figure:  # steps
    "The share of the peak learning rate over a run, for several lengths of warm-up."
    fig = Figure(figsize=(5.5, 2.4), layout="constrained")
    ax = fig.subplots()
    for warmup in warmups:
        rates = [learning_rate_factor(step, total, warmup) for step in range(total + 1)]
        ax.plot(rates, label=f"{warmup} steps of warm-up")
    ax.legend(frameon=False, fontsize=8)
    ax.set(xlabel="step", ylabel="share of the peak rate")
    return fig


def show_resumed(
    whole: pd.DataFrame,  # logs/training.csv of a run that was never stopped
    before: pd.DataFrame,  # of one that was, as the cut left it
    after: pd.DataFrame,  # the same, resumed and finished
    cut: float,  # between two steps
) -> Figure:
    "Three logs on top of each other."
    runs = (("never stopped", whole, "o-", "0.7", 7), ("until the cut", before, "s", "C3", 5))
    runs += (("resumed", after, ".", "black", 6),)
    tasks = list(whole.task.unique())
    fig = Figure(figsize=(7, 2.1), layout="constrained")
    axes = fig.subplots(1, len(tasks))
    for ax, task in zip(axes, tasks):
        for label, table, marker, colour, size in runs:
            rows = table[(table.kind == "step") & (table.task == task)]
            ax.plot(rows.step, rows.loss, marker, color=colour, ms=size, label=label)
        ax.axvline(cut, color="C3", lw=1, ls=":")
        ax.set(title=task, xlabel="step", ylabel="loss")
    axes[-1].legend(frameon=False, fontsize=8)
    return fig
