"""Where to look at an unknown sampling day: nodes at which its prior is integrated, dense soon after infusions.

What a sample sees changes from hour to hour soon after an infusion and hardly at all weeks later. The prior of a day, a
unit normal in theta, is cut into panels: across the prior evenly (coarsely where no
infusion is near), and after each infusion at times that grow. In every
panel stand the nodes of Gauss and Legendre, so that

    integral of phi(theta) F(theta) d theta  ~  sum of w_q F(theta_q)

is exact but for what a polynomial of degree nine misses of F between two edges. Infusions are edges themselves: what
jumps there costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.priors import Prior

    Array = NDArray[np.float64]

__all__ = ["ENDS", "POINTS", "Nodes", "between_ends", "nodes_of"]

# edges across the prior, in theta; beyond them lies 6e-7 of it
EVENLY = np.array([-5.0, -3.4, *np.linspace(-2.6, 2.6, 8), 3.4, 5.0])
# the same where no infusion is near: what changes slowly is known to a thousandth where its rows tell a day to a tenth of its window
CALM = np.array([-5.0, -2.6, -1.3, 0.0, 1.3, 2.6, 5.0])
# edges after an infusion, day
SOON = np.array([0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0])
# nodes of a panel, and cells of a panel among which a draw is made
POINTS, _CELLS = 5, 48
# first and last node of a panel
ENDS = (0, POINTS - 1)
# narrower panels, in theta, are given to their neighbour
_NARROWEST = 1e-9


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes of one day.

    Attributes
    ----------
    prior : Prior
        Of the day.
    edges : array, shape (n_panels + 1,)
        In theta, increasing.
    """

    prior: Prior
    edges: Array

    @cached_property
    def thetas(self) -> Array:
        """The nodes, shape (n_panels * POINTS,), increasing."""
        half = np.diff(self.edges)[:, None] / 2
        return np.asarray((self.edges[:-1, None] + half * (1 + _places())).ravel())

    @cached_property
    def days(self) -> Array:
        """The same as days."""
        return np.asarray(self.prior.value(self.thetas))

    @cached_property
    def log_weights(self) -> Array:
        """ln w of each; the weights add up to one."""
        half = np.diff(self.edges)[:, None] / 2
        weights = (half * np.polynomial.legendre.leggauss(POINTS)[1]).ravel() * np.exp(-0.5 * self.thetas**2)
        return np.asarray(np.log(weights / weights.sum()))

    def drawn(self, log_likelihood: Array, random: np.random.Generator) -> tuple[float, float]:
        """A day drawn given what each node makes of the rows.

        Parameters
        ----------
        log_likelihood : array, shape (n_panels * POINTS,)
            -inf where the rows have no density.
        random : Generator

        Returns
        -------
        theta : float
        log_density : float
            Of the draw, with respect to theta: prior times likelihood, normalised.

        Notes
        -----
        The logarithm of the likelihood is carried on between nodes by each panel's polynomial, and as a straight line
        inside each of its cells; what that costs in the narrowest days of a case is a hundredth.
        """
        return self.several(log_likelihood, [random])[0]

    def several(
        self, log_likelihood: Array, randoms: Sequence[np.random.Generator]
    ) -> list[tuple[float, float]]:
        """The same for several draws of one density, each by a generator of its own."""
        at, width = self._cells
        low, rise, mass = self._mass(log_likelihood)
        below, log_whole, out = np.cumsum(mass) / mass.sum(), float(np.log(mass.sum())), []
        for random in randoms:
            cell = int(np.searchsorted(below, random.random(), side="right"))
            cell = min(cell, mass.size - 1)
            share, tilt = random.random(), float(rise.flat[cell])
            inside = share if abs(tilt) < 1e-9 else float(np.log1p(share * np.expm1(tilt)) / tilt)
            theta = float(at[:, :-1].flat[cell] + inside * width.flat[cell])
            out.append((theta, float(low.flat[cell] + inside * tilt - log_whole)))
        return out

    def chance(self, log_likelihood: Array, stretches: Array) -> float:
        """How likely a day lies in one of some stretches, given what each node makes of the rows.

        Parameters
        ----------
        log_likelihood : array, shape (n_panels * POINTS,)
        stretches : array, shape (n, 2)
            First and last day of each; to the width of a cell, which ends where :data:`SOON` says.

        Returns
        -------
        float
        """
        at, _ = self._cells
        *_, mass = self._mass(log_likelihood)
        days = np.asarray(self.prior.value((at[:, :-1] + at[:, 1:]).ravel() / 2))
        inside = ((days[:, None] > stretches[:, 0]) & (days[:, None] < stretches[:, 1])).any(axis=1)
        return float(mass[inside].sum() / mass.sum())

    def _mass(self, log_likelihood: Array) -> tuple[Array, Array, Array]:
        """Log density where each cell begins and how far it rises in it, shape (n_panels, cells), and its mass, one row."""
        at, width = self._cells
        panels = log_likelihood.reshape(-1, POINTS)
        known = np.asarray(np.isfinite(panels))
        ends = np.where(known, panels, 0.0) @ _between().T
        # a polynomial through what has no value means nothing: there each cell takes its nearest node's
        nearest = panels[:, _nearest()]
        whole = known.all(axis=1, keepdims=True)
        low = np.where(whole, ends[:, :-1], nearest) - 0.5 * at[:, :-1] ** 2
        high = np.where(whole, ends[:, 1:], nearest) - 0.5 * at[:, 1:] ** 2
        top = max(low.max(), high.max())
        low, high = low - top, high - top
        with np.errstate(invalid="ignore"):
            rise = np.where(np.isneginf(low), 0.0, high - low)
        return low, rise, (width * np.exp(low) * _mean_of_exponential(rise)).ravel()

    @cached_property
    def _cells(self) -> tuple[Array, Array]:
        """Edges of the cells of each panel, shape (n_panels, cells + 1), and their widths."""
        shares = np.linspace(0.0, 1.0, _CELLS + 1)
        at = self.edges[:-1, None] + np.diff(self.edges)[:, None] * shares
        return at, np.diff(at, axis=1)


@cache
def _places() -> Array:
    return np.asarray(np.polynomial.legendre.leggauss(POINTS)[0])


@cache
def _between() -> Array:
    """What the polynomial through a panel's nodes is at the edges of its cells, shape (cells + 1, POINTS)."""
    at, nodes = np.linspace(-1.0, 1.0, _CELLS + 1)[:, None], _places()
    apart = nodes[:, None] - nodes + np.eye(POINTS)
    out = np.empty((_CELLS + 1, POINTS))
    for k in range(POINTS):
        others = np.arange(POINTS) != k
        out[:, k] = ((at - nodes[others]) / apart[k, others]).prod(axis=1)
    return out


@cache
def between_ends() -> Array:
    """What a line through the first and the last node of a panel is on each of its nodes, shape (POINTS, 2).

    Examples
    --------
    >>> between_ends()[[0, POINTS // 2, POINTS - 1]].round(12).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    share = (_places() - _places()[0]) / (_places()[-1] - _places()[0])
    return np.column_stack([1 - share, share])


@cache
def _nearest() -> NDArray[np.intp]:
    """Node of a panel nearest to the middle of each cell."""
    middles = (np.arange(_CELLS) + 0.5) * 2 / _CELLS - 1
    return np.asarray(np.abs(middles[:, None] - _places()).argmin(axis=1))


def _mean_of_exponential(rise: Array) -> Array:
    """Mean of exp(rise s) over s in (0, 1)."""
    small = np.abs(rise) < 1e-9
    return np.where(small, 1.0, np.expm1(rise) / np.where(small, 1.0, rise))


def nodes_of(prior: Prior, infusions: Array) -> Nodes:
    """Nodes of a day.

    Parameters
    ----------
    prior : Prior
        Of the day, in days as the case counts them.
    infusions : array, shape (n,)
        Their days, counted alike.

    Returns
    -------
    Nodes

    Examples
    --------
    >>> from cellsim.likelihood.priors import Prior
    >>> nodes = nodes_of(Prior("uniform", (0.0, 100.0)), np.array([20.0]))
    >>> mean = float(np.exp(nodes.log_weights) @ nodes.days)
    >>> round(mean, 3)
    50.0
    """
    low, high = (float(prior.value(end)) for end in (EVENLY[0], EVENLY[-1]))
    days = np.unique(np.add.outer(np.unique(infusions), SOON)).tolist()
    soon = [prior.whitened(day) for day in days if low < day < high]
    near = bool(soon) or bool(np.any((infusions <= low) & (infusions >= low - SOON[-1])))
    edges = np.sort([*(EVENLY if near else CALM), *soon])
    apart = np.diff(edges, prepend=-np.inf) > _NARROWEST
    return Nodes(prior, np.asarray(edges[apart]))
