"""SBML to the parts of a model: compartments, species and reactions become equations.

What cannot be carried over exactly is refused by name, all of it at once; nothing is approximated.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import sympy as sp

from cellsim.errors import ModelError, did_you_mean
from cellsim.foreign.c_readers import sbml_document
from cellsim.foreign.native import c_numbers, refuse_hostile_xml
from cellsim.foreign.trial import try_text
from cellsim.model.bounds import refuse_growth
from cellsim.model.content import TIME, Assignment, Parameter, State, in_order_of_use, settle_starts
from cellsim.model.formulas import is_rate_symbol, literal
from cellsim.model.notes import text_of_notes
from cellsim.model.sbml_events import SbmlEvent, plain_events, undecided
from cellsim.model.sbml_formulas import SbmlFormulas
from cellsim.model.sbml_units import definition_text, identifier
from cellsim.model.substitution import substituted

__all__ = ["read_sbml"]


def read_sbml(text: str) -> dict[str, Any]:
    """Read SBML of any level into the fields of a `cellsim.model.model.Model`.

    Parameters
    ----------
    text : str
        An SBML document.

    Returns
    -------
    dict
        ``name, states, parameters, assignments, events, units, time_unit, note, doubts``.

    Raises
    ------
    ModelError
        The text is no SBML, or uses what is not supported (all problems are listed), or is too large, too deep
        or declares entities.
    """
    plain = refuse_hostile_xml(text).decode()
    try_text(text, "sbml", plain)
    with c_numbers():
        document = sbml_document(plain)  # the model lives only as long as its document
        return _SbmlReading(document.getModel()).result()


_MOST_EVENTS = 1000


class _SbmlReading(SbmlFormulas):
    """One pass over one SBML model; `problems` collects everything that cannot be carried over."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.local_names: set[str] = set()
        self.frozen: set[str] = set()
        self.unreal: dict[str, float] = {}  # constants whose value is stated to be infinite or none
        self.unset: set[str] = set()  # constants without any value, which nothing may use
        self.parameters: list[Parameter] = []
        self.states: list[State] = []
        self.assignments: list[Assignment] = []
        self.amounts: dict[
            str, tuple[str, sp.Symbol]
        ] = {}  # species to the state of its amount, and its compartment

    def _changed_by_events(self) -> set[str]:
        return {name for event in self.events for name, _ in event.assignments}

    def _read_reactions(self) -> dict[str, sp.Expr]:
        """Reactions as assignments; the change of amount of each species they make."""
        changes: dict[str, list[sp.Expr]] = {}
        flux_unit = self.quotient(
            self.unit(self.model.getExtentUnits()), self.unit(self.model.getTimeUnits())
        )
        overall = self.model.getConversionFactor()
        without: list[str] = []
        for reaction in self.model.getListOfReactions():
            name = reaction.getId()
            if reaction.isSetFast() and reaction.getFast():
                self.refuse(f"Reaction {name} is fast (in instant equilibrium), which is not supported.")
            law = reaction.getKineticLaw()
            if law is None or law.getMath() is None:
                without.append(name)
                continue
            local: dict[str, sp.Basic] = {}
            for each in law.getListOfLocalParameters():
                inner = self._fresh(f"{name}_{each.getId()}")
                local[each.getId()] = sp.Symbol(inner)
                self._parameter(inner, each)
            flux = self.number(law.getMath(), f"reaction {name}", local)
            self.assignments.append(
                Assignment(
                    name, flux, flux_unit, reaction.getName(), text_of_notes(reaction.getNotesString())
                )
            )
            sides = [(-1, each) for each in reaction.getListOfReactants()]
            sides += [(1, each) for each in reaction.getListOfProducts()]
            for sign, each in sides:
                species = self.model.getSpecies(each.getSpecies())
                count = self._stoichiometry(each, name)
                if species is None or species.getBoundaryCondition() or count is None:
                    continue
                factor = species.getConversionFactor() or overall
                step = sign * count * sp.Symbol(name) * (sp.Symbol(factor) if factor else 1)
                changes.setdefault(each.getSpecies(), []).append(step)
        self._refuse_without_rate(without)
        # added at once: one after the other, every addition would sort all those before it
        return {name: sp.Add(*steps) for name, steps in changes.items()}

    def _refuse_without_rate(self, names: list[str]) -> None:
        if names and self.model.getPlugin("fbc") is not None:
            self.refuse(
                f"{len(names)} reactions have no rate ({', '.join(names[:3])}{', ...' * (len(names) > 3)}): this is a model of fluxes in "
                "balance (package 'fbc'), which says what can flow at rest and has no course in time.",
                "Give every reaction a kinetic law.",
            )
            return
        for name in names:
            self.refuse(f"Reaction {name} has no rate.", "Give it a kinetic law.")

    def _is_set(self, name: str) -> bool:
        """Whether a rule, an initial assignment or an event gives a quantity its value."""
        return (
            self.model.getInitialAssignment(name) is not None
            or self.model.getRule(name) is not None
            or any(each.getEventAssignment(name) is not None for each in self.model.getListOfEvents())
        )

    def _stoichiometry(self, reference: Any, reaction: str) -> sp.Expr | None:
        """A number of molecules: one that has a name is a quantity like any other, else it stands in formulas as a number."""
        name = reference.getId()
        if not math.isfinite(reference.getStoichiometry()) and not (name and self._is_set(name)):
            self.refuse(
                f"In reaction {reaction} the number of {reference.getSpecies()} has no value.",
                "Give it a stoichiometry.",
            )
            return None
        if name:
            value = _value(reference.getStoichiometry(), reference.isSetStoichiometry())
            self._quantity(name, reference, value, "dimensionless", None)
            return sp.Symbol(name)
        return _count(reference.getStoichiometry())

    def _fresh(self, name: str) -> str:
        while self.model.getElementBySId(name) is not None or name in self.local_names:
            name += "_"
        self.local_names.add(name)
        return name

    # -------------------------------------------------------------- quantities

    def _parameter(self, name: str, element: Any) -> None:
        if not element.isSetValue() or not math.isfinite(element.getValue()):
            self.refuse(f"{name} has no value.", f"Give it one: {name} = ...")
            return
        self.parameters.append(
            Parameter(name, element.getValue(), self.unit(element.getUnits()), *_words(element))
        )

    def _quantity(
        self, name: str, element: Any, value: sp.Expr | None, unit: str, rate: sp.Expr | None
    ) -> None:
        """Put one quantity where its rule says: rate, assignment, event or plain value."""
        label, note = _words(element)
        if name in self.rules:
            self.assignments.append(Assignment(name, self.rules[name], unit, label, note))
            return
        value = self.starts.get(name, value)
        rate = self.rates.get(name, rate)
        moves = rate is not None or name in self._changed_by_events()
        if value is None and not moves:
            self.unset.add(name)
            value = sp.nan
        if value in (sp.nan, sp.oo, -sp.oo) and not moves:
            # always the same object, since what is no number does not equal itself
            self.unreal[name] = math.nan if value is sp.nan else float(value)
            self.parameters.append(Parameter(name, self.unreal[name], unit, label, note))
            return
        if value is None or (value.is_number and not value.is_finite):
            self.refuse(f"{name} has no value.", f"Give it one: {name} = ...")
            value = sp.Integer(0)
        if moves:
            self.states.append(
                State(name, value, rate if rate is not None else sp.Integer(0), unit, label, note)
            )
        elif value.is_number:
            self.parameters.append(Parameter(name, float(value), unit, label, note))
        else:
            # a constant worked out from others at the start; what moves stands in it by its start value
            self.assignments.append(Assignment(name, value, unit, label, note))
            self.frozen.add(name)

    def _read_quantities(self, changes: dict[str, sp.Expr]) -> None:
        for box in self.model.getListOfCompartments():
            name = box.getId()
            sized = box.isSetSize() or name in self.starts or name in self.rules
            if not sized and _dimensions(box) == 0:
                continue
            unit = box.getUnits() or self._default_size_unit(box)
            self._quantity(name, box, _value(box.getSize(), box.isSetSize()), self.unit(unit), None)
        for species in self.model.getListOfSpecies():
            self._read_species(species, changes)
        for parameter in self.model.getListOfParameters():
            name = parameter.getId()
            value = _value(parameter.getValue(), parameter.isSetValue())
            self._quantity(name, parameter, value, self.unit(parameter.getUnits()), None)

    def _default_size_unit(self, box: Any) -> str:
        units = {3.0: self.model.getVolumeUnits, 2.0: self.model.getAreaUnits, 1.0: self.model.getLengthUnits}
        getter = units.get(_dimensions(box))
        return getter() if getter else ""

    def _read_species(self, species: Any, changes: dict[str, sp.Expr]) -> None:
        name = species.getId()
        box = self.model.getCompartment(species.getCompartment())
        amount = _is_amount(species, box)
        size = sp.Symbol(species.getCompartment())
        value: sp.Expr | None = None
        if species.isSetInitialAmount():
            value = literal(species.getInitialAmount()) / (1 if amount else size)
        elif species.isSetInitialConcentration():
            value = literal(species.getInitialConcentration()) * (size if amount else 1)
        substance = self.unit(species.getSubstanceUnits() or self.model.getSubstanceUnits())
        unit = substance
        if not amount:
            unit = self.quotient(substance, self.unit(box.getUnits() or self._default_size_unit(box)))
        change = None
        if not species.getBoundaryCondition() and not species.getConstant() and name in changes:
            change = changes[name]
        changed = self._changed_by_events()
        # a rate rule tells how the concentration changes while the size does so gradually; where the size jumps, it does too
        jumps = name not in self.rates or box.getId() in changed
        moving = self.rates.keys() | self.rules.keys() | changed
        if not amount and box.getId() in moving and name not in self.rules and jumps:
            if name in self.rates:
                change = self.rates[name] * size + sp.Symbol(name) * self.rates.get(
                    box.getId(), sp.Integer(0)
                )
            self._read_amount(species, value, change, substance, unit)
            return
        rate = change / (1 if amount else size) if change is not None else None
        self._quantity(name, species, value, unit, rate)

    def _read_amount(
        self, species: Any, value: sp.Expr | None, change: sp.Expr | None, substance: str, unit: str
    ) -> None:
        """A species in a compartment that changes its size: its amount is what reactions change, its concentration follows."""
        name = species.getId()
        size = sp.Symbol(species.getCompartment())
        amount = self._fresh(f"amount_of_{name}")
        start = self.starts.get(name, value)
        if start is None:
            self.refuse(f"{name} has no value.", f"Give it one: {name} = ...")
            return
        self.states.append(
            State(
                amount,
                start * size,
                change if change is not None else sp.Integer(0),
                substance,
                *_words(species),
            )
        )
        self.assignments.append(Assignment(name, sp.Symbol(amount) / size, unit, *_words(species)))
        self.amounts[name] = (amount, size)

    # -------------------------------------------------------------- the whole

    def result(self) -> dict[str, Any]:
        self.read_formulas()
        self._read_quantities(self._read_reactions())
        self.events = [self._on_amounts(each) for each in self.events]
        self._replace_rates()
        self._refuse_many_events()
        for what in undecided(self.events, self.names_behind):
            self.refuse(what, "Give them priorities that differ.")
        events, remembered = plain_events(self.events, self.names_behind, self._fresh)
        self.states += remembered
        self._refuse_bad_names()
        if self.problems:
            raise ModelError(self.problems)
        states, assignments = settle_starts(self.states, self.assignments, self.frozen)
        units = {name: text for name, text in self.units.items() if name != "time_unit"}
        clock = self.units.get("time_unit", "")
        if clock and clock not in units and clock not in units.values():
            units[identifier(clock, units, self.local_names)] = clock
        return {
            # text without a model line is called __main by the antimony package
            "name": self.model.getId().removeprefix("__main") or "unnamed",
            "states": states,
            "parameters": tuple(self.parameters),
            "assignments": in_order_of_use(assignments),
            "events": events,
            "units": tuple(
                (name, text if text != name else definition_text(text)) for name, text in units.items()
            ),
            "time_unit": self.unit(self.model.getTimeUnits()),
            "note": text_of_notes(self.model.getNotesString()),
            "doubts": tuple(self.doubts),
        }

    def _refuse_many_events(self) -> None:
        if len(self.events) > _MOST_EVENTS:
            self.refuse(f"{len(self.events)} events; {_MOST_EVENTS} are read.")
            self.events = []

    def _on_amounts(self, event: SbmlEvent) -> SbmlEvent:
        """An event that sets a concentration in a compartment of changing size sets the amount there.

        The amount is that in the size before the event, and is kept where the event sets the size too, since a change of
        size leaves amounts as they are; so libRoadRunner and AMICI have it.
        """
        states = {name: amount for name, (amount, _) in self.amounts.items()}
        return replace(
            event,
            assignments=tuple((states.get(name, name), value) for name, value in event.assignments),
            factors=tuple(self.amounts[name] for name, _ in event.assignments if name in self.amounts),
        )

    def _replace_rates(self) -> None:
        """Put the rates of change themselves where formulas ask for them."""
        known = {each.name: each.rate for each in self.states}
        known |= {each.name: sp.Integer(0) for each in self.parameters}
        formulas = {each.name: each.formula for each in self.assignments}
        for name, (amount, size) in self.amounts.items():
            if size.name in known:
                known[name] = (known[amount] - sp.Symbol(name) * known[size.name]) / size

        def replaced(where: str, formula: Any, inside: tuple[str, ...] = ()) -> Any:
            found = {}
            for symbol in (each for each in formula.free_symbols if is_rate_symbol(each)):
                name = symbol.name.removeprefix("rateOf ")
                if name in self.frozen:
                    found[symbol] = sp.Integer(0)
                elif name in inside:
                    self.refuse(
                        f"The rates of change {' -> '.join((*inside, name))} are asked of each other in a circle."
                    )
                    found[symbol] = sp.Integer(0)
                elif name in known:
                    found[symbol] = replaced(where, known[name], (*inside, name))
                else:
                    what = "which a rule sets" if name in formulas else "which the model does not have"
                    self.refuse(
                        f"{where} asks for the rate of change of {name!r}, {what}.", "Write the rate itself."
                    )
                    found[symbol] = sp.Integer(0)
            if not found:
                return formula
            whole = substituted(formula, found, where)
            refuse_growth(whole, where)
            return whole

        self.states = [
            replace(each, initial=replaced(each.name, each.initial), rate=replaced(each.name, each.rate))
            for each in self.states
        ]
        self.assignments = [
            replace(each, formula=replaced(each.name, each.formula)) for each in self.assignments
        ]
        self.events = [
            replace(
                each,
                trigger=replaced(f"event {each.name}", each.trigger),
                assignments=tuple(
                    (name, replaced(f"event {each.name}", value)) for name, value in each.assignments
                ),
                delay=None if each.delay is None else replaced(f"event {each.name}", each.delay),
                priority=None if each.priority is None else replaced(f"event {each.name}", each.priority),
            )
            for each in self.events
        ]

    def _refuse_bad_names(self) -> None:
        known = {s.name for s in self.states} | {p.name for p in self.parameters}
        known |= {a.name for a in self.assignments}
        formulas: list[tuple[str, sp.Basic]] = [(s.name, s.rate + s.initial) for s in self.states]
        formulas += [(a.name, a.formula) for a in self.assignments]
        for event in self.events:
            formulas += [
                (f"event {event.name}", each) for each in (event.trigger, *dict(event.assignments).values())
            ]
            for target in dict(event.assignments):
                if target not in {state.name for state in self.states}:
                    self.refuse(f"Event {event.name} changes {target!r}, which has no value of its own.")
        missing: dict[str, str] = {}
        for where, formula in formulas:
            for name in sorted({str(each) for each in formula.free_symbols} & self.unreal.keys()):
                what = "no value" if name in self.unset else f"the value {self.unreal[name]}"
                self.refuse(
                    f"{name} has {what}, and {where} uses it.",
                    f"Give it one: {name} = ...",
                )
            for symbol in (sp.Symbol(name) for name in sorted(map(str, formula.free_symbols))):
                if symbol.name not in known and symbol != TIME:
                    missing.setdefault(symbol.name, where)
        refused = " ".join(problem.what for problem in self.problems)
        for name, where in sorted(missing.items()):
            if name not in refused:
                self.refuse(
                    f"{where} uses {name!r}, which the model does not have.", did_you_mean(name, known)
                )


def _is_amount(species: Any, box: Any) -> bool:
    """Whether the species' name stands for its amount (else for its concentration)."""
    return bool(species.getHasOnlySubstanceUnits()) or box is None or _dimensions(box) == 0


def _dimensions(box: Any) -> float:
    return float(box.getSpatialDimensionsAsDouble()) if box.isSetSpatialDimensions() else 3.0


def _count(value: float) -> sp.Expr:
    return sp.Integer(int(value)) if float(value).is_integer() else sp.Float(value)


def _value(value: float, known: bool) -> sp.Expr | None:
    if not known:
        return None
    return literal(value) if math.isfinite(value) else sp.nan if math.isnan(value) else value * sp.oo


def _words(element: Any) -> tuple[str, str]:
    return " ".join(element.getName().split()), text_of_notes(element.getNotesString())
