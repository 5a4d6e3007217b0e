"""What a page records and asks: the outputs of its kernels, and every measure in a form that a page can compute.

A sweep lets the solver integrate an indicator for days below a level; a page finds the crossings on the steps themselves,
which saves it the search of every step for conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sympy as sp

from cellsim.errors import CellsimError, Problem
from cellsim.predictions.chances import new_sample
from cellsim.predictions.measures import (
    AllInRange,
    Area,
    DaysBelow,
    InRange,
    Measure,
    PeakLoad,
    Value,
)

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.model.model import Model

__all__ = ["Questions", "questions_of"]

Content = dict[str, Any]
_KNOWN = (Value, InRange, AllInRange, Area, DaysBelow, PeakLoad)


@dataclass
class Questions:
    """What kernels are made for, and how measures are read from their outputs.

    Attributes
    ----------
    formulas : dict of str to sympy.Expr
        Outputs by name, in the names of the model and of the case's parameters.
    areas : dict of str to sympy.Expr
        Outputs that are integrated, by the name of what they are the integral of.
    watched : list of str
        Outputs that are followed along every step: those of which the greatest value is wanted, then those with a level.
    peaks : int
        How many of the watched are of the first kind.
    levels : list of dict
        ``k``, the place among the watched, and ``level``.
    asked : list of dict
        The numbers, in the order of a sweep: measure, quantity, unit, day, whether it is a chance, and how a page computes it.
    """

    formulas: dict[str, sp.Expr] = field(default_factory=dict)
    areas: dict[str, sp.Expr] = field(default_factory=dict)
    watched: list[str] = field(default_factory=list)
    peaks: int = 0
    levels: list[Content] = field(default_factory=list)
    asked: list[Content] = field(default_factory=list)


def questions_of(case: Case, model: Model, measures: Sequence[Measure], until: float) -> Questions:
    """What these measures ask of a page.

    Raises
    ------
    CellsimError
        For measures of a kind that a page cannot compute, all at once.
    """
    out = Questions()
    # of exactly these kinds: one derived from them may compute something else
    problems = [
        Problem(
            what=f"{type(each).__name__} is no measure that a page can compute.", remedy="Ask it of cs.sweep."
        )
        for each in measures
        if type(each) not in _KNOWN
    ]
    if problems:
        raise CellsimError(problems)
    for measure in measures:
        out.formulas.update(measure.formulas(case))
    peaks = dict.fromkeys(name for measure in measures for name in measure.peaks(case))
    out.watched, out.peaks = list(peaks), len(peaks)
    for measure in measures:
        asked = measure.asked(case, model, until)
        hows: list[Content] = []
        match measure:
            case Value(noise=False):
                hows = [{"how": "value", "output": each.quantity} for each in asked]
            case InRange():
                of = {each.id: each for each in case.analytes}
                hows = [
                    {
                        "how": "sampled" if measure.noise else "inside",
                        "output": each.quantity,
                        **new_sample(case, of[each.quantity]),
                    }
                    for each in asked
                ]
            case AllInRange(noise=False):
                members = [
                    {"output": each.id, **new_sample(case, each)}
                    for each in case.analytes
                    if each.panel == measure.panel
                ]
                hows = [{"how": "all inside", "members": members} for _ in asked]
            case Area():
                out.areas.update(measure.areas(case))
                hows = [{"how": "area", "output": f"area of {measure.quantity}"} for _ in asked]
            case DaysBelow():
                [name] = measure.formulas(case)
                if name not in out.watched[out.peaks :]:
                    out.watched.append(name)
                out.levels.append({"k": out.watched.index(name, out.peaks), "level": measure.level})
                hows = [{"how": "below", "n": len(out.levels) - 1} for _ in asked]
            case PeakLoad():
                hows = [{"how": "peak", "n": out.watched.index(name)} for name in measure.peaks(case)]
        out.asked += [
            {
                "measure": each.measure,
                "quantity": each.quantity,
                "unit": each.unit,
                "day": None if each.day != each.day else each.day,
                "chance": each.chance,
                **how,
            }
            for each, how in zip(asked, hows, strict=True)
        ]
    return out
