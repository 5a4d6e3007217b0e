"""How far a mean, a median or a share of draws may be off for there being so few of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["effective_draws", "mean_error", "median_error"]


def effective_draws(source: Any, count: int) -> float:
    """How many independent draws `count` draws of a source are worth.

    Draws of an approximation are independent. Those of a posterior are drawn again from what a sampler made: they are worth no
    more than that.

    Parameters
    ----------
    source : Calibration, VariationalApproximation or Posterior
    count : int

    Returns
    -------
    float
        Above zero; at most `count`.
    """
    worth = getattr(source, "effective", None)
    if worth is None or not np.isfinite(worth):
        return float(count)
    return float(max(min(count, worth), 1.0))


def mean_error(draws: Array, effective: float) -> Array:
    """Standard error of the mean over the last axis.

    The sample standard deviation over the root of `effective`. Of draws that are all 0 or 1 it is the standard deviation of
    their chance under a flat prior, Beta(k + 1, n - k + 1), so that no hit in n draws is no certainty.

    Parameters
    ----------
    draws : array, shape (..., n_draws)
    effective : float
        Independent draws these are worth.

    Returns
    -------
    array, shape (...)
        nan where there is one draw alone.

    Examples
    --------
    >>> round(float(mean_error(np.zeros(98), 98)), 4)  # sd of Beta(1, 99)
    0.0099
    """
    count = draws.shape[-1]
    if count < 2:
        return np.full(draws.shape[:-1], np.nan)
    plain = draws.std(axis=-1, ddof=1) / np.sqrt(effective)
    share = (np.clip(draws.mean(axis=-1), 0.0, 1.0) * effective + 1) / (effective + 2)
    binary = ((draws == 0) | (draws == 1)).all(axis=-1)
    return np.where(binary, np.sqrt(share * (1 - share) / (effective + 3)), plain)


def median_error(draws: Array, effective: float) -> Array:
    """Standard error of the median over the last axis, from the quantiles one standard error of a rank below and above it.

    The rank of the median among n draws has the standard deviation sqrt(n)/2 (binomial), so the quantiles of
    1/2 - 1/(2 sqrt n) and 1/2 + 1/(2 sqrt n) lie two standard errors apart, whatever the distribution.

    Parameters
    ----------
    draws : array, shape (..., n_draws)
    effective : float
        Independent draws these are worth.

    Returns
    -------
    array, shape (...)

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=10_000)
    >>> 0.9 < float(median_error(draws, 10_000)) / np.sqrt(np.pi / 2 / 10_000) < 1.1
    True
    """
    if draws.shape[-1] < 2:
        return np.full(draws.shape[:-1], np.nan)
    step = min(0.5 / np.sqrt(effective), 0.5)
    low, high = np.quantile(draws, [0.5 - step, 0.5 + step], axis=-1)
    return np.asarray((high - low) / 2)
