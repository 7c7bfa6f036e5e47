"""Convolutions of maps of a few pixels, as one matrix product: the same sums, faster on a CPU."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = []

LARGEST = 9  # pixels of a map that comes out; beyond it the library's convolution is as fast


def convolve_small_maps(network: nn.Module):
    """Lets every plain convolution of a network take the faster way where its map is small.

    Weights, names and random draws stay as they are: only the class of the modules changes.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros":
            module.__class__ = _Conv2d


class _Conv2d(nn.Conv2d):
    """`nn.Conv2d`, which multiplies matrices where few pixels come out on a CPU.

    oneDNN cuts a convolution into blocks of pixels; a map of 2×2 fills a fraction of one, and the
    weights' gradient of a 512→512 convolution then takes five times as long as its product.
    """

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, O, h, w)
        height, width = _size_after(x.shape[-2:], self.kernel_size, self.stride, self.padding, self.dilation)
        if x.device.type != "cpu" or not 0 < height * width <= LARGEST:
            return super().forward(x)
        batch, channels = x.shape[:2]
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
        pixels = F.pad(pixels, (0, 0, 0, 1))  # a row of zeros: what lies beyond the border
        windows = pixels[_windows(x.shape, self.kernel_size, self.stride, self.padding, self.dilation)]
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # (O, kernel · C)
        y = F.linear(windows.flatten(1), weight, self.bias)
        return y.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _size_after(size, kernel, stride, padding, dilation) -> tuple[int, int]:
    reach = [d * (k - 1) for d, k in zip(dilation, kernel)]
    height, width = [(n + 2 * p - r - 1) // s + 1 for n, p, r, s in zip(size, padding, reach, stride)]
    return height, width


@lru_cache(maxsize=64)
def _windows(shape, kernel, stride, padding, dilation) -> Tensor:  # (pixels out, kernel) rows of the pixels in
    batch, _, height, width = shape
    outside = batch * height * width
    top, left = padding
    with torch.inference_mode(False):  # the cache outlives a prediction, and training may follow
        rows = torch.arange(outside).view(batch, 1, height, width)
        rows = F.pad(rows, (left, left, top, top), value=outside)
        columns = F.unfold(rows.double(), kernel, dilation=dilation, stride=stride)  # (B, kernel, pixels)
        return columns.transpose(1, 2).flatten(0, 1).long()
