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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.observations import score_rows
from cellsim.posterior.approximation import LARGEST_SHAPE, Approximation
from cellsim.posterior.collapsed_proposal import systematic
from cellsim.posterior.convergence import smoothed_weights
from cellsim.posterior.variational import on_all_cores
from cellsim.threads import CORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.likelihood.objective import Objective
    from cellsim.likelihood.observations import Rows
    from cellsim.posterior.posterior import Posterior

    Array = NDArray[np.float64]
    Whole = NDArray[np.intp]

__all__ = ["Exact", "Reweighted", "Reweighting"]

# draws that are weighted, and those of them that are moved
_DRAWS, _MOVED = 400, 200
# they are taken by weights raised to this power: tails of one posterior are the middle of another
_TEMPER = 0.5
# of the simulations, as in the sampler
_RTOL = 1e-3
# prior standard deviations beyond which a held value is taken for that far
_FAR = 3.0
# penalty of the regression of inner parameters on outer ones
_RIDGE = 5.0
_LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Reweighted:
    """A posterior known by weighted draws.

    Attributes
    ----------
    objective : Objective
        Whose posterior.
    thetas : array, shape (n, n_parameters)
        Prior-whitened; unknown sampling days play no part.
    log_weights : array, shape (n,)
        Smoothed, summing to one.
    log_evidence, error : float
        And its standard error beside that of the posterior the draws are of.
    pareto_k : float
        Shape of the weights, trusted below 0.7.
    moved : bool
        Whether the draws were moved before they were weighted.
    kind : str
        Of the approximation.
    known : tuple of str
        What is doubted of the posterior they are draws of.
    days : mapping of int to array, shape (n, n_nodes)
        Of each unknown day, by its column: ln (weight times likelihood) of its nodes, where known.
    """

    objective: Objective
    thetas: Array
    log_weights: Array
    log_evidence: float
    error: float
    pareto_k: float
    moved: bool
    kind: str
    known: tuple[str, ...] = ()
    days: Mapping[int, Array] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """The case, altered or not."""
        return self.objective.case

    @property
    def variant(self) -> str:
        """The variant's id."""
        return self.objective.variant

    @property
    def effective(self) -> float:
        """Independent draws these are worth."""
        return float(1 / np.exp(2 * self.log_weights).sum())

    @property
    def trusted(self) -> bool:
        """Whether the weights can be trusted."""
        return self.pareto_k < LARGEST_SHAPE

    @property
    def approximation(self) -> Approximation:
        """What its numbers rest on."""
        own = () if self.trusted else (f"weights of these draws are uneven (Pareto k {self.pareto_k:.2f})",)
        return Approximation(self.kind, (*self.known, *own))

    def __repr__(self) -> str:
        return (
            f"<Draws of {self.case.name}, variant {self.variant}: {self.effective:.0f} effective, Pareto k {self.pareto_k:.2f}, ln "
            f"evidence {self.log_evidence:.2f}>"
        )

    def moments(self, name: str) -> tuple[float, float]:
        """Mean and variance of a parameter, prior-whitened; nan of one that is held or an unknown sampling day."""
        unknown = {each.column for each in WithoutDays(self.objective, _RTOL).visits}
        if name not in self.objective.names or (k := self.objective.names.index(name)) in unknown:
            return np.nan, np.nan
        weights = np.exp(self.log_weights)
        mean = float(weights @ self.thetas[:, k])
        return mean, float(weights @ (self.thetas[:, k] - mean) ** 2)

    def chance(self, day: str, stretches: Array) -> float:
        """How likely an estimated sampling day lies in one of some stretches, shape (n, 2)."""
        column, weights = self.objective.names.index(day), np.exp(self.log_weights)
        density = WithoutDays(self.objective, _RTOL)
        nodes = next((each.nodes for each in density.visits if each.column == column), None)
        if nodes is None:
            days = self.objective.priors[column].value(self.thetas[:, column])[:, None]
            inside = ((days > stretches[:, 0]) & (days < stretches[:, 1])).any(axis=1)
            return float(weights @ inside)
        if column in self.days:
            chances = [nodes.chance(each - nodes.log_weights, stretches) for each in self.days[column]]
        else:
            etas = self.thetas[:, density.columns]
            chances = on_all_cores(lambda eta: density.chance(eta, day, stretches), etas)
        fine = np.isfinite(chances)
        return float(weights[fine] @ np.array(chances)[fine] / weights[fine].sum())

    def draws(self, n: int, *, seed: int) -> Array:
        """Draws that count alike, prior-whitened, shape (n, n_parameters)."""
        random = np.random.default_rng(seed)
        return np.asarray(self.thetas[random.permutation(systematic(self.log_weights, n, random))])


@dataclass(frozen=True, eq=False)
class _Line:
    """The rows around one place of the outer parameters: inner parameters there, residuals and slopes, of rows alone."""

    place: Array
    residuals: Array
    slopes: Array


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
        self,
        post: Posterior,
        *,
        log_evidence: float | None = None,
        days: Sequence[float] = (),
        seed: int = 0,
    ) -> None:
        self.objective, weighted = post.objective, post.drawn.weighted
        self.density = WithoutDays(self.objective, _RTOL)
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

        def read(theta: Array) -> Array:
            solution = self.objective.solved(theta, self.times, rtol=_RTOL)
            return np.asarray(solution.outputs[0] if not solution.status[0] else solution.outputs[0] * np.nan)

        read(self.thetas[0])
        return np.array(on_all_cores(read, self.thetas))

    @cached_property
    def _scores(self) -> tuple[Array, dict[int, Array]]:
        """ln density of every row, shape (n, n_terms), and of those of unknown day on each node, (n, n_nodes, n_rows), by visit's column."""
        return self._scored(self.objective)

    def _scored(self, objective: Objective) -> tuple[Array, dict[int, Array]]:
        """The same of an objective that differs in rows, noise, priors or held days."""
        density, rows = WithoutDays(objective, _RTOL), objective.rows
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
        visits = WithoutDays(objective, _RTOL).visits
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
        density = WithoutDays(objective, _RTOL)
        fine = np.isfinite(thetas[:, density.columns]).all(axis=1)
        out = np.full(len(thetas), -np.inf)
        etas = thetas[fine][:, density.columns]
        if len(etas):
            density.value(etas[0])
            out[fine] = on_all_cores(density.value, etas)
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
            By draws moved where rows, or priors of inner parameters, are other ones, and else as they stand. Where k says no to moved ones,
            by whichever has the smaller k.

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
        if moved.trusted or gone:
            return moved
        standing = self._standing(objective)
        return standing if standing.pareto_k < moved.pareto_k else moved

    def _standing(self, objective: Objective) -> Reweighted:
        """By draws as they stand."""
        before = self.objective
        held: dict[int, Array] = {}
        thetas, stretch = _carried(before, objective, self.thetas)
        if objective.case is before.case and self._one_course:
            rows, held = self._rows_of(objective)
            columns = WithoutDays(objective, _RTOL).columns
            after = self._summed(rows, held) - 0.5 * (thetas[:, columns] ** 2).sum(axis=1)
        else:
            after = self._simulated(objective, thetas)
        return self._weighted(objective, thetas, self.log_weights, after + stretch - self._log_density, held)

    def _rows_of(self, objective: Objective) -> tuple[Array, dict[int, Array]]:
        """Rows on known days and nodes of unknown ones, from what is known where only rows were left out."""
        place = {term: k for k, term in enumerate(self.objective.terms)}
        same = objective.degrees == self.objective.degrees and all(each in place for each in objective.terms)
        days = {each.column for each in self.density.visits}
        theirs = WithoutDays(objective, _RTOL).visits
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
            and objective.case is self.objective.case
            and objective.degrees == self.objective.degrees
            and set(gone) <= set(names)
            and all(each in objective.names for each in days)
            and set(objective.terms) <= set(self.objective.terms)
        )

    @cached_property
    def _chosen(self) -> tuple[Array, Array, Array]:
        """Draws that are moved, their ln weights, and ln of the posterior there, their own days held."""
        random = np.random.default_rng(1)
        kept, logs = np.arange(len(self.thetas)), self.log_weights
        if kept.size > _MOVED:
            kept, logs = systematic(0.5 * logs, _MOVED, random), 0.5 * logs
        thetas = self.thetas[kept]
        return thetas, logs[kept], _joint(self.objective, thetas)

    @cached_property
    def _lines(self) -> list[_Line | None]:
        """The rows around each of them, at what their outer parameters and days let one expect of the inner ones."""
        objective, inner, count = self.objective, self.inner, len(self.objective.terms)
        thetas = self._chosen[0]
        outer = np.setdiff1d(np.arange(len(objective.names)), inner)
        shares = np.exp(self.log_weights - logsumexp(self.log_weights))
        middle, centre = shares @ self.thetas[:, outer], shares @ self.thetas[:, inner]
        apart = self.thetas[:, outer] - middle
        pulled = len(shares) * shares[:, None] * apart
        slope = np.linalg.solve(
            apart.T @ pulled + _RIDGE * np.eye(outer.size), pulled.T @ (self.thetas[:, inner] - centre)
        )
        places = centre + (thetas[:, outer] - middle) @ slope

        def line(k: int) -> _Line | None:
            theta = thetas[k].copy()
            theta[inner] = places[k]
            found = objective.evaluate(theta, gradient=True, rtol=_RTOL, along=inner)
            if found.failure or found.jacobian is None:
                return None
            return _Line(places[k], found.residuals[:count], found.jacobian[:count])

        line(0)
        return on_all_cores(line, range(len(thetas)))

    def _moved(self, objective: Objective, gone: Sequence[str]) -> Reweighted:
        """By draws moved."""
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
        out, more = thetas.copy(), np.full(len(thetas), -np.inf)
        lines = [k for k, line in enumerate(self._lines) if line is not None]

        def mapped(k: int) -> tuple[Array, float]:
            line = self._lines[k]
            assert line is not None
            return _mapped(line, thetas[k, inner], kept_rows, held, fixed, factor)

        for k, (place, size) in zip(lines, on_all_cores(mapped, lines), strict=True):
            out[k, inner[~held]], more[k] = place, size
        there, stretch = _carried(before, objective, out)
        ratio = _joint(objective, there) + stretch + more - log_density
        return self._weighted(objective, there, logs, ratio, {}, moved=True)


class Exact:
    """A posterior in which nothing is estimated but sampling days: no draws are needed.

    Parameters
    ----------
    objective : Objective
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.log_evidence = self.unaltered().log_evidence

    def unaltered(self) -> Reweighted:
        """The posterior itself."""
        return self.of(self.objective)

    def of(self, objective: Objective) -> Reweighted:
        """Another one, of other rows, days or noise."""
        one, found = np.zeros((1, len(objective.names))), WithoutDays(objective, _RTOL).value(np.empty(0))
        if not np.isfinite(found):
            raise CalibrationError(
                f"{objective.variant or objective.case.name} cannot be simulated and scored."
            )
        return Reweighted(objective, one, np.zeros(1), found, 0.0, 0.0, False, "collapsed")


# draws without a weight leave the others to tell it all; fewer than this tell nothing
_FEWEST = 10


def _mapped(
    line: _Line, w: Array, rows: NDArray[np.bool_], held: NDArray[np.bool_], fixed: Array, factor: Array
) -> tuple[Array, float]:
    """Where inner parameters go, those held left out, and ln |dw'/dw| plus ln of the density that held ones leave with."""
    precision = line.slopes.T @ line.slopes + np.eye(w.size)
    mode = line.place - np.linalg.solve(precision, line.slopes.T @ line.residuals + line.place)
    kept = ~held
    inside = precision[np.ix_(kept, kept)]
    root = np.linalg.cholesky(inside)
    mean, left = mode[kept], 0.0
    if held.any():
        off = w[held] - mode[held]
        mean = mean - np.linalg.solve(inside, precision[np.ix_(kept, held)] @ off)
        spread = np.linalg.inv(precision)[np.ix_(held, held)]
        left = -0.5 * float(off @ np.linalg.solve(spread, off) + np.linalg.slogdet(2 * np.pi * spread)[1])
    slopes, prior = line.slopes[rows], factor[kept] ** 2
    residuals = line.residuals[rows]
    if held.any():
        residuals = residuals + slopes[:, held] @ (fixed - line.place[held])
    slopes = slopes[:, kept]
    after = slopes.T @ slopes + np.diag(prior)
    there = line.place[kept] - np.linalg.solve(after, slopes.T @ residuals + prior * line.place[kept])
    root_after = np.linalg.cholesky(after)
    moved = there + np.linalg.solve(root_after.T, root.T @ (w[kept] - mean))
    size = float(np.log(np.diag(root)).sum() - np.log(np.diag(root_after)).sum())
    return moved, size + left


def _joint(objective: Objective, thetas: Array) -> Array:
    """ln of the posterior at draws with days of their own, all constants of the prior included; -inf where there is none."""
    out = np.full(len(thetas), -np.inf)
    fine = np.flatnonzero(np.isfinite(thetas).all(axis=1))
    out[fine] = objective.log_likelihoods(thetas[fine], rtol=_RTOL, threads=CORES)
    return out - 0.5 * (thetas**2).sum(axis=1) - 0.5 * thetas.shape[1] * _LOG_TWO_PI


def _carried(before: Objective, after: Objective, thetas: Array) -> tuple[Array, Array]:
    """Draws in the coordinates of another objective, the same values, and ln |d theta'/d theta| of what is left of them.

    An unknown day outside of its new window stands in its middle: it is integrated out.
    """
    unknown = {each.column for each in WithoutDays(after, _RTOL).visits}
    out, stretch = np.empty((len(thetas), len(after.names))), np.zeros(len(thetas))
    for j, (name, prior) in enumerate(zip(after.names, after.priors, strict=True)):
        k = before.names.index(name)
        old, column = before.priors[k], thetas[:, k]
        if prior == old:
            out[:, j] = column
        elif replace(prior, spread=1.0) == replace(old, spread=1.0):
            out[:, j] = column * old.spread / prior.spread
            stretch += np.log(old.spread / prior.spread)
        else:
            out[:, j] = [prior.whitened(float(each)) for each in old.value(column)]
            if j in unknown:
                out[:, j] = np.where(np.isfinite(out[:, j]), out[:, j], 0.0)
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    stretch += np.log(old.slope(column)) - np.log(prior.slope(out[:, j]))
    return out, stretch


def _smoothed(logs: Array) -> tuple[Array, float, float]:
    """Smoothed ln weights that sum to one, ln of the sum of what they were, and their shape."""
    smooth, shape = smoothed_weights(logs)
    # the smaller half of them are untouched, and so tell by what they were divided
    small = np.argsort(logs)[: (logs.size + 1) // 2]
    return smooth, float(np.mean(logs[small] - smooth[small])), shape
