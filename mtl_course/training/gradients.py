"""Gradients layer by layer and task by task: norms, shares, cosines, and their log.

A loss curve says *that* something goes wrong. The gradients say *where*, and *who* it was.
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from ..core.errors import UserError
from ..core.files import atomic_write
from ..evaluation.results import read_table
from ..losses import BalancedStep

__all__ = ["read_gradients", "stage_cosines"]

GRADIENT_COLUMNS = ("step", "stage", "layer", "depth", "kind", "task", "norm", "share", "cosine", "ratio")


@dataclass
class Layer:
    "One layer of the shared backbone that is trained."

    name: str  # such as layer3.0.conv2
    stage: str  # stem, layer1 … layer4 of a ResNet; of other modules the first part of the name
    depth: int  # 0 at the image
    kind: str  # conv, linear or norm (scale and shift)
    parameters: list[int]  # their places among the trainable shared parameters


def _kind(module: nn.Module) -> str:
    dimensions = max(p.ndim for p in module.parameters(recurse=False))
    return {1: "norm", 2: "linear"}.get(dimensions, "conv")


def _stage(name: str) -> str:  # name: of a layer
    stages = [part for part in name.split(".") if part == "stem" or part.startswith("layer")]
    return stages[0] if stages else name.partition(".")[0]


def backbone_layers(
    backbone: nn.Module,
    shared: list[nn.Parameter] | None = None,  # None: all of the backbone's parameters
) -> list[Layer]:
    "The trainable layers of a backbone that tasks share, in network order; none for a frozen one."
    names = {id(p): name for name, p in backbone.named_parameters()}
    parameters = backbone.parameters() if shared is None else shared
    layers = {}
    for place, p in enumerate(p for p in parameters if p.requires_grad):
        name = names[id(p)].rpartition(".")[0]
        if name not in layers:
            layers[name] = Layer(name, _stage(name), len(layers), _kind(backbone.get_submodule(name)), [])
        layers[name].parameters.append(place)
    return list(layers.values())


def layer_groups(layers: list[Layer]) -> tuple[list[dict], list[list[int]]]:
    "Layers, then stages, then the whole backbone: columns that name each, and its parameters."
    stages = {}
    for layer in layers:
        stages.setdefault(layer.stage, []).extend(layer.parameters)
    if layers:
        stages["trunk"] = list(chain.from_iterable(layer.parameters for layer in layers))
    columns = [dict(stage=x.stage, layer=x.name, depth=x.depth, kind=x.kind) for x in layers]
    columns += [dict(stage=stage) for stage in stages]
    return columns, [layer.parameters for layer in layers] + list(stages.values())


def sum_gramians(
    gramians: Tensor,  # (P, T, T), one for each parameter
    groups: list[list[int]],  # of parameters
) -> Tensor:  # (groups, T, T)
    "The Gramian of each group of parameters: the sum of theirs."
    if not groups:
        return gramians.new_zeros(0, *gramians.shape[1:])
    return torch.stack([gramians[group].sum(0) for group in groups])


def task_norms(gramians: Tensor) -> Tensor:  # (…, T, T) → (…, T)
    "‖gₜ‖, the root of the diagonal."
    return gramians.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()


def task_shares(
    gramians: Tensor,  # (…, T, T)
    weights: Tensor,  # (T,)
) -> Tensor:  # (…, T)
    """⟨wₜgₜ, d⟩/‖d‖² with d = Σ wₜgₜ: each task's share of the update; they add up to 1.

    NaN where the update is zero or the weights are NaN.
    """
    shares = weights * (gramians @ weights)
    return shares / shares.sum(-1, keepdim=True)


def task_cosines(gramians: Tensor) -> Tensor:  # (…, T, T) → (…, T, T)
    "The cosines of the angles between the tasks' gradients; NaN beside a gradient of zero."
    norms = task_norms(gramians)
    return gramians / (norms[..., :, None] * norms[..., None, :])


def _digits(value: float) -> str:  # four digits are enough for a picture
    return f"{value:.4g}" if math.isfinite(value) else ""


def gradient_rows(
    place: dict,  # the columns that name a layer, stage or backbone
    gramian: Tensor,  # (T, T) of its parameters
    step: BalancedStep,  # whose losses name the tasks
    fixed: dict[str, float],  # task -> weight inside its loss
) -> list[dict]:
    "One row per task: the norm of its unweighted gradient and its share in the update."
    weights = torch.tensor(list(step.weights.values()), dtype=torch.float64)
    norms = task_norms(gramian).tolist()
    shares = task_shares(gramian, weights).tolist()
    rows = []
    for task, norm, share in zip(step.losses, norms, shares):
        weighted = fixed[task] and step.weights[task] != 0
        unweighted = norm / fixed[task] if weighted else math.nan
        rows.append(place | dict(task=task, norm=_digits(unweighted), share=_digits(share)))
    return rows


def cosine_rows(
    place: dict,  # the columns that name a stage
    gramian: Tensor,  # (T, T)
    tasks: list[str],  # in its order
) -> list[dict]:
    "One row per pair of tasks: the cosine of their gradients."
    cosines = task_cosines(gramian)
    rows = []
    for (i, first), (j, second) in combinations(enumerate(tasks), 2):
        rows.append(place | dict(task=f"{first}+{second}", cosine=_digits(float(cosines[i, j]))))
    return rows


def stage_cosines(
    backbone: nn.Module,
    shared: list[nn.Parameter],  # its parameters that the tasks share
    gramians: Tensor,  # (P, T, T), one for each of them
    tasks: list[str],  # in the Gramians' order
) -> list[dict]:
    "The rows of `cosine_rows` for each stage and for the whole backbone."
    places, groups = layer_groups(backbone_layers(backbone, shared))
    rows = []
    for place, gramian in zip(places, sum_gramians(gramians, groups)):
        if "layer" not in place:
            rows += cosine_rows(place, gramian, tasks)
    return rows


def rows_up_to(
    path: Path,  # a csv file
    columns: tuple,  # its columns, `step` among them
    step: int,
) -> list[list[str]]:
    "The rows of a log that are whole and not after `step`; none when there is no such file."
    if not step or not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f))[1:]
    place = columns.index("step")
    whole = [row for row in rows if len(row) == len(columns) and row[place].isdigit()]
    return [row for row in whole if int(row[place]) <= step]


def _norms(tensors: Iterable[Tensor]) -> Tensor:  # (P,) float64 on the CPU
    "The norms of many tensors, fetched at once."
    norms = [torch.linalg.vector_norm(t, dtype=torch.float64) for t in tensors]  # squares of 1e30 fit
    return torch.stack(norms).cpu() if norms else torch.zeros(0, dtype=torch.float64)


def _group_norms(
    norms: Tensor,  # (P,) of the parameters
    groups: list[list[int]],
) -> list[float]:
    "The norm over each group of parameters."
    return [float(norms[group].norm()) for group in groups]


class GradientLog:
    """Writes `logs/gradients.csv` in a run's folder.

    Per layer, stage and task: the gradient's norm before clipping, the task's share, cosines, and
    the ratio of update to weight. On steps for which `due` is true the loop asks
    `streamed_backward` to record, calls `before_step` ahead of clipping and `after_step` once the
    optimiser has stepped. `step` > 0 continues an earlier log after that step.
    """

    def __init__(
        self,
        results_dir: Path,
        every: int = 0,  # steps; 0: record nothing
        step: int = 0,  # training steps done
        active: bool = True,  # False: write nothing (not the first process)
    ):
        self.results_dir = Path(results_dir)
        self.every = every
        self.active = active
        if not active:
            return
        rows = rows_up_to(self.path, GRADIENT_COLUMNS, step)
        if not every and not rows:
            self.path.unlink(missing_ok=True)  # left by another run
            return
        with atomic_write(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([GRADIENT_COLUMNS, *rows])

    @property
    def path(self) -> Path:
        return self.results_dir / "logs" / "gradients.csv"

    def due(self, step: int) -> bool:  # step: training steps done so far
        "Whether the next step is recorded: the first one, and every `every`-th after it."
        return self.every > 0 and step % self.every == 0

    @torch.no_grad()
    def before_step(
        self,
        model,  # MultiTaskModel with gradients in .grad
        step: BalancedStep,  # recorded: it has `layers`
        loss_scale: float = 1.0,  # by which .grad is too large (float16 training)
    ):
        "Looks at the gradients and copies the backbone's weights."
        if not self.active:
            return
        self.shared = [p for p in model.shared_parameters() if p.requires_grad]
        self.layers = backbone_layers(model.backbone, self.shared)
        self.balanced = step
        self.fixed = dict(model.task_weights)
        self.old = [p.detach().clone() for p in self.shared]
        every_norm = _norms([p.grad for p in model.parameters() if p.grad is not None])
        self.network_norm = float(every_norm.norm()) / loss_scale
        shared_grads = [p.new_zeros(()) if p.grad is None else p.grad for p in self.shared]
        self.update_norms = _norms(shared_grads) / loss_scale

    @torch.no_grad()
    def after_step(self, step: int):  # as in training.csv: 1 is the first
        "Compares the backbone's weights with their copies, and writes the step's rows."
        if not self.active:
            return
        rows = [dict(step=step) | row for row in self._rows()]
        with open(self.path, "a", newline="", encoding="utf-8") as f:
            csv.DictWriter(f, GRADIENT_COLUMNS).writerows(rows)
        self.old = self.shared = self.balanced = None  # free the copy

    def _rows(self) -> list[dict]:
        "The rows of the step that was looked at."
        places, groups = layer_groups(self.layers)
        gramians = sum_gramians(self.balanced.layers, groups)
        updates = _group_norms(self.update_norms, groups)
        moves = _group_norms(_norms(p - old for p, old in zip(self.shared, self.old)), groups)
        weights = _group_norms(_norms(self.old), groups)
        rows = []
        for place, gramian, update, move, weight in zip(places, gramians, updates, moves, weights):
            ratio = move / weight if weight else math.nan
            rows += gradient_rows(place, gramian, self.balanced, self.fixed)
            rows.append(place | dict(task="all", norm=_digits(update), ratio=_digits(ratio)))
            if "layer" not in place:
                rows += cosine_rows(place, gramian, list(self.balanced.losses))
        rows.append(dict(stage="network", task="all", norm=_digits(self.network_norm)))
        return rows


def read_gradients(results_dir: str | Path) -> pd.DataFrame:  # GRADIENT_COLUMNS
    """The table of logs/gradients.csv.

    Raises `UserError` naming the command when it is missing, empty or no such table.
    """
    path = Path(results_dir) / "logs" / "gradients.csv"
    command = "mtl_train --gradient_log_every 10"
    table = read_table(path, GRADIENT_COLUMNS, command)
    if table.empty:
        raise UserError(f"{path} has no rows yet: expected those of a step; `{command}` writes them")
    return table
