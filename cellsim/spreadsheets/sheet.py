"""Sheets as people keep them, cell by cell: Excel's, separated text, and data frames.

A sheet is a grid with the row and column a person sees, so that every complaint can name the place. Nothing is
decided here about what the cells mean; what Excel hides or changes is doubted: hidden rows and columns, merged cells,
formulas that were never worked out, the calendar of old Macs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellsim.delimited import file_text, is_missing, misfit, separated_cells, separator_of
from cellsim.errors import CaseError, CellsimError, Problem, did_you_mean
from cellsim.foreign.archives import judge_workbook

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Sheet", "column_letters", "read_sheet", "sheet_of"]

Value = str | float | date | None
_EXCEL = (".xlsx", ".xlsm")
_OLD = (".xls", ".xlsb", ".ods", ".numbers")
_TEXT = (".csv", ".tsv", ".txt")
_MOST = 100_000  # cells of one sheet; one of a laboratory has some hundreds


@dataclass(frozen=True)
class Cell:
    """One cell: what stands in it, and where.

    Attributes
    ----------
    value : str, float, datetime.date or None
        Text without blanks around it, a number, a date, or nothing.
    row, column : int
        As a person counts them, from 1.
    """

    value: Value
    row: int
    column: int

    @property
    def text(self) -> str:
        """The cell as text; a whole number without its point, a date as year-month-day, nothing as ''.

        Examples
        --------
        >>> Cell(12.0, 2, 1).text, Cell(None, 2, 1).text
        ('12', '')
        """
        if self.value is None:
            return ""
        if isinstance(self.value, float):
            whole = self.value == int(self.value) and abs(self.value) < 1e15
            return str(int(self.value)) if whole else repr(self.value)
        return str(self.value)

    @property
    def place(self) -> str:
        """The cell's name in a spreadsheet.

        Examples
        --------
        >>> Cell("CRP", 3, 28).place
        'AB3'
        """
        return f"{column_letters(self.column)}{self.row}"


def column_letters(column: int) -> str:
    """A column's letters in a spreadsheet, counted from 1.

    Examples
    --------
    >>> column_letters(1), column_letters(27)
    ('A', 'AA')
    """
    out = ""
    while column > 0:
        column, last = divmod(column - 1, 26)
        out = chr(ord("A") + last) + out
    return out


@dataclass(frozen=True)
class Sheet:
    """A grid of cells without its blank rows and columns.

    Attributes
    ----------
    file : str
        File, and sheet where it has several, for complaints.
    rows : tuple of tuple of Cell
        Every row as wide as the widest.
    problems : tuple of Problem
        What was hidden, merged or not worked out; quotes and numbers of cells that cannot be right.
    decimal_comma : bool
        Whether cells are separated by semicolons, so that a comma in a number can only be the decimal mark.
    """

    file: str
    rows: tuple[tuple[Cell, ...], ...]
    problems: tuple[Problem, ...] = ()
    decimal_comma: bool = False

    def problem(self, cell: Cell, what: str, remedy: str = "", *, severity: str = "error") -> Problem:
        """A complaint about one cell, which names its column beside its row."""
        return Problem(
            what=f"{cell.place}: {what}", remedy=remedy, file=self.file, row=cell.row, severity=severity
        )


def read_sheet(source: str | PathLike[str] | pd.DataFrame, *, sheet: str = "") -> Sheet:
    """Read one sheet.

    Parameters
    ----------
    source : path or DataFrame
        ``.xlsx`` or ``.xlsm``; ``.csv``, ``.tsv`` or ``.txt`` in UTF-8, separated by commas, semicolons or tabs; or a
        data frame, whose column names are row 1.
    sheet : str
        Which sheet of a workbook; it must be named where several hold something.

    Returns
    -------
    Sheet

    Raises
    ------
    CaseError
        It cannot be opened, is of another kind, is empty, or holds several sheets and none is named.

    Examples
    --------
    >>> import pandas as pd
    >>> [cell.text for cell in read_sheet(pd.DataFrame({"day": [0], "CRP": [12.5]})).rows[1]]
    ['0', '12.5']
    """
    if hasattr(source, "columns") and hasattr(source, "itertuples"):
        grid = [list(source.columns), *(list(each) for each in source.itertuples(index=False, name=None))]
        return _sheet("table", list(enumerate(([_plain(each) for each in row] for row in grid), start=1)))
    path = Path(source)
    kind = path.suffix.lower()
    try:
        if kind in _EXCEL:
            return _workbook(path, sheet)
        if kind in _TEXT:
            return _text_sheet(str(path), file_text(path))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path} cannot be read: {error}.") from None
    remedy = "Save it as .xlsx or as CSV." if kind in _OLD else f"Read are {', '.join((*_EXCEL, *_TEXT))}."
    raise CaseError(f"{path} is a file of kind {kind or 'none'}. {remedy}")


def _text_sheet(file: str, text: str) -> Sheet:
    separator, text = separator_of(text)
    lines, complaints = separated_cells(text, separator, comments=True)
    header = next(
        (k for k, (_, cells) in enumerate(lines) if sum(bool(each.strip()) for each in cells) > 1), 0
    )
    columns = len(lines[header][1]) if lines else 0
    for row, cells in lines[header + 1 :]:
        if said := misfit(cells, columns, separator):
            complaints.append((row, *said))
    problems = tuple(
        Problem(what=what, remedy=remedy, file=file, row=row) for row, what, remedy in complaints
    )
    # what is beyond the header has been told
    grid = [(row, [_plain(each) for each in cells[:columns]]) for row, cells in lines]
    return _sheet(file, grid, problems, decimal_comma=separator == ";")


def _plain(value: Any) -> Value:
    """A cell of any library as text, number, date or nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value != value:
        return None
    if isinstance(value, str):
        text = value.strip().replace("\N{NO-BREAK SPACE}", " ").strip()
        # a formula of the spreadsheet that found nothing is no empty cell
        return None if is_missing(text) and not text.startswith("#") else text
    if isinstance(value, bool):
        return str(value)
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if isinstance(value, datetime):
        # a time of day at midnight is a date that a spreadsheet stored
        return value.date() if (value.hour, value.minute, value.second) == (0, 0, 0) else value
    if isinstance(value, date):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).strip()


def _sheet(
    file: str,
    grid: Sequence[tuple[int, list[Value]]],
    problems: tuple[Problem, ...] = (),
    *,
    decimal_comma: bool = False,
) -> Sheet:
    width = max((len(row) for _, row in grid), default=0)
    if width * len(grid) > _MOST:
        raise CaseError(f"{file} has {len(grid)} rows of {width} cells; one patient's have some hundreds.")
    cells = [
        tuple(Cell(row[j] if j < len(row) else None, number, j + 1) for j in range(width))
        for number, row in grid
    ]
    used = {cell.column for row in cells for cell in row if cell.value is not None}
    rows = tuple(
        tuple(cell for cell in row if cell.column in used)
        for row in cells
        if any(cell.value is not None for cell in row)
    )
    if not rows:
        raise CaseError(f"{file} is empty. Is it another file, or another sheet (FILE.xlsx::SHEET)?")
    return Sheet(file, rows, problems, decimal_comma)


def _workbook(path: Path, wanted: str) -> Sheet:
    import openpyxl

    try:
        judge_workbook(path)
        book = openpyxl.load_workbook(path, data_only=True)
    except CellsimError as error:
        raise CaseError(str(error)) from None
    except Exception as error:  # openpyxl ends with whatever was raised underneath where a file is damaged
        raise CaseError(f"{path} is no workbook of Excel that can be read: {error}.") from None
    filled = {each.title: each for each in book.worksheets if _holds_something(each)}
    if wanted and wanted not in filled:
        raise CaseError(f"{path} has no sheet {wanted!r} with cells in it. {did_you_mean(wanted, filled)}")
    if not filled:
        titles = ", ".join(each.title for each in book.worksheets)
        raise CaseError(
            f"{path} is empty: no sheet has cells in it ({titles}). Is it another file? FILE.xlsx::SHEET names one of several sheets."
        )
    if not wanted and len(filled) > 1:
        raise CaseError(
            f"{path} has {len(filled)} sheets with cells in them: {', '.join(filled)}. "
            f"Name one, like {path.name}::{next(iter(filled))}."
        )
    page = filled[wanted or next(iter(filled))]
    file = str(path) if len(filled) == 1 else f"{path}, sheet {page.title}"
    rows = page.iter_rows(min_row=1, min_col=1)
    grid = list(enumerate(([_plain(_shown(each)) for each in row] for row in rows), start=1))
    return _sheet(file, grid, tuple(_doubts_of(book, path, page, file)))


def _shown(cell: Any) -> Any:
    """What a cell of a workbook holds; per cents as it shows them, for it holds the hundredth part."""
    if isinstance(cell.value, int | float) and "%" in str(cell.number_format):
        return f"{100 * cell.value:.12g} %"
    return cell.value


def _holds_something(page: Any) -> bool:
    return any(value is not None for row in page.iter_rows(values_only=True) for value in row)


def _doubts_of(book: Any, path: Path, page: Any, file: str) -> Iterator[Problem]:
    """What a workbook shows otherwise than it holds."""
    import openpyxl

    def doubt(what: str, remedy: str, row: int | None = None) -> Problem:
        return Problem(what=what, remedy=remedy, file=file, row=row, severity="doubt")

    if book.epoch.year == 1904:
        dated = (cell for row in page.iter_rows() for cell in row if isinstance(cell.value, date))
        first = next(dated, None)
        read = "" if first is None else f"; {first.coordinate} is read as {_plain(first.value)}"
        what = f"the workbook counts days from 1904, as old Macs did{read}."
        remedy = "Compare its dates with the source: copied from another workbook they are four years off."
        yield doubt(what, remedy, None if first is None else first.row)
    if page.sheet_state != "visible":
        yield doubt(f"the sheet {page.title} is hidden.", "Is it the one that is meant?")
    for merged in page.merged_cells.ranges:
        what = f"the cells {merged} are merged: only {merged.coord.split(':')[0]} holds a value, the others none."
        yield doubt(what, "Unmerge them and write the value in each cell it holds for.", merged.min_row)
    hidden = [number for number, about in page.row_dimensions.items() if about.hidden]
    hidden_columns = [letters for letters, about in page.column_dimensions.items() if about.hidden]
    for kind, names in (("row", hidden), ("column", hidden_columns)):
        if names:
            several = len(names) > 1
            what = f"{kind}{'s' * several} {_listed(names)} {'are' if several else 'is'} hidden, and read all the same."
            yield doubt(what, "Delete those not meant.", hidden[0] if kind == "row" else None)
    formulas = openpyxl.load_workbook(path)[page.title]
    for row in formulas.iter_rows():
        for cell in row:
            if cell.data_type == "f" and page[cell.coordinate].value is None:
                yield doubt(
                    f"{cell.coordinate} holds the formula {str(cell.value)[:40]!r}, whose result was never stored.",
                    "Open and save the file in a spreadsheet, or paste values.",
                    cell.row,
                )


def _listed(names: list[Any]) -> str:
    return ", ".join(map(str, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def sheet_of(source: str | PathLike[str] | pd.DataFrame) -> Sheet:
    """Read what a user names: a path, ``FILE.xlsx::SHEET``, or a data frame.

    Examples
    --------
    >>> import pandas as pd
    >>> sheet_of(pd.DataFrame({"a": [1]})).file
    'table'
    """
    if isinstance(source, str | PathLike):
        found = re.fullmatch(r"(.+\.xls[xm])::(.+)", str(source), re.IGNORECASE)
        return read_sheet(found[1], sheet=found[2]) if found else read_sheet(source)
    if hasattr(source, "itertuples"):
        return read_sheet(source)
    raise CaseError(f"A sheet is a path or a DataFrame, not {type(source).__name__}.")
