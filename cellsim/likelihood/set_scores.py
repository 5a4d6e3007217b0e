"""What many sets of parameters make of the data, simulated side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["SetScores"]


@dataclass(frozen=True, eq=False)
class SetScores:
    """:class:`cellsim.likelihood.objective.Evaluation` of many sets, without derivatives.

    Attributes
    ----------
    residuals : array, shape (n_sets, n_terms + n_spreads + n_parameters)
        nan where a set could not be simulated, or not be scored.
    by_row : array, shape (n_sets, n_terms)
        ln likelihood of every row; nan where there is none.
    predicted : array, shape (n_sets, n_terms)
        The same.
    failures : tuple of str
        Why there are none; empty where there are.
    """

    residuals: Array
    by_row: Array
    predicted: Array
    failures: tuple[str, ...]

    @property
    def log_likelihoods(self) -> Array:
        """Of all rows, shape (n_sets,); -inf where a set has failed."""
        total = self.by_row.sum(axis=1)
        return np.where([bool(each) for each in self.failures], -np.inf, total)

    @property
    def objectives(self) -> Array:
        """Sums of squares, shape (n_sets,); infinite where a set has failed."""
        total = (self.residuals**2).sum(axis=1)
        return np.where([bool(each) for each in self.failures], np.inf, total)
