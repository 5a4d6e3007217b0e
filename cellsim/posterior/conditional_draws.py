"""Days and inner parameters of a collapsed sampler, drawn given the outer ones.

Draws are made several at a time, so that their simulations run side by side. Proposals may be rough, for their weights make
good what they are off: days and modes are sought at a large tolerance of the solver, and one Jacobian serves two steps of Gauss and
Newton, the second with residuals of its own. Once enough Jacobians are known, a draw takes that which a regression on them
predicts (entry by entry, for most are nought everywhere), and has one made only where steps by it do not arrive. Whatever a normal
distribution of inner parameters was made of, its own density is what their weights are divided by, so that the mean weight stays the
evidence. Only what enters the weights is simulated at the tolerance of the posterior.
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

__all__ = ["PAIRS", "Conditional", "Draw", "Guess", "labels_of"]

# inner draws of one u: two and their mirror images, whose odd errors cancel; more cost more than they are worth where
# the outer parameters and days are the larger part of what weights scatter by
PAIRS = 2
# days: how far their conditional density is trusted at a place that is not yet the mode, and the prior's part
_TRUST, _PRIOR_SHARE = 0.4, 0.15
# Gauss and Newton: Jacobians of one draw, and how often a step is halved. A step this short ends it without a second one by
# the same Jacobian, or with that one; and the longest, in standard deviations
_MOST_JACOBIANS, _HALVINGS = 5, 4
_AT_ONCE, _NEAR, _LONGEST = 0.7, 1.5, 4.0
# part of the modes of the calibration in the first proposal
_MODES = 0.2
# penalty of regressions
_RIDGE = 5.0
# nats: a difference of two inner draws that is larger counts as this
_FARTHEST = 3.0
# Jacobians from which others are predicted, at least
_ENOUGH = 240
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
    preferred : float
        ln of how much more often these days were drawn than without what was learned of panels.
    mode : array
        Of the inner parameters.
    jacobian : array, shape (n_rows, n_inner), or None
        Of the rows near the mode, if one was made.
    """

    thetas: Array
    inner: Array
    logs: Array
    panels: tuple[int, ...]
    preferred: float
    mode: Array
    jacobian: Array | None


@dataclass(frozen=True, eq=False)
class _Regression:
    """Values that are linear in features."""

    middle: Array
    coefficients: Array

    @classmethod
    def of(cls, features: Array, values: Array, weights: Array) -> _Regression:
        """By least squares; the coefficients are drawn towards nought as if each feature had been seen a few times without effect."""
        shares = weights / weights.sum()
        middle = shares @ features
        centred = np.column_stack([np.ones(len(features)), features - middle])
        pulled = (len(features) * shares)[:, None] * centred
        ridge = np.diag(np.append(1e-9, np.full(features.shape[1], _RIDGE)))
        return cls(middle, np.linalg.solve(centred.T @ pulled + ridge, pulled.T @ values))

    def __call__(self, features: Array) -> Array:
        return np.asarray(self.coefficients[0] + (features - self.middle) @ self.coefficients[1:])


@dataclass(frozen=True, eq=False)
class _Slopes:
    """A regression of those entries of a Jacobian that are not nought everywhere."""

    shape: tuple[int, int]
    entries: NDArray[np.intp]
    regression: _Regression

    @classmethod
    def of(cls, features: Array, jacobians: Array, weights: Array) -> _Slopes:
        flat = jacobians.reshape(len(jacobians), -1)
        entries = np.flatnonzero((flat != 0).any(axis=0))
        shape = (jacobians.shape[1], jacobians.shape[2])
        return cls(shape, entries, _Regression.of(features, flat[:, entries], weights))

    def __call__(self, features: Array) -> Array:
        out = np.zeros((len(features), self.shape[0] * self.shape[1]))
        out[:, self.entries] = self.regression(features)
        return out.reshape(len(features), *self.shape)


@dataclass(frozen=True, eq=False)
class Guess:
    """Linear in u, and in the panels of the days where these are known."""

    scale: Normal
    panels: tuple[int, ...]
    modes: _Regression
    slopes: _Slopes | None
    shift: Array
    by_panel: Array

    @classmethod
    def learned(
        cls,
        scale: Normal,
        panels: tuple[int, ...],
        places: Array,
        draws: Sequence[Draw],
        weights: Array,
        by_panel: Array,
    ) -> Guess:
        """From modes and Jacobians that were found; `by_panel` is by how many nats days of each panel are to be preferred."""
        features = _features(scale, panels, places, [each.panels for each in draws])
        modes = _Regression.of(features, np.array([each.mode for each in draws]), weights)
        made = [k for k, each in enumerate(draws) if each.jacobian is not None]
        slopes = None
        if len(made) >= _ENOUGH:
            jacobians = np.array([draws[k].jacobian for k in made])
            slopes = _Slopes.of(features[made], jacobians, weights[made])
        return cls(scale, panels, modes, slopes, cls._shift(draws, weights / weights.sum()), by_panel)

    @staticmethod
    def _shift(draws: Sequence[Draw], shares: Array) -> Array:
        """From the modes to the means, on average: what the slope of ln weights along inner draws says.

        A normal distribution whose density is to be multiplied by exp(slope . w) has its mean moved by covariance . slope. The
        slope is that of differences between a draw and its mirror image.
        """
        inner, logs = np.array([each.inner for each in draws]), np.array([each.logs for each in draws])
        apart = 0.5 * (inner[:, 0::2] - inner[:, 1::2])
        with np.errstate(invalid="ignore"):
            rise = 0.5 * (logs[:, 0::2] - logs[:, 1::2])
        fine = np.isfinite(rise)
        x, y = apart[fine], np.clip(rise[fine], -_FARTHEST, _FARTHEST)
        by = np.broadcast_to((shares * len(draws))[:, None], rise.shape)[fine][:, None]
        covariance = (by * x).T @ x / by.sum()
        sd = np.sqrt(np.diag(covariance))
        z = x / sd
        slope = np.linalg.solve((by * z).T @ z + _RIDGE * np.eye(sd.size), (by * z).T @ y)
        return np.asarray(covariance @ (slope / sd))

    def __call__(self, places: Array, chosen: Sequence[Sequence[int]] | None) -> Array:
        """Where to look for the modes at places of shape (k, n), shape (k, n_inner)."""
        features = _features(self.scale, self.panels, places, chosen)
        if chosen is None:
            # no day is known: as if each were everywhere
            features[:, places.shape[1] :] = self.modes.middle[places.shape[1] :]
        return self.modes(features)

    def jacobians(self, places: Array, chosen: Sequence[Sequence[int]]) -> list[Array | None]:
        """What is predicted of J there, or nothing as long as too few are known."""
        if self.slopes is None:
            return [None] * len(places)
        return list(self.slopes(_features(self.scale, self.panels, places, chosen)))


def _features(
    scale: Normal, panels: tuple[int, ...], places: Array, chosen: Sequence[Sequence[int]] | None
) -> Array:
    """u in standard deviations, and one for the panel of each day, shape (k, n + sum(panels))."""
    inside = np.zeros((len(places), sum(panels))) if chosen is None else labels_of(panels, chosen)
    return np.column_stack([np.linalg.solve(scale.root, (places - scale.mean).T).T, inside])


def labels_of(panels: tuple[int, ...], chosen: Sequence[Sequence[int]]) -> Array:
    """One for the panel of each day, nought for others, shape (k, sum(panels)).

    Examples
    --------
    >>> labels_of((2, 3), [(1, 0)])
    array([[0., 1., 1., 0., 0.]])
    """
    out = np.zeros((len(chosen), sum(panels)))
    first = np.cumsum((0, *panels))[: len(panels)].astype(int)
    at = np.array(chosen, int).reshape(len(chosen), len(panels)) + first
    np.put_along_axis(out, at, 1.0, axis=1)
    return out


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
        ws = np.array([self.start(u) for u in places]) if guess is None else guess(places, None)
        etas = np.array([self.eta(u, w) for u, w in zip(places, ws, strict=True)])
        thetas = np.array([self.density.theta(eta) for eta in etas])
        out: list[Draw | str] = ["days could not be simulated."] * len(places)
        panels: list[tuple[int, ...]] = [()] * len(places)
        logs, preferred, left = np.zeros(len(places)), np.zeros(len(places)), []
        by_panel = np.zeros(sum(self.panels)) if guess is None else guess.by_panel
        for k, held in enumerate(self.density.rough.by_node(etas)):
            if not isinstance(held, str):
                panels[k], logs[k], preferred[k] = self._days(thetas[k], held, by_panel, randoms[k])
                left.append(k)
        jacobians: list[Array | None] = [None] * len(left)
        if guess is not None and left:
            chosen = [panels[k] for k in left]
            ws[left], jacobians = guess(places[left], chosen), guess.jacobians(places[left], chosen)
        modes = self._modes(thetas[left], ws[left], jacobians)
        found = {k: mode for k, mode in zip(left, modes, strict=True) if not isinstance(mode, str)}
        for k, failure in zip(left, modes, strict=True):
            out[k] = failure if isinstance(failure, str) else ""
        made = []
        for k, each in found.items():
            centre = each.place if guess is None else each.place + guess.shift
            made.append(self._around(thetas[k], centre, each.precision, randoms[k]))
        if made:
            several = np.concatenate([each for each, _ in made])
            scored = self.density.objective.log_likelihoods(several, rtol=self.density.rtol)
            for (k, each), (own, ratio), more in zip(
                found.items(), made, scored.reshape(len(made), -1), strict=True
            ):
                inner = own[:, self.columns]
                out[k] = Draw(
                    own,
                    inner,
                    more + ratio + logs[k],
                    panels[k],
                    float(preferred[k]),
                    each.place,
                    each.jacobian,
                )
        return out

    def _days(
        self, theta: Array, held: Sequence[Array], by_panel: Array, random: np.random.Generator
    ) -> tuple[tuple[int, ...], float, float]:
        """A node for each unknown day, into `theta`: in which panel each lies, ln (prior / proposal), and ln (proposal /
        proposal without `by_panel`)."""
        panels, log_ratio, preferred, first = [], 0.0, 0.0, 0
        for visit, each, count in zip(self.density.visits, held, self.panels, strict=True):
            prior = visit.nodes.log_weights
            tempered = prior + _TRUST * (each - prior)
            effects = np.repeat(by_panel[first : first + count], POINTS)
            plain, log_q = _defended(tempered, prior), _defended(tempered + effects, prior)
            node = int(systematic(log_q, 1, random)[0])
            theta[visit.column] = visit.nodes.thetas[node]
            log_ratio += float(prior[node] - log_q[node])
            preferred += float(log_q[node] - plain[node])
            panels.append(node // POINTS)
            first += count
        return tuple(panels), log_ratio, preferred

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

    def _modes(self, thetas: Array, ws: Array, jacobians: Sequence[Array | None]) -> list[_Mode | str]:
        """The modes of the inner parameters given all others, nearly, from `ws` on, by Jacobians that are predicted where
        they are, at first."""
        rtol, columns = self.density.rough.rtol, self.columns
        ws, out, predicted = ws.copy(), ["" for _ in thetas], list(jacobians)
        found: dict[int, _Mode] = {}
        left = list(range(len(thetas)))
        for _ in range(_MOST_JACOBIANS):
            searches: dict[int, _Search] = {}
            again = []
            here = self._begun(thetas, ws, left, predicted)
            for k in left:
                search = here[k]
                if isinstance(search, str):
                    out[k] = search
                    if k not in found:
                        # nothing is known here: nearer to the middle of the prior more can be simulated
                        ws[k] = 0.5 * ws[k]
                        again.append(k)
                    continue
                found[k] = search.arrived(ws[k], search.step)
                if search.length >= _AT_ONCE:
                    searches[k] = search
            for _ in range(_HALVINGS):
                if not searches:
                    break
                moved = thetas[list(searches)]
                moved[:, columns] = [ws[k] + each.step for k, each in searches.items()]
                there = self.density.objective.evaluate_sets(moved, rtol=rtol)
                halved = {}
                for (k, search), value, residuals in zip(
                    searches.items(), there.objectives.tolist(), there.residuals, strict=True
                ):
                    if not value <= search.value + 1e-3:
                        halved[k] = search.halved()
                        found[k] = search.arrived(ws[k], halved[k].step)
                        continue
                    ws[k] = ws[k] + search.step
                    more, length = search.newton(residuals, ws[k])
                    found[k] = search.arrived(ws[k], more)
                    if length >= _NEAR:
                        again.append(k)
                searches = halved
            # a predicted Jacobian that leads nowhere is followed by one that is made
            again += [k for k in searches if predicted[k] is not None]
            for k in left:
                predicted[k] = None
            left = sorted(again)
            if not left:
                break
        return [found.get(k, why) for k, why in enumerate(out)]

    def _begun(
        self, thetas: Array, ws: Array, left: Sequence[int], predicted: list[Array | None]
    ) -> dict[int, _Search | str]:
        """The first step of each, by its predicted Jacobian where it has one, or what failed."""
        objective, rtol, columns = self.density.objective, self.density.rough.rtol, self.columns
        at = thetas[left]
        at[:, columns] = ws[left]
        out: dict[int, _Search | str] = {}
        told = [j for j, k in enumerate(left) if predicted[k] is not None]
        if told:
            there = objective.evaluate_sets(at[told], rtol=rtol)
            for j, value, residuals in zip(told, there.objectives.tolist(), there.residuals, strict=True):
                jacobian = predicted[left[j]]
                if jacobian is not None and np.isfinite(value):
                    out[left[j]] = _Search.at(value, residuals, jacobian, ws[left[j]], made=False)
        for k, theta in zip(left, at, strict=True):
            if k in out:
                continue
            predicted[k] = None
            here = objective.evaluate(theta, gradient=True, rtol=rtol, along=columns)
            if here.failure or here.jacobian is None:
                out[k] = here.failure
                continue
            jacobian = here.jacobian[: objective.residual_count]
            out[k] = _Search.at(here.objective, here.residuals, jacobian, ws[k], made=True)
        return out


def _defended(log_weights: Array, prior: Array) -> Array:
    """ln of weights, normalised, beside a part of the prior."""
    log_q = np.logaddexp(
        np.log(1 - _PRIOR_SHARE) + log_weights - np.logaddexp.reduce(log_weights),
        np.log(_PRIOR_SHARE) + prior,
    )
    return np.asarray(log_q - np.logaddexp.reduce(log_q))


@dataclass(frozen=True, eq=False)
class _Mode:
    """A mode of the inner parameters, nearly; the precision there, and the Jacobian if one was made near it."""

    place: Array
    precision: Array
    jacobian: Array | None


@dataclass(frozen=True, eq=False)
class _Search:
    """A step of Gauss and Newton by one Jacobian.

    Attributes
    ----------
    value : float
        The sum of squares where it begins.
    jacobian, precision : array
        J of the rows, and J'J with the prior's part.
    step : array
        What is to be tried.
    length : float
        Of the whole step, in standard deviations.
    made : bool
        Whether the Jacobian is that of a simulation.
    """

    value: float
    jacobian: Array
    precision: Array
    step: Array
    length: float
    made: bool

    @classmethod
    def at(cls, value: float, residuals: Array, jacobian: Array, w: Array, *, made: bool) -> _Search:
        """The first step."""
        precision = jacobian.T @ jacobian + np.eye(w.size)
        search = cls(value, jacobian, precision, np.zeros(w.size), 0.0, made)
        step, length = search.newton(residuals, w)
        return replace(search, step=step, length=length)

    def newton(self, residuals: Array, w: Array) -> tuple[Array, float]:
        """The step by this Jacobian from `w`, where the residuals are these, not too long, and the length of the whole one."""
        whole = -np.linalg.solve(self.precision, self.jacobian.T @ residuals[: len(self.jacobian)] + w)
        length = float(np.sqrt(whole @ self.precision @ whole))
        return np.asarray(min(1.0, _LONGEST / max(length, 1e-12)) * whole), length

    def halved(self) -> _Search:
        """Half the step."""
        return replace(self, step=0.5 * self.step)

    def arrived(self, w: Array, step: Array) -> _Mode:
        """Where a step from `w` leads to."""
        return _Mode(w + step, self.precision, self.jacobian if self.made else None)
