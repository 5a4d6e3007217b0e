"""What turns when: the days on which a condition on time alone turns, and the events that it sets off.

Days are found from the compiled formulas themselves, for one set of parameters: in closed form where a condition is
linear in time, else by enclosing it (:mod:`cellsim.solver.intervals`), so that no window of time is passed over. What
cannot be told apart is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from cellsim.compiler.derivatives import System
from cellsim.compiler.gradients import gradient
from cellsim.compiler.graph import made_once
from cellsim.compiler.kernels import Kernels
from cellsim.compiler.time_conditions import RELATIONS, Turn
from cellsim.errors import SimulationError
from cellsim.solver.intervals import MOST, TooManyError, steep_days, values, zeros

__all__ = ["Cause", "Conditions", "Firing", "NoValueError", "Turnings", "setters", "turnings"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Cause:
    """Why a day is one on which something turns.

    Attributes
    ----------
    turn : Turn
    level : float
        The whole number it passes; zero for a comparison.
    middle : float
        Of the stretch in which it was found.
    """

    turn: Turn
    level: float
    middle: float


class Firing(NamedTuple):
    """An event that time alone sets off.

    Attributes
    ----------
    day : float
    event : int
    after : bool
        Whether its condition does not hold yet on that day (``time > 2`` on day 2), but holds just after it: what is read on that day
        is read before the event.
    """

    day: float
    event: int
    after: bool


@dataclass(frozen=True)
class Turnings:
    """Days after the start and up to the end on which something turns, and events that time alone sets off.

    Attributes
    ----------
    system : System
    parameters : tuple of float
        Those that ``system.told_by`` names.
    days : tuple of float
        Ascending.
    causes : tuple of tuple of Cause
        Of each day.
    firings : tuple of Firing
        The start and the end are among the days that can be.
    steep : tuple of float
        Days on which nothing turns, but a smooth function of time rises or falls so steeply that a step could pass over it.
    unfollowed : tuple of int
        Smooth functions of time in outputs alone that rise and fall too often for that.
    """

    system: System
    parameters: tuple[float, ...]
    days: tuple[float, ...] = ()
    causes: tuple[tuple[Cause, ...], ...] = ()
    firings: tuple[Firing, ...] = ()
    steep: tuple[float, ...] = ()
    unfollowed: tuple[int, ...] = ()

    @made_once
    def _slopes(self) -> dict[int, dict[int, int]]:
        """Derivatives of each gap by the parameters that move it."""
        system = self.system
        place = {node: j for j, node in enumerate(system.p)}
        gaps = {cause.turn.gap for each in self.causes for cause in each}
        return {
            gap: {place[by]: d for by, d in gradient(system.graph, gap, place.keys()).items()} for gap in gaps
        }

    def speeds(self, wanted: Iterable[int]) -> list[tuple[int, int, float]]:
        """How days move with parameters: (number of the day, parameter, d day / d parameter), zeros left out.

        Raises
        ------
        SimulationError
            Two conditions turn on one day that move differently, or one turns without crossing: there is no
            derivative there.
        """
        system, asked, found = self.system, set(wanted), []
        for number, (day, causes) in enumerate(zip(self.days, self.causes, strict=True)):
            moved: dict[int, list[float]] = {}
            if all(asked.isdisjoint(self._slopes[cause.turn.gap]) for cause in causes):
                continue
            for cause in causes:
                by = {j: d for j, d in self._slopes[cause.turn.gap].items() if j in asked}
                nodes = [cause.turn.slope, *by.values()]
                inputs = _inputs(system, self.parameters, day, cause.middle)
                steep, *along = (float(each) for each in values(system.graph, nodes, inputs))
                for j in asked:
                    rise = dict(zip(by, along, strict=True)).get(j, 0.0)
                    moved.setdefault(j, []).append(-rise / steep if rise else 0.0)
                    if rise and not (steep and np.isfinite(rise / steep)):
                        raise _no_slope(system, j, day, (cause,))
            for j, speeds in moved.items():
                if max(speeds) - min(speeds) > 1e-9 * max(map(abs, speeds)):
                    raise _no_slope(system, j, day, causes)
                if speeds[0]:
                    found.append((number, j, speeds[0]))
        return found


def _no_slope(system: System, parameter: int, day: float, causes: Sequence[Cause]) -> SimulationError:
    name = system.equations.parameters[parameter]
    shown = " and ".join(dict.fromkeys(repr(_shown(system, cause.turn)) for cause in causes))
    return SimulationError(
        f"On day {day:.6g} there is no derivative by {name}, which moves that day: {shown} turn(s) there without "
        f"crossing, or together with what moves otherwise. Start from another value of {name}, or hold it fixed."
    )


def _shown(system: System, turn: Turn) -> str:
    return system.shown(turn.node)


def _inputs(system: System, parameters: Sequence[float], clock: Any, middle: Any) -> dict[int, Any]:
    told = dict(zip((system.p[j] for j in system.told_by), parameters, strict=True))
    # the largest value so far only guards a power against rounding below zero: what turns with time turns at zero
    largest = {node: 0.0 for node, op in enumerate(system.graph.ops) if op == "s"}
    return {**largest, **told, system.time: clock, system.middle_of: middle}


def turnings(
    system: System, parameters: Sequence[float], start: float, end: float, *, between: bool = False
) -> Turnings:
    """Everything that time alone decides between two days, both included, for one set of parameters.

    Parameters
    ----------
    system : System
    parameters : sequence of float
    start, end : float
        `start` is the day of the initial values.
    between : bool
        Whether outputs are looked at between samples too, where a narrow rise of one must not be passed over.

    Raises
    ------
    SimulationError
        A condition whose days cannot be told; the message shows it.

    Examples
    --------
    >>> from cellsim.compiler.equations import equations_of
    >>> from cellsim.model.model import load_model
    >>> weekly = load_model("x = 0; x' = piecewise(1, time - 7*floor(time/7) < h, 0); h = 0.5")
    >>> turnings(equations_of(weekly).system, [0.5], 0.0, 15.0).days
    (0.5, 7.0, 7.5, 14.0, 14.5)
    """
    if not (system.turns or system.timed or system.courses or (between and system.output_courses)):
        return Turnings(system, ())
    known = tuple(float(parameters[j]) for j in system.told_by)
    if not np.isfinite(known).all():
        return Turnings(system, known)  # nothing of this run is finite, and the engine says so
    return _turnings(system, known, start, end, between)


@lru_cache(maxsize=512)
def _turnings(
    system: System, parameters: tuple[float, ...], start: float, end: float, between: bool
) -> Turnings:
    found: dict[float, list[Cause]] = {}
    for turn in system.turns:
        edges = np.unique([start, *(day for day in found if start < day < end), end])
        if len(edges) < 2:
            continue
        inputs = _inputs(system, parameters, np.nan, np.nan)
        try:
            days, levels, middles = zeros(
                system.graph, turn.gap, turn.slope, system.time, inputs, edges, system.middle_of, whole=turn.whole
            )  # fmt: skip
        except TooManyError:
            raise SimulationError(
                f"{_shown(system, turn)!r} turns more than {MOST} times between day {start:g} and day {end:g}, or "
                "stays where it turns. Simulate a shorter time, or write the condition without rapid oscillation."
            ) from None
        for day, level, middle in zip(days.tolist(), levels.tolist(), middles.tolist(), strict=True):
            found.setdefault(day, []).append(Cause(turn, level, middle))
        if len(found) > MOST:
            raise SimulationError(
                f"Conditions on time turn more than {MOST} times between day {start:g} and day {end:g}; "
                f"{_shown(system, turn)!r} is one of them. Simulate a shorter time."
            )
    inner = [day for day in sorted(found) if start < day <= end]
    return Turnings(
        system,
        parameters,
        tuple(inner),
        tuple(tuple(found[day]) for day in inner),
        tuple(_firings(system, parameters, start, end, inner, found)),
        *_steep(system, parameters, start, end, inner, between),
    )


def _steep(
    system: System, parameters: tuple[float, ...], start: float, end: float, days: list[float], between: bool
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Where a step has to look, lest it pass over what is narrow, and what no step can follow and no rate reads."""
    edges = np.unique([start, *days, end])
    found: set[float] = set()
    unfollowed: list[int] = []
    courses = [*system.courses, *(system.output_courses if between else ())]
    for node, slope in courses if len(edges) > 1 else ():
        inputs = _inputs(system, parameters, np.nan, np.nan)
        try:
            found |= set(
                steep_days(system.graph, node, slope, system.time, inputs, edges, system.middle_of).tolist()
            )
        except TooManyError:
            if (node, slope) in system.courses:
                raise too_fast(system, node, start, end) from None
            unfollowed.append(node)
    return tuple(sorted(day for day in found if start < day < end)), tuple(unfollowed)


def too_fast(system: System, node: int, start: float, end: float) -> SimulationError:
    """A letter about a function of time that steps cannot follow."""
    return SimulationError(
        f"{system.shown(node)!r} rises and falls too often between day {start:g} and day {end:g} to be followed. "
        "Simulate a shorter time, or write it without rapid oscillation."
    )


def _firings(
    system: System,
    parameters: tuple[float, ...],
    start: float,
    end: float,
    days: list[float],
    found: dict[float, list[Cause]],
) -> list[Firing]:
    """When the condition of an event on time alone turns true: at a day, or just after it."""
    if not system.timed:
        return []
    instants = np.unique([start, *days, end])
    after = np.append(0.5 * (instants[1:] + instants[:-1]), _beyond(end))
    nodes = [system.frozen_conditions[e] for e in system.timed]
    later = values(system.graph, nodes, _inputs(system, parameters, after, after))
    firings = []
    exact = [system.conditions[e] for e in system.timed]
    at = np.empty((len(instants), len(exact)), bool)
    for i, day in enumerate(instants.tolist()):
        known: dict[int, Any] = {}
        for cause in found.get(day, ()):  # what turns here is exactly at its level, whatever rounding says
            op = system.graph.ops[cause.turn.node]
            if op in RELATIONS:
                known[cause.turn.node] = op in ("le", "eq")
            elif op == "floor":
                known[cause.turn.node] = cause.level
        at[i] = values(system.graph, exact, _inputs(system, parameters, day, day), known)
    for place, event in enumerate(system.timed):
        held = system.equations.events[event].initially
        truths = np.broadcast_to(later[place], instants.shape)
        for day, now, then in zip(instants.tolist(), at[:, place].tolist(), truths.tolist(), strict=True):
            if (now and not held) or (then and not now):
                firings.append(Firing(day, event, not now))
            held = bool(then)
    return sorted(firings)


def _beyond(day: float) -> float:
    """A time after the last day, near enough that nothing turns in between."""
    return float(np.nextafter(day, np.inf))


class NoValueError(SimulationError):
    """Events leave a state without a value.

    Parameters
    ----------
    time : float
    state : str
    events : str
        Those that set it there.
    """

    def __init__(self, time: float, state: str, events: str) -> None:
        self.time, self.state, self.events = time, state, events
        super().__init__(f"At time {time:.6g} {state} is set to what is no finite number, by {events}.")


def setters(system: System, state: int) -> str:
    """The events that set a state which nothing else changes, by name; empty where its rate can have done it too."""
    if system.rates[state] != system.graph.zero:
        return ""
    names = (
        event.name
        for event, assignments in zip(system.equations.events, system.assignments, strict=True)
        if any(i == state for i, _ in assignments)
    )
    return " or ".join(names)


class Conditions:
    """The events of a model for one set of parameters, asked through its compiled equations."""

    def __init__(self, kernels: Kernels, p: Array) -> None:
        self.kernels, self.p = kernels, p
        system = kernels.system
        self.names = [event.name for event in kernels.equations.events]
        self.located = system.located
        self.initially = [kernels.equations.events[e].initially for e in system.located]

    def truths(self, t: float, y: Array, middle: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which conditions on states hold, shape (n_located,)."""
        return self.kernels.conditions(t, y, self.p, middle)

    def fire(self, which: Iterable[int], t: float, y: Array) -> Array:
        """States after these events, all new values computed from `y`."""
        after = y.copy()
        for event in which:
            for state, value in self.kernels.event(event, t, y, self.p):
                after[state] = value
                if not math.isfinite(value):
                    raise NoValueError(t, self.kernels.states[state], self.names[event])
        return after
