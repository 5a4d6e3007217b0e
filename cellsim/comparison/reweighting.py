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
Other noise, other doses and days that are held move draws along lines of their own, where draws as they stand tell nothing; a day that is
held leaves with any density of it. Outer parameters stand. Moved to the mean and covariance that weights say they have (Paananen et al. 2021,
Stat Comput 31:16), they gave trusted weights and evidences up to 1.5 nats too low: where the altered posterior is another one in the outer
parameters, it has to be drawn afresh (:func:`cellsim.comparison.evidence.altered`). Weights of draws that were not moved are never taken instead: with a
smaller k they were six nats off.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp, ndtr

from cellsim.comparison.draw_courses import Courses
from cellsim.comparison.draw_maps import Line, Normal, carried, joint, mapped, normal_log_density
from cellsim.comparison.reweighted import FINITE, RTOL, Reweighted
from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.approximation import smoothed_weights
from cellsim.posterior.collapsed_proposal import systematic
from cellsim.posterior.weighted_draws import SEVERAL, THRICE
from cellsim.threads import CORES, on_all_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.objective import Objective
    from cellsim.posterior.posterior import Posterior

    Array = NDArray[np.float64]
    Whole = NDArray[np.intp]

__all__ = ["DRAWS", "Exact", "Reweighting"]

DRAWS = 256
"""Draws that are weighted, or moved and weighted: left-out rows are then known to a few hundredths of a nat, visits to two tenths."""

# they are taken by weights raised to this power: tails of one posterior are the middle of another
_TEMPER = 0.5
# prior standard deviations beyond which a held value is taken for that far
_FAR = 3.0
# penalty of the regression of inner parameters on outer ones
_RIDGE = 5.0
# share of the prior in the density with which a day that is held leaves
_PRIOR_DAYS = 0.1
# draws without a weight leave the others to tell it all; fewer than this tell nothing
_FEWEST = 10
# independent draws, of 256, that weights have to leave, or half of those there were: with fewer an evidence of the shipped case was up to 1.6 nats
# off, ten of its errors, at a k of 0.4 to 0.5, and with more never by more than two
_FEW = 40.0


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
        self.log_evidence = post.log_evidence if log_evidence is None else log_evidence
        self.kind, self.known = post.approximation.kind, post.approximation.doubts
        random = np.random.default_rng(seed)
        outer: tuple[str, ...] = ()
        places, within = post.flat[:, None], np.zeros((len(post.flat), 1))
        if weighted is not None:
            places, within, outer = weighted.thetas, weighted.log_weights, weighted.outer
        logs = np.asarray(logsumexp(within, axis=1))
        fine = np.flatnonzero(np.isfinite(logs))
        if fine.size > DRAWS:
            fine, logs = fine[systematic(_TEMPER * logs[fine], DRAWS, random)], (1 - _TEMPER) * logs
        # one draw of a place: those that share it are no independent ones
        self.thetas = np.array([places[k, systematic(within[k], 1, random)[0]] for k in fine.tolist()])
        self.log_weights, self._place = logs[fine], fine
        # of all draws, of which these are some
        self._shape = 0.0 if weighted is None else weighted.pareto_k
        self.courses = Courses(self.objective, self.thetas, days)
        self.density = self.courses.density
        self._found: dict[Hashable, Reweighted] = {}
        known = [self.objective.names[k] in outer for k in self.density.columns]
        self.inner = self.density.columns[~np.array(known, bool)]

    # ---- weights ----------------------------------------------------------------------------------

    @cached_property
    def _log_density(self) -> Array:
        """ln of the posterior of every draw, unknown days integrated out, not normalised."""
        if self.courses.tell(self.objective):
            rows, nodes = self.courses.scores
            held = self.courses.held(self.objective, nodes)
            return self._summed(rows, held) - 0.5 * (self.thetas[:, self.density.columns] ** 2).sum(axis=1)
        return self._simulated(self.objective, self.thetas)

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
            By draws moved where rows or priors are other ones, and else as they stand. Asked again, what was found before.

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
        if objective.case != self.objective.case:
            return self._of(objective)
        asked = self._asked(objective)
        if asked not in self._found:
            self._found[asked] = self._of(objective)
        return self._found[asked]

    def keep(self, found: Reweighted) -> None:
        """Answer with these draws from now on where their posterior is asked for."""
        if found.objective.case == self.objective.case:
            self._found[self._asked(found.objective)] = found

    @staticmethod
    def _asked(objective: Objective) -> Hashable:
        """What tells a posterior of this case from others."""
        fixed = tuple(sorted(objective.fixed.items()))
        return objective.terms, objective.priors, objective.names, objective.degrees, fixed

    def _of(self, objective: Objective) -> Reweighted:
        columns = self.density.columns
        gone = [self.objective.names[k] for k in columns if self.objective.names[k] not in objective.names]
        altered = (
            set(objective.terms) != set(self.objective.terms) or objective.priors != self.objective.priors
        )
        if not self._movable(objective, gone):
            if gone:
                raise CalibrationError(
                    f"{', '.join(gone)} cannot be held for draws of {self.objective.variant or self.objective.case.name}, in which the "
                    "rows are far from linear; sample that case by itself."
                )
            return self._elsewhere(objective)
        return self._moved(objective, gone, self._lines) if gone or altered else self._standing(objective)

    def _elsewhere(self, objective: Objective) -> Reweighted:
        """Under other noise, other doses, or with days held: by draws as they stand, and moved only where these tell nothing."""
        standing, problem = None, None
        try:
            standing = self._standing(objective)
        except CalibrationError as error:
            problem = error
        if standing is not None and standing.pareto_k <= FINITE and not standing.few:
            return standing
        kept = [self.objective.names.index(name) for name in objective.names]
        if self.inner.size and all(
            prior == self.objective.priors[k] for prior, k in zip(objective.priors, kept, strict=True)
        ):
            found = [] if standing is None else [standing]
            # slopes of the rows as they stand mostly do, and those of the altered ones take ten times as long
            for lines_of in (self._lines_near, self._lines_of):
                try:
                    found.append(self._moved(objective, [], lines_of(objective)))
                except CalibrationError as error:
                    problem = problem or error
                else:
                    if found[-1].trusted:
                        break
            standing = min(found, key=lambda each: (each.few, each.pareto_k), default=None)
        if standing is None:
            raise problem or CalibrationError("no draw can be weighted.")
        return standing

    def _standing(self, objective: Objective) -> Reweighted:
        """By draws as they stand."""
        before = self.objective
        held: dict[int, Array] = {}
        thetas, stretch = carried(before, objective, self.thetas)
        if self.courses.tell(self.objective) and self.courses.tell(objective):
            rows, nodes = self.courses.scored(objective)
            held = self.courses.held(objective, nodes)
            columns = WithoutDays(objective, RTOL).columns
            after = self._summed(rows, held) - 0.5 * (thetas[:, columns] ** 2).sum(axis=1)
        else:
            after = self._simulated(objective, thetas)
        return self._weighted(objective, thetas, self.log_weights, after + stretch - self._log_density, held)

    def _weighted(
        self,
        objective: Objective,
        thetas: Array,
        log_weights: Array,
        ratio: Array,
        days: Mapping[int, Array],
        *,
        how: str = "draws",
    ) -> Reweighted:
        logs = log_weights + np.where(np.isnan(ratio), -np.inf, ratio)
        fine = np.isfinite(logs)
        if fine.sum() < _FEWEST:
            raise CalibrationError(
                f"{int((~fine).sum())} of {fine.size} draws of {objective.variant or objective.case.name} have no weight: they cannot be "
                "simulated, or lie outside of what is allowed then."
            )
        smooth, total, shape = _smoothed(logs[fine])
        if _no_tail(ratio[fine], self.log_weights[fine]):
            # the weights have the tail that they had, and more draws tell of that one
            shape = self._shape
        before = np.exp(log_weights - logsumexp(log_weights))
        after = np.zeros(fine.size)
        after[fine] = np.exp(smooth)
        # draws of one place are no independent ones
        apart = np.bincount(self._place, after - before)
        worth = 1 / float(np.exp(2 * smooth).sum())
        return Reweighted(
            objective=objective,
            thetas=thetas[fine],
            log_weights=smooth,
            log_evidence=self.log_evidence + total - float(logsumexp(log_weights)),
            error=float(np.sqrt((apart**2).sum())),
            pareto_k=shape,
            how=how,
            kind=self.kind,
            few=worth < min(_FEW, 0.5 / float((before**2).sum())),
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
    def _joint(self) -> Array:
        """ln of the posterior at the draws, their own days held."""
        return joint(self.objective, self.thetas)

    @cached_property
    def _lines(self) -> list[Line | None]:
        """The rows around each of them, at what its outer parameters and days let one expect of the inner ones."""
        return self._lines_of(self.objective)

    def _lines_of(self, objective: Objective) -> list[Line | None]:
        """The same of an objective that has the same inner parameters, with the same priors."""
        names, count = self.objective.names, len(objective.terms)
        thetas = self._expected(self.thetas)[:, [names.index(name) for name in objective.names]]
        inner = np.array([objective.names.index(names[k]) for k in self.inner])

        def line(theta: Array) -> Line | None:
            found = objective.evaluate(theta, gradient=True, rtol=RTOL, along=inner)
            if found.failure or found.jacobian is None:
                return None
            return Line(theta[inner], found.residuals[:count], found.jacobian[:count])

        line(thetas[0])
        return on_all_cores(line, thetas)

    @cached_property
    def _normals(self) -> list[Normal | None]:
        """What the lines make of the inner parameters."""
        return on_all_cores(lambda line: None if line is None else Normal.of(line), self._lines)

    def _lines_near(self, objective: Objective) -> list[Line | None]:
        """The same with residuals of another objective's rows, as many, and the slopes of the rows as they stand: any map will do."""
        thetas, count = self._expected(self.thetas), len(objective.terms)
        if count != len(self.objective.terms):
            return self._lines_of(objective)
        kept = [self.objective.names.index(name) for name in objective.names]
        found = objective.evaluate_sets(thetas[:, kept], rtol=RTOL, threads=CORES)
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

    def _of_days(self, objective: Objective) -> Array:
        """ln of the density with which days that are held leave each draw: how often draws have them in each panel of their nodes.

        Any density will do; that given all other parameters would cost no variance, and a simulation.
        """
        out = np.zeros(len(self.thetas))
        shares = np.exp(self.log_weights - logsumexp(self.log_weights))
        for visit in self.density.visits:
            if self.objective.names[visit.column] in objective.names:
                continue
            theta, edges = self.thetas[:, visit.column], visit.nodes.edges
            before = np.diff(ndtr(np.concatenate([[-np.inf], edges[1:-1], [np.inf]])))
            panel = np.searchsorted(edges[1:-1], theta)
            mass = np.bincount(panel, shares, before.size)
            mass = (1 - _PRIOR_DAYS) * mass + _PRIOR_DAYS * before
            out += normal_log_density(theta) + np.log(mass / before)[panel]
        return out

    def _moved(self, objective: Objective, gone: Sequence[str], goals: Sequence[Line | None]) -> Reweighted:
        """By draws whose inner parameters are moved to where their rows put them, outer ones standing; those that are `gone` are held.

        `goals` are the rows around each draw, of the altered objective, or of the objective as it stands where the altered rows are some of these.
        """
        about = self.objective if goals is self._lines else objective
        left = set(objective.terms)
        kept_rows = np.array([term in left for term in about.terms])
        before, inner = self.objective, self.inner
        thetas = self.thetas
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
        pairs = {
            k: (start, goal)
            for k, (start, goal) in enumerate(zip(self._normals, goals, strict=True))
            if start is not None and goal is not None
        }

        def moved(k: int) -> tuple[Array, float]:
            return mapped(*pairs[k], thetas[k, inner], kept_rows, held, fixed, factor)

        for k, (place, more_of) in zip(pairs, on_all_cores(moved, pairs), strict=True):
            out[k, inner[~held]], more[k] = place, more_of
        there, stretch = carried(before, objective, out)
        ratio = joint(objective, there) + stretch + more + self._of_days(objective) - self._joint
        return self._weighted(objective, there, self.log_weights, ratio, {}, how="moved draws")


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
        return Reweighted(objective, one, np.zeros(1), found, 0.0, 0.0, "quadrature", "collapsed")


def _no_tail(ratio: Array, log_weights: Array) -> bool:
    """Whether many draws have ln ratios none of which is that of three times their mean: those say nothing of a tail."""
    mean = float(logsumexp(log_weights + ratio) - logsumexp(log_weights))
    return ratio.size >= SEVERAL and float(ratio.max()) < mean + np.log(THRICE)


def _smoothed(logs: Array) -> tuple[Array, float, float]:
    """Smoothed ln weights that sum to one, ln of the sum of what they were, and their shape."""
    smooth, shape = smoothed_weights(logs)
    # the smaller half of them are untouched, and so tell by what they were divided
    small = np.argsort(logs)[: (logs.size + 1) // 2]
    return smooth, float(np.mean(logs[small] - smooth[small])), shape
