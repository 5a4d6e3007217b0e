"""Tables of doses as rows: our own columns, and those of NONMEM and its relatives.

Text is read as text and turned into numbers here, so that a label ``007`` stays one and a decimal comma
is refused instead of misread. A column nobody knows is refused too: a misspelt ``duraton`` would
otherwise turn infusions into boluses without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from os import PathLike
from typing import Any

from cellsim.delimited import file_text, read_table_text, separator_of
from cellsim.dosing.infusions import number_complaints
from cellsim.dosing.restarts import Reset, Restart, SteadyState
from cellsim.dosing.row_reader import (
    ABSORPTION,
    DoseRow,
    Event,
    RowReader,
    UnreadableError,
    is_blank,
    is_not_there,
)
from cellsim.errors import Problem, ScheduleError, did_you_mean

__all__ = ["AMOUNT_UNITS", "TIME_UNITS", "TableReading", "TextTable", "read_table", "text_table"]

AMOUNT_UNITS = {"cells": 1.0, "1e6 cells": 1e6, "Mcell": 1e6}
TIME_UNITS = {"day": 1.0, "hour": 24.0}
_OWN = ("day", "date", "product", "cells", "duration", "label", "lag", "bioavailability")
_NONMEM = ("time", "amt", "rate", "dur", "ii", "addl", "cmt", "evid", "ss", "alag", "f")
_OBSERVED = ("id", "dv", "mdv", "cens", "limit", "dvid", "row")  # say nothing about a dose


@dataclass(frozen=True)
class TableReading:
    """What a table says: its doses, the date of day 0 if it tells, and everything wrong with it.

    `observed` are the observations as they stand, for `reader` to read.
    """

    rows: tuple[DoseRow, ...]
    day_zero: date | None
    problems: tuple[Problem, ...]
    file: str
    observed: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    reader: RowReader | None = None
    restarts: tuple[Restart, ...] = ()


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
        if number not in left_out and not is_not_there(row.get("c"))
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
    pairs = (("cells", "amt"), ("day", "time"), ("product", "cmt"), ("lag", "alag"), ("bioavailability", "f"))
    for one, other in pairs:
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
    absorption: Mapping[str, Mapping[str, float]] | None,
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
    problems += [Problem(what=what, file=file) for what in _absorption_complaints(absorption or {})]
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
        absorption=absorption or {},
    )
    told: list[tuple[float, int, Event]] = []
    observed: list[tuple[int, Mapping[str, Any]]] = []
    for number, row in rows:
        read = {name: each for name, each in row.items() if name not in aside}
        try:
            if reader.kind(read)[2]:
                observed.append((number, read))
                continue
            events = list(reader.events(number, read, file))
            told += [(events[0].day, number, each) for each in events]
        except UnreadableError as error:
            problems.append(Problem(what=str(error), file=file, row=number))
    given = {each.product for _, _, each in told if not isinstance(each, Reset)}
    problems += [
        Problem(what=f"absorption: no dose is of {name!r}.", remedy=did_you_mean(name, given), file=file)
        for name in (absorption or {})
        if name not in given and not problems
    ]
    kept = _standing(told)
    return TableReading(
        tuple(each for each in kept if isinstance(each, DoseRow)),
        reader.day_zero,
        tuple(problems),
        file,
        tuple(observed),
        reader,
        tuple(each for each in kept if not isinstance(each, DoseRow)),
    )


def _standing(told: Sequence[tuple[float, int, Event]]) -> list[Event]:
    """What a table tells of, in order of time, without what a later row takes back.

    A reset, or a steady state that takes the place of what is there, cancels the further doses (ADDL) of rows before it, and
    whatever rows before it gave at the same instant. Doses of earlier days are kept: they were given.
    """
    order = sorted(told, key=lambda each: each[:2])
    kept: list[Event] = []
    for _, _, event in order:
        if isinstance(event, Reset) or (isinstance(event, SteadyState) and not event.added):
            kept = [each for each in kept if each.day < event.day]
        kept.append(event)
    return kept


def _absorption_complaints(absorption: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for product, said in absorption.items():
        for name, value in said.items():
            what = f"absorption of {product!r}: {name}"
            if name not in ABSORPTION:
                yield f"{what} is none of {', '.join(ABSORPTION)}. {did_you_mean(name, ABSORPTION)}".strip()
            elif wrong := [*number_complaints(what, value)]:
                yield from wrong
            elif value < 0 or (name != "lag" and value == 0):
                yield f"{what} {value:g} is {'negative' if name == 'lag' else 'not above zero'}."
