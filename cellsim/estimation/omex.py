"""A case as a COMBINE archive (OMEX): one file with everything in it, which other tools of systems biology open.

The archive is a zip with a manifest that says what each file is and which one to begin with (Bergmann et al., BMC
Bioinformatics 2014, 15:369).
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from cellsim.case.export import export_problem
from cellsim.errors import CaseError, CellsimError, did_you_mean
from cellsim.foreign.archives import read_members, write_members
from cellsim.foreign.native import refuse_hostile_xml
from cellsim.foreign.trial import from_file
from cellsim.petab.folder import outside

if TYPE_CHECKING:
    from cellsim.case.case import Case

__all__ = ["ARCHIVES", "export_archive", "files_of_archive"]

ARCHIVES = (".omex", ".zip")
_MANIFEST = "manifest.xml"
_SPACE = "http://identifiers.org/combine.specifications/omex-manifest"
_FORMATS = {
    ".omex": "http://identifiers.org/combine.specifications/omex",
    ".yaml": "http://purl.org/NET/mediatypes/application/x-yaml",
    ".tsv": "http://purl.org/NET/mediatypes/text/tab-separated-values",
    ".xml": "http://identifiers.org/combine.specifications/sbml",
    ".md": "http://purl.org/NET/mediatypes/text/markdown",
}
_OTHER = "http://purl.org/NET/mediatypes/text/plain"


def export_archive(case: Case, path: str | PathLike[str], *, standard: bool = False) -> Path:
    """Write a case as one COMBINE archive.

    Parameters
    ----------
    case : Case
    path : path
        Of the archive, by custom ``NAME.omex``; what was there is replaced.
    standard : bool
        Only the problem that every tool of PEtab reads (see :func:`cellsim.case.export.export_problem`); by default every table of the case,
        which :func:`cellsim.load_case` reads back equal.

    Returns
    -------
    pathlib.Path
        The archive.

    Raises
    ------
    CellsimError
        It cannot be written.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from cellsim.case.case import load_case
    >>> export_archive(load_case("sjogren_rfib"), Path(mkdtemp()) / "case.omex").name
    'case.omex'
    """
    files = _standard(case) if standard else _whole(case)
    write_members(
        path, {_MANIFEST: _manifest(files).encode(), **{name: text.encode() for name, text in files.items()}}
    )
    return Path(path)


def _standard(case: Case) -> dict[str, str]:
    with TemporaryDirectory() as folder:
        export_problem(case, folder)
        return {each.name: each.read_text(encoding="utf-8") for each in sorted(Path(folder).iterdir())}


def _whole(case: Case) -> dict[str, str]:
    """All tables; a shipped model named by a path outside is put beside them."""
    from cellsim.model.model import load_model
    from cellsim.petab.problem import read_problem_file

    files = dict(case.files)
    location = read_problem_file(files["problem.yaml"]).model
    if location not in files or outside(location):
        inside = f"{Path(location).stem}.xml"
        text = files.pop(location, None) or load_model(case.model).to_sbml()
        files["problem.yaml"] = files["problem.yaml"].replace(location, inside)
        files[inside] = text
    return files


def _manifest(files: Mapping[str, str]) -> str:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<omexManifest xmlns="{_SPACE}">',
        f'  <content location="." format="{_FORMATS[".omex"]}"/>',
        f'  <content location="./{_MANIFEST}" format="{_SPACE}"/>',
    ]
    for name in files:
        kind = _FORMATS.get(Path(name).suffix, _OTHER)
        master = ' master="true"' if name == "problem.yaml" else ""
        lines.append(f'  <content location={quoteattr("./" + name)} format="{kind}"{master}/>')
    return "\n".join([*lines, "</omexManifest>", ""])


def files_of_archive(path: str | PathLike[str]) -> dict[str, str]:
    """The problem in a COMBINE archive, as texts by file name: what its manifest lists, and nothing else.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to str
        Names are relative to the problem file.

    Raises
    ------
    CaseError
        It is no such archive; its manifest lists what is not there, or lies outside; no problem file can be told.
    """
    try:
        members = read_members(path)
    except CellsimError as error:
        raise CaseError(str(error)) from None
    if _MANIFEST not in members:
        raise CaseError(
            f"{path} has no {_MANIFEST}, and is no COMBINE archive. It holds: {', '.join(sorted(members)[:5])}."
        )
    listed, masters = _listed(members[_MANIFEST], path)
    texts: dict[str, str] = {}
    for name in listed:
        if name not in members:
            raise CaseError(
                f"{path}: the manifest lists {name!r}, which is not there. {did_you_mean(name, members)}"
            )
        if Path(name).suffix in (".yaml", ".yml", ".tsv", ".csv", ".txt", ".xml", ".sbml", ".ant", ".md"):
            try:
                texts[name] = from_file(
                    members[name].decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
                )
            except UnicodeDecodeError:
                raise CaseError(f"{path}: {name} is not UTF-8.") from None
    problems = [name for name in masters if Path(name).suffix in (".yaml", ".yml") and name in texts] or [
        name for name in texts if Path(name).suffix in (".yaml", ".yml") and "format_version" in texts[name]
    ]
    if len(problems) != 1:
        said = (
            f"{len(problems)} problem files: {', '.join(problems)}" if problems else "no problem file (YAML)"
        )
        raise CaseError(f"{path} holds {said}. Mark one as master in {_MANIFEST}.")
    above = Path(problems[0]).parent.as_posix()
    start = "" if above == "." else f"{above}/"
    found = {name.removeprefix(start): text for name, text in texts.items() if name.startswith(start)}
    found["problem.yaml"] = found.pop(problems[0].removeprefix(start))
    return found


def _listed(content: bytes, path: object) -> tuple[list[str], list[str]]:
    """Files that a manifest lists, and those it marks to begin with."""
    try:
        tree = ElementTree.fromstring(refuse_hostile_xml(content.decode("utf-8", "replace")))
    except CellsimError as error:
        raise CaseError(f"{path}, {_MANIFEST}: {error}") from None
    names, masters = [], []
    for each in tree.iter():
        location = each.get("location", "")
        if not each.tag.endswith("content") or location in ("", ".", f"./{_MANIFEST}", _MANIFEST):
            continue
        name = location.removeprefix("./")
        if said := outside(name):
            raise CaseError(f"{path}, {_MANIFEST}: {said}")
        names.append(name)
        if each.get("master", "").lower() == "true":
            masters.append(name)
    return names, masters
