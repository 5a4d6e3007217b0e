"""The rows that are scored: each with the formula that predicts it, its spread and its occasion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from cellsim.case.records import Censored, Measurement
from cellsim.errors import CalibrationError, Problem
from cellsim.model.formulas import parse_formula

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.records import Analyte

__all__ = ["Term", "prediction_of", "spread_of", "terms_of"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One scored row.

    Attributes
    ----------
    part : str
        ``"standard"`` (any PEtab tool scores it identically), ``"censored"`` or ``"graded"``.
    analyte, visit, unit : str
        What was measured, when, in what; a grade has no visit.
    day : float
        Nominal day.
    measured : float
        The printed value, the limit of a censored one, or the lowest grade allowed.
    upper : float
        The highest grade allowed; nan otherwise.
    sd : float
        Spread of the measurement (of its natural logarithm when `logged`).
    logged : bool
        Whether the density is log-normal.
    above : bool
        Whether a censored value lies above its limit.
    output, occasion : int
        Which output, at which sampling occasion.
    file, row
        Where it stands.
    """

    part: str
    analyte: str
    visit: str
    unit: str
    day: float
    measured: float
    upper: float = np.nan
    sd: float = np.nan
    logged: bool = True
    above: bool = False
    output: int
    occasion: int
    file: str
    row: int | None


def terms_of(
    case: Case, fixed: Mapping[str, float]
) -> tuple[dict[str, sp.Expr], tuple[Term, ...], tuple[tuple[str, float], ...]]:
    """Every scored row, the formulas that predict them, and the occasions they are read at."""
    outputs: dict[str, sp.Expr] = {}
    numbers: dict[sp.Expr, int] = {}
    occasions: dict[tuple[str, float], int] = {}
    problems: list[Problem] = []
    terms: list[Term] = []

    def output(formula: sp.Expr) -> int:
        if formula not in numbers:
            numbers[formula] = len(outputs)
            outputs[f"y{len(outputs)}"] = formula
        return numbers[formula]

    scored: list[Measurement | Censored] = [*case.rows, *(each for each in case.censored if each.scored)]
    for row in scored:
        about, place = case.analyte(row.analyte), (row.file, row.row)
        try:
            formula = _filled(about.formula, about.placeholders, row.parameters, f"{about.observable}")
            spread = _spread(about, row, fixed)
        except CalibrationError as error:
            # what no row fills in is the observable's own fault, and is told once
            own = not (row.parameters or getattr(row, "noise_parameters", ()))
            file, line = (about.file, about.row) if own else place
            problems += [replace(each, file=file, row=line) for each in error.problems]
            continue
        terms.append(
            Term(
                part="censored" if isinstance(row, Censored) else "standard",
                analyte=row.analyte,
                visit=row.visit,
                unit=row.unit,
                day=row.day,
                measured=row.limit if isinstance(row, Censored) else row.value,
                sd=spread,
                logged=about.distribution == "log-normal",
                above=isinstance(row, Censored) and row.censoring == "right",
                output=output(formula),
                occasion=occasions.setdefault((row.visit, _day(case, row)), len(occasions)),
                file=place[0],
                row=place[1],
            )
        )
    for grade in case.grades:
        if grade.scored:
            terms.append(
                Term(
                    part="graded",
                    analyte=grade.observable,
                    visit="",
                    unit="grade",
                    day=grade.day,
                    measured=grade.lower,
                    upper=grade.upper,
                    output=output(parse_formula(grade.quantity)),
                    occasion=occasions.setdefault(("", grade.day), len(occasions)),
                    file=grade.file,
                    row=grade.row,
                )
            )
    if problems:
        raise CalibrationError(dict.fromkeys(problems))
    return outputs, tuple(terms), tuple(occasions)


def prediction_of(about: Analyte) -> sp.Expr:
    """What predicts an analyte on any day: its quantity, or its formula when it names none.

    Parameters
    ----------
    about : Analyte

    Returns
    -------
    sympy.Expr

    Raises
    ------
    CalibrationError
        If it names no quantity and its formula waits for what a row fills in.
    """
    if not about.foreseeable:
        raise CalibrationError(
            [
                Problem(
                    what=f"{about.id} cannot be predicted where it was not measured: its formula has placeholders "
                    f"({', '.join(about.placeholders)}).",
                    remedy="Name the model's quantity behind it in the column quantity.",
                    file=about.file,
                    row=about.row,
                )
            ]
        )
    return sp.Symbol(about.quantity) if about.quantity else parse_formula(about.formula)


def spread_of(case: Case, about: Analyte, fixed: Mapping[str, float] | None = None) -> float:
    """The spread of a new measurement of an analyte, which no row fills in.

    Parameters
    ----------
    case : Case
    about : Analyte
    fixed : mapping of str to float, optional
        Values of parameters in its formula; the case's nominal ones by default.

    Returns
    -------
    float
        Of the natural logarithm where the analyte is log-normal; nan where a row must tell it.
    """
    known = case.nominal if fixed is None else fixed
    formula = parse_formula(about.noise).xreplace(
        {sp.Symbol(name): sp.Float(value) for name, value in known.items()}
    )
    return float(formula) if formula.is_number else float("nan")


def _day(case: Case, row: Measurement | Censored) -> float:
    """The nominal day of a row's visit (rows of one visit share one blood draw)."""
    return next((visit.nominal for visit in case.visits if visit.id == row.visit), row.day)


def _filled(formula: str, places: Sequence[str], fillings: Sequence[str], where: str) -> sp.Expr:
    """A formula with its placeholders filled by what the row says: parameters or numbers."""
    parsed = parse_formula(formula, where=where)
    return parsed.xreplace(
        {
            sp.Symbol(place): parse_formula(filling, where=where)
            for place, filling in zip(places, fillings, strict=True)
        }
    )


def _spread(about: Analyte, row: Measurement | Censored, fixed: Mapping[str, float]) -> float:
    """The standard deviation of a row, which must be a number once fixed parameters are put in."""
    if about.distribution not in ("normal", "log-normal"):
        raise CalibrationError(
            f"{about.observable} is {about.distribution}; normal and log-normal measurements can be scored."
        )
    fillings = row.noise_parameters if isinstance(row, Measurement) else ()
    formula = _filled(
        about.noise, about.noise_placeholders[: len(fillings)], fillings, f"noise of {about.observable}"
    )
    number = formula.xreplace({sp.Symbol(name): sp.Float(value) for name, value in fixed.items()})
    if not number.is_number or not float(number) > 0:
        raise CalibrationError(
            f"the noise of {about.observable} is {about.noise!r}; it must be a positive number or made of fixed "
            "parameters, because an estimated spread is no sum of squares."
        )
    return float(number)
