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
        precision = slopes.T @ slopes
        np.fill_diagonal(precision, np.diag(precision) + 1)
        return precision, slopes.T @ residuals + self.place

    def squares(self, nodes: Sequence[int]) -> float:
        """Minus twice the log density at the place, given these days, but for a constant."""
        residuals, _ = self.on(nodes)
        return float(residuals @ residuals + self.place @ self.place)

    def log_evidences(self, visit: int, nodes: Sequence[int]) -> Array:
        """ln Z of every node of one visit, all other days being on these nodes, up to a constant."""
        ends, columns, middle = self.slopes.by_panel[visit], *self._middles[visit]
        panels, _, rows, _ = ends.shape
        precision, gradient = self.normal(nodes, without=visit)
        covariance = inverse(precision)
        moved = ends @ -(covariance @ gradient)
        rest = self.reading.by_node[visit].reshape(panels, POINTS, rows)
        rest = (rest + np.einsum("pe,cer->cpr", between_ends(), moved)).transpose(0, 2, 1)
        half = middle.reshape(panels * rows, columns.size) @ covariance[np.ix_(columns, columns)]
        spread = half.reshape(panels, rows, columns.size) @ middle.transpose(0, 2, 1) + np.eye(rows)
        squares = (rest * np.linalg.solve(spread, rest)).sum(axis=1)
        sizes = np.log(np.linalg.cholesky(spread).diagonal(axis1=1, axis2=2)).sum(axis=1)
        return np.asarray(self.reading.offsets[visit] - (0.5 * squares + sizes[:, None]).ravel())

    @cached_property
    def _middles(self) -> list[tuple[NDArray[np.intp], Array]]:
        """For each visit, which inner parameters its rows answer to, and slopes by these in the middle of every panel."""
        out = []
        for ends in self.slopes.by_panel:
            middle = ends.mean(axis=1)
            columns = np.flatnonzero((middle != 0).any(axis=(0, 1)))
            out.append((columns, middle[:, :, columns]))
        return out

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
    below, _ = dpotri(factor, lower=True)
    out = np.tril(below)
    return np.asarray(out + np.tril(out, -1).T)
