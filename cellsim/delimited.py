"""Tables as text: every row is read, or told with its place; a number is what a person would read there.

Python's own readers are kinder than a table of doses allows: ``csv`` lets a quote swallow the rows below it, and
``float`` takes ``1_000``, digits of other scripts, and ``1e400`` for infinity.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

__all__ = [
    "LARGEST",
    "MISSING",
    "Table",
    "file_text",
    "is_missing",
    "misfit",
    "read_number",
    "read_table_text",
    "separated_cells",
    "separator_of",
    "why_no_number",
]

MISSING = frozenset(
    {
        "",
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "#NA",
        "<NA>",
        "NaN",
        "nan",
        "NaT",
    }
)
"""What spreadsheets, databases, R, pandas and people write where nothing stands."""

LARGEST = 500_000_000
"""Bytes of one file. The largest published model has some 30 million."""

_MOST_CELLS = 5_000_000
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[^\S\n]*(?:\n|$)', re.IGNORECASE)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\b", re.ASCII)
_QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')


def is_missing(text: str) -> bool:
    """Whether a cell says that nothing stands in it.

    Examples
    --------
    >>> is_missing(" NA "), is_missing("0")
    (True, False)
    """
    return text.strip() in MISSING


def read_number(text: str) -> float:
    """The number in a cell, blanks around it aside.

    Parameters
    ----------
    text : str
        ``"-1.5e3"``, or ``"inf"``: digits 0 to 9, a decimal point, a power of ten. Nothing else is a number:
        no comma, no separator of thousands, no unit, no digit of another script.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        In words, for what is no number, and for one that no double-precision number is near to.

    Examples
    --------
    >>> read_number(" 1.5e3 ")
    1500.0
    """
    plain = text.strip()
    if _INFINITE.fullmatch(plain):
        return float(plain)
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"{plain!r} is not a number")
    value = float(plain)
    if math.isinf(value):
        raise ValueError(f"{plain} is not a finite number for a computer (1.8e308 is the largest)")
    if value == 0 and re.search("[1-9]", re.split("[eE]", plain)[0]):
        raise ValueError(f"{plain} is nearer to zero than any number of a computer")
    return value


def why_no_number(text: str) -> str:
    """What to write in place of what is no number.

    Examples
    --------
    >>> why_no_number("\\N{MINUS SIGN}2")
    "Write it with plain characters: '−' is MINUS SIGN."
    >>> why_no_number("56,2"), why_no_number("1,234")
    ('Write 56.2, with a decimal point.', 'Write 1.234 or 1234, with a decimal point.')
    """
    strange = next((each for each in text.strip() if not " " <= each <= "~"), None)
    if strange is not None:
        name = unicodedata.name(strange, f"character {ord(strange)}")
        return f"Write it with plain characters: {strange!r} is {name}."
    plain = text.strip()
    if re.fullmatch(r"[+-]?\d*,\d+", plain):
        thousands = f" or {plain.replace(',', '')}" if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", plain) else ""
        return f"Write {plain.replace(',', '.')}{thousands}, with a decimal point."
    if re.fullmatch(r"[+-]?\d{1,3}([ _'.,]\d{3})+", plain):
        return f"Write {re.sub(r'[^0-9+-]', '', plain)}, without separators of thousands."
    if found := re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*([A-Za-z%\N{MICRO SIGN}].*)", plain):
        return f"Write {plain.removesuffix(found[2]).strip()} alone; a unit has a column of its own."
    if re.match("[<>]", plain):
        return "Write a number; a value below or above a limit is a censored one (extended.tsv)."
    return "Write 12.5, not '12,5', '1 000', '1_000' or '12.5 pg/mL'."


def file_text(path: str | PathLike[str]) -> str:
    """The text of a file in UTF-8, with ``\\n`` at the end of every line, whatever it was written with.

    Raises
    ------
    ValueError
        In words: more than :data:`LARGEST` bytes; another encoding, with the row and what it would be in the one of Windows.
    OSError
        The file cannot be opened.
    """
    if (size := Path(path).stat().st_size) > LARGEST:
        raise ValueError(f"it has {size} bytes; {LARGEST} are read")
    data = Path(path).read_bytes()
    begin = data[:400]
    empty = begin.count(b"\0") / max(len(begin), 1)
    # plain letters are one byte of two in UTF-16 and one of four in UTF-32, whose mark begins as that of UTF-16 does
    if begin[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or empty > 0.6:
        raise ValueError("it is UTF-32, not UTF-8; save it as UTF-8 (in Excel: 'CSV UTF-8')")
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff") or empty > 0.25:
        raise ValueError("it is UTF-16, not UTF-8; save it as UTF-8 (in Excel: 'CSV UTF-8')")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        there = data[error.start : error.start + 1]
        seen = there.decode("cp1252", "replace")
        raise ValueError(
            f"it is not UTF-8: in row {row} stands the byte 0x{there.hex()}, {seen!r} in the encoding of Windows; "
            "save it as UTF-8 (in Excel: 'CSV UTF-8')"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def separator_of(text: str) -> tuple[str, str]:
    """What separates the cells of a text, and the text with Excel's first line ``sep=;`` blank.

    It is what that line says, else the one of tab, semicolon and comma that stands most often in the header outside
    quotes; a comma when none does.

    Examples
    --------
    >>> separator_of('day,cells,"label; remark"\\n')[0]
    ','
    >>> separator_of("sep=;\\nday;cells\\n")
    (';', '\\nday;cells\\n')
    """
    if said := _SEPARATOR_LINE.match(text):
        return said[1], "\n" + text[said.end() :]
    header = next((line for line in text.split("\n") if line.strip() and line[0] != "#"), "")
    bare = _QUOTED.sub("", header).rstrip()
    found = max("\t;,", key=bare.count)
    return (found if found in bare else ","), text


@dataclass(frozen=True)
class Table:
    """What a text says as a table.

    Attributes
    ----------
    columns : tuple of str
        Names in the header, blanks around them aside; the nameless ones are not among them.
    rows : tuple of (int, dict)
        Line of the file (the header of a file without blank lines is 1), and cells by column.
    complaints : tuple of (int, str, str)
        Line, what is wrong there, and what to do: a row with a complaint is not among the rows, or stands among
        them as if its quotes were letters.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    complaints: tuple[tuple[int, str, str], ...]


def read_table_text(text: str, separator: str, *, comments: bool = False) -> Table:
    """Read separated text with a header.

    A cell in quotes may hold separators, and lines without separators; two quotes are one. A quote that takes in
    whole rows is complained about where it opens, and so is one that never closes. Blank lines are nothing, and
    blank cells beyond the last column neither. Cells may be missing at the end of a row only where the separator is
    a tab, which editors drop with other trailing blanks.

    Parameters
    ----------
    text : str
    separator : str
        One character.
    comments : bool
        Whether lines that begin with ``#`` are left aside. One that could be a row, with as many cells as the header
        and a number or date among them, is complained about, unless it begins with ``##``.

    Returns
    -------
    Table

    Examples
    --------
    >>> read_table_text("a,b\\n1,2\\n", ",").rows
    ((2, {'a': '1', 'b': '2'}),)
    """
    lines, complaints = separated_cells(text, separator, comments)
    columns: list[str] = []
    rows: list[tuple[int, dict[str, str]]] = []
    for row, cells in lines:
        if not columns:
            columns = [cell.strip() for cell in cells]
            for name in sorted({each for each in columns if each and columns.count(each) > 1}):
                complaints.append((row, f"two columns are called {name!r}.", "Keep one."))
            continue
        if said := misfit(cells, len(columns), separator):
            complaints.append((row, *said))
            continue
        padded = cells + [""] * (len(columns) - len(cells))
        nameless = [cell for name, cell in zip(columns, padded) if not name and cell.strip()]
        if nameless:
            complaints.append(
                (row, f"{nameless[0]!r} stands under no name.", "Give its column one in the header.")
            )
            continue
        rows.append((row, {name: cell for name, cell in zip(columns, padded) if name}))
    return Table(tuple(name for name in columns if name), tuple(rows), tuple(sorted(complaints)))


def misfit(cells: Sequence[str], columns: int, separator: str) -> tuple[str, str] | None:
    """What is wrong with the number of cells of a row, and what to do; None when they fit.

    Examples
    --------
    >>> misfit(["0", "12", "5"], 2, ",")
    ('3 cells under 2 columns.', 'Check the commas.')
    """
    surplus = any(cell.strip() for cell in cells[columns:])
    if not surplus and (len(cells) >= columns or separator == "\t"):
        return None
    name = {"\t": "tabs", ",": "commas", ";": "semicolons"}.get(separator, "separators")
    return f"{len(cells)} cells under {columns} columns.", f"Check the {name}."


def separated_cells(
    text: str, separator: str, comments: bool
) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str, str]]]:
    """Cells of every line that is not blank, with its number, and what is wrong with quotes.

    Examples
    --------
    >>> separated_cells("a,b\\n\\n1,2\\n", ",", comments=False)
    ([(1, ['a', 'b']), (3, ['1', '2'])], [])
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    unquoted = re.compile(f"[^{re.escape(separator)}\n]*")
    lines: list[tuple[int, list[str]]] = []
    complaints: list[tuple[int, str, str]] = []
    place, row, count = 0, 1, 0
    while place < len(text):
        begin = row
        if count > _MOST_CELLS:
            complaints.append(
                (
                    row,
                    f"more than {_MOST_CELLS} cells: only those above are read.",
                    "Is it a table of something else?",
                )
            )
            break
        if comments and text[place] == "#":
            line = text[place:].partition("\n")[0]
            if lines and _may_be_row(line, separator, len(lines[0][1])):
                what = "the line begins with '#', but has the cells of a row: is it a comment or a row?"
                remedy = "Begin a comment with '##'; put a first cell that begins with '#' in quotes."
                complaints.append((row, what, remedy))
            place, row = place + len(line) + 1, row + 1
            continue
        cells: list[str] = []
        while True:
            found = _quoted(text, place, separator)
            if isinstance(found, str):
                complaints.append((begin, found, "Close the quote in its own row, or remove it."))
            if found is None or isinstance(found, str):
                end = unquoted.match(text, place).end()  # type: ignore[union-attr] # it matches nothing, too
                cells.append(text[place:end])
            else:
                end = _behind(text, found.end(), separator)
                cells.append(found[0][1:-1].replace('""', '"'))
                row += found[0].count("\n")
            place = end + 1
            if end >= len(text) or text[end] == "\n":
                row += 1
                break
        count += len(cells)
        if any("\0" in cell for cell in cells):
            complaints.append((begin, "a NUL byte: this is no text.", "Was the file cut off or damaged?"))
        elif any(cell.strip() for cell in cells):
            lines.append((begin, cells))
    return lines, complaints


def _may_be_row(line: str, separator: str, columns: int) -> bool:
    """Whether a line that begins with ``#`` has the cells of a row; editors drop the last tabs of one."""
    if line.startswith("##"):
        return False
    [(_, cells)], _ = separated_cells(line, separator, comments=False)
    return len(cells) >= (min(columns, 2) if separator == "\t" else columns) and any(
        _NUMBER.fullmatch(cell.strip()) or _ISO_DATE.match(cell.strip()) for cell in cells[1:]
    )


def _quoted(text: str, place: int, separator: str) -> re.Match[str] | str | None:
    """The quoted cell that begins here; None when there is none, words when it cannot be one."""
    if not text.startswith('"', place):
        return None
    found = _QUOTED.match(text, place)
    if found is None:
        return "a quote opens here and never closes, which would swallow every row below."
    if "\n" in found[0] and separator in found[0]:
        lines = found[0].count("\n")
        return f"a quote opens here and closes {lines} row{'s' * (lines > 1)} below, which would swallow what lies between."
    end = _behind(text, found.end(), separator)
    if text[end : end + 1] not in ("", "\n", separator):
        return "something stands after the quote that closes a cell."
    return found


def _behind(text: str, place: int, separator: str) -> int:
    """Behind the blanks that stand here and separate nothing."""
    while text[place : place + 1] in (" ", "\t") and text[place] != separator:
        place += 1
    return place
