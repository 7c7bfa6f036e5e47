"""What every check of an exercise is made of."""

import importlib
import reprlib
from collections.abc import Callable

import numpy as np
import torch

__all__ = []

_CHECKS = {}  # number of an exercise, such as "06.1" -> its check
_short = reprlib.Repr()  # keeps what it shows short
_short.maxstring = 80
_short.maxother = 120
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 8


class Slip(Exception):
    """An answer that is not right: what was given, what was expected, and the likely slip, in
    sentences.
    """


class NotYet(Exception):
    "The stub was left as it is."


def exercise(number: str) -> Callable:  # such as "06.1": lesson and exercise
    """Registers a check: a function of the answer that raises `Slip`, or returns what to say beside
    "right".
    """

    def register(function):
        _CHECKS[number] = function
        return function

    return register


def check(
    number: str,  # lesson and exercise, such as "06.1"
    answer,  # a value, a function or a class, as the exercise asks for it; None: not yet
):
    """Prints "not yet", "right" or "not right" with the reason; never raises for a wrong answer."""
    if number not in _CHECKS:
        importlib.import_module(f".lesson_{number.split('.')[0]}", __package__)
    try:
        if answer is None:
            raise NotYet
        remark = _CHECKS[number](answer)
    except (NotYet, NotImplementedError):
        print("not yet")
    except Slip as slip:
        print(f"not right: {slip}")
    except Exception as error:  # the answer's own mistake, met while the check used it
        print(
            f"not right: your answer led to {_reason(error)}; expected a value of the kind that the exercise asks for"
        )
    else:
        print(f"right: {remark}" if remark else "right")


def call(function: Callable, *arguments, **named):
    """What an answer gives for some arguments; None counts as not yet, an exception as a slip that
    names it.
    """
    if not callable(function):
        raise Slip(f"you gave {show(function)}; expected a function")
    try:
        result = function(*arguments, **named)
    except NotImplementedError:
        raise NotYet from None
    except Exception as error:
        name = getattr(function, "__name__", "your function")
        raise Slip(f"{name} raised {_reason(error)}") from None
    if result is None:
        raise NotYet
    return result


def expect(condition: bool, sentence: str):
    "Raises `Slip` with a sentence unless a condition holds."
    if not condition:
        raise Slip(sentence)


def expect_close(
    given,  # number, list, tuple, array or tensor, of any float type
    expected,  # the same
    what: str,  # what it is, for the sentence: "the loss of the first batch"
    slip: str = "",  # the likely slip, a sentence
    tolerance: float = 1e-4,  # relative to the largest expected number
):
    """Raises `Slip` unless two things hold the same numbers in the same shape, within float32's
    precision.
    """
    expected = _array(expected)
    try:
        numbers = _array(given)
    except (TypeError, ValueError, RuntimeError):
        raise Slip(f"you gave {show(given)} for {what}; expected numbers of shape {expected.shape}") from None
    end = f". {slip}" if slip else ""
    if numbers.shape != expected.shape:
        raise Slip(f"{what} has the shape {numbers.shape}, expected {expected.shape}{end}")
    scale = max(1e-12, float(np.abs(expected).max(initial=0)))
    if not np.allclose(numbers, expected, rtol=0, atol=tolerance * scale, equal_nan=True):
        raise Slip(f"{what} is {show(given)}, expected {show(expected.tolist())}{end}")


def show(value) -> str:
    "A value in a few words, however long it is."
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().float().numpy() if value.is_floating_point() else value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)) and all(isinstance(v, float) for v in value):
        value = type(value)(float(f"{v:.6g}") for v in value)
    return _short.repr(value)


def _array(value) -> np.ndarray:
    "Numbers as float64, whatever holds them."
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().to(torch.float64).numpy()
    if isinstance(value, (list, tuple)):
        value = [_array(v) for v in value]
    return np.asarray(value, np.float64)


def _reason(error: Exception) -> str:
    "An exception in one line."
    text = (str(error).splitlines() or [""])[0][:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
