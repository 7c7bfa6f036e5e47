"""Affinity from a look ahead: against quadratic losses whose answer is known, weights and
statistics back digit for digit, a run that goes on as if nobody had looked.
"""

import inspect
import itertools
import random
import textwrap
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn
import mtl_course.studies.affinity as affinity
from mtl_course.studies.affinity import (
    adam_moves,
    affinity_summary,
    effect_verdict,
    gradient_moves,
    look_ahead,
    measure_affinity,
    should_i_share,
    task_affinity,
    task_gradients,
    untouched,
)
from mtl_course.core.errors import UserError
from mtl_course.config import make_config
from mtl_course.models.checkpoint import read_checkpoint
from mtl_course.training.loop import train

TASKS = ("a", "b", "c")


def quadratic(seed=0, n=5):
    "Two shared tensors and three losses ½|θ − cⱼ|²·kⱼ + 1, each with a curvature of its own."
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    shared = [nn.Parameter(draw(n)), nn.Parameter(draw(2, 3))]
    goals, k = {t: [draw(n), draw(2, 3)] for t in TASKS}, dict(a=1.0, b=0.3, c=2.0)

    def loss(task):
        distances = [(p - c).square().sum() for p, c in zip(shared, goals[task])]
        return 1 + k[task] / 2 * sum(distances)

    losses = {t: partial(loss, t) for t in TASKS}

    def flat(ts):
        return torch.cat([t.detach().reshape(-1) for t in ts]).numpy()

    return shared, losses, flat(shared), {t: flat(c) for t, c in goals.items()}, k


def by_hand(theta, goals, k, eta):
    "(i, j) -> Z, from the formula."

    def loss(at, j):
        return 1 + k[j] / 2 * ((at - goals[j]) ** 2).sum()

    affinity = {}
    for i, j in itertools.product(TASKS, TASKS):
        moved = theta - eta * k[i] * (theta - goals[i])
        affinity[i, j] = 1 - loss(moved, j) / loss(theta, j)
    return affinity


def check_toy(look=look_ahead, take=task_gradients, moves=gradient_moves):
    for seed, eta in ((0, 0.1), (1, 0.7), (2, 1e-3)):
        shared, losses, theta, goals, k = quadratic(seed)
        before = [p.detach().clone() for p in shared]
        gradients, values = take(shared, losses)
        z = look(shared, losses, moves(gradients, eta), values)
        expected = by_hand(theta, goals, k, eta)
        assert list(z) == list(expected) and np.allclose(
            list(z.values()), list(expected.values()), rtol=1e-10, atol=1e-14
        )
        assert all(torch.equal(p, b) and p.grad is None for p, b in zip(shared, before))


def test_quadratic_losses_have_the_affinity_of_the_formula():
    check_toy()


def mutated(function, old, new):
    "The same function with a piece of its source exchanged."
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source
    names = dict(vars(affinity))
    exec(source.replace(old, new), names)
    return names[function.__name__]


@pytest.mark.parametrize(
    "function,argument,old,new",
    [
        (look_ahead, "look", "1 - float(loss()) / before[target]", "float(loss()) / before[target] - 1"),  # sign
        (look_ahead, "look", "affinity[source, target]", "affinity[target, source]"),  # who does it to whom
        (look_ahead, "look", "/ before[target]", "/ before[source]"),  # relative to the other loss
        (
            look_ahead,
            "look",
            "torch._foreach_copy_(list(shared), old)",
            "torch._foreach_sub_(list(shared), move)",
        ),  # back by subtracting: rounding stays
        (
            look_ahead,
            "look",
            "torch._foreach_add_(list(shared), move)",
            "torch._foreach_add_(list(shared)[:1], move[:1])",
        ),  # a part of the weights only
        (gradient_moves, "moves", ", -rate)", ", rate)"),
        (task_gradients, "take", "losses.items()", "reversed(losses.items())"),
    ],
)
def test_a_mutation_is_noticed(function, argument, old, new):
    with pytest.raises((AssertionError, KeyError, RuntimeError)):
        check_toy(**{argument: mutated(function, old, new)})


def test_weights_come_back_when_a_loss_breaks():
    shared, losses, *_ = quadratic()
    before = [p.detach().clone() for p in shared]
    gradients, values = task_gradients(shared, losses)

    def broken():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        look_ahead(shared, losses | dict(b=broken), gradient_moves(gradients, 0.3), values)
    assert all(torch.equal(p, b) for p, b in zip(shared, before))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_loss_without_a_relative_change_is_refused(value):
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(UserError, match="'a'"):
        task_gradients([p], dict(a=lambda: p.sum() * 0 + value))


def test_an_unused_parameter_has_a_zero_gradient():
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    gradients, _ = task_gradients([p, q], dict(a=lambda: p.sum()))
    assert gradients["a"][0].tolist() == [1, 1] and gradients["a"][1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adams_move_has_its_direction_and_one_length(kind):
    torch.manual_seed(0)
    shared = [nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(3, 2))]
    optimizer, squares = kind(shared, 1e-2, betas=(0.9, 0.95), eps=1e-6), [0.0, 0.0]
    for _ in range(3):
        for k, p in enumerate(shared):
            p.grad = torch.randn_like(p) * 10**k
            squares[k] = 0.95 * squares[k] + 0.05 * p.grad.double() ** 2
        optimizer.step()
    gradients = dict(
        a=[torch.randn_like(p) for p in shared],
        b=[1e-3 * torch.randn_like(p) for p in shared],
        none=[torch.zeros_like(p) for p in shared],
    )
    moves = adam_moves(gradients, shared, optimizer, 1e-4)
    for task in "ab":
        by_hand = torch.cat(
            [(-g.double() / ((v / (1 - 0.95**3)).sqrt() + 1e-6)).flatten() for g, v in zip(gradients[task], squares)]
        )
        given = torch.cat([m.double().flatten() for m in moves[task]])
        assert torch.allclose(
            given, by_hand * 1e-4 / by_hand.square().mean().sqrt(), rtol=1e-5
        ) and given.square().mean().sqrt() == pytest.approx(1e-4, rel=1e-5)
    assert all((m == 0).all() for m in moves["none"])


def test_adams_move_needs_adam():
    p = nn.Parameter(torch.ones(2))
    for optimizer in (torch.optim.SGD([p], 0.1), torch.optim.Adam([p])):
        with pytest.raises(UserError, match="rule='gradient'"):
            adam_moves(dict(a=[torch.ones(2)]), [p], optimizer, 1e-4)


def test_untouched_brings_everything_back():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    old = {k: v.clone() for k, v in net.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.raises(ValueError), untouched(net):
        net(torch.randn(2, 3, 8, 8))
        random.random()
        np.random.rand()
        with torch.no_grad():
            net[0].weight.mul_(1.1)
        assert not torch.equal(net[1].running_mean, old["1.running_mean"])
        raise ValueError
    assert all(torch.equal(v, old[k]) for k, v in net.state_dict().items())
    assert (
        random.getstate() == states[0]
        and np.random.get_state()[1].tolist() == states[1]
        and torch.equal(torch.get_rng_state(), states[2])
    )


@pytest.fixture(scope="module")
def looked(smoke):
    "A short run with a look before the second and third step."
    return measure_affinity(
        make_config("smoke", steps_per_epoch=3, epochs=1, classification_batch_size=8), 3, 1, progress=False
    )


def test_the_run_goes_on_as_if_nobody_had_looked(looked, tmp_path):
    train(
        make_config("smoke", steps_per_epoch=3, epochs=1, classification_batch_size=8, results_dir=str(tmp_path)),
        progress=False,
    )
    saved, run = read_checkpoint(tmp_path / "checkpoints" / "last.pt"), looked[2]
    assert run.step == 3 and all(torch.equal(v, saved["model"][k]) for k, v in run.model.state_dict().items())
    ours = run.optimizer.state_dict()["state"]
    for parameter, state in saved["optimizer"]["state"].items():
        assert all(torch.equal(ours[parameter][k], v) for k, v in state.items())


def test_the_tables_have_every_pair_and_stage(looked):
    table, cosines, run = looked
    assert (
        len(table) == 2 * 9
        and set(table.step) == {1, 2}
        and set(cosines.stage) == {"stem", "layer1", "layer2", "layer3", "layer4", "trunk"}
        and len(cosines) == 2 * 6 * 3
    )
    assert np.isfinite(table.affinity).all() and cosines.cosine.abs().max() <= 1
    assert (table[table.source == table.target].affinity > 0).all()  # a small step for oneself helps oneself
    pd.testing.assert_frame_equal(
        task_affinity(run.config, 3, 1, progress=False), table, check_exact=True
    )  # the same digits again


@pytest.mark.parametrize(
    "fields,arguments,words",
    [
        (dict(tasks=("lane",)), {}, "two or more"),
        (dict(task_sampling="temperature"), {}, "task_sampling"),
        (dict(lane_every=2), {}, "set lane_every to 1"),
        ({}, dict(rule="magic"), "magic"),
        ({}, dict(every=4), "every is 4"),
        ({}, dict(every=0), "every is 0"),
        ({}, dict(steps=9), "9 steps"),
        (dict(freeze_backbone=True), {}, "share no weights"),
    ],
)
def test_what_cannot_be_measured_is_said(smoke, fields, arguments, words):
    with pytest.raises(UserError, match=words):
        measure_affinity(
            make_config("smoke", **dict(steps_per_epoch=4, epochs=1) | fields),
            **dict(steps=4, every=1, progress=False) | arguments,
        )


def table_of(values, seeds=(0, 1, 2), wobble=0.001):
    "A made-up table: (i, j) -> mean Z."
    rng = np.random.default_rng(0)
    rows = []
    for seed, step, ((source, target), z) in itertools.product(seeds, (10, 20), values.items()):
        affinity = z + (seed - 1) * wobble + 1e-5 * rng.standard_normal()
        rows.append(dict(seed=seed, step=step, source=source, target=target, affinity=affinity))
    return pd.DataFrame(rows)


def test_the_interval_is_over_seeds_where_there_are_several():
    table = table_of({("a", "a"): 0.1, ("b", "b"): 0.2, ("a", "b"): 0.02, ("b", "a"): -0.01})
    row = affinity_summary(table).set_index(["source", "target"]).loc[("a", "b")]
    means = table[(table.source == "a") & (table.target == "b")].groupby("seed").affinity.mean()
    half = stats.t.ppf(0.975, 2) * means.std() / 3**0.5
    assert (
        row.n == 3
        and np.isclose(row["mean"], means.mean())
        and np.isclose(row.high - row["mean"], half)
        and np.isclose(row.own, 0.2, atol=1e-4)
    )
    single = affinity_summary(table[table.seed == 0])
    assert (single.n == 2).all()  # two looks


def test_the_verdict_is_the_side_of_zero():
    assert [
        effect_verdict(0.1, 0.2, 3),
        effect_verdict(-0.2, -0.1, 3),
        effect_verdict(-0.1, 0.1, 3),
        effect_verdict(np.nan, np.nan, 3),
    ] == [
        "helps",
        "hurts",
        "unclear",
        "unclear",
    ]
    for ends, seeds in itertools.product(((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1)), (1, 2)):
        assert effect_verdict(*ends, seeds) == "too few seeds"


@pytest.mark.parametrize(
    "seeds,over",
    [
        ((0, 1), "Means over 2 seeds, and a verdict takes 3 seeds."),
        ((1,), "Means over 2 looks of one run, and a verdict takes 3 seeds."),
    ],
)
def test_a_narrow_interval_of_few_seeds_is_no_verdict(seeds, over):
    table = table_of(dict.fromkeys(itertools.product("ab", "ab"), 0.05), seeds, wobble=0)
    assert (affinity_summary(table).low > 0).all()
    for made in (table, table.drop(columns="seed")) if len(seeds) == 1 else (table,):
        text = should_i_share(made)
        assert (
            text.count("too few seeds") == 3
            and "a and b: too few seeds." in text
            and over in text
            and not any(w in text for w in ("helps", "hurts", "share."))
        )


@pytest.mark.parametrize(
    "there,back,advice",
    [
        (0.05, 0.05, "a and b: share."),
        (-0.05, -0.05, "a and b: keep apart"),
        (0.05, -0.05, "one gains and one loses"),
        (0.0, 0.0, "nothing is clear"),
        (0.05, 0.0, "speaks for sharing"),
        (0.0, -0.05, "speaks against sharing"),
    ],
)
def test_the_report_says_what_the_table_says(there, back, advice):
    text = should_i_share(table_of({("a", "a"): 0.1, ("b", "a"): back, ("a", "b"): there, ("b", "b"): 0.2}))
    assert advice in text and "3 seeds" in text and "a: a step for itself lowers its loss by 10.00 %" in text
    if abs(there) > 0.01:
        assert (
            f"an equally long step for a {'lowers' if there > 0 else 'raises'} it by 5.00" in text
            and f"{'helps' if there > 0 else 'hurts'}." in text
        )
