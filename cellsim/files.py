"""Files: whole or not there, in UTF-8, under names that every system takes."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
    ('V0b', 'fit', 'dose__5_week-75d1e8', 'aux-4a8a08')
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
    OSError
        If it cannot be written.
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
    OSError
        If it cannot be written, or not be replaced because another program holds it open (on Windows); what was
        written then stays, and the message says where.
    """
    target = Path(path)
    special = target.is_symlink() or (target.exists() and not target.is_file())
    if special or not os.access(target.absolute().parent, os.W_OK):
        yield target
        return
    # with the same ending, which tells some writers what to write; short, since the name may be as long as one can be
    place = target.with_name(f".cellsim-{os.getpid()}-{next(_COUNT)}{target.suffix}")
    try:
        yield place
    except BaseException:
        with suppress(OSError):
            place.unlink()
        raise
    try:
        place.replace(target)
    except PermissionError as error:
        why = f"cannot be replaced; is it open in another program? What was to be written is in {place}"
        raise PermissionError(error.errno, why, str(target)) from None
