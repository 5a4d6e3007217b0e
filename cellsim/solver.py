"""Integrate compiled equations for many parameter sets under dosing: the engine's one door.

Method: Rodas5P (`cellsim.tableau`) with proportional-integral step control in the largest scaled error, restarted at
every dose, change of a rate, and event. Simulations side by side in lanes share one sequence of steps; what they
return agrees with one-by-one integration to the tolerance asked for, not to the last bit. No state is ever clipped:
tiny negatives within the absolute tolerance can appear, mass balances stay exact to rounding, and only the base of a
real power reads a negative as zero (`cellsim.graph.FLOOR_OF_BASES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsim.directions import LANES, Direction, directions_of, pack
from cellsim.errors import Problem, SimulationError, did_you_mean
from cellsim.kernels import Kernels, Unit, aligned, lane_width
from cellsim.tangents import TangentUnit, tangent_unit

__all__ = ["Doses", "Solution", "Steps", "integrate", "observe"]

Array = NDArray[np.float64]
MEANING = {
    0: "reached the end",
    1: "the step became too small",
    2: "too many steps",
    3: "a value is no longer finite",
}


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
class Steps:
    """The steps of one simulation, each with its continuous extension (order 4).

    Attributes
    ----------
    starts, ends : (n_steps,) array
        A dose or event lies between two steps; the last has no length when something happens at the very end.
    rows : (n_steps, 3 + 5 n) array
        Start, end, step length, then y, y1, K_1, K_2, K_3 of `cellsim.tableau`.
    n_states : int
    """

    rows: Array
    n_states: int

    @property
    def starts(self) -> Array:
        """When each step begins."""
        return self.rows[:, 0]

    @property
    def ends(self) -> Array:
        """When each step ends."""
        return self.rows[:, 1]

    def states(self, steps: NDArray[np.integer], times: Array) -> Array:
        """States at times inside given steps, both of shape (k,); shape (k, n_states)."""
        row = self.rows[steps]
        n = (self.rows.shape[1] - 3) // 5
        theta = ((times - row[:, 0]) / row[:, 2])[:, None]
        y, y1, k1, k2, k3 = (row[:, 3 + m * n : 3 + m * n + self.n_states] for m in range(5))
        rest = 1.0 - theta
        return np.asarray(rest * y + theta * (y1 + rest * (k1 + theta * (k2 + theta * k3))))


@dataclass(frozen=True)
class Solution:
    """What `integrate` found. Simulations that failed hold NaN from the failure on.

    Attributes
    ----------
    times : (n_times,) or (n_sets, n_times) array
        As asked for.
    states : (n_sets, n_times, n_states) array
    outputs : (n_sets, n_times, n_outputs) array
    output_rates : (n_sets, n_times, n_outputs) array or None
        Time derivative of the outputs at the sample times (from the right at a dose).
    sensitivities : (n_sets, n_times, n_outputs, n_directions) array or None
    status : (n_sets,) int array
        0 reached the end, 1 step too small, 2 too many steps, 3 not finite.
    messages : tuple of str
        One per set, empty where all went well; tells time and state.
    steps, rejected : int
        Work done, over all lane groups.
    paths : tuple of Steps
        With ``dense=True``: every step of every set.
    """

    times: Array
    states: Array
    outputs: Array
    output_rates: Array | None
    sensitivities: Array | None
    status: NDArray[np.int64]
    messages: tuple[str, ...]
    steps: int
    rejected: int
    paths: tuple[Steps, ...] = ()


@dataclass(frozen=True)
class Timetable:
    """Break points of a lane group and what happens at each (see `cellsim.stepper.run_group`)."""

    breaks: Array
    op_ptr: NDArray[np.int64]
    op_kind: NDArray[np.int64]
    op_index: NDArray[np.int64]
    op_amount: Array
    sources: tuple[tuple[int, ...], ...] = field(default=())


def _operations(doses: Doses, states: dict[str, int], start: float) -> list[tuple[float, int, int, float]]:
    """(time, kind, state, amount) for every jump and every switch of a rate."""
    from cellsim.stepper import OP_JUMP, OP_RATE

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
    if problems:
        raise SimulationError(problems)
    return operations


@lru_cache(maxsize=512)
def _timetable(
    doses: tuple[Doses, ...],
    states: tuple[str, ...],
    start: float,
    end: float,
    event_times: tuple[tuple[float, ...], ...],
    initially: tuple[bool, ...],
) -> Timetable:
    """Common break points for lanes with these doses and event times (one entry: the same for all lanes)."""
    from cellsim.stepper import OP_EVENT

    lanes = max(len(doses), len(event_times))
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
    for lane, each_times in enumerate(event_times):
        for event, time in enumerate(each_times):
            at = time
            if time <= start:
                if initially[event]:
                    continue
                at = start
            if at <= end:  # not-a-number (an event without a known time) is left out
                row = table.setdefault((at, OP_EVENT, event, 0), [0.0] * lanes)
                for target in range(lanes) if len(event_times) == 1 else (lane,):
                    row[target] = 1.0
    rows = sorted(table.items())
    breaks = np.unique([start, end, *(time for (time, *_), _ in rows)])
    times = np.array([time for (time, *_), _ in rows])
    pointers = (
        np.concatenate([np.searchsorted(times, breaks, "left"), [len(rows)]])
        if rows
        else np.zeros(len(breaks) + 1)
    )
    return Timetable(
        breaks=breaks.astype(float),
        op_ptr=pointers.astype(np.int64),
        op_kind=np.array([key[1] for key, _ in rows], np.int64),
        op_index=np.array([key[2] for key, _ in rows], np.int64),
        op_amount=np.array([row for _, row in rows], float).reshape(len(rows), lanes),
    )


@dataclass(frozen=True)
class Machine:
    """A unit's addresses and offsets as the step loop wants them."""

    unit: Unit
    addresses: NDArray[np.int64]
    offsets: NDArray[np.int64]
    root_event: NDArray[np.int64]
    held: NDArray[np.bool_]
    targets: NDArray[np.int64]
    target_ptr: NDArray[np.int64]


@lru_cache(maxsize=256)
def _machine(kernels: Kernels, width: int) -> Machine:
    from cellsim.stepper import KERNELS, SLOTS

    system, unit = kernels.system, kernels.unit(width)
    lay = unit.layout
    events = [f"event{e}" for e in range(len(system.assignments))]
    roots = [e for e, when in enumerate(system.event_times) if when is None]
    padded = lay["y1"] - lay["y"]
    sizes = [
        system.n,
        width,
        padded,
        len(system.outputs),
        len(roots),
        -1 if system.clock is None else system.clock,
        unit.fixed,
    ]
    targets = [[i for i, _ in each] for each in system.assignments]
    return Machine(
        unit,
        np.array([unit.address[name] for name in (*KERNELS, *events)], np.int64),
        np.array([*(lay[name] for name in SLOTS), *sizes], np.int64),
        np.array(roots, np.int64),
        np.array([kernels.equations.events[e].initially for e in roots], np.bool_),
        np.array([i for each in targets for i in each], np.int64),
        np.cumsum([0, *map(len, targets)]).astype(np.int64),
    )


def _no_tangents() -> Any:
    from cellsim.stepper import Tangents

    whole, real = np.zeros(0, np.int64), np.zeros(0)

    def table(columns: int) -> NDArray[np.int64]:
        return np.zeros((0, columns), np.int64)

    return Tangents(
        whole, real, whole, table(6), table(0), table(3), table(2), table(2), whole, whole, whole, real, whole,
        table(2), whole, table(3), whole, table(2), table(3), table(2), whole, table(2), np.zeros((0, 0)),
    )  # fmt: skip


@dataclass(frozen=True)
class Course:
    """Directions compiled and laid out for the step loop."""

    made: TangentUnit
    addresses: NDArray[np.int64]
    slots: NDArray[np.int64]
    groups: NDArray[np.int64]
    places: NDArray[np.int64]
    pairs_y: NDArray[np.int64]
    pairs_p: NDArray[np.int64]
    initials: NDArray[np.int64]
    row_ptr: NDArray[np.int64]
    rows: NDArray[np.int64]
    event_ptr: NDArray[np.int64]
    event_y: NDArray[np.int64]
    event_p_ptr: NDArray[np.int64]
    event_p: NDArray[np.int64]
    atoms: NDArray[np.int64]
    atom_y: NDArray[np.int64]
    tau_ptr: NDArray[np.int64]
    tau: NDArray[np.int64]

    def place(self, direction: int, state: int, slot: int = 0) -> int:
        """Where the tangent of a state along a direction stands in ``v``; slot 0 is s, 3 is u."""
        g, lane = self.made.packing.home[direction]
        return int(self.groups[g, slot] + self.places[g, state] + lane)

    def tangents(self, table: Timetable, doses: Doses, states: tuple[str, ...], result: Array) -> Any:
        """Everything for one run; `result` (n_times, n_outputs, n_directions) is filled by it."""
        from cellsim.stepper import SEED_EVENT_TIME, SEED_INPUT, SEED_STATE, SEED_TIME, Tangents

        v = self.made.unit.workspace()
        start = float(table.breaks[0])
        seeds: list[tuple[int, int, int, float]] = []

        def at(time: float) -> int | None:
            return int(np.searchsorted(table.breaks, time)) if time <= table.breaks[-1] else None

        def index(state: str | int) -> int:
            return states.index(state) if isinstance(state, str) else state

        def seed(time: float, code: int, where: int, value: float) -> None:
            if (b := at(time)) is not None:
                seeds.append((b, code, where, value))

        for d, direction in enumerate(self.made.packing.directions):
            kind, i = direction.kind, direction.index
            if kind == "initial":
                seed(start, SEED_STATE, self.place(d, i), 1.0)
            elif kind in ("jump", "jump time"):
                time, state, _ = doses.jumps[i]
                if kind == "jump":
                    seed(time, SEED_STATE, self.place(d, index(state)), 1.0)
                else:
                    seed(time, SEED_TIME, d, 1.0)
            elif kind in ("rate", "on", "off"):
                on, off, state, _ = doses.rates[i]
                if kind == "rate":
                    seed(on, SEED_INPUT, self.place(d, index(state), 3), 1.0)
                    seed(off, SEED_INPUT, self.place(d, index(state), 3), -1.0)
                else:
                    seed(on if kind == "on" else off, SEED_TIME, d, 1.0)
        for entry, (event, parameter) in enumerate(self.made.time_entries):
            for b in range(len(table.breaks)):
                for o in range(table.op_ptr[b], table.op_ptr[b + 1]):
                    if table.op_kind[o] == 2 and table.op_index[o] == event and table.breaks[b] > start:
                        seeds += [
                            (b, SEED_EVENT_TIME, d, float(entry))
                            for d, each in enumerate(self.made.packing.directions)
                            if each.kind == "parameter" and each.index == parameter
                        ]
        seeds.sort()
        counted = (
            np.bincount([b for b, *_ in seeds], minlength=len(table.breaks))
            if seeds
            else np.zeros(len(table.breaks))
        )
        return Tangents(
            self.addresses, v, self.slots, self.groups, self.places, self.pairs_y, self.pairs_p, self.initials,
            np.concatenate([[0], np.cumsum(counted)]).astype(np.int64),
            np.array([code for _, code, *_ in seeds], np.int64),
            np.array([where for *_, where, _ in seeds], np.int64),
            np.array([value for *_, value in seeds], float),
            self.row_ptr, self.rows, self.event_ptr, self.event_y, self.event_p_ptr, self.event_p,
            self.atoms, self.atom_y, self.tau_ptr, self.tau,
            result.reshape(len(result), -1),
        )  # fmt: skip


def _table(rows: list[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(len(rows), columns)


def _courses(
    kernels: Kernels,
    wanted: Sequence[str | Direction | tuple[str, str | int]],
    doses: tuple[Doses, ...],
    given_start: bool,
) -> list[Course]:
    """One course for each set of doses; equal ones are shared."""
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Course] = {}
    states = kernels.equations.states
    courses = []
    for each in doses:
        jumps = tuple(
            states.index(s) if isinstance(s, str) and s in states else int(s) for _, s, _ in each.jumps
        )
        rates = tuple(
            states.index(s) if isinstance(s, str) and s in states else int(s) for *_, s, _ in each.rates
        )
        if (jumps, rates) not in known:
            known[jumps, rates] = _course(kernels, tuple(wanted), jumps, rates, given_start)
        courses.append(known[jumps, rates])
    return courses


@lru_cache(maxsize=64)
def _course(
    kernels: Kernels,
    wanted: tuple[str | Direction | tuple[str, str | int], ...],
    jumps: tuple[int, ...],
    rates: tuple[int, ...],
    given_start: bool,
) -> Course:
    system = kernels.system
    directions = directions_of(system, wanted, len(jumps), len(rates))
    packing = pack(system, directions, {"jump": jumps, "rate": rates}, given_start=given_start)
    made = tangent_unit(kernels, packing)
    lay = made.unit.layout
    names = ("prepare", "step", "dense", "observe_y", "observe_p", "initial", "times", "atoms")
    names += tuple(f"event{e}" for e in range(len(system.assignments)))
    groups, places = [], np.full((len(made.shapes), system.n), -1, np.int64)
    for g, (shape, begin) in enumerate(zip(made.shapes, made.begin, strict=True)):
        slots = [begin + shape.layout[name] for name in ("s", "s1", "sample", "u", "dense")]
        groups.append((*slots, len(shape.row) * LANES))
        for row, offset in shape.row.items():
            places[g, row] = offset
    size = len(directions)

    def place(d: int, state: int, slot: int) -> int:
        g, lane = packing.home[d]
        return int(groups[g][slot] + places[g, state] + lane)

    along: dict[int, list[int]] = {}
    for d, direction in enumerate(directions):
        if direction.kind == "parameter":
            along.setdefault(direction.index, []).append(d)
    moved = [sorted(r for r in reach if r < system.n) for reach in packing.reach]
    by_state: dict[int, list[int]] = {}
    for d, rows in enumerate(moved):
        for r in rows:
            by_state.setdefault(r, []).append(d)
    event_y, event_p, event_ptr, event_p_ptr = [], [], [0], [0]
    for assignments, entries in zip(system.assignments, made.event_entries, strict=True):
        event_y += [(-1, i, 0) for i, _ in assignments]  # every target forgets its old tangent
        event_y += [(e, i, j) for e, (i, kind, j) in enumerate(entries) if kind == "y"]
        event_p += [
            (e, place(d, i, 0))
            for e, (i, kind, j) in enumerate(entries)
            if kind == "p"
            for d in along.get(j, ())
        ]
        event_ptr.append(len(event_y))
        event_p_ptr.append(len(event_p))
    atoms, atom_y, tau, tau_ptr, at = [], [], [], [0], 0
    for root, entries in made.atoms:
        atoms.append((root, at, len(atom_y)))
        atom_y += [(at + 1 + e, j) for e, (kind, j) in enumerate(entries) if kind == "y"]
        for d, direction in enumerate(directions):
            for e, (kind, j) in enumerate(entries):
                if kind == "y" and j in packing.reach[d]:
                    tau.append((at + 1 + e, place(d, j, 0)))
                elif kind == "p" and direction.kind == "parameter" and direction.index == j:
                    tau.append((at + 1 + e, -1))
            tau_ptr.append(len(tau))
        at += 1 + len(entries)
    atoms.append((-1, at, len(atom_y)))
    return Course(
        atoms=_table(atoms, 3),
        atom_y=_table(atom_y, 2),
        tau_ptr=np.array(tau_ptr, np.int64),
        tau=_table(tau, 2),
        made=made,
        addresses=np.array([made.unit.address[name] for name in names], np.int64),
        slots=np.array([lay[name] for name in ("gy", "gp", "y0p", "event", "times", "atoms")], np.int64),
        groups=_table(groups, 6),
        places=places,
        pairs_y=_table(
            [
                (e, place(d, j, 2), o * size + d)
                for e, (o, j) in enumerate(made.output_entries)
                for d in by_state.get(j, ())
            ],
            3,
        ),
        pairs_p=_table(
            [(e, o * size + d) for e, (o, j) in enumerate(made.output_parameters) for d in along.get(j, ())],
            2,
        ),
        initials=_table(
            [(e, place(d, i, 0)) for e, (i, j) in enumerate(made.initial_entries) for d in along.get(j, ())],
            2,
        ),
        row_ptr=np.cumsum([0, *map(len, moved)]).astype(np.int64),
        rows=_table([(r, place(d, r, 0)) for d, rows in enumerate(moved) for r in rows], 2),
        event_ptr=np.array(event_ptr, np.int64),
        event_y=_table(event_y, 3),
        event_p_ptr=np.array(event_p_ptr, np.int64),
        event_p=_table(event_p, 2),
    )


def _event_times(kernels: Kernels, parameters: Array) -> Array:
    """Known times of events, (n_sets or 1, n_events); NaN for events triggered by a state."""
    system = kernels.system
    times = [np.nan if when is None else system.graph.value(when) for when in system.event_times]
    if all(time is not None for time in times):
        return np.array([times], float)
    unit = kernels.unit(1)
    w, lay = unit.workspace(), unit.layout
    found = np.empty((len(parameters), len(times)))
    for row, p in zip(found, parameters, strict=True):
        w[lay["p"] : lay["p"] + len(p)] = p
        unit.call("prepare", w)
        unit.call("times", w)
        row[:] = w[lay["events"] : lay["events"] + len(times)]
    return found


def _width_for(kernels: Kernels, n_sets: int, lanes: int | None) -> int:
    scalar = n_sets == 1 or any(when is None for when in kernels.system.event_times)
    if lanes is not None:
        if lanes not in (1, 2, 4, 8):
            raise SimulationError(f"{lanes} lanes: 1, 2, 4 or 8 are possible.")
        return 1 if scalar else lanes
    return 1 if scalar or n_sets < lane_width() else lane_width()


def integrate(
    kernels: Kernels,
    parameters: ArrayLike,
    doses: Doses | Sequence[Doses] = Doses(),
    times: ArrayLike = (),
    *,
    start: float = 0.0,
    start_states: ArrayLike | None = None,
    rtol: float = 1e-6,
    atol: ArrayLike = 1e-9,
    peak_share: float = 0.0,
    directions: Sequence[str | Direction | tuple[str, str | int]] | None = None,
    output_rates: bool = False,
    dense: bool = False,
    end: float | None = None,
    max_steps: int = 200_000,
    max_step: float = np.inf,
    lanes: int | None = None,
    threads: int = 1,
) -> Solution:
    """Solve the equations for every parameter set.

    Parameters
    ----------
    kernels : Kernels
        From `cellsim.kernels.compile_equations`.
    parameters : (n_parameters,) or (n_sets, n_parameters) array
        In the order of ``kernels.equations.parameters``.
    doses : Doses, or one for each set
        Inputs from outside. A dose after the last sample has no effect; one before `start` is refused.
    times : (n_times,) or (n_sets, n_times) array
        When to sample, not decreasing. A sample at the instant of a dose or event is read after it.
    start : float
        Time of the initial values.
    start_states : (n_states,) or (n_sets, n_states) array, optional
        Values at `start`, instead of the model's initial values.
    rtol : float
        Relative error allowed in a step.
    atol : float or (n_states,) array
        Absolute error allowed in a step, in the unit of each state.
    peak_share : float
        Allow an absolute error of `rtol` times this share of the largest value a state has had so far, too. With
        0.1 a dose that has decayed to a tenth is followed less and less closely, in whatever unit it is counted,
        which saves a quarter of the steps in multi-dose models. Zero (off) where something small may grow again.
    directions : sequence, optional
        Differentiate outputs along these: names of parameters, or pairs ``("initial", state)``, ``("jump", n)``,
        ``("jump time", n)``, ``("rate", n)``, ``("on", n)``, ``("off", n)`` with n counted in `doses`. What comes back
        is the derivative of the scheme itself, its steps held fixed.
    output_rates : bool
        Also return the time derivative of outputs.
    dense : bool
        Also return every step, for interpolation anywhere (one lane).
    end : float, optional
        Go on to this time even if the last sample is earlier.
    max_steps : int
        Limit for each lane group.
    max_step : float
        Largest step.
    lanes : {1, 2, 4, 8}, optional
        Simulations side by side; the widest of this machine if left out and there are enough sets.
    threads : int
        Lane groups integrated at the same time (the interpreter lock is released).

    Returns
    -------
    Solution

    Raises
    ------
    SimulationError
        Shapes do not fit, a dose goes into an unknown state or comes before the start. A simulation that breaks
        down raises nothing: see ``status`` and ``messages``.

    Examples
    --------
    >>> import numpy as np, sympy as sp
    >>> from cellsim.equations import Equations
    >>> from cellsim.kernels import compile_equations
    >>> x, k = sp.symbols("x k")
    >>> decay = compile_equations(Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),)))
    >>> solution = integrate(decay, [[0.5], [1.0]], Doses(jumps=((1.0, "x", 1.0),)), [0.0, 1.0, 2.0])
    >>> solution.states[:, :, 0].round(4)
    array([[1.    , 1.6065, 0.9744],
           [1.    , 1.3679, 0.5032]])
    """
    from cellsim.stepper import observe_group, run_group

    equations, system = kernels.equations, kernels.system
    p = np.atleast_2d(np.asarray(parameters, float))
    t = np.asarray(times, float)
    n_sets, n_states = len(p), len(equations.states)
    problems = []
    if p.shape[1] != len(equations.parameters) and not (p.size == 0 and not equations.parameters):
        problems.append(
            Problem(what=f"{p.shape[1]} parameter values for {len(equations.parameters)} parameters.")
        )
    if t.ndim == 2 and len(t) != n_sets:
        problems.append(Problem(what=f"Sample times for {len(t)} sets, parameters for {n_sets}."))
    if not np.all(np.isfinite(t)) or (t.size and (np.any(np.diff(t) < 0) or t.min() < start)):
        problems.append(
            Problem(
                what=f"Sample times must be finite, not decrease, and not precede the start at {start:g}."
            )
        )
    several = (doses,) if isinstance(doses, Doses) else tuple(doses)
    if len(several) not in (1, n_sets):
        problems.append(Problem(what=f"Doses for {len(several)} sets, parameters for {n_sets}."))
    if not (rtol > 0 and np.all(np.asarray(atol) >= 0)):
        problems.append(Problem(what="Tolerances must be positive."))
    if problems:
        raise SimulationError(problems)
    t2 = np.broadcast_to(t, (n_sets, t.shape[-1]))
    width = 1 if dense or directions is not None else _width_for(kernels, n_sets, lanes)
    machine = _machine(kernels, width)
    lay, n = machine.unit.layout, system.n
    states = np.full((n_sets, t2.shape[1], n_states), np.nan)
    outputs = np.full((n_sets, t2.shape[1], len(system.outputs)), np.nan)
    slopes = np.full(outputs.shape if output_rates else (0, 0, 0), np.nan)
    status, culprit = np.zeros(n_sets, np.int64), np.zeros(n_sets, np.int64)
    fail_time = np.zeros(n_sets)
    options = np.array([rtol, max_step, max_steps, float(output_rates), peak_share])
    event_times = _event_times(kernels, p)
    initially = tuple(event.initially for event in equations.events)
    absolute = np.full(n, 1e300)  # the clock has no error
    absolute[:n_states] = atol
    given = None
    if start_states is not None:
        given = np.broadcast_to(np.asarray(start_states, float), (n_sets, n_states))
    if len(several) == 1:
        order = np.arange(n_sets)
    else:  # sets with the same doses share lanes
        first: dict[Doses, int] = {}
        order = np.argsort([first.setdefault(each, len(first)) for each in several], kind="stable")
    groups = [order[i : i + width] for i in range(0, n_sets, width)]

    paths: dict[int, Steps] = {}
    sensitivities = None
    if directions is not None:
        courses = _courses(kernels, directions, several, given is not None)
        sensitivities = np.full((*outputs.shape, len(directions)), np.nan)

    def run(group: NDArray[np.intp]) -> tuple[int, int]:
        filled = np.concatenate([group, np.repeat(group[-1:], width - len(group))])
        group_doses = several if len(several) == 1 else tuple(several[i] for i in filled)
        if len(set(group_doses)) == 1:
            group_doses = group_doses[:1]
        group_events = event_times if len(event_times) == 1 else event_times[filled]
        if len(group_events) > 1 and np.all((group_events == group_events[0]) | np.isnan(group_events)):
            group_events = group_events[:1]
        sample_times = np.ascontiguousarray(t2[filled].T)
        last = max(float(sample_times.max()) if sample_times.size else start, start if end is None else end)
        table = _timetable(
            group_doses, equations.states, start, last, tuple(map(tuple, group_events.tolist())), initially
        )
        w = aligned(lay.size)

        def slot(name: str, count: int) -> Array:
            return w[lay[name] : lay[name] + count * width].reshape(count, width)

        slot("p", p.shape[1])[:] = p[filled].T
        w[lay["atol"] : lay["atol"] + machine.offsets[18]] = 1.0
        slot("atol", n)[:] = absolute[:, None]
        if system.clock is not None:
            slot("y", n)[system.clock] = start
        if given is not None:
            slot("y", n_states)[:] = given[filled].T
        samples = np.full((len(sample_times), n * width), np.nan)
        inputs = np.zeros((len(sample_times) if output_rates else 0, n * width))
        group_status, group_culprit = np.zeros(width, np.int64), np.zeros(width, np.int64)
        group_time, counts = np.zeros(width), np.zeros(4, np.int64)
        path = np.empty((256, 3 + 5 * n) if dense else (0, 0))
        tangents = _no_tangents()
        if sensitivities is not None:
            course = courses[0 if len(several) == 1 else int(group[0])]
            tangents = course.tangents(table, group_doses[0], equations.states, sensitivities[group[0]])
        path = run_group(
            machine.addresses, machine.offsets, options, w, given is not None,
            table.breaks, table.op_ptr, table.op_kind, table.op_index, table.op_amount,
            machine.root_event, machine.held.copy(), machine.targets, machine.target_ptr,
            sample_times, samples, inputs, group_status, group_time, group_culprit, counts, path, tangents,
        )  # fmt: skip
        observe_group(
            machine.addresses, machine.offsets, options, w, samples, inputs, group, states, outputs, slopes
        )
        status[group], culprit[group] = group_status[: len(group)], group_culprit[: len(group)]
        fail_time[group] = group_time[: len(group)]
        if dense:
            paths[group[0]] = Steps(path[: counts[3]], n_states)
        return int(counts[0]), int(counts[1])

    if threads > 1 and len(groups) > 1:
        with ThreadPoolExecutor(threads) as pool:
            counted = list(pool.map(run, groups))
    else:
        counted = [run(group) for group in groups]
    names = (*equations.states, "time")
    messages = tuple(
        f"At time {fail_time[i]:.6g} {MEANING[code]}; {names[culprit[i]]} changes fastest." if code else ""
        for i, code in enumerate(status.tolist())
    )
    return Solution(
        times=t,
        states=states,
        outputs=outputs,
        output_rates=slopes if output_rates else None,
        sensitivities=sensitivities,
        status=status,
        messages=messages,
        steps=sum(a for a, _ in counted),
        rejected=sum(r for _, r in counted),
        paths=tuple(paths[i] for i in sorted(paths)),
    )


def observe(kernels: Kernels, times: ArrayLike, states: ArrayLike, parameters: ArrayLike) -> Array:
    """Outputs at many times at once.

    Parameters
    ----------
    kernels : Kernels
    times : (k,) array
    states : (k, n_states) array
    parameters : (n_parameters,) array

    Returns
    -------
    (k, n_outputs) array
    """
    from cellsim.stepper import observe_states

    machine = _machine(kernels, 1)
    w, lay = machine.unit.workspace(), machine.unit.layout
    p = np.asarray(parameters, float)
    w[lay["p"] : lay["p"] + p.size] = p
    machine.unit.call("prepare", w)
    t, y = np.asarray(times, float), np.ascontiguousarray(states, float)
    found = np.empty((t.size, len(kernels.system.outputs)))
    observe_states(machine.addresses, machine.offsets, w, t, y, found)
    return found
