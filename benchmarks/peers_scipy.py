"""scipy on the same problem, with our compiled right-hand side and Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from benchmarks.problem import START, Array, Problem


def scipy_runner(problem: Problem, method: str) -> Callable[[float, float], tuple[Array, int | None]]:
    """scipy restarted at every infusion, with our compiled rates and Jacobian (the event too)."""
    kernels, p = problem.kernels, problem.p
    states = kernels.equations.states
    index = {name: i for i, name in enumerate(states)}
    drift = index["drift_on"]

    def run(rtol: float, atol: float) -> tuple[Array, int | None]:
        y, t, found, steps = kernels.initial(p, START), START, [], 0
        stops = sorted({time for time, *_ in problem.doses.jumps} | {0.0, float(problem.times[-1])})
        for stop in stops:
            inside = problem.times[(problem.times > t) & (problem.times < stop)]
            done = solve_ivp(
                lambda t, y: kernels.rhs(t, y, p),
                (t, stop),
                y,
                method=method,
                jac=lambda t, y: kernels.jacobian(t, y, p),
                rtol=rtol,
                atol=atol,
                dense_output=True,
            )
            found += [kernels.outputs(time, done.sol(time), p) for time in inside]
            y, t, steps = done.y[:, -1].copy(), stop, steps + len(done.t) - 1
            for time, state, amount in problem.doses.jumps:
                if time == stop:
                    y[index[state] if isinstance(state, str) else state] += amount
            if stop >= 0.0:
                y[drift] = 1.0
            if stop in problem.times:
                found.append(kernels.outputs(stop, y, p))
        return np.array(found), steps

    return run
