"""Checks of the exercises of 44_batch_size."""

from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("44.1")
def _check_images_that_fit(answer):
    expect(
        isinstance(answer, (int, float)) and answer == int(answer),
        f"you gave {show(answer)}; expected a whole number: a part of an image cannot be added",
    )
    needed = 0.8 + 0.15 * answer
    slip = f"{int(answer)} images need {needed:.2f} GiB: is it the largest number that needs at most 5.1?"
    expect_close(answer, 28, "the number of images", slip, tolerance=1e-9)


@exercise("44.2")
def _check_stop(answer):
    for a, b in ((1.0, 1.0), (0.1, 0.02), (1.0, 0.001), (0.01, 1.0)):
        size = 1
        while 2 * (a + b * size) >= 1.05 * (a + 2 * b * size):
            size *= 2
        given = call(answer, a, b)
        slip = "It is the first size whose double brings less than 5 % more; sizes are 1, 2, 4, …"
        expect_close(given, size, f"for a = {a} and b = {b} the size", slip, tolerance=1e-9)
