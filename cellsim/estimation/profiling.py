"""Profiles of estimation problems: how much worse the best fit becomes when one parameter is held at other values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError, Problem, did_you_mean
from cellsim.estimation.fitting import ProblemFit, descended

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["ProblemProfile", "ProblemProfiles", "profiled"]

# the rise of -2 ln posterior that a step aims at, and where a walk ends
_RISE, _BEYOND = 0.7, 1.2
_MOST_POINTS = 60
_SHORTEST, _LONGEST = 1e-6, 2.0


@dataclass(frozen=True, eq=False)
class ProblemProfile:
    """One parameter's profile.

    Attributes
    ----------
    name : str
    values : array, shape (n,)
        Where it was held, in its own unit, in order.
    rise : array, shape (n,)
        Of the least -2 ln posterior there, above that of the optimum.
    bounds : (float, float)
        Of the parameter: a walk that comes to one ends there.
    """

    name: str
    values: Array
    rise: Array
    bounds: tuple[float, float]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Where the rise stays below the chi-square of one degree of freedom; infinite on a side that the data leave open.

        Parameters
        ----------
        level : float
        """
        from scipy.stats import chi2

        top = float(chi2(1).ppf(level))
        best = int(np.argmin(self.rise))
        root = np.sqrt(np.maximum(self.rise, 0.0))
        ends = []
        for side, way in ((-1, self.values[best::-1]), (1, self.values[best:])):
            there = root[best::-1] if side < 0 else root[best:]
            past = np.flatnonzero(there >= math.sqrt(top))
            if not past.size:
                ends.append(side * math.inf)
                continue
            k = int(past[0])
            share = (math.sqrt(top) - there[k - 1]) / (there[k] - there[k - 1]) if k else 0.0
            ends.append(float(way[k - 1] + share * (way[k] - way[k - 1])) if k else float(way[0]))
        return ends[0], ends[1]


@dataclass(frozen=True, eq=False, repr=False)
class ProblemProfiles(Mapping[str, ProblemProfile]):
    """Profiles by parameter; made by :func:`cellsim.profile`.

    Attributes
    ----------
    fit : ProblemFit
        Where the walks began; the best point of a walk when that was better.
    profiles : mapping of str to ProblemProfile
    interrupted : bool
    """

    fit: ProblemFit
    profiles: Mapping[str, ProblemProfile]
    interrupted: bool = False

    def __getitem__(self, name: str) -> ProblemProfile:
        if name not in self.profiles:
            raise CalibrationError(f"no profile of {name!r}. {did_you_mean(name, self.profiles)}")
        return self.profiles[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.profiles)

    def __len__(self) -> int:
        return len(self.profiles)

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Estimate and interval of each parameter, and which sides the data leave open."""
        import pandas as pd

        rows = []
        for name, each in self.profiles.items():
            low, high = each.interval(level)
            left = [side for side, end in (("below", low), ("above", high)) if math.isinf(end)]
            rows.append((self.fit.values[name], low, high, " and ".join(left)))
        index = pd.Index(list(self.profiles), name="parameter")
        return pd.DataFrame(rows, columns=["estimate", "lower", "upper", "open"], index=index)

    def report(self) -> str:
        """The table as text, and every doubt."""
        doubts = ["interrupted: not every profile was finished."] if self.interrupted else []
        lowest = min((float(each.rise.min()) for each in self.profiles.values()), default=0.0)
        if lowest < -0.05:
            doubts.append(
                f"a walk found a better optimum ({-lowest:.3g} in -2 ln posterior); fit again with more starts."
            )
        lines = [repr(self).strip("<>"), *(f"doubt: {each}" for each in (*doubts, *self.fit.doubts)), ""]
        return "\n".join([*lines, self.table().to_string(float_format=lambda x: f"{x:.4g}")])

    def __repr__(self) -> str:
        return f"<ProblemProfiles of {self.fit.problem.name}: {len(self.profiles)} parameters>"


def profiled(
    fit: ProblemFit, names: Sequence[str] | str | None = None, *, level: float = 0.95
) -> ProblemProfiles:
    """Walk from a fit along each parameter, the others fitted anew at every step; see :func:`cellsim.profile`.

    Parameters
    ----------
    fit : ProblemFit
    names : str or sequence of str, optional
        All that were estimated by default.
    level : float
        Of the interval that a walk goes a little beyond.

    Returns
    -------
    ProblemProfiles

    Raises
    ------
    CalibrationError
        For unknown names, all at once, and a level outside 0 to 1.
    """
    from scipy.stats import chi2

    known = fit.coordinates.names
    asked = known if names is None else (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    wrong = [
        Problem(what=f"no estimated parameter {name!r}.", remedy=did_you_mean(name, known))
        for name in asked
        if name not in known
    ]
    if not 0 < level < 1:
        wrong.append(Problem(what=f"level {level!r} is not between 0 and 1."))
    if wrong:
        raise CalibrationError(wrong)
    top = _BEYOND * float(chi2(1).ppf(level))
    found: dict[str, ProblemProfile] = {}
    interrupted = False
    try:
        for name in asked:
            found[name] = _profile(fit, name, top)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    return ProblemProfiles(fit, found, interrupted)


def _profile(fit: ProblemFit, name: str, top: float) -> ProblemProfile:
    k = fit.coordinates.names.index(name)
    best = fit.coordinates.at(fit.u).objective
    below, above = (_walk(fit, k, side, best, top) for side in (-1, 1))
    points = [*reversed(below), (float(fit.u[k]), 0.0), *above]
    u, rise = np.array(points).T
    values = np.exp(u) if fit.coordinates.logged[k] else u
    row = fit.coordinates.rows[k]
    return ProblemProfile(name, values, rise, (row.lower, row.upper))


def _walk(fit: ProblemFit, k: int, side: int, best: float, top: float) -> list[tuple[float, float]]:
    """Points (coordinate, rise) from the optimum to one side, until the rise is enough or a bound is reached."""
    coordinates = fit.coordinates
    name = coordinates.names[k]
    end = float(coordinates.bounds[0 if side < 0 else 1][k])
    inner = replace(coordinates, held={**coordinates.held, name: 0.0})
    others, here, rise = np.delete(fit.u, k), float(fit.u[k]), 0.0
    curvature = fit.curvature[k, k]
    step = math.sqrt(_RISE / curvature) if curvature > 0 else 0.1
    points: list[tuple[float, float]] = []
    while len(points) < _MOST_POINTS and rise < top and side * (end - here) > 0:
        step = min(max(step, _SHORTEST), _LONGEST)
        there = here + side * min(step, side * (end - here))
        u = np.insert(others, k, there)
        held = replace(inner, held={**coordinates.held, name: coordinates.values(u)[name]})
        start, moved, _ = descended(held, others)
        if not math.isfinite(start.objective):
            if step <= 4 * _SHORTEST:
                break
            step /= 4
            continue
        grown = start.objective - best - rise
        if grown > 4 * _RISE and step > 4 * _SHORTEST:
            step /= 2.5
            continue
        others, here, rise = moved, there, start.objective - best
        points.append((here, rise))
        step *= min(2.0, max(0.5, _RISE / max(grown, 1e-3)))
    return points
