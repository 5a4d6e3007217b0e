"""Work of many small matrices in processes of their own: threads of one interpreter wait for each other at every call.

On two cores two threads of such work are as fast as one, and two processes twice as fast. They are started with the first work, or before
it (:func:`start_processes`), take no more than one core each, live on for the next work, and end with this process or when nothing was
asked of them for a while. Where none can be started, or one of them was ended from outside, the work is done here: what is made is the
same.

What is pickled goes between these processes alone, by pipes or by a file that no one but this user may read or write, and is never
something that a user opens.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from threading import Event, Lock, Thread, main_thread
from typing import Any, TypeVar, cast
from weakref import finalize

from cellsim.interrupts import interrupt_thread
from cellsim.threads import CORES, ENVIRONMENT

__all__ = ["MANY_PARAMETERS", "Held", "in_a_process", "in_processes", "start_processes"]

Done = TypeVar("Done")

MANY_PARAMETERS = 30
"""Parameters of a posterior with which its draws are worth processes of their own; with fewer each takes a millisecond."""

# seconds without work after which a process ends; between two looks whether an interrupt has come
_IDLE, _LOOK = 300, 0.1
# how much of what is held a process remembers, with what it has found for it: draws of all mechanisms that alterations take in turn;
# and from how many bytes on it goes there by way of a file
_REMEMBERED, _LARGE = 8, 1_000_000
_NUMBERS = count()
_ONE_THREAD = (ENVIRONMENT, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Held:
    """An argument of many calls, made once in each process.

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
    def sent(self) -> _Sent | None:
        """What goes to a process; None where it cannot be sent."""
        packed = _packed(self.thing)
        if packed is None or len(packed) < _LARGE:
            return None if packed is None else _Sent(self.key, packed)
        number, name = mkstemp(prefix="cellsim-")
        with os.fdopen(number, "wb") as file:
            finalize(self, Path(name).unlink, missing_ok=True)
            file.write(packed)
        return _Sent(self.key, None, name)


@dataclass(frozen=True)
class _Sent:
    """What stands for something held: its bytes, or the file of a large one."""

    key: tuple[int, int]
    packed: bytes | None
    name: str = ""

    @property
    def thing(self) -> Any:
        if self.key not in _KNOWN:
            # made by the process that started this one
            _KNOWN[self.key] = pickle.loads(
                Path(self.name).read_bytes() if self.packed is None else self.packed
            )
        _KNOWN.move_to_end(self.key)
        while len(_KNOWN) > _REMEMBERED:
            _KNOWN.popitem(last=False)
        return _KNOWN[self.key]


def start_processes() -> None:
    """Begin to start processes, if they can be of use; does not wait for them."""
    if _can_start():
        from concurrent.futures.process import BrokenProcessPool

        with suppress(BrokenProcessPool, OSError):  # the next work starts others, or is done here
            for _ in range(CORES):
                _executor().submit(_get_ready)


def in_processes(
    work: Callable[..., Done], calls: Iterable[tuple[Any, ...]], *, worth: bool = True
) -> Generator[Done, None, None]:
    """What a function makes of several arguments each, in order, in as many processes as there are cores.

    Left before its end, as by an interrupt, what is being worked on hears it as KeyboardInterrupt, and nothing is begun after it.

    Parameters
    ----------
    work : callable
        Of a module.
    calls : iterable of tuple
        Its arguments, each time; of one that is :class:`Held` it is given what is held.
    worth : bool, default True
        Whether it is worth processes; else it is done here, each when it is asked for.

    Examples
    --------
    >>> two = Held(2)
    >>> list(in_processes(pow, [(two, 1), (two, 5)]))
    [2, 32]
    """

    def here(call: tuple[Any, ...]) -> Done:
        return work(*[each.thing if isinstance(each, Held) else each for each in call])

    if not (worth and _can_start()):
        yield from map(here, calls)
        return
    calls = list(calls)
    with _wanted() as file:
        tasks = [_submitted(file, work, call, {}) for call in calls]
        try:
            for call, task in zip(calls, tasks, strict=True):
                done = None if task is None else _home(task)
                # what was lost with its process, or could not be sent, is done here
                yield here(call) if done is None else done[0]
        finally:
            for each in tasks:
                if each is not None:
                    each.future.cancel()


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
    with _wanted() as file:
        task = _submitted(file, function, arguments, options) if _can_start() else None
        if task is None:
            return function(*arguments, **options)
        try:
            done = _home(task)
        except KeyboardInterrupt:
            if task.future.cancel():
                raise
            file.unlink(missing_ok=True)
            done = _home(task)
    return function(*arguments, **options) if done is None else cast(Done, done[0])


# ---- this side ----------------------------------------------------------------------------------------

_LOCK = Lock()
_RUNNING: list[tuple[int, Any]] = []  # one, or none


@dataclass(frozen=True)
class _Task:
    future: Future[Any]
    pool: Any


@contextmanager
def _wanted() -> Iterator[Path]:
    """A file that is there for as long as work is wanted."""
    with TemporaryDirectory(prefix="cellsim-") as folder:
        file = Path(folder) / "wanted"
        file.touch()
        yield file


def _submitted(
    file: Path, work: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]
) -> _Task | None:
    """A task for a process; None where there is none, or it cannot be sent."""
    from concurrent.futures.process import BrokenProcessPool

    with suppress(OSError):  # a full disk among them
        sent = [each.sent if isinstance(each, Held) else each for each in arguments]
        if any(isinstance(each, Held) and one is None for each, one in zip(arguments, sent, strict=True)):
            return None
        if (packed := _packed((work, sent, options))) is None:
            return None
        for _ in range(2):
            pool = _executor()
            try:
                return _Task(pool.submit(_worked, str(file), packed), pool)
            except BrokenProcessPool:  # since the last task
                _forget(pool)
    return None


def _home(task: _Task) -> tuple[Any] | None:
    """What a task has made; None where it was lost with its process, or cannot be sent."""
    from concurrent.futures.process import BrokenProcessPool

    try:
        packed, said = _waited(task.future)
    except BrokenProcessPool:
        _forget(task.pool)
        return None
    except (pickle.PicklingError, OSError):
        return None
    if packed is None:
        return None
    for each in said:
        warnings.warn(each, stacklevel=3)
    return (pickle.loads(packed),)  # made by a process of ours


def _can_start() -> bool:
    here = multiprocessing.current_process()
    return (
        CORES > 1
        and bool(sys.executable)
        and sys.platform not in ("emscripten", "wasi", "ios", "android")
        # those of a cluster may have no children
        and not here.daemon
    )


def _packed(thing: Any) -> bytes | None:
    """A thing as bytes; None for one that cannot be: of a script, holding a lock or an open file."""
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(thing, protocol=5))
    except Exception:  # whatever its parts say; it is worked on here
        return None


def _executor() -> Any:
    """The processes of this one, for all its threads."""
    from loky import ProcessPoolExecutor

    # by default a process ends whose memory grows by 0.3 GB, which compiled models and what is held take without leaking
    told = {each: "1" for each in _ONE_THREAD} | {"LOKY_MAX_MEMORY_LEAK_SIZE": str(sys.maxsize)}
    with _LOCK:
        if not _RUNNING or _RUNNING[0][0] != os.getpid():  # a fork of this process has its own
            pool = ProcessPoolExecutor(CORES, timeout=_IDLE, initializer=_deaf, env=told)
            _RUNNING[:] = [(os.getpid(), pool)]
        return _RUNNING[0][1]


@atexit.register
def _leave() -> None:
    for owner, pool in _RUNNING:
        if owner == os.getpid():
            pool.shutdown(wait=True, kill_workers=True)


def _forget(pool: Any) -> None:
    """Start others for the next work: one of these was ended from outside."""
    with _LOCK:
        if _RUNNING and _RUNNING[0][1] is pool:
            _RUNNING.clear()


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


def _worked(file: str, packed: bytes) -> tuple[bytes | None, list[Warning | str]]:
    with warnings.catch_warnings(record=True) as said, _while(Path(file)):
        warnings.simplefilter("always")
        work, arguments, options = pickle.loads(packed)  # made by the process that started this one
        given = [each.thing if isinstance(each, _Sent) else each for each in arguments]
        done = _packed(work(*given, **options))
    return done, [each.message for each in said]


@contextmanager
def _while(file: Path) -> Iterator[None]:
    """Raise KeyboardInterrupt in this thread once there is no such file."""
    over = Event()

    def look() -> None:
        while not over.wait(_LOOK):
            if not file.exists():
                interrupt_thread(main_thread())
                return

    watch = Thread(target=look, daemon=True)
    watch.start()
    try:
        yield
    finally:
        with suppress(KeyboardInterrupt):  # that came when all was done
            over.set()
            watch.join()
