"""The benchmark of the ways to get the tasks' gradients.

All ways agree, memory is counted by storage, stacking walks the graphs T times.
"""

import itertools
import sys

import pandas as pd
import pytest
import torch
from conftest import load_benchmark
from mtl_course.core.errors import UserError
from mtl_course.losses import make_balancer
from mtl_course.plots.balancing import WAYS, cost_figure
from torch import nn


class SmallTrunk(nn.Module):
    "Two convolutions in place of a ResNet: many activations, few parameters."

    channels = {"c5": 8}

    def __init__(self, name, tasks):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1), nn.Tanh())

    def forward(self, images, task):
        return {"c5": self.layers(images)}


@pytest.fixture
def cost(monkeypatch):
    module = load_benchmark("balancing_cost")
    monkeypatch.setattr(sys.modules["balancing_ways"], "Backbone", SmallTrunk)
    return module


def problem(cost, tasks=3, images="own", precision="float32"):
    return cost.Problem(tasks, "resnet18", 16, 4, "cpu", precision, images)


def need_torchjd(*ways):
    if any(way.startswith(("torchjd", "autogram")) for way in ways):
        pytest.importorskip("torchjd.autogram")


def jacobian(p):
    "A row of plain gradients for each task."
    rows = []
    for loss in p.losses():
        grads = torch.autograd.grad(loss, p.shared, retain_graph=True)
        rows.append(torch.cat([g.reshape(-1) for g in grads]))
    return torch.stack(rows).double()


WAYS_AND_IMAGES = [
    *((way, "own") for way in ("streamed", "separate", "stacked", "torchjd", "torchjd_saving", "autogram")),
    *((way, "shared") for way in ("separate", "torchjd", "torchjd_saving", "autogram")),
]


def test_live_bytes_are_those_of_storages_that_are_still_alive(cost):
    with cost.LiveBytes() as live:
        a = torch.zeros(1000)
        b = a * 2  # 4000 bytes each
        assert live.now == live.peak == 8000
        view = b.view(10, 100)
        b.add_(1)  # nothing new
        assert live.now == 8000
        del a
        c = b + 1
        assert live.now == live.peak == 8000 and view.shape == (10, 100)
        del b, view, c
    assert live.now == 0 and live.peak == 8000


def test_live_bytes_see_what_a_graph_keeps(cost):
    x = torch.ones(1000, requires_grad=True)
    with cost.LiveBytes() as live:
        y = x.exp().sum()  # exp keeps its result
        assert 4000 <= live.now < 4100
        y.backward()
        assert live.peak >= 8000  # … until the gradient has been made
    assert 4000 <= live.now < 4100 and x.grad is not None  # now the gradient alone


@pytest.mark.parametrize("way, images", WAYS_AND_IMAGES)
@pytest.mark.parametrize("balancer", ["upgrad", "mgda"])
def test_all_ways_make_the_same_gradient(cost, way, images, balancer):
    need_torchjd(way)
    p = problem(cost, images=images)
    p.clear()
    J = jacobian(p)
    weights = make_balancer(balancer, p.names).weights(J @ J.T, dict.fromkeys(p.names, 1.0))
    expected = weights @ J
    _, gradient = cost.memory(p, way, balancer)
    theirs = way.startswith(("torchjd", "autogram"))
    tolerance = 2e-2 if theirs else 1e-4  # TorchJD's solvers regularise or stop early
    assert (gradient - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize("way, images", WAYS_AND_IMAGES)
def test_exact_ways_see_the_same_gramian(cost, way, images):
    need_torchjd(way)
    p = problem(cost, images=images, precision="float64")
    J = jacobian(p)
    cost.WAYS[way](p, "upgrad")
    torch.testing.assert_close(p.gramian, J @ J.T, rtol=1e-9, atol=0)


@pytest.mark.parametrize("images", ["own", "shared"])
def test_the_benchmark_compares_the_gramians(cost, images):
    need_torchjd("torchjd")
    differences = cost.gramian_differences(images, "upgrad")
    compared = [way for way in cost.FOR_IMAGES[images] if way not in ("summed", "fixed")]
    assert list(differences) == compared and max(differences.values()) <= cost.TOLERANCE


def test_a_way_with_another_gramian_is_refused(cost, monkeypatch):
    def wrong(p, name, real=cost.WAYS["separate"]):
        real(p, name)
        p.gramian = p.gramian * (1 + 1e-6)

    monkeypatch.setitem(cost.WAYS, "separate", wrong)
    monkeypatch.setitem(cost.FOR_IMAGES, "own", ("summed", "streamed", "separate"))
    with pytest.raises(UserError, match="one backward pass per loss: 1.0e-06 away from"):
        cost.gramian_differences("own", "upgrad")


def test_gradients_at_the_features_have_another_gramian(cost):
    "… but the combined gradient is exact for the weights that come of it."
    p = problem(cost, images="shared", precision="float64")
    J = jacobian(p)
    p.clear()
    cost.WAYS["shared_input"](p, "mgda")
    used = torch.tensor(p.weights, dtype=torch.float64)
    expected = used @ J
    assert (p.gradient() - expected).norm() < 1e-9 * expected.norm()
    weights = make_balancer("mgda", p.names).weights(J @ J.T, dict.fromkeys(p.names, 1.0))
    assert (used - weights).abs().max() > 1e-3


def test_fixed_weights_make_the_sum(cost):
    p = problem(cost)
    (_, a), (_, b) = cost.memory(p, "summed", "upgrad"), cost.memory(p, "fixed", "upgrad")
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "way, images, walks",
    [
        ("summed", "own", 3),
        ("fixed", "own", 3),
        ("streamed", "own", 3),
        ("separate", "own", 3),
        ("stacked", "own", 9),
        ("summed", "shared", 1),
        ("shared_input", "shared", 1),
        ("separate", "shared", 3),
    ],
)
def test_how_often_the_trunk_is_walked_backwards(cost, way, images, walks):
    "The reason for the price: a stacked loss sends zeros through the other tasks' graphs."
    p, count = problem(cost, images=images), []
    original = p.features

    def watched(task):
        out = original(task)
        out.grad_fn.register_hook(lambda *grads: count.append(task))
        return out

    p.features = watched
    p.clear()
    cost.WAYS[way](p, "upgrad")
    assert len(count) == walks


def test_one_tasks_activations_at_a_time(cost):
    """Streamed: hardly more for six tasks than for two. Summed: more than twice as much.

    Gradients and what the backward pass is working on stay the same.
    """
    few = {}
    many = {}
    for way in ("summed", "fixed", "streamed", "stacked"):
        few[way] = cost.memory(problem(cost, 2), way, "upgrad")[0]
        many[way] = cost.memory(problem(cost, 6), way, "upgrad")[0]
    assert many["summed"] > 2 * few["summed"] and many["stacked"] > 2 * few["stacked"]
    assert (
        many["fixed"] < 1.1 * few["fixed"]
        and many["streamed"] < 1.5 * few["streamed"]
        and many["streamed"] < many["summed"] / 2
    )


@pytest.mark.parametrize("images", ["own", "shared"])
def test_rows_for_ways_and_threads_none_below_the_limit(cost, images):
    ways = [w for w in cost.FOR_IMAGES[images] if not w.startswith(("torchjd", "autogram"))]
    before = torch.get_num_threads()
    try:
        rows = cost.measure(problem(cost, images=images), ways, "upgrad", 2, 60, [1, 2])
    finally:
        torch.set_num_threads(before)
    assert [(r["threads"], r["way"]) for r in rows] == list(itertools.product((1, 2), ways))
    for r in rows:
        assert r["peak_mb"] >= 0.95 * r["memory_limit_mb"] and r["time_limit"] >= 1 and r["time_ratio"] > 0, r
        assert r["timed"] == (2 * (len(ways) - 1) if r["way"] == "summed" else 2)


def test_a_way_over_its_budget_gets_no_further_step(cost):
    problems = dict.fromkeys(("summed", "separate", "fixed"), problem(cost))
    timed = cost.Alternation(problems, "upgrad", 5, 0.0)
    assert len(timed.times["fixed"]) == 1 and len(timed.times["separate"]) == 5


def test_hooks_of_autogram_stay_away_from_the_others(cost):
    need_torchjd("autogram")
    p = problem(cost)
    cost.measure(p, ["summed", "separate", "autogram"], "upgrad", 1, 60, [torch.get_num_threads()])
    assert not any(module._forward_hooks for module in p.backbone.modules())


def cost_table(cost):
    rows = []
    for images, threads, tasks in itertools.product(cost.FOR_IMAGES, (1, 2), (2, 8)):
        for way in cost.FOR_IMAGES[images]:
            row = {"images": images, "threads": threads, "tasks": tasks, "way": way, "label": cost.LABELS[way]}
            row |= dict.fromkeys(("time_ratio", "time_ratio_q1", "time_ratio_q3", "time_limit"), 1.0)
            rows.append(row | {"peak_mb": 10.0, "memory_limit_mb": 5.0, "memory_ratio": 1.5})
    return pd.DataFrame(rows)


def test_the_figure_has_one_colour_for_each_way(cost):
    figure = cost_figure(cost_table(cost))
    assert len(figure.axes) == 6
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(labels) == sorted(cost.LABELS.values())
    assert len({colour for colour, _ in WAYS.values()}) == len(WAYS) == len(cost.WAYS)


@pytest.fixture
def readme(tmp_path, monkeypatch):
    "The program that writes the README's costs, reading tables of its own."
    module = load_benchmark("readme_tables")
    monkeypatch.setattr(module, "resolve", lambda path: tmp_path / path)
    (tmp_path / "results").mkdir()
    return module


def test_the_readme_names_the_nearest_rival_first(cost, readme, tmp_path):
    table = cost_table(cost).assign(size=64, batch=4)
    table.loc[(table.way == "streamed") & (table.tasks == 8), "time_ratio"] = 1.25
    for name in ("balancing_cost.csv", "balancing_cost_96.csv"):
        table.to_csv(tmp_path / "results" / name, index=False)
    first, *_ = readme.costs().split(". ")
    assert first.startswith(
        "Times a summed step's time (memory), 4 images of 64×64 for each task: "
        "one backward pass per loss 1.00 (1.50); streamed 1.00–1.25 (1.50); "
    )


def test_the_readme_refuses_a_table_of_other_columns(cost, readme, tmp_path):
    cost_table(cost).drop(columns="images").to_csv(tmp_path / "results" / "balancing_cost_96.csv", index=False)
    with pytest.raises(UserError, match="balancing_cost_96.csv has no column images"):
        readme.costs()


def test_markers_inside_a_line():
    between = load_benchmark("readme_markers").between_markers
    assert between("| a <s>old<e> b |", "<s>", "<e>", "new", inline=True) == "| a <s>new<e> b |"
