"""A lane group on its way: the memory the step loop works in, carried from segment to segment and copied at forks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.kernels import Kernels
from cellsim.compiler.llvm import CompiledKernels
from cellsim.solver.breakpoints import BreakTable, Segment, SegmentTree
from cellsim.solver.loop_arrays import (
    KERNELS,
    N_GAPS,
    N_MIDDLE,
    N_OUTPUTS,
    N_PADDED,
    PATH_FULL,
    SLOTS,
    LaneDimensions,
    LaneState,
    LaneStatePool,
    address,
    addresses,
)
from cellsim.solver.sensitivities import PLACE_OF_RESULT, CarriedTangents, no_tangents
from cellsim.solver.step_loop_cache import StepCode, step_code

__all__ = [
    "HISTORIES",
    "Histories",
    "LaneStart",
    "LaneState",
    "Machine",
    "RepeatedRun",
    "begin",
    "follow",
    "lane_start",
    "machine_of",
    "repeatable",
]

Array = NDArray[np.float64]
# bytes that lane groups at the end of a history may take
_ROOM = 2**26
# bytes of a lane group: of a larger one the simulation itself takes most of the time
_LITTLE = 2**16
_ZERO = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Machine:
    """A unit's addresses and offsets as the step loop wants them."""

    unit: CompiledKernels
    addresses: NDArray[np.int64]
    offsets: NDArray[np.int64]
    root_event: NDArray[np.int64]
    held: NDArray[np.int64]
    targets: NDArray[np.int64]
    target_ptr: NDArray[np.int64]
    pool: LaneStatePool = field(default_factory=LaneStatePool, repr=False)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Where the arrays begin that the loop takes."""
        return addresses(self.addresses, self.offsets, self.root_event, self.targets, self.target_ptr)


def machine_of(kernels: Kernels, width: int, sampled: bool = False, watched: tuple[int, ...] = ()) -> Machine:
    """The machine for `width` simulations side by side.

    Parameters
    ----------
    kernels : Kernels
    width : int
    sampled : bool
        Whether it reads outputs at samples, inside its steps.
    watched : tuple of int
        Outputs of which the greatest value is wanted.
    """
    return _machine(kernels, width, sampled, watched)


@lru_cache(maxsize=256)
def _machine(kernels: Kernels, width: int, sampled: bool, watched: tuple[int, ...]) -> Machine:
    system, unit = kernels.system, kernels.unit(width)
    lay = unit.layout
    events = [f"event{e}" for e in range(len(system.assignments))]
    roots = system.located
    padded = lay["y1"] - lay["y"]
    sizes = [
        system.n,
        width,
        padded,
        len(system.outputs),
        len(roots),
        -1 if system.clock is None else system.clock,
        unit.fixed,
        -1 if system.middle is None else system.middle,
        len(system.gaps),
        len(system.modes),
        len(system.turning),
        *system.turning,
    ]
    targets = [[i for i, _ in each] for each in system.assignments]
    places = {
        **unit.address,
        "inside": kernels.inside(width, tuple(range(len(system.outputs)))) if sampled else 0,
        "watch": kernels.inside(width, watched) if watched else 0,
    }
    return Machine(
        unit,
        np.array([places[name] for name in (*KERNELS, *events)], np.int64),
        np.array([*(lay[name] for name in SLOTS), *sizes], np.int64),
        np.array(roots, np.int64),
        np.array([kernels.equations.events[e].initially for e in roots], np.int64),
        np.array([i for each in targets for i in each], np.int64),
        np.cumsum([0, *map(len, targets)]).astype(np.int64),
    )


class Histories:
    """Lane groups at the end of what came before the schedules compared, the latest used ones.

    A sweep asks the same draws under block after block of schedules, an optimisation round after round, a reader one schedule after
    another: what was given before all of them is integrated once.
    """

    def __init__(self, room: int) -> None:
        self._room, self._taken, self._lock = room, 0, Lock()
        self._kept: OrderedDict[tuple[int, bytes], tuple[Machine, LaneState]] = OrderedDict()

    def found(self, machine: Machine, history: bytes) -> LaneState | None:
        """What was kept for the same machine and history, to be gone on from by others that stand there, or None."""
        with self._lock:
            known = self._kept.get((id(machine), history))
            if known is None:
                return None
            self._kept.move_to_end((id(machine), history))
        return known[1]

    def keep(self, machine: Machine, history: bytes, lane_state: LaneState) -> None:
        """Keep a copy, and forget the longest unused ones where there is no more room."""
        kept = lane_state.unsampled()
        with self._lock:
            _, replaced = self._kept.pop((id(machine), history), (machine, None))
            # the machine is kept too: no other can have its place in memory
            self._kept[id(machine), history] = (machine, kept)
            self._taken += kept.bytes - (0 if replaced is None else replaced.bytes)
            while self._taken > self._room:
                _, (_, gone) = self._kept.popitem(last=False)
                self._taken -= gone.bytes

    def forget(self) -> None:
        """Give back all room."""
        with self._lock:
            self._kept.clear()
            self._taken = 0


HISTORIES = Histories(_ROOM)


@dataclass(frozen=True)
class LaneStart:
    """A lane group at its start, but for the values of parameters and whatever depends on them.

    Attributes
    ----------
    machine : Machine
    room : LaneDimensions
    moving, numbers : array
        What stands in memory then.
    start : float
    dense : bool
        Whether every step is recorded.
    """

    machine: Machine
    room: LaneDimensions
    moving: Array
    numbers: NDArray[np.int64]
    start: float
    dense: bool

    @cached_property
    def digest(self) -> bytes:
        """Of all that stands in memory: most of what decides a history, and the same for every group."""
        return sha256(self.moving.tobytes() + self.numbers.tobytes()).digest()


def lane_start(
    machine: Machine,
    absolute: Array,
    n_states: int,
    share: float,
    start: float,
    n_times: int,
    *,
    clock: int | None,
    output_rates: bool,
    dense: bool,
    outputs_alone: bool,
    watched: tuple[int, ...],
) -> LaneStart:
    """What all lane groups have in common that differ in the values of parameters alone.

    Parameters
    ----------
    machine : Machine
    absolute : (n,) array
        Absolute tolerances, the clock's included.
    n_states : int
        How many are states of the model, which come first.
    share : float
        Of the largest value of each state so far, the absolute tolerance that follows it; zero where it does not.
    start : float
    n_times : int
    clock : int or None
        Which state is the clock.
    output_rates, dense, outputs_alone : bool
        Outputs alone: that samples are of these, not of states.
    watched : tuple of int
        Outputs of which the greatest value is wanted.
    """
    lay, n, width = machine.unit.layout, len(absolute), machine.unit.width
    room = LaneDimensions(
        lay.size, n, width, n_times, int(machine.offsets[N_OUTPUTS]) if outputs_alone else n, output_rates,
        len(machine.held), int(machine.offsets[N_GAPS]), watched,
    )  # fmt: skip
    lane_state = LaneState.of(room._replace(times=0))
    lane_state.blank()
    lane_state.w[lay["atol"] : lay["atol"] + machine.offsets[N_PADDED]] = 1.0
    _slot(machine, lane_state, "atol", n)[:] = absolute[:, None]
    _slot(machine, lane_state, "share", n)[:n_states] = share
    _slot(machine, lane_state, "share", n)[n_states:] = -1.0  # the clock and modes have no error
    if clock is not None:
        _slot(machine, lane_state, "y", n)[clock] = start
    return LaneStart(machine, room, lane_state.moving, lane_state.numbers, start, dense)


def _slot(machine: Machine, lane_state: LaneState, name: str, count: int) -> Array:
    """What stands in a slot, shape (count, width)."""
    at, width = machine.unit.layout[name], machine.unit.width
    return lane_state.w[at : at + count * width].reshape(count, width)


def begin(
    start: LaneStart, parameters: Array, start_states: Array | None = None, share: Array | None = None
) -> LaneState:
    """A lane group at its start, to be given back to ``start.machine.pool`` when nothing of it is used any more.

    Parameters
    ----------
    start : LaneStart
    parameters : (width, n_parameters) array
    start_states : (width, n_states) array, optional
        Left out: the model's own.
    share : (width, n_states) array, optional
        As in :func:`lane_start`, where it differs between states or lanes.
    """
    machine = start.machine
    lane_state = machine.pool.taken(start.room)
    lane_state.begin(start.moving, start.numbers)
    _slot(machine, lane_state, "p", parameters.shape[1])[:] = parameters.T
    if start_states is not None:
        _slot(machine, lane_state, "y", start_states.shape[1])[:] = start_states.T
    if share is not None:
        _slot(machine, lane_state, "share", share.shape[1])[:] = share.T
    if start.room.roots:
        lane_state.held[:] = _held_before(
            machine, lane_state.w, start.room.states, start.start, start_states is not None
        )
    if start.dense:
        lane_state.recorded(np.empty((1024, 3 + 5 * start.room.states)))
    return lane_state


def _held_before(machine: Machine, w: Array, n: int, start: float, given_start: bool) -> NDArray[np.int64]:
    """Which conditions of events count as true before the doses of the start day, so that only what turns true fires.

    As in SBML: what holds at the start has been true before it, unless its event says otherwise (initialValue).
    """
    held = machine.held.copy()
    if held.any():  # then there is one lane
        unit = machine.unit
        lay = unit.layout
        unit.call("prepare", w)
        if not given_start:
            unit.call("initial", w)
        w[lay["ys"] : lay["ys"] + n] = w[lay["y"] : lay["y"] + n]
        if machine.offsets[N_MIDDLE] >= 0:
            w[lay["ys"] + machine.offsets[N_MIDDLE]] = start
        unit.call("conditions", w)
        held &= w[lay["roots"] : lay["roots"] + len(held)] > 0.5
    return held


def _carry(
    machine: Machine,
    lane_state: LaneState,
    segment: Segment,
    table: BreakTable,
    options: int,
    sample_times: Array,
    given_start: bool,
    tangents: CarriedTangents,
) -> LaneState:
    """One segment of the way; where `path` turns out too short, once more from its beginning with a longer one."""
    call, run = (options, address(sample_times)), step_code().run_group
    n_breaks, n_times, stride = len(table.breaks), len(sample_times), table.op_amount.shape[1]
    while True:
        begun = lane_state.copy() if len(lane_state.path) else lane_state
        lane_state.handed(machine.places, table.places, *call, tangents.places)
        said = run(
            lane_state.at[0], lane_state.at[1], tangents.at, given_start, segment.first, segment.stop, n_breaks,
            n_times, stride, len(lane_state.path), len(lane_state.room.watched),
        )  # fmt: skip
        if said != PATH_FULL:
            return lane_state
        begun.recorded(np.concatenate([begun.path, np.empty_like(begun.path)]))
        lane_state = begun


def follow(
    machine: Machine,
    lane_state: LaneState,
    segment_tree: SegmentTree,
    options: int,
    sample_times: Array,
    given_start: bool,
    arrived: Callable[[int, LaneState], None],
    tangents: Callable[[BreakTable], CarriedTangents] | None = None,
    history: bytes = b"",
) -> list[int]:
    """Carry a lane_state along every schedule of an segment_tree.

    Parameters
    ----------
    machine : Machine
    lane_state : LaneState
        At its start; used up.
    segment_tree : SegmentTree
    options : int
        Where the options begin that the step loop has.
    sample_times : (n_times, width) array
    given_start : bool
        Whether the initial states are in place.
    arrived : callable
        Told the number of each schedule that has reached its end, and the lane_state there.
    tangents : callable, optional
        Sensitivities to carry along, made for a break_table (one schedule only).
    history : bytes, optional
        All that decides the lane_state at the end of the root, where no sample has been taken: another call with the same takes it
        from there.

    Returns
    -------
    list of 4 int
        Work done: steps accepted, rejected, factorisations, steps recorded.
    """
    work = [0, 0, 0, 0]
    known = HISTORIES.found(machine, history) if history else None
    if known is not None:
        lane_state.begin(known.moving, known.numbers)
    waiting = [(segment_tree.root, lane_state, False)]
    while waiting:
        segment, lane_state, needed = waiting.pop()
        # depth first: one that parted here has been read to its end before the next goes on
        lane_state = lane_state.branched() if needed else lane_state
        table = segment_tree.tables[segment.table]
        resumed = known is not None and segment is segment_tree.root
        if not resumed and segment.stop > segment.first and 0 in lane_state.status.tolist():
            before = lane_state.counts.tolist()
            carried = no_tangents() if tangents is None else tangents(table)
            lane_state = _carry(
                machine, lane_state, segment, table, options, sample_times, given_start, carried
            )
            for place, (now, then) in enumerate(zip(lane_state.counts.tolist(), before, strict=True)):
                work[place] += now - then
            if history and segment is segment_tree.root:
                HISTORIES.keep(machine, history, lane_state)
        for schedule in segment.done:
            arrived(schedule, lane_state)
        # the first to be put here is the last to be taken up, when no other needs the lane_state any more
        waiting += [(apart, lane_state, place > 0) for place, apart in enumerate(segment.then)]
    return work


def repeatable(start: LaneStart, tree: SegmentTree) -> bool:
    """Whether a run (of one lane) is of one stretch, small, and asks for nothing but samples."""
    room, root = start.room, tree.root
    plain = not (start.dense or room.watched or room.roots or tree.history or root.then or not root.stop)
    return plain and 8 * (room.workspace + room.times * room.states) <= _LITTLE


@dataclass(eq=False)
class RepeatedRun:
    """A lane group of one lane with all that it is given, but for values of parameters and of states at the start.

    A small model's simulation takes the step loop some microseconds; laying out what it is given took ten times as long.

    Attributes
    ----------
    start : LaneStart
    lane_state : LaneState
    parameters, states : array
        Where their values go.
    carried : CarriedTangents
    kept : tuple
        What must live as long as this does.
    code : StepCode
    call, read : tuple of int
        What the functions of the step loop take, but for addresses.
    """

    start: LaneStart
    lane_state: LaneState
    parameters: Array
    states: Array
    carried: CarriedTangents
    kept: tuple[object, ...]
    code: StepCode
    call: tuple[int, ...]
    read: tuple[int, ...]

    @classmethod
    def made(
        cls,
        start: LaneStart,
        tree: SegmentTree,
        p: Array,
        options: Array,
        sample_times: Array,
        tangents: Callable[[BreakTable], CarriedTangents] | None,
        layout: tuple[int, int, int],
    ) -> RepeatedRun:
        """All laid out.

        Parameters
        ----------
        start : LaneStart
        tree : SegmentTree
            That of a `repeatable` run.
        p : (1, n_parameters) array
        options : array
        sample_times : (n_times, 1) array
        tangents : callable or None
        layout : tuple of int
            How many states are kept, and how many numbers lie between two samples and two outputs.
        """
        machine, lane_state, table = start.machine, begin(start, p), tree.tables[tree.root.table]
        carried = no_tangents() if tangents is None else tangents(table)
        at = address(options)
        lane_state.handed(machine.places, table.places, at, address(sample_times), carried.places)
        lane_state.reading(machine.places, at, address(_ZERO), address(_ZERO), (0, 0, 0))
        n_times = len(sample_times)
        return cls(
            start,
            lane_state,
            _slot(machine, lane_state, "p", p.shape[1]),
            _slot(machine, lane_state, "y", start.room.states),
            carried,
            (tree, options, sample_times),
            step_code(),
            (0, tree.root.stop, len(table.breaks), n_times, table.op_amount.shape[1], 0, 0),
            (n_times, 1, *layout),
        )

    def carry(
        self, p: Array, given: Array | None, results: tuple[int, int, int], sensitivities: Array | None
    ) -> None:
        """From the start to the end; samples are read where it got there."""
        lane_state, start = self.lane_state, self.start
        lane_state.begin(start.moving, start.numbers)
        self.parameters[:, 0] = p[0]
        if given is not None:
            self.states[: given.shape[1], 0] = given[0]
        if sensitivities is not None:
            self.carried.v.fill(0.0)
            lane_state.answered(PLACE_OF_RESULT, address(sensitivities))
        at, w, reading = lane_state.at
        self.code.run_group(at, w, self.carried.at, given is not None, *self.call)
        if not lane_state.status[0]:
            lane_state.results_at(results)
            self.code.observe_group(reading, w, *self.read)
