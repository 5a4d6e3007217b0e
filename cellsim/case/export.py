"""A case for other tools: a PEtab v2 problem that stands on its own, one table of values and doses."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cellsim.files import write_whole
from cellsim.petab.problem import read_problem_file
from cellsim.petab.tables import TableReader, number_text, table_text
from cellsim.spreadsheets.event_table import event_table as values_and_doses

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case
    from cellsim.case.records import Censored, Measurement, Variant

__all__ = ["event_table", "export_problem"]

_ONLY_ESTIMATED = ("lowerBound", "upperBound", "priorDistribution", "priorParameters")


def export_problem(case: Case, folder: str | PathLike[str], *, variant: str | Variant | None = None) -> Path:
    """Write a case as a PEtab v2 problem that stands on its own, for any tool that reads PEtab.

    What PEtab cannot express (the censored value, grades, uncertain visit days) is left behind: this is the
    standard part, at the nominal visit days.

    Parameters
    ----------
    case : Case
        The case.
    folder : path
        Where the files go; made when it does not exist. Files of the same names are replaced.
    variant : str or Variant, optional
        Fix what this variant fixes; by default every parameter stays as the case has it.

    Returns
    -------
    pathlib.Path
        The problem file, ``problem.yaml``.

    Raises
    ------
    CaseError
        No variant has that name.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from cellsim.case.case import load_case
    >>> export_problem(load_case("sjogren_rfib"), mkdtemp(), variant="V2").name
    'problem.yaml'
    """
    import yaml

    texts = case.files
    problem = read_problem_file(texts["problem.yaml"])
    chosen = case.variant(variant) if isinstance(variant, str) else variant
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    listed = {key: [Path(name).name for name in names] for key, names in problem.tables.items()}
    for key, names in problem.tables.items():
        for name in names:
            text = texts[name]
            if key == "parameter_files":
                text = _with_bounds(name, text)
                text = text if chosen is None else _fixed(name, text, dict(chosen.fixed))
            write_whole(out / Path(name).name, text)
    model = f"{Path(problem.model).stem}.xml"
    write_whole(out / model, _sbml(case, texts.get(problem.model)))
    content = {
        "format_version": "2.0.0",
        "id": case.name + (f"_{chosen.id}" if chosen else ""),
        "model_files": {Path(model).stem: {"location": model, "language": "sbml"}},
        **listed,
    }
    path = out / "problem.yaml"
    write_whole(path, yaml.safe_dump(content, sort_keys=False))
    return path


def _sbml(case: Case, text: str | None) -> str:
    from cellsim.model.model import load_model

    written = text is not None and text.lstrip("\ufeff \t\r\n").startswith("<")
    return text if text is not None and written else load_model(case.model).to_sbml()


def _fixed(name: str, text: str, values: dict[str, float]) -> str:
    """A parameter table in which `values` are fixed."""
    reader = TableReader({name: text})
    lines = reader.table(name, ("parameterId",))
    for line in lines:
        if (value := values.get(line.of("parameterId"))) is not None:
            line |= {"estimate": "false", "nominalValue": number_text(value)}
            line |= {column: "" for column in _ONLY_ESTIMATED if column in line}
    return table_text(list(lines[0]), lines)


def _with_bounds(name: str, text: str) -> str:
    """A parameter table in which every estimated parameter has bounds, infinite where it has none: PEtab asks for both."""
    lines = TableReader({name: text}).table(name, ("parameterId",))
    ends = {"lowerBound": "-inf", "upperBound": "inf"}
    without = [
        (line, column)
        for line in lines
        for column in ends
        if line.of("estimate").lower() == "true" and not line.of(column)
    ]
    if not without:
        return text
    for line, column in without:
        line[column] = ends[column]
    columns = dict.fromkeys((*lines[0], *ends))
    return table_text(list(columns), lines)


def event_table(case: Case) -> pd.DataFrame:
    """Values and doses of a case as one table of NONMEM and Monolix; see :meth:`cellsim.Case.event_table`."""
    named = {each.id: f"{each.id} ({each.unit})" if each.unit else each.id for each in case.analytes}
    visits = {each.id: each for each in case.visits}

    def day(row: Measurement | Censored) -> float:
        return visits[row.visit].nominal if row.visit in visits else row.day

    values = [(day(row), named[row.analyte], row.value, "") for row in case.rows]
    values += [(day(row), named[row.analyte], row.limit, row.censoring) for row in case.censored]
    before = [each.nominal for each in case.visits if each.timing == "predose"]
    table = values_and_doses(case.timeline, values, before=before)
    given = table.attrs["compartments"].values()
    table.attrs["amount_unit"] = {
        each.name: each.unit or "cells" for each in case.products if each.name in given
    }
    return table
