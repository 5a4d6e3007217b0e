"""A schedule in the words of a clinician: equal doses at equal intervals are said once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from math import fsum
from typing import TYPE_CHECKING

from cellsim.dates import date_of

if TYPE_CHECKING:
    from cellsim.dosing.schedule import Infusion, Schedule

__all__ = ["cells_text", "describe"]

_LONG = 5  # so many doses at one interval open a run as "every 7 days", fewer are listed
_STEPS = 3  # so many equal steps continue one as "then every 28 days to"


def cells_text(cells: float) -> str:
    """A number of cells as it is spoken: mantissa and power of ten, to four digits.

    Examples
    --------
    >>> cells_text(7.25e8), cells_text(5e7), cells_text(12)
    ('7.25e8', '5.0e7', '12')
    """
    if cells == 0 or 1 <= abs(cells) < 1e4:  # a count one can say
        return f"{cells:.4g}"
    mantissa, power = f"{cells:.3e}".split("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{int(power)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration_text(days: float) -> str:
    for factor, unit, least in ((1.0, "day", 2.0), (24.0, "h", 1.0), (1440.0, "min", 0.0)):
        if days * factor >= least:
            amount = f"{days * factor:.6g}"
            return f"{amount} {unit}{'s' if unit == 'day' else ''}"
    raise AssertionError("durations are never negative")


def _equal_steps(days: Sequence[float], first: int) -> int:
    """How many equal, positive steps follow `days[first]`."""
    if first + 1 >= len(days):
        return 0
    step = days[first + 1] - days[first]
    # start + i * interval rounds: days that differ by less than a millisecond are the same day
    close = 1e-8 * max(1.0, abs(days[first]), abs(days[-1]))
    steps = 0
    while first + steps + 1 < len(days) and step > 0:
        if abs(days[first + steps + 1] - days[first] - (steps + 1) * step) > close:
            break
        steps += 1
    return steps


def _stretches(days: Sequence[float]) -> Iterator[tuple[bool, list[float]]]:
    """Cut days into stretches: (equal steps?, days); an equal stretch counts from the day before it."""
    at = 0
    listed: list[float] = []
    if (steps := _equal_steps(days, 0)) + 1 >= _LONG:
        yield True, list(days[: steps + 1])
        at = steps + 1
    while at < len(days):
        # not from the first day itself: four weekly doses are listed, and what follows them is "then every"
        steps = _equal_steps(days, at - 1) if at > 1 else 0
        if steps < _STEPS:
            listed.append(days[at])
            at += 1
            continue
        if listed:
            yield False, listed
            listed = []
        yield True, list(days[at : at + steps])
        at += steps
    if listed:
        yield False, listed


def _days_text(days: Sequence[float], day_zero: date | None) -> str:
    def said(day: float) -> str:
        number = f"{day:.10g}"
        return number if day_zero is None else f"{date_of(day, day_zero)} (day {number})"

    parts: list[str] = []
    before = None
    for equal, stretch in _stretches(days):
        if equal and before is None:
            step = (stretch[-1] - stretch[0]) / (len(stretch) - 1)
            word = "day " if day_zero is None else ""
            parts.append(f"every {step:.6g} days from {word}{said(stretch[0])} to {word}{said(stretch[-1])}")
        elif equal and before is not None:
            step = (stretch[-1] - before) / len(stretch)
            parts.append(f"every {step:.6g} days to {'day ' if day_zero is None else ''}{said(stretch[-1])}")
        else:
            noun = "" if day_zero is not None else "day " if len(stretch) == 1 else "days "
            parts.append(f"on {noun}{', '.join(said(day) for day in stretch)}")
        before = stretch[-1]
    return ", then ".join(parts)


def _doses_text(infusions: Sequence[Infusion], day_zero: date | None) -> str:
    """One run of equal doses."""
    dose = infusions[0]
    duration = f" over {_duration_text(dose.duration)}" if dose.duration else ""
    label = f' "{dose.label}"' if dose.label else ""
    days = _days_text([each.day for each in infusions], day_zero)
    noun = "cell" if dose.cells == 1 else "cells"
    return f"{cells_text(dose.cells)} {noun}{duration}{label} {days}, {_count(len(infusions), 'dose')}"


def _total_text(infusions: Sequence[Infusion]) -> str:
    total = fsum(each.cells for each in infusions)
    return f"total {_count(len(infusions), 'infusion')}, {cells_text(total)} cells"


def describe(schedule: Schedule) -> str:
    """Write a schedule out: one line a product, with count and total cells.

    Parameters
    ----------
    schedule : Schedule

    Returns
    -------
    str
        Calendar dates stand beside the days when ``schedule.day_zero`` is known.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Schedule
    >>> print(describe(Schedule.every(7, cells=5e7, doses=6, product="rfib")))
    rfib: 5.0e7 cells every 7 days from day 0 to day 35, 6 doses; total 6 infusions, 3.0e8 cells
    """
    if not schedule.infusions:
        return "no infusions"
    sources = {product.name: product.source for product in schedule.products}
    by_product: dict[str, list[Infusion]] = {}
    for infusion in schedule.infusions:
        by_product.setdefault(infusion.product, []).append(infusion)
    lines = []
    for name, doses in by_product.items():
        runs = groupby(doses, key=lambda each: (each.cells, each.duration, each.label))
        said = [_doses_text(list(run), schedule.day_zero) for _, run in runs]
        source = f" ({sources[name]})" if sources.get(name) else ""
        lines.append(f"{name}{source}: {'; '.join([*said, _total_text(doses)])}")
    if len(lines) > 1:
        lines.append(f"all products: {_total_text(schedule.infusions)}")
    return "\n".join(lines)
