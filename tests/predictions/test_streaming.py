"""Streams of simulations: the same numbers as one batch, read lazily, in bounded memory."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import sympy as sp

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.errors import SimulationError
from cellsim.predictions.streaming import stream
from cellsim.solver.integration import Doses

DOSES = Doses(jumps=((1.0, "x", 2.0),))
TIMES = np.linspace(0, 5, 50)


def decay() -> Kernels:
    x, k = sp.symbols("x k")
    return compile_equations(Equations(("x",), ("k",), rates=(-k * x,), initials=(sp.Integer(1),)))


def closed_form(k: np.ndarray) -> np.ndarray:
    return np.exp(-k[:, None] * TIMES) + 2 * np.exp(-k[:, None] * (TIMES - 1)) * (TIMES >= 1)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_any_chunk_gives_the_closed_form(chunk: int) -> None:
    k = np.linspace(0.1, 3, 100)
    found = np.concatenate([each.states for each in stream(decay(), k[:, None], DOSES, TIMES, chunk=chunk)])
    assert np.abs(found[:, :, 0] - closed_form(k)).max() < 5e-6  # five times the tolerance


def test_sets_are_read_only_as_far_as_needed() -> None:
    read = []

    def endless() -> Iterator[list[float]]:
        while True:
            read.append(1)
            yield [0.5]

    solutions = stream(decay(), endless(), DOSES, TIMES, chunk=8)
    next(solutions)
    next(solutions)
    assert len(read) == 16


def test_memory_does_not_grow_with_the_number_of_sets() -> None:
    """Ten times as many sets, and the peak stays within a quarter of what it was."""

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in stream(decay(), ([0.5] for _ in range(count)), DOSES, np.linspace(0, 5, 2000), chunk=64):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(64)  # what is cached once
    assert peak(6400) < 1.25 * peak(640)


def test_an_empty_chunk_is_refused() -> None:
    with pytest.raises(SimulationError, match="at least one"):
        next(stream(decay(), [[1.0]], chunk=0))
