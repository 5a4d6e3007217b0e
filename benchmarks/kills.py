"""Kills at random moments of a sweep on disk: what is finished stays, and is the same as if nothing had happened.

``python -m benchmarks.kills [kills]``: 200 by default, minutes. Prints how many blocks were done when the kills ended, and whether the store is
then finished as an undisturbed sweep would have it, byte for byte.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import cellsim as cs

__all__ = ["blocks", "killed"]


def blocks(path: Path) -> int:
    """Blocks that are done."""
    return len(list((path / "blocks").glob("*.json")))


def killed(work: Callable[[], object], path: Path, *, kills: int, seconds: float, seed: int) -> int:
    """Begin a piece of work in a process of its own and kill it at a random moment, again and again.

    Returns
    -------
    int
        Blocks that are done at the end.
    """
    random = np.random.default_rng(seed)
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            try:
                work()
            finally:
                os._exit(0)
        time.sleep(float(random.uniform(0.0, seconds)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return blocks(path)


def main(kills: int) -> int:
    """The study."""
    fit = cs.calibrate(cs.load_case("cytopenia_synthetic"), starts=1, seed=1)
    plans = {"as given": fit.case.schedule, "nothing": cs.Schedule((), fit.case.products)}

    with tempfile.TemporaryDirectory() as folder:
        whole, path = Path(folder, "whole"), Path(folder, "killed")

        def asked(place: Path) -> object:
            return cs.sweep(fit, plans, until=180, draws=64 * 400, seed=2, store=place)

        begin = time.perf_counter()
        asked(whole)
        alone = time.perf_counter() - begin
        done = killed(lambda: asked(path), path, kills=kills, seconds=2 * alone / kills, seed=3)
        asked(path)
        names = [each.relative_to(whole) for each in sorted(whole.rglob("*")) if each.is_file()]
        same = all((path / each).read_bytes() == (whole / each).read_bytes() for each in names)
        print(
            f"{kills} kills, {done} of {blocks(path)} blocks done before the last run; undisturbed {alone:.0f} s; "
        )
        print("the store is that of an undisturbed sweep" if same else "THE STORE IS ANOTHER ONE")
    return int(not same)


if __name__ == "__main__":
    _, *asked_for = sys.argv
    sys.exit(main(int(asked_for[0]) if asked_for else 200))
