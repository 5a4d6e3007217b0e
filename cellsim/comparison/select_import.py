"""PEtab Select's model space as variants of a case: rows with several choices become one variant each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellsim.case.case import load_case
from cellsim.comparison.select_export import CRITERIA, METHODS, SELECT_PROBLEM
from cellsim.delimited import file_text
from cellsim.errors import CaseError, Problem, did_you_mean
from cellsim.petab.folder import outside
from cellsim.petab.problem import read_yaml
from cellsim.petab.tables import TableReader, TableRow, listed, number_text, table_text

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.records import PriorRow

__all__ = ["read_select"]

_ID, _YAML = _SUBSPACE = ("model_subspace_id", "model_subspace_petab_yaml")
_ESTIMATE = "estimate"
# every variant is calibrated, so a space is not to be one of thousands by a slip of the pen
_MOST = 256


def read_select(source: str | PathLike[str], case: Case) -> Case:
    """The sibling of a case whose variants are the models of a PEtab Select problem.

    Every model of the space is made a variant, since :func:`cellsim.compare` compares all of them: the method of the
    problem says how to search where that is too much, and its criterion how petab-select would judge. Data, priors
    and schedule are the case's; the PEtab problem named in the space is not opened. A parameter that the
    space does not mention stays as the case has it.

    Parameters
    ----------
    source : path
        The problem file, or the folder of a ``petab_select_problem.yaml``.
    case : Case

    Returns
    -------
    Case
        A row with one choice in every cell keeps its name; of one with several, ``M`` becomes ``M_01``, ``M_10``:
        which choice was taken, column by column. A variant that the case has already keeps its meaning.

    Raises
    ------
    CaseError
        With all problems at once, each with its file and row.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from cellsim.comparison.select_export import write_select
    >>> case = load_case("sjogren_rfib")
    >>> read_select(write_select(case, mkdtemp()), case).variants == case.variants
    True
    """
    path = Path(source)
    path = path / SELECT_PROBLEM if path.is_dir() else path
    if not path.is_file():
        raise CaseError(f"there is no {path}; a PEtab Select problem file is needed.")
    content, problems = _problem(path)
    if problems:
        raise CaseError(problems)
    space = _Space(case, content.get("metaparameters") or {}, path.name)
    for name in content["model_space_files"]:
        space.read(path.parent, name)
    if space.reader.problems:
        raise CaseError(space.reader.problems)
    return load_case({**case.files, **space.tables()})


def _problem(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """What the problem file says, and what is wrong with it."""
    try:
        content, wrong = read_yaml(file_text(path), file=path.name)
    except (OSError, ValueError) as error:
        return {}, [Problem(what=f"cannot be read: {error}.", file=path.name)]
    if wrong:
        return {}, wrong
    if not isinstance(content, dict):
        return {}, [Problem(what="the problem file names nothing.", file=path.name)]
    problems = []

    def say(what: str, remedy: str = "") -> None:
        problems.append(Problem(what=what, remedy=remedy, file=path.name))

    version = str(content.get("format_version", "1.0.0"))
    if version.split(".", maxsplit=1)[0] != "1":
        say(f"format_version {version!r}; PEtab Select 1 is read.")
    for key, known in (("criterion", CRITERIA), ("method", METHODS)):
        if content.get(key) not in known:
            word = content.get(key)
            say(f"no {key}." if word is None else f"unknown {key} {word!r}.", did_you_mean(str(word), known))
    files = content.get("model_space_files")
    if not isinstance(files, list) or not files or not all(isinstance(each, str) for each in files):
        say("no list of model_space_files.", "Write 'model_space_files:' and below it '  - model_space.tsv'.")
    groups = content.get("metaparameters") or {}
    if not isinstance(groups, dict) or not all(isinstance(each, list) and each for each in groups.values()):
        say("metaparameters must name a list of parameters each.")
    return content, problems


class _Space:
    """The variants read so far, and what is wrong with them."""

    def __init__(self, case: Case, groups: Mapping[str, Sequence[str]], file: str) -> None:
        self.case = case
        self.groups = groups
        self.known: dict[str, PriorRow] = {each.id: each for each in case.priors if each.standard}
        self.reader = TableReader({})
        self.problem: tuple[str, Path] | None = None
        self.rows: dict[str, dict[str, str]] = {}
        for group, members in groups.items():
            self.reader.problems += [
                Problem(
                    what=f"metaparameter {group!r} holds {name!r}, which is no parameter of {case.name}.",
                    remedy=did_you_mean(str(name), self.known),
                    file=file,
                )
                for name in members
                if name not in self.known
            ]

    def read(self, folder: Path, name: str) -> None:
        """Read one table of models."""
        if said := outside(name, folder):
            self.reader.problems.append(
                Problem(what=said, remedy="Put the file beside the problem file.", file=name)
            )
            return
        try:
            self.reader.texts[name] = file_text(folder / name)
        except (OSError, ValueError) as error:
            self.reader.problems.append(Problem(what=f"cannot be read ({error}).", file=name))
            return
        before = len(self.reader.problems)
        lines = self.reader.table(name, _SUBSPACE)
        # every other column is a parameter, and judged as such
        self.reader.problems[before:] = [
            each for each in self.reader.problems[before:] if each.severity == "error"
        ]
        columns = [each for each in (lines[0] if lines else ()) if each not in _SUBSPACE]
        self._judge(columns, TableRow({}, file=name, row=1))
        for line in lines:
            self._row(line, columns, (folder / name).parent)

    def _judge(self, columns: Sequence[str], header: TableRow) -> None:
        for column in columns:
            if column not in self.groups and column not in self.known:
                self.reader.complain(
                    header,
                    f"{self.case.name} has no parameter {column!r}.",
                    did_you_mean(column, (*self.known, *self.groups)),
                )
            for name in self.groups.get(column, ()):
                if name in columns:
                    self.reader.complain(
                        header, f"{name} has its own column and one in {column}.", "Keep one."
                    )

    def _row(self, line: TableRow, columns: Sequence[str], folder: Path) -> None:
        name, problem = self.reader.text(line, _ID), self.reader.text(line, _YAML)
        # a table names it from where it stands itself
        home = (folder / problem).resolve()
        self.problem = self.problem or (problem, home)
        if home != self.problem[1]:
            self.reader.complain(
                line,
                f"{name} belongs to {problem}, the rows before to {self.problem[0]}.",
                "A case is one PEtab problem; read one space for each.",
            )
        choices = [tuple(self._choices(line, column)) for column in columns]
        count = math.prod(map(len, choices))
        if count > _MOST:
            self.reader.complain(
                line,
                f"{name} spans {count} models, and every one would be calibrated; {_MOST} at most are read.",
                "Write rows for those of interest.",
            )
            return
        for place in product(*(range(len(each)) for each in choices)):
            taken = {column: each[k] for column, each, k in zip(columns, choices, place)}
            called = (
                name if count == 1 else f"{name}_{('' if max(place) < 10 else '.').join(map(str, place))}"
            )
            if called in self.rows:
                self.reader.complain(line, f"two models are called {called!r}.", "Rename one of the two.")
            self.rows[called] = {
                each: value for column, value in taken.items() for each in self.groups.get(column, (column,))
            }

    def _choices(self, line: TableRow, column: str) -> Iterator[str]:
        """The values a cell allows, each ``estimate`` or a number."""
        name = line.of(_ID)
        for text in listed(line.of(column)) or ("",):
            if text == _ESTIMATE:
                for each in self.groups.get(column, (column,)):
                    if each in self.known and not self.known[each].estimate:
                        remedy = "Give it one in the case, or a value here."
                        self.reader.complain(line, f"{name} estimates {each}, which has no prior.", remedy)
                yield text
            elif not text:
                self.reader.complain(
                    line, f"{name} says nothing about {column}.", "Write estimate or a number."
                )
            elif (
                value := self.reader.number(TableRow({column: text}, file=line.file, row=line.row), column)
            ) is not None:
                yield number_text(value)

    def tables(self) -> dict[str, str]:
        """The two tables of a case that hold its variants, by file name."""
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        # a table has all its columns in every row, files of a space need not
        usual = {
            name: _ESTIMATE if self.known[name].estimate else number_text(self.known[name].nominal)
            for name in columns
        }
        space = [{_ID: name, _YAML: "problem.yaml", **usual, **row} for name, row in self.rows.items()]
        default = next(
            (name for name in self.rows if name == self.case.default_variant), next(iter(self.rows), "")
        )
        named = []
        for row in space:
            old = next((each for each in self.case.variants if each.id == row[_ID]), None)
            same = old is not None and all(
                row.get(name) == text
                for name, text in [
                    *((name, number_text(value)) for name, value in old.fixed),
                    *((name, _ESTIMATE) for name in old.estimated),
                ]
            )
            named.append(
                {
                    "variantId": row[_ID],
                    "name": old.name if old is not None and same else "",
                    "meaning": old.meaning if old is not None and same else "",
                    "default": "true" if row[_ID] == default else "false",
                }
            )
        return {
            "model_space.tsv": table_text((*_SUBSPACE, *columns), space),
            "variants.tsv": table_text(("variantId", "name", "meaning", "default"), named),
        }
