"""What turns when: the events of a model, and the days on which a condition on time alone turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.relational import Relational

from cellsim.compiler.equations import TIME, Equations
from cellsim.compiler.kernels import compile_equations

__all__ = ["Conditions", "turning_days"]

Array = np.ndarray[Any, np.dtype[np.float64]]


class Conditions:
    """The events of a model for one set of parameters; kernels of their own compute truths and new values."""

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
        self.by_time = [_by_time(event.condition, equations) for event in equations.events]
        self.initially = [event.initially for event in equations.events]

    def truths(self, t: float, y: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which conditions hold, shape (n_events,)."""
        return self.kernels.outputs(t, y, self.p)[: len(self.by_time)] > 0.5  # 1 is true, 0 is false

    def fire(self, which: Iterable[int], t: float, y: Array) -> Array:
        """States after these events, all new values computed from `y`."""
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


def _turning_day(relation: sp.Basic, equations: Equations) -> sp.Expr | None:
    """When a relation of time and parameters turns, as a formula; None when it cannot be told."""
    reach = _reach(relation, equations)
    if TIME.name not in reach or not reach <= {TIME.name, *equations.parameters}:
        return None
    gap = relation.lhs - relation.rhs
    for name, formula in reversed(equations.definitions):
        gap = gap.subs(sp.Symbol(name), formula)
    slope = sp.diff(gap, TIME)
    return None if TIME in slope.free_symbols or slope == 0 else -gap.subs(TIME, 0) / slope


def _by_time(condition: sp.Basic, equations: Equations) -> bool:
    """Whether all that a condition waits for are days that can be told."""
    relations = condition.atoms(Relational)
    known = all(_turning_day(each, equations) is not None for each in relations)
    return known and _reach(condition, equations) <= {TIME.name, *equations.parameters}


@lru_cache(maxsize=64)
def _turning_formulas(equations: Equations) -> tuple[sp.Expr, ...]:
    """When each condition on time alone turns, wherever it stands in the model."""
    formulas: list[sp.Basic] = [*equations.rates, *(event.condition for event in equations.events)]
    formulas += [formula for _, formula in equations.definitions]
    relations = {each for formula in formulas for each in formula.atoms(Relational)}
    days = (_turning_day(each, equations) for each in sorted(relations, key=str))
    return tuple(day for day in days if day is not None)  # others are left to the solver's error control


def turning_days(equations: Equations, p: Array) -> Iterator[float]:
    """Days on which a condition on time alone turns, for parameters `p`."""
    values = {sp.Symbol(name): float(value) for name, value in zip(equations.parameters, p)}
    for formula in _turning_formulas(equations):
        day = formula.subs(values)
        if day.is_number and day.is_finite:
            yield float(day)
