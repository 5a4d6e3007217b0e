"""BNGsim with CVODES on the same SBML, its right-hand side compiled; PyBNF simulates through it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers_roadrunner import sbml_of
from benchmarks.problem import START, Array, Problem


class Bngsim:
    """One model, loaded once; a simulator for every set of directions."""

    def __init__(self, problem: Problem) -> None:
        import bngsim

        # its derivatives by formula, however long they take to write: by differences they are off by 1e-2
        os.environ["BNGSIM_SENS_DERIV_BUDGET_S"] = "inf"
        os.environ["BNGSIM_CODEGEN_CACHE_DIR"] = mkdtemp()  # compiled anew, so that the time can be told
        self.bngsim, self.names = bngsim, list(problem.kernels.equations.output_names)
        self.times = [START, *problem.times.tolist()]
        began = perf_counter()
        self.model: Any = bngsim.Model.from_sbml_string(sbml_of(problem))
        self.plain: Any = bngsim.Simulator(self.model, method="ode", codegen=True)
        self.compile_seconds = perf_counter() - began
        self.tangent: dict[tuple[str, ...], Any] = {}

    def _run(self, simulator: Any, rtol: float, atol: float) -> Any:
        self.model.reset()
        span = (self.times[0], self.times[-1])
        return simulator.run(t_span=span, sample_times=self.times, rtol=rtol, atol=atol, max_steps=200_000)

    def simulate(self, rtol: float, atol: float) -> tuple[Array, int | None]:
        done = self._run(self.plain, rtol, atol)
        columns = [done.expression_names.index(name) for name in self.names]
        return np.array(done.expressions)[1:, columns], int(done.solver_stats["n_steps"])

    def gradient(self, rtol: float, atol: float, directions: Sequence[str]) -> Array:
        """Forward sensitivities, shape (n_times, n_outputs, n_directions)."""
        chosen = tuple(directions)
        if chosen not in self.tangent:
            self.tangent[chosen] = self.bngsim.Simulator(
                self.model, method="ode", sensitivity_params=list(chosen)
            )
        done = self._run(self.tangent[chosen], rtol, atol)
        return np.array(done.output_sensitivities(self.names))[1:]
