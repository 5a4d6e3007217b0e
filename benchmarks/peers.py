"""The same problem for other tools; each returns (outputs at the sample times, steps or None)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

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


def roadrunner_text(problem: Problem) -> str:
    """SBML with every infusion as an event."""
    import antimony

    lines = problem.model.to_antimony().rstrip().split("\n")
    events = [
        f"  dose_{i}: at (time >= {time!r}), t0=false: {state} = {state} + {amount!r}"
        for i, (time, state, amount) in enumerate(problem.doses.jumps)
    ]
    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString("\n".join([*lines[:-1], *events, lines[-1], ""])) < 0:
        raise RuntimeError(antimony.getLastError())
    return str(antimony.getSBMLString(antimony.getMainModuleName()))


def roadrunner_runner(problem: Problem, sbml: str) -> Callable[[float, float], tuple[Array, int | None]]:
    """libRoadRunner; rows before the first infusion count too."""
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    engine: Any = roadrunner.RoadRunner(sbml)
    engine.timeCourseSelections = list(problem.kernels.equations.output_names)
    engine.integrator.maximum_num_steps = 100_000
    times = [START, *problem.times.tolist()]

    def run(rtol: float, atol: float) -> tuple[Array, int | None]:
        engine.reset()
        engine.integrator.relative_tolerance, engine.integrator.absolute_tolerance = rtol, atol
        return np.array(engine.simulate(times=times))[1:], None

    return run


class Amici:
    """AMICI with CVODES, the same SBML; compiled once in a folder of its own."""

    def __init__(self, problem: Problem, sbml: str, folder: Path) -> None:
        import amici.sim.sundials as sundials
        from amici import import_model_module
        from amici.importers.sbml import SbmlImporter
        from amici.importers.utils import MeasurementChannel

        names = problem.kernels.equations.output_names
        (folder / "case.xml").write_text(sbml, encoding="utf-8")
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

    def _run(self, rtol: float, atol: float, directions: Sequence[str] = ()) -> Any:
        solver = self.model.create_solver()
        solver.set_relative_tolerance(rtol)
        solver.set_absolute_tolerance(atol)
        solver.set_max_steps(200_000)
        if directions:
            known = list(self.model.get_free_parameter_ids())
            self.model.set_parameter_list([known.index(name) for name in directions])
            solver.set_sensitivity_order(self.sundials.SensitivityOrder.first)
            solver.set_sensitivity_method(self.sundials.SensitivityMethod.forward)
        done = self.sundials.run_simulation(self.model, solver)
        if done.status:
            raise RuntimeError(f"AMICI ended with status {done.status}")
        return done

    def simulate(self, rtol: float, atol: float) -> tuple[Array, int | None]:
        return np.array(self._run(rtol, atol).y), None

    def gradient(self, rtol: float, atol: float, directions: Sequence[str]) -> Array:
        """Forward sensitivities, shape (n_times, n_outputs, n_directions)."""
        return np.array(self._run(rtol, atol, directions).sy).transpose(0, 2, 1)


@lru_cache(maxsize=1)
def amici_peer(problem: Problem) -> Amici | None:
    """AMICI if it is installed."""
    try:
        import amici.sim.sundials  # noqa: F401
    except ImportError:
        return None
    return Amici(problem, roadrunner_text(problem), Path(mkdtemp()))
