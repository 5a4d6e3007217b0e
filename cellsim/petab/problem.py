"""The one door to PEtab: the problem file, whole problems written out, and libpetab's own verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellsim.case.tables import Desk, number_text, table_text
from cellsim.errors import CaseError, Problem
from cellsim.petab.doses_from_petab import schedule_from_experiment
from cellsim.petab.doses_to_petab import experiment_from_schedule

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.records import Variant

__all__ = [
    "STANDARD",
    "ProblemFile",
    "experiment_from_schedule",
    "export_problem",
    "lint",
    "read_problem_file",
    "schedule_from_experiment",
]

STANDARD = ("parameter_files", "observable_files", "measurement_files", "condition_files", "experiment_files")
"""The tables that every PEtab tool reads, by their key in ``problem.yaml``."""

_ONLY_ESTIMATED = ("lowerBound", "upperBound", "priorDistribution", "priorParameters")


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
            if key == "parameter_files" and chosen is not None:
                text = _fixed(name, text, dict(chosen.fixed))
            (out / Path(name).name).write_text(text, encoding="utf-8")
    model = f"{Path(problem.model).stem}.xml"
    (out / model).write_text(_sbml(case, texts.get(problem.model)), encoding="utf-8")
    content = {
        "format_version": "2.0.0",
        "id": case.name + (f"_{chosen.id}" if chosen else ""),
        "model_files": {Path(model).stem: {"location": model, "language": "sbml"}},
        **listed,
    }
    path = out / "problem.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def _sbml(case: Case, text: str | None) -> str:
    from cellsim.model.model import load_model

    return load_model(case.model).to_sbml() if text is None else text


def _fixed(name: str, text: str, values: dict[str, float]) -> str:
    """A parameter table in which `values` are fixed."""
    desk = Desk({name: text})
    lines = desk.table(name, ("parameterId",))
    for line in lines:
        if (value := values.get(line.of("parameterId"))) is not None:
            line |= {"estimate": "false", "nominalValue": number_text(value)}
            line |= {column: "" for column in _ONLY_ESTIMATED if column in line}
    return table_text(list(lines[0]), lines)


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
