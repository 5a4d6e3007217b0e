"""Where conditions on states turn between two days of LSODA's dense output, and which events that sets off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from cellsim.errors import SimulationError

__all__ = [
    "UNSEEN",
    "Events",
    "Motion",
    "Tolerances",
    "Watch",
    "between_crossings",
    "crossing",
    "endless",
    "same_instant",
]

UNSEEN = 1e-3
"""Of the relative tolerance: absolute error of a state that has been zero so far."""
Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Interpolant = Callable[[Array], Array]

_LOOKS = (0.25, 0.5, 0.75, 1.0)  # where a step is searched for a condition that turned
# of its range: what a line between two looks may leave of a gap, so that no peak of a wave stays between them; the most
# looks
_FOLLOWED, _MOST_LOOKS = 0.005, 1025
# of the day: by rounding alone an event on states is this uncertain, and a sample this near is at its instant
_SAME_INSTANT = 1e-12
# times its absolute error: of a state below that too little is known for what it may grow to; when that is asked
_UNRESOLVED, _RISEN = 1e3, 10.0
_LEAST = 1e-290  # absolute tolerance: LSODA divides by it
_MOST_ROUNDS = 64  # events that set off events at one instant
# an event whose intervals shrink to this share of what they were, by one factor each time, has no end
_VANISHED, _IN_A_ROW, _ONE_FACTOR = 1e-2, 3, 0.2


class Motion(Protocol):
    """What a solver asks of a model whose parameters are settled; `middle` is where conditions on time are asked."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the states, in order."""

    def rates(self, t: float, y: Array, middle: float) -> Array:
        """Rate of change of each state, shape (n_states,)."""

    def jacobian(self, t: float, y: Array, middle: float) -> Array:
        """d rate / d state, shape (n_states, n_states)."""

    @property
    def switches(self) -> int:
        """How many of the gaps, the first, stand in rates."""

    def gaps(self, days: Array, states: Array, middle: float) -> Array:
        """What crosses zero where a condition on states turns, shape (n_days, n_gaps); `states` (n_states, n_days)."""


class Events(Protocol):
    """Conditions on states that set states anew when they turn true; all of them asked together."""

    @property
    def names(self) -> Sequence[str]:
        """Of all events, those that time alone sets off included."""

    @property
    def located(self) -> Sequence[int]:
        """Which events wait for states."""

    @property
    def initially(self) -> Sequence[bool]:
        """Whether what each of these conditions is at the start, before doses, has been so already; else it was false."""

    def truths(self, t: float, y: Array, middle: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of these conditions hold, shape (n_located,)."""

    def fire(self, which: Iterable[int], t: float, y: Array) -> Array:
        """States after these events, all new values computed from `y`."""


@dataclass
class Tolerances:
    """What error is allowed: without an absolute tolerance, one that follows the values of each state.

    A share of the relative error of the largest value so far; a state that has been 0 so far has another.
    """

    rtol: float
    atol: float | None
    shares: Array
    peaks: Array
    least: Array

    @classmethod
    def begun(cls, rtol: float, atol: float | None, shares: Array) -> Tolerances:
        return cls(rtol, atol, shares, np.zeros(shares.shape), np.full(shares.shape, np.inf))

    def of(self, y: Array) -> Array:
        """Absolute error allowed in each state now."""
        if self.atol is not None:
            return np.full(y.shape, self.atol)
        self.peaks = np.maximum(self.peaks, np.abs(y))
        followed = np.maximum(self.shares * self.peaks * self.rtol, _LEAST)
        return np.where(self.peaks > 0, followed, UNSEEN * self.rtol)

    def regrowing(self, rates: Callable[[float, Array], Array], t: float, y: Array, moved: Array) -> Flags:
        """Which states, so far below their largest value that their error counts, grow in proportion to themselves.

        `moved` is how far each would go in the last step at its speed now. Of these the order of size is known at best. An inflow from elsewhere makes a state forget that; doubling all that
        are as small tells the two apart.
        """
        small = np.abs(y)
        was, low = np.isfinite(self.least), self._low(y)
        self.least = np.where(low, np.minimum(self.least, small), np.inf)
        rising = (was & ~low) | (low & ((small > _RISEN * self.least) | (moved * y > y * y)))
        if not rising.any():
            return rising
        slope, own = rates(t, y), low | was
        while own.any():
            more = (rates(t, np.where(own, 2 * y, y)) - slope) * np.sign(y)
            kept = own & (more > 0.5 * np.abs(slope))
            if (kept == own).all():
                return own if (own & rising).any() else own & False
            own = kept
        self.least = np.where(rising & low, small, self.least)
        return own

    def _low(self, y: Array) -> Flags:
        return np.asarray((np.abs(y) < _UNRESOLVED * self.of(y)) & (self.peaks > 0) & (self.atol is None))

    def jumped(self, y: Array) -> None:
        """States that were set anew have not grown to what they are."""
        self.least = np.where(self._low(y), np.abs(y), np.inf)


class Watch:
    """Which conditions on states hold, and when their events fired; `start` and `y` are before any dose."""

    def __init__(self, events: Events, start: float, y: Array) -> None:
        self.events = events
        self.held = np.array(events.initially, dtype=bool) & events.truths(start, y, start)
        self.fired: list[list[float]] = [[] for _ in self.held]

    def settle(self, t: float, y: Array, middle: float, timed: Sequence[int] = ()) -> tuple[Array, list[int]]:
        """Let everything fire that turned true at this instant, and what that sets off.

        All that fire at first, those set off by time alone included, start from the same values. Returns the states,
        and which located events fired.
        """
        all_fired: list[int] = []
        for turn in range(_MOST_ROUNDS):
            holds = self.events.truths(t, y, middle)
            turned = np.flatnonzero(holds & ~self.held).tolist()
            self.held = holds
            now = [*(timed if turn == 0 else ()), *(self.events.located[e] for e in turned)]
            if not now:
                return y, all_fired
            all_fired += turned
            y = self.events.fire(now, t, y)
        raise endless(self.events.names[now[0]], t)

    def turns(self, t: float, y: Array, middle: float) -> bool:
        """Whether a condition that has not been met is met now."""
        return bool((self.events.truths(t, y, middle) & ~self.held).any())

    def count(self, fired: Iterable[int], t: float, before: Array, after: Array) -> None:
        """Refuse an event whose intervals shrink by one factor each time until nothing is left of them.

        One that changes less and less as its instants pile up comes to rest.
        """
        real = (np.abs(after - before) > 0.5 * np.abs(before)).any()
        for e in set(fired):
            days = self.fired[e]
            days.append(t)
            steps = np.diff(days[-_IN_A_ROW - 2 :])
            with np.errstate(all="ignore"):
                ratios = steps[1:] / steps[:-1]
            alike = len(ratios) == _IN_A_ROW and np.ptp(ratios) < _ONE_FACTOR * ratios.min()
            if not (alike and ratios.max() < 1):
                if len(days) > _IN_A_ROW + 2:
                    self.fired[e] = days[-_IN_A_ROW - 2 :]
                continue
            if real and steps[-1] < _VANISHED * (days[1] - days[0]):
                raise endless(self.events.names[self.events.located[e]], t)

    def hold(
        self, fired: Iterable[int], t: float, y: Array, slope: Array, delay: float, middle: float
    ) -> None:
        """Events just fired whose own new values let them turn true again at once have not turned false."""
        again = [e for e in set(fired) if not self.held[e]]
        if again:
            holds = self.events.truths(t + delay, y + delay * slope, middle)
            for e in again:
                self.held[e] = holds[e]

    def turning(
        self, curve: Interpolant, start: float, end: float, middle: float, between: Iterable[float] = ()
    ) -> float | None:
        """First day in (start, end] on which a condition on states has turned true; days to be looked at beside others."""
        before = start
        for day in sorted(
            {*(start + look * (end - start) for look in _LOOKS), *(day for day in between if day < end)}
        ):
            holds = self.events.truths(day, curve(np.array([day]))[:, 0], middle)
            if (holds & ~self.held).any():
                low, high = before, day
                while (half := 0.5 * (low + high)) not in (low, high):
                    there = self.events.truths(half, curve(np.array([half]))[:, 0], middle)
                    low, high = (low, half) if (there & ~self.held).any() else (half, high)
                return high
            self.held = holds  # what has turned false is armed again
            before = day
        return None


def endless(name: str, t: float) -> SimulationError:
    """The error of a run in which an event fires without end."""
    return SimulationError(
        f"The solution cannot be carried past day {t:.6g}: events set each other off without end; {name} fires "
        "again and again."
    )


def _followed(gaps: Callable[[Array], Array], start: float, end: float) -> tuple[Array, Array]:
    """Days of a step, and gaps there, between which straight lines follow every gap."""
    looks = np.linspace(start, end, 9)
    seen = gaps(looks)
    while seen.size and len(looks) < _MOST_LOOKS:
        between = gaps(0.5 * (looks[1:] + looks[:-1]))
        rest = np.abs(between - 0.5 * (seen[1:] + seen[:-1])).max(axis=0)
        looks = np.linspace(start, end, 2 * len(looks) - 1)
        both = np.empty((len(looks), seen.shape[1]))
        both[::2], both[1::2] = seen, between
        seen = both
        if (rest <= _FOLLOWED * np.ptp(seen, axis=0) + 1e-12 * np.abs(seen).max(axis=0)).all():
            break
    return looks, seen


def between_crossings(
    motion: Motion, curve: Interpolant, start: float, end: float, middle: float
) -> list[float]:
    """Days between those on which gaps cross zero in a step, and where they come nearest to it.

    A condition made of several may hold between two crossings only, and one that is met and left again at its nearest.
    """

    def gaps(days: Array) -> Array:
        return motion.gaps(days, curve(days), middle)

    def gap(day: float, i: int) -> float:
        return float(gaps(np.array([day]))[0, i])

    looks, seen = _followed(gaps, start, end)
    if not seen.size:
        return []
    from scipy.optimize import minimize_scalar

    sides, crossings, nearest = seen > 0, list[float](), list[float]()
    for k, i in zip(*np.nonzero(sides[1:] != sides[:-1]), strict=True):
        low, high = float(looks[k]), float(looks[k + 1])
        for _ in range(50):
            half = 0.5 * (low + high)
            low, high = (half, high) if (gap(half, i) > 0) == sides[k, i] else (low, half)
        crossings.append(high)
    away = np.abs(seen)
    least = (
        (away[1:-1] < away[:-2])
        & (away[1:-1] <= away[2:])
        & (sides[2:] == sides[:-2])
        & (sides[1:-1] == sides[2:])
    )
    for k, i in zip(*np.nonzero(least), strict=True):
        sign = 1.0 if sides[k, i] else -1.0
        found = minimize_scalar(
            lambda day, i=i, sign=sign: sign * gap(day, i),
            bounds=(looks[k], looks[k + 2]),
            method="bounded",
            options={"xatol": 1e-9 * (end - start)},
        )
        nearest += [float(found.x)] if found.fun < 0 else []
    crossings.sort()
    return [*nearest, *(0.5 * (a + b) for a, b in pairwise(crossings) if b - a > same_instant(b))]


def crossing(
    motion: Motion,
    curve: Interpolant,
    start: float,
    end: float,
    middle: float,
    tolerances: Tolerances,
) -> tuple[float, float, bool] | None:
    """Where inside a step a condition on states first turns, by more than the error.

    That day, a day on which it surely has turned, and whether rates depend on it. What only events wait for counts if
    it turns back within the step.
    """

    def gaps(days: Array) -> Array:
        return motion.gaps(days, curve(days), middle)

    from scipy.optimize import minimize_scalar

    looks, seen = _followed(gaps, start, end)
    found = list[tuple[float, float, bool]]()
    if not seen.size:
        return None
    for i in range(seen.shape[1]):
        sign = 1.0 if seen[0, i] > 0 else -1.0

        def away(day: float, i: int = i, sign: float = sign) -> float:
            return float(sign * gaps(np.array([day]))[0, i])

        crossed = np.flatnonzero(sign * seen[:, i] < 0)
        if i >= motion.switches and sign * seen[-1, i] < 0:
            continue
        day = float(looks[crossed[0]]) if crossed.size else end
        if not crossed.size:
            near = min(max(int(np.argmin(sign * seen[:, i])), 1), len(looks) - 2)
            before, here, after = sign * seen[near - 1 : near + 2, i]
            bend = before - 2 * here + after
            if bend <= 0 or here - 0.125 * (after - before) ** 2 / bend > 0.2 * here:
                continue  # a parabola through the three nearest to zero stays away from it
            bounds = (looks[near - 1], looks[near + 1])
            least = minimize_scalar(
                away, bounds=bounds, method="bounded", options={"xatol": 1e-9 * (end - start)}
            )
            day = float(least.x)
            if least.fun >= 0:
                continue
        y = curve(np.array([day]))[:, 0]
        # at the day itself, then with each state moved by its error
        moved = np.column_stack([y, y[:, None] + np.diag(tolerances.of(y) + tolerances.rtol * np.abs(y))])
        at, *others = motion.gaps(np.full(moved.shape[1], day), moved, middle)[:, i]
        if abs(at) > np.abs(np.array(others) - at).sum():
            low, high = start, day
            while (half := 0.5 * (low + high)) not in (low, high):
                low, high = (low, half) if away(half) < 0 else (half, high)
            turn = low if low > start else high  # rates are asked on this side of it
            if turn < end:
                found.append((turn, day, i < motion.switches))
    return min(found, default=None)


def same_instant(day: float) -> float:
    """By how much an instant on states is uncertain, by rounding alone."""
    return _SAME_INSTANT * max(1.0, abs(day))
