"""The ways in which a step's gradients are made, for benchmarks/balancing_cost.py."""

import time
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import nn

from mtl_course.core.seeds import seed_everything
from mtl_course.losses import make_balancer, shared_input_backward, streamed_backward
from mtl_course.losses.streamed_backward import layer_gramians
from mtl_course.models.backbone import Backbone

TORCHJD = {  # our name -> its aggregator
    "upgrad": "UPGrad",
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "imtl_g": "IMTLG",
    "aligned": "AlignedMTL",
}


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Problem:
    """A shared backbone and T linear heads, with a batch of images for each of them or for all.

    `gramian` is the last Gramian that a way has looked at, `weights` what it made of it.
    """

    gramian = None
    weights = None

    def __init__(
        self,
        tasks: int,
        backbone: str,
        size: int,  # height and width of the images
        batch: int,  # images per task
        device: str,
        precision: str,  # float32, bf16 or float64
        images: str = "own",  # "own": of each task; "shared": one batch with all labels
    ):
        seed_everything(0)
        self.names = [f"task{i}" for i in range(tasks)]
        self.device = device
        self.precision = precision
        self.shares_images = images == "shared"
        dtype = torch.float64 if precision == "float64" else torch.float32
        self.backbone = Backbone(backbone, tasks=tuple(self.names)).to(device, dtype).train()
        width = self.backbone.channels["c5"]
        self.heads = nn.ModuleDict({t: nn.Linear(width, 10) for t in self.names}).to(device, dtype)
        owners = self.names[:1] if self.shares_images else self.names
        self.images = {t: torch.randn(batch, 3, size, size, device=device, dtype=dtype) for t in owners}
        self.labels = {t: torch.randint(0, 10, (batch,), device=device) for t in self.names}
        self.shared = list(self.backbone.parameters())

    @cached_property
    def engine(self):
        "TorchJD's autogram engine; its hooks watch each forward pass of the backbone from now on."
        from torchjd.autogram import Engine

        return Engine(self.backbone, batch_dim=None)

    def features(self, task):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.backbone(self.images[task], task)["c5"]

    def loss(self, task, features=None):
        features = self.features(task) if features is None else features
        with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.heads[task](features.mean((2, 3)))
        return F.cross_entropy(logits if self.precision == "float64" else logits.float(), self.labels[task])

    def forward(self) -> tuple[list, list]:  # features, one for each batch of images; losses, one for each task
        features = [self.features(t) for t in self.images]
        for_tasks = features * len(self.names) if self.shares_images else features
        return features, [self.loss(t, z) for t, z in zip(self.names, for_tasks)]

    def losses(self) -> list:
        return self.forward()[1]

    def clear(self):
        self.gramian = None
        for p in (*self.shared, *self.heads.parameters()):
            p.grad = None
        for p in self.shared:
            p.__dict__.pop("jac", None)

    def gradient(self):
        return torch.cat([p.grad.detach().reshape(-1) for p in self.shared]).double().cpu()


# Each way takes a problem and the name of a balancer and leaves the gradients in `.grad`.


def summed(problem, name):
    "All forward passes, one backward pass of the sum; returns the seconds of the backward pass."
    loss = sum(problem.losses())
    wait(problem.device)
    began = time.perf_counter()
    loss.backward()
    wait(problem.device)
    return time.perf_counter() - began


def streamed(problem, name):
    closures = {task: partial(problem.loss, task) for task in problem.names}
    problem.gramian = streamed_backward(problem.shared, closures, make_balancer(name, problem.names)).gramian


def fixed(problem, name):
    streamed(problem, "fixed")


def shared_input(problem, name):
    "Weights from the Gramian at the features, which is not that of the parameters."
    features = {"c5": problem.features(problem.names[0])}
    closures = {task: partial(_loss_of_maps, problem, task) for task in problem.names}
    step = shared_input_backward(features, closures, make_balancer(name, problem.names))
    problem.weights = list(step.weights.values())


def _loss_of_maps(problem, task, maps):
    return problem.loss(task, maps["c5"])


def separate(problem, name):
    """All forward passes, then one backward pass for each loss, its gradient put aside.

    Images of each task's own: a graph is freed by its backward pass. Shared images: all losses
    need the backbone's graph, which lives until the last.
    """
    losses = problem.losses()
    task_grads = []
    for i in range(len(losses)):
        losses[i].backward(retain_graph=problem.shares_images and i + 1 < len(losses))
        task_grads.append([p.grad for p in problem.shared])
        for p in problem.shared:
            p.grad = None
    problem.gramian = layer_gramians(task_grads).sum(0)
    weights = _weights(problem, name)
    combined = task_grads[0]
    torch._foreach_mul_(combined, weights[0])
    for grads, weight in zip(task_grads[1:], weights[1:]):
        torch._foreach_add_(combined, grads, alpha=weight)
    for p, grad in zip(problem.shared, combined):
        p.grad = grad


def _weights(problem, name) -> list[float]:
    balancer = make_balancer(name, problem.names)
    return balancer.weights(problem.gramian, dict.fromkeys(problem.names, 1.0)).tolist()


def stacked(problem, name):
    "Every element of one tensor of losses has the graph of all; gradients are rows of one matrix."
    dtype = problem.shared[0].dtype
    losses = torch.zeros(len(problem.names), device=problem.device, dtype=dtype)
    for i, loss in enumerate(problem.losses()):
        losses[i] = loss
    sizes = [p.numel() for p in problem.shared]
    rows = torch.zeros(len(losses), sum(sizes), device=problem.device, dtype=dtype)
    for i in range(len(losses)):
        losses[i].backward(retain_graph=i + 1 < len(losses))
        rows[i] = torch.cat([p.grad.reshape(-1) for p in problem.shared])
        for p in problem.shared:
            p.grad = None
    problem.gramian = (rows @ rows.T).double()
    combined = rows.new_tensor(_weights(problem, name)) @ rows
    for p, grad in zip(problem.shared, combined.split(sizes)):
        p.grad = grad.view_as(p).clone()


def autogram(problem, name):
    "The Gramian layer by layer, weights, and one backward pass of the weighted losses."
    import torchjd.aggregation as aggregation

    engine = problem.engine  # its hooks have to be there before the forward pass
    losses = torch.stack(problem.losses())
    problem.gramian = engine.compute_gramian(losses)
    losses.backward(getattr(aggregation, f"{TORCHJD[name]}Weighting")()(problem.gramian))


def torchjd(problem, name, chunk=None, saving=False):
    import torchjd.aggregation as aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    features, losses = problem.forward()
    mtl_backward(
        losses,
        features,
        shared_params=problem.shared,
        parallel_chunk_size=chunk,
        tasks_params=[problem.heads[t].parameters() for t in problem.names],
    )
    aggregator = getattr(aggregation, TORCHJD[name])()
    aggregator.gramian_weighting.register_forward_pre_hook(partial(_keep_gramian, problem))
    options = {"optimize_gramian_computation": True} if saving else {}
    jac_to_grad(problem.shared, aggregator, **options)


def _keep_gramian(problem, weighting, inputs):
    problem.gramian = inputs[0]


def torchjd_saving(problem, name):
    torchjd(problem, name, chunk=1, saving=True)


WAYS = {
    "summed": summed,
    "separate": separate,
    "streamed": streamed,
    "fixed": fixed,
    "shared_input": shared_input,
    "autogram": autogram,
    "torchjd": torchjd,
    "torchjd_saving": torchjd_saving,
    "stacked": stacked,
}
