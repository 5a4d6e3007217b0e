"""Measures of one's own: a formula text, a function of a trajectory; and the days to relapse after the last dose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import sympy as sp

from cellsim.errors import CellsimError, ModelError, did_you_mean, is_finite_number
from cellsim.likelihood.observations import prediction_of
from cellsim.model.formulas import from_ast, to_ast
from cellsim.predictions.measures import Asked, Measure, Plain, Runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.model.model import Model
    from cellsim.solver.trajectory import Trajectory

    Array = NDArray[np.float64]
    AnyMeasure = Measure | str | Callable[[Trajectory], float]

__all__ = ["DaysToRelapse", "Formula", "OfTrajectory", "measures_given"]

FUNCTIONALS = {
    "at": "at(formula, day)",
    "area": "area(formula)",
    "mean": "mean(formula)",
    "peak": "peak(formula)",
    "days_below": "days_below(formula, level)",
    "days_above": "days_above(formula, level)",
}
"""What a formula may ask of a course, from day 0 to the last day."""
_WITH_NUMBER = ("at", "days_below", "days_above")


@dataclass(frozen=True)
class _Part:
    """One functional in a formula: of what, with which number, and the name it is recorded by."""

    kind: str
    of: sp.Expr
    number: float
    name: str


@dataclass(frozen=True)
class Formula(Plain):
    """A number that a formula text makes of a course.

    Names are quantities of the model, parameters and analytes; a bare name is its value on the last day. Of a course,
    ``at(x, day)`` is the value on a day, ``area(x)`` the integral, ``mean(x)`` the area over the days, ``peak(x)`` the
    greatest value, ``days_below(x, level)`` and ``days_above(x, level)`` the days spent there, each from day 0 to the last day; `x` may
    be a formula. The text is read by the library's own reader and never run as code.

    Parameters
    ----------
    text : str
    name : str
        What it is called in tables; the text by default.
    unit : str

    Raises
    ------
    ModelError
        If the text is no formula.

    Examples
    --------
    >>> Formula("area(x)/peak(x + y)").text
    'area(x)/peak(x + y)'
    """

    whole_course: ClassVar[bool] = False

    text: str
    name: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        self._read  # noqa: B018 - a text that is no formula is refused where it stands

    @cached_property
    def _read(self) -> tuple[sp.Expr, tuple[_Part, ...]]:
        """The formula of its functionals, and these."""
        where = f"the measure {self.text!r}"
        tree = to_ast(self.text, where=where)
        found: list[_Part] = []

        def replaced(node: Any, inside: str) -> None:
            kind = node.getName() if node.isFunction() else ""
            if kind in FUNCTIONALS:
                if inside:
                    raise ModelError(
                        f"{where}: {kind}() stands inside {inside}(), which takes the course of a formula."
                    )
                found.append(_part(node, kind, where))
                while node.getNumChildren():
                    node.removeChild(0)
                node.setType(_name_type())
                node.setName(found[-1].name)
                return
            for k in range(node.getNumChildren()):
                replaced(node.getChild(k), inside)

        replaced(tree, "")
        value = from_ast(tree, where=where, functions={})
        if not isinstance(value, sp.Expr):
            raise ModelError(f"{where} is a condition and no number; write piecewise(1, condition, 0).")
        bare = [each for each in value.free_symbols if each.name not in {part.name for part in found}]
        last = [_Part("last", each, np.nan, each.name) for each in sorted(bare, key=str)]
        return value, (*found, *last)

    def _substituted(self, part: _Part, case: Case) -> sp.Expr:
        """What a functional is of, in names of the model and of parameters."""
        analytes = {each.id: each for each in case.analytes}
        used = {each: analytes[each.name] for each in part.of.free_symbols if each.name in analytes}
        return part.of.xreplace({symbol: prediction_of(about) for symbol, about in used.items()})

    def _recorded(self, part: _Part) -> str:
        return (
            f"{part.name} of {self.text}"
            if part.kind != "last"
            else f"{part.name} on the last day of {self.text}"
        )

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        return {
            self._recorded(part): self._substituted(part, case)
            for part in self._read[1]
            if part.kind in ("at", "peak", "last")
        }

    def areas(self, case: Case) -> dict[str, sp.Expr]:
        return {
            self._recorded(part): _integrand(part, self._substituted(part, case))
            for part in self._read[1]
            if part.kind in ("area", "mean", "days_below", "days_above")
        }

    def peaks(self, case: Case) -> tuple[str, ...]:
        return tuple(self._recorded(part) for part in self._read[1] if part.kind == "peak")

    def days(self, until: float) -> tuple[float, ...]:
        return (until, *(part.number for part in self._read[1] if part.kind == "at"))

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        known = {
            *(each.name for each in model.quantities), *(each.id for each in case.analytes), *case.nominal, "time"
        }  # fmt: skip
        for part in self._read[1]:
            for each in sorted(part.of.free_symbols, key=str):
                if each.name not in known:
                    raise CellsimError(
                        f"the measure {self.text!r} names {each.name!r}, which is no quantity of the model and no analyte. "
                        + did_you_mean(each.name, known)
                    )
        return (Asked("formula", self.name or self.text, self.unit),)

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        value, parts = self._read
        numbers: dict[str, Array] = {}
        for part in parts:
            name = self._recorded(part)
            if part.kind in ("at", "last"):
                numbers[part.name] = runs.at(name, until if part.kind == "last" else part.number)
            elif part.kind == "peak":
                numbers[part.name] = runs.peaks[name]
            else:
                numbers[part.name] = runs.area(name, until) / (until if part.kind == "mean" else 1.0)
        shape = next(iter([*numbers.values(), *runs.values.values(), *runs.areas.values()])).shape[:1]
        with np.errstate(all="ignore"):
            found = np.broadcast_to(_number(value, numbers), shape)
        if not np.isfinite(found).all():
            raise CellsimError(
                f"the measure {self.text!r} is not a finite number in {int((~np.isfinite(found)).sum())} of {found.size} draws: it "
                "divides by 0, or takes a root or a logarithm of what is negative (by rounding, maybe: max(x, 0))."
            )
        return np.array([found], float)


def _name_type() -> int:
    import libsbml

    return int(libsbml.AST_NAME)


def _part(node: Any, kind: str, where: str) -> _Part:
    """A functional as it is written, or a word on how it is."""
    children = [node.getChild(k) for k in range(node.getNumChildren())]
    if len(children) != 1 + (kind in _WITH_NUMBER):
        raise ModelError(f"{where}: {kind}() takes {FUNCTIONALS[kind]}, and {len(children)} are given.")
    number = np.nan
    if kind in _WITH_NUMBER:
        value = from_ast(children[1], where=where)
        if not (isinstance(value, sp.Expr) and value.is_number and is_finite_number(float(value))):
            raise ModelError(f"{where}: {FUNCTIONALS[kind]} needs a number, and {value} is none.")
        number = float(value)
    for name in FUNCTIONALS:
        if _calls(children[0], name):
            raise ModelError(
                f"{where}: {name}() stands inside {kind}(), which takes the course of a formula."
            )
    of = from_ast(children[0], where=where)
    if not isinstance(of, sp.Expr):
        raise ModelError(f"{where}: {kind}() takes a formula, and a condition is given.")
    shown = f"{kind}({of}" + (f", {number!r})" if kind in _WITH_NUMBER else ")")
    return _Part(kind, of, number, shown)


def _calls(node: Any, name: str) -> bool:
    if node.isFunction() and node.getName() == name:
        return True
    return any(_calls(node.getChild(k), name) for k in range(node.getNumChildren()))


def _integrand(part: _Part, of: sp.Expr) -> sp.Expr:
    if part.kind in ("area", "mean"):
        return of
    relation = sp.Lt if part.kind == "days_below" else sp.Gt
    return sp.Piecewise((sp.Integer(1), relation(of, sp.Float(part.number))), (sp.Integer(0), True))


_ELEMENTARY: dict[Any, Callable[..., Any]] = {
    sp.Add: lambda *parts: sum(parts[1:], parts[0]),
    sp.Mul: lambda *parts: np.prod(np.broadcast_arrays(*parts), axis=0),
    sp.Pow: lambda base, exponent: np.power(np.asarray(base, float), exponent),
    sp.exp: np.exp,
    sp.log: np.log,
    sp.Abs: np.abs,
    sp.floor: np.floor,
    sp.ceiling: np.ceil,
    sp.sin: np.sin,
    sp.cos: np.cos,
    sp.tan: np.tan,
    sp.tanh: np.tanh,
    sp.sinh: np.sinh,
    sp.cosh: np.cosh,
    sp.Max: lambda *parts: np.max(np.broadcast_arrays(*parts), axis=0),
    sp.Min: lambda *parts: np.min(np.broadcast_arrays(*parts), axis=0),
    sp.Lt: np.less,
    sp.Le: np.less_equal,
    sp.Gt: np.greater,
    sp.Ge: np.greater_equal,
    sp.Eq: np.equal,
    sp.Ne: np.not_equal,
    sp.And: lambda *parts: np.all(np.broadcast_arrays(*parts), axis=0),
    sp.Or: lambda *parts: np.any(np.broadcast_arrays(*parts), axis=0),
    sp.Not: np.logical_not,
}


def _number(formula: sp.Basic, numbers: Mapping[str, Array]) -> Any:
    """The value of a formula from the values of its symbols, node by node."""
    if isinstance(formula, sp.Symbol):
        return numbers[formula.name]
    if formula in (sp.true, sp.false):
        return bool(formula)
    if not formula.args:
        return float(formula)
    if isinstance(formula, sp.Piecewise):
        out: Any = np.nan
        for value, condition in reversed(formula.args):
            out = np.where(_number(condition, numbers), _number(value, numbers), out)
        return out
    for kind, operation in _ELEMENTARY.items():
        if isinstance(formula, kind):
            return operation(*(_number(each, numbers) for each in formula.args))
    raise ModelError(
        f"{type(formula).__name__} cannot be used outside of at(), area(), peak() and the others."
    )


@dataclass(frozen=True)
class OfTrajectory(Plain):
    """A number that a function makes of the simulation of each draw.

    Every draw is simulated by itself, as :func:`cellsim.simulate` does, history included: slower than the other measures, and as
    exact.

    Parameters
    ----------
    function : callable
        From a :class:`cellsim.Trajectory`, sampled daily from day 0 to the last day, to one number.
    name : str
        What it is called in tables; the function's own name by default.
    unit : str

    Examples
    --------
    >>> OfTrajectory(lambda seen: seen.peak("x")[1], "highest x").name
    'highest x'
    """

    whole_course: ClassVar[bool] = False

    function: Callable[[Trajectory], float]
    name: str = ""
    unit: str = ""

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        return (Asked("own", self._called, self.unit),)

    @property
    def _called(self) -> str:
        return self.name or getattr(self.function, "__name__", type(self.function).__name__)

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        """Something that is recorded, so that a sweep of this measure alone knows its draws."""
        return {"time": sp.Symbol("time")}

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        runs.given(f"the function {self._called!r} of a trajectory")
        assert runs.trajectory is not None
        out = []
        for draw in range(len(runs.values["time"])):
            found = self.function(runs.trajectory(draw))
            if not is_finite_number(found):
                raise CellsimError(
                    f"the function {self._called!r} gives {found!r} for draw {draw}; a finite number is needed."
                )
            out.append(float(found))
        return np.array([out])


@dataclass(frozen=True)
class DaysToRelapse(Plain):
    """Days from the last dose until a quantity is above a level, and the chance that it is so by the last day.

    0 where it is above already when the last dose is given; where it stays below, the days that were looked at: these are a
    lower bound. Without a dose the days are counted from day 0. The crossing is found between recorded days (every day and the hours after
    each dose) by the polynomial through six of them. Doses of background products do not count.

    Parameters
    ----------
    quantity : str
        A state, an assignment or an analyte.
    level : float
        In its unit.
    """

    quantity: str
    level: float

    @property
    def _name(self) -> str:
        return f"{self.quantity} until relapse"

    def formulas(self, case: Case) -> dict[str, sp.Expr]:
        about = next((each for each in case.analytes if each.id == self.quantity), None)
        return {self._name: sp.Symbol(self.quantity) if about is None else prediction_of(about)}

    def asked(self, case: Case, model: Model, until: float) -> tuple[Asked, ...]:
        if self.quantity not in {each.id for each in case.analytes}:
            model[self.quantity]
        return (
            Asked(f"days to relapse above {self.level:g}", self.quantity, "day"),
            Asked(f"relapse above {self.level:g}", self.quantity, "1", until, chance=True),
        )

    def of(self, runs: Runs, case: Case, until: float) -> Array:
        plan = runs.given("days to relapse")
        if runs.reacts:
            raise CellsimError(
                "days to relapse count from the last dose, which is another one in each draw of a plan that reacts to a visit: ask for "
                "another measure."
            )
        last = plan.span[1] if plan.span is not None else 0.0
        first = int(np.searchsorted(runs.times, min(last, until)))
        days, course = (runs.times[first:], runs.values[self._name][:, first:] - self.level)
        until_relapse = np.full(len(course), days[-1] - days[0])
        above = course > 0
        relapsed = above.any(axis=1)
        until_relapse[above[:, 0]] = 0.0
        for draw in np.flatnonzero(relapsed & ~above[:, 0]).tolist():
            until_relapse[draw] = _crossing(days, course[draw], int(np.argmax(above[draw]))) - days[0]
        return np.array([until_relapse, relapsed.astype(float)])


def _crossing(days: Array, course: Array, after: int) -> float:
    """Where a course rises through zero, between the recorded day `after` and the one before it."""
    from scipy.interpolate import KroghInterpolator
    from scipy.optimize import brentq

    near = slice(max(after - 3, 0), after + 3)
    if course[after - 1] == 0:
        return float(days[after - 1])
    path = KroghInterpolator(days[near], course[near])
    return float(brentq(path, days[after - 1], days[after]))


def measures_given(measures: Any) -> tuple[Measure, ...]:
    """Measures from what was given as such: measures, formula texts, functions of a trajectory, or these two by name.

    Raises
    ------
    CellsimError
        For anything else.

    Examples
    --------
    >>> [type(each).__name__ for each in measures_given(["area(x)", lambda seen: seen.auc("x")])]
    ['Formula', 'OfTrajectory']
    >>> measures_given({"exposure": "area(x)"})[0].name
    'exposure'
    """
    if isinstance(measures, Mapping):
        return tuple(_measure(each, str(name)) for name, each in measures.items())
    if isinstance(measures, str) or not isinstance(measures, Sequence):
        raise CellsimError(f"measures takes a list of measures, like [{measures!r}].")
    return tuple(_measure(each, "") for each in measures)


def _measure(given: Any, name: str) -> Measure:
    if isinstance(given, str):
        return Formula(given, name)
    if hasattr(given, "asked") and hasattr(given, "of"):
        return given
    if callable(given):
        return OfTrajectory(given, name)
    raise CellsimError(
        f"{given!r} is no measure: give one of cellsim.predictions.measures, a formula text such as 'area(x)', or a function of a "
        "trajectory."
    )
