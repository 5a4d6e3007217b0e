"""Doses, and the break points they and the events cut the time axis into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellsim.errors import Problem, SimulationError, did_you_mean
from cellsim.solver.loop_arrays import addresses

if TYPE_CHECKING:
    from cellsim.dosing.delivery import Anew, Delivery
    from cellsim.solver.conditions import Firing

__all__ = [
    "OP_AFTER",
    "OP_EVENT",
    "OP_JUMP",
    "OP_RATE",
    "BreakTable",
    "Doses",
    "Segment",
    "SegmentTree",
    "break_table",
    "lane_groups",
    "segment_tree",
]

Array = NDArray[np.float64]
# in this order at one instant; samples are read before the last
OP_JUMP, OP_RATE, OP_EVENT, OP_AFTER = range(4)
# below this a step's length has no inverse among the doubles
_NEAREST = 1e-305
_ALONE = [np.zeros((1, 1), np.intp)]


@dataclass(frozen=True)
class Doses:
    """What is put into states from outside.

    Parameters
    ----------
    jumps : tuple of (float, str or int, float)
        Time, state, amount added at once. Several at one instant add up.
    rates : tuple of (float, float, str or int, float)
        On, off, state, amount per unit of time in between. Overlapping ones add up.
    anew : tuple of Anew
        Instants at which states are set anew, in order of time (:class:`cellsim.dosing.delivery.Anew`).

    Examples
    --------
    >>> Doses(jumps=((0.0, "gut", 100.0),), rates=((1.0, 1.5, "blood", 20.0),))
    Doses(jumps=((0.0, 'gut', 100.0),), rates=((1.0, 1.5, 'blood', 20.0),))
    """

    jumps: tuple[tuple[float, str | int, float], ...] = ()
    rates: tuple[tuple[float, float, str | int, float], ...] = ()
    anew: tuple[Anew, ...] = ()

    @classmethod
    def of(cls, delivery: Delivery) -> Doses:
        """All that a schedule delivers to a model."""
        return cls(delivery.boluses, delivery.inflows, delivery.anew)

    def __repr__(self) -> str:
        more = f", anew={self.anew!r}" if self.anew else ""
        return f"Doses(jumps={self.jumps!r}, rates={self.rates!r}{more})"


@dataclass(frozen=True)
class BreakTable:
    """Break points of a lane group and what happens at each (see `cellsim.solver.loop_arrays.LoopArrays`)."""

    breaks: Array
    middles: Array
    op_ptr: NDArray[np.int64]
    op_kind: NDArray[np.int64]
    op_index: NDArray[np.int64]
    op_amount: Array

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Where its arrays begin."""
        return addresses(self.breaks, self.middles, self.op_ptr, self.op_kind, self.op_index, self.op_amount)


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
def break_table(
    doses: tuple[Doses, ...],
    states: tuple[str, ...],
    start: float,
    end: float,
    turns: tuple[float, ...],
    firings: tuple[tuple[Firing, ...], ...],
) -> BreakTable:
    """Common break points of a lane group.

    Parameters
    ----------
    doses : tuple of Doses
        One for each lane, or one for all.
    states : tuple of str
    start, end : float
    turns : tuple of float
        Other days on which something jumps, in any lane.
    firings : tuple of tuple of Firing
        For each lane, or one for all.
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
        for day, event, after in fired:
            row = table.setdefault((day, OP_AFTER if after else OP_EVENT, event, 0), [0.0] * lanes)
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
    return BreakTable(
        breaks=breaks.astype(float),
        middles=np.append(0.5 * (breaks[1:] + breaks[:-1]), np.nextafter(breaks[-1], np.inf)),
        op_ptr=pointers.astype(np.int64),
        op_kind=np.array([key[1] for key, _ in rows], np.int64),
        op_index=np.array([key[2] for key, _ in rows], np.int64),
        op_amount=np.array([row for _, row in rows], float).reshape(len(rows), lanes),
    )


Stretch = tuple[float, float, bytes]


@dataclass(frozen=True)
class Segment:
    """A stretch of breaks that some schedules go through together.

    Attributes
    ----------
    table : int
        A schedule whose break_table holds these breaks.
    first, stop : int
        The breaks ``first:stop`` of it.
    then : tuple of Segment
        How they go on apart.
    done : tuple of int
        The schedules that end here; either these or `then` is empty.
    """

    table: int
    first: int
    stop: int
    then: tuple[Segment, ...]
    done: tuple[int, ...]


@dataclass(frozen=True)
class SegmentTree:
    """The tables of breaks of some schedules, and the tree of what they share.

    Attributes
    ----------
    tables : tuple of BreakTable
    root : Segment
    history : bytes
        What happens in the root where it ends at the time asked for, whole; empty where schedules part before.
    """

    tables: tuple[BreakTable, ...]
    root: Segment
    history: bytes = b""


@lru_cache(maxsize=128)
def segment_tree(
    schedules: tuple[tuple[Doses, ...], ...],
    states: tuple[str, ...],
    start: float,
    end: float,
    turns: tuple[float, ...],
    firings: tuple[tuple[Firing, ...], ...],
    until: float | None = None,
) -> SegmentTree:
    """What a lane group has to go through under each of these schedules.

    With `until`, a time between start and end, the root ends there at the latest (see `break_table` for the rest).
    """
    turns = turns if until is None else tuple(sorted({*turns, until}))
    tables = tuple(break_table(each, states, start, end, turns, firings) for each in schedules)
    limit = -1 if until is None else int(np.searchsorted(tables[0].breaks, until))
    if len(tables) == 1 and limit < 0:
        return SegmentTree(tables, Segment(0, 0, len(tables[0].breaks), (), (0,)))
    root = _segment([_stretches(each) for each in tables], tuple(range(len(tables))), 0, limit)
    return SegmentTree(tables, root, _history(tables[0], limit) if root.stop == limit else b"")


def _history(table: BreakTable, stop: int) -> bytes:
    """All that happens before a break, and when that is."""
    ops = slice(int(table.op_ptr[stop]))
    parts = (table.op_ptr[: stop + 1], table.op_kind[ops], table.op_index[ops], table.op_amount[ops])
    width = np.array(table.op_amount.shape[1:])
    return b"".join(
        each.tobytes() for each in (table.breaks[: stop + 1], table.middles[:stop], *parts, width)
    )


def _stretches(table: BreakTable) -> list[Stretch]:
    """For each break when it is, when the next one comes, and what happens."""
    found = []
    for b, (now, later) in enumerate(zip(table.breaks, [*table.breaks[1:], np.inf], strict=True)):
        here = slice(table.op_ptr[b], table.op_ptr[b + 1])
        what = (table.op_kind[here], table.op_index[here], table.op_amount[here])
        found.append((float(now), float(later), b"".join(each.tobytes() for each in what)))
    return found


def _segment(
    stretches: list[list[Stretch]], schedules: tuple[int, ...], first: int, limit: int = -1
) -> Segment:
    """The segment that begins at break `first`, where these schedules have been alike so far, up to break `limit`."""
    stop, lead = first, stretches[schedules[0]]
    while (
        stop < len(lead) and stop != limit and all(stretches[each][stop] == lead[stop] for each in schedules)
    ):
        stop += 1
    if stop == len(lead):  # the last break has no later one, so all of them end here
        return Segment(schedules[0], first, stop, (), schedules)
    parting: dict[Stretch, list[int]] = {}
    for each in schedules:
        parting.setdefault(stretches[each][stop], []).append(each)
    return Segment(
        schedules[0],
        first,
        stop,
        tuple(_segment(stretches, tuple(each), stop) for each in parting.values()),
        (),
    )


def lane_groups(
    marks: Sequence[bytes] | None, doses: Sequence[Doses], n_sets: int, width: int
) -> list[NDArray[np.intp]]:
    """Which sets are carried together: arrays of shape (n_schedules, at most `width`).

    A column holds sets that differ in their doses alone, and is integrated once as far as these agree. Only
    rows of lanes at least half full are made so; other sets with several schedules run side by side, each lane on
    its own schedule, which is as quick.

    Parameters
    ----------
    marks : sequence of bytes, or None
        One for each set: everything that matters but its doses. None: nothing is to be shared.
    doses : sequence of Doses
        One for all sets, or one for each; sets with the same doses share lanes.
    n_sets, width : int
    """
    if n_sets == 1:
        return _ALONE
    order = list(range(n_sets))
    shared: list[NDArray[np.intp]] = []
    if len(doses) > 1:
        known: dict[Doses, int] = {}
        kind = [known.setdefault(each, len(known)) for each in doses]
        order.sort(key=kind.__getitem__)
        if marks is not None and len(known) > 1:
            shared = _shared(marks, order, kind, width)
            taken = {int(i) for group in shared for i in group.ravel()}
            order = [i for i in order if i not in taken]
    return [*shared, *(np.array([order[i : i + width]]) for i in range(0, len(order), width))]


def _shared(
    marks: Sequence[bytes], order: Sequence[int], kind: Sequence[int], width: int
) -> list[NDArray[np.intp]]:
    alike: dict[bytes, list[int]] = {}
    for i in order:
        alike.setdefault(marks[i], []).append(i)
    blocks: dict[tuple[int, ...], list[list[int]]] = {}
    for sets in alike.values():
        if len(sets) > 1:
            blocks.setdefault(tuple(kind[i] for i in sets), []).append(sets)
    return [
        np.array(block[i : i + width]).T
        for block in blocks.values()
        for i in range(0, len(block), width)
        if 2 * len(block[i : i + width]) >= width
    ]
