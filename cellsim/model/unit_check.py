"""Does a model make sense? Units on both sides of every equation, names that exist, names that are used.

A unit is held as powers of base units; its size is one more power (of the number e), so that
``x^h/(K^h + x^h)`` balances for an exponent ``h`` that is itself a parameter.
"""

from __future__ import annotations

import math
import re
from itertools import product
from typing import TYPE_CHECKING

import sympy as sp

from cellsim.errors import Problem, UnitError, did_you_mean
from cellsim.model.content import TIME
from cellsim.model.formulas import formula_text
from cellsim.units import Unit, parse_unit

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["check_model"]

_SIZE = "size"  # the key under which the logarithm of a unit's size is held
_SAME = 1e-9
Powers = dict[str, sp.Expr]
_NUMBER: Powers = {}


class _Anything(dict[str, sp.Expr]):
    """The unit of what fits everywhere: 0, infinity, and what has been complained about already."""


_ANYTHING: Powers = _Anything()


def check_model(model: Model) -> tuple[Problem, ...]:
    """Unit balance, unknown names and unused names of a model.

    Parameters
    ----------
    model : Model

    Returns
    -------
    tuple of Problem
        Errors first, then doubts; empty when all is well.
    """
    problems = [*_names(model), *_Balance(model).problems()]
    return tuple(sorted(problems, key=lambda problem: problem.severity != "error"))


def _names(model: Model) -> list[Problem]:
    known = {each.name for each in model.quantities}
    states = {each.name for each in model.states}
    problems: dict[str, Problem] = {}
    used: set[str] = set()
    for where, formula in model.formulas():
        names = {symbol.name for symbol in formula.free_symbols} - {TIME.name}
        used |= names
        for name in sorted(names - known):
            what = f"{where} uses {name!r}, which the model does not have."
            problems.setdefault(name, Problem(what=what, remedy=did_you_mean(name, known)))
    found = list(problems.values())
    for event in model.events:
        for name in dict(event.assignments):
            if name not in states:
                what = f"Event {event.name} changes {name!r}, which is no state."
                found.append(Problem(what=what, remedy=did_you_mean(name, states)))
    done: set[str] = set()
    by_name = {each.name for each in model.assignments}
    for each in model.assignments:
        late = sorted({s.name for s in each.formula.free_symbols} & by_name - done)
        if late:
            found.append(
                Problem(what=f"{each.name} uses {', '.join(late)}, which is worked out only after it.")
            )
        done.add(each.name)
    for parameter in model.parameters:
        if parameter.name not in used:
            what = f"Parameter {parameter.name} is used nowhere."
            found.append(Problem(what=what, remedy="Remove it, or use it.", severity="doubt"))
    return found


def _powers(unit: Unit) -> Powers:
    powers = {name: sp.nsimplify(exponent) for name, exponent in unit.dimensions}
    size = math.log(unit.factor)
    return powers | ({_SIZE: sp.Float(size)} if abs(size) > _SAME else {})


def _combine(one: Powers, other: Powers, sign: int = 1) -> Powers:
    if isinstance(one, _Anything) or isinstance(other, _Anything):
        return _ANYTHING
    total = {
        name: one.get(name, sp.Integer(0)) + sign * other.get(name, sp.Integer(0)) for name in one | other
    }
    return {name: power for name, power in total.items() if not _is_zero(power)}


def _is_zero(power: sp.Expr) -> bool:
    power = sp.expand(power)
    # a size like 1e-12/1e-3 leaves a rounding error in front of a symbolic exponent too
    return all(abs(float(c)) < _SAME for c in power.as_coefficients_dict().values())


def _difference(one: Powers, other: Powers) -> float | None:
    """0 for equal units, the log of the ratio for units of one kind, None for different kinds."""
    rest = _combine(one, other, -1)
    if not rest:
        return 0.0
    if set(rest) == {_SIZE} and rest[_SIZE].is_number:
        return float(rest[_SIZE])
    return None


class _Balance:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.found: list[Problem] = []
        self.unit: dict[sp.Symbol, Powers] = {}
        self.where = ""
        self._spoken: dict[str, Powers] = {}
        self._plain: list[str] = []

    def problems(self) -> list[Problem]:
        model = self.model
        if not any(each.unit for each in model.quantities):
            what = "No quantity of this model has a unit, so units were not checked."
            return [Problem(what=what, remedy="Declare them, e.g. 'k has per_day'.", severity="doubt")]
        for each in model.quantities:
            self.unit[sp.Symbol(each.name)] = self._declared(each.name, each.unit)
        self.unit[TIME] = self._declared("Time", model.time_unit)
        self._learn_words()
        for state in model.states:
            self.where = f"{state.name}' = {formula_text(state.rate)}"
            per_time = _combine(self.unit[sp.Symbol(state.name)], self.unit[TIME], -1)
            why = f"{state.name} is in {state.unit} and time in {model.time_unit}, so its rate is in "
            self._expect(state.rate, per_time, why + self._say(per_time))
            if state.initial.free_symbols:
                self.where = f"The start value of {state.name} = {formula_text(state.initial)}"
                self._expect(
                    state.initial, self.unit[sp.Symbol(state.name)], f"{state.name} is in {state.unit}"
                )
        for each in model.assignments:
            self.where = f"{each.name} := {formula_text(each.formula)}"
            self._expect(each.formula, self.unit[sp.Symbol(each.name)], f"{each.name} is in {each.unit}")
        for event in model.events:
            self.where = f"Event {event.name}"
            self._of(event.trigger)
            for name, value in event.assignments:
                # a bare number given to a quantity is in that quantity's unit, as at the start
                if name in model and value.free_symbols:
                    unit = model[name].unit
                    self._expect(value, self.unit[sp.Symbol(name)], f"{name} is in {unit}")
        return self.found

    # ------------------------------------------------------------ words

    def _declared(self, name: str, unit: str) -> Powers:
        if not unit:
            what = f"{name} has no unit, so what it stands in was not checked."
            remedy = (
                f"Declare it, e.g. '{name} has dimensionless'." if name != "Time" else "unit time_unit = day"
            )
            self.found.append(Problem(what=what, remedy=remedy, severity="doubt"))
            return _ANYTHING
        try:
            return _powers(parse_unit(unit))
        except UnitError as trouble:
            self.found.append(Problem(what=f"The unit of {name}: {trouble}"))
            return _ANYTHING

    def _learn_words(self) -> None:
        texts = {each.unit for each in self.model.quantities} | {self.model.time_unit, "dimensionless"}
        simple: dict[str, Powers] = {}
        for text in sorted(texts - {""}, key=lambda text: (len(text), text)):
            try:
                simple[text] = _powers(parse_unit(text))
            except UnitError:
                continue
        self._spoken = dict(simple)
        plain = [text for text, powers in simple.items() if powers and not re.search("[/* ]", text)]
        self._plain = plain
        for one, other in product(simple, plain):
            joint = "1" if one == "dimensionless" else one
            self._spoken.setdefault(f"{joint}/{other}", _combine(simple[one], simple[other], -1))
        for one, other in product(plain, plain):
            self._spoken.setdefault(f"{one}*{other}", _combine(simple[one], simple[other]))

    def _say(self, powers: Powers) -> str:
        if not powers:
            return "a pure number"
        for text, known in self._spoken.items():
            if _difference(powers, known) == 0.0:
                return text
        for one, other in product(self._plain, self._spoken):
            if _difference(powers, _combine(self._spoken[one], self._spoken[other])) == 0.0:
                return f"{one}*{other}"
        size = powers.get(_SIZE, sp.Integer(0))
        number = f"{math.exp(float(size)):.6g} " if size.is_number and size != 0 else ""
        bare = {name: power for name, power in powers.items() if name != _SIZE}
        return number + " ".join(f"{name}^({power})" if power != 1 else name for name, power in bare.items())

    def _complain(self, what: str, remedy: str = "") -> Powers:
        problem = Problem(what=f"{self.where}: {what}", remedy=remedy)
        if problem not in self.found:
            self.found.append(problem)
        return _ANYTHING

    # ------------------------------------------------------------ units of expressions

    def _expect(self, expression: sp.Expr, wanted: Powers, why: str) -> None:
        terms = sp.Add.make_args(expression)
        if all(self._fits(term, self._of(term), wanted) for term in terms):
            return
        before = len(self.found)
        seen = self._of(expression)
        if len(self.found) == before and not isinstance(seen, _Anything):
            amount = f"in {self._say(seen)}" if seen else "a pure number"
            self._complain(f"the right side is {amount}, but {why}.")

    @staticmethod
    def _fits(expression: sp.Expr, unit: Powers, wanted: Powers) -> bool:
        if isinstance(unit, _Anything) or isinstance(wanted, _Anything):
            return True
        ratio = _difference(unit, wanted)
        if ratio is None:
            return False
        coefficient = abs(float(expression.as_coeff_Mul()[0]))
        # a literal factor that is exactly the conversion (100 from fraction to %) is that conversion
        return ratio == 0.0 or (coefficient > 0 and abs(math.log(coefficient) - ratio) < _SAME)

    def _agree(self, parts: list[sp.Expr], kind: str) -> Powers:
        units = [self._of(part) for part in parts]
        known = [(part, unit) for part, unit in zip(parts, units) if not isinstance(unit, _Anything)]
        if not known:
            return _ANYTHING
        # plain numbers speak last: in '100 - x' the unit is that of x
        known.sort(key=lambda pair: pair[0].is_number)
        first, wanted = known[0]
        for part, unit in known[1:]:
            if not self._fits(part, unit, wanted):
                one, other = (
                    f"{formula_text(e)} [{self._say(u)}]" for e, u in ((first, wanted), (part, unit))
                )
                remedy = (
                    "A bare number is a pure number: give it a name and a unit." if part.is_number else ""
                )
                return self._complain(f"{kind} {one} and {other}.", remedy)
        return wanted

    def _of(self, e: sp.Basic) -> Powers:
        if isinstance(e, sp.Symbol):
            return self.unit.get(e, _ANYTHING)
        if e.is_number:
            return _ANYTHING if e in (0, sp.oo, -sp.oo) else _NUMBER
        if isinstance(e, sp.Add):
            return self._agree(list(e.args), "cannot add")
        if isinstance(e, sp.Mul):
            total = _NUMBER
            for factor in e.args:
                total = _combine(total, self._of(factor))
            return total
        if isinstance(e, sp.Pow):
            return self._of_power(e)
        if isinstance(e, sp.Piecewise):
            for _, condition in e.args:
                self._of(condition)
            return self._agree([value for value, _ in e.args], "cannot choose between")
        if isinstance(e, (sp.Max, sp.Min)):
            return self._agree(list(e.args), "cannot compare")
        if isinstance(e, sp.core.relational.Relational):
            self._agree(list(e.args), "cannot compare")
            return _NUMBER
        if isinstance(e, (sp.Abs, sp.floor, sp.ceiling)):
            return self._of(e.args[0])
        for part in e.args:
            unit = self._of(part)
            if isinstance(e, sp.Function) and not isinstance(unit, _Anything) and unit:
                inside = formula_text(part)
                return self._complain(
                    f"{formula_text(e)} needs a pure number, but {inside} is in {self._say(unit)}.",
                    "Divide it by a reference of the same unit.",
                )
        return _NUMBER

    def _of_power(self, e: sp.Pow) -> Powers:
        base, exponent = self._of(e.base), self._of(e.exp)
        if not isinstance(exponent, _Anything) and exponent:
            return self._complain(
                f"the exponent {formula_text(e.exp)} must be a pure number, but is in {self._say(exponent)}."
            )
        if isinstance(base, _Anything):
            return _ANYTHING
        return {name: power * e.exp for name, power in base.items()}
