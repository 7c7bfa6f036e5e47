"""Examples for checks of balancers: kinds of gradients that give trouble, and how a check is run on
them.
"""

import io
import math
from typing import NamedTuple

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
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

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

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
    "Runs a check of a balancer on `count` examples, the same ones each time."
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
    "Whether some mean of the unit gradients vanishes, by least squares with weights ≥ 0."
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


def resumes(kind, e, **options):
    """Stopped, stored, loaded, continued: the same weights to the last bit.

    The state is readable without pickled classes.
    """
    tasks = list(e.losses)
    first, second = kind(tasks, **options), kind(tasks, **options)
    moves = []
    for n in range(12):
        losses = {}
        for i, (t, loss) in enumerate(e.losses.items()):
            if (n + i) % 4:
                losses[t] = loss * (1 + 0.3 * math.sin(5 * n + i))
        if losses:
            moves.append((losses, n))
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
