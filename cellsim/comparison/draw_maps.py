"""Draws of one posterior moved to where another one has its own, and the size of what they were moved by.

Formulas are in :mod:`cellsim.comparison.reweighting`, which weighs the draws afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dtrtrs

from cellsim.comparison.reweighted import RTOL
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.threads import CORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]

__all__ = ["Line", "Normal", "carried", "joint", "mapped", "normal_log_density"]

_LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Line:
    """The rows around one place of the outer parameters: inner parameters there, residuals and slopes, of rows alone."""

    place: Array
    residuals: Array
    slopes: Array


@dataclass(frozen=True, eq=False)
class Normal:
    """The normal density of inner parameters that a line makes of them: mode, and the lower triangle of its precision's root."""

    mode: Array
    root: Array

    @classmethod
    def of(cls, line: Line) -> Normal:
        """With all rows, and priors of one."""
        precision = line.slopes.T @ line.slopes + np.eye(line.place.size)
        pull = line.slopes.T @ line.residuals + line.place
        root = np.asarray(np.linalg.cholesky(precision), float)
        return cls(line.place - np.linalg.solve(precision, pull), root)


def mapped(
    start: Normal,
    goal: Line,
    w: Array,
    rows: NDArray[np.bool_],
    held: NDArray[np.bool_],
    fixed: Array,
    factor: Array,
) -> tuple[Array, float]:
    """Where inner parameters go, those held left out, and ln |dw'/dw| plus ln of the density that held ones leave with.

    `start` is where they come from and `goal` where they go: another place where outer parameters are moved, too.
    """
    mode, root = start.mode, start.root
    kept = ~held
    mean, left = mode[kept], 0.0
    if held.any():
        precision = root @ root.T
        inside = precision[np.ix_(kept, kept)]
        root = np.asarray(np.linalg.cholesky(inside), float)
        off = w[held] - mode[held]
        mean = mean - np.linalg.solve(inside, precision[np.ix_(kept, held)] @ off)
        spread = np.linalg.inv(precision)[np.ix_(held, held)]
        left = -0.5 * float(off @ np.linalg.solve(spread, off) + np.linalg.slogdet(2 * np.pi * spread)[1])
    slopes, prior = goal.slopes[rows], factor[kept] ** 2
    residuals = goal.residuals[rows]
    if held.any():
        residuals = residuals + slopes[:, held] @ (fixed - goal.place[held])
    slopes = slopes[:, kept]
    after = slopes.T @ slopes + np.diag(prior)
    root_after = np.linalg.cholesky(after)
    pull = slopes.T @ residuals + prior * goal.place[kept]
    # root_after root_after' (there - place) = -pull, and root_after' (moved - there) = root' (w - mean)
    half = root.T @ (w[kept] - mean) - dtrtrs(root_after, pull, lower=1)[0]
    moved = goal.place[kept] + dtrtrs(root_after, half, lower=1, trans=1)[0]
    size = float(np.log(np.diag(root)).sum() - np.log(np.diag(root_after)).sum())
    return moved, size + left


def joint(objective: Objective, thetas: Array) -> Array:
    """ln of the posterior at draws with days of their own, all constants of the prior included; -inf where there is none."""
    out = np.full(len(thetas), -np.inf)
    fine = np.flatnonzero(np.isfinite(thetas).all(axis=1))
    out[fine] = objective.log_likelihoods(thetas[fine], rtol=RTOL, threads=CORES)
    return out + normal_log_density(thetas).sum(axis=1)


def normal_log_density(theta: Array) -> Array:
    """ln of the standard normal density, of each number."""
    return -0.5 * theta**2 - 0.5 * _LOG_TWO_PI


def carried(before: Objective, after: Objective, thetas: Array) -> tuple[Array, Array]:
    """Draws in the coordinates of another objective, the same values, and ln |d theta'/d theta| of what is left of them.

    An unknown day outside of its new window stands in its middle: it is integrated out.
    """
    unknown = {each.column for each in WithoutDays(after, RTOL).visits}
    out, stretch = np.empty((len(thetas), len(after.names))), np.zeros(len(thetas))
    for j, (name, prior) in enumerate(zip(after.names, after.priors, strict=True)):
        k = before.names.index(name)
        old, column = before.priors[k], thetas[:, k]
        if prior == old:
            out[:, j] = column
        elif replace(prior, spread=1.0) == replace(old, spread=1.0):
            out[:, j] = column * old.spread / prior.spread
            stretch += np.log(old.spread / prior.spread)
        else:
            out[:, j] = [prior.whitened(float(each)) for each in old.value(column)]
            if j in unknown:
                out[:, j] = np.where(np.isfinite(out[:, j]), out[:, j], 0.0)
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    stretch += np.log(old.slope(column)) - np.log(prior.slope(out[:, j]))
    return out, stretch
