"""The files of a PEtab problem: those its YAML names, inside its own folder, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path, PurePosixPath, PureWindowsPath

from cellsim.delimited import file_text
from cellsim.errors import CaseError, Problem, did_you_mean
from cellsim.foreign.trial import from_file
from cellsim.library import is_shipped

__all__ = ["USUAL", "YAML", "ProblemFolder", "outside", "problem_file_in"]

USUAL = "problem.yaml"
YAML = (".yaml", ".yml")

_VERSION = re.compile(r"""^\s*["']?format_version["']?\s*:""", re.MULTILINE)


def outside(name: str, folder: Path | None = None) -> str:
    """Why a file named by a problem is not one of its own; empty when it is.

    Parameters
    ----------
    name : str
        As written in the YAML.
    folder : Path, optional
        Of the problem: links in it may lead elsewhere.

    Examples
    --------
    >>> outside("tables/observables.tsv")
    ''
    >>> outside("../secret.tsv")
    "'../secret.tsv' lies outside the folder of the problem."
    """
    if "://" in name:
        return f"{name!r} is a web address; problems are read from files."
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root:
        return f"{name!r} is an absolute path; files of a problem lie in its folder."
    depth = 0
    for part in windows.parts:  # of both kinds of slashes
        depth += -1 if part == ".." else part != "."
        if depth < 0:
            return f"{name!r} lies outside the folder of the problem."
    if folder is not None and (folder / name).exists():
        whole = folder.resolve()
        if whole not in (folder / name).resolve().parents:
            return f"{name!r} is a link that leads out of the folder of the problem."
    return ""


def problem_file_in(folder: Path) -> str:
    """The name of the YAML that a folder's problem is described by.

    Raises
    ------
    CaseError
        There are several.
    """
    found = [each.name for each in sorted(folder.iterdir()) if each.suffix in YAML and each.is_file()]
    if USUAL in found or not found:
        return USUAL
    if len(found) > 1:  # others may hold settings, or results
        found = [each for each in found if _VERSION.search(_start(folder / each))] or found
    if len(found) > 1:
        raise CaseError(
            f"{folder} has {len(found)} YAML files: {', '.join(found)}. Give the path of one of them."
        )
    return found[0]


def _start(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(100_000).decode("utf-8", "replace")


class ProblemFolder:
    """The texts of one problem as they are asked for, and what is wrong with them.

    Parameters
    ----------
    source : path or mapping
        A folder, the path of its YAML, or the texts by file name.

    Attributes
    ----------
    name : str
        Of the folder.
    file : str
        Name of the YAML.
    texts : dict
        What was read so far.
    problems : list of Problem

    Raises
    ------
    CaseError
        There is no such problem.
    """

    def __init__(self, source: str | PathLike[str] | Mapping[str, str]) -> None:
        self.texts: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.folder: Path | None = None
        self.given: Mapping[str, str] = {}
        if isinstance(source, Mapping):
            self.given = {str(file): text for file, text in source.items()}
            found = [file for file in self.given if Path(file).suffix in YAML]
            stated = [file for file in found if _VERSION.search(self.given[file])]
            self.name = "case"
            self.file = USUAL if USUAL in found or len(stated) != 1 else stated[0]
        else:
            path = Path(source)
            if path.is_dir():
                self.folder, self.file = path, problem_file_in(path)
            elif path.is_file():
                self.folder, self.file = path.parent, path.name
            else:
                raise CaseError(
                    f"There is no problem at {str(path)!r}; give its folder, or the path of its YAML."
                )
            self.name = self.folder.resolve().name
        self.read(self.file)
        if self.file not in self.texts and not self.problems:
            self.problems.append(Problem(what="the file is missing.", file=self.file))
        if self.problems:
            raise CaseError(self.problems)

    def read(self, name: str) -> str:
        """The text of a file; empty, and complained about, where it cannot be had."""
        if name in self.texts:
            return self.texts[name]
        if said := outside(name, self.folder):
            self._say(said, "Put the file beside the YAML, and write its name.")
            return ""
        try:
            if self.folder is None:
                if name not in self.given:
                    self._say(f"there is no file {name!r}.", did_you_mean(name, self.given))
                    return ""
                self.texts[name] = self.given[name]
            else:
                path = self.folder / name
                if not path.is_file():
                    here = sorted(each.name for each in self.folder.iterdir())
                    self._say(f"there is no file {name!r}.", did_you_mean(name, here))
                    return ""
                self.texts[name] = file_text(path) if is_shipped(path) else from_file(file_text(path))
        except (ValueError, OSError) as error:
            self.problems.append(Problem(what=f"cannot be read: {error}.", file=name))
            return ""
        return self.texts[name]

    def _say(self, what: str, remedy: str = "") -> None:
        problem = Problem(what=what, remedy=remedy, file=self.file)
        if problem not in self.problems:
            self.problems.append(problem)
