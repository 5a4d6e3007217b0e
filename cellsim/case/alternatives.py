"""What a case says may have been otherwise: other days of infusion, other reference limits, other priors.

A report leaves things open, and a case has to decide. What else was plausible stands in ``alternatives.tsv``, one row
a possibility, so that every conclusion can be drawn again under each (:func:`cellsim.robustness`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from cellsim.delimited import read_number
from cellsim.errors import did_you_mean
from cellsim.petab.tables import REMARKS, TableReader, TableRow, kept, listed

if TYPE_CHECKING:
    from cellsim.case.records import Analyte, PriorRow
    from cellsim.dosing.schedule import Schedule

__all__ = ["ALTERNATIVES", "Alternative", "read_alternatives"]

ALTERNATIVES = "alternatives.tsv"
_COLUMNS = (
    ("alternativeId", "name"),
    ("product", "days", "analyte", "referenceLower", "referenceUpper", "parameterId", "spread", *REMARKS),
)
_KINDS = {
    "product": ("days",),
    "analyte": ("referenceLower", "referenceUpper"),
    "parameterId": ("spread",),
}


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One plausible other reading of the case: of one product's days, one analyte's limits, or one prior.

    Parameters
    ----------
    id, name : str
        A short name, and what would be otherwise in words.
    product : str
        Whose infusions were given on other days; empty when it is not about days.
    days : tuple of float
        Of all its infusions, in the order of time.
    analyte : str
        Whose reference limits are others.
    lower, upper : float or None
        These limits, in the analyte's unit.
    parameter : str
        Whose prior is wider or narrower.
    spread : float
        How many times as wide, on the scale on which the prior is normal.
    source : str
        Why this is plausible.
    """

    id: str
    name: str
    product: str = ""
    days: tuple[float, ...] = ()
    analyte: str = ""
    lower: float | None = None
    upper: float | None = None
    parameter: str = ""
    spread: float = 1.0
    source: str = ""


def read_alternatives(
    reader: TableReader, timeline: Schedule, analytes: Collection[Analyte], priors: Collection[PriorRow]
) -> tuple[Alternative, ...]:
    """Read the table, where the case has one.

    Parameters
    ----------
    reader : TableReader
        The texts; complaints are left there.
    timeline : Schedule
    analytes : collection of Analyte
    priors : collection of PriorRow
        What the rows speak about.

    Returns
    -------
    tuple of Alternative
    """
    if ALTERNATIVES not in reader.texts:
        return ()
    given: dict[str, list[float]] = {}
    for each in timeline:
        given.setdefault(each.product, []).append(each.day)
    free = {each.id for each in priors if each.family}
    out: list[Alternative | None] = []
    seen: set[str] = set()
    for line in reader.rows([ALTERNATIVES], *_COLUMNS):
        name = reader.text(line, "alternativeId")
        if name in seen:
            what = f"alternative {name!r} stands already above."
            reader.complain(line, what, "Give it a name of its own.", column="alternativeId")
        seen.add(name)
        out.append(_alternative(reader, line, given, {each.id for each in analytes}, free))
    return kept(out)


def _alternative(
    reader: TableReader,
    line: TableRow,
    given: Mapping[str, list[float]],
    analytes: Collection[str],
    free: Collection[str],
) -> Alternative | None:
    kinds = [kind for kind in _KINDS if line.of(kind)]
    told = [column for columns in _KINDS.values() for column in columns if line.of(column)]
    if len(kinds) != 1 or not told or not set(told) <= set(_KINDS[kinds[0]]):
        reader.complain(
            line,
            f"an alternative is about one thing, seen {', '.join([*kinds, *told]) or 'nothing'}.",
            "Fill product and days, or analyte and its limits, or parameterId and spread.",
        )
        return None
    subject = line.of(kinds[0])
    about = {"product": given, "analyte": analytes, "parameterId": free}[kinds[0]]
    if subject not in about:
        # where a whole table cannot be read, that was said once
        if about:
            what = f"no {kinds[0]} {subject!r} to alter."
            reader.complain(line, what, did_you_mean(subject, about), column=kinds[0])
        return None
    made = Alternative(id=line.of("alternativeId"), name=reader.text(line, "name"), source=line.of("source"))
    if kinds[0] == "product":
        days = _days(reader, line, given[subject])
        return None if days is None else replace(made, product=subject, days=days)
    if kinds[0] == "analyte":
        lower, upper = (
            reader.number(line, column) if line.of(column) else None for column in _KINDS["analyte"]
        )
        if lower is not None and upper is not None and not lower < upper:
            what = f"the reference range {lower:g} to {upper:g} is empty."
            reader.complain(line, what, "The lower limit comes first.", column=_KINDS["analyte"][0])
        return replace(made, analyte=subject, lower=lower, upper=upper)
    spread = reader.number(line, "spread")
    if spread is None or not spread > 0:
        what = f"a prior {line.of('spread')} times as wide is none."
        reader.complain(line, what, "Write a factor above zero.", column="spread")
        return None
    return replace(made, parameter=subject, spread=spread)


def _days(reader: TableReader, line: TableRow, given: list[float]) -> tuple[float, ...] | None:
    """One day for each infusion, in the order of time."""
    try:
        days = tuple(read_number(each) for each in listed(line.of("days")))
    except ValueError:
        what = f"days {line.of('days')!r} are not numbers."
        reader.complain(line, what, "Separate them with a semicolon.", column="days")
        return None
    if not all(-1e6 < day < 1e6 for day in days) or any(later < earlier for earlier, later in pairwise(days)):
        what = "the days are not in the order of time."
        reader.complain(line, what, "Write them from the first to the last.", column="days")
        return None
    if len(days) != len(given):
        what = f"{len(days)} days for {len(given)} infusions."
        reader.complain(line, what, "Every infusion needs its day.", column="days")
        return None
    return days
