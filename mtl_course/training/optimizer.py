"""The optimiser and its learning rate."""

import math

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ..config import Config

__all__ = ["learning_rate_factor", "make_optimizer"]


def learning_rate_factor(
    step: int,  # from 0
    total: int,  # steps of the whole run
    warmup: int,  # steps of the rise
    scheduler_type: str = "cosine",  # or constant
) -> float:  # 0..1
    """What the peak learning rate is multiplied by at a step.

    A straight line upwards, then half a cosine down to zero (Loshchilov & Hutter 2017, equation 5).
    """
    if step < warmup:
        return (step + 1) / warmup
    if scheduler_type == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(
    model: nn.Module,
    config: Config,
    total_steps: int,  # of the whole run
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """The optimiser and its learning-rate schedule, one scheduler step per training step.

    AdamW decays filters and matrices only: shifts, scales and biases have no reason to shrink.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    betas = (0.9, config.adam_beta2)
    if config.optimizer == "adam":
        optimizer = torch.optim.Adam(parameters, config.learning_rate, betas, weight_decay=config.weight_decay)
    else:
        groups = [
            dict(params=[p for p in parameters if p.ndim > 1], weight_decay=config.weight_decay),
            dict(params=[p for p in parameters if p.ndim <= 1], weight_decay=0.0),
        ]
        fused = config.precision != "16-mixed"  # float16 has to unscale between clipping and stepping
        optimizer = torch.optim.AdamW(groups, config.learning_rate, betas, fused=fused)

    def factor(step):
        return learning_rate_factor(step, total_steps, config.warmup_steps, config.scheduler_type)

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def clip_gradients(
    fabric: Fabric,
    optimizer,  # as Fabric hands it back
    largest: float,  # norm
):
    """Shortens the whole gradient to a norm, as `fabric.clip_gradients` does.

    Squares of float32 overflow above 1.8e19; a gradient so long would be divided by infinity, and
    is measured in float64.
    """
    optimizer = optimizer.optimizer
    fabric._precision.unscale_gradients(optimizer)
    parameters = [p for p in fabric._precision.main_params(optimizer) if p.grad is not None]
    grads = [p.grad for p in parameters]
    norm = get_total_norm(grads)
    if not norm.isfinite():
        norm = torch.stack([torch.linalg.vector_norm(grad, dtype=torch.float64) for grad in grads]).norm()
    clip_grads_with_norm_(parameters, largest, norm)
