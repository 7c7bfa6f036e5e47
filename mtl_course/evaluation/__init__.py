"""Scores on held-out data."""

from .evaluate import evaluate_model

__all__ = ["evaluate_model"]
