"""diffrax on the same equations: Kvaerno5 in double precision, the whole timeline compiled once."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from benchmarks.problem import START, Array, Problem

MAX_STEPS = 100_000


def _functions(problem: Problem) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Rates and outputs of (time, states, parameters), written out from the symbolic equations."""
    import jax.numpy as jnp

    equations = problem.kernels.equations
    arguments = (
        sp.Symbol("time"),
        [sp.Symbol(name) for name in equations.states],
        [sp.Symbol(name) for name in equations.parameters],
    )
    known: dict[sp.Basic, sp.Basic] = {}
    for name, formula in equations.definitions:
        known[sp.Symbol(name)] = formula.xreplace(known)

    def written(formulas: tuple[sp.Expr, ...]) -> Callable[..., Any]:
        whole = [formula.xreplace(known) for formula in formulas]
        found = sp.lambdify(arguments, whole, modules="jax", cse=True)
        return lambda t, y, p: jnp.stack([jnp.asarray(each, float) for each in found(t, y, p)])

    return written(equations.rates), written(equations.outputs)


def _compiled(problem: Problem) -> tuple[Any, NDArray[np.bool_]]:
    """The whole timeline compiled, and which of the rows it returns are sample times.

    One stretch between infusions, scanned over all of them: `jump_ts` would not do, since there the state itself
    stays continuous. The drift event at day 0 is one of the stops.
    """
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    rates, observe = _functions(problem)
    equations = problem.kernels.equations
    index = {name: i for i, name in enumerate(equations.states)}
    stops = np.array(sorted({t for t, *_ in problem.doses.jumps} | {0.0, float(problem.times[-1])}))
    starts = np.array([START, *stops[:-1]])
    added = np.zeros((len(stops), len(index)))  # what the states gain at each stop
    for time, state, amount in problem.doses.jumps:
        added[np.searchsorted(stops, time), index[state] if isinstance(state, str) else state] += amount
    added[np.searchsorted(stops, 0.0), index["drift_on"]] = 1.0
    inside = [problem.times[(problem.times > a) & (problem.times < b)] for a, b in zip(starts, stops)]
    room = max(map(len, inside))
    samples = np.array([[*own, *[b] * (room - len(own))] for own, b in zip(inside, stops)])
    used = np.array([[*[True] * len(own), *[False] * (room - len(own)), b in problem.times]
                     for own, b in zip(inside, stops)])  # fmt: skip
    term, solver = diffrax.ODETerm(rates), diffrax.Kvaerno5()

    @jax.jit
    def whole(y0: Any, p: Any, rtol: Any, atol: Any) -> Any:
        def stretch(y: Any, given: Any) -> Any:
            start, stop, gained, times = given
            done = diffrax.diffeqsolve(
                term,
                solver,
                start,
                stop,
                None,
                y,
                p,
                saveat=diffrax.SaveAt(ts=times, t1=True),
                stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
                max_steps=MAX_STEPS,
                throw=False,
            )
            after = done.ys[-1] + gained
            seen = jax.vmap(observe, in_axes=(0, 0, None))(
                jnp.append(times, stop), jnp.concatenate([done.ys[:-1], after[None]]), p
            )
            return after, (seen, done.stats["num_steps"], diffrax.is_successful(done.result))

        return jax.lax.scan(stretch, y0, (starts, stops, added, samples))[1]

    arguments = problem.kernels.initial(problem.p, START), problem.p, 1e-3, 1e-6
    return whole.lower(*arguments).compile(), used


class Diffrax:
    """Compiled once, for any tolerance."""

    def __init__(self, problem: Problem) -> None:
        began = perf_counter()
        self.whole, self.used = _compiled(problem)
        self.compile_seconds = perf_counter() - began
        self.start, self.p = problem.kernels.initial(problem.p, START), problem.p

    def simulate(self, rtol: float, atol: float) -> tuple[Array, int | None]:
        seen, steps, went = self.whole(self.start, self.p, rtol, atol)
        if not bool(went.all()):
            raise RuntimeError(f"a stretch did not reach its end in {MAX_STEPS} steps")
        return np.asarray(seen)[self.used], int(steps.sum())
