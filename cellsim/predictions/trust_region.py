"""How far a plan lies from what the patient was given: beyond it a model is not interpolated but trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cellsim.dosing.infusions import amount_text

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.dosing.schedule import Schedule

__all__ = ["Beyond", "beyond_given"]

# what rounding of a total or a day may add
_SLACK = 1e-9


@dataclass(frozen=True)
class Beyond:
    """One respect in which a plan lies outside what was given.

    Attributes
    ----------
    what : str
        ``"product"``, ``"dose"``, ``"gap"``, ``"total"``, ``"duration"`` or ``"last day"``.
    product : str
        Empty for the last day.
    value, limit : float
        Of the plan, and the most (of a gap the least or the most) that was given; nan for a product that never was.
    unit : str
    """

    what: str
    product: str
    value: float
    limit: float
    unit: str

    @property
    def factor(self) -> float:
        """How many times the limit; inf where nothing was given."""
        return self.value / self.limit if self.limit > 0 else np.inf

    def __str__(self) -> str:
        if self.what == "product":
            return f"{self.product} was never given"
        limit, value = _text(self.limit, self.unit), _text(self.value, self.unit)
        words = {
            "dose": f"a dose of {value} {self.product} (most given: {limit})",
            "total": f"{value} {self.product} in all (given: {limit})",
            "duration": f"{value} of {self.product} from first to last dose (given: {limit})",
            "last day": f"looked at until day {self.value:g} (last visit or dose: day {self.limit:g})",
            "gap": f"{value} between doses of {self.product} ({'least' if self.value < self.limit else 'most'}: {limit})",
        }
        return words[self.what]


def _text(value: float, unit: str) -> str:
    return f"{value:g} d" if unit == "day" else amount_text(value, unit)


def beyond_given(plan: Schedule, history: Schedule, case: Case, until: float) -> tuple[Beyond, ...]:
    """Every respect in which a plan lies outside what the patient was given and seen under.

    The patient was also seen without treatment, so no dose and no total is too small. Doses of one day count as one. The gaps
    that were seen are those between given doses, and from the last dose to the last visit. A total counts the history.

    Parameters
    ----------
    plan : Schedule
        From day 0 on.
    history : Schedule
        What it is put after.
    case : Case
    until : float
        Last day looked at.

    Returns
    -------
    tuple of Beyond
        Empty for a plan inside.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("sjogren_rfib")
    >>> twice = case.schedule.scaled(2)
    >>> [each.what for each in beyond_given(twice, case.history, case, 245)]
    ['dose', 'total']
    >>> beyond_given(case.schedule, case.history, case, 245)
    ()
    """
    found = [each for product in _products(plan) for each in _of_product(plan, history, case, product)]
    seen = max([0.0, *(visit.latest for visit in case.visits), *(each.end for each in case.timeline)])
    if _more(until, seen):
        found.append(Beyond("last day", "", float(until), seen, "day"))
    return tuple(found)


def _products(plan: Schedule) -> list[str]:
    return list(dict.fromkeys(each.product for each in plan))


def _of_product(plan: Schedule, history: Schedule, case: Case, product: str) -> Iterator[Beyond]:
    given = _by_day(case.timeline, product)
    unit = next((each.unit for each in (*case.products, *plan.products) if each.name == product), "cells")
    wanted = _by_day(plan, product)
    if not given:
        yield Beyond("product", product, sum(wanted.values()), np.nan, unit)
        return
    if _more(most := max(wanted.values()), limit := max(given.values())):
        yield Beyond("dose", product, most, limit, unit)
    before = sum(_by_day(history, product).values())
    if _more(total := before + sum(wanted.values()), limit := sum(given.values())):
        yield Beyond("total", product, total, limit, unit)
    yield from _gaps(sorted(wanted), sorted(given), case, product)
    if _more(span := max(wanted) - min(wanted), limit := _longest_course(given)):
        yield Beyond("duration", product, span, limit, "day")


def _gaps(wanted: list[float], given: list[float], case: Case, product: str) -> Iterator[Beyond]:
    asked = [later - earlier for earlier, later in pairwise(wanted)]
    between = [later - earlier for earlier, later in pairwise(given)]
    washout = max([0.0, *(visit.latest - given[-1] for visit in case.visits)])
    if not asked:
        return
    # of a single dose no gap was seen, and nothing as short as any
    least = min(between) if between else max(washout, 0.0)
    if _more(least, min(asked)):
        yield Beyond("gap", product, min(asked), least, "day")
    if _more(max(asked), most := max([*between, washout])):
        yield Beyond("gap", product, max(asked), most, "day")


def _longest_course(given: dict[float, float]) -> float:
    """From the first to the last dose, before day 0 or from it on: treatments apart are not one long one."""
    parts = ([day for day in given if day < 0], [day for day in given if day >= 0])
    return max(max(days) - min(days) for days in parts if days)


def _by_day(plan: Schedule, product: str) -> dict[float, float]:
    out: dict[float, float] = {}
    for each in plan:
        if each.product == product:
            out[each.day] = out.get(each.day, 0.0) + each.cells
    return out


def _more(value: float, limit: float) -> bool:
    return value > limit * (1 + _SLACK) + _SLACK
