"""The posterior with unknown sampling days integrated out.

What happens in a patient does not depend on when somebody drew blood, so one simulation, read on many days, says what
the rows of a visit make of every day their sample may have been taken. With all other parameters eta, and visits v whose
day d_v is estimated,

    ln p(eta | rows) = -eta'eta / 2 + sum over rows read on known days of ln p(row | eta)
                       + sum over v of ln integral p(d_v) product over its rows of p(row | eta, d_v) d d_v,

which is smooth where the posterior of eta and days together has narrow modes, and often a mode between any two
infusions. Chains walk in eta alone, and each draw is then given days from their conditional density: together they are
draws from the posterior of all parameters (a collapsed sampler; Liu 1994, J Am Stat Assoc 89:958).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.day_quadrature import Nodes, nodes_of
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.observations import Rows, Scores, score_rows, score_sets
from cellsim.threads import CORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.solver.integration import Solution

    Array = NDArray[np.float64]
    Whole = NDArray[np.intp]

__all__ = ["Density", "UnknownDay", "WithoutDays"]

# nodes that hold less than this of their day's posterior are not differentiated: chains weigh their steps by the value,
# which has all nodes, so that a force that is a little off costs them acceptance and nothing else
_NEGLIGIBLE = 1e-4
# the same where only a proposal is made of it
_NEGLIGIBLE_ROUGH = 1e-3
# of a curvature, where the prior alone has one: integrating over a day can leave a direction less than nothing
_LEAST = 0.1
# relative tolerance of simulations of which only a proposal is made: its weights make good what it is off
_ROUGH = 1e-2
# sets of parameters of one thread, and side by side
_TOGETHER = 8
_LOG_ROOT_TWO_PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True, eq=False)
class Density:
    """The log posterior density of eta at one place.

    Attributes
    ----------
    value : float
        Up to a constant; -inf where the simulation fails.
    gradient : array, shape (n_left,)
    failure : str
        Why there is none; empty otherwise.
    """

    value: float
    gradient: Array
    failure: str = ""


@dataclass(frozen=True, eq=False)
class UnknownDay:
    """A visit whose day is integrated out: where its day stands in theta, its nodes, and its rows among the terms."""

    column: int
    nodes: Nodes
    terms: Whole


@dataclass(frozen=True, eq=False)
class _RowsByDay:
    """Rows, each read on one day.

    Attributes
    ----------
    days : array
        Every day, in order.
    rows : Rows
    times : array of int, shape (n_rows,)
        On which of them.
    shares : array, shape (n_rows,)
        What part of the posterior of its visit's day a row's day holds; one where the day is known.
    visits : array of int, shape (n_rows,)
        Which visit of unknown day, -1 where it is known.
    """

    days: Array
    rows: Rows
    times: Whole
    shares: Array
    visits: Whole


@dataclass(frozen=True, eq=False)
class WithoutDays:
    """The posterior of an objective without its unknown sampling days.

    Attributes
    ----------
    objective : Objective
        With them.
    rtol : float
        Relative tolerance of the simulations.
    """

    objective: Objective
    rtol: float

    @cached_property
    def rough(self) -> WithoutDays:
        """The same, simulated no better than a proposal needs it."""
        return self if self.rtol >= _ROUGH else WithoutDays(self.objective, _ROUGH)

    @cached_property
    def columns(self) -> Whole:
        """Which parameters are left, among those of the objective."""
        gone = {each.column for each in self.visits}
        return np.array([k for k in range(len(self.objective.names)) if k not in gone], np.intp)

    @cached_property
    def visits(self) -> tuple[UnknownDay, ...]:
        objective = self.objective
        infusions = np.array([time for time, *_ in (*objective.doses.jumps, *objective.doses.rates)])
        out = []
        for k, (visit, _) in enumerate(objective.occasions):
            name = f"day_{visit}"
            # a day that the model itself reads is a parameter like any other
            if name in objective.names and name not in objective.kernels.equations.parameters:
                column = objective.names.index(name)
                terms = np.flatnonzero(objective.rows.occasion == k)
                out.append(UnknownDay(column, nodes_of(objective.priors[column], infusions), terms))
        return tuple(out)

    # ---- the density ------------------------------------------------------------------------------

    def density(self, eta: Array) -> Density:
        """At one place.

        Parameters
        ----------
        eta : array, shape (n_left,)
            Prior-whitened.
        """
        theta = self.theta(eta)
        by_visit = self._integrated(theta)
        if isinstance(by_visit, str):
            return Density(-np.inf, np.zeros(eta.size), by_visit)
        reading = self._reading(theta, by_visit)
        found = self._read(theta, reading)
        if isinstance(found, str):
            return Density(-np.inf, np.zeros(eta.size), found)
        solution, scores = found
        pull = reading.shares * scores.residual
        along = self.objective.pulled(theta, solution, reading.times, reading.rows, scores, pull)
        along = along + self.objective.spread_gradient(theta)
        return Density(self._value(eta, reading, scores, by_visit), -along[self.columns] - eta)

    def value(self, eta: Array) -> float:
        """The log density alone, -inf where a simulation fails: a fraction of the work of :meth:`density`."""
        return float(self._values(self.theta(eta)[None])[0])

    def values(self, etas: Array) -> Array:
        """The same for every row of `etas`, shape (n,): side by side, on all cores."""
        parts = self._parts(etas)
        with ThreadPoolExecutor(CORES) as pool:
            return np.concatenate([np.empty(0), *pool.map(self._values, parts)])

    def _values(self, thetas: Array) -> Array:
        """The log density of sets of parameters, each simulated once: on every node and on the days that are known."""
        objective, reading, rows = self.objective, self.everywhere, self.objective.rows.taken(self.known)
        known = objective.read_at(objective.days(thetas))
        days = np.hstack([np.broadcast_to(reading.days, (len(thetas), reading.days.size)), known])
        order = np.argsort(days, axis=1, kind="stable")
        solution = objective.solved(thetas, np.take_along_axis(days, order, axis=1), rtol=self.rtol)
        place = np.argsort(order, axis=1)
        done = np.flatnonzero(solution.status == 0)
        by_node = self._scored(
            reading.rows,
            thetas[done],
            solution.outputs[done[:, None], place[done][:, reading.times], reading.rows.output],
        )
        by_row = self._scored(
            rows,
            thetas[done],
            solution.outputs[done[:, None], place[done][:, reading.days.size + rows.occasion], rows.output],
        )
        out = np.full(len(thetas), -np.inf)
        for k, nodes, scored in zip(done.tolist(), by_node, by_row.sum(axis=1).tolist(), strict=True):
            by_visit = self._by_visit(nodes)
            if not isinstance(by_visit, str):
                eta = thetas[k, self.columns]
                out[k] = (
                    scored
                    + sum(float(np.logaddexp.reduce(each)) for each in by_visit)
                    - 0.5 * float(eta @ eta)
                )
        return out

    @staticmethod
    def _value(eta: Array, reading: _RowsByDay, scores: Scores, by_visit: list[Array]) -> float:
        known = float(scores.log_likelihood[reading.visits < 0].sum())
        return known + sum(float(np.logaddexp.reduce(each)) for each in by_visit) - 0.5 * float(eta @ eta)

    def curvature(self, eta: Array) -> Array | None:
        """Minus the second derivatives of the log density after Gauss and Newton; None where a simulation fails.

        Integrating over a day leaves the mean of J'J over its posterior less the covariance of its rows' gradient
        (Louis 1982, J R Stat Soc B 44:226).

        Parameters
        ----------
        eta : array, shape (n_left,)

        Returns
        -------
        array, shape (n_left, n_left), or None
            Positive definite, the prior's part included.
        """
        return self.curved(eta)[1]

    def curved(self, eta: Array) -> tuple[Density, Array | None]:
        """:meth:`density` and :meth:`curvature` from one simulation."""
        theta = self.theta(eta)
        nothing = np.zeros(eta.size)
        by_visit = self._integrated(theta)
        if isinstance(by_visit, str):
            return Density(-np.inf, nothing, by_visit), None
        reading = self._reading(theta, by_visit)
        found = self._read(theta, reading)
        if isinstance(found, str):
            return Density(-np.inf, nothing, found), None
        solution, scores = found
        slopes = self.objective.slopes(theta, solution, reading.times, reading.rows)
        jacobian = self.objective.residual_slopes(theta, scores, slopes)
        gradient = (reading.shares * scores.residual) @ jacobian
        scaled = np.sqrt(reading.shares)[:, None] * jacobian
        information = scaled.T @ scaled
        for k, visit in enumerate(self.visits):
            first, last = np.searchsorted(reading.visits, [k, k + 1])
            if first == last:
                continue
            # node by node, and all rows of the visit on each
            shape = -1, visit.terms.size, theta.size
            of_node = scores.residual[first:last].reshape(shape[:2])[:, None]
            by_day = (of_node @ jacobian[first:last].reshape(shape))[:, 0]
            shares = reading.shares[first : last : visit.terms.size]
            by_day -= shares @ by_day
            information -= by_day.T @ (shares[:, None] * by_day)
        if not (np.isfinite(gradient).all() and np.isfinite(information).all()):
            return Density(-np.inf, nothing, "a row has no slope there."), None
        along = gradient + self.objective.spread_gradient(theta)
        here = Density(self._value(eta, reading, scores, by_visit), -along[self.columns] - eta)
        out = np.eye(eta.size) + information[np.ix_(self.columns, self.columns)]
        # of n values the expected information on ln sd is 2 n, of which their residuals have one half
        columns = self.columns.tolist()
        for name, count in self.objective.spreads.items():
            at = columns.index(self.objective.names.index(name))
            out[at, at] += count * self.objective.relative_slope(theta, name) ** 2
        values, vectors = np.linalg.eigh(out)
        return here, np.asarray((vectors * np.maximum(values, _LEAST)) @ vectors.T)

    def drawn_all(self, etas: Array, *, seed: int) -> tuple[Array, Array]:
        """Days drawn from their density given all else, for every row of `etas`, on all cores, in order.

        Parameters
        ----------
        etas : array, shape (n, n_left)
        seed : int

        Returns
        -------
        thetas : array, shape (n, n_parameters)
            All parameters of the objective; nan where the simulation fails.
        more : array, shape (n,)
            What the days add to the log density: with it, that of eta becomes that of theta (a unit normal less
            its constant, and the rows).
        """
        randoms = [np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(len(etas))]
        # copies of one draw differ in their days alone
        unique, which = np.unique(etas, axis=0, return_inverse=True)
        found = self.by_node_all(unique)
        thetas, more = np.empty((len(etas), len(self.objective.names))), np.empty(len(etas))
        for k, by_visit in enumerate(found):
            mine = np.flatnonzero(which.ravel() == k)
            thetas[mine], more[mine] = self._drawn(unique[k], by_visit, [randoms[i] for i in mine])
        return thetas, more

    def drawn(self, eta: Array, random: np.random.Generator) -> tuple[Array, float]:
        """The same for one place, shape (n_left,)."""
        thetas, more = self._drawn(eta, self._integrated(self.theta(eta)), [random])
        return thetas[0], float(more[0])

    def _drawn(
        self, eta: Array, by_visit: list[Array] | str, randoms: list[np.random.Generator]
    ) -> tuple[Array, Array]:
        thetas, more = np.tile(self.theta(eta), (len(randoms), 1)), np.zeros(len(randoms))
        if isinstance(by_visit, str):
            return np.full_like(thetas, np.nan), np.full_like(more, np.nan)
        for visit, held in zip(self.visits, by_visit, strict=True):
            days = np.array(visit.nodes.several(held - visit.nodes.log_weights, randoms))
            thetas[:, visit.column] = days[:, 0]
            more += days[:, 1] + _LOG_ROOT_TWO_PI
        return thetas, more

    def by_node_all(self, etas: Array) -> list[list[Array] | str]:
        """For each row of `etas` and each of :attr:`visits`, ln (weight times likelihood of its rows) of its nodes.

        On all cores, side by side; a string where the simulation fails, which says why.
        """
        with ThreadPoolExecutor(CORES) as pool:
            return [each for part in pool.map(self._integrated_sets, self._parts(etas)) for each in part]

    def by_node(self, etas: Array) -> list[list[Array] | str]:
        """The same in this thread alone, for few."""
        return self._integrated_sets(np.stack([self.theta(eta) for eta in etas]))

    def with_likely_days(self, eta: Array) -> Array | None:
        """All parameters, each unknown day at its most probable node; None where the simulation fails."""
        theta = self.theta(eta)
        found = self._integrated(theta)
        if isinstance(found, str):
            return None
        for visit, held in zip(self.visits, found, strict=True):
            theta[visit.column] = visit.nodes.thetas[int(np.argmax(held))]
        return theta

    # ---- how --------------------------------------------------------------------------------------

    def theta(self, eta: Array) -> Array:
        """All parameters, unknown days in the middle of their priors, where they play no part."""
        theta = np.zeros(len(self.objective.names))
        theta[self.columns] = eta
        return theta

    def _parts(self, etas: Array) -> list[Array]:
        """All parameters of each row of `etas`, as many at once as are simulated side by side."""
        return [
            np.stack([self.theta(eta) for eta in etas[k : k + _TOGETHER]])
            for k in range(0, len(etas), _TOGETHER)
        ]

    @cached_property
    def known(self) -> Whole:
        """Rows whose day is not integrated out, among the terms."""
        known = np.ones(len(self.objective.terms), bool)
        for visit in self.visits:
            known[visit.terms] = False
        return np.flatnonzero(known)

    @cached_property
    def everywhere(self) -> _RowsByDay:
        """Rows of visits of unknown day on each of its nodes, visit by visit, node by node."""
        if not self.visits:
            return _RowsByDay(
                np.empty(0), self.objective.rows.taken(np.empty(0, int)), *[np.empty(0, int)] * 3
            )
        days = np.concatenate([each.nodes.days for each in self.visits])
        order = np.argsort(days, kind="stable")
        rank = np.argsort(order)
        terms, times, visits, first = [], [], [], 0
        for k, visit in enumerate(self.visits):
            count = visit.nodes.days.size
            terms.append(np.tile(visit.terms, count))
            times.append(np.repeat(rank[first : first + count], visit.terms.size))
            visits.append(np.full(count * visit.terms.size, k))
            first += count
        rows = self.objective.rows.taken(np.concatenate(terms))
        none = np.empty(0)
        return _RowsByDay(days[order], rows, np.concatenate(times), none, np.concatenate(visits))

    def _integrated(self, theta: Array) -> list[Array] | str:
        """For each visit, ln (weight times likelihood) of its nodes; what went wrong if none has any."""
        return self._integrated_sets(theta[None])[0]

    def _integrated_sets(self, thetas: Array) -> list[list[Array] | str]:
        """The same for every row of `thetas`, simulated side by side."""
        if not self.visits:
            return [[] for _ in thetas]
        reading, objective = self.everywhere, self.objective
        solution = objective.solved(thetas, reading.days, rtol=self.rtol)
        done = np.flatnonzero(solution.status == 0)
        predicted = solution.outputs[done[:, None], reading.times, reading.rows.output]
        found = self._scored(reading.rows, thetas[done], predicted)
        out: list[list[Array] | str] = list(solution.messages)
        for k, each in zip(done.tolist(), found, strict=True):
            out[k] = self._by_visit(each)
        return out

    def _scored(self, rows: Rows, thetas: Array, predicted: Array) -> Array:
        """ln likelihood of rows, by set and row; -inf of what has no density."""
        lost = rows.unscorable(predicted)
        # read as if it had, and forgotten
        found, _ = score_sets(
            rows,
            np.where(lost, 1.0, predicted),
            self.objective.asked_by(rows, thetas),
            self.objective.degrees,
        )
        found[lost] = -np.inf
        return found

    def _by_visit(self, found: Array) -> list[Array] | str:
        """ln likelihood of rows on nodes, by visit and node, weights added; what is wrong where a visit has none."""
        out = []
        for k, visit in enumerate(self.visits):
            by_node = found[self.everywhere.visits == k].reshape(visit.nodes.days.size, -1).sum(axis=1)
            if np.all(np.isneginf(by_node)):
                return f"no day of {self.objective.names[visit.column]} can be scored."
            out.append(by_node + visit.nodes.log_weights)
        return out

    def _reading(self, theta: Array, by_visit: list[Array]) -> _RowsByDay:
        """Rows on known days, and the others on every node that matters."""
        objective, places, first = self.objective, self.visits, self.known
        days, terms = [objective.read_at(objective.days(theta))[objective.rows.occasion[first]]], [first]
        shares, visits = [np.ones(first.size)], [np.full(first.size, -1)]
        for k, (visit, held) in enumerate(zip(places, by_visit, strict=True)):
            share = np.exp(held - np.logaddexp.reduce(held))
            kept = np.flatnonzero(share > (_NEGLIGIBLE if self.rtol < _ROUGH else _NEGLIGIBLE_ROUGH))
            terms.append(np.tile(visit.terms, kept.size))
            days.append(np.repeat(visit.nodes.days[kept], visit.terms.size))
            shares.append(np.repeat(share[kept], visit.terms.size))
            visits.append(np.full(kept.size * visit.terms.size, k))
        each, times = np.unique(np.concatenate(days), return_inverse=True)
        rows = objective.rows.taken(np.concatenate(terms))
        return _RowsByDay(each, rows, times, np.concatenate(shares), np.concatenate(visits))

    def _read(self, theta: Array, reading: _RowsByDay) -> tuple[Solution, Scores] | str:
        """A simulation with gradient, and what it makes of every row read; what went wrong otherwise."""
        objective, rows = self.objective, reading.rows
        solution = objective.solved(theta, reading.days, gradient=True, rtol=self.rtol)
        if solution.status[0]:
            return str(solution.messages[0])
        predicted = solution.outputs[0, reading.times, rows.output]
        if rows.unscorable(predicted).any():
            return "a row is predicted as a value that cannot be scored."
        values = objective.asked_by(rows, theta)
        return solution, score_rows(rows, predicted, values, objective.degrees)
