"""Checks of the exercises of lesson 24."""

from math import comb

import numpy as np
import pandas as pd

from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("24.1")
def _check_weight(answer):
    for a, b, share in ((1.0, 1.0, 0.5), (4.0, 0.05, 0.2), (3.0, 2.0, 0.9)):
        right = a / b * (share / (1 - share)) ** 0.5
        slip = f"With w·b as the lanes' length the share w²b²/(a² + w²b²) must be {share}"
        expect_close(call(answer, a, b, share), right, f"the weight for a = {a:g}, b = {b:g}, s = {share:g}", slip)


@exercise("24.2")
def _check_chance(answer):
    for conflicts, steps in ((32, 60), (45, 60), (31, 60), (3, 4)):
        right = sum(comb(steps, k) for k in range(conflicts, steps + 1)) / 2**steps
        slip = "At least that often: the number itself counts, so sf(conflicts − 1, …)"
        what = f"the probability for {conflicts} of {steps}"
        expect_close(call(answer, conflicts, steps), right, what, slip)


def _made_up_gradients() -> pd.DataFrame:
    "Two stages and the whole, a layer that is faster than its stage, tasks that have no ratio."
    rows = []
    for step, factor in ((1, 1.0), (3, 0.1)):
        places = [("stem", None, 2e-3), ("layer1", None, 3e-3), ("trunk", None, 9e-3), ("network", None, np.nan)]
        places.append(("stem", "stem.conv1", 8e-2))
        for stage, layer, ratio in places:
            rows.append(dict(step=step, stage=stage, layer=layer, task="all", norm=1.0, ratio=ratio * factor))
        rows.append(dict(step=step, stage="stem", layer=None, task="lane", norm=1.0, ratio=np.nan))
    rows[0]["ratio"] = 4e-3  # the stem is ahead in the first step, not on the mean
    rows[6 + 0]["ratio"] = 1e-4
    rows[6 + 1]["ratio"] = 3e-3
    return pd.DataFrame(rows)


@exercise("24.3")
def _check_fastest_stage(answer):
    given = call(answer, _made_up_gradients())
    expect(
        given == "layer1",
        f"your function gave {show(given)} for a made-up table, expected 'layer1': the mean of `ratio` over the steps, "
        "of rows without a layer, leaving out the stages trunk and network",
    )
