"""What a run says: `training.csv` for figures, `training.log` for people, a progress bar."""

import csv
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from ..core.files import atomic_write
from ..core.task import TASKS
from ..losses import BalancedStep
from .gradients import rows_up_to
from .state import TrainState

__all__ = []

LOG_COLUMNS = (
    "kind",
    "epoch",
    "step",
    "task",
    "loss",
    "weight",
    "learning_rate",
    "seconds",
    "images_per_second",
    "data_wait",
    "metric",
    "value",
)


@dataclass
class StepTime:
    "The clock of one step."

    began: float  # when the waiting for its batch began
    waited: float  # seconds until the batch was there

    @property
    def taken(self) -> float:  # seconds so far
        return time.perf_counter() - self.began


def with_waiting_time(loader) -> Iterator[tuple[dict, StepTime]]:  # loader: a `DataLoader`
    "Yields each batch with the clock of its step."
    batches = iter(loader)
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, StepTime(began, time.perf_counter() - began)


class TrainingLog:
    """`logs/training.csv` and `logs/training.log` in a run's folder, and the progress bar.

    One row of the csv for each task and step (kind `step`), for each task and epoch (`epoch_mean`),
    and for each score of a validated epoch (`epoch`). `step` > 0 continues an earlier log after
    that step: rows of steps that will be done again are taken back.
    """

    def __init__(
        self,
        results_dir: Path,
        step: int = 0,  # training steps done
        active: bool = True,  # False: write nothing (not the first process)
        total: int | None = None,  # steps of the whole run, for a progress bar; None: no bar
    ):
        self.results_dir = results_dir
        self.active = active
        hidden = total is None or not active
        self.bar = tqdm(total=total, initial=step, desc="training", unit="step", disable=hidden)
        if not active:
            return
        rows = rows_up_to(self.csv, LOG_COLUMNS, step)
        with atomic_write(self.csv) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([LOG_COLUMNS, *rows])
        if not step:
            self.text.write_text("", encoding="utf-8")

    @property
    def csv(self) -> Path:
        return self.results_dir / "logs" / "training.csv"

    @property
    def text(self) -> Path:
        return self.results_dir / "logs" / "training.log"

    def close(self):
        "Ends the bar, so that what is printed next stands on a line of its own."
        self.bar.close()

    def begin(self, state: TrainState, resumed: bool, total: int, fabric):
        "Says what runs, where and from which step."
        begun = "resumed at" if resumed else "started at"
        config = state.config
        self.say(
            f"{begun} step {state.step} of {total} · {config.recipe} · seed {config.seed}"
            f" · {fabric.device} {fabric._precision.precision}"
        )

    def step(
        self,
        state: TrainState,  # after the step
        batch: dict,
        step: BalancedStep,
        learning_rate: float,  # of the step
        clock: StepTime,
    ):
        "Writes a step's rows and moves the bar."
        self.write(_step_rows(state, batch, step, learning_rate, clock))
        self.bar.update()
        self.bar.set_postfix_str(" ".join(f"{task} {loss:.2f}" for task, loss in step.losses.items()))

    def validating(self):
        "Says so beside the bar."
        self.bar.set_postfix_str("validating")

    def epoch(
        self,
        state: TrainState,  # whose `epoch` is the one that has ended
        scores: dict,  # task -> metric -> value; {} without validation
        processes: int = 1,
    ):
        "Writes an epoch's rows and its line for people."
        means = _epoch_means(state, self.steps_of(state.epoch), processes)
        self.write(means + _score_rows(state, scores))
        self.say(_epoch_line(state, means, scores))

    def end(self, state: TrainState):
        "Says how long the run took and which epoch was the best."
        self.close()
        self.say(
            f"finished after {state.elapsed / 60:.1f} minutes · best epoch {state.best_epoch} of {state.config.epochs}"
            f" · results in {state.config.results_dir}"
        )

    def steps_of(self, epoch: int) -> list[dict]:  # epoch: 1, 2, …
        "The rows of an epoch's steps, as they stand in the csv; none when nothing is logged."
        if not self.active or not self.csv.exists():
            return []
        with open(self.csv, newline="", encoding="utf-8") as f:
            return [row for row in csv.DictReader(f) if row["kind"] == "step" and row["epoch"] == str(epoch)]

    def mean_losses(self, epoch: int) -> dict[str, float] | None:  # task -> mean loss, without weights
        """The mean loss of each task that was drawn in an epoch, for sampling by loss.

        None when none is logged.
        """
        losses = defaultdict(list)
        for row in self.steps_of(epoch):
            losses[row["task"]].append(float(row["loss"]))
        return {task: max(1e-3, sum(values) / len(values)) for task, values in losses.items()} or None

    def write(self, rows: list[dict]):
        "Appends rows to the csv; missing columns stay empty."
        if not self.active:
            return
        with open(self.csv, "a", newline="", encoding="utf-8") as f:
            csv.DictWriter(f, LOG_COLUMNS).writerows(rows)

    def say(self, line: str):
        "Appends one line with the time to the log for people."
        if not self.active:
            return
        with open(self.text, "a", encoding="utf-8") as f:
            f.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")


def _step_rows(
    state: TrainState, batch: dict, step: BalancedStep, learning_rate: float, clock: StepTime
) -> list[dict]:  # one per task
    "The csv rows of a step: the loss without the fixed weight, the weight with it."
    seconds = clock.taken
    images = sum(len(batch["images"][task]) for task in step.losses)  # of those tasks that took part
    common = dict(
        kind="step",
        epoch=state.epoch + 1,
        step=state.step,
        learning_rate=f"{learning_rate:.6g}",
        seconds=f"{state.seconds:.2f}",
        images_per_second=f"{images / seconds:.5g}",
        data_wait=f"{clock.waited / seconds:.4f}",
    )
    rows = []
    for task, loss in step.losses.items():
        fixed = state.model.task_weights[task]
        unweighted = loss / fixed if fixed else loss
        rows.append(common | dict(task=task, loss=repr(unweighted), weight=f"{step.weights[task] * fixed:.6g}"))
    return rows


def _epoch_means(state: TrainState, steps: list[dict], processes: int) -> list[dict]:  # steps: rows of the csv
    "The csv rows of an epoch: mean loss and weight of each task, seconds of all steps."
    seconds = 0.0
    images = 0
    losses = defaultdict(list)
    weights = defaultdict(list)
    for row in steps:
        count = state.config.batch_size_of(row["task"]) // processes
        images += count
        seconds += count / float(row["images_per_second"])
        losses[row["task"]].append(float(row["loss"]))
        weights[row["task"]].append(float(row["weight"]))
    common = dict(
        kind="epoch_mean",
        epoch=state.epoch,
        step=state.step,
        seconds=f"{seconds:.2f}",
        images_per_second=f"{images / (seconds or 1):.5g}",
    )
    rows = []
    for task, values in losses.items():
        weight = sum(weights[task]) / len(weights[task])
        rows.append(common | dict(task=task, loss=repr(sum(values) / len(values)), weight=f"{weight:.6g}"))
    return rows


def _score_rows(state: TrainState, scores: dict) -> list[dict]:  # scores: task -> metric -> value
    "The csv rows of a validation, one per task and metric."
    rows = []
    for task, values in scores.items():
        common = dict(kind="epoch", epoch=state.epoch, step=state.step, task=task)
        rows += [common | dict(metric=metric, value=repr(value)) for metric, value in values.items()]
    return rows


def _epoch_line(state: TrainState, means: list[dict], scores: dict) -> str:
    "An epoch in one line, for people."
    losses = ", ".join(f"{row['task']} {float(row['loss']):.3f}" for row in means)
    line = f"epoch {state.epoch} of {state.config.epochs}: loss {losses}"
    if means:
        line += f" · {float(means[0]['seconds']):.0f} s, {float(means[0]['images_per_second']):.0f} images/s"
    if scores:
        primary = {task: TASKS[task].primary_metric for task in scores}
        shown = ", ".join(f"{task} {metric} {scores[task][metric]:.3f}" for task, metric in primary.items())
        line += f" · validation {shown}"
    return line
