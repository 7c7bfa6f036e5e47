"""Checks of the exercises in 04_built_in_world."""

from .base import call, exercise, expect_close

__all__ = []


@exercise("04.1")
def _check_depth_from_height(answer):
    near = call(answer, 63.0875)
    slip = "A box of half the height is twice as far away: what stands above the fraction's line?"
    expect_close(near, 10.0, "the depth of a person whose box is 63.0875 pixels tall", slip)
    expect_close(call(answer, 31.54375), 20.0, "the depth for a box of half that height", slip)
    changed = call(answer, 100.0, 721.0, 1.5)
    slip = "Use the arguments focal and tall, not their defaults."
    expect_close(changed, 10.815, "the depth for h=100, focal=721, tall=1.5", slip)
    return "the formula that makes a box's height a rough measure of distance"


@exercise("04.2")
def _check_truncation(answer):
    cases = (
        ((2, 3, 10, 12), 0.0, "a box inside the picture", "Nothing of it is outside."),
        ((15, 0, 25, 10), 0.5, "a box half beside the right border", "Divide by the area of the whole box."),
        ((-4, 2, 4, 10), 0.5, "a box half beside the left border", "Clip at column 0, too."),
        ((15, -10, 25, 10), 0.75, "a box across a corner", "Shares of the two sides multiply."),
        (
            (25, 30, 30, 35),
            1.0,
            "a box beyond the lower right corner",
            "Both sides are negative there: a side is at least 0.",
        ),
        ((25, 0, 30, 5), 1.0, "a box to the right of the picture", "A side inside is at least 0."),
    )
    for box, expected, what, slip in cases:
        expect_close(call(answer, box, 20, 20), expected, f"the truncation of {what}, {box} of 20 x 20", slip)
    wide = call(answer, (30, 5, 50, 15), 40, 10)
    expect_close(wide, 0.75, "the truncation of (30, 5, 50, 15) in 40 x 10", "Are width and height swapped?")
    return "as the world's labels have it, and KITTI's annotators estimated by eye"
