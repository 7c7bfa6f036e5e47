"""A study as randomised blocks: every run with every seed.

A seed is a block: what its luck gives to all runs alike is taken out, and the scatter that is left
is estimated once, from all runs together, not from three numbers for each.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from ..core.errors import UserError

__all__ = []

_NODES = 48  # of each quadrature; twice as many change the quantiles in the fifth digit


class BlockFit(NamedTuple):
    "value = run + seed + residual, by least squares."

    means: pd.Series  # of each run
    residuals: pd.DataFrame  # index seed, one column per run
    std: float  # of the residuals
    degrees: int  # of freedom, (runs − 1)(seeds − 1)


def fit_blocks(
    values: pd.DataFrame,  # index seed, one column per run, no hole
) -> BlockFit:
    """Effects of runs and seeds (Fisher 1935, randomised blocks).

    Raises `UserError` for holes, and for fewer than two runs or seeds.
    """
    seeds, runs = values.shape
    if min(seeds, runs) < 2:
        raise UserError(f"{runs} run(s) with {seeds} seed(s): expected two of each at least")
    if values.isna().any(axis=None):
        run = values.columns[values.isna().any()][0]
        raise UserError(f"run {run!r} lacks a seed that others have: expected every run with every seed")
    means = values.mean()
    residuals = values.sub(means, axis=1).sub(values.mean(axis=1) - values.mean(axis=None), axis=0)
    degrees = (runs - 1) * (seeds - 1)
    return BlockFit(means, residuals, float(np.sqrt((residuals**2).sum(axis=None) / degrees)), degrees)


# many comparisons with one control


def _probability_below(
    t: float,  # largest |difference| in units of its standard error
    comparisons: int,
    degrees: float,
) -> float:
    """That all differences from one control stay below t by chance (Dunnett 1955, two-sided).

    Each is (Zᵢ − Z₀) / √2 S with Z normal and S² = χ²/ν: given Z₀ and S they are independent.
    """
    control, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    levels, steps = np.polynomial.legendre.leggauss(_NODES)
    scale = np.sqrt(stats.chi2.ppf((levels + 1) / 2, degrees) / degrees)
    reach = np.sqrt(2) * t * scale[:, None]
    inside = stats.norm.cdf(control + reach) - stats.norm.cdf(control - reach)
    return float(steps / 2 @ (inside**comparisons @ weights))


@lru_cache(maxsize=256)
def dunnett_quantile(comparisons: int, degrees: float, level: float = 0.95) -> float:
    "What the largest |t| of the comparisons with one control stays below with this probability."
    return optimize.brentq(lambda t: _probability_below(t, comparisons, degrees) - level, 0.01, 1000)


def compare_with_control(
    values: pd.DataFrame,  # index seed, one column per run, no hole
    control: str,  # named beforehand
) -> pd.DataFrame:  # run, mean (difference), low, high, p; sorted by the mean
    """Each run minus the control: 95 % intervals and p-values that hold for all together."""
    fit = fit_blocks(values)
    runs = [run for run in values if run != control]
    error = fit.std * np.sqrt(2 / len(values))
    half = dunnett_quantile(len(runs), fit.degrees) * error
    rows = []
    for run in runs:
        difference = fit.means[run] - fit.means[control]
        p = 1 - _probability_below(abs(difference) / error, len(runs), fit.degrees)
        rows.append(dict(run=run, mean=difference, low=difference - half, high=difference + half, p=max(p, 0.0)))
    return pd.DataFrame(rows).sort_values("mean", ascending=False, ignore_index=True)


# does the model fit?


def aligned_ranks(
    values: pd.DataFrame,  # index seed, one column per run
) -> pd.DataFrame:  # of the same form
    """Ranks of all values after each seed's mean is taken away (Hodges & Lehmann 1962).

    Compared like the values themselves they are a second opinion that no single accident carries.
    """
    aligned = values.sub(values.mean(axis=1), axis=0)
    return pd.DataFrame(stats.rankdata(aligned).reshape(values.shape), values.index, values.columns)


def scatter_of_runs(
    fit: BlockFit,
) -> pd.DataFrame:  # index run: std, share
    """The standard deviation of each run's residuals, and its share of their sum of squares.

    One variance for all is a fair model where no few runs hold most of the sum.
    """
    squares = (fit.residuals**2).sum()
    std = np.sqrt(squares / (fit.degrees / len(squares)))
    return pd.DataFrame(dict(std=std, share=squares / squares.sum())).sort_values("share", ascending=False)


# before the study


def detectable_difference(
    std: float,  # of the residuals
    seeds: int,
    comparisons: int,
    power: float = 0.8,
) -> float:  # in the unit of std
    "The difference from the control that a study finds with this probability."
    degrees = comparisons * (seeds - 1)
    quantile = dunnett_quantile(comparisons, degrees)
    shift = optimize.brentq(lambda shift: stats.nct.sf(quantile, degrees, shift) - power, 0, quantile + 8)
    return shift * std * np.sqrt(2 / seeds)


def seeds_needed(
    std: float,  # of the residuals
    difference: float,  # in the same unit
    comparisons: int,
    power: float = 0.8,
) -> int:
    "The fewest seeds with which a difference from the control is found with this probability."
    seeds = 2
    while detectable_difference(std, seeds, comparisons, power) > difference:
        seeds += 1
    return seeds
