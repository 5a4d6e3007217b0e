"""The problem file of a PEtab v2 problem, and libpetab's own verdict on a whole one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any

from cellsim.delimited import read_number
from cellsim.dosing.body import Body
from cellsim.errors import CaseError, CellsimError, Problem, did_you_mean
from cellsim.units import conversion_factor

__all__ = [
    "STANDARD",
    "ProblemFile",
    "lint",
    "read_problem_file",
    "read_yaml",
]

STANDARD = ("parameter_files", "observable_files", "measurement_files", "condition_files", "experiment_files")
"""The tables that every PEtab tool reads, by their key in ``problem.yaml``."""

_LEFT_ASIDE = ("mapping_files", "extensions")
"""Keys of PEtab v2 that a problem may have and that are not read."""

_KNOWN = ("format_version", "id", "model_files", *STANDARD, *_LEFT_ASIDE)
_OF_MODEL = ("location", "language")
LANGUAGES = ("sbml", "antimony")
"""What a model may be written in: PEtab's own, and ours for models that people edit; an export writes SBML."""
_DEEPEST_YAML = 20
_PATIENT = "patient"


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
    unread : tuple of str
        Names of files that the problem has beside these, and that are not read.
    body : Body
        Weight and height of the patient, which stand under ``extensions: patient``.
    problems : list of Problem
    """

    name: str = ""
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    model: str = ""
    unread: tuple[str, ...] = ()
    body: Body = field(default_factory=Body)
    problems: list[Problem] = field(default_factory=list)


def read_yaml(text: str, *, file: str) -> tuple[Any, list[Problem]]:
    """What YAML says: mappings, lists and text. No word is taken for a number, a date or a truth.

    Parameters
    ----------
    text : str
    file : str
        Its name, for the complaints.

    Returns
    -------
    content : object
        ``no``, ``010``, ``1:30`` and ``2024-01-05`` are text, as written; what is empty is the empty text.
    problems : list of Problem
        It is no YAML, gives a key twice, refers to itself (an alias may stand for any amount of text), or nests
        too deeply.

    Examples
    --------
    >>> read_yaml("id: no", file="problem.yaml")
    ({'id': 'no'}, [])
    """
    import yaml

    def problem(what: str, mark: Any, remedy: str = "") -> list[Problem]:
        return [Problem(what=what, remedy=remedy, file=file, row=mark.line + 1 if mark else None)]

    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        return None, [Problem(what="a NUL byte: this is no text.", file=file, row=row)]
    depth = 0
    keys: list[
        tuple[set[str], bool | None]
    ] = []  # of every open mapping: keys so far, and whether one comes next
    try:
        # events are told without recursion and before anything is built
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                said = f"the alias *{event.anchor} repeats what stands elsewhere, which is not read."
                return None, problem(said, event.start_mark, "Write it out.")
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
                keys.pop()
                continue
            if not isinstance(event, yaml.NodeEvent):
                continue
            if keys and keys[-1][1] is not None:
                known, is_key = keys[-1]
                if is_key and isinstance(event, yaml.ScalarEvent):
                    if event.value in known:
                        return None, problem(
                            f"{event.value!r} is given twice.", event.start_mark, "Keep one of the two."
                        )
                    known.add(event.value)
                keys[-1] = (known, not is_key)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                keys.append((set(), True if isinstance(event, yaml.MappingStartEvent) else None))
                if depth > _DEEPEST_YAML:
                    return None, problem(
                        f"lists within lists, {depth} deep; {_DEEPEST_YAML} are read.", event.start_mark
                    )
        return yaml.load(text, Loader=yaml.BaseLoader), []
    except yaml.YAMLError as error:
        said = getattr(error, "problem", None) or str(error)
        return None, problem(f"not YAML: {said}.", getattr(error, "problem_mark", None))


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
    found = ProblemFile()

    def say(what: str, remedy: str = "", row: int | None = None, severity: str = "error") -> None:
        found.problems.append(Problem(what=what, remedy=remedy, file=file, row=row, severity=severity))

    content, problems = read_yaml(text, file=file)
    if problems:
        found.problems += problems
        return found
    if not isinstance(content, dict):
        say("the problem file names nothing.", "Begin with 'format_version: 2.0.0'.")
        return found
    for key in ("id", "format_version"):
        if not isinstance(content.get(key, ""), str):
            say(f"{key} is not one word.")
            content[key] = ""
    if not content.get("id", "").isprintable():
        say(f"id {content['id']!r} has letters that cannot be printed.", "Write letters, digits and _.")
        content["id"] = ""
    for key, remedy, severity in _unknown(content, _KNOWN):
        say(f"{key!r} is no key of a problem file, and is not read.", remedy, _row(text, key), severity)
    for key in _LEFT_ASIDE:
        names = content.get(key)
        if key == "extensions" and isinstance(names, dict) and _PATIENT in names:
            try:
                found.body = _body(names[_PATIENT])
            except CellsimError as error:
                say(
                    f"{_PATIENT}: {error}",
                    "Write 'weight: 70 kg' and 'height: 172 cm'.",
                    _row(text, _PATIENT) or _row(text, key),
                )
            names = {name: each for name, each in names.items() if name != _PATIENT}
        if names:
            said = f"{key} is not read: {', '.join(_words(names))}."
            remedy, severity = "Names and numbers are taken as the other tables have them.", "doubt"
            if key == "extensions" and any(_required(each) for each in _inner(names)):
                remedy, severity = "The problem says that it means something else without them.", "error"
            say(said, remedy, _row(text, key), severity)
    mapped = content.get("mapping_files")
    found.unread = tuple(each for each in mapped if isinstance(each, str)) if isinstance(mapped, list) else ()
    found.name, version = content.get("id", ""), content.get("format_version", "")
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
    elif entries[0].get("language") not in LANGUAGES or not isinstance(entries[0].get("location"), str):
        say(
            "the model needs a location and 'language: sbml' (or antimony, which no other tool of PEtab reads)."
        )
    else:
        found.model = entries[0]["location"]
    if len(entries) == 1 and isinstance(entries[0], dict):
        for key, remedy, severity in _unknown(entries[0], _OF_MODEL):
            say(f"{key!r} says nothing about a model, and is not read.", remedy, _row(text, key), severity)
    return found


def _body(content: Any) -> Body:
    """Weight and height as the extension ``patient`` says them, with or without their unit."""
    sizes: dict[str, float] = {}
    for name, unit in (("weight", "kg"), ("height", "cm")):
        if text := content.get(name, "") if isinstance(content, dict) else "":
            size, _, own = str(text).strip().partition(" ")
            try:
                sizes[name] = read_number(size) * (
                    conversion_factor(own.strip(), unit) if own.strip() else 1.0
                )
            except ValueError as error:
                raise CaseError(f"{name} {error}.") from None
    return Body(**sizes)


def _unknown(content: dict[str, Any], known: Collection[str]) -> Iterable[tuple[str, str, str]]:
    """Keys that mean nothing, each with advice; one that is close to a known key is taken for a slip of the pen."""
    for key in content:
        if key not in known:
            slip = get_close_matches(str(key).lower(), known, n=1, cutoff=0.75)
            yield str(key), did_you_mean(str(key), known), "error" if slip else "doubt"


def _row(text: str, key: str) -> int | None:
    """The line of a file, counted from 1, on which a key stands; None where it is written in another way."""
    written = re.search(rf"""^[ {{,-]*["']?{re.escape(key)}["']?\s*:""", text, re.MULTILINE)
    return None if written is None else text[: written.start()].count("\n") + 1


def _words(content: Any) -> list[str]:
    return [str(each) for each in content] if isinstance(content, (list, dict)) else [str(content)]


def _inner(content: Any) -> Iterable[Any]:
    return content.values() if isinstance(content, dict) else ()


def _required(extension: Any) -> bool:
    """Whether an extension says that the problem cannot be understood without it."""
    return isinstance(extension, dict) and str(extension.get("required", "")).lower() == "true"


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
