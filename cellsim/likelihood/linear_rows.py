"""The rows to first order at every day: how probable each unknown sampling day is, the inner parameters integrated out.

With residuals r of all rows at a place w of the inner parameters, their slopes J and a unit normal prior, the rows r + J (v - w) of any
choice of days d make of the inner parameters v a normal distribution, whose precision, mode and integral are closed forms,

    P = 1 + J'J,    mode = w - P^-1 (J'r + w),    ln Z(d) = sum of offsets - (r'r + w'w - g'P^-1 g) / 2 - ln |P| / 2,

g being J'r + w. Days of other visits change little of what the rows of one visit say of its own day (a tenth of a nat in the shipped
case), so that each day is judged with the others where they are most probable: r_d of one visit is then a normal variable of covariance
1 + J_d C J_d', C being the covariance that all other rows leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from cellsim.likelihood.day_quadrature import POINTS, between_ends
from cellsim.likelihood.every_day import Reading, Slopes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["LinearRows", "inverse"]

# variance of a row, and a residual, that numbers of half the length can tell beside one
_LARGEST = 1e5


@dataclass(frozen=True, eq=False)
class LinearRows:
    """All rows on every day, to first order in the inner parameters.

    Attributes
    ----------
    place : array, shape (n,)
        Inner parameters where residuals were told.
    reading : Reading
    slopes : Slopes
        By the inner parameters.
    """

    place: Array
    reading: Reading
    slopes: Slopes

    def on(self, nodes: Sequence[int], without: int = -1) -> tuple[Array, Array]:
        """Residuals and slopes of all rows with each day on one of its nodes; but for those of one visit, if one is named."""
        residuals, slopes = [self.reading.known], [self.slopes.known]
        for k, node in enumerate(nodes):
            if k != without:
                panel, at = divmod(int(node), POINTS)
                first, last = between_ends()[at]
                ends = self.slopes.by_panel[k][panel]
                residuals.append(self.reading.by_node[k][node])
                slopes.append(first * ends[0] + last * ends[1])
        return np.concatenate(residuals), np.concatenate(slopes)

    def normal(self, nodes: Sequence[int], without: int = -1) -> tuple[Array, Array]:
        """Precision of the inner parameters, and the gradient of minus the log density at the place, given these days."""
        residuals, slopes = self.on(nodes, without)
        slopes = slopes.astype(float, copy=False)
        precision = slopes.T @ slopes
        np.fill_diagonal(precision, np.diag(precision) + 1)
        return precision, slopes.T @ residuals + self.place

    def squares(self, nodes: Sequence[int]) -> float:
        """Minus twice the log density at the place, given these days, but for a constant."""
        residuals, _ = self.on(nodes)
        return float(residuals @ residuals + self.place @ self.place)

    def log_evidences(self, visit: int, nodes: Sequence[int]) -> Array:
        """ln Z of every node of one visit, all other days being on these nodes, up to a constant."""
        ends = self.slopes.by_panel[visit]
        panels, _, rows, columns = ends.shape
        precision, gradient = self.normal(nodes, without=visit)
        covariance = inverse(precision)
        moved = ends @ -(covariance @ gradient).astype(ends.dtype)
        rest = self.reading.by_node[visit].reshape(panels, POINTS, rows) + between_ends() @ moved
        middle = 0.5 * (ends[:, 0] + ends[:, 1])
        half = middle.reshape(panels * rows, columns) @ covariance.astype(middle.dtype)
        spread = half.reshape(middle.shape) @ middle.transpose(0, 2, 1)
        if spread.dtype == np.float32 and max(spread.max(initial=0), np.abs(rest).max(initial=0)) > _LARGEST:
            half = middle.reshape(panels * rows, columns).astype(float) @ covariance
            spread = half.reshape(middle.shape) @ middle.transpose(0, 2, 1)
        # below the factor of the spread stand residuals as they are in its standard deviations; their own part is anything greater
        # than the sum of their squares
        whole = np.zeros((panels, rows + POINTS, rows + POINTS), spread.dtype)
        whole[:, :rows, :rows], whole[:, rows:, :rows] = spread, rest
        diagonal = np.einsum("cii->ci", whole)
        diagonal[:, :rows] += 1
        diagonal[:, rows:] = 1 + 2 * (rest**2).sum(axis=(1, 2))[:, None]
        factor = np.linalg.cholesky(whole)
        squares = (factor[:, rows:, :rows].astype(float) ** 2).sum(axis=2)
        sizes = np.log(np.einsum("cii->ci", factor)[:, :rows].astype(float)).sum(axis=1)
        return np.asarray(self.reading.offsets[visit] - (0.5 * squares + sizes[:, None]).ravel())

    @cached_property
    def by_day(self) -> tuple[tuple[int, ...], list[Array]]:
        """A node for each day that is most probable, and ln Z of all nodes of each visit, up to constants.

        From the most probable ones at this place on each visit is judged in turn, the last one first, with those before where
        they were found most probable.
        """
        found = [
            int(np.argmax(offsets - 0.5 * (residuals**2).sum(axis=1)))
            for offsets, residuals in zip(self.reading.offsets, self.reading.by_node, strict=True)
        ]
        evidences = [np.empty(0)] * len(found)
        for k in reversed(range(len(found))):
            evidences[k] = self.log_evidences(k, found)
            found[k] = int(np.argmax(evidences[k]))
        return tuple(found), evidences


def inverse(matrix: Array) -> Array:
    """Of a positive definite matrix, in a third of the time of one that is not known to be."""
    factor, _ = dpotrf(matrix, lower=True)
    below, _ = dpotri(factor, lower=True, overwrite_c=True)
    # nothing stands above the diagonal
    out = below + below.T
    np.fill_diagonal(out, np.diag(below))
    return np.asarray(out)
