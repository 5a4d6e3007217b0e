"""How cost grows with states, doses, directions and batch size."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import sympy as sp

from benchmarks.clock import best, table
from benchmarks.problem import START, problem
from cellsim.equations import Equations
from cellsim.kernels import compile_equations
from cellsim.solver import Doses, integrate


def chain(n: int) -> Equations:
    """A chain of n compartments with saturable loss: three entries a row."""
    x = sp.symbols(f"x0:{n}")
    k, loss = sp.symbols("k loss")
    rates = [-k * x[0]] + [k * (x[i - 1] - x[i]) - loss * x[i] / (1 + x[i]) for i in range(1, n)]
    return Equations(
        tuple(s.name for s in x), ("k", "loss"), tuple(rates), (sp.Integer(1),) + (sp.Integer(0),) * (n - 1)
    )


def growth() -> str:
    """Four tables."""
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
    rows = []
    rng = np.random.default_rng(2)
    for count in (1, 8, 64, 512, 4096):
        sets = this.p * np.exp(0.1 * rng.standard_normal((count, this.p.size)))
        for threads in (1, 2) if count >= 512 else (1,):

            def batch(sets: Any = sets, threads: int = threads) -> Any:
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

            took = best(
                batch, seconds=0.3, least=1, clock=time.process_time if threads == 1 else time.perf_counter
            )
            rows.append((str(count), str(threads), f"{took:.1f}", f"{took / count:.3f}"))
    parts.append(table(("parameter sets", "threads", "ms", "ms each"), rows))
    return "\n\n".join(parts)
