"""What can be wrong between a case and the model it names: names, units, doses, parameters."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from cellsim.case.checks import conversion_advice, day_known, is_number
from cellsim.case.records import Censored, Grade, Measurement, Visit, problem_at
from cellsim.dates import ONE_INSTANT, apart
from cellsim.dosing.delivery import cells_per_unit
from cellsim.errors import ModelError, Problem, did_you_mean

if TYPE_CHECKING:
    import sympy as sp

    from cellsim.case.case import Case
    from cellsim.dosing.infusions import Infusion
    from cellsim.model.model import Model

__all__ = ["against_model", "overridden"]


def against_model(case: Case, model: Model) -> Iterator[Problem]:
    """Compare a case with the model it names."""
    states = {each.name for each in model.states}
    parameters = {each.name: each for each in model.parameters}
    quantities = states | {each.name for each in model.assignments}
    rates = {product.rate for product in case.products if product.rate}
    standard = {each.id: each for each in case.priors if each.standard}
    filled = {name for row in case.rows for name in (*row.parameters, *row.noise_parameters)}
    filled |= {name for row in case.censored for name in row.parameters}
    in_formulas: set[str] = set()
    for analyte in case.analytes:
        own = {*analyte.placeholders, *analyte.noise_placeholders}
        for column, formula in (("observableFormula", analyte.formula), ("noiseFormula", analyte.noise)):
            try:
                names = _names(formula, f"{column} of {analyte.observable}")
            except ModelError as error:
                for each in error.problems:
                    yield problem_at(analyte, each.what, each.remedy, column=column)
                continue
            in_formulas |= names
            for name in sorted(names - own - quantities - set(parameters) - set(standard) - {"time"}):
                known = {*quantities, *parameters, *standard, *own}
                what = f"{column}: no quantity {name!r}."
                yield problem_at(analyte, what, did_you_mean(name, known), column=column)
        if analyte.quantity and analyte.quantity not in quantities:
            yield problem_at(
                analyte,
                f"quantity: the model has no {analyte.quantity!r}.",
                did_you_mean(analyte.quantity, quantities),
                column="quantity",
            )
    for grade in case.grades:
        if grade.quantity and grade.quantity not in quantities:
            yield problem_at(
                grade,
                f"quantity: the model has no {grade.quantity!r}.",
                did_you_mean(grade.quantity, quantities),
                column="quantity",
            )
    placeholders = {name for each in case.analytes for name in (*each.placeholders, *each.noise_placeholders)}
    used = set(parameters) | (in_formulas - placeholders) | {name for name in filled if not is_number(name)}
    for prior in standard.values():
        if prior.id in case.targets:
            what = f"{prior.id} is changed by a condition, so it must not be a parameter of the case."
            yield problem_at(prior, what, "Remove the row.", column="parameterId")
        elif claimed := _claimed(case, model, prior.id, placeholders):
            yield problem_at(prior, *claimed, column="parameterId")
        elif prior.id not in used:
            yield problem_at(
                prior,
                f"no parameter {prior.id!r} in the model, its observables or their rows.",
                did_you_mean(prior.id, used),
                column="parameterId",
            )
    yield from overridden(case, model)
    files = sorted({each.file for each in standard.values()}) or ["parameters.tsv"]
    for name in sorted(set(parameters) - set(standard) - rates - set(case.targets)) if standard else ():
        what = f"the model's parameter {name!r} has neither a prior nor a fixed value here."
        remedy = "Add a row with a prior, or with estimate false and its value."
        yield Problem(what=what, remedy=remedy, file=files[0], column="parameterId")
    yield from _days_of_visits(case, {*quantities, *parameters})
    yield from _units(case, model)
    yield from _doses_arrive(case, model)
    yield from _asked(case, quantities)
    yield from _at_a_dose(case, model)


def overridden(case: Case, model: Model) -> Iterator[Problem]:
    """Values of a model that play no part, because the case has its own: a doubt each."""
    own = {each.name: each.value for each in model.parameters}
    for prior in (each for each in case.priors if each.standard):
        if prior.id in own and not math.isclose(prior.nominal, own[prior.id], rel_tol=1e-6):
            what = f"nominal {prior.id} = {prior.nominal:g}, but the model says {own[prior.id]:g}."
            remedy = (
                "It is estimated from its prior, and the model's value plays no part."
                if prior.estimate
                else "The case's value is used."
            )
            yield problem_at(prior, what, remedy, "doubt", column="nominalValue")


def _days_of_visits(case: Case, own: set[str]) -> Iterator[Problem]:
    """A name of the model's, or of what observables use, that the day of a visit bears too: one value would be both."""
    standard = {each.id: each for each in case.priors if each.standard}
    for visit in case.visits:
        name = f"day_{visit.id}"
        if name in own or name in standard:
            yield problem_at(
                standard.get(name, visit),
                f"{name} is {'a quantity of the model' if name in own else 'a parameter'}, and the name of the day on "
                f"which visit {visit.id!r} was sampled.",
                "Rename one of the two.",
            )


def _claimed(case: Case, model: Model, name: str, placeholders: Collection[str]) -> tuple[str, str] | None:
    """What a name stands for that no row of parameters can set, and what to do instead; None where it is free."""
    free = f"Rename the parameter {name!r}, here and where it is used."
    if name == "time":
        return "time is the clock of the model, and no parameter.", "Remove the row."
    if any(name == each.name for each in model.states):
        return (
            f"{name} is a state of the model, and a parameter never reaches its initial value.",
            f"Name that value in the model ({name} = {name}_0; {name}_0 = 1), and write {name}_0 here.",
        )
    if any(name == each.name for each in model.assignments):
        return (
            f"{name} is worked out by the model ({name} := ...), and takes no value.",
            f"Write the parameters of its formula here, or make {name} a parameter of the model.",
        )
    if any(name == each.name for each in model.events):
        return f"{name} is an event of the model, and no parameter.", free
    if name in placeholders:
        return (
            f"{name} is a placeholder, which every row of the measurements fills.",
            "Give the parameter a name of its own, and fill the placeholder with that.",
        )
    if any(name == each.observable for each in case.analytes):
        return f"{name} is an observable, and no parameter.", free
    if any(name == each.name for each in case.products):
        return f"{name} is a product, and no parameter.", free
    if any(name == each.id for each in case.visits):
        return f"{name} is a visit, and no parameter.", f"Its day is day_{name} in parameters_extended.tsv."
    return None


def _units(case: Case, model: Model) -> Iterator[Problem]:
    """What the case compares with the model stands in the same unit."""
    defined = dict(model.units)
    units = {each.name: each.unit for each in model.states}
    units |= {each.name: each.unit for each in model.assignments}
    units |= {each.name: each.unit for each in model.parameters}
    compared = [(each, each.quantity, each.unit) for each in case.analytes]
    beliefs = [(each, each.id, each.unit) for each in case.priors if each.standard]
    for where, name, unit in (*compared, *beliefs):
        own = units.get(name, "")
        theirs = defined.get(own, own)
        # SBML has no base for international units: a model defines IU as a pure number of that name
        if (
            unit
            and theirs
            and not (unit == own and theirs == "dimensionless")
            and (remedy := conversion_advice(unit, theirs))
        ):
            what = f"{name} is in {theirs!r} in the model, and in {unit!r} here."
            yield problem_at(where, what, remedy, column="unit")


def _doses_arrive(case: Case, model: Model) -> Iterator[Problem]:
    """Every dose enters a state, and both sides count the same cells."""
    states = {each.name: each.unit for each in model.states}
    parameters = [each.name for each in model.parameters]
    defined = dict(model.units)
    for product in case.products:
        row = case.product_rows.get(product.name)
        say = partial(Problem, file="products.tsv", row=row)
        if product.state not in states:
            what = f"product {product.name!r} enters {product.state!r}, which is no state of the model."
            yield say(what=what, remedy=did_you_mean(product.state, states), column="state")
            continue
        scale = cells_per_unit(states[product.state], defined) or 1.0
        stated = case.cells_per_unit.get(product.state, scale)
        if not math.isclose(scale, stated, rel_tol=1e-9):
            what = f"cellsPerUnit is {stated:g}, but the model counts {product.state} in {scale:g}."
            yield say(what=what, remedy="Leave it to the model: empty the cell.", column="cellsPerUnit")
        own = defined.get(states[product.state], states[product.state])
        counts = cells_per_unit(states[product.state], defined) is not None
        if counts and product.unit != "cells":
            what = f"product {product.name!r} is in {product.unit!r}, but the model counts cells in {product.state}."
            yield say(what=what, remedy="Write cells into the column unit, or leave it empty.", column="unit")
        elif (
            not counts
            and product.unit not in ("", "cells", states[product.state])
            and (advice := own and conversion_advice(product.unit, own))
        ):
            what = f"product {product.name!r} is in {product.unit!r}, but {product.state} in {own!r} in the model."
            remedy = f"Doses stand in the unit of the state they enter. {advice}"
            yield say(what=what, remedy=remedy, column="unit")
        if product.rate and product.rate not in parameters:
            what = (
                f"product {product.name!r} has the rate {product.rate!r}, which is no parameter of the model."
            )
            yield say(what=what, remedy=did_you_mean(product.rate, parameters), column="rate")
    entries = {product.state for product in case.products} | {product.rate for product in case.products}
    for target, (file, row) in case.targets.items():
        if target in entries:
            continue
        if target not in states:
            what = f"a dose into {target!r}, which is no state of the model."
            yield Problem(
                what=what, remedy=did_you_mean(target, states), file=file, row=row, column="targetId"
            )
        elif cells_per_unit(states[target], defined) not in (None, 1):
            what = f"a dose into {target!r}, which counts cells, but no product enters it."
            remedy = "Name a product for it in products.tsv."
            yield Problem(what=what, remedy=remedy, file=file, row=row, column="targetId")


def _asked(case: Case, quantities: Collection[str]) -> Iterator[Problem]:
    """What outcomes, figures, questions and products speak of is in the model."""
    named: list[tuple[object, str, str]] = [
        (each, each.quantity, "quantity") for each in case.outcomes if each.measure in ("days below", "area")
    ]
    named += [(each, each.quantity, "quantityId") for each in case.shown]
    named += [(each, each.quantity, "quantity") for each in case.questions]
    for where, name, column in named:
        if name and name not in quantities:
            what = f"the model has no {name!r}."
            yield problem_at(where, what, did_you_mean(name, quantities), column=column)
    for product in case.products:
        if product.quantity and product.quantity not in quantities:
            what = f"quantity of {product.name}: the model has no {product.quantity!r}."
            yield Problem(
                what=what,
                remedy=did_you_mean(product.quantity, quantities),
                file="products.tsv",
                row=case.product_rows.get(product.name),
                column="quantity",
            )
    if case.ledger and case.ledger not in quantities:
        what = f"ledger: the model has no {case.ledger!r}."
        remedy = did_you_mean(case.ledger, quantities)
        yield Problem(what=what, remedy=remedy, file="study.tsv", column="value")


def _at_a_dose(case: Case, model: Model) -> Iterator[Problem]:
    """Samples at the instant of a dose that they would notice, or all but at it, where nobody says which came first."""
    entries = {product.name: product.state for product in case.products}
    boluses = [each for each in case.timeline if not each.duration]
    read: list[tuple[Visit | Grade, float, str, str]] = []
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    for visit in case.visits:
        if day_known(case, visit) and not visit.timing:
            for name in dict.fromkeys(row.analyte for row in values if row.visit == visit.id):
                formula = next((each.formula for each in case.analytes if each.id == name), "")
                read.append((visit, visit.nominal, name, formula))
    read += [(each, each.day, each.observable, each.quantity) for each in case.grades if each.scored]
    noticed: dict[tuple[Visit | Grade, float, Infusion], list[str]] = {}
    for where, day, name, formula in read:
        for dose in boluses:
            if abs(day - dose.day) <= ONE_INSTANT and _moved(
                model, entries.get(dose.product, dose.product)
            ) & _behind(model, formula):
                noticed.setdefault((where, day, dose), []).append(name)
    for (where, day, dose), names in noticed.items():
        about = f"visit {where.id!r}" if isinstance(where, Visit) else f"the grade of {where.observable}"
        where_at = "at the instant of" if day == dose.day else apart(day, dose.day)
        what = (
            f"{about} is on day {dose.day:g}, {where_at} the infusion of {dose.product}, which "
            f"{', '.join(names)} would notice; it is read {'before' if day < dose.day else 'after'} it."
        )
        remedy = (
            "Say predose or postdose in the column timing of visits.tsv, or give the sample another day."
            if isinstance(where, Visit)
            else "Give the finding, or the infusion, a day with its hour (7.25)."
        )
        if day != dose.day:
            remedy = f"If both are one instant, write {dose.day!r} for both. {remedy}"
        column = ("timing" if day == dose.day else "nominal") if isinstance(where, Visit) else "day"
        yield problem_at(where, what, remedy, "doubt", column=column)


def _moved(model: Model, state: str) -> set[str]:
    """What changes at the instant of a dose into a state: itself, and what events that see it set."""
    moved = {state}
    for _ in model.events:
        for event in model.events:
            if moved & _behind(model, event.trigger):
                moved |= {name for name, _ in event.assignments}
    return moved


def _behind(model: Model, formula: str | sp.Basic) -> set[str]:
    """Every name that a formula depends on at one instant, through the model's assignments."""
    from cellsim.model.formulas import parse_formula

    try:
        parsed = parse_formula(formula) if isinstance(formula, str) else formula
    except ModelError:
        return set()  # told where the formulas are judged
    assigned = {each.name: each.formula for each in model.assignments}
    found: set[str] = set()
    ahead = [str(each) for each in parsed.free_symbols]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += [str(each) for each in assigned[name].free_symbols] if name in assigned else []
    return found


def _names(formula: str, where: str) -> set[str]:
    from cellsim.model.formulas import parse_formula

    return {str(symbol) for symbol in parse_formula(formula, where=where).free_symbols}
