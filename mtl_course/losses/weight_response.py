"""Does a balancer pass a factor on one task's loss on to the backbone, or undo it?"""

import torch
from torch import Tensor

from .backward import task_weights
from .registry import make_balancer

__all__ = []


def weight_response(
    name: str,  # a key of BALANCERS, not of one that looks at gradients
    factor: float,  # on the loss of the third of three tasks
    cosine: float,  # between all pairs of gradients; their lengths are 2, 1 and 0.4
    steps: int = 1,  # at the same place, for methods with a memory
) -> float:  # `factor`: passed on; 1: undone
    "Growth of a task's share of the backbone's step when its loss is multiplied by a factor."
    return _share(name, factor, cosine, steps) / _share(name, 1.0, cosine, steps)


def _share(name, factor, cosine, steps) -> float:
    "The effective weight of the third task, the factor included, over the sum of the others'."
    scale = torch.tensor([1.0, 1.0, factor], dtype=torch.float64)
    losses = {"a": 3.0, "b": 1.0, "c": 0.5 * factor}
    gramian = _equal_angles(cosine) * torch.outer(scale, scale)
    balancer = make_balancer(name, losses)
    for _ in range(steps if balancer.state else 1):  # without a memory every step is the first
        weights = torch.tensor(task_weights(balancer, losses, gramian))
        if balancer.wants_losses_after:
            balancer.after_step({task: 0.99 * loss for task, loss in losses.items()})
    effective = weights * scale
    return float(effective[2] / effective[:2].sum())


def _equal_angles(cosine: float) -> Tensor:  # (3, 3)
    lengths = torch.tensor([2.0, 1.0, 0.4], dtype=torch.float64)
    return (cosine + (1 - cosine) * torch.eye(3, dtype=torch.float64)) * torch.outer(lengths, lengths)
