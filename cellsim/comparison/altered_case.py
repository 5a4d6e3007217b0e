"""A case with one of its alternatives taken for true: its tables rewritten and read again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.case.case import load_case
from cellsim.case.siblings import rewritten, tables_of
from cellsim.dates import date_of
from cellsim.dosing.schedule import Schedule
from cellsim.petab.doses_write import experiment_from_schedule
from cellsim.petab.tables import TableRow, listed, number_text, table_text

if TYPE_CHECKING:
    from cellsim.case.alternatives import Alternative
    from cellsim.case.case import Case

__all__ = ["altered"]


def altered(case: Case, alternative: Alternative) -> Case:
    """The sibling of a case in which an alternative holds.

    Other days of infusion move what is tied to them: an edge of a window (of a visit, or of a grade) that falls on an
    infusion goes with it, and a nominal day left outside keeps its place in the window. Another reference limit moves the prior of
    the analyte's own baseline when that is centred on the limits: on their geometric mean, or half of a single one.

    Parameters
    ----------
    case : Case
    alternative : Alternative
        Of a product's days or of an analyte's limits.

    Returns
    -------
    Case

    Raises
    ------
    CaseError
        If the tables contradict each other then.

    Examples
    --------
    >>> case = load_case("sjogren_rfib")
    >>> other = altered(case, next(each for each in case.alternatives if each.id == "gap_35"))
    >>> [visit.latest for visit in other.visits], other.schedule.infusions[4].day
    ([0.0, 56.0, 365.0], 56.0)
    """
    files = _moved(case, alternative) if alternative.product else _limited(case, alternative)
    return load_case({**case.files, **files})


# ---- other days -----------------------------------------------------------------------------------


def _moved(case: Case, alternative: Alternative) -> dict[str, str]:
    own = [each for each in case.timeline if each.product == alternative.product]
    days = dict(zip((each.day for each in own), alternative.days, strict=False))
    timeline = Schedule(
        (
            *(each for each in case.timeline if each.product != alternative.product),
            *(replace(each, day=day) for each, day in zip(own, alternative.days, strict=True)),
        ),
        case.products,
        case.day_zero,
    )
    files = _treatment(case, timeline)

    def window(low: float, high: float, nominal: float) -> tuple[float, float, float]:
        new_low, new_high = days.get(low, low), days.get(high, high)
        share = (nominal - low) / (high - low) if high > low else 0.0
        if (new_low, new_high) == (low, high) or new_low <= nominal <= new_high:
            return new_low, new_high, nominal
        return new_low, new_high, new_low + share * (new_high - new_low)

    visits = {each.id: window(each.earliest, each.latest, each.nominal) for each in case.visits}

    def visit_row(line: TableRow) -> dict[str, str]:
        return dict(
            zip(("earliest", "latest", "nominal"), map(number_text, visits[line.of("visitId")]), strict=True)
        )

    def measured_row(line: TableRow) -> dict[str, str]:
        return {"time": number_text(visits[line.of("visitId")][2])} if line.of("visitId") in visits else {}

    def day_prior(line: TableRow) -> dict[str, str]:
        where = visits.get(line.of("parameterId").removeprefix("day_"))
        if where is None or line.of("priorDistribution") != "uniform":
            return {}
        low, high, nominal = map(number_text, where)
        return {
            "lowerBound": low,
            "upperBound": high,
            "nominalValue": nominal,
            "priorParameters": f"{low};{high}",
        }

    def extended_row(line: TableRow) -> dict[str, str]:
        if line.of("visitId") in visits:
            low, high, nominal = visits[line.of("visitId")]
        else:
            nominal = float(line.of("day"))
            low, high = (float(line.of(column) or nominal) for column in ("earliest", "latest"))
            low, high, nominal = window(low, high, nominal)
        cells = {"day": nominal, "earliest": low, "latest": high}
        return {column: number_text(value) for column, value in cells.items() if line.of(column)}

    files |= rewritten(case.files, "visits.tsv", visit_row)
    files |= rewritten(case.files, "parameters_extended.tsv", day_prior)
    files |= rewritten(case.files, "extended.tsv", extended_row)
    for file in tables_of(case, "measurement_files"):
        files |= rewritten(case.files, file, measured_row)
    return files


def _treatment(case: Case, timeline: Schedule) -> dict[str, str]:
    """The experiment and its conditions, written anew."""
    rows, conditions = experiment_from_schedule(
        timeline, start=case.start, experiment=case.experiment, cells_per_unit=case.cells_per_unit
    )
    if case.day_zero is not None:
        rows = [{**row, "date": str(date_of(float(row["time"]), case.day_zero))} for row in rows]
    (experiment, *others), (change, *rest) = (
        tables_of(case, key) for key in ("experiment_files", "condition_files")
    )
    columns = list(dict.fromkeys(column for row in rows for column in row))
    header = ("conditionId", "targetId", "targetValue")
    return {
        experiment: table_text(columns, rows),
        change: table_text(header, conditions),
        **{file: table_text(("experimentId", "time", "conditionId"), []) for file in others},
        **{file: table_text(header, []) for file in rest},
    }


# ---- other limits ---------------------------------------------------------------------------------


def _limited(case: Case, alternative: Alternative) -> dict[str, str]:
    about = case.analyte(alternative.analyte)
    limits = {
        "referenceLower": "" if alternative.lower is None else number_text(alternative.lower),
        "referenceUpper": "" if alternative.upper is None else number_text(alternative.upper),
    }
    before, after = _centre(about.lower, about.upper), _centre(alternative.lower, alternative.upper)

    def of_analyte(line: TableRow) -> dict[str, str]:
        mine = line.of("analyte") == about.id or line.of("observableId") == about.observable
        return {column: text for column, text in limits.items() if mine and column in line}

    def baseline(line: TableRow) -> dict[str, str]:
        own = line.of("parameterId") == about.baseline and line.of("priorDistribution") == "log-normal"
        if not own or not before or not after or line.of("estimate") != "true":
            return {}
        mean, sd = listed(line.of("priorParameters"))
        if not np.isclose(float(mean), np.log(before), atol=1e-3):
            return {}
        moved = float(mean) + float(np.log(after / before))
        return {"nominalValue": number_text(float(np.exp(moved))), "priorParameters": f"{moved!r};{sd}"}

    files: dict[str, str] = {}
    for file in (*tables_of(case, "observable_files"), *tables_of(case, "measurement_files"), "table1.tsv"):
        files |= rewritten(case.files, file, of_analyte)
    for file in tables_of(case, "parameter_files"):
        files |= rewritten(case.files, file, baseline)
    return files


def _centre(lower: float | None, upper: float | None) -> float | None:
    """Where the prior of a baseline is centred when it comes from reference limits; None without any."""
    if lower and upper:
        return float(np.sqrt(lower * upper))
    return upper / 2 if upper else None
