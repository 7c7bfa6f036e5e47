"""The little convex problems behind the Gramian-based balancers, solved exactly.

At an optimum some weights are zero and the others form a *face* of the feasible set. On a given
face the problem is a linear system. Three tasks have 7 faces, ten have 1023: all systems are solved
in one batched call, those with a negative weight are dropped, and of the rest the one that fulfils
the optimality conditions best is taken. No iteration, no tolerance to tune. Dependent gradients do
no harm: some optimum always lies on a face whose system is regular (Carathéodory's theorem).

Lengths are split from angles first. Losses in different units give gradients whose lengths differ
by 10⁴ and more, and then the entries of the Gramian G = D C D differ by 10⁸; solving for y = D w
with the cosines C keeps the digits.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..core.errors import UserError

__all__ = ["min_norm_weights"]

_MOST_TASKS = 12  # 2^12 faces
_FLOAT32_EPS = 1.2e-7
_SMALLEST_SQUARE = 1e-20  # of a length: products that underflow float32 are below its last digit
_LARGEST_SQUARE = 1e34
_COLUMNS = 2**14  # that are multiplied at once; the sum of so many float32 products is right to 5e-7


def row_gramian(
    rows: Tensor,  # (T, P) gradients of any floating type; changed in place
) -> Tensor:  # (T, T) float64
    """The inner products of some gradients, whatever their lengths.

    Squares of float32 underflow below 1e-23 and overflow above 1e19, so each row is first brought
    to about 1 by a power of two: not a digit changes. A processor looks first whether it has to.
    Sums of millions of float32 products lose three digits, so products are added up in float64,
    block by block. float16 and bfloat16 are multiplied as float32.
    """
    rows = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    if rows.device.type == "cpu":  # a GPU would have to be waited for
        gramian = _sum_of_products(rows)
        squares = gramian.diagonal()
        if ((squares > _SMALLEST_SQUARE) & (squares < _LARGEST_SQUARE)).all():
            return gramian
    peaks = rows.abs().amax(1) if rows.shape[1] else rows.new_zeros(len(rows))
    peaks = peaks.double()
    units = peaks / torch.frexp(peaks).mantissa  # 2^e, exactly
    units = torch.where(units.isfinite() & (units > 0), units, 1.0).clamp(2.0**-126, 2.0**126)
    rows.mul_((1 / units).to(rows.dtype)[:, None])
    return _sum_of_products(rows) * units[:, None] * units[None, :]


def _sum_of_products(rows: Tensor) -> Tensor:  # (T, P) -> (T, T) float64
    "rows @ rows.T in blocks of columns."
    whole = rows.shape[1] // _COLUMNS * _COLUMNS
    rest = rows[:, whole:]
    total = (rest @ rest.T).double()
    if whole:
        blocks = rows[:, :whole].unflatten(1, (-1, _COLUMNS)).transpose(0, 1)  # (blocks, T, columns)
        total += (blocks @ blocks.mT).double().sum(0)
    return total


def rank_tolerance(
    num_tasks: int,
    eps: float,  # rounding of the gradients' type, such as 1.2e-7 of float32
    least: float = 1e-12,  # what float64 allows
) -> float:
    """Eigenvalues of the cosines below this are rounding: the gradients depend on each other.

    Products are added up in float32 at best, which moves an eigenvalue by its rounding. Gradients
    that were rounded more coarsely leave what they depend on by eps, and an eigenvalue by eps².
    """
    return max(least, 4 * num_tasks * min(eps, _FLOAT32_EPS), num_tasks * eps**2)


def unit_gramian(
    gramian: Tensor,  # (T, T)
) -> tuple[Tensor, Tensor]:  # cosines (T, T), lengths (T,)
    """Splits G = D C D into the cosines between the gradients and their lengths.

    A zero gradient gets zeros and, to divide by, the length 1.
    """
    lengths = gramian.diagonal().clamp_min(0).sqrt()
    lengths = torch.where(lengths > 0, lengths, 1.0)
    return gramian / lengths[:, None] / lengths[None, :], lengths


def min_norm_weights(
    gramian: Tensor,  # (T, T), T ≤ 12
) -> Tensor:  # (T,) ≥ 0, sum 1
    "The weights of the shortest vector in the convex hull of the gradients, to rounding."
    cosines, lengths = unit_gramian(gramian)
    right = torch.zeros(len(gramian) + 1, 1, dtype=torch.float64)
    right[-1] = 1
    candidates = _solve_on_faces(cosines, right, 1 / lengths)[..., 0] / lengths
    return _best_on_simplex(candidates, lambda w: w @ gramian)


def dual_cone_weights(
    gramian: Tensor,  # (T, T), T ≤ 12
    start: Tensor,  # (K, T): rows u
) -> Tensor:  # (K, T): rows v
    """For each row u the v ≥ u whose Jᵀv is the projection of Jᵀu onto the cone {d : J d ≥ 0}.

    It minimises vᵀGv (Quinton & Rey 2024, proposition 1).
    """
    cosines, lengths = unit_gramian(gramian)
    u = (start * lengths).T  # (T, K) in units of the gradients' lengths
    size = u.abs().amax(0).clamp_min(1e-300)
    u = u / size
    rise = _solve_on_faces(cosines, -cosines @ u)  # (faces, T, K): y - u, zero slope on the face
    feasible = rise.isfinite().all(1) & (rise > -1e-9).all(1)
    rise = torch.where(feasible[:, None], rise, 0.0).clamp_min(0)
    slope = cosines @ (u + rise)  # optimal: slope ≥ 0, and = 0 where v > u
    violation = torch.maximum((-slope).amax(1), (rise * slope).abs().amax(1))
    best = torch.where(feasible, violation, math.inf).argmin(0)  # (K,)
    return ((u + rise[best, :, torch.arange(len(start))].T) * size).T / lengths


def least_helped_weights(
    gramian: Tensor,  # (T, T), T ≤ 12, no zero on the diagonal
    mean: Tensor,  # (T,) weights of the mean gradient g₀
    c: float,  # radius of the ball around g₀, relative to ‖g₀‖
    eps: float = 0.0,  # rounding of the gradients' type
) -> Tensor:  # (T,)
    """The step within c‖g₀‖ of the mean gradient g₀ that helps the least helped task most.

    Liu et al. 2021, eqs. 3 and 4. The dual's minimiser α gives w = mean + c‖g₀‖ α/‖g_α‖. Where a
    mean of the gradients vanishes (a Pareto-stationary point) the dual may have its minimum at g_α
    = 0, and the formula divides by zero. Then no step in the ball helps everybody, many harm
    nobody, and the one nearest to g₀ is taken, its projection onto {d : J d ≥ 0}; for c < 1 the
    ball may not reach that cone, and the formula holds.
    """
    radius = c * _norm(mean, gramian)
    pull = gramian @ mean  # g_t · g₀
    if radius == 0:
        return mean
    cosines = unit_gramian(gramian)[0]
    shortest = min_norm_weights(cosines)
    if shortest @ cosines @ shortest < rank_tolerance(len(cosines), eps):  # Pareto-stationary
        harmless = dual_cone_weights(gramian, mean[None])[0]
        if _norm(harmless - mean, gramian) <= radius * (1 + 1e-6):
            return harmless
    w = _best_on_simplex(
        _ball_candidates(gramian, pull / radius),
        lambda w: pull + radius * (w @ gramian) / _norm(w, gramian)[:, None],
    )
    return mean + radius * w / _norm(w, gramian)


@functools.cache
def _faces(num_tasks: int) -> Tensor:  # (2^T, T) of 0 and 1
    "All subsets of the tasks, the empty one first."
    if num_tasks > _MOST_TASKS:
        raise UserError(
            f"{num_tasks} tasks have {2**num_tasks} faces: mgda, cagrad and upgrad are solved exactly for at most "
            f"{_MOST_TASKS} tasks; choose another balancer"
        )
    return (torch.arange(2**num_tasks)[:, None] >> torch.arange(num_tasks) & 1).double()


def _solve_on_faces(
    cosines: Tensor,  # (T, T)
    right: Tensor,  # (T, K) right-hand sides, or (T + 1, K) with the constraint's
    edge: Tensor | None = None,  # (T,) a in the constraint a·y = right[T]
) -> Tensor:  # (faces, T, K); not finite where a face is singular
    """Solves C_SS y_S = right_S for all faces S at once; y is 0 off the face.

    With `edge` the system has one more row and column, a Lagrange multiplier for a·y = right[T].
    """
    tasks = len(cosines)
    extra = 0 if edge is None else 1
    faces = _faces(tasks)[extra:]  # a constrained problem has no solution on the empty face
    system = torch.zeros(len(faces), tasks + extra, tasks + extra, dtype=torch.float64)
    system[:, :tasks, :tasks] = cosines * faces[:, :, None] * faces[:, None, :] + torch.diag_embed(1 - faces)
    on_face = torch.cat([faces, torch.ones(len(faces), extra, dtype=torch.float64)], 1)
    rights = right * on_face[..., None]
    if edge is not None:
        largest = (faces * edge).amax(1, keepdim=True)  # each constraint scaled to entries of at most 1
        system[:, :tasks, tasks] = system[:, tasks, :tasks] = faces * edge / largest
        rights[:, tasks] /= largest
    first = torch.linalg.solve_ex(system, rights)[0]
    refinement = torch.linalg.solve_ex(system, rights - system @ first)[0]
    return (first + refinement)[:, :tasks]


def _best_on_simplex(
    candidates: Tensor,  # (N, T) weights
    slope: Callable[[Tensor], Tensor],  # w (N, T) -> gradient of the convex objective (N, T)
) -> Tensor:  # (T,)
    """Of the candidates on the simplex the one with the smallest duality gap w·∇f - min_t ∇f_t.

    The gap is 0 at the minimum and bounds the error elsewhere.
    """
    feasible = candidates.isfinite().all(1) & (candidates > -1e-9).all(1)
    w = torch.where(feasible[:, None], candidates, 1.0).clamp_min(0)
    w = w / w.sum(1, keepdim=True)
    gradient = slope(w)
    gap = (w * gradient).sum(1) - gradient.amin(1)
    return w[torch.where(feasible & gap.isfinite(), gap, math.inf).argmin()]


def _norm(
    w: Tensor,  # (…, T) weights
    gramian: Tensor,  # (T, T)
) -> Tensor:  # (…)
    "Length of the combined gradient Σ w_t g_t."
    return ((w @ gramian) * w).sum(-1).clamp_min(0).sqrt()


def _ball_candidates(
    gramian: Tensor,  # (T, T)
    pull: Tensor,  # (T,) g_t · g₀ over the radius
) -> Tensor:  # (2·faces, T) weights of the raw gradients
    """Candidates for the minimum of w·pull + ‖g_w‖ over the simplex, two for each face.

    For a known value λ of ‖g_w‖ the optimality conditions on a face are linear, so y = p + λq.
    Putting that into ‖g_w‖ = λ leaves the quadratic equation aλ² + 2bλ + c = 0 with two roots.
    """
    cosines, lengths = unit_gramian(gramian)
    right = torch.zeros(len(gramian) + 1, 2, dtype=torch.float64)
    right[-1, 0] = 1
    right[:-1, 1] = -pull / lengths
    p, q = _solve_on_faces(cosines, right, 1 / lengths).unbind(-1)
    a = _inner(q, q, cosines) - 1
    b = _inner(p, q, cosines)
    c = _inner(p, p, cosines)
    root = (b * b - a * c).clamp_min(0).sqrt()
    sign = torch.where(b < 0, -1.0, 1.0)
    both = torch.stack([-(b + sign * root) / a, -c / (b + sign * root)])  # the stable pair of formulas
    both = torch.where(both >= 0, both, math.nan)[..., None]
    return ((p + both * q) / lengths).reshape(-1, len(gramian))


def _inner(x: Tensor, y: Tensor, cosines: Tensor) -> Tensor:  # (N, T), (N, T), (T, T) -> (N,)
    "Inner products of the combined unit gradients."
    return ((x @ cosines) * y).sum(1)
