"""How cost grows with states, doses, directions and batch size."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np
import sympy as sp

import cellsim as cs
from benchmarks.clock import best, table
from benchmarks.network import network
from benchmarks.problem import START, Array, Problem, problem
from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import compile_equations
from cellsim.predictions.streaming import stream
from cellsim.solver.integration import Doses, integrate


def chain(n: int) -> Equations:
    """A chain of n compartments with saturable loss: three entries a row."""
    x = sp.symbols(f"x0:{n}")
    k, loss = sp.symbols("k loss")
    rates = [-k * x[0]] + [k * (x[i - 1] - x[i]) - loss * x[i] / (1 + x[i]) for i in range(1, n)]
    return Equations(
        tuple(s.name for s in x), ("k", "loss"), tuple(rates), (sp.Integer(1),) + (sp.Integer(0),) * (n - 1)
    )


def growth() -> str:
    """Six tables."""
    parts = []
    rows = []
    for n in (10, 30, 100, 300, 1000):
        begin = time.process_time()
        kernels = compile_equations(chain(n))
        kernels.unit()
        compiled = time.process_time() - begin

        def run(kernels: Any = kernels) -> Any:
            return integrate(kernels, [1.0, 0.1], Doses(), [20.0], rtol=1e-4, atol=1e-6)

        steps = run().steps
        took = best(run, seconds=0.3)
        rows.append((str(n), f"{compiled:.2f}", str(steps), f"{took:.3f}", f"{1e6 * took / steps / n:.0f}"))
    parts.append(table(("states", "compile s", "steps", "ms", "ns per step and state"), rows))
    parts.append(_networks())
    this, rows = problem(), []
    for count in (1, 10, 100, 1000):
        doses = Doses(jumps=tuple((7.0 * i, "infusate_auto", 50.0) for i in range(count)))

        def dosed(doses: Doses = doses, until: float = 7.0 * count) -> Any:
            return integrate(this.kernels, this.p, doses, [until], rtol=1e-3, atol=1e-6)

        steps, took = dosed().steps, best(dosed, seconds=0.3)
        rows.append((str(count), str(steps), f"{took:.3f}", f"{1e3 * took / count:.0f}"))
    parts.append(table(("weekly doses", "steps", "ms", "us per dose"), rows))
    rows = []
    names = [name for name in this.objective.names if name in this.kernels.equations.parameters]
    alone = best(lambda: this.solve(1e-3, 1e-6))
    for count in (1, 4, 16, 64, len(names)):
        chosen = names[:: len(names) // count][:count]
        took = best(lambda c=chosen: this.solve(1e-3, 1e-6, directions=c), seconds=0.3)  # type: ignore[misc]
        rows.append((str(count), f"{took:.2f}", f"{took / alone:.1f}"))
    parts.append(table(("directions", "ms", "simulations' worth"), rows))
    parts += [_batches(this), _memory(this)]
    return "\n\n".join(parts)


def _networks() -> str:
    """Signalling networks, from their text to the first simulation of every species and flux."""
    rows, days = [], np.linspace(0.0, 100.0, 11)
    for species in (50, 100, 200, 500):
        text, marks = network(species), [time.process_time()]
        model = cs.load_model(text)
        marks.append(time.process_time())

        def run(rtol: float = 1e-6, model: Any = model) -> Any:
            return cs.simulate(model, cs.Schedule(), days, rtol=rtol).y

        found = run()
        marks.append(time.process_time())
        reference = run(1e-9)
        error = np.abs(found / np.where(reference, reference, 1.0) - (reference != 0.0)).max()
        read, first = np.diff(marks)
        counts = (str(species), str(round(1.6 * species)), str(len(model.parameters) - 1))
        rows.append((*counts, f"{read:.1f}", f"{first:.1f}", f"{best(run, seconds=0.3):.1f}", f"{error:.0e}"))
    heads = (
        "species",
        "reactions",
        "parameters",
        "read s",
        "first simulation s",
        "each later one ms",
        "error",
    )
    return table(heads, rows)


def _sets(this: Problem, count: int) -> Array:
    return np.asarray(this.p * np.exp(0.1 * np.random.default_rng(2).standard_normal((count, this.p.size))))


def _batches(this: Problem) -> str:
    """Batches on one thread and on two; both clocks beside each other, so that a busy machine shows."""
    rows = []
    for count in (1, 8, 64, 512, 4096):
        sets = _sets(this, count)
        for threads in (1, 2) if count >= 512 else (1,):

            def batch(sets: Array = sets, threads: int = threads) -> Any:
                return integrate(
                    this.kernels,
                    sets,
                    this.doses,
                    this.times,
                    start=START,
                    rtol=1e-3,
                    atol=1e-6,
                    threads=threads,
                )

            wall, spent = best(batch, clock=time.perf_counter), best(batch, least=1)
            rows.append((str(count), str(threads), f"{wall:.1f}", f"{spent:.1f}", f"{wall / count:.3f}"))
    return table(("parameter sets", "threads", "wall ms", "processor ms", "wall ms each"), rows)


def _memory(this: Problem) -> str:
    """Most memory that streaming holds at once: that of a chunk, however many sets come."""
    rows = []
    for count, chunk in ((512, 64), (4096, 64), (4096, 512), (4096, 4096)):
        sets = _sets(this, count)
        tracemalloc.start()
        for _ in stream(
            this.kernels, sets, this.doses, this.times, chunk=chunk, start=START, rtol=1e-3, atol=1e-6
        ):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append((str(count), str(chunk), f"{most / 1e6:.1f}"))
    return table(("parameter sets streamed", "in chunks of", "most memory MB"), rows)
