"""Coordinates of sampling days for chains: days soon after an infusion get room.

A latent day is carried as theta, in which its prior is N(0, 1). What a sample sees changes from day to day soon after an
infusion and hardly at all weeks later, so that in theta everything that happens on the first days hides in a tail, where
steps suited to the rest seldom end. Chains move in x instead, with

    Phi(x) = G(day),    G = (1 - w) F + w H,

F the prior's distribution function and H that of a day drawn with density in proportion to 1 / (b + s)^2, s the time
since the last infusion: half of it falls on the first b days. The density of x is that of theta times d theta / d x, so draws mean the same as before; only the way between
them is shorter. The map is kept as a smooth monotone curve through a grid of exact points: any such curve is an exact
change of coordinates.
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

__all__ = ["Stretch", "day_curve", "stretch_of"]

# how long what an infusion sets off goes on changing from day to day, and the share of x set aside for it
BUSY = 4.0
SHARE = 0.9
# far beyond any draw; outside, the map goes on with slope one
_END = 9.0
_POINTS = 721


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
            below, above = np.full(wanted.shape, curve.x[0] - 50.0), np.full(wanted.shape, curve.x[-1] + 50.0)
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


def day_curve(prior: Prior, infusions: Array, *, busy: float = BUSY, share: float = SHARE) -> Any:
    """theta of a day as a monotone function of x, or None where no infusion comes before a day the prior allows.

    Parameters
    ----------
    prior : Prior
        Of the day.
    infusions : array, shape (n,)
        Their days.
    busy : float
        b, day.
    share : float
        w, the share of x given to it, below 1.

    Returns
    -------
    scipy.interpolate.PchipInterpolator or None

    Examples
    --------
    >>> from cellsim.priors import Prior
    >>> curve = day_curve(Prior("uniform", (0.0, 100.0)), np.array([0.0]))
    >>> theta_of_two_days = -2.054
    >>> bool(curve(-0.5) < theta_of_two_days < curve(-0.4))
    True
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.special import ndtr, ndtri

    theta = np.linspace(-_END, _END, _POINTS)
    day = prior.value(theta)
    given = np.unique(infusions[infusions < day[-1]])[:, None]
    if not given.size:
        return None
    until = np.append(given[1:], [[np.inf]], axis=0)

    def told(days: Array) -> Array:
        since = np.clip(days, given, until) - given
        return since / (busy + since)

    whole = (told(day[-1:]) - told(day[:1])).sum()
    under, over = (told(day) - told(day[:1])).sum(axis=0), (told(day[-1:]) - told(day)).sum(axis=0)
    below = (1 - share) * ndtr(theta) + share * under / whole
    above = (1 - share) * ndtr(-theta) + share * over / whole
    x = np.where(below < above, ndtri(np.minimum(below, 0.5)), -ndtri(np.minimum(above, 0.5)))
    return PchipInterpolator(x, theta)


def stretch_of(objective: Objective) -> Stretch:
    """Room after infusions for every estimated sampling day of an objective."""
    doses = objective.doses
    infusions = np.array([time for time, *_ in (*doses.jumps, *doses.rates)])
    curves = {}
    for visit, _ in objective.occasions:
        if (name := f"day_{visit}") in objective.names:
            column = objective.names.index(name)
            if (curve := day_curve(objective.priors[column], infusions)) is not None:
                curves[column] = curve
    return Stretch(curves)
