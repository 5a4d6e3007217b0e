"""Machine code kept in files: what took long to compile is compiled once on a machine, and loaded by every process after.

Each file has a name made of all that its code depends on, and a sum of its content: nothing that is merely old or damaged is
ever run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["CACHE", "folders", "kept"]

# names the folder of kept machine code, in place of the usual ones
CACHE = "CELLSIM_CACHE_DIR"
_MAGIC = b"cellsim machine code\n"
# bytes of all files of one folder, of which the longest unused go first
_MOST = 100_000_000
_ENDING = ".o"


def folders(beside: Path | None = None) -> list[Path]:
    """Where code is looked for and kept: one folder where the environment names it, else `beside` and where the user's caches are."""
    if given := os.environ.get(CACHE):
        return [Path(given)]
    from platformdirs import user_cache_path

    user = user_cache_path("cellsim", appauthor=False)
    return [user] if beside is None else [beside, user]


def kept(name: str, made: Callable[[], bytes], places: Sequence[Path]) -> bytes:
    """Code from the first place that has it whole, else made, and kept in the first that can be written to.

    Parameters
    ----------
    name : str
        Of everything that it depends on.
    made : callable
    places : sequence of Path

    Returns
    -------
    bytes

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     one = kept("a", lambda: b"compiled", [Path(folder)])
    ...     other = kept("a", lambda: b"compiled again", [Path(folder)])
    >>> one, other
    (b'compiled', b'compiled')
    """
    begins = len(_MAGIC) + 32
    for folder in places:
        path = folder / f"{name}{_ENDING}"
        try:
            found = path.read_bytes()
        except OSError:
            continue
        if found[:begins] == _MAGIC + hashlib.sha256(found[begins:]).digest():
            _use(path)
            return found[begins:]
    code = made()
    for folder in places:
        if _keep(folder / f"{name}{_ENDING}", _MAGIC + hashlib.sha256(code).digest() + code):
            break
    return code


def _use(path: Path) -> None:
    """Note that it was used; where that is not allowed it does not matter."""
    try:
        os.utime(path)
    except OSError:
        return


def _keep(path: Path, content: bytes) -> bool:
    """Write a file in one piece, and let go of others where there are too many; False where that is not allowed."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        return False
    left = _MOST
    for other in sorted(path.parent.glob(f"*{_ENDING}"), key=_used, reverse=True):
        try:
            left -= other.stat().st_size
            if left < 0 and other != path:
                other.unlink()
        except OSError:  # another process was first
            continue
    return True


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
