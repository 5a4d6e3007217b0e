"""libRoadRunner on the same problem, and the SBML that it and others read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problem import START, Array, Problem


def sbml_of(problem: Problem) -> str:
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


def roadrunner_runner(problem: Problem) -> Callable[[float, float], tuple[Array, int | None]]:
    """libRoadRunner; rows before the first infusion count too."""
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    engine: Any = roadrunner.RoadRunner(sbml_of(problem))
    engine.timeCourseSelections = list(problem.kernels.equations.output_names)
    engine.integrator.maximum_num_steps = 100_000
    times = [START, *problem.times.tolist()]

    def run(rtol: float, atol: float) -> tuple[Array, int | None]:
        engine.reset()
        engine.integrator.relative_tolerance, engine.integrator.absolute_tolerance = rtol, atol
        return np.array(engine.simulate(times=times))[1:], None

    return run
