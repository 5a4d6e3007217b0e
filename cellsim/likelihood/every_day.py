"""Residuals of all rows on every day that their sample may have been taken, and their slopes.

One simulation read on many days says what each day would make of the rows of its visit
(:mod:`cellsim.likelihood.marginal_days`). Here it says so as residuals, and how these answer to parameters, which is all that the
rows to first order are made of. Values are told on every node of a day's quadrature. Slopes change less within a panel than values do:
they are told on its first and its last node, and lie on a line between these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.day_quadrature import ENDS, POINTS
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.observations import Rows, score_rows, score_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Halves = NDArray[np.float32]
    Whole = NDArray[np.intp]

__all__ = ["EveryDay", "Reading", "Slopes"]


@dataclass(frozen=True, eq=False)
class Reading:
    """Residuals at one place.

    Attributes
    ----------
    known : array, shape (n_known,)
        Of rows whose day is known, then what estimated spreads cost.
    by_node : tuple of array, shape (n_nodes, n_rows)
        For each visit of unknown day those of its rows on every node.
    offsets : tuple of array, shape (n_nodes,)
        ln (weight of the node times likelihood of its rows) but for what the residuals say; -inf where a row has no density.
    """

    known: Array
    by_node: tuple[Array, ...]
    offsets: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of residuals, in numbers of half the length: only a proposal is made of them, and there are hundreds of thousands.

    Attributes
    ----------
    known : array, shape (n_known, n)
    by_panel : tuple of array, shape (n_panels, 2, n_rows, n)
        For each visit of unknown day on the first and the last node of each panel.
    """

    known: Halves
    by_panel: tuple[Halves, ...]

    @property
    def flat(self) -> Halves:
        """All entries one after the other."""
        return np.concatenate([self.known.ravel(), *[each.ravel() for each in self.by_panel]])

    @classmethod
    def of_flat(cls, entries: Halves, shapes: Sequence[tuple[int, ...]]) -> Slopes:
        """From all entries, and the shapes of the arrays they fill."""
        sizes = [int(np.prod(shape)) for shape in shapes]
        parts = np.split(entries, np.cumsum(sizes)[:-1])
        known, *by_panel = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        return cls(known, tuple(by_panel))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of all arrays."""
        return [self.known.shape, *[each.shape for each in self.by_panel]]


@dataclass(frozen=True, eq=False)
class EveryDay:
    """Reads the rows of a density on every day."""

    density: WithoutDays

    def read(self, thetas: Array) -> list[Reading | str]:
        """Residuals for every row of `thetas`, simulated side by side, or why there are none."""
        density, objective = self.density, self.density.objective
        reading, rows = density.everywhere, objective.rows.taken(density.known)
        known = objective.read_at(objective.days(thetas))
        days = np.hstack([np.broadcast_to(reading.days, (len(thetas), reading.days.size)), known])
        order = np.argsort(days, axis=1, kind="stable")
        solution = objective.solved(thetas, np.take_along_axis(days, order, axis=1), rtol=density.rtol)
        place, done = np.argsort(order, axis=1), np.flatnonzero(solution.status == 0)
        out: list[Reading | str] = list(solution.messages)
        one = self._scored(
            reading.rows,
            thetas[done],
            solution.outputs[done[:, None], place[done][:, reading.times], reading.rows.output],
        )
        other = self._scored(
            rows,
            thetas[done],
            solution.outputs[done[:, None], place[done][:, reading.days.size + rows.occasion], rows.output],
        )
        spreads = objective.spread_residuals(thetas[done])
        for j, k in enumerate(done.tolist()):
            if not (np.isfinite(other[0][j]).all() and np.isfinite(spreads[j]).all()):
                out[k] = "a row of known day cannot be scored."
                continue
            out[k] = self._by_visit(np.append(other[1][j], spreads[j]), one[0][j], one[1][j])
        return out

    def slopes(self, theta: Array, columns: Whole) -> Slopes | str:
        """How residuals answer to some parameters, or why that is not known; nought where a row has no density.

        Parameters
        ----------
        theta : array, shape (n_parameters,)
        columns : array of int
            The parameters; none is a day that is integrated out.
        """
        density, objective = self.density, self.density.objective
        moments, rows, read = self._at_ends
        occasions = objective.read_at(objective.days(theta))
        days, rank = np.unique(np.concatenate([occasions, *moments]), return_inverse=True)
        # along all parameters, for which code was compiled before: some of them take little less
        solution = objective.solved(theta, days, gradient=True, rtol=density.rtol)
        if solution.status[0]:
            return str(solution.messages[0])
        at = rank[read]
        predicted = solution.outputs[0, at, rows.output]
        lost = rows.unscorable(predicted)
        scores = score_rows(
            rows, np.where(lost, 1.0, predicted), objective.asked_by(rows, theta), objective.degrees
        )
        slopes = objective.slopes(theta, solution, at, rows)
        found = objective.residual_slopes(theta, scores, slopes)[:, columns].astype(np.float32)
        found[lost | ~np.isfinite(found).all(axis=1)] = 0.0
        count = density.known.size
        of_spreads = objective.spread_slopes(theta)[:, columns].astype(np.float32)
        of_known = np.vstack([found[:count], of_spreads])
        by_panel, first = [], count
        for visit, each in zip(density.visits, moments, strict=True):
            size = each.size * visit.terms.size
            shape = (each.size // len(ENDS), len(ENDS), visit.terms.size, columns.size)
            by_panel.append(found[first : first + size].reshape(shape))
            first += size
        return Slopes(of_known, tuple(by_panel))

    @cached_property
    def _at_ends(self) -> tuple[list[Array], Rows, Whole]:
        """Ends of all panels of each visit; rows of known day and then those of each visit on each end, and when each of these
        is read, counted in occasions and then in ends."""
        density, objective = self.density, self.density.objective
        moments = [each.nodes.days.reshape(-1, POINTS)[:, ENDS].ravel() for each in density.visits]
        terms, read, first = (
            [density.known],
            [objective.rows.occasion[density.known]],
            len(objective.occasions),
        )
        for visit, each in zip(density.visits, moments, strict=True):
            terms.append(np.tile(visit.terms, each.size))
            read.append(np.repeat(np.arange(first, first + each.size), visit.terms.size))
            first += each.size
        return moments, objective.rows.taken(np.concatenate(terms)), np.concatenate(read)

    def _scored(self, rows: Rows, thetas: Array, predicted: Array) -> tuple[Array, Array]:
        """ln likelihood and residuals of rows, by set and row; -inf and nought where there is no density."""
        objective, lost = self.density.objective, rows.unscorable(predicted)
        found, residuals = score_sets(
            rows, np.where(lost, 1.0, predicted), objective.asked_by(rows, thetas), objective.degrees
        )
        found[lost], residuals[lost] = -np.inf, 0.0
        return found, residuals

    def _by_visit(self, known: Array, found: Array, residuals: Array) -> Reading | str:
        by_node, offsets = [], []
        room = found + 0.5 * residuals**2
        for k, visit in enumerate(self.density.visits):
            mine, count = self.density.everywhere.visits == k, visit.nodes.days.size
            by_node.append(residuals[mine].reshape(count, visit.terms.size))
            offset = room[mine].reshape(count, visit.terms.size).sum(axis=1) + visit.nodes.log_weights
            if np.all(np.isneginf(offset)):
                return f"no day of {self.density.objective.names[visit.column]} can be scored."
            offsets.append(offset)
        return Reading(known, tuple(by_node), tuple(offsets))
