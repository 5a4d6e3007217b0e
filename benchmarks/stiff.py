"""Work against precision on the classical stiff problems."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from benchmarks.clock import best, table, timed
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.solver.integration import Doses, Solution, integrate

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))


def _ours(kernels: Kernels, end: float, rtol: float, atol: float) -> Solution:
    return integrate(kernels, np.zeros(0), Doses(), [end], rtol=rtol, atol=atol, max_steps=400_000)


def _lsoda(kernels: Kernels, end: float, rtol: float, atol: float) -> Any:
    none = np.zeros(0)
    return solve_ivp(
        lambda t, y: kernels.rhs(t, y, none),
        (0, end),
        kernels.initial(none),
        method="LSODA",
        jac=lambda t, y: kernels.jacobian(t, y, none),
        rtol=rtol,
        atol=atol,
    )


def stiff() -> str:
    """Error in units of the tolerance asked for, time and steps; LSODA with the same right-hand side beside
    it."""
    from oracles import STIFF

    rows = []
    for problem in STIFF:
        kernels = compile_equations(problem.equations)
        for tolerance in (1e-4, 1e-6, 1e-8):
            atol = tolerance * problem.smallest
            scale = tolerance * np.abs(problem.values) + atol
            arguments = (kernels, problem.end, tolerance, atol)
            done, (other, took) = _ours(*arguments), timed(partial(_lsoda, *arguments))
            error = np.abs(done.states[0, 0] - problem.values) / scale
            theirs = np.abs(other.y[:, -1] - problem.values) / scale
            rows.append(
                (
                    problem.name,
                    f"{tolerance:g}",
                    f"{error.max():.2g}",
                    f"{best(partial(_ours, *arguments), seconds=0.1):.3f}",
                    str(done.steps),
                    f"{theirs.max():.2g}" if other.success else "failed",
                    f"{took:.1f}",
                )
            )
    return table(
        ("problem", "tolerance", "error / tolerance", "ms", "steps", "LSODA error", "LSODA ms"), rows
    )
