"""What is asked of every simulated schedule: values, chances of being in range, areas, days, peaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
import sympy as sp

from cellsim.dates import days_in
from cellsim.errors import CellsimError, Problem, did_you_mean, equal_fields, hash_fields
from cellsim.likelihood.observations import prediction_of
from cellsim.model.formulas import parse_formula
from cellsim.predictions.chances import (
    in_range,
    joint_in_range,
    sampled,
    spread_at,
    spread_name,
    unknown_spread,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Analyte, Case
    from cellsim.case.outcomes import Outcome
    from cellsim.dosing.schedule import Schedule
    from cellsim.model.model import Model
    from cellsim.solver.trajectory import Trajectory

    Array = NDArray[np.float64]

__all__ = [
    "AllInRange",
    "Area",
    "Asked",
    "DaysBelow",
    "InRange",
    "Measure",
    "PeakLoad",
    "Runs",
    "Value",
    "default_measures",
    "measure_of_outcome",
    "refuse_days",
]


@dataclass(frozen=True)
class Asked:
    """One number that a measure gives for each draw.

    Attributes
    ----------
    measure, quantity, unit : str
        What it is, of what, in what.
    day : float
        When; nan for what covers the whole time.
    chance : bool
        Whether it is a probability: a table then shows its mean, not its median.
    """

    measure: str
    quantity: str
    unit: str
    day: float = np.nan
    chance: bool = False

    __eq__ = equal_fields
    __hash__ = hash_fields


@dataclass(frozen=True)
class Runs:
    """Simulations of one schedule under many parameter draws.

    Attributes
    ----------
    times : array, shape (n_times,)
        Days, rising; 0 and `until` are among them.
    values : mapping of str to array, shape (n_draws, n_times)
        By name of quantity.
    areas : mapping of str to array, shape (n_draws, n_times)
        Integral of a quantity over time from the start, in its unit times day.
    peaks : mapping of str to array, shape (n_draws,)
        Greatest value of a quantity from day 0 on, by the solver's own steps.
    random : numpy.random.Generator
        For measures that add a future sample's own noise; the same for every schedule.
    plan : Schedule, optional
        What was given, until then, from day 0 on; there in a sweep only.
    reacts : bool
        Whether it is so where the plan goes on, and another one in other draws.
    trajectory : callable, optional
        The simulation of one draw, by its number, as :func:`cellsim.simulate` gives it; there in a sweep only.
    """

    times: Array
    values: Mapping[str, Array]
    areas: Mapping[str, Array]
    peaks: Mapping[str, Array]
    random: np.random.Generator
    plan: Schedule | None = None
    trajectory: Callable[[int], Trajectory] | None = None
    reacts: bool = False

    @cached_property
    def _places(self) -> dict[float, int]:
        """Where days stand that were asked for: measures ask for the same one of every analyte."""
        return {}

    def at(self, name: str, day: float) -> Array:
        """A quantity on a day that is one of `times`, shape (n_draws,)."""
        if day not in self._places:
            self._places[day] = int(np.searchsorted(self.times, day))
        return self.values[name][:, self._places[day]]

    def given(self, asked: str) -> Schedule:
        """The plan; refused where there is none, and draws are not compared plan by plan."""
        if self.plan is None:
            raise CellsimError(
                f"{asked} is asked of a sweep alone (cs.sweep), not of a prediction at one place."
            )
        return self.plan

    def area(self, name: str, until: float) -> Array:
        """An integral from day 0 to `until`, shape (n_draws,)."""
        first, last = (int(np.searchsorted(self.times, day)) for day in (0.0, until))
        return self.areas[name][:, last] - self.areas[name][:, first]


class Measure(Protocol):
    """The promise: say what you need, then turn runs into numbers.

    1. `formulas` names the quantities to be recorded, each with a formula in the model's names.
    2. `areas` names what is integrated over time by the solver itself, each with its formula.
    3. `peaks` names those of `formulas` of which the greatest value from day 0 on is looked for, between days too.
    4. `days` are extra days to be recorded (a grid and every dose are there already).
    5. `asked` lists the numbers given, `of` gives them, shape (n_asked, n_draws), in the same order.

    A measure whose class says ``whole_course = False`` looks at day 0, the last day and its own `days` alone: where nothing else
    is asked either, no other days are recorded. Without the word it may look at every recorded day.
    """

    def formulas(self, case: Case) -> dict[str, sp.Expr]: ...

    def areas(self, case: Case) -> dict[str, sp.Expr]: ...

    def peaks(self, case: Case) -> tuple[str, ...]: ...

    def days(self, until: float) -> tuple[float, ...]: ...

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]: ...

    def of(self, runs: Runs, case: Case, until: float) -> Array: ...


def refuse_days(measures: Sequence[Measure], until: float) -> list[Problem]:
    """Every day that measures ask for and that is not looked at."""
    problems: list[Problem] = []
    for each in measures:
        try:
            days = days_in(each.days(until), f"days of {type(each).__name__}").tolist()
        except ValueError as error:
            problems.append(Problem(what=f"{error}."))
            continue
        problems += [
            Problem(
                what=f"day {day:g} is asked for, and what is looked at are days 0 to {until:g}.",
                remedy="Give a later until, or another day.",
            )
            for day in days
            if not 0 <= day <= until
        ]
    return list(dict.fromkeys(problems))


@lru_cache(maxsize=256)
def _known_analytes(case: Case, chosen: tuple[str, ...]) -> tuple[Analyte, ...]:
    known = {each.id: each for each in case.analytes}
    for name in chosen:
        if name not in known:
            raise CellsimError(f"no analyte {name!r} in {case.name}. {did_you_mean(name, known)}")
    every = chosen or [each.id for each in known.values() if each.foreseeable]
    return tuple(known[name] for name in every)


def _analytes(case: Case, chosen: Sequence[str] | None) -> tuple[Analyte, ...]:
    return _known_analytes(case, tuple(chosen or ()))


def _spreads(chosen: Sequence[Analyte]) -> dict[str, sp.Expr]:
    """What must be recorded to know the spread of a new sample where it is estimated."""
    return {spread_name(each): parse_formula(each.noise) for each in chosen if unknown_spread(each)}


def _spread(runs: Runs, case: Case, analyte: Analyte, day: float) -> Array | float:
    name = spread_name(analyte)
    return spread_at(case, analyte, {name: runs.at(name, day)} if unknown_spread(analyte) else {})


@dataclass(frozen=True)
class Plain:
    """Defaults of measures that need nothing special."""

    whole_course: ClassVar[bool] = True

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        return {}

    def areas(self, case: Case) -> dict[str, sp.Expr]:
        return {}

    def peaks(self, case: Case) -> tuple[str, ...]:
        return ()

    def days(self, until: float) -> tuple[float, ...]:
        return ()


@dataclass(frozen=True)
class Value(Plain):
    """Predicted value of analytes on given days.

    Parameters
    ----------
    on : tuple of float
        Days; the last day by default.
    analytes : tuple of str, optional
        All by default.
    noise : bool
        Whether the value is that of a sample taken then, with the analyte's own spread and the effect its panel shares; the
        same noise under every schedule. Otherwise it is without noise.
    """

    whole_course: ClassVar[bool] = False

    on: tuple[float, ...] = ()
    analytes: tuple[str, ...] | None = None
    noise: bool = False

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        chosen = _analytes(case, self.analytes)
        return {each.id: prediction_of(each) for each in chosen} | (_spreads(chosen) if self.noise else {})

    def days(self, until: float) -> tuple[float, ...]:
        return self.on or (until,)

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        name = "value, as sampled" if self.noise else "value"
        return tuple(
            Asked(name, each.id, each.unit, day)
            for each in _analytes(case, self.analytes)
            for day in self.days(until)
        )

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        out = []
        for each in _analytes(case, self.analytes):
            for day in self.days(until):
                value = runs.at(each.id, day)
                if self.noise:
                    runs.given("a value as sampled")
                    random = runs.random.standard_normal(value.shape)
                    value = sampled(case, each, value, _spread(runs, case, each, day), random)
                out.append(value)
        return np.array(out)


@dataclass(frozen=True)
class InRange(Plain):
    """Chance that an analyte lies in its reference range on given days.

    Parameters
    ----------
    on : tuple of float
        Days; the last day by default.
    noise : bool
        Whether the sample taken then has the analyte's own spread and, for a panel with a shared sample
        effect, a new one of these too; otherwise the value without noise is judged.
    analytes : tuple of str, optional
        All by default.
    """

    whole_course: ClassVar[bool] = False

    on: tuple[float, ...] = ()
    noise: bool = False
    analytes: tuple[str, ...] | None = None

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        chosen = _analytes(case, self.analytes)
        return {each.id: prediction_of(each) for each in chosen} | (_spreads(chosen) if self.noise else {})

    def days(self, until: float) -> tuple[float, ...]:
        return self.on or (until,)

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        name = "in range, as sampled" if self.noise else "in range"
        return tuple(
            Asked(name, each.id, "1", day, chance=True)
            for each in _analytes(case, self.analytes)
            for day in self.days(until)
        )

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        each_day = [(each, day) for each in _analytes(case, self.analytes) for day in self.days(until)]
        values = np.array([runs.at(each.id, day) for each, day in each_day])
        spreads = [_spread(runs, case, each, day) for each, day in each_day] if self.noise else None
        return in_range(case, tuple(each.id for each, _ in each_day), values, spreads)


@dataclass(frozen=True)
class AllInRange(Plain):
    """Chance that every analyte of a panel lies in its reference range at once.

    Parameters
    ----------
    panel : str
        As in the case's observables.
    on : tuple of float
        Days; the last day by default.
    noise : bool
        Whether one sample taken then is judged, in which every analyte has its own spread and a panel its shared effect;
        otherwise the values without noise.
    """

    whole_course: ClassVar[bool] = False

    panel: str
    on: tuple[float, ...] = ()
    noise: bool = False

    def _members(self, case: Case) -> list[Analyte]:
        members = [each for each in case.analytes if each.panel == self.panel]
        if not members:
            panels = {each.panel for each in case.analytes}
            raise CellsimError(f"no panel {self.panel!r} in {case.name}. {did_you_mean(self.panel, panels)}")
        return members

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        members = self._members(case)
        return {each.id: prediction_of(each) for each in members} | (_spreads(members) if self.noise else {})

    def days(self, until: float) -> tuple[float, ...]:
        return self.on or (until,)

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        name = "all in range, as sampled" if self.noise else "all in range"
        return tuple(Asked(name, self.panel, "1", day, chance=True) for day in self.days(until))

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        members, out = self._members(case), []
        for day in self.days(until):
            values = [runs.at(each.id, day) for each in members]
            if self.noise:
                spreads = [_spread(runs, case, each, day) for each in members]
                out.append(joint_in_range(case, members, values, spreads))
                continue
            inside = in_range(case, tuple(each.id for each in members), np.array(values))
            out.append(np.prod(inside, axis=0))
        return np.array(out)


@dataclass(frozen=True)
class Area(Plain):
    """Area under a quantity of the model from day 0 on, integrated by the solver itself.

    Parameters
    ----------
    quantity : str
        A state or assignment.
    """

    whole_course: ClassVar[bool] = False

    quantity: str

    def areas(self, case: Case) -> dict[str, sp.Expr]:
        return {self.quantity: sp.Symbol(self.quantity)}

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        own = model[self.quantity].unit
        plain = own in ("", "dimensionless")
        return (Asked("area", self.quantity, model.time_unit if plain else f"{own} {model.time_unit}"),)

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        return np.array([runs.area(self.quantity, until)])


@dataclass(frozen=True)
class DaysBelow(Plain):
    """Days, from day 0 on, that a quantity spends below a level.

    The solver integrates 1 while the quantity is below the level and 0 otherwise, and meets every crossing where it is: as
    exact as the simulation, however short a stay below may be.

    Parameters
    ----------
    quantity : str
        A state or assignment.
    level : float
        In its unit.
    """

    whole_course: ClassVar[bool] = False

    quantity: str
    level: float

    @property
    def _name(self) -> str:
        return f"{self.quantity} below {self.level!r}"

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        """The quantity itself, for its course is what a figure shows beside the number."""
        itself = sp.Symbol(self.quantity)
        # an analyte of that name may be another thing
        other = any(each.id == self.quantity and prediction_of(each) != itself for each in case.analytes)
        return {f"{self.quantity} (model)" if other else self.quantity: itself}

    def areas(self, case: Case) -> dict[str, sp.Expr]:
        return {self._name: _below(self.quantity, self.level)}

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        name = model[self.quantity].name
        return (Asked(f"days below {self.level:g}", name, "day"),)

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        return np.array([runs.area(self._name, until)])


@lru_cache(maxsize=64)
def _below(quantity: str, level: float) -> sp.Expr:
    """1 while a quantity is below a level, else 0."""
    return sp.Piecewise((sp.Integer(1), sp.Lt(sp.Symbol(quantity), sp.Float(level))), (sp.Integer(0), True))


@lru_cache(maxsize=64)
def _load(case: Case, panel: str) -> sp.Expr:
    """The geometric mean of value over upper limit; put together by SymPy, it takes as long as to simulate ten draws."""
    logs = [
        sp.log(prediction_of(each) / sp.Float(each.upper))
        for each in case.analytes
        if each.panel == panel and each.upper is not None
    ]
    if not logs:
        raise CellsimError(f"no panel {panel!r} with upper limits in {case.name}.")
    return sp.exp(sp.Add(*logs) / len(logs))


@dataclass(frozen=True)
class PeakLoad(Plain):
    """Greatest load of a panel from day 0 on: the geometric mean of value over upper reference limit.

    The solver looks for it along its own steps: as exact as the simulation, wherever between recorded days it lies.

    Parameters
    ----------
    panel : str
        As in the case's observables; members without an upper limit are left out.
    """

    whole_course: ClassVar[bool] = False

    panel: str

    @property
    def _name(self) -> str:
        return f"load of {self.panel}"

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        return {self._name: _load(case, self.panel)}

    def peaks(self, case: Case) -> tuple[str, ...]:
        return (self._name,)

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        return (Asked("peak", self._name, "upper limits"),)

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        return np.array([runs.peaks[self._name]])


def default_measures(model: Model, on: Sequence[float] = (), *, case: Case) -> tuple[Measure, ...]:
    """What a case asks of every schedule.

    Parameters
    ----------
    model : Model
    on : sequence of float
        Days for values and chances; the last day by default.
    case : Case
        Whose outcomes and products are asked.

    Returns
    -------
    tuple of Measure
        The value of every analyte, its chance to be in range where it has reference limits, the outcomes of the case, and
        the area of what shows each product.
    """
    days = tuple(float(day) for day in on)
    asked = [each for each in case.analytes if each.foreseeable]
    limited = tuple(each.id for each in asked if each.range_text)
    # without limits every value would be in range
    chosen = None if len(limited) == len(asked) else limited
    out: list[Measure] = [Value(days)]
    if limited:
        out += [InRange(days, analytes=chosen), InRange(days, noise=True, analytes=chosen)]
    out += [made for each in case.outcomes if (made := measure_of_outcome(each, days)) is not None]
    shown = dict.fromkeys(each.quantity for each in case.products if each.quantity in model)
    out += [Area(name) for name in shown if Area(name) not in out]
    return tuple(out)


def measure_of_outcome(outcome: Outcome, days: tuple[float, ...]) -> Measure | None:
    """What an outcome asks beside the values and chances that are asked of every analyte."""
    if outcome.measure == "days below" and outcome.level is not None:
        return DaysBelow(outcome.quantity, outcome.level)
    if outcome.measure == "peak load":
        return PeakLoad(outcome.quantity)
    if outcome.measure == "all in range":
        return AllInRange(outcome.quantity, days)
    return Area(outcome.quantity) if outcome.measure == "area" else None
