"""Tables of doses as rows: our own columns, and those of NONMEM and its relatives.

Text is read as text and turned into numbers here, so that a label ``007`` stays one and a decimal comma
is refused instead of misread. A column nobody knows is refused too: a misspelt ``duraton`` would
otherwise turn infusions into boluses without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from numbers import Real
from os import PathLike
from typing import Any, NamedTuple

from cellsim.dates import as_date, date_of, day_of, serial_date
from cellsim.delimited import (
    file_text,
    is_missing,
    read_number,
    read_table_text,
    separator_of,
    why_no_number,
)
from cellsim.errors import Problem, ScheduleError, did_you_mean

__all__ = [
    "AMOUNT_UNITS",
    "TIME_UNITS",
    "DoseRow",
    "RowReader",
    "TableReading",
    "TextTable",
    "UnreadableError",
    "is_blank",
    "read_table",
    "text_table",
]

AMOUNT_UNITS = {"cells": 1.0, "1e6 cells": 1e6, "Mcell": 1e6}
TIME_UNITS = {"day": 1.0, "hour": 24.0}
_OWN = ("day", "date", "product", "cells", "duration", "label")
_NONMEM = ("time", "amt", "rate", "dur", "ii", "addl", "cmt", "evid", "ss")
_OBSERVED = ("id", "dv", "mdv", "cens", "limit", "dvid", "row")  # say nothing about a dose
_MOST = 10_000  # further doses one row may ask for
_SAME = 1e-6  # RATE, DUR and AMT of a printed table agree to so much, relative


class DoseRow(NamedTuple):
    """One dose as read, not yet judged; `row` is where it stands."""

    day: Any
    product: Any
    cells: Any
    duration: Any
    label: Any
    row: int


@dataclass(frozen=True)
class TableReading:
    """What a table says: its doses, the date of day 0 if it tells, and everything wrong with it.

    `observed` are the rows that are no dose, as they stand, for `reader` to read.
    """

    rows: tuple[DoseRow, ...]
    day_zero: date | None
    problems: tuple[Problem, ...]
    file: str
    observed: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    reader: RowReader | None = None


class UnreadableError(ValueError):
    """A cell of the table that cannot be what its column says; the message is the complaint."""


@dataclass(frozen=True)
class TextTable:
    """A table of doses as it stands in a file: text, not yet turned into numbers.

    Attributes
    ----------
    file : str
    columns : tuple of str
        Names in the header, in lower case.
    rows : tuple of (int, dict)
        Line of the file, and cells by column.
    problems : tuple of Problem
        Rows that cannot be read at all.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...]
    problems: tuple[Problem, ...] = ()


def text_table(source: str | PathLike[str]) -> TextTable:
    """Read a file of comma, tab or semicolon separated text with a header; lines that begin with ``#`` are comments.

    One that could be a row all the same is refused, unless it begins with ``##``. Rows in which every cell is missing
    are blank.

    Raises
    ------
    ScheduleError
        It cannot be opened, is no text, or separates its cells by blanks.
    """
    try:
        text = file_text(source)
    except (OSError, ValueError) as error:
        raise ScheduleError(f"{source} cannot be read as a table: {error}.") from None
    separator, text = separator_of(text)
    table = read_table_text(text, separator, comments=True)
    if len(table.columns) == 1 and len(table.columns[0].split()) > 1:
        raise ScheduleError(f"{source}: {_between_blanks(table.columns[0])}")
    file = str(source)
    problems = [
        Problem(what=what, remedy=remedy, file=file, row=row) for row, what, remedy in table.complaints
    ]
    if not table.columns:
        problems.append(Problem(what="the table is empty, its header included.", file=file))
    rows = [(row, {name.lower(): cell for name, cell in cells.items()}) for row, cells in table.rows]
    return TextTable(file, tuple(name.lower() for name in table.columns), _not_blank(rows), tuple(problems))


def _between_blanks(header: str) -> str:
    """What to do with a table that has blanks between its cells."""
    if re.match(r"TABLE NO\.", header):
        return (
            "this is table output of NONMEM, with a title and blanks between the cells; commas, tabs or semicolons "
            "are read. Let $TABLE write it with NOTITLE FORMAT=,1PE13.6, or remove the title and write commas."
        )
    return (
        f"the header {header[:60]!r} has blanks between its names; commas, tabs or semicolons are read. "
        "Save the table with one of them."
    )


def _not_blank(rows: Iterable[tuple[int, dict[str, Any]]]) -> tuple[tuple[int, dict[str, Any]], ...]:
    """The rows in which something stands; spreadsheets leave others behind the last one."""
    return tuple(each for each in rows if not all(map(is_blank, each[1].values())))


def _mappings(source: Any) -> TextTable:
    """The same of a DataFrame or of rows of name and value; rows are counted from 1."""
    columns = [str(name) for name in getattr(source, "columns", ())]
    try:
        # with twin columns, which are refused by their header, pandas would drop one of each
        twins = len(set(columns)) < len(columns)
        rows = [] if twins else list(source.to_dict("records") if columns else source)
    except TypeError:
        rows = [source]
    if strange := [row for row in rows if not isinstance(row, Mapping)]:
        raise ScheduleError(f"A table is a path, a DataFrame or rows of name and value, not {strange[0]!r}.")
    columns = columns or list(dict.fromkeys(str(name) for row in rows for name in row))
    lowered = [{str(name).strip().lower(): each for name, each in row.items()} for row in rows]
    numbered = _not_blank(enumerate(lowered, start=1))
    return TextTable("table", tuple(each.strip().lower() for each in columns), numbered)


_NOTHING = frozenset({"-", "\N{EN DASH}", "\N{EM DASH}", "NULL", "Null", "null", "None"})
"""What a list of doses has for a number or a date where there is none; a label or a product may be called so."""


def _missing(value: object) -> bool:
    """Empty, NONMEM's lone dot, ``NA`` and the like, None, NaN, NaT or pandas' NA."""
    if value is None or isinstance(value, str):
        return value is None or value.strip() == "." or is_missing(value)
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither equal to itself nor different
        return type(value).__name__ == "NAType"


def is_blank(value: object) -> bool:
    """Whether a number or a date is not there: missing, a dash, ``NULL``."""
    return _missing(value) or (isinstance(value, str) and value.strip() in _NOTHING)


@dataclass
class RowReader:
    """Turns the rows of one table into doses, noting complaints on the way."""

    from_text: bool
    amount: float
    hours: float
    product: str | None
    compartments: Mapping[Any, str]
    day_zero: date | None
    has_dv: bool
    problems: list[Problem] = field(default_factory=list)

    def number(self, row: Mapping[str, Any], column: str, absent: float = 0.0) -> float:
        value = row.get(column)
        if is_blank(value):
            return absent
        if isinstance(value, str) and self.from_text:
            try:
                return read_number(value)
            except ValueError as error:
                raise UnreadableError(f"{column} {error}. {why_no_number(value)}") from None
        if isinstance(value, Real | Decimal) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return math.inf
        raise UnreadableError(f"{column} {value!r} is {type(value).__name__}, not a number.")

    def day(self, row: Mapping[str, Any]) -> float:
        dated = not is_blank(row.get("date"))
        timed = next((name for name in ("day", "time") if not is_blank(row.get(name))), "")
        if not dated and not timed:
            raise UnreadableError("neither day nor date is given.")
        day = self.number(row, timed) / (self.hours if timed == "time" else 1.0) if timed else math.nan
        if not dated:
            return day
        try:
            if said := _serial(row["date"]):
                raise UnreadableError(said)
            if not timed:
                return day_of(row["date"], self.day_zero)
            written = as_date(row["date"])
            if self.day_zero is None:
                self.day_zero = written - timedelta(days=math.floor(day))
            if date_of(day, self.day_zero) != written:
                raise UnreadableError(
                    f"day {day:g} is {date_of(day, self.day_zero)}, but the date says {written}."
                )
        except (ValueError, OverflowError) as error:
            raise UnreadableError(f"{str(error).rstrip('.')}.") from None
        return day

    def named(self, row: Mapping[str, Any]) -> Any:
        """The product of a row."""
        if not _missing(row.get("product")):
            product = row["product"]
            return product.strip() if self.from_text else product
        compartment = row.get("cmt")
        if _missing(compartment):
            if self.product is None:
                raise UnreadableError(
                    "no product is given; name it in a column, or for all rows with product=."
                )
            return self.product
        for key in (compartment, str(compartment).strip()):
            if key in self.compartments:
                return self.compartments[key]
        numeral = str(compartment).strip().removesuffix(".0")
        if numeral.lstrip("-").isdigit():
            for key in (numeral, int(numeral)):
                if key in self.compartments:
                    return self.compartments[key]
            known = f"compartments={{{numeral}: 'name of the product'}}"
            raise UnreadableError(f"CMT {numeral} does not say which product it is; tell with {known}.")
        return str(compartment).strip()

    def duration(self, row: Mapping[str, Any], amount: float) -> float:
        """Days of infusion from DUR, RATE or both."""
        stated = self.number(row, "duration")
        rate = self.number(row, "rate")
        given = self.number(row, "dur") / self.hours
        if rate < 0:
            raise UnreadableError(
                f"RATE {rate:g} asks the model for it, and no model here has a rate or duration."
            )
        if stated and (given or rate):
            raise UnreadableError("duration stands beside DUR or RATE; keep one of them.")
        if rate == 0:
            return stated or given
        implied = amount / rate / self.hours
        if given and not math.isclose(given, implied, rel_tol=_SAME):
            raise UnreadableError(f"AMT/RATE is {implied:.6g} days, but DUR says {given:.6g} days.")
        return given or implied

    def is_dose(self, row: Mapping[str, Any]) -> bool:
        """False for an observation; anything that is neither is refused."""
        if self.number(row, "ss"):
            raise UnreadableError(
                "SS asks for a steady state, and no patient starts in one; write the doses out."
            )
        column = "amt" if "amt" in row else "cells"
        amount = self.number(row, column)
        measured = None if is_blank(row.get("mdv")) else self.number(row, "mdv") == 0
        if is_blank(row.get("evid")):
            if amount:
                if measured:
                    raise UnreadableError(
                        f"MDV 0 is a measurement, but the row has an amount of {amount:g}; say which with EVID."
                    )
                return True
            # without an amount: an observation, or an instant of which nothing is told
            if not is_blank(row.get("dv")) or measured is False:
                return False
            if self.has_dv:
                raise UnreadableError(
                    f"neither {column} nor DV is given; EVID 0 or MDV 1 would say that none is meant."
                )
            return True
        event = self.number(row, "evid")
        if event == 0:
            if amount:
                raise UnreadableError(f"EVID 0 is an observation, but the row has an amount of {amount:g}.")
            return False
        if event != 1:
            raise UnreadableError(f"EVID {event:g} is neither a dose (1) nor an observation (0).")
        return True

    def doses(self, number: int, row: Mapping[str, Any]) -> Iterable[DoseRow]:
        """The doses of a row that is one, those of ADDL and II written out."""
        column = "amt" if "amt" in row else "cells"
        if is_blank(row.get(column)):
            raise UnreadableError(f"{column} is empty.")
        amount = self.number(row, column)
        duration = self.duration(row, amount)
        cells = amount * self.amount if column == "amt" else amount
        interval = self.number(row, "ii") / self.hours
        more = self.number(row, "addl")
        if interval > 0 and is_blank(row.get("addl")):
            raise UnreadableError(
                f"II {self.number(row, 'ii'):g} without ADDL: how many further doses? Write 0 for none."
            )
        if more not in range(_MOST + 1):
            raise UnreadableError(f"ADDL {more:g} is not a count of further doses (0 to {_MOST}).")
        if interval < 0 or (more and not interval > 0):
            raise UnreadableError(f"ADDL {more:g} needs a positive interval II, not {interval:g}.")
        label = row.get("label")
        if not isinstance(label, str):
            label = "" if _missing(label) else label
        elif column == "amt" and label.strip() == ".":
            label = ""  # a table of NONMEM, where a lone dot is nothing; elsewhere any text is a label, NA and NaN too
        day, product = self.day(row), self.named(row)
        for step in range(int(more) + 1):
            yield DoseRow(day + step * interval, product, cells, duration, label, number)


def _without_comments(table: TextTable) -> tuple[list[tuple[int, dict[str, Any]]], bool, list[Problem]]:
    """The rows that NONMEM reads (``IGNORE=C``), whether a column ``C`` says which, and what is wrong with it."""
    if "c" not in table.columns:
        return list(table.rows), False, []
    left_out = {
        number
        for number, row in table.rows
        if isinstance(mark := row.get("c"), str) and mark.strip().upper() == "C"
    }
    strange = [
        (number, row["c"])
        for number, row in table.rows
        if number not in left_out and not _missing(row.get("c"))
    ]
    if strange and not left_out:  # some other column of that name
        return list(table.rows), False, []
    problems = [
        Problem(what=f"C {mark!r}: 'C' leaves a row out, '.' keeps it.", file=table.file, row=number)
        for number, mark in strange
    ]
    if left_out and len(left_out) == len(table.rows):
        problems.append(Problem(what="every row is left out by its C.", file=table.file))
    return [each for each in table.rows if each[0] not in left_out], True, problems


def _serial(value: object) -> str:
    """Why a number is no date; empty when it is none, or no number at all."""
    try:
        number = read_number(value) if isinstance(value, str) else value
    except ValueError:
        return ""
    if not isinstance(number, Real | Decimal) or isinstance(number, bool):
        return ""
    meant = serial_date(float(number))
    guess = (
        f"; if it is the day of a spreadsheet, it is {meant} (or 1462 days later, from an old Mac)"
        if meant
        else ""
    )
    return f"date {value} is a number, not a date{guess}. Write dates as 2023-10-06, days in a column day."


def _header_problems(
    columns: Sequence[str], amount_unit: str | None, ignore: Sequence[str], file: str
) -> list[Problem]:
    known = {*_OWN, *_NONMEM, *_OBSERVED}
    twice = sorted({name for name in columns if columns.count(name) > 1})
    found = [f"the column {name} stands there twice." for name in twice]
    for name in columns:
        if name not in known and name not in ignore:
            remedy = f"{did_you_mean(name, known)} To leave it aside, say ignore=({name!r},)."
            found.append(f"no dose has a column {name!r}. {remedy}")
    if not {"day", "date", "time"} & set(columns):
        found.append("no column says when: day, date or TIME.")
    for one, other in (("cells", "amt"), ("day", "time"), ("product", "cmt")):
        if {one, other} <= set(columns):
            found.append(f"{one} and {other} say the same thing; keep one.")
    if not {"cells", "amt"} & set(columns):
        found.append("no column says how many: cells or AMT.")
    units = ", ".join(repr(unit) for unit in AMOUNT_UNITS)
    if "amt" in columns and amount_unit not in AMOUNT_UNITS:
        found.append(f"AMT has no unit of its own: say amount_unit= one of {units}, not {amount_unit!r}.")
    if "amt" not in columns and amount_unit is not None:
        found.append("amount_unit belongs to a column AMT, and there is none: the column cells counts cells.")
    return [Problem(what=what, file=file, row=1) for what in found]


def read_table(
    source: Any,
    *,
    product: str | None,
    amount_unit: str | None,
    time_unit: str,
    compartments: Mapping[Any, str] | None,
    day_zero: date | None,
    ignore: Sequence[str],
) -> TableReading:
    """Read doses from a table; see :meth:`cellsim.dosing.schedule.Schedule.from_table` for the columns.

    Returns
    -------
    TableReading
        Every row that could be read, and every complaint about those that could not.
    """
    from_text = isinstance(source, str | PathLike | TextTable)
    try:
        table = (
            source
            if isinstance(source, TextTable)
            else text_table(source)
            if from_text
            else _mappings(source)
        )
    except ScheduleError as error:
        return TableReading((), day_zero, error.problems, "")
    file, columns = table.file, list(table.columns)
    if time_unit not in TIME_UNITS:
        problem = Problem(what=f"time_unit is one of {', '.join(TIME_UNITS)}, not {time_unit!r}.", file=file)
        return TableReading((), day_zero, (problem,), file)
    rows, commented, strange = _without_comments(table)
    aside = [name.lower() for name in ignore] + (["c"] if commented else [])
    problems = [*table.problems, *strange]
    problems += _header_problems(columns, amount_unit, aside, file) if columns or rows else []
    subjects = {str(row["id"]) for _, row in rows if "id" in row}
    if len(subjects) > 1:
        what = (
            f"{len(subjects)} values of ID ({', '.join(sorted(subjects)[:5])}): give the rows of one patient."
        )
        problems.append(Problem(what=what, file=file))
    if problems:
        return TableReading((), day_zero, tuple(problems), file)
    reader = RowReader(
        from_text=from_text,
        amount=AMOUNT_UNITS.get(amount_unit or "cells", 1.0),
        hours=TIME_UNITS[time_unit],
        product=product,
        compartments=compartments or {},
        day_zero=day_zero,
        has_dv="dv" in columns,
    )
    doses: list[DoseRow] = []
    observed: list[tuple[int, Mapping[str, Any]]] = []
    for number, row in rows:
        read = {name: each for name, each in row.items() if name not in aside}
        try:
            if reader.is_dose(read):
                doses.extend(reader.doses(number, read))
            else:
                observed.append((number, read))
        except UnreadableError as error:
            problems.append(Problem(what=str(error), file=file, row=number))
    return TableReading(tuple(doses), reader.day_zero, tuple(problems), file, tuple(observed), reader)
