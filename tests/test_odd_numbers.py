"""Gradients of any length, dependent on each other, infinite, or made of parts of unequal size."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn

from mtl_course.losses import BALANCERS, NotFinite, make_balancer, streamed_backward
from mtl_course.losses.backward import Microbatch
from mtl_course.losses.streamed_backward import layer_gramians
from mtl_course.models.classification_head import ClassificationHead
from mtl_course.training.optimizer import clip_gradients

pytestmark = pytest.mark.usefixtures("one_thread")
ON_GRAMIANS = [name for name, kind in BALANCERS.items() if kind.needs == "gramian" and name != "torchjd"]
TASKS = "abc"


def rows(kind="random", seed=0, columns=40) -> torch.Tensor:  # (3, columns) float64, about 1 long
    "Gradients of three tasks."
    J = torch.randn(3, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    J = J / J.norm(dim=1, keepdim=True)
    if kind == "conflicting":
        J[1] = -0.7 * J[0] + 0.3 * J[1]
    if kind == "scaled copies":
        J[1] = 0.3 * J[0]
    if kind == "a sum":
        J[2] = 0.7 * J[0] + 0.6 * J[1]
    if kind == "rank one":
        J[1:] = torch.tensor([[0.4], [1.7]], dtype=torch.float64) * J[0]
    if kind == "opposite":
        J[1] = -0.6 * J[0]
    return J


def real_step(name, J, dtype=torch.float32, losses=(1.0, 1.0, 1.0)):
    "The gradient that a step leaves for losses with these gradients, float64."
    J = J.to(dtype)
    w = nn.Parameter(torch.zeros(J.shape[1], dtype=dtype))

    def task_loss(row, loss):
        return (row * w).sum() + loss

    closures = {task: partial(task_loss, row, loss) for task, row, loss in zip(TASKS, J, losses)}
    streamed_backward([w], closures, make_balancer(name, TASKS))
    return w.grad.double()


def exact_step(name, J, dtype=torch.float32):
    "The same from the Gramian of float64 rows, and the longest of its parts."
    J = J.to(dtype).double()
    weights = make_balancer(name, TASKS).weights(J @ J.T, dict.fromkeys(TASKS, 1.0))
    return weights @ J, (weights.abs() * J.norm(dim=1)).max()


# ---------------- scales
SCALES = [(1, 1, 1), (1, 1e-23, 1), (1e-30, 1, 1e30), (1e30, 1e-30, 1e-30), (1e-30,) * 3, (1e30,) * 3, (1e-38, 1, 1)]


@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("name", sorted(set(ON_GRAMIANS) - {"aligned", "imtl"}))
def test_a_step_is_right_whatever_the_gradients_lengths(name, scales):
    for kind in ("random", "conflicting"):
        J = rows(kind) * torch.tensor(scales, dtype=torch.float64)[:, None]
        expected, longest = exact_step(name, J)
        if name == "mgda" and max(scales) / min(scales) > 1e40:
            longest = J.norm(dim=1).min() * 1e4  # the shortest gradient or less: only its size is certain
        assert (real_step(name, J) - expected).abs().max() <= 1e-4 * longest


@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("name", ON_GRAMIANS)
def test_a_step_is_finite_whatever_the_gradients_lengths(name, scales):
    for kind in ("random", "conflicting", "opposite"):
        J = rows(kind) * torch.tensor(scales, dtype=torch.float64)[:, None]
        assert real_step(name, J).isfinite().all()


@pytest.mark.parametrize("exponent", range(-36, 37, 4))
def test_inner_products_neither_underflow_nor_overflow(exponent):
    J = rows() * torch.tensor([10.0**exponent, 1.0, 10.0**-exponent], dtype=torch.float64)[:, None]
    J = J.float()
    expected = J.double() @ J.double().T
    lengths = expected.diagonal().sqrt()
    gramian = layer_gramians([[row] for row in J]).sum(0)
    assert ((gramian - expected).abs() <= 1e-5 * torch.outer(lengths, lengths)).all()


def test_ordinary_inner_products_keep_every_digit():
    J = (rows(columns=16_000) * torch.tensor([[3e-4], [1.0], [250.0]], dtype=torch.float64)).float()
    before = (J @ J.T).double()
    assert torch.equal(layer_gramians([[row] for row in J.clone()]).sum(0), before)


@pytest.mark.parametrize("exponent", [-60, -33, 0, 30, 60])
def test_scaling_by_a_power_of_two_changes_no_digit(exponent):
    "Whether a processor scales the rows or sees that it need not."
    J = rows(columns=16_000).float()
    gramian = layer_gramians([[row] for row in J * 2.0**exponent]).sum(0)
    assert torch.equal(gramian, layer_gramians([[row] for row in J]).sum(0) * 4.0**exponent)


def test_parameters_of_several_sizes_and_types_are_kept_apart():
    generator = torch.Generator().manual_seed(0)
    sizes = [(50, torch.float32), (3, torch.float64), (70, torch.float64), (2, torch.float32), (9, torch.bfloat16)]
    tasks = []
    for _ in range(3):
        tasks.append([torch.randn(n, generator=generator).to(dtype) for n, dtype in sizes])
    expected = []
    for grads in zip(*tasks):
        J = torch.stack(grads).double()
        expected.append(J @ J.T)
    assert torch.allclose(layer_gramians(tasks), torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_the_scene_of_the_report():
    "w[0] against 1e-23 (w[1] - w[0]): the projections stay finite, and conflict with nobody."
    w = nn.Parameter(torch.zeros(2))
    closures = {"a": lambda: w[0], "b": lambda: 1e-23 * (w[1] - w[0])}
    streamed_backward([w], closures, make_balancer("pcgrad", "ab"))
    assert torch.allclose(w.grad, torch.tensor([0.5, 0.5]), atol=1e-6)


@pytest.mark.parametrize("columns", [1, 16_384, 3_000_000])
def test_inner_products_of_long_rows_are_right_to_rounding(columns):
    J = torch.rand(3, columns, generator=torch.Generator().manual_seed(0))
    expected = J.double() @ J.double().T
    assert torch.allclose(layer_gramians([[row] for row in J]).sum(0), expected, rtol=1e-6)


# ---------------- rank
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["scaled copies", "a sum", "rank one"])
@pytest.mark.parametrize("name", ["aligned", "imtl_g", "imtl"])
def test_dependent_gradients_keep_their_length_in_any_type(name, kind, dtype):
    for seed in range(5):
        J = rows(kind, seed, columns=20_000)
        weights = make_balancer(name, TASKS).weights(J @ J.T, dict.fromkeys(TASKS, 1.0))
        expected = weights @ J
        step = real_step(name, J, dtype)
        assert 0.9 < step.norm() / expected.norm() < 1.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_cagrad_stays_harmless_between_opposite_gradients(dtype):
    J = rows("opposite", columns=20_000)
    step = make_balancer("cagrad", TASKS, c=1.5)
    w = nn.Parameter(torch.zeros(J.shape[1], dtype=dtype))
    closures = {task: lambda row=row.to(dtype): (row * w).sum() for task, row in zip(TASKS, J)}
    streamed_backward([w], closures, step)
    slopes = J @ w.grad.double() / J.norm(dim=1)
    assert slopes.min() >= -0.02 * w.grad.double().norm()


@pytest.mark.parametrize("angle", [0.3, 0.1, 0.05])
@pytest.mark.parametrize("name", ["aligned", "imtl_g", "imtl"])
def test_bf16_gradients_at_a_small_angle_are_no_dependent_ones(name, angle):
    for seed in range(5):
        J = torch.linalg.qr(rows(seed=seed, columns=2000).T)[0].T.contiguous()
        J[1] = math.cos(angle) * J[0] + math.sin(angle) * J[1]
        rounded = J.bfloat16().double()
        expected = make_balancer(name, TASKS).weights(rounded @ rounded.T, dict.fromkeys(TASKS, 1.0)) @ rounded
        assert (real_step(name, J, torch.bfloat16) - expected).norm() < 0.05 * expected.norm()


def test_gradients_of_different_lengths_are_no_dependent_ones():
    J = rows() * torch.tensor([[1.0], [1e-4], [1e3]], dtype=torch.float64)
    gramian = J @ J.T
    losses = dict.fromkeys(TASKS, 1.0)
    aligned = make_balancer("aligned", TASKS)
    assert torch.equal(aligned.weights(gramian, losses, torch.float32), aligned.weights(gramian, losses))


# ---------------- clipping
def clipped(length: float, clip) -> tuple[torch.Tensor, torch.Tensor]:  # clip: (fabric, model, optimizer)
    "A gradient of two parameters with that norm: after clipping, and before."
    fabric = Fabric(accelerator="cpu", devices=1)
    model = nn.Linear(300, 4)
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=1.0))
    gradient = torch.randn(4, 301, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient = (gradient * length / gradient.norm()).float()
    model.weight.grad = gradient[:, :300].clone()
    model.bias.grad = gradient[:, 300].clone()
    clip(fabric, model, optimizer)
    return torch.cat([model.weight.grad, model.bias.grad[:, None]], 1).double(), gradient.double()


def by_the_course(fabric, _, optimizer):
    clip_gradients(fabric, optimizer, 5.0)


def by_fabric(fabric, model, optimizer):
    fabric.clip_gradients(model, optimizer, max_norm=5.0, error_if_nonfinite=False)


@pytest.mark.parametrize("length", [1e18, 1e20, 1e30, 3e38])
def test_a_gradient_that_float32_cannot_square_is_clipped(length):
    after, before = clipped(length, by_the_course)
    assert torch.allclose(after, 5 * before / before.norm(), rtol=1e-5)


@pytest.mark.parametrize("length", [0.3, 5.0, 40.0, 1e15])
def test_an_ordinary_gradient_is_clipped_to_the_same_digits(length):
    assert torch.equal(clipped(length, by_the_course)[0], clipped(length, by_fabric)[0])


# ---------------- gradients that are not finite
class Toy(nn.Module):
    "A shared weight, and a head whose loss is 0 with an infinite slope."

    def __init__(self):
        super().__init__()
        self.shared = nn.Parameter(torch.ones(3))
        self.head = nn.Parameter(torch.ones(3))

    def closures(self, broken: str):
        def first():
            return (self.shared**2).sum()

        def second():
            return (self.head * self.shared).sum() + (getattr(self, broken) - 1).square().sum().sqrt()

        return {"a": first, "b": second}


@pytest.mark.parametrize("broken", ["shared", "head"])
@pytest.mark.parametrize("name", ["fixed", "geometric_mean", "uncertainty", "mgda", "graddrop"])
def test_an_infinite_gradient_behind_a_finite_loss_is_named(name, broken):
    toy = Toy()
    with pytest.raises(NotFinite) as error:
        streamed_backward([toy.shared], toy.closures(broken), make_balancer(name, "ab"))
    told = error.value.told(toy)
    assert error.value.task == "b" and f"gradient of task 'b' is nan in {broken}, though its loss is finite" in told


def test_float16_may_overflow():
    toy = Toy()
    streamed_backward([toy.shared], toy.closures("head"), "fixed", loss_scale=65536.0)


def test_a_long_gradient_is_no_broken_one():
    w = nn.Parameter(torch.zeros(4))
    step = streamed_backward([w], {"a": lambda: (1e30 * w).sum()}, "fixed")
    assert step.losses == {"a": 0.0} and (w.grad == 1e30).all()


@pytest.mark.parametrize("gamma", [0.01, 0.1, 0.5, 1.0, 2.0])
def test_focal_loss_has_a_slope_where_a_sign_is_known(gamma):
    head = ClassificationHead(8, num_classes=3, focal_gamma=gamma)
    logits = torch.tensor([[200.0, 0, 0], [17.0, 0, 0], [1.0, 0, 0]], requires_grad=True)
    loss = head.loss(logits, torch.zeros(3, dtype=torch.int64))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all() and logits.grad[0].abs().max() < 1e-6


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_is_the_papers(gamma):
    logits = torch.randn(16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(16) % 5
    log_p = F.log_softmax(logits, 1)[torch.arange(16), labels]
    expected = -((1 - log_p.exp()) ** gamma * log_p).mean()
    loss = ClassificationHead(8, num_classes=5, focal_gamma=gamma).loss(logits, labels)
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-5)


# ---------------- parts of unequal size
SIZES = [(2, 3), (1, 4), (5,), (1, 1, 3)]


def accumulated(name, sizes, model, images):
    "The loss and the gradients of a mean over images, cut into parts."
    model.zero_grad()
    parts = []
    for part in images.split(list(sizes)):
        parts.append(Microbatch(lambda part=part: model(part).square().mean(), len(part)))
    step = streamed_backward(model.parameters(), {"a": parts}, make_balancer(name, "a"))
    return step.losses["a"], [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", ["fixed", "mgda", "geometric_mean"])
def test_parts_of_unequal_size_make_the_whole_batch(name, sizes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    images = torch.randn(5, 4) * torch.arange(1.0, 6.0)[:, None]
    loss, grads = accumulated(name, sizes, model, images)
    whole_loss, whole = accumulated(name, (5,), model, images)
    assert math.isclose(loss, whole_loss, rel_tol=1e-5)
    assert all(torch.allclose(grad, expected, rtol=1e-4) for grad, expected in zip(grads, whole))
