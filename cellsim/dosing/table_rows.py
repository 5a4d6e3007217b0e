"""Rows of doses judged together, so that all complaints come at once, each with its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from numbers import Real
from typing import Any

from cellsim.dates import date_of, day_of, far_away
from cellsim.dosing.infusions import Infusion, Product, dose_complaints
from cellsim.dosing.row_reader import DoseRow
from cellsim.errors import Problem, ScheduleError, did_you_mean

__all__ = ["infusions_of", "spread"]


def _listed(value: Any) -> list[Any] | None:
    """The members of a list, array or column; None for a single value."""
    if isinstance(value, str | date | Real):
        return None
    try:
        return list(value)
    except TypeError:
        return None


def _judged(row: DoseRow, day_zero: date | None, products: Sequence[Product]) -> list[str]:
    """Everything wrong with one row, in words."""
    day, of_day = 0.0, []
    try:
        day = day_of(row.day, day_zero)
        if day_zero is not None:
            date_of(day, day_zero)
        if far := far_away(day):
            of_day = [f"{far}. Days are counted from day 0; dates are written as 2023-10-06."]
    except ValueError as error:
        of_day = [f"{error}."]
    found = [
        *of_day,
        *dose_complaints(day, row.product, row.cells, row.duration, row.label, row.lag, row.bioavailability),
    ]
    known = [each.name for each in products]
    if known and isinstance(row.product, str) and row.product not in known:
        found.append(f"no product {row.product!r}. {did_you_mean(row.product, known)}")
    return found


def spread(
    days: Any, values: Mapping[str, Any], products: Sequence[Product]
) -> tuple[list[DoseRow], list[Problem]]:
    """Rows from days and, for product, cells, duration and label, one value for all or one for each.

    Parameters
    ----------
    days : a day, or an iterable of days
    values : mapping
        ``product``, ``cells``, ``duration``, ``label``.
    products : sequence of Product
        Known ones; none means that any name will do.

    Returns
    -------
    rows : list of DoseRow
        Numbered from 1; a value for all that is refused is not repeated in every row.
    problems : list of Problem
        What is wrong with values for all, and counts that differ.
    """
    listed = [days] if (several := _listed(days)) is None else several
    harmless = {
        "product": products[0].name if products else "any",
        "cells": 1.0,
        "duration": 0.0,
        "label": "",
    }
    columns: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        if (several := _listed(value)) is None:  # one for all is judged once
            complaints = _judged(DoseRow(0.0, **{**harmless, name: value}, row=0), None, products)
            problems += [Problem(what=what) for what in complaints]
            columns[name] = [harmless[name] if complaints else value] * len(listed)
            continue
        columns[name] = several
        if len(several) != len(listed):
            problems.append(Problem(what=f"{len(listed)} days, but {len(several)} values of {name}."))
    rows = [
        DoseRow(day=day, row=number, **dict(zip(columns, row)))
        for number, (day, *row) in enumerate(zip(listed, *columns.values()), start=1)
    ]
    return rows, problems


def infusions_of(
    rows: Iterable[DoseRow],
    problems: Iterable[Problem],
    products: Sequence[Product],
    day_zero: date | None,
    *,
    file: str,
) -> tuple[Infusion, ...]:
    """Infusions from rows, when nothing at all is wrong with them.

    Parameters
    ----------
    rows : iterable of DoseRow
    problems : iterable of Problem
        What is known to be wrong already.
    products : sequence of Product
        Known ones; none means that any name will do.
    day_zero : datetime.date or None
        The date of day 0.
    file : str
        Where the rows stand.

    Raises
    ------
    ScheduleError
        All complaints, those of `problems` first.
    """
    found, infusions = list(problems), []
    for row in rows:
        complaints = _judged(row, day_zero, products)
        found += [Problem(what=what, file=file, row=row.row) for what in complaints]
        if not complaints:
            day = day_of(row.day, day_zero)
            infusions.append(
                Infusion(
                    day, row.product, row.cells, row.duration, row.label, lag=row.lag,
                    bioavailability=row.bioavailability,
                )
            )  # fmt: skip
    if found:
        raise ScheduleError(found)
    return tuple(infusions)
