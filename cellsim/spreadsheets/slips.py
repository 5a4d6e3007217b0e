"""What can be read in a sheet and is probably a slip: a name misspelt, a visit out of its order, days that contradict dates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import SequenceMatcher, get_close_matches
from itertools import pairwise

from cellsim.spreadsheets.sheet import Cell
from cellsim.units import parse_unit

__all__ = ["Slip", "days_against_dates", "meant", "misspelt", "out_of_order", "unit_slip"]

Slip = tuple[Cell, str, str]
"""The cell, what is odd about it, and what to do."""

_ALIKE = 0.8
_LETTERS = 5  # a name of fewer letters has neighbours of its own: IgA and IgG, ALT and AST
_USUAL_UNITS = (
    "mg/L", "g/L", "mg/dL", "g/dL", "ug/L", "ug/mL", "ng/mL", "ng/L", "pg/mL", "mmol/L", "umol/L", "nmol/L", "pmol/L", "U/L",
    "U/mL", "kU/L", "mU/L", "IU/L", "IU/mL", "10^9/L", "10^12/L", "10^6/L", "10^3/uL", "cells/uL", "mm/h", "fL", "pg", "%", "s",
    "mL/min",
)  # fmt: skip


def misspelt(cells: Mapping[str, Sequence[Cell]], beside: Callable[[str, str], bool]) -> Iterator[Slip]:
    """Names that are all but another, more frequent one, and never stand beside it.

    Parameters
    ----------
    cells : mapping of str to sequence of Cell
        Where each name stands.
    beside : callable
        Whether two names are both told of one occasion, which makes them two things.

    Examples
    --------
    >>> at = {"haemoglobin": [Cell("haemoglobin", k, 1) for k in (2, 3)], "haemoglobn": [Cell("haemoglobn", 4, 1)]}
    >>> [(cell.place, what) for cell, what, _ in misspelt(at, lambda one, other: False)]
    [('A4', "'haemoglobn' stands only here, and 'haemoglobin' in A2 and elsewhere")]
    """
    for name, (first, *others) in cells.items():
        for known, places in cells.items():
            if (
                known == name
                or len(places) <= len(others) + 1
                or beside(name, known)
                or not _alike(name, known)
            ):
                continue
            where = places[0].place + (" and elsewhere" if len(places) > 1 else "")
            here = "only here" if not others else f"here and in {len(others)} more"
            yield (
                first,
                f"{name!r} stands {here}, and {known!r} in {where}",
                f"Did you mean {known!r}? Write it so.",
            )
            break


def _alike(one: str, other: str) -> bool:
    """Whether two names differ by a slip of the pen: a letter or two of many, and no digit."""
    plain = [re.sub(r"[^a-z0-9]", "", each.lower()) for each in (one, other)]
    digits = [re.sub(r"[^0-9]", "", each) for each in plain]
    if digits[0] != digits[1] or min(map(len, plain)) < _LETTERS:
        return False
    return plain[0] == plain[1] or SequenceMatcher(None, plain[0], plain[1]).ratio() >= _ALIKE


def out_of_order(visits: Sequence[tuple[datetime | float, Cell]]) -> Iterator[Slip]:
    """The visit whose date is out of the order of all others; sheets run with time or against it.

    Examples
    --------
    >>> at = [(float(day), Cell(f"{day}", k, 1)) for k, day in enumerate((0, 28, 840, 112, 168), start=2)]
    >>> [(cell.place, what) for cell, what, _ in out_of_order(at)]
    [('A4', 'day 840 is out of the order of time, in which all others stand')]
    """
    for way in (1, -1):
        if all(_after(*pair, way) for pair in pairwise(each for each, _ in visits)):
            return
    odd: list[tuple[float, int]] = []
    for k in range(len(visits)):
        rest = [each for i, (each, _) in enumerate(visits) if i != k]
        # of three, any two stand in one order or the other
        ways = (1, -1) if len(rest) > 2 else (1,)
        if len(rest) > 1 and any(all(_after(*pair, way) for pair in pairwise(rest)) for way in ways):
            odd.append((_apart(rest[0], rest[-1]), k))
    if odd:
        # of two that may be the odd one out, the one that leaves the others nearer to each other
        when, cell = visits[min(odd)[1]]
        said = f"day {when:g}" if isinstance(when, float) else str(when.date())
        what = f"{said} is out of the order of time, in which all others stand"
        yield cell, what, "Is its year or its month right? Correct it, or leave it."


def _apart(one: datetime | float, other: datetime | float) -> float:
    """Days between two visits; nothing where one has a day and the other a date."""
    if isinstance(one, float) or isinstance(other, float):
        return abs(one - other) if isinstance(one, float) and isinstance(other, float) else 0.0
    return abs((one - other).total_seconds()) / 86400.0


def _after(one: datetime | float, other: datetime | float, way: int) -> bool:
    if isinstance(one, float) != isinstance(other, float):
        return True  # a day and a date: nothing is known of their order
    return one <= other if way > 0 else one >= other  # type: ignore[operator]


def days_against_dates(told: Sequence[tuple[datetime, float, Cell]]) -> Iterator[Slip]:
    """Study days that do not fit the dates beside them, by the day 0 that most rows make."""
    zeros = [when.toordinal() - day for when, day, _ in told]
    if not zeros:
        return
    (usual, _), *_ = Counter(zeros).most_common(1)
    for (when, day, cell), zero in zip(told, zeros, strict=True):
        if abs(zero - usual) >= 1:
            fits = when.toordinal() - usual
            yield (
                cell,
                f"day {day:g} stands beside {when.date()}, which is day {fits:g} by the other rows; the date is used",
                "Correct the one that is wrong.",
            )


def unit_slip(unit: str) -> tuple[str, str] | None:
    """What is wrong with the unit of an analyte, and what to write; None where it is one.

    Examples
    --------
    >>> unit_slip("mgl")
    ("'mgl' is no unit that is known.", "Did you mean 'mg/L'? Write (1) for a number without unit.")
    """
    try:
        parse_unit(unit)
    except Exception as error:  # its message is the complaint
        close = get_close_matches(unit.lower(), [each.lower() for each in _USUAL_UNITS], n=1, cutoff=0.6)
        usual = next((each for each in _USUAL_UNITS if close and each.lower() == close[0]), "")
        said = (
            f"{unit!r} is no unit that is known." if "nown unit" in str(error) else f"unit {unit!r}: {error}"
        )
        return said, f"{f'Did you mean {usual!r}? ' if usual else ''}Write (1) for a number without unit."
    return None


def meant(header: str, known: Mapping[str, str]) -> str:
    """The word for a column that a header is all but one of; empty where there is none.

    Examples
    --------
    >>> meant("analyt", {"analyte": "analyte"}), meant("unti", {"unit": "unit"}), meant("CRP", {"cap": "cap"})
    ('analyte', 'unit', '')
    """
    plain = re.sub(r"[^a-z]", "", header.lower())
    turned = next((each for each in known if len(plain) > 2 and sorted(each) == sorted(plain)), "")
    close = [turned] if turned else get_close_matches(plain, known, n=1, cutoff=0.8)
    # a short word is near to many: dat is date, and an analyte is nothing
    near = close and (turned or len(close[0]) >= _LETTERS or close[0].startswith(plain))
    return close[0] if near else ""
