"""PyTorch's BatchNorm, but a batch of one value per channel is not refused."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = []


def has_batch_variance(x: Tensor) -> bool:  # (B, C, …)
    """Whether there is more than one value per channel: a single one has no variance."""
    return x.numel() > x.shape[1]


class BatchNorm1d(nn.BatchNorm1d):
    """PyTorch's, but a batch of one is normalised by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C)
        return super().forward(x) if has_batch_variance(x) else _with_running_statistics(self, x)


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's, but one image with a one-pixel map is normalised by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        return super().forward(x) if has_batch_variance(x) else _with_running_statistics(self, x)


def _with_running_statistics(layer, x):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)
