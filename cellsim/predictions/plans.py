"""The schedules a report compares, and schedules by name from a table."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from cellsim.dosing.schedule import Schedule
from cellsim.dosing.tables import TextTable, text_table
from cellsim.errors import Problem, ScheduleError

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case

__all__ = ["AS_GIVEN", "Plan", "plans_from_table", "plans_of", "plans_table"]

AS_GIVEN = "as given"


@dataclass(frozen=True)
class Plan:
    """A schedule with what it asks.

    Parameters
    ----------
    name : str
        Short, for figures.
    schedule : Schedule
        From day 0 on.
    words : str
        What it is, in a sentence.
    """

    name: str
    schedule: Schedule
    words: str


def plans_of(case: Case) -> tuple[Plan, ...]:
    """What was given from day 0 on and the usual alternatives to it.

    Parameters
    ----------
    case : Case

    Returns
    -------
    tuple of Plan
        As given; then, of one product, the same cells weekly and every 8 weeks over the same time, and as a block
        of daily doses; stopping after four; the same days and cells of the other source; nothing at all. Those
        that make no sense for a case are left out.

    Examples
    --------
    >>> import cellsim as cs
    >>> for plan in plans_of(cs.load_case("sjogren_rfib")):
    ...     print(f"{plan.name}: {plan.schedule.count} infusions, {plan.schedule.total():.3g} cells")
    as given: 12 infusions, 7.25e+08 cells
    weekly, same cells: 36 infusions, 7.25e+08 cells
    every 8 weeks, same cells: 5 infusions, 7.25e+08 cells
    block of 12 days, same cells: 12 infusions, 7.25e+08 cells
    stop after 4: 4 infusions, 2e+08 cells
    same days and cells, ucmsc: 12 infusions, 7.25e+08 cells
    nothing: 0 infusions, 0 cells
    """
    given = case.schedule
    if not given.count:
        return ()
    found = [Plan(AS_GIVEN, given, "What was given from day 0 on.")]
    names = {each.product for each in given.infusions}
    last, total = given.infusions[-1].day, given.total()
    if len(names) == 1:
        [product] = names

        def spread(interval: float, doses: int) -> Schedule:
            return Schedule.every(
                interval,
                cells=total / doses,
                doses=doses,
                product=product,
                products=case.products,
                day_zero=given.day_zero,
            )

        for interval, name in ((7.0, "weekly"), (56.0, "every 8 weeks")):
            doses = int(last // interval) + 1
            words = f"The same cells in {doses} equal doses every {interval:g} days, ending by day {last:g} as given."
            found.append(Plan(f"{name}, same cells", spread(interval, doses), words))
        words = f"The same cells in {given.count} equal doses on {given.count} consecutive days from day 0."
        found.append(Plan(f"block of {given.count} days, same cells", spread(1.0, given.count), words))
    if given.count > 4:
        few = Schedule(given.infusions[:4], given.products, given.day_zero)
        found.append(Plan("stop after 4", few, "The first four infusions only: fewer cells."))
    sources = {each.name: each.source for each in case.products}
    if len(names) == 1:
        [product] = names
        other = next(
            (each for each in case.products if each.source and each.source != sources.get(product)), None
        )
        if other is not None:
            words = f"The same days and cells, of {other.label or other.name} ({other.source})."
            found.append(Plan(f"same days and cells, {other.name}", given.as_product(other.name), words))
    nothing = Schedule((), given.products, given.day_zero)
    found.append(
        Plan("nothing", nothing, "No infusion from day 0 on: what the model expects without treatment.")
    )
    return tuple(found)


def plans_table(plans: tuple[Plan, ...]) -> pd.DataFrame:
    """All doses of all plans; :func:`plans_from_table` reads a CSV file of it (plans without doses aside)."""
    import pandas as pd

    frames = [each.schedule.to_frame().assign(plan=each.name) for each in plans if each.schedule.count]
    if not frames:
        return pd.DataFrame(columns=["plan", "day", "product", "cells", "duration", "label"])
    table = pd.concat(frames, ignore_index=True)
    return table[["plan", *(name for name in table.columns if name != "plan")]]


def plans_from_table(
    source: str | PathLike[str], case: Case, *, amount_unit: str | None = None, **options: Any
) -> dict[str, Schedule]:
    """Schedules by name from a table with a column ``plan`` beside those of :meth:`Schedule.from_table`.

    Parameters
    ----------
    source : path
        Comma, tab or semicolon separated text with a header.
    case : Case
        Whose products and day 0 are meant.
    amount_unit, **options
        What :meth:`Schedule.from_table` takes: ``time_unit``, ``product``, ``compartments``, ``ignore``.

    Returns
    -------
    dict of str to Schedule
        In the order in which they appear.

    Raises
    ------
    ScheduleError
        All problems at once.
    """
    table = text_table(source)
    problems = list(table.problems)
    if "plan" not in table.columns:
        what = "no column 'plan', which names the schedule of each dose."
        raise ScheduleError([*problems, Problem(what=what, file=table.file)])
    columns = tuple(name for name in table.columns if name != "plan")
    named: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, row in table.rows:
        if not (name := row["plan"].strip()):
            problems.append(Problem(what="no plan is named.", file=table.file, row=number))
        named.setdefault(name, []).append((number, {each: row[each] for each in columns}))
    plans: dict[str, Schedule] = {}
    for name, rows in named.items():
        try:
            plans[name] = Schedule.from_table(
                TextTable(table.file, columns, tuple(rows)),
                products=case.products,
                day_zero=case.day_zero,
                amount_unit=amount_unit,
                **options,
            )
        except ScheduleError as error:
            problems += [each for each in error.problems if each not in problems]
    if problems:
        raise ScheduleError(problems)
    return plans
