"""Numbers of a case that are possible and improbable: a factor of a thousand off, a fraction among per cents, a median where
a logarithm belongs. Each is a doubt, because it may be true.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from cellsim.case.checks import is_number
from cellsim.case.records import problem_at
from cellsim.errors import Problem

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.records import Analyte, Censored, Measurement, PriorRow

__all__ = ["LARGEST_RATIO", "dose_doubt", "implausible"]

LARGEST_RATIO = 300.0
"""Numbers of one kind that are further apart than this are taken for a slip of a thousand."""

# cells a person is given: fewer are taken for millions
_FEWEST_CELLS = 1e4
# values beside one that may be a slip of a decimal point, how far it then lies from them, and a share that is no fraction
_ENOUGH, _TENFOLD, _SMALL_PERCENT = 2, 5.0, 1.5
# of a logarithm, and relative: a factor of ten either way, and better than any laboratory
_WIDEST, _NARROWEST = 1.2, 2e-3
# standard deviations of its prior that a nominal value lies off, and of a logarithm that a prior may have
_FAR, _WIDEST_PRIOR = 5.0, 5.0
# how much longer than all that happens a simulation may run before it
_LONGEST_LEAD = 10.0


def implausible(case: Case) -> Iterator[Problem]:
    """Every number that is probably a slip, as a doubt in its place."""
    every: tuple[Measurement | Censored, ...] = (*case.rows, *case.censored)
    for analyte in case.analytes:
        rows = [row for row in every if row.analyte == analyte.id]
        yield from _values(analyte, rows)
        yield from _spread(analyte, rows)
    for prior in case.priors:
        if prior.family and prior.parameters:
            yield from _prior(prior)
    yield from _lead(case)


def dose_doubt(cells: float, others: list[float], *, counted: bool, unit: str = "cells") -> str:
    """Why the size of a dose is improbable; empty when it is not.

    Parameters
    ----------
    cells : float
    others : list of float
        The product's other doses.
    counted : bool
        Whether these are cells, not an amount of something else.
    unit : str

    Examples
    --------
    >>> dose_doubt(50.0, [5e7, 5e7], counted=True)
    '50 cells are 1e+06 times less than the other doses (5e+07)'
    """
    usual = median(others) if others else 0.0
    if usual > 0 and not 1 / LARGEST_RATIO < cells / usual < LARGEST_RATIO:
        ratio, way = (usual / cells, "less") if cells < usual else (cells / usual, "more")
        return f"{cells:g} {unit} are {ratio:.3g} times {way} than the other doses ({usual:g})"
    if counted and cells < _FEWEST_CELLS:
        return f"{cells:g} cells are few for a person: are these millions?"
    return ""


def _values(analyte: Analyte, rows: list[Measurement | Censored]) -> Iterator[Problem]:
    """Values a thousandfold off all others of their analyte, or its reference limits, or in another scale of per cent."""
    told = [(row, getattr(row, "value", getattr(row, "limit", math.nan))) for row in rows]
    for row, value in told:
        if not value > 0:
            continue
        column = "limit" if hasattr(row, "limit") else "measurement"
        others = [each for where, each in told if where is not row and each > 0]
        far = [each for each in others if not 1 / LARGEST_RATIO < value / each < LARGEST_RATIO]
        if others and len(far) == len(others) and (len(others) > 1 or not _inside(analyte, value)):
            near = min(others, key=lambda each: abs(math.log(value / each)))
            what = (
                f"{row.observable} = {value:g} {row.unit} at {row.visit or f'day {row.day:g}'} is {_times(value / near)} of what it is at "
                f"any other time (nearest: {near:g})."
            )
            yield problem_at(row, what, "Is a unit or a decimal point wrong?", "doubt", column=column)
        elif reason := _off_limits(analyte, value) or _off_others(analyte, value, others):
            what = f"{row.observable} = {value:g} {row.unit} at {row.visit or f'day {row.day:g}'}: {reason}."
            remedy = "Is a unit or a decimal point wrong, here or in the limits?"
            yield problem_at(row, what, remedy, "doubt", column=column)


def _inside(analyte: Analyte, value: float) -> bool:
    return (analyte.lower, analyte.upper) != (None, None) and analyte.in_range(value)


def _off_limits(analyte: Analyte, value: float) -> str:
    """How far a value is from its reference range, where that is no measurement of the same thing."""
    lower, upper = analyte.lower or 0.0, analyte.upper
    limits = analyte.range_text
    if upper and value > LARGEST_RATIO * upper:
        return f"{value / upper:.3g} times the upper reference limit ({limits})"
    if lower > 0 and value < lower / LARGEST_RATIO:
        return f"{lower / value:.3g} times less than the lower reference limit ({limits})"
    percent = analyte.unit.strip().lower() in ("%", "percent", "1", "fraction", "ratio", "dimensionless")
    if percent and lower > 0 and upper:
        for factor, words in ((100.0, "a fraction among per cents"), (0.01, "per cents among fractions")):
            apart = lower / value if factor > 1 else value / upper
            if apart > 10 and lower / 2 <= value * factor <= 2 * upper:
                return f"{factor:g} times it lies by the reference range ({limits}); {words}?"
    return ""


def _off_others(analyte: Analyte, value: float, others: list[float]) -> str:
    """How far a value is from all others and from the reference range, where these lie together; empty where they do not."""
    if len(others) < _ENOUGH:
        return ""
    percent = analyte.unit.strip() == "%"
    if (
        percent
        and value <= 1
        and min(others) > _SMALL_PERCENT
        and min(others) / 2 <= 100 * value <= 2 * max(others)
    ):
        return "100 times it lies by the other values; a fraction among per cents?"
    if not analyte.lower or not analyte.upper or analyte.lower < 0:
        return ""
    lowest, highest = min(*others, analyte.lower), max(*others, analyte.upper)
    far = max(_TENFOLD, 2 * highest / lowest)
    if value > far * highest or value < lowest / far:
        apart = value / highest if value > highest else value / lowest
        return f"{_times(apart)} of what it is at any other time and in the reference range ({analyte.range_text})"
    return ""


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio > 1 else f"1/{1 / ratio:.3g}"


def _spread(analyte: Analyte, rows: list[Measurement | Censored]) -> Iterator[Problem]:
    """A spread in another unit than the values, or of another distribution."""
    if not is_number(analyte.noise) or not rows:
        return
    spread, size = float(analyte.noise), 1.0
    if not analyte.distribution.startswith("log"):
        sizes = [abs(getattr(row, "value", getattr(row, "limit", 0.0))) for row in rows]
        size = median(sizes)
        if not size > 0:
            return
        if spread > 3 * max(sizes):
            what = f"noiseFormula of {analyte.observable} is {spread:g} {analyte.unit}, and its largest value {max(sizes):g}."
            remedy = "A normal spread is in the unit of the values."
            yield problem_at(analyte, what, remedy, "doubt", column="noiseFormula")
    elif spread > _WIDEST:
        factor = math.exp(1.96 * min(spread, 100.0))
        what = f"noiseFormula of {analyte.observable} is {spread:g}: 95 % of its values lie within a factor of {factor:.3g}."
        remedy = "It is the sd of the natural logarithm, about the relative error."
        yield problem_at(analyte, what, remedy, "doubt", column="noiseFormula")
    if 0 < spread <= _NARROWEST * size:
        what = f"noiseFormula of {analyte.observable} is {spread:g}, {spread / size:.2%} of its values."
        remedy = "Hardly any laboratory is as exact; is it in per cent?"
        yield problem_at(analyte, what, remedy, "doubt", column="noiseFormula")


def _prior(prior: PriorRow) -> Iterator[Problem]:
    """A median where its logarithm belongs, a spread over all numbers, a nominal value far from its own prior."""
    first, second = (*prior.parameters, 0.0)[:2]
    logged = prior.family in ("log-normal", "log-laplace")
    if not second > 0 or (not logged and prior.family not in ("normal", "laplace")):
        return
    middle = math.exp(min(max(first, -700.0), 700.0)) if logged else first
    means = f"the {prior.family} prior of {prior.id} ({first:g}; {second:g})"
    if logged:
        means += f" has a median of {middle:.3g} {prior.unit}".rstrip()
        advice = "Its first parameter is the mean of the natural logarithm"
        meant = first if first > 0 else prior.nominal
        advice += f": for a median of {meant:g} write {math.log(meant):.4g}." if meant > 0 else "."
        if second > _WIDEST_PRIOR:
            what = f"{means} and covers a factor of exp({1.96 * second:.3g}) either way."
            remedy = "Its second parameter is the sd of the natural logarithm."
            yield problem_at(prior, what, remedy, "doubt", column="priorParameters")
            return
        apart = (math.log(prior.nominal) - first) / second if prior.nominal > 0 else 0.0
        taken = math.isclose(prior.nominal, first, rel_tol=1e-6) and not math.isclose(
            prior.nominal, middle, rel_tol=0.2
        )
        if abs(apart) > _FAR or taken:
            what = f"{means}, and its nominal value is {prior.nominal:g}."
            yield problem_at(prior, what, advice, "doubt", column="priorParameters")
        return
    if abs(prior.nominal - first) > _FAR * second:
        what = f"{means} has its middle {abs(prior.nominal - first) / second:.3g} sd from the nominal value {prior.nominal:g}."
        yield problem_at(prior, what, "Is one of them in another unit?", "doubt", column="priorParameters")


def _lead(case: Case) -> Iterator[Problem]:
    """A simulation that begins long before anything happens."""
    days = [each.day for each in case.timeline] + [visit.earliest for visit in case.visits]
    days += [row.day for row in case.rows]
    if not days:
        return
    lead, span = min(days) - case.start, max(days) - min(days)
    if span > 0 and lead > _LONGEST_LEAD * span:
        what = f"the simulation starts on day {case.start:g}, {lead:g} days before anything happens; all that happens takes {span:g}."
        file = next((name for name in case.files if name.startswith("experiment")), "")
        remedy = "Is the first time of the experiment right?"
        yield Problem(what=what, remedy=remedy, file=file, row=2, column="time", severity="doubt")
