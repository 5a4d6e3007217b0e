"""What a call of `integrate` settles before any parameter has a value, and one lane group carried through it.

Of most models a simulation takes less time than finding out what is asked: calls that differ in the values of
parameters and start states alone are settled once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.kernels import Kernels
from cellsim.compiler.llvm import lane_width
from cellsim.compiler.sensitivity_directions import Direction
from cellsim.errors import Problem, SimulationError, did_you_mean
from cellsim.solver.breakpoints import BreakTable, Doses, SegmentTree, segment_tree
from cellsim.solver.conditions import Turnings, too_fast, turnings
from cellsim.solver.lanes import (
    LaneStart,
    Machine,
    RepeatedRun,
    begin,
    follow,
    lane_start,
    machine_of,
    repeatable,
)
from cellsim.solver.loop_arrays import LaneState, address
from cellsim.solver.sensitivities import CarriedTangents, SensitivityLayout, courses_of
from cellsim.solver.step_loop_cache import step_code

__all__ = ["UNSEEN", "LaneRun", "Results", "Settings", "lane_run", "refuse_unfit"]

Array = NDArray[np.float64]
UNSEEN = 1e-3
"""Share of the relative tolerance that is the absolute one of a state which has been 0 so far, in its own unit."""
_NOTHING: frozenset[int] = frozenset()
_FIRST = np.zeros(1, np.intp)


class Settings(NamedTuple):
    """All arguments of `integrate` but values of parameters and states.

    Attributes
    ----------
    n_sets, n_values : int
        How many sets there are, of how many parameters.
    days : bytes
        Sample times.
    given_start : bool
        Whether states at the start are given.
    """

    kernels: Kernels
    n_sets: int
    n_values: int
    doses: tuple[Doses, ...]
    days: bytes
    start: float
    given_start: bool
    end: float | None
    rtol: float
    atol: float | Array | None
    peak_share: float | Array
    directions: tuple[str | Direction | tuple[str, str | int], ...] | None
    output_rates: bool
    keep_states: bool
    peaks: tuple[str, ...]
    since: float
    dense: bool
    resume_at: float | None
    max_steps: int
    max_step: float
    lanes: int | None


@dataclass
class Results:
    """What lane groups write, each set into its own rows (see :class:`cellsim.solver.integration.Solution`)."""

    states: Array
    outputs: Array
    slopes: Array
    sensitivities: Array | None
    status: NDArray[np.int64]
    culprit: NDArray[np.int64]
    fail_time: Array
    greatest: Array
    grown: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    recorded: dict[int, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = address(self.states), self.outputs.ctypes.data, address(self.slopes)
        self.by_time, self.by_output = (each // 8 for each in self.outputs.strides[-2:])

    @cached_property
    def _begins(self) -> NDArray[np.int64]:
        begins = np.zeros(1, np.int64)
        for count, apart in zip(self.outputs.shape[:-2], self.outputs.strides[:-2], strict=True):
            begins = np.add.outer(begins, apart // 8 * np.arange(count)).ravel()
        return begins

    def begins(self, sets: NDArray[np.intp]) -> NDArray[np.int64]:
        """Where the outputs of sets begin."""
        return self._begins[sets]


@dataclass(frozen=True, eq=False)
class LaneRun:
    """A call of `integrate`, settled.

    Attributes
    ----------
    asked : Settings
    times : (n_times,) or (n_sets, n_times) array
    width : int
        Lanes of a group.
    machine : Machine
    start : LaneStart
    options : array
        As the step loop has them.
    shares : (n_sets, n_states) array or None
        Shares of largest values, where they are not the same for all.
    watched : tuple of int
        Outputs of which the greatest value is wanted.
    behind : frozenset of int
        All nodes that these are made of.
    still : bool
        Whether nothing turns by itself.
    layouts : tuple of SensitivityLayout
        For each set of doses, or one for all; empty without directions.
    """

    asked: Settings
    times: Array
    width: int
    machine: Machine
    start: LaneStart
    options: Array
    shares: Array | None
    watched: tuple[int, ...]
    behind: frozenset[int]
    still: bool
    layouts: tuple[SensitivityLayout, ...]
    _samples: list[Array] = field(default_factory=list, repr=False)
    _trees: list[SegmentTree] = field(default_factory=list, repr=False)
    _ready: list[RepeatedRun] = field(default_factory=list, repr=False)

    @cached_property
    def _said(self) -> bytes:
        """All that decides a history beside doses and values."""
        rest = self.options, np.array(self.watched, np.int64), np.array([self.asked.start])
        return b"|".join([self.start.digest, *(each.tobytes() for each in rest)])

    def results(self, into: Array | None = None) -> Results:
        """Room for all sets, outputs where they are wanted."""
        asked, system = self.asked, self.asked.kernels.system
        n_sets, n_times, n_out = asked.n_sets, self.times.shape[-1], len(system.outputs)
        n_kept = len(asked.kernels.equations.states) if asked.keep_states else 0
        sensitivities = None
        if asked.directions is not None:
            sensitivities = np.empty((n_sets, n_times, n_out, len(asked.directions)))
            sensitivities.fill(np.nan)
        greatest = np.empty((2, n_sets, len(self.watched)))
        greatest.fill(np.nan)
        return Results(
            np.empty((n_sets, n_times, n_kept)),
            np.empty((n_sets, n_times, n_out)) if into is None else into,
            np.empty((n_sets, n_times, n_out) if asked.output_rates else (0, 0, 0)),
            sensitivities,
            np.zeros(n_sets, np.int64),
            np.zeros(n_sets, np.int64),
            np.zeros(n_sets),
            greatest,
        )

    def samples(self, lead: NDArray[np.intp]) -> Array:
        """Sample times of some sets, shape (n_times, n_lanes)."""
        if self.times.ndim == 2:
            return np.ascontiguousarray(self.times[lead].T)
        if not self._samples:
            self._samples.append(np.repeat(self.times[:, None], self.width, axis=1))
        return self._samples[0]

    def carry(self, group: NDArray[np.intp], p: Array, given: Array | None, results: Results) -> list[int]:
        """Carry the sets of a group, shape (n_schedules, at most `width`), to their ends; returns the work done."""
        asked, width, start = self.asked, self.width, self.asked.start
        kernels, several = asked.kernels, asked.doses
        equations, system = kernels.equations, kernels.system
        filled = group
        if group.shape[1] < width:
            filled = np.concatenate([group, np.repeat(group[:, -1:], width - group.shape[1], axis=1)], axis=1)
        schedules = [several]
        if len(several) > 1:
            each_lane = [tuple(several[i] for i in row) for row in filled]
            schedules = [row[:1] if len(set(row)) == 1 else row for row in each_lane]
        lead = filled[0]  # the other rows differ from it in their doses alone
        of_lead = p[lead]
        sample_times = self.samples(lead)
        # where nothing turns by itself and all sets have the same samples and doses, they have the same breaks too
        alike = self.times.ndim == 1 and self.still and len(several) == 1
        turned: list[Turnings] = []
        if alike and self._trees:
            plan = self._trees[0]
        else:
            last = float(sample_times[-1].max()) if sample_times.size else start
            last = max(last, start if asked.end is None else asked.end)
            until = asked.resume_at
            if until is not None and (not start < until < last or bool((sample_times < until).any())):
                until = None
            if not self.still:
                between = asked.dense or bool(asked.peaks)
                turned = [turnings(system, each, start, last, between=between) for each in of_lead.tolist()]
                for node in self.behind & {node for each in turned for node in each.unfollowed}:
                    raise too_fast(system, node, start, last)
            fired = tuple(each.firings for each in turned) or ((),)
            plan = segment_tree(
                tuple(schedules),
                equations.states,
                start,
                last,
                tuple(sorted({day for each in turned for day in (*each.days, *each.steep)})),
                fired if len(set(fired)) > 1 else fired[:1],
                until,
            )
            if alike:
                self._trees.append(plan)

        def arrived(schedule: int, lane_state: LaneState) -> None:
            self._read(lane_state, group[schedule], results)

        carried: list[CarriedTangents] = []
        layout = self.layouts[int(lead[0]) if len(self.layouts) > 1 else 0] if self.layouts else None

        def tangents(table: BreakTable) -> CarriedTangents:
            assert results.sensitivities is not None and layout is not None
            still = turned[0] if turned else _unturned(kernels)
            result = results.sensitivities[lead[0]]
            carried.append(layout.tangents(table, schedules[0][0], equations.states, result, still))
            return carried[-1]

        share = None if self.shares is None else asked.rtol * self.shares[lead]
        start_states = None if given is None else given[lead]
        lane_state = begin(self.start, of_lead, start_states, share)
        history = b""
        if plan.history:
            own = (of_lead, *(each for each in (share, start_states) if each is not None))
            history = b"|".join([plan.history, self._said, *(each.tobytes() for each in own)])
        work = follow(
            self.machine, lane_state, plan, address(self.options), sample_times, given is not None, arrived,
            None if layout is None else tangents, history,
        )  # fmt: skip
        self.machine.pool.give_back(lane_state)
        if layout is not None:
            layout.spare.extend(carried)
        return work

    def _read(self, lane_state: LaneState, sets: NDArray[np.intp], results: Results) -> None:
        """What a lane group found of some sets, into their rows."""
        lanes, begins = np.ascontiguousarray(sets), results.begins(sets)
        failed = any(lane_state.status.tolist())
        if failed:
            lane_state.forget_missing()
        lane_state.reading(
            self.machine.places, address(self.options), address(lanes), address(begins), results.places
        )
        step_code().observe_group(
            lane_state.at[2], lane_state.at[1], self.times.shape[-1], len(sets), results.states.shape[2],
            results.by_time, results.by_output,
        )  # fmt: skip
        if failed:
            n_states = len(self.asked.kernels.equations.states)
            results.status[sets] = lane_state.status[: len(sets)]
            results.culprit[sets] = lane_state.culprit[: len(sets)]
            results.fail_time[sets] = lane_state.fail_time[: len(sets)]
            for place, i in enumerate(sets.tolist()):
                results.grown[i] = lane_state.grown[:n_states, place] > 0
        if self.watched:
            results.greatest[:, sets] = np.swapaxes(lane_state.greatest[:, :, : len(sets)], 1, 2)
        if self.asked.dense:
            results.recorded[int(sets[0])] = lane_state.path[: lane_state.counts[3]]

    @property
    def repeats(self) -> bool:
        """Whether this is one small simulation that always goes the same way, so that what it is given can be kept."""
        return bool(self._trees) and self._repeatable

    @cached_property
    def _repeatable(self) -> bool:
        return self.asked.n_sets == 1 and self.shares is None and repeatable(self.start, self._trees[0])

    def again(self, p: Array, given: Array | None, results: Results) -> list[int]:
        """The same as `carry` where this `repeats`."""
        try:
            ready = self._ready.pop()
        except IndexError:
            tangents = None
            if self.layouts:
                still, layout = _unturned(self.asked.kernels), self.layouts[0]
                states, result = self.asked.kernels.equations.states, np.empty(0)
                tangents = partial(
                    layout.tangents, doses=self.asked.doses[0], states=states, result=result, turned=still
                )
            ready = RepeatedRun.made(
                self.start, self._trees[0], p, self.options, self.samples(_FIRST), tangents,
                (results.states.shape[2], results.by_time, results.by_output),
            )  # fmt: skip
        ready.carry(p, given, results.places, results.sensitivities)
        lane_state = ready.lane_state
        if lane_state.status[0]:
            self._read(lane_state, _FIRST, results)
            return lane_state.counts.tolist()
        done: list[int] = lane_state.counts.tolist()
        self._ready.append(ready)
        return done


@lru_cache(maxsize=64)
def _unturned(kernels: Kernels) -> Turnings:
    return Turnings(kernels.system, ())


def lane_run(settings: Settings, times: Array) -> LaneRun:
    """A call of `integrate`, checked and settled.

    Parameters
    ----------
    settings : Settings
    times : (n_times,) or (n_sets, n_times) array

    Raises
    ------
    SimulationError
        Shapes do not fit, or times and tolerances are none; everything wrong at once.
    """
    if (
        times.ndim == 1
        and len(settings.doses) == 1
        and not isinstance(settings.peak_share, np.ndarray)
        and not isinstance(settings.atol, np.ndarray)
    ):
        return _kept(settings)
    return _settled(settings, times)


@lru_cache(maxsize=64)
def _kept(settings: Settings) -> LaneRun:
    return _settled(settings, np.frombuffer(settings.days))


def _settled(asked: Settings, times: Array) -> LaneRun:
    refuse_unfit(asked, times)
    kernels = asked.kernels
    equations, system = kernels.equations, kernels.system
    n_states = len(equations.states)
    watched = tuple(equations.output_names.index(name) for name in asked.peaks)
    behind = _behind(kernels, watched) if watched else _NOTHING
    width = (
        1 if asked.dense or asked.directions is not None else _width_for(kernels, asked.n_sets, asked.lanes)
    )
    # where sets lie side by side and all that is asked of a sample are its outputs, these are read where it is taken
    alone = width > 1 and times.ndim == 1 and not (asked.keep_states or asked.output_rates)
    machine = machine_of(kernels, width, alone, watched)
    shares = np.asarray(0.0 if asked.atol is not None else asked.peak_share, float)
    absolute = np.empty(system.n)
    absolute[:n_states] = UNSEEN * asked.rtol if asked.atol is None else asked.atol
    absolute[n_states:] = 1e300  # the clock has no error
    return LaneRun(
        asked,
        times,
        width,
        machine,
        lane_start(
            machine,
            absolute,
            n_states,
            0.0 if shares.ndim else asked.rtol * float(shares),
            asked.start,
            times.shape[-1],
            clock=system.clock,
            output_rates=asked.output_rates,
            dense=asked.dense,
            outputs_alone=alone,
            watched=watched,
        ),
        np.array(
            [
                asked.rtol,
                asked.max_step,
                asked.max_steps,
                float(asked.output_rates),
                asked.since,
                float(system.time in behind),
                float(times.ndim == 1),
                float(alone),
            ]
        ),
        np.broadcast_to(shares, (asked.n_sets, n_states)) if shares.ndim else None,
        watched,
        behind,
        not (system.turns or system.timed or system.courses or system.output_courses),
        ()
        if asked.directions is None
        else tuple(courses_of(kernels, asked.directions, asked.doses, asked.given_start)),
    )


def refuse_unfit(asked: Settings, times: Array, into: Array | None = None) -> None:
    """Raise SimulationError with everything that is wrong about shapes, times and tolerances."""
    equations, start, several = asked.kernels.equations, asked.start, asked.doses
    expected, n_sets, problems = len(equations.parameters), asked.n_sets, []
    if asked.n_values != expected:
        problems.append(Problem(what=f"{asked.n_values} parameter values for {expected} parameters."))
    if times.ndim == 2 and len(times) != n_sets:
        problems.append(Problem(what=f"Sample times for {len(times)} sets, parameters for {n_sets}."))
    # what is no number compares as false
    if times.size and not (
        (times[..., 1:] >= times[..., :-1]).all()
        and times[..., 0].min() >= start
        and times[..., -1].max() < np.inf
    ):
        problems.append(
            Problem(
                what=f"Sample times must be finite, not decrease, and not precede the start at {start:g}."
            )
        )
    if len(several) not in (1, n_sets):
        problems.append(Problem(what=f"Doses for {len(several)} sets, parameters for {n_sets}."))
    problems += [
        Problem(what=f"There is no output {name!r}.", remedy=did_you_mean(name, equations.output_names))
        for name in asked.peaks
        if name not in equations.output_names
    ]
    positive = np.all(np.asarray(asked.peak_share) > 0)
    if not (asked.rtol > 0 and positive and (asked.atol is None or np.all(np.asarray(asked.atol) >= 0))):
        problems.append(Problem(what="Tolerances must be positive."))
    if into is not None:
        n_times, n_out = times.shape[-1], len(equations.outputs)
        if (into.dtype, into.shape[-2:], prod(into.shape[:-2])) != (
            np.dtype(float),
            (n_times, n_out),
            n_sets,
        ):
            problems.append(
                Problem(
                    what=f"Outputs of {n_sets} sets at {n_times} times, {n_out} each, do not fit into {into.dtype} {into.shape}."
                )
            )
        if asked.output_rates:
            problems.append(Problem(what="Rates of outputs have no place in an array given for outputs."))
    if problems:
        raise SimulationError(problems)


def _width_for(kernels: Kernels, n_sets: int, lanes: int | None) -> int:
    scalar = n_sets == 1 or bool(kernels.system.located)
    if lanes is not None:
        if lanes not in (1, 2, 4, 8):
            raise SimulationError(f"{lanes} lanes: 1, 2, 4 or 8 are possible.")
        return 1 if scalar else lanes
    return 1 if scalar or n_sets < lane_width() else lane_width()


@lru_cache(maxsize=64)
def _behind(kernels: Kernels, outputs: tuple[int, ...]) -> frozenset[int]:
    """All nodes that some outputs are made of."""
    return frozenset(kernels.system.graph.reachable([kernels.system.outputs[k] for k in outputs]))
