"""Exercises: `check("06.1", answer)` says what was given, what was expected, and which slip is
likely.
"""

from .base import check

__all__ = ["check"]
