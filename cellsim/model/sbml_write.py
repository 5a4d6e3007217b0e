"""A model as SBML Level 3 Version 2, and formulas as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp

from cellsim.errors import ModelError, Problem
from cellsim.foreign.native import c_numbers
from cellsim.model.content import Assignment, State, in_order_of_use
from cellsim.model.formulas import formula_text, parse_formula, to_ast
from cellsim.model.notes import notes_of_text
from cellsim.model.sbml_read import read_sbml
from cellsim.model.sbml_units import KINDS, base_factors, identifier

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["formula_text", "in_order_of_use", "parse_formula", "read_sbml", "unit_names", "write_sbml"]


def unit_names(model: Model) -> dict[str, str]:
    """Identifier of every unit text that a model uses.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict of str to str
        Unit text -> identifier, in the order of use.

    Raises
    ------
    UnitError
        A quantity has a unit that is no unit.
    """
    units = dict(model.units)
    taken = {each.name for each in model.quantities} | {each.name for each in model.events}
    found: dict[str, str] = {}
    texts = [*(text if name not in _used(model) else name for name, text in model.units), model.time_unit]
    for text in [*texts, *(each.unit for each in model.quantities)]:
        if text and text not in found:
            found[text] = identifier(text, units, taken | set(found.values()))
    return found


def _used(model: Model) -> set[str]:
    return {model.time_unit, *(each.unit for each in model.quantities)}


def write_sbml(model: Model) -> str:
    """Write a model as SBML Level 3 Version 2: states are parameters with rate rules.

    Parameters
    ----------
    model : Model

    Returns
    -------
    str
        The document; the same for the same model, without dates or versions of tools.

    Raises
    ------
    ModelError, UnitError
        A name or unit that SBML cannot hold.
    """
    import libsbml

    _refuse_names(model)
    with c_numbers():
        return str(libsbml.writeSBMLToString(_document(model)))


def _document(model: Model) -> Any:
    import libsbml

    document = libsbml.SBMLDocument(3, 2)
    sbml = document.createModel()
    sbml.setId(model.name)
    if model.note:
        sbml.setNotes(notes_of_text(model.note))
    names = unit_names(model)
    for text, name in names.items():
        if name not in KINDS:
            _write_unit(sbml, name, text)
    if model.time_unit:
        sbml.setTimeUnits(names[model.time_unit])
    for each in model.quantities:
        _write_quantity(sbml, each, names)
    for state in model.states:
        if not _is_plain(state.initial):
            start = sbml.createInitialAssignment()
            start.setSymbol(state.name)
            start.setMath(_math(state.initial, state.name))
    in_events = {name for event in model.events for name, _ in event.assignments}
    for state in model.states:
        # what only events change needs no rule; a rate of 0 without an event is kept as written
        if state.rate != 0 or state.name not in in_events:
            rule = sbml.createRateRule()
            rule.setVariable(state.name)
            rule.setMath(_math(state.rate, state.name))
    for each in model.assignments:
        rule = sbml.createAssignmentRule()
        rule.setVariable(each.name)
        rule.setMath(_math(each.formula, each.name))
    for event in model.events:
        _write_event(sbml, event)
    return document


def _is_plain(value: sp.Expr) -> bool:
    """Whether a value fits an attribute; anything else (1/3, a formula) is an initial assignment."""
    return isinstance(value, (sp.Integer, sp.Float))


def _refuse_names(model: Model) -> None:
    import libsbml

    names = [model.name, *(each.name for each in model.quantities), *(each.name for each in model.events)]
    wrong = [name for name in names if not libsbml.SyntaxChecker.isValidSBMLSId(name)]
    if wrong:
        raise ModelError(
            Problem(
                what=f"{name!r} cannot be a name in SBML.", remedy="Use letters, digits and _, e.g. 'K_2'."
            )
            for name in wrong
        )


def _math(expression: sp.Basic, where: str) -> Any:
    return to_ast(formula_text(expression), where=where)


def _write_unit(sbml: Any, name: str, text: str) -> None:
    import libsbml

    definition = sbml.createUnitDefinition()
    definition.setId(name)
    if text != name:
        definition.setName(text)
    for kind, multiplier, exponent in base_factors(text):
        unit = definition.createUnit()
        unit.setKind(libsbml.UnitKind_forName(kind))
        unit.setMultiplier(multiplier)
        unit.setScale(0)
        unit.setExponent(exponent)


def _write_quantity(sbml: Any, each: Any, names: dict[str, str]) -> None:
    parameter = sbml.createParameter()
    parameter.setId(each.name)
    parameter.setConstant(not isinstance(each, (State, Assignment)))
    if isinstance(each, State):
        if _is_plain(each.initial):
            parameter.setValue(float(each.initial))
    elif not isinstance(each, Assignment):
        parameter.setValue(each.value)
    if each.unit:
        parameter.setUnits(names[each.unit])
    if each.label:
        parameter.setName(each.label)
    if each.note:
        parameter.setNotes(notes_of_text(each.note))


def _write_event(sbml: Any, event: Any) -> None:
    written = sbml.createEvent()
    written.setId(event.name)
    written.setUseValuesFromTriggerTime(True)
    trigger = written.createTrigger()
    trigger.setInitialValue(event.initially)
    trigger.setPersistent(True)
    trigger.setMath(_math(event.trigger, f"event {event.name}"))
    for name, value in event.assignments:
        assignment = written.createEventAssignment()
        assignment.setVariable(name)
        assignment.setMath(_math(value, f"event {event.name}"))
