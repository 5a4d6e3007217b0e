"""Integrate compiled equations for many parameter sets under dosing: the engine's one door.

Method: Rodas5P (`cellsim.compiler.rodas5p`) with proportional-integral step control in the largest scaled error,
restarted at every dose, change of a rate, and event. Simulations side by side in lanes share one sequence
of steps; what they return agrees with one-by-one integration to the tolerance asked for, not to the last
bit. No state is ever clipped: tiny negatives within the absolute tolerance can appear, mass balances stay
exact to rounding, and only the base of a real power reads a negative as zero
(`cellsim.compiler.graph.FLOOR_OF_BASES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsim.compiler.kernels import Kernels
from cellsim.compiler.llvm import lane_width
from cellsim.compiler.sensitivity_directions import Direction
from cellsim.errors import Problem, SimulationError, did_you_mean
from cellsim.solver.breakpoints import BreakTable, Doses, SegmentTree, lane_groups, segment_tree
from cellsim.solver.conditions import NoValueError, Turnings, setters, too_fast, turnings
from cellsim.solver.lanes import begin, follow, machine_of
from cellsim.solver.loop_arrays import (
    EVENTS_WITHOUT_END,
    NO_DERIVATIVE,
    NOT_FINITE,
    UNRESOLVED,
    LaneState,
    Reading,
    address,
    addresses,
)
from cellsim.solver.restarts import NO_STEADY_STATE, in_stretches
from cellsim.solver.sensitivities import CarriedTangents, courses_of
from cellsim.solver.step_loop_cache import step_code

__all__ = ["Doses", "Solution", "Steps", "integrate", "observe"]

Array = NDArray[np.float64]
NO_DOSES = Doses()
_NOTHING: frozenset[int] = frozenset()
PEAK_SHARE = 1e-4
# smaller ones, each tried where the one before did not resolve what grew again by itself
_SHARES = (1e-12, 1e-30, 1e-80, 1e-200)
UNSEEN = 1e-3
"""Share of the relative tolerance that is the absolute one of a state which has been 0 so far, in its own unit."""
MEANING = {
    0: "reached the end",
    1: "the step became too small",
    2: "too many steps",
    3: "a value is no longer finite",
    4: "events set each other off without end",
    5: "there is no derivative",
    6: "a state grows by itself from less than can be told",
    NO_STEADY_STATE: "no steady state was found",
}


@dataclass(frozen=True)
class Steps:
    """The steps of one simulation, each with its continuous extension (order 4).

    Attributes
    ----------
    starts, ends : (n_steps,) array
        A dose or event lies between two steps; the last has no length when something happens at the very end.
    rows : (n_steps, 3 + 5 n) array
        Start, end, step length, then y, y1, K_1, K_2, K_3 of `cellsim.compiler.rodas5p`.
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
        Of no states unless they were to be kept.
    outputs : (n_sets, n_times, n_outputs) array
    output_rates : (n_sets, n_times, n_outputs) array or None
        Time derivative of the outputs at the sample times (from the right at a dose).
    sensitivities : (n_sets, n_times, n_outputs, n_directions) array or None
    status : (n_sets,) int array
        0 reached the end, 1 step too small, 2 too many steps, 3 not finite, 4 events without end, 5 a condition
        on states turns where nothing can be differentiated (with `directions` only), 6 a state grows by itself from
        less than can be told, 7 no steady state was found under a course of doses.
    culprits : (n_sets,) int array
        Where `status` is not 0: the state, event or mode that its message names, by its place.
    messages : tuple of str
        One per set, empty where all went well; tells time and state.
    steps, rejected : int
        Work done, over all lane groups.
    paths : tuple of Steps
        With ``dense=True``: every step of every set.
    greatest, greatest_at : (n_sets, n_peaks) arrays
        The greatest value of each of `peaks`, and a time at which it is reached.
    """

    times: Array
    states: Array
    outputs: Array
    output_rates: Array | None
    sensitivities: Array | None
    status: NDArray[np.int64]
    culprits: NDArray[np.int64]
    messages: tuple[str, ...]
    steps: int
    rejected: int
    paths: tuple[Steps, ...] = ()
    greatest: Array = field(default_factory=lambda: np.empty((0, 0)))
    greatest_at: Array = field(default_factory=lambda: np.empty((0, 0)))


def _width_for(kernels: Kernels, n_sets: int, lanes: int | None) -> int:
    scalar = n_sets == 1 or bool(kernels.system.located)
    if lanes is not None:
        if lanes not in (1, 2, 4, 8):
            raise SimulationError(f"{lanes} lanes: 1, 2, 4 or 8 are possible.")
        return 1 if scalar else lanes
    return 1 if scalar or n_sets < lane_width() else lane_width()


def integrate(
    kernels: Kernels,
    parameters: ArrayLike,
    doses: Doses | Sequence[Doses] = NO_DOSES,
    times: ArrayLike = (),
    *,
    start: float = 0.0,
    start_states: ArrayLike | None = None,
    rtol: float = 1e-6,
    atol: ArrayLike | None = None,
    peak_share: ArrayLike = PEAK_SHARE,
    directions: Sequence[str | Direction | tuple[str, str | int]] | None = None,
    output_rates: bool = False,
    keep_states: bool = True,
    peaks: Sequence[str] = (),
    since: float = -np.inf,
    dense: bool = False,
    end: float | None = None,
    resume_at: float | None = None,
    max_steps: int = 200_000,
    max_step: float = np.inf,
    lanes: int | None = None,
    threads: int = 1,
) -> Solution:
    """Solve the equations for every parameter set.

    Parameters
    ----------
    kernels : Kernels
        From `cellsim.compiler.kernels.compile_equations`.
    parameters : (n_parameters,) or (n_sets, n_parameters) array
        In the order of ``kernels.equations.parameters``.
    doses : Doses, or one for each set
        Inputs from outside. A dose after the last sample has no effect; one before `start` is refused. Sets
        that differ in their doses alone are integrated once up to where these part (see `cellsim.solver.breakpoints`),
        unless there are `directions`.
    times : (n_times,) or (n_sets, n_times) array
        When to sample, not decreasing. A sample at the instant of a dose or event is read after it.
    start : float
        Time of the initial values.
    start_states : (n_states,) or (n_sets, n_states) array, optional
        Values at `start`, instead of the model's initial values.
    rtol : float
        Relative error allowed in a step.
    atol : float or (n_states,) array, optional
        Absolute error allowed in a step, in the unit of each state, the whole time. Left out, it follows the
        values: `rtol` times `peak_share` of the largest value the state has had so far; a thousandth of `rtol` while
        it has been nothing but 0.
    peak_share : float, or (n_sets, n_states) array
        With 0.1 a dose that has decayed to a tenth is followed less and less closely, in whatever unit it is
        counted, which saves a quarter of the steps in multi-dose models. A set in which a state falls to where its
        error counts and then grows again by itself is integrated once more with a smaller share of that state, as
        often as needed. Without meaning when `atol` is given.
    directions : sequence, optional
        Differentiate outputs along these: names of parameters, or pairs ``("initial", state)``, ``("jump",
        n)``, ``("jump time", n)``, ``("rate", n)``, ``("on", n)``, ``("off", n)`` with n counted in
        `doses`. What comes back is the derivative of the scheme itself, its steps held fixed.
    output_rates : bool
        Also return the time derivative of outputs.
    keep_states : bool
        Whether states are wanted beside outputs: for many sets and times they are most of the memory.
    peaks : sequence of str
        Outputs of which the greatest value is wanted, wherever between the samples it lies.
    since : float
        From when on greatest values count.
    dense : bool
        Also return every step, for interpolation anywhere (one lane).
    end : float, optional
        Go on to this time even if the last sample is earlier.
    resume_at : float, optional
        A time before which nothing is sampled, and after which schedules differ: what has been reached there is kept, and a
        later call with the same sets, doses before it and settings goes on from there. Every integration restarts there.
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
        Shapes do not fit, a dose goes into an unknown state or comes before the start. A simulation that
        breaks down raises nothing: see ``status`` and ``messages``.

    Examples
    --------
    >>> import numpy as np, sympy as sp
    >>> from cellsim.compiler.equations import Equations
    >>> from cellsim.compiler.kernels import compile_equations
    >>> x, k = sp.symbols("x k")
    >>> decay = compile_equations(Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),)))
    >>> solution = integrate(decay, [[0.5], [1.0]], Doses(jumps=((1.0, "x", 1.0),)), [0.0, 1.0, 2.0])
    >>> solution.states[:, :, 0].round(4)
    array([[1.    , 1.6065, 0.9744],
           [1.    , 1.3679, 0.5032]])
    """
    equations, system = kernels.equations, kernels.system
    p = np.asarray(parameters, float)
    p = p if p.ndim == 2 else np.atleast_2d(p)
    t = np.asarray(times, float)
    n_sets, n_states = len(p), len(equations.states)
    problems = []
    if p.shape[1] != len(equations.parameters) and not (p.size == 0 and not equations.parameters):
        problems.append(
            Problem(what=f"{p.shape[1]} parameter values for {len(equations.parameters)} parameters.")
        )
    if t.ndim == 2 and len(t) != n_sets:
        problems.append(Problem(what=f"Sample times for {len(t)} sets, parameters for {n_sets}."))
    # what is no number compares as false
    if t.size and not (
        (t[..., 1:] >= t[..., :-1]).all() and t[..., 0].min() >= start and t[..., -1].max() < np.inf
    ):
        problems.append(
            Problem(
                what=f"Sample times must be finite, not decrease, and not precede the start at {start:g}."
            )
        )
    several = (doses,) if isinstance(doses, Doses) else tuple(doses)
    if len(several) not in (1, n_sets):
        problems.append(Problem(what=f"Doses for {len(several)} sets, parameters for {n_sets}."))
    problems += [
        Problem(what=f"There is no output {name!r}.", remedy=did_you_mean(name, equations.output_names))
        for name in peaks
        if name not in equations.output_names
    ]
    positive = peak_share > 0 if isinstance(peak_share, float) else np.all(np.asarray(peak_share) > 0)
    if not (rtol > 0 and positive and (atol is None or np.all(np.asarray(atol) >= 0))):
        problems.append(Problem(what="Tolerances must be positive."))
    if problems:
        raise SimulationError(problems)
    t2 = t if t.ndim == 2 else np.broadcast_to(t, (n_sets, t.size)) if n_sets > 1 else t.reshape(1, -1)
    shares = np.asarray(peak_share if atol is None else 0.0, float)
    if any(each.anew for each in several):
        return replace(
            in_stretches(
                integrate, kernels, p, several, t2, start=start,
                start_states=None if start_states is None else np.broadcast_to(start_states, (n_sets, n_states)),
                rtol=rtol, atol=atol, peak_share=np.broadcast_to(peak_share, (n_sets, n_states)), directions=directions,
                output_rates=output_rates, keep_states=keep_states, peaks=peaks, since=since, dense=dense, end=end,
                max_steps=max_steps, max_step=max_step, lanes=lanes, threads=threads,
            ), times=t,
        )  # fmt: skip
    width = 1 if dense or directions is not None else _width_for(kernels, n_sets, lanes)
    machine = machine_of(kernels, width)
    n = system.n
    # every set is read at its end, however far it came
    states = np.empty((n_sets, t2.shape[1], n_states if keep_states else 0))
    outputs = np.empty((n_sets, t2.shape[1], len(system.outputs)))
    slopes = np.empty(outputs.shape if output_rates else (0, 0, 0))
    results = address(states), address(outputs), address(slopes)
    status, culprit = np.zeros(n_sets, np.int64), np.zeros(n_sets, np.int64)
    fail_time = np.zeros(n_sets)
    watched = tuple(equations.output_names.index(name) for name in peaks)
    behind_peaks = _behind(kernels, watched) if watched else _NOTHING
    moved = system.time in behind_peaks
    behind = tuple(i for i, node in enumerate(system.y) if node in behind_peaks) if watched else ()
    greatest = np.full((2, n_sets, len(watched)), np.nan)
    together = float(t.ndim == 1)
    options = np.array([rtol, max_step, max_steps, float(output_rates), since, float(moved), together])
    options_at = address(options)
    absolute = np.empty(n)
    absolute[:n_states] = UNSEEN * rtol if atol is None else atol
    absolute[n_states:] = 1e300  # the clock has no error
    grown: dict[int, NDArray[np.bool_]] = {}
    given = None
    if start_states is not None:
        given = np.broadcast_to(np.asarray(start_states, float), (n_sets, n_states))
    marks = None
    if len(several) > 1 and directions is None:  # a direction may be a dose, counted differently in each
        by_set = np.broadcast_to(shares, (n_sets, n_states))
        rows = [p, *([t2] if t.ndim == 2 else []), *([] if given is None else [given]), by_set]
        marks = [b"".join(each[i].tobytes() for each in rows) for i in range(n_sets)]
    groups = lane_groups(marks, several, n_sets, width)

    paths: dict[int, Steps] = {}
    sensitivities = None
    if dense or directions is not None:
        resume_at = None
    if resume_at is not None:
        early = np.asarray((t2 < resume_at).any(axis=1), bool)
    # where nothing turns by itself and all sets have the same samples and doses, they have the same breaks too
    still = not (system.turns or system.timed or system.courses or system.output_courses)
    alike = t.ndim == 1 and still and len(several) == 1
    common: dict[int, SegmentTree] = {}
    if directions is not None:
        courses = courses_of(kernels, directions, several, given is not None)
        sensitivities = np.full((*outputs.shape, len(directions)), np.nan)

    def run(group: NDArray[np.intp]) -> NDArray[np.int64]:
        filled = group
        if group.shape[1] < width:
            filled = np.concatenate([group, np.repeat(group[:, -1:], width - group.shape[1], axis=1)], axis=1)
        schedules = [several]
        if len(several) > 1:
            each_lane = [tuple(several[i] for i in row) for row in filled]
            schedules = [row[:1] if len(set(row)) == 1 else row for row in each_lane]
        lead = filled[0]  # the other rows differ from it in their doses alone
        sample_times = np.ascontiguousarray(t2[lead].T)
        last = float(sample_times[-1].max()) if sample_times.size else start
        last = max(last, start if end is None else end)
        until = resume_at
        if resume_at is not None and (early[lead].any() or not start < resume_at < last):
            until = None
        turned = [
            Turnings(system, ())
            if still
            else turnings(system, p[i], start, last, between=dense or bool(peaks))
            for i in (lead[:1] if still else lead)
        ]
        for node in behind_peaks & {node for each in turned for node in each.unfollowed}:
            raise too_fast(system, node, start, last)
        plan = common.get(0)
        if plan is None or not alike:
            fired = tuple(each.firings for each in turned)
            plan = segment_tree(
                tuple(schedules),
                equations.states,
                start,
                last,
                tuple(sorted({day for each in turned for day in (*each.days, *each.steep)})),
                fired if len(set(fired)) > 1 else fired[:1],
                until,
            )
            common[0] = plan

        def arrived(schedule: int, lane_state: LaneState) -> None:
            sets = group[schedule]
            lanes = np.ascontiguousarray(sets)
            failed = lane_state.status.any()
            if failed:
                lane_state.forget_missing()
            lane_state.reading(machine.places, options_at, address(lanes), results)
            step_code().observe_group(
                lane_state.at[2], lane_state.at[1], len(sample_times), len(sets), states.shape[2]
            )
            if failed:
                status[sets], culprit[sets] = lane_state.status[: len(sets)], lane_state.culprit[: len(sets)]
                fail_time[sets] = lane_state.fail_time[: len(sets)]
                for place, i in enumerate(sets.tolist()):
                    grown[i] = lane_state.grown[:n_states, place] > 0
            if watched:
                greatest[:, sets] = np.swapaxes(lane_state.greatest[:, :, : len(sets)], 1, 2)
            if dense:
                paths[sets[0]] = Steps(lane_state.path[: lane_state.counts[3]], n_states)

        carried: list[CarriedTangents] = []

        def tangents(table: BreakTable) -> CarriedTangents:
            assert sensitivities is not None and course is not None
            result = sensitivities[lead[0]]
            carried.append(course.tangents(table, schedules[0][0], equations.states, result, turned[0]))
            return carried[-1]

        course = None if sensitivities is None else courses[0 if len(several) == 1 else int(lead[0])]
        lane_state = begin(
            machine,
            p[lead],
            absolute,
            rtol * np.broadcast_to(shares, (n_sets, n_states))[lead].T
            if shares.ndim
            else np.full((n_states, 1), rtol * shares),
            start,
            None if given is None else given[lead],
            len(sample_times),
            clock=system.clock,
            output_rates=output_rates,
            dense=dense,
            watched=watched,
            behind=behind,
        )
        history = b""
        if plan.history:
            of_lead = np.broadcast_to(shares, (n_sets, n_states))[lead]
            settings = (p[lead], of_lead, absolute, options, np.array(watched, np.int64), np.array([start]))
            before = () if given is None else (given[lead],)
            history = b"|".join([plan.history, *(each.tobytes() for each in (*settings, *before))])
        work = follow(
            machine, lane_state, plan, options, sample_times, given is not None, arrived,
            None if course is None else tangents, history,
        )  # fmt: skip
        machine.pool.give_back(lane_state)
        if course is not None:
            course.spare.extend(each.v for each in carried)
        return work

    if threads > 1 and len(groups) > 1:
        with ThreadPoolExecutor(threads) as pool:
            counted = list(pool.map(run, groups))
    else:
        counted = [run(group) for group in groups]
    messages = [""] * n_sets
    again = np.zeros(0, np.intp)
    if status.any():
        messages = [
            _message(kernels, code, float(fail_time[i]), int(culprit[i])) if code else ""
            for i, code in enumerate(status.tolist())
        ]
        unresolved = np.flatnonzero(status == UNRESOLVED)
        by_set = np.broadcast_to(shares, (n_sets, n_states))
        again = np.array(
            [i for i in unresolved.tolist() if (by_set[i] > _SHARES[-1])[grown[i]].any()], np.intp
        )
    if again.size:
        smaller = np.array(_SHARES)[np.argmax(np.array(_SHARES) < by_set[again, :, None], axis=2)]
        by_itself = np.array([grown[i] for i in again.tolist()])
        closer = integrate(
            kernels,
            p[again],
            several[0] if len(several) == 1 else [several[i] for i in again.tolist()],
            t2[again],
            start=start,
            start_states=None if given is None else given[again],
            rtol=rtol,
            peak_share=np.where(by_itself, np.minimum(smaller, by_set[again]), by_set[again]),
            directions=directions,
            output_rates=output_rates,
            keep_states=keep_states,
            peaks=peaks,
            since=since,
            dense=dense,
            end=end,
            resume_at=resume_at,
            max_steps=max_steps,
            max_step=max_step,
            lanes=lanes,
            threads=threads,
        )
        states[again], outputs[again], status[again] = closer.states, closer.outputs, closer.status
        culprit[again] = closer.culprits
        greatest[:, again] = closer.greatest, closer.greatest_at
        if closer.output_rates is not None:
            slopes[again] = closer.output_rates
        if sensitivities is not None:
            sensitivities[again] = closer.sensitivities
        for place, i in enumerate(again.tolist()):
            messages[i] = closer.messages[place]
            if dense:
                paths[i] = closer.paths[place]
        counted.append(np.array([closer.steps, closer.rejected]))
    return Solution(
        times=t,
        states=states,
        outputs=outputs,
        output_rates=slopes if output_rates else None,
        sensitivities=sensitivities,
        status=status,
        culprits=culprit,
        messages=tuple(messages),
        steps=int(sum(each[0] for each in counted)),
        rejected=int(sum(each[1] for each in counted)),
        paths=tuple(paths[i] for i in sorted(paths)),
        greatest=np.where(status[:, None] == 0, greatest[0], np.nan) if watched else greatest[0],
        greatest_at=greatest[1],
    )


@lru_cache(maxsize=64)
def _behind(kernels: Kernels, outputs: tuple[int, ...]) -> frozenset[int]:
    """All nodes that some outputs are made of."""
    return frozenset(kernels.system.graph.reachable([kernels.system.outputs[k] for k in outputs]))


def _message(kernels: Kernels, code: int, time: float, culprit: int) -> str:
    equations = kernels.equations
    if code == EVENTS_WITHOUT_END:
        return f"At time {time:.6g} {MEANING[code]}: {equations.events[culprit].name} fires again and again."
    if code == UNRESOLVED:
        return (
            f"At time {time:.6g} {MEANING[code]}: {equations.states[culprit]} had fallen to less than {_SHARES[-1]:g} of "
            "its largest value. Write it as a logarithm, or with a floor."
        )
    if code == NO_DERIVATIVE:
        shown = kernels.system.shown(kernels.system.modes[culprit])
        return f"At time {time:.6g} {MEANING[code]}: {shown!r} turns there without crossing, and rates jump with it."
    if code == NOT_FINITE and culprit < len(equations.states) and (by := setters(kernels.system, culprit)):
        return str(NoValueError(time, equations.states[culprit], by))
    return (
        f"At time {time:.6g} {MEANING[code]}; {(*equations.states, 'time', 'time')[culprit]} changes fastest."
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
    system, machine = kernels.system, machine_of(kernels, 1)
    w, lay = machine.unit.workspace(), machine.unit.layout
    p, t = np.asarray(parameters, float), np.asarray(times, float)
    w[lay["p"] : lay["p"] + p.size] = p
    machine.unit.call("prepare", w)
    samples = np.empty((t.size, system.n))
    samples[:, : len(kernels.equations.states)] = states
    samples[:, len(kernels.equations.states) :] = t[:, None]  # the clock, and what outputs do not look at
    found, none = np.empty((1, t.size, len(system.outputs))), np.empty((1, 0, 0))
    w[lay["peak"] : lay["peak"] + system.n] = np.abs(samples).max(axis=0, initial=0.0)
    options, lanes = np.zeros(7), np.zeros(1, np.int64)
    reading = Reading(machine.addresses, machine.offsets, options, w, samples, none, lanes, none, found, none)
    step_code().observe_group(address(addresses(*reading)), address(w), t.size, 1, 0)
    return found[0]
