"""The case model under its whole timeline, for every tool the same: 22 infusions in 1,331 days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.solver.integration import Doses, Solution, integrate

Array = NDArray[np.float64]
ACCURACY = 5e-5
START, END = -931.0, 400.0


@dataclass(frozen=True, eq=False)
class Problem:
    """The case, its printed values as outputs, and a reference solution at 1e-12."""

    objective: Objective
    model: Any
    kernels: Kernels
    p: Array
    doses: Doses
    times: Array  # every infusion, one and five days after it, every visit, the end

    def solve(self, rtol: float, atol: float | None, **more: Any) -> Solution:
        return integrate(
            self.kernels, self.p, self.doses, self.times, start=START, rtol=rtol, atol=atol, **more
        )

    @cached_property
    def reference(self) -> Array:
        return self.solve(1e-12, 1e-14).outputs[0]

    def error(self, outputs: Array) -> float:
        """Largest relative error of any printed value at any sample time."""
        return float(np.abs(outputs / self.reference - 1.0).max())


@lru_cache(maxsize=1)
def problem() -> Problem:
    case = cs.load_case("sjogren_rfib")
    objective = objective_of(case)
    model = cs.load_model(case.model)
    values = objective.values(np.zeros(len(objective.names)))
    model = model.with_values({q.name: values[q.name] for q in model.parameters if q.name in values})
    names = [each.name for each in model.assignments if each.name.startswith("value_")]
    kernels = compile_equations(equations_of(model, names))
    given = [time for time, *_ in objective.doses.jumps]
    days = {time + later for time in given for later in (0.0, 1.0, 5.0)} | {-1.0, 35.0, 259.0, END}
    p = np.array([each.value for each in model.parameters])
    return Problem(objective, model, kernels, p, objective.doses, np.array(sorted(days)))
