"""Checks of the exercises of 31_add_a_task."""

import torch

from .base import call, exercise, expect, expect_close

__all__ = []


@exercise("31.1")
def _check_ious(answer):
    "The official IoU drops the pixels whose label is background."
    slip = "The official union holds the drivable pixels alone (30 % and 10 %), the strict one every pixel"
    expect_close(answer, (0.75, 0.3), "(official, strict)", slip)
    return "calling everything road costs nothing officially, beyond the alternative lanes"


@exercise("31.2")
def _check_collate(answer):
    "One whole number a picture."
    labels = call(answer, [{"rain": True}, {"rain": False}, {"rain": True}])
    expect(isinstance(labels, torch.Tensor), f"collate gave a {type(labels).__name__}; expected a tensor")
    shape = tuple(labels.shape)
    expect(shape == (3,), f"collate gave the shape {shape} for three samples; expected (3,): one number a picture")
    expect(
        labels.dtype == torch.int64,
        f"collate gave {labels.dtype}; expected torch.int64, which F.cross_entropy wants for class numbers",
    )
    expect_close(
        labels, [1, 0, 1], "the labels of rain, dry, rain", "A likely slip: True and False the wrong way round"
    )


@exercise("31.3")
def _check_rain_head(answer):
    "A module whose loss falls on a toy batch."
    expect(isinstance(answer, type), "you gave something that is no class; expected `class RainHead(nn.Module)`")
    head = call(answer, {"c2": 8, "c3": 8, "c4": 8, "c5": 16})
    expect(
        isinstance(head, torch.nn.Module), "the class is no nn.Module, so its weights would not be trained: derive it"
    )
    generator = torch.Generator().manual_seed(0)
    features = {"c5": torch.randn(4, 16, 3, 5, generator=generator)}
    logits = call(head, features, (96, 160))
    shape = tuple(logits.shape)
    expect(shape == (4, 2), f"forward gave the shape {shape} for four pictures; expected (4, 2): two logits a picture")
    loss = call(head.loss, logits, torch.tensor([0, 1, 1, 0]))
    expect(loss.ndim == 0, f"loss gave the shape {tuple(loss.shape)}; expected one number, the mean over the batch")
    expect_close(loss, torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0])), "the loss of a batch")
    expect(any(True for _ in head.parameters()), "the head has no weights; expected a linear layer made in __init__")
