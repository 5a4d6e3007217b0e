"""Schedules to compare, as a question gives them: one, several with or without names, a family, or a table of doses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

from cellsim.delimited import is_missing
from cellsim.dosing.infusions import amount_text, doses_text
from cellsim.dosing.schedule import Schedule
from cellsim.dosing.tables import TextTable, text_table
from cellsim.errors import Problem, ScheduleError

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case
    from cellsim.predictions.plans import Plan

__all__ = ["plans_from_table", "plans_given", "plans_table"]


def plans_given(schedules: Any, case: Case | None = None) -> dict[str, Schedule]:
    """Schedules by name, from what was given as such.

    Parameters
    ----------
    schedules : Schedule, mapping of str to Schedule, iterable of Schedule, DataFrame, or path
        One schedule; several by name (a family of ``Schedule.grid`` among these); several without names, each called after what
        it gives; or a table with a column ``plan`` (:func:`plans_from_table`).
    case : Case, optional
        Whose products and day 0 a table means.

    Raises
    ------
    ScheduleError
        For anything else, for names that are one when written, and for what is no schedule, all at once.

    Examples
    --------
    >>> list(plans_given(Schedule())), list(plans_given({7: Schedule()}))
    (['schedule'], ['7'])
    >>> list(plans_given(Schedule.every(7, cells=5e7, doses=n, product="rfib") for n in (4, 8)))
    ['5.0e7 cells rfib every 7 d, 4 doses', '5.0e7 cells rfib every 7 d, 8 doses']
    """
    if isinstance(schedules, Schedule):
        return {"schedule": schedules}
    if isinstance(schedules, str | PathLike) or hasattr(schedules, "columns"):
        if case is None:
            raise ScheduleError("a schedule is needed here, and a table is given.")
        return plans_from_table(schedules, case)
    if not isinstance(schedules, Mapping):
        if not isinstance(schedules, Iterable):
            raise ScheduleError(
                f"a schedule is needed, or schedules by name like {{'weekly': ...}}, not a {type(schedules).__name__}."
            )
        schedules = _named(list(schedules))
    plans: dict[str, Schedule] = {}
    problems = []
    for key, plan in schedules.items():
        name = str(key)
        if not isinstance(plan, Schedule):
            remedy = (
                "Make one: Schedule.every(...), Schedule.at(...), or Schedule.from_table(...) of a table."
            )
            if plan is None:
                remedy = "Schedule() is one without doses."
            what = f"{name!r} is a {type(plan).__name__}, and no schedule."
            problems.append(Problem(what=what, remedy=remedy))
        if name in plans:
            problems.append(
                Problem(what=f"two schedules are called {name!r}.", remedy="Give each a name of its own.")
            )
        plans[name] = plan
    if problems:
        raise ScheduleError(problems)
    return plans


def _named(schedules: list[Any]) -> dict[str, Any]:
    """Schedules by what they give; those alike are numbered."""
    names = [
        _short(each) if isinstance(each, Schedule) else f"number {k}" for k, each in enumerate(schedules, 1)
    ]
    found: dict[str, Any] = {}
    for name, each in zip(names, schedules, strict=True):
        count = sum(name == other.partition(" (")[0] for other in found)
        found[f"{name} ({count + 1})" if count else name] = each
    return found


def _short(plan: Schedule) -> str:
    """What a plan gives, in one line of a figure; its days where they are no regular ones."""
    if not plan.count:
        return "nothing"
    products = list(dict.fromkeys(each.product for each in plan))
    days, sizes = [each.day for each in plan], {each.cells for each in plan}
    gaps = {round(later - earlier, 9) for earlier, later in pairwise(days)}
    count = f"{plan.count} dose{'s' * (plan.count > 1)}"
    if len(products) > 1 or len(sizes) > 1 or len(gaps) > 1:
        return f"{doses_text(plan.infusions, plan.products)}, days {days[0]:g} to {days[-1]:g}"
    unit = next((each.unit for each in plan.products if each.name == products[0]), "cells")
    when = f"every {gaps.pop():g} d" if gaps else "once"
    start = f" from day {days[0]:g}" if days[0] else ""
    return f"{amount_text(sizes.pop(), unit)} {products[0]} {when}{start}, {count}"


def plans_table(plans: tuple[Plan, ...]) -> pd.DataFrame:
    """All doses of all plans; :func:`plans_from_table` reads a CSV file of it (plans without doses aside)."""
    import pandas as pd

    frames = [each.schedule.to_frame().assign(plan=each.name) for each in plans if each.schedule.count]
    if not frames:
        return pd.DataFrame(columns=["plan", "day", "product", "cells", "duration", "label"])
    table = pd.concat(frames, ignore_index=True)
    return table[["plan", *(name for name in table.columns if name != "plan")]]


def plans_from_table(
    source: str | PathLike[str] | pd.DataFrame, case: Case, *, amount_unit: str | None = None, **options: Any
) -> dict[str, Schedule]:
    """Schedules by name from a table with a column ``plan`` beside those of :meth:`Schedule.from_table`.

    Parameters
    ----------
    source : path or DataFrame
        A file is comma, tab or semicolon separated text with a header.
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
    table = _table_of(source)
    problems = list(table.problems)
    if "plan" not in table.columns:
        what = "no column 'plan', which names the schedule of each dose."
        raise ScheduleError([*problems, Problem(what=what, file=table.file)])
    columns = tuple(name for name in table.columns if name != "plan")
    named: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, row in table.rows:
        if is_missing(name := str(row["plan"]).strip()):
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


def _table_of(source: Any) -> TextTable:
    """A file's table, or that of a data frame, whose rows count from 1."""
    if not hasattr(source, "columns"):
        return text_table(source)
    columns = tuple(str(name) for name in source.columns)
    rows = [
        (
            number,
            {
                name: "" if value is None or value != value else value
                for name, value in zip(columns, row, strict=True)
            },
        )
        for number, row in enumerate(source.itertuples(index=False, name=None), 1)
    ]
    return TextTable("plans", columns, tuple(rows))
