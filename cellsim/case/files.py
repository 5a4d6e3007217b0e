"""The files of a case: where its folder is, which tables it has besides PEtab's, which of them may be missing."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from cellsim import library
from cellsim.delimited import file_text
from cellsim.errors import CaseError, ModelError, Problem, did_you_mean
from cellsim.petab.folder import YAML, outside, problem_file_in
from cellsim.petab.plain import HEADERS
from cellsim.petab.tables import TableReader, table_text

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = [
    "COMPANIONS",
    "count_as_empty",
    "fetch",
    "folder_of",
    "model_named",
    "readable_model",
]

COMPANIONS = (
    "visits.tsv",
    "products.tsv",
    "table1.tsv",
    "extended.tsv",
    "parameters_extended.tsv",
    "model_space.tsv",
    "variants.tsv",
)
"""Our own tables, which stand beside the PEtab problem and are not named in it; every case has them, a plain problem none."""

_MAY_BE_MISSING = (
    ("table1.tsv",),
    ("extended.tsv",),
    ("parameters_extended.tsv",),
    ("model_space.tsv", "variants.tsv"),
)
"""Those of them that count as empty where they are missing, doubted: the last two together or not at all."""


def count_as_empty(reader: TableReader) -> tuple[Problem, ...]:
    """Give a case the optional tables it lacks, with their header line alone, and doubt that they are meant to be."""
    told = {each.file for each in reader.problems}
    found: list[Problem] = []
    for group in _MAY_BE_MISSING:
        if any(file in reader.texts or file in told for file in group):
            continue
        for file in group:
            reader.texts[file] = table_text(HEADERS[file], [])
            remedy = "Restore it if it had rows; else write its header line alone."
            what = "the file is missing, and counts as empty."
            found.append(Problem(what=what, remedy=remedy, file=file, severity="doubt"))
    reader.problems += found
    return tuple(found)


def readable_model(named: str) -> Model | None:
    """The model a case names; None when there is none to read, which its check then says."""
    from cellsim.model.model import load_model

    try:
        return load_model(named) if named else None
    except ModelError:
        return None


def folder_of(source: str | PathLike[str]) -> tuple[Path, str]:
    """The folder of a shipped name or of a path, and the name of the problem file in it."""
    usual = "problem.yaml"
    if isinstance(source, str) and source in library.shipped_cases():
        return library.case_folder(source), usual
    path = Path(source)
    if path.suffix in YAML and (path.is_file() or path.name == usual):
        return path.parent, path.name
    if path.is_dir():
        return path, problem_file_in(path)
    shipped = library.shipped_cases()
    if len(path.parts) == 1:
        raise CaseError(
            f"No case {str(source)!r}, and no folder of that name. {did_you_mean(str(source), shipped)}"
        )
    raise CaseError(f"There is no folder {str(path)!r}. Shipped cases: {', '.join(shipped)}.")


def fetch(reader: TableReader, folder: Path | None, file: str, *, called: str = "") -> None:
    """Put one file on the reader, when it is there; who asks for its table hears when it is not."""
    called = called or file
    told = any(each.file == called for each in reader.problems)
    if folder is None or called in reader.texts or told or not (folder / file).is_file():
        return
    if (said := outside(file, folder)) and not _is_shipped_model(folder / file):
        reader.problems.append(Problem(what=said, remedy="Put it into the folder of the case.", file=called))
        return
    try:
        reader.texts[called] = file_text(folder / file)
    except (ValueError, OSError) as error:
        reader.problems.append(Problem(what=f"cannot be read: {error}.", file=called))


def _is_shipped_model(path: Path) -> bool:
    """Shipped cases and copies of them name their model where it stands beside them; no other file outside a folder is read."""
    if path.stem not in library.shipped_models():
        return False
    shipped = library.model_file(path.stem).with_suffix(".xml")
    return shipped.is_file() and path.read_bytes() == shipped.read_bytes()


def model_named(reader: TableReader, folder: Path | None, location: str) -> str:
    """What :func:`cellsim.load_model` takes for the model that stands at `location`; its text joins the case.

    A folder copied elsewhere no longer finds its model by a relative path; when a shipped model bears the
    name, that one is used and said aloud.
    """
    if not location:
        return ""
    stem = Path(location).stem
    shipped = library.model_file(stem).with_suffix(".xml") if stem in library.shipped_models() else None
    fetch(reader, folder, location)
    if location in reader.texts:
        if (
            shipped is not None
            and shipped.is_file()
            and shipped.read_text(encoding="utf-8") == reader.texts[location]
        ):
            return stem
        return reader.texts[location] if folder is None else str((folder / location).resolve())
    if any(each.file == location for each in reader.problems):  # it is there, but cannot be read
        return ""
    if shipped is None:
        remedy = (
            "Put the model's SBML there, or name a shipped model: "
            + ", ".join(library.shipped_models())
            + "."
        )
        reader.problems.append(
            Problem(what=f"there is no model at {location}.", remedy=remedy, file="problem.yaml")
        )
        return ""
    what = f"there is no model at {location}; the shipped model {stem!r} is used."
    reader.problems.append(Problem(what=what, file="problem.yaml", severity="doubt"))
    return stem
