"""Threads that use one model at the same time: code is made by one after the other, and none sees another's numbers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import sympy as sp

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import Kernels
from cellsim.compiler.llvm import CompiledKernels
from cellsim.solver.integration import integrate


class Yielding(list):  # type: ignore[type-arg]
    """A list that lets other threads go first whenever something is added, as the interpreter may at any moment."""

    def append(self, value: object) -> None:
        time.sleep(1e-6)
        super().append(value)


def cascade(size: int = 4) -> Equations:
    """Saturable steps one after the other, each with two parameters of its own."""
    x = sp.symbols(f"x0:{size}")
    v, k = sp.symbols(f"v0:{size}"), sp.symbols(f"k0:{size}")
    flows = [v[i] * x[i] / (k[i] + x[i]) * sp.exp(-x[i] * x[(i + 1) % size]) for i in range(size)]
    rates = tuple(flows[i - 1] - flows[i] for i in range(size))
    names = tuple(each.name for each in x)
    parameters = tuple(each.name for each in (*v, *k))
    return Equations(names, parameters, rates, tuple(sp.Float(1 + i) for i in range(size)), x, names)


def test_slopes_compiled_by_several_threads_at_once() -> None:
    """Witness: the same slopes, compiled by one thread."""
    p, alone = np.linspace(0.5, 1.5, 8), Kernels(cascade())

    def slopes(kernels: Kernels, names: tuple[str, ...]) -> np.ndarray:
        found = integrate(kernels, p, times=[1.0, 3.0], directions=names).sensitivities
        assert found is not None
        return found

    asked = [cascade().parameters[i : i + 2] for i in range(0, 8, 2)]
    kernels, ready = Kernels(cascade()), Barrier(len(asked))
    kernels.system.graph.ops = Yielding(kernels.system.graph.ops)

    def at_once(names: tuple[str, ...]) -> np.ndarray:
        ready.wait()
        return slopes(kernels, names)

    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(at_once, asked))
    for names, one in zip(asked, found, strict=True):
        np.testing.assert_allclose(one, slopes(alone, names), rtol=1e-12)


def test_a_model_first_used_by_several_threads_has_one_graph() -> None:
    """Witness: identity; nodes are numbers that mean nothing in another graph."""
    equations, ready = cascade(), Barrier(4)

    def made(_: int) -> object:
        ready.wait()
        return equations.system

    with ThreadPoolExecutor(4) as pool:
        assert len({id(each) for each in pool.map(made, range(4))}) == 1


def test_kernels_asked_by_several_threads_answer_each_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: y0 = 100 k; before each kernel other threads go first."""
    y, k = sp.symbols("y k")
    kernels = Kernels(Equations(("y",), ("k",), (-k * y,), (100 * k,)))
    kernels.unit()
    run = CompiledKernels.call

    def waiting(self: CompiledKernels, name: str, w: np.ndarray) -> None:
        time.sleep(1e-4)
        run(self, name, w)

    monkeypatch.setattr(CompiledKernels, "call", waiting)

    def error(value: float) -> float:
        return max(abs(float(kernels.initial([value])[0]) - 100 * value) for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(error, [0.1, 0.2, 0.3, 0.4])) < 1e-9
