"""The streaming engine against gradients taken one by one, and against TorchJD; what it does when tasks are missing, broken or split up."""

import math
import pytest, torch
from torch import nn
from mtl_course.core.errors import UserError
from mtl_course.losses import BALANCERS, NotFinite, make_balancer, shared_input_backward, streamed_backward
from mtl_course.losses.streamed_backward import layer_gramians


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
        return {t: (lambda t=t: self.loss(t)) for t in tasks or self.heads}

    def clear(self):
        for p in (*self.shared, *(p for h in self.heads.values() for p in h.parameters())):
            p.grad = None

    def jacobian(self, tasks=None):
        return torch.stack([flat(torch.autograd.grad(self.loss(t), self.shared)) for t in tasks or self.heads])

    def gradient(self):
        return flat([p.grad for p in self.shared])


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


@pytest.mark.parametrize("name", [n for n in BALANCERS if n != "graddrop"])
@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
@pytest.mark.parametrize("factors", [None, {"t0": 30.0}])
def test_the_shared_gradient_is_the_weighted_sum_of_the_task_gradients(name, tasks, factors):
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
def test_heads_get_the_gradient_of_the_total_loss_or_their_own_times_the_factor(name, factors):
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
    kept = [jacobian.clamp(min=0).sum(0), jacobian.clamp(max=0).sum(0)]
    assert all(min(abs(g - k[i]) for k in kept) < 1e-5 for i, g in enumerate(toy.gradient()))


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
    whole, heads = toy.gradient(), flat([p.grad for h in toy.heads.values() for p in h.parameters()])
    toy.clear()
    parts = {t: [lambda t=t, k=k: toy.loss(t, slice(k, k + 1)) for k in range(4)] for t in toy.heads}
    step = streamed_backward(toy.shared, parts, make_balancer(name, toy.heads))
    assert torch.allclose(toy.gradient(), whole, rtol=1e-3, atol=1e-5) and torch.allclose(
        flat([p.grad for h in toy.heads.values() for p in h.parameters()]), heads, rtol=1e-3, atol=1e-5
    )
    assert step.losses["t1"] == pytest.approx(float(toy.loss("t1")), rel=1e-4)


@pytest.mark.parametrize("name", list(BALANCERS))
def test_a_missing_task_and_a_task_without_gradient_leave_finite_gradients(name):
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
    "Stands for averaging over two processes that hold other parts of the batch: leaves the tensors at 3/4 of what they were."
    for x in tensors:
        x.mul_(0.75)


@pytest.mark.parametrize("name", BALANCERS)
@pytest.mark.parametrize("way", ["whole", "parts", "processes", "scaled"])
def test_recording_changes_no_digit_of_a_step(name, way):
    options = (
        dict(average=two_alike)
        if way == "processes"
        else dict(backward=lambda l: (1024 * l).backward(), loss_scale=1024.0)
        if way == "scaled"
        else {}
    )
    kept = []
    for record in (False, True):
        toy = Toy(images=8)
        closures = (
            {t: [lambda t=t: toy.loss(t, slice(0, 3)), lambda t=t: toy.loss(t, slice(3, 8))] for t in toy.heads}
            if way == "parts"
            else toy.closures()
        )
        step = streamed_backward(toy.shared, closures, make_balancer(name, toy.heads), record=record, **options)
        kept.append((step, toy.gradient(), flat([p.grad for h in toy.heads.values() for p in h.parameters()])))
    (plain, trunk, heads), (recorded, *others) = kept
    assert (
        torch.equal(trunk, others[0])
        and torch.equal(heads, others[1])
        and plain.losses == recorded.losses
        and str(plain.weights) == str(recorded.weights)
    )
    toy = Toy(images=8)
    jacobian = (
        toy.jacobian()
        if way != "parts"
        else sum(
            torch.stack([flat(torch.autograd.grad(toy.loss(t, s), toy.shared)) for t in toy.heads]) / 2
            for s in (slice(0, 3), slice(3, 8))
        )
    )
    if way == "processes":
        jacobian = 0.75 * jacobian
    assert torch.allclose(recorded.gramian.float(), jacobian @ jacobian.T, rtol=1e-3, atol=1e-5)
    assert not any(p._backward_hooks for p in toy.shared)


def test_a_parameter_of_two_tasks_outside_the_trunk_is_refused():
    toy = Toy()
    toy.heads["t1"] = toy.heads["t0"]
    with pytest.raises(ValueError, match="shared_parameters"):
        streamed_backward(toy.shared, toy.closures(), make_balancer("random", toy.heads))


def test_one_graph_at_a_time():
    "While a task's forward pass runs, no other task's activations are alive."
    toy, alive, seen = Toy(), [], []

    def closure(t):
        seen.append(sum(r() is not None for r in alive))
        x = toy.trunk(toy.data[t][0] * 1.0)
        import weakref

        alive.append(weakref.ref(x))
        return toy.heads[t](x).square().mean()

    streamed_backward(toy.shared, {t: (lambda t=t: closure(t)) for t in toy.heads}, make_balancer("mgda", toy.heads))
    assert seen == [0, 0, 0]


@pytest.mark.parametrize("name", ["fixed", "uncertainty", "mgda", "upgrad", "graddrop"])
def test_under_autocast_every_kind_of_balancer_works_on_gradients_in_the_parameters_precision(name):
    toy = Toy()

    def closure(t):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return toy.loss(t).float()

    jacobian = toy.jacobian()
    step = streamed_backward(
        toy.shared, {t: (lambda t=t: closure(t)) for t in toy.heads}, make_balancer(name, toy.heads), record=True
    )
    assert all(p.grad.dtype == torch.float32 for p in toy.shared)
    assert torch.allclose(step.gramian.diagonal().float(), (jacobian**2).sum(1), rtol=0.1)
    if name == "graddrop":
        return  # random by coordinate
    wanted = torch.tensor(list(step.weights.values())).float() @ jacobian
    assert (toy.gradient() - wanted).norm() < 0.05 * sum(
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
