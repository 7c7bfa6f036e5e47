"""Checks of lesson 20, real roads."""

import pandas as pd

from .base import call, exercise, expect, expect_close, show

__all__ = []


@exercise("20.1")
def _check_no_sibling(answer):
    for frames, held_out in ((10, 0.1), (3, 0.5), (30, 0.1)):
        expect_close(
            call(answer, frames, held_out),
            held_out ** (frames - 1),
            f"the probability with {frames} frames a track and {held_out:.0%} held out",
            "All the other frames of its track must be held out, too: the frame itself already is, "
            "and each of the others is with the same probability",
            1e-6,
        )
    return "practically every held-out frame has siblings in training"


def _table(top1: dict) -> pd.DataFrame:
    "Rows as `world_to_real_signs.csv` holds them: means over classes, halves, and every class."
    records = [dict(half="all", class_id=None, name="all classes", top1=0.1)]
    records.append(dict(half="held_out", class_id=9, name="Stop", top1=0.2))
    records += [dict(half="all", class_id=k, name=name, top1=v) for k, (name, v) in enumerate(top1.items())]
    return pd.DataFrame(records)


@exercise("20.2")
def _check_worst_sign(answer):
    for top1 in ({"Danger": 0.9, "Children": 0.7, "Yield": 1.0}, {"Ice": 0.5, "Danger": 0.8}):
        given = call(answer, _table(top1))
        worst = min(top1, key=top1.get)
        expect(
            given == worst,
            f"for a table with {show(top1)} in its rows for all crops you gave {show(given)}, expected {worst!r}. "
            'Take the rows whose half is "all" and that have a class_id, then the smallest top1',
        )
    return "now look at how it is drawn"
