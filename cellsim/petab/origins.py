"""Where a row of a case came from: tables made from spreadsheets keep the cell, and complaints about a row name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from cellsim.delimited import read_table_text
from cellsim.errors import Problem

__all__ = ["cell_of", "with_origins"]

_CELL = re.compile(r"[A-Z]{1,3}\d+( and [A-Z]{1,3}\d+)* of \S.*")
_COLUMNS = ("source", "note")


def cell_of(place: str, file: str) -> str:
    """What a row made from a cell of a sheet says in its column ``source``.

    Examples
    --------
    >>> cell_of("F4", "lab.xlsx")
    'F4 of lab.xlsx'
    """
    return f"{place} of {file}"


def with_origins(problems: Iterable[Problem], texts: Mapping[str, str]) -> Iterator[Problem]:
    """Complaints about rows, with the cell of the spreadsheet that each row was made from.

    Parameters
    ----------
    problems : iterable of Problem
    texts : mapping of str to str
        The tables of the case by file name.

    Examples
    --------
    >>> table = "visitId\\tsource\\nv1\\tB3 of lab.xlsx\\n"
    >>> [str(each) for each in with_origins([Problem(what="no date.", file="visits.tsv", row=2)], {"visits.tsv": table})]
    ['visits.tsv, row 2: no date. It was made from B3 of lab.xlsx.']
    """
    known: dict[str, dict[int, str]] = {}
    for each in problems:
        if each.file in texts and each.row is not None:
            if each.file not in known:
                known[each.file] = _cells(texts[each.file])
            if (cell := known[each.file].get(each.row)) and cell not in each.what:
                yield replace(each, what=f"{each.what} It was made from {cell}.")
                continue
        yield each


def _cells(text: str) -> dict[int, str]:
    """The cell that each row of a table was made from, by its line."""
    if not re.search(r"\t[A-Z]{1,3}\d+( and [A-Z]{1,3}\d+)* of ", text):
        return {}
    return {
        row: cells[column].strip()
        for row, cells in read_table_text(text, "\t").rows
        for column in _COLUMNS
        if _CELL.fullmatch(cells.get(column, "").strip())
    }
