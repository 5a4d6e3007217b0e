"""Days and inner parameters of a collapsed sampler, drawn given the outer ones.

Near the mode of the inner parameters the rows are linear in them, and how probable each day is follows in closed form
(:mod:`cellsim.likelihood.linear_rows`). Places of the outer parameters are taken several at a time:

1. where to linearise is sought by steps of Gauss and Newton, the days being where they are most probable: one simulation, read on all
   days, tells the residuals, and slopes are made by one with gradient or, once enough are known, predicted
   (modes and slopes, which have no noise, by a Gaussian process regression each on those that are known, the same for all entries, linear
   and with Matern's kernel, distances along each parameter counting by the root of what it does to them:
   Rasmussen and Williams 2006, ch. 2 and 5.1); mostly the first guess is near enough;
2. every unknown day is given several nodes of its quadrature from its evidence, beside a part of its prior, each as often as expected but
   for less than one, and in random order, so that the days of one draw are independent of each other;
3. with each choice of days go inner parameters from the normal distribution of the linear rows, a second choice taking the mirror image
   of what a first one took.

Whatever 1. made depends on the outer parameters alone, and what was drawn is divided by its own density: the mean weight stays the evidence
however rough the linearisation. It is made at a large tolerance of the solver; only what enters the weights is simulated at that
of the posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtrs

from cellsim.likelihood.every_day import EveryDay, Reading, Slopes
from cellsim.likelihood.linear_rows import LinearRows, inverse
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.collapsed_proposal import (
    Normal,
    NormalMixture,
    matern,
    squared_distances,
    systematic,
    widened,
)
from cellsim.posterior.inner_parameters import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "DRAWS",
    "Conditional",
    "Draw",
    "Guess",
    "PredictedSlopes",
    "Process",
    "features_of",
    "guess_of_modes",
]

# choices of days and inner draws of one place of the outer parameters, an even number: each costs a simulation side by side with others,
# which together are half of what a place costs
DRAWS = 8
# of the proposal of a day: the prior's part
_PRIOR_SHARE = 0.1
# Gauss and Newton: Jacobians of one place, steps by one of them, how often a step is halved, and values that are simulated at all. A step this
# short is not made, for the linear rows know it; and the longest, in standard deviations
_MOST_JACOBIANS, _STEPS, _HALVINGS, _MOST = 5, 2, 4, 16
_NEAR, _LONGEST = 3.0, 4.0
# part of the modes of the calibration in the first proposal
_MODES = 0.2
_LOG_TWO_PI = float(np.log(2 * np.pi))
# penalty of linear regressions; and what moves values least counts this much of what moves them most
_RIDGE, _WEAKEST = 5.0, 0.1
# of the process, where what a standard deviation of a parameter of middling strength does by the linear part is one: variance of the
# other part for each outer parameter, its reach in standard deviations and roots of the dimension, and variance of noise, of slopes and of
# modes; and places that are enough for these
_BENT, _REACH, _NOISE_OF_SLOPES, _NOISE_OF_MODES, _MOST_MODES = 10.0, 4.0, 0.03, 0.3, 500
# variance of predicted slopes, for each outer parameter, from which they are made instead
_UNSURE = 0.15
# what varies by less is the same everywhere
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Process:
    """Values at places of the outer parameters, from those at some of them, by a Gaussian process that is the same for all values."""

    middle: NDArray[Any]
    strengths: Array
    features: Array
    weights: NDArray[Any]
    precision: Array

    @classmethod
    def of(cls, features: Array, values: NDArray[Any], noises: Array) -> Process:
        """From values of shape (k, m), in whose numbers those of other places are told, at features of shape (k, n).

        Parameters
        ----------
        features, values
        noises : array, shape (k,)
            Variance of each place's values, where what a standard deviation of a parameter of middling strength does to them is one.
        """
        middle = np.average(values, axis=0, weights=1 / noises).astype(values.dtype)
        moved = values - middle
        strengths = _strengths(features, moved)
        features = features * strengths
        precision = inverse(_covariance(features, features) + np.diag(noises))
        return cls(middle, strengths, features, precision.astype(values.dtype) @ moved, precision)

    def __call__(self, features: Array) -> NDArray[Any]:
        kernel = _covariance(features * self.strengths, self.features)
        return np.asarray(self.middle + kernel.astype(self.weights.dtype) @ self.weights)

    def variances(self, features: Array) -> Array:
        """Of what is predicted, shape (k,), in the unit of that of noise."""
        here = features * self.strengths
        kernel = _covariance(here, self.features)
        own = (here**2).sum(axis=1) + _BENT * max(here.shape[1], 1)
        return np.asarray(own - ((kernel @ self.precision) * kernel).sum(axis=1))


@dataclass(frozen=True, eq=False)
class PredictedSlopes:
    """Slopes at places of the outer parameters, from those at some of them."""

    shapes: Sequence[tuple[int, ...]]
    same: NDArray[np.float32]
    varying: NDArray[np.intp]
    process: Process

    @classmethod
    def of(cls, features: Array, made: Sequence[Slopes]) -> PredictedSlopes:
        """From slopes at places of these features, shape (k, n)."""
        same = np.zeros_like(made[0].flat)
        # of most rows most parameters are none
        seen = np.flatnonzero(np.any([each.flat != 0 for each in made], axis=0))
        values = np.array([each.flat[seen] for each in made])
        same[seen] = values.mean(axis=0)
        moving = np.ptp(values, axis=0) > _SAME
        process = Process.of(features, values[:, moving], np.full(len(made), _NOISE_OF_SLOPES))
        return cls(made[0].shapes, same, seen[moving], process)

    def __call__(self, features: Array) -> list[Slopes]:
        """At places of these features."""
        out = np.tile(self.same, (len(features), 1))
        out[:, self.varying] = self.process(features)
        return [Slopes.of_flat(each, self.shapes) for each in out]


def _strengths(features: Array, values: NDArray[Any]) -> Array:
    """How much distances along each feature count where values are predicted, their mean square one.

    A kernel of one reach along all of many features, of which few move the values, knows little of these few. Each counts by the root of what
    one standard deviation of it does to the values by a linear and a square part, but never for nothing.
    """
    size = features.shape[1]
    if not size or not values.shape[1]:
        return np.ones(size)
    whole = np.column_stack([np.ones(len(features)), features, features**2 - 1])
    ridge = np.diag(np.append(1e-9, np.full(2 * size, _RIDGE)))
    found = np.linalg.solve(whole.T @ whole + ridge, whole.T).astype(values.dtype)[1:] @ values
    squares = (found**2).sum(axis=1).astype(float)
    out = np.sqrt(np.sqrt(squares[:size] + 2 * squares[size:]))
    out = np.maximum(out, _WEAKEST * out.max())
    return np.asarray(out / np.sqrt((out**2).mean()))


def _covariance(one: Array, other: Array) -> Array:
    size = max(one.shape[1], 1)
    bent = matern(squared_distances(one, other), _REACH * np.sqrt(size))
    return np.asarray(one @ other.T + _BENT * size * bent)


@dataclass(frozen=True, eq=False)
class Guess:
    """Modes and slopes at places of the outer parameters.

    Attributes
    ----------
    scale : Normal
        In whose standard deviations places are counted.
    modes : Process
    slopes : PredictedSlopes or None
        None where too few are known; nor are slopes predicted where those that are known say little, for draws that come of
        these would be the few that hold most of the weight.
    """

    scale: Normal
    modes: Process
    slopes: PredictedSlopes | None

    def __call__(self, places: Array) -> tuple[Array, list[Slopes | None]]:
        """Modes, shape (k, n_inner), and slopes."""
        features = features_of(self.scale, places)
        found: list[Slopes | None] = [None] * len(places)
        if self.slopes is not None:
            unsure = self.slopes.process.variances(features) > _UNSURE * max(features.shape[1], 1)
            found = [None if left else each for left, each in zip(unsure, self.slopes(features), strict=True)]
        return self.modes(features), found


def guess_of_modes(features: Array, modes: Array, weights: Array) -> Process:
    """Modes at other places, from those at places of these features; what weighs less counts as known less well."""
    chosen = np.linspace(0, len(features) - 1, min(_MOST_MODES, len(features))).astype(int)
    shares = weights[chosen] / weights[chosen].mean()
    return Process.of(features[chosen], modes[chosen], _NOISE_OF_MODES / shares)


def features_of(scale: Normal, places: Array) -> Array:
    """Places of shape (k, n) in standard deviations."""
    return np.asarray(np.linalg.solve(scale.root, (places - scale.mean).T).T)


@dataclass(frozen=True, eq=False)
class Draw:
    """One place of the outer parameters.

    Attributes
    ----------
    thetas, logs : array, shape (DRAWS, n_parameters) and (DRAWS,)
        Draws of all parameters, and ln (posterior / conditional proposal) of each.
    mode : array, shape (n_inner,)
        Of the inner parameters, a mean over the days drawn.
    slopes : Slopes or None
        Those the rows were linearised by, if they were made and not predicted.
    """

    thetas: Array
    logs: Array
    mode: Array
    slopes: Slopes | None


@dataclass(frozen=True, eq=False)
class Conditional:
    """Days and inner parameters given the outer ones."""

    density: WithoutDays
    split: Split
    parts: tuple[Normal, ...]

    @cached_property
    def columns(self) -> NDArray[np.intp]:
        """Inner parameters among those of the objective."""
        return self.density.columns[self.split.inner]

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

    @cached_property
    def _every_day(self) -> EveryDay:
        return EveryDay(self.density.rough)

    def start(self, u: Array) -> Array:
        """The conditional mean of that part which u most probably is of."""
        near = [
            np.log(share) + float(part.log_density(u[None])[0])
            for part, share in zip(self.base.parts, self.base.shares, strict=True)
        ]
        k = int(np.argmax(near))
        mean = self.parts[k].mean
        return np.asarray(mean[self.split.inner] + self._gains[k] @ (u - mean[self.split.outer]))

    def theta(self, u: Array, w: Array) -> Array:
        """All parameters, days in the middle of their priors."""
        eta = np.empty(self.density.columns.size)
        eta[self.split.outer], eta[self.split.inner] = u, w
        return self.density.theta(eta)

    def drawn(
        self, places: Array, guess: Guess | None, randoms: Sequence[np.random.Generator]
    ) -> list[Draw | str]:
        """Days and inner draws at places of the outer parameters, each by a generator of its own, or why there are none."""
        out: list[Draw | str] = []
        linear = self._linear(places, guess)
        made = {
            k: self._around(self.theta(places[k], each[0].place), each[0], randoms[k])
            for k, each in enumerate(linear)
            if not isinstance(each, str)
        }
        several = np.concatenate(
            [np.empty((0, len(self.density.objective.names))), *[m[0] for m in made.values()]]
        )
        scored = self.density.objective.log_likelihoods(several, rtol=self.density.rtol).reshape(-1, DRAWS)
        by_place = dict(zip(made, scored, strict=True))
        for k, each in enumerate(linear):
            if isinstance(each, str):
                out.append(each)
            else:
                thetas, ratios, mode = made[k]
                out.append(Draw(thetas, by_place[k] + ratios, mode, each[0].slopes if each[1] else None))
        return out

    # ---- how --------------------------------------------------------------------------------------

    def _linear(self, places: Array, guess: Guess | None) -> list[tuple[LinearRows, bool] | str]:
        """The rows to first order near the mode of the inner parameters, and whether slopes were made, or what failed."""
        predicted: list[Slopes | None] = [None] * len(places)
        if guess is None:
            ws = np.array([self.start(u) for u in places])
        else:
            ws, predicted = guess(places)
        searches = [_GaussNewton(w, slopes) for w, slopes in zip(ws, predicted, strict=True)]
        for _ in range(_MOST):
            left = [k for k, search in enumerate(searches) if not search.over]
            if not left:
                break
            thetas = np.array([self.theta(places[k], searches[k].trial) for k in left])
            for k, theta, reading in zip(left, thetas, self._every_day.read(thetas), strict=True):
                if searches[k].wants_slopes(reading):
                    searches[k].take(self._every_day.slopes(theta, self.columns))
                searches[k].go_on(reading)
        return [search.why if search.rows is None else (search.rows, search.made) for search in searches]

    def _around(
        self, theta: Array, rows: LinearRows, random: np.random.Generator
    ) -> tuple[Array, Array, Array]:
        """Draws of days and inner parameters, ln (prior / proposal) of each, and the mean of the modes."""
        ratios, chosen = np.zeros(DRAWS), []
        for visit, evidences in zip(self.density.visits, rows.by_day[1], strict=True):
            prior = visit.nodes.log_weights
            log_q = _defended(evidences, prior)
            nodes = random.permutation(systematic(log_q, DRAWS, random))
            ratios += prior[nodes] - log_q[nodes]
            chosen.append(nodes)
        half = random.standard_normal((DRAWS // 2, rows.place.size))
        normals, thetas, modes = np.concatenate([half, -half]), np.tile(theta, (DRAWS, 1)), []
        for j, normal in enumerate(normals):
            days = [int(each[j]) for each in chosen]
            precision, gradient = rows.normal(days)
            factor, _ = dpotrf(precision, lower=True)
            modes.append(rows.place - dpotrs(factor, gradient, lower=True)[0])
            for visit, node in zip(self.density.visits, days, strict=True):
                thetas[j, visit.column] = visit.nodes.thetas[node]
            thetas[j, self.columns] = modes[-1] + dtrtrs(factor, normal, lower=True, trans=1)[0]
            ratios[j] -= float(np.log(np.diag(factor)).sum())
        etas = thetas[:, self.density.columns]
        ratios += 0.5 * (normals**2).sum(axis=1) - 0.5 * (etas**2).sum(axis=1)
        return thetas, ratios - 0.5 * self.split.outer.size * _LOG_TWO_PI, np.mean(modes, axis=0)


class _GaussNewton:
    """Steps of Gauss and Newton towards the mode of the inner parameters.

    Attributes
    ----------
    trial : array
        Where to simulate next.
    rows : LinearRows or None
        At the last place that was accepted.
    over : bool
        Whether it is near enough, or gets no further.
    made : bool
        Whether its slopes are of a simulation.
    why : str
        Why there are no rows.
    """

    def __init__(self, trial: Array, predicted: Slopes | None) -> None:
        self.trial, self.slopes, self.why = trial, predicted, ""
        self.rows: LinearRows | None = None
        self.over, self.made = False, False
        self._step, self._squares = np.zeros_like(trial), np.inf
        self._nodes: tuple[int, ...] = ()
        self._jacobians, self._steps, self._halvings = 0, 0, 0

    def _accepts(self, reading: Reading | str) -> bool:
        if isinstance(reading, str):
            return False
        if self.rows is None:
            return True
        there = LinearRows(self.trial, reading, self.rows.slopes).squares(self._nodes)
        return bool(there <= self._squares + 1e-3)

    def wants_slopes(self, reading: Reading | str) -> bool:
        """Whether slopes at the trial are needed, this being what was simulated there."""
        used = self._steps == _STEPS and self._jacobians < _MOST_JACOBIANS
        return (self.slopes is None or used) and self._accepts(reading)

    def take(self, slopes: Slopes | str) -> None:
        """Slopes that were made at the trial, or why they could not be."""
        self._jacobians += 1
        if isinstance(slopes, str):
            self.why = slopes
        else:
            self.slopes, self.made, self._steps = slopes, True, 0

    def go_on(self, reading: Reading | str) -> None:
        """Accept the trial or halve the step, and say where to go next."""
        if self.rows is None and (isinstance(reading, str) or self.slopes is None):
            # nothing is known here: nearer to the middle of the prior more can be simulated
            self.why = reading if isinstance(reading, str) else self.why
            self.trial = 0.5 * self.trial
            self._halvings += 1
            self.over = self._halvings > _HALVINGS
            return
        if isinstance(reading, str) or self.slopes is None or not self._accepts(reading):
            assert self.rows is not None
            self._step, self._halvings = 0.5 * self._step, self._halvings + 1
            self.trial, self.over = self.rows.place + self._step, self._halvings > _HALVINGS
            return
        rows = LinearRows(self.trial, reading, self.slopes)
        self.rows, self._halvings = rows, 0
        self._nodes, _ = rows.by_day
        self._squares = rows.squares(self._nodes)
        precision, gradient = rows.normal(self._nodes)
        factor, _ = dpotrf(precision, lower=True)
        whole = -dpotrs(factor, gradient, lower=True)[0]
        length = float(np.sqrt(whole @ precision @ whole))
        self._steps += 1
        self._step = min(1.0, _LONGEST / max(length, 1e-12)) * whole
        self.trial, self.over = self.trial + self._step, length < _NEAR


def _defended(log_weights: Array, prior: Array) -> Array:
    """ln of weights, normalised, beside a part of the prior."""
    log_q = np.logaddexp(
        np.log(1 - _PRIOR_SHARE) + log_weights - np.logaddexp.reduce(log_weights),
        np.log(_PRIOR_SHARE) + prior,
    )
    return np.asarray(log_q - np.logaddexp.reduce(log_q))
