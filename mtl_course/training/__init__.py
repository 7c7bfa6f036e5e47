"""The training loop and what belongs to it."""

from .loop import train

__all__ = ["train"]
