"""The second solver: SciPy's LSODA on the same right-hand side, slow and independent.

It restarts at every dose, at every change of an inflow and at every instant that a condition on time
alone turns; events that depend on states are located on the dense output of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.integrate import LSODA

from cellsim.errors import SimulationError

__all__ = ["Events", "Motion", "breakdown", "integrate"]

PEAK_SHARE = UNSEEN = 1e-3
Array = np.ndarray[Any, np.dtype[np.float64]]
Interpolant = Callable[[Array], Array]

_LOOKS = (0.25, 0.5, 0.75, 1.0)  # where a step is searched for a condition that turned
_LAG = 1e3  # how much larger than wanted a tolerance may be before LSODA starts anew
_TINY = 1e-9  # a stretch this short (relative to the day) is crossed in one explicit step
_MOST_ROUNDS = 100  # events that set off events at one instant


class Motion(Protocol):
    """What a solver asks of a model whose parameters are settled."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the states, in order."""

    def rates(self, t: float, y: Array) -> Array:
        """Rate of change of each state, shape (n_states,)."""

    def jacobian(self, t: float, y: Array) -> Array:
        """d rate / d state, shape (n_states, n_states)."""


class Events(Protocol):
    """Conditions that set states anew when they turn true; all of them asked together."""

    @property
    def by_time(self) -> Sequence[bool]:
        """Whether each condition depends on time alone: these turn at breaks, and are not searched for."""

    @property
    def initially(self) -> Sequence[bool]:
        """What each condition is taken to have been just before the start."""

    def truths(self, t: float, y: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which conditions hold, shape (n_events,)."""

    def fire(self, which: Iterable[int], t: float, y: Array) -> Array:
        """States after these events, all new values computed from `y`."""


@dataclass
class _Tolerances:
    """What error is allowed: without an absolute tolerance, one that follows the values of each state.

    A share of the relative error of the largest value so far; a state that has been 0 so far has another.
    """

    rtol: float
    atol: float | None
    peaks: Array

    def of(self, y: Array) -> Array:
        """Absolute error allowed in each state now."""
        if self.atol is not None:
            return np.full(y.shape, self.atol)
        self.peaks = np.maximum(self.peaks, np.abs(y))
        return np.where(self.peaks > 0, PEAK_SHARE * self.peaks, UNSEEN) * self.rtol


class _StopError(Exception):
    """The right-hand side was asked for what it cannot give, or once too often."""

    def __init__(self, why: str, t: float, y: Array, rates: Array) -> None:
        super().__init__(why)
        self.why, self.t, self.y, self.rates = why, t, y.copy(), rates


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


def _after(t: float) -> float:
    """The instant just after `t`: what a condition such as ``time > 7`` is asked at a restart on day 7."""
    return float(np.nextafter(t, np.inf))


def _settle(
    events: Events, held: np.ndarray[Any, Any], t: float, y: Array
) -> tuple[np.ndarray[Any, Any], Array]:
    """Let everything fire that turned true at this instant, and what that sets off."""
    for _ in range(_MOST_ROUNDS):
        holds = events.truths(_after(t), y)
        turned = np.flatnonzero(holds & ~held)
        held = holds
        if not len(turned):
            return held, y
        y = events.fire(turned, t, y)
    raise SimulationError(f"Events set each other off without end on day {t:g}.")


def _turning(
    events: Events, held: np.ndarray[Any, Any], curve: Interpolant, start: float, end: float
) -> tuple[float | None, np.ndarray[Any, Any]]:
    """First day in (start, end] on which a condition on states has turned true, and what held before."""
    watched = ~np.array(events.by_time, dtype=bool)
    before = start
    for look in _LOOKS:
        day = start + look * (end - start)
        holds = events.truths(day, curve(np.array([day]))[:, 0])
        if (watched & holds & ~held).any():
            low, high = before, day
            while (middle := 0.5 * (low + high)) not in (low, high):
                there = events.truths(middle, curve(np.array([middle]))[:, 0])
                low, high = (low, middle) if (watched & there & ~held).any() else (middle, high)
            return high, held
        held = np.where(watched, holds, held)  # what has turned false is armed again
        before = day
    return None, held


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
    days = {*breaks, *(day for day, _, _ in boluses)}
    days |= {day for on, off, _, _ in inflows for day in (on, off)}
    stops = [start, *sorted(day for day in days if start < day < end)]
    stops += [end] if end > start else []
    steps, left = _Steps([], [], []), iter(range(max_evaluations))
    held = np.array(events.initially, dtype=bool) if events else np.empty(0, dtype=bool)
    y = np.array(y, dtype=float)
    tolerances = _Tolerances(rtol, atol, np.zeros_like(y))
    for place, t in enumerate(stops):
        for day, state, amount in boluses:
            if day == t:
                y[state] += amount
        if events:
            held, y = _settle(events, held, t, y)
        if place + 1 < len(stops):
            inflow = np.zeros_like(y)
            for on, off, state, rate in inflows:
                if on <= t < off:
                    inflow[state] += rate
            now, until = t, stops[place + 1]
            while now < until:
                now, y, held = _stretch(motion, events, held, steps, now, until, y, inflow, tolerances, left)
    last = y.copy()
    steps.add(end, end, lambda times: np.repeat(last[:, None], len(times), axis=1))
    return np.array(steps.starts), np.array(steps.ends), steps.states


def _stretch(
    motion: Motion,
    events: Events | None,
    held: np.ndarray[Any, Any],
    steps: _Steps,
    t: float,
    until: float,
    y: Array,
    inflow: Array,
    tolerances: _Tolerances,
    left: Iterator[int],
) -> tuple[float, Array, np.ndarray[Any, Any]]:
    """Go on until the next stop or the next event, whichever comes first."""

    def rates(day: float, states: Array) -> Array:
        found = motion.rates(day, states) + inflow
        if not np.isfinite(found).all():
            raise _StopError("a rate is not finite.", day, states, found)
        if next(left, None) is None:
            why = "as many rates were asked for as are allowed; looser tolerances need fewer."
            raise _StopError(why, day, states, found)
        return found

    rtol, atol = tolerances.rtol, tolerances.atol
    try:
        if until - t <= _TINY * max(1.0, abs(t)):
            slope, first, begin = rates(t, y), y.copy(), t
            steps.add(t, until, lambda times: first[:, None] + slope[:, None] * (times - begin))
            return until, first + slope * (until - t), held
        allowed = tolerances.of(y)
        solver = LSODA(rates, t, y, until, rtol=rtol, atol=allowed, jac=motion.jacobian)
        while solver.status == "running":
            message = solver.step()
            if solver.status == "failed":
                found = motion.rates(solver.t, solver.y) + inflow
                why = f"the step became too small ({(message or 'no reason given').rstrip('.')})."
                raise breakdown(motion.names, solver.t, solver.y, found, rtol=rtol, atol=atol, why=why)
            before, now, curve = solver.t_old, solver.t, solver.dense_output()
            if events:
                day, held = _turning(events, held, curve, before, now)
                if day is not None:
                    steps.add(before, day, curve)
                    held, y = _settle(events, held, day, curve(np.array([day]))[:, 0])
                    return day, y, held
            steps.add(before, now, curve)
            if (allowed > _LAG * tolerances.of(solver.y)).any():  # LSODA keeps to those it began with
                return now, np.array(solver.y), held
    except _StopError as error:
        where = (error.t, error.y, error.rates)
        raise breakdown(motion.names, *where, rtol=rtol, atol=atol, why=error.why) from None
    return until, np.array(solver.y), held
