"""What one value of a config may be, and the sentence that is said when it is something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .errors import UserError

__all__ = ["Field"]


class Kind(NamedTuple):
    """A kind of value: how it is told to people, and how text or a value of Python becomes one."""

    expected: str
    parse: Callable  # value -> value of this kind; raises ValueError, TypeError or OverflowError
    joint: str = ","  # between the parts of a tuple, written as text


def _parse_text(value) -> str:
    if isinstance(value, (dict, list, tuple, set, bytes)):
        raise ValueError(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_bool(value) -> bool:
    text = str(value).lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise ValueError(value)


def _parse_whole(value) -> int:
    if isinstance(value, (list, tuple, dict)):
        raise ValueError(value)
    if isinstance(value, float) and value != int(value):
        raise ValueError(value)
    return int(value)


def _parts(value) -> list:
    "The parts of a tuple, given as one or as text with commas."
    if isinstance(value, dict) or any(isinstance(part, (dict, list, tuple)) for part in value):
        raise ValueError(value)
    if not isinstance(value, str):
        return list(value)
    return [part.strip() for part in value.split(",")]


def _parse_size(value) -> tuple:
    parts = _parts(value.replace("x", ",") if isinstance(value, str) else value)
    height, width = map(int, parts)
    if min(height, width) < 32:
        raise ValueError(value)
    return height, width


def _parse_ratios(value) -> tuple:
    ratios = tuple(map(float, _parts(value)))
    if len(ratios) != 3 or not all(0 < ratio < float("inf") for ratio in ratios):
        raise ValueError(value)
    return ratios


def _parse_names(value) -> tuple:
    return tuple(map(str, _parts(value)))


TEXT = Kind("text", _parse_text)
TRUTH = Kind("true or false", _parse_bool)
WHOLE = Kind("a whole number", _parse_whole)
NUMBER = Kind("a number", float)
SIZE = Kind("height x width of at least 32 pixels, such as 128x416", _parse_size, "x")
RATIOS = Kind("three positive numbers, such as 0.5,1,2", _parse_ratios)
NAMES = Kind("names, comma-separated", _parse_names)
_KIND_OF = {str: TEXT, bool: TRUTH, int: WHOLE, float: NUMBER}  # of a default value
_KIND_OF_TUPLE = {str: NAMES, int: SIZE, float: RATIOS}


@dataclass(frozen=True)
class Field:
    """One named value of a config: its default, its line of help, and what it may be."""

    name: str
    default: object  # its type is the field's
    help: str  # for the command line
    options: tuple = ()  # the values it may have; empty: any of its kind
    least: float = 0  # for numbers
    most: float = float("inf")

    @property
    def kind(self) -> Kind:
        """By the type of the default; of a tuple, by the type of its values."""
        if isinstance(self.default, tuple):
            return _KIND_OF_TUPLE[type(self.default[0])]
        return _KIND_OF[type(self.default)]

    def check(
        self,
        value,  # text, as from a command line, or already of the field's kind
        label: str = "",  # what the value is called in errors; default: config field '<name>'
    ):  # the value in the field's kind
        """Reads a value; raises `UserError` when it does not fit."""
        fault = f"{label or f'config field {self.name!r}'} is {value!r}: expected "
        try:
            value = self.kind.parse(value)
        except (TypeError, ValueError, OverflowError):
            raise UserError(fault + self.kind.expected) from None
        if self.options and value not in self.options:
            raise UserError(fault + f"one of {', '.join(self.options)}")
        if self.kind in (WHOLE, NUMBER) and not self._is_within(value):
            limit = f" and at most {self.most}" if self.most < float("inf") else ""
            kind = "whole" if self.kind is WHOLE else "finite"
            raise UserError(fault + f"a {kind} number of at least {self.least}{limit}")
        return value

    def _is_within(self, value) -> bool:
        return self.least <= value <= self.most and value < float("inf")

    def text(self, value) -> str:
        """A value as it is written on the command line."""
        if isinstance(value, tuple):
            return self.kind.joint.join(map(str, value))
        return str(value).lower() if isinstance(value, bool) else str(value)
