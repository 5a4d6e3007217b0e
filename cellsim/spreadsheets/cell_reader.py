"""What stands in one cell: a number, a limit, a range, a date; and what tells a decimal comma and the order of dates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Self

from cellsim.dates import serial_date
from cellsim.errors import Problem
from cellsim.spreadsheets.date_forms import is_date_text, numeric_date, plain_date
from cellsim.spreadsheets.sheet import Cell, Sheet

__all__ = ["CellReader", "plain_power"]

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_SIGNED = re.compile(r"(<=?|>=?|\N{LESS-THAN OR EQUAL TO}|\N{GREATER-THAN OR EQUAL TO})\s*(.+)")
_BELOW_IN_WORDS = re.compile(
    r"(below|under|beneath|less than|lower than|smaller than|at most|unter|kleiner(?: als)?)\s*([\d.,].*)",
    re.IGNORECASE,
)
_ABOVE_IN_WORDS = re.compile(
    r"(above|over|more than|greater than|higher than|larger than|at least|\N{LATIN SMALL LETTER U WITH DIAERESIS}ber)"
    r"\s*([\d.,].*)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"(.+?)\s*(?:-|\N{EN DASH}|\N{EM DASH}|\bto\b|\.\.)\s*(.+)")
_NOTHING = frozenset({".", "not done", "null", "missing"})
_PERHAPS_NOTHING = {
    **dict.fromkeys(("n.d.", "nd", "n.d", "n/d", "n. d.", "none"), "not detected"),
    **dict.fromkeys(("-", "--", "\N{EN DASH}", "\N{EM DASH}"), "negative"),
    **dict.fromkeys(("#n/a", "#na"), "a formula that found nothing"),
}
"""What is taken for an empty cell, and what else it may say."""
_NO_LIMIT = re.compile(
    r"(<|\N{LESS-THAN OR EQUAL TO})\s*(l?lo[dq]|dl|mdl|[a-z ]*limit[a-z ]*)|l?lo[dq]|bl[lodq]+|bdl|bld|undetect\w*|"
    r"not detect\w*|non[- ]?detect\w*|below [^0-9]*|neg\.?|negative?|traces?|nachweisgrenze|n\.?n\.?",
    re.IGNORECASE,
)
_FLAGGED = re.compile(
    r"([<>]?\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*\(?(\*{1,3}|!|HH?|LL?|high|low|\N{UPWARDS ARROW}|\N{DOWNWARDS ARROW}|\+\+?)\)?"
)
_PATIENT = re.compile("id|mrn|pid|(patient|subject)(id|no|number|name)?|u?subjid")
_DAY_NAMED = re.compile(r"(?:study\s*)?(?:day|d|tag)\s*([+-]?\d+(?:\.\d+)?)", re.IGNORECASE)
# a lone group of three digits behind a point
_ONE_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_POWER = re.compile(
    r"([\d.,]*)\s*[x*\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}]?\s*10\s*(\^|\*\*|[eE])?\s*(\d{1,2})", re.ASCII
)


@dataclass
class CellReader:
    """The cells of one sheet as numbers, limits and dates; complaints are left here.

    Attributes
    ----------
    sheet : Sheet
    comma, point, comma_told : bool
        Whether a comma in a number is a decimal mark; whether some number as text shows that a point is one, and that a
        comma is.
    month_first : bool or None
        Whether dates with slashes begin with the month; None where no date of the sheet tells.
    problems : list of Problem
    guesses : dict
        Cells that were read by one guess, with what is said of the first and what to do.
    """

    sheet: Sheet
    comma: bool
    point: bool
    month_first: bool | None
    comma_told: bool = False
    problems: list[Problem] = field(default_factory=list)
    guesses: dict[str, tuple[str, str, list[Cell]]] = field(default_factory=dict)

    @classmethod
    def of(cls, sheet: Sheet) -> Self:
        """A reader that has looked through the sheet for its decimal mark and its order of dates."""
        first = _month_first(sheet)
        made = cls(sheet, comma=False, point=False, month_first=first, problems=list(sheet.problems))
        made._decimal_marks()
        made._doubt_order_of_dates()
        return made

    def complain(self, cell: Cell, what: str, remedy: str = "", *, severity: str = "error") -> None:
        """Add a complaint about one cell."""
        self.problems.append(self.sheet.problem(cell, what, remedy, severity=severity))

    def guess(self, kind: str, cell: Cell, what: str, remedy: str) -> None:
        """Doubt a cell; those of one kind are told in one doubt, by the words of the first."""
        self.guesses.setdefault(kind, (what, remedy, []))[2].append(cell)

    def all_told(self) -> list[Problem]:
        """Every complaint, and one doubt for each kind of guess."""
        told = list(self.problems)
        for what, remedy, (first, *rest) in self.guesses.values():
            others = ", ".join(each.place for each in rest[:5]) + (
                f" and {len(rest) - 5} more" if len(rest) > 5 else ""
            )
            said = f"{what}{f' (and so in {others})' if rest else ''}."
            told.append(self.sheet.problem(first, said, remedy, severity="doubt"))
        return told

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
        plain = plain_power((cell.text if text is None else text).strip())
        if not _NUMBER.fullmatch(plain):
            self.complain(cell, f"{plain!r} is not a number.", _instead(plain))
            return None
        if "," in plain and not self.comma:
            self.complain(
                cell,
                f"{plain!r} is {plain.replace(',', '.')} or {plain.replace(',', '')}: nothing else in the sheet tells.",
                "Write a decimal point, and no separator of thousands.",
            )
            return None
        found = float(plain.replace(",", "."))
        if _ONE_GROUP.fullmatch(plain) and self._may_be_thousands(plain):
            whole = re.sub("[.,]", "", plain)
            what = f"{plain!r} is read as {found:g}, and may be {whole}"
            remedy = (
                f"Write {plain.replace(',', '.').rstrip('0').rstrip('.')} or {whole}, whichever is meant."
            )
            self.guess("thousands", cell, what, remedy)
        return found

    def _may_be_thousands(self, plain: str) -> bool:
        """Whether the mark in a number of one group of three digits may separate thousands in this sheet."""
        return self.comma and (self.point if "," in plain else not self.point or self.comma_told)

    def value(self, cell: Cell, unit: str) -> tuple[float, str] | None:
        """A laboratory value and how it is censored; None for an empty cell and where it cannot be read."""
        text = cell.text
        if not text or text.lower() in _NOTHING:
            return None
        if other := _PERHAPS_NOTHING.get(text.lower()):
            what = f"{text!r} counts as not measured, and may mean {other}"
            remedy = "Empty the cell if nothing was measured; write <0.5, with the limit of the assay, if it was below it."
            self.guess(text.lower(), cell, what, remedy)
            return None
        if unit and text.endswith(unit) and text != unit:
            text = text.removesuffix(unit).strip()
        elif isinstance(cell.value, date):
            remedy = "The spreadsheet took a number for a date: format the cell as text and write it again."
            self.complain(cell, f"{text} is a date, and a value is needed.", remedy)
            return None
        if found := _FLAGGED.fullmatch(text):
            text = found[1].strip()
            what = f"{cell.text!r} is read as {text}; {found[2]!r} is taken for a flag of the laboratory"
            self.guess(f"flag {found[2]}", cell, what, f"Write {text} alone if that is right.")
        if _NO_LIMIT.fullmatch(text):
            what = f"{text!r} says that the value is below a limit, and not below which."
            self.complain(
                cell, what, "Write the limit of the assay: <0.5; empty the cell if nothing was measured."
            )
            return None
        if signed := _signed(text):
            sign, rest = signed
            limit = self.number(cell, rest)
            if limit is not None and not _SIGNED.fullmatch(text):
                what = f"{text!r} is read as {sign}{rest.strip()}"
                self.guess(f"words {sign}", cell, what, f"Write {sign}{rest.strip()} if that is right.")
            return None if limit is None else (limit, "left" if sign == "<" else "right")
        number = self.number(cell, None if text == cell.text else text)
        return None if number is None else (number, "")

    def limits(self, cell: Cell, unit: str = "") -> tuple[float | None, float | None]:
        """A reference range from one cell: 0.5-4.2, <5, >40; its unit may stand behind it."""
        text = cell.text
        if not text or text.lower() in _NOTHING or text.lower() in _PERHAPS_NOTHING:
            return None, None
        if unit and text.endswith(unit):
            text = text.removesuffix(unit).strip()
        if signed := _signed(text):
            limit = self.number(cell, signed[1])
            return (None, limit) if signed[0] == "<" else (limit, None)
        found = _BETWEEN.fullmatch(text)
        if not found:
            self.complain(cell, f"{text!r} is no range.", "Write 0.5-4.2, <5 or >40.")
            return None, None
        low, high = self.number(cell, found[1]), self.number(cell, found[2])
        if low is not None and high is not None and not low < high:
            remedy = f"The lower limit comes first: write {found[2]} to {found[1]} if they are exchanged."
            self.complain(cell, f"the range {text} is empty.", remedy)
            return None, None
        return low, high

    def limit(self, cell: Cell) -> float | None:
        """One reference limit; None for an empty cell, and for a word that says there is none."""
        nothing = cell.text.lower() in _NOTHING or cell.text.lower() in _PERHAPS_NOTHING
        return None if not cell.text or nothing else self.number(cell)

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
            if found := self._date(cell.text):
                return found
        except ValueError:
            self.complain(cell, f"{cell.text!r} is no date that exists.", "Write it as 2023-10-06.")
            return None
        if numbers := numeric_date(cell.text):
            first, second, year = numbers
            ways = " or ".join(
                f"{year}-{month:02d}-{of:02d}" for of, month in ((first, second), (second, first))
            )
            what = (
                f"{cell.text} may begin with the day or with the month, and no date of the sheet tells which."
            )
            self.complain(cell, what, f"Write {ways}.")
            return None
        if day and _NUMBER.fullmatch(cell.text):
            return self.number(cell)
        meant = None
        if _NUMBER.fullmatch(cell.text) and "," not in cell.text:
            meant = serial_date(float(cell.text))
        guess = f"; as a spreadsheet's number of a day it is {meant}" if meant else ""
        what = f"{cell.text!r} is neither a day nor a date" if day else f"{cell.text} is no date"
        self.complain(
            cell, f"{what}{guess}.", f"Write it as {meant or '2023-10-06'}{', or as 28' if day else ''}."
        )
        return None

    def is_time(self, cell: Cell) -> bool:
        """Whether a cell says when, and is no name: a date, a number of days, ``day 7``."""
        if not isinstance(cell.value, str) or is_date_text(cell.text):
            return True
        return any(form.fullmatch(cell.text) for form in (_DAY_NAMED, _NUMBER))

    def _date(self, text: str) -> datetime | None:
        """A date, where the text is one that can be read."""
        numbers = numeric_date(text)
        if numbers is None:
            return plain_date(text)
        if self.month_first is None and numbers[0] != numbers[1]:
            return None
        first, second, year = numbers
        return datetime(year, *((first, second) if self.month_first else (second, first)))

    # ---- what the whole sheet tells -----------------------------------------------------------------

    def _decimal_marks(self) -> None:
        """Whether a comma is a decimal mark, and a point; with the doubt that says which cell told."""
        commas: list[Cell] = []
        points: list[Cell] = []
        for row in self.sheet.rows:
            for cell in row:
                plain = cell.text.lstrip("<>= ") if isinstance(cell.value, str) else ""
                # three digits behind one mark may be thousands; any other number of them may not
                for mark, found in ((",", commas), (r"\.", points)):
                    if re.fullmatch(rf"[+-]?(\d+{mark}(\d{{1,2}}|\d{{4,}})|0{mark}\d+)", plain):
                        found.append(cell)
        self.comma, self.point = self.sheet.decimal_comma or bool(commas), bool(points)
        self.comma_told = bool(commas)
        if commas and points:
            fewer, other = (commas, points) if len(commas) <= len(points) else (points, commas)
            odd, usual = fewer[0], other[0]
            what = f"{odd.text!r} and {usual.text!r} ({usual.place}) have different decimal marks; both are read as one."
            remedy = f"Check that {odd.place} is {odd.text.replace(',', '.')}, and write one mark everywhere."
            self.complain(odd, what, remedy, severity="doubt")
        elif commas and not self.sheet.decimal_comma:
            first = commas[0]
            what = f"{first.text!r} has a decimal comma, so every comma in a number of this sheet is one."
            self.complain(first, what, f"Check that it is {first.text.replace(',', '.')}.", severity="doubt")

    def _doubt_order_of_dates(self) -> None:
        """Dates that were read by the order another one told, and those that a spreadsheet may have turned round."""
        told = self.month_first
        for column in zip(*self.sheet.rows, strict=True):
            typed = [(cell, found) for cell in column if (found := numeric_date(cell.text))]
            for cell, (first, second, year) in typed if told is not None else ():
                if max(first, second) <= 12 and first != second:
                    month, day = (first, second) if told else (second, first)
                    what = f"{cell.text} is read as {year}-{month:02d}-{day:02d}, as another date of the sheet tells"
                    self.guess("order of dates", cell, what, "Write dates as 2023-10-06 if that is wrong.")
            stored = [cell for cell in column if isinstance(cell.value, date) and cell.value.day <= 12]
            for cell in stored if typed else ():
                what = (
                    f"{cell.text} is a date, and {typed[0][0].text} ({typed[0][0].place}) in the same column is text: the "
                    "spreadsheet may have exchanged its day and its month"
                )
                self.guess(
                    "turned dates",
                    cell,
                    what,
                    "Compare it with the source, and write all dates as 2023-10-06.",
                )


def plain_power(text: str) -> str:
    """A text with a power of ten that is written out, 1.2 x 10^8, as computers write it.

    Examples
    --------
    >>> plain_power("1.2 x 10^8 cells")
    '1.2e8 cells'
    """
    return re.sub(
        r"(?<=\d)\s*[x*\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}]\s*10\s*(?:\^|\*\*)\s*(\d{1,2})", r"e\1", text
    )


def _signed(text: str) -> tuple[str, str] | None:
    """The sign of a limit, < or >, and what stands behind it; None where the text is no limit."""
    if found := _SIGNED.fullmatch(text):
        return ("<" if found[1][0] in "<\N{LESS-THAN OR EQUAL TO}" else ">"), found[2]
    for sign, words in (("<", _BELOW_IN_WORDS), (">", _ABOVE_IN_WORDS)):
        if found := words.fullmatch(text):
            return sign, found[2]
    return None


def _instead(plain: str) -> str:
    """What to write in place of what is no number."""
    if found := _POWER.fullmatch(plain):
        size = found[1].replace(",", ".") or "1"
        # 1x10e8 is ten times 1e8 by its letters, and 1e8 by its intention
        also = f", or {size}e{int(found[3]) + 1}" if found[2] and found[2] in "eE" else ""
        return f"Write {size}e{int(found[3])}{also}."
    if found := re.fullmatch(r"([\d.,]+)\s*[<>]", plain):
        return f"Write <{found[1]} or >{found[1]}, whichever is meant."
    if re.fullmatch(r"[+-]?\d{1,3}([.,' ]\d{3})+([.,]\d+)?", plain):
        whole, _, rest = (
            plain.rpartition(".")
            if "." in plain and plain.rfind(".") > plain.rfind(",")
            else plain.rpartition(",")
        )
        if whole and len(rest) != 3:
            return f"Write {re.sub('[^0-9+-]', '', whole)}.{rest}, without separators of thousands."
        return f"Write {re.sub('[^0-9+-]', '', plain)}, without separators of thousands."
    if is_date_text(plain):
        return "It is a date: call its column date, or write a value."
    return "Write 12.5, <0.5 or >200; leave the cell empty for none."


def _month_first(sheet: Sheet) -> bool | None:
    """Whether dates with slashes begin with the month; None where no date tells."""
    for row in sheet.rows:
        for cell in row:
            if found := numeric_date(cell.text):
                if found[0] > 12:
                    return False
                if found[1] > 12:
                    return True
    return None
