"""Kills at random moments of a sweep on disk: what is finished stays, and is the same as if nothing had happened.

``python -m benchmarks.kills [kills]``: 200 by default. A process is killed while it makes blocks, never while it only begins, so that
every kill hits work. Prints how much of the work was repeated, in processor time (the part of the block that a kill took with it: half a block on average, and more
where some take longer, so that a sweep of N blocks repeats half to two thirds of kills / N), how much a kill costs and how long a sweep must work for 200 of them to repeat less than 2 %, how long beginning again took, and whether the store is then that of an undisturbed
sweep, byte for byte.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cellsim as cs
from cellsim.predictions.measures import Value
from cellsim.sweeps import stored_sweep

__all__ = ["Kills", "blocks", "killed"]

# blocks of the study for every kill, which takes two thirds of one with it (a longer block is hit more often): 1.6 % are repeated
_BLOCKS = 40
_BEGUN, _DONE = 0.0, 1.0
# what a process tells: begun or done, when, and how much processor time it had by then
_EVENT = struct.Struct("ddd")


@dataclass(frozen=True)
class Kills:
    """What became of a piece of work that was killed again and again.

    Attributes
    ----------
    kills : int
        Those that hit a process at work; fewer than asked where the work was done before.
    begun, done : int
        Blocks whose making began, and those that were finished.
    seconds, lost : float
        Processor time spent on blocks that were finished, and on those that kills took: work, whatever else the machine does.
    waited : float
        Seconds between the start of a process and its first block.
    """

    kills: int
    begun: int
    done: int
    seconds: float
    lost: float
    waited: float


def blocks(path: Path) -> int:
    """Blocks that are done."""
    return len(list((path / "blocks").glob("*.json")))


def killed(work: Callable[[], object], *, kills: int, seconds: float, seed: int) -> Kills:
    """Begin a piece of work in a process of its own and kill it at a random moment of its work on blocks, again and again.

    Parameters
    ----------
    work : callable
        Makes a sweep on disk.
    kills : int
    seconds : float
        Each kill comes at a moment uniform between 0 and `seconds` after the first block of its process began.
    seed : int
    """
    random = np.random.default_rng(seed)
    hit = begun = done = 0
    spent = lost = waited = 0.0
    for _ in range(kills):
        start = time.monotonic()
        child, events = _started(work)
        first = os.read(events, _EVENT.size)
        if first:
            time.sleep(float(random.uniform(0.0, seconds)))
        ended = os.waitpid(child, os.WNOHANG)[0] == child
        used = 0.0
        if not ended:
            used = _worked(child)  # to take a process away costs time too, and repeats nothing
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with os.fdopen(events, "rb") as rest:
            told = [_EVENT.unpack(each) for each in _parts(first + rest.read())]
        if not told:
            break
        waited += told[0][1] - start
        hit += not ended
        open_since = None
        for kind, _, worked in told:
            if kind == _BEGUN:
                begun, open_since = begun + 1, worked
            elif open_since is not None:
                done, spent, open_since = done + 1, spent + worked - open_since, None
        lost += max(used - open_since, 0.0) if open_since is not None else 0.0
    return Kills(hit, begun, done, spent, lost, waited)


def _worked(process: int) -> float:
    """Processor time that another process has had: its clock on Linux, numbered as clock_getcpuclockid does."""
    return time.clock_gettime(~process << 3 | 2)


def _started(work: Callable[[], object]) -> tuple[int, int]:
    """A process that does it, and a pipe on which it tells when blocks begin and are done."""
    events, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, events
    try:
        os.close(events)
        make = stored_sweep._make

        def told(*given: Any) -> None:
            os.write(tell, _EVENT.pack(_BEGUN, time.monotonic(), time.process_time()))
            make(*given)
            os.write(tell, _EVENT.pack(_DONE, time.monotonic(), time.process_time()))

        stored_sweep._make = told
        work()
    finally:
        os._exit(0)


def _parts(data: bytes) -> list[bytes]:
    """Whole events: the last may be cut."""
    return [data[k : k + _EVENT.size] for k in range(0, len(data) // _EVENT.size * _EVENT.size, _EVENT.size)]


def main(kills: int) -> int:
    """The study."""
    fit = cs.calibrate(cs.load_case("cytopenia_synthetic"), starts=1, seed=1)
    plans = {"as given": fit.case.schedule, "nothing": cs.Schedule((), fit.case.products)}
    draws = 64 * _BLOCKS * kills // len(plans)  # a block holds 64 draws under one of so few plans

    with tempfile.TemporaryDirectory() as folder:
        whole, path = Path(folder, "whole"), Path(folder, "killed")

        def asked(place: Path) -> object:
            return cs.sweep(fit, plans, until=30, measures=[Value()], draws=draws, seed=2, store=place)

        begin = time.perf_counter()
        asked(whole)
        alone = time.perf_counter() - begin
        found = killed(lambda: asked(path), kills=kills, seconds=1.6 * alone / kills, seed=3)
        before, count = blocks(path), blocks(whole)
        asked(path)
        names = [each.relative_to(whole) for each in sorted(whole.rglob("*")) if each.is_file()]
        same = all((path / each).read_bytes() == (whole / each).read_bytes() for each in names)
        needed = found.seconds * count / max(found.done, 1)
        print(
            f"{found.kills} kills at work; {before} of {count} blocks done before the last run, {found.begun} begun; "
            f"{found.lost:.1f} of {needed:.1f} s of work repeated: {found.lost / needed:.1%}; beginning took {found.waited / max(found.kills, 1):.1f} s each time"
        )
        each = found.lost / max(found.kills, 1)
        print(
            f"a kill repeats {each:.2f} s, a block takes {needed / count:.2f} s: 200 kills repeat less than 2 % of {200 * each / 0.02:.0f} s"
        )
        print("the store is that of an undisturbed sweep" if same else "THE STORE IS ANOTHER ONE")
    return int(not same)


if __name__ == "__main__":
    _, *asked_for = sys.argv
    sys.exit(main(int(asked_for[0]) if asked_for else 200))
