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
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cellsim.compiler.kernels import Kernels
from cellsim.compiler.llvm import BLOCK
from cellsim.compiler.sensitivity_directions import Direction
from cellsim.solver.breakpoints import Doses, lane_groups
from cellsim.solver.conditions import NoValueError, setters
from cellsim.solver.lane_runs import LaneRun, Results, Settings, lane_run, refuse_unfit
from cellsim.solver.lanes import machine_of
from cellsim.solver.loop_arrays import (
    EVENTS_WITHOUT_END,
    NO_DERIVATIVE,
    NOT_FINITE,
    SLIDING,
    UNRESOLVED,
    Reading,
    address,
    addresses,
)
from cellsim.solver.restarts import NO_STEADY_STATE, in_stretches
from cellsim.solver.step_loop_cache import step_code

__all__ = ["Doses", "Solution", "SteadyState", "Steps", "integrate", "observe", "steady_state"]

Array = NDArray[np.float64]
NO_DOSES = Doses()
_NONE = np.zeros(0, np.intp)
PEAK_SHARE = 1e-4
# smaller ones, each tried where the one before did not resolve what grew again by itself
_SHARES = (1e-12, 1e-30, 1e-80, 1e-200)
MEANING = {
    0: "reached the end",
    1: "the step became too small",
    2: "too many steps",
    3: "a value is no longer finite",
    4: "events set each other off without end",
    5: "there is no derivative",
    6: "a state grows by itself from less than can be told",
    NO_STEADY_STATE: "no steady state was found",
    SLIDING: "a condition on states turns back and forth without end",
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
        Or what was given for them.
    output_rates : (n_sets, n_times, n_outputs) array or None
        Time derivative of the outputs at the sample times (from the right at a dose).
    sensitivities : (n_sets, n_times, n_outputs, n_directions) array or None
    status : (n_sets,) int array
        0 reached the end, 1 step too small, 2 too many steps, 3 not finite, 4 events without end, 5 a condition
        on states turns where nothing can be differentiated (with `directions` only), 6 a state grows by itself from
        less than can be told, 7 no steady state was found under a course of doses, 8 rates on the two sides of a condition
        lead back to it.
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

    @classmethod
    def _of(cls, **fields: Any) -> Solution:
        """One with all its fields: through the setters of a frozen class it takes as long as a small model's simulation."""
        made = object.__new__(cls)
        made.__dict__.update(fields)
        return made


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
    into: Array | None = None,
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
        When to sample, not decreasing. A sample at the instant of a dose or event is read after it, of an event
        whose trigger does not hold yet there (``time > 2`` at 2) before it.
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
        `doses`. What comes back is the derivative of the scheme itself, its steps held fixed; these follow the errors of states
        and derivatives, of which ten times as much is allowed.
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
    into : (..., n_times, n_outputs) array, optional
        Where outputs go, in whatever order it has them in memory: its axes before the last two count the sets. Where sets lie side by
        side, statistics over them are several times as quick.

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
    p = np.asarray(parameters, float)
    p = p if p.ndim == 2 else p.reshape(1, -1)
    t = np.asarray(times, float)
    several = (doses,) if isinstance(doses, Doses) else tuple(doses)
    n_sets, n_values = p.shape
    asked = Settings(
        kernels,
        n_sets,
        # of none there may be as many sets as you like
        n_values if p.size or kernels.equations.parameters else 0,
        several,
        t.tobytes() if t.ndim == 1 else b"",
        start,
        start_states is not None,
        end,
        rtol,
        atol if atol is None or isinstance(atol, float) else np.asarray(atol, float),
        peak_share if isinstance(peak_share, float) else np.asarray(peak_share, float),
        None if directions is None else tuple(directions),
        output_rates,
        keep_states,
        tuple(peaks),
        since,
        dense,
        None if dense or directions is not None else resume_at,
        max_steps,
        max_step,
        lanes,
    )
    given = None
    if start_states is not None:
        given = np.broadcast_to(np.asarray(start_states, float), (n_sets, len(kernels.equations.states)))
    if any(each.anew for each in several):
        refuse_unfit(asked, t, into)
        stretched = replace(
            in_stretches(
                integrate, kernels, p, several, np.broadcast_to(t, (n_sets, t.shape[-1])), start=start, start_states=given,
                rtol=rtol, atol=atol, peak_share=np.broadcast_to(peak_share, (n_sets, len(kernels.equations.states))),
                directions=directions, output_rates=output_rates, keep_states=keep_states, peaks=peaks, since=since,
                dense=dense, end=end, max_steps=max_steps, max_step=max_step, lanes=lanes, threads=threads,
            ), times=t,
        )  # fmt: skip
        if into is None:
            return stretched
        into[:] = stretched.outputs.reshape(into.shape)
        return replace(stretched, outputs=into)
    run = lane_run(asked, t)
    if into is not None:
        refuse_unfit(asked, t, into)
    marks = None
    if len(several) > 1 and directions is None:  # a direction may be a dose, counted differently in each
        rows = [p, *([t] if t.ndim == 2 else []), *(each for each in (given, run.shares) if each is not None)]
        marks = [b"".join(each[i].tobytes() for each in rows) for i in range(n_sets)]
    groups = lane_groups(marks, several, n_sets, run.width)
    found = run.results(into)
    if threads > 1 and len(groups) > 1:
        # where sets lie side by side, two threads that write into one line of the processor's memory wait for one another
        line = max(BLOCK // run.width, 1)
        together = [groups[first : first + line] for first in range(0, len(groups), line)]
        with ThreadPoolExecutor(threads) as pool:
            counted = [
                each
                for done in pool.map(
                    lambda some: [run.carry(group, p, given, found) for group in some], together
                )
                for each in done
            ]
    else:
        repeated = into is None and run.repeats
        counted = [
            run.again(p, given, found) if repeated else run.carry(group, p, given, found) for group in groups
        ]
    messages = ("",) * n_sets
    if any(found.status.tolist()):
        messages = tuple(
            _message(kernels, code, float(found.fail_time[i]), int(found.culprit[i])) if code else ""
            for i, code in enumerate(found.status.tolist())
        )
    paths = {i: Steps(rows, len(kernels.equations.states)) for i, rows in found.recorded.items()}
    solution = Solution._of(
        times=t,
        states=found.states,
        outputs=found.outputs,
        output_rates=found.slopes if output_rates else None,
        sensitivities=found.sensitivities,
        status=found.status,
        culprits=found.culprit,
        messages=messages,
        steps=sum(each[0] for each in counted),
        rejected=sum(each[1] for each in counted),
        paths=tuple(paths[i] for i in sorted(paths)),
        greatest=np.where(found.status[:, None] == 0, found.greatest[0], np.nan)
        if peaks
        else found.greatest[0],
        greatest_at=found.greatest[1],
    )
    again, smaller = _unresolved(run, found)
    if not again.size:
        return solution
    closer = integrate(
        kernels,
        p[again],
        several[0] if len(several) == 1 else [several[i] for i in again.tolist()],
        np.broadcast_to(t, (n_sets, t.shape[-1]))[again],
        start=start,
        start_states=None if given is None else given[again],
        rtol=rtol,
        peak_share=smaller,
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
    return _with(solution, again, closer)


def _unresolved(run: LaneRun, found: Results) -> tuple[NDArray[np.intp], Array]:
    """Sets in which a state grew by itself from less than was told apart, and a smaller share for each such state."""
    unresolved = np.flatnonzero(found.status == UNRESOLVED) if any(found.status.tolist()) else _NONE
    if not unresolved.size:
        return unresolved, np.empty(0)
    n_states = len(run.asked.kernels.equations.states)
    share = 0.0 if run.asked.atol is not None else run.asked.peak_share
    shares = np.broadcast_to(share, (run.asked.n_sets, n_states))
    again = np.array(
        [i for i in unresolved.tolist() if (shares[i] > _SHARES[-1])[found.grown[i]].any()], np.intp
    )
    if not again.size:
        return again, np.empty(0)
    smaller = np.array(_SHARES)[np.argmax(np.array(_SHARES) < shares[again, :, None], axis=2)]
    by_itself = np.array([found.grown[i] for i in again.tolist()])
    return again, np.where(by_itself, np.minimum(smaller, shares[again]), shares[again])


def _with(solution: Solution, again: NDArray[np.intp], closer: Solution) -> Solution:
    """A solution whose sets `again` are those of another."""
    solution.states[again] = closer.states
    solution.outputs[np.unravel_index(again, solution.outputs.shape[:-2])] = closer.outputs
    solution.status[again], solution.culprits[again] = closer.status, closer.culprits
    solution.greatest[again], solution.greatest_at[again] = closer.greatest, closer.greatest_at
    if solution.output_rates is not None:
        solution.output_rates[again] = closer.output_rates
    if solution.sensitivities is not None:
        solution.sensitivities[again] = closer.sensitivities
    place = {i: k for k, i in enumerate(again.tolist())}
    return replace(
        solution,
        messages=tuple(
            closer.messages[place[i]] if i in place else said for i, said in enumerate(solution.messages)
        ),
        paths=tuple(closer.paths[place[i]] if i in place else path for i, path in enumerate(solution.paths)),
        steps=solution.steps + closer.steps,
        rejected=solution.rejected + closer.rejected,
    )


def _message(kernels: Kernels, code: int, time: float, culprit: int) -> str:
    equations = kernels.equations
    if code == EVENTS_WITHOUT_END:
        return f"At time {time:.6g} {MEANING[code]}: {equations.events[culprit].name} fires again and again."
    if code == UNRESOLVED:
        return (
            f"At time {time:.6g} {MEANING[code]}: {equations.states[culprit]} had fallen to less than {_SHARES[-1]:g} of "
            "its largest value. Write it as a logarithm, or with a floor."
        )
    if code == SLIDING:
        shown = kernels.system.shown(kernels.system.modes[culprit])
        return (
            f"At time {time:.6g} {MEANING[code]}: {shown!r}. The rates on its two sides lead back to it, so that neither "
            "holds. Let it turn off at another value than it turns on, or write a steep smooth function instead."
        )
    if code == NO_DERIVATIVE:
        modes = kernels.system.modes
        if culprit >= len(modes):
            fired = equations.events[culprit - len(modes)].name
            return (
                f"At time {time:.6g} {MEANING[code]}: the condition of {fired} turns there without crossing."
            )
        shown = kernels.system.shown(modes[culprit])
        return f"At time {time:.6g} {MEANING[code]}: {shown!r} turns there without crossing, and rates jump with it."
    if code == NOT_FINITE and culprit < len(equations.states) and (by := setters(kernels.system, culprit)):
        return str(NoValueError(time, equations.states[culprit], by))
    names = (*equations.states, "time", "time")
    if culprit >= len(names):  # modes stand behind the clock
        shown = kernels.system.shown(kernels.system.modes[culprit - len(names)])
        return f"At time {time:.6g} {MEANING[code]}: that of {shown!r}."
    return f"At time {time:.6g} {MEANING[code]}; {names[culprit]} changes fastest."


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
    options, lanes = np.zeros(8), np.zeros(1, np.int64)
    reading = Reading(
        machine.addresses, machine.offsets, options, w, samples, none, lanes, lanes, none, found, none
    )
    step_code().observe_group(address(addresses(*reading)), address(w), t.size, 1, 0, found.shape[2], 1)
    return found[0]


@dataclass(frozen=True)
class SteadyState:
    """Where each parameter set comes to rest.

    Attributes
    ----------
    states : (n_sets, n_states) array
        NaN where no rest was found.
    times : (n_sets,) array
        How long after the start rest was reached.
    found : (n_sets,) bool array
    messages : tuple of str
        Why not, one per set; empty where found.
    """

    states: Array
    times: Array
    found: NDArray[np.bool_]
    messages: tuple[str, ...]


def steady_state(
    kernels: Kernels,
    parameters: ArrayLike,
    *,
    start: float = 0.0,
    start_states: ArrayLike | None = None,
    rtol: float = 1e-6,
    atol: float | None = 1e-9,
    longest: float = 1e8,
) -> SteadyState:
    """Integrate over a very long time and see from when on nothing changes.

    At rest means that from some time to the end, at least four times as long, every state stays within
    ``atol + rtol |y|`` of its last value; what is slower than that counts as resting. Following the
    system, rather than solving for a root, finds the rest that these initial values lead to, and keeps
    conserved totals. The step grows with the span, so a hundred times longer costs a few steps more.

    Parameters
    ----------
    kernels : Kernels
    parameters : (n_parameters,) or (n_sets, n_parameters) array
    start : float
        Time of the initial values.
    start_states : (n_states,) or (n_sets, n_states) array, optional
        Instead of the model's initial values.
    rtol, atol : float
        How still is still; the integration is ten times as accurate. With None for `atol` it is `rtol` times the largest value
        that each state has had, in whatever unit it is counted.
    longest : float
        When to give up, in the model's time unit.

    Returns
    -------
    SteadyState

    Examples
    --------
    >>> import sympy as sp
    >>> from cellsim.compiler.equations import Equations
    >>> from cellsim.compiler.kernels import compile_equations
    >>> x, k = sp.symbols("x k")
    >>> kernels = compile_equations(Equations(("x",), ("k",), (3 - k * x,), (sp.Integer(0),)))
    >>> steady_state(kernels, [[0.5], [2.0]]).states.round(4)
    array([[6. ],
           [1.5]])
    """
    p = np.atleast_2d(np.asarray(parameters, float))
    spans = longest / 4.0 ** np.arange(40)[::-1]
    spans = spans[spans > 1e-6]
    solution = integrate(
        kernels,
        p,
        times=start + spans,
        start=start,
        start_states=start_states,
        rtol=0.1 * rtol,
        atol=None if atol is None else 0.1 * atol,
    )
    states = np.full((len(p), len(kernels.states)), np.nan)
    times, found, messages = np.full(len(p), np.nan), np.zeros(len(p), bool), []
    for i in range(len(p)):
        path = solution.states[i]
        least = rtol * np.abs(path).max(axis=0, initial=0.0) if atol is None else atol
        gap = np.abs(path - path[-1]) - least - rtol * np.abs(path[-1])
        moving = np.flatnonzero(~(gap.max(axis=1, initial=0.0) <= 0))
        since = moving[-1] + 1 if moving.size else 0
        if since < len(spans) - 1:
            states[i], times[i], found[i] = path[-1], spans[since], True
        if found[i]:
            messages.append("")
        elif solution.status[i]:
            messages.append(solution.messages[i])
        else:
            messages.append(f"{kernels.states[int(gap[-2].argmax())]} still moves after {longest:g}.")
    return SteadyState(states, times, found, tuple(messages))
