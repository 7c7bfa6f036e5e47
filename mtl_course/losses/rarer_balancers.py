"""Balancers that lessons 16 and 17 tell of and do not derive."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.errors import UserError
from .balancer import Balancer, GramianBalancer, TaskAdam
from .gradient_balancers import equal_projection_weights
from .loss_balancers import IMTLL, Uncertainty
from .solvers import rank_tolerance, unit_gramian

__all__ = []

_COLUMNS = 2**18  # a slice of the Jacobian that stays in the cache


class PositiveUncertainty(Uncertainty):
    """w_t = ½exp(-s_t); s_t = log σ_t² learns to minimise w_t L_t + log(1 + σ_t²) ≥ 0.

    Liebel & Körner 2018, eq. 2.

    With u = σ_t² the derivative vanishes where 2u² = L_t(1 + u): for a large loss u ≈ L_t/2, hence
    w_t ≈ 1/L_t; for a small one u ≈ √(L_t/2), and w_t ≈ 1/√(2L_t). (They learn σ_t; here log σ_t²
    is learned, with the same minimum.)
    """

    def __init__(
        self,
        tasks: Sequence[str],
        lr: float = 0.01,  # learning rate of s
    ):
        super().__init__(tasks, lr, squared_errors=tasks)

    def finish(self, losses):
        present, values = self.present(losses)
        s = self.log_variance[present]
        gradient = torch.sigmoid(s) - 0.5 * torch.exp(-s) * values  # ∂/∂s (½e⁻ˢL + log(1 + eˢ))
        self.adam.step(self.log_variance, gradient, present)
        return 1.0


class DynamicWeightAverage(Balancer):
    """DWA: w_t = T softmax(r/τ)_t with r_t the ratio of the task's last two mean losses.

    1 in the first two periods. Liu, Johns & Davison 2019, eq. 7.
    """

    state = ("total", "count", "older", "newer", "steps", "task_weights")

    def __init__(
        self,
        tasks: Sequence[str],
        temperature: float = 2.0,  # τ: higher is closer to equal weights
        period: int = 100,  # steps over which losses are averaged (the paper: an epoch)
    ):
        super().__init__(tasks)
        if temperature <= 0 or period < 1:
            raise UserError(
                f"dwa has temperature {temperature} and period {period}: "
                "expected a temperature above 0 and a period of at least 1"
            )
        self.temperature = temperature
        self.period = period
        self.steps = 0
        self.total = torch.zeros(len(self.tasks), dtype=torch.float64)
        self.count = torch.zeros_like(self.total)
        self.older = self.total + math.nan
        self.newer = self.total + math.nan
        self.task_weights = self.total + 1

    def weight(self, task, loss):
        return self.task_weights[self.index(task)].item()

    def finish(self, losses):
        present, values = self.present(losses)
        self.total[present] += values
        self.count[present] += 1
        self.steps += 1
        if self.steps % self.period == 0:
            self._next_period()
        return 1.0

    def _next_period(self):
        seen = self.count > 0  # a task that never came keeps its averages
        self.older = torch.where(seen, self.newer, self.older)
        self.newer = torch.where(seen, self.total / self.count, self.newer)
        self.total = torch.zeros_like(self.total)
        self.count = torch.zeros_like(self.count)
        ratio = self.newer / self.older  # r_t
        ratio = torch.where(ratio.isfinite(), ratio, 1.0)  # no two averages yet
        self.task_weights = len(self.tasks) * torch.softmax(ratio / self.temperature, 0)


class FAMO(Balancer):
    """w_t = c z_t/(L_t - b_t), z = softmax(ξ), Σ w_t = 1; ξ lets log losses fall equally fast.

    Liu et al. 2023, algorithm 1. After the optimiser's step the losses of the same batch are
    evaluated again.
    """

    weight_needs_loss = True
    has_factor = True
    wants_losses_after = True
    state = ("logits", "adam", "before")

    def __init__(
        self,
        tasks: Sequence[str],
        lr: float = 0.025,  # β, the rate of Adam on ξ (their program; algorithm 1 has plain descent)
        weight_decay: float = 1e-3,  # γ
        lower_bounds: dict[str, float] | None = None,  # b_t: the least loss a task can have, 0 unless given
    ):
        super().__init__(tasks)
        bounds = lower_bounds or {}
        self.logits = torch.zeros(len(self.tasks), dtype=torch.float64)
        self.adam = TaskAdam(len(self.tasks), lr, weight_decay)
        self.before = {}
        self.bounds = torch.tensor([bounds.get(task, 0.0) for task in self.tasks], dtype=torch.float64)

    def _excess(self, present, values):
        return (values - self.bounds[present]).clamp_min(1e-8)  # L_t - b_t, above 0

    def weight(self, task, loss):
        t = self.index(task)
        return math.exp(self.logits[t]) / (loss.double() - self.bounds[t].item()).clamp_min(1e-8)  # ∝ z_t/L_t

    def finish(self, losses):
        present, values = self.present(losses)
        self.before = dict(losses)
        total = (self.logits[present].exp() / self._excess(present, values)).sum()
        return 1 / float(total)  # c, with the softmax's denominator

    def after_step(
        self,
        losses: dict[str, float],  # task -> loss of the same batch under the new parameters
    ):
        "Moves the logits by how far each loss fell; a task needs a loss before and after."
        finite = [
            t for t, loss in losses.items() if math.isfinite(loss) and math.isfinite(self.before.get(t, math.nan))
        ]
        if not finite:
            return
        present, after = self.present({t: losses[t] for t in finite})
        before = self.present({t: self.before[t] for t in finite})[1]
        delta = self._excess(present, before).log() - self._excess(present, after).log()  # δ_t
        z = torch.softmax(self.logits[present], 0)
        self.adam.step(self.logits, z * (delta - z @ delta), present)  # Jᵀδ


class IMTL(GramianBalancer):
    """IMTL-G on the gradients of the losses that IMTL-L has scaled, w_t = exp(s_t) α_t.

    Liu et al. 2021, algorithm 1. In the paper the scaled losses train the heads, too; here heads
    get their loss's own gradient.
    """

    state = ("scaling",)

    def __init__(
        self,
        tasks: Sequence[str],
        lr: float = 0.01,  # learning rate of s
    ):
        super().__init__(tasks)
        self.scaling = IMTLL(tasks, lr)

    def solve(self, gramian, losses):
        scale = self.scaling.log_scale[self.present(losses)[0]].exp()
        self.scaling.finish(losses)
        return scale * equal_projection_weights(gramian * scale[:, None] * scale[None, :], self.eps)


class AlignedMTL(GramianBalancer):
    """The mean of the gradients after all singular values of J are set to one of them.

    Senushkin et al. 2023, algorithm 1: w = √λ_min V diag(λ^(-1/2)) Vᵀ 1/T with the eigenvalues λ
    and eigenvectors V of the Gramian. Eigenvalues that are zero to the rounding of the gradients
    are left out, as many as the cosines between them have. What the method aligns is what rounding
    spoils first: if the lengths of the gradients differ by more than about 10⁵, the smallest
    eigenvalue of a float64 Gramian carries few right digits.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        scale: str = "min",  # which: min (the paper), median, or rmse (the root of the mean eigenvalue)
    ):
        super().__init__(tasks)
        if scale not in ("min", "median", "rmse"):
            raise UserError(f"aligned has scale {scale!r}: expected min, median or rmse")
        self.scale = scale

    def solve(self, gramian, losses):
        mean = torch.full((len(gramian),), 1 / len(gramian), dtype=torch.float64)
        eigenvalues, vectors = torch.linalg.eigh(gramian)
        nonzero = eigenvalues > eigenvalues.max() * len(gramian) * torch.finfo(torch.float64).eps
        nonzero[: len(gramian) - self._rank(gramian)] = False  # eigenvalues rise
        if not nonzero.any():
            return mean
        eigenvalues = eigenvalues[nonzero]
        vectors = vectors[:, nonzero]
        target = {"min": eigenvalues.min(), "median": eigenvalues.median(), "rmse": eigenvalues.mean()}[self.scale]
        return vectors @ ((vectors.T @ mean) * (target / eigenvalues).sqrt())

    def _rank(self, gramian) -> int:
        "The rank of J: lengths, which may differ by much, have no part in it."
        angles = torch.linalg.eigvalsh(unit_gramian(gramian)[0])
        return int((angles > rank_tolerance(len(gramian), self.eps, least=0.0)).sum())


class GradNorm(GramianBalancer):
    """Learned weights, Σ w_t = T, that pull each w_t‖g_t‖ to the mean of them all times r_t^α.

    Chen et al. 2018, eqs. 1 and 2; norms over all shared parameters. In the paper heads get w_t
    times their loss's gradient; here, as with all methods of this kind, their loss's own.
    """

    state = ("task_weights", "first", "adam")

    def __init__(
        self,
        tasks: Sequence[str],
        alpha: float = 1.5,  # how strongly tasks that lag behind are favoured
        lr: float = 0.025,  # of Adam on the weights
    ):
        super().__init__(tasks)
        self.alpha = float(alpha)
        self.adam = TaskAdam(len(self.tasks), lr)
        self.first = {}
        self.task_weights = torch.ones(len(self.tasks), dtype=torch.float64)

    def solve(self, gramian, losses):
        present, values = self.present(losses)
        for task, loss in losses.items():
            self.first.setdefault(task, float(loss))  # L_t(0)
        first = torch.tensor([max(self.first[task], 1e-8) for task in losses], dtype=torch.float64)
        progress = values.clamp_min(1e-8) / first
        weights = self.task_weights[present]  # indexing copies
        lengths = gramian.diagonal().sqrt()
        norms = weights * lengths
        target = norms.mean() * (progress / progress.mean()) ** self.alpha
        slope = torch.sign(norms - target) * lengths  # ∂L_grad/∂w_t
        self.adam.step(self.task_weights, slope, present)
        self.task_weights = self.task_weights.clamp_min(1e-3)
        self.task_weights = self.task_weights * len(self.tasks) / self.task_weights.sum()
        return weights


class GradDrop(Balancer):
    """In each coordinate the sum of the positive or of the negative entries.

    Of the positive ones with probability ½(1 + Σg/Σ|g|). Chen et al. 2020, algorithm 1, lines 10 to
    15.
    """

    needs = "gradients"
    state = ("generator",)

    def __init__(
        self,
        tasks: Sequence[str],
        leak: dict[str, float] | None = None,  # task -> share of its gradient that is never dropped, 0..1
        seed: int = 0,
    ):
        super().__init__(tasks)
        self.leak = dict.fromkeys(self.tasks, 0.0) | (leak or {})
        self.generator = torch.Generator().manual_seed(seed)
        for task in self.leak:
            self.index(task)

    def combine(
        self,
        jacobian: Tensor,  # (K, P) the present tasks' gradients
        losses: dict[str, float],
    ) -> Tensor:  # (P,)
        "The shared gradient; the random numbers are the same on every process and after a restart."
        seed = torch.randint(2**62, (), generator=self.generator).item()  # one number a step: a small state anywhere
        generator = torch.Generator(jacobian.device).manual_seed(seed)
        return torch.cat([self._combine_slice(piece, losses, generator) for piece in jacobian.split(_COLUMNS, dim=1)])

    def _combine_slice(self, jacobian, losses, generator):
        size = jacobian.abs().sum(0).clamp_min(torch.finfo(jacobian.dtype).tiny)
        purity = 0.5 * (1 + jacobian.sum(0) / size)
        draw = torch.rand(purity.shape, generator=generator, dtype=purity.dtype, device=purity.device)
        sign = torch.where(purity > draw, 1.0, -1.0).to(purity.dtype)
        return sum(torch.where(g * sign > 0, g, self.leak[task] * g) for task, g in zip(losses, jacobian))
