"""Tables of doses as rows: our own columns, and those of NONMEM and its relatives.

Text is read as text and turned into numbers here, so that a label ``007`` stays one and a decimal comma
is refused instead of misread. A column nobody knows is refused too: a misspelt ``duraton`` would
otherwise turn infusions into boluses without a word.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from cellsim.dates import as_date, date_of, day_of
from cellsim.errors import Problem, did_you_mean

__all__ = ["AMOUNT_UNITS", "Row", "TableReading", "read_table"]

AMOUNT_UNITS = {"cells": 1.0, "1e6 cells": 1e6, "Mcell": 1e6}
TIME_UNITS = {"day": 1.0, "hour": 24.0}
_OWN = ("day", "date", "product", "cells", "duration", "label")
_NONMEM = ("time", "amt", "rate", "dur", "ii", "addl", "cmt", "evid", "ss")
_OBSERVED = ("id", "dv", "mdv", "cens", "limit", "dvid", "row")  # say nothing about a dose
_TOO_MANY = "(cells beyond the last column)"
_MOST = 10_000  # further doses one row may ask for
_SAME = 1e-6  # RATE, DUR and AMT of a printed table agree to so much, relative


class Row(NamedTuple):
    """One dose as read, not yet judged; `row` is where it stands."""

    day: Any
    product: Any
    cells: Any
    duration: Any
    label: Any
    row: int


@dataclass(frozen=True)
class TableReading:
    """What a table says: its doses, the date of day 0 if it tells, and everything wrong with it."""

    rows: tuple[Row, ...]
    day_zero: date | None
    problems: tuple[Problem, ...]
    file: str


class _UnreadableError(ValueError):
    """A cell of the table that cannot be what its column says; the message is the complaint."""


def _lines(source: Any) -> tuple[str, list[str], list[tuple[int, dict[str, Any]]]]:
    """Name of the table, its columns, its rows with their numbers."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                header = stream.readline()
                stream.seek(0)
                separator = next((mark for mark in "\t;" if mark in header), ",")
                reader = csv.DictReader(stream, delimiter=separator, restkey=_TOO_MANY, strict=True)
                lines = [(reader.line_num, row) for row in reader]
                return str(source), list(reader.fieldnames or ()), lines
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise _UnreadableError(f"{source} cannot be read as a table: {error}.") from None
    columns = [str(name) for name in getattr(source, "columns", ())]
    try:
        rows = list(source.to_dict("records") if columns else source)
    except TypeError:
        rows = [source]
    if strange := [row for row in rows if not isinstance(row, Mapping)]:
        raise _UnreadableError(
            f"A table is a path, a DataFrame or rows of name and value, not {strange[0]!r}."
        )
    columns = columns or list(dict.fromkeys(str(name) for row in rows for name in row))
    return "table", columns, [(number, dict(row)) for number, row in enumerate(rows, start=1)]


def _missing(value: object) -> bool:
    """Empty, NONMEM's lone dot, None, NaN or NaT."""
    return value is None or (isinstance(value, str) and value.strip() in ("", ".")) or value != value


@dataclass
class _Reader:
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
        if _missing(value):
            return absent
        if isinstance(value, str) and self.from_text and "_" not in value:
            try:
                return float(value)
            except ValueError:
                raise _UnreadableError(f"{column} {value!r} is not a number.") from None
        if isinstance(value, Real) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return math.inf
        raise _UnreadableError(f"{column} {value!r} is {type(value).__name__}, not a number.")

    def day(self, row: Mapping[str, Any]) -> float:
        dated = not _missing(row.get("date"))
        timed = next((name for name in ("day", "time") if not _missing(row.get(name))), "")
        if not dated and not timed:
            raise _UnreadableError("neither day nor date is given.")
        day = self.number(row, timed) / (self.hours if timed == "time" else 1.0) if timed else math.nan
        if not dated:
            return day
        try:
            if not timed:
                return day_of(row["date"], self.day_zero)
            written = as_date(row["date"])
            if self.day_zero is None:
                self.day_zero = written - timedelta(days=math.floor(day))
            if date_of(day, self.day_zero) != written:
                raise _UnreadableError(
                    f"day {day:g} is {date_of(day, self.day_zero)}, but the date says {written}."
                )
        except (ValueError, OverflowError) as error:
            raise _UnreadableError(f"{str(error).rstrip('.')}.") from None
        return day

    def named(self, row: Mapping[str, Any]) -> Any:
        """The product of a row."""
        if not _missing(row.get("product")):
            product = row["product"]
            return product.strip() if self.from_text else product
        compartment = row.get("cmt")
        if _missing(compartment):
            if self.product is None:
                raise _UnreadableError(
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
            known = f"compartments={{{numeral}: 'rfib'}}"
            raise _UnreadableError(f"CMT {numeral} does not say which product it is; tell with {known}.")
        return str(compartment).strip()

    def duration(self, row: Mapping[str, Any], amount: float) -> float:
        """Days of infusion from DUR, RATE or both."""
        stated = self.number(row, "duration")
        rate = self.number(row, "rate")
        given = self.number(row, "dur") / self.hours
        if rate < 0:
            raise _UnreadableError(
                f"RATE {rate:g} asks the model for it, and no model here has a rate or duration."
            )
        if stated and (given or rate):
            raise _UnreadableError("duration stands beside DUR or RATE; keep one of them.")
        if rate == 0:
            return stated or given
        implied = amount / rate / self.hours
        if given and not math.isclose(given, implied, rel_tol=_SAME):
            raise _UnreadableError(f"AMT/RATE is {implied:.6g} days, but DUR says {given:.6g} days.")
        return given or implied

    def is_dose(self, row: Mapping[str, Any]) -> bool:
        """False for an observation; anything that is neither is refused."""
        if self.number(row, "ss"):
            raise _UnreadableError(
                "SS asks for a steady state, and no patient starts in one; write the doses out."
            )
        amount = self.number(row, "amt") if "amt" in row else self.number(row, "cells")
        if _missing(row.get("evid")):
            return not (self.has_dv and amount == 0)
        event = self.number(row, "evid")
        if event == 0:
            if amount:
                raise _UnreadableError(f"EVID 0 is an observation, but the row has an amount of {amount:g}.")
            return False
        if event != 1:
            raise _UnreadableError(f"EVID {event:g} is neither a dose (1) nor an observation (0).")
        return True

    def doses(self, number: int, row: Mapping[str, Any]) -> Iterable[Row]:
        """The doses of one row, those of ADDL and II written out."""
        if not self.is_dose(row):
            return
        column = "amt" if "amt" in row else "cells"
        if _missing(row.get(column)):
            raise _UnreadableError(f"{column} is empty.")
        amount = self.number(row, column)
        duration = self.duration(row, amount)
        cells = amount * self.amount if column == "amt" else amount
        interval = self.number(row, "ii") / self.hours
        more = self.number(row, "addl")
        if more not in range(_MOST + 1):
            raise _UnreadableError(f"ADDL {more:g} is not a count of further doses (0 to {_MOST}).")
        if interval < 0 or (more and not interval > 0):
            raise _UnreadableError(f"ADDL {more:g} needs a positive interval II, not {interval:g}.")
        label = row.get("label")
        if not isinstance(label, str) and _missing(label):
            label = ""
        day, product = self.day(row), self.named(row)
        for step in range(int(more) + 1):
            yield Row(day + step * interval, product, cells, duration, label, number)


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
    try:
        file, header, lines = _lines(source)
    except _UnreadableError as error:
        return TableReading((), day_zero, (Problem(what=str(error)),), "")
    if time_unit not in TIME_UNITS:
        problem = Problem(what=f"time_unit is one of {', '.join(TIME_UNITS)}, not {time_unit!r}.", file=file)
        return TableReading((), day_zero, (problem,), file)
    rows = [
        (number, {str(name).strip().lower(): each for name, each in row.items()}) for number, row in lines
    ]
    columns = [name.strip().lower() for name in header]
    aside = [name.lower() for name in ignore]
    problems = _header_problems(columns, amount_unit, aside, file) if columns or rows else []
    if isinstance(source, str | PathLike) and not columns:
        problems.append(Problem(what="the table is empty, its header included.", file=file))
    problems += [
        Problem(what="more cells than the header has columns.", file=file, row=number)
        for number, row in rows
        if _TOO_MANY in row
    ]
    subjects = {str(row["id"]) for _, row in rows if "id" in row}
    if len(subjects) > 1:
        what = (
            f"{len(subjects)} values of ID ({', '.join(sorted(subjects)[:5])}): give the rows of one patient."
        )
        problems.append(Problem(what=what, file=file))
    if problems:
        return TableReading((), day_zero, tuple(problems), file)
    reader = _Reader(
        from_text=isinstance(source, str | PathLike),
        amount=AMOUNT_UNITS.get(amount_unit or "cells", 1.0),
        hours=TIME_UNITS[time_unit],
        product=product,
        compartments=compartments or {},
        day_zero=day_zero,
        has_dv="dv" in columns,
    )
    doses: list[Row] = []
    for number, row in rows:
        try:
            doses.extend(
                reader.doses(number, {name: each for name, each in row.items() if name not in aside})
            )
        except _UnreadableError as error:
            problems.append(Problem(what=str(error), file=file, row=number))
    return TableReading(tuple(doses), reader.day_zero, tuple(problems), file)
