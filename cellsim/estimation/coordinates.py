"""The estimated parameters as an optimiser moves them, and minus twice the log posterior there as a sum of squares.

A parameter is moved on its scale: its logarithm, or itself. With r the residuals of the rows at their spreads,

    -2 ln posterior = sum r^2 + sum s^2 + sum q^2 + constant,

s what each spread costs (2 ln spread has no root: it is counted from far below where it began), and q what the priors cost, of the
parameters in their own units, as PEtab means them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CellsimError
from cellsim.estimation.problem import EstimationProblem
from cellsim.likelihood.priors import Prior
from cellsim.petab.records import ParameterRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Coordinates", "Place"]

# how far below where it is counted from, in logarithms, a spread may fall
_DEEPEST = 20.0
# ratio of bounds from which a positive parameter of version 2, which has no scales, is moved by its logarithm
_WIDE = 30.0
_STEP = 1e-6
_GRID = 400


@dataclass(frozen=True, eq=False)
class Place:
    """Minus twice the log posterior at one place, as squares.

    Attributes
    ----------
    residuals : array, shape (n,)
        Infinite where the problem cannot be scored.
    jacobian : array, shape (n, m), or None
    log_likelihood : float
    gradient : array, shape (m,), or None
        Of the log likelihood.
    failure : str
    """

    residuals: Array
    jacobian: Array | None
    log_likelihood: float
    gradient: Array | None = None
    failure: str = ""

    @property
    def objective(self) -> float:
        """The sum of squares."""
        return float(self.residuals @ self.residuals) if not self.failure else math.inf


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Some of the estimated parameters of a problem, moved on their scales; the others held.

    Attributes
    ----------
    problem : EstimationProblem
    held : mapping of str to float
        Parameters that stay, in their own units.
    rtol : float
    depth : float
        How far spreads may fall below `spreads`, in logarithms. With a half, Gauss's approximation of the curvature is exact
        where a spread is as large as its rows say; with more, there is more room.
    spreads : array, optional
        What each spread is counted from; those at the nominal values by default.
    """

    problem: EstimationProblem
    held: Mapping[str, float] = field(default_factory=dict)
    rtol: float = 1e-6
    depth: float = _DEEPEST
    spreads: Array | None = None

    @cached_property
    def rows(self) -> tuple[ParameterRow, ...]:
        """Of the parameters that move."""
        return tuple(each for each in self.problem.parameters if each.estimate and each.id not in self.held)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Theirs."""
        return tuple(each.id for each in self.rows)

    @cached_property
    def logged(self) -> NDArray[np.bool_]:
        """Which are moved by their logarithm."""
        return np.array([_by_logarithm(each) for each in self.rows], bool)

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Ends of each coordinate."""
        ends = np.array([(each.lower, each.upper) for each in self.rows], float).reshape(-1, 2).T
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.where(self.logged, np.log(np.maximum(ends, 0.0)), ends)
        return moved[0], moved[1]

    def values(self, u: Array) -> dict[str, float]:
        """Parameters at a place, those held included."""
        moved = dict(
            zip(
                self.names,
                np.where(self.logged, np.exp(np.where(self.logged, u, 0.0)), u).tolist(),
                strict=True,
            )
        )
        # a logarithm and back may pass a bound by its last digit
        inside = {row.id: min(max(moved[row.id], row.lower), row.upper) for row in self.rows}
        return {**self.held, **inside}

    def place_of(self, values: Mapping[str, float]) -> Array:
        """Where parameters have these values, between their bounds."""
        x = np.array([values[name] for name in self.names], float)
        low, high = self.bounds
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.clip(np.where(self.logged, np.log(np.maximum(x, 1e-300)), x), low, high))

    def stretch(self, u: Array) -> Array:
        """Derivative of each parameter by its coordinate."""
        return np.where(self.logged, np.exp(np.where(self.logged, u, 0.0)), 1.0)

    def counted_from(self, u: Array) -> Coordinates:
        """The same with spreads counted from those at a place, near which a search then ends quickly."""
        scored = self.problem.scored(self.values(u), rtol=self.rtol)
        return replace(self, depth=0.5, spreads=np.concatenate([each.spread for each in scored]))

    def at(self, u: Array, *, slopes: bool = False) -> Place:
        """Score the problem at a place; one that cannot be scored is told and not raised."""
        values = self.values(u)
        try:
            scored = self.problem.scored(values, slopes=slopes, rtol=self.rtol)
        except CellsimError as error:
            return Place(np.full(1, np.inf), None, -math.inf, None, str(error))
        residual = np.concatenate([each.residual for each in scored])
        spread = np.concatenate([each.spread for each in scored])
        total = float(sum(each.log_likelihood.sum() for each in scored))
        room = np.log(spread / self._first_spreads) + self.depth
        if not np.all(room > 0):
            return Place(np.full(1, np.inf), None, -math.inf, None, "a spread is next to nothing.")
        cost = np.sqrt(2 * room)
        q, dq = self._priors(u)
        residuals = np.concatenate([residual, cost, q])
        if not np.all(np.isfinite(residuals)):
            return Place(
                np.full(1, np.inf), None, -math.inf, None, "it lies where a density is nought or infinite."
            )
        if not slopes:
            return Place(residuals, None, total)
        kept = [self.problem.names.index(name) for name in self.names]
        stretch = self.stretch(u)
        moved, by_spread, gradient = (
            np.concatenate([np.asarray(getattr(each, name)) for each in scored])[:, kept] * stretch
            for name in ("residual_slopes", "spread_slopes", "gradient")
        )
        jacobian = np.vstack([moved, by_spread / cost[:, None], dq])
        return Place(residuals, jacobian, total, gradient.sum(axis=0))

    @cached_property
    def _first_spreads(self) -> Array:
        """Spreads at the nominal values, or where these cannot be scored, one: what a spread's cost is counted from."""
        if self.spreads is not None:
            return self.spreads
        given = {each.id: _middle(each) for each in self.problem.parameters if math.isnan(each.nominal)}
        try:
            scored = self.problem.scored({**given, **self.held}, rtol=self.rtol, judged=False)
        except CellsimError:
            return np.ones(sum(len(each.measurements) for each in self.problem.tables.parts))
        found = np.concatenate([each.spread for each in scored])
        return np.where(np.isfinite(found) & (found > 0), found, 1.0)

    # ---- priors -----------------------------------------------------------------------------------

    @cached_property
    def _informative(self) -> list[tuple[int, Prior, float]]:
        """Priors that the table gives and that are not flat: column, prior, and the greatest log density."""
        found = []
        for k, row in enumerate(self.rows):
            prior = self.problem.priors[row.id]
            if prior is not None and row.family and row.family != "uniform":
                found.append((k, prior, _highest(prior)))
        return found

    def _priors(self, u: Array) -> tuple[Array, Array]:
        """What priors cost, as residuals, and their derivatives."""
        residuals, slopes = (
            np.zeros(len(self._informative)),
            np.zeros((len(self._informative), len(self.names))),
        )
        values, stretch = self.values(u), self.stretch(u)
        for i, (k, prior, top) in enumerate(self._informative):
            x = values[self.names[k]]
            here = float(prior.log_density(x))
            fallen = max(top - here, 0.0)
            residuals[i] = math.sqrt(2 * fallen + 1e-12)
            h = _STEP * max(abs(x), 1e-6)
            up, down = (float(prior.log_density(each)) for each in (x + h, x - h))
            slope = (up - down) / (2 * h) if math.isfinite(up - down) else 0.0
            slopes[i, k] = -slope * stretch[k] / residuals[i]
        return residuals, slopes


def _by_logarithm(row: ParameterRow) -> bool:
    if row.scale != "lin":
        return True
    return row.lower > 0 and row.upper / row.lower > _WIDE


def _middle(row: ParameterRow) -> float:
    """A value between the bounds, for a parameter that has none."""
    low, high = max(row.lower, -1e3), min(row.upper, 1e3)
    return math.sqrt(low * high) if _by_logarithm(row) and low > 0 else (low + high) / 2


def _highest(prior: Prior) -> float:
    """The greatest log density of a prior between its bounds."""
    places = prior.value(np.linspace(-6, 6, _GRID))
    for _ in range(4):
        heights = np.asarray(prior.log_density(places))
        best = int(np.nanargmax(np.where(np.isfinite(heights), heights, -np.inf)))
        places = np.linspace(places[max(best - 1, 0)], places[min(best + 1, len(places) - 1)], _GRID)
    return float(heights[best])
