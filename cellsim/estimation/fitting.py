"""Fits of estimation problems: lmfit's least squares with bounds from many starts, with exact derivatives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, Problem, did_you_mean, is_finite_number
from cellsim.estimation.coordinates import Coordinates, Place
from cellsim.estimation.problem import EstimationProblem, refuse_options, why_not
from cellsim.lazy import upstairs
from cellsim.likelihood.descents import Start

if TYPE_CHECKING:
    import pandas as pd
    from lmfit.minimizer import MinimizerResult
    from numpy.typing import NDArray

    from cellsim.estimation.profiling import ProblemProfiles
    from cellsim.estimation.sampling import ProblemDraws

    Array = NDArray[np.float64]

__all__ = ["ProblemFit", "descended", "fitted"]

_MOST_EVALUATIONS = 300
_ROUGH, _SHORT = 1e-4, 1e-10
# distance from a bound, as a share of the box, that counts as at it
_AT_BOUND = 1e-6
# a start this much worse than the best, in -2 ln posterior, found another optimum
_SAME = 0.1
_TRIES = 20
# in a coordinate without a bound, starts lie this far around the nominal value
_AROUND = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class ProblemFit:
    """The most probable parameters of an estimation problem; made by :func:`cellsim.calibrate`.

    Where the problem has no priors it is the maximum of the likelihood within the bounds, else that of PEtab's posterior density,
    of the parameters in their own units.

    Attributes
    ----------
    coordinates : Coordinates
        The problem, and what was held.
    u : array, shape (m,)
        Where the optimum is.
    starts : tuple of Start
        Each start's -2 ln posterior up to a constant.
    seed : int
    lmfit : MinimizerResult or None
        lmfit's own result of the best start; its statistics count spreads and priors as rows.
    interrupted : bool
    """

    coordinates: Coordinates
    u: Array
    starts: tuple[Start, ...]
    seed: int
    lmfit: MinimizerResult | None = None
    interrupted: bool = False

    @property
    def problem(self) -> EstimationProblem:
        """What was fitted."""
        return self.coordinates.problem

    @cached_property
    def values(self) -> dict[str, float]:
        """Every parameter at the optimum, in its own unit."""
        return self.problem.values(self.coordinates.values(self.u))

    @cached_property
    def log_likelihood(self) -> float:
        """At the optimum."""
        return self.problem.log_likelihood(self.values)

    @cached_property
    def log_posterior(self) -> float:
        """At the optimum, up to a constant."""
        return self.problem.log_posterior(self.values)

    @cached_property
    def at_bounds(self) -> dict[str, str]:
        """Parameters that ended at a bound: name to ``"lower"`` or ``"upper"``."""
        found = {}
        for name, u, low, high in zip(self.coordinates.names, self.u, *self.coordinates.bounds, strict=True):
            width = high - low if np.isfinite(high - low) else max(abs(u), 1.0)
            if u - low <= _AT_BOUND * width:
                found[name] = "lower"
            elif high - u <= _AT_BOUND * width:
                found[name] = "upper"
        return found

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Of each parameter in its own unit, from the curvature at the optimum; nan at a bound and where there is none."""
        inside = [k for k, name in enumerate(self.coordinates.names) if name not in self.at_bounds]
        found = dict.fromkeys(self.coordinates.names, math.nan)
        curved = self.curvature[np.ix_(inside, inside)]
        if inside and np.all(np.isfinite(curved)):
            values, vectors = np.linalg.eigh(curved)
            if values[0] > 1e-12 * max(values[-1], 0.0):
                sd = np.sqrt(((vectors**2) / values).sum(axis=1)) * self.coordinates.stretch(self.u)[inside]
                found |= {self.coordinates.names[k]: float(each) for k, each in zip(inside, sd, strict=True)}
        return found

    @cached_property
    def curvature(self) -> Array:
        """Second derivatives of minus the log posterior by the coordinates, shape (m, m)."""
        size, low, high = len(self.u), *self.coordinates.bounds
        out = np.full((size, size), np.nan)
        close = replace(self.coordinates, rtol=1e-9)
        for k in range(size):
            h = 1e-4 * max(abs(self.u[k]), 1.0)
            sides = [np.clip(self.u + np.where(np.arange(size) == k, s * h, 0.0), low, high) for s in (1, -1)]
            ends = [close.at(each, slopes=True) for each in sides]
            if not any(each.failure for each in ends):
                up, down = (_slope(each) for each in ends)
                out[:, k] = (up - down) / (sides[0][k] - sides[1][k])
        return (out + out.T) / 2

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against quoting it."""
        best = min(each.objective for each in self.starts)
        told = []
        if self.interrupted:
            told.append("interrupted: not every start was finished.")
        if not any(each.converged and each.objective <= best + _SAME for each in self.starts):
            told.append("the best start did not converge.")
        if len(self.starts) > 1 and sum(each.objective <= best + _SAME for each in self.starts) < 2:
            told.append(
                f"one of {len(self.starts)} starts found the best optimum; others may find a better one."
            )
        if self.at_bounds:
            told.append(
                "at a bound: " + ", ".join(f"{name} ({side})" for name, side in self.at_bounds.items()) + "."
            )
        return tuple(told)

    def table(self) -> pd.DataFrame:
        """Estimate, standard error and bounds of each parameter, in its own unit."""
        import pandas as pd

        rows = {row.id: row for row in self.coordinates.rows}
        return pd.DataFrame(
            {
                "estimate": [self.values[name] for name in rows],
                "standard_error": [self.standard_errors[name] for name in rows],
                "lower": [row.lower for row in rows.values()],
                "upper": [row.upper for row in rows.values()],
                "at_bound": [self.at_bounds.get(name, "") for name in rows],
            },
            index=pd.Index(list(rows), name="parameter"),
        )

    def report(self) -> str:
        """Estimates, likelihood, and every doubt, as text."""
        best = min(each.objective for each in self.starts)
        alike = sum(each.objective <= best + _SAME for each in self.starts)
        lines = [
            repr(self).strip("<>"),
            f"log likelihood {self.log_likelihood:.6g}, log posterior {self.log_posterior:.6g}",
            f"{alike} of {len(self.starts)} starts ended here",
            *(f"doubt: {each}" for each in self.doubts),
            "",
            self.table().to_string(float_format=lambda x: f"{x:.4g}"),
        ]
        return "\n".join(lines)

    # ---- verbs ------------------------------------------------------------------------------------

    def sampled(self, *, collapsed: bool = False, rtol: float = 1e-5, **options: Any) -> ProblemDraws:
        """What :func:`cellsim.sample` gives for it."""
        refuse_options("sample", {"method='collapsed'": collapsed or None})
        made: ProblemDraws = upstairs("estimation.sampling").drawn(self, rtol=min(rtol, 1e-5), **options)
        return made

    def profiled(
        self,
        names: Sequence[str] | str | None,
        *,
        levels: Sequence[float] | float,
        asked: Mapping[str, Any] | None = None,
    ) -> ProblemProfiles:
        """What :func:`cellsim.profile` gives for it: one walk serves all levels up to the highest."""
        refuse_options("profile", asked)
        level = levels if isinstance(levels, (int, float)) else max(levels)
        made: ProblemProfiles = upstairs("estimation.profiling").profiled(self, names, level=level)
        return made

    @staticmethod
    def why_not(asked: str) -> str:
        """Why a verb is not to be had."""
        return why_not(asked)

    def __repr__(self) -> str:
        return f"<ProblemFit of {self.problem.name}: {len(self.u)} parameters, {len(self.starts)} starts>"


def _slope(place: Place) -> Array:
    """Derivative of minus the log posterior."""
    assert place.jacobian is not None
    return np.asarray(place.jacobian.T @ place.residuals)


def fitted(
    problem: EstimationProblem,
    *,
    starts: int = 20,
    seed: int = 0,
    fixed: Mapping[str, float] | None = None,
    rtol: float = 1e-7,
) -> ProblemFit:
    """Fit an estimation problem; see :func:`cellsim.calibrate`, which calls it.

    Parameters
    ----------
    problem : EstimationProblem
    starts : int
        The first begins at the nominal values, the others spread over the bounds, each parameter on its scale.
    seed : int
    fixed : mapping of str to float, optional
        Parameters to be held, in their own units.
    rtol : float
        Relative tolerance of the simulations.

    Returns
    -------
    ProblemFit

    Raises
    ------
    CalibrationError
        For unknown names, and if no start can be scored.
    """
    known = problem.nominal
    wrong = [
        Problem(what=f"no parameter {name!r} in {problem.name}.", remedy=did_you_mean(name, known))
        for name in fixed or {}
        if name not in known
    ]
    wrong += [
        Problem(what=f"{name} = {value!r} is not a finite number.")
        for name, value in (fixed or {}).items()
        if not is_finite_number(value)
    ]
    if wrong:
        raise CalibrationError(wrong)
    coordinates = Coordinates(problem, dict(fixed or {}), rtol)
    ended: list[tuple[Start, Array, Any]] = []
    interrupted = False
    try:
        for first in _firsts(coordinates, starts, seed):
            ended.append(descended(coordinates, first))
    except KeyboardInterrupt:
        if not any(math.isfinite(each[0].objective) for each in ended):
            raise
        interrupted = True
    start, u, result = min(ended, key=lambda each: each[0].objective)
    if not math.isfinite(start.objective):
        raise CalibrationError(f"none of {len(ended)} starts could be carried through: {start.message}")
    return ProblemFit(coordinates, u, tuple(each[0] for each in ended), seed, result, interrupted)


def _firsts(coordinates: Coordinates, starts: int, seed: int) -> list[Array]:
    """Where to begin: nominal values, then a Latin hypercube between the bounds, moved where a problem cannot be scored."""
    from scipy.stats import qmc

    size = len(coordinates.names)
    low, high = coordinates.bounds
    nominal = {row.id: row.nominal for row in coordinates.rows}
    given = {name: value for name, value in nominal.items() if not math.isnan(value)}
    middle = np.where(
        np.isfinite(low) & np.isfinite(high),
        np.clip(low, -1e300, 1e300) / 2 + np.clip(high, -1e300, 1e300) / 2,
        0.0,
    )
    first = middle.copy()
    for k, name in enumerate(coordinates.names):
        if name in given:
            first[k] = coordinates.place_of({**dict.fromkeys(coordinates.names, 1.0), **given})[k]
    random = np.random.default_rng(seed)
    low, high = (
        np.where(np.isfinite(low), low, first - _AROUND),
        np.where(np.isfinite(high), high, first + _AROUND),
    )
    shares = (
        qmc.LatinHypercube(size, rng=random).random(starts - 1)
        if size and starts > 1
        else np.empty((starts - 1, size))
    )
    firsts = [first]
    for share in shares:
        place = low + share * (high - low)
        for _ in range(_TRIES):
            if not coordinates.at(place).failure:
                break
            place = low + random.random(size) * (high - low)
        firsts.append(place)
    return firsts


def descended(coordinates: Coordinates, first: Array) -> tuple[Start, Array, MinimizerResult | None]:
    """Descend from one place by lmfit's least squares, first far and then near: how it ended, and where."""
    begun = coordinates.at(first)
    if begun.failure:
        return Start(math.inf, 1, False, begun.failure), first, None
    if not len(first):
        return Start(begun.objective, 1, True, "nothing is estimated."), first, None
    far, u, result = _searched(coordinates, first, _ROUGH)
    near, u, closer = _searched(coordinates.counted_from(u), u, _SHORT)
    ended = coordinates.at(u).objective
    return replace(near, objective=ended, evaluations=far.evaluations + near.evaluations), u, closer or result


def _searched(
    coordinates: Coordinates, first: Array, tolerance: float
) -> tuple[Start, Array, MinimizerResult | None]:
    """One search by lmfit's least squares within the bounds; `first` itself where it finds nothing better."""
    import lmfit

    begun = coordinates.at(first)
    low, high = coordinates.bounds
    parameters = lmfit.Parameters()
    for k, value in enumerate(first):
        # a search within bounds begins inside them; names mean nothing to lmfit's own expressions
        gap = 1e-9 * (high[k] - low[k]) if np.isfinite(high[k] - low[k]) else 0.0
        inside = float(np.clip(value, low[k] + gap, high[k] - gap))
        parameters.add(f"u{k}", value=inside, min=low[k], max=high[k])
    lost = 1e3 * np.sqrt(begun.objective + 1.0)

    def place(given: Any) -> Array:
        return np.array([each.value for each in given.values()])

    def residuals(given: Any) -> Array:
        found = coordinates.at(place(given))
        return np.full(len(begun.residuals), lost) if found.failure else found.residuals

    def jacobian(given: Any) -> Array:
        found = coordinates.at(place(given), slopes=True)
        if found.failure or found.jacobian is None or not np.all(np.isfinite(found.jacobian)):
            raise CalibrationError(found.failure or "a derivative is not finite.")
        return found.jacobian

    try:
        with np.errstate(invalid="ignore"):  # of lmfit's own standard errors, which are not used
            result = lmfit.minimize(
                residuals, parameters, method="least_squares", jac=jacobian, x_scale="jac", ftol=tolerance, xtol=_SHORT,
                gtol=_SHORT, max_nfev=_MOST_EVALUATIONS, calc_covar=False,
            )  # fmt: skip
    except CalibrationError as error:
        return Start(begun.objective, 1, False, str(error)), first, None
    u, told = place(result.params), str(result.message)
    ended = coordinates.at(u)
    if ended.failure or ended.objective > begun.objective:
        return Start(begun.objective, int(result.nfev), bool(result.success), told), first, result
    return Start(ended.objective, int(result.nfev), bool(result.success), told), u, result
