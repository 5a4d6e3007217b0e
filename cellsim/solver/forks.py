"""Where schedules part: breaks that several of them go through alike are gone through once.

Between two breaks the step loop sees what happens at the first and when the second comes, nothing else. So
schedules that agree in both share that stretch to the last bit, and fork only at the first break after which
they differ. Nothing is added to any of them: the numbers are those of each schedule by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cellsim.solver.breakpoints import Doses, Timetable, timetable

__all__ = ["Itinerary", "Leg", "itinerary", "lane_groups"]

Array = NDArray[np.float64]
Stretch = tuple[float, float, bytes]


@dataclass(frozen=True)
class Leg:
    """A stretch of breaks that some schedules go through together.

    Attributes
    ----------
    table : int
        A schedule whose timetable holds these breaks.
    first, stop : int
        The breaks ``first:stop`` of it.
    then : tuple of Leg
        How they go on apart.
    done : tuple of int
        The schedules that end here; either these or `then` is empty.
    """

    table: int
    first: int
    stop: int
    then: tuple[Leg, ...]
    done: tuple[int, ...]


@dataclass(frozen=True)
class Itinerary:
    """The timetables of some schedules, and the tree of what they share."""

    tables: tuple[Timetable, ...]
    root: Leg


@lru_cache(maxsize=128)
def itinerary(
    schedules: tuple[tuple[Doses, ...], ...],
    states: tuple[str, ...],
    start: float,
    end: float,
    turns: tuple[float, ...],
    firings: tuple[tuple[tuple[float, int], ...], ...],
) -> Itinerary:
    """What a lane group has to go through under each of these schedules (see `timetable` for the rest)."""
    tables = tuple(timetable(each, states, start, end, turns, firings) for each in schedules)
    if len(tables) == 1:
        return Itinerary(tables, Leg(0, 0, len(tables[0].breaks), (), (0,)))
    return Itinerary(tables, _leg([_stretches(each) for each in tables], tuple(range(len(tables))), 0))


def _stretches(table: Timetable) -> list[Stretch]:
    """For each break when it is, when the next one comes, and what happens."""
    found = []
    for b, (now, later) in enumerate(zip(table.breaks, [*table.breaks[1:], np.inf], strict=True)):
        here = slice(table.op_ptr[b], table.op_ptr[b + 1])
        what = (table.op_kind[here], table.op_index[here], table.op_amount[here])
        found.append((float(now), float(later), b"".join(each.tobytes() for each in what)))
    return found


def _leg(stretches: list[list[Stretch]], schedules: tuple[int, ...], first: int) -> Leg:
    """The leg that begins at break `first`, where these schedules have been alike so far."""
    stop, lead = first, stretches[schedules[0]]
    while stop < len(lead) and all(stretches[each][stop] == lead[stop] for each in schedules):
        stop += 1
    if stop == len(lead):  # the last break has no later one, so all of them end here
        return Leg(schedules[0], first, stop, (), schedules)
    parting: dict[Stretch, list[int]] = {}
    for each in schedules:
        parting.setdefault(stretches[each][stop], []).append(each)
    return Leg(
        schedules[0],
        first,
        stop,
        tuple(_leg(stretches, tuple(each), stop) for each in parting.values()),
        (),
    )


def lane_groups(
    marks: Sequence[bytes] | None, doses: Sequence[Doses], n_sets: int, width: int
) -> list[NDArray[np.intp]]:
    """Which sets are carried together: arrays of shape (n_schedules, at most `width`).

    A column holds sets that differ in their doses alone, and is integrated once as far as these agree. Only
    full rows of lanes are made so; other sets with several schedules run side by side, each lane on its own
    schedule, which is as quick.

    Parameters
    ----------
    marks : sequence of bytes, or None
        One for each set: everything that matters but its doses. None: nothing is to be shared.
    doses : sequence of Doses
        One for all sets, or one for each; sets with the same doses share lanes.
    n_sets, width : int
    """
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
        for i in range(0, len(block) - width + 1, width)
    ]
