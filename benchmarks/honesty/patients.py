"""Whose posteriors are judged: a patient of six parameters, and the case's own models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import sympy as sp
from numpy.typing import NDArray

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.dosing.delivery import deliver
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.solver.integration import Doses, integrate

# small cases are made in one call by what the tests use; last, so that an installed cellsim comes first
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from small_cases import tiny_case

Array = NDArray[np.float64]
Quantities = Callable[[Array], Array]

# the second visit and a day soon after the last infusion; both inside every window of the case
EARLY, LATE = 35.0, 259.0


@lru_cache
def reduced() -> Objective:
    """Two infusions of donor cells, three blood draws (one at an uncertain hour), five values, one of them censored."""
    case = tiny_case(
        "persistence_cytokine",
        {"IL6": ("IL6", 0.2), "cells": ("viable_allo", 0.3)},
        [
            *(("IL6", -1.0, 4.5), ("IL6", 1.0, 25.0), ("cells", 1.0, 20.0)),
            *(("IL6", 9.0, 9.0),),
        ],
        {
            "kill_allo": ("log-normal", -1.5, 1.0),
            "delta_L": ("log-normal", -0.4, 0.5),
            "k_eff": ("log-normal", 1.0, 0.5),
            "IL6_0": ("log-normal", 1.5, 0.7),
            "gain": ("log-normal", 3.0, 0.7),
        },
        doses=[(0.0, "infusate_allo", 50.0), (7.0, "infusate_allo", 50.0)],
        products=[("ucmsc", "allogeneic", "infusate_allo")],
        windows={1.0: (0.1, 3.0)},
        censored=[("cells", 9.0, 6.0)],
        start=-2.0,
        name="reduced",
    )
    return objective_of(case)


@lru_cache
def full(variant: str) -> Objective:
    """The published case under a variant."""
    return objective_of(cs.load_case("sjogren_rfib"), variant=variant)


@dataclass(frozen=True)
class Watched:
    """Numbers that follow from the parameters of one objective.

    Attributes
    ----------
    names : tuple of str
    of : callable
        theta (n, n_parameters) -> (n, n_names); nan where it could not be simulated.
    """

    names: tuple[str, ...]
    of: Quantities


NOTHING = Watched((), lambda thetas: np.empty((len(thetas), 0)))


@lru_cache
def drives(objective: Objective, *, contrast: bool = True) -> Watched:
    """The disease drive on two days, and what would have been, had the same doses been donor cells.

    Contrasts are natural logarithms of what was given over the same with donor cells: of the disease drive on the later
    day (negative favours what was given), and of viable cells over time until then, from day 0.
    """
    case, model, areas = objective.case, objective.model, ("viable_auto", "viable_allo")
    for name in areas if contrast else ():
        model = model.with_state(f"area_of_{name}", name, unit=f"{model[name].unit} {model.time_unit}")
    cells = sp.Add(*(sp.Symbol(f"area_of_{name}") for name in areas)) if contrast else sp.Integer(0)
    kernels = compile_equations(equations_of(model, {"D": sp.Symbol("D"), "cells": cells}))
    column = {name: k for k, name in enumerate(objective.kernels.equations.parameters)}
    columns = [column[name] for name in kernels.equations.parameters]
    plans = [case.schedule, case.schedule.as_product("ucmsc")] if contrast else [case.schedule]
    doses = []
    for plan in plans:
        delivery = deliver(replace(case.history + plan, products=case.products), model)
        doses.append(Doses.of(delivery))

    def run(thetas: Array, given: Doses) -> tuple[Array, Array]:
        """ln drive (n, 2) and ln viable cells over time (n,)."""
        solution = integrate(
            kernels,
            objective.vector(thetas)[:, columns],
            given,
            [0.0, EARLY, LATE],
            start=case.start,
            rtol=1e-5,
            atol=1e-8,
        )
        drive, area = np.moveaxis(solution.outputs, 2, 0)
        drive = np.where((solution.status == 0)[:, None], drive, np.nan)
        with np.errstate(divide="ignore"):
            return np.log(drive[:, 1:]), np.log(area[:, 2] - area[:, 0])

    def of(thetas: Array) -> Array:
        drive, area = run(thetas, doses[0])
        if not contrast:
            return drive
        other, other_area = run(thetas, doses[1])
        apart = np.column_stack([drive[:, 1] - other[:, 1], area - other_area])
        # what the solver cannot tell apart is equal
        return np.column_stack([drive, np.round(apart, 5)])

    names = (f"ln drive, day {EARLY:g}", f"ln drive, day {LATE:g}")
    return Watched((*names, "drive, given : donor", "viable cells, given : donor") if contrast else names, of)
