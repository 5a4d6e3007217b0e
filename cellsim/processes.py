"""Work of many small matrices in processes of their own: threads of one interpreter wait for each other at every call.

On two cores two threads of such work are as fast as one, and two processes twice as fast. They are started with the first work that
is worth it (:func:`on_all_processes`) or that asks for it (:func:`start_processes`), take no more than one core each, live on for the next
work, and end with this process or when nothing was asked of them for a while. Where none can be started, or one of them was ended from
outside, the work is done here: what is made is the same.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread, main_thread
from typing import Any, TypeVar, cast

from cellsim.interrupts import interrupt_thread
from cellsim.threads import CORES, ENVIRONMENT

__all__ = ["MANY_PARAMETERS", "Held", "in_a_process", "on_all_processes", "processes_run", "start_processes"]

Thing = TypeVar("Thing")
Done = TypeVar("Done")

MANY_PARAMETERS = 30
"""Parameters of a posterior with which its draws are worth processes of their own; with fewer each takes a millisecond."""

# seconds without work after which a process ends; between two looks whether an interrupt has come
_IDLE, _LOOK = 300, 0.1
# what a process remembers of what is sent with every task
_REMEMBERED = 4
_NUMBERS = count()
_ONE_THREAD = (ENVIRONMENT, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Held:
    """Something that is sent with many tasks, and made once in each process.

    Parameters
    ----------
    thing : object

    Examples
    --------
    >>> Held([1, 2]).thing
    [1, 2]
    """

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.key = (os.getpid(), next(_NUMBERS))

    @cached_property
    def packed(self) -> bytes | None:
        """What is sent; None where it cannot be."""
        return _packed(self.thing)


def processes_run() -> bool:
    """Whether processes were started by this one, and may be used at no cost."""
    return bool(_STARTED) and _STARTED[0] == os.getpid()


def start_processes() -> None:
    """Begin to start processes, if they can be of use; does not wait for them."""
    if _can_start():
        with suppress(*_broken()):
            for _ in range(CORES):
                _executor().submit(_get_ready)
            _STARTED[:] = [os.getpid()]


def on_all_processes(
    work: Callable[..., Done], held: Sequence[Held], things: Sequence[Thing]
) -> list[Done] | None:
    """What a function makes of each thing, in order; None where there are no processes.

    Parameters
    ----------
    work : callable
        Of a module; takes what is held, then the thing.
    held : sequence of Held
        What is the same for all things.
    things : sequence

    Examples
    --------
    >>> made = on_all_processes(pow, [Held(2)], [1, 5])
    >>> made is None or made == [2, 32]
    True
    """
    if not _can_start():
        return None
    sent = [(each.key, each.packed) for each in held]
    packed = [_packed((work, each)) for each in things]
    if None in packed or any(each is None for _, each in sent):
        return None
    tasks: list[Future[Done]] = []
    try:
        tasks += (_executor().submit(_worked, sent, each) for each in packed)
        _STARTED[:] = [os.getpid()]
        return [_waited(each) for each in tasks]
    except _broken():
        return None
    finally:
        for each in tasks:
            each.cancel()


def in_a_process(function: Callable[..., Done], *arguments: Any, **options: Any) -> Done:
    """Call a function in a process of its own, or here where there is none.

    An interrupt of the calling thread is handed on: the function hears it as KeyboardInterrupt, and what it returns then is returned.

    Parameters
    ----------
    function : callable
        Of a module.
    arguments, options
        Its own.

    Examples
    --------
    >>> in_a_process(divmod, 7, 2)
    (3, 1)
    """
    packed = _packed((function, arguments, options)) if _can_start() and processes_run() else None
    if packed is None:
        return function(*arguments, **options)
    with TemporaryDirectory(prefix="cellsim-") as folder:
        stop = Path(folder) / "stop"
        try:
            task = _executor().submit(_called, str(stop), packed)
            try:
                done, said = _waited(task)
            except KeyboardInterrupt:
                if task.cancel():
                    raise
                stop.touch()
                done, said = _waited(task)
        except _broken():
            return function(*arguments, **options)
    if done is None:
        return function(*arguments, **options)
    for each in said:
        warnings.warn(each, stacklevel=2)
    return cast(Done, pickle.loads(done))


# ---- this side ----------------------------------------------------------------------------------------

_STARTED: list[int] = []
_LOCK = Lock()


def _can_start() -> bool:
    here = multiprocessing.current_process()
    return (
        CORES > 1
        and bool(sys.executable)
        and sys.platform not in ("emscripten", "wasi", "ios", "android")
        # those of a cluster may have no children
        and not here.daemon
    )


def _broken() -> tuple[type[BaseException], ...]:
    from concurrent.futures.process import BrokenProcessPool
    from pickle import PicklingError

    return (BrokenProcessPool, PicklingError, OSError)


def _packed(thing: Any) -> bytes | None:
    """A thing as bytes; None for one that cannot be: of a script, holding a lock or an open file."""
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(thing, protocol=5))
    except Exception:  # whatever its parts say; it is worked on here
        return None


def _executor() -> Any:
    from loky import get_reusable_executor

    # by default a process ends whose memory grows by 0.3 GB, which compiled models and what is held take without leaking
    told = {each: "1" for each in _ONE_THREAD} | {"LOKY_MAX_MEMORY_LEAK_SIZE": str(sys.maxsize)}
    with _LOCK:
        return get_reusable_executor(max_workers=CORES, timeout=_IDLE, initializer=_deaf, env=told)


def _waited(task: Future[Done]) -> Done:
    """What a task has made; an interrupt is heard meanwhile, in every thread and on every system."""
    while True:
        with suppress(NotYetError):
            return task.result(timeout=_LOOK)
        if task.done():  # it ended with such an error of its own, or just now
            return task.result()


# ---- the other side -----------------------------------------------------------------------------------

_KNOWN: OrderedDict[tuple[int, int], Any] = OrderedDict()


def _deaf() -> None:
    """A terminal sends an interrupt to all processes; here it comes by way of the one that asked."""
    for name in ("SIGINT", "SIGHUP"):
        with suppress(AttributeError, ValueError):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _get_ready() -> None:
    """Load what sampling takes."""
    import scipy.linalg
    import scipy.special  # noqa: F401


def _worked(held: Sequence[tuple[tuple[int, int], bytes]], packed: bytes) -> Any:
    work, thing = pickle.loads(packed)  # made by the process that started this one, as is what is held
    found = []
    for key, each in held:
        if key not in _KNOWN:
            _KNOWN[key] = pickle.loads(each)
        _KNOWN.move_to_end(key)
        found.append(_KNOWN[key])
    while len(_KNOWN) > max(_REMEMBERED, len(held)):
        _KNOWN.popitem(last=False)
    return work(*found, thing)


def _called(stop: str, packed: bytes) -> tuple[bytes | None, list[Warning | str]]:
    function, arguments, options = pickle.loads(packed)
    with warnings.catch_warnings(record=True) as said, _stopped_by(Path(stop)):
        warnings.simplefilter("always")
        done = function(*arguments, **options)
    return _packed(done), [each.message for each in said]


@contextmanager
def _stopped_by(file: Path) -> Iterator[None]:
    """Raise KeyboardInterrupt in this thread once there is such a file."""
    over = Event()

    def look() -> None:
        while not over.wait(_LOOK):
            if file.exists():
                interrupt_thread(main_thread())
                return

    watch = Thread(target=look, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
