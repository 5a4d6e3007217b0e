"""A case as a PEtab v1 problem, for the many tools that read no other version.

Version 1 knows no timeline of doses and no day but 0 to start from. So the doses become events of the model, and the
model's clock is read ``start`` days later than PEtab's: PEtab's time is the number of days since the case starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from cellsim.dosing.delivery import deliver
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CaseError, Problem, did_you_mean
from cellsim.files import write_whole
from cellsim.model.content import TIME, Event, State
from cellsim.model.formulas import formula_text, parse_formula
from cellsim.model.model import load_model
from cellsim.model.sbml_write import write_sbml
from cellsim.petab.tables import number_text, table_text
from cellsim.solver.simulation import simulate

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.records import Analyte, Measurement, PriorRow
    from cellsim.model.model import Model

__all__ = ["PROBLEM", "export_v1"]

PROBLEM = "problem.yaml"
"""Name of the problem file."""

_CONDITION = "timeline"
_CLOSE = 1e-6  # how far what was written may be from the case, relative to the largest value


@dataclass(frozen=True)
class _Family:
    """How version 1 writes a prior.

    Attributes
    ----------
    kind : str
        Its name there.
    scale : str
        The scale the parameter is estimated on.
    reach : float
        How many widths from the middle version 1 is told to look, which wants finite bounds: the probability beyond
        is below 1e-22. 0 for a prior with bounds of its own.
    """

    kind: str
    scale: str
    reach: float = 0.0


# A log-normal prior is a normal one on the logarithm, and written so: on that scale the most probable point is the
# same as in prior-whitened coordinates, while the density of the parameter itself peaks elsewhere.
_FAMILIES = {
    "normal": _Family("parameterScaleNormal", "lin", 10.0),
    "log-normal": _Family("parameterScaleNormal", "log", 10.0),
    "laplace": _Family("parameterScaleLaplace", "lin", 52.0),
    "log-laplace": _Family("parameterScaleLaplace", "log", 52.0),
    "uniform": _Family("parameterScaleUniform", "lin"),
    "log-uniform": _Family("parameterScaleUniform", "log"),
}
_NOISE = {
    "normal": ("lin", "normal"),
    "log-normal": ("log", "normal"),
    "laplace": ("lin", "laplace"),
    "log-laplace": ("log", "laplace"),
}
_PARAMETERS = (
    "parameterId",
    "parameterScale",
    "lowerBound",
    "upperBound",
    "nominalValue",
    "estimate",
    "objectivePriorType",
    "objectivePriorParameters",
)
_OBSERVABLES = (
    "observableId",
    "observableFormula",
    "noiseFormula",
    "observableTransformation",
    "noiseDistribution",
)
_MEASUREMENTS = (
    "observableId",
    "simulationConditionId",
    "time",
    "measurement",
    "observableParameters",
    "noiseParameters",
)


def export_v1(case: Case, folder: str | PathLike[str], *, fixed: Mapping[str, float] | None = None) -> Path:
    """Write the standard part of a case, at the nominal visit days, as a PEtab v1 problem that stands on its own.

    Parameters
    ----------
    case : Case
    folder : path
        Where the files go; made when it does not exist. Files of the same names are replaced.
    fixed : mapping of str to float, optional
        Parameters not to be estimated, and their values; none but the case's own by default.

    Returns
    -------
    pathlib.Path
        The problem file, ``problem.yaml``.

    Raises
    ------
    CaseError
        For names in `fixed` that are no parameter and priors version 1 cannot express, all at once; for a model that
        does not read back equal once its doses are written into it.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from cellsim.case.case import load_case
    >>> export_v1(load_case("sjogren_rfib"), mkdtemp()).name
    'problem.yaml'
    """
    import yaml

    held = dict(fixed or {})
    priors = [each for each in case.priors if each.standard]
    known = {each.id for each in priors}
    problems = [
        Problem(what=f"no parameter {name!r} to fix.", remedy=did_you_mean(name, known))
        for name in held
        if name not in known
    ]
    problems += [
        Problem(
            what=f"PEtab v1 has no {each.family} prior, which {each.id} has.",
            remedy=f"It has {', '.join(_FAMILIES)}; or fix {each.id}.",
            file=each.file,
            row=each.row,
        )
        for each in priors
        if each.estimate and each.id not in held and each.family not in _FAMILIES
    ]
    if problems:
        raise CaseError(problems)
    model = load_model(case.model)
    sbml = write_sbml(_with_doses(case, model))
    _refuse_if_changed(case, model, sbml)
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    texts = {
        "model.xml": sbml,
        "parameters.tsv": table_text(_PARAMETERS, [_parameter(each, held) for each in priors]),
        "observables.tsv": table_text(_OBSERVABLES, [_observable(each, case) for each in _measured(case)]),
        "measurements.tsv": table_text(_MEASUREMENTS, [_measurement(each, case) for each in case.rows]),
        "conditions.tsv": table_text(("conditionId",), [{"conditionId": _CONDITION}]),
    }
    content = {
        "format_version": 1,
        "parameter_file": "parameters.tsv",
        "problems": [
            {
                "sbml_files": ["model.xml"],
                "observable_files": ["observables.tsv"],
                "measurement_files": ["measurements.tsv"],
                "condition_files": ["conditions.tsv"],
            }
        ],
    }
    texts[PROBLEM] = yaml.safe_dump(content, sort_keys=False)
    for name, text in texts.items():
        write_whole(out / name, text)
    return out / PROBLEM


def _with_doses(case: Case, model: Model) -> Model:
    """The model with its doses as events, on a clock that begins at 0.

    A dose over time is a rate that one event switches on and another off. A condition on time inside a rate of change
    would say the same, but solvers step over the hour in which it holds.
    """
    later = _later(case)
    flows, events = _dosing(case, model)
    moved = replace(
        model,
        states=tuple(
            replace(each, rate=each.rate.xreplace(later) + flows.get(each.name, sp.S.Zero))
            for each in model.states
        ),
        assignments=tuple(replace(each, formula=each.formula.xreplace(later)) for each in model.assignments),
        events=tuple(
            replace(
                each,
                trigger=each.trigger.xreplace(later),
                assignments=tuple((name, value.xreplace(later)) for name, value in each.assignments),
            )
            for each in model.events
        ),
    )
    rates = tuple(
        State(str(flow), sp.S.Zero, sp.S.Zero, label=f"what is infused into {name}")
        for name, flow in flows.items()
    )
    return replace(moved, states=(*moved.states, *rates), events=(*moved.events, *events))


def _dosing(case: Case, model: Model) -> tuple[dict[str, sp.Symbol], tuple[Event, ...]]:
    """The rate into each state, and one event for each instant at which doses are given, begin or end."""
    given = deliver(case.timeline, model)
    taken = {each.name for each in (*model.quantities, *model.events)}

    def free(name: str) -> str:
        while name in taken:
            name += "_"
        taken.add(name)
        return name

    flows = {name: sp.Symbol(free(f"rate_into_{name}")) for _, _, name, _ in given.inflows}
    days = {day for day, _, _ in given.boluses} | {
        each for on, off, _, _ in given.inflows for each in (on, off)
    }
    events = []
    for k, day in enumerate(sorted(days), start=1):
        changes: dict[str, sp.Expr] = {}
        for state in dict.fromkeys(name for at, name, _ in given.boluses if at == day):
            amount = math.fsum(each for at, name, each in given.boluses if (at, name) == (day, state))
            changes[state] = sp.Symbol(state) + sp.Float(amount)
        for state in dict.fromkeys(name for on, off, name, _ in given.inflows if day in (on, off)):
            running = [each for on, off, name, each in given.inflows if name == state and on <= day < off]
            changes[str(flows[state])] = sp.Float(math.fsum(running))  # all that run now, so that 0 is 0
        # what happens at the very start is done there, so the trigger is taken to have been false before
        trigger = sp.Ge(TIME, sp.Float(day - case.start))
        events.append(Event(free(f"dose_{k}"), trigger, tuple(changes.items()), initially=False))
    return flows, tuple(events)


def _refuse_if_changed(case: Case, model: Model, written: str) -> None:
    """What was written is read back and run beside the case itself: nothing may have got lost on the way."""
    back = load_model(written)
    days = {case.start, *(row.day for row in case.rows)}
    for infusion in case.timeline:
        days |= {infusion.day, infusion.end}
    instants = np.array(sorted(day for day in days if day >= case.start))
    seen = np.sort(np.concatenate([instants, 0.5 * (instants[1:] + instants[:-1])]))
    options: dict[str, Any] = {"rtol": _CLOSE * 1e-2, "atol": _CLOSE * 1e-5}
    right = simulate(model, case.timeline, seen, start=case.start, **options)
    ours = simulate(back, Schedule(), seen - case.start, outputs=right.names, **options)
    problems = []
    for name in right.names:
        gap = np.abs(ours[name] - right[name])
        scale = np.abs(right[name]).max()
        if not (gap <= _CLOSE * (1.0 + scale)).all():
            at = int(np.nanargmax(gap))
            what = f"{name} is {right[name][at]:.6g} on day {seen[at]:g}, and {ours[name][at]:.6g} in the model as written."
            problems.append(Problem(what=what))
    if problems:
        head = Problem(
            what="The model with its doses as events does not read back as the case, so nothing was written.",
            remedy="Does an event of the model change what a dose changes at the same instant? Give it another day.",
        )
        raise CaseError([head, *problems[:5]])


def _parameter(about: PriorRow, held: Mapping[str, float]) -> dict[str, str]:
    if not about.estimate or about.id in held:
        return {
            "parameterId": about.id,
            "parameterScale": "lin",
            "nominalValue": number_text(held.get(about.id, about.nominal)),
            "estimate": "0",
        }
    family, numbers = _FAMILIES[about.family], about.parameters
    if family.reach:
        ends = [numbers[0] - family.reach * numbers[1], numbers[0] + family.reach * numbers[1]]
        if family.scale == "log":
            ends = [math.exp(each) for each in ends]
    else:
        ends = list(numbers)
        if family.scale == "log":
            numbers = tuple(math.log(each) for each in numbers)
    return {
        "parameterId": about.id,
        "parameterScale": family.scale,
        "lowerBound": number_text(max(ends[0], about.lower)),
        "upperBound": number_text(min(ends[1], about.upper)),
        "nominalValue": number_text(about.nominal),
        "estimate": "1",
        "objectivePriorType": family.kind,
        "objectivePriorParameters": ";".join(number_text(each) for each in numbers),
    }


def _measured(case: Case) -> list[Analyte]:
    """The observables of the standard part; version 1 wants no other."""
    used = {each.observable for each in case.rows}
    return [each for each in case.analytes if each.observable in used]


def _later(case: Case) -> dict[sp.Symbol, sp.Expr]:
    """The clock of the case by that of version 1, which begins at 0."""
    return {TIME: TIME + sp.Float(case.start)} if case.start else {}


def _observable(about: Analyte, case: Case) -> dict[str, str]:
    transformation, noise = _NOISE[about.distribution]
    return {
        "observableId": about.observable,
        "observableFormula": _numbered(about, about.formula, "observable", about.placeholders, case),
        "noiseFormula": _numbered(about, about.noise, "noise", about.noise_placeholders, case),
        "observableTransformation": transformation,
        "noiseDistribution": noise,
    }


def _numbered(about: Analyte, formula: str, kind: str, places: tuple[str, ...], case: Case) -> str:
    """A formula on the clock of version 1, with its placeholders called as there, by number."""
    called = {
        sp.Symbol(place): sp.Symbol(f"{kind}Parameter{k}_{about.observable}")
        for k, place in enumerate(places, start=1)
    }
    return formula_text(parse_formula(formula, where=about.observable).xreplace({**called, **_later(case)}))


def _measurement(row: Measurement, case: Case) -> dict[str, str]:
    """One row; version 1 has no word for a sample before the dose of its instant, so that stands a rounding earlier."""
    day = row.day - case.start
    if day > 0 and any(visit.id == row.visit and visit.timing == "predose" for visit in case.visits):
        day = math.nextafter(day, 0.0)
    return {
        "observableId": row.observable,
        "simulationConditionId": _CONDITION,
        "time": number_text(day),
        "measurement": number_text(row.value),
        "observableParameters": ";".join(row.parameters),
        "noiseParameters": ";".join(row.noise_parameters),
    }
