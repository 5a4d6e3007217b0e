"""Make each mistake of `forty` in a copy of what is right, and grade what is said about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl

import cellsim as cs
from cellsim.errors import CaseError, Problem

if TYPE_CHECKING:
    from forty import Mistake

POINTS = ("file", "row", "column", "remedy")


def said_of_sheets(made: Mistake, folder: Path, sheets: dict[str, list[list[Any]]]) -> list[Problem]:
    """Everything `cellsim new` says of two workbooks, one with the mistake."""
    values = made.sheet if made.sheet != "doses" else "wide"
    _workbook(folder / "lab.xlsx", "values", sheets[values], made if made.sheet == values else None)
    _workbook(folder / "treatment.xlsx", "doses", sheets["doses"], made if made.sheet == "doses" else None)
    try:
        return cs.new_case(folder / "lab.xlsx", folder / "treatment.xlsx", name="p").check()
    except CaseError as error:
        return list(error.problems)


def _workbook(path: Path, title: str, rows: list[list[Any]], made: Mistake | None) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.title = title
    for row in deepcopy(rows) if made is None or "empty" not in made.done else ():
        page.append(row)
    if made is not None:
        for cell, value in made.typed.items():
            page[cell] = value
        for each in made.done:
            what, _, where = each.partition(" ")
            if what == "merge":
                page.merge_cells(where)
            elif what == "hide":
                page.row_dimensions[int(where)].hidden = True
            elif what == "hidecol":
                page.column_dimensions[where].hidden = True
            elif what == "1904":
                book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.save(path)


def said_of_folder(made: Mistake, texts: dict[str, str]) -> list[Problem]:
    """Everything `cellsim check` says of the tables of a case with the mistake."""
    texts = dict(texts)
    if "delete" in made.done:
        del texts[made.sheet]
    if made.typed:
        rows = [line.split("\t") for line in texts[made.sheet].splitlines()]
        names = list(rows[0])
        for (row, column), value in made.typed.items():
            line = rows[row - 1]
            line += [""] * (len(names) - len(line))
            line[names.index(column)] = value
        texts[made.sheet] = "".join("\t".join(row) + "\n" for row in rows)
    try:
        return cs.check(cs.load_case(texts))
    except CaseError as error:
        return list(error.problems)


def points(made: Mistake, problem: Problem) -> set[str]:
    """Which of the four points one message has: file (or sheet), row, column, remedy."""
    text = str(problem)
    found = {"file"} if made.place.file in text else set()
    row, column = made.place.row, made.place.column
    if row is None or re.search(rf"\brows? {row}\b|\b[A-Z]{{1,2}}{row}\b", text):
        found.add("row")
    letters = r"\d+" if row is None else str(row)
    if column is None or re.search(rf"\bcolumns? '?{column}\b|\b{column}{letters}\b", text):
        found.add("column")
    if any(word.lower() in text.lower() for word in made.remedy):
        found.add("remedy")
    return found


def best(made: Mistake, said: Sequence[Problem]) -> tuple[set[str], str]:
    """The message that has most of the points, and which."""
    if not said:
        return set(), ""
    return max(((points(made, each), str(each)) for each in said), key=lambda pair: len(pair[0]))
