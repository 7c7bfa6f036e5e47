"""What a balancer must do, as checks of one example each: used on the balancers themselves and on wrong versions of them, which they must reject."""

import math
from typing import NamedTuple
import torch
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from scipy.optimize import nnls
from torch import Tensor

NAMES = "abcdefgh"
FAMILIES = ("random", "conflicting", "dependent", "scaled_rows", "scaled_up", "scaled_down", "doubled", "agreeing")


class Example(NamedTuple):
    J: Tensor  # (T, P) gradients
    losses: dict  # task -> loss
    seed: int

    @property
    def G(self):
        return self.J @ self.J.T


def jacobian(family: str, num_tasks: int, seed: int, columns: int = 12) -> Tensor:
    "(T, columns) float64 gradients of a kind that gives trouble."
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    J = draw(num_tasks, columns)
    if family == "conflicting":
        J = J - 1.5 / max(2, num_tasks) * J.sum(0)
    if family == "dependent":
        J = draw(num_tasks, max(1, num_tasks - 1)) @ draw(max(1, num_tasks - 1), columns)
    if family == "scaled_rows":
        J = J * 10 ** (8 * torch.rand(num_tasks, 1, generator=generator, dtype=torch.float64) - 4)
    if family == "scaled_up":
        J = 1e4 * J
    if family == "scaled_down":
        J = 1e-4 * J
    if family == "doubled" and num_tasks > 1:
        J[1] = J[0]
    if family == "agreeing":
        J = J.abs()
    return J


@st.composite
def examples(draw, families=FAMILIES, tasks=(2, 8)):
    seed, T = draw(st.integers(0, 2**31)), draw(st.integers(*tasks))
    generator = torch.Generator().manual_seed(seed + 1)
    losses = {t: 0.1 + 5 * torch.rand((), generator=generator, dtype=torch.float64).item() for t in NAMES[:T]}
    return Example(jacobian(draw(st.sampled_from(families)), T, seed), losses, seed)


def holds(check, kind, count: int = 25):
    "Runs a check of a balancer on `count` examples, the same ones each time; raises the check's AssertionError."
    strategy = examples(**getattr(check, "on", {}))

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example):
        check(kind, example)

    run()


def on(**limits):
    "The examples that a check is for."

    def mark(check):
        check.on = limits
        return check

    return mark


def pareto_stationary(J: Tensor) -> bool:
    "Whether some mean of the unit gradients vanishes, by least squares with weights that are not negative."
    unit = torch.cat([(J / J.norm(dim=1, keepdim=True)).T, torch.ones(1, len(J), dtype=torch.float64)])
    return nnls(unit.numpy(), [0.0] * J.shape[1] + [1.0])[1] < 1e-5


def step(kind, e: Example, G=None, losses=None, **options) -> Tensor:  # (T,)
    return kind(list(e.losses), **options).weights(e.G if G is None else G, losses or e.losses)


def close(a, b, rtol=1e-6, atol=0.0):
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    assert a.isfinite().all() and (a - b).abs().max() <= rtol * b.abs().max() + atol, (
        f"off by {(a - b).abs().max():.1e} of {b.abs().max():.1e}"
    )


def direction(d):
    return d / d.norm().clamp_min(1e-300)


WELL = ("random", "scaled_up", "scaled_down")  # independent gradients, one scale


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


scale_free, scale_inverse = _scales(0), _scales(-1)


@on(families=("random", "conflicting", "scaled_rows"))
def positive(kind, e):
    "No negative weight."
    assert (step(kind, e) >= 0).all() and step(kind, e).max() > 0


@on(families=("random", "conflicting", "agreeing"))
def linear_in_lengths(kind, e):
    "The step is linear in the lengths of the gradients: A(diag(x + y) J) = A(diag(x) J) + A(diag(y) J)."
    generator = torch.Generator().manual_seed(e.seed)
    x, y = (10 ** (2 * torch.rand(len(e.J), generator=generator, dtype=torch.float64) - 1) for _ in range(2))
    d = [step(kind, e, (k[:, None] * e.J) @ (k[:, None] * e.J).T) @ (k[:, None] * e.J) for k in (x, y, x + y)]
    close(d[0] + d[1], d[2])


def _same_with_other_lengths(of):
    def lengths_do_not_matter(kind, e):
        k = 10 ** (
            8 * torch.rand(len(e.J), 1, generator=torch.Generator().manual_seed(e.seed), dtype=torch.float64) - 4
        )
        d, other = step(kind, e) @ e.J, step(kind, e, (k * e.J) @ (k * e.J).T) @ (k * e.J)
        close(of(other), of(d), rtol=1e-5)

    return on(families=WELL)(lengths_do_not_matter)


same_step, same_direction = _same_with_other_lengths(lambda d: d), _same_with_other_lengths(direction)


def resumes(kind, e, **options):
    "Stopped, stored, loaded, continued: the same weights to the last bit, and the state is readable without pickled classes."
    import io

    tasks = list(e.losses)
    first, second = kind(tasks, **options), kind(tasks, **options)
    moves = [
        ({t: l * (1 + 0.3 * math.sin(5 * n + i)) for i, (t, l) in enumerate(e.losses.items()) if (n + i) % 4}, n)
        for n in range(12)
    ]
    moves = [(l, n) for l, n in moves if l]
    use(first, moves[:6], e, tasks)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for a, b in zip(use(first, moves[6:], e, tasks), use(second, moves[6:], e, tasks)):
        assert torch.equal(a, b)


def resumes_short_period(kind, e):
    resumes(kind, e, period=2)


def use(balancer, moves, e, tasks) -> list[Tensor]:
    "The weights, or the step, of several steps in which tasks come and go."
    out = []
    for losses, n in moves:
        rows = [tasks.index(t) for t in losses]
        J = e.J[rows] * (1 + 0.1 * n)
        if balancer.needs == "gramian":
            out.append(balancer.weights(J @ J.T, losses))
        elif balancer.needs == "gradients":
            out.append(balancer.combine(J, losses))
        else:
            w = torch.tensor(
                [float(balancer.weight(t, torch.tensor(l))) for t, l in losses.items()], dtype=torch.float64
            )
            out.append(w * balancer.finish(losses))
            if balancer.wants_losses_after:
                balancer.after_step({t: l * (0.9 - 0.1 * k) for k, (t, l) in enumerate(losses.items())})
    return out


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
    "PCGrad: each part of the step is orthogonal to, or agrees with, the task it was projected on last; so the weights are at least one."
    assert (step(kind, e) >= 1).all()
    if (e.G < 0).any():
        assert step(kind, e).max() > 1


def projections(kind, e):
    "UPGrad: by Moreau's theorem v ≥ u, Gv ≥ 0 and (v - u)·Gv = 0 for each projection; here through an independent solver."
    from scipy.optimize import nnls

    lengths = e.J.norm(dim=1)
    U = (e.J / lengths[:, None]).numpy()
    d = sum(l * (u + U.T @ nnls(U.T, -u, maxiter=10_000)[0]) for l, u in zip(lengths.numpy(), U)) / len(U)
    close(step(kind, e) @ e.J, torch.from_numpy(d), rtol=1e-6, atol=1e-12 * lengths.max())


@on(families=("random", "conflicting", "dependent", "scaled_up", "scaled_down", "scaled_rows"))
def best_in_ball(kind, e):
    "CAGrad: on the sphere around the mean, and weak duality closes: min g_t·d equals the dual value of its own α."
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
    "Aligned-MTL: the mean of the rows of J with all its nonzero singular values set to the smallest."
    U, S, V = torch.linalg.svd(e.J, full_matrices=False)
    keep = S > 1e-7 * S[0]
    close(step(kind, e) @ e.J, (S[keep].min() * U[:, keep] @ V[keep]).mean(0), rtol=1e-6)


@on(families=("random", "conflicting", "scaled_rows"))
def paced(kind, e):
    "GradNorm: follows autograd's gradient of its loss, by Adam, with the sum of the weights kept; long gradients end with small weights."
    tasks, alpha, lr = list(e.losses), 1.5, 0.01
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
    "The example's gradients with the last one changed so that a positive combination of them vanishes."
    p = torch.rand(len(e.J), generator=torch.Generator().manual_seed(e.seed), dtype=torch.float64) + 0.2
    J = e.J.clone()
    J[-1] = -(p[:-1] @ J[:-1]) / p[-1]
    return J


@on(families=("conflicting",))
def stationary(kind, e):
    "At a point where a positive combination of the gradients vanishes there is no direction to take."
    J = at_pareto_point(e)
    assert (step(kind, e, J @ J.T) @ J).norm() <= 1e-6 * J.norm()


@on(families=("conflicting",))
def harmless_where_nothing_can_be_gained(kind, e):
    "CAGrad at Pareto-stationary points, exact or to 1e-7: within the ball and, where the ball holds such a step, nobody is harmed."
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
    "GradDrop: each coordinate is the sum of its positive or of its negative entries, with the right frequency."
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


# ---------------------------------------------------------------- those that read the losses
def final_weights(balancer, losses) -> Tensor:  # (T,)
    "Weights of a step, its common factor included."
    w = torch.tensor(
        [float(balancer.weight(t, torch.tensor(l, dtype=torch.float64))) for t, l in losses.items()],
        dtype=torch.float64,
    )
    return w * balancer.finish(losses)


@on(families=("random",))
def finite_and_positive(kind, e):
    "Finite, positive weights, for losses of every size, and with absent tasks."
    tasks = list(e.losses)
    balancer = kind(tasks)
    for n, size in enumerate((1.0, 1e4, 1e-4, 1e-30, 0.0)):
        losses = {t: l * size for i, (t, l) in enumerate(e.losses.items()) if (i + n) % 3 or n == 0}
        for _ in range(3):
            if not losses:
                continue
            w = final_weights(balancer, losses)
            assert w.isfinite().all() and (w > 0).all()
            if balancer.wants_losses_after:
                balancer.after_step(losses)


@on(families=("random",))
def does_not_touch(kind, e):
    "The loss tensor is not read: a tensor without values will do."
    balancer = kind(list(e.losses))
    try:
        for t in e.losses:
            balancer.weight(t, torch.empty((), device="meta"))
    except RuntimeError as error:
        raise AssertionError("the loss was read") from error


@on(families=("random",))
def looking_changes_nothing(kind, e):
    "`weight` may be called as often as one likes, in any order."
    balancer = kind(list(e.losses))
    before = [float(balancer.weight(t, torch.tensor(l))) for t, l in e.losses.items()]
    assert before == [float(balancer.weight(t, torch.tensor(l))) for t, l in reversed(e.losses.items())][::-1]


@on(families=("random",))
def flags_tell_the_truth(kind, e):
    "`has_factor` and `weight_needs_loss`, by which the engine takes short cuts, are what the class does."
    balancer = kind(list(e.losses))
    if not balancer.weight_needs_loss:
        for t in e.losses:
            assert float(balancer.weight(t, torch.tensor(1.0))) == float(balancer.weight(t, torch.tensor(2.0)))
    for n in range(4):
        factor = balancer.finish({t: l * (1 + n) for t, l in e.losses.items()})
        assert balancer.has_factor or factor == 1.0


def _follows(term, start, to_weight, squared=None):
    "The learned number of each task follows autograd and PyTorch's Adam on the method's own loss."

    def follows_the_formula(kind, e):
        options = dict(lr=0.03) | (dict(squared_errors=list(e.losses)) if squared else {})
        balancer = kind(list(e.losses), **options)
        s = torch.full((len(e.losses),), float(start), dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([s], 0.03)
        for n in range(15):
            losses = {t: l * (1 + 0.5 * math.sin(n + i)) for i, (t, l) in enumerate(e.losses.items())}
            values = torch.tensor(list(losses.values()), dtype=torch.float64, requires_grad=True)
            total = term(s, values).sum()
            (w,) = torch.autograd.grad(total, values, retain_graph=True)
            close(final_weights(balancer, losses), w, rtol=1e-9)
            adam.zero_grad()
            total.backward()
            adam.step()

    return on(families=("random",))(follows_the_formula)


kendall = _follows(lambda s, L: torch.exp(-s) * L + s / 2, 0, None)
kendall_squares = _follows(lambda s, L: torch.exp(-s) * L / 2 + s / 2, 0, None, squared=True)
liebel = _follows(lambda s, L: torch.exp(-s) * L / 2 + torch.log(1 + torch.exp(s)), 0, None)
impartial_losses = _follows(lambda s, L: torch.exp(s) * L - s, 0, None)


@on(families=("random",))
def geometric(kind, e):
    "GLS: autograd of the geometric mean."
    values = torch.tensor(list(e.losses.values()), dtype=torch.float64, requires_grad=True)
    (w,) = torch.autograd.grad(values.log().mean().exp(), values)
    close(final_weights(kind(list(e.losses)), e.losses), w, rtol=1e-9)


@on(families=("random",))
def slower_gets_more(kind, e):
    "DWA: sum T, the formula of the paper on two periods, more weight where the loss falls less."
    tasks, T = list(e.losses), len(e.losses)
    balancer = kind(tasks, period=3)
    fall = torch.linspace(0.3, 0.9, T, dtype=torch.float64)
    for n in range(6):
        close(
            final_weights(
                balancer, {t: l * (f if n >= 3 else 1.0) for (t, l), f in zip(e.losses.items(), fall.tolist())}
            ),
            torch.ones(T),
        )
    w = final_weights(balancer, e.losses)
    close(w, T * torch.softmax(fall / 2, 0))
    assert (w.diff() > 0).all()


@on(families=("random",))
def random_softmax(kind, e):
    "RLW: sums to one over the tasks that came, differs from step to step, repeats with the seed, normal logits."
    tasks = list(e.losses)
    a, b, other = kind(tasks, seed=e.seed), kind(tasks, seed=e.seed), kind(tasks, seed=e.seed + 1)
    runs = [[final_weights(x, e.losses) for _ in range(40)] for x in (a, b, other)]
    assert (
        all(map(torch.equal, *runs[:2]))
        and not torch.equal(runs[0][0], runs[2][0])
        and not torch.equal(runs[0][0], runs[0][1])
    )
    close(torch.stack(runs[0]).sum(1), torch.ones(40), rtol=1e-12)
    close(final_weights(a, {tasks[0]: 1.0}).sum(), 1.0, rtol=1e-12)
    logits = torch.stack(runs[0]).log()
    spread = (logits - logits.mean(1, keepdim=True)).std()
    assert 0.4 < spread < 1.6


@on(families=("random",))
def equal_relative_pace(kind, e):
    "FAMO: ∝ z/L with sum one; a task that falls less than the others gains."
    tasks = list(e.losses)
    balancer, L = kind(tasks), torch.tensor(list(e.losses.values()), dtype=torch.float64)
    close(final_weights(balancer, e.losses), (1 / L) / (1 / L).sum())
    for n in range(10):
        balancer.finish(e.losses)
        balancer.after_step({t: l * (0.9 if i else 1.0) for i, (t, l) in enumerate(e.losses.items())})
    w = final_weights(balancer, e.losses)
    close(w.sum(), 1.0)
    share = w * L / (w * L).sum()
    assert share[0] == share.max() and share[0] > 1.05 / len(L)


@on(families=("random",))
def as_given(kind, e):
    "Fixed weights are the given ones, by name and by position; others are one."
    tasks = list(e.losses)
    given_weights = {t: 0.5 + i for i, t in enumerate(tasks)}
    for weights in (given_weights, list(given_weights.values())):
        close(final_weights(kind(tasks, weights), e.losses), torch.tensor(list(given_weights.values())))
    close(final_weights(kind(tasks), e.losses), torch.ones(len(tasks)))


_ALWAYS = [finite_and_positive, looking_changes_nothing, flags_tell_the_truth, resumes]
LOSS_CHECKS = {
    "fixed": [*_ALWAYS, does_not_touch, as_given],
    "uncertainty": [*_ALWAYS, does_not_touch, kendall, kendall_squares],
    "uncertainty_positive": [*_ALWAYS, does_not_touch, liebel],
    "imtl_l": [*_ALWAYS, does_not_touch, impartial_losses],
    "geometric_mean": [*_ALWAYS, geometric],
    "dwa": [*_ALWAYS, resumes_short_period, does_not_touch, slower_gets_more],
    "famo": [*_ALWAYS, equal_relative_pace],
    "random": [*_ALWAYS, does_not_touch, random_softmax],
}
CHECKS = GRAMIAN_CHECKS | LOSS_CHECKS
