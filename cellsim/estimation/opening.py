"""Open any PEtab problem: a case where one patient's case can hold it, an estimation problem where not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cellsim import library
from cellsim.case.case import Case
from cellsim.case.case import load_case as one_patient
from cellsim.case.files import COMPANIONS
from cellsim.errors import CellsimError
from cellsim.estimation.omex import ARCHIVES, files_of_archive
from cellsim.estimation.problem import EstimationProblem, load_problem
from cellsim.likelihood.formulation import objective_of
from cellsim.petab.folder import USUAL, ProblemFolder
from cellsim.petab.problem import read_yaml

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["load_case"]

_ALIKE = 1e-5


def load_case(
    source: str | PathLike[str] | Mapping[str, str] | Case | EstimationProblem, *, model: Model | None = None
) -> Case | EstimationProblem:
    """Open a case, or any other PEtab problem, and refuse it when anything is wrong with it.

    Parameters
    ----------
    source : str, path or mapping
        Name of a shipped case, a folder, the path of its YAML (of whatever name) or of a COMBINE archive (``.omex``), or the
        texts by file name as ``files`` of either gives them. PEtab 1 and 2 are read, with models in SBML or Antimony. A problem that one experiment of one patient
        is all of opens as a :class:`cellsim.Case`, and everything else as an
        :class:`cellsim.estimation.problem.EstimationProblem`; both answer ``log_likelihood()``, ``chi2()``, ``log_prior()``,
        ``log_posterior()`` and ``simulate()``.
    model : Model, optional
        Judge a case against this model instead of the one it names.

    Returns
    -------
    Case or EstimationProblem

    Raises
    ------
    CaseError
        With all problems at once, each with its file and row.

    Examples
    --------
    >>> load_case("sjogren_rfib")
    <Case sjogren_rfib: 28 analytes, 3 visits, 81 scored values, 22 infusions>
    """
    if isinstance(source, (Case, EstimationProblem)):
        return source
    if not isinstance(source, Mapping) and Path(source).suffix.lower() in ARCHIVES and Path(source).is_file():
        source = files_of_archive(source)
    if model is not None or not _is_plain(source):
        return one_patient(source, model=model)
    version, file = _version(source)
    if version == "1":
        return load_problem(source)
    if isinstance(source, Mapping):
        source = {USUAL if name == file else name: text for name, text in source.items()}
    try:
        case = one_patient(source)
        objective_of(case)
    except CellsimError:
        # what one patient's case cannot hold; what is wrong with the tables is told by who reads them all
        return load_problem(source)
    return _agreed(case, source)


def _agreed(case: Case, source: str | PathLike[str] | Mapping[str, str]) -> Case | EstimationProblem:
    """The case, where it scores its rows as the readers of all problems do; else what these read."""
    try:
        problem = load_problem(source)
        expected = problem.log_likelihood()
    except CellsimError:
        return case
    try:
        found = case.log_likelihood()
    except CellsimError:
        return problem
    return case if math.isclose(found, expected, rel_tol=_ALIKE, abs_tol=_ALIKE) else problem


def _is_plain(source: str | PathLike[str] | Mapping[str, str]) -> bool:
    """Whether a source that is there has none of a case's own tables."""
    if isinstance(source, Mapping):
        return not any(file in source for file in COMPANIONS) and any(Path(file).suffix for file in source)
    if isinstance(source, str) and source in library.shipped_cases():
        return False
    path = Path(source)
    folder = path if path.is_dir() else path.parent if path.is_file() else None
    return folder is not None and not any((folder / file).is_file() for file in COMPANIONS)


def _version(source: str | PathLike[str] | Mapping[str, str]) -> tuple[str, str]:
    """The version of PEtab a problem is written in, and the name of its YAML."""
    folder = ProblemFolder(source)
    content, _ = read_yaml(folder.texts[folder.file], file=folder.file)
    stated = str(content.get("format_version", "")) if isinstance(content, dict) else ""
    return stated.split(".")[0], folder.file
