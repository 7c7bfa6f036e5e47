"""The benchmark of the ways to get the tasks' gradients.

All ways agree, memory is counted by storage, stacking walks the graphs T times.
"""

import pytest
import torch
from conftest import load_benchmark
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
    monkeypatch.setattr(module, "Backbone", SmallTrunk)
    return module


def problem(cost, tasks=3):
    return cost.Problem(tasks, "resnet18", 16, 4, "cpu", "float32")


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


@pytest.mark.parametrize("way", ["streamed", "separate", "stacked", "torchjd", "torchjd_saving"])
@pytest.mark.parametrize("balancer", ["upgrad", "mgda"])
def test_all_ways_make_the_same_gradient(cost, way, balancer):
    if way.startswith("torchjd"):
        pytest.importorskip("torchjd.aggregation")
    p = problem(cost)
    p.clear()
    rows = []
    for task in p.names:
        grads = torch.autograd.grad(p.loss(task), p.shared)
        rows.append(torch.cat([g.reshape(-1) for g in grads]))
    J = torch.stack(rows).double()
    weights = cost.make_balancer(balancer, p.names).weights(J @ J.T, dict.fromkeys(p.names, 1.0))
    expected = weights @ J
    _, gradient = cost.memory(p, way, balancer)
    tolerance = 2e-2 if way.startswith("torchjd") else 1e-4  # TorchJD's solvers regularise or stop early
    assert (gradient - expected).norm() < tolerance * expected.norm()


def test_fixed_weights_make_the_sum(cost):
    p = problem(cost)
    (_, a), (_, b) = cost.memory(p, "summed", "upgrad"), cost.memory(p, "fixed", "upgrad")
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("way, walks", [("summed", 3), ("fixed", 3), ("streamed", 3), ("separate", 3), ("stacked", 9)])
def test_how_often_the_trunk_is_walked_backwards(cost, way, walks):
    "The reason for the price: a stacked loss sends zeros through the other tasks' graphs."
    p, count = problem(cost), []
    original = p.features

    def watched(task):
        out = original(task)
        out.register_hook(lambda g: count.append(task))
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


def test_a_row_for_each_way_and_no_memory_below_the_limit(cost):
    ways = [w for w in cost.WAYS if not w.startswith("torchjd")]
    rows = cost.measure(problem(cost), ways, "upgrad", 1)
    assert [r["way"] for r in rows] == ways and rows[0]["time_ratio"] > 0
    for r in rows:
        assert r["peak_mb"] >= 0.95 * r["memory_limit_mb"] and r["time_limit"] >= 1, r
    assert next(r for r in rows if r["way"] == "stacked")["time_limit"] > 1
