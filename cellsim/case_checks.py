"""What can be wrong with a case that can be read: its tables are held against each other and the model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from cellsim.case_rows import SCORED, Censored, Measurement, Visit
from cellsim.delivery import cells_per_unit
from cellsim.errors import ModelError, Problem, UnitError, did_you_mean
from cellsim.units import conversion_factor

if TYPE_CHECKING:
    from cellsim.case import Case
    from cellsim.model import Model

__all__ = ["against_model", "of_tables"]


def _at(where: object, what: str, remedy: str = "", severity: str = "error") -> Problem:
    """A complaint about a record that knows its file and row."""
    file, row = getattr(where, "file", ""), getattr(where, "row", None)
    return Problem(what=what, remedy=remedy, file=file, row=row, severity=severity)


def of_tables(case: Case) -> Iterator[Problem]:
    """Compare the tables of a case with each other."""
    yield from _twice(case)
    yield from _visits(case)
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    for row in values:
        yield from _row(case, row)
    yield from _printed(case)
    yield from _placeholders(case)
    for analyte in case.analytes:
        if case.rows and not any(row.analyte == analyte.id for row in values):
            yield _at(analyte, f"no value of {analyte.observable} is scored.", "Remove it, or add its rows.")


def _twice(case: Case) -> Iterator[Problem]:
    """Every name once, every value once."""
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    groups: tuple[tuple[str, Iterable[tuple[object, object]]], ...] = (
        ("observable", ((each.observable, each) for each in case.analytes)),
        ("visit", ((each.id, each) for each in case.visits)),
        ("parameter", ((each.id, each) for each in case.priors)),
        ("variant", ((each.id, each) for each in case.variants)),
        ("value of", (((each.observable, each.visit or each.day), each) for each in values)),
        ("printed cell", (((each.analyte, each.visit), each) for each in case.table1)),
        ("grade of", (((each.observable, each.day, each.calendar), each) for each in case.grades)),
    )
    for kind, group in groups:
        seen: dict[object, object] = {}
        for name, where in group:
            if name in seen:
                first = seen[name]
                said = name if isinstance(name, str) else " at ".join(str(each) for each in name if each)  # type: ignore[attr-defined]
                place = f"{getattr(first, 'file', '')}, row {getattr(first, 'row', '')}"
                yield _at(
                    where,
                    f"{kind} {said} stands already in {place}.",
                    "A duplicated row counts twice: remove one.",
                )
            seen.setdefault(name, where)


def _visits(case: Case) -> Iterator[Problem]:
    for before, after in pairwise(case.visits):
        if after.nominal <= before.nominal:
            what = (
                f"visit {after.id!r} (day {after.nominal:g}) is not after {before.id!r} ({before.nominal:g})."
            )
            yield _at(after, what, "Visits stand in the order of time.")
        elif after.earliest < before.latest:
            what = (
                f"the windows of {before.id!r} (to day {before.latest:g}) "
                f"and {after.id!r} (from day {after.earliest:g}) overlap."
            )
            yield _at(after, what, "Each visit has days of its own.")
    beside = {each.id: each for each in case.priors if not each.standard}
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    for visit in case.visits:
        yield from _days(visit, [row for row in values if row.visit == visit.id])
        prior = beside.get(f"day_{visit.id}")
        if prior is None and visit.earliest < visit.latest:
            what = (
                f"the day of visit {visit.id!r} is uncertain; parameters_extended.tsv has no day_{visit.id}."
            )
            yield _at(visit, what, "Add it, uniform on the window.")
        elif prior is not None and prior.nominal != visit.nominal:
            what = f"nominal {prior.id} = {prior.nominal:g}, but visits.tsv has day {visit.nominal:g}."
            yield _at(prior, what)
        elif prior is not None and prior.estimate and prior.family == "uniform":
            window = (visit.earliest, visit.latest)
            if prior.parameters != window or (prior.lower, prior.upper) != window:
                what = (
                    f"{prior.id} is not uniform on {visit.earliest:g} to {visit.latest:g}, as in visits.tsv."
                )
                yield _at(prior, what)


def _days(visit: Visit, rows: list[Measurement | Censored]) -> Iterator[Problem]:
    """The rows of one visit stand on its day; where most of them do not, the visit is the odd one out."""
    off = [row for row in rows if row.day != visit.nominal]
    if len(off) > max(3, len(rows) / 2):
        days = ", ".join(f"{day:g}" for day in sorted({row.day for row in off}))
        files = " and ".join(dict.fromkeys(row.file for row in off))
        what = (
            f"visit {visit.id!r} is nominally on day {visit.nominal:g}, "
            f"but {len(off)} of its {len(rows)} rows in {files} are on day {days}."
        )
        yield _at(visit, what, "Correct the visit, or its rows.")
        return
    for row in off:
        if visit.earliest <= row.day <= visit.latest:
            what = (
                f"day {row.day:g}, but visit {visit.id!r} is nominally on day {visit.nominal:g} (visits.tsv)."
            )
            yield _at(row, what, "One visit has one day.")
        else:
            what = (
                f"day {row.day:g} is outside of visit {visit.id!r} ({visit.earliest:g} to {visit.latest:g})."
            )
            yield _at(row, what, "Correct the day, or the visit.")


def _row(case: Case, row: Measurement | Censored) -> Iterator[Problem]:
    """One scored value against its observable and its visit."""
    value = row.value if isinstance(row, Measurement) else row.limit
    analyte = next((each for each in case.analytes if each.observable == row.observable), None)
    if value < 0 or (analyte is not None and analyte.distribution.startswith("log") and value == 0):
        what = f"{row.observable} = {value:g} {row.unit}: a measured value is above zero."
        yield _at(row, what, "Is a sign wrong, or is the value below a limit of detection?")
    if analyte is not None:
        if row.unit and analyte.unit and row.unit != analyte.unit:
            what = f"{row.observable} in {row.unit!r}, but {analyte.observable} is in {analyte.unit!r}."
            yield _at(row, what, _conversion(row.unit, analyte.unit))
        for kind, given, wanted in (
            ("observableParameters", row.parameters, analyte.placeholders),
            ("noiseParameters", getattr(row, "noise_parameters", ()), analyte.noise_placeholders),
        ):
            if len(given) != len(wanted):
                names = f" ({', '.join(wanted)})" if wanted else ""
                yield _at(row, f"{len(given)} {kind}, but {row.observable} takes {len(wanted)}{names}.")
            known = {each.id for each in case.priors if each.standard}
            for name in given:
                if known and not _is_number(name) and name not in known:
                    yield _at(row, f"{kind}: no parameter {name!r}.", did_you_mean(name, known))
    known_visits = [each.id for each in case.visits]
    if row.visit and known_visits and row.visit not in known_visits:
        yield _at(row, f"no visit {row.visit!r}.", did_you_mean(row.visit, known_visits))
    if isinstance(row, Measurement) and case.experiment not in ("", row.experiment):
        yield _at(row, f"no experiment {row.experiment!r}.", did_you_mean(row.experiment, [case.experiment]))
    if case.experiment and row.day < case.start:
        yield _at(row, f"day {row.day:g} is before the simulation starts on day {case.start:g}.")


def _printed(case: Case) -> Iterator[Problem]:
    """The scored rows against the printed table: nothing lost, nothing changed, nothing counted twice."""
    scored = {(row.analyte, row.visit): row for row in case.rows}
    short = {(row.analyte, row.visit): row for row in case.censored}
    # a column or file that cannot be read was complained about once; not again for every cell
    complete = bool(case.rows)
    names = {each.analyte for each in case.table1}
    for cell in case.table1:
        named = f"{cell.analyte} at {cell.visit}"
        row = scored.get((cell.analyte, cell.visit))
        if cell.status not in SCORED:
            if row is not None:
                place = f"{cell.file}, row {cell.row}"
                what = f"{named} is {cell.status} ({place}) and must not be scored as a number."
                yield _at(row, what, cell.doubt and f"{cell.doubt[0].upper()}{cell.doubt[1:]}.")
            below = short.get((cell.analyte, cell.visit))
            if cell.status == "censored" and (below is None or not below.scored):
                yield _at(
                    cell, f"{named} is censored, and no scored row of extended.tsv has it.", "Was it lost?"
                )
            elif cell.status == "censored" and below is not None and below.limit != cell.value:
                yield _at(
                    below, f"limit {below.limit:g}, but {cell.file}, row {cell.row} has {cell.value:g}."
                )
            continue
        if row is None:
            if complete:
                yield _at(
                    cell, f"{named} is {cell.status}, and no row of the measurements has it.", "Was it lost?"
                )
            continue
        analyte = next((each for each in case.analytes if each.id == cell.analyte), None)
        # a unit that is not the observable's own was complained about where the row was judged
        unit_told = analyte is not None and row.unit != analyte.unit
        if row.value != cell.value or (row.unit != cell.unit and not unit_told):
            place = f"{cell.file}, row {cell.row}"
            what = f"{named} is {row.value:g} {row.unit}, but {place} has {cell.value:g} {cell.unit}."
            yield _at(row, what)
        if analyte is not None and (analyte.lower, analyte.upper) != (cell.lower, cell.upper):
            limits = " to ".join("none" if each is None else f"{each:g}" for each in (cell.lower, cell.upper))
            what = f"reference limits {limits}, but {analyte.observable} has {analyte.range_text or 'none'}."
            yield _at(cell, what)
    for row in case.rows:
        if case.table1 and not any((c.analyte, c.visit) == (row.analyte, row.visit) for c in case.table1):
            what = f"{row.analyte} at {row.visit} stands in no row of table1.tsv."
            yield _at(row, what, did_you_mean(row.analyte, names) if row.analyte not in names else "")


def _conversion(given: str, wanted: str) -> str:
    """How a value in one unit comes to stand in another; empty when both say the same."""
    try:
        factor = conversion_factor(given, wanted)
    except UnitError as error:
        return str(error)
    return "" if factor == 1 else f"Multiply the value by {factor:g}, then correct its unit."


def _placeholders(case: Case) -> Iterator[Problem]:
    seen: set[str] = set()
    for analyte in case.analytes:
        for name in (*analyte.placeholders, *analyte.noise_placeholders):
            if name in seen:
                yield _at(analyte, f"placeholder {name!r} belongs to another observable already.")
            seen.add(name)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


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
                yield from (_at(analyte, each.what, each.remedy) for each in error.problems)
                continue
            in_formulas |= names
            for name in sorted(names - own - quantities - set(parameters) - set(standard) - {"time"}):
                known = {*quantities, *parameters, *standard, *own}
                yield _at(analyte, f"{column}: no quantity {name!r}.", did_you_mean(name, known))
        if analyte.quantity and analyte.quantity not in quantities:
            yield _at(
                analyte,
                f"quantity: the model has no {analyte.quantity!r}.",
                did_you_mean(analyte.quantity, quantities),
            )
    for grade in case.grades:
        if grade.quantity and grade.quantity not in quantities:
            yield _at(
                grade,
                f"quantity: the model has no {grade.quantity!r}.",
                did_you_mean(grade.quantity, quantities),
            )
    used = set(parameters) | in_formulas | {name for name in filled if not _is_number(name)}
    for prior in standard.values():
        if prior.id in case.targets:
            yield _at(
                prior, f"{prior.id} is changed by a condition, so it must not be a parameter of the case."
            )
        elif prior.id not in used:
            yield _at(
                prior,
                f"no parameter {prior.id!r} in the model, its observables or their rows.",
                did_you_mean(prior.id, used),
            )
        elif prior.id in parameters and not math.isclose(
            prior.nominal, parameters[prior.id].value, rel_tol=1e-6
        ):
            what = (
                f"nominal {prior.id} = {prior.nominal:g}, but the model says {parameters[prior.id].value:g}."
            )
            yield _at(prior, what, "The case's value is used.", "doubt")
    files = sorted({each.file for each in standard.values()}) or ["parameters.tsv"]
    for name in sorted(set(parameters) - set(standard) - rates - set(case.targets)) if standard else ():
        what = f"the model's parameter {name!r} has neither a prior nor a fixed value here."
        remedy = "Add a row with a prior, or with estimate false and its value."
        yield Problem(what=what, remedy=remedy, file=files[0])
    yield from _units(case, model)
    yield from _doses_arrive(case, model)


def _units(case: Case, model: Model) -> Iterator[Problem]:
    """What the case compares with the model stands in the same unit."""
    defined = dict(model.units)
    units = {each.name: each.unit for each in model.states}
    units |= {each.name: each.unit for each in model.assignments}
    units |= {each.name: each.unit for each in model.parameters}
    compared = [(each, each.quantity, each.unit) for each in case.analytes]
    beliefs = [(each, each.id, each.unit) for each in case.priors if each.standard]
    for where, name, unit in (*compared, *beliefs):
        theirs = units.get(name, "")
        theirs = defined.get(theirs, theirs)
        if unit and theirs and (remedy := _conversion(unit, theirs)):
            yield _at(where, f"{name} is in {theirs!r} in the model, and in {unit!r} here.", remedy)


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
            yield say(what=what, remedy=did_you_mean(product.state, states))
            continue
        scale = cells_per_unit(states[product.state], defined) or 1.0
        stated = case.cells_per_unit.get(product.state, 1e6)
        if not math.isclose(scale, stated, rel_tol=1e-9):
            yield say(what=f"cellsPerUnit is {stated:g}, but the model counts {product.state} in {scale:g}.")
        if product.rate and product.rate not in parameters:
            what = (
                f"product {product.name!r} has the rate {product.rate!r}, which is no parameter of the model."
            )
            yield say(what=what, remedy=did_you_mean(product.rate, parameters))
    entries = {product.state for product in case.products} | {product.rate for product in case.products}
    for target, (file, row) in case.targets.items():
        if target in entries or (not case.products and target in states):
            continue
        if target not in states:
            what = f"a dose into {target!r}, which is no state of the model."
            yield Problem(what=what, remedy=did_you_mean(target, states), file=file, row=row)
        elif cells_per_unit(states[target], defined) not in (None, 1):
            what = f"a dose into {target!r}, which counts cells, but no product enters it."
            yield Problem(what=what, remedy="Name a product for it in products.tsv.", file=file, row=row)


def _names(formula: str, where: str) -> set[str]:
    from cellsim.formats.formulas import parse_formula

    return {str(symbol) for symbol in parse_formula(formula, where=where).free_symbols}
