"""Schedules as tables that are read back without loss, and as they show themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cellsim.dates import date_of
from cellsim.dosing.infusions import Infusion, amounts_text, dose_noun
from cellsim.dosing.restarts import Reset, SteadyState
from cellsim.errors import Problem, ScheduleError
from cellsim.results import html_fragment

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.dosing.schedule import Schedule

__all__ = ["frame_of", "html_of", "line_of", "records_of"]

_SHOWN = 4  # products named in one line


def _alike(state: SteadyState, dose: Infusion) -> bool:
    """Whether `dose` is the one that the course of a steady state goes on with."""
    return all(
        getattr(state, name) == getattr(dose, name)
        for name in ("day", "product", "cells", "duration", "lag", "bioavailability")
    )


def records_of(schedule: Schedule) -> list[tuple[Infusion | SteadyState | Reset, SteadyState | None]]:
    """Doses and restarts in the order in which a table has them; beside a dose the steady state that it goes on from.

    Raises
    ------
    ScheduleError
        For a steady state without its next dose, which no row can tell.
    """
    doses = list(schedule.infusions)
    found: list[tuple[float, int, Infusion | SteadyState | Reset, SteadyState | None]] = []
    problems = []
    for each in schedule.restarts:
        if isinstance(each, Reset) or not each.interval:
            found.append((each.day, 0, each, None))
            continue
        dose = next((dose for dose in doses if _alike(each, dose)), None)
        if dose is None:
            what = f"{each}: its next dose is not given, and in a table every steady state has one."
            problems.append(
                Problem(what=what, remedy="Add an Infusion like those of the course on that day.")
            )
        else:
            doses.remove(dose)
            found.append((each.day, 0, dose, each))
    if problems:
        raise ScheduleError(problems)
    found += [(each.day, 1, each, None) for each in doses]
    return [(each, state) for _, _, each, state in sorted(found, key=lambda one: one[:2])]


def frame_of(schedule: Schedule) -> pd.DataFrame:
    """One row a dose; see :meth:`cellsim.Schedule.to_frame`."""
    import pandas as pd

    records = records_of(schedule)
    given = [each for each, _ in records]
    columns: dict[str, Any] = {"day": pd.Series([each.day for each in given], dtype=float)}
    if schedule.day_zero is not None:
        zero = schedule.day_zero
        columns["date"] = pd.Series([date_of(each.day, zero).isoformat() for each in given], dtype=object)

    def column(name: str, absent: Any, dtype: Any) -> pd.Series[Any]:
        return pd.Series([getattr(each, name, absent) for each in given], dtype=dtype)

    columns["product"] = column("product", "", object)
    columns["cells"] = column("cells", 0.0, float)
    columns["duration"] = column("duration", 0.0, float)
    columns["label"] = column("label", "", object)
    if any(getattr(each, "lag", 0.0) or getattr(each, "bioavailability", 1.0) != 1.0 for each in given):
        columns["lag"] = column("lag", 0.0, float)
        columns["bioavailability"] = column("bioavailability", 1.0, float)
    if schedule.restarts:
        states = [each if isinstance(each, SteadyState) else state for each, state in records]
        columns["evid"] = pd.Series([3 if isinstance(each, Reset) else 1 for each in given], dtype=int)
        columns["ss"] = pd.Series([0 if s is None else 1 + s.added for s in states], dtype=int)
        columns["ii"] = pd.Series([0.0 if s is None else s.interval for s in states], dtype=float)
        # a constant inflow is a rate without an amount
        constant = [isinstance(each, SteadyState) for each in given]
        rates = [each.cells if isinstance(each, SteadyState) else 0.0 for each in given]
        columns["rate"] = pd.Series(rates, dtype=float)
        columns["cells"] = columns["cells"].mask(constant, 0.0)
    return pd.DataFrame(columns)


def html_of(schedule: Schedule) -> str:
    """A schedule in words and as a table, for a notebook."""
    units = {each.name: each.unit for each in schedule.products}
    table = frame_of(replace(schedule, restarts=()))  # the words tell of those
    names = {"cells": "amount"} if set(units.values()) - {"cells"} else {}
    if names:
        table.insert(3, "unit", [units.get(each, "cells") for each in table["product"]])
    return html_fragment(str(schedule).splitlines(), table.rename(columns=names))


def line_of(schedule: Schedule) -> str:
    """A schedule in one line."""
    more = f", {len(schedule.restarts)} restarts" if schedule.restarts else ""
    if not schedule.span:
        return f"<Schedule: no infusions{more}>"
    products = list(dict.fromkeys(each.product for each in schedule))
    others = f" and {len(products) - _SHOWN} more" if len(products) > _SHOWN else ""
    named = ", ".join(products[:_SHOWN]) + others
    first, last = schedule.span
    return (
        f"<Schedule: {schedule.count} {dose_noun(schedule, schedule.products)}{'s' * (schedule.count > 1)} of {named}, "
        f"{amounts_text(schedule, schedule.products)}, days {first:g} to {last:g}{more}>"
    )
