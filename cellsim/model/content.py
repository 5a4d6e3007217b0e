"""What a model is made of: states, parameters, assignments and events, each a small frozen record.

Formulas are sympy expressions over plain ``sympy.Symbol(name)`` without assumptions, whatever the
name: ``E``, ``S``, ``N``, ``I``, ``Q`` and ``gamma`` are quantities like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

import sympy as sp

from cellsim.errors import ModelError, equal_fields, hash_fields
from cellsim.model.bounds import is_larger, refuse_growth
from cellsim.model.substitution import substituted

__all__ = [
    "TIME",
    "Assignment",
    "Event",
    "Parameter",
    "Quantity",
    "State",
    "in_order_of_use",
    "settle_starts",
]

_LONG_NUMBER = (
    10  # parts from which a formula of numbers alone is worked out: sympy takes ever longer to keep it exact
)
TIME = sp.Symbol("time")
"""The model's clock, in the model's ``time_unit``."""


@dataclass(frozen=True)
class State:
    """A quantity that moves by itself: ``name' = rate``.

    Parameters
    ----------
    name : str
        Its identifier.
    initial : sympy.Expr
        Value at the start, in `unit`; may use parameters.
    rate : sympy.Expr
        Rate of change, in `unit` per the model's time unit; 0 for what only events change.
    unit : str
        Unit as a person writes it (``"pg/mL"``, ``"Mcell"``); empty when undeclared.
    label, note : str
        A short name for figures; a longer explanation with its source.
    """

    name: str
    initial: sp.Expr
    rate: sp.Expr
    unit: str = ""
    label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Parameter:
    """A number with a name: constant while a simulation runs, `value` in `unit`."""

    name: str
    value: float
    unit: str = ""
    label: str = ""
    note: str = ""

    __eq__ = equal_fields
    __hash__ = hash_fields


@dataclass(frozen=True)
class Assignment:
    """A quantity that always equals a formula: ``name := formula``, in `unit`."""

    name: str
    formula: sp.Expr
    unit: str = ""
    label: str = ""
    note: str = ""


@dataclass(frozen=True)
class Event:
    """What happens at the instant a condition becomes true.

    Parameters
    ----------
    name : str
        Its identifier.
    trigger : sympy Boolean
        The event fires each time this turns from false to true.
    assignments : tuple of (str, sympy.Expr)
        State name and its new value; all values are computed before any is set.
    initially : bool
        What `trigger` is taken to have been just before the start; with False, a trigger that is
        true at the start fires there.
    """

    name: str
    trigger: sp.Basic
    assignments: tuple[tuple[str, sp.Expr], ...]
    initially: bool = True


Quantity = State | Parameter | Assignment


def in_order_of_use(assignments: Sequence[Assignment]) -> tuple[Assignment, ...]:
    """Sort assignments so that each uses only earlier ones.

    Parameters
    ----------
    assignments : sequence of Assignment
        In any order; an order that already works is kept as far as possible.

    Returns
    -------
    tuple of Assignment

    Raises
    ------
    ModelError
        Some of them define each other in a circle; the message names it.
    """
    by_name = {each.name: each for each in assignments}
    place = {name: k for k, name in enumerate(by_name)}
    graph = {
        each.name: sorted(
            (s.name for s in each.formula.free_symbols if s.name in by_name), key=place.__getitem__
        )
        for each in assignments
    }
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as circle:
        names = circle.args[1]
        raise ModelError(f"These define each other in a circle: {' -> '.join(reversed(names))}.") from circle


def settle_starts(
    states: Sequence[State], assignments: Sequence[Assignment], frozen: Iterable[str]
) -> tuple[tuple[State, ...], tuple[Assignment, ...]]:
    """Write every start value over parameters alone.

    Parameters
    ----------
    states : sequence of State
        Their start values may use each other and assignments.
    assignments : sequence of Assignment
        All of the model's.
    frozen : iterable of str
        Assignments that are really constants worked out once, at the start: what moves stands in
        them by its start value.

    Returns
    -------
    states, assignments : tuple
        The same, settled.

    Raises
    ------
    ModelError
        Start values define each other in a circle, or grow without end when they are written out.
    """
    starts = {sp.Symbol(each.name): each.initial for each in states}
    formulas = {sp.Symbol(each.name): each.formula for each in assignments}
    fixed = set(frozen)
    known: dict[sp.Symbol, sp.Expr] = {}

    def settle(expression: sp.Basic, seen: tuple[str, ...]) -> sp.Expr:
        found = {}
        for symbol in sorted(expression.free_symbols & (starts.keys() | formulas.keys()), key=str):
            if symbol.name in seen:
                names = " -> ".join((*seen, symbol.name))
                raise ModelError(f"The start values define each other in a circle: {names}.")
            if symbol not in known:
                value = starts[symbol] if symbol in starts else formulas[symbol]
                known[symbol] = settle(value, (*seen, symbol.name))
            found[symbol] = known[symbol]
        settled = substituted(expression, found, f"the start value of {seen[-1]}")
        if not settled.free_symbols and is_larger(settled, _LONG_NUMBER):
            return sp.Float(settled.evalf()) if settled.is_real else settled
        refuse_growth(settled, f"The start value of {seen[-1]}")
        return settled

    moving = starts.keys() | {TIME}
    try:
        begun = [
            replace(s, initial=settle(s.initial, (s.name,))) if s.initial.free_symbols else s for s in states
        ]
        kept = []
        for each in assignments:
            if each.name not in fixed or not _reaches(each.formula, moving, formulas):
                kept.append(each)
                continue
            value = settle(each.formula, (each.name,))
            if TIME in value.free_symbols:  # of the instant at which a simulation starts, and no later one
                begun.append(
                    State(
                        each.name,
                        value,
                        sp.Integer(0),
                        each.unit,
                        each.label,
                        each.note,
                    )
                )
            else:
                kept.append(replace(each, formula=value))
    except RecursionError:
        raise ModelError("The start values use each other in too long a chain. Write their values.") from None
    return tuple(begun), tuple(kept)


def _reaches(formula: sp.Basic, moving: Iterable[sp.Symbol], formulas: dict[sp.Symbol, sp.Expr]) -> bool:
    """Whether a formula depends on anything that moves, by way of assignments too."""
    waiting: list[sp.Basic] = [formula]
    seen: set[sp.Symbol] = set()
    targets = set(moving)
    while waiting:
        for symbol in waiting.pop().free_symbols - seen:
            seen.add(symbol)
            if symbol in targets:
                return True
            if symbol in formulas:
                waiting.append(formulas[symbol])
    return False
