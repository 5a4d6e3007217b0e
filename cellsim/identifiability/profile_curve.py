"""One profile as numbers and words: where its ends are, whether they are closed, and what bends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.likelihood.priors import Prior
from cellsim.results import LARGEST_QUIET_SHIFT, LEAST_CONTRACTION, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["CLOSED", "Branch", "Curve", "Interval", "threshold"]

CLOSED = "closed"
# a rise that no reader would see
_FLAT = 0.1
# rises nearer to each other than this are one: the width of a line
_SAME = 0.02


def threshold(level: float) -> float:
    """How far -2 ln may rise inside an interval of this level: the chi-square quantile of one degree of freedom.

    Examples
    --------
    >>> round(threshold(0.95), 3)
    3.841
    """
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2) ** 2)


@dataclass(frozen=True, eq=False)
class Branch:
    """The profile path of one mode as far as it was walked, from low to high.

    Attributes
    ----------
    at : array, shape (n_points,)
        The quantity held: whitened for a parameter, in its unit for a prediction.
    rise : array, shape (n_points,)
        -2 ln above the best point known.
    slope : array, shape (n_points,)
        Exact derivative of `rise` with respect to `at`.
    theta : array, shape (n_points, n_parameters)
        The best parameters at each point.
    pressed : tuple of tuple of str
        At each point, other parameters in the far tail of their priors or at the limit.
    held : tuple of tuple of str
        At each point of a profile of the likelihood, parameters that only their prior keeps from going on.
    ends : (str, str)
        How the walk ended below and above: ``"reached"``, ``"tail"``, ``"failed"``, ``"long"``.
    sd : float
        Standard deviation of the quantity by the curvature at this mode's optimum: Laplace's.
    leaps : tuple of float
        Where, going outwards, the floor leapt into another mode.
    evaluations : int
        Gradients spent.
    """

    at: Array
    rise: Array
    slope: Array
    theta: Array
    pressed: tuple[tuple[str, ...], ...]
    held: tuple[tuple[str, ...], ...]
    ends: tuple[str, str]
    sd: float
    leaps: tuple[float, ...] = ()
    evaluations: int = 0

    def held_at(self, place: float) -> tuple[str, ...]:
        """Whose priors decide how high the branch is at a value: of the points around it, and of the lowest."""
        after = int(np.searchsorted(self.at, place))
        around = {max(after - 1, 0), min(after, len(self.at) - 1), int(np.argmin(self.rise))}
        return tuple(dict.fromkeys(name for k in sorted(around) for name in self.held[k]))

    @cached_property
    def _cubic(self) -> Any:
        from scipy.interpolate import CubicHermiteSpline

        return CubicHermiteSpline(self.at, self.rise, self.slope, extrapolate=False)

    def rise_at(self, places: Array) -> Array:
        """Interpolated rise; infinite where this branch was not walked."""
        if len(self.at) < 2:
            return np.where(np.isclose(places, self.at[0]), self.rise[0], np.inf)
        found = np.asarray(self._cubic(places))
        return np.where(np.isnan(found), np.inf, found)

    def below(self, height: float) -> tuple[float, float, bool, bool] | None:
        """Hull of what lies below `height`, and whether each end is a crossing; None when nothing does."""
        if self.rise.min() > height:
            return None
        roots = np.sort(self._cubic.solve(height, extrapolate=False)) if len(self.at) > 1 else np.array([])
        low, high = self.rise[0] > height, self.rise[-1] > height
        low, high = bool(low and roots.size), bool(high and roots.size)
        return (
            float(roots[0] if low else self.at[0]), float(roots[-1] if high else self.at[-1]), low, high
        )  # fmt: skip


@dataclass(frozen=True)
class Interval:
    """What a level of confidence leaves.

    Attributes
    ----------
    level : float
    low, high : float
        In the quantity's unit; the last value looked at where an end is open.
    lower, upper : str
        ``"closed"``, or why the end is open or no end of the data's.
    holders : (tuple of str, tuple of str)
        Parameters whose priors, and not the data, put the lower and the upper end where it is.
    pieces : int
        More than one when values in between are excluded.
    """

    level: float
    low: float
    high: float
    lower: str
    upper: str
    pieces: int = 1
    holders: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def closed(self) -> bool:
        """Whether both ends are."""
        return self.lower == self.upper == CLOSED


@dataclass(frozen=True, eq=False)
class Curve:
    """The profile of one quantity.

    Attributes
    ----------
    name, unit, group, meaning : str
    prediction : bool
        Whether it is a prediction; a parameter otherwise.
    kind : str
        ``"posterior"``, ``"unaided"`` or ``"likelihood"``.
    best : float
        Where the quantity is at the best point known, like `Branch.at`.
    branches : tuple of Branch
        One for each distinct optimum, the best first.
    levels : tuple of float
    prior : Prior or None
        Turns whitened coordinates into values; None for a prediction.
    prior_sd : float
        Of the quantity, linearised at the optimum; 1 for a parameter.
    shift : float
        From the prior's middle, in prior sd, linearised for a prediction.
    touched : bool
        Whether any row depends on it.
    """

    name: str
    unit: str
    group: str
    meaning: str
    prediction: bool
    kind: str
    best: float
    branches: tuple[Branch, ...]
    levels: tuple[float, ...]
    prior: Prior | None
    prior_sd: float
    shift: float
    touched: bool = True

    def __repr__(self) -> str:
        return (
            f"<Curve of {self.name} ({self.kind}): {len(self.branches)} branches, best {self.estimate:.4g}>"
        )

    # ---- numbers ----------------------------------------------------------------------------------

    def value(self, at: Any) -> Any:
        """From the coordinate held to the quantity's own unit."""
        return at if self.prior is None else self.prior.value(np.asarray(at, float))

    @property
    def estimate(self) -> float:
        """The quantity at the best point known, in its unit."""
        return float(self.value(self.best))

    def rise_at(self, at: Array) -> Array:
        """-2 ln above its least value: the lowest of all branches."""
        return np.asarray(np.min([each.rise_at(np.asarray(at, float)) for each in self.branches], axis=0))

    def interval(self, level: float) -> Interval:
        """What is left at this confidence; ``level`` not above the highest one profiled."""
        height = threshold(level)
        found = [(each, hull) for each in self.branches if (hull := each.below(height)) is not None]
        if not found:
            return Interval(level, self.estimate, self.estimate, "nothing walked", "nothing walked")
        lowest = min(found, key=lambda pair: pair[1][0])
        highest = max(found, key=lambda pair: pair[1][1])
        low, high = lowest[1][0], highest[1][1]
        inside = self.rise_at(np.linspace(low, high, 400)[1:-1]) <= height
        edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
        crossed = lowest[1][2], highest[1][3]
        holders = (
            lowest[0].held_at(low) if crossed[0] else (),
            highest[0].held_at(high) if crossed[1] else (),
        )
        lower, upper = (
            self._why(branch, side)
            if not crossed[side]
            else _held(holders[side])
            if holders[side]
            else CLOSED
            for side, branch in enumerate((lowest[0], highest[0]))
        )
        return Interval(
            level,
            float(self.value(low)),
            float(self.value(high)),
            lower,
            upper,
            max(1, len(edges) // 2),
            holders,
        )

    def _why(self, branch: Branch, side: int) -> str:
        end, rise = branch.ends[side], branch.rise[0 if side == 0 else -1]
        if end == "failed":
            return "open: no way on was found here"
        if end == "long":
            return "open: walked too long"
        if self.prior is not None and self.prior.cut[side]:
            return "open: to the end of its window"
        return "open: flat" if rise < _FLAT else "open: rises too little"

    @cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """One for each level."""
        return tuple(self.interval(level) for level in self.levels)

    @property
    def _widest(self) -> Interval:
        return self.intervals[int(np.argmax(self.levels))]

    @cached_property
    def contraction(self) -> float:
        """1 - (half width / prior half width)^2 at the highest level, in the coordinate held; 0 where open."""
        height = threshold(max(self.levels))
        hulls = [hull for each in self.branches if (hull := each.below(height)) is not None]
        if not hulls or not self._widest.closed:
            return 0.0
        half = (max(each[1] for each in hulls) - min(each[0] for each in hulls)) / 2
        return float(1 - (half / (np.sqrt(height) * self.prior_sd)) ** 2)

    @property
    def verdict(self) -> str:
        """Data-driven or prior-driven, see :func:`cellsim.identifiability.identification.verdict`."""
        # without its prior a curve open on both sides has its lowest point anywhere: that it lies far off says nothing
        lost = self.kind != "posterior" and CLOSED not in (self._widest.lower, self._widest.upper)
        return verdict(self.contraction, 0.0 if lost else self.shift, touched=self.touched)

    # ---- drawing ----------------------------------------------------------------------------------

    def drawing(self, points: int = 200) -> dict[str, Any]:
        """What a figure needs, in the quantity's unit.

        Parameters
        ----------
        points : int
            Of the smooth line.

        Returns
        -------
        dict
            ``value``, ``rise`` (the line), ``laplace`` (the parabola of the lowest optimum's curvature),
            ``prior`` (rise of the prior alone, for a parameter, else None),
            ``without_own_prior`` (the line with only the other parameters' priors in it: what data and those
            beliefs say; for the posterior of a parameter, else None),
            ``nodes`` (value, rise of the points computed that the line goes through, none of a higher mode),
            ``levels`` (level -> rise), ``intervals``, ``open``
            (values at which the line stops unfinished), ``held`` (ends that priors of other parameters put), ``kinks`` (value, words), ``name``, ``unit``, ``kind``,
            ``estimate``, ``verdict``.
        """
        low = min(each.at[0] for each in self.branches)
        high = max(each.at[-1] for each in self.branches)
        at = np.unique(np.concatenate([np.linspace(low, high, points), *(each.at for each in self.branches)]))
        last = self._widest
        ends = ((last.low, last.lower, last.holders[0]), (last.high, last.upper, last.holders[1]))
        lowest = min(self.branches, key=lambda each: float(each.rise.min()))
        middle, foot = float(lowest.at[np.argmin(lowest.rise)]), float(lowest.rise.min())
        return {
            "name": self.name,
            "unit": self.unit,
            "kind": self.kind,
            "estimate": self.estimate,
            "verdict": self.verdict,
            "value": np.asarray(self.value(at)),
            "rise": self.rise_at(at),
            "laplace": foot + ((at - middle) / lowest.sd) ** 2,
            "prior": None if self.prior is None else at**2,
            "without_own_prior": self._without_own_prior(at),
            "nodes": self._nodes,
            "levels": {level: threshold(level) for level in self.levels},
            "intervals": self.intervals,
            "open": tuple(value for value, words, by in ends if words != CLOSED and not by),
            "held": tuple(value for value, _, by in ends if by),
            "kinks": self.kinks,
        }

    @property
    def _nodes(self) -> tuple[Array, Array]:
        """The points computed that the line goes through; what was walked above it in another mode is no part of it."""
        at, rise = (
            np.concatenate([getattr(each, name) for each in self.branches]) for name in ("at", "rise")
        )
        lowest = rise <= self.rise_at(at) + _SAME
        return np.asarray(self.value(at[lowest])), rise[lowest]

    def _without_own_prior(self, at: Array) -> Array | None:
        # the path is the same: at a fixed value the own prior is a constant
        if self.prior is None or self.kind != "posterior":
            return None
        apart = self.rise_at(at) - at**2
        return np.asarray(apart - apart[np.isfinite(apart)].min())

    # ---- words ------------------------------------------------------------------------------------

    @cached_property
    def kinks(self) -> tuple[tuple[float, str], ...]:
        """Where the curve bends for a reason that lies elsewhere: (value, sentence)."""
        out: list[tuple[float, str]] = []
        for branch in self.branches:
            middle = int(np.argmin(branch.rise))
            for outward in (range(middle, -1, -1), range(middle, len(branch.at))):
                known = set(branch.pressed[middle])
                for k in outward:
                    new = [name for name in branch.pressed[k] if name not in known]
                    known |= set(new)
                    if new:
                        where = float(self.value(branch.at[k]))
                        side = "below" if k < middle else "above"
                        out.append(
                            (where, f"{side} {where:.3g} it leans on {_list(new)}, out in the far tail")
                        )
            for leap in branch.leaps:
                where = float(self.value(leap))
                out.append((where, f"at {where:.3g} another mode is lower and the curve leaps"))
        return tuple(out)

    def sentence(self) -> str:
        """The whole curve in one sentence or two."""
        from cellsim.results import number

        last = self._widest
        unit = f" {self.unit}" if self.unit and self.unit != "1" else ""
        share = f"{100 * last.level:g} %"
        low, high = number(last.low), number(last.high)
        below, above = last.holders
        if below or above:
            ends = (
                _end(low, unit, last.lower, below, "no lower end down to"),
                _end(high, unit, last.upper, above, "no upper end up to"),
            )
            said = f"{number(self.estimate)}{unit}, {share}: " + ", ".join(ends)
        elif last.closed:
            said = f"{number(self.estimate)}{unit}, {share}: {low} to {high}"
        elif last.lower != CLOSED and last.upper != CLOSED:
            flat = last.lower == last.upper == "open: flat"
            said = (f"the curve is flat: nothing between {low} and {high}{unit} is excluded"
                    if flat else f"open on both sides: nothing between {low} and {high}{unit} is excluded "
                    f"({_reason(last.lower)} below, {_reason(last.upper)} above)")  # fmt: skip
        elif last.lower != CLOSED:
            said = f"below {high}{unit} ({share}); no lower end down to {low} ({_reason(last.lower)})"
        else:
            said = f"above {low}{unit} ({share}); no upper end up to {high} ({_reason(last.upper)})"
        if last.pieces > 1:
            said += f"; in {last.pieces} pieces"
        if not self.touched:
            said += "; no row depends on it"
        elif self.kind == "posterior" and self.contraction < LEAST_CONTRACTION:
            said += "; as wide as the prior" + (
                "" if abs(self.shift) < LARGEST_QUIET_SHIFT else ", but moved"
            )
        return f"{self.name}: {said}" + "".join(f"; {words}" for _, words in self.kinks) + "."


def _reason(words: str) -> str:
    return words.removeprefix("open: ")


def _held(names: Sequence[str]) -> str:
    return f"bounded by the prior of {_list(names)}"


def _end(value: str, unit: str, words: str, holders: Sequence[str], without: str) -> str:
    """One end of an interval that has an end put by a prior."""
    if words == CLOSED:
        return f"{'up' if 'upper' in without else 'down'} to {value}{unit} by the data"
    return f"{value}{unit} {words}" if holders else f"{without} {value} ({_reason(words)})"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def row_of(curve: Curve) -> Mapping[str, Any]:
    """One line of the table of profiles."""
    ends: dict[str, Any] = {}
    for each in curve.intervals:
        share = f"{100 * each.level:g}"
        ends[f"low_{share}"] = each.low if each.lower == CLOSED else np.nan
        ends[f"high_{share}"] = each.high if each.upper == CLOSED else np.nan
    last = curve.intervals[int(np.argmax(curve.levels))]
    reach = np.sqrt(threshold(last.level))
    prior = (
        [np.nan, np.nan] if curve.prior is None else [float(curve.value(side * reach)) for side in (-1, 1)]
    )
    return {
        "name": curve.name,
        "group": curve.group,
        "meaning": curve.meaning,
        "unit": curve.unit,
        "estimate": curve.estimate,
        **ends,
        "lower": last.lower,
        "upper": last.upper,
        "prior_low": prior[0],
        "prior_high": prior[1],
        "contraction": curve.contraction,
        "shift": curve.shift,
        "verdict": curve.verdict,
        "note": "; ".join(words for _, words in curve.kinks),
    }
