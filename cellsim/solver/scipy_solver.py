"""The second solver: SciPy's LSODA on the same right-hand side, slow and independent.

It restarts at every dose, at every change of an inflow and at every instant that a condition on time
alone turns; conditions and events that depend on states are located on the dense output of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from scipy.integrate import LSODA
from scipy.optimize import minimize_scalar

from cellsim.errors import SimulationError

__all__ = ["Events", "Motion", "breakdown", "integrate"]

PEAK_SHARE = UNSEEN = 1e-3
Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Interpolant = Callable[[Array], Array]

_LOOKS = (0.25, 0.5, 0.75, 1.0)  # where a step is searched for a condition that turned
_FOLLOWED, _MOST_LOOKS = (
    0.1,
    257,
)  # of its range: what a line between two looks may leave of a gap; the most looks
_LAG = 1e3  # how much larger than wanted a tolerance may be before LSODA starts anew
_TINY = 1e-9  # a stretch this short (relative to the day) is crossed in one explicit step
_PARTS = 8  # into which every stretch between two known days is stepped at least
# of the day: by rounding alone an event on states is this uncertain, and a sample this near is at its instant
_SAME_INSTANT = 1e-12
# a run that repeats itself is judged by this share of all evaluations, twice in a row
_JUDGED, _REPEATS = 0.01, 0.05
# times its absolute error: of a state below that too little is known for what it may grow to; when that is asked
_UNRESOLVED, _RISEN = 1e3, 10.0
# of the largest value of a state, each tried where the one before did not resolve what grew again by itself
_SHARES = (PEAK_SHARE, 1e-12, 1e-30, 1e-80, 1e-200)
_LEAST = 1e-290  # absolute tolerance: LSODA divides by it
_MOST_ROUNDS = 64  # events that set off events at one instant
_NO_DELAY = 1e-8  # of the time scale: what an event brings about this soon is of the same instant
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

    def gaps(self, t: float, y: Array, middle: float) -> Array:
        """What crosses zero where a condition on states turns, shape (n_gaps,)."""


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
class _Tolerances:
    """What error is allowed: without an absolute tolerance, one that follows the values of each state.

    A share of the relative error of the largest value so far; a state that has been 0 so far has another.
    """

    rtol: float
    atol: float | None
    shares: Array
    peaks: Array
    least: Array

    @classmethod
    def begun(cls, rtol: float, atol: float | None, shares: Array) -> _Tolerances:
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


class _RegrownError(Exception):
    """States grow by themselves from where their tolerance does not resolve them."""

    def __init__(self, states: Flags, t: float, y: Array, rates: Array) -> None:
        super().__init__()
        self.states, self.t, self.y, self.rates = states, t, y.copy(), rates


class _StopError(Exception):
    """The right-hand side was asked for what it cannot give, or once too often."""

    def __init__(self, why: str, t: float, y: Array, rates: Array) -> None:
        super().__init__(why)
        self.why, self.t, self.y, self.rates = why, t, y.copy(), rates


class _Work:
    """How often rates may be asked for, and whether a motion that only repeats itself can end within that.

    Two windows of the same work are compared. Where every state has gone through the same range and no more time
    has gone by, what follows will be like them; anything that grows, decays or drifts is let go on.
    """

    def __init__(self, most: int) -> None:
        self.most, self.asked, self.window = most, 0, max(int(_JUDGED * most), 1)
        self.windows: list[tuple[float, Array, Array]] = []  # days gone by, least and largest states
        self.begun: tuple[float, float] | None = None  # the day a window begins, the end of its stretch
        self.low = self.high = np.zeros(0)
        self.full = 0

    def needed(self, t: float, y: Array, until: float) -> float:
        """Rates to be asked for in all to come to the end of this stretch, after a step to `t`; 0 if not known."""
        if self.begun is None or self.begun[1] != until:
            self.windows = []
            self._begin(t, y, until)
            return 0.0
        self.low, self.high = np.minimum(self.low, y), np.maximum(self.high, y)
        if self.asked < self.full:
            return 0.0
        self.windows = [*self.windows[-1:], (t - self.begun[0], self.low, self.high)]
        self._begin(t, y, until)
        if len(self.windows) < 2:
            return 0.0
        (passed, *before), (passing, low, high) = self.windows
        wide = _REPEATS * (high - low)
        alike = all((np.abs(a - b) <= wide).all() for a, b in zip(before, (low, high), strict=True))
        if not alike or abs(passing - passed) > _REPEATS * passed:
            return 0.0
        return self.asked + self.window * (until - t) / passing

    def _begin(self, t: float, y: Array, until: float) -> None:
        self.begun, self.full = (t, until), self.asked + self.window
        self.low = self.high = np.array(y)


@dataclass
class _Steps:
    starts: list[float]
    ends: list[float]
    curves: list[Interpolant]

    def add(self, start: float, end: float, curve: Interpolant) -> None:
        self.starts.append(start)
        self.ends.append(end)
        self.curves.append(curve)

    def states(self, steps: np.ndarray[Any, Any], times: Array) -> Array:
        """States at days inside given steps, shape (n, n_states)."""
        found = None
        for step in np.unique(steps):
            here = steps == step
            curve = np.atleast_2d(self.curves[step](times[here]).T)
            if found is None:
                found = np.empty((len(times), curve.shape[1]))
            found[here] = curve
        assert found is not None
        return found


def breakdown(
    names: Sequence[str], t: float, y: Array, rates: Array, *, rtol: float, atol: float | None, why: str
) -> SimulationError:
    """The error of a run that cannot go on: time, state and the fastest-changing name.

    Parameters
    ----------
    names : sequence of str
        Of the states.
    t, y, rates : float, (n_states,) arrays
        The last day that was reached, the states and their rates of change there.
    rtol, atol : float
        What the speed of a change is measured by.
    why : str
        What happened, as a sentence.
    """
    weight = np.abs(rates) / ((UNSEEN * rtol if atol is None else atol) + rtol * np.abs(y))
    fastest = int(np.argmax(np.where(np.isfinite(rates) & np.isfinite(y), weight, np.inf)))
    return SimulationError(
        f"The solution cannot be carried past day {t:.6g}: {why} {names[fastest]} changes fastest, "
        f"at {rates[fastest]:.4g} per day, and stands at {y[fastest]:.4g}."
    )


class _Watch:
    """Which conditions on states hold, and when their events fired; `start` and `y` are before any dose."""

    def __init__(self, events: Events, start: float, y: Array) -> None:
        self.events = events
        self.held = np.array(events.initially, dtype=bool) & events.truths(start, y, start)
        self.fired: list[list[float]] = [[] for _ in self.held]

    def settle(
        self, t: float, y: Array, middles: Sequence[float], timed: Sequence[int] = ()
    ) -> tuple[Array, list[int]]:
        """Let everything fire that turned true at this instant, and what that sets off.

        Conditions are asked at each of `middles` in turn; all that fire at first, those set off by time alone
        included, start from the same values. Returns the states, and which located events fired.
        """
        all_fired: list[int] = []
        for turn in range(_MOST_ROUNDS):
            turned: set[int] = set()
            for middle in middles if turn == 0 else middles[-1:]:
                holds = self.events.truths(t, y, middle)
                turned |= {int(e) for e in np.flatnonzero(holds & ~self.held)}
                self.held = holds
            now = [*(timed if turn == 0 else ()), *(self.events.located[e] for e in sorted(turned))]
            if not now:
                return y, all_fired
            all_fired += sorted(turned)
            y = self.events.fire(now, t, y)
        raise _endless(self.events.names[now[0]], t)

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
                raise _endless(self.events.names[self.events.located[e]], t)

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


def _endless(name: str, t: float) -> SimulationError:
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


def _between_crossings(
    motion: Motion, curve: Interpolant, start: float, end: float, middle: float
) -> list[float]:
    """Days between those on which gaps cross zero in a step, and where they come nearest to it.

    A condition made of several may hold between two crossings only, and one that is met and left again at its nearest.
    """

    def gaps(days: Array) -> Array:
        return np.array([motion.gaps(day, y, middle) for day, y in zip(days, curve(days).T, strict=True)])

    def gap(day: float, i: int) -> float:
        return float(gaps(np.array([day]))[0, i])

    looks, seen = _followed(gaps, start, end)
    if not seen.size:
        return []
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
    return [*nearest, *(0.5 * (a + b) for a, b in pairwise(crossings) if b - a > _same_instant(b))]


def _crossing(
    motion: Motion,
    curve: Interpolant,
    start: float,
    end: float,
    middle: float,
    tolerances: _Tolerances,
) -> tuple[float, float, bool] | None:
    """Where inside a step a condition on states first turns, by more than the error.

    That day, a day on which it surely has turned, and whether rates depend on it. What only events wait for counts if
    it turns back within the step.
    """

    def gaps(days: Array) -> Array:
        states = curve(days)
        return np.array([motion.gaps(day, y, middle) for day, y in zip(days, states.T, strict=True)])

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
        moved = [
            motion.gaps(day, y + step, middle)[i]
            for step in np.diag(tolerances.of(y) + tolerances.rtol * np.abs(y))
        ]
        at = motion.gaps(day, y, middle)[i]
        if abs(at) > np.abs(np.array(moved) - at).sum():
            low, high = start, day
            while (half := 0.5 * (low + high)) not in (low, high):
                low, high = (low, half) if away(half) < 0 else (half, high)
            turn = low if low > start else high  # rates are asked on this side of it
            if turn < end:
                found.append((turn, day, i < motion.switches))
    return min(found, default=None)


def integrate(
    motion: Motion,
    events: Events | None,
    y: Array,
    *,
    start: float,
    end: float,
    boluses: Sequence[tuple[float, int, float]],
    inflows: Sequence[tuple[float, float, int, float]],
    breaks: Iterable[float] = (),
    firings: Iterable[tuple[float, int]] = (),
    rtol: float,
    atol: float | None,
    max_evaluations: int = 1_000_000,
) -> tuple[Array, Array, Callable[[np.ndarray[Any, Any], Array], Array]]:
    """Carry the states from `start` to `end` through all doses and events.

    Parameters
    ----------
    motion, events
        The model with its parameters settled.
    y : numpy.ndarray, shape (n_states,)
        States at `start`, before any dose of that day.
    start, end : float
        Days. Doses outside them are not given.
    boluses : sequence of (day, state index, amount)
        Jumps.
    inflows : sequence of (on, off, state index, rate)
        Constant inflows, in units of the state per day.
    breaks : iterable of float
        Other days on which the right-hand side may jump.
    firings : iterable of (day, event)
        Events that time alone sets off.
    rtol, atol : float
        Error allowed per step, relative and absolute; left out, the absolute one follows the values of each state.
    max_evaluations : int
        How often the rates may be asked for in all: a few minutes' work, twenty times what the case needs at a
        tolerance of 1e-10.

    Returns
    -------
    starts, ends : numpy.ndarray
        Days each step begins and ends; the last step has no length.
    states : callable
        From step numbers and days to states.

    Raises
    ------
    SimulationError
        With time, state and the fastest-changing name.
    """
    shares, y = np.zeros(len(y), int), np.array(y, dtype=float)
    while True:
        try:
            tolerances = _Tolerances.begun(rtol, atol, np.array(_SHARES)[shares])
            return _carried(
                motion,
                events,
                y.copy(),
                start,
                end,
                boluses,
                inflows,
                breaks,
                firings,
                tolerances,
                max_evaluations,
            )
        except _RegrownError as error:
            shares = shares + error.states
            if shares.max() == len(_SHARES):
                why = f"a state grows by itself from less than {_SHARES[-1]:g} of its largest value, which cannot be told."
                raise breakdown(
                    motion.names, error.t, error.y, error.rates, rtol=rtol, atol=atol, why=why
                ) from None


def _carried(
    motion: Motion,
    events: Events | None,
    y: Array,
    start: float,
    end: float,
    boluses: Sequence[tuple[float, int, float]],
    inflows: Sequence[tuple[float, float, int, float]],
    breaks: Iterable[float],
    firings: Iterable[tuple[float, int]],
    tolerances: _Tolerances,
    max_evaluations: int,
) -> tuple[Array, Array, Callable[[np.ndarray[Any, Any], Array], Array]]:
    """One run with these tolerances."""
    days = {*breaks, *(day for day, _, _ in boluses)}
    days |= {day for on, off, _, _ in inflows for day in (on, off)}
    stops = [start, *sorted(day for day in days if start < day < end)]
    stops += [end] if end > start else []
    steps, work = _Steps([], [], []), _Work(max_evaluations)
    timed: dict[float, list[int]] = {}
    for day, event in firings:
        timed.setdefault(day, []).append(event)
    watch = _Watch(events, start, y) if events else None
    inflow, before = np.zeros_like(y), start
    for place, t in enumerate(stops):
        for day, state, amount in boluses:
            if day == t:
                y[state] += amount
        until = stops[place + 1] if place + 1 < len(stops) else float(np.nextafter(t, np.inf))
        middle, fired = 0.5 * (t + until) if place + 1 < len(stops) else until, list[int]()
        if watch:
            y, fired = watch.settle(t, y, (t, middle), timed.get(t, ()))
        if place + 1 < len(stops):
            inflow = np.zeros_like(y)
            for on, off, state, rate in inflows:
                if on <= t < off:
                    inflow[state] += rate
            now = t
            while now < until:
                now, y, fired = _stretch(
                    motion,
                    watch,
                    fired,
                    steps,
                    now,
                    until,
                    y,
                    inflow,
                    middle,
                    tolerances,
                    work,
                    (until - t) / _PARTS,
                )
        elif watch and place:
            # a condition that rounding alone has kept from turning on the last day
            soon = y + _same_instant(t) * (motion.rates(t, y, before) + inflow)
            turned = watch.events.truths(t, soon, before) & ~watch.held
            if turned.any():
                y, fired = watch.settle(t, soon, (before,))
        before = middle
    last = y.copy()
    steps.add(end, end, lambda times: np.repeat(last[:, None], len(times), axis=1))
    return np.array(steps.starts), np.array(steps.ends), steps.states


def _same_instant(day: float) -> float:
    return _SAME_INSTANT * max(1.0, abs(day))


def _line(start: float, y: Array, slope: Array) -> Interpolant:
    return lambda times: y[:, None] + slope[:, None] * (times - start)


def _stretch(
    motion: Motion,
    watch: _Watch | None,
    fired: Sequence[int],
    steps: _Steps,
    t: float,
    until: float,
    y: Array,
    inflow: Array,
    middle: float,
    tolerances: _Tolerances,
    work: _Work,
    longest: float,
) -> tuple[float, Array, list[int]]:
    """Go on until the next stop or the next event, whichever comes first; `fired` are the events just gone by."""

    def rates(day: float, states: Array) -> Array:
        found = motion.rates(day, states, middle) + inflow
        if not np.isfinite(found).all():
            raise _StopError("a rate is not finite.", day, states, found)
        work.asked += 1
        if work.asked > work.most:
            why = "as many rates were asked for as are allowed; looser tolerances need fewer."
            raise _StopError(why, day, states, found)
        return found

    def jacobian(day: float, states: Array) -> Array:
        return motion.jacobian(day, states, middle)

    rtol, atol, goal = tolerances.rtol, tolerances.atol, until
    tolerances.jumped(y)
    try:
        if watch and fired:
            slope = rates(t, y)
            scale = np.max(np.abs(slope) / (tolerances.of(y) + np.abs(y)), initial=1.0 / (until - t))
            watch.hold(fired, t, y, slope, _NO_DELAY / scale, middle)
        while True:
            if goal - t <= _TINY * max(1.0, abs(t)):
                slope, first = rates(t, y), y.copy()
                steps.add(t, goal, _line(t, first, slope))
                return goal, first + slope * (goal - t), []
            allowed = tolerances.of(y)
            solver = LSODA(rates, t, y, goal, rtol=rtol, atol=allowed, jac=jacobian, max_step=longest)
            while solver.status == "running":
                message = solver.step()
                if solver.status == "failed":
                    found = motion.rates(solver.t, solver.y, middle) + inflow
                    why = f"the step became too small ({(message or 'no reason given').rstrip('.')})."
                    raise breakdown(motion.names, solver.t, solver.y, found, rtol=rtol, atol=atol, why=why)
                before, now, curve = solver.t_old, solver.t, solver.dense_output()
                if (needed := work.needed(now, solver.y, until)) > 2.0 * work.most:
                    why = (
                        f"the motion repeats itself, and to go on to day {until:.6g} rates would be asked for some "
                        f"{needed:.1g} times, of which {work.most:.1g} are allowed; looser tolerances need fewer."
                    )
                    found = motion.rates(now, solver.y, middle) + inflow
                    raise _StopError(why, now, solver.y, found)
                turned = _crossing(motion, curve, before, now, middle, tolerances)
                if watch:
                    more = _between_crossings(motion, curve, before, now, middle)
                    day = watch.turning(curve, before, turned[1] if turned else now, middle, more)
                    if day is None and turned and not turned[2]:
                        day = watch.turning(
                            curve, turned[1], now, middle, [each for each in more if each > turned[1]]
                        )
                    if day is not None:
                        begins = day - _same_instant(day)
                        begins = begins if begins > before else day
                        steps.add(before, begins, curve)
                        reached = curve(np.array([day]))[:, 0]
                        y, fired = watch.settle(day, reached, (middle,))
                        watch.count(fired, day, reached, y)
                        return begins, y, list(fired)
                if turned and turned[2]:
                    # rates from behind the turn are in this step: once more, only as far as there
                    t, y, goal = before, curve(np.array([before]))[:, 0], turned[0]
                    break
                steps.add(before, now, curve)
                speed = curve.yh[:, 1] / curve.h if now > before else np.zeros_like(solver.y)
                grown = tolerances.regrowing(rates, now, solver.y, speed * (now - before))
                if grown.any():
                    raise _RegrownError(grown, now, solver.y, rates(now, solver.y))
                if (allowed > _LAG * tolerances.of(solver.y)).any():  # LSODA keeps to those it began with
                    return now, np.array(solver.y), []
            else:
                return goal, np.array(solver.y), []
    except _StopError as error:
        where = (error.t, error.y, error.rates)
        raise breakdown(motion.names, *where, rtol=rtol, atol=atol, why=error.why) from None
