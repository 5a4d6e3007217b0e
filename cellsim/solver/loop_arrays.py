"""What the step loop and those who call it agree on: which number stands where, and which arrays are handed over.

The loop gets addresses of arrays, in the order of the fields below; whoever calls it answers for shape, type and life of
the arrays. Asking an array where it begins takes longer than many a step, so a lane group, whose arrays are all parts of two
stretches of memory, knows where they are; and making thirty arrays takes longer than many a simulation, so one that has done its
work is given back and taken up again by the next of its kind.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from math import prod
from threading import Lock
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.llvm import aligned

Reals = NDArray[np.float64]
Wholes = NDArray[np.int64]
_BYTE = ctypes.c_char

OK, STEP_UNDERFLOW, TOO_MANY_STEPS, NOT_FINITE, EVENTS_WITHOUT_END, NO_DERIVATIVE, UNRESOLVED = range(7)
SLIDING = 8  # 7 is said of courses of doses
# what `run_group` says: at its end, or that `path` was too short
ARRIVED, PATH_FULL = 0, 1

# what `addr`, `off` and `opt` hold, in order
KERNELS = (
    "prepare",
    "initial",
    "rhs",
    "rhs_at_sample",
    "jac",
    "lu",
    "step",
    "dense",
    "observe",
    "observe_rate",
    "conditions",
    "gaps",
    "modes",
    "scales",
    "inside",
    "watch",
)
SLOTS = (
    "control",
    "error",
    "p",
    "q",
    "y",
    "y1",
    "u",
    "atol",
    "peak",
    "f",
    "ys",
    "dense",
    "g",
    "gdot",
    "k",
    "stages",
    "roots",
    "gaps",
    "modes",
    "share",
    "low",
    "least",
    "news",
)
(
    PREPARE,
    INITIAL,
    RHS,
    RHS_AT_SAMPLE,
    JAC,
    LU,
    STEP,
    DENSE,
    OBSERVE,
    OBSERVE_RATE,
    CONDITIONS,
    GAPS,
    MODES,
    SCALES,
    INSIDE,
    WATCH,
) = range(16)
(
    S_CONTROL,
    S_ERROR,
    S_P,
    S_Q,
    S_Y,
    S_Y1,
    S_U,
    S_ATOL,
    S_PEAK,
    S_F,
    S_YS,
    S_DENSE,
    S_G,
    S_GDOT,
    S_K,
    S_STAGES,
    S_ROOTS,
    S_GAPS,
    S_MODES,
    S_SHARE,
    S_LOW,
    S_LEAST,
    S_NEWS,
) = range(23)
N_STATES, N_LANES, N_PADDED, N_OUTPUTS, N_ROOTS, N_CLOCK, N_FIXED, N_MIDDLE, N_GAPS, N_MODES = range(23, 33)
# how many states the conditions on states read, then which
N_TURNING, TURNING = 33, 34
RTOL, H_MAX, MAX_STEPS, WANT_RATES, SINCE, IN_TIME, TOGETHER, OUTPUTS_ALONE = range(8)
ACCEPTED, REJECTED, FACTORED, RECORDED = range(4)
THETA = 2  # in slot control, behind the step and the tolerance: where in a step outputs are read


class LoopArrays(NamedTuple):
    """Everything of a lane group: what belongs to the machine, to the table of breaks, to the call, to the lane group."""

    addr: Wholes  # kernels, in the order of KERNELS, then events
    off: Wholes  # SLOTS and sizes, then states that conditions read
    root_event: Wholes  # (n_roots,): state-triggered events
    targets: Wholes
    target_ptr: Wholes
    breaks: Reals  # (n_breaks,): times at which something changes; first and last are start and end
    middles: Reals  # (n_breaks,): the middle of the stretch that begins at each break
    op_ptr: Wholes  # (n_breaks + 1,): what changes at break b is op_ptr[b]:op_ptr[b+1]
    op_kind: Wholes
    op_index: Wholes  # a state, or an event
    op_amount: Reals  # (n_ops, W or 1): a jump, a change of rate, or whether the event fires
    opt: Reals  # options
    times: Reals  # (n_times, W): ascending per lane; the same in all where `opt` says so
    w: Reals  # workspace; slots p, atol, share (and y if `given_start`) are filled
    held: Wholes  # (n_roots,): whether their condition counts as true before the start
    samples: Reals  # (n_times, n W): receives states, or outputs where `opt` says so, as far as `ptr`; nan of lanes given up
    inputs: Reals  # (n_times, n W): receives zero-order inputs
    status: Wholes  # (W,): outcome per lane
    fail_time: Reals  # (W,)
    culprit: Wholes  # (W,)
    counts: Wholes  # (4,): steps accepted, rejected, factorisations, rows of `path`
    source: Wholes  # (W,): the lane that each lane follows (its own number to begin with)
    ptr: Wholes  # (W,): the next sample of each lane
    now: Wholes  # (3 n_roots,): room
    pace: (
        Reals  # (5 n_roots,): when each located event fired and how its intervals shrink (see `_without_end`)
    )
    seen: Reals  # (9 n_gaps W,): room for gaps along a step
    flow: Reals  # (2 n W,): room
    grown: Wholes  # (n, W): receives which states grew by themselves from where their error counts
    watched: Wholes  # (n_watched,): outputs of which the greatest value is wanted
    greatest: Reals  # (2, n_watched, W): receives it, and its time
    heights: Reals  # (8, n_watched, W): room for these outputs along a step
    path: Reals  # (some, 3 + 5 n), one lane only: receives start, end, step length, y, y1, K_1, K_2, K_3 of every step


class Tangents(NamedTuple):
    """Everything the loop needs to carry sensitivities along, the same way; `sizes` is zero without them.

    First what belongs to the directions, then to the table of breaks, then to the run.
    """

    addresses: Wholes  # prepare, step, dense, observe_y, observe_p, initial, atoms, error, excess, events
    slots: Wholes  # where gy, gp, y0p, event, atoms, error begin
    sizes: Wholes  # whether there are tangents, then numbers of things, in the order of the constants below
    groups: Wholes  # (n_groups, 6): where s, s1, sample, u, dense begin, and how many doubles a vector has
    places: Wholes  # (n_groups, n_states): where a state is in those vectors, or -1
    pairs_y: Wholes  # (k, 3): entry of gy, place in v of the sampled tangent, place in the result
    pairs_p: Wholes  # (k, 2): entry of gp, place in the result
    initials: Wholes  # (k, 2): entry of y0p, place in v
    row_ptr: Wholes  # (n_directions + 1,): rows each direction reaches
    rows: Wholes  # (k, 2): state, place in v
    along: Wholes  # (n_directions,): which parameter each is, or -1
    floors: Wholes  # (k, 2): of the same rows, where the new tangent and the least error that counts are in v
    event_ptr: Wholes  # (n_events + 1,): entries that are derivatives by states
    event_y: Wholes  # (k, 3): entry, target, state
    event_p_ptr: Wholes  # (n_events + 1,)
    event_p: Wholes  # (k, 2): entry, place in v
    atoms: (
        Wholes  # (k, 3): located event, where its gap is, where its derivatives by states begin in `atom_y`
    )
    atom_y: Wholes  # (k, 2): entry, state
    tau_ptr: Wholes  # (n_atoms * n_directions + 1,)
    tau: Wholes  # (k, 2): entry, place in v (or -1 for a slope by the direction itself)
    seed_ptr: Wholes  # (n_breaks + 1,): seeds of each break
    seed_code: Wholes  # what a seed is
    seed_at: Wholes  # place in v, or a direction
    seed_value: Reals
    v: Reals  # the tangents' workspace
    result: Reals  # (n_times, n_outputs * n_directions), receives them
    moved: Reals  # (n_directions,): room
    effects: Reals  # (2, n_directions): the largest effect so far on any state, relative to its largest value, and on one that is 0


T_PREPARE, T_STEP, T_DENSE, T_OBSERVE_Y, T_OBSERVE_P, T_INITIAL = range(6)
T_ATOMS, T_ERROR, T_EXCESS, T_EVENTS = range(6, 10)
# what moves along a direction: a state, an input, or the instant of a turn, of doses, of timed events at it or just after it
SEED_STATE, SEED_INPUT, SEED_TURN, SEED_DOSE, SEED_EVENT, SEED_AFTER = range(6)
ON, N_GROUPS, N_PLACES, N_PAIRS_Y, N_PAIRS_P, N_INITIALS, N_DIRECTIONS, N_ATOMS, N_RESULTS = range(9)


class Reading(NamedTuple):
    """States of a lane group to be read, and where what they say goes."""

    addr: Wholes
    off: Wholes
    opt: Reals
    w: Reals  # workspace, prepared
    samples: Reals  # (n_times, n W): states, or outputs where `opt` says so
    inputs: Reals  # (n_times, n W): zero-order inputs, when rates are wanted
    lanes: Wholes  # (n_lanes,): which row of `states` each lane is
    places: Wholes  # (n_lanes,): where in `outputs` and `rates` each lane begins
    states: Reals  # (n_sets, n_times, n_states), receives them
    outputs: Reals  # receives them, as they lie there
    rates: Reals  # rates of change, as outputs lie, when wanted


def address(array: NDArray[Any]) -> int:
    """Where an array begins whose numbers of eight bytes lie one after the other; it must live as long as the loop runs."""
    flags = array.flags
    assert flags.c_contiguous and array.itemsize == 8
    if not array.size:
        return 0
    # a third of the time that asking the array takes
    return ctypes.addressof(_BYTE.from_buffer(cast(Any, array))) if flags.writeable else array.ctypes.data


def addresses(*arrays: NDArray[Any]) -> Wholes:
    """Where some arrays begin."""
    return np.array([address(each) for each in arrays], np.int64)


_FIELDS = {name: place for place, name in enumerate(LoopArrays._fields)}
_W, _SAMPLES, _INPUTS = (_FIELDS[name] for name in ("w", "samples", "inputs"))
_TABLE, _CALL, _TANGENTS = _FIELDS["breaks"], _FIELDS["opt"], len(_FIELDS)
# as many as the threads of most machines can use at once
_SPARE = 8
# bytes of a lane group that is worth keeping: the time to make a larger one is nothing beside that of its simulation
_SMALL = 2**22


class LaneDimensions(NamedTuple):
    """What a lane group needs room for.

    Attributes
    ----------
    workspace : int
        Doubles of ``w``.
    states, width : int
    times, sampled : int
        Samples of each lane, and of how many numbers each is: states, or outputs.
    rates : bool
        Whether zero-order inputs are kept at samples.
    roots, gaps : int
        Events and conditions on states.
    watched : tuple of int
        Outputs of which the greatest value is wanted.
    """

    workspace: int
    states: int
    width: int
    times: int
    sampled: int
    rates: bool
    roots: int
    gaps: int
    watched: tuple[int, ...]

    def reals(self) -> dict[str, tuple[int, ...]]:
        """Shapes of arrays of doubles, by their names in :class:`cellsim.solver.loop_arrays.LoopArrays`."""
        n, width, watched = self.states, self.width, len(self.watched)
        return {
            "w": (self.workspace,),
            "fail_time": (width,),
            "pace": (5 * self.roots,),
            "seen": (9 * self.gaps * width,),
            "flow": (2 * n * width,),
            "greatest": (2, watched, width),
            "heights": (8, watched, width),
            # what samples leave behind stands last
            "inputs": (self.times if self.rates else 0, n * width),
            "samples": (self.times, self.sampled * width),
        }

    def wholes(self) -> dict[str, tuple[int, ...]]:
        """The same of whole numbers."""
        n, width = self.states, self.width
        return {
            "held": (self.roots,),
            "status": (width,),
            "culprit": (width,),
            "counts": (4,),
            "source": (width,),
            "ptr": (width,),
            "now": (3 * self.roots,),
            "grown": (n, width),
            "watched": (len(self.watched),),
        }


_NO_PATH = np.empty((0, 0))


@dataclass
class LaneState:
    """Everything of a lane group that moves (see `cellsim.solver.loop_arrays.LoopArrays`).

    Attributes
    ----------
    room : LaneDimensions
    doubles, numbers : array
        What all other arrays are parts of.
    places : array
        Where everything is that the loop takes.
    at : tuple of int
        Where `places` begins, where `w` does, and where what :meth:`reading` fills does.
    """

    room: LaneDimensions
    doubles: Reals
    numbers: Wholes
    places: Wholes
    w: Reals
    fail_time: Reals
    pace: Reals
    seen: Reals
    flow: Reals
    greatest: Reals
    heights: Reals
    inputs: Reals
    samples: Reals
    held: Wholes
    status: Wholes
    culprit: Wholes
    counts: Wholes
    source: Wholes
    ptr: Wholes
    now: Wholes
    grown: Wholes
    watched: Wholes
    path: Reals = field(default_factory=lambda: _NO_PATH)

    def __post_init__(self) -> None:
        self._reading = np.zeros(len(Reading._fields), np.int64)
        self._moving = self.doubles.size - self.samples.size - self.inputs.size
        self.at = address(self.places), int(self.places[_W]), address(self._reading)

    @classmethod
    def of(cls, room: LaneDimensions) -> LaneState:
        """One with whatever the memory held, its addresses in `places`."""
        shapes, whole_shapes = room.reals(), room.wholes()
        doubles = aligned(sum(map(prod, shapes.values())))
        numbers = np.zeros(sum(map(prod, whole_shapes.values())), np.int64)
        places = np.zeros(len(LoopArrays._fields) + len(Tangents._fields), np.int64)
        views: dict[str, Any] = {}
        for store, parts in ((doubles, shapes), (numbers, whole_shapes)):
            begin, at = address(store), 0
            for name, shape in parts.items():
                size = prod(shape)
                views[name] = store[at : at + size].reshape(shape)
                places[_FIELDS[name]] = begin + 8 * at
                at += size
        places[_FIELDS["path"]] = address(_NO_PATH)
        return cls(room, doubles, numbers, places, **views)

    @property
    def bytes(self) -> int:
        """How much memory it takes."""
        return self.doubles.nbytes + self.numbers.nbytes + self.path.nbytes

    def blank(self) -> None:
        """Write what stands there before anything has been; the other numbers are zero as they were made."""
        self.source[:] = range(self.room.width)
        self.pace[:] = np.nan
        self.greatest[:] = -np.inf
        self.watched[:] = self.room.watched

    @property
    def moving(self) -> Reals:
        """All doubles but samples and inputs, which are written before they are read, and may be another's."""
        return self.doubles[: self._moving]

    def begin(self, moving: Reals, numbers: Wholes) -> None:
        """Forget all that has been: what moves stands as it did at the start of another of its kind."""
        self.doubles[: moving.size] = moving
        self.numbers[:] = numbers

    def copy(self) -> LaneState:
        """Another that can go its own way."""
        return self._copied(self.room)

    def branched(self) -> LaneState:
        """Another that writes its samples where this one does, behind those that are there.

        Whichever goes on first has to be read before the other goes on: samples are half of a copy's time and most of its room.
        """
        other = self.unsampled()
        other.sampled_into(self)
        return other

    def unsampled(self) -> LaneState:
        """Another that has no samples yet, and no room for any."""
        return self._copied(self.room._replace(times=0))

    def _copied(self, room: LaneDimensions) -> LaneState:
        other = LaneState.of(room)
        other.begin(self.moving, self.numbers)
        if room.times:
            done = int(self.ptr.max())
            other.samples[:done], other.inputs[:done] = self.samples[:done], self.inputs[:done]
        if self.path.size:
            other.recorded(self.path.copy())
        return other

    def sampled_into(self, other: LaneState) -> None:
        """Write samples where another lane group has room for them."""
        self.room, self.samples, self.inputs = other.room, other.samples, other.inputs
        for name in ("samples", "inputs"):
            self.places[_FIELDS[name]] = other.places[_FIELDS[name]]

    def recorded(self, path: Reals) -> None:
        """Keep every step there."""
        self.path = path
        self.places[_FIELDS["path"]] = address(path)

    def handed(self, machine: Wholes, table: Wholes, options: int, times: int, tangents: Wholes) -> None:
        """Fill `places` with what is not its own."""
        places = self.places
        places[:_TABLE], places[_TABLE:_CALL], places[_TANGENTS:] = machine, table, tangents
        places[_CALL], places[_CALL + 1] = options, times

    def answered(self, place: int, where: int) -> None:
        """Let sensitivities go elsewhere, the rest of what `handed` filled in being the same."""
        self.places[_TANGENTS + place] = where

    def results_at(self, results: tuple[int, int, int]) -> None:
        """Let what samples say go elsewhere, the rest of what `reading` filled in being the same."""
        self._reading[-3:] = results

    def reading(
        self, machine: Wholes, options: int, lanes: int, places: int, results: tuple[int, int, int]
    ) -> None:
        """Fill what samples are read with (see :class:`cellsim.solver.loop_arrays.Reading`)."""
        own = self.places
        self._reading[:] = (
            machine[0], machine[1], options, own[_W], own[_SAMPLES], own[_INPUTS], lanes, places,
            *results,
        )  # fmt: skip

    def forget_missing(self) -> None:
        """Nan where a lane that has been given up was not sampled any more."""
        for lane in np.flatnonzero(self.status).tolist():
            self.samples[self.ptr[lane] :, lane :: len(self.status)] = np.nan


class LaneStatePool:
    """Lane groups that have done their work, for the next simulations of their kind."""

    def __init__(self) -> None:
        self._kept: list[LaneState] = []
        self._lock = Lock()

    def taken(self, room: LaneDimensions) -> LaneState:
        """One with room for all that, and whatever the last simulation left there."""
        with self._lock:
            for place, each in enumerate(self._kept):
                if each.room == room:
                    return self._kept.pop(place)
        return LaneState.of(room)

    def give_back(self, lane_state: LaneState) -> None:
        """Nothing of it is used any more."""
        if lane_state.bytes <= _SMALL and not lane_state.path.size:
            with self._lock:
                self._kept.append(lane_state)
                del self._kept[:-_SPARE]
