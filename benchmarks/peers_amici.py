"""AMICI on the same problem: simulation, forward sensitivities, and the adjoint gradient of one number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers_roadrunner import sbml_of
from benchmarks.problem import START, Array, Problem


class Amici:
    """AMICI with CVODES, the same SBML; compiled once in a folder of its own."""

    def __init__(self, problem: Problem) -> None:
        import amici.sim.sundials as sundials
        from amici import import_model_module
        from amici.importers.sbml import SbmlImporter
        from amici.importers.utils import MeasurementChannel

        names, folder = problem.kernels.equations.output_names, Path(mkdtemp())
        (folder / "case.xml").write_text(sbml_of(problem), encoding="utf-8")
        began = perf_counter()
        SbmlImporter(str(folder / "case.xml")).sbml2amici(
            "case_model",
            str(folder / "case_model"),
            observation_model=[
                MeasurementChannel(id_=f"seen_{name}", name=name, formula=name) for name in names
            ],
            verbose=False,
        )
        self.compile_seconds = perf_counter() - began
        self.sundials = sundials
        self.model: Any = import_model_module("case_model", str(folder / "case_model")).get_model()
        self.model.set_t0(START)
        self.model.set_timepoints(problem.times.tolist())

    def _solver(
        self, rtol: float, atol: float, directions: Sequence[str] = (), *, adjoint: bool = False
    ) -> Any:
        solver = self.model.create_solver()
        solver.set_relative_tolerance(rtol)
        solver.set_absolute_tolerance(atol)
        solver.set_max_steps(200_000)
        if directions:
            known = list(self.model.get_free_parameter_ids())
            self.model.set_parameter_list([known.index(name) for name in directions])
            solver.set_sensitivity_order(self.sundials.SensitivityOrder.first)
            methods = self.sundials.SensitivityMethod
            solver.set_sensitivity_method(methods.adjoint if adjoint else methods.forward)
        if adjoint:
            solver.set_relative_tolerance_b(rtol)
            solver.set_absolute_tolerance_b(atol)
            solver.set_relative_tolerance_quadratures(rtol)
            solver.set_absolute_tolerance_quadratures(atol)
            solver.set_max_steps_backward_problem(200_000)
        return solver

    def _done(self, *problem: Any) -> Any:
        done = self.sundials.run_simulation(self.model, *problem)
        if done.status:
            raise RuntimeError(f"AMICI ended with status {done.status}")
        return done

    def simulate(self, rtol: float, atol: float) -> tuple[Array, int | None]:
        return np.array(self._done(self._solver(rtol, atol)).y), None

    def gradient(self, rtol: float, atol: float, directions: Sequence[str]) -> Array:
        """Forward sensitivities, shape (n_times, n_outputs, n_directions)."""
        return np.array(self._done(self._solver(rtol, atol, directions)).sy).transpose(0, 2, 1)

    def gradient_of_sum(
        self, rtol: float, atol: float, directions: Sequence[str], aim: Array, *, adjoint: bool = True
    ) -> Array:
        """Gradient of the sum of (output / aim - 1)^2 / 2, which is a normal log likelihood but for its sign."""
        data = self.sundials.ExpData(self.model)
        data.set_measurements(aim.ravel())
        data.set_noise_scales(np.abs(aim).ravel())
        data.t_start = START  # else it would start anew at zero
        done = self._done(self._solver(rtol, atol, directions, adjoint=adjoint), data)
        return -np.array(done.sllh)
