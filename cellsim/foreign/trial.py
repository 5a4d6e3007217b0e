"""Models from files that are not ours: another process reads them first, with limits of time and memory.

libsbml and antimony are C and C++, and a file may bring them to an end that Python cannot catch, or to take all time and memory
there is. So whoever reads a model's text from a file says so (:func:`from_file`), and before the libraries see such a text in this
process they have read it to its end in one that is started for it (:func:`try_text`). That process is started with the first such
text, lives on for the next ones, and ends with this one; where it ends by a text, the text is refused. Texts of a script and files
that come with the library are read at once.

The limits (:data:`cellsim.foreign.reading_child.SECONDS`, :data:`cellsim.foreign.reading_child.MEMORY`) are the system's own on Linux and
other systems of POSIX (macOS keeps no limit of memory); Windows has none, and there only the patience of this process ends a text that
takes too long. Where no process can be started (Python in a browser, or inside another program), the text is read at once.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Lock, Timer

from cellsim.errors import CellsimError, ModelError
from cellsim.foreign.reading_child import MEMORY, SECONDS

__all__ = ["from_file", "try_hdf5", "try_text"]

_PATIENCE = 6  # times the processor time a text may take, on a busy machine
_LOCK = Lock()
_WELL: dict[
    bytes, str
] = {}  # by digest of a text from a file: what is wrong with it, empty where it was read to its end
_MARKED: set[bytes] = set()


def from_file(text: str) -> str:
    """The text of a model, remembered as one that came from a file which is not ours.

    Examples
    --------
    >>> from_file("x = 1")
    'x = 1'
    """
    _MARKED.add(_digest(text))
    return text


def _digest(text: str) -> bytes:
    plain = text.removeprefix("\ufeff").strip().encode("utf-8", "replace")
    return hashlib.sha256(plain).digest()


def try_text(text: str, language: str, written: str = "") -> None:
    """Let a process of its own read a text first, if it came from a file.

    Parameters
    ----------
    text : str
        As it stands in the file.
    language : str
        ``"sbml"`` or ``"antimony"``.
    written : str, optional
        As it is given to the library, where that is something else.

    Raises
    ------
    ModelError
        Reading it ended that process, or took too much time or memory.

    Examples
    --------
    >>> try_text("x = 1; x' = -x", "antimony")
    """
    if not _MARKED or (key := _digest(text)) not in _MARKED or not _can_start():
        return
    with _LOCK:
        if key not in _WELL:
            _WELL[key] = _tried((written or text).encode("utf-8", "replace"), language[:1].encode())
        said = _WELL[key]
    if said:
        raise ModelError(said)


def try_hdf5(content: bytes) -> None:
    """Let a process of its own read a file of HDF5 first: damage may keep that library busy without end.

    Raises
    ------
    CellsimError
        Reading it ended that process, or took too much time or memory.
    """
    if not _can_start():
        return
    with _LOCK:
        key = hashlib.sha256(content).digest()
        if key not in _WELL:
            _WELL[key] = _tried(content, b"h")
        said = _WELL[key]
    if said:
        raise CellsimError(said)


def _can_start() -> bool:
    return bool(sys.executable) and sys.platform not in (
        "emscripten",
        "wasi",
        "ios",
        "android",
    )


class _Reader:
    """The process that reads first."""

    def __init__(self) -> None:
        # it is to find the packages that this process has found
        paths = os.pathsep.join(each or os.getcwd() for each in sys.path)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-W",
                "ignore",
                "-m",
                "cellsim.foreign.reading_child",
                str(SECONDS),
                str(MEMORY),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            bufsize=0,
        )
        self.owner = os.getpid()
        self.texts = 0
        self.late = False

    def ask(self, content: bytes, language: bytes) -> bytes:
        """Its answer; empty where it ended instead."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.texts += 1
        patience = Timer(_PATIENCE * (SECONDS + 1), self._stop)
        patience.daemon = True
        patience.start()
        try:
            with suppress(OSError):
                view = memoryview(language + len(content).to_bytes(8, "little") + content)
                while view:
                    view = view[self.process.stdin.write(view) :]
            return self.process.stdout.read(1) or b""
        finally:
            patience.cancel()

    def _stop(self) -> None:
        self.late = True
        self.process.kill()

    def end(self) -> int:
        """End it; what it ended with."""
        with suppress(OSError):
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return self.process.wait()


_RUNNING: list[_Reader] = []  # one, or none


def _tried(content: bytes, language: bytes) -> str:
    """What is wrong with a text; empty where it was read to its end."""
    while True:
        if not _RUNNING or _RUNNING[0].owner != os.getpid():  # a fork of this process has one of its own
            _RUNNING[:] = [_Reader()]
        reader = _RUNNING[0]
        try:
            answer = reader.ask(content, language)
        except BaseException:  # an interrupt: what would come is the answer to another question
            _RUNNING.clear()
            reader.end()
            raise
        if answer == b"d":
            return ""
        _RUNNING.clear()
        ended = _after(reader)
        too_long = reader.late or ended == -getattr(signal, "SIGXCPU", 0)
        if reader.texts == 1 or too_long:
            break
        # others may have left it little memory: once more in a new one
    if too_long:
        return (
            f"This file takes the library that reads it more than {SECONDS} s of processor time. Is it damaged, or far larger "
            "than a model of differential equations or a posterior?"
        )
    if answer == b"m":
        return f"This file takes the library that reads it more than {MEMORY / 1e9:g} GB of memory. Is it damaged?"
    how = f"signal {-ended}" if ended < 0 else f"code {ended}"
    return (
        f"The library that reads this file came to an end over it ({how}), in a process of its own: nothing else is lost. "
        "Is the file damaged? A model written by another program may be read where this one is not."
    )


def _after(reader: _Reader) -> int:
    """What a process has ended with by itself; one that goes on is ended."""
    with suppress(subprocess.TimeoutExpired):
        return reader.process.wait(timeout=1)
    return reader.end()


@atexit.register
def _leave() -> None:
    for reader in _RUNNING:
        if reader.owner == os.getpid():
            reader.end()
