"""Files: whole or not there, in UTF-8, under names that every system takes."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cellsim.errors import CellsimError

__all__ = ["file_name", "replaced", "write_whole"]

_COUNT = itertools.count()
# names that Windows keeps for devices, with any ending
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 80


def file_name(name: str) -> str:
    """A name as part of a file name that Linux, macOS and Windows take; different names give different ones.

    Letters of ASCII, digits, ``-`` and ``_`` stay; where anything else has to go, a few letters made from the whole
    name follow, so that two names never share a file.

    Examples
    --------
    >>> file_name("V0b"), file_name(""), file_name("dose: 5/week"), file_name("aux")
    ('V0b', 'fit', 'dose__5_week-ed2fd8', 'aux-321f68')
    """
    if not name:
        return "fit"
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST]
    if plain == name and not _DEVICES.match(name) and name != "fit":
        return name
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8 with its line ends as they are; what was there before is replaced at once.

    Raises
    ------
    CellsimError
        If it cannot be written, in words.
    """
    with replaced(path) as place:
        place.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Where to write what replaces a file when all of it is written; nothing is left behind by a failure.

    What is no plain file (a device, a pipe, a link) is written to as it is, and so is a file in a folder in which no
    other may be made.

    Raises
    ------
    CellsimError
        In words: the place is a folder, or in none; it cannot be written; or it cannot be replaced because another
        program holds it open (on Windows), and then what was written stays, and the message says where.
    """
    target = _writable(path)
    special = target.is_symlink() or (target.exists() and not target.is_file())
    if special or not os.access(target.absolute().parent, os.W_OK):
        with _in_words(target):
            yield target
        return
    # with the same ending, which tells some writers what to write; short, since the name may be as long as one can be
    place = target.with_name(f".cellsim-{os.getpid()}-{next(_COUNT)}{target.suffix}")
    try:
        with _in_words(target):
            yield place
    except BaseException:
        with suppress(OSError):
            place.unlink()
        raise
    try:
        place.replace(target)
    except PermissionError:
        raise CellsimError(
            f"{target} cannot be replaced; is it open in another program? What was to be written is in {place}."
        ) from None
    except OSError as error:
        with suppress(OSError):
            place.unlink()
        raise CellsimError(_refusal(target, error)) from None


def _writable(path: str | Path) -> Path:
    """The path, when a file may be written there as far as can be seen beforehand."""
    if not isinstance(path, str | os.PathLike):
        raise CellsimError(f"A file is named by a path, not by {path!r}.")
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise CellsimError(f"{os.fspath(path)!r} is not the name of a file.")
    target = Path(path)
    try:
        if target.is_dir():
            raise CellsimError(f"{target} is a folder; name a file in it.")
        if not (parent := target.absolute().parent).is_dir():
            here = "is a file, not a folder" if parent.exists() else "does not exist; make it first"
            raise CellsimError(f"{target} cannot be written: the folder {parent} {here}.")
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise CellsimError(_refusal(target, error)) from None
    return target


@contextmanager
def _in_words(target: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader went away; the command line knows what that means
        raise
    except OSError as error:
        raise CellsimError(_refusal(target, error)) from None


def _refusal(target: Path, error: OSError) -> str:
    return f"{target} cannot be written: {error.strerror or error}."
