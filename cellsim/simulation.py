"""Run a model under a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from cellsim.delivery import Delivery, deliver
from cellsim.equations import TIME, Equations, equations_of
from cellsim.errors import Problem, SimulationError, did_you_mean
from cellsim.kernels import Kernels, compile_equations
from cellsim.trajectory import Path, Trajectory
from cellsim.witness import integrate as integrate_scipy

if TYPE_CHECKING:
    from cellsim.model import Model
    from cellsim.schedule import Schedule

__all__ = ["simulate", "start_of"]

Array = np.ndarray[Any, np.dtype[np.float64]]

SOLVERS = ("rodas", "scipy")


def start_of(schedule: Schedule, times: ArrayLike = ()) -> float:
    """The day a simulation begins unless told: day 0, or the first dose or sample if that is earlier.

    Initial values are those of day 0 (as in SBML), so a first dose on day 7 finds a week gone by.

    Examples
    --------
    >>> from cellsim.schedule import Schedule
    >>> start_of(Schedule.at([7], cells=5e7, product="rfib")), start_of(Schedule(), [-1, 35])
    (0.0, -1.0)
    """
    first_dose = schedule.span[0] if schedule.span else 0.0
    return min([0.0, first_dose, *np.ravel(np.asarray(times, dtype=float)).tolist()])


def simulate(
    model: Model,
    schedule: Schedule,
    times: ArrayLike,
    *,
    values: Mapping[str, float] | None = None,
    start: float | None = None,
    outputs: Sequence[str] | None = None,
    solver: Literal["rodas", "scipy"] = "scipy",
    rtol: float = 1e-6,
    atol: float = 1e-9,
) -> Trajectory:
    """Run a model under a schedule and read it at given times.

    Parameters
    ----------
    model : Model
        What moves.
    schedule : Schedule
        What is infused. Every infusion must find its product, and none may lie before `start`; those
        after the last of `times` are not reached.
    times : array_like, shape (n_times,)
        Days to sample, in order. A sample at the instant of a dose is read after it.
    values : mapping of str to float, optional
        Parameters, or initial values of states, for this run; in the model's units.
    start : float, optional
        Day on which the initial values hold. By default day 0, or the first dose or sample if earlier.
    outputs : sequence of str, optional
        States and assignments to keep; by default all of them.
    solver : {"rodas", "scipy"}
        The compiled Rosenbrock engine, or SciPy's LSODA on the same right-hand side as its witness.
    rtol, atol : float
        Error allowed per step: relative, and absolute in each state's unit.

    Returns
    -------
    Trajectory
        Every state and assignment by name, with units.

    Raises
    ------
    SimulationError
        Times that are not days in order, a dose before the start, or a run that cannot be carried to its
        end (with time, state and the fastest-changing name).
    ScheduleError
        A product that neither the schedule nor the model knows.
    ModelError
        Values for unknown names.

    Examples
    --------
    >>> from cellsim.model import load_model
    >>> from cellsim.schedule import Schedule
    >>> model = load_model("x = 0; x' = -0.1*x")
    >>> seen = simulate(model, Schedule.every(7, cells=5, doses=2, product="x"), [7])
    >>> print(f"{seen['x'][0]:.3f}")
    7.483
    """
    days = _checked_times(times)
    values = dict(values or {})
    model = model.with_values(values)
    begin = start_of(schedule, days) if start is None else float(start)
    _refuse(_span_problems(schedule, days, begin, solver, rtol, atol))
    delivery = deliver(schedule, model)
    names = _kept(model, outputs)
    path = _scipy_path(model, names, delivery, begin, float(days[-1]), rtol=rtol, atol=atol)
    return Trajectory(
        model=model,
        schedule=schedule,
        values=MappingProxyType(values),
        times=days,
        names=names,
        units=MappingProxyType({name: model[name].unit for name in names}),
        labels=MappingProxyType({name: model[name].label for name in names}),
        y=path.values(path.step_of(days), days),
        path=path,
        solver=solver,
    )


# ---- what was asked -----------------------------------------------------------------------------------


def _checked_times(times: ArrayLike) -> Array:
    days = np.array(times, dtype=float).reshape(-1)
    if not days.size:
        raise SimulationError("No times to sample.")
    if not np.isfinite(days).all():
        raise SimulationError(f"times[{int(np.argmin(np.isfinite(days)))}] is not a finite day.")
    falls = np.flatnonzero(np.diff(days) < 0)
    if falls.size:
        at = int(falls[0])
        raise SimulationError(
            f"times go back from day {days[at]:g} to day {days[at + 1]:g}; sort them first."
        )
    return days


def _span_problems(
    schedule: Schedule, days: Array, begin: float, solver: str, rtol: float, atol: float
) -> Iterator[str]:
    if solver not in SOLVERS:
        yield f"no solver {solver!r}. {did_you_mean(solver, SOLVERS)}"
    if not math.isfinite(begin):
        yield f"start {begin!r} is not a finite day."
    if days[0] < begin:
        yield f"the first sample is on day {days[0]:g}, before the start on day {begin:g}."
    for infusion in schedule:
        if infusion.day < begin:
            when = f"on day {infusion.day:g}, before the start on day {begin:g}."
            yield f"the infusion of {infusion.product} is {when}"
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not 0 < value < 1:
            yield f"{name} {value!r} is not between 0 and 1."


def _refuse(complaints: Iterable[str]) -> None:
    problems = [Problem(what=what) for what in complaints]
    if problems:
        raise SimulationError(problems)


def _kept(model: Model, outputs: Sequence[str] | None) -> tuple[str, ...]:
    known = (*(each.name for each in model.states), *(each.name for each in model.assignments))
    if outputs is None:
        return known
    asked = (outputs,) if isinstance(outputs, str) else tuple(dict.fromkeys(outputs))
    _refuse(
        f"no state or assignment {name!r}. {did_you_mean(name, known)}" for name in asked if name not in known
    )
    return asked


# ---- the witness --------------------------------------------------------------------------------------


class _Motion:
    """A model with its parameters settled, as the witness asks for it."""

    def __init__(self, kernels: Kernels, p: Array) -> None:
        self.kernels, self.p = kernels, p
        self.names = kernels.equations.states

    def rates(self, t: float, y: Array) -> Array:
        return self.kernels.rhs(t, y, self.p)

    def jacobian(self, t: float, y: Array) -> Array:
        return self.kernels.jacobian(t, y, self.p)


class _Events:
    """The model's events; conditions and new values are the outputs of kernels of their own."""

    def __init__(self, equations: Equations, p: Array) -> None:
        self.p = p
        self.places: list[list[tuple[int, int]]] = []  # of each event: state, and output with its new value
        outputs: dict[str, sp.Expr] = {}
        for number, event in enumerate(equations.events):
            outputs[f"condition {number}"] = sp.Piecewise(
                (sp.Integer(1), event.condition), (sp.Integer(0), True)
            )
        for number, event in enumerate(equations.events):
            self.places.append([])
            for target, value in event.assignments:
                self.places[-1].append((equations.states.index(target), len(outputs)))
                outputs[f"value {number} {target}"] = value
        self.kernels = compile_equations(
            Equations(
                states=equations.states,
                parameters=equations.parameters,
                rates=equations.rates,
                initials=equations.initials,
                outputs=tuple(outputs.values()),
                output_names=tuple(outputs),
                definitions=equations.definitions,
            )
        )
        fixed = {TIME.name, *equations.parameters}
        self.by_time = [_reach(event.condition, equations) <= fixed for event in equations.events]
        self.initially = [event.initially for event in equations.events]

    def truths(self, t: float, y: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return self.kernels.outputs(t, y, self.p)[: len(self.by_time)] > 0.5  # 1 is true, 0 is false

    def fire(self, which: Iterable[int], t: float, y: Array) -> Array:
        values, after = self.kernels.outputs(t, y, self.p), y.copy()
        for event in which:
            for state, place in self.places[event]:
                after[state] = values[place]
        return after


def _reach(formula: sp.Basic, equations: Equations) -> set[str]:
    """States, parameters and time that a formula uses, its definitions looked into."""
    definitions = dict(equations.definitions)
    found: set[str] = set()
    waiting = [symbol.name for symbol in formula.free_symbols]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in definitions:
            waiting += [symbol.name for symbol in definitions[name].free_symbols]
    return found - set(definitions)


def _time_breaks(equations: Equations, p: Array) -> Iterator[float]:
    """Days on which a condition on time alone turns, wherever it stands in the model."""
    formulas = [*equations.rates, *(event.condition for event in equations.events)]
    formulas += [formula for _, formula in equations.definitions]
    relations = {each for formula in formulas for each in formula.atoms(sp.core.relational.Relational)}
    fixed = {TIME.name, *equations.parameters}
    numbers = {sp.Symbol(name): float(value) for name, value in zip(equations.parameters, p)}
    for relation in sorted(relations, key=str):
        reach = _reach(relation, equations)
        if TIME.name not in reach or not reach <= fixed:
            continue
        gap = relation.lhs - relation.rhs
        for name, formula in reversed(equations.definitions):
            gap = gap.subs(sp.Symbol(name), formula)
        gap = gap.subs(numbers)
        slope = sp.diff(gap, TIME)
        if slope.is_number and slope != 0:  # others are left to the solver's error control
            yield float(-gap.subs(TIME, 0) / slope)


def _scipy_path(
    model: Model,
    names: tuple[str, ...],
    delivery: Delivery,
    begin: float,
    end: float,
    *,
    rtol: float,
    atol: float,
) -> Path:
    equations = equations_of(model, names)
    kernels = compile_equations(equations)
    p = np.array([parameter.value for parameter in model.parameters])
    place = {name: index for index, name in enumerate(equations.states)}
    starts, ends, states = integrate_scipy(
        _Motion(kernels, p),
        _Events(equations, p) if equations.events else None,
        kernels.initial(p, begin),
        start=begin,
        end=end,
        boluses=[(day, place[state], amount) for day, state, amount in delivery.boluses],
        inflows=[(on, off, place[state], rate) for on, off, state, rate in delivery.inflows],
        breaks=_time_breaks(equations, p),
        rtol=rtol,
        atol=atol,
    )

    def read(days: Array, found: Array) -> Array:
        return np.array([kernels.outputs(day, y, p) for day, y in zip(days.tolist(), found)])

    return Path(starts, ends, states, read)
