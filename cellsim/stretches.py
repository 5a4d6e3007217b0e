"""Coordinates of sampling days for chains: days soon after an infusion get room where they matter.

A latent day is carried as theta, in which its prior is N(0, 1). What a sample sees changes from day to day soon after an
infusion and hardly at all weeks later, so that in theta everything that happens on the first days may hide in a tail,
where steps suited to the rest seldom end. Chains move in x instead, with

    Phi(x) = G(day),    G = (1 - w) F + w H,

F the prior's distribution function and H that of a day drawn with density in proportion to 1 / (b + t)^2, t the time
since the last infusion: half of it falls on the first b days. How much of x is given away, w, is asked of the rows.
With k the day's place among the parameters, J the derivative of the residuals, and the mean taken over plausible values
of the other parameters,

    s = sqrt(mean of 1 / (C^-1)_kk),    C = J'J + 1,

is how many standard deviations, as rows and prior leave them to the day when all else may follow, a unit of theta
holds at a place: one where rows say nothing. With T the integral of s - 1 over theta, w = T^2 / (1 + T^2): where rows
say nothing of the day x is theta, and room for days that do not matter would only part the others from each other.

The density of x is that of theta times dtheta / dx, so draws mean the same as before; only the way between them is
shorter. The map is kept as a smooth monotone curve: any such curve is an exact change of coordinates, however roughly T
was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood import Objective
    from cellsim.priors import Prior

    Array = NDArray[np.float64]

__all__ = ["Stretch", "day_curve", "places_of", "stretch_of"]

# b: how long what an infusion sets off goes on changing from day to day
BUSY = 4.0
# how soon after an infusion to look, day, and where in the window besides
SOON = (-0.01, 0.01, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
SPREAD = np.linspace(-4.0, 4.0, 17)
# places nearer to each other than this, in theta, are one
APART = 0.02
# the most that is given away
MOST = 0.95
# over how many values of the other parameters the mean is taken
POINTS = 6
# beyond any draw, and short of where neighbouring days of a window are one number; outside, the map has slope one
_END, _KNOTS = 7.0, 561


@dataclass(frozen=True)
class Stretch:
    """A change of coordinates, theta to x, in some columns.

    Attributes
    ----------
    curves : mapping of int to monotone curves
        For each stretched column, theta as a function of x.
    """

    curves: Mapping[int, Any]

    def theta(self, x: Array) -> Array:
        """Prior-whitened coordinates of points x, shape (..., n)."""
        out = np.array(x, float)
        for column, curve in self.curves.items():
            out[..., column] = _beyond(curve, out[..., column])
        return out

    def x(self, theta: Array) -> Array:
        """The inverse of :meth:`theta`, by bisection to the last digit."""
        out = np.array(theta, float)
        for column, curve in self.curves.items():
            wanted = out[..., column]
            # outside the curve the slope is one
            reach = 1.0 + np.maximum(wanted - curve(curve.x[-1]), curve(curve.x[0]) - wanted).clip(0.0)
            below, above = curve.x[0] - reach, curve.x[-1] + reach
            for _ in range(70):
                middle = 0.5 * (below + above)
                short = _beyond(curve, middle) < wanted
                below, above = np.where(short, middle, below), np.where(short, above, middle)
            out[..., column] = 0.5 * (below + above)
        return out

    def slopes(self, x: Array) -> tuple[Array, Array]:
        """d theta / d x at one point, and the derivative of its logarithm; shapes (n,)."""
        slope, turn = np.ones(x.size), np.zeros(x.size)
        for column, curve in self.curves.items():
            if curve.x[0] < x[column] < curve.x[-1]:
                slope[column] = curve(x[column], 1)
                turn[column] = curve(x[column], 2) / slope[column]
        return slope, turn


def _beyond(curve: Any, x: Array) -> Array:
    """The curve, carried on with slope one outside its grid."""
    inside = np.clip(x, curve.x[0], curve.x[-1])
    return np.asarray(curve(inside) + (x - inside))


def places_of(prior: Prior, infusions: Array) -> Array:
    """Where to look at a day: across its prior, and closely after each infusion that falls into it.

    Parameters
    ----------
    prior : Prior
        Of the day, in days as the case counts them.
    infusions : array, shape (n,)
        Their days, counted alike.

    Returns
    -------
    array, shape (m,)
        Increasing values of theta.

    Examples
    --------
    >>> from cellsim.priors import Prior
    >>> window = Prior("uniform", (0.0, 100.0))
    >>> places_of(window, np.array([-50.0])).size == places_of(window, np.array([])).size
    True
    >>> bool(places_of(window, np.array([50.0])).size > places_of(window, np.array([])).size)
    True
    """
    low, high = prior.value(SPREAD[[0, -1]])
    days = np.add.outer(np.unique(infusions), SOON).ravel()
    soon = [prior.whitened(float(day)) for day in days if low < day < high]
    places = np.sort([*SPREAD, *soon])
    return np.asarray(places[np.diff(places, prepend=-np.inf) > APART])


def stretch_of(objective: Objective, points: Array, *, rtol: float) -> Stretch:
    """Room for every estimated sampling day of an objective where much changes.

    Parameters
    ----------
    objective : Objective
    points : array, shape (n, n_parameters)
        Plausible parameters, theta; the first few that can be simulated are used.
    rtol : float
        Relative tolerance of the simulations.

    Returns
    -------
    Stretch
        Leaves alone a day before which nothing is infused, and one at which nothing can be simulated.
    """
    infusions = np.array([time for time, *_ in (*objective.doses.jumps, *objective.doses.rates)])
    curves = {}
    for visit, _ in objective.occasions:
        if (name := f"day_{visit}") in objective.names:
            column = objective.names.index(name)
            prior = objective.priors[column]
            if np.any(infusions < prior.value(np.array(_END))):
                share = _share(objective, points[:POINTS], column, places_of(prior, infusions), rtol)
                curves[column] = day_curve(prior, infusions, share=share)
    return Stretch(curves)


def day_curve(prior: Prior, infusions: Array, *, share: float) -> Any:
    """theta of a day as a monotone function of x.

    Parameters
    ----------
    prior : Prior
        Of the day, in days as the case counts them.
    infusions : array, shape (n,)
        Their days, counted alike; at least one before the last day the prior allows.
    share : float
        w, the share of x given to days soon after them, at least 0 and below 1.

    Returns
    -------
    scipy.interpolate.PchipInterpolator
        From x to theta, both without unit, between -7 and 7 of theta.

    Examples
    --------
    >>> from cellsim.priors import Prior
    >>> curve = day_curve(Prior("uniform", (0.0, 100.0)), np.array([0.0]), share=0.9)
    >>> theta_of_two_days = -2.054
    >>> bool(curve(-0.5) < theta_of_two_days < curve(-0.4))
    True
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.special import ndtr, ndtri

    theta = np.linspace(-_END, _END, _KNOTS)
    day = prior.value(theta)
    given = np.unique(infusions[infusions < day[-1]])[:, None]
    until = np.append(given[1:], [[np.inf]], axis=0)

    def told(days: Array) -> Array:
        since = np.clip(days, given, until) - given
        return since / (BUSY + since)

    whole = (told(day[-1:]) - told(day[:1])).sum()
    under, over = (told(day) - told(day[:1])).sum(axis=0), (told(day[-1:]) - told(day)).sum(axis=0)
    # rounding of days that differ in their last digits must not turn the order round
    under, over = np.maximum.accumulate(under), np.minimum.accumulate(over)
    below = (1 - share) * ndtr(theta) + share * under / whole
    above = (1 - share) * ndtr(-theta) + share * over / whole
    x = np.where(below < above, ndtri(np.minimum(below, 0.5)), -ndtri(np.minimum(above, 0.5)))
    return PchipInterpolator(x, theta)


def _share(objective: Objective, points: Array, column: int, places: Array, rtol: float) -> float:
    """w of one day: nothing where no point can be simulated."""
    moved = np.repeat(points, len(places), axis=0)
    moved[:, column] = np.tile(places, len(points))
    precision = np.full(len(moved), np.nan)
    for k, found in enumerate(objective.evaluate_all(moved, gradient=True, rtol=rtol)):
        if not found.failure and found.jacobian is not None and np.all(np.isfinite(found.jacobian)):
            rows = found.jacobian[: len(objective.terms)]
            precision[k] = 1.0 / np.linalg.inv(rows.T @ rows + np.eye(rows.shape[1]))[column, column]
    table = precision.reshape(len(points), len(places))
    known = np.isfinite(table).any(axis=0)
    deviations = np.sqrt(np.nanmean(table[:, known], axis=0))
    asked = np.trapezoid(deviations - 1.0, places[known])
    return float(min(asked**2 / (1 + asked**2), MOST))
