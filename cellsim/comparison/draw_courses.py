"""What the courses of draws say of rows: simulated once, and read for every alteration under which they are the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.reweighted import RTOL
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.observations import score_sets
from cellsim.threads import CORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective
    from cellsim.likelihood.observations import Rows

    Array = NDArray[np.float64]

__all__ = ["Courses"]


class Courses:
    """Courses of draws, and ln density of rows on them.

    Parameters
    ----------
    objective : Objective
        Whose draws.
    thetas : array, shape (n, n_parameters)
    days : sequence of float
        Further days to read them on: those on which samples will be held.
    """

    def __init__(self, objective: Objective, thetas: Array, days: Sequence[float] = ()) -> None:
        self.objective, self.thetas, self.more_days = objective, thetas, tuple(days)
        self.density = WithoutDays(objective, RTOL)

    @cached_property
    def times(self) -> Array:
        """All days on which a row may have to be read."""
        nodes = [each.nodes.days for each in self.density.visits]
        return np.unique(np.concatenate([_days(self.objective), *nodes, self.more_days]))

    @cached_property
    def outputs(self) -> Array:
        """Of every draw on these days, shape (n, n_times, n_outputs); nan where one cannot be simulated."""
        found = self.objective.solved(self.thetas, self.times, rtol=RTOL, threads=CORES)
        return np.where((found.status == 0)[:, None, None], found.outputs, np.nan)

    def tell(self, objective: Objective) -> bool:
        """Whether an objective has the same courses, and reads them on days on which they are known."""
        mine = self.objective
        if objective is not mine:
            held = [name for name in mine.kernels.equations.parameters if name not in objective.names]
            same = (
                objective.kernels.equations == mine.kernels.equations
                and objective.doses == mine.doses
                and objective.case.start == mine.case.start
                and all(name not in mine.names for name in held)
                and all(objective.fixed.get(name) == mine.fixed.get(name) for name in held)
            )
            if not same:
                return False
        unknown = {f"day_{visit}" for visit, _ in objective.occasions} & set(objective.names)
        visits = WithoutDays(objective, RTOL).visits
        read = np.concatenate([_days(objective), *(each.nodes.days for each in visits)])
        # a day that the model itself reads is not integrated out: every draw has its own
        return len(unknown) == len(visits) and bool(np.isin(read, self.times).all())

    @cached_property
    def scores(self) -> tuple[Array, dict[int, Array]]:
        """ln density of every row, shape (n, n_terms), nought of those of unknown day; and of these on each node, shape
        (n, n_nodes, n_rows), by the column of their visit's day."""
        return self._scored(self.objective, {})

    def scored(self, objective: Objective) -> tuple[Array, dict[int, Array]]:
        """The same of an objective whose courses they :meth:`tell`: other rows, noise or priors, or days held."""
        if objective is self.objective:
            return self.scores
        same = objective.degrees == self.objective.degrees
        return self._scored(
            objective, {term: k for k, term in enumerate(self.objective.terms)} if same else {}
        )

    def held(self, objective: Objective, nodes: Mapping[int, Array]) -> dict[int, Array]:
        """ln (weight times likelihood) of the nodes of every unknown day, shape (n, n_nodes)."""
        visits = WithoutDays(objective, RTOL).visits
        return {each.column: nodes[each.column].sum(axis=2) + each.nodes.log_weights for each in visits}

    def _scored(self, objective: Objective, place: Mapping[object, int]) -> tuple[Array, dict[int, Array]]:
        """`place` has the rows whose density is known already, as far as they are read on the same days."""
        rows, days, visits = objective.rows, _days(objective), WithoutDays(objective, RTOL).visits
        mine = {self.objective.names[each.column]: each for each in self.density.visits} if place else {}
        at = np.searchsorted(self.times, days)
        at_known = np.ones(len(objective.terms), bool)
        by_day = {}
        for visit in visits:
            at_known[visit.terms] = False
            before = mine.get(objective.names[visit.column])
            terms = [place.get(objective.terms[k], -1) for k in visit.terms]
            if before is not None and np.array_equal(before.nodes.days, visit.nodes.days):
                where = {term: k for k, term in enumerate(before.terms.tolist())}
                if all(term in where for term in terms):
                    known = self.scores[1][before.column]
                    by_day[visit.column] = known[:, :, [where[term] for term in terms]]
                    continue
            of, nodes = rows.taken(visit.terms), np.searchsorted(self.times, visit.nodes.days)
            by_day[visit.column] = self._logs(of, self.outputs[:, nodes][:, :, of.output], objective)
        out = np.zeros((len(self.thetas), len(objective.terms)))
        unknown = {term for each in mine.values() for term in each.terms.tolist()}
        before_days = _days(self.objective)
        fresh = []
        for k in np.flatnonzero(at_known).tolist():
            term = place.get(objective.terms[k], -1)
            if (
                term < 0
                or term in unknown
                or before_days[self.objective.terms[term].occasion] != days[objective.terms[k].occasion]
            ):
                fresh.append(k)
            else:
                out[:, k] = self.scores[0][:, term]
        if fresh:
            of = rows.taken(np.array(fresh))
            out[:, fresh] = self._logs(of, self.outputs[:, at[of.occasion], of.output], objective)
        return out, by_day

    def _logs(self, rows: Rows, predicted: Array, objective: Objective) -> Array:
        """ln density of rows (the last axis) at predictions, -inf where there is none."""
        flat = predicted.reshape(len(predicted), -1)
        count = flat.shape[1] // max(rows.output.size, 1)
        many = rows.taken(np.tile(np.arange(rows.output.size), count))
        lost = many.unscorable(flat)
        asked = self.objective.asked_by(rows, self.thetas)
        # read as if it had one, and forgotten
        found, _ = score_sets(many, np.where(lost, 1.0, flat), asked, objective.degrees)
        found[lost] = -np.inf
        return found.reshape(predicted.shape)


def _days(objective: Objective) -> Array:
    """On which day each occasion is read, where that is known."""
    return objective.read_at(objective.days(np.zeros(len(objective.names))))
