"""Random mistakes in a valid case: each must leave the posterior as it was, or be refused, or be doubted in its place.

``python -m benchmarks.edits [how many] [first seed]`` makes that many (2,000 by default) and prints those that changed
something in silence. The kinds are slips of people and spreadsheets: a row lost or doubled, cells moved, a decimal comma,
a factor of a thousand, a name misspelt, a file saved in another code page. What changes a number by a plausible amount is
no such slip, and nobody can tell it.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import cellsim as cs
from cellsim.errors import CellsimError
from cellsim.likelihood.formulation import objective_of

__all__ = ["HARMLESS", "KINDS", "Outcome", "base", "judged"]

_MODEL = """model patient()
  unit day = 86400 second; unit time_unit = day; unit Mcell = 1e6 item; unit per_day = 1/day
  bag has Mcell; k has per_day
  bag = 0; bag' = -k*bag; k = 0.1
  crp := 20/(1 + bag/10); share := 40 + bag/10
end"""
_REMARKS = {
    "note",
    "doubt",
    "source",
    "name",
    "meaning",
    "calendar",
    "text",
    "observableName",
    "parameterName",
    "printed",
}
_TABLES = {
    "observables.tsv": """observableId|observableFormula|noiseFormula|noiseDistribution|analyte|unit|quantity|referenceLower|referenceUpper
obs_CRP|load*crp|0.2|log-normal|CRP|mg/L|crp|1|10
obs_CD3|share|4|normal|CD3|%|share|30|70
""",
    "measurements.tsv": """observableId|experimentId|time|measurement|visitId|unit|status|note
obs_CRP|timeline|0|22|before|mg/L|printed|
obs_CRP|timeline|10|6.5|soon|mg/L|printed|
obs_CD3|timeline|0|42|before|%|printed|
obs_CD3|timeline|10|43|soon|%|printed|
obs_CD3|timeline|40|41|late|%|printed|
""",
    "visits.tsv": """visitId|nominal|earliest|latest|name|timing
before|0|0|0|before the first|predose
soon|10|10|10|soon after|
late|40|35|45|at the end|
""",
    "parameters.tsv": """parameterId|lowerBound|upperBound|nominalValue|estimate|priorDistribution|priorParameters|unit|mark
k|||0.1|true|log-normal|-2.302585092994046;0.5|per_day|A
load|||1|true|log-normal|0;0.3|1|A
""",
    "parameters_extended.tsv": """parameterId|lowerBound|upperBound|nominalValue|estimate|priorDistribution|priorParameters|unit
day_late|35|45|40|true|uniform|35;45|day
""",
    "conditions.tsv": "conditionId|targetId|targetValue\nfull|bag|bag + 50\nhalf|bag|bag + 25\n",
    "experiments.tsv": """experimentId|time|conditionId|date|product|cells|note
timeline|-1||2023-01-01|||
timeline|0|full|2023-01-02|rfib|50000000|first
timeline|7|full|2023-01-09|rfib|50000000|second
timeline|14|half|2023-01-16|rfib|25000000|third
timeline|28|full|2023-01-30|rfib|50000000|last
""",
    "products.tsv": "productId|source|state|cellsPerUnit|infusions|cells|name\nrfib|autologous|bag|1000000|4|175000000|fibroblasts\n",
    "table1.tsv": """analyte|visitId|value|unit|status|referenceLower|referenceUpper
CRP|before|22|mg/L|printed|1|10
CRP|soon|6.5|mg/L|printed|1|10
CRP|late|5|mg/L|censored|1|10
CD3|before|42|%|printed|30|70
CD3|soon|43|%|printed|30|70
CD3|late|41|%|printed|30|70
""",
    "extended.tsv": """observableId|kind|visitId|day|censoring|limit|unit|scored
obs_CRP|censored|late|40|left|5|mg/L|true
""",
    "model_space.tsv": "model_subspace_id|model_subspace_petab_yaml|k|load\nboth|problem.yaml|estimate|estimate\nfixed|problem.yaml|estimate|1\n",
    "variants.tsv": "variantId|default\nboth|true\nfixed|false\n",
}  # fmt: skip
_PROBLEM = """format_version: 2.0.0
id: edits
model_files: {model: {location: model.xml, language: sbml}}
parameter_files: [parameters.tsv]
observable_files: [observables.tsv]
measurement_files: [measurements.tsv]
condition_files: [conditions.tsv]
experiment_files: [experiments.tsv]
"""

Files = dict[str, bytes]
Place = tuple[str, int | None]


@cache
def base() -> Mapping[str, str]:
    """The case as texts: two analytes, one in per cent; four infusions; a promise of each; the printed table."""
    texts = {name: text.replace("|", "\t") for name, text in _TABLES.items()}
    return {**texts, "problem.yaml": _PROBLEM, "model.xml": cs.load_model(_MODEL).to_sbml()}


# ---- mistakes ---------------------------------------------------------------------------------------------


class _Table:
    """A table in pieces, with a random data row and column of it."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_
        self.file = random_.choice(sorted(_TABLES))
        self.rows = [line.split("\t") for line in base()[self.file].splitlines()]
        self.row = random_.randrange(1, len(self.rows))
        self.columns = [k for k, name in enumerate(self.rows[0]) if name not in _REMARKS]
        self.column = random_.choice(self.columns)

    def filled(self, wanted: Callable[[str], bool]) -> bool:
        """Move to a random cell of the whole case's kind that satisfies a wish; False when this table has none."""
        places = [(i, j) for i in range(1, len(self.rows)) for j in self.columns if wanted(self.rows[i][j])]
        if places:
            self.row, self.column = self.random.choice(places)
        return bool(places)

    @property
    def cell(self) -> str:
        return self.rows[self.row][self.column]

    @cell.setter
    def cell(self, value: str) -> None:
        self.rows[self.row][self.column] = value

    def text(self) -> str:
        return "\n".join("\t".join(row) for row in self.rows) + "\n"


def _number(text: str) -> bool:
    try:
        return float(text) != 0
    except ValueError:
        return False


def _scaled(factor: float) -> Callable[[_Table], bool]:
    def edit(table: _Table) -> bool:
        if not table.filled(_number):
            return False
        table.cell = repr(float(table.cell) * factor)
        return True

    return edit


def _drop_row(table: _Table) -> bool:
    del table.rows[table.row]
    return True


def _double_row(table: _Table) -> bool:
    table.rows.insert(table.random.randrange(1, len(table.rows) + 1), list(table.rows[table.row]))
    return True


def _swap_rows(table: _Table) -> bool:
    other = table.random.randrange(1, len(table.rows))
    table.rows[table.row], table.rows[other] = table.rows[other], table.rows[table.row]
    return True


def _swap_cells(table: _Table) -> bool:
    """Two neighbouring cells of one row."""
    k = table.random.randrange(len(table.rows[0]) - 1)
    row = table.rows[table.row]
    row[k], row[k + 1] = row[k + 1], row[k]
    return True


def _swap_headers(table: _Table) -> bool:
    k, other = table.random.sample(range(len(table.rows[0])), 2)
    head = table.rows[0]
    head[k], head[other] = head[other], head[k]
    return True


def _shift(table: _Table) -> bool:
    """A tab lost: the rest of the row stands one column to the left."""
    row = table.rows[table.row]
    k = table.random.randrange(len(row) - 1)
    row[k : k + 2] = [row[k] + row[k + 1]]
    return True


def _insert(table: _Table) -> bool:
    table.rows[table.row].insert(table.column, "")
    return True


def _blank(table: _Table) -> bool:
    if not table.filled(bool):
        return False
    table.cell = ""
    return True


def _retype(table: _Table) -> bool:
    if not table.filled(_number):
        return False
    bad = [
        "NA",
        "-",
        "?",
        "n.d.",
        "#N/A",
        "45296.5 mg",
        "<" + table.cell,
        table.cell + "%",
        "nan",
        "inf",
        "TRUE",
    ]
    table.cell = table.random.choice(bad)
    return True


def _comma(table: _Table) -> bool:
    if not table.filled(lambda cell: "." in cell and _number(cell.split(";")[0])):
        return False
    table.cell = table.cell.replace(".", ",")
    return True


def _no_point(table: _Table) -> bool:
    """A decimal point lost."""
    if not table.filled(lambda cell: "." in cell and _number(cell)):
        return False
    table.cell = table.cell.replace(".", "")
    return True


def _sign(table: _Table) -> bool:
    if not table.filled(_number):
        return False
    table.cell = table.cell[1:] if table.cell.startswith("-") else "-" + table.cell
    return True


def _misspell(table: _Table) -> bool:
    if not table.filled(lambda cell: len(cell) > 1 and cell[0].isalpha()):
        return False
    k = table.random.randrange(len(table.cell))
    way = table.random.choice(["lose", "double", "other", "case", "blank"])
    cell = table.cell
    table.cell = {
        "lose": cell[:k] + cell[k + 1 :],
        "double": cell[:k] + cell[k] + cell[k:],
        "other": cell[:k] + "z" + cell[k + 1 :],
        "case": cell.swapcase(),
        "blank": cell[:k] + " " + cell[k:],
    }[way]
    return True


def _misspell_header(table: _Table) -> bool:
    name = table.rows[0][table.column]
    k = table.random.randrange(len(name))
    table.rows[0][table.column] = table.random.choice(
        [name[:k] + name[k + 1 :], name.lower() + "s", name[:3]]
    )
    return True


def _drop_column(table: _Table) -> bool:
    for row in table.rows:
        del row[table.column]
    return True


def _double_header(table: _Table) -> bool:
    table.rows.insert(table.row, list(table.rows[0]))
    return True


def _unit(table: _Table) -> bool:
    other = {"mg/L": ["mg/dL", "ug/L", "g/L", "ng/mL"], "%": ["1", "mg/L"], "per_day": ["1/hour", "day"]}
    if not table.filled(lambda cell: cell in other):
        return False
    table.cell = table.random.choice(other[table.cell])
    return True


def _quote(table: _Table) -> bool:
    table.cell = '"' + table.cell
    return True


def _flip(table: _Table) -> bool:
    """Another of the words that a cell may hold."""
    words = [("true", "false"), ("normal", "log-normal"), ("left", "right"), ("log-normal", "normal")]
    found = [pair for pair in words if any(pair[0] in row for row in table.rows[1:])]
    if not found:
        return False
    word, other = table.random.choice(found)
    table.filled(lambda cell: cell == word)
    table.cell = other
    return True


TABLE_KINDS: dict[str, Callable[[_Table], bool]] = {
    "row dropped": _drop_row,
    "row doubled": _double_row,
    "rows swapped": _swap_rows,
    "cells swapped": _swap_cells,
    "headers swapped": _swap_headers,
    "tab lost": _shift,
    "tab inserted": _insert,
    "cell blanked": _blank,
    "number retyped": _retype,
    "decimal comma": _comma,
    "decimal point lost": _no_point,
    "sign flipped": _sign,
    "times 1000": _scaled(1e3),
    "by 1000": _scaled(1e-3),
    "times a million": _scaled(1e6),
    "per cent as fraction": _scaled(1e-2),
    "name misspelt": _misspell,
    "column misspelt": _misspell_header,
    "column dropped": _drop_column,
    "header doubled": _double_header,
    "unit changed": _unit,
    "quote opened": _quote,
}
ENCODINGS = ("utf-16", "utf-16-le", "utf-8-sig", "latin-1", "cp037")
HARMLESS = (
    "columns in another order",
    "rows in another order",
    "another column",
    "CRLF",
    "BOM",
    "blanks at the end",
)
"""Edits that mean nothing: no doubt more, and the same posterior."""


def harmless(kind: str, random_: random.Random) -> Files:
    """The case after an edit that means nothing."""
    texts = dict(base())
    for file in _TABLES:
        rows = [line.split("\t") for line in texts[file].splitlines()]
        if kind == "columns in another order":
            order = random_.sample(range(len(rows[0])), len(rows[0]))
            rows = [[row[k] for k in order] for row in rows]
        # visits and periods stand in the order of time
        if kind == "rows in another order" and file not in ("visits.tsv", "experiments.tsv"):
            rows = [rows[0], *random_.sample(rows[1:], len(rows) - 1)]
        # every column of a model space is a parameter
        if kind == "another column" and file != "model_space.tsv":
            rows = [[*row, "comment" if k == 0 else f"c{k}"] for k, row in enumerate(rows)]
        end = {"CRLF": "\r\n", "blanks at the end": "  \n"}.get(kind, "\n")
        texts[file] = ("\ufeff" if kind == "BOM" else "") + end.join("\t".join(row) for row in rows) + end
    return {file: text.encode() for file, text in texts.items()}


def _of_files(kind: str, random_: random.Random) -> tuple[Files, str] | None:
    """Mistakes with a whole file."""
    files = {file: text.encode() for file, text in base().items()}
    file = random_.choice(sorted(_TABLES))
    if kind == "file lost":
        del files[file]
    elif kind == "file cut short":
        files[file] = files[file][: random_.randrange(1, len(files[file]) - 1)]
    elif kind == "file twice in one":
        files[file] = files[file] * 2
    elif kind == "other code page":
        files[file] = base()[file].encode(random_.choice(ENCODINGS), "replace")
    elif kind == "commas for tabs":
        files[file] = files[file].replace(b"\t", random_.choice([b",", b";", b"  "]))
    else:
        other = random_.choice(sorted(set(_TABLES) - {file}))
        files[file], files[other] = files[other], files[file]
    return files, file


FILE_KINDS = (
    "file lost",
    "file cut short",
    "file twice in one",
    "other code page",
    "commas for tabs",
    "files exchanged",
)
KINDS = (*TABLE_KINDS, *FILE_KINDS)


def edited(seed: int) -> tuple[str, str, Files] | None:
    """Kind, file and the case after one random mistake; None where this file has nothing to be mistaken about."""
    random_ = random.Random(seed)
    kind = random_.choice(KINDS)
    if kind in FILE_KINDS:
        made = _of_files(kind, random_)
        return None if made is None else (kind, made[1], made[0])
    table = _Table(random_)
    before = table.text()
    if not TABLE_KINDS[kind](table) or table.text() == before:
        return None
    files = {file: text.encode() for file, text in base().items()}
    return kind, table.file, {**files, table.file: table.text().encode()}


# ---- judging ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of a mistake.

    Attributes
    ----------
    how : str
        ``"refused"``, ``"doubted"``, ``"same"``, ``"silent"``, ``"misplaced"`` (said, but of another file) or ``"crashed"``.
    kind, file : str
    said : str
        What was said, or how the posterior differs.
    """

    how: str
    kind: str
    file: str
    said: str


def meaning(case: cs.Case) -> dict[str, object]:
    """What a case says, as far as the posterior of any variant depends on it."""
    out: dict[str, object] = {
        "limits": sorted((each.id, each.unit, each.lower, each.upper) for each in case.analytes),
        "doses": [(each.day, each.product, each.cells, each.duration) for each in case.timeline],
        "default": case.default_variant,
    }
    for variant in [each.id for each in case.variants] or [""]:
        objective = objective_of(case, variant=variant or None)
        order = np.argsort(objective.names)
        for k, point in enumerate((np.zeros(3), np.array([0.3, -0.7, 1.1]))):
            theta = np.empty(len(order))
            theta[order] = point[: len(order)]
            parts = objective.parts(theta)
            out[f"{variant} {k}"] = [round(float(each), 7) for each in parts.values()]
        out[f"{variant} rows"] = sorted((t.part, t.analyte, t.visit, t.measured) for t in objective.terms)
        out[f"{variant} priors"] = sorted(zip(objective.names, map(repr, objective.priors), strict=True))
    return out


def _read(files: Files) -> tuple[list[tuple[str, str, str]], dict[str, object] | None]:
    """What check says of a folder (severity, file, words), and what the case means; None when it is refused."""
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        said = [(each.severity, each.file, str(each)) for each in cs.check(folder)]
        if any(severity == "error" for severity, *_ in said):
            return said, None
        return said, meaning(cs.load_case(folder))


@cache
def unaltered() -> tuple[list[tuple[str, str, str]], dict[str, object] | None]:
    """The same of the case as it is."""
    return _read({file: text.encode() for file, text in base().items()})


def judged(kind: str, file: str, files: Files) -> Outcome:
    """What became of one mistake."""
    before, expected = unaltered()
    assert expected is not None, before
    try:
        said, found = _read(files)
    except CellsimError as error:
        return Outcome("crashed", kind, file, f"check passed it, then: {error}")
    except Exception as error:
        return Outcome("crashed", kind, file, f"{type(error).__name__}: {error}")
    more = [each for each in said if each not in before]
    words = "; ".join(each[2] for each in more)
    if found is None:
        if not more:
            return Outcome("crashed", kind, file, "refused without a word")
        # two tables that contradict each other: either may be named, and the words name the other
        here = any(file in (place, "problem.yaml") or file in text for _, place, text in more)
        return Outcome("refused" if here else "refused elsewhere", kind, file, words)
    if found == expected:
        return Outcome("same", kind, file, words)
    if more:
        here = any(file == place or file in text for _, place, text in more)
        return Outcome("doubted" if here else "misplaced", kind, file, words)
    keys = [key for key in expected if found.get(key) != expected[key]]
    return Outcome(
        "silent", kind, file, "; ".join(f"{key}: {expected[key]} -> {found.get(key)}" for key in keys)[:400]
    )


def main(arguments: list[str]) -> int:
    count, first = (*map(int, arguments), *(2000, 0)[len(arguments) :])
    outcomes: Counter[tuple[str, str]] = Counter()
    faults, seed = [], first
    while sum(outcomes.values()) < count:
        made = edited(seed)
        seed += 1
        if made is None:
            continue
        found = judged(*made)
        outcomes[found.kind, found.how] += 1
        if found.how in ("silent", "misplaced", "crashed"):
            faults.append(found)
            print(f"seed {seed - 1}: {found.kind} in {found.file} {found.how}: {found.said}", flush=True)
    ways = sorted({how for _, how in outcomes})
    print("\n| kind |" + "".join(f" {way} |" for way in ways) + "\n|---|" + "---|" * len(ways))
    for kind in KINDS:
        print(f"| {kind} |" + "".join(f" {outcomes[kind, way]} |" for way in ways))
    print(f"\n{count} edits, {len(faults)} of them changed something in silence, or crashed.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
