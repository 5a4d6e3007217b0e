"""Draws of one posterior taken for draws of another: rows left out, other priors, noise, limits or days, parameters held.

A draw of a posterior p whose importance weight was w counts w p'/p under another posterior p', and the mean of these weights is
the other evidence; Pareto's k of them, told with every number, says whether they can be trusted (Vehtari et al. 2024, JMLR
25:72). Unknown sampling days are integrated out of both (:mod:`cellsim.likelihood.marginal_days`): a course is read on all days
at once, so that rows left out, other priors, other noise and days that are held cost no simulation, and other days of infusion
one.

Weights of rows left out are uneven even where k is content (in a linear Gaussian case a nat of five was missing at k = 0.5), so draws
are moved first where that can be. Given the outer parameters and the days (together u) the rows are nearly linear in the inner
parameters w, so that N(m, P^-1) is nearly p(w | u) and N(m', P'^-1) nearly p'(w' | u). The map w' = m' + P'^(-T/2) P^(T/2) (w - m)
takes the one to the other, and

    weight = w p'(u, w') |dw'/dw| / p(u, w)

is exact whatever the map is, as m, P, m' and P' depend on u alone; parameters that are held leave with their density given all others.
Where these weights have no variance, the outer parameters are moved, too: each to the mean and the scale that the weights say it has
(Paananen et al. 2021, Stat Comput 31:16), m' and P' being those there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from cellsim.comparison.draw_maps import Line, Normal, carried, joint, mapped
from cellsim.comparison.reweighted import FINITE, RTOL, Reweighted
from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.observations import score_rows
from cellsim.posterior.approximation import smoothed_weights
from cellsim.posterior.collapsed_proposal import systematic
from cellsim.threads import CORES, on_all_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective
    from cellsim.likelihood.observations import Rows
    from cellsim.posterior.posterior import Posterior

    Array = NDArray[np.float64]
    Whole = NDArray[np.intp]

__all__ = ["Exact", "Reweighting"]

# draws that are weighted, or moved and weighted
_DRAWS = 400
# they are taken by weights raised to this power: tails of one posterior are the middle of another
_TEMPER = 0.5
# prior standard deviations beyond which a held value is taken for that far
_FAR = 3.0
# penalty of the regression of inner parameters on outer ones
_RIDGE = 5.0
# draws without a weight leave the others to tell it all; fewer than this tell nothing
_FEWEST = 10


class Reweighting:
    """Draws of a posterior, to be weighted for others.

    Parameters
    ----------
    post : Posterior
    log_evidence : float, optional
        Of chains, which have none.
    days : sequence of float
        Further days to read the courses on: those on which samples will be held.
    seed : int
        Of which draws are taken.
    """

    def __init__(
        self, post: Posterior, *, log_evidence: float | None = None, days: Sequence[float] = (), seed: int = 0
    ) -> None:
        self.objective, weighted = post.objective, post.drawn.weighted
        self.density = WithoutDays(self.objective, RTOL)
        self.log_evidence = post.log_evidence if log_evidence is None else log_evidence
        self.kind, self.known = post.approximation.kind, post.approximation.doubts
        self.more_days = tuple(days)
        random = np.random.default_rng(seed)
        outer: tuple[str, ...] = ()
        places, within = post.flat[:, None], np.zeros((len(post.flat), 1))
        if weighted is not None:
            places, within, outer = weighted.thetas, weighted.log_weights, weighted.outer
        logs = np.asarray(logsumexp(within, axis=1))
        fine = np.flatnonzero(np.isfinite(logs))
        if fine.size > _DRAWS:
            fine, logs = fine[systematic(_TEMPER * logs[fine], _DRAWS, random)], (1 - _TEMPER) * logs
        # one draw of a place: those that share it are no independent ones
        self.thetas = np.array([places[k, systematic(within[k], 1, random)[0]] for k in fine.tolist()])
        self.log_weights = logs[fine]
        known = [self.objective.names[k] in outer for k in self.density.columns]
        self.inner = self.density.columns[~np.array(known, bool)]

    # ---- what courses say -------------------------------------------------------------------------

    @cached_property
    def times(self) -> Array:
        """All days on which a row may have to be read."""
        known = self.objective.read_at(self.objective.days(np.zeros(len(self.objective.names))))
        nodes = [each.nodes.days for each in self.density.visits]
        return np.unique(np.concatenate([known, *nodes, self.more_days]))

    @cached_property
    def outputs(self) -> Array:
        """Of every draw on these days, shape (n, n_times, n_outputs); nan where one cannot be simulated."""

        found = self.objective.solved(self.thetas, self.times, rtol=RTOL, threads=CORES)
        return np.where((found.status == 0)[:, None, None], found.outputs, np.nan)

    @cached_property
    def _scores(self) -> tuple[Array, dict[int, Array]]:
        """ln density of every row, shape (n, n_terms), and of those of unknown day on each node, (n, n_nodes, n_rows), by visit's column."""
        return self._scored(self.objective)

    def _scored(self, objective: Objective) -> tuple[Array, dict[int, Array]]:
        """The same of an objective that differs in rows, noise, priors or held days."""
        density, rows = WithoutDays(objective, RTOL), objective.rows
        at = np.searchsorted(self.times, objective.read_at(objective.days(np.zeros(len(objective.names)))))
        known = np.ones(len(objective.terms), bool)
        by_day = {}
        for visit in density.visits:
            known[visit.terms] = False
            of, nodes = rows.taken(visit.terms), np.searchsorted(self.times, visit.nodes.days)
            by_day[visit.column] = self._logs(of, self.outputs[:, nodes][:, :, of.output], objective)
        out = np.zeros((len(self.thetas), len(objective.terms)))
        first = np.flatnonzero(known)
        of = rows.taken(first)
        out[:, first] = self._logs(of, self.outputs[:, at[of.occasion], of.output], objective)
        return out, by_day

    def _logs(self, rows: Rows, predicted: Array, objective: Objective) -> Array:
        """ln density of rows (the last axis) at predictions, -inf where there is none."""
        out = np.full(predicted.shape, -np.inf)
        plain, graded = np.flatnonzero(~rows.graded), np.flatnonzero(rows.graded)
        if plain.size:
            seen = np.ascontiguousarray(predicted[..., plain])
            many = rows.taken(np.tile(plain, seen.size // plain.size))
            fine = np.flatnonzero(~many.unscorable(seen.ravel()))
            found = np.full(seen.size, -np.inf)
            found[fine] = score_rows(
                many.taken(fine), seen.ravel()[fine], {}, objective.degrees
            ).log_likelihood
            out[..., plain] = found.reshape(seen.shape)
        if graded.size:
            few = rows.taken(graded)
            for k, theta in enumerate(self.thetas):
                if not few.unscorable(predicted[k, graded]).any():
                    values = self.objective.values(theta)
                    out[k, graded] = score_rows(
                        few, predicted[k, graded], values, objective.degrees
                    ).log_likelihood
        return out

    # ---- weights ----------------------------------------------------------------------------------

    @cached_property
    def _log_density(self) -> Array:
        """ln of the posterior of every draw, unknown days integrated out, not normalised."""
        if self._one_course:
            rows, nodes = self._scores
            held = self._held(self.objective, nodes)
            return self._summed(rows, held) - 0.5 * (self.thetas[:, self.density.columns] ** 2).sum(axis=1)
        return self._simulated(self.objective, self.thetas)

    @property
    def _one_course(self) -> bool:
        """Whether rows of all draws are read on the same days but for those that are integrated out."""
        days = {f"day_{visit}" for visit, _ in self.objective.occasions} & set(self.objective.names)
        return len(days) == len(self.density.visits)

    def _held(self, objective: Objective, nodes: Mapping[int, Array]) -> dict[int, Array]:
        """ln (weight times likelihood) of the nodes of every unknown day, shape (n, n_nodes)."""
        visits = WithoutDays(objective, RTOL).visits
        return {each.column: nodes[each.column].sum(axis=2) + each.nodes.log_weights for each in visits}

    @staticmethod
    def _summed(rows: Array, held: Mapping[int, Array]) -> Array:
        found = rows.sum(axis=1)
        with np.errstate(invalid="ignore"):
            for each in held.values():
                found = found + logsumexp(each, axis=1)
        return np.where(np.isnan(found), -np.inf, found)

    @staticmethod
    def _simulated(objective: Objective, thetas: Array) -> Array:
        """ln of the posterior, each simulated."""
        density = WithoutDays(objective, RTOL)
        fine = np.isfinite(thetas[:, density.columns]).all(axis=1)
        out = np.full(len(thetas), -np.inf)
        etas = thetas[fine][:, density.columns]
        if len(etas):
            out[fine] = density.values(etas)
        return out

    def unaltered(self) -> Reweighted:
        """The posterior itself."""
        return self.of(self.objective)

    def of(self, objective: Objective) -> Reweighted:
        """Another posterior of the same parameters, of which some may be held.

        Parameters
        ----------
        objective : Objective

        Returns
        -------
        Reweighted
            By draws moved where rows, or priors of inner parameters, are other ones, and else as they stand. Where weights of moved
            ones have no variance (k above one half), by whichever has the smaller k.

        Raises
        ------
        CalibrationError
            If it estimates what the posterior does not, or none of the draws can be simulated.
        """
        if unknown := [each for each in objective.names if each not in self.objective.names]:
            raise CalibrationError(
                f"draws of {self.objective.variant or self.objective.case.name} know nothing of {', '.join(unknown)}, which the altered "
                "case estimates; sample that case by itself."
            )
        columns = self.density.columns
        gone = [self.objective.names[k] for k in columns if self.objective.names[k] not in objective.names]
        altered = (
            set(objective.terms) != set(self.objective.terms) or objective.priors != self.objective.priors
        )
        if not self._movable(objective, gone):
            if not gone:
                return self._standing(objective)
            raise CalibrationError(
                f"{', '.join(gone)} cannot be held for draws of {self.objective.variant or self.objective.case.name}, in which the rows "
                "are far from linear; sample that case by itself."
            )
        if not gone and not altered:
            return self._standing(objective)
        moved = self._moved(objective, gone)
        if moved.pareto_k <= FINITE or gone:
            return moved
        standing = self._standing(objective)
        return standing if standing.pareto_k < moved.pareto_k else moved

    def _standing(self, objective: Objective) -> Reweighted:
        """By draws as they stand."""
        before = self.objective
        held: dict[int, Array] = {}
        thetas, stretch = carried(before, objective, self.thetas)
        if objective.case == before.case and self._one_course:
            rows, held = self._rows_of(objective)
            columns = WithoutDays(objective, RTOL).columns
            after = self._summed(rows, held) - 0.5 * (thetas[:, columns] ** 2).sum(axis=1)
        else:
            after = self._simulated(objective, thetas)
        return self._weighted(objective, thetas, self.log_weights, after + stretch - self._log_density, held)

    def _rows_of(self, objective: Objective) -> tuple[Array, dict[int, Array]]:
        """Rows on known days and nodes of unknown ones, from what is known where only rows were left out."""
        place = {term: k for k, term in enumerate(self.objective.terms)}
        same = objective.degrees == self.objective.degrees and all(each in place for each in objective.terms)
        days = {each.column for each in self.density.visits}
        theirs = WithoutDays(objective, RTOL).visits
        if not same or objective.names != self.objective.names or {each.column for each in theirs} != days:
            rows, nodes = self._scored(objective)
            return rows, self._held(objective, nodes)
        rows, nodes = self._scores
        kept = {place[each] for each in objective.terms}
        out = {}
        for visit in self.density.visits:
            these = [k for k, term in enumerate(visit.terms.tolist()) if term in kept]
            out[visit.column] = nodes[visit.column][:, :, these].sum(axis=2) + visit.nodes.log_weights
        return rows[:, sorted(kept)], out

    def _weighted(
        self,
        objective: Objective,
        thetas: Array,
        log_weights: Array,
        ratio: Array,
        days: Mapping[int, Array],
        *,
        moved: bool = False,
    ) -> Reweighted:
        logs = log_weights + np.where(np.isnan(ratio), -np.inf, ratio)
        fine = np.isfinite(logs)
        if fine.sum() < _FEWEST:
            raise CalibrationError(
                f"{int((~fine).sum())} of {fine.size} draws of {objective.variant or objective.case.name} have no weight: they cannot be "
                "simulated, or lie outside of what is allowed then."
            )
        smooth, total, shape = _smoothed(logs[fine])
        before = np.exp(log_weights - logsumexp(log_weights))
        after = np.zeros(fine.size)
        after[fine] = np.exp(smooth)
        return Reweighted(
            objective=objective,
            thetas=thetas[fine],
            log_weights=smooth,
            log_evidence=self.log_evidence + total - float(logsumexp(log_weights)),
            error=float(np.sqrt(((after - before) ** 2).sum())),
            pareto_k=shape,
            moved=moved,
            kind=self.kind,
            known=tuple(self.known),
            days={column: each[fine] for column, each in days.items()},
        )

    # ---- draws moved ------------------------------------------------------------------------------

    def _movable(self, objective: Objective, gone: Sequence[str]) -> bool:
        """Whether only inner parameters, rows and their priors differ."""
        names = [self.objective.names[k] for k in self.inner]
        days = [self.objective.names[each.column] for each in self.density.visits]
        return (
            bool(names)
            and objective.case == self.objective.case
            and objective.degrees == self.objective.degrees
            and set(gone) <= set(names)
            and all(each in objective.names for each in days)
            and set(objective.terms) <= set(self.objective.terms)
        )

    @cached_property
    def _chosen(self) -> tuple[Array, Array, Array]:
        """Draws that are moved, their ln weights, and ln of the posterior there, their own days held.

        All of them: a day that the rows left out had ruled out is known by draws of little weight alone.
        """
        return self.thetas, self.log_weights, joint(self.objective, self.thetas)

    @cached_property
    def _lines(self) -> list[Line | None]:
        """The rows around each of them, at what its outer parameters and days let one expect of the inner ones."""
        thetas, inner, count = self._expected(self._chosen[0]), self.inner, len(self.objective.terms)

        def line(theta: Array) -> Line | None:
            found = self.objective.evaluate(theta, gradient=True, rtol=RTOL, along=inner)
            if found.failure or found.jacobian is None:
                return None
            return Line(theta[inner], found.residuals[:count], found.jacobian[:count])

        line(thetas[0])
        return on_all_cores(line, thetas)

    @cached_property
    def _normals(self) -> list[Normal | None]:
        """What the lines make of the inner parameters."""
        return on_all_cores(lambda line: None if line is None else Normal.of(line), self._lines)

    def _lines_at(self, thetas: Array) -> list[Line | None]:
        """The same around each place that a draw was moved to: residuals as they are there, slopes as at the draw.

        Any map will do, and slopes of their own, which hardly differ, would take ten times as long.
        """
        thetas, count = self._expected(thetas), len(self.objective.terms)
        found = self.objective.evaluate_sets(thetas, rtol=RTOL, threads=CORES)
        return [
            None if line is None or said else Line(theta[self.inner], residuals[:count], line.slopes)
            for line, theta, residuals, said in zip(
                self._lines, thetas, found.residuals, found.failures, strict=True
            )
        ]

    def _expected(self, thetas: Array) -> Array:
        """Outer parameters and days of these, with the inner ones that they let one expect."""
        inner = self.inner
        outer = np.setdiff1d(np.arange(len(self.objective.names)), inner)
        shares = np.exp(self.log_weights - logsumexp(self.log_weights))
        middle, centre = shares @ self.thetas[:, outer], shares @ self.thetas[:, inner]
        apart = self.thetas[:, outer] - middle
        pulled = len(shares) * shares[:, None] * apart
        slope = np.linalg.solve(
            apart.T @ pulled + _RIDGE * np.eye(outer.size), pulled.T @ (self.thetas[:, inner] - centre)
        )
        out = thetas.copy()
        out[:, inner] = centre + (thetas[:, outer] - middle) @ slope
        return out

    def _moved(self, objective: Objective, gone: Sequence[str]) -> Reweighted:
        """By draws moved: inner parameters, and where the weights then have no variance outer ones as well."""
        found, ratio = self._moved_from(objective, gone, self._chosen[0], self._lines)
        if found.pareto_k <= FINITE or not self._outer.size:
            return found
        places, size = self._rescaled(ratio)
        again, _ = self._moved_from(objective, gone, places, self._lines_at(places), size)
        return min(found, again, key=lambda each: each.pareto_k)

    @property
    def _outer(self) -> Whole:
        """Parameters that are neither inner ones nor unknown days."""
        return np.setdiff1d(self.density.columns, self.inner)

    def _rescaled(self, ratio: Array) -> tuple[Array, float]:
        """The draws with mean and scale of each outer parameter as these changes of weights have them, and ln of what that stretches."""
        thetas, logs, _ = self._chosen
        fine, outer = np.isfinite(ratio), self._outer

        def moments(at: Array, log_weights: Array) -> tuple[Array, Array]:
            shares = np.exp(log_weights - logsumexp(log_weights))
            mean = shares @ at
            return mean, np.sqrt(shares @ (at - mean) ** 2)

        mean, sd = moments(thetas[:, outer], logs)
        goal, wide = moments(thetas[fine][:, outer], _smoothed((logs + ratio)[fine])[0])
        places = thetas.copy()
        places[:, outer] = goal + wide / sd * (thetas[:, outer] - mean)
        return places, float(np.log(wide / sd).sum())

    def _moved_from(
        self,
        objective: Objective,
        gone: Sequence[str],
        places: Array,
        goals: Sequence[Line | None],
        size: float = 0.0,
    ) -> tuple[Reweighted, Array]:
        """By draws whose inner parameters are moved, and ln of what their weights change by; `places` have their outer ones."""
        before, inner = self.objective, self.inner
        thetas, logs, log_density = self._chosen
        kept_rows = np.array([term in set(objective.terms) for term in before.terms])
        held = np.array([before.names[k] in gone for k in inner])
        factor = np.array(
            [
                before.priors[k].spread / objective.priors[objective.names.index(before.names[k])].spread
                if before.names[k] in objective.names
                else 1.0
                for k in inner
            ]
        )
        at = {name: before.priors[before.names.index(name)].whitened(objective.fixed[name]) for name in gone}
        fixed = np.array([at[before.names[k]] for k in inner[held]])
        # any map will do: of a value beyond the prior's end it heads for that end
        fixed = np.clip(np.nan_to_num(fixed), -_FAR, _FAR)
        out, more = places.copy(), np.full(len(thetas), -np.inf)
        pairs = {
            k: (start, goal)
            for k, (start, goal) in enumerate(zip(self._normals, goals, strict=True))
            if start is not None and goal is not None
        }

        def moved(k: int) -> tuple[Array, float]:
            return mapped(*pairs[k], thetas[k, inner], kept_rows, held, fixed, factor)

        for k, (place, more_of) in zip(pairs, on_all_cores(moved, pairs), strict=True):
            out[k, inner[~held]], more[k] = place, more_of + size
        there, stretch = carried(before, objective, out)
        ratio = joint(objective, there) + stretch + more - log_density
        return self._weighted(objective, there, logs, ratio, {}, moved=True), ratio


class Exact:
    """A posterior in which nothing is estimated but sampling days: no draws are needed.

    Parameters
    ----------
    objective : Objective
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.log_evidence = self.unaltered().log_evidence

    @property
    def second(self) -> dict[str, float]:
        """Mean square of every sampling day, prior-whitened."""
        density = WithoutDays(self.objective, RTOL)
        held = density.by_node(np.empty((1, 0)))[0]
        # it was simulated for its evidence
        assert not isinstance(held, str)
        return {
            self.objective.names[visit.column]: float(np.exp(each - logsumexp(each)) @ visit.nodes.thetas**2)
            for visit, each in zip(density.visits, held, strict=True)
        }

    def unaltered(self) -> Reweighted:
        """The posterior itself."""
        return self.of(self.objective)

    def of(self, objective: Objective) -> Reweighted:
        """Another one, of other rows, days or noise."""
        one, found = np.zeros((1, len(objective.names))), WithoutDays(objective, RTOL).value(np.empty(0))
        if not np.isfinite(found):
            raise CalibrationError(
                f"{objective.variant or objective.case.name} cannot be simulated and scored."
            )
        return Reweighted(objective, one, np.zeros(1), found, 0.0, 0.0, False, "collapsed")


def _smoothed(logs: Array) -> tuple[Array, float, float]:
    """Smoothed ln weights that sum to one, ln of the sum of what they were, and their shape."""
    smooth, shape = smoothed_weights(logs)
    # the smaller half of them are untouched, and so tell by what they were divided
    small = np.argsort(logs)[: (logs.size + 1) // 2]
    return smooth, float(np.mean(logs[small] - smooth[small])), shape
