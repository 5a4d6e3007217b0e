"""What stands in one cell: a number, a limit, a range, a date; and what tells a decimal comma and the order of dates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Self

from cellsim.dates import serial_date
from cellsim.errors import Problem
from cellsim.spreadsheets.sheet import Cell, Sheet

__all__ = ["CellReader"]

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_SIGNED = re.compile(r"(<=?|>=?|\N{LESS-THAN OR EQUAL TO}|\N{GREATER-THAN OR EQUAL TO})\s*(.+)")
_BETWEEN = re.compile(r"(.+?)\s*(?:-|\N{EN DASH}|\N{EM DASH}|\bto\b|\.\.)\s*(.+)")
_NOTHING = frozenset(
    {"-", "\N{EN DASH}", "\N{EM DASH}", ".", "n.d.", "nd", "not done", "null", "none", "missing"}
)
_PATIENT = re.compile("id|mrn|pid|(patient|subject)(id|no|number|name)?|u?subjid")
_DAY_NAMED = re.compile(r"(?:study\s*)?(?:day|d|tag)\s*([+-]?\d+(?:\.\d+)?)", re.IGNORECASE)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?")


@dataclass
class CellReader:
    """The cells of one sheet as numbers, limits and dates; complaints are left here.

    Attributes
    ----------
    sheet : Sheet
    comma : bool
        Whether a comma in a number is the decimal mark.
    month_first : bool or None
        Whether dates with slashes begin with the month; None where no date of the sheet tells.
    problems : list of Problem
    """

    sheet: Sheet
    comma: bool
    month_first: bool | None
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, sheet: Sheet) -> Self:
        """A reader that has looked through the sheet for its decimal mark and its order of dates."""
        comma, said = _decimal_comma(sheet)
        return cls(sheet, comma, _month_first(sheet), [*sheet.problems, *said])

    def complain(self, cell: Cell, what: str, remedy: str = "", *, severity: str = "error") -> None:
        """Add a complaint about one cell."""
        self.problems.append(self.sheet.problem(cell, what, remedy, severity=severity))

    def nameless(self, top: Sequence[Cell], body: Iterable[Sequence[Cell]]) -> None:
        """Complain about what stands in a column without a name, which nothing would read."""
        unnamed = [k for k, cell in enumerate(top) if cell.value is None]
        for row in body:
            for cell in (row[k] for k in unnamed):
                if cell.value is not None:
                    remedy = "Give its column a name in the header; a decimal comma needs other separators."
                    self.complain(cell, f"{cell.text[:40]!r} stands under no name.", remedy)

    def one_patient(self, top: Sequence[Cell], body: Sequence[Sequence[Cell]]) -> None:
        """Complain about a column that tells patients apart: their rows would be read as one's."""
        for k, cell in enumerate(top):
            if not _PATIENT.fullmatch(re.sub(r"[^a-z]", "", cell.text.lower())):
                continue
            names = list(dict.fromkeys(row[k].text for row in body if row[k].value is not None))
            if len(names) > 1:
                what = (
                    f"{len(names)} values of {cell.text} ({', '.join(names[:5])}): a sheet holds one patient."
                )
                self.complain(cell, what, "Give the rows of one patient.")

    def number(self, cell: Cell, text: str | None = None) -> float | None:
        """The number of a cell, or of a part of its text; complained about when there is none."""
        if text is None and isinstance(cell.value, float):
            return cell.value
        plain = (cell.text if text is None else text).strip()
        if not _NUMBER.fullmatch(plain):
            self.complain(
                cell,
                f"{plain!r} is not a number.",
                "Write 12.5, <0.5 or >200; leave the cell empty for none.",
            )
            return None
        if "," in plain and not self.comma:
            self.complain(
                cell,
                f"{plain!r} is {plain.replace(',', '.')} or {plain.replace(',', '')}: nothing else in the sheet tells.",
                "Write a decimal point, and no separator of thousands.",
            )
            return None
        return float(plain.replace(",", "."))

    def value(self, cell: Cell, unit: str) -> tuple[float, str] | None:
        """A laboratory value and how it is censored; None for an empty cell and where it cannot be read."""
        text = cell.text
        if not text or text.lower() in _NOTHING:
            return None
        if unit and text.endswith(unit):
            text = text.removesuffix(unit).strip()
        elif isinstance(cell.value, date):
            remedy = "The spreadsheet took a number for a date: format the cell as text and write it again."
            self.complain(cell, f"{text} is a date, and a value is needed.", remedy)
            return None
        if signed := _SIGNED.fullmatch(text):
            limit = self.number(cell, signed[2])
            left = signed[1][0] in "<\N{LESS-THAN OR EQUAL TO}"
            return None if limit is None else (limit, "left" if left else "right")
        found = self.number(cell, None if text == cell.text else text)
        return None if found is None else (found, "")

    def limits(self, cell: Cell) -> tuple[float | None, float | None]:
        """A reference range from one cell: 0.5-4.2, <5, >40."""
        text = cell.text
        if not text or text.lower() in _NOTHING:
            return None, None
        if signed := _SIGNED.fullmatch(text):
            limit = self.number(cell, signed[2])
            return (None, limit) if signed[1][0] in "<\N{LESS-THAN OR EQUAL TO}" else (limit, None)
        found = _BETWEEN.fullmatch(text)
        if not found:
            self.complain(cell, f"{text!r} is no range.", "Write 0.5-4.2, <5 or >40.")
            return None, None
        low, high = self.number(cell, found[1]), self.number(cell, found[2])
        if low is not None and high is not None and not low < high:
            self.complain(cell, f"the range {text} is empty.", "The lower limit comes first.")
            return None, None
        return low, high

    def when(self, cell: Cell, *, day: bool) -> datetime | float | None:
        """A date, or a study day; None for an empty cell and where it cannot be read."""
        value = cell.value
        if value is None:
            return None
        if isinstance(value, date):
            return value if isinstance(value, datetime) else datetime.combine(value, time())
        if named := _DAY_NAMED.fullmatch(cell.text):
            return float(named[1])
        try:
            found = self._date(cell)
        except ValueError:
            self.complain(cell, f"{cell.text!r} is no date that exists.", "Write it as 2023-10-06.")
            return None
        if found is not None:
            return found
        if self.month_first is None and _SLASHED.fullmatch(cell.text):
            return None  # which has been told
        if day:
            return self.number(cell)
        meant = None
        if _NUMBER.fullmatch(cell.text) and "," not in cell.text:
            meant = serial_date(float(cell.text))
        guess = f"; as a spreadsheet's number of a day it is {meant}" if meant else ""
        self.complain(cell, f"{cell.text} is no date{guess}.", "Write it as 2023-10-06.")
        return None

    def is_time(self, cell: Cell) -> bool:
        """Whether a cell says when, and is no name: a date, a number of days, ``day 7``."""
        forms = (_DAY_NAMED, _ISO, _DOTTED, _SLASHED, _NUMBER)
        return not isinstance(cell.value, str) or any(form.fullmatch(cell.text) for form in forms)

    def _date(self, cell: Cell) -> datetime | None:
        text = cell.text
        if _ISO.fullmatch(text):
            return datetime.fromisoformat(text)
        if dotted := _DOTTED.fullmatch(text):
            return datetime(int(dotted[3]), int(dotted[2]), int(dotted[1]))
        slashed = _SLASHED.fullmatch(text)
        if not slashed:
            return None
        if self.month_first is None:
            self.complain(
                cell,
                f"{text} may begin with the day or with the month, and no date of the sheet tells which.",
                "Write 2023-10-06.",
            )
            return None
        first, second = int(slashed[1]), int(slashed[2])
        month, day = (first, second) if self.month_first else (second, first)
        return datetime(int(slashed[3]), month, day)


def _decimal_comma(sheet: Sheet) -> tuple[bool, list[Problem]]:
    """Whether a comma is the decimal mark, and the doubt that says which cell told."""
    if sheet.decimal_comma:
        return True, []
    for row in sheet.rows:
        for cell in row:
            plain = cell.text.lstrip("<>= ")
            # three digits behind one comma may be thousands; any other number of them may not
            if re.fullmatch(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+)", plain):
                what = f"{cell.text!r} has a decimal comma, so every comma in a number of this sheet is one."
                return True, [sheet.problem(cell, what, severity="doubt")]
    return False, []


def _month_first(sheet: Sheet) -> bool | None:
    """Whether dates with slashes begin with the month; None where no date tells."""
    for row in sheet.rows:
        for cell in row:
            if found := _SLASHED.fullmatch(cell.text):
                if int(found[1]) > 12:
                    return False
                if int(found[2]) > 12:
                    return True
    return None
