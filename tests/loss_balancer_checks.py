"""What a balancer that reads the losses must do, as checks of one example each."""

import math

import torch
from balancer_examples import close, on, resumes, resumes_short_period
from torch import Tensor


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
    "`has_factor` and `weight_needs_loss`, by which the engine takes short cuts, are true."
    balancer = kind(list(e.losses))
    if not balancer.weight_needs_loss:
        for t in e.losses:
            assert float(balancer.weight(t, torch.tensor(1.0))) == float(balancer.weight(t, torch.tensor(2.0)))
    for n in range(4):
        factor = balancer.finish({t: l * (1 + n) for t, l in e.losses.items()})
        assert balancer.has_factor or factor == 1.0


def _follows(term, squared=False):
    "The learned number of each task follows autograd and PyTorch's Adam on the method's own loss."

    def follows_the_formula(kind, e):
        options = dict(lr=0.03) | (dict(squared_errors=list(e.losses)) if squared else {})
        balancer = kind(list(e.losses), **options)
        s = torch.full((len(e.losses),), 0.0, dtype=torch.float64, requires_grad=True)
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


kendall = _follows(lambda s, L: torch.exp(-s) * L + s / 2)
kendall_squares = _follows(lambda s, L: torch.exp(-s) * L / 2 + s / 2, squared=True)
liebel = _follows(lambda s, L: torch.exp(-s) * L / 2 + torch.log(1 + torch.exp(s)))
impartial_losses = _follows(lambda s, L: torch.exp(s) * L - s)


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
    "RLW: sums to one over the tasks that came, new in each step, repeats with the seed."
    tasks = list(e.losses)
    balancer = kind(tasks, seed=e.seed)
    runs = []
    for other in (balancer, kind(tasks, seed=e.seed), kind(tasks, seed=e.seed + 1)):
        runs.append([final_weights(other, e.losses) for _ in range(40)])
    assert all(map(torch.equal, runs[0], runs[1]))
    assert not torch.equal(runs[0][0], runs[2][0])
    assert not torch.equal(runs[0][0], runs[0][1])
    close(torch.stack(runs[0]).sum(1), torch.ones(40), rtol=1e-12)
    close(final_weights(balancer, {tasks[0]: 1.0}).sum(), 1.0, rtol=1e-12)
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
