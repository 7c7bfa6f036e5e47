"""Several processes that train one network: their start, work done once, averages over all."""

import logging
import os
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..config import Config
from ..core.device import choose_device, choose_precision
from ..core.errors import UserError

__all__ = ["start_fabric"]


def start_fabric(config: Config, launch: bool = False) -> Fabric:
    """Fabric for a config's device and precision, in this process alone.

    With `launch` it starts this program anew for each other of the config's processes, on GPUs one
    for each GPU at most: for commands, not for notebooks. Under `torchrun` it joins the processes
    that are there.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # training.log tells the device
    device = choose_device(config.device)
    processes = config.num_processes if launch else 1
    if device == "cuda":
        processes = min(processes, torch.cuda.device_count())
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    fabric = Fabric(
        accelerator=device,
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=choose_precision(config.precision, device),
    )
    fabric.launch()
    return fabric


def run_on_rank_zero(
    fabric: Fabric,
    work: Callable,  # called without arguments
):
    """Runs `work()` in the first process while the others wait as long as it takes.

    Its `UserError` or `OSError` is raised there; the others end without a word, exit code 2.
    """
    error = None
    with fabric.rank_zero_first():
        if fabric.global_rank == 0:
            try:
                work()
            except (UserError, OSError) as e:
                error = e
    if fabric.broadcast(error is not None):
        raise error or SystemExit(2)


@torch.no_grad()
def all_reduce_mean_(
    fabric: Fabric,
    tensors: list[Tensor],  # changed in place
):
    "Replaces tensors by their means over all processes, in one message."
    if fabric.world_size == 1 or not tensors:
        return
    flat = torch.cat([t.float().flatten() for t in tensors])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    for tensor, part in zip(tensors, mean.split([t.numel() for t in tensors])):
        tensor.copy_(part.view_as(tensor))


def sync_batchnorm_stats(fabric: Fabric, model: nn.Module):
    "Averages BatchNorm's running statistics over all processes, before a model is scored or saved."
    all_reduce_mean_(fabric, [b for b in model.buffers() if b.is_floating_point()])


def loss_scale(fabric: Fabric) -> float:
    """The factor by which float16 training multiplies losses, so that no gradient vanishes.

    It is 1 in other precisions.
    """
    scaler = getattr(fabric._precision, "scaler", None)
    return scaler.get_scale() if scaler else 1.0
