"""The problem file of a PEtab v2 problem, and libpetab's own verdict on a whole one."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from cellsim.errors import CaseError, Problem

__all__ = [
    "STANDARD",
    "ProblemFile",
    "lint",
    "read_problem_file",
]

STANDARD = ("parameter_files", "observable_files", "measurement_files", "condition_files", "experiment_files")
"""The tables that every PEtab tool reads, by their key in ``problem.yaml``."""


@dataclass
class ProblemFile:
    """What ``problem.yaml`` says.

    Attributes
    ----------
    name : str
        Its identifier; empty when it has none.
    tables : dict
        Names of the tables by the key they stand under (see :data:`STANDARD`).
    model : str
        Where the model stands, as written; empty when that cannot be read.
    problems : list of Problem
    """

    name: str = ""
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    model: str = ""
    problems: list[Problem] = field(default_factory=list)


def read_problem_file(text: str, *, file: str = "problem.yaml") -> ProblemFile:
    """Read which tables and which model a PEtab v2 problem is made of.

    Parameters
    ----------
    text : str
        Of ``problem.yaml``.
    file : str
        Its name, for the complaints.

    Returns
    -------
    ProblemFile
    """
    import yaml

    found = ProblemFile()

    def say(what: str, remedy: str = "", row: int | None = None) -> None:
        found.problems.append(Problem(what=what, remedy=remedy, file=file, row=row))

    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        say(f"not YAML: {getattr(error, 'problem', error)}.", row=mark.line + 1 if mark else None)
        return found
    if not isinstance(content, dict):
        say("the problem file names nothing.", "Begin with 'format_version: 2.0.0'.")
        return found
    found.name = str(content.get("id") or "")
    version = str(content.get("format_version") or "")
    if not version.startswith("2."):
        say(f"format_version {version or 'is not given'!r}; PEtab 2.0.0 is read.")
    for key in STANDARD:
        names = content.get(key)
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            say(f"no list of {key}.", f"Write '{key}:' and below it '  - {key.removesuffix('_files')}s.tsv'.")
            names = []
        for name in names:
            if "://" in name:
                say(
                    f"{name} is a web address; cases are read from files.", "Save the table beside this file."
                )
        found.tables[key] = tuple(name for name in names if "://" not in name)
    models = content.get("model_files")
    entries = list(models.values()) if isinstance(models, dict) else []
    if len(entries) != 1 or not isinstance(entries[0], dict):
        say(
            "one model is needed under model_files.",
            "A case is one patient and one model; variants fix its parameters.",
        )
    elif entries[0].get("language") != "sbml" or not isinstance(entries[0].get("location"), str):
        say("the model needs a location and 'language: sbml'.")
    else:
        found.model = entries[0]["location"]
    return found


def lint(folder: str | PathLike[str]) -> tuple[Problem, ...]:
    """Let libpetab judge a PEtab v2 problem (it must be installed: ``pip install petab``).

    Parameters
    ----------
    folder : path
        Of the problem, or its ``problem.yaml``.

    Returns
    -------
    tuple of Problem
        What its validation says; its warnings are doubts. Empty when there is nothing to say.

    Raises
    ------
    CaseError
        libpetab is not installed.

    Examples
    --------
    >>> from cellsim.library import case_folder
    >>> lint(case_folder("sjogren_rfib"))
    ()
    """
    try:
        from petab.v2 import Problem as PetabProblem
    except ImportError as error:
        raise CaseError("libpetab is not installed; try: pip install petab") from error
    path = Path(folder)
    path = path if path.is_file() else path / "problem.yaml"
    try:
        issues = PetabProblem.from_yaml(path).validate()
    except Exception as error:  # libpetab refuses what it cannot parse with whatever was raised underneath
        return (Problem(what=f"libpetab cannot read it: {error}", file=path.name),)
    return tuple(
        Problem(
            what=issue.message,
            file=path.name,
            severity="error" if issue.level.name in ("ERROR", "CRITICAL") else "doubt",
        )
        for issue in issues
    )
