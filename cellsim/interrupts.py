"""Interrupts: what a user (Ctrl-C) or a cluster (SIGTERM) sends stops the work, and what is done is kept.

While :func:`interrupts_heard` lasts, the first signal raises KeyboardInterrupt where the main thread is, whatever was
inherited: a program started in the background by a script ignores Ctrl-C, and would then lose nothing by hearing it,
since results, tables and page of what is done are written before it ends. A second signal ends the process at once.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

__all__ = ["brought_home", "interrupt_thread", "interrupts_heard"]

Made = TypeVar("Made")

# what asks a process to end; not every platform has all of them
_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]
# one press may arrive twice: from the terminal and from a program in between that hands it on
_SAME = 0.3


@contextmanager
def interrupts_heard() -> Iterator[None]:
    """Make the first signal a KeyboardInterrupt and the second the end.

    Only the main thread may say what signals do; in another one, and inside another `interrupts_heard`, this
    changes nothing. A handler of the calling program's own is left alone; so is SIGHUP where it is ignored, as
    under ``nohup``.

    Examples
    --------
    >>> import os, signal
    >>> try:
    ...     with interrupts_heard():
    ...         signal.raise_signal(signal.SIGTERM)
    ... except KeyboardInterrupt:
    ...     print("heard")
    heard
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    first = [0.0]

    def heard(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not first[0]:
            first[0] = now
            raise KeyboardInterrupt
        if now - first[0] > _SAME:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in _SIGNALS:
        held = signal.getsignal(number)
        ignored = held is signal.SIG_IGN and number in (signal.SIGINT, signal.SIGTERM)
        if held in (signal.SIG_DFL, signal.default_int_handler) or ignored:
            before[number] = signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_thread(thread: threading.Thread) -> None:
    """Raise KeyboardInterrupt in another thread, as a signal does in the main one: as soon as it is back in Python.

    Parameters
    ----------
    thread : Thread
        One that has begun; nothing happens to one that has ended.
    """
    number, error = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(number, error)


def brought_home(work: Callable[[], Made], interrupted: bool) -> tuple[Made, bool]:
    """Do the seconds of work that make minutes or hours of it a result, and say whether an interrupt has come by then.

    The first interrupt is heard and the work begun again; the second ends it.

    Parameters
    ----------
    work : callable
    interrupted : bool
        Whether one came already.

    Examples
    --------
    >>> brought_home(lambda: 42, False)
    (42, False)
    """
    try:
        return work(), interrupted
    except KeyboardInterrupt:
        if interrupted:
            raise
        return work(), True
