"""Statistics that several rooms need, each defined once."""

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["holm", "mean_and_interval", "mean_p_value", "safe_divide", "wilson_interval"]


def safe_divide(
    numerator: np.ndarray,
    denominator: np.ndarray,  # broadcastable to the numerator
    empty: float = 0.0,  # the value where the denominator is not positive
) -> np.ndarray:  # float64
    "Element-wise ratio with a given value where the denominator is empty: 0/0 is a convention."
    numerator = np.asarray(numerator, np.float64)
    denominator = np.asarray(denominator, np.float64)
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), empty)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def mean_and_interval(values: pd.Series | np.ndarray) -> tuple:  # (mean, low, high)
    """The mean over seeds with the 95 % interval of Student's t.

    NaN where there is no seed; for a single one the interval is NaN.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values[0]) if len(values) else np.nan, np.nan, np.nan
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def mean_p_value(values: pd.Series | np.ndarray) -> float:
    """Two-sided p-value of the mean over seeds being zero (Student's t).

    NaN for a single seed and for equal values.
    """
    values = np.asarray(values, float)
    return float(stats.ttest_1samp(values, 0).pvalue) if len(values) > 1 and values.std() > 0 else np.nan


def holm(p: np.ndarray) -> np.ndarray:  # p-values; NaN for a comparison that was not made
    """Holm's adjusted p-values (Holm 1979): the smallest times m, the next times m − 1, and so on,
    never falling.

    NaN stays NaN and does not count.
    """
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def wilson_interval(
    share: np.ndarray,  # correct / n, in 0..1
    n: np.ndarray,  # number of trials
    z: float = 1.96,  # quantile of the normal distribution
) -> tuple:  # (low, high)
    "Wilson's score interval of a proportion (Wilson 1927)."
    share = np.asarray(share, float)
    n = np.asarray(n, float)
    centre = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)
