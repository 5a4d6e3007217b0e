"""Many things done at once on all cores, with a bar where somebody watches; an interrupt leaves what is finished."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import cache
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

from cellsim.interrupts import interrupt_thread
from cellsim.streams import progress_bar

__all__ = [
    "CORES",
    "ENVIRONMENT",
    "SideBySide",
    "StoppedError",
    "as_they_end",
    "finished_in_threads",
    "in_threads",
    "on_all_cores",
    "one_thread_of_blas",
]

Thing = TypeVar("Thing")
Done = TypeVar("Done")

ENVIRONMENT = "CELLSIM_THREADS"
"""The environment variable that says how many threads may be used; all cores that this process may run on without it."""


def _cores() -> int:
    said = os.environ.get(ENVIRONMENT, "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    # a cluster gives a job some of a machine's cores
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


CORES = _cores()
"""How many threads are of use."""

_LOOK = 0.2  # seconds between two looks whether an interrupt has come

# chains that are followed at once: what one leaves idle the other takes
_BESIDE = 2


class StoppedError(Exception):
    """Raised by work that was asked to stop."""


def as_they_end(tasks: Iterable[Future[Done]]) -> Iterator[Future[Done]]:
    """Tasks in the order in which they end; an interrupt is heard while waiting for them, on Windows too.

    :func:`concurrent.futures.as_completed` waits on a lock, which no signal ends there.
    """
    ended: Queue[Future[Done]] = Queue()
    left = 0
    for task in tasks:
        task.add_done_callback(ended.put)
        left += 1
    while left:
        try:
            yield ended.get(timeout=_LOOK)
        except Empty:
            continue
        left -= 1


def in_threads(
    work: Callable[[Thing], Done], things: Sequence[Thing], title: str, progress: bool | None
) -> list[Done]:
    """Do all, in order; the solver releases the interpreter, so threads are enough.

    Parameters
    ----------
    work : callable
    things : sequence
        What it is done to.
    title : str
        Of the bar.
    progress : bool or None
        Whether to show one; None: only on a terminal.

    Examples
    --------
    >>> in_threads(abs, [1, -2], "sizes", False)
    [1, 2]
    """
    done, interrupted = finished_in_threads(lambda each, _: work(each), things, title, progress)
    if interrupted:
        raise KeyboardInterrupt
    return done


def finished_in_threads(
    work: Callable[[Thing, Event], Done], things: Sequence[Thing], title: str, progress: bool | None
) -> tuple[list[Done], bool]:
    """Do all, in order; what was finished, and whether an interrupt came before all was.

    Parameters
    ----------
    work : callable
        Takes a thing and an event that is set when it should stop, by raising :class:`StoppedError`.
    things, title, progress
        As for :func:`in_threads`.

    Examples
    --------
    >>> finished_in_threads(lambda each, stop: abs(each), [1, -2], "sizes", False)
    ([1, 2], False)
    """
    stop, interrupted = Event(), False
    with ThreadPoolExecutor(CORES) as pool:
        tasks: list[Future[Done]] = []
        shown = False if len(things) < 2 else progress
        try:
            tasks += (pool.submit(work, each, stop) for each in things)
            for task in progress_bar(as_they_end(tasks), title=title, total=len(tasks), progress=shown):
                task.result()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            # also when one has failed: the others are of no use then
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    if not interrupted:
        return [task.result() for task in tasks], False
    kept = [task for task in tasks if not task.cancelled() and task.exception() is None]
    return [task.result() for task in kept], True


class SideBySide(Generic[Thing]):
    """Chains of things that are done beside this thread, two chains at a time, each in its order.

    Each thing may use all cores by itself: beside it goes what leaves some of them idle for a while. Left by an interrupt, or
    once one thing says that no more is wanted, what is being done is interrupted, and nothing is begun after it.

    Parameters
    ----------
    work : callable
        What is done to each thing; it says whether to go on.
    chains : sequence of sequence
        Begun in this order.

    Examples
    --------
    >>> done = []
    >>> def work(name):
    ...     done.append(name)
    ...     return True
    >>> with SideBySide(work, [["a", "b"], ["c"]]) as beside:
    ...     sorted(beside)
    ['a', 'b', 'c']
    >>> done.index("a") < done.index("b")
    True
    """

    def __init__(self, work: Callable[[Thing], bool], chains: Sequence[Sequence[Thing]]) -> None:
        self._work = work
        self._left = deque(chains)
        self._ended: Queue[Thing] = Queue()
        self._failed: list[BaseException] = []
        self._stop = Event()
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(min(_BESIDE, len(chains)))]

    def __enter__(self) -> SideBySide[Thing]:
        try:
            for each in self._threads:
                each.start()
        except BaseException:
            self._end()
            raise
        return self

    def __iter__(self) -> Iterator[Thing]:
        """Each thing when it has ended; no more once one has said so."""
        while not self._stop.is_set():
            # asked before looking: what ends in between is found
            more = any(each.is_alive() for each in self._threads)
            try:
                yield self._ended.get(timeout=_LOOK if more else None, block=more)
            except Empty:
                if not more:
                    return
        self._end()
        if self._failed:
            raise self._failed[0]

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        """Interrupt what is being done, and wait until it has put down what it has."""
        self._stop.set()
        for each in self._threads:
            if each.is_alive():
                interrupt_thread(each)
        for each in self._threads:
            while each.is_alive():
                each.join(_LOOK)

    def _run(self) -> None:
        with suppress(KeyboardInterrupt):  # between two things
            while self._left and not self._stop.is_set():
                with suppress(IndexError):  # another thread was first
                    self._follow(self._left.popleft())

    def _follow(self, chain: Sequence[Thing]) -> None:
        for thing in chain:
            if self._stop.is_set():
                return
            try:
                went_on = self._work(thing)
            except Exception as error:  # told where the things are waited for
                self._failed.append(error)
                went_on = False
            if not went_on:
                self._stop.set()
                return
            self._ended.put(thing)


def on_all_cores(work: Callable[[Thing], Done], things: Iterable[Thing]) -> list[Done]:
    """What a function of small matrices makes of each thing, in order, on all cores.

    Parameters
    ----------
    work : callable
    things : iterable

    Examples
    --------
    >>> on_all_cores(abs, [1, -2])
    [1, 2]
    """
    # a linear algebra of as many threads again in each of ours takes turns with itself: nearly twice the time
    with one_thread_of_blas():
        if CORES == 1:  # where an interrupt is heard at once
            return [work(each) for each in things]
        with ThreadPoolExecutor(CORES) as pool:
            return list(pool.map(work, things))


def one_thread_of_blas() -> AbstractContextManager[Any]:
    """Linear algebra by one thread for as long as the context lasts."""
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> Any:
    """The libraries there are, looked up once: that takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
