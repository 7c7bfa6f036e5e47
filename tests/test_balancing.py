"""The streaming engine against gradients taken one by one, and against TorchJD.

What it does when tasks are missing, broken or cut into microbatches.
"""

import math
import weakref
from functools import partial

import pytest
import torch
from torch import nn

from mtl_course.core.errors import UserError
from mtl_course.losses import BALANCERS, NotFinite, make_balancer, shared_input_backward, streamed_backward
from mtl_course.losses.streamed_backward import layer_gramians
from mtl_course.losses.weight_response import weight_response


class Toy:
    "A convolutional trunk with BatchNorm, one linear head per task, and each task's own images."

    def __init__(self, tasks=3, seed=0, images=4):
        torch.manual_seed(seed)
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.heads = {f"t{k}": nn.Linear(4, 2) for k in range(tasks)}
        self.data = {t: (torch.randn(images, 3, 8, 8), 3 * torch.randn(images, 2)) for t in self.heads}
        self.shared = list(self.trunk.parameters())

    def loss(self, task, rows=slice(None)):
        x, y = (d[rows] for d in self.data[task])
        return (1 + int(task[1])) * (self.heads[task](self.trunk(x)) - y).square().mean()

    def closures(self, tasks=None):
        return {t: partial(self.loss, t) for t in tasks or self.heads}

    def head_parameters(self):
        return list(nn.ModuleDict(self.heads).parameters())

    def head_gradient(self):
        return flat([p.grad for p in self.head_parameters()])

    def microbatches(self, *slices):
        closures = {}
        for task in self.heads:
            closures[task] = [partial(self.loss, task, images) for images in slices]
        return closures

    def clear(self):
        for p in (*self.shared, *self.head_parameters()):
            p.grad = None

    def jacobian(self, images=slice(None)):
        return torch.stack([flat(torch.autograd.grad(self.loss(t, images), self.shared)) for t in self.heads])

    def gradient(self):
        return flat([p.grad for p in self.shared])


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


@pytest.mark.parametrize("name", [n for n in BALANCERS if n != "graddrop"])
@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
@pytest.mark.parametrize("factors", [None, {"t0": 30.0}])
def test_the_shared_gradient_is_the_weighted_sum(name, tasks, factors):
    toy = Toy(tasks)
    jacobian = toy.jacobian()
    step = streamed_backward(toy.shared, toy.closures(), make_balancer(name, toy.heads), factors=factors)
    if factors:
        other = Toy(tasks)
        assert step.weights["t0"] == pytest.approx(
            30 * streamed_backward(other.shared, other.closures(), make_balancer(name, other.heads)).weights["t0"],
            rel=1e-4,
        )
    w = torch.tensor(list(step.weights.values()))
    assert torch.allclose(toy.gradient(), w.float() @ jacobian, rtol=1e-4, atol=1e-5 * float(jacobian.abs().max()))
    assert (step.gramian is None) == (BALANCERS[name].needs == "losses")
    if step.gramian is not None:
        assert torch.allclose(step.gramian.float(), jacobian @ jacobian.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_factor_that_is_no_factor_is_refused(factor):
    toy = Toy()
    with pytest.raises(UserError, match="the factor of t1 is .*: expected a finite number of at least 0"):
        streamed_backward(toy.shared, toy.closures(), factors={"t1": factor})


@pytest.mark.parametrize("name", [n for n in BALANCERS if n != "graddrop"])
@pytest.mark.parametrize("factors", [{}, {"t0": 30.0, "t1": 0.0}])
def test_heads_get_the_total_loss_gradient_or_their_own(name, factors):
    toy = Toy()
    own = {t: flat(torch.autograd.grad(toy.loss(t), list(h.parameters()))) for t, h in toy.heads.items()}
    step = streamed_backward(toy.shared, toy.closures(), make_balancer(name, toy.heads), factors=factors)
    for t, h in toy.heads.items():
        scale = step.weights[t] if BALANCERS[name].needs == "losses" else factors.get(t, 1.0)
        assert torch.allclose(flat([p.grad for p in h.parameters()]), scale * own[t], rtol=1e-4, atol=1e-7)


def test_graddrop_keeps_each_sign_or_drops_it():
    toy = Toy()
    jacobian = toy.jacobian()
    streamed_backward(toy.shared, toy.closures(), make_balancer("graddrop", toy.heads))
    one_sign = torch.stack([jacobian.clamp(min=0).sum(0), jacobian.clamp(max=0).sum(0)])
    assert (one_sign - toy.gradient()).abs().amin(0).max() < 1e-5


@pytest.mark.parametrize("name", ["UPGrad", "MGDA"])
def test_it_gives_what_torchjd_gives(name):
    from torchjd import aggregation

    toy = Toy()
    streamed_backward(toy.shared, toy.closures(), make_balancer(f"torchjd:{name}", toy.heads))
    ours = toy.gradient()
    toy.clear()
    features = {t: toy.trunk(toy.data[t][0]) for t in toy.heads}
    losses = [(1 + int(t[1])) * (toy.heads[t](features[t]) - toy.data[t][1]).square().mean() for t in toy.heads]
    rows = [torch.autograd.grad(l, toy.shared, retain_graph=True) for l in losses]
    theirs = getattr(aggregation, name)()(torch.stack([flat(r) for r in rows]))
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["fixed", "random", "geometric_mean", "famo", "uncertainty", "mgda", "upgrad"])
def test_parts_of_a_batch_add_up_to_the_whole(name):
    toy = Toy()
    toy.trunk.eval()  # in training, BatchNorm would see other batches
    streamed_backward(toy.shared, toy.closures(), make_balancer(name, toy.heads))
    whole = toy.gradient()
    heads = toy.head_gradient()
    toy.clear()
    images = [slice(k, k + 1) for k in range(4)]
    step = streamed_backward(toy.shared, toy.microbatches(*images), make_balancer(name, toy.heads))
    assert torch.allclose(toy.gradient(), whole, rtol=1e-3, atol=1e-5)
    assert torch.allclose(toy.head_gradient(), heads, rtol=1e-3, atol=1e-5)
    assert step.losses["t1"] == pytest.approx(float(toy.loss("t1")), rel=1e-4)


@pytest.mark.parametrize("name", list(BALANCERS))
def test_a_missing_task_or_gradient_leaves_finite_gradients(name):
    toy, balancer = Toy(), make_balancer(name, [f"t{k}" for k in range(3)])
    step = streamed_backward(toy.shared, toy.closures(["t0", "t2"]), balancer)
    assert list(step.losses) == ["t0", "t2"] and toy.heads["t1"].weight.grad is None
    toy.clear()
    still = toy.closures() | {
        "t1": lambda: (toy.heads["t1"](torch.ones(1, 4))).square().sum()
    }  # does not touch the trunk
    streamed_backward(toy.shared, still, balancer)
    assert toy.gradient().isfinite().all()


def test_a_frozen_trunk_still_trains_the_heads():
    toy = Toy()
    toy.trunk.requires_grad_(False)
    for name in BALANCERS:
        toy.clear()
        streamed_backward(toy.shared, toy.closures(), make_balancer(name, toy.heads))
        assert all(p.grad is None for p in toy.shared) and all(
            h.weight.grad.isfinite().all() and h.weight.grad.abs().sum() > 0 for h in toy.heads.values()
        ), name


@pytest.mark.parametrize("name", ["fixed", "mgda"])
def test_a_loss_that_is_no_number_names_its_task(name):
    toy = Toy()
    with pytest.raises(NotFinite, match="'t1' is nan") as e:
        streamed_backward(
            toy.shared, toy.closures() | {"t1": lambda: toy.loss("t1") * math.nan}, make_balancer(name, toy.heads)
        )
    assert e.value.task == "t1"


def test_a_gradient_that_is_no_number_names_its_task():
    toy = Toy()
    endless = toy.closures() | {"t2": lambda: (toy.loss("t2") * 0).sqrt()}  # finite, but its slope is not
    with pytest.raises(NotFinite, match="'t2'"):
        streamed_backward(toy.shared, endless, make_balancer("upgrad", toy.heads))


def test_a_loss_scale_changes_neither_weights_nor_direction():
    toy = Toy()
    plain = streamed_backward(toy.shared, toy.closures(), make_balancer("cagrad", toy.heads))
    g = toy.gradient()
    toy.clear()
    scaled = streamed_backward(
        toy.shared,
        toy.closures(),
        make_balancer("cagrad", toy.heads),
        backward=lambda l: (1024 * l).backward(),
        loss_scale=1024.0,
    )
    assert scaled.weights == pytest.approx(plain.weights, rel=1e-3) and torch.allclose(
        toy.gradient(), 1024 * g, rtol=1e-3, atol=1e-3
    )
    toy.clear()
    streamed_backward(
        toy.shared,
        toy.closures(),
        make_balancer("cagrad", toy.heads),
        backward=lambda l: (math.inf * l).backward(),
        loss_scale=1024.0,
    )
    assert not toy.gradient().isfinite().all()  # left for the scaler to see


def test_the_gramian_can_be_recorded_for_fixed_weights():
    toy, weights = Toy(), dict(t0=2.0, t1=0.5, t2=0.0)
    jacobian = toy.jacobian()
    jacobian[2] = 0  # of a task with weight 0 no gradient is made
    streamed_backward(toy.shared, toy.closures(), make_balancer("fixed", toy.heads, weights=weights))
    plain = toy.gradient()
    toy.clear()
    step = streamed_backward(
        toy.shared, toy.closures(), make_balancer("fixed", toy.heads, weights=weights), record=True
    )
    assert torch.equal(toy.gradient(), plain) and step.weights == weights
    assert step.layers.shape == (len(toy.shared), 3, 3) and torch.allclose(
        step.gramian.float(), jacobian @ jacobian.T, rtol=1e-4, atol=1e-6
    )


def two_alike(tensors):
    "Stands for averaging over two processes: leaves the tensors at 3/4 of what they were."
    for x in tensors:
        x.mul_(0.75)


WAYS = {
    "whole": {},
    "parts": {},
    "processes": {"average": two_alike},
    "scaled": {"backward": lambda loss: (1024 * loss).backward(), "loss_scale": 1024.0},
}
PARTS = (slice(0, 3), slice(3, 8))  # microbatches


def one_step(name, way, record):
    "A toy after one step, and what the step tells."
    toy = Toy(images=8)
    closures = toy.microbatches(*PARTS) if way == "parts" else toy.closures()
    balancer = make_balancer(name, toy.heads)
    return toy, streamed_backward(toy.shared, closures, balancer, record=record, **WAYS[way])


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("way", WAYS)
def test_recording_changes_no_digit_of_a_step(name, way):
    (toy, plain), (recorded_toy, recorded) = one_step(name, way, False), one_step(name, way, True)
    assert torch.equal(toy.gradient(), recorded_toy.gradient())
    assert torch.equal(toy.head_gradient(), recorded_toy.head_gradient())
    assert plain.losses == recorded.losses
    assert str(plain.weights) == str(recorded.weights)
    assert not any(p._backward_hooks for p in recorded_toy.shared)


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_recorded_is_the_gramian(name, way):
    _, recorded = one_step(name, way, True)
    toy = Toy(images=8)
    jacobian = toy.jacobian()
    if way == "parts":
        jacobian = sum(toy.jacobian(images=part) for part in PARTS) / len(PARTS)
    if way == "processes":
        jacobian = 0.75 * jacobian
    assert torch.allclose(recorded.gramian.float(), jacobian @ jacobian.T, rtol=1e-3, atol=1e-5)


def test_a_parameter_of_two_tasks_outside_the_trunk_is_refused():
    toy = Toy()
    toy.heads["t1"] = toy.heads["t0"]
    with pytest.raises(ValueError, match="shared_parameters"):
        streamed_backward(toy.shared, toy.closures(), make_balancer("random", toy.heads))


def test_one_graph_at_a_time():
    "While a task's forward pass runs, no other task's activations are alive."
    toy = Toy()
    alive = []
    seen = []

    def closure(t):
        seen.append(sum(r() is not None for r in alive))
        x = toy.trunk(toy.data[t][0] * 1.0)
        alive.append(weakref.ref(x))
        return toy.heads[t](x).square().mean()

    streamed_backward(toy.shared, {t: partial(closure, t) for t in toy.heads}, make_balancer("mgda", toy.heads))
    assert seen == [0, 0, 0]


@pytest.mark.parametrize("name", ["fixed", "uncertainty", "mgda", "upgrad", "graddrop"])
def test_under_autocast_gradients_have_the_parameters_precision(name):
    toy = Toy()

    def closure(t):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return toy.loss(t).float()

    jacobian = toy.jacobian()
    step = streamed_backward(
        toy.shared, {t: partial(closure, t) for t in toy.heads}, make_balancer(name, toy.heads), record=True
    )
    assert all(p.grad.dtype == torch.float32 for p in toy.shared)
    assert torch.allclose(step.gramian.diagonal().float(), (jacobian**2).sum(1), rtol=0.1)
    if name == "graddrop":
        return  # random by coordinate
    expected = torch.tensor(list(step.weights.values())).float() @ jacobian
    assert (toy.gradient() - expected).norm() < 0.05 * sum(
        w * g.norm() for w, g in zip(step.weights.values(), jacobian)
    )  # bfloat16 has three digits


def test_tasks_on_one_input_use_the_features_gradients():
    toy = Toy()
    x, y = torch.randn(4, 3, 8, 8), {t: torch.randn(4, 2) for t in toy.heads}
    closures = {t: (lambda z, t=t: (toy.heads[t](z["out"]) - y[t]).square().mean()) for t in toy.heads}
    rows = torch.stack([flat(torch.autograd.grad(closures[t](dict(out=toy.trunk(x))), toy.shared)) for t in toy.heads])
    for name in ("fixed", "mgda", "upgrad"):
        toy.clear()
        step = shared_input_backward(dict(out=toy.trunk(x)), closures, make_balancer(name, toy.heads))
        assert torch.allclose(
            toy.gradient(), torch.tensor(list(step.weights.values())).float() @ rows, rtol=1e-3, atol=1e-6
        )
        assert all(h.weight.grad.abs().sum() > 0 for h in toy.heads.values())


LISTENS = {  # balancer -> what reaches the backbone of a factor 30: lowest and highest
    "fixed": (29.9, 30.1),
    "dwa": (29.9, 30.1),
    "random": (29.9, 30.1),
    "geometric_mean": (0.9, 1.1),
    "famo": (0.9, 1.1),
    "imtl_g": (0.9, 1.1),
    "imtl": (0.9, 1.1),
    "nash": (0.9, 1.1),
    "mgda": (0.0, 1.0),
}


@pytest.mark.parametrize("name", LISTENS)
def test_who_listens_to_a_weight_on_the_loss(name):
    low, high = LISTENS[name]
    for cosine in (0.0, 0.5, -0.4):
        assert low <= weight_response(name, 30.0, cosine) < high


def test_learned_weights_undo_a_factor_in_time():
    for name in ("uncertainty", "imtl_l", "gradnorm"):
        assert weight_response(name, 30.0, 0.0, steps=2000) < 1.2
    assert 2.2 < weight_response("uncertainty_positive", 30.0, 0.0, steps=2000) < 2.4


def test_projections_let_less_through_where_tasks_conflict():
    assert all(weight_response(name, 30.0, -0.4) < 25 for name in ("pcgrad", "upgrad"))


def test_layer_gramians_add_up():
    rows = [[torch.randn(3, 4), torch.randn(5)] for _ in range(3)]
    jacobian = torch.stack([flat(r) for r in rows])
    assert torch.allclose(layer_gramians(rows).sum(0), (jacobian @ jacobian.T).double(), rtol=1e-4, atol=1e-5)


def test_names_and_options_are_checked():
    with pytest.raises(UserError, match="unknown balancer 'best': expected one of fixed, "):
        make_balancer("best", ["a"])
    with pytest.raises(UserError, match="balancer 'dwa'.*options are"):
        make_balancer("dwa", ["a"], heat=3)
    with pytest.raises(ValueError, match="no task"):
        streamed_backward([], {}, make_balancer("fixed", ["a"]))
