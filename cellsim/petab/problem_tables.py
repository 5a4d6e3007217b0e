"""A PEtab problem of version 1 or 2, from its YAML to frozen rows."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from cellsim.errors import CaseError
from cellsim.petab.folder import ProblemFolder
from cellsim.petab.problem import read_yaml
from cellsim.petab.records import ProblemTables
from cellsim.petab.tables import TableReader
from cellsim.petab.version_1 import Version1
from cellsim.petab.version_2 import Version2

__all__ = ["read_problem"]


def read_problem(source: str | PathLike[str] | Mapping[str, str]) -> ProblemTables:
    """Read a PEtab problem, whichever version it is written in.

    Parameters
    ----------
    source : path or mapping
        Its folder, the path of its YAML, or its texts by file name.

    Returns
    -------
    ProblemTables
        Its doubts among `problems`; no errors.

    Raises
    ------
    CaseError
        With every problem of its tables, each with file and row.

    Examples
    --------
    >>> from cellsim.library import case_folder
    >>> read_problem(case_folder("cytopenia_synthetic"))
    Traceback (most recent call last):
    ...
    cellsim.errors.CaseError: problem.yaml: '../../models/cytopenia.xml' lies outside the folder of the problem. Put the ...
    """
    folder = ProblemFolder(source)
    content, wrong = read_yaml(folder.texts[folder.file], file=folder.file)
    if wrong:
        raise CaseError(wrong)
    if not isinstance(content, dict):
        raise CaseError(f"{folder.file}: the problem file names nothing; begin with 'format_version: 2.0.0'.")
    version = str(content.get("format_version", "")).split(".")[0]
    if version not in ("1", "2"):
        seen = content.get("format_version")
        told = f"format_version {seen!r}" if seen else "no format_version"
        raise CaseError(f"{folder.file}: {told}; PEtab 1 and 2 are read.")
    made = (Version1 if version == "1" else Version2)(folder, TableReader({}), content)
    tables = made.tables()
    problems = dict.fromkeys((*folder.problems, *tables.problems))
    errors = [each for each in problems if each.severity == "error"]
    if errors:
        raise CaseError(errors)
    return ProblemTables(
        name=tables.name,
        version=int(version),
        parameters=tables.parameters,
        parts=tables.parts,
        mapping=tables.mapping,
        texts=dict(folder.texts),
        problems=tuple(problems),
    )
