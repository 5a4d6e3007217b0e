"""The mathematics inside an SBML model: units, functions, rules, start values and events."""

from __future__ import annotations

import math
from typing import Any

import sympy as sp

from cellsim.errors import CellsimError, ModelError, Problem
from cellsim.model.formulas import as_condition, as_number, from_ast
from cellsim.model.sbml_events import SbmlEvent
from cellsim.model.sbml_units import KINDS, text_of_definition

__all__ = ["SbmlFormulas"]


class SbmlFormulas:
    """Everything in an SBML model that is a formula or a unit; `problems` collects what is refused.

    Parameters
    ----------
    model : libsbml.Model
        Level 3.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.problems: list[Problem] = []
        self.doubts: list[Problem] = []
        # since Level 3 Version 2 mathematics may be missing, and what lacks it has no effect (section 3.4)
        self.may_lack = (model.getLevel(), model.getVersion()) >= (3, 2)
        self.units = self._units()
        self.functions: dict[str, tuple[tuple[str, ...], Any]] = {}  # (arguments, body)
        self.rates: dict[str, sp.Expr] = {}
        self.rules: dict[str, sp.Expr] = {}
        self.starts: dict[str, sp.Expr] = {}
        self.events: list[SbmlEvent] = []

    def refuse(self, what: str, remedy: str = "") -> None:
        """Note something that cannot be carried over."""
        self.problems.append(Problem(what=what, remedy=remedy))

    def doubt(self, what: str, remedy: str = "") -> None:
        """Note something that is read, and may mean something else than its writer thought."""
        self.doubts.append(Problem(what=what, remedy=remedy, severity="doubt"))

    def lacks(self, element: Any, what: str) -> bool:
        """Whether an element has no mathematics where it need not have any, which is a doubt."""
        if element is not None and element.getMath() is None and self.may_lack:
            self.doubt(f"{what} has no formula, and therefore no effect.")
            return True
        return False

    def read_formulas(self) -> None:
        """Read function definitions, rules, start values and events."""
        self._read_functions()
        self._read_rules()
        self._read_events()

    # -------------------------------------------------------------- units

    def _units(self) -> dict[str, str]:
        units = {}
        for definition in self.model.getListOfUnitDefinitions():
            name = definition.getId()
            try:
                if not definition.getNumUnits():
                    raise ModelError(f"The unit {name} is used or named but never defined.")
                units[name] = text_of_definition(definition)
            except CellsimError as trouble:
                self.refuse(f"Unit {name}: {trouble}")
        return units

    def unit(self, name: str) -> str:
        """The readable text of a unit identifier."""
        if name in self.units:
            return self.units[name]
        if name in KINDS:
            return "cell" if name == "item" else name
        if name:
            self.refuse(f"The unit {name!r} is used but not defined.", f"Define it: unit {name} = ...")
        return ""

    def quotient(self, above: str, below: str) -> str:
        """The text of one unit per another; empty when either is undeclared."""
        if not above or not below:
            return ""
        if below == "dimensionless":
            return above
        simple = not any(mark in below for mark in "*/ ")
        return f"{above}/{below}" if simple else f"{above}/({below})"

    # -------------------------------------------------------------- mathematics

    def expression(self, node: Any, where: str, local: dict[str, sp.Basic] | None = None) -> sp.Basic:
        """A formula as sympy; 0, with the complaint noted, when it cannot be read."""
        if node is None:
            self.refuse(f"{where} has no formula.")
            return sp.Integer(0)
        try:
            return from_ast(
                node,
                where=where,
                functions=self.functions,
                local=local,
                rates=True,
            )
        except ModelError as trouble:
            self.problems.extend(trouble.problems)
            return sp.Integer(0)

    def number(self, node: Any, where: str, local: dict[str, sp.Basic] | None = None) -> sp.Expr:
        """A formula that must be a number; a condition counts 1 or 0."""
        return as_number(self.expression(node, where, local))

    def _read_functions(self) -> None:
        waiting = {each.getId(): each for each in self.model.getListOfFunctionDefinitions()}
        while waiting:
            ready = [name for name, each in waiting.items() if not (_called(each.getBody()) & waiting.keys())]
            if not ready:
                self.refuse(f"The functions {', '.join(waiting)} call each other in a circle.")
                return
            for name in ready:
                each = waiting.pop(name)
                if self.lacks(each, f"The function {name}"):
                    continue
                arguments = tuple(each.getArgument(i).getName() or "" for i in range(each.getNumArguments()))
                if "" in arguments or len(set(arguments)) < len(arguments):
                    self.refuse(
                        f"The function {name} has an argument that is no name, or two of one name: {', '.join(arguments)}.",
                        "Give each argument a name of its own, and the function one formula behind them.",
                    )
                self.expression(each.getBody(), f"function {name}")  # refused even where it is never called
                self.functions[name] = (arguments, each.getBody())

    # -------------------------------------------------------------- rules, events, reactions

    def _read_rules(self) -> None:
        for rule in self.model.getListOfRules():
            name = rule.getVariable()
            if rule.isAlgebraic():
                self.refuse(
                    "An algebraic rule (0 = formula) leaves open which quantity it determines.",
                    "Solve it for one and write name := formula.",
                )
            elif rule.isRate():
                if self.lacks(rule, f"The rate of change of {name}"):
                    self.rates[name] = sp.Integer(0)  # it still is what reactions do not change
                    continue
                self.rates[name] = self.number(rule.getMath(), f"{name}'")
            elif not self.lacks(rule, f"The rule of {name}"):
                self.rules[name] = self.number(rule.getMath(), name)
        for start in self.model.getListOfInitialAssignments():
            name = start.getSymbol()
            if not self.lacks(start, f"The start value of {name}"):
                self.starts[name] = (
                    sp.nan
                    if _is_no_number(start.getMath())
                    else self.number(start.getMath(), f"{name} at the start")
                )
        if count := self.model.getNumConstraints():
            self.doubt(
                f"{count} constraint{'s are' if count > 1 else ' is'} not watched over; no value depends on {'them' if count > 1 else 'it'}."
            )

    def _read_events(self) -> None:
        for i, event in enumerate(self.model.getListOfEvents()):
            name = event.getId() or f"event_{i + 1}"
            trigger = event.getTrigger()
            if (trigger is None and self.may_lack) or self.lacks(trigger, f"The trigger of event {name}"):
                continue  # nothing sets it off
            if trigger is None or trigger.getMath() is None:
                self.refuse(f"Event {name} has no trigger.")
                continue
            condition = self.expression(trigger.getMath(), f"event {name}")
            condition = as_condition(condition)
            assignments = tuple(
                (each.getVariable(), self.number(each.getMath(), f"event {name}"))
                for each in event.getListOfEventAssignments()
                if not self.lacks(each, f"What event {name} sets {each.getVariable()} to")
            )
            delay, priority = (
                None if self.lacks(each, f"The {what} of event {name}") else each
                for what, each in (
                    ("delay", event.getDelay()),
                    ("priority", event.getPriority()),
                )
            )
            self.events.append(
                SbmlEvent(
                    name,
                    condition,
                    assignments,
                    bool(trigger.getInitialValue()) if trigger.isSetInitialValue() else True,
                    self.number(delay.getMath(), f"delay of event {name}") if delay is not None else None,
                    self.number(priority.getMath(), f"priority of event {name}")
                    if priority is not None
                    else None,
                    bool(trigger.getPersistent()) if trigger.isSetPersistent() else True,
                    bool(event.getUseValuesFromTriggerTime()),
                )
            )

    def names_behind(self, *formulas: sp.Basic) -> set[str]:
        """Names that formulas read, those of the rules they read included."""
        found: set[str] = set()
        waiting = {symbol.name for each in formulas for symbol in each.free_symbols}
        while waiting:
            name = waiting.pop()
            found.add(name)
            if name in self.rules:
                waiting |= {symbol.name for symbol in self.rules[name].free_symbols} - found
        return found


def _is_no_number(node: Any) -> bool:
    """Whether a formula is the symbol for what is no number, and nothing else."""
    import libsbml

    return (
        node is not None
        and node.getType() in (libsbml.AST_REAL, libsbml.AST_REAL_E)
        and math.isnan(node.getReal())
    )


def _called(node: Any) -> set[str]:
    import libsbml

    if node is None:
        return set()
    own = {node.getName()} if node.getType() == libsbml.AST_FUNCTION else set()
    return own.union(*(_called(node.getChild(i)) for i in range(node.getNumChildren())))
