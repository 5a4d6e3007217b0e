"""Tables of a case as text: every row knows its file and line, and complaints are collected, not raised."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from cellsim.delimited import is_missing, read_number, read_table_text, why_no_number
from cellsim.errors import Problem, did_you_mean

__all__ = ["REMARKS", "TableReader", "TableRow", "kept", "listed", "number_text", "table_text"]

Record = TypeVar("Record")

REMARKS = ("note", "doubt", "source")
"""Columns that any of our tables may have."""

_WORD = 5  # letters that make it more than chance
_VERSION_1 = {
    "parameterScale": "Version 2 has no scales: remove it. Where it said log10 or log, turn prior parameters given on that "
    "scale into those of a log-normal or log-uniform prior; nominal values and bounds are linear in both versions.",
    "objectivePriorType": "Version 2 calls it priorDistribution, with other names of families.",
    "objectivePriorParameters": "Version 2 calls it priorParameters, on the linear scale.",
    "initializationPriorType": "Version 2 has none: remove it.",
    "initializationPriorParameters": "Version 2 has none: remove it.",
    "observableTransformation": "Version 2 says it in noiseDistribution: log-normal for log; log10 has a spread of its own, "
    "which is to be multiplied by ln 10.",
    "simulationConditionId": "Version 2 names an experiment: experimentId.",
    "preequilibrationConditionId": "Version 2 says it in the experiment table, by a period at time -inf.",
}
"""Columns of PEtab version 1 that are no slip of the pen for a column of version 2, and what became of them."""


def _kin(column: str, absent: Iterable[str]) -> str:
    """The absent column that another one's name holds, or is a part of; empty when there is none."""
    name = re.sub(r"[^a-z]", "", column.lower())
    for each in sorted(absent):
        known = each.lower()
        if min(len(name), len(known)) >= _WORD and (known in name or name in known):
            return each
    return ""


class TableRow(dict[str, str]):
    """One row of a table: its cells by column, and where it stands.

    Attributes
    ----------
    file : str
        Name of the table.
    row : int or None
        TableRow of the file as an editor counts it (the header is line 1).

    Examples
    --------
    >>> TableRow({"visitId": " before "}, file="visits.tsv", row=2).of("visitId")
    'before'
    """

    def __init__(self, cells: Mapping[str, str], *, file: str = "", row: int | None = None) -> None:
        super().__init__(cells)
        self.file = file
        self.row = row

    def of(self, column: str) -> str:
        """The cell without blanks around it; empty when the column is not there, or the cell says ``NA`` or the like.

        A name may be ``NA``: those are left as they are.
        """
        cell = self.get(column, "").strip()
        return "" if is_missing(cell) and not (column.endswith("Id") or column == "analyte") else cell

    def problem(self, what: str, remedy: str = "", *, column: str = "", severity: str = "error") -> Problem:
        """A complaint about this row, and the column of it."""
        return Problem(
            what=what, remedy=remedy, file=self.file, row=self.row, column=column, severity=severity
        )


def number_text(value: float) -> str:
    """A number as our tables write it: whole ones without a point, others so that they read back exactly.

    Examples
    --------
    >>> number_text(50.0), number_text(0.1)
    ('50', '0.1')
    """
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Tab-separated text with a header; a cell not given is empty.

    Examples
    --------
    >>> table_text(["a", "b"], [{"a": "1"}])
    'a\\tb\\n1\\t\\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return out.getvalue()


class TableReader:
    """The texts of a case, and the complaints about them as they are read.

    Parameters
    ----------
    texts : mapping
        File name to text.
    problems : list of Problem
        Complaints already known; more are added here.
    """

    def __init__(self, texts: Mapping[str, str], problems: Iterable[Problem] = ()) -> None:
        self.texts = dict(texts)
        self.problems = list(problems)

    def complain(
        self, line: TableRow, what: str, remedy: str = "", *, column: str = "", severity: str = "error"
    ) -> None:
        """Add a complaint about a row, and the column of it."""
        self.problems.append(line.problem(what, remedy, column=column, severity=severity))

    def table(self, file: str, required: Sequence[str], optional: Sequence[str] = ()) -> list[TableRow]:
        """Read one table; an absent file, column or cell is complained about, and what is there is returned.

        Parameters
        ----------
        file : str
            Its name.
        required, optional : sequence of str
            Columns. Any other column is left aside, or taken for a slip of the pen when it is close to one
            of these that is not there.

        Returns
        -------
        list of TableRow
            The rows that have as many cells as the header.
        """
        if file not in self.texts:
            if any(each.file == file for each in self.problems):  # it is there, but cannot be read
                return []
            remedy = (
                "Restore it, or remove its name from problem.yaml where it stands there; a table with nothing to say has "
                "its header line only."
            )
            self.problems.append(Problem(what="the file is missing.", remedy=remedy, file=file))
            return []
        table = read_table_text(self.texts[file], "\t")
        self.problems += [
            Problem(what=what, remedy=remedy, file=file, row=row) for row, what, remedy in table.complaints
        ]
        lines = [TableRow(cells, file=file, row=row) for row, cells in table.rows]
        header = list(table.columns)
        self._judge_header(file, header, required, optional)
        self._doubt_short(file, header, lines)
        return lines

    def _doubt_short(self, file: str, header: list[str], lines: list[TableRow]) -> None:
        """A row that ends before the last column, which every other row fills: a tab may be lost in it."""
        written = self.texts[file].splitlines()
        short = [
            line for line in lines
            if line.row and line.row <= len(written) and written[line.row - 1].count("\t") + 1 < len(header)
        ]  # fmt: skip
        if (
            len(short) == 1
            and len(lines) > 1
            and header[-1]
            != "conditionId"  # a period without one is PEtab's own; one that does nothing is told elsewhere
            and all(line.of(header[-1]) for line in lines if line is not short[0])
        ):
            what = f"the row ends before the column {header[-1]!r}, which every other row fills."
            self.complain(short[0], what, "Was a tab lost?", column=header[-1], severity="doubt")

    def rows(
        self, names: Iterable[str], required: Sequence[str], optional: Sequence[str] = ()
    ) -> list[TableRow]:
        """The rows of one table or of several of one kind; what their column ``doubt`` says is kept."""
        lines = [line for name in names for line in self.table(name, required, optional)]
        for line in lines:
            if line.of("doubt"):
                self.complain(line, f"{_topic(line)}: {line.of('doubt')}.", column="doubt", severity="doubt")
        return lines

    def _judge_header(
        self, file: str, header: list[str], required: Sequence[str], optional: Sequence[str]
    ) -> None:
        def say(column: str, what: str, remedy: str = "", severity: str = "error") -> None:
            header = TableRow({}, file=file, row=1)
            self.complain(header, what, remedy, column=column, severity=severity)

        absent = [column for column in (*required, *optional) if column not in header]
        taken = set()
        told = {column for column in optional if column not in REMARKS and column not in header}
        for column in header:
            if column in required or column in optional:
                continue
            if column in _VERSION_1:
                say(column, f"column {column!r} is one of PEtab version 1.", _VERSION_1[column])
                continue
            close = get_close_matches(column.lower(), [each.lower() for each in absent], n=1, cutoff=0.75)
            if close:
                meant = next(each for each in absent if each.lower() == close[0])
                taken.add(meant)
                say(column, f"unknown column {column!r}.", f"Did you mean {meant!r}?")
            elif meant := _kin(column, told):
                # a column of one's own says nothing here, but this one may be that one under another name
                what, remedy = (
                    f"column {column!r} is not read; is it meant for {meant!r}?",
                    f"Call it {meant!r} then.",
                )
                say(column, what, remedy, "doubt")
        for column in required:
            if column in absent and column not in taken:
                say(column, f"no column {column!r}.", f"Add it; columns here: {', '.join(header) or 'none'}.")

    def text(self, line: TableRow, column: str) -> str:
        """A cell that must not be empty."""
        value = line.of(column)
        if not value and column in line:
            self.complain(line, f"no {column}.", "Fill the cell.", column=column)
        return value

    def number(
        self,
        line: TableRow,
        column: str,
        *,
        default: float | None = None,
        infinite: bool = False,
        unit: str = "",
    ) -> float | None:
        """A cell that is a number; `default` where it is empty (complained about when that is None).

        Returns
        -------
        float or None
            None when it cannot be read.
        """
        text = line.of(column)
        if not text:
            if default is None and column in line:
                self.complain(
                    line, f"no {column}.", f"Write a number{f' in {unit}' if unit else ''}.", column=column
                )
            return default
        try:
            value = read_number(text)
        except ValueError as error:
            remedy = why_no_number(text) if repr(text) in str(error) else "Is the power of ten right?"
            self.complain(line, f"{column} {error}.", remedy, column=column)
            return None
        if math.isinf(value) and not infinite:
            remedy = (
                "Leave the cell empty where there is none." if default is not None else "Write the number."
            )
            self.complain(line, f"{column} {text} is not a finite number.", remedy, column=column)
            return None
        return value

    def choice(self, line: TableRow, column: str, known: Collection[str], default: str = "") -> str:
        """A cell that is one of `known`; `default` where it is empty and where it is another word."""
        text = line.of(column)
        if not text and default:
            return default
        if text not in known:
            if column in line:
                what = f"{column} {text!r} is not one of the words used here."
                self.complain(line, what, did_you_mean(text, known), column=column)
            return default
        return text

    def truth(self, line: TableRow, column: str, default: str = "false") -> bool:
        """A cell that is true or false."""
        return (
            self.choice(
                TableRow({**line, column: line.of(column).lower()}, file=line.file, row=line.row),
                column,
                ("true", "false"),
                default,
            )
            == "true"
        )


def kept(records: Iterable[Record | None]) -> tuple[Record, ...]:
    """The records that could be read."""
    return tuple(each for each in records if each is not None)


def listed(text: str) -> tuple[str, ...]:
    """The parts of a cell that holds a list, as PEtab writes it.

    Examples
    --------
    >>> listed("a; b")
    ('a', 'b')
    """
    return tuple(part.strip() for part in text.split(";")) if text else ()


def _topic(line: TableRow) -> str:
    """What a row is about, for a doubt."""
    name = next(
        (
            line.of(column)
            for column in ("analyte", "observableId", "parameterId", "productId", "experimentId")
            if line.of(column)
        ),
        "",
    )
    when = line.of("visitId") or line.of("calendar") or (f"day {line.of('time')}" if line.of("time") else "")
    return f"{name} {when}".strip() or "this row"
