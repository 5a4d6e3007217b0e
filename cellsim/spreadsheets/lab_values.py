"""A laboratory sheet as people keep it, read into analytes, visits and values, each with its cell.

Three shapes are understood: one row a value (analyte, value, and when), one row an analyte (a column for each visit),
and one row a visit (a column for each analyte). What is guessed is doubted by cell; what cannot be read is refused by
cell, all of it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from cellsim.errors import CaseError, Problem
from cellsim.spreadsheets.lab_reader import LabAnalyte, LabReader, LabValue, LabVisit, bare_unit
from cellsim.spreadsheets.sheet import Cell, Sheet
from cellsim.spreadsheets.slips import meant
from cellsim.units import parse_unit

__all__ = ["LabAnalyte", "LabTable", "LabValue", "LabVisit", "days_of_visits", "lab_table"]

_WORDS = {
    "date": "date sampledate samplingdate collectiondate collected drawn sampled datum visitdate datetime",
    "day": "day days studyday time tag dayno",
    "visit": "visit visitid timepoint occasion sample visite visitname",
    "analyte": "analyte test parameter marker biomarker assay analysis labtest name item variable",
    "value": "value result measurement concentration ergebnis wert level",
    "unit": "unit units einheit",
    "range": "range referencerange reference normal normalrange refrange referenceinterval normalvalues",
    "low": "low lower min lln referencelower lowerlimit referencelow lowerreference lowernormal",
    "high": "high upper max uln referenceupper upperlimit referencehigh upperreference uppernormal",
    "panel": "panel group category",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_OF_DOSES = ("product", "drug")
_SECONDS = 86400.0


@dataclass(frozen=True)
class LabTable:
    """A laboratory sheet, read.

    Attributes
    ----------
    file : str
    analytes, visits, values : tuple
        In the order of the sheet.
    doubts : tuple of Problem
        What was guessed, each with its cell.
    dated_days : tuple of (datetime, float, Cell)
        Study days that stand beside a date.
    """

    file: str
    analytes: tuple[LabAnalyte, ...]
    visits: tuple[LabVisit, ...]
    values: tuple[LabValue, ...]
    doubts: tuple[Problem, ...]
    dated_days: tuple[tuple[datetime, float, Cell], ...] = ()


def _letters(cell: Cell) -> str:
    return re.sub(r"[^a-z]", "", cell.text.lower()) if isinstance(cell.value, str) else ""


def _kind(cell: Cell) -> str:
    """What a column is called after: date, day, visit, analyte, value, unit, range, low, high; '' for another word."""
    # day 28 and visit 2 are one of several columns of a kind
    return "" if re.search(r"\d", cell.text) else _KINDS.get(_letters(cell), "")


def lab_table(sheet: Sheet) -> LabTable:
    """Read a sheet of laboratory values.

    Parameters
    ----------
    sheet : Sheet
        See :func:`cellsim.spreadsheets.sheet.read_sheet`. A header names, for one row a value, the analyte, the value, and a
        date, a day or a visit; for one row an analyte, the analyte, and every visit by its date, its day or its name;
        for one row a visit, its date, day or name, and every analyte, its unit in brackets. Unit, range, low, high and
        panel are further columns, or further rows below the header.

    Returns
    -------
    LabTable

    Raises
    ------
    CaseError
        With every cell that cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> from cellsim.spreadsheets.sheet import read_sheet
    >>> frame = pd.DataFrame({"date": ["2023-10-06", "2023-11-10"], "CRP (mg/L)": ["12.5", "<0.9"]})
    >>> found = lab_table(read_sheet(frame))
    >>> [(each.value, each.censoring) for each in found.values], found.analytes[0].unit
    ([(12.5, ''), (0.9, 'left')], 'mg/L')
    """
    header = next(
        (k for k, row in enumerate(sheet.rows) if sum(cell.value is not None for cell in row) > 1), None
    )
    if header is None:
        raise CaseError(
            f"{sheet.file} has no row with two cells, so there is no table of values in it. "
            "The header names the analyte, the value and the date."
        )
    reader = LabReader.of(sheet)
    for row in sheet.rows[:header]:
        for cell in row:
            if cell.value is not None:
                what = f"{cell.text[:40]!r} stands above the header and is not read."
                reader.complain(cell, what, "Delete it if nothing is lost.", severity="doubt")
    kinds = [_kind(cell) for cell in sheet.rows[header]]
    body = sheet.rows[header + 1 :]
    top = sheet.rows[header]
    for kind in dict.fromkeys(filter(None, kinds)):
        at = [cell for cell, each in zip(top, kinds, strict=True) if each == kind]
        for more in at[1:]:
            said = f"{more.text!r} and {at[0].text!r} ({at[0].place}) both say the {kind}"
            if kind in ("analyte", "value", "unit", "range", "low", "high"):
                reader.complain(more, f"{said}.", "Keep one.")
            else:
                reader.complain(more, f"{said}; the first is read.", "Keep one.", severity="doubt")
    by_analyte = "analyte" in kinds or (not {"date", "day", "visit"} & set(kinds) and top[0].value is None)
    # names of analytes may stand under none
    first = 1 if by_analyte and "analyte" not in kinds else 0
    reader.nameless(top[first:], [row[first:] for row in body])
    reader.one_patient(top, body)
    if given := _names_products(top, kinds, body):
        what = f"{given.text!r} is a column of doses, and this is read as the sheet of laboratory values."
        reader.complain(
            given, what, "Are the two sheets exchanged? Values come first (--values), then doses."
        )
    elif lacking := _lacking(top, kinds):
        remedy = f"Call a column {lacking[0]}.{_meant_for(top, kinds)}"
        reader.complain(_at_fault(top, kinds, lacking[0]), f"no column {lacking[1]}.", remedy)
    elif "analyte" in kinds and "value" in kinds:
        _long(reader, top, kinds, body)
    elif by_analyte:
        _row_an_analyte(reader, top, kinds if "analyte" in kinds else ["analyte", *kinds[1:]], body)
    elif {"date", "day", "visit"} & set(kinds):
        _row_a_visit(reader, top, kinds, body)
    else:
        names = ", ".join(cell.text for cell in top if cell.value is not None)
        reader.complain(
            top[0],
            f"the header ({names[:80]}) names neither an analyte nor a date, day or visit.",
            "Call the columns analyte, value, unit and date; or date and one column for each analyte."
            + _meant_for(top, kinds),
        )
    _judge(reader)
    return LabTable(
        sheet.file,
        tuple(reader.analytes),
        tuple(reader.visits),
        tuple(reader.values),
        tuple(reader.all_told()),
        tuple(reader.days),
    )


def _judge(reader: LabReader) -> None:
    if not reader.values and not any(each.severity == "error" for each in reader.problems):
        reader.complain(reader.sheet.rows[0][0], "no value stands in this sheet.", "Is it another sheet?")
    wrong = [each for each in reader.problems if each.severity == "error"]
    if wrong:
        raise CaseError(wrong)
    reader.doubt_slips()


def _columns(top: Sequence[Cell], kinds: Sequence[str]) -> dict[str, int]:
    return {kind: k for k, kind in reversed(list(enumerate(kinds))) if kind and top[k].value is not None}


def _limits(
    reader: LabReader, cells: Mapping[str, Cell], unit: str
) -> tuple[tuple[float | None, float | None], Cell | None]:
    """Both reference limits of an analyte from the cells of its range, low and high; and the cell of the first."""
    low, high = reader.limits(cells["range"], unit) if "range" in cells else (None, None)
    if "low" in cells and cells["low"].value is not None:
        low = reader.limit(cells["low"])
    if "high" in cells and cells["high"].value is not None:
        high = reader.limit(cells["high"])
    at = next((cells[kind] for kind in ("low", "high", "range") if kind in cells and cells[kind].text), None)
    if at is not None and low is not None and high is not None and not low < high:
        what = f"the lower limit {low:g} is not below the upper one, {high:g}."
        reader.complain(at, what, "Exchange them if they stand in each other's place.")
        return (None, None), at
    return (low, high), at


def _about(at: Mapping[str, int], row: Sequence[Cell]) -> dict[str, Cell]:
    """The cells of a row that say something of its analyte."""
    return {kind: row[at[kind]] for kind in ("unit", "range", "low", "high") if kind in at}


def _names_products(top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]) -> Cell | None:
    """The header of a column of names of products, which a sheet of doses has; a drug's own level is a number."""
    if "analyte" in kinds:
        return None
    for k, cell in enumerate(top):
        names = [row[k] for row in body if isinstance(row[k].value, str)]
        if _letters(cell) in _OF_DOSES and any(re.fullmatch(r"[^\d<>]{2,}", each.text) for each in names):
            return cell
    return None


def _lacking(top: Sequence[Cell], kinds: Sequence[str]) -> tuple[str, str] | None:
    """The kind of column that one row a value lacks although others of its columns are there, and what that is for."""
    if "value" in kinds and "analyte" not in kinds:
        return "analyte", "names the analyte of a value"
    if "analyte" in kinds and "value" not in kinds and {"date", "day", "visit"} & set(kinds):
        return "value", "holds the values"
    return None


def _at_fault(top: Sequence[Cell], kinds: Sequence[str], *wanted: str) -> Cell:
    """The header that is all but a word for one of the wanted columns; the first where none is."""
    near = (
        cell
        for cell, kind in zip(top, kinds, strict=True)
        if not kind and _KINDS.get(meant(cell.text, _KINDS)) in wanted
    )
    return next(near, top[0])


def _meant_for(top: Sequence[Cell], kinds: Sequence[str]) -> str:
    """Which of the headers that no column has is all but a word for one; as the end of a remedy."""
    near = [
        f"{cell.text!r} ({cell.place}) for {found!r}"
        for cell, kind in zip(top, kinds, strict=True)
        if not kind and (found := meant(cell.text, _KINDS))
    ]
    return f" Is {' and '.join(near)} meant?" if near else ""


def _text_at(at: dict[str, int], kind: str, row: Sequence[Cell]) -> str:
    return row[at[kind]].text if kind in at else ""


def _ignored(reader: LabReader, cells: Iterator[Cell]) -> None:
    for cell in cells:
        found = meant(cell.text, _KINDS)
        remedy = f"Did you mean {found!r}?" if found else "Delete it, or leave it if it holds no values."
        reader.complain(cell, f"the column {cell.text!r} is not read.", remedy, severity="doubt")


def _long(
    reader: LabReader, top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]
) -> None:
    at = _columns(top, kinds)
    if not {"date", "day", "visit"} & at.keys():
        remedy = f"Add a column date, day or visit.{_meant_for(top, kinds)}"
        at_fault = _at_fault(top, kinds, "date", "day", "visit")
        reader.complain(at_fault, "no column says when a value was taken.", remedy)
        return
    _ignored(
        reader, (cell for cell, kind in zip(top, kinds, strict=True) if not kind and cell.value is not None)
    )
    seen: dict[tuple[int, int], Cell] = {}
    for row in body:
        if row[at["analyte"]].value is None:
            if row[at["value"]].value is not None:
                reader.complain(
                    row[at["value"]], f"{row[at['value']].text} has no analyte beside it.", "Name it."
                )
            continue
        name = _text_at(at, "visit", row)
        when, told = reader.when_of(at, row)
        cell = told or row[at["analyte"]]
        if when is None and not name:
            if told is None:
                reader.complain(
                    cell, f"nothing says when {cell.text} was taken.", "Write its date, day or visit."
                )
            continue
        about = _about(at, row)
        limits, limits_cell = _limits(reader, about, about["unit"].text if "unit" in about else "")
        analyte = reader.analyte(
            row[at["analyte"]], about.get("unit"), limits, _text_at(at, "panel", row), limits_cell=limits_cell
        )
        reader.named.setdefault(reader.analytes[analyte].name, []).append(row[at["analyte"]])
        visit = reader.visit(name, when, cell, name_cell=row[at["visit"]] if name else None)
        count = len(reader.values)
        reader.add(analyte, visit, row[at["value"]])
        if len(reader.values) > count:
            _doubt_assay(reader, seen, (analyte, visit), row[at["value"]])


def _doubt_assay(
    reader: LabReader, seen: dict[tuple[int, int], Cell], assay: tuple[int, int], cell: Cell
) -> None:
    """Doubt a second value of an analyte at a visit: another assay, or a row that was copied."""
    if assay in seen:
        name = reader.analytes[assay[0]].name
        what = f"{name} has a value of this visit in {seen[assay].place} too; both are read as assays of one sample"
        reader.guess("assays", cell, what, "Delete one if it is a copy, or correct its date.")
    seen.setdefault(assay, cell)


def _row_an_analyte(
    reader: LabReader, top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]
) -> None:
    at = _columns(top, kinds)
    at["analyte"] = kinds.index("analyte")
    columns = [
        k
        for k, (cell, kind) in enumerate(zip(top, kinds, strict=True))
        if not kind and cell.value is not None
    ]
    dates = next((row for row in body if _kind(row[at["analyte"]]) in ("date", "day")), None)
    visits: dict[int, int] = {}
    columns_of: dict[int, Cell] = {}
    read: list[int] = []
    for k in columns:
        cell, name = top[k], ""
        if not reader.is_time(cell):
            name = cell.text
        when = None if name else reader.when(cell, day=True)
        if dates is not None and name:
            when = reader.when(dates[k], day=_kind(dates[at["analyte"]]) == "day")
        if name or when is not None:
            visits[k] = reader.visit(name, when, cell)
            reader.doubt_repeat(cell, visits[k], columns_of)
    for row in body:
        cell = row[at["analyte"]]
        if row is dates:
            continue
        if cell.value is None:
            _nameless(reader, row)
            continue
        about = _about(at, row)
        limits, limits_cell = _limits(reader, about, about["unit"].text if "unit" in about else "")
        analyte = reader.analyte(
            cell, about.get("unit"), limits, _text_at(at, "panel", row), limits_cell=limits_cell
        )
        read.append(analyte)
        reader.doubt_twice(cell, read)
        for k, visit in visits.items():
            reader.add(analyte, visit, row[k])


def _nameless(reader: LabReader, row: Sequence[Cell]) -> None:
    for cell in row:
        if cell.value is not None:
            reader.complain(cell, f"{cell.text!r} stands in a row without a name.", "Name the row.")
            return


def _row_a_visit(
    reader: LabReader, top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]
) -> None:
    at = _columns(top, kinds)
    first = min(at[kind] for kind in ("date", "day", "visit") if kind in at)
    columns = [
        k
        for k, (cell, kind) in enumerate(zip(top, kinds, strict=True))
        if not kind and cell.value is not None
    ]
    about = {kind: row for row in body if (kind := _kind(row[first])) in ("unit", "range", "low", "high")}
    if "unit" not in about and body and _is_row_of_units(at, columns, body[0]):
        about["unit"] = body[0]
        cell = next(body[0][k] for k in columns if body[0][k].value is not None)
        what = f"the row of {cell.text!r} is read as the units of its columns"
        reader.guess("row of units", cell, what, "Write unit into its first cell if that is right.")
    positions: dict[int, int] = {}
    for k in columns:
        cells = {kind: row[k] for kind, row in about.items()}
        limits, limits_cell = _limits(reader, cells, cells["unit"].text if "unit" in cells else "")
        positions[k] = reader.analyte(top[k], cells.get("unit"), limits, limits_cell=limits_cell)
        reader.doubt_twice(top[k], list(positions.values()))
    rows_of: dict[int, Cell] = {}
    for number, row in enumerate(body):
        if any(row is each for each in about.values()):
            continue
        when, told = reader.when_of(at, row)
        cell, name = told or row[at.get("date", at.get("day", first))], _text_at(at, "visit", row)
        if all(row[k].value is None for k in positions):
            what = f"no value stands in the row of {row[first].text!r}, which is not read"
            reader.guess("empty row", row[first], what, "Delete it if nothing is lost.")
            continue
        if when is None and not name:
            said = f"visit {number + 1} has neither a date nor a day; it is placed between its neighbours."
            reader.complain(cell, said, "Write the date if it is known.", severity="doubt")
            name = f"visit {number + 1}"
        named = row[at["visit"]] if _text_at(at, "visit", row) else None
        visit = reader.visit(name, when, cell, name_cell=named)
        reader.doubt_repeat(named or cell, visit, rows_of)
        for k, analyte in positions.items():
            reader.add(analyte, visit, row[k])


def _is_row_of_units(at: Mapping[str, int], columns: Sequence[int], row: Sequence[Cell]) -> bool:
    """Whether a row says nothing of a visit, and a unit in each of its cells."""
    filled = [row[k] for k in columns if row[k].value is not None]
    if not filled or any(row[at[kind]].value is not None for kind in ("date", "day", "visit") if kind in at):
        return False
    for cell in filled:
        try:
            parse_unit(bare_unit(cell))
        except Exception:  # no unit, so no row of units
            return False
    return all(isinstance(cell.value, str) for cell in filled)


def days_of_visits(table: LabTable, zero: date | None) -> list[float | None]:
    """The study day of every visit, counted from `zero`; None where it is not told.

    Raises
    ------
    CaseError
        Visits have dates and nothing says which date is day 0.
    """
    out: list[float | None] = []
    for visit in table.visits:
        if isinstance(visit.when, datetime):
            if zero is None:
                raise CaseError(f"{table.file}: dates need a day 0; give it, or the doses with their dates.")
            out.append((visit.when - datetime.combine(zero, time())) / timedelta(seconds=_SECONDS))
        else:
            out.append(visit.when)
    return out
