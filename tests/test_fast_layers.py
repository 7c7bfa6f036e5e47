"""The faster ways of a convolution and of RoIAlign are the library's functions."""

import pytest
import torch
from torch import nn
from torchvision.ops import MultiScaleRoIAlign

from mtl_course.models.roi_pooling import RoIPool
from mtl_course.models.small_maps import convolve_small_maps

IMAGE = (96, 320)  # height, width


def gradients_of(output, inputs):
    torch.manual_seed(1)
    return torch.autograd.grad((output * torch.randn(output.shape)).sum(), inputs)


def agree(first, second):
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


CONVOLUTIONS = {
    "3x3": (dict(kernel_size=3, padding=1), (2, 2)),
    "stride 2": (dict(kernel_size=3, padding=1, stride=2), (3, 3)),
    "1x1, stride 2": (dict(kernel_size=1, stride=2), (5, 5)),
    "oblong": (dict(kernel_size=(3, 1), padding=(1, 0), stride=(2, 1)), (3, 4)),
    "dilated": (dict(kernel_size=3, padding=2, dilation=2), (3, 2)),
    "too large for it": (dict(kernel_size=3, padding=1), (9, 12)),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_small_map_is_convolved_as_ever(case, bias):
    options, size = CONVOLUTIONS[case]
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 5, bias=bias, **options)
    x = torch.randn(3, 6, *size, requires_grad=True)
    inputs = [x, *layer.parameters()]
    expected = layer(x)
    expected_gradients = gradients_of(expected, inputs)
    convolve_small_maps(layer)
    agree([expected, *expected_gradients], [layer(x), *gradients_of(layer(x), inputs)])


def test_it_changes_no_weight_and_draws_nothing():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    convolve_small_maps(network)
    assert torch.equal(torch.get_rng_state(), state)
    after = network.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)


def test_grouped_convolutions_are_left_alone():
    layer = nn.Conv2d(4, 4, 3, groups=2)
    convolve_small_maps(layer)
    assert type(layer) is nn.Conv2d


def test_bf16_works_under_autocast():
    layer = nn.Conv2d(6, 5, 3, padding=1)
    x = torch.randn(2, 6, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(x)
        convolve_small_maps(layer)
        got = layer(x)
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got, expected, rtol=0.02, atol=0.02)


def made_up_boxes(seed, number):
    """Boxes of all sizes; some reach over the border, some are empty."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * torch.tensor([360.0, 120.0]) - 20
    size = torch.rand(number, 2, generator=generator) ** 3 * torch.tensor([300.0, 100.0])
    return torch.cat([corner, corner + size], 1)


@pytest.mark.parametrize("levels", [("c2", "c3", "c4", "c5"), ("c5",)])
def test_regions_are_pooled_as_torchvision_does(levels):
    torch.manual_seed(0)
    strides = dict(c2=4, c3=8, c4=16, c5=32)
    maps = {}
    for level in levels:
        height, width = IMAGE[0] // strides[level], IMAGE[1] // strides[level]
        maps[level] = torch.randn(2, 8, height, width, requires_grad=True)
    boxes = [made_up_boxes(0, 40), made_up_boxes(1, 0)]
    boxes = [*boxes[:1], torch.cat([boxes[1], made_up_boxes(2, 25)])]
    results = []
    for kind in (MultiScaleRoIAlign, RoIPool):
        pool = kind(list(levels), output_size=7, sampling_ratio=2, canonical_scale=112)
        pooled = pool(maps, boxes, [IMAGE] * 2)
        results.append([pooled, *gradients_of(pooled, list(maps.values()))])
    agree(*results)


def test_no_boxes_give_no_regions():
    maps = {"c5": torch.randn(1, 8, 3, 10)}
    pool = RoIPool(["c5"], output_size=7, sampling_ratio=2)
    assert pool(maps, [torch.zeros(0, 4)], [IMAGE]).shape == (0, 8, 7, 7)


def test_a_network_that_predicted_first_can_be_trained():
    layer = nn.Conv2d(3, 4, 3, padding=1)
    convolve_small_maps(layer)
    x = torch.randn(7, 3, 2, 2)
    with torch.inference_mode():
        layer(x)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_bf16_maps_are_added_up_in_float32():
    torch.manual_seed(0)
    exact = torch.randn(1, 8, 12, 40, requires_grad=True)
    coarse = exact.detach().bfloat16().requires_grad_()
    boxes = [made_up_boxes(0, 300)]
    gradients = []
    for x in (exact, coarse):
        pooled = RoIPool(["c3"], output_size=7, sampling_ratio=2)({"c3": x}, boxes, [IMAGE])
        assert pooled.dtype == x.dtype
        gradients.append(gradients_of(pooled.float(), [x])[0].float())
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert error < 0.01
