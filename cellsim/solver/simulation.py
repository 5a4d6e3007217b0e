"""Run a model under a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.dates import days_in
from cellsim.dosing.delivery import Anew, Delivery, deliver
from cellsim.errors import Problem, SimulationError, did_you_mean, unusable
from cellsim.model.model import model_given
from cellsim.solver.conditions import Conditions, NoValueError, setters, turnings
from cellsim.solver.integration import MEANING, Doses, Solution, observe
from cellsim.solver.integration import integrate as integrate_rodas
from cellsim.solver.loop_arrays import EVENTS_WITHOUT_END, NOT_FINITE, SLIDING
from cellsim.solver.restarts import NO_STEADY_STATE, apart_of, cycles_of, settle, unsuited
from cellsim.solver.scipy_solver import breakdown
from cellsim.solver.scipy_solver import integrate as integrate_scipy
from cellsim.solver.trajectory import Path, Trajectory

if TYPE_CHECKING:
    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import Model

__all__ = ["Values", "simulate", "start_of"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Kind = TypeVar("Kind")


class Values(dict[str, float]):
    """Values of the parameters of a case, some of which no model has; changed ones by ``values | {"k": 0.1}``."""

    def of(self, model: Model) -> dict[str, float]:
        """Those that the model has."""
        return {name: value for name, value in self.items() if name in model}

    def __or__(self, other: Any) -> Any:
        return Values({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def __reduce__(self) -> tuple[type[Values], tuple[dict[str, float]]]:
        return Values, (dict(self),)


SOLVERS = ("rodas", "scipy")
_TRIED = 100.0
_CYCLE_RTOL, _DIFFERENCE = 1e-9, 1e-4  # of the witness's cycles, and the share by which a state is moved


def start_of(schedule: Schedule, times: ArrayLike = ()) -> float:
    """The day a simulation begins unless told: day 0, or the first dose or sample if that is earlier.

    Initial values are those of day 0 (as in SBML), so a first dose on day 7 finds a week gone by.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Schedule
    >>> start_of(Schedule.at([7], cells=5e7, product="rfib")), start_of(Schedule(), [-1, 35])
    (0.0, -1.0)
    """
    first_dose = schedule.span[0] if schedule.span else 0.0
    return min(
        [
            0.0,
            first_dose,
            *(each.day for each in schedule.restarts),
            *np.ravel(np.asarray(times, dtype=float)).tolist(),
        ]
    )


def simulate(
    model: Model,
    schedule: Schedule,
    times: ArrayLike,
    *,
    values: Mapping[str, float] | None = None,
    start: float | None = None,
    outputs: Sequence[str] | None = None,
    solver: Literal["rodas", "scipy"] = "rodas",
    rtol: float = 1e-6,
    atol: float | None = None,
) -> Trajectory:
    """Run a model under a schedule and read it at given times.

    What happens at one instant happens in this order, as in PEtab and SBML: resets and steady states of the schedule; doses,
    all of them added; then every event whose trigger turns true there, on time or on states, all from the values that the doses left (where two set the
    same state, the later in the file has it); then events that these set off; then samples; then events whose trigger does not hold yet at the instant
    and holds just after it, as ``time > 2`` at 2. A condition on time turns
    exactly on its day: before it what held before, behind it what holds behind it, for rates as for events.

    Parameters
    ----------
    model : Model
        What moves.
    schedule : Schedule
        What is infused. Every infusion must find its product, and none may lie before `start`; those
        after the last of `times` are not reached.
    times : array_like, shape (n_times,)
        Days to sample, in order. A sample at the instant of a dose is read after it; ``numpy.nextafter(day, -inf)``
        asks for the value before.
    values : mapping of str to float, optional
        Parameters, or initial values of states, for this run; in the model's units. A calibration's ``values`` may hold
        parameters that only observables of its case have: these are left aside.
    start : float, optional
        Day on which the initial values hold. By default day 0, or the first dose or sample if earlier.
    outputs : sequence of str, optional
        States and assignments to keep; by default all of them.
    solver : {"rodas", "scipy"}
        The compiled Rosenbrock engine, or SciPy's LSODA on the same right-hand side as its witness.
    rtol, atol : float
        Error allowed per step: relative, and absolute in each state's unit. Left out, the absolute one follows the
        values of each state (see :func:`cellsim.solver.integration.integrate`).

    Returns
    -------
    Trajectory
        Every state and assignment by name, with units.

    Raises
    ------
    SimulationError
        Times that are not days in order, a dose before the start, a quantity that is not a finite number on
        a day sampled (with both), or a run that cannot be carried to its
        end (with time, state and the fastest-changing name).
    ScheduleError
        A product that neither the schedule nor the model knows.
    ModelError
        Values for unknown names, or something that is no model.

    Examples
    --------
    >>> from cellsim.model.model import load_model
    >>> from cellsim.dosing.schedule import Schedule
    >>> model = load_model("x = 0; x' = -0.1*x")
    >>> seen = simulate(model, Schedule.every(7, cells=5, doses=2, product="x"), [7])
    >>> print(f"{seen['x'][0]:.3f}")
    7.483
    """
    days = _checked_times(times)
    model_given(model)
    if start is not None:
        _refuse(each.what for each in unusable(days={"start": start}))
    begin = start_of(schedule, days[:1]) if start is None else float(start)
    _refuse(_span_problems(schedule, days, begin, solver, rtol, atol))
    given = values.of(model) if isinstance(values, Values) else dict(values or {})
    plan = _plan(_Itself(model), outputs if outputs is None or isinstance(outputs, str) else tuple(outputs))
    run = _Run(plan, _delivered(_Itself(schedule), _Itself(model)), given, begin, float(days[-1]), rtol, atol)
    y, between = (run.by_rodas if solver == "rodas" else run.by_scipy)(days)
    _refuse(_without_value(plan.names, days, y))
    return Trajectory(
        model=model,
        schedule=schedule,
        values=MappingProxyType(given),
        times=days,
        names=plan.names,
        units=MappingProxyType(plan.units),
        labels=MappingProxyType(plan.labels),
        y=y,
        start=begin,
        solver=solver,
        between=between,
    )


# ---- what was asked -----------------------------------------------------------------------------------


def _checked_times(times: ArrayLike) -> Array:
    if type(times) is np.ndarray and times.dtype == np.float64 and times.ndim == 1:
        return _known_times(times.tobytes())
    return _in_order(times)


@lru_cache(maxsize=128)
def _known_times(times: bytes) -> Array:
    """Days asked for again and again: looking at each of them takes as long as many a simulation."""
    return _in_order(np.frombuffer(times))


def _in_order(times: ArrayLike) -> Array:
    try:
        days = days_in(times, "times")
    except ValueError as error:
        raise SimulationError(f"{error}.") from None
    if not days.size:
        raise SimulationError("No times to sample.")
    falls = days[1:] < days[:-1]
    if falls.any():
        at = int(np.argmax(falls))
        raise SimulationError(
            f"times go back from day {days[at]:g} to day {days[at + 1]:g}; sort them first."
        )
    return days


def _span_problems(
    schedule: Schedule, days: Array, begin: float, solver: str, rtol: float, atol: float | None
) -> Iterator[str]:
    if solver not in SOLVERS:
        yield f"no solver {solver!r}. {did_you_mean(solver, SOLVERS)}"
    if days[0] < begin:
        yield f"the first sample is on day {days[0]:g}, before the start on day {begin:g}."
    for infusion in schedule.infusions:  # in order of days
        if infusion.day >= begin:
            break
        yield f"the infusion of {infusion.product} is on day {infusion.day:g}, before the start on day {begin:g}."
    for restart in schedule.restarts:
        if restart.day < begin:
            yield f"{restart} comes before the start on day {begin:g}."
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not 0 < value < 1:
            yield f"{name} {value!r} is not between 0 and 1."


def _without_value(names: Sequence[str], days: Array, y: Array) -> Iterator[str]:
    """Quantities that are not a finite number somewhere, with the first day of each."""
    if np.isfinite(y).all():
        return
    for k in np.flatnonzero(~np.isfinite(y).all(axis=0)).tolist():
        row = int(np.argmin(np.isfinite(y[:, k])))
        what, why = (
            (
                "not a number",
                "takes a power, root or logarithm of a negative number, divides 0 by 0, or has no piece for that day",
            )
            if np.isnan(y[row, k])
            else (
                "infinite",
                "divides by 0, takes a negative power or the logarithm of 0, or comes to a number too large for a computer",
            )
        )
        yield (
            f"{names[k]} is {what} on day {days[row]:g}: its formula {why}. Leave it out (outputs=...), or give it a "
            "value there."
        )


def _refuse(complaints: Iterable[str]) -> None:
    problems = [Problem(what=what) for what in complaints]
    if problems:
        raise SimulationError(problems)


def _kept(model: Model, outputs: str | tuple[str, ...] | None) -> tuple[str, ...]:
    known = (*(each.name for each in model.states), *(each.name for each in model.assignments))
    if outputs is None:
        return known
    asked = (outputs,) if isinstance(outputs, str) else tuple(dict.fromkeys(outputs))
    _refuse(
        f"no state or assignment {name!r}. {did_you_mean(name, known)}" for name in asked if name not in known
    )
    return asked


# ---- one run ------------------------------------------------------------------------------------------


class _Motion:
    """A model with its parameters settled, as the witness asks for it."""

    def __init__(self, kernels: Kernels, p: Array) -> None:
        self.kernels, self.p = kernels, p
        self.names = kernels.equations.states
        self.peaks = np.zeros(len(self.names))

    def rates(self, t: float, y: Array, middle: float) -> Array:
        # LSODA tries points further below zero than it accepts, and cannot go on from what is no number
        self.peaks = np.maximum(self.peaks, _TRIED * np.abs(y))
        return self.kernels.rhs(t, y, self.p, middle, peaks=self.peaks)

    def jacobian(self, t: float, y: Array, middle: float) -> Array:
        return self.kernels.jacobian(t, y, self.p, middle, peaks=self.peaks)

    @property
    def switches(self) -> int:
        return self.kernels.system.switches

    def gaps(self, days: Array, states: Array, middle: float) -> Array:
        return self.kernels.gaps(days, states, self.p, middle)


@dataclass
class _Kept:
    """A path that is there already. Its interpolants cannot leave the process; elsewhere it is made again."""

    make: Callable[[], Path]
    path: Path | None = field(default=None, repr=False)

    def __call__(self) -> Path:
        self.path = self.path or self.make()
        return self.path

    def __reduce__(self) -> tuple[type[_Kept], tuple[Callable[[], Path]]]:
        return _Kept, (self.make,)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What all simulations of a model that keep the same quantities have in common."""

    model: Model
    names: tuple[str, ...]
    kernels: Kernels
    parameter_at: dict[str, int]
    state_at: dict[str, int]
    values: Array
    units: dict[str, str]
    labels: dict[str, str]


class _Itself(Generic[Kind]):
    """A model or a schedule as a key: the same only as itself, since comparing all its parts takes longer than a simulation."""

    def __init__(self, kept: Kind) -> None:
        self.kept = kept

    def __hash__(self) -> int:
        return id(self.kept)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.kept is other.kept


@lru_cache(maxsize=128)
def _delivered(schedule: _Itself[Schedule], model: _Itself[Model]) -> Delivery:
    return deliver(schedule.kept, model.kept)


@lru_cache(maxsize=128)
def _plan(key: _Itself[Model], outputs: str | tuple[str, ...] | None) -> _Plan:
    model = key.kept
    names = _kept(model, outputs)
    kernels = compile_equations(equations_of(model, names))
    described = {each.name: each for each in model.quantities}
    return _Plan(
        model,
        names,
        kernels,
        {name: place for place, name in enumerate(kernels.parameters)},
        {name: place for place, name in enumerate(kernels.states)},
        np.array([parameter.value for parameter in model.parameters]),
        {name: described[name].unit for name in names},
        {name: described[name].label for name in names},
    )


@dataclass
class _Run:
    """Everything settled about one simulation, and the two ways to carry it out."""

    plan: _Plan
    delivery: Delivery
    values: Mapping[str, float]
    begin: float
    end: float
    rtol: float
    atol: float | None

    def __post_init__(self) -> None:
        plan = self.plan
        self.kernels = plan.kernels
        self.p, self.starts = plan.values.copy(), {}
        for name, value in self.values.items():
            # a float is asked what it is a third as long as a Real
            if not ((type(value) is float or isinstance(value, Real)) and math.isfinite(value)):
                plan.model.with_values(self.values)  # it refuses, in its own words
            if (place := plan.parameter_at.get(name)) is not None:
                self.p[place] = value
            elif (place := plan.state_at.get(name)) is not None:
                self.starts[place] = value
            else:
                plan.model.with_values(self.values)
        self.turned = turnings(self.kernels.system, self.p.tolist(), self.begin, self.end, between=True)

    @cached_property
    def y0(self) -> Array:
        """Values of the states at the start."""
        y0 = self.kernels.initial(self.p, self.begin)
        for place, value in self.starts.items():
            y0[place] = value
        return y0

    def read(self, days: Array, states: Array) -> Array:
        """Named quantities from days (n,) and states (n, n_states)."""
        return observe(self.kernels, days, states, self.p)

    def breaks(self) -> list[float]:
        """Start, end, and the known days between on which something jumps or moves steeply."""
        days = {day for day, _, _ in self.delivery.boluses} | {*self.turned.days, *self.turned.steep}
        days |= {each.day for each in self.turned.firings}
        days |= {day for on, off, _, _ in self.delivery.inflows for day in (on, off)}
        return [self.begin, *sorted(day for day in days if self.begin < day < self.end), self.end]

    def by_scipy(self, days: Array) -> tuple[Array, Callable[[], Path]]:
        """Samples at `days`, and the path between them."""
        path = self.scipy_path()
        return path.values(path.step_of(days), days), _Kept(self.scipy_path, path)

    def without_value(self, state: str, said: str) -> SimulationError:
        """Events that leave a state without a value, with what the model says of that."""
        return SimulationError(
            f"The solution cannot be carried on. {said} {self.plan.model[state].note}".rstrip()
        )

    def scipy_path(self) -> Path:
        """All that SciPy's solver saw, stretch by stretch between restarts."""
        try:
            return self._stretches_by_scipy()
        except NoValueError as error:
            raise self.without_value(error.state, str(error)) from None

    def _stretches_by_scipy(self) -> Path:
        anew = [each for each in self.delivery.anew if each.day <= self.end]
        edges, pieces, y = sorted({self.begin, *(each.day for each in anew)}), [], self.y0
        for begin, after in zip(edges, [*edges[1:], np.inf], strict=True):
            stop = min(self.end, float(np.nextafter(after, -np.inf)))
            for each in anew:
                if each.day == begin:
                    y = self._set_anew(each, y)
            pieces.append(self._by_scipy(y, begin, stop, Doses.of(self.delivery), self.rtol))
            if after < np.inf:
                y = pieces[-1][2](np.array([len(pieces[-1][0]) - 1]), np.array([stop]))[0]
        first = np.cumsum([0, *(len(starts) for starts, _, _ in pieces)])

        def states(step: np.ndarray[Any, Any], times: Array) -> Array:
            found = np.empty((len(times), len(y)))
            of = np.searchsorted(first, step, side="right") - 1
            for k in np.unique(of).tolist():
                found[of == k] = pieces[k][2](step[of == k] - first[k], times[of == k])
            return found

        starts, ends = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 1))
        return Path(starts, ends, states, self.read)

    def _by_scipy(
        self, y: Array, begin: float, end: float, doses: Doses, rtol: float
    ) -> tuple[Array, Array, Callable[[np.ndarray[Any, Any], Array], Array]]:
        return integrate_scipy(
            _Motion(self.kernels, self.p),
            Conditions(self.kernels, self.p) if self.kernels.equations.events else None,
            y,
            start=begin,
            end=end,
            boluses=[
                (day, self.plan.state_at[str(state)], amount)
                for day, state, amount in doses.jumps
                if begin <= day <= end
            ],
            inflows=[(on, off, self.plan.state_at[str(state)], rate) for on, off, state, rate in doses.rates],
            breaks=[day for day in self.breaks() if begin < day < end],
            firings=[each for each in self.turned.firings if begin <= each.day <= end],
            rtol=rtol,
            atol=self.atol,
        )

    def _set_anew(self, each: Anew, y: Array) -> Array:
        """States behind a restart, the slow way: cycles by SciPy's solver, their slopes by differences."""
        if not each.length:
            return self.y0
        if why := unsuited(self.kernels.equations, each):
            raise SimulationError(f"{each.said}: {why}")
        rtol, rest = (
            min(self.rtol, _CYCLE_RTOL),
            np.flatnonzero(~apart_of(self.kernels.equations, self.delivery.anew)),
        )
        first = np.zeros(len(y)) if each.added else self.y0

        def end(doses: Doses, length: float, begun: Array) -> Array:
            starts, _, states = self._by_scipy(begun, 0.0, length, doses, rtol)
            return states(np.array([len(starts) - 1]), np.array([length]))[0]

        moving = -1
        for length, doses in cycles_of(each):
            less = end(Doses(), length, np.zeros(len(y))) if each.added else np.zeros(len(y))

            def cycle(begun: Array, doses: Doses = doses, length: float = length, less: Array = less) -> Any:
                whole = first.copy()
                whole[rest] = begun
                reached = end(doses, length, whole)
                steps = _DIFFERENCE * np.maximum(np.abs(reached), np.abs(reached).max(initial=1e-300))
                slopes = [
                    (end(doses, length, whole + step) - reached)[rest] / step.sum()
                    for step in np.diag(steps)[rest]
                ]
                return (reached - less)[rest], np.array(slopes).T

            found = settle(cycle, first[rest], 10 * rtol)
            if found.moving < 0:
                states = first.copy()
                states[rest] = found.states
                return y + states if each.added else states
            moving = found.moving
        raise SimulationError(
            f"{each.said}: no steady state was found: {self.kernels.states[rest[moving]]} still moves."
        )

    def by_rodas(self, days: Array) -> tuple[Array, Callable[[], Path]]:
        """Samples at `days`, and what makes the path between them when it is first asked for."""
        return self.solve(days).outputs[0], partial(self.rodas_path, days)

    def rodas_path(self, days: Array) -> Path:
        """Every step of the engine."""
        solution = self.solve(days, dense=True)
        steps = solution.paths[0]
        if len(steps.starts) and steps.starts[-1] == self.end:
            return Path(steps.starts, steps.ends, steps.states, self.read)
        # an instant of its own for the last day, which a run without length consists of
        last, count = solution.states[0, -1:], len(steps.starts)

        def states(step: np.ndarray[Any, Any], times: Array) -> Array:
            found = np.repeat(last, len(times), axis=0)
            found[step < count] = steps.states(step[step < count], times[step < count])
            return found

        return Path(np.append(steps.starts, self.end), np.append(steps.ends, self.end), states, self.read)

    def solve(self, days: Array, *, dense: bool = False) -> Solution:
        """Samples at `days` by the engine; refused where it did not reach the last."""
        solution = integrate_rodas(
            self.kernels,
            self.p,
            Doses.of(self.delivery),
            days,
            start=self.begin,
            start_states=self.y0 if self.starts or self.delivery.anew else None,
            rtol=self.rtol,
            atol=self.atol,
            dense=dense,
            keep_states=dense,
        )
        if not solution.status[0]:
            return solution
        if solution.status[0] == NO_STEADY_STATE:
            raise SimulationError(solution.messages[0])
        if solution.status[0] in (EVENTS_WITHOUT_END, SLIDING):
            raise SimulationError(f"The solution cannot be carried on. {solution.messages[0]}")
        culprit = int(solution.culprits[0])
        if (
            solution.status[0] == NOT_FINITE
            and culprit < len(self.kernels.states)
            and setters(self.kernels.system, culprit)
        ):
            raise self.without_value(self.kernels.states[culprit], solution.messages[0])
        if not dense:  # once more, for the last state before it
            return self.solve(days, dense=True)
        steps = solution.paths[0]
        last = len(steps.starts) - 1
        day = float(steps.ends[last]) if last >= 0 else self.begin
        y = steps.states(np.array([last]), np.array([day]))[0] if last >= 0 else self.y0
        rates = self.kernels.rhs(day, y, self.p)
        why = f"{MEANING[int(solution.status[0])]}."
        raise breakdown(self.kernels.equations.states, day, y, rates, rtol=self.rtol, atol=self.atol, why=why)
