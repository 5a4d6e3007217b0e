"""What goes into a page: the kernels as WebAssembly, the draws, and everything of the case that the page's script needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from cellsim.dosing.delivery import cells_per_unit, deliver
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, ScheduleError
from cellsim.explorer.questions import Questions, questions_of
from cellsim.explorer.webassembly import BrowserKernels, browser_kernels
from cellsim.predictions.measures import Measure
from cellsim.predictions.predictor import with_areas
from cellsim.solver.conditions import turnings
from cellsim.solver.integration import PEAK_SHARE
from cellsim.solver.lane_runs import UNSEEN
from cellsim.sweeps.trust_region import last_day_seen, limits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.compiler.kernels import Kernels
    from cellsim.dosing.infusions import Infusion
    from cellsim.likelihood.objective import Objective
    from cellsim.model.model import Model

    Array = NDArray[np.float64]

__all__ = ["Contents", "contents_of"]

Content = dict[str, Any]

LANES = 2
"""Draws side by side: the doubles in a vector of WebAssembly. More share a step, which costs more registers than it saves."""

_RTOL = 1e-6  # as `integrate` has it
_MOST_STEPS = 200_000
_GRID = 120  # intervals of a curve, the days around doses aside


@dataclass(frozen=True, eq=False)
class Contents:
    """Everything of a page but its looks.

    Attributes
    ----------
    model : dict
        As the page's script reads it: the machine (where what stands in the workspace), products, history, plans, what is asked
        and drawn.
    kernels : Kernels
        The same kernels for this machine, in the same order of states, parameters and outputs.
    compiled : BrowserKernels
    posterior, prior : array, shape (n_draws, n_parameters)
        Parameters of the kernels.
    sibling : Model
        The model with what is integrated beside it.
    """

    model: Content
    kernels: Kernels
    compiled: BrowserKernels
    posterior: Array
    prior: Array
    sibling: Model


def contents_of(
    objective: Objective,
    draws: tuple[Array, Array],
    measures: Sequence[Measure],
    history: Schedule,
    background: Schedule,
    until: float,
) -> Contents:
    """The contents of a page.

    Parameters
    ----------
    objective : Objective
    draws : pair of arrays, shape (n_draws, n_parameters)
        Of the posterior and of the prior, in theta.
    measures : sequence of Measure
    history, background : Schedule
        What every plan comes after, and keeps (see `cellsim.sweep`).
    until : float
        Last day.

    Raises
    ------
    CellsimError
        If the model has events that wait for states, a measure is of a kind that a page cannot compute, or nothing can be given.
    """
    case = objective.case
    questions = questions_of(case, objective.model, measures, until)
    curves = _curves(objective, questions)
    sibling, integrals = with_areas(objective.model, questions.areas)
    kernels = objective.kernels_of({**questions.formulas, **integrals}, sibling)
    system, names = kernels.system, kernels.equations.output_names
    if system.located:
        waiting = ", ".join(kernels.equations.events[e].name for e in system.located)
        raise CellsimError(
            f"{objective.model.name} has events that wait for states ({waiting}); a page cannot follow these. Ask cs.sweep."
        )
    products = _products(case, kernels, sibling)
    if not products:
        raise CellsimError(
            f"{case.name} has no product that enters its model and no dose: there is nothing to move on a page. Name one in "
            "products.tsv."
        )
    place = {name: k for k, name in enumerate(names)}
    watched = [place[name] for name in questions.watched]
    compiled = browser_kernels(system, LANES, watched)
    posterior, prior = (objective.vector_of(theta, kernels.equations.parameters) for theta in draws)
    start = min([case.start, *(each.day for each in history.infusions)])
    model: Content = {
        "machine": _machine(kernels, compiled, watched, questions),
        "place": place,
        "start": start,
        "until": until,
        "grid": _GRID,
        "turned": [[_turned(kernels, p, start, until) for p in each] for each in (posterior, prior)],
        "products": products,
        "history": _resolved(Schedule((), case.products) + history, kernels, sibling),
        "background": [_dose(each) for each in background.infusions],
        "given": [_dose(each) for each in case.schedule.infusions if each not in background.infusions],
        "familiar": _familiar(case, history),
        "asked": questions.asked,
        "outcomes": _outcomes(case, questions),
        "curves": curves,
    }
    return Contents(model, kernels, compiled, posterior, prior, sibling)


def _machine(
    kernels: Kernels, compiled: BrowserKernels, watched: Sequence[int], questions: Questions
) -> Content:
    """Where what stands, and how steps are taken (see `cellsim.solver.lanes.machine_of`)."""
    system, layout = kernels.system, compiled.layout
    behind = system.graph.reachable([system.outputs[k] for k in watched])
    return {
        "width": compiled.width,
        "size": layout.size,
        "off": dict(layout.offset),
        "states": system.n,
        "own": len(kernels.equations.states),
        "padded": layout["y1"] - layout["y"],
        "parameters": len(kernels.equations.parameters),
        "outputs": len(system.outputs),
        "clock": -1 if system.clock is None else system.clock,
        "middle": -1 if system.middle is None else system.middle,
        "fixed": compiled.fixed,
        "gaps": len(system.gaps),
        "modes": len(system.modes),
        "targets": [[i for i, _ in each] for each in system.assignments],
        "imports": list(compiled.imports),
        "rtol": _RTOL,
        "unseen": UNSEEN,
        "peakShare": PEAK_SHARE,
        "maxSteps": _MOST_STEPS,
        "watched": list(watched),
        "looked": sorted({system.graph.args[node][0] for node in behind if system.graph.ops[node] == "y"}),
        "peaks": questions.peaks,
        "levels": questions.levels,
        "since": 0.0,
        # what stands still with the states may still move with time
        "inTime": system.time in behind,
    }


def _turned(kernels: Kernels, p: Array, start: float, until: float) -> Content:
    found = turnings(kernels.system, p.tolist(), start, until, between=True)
    return {"days": sorted({*found.days, *found.steep}), "firings": [list(each) for each in found.firings]}


def _products(case: Case, kernels: Kernels, model: Model) -> list[Content]:
    """What a plan may give: the products of the case, and states that doses enter by their own name."""
    states, units = kernels.equations.states, {each.name: each.unit for each in model.states}
    known = [(each.name, each.label, each.state, each.unit) for each in case.products if each.state in states]
    named = {each.name for each in case.products}
    used = dict.fromkeys(each.product for each in case.timeline.infusions)
    known += [(name, "", name, units[name]) for name in used if name not in named and name in states]
    return [
        {
            "name": name,
            "label": label or name,
            "unit": unit,
            "state": states.index(state),
            "scale": cells_per_unit(units[state], dict(model.units)) or 1.0,
        }
        for name, label, state, unit in known
    ]


def _dose(each: Infusion) -> Content:
    return {"day": each.day, "product": each.product, "amount": each.cells, "duration": each.duration}


def _resolved(schedule: Schedule, kernels: Kernels, model: Model) -> list[Content]:
    """Doses in the unit of the state that they enter."""
    found, place = deliver(schedule, model), kernels.equations.states.index
    if schedule.restarts:
        raise ScheduleError(f"{schedule.restarts[0]}: a page that computes for itself knows no such event.")
    jumps = [
        {"day": day, "state": place(state), "amount": amount, "duration": 0.0}
        for day, state, amount in found.boluses
    ]
    return jumps + [
        {"day": on, "state": place(state), "amount": rate * (off - on), "duration": off - on}
        for on, off, state, rate in found.inflows
    ]


def _familiar(case: Case, history: Schedule) -> Content:
    """What the patient was given: a plan beyond it is extrapolation (see `cellsim.sweeps.trust_region`)."""
    products = dict.fromkeys(each.product for each in case.timeline)
    limits = {name: found for name in products if (found := limits_of(case, name)) is not None}
    smallest = {name: min(each.cells for each in case.timeline if each.product == name) for name in limits}
    return {
        "limits": {
            name: {
                "least": smallest[name],
                "before": sum(each.cells for each in history if each.product == name),
                **asdict(found),
            }
            for name, found in limits.items()
        },
        "last": last_day_seen(case),
    }


def _outcomes(case: Case, questions: Questions) -> list[Content]:
    """What plans are ranked by, and which of the numbers asked it is."""
    found: list[Content] = []
    for outcome in case.outcomes:
        for k, asked in enumerate(questions.asked):
            if (asked["measure"], asked["quantity"]) == outcome.key and all(
                k != each["asked"] for each in found
            ):
                label = outcome.label or f"{asked['measure']} {asked['quantity']}"
                found.append({"asked": k, "better": outcome.better, "label": label, "unit": outcome.unit})
                break
    return found


def _curves(objective: Objective, questions: Questions) -> list[Content]:
    """What is drawn: every analyte, then what no row measures; the latter become outputs too."""
    case = objective.case
    found: list[Content] = []
    measured: dict[str, list[tuple[float, float]]] = {}
    for row in case.rows:
        measured.setdefault(row.analyte, []).append((row.day, row.value))
    for each in case.analytes:
        if each.id in questions.formulas:
            found.append(
                {
                    "output": each.id,
                    "label": each.name or each.id,
                    "unit": each.unit,
                    "panel": each.panel or "analytes",
                    "low": each.lower,
                    "high": each.upper,
                    "measured": [point for point in measured.get(each.id, []) if point[0] >= 0],
                }
            )
    drawn = {each["output"] for each in found}
    of = {each.name: each.label or each.name for each in case.products}
    shown = {
        each.quantity: ", ".join(
            filter(None, (each.label or each.quantity, of.get(each.product, each.product)))
        )
        for each in case.shown
        if objective.fixed.get(each.switch) != 0
    }
    for name, label in shown.items():
        if name in objective.model and name not in drawn:
            questions.formulas.setdefault(name, sp.Symbol(name))
            unit = objective.model[name].unit
            found.append(
                {
                    "output": name,
                    "label": label,
                    "unit": "" if unit in ("", "dimensionless") else unit,
                    "panel": "drivers",
                    "low": None,
                    "high": None,
                    "measured": [],
                }
            )
    return found
