"""Regions cut from the pyramid as one weighted sum of rows: RoIAlign that a CPU does fast."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

__all__ = []


class RoIPool(MultiScaleRoIAlign):
    """torchvision's `MultiScaleRoIAlign` (He et al. 2017, section 3), in another way on a CPU.

    A cell is the mean of bilinear samples, so a weighted sum of a few pixels. With the channels
    last, pixels are rows of a table, and `embedding_bag` adds them with vector instructions;
    torchvision goes through them one number at a time.
    """

    def forward(
        self,
        x: dict[str, Tensor],  # level -> (B, C, h, w)
        boxes: list[Tensor],  # per image (N, 4) corners in pixels
        image_shapes: list[tuple[int, int]],
    ) -> Tensor:  # (ΣN, C, 7, 7)
        maps = [x[name] for name in self.featmap_names if name in x]
        if maps[0].device.type != "cpu":
            return super().forward(x, boxes, image_shapes)
        height = max(size[0] for size in image_shapes)
        octaves = [round(math.log2(height / m.shape[-2])) for m in maps]  # 2 for a map at stride 4
        to_level = initLevelMapper(octaves[0], octaves[-1], self.canonical_scale, self.canonical_level)
        counts = torch.tensor([len(image_boxes) for image_boxes in boxes])
        images = torch.repeat_interleave(torch.arange(len(boxes)), counts)
        scales = [0.5**octave for octave in octaves]
        return _pool(maps, scales, torch.cat(boxes), images, to_level(boxes), self.output_size, self.sampling_ratio)


class _Samples(NamedTuple):
    """Pixels and weights along one axis, of each cell of each box: (N, cells, 2 · samples)."""

    pixels: Tensor
    weights: Tensor


def _pool(maps, scales, boxes, images, levels, output_size, samples) -> Tensor:
    channels = maps[0].shape[1]
    table = torch.cat([m.permute(0, 2, 3, 1).reshape(-1, channels) for m in maps]).float()  # sums in float32
    sizes = torch.tensor([m.shape[2:] for m in maps])
    pixels_before = torch.tensor([0, *(m.shape[0] * m.shape[2] * m.shape[3] for m in maps)]).cumsum(0)
    height, width = sizes[levels].unbind(1)
    scale = torch.tensor(scales)[levels]
    rows, columns = output_size
    y = _sample(boxes[:, 1] * scale, boxes[:, 3] * scale, height, rows, samples)
    x = _sample(boxes[:, 0] * scale, boxes[:, 2] * scale, width, columns, samples)
    first = pixels_before[levels] + images * height * width
    row_starts = first[:, None, None] + y.pixels * width[:, None, None]
    pixels = row_starts[:, :, None, :, None] + x.pixels[:, None, :, None, :]  # (N, rows, columns, 2S, 2S)
    weights = y.weights[:, :, None, :, None] * x.weights[:, None, :, None, :]
    bags = (-1, 4 * samples * samples)
    cells = F.embedding_bag(pixels.view(bags), table, mode="sum", per_sample_weights=weights.view(bags).to(table))
    return cells.view(len(boxes), rows, columns, channels).permute(0, 3, 1, 2).to(maps[0].dtype)


def _sample(start: Tensor, end: Tensor, size: Tensor, cells: int, samples: int) -> _Samples:
    """Bilinear samples from start to end (N,) in pixels of a map of `size` (N,) pixels.

    As torchvision has it: a box has at least one pixel, a point up to one pixel outside takes the
    border's value, and one further outside counts as zero.
    """
    length = (end - start).clamp(min=1)
    places = (torch.arange(cells * samples) + 0.5) / (cells * samples)
    points = start[:, None] + places * length[:, None]
    inside = (points >= -1) & (points <= size[:, None])
    last = size[:, None] - 1
    points = torch.minimum(points.clamp(min=0), last)
    low = points.floor()
    above = points - low
    shape = (len(start), cells, 2 * samples)
    pixels = torch.stack([low, torch.minimum(low + 1, last)], -1).long()
    weights = torch.stack([1 - above, above], -1) * inside[..., None] / samples
    return _Samples(pixels.view(shape), weights.view(shape))
