"""The second solver: SciPy's LSODA on the same right-hand side, slow and independent.

It restarts at every dose, at every change of an inflow and at every instant that a condition on time
alone turns; conditions and events that depend on states are located on the dense output of each step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import SimulationError
from cellsim.solver.scipy_crossings import (
    UNSEEN,
    Events,
    Motion,
    Tolerances,
    Watch,
    between_crossings,
    crossing,
    endless,
    same_instant,
)

if TYPE_CHECKING:
    from cellsim.solver.conditions import Firing

__all__ = ["breakdown", "integrate"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Interpolant = Callable[[Array], Array]

_LAG = 1e3  # how much larger than wanted a tolerance may be before LSODA starts anew
_TINY = 1e-9  # a stretch this short (relative to the day) is crossed in one explicit step
_PARTS = 8  # into which every stretch between two known days is stepped at least
# a run that repeats itself, or goes on by less than the third of these shares, is judged by the first of all evaluations, twice in a row
_JUDGED, _REPEATS, _STANDS = 0.01, 0.05, 1e-5
# of the largest value of a state, each tried where the one before did not resolve what grew again by itself
_SHARES = (1e-3, 1e-12, 1e-30, 1e-80, 1e-200)
# so many turns of conditions on states within this share of the time: what holds on the two sides leads back to them
_TURNS, _NO_TIME = 200, 1e-7
_SHORTEST = 1e-300  # days that are divided by
_FEW = 500  # evaluations: a motion may begin as slowly as that
_NO_DELAY = 1e-8  # of the time scale: what an event brings about this soon is of the same instant


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
    has gone by, what follows will be like them; anything that grows, decays or drifts is let go on, unless hardly any time
    goes by.
    """

    def __init__(self, most: int) -> None:
        self.most, self.asked, self.window = most, 0, max(int(_JUDGED * most), 1)
        self.windows: list[tuple[float, Array, Array]] = []  # days gone by, least and largest states
        self.begun: tuple[float, float] | None = None  # the day a window begins, the end of its stretch
        self.low = self.high = np.zeros(0)
        self.full, self.why = 0, ""
        self.turns: deque[float] = deque(maxlen=_TURNS)

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
        alike = alike and abs(passing - passed) <= _REPEATS * passed
        self.why = "the motion repeats itself" if alike else "hardly any time goes by"
        if not alike and (self.window < _FEW or max(passed, passing) > _STANDS * (until - t)):
            return 0.0
        return self.asked + self.window * (until - t) / max(passing, _SHORTEST)

    def slides(self, day: float, until: float) -> bool:
        """Whether conditions on states, one of which turns on this day, have turned back and forth without end."""
        self.turns.append(day)
        return len(self.turns) == _TURNS and day - self.turns[0] <= _NO_TIME * max(abs(day), until - day)

    def _begin(self, t: float, y: Array, until: float) -> None:
        self.begun, self.full = (t, until), self.asked + self.window
        self.low = self.high = np.array(y)


@dataclass
class _Steps:
    starts: list[float]
    ends: list[float]
    curves: list[Interpolant]

    def add(self, start: float, end: float, curve: Interpolant) -> None:
        if self.ends and self.starts[-1] == self.ends[-1] == start:
            # what happens just after an instant is not there yet at that instant
            start = float(np.nextafter(start, np.inf))
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
    firings: Iterable[Firing] = (),
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
    firings : iterable of Firing
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
            tolerances = Tolerances.begun(rtol, atol, np.array(_SHARES)[shares])
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
    firings: Iterable[Firing],
    tolerances: Tolerances,
    max_evaluations: int,
) -> tuple[Array, Array, Callable[[np.ndarray[Any, Any], Array], Array]]:
    """One run with these tolerances."""
    days = {*breaks, *(day for day, _, _ in boluses)}
    days |= {day for on, off, _, _ in inflows for day in (on, off)}
    stops = [start, *sorted(day for day in days if start < day < end)]
    stops += [end] if end > start else []
    steps, work = _Steps([], [], []), _Work(max_evaluations)
    timed: dict[tuple[float, bool], list[int]] = {}
    for day, event, after in firings:
        timed.setdefault((day, after), []).append(event)
    watch = Watch(events, start, y) if events else None
    inflow, before = np.zeros_like(y), start
    for place, t in enumerate(stops):
        for day, state, amount in boluses:
            if day == t:
                y[state] += amount
        until = stops[place + 1] if place + 1 < len(stops) else float(np.nextafter(t, np.inf))
        middle, fired = 0.5 * (t + until) if place + 1 < len(stops) else until, list[int]()
        if watch:
            y, fired = watch.settle(t, y, t, timed.get((t, False), ()))
        if place + 1 < len(stops):
            if watch:
                at = y
                y, more = watch.settle(t, at, middle, timed.get((t, True), ()))
                fired += more
                if y is not at:
                    steps.add(t, t, _constant(at))
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
            soon = y + same_instant(t) * (motion.rates(t, y, before) + inflow)
            turned = watch.events.truths(t, soon, before) & ~watch.held
            if turned.any():
                y, fired = watch.settle(t, soon, before)
        before = middle
    steps.add(end, end, _constant(y))
    return np.array(steps.starts), np.array(steps.ends), steps.states


def _constant(y: Array) -> Interpolant:
    kept = y.copy()
    return lambda times: np.repeat(kept[:, None], len(times), axis=1)


def _line(start: float, y: Array, slope: Array) -> Interpolant:
    return lambda times: y[:, None] + slope[:, None] * (times - start)


def _stretch(
    motion: Motion,
    watch: Watch | None,
    fired: Sequence[int],
    steps: _Steps,
    t: float,
    until: float,
    y: Array,
    inflow: Array,
    middle: float,
    tolerances: Tolerances,
    work: _Work,
    longest: float,
) -> tuple[float, Array, list[int]]:
    """Go on until the next stop or the next event, whichever comes first; `fired` are the events just gone by."""
    from scipy.integrate import LSODA  # a quarter of a second, of the few who ask for a second solver

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
                        f"{work.why}, and to go on to day {until:.6g} rates would be asked for some "
                        f"{needed:.1g} times, of which {work.most:.1g} are allowed; looser tolerances need fewer."
                    )
                    found = motion.rates(now, solver.y, middle) + inflow
                    raise _StopError(why, now, solver.y, found)
                turned = crossing(motion, curve, before, now, middle, tolerances)
                if watch:
                    more = between_crossings(motion, curve, before, now, middle)
                    day = watch.turning(curve, before, turned[1] if turned else now, middle, more)
                    if day is None and turned and not turned[2]:
                        day = watch.turning(
                            curve, turned[1], now, middle, [each for each in more if each > turned[1]]
                        )
                    if day is not None:
                        reached = curve(np.array([day]))[:, 0]
                        begins = day - same_instant(day)
                        # an instant that the clock alone decides is exact
                        if begins <= before or watch.turns(day, curve(np.array([begins]))[:, 0], middle):
                            begins = day
                        steps.add(before, begins, curve)
                        y, fired = watch.settle(day, reached, middle)
                        watch.count(fired, day, reached, y)
                        if fired and work.slides(day, until):
                            raise endless(watch.events.names[watch.events.located[fired[-1]]], day)
                        return begins, y, list(fired)
                if turned and turned[2]:
                    if work.slides(turned[0], until):
                        why = "a condition on states turns back and forth without end: the rates on its two sides lead back to it."
                        found = motion.rates(before, curve(np.array([before]))[:, 0], middle) + inflow
                        raise _StopError(why, before, curve(np.array([before]))[:, 0], found)
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
