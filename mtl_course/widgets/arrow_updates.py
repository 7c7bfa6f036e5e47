"""Real balancers on made-up gradients: what each makes of them, and which task that would harm."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..config import BOOSTED_WEIGHTS
from ..core.errors import UserError
from ..losses import BALANCERS, Balancer, balancer_options, make_balancer, streamed_backward

__all__ = []

SETTLING_STEPS = 60  # at the same place, until learned weights have settled
SETTLING_RATE = 0.15  # the balancer's learning rate meanwhile
METHODS = {  # what is drawn -> (name, options) for `make_balancer`
    "fixed": ("fixed", {}),
    "fixed 5/30/1": ("fixed", dict(weights=BOOSTED_WEIGHTS)),
    **{name: (name, {}) for name in BALANCERS if name not in ("fixed", "torchjd")},
}
_options = lru_cache(balancer_options)  # asked for each arrow that is turned


@dataclass
class Update:
    """What a balancer makes of the tasks' gradients."""

    direction: np.ndarray  # (P,) d: the parameters move along -d
    weights: dict[str, float]  # task -> its weight (NaN where the method has no such number)


def balanced_update(
    gradients: np.ndarray,  # (T, P)
    losses: dict[str, float],  # the T tasks' losses, in the same order
    balancer: Balancer,  # its state moves on
) -> Update:
    """One step of the engine on the linear losses L_t(θ) = ℓ_t + g_t·θ, at θ = 0.

    They have the given losses and gradients, so the balancer is asked and not copied.
    """
    theta = nn.Parameter(torch.zeros(gradients.shape[1], dtype=torch.float64))
    rows = torch.from_numpy(np.asarray(gradients, float))
    closures = {}
    for (task, loss), gradient in zip(losses.items(), rows):
        closures[task] = partial(_linear_loss, theta, loss, gradient)
    step = streamed_backward([theta], closures, balancer)
    return Update(theta.grad.numpy(), step.weights)


def _linear_loss(theta: nn.Parameter, loss: float, gradient: torch.Tensor) -> torch.Tensor:
    return loss + gradient @ theta


def can_settle(
    name: str,  # a key of BALANCERS
) -> bool:
    """True for methods that learn their weights from the losses or gradients of a step alone."""
    return "lr" in _options(name) and not BALANCERS[name].wants_losses_after


@lru_cache(maxsize=256)
def _settled_state(
    name: str,  # a key of BALANCERS
    squares: tuple,  # squared lengths of the gradients
    losses: tuple,  # (task, loss) pairs
) -> dict:
    """What a balancer has learned after sixty steps at the same place.

    It learns from losses and lengths alone, whatever the angles; so a turned arrow needs no new
    sixty steps.
    """
    losses = dict(losses)
    balancer = make_balancer(name, list(losses), lr=SETTLING_RATE)
    gramian = torch.diag(torch.tensor(squares, dtype=torch.float64))
    for _ in range(SETTLING_STEPS):
        if balancer.needs == "gramian":
            balancer.weights(gramian, losses)
        else:
            balancer.finish(losses)
    return balancer.state_dict()


def fresh_balancer(
    method: str,  # a key of METHODS
    gramian: torch.Tensor,  # (T, T) float64
    losses: dict[str, float],  # task -> loss
    settled: bool = False,  # after sixty steps at the same place
    seed: int = 0,  # of methods that draw lots
) -> Balancer:
    """A new balancer for the tasks of `losses`, at its start or settled."""
    name, options = METHODS[method]
    options = dict(options)
    if "weights" in options:
        options["weights"] = {task: options["weights"][task] for task in losses}
    if "seed" in _options(name):
        options["seed"] = seed
    balancer = make_balancer(name, losses, **options)
    if settled and can_settle(name):
        squares = (1.0,) * len(losses)  # only GradNorm looks at lengths
        if name == "gradnorm":
            squares = tuple(float(f"{square:.9g}") for square in gramian.diagonal())
        balancer.load_state_dict(_settled_state(name, squares, tuple(losses.items())))
    return balancer


def balanced_updates(
    gradients: np.ndarray,  # (T, P)
    losses: dict[str, float],  # task -> loss
    settled: bool = False,  # methods that learn weights: after sixty steps at the same place
    seed: int = 0,  # of methods that draw lots
) -> dict[str, Update]:
    """The update of every method in METHODS, each from a fresh balancer."""
    gramian = torch.from_numpy(gradients @ gradients.T)
    updates = {}
    for method in METHODS:
        balancer = fresh_balancer(method, gramian, losses, settled, seed)
        updates[method] = balanced_update(gradients, losses, balancer)
    return updates


def stands_still(
    gradients: np.ndarray,  # (T, P)
    direction: np.ndarray,  # (P,) d
) -> bool:
    """Whether an update is shorter than a thousandth of the longest gradient.

    Where it points is then a matter of rounding.
    """
    return bool(np.linalg.norm(direction) <= 1e-3 * np.linalg.norm(gradients, axis=1).max())


def loss_changes(
    gradients: np.ndarray,  # (T, P)
    direction: np.ndarray,  # (P,) d
) -> np.ndarray:
    """The change of each loss, to first order, for a step of length one along -d: -g_t·d/‖d‖, (T,).

    0 where |cos| < 1e-6; all 0 where d stands still.
    """
    if stands_still(gradients, direction):
        return np.zeros(len(gradients))
    change = -(gradients @ direction) / np.linalg.norm(direction)
    return np.where(abs(change) < 1e-6 * np.linalg.norm(gradients, axis=1), 0.0, change)


def update_table(
    gradients: np.ndarray,  # (T, P)
    losses: dict[str, float],  # task -> loss
    updates: dict[str, Update],  # method -> update
) -> pd.DataFrame:
    """One row per method.

    What it looks at, its weights, the change of each loss for a step of length one, and which
    tasks get worse.
    """
    records = []
    for method, update in updates.items():
        change = dict(zip(losses, loss_changes(gradients, update.direction)))
        worse = ", ".join(task for task, difference in change.items() if difference > 0)
        record = dict(method=method, looks_at=BALANCERS[METHODS[method][0]].needs)
        record |= {f"weight {task}": update.weights[task] for task in losses}
        record |= {f"change {task}": difference for task, difference in change.items()}
        record["worse"] = worse if any(change.values()) else "stands still"
        records.append(record)
    return pd.DataFrame(records).set_index("method")


def in_plane(
    angles: Iterable[float],  # T angles, degrees
    lengths: Iterable[float],  # T lengths
) -> np.ndarray:
    """Arrows of these angles and lengths, (T, 2)."""
    radians = np.radians(np.asarray(list(angles), float))
    return np.asarray(list(lengths), float)[:, None] * np.c_[np.cos(radians), np.sin(radians)]


def _cut(
    polygon: np.ndarray,  # (N, 2)
    normal: np.ndarray,  # (2,)
) -> np.ndarray:
    """The part of a polygon with normal · x ≥ 0, (M, 2)."""
    corners = []
    for a, b in zip(polygon, np.roll(polygon, -1, 0)):
        height_a = normal @ a
        height_b = normal @ b
        if height_a >= 0:
            corners.append(a)
        if (height_a < 0) != (height_b < 0):
            corners.append(a + (b - a) * height_a / (height_a - height_b))
    return np.array(corners).reshape(-1, 2)


def conflict_free_region(
    gradients: np.ndarray,  # (T, 2)
    radius: float,  # half the square's side
) -> np.ndarray:
    """The corners (N, 2) of the dual cone {d : g_t · d ≥ 0 for all t} inside a square.

    Half-planes are cut off the square one after the other (Sutherland & Hodgman 1974).
    """
    polygon = radius * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    for gradient in gradients:
        polygon = _cut(polygon, gradient)
    return polygon


def conflict_free_degrees(
    gradients: np.ndarray,  # (T, 2)
) -> float:
    """The opening angle of the conflict-free region, 0..180; 0 where no direction helps all.

    It is 180° minus the smallest angle that holds all gradients.
    """
    arrows = gradients[np.linalg.norm(gradients, axis=1) > 0]
    if not len(arrows):
        return 360.0
    angles = np.sort(np.degrees(np.arctan2(arrows[:, 1], arrows[:, 0])))
    gaps = np.diff(np.append(angles, angles[0] + 360))
    opening = gaps.max() - 180
    return float(opening) if opening > 1e-9 else 0.0  # opposite gradients leave nothing but rounding


def embed_gramian(
    gramian: np.ndarray,  # (T, T)
) -> np.ndarray:
    """Vectors with these inner products, (T, T), one per row: the first two coordinates show most.

    With G = VΛVᵀ these are the rows of VΛ^½; the best plane is that of the two largest
    eigenvalues (Eckart & Young 1936). The plane is turned so that the first task lies to the
    right and the second above it. Raises `UserError` for a matrix that is not a Gramian.
    """
    gramian = np.asarray(gramian, float)
    square = gramian.ndim == 2 and gramian.shape[0] == gramian.shape[1]
    if not square or not np.isfinite(gramian).all():
        raise UserError(f"a Gramian has the shape {gramian.shape}: expected a square of finite numbers")
    values, vectors = np.linalg.eigh((gramian + gramian.T) / 2)
    if values[0] < -1e-3 * abs(values[-1]):
        raise UserError(f"a Gramian has the eigenvalue {values[0]:.3g}: expected none below 0; look at the recording")
    rows = (vectors * np.sqrt(values.clip(0)))[:, ::-1]
    return _turned(rows) if len(rows) > 1 else rows


def _turned(
    rows: np.ndarray,  # (T, T)
) -> np.ndarray:
    """The same vectors, turned so that the first lies to the right and the second above it."""
    x, y = rows[0, :2]
    length = np.hypot(x, y)
    turn = np.eye(len(rows))
    if length > 0:
        turn[:2, :2] = [[x / length, -y / length], [y / length, x / length]]
    rows = rows @ turn
    if rows[1, 1] < 0:
        rows[:, 1] *= -1
    return rows


def plane_share(
    rows: np.ndarray,  # (T, T) of `embed_gramian`
) -> float:
    """How much of the squared lengths the first two coordinates show, 0..1."""
    total = (rows**2).sum()
    return float((rows[:, :2] ** 2).sum() / total) if total > 0 else 1.0
