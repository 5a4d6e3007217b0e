"""How far a laboratory value may lie from its prediction: densities, and the same as residuals.

Each function takes arrays of any one shape and returns ``(log_likelihood, residual, slope)``: the natural
log-likelihood with all constants, a residual r with r^2 = 2 (l_max - l) where l_max is the greatest value the
term can take, and dr/dm, m being the natural logarithm of the prediction for the logarithmic densities and the
prediction itself for the others. A sum of squares of residuals is then -2 log-likelihood up to a constant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["censored", "gaussian", "graded"]

Array = NDArray[np.float64]
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)


def gaussian(measured: Array, predicted: Array, sd: Array, *, logged: Array) -> tuple[Array, Array, Array]:
    """Normal density of `measured`, or log-normal where `logged`, with the prediction as its median.

    l = -ln(sd sqrt(2 pi)) [- ln measured] - r^2/2,  r = (predicted - measured)/sd, logarithms where `logged`.

    Parameters
    ----------
    measured, predicted : array
        In one unit; positive where `logged`.
    sd : array
        Standard deviation, of the natural logarithm where `logged`.
    logged : array of bool
        Which terms are log-normal.

    Returns
    -------
    log_likelihood, residual, slope : array
        See the module; the slope is 1/sd.

    Examples
    --------
    >>> one = np.ones(1)
    >>> l, r, s = gaussian(one, np.e * one, 0.5 * one, logged=one > 0)
    >>> float(r[0])
    2.0
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.where(logged, np.log(measured), measured)
        said = np.where(logged, np.log(predicted), predicted)
    residual = (said - seen) / sd
    constant = -_LOG_ROOT_TWO_PI - np.log(sd) - np.where(logged, seen, 0.0)
    return constant - 0.5 * residual**2, residual, 1.0 / sd


def censored(limit: Array, predicted: Array, sd: Array, *, above: Array) -> tuple[Array, Array, Array]:
    """Log-normal probability that a value lies beyond the `limit` of its assay (method M3).

    l = ln Phi(+-(ln limit - ln predicted)/sd), plus for a value below the limit, minus for one above; l_max = 0.

    Parameters
    ----------
    limit, predicted : array
        In one unit, positive.
    sd : array
        Standard deviation of the natural logarithm.
    above : array of bool
        Whether the value is known to lie above the limit (right-censored) and not below it.

    Returns
    -------
    log_likelihood, residual, slope : array
        See the module; m is ln predicted.

    References
    ----------
    Beal SL (2001) J Pharmacokinet Pharmacodyn 28:481, method M3, doi 10.1023/A:1012299115260.
    """
    from scipy.special import log_ndtr

    sign = np.where(above, -1.0, 1.0)
    z = sign * (np.log(limit) - np.log(predicted)) / sd
    log_likelihood = log_ndtr(z)
    residual = np.sqrt(-2 * log_likelihood)
    density = np.exp(-0.5 * z**2 - _LOG_ROOT_TWO_PI - log_likelihood)
    return log_likelihood, residual, sign * density / (sd * np.maximum(residual, 1e-150))


def graded(
    level: Array, below: Array, above: Array, scale: float
) -> tuple[Array, Array, Array, Array, Array]:
    """Ordered logit: probability that a latent `level`, read with logistic error, falls between two cut-points.

    P = S((above - level)/scale) - S((below - level)/scale),  S(x) = 1/(1 + exp(-x)),  l = ln P,  l_max = 0.

    Parameters
    ----------
    level : array
        The latent quantity (here the logarithm of the lesion level).
    below, above : array
        Cut-points under the lowest and over the highest grade allowed; -inf and inf where there is none.
    scale : float
        Logistic spread, in the unit of `level`.

    Returns
    -------
    log_likelihood, residual : array
    slope_level, slope_below, slope_above : array
        Derivatives of the residual with respect to `level`, `below` and `above`.

    Examples
    --------
    >>> l, *_ = graded(np.zeros(1), np.array([-np.inf]), np.zeros(1), 0.3)
    >>> float(np.exp(l[0]))
    0.5
    """
    from scipy.special import log_expit

    high, low = (above - level) / scale, (below - level) / scale
    # S(h) - S(l) = S(h) S(-l) (1 - exp(l - h)): no difference of nearly equal numbers
    apart = -np.expm1(low - high)
    log_likelihood = log_expit(high) + log_expit(-low) + np.log(apart)
    residual = np.sqrt(-2 * log_likelihood)
    by_high = np.exp(log_expit(-high) - log_expit(-low)) / apart / scale
    by_low = -np.exp(log_expit(low) - log_expit(high)) / apart / scale
    turn = -1.0 / np.maximum(residual, 1e-150)
    return log_likelihood, residual, -turn * (by_high + by_low), turn * by_low, turn * by_high
