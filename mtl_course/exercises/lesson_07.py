"""Checks of the exercises of 07_classification_head."""

import torch

from ..models.classification_head import ClassificationHead
from .base import call, exercise, expect, expect_close

__all__ = []


@exercise("07.1")
def _check_parameters(answer):
    expected = sum(p.numel() for p in ClassificationHead(512).parameters())
    expect_close(
        answer,
        expected,
        "the number of parameters",
        "Only the weights of the first layer, inputs × 1024, depend on the width; biases and BatchNorm stay",
        tolerance=1e-7,
    )
    return f"{expected:,} parameters, less than half"


@exercise("07.2")
def _check_focal_loss(answer):
    torch.manual_seed(0)
    logits = 3 * torch.randn(16, 5)
    labels = torch.randint(0, 5, (16,))
    head = ClassificationHead(8, 5)
    for gamma in (0.0, 2.0, 0.5):
        head.focal_gamma = gamma
        expect_close(
            call(answer, logits.clone(), labels.clone(), gamma),
            head.loss(logits, labels),
            f"the focal loss for γ = {gamma:g}",
            "Weigh −log p of the right class by (1 − p) to the power γ, then take the mean over the batch",
        )
    large = torch.tensor([[200.0, 0.0], [200.0, 0.0]])
    given = torch.as_tensor(call(answer, large, torch.tensor([0, 1]), 2.0))
    expect(
        bool(given.isfinite().all()),
        f"for logits of 200 the loss is {given}; expected a finite number: the logarithm of a softmax that "
        "underflows is −∞, log_softmax is not",
    )
    expect_close(given, 100.0, "the loss of one sure and one surely wrong answer", "The wrong one costs 200")
    return "with γ = 0 it is the cross-entropy, and it stays finite for large logits"


@exercise("07.3")
def _check_smallest_smoothed_loss(answer):
    for k, eps in ((43, 0.1), (10, 0.3), (2, 0.5)):
        target = torch.full((k,), eps / k, dtype=torch.float64)
        target[0] += 1 - eps
        expect_close(
            call(answer, k, eps),
            torch.distributions.Categorical(target).entropy(),
            f"the smallest loss for K = {k} and ε = {eps}",
            "The label's target is 1 − ε + ε/K, and each of the K − 1 others contributes −ε/K log ε/K",
        )
    return "no training brings a smoothed loss below the entropy of its targets"
