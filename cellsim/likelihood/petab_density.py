"""The most probable parameters by PEtab's density: that of the parameters themselves, each in its own unit.

A density depends on the coordinate it is taken in, and so does where it is highest. With x(theta) the parameters at
prior-whitened coordinates theta and pi their prior density in x,

    -ln posterior(x) = sum r^2 / 2 - ln pi(x(theta)) + constant,

r the residuals of the rows. A flat prior on a box leaves the likelihood alone, whose mode may then stand at an end of the
box; a log-normal prior pulls to exp(mean - sd^2) and not to its median.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective
    from cellsim.likelihood.priors import Prior

    Array = NDArray[np.float64]

__all__ = ["at_bounds", "petab_mode"]

# no coordinate goes further: a uniform prior's is within 1e-9 of the end of its box there
_LIMIT = 6.0
_STEP = 1e-3
_MOST_STEPS, _LEAST_FALL, _LARGEST_DAMPING = 300, 1e-11, 1e12


def petab_mode(objective: Objective, firsts: Sequence[Array]) -> Array:
    """Where the posterior density of the parameters in their own units is highest, prior-whitened.

    Parameters
    ----------
    objective : Objective
    firsts : sequence of array, shape (n,)
        Where to begin, prior-whitened: optima of the whitened density.

    Returns
    -------
    array, shape (n,)
        The highest that Levenberg and Marquardt's steps reach from these.

    Raises
    ------
    CalibrationError
        If nothing can be simulated at any of them.
    """
    ended = [each for first in firsts if (each := _descended(objective, first)) is not None]
    if not ended:
        raise CalibrationError("PEtab's density cannot be followed: no simulation where it would begin.")
    return min(ended, key=lambda each: each[1])[0]


def at_bounds(objective: Objective, theta: Array) -> dict[str, str]:
    """Parameters whose density is highest at an end of their prior: name to ``"lower"`` or ``"upper"``."""
    return {
        name: "upper" if each > 0 else "lower"
        for name, each in zip(objective.names, theta, strict=True)
        if abs(each) > _LIMIT - 1.5
    }


def _prior_part(priors: Sequence[Prior], theta: Array) -> tuple[Array, Array, Array]:
    """-ln of each prior's density in the parameter's unit, and its first and second derivative by theta."""
    here, up, down = (
        np.array(
            [
                -float(prior.log_density(prior.value(np.array(each))))
                for prior, each in zip(priors, at, strict=True)
            ]
        )
        for at in (theta, theta + _STEP, theta - _STEP)
    )
    return here, (up - down) / (2 * _STEP), (up - 2 * here + down) / _STEP**2


def _descended(objective: Objective, first: Array) -> tuple[Array, float] | None:
    """A mode of PEtab's density and half of -2 ln of it there, up to a constant; None where nothing can be simulated."""
    count, priors = objective.residual_count, objective.priors

    def height(theta: Array) -> float:
        found = objective.evaluate(theta)
        level = (
            float(found.residuals[:count] @ found.residuals[:count]) / 2 + _prior_part(priors, theta)[0].sum()
        )
        return np.inf if found.failure or not np.isfinite(level) else float(level)

    theta = np.clip(first, -_LIMIT, _LIMIT)
    level, damping = height(theta), 1e-3
    if not np.isfinite(level):
        return None
    for _ in range(_MOST_STEPS):
        found = objective.evaluate(theta, gradient=True)
        if found.jacobian is None or not np.all(np.isfinite(found.jacobian)):
            break
        slopes = found.jacobian[:count]
        _, first_prior, second_prior = _prior_part(priors, theta)
        gradient = slopes.T @ found.residuals[:count] + first_prior
        hessian = slopes.T @ slopes + np.diag(np.maximum(second_prior, 0.0))
        free = ~((np.abs(theta) >= _LIMIT) & (gradient * theta < 0))
        scale = np.sqrt(np.maximum(np.diag(hessian), np.finfo(float).tiny))[free]
        inner = hessian[np.ix_(free, free)] / np.outer(scale, scale)
        fall = 0.0
        while damping < _LARGEST_DAMPING:
            move = np.zeros(theta.size)
            move[free] = (
                -np.linalg.solve(inner + damping * np.eye(scale.size), gradient[free] / scale) / scale
            )
            trial = np.clip(theta + np.clip(move, -1.0, 1.0), -_LIMIT, _LIMIT)
            below = height(trial)
            if below < level:
                fall, theta, level = level - below, trial, below
                damping /= 10
                break
            damping = max(damping, 1e-9) * 10
        if fall < _LEAST_FALL:
            break
    return theta, level
