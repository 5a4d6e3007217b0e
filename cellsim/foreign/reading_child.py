"""``python -m cellsim.foreign.reading_child``: read files with the C libraries, one after the other, for `cellsim.foreign.trial`.

What comes in: a letter for the language (``a``, ``s``; ``h`` for HDF5), the number of bytes in eight, the content. What goes out: one letter
when the text was read to its end, whatever was said of it (``d``), or memory ran out (``m``). Everything else ends this process.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

__all__ = ["HDF5_EXPANSION", "MEMORY", "SECONDS", "main"]

SECONDS = 60
"""Processor time for one model."""

MEMORY = 4_000_000_000
"""Bytes of address space; the largest published models take half of it."""

HDF5_EXPANSION = 1000
"""Bytes that an array may hold for each byte of its file; draws pack to a fifth."""


def _limit(seconds: int, memory: int) -> None:
    """No more than so much time from now on, so much memory, and no file, where the platform has such limits."""
    with suppress(ImportError, ValueError, OSError):
        import resource
        import time

        def lowered(kind: int, value: int) -> None:
            with suppress(ValueError, OSError):  # macOS refuses some kinds
                _, hard = resource.getrlimit(kind)
                most = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (most, hard))

        lowered(resource.RLIMIT_CPU, int(time.process_time()) + seconds + 1)
        lowered(resource.RLIMIT_AS, memory)
        lowered(resource.RLIMIT_CORE, 0)
        lowered(resource.RLIMIT_FSIZE, 0)
        lowered(resource.RLIMIT_NOFILE, 3)  # those that are open stay open


def _may_open_files() -> None:
    """For an import; only the soft limit was lowered."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _read(language: bytes, content: bytes) -> bytes:
    if language == b"h":
        return _read_hdf5(content)
    from cellsim.errors import ModelError
    from cellsim.foreign.c_readers import antimony_document, sbml_document
    from cellsim.foreign.native import c_numbers

    text = content.decode()
    try:
        with c_numbers():
            sbml_document(antimony_document(text)[0] if language == b"a" else text)
    except (ModelError, RecursionError):
        return b"d"  # which the asking process comes to as well, and says in its own words
    except MemoryError:
        return b"m"
    return b"d"


def _read_hdf5(content: bytes) -> bytes:
    import io

    import h5py

    largest = HDF5_EXPANSION * len(content)

    def read(_: str, each: object) -> None:
        # what is larger, or stands in another file, is refused by who asks, and takes only time here
        if isinstance(each, h5py.Dataset) and each.size * each.dtype.itemsize <= largest:
            each[()]
        for name in each.attrs:  # type: ignore[attr-defined]
            each.attrs[name]  # type: ignore[attr-defined]

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(read)
    except MemoryError:
        return b"m"
    except Exception:  # whatever was raised underneath: it did not end the process
        return b"d"
    return b"d"


def main() -> None:
    """Answer until there are no more questions."""
    # what the libraries print is no answer
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    seconds, memory = int(sys.argv[1]), int(sys.argv[2])
    _read(b"a", b"x = 1; x' = -x")  # imports everything, which files must be opened for
    questions = sys.stdin.buffer
    while len(head := questions.read(9)) == 9:
        content = questions.read(int.from_bytes(head[1:], "little"))
        if head[:1] == b"h" and "h5py" not in sys.modules:
            _may_open_files()
            import h5py  # noqa: F401
        _limit(seconds, memory)
        answers.write(_read(head[:1], content))


if __name__ == "__main__":
    main()
