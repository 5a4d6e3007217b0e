"""Days and inner parameters of a collapsed sampler, drawn given the outer ones.

Draws are made several at a time, so that their simulations run side by side. Proposals may be rough, for their weights make
good what they are off: days and modes are sought at a large tolerance of the solver, and one Jacobian serves two steps of Gauss and
Newton, the second with residuals of its own. Only what enters the weights is simulated at the tolerance of the posterior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.day_quadrature import POINTS
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.collapsed_proposal import Normal, NormalMixture, systematic, widened
from cellsim.posterior.inner_parameters import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["PAIRS", "Conditional", "Draw", "Guess"]

# inner draws of one u: four and their mirror images, whose odd errors cancel; side by side they cost three simulations
PAIRS = 4
# days: how far their conditional density is trusted at a place that is not yet the mode, and the prior's part
_TRUST, _PRIOR_SHARE = 0.4, 0.15
# Gauss and Newton: Jacobians of one draw, and how often a step is halved. A step this short ends it without a second one by
# the same Jacobian, or with that one; and the longest, in standard deviations
_MOST_JACOBIANS, _HALVINGS = 5, 4
_AT_ONCE, _NEAR, _LONGEST = 0.7, 1.5, 4.0
# part of the modes of the calibration in the first proposal
_MODES = 0.2
# penalty of the regression of modes on what they are sought from
_RIDGE = 5.0
# nats: a difference of two inner draws that is larger counts as this
_FARTHEST = 3.0
_LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Draw:
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
class Guess:
    """Where the mode of the inner parameters is sought first: linear in u, and in the panels of the days where known."""

    scale: Normal
    panels: tuple[int, ...]
    middle: Array
    coefficients: Array
    shift: Array

    @classmethod
    def learned(
        cls, scale: Normal, panels: tuple[int, ...], places: Array, draws: Sequence[Draw], weights: Array
    ) -> Guess:
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
    def _shift(draws: Sequence[Draw], shares: Array) -> Array:
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
        x, y, by = (np.concatenate(apart), np.concatenate(pull), np.concatenate(weights)[:, None])
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

    def drawn(
        self, places: Array, guess: Guess | None, randoms: Sequence[np.random.Generator]
    ) -> list[Draw | str]:
        """Days and inner draws at places of the outer parameters, each by a generator of its own, or why there are none."""
        ws = np.array([self.start(u) if guess is None else guess(u, None) for u in places])
        etas = np.array([self.eta(u, w) for u, w in zip(places, ws, strict=True)])
        thetas = np.array([self.density.theta(eta) for eta in etas])
        out: list[Draw | str] = ["days could not be simulated."] * len(places)
        panels: list[tuple[int, ...]] = [()] * len(places)
        logs, left = np.zeros(len(places)), []
        for k, held in enumerate(self.density.rough.by_node(etas)):
            if not isinstance(held, str):
                panels[k], logs[k] = self._days(thetas[k], held, randoms[k])
                ws[k] = ws[k] if guess is None else guess(places[k], panels[k])
                left.append(k)
        modes = self._modes(thetas[left], ws[left])
        found = {k: mode for k, mode in zip(left, modes, strict=True) if not isinstance(mode, str)}
        for k, failure in zip(left, modes, strict=True):
            out[k] = failure if isinstance(failure, str) else ""
        made = []
        for k, (mode, precision) in found.items():
            centre = mode if guess is None else mode + guess.shift
            made.append(self._around(thetas[k], centre, precision, randoms[k]))
        if made:
            several = np.concatenate([each for each, _ in made])
            scored = self.density.objective.log_likelihoods(several, rtol=self.density.rtol)
            for (k, (mode, _)), (own, ratio), more in zip(
                found.items(), made, scored.reshape(len(made), -1), strict=True
            ):
                out[k] = Draw(own, own[:, self.columns], more + ratio + logs[k], panels[k], mode)
        return out

    def _days(
        self, theta: Array, held: Sequence[Array], random: np.random.Generator
    ) -> tuple[tuple[int, ...], float]:
        """A node for each unknown day, into `theta`: in which panel each lies, and ln (prior / proposal)."""
        panels, log_ratio = [], 0.0
        for visit, each in zip(self.density.visits, held, strict=True):
            prior = visit.nodes.log_weights
            tempered = prior + _TRUST * (each - prior)
            tempered -= np.logaddexp.reduce(tempered)
            log_q = np.logaddexp(np.log(1 - _PRIOR_SHARE) + tempered, np.log(_PRIOR_SHARE) + prior)
            node = int(systematic(log_q, 1, random)[0])
            theta[visit.column] = visit.nodes.thetas[node]
            log_ratio += float(prior[node] - log_q[node] + np.logaddexp.reduce(log_q))
            panels.append(node // POINTS)
        return tuple(panels), log_ratio

    def _around(
        self, theta: Array, centre: Array, precision: Array, random: np.random.Generator
    ) -> tuple[Array, Array]:
        """Inner draws with their mirror images, all parameters of each, and ln (prior / proposal) of each."""
        factor = np.linalg.cholesky(precision)
        half = random.standard_normal((PAIRS, centre.size))
        normals = np.stack([half, -half], axis=1).reshape(-1, centre.size)
        thetas = np.tile(theta, (len(normals), 1))
        thetas[:, self.columns] = centre + np.linalg.solve(factor.T, normals.T).T
        etas = thetas[:, self.density.columns]
        size = float(np.log(np.diag(factor)).sum()) + 0.5 * (etas.shape[1] - centre.size) * _LOG_TWO_PI
        return thetas, 0.5 * (normals**2).sum(axis=1) - 0.5 * (etas**2).sum(axis=1) - size

    def _modes(self, thetas: Array, ws: Array) -> list[tuple[Array, Array] | str]:
        """The modes of the inner parameters given all others, nearly, from `ws` on; and J'J at a place near each."""
        objective, rtol, columns = self.density.objective, self.density.rough.rtol, self.columns
        ws, out = ws.copy(), ["" for _ in thetas]
        found: dict[int, tuple[Array, Array]] = {}
        left = list(range(len(thetas)))
        for _ in range(_MOST_JACOBIANS):
            searches: dict[int, _Search] = {}
            again = []
            for k in left:
                theta = thetas[k].copy()
                theta[columns] = ws[k]
                here = objective.evaluate(theta, gradient=True, rtol=rtol, along=columns)
                if here.failure or here.jacobian is None:
                    out[k] = here.failure
                    if k not in found:
                        # nothing is known here: nearer to the middle of the prior more can be simulated
                        ws[k] = 0.5 * ws[k]
                        again.append(k)
                    continue
                search = _Search.at(here.objective, here.residuals, here.jacobian)
                found[k] = ws[k] + search.step, search.precision
                if search.length >= _AT_ONCE:
                    searches[k] = search
            for _ in range(_HALVINGS):
                if not searches:
                    break
                moved = thetas[list(searches)]
                moved[:, columns] = [ws[k] + each.step for k, each in searches.items()]
                there = objective.evaluate_sets(moved, rtol=rtol)
                halved = {}
                for (k, search), value, residuals in zip(
                    searches.items(), there.objectives.tolist(), there.residuals, strict=True
                ):
                    if not value <= search.value + 1e-3:
                        halved[k] = search.halved()
                        found[k] = ws[k] + halved[k].step, search.precision
                        continue
                    ws[k] = ws[k] + search.step
                    more, length = search.newton(residuals)
                    found[k] = ws[k] + more, search.precision
                    if length >= _NEAR:
                        again.append(k)
                searches = halved
            left = sorted(again)
            if not left:
                break
        return [found.get(k, why) for k, why in enumerate(out)]


@dataclass(frozen=True, eq=False)
class _Search:
    """A step of Gauss and Newton from where the Jacobian is known.

    Attributes
    ----------
    value : float
        The sum of squares there.
    jacobian, precision : array
        J and J'J.
    step : array
        What is to be tried.
    length : float
        Of the whole step, in standard deviations.
    """

    value: float
    jacobian: Array
    precision: Array
    step: Array
    length: float

    @classmethod
    def at(cls, value: float, residuals: Array, jacobian: Array) -> _Search:
        """The first step."""
        search = cls(value, jacobian, jacobian.T @ jacobian, np.zeros(jacobian.shape[1]), 0.0)
        step, length = search.newton(residuals)
        return replace(search, step=step, length=length)

    def newton(self, residuals: Array) -> tuple[Array, float]:
        """The step by this Jacobian from where the residuals are these, not too long, and the length of the whole one."""
        whole = -np.linalg.solve(self.precision, self.jacobian.T @ residuals)
        length = float(np.sqrt(whole @ self.precision @ whole))
        return np.asarray(min(1.0, _LONGEST / max(length, 1e-12)) * whole), length

    def halved(self) -> _Search:
        """Half the step."""
        return replace(self, step=0.5 * self.step)
