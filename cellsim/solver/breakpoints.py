"""Doses, and the break points they and the events cut the time axis into."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cellsim.errors import Problem, SimulationError, did_you_mean

__all__ = ["OP_EVENT", "OP_JUMP", "OP_RATE", "Doses", "Timetable", "timetable"]

Array = NDArray[np.float64]
OP_JUMP, OP_RATE, OP_EVENT = 0, 1, 2
# below this a step's length has no inverse among the doubles
_NEAREST = 1e-305


@dataclass(frozen=True)
class Doses:
    """What is put into states from outside.

    Parameters
    ----------
    jumps : tuple of (float, str or int, float)
        Time, state, amount added at once. Several at one instant add up.
    rates : tuple of (float, float, str or int, float)
        On, off, state, amount per unit of time in between. Overlapping ones add up.

    Examples
    --------
    >>> Doses(jumps=((0.0, "gut", 100.0),), rates=((1.0, 1.5, "blood", 20.0),))
    Doses(jumps=((0.0, 'gut', 100.0),), rates=((1.0, 1.5, 'blood', 20.0),))
    """

    jumps: tuple[tuple[float, str | int, float], ...] = ()
    rates: tuple[tuple[float, float, str | int, float], ...] = ()


@dataclass(frozen=True)
class Timetable:
    """Break points of a lane group and what happens at each (see `cellsim.solver.loop_arrays.Group`)."""

    breaks: Array
    middles: Array
    op_ptr: NDArray[np.int64]
    op_kind: NDArray[np.int64]
    op_index: NDArray[np.int64]
    op_amount: Array


def _operations(doses: Doses, states: dict[str, int], start: float) -> list[tuple[float, int, int, float]]:
    """(time, kind, state, amount) for every jump and every switch of a rate."""
    problems, operations = [], []

    def index(state: str | int, what: str) -> int:
        if isinstance(state, str):
            if state not in states:
                remedy = did_you_mean(state, states)
                problems.append(
                    Problem(what=f"{what} goes into {state!r}, which is no state.", remedy=remedy)
                )
                return 0
            return states[state]
        if not 0 <= state < len(states):
            problems.append(Problem(what=f"{what} goes into state number {state}; there are {len(states)}."))
        return int(state)

    for time, state, amount in doses.jumps:
        what = f"The dose of {amount:g} at time {time:g}"
        if not (np.isfinite(time) and np.isfinite(amount)):
            problems.append(Problem(what=f"{what} is not finite."))
        elif time < start:
            problems.append(Problem(what=f"{what} comes before the start at {start:g}."))
        operations.append((float(time), OP_JUMP, index(state, what), float(amount)))
    for on, off, state, rate in doses.rates:
        what = f"The rate of {rate:g} from {on:g} to {off:g}"
        if not (np.isfinite(on) and np.isfinite(off) and np.isfinite(rate)):
            problems.append(Problem(what=f"{what} is not finite."))
        elif on < start:
            problems.append(Problem(what=f"{what} begins before the start at {start:g}."))
        elif off <= on:
            problems.append(Problem(what=f"{what} ends before it begins; a dose at once is a jump."))
        i = index(state, what)
        operations += [(float(on), OP_RATE, i, float(rate)), (float(off), OP_RATE, i, -float(rate))]
    changes = np.unique([start, *(time for time, *_ in operations)])
    for before, after in pairwise(changes.tolist()):
        if after - before < _NEAREST:
            problems.append(
                Problem(
                    what=f"Something happens at time {before:g} and again at {after:g}: nearer than any step.",
                    remedy="Give both the same time.",
                )
            )
    if problems:
        raise SimulationError(problems)
    return operations


@lru_cache(maxsize=512)
def timetable(
    doses: tuple[Doses, ...],
    states: tuple[str, ...],
    start: float,
    end: float,
    turns: tuple[float, ...],
    firings: tuple[tuple[tuple[float, int], ...], ...],
) -> Timetable:
    """Common break points of a lane group.

    Parameters
    ----------
    doses : tuple of Doses
        One for each lane, or one for all.
    states : tuple of str
    start, end : float
    turns : tuple of float
        Other days on which something jumps, in any lane.
    firings : tuple of tuple of (float, int)
        Day and event; for each lane, or one for all.
    """
    lanes = max(len(doses), len(firings))
    names = {name: i for i, name in enumerate(states)}
    table: dict[tuple[float, int, int, int], list[float]] = {}
    for lane, each in enumerate(doses):
        seen: dict[tuple[float, int, int], int] = {}
        for time, kind, state, amount in _operations(each, names, start):
            if time > end:
                continue
            # the n-th switch of a rate at one instant stays the n-th: sums keep their order in every lane
            rank = seen[time, kind, state] = seen.get((time, kind, state), -1) + 1
            row = table.setdefault((time, kind, state, rank), [0.0] * lanes)
            for target in range(lanes) if len(doses) == 1 else (lane,):
                row[target] += amount
    for lane, fired in enumerate(firings):
        for day, event in fired:
            row = table.setdefault((day, OP_EVENT, event, 0), [0.0] * lanes)
            for target in range(lanes) if len(firings) == 1 else (lane,):
                row[target] = 1.0
    rows = sorted(table.items())
    breaks = np.unique([start, end, *turns, *(time for (time, *_), _ in rows)])
    times = np.array([time for (time, *_), _ in rows])
    pointers = (
        np.concatenate([np.searchsorted(times, breaks, "left"), [len(rows)]])
        if rows
        else np.zeros(len(breaks) + 1)
    )
    return Timetable(
        breaks=breaks.astype(float),
        middles=np.append(0.5 * (breaks[1:] + breaks[:-1]), np.nextafter(breaks[-1], np.inf)),
        op_ptr=pointers.astype(np.int64),
        op_kind=np.array([key[1] for key, _ in rows], np.int64),
        op_index=np.array([key[2] for key, _ in rows], np.int64),
        op_amount=np.array([row for _, row in rows], float).reshape(len(rows), lanes),
    )
