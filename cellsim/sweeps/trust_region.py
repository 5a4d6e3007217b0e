"""How far a plan lies from what the patient was given: beyond it a model is not interpolated but trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from cellsim.dosing.infusions import amount_text
from cellsim.errors import equal_fields, hash_fields

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.dosing.schedule import Schedule

__all__ = ["Beyond", "Limits", "beyond_given", "last_day_seen", "limits_of"]

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

    __eq__ = equal_fields
    __hash__ = hash_fields

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


@dataclass(frozen=True)
class Limits:
    """What was given of a product at most.

    Attributes
    ----------
    dose, total : float
        Of one day and in all, in its unit.
    least_gap, most_gap : float
        Days between doses.
    course : float
        Days from the first dose to the last.
    """

    dose: float
    total: float
    least_gap: float
    most_gap: float
    course: float


def limits_of(case: Case, product: str) -> Limits | None:
    """The limits of a product, or None where it was never given."""
    given = _by_day(case.timeline, product)
    if not given:
        return None
    days = sorted(given)
    between = [later - earlier for earlier, later in pairwise(days)]
    washout = max([0.0, *(visit.latest - days[-1] for visit in case.visits)])
    return Limits(
        dose=max(given.values()),
        total=sum(given.values()),
        # of a single dose no gap was seen, and nothing as short as any
        least_gap=min(between) if between else washout,
        most_gap=max([*between, washout]),
        course=_longest_course(given),
    )


def last_day_seen(case: Case) -> float:
    """The last day on which something was measured or given."""
    return max([0.0, *(visit.latest for visit in case.visits), *(each.end for each in case.timeline)])


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
    if _more(until, seen := last_day_seen(case)):
        found.append(Beyond("last day", "", float(until), seen, "day"))
    return tuple(found)


def _products(plan: Schedule) -> list[str]:
    return list(dict.fromkeys(each.product for each in plan))


def _of_product(plan: Schedule, history: Schedule, case: Case, product: str) -> Iterator[Beyond]:
    unit = next((each.unit for each in (*case.products, *plan.products) if each.name == product), "cells")
    wanted, limits = _by_day(plan, product), limits_of(case, product)
    if limits is None:
        yield Beyond("product", product, sum(wanted.values()), np.nan, unit)
        return
    if _more(most := max(wanted.values()), limits.dose):
        yield Beyond("dose", product, most, limits.dose, unit)
    before = sum(_by_day(history, product).values())
    if _more(total := before + sum(wanted.values()), limits.total):
        yield Beyond("total", product, total, limits.total, unit)
    gaps = [later - earlier for earlier, later in pairwise(sorted(wanted))]
    if gaps and _more(limits.least_gap, min(gaps)):
        yield Beyond("gap", product, min(gaps), limits.least_gap, "day")
    if gaps and _more(max(gaps), limits.most_gap):
        yield Beyond("gap", product, max(gaps), limits.most_gap, "day")
    if _more(span := max(wanted) - min(wanted), limits.course):
        yield Beyond("duration", product, span, limits.course, "day")


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
