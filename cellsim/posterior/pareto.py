"""Pareto-smoothed importance weights, without the three seconds that importing all of ArviZ costs a fit.

The largest M of S weights, M the smaller of S / 5 and 3 sqrt(S), are replaced by quantiles of the generalised Pareto
distribution that is fitted to them (Vehtari et al. 2024, JMLR 25:72); the fit is the empirical Bayes one of Zhang and Stephens
(2009, Technometrics 51:316), its shape drawn towards one half as by ten observations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["pareto_shape", "smoothed_weights"]

# fewer weights than this have no tail to speak of
_FEWEST = 5
# of the fit: places at which its profile likelihood is averaged beside the root of the number of weights, the prior's reach in
# first quartiles, and the weight of the prior of the shape
_PLACES, _QUARTILES, _OBSERVATIONS, _MIDDLE = 30, 3.0, 10.0, 0.5


def smoothed_weights(log_weights: Array) -> tuple[Array, float]:
    """Smoothed weights (log, summing to one) and their shape k.

    Parameters
    ----------
    log_weights : array, shape (n,)

    Returns
    -------
    log_weights : array, shape (n,)
    shape : float
        Zero where all weights are alike; infinite where there are too few to tell.
    """
    logs = np.asarray(log_weights, float)
    if np.ptp(logs) < 1e-8:
        # all alike: there is no tail to smooth, and nothing could be lighter
        return np.full(logs.size, -np.log(logs.size)), 0.0
    logs = logs - logs.max()
    count = int(np.ceil(min(0.2 * logs.size, 3 * np.sqrt(logs.size))))
    order = np.argsort(logs, kind="stable")
    edge = max(logs[order[-count - 1]], np.log(np.finfo(float).tiny)) if count < logs.size else -np.inf
    tail = order[logs[order] > edge]
    shape = np.inf
    if tail.size >= _FEWEST:
        low = float(np.exp(edge))
        shape, scale = _fitted(np.exp(logs[tail]) - low)
        if np.isfinite(shape):
            shares = (np.arange(tail.size) + 0.5) / tail.size
            spread = np.expm1(-shape * np.log1p(-shares)) / shape if shape else -np.log1p(-shares)
            # no weight may become larger than the largest was
            logs[tail] = np.minimum(np.log(low + scale * spread), 0.0)
    return np.asarray(logs - logsumexp(logs)), float(shape)


def _fitted(values: Array) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution of increasing values above zero."""
    n = values.size
    places = _PLACES + int(np.sqrt(n))
    rates = 1 - np.sqrt(places / (np.arange(1, places + 1) - 0.5))
    rates = rates / (_QUARTILES * values[int(n / 4 + 0.5) - 1]) + 1 / values[-1]
    shapes = np.log1p(-rates[:, None] * values).mean(axis=1)
    logs = n * (np.log(-rates / shapes) - shapes - 1)
    shares = np.exp(logs - logsumexp(logs))
    shares = np.where(shares >= 10 * np.finfo(float).eps, shares, 0.0)
    rate = float(shares @ rates / shares.sum())
    shape = float(np.log1p(-rate * values).mean())
    return (n * shape + _OBSERVATIONS * _MIDDLE) / (n + _OBSERVATIONS), -shape / rate


def pareto_shape(log_weights: Array) -> float:
    """Shape k alone.

    Examples
    --------
    >>> pareto_shape(np.zeros(100)) < 0.7
    True
    >>> bool(pareto_shape(-np.log(np.random.default_rng(1).random(4000))) > 0.7)
    True
    """
    return smoothed_weights(log_weights)[1]
