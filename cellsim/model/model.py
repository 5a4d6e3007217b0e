"""A model: a frozen set of equations with names, units and notes, changed only by making a sibling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import sympy as sp

from cellsim.delimited import file_text
from cellsim.errors import ModelError, Problem, did_you_mean
from cellsim.foreign.trial import from_file
from cellsim.library import is_shipped, model_file, shipped_models
from cellsim.model import antimony
from cellsim.model import sbml_write as sbml
from cellsim.model.content import TIME, Assignment, Event, Parameter, Quantity, State
from cellsim.model.describe import describe, latex
from cellsim.model.formulas import RESERVED, formula_text, literal, parse_formula
from cellsim.model.unit_check import check_model

__all__ = ["TIME", "Assignment", "Event", "Model", "Parameter", "State", "load_model", "model_given"]

# letters of what may be a name or a path, and not the text of a whole model
_SHORT = 80

NewParameter = float | tuple[float, str] | Parameter
"""A parameter that comes along with a new formula: its value, (value, unit), or the whole record."""


@dataclass(frozen=True)
class Model:
    """A system of ordinary differential equations with names, units, labels and notes.

    Parameters
    ----------
    name : str
        Identifier of the model.
    states, parameters, assignments, events : tuple
        What it is made of; assignments stand in an order in which each uses only earlier ones.
    units : tuple of (str, str)
        Unit names of the file and what they mean, e.g. ``("per_day", "1/day")``.
    time_unit : str
        Unit of the model's clock, e.g. ``"day"``.
    note : str
        What the model is and where it comes from.
    doubts : tuple of Problem
        What its file holds and the model does not: constraints, which nothing watches over, and elements without a formula.

    Examples
    --------
    >>> model = load_model("x = 10; x' = -k*x; k = 0.5")
    >>> model.states[0].rate
    -k*x
    >>> model.with_values(k=2.0).parameters[0].value, model.parameters[0].value
    (2.0, 0.5)
    """

    name: str
    states: tuple[State, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    events: tuple[Event, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    time_unit: str = ""
    note: str = ""
    doubts: tuple[Problem, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        problems = []
        for name in (each.name for each in self.quantities):
            if name in seen:
                problems.append(Problem(what=f"{name} is declared twice.", remedy="Rename one of the two."))
            if name in RESERVED:
                problems.append(
                    Problem(what=f"{name!r} is a word of the formula language.", remedy="Rename it.")
                )
            seen.add(name)
        if problems:
            raise ModelError(problems)

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, each.name) for each in fields(self) if each.compare))

    def __hash__(self) -> int:
        """That of its content, found out once: models are keys of what is compiled, and have hundreds of parts."""
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        # another process hashes text otherwise
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """States, parameters and assignments, in this order."""
        return (*self.states, *self.parameters, *self.assignments)

    def __getitem__(self, name: str) -> Quantity:
        """The state, parameter or assignment of that name.

        Raises
        ------
        ModelError
            There is none; the message names the nearest.
        """
        for each in self.quantities:
            if each.name == name:
                return each
        raise ModelError(f"No quantity {name!r} in {self.name}. {did_you_mean(name, self._names())}")

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def _names(self) -> list[str]:
        return [each.name for each in self.quantities]

    def with_values(self, values: Mapping[str, float] | None = None, /, **more: float) -> Model:
        """A sibling with other parameter values or initial values.

        Parameters
        ----------
        values : mapping of str to float
            Name of a parameter or of a state (its initial value) and the value, in its own unit.
        **more : float
            The same, as keywords.

        Returns
        -------
        Model

        Raises
        ------
        ModelError
            All unknown names, computed quantities and values that are not finite, at once.

        Examples
        --------
        >>> load_model("x = 10; x' = -k*x; k = 0.5").with_values(k=1, x=3).parameters[0].value
        1.0
        """
        wanted = {**(values or {}), **more}
        problems: list[Problem] = []
        moved: dict[str, State] = {}
        found: dict[str, Parameter] = {}
        for name, value in wanted.items():
            if name not in self:
                what = f"No parameter or state {name!r} in {self.name}."
                problems.append(Problem(what=what, remedy=did_you_mean(name, self._names())))
                continue
            one = self[name]
            number = _finite(value)
            if isinstance(one, Assignment):
                what = f"{name} is computed ({name} = {formula_text(one.formula)}) and takes no value."
                problems.append(Problem(what=what, remedy="Use with_rate to give it another formula."))
            elif number is None:
                problems.append(Problem(what=f"{name} = {value!r} is not a finite number."))
            elif isinstance(one, State):
                moved[name] = replace(one, initial=literal(number))
            else:
                found[name] = replace(one, value=number)
        if problems:
            raise ModelError(problems)
        return replace(
            self,
            states=tuple(moved.get(each.name, each) for each in self.states),
            parameters=tuple(found.get(each.name, each) for each in self.parameters),
        )

    def with_rate(self, name: str, formula: str | sp.Expr, **new_parameters: NewParameter) -> Model:
        """A sibling in which one equation is another.

        Parameters
        ----------
        name : str
            An assignment (its formula is replaced) or a state (its rate of change is replaced).
        formula : str or sympy.Expr
            The new right-hand side, e.g. ``"k*E*T/(K + T)"``.
        **new_parameters : float, (float, str) or Parameter
            Parameters that the formula brings along: value, or value and unit.

        Returns
        -------
        Model

        Raises
        ------
        ModelError
            `name` has no equation, or the formula uses names that do not exist.

        Examples
        --------
        >>> model = load_model("x = 10; x' = -k*x; k = 0.5")
        >>> model.with_rate("x", "-k*x/(K + x)", K=5.0).states[0].rate
        -k*x/(K + x)
        """
        old = self[name]
        if isinstance(old, Parameter):
            raise ModelError(
                f"{name} is a parameter with the value {old.value:g}; it has no equation. Use with_values."
            )
        bigger = self._with_parameters(new_parameters)
        new = bigger._formula(formula, f"{name}")
        if isinstance(old, State):
            return replace(
                bigger,
                states=tuple(replace(old, rate=new) if each is old else each for each in self.states),
            )
        assignments = [replace(old, formula=new) if each is old else each for each in self.assignments]
        return replace(bigger, assignments=sbml.in_order_of_use(assignments))

    def with_state(
        self,
        name: str,
        rate: str | sp.Expr,
        initial: float | str | sp.Expr = 0.0,
        *,
        unit: str = "",
        label: str = "",
        note: str = "",
        **new_parameters: NewParameter,
    ) -> Model:
        """A sibling with one more state.

        Parameters
        ----------
        name : str
            Its name; must be new.
        rate : str or sympy.Expr
            Its rate of change, in `unit` per time unit; may use the state itself.
        initial : float, str or sympy.Expr
            Its value at the start.
        unit, label, note : str
            As in `State`.
        **new_parameters : float, (float, str) or Parameter
            Parameters that the formulas bring along.

        Returns
        -------
        Model

        Raises
        ------
        ModelError
            The name is taken or no identifier, or a formula uses names that do not exist.

        Examples
        --------
        >>> model = load_model("x = 10; x' = -k*x; k = 0.5")
        >>> model.with_state("gone", "k*x").check()[0].severity
        'doubt'
        """
        _identifier(name)
        if name in self:
            raise ModelError(f"{name} exists already in {self.name}. Use with_rate to change its equation.")
        bigger = replace(
            self, states=(*self.states, State(name, sp.Integer(0), sp.Integer(0), unit, label, note))
        )
        bigger = bigger._with_parameters(new_parameters)
        start = initial if isinstance(initial, (str, sp.Basic)) else literal(_finite_or_refuse(name, initial))
        grown = State(
            name,
            bigger._formula(start, f"{name} at the start"),
            bigger._formula(rate, name),
            unit,
            label,
            note,
        )
        return replace(bigger, states=(*self.states, grown))

    def without(self, *names: str) -> Model:
        """A sibling without these quantities (or events).

        Parameters
        ----------
        *names : str
            Quantities or events; several that need each other go together.

        Returns
        -------
        Model

        Raises
        ------
        ModelError
            A name does not exist, or something that stays still uses it; all users are listed.

        Examples
        --------
        >>> model = load_model("x = 10; x' = -k*x; k = 0.5; gone := 10 - x")
        >>> [each.name for each in model.without("gone").quantities]
        ['x', 'k']
        """
        events = {each.name for each in self.events}
        known = [*self._names(), *events]
        problems = [
            Problem(what=f"No quantity {name!r} in {self.name}.", remedy=did_you_mean(name, known))
            for name in names
            if name not in known
        ]
        gone = set(names)
        left = replace(
            self,
            states=tuple(each for each in self.states if each.name not in gone),
            parameters=tuple(each for each in self.parameters if each.name not in gone),
            assignments=tuple(each for each in self.assignments if each.name not in gone),
            events=tuple(each for each in self.events if each.name not in gone),
        )
        for name in sorted(gone & set(self._names())):
            users = [where for where, formula in left.formulas() if sp.Symbol(name) in formula.free_symbols]
            users += [f"event {each.name}" for each in left.events if name in dict(each.assignments)]
            if users:
                what = f"{name} is still used by {', '.join(dict.fromkeys(users))}."
                problems.append(
                    Problem(what=what, remedy="Take these out too, or change them with with_rate.")
                )
        if problems:
            raise ModelError(problems)
        return left

    def formulas(self) -> Iterable[tuple[str, sp.Basic]]:
        """Every formula of the model with the name it belongs to."""
        for state in self.states:
            yield state.name, state.rate
            yield state.name, state.initial
        for assignment in self.assignments:
            yield assignment.name, assignment.formula
        for event in self.events:
            yield f"event {event.name}", event.trigger
            for _, value in event.assignments:
                yield f"event {event.name}", value

    def check(self) -> tuple[Problem, ...]:
        """What is wrong or doubtful: unit balance, unknown names, unused names.

        Returns
        -------
        tuple of Problem
            Empty when all is well; ``severity`` tells errors from doubts.

        Examples
        --------
        >>> for problem in load_model("x = 10; x' = -k*x; k = 0.5; K = 3").check():
        ...     print(problem.what)
        Parameter K is used nowhere.
        No quantity of this model has a unit, so units were not checked.
        """
        return check_model(self)

    def to_sbml(self) -> str:
        """The model as SBML Level 3 Version 2 text; states are parameters with rate rules."""
        return self._sbml

    @cached_property
    def _sbml(self) -> str:
        """Written once: every file of a fit, of draws and of a sweep has it."""
        return sbml.write_sbml(self)

    def to_antimony(self) -> str:
        """The model as Antimony text, which `load_model` reads back to an equal model.

        Raises
        ------
        ModelError
            A name is a word of Antimony's own.
        """
        return antimony.write_antimony(self)

    def __str__(self) -> str:
        return describe(self)

    def __repr__(self) -> str:
        return (
            f"<Model {self.name}: {len(self.states)} states, {len(self.parameters)} parameters, "
            f"{len(self.assignments)} assignments, {len(self.events)} events>"
        )

    def _repr_latex_(self) -> str:
        return latex(self)

    def _with_parameters(self, new: Mapping[str, NewParameter]) -> Model:
        made = []
        for name, given in new.items():
            _identifier(name)
            if name in self:
                raise ModelError(
                    f"{name} exists already in {self.name}. Use with_values to change its value."
                )
            if isinstance(given, Parameter):
                made.append(replace(given, name=name))
            else:
                value, unit = given if isinstance(given, tuple) else (given, "")
                made.append(Parameter(name, _finite_or_refuse(name, value), unit))
        return replace(self, parameters=(*self.parameters, *made))

    def _formula(self, formula: str | sp.Expr, where: str) -> sp.Expr:
        try:
            is_text = isinstance(formula, str)
            new = parse_formula(formula, where=where) if is_text else sp.sympify(formula, strict=True)
        except sp.SympifyError:
            kind = type(formula).__name__
            raise ModelError(f"The formula of {where} is text or a sympy expression, not a {kind}.") from None
        unknown = sorted(each.name for each in new.free_symbols if each != TIME and each.name not in self)
        if unknown:
            raise ModelError(
                Problem(
                    what=f"The formula of {where} uses {name!r}, which {self.name} does not have.",
                    remedy=f"Give it a value ({name}=...) or correct it. {did_you_mean(name, self._names())}",
                )
                for name in unknown
            )
        return new


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _finite_or_refuse(name: str, value: Any) -> float:
    number = _finite(value)
    if number is None:
        raise ModelError(f"{name} = {value!r} is not a finite number.")
    return number


def _identifier(name: str) -> None:
    if not (name.isascii() and name.isidentifier()) or name in RESERVED:
        raise ModelError(f"{name!r} cannot name a quantity. Use letters, digits and _, e.g. 'K_2'.")


def model_given(given: object) -> Model:
    """The model given, or a word on how to come by one.

    Raises
    ------
    ModelError
        If it is none.
    """
    if isinstance(given, Model):
        return given
    shown = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    source = repr(given) if isinstance(given, str) and len(given) < _SHORT else "..."
    raise ModelError(f"a model is needed, and {shown} is none. Load one first: cs.load_model({source}).")


def load_model(source: str | Path) -> Model:
    """Read a model from its shipped name, a file, or text.

    Parameters
    ----------
    source : str or Path
        A shipped name (``"persistence"``), a path ending in ``.ant``, ``.xml`` or ``.sbml``, or
        Antimony or SBML text.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        There is no such model, it cannot be read, or it uses what is not supported (all at once).

    Examples
    --------
    >>> load_model("x = 10; x' = -k*x; k = 0.5").states[0].name
    'x'
    """
    text = _text_of(source).removeprefix("\ufeff").encode("utf-8", "replace").decode()
    if not text.strip():
        raise ModelError("The model text is empty. Give a shipped name, a path, or Antimony or SBML text.")
    return _read(text)


@lru_cache(maxsize=32)
def _read(text: str) -> Model:
    """The model of a text; frozen, so that whoever asks for the same text again gets the same one."""
    is_xml = text.lstrip().startswith("<")
    document = text.lstrip() if is_xml else antimony.antimony_to_sbml(text)
    return Model(**sbml.read_sbml(document))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


_ENDINGS = (".ant", ".xml", ".sbml", ".txt")


def _text_of(source: str | Path) -> str:
    if not isinstance(source, (str, Path)):
        raise ModelError(f"A model is given by its name, a path or text, not by a {type(source).__name__}.")
    if isinstance(source, str):
        if not source.strip() or any(mark in source for mark in "\n=;<"):
            return source
        if source in shipped_models():
            return model_file(source).read_text(encoding="utf-8")
    path = Path(source)
    if not _is_file(path):
        if isinstance(source, str) and path.suffix.lower() not in _ENDINGS and len(path.parts) == 1:
            raise ModelError(f"No model {source!r}. {did_you_mean(source, shipped_models())}")
        raise ModelError(f"There is no file {str(path)!r}. Shipped models: {', '.join(shipped_models())}.")
    try:
        text = file_text(path)
    except OSError as trouble:
        raise ModelError(f"{path} cannot be read: {trouble.strerror}.") from None
    except ValueError as trouble:
        raise ModelError(f"{path} is no text that can be read: {trouble}.") from trouble
    return text if is_shipped(path) else from_file(text)
