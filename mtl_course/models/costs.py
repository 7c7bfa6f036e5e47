"""What a network costs: multiplications, memory kept for the backward pass, time beside another."""

import statistics
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .sharing import SHARING, make_backbone

__all__ = []


def count_operations(function: Callable, *arguments) -> float:  # billions
    """Operations of convolutions, matrix products and attention: multiplications and additions."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        function(*arguments)
    return counter.get_total_flops() / 1e9


def sharing_costs(
    name: str,  # of the ResNet
    size: tuple[int, int] = (128, 416),  # (height, width) of an image
) -> pd.DataFrame:  # a row per way of sharing
    """Parameters, operations and memory that can be counted without computing.

    On the "meta" device tensors have shapes but no numbers.
    """
    records = []
    with torch.device("meta"):
        image = torch.empty(1, 3, *size)
        for sharing in SHARING:
            backbone = make_backbone(sharing, name).eval()
            task = backbone.tasks[-1]
            records.append(
                {
                    "sharing": sharing,
                    "parameters (M)": _millions(backbone.parameters()),
                    "of them shared (M)": _millions(backbone.shared_parameters()),
                    "one task's image": count_operations(backbone, image, task),
                    "image for all": count_operations(backbone.forward_all, image),
                    "kept (MB)": _saved_megabytes(backbone, image, task),
                }
            )
    return pd.DataFrame(records).set_index("sharing")


def sharing_seconds(
    backbones: dict[str, nn.Module],  # way of sharing -> backbone; "hard" is the measure
    batch: Tensor,  # (B, 3, H, W)
    rounds: int = 5,  # of which the first warms up
) -> pd.DataFrame:  # median, smallest and largest multiple of hard sharing's seconds
    """Time of a forward and backward pass for one batch per task, on one thread.

    One variant after the other in each round, so that a busy moment hits all of them.
    """
    seconds = {sharing: [] for sharing in backbones}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(rounds):
        for sharing, backbone in backbones.items():
            start = time.process_time()
            _train_once(backbone.train(), batch)
            seconds[sharing].append(time.process_time() - start)
    torch.set_num_threads(threads)
    table = {}
    for sharing, values in seconds.items():
        ratios = [a / b for a, b in zip(values[1:], seconds["hard"][1:])]
        table[sharing] = dict(median=statistics.median(ratios), smallest=min(ratios), largest=max(ratios))
    return pd.DataFrame(table).T


def _millions(parameters):
    return sum(p.numel() for p in parameters) / 1e6


def _saved_megabytes(backbone, image, task):
    """What a training pass holds for the backward pass, the parameters left out."""
    parameters = {p.untyped_storage()._cdata for p in backbone.parameters()}
    saved = {}

    def remember(x):
        saved[x.untyped_storage()._cdata] = x.nbytes
        return x

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda x: x):
        features = backbone.train()(image, task)  # held until all is counted
    total = sum(size for storage, size in saved.items() if storage not in parameters)
    del features
    return total / 1e6


def _train_once(backbone, batch):
    for task in backbone.tasks:
        features = backbone(batch, task).values()
        sum(f.mean() for f in features).backward()
