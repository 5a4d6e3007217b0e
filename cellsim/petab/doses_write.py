"""Schedules written as PEtab experiments without loss of day, product, cells, duration and label.

A dose is one increment of the state its product enters (``bag + 50``). A dose with a stated
duration is a zero-order rate into it: one row turns the rate on, one turns it off, and overlapping rates of
one product add. PEtab wants the changes of one instant on one state in one condition, so simultaneous doses
are summed there; the extra columns ``product cells duration label`` (lists with semicolons, as in PEtab)
keep them apart, so that :mod:`cellsim.petab.doses_read` reads the same schedule back.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cellsim.dosing.delivery import arriving
from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.errors import Problem, ScheduleError
from cellsim.petab.tables import number_text

__all__ = [
    "CONDITION_COLUMNS",
    "EXPERIMENT_COLUMNS",
    "Scale",
    "experiment_from_schedule",
    "rate_levels",
    "scale_of",
]

EXPERIMENT_COLUMNS = ("experimentId", "time", "conditionId", "product", "cells", "duration", "label")
CONDITION_COLUMNS = ("conditionId", "targetId", "targetValue")

Scale = float | Mapping[str, float]


def scale_of(target: str, products: Sequence[Product], cells_per_unit: Scale) -> float:
    """Cells in one unit of a state that a product enters; 1 for any other state."""
    if not any(product.state == target for product in products):
        return 1.0
    return cells_per_unit[target] if isinstance(cells_per_unit, Mapping) else cells_per_unit


def _listed(values: Iterable[str]) -> str:
    return ";".join(value.replace("\\", "\\\\").replace(";", "\\;") for value in values)


def rate_levels(infusions: Iterable[Infusion], scale: float) -> dict[float, float]:
    """The summed rate (units per day) from each instant at which it changes."""
    lasting = list(infusions)
    instants = sorted({each.day for each in lasting} | {each.end for each in lasting})
    return {
        instant: math.fsum(
            each.cells / scale / each.duration for each in lasting if each.day <= instant < each.end
        )
        for instant in instants
    }


def experiment_from_schedule(
    schedule: Schedule,
    *,
    start: float | None = None,
    experiment: str = "timeline",
    cells_per_unit: Scale = 1e6,
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Write a schedule as rows of an experiment table and a condition table.

    Parameters
    ----------
    schedule : Schedule
        A dose whose product it does not know goes into the state of that name, in that state's unit. What comes late or in
        part is written as it arrives.
    start : float, optional
        Time of the first, empty period, in days: PEtab cannot refer to a state there, so it must lie
        before the first dose. One day before it by default.
    experiment : str
        Identifier of the experiment.
    cells_per_unit : float or mapping
        Cells in one unit of the states that products enter, the same for all or by state.

    Returns
    -------
    experiment, conditions : list of dict
        Rows by column, in the order of time.

    Raises
    ------
    ScheduleError
        All doses at once that PEtab cannot express; resets and steady states.

    Examples
    --------
    >>> rfib = Product("rfib", "autologous", "infusate_auto")
    >>> given = Schedule.at([0, 7], cells=5e7, product="rfib", products=[rfib])
    >>> experiment, conditions = experiment_from_schedule(given)
    >>> [(row["time"], row["conditionId"]) for row in experiment]
    [('-1', ''), ('0', 'infusate_auto_plus_50'), ('7', 'infusate_auto_plus_50')]
    >>> conditions[0]["targetValue"]
    'infusate_auto + 50'
    """
    if schedule.restarts:
        raise ScheduleError(
            [
                Problem(
                    what=f"{each}: PEtab has no such event.",
                    remedy="Write the doses that led there, or nothing that came before.",
                )
                for each in schedule.restarts
            ]
        )
    schedule = replace(schedule, infusions=arriving(schedule))
    products = {product.name: product for product in schedule.products}
    first = schedule.span[0] if schedule.span else 1.0
    begin = first - 1.0 if start is None else float(start)
    problems = []
    if schedule.count and not begin < first:
        problems.append(
            f"the simulation starts on day {begin:g}, not before the first dose on day {first:g}."
        )
    jumps: dict[tuple[float, str], list[Infusion]] = defaultdict(list)
    rates: dict[str, list[Infusion]] = defaultdict(list)
    for each in schedule:
        product = products.get(each.product)
        target = product.state if product else each.product
        scale = scale_of(target, schedule.products, cells_per_unit)
        named = f"{each.product} on day {each.day:g}"
        if not each.duration:
            jumps[each.day, target].append(each)
            if not 0 < each.cells / scale < math.inf:
                problems.append(f"{named}: {each.cells:g} cells cannot be written in units of {scale:g}.")
        elif not product or not product.rate:
            problems.append(
                f"{named} takes {each.duration:g} days, "
                "but the product names no parameter for its rate of input."
            )
        elif each.end <= each.day or not 0 < each.cells / scale / each.duration < math.inf:
            problems.append(f"{named}: a duration of {each.duration:g} days is too short to be written.")
        else:
            rates[product.rate].append(each)
    if problems:
        raise ScheduleError([Problem(what=what) for what in problems])

    rows: dict[tuple[float, str], tuple[str, str, list[Infusion]]] = {}
    for (day, target), doses in jumps.items():
        scale = scale_of(target, schedule.products, cells_per_unit)
        amount = number_text(math.fsum(each.cells / scale for each in doses))
        rows[day, target] = (f"{target}_plus_{_worded(amount)}", f"{target} + {amount}", doses)
    for rate, doses in rates.items():
        scale = scale_of(products[doses[0].product].state, schedule.products, cells_per_unit)
        for instant, level in rate_levels(doses, scale).items():
            begun = [each for each in doses if each.day == instant]
            rows[instant, rate] = (f"{rate}_{_worded(number_text(level))}", number_text(level), begun)

    periods = [{"experimentId": experiment, "time": number_text(begin), "conditionId": ""}]
    conditions: dict[str, dict[str, str]] = {}
    for (instant, target), (name, value, doses) in sorted(rows.items(), key=lambda each: each[0]):
        conditions[name] = {"conditionId": name, "targetId": target, "targetValue": value}
        periods.append({"experimentId": experiment, "time": number_text(instant), "conditionId": name})
        if doses:
            periods[-1] |= {
                "product": _listed(each.product for each in doses),
                "cells": _listed(number_text(each.cells) for each in doses),
                "duration": _listed(number_text(each.duration) for each in doses),
                "label": _listed(each.label for each in doses),
            }
    return periods, list(conditions.values())


def _worded(number: str) -> str:
    return number.replace("+", "").replace("-", "m").replace(".", "p")
