"""A model whose start values and constants can be set from outside, one by one, before a simulation.

A model of ours holds start values as formulas of its parameters, and constants that SBML works out once at the start as
assignments. To set one of them, and to let everything that is worked out from it follow, as SBML means it, it must be
a parameter. Here each that is asked for becomes one: a constant under its own name, the start of a state under another.
What it was by itself is kept as a formula beside the model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from cellsim.foreign.c_readers import sbml_document
from cellsim.foreign.native import c_numbers, refuse_hostile_xml
from cellsim.foreign.trial import try_text
from cellsim.model.antimony import antimony_to_sbml
from cellsim.model.content import TIME
from cellsim.model.model import Model, load_model

__all__ = ["OpenModel", "amounts_behind", "open_model"]

_START, _DEFAULT = "start_of_", "default_of_"


@dataclass(frozen=True)
class OpenModel:
    """A model, and what of it can be set from outside.

    Attributes
    ----------
    model : Model
        Every name asked for is a state, whose start is a parameter, or a parameter.
    starts : mapping of str to str
        State (or concentration whose amount is one) to the parameter that is its start value.
    defaults : mapping of str to sympy.Expr
        Parameter (or start) to the formula it has unless it is set, of other parameters.
    unset : frozenset of str
        Parameters that the model gives no value, and must be set.
    """

    model: Model
    starts: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, sp.Expr] = field(default_factory=dict)
    unset: frozenset[str] = frozenset()


def open_model(
    text: str, names: Iterable[str] = (), *, aliases: Mapping[str, str] | None = None, language: str = "sbml"
) -> OpenModel:
    """Read a model so that some of its quantities can be set before a simulation.

    Parameters
    ----------
    text : str
        SBML or Antimony.
    names : iterable of str
        Quantities to be set; those that the model does not have are left to whoever asked.
    aliases : mapping of str to str, optional
        New name for a local parameter of a reaction, written ``reaction.parameter``, which becomes one of the model.
    language : str
        ``"sbml"`` or ``"antimony"``.

    Returns
    -------
    OpenModel

    Raises
    ------
    ModelError
        The model cannot be read.

    Examples
    --------
    >>> found = open_model("A = 2*k; A' = -k*A; k = 3; c = 2*A", ["A"], language="antimony")
    >>> found.starts, found.defaults
    ({'A': 'start_of_A'}, {'start_of_A': 2*k, 'c': 2*start_of_A})
    """
    document = antimony_to_sbml(text) if language == "antimony" else text
    local = {new: old for new, old in (aliases or {}).items() if "." in old}
    wanted = set(names)
    if not local and not wanted and "initialAssignment" not in document:
        return OpenModel(load_model(document))
    with c_numbers():
        opened = _Opening(document, local)
        opened.fill(wanted)
    plain = load_model(opened.text())
    with c_numbers():
        opened.open(plain, wanted)
    unset = frozenset(opened.empty & {each.name for each in plain.parameters})
    if not opened.started and not opened.freed:
        return OpenModel(plain, unset=unset)
    found = load_model(opened.text())
    return replace(_without_defaults(found, opened.started, opened.freed), unset=unset)


def _without_defaults(model: Model, started: Mapping[str, str], freed: Collection[str]) -> OpenModel:
    """The model without the quantities that only tell what others are by themselves."""
    values: dict[str, sp.Expr] = {each.name: sp.Float(each.value) for each in model.parameters}
    formulas = {**values, **{each.name: each.formula for each in model.assignments}}
    told = {name: _DEFAULT + name for name in (*started.values(), *freed)}
    defaults = {name: formulas[by] for name, by in told.items() if by in formulas}
    gone = set(told.values())
    kept = replace(
        model,
        parameters=tuple(each for each in model.parameters if each.name not in gone),
        assignments=tuple(each for each in model.assignments if each.name not in gone),
    )
    return OpenModel(kept, dict(started), defaults)


class _Opening:
    """One SBML document while its start values are opened."""

    def __init__(self, text: str, local: Mapping[str, str]) -> None:
        plain = refuse_hostile_xml(text).decode()
        try_text(text, "sbml", plain)
        self.document = sbml_document(plain)
        self.started: dict[str, str] = {}
        self.empty: set[str] = set()
        self.freed: list[str] = []
        self.model = self.document.getModel()
        for new, old in local.items():
            self._globalise(new, *old.split(".", 1))

    def text(self) -> str:
        import libsbml

        with c_numbers():
            return str(libsbml.writeSBMLToString(self.document))

    def _globalise(self, new: str, reaction: str, name: str) -> None:
        """Make a local parameter of a reaction one of the model, under its new name."""
        about = self.model.getReaction(reaction)
        law: Any = about.getKineticLaw() if about is not None else None
        own = law.getLocalParameter(name) if law is not None else None
        if (
            own is None
        ):  # of another model of the problem; a name that no model has is refused where it is used
            return
        made = self.model.createParameter()
        made.setId(new)
        made.setConstant(True)
        made.setValue(own.getValue())
        if own.isSetUnits():
            made.setUnits(own.getUnits())
        law.removeLocalParameter(name)
        formula = law.getMath().deepCopy()
        formula.renameSIdRefs(name, new)
        law.setMath(formula)

    def fill(self, wanted: set[str]) -> None:
        """Quantities that are to be set, and to which the model gives no value, are read as if they had one."""
        ruled = {rule.getVariable() for rule in self.model.getListOfRules() if rule.isAssignment()}
        for name in sorted(wanted - ruled):
            element = self.model.getElementBySId(name)
            if element is None or self.model.getInitialAssignmentBySymbol(name) is not None:
                continue
            if self.model.getParameter(name) is not None or self.model.getCompartment(name) is not None:
                known = (
                    element.isSetValue() if self.model.getParameter(name) is not None else element.isSetSize()
                )
            elif self.model.getSpecies(name) is not None:
                known = element.isSetInitialAmount() or element.isSetInitialConcentration()
            else:
                continue
            if not known:
                self._give(name)
                self.empty.add(name)

    def _give(self, name: str) -> None:
        """Some value, which another one takes the place of before anything is simulated."""
        species, box = self.model.getSpecies(name), self.model.getCompartment(name)
        if species is not None:
            species.unsetInitialAmount()
            species.unsetInitialConcentration()
            by_amount = species.getHasOnlySubstanceUnits()
            (species.setInitialAmount if by_amount else species.setInitialConcentration)(1.0)
        elif box is not None:
            box.setSize(1.0)
        else:
            self.model.getParameter(name).setValue(1.0)

    def open(self, plain: Model, wanted: set[str]) -> None:
        """Make parameters of what is asked for, and of every constant that is worked out at the start."""
        moved = {each.name for each in plain.states}
        frozen = _still(plain)
        ruled = {rule.getVariable() for rule in self.model.getListOfRules()}
        for name in sorted(wanted & (moved | amounts_behind(plain).keys())):
            self._start(name)
        constants = [
            element.getId()
            for group in (
                self.model.getListOfParameters(),
                self.model.getListOfCompartments(),
                self.model.getListOfSpecies(),
            )
            for element in group
        ]
        for name in constants:
            if name in frozen and name not in ruled:
                self._free(name)

    def _name(self, name: str) -> str:
        while self.model.getElementBySId(name) is not None:
            name += "_"
        return name

    def _start(self, state: str) -> None:
        """A state, or a concentration whose amount is one, starts at a parameter of its own."""
        new = self._name(_START + state)
        self._tell(new, state)
        made = self.model.createParameter()
        made.setId(new)
        made.setConstant(True)
        made.setValue(1.0)
        self._assign(state, _formula(new))
        self.started[state] = new

    def _free(self, name: str) -> None:
        """A constant that is worked out at the start becomes one with a number."""
        self._tell(name, name)
        self.model.removeInitialAssignment(name)
        self._give(name)
        self.freed.append(name)

    def _tell(self, name: str, element: str) -> None:
        """Keep what a quantity is by itself as a constant beside it; nothing where it has no value."""
        given = self.model.getInitialAssignmentBySymbol(element)
        math = (
            given.getMath().deepCopy()
            if given is not None and given.getMath() is not None
            else self._plain(element)
        )
        if math is None:
            return
        made = self.model.createParameter()
        made.setId(_DEFAULT + name)
        made.setConstant(True)
        self._assign(_DEFAULT + name, math)

    def _plain(self, name: str) -> Any:
        """The value that stands in an element's own attributes, as a formula."""
        if name in self.empty:
            return None
        species, box, parameter = (
            get(name) for get in (self.model.getSpecies, self.model.getCompartment, self.model.getParameter)
        )
        if species is not None:
            size = species.getCompartment()
            by_amount = species.getHasOnlySubstanceUnits() or not self._sized(size)
            if species.isSetInitialAmount():
                value = repr(species.getInitialAmount())
                return _formula(value if by_amount else f"{value} / {size}")
            if species.isSetInitialConcentration():
                value = repr(species.getInitialConcentration())
                return _formula(f"{value} * {size}" if by_amount and self._sized(size) else value)
            return None
        if box is not None:
            return _formula(repr(box.getSize())) if box.isSetSize() else None
        return (
            _formula(repr(parameter.getValue())) if parameter is not None and parameter.isSetValue() else None
        )

    def _sized(self, compartment: str) -> bool:
        box = self.model.getCompartment(compartment)
        return box is not None and not (
            box.isSetSpatialDimensions() and box.getSpatialDimensionsAsDouble() == 0
        )

    def _assign(self, name: str, math: Any) -> None:
        given = self.model.getInitialAssignmentBySymbol(name)
        if given is None:
            given = self.model.createInitialAssignment()
            given.setSymbol(name)
        given.setMath(math)


def amounts_behind(model: Model) -> dict[str, tuple[str, str]]:
    """Concentrations that are worked out from an amount, because events or rates change the size of their compartment.

    Parameters
    ----------
    model : Model

    Returns
    -------
    dict
        Concentration to the states of its amount and of its size.

    Examples
    --------
    >>> amounts_behind(load_model("compartment c = 1; c' = 0.1; species A in c = 2; A -> ; 0.1*A"))
    {'A': ('amount_of_A', 'c')}
    """
    states = {each.name for each in model.states}
    found = {}
    for each in model.assignments:
        if not each.formula.is_Mul or len(each.formula.args) != 2:
            continue
        above, below = each.formula.as_numer_denom()
        pair = (str(above), str(below))
        if pair[0].startswith(f"amount_of_{each.name}") and states.issuperset(pair):
            found[each.name] = pair
    return found


def _still(model: Model) -> set[str]:
    """Computed quantities that nothing moves: neither states nor time, by way of others either."""
    moving = {each.name for each in model.states} | {TIME.name}
    still: set[str] = set()
    for each in model.assignments:  # each uses only those before it
        used = {symbol.name for symbol in each.formula.free_symbols}
        if used & moving:
            moving.add(each.name)
        else:
            still.add(each.name)
    return still


def _formula(text: str) -> Any:
    import libsbml

    return libsbml.parseL3Formula(text)
