"""What a balancer that reads the Gramian or the gradients must do, as checks of one example each.

Used on the balancers themselves and on wrong versions of them, which they must reject.
"""

import math

import torch
from balancer_examples import (
    FAMILIES,
    NAMES,
    WELL,
    Example,
    close,
    direction,
    jacobian,
    on,
    pareto_stationary,
    resumes,
    step,
)
from loss_balancer_checks import LOSS_CHECKS
from scipy.optimize import nnls
from torch import Tensor


# ---------------------------------------------------------------- all that read the Gramian
@on(tasks=(1, 8))
def finite(kind, e):
    "Finite weights for every kind of Gramian, with zero gradients and absent tasks too."
    tasks = list(e.losses)
    for rows in ([], [0], range(len(tasks) - 1), range(len(tasks))):  # gradients that are zero
        J = e.J.clone()
        J[list(rows)] = 0
        w = kind(tasks).weights(J @ J.T, e.losses)
        assert w.shape == (len(tasks),) and w.dtype == torch.float64 and w.isfinite().all()
        assert (w @ J).norm() <= 1e3 * len(tasks) * max(1, e.J.norm().item())
    balancer = kind(NAMES)  # made for eight tasks, sees some of them
    for present in (tasks, tasks[:1], tasks[1:] or tasks):
        rows = [tasks.index(t) for t in present]
        assert balancer.weights(e.G[rows][:, rows], {t: e.losses[t] for t in present}).isfinite().all()


@on(families=tuple(f for f in FAMILIES if f != "scaled_rows"))
def permutation(kind, e):
    "The step does not depend on the order in which the tasks are named."
    order = torch.randperm(len(e.J), generator=torch.Generator().manual_seed(e.seed)).tolist()
    shuffled = {list(e.losses)[i]: list(e.losses.values())[i] for i in order}
    d = step(kind, e) @ e.J
    close(step(kind, e, e.G[order][:, order], shuffled) @ e.J[order], d, rtol=1e-6, atol=1e-9 * e.J.abs().max())


def _scales(power):
    def scaling(kind, e):
        w, k = step(kind, e), 7.0
        close(step(kind, e, k**2 * e.G), w * k**power, atol=1e-12)

    scaling.__doc__ = f"All gradients k times as long: weights times k^{power}."
    return on(families=("random", "conflicting", "scaled_up", "scaled_down", "agreeing"))(scaling)


scale_free = _scales(0)
scale_inverse = _scales(-1)


@on(families=("random", "conflicting", "scaled_rows"))
def positive(kind, e):
    "No negative weight."
    assert (step(kind, e) >= 0).all() and step(kind, e).max() > 0


@on(families=("random", "conflicting", "agreeing"))
def linear_in_lengths(kind, e):
    "The step is linear in the gradients' lengths: A(diag(x + y)J) = A(diag(x)J) + A(diag(y)J)."
    generator = torch.Generator().manual_seed(e.seed)
    x, y = (10 ** (2 * torch.rand(len(e.J), generator=generator, dtype=torch.float64) - 1) for _ in range(2))

    def scaled_step(lengths):
        J = lengths[:, None] * e.J
        return step(kind, e, J @ J.T) @ J

    close(scaled_step(x) + scaled_step(y), scaled_step(x + y))


def _same_with_other_lengths(of):
    def lengths_do_not_matter(kind, e):
        k = 10 ** (
            8 * torch.rand(len(e.J), 1, generator=torch.Generator().manual_seed(e.seed), dtype=torch.float64) - 4
        )
        d, other = step(kind, e) @ e.J, step(kind, e, (k * e.J) @ (k * e.J).T) @ (k * e.J)
        close(of(other), of(d), rtol=1e-5)

    return on(families=WELL)(lengths_do_not_matter)


same_step = _same_with_other_lengths(lambda d: d)
same_direction = _same_with_other_lengths(direction)


# ---------------------------------------------------------------- promises of single methods
def shortest(kind, e):
    "MGDA: on the simplex, and g_t·d ≥ ‖d‖² for all tasks: the certificate of the shortest vector."
    w = step(kind, e)
    d = w @ e.J
    assert (w >= 0).all()
    close(w.sum(), 1.0, rtol=1e-9)
    lengths = e.J.norm(dim=1)
    assert (d @ d - e.J @ d <= 1e-6 * d @ d + 1e-13 * lengths * (w * lengths).max()).all()


@on(families=WELL)
def shortest_of_normalized(kind, e):
    "MGDA with l2, loss and loss+: Σ w g is the shortest vector in the hull of g/n."
    L, lengths = torch.tensor(list(e.losses.values()), dtype=torch.float64), e.J.norm(dim=1)
    for name, n in {"l2": lengths, "loss": L, "loss+": L * lengths}.items():
        w = step(kind, e, normalization=name)
        d = w @ e.J
        close((w * n).sum(), 1.0, rtol=1e-9)
        assert (w >= 0).all() and (e.J @ d / n >= d @ d * (1 - 1e-6)).all()


def harms_none(kind, e):
    "g_t·d ≥ 0 for all tasks, to rounding."
    w = step(kind, e)
    d = w @ e.J
    lengths = e.J.norm(dim=1)
    assert (e.J @ d >= -1e-9 * lengths * d.norm() - 1e-12 * lengths * (w.abs() * lengths).max()).all()


@on(families=("agreeing",))
def mean_if_nobody_conflicts(kind, e):
    "Gradients that agree are left alone."
    close(step(kind, e) @ e.J, e.J.mean(0))


@on(families=("agreeing",))
def sum_if_nobody_conflicts(kind, e):
    close(step(kind, e) @ e.J, e.J.sum(0))


@on(families=("random", "conflicting"), tasks=(2, 2))
def two_projections(kind, e):
    "PCGrad of two: each gradient without its conflicting part."
    (a, b), inner = e.J, min(0.0, (e.J[0] @ e.J[1]).item())
    close(step(kind, e) @ e.J, a - inner / (b @ b) * b + b - inner / (a @ a) * a)


@on(families=("random", "conflicting"), tasks=(3, 6))
def some_order_of_projections(kind, e):
    "PCGrad: what is taken out of a gradient adds weight to others; so all are at least one."
    assert (step(kind, e) >= 1).all()
    if (e.G < 0).any():
        assert step(kind, e).max() > 1


def projections(kind, e):
    "UPGrad: each gradient's projection onto the cone, through an independent solver."
    lengths = e.J.norm(dim=1)
    U = (e.J / lengths[:, None]).numpy()
    d = sum(l * (u + U.T @ nnls(U.T, -u, maxiter=10_000)[0]) for l, u in zip(lengths.numpy(), U)) / len(U)
    close(step(kind, e) @ e.J, torch.from_numpy(d), rtol=1e-6, atol=1e-12 * lengths.max())


@on(families=("random", "conflicting", "dependent", "scaled_up", "scaled_down", "scaled_rows"))
def best_in_ball(kind, e):
    "CAGrad: on the sphere around the mean, and min g_t·d equals the dual value of its own α."
    mean, c = e.J.mean(0), (0.5, 1.5)[e.seed % 2]
    if pareto_stationary(e.J):
        return  # there the formula divides by zero: `harmless_where_nothing_can_be_gained`
    w = step(kind, e, c=c)
    d = w @ e.J
    close((d - mean).norm(), c * mean.norm(), rtol=1e-6)
    alpha = w - 1 / len(w)
    assert alpha.min() >= -1e-12
    alpha = alpha.clamp_min(0) / alpha.clamp_min(0).sum()
    dual = (alpha @ e.J) @ mean + c * mean.norm() * (alpha @ e.J).norm()
    lengths = e.J.norm(dim=1)
    assert ((dual - e.J @ d) / lengths).max() <= 1e-7 * mean.norm() + 1e-12 * (mean.norm() ** 2 / lengths).max()
    if c and (e.J @ mean).min() < (e.J @ mean).max() - 1e-9:
        assert (e.J @ d).min() >= (e.J @ mean).min() - 1e-9 * mean.norm() * lengths.max()


@on(families=("random", "conflicting", "scaled_up", "scaled_down", "scaled_rows"))
def equal_projections(kind, e):
    "IMTL-G: the same positive projection on all unit gradients."
    w = step(kind, e, losses=e.losses)
    p = e.J @ (w @ e.J) / e.J.norm(dim=1)
    assert (p > 0).all()
    close(p, p.mean().expand_as(p), rtol=1e-5)
    close(w.sum().abs(), 1.0)


@on(families=("random", "conflicting", "doubled", "agreeing", "scaled_up", "scaled_down", "scaled_rows"))
def bargained(kind, e):
    "Nash-MTL: w > 0 and w_t (Gw)_t = 1."
    w = step(kind, e)
    assert (w > 0).all()
    close(w * (e.G @ w), torch.ones(len(w)), rtol=1e-6)


@on(families=("random", "conflicting", "scaled_up", "scaled_down", "dependent"))
def aligned(kind, e):
    "Aligned-MTL: the mean of the rows of J, all nonzero singular values set to the smallest."
    U, S, V = torch.linalg.svd(e.J, full_matrices=False)
    keep = S > 1e-7 * S[0]
    close(step(kind, e) @ e.J, (S[keep].min() * U[:, keep] @ V[keep]).mean(0), rtol=1e-6)


@on(families=("random", "conflicting", "scaled_rows"))
def paced(kind, e):
    "GradNorm: follows autograd's gradient of its loss, by Adam, with the sum of the weights kept."
    tasks = list(e.losses)
    alpha = 1.5
    lr = 0.01
    balancer = kind(tasks, alpha=alpha, lr=lr)
    theirs = torch.ones(len(tasks), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([theirs], lr)
    first, lengths = torch.tensor(list(e.losses.values()), dtype=torch.float64), e.J.norm(dim=1)
    for n in range(6):
        losses = {t: l * (1 + 0.3 * math.sin(n + i)) if n else l for i, (t, l) in enumerate(e.losses.items())}
        close(balancer.weights(e.G, losses), theirs.detach(), rtol=1e-9)
        ratio = torch.tensor(list(losses.values()), dtype=torch.float64) / first
        norms = theirs * lengths
        target = (norms.mean() * (ratio / ratio.mean()) ** alpha).detach()
        adam.zero_grad()
        (norms - target).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            theirs *= len(tasks) / theirs.sum()


@on(families=("random", "conflicting"))
def learns_equal_lengths(kind, e):
    "GradNorm with α = 0: the longest gradient gets the smallest weight."
    balancer = kind(list(e.losses), alpha=0.0)
    k = torch.linspace(1, 4, len(e.J), dtype=torch.float64)[:, None]
    J = e.J / e.J.norm(dim=1, keepdim=True) * k
    for _ in range(60):
        w = balancer.weights(J @ J.T, e.losses)
    assert w[0] == w.max() and w[-1] == w.min() and w[0] > 1.3 * w[-1] and (w > 0).all()
    close(w.sum(), len(w), rtol=1e-9)


def at_pareto_point(e: Example) -> Tensor:
    "The example's gradients, the last one changed so that a positive combination vanishes."
    p = torch.rand(len(e.J), generator=torch.Generator().manual_seed(e.seed), dtype=torch.float64) + 0.2
    J = e.J.clone()
    J[-1] = -(p[:-1] @ J[:-1]) / p[-1]
    return J


@on(families=("conflicting",))
def stationary(kind, e):
    "Where a positive combination of the gradients vanishes there is no direction to take."
    J = at_pareto_point(e)
    assert (step(kind, e, J @ J.T) @ J).norm() <= 1e-6 * J.norm()


@on(families=("conflicting",))
def harmless_where_nothing_can_be_gained(kind, e):
    """CAGrad at Pareto-stationary points, exact or to 1e-7: in the ball, harming nobody.

    As far as the ball holds such a step.
    """
    J = at_pareto_point(e)
    c = 1.5
    J = J + 1e-8 * (e.seed % 2) * J.norm() * jacobian("random", len(J), e.seed)
    free = torch.cat([J, torch.zeros(len(J), 1, dtype=torch.float64)], 1)
    free = torch.cat(
        [free, torch.eye(free.shape[1], dtype=torch.float64)[-1:] * J.norm()]
    )  # one more task, at right angles to the others' trouble
    losses = dict.fromkeys([*e.losses, "free"], 1.0)
    for K, names in ((J, e.losses), (free, losses)):
        d = kind(list(names), c=c).weights(K @ K.T, names) @ K
        assert (d - K.mean(0)).norm() <= c * K.mean(0).norm() * (1 + 1e-6)
        assert (K @ d / K.norm(dim=1)).min() >= -1e-5 * K.mean(0).norm()
    assert K[-1] @ d > 0.1 * K[-1].norm() * K.mean(0).norm() / len(K)  # the task that can be helped for free is


def one_sign(kind, e):
    "GradDrop: each coordinate is its positive or its negative sum, with the right frequency."
    J = e.J.repeat(1, 200)
    d = kind(list(e.losses), seed=e.seed).combine(J, e.losses)
    up, down = J.clamp_min(0).sum(0), J.clamp_max(0).sum(0)
    tolerance = 1e-12 * J.abs().sum(0)
    assert (((d - up).abs() <= tolerance) | ((d - down).abs() <= tolerance)).all()
    took_up = ((d - up).abs() <= tolerance).double()
    purity = 0.5 * (1 + J.sum(0) / J.abs().sum(0))
    assert abs(took_up.mean() - purity.mean()) < 5 * (0.25 / took_up.numel()) ** 0.5
    assert ((took_up - 0.5) * (purity - 0.5)).sum() > 0 or (purity - 0.5).abs().max() < 0.1


@on(tasks=(2, 4), families=("random",))
def drops_anew(kind, e):
    "GradDrop draws anew in each step, and the leak lets through what it says."
    balancer = kind(list(e.losses))
    J = e.J.repeat(1, 50)
    a, b = balancer.combine(J, e.losses), balancer.combine(J, e.losses)
    assert not torch.equal(a, b)
    close(kind(list(e.losses), leak=dict.fromkeys(e.losses, 1.0)).combine(J, e.losses), J.sum(0), atol=1e-12)


@on(families=("random", "conflicting"))
def scales_losses_first(kind, e):
    "IMTL: IMTL-G's closed form on scaled gradients, scales that go to 1/L."
    balancer = kind(list(e.losses), lr=0.3)
    w = balancer.weights(e.G, e.losses)
    close(w, torch.linalg.solve(e.G, e.J.norm(dim=1)) / torch.linalg.solve(e.G, e.J.norm(dim=1)).sum().abs(), rtol=1e-5)
    for _ in range(120):
        w = balancer.weights(e.G, e.losses)
    inverse = 1 / torch.tensor(list(e.losses.values()), dtype=torch.float64)
    S = e.J * inverse[:, None]
    v = torch.linalg.solve(S @ S.T, S.norm(dim=1))
    close(w, inverse * v / v.sum().abs(), rtol=0.1)


GRAMIAN_CHECKS = {
    "mgda": [
        finite,
        permutation,
        scale_free,
        positive,
        shortest,
        shortest_of_normalized,
        harms_none,
        stationary,
        resumes,
    ],
    "upgrad": [
        finite,
        permutation,
        scale_free,
        positive,
        linear_in_lengths,
        harms_none,
        mean_if_nobody_conflicts,
        projections,
        stationary,
        resumes,
    ],
    "pcgrad": [
        finite,
        scale_free,
        positive,
        sum_if_nobody_conflicts,
        two_projections,
        some_order_of_projections,
        resumes,
    ],
    "cagrad": [finite, permutation, scale_free, positive, best_in_ball, harmless_where_nothing_can_be_gained, resumes],
    "imtl_g": [finite, permutation, scale_free, same_direction, equal_projections, resumes],
    "imtl": [finite, permutation, scale_free, scales_losses_first, resumes],
    "nash": [finite, permutation, scale_inverse, positive, same_step, harms_none, bargained, resumes],
    "aligned": [finite, permutation, scale_free, aligned, resumes],
    "gradnorm": [finite, permutation, scale_free, positive, paced, learns_equal_lengths, resumes],
    "graddrop": [one_sign, drops_anew, resumes],
}
CHECKS = GRAMIAN_CHECKS | LOSS_CHECKS
