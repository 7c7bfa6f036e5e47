"""Two weeks of training would say whether two tasks belong into one network. A few hundred cheap steps give a hint."""

__all__ = [
    "task_gradients",
    "gradient_moves",
    "adam_moves",
    "look_ahead",
    "untouched",
    "affinity_of_step",
    "measure_affinity",
    "task_affinity",
    "affinity_summary",
    "verdict",
    "should_i_share",
]

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
import pandas as pd, torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from ..config import Config
from ..core.errors import UserError
from ..core.seeds import derive_seed, random_states_restored, seed_everything
from ..data.loaders import prepare_data, training_loader
from .runner import ENOUGH_SEEDS, mean_and_interval
from ..plots.figures import TASK_LABELS
from ..training.gradients import cosine_rows, layer_groups, sum_gramians, backbone_layers
from ..losses.streamed_backward import layer_gramians
from ..training.distributed import start_fabric
from ..training.state import TrainState, create_train_state
from ..training.steps import train_step


def task_gradients(
    shared: list[nn.Parameter],  # the parameters that the tasks share
    losses: dict[str, Callable[[], Tensor]],  # task -> its forward pass and loss
) -> tuple[dict[str, list[Tensor]], dict[str, float]]:  # gradients of each task, its loss
    "Each task's gradient of the shared parameters (zeros where it does not depend on one); raises `UserError` for a loss that is not a positive number."
    gradients, before = {}, {}
    for task, loss in losses.items():
        value = loss()
        before[task] = float(value.detach())
        if not 0 < before[task] < float("inf"):
            raise UserError(
                f"the loss of task {task!r} is {before[task]}: a relative change needs a positive, finite loss"
            )
        found = torch.autograd.grad(value, shared, allow_unused=True)
        gradients[task] = [torch.zeros_like(p) if g is None else g for p, g in zip(shared, found)]
    return gradients, before


def gradient_moves(
    gradients: dict[str, list[Tensor]], rate: float
) -> dict[str, list[Tensor]]:  # task -> change of each shared parameter
    "−η gᵢ, the step of plain gradient descent."
    return {t: [-rate * g for g in gs] for t, gs in gradients.items()}


def adam_moves(
    gradients: dict[str, list[Tensor]],
    shared: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,  # Adam or AdamW after at least one step
    size: float,  # root mean square of the change
) -> dict[str, list[Tensor]]:  # task -> change of each shared parameter
    "−gᵢ/(√v̂ + ε), brought to the same length for every task; zeros for a task without a gradient. Raises `UserError` when the optimiser keeps no v."
    settings = {id(p): (g["betas"][1], g["eps"]) for g in optimizer.param_groups if "betas" in g for p in g["params"]}
    if any("exp_avg_sq" not in optimizer.state.get(p, {}) for p in shared):
        raise UserError("a step of Adam's kind needs an Adam or AdamW that has made a step; use rule='gradient'")
    scale = []
    for p in shared:
        (beta, eps), state = settings[id(p)], optimizer.state[p]
        scale.append(
            (state["exp_avg_sq"] / (1 - beta ** float(state["step"]))).sqrt_().add_(eps)
        )  # √v̂ + ε (Kingma & Ba 2015, algorithm 1)
    moves, count = {}, sum(p.numel() for p in shared)
    for task, gs in gradients.items():
        row = [-g / s for g, s in zip(gs, scale)]
        rms = (float(torch.stack([r.double().square().sum() for r in row]).sum()) / count) ** 0.5
        moves[task] = torch._foreach_mul(row, size / rms if rms else 0.0)
    return moves


@torch.no_grad()
def look_ahead(
    shared: list[nn.Parameter],
    losses: dict[str, Callable[[], Tensor]],
    moves: dict[str, list[Tensor]],  # task -> change of each shared parameter
    before: dict[str, float],  # task -> its loss where the weights are now
) -> dict[tuple, float]:  # (i, j) -> Z
    "Z for each pair of tasks (Fifty et al. 2021, equation 1); the shared parameters come back digit for digit."
    old, affinity = [p.detach().clone() for p in shared], {}
    try:
        for i, move in moves.items():
            torch._foreach_add_(list(shared), move)
            for j, loss in losses.items():
                affinity[i, j] = 1 - float(loss()) / before[j]
            torch._foreach_copy_(list(shared), old)
    finally:
        torch._foreach_copy_(list(shared), old)
    return affinity


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    "Parameters, buffers (BatchNorm's running statistics) and random states are the same, digit for digit, after the block as before."
    tensors = [*model.parameters(), *model.buffers()]
    copies = [t.detach().clone() for t in tensors]
    try:
        with random_states_restored():
            yield
    finally:
        with torch.no_grad():
            for t, c in zip(tensors, copies):
                t.copy_(c)


def _loss(model, batch, task, seed):  # () one task's weighted loss, always with the same random numbers
    seed_everything(seed)
    prediction = model(batch["images"][task], task)
    return model.task_weights[task] * model.compute_losses({task: prediction}, {task: batch[task]})[task].float()


def affinity_of_step(
    run: TrainState,
    batch: dict,
    seed: int,
    rule: str = "adam",  # or "gradient"
    size: float = 2e-5,  # of the step: rms change of a weight (adam), or the learning rate η (gradient)
) -> tuple[list[dict], list[dict]]:  # rows (source, target, affinity), rows (stage, task = pair, cosine)
    "Looks ahead from where a run is now, with every task of the batch, and also compares the gradients stage by stage; leaves no trace in the run."
    model = run.model
    shared = [p for p in model.shared_parameters() if p.requires_grad]
    with untouched(model):
        losses = {t: partial(_loss, model, batch, t, seed) for t in batch["images"]}
        gradients, before = task_gradients(shared, losses)
        moves = (
            gradient_moves(gradients, size)
            if rule == "gradient"
            else adam_moves(gradients, shared, run.optimizer, size)
        )
        affinity = look_ahead(shared, losses, moves, before)
    places, groups = layer_groups(backbone_layers(model.backbone, shared))
    grams = sum_gramians(layer_gramians(list(gradients.values())), groups)
    cosines = [
        row
        for place, gram in zip(places, grams)
        if "layer" not in place
        for row in cosine_rows(place, gram, list(losses))
    ]
    return [dict(source=i, target=j, affinity=z) for (i, j), z in affinity.items()], cosines


def _check(config: Config, steps: int, every: int, rule: str, total: int):
    if len(config.tasks) < 2:
        raise UserError(
            f"affinity is between tasks, but config field 'tasks' is {', '.join(config.tasks)}: give two or more"
        )
    if config.task_sampling != "all":
        raise UserError("affinity needs every task in every step: set task_sampling to all")
    if rule not in ("adam", "gradient"):
        raise UserError(f"unknown rule {rule!r}: expected adam or gradient")
    if not 1 <= every < steps:
        raise UserError(f"every is {every} with {steps} steps: expected at least 1 and fewer than there are steps")
    if steps > total:
        raise UserError(
            f"{steps} steps, but the config's training has {total}: choose fewer, or a larger steps_per_epoch"
        )


def measure_affinity(
    config: Config,
    steps: int = 100,  # of the beginning of that training
    every: int = 10,  # look ahead before each `every`-th step; not before the first
    rule: str = "adam",
    size: float = 2e-5,  # see `affinity_of_step`
    progress: bool = True,
) -> tuple[
    pd.DataFrame, pd.DataFrame, TrainState
]:  # (step, source, target, affinity), (step, stage, task = pair, cosine), the run as it ended
    "Trains for a while and measures how the tasks' steps change each other's losses; raises `UserError` for one task alone, unshared trunks, or too many steps."
    config = config.replace(num_processes=1)
    prepare_data(config, progress)
    seed_everything(config.seed)
    fabric, loader = start_fabric(config), training_loader(config, progress=progress)
    run, sampler = create_train_state(fabric, config, loader), loader.batch_sampler
    _check(config, steps, every, rule, total := sampler.steps * config.epochs)
    if not any(p.requires_grad for p in run.model.shared_parameters()):
        raise UserError(
            f"with sharing={config.sharing!r} and freeze_backbone={config.freeze_backbone} the tasks share no weights that are trained: there is nothing to measure"
        )
    rows, cosines = [], []
    with tqdm(total=steps, desc="affinity", unit="step", disable=not progress) as bar:
        for epoch in range(-(-steps // sampler.steps)):
            sampler.epoch = epoch
            for batch in loader:
                if run.step >= steps:
                    break
                batch = fabric.to_device(batch)
                if run.step and run.step % every == 0:
                    z, c = affinity_of_step(run, batch, derive_seed(config.seed, run.step, 0, 1), rule, size)
                    rows += [dict(step=run.step) | r for r in z]
                    cosines += [
                        dict(step=run.step, stage=r["stage"], task=r["task"], cosine=float(r["cosine"] or "nan"))
                        for r in c
                    ]
                train_step(fabric, run, batch, run.step / total)
                run.step += 1
                bar.update()
    return pd.DataFrame(rows), pd.DataFrame(cosines), run


def task_affinity(
    config: Config, steps: int = 100, every: int = 10, rule: str = "adam", size: float = 2e-5, progress: bool = True
) -> pd.DataFrame:  # columns step, source, target, affinity
    "Z of every pair of tasks at the steps where it was measured (Fifty et al. 2021); arguments and errors as of `measure_affinity`."
    return measure_affinity(config, steps, every, rule, size, progress)[0]


def affinity_summary(
    affinity: pd.DataFrame,  # columns source, target, affinity, step and, if there are several, seed
) -> pd.DataFrame:  # columns source, target, mean, low, high, own, n
    "Mean of Z with its 95 % interval (Student's t) over seeds, or over steps for one seed; `own` is the target's mean Z of its own step."
    by = ["seed"] if "seed" in affinity and affinity.seed.nunique() > 1 else ["step"]
    rows = []
    for (i, j), own in affinity.groupby(["source", "target"], sort=False):
        values = own.groupby(by).affinity.mean()
        rows.append(
            dict(zip(("source", "target", "mean", "low", "high"), (i, j, *mean_and_interval(values))), n=len(values))
        )
    table = pd.DataFrame(rows)
    selves = table[table.source == table.target].set_index("target")["mean"]
    return table.assign(own=table.target.map(selves))


def verdict(
    low: float, high: float, seeds: int
) -> str:  # helps, hurts, unclear (zero lies in the interval, or there is none) or too few seeds
    "What an interval over seeds allows to be said."
    return "too few seeds" if seeds < ENOUGH_SEEDS else "helps" if low > 0 else "hurts" if high < 0 else "unclear"


def _name(task):
    return TASK_LABELS.get(task, task)


def should_i_share(
    affinity: pd.DataFrame,
) -> str:  # as from `task_affinity`; several seeds: one table below the other, with a column `seed`
    "A report in plain words: for each task what a step for another one does to its loss, then what follows for sharing, and how far the numbers reach."
    table, lines, seeds = affinity_summary(affinity), [], affinity.seed.nunique() if "seed" in affinity else 1
    effect = {(r.source, r.target): verdict(r.low, r.high, seeds) for r in table.itertuples()}
    over = (f"{seeds} seeds" if seeds > 1 else f"{int(table.n.max())} looks of one run") + (
        f", and a verdict takes {ENOUGH_SEEDS} seeds" if seeds < ENOUGH_SEEDS else ""
    )
    for j, rows in table.groupby("target", sort=False):
        lines.append(f"{_name(j)}: a step for itself lowers its loss by {100 * rows.own.iloc[0]:.2f} %.")
        for r in rows[rows.source != j].itertuples():
            what = "no clear effect" if effect[r.source, j] == "unclear" else effect[r.source, j]
            moves = (
                f"{'lowers' if r.mean >= 0 else 'raises'} it by {100 * abs(r.mean):.3f} %"
                if abs(r.mean) >= 5e-6
                else "leaves it as it is to three digits of a percent"
            )
            lines.append(
                f"    an equally long step for {_name(r.source)} {moves} (95 %: {100 * r.low:+.3f} to {100 * r.high:+.3f}, lowering counted positive): {what}."
            )
    tasks = list(dict.fromkeys(table.target))
    for a, b in ((a, b) for k, a in enumerate(tasks) for b in tasks[k + 1 :]):
        both = {effect[a, b], effect[b, a]}
        advice = (
            "too few seeds"
            if seeds < ENOUGH_SEEDS
            else "share"
            if both == {"helps"}
            else "keep apart, or share fewer layers"
            if both == {"hurts"}
            else "one gains and one loses: weigh what matters more"
            if both == {"helps", "hurts"}
            else f"for one of them it {'speaks for' if 'helps' in both else 'speaks against'} sharing, for the other nothing is clear"
            if len(both) > 1
            else "nothing is clear"
        )
        lines.append(f"{_name(a)} and {_name(b)}: {advice}.")
    return "\n".join(
        [
            *lines,
            f"(Means over {over}. This is about the training loss of the next step. It says nothing about overfitting, about small data sets that profit from company, or about the room in the network.)",
        ]
    )
