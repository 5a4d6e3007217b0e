"""What a case says of values of its parameters: likelihood, chi-square, prior, posterior, predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cellsim.lazy import upstairs

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Scores"]

_HOME = "likelihood.answers"


class Scores:
    """Questions that a case and every other estimation problem answer alike, at nominal values or at those given by name."""

    def log_likelihood(self, values: Mapping[str, float] | None = None) -> float:
        """Natural logarithm of the likelihood of every scored row, with all constants, under the default variant.

        Parameters
        ----------
        values : mapping of str to float, optional
            Parameters in their own units; those not given are at their nominal values.

        Returns
        -------
        float

        Raises
        ------
        CalibrationError
            For unknown names and values outside a prior's support.
        SimulationError
            The model cannot be carried to the last row, or a row has no density.

        Examples
        --------
        >>> from cellsim.case.case import load_case
        >>> case = load_case("cytopenia_synthetic")
        >>> case.log_likelihood() < 0
        True
        """
        return float(upstairs(_HOME).log_likelihood(self, values))

    def chi2(self, values: Mapping[str, float] | None = None) -> float:
        """Sum of the squares of (measured - predicted)/spread over values that are numbers, of logarithms where these are scored."""
        return float(upstairs(_HOME).chi2(self, values))

    def log_prior(self, values: Mapping[str, float] | None = None) -> float:
        """Logarithm of the prior density of the estimated parameters, each in its own unit."""
        return float(sum(self.log_priors(values).values()))

    def log_priors(self, values: Mapping[str, float] | None = None) -> dict[str, float]:
        """The same by parameter."""
        found: dict[str, float] = upstairs(_HOME).log_priors(self, values)
        return found

    def log_posterior(self, values: Mapping[str, float] | None = None) -> float:
        """Log likelihood and log prior together: the posterior density up to a constant."""
        return self.log_prior(values) + self.log_likelihood(values)

    def simulate(self, values: Mapping[str, float] | None = None) -> pd.DataFrame:
        """What every value that is a number is predicted as: observableId, time, measurement, simulation, spread."""
        found: pd.DataFrame = upstairs(_HOME).simulate(self, values)
        return found
