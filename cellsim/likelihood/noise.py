"""How far a laboratory value may lie from its prediction: densities, and the same as residuals.

Each function takes arrays of any one shape and returns ``(log_likelihood, residual, slope)``: the natural
log-likelihood with all constants, a residual r with r^2 = 2 (l_max - l) where l_max is the greatest value the
term can take, and dr/dm, m being the natural logarithm of the prediction for the logarithmic densities and the
prediction itself for the others. A sum of squares of residuals is then -2 log-likelihood up to a constant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["censored", "gaussian", "graded", "laplace", "student"]

Array = NDArray[np.float64]
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)
_TINY, _HUGE = 1e-100, 1e300


def gaussian(
    measured: Array, predicted: Array, sd: Array, *, logged: NDArray[np.bool_]
) -> tuple[Array, Array, Array]:
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


def laplace(
    measured: Array, predicted: Array, scale: Array, *, logged: NDArray[np.bool_]
) -> tuple[Array, Array, Array]:
    """Laplace density of `measured`, of its logarithm where `logged`, with the prediction as its median.

    l = -ln(2 scale) [- ln measured] - |z|,  z = (predicted - measured)/scale, logarithms where `logged`;
    r = sign(z) sqrt(2 |z|).

    Parameters
    ----------
    measured, predicted, scale : array
        As for :func:`gaussian`; the scale is the mean absolute deviation, and the standard deviation sqrt(2) times as large.
    logged : array of bool
        Which terms are of the logarithm.

    Returns
    -------
    log_likelihood, residual, slope : array
        See the module; the slope is finite at the median, where the residual itself turns straight up.

    Examples
    --------
    >>> one = np.ones(1)
    >>> l, r, s = laplace(one, 3 * one, 2 * one, logged=one > 1)
    >>> round(float(l[0] + np.log(4)), 12), round(float(r[0] ** 2), 12)
    (-1.0, 2.0)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.where(logged, np.log(measured), measured)
        z = (np.where(logged, np.log(predicted), predicted) - seen) / scale
    residual = np.sign(z) * np.sqrt(2 * np.abs(z))
    log_likelihood = -np.log(2 * scale) - np.where(logged, seen, 0.0) - np.abs(z)
    return log_likelihood, residual, 1.0 / (scale * np.maximum(np.abs(residual), _TINY))


def student(
    measured: Array, predicted: Array, scale: Array, *, degrees: float, logged: NDArray[np.bool_]
) -> tuple[Array, Array, Array]:
    """Student-t density of `measured`, of its logarithm where `logged`, with the prediction as its median.

    l = ln t(z; nu) - ln scale [- ln measured],  z = (predicted - measured)/scale, logarithms where `logged`;
    r = sign(z) sqrt((nu + 1) ln(1 + z^2/nu)). A row far off costs the logarithm of its distance, not the square.

    Parameters
    ----------
    measured, predicted, scale : array
        As for :func:`gaussian`, which is the limit of many degrees. The scale is no standard deviation: that is
        sqrt(nu/(nu - 2)) times as large, and infinite for two degrees and fewer.
    degrees : float
        Degrees of freedom nu, above zero and finite.
    logged : array of bool
        Which terms are of the logarithm.

    Returns
    -------
    log_likelihood, residual, slope : array
        See the module.

    Examples
    --------
    >>> one = np.ones(1)
    >>> l, r, s = student(one, np.e * one, 0.5 * one, degrees=4.0, logged=one > 0)
    >>> bool(np.isclose(r[0], np.sqrt(5 * np.log(2))))
    True
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.where(logged, np.log(measured), measured)
        z = (np.where(logged, np.log(predicted), predicted) - seen) / scale
    residual = np.sign(z) * np.sqrt((degrees + 1) * np.log1p(z**2 / degrees))
    # z over r, which is 0 over 0 at the median
    ratio = np.full(z.shape, np.sqrt(degrees / (degrees + 1)))
    np.divide(z, residual, out=ratio, where=np.abs(residual) > _TINY)
    constant = _log_height(degrees) - np.log(scale) - np.where(logged, seen, 0.0)
    return constant - 0.5 * residual**2, residual, (degrees + 1) / (degrees + z**2) * ratio / scale


def censored(
    limit: Array,
    predicted: Array,
    sd: Array,
    *,
    above: NDArray[np.bool_],
    logged: NDArray[np.bool_] | bool = True,
    degrees: float = np.inf,
) -> tuple[Array, Array, Array]:
    """Probability that a value lies beyond the `limit` of its assay (method M3), of its logarithm where `logged`.

    l = ln Phi(+-(limit - predicted)/sd), plus for a value below the limit, minus for one above; l_max = 0; logarithms
    where `logged`. With finite `degrees` Phi is the distribution function of Student's t, and `sd` its scale. A
    prediction of zero has a logarithm of minus infinity: its value lies below every limit, l = 0.

    Parameters
    ----------
    limit, predicted : array
        In one unit; where `logged` the limit is positive and the prediction not negative.
    sd : array
        Standard deviation, of the natural logarithm where `logged`.
    above : array of bool
        Whether the value is known to lie above the limit (right-censored) and not below it.
    logged : array of bool
        Which terms are of the logarithm.
    degrees : float
        Degrees of freedom, above zero; infinite for normal noise.

    Returns
    -------
    log_likelihood, residual, slope : array
        See the module.

    Examples
    --------
    >>> l, *_ = censored(np.ones(1), np.zeros(1), np.ones(1), above=np.array([False]))
    >>> abs(float(l[0]))
    0.0

    References
    ----------
    Beal SL (2001) J Pharmacokinet Pharmacodyn 28:481, method M3, doi 10.1023/A:1012299115260.
    """
    sign = np.where(above, -1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        edge = np.where(logged, np.log(limit), limit)
        said = np.where(logged, np.log(predicted), predicted)
    z = sign * (edge - said) / sd
    log_likelihood, log_density = _tail(z, degrees)
    residual = np.sqrt(-2 * log_likelihood)
    density = np.exp(log_density - log_likelihood)
    return log_likelihood, residual, sign * density / (sd * np.maximum(residual, 1e-150))


def _log_height(degrees: float) -> float:
    """ln of the density of Student's t at its median."""
    from scipy.special import gammaln

    return float(gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi))


def _tail(z: Array, degrees: float) -> tuple[Array, Array]:
    """ln of the distribution function and of the density at z, of a normal or Student's t."""
    from scipy.special import log_ndtr, stdtr

    if np.isinf(degrees):
        return log_ndtr(z), -0.5 * z**2 - _LOG_ROOT_TWO_PI
    # from the smaller tail, so that a probability near one keeps its digits
    smaller = stdtr(degrees, -np.abs(z))
    with np.errstate(divide="ignore"):
        under = np.where(z > 0, np.log1p(-smaller), np.log(smaller))
    return under, _log_height(degrees) - 0.5 * (degrees + 1) * np.log1p(z**2 / degrees)


def graded(
    level: Array, below: Array, above: Array, scale: float | Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Ordered logit: probability that a latent `level`, read with logistic error, falls between two cut-points.

    P = S((above - level)/scale) - S((below - level)/scale),  S(x) = 1/(1 + exp(-x)),  l = ln P,  l_max = 0.

    Parameters
    ----------
    level : array
        The latent quantity (the logarithm of what is graded); minus infinity where there is nothing to see,
        which is certain to be graded lowest.
    below, above : array
        Cut-points under the lowest and over the highest grade allowed; -inf and inf where there is none.
    scale : float or array
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

    # a level of minus infinity lies under every cut-point; a cut-point that is not there lies under every level
    high = (above - level) / scale
    low = np.where(np.isneginf(below), -np.inf, (np.maximum(below, -_HUGE) - level) / scale)
    # S(h) - S(l) = S(h) S(-l) (1 - exp(l - h)): no difference of nearly equal numbers
    apart = -np.expm1(low - high)
    log_likelihood = log_expit(high) + log_expit(-low) + np.log(apart)
    residual = np.sqrt(-2 * log_likelihood)
    by_high = np.exp(log_expit(-high) - log_expit(-low)) / apart / scale
    by_low = -np.exp(log_expit(low) - log_expit(high)) / apart / scale
    turn = -1.0 / np.maximum(residual, 1e-150)
    return log_likelihood, residual, -turn * (by_high + by_low), turn * by_low, turn * by_high
