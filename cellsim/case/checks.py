"""What can be wrong with a case that can be read: its tables are held against each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from cellsim.case.grading import scales_checked
from cellsim.case.records import SCORED, Censored, Measurement, Visit, problem_at
from cellsim.dates import ONE_INSTANT, apart
from cellsim.delimited import read_number, read_table_text
from cellsim.errors import Problem, UnitError, did_you_mean
from cellsim.petab.tables import number_text
from cellsim.units import conversion_factor

if TYPE_CHECKING:
    from cellsim.case.case import Case

__all__ = ["conversion_advice", "day_known", "is_number", "of_tables"]


def of_tables(case: Case) -> Iterator[Problem]:
    """Compare the tables of a case with each other."""
    yield from _scored(case)
    yield from _unseen(case)
    yield from _twice(case)
    yield from _contradictions(case)
    yield from _visits(case)
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    for row in values:
        yield from _row(case, row)
    yield from _printed(case)
    yield from _placeholders(case)
    for analyte in case.analytes:
        if not _broken(case) and not any(row.analyte == analyte.id for row in values):
            yield problem_at(
                analyte,
                f"no value of {analyte.observable} is scored.",
                "Remove it, or add its rows.",
                column="observableId",
            )


def unread(case: Case, *files: str) -> bool:
    """Whether some of these files are missing or have rows that could not be read, which was said once."""
    told = {each.file for each in case._noted if each.severity == "error"}
    return any(file in told or file not in case.files for file in files)


def _broken(case: Case) -> bool:
    """Whether something could not be read, which was said once: what is not there may be there."""
    return any(each.severity == "error" for each in case._noted)


def _scored(case: Case) -> Iterator[Problem]:
    """A case without any row that counts would be its priors again."""
    counted: list[object] = [
        *case.rows,
        *(each for each in case.censored if each.scored),
    ]
    counted += [each for each in case.grades if each.scored]
    if not counted and not _broken(case):
        what = "nothing is scored: no measurement, no censored value and no grade counts."
        yield Problem(
            what=what,
            remedy="Add rows to the measurement table, or set scored to true in extended.tsv.",
        )
    for row in case.grades:
        if row.scored and not row.quantity:
            yield problem_at(
                row, f"the grade of {row.observable} is scored, but no quantity predicts it.",
                "Name the model's quantity in the column quantity, or set scored to false.", column="quantity",
            )  # fmt: skip
        if row.scored and row.earliest < case.start:
            what = f"the grade of {row.observable} on day {row.earliest:g} is before the simulation starts on day {case.start:g}."
            remedy = "Start the experiment earlier, or set scored to false."
            yield problem_at(row, what, remedy, column="day")


def _twice(case: Case) -> Iterator[Problem]:
    """Every name once, every value once."""
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    groups: tuple[tuple[str, str, Iterable[tuple[object, object]]], ...] = (
        ("observable", "observableId", ((each.observable, each) for each in case.analytes)),
        ("visit", "visitId", ((each.id, each) for each in case.visits)),
        ("parameter", "parameterId", ((each.id, each) for each in case.priors)),
        ("variant", "model_subspace_id", ((each.id, each) for each in case.variants)),
        ("value of", "observableId", ((_assay(each), each) for each in values)),
        (
            "printed cell",
            "analyte",
            (((each.analyte, each.visit, each.value), each) for each in case.table1),
        ),
        (
            "grade of",
            "observableId",
            (((each.observable, each.day, each.calendar), each) for each in case.grades),
        ),
    )
    for kind, column, group in groups:
        seen: dict[object, object] = {}
        for name, where in group:
            if name in seen:
                first = seen[name]
                said = name if isinstance(name, str) else " at ".join(str(each) for each in name[:2] if each)  # type: ignore[index]
                place = f"{getattr(first, 'file', '')}, row {getattr(first, 'row', '')}"
                yield problem_at(
                    where,
                    f"{kind} {said} stands already in {place}.",
                    "A duplicated row counts twice: remove one, or, of two assays with one result, number them in a "
                    "column replicateId."
                    if kind == "value of"
                    else "A duplicated row counts twice: remove one.",
                    column=column,
                )
            seen.setdefault(name, where)


def _assay(row: Measurement | Censored) -> tuple[object, ...]:
    """What tells one assay from another: two results of an analyte at one visit are two rows, both scored."""
    result = row.value if isinstance(row, Measurement) else row.limit
    noise = row.noise_parameters if isinstance(row, Measurement) else row.censoring
    return (
        row.observable,
        row.visit or row.day,
        result,
        row.replicate,
        row.parameters,
        noise,
    )


def _contradictions(case: Case) -> Iterator[Problem]:
    """A value and a limit, or two limits, of one assay: one of them cannot be, or one sample counts twice."""
    scored: dict[tuple[str, object, str, tuple[str, ...]], list[Measurement | Censored]] = {}
    values: tuple[Measurement | Censored, ...] = (
        *case.rows,
        *(each for each in case.censored if each.scored),
    )
    for row in values:
        assay = (row.observable, row.visit or row.day, row.replicate, row.parameters)
        scored.setdefault(assay, []).append(row)
    for rows in scored.values():
        for k, row in enumerate(rows):
            for first in rows[:k]:
                if not isinstance(row, Censored):
                    continue  # values stand before limits; two values are two assays
                (low, high), (least, most) = _reach(first), _reach(row)
                apart = low > most or high < least
                if not apart and isinstance(first, Censored) and first.censoring != row.censoring:
                    continue  # between two limits
                said = (
                    f"{row.observable} at {row.visit or f'day {row.day:g}'} is {_as_read(row)} here and {_as_read(first)} in "
                    f"{first.file}, row {first.row}: "
                )
                said += "both cannot be." if apart else "both are scored, and one sample counts twice."
                remedy = "Keep one of them, or, of two assays, number them in a column replicateId."
                yield problem_at(row, said, remedy, "doubt", column=_value_column(row))


def _value_column(row: Measurement | Censored) -> str:
    """The column a scored row has its number in."""
    return "measurement" if isinstance(row, Measurement) else "limit"


def _day_column(row: Measurement | Censored) -> str:
    """The column a scored row has its day in."""
    return "time" if isinstance(row, Measurement) else "day"


def _reach(row: Measurement | Censored) -> tuple[float, float]:
    """Lowest and highest value that a row allows."""
    if isinstance(row, Measurement):
        return row.value, row.value
    return (-math.inf, row.limit) if row.censoring == "left" else (row.limit, math.inf)


def _as_read(row: Measurement | Censored) -> str:
    if isinstance(row, Measurement):
        return f"{row.value:g} {row.unit}"
    return f"{'<' if row.censoring == 'left' else '>'} {row.limit:g} {row.unit}"


def _visits(case: Case) -> Iterator[Problem]:
    for before, after in pairwise(case.visits):
        if after.nominal <= before.nominal:
            what = (
                f"visit {after.id!r} (day {after.nominal:g}) is not after {before.id!r} ({before.nominal:g})."
            )
            yield problem_at(after, what, "Each visit has a day of its own.", column="nominal")
        elif after.earliest < before.latest:
            what = (
                f"the windows of {before.id!r} (to day {before.latest:g}) "
                f"and {after.id!r} (from day {after.earliest:g}) overlap."
            )
            yield problem_at(after, what, "Each visit has days of its own.", column="earliest")
    beside = {each.id: each for each in case.priors if not each.standard}
    graded, found = scales_checked(case)
    yield from found
    read = {*graded, *(f"day_{visit.id}" for visit in case.visits)}
    for each in beside.values():
        if each.id not in read:
            yield problem_at(
                each,
                f"nothing reads {each.id!r}, which is neither the day of a visit nor a cut-point of grades.",
                did_you_mean(each.id, read) + " What the model uses stands in parameters.tsv.",
                column="parameterId",
            )
    values: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    for visit in case.visits:
        if visit.earliest < case.start:
            what = f"visit {visit.id!r} may be on day {visit.earliest:g}, before the simulation starts on day {case.start:g}."
            yield problem_at(
                visit,
                what,
                "Let the experiment start earlier: its first row has no condition.",
                column="earliest",
            )
        yield from _timing(case, visit)
        yield from _days(visit, [row for row in values if row.visit == visit.id])
        prior = beside.get(f"day_{visit.id}")
        if prior is None and visit.earliest < visit.latest:
            what = (
                f"the day of visit {visit.id!r} is uncertain; parameters_extended.tsv has no day_{visit.id}."
            )
            remedy = "Add it, uniform on the window; or make earliest and latest the nominal day."
            yield problem_at(visit, what, remedy, column="earliest")
        elif prior is not None and prior.nominal != visit.nominal:
            what = f"nominal {prior.id} = {prior.nominal:g}, but visits.tsv has day {visit.nominal:g}."
            yield problem_at(prior, what, "Write one day in both.", column="nominalValue")
        elif prior is not None and prior.estimate and prior.family == "uniform":
            window = (visit.earliest, visit.latest)
            if prior.parameters != window or (prior.lower, prior.upper) != window:
                lowest, highest = number_text(visit.earliest), number_text(visit.latest)
                what = f"{prior.id} is not uniform on {lowest} to {highest}, as in visits.tsv."
                remedy = f"Write {lowest};{highest}, and the same bounds, or correct the window."
                yield problem_at(prior, what, remedy, column="priorParameters")


def _unseen(case: Case) -> Iterator[Problem]:
    """Infusions that no sample could notice."""
    last = [visit.latest for visit in case.visits] + [each.latest for each in case.grades if each.scored]
    late = [each for each in case.timeline if last and each.day > max(last)]
    if late:
        what = (
            f"{len(late)} of {case.timeline.count} infusions are after the last sample (day {max(last):g}); the first of "
            f"them, of {late[0].product}, is on day {late[0].day:g}. No row can notice them."
        )
        yield Problem(
            what=what,
            remedy="Is a day or a date wrong?",
            file=_file_of(case),
            row=_row_of(case, late[0].day),
            column="time",
            severity="doubt",
        )


def _file_of(case: Case) -> str:
    """Where the infusions stand."""
    return next((name for name in case.files if name.startswith("experiment")), "")


def _row_of(case: Case, day: float) -> int | None:
    """The row of the infusions of a day."""
    rows = read_table_text(case.files.get(_file_of(case), ""), "\t").rows
    return next((row for row, cells in rows if cells.get("time", "").strip() == number_text(day)), None)


def _timing(case: Case, visit: Visit) -> Iterator[Problem]:
    """Before or after the dose of its day: that day must be known, and have a dose."""
    if not visit.timing:
        return
    if not day_known(case, visit):
        what = f"visit {visit.id!r} is {visit.timing}, but its day is estimated between {visit.earliest:g} and {visit.latest:g}."
        yield problem_at(visit, what, "Leave timing empty, or state one day.", column="timing")
    elif not any(each.day == visit.nominal for each in case.timeline):
        nearest = min(
            (each.day for each in case.timeline), key=lambda day: abs(day - visit.nominal), default=None
        )
        what = f"visit {visit.id!r} is {visit.timing}, but nothing is given on day {visit.nominal:g}."
        remedy = "Nothing is given at all."
        if nearest is not None:
            remedy = f"The nearest dose is on day {nearest:g}."
            if abs(nearest - visit.nominal) <= ONE_INSTANT:
                remedy += f" The sample is {apart(visit.nominal, nearest)} it, and read there: write {nearest!r} for both."
        yield problem_at(visit, what, remedy, "doubt", column="timing")


def day_known(case: Case, visit: Visit) -> bool:
    """Whether a visit's day is fixed, not estimated."""
    beside = {each.id: each for each in case.priors if not each.standard}
    prior = beside.get(f"day_{visit.id}")
    return visit.earliest == visit.latest if prior is None else not prior.estimate


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
        yield problem_at(visit, what, "Correct the visit, or its rows.", column="nominal")
        return
    for row in off:
        if visit.earliest <= row.day <= visit.latest:
            what = (
                f"day {row.day:g}, but visit {visit.id!r} is nominally on day {visit.nominal:g} (visits.tsv)."
            )
            yield problem_at(row, what, "One visit has one day.", column=_day_column(row))
        else:
            what = (
                f"day {row.day:g} is outside of visit {visit.id!r} ({visit.earliest:g} to {visit.latest:g})."
            )
            yield problem_at(row, what, "Correct the day, or the visit.", column=_day_column(row))


def _row(case: Case, row: Measurement | Censored) -> Iterator[Problem]:
    """One scored value against its observable and its visit."""
    value = row.value if isinstance(row, Measurement) else row.limit
    analyte = next((each for each in case.analytes if each.observable == row.observable), None)
    if analyte is not None and analyte.distribution.startswith("log") and value <= 0:
        what = f"{row.observable} = {value:g} {row.unit}: with {analyte.distribution} noise a value is above zero."
        remedy = "Is a sign wrong, or is the value below a limit of detection? Changes and balances have normal noise."
        yield problem_at(row, what, remedy, column=_value_column(row))
    if analyte is not None:
        if row.unit and analyte.unit and (remedy := conversion_advice(row.unit, analyte.unit)):
            what = f"{row.observable} in {row.unit!r}, but {analyte.observable} is in {analyte.unit!r}."
            yield problem_at(row, what, remedy, column="unit")
        for kind, given, wanted in (
            ("observableParameters", row.parameters, analyte.placeholders),
            (
                "noiseParameters",
                getattr(row, "noise_parameters", ()),
                analyte.noise_placeholders,
            ),
        ):
            if len(given) != len(wanted):
                names = f" ({', '.join(wanted)})" if wanted else ""
                yield problem_at(
                    row,
                    f"{len(given)} {kind}, but {row.observable} takes {len(wanted)}{names}.",
                    "Write one for each, joined by ';'." if wanted else "Empty the cell.",
                    column=kind,
                )
            known = {each.id for each in case.priors if each.standard}
            for name in given:
                if known and not is_number(name) and name not in known:
                    yield problem_at(
                        row,
                        f"{kind}: no parameter {name!r}.",
                        did_you_mean(name, known),
                        column=kind,
                    )
    known_visits = [each.id for each in case.visits]
    if row.visit and row.visit not in known_visits and not unread(case, "visits.tsv"):
        remedy = did_you_mean(row.visit, known_visits)
        yield problem_at(row, f"no visit {row.visit!r}.", remedy, column="visitId")
    if isinstance(row, Measurement) and case.experiment not in ("", row.experiment):
        yield problem_at(
            row,
            f"no experiment {row.experiment!r}.",
            did_you_mean(row.experiment, [case.experiment]),
            column="experimentId",
        )
    if case.experiment and row.day < case.start:
        yield problem_at(
            row,
            f"day {row.day:g} is before the simulation starts on day {case.start:g}.",
            "Correct the day, or let the experiment start earlier: its first row has no condition.",
            column=_day_column(row),
        )


def _printed(case: Case) -> Iterator[Problem]:
    """The scored rows against the printed table: nothing lost, nothing changed, nothing counted twice."""
    scored: dict[tuple[str, str], list[Measurement]] = {}
    for each in case.rows:
        scored.setdefault((each.analyte, each.visit), []).append(each)
    short = {(row.analyte, row.visit): row for row in case.censored}
    # a column or file that cannot be read was complained about once; not again for every cell
    complete = bool(case.rows)
    names = {each.analyte for each in case.table1}
    for cell in case.table1:
        named = f"{cell.analyte} at {cell.visit}"
        rows = scored.get((cell.analyte, cell.visit), [])
        row = next(
            (each for each in rows if each.value == cell.value),
            rows[0] if rows else None,
        )
        if cell.status not in SCORED:
            if row is not None:
                place = f"{cell.file}, row {cell.row}"
                what = f"{named} is {cell.status} ({place}) and must not be scored as a number."
                yield problem_at(
                    row,
                    what,
                    f"Remove one of them.{f' {cell.doubt[0].upper()}{cell.doubt[1:]}.' if cell.doubt else ''}",
                    column="measurement",
                )
            below = short.get((cell.analyte, cell.visit))
            if cell.status == "censored" and (below is None or not below.scored):
                yield problem_at(
                    cell,
                    f"{named} is censored, and no scored row of extended.tsv has it.",
                    "Was it lost?",
                    column="status",
                )
            elif cell.status == "censored" and below is not None and below.limit != cell.value:
                yield problem_at(
                    below,
                    f"limit {below.limit:g}, but {cell.file}, row {cell.row} has {cell.value:g}.",
                    "Correct one of them.",
                    column="limit",
                )
            continue
        if row is None:
            if complete:
                yield problem_at(
                    cell,
                    f"{named} is {cell.status}, and no row of the measurements has it.",
                    "Was it lost?",
                    column="analyte",
                )
            continue
        analyte = next((each for each in case.analytes if each.id == cell.analyte), None)
        # a unit that is not the observable's own was complained about where the row was judged
        unit_told = analyte is not None and conversion_advice(row.unit, analyte.unit)
        if row.value != cell.value or (conversion_advice(row.unit, cell.unit) and not unit_told):
            place = f"{cell.file}, row {cell.row}"
            what = f"{named} is {row.value:g} {row.unit}, but {place} has {cell.value:g} {cell.unit}."
            yield problem_at(row, what, "Correct one of them.", column="measurement")
        if analyte is not None and (analyte.lower, analyte.upper) != (
            cell.lower,
            cell.upper,
        ):
            limits = " to ".join("none" if each is None else f"{each:g}" for each in (cell.lower, cell.upper))
            what = f"reference limits {limits}, but {analyte.observable} has {analyte.range_text or 'none'}."
            yield problem_at(cell, what, "Correct one of them.", column="referenceLower")
    for row in case.rows:
        if case.table1 and not any((c.analyte, c.visit) == (row.analyte, row.visit) for c in case.table1):
            what = f"{row.analyte} at {row.visit} stands in no row of table1.tsv."
            yield problem_at(
                row,
                what,
                did_you_mean(row.analyte, names)
                if row.analyte not in names
                else "Add it there, or empty table1.tsv.",
                column="observableId",
            )


def conversion_advice(given: str, wanted: str) -> str:
    """How a value in one unit comes to stand in another; empty when both say the same."""
    if given == wanted:
        return ""
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
                yield problem_at(
                    analyte,
                    f"placeholder {name!r} belongs to another observable already.",
                    "Give it a name of its own.",
                    column="observablePlaceholders" if name in analyte.placeholders else "noisePlaceholders",
                )
            seen.add(name)


def is_number(text: str) -> bool:
    """Whether the filling of a placeholder is a finite number, not the name of a parameter."""
    try:
        return math.isfinite(read_number(text))
    except ValueError:
        return False
