"""What a model is made of: states, parameters, assignments and events, each a small frozen record.

Formulas are sympy expressions over plain ``sympy.Symbol(name)`` without assumptions, whatever the
name: ``E``, ``S``, ``N``, ``I``, ``Q`` and ``gamma`` are quantities like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

__all__ = ["TIME", "Assignment", "Event", "Parameter", "Quantity", "State"]

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
