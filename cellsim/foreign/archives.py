"""Archives (zip) of others: what they hold is counted before anything of it is unpacked."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from xml.parsers import expat

from cellsim.errors import CellsimError
from cellsim.files import write_whole

__all__ = ["judge_workbook", "read_members", "write_members"]

MOST_MEMBERS = 1000
LARGEST_EXPANDED = 200_000_000
"""Bytes of all members once they are unpacked."""
_DEEPEST = 100
_MOST_ELEMENTS = 2_000_000
_WIDEST = 1_000_000  # cells that one reference of a sheet may stand for
_FARTHEST = 5_000_000  # cells of the rectangle from A1 to the last one
_CELL = re.compile(r"\$?([A-Z]{1,3})\$?([1-9][0-9]{0,6})")
_DAMAGED = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
# a fixed time stamp, the earliest that the format holds: the same files make the same archive
_STAMP = (1980, 1, 1, 0, 0, 0)


def _judged(archive: zipfile.ZipFile, path: object) -> None:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise CellsimError(f"{path} holds {len(members)} files; {MOST_MEMBERS} are read.")
    if (size := sum(each.file_size for each in members)) > LARGEST_EXPANDED:
        raise CellsimError(f"{path} holds {size} bytes once unpacked; {LARGEST_EXPANDED} are read.")
    names = [each.filename for each in members]
    if not all(names):
        raise CellsimError(f"{path} holds a file without a name.")
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise CellsimError(f"{path} holds two files called {twice[0]!r}.")


def read_members(path: str | PathLike[str]) -> dict[str, bytes]:
    """The files of an archive by name; nothing is written anywhere.

    Parameters
    ----------
    path : path
        Of a zip file.

    Returns
    -------
    dict of str to bytes

    Raises
    ------
    CellsimError
        It is no archive, is damaged, or holds too many files, too many bytes, or two of one name.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> place = Path(mkdtemp()) / "a.zip"
    >>> write_members(place, {"x.txt": b"1"})
    >>> read_members(place)
    {'x.txt': b'1'}
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _judged(archive, path)
            # no more is unpacked of a member than it says it holds
            return {each.filename: archive.read(each) for each in archive.infolist() if not each.is_dir()}
    except _DAMAGED as error:
        raise CellsimError(f"{path} is no archive that can be read: {error}.") from None


def write_members(path: str | PathLike[str], members: Mapping[str, bytes]) -> None:
    """Write an archive; the same for the same files.

    Raises
    ------
    CellsimError
        It cannot be written.
    """
    from io import BytesIO

    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _STAMP), content, zipfile.ZIP_DEFLATED)
    write_whole(Path(path), out.getvalue())


def judge_workbook(path: str | PathLike[str]) -> None:
    """Refuse a workbook that would take all time or memory to open: openpyxl makes every cell that a merged range names.

    Raises
    ------
    CellsimError
        It is no workbook, or is too large once unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _judged(archive, path)
            for each in archive.infolist():
                if each.filename.endswith((".xml", ".rels", ".vml")):
                    _judge_sheet(archive.read(each), f"{path}, {each.filename}")
    except _DAMAGED as error:
        raise CellsimError(f"{path} is no workbook of Excel that can be read: {error}.") from None


def _judge_sheet(content: bytes, where: str) -> None:
    parser = expat.ParserCreate()
    depth = count = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > _DEEPEST or count > _MOST_ELEMENTS:
            raise CellsimError(f"{where} is larger or deeper than the sheets of one patient are.")
        named = attributes.get("ref") or attributes.get("r") or ""
        widest = _FARTHEST if name in ("c", "dimension") else _WIDEST
        if name in ("c", "mergeCell", "hyperlink") and _area(named, name == "c") > widest:
            raise CellsimError(f"{where}: {named} is far more cells than a table of one patient has.")

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_: object) -> None:
        raise CellsimError(
            f"{where} declares its own document type or entities, which no workbook has a use for."
        )

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise CellsimError(
            f"{where} is no XML: {expat.ErrorString(error.code)}. Was the file damaged?"
        ) from None


def _area(named: str, from_first: bool) -> int:
    """Cells of a range, or of the rectangle from A1 to a cell."""
    corners = [(int(row), _column(letters)) for letters, row in _CELL.findall(named)]
    if not corners:
        return 0
    if from_first:
        return corners[0][0] * corners[0][1]
    rows, columns = zip(*corners)
    return (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1)


def _column(letters: str) -> int:
    number = 0
    for each in letters:
        number = 26 * number + ord(each) - 64
    return number
