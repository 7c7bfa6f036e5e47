"""Checks of the exercises of 01_signs."""

import numpy as np

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("01.1")
def _check_share_with_sisters(answer):
    slip = "It has two sisters, each in training with probability 0.9: when is at least one of them there?"
    expect_close(answer, 0.99, "the share of validation images with another frame in training", slip, tolerance=0.005)
    return "nearly every validation image has been seen in training, a moment earlier or later"


@exercise("01.2")
def _check_held_out(answer):
    groups = [f"track {k}" for k in (7, 7, 2, 2, 2, 5, 9, 9, 1, 1, 1, 1, 4, 4, 7, 8, 0, 3, 6, 6)]
    chosen = {seed: _validation_groups(answer, groups, 0.3, seed) for seed in range(8)}
    for names in chosen.values():
        sentence = f"of 10 groups with share=0.3, {len(names)} are in validation, expected 3: count groups, not images"
        expect(len(names) == 3, sentence)
    again = _validation_groups(answer, groups, 0.3, 5)
    expect(again == chosen[5], "two calls with seed 5 gave different groups: let one generator with the seed decide")
    different = {frozenset(names) for names in chosen.values()}
    expect(len(different) > 1, "eight seeds gave the same groups: expected a random choice that depends on the seed")
    turned = _validation_groups(answer, groups[::-1], 0.3, 5)
    sentence = "with the images in another order other groups were chosen: draw among the sorted names"
    expect(turned == chosen[5], sentence)
    few = _validation_groups(answer, ["a", "a", "b", "b", "c"], 0.05, 0)
    expect(len(few) == 1, f"of 3 groups with share=0.05, {len(few)} are in validation, expected one at least")
    return "no group stands on both sides, whatever the order of the images"


def _validation_groups(answer, groups: list, share: float, seed: int) -> set:
    "The groups that an answer puts into validation, each of them whole."
    given = np.asarray(call(answer, groups, share, seed))
    if given.shape != (len(groups),) or not set(given.tolist()) <= {0, 1}:
        raise Slip(f"you gave {show(given)} for {len(groups)} images; expected True or False for each image")
    validation = {group for group, is_val in zip(groups, given) if is_val}
    training = {group for group, is_val in zip(groups, given) if not is_val}
    torn = sorted(validation & training)
    if torn:
        raise Slip(f"images of {torn[0]!r} are on both sides; expected whole groups: deal out names, not images")
    return validation
