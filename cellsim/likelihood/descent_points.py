"""What a descent asks for where it comes to: residuals, and their slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.objective import Evaluation, Objective

if TYPE_CHECKING:
    from lmfit import Parameters
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["RoughError", "Way", "theta_of"]


class RoughError(CalibrationError):
    """The derivative cannot be had where a descent has come to."""


class Way:
    """Residuals and slopes where a descent goes, each point simulated once: both are asked for at the points it keeps.

    Parameters
    ----------
    objective : Objective
    rtol : float
        Of the simulations.
    """

    def __init__(self, objective: Objective, rtol: float) -> None:
        self.objective, self.rtol = objective, rtol
        self._last: tuple[Array, Evaluation] | None = None

    def __reduce__(self) -> tuple[type[Way], tuple[Objective, float]]:
        return Way, (self.objective, self.rtol)

    def at(self, theta: Array, *, gradient: bool = False) -> Evaluation:
        """What is there."""
        if self._last is not None and np.array_equal(theta, self._last[0]):
            found = self._last[1]
            if found.jacobian is not None or not gradient:
                return found
        found = self.objective.evaluate(theta, gradient=gradient, rtol=self.rtol)
        self._last = theta.copy(), found
        return found

    def sloped(self, theta: Array) -> Evaluation:
        """The same with a derivative that is finite, or why there is none."""
        there = self.at(theta, gradient=True)
        found = there.jacobian
        assert found is not None
        if there.failure:
            raise RoughError(f"the simulation with derivatives failed: {there.failure}")
        if not np.all(np.isfinite(found)):
            lost = [self.objective.names[j] for j in np.flatnonzero(~np.isfinite(found).all(axis=0))]
            raise RoughError(f"the gradient is not finite with respect to {', '.join(lost[:5])}.")
        return there

    def residuals(self, theta: Array) -> Array:
        """For MINPACK, which works in what it is given."""
        return self.at(theta).residuals.copy()

    def slopes(self, theta: Array) -> Array:
        """The same of their derivatives."""
        found = self.sloped(theta).jacobian
        assert found is not None
        return found

    def residuals_of(self, parameters: Parameters) -> Array:
        """For lmfit."""
        return self.residuals(theta_of(parameters))

    def slopes_of(self, parameters: Parameters) -> Array:
        """For lmfit."""
        return self.slopes(theta_of(parameters))


def theta_of(parameters: Parameters) -> Array:
    """Where lmfit is."""
    return np.array([each.value for each in parameters.values()])
