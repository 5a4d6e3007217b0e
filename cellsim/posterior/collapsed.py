"""A collapsed importance sampler: outer parameters drawn, days drawn given these, all others by Laplace's approximation.

Given the outer parameters u and the days d of the samples the rows are nearly linear in the inner parameters w
(:mod:`cellsim.posterior.inner_parameters` says which are which), so that

    u ~ q(u),    d ~ q(d | u) at the nodes of their quadrature,    w ~ N(mode, (J'J)^-1) given u and d

is near to the posterior, and what it is off stands in the weights p(u, d, w, rows) / q: their mean is the evidence, and
Pareto's k says whether they can be trusted (Rue, Martino and Chopin 2009, J R Stat Soc B 71:319; Kristensen et al. 2016, J Stat
Softw 70:5; Vehtari et al. 2024, JMLR 25:72). What q(u) is, and what every round learns, stands in
:mod:`cellsim.posterior.collapsed_proposal`. Conditional proposals may learn as well: a draw's weight has that density of d and w
which it was drawn from, and the mixture of all rounds for u, which leaves its mean the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from cellsim.errors import CalibrationError, CutShortError
from cellsim.likelihood.day_quadrature import POINTS
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.collapsed_proposal import (
    Normal,
    NormalMixture,
    Tilted,
    log_density_of_all,
    systematic,
    tilted,
    widened,
)
from cellsim.posterior.inner_parameters import Split, split_of
from cellsim.posterior.variational import on_all_cores
from cellsim.posterior.weighted_draws import Weighted
from cellsim.streams import progress_bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["collapsed_draws"]

# draws of a round, and of a block of it: what an interrupt costs
_ROUND, _BLOCK = 300, 50
# inner draws of one u: four and their mirror images, whose odd errors cancel; side by side they cost three simulations
_PAIRS = 4
# days: how far their conditional density is trusted at a place that is not yet the mode, and the prior's part
_TRUST, _PRIOR_SHARE = 0.4, 0.15
# Gauss and Newton: Jacobians of one draw, a step this short ends it, and the longest, in standard deviations
_MOST_STEPS, _NEAR, _LONGEST = 5, 1.5, 4.0
# part of the modes of the calibration in the first proposal
_MODES = 0.2
# penalty of the regression of modes on what they are sought from
_RIDGE = 5.0
# nats: a difference of two inner draws that is larger counts as this
_FARTHEST = 3.0
_LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class _Draw:
    """One place of the outer parameters.

    Attributes
    ----------
    thetas, inner, logs : array
        Inner draws, all parameters of them and the inner ones alone, each followed by its mirror image, and ln (posterior
        / conditional proposal) of each.
    panels : tuple of int
        In which panel of its quadrature each day was drawn.
    mode : array
        Of the inner parameters.
    """

    thetas: Array
    inner: Array
    logs: Array
    panels: tuple[int, ...]
    mode: Array


@dataclass(frozen=True, eq=False)
class _Guess:
    """Where the mode of the inner parameters is sought first: linear in u, and in the panels of the days where known."""

    scale: Normal
    panels: tuple[int, ...]
    middle: Array
    coefficients: Array
    shift: Array

    @classmethod
    def learned(
        cls, scale: Normal, panels: tuple[int, ...], places: Array, draws: Sequence[_Draw], weights: Array
    ) -> _Guess:
        """From modes that were found."""
        features = np.array(
            [cls._features(scale, panels, u, each.panels) for u, each in zip(places, draws, strict=True)]
        )
        modes = np.array([each.mode for each in draws])
        shares = weights / weights.sum()
        middle = shares @ features
        centred = np.column_stack([np.ones(len(features)), features - middle])
        pulled = (len(draws) * shares)[:, None] * centred
        ridge = np.diag(np.append(1e-9, np.full(features.shape[1], _RIDGE)))
        coefficients = np.linalg.solve(centred.T @ pulled + ridge, pulled.T @ modes)
        return cls(scale, panels, middle, coefficients, cls._shift(draws, shares))

    @staticmethod
    def _shift(draws: Sequence[_Draw], shares: Array) -> Array:
        """From the modes to the means, on average: what the slope of ln weights along inner draws says.

        A normal distribution whose density is to be multiplied by exp(slope . w) has its mean moved by covariance . slope. The
        slope is that of differences between a draw and its mirror image.
        """
        apart, pull, weights = [], [], []
        for each, share in zip(draws, shares, strict=True):
            one, other = each.inner[0::2], each.inner[1::2]
            rise = 0.5 * (each.logs[0::2] - each.logs[1::2])
            fine = np.isfinite(rise)
            apart.append(0.5 * (one - other)[fine])
            pull.append(np.clip(rise[fine], -_FARTHEST, _FARTHEST))
            weights.append(np.full(int(fine.sum()), share * len(draws)))
        x, y, by = np.concatenate(apart), np.concatenate(pull), np.concatenate(weights)[:, None]
        covariance = (by * x).T @ x / by.sum()
        sd = np.sqrt(np.diag(covariance))
        z = x / sd
        slope = np.linalg.solve((by * z).T @ z + _RIDGE * np.eye(sd.size), (by * z).T @ y)
        return np.asarray(covariance @ (slope / sd))

    @staticmethod
    def _features(scale: Normal, panels: tuple[int, ...], u: Array, chosen: Sequence[int]) -> Array:
        inside = [np.eye(count)[k] for count, k in zip(panels, chosen, strict=True)]
        return np.concatenate([np.linalg.solve(scale.root, u - scale.mean), *inside])

    def __call__(self, u: Array, chosen: Sequence[int] | None) -> Array:
        if chosen is None:
            features = np.append(
                self._features(self.scale, (), u, ()) - self.middle[: u.size], np.zeros(sum(self.panels))
            )
        else:
            features = self._features(self.scale, self.panels, u, chosen) - self.middle
        return np.asarray(np.append(1.0, features) @ self.coefficients)


@dataclass(frozen=True, eq=False)
class _Conditional:
    """Days and inner parameters given the outer ones."""

    density: WithoutDays
    split: Split
    parts: tuple[Normal, ...]

    @cached_property
    def columns(self) -> NDArray[np.intp]:
        """Inner parameters among those of the objective."""
        return self.density.columns[self.split.inner]

    @cached_property
    def panels(self) -> tuple[int, ...]:
        """How many each unknown day has."""
        return tuple(each.nodes.days.size // POINTS for each in self.density.visits)

    @cached_property
    def base(self) -> NormalMixture:
        """The first proposal of the outer parameters."""
        outer = self.split.outer
        marginal = [Normal(each.mean[outer], each.covariance[np.ix_(outer, outer)]) for each in self.parts]
        others = len(marginal) - 1
        shares = np.append(1 - _MODES * (others > 0), np.full(others, _MODES / max(others, 1)))
        return NormalMixture(tuple(map(widened, marginal)), shares)

    @cached_property
    def _gains(self) -> list[Array]:
        outer, inner = self.split.outer, self.split.inner
        return [
            np.asarray(
                np.linalg.solve(
                    each.covariance[np.ix_(outer, outer)], each.covariance[np.ix_(outer, inner)]
                ).T
            )
            for each in self.parts
        ]

    def start(self, u: Array) -> Array:
        """The conditional mean of that part which u most probably is of."""
        near = [
            np.log(share) + float(part.log_density(u[None])[0])
            for part, share in zip(self.base.parts, self.base.shares, strict=True)
        ]
        k = int(np.argmax(near))
        mean = self.parts[k].mean
        return np.asarray(mean[self.split.inner] + self._gains[k] @ (u - mean[self.split.outer]))

    def eta(self, u: Array, w: Array) -> Array:
        """All parameters but days."""
        out = np.empty(self.density.columns.size)
        out[self.split.outer], out[self.split.inner] = u, w
        return out

    def drawn(self, u: Array, guess: _Guess | None, random: np.random.Generator) -> _Draw | str:
        """Days and inner draws, or why there are none."""
        objective, visits = self.density.objective, self.density.visits
        w = self.start(u) if guess is None else guess(u, None)
        held = self.density.by_node(self.eta(u, w)) if visits else []
        if held is None:
            return "days could not be simulated."
        theta, log_days, log_prior, panels = self.density.theta(self.eta(u, w)), 0.0, 0.0, []
        for visit, each in zip(visits, held, strict=True):
            prior = visit.nodes.log_weights
            tempered = prior + _TRUST * (each - prior)
            log_q = np.logaddexp(
                np.log(1 - _PRIOR_SHARE) + tempered - logsumexp(tempered), np.log(_PRIOR_SHARE) + prior
            )
            node = int(systematic(log_q, 1, random)[0])
            theta[visit.column] = visit.nodes.thetas[node]
            log_days, log_prior = (
                log_days + float(log_q[node] - logsumexp(log_q)),
                log_prior + float(prior[node]),
            )
            panels.append(node // POINTS)
        found = self._mode(theta, w if guess is None else guess(u, panels))
        if isinstance(found, str):
            return found
        mode, precision = found
        centre = mode if guess is None else mode + guess.shift
        factor = np.linalg.cholesky(precision)
        half = random.standard_normal((_PAIRS, mode.size))
        normals = np.stack([half, -half], axis=1).reshape(-1, mode.size)
        size = float(np.log(np.diag(factor)).sum()) - 0.5 * mode.size * _LOG_TWO_PI
        thetas = np.tile(theta, (len(normals), 1))
        thetas[:, self.columns] = centre + np.linalg.solve(factor.T, normals.T).T
        etas = thetas[:, self.density.columns]
        logs = objective.log_likelihoods(thetas, rtol=self.density.rtol) + log_prior - log_days
        logs += (
            0.5 * (normals**2).sum(axis=1)
            - 0.5 * (etas**2).sum(axis=1)
            - size
            - 0.5 * etas.shape[1] * _LOG_TWO_PI
        )
        return _Draw(thetas, thetas[:, self.columns], logs, tuple(panels), mode)

    def _mode(self, theta: Array, w: Array) -> tuple[Array, Array] | str:
        """The mode of the inner parameters given all others, nearly, and J'J one step before it."""
        objective, theta = self.density.objective, theta.copy()
        best, step, found = np.inf, np.zeros(w.size), None
        why = ""
        for _ in range(_MOST_STEPS):
            theta[self.columns] = w
            here = objective.evaluate(theta, gradient=True, rtol=self.density.rtol, along=self.columns)
            if here.failure or here.jacobian is None or here.objective > best + 1e-3:
                why = here.failure
                if found is None:
                    # nothing is known here: nearer to the middle of the prior more can be simulated
                    w = 0.5 * w
                    continue
                step = 0.5 * step
                w = w - step
                continue
            best, jacobian = here.objective, here.jacobian
            precision = jacobian.T @ jacobian
            newton = -np.linalg.solve(precision, jacobian.T @ here.residuals)
            length = float(np.sqrt(newton @ precision @ newton))
            step = np.asarray(min(1.0, _LONGEST / max(length, 1e-12)) * newton, float)
            w = w + step
            found = w, precision
            if length < _NEAR:
                break
        return why if found is None else (w, found[1])


def collapsed_draws(
    density: WithoutDays,
    normal: Normal,
    modes: Sequence[Normal] = (),
    *,
    effective: int = 400,
    budget: int = 4000,
    seed: int = 0,
    progress: bool | None = None,
) -> Weighted:
    """Draw until there are enough effective draws, or until the budget is spent.

    Parameters
    ----------
    density : WithoutDays
        The posterior.
    normal : Normal
        An approximation of it, prior-whitened, of all parameters but unknown days.
    modes : sequence of Normal, optional
        Approximations around modes, of the same parameters, where the first draws look as well.
    effective, budget : int
    seed : int
        Of everything that is drawn.
    progress : bool, optional

    Returns
    -------
    Weighted
        Of fewer draws after an interrupt, and saying so.

    Raises
    ------
    CalibrationError
        If nothing is nearly linear, so that there are no inner parameters, or if most draws cannot be simulated.
    CutShortError
        If interrupted before there is anything to keep.
    """
    from threadpoolctl import threadpool_limits

    # small matrices: more threads than one take turns with those of the simulations
    with threadpool_limits(1, user_api="blas"):
        return _collapsed_draws(density, normal, modes, effective, budget, seed, progress)


def _collapsed_draws(
    density: WithoutDays,
    normal: Normal,
    modes: Sequence[Normal],
    effective: int,
    budget: int,
    seed: int,
    progress: bool | None,
) -> Weighted:
    split = split_of(density, normal.mean, normal.covariance, seed=seed, modes=[each.mean for each in modes])
    names = [density.objective.names[k] for k in density.columns]
    if not split.inner.size:
        raise CalibrationError(
            f"nothing in {density.objective.variant or density.objective.case.name} is linear enough to leave to Laplace's "
            "approximation; sample with method='nuts'."
        )
    conditional = _Conditional(density, split, (normal, *modes))
    # compiles, before threads ask for it
    conditional.drawn(normal.mean[split.outer], None, np.random.default_rng(0))
    run = _Rounds(conditional, seed)
    interrupted = False
    with progress_bar(total=budget, title="draws", progress=progress) as bar:
        try:
            while run.count < budget:
                run.go_on(min(_ROUND, budget - run.count), bar.update)
                weighted = run.weighted(names, effective, budget)
                if weighted.trusted and weighted.effective >= effective:
                    break
        except KeyboardInterrupt:
            interrupted = True
    if not run.draws:
        if interrupted:
            raise CutShortError("interrupted before any draw was weighed; nothing to keep.")
        raise CalibrationError(
            f"none of {run.count} draws of the collapsed sampler could be simulated: {run.why}"
        )
    return run.weighted(names, effective, budget, interrupted=interrupted)


class _Rounds:
    """What was drawn so far, and what it taught."""

    def __init__(self, conditional: _Conditional, seed: int) -> None:
        self.conditional, self.seed = conditional, seed
        self.rounds: list[tuple[Tilted, int]] = []
        self.places: list[Array] = []
        self.draws: list[_Draw] = []
        self.count, self.why = 0, ""

    def go_on(self, n: int, told: Callable[[int], object]) -> None:
        """One round more, in blocks; a block that is interrupted is as if it had not been begun."""
        random = np.random.default_rng([self.seed, 2, len(self.rounds)])
        proposal, guess = self._learned(random)
        places = proposal.draws(n, random)
        self.rounds.append((proposal, 0))
        for first in range(0, n, _BLOCK):
            block = places[first : first + _BLOCK]
            made = self._drawn(block, guess)
            for u, each in zip(block, made, strict=True):
                if isinstance(each, str) or not np.isfinite(each.logs).any():
                    self.why = each if isinstance(each, str) else "no inner draw could be simulated."
                else:
                    self.places.append(u)
                    self.draws.append(each)
            self.count += len(block)
            self.rounds[-1] = (proposal, self.rounds[-1][1] + len(block))
            told(len(block))

    def _drawn(self, block: Array, guess: _Guess | None) -> list[_Draw | str]:
        randoms = [np.random.default_rng([self.seed, 3, self.count + k]) for k in range(len(block))]
        conditional = self.conditional
        return on_all_cores(lambda k: conditional.drawn(block[k], guess, randoms[k]), range(len(block)))

    def _learned(self, random: np.random.Generator) -> tuple[Tilted, _Guess | None]:
        base = self.conditional.base
        size = self.conditional.split.outer.size
        if len(self.draws) <= size + 2:
            return Tilted(base, base), None
        places, (log_target, log_weights) = np.array(self.places), self._known()
        weights = np.exp(np.maximum(0.3 * (log_weights - log_weights.max()), -6.0))
        guess = _Guess.learned(base.moments(), self.conditional.panels, places, self.draws, weights)
        return tilted(base, places, log_target, log_weights, random), guess

    def _known(self) -> tuple[Array, Array]:
        """ln of the posterior marginal at every place, and ln weights."""
        log_target = np.array([logsumexp(each.logs) - np.log(each.logs.size) for each in self.draws])
        return log_target, log_target - log_density_of_all(self.rounds, np.array(self.places))

    def weighted(
        self, names: Sequence[str], asked: int, budget: int, *, interrupted: bool = False
    ) -> Weighted:
        """All draws against the mixture of all rounds."""
        rounds = [each for each in self.rounds if each[1]]
        against = log_density_of_all(rounds, np.array(self.places))
        per = 2 * _PAIRS
        thetas = np.zeros((self.count, per, len(self.conditional.density.objective.names)))
        log_weights = np.full((self.count, per), -np.inf)
        thetas[: len(self.draws)] = [each.thetas for each in self.draws]
        log_weights[: len(self.draws)] = np.array([each.logs for each in self.draws]) - against[:, None]
        split = self.conditional.split
        return Weighted(
            thetas,
            log_weights,
            tuple(names[k] for k in split.outer),
            split.mismatch,
            asked,
            budget,
            self.why,
            interrupted,
        )
