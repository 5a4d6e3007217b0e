"""The part of a model that some formulas depend on: what nobody asks about is neither compiled nor integrated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sympy as sp

from cellsim.model.substitution import substituted

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["part_behind"]

_NO_NUMBER = (sp.nan, sp.zoo, sp.oo, -sp.oo)


def part_behind(model: Model, formulas: Iterable[sp.Basic], zero: Collection[str] = ()) -> Model:
    """The states, assignments and events that formulas depend on; parameters all stay, in their order.

    Parameters
    ----------
    model : Model
    formulas : iterable of sympy.Basic
        In names of the model and further ones.
    zero : collection of str
        Parameters that are 0: what they multiply does not count.

    Returns
    -------
    Model
        The model itself where the formulas depend on no state: there is nothing to integrate then, and a smaller one would be none.

    Examples
    --------
    >>> from cellsim.model.model import load_model
    >>> model = load_model("x = 1; x' = -k*x; y = 0; y' = w*x - y; z = 0; z' = y; k = 0.5; w = 1")
    >>> [each.name for each in part_behind(model, [sp.Symbol("y")]).states]
    ['x', 'y']
    >>> [each.name for each in part_behind(model, [sp.Symbol("y")], zero=["w"]).states]
    ['y']
    """
    nothing: dict[sp.Symbol, sp.Basic] = {sp.Symbol(name): sp.Integer(0) for name in zero}

    def without(formula: sp.Basic) -> sp.Basic:
        found = substituted(formula, nothing) if not formula.free_symbols.isdisjoint(nothing) else formula
        # what has no value at 0 keeps its name, and the solver says so
        return formula if found.has(*_NO_NUMBER) else found

    assignments = {each.name: replace(each, formula=without(each.formula)) for each in model.assignments}
    states = {each.name: replace(each, rate=without(each.rate)) for each in model.states}
    setting: dict[str, list[sp.Basic]] = {}
    for event in model.events:
        for name, value in event.assignments:
            setting.setdefault(name, []).extend((event.trigger, value))
    behind: dict[str, list[sp.Basic]] = {name: [each.formula] for name, each in assignments.items()}
    behind |= {name: [each.rate, each.initial, *setting.get(name, ())] for name, each in states.items()}
    needed = _reached((without(each) for each in formulas), behind)
    if needed.isdisjoint(states):
        return model
    events = (
        replace(
            each,
            assignments=tuple(both for both in each.assignments if both[0] in needed),
        )
        for each in model.events
    )
    return replace(
        model,
        states=tuple(each for name, each in states.items() if name in needed),
        assignments=tuple(each for name, each in assignments.items() if name in needed),
        events=tuple(each for each in events if each.assignments),
    )


def _reached(formulas: Iterable[sp.Basic], behind: Mapping[str, list[sp.Basic]]) -> set[str]:
    """All names that formulas use, and what these depend on."""
    found: set[str] = set()
    left = [name for formula in formulas for name in _names(formula)]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [each for formula in behind.get(name, ()) for each in _names(formula)]
    return found


def _names(formula: sp.Basic) -> list[str]:
    return [str(each) for each in formula.free_symbols]
