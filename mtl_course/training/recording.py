"""Recordings: losses and Gramians of some steps of a training run, for pictures and widgets."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config
from ..core.errors import UserError
from ..core.files import atomic_write
from ..core.inputs import parse_json
from ..core.seeds import derive_seed, seed_everything
from ..core.task import TASKS
from ..data.loaders import training_loader
from ..data.sources import prepare_data
from .distributed import start_fabric
from .state import create_train_state
from .steps import compute_gradients, optimizer_step

__all__ = ["Recording", "read_recording", "record_gradients"]

_COMMAND = "python benchmarks/gradient_recording.py"


def _digits(rows: np.ndarray) -> list[list[float]]:  # six digits of each
    numbers = []
    for row in rows:
        numbers.append([float(f"{value:.6g}") for value in row])
    return numbers


@dataclass
class Recording:
    "Losses and Gramians of some steps of a training run."

    tasks: tuple[str, ...]
    steps: list[int]
    losses: np.ndarray  # (S, T), with the fixed task weights in them
    gramians: dict[str, np.ndarray]  # stage of the backbone, or "trunk" for the whole -> (S, T, T)
    source: str = ""  # the command that made it

    def __post_init__(self):
        steps = len(self.steps)
        tasks = len(self.tasks)
        shapes = {gramian.shape for gramian in self.gramians.values()}
        fits = self.losses.shape == (steps, tasks) and shapes == {(steps, tasks, tasks)}
        if not (steps and fits and "trunk" in self.gramians):
            raise ValueError("shapes do not fit together")

    def gramians_of(
        self,
        stage: str,
        tasks: Iterable[str],  # in the order of rows and columns
    ) -> np.ndarray:  # (S, T, T)
        "A stage's Gramians for some tasks; raises `ValueError` for a task that was not recorded."
        order = [self.tasks.index(task) for task in tasks]
        return self.gramians[stage][:, order][:, :, order]

    def save(self, path: str | Path):
        "Writes json, beside and renamed."
        gramians = {}
        for stage, values in self.gramians.items():
            gramians[stage] = [_digits(gramian) for gramian in values]
        table = dict(
            source=self.source,
            tasks=self.tasks,
            steps=self.steps,
            losses=_digits(self.losses),
            gramians=gramians,
        )
        with atomic_write(path) as temporary:
            Path(temporary).write_text(json.dumps(table).replace("]], [[", "]],\n[["), encoding="utf-8")


def read_recording(path: str | Path) -> Recording:  # a json file written by `Recording.save`
    "Reads a recording; raises `UserError` when it is missing or not one."
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path.name}: no such recording; `{_COMMAND}` makes it")
    try:
        table = parse_json(path.read_text(encoding="utf-8"))
        gramians = {stage: np.array(values, float) for stage, values in table["gramians"].items()}
        losses = np.array(table["losses"], float)
        return Recording(tuple(table["tasks"]), list(table["steps"]), losses, gramians, table["source"])
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path.name} is not a recording of gradients ({e!r}); `{_COMMAND}` makes one") from None


def recording_of_run(results_dir: str | Path) -> Recording:  # of a run with `gradient_log_every`
    """The recording that logs/gradients.csv and logs/training.csv of a run hold.

    Gradients are those of the losses without fixed weights. Raises `UserError` when there is none.
    """
    logs = Path(results_dir) / "logs"
    try:
        table = pd.read_csv(logs / "gradients.csv")
        losses = pd.read_csv(logs / "training.csv")
    except FileNotFoundError as e:
        raise UserError(f"{e.filename}: no such file; `mtl_train --gradient_log_every 10` writes it") from None
    losses = losses[losses.kind == "step"].pivot_table(index="step", columns="task", values="loss")
    table = table[table.layer.isna() & (table.stage != "network")]
    norms = table.dropna(subset=["norm"]).pivot_table(index=["stage", "step"], columns="task", values="norm")
    cosines = table.dropna(subset=["cosine"]).pivot_table(index=["stage", "step"], columns="task", values="cosine")
    tasks = [task for task in TASKS if task in norms]
    complete = set(losses.index[losses[tasks].notna().all(axis=1)])
    steps = [step for step in norms.loc["trunk"].index if step in complete]
    if not steps:
        raise UserError(
            f"{logs / 'gradients.csv'}: no recorded step has all of {', '.join(tasks)}: expected every task in every "
            "step; train with `task_sampling=all` and each task's `TASK_every` 1"
        )
    gramians = {}
    for stage in dict.fromkeys(table.stage):
        lengths = norms.loc[stage].reindex(steps)[tasks].fillna(0.0).to_numpy()
        angles = np.tile(np.eye(len(tasks)), (len(steps), 1, 1))
        for pair in cosines:
            i, j = (tasks.index(task) for task in pair.split("+"))
            values = cosines.loc[stage].reindex(steps)[pair].fillna(0.0)
            angles[:, i, j] = values
            angles[:, j, i] = values
        gramians[stage] = lengths[:, :, None] * angles * lengths[:, None, :]
    source = f"mtl_train --gradient_log_every, {Path(results_dir).name}"
    return Recording(tuple(tasks), steps, losses.loc[steps, tasks].to_numpy(), gramians, source)


def record_gradients(
    config: Config,  # what to train; its number of steps
    every: int = 8,  # record one step in so many
    progress: Callable | None = None,  # called with (step, steps)
) -> Recording:
    """Trains for one epoch and records losses and Gramians, stage by stage.

    Raises `UserError` for a weight schedule and for a task that is not in every step.
    """
    if config.weight_schedule:
        raise UserError(
            f"config field 'weight_schedule' is {config.weight_schedule!r}: expected none, since a recording needs "
            "constant weights; leave it empty"
        )
    config.check_every_task("a recording")
    fabric = start_fabric(config)
    prepare_data(config, progress=False)
    seed_everything(config.seed)
    loader = training_loader(config)
    state = create_train_state(fabric, config, loader)
    state.model.train()
    stages = _stages(state.model)
    recorded = []
    losses = []
    gramians = {stage: [] for stage in [*dict.fromkeys(stages), "trunk"]}
    for number, batch in enumerate(loader):
        seed = derive_seed(config.seed, number)
        seed_everything(seed)
        batch = fabric.to_device(batch)
        due = number % every == 0
        step = compute_gradients(fabric, state.model, batch, state.balancer, record=due)
        optimizer_step(fabric, state, batch, seed)
        if progress:
            progress(number + 1, len(loader))
        if not due:
            continue
        recorded.append(number)
        losses.append(list(step.losses.values()))
        for stage, values in gramians.items():
            layers = [gramian for gramian, name in zip(step.layers, stages) if stage in (name, "trunk")]
            values.append(sum(layers).numpy())
    arrays = {stage: np.array(values) for stage, values in gramians.items()}
    return Recording(tuple(step.losses), recorded, np.array(losses), arrays)


def _stages(model) -> list[str]:  # of each trainable shared parameter
    "The names of the backbone's parts in which the shared parameters are."
    shared = {id(p) for p in model.shared_parameters()}
    parameters = model.backbone.named_parameters()
    return [name.partition(".")[0] for name, p in parameters if p.requires_grad and id(p) in shared]
