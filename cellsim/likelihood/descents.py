"""Descents to an optimum, by MINPACK's Levenberg-Marquardt, which is lmfit's too, and where they begin.

They begin at the prior medians, where another variant leads, and at a Latin hypercube over the prior. Variants of one case share most
parameters, and what fits one of them fits the others better than most draws from a prior do. So of a variant that is not the case's
default one descent passes through the default's optimum. In the shipped case the highest mode of V1 is reached so at once, and
by 2 of 40 draws from the prior.

Where the derivative is not finite a descent goes on from the last point where it was, with a shorter reach; and one that comes to an
optimum that is known, or to where it falls straight to one, ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError, CellsimError
from cellsim.likelihood.descent_points import RoughError, Way
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Evaluation, Objective
from cellsim.likelihood.priors import latin_hypercube
from cellsim.threads import StoppedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.model.model import Model

    Array = NDArray[np.float64]

__all__ = ["Descent", "Start", "descend", "polish", "probes", "starting_points"]

# two starts agree when -2 ln posterior differs by less: a likelihood ratio of 1.05
AGREEMENT = 0.1
# numbers of parameters that are few
FEW = 12

# relative fall of the sum of squares at which a start ends: far below what makes two starts differ, since the
# sum is of the order of the number of rows; only the best one is carried on to the end
_ROUGH, _POLISHED = 1e-5, 1e-8
# the same of the best one where there are many parameters: Newton's steps carry it to the end, their curvature being known
_POLISHED_OF_MANY = 1e-6
_SHORTEST = 1e-7
# how often a start returns to where its derivative was finite, and how far around the medians a first point is looked for
_MOST_RETURNS = 12
_TRIED_AROUND = (0.25, 0.5, *(1.0,) * 4, *(2.0,) * 8, *(4.0,) * 8)
# relative tolerance of the simulations of a descent: what it leaves of the sum of squares is far below what two starts differ by
_LOOSELY = 1e-3
# a start that comes this near, in -2 ln posterior, to an optimum that is known has found it: half of what two starts that
# agree may differ by
_ARRIVED = AGREEMENT / 2
# a start that comes within two standard deviations of one, with nothing but a fall between, would end there: it is not followed
_WITHIN, _BETWEEN = 4.0, (1 / 3, 2 / 3)
# a start that has not arrived by then wanders along a shelf; it is told as one that did not converge
_MOST_EVALUATIONS = 400
# the same of the best one, for each parameter
_MOST_POLISHED = 2000
# what MINPACK answers where it has converged
_CONVERGED = (1, 2, 3, 4)
# where sampling days are tried, in prior sd
_DAYS_TRIED = (-1.3, 0.0, 1.3)


def starting_points(
    case: Case, model: Model | None, objective: Objective, *, starts: int, seed: int
) -> list[Array]:
    """Points that descents begin at, prior-whitened.

    Parameters
    ----------
    case, model
        What the objective is of.
    objective : Objective
    starts : int
        How many: the prior medians; of a variant that is not the default one where the medians lead under that; the others a Latin hypercube
        over the prior, so that no corner is forgotten.
    seed : int

    Returns
    -------
    list of array, shape (n_parameters,)
    """
    from scipy.special import ndtri

    size = len(objective.names)
    firsts = [np.zeros(size)]
    if starts > 1 and (passed := _through_default(case, model, objective)) is not None:
        firsts.append(passed)
    shares = latin_hypercube(starts - len(firsts), size, np.random.default_rng(seed).spawn(1)[0])
    return [*firsts, *ndtri(shares)]


def _through_default(case: Case, model: Model | None, objective: Objective) -> Array | None:
    """Where the prior medians lead under the default variant, by the parameters that it shares; None of the default itself, and where they lead
    nowhere."""
    if not case.variants or objective.variant == case.default_variant or not objective.names:
        return None
    try:
        default = objective_of(case, model, rtol=objective.rtol, degrees=objective.degrees)
        found = descend(default, (), np.zeros(len(default.names)), Event())
    except CellsimError:
        # that variant says so when it is asked for itself
        return None
    if not np.isfinite(found.start.objective):
        return None
    known = dict(zip(default.names, found.theta, strict=True))
    return np.array([known.get(name, 0.0) for name in objective.names])


def probes(objective: Objective, best: Array) -> list[Array]:
    """The best point with each latent sampling day moved across its window.

    A day has a mode of its own between any two infusions, and a start from the prior rolls past the low ones.
    """
    out = []
    for visit in dict(objective.occasions):
        if (name := f"day_{visit}") in objective.names:
            for place in _DAYS_TRIED:
                moved = best.copy()
                moved[objective.names.index(name)] = place
                out.append(moved)
    return out


@dataclass(frozen=True)
class Start:
    """How one start ended.

    Attributes
    ----------
    objective : float
        Sum of squares reached (-2 ln posterior up to a constant); inf when it failed.
    evaluations : int
        Simulations without those of gradients.
    converged : bool
    message : str
        MINPACK's, with what came in the way, or why the start was given up.
    """

    objective: float
    evaluations: int
    converged: bool
    message: str


@dataclass(frozen=True, eq=False)
class Descent:
    """Where a start ended.

    Attributes
    ----------
    start : Start
    theta : array
    height : float
        The sum of squares as roughly simulated as on the way.
    slopes : array or None
        The last Jacobian on the way; None of one that was given up, or ended at an optimum that was known.
    """

    start: Start
    theta: Array
    height: float = np.inf
    slopes: Array | None = None

    def is_reached_from(self, theta: Array, found: Evaluation) -> bool:
        """Whether a descent from a point would end here: it is as low but for a trifle, and near by the slopes."""
        return self._is_near(theta, found, _ARRIVED, 4 * _ARRIVED)

    def is_below(self, theta: Array, found: Evaluation, height_at: Callable[[Array], float]) -> bool:
        """Whether a point lies on a slope of this optimum: near it, and the sum of squares falls all the way straight to it."""
        if not self._is_near(theta, found, _WITHIN, _WITHIN):
            return False
        way = self.theta - theta
        heights = [found.objective]
        for share in _BETWEEN:
            heights.append(height_at(theta + share * way))
            if not heights[-1] < heights[-2]:
                return False
        return self.height < heights[-1]

    def _is_near(self, theta: Array, found: Evaluation, higher: float, away: float) -> bool:
        if self.slopes is None or not self.start.converged or not found.objective < self.height + higher:
            return False
        apart = self.slopes @ (theta - self.theta)
        return float(apart @ apart) < away


class _KnownError(Exception):
    """A descent has come to an optimum that is known, or to where it falls straight to one."""

    def __init__(self, below: Descent | None = None) -> None:
        super().__init__()
        self.below = below


def descend(objective: Objective, known: Sequence[Descent], first: Array, stop: Event) -> Descent:
    """One rough Levenberg-Marquardt descent; given up when `stop` is set, and ended where one of `known` ended.

    Where the derivative is not finite the descent goes on from the last point where it was, with a shorter reach; a first
    point that cannot be simulated is moved to where it can.
    """
    from scipy.optimize import leastsq

    way = Way(objective, max(objective.rtol, _LOOSELY))
    sound: dict[str, Array] = {}
    rough: dict[str, Array] = {}
    tried = count()

    def residuals(theta: Array) -> Array:
        if stop.is_set():
            raise StoppedError
        next(tried)
        return way.residuals(theta)

    def slopes(theta: Array) -> Array:
        rough["theta"] = theta.copy()
        there = way.sloped(theta)
        jacobian = there.jacobian
        assert jacobian is not None
        sound["theta"], sound["slopes"] = theta.copy(), jacobian.copy()
        if any(each.is_reached_from(theta, there) for each in known):
            raise _KnownError
        for each in known:
            if each.is_below(theta, there, lambda here: objective.evaluate(here, rtol=way.rtol).objective):
                raise _KnownError(each)
        return jacobian

    begun, moved = _begun(way, first)
    if begun is None:
        return Descent(Start(np.inf, 1, False, moved), first)
    theta, spent, why = begun, 0, [moved] if moved else []
    reach = _reach(theta, way.at(theta, gradient=True))
    for _ in range(_MOST_RETURNS):
        try:
            theta, _, work, message, status = leastsq(
                residuals,
                theta,
                Dfun=slopes,
                full_output=True,
                ftol=_ROUGH,
                xtol=_SHORTEST,
                maxfev=max(_MOST_EVALUATIONS - spent, 1),
                factor=reach,
            )
        except _KnownError as error:
            if (below := error.below) is not None:
                said = "It came to the slope of an optimum that another start had found: it counts as there."
                found = Start(below.start.objective, next(tried), True, _on_the_way(said, why))
                return Descent(found, below.theta)
            said = "It came to an optimum that another start had found."
            return _ended(objective, sound["theta"], next(tried), True, _on_the_way(said, why))
        except RoughError as error:
            theta = sound["theta"]
            why = [*why[:1], str(error)]
            spent += 1
            sizes = np.linalg.norm(sound["slopes"], axis=0)
            apart = float(np.linalg.norm(sizes * (rough["theta"] - theta)))
            length = float(np.linalg.norm(sizes * theta))
            # MINPACK's reach is in units of the point's own length, where it has one
            reach = max(apart / 4 / (length or 1.0), np.finfo(float).tiny)
            continue
        told = _on_the_way(" ".join(message.split()), why)
        ended = _ended(objective, theta, spent + int(work["nfev"]), status in _CONVERGED, told)
        return replace(ended, height=way.at(theta).objective, slopes=sound["slopes"])
    return _ended(objective, theta, spent, False, f"stopped before {why[-1]}")


def _on_the_way(said: str, why: Sequence[str]) -> str:
    return f"{said} (on the way: {'; '.join(why)})" if why else said


def _begun(way: Way, first: Array) -> tuple[Array | None, str]:
    """The point nearest to `first`, of those tried, that can be simulated with its derivative; and why it is another one."""

    def wrong(theta: Array) -> str:
        started = way.objective.evaluate(theta)
        if started.failure:
            return f"the simulation at the start failed: {started.failure}"
        if not np.isfinite(started.objective):
            return "the rows are missed by more than a number can say at the start."
        try:
            way.sloped(theta)
        except RoughError as error:
            return f"at the start {error}"
        return ""

    if not (why := wrong(first)):
        return first, ""
    random = np.random.default_rng(np.abs(first * 1e6).astype(np.int64) % 2**31)
    ways = [first / 2**k for k in range(1, 4)] if np.any(first) else []
    ways += [scale * random.standard_normal(first.size) for scale in _TRIED_AROUND]
    for theta in ways:
        if not wrong(theta):
            far = np.linalg.norm(theta - first)
            return theta, f"{why} Begun {far:.2g} prior sd away instead."
    return None, f"{why} So it did at {len(ways)} points nearer to the prior medians or around them."


def polish(objective: Objective, first: Array) -> Descent:
    """Carry a point to the end."""
    from scipy.optimize import leastsq

    way = Way(objective, objective.rtol)
    try:
        theta, _, work, message, status = leastsq(
            way.residuals,
            first,
            Dfun=way.slopes,
            full_output=True,
            xtol=_SHORTEST,
            ftol=_POLISHED if len(first) <= FEW else _POLISHED_OF_MANY,
            maxfev=_MOST_POLISHED * (len(first) + 1),
            factor=_reach(first, way.at(first)),
        )
    except CalibrationError as error:
        return Descent(Start(np.inf, 1, False, str(error)), first)
    told = " ".join(message.split())
    return _ended(objective, theta, int(work["nfev"]), status in _CONVERGED, told)


def _reach(first: Array, started: Evaluation) -> float:
    """MINPACK holds a first step below this many |theta|, from zero below this number of residuals: let it be all."""
    return 100.0 if np.any(first) else max(100.0, float(np.linalg.norm(started.residuals)))


def _ended(objective: Objective, theta: Array, evaluations: int, converged: bool, message: str) -> Descent:
    """Where a descent arrived, told at the objective's own tolerance."""
    found = objective.evaluate(theta)
    if found.failure or not np.isfinite(found.objective):
        why = found.failure or "the rows are missed by more than a number can say."
        return Descent(Start(np.inf, evaluations, False, why), theta)
    return Descent(Start(found.objective, evaluations, converged, message), theta)
