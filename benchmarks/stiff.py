"""Work against precision on the classical stiff problems."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

from benchmarks.clock import best, table
from cellsim.kernels import compile_equations
from cellsim.solver import Doses, integrate

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))


def stiff() -> str:
    """Error in units of the tolerance asked for, time and steps; LSODA with the same right-hand side beside it."""
    from oracles import STIFF

    rows = []
    for problem in STIFF:
        kernels = compile_equations(problem.equations)
        none = np.zeros(0)
        y0 = kernels.initial(none)
        for tolerance in (1e-4, 1e-6, 1e-8):
            atol = tolerance * problem.smallest
            scale = tolerance * np.abs(problem.values) + atol

            def run(tolerance: float = tolerance, atol: float = atol) -> object:
                return integrate(kernels, none, Doses(), [problem.end], rtol=tolerance, atol=atol)

            def peer(tolerance: float = tolerance, atol: float = atol) -> object:
                return solve_ivp(
                    lambda t, y: kernels.rhs(t, y, none),
                    (0, problem.end),
                    y0,
                    method="LSODA",
                    jac=lambda t, y: kernels.jacobian(t, y, none),
                    rtol=tolerance,
                    atol=atol,
                )

            done, other = run(), peer()
            error = np.abs(done.states[0, 0] - problem.values) / scale  # type: ignore[attr-defined]
            theirs = np.abs(other.y[:, -1] - problem.values) / scale  # type: ignore[attr-defined]
            rows.append(
                (
                    problem.name,
                    f"{tolerance:g}",
                    f"{error.max():.2g}",
                    f"{best(run, seconds=0.1):.3f}",
                    str(done.steps),  # type: ignore[attr-defined]
                    f"{theirs.max():.2g}" if other.success else "failed",  # type: ignore[attr-defined]
                    f"{best(peer, seconds=0.1, least=1):.1f}",
                )
            )
    return table(
        ("problem", "tolerance", "error / tolerance", "ms", "steps", "LSODA error", "LSODA ms"), rows
    )
