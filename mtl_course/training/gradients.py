"""A loss curve says *that* something goes wrong. The gradients, layer by layer and task by task, say *where*, and *who* it was."""

__all__ = [
    "GRADIENT_COLUMNS",
    "Layer",
    "trunk_layers",
    "pooled_gramians",
    "task_norms",
    "task_shares",
    "task_cosines",
    "gradient_rows",
    "cosine_rows",
    "rows_up_to",
    "places_of",
    "GradientLog",
    "read_gradients",
]

import csv, math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
import pandas as pd, torch
from fastcore.basics import patch
from torch import Tensor, nn
from ..core.errors import UserError
from ..core.files import atomic_write
from ..evaluation.results import read_table
from ..losses import BalancedStep


@dataclass
class Layer:
    "One layer of the shared trunk that is trained."

    name: str  # such as layer3.0.conv2
    stage: str  # stem, layer1 … layer4 of a ResNet; of other modules the first part of the name
    depth: int  # 0 at the image
    kind: str  # conv, linear or norm (scale and shift)
    parameters: list[int]  # their places among the trainable shared parameters


def _kind(module: nn.Module) -> str:
    widest = max(p.ndim for p in module.parameters(recurse=False))
    return {1: "norm", 2: "linear"}.get(widest, "conv")


def _stage(name: str) -> str:
    return next(
        (part for part in name.split(".") if part == "stem" or part.startswith("layer")), name.partition(".")[0]
    )


def trunk_layers(
    trunk: nn.Module, shared: list[nn.Parameter] | None = None
) -> list[Layer]:  # shared: None for all of the trunk's parameters
    "The trainable layers of a trunk that tasks share, in network order; none for a frozen one."
    names, found = {id(p): n for n, p in trunk.named_parameters()}, {}
    for place, p in enumerate(p for p in (trunk.parameters() if shared is None else shared) if p.requires_grad):
        owner = names[id(p)].rpartition(".")[0]
        layer = found.setdefault(owner, Layer(owner, _stage(owner), len(found), _kind(trunk.get_submodule(owner)), []))
        layer.parameters.append(place)
    return list(found.values())


def pooled_gramians(
    layers: Tensor,  # (P, T, T)
    groups: list[list[int]],
) -> Tensor:  # (groups, T, T)
    "The Gramian of each group of parameters: the sum of theirs."
    return torch.stack([layers[g].sum(0) for g in groups]) if groups else layers.new_zeros(0, *layers.shape[1:])


def task_norms(gramians: Tensor) -> Tensor:  # (…, T, T) → (…, T)
    "‖gₜ‖, the root of the diagonal."
    return gramians.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()


def task_shares(gramians: Tensor, weights: Tensor) -> Tensor:  # (…, T, T), (T,) → (…, T)
    "⟨wₜgₜ, d⟩/‖d‖² with d = Σ wₜgₜ: each task's part of the update; they add up to 1. NaN where the update is zero or the weights are NaN."
    part = weights * (gramians @ weights)
    return part / part.sum(-1, keepdim=True)


def task_cosines(gramians: Tensor) -> Tensor:  # (…, T, T) → (…, T, T)
    "The cosines of the angles between the tasks' gradients; NaN beside a gradient of zero."
    norms = task_norms(gramians)
    return gramians / (norms[..., :, None] * norms[..., None, :])


GRADIENT_COLUMNS = ("step", "stage", "layer", "depth", "kind", "task", "norm", "share", "cosine", "ratio")


def _shown(value: float) -> str:  # four digits are enough for a picture
    return f"{value:.4g}" if math.isfinite(value) else ""


def gradient_rows(
    place: dict,  # the columns that name a layer, stage or trunk
    gramian: Tensor,  # (T, T) of its parameters
    balanced: BalancedStep,  # whose losses name the tasks
    fixed: dict[str, float],
) -> list[dict]:  # task -> weight inside its loss
    "One row per task: the norm of its unweighted gradient and its share in the update."
    weights = torch.tensor(list(balanced.weights.values()), dtype=torch.float64)
    norms, shares = task_norms(gramian).tolist(), task_shares(gramian, weights).tolist()
    return [
        place
        | dict(
            task=t, norm=_shown(n / fixed[t] if fixed[t] and balanced.weights[t] != 0 else math.nan), share=_shown(s)
        )
        for t, n, s in zip(balanced.losses, norms, shares)
    ]


def cosine_rows(place: dict, gramian: Tensor, tasks: list[str]) -> list[dict]:
    "One row per pair of tasks: the cosine of their gradients."
    cosines = task_cosines(gramian)
    return [
        place | dict(task=f"{a}+{b}", cosine=_shown(float(cosines[i, j])))
        for (i, a), (j, b) in combinations(enumerate(tasks), 2)
    ]


def rows_up_to(path: Path, columns: tuple, step: int) -> list[list[str]]:
    "The rows of a log that are whole and whose column `step` is at most `step`; none when there is no such file."
    if not step or not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f))[1:]
    at = columns.index("step")
    return [r for r in rows if len(r) == len(columns) and r[at].isdigit() and int(r[at]) <= step]


def _norms(tensors: Iterable[Tensor]) -> Tensor:  # (P,) float64 on the CPU
    "The norms of many tensors, fetched at once."
    norms = [t.float().norm() for t in tensors]
    return torch.stack(norms).double().cpu() if norms else torch.zeros(0, dtype=torch.float64)


def _over(values: Tensor, groups: list[list[int]]) -> list[float]:
    "The norm over each group of parameters, from the parameters' norms."
    return [float(values[g].norm()) for g in groups]


def places_of(
    layers: list[Layer],
) -> tuple[list[dict], list[list[int]]]:  # columns that name each place, its parameters
    "All layers, then the stages, then the whole trunk."
    stages = {
        s: [p for l in layers if l.stage == s for p in l.parameters] for s in dict.fromkeys(l.stage for l in layers)
    }
    if layers:
        stages["trunk"] = [p for l in layers for p in l.parameters]
    places = [dict(stage=l.stage, layer=l.name, depth=l.depth, kind=l.kind) for l in layers] + [
        dict(stage=s) for s in stages
    ]
    return places, [l.parameters for l in layers] + list(stages.values())


class GradientLog:
    """Writes `logs/gradients.csv`: per layer, stage and task the gradient's norm before clipping, the task's share, cosines, and the update-to-weight ratio.

    `every` 0 records nothing; `step` > 0 continues an earlier log after that step; an inactive one (not the first process) writes nothing. On steps for which
    `due` is true the loop asks `streamed_backward` to record, calls `before` ahead of clipping and `after` once the optimiser has stepped.
    """

    def __init__(self, results_dir: Path, every: int = 0, step: int = 0, active: bool = True):
        self.path, self.every, self.active = Path(results_dir) / "logs" / "gradients.csv", every, active
        if not active:
            return
        rows = rows_up_to(self.path, GRADIENT_COLUMNS, step)
        if not every and not rows:
            self.path.unlink(missing_ok=True)  # left by another run
        else:
            with atomic_write(self.path) as t, open(t, "w", newline="", encoding="utf-8") as f:
                csv.writer(f).writerows([GRADIENT_COLUMNS, *rows])

    def due(self, step: int) -> bool:  # steps done so far: the first step is recorded, and every `every`-th after it
        return self.every > 0 and step % self.every == 0

    @torch.no_grad()
    def before(
        self,
        model,  # MultiTaskModel with gradients in .grad
        balanced: BalancedStep,  # recorded: it has `layers`
        loss_scale: float = 1.0,
    ):  # by which .grad is too large (float16 training)
        "Looks at the gradients and copies the trunk's weights."
        if not self.active:
            return
        self.shared = [p for p in model.shared_parameters() if p.requires_grad]
        self.layers, self.balanced, self.fixed = (
            trunk_layers(model.backbone, self.shared),
            balanced,
            dict(model.task_weights),
        )
        self.old = [p.detach().clone() for p in self.shared]
        grads = _norms([p.grad for p in model.parameters() if p.grad is not None])
        self.network = float(grads.norm()) / loss_scale
        self.update = _norms(p.new_zeros(()) if p.grad is None else p.grad for p in self.shared) / loss_scale


@patch
@torch.no_grad()
def after(self: GradientLog, step: int):  # as in training.csv: 1 is the first
    "Compares the trunk's weights with their copies, and writes the step's rows."
    if not self.active:
        return
    moved, length = _norms(p - o for p, o in zip(self.shared, self.old)), _norms(self.old)
    places, groups = places_of(self.layers)
    rows = []
    for place, gramian, d, m, w in zip(
        places,
        pooled_gramians(self.balanced.layers, groups),
        _over(self.update, groups),
        _over(moved, groups),
        _over(length, groups),
    ):
        rows += gradient_rows(place, gramian, self.balanced, self.fixed)
        rows.append(place | dict(task="all", norm=_shown(d), ratio=_shown(m / w if w else math.nan)))
        if "layer" not in place:
            rows += cosine_rows(place, gramian, list(self.balanced.losses))
    rows.append(dict(stage="network", task="all", norm=_shown(self.network)))
    with open(self.path, "a", newline="", encoding="utf-8") as f:
        csv.DictWriter(f, GRADIENT_COLUMNS).writerows([dict(step=step) | r for r in rows])
    self.old = self.shared = self.balanced = None  # free the copy


def read_gradients(results_dir: str | Path) -> pd.DataFrame:  # GRADIENT_COLUMNS
    "The table of logs/gradients.csv; raises `UserError` naming the command when it is missing, empty or no such table."
    path, command = Path(results_dir) / "logs" / "gradients.csv", "mtl_train --gradient_log_every 10"
    table = read_table(path, GRADIENT_COLUMNS, command)
    if table.empty:
        raise UserError(f"{path} has no rows yet; `{command}` writes them")
    return table
