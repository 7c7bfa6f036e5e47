"""Randomised blocks and comparisons with one control, against tables, scipy and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mtl_course.core.errors import UserError
from mtl_course.studies.blocks import (
    _probability_below,
    aligned_ranks,
    compare_with_control,
    detectable_difference,
    dunnett_quantile,
    fit_blocks,
    scatter_of_runs,
    seeds_needed,
)


def drawn(seeds: int, runs: int, seed: int = 0, luck: float = 5.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(seeds, runs)) + luck * rng.normal(size=(seeds, 1))
    return pd.DataFrame(values, columns=[f"run {k}" for k in range(runs)])


@pytest.mark.parametrize("comparisons, expected", [(1, 2.23), (2, 2.57), (3, 2.76), (4, 2.89)])
def test_quantiles_are_those_of_dunnetts_table(comparisons, expected):
    """Two-sided, 5 %, 10 degrees of freedom (Dunnett 1964)."""
    assert dunnett_quantile(comparisons, 10) == pytest.approx(expected, abs=0.006)


def test_one_comparison_is_students_t():
    for degrees in (2, 5, 40):
        assert dunnett_quantile(1, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=2e-3)


def test_probabilities_agree_with_scipy():
    rng = np.random.default_rng(1)
    groups = rng.normal(size=(5, 6)) + np.array([0, 0.5, 1, 0, 2])[:, None]
    expected = stats.dunnett(*groups[1:], control=groups[0], rng=np.random.default_rng(0)).pvalue
    std = np.sqrt(groups.var(axis=1, ddof=1).mean())
    t = np.abs(groups[1:].mean(1) - groups[0].mean()) / (std * np.sqrt(2 / 6))
    assert [1 - _probability_below(x, 4, 25) for x in t] == pytest.approx(expected, abs=2e-3)


def test_a_seeds_luck_leaves_differences_alone():
    values = drawn(4, 5)
    lucky = values.add([100, -50, 3, 7], axis=0)
    before, after = compare_with_control(values, "run 0"), compare_with_control(lucky, "run 0")
    pd.testing.assert_frame_equal(before, after)
    assert fit_blocks(lucky).std == pytest.approx(fit_blocks(values).std)


def test_the_fit_is_that_of_two_way_least_squares():
    values = drawn(3, 4)
    fit = fit_blocks(values)
    runs = np.tile(np.eye(4), (3, 1))
    seeds = np.repeat(np.eye(3)[:, 1:], 4, axis=0)
    design = np.hstack([runs, seeds])
    _, rest, _, _ = np.linalg.lstsq(design, values.to_numpy().ravel(), rcond=None)
    assert fit.degrees == 6 and fit.std == pytest.approx(np.sqrt(rest[0] / 6))
    assert np.allclose(fit.residuals.sum(), 0) and np.allclose(fit.residuals.sum(axis=1), 0)


def test_intervals_hold_for_all_comparisons_together():
    """Where nothing differs, at most 5 % of studies show a difference; a t-test each shows 20 %."""
    studies = [drawn(4, 7, seed) for seed in range(300)]
    wrong = np.mean([(compare_with_control(values, "run 0").p < 0.05).any() for values in studies])
    assert 0.02 < wrong < 0.08


def test_a_true_difference_is_found_as_often_as_promised():
    difference = detectable_difference(1.0, seeds=5, comparisons=4, power=0.8)
    found = []
    for seed in range(250):
        values = drawn(5, 5, seed)
        values["run 1"] += difference
        table = compare_with_control(values, "run 0").set_index("run")
        found.append(table.p["run 1"] < 0.05)
    assert 0.73 < np.mean(found) < 0.87
    assert seeds_needed(1.0, difference, comparisons=4) == 5


def test_ranks_do_not_feel_one_accident():
    values = drawn(3, 6)
    accident = values.copy()
    accident.iloc[0, 3] -= 1000
    ranks = aligned_ranks(accident)
    assert ranks.to_numpy().min() == 1 and ranks.to_numpy().max() == 18
    assert scatter_of_runs(fit_blocks(accident)).index[0] == "run 3"
    assert scatter_of_runs(fit_blocks(accident)).share.iloc[0] > 0.8
    assert fit_blocks(ranks).std < 8


def test_holes_and_single_runs_are_refused():
    values = drawn(3, 3)
    with pytest.raises(UserError, match="expected two of each"):
        fit_blocks(values.iloc[:1])
    values.iloc[1, 2] = np.nan
    with pytest.raises(UserError, match="'run 2' lacks a seed"):
        compare_with_control(values, "run 0")
