"""A laboratory sheet as people keep it, read into analytes, visits and values, each with its cell.

Three shapes are understood: one row a value (analyte, value, and when), one row an analyte (a column for each visit),
and one row a visit (a column for each analyte). What is guessed is doubted by cell; what cannot be read is refused by
cell, all of it at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta

from cellsim.errors import CaseError, Problem
from cellsim.spreadsheets.cell_reader import CellReader
from cellsim.spreadsheets.sheet import Cell, Sheet

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
_BRACKETED = re.compile(r"(.+?)\s*[\[(]([^\[\]()]+)[\])]\s*")
_SECONDS = 86400.0


@dataclass(frozen=True)
class LabAnalyte:
    """One laboratory quantity: its name as written, unit, reference limits and panel, and the cell of its name."""

    name: str
    unit: str
    low: float | None
    high: float | None
    panel: str
    cell: Cell


@dataclass(frozen=True)
class LabVisit:
    """One sampling occasion: its name, its date, its day or neither, and the cell that says so."""

    name: str
    when: datetime | float | None
    cell: Cell


@dataclass(frozen=True)
class LabValue:
    """One value: number, ``"left"`` or ``"right"`` where it is only a limit, analyte and visit by position."""

    analyte: int
    visit: int
    value: float
    censoring: str
    cell: Cell


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
    """

    file: str
    analytes: tuple[LabAnalyte, ...]
    visits: tuple[LabVisit, ...]
    values: tuple[LabValue, ...]
    doubts: tuple[Problem, ...]


@dataclass
class _LabReader(CellReader):
    """One laboratory sheet while it is read: what was found, and what is wrong."""

    analytes: list[LabAnalyte] = field(default_factory=list)
    visits: list[LabVisit] = field(default_factory=list)
    values: list[LabValue] = field(default_factory=list)

    def analyte(
        self,
        cell: Cell,
        unit: str = "",
        limits: tuple[float | None, float | None] = (None, None),
        panel: str = "",
    ) -> int:
        """The position of an analyte by its name; limits and unit of a later row must not differ."""
        name = cell.text
        if not unit and (found := _BRACKETED.fullmatch(name)):
            name, unit = found[1], found[2].strip()
        low, high = limits
        for k, known in enumerate(self.analytes):
            if known.name.casefold() != name.casefold():
                continue
            for what, one, other in (
                ("unit", known.unit, unit), ("lower limit", known.low, low), ("upper limit", known.high, high)
            ):  # fmt: skip
                if one not in ("", None) and other not in ("", None) and one != other:
                    self.complain(
                        cell,
                        f"{name} has the {what} {other} here, and {one} in {known.cell.place}.",
                        f"Use one {what} for all values of an analyte.",
                    )
            self.analytes[k] = replace(
                known,
                unit=known.unit or unit,
                low=known.low if known.low is not None else low,
                high=known.high if known.high is not None else high,
            )
            return k
        self.analytes.append(LabAnalyte(name, unit, low, high, panel, cell))
        return len(self.analytes) - 1

    def visit(self, name: str, when: datetime | float | None, cell: Cell) -> int:
        """The position of a visit: one name is one visit, and so is one date without names."""
        for k, known in enumerate(self.visits):
            same_name = bool(name) and known.name.casefold() == name.casefold()
            if same_name and when is not None and known.when is not None and known.when != when:
                self.complain(
                    cell,
                    f"visit {name} is on {_said(when)} here, and on {_said(known.when)} in {known.cell.place}.",
                    "One visit has one date; name the second otherwise.",
                )
                return k
            if same_name or (not name and not known.name and when is not None and known.when == when):
                if known.when is None:
                    self.visits[k] = replace(known, when=when)
                return k
        self.visits.append(LabVisit(name, when, cell))
        return len(self.visits) - 1

    def doubt_twice(self, cell: Cell, read: Sequence[int]) -> None:
        """Doubt the last of the analytes read when it was there before."""
        if read[-1] in read[:-1]:
            about = self.analytes[read[-1]]
            said = (
                f"{about.name} stands in {about.cell.place} too; both are read as assays of the same samples."
            )
            self.complain(cell, said, "Name one otherwise if it is another quantity.", severity="doubt")

    def add(self, analyte: int, visit: int, cell: Cell) -> None:
        """The value in a cell, when there is one."""
        if found := self.value(cell, self.analytes[analyte].unit):
            self.values.append(LabValue(analyte, visit, *found, cell))


def _said(when: datetime | float) -> str:
    return f"day {when:g}" if isinstance(when, float) else str(when.date())


def _kind(cell: Cell) -> str:
    """What a column is called after: date, day, visit, analyte, value, unit, range, low, high; '' for another word."""
    return _KINDS.get(re.sub(r"[^a-z]", "", cell.text.lower()), "") if isinstance(cell.value, str) else ""


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
    reader = _LabReader.of(sheet)
    for row in sheet.rows[:header]:
        for cell in row:
            if cell.value is not None:
                reader.complain(
                    cell, f"{cell.text[:40]!r} stands above the header and is not read.", severity="doubt"
                )
    kinds = [_kind(cell) for cell in sheet.rows[header]]
    body = sheet.rows[header + 1 :]
    top = sheet.rows[header]
    for kind in ("analyte", "value", "unit", "range", "low", "high"):
        if kinds.count(kind) > 1:
            at = [cell for cell, each in zip(top, kinds, strict=True) if each == kind]
            reader.complain(
                at[1], f"{at[1].text!r} and {at[0].text!r} ({at[0].place}) both say the {kind}.", "Keep one."
            )
    by_analyte = "analyte" in kinds or (not {"date", "day", "visit"} & set(kinds) and top[0].value is None)
    # names of analytes may stand under none
    first = 1 if by_analyte and "analyte" not in kinds else 0
    reader.nameless(top[first:], [row[first:] for row in body])
    reader.one_patient(top, body)
    if "analyte" in kinds and "value" in kinds:
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
            "Call the columns analyte, value, unit and date; or date and one column for each analyte.",
        )
    _judge(reader)
    return LabTable(
        sheet.file, tuple(reader.analytes), tuple(reader.visits), tuple(reader.values), tuple(reader.problems)
    )


def _judge(reader: _LabReader) -> None:
    if not reader.values and not any(each.severity == "error" for each in reader.problems):
        reader.complain(reader.sheet.rows[0][0], "no value stands in this sheet.", "Is it another sheet?")
    wrong = [each for each in reader.problems if each.severity == "error"]
    if wrong:
        raise CaseError(wrong)


def _columns(top: Sequence[Cell], kinds: Sequence[str]) -> dict[str, int]:
    return {kind: k for k, kind in reversed(list(enumerate(kinds))) if kind and top[k].value is not None}


def _limits(reader: _LabReader, at: dict[str, int], row: Sequence[Cell]) -> tuple[float | None, float | None]:
    low, high = reader.limits(row[at["range"]]) if "range" in at else (None, None)
    if "low" in at and row[at["low"]].value is not None:
        low = reader.number(row[at["low"]])
    if "high" in at and row[at["high"]].value is not None:
        high = reader.number(row[at["high"]])
    return low, high


def _text_at(at: dict[str, int], kind: str, row: Sequence[Cell]) -> str:
    return row[at[kind]].text if kind in at else ""


def _ignored(reader: _LabReader, cells: Iterator[Cell]) -> None:
    for cell in cells:
        reader.complain(cell, f"the column {cell.text!r} is not read.", severity="doubt")


def _long(
    reader: _LabReader, top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]
) -> None:
    at = _columns(top, kinds)
    if not {"date", "day", "visit"} & at.keys():
        reader.complain(top[0], "no column says when a value was taken.", "Add a column date, day or visit.")
        return
    _ignored(
        reader, (cell for cell, kind in zip(top, kinds, strict=True) if not kind and cell.value is not None)
    )
    for row in body:
        if row[at["analyte"]].value is None:
            if row[at["value"]].value is not None:
                reader.complain(
                    row[at["value"]], f"{row[at['value']].text} has no analyte beside it.", "Name it."
                )
            continue
        when, cell, name = None, row[at["analyte"]], _text_at(at, "visit", row)
        for kind in ("date", "day"):
            if kind in at and row[at[kind]].value is not None and when is None:
                cell = row[at[kind]]
                when = reader.when(cell, day=kind == "day")
                if when is None:
                    break
        if when is None and not name:
            if cell is row[at["analyte"]]:
                reader.complain(
                    cell, f"nothing says when {cell.text} was taken.", "Write its date, day or visit."
                )
            continue
        analyte = reader.analyte(
            row[at["analyte"]],
            _text_at(at, "unit", row),
            _limits(reader, at, row),
            _text_at(at, "panel", row),
        )
        reader.add(analyte, reader.visit(name, when, cell), row[at["value"]])


def _row_an_analyte(
    reader: _LabReader, top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]
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
    for row in body:
        cell = row[at["analyte"]]
        if row is dates:
            continue
        if cell.value is None:
            _nameless(reader, row)
            continue
        analyte = reader.analyte(
            cell, _text_at(at, "unit", row), _limits(reader, at, row), _text_at(at, "panel", row)
        )
        read.append(analyte)
        reader.doubt_twice(cell, read)
        for k, visit in visits.items():
            reader.add(analyte, visit, row[k])


def _nameless(reader: _LabReader, row: Sequence[Cell]) -> None:
    for cell in row:
        if cell.value is not None:
            reader.complain(cell, f"{cell.text!r} stands in a row without a name.", "Name the row.")
            return


def _row_a_visit(
    reader: _LabReader, top: Sequence[Cell], kinds: Sequence[str], body: Sequence[Sequence[Cell]]
) -> None:
    at = _columns(top, kinds)
    first = min(at[kind] for kind in ("date", "day", "visit") if kind in at)
    columns = [
        k
        for k, (cell, kind) in enumerate(zip(top, kinds, strict=True))
        if not kind and cell.value is not None
    ]
    about = {_kind(row[first]): row for row in body if _kind(row[first]) in ("unit", "range", "low", "high")}
    positions: dict[int, int] = {}
    for k in columns:
        limits = reader.limits(about["range"][k]) if "range" in about else (None, None)
        low = (
            reader.number(about["low"][k])
            if "low" in about and about["low"][k].value is not None
            else limits[0]
        )
        high = (
            reader.number(about["high"][k])
            if "high" in about and about["high"][k].value is not None
            else limits[1]
        )
        unit = about["unit"][k].text if "unit" in about else ""
        positions[k] = reader.analyte(top[k], unit, (low, high))
        reader.doubt_twice(top[k], list(positions.values()))
    for number, row in enumerate(body):
        if any(row is each for each in about.values()):
            continue
        when, cell = None, row[first]
        for kind in ("date", "day"):
            if kind in at and row[at[kind]].value is not None and when is None:
                cell = row[at[kind]]
                when = reader.when(cell, day=kind == "day")
        name = _text_at(at, "visit", row)
        if when is None and not name:
            if any(row[k].value is not None for k in columns):
                said = (
                    f"visit {number + 1} has neither a date nor a day; it is placed between its neighbours."
                )
                reader.complain(cell, said, "Write the date if it is known.", severity="doubt")
                name = f"visit {number + 1}"
            else:
                continue
        visit = reader.visit(name, when, cell)
        for k, analyte in positions.items():
            reader.add(analyte, visit, row[k])


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
