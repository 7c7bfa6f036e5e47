"""Full training would say whether two tasks belong into one network. A few hundred cheap steps give
a hint.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..config import TASKS, Config
from ..core.errors import UserError
from ..core.seeds import derive_seed, random_states_restored, seed_everything
from ..core.statistics import mean_and_interval
from ..data.loaders import training_loader
from ..data.sources import prepare_data
from ..losses.streamed_backward import layer_gramians
from ..training.distributed import start_fabric
from ..training.gradients import stage_cosines
from ..training.state import TrainState, create_train_state
from ..training.steps import train_step
from .plans import ENOUGH_SEEDS
from .scores import headline_scores

__all__ = ["should_i_share"]

# the look ahead


def task_gradients(
    shared: list[nn.Parameter],  # the parameters that the tasks share
    losses: dict[str, Callable[[], Tensor]],  # task -> its forward pass and loss
) -> tuple[dict[str, list[Tensor]], dict[str, float]]:  # gradients of each task, its loss
    """Each task's gradient of the shared parameters: zeros where it does not depend on one; `.grad`
    is not touched.

    Raises `UserError` for a loss that is not a positive, finite number.
    """
    gradients, before = {}, {}
    for task, loss in losses.items():
        value = loss()
        before[task] = float(value.detach())
        if not 0 < before[task] < float("inf"):
            raise UserError(
                f"the loss of task {task!r} is {before[task]}: a relative change needs a positive, finite loss"
            )
        grads = torch.autograd.grad(value, shared, allow_unused=True)
        gradients[task] = [torch.zeros_like(p) if g is None else g for p, g in zip(shared, grads)]
    return gradients, before


def gradient_moves(
    gradients: dict[str, list[Tensor]],
    rate: float,  # η
) -> dict[str, list[Tensor]]:  # task -> change of each shared parameter
    """−η gᵢ, the step of plain gradient descent."""
    return {task: torch._foreach_mul(grads, -rate) for task, grads in gradients.items()}


def adam_moves(
    gradients: dict[str, list[Tensor]],
    shared: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,  # Adam or AdamW after at least one step
    size: float,  # root mean square of the change of a weight
) -> dict[str, list[Tensor]]:  # task -> change of each shared parameter
    """−gᵢ/(√v̂ + ε) (Kingma & Ba 2015, algorithm 1), brought to the same length for every task.

    Zeros for a task without a gradient. Raises `UserError` when the optimiser keeps no v.
    """
    scale = _adam_scale(shared, optimizer)
    count = sum(p.numel() for p in shared)
    moves = {}
    for task, grads in gradients.items():
        row = [-g / s for g, s in zip(grads, scale)]
        squares = torch.stack([r.double().square().sum() for r in row])
        rms = (float(squares.sum()) / count) ** 0.5
        moves[task] = torch._foreach_mul(row, size / rms if rms else 0.0)
    return moves


def _adam_scale(shared: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> list[Tensor]:
    "√v̂ + ε of each parameter."
    if any("exp_avg_sq" not in optimizer.state.get(p, {}) for p in shared):
        raise UserError("a step of Adam's kind needs an Adam or AdamW that has made a step; use rule='gradient'")
    settings = {}
    for group in optimizer.param_groups:
        if "betas" in group:
            settings |= {id(p): (group["betas"][1], group["eps"]) for p in group["params"]}
    scale = []
    for p in shared:
        beta, eps = settings[id(p)]
        state = optimizer.state[p]
        scale.append((state["exp_avg_sq"] / (1 - beta ** float(state["step"]))).sqrt_().add_(eps))
    return scale


@torch.no_grad()
def look_ahead(
    shared: list[nn.Parameter],
    losses: dict[str, Callable[[], Tensor]],
    moves: dict[str, list[Tensor]],  # task -> change of each shared parameter
    before: dict[str, float],  # task -> its loss where the weights are now
) -> dict[tuple, float]:  # (i, j) -> Z
    """Z for each pair of tasks (Fifty et al. 2021, equation 1): go there, evaluate every task, come
    back.

    The shared parameters come back digit for digit.
    """
    old = [p.detach().clone() for p in shared]
    affinity = {}
    try:
        for source, move in moves.items():
            torch._foreach_add_(list(shared), move)
            for target, loss in losses.items():
                affinity[source, target] = 1 - float(loss()) / before[target]
            torch._foreach_copy_(list(shared), old)
    finally:
        torch._foreach_copy_(list(shared), old)
    return affinity


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Inside the block a model may be evaluated and moved; after it nothing has happened, digit for
    digit.

    What comes back: parameters, buffers (BatchNorm's running statistics) and random states.
    """
    tensors = [*model.parameters(), *model.buffers()]
    copies = [t.detach().clone() for t in tensors]
    try:
        with random_states_restored():
            yield
    finally:
        with torch.no_grad():
            for tensor, copy in zip(tensors, copies):
                tensor.copy_(copy)


# the cheap run


def _loss(model, batch: dict, task: str, seed: int) -> Tensor:  # ()
    "One task's weighted loss, always with the same random numbers."
    seed_everything(seed)
    prediction = model(batch["images"][task], task)
    losses = model.compute_losses({task: prediction}, {task: batch[task]})
    return model.task_weights[task] * losses[task].float()


def _affinity_of_step(
    run: TrainState,
    batch: dict,
    seed: int,
    rule: str,  # adam or gradient
    size: float,  # of the step: rms change of a weight (adam), or the learning rate η (gradient)
) -> tuple[list[dict], list[dict]]:  # rows (source, target, affinity), rows (stage, task = pair, cosine)
    """Looks ahead from where a run is now, with every task of the batch, and compares the gradients
    stage by stage.

    Leaves no trace in the run.
    """
    model = run.model
    shared = [p for p in model.shared_parameters() if p.requires_grad]
    with untouched(model):
        losses = {task: partial(_loss, model, batch, task, seed) for task in batch["images"]}
        gradients, before = task_gradients(shared, losses)
        if rule == "gradient":
            moves = gradient_moves(gradients, size)
        else:
            moves = adam_moves(gradients, shared, run.optimizer, size)
        affinity = look_ahead(shared, losses, moves, before)
    gramians = layer_gramians(list(gradients.values()))
    cosines = stage_cosines(model.backbone, shared, gramians, list(losses))
    return [dict(source=i, target=j, affinity=z) for (i, j), z in affinity.items()], cosines


def _check(config: Config, steps: int, every: int, rule: str, total: int):
    if len(config.tasks) < 2:
        names = ", ".join(config.tasks)
        raise UserError(f"affinity is between tasks, but config field 'tasks' is {names}: give two or more")
    config.check_every_task("affinity")
    if rule not in ("adam", "gradient"):
        raise UserError(f"unknown rule {rule!r}: expected adam or gradient")
    if not 1 <= every < steps:
        raise UserError(f"every is {every} with {steps} steps: expected at least 1 and fewer than there are steps")
    if steps > total:
        raise UserError(
            f"{steps} steps, but the config's training has {total}: choose fewer, or a larger steps_per_epoch"
        )


def _check_shared(config: Config, run: TrainState):
    if not any(p.requires_grad for p in run.model.shared_parameters()):
        raise UserError(
            f"with sharing={config.sharing!r} and freeze_backbone={config.freeze_backbone} "
            "the tasks share no weights that are trained: there is nothing to measure"
        )


class AffinityRun(NamedTuple):
    """What a cheap run has measured."""

    affinity: pd.DataFrame  # step, source, target, affinity
    cosines: pd.DataFrame  # step, stage, task = pair, cosine
    run: TrainState  # as it ended


def measure_affinity(
    config: Config,
    steps: int = 100,  # of the beginning of that training
    every: int = 10,  # look ahead before each `every`-th step; not before the first
    rule: str = "adam",  # or gradient
    size: float = 2e-5,  # of the step: rms change of a weight (adam), or the learning rate η (gradient)
    progress: bool = True,
) -> AffinityRun:
    """Trains for a while, as `train` would, and measures how the tasks' steps change each other's
    losses.

    Raises `UserError` for one task alone, unshared backbones, or too many steps.
    """
    prepare_data(config, progress)
    seed_everything(config.seed)
    fabric = start_fabric(config)
    loader = training_loader(config, progress=progress)
    run = create_train_state(fabric, config, loader)
    sampler = loader.batch_sampler
    total = sampler.steps * config.epochs
    _check(config, steps, every, rule, total)
    _check_shared(config, run)
    rows, cosines = [], []
    with tqdm(total=steps, desc="affinity", unit="step", disable=not progress) as bar:
        for epoch in range(-(-steps // sampler.steps)):
            sampler.epoch = epoch
            for batch in loader:
                if run.step >= steps:
                    break
                batch = fabric.to_device(batch)
                if run.step and run.step % every == 0:
                    seed = derive_seed(config.seed, run.step, 0, 1)
                    looks, angles = _affinity_of_step(run, batch, seed, rule, size)
                    rows += [dict(step=run.step) | look for look in looks]
                    cosines += [_cosine_row(run.step, angle) for angle in angles]
                train_step(fabric, run, batch, run.step / total)
                run.step += 1
                bar.update()
    return AffinityRun(pd.DataFrame(rows), pd.DataFrame(cosines), run)


def _cosine_row(step: int, row: dict) -> dict:  # of `cosine_rows`
    return dict(step=step, stage=row["stage"], task=row["task"], cosine=float(row["cosine"] or "nan"))


def task_affinity(
    config: Config, steps: int = 100, every: int = 10, rule: str = "adam", size: float = 2e-5, progress: bool = True
) -> pd.DataFrame:  # columns step, source, target, affinity
    """Z of every pair of tasks at the steps where it was measured (Fifty et al. 2021).

    Arguments and errors are those of `measure_affinity`.
    """
    return measure_affinity(config, steps, every, rule, size, progress).affinity


# from numbers to words


def affinity_summary(
    affinity: pd.DataFrame,  # columns source, target, affinity, step and, if there are several, seed
) -> pd.DataFrame:  # columns source, target, mean, low, high, n, own
    """Mean of Z with its 95 % interval (Student's t) over seeds, or over steps for one seed.

    `own` is the target's mean Z of its own step.
    """
    by = ["seed"] if "seed" in affinity and affinity.seed.nunique() > 1 else ["step"]
    rows = []
    for (source, target), looks in affinity.groupby(["source", "target"], sort=False):
        values = looks.groupby(by).affinity.mean()
        mean, low, high = mean_and_interval(values)
        rows.append(dict(source=source, target=target, mean=mean, low=low, high=high, n=len(values)))
    table = pd.DataFrame(rows)
    selves = table[table.source == table.target].set_index("target")["mean"]
    return table.assign(own=table.target.map(selves))


def effect_verdict(low: float, high: float, seeds: int) -> str:
    """What an interval over seeds allows to be said: `helps`, `hurts`, `unclear` or `too few
    seeds`.

    Unclear: zero lies in the interval, or there is none.
    """
    if seeds < ENOUGH_SEEDS:
        return "too few seeds"
    if low > 0:
        return "helps"
    return "hurts" if high < 0 else "unclear"


def _name(task: str) -> str:
    return TASKS[task].title if task in TASKS else task


def _effect_line(row, effect: str) -> str:  # a row of `affinity_summary`
    "What a step for another task does to a task's loss."
    if abs(row.mean) < 5e-6:
        moves = "leaves it as it is to three digits of a percent"
    else:
        moves = f"{'lowers' if row.mean >= 0 else 'raises'} it by {100 * abs(row.mean):.3f} %"
    what = "no clear effect" if effect == "unclear" else effect
    interval = f"(95 %: {100 * row.low:+.3f} to {100 * row.high:+.3f}, lowering counted positive)"
    return f"    an equally long step for {_name(row.source)} {moves} {interval}: {what}."


def _advice(effects: set[str], seeds: int) -> str:  # of a pair of tasks, in both directions
    if seeds < ENOUGH_SEEDS:
        return "too few seeds"
    if effects == {"helps"}:
        return "share"
    if effects == {"hurts"}:
        return "keep apart, or share fewer layers"
    if effects == {"helps", "hurts"}:
        return "one gains and one loses: weigh what matters more"
    if effects == {"unclear"}:
        return "nothing is clear"
    speaks = "speaks for" if "helps" in effects else "speaks against"
    return f"for one of them it {speaks} sharing, for the other nothing is clear"


def should_i_share(
    affinity: pd.DataFrame,  # of `task_affinity`; several seeds: one table below the other, with a column `seed`
) -> str:
    """A report in plain words: what a step for each task does to the others, and what follows for
    sharing.
    """
    table = affinity_summary(affinity)
    seeds = affinity.seed.nunique() if "seed" in affinity else 1
    effects = {(r.source, r.target): effect_verdict(r.low, r.high, seeds) for r in table.itertuples()}
    lines = []
    for target, rows in table.groupby("target", sort=False):
        lines.append(f"{_name(target)}: a step for itself lowers its loss by {100 * rows.own.iloc[0]:.2f} %.")
        others = rows[rows.source != target]
        lines += [_effect_line(row, effects[row.source, target]) for row in others.itertuples()]
    tasks = list(dict.fromkeys(table.target))
    for k, first in enumerate(tasks):
        for second in tasks[k + 1 :]:
            advice = _advice({effects[first, second], effects[second, first]}, seeds)
            lines.append(f"{_name(first)} and {_name(second)}: {advice}.")
    over = f"{seeds} seeds" if seeds > 1 else f"{int(table.n.max())} looks of one run"
    if seeds < ENOUGH_SEEDS:
        over += f", and a verdict takes {ENOUGH_SEEDS} seeds"
    lines.append(
        f"(Means over {over}. This is about the training loss of the next step. It says nothing about overfitting, "
        "about small data sets that profit from company, or about the room in the network.)"
    )
    return "\n".join(lines)


# did the look ahead tell the truth?


def forecast_table(
    affinity: pd.DataFrame,  # seed, step, source, target, affinity
    block: pd.DataFrame,  # STUDY_COLUMNS, with the runs alone and equal
    split: str = "test",
) -> pd.DataFrame:  # index task; percent: forecast and change with their intervals, and what each allows to be said
    """Per task: mean affinity of the other tasks onto it and what full training changed."""
    scores = headline_scores(block, split)
    by = "seed" if affinity.seed.nunique() > 1 else "step"
    records = {}
    for task in scores:
        onto = affinity[(affinity.target == task) & (affinity.source != task)].groupby(by).affinity.mean()
        alone = scores.loc["alone"][task]
        forecast = mean_and_interval(100 * onto)
        change = mean_and_interval(100 * (scores.loc["equal"][task] - alone) / alone.mean())
        record = dict(zip(("forecast", "forecast_low", "forecast_high"), forecast))
        record |= dict(zip(("change", "change_low", "change_high"), change))
        record["forecast_says"] = effect_verdict(*forecast[1:], affinity.seed.nunique())
        record["training_shows"] = effect_verdict(*change[1:], block.seed.nunique())
        records[task] = record
    return pd.DataFrame.from_dict(records, orient="index")


def forecast_sentences(table: pd.DataFrame) -> list[str]:  # of `forecast_table`
    """Whether the forecast agreed with full training, task by task."""
    sentences = []
    for row in table.itertuples():
        same = np.sign(row.forecast) == np.sign(row.change)
        sides = {"the look ahead": row.forecast_says, "the training": row.training_shows}
        unclear = [side for side, says in sides.items() if says not in ("helps", "hurts")]
        if unclear:
            sign = "the same" if same else "the opposite"
            verb = "are" if len(unclear) > 1 else "is"
            end = f"{sign} sign, but {' and '.join(unclear)} {verb} not clear, so it proves nothing."
        else:
            end = "agreement." if same else "**they disagree.**"
        sentences.append(
            f"{_name(row.Index)}: the look ahead gave {row.forecast:+.3f} % ({row.forecast_says}), "
            f"training together changed the score by {row.change:+.1f} % ({row.training_shows}): {end}"
        )
    return sentences
