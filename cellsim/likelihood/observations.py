"""The rows that are scored: each with the formula that predicts it, its spread and its occasion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from cellsim.case.grading import Grading, grading_of
from cellsim.case.records import Censored, Measurement
from cellsim.errors import CalibrationError, Problem, equal_fields, hash_fields
from cellsim.likelihood.graded_rows import GradedRows, GradeScores
from cellsim.likelihood.noise import censored, gaussian, student
from cellsim.model.formulas import parse_formula

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.case.records import Analyte

    Array = NDArray[np.float64]

__all__ = [
    "Rows",
    "Scores",
    "Term",
    "filled",
    "prediction_of",
    "score_rows",
    "score_sets",
    "spread_of",
    "terms_of",
]


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
        Spread of the measurement (of its natural logarithm when `logged`), or what of the parameter `scale` it is.
    scale : str
        The estimated parameter that `sd` is multiplied by; empty where the spread is a number.
    logged : bool
        Whether the density is log-normal.
    above : bool
        Whether a censored value lies above its limit.
    output, occasion : int
        Which output, at which sampling occasion.
    grading : Grading, optional
        Of a grade: its cut-points and scatter.
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
    scale: str = ""
    logged: bool = True
    above: bool = False
    output: int
    occasion: int
    grading: Grading | None = None
    file: str
    row: int | None

    __eq__ = equal_fields
    __hash__ = hash_fields

    def spread(self, values: Mapping[str, float]) -> float:
        """The spread of the measurement under given parameters; nan of a grade."""
        return self.sd * values[self.scale] if self.scale else self.sd


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
            formula = filled(about.formula, about.placeholders, row.parameters, f"{about.observable}")
            spread, scale = _spread(about, row, fixed)
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
                scale=scale,
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
                    grading=grading_of(grade.scale, grade.cuts),
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
    formula = _with_numbers(parse_formula(about.noise), known)
    return float(formula) if formula.is_number else float("nan")


def _with_numbers(formula: sp.Expr, known: Mapping[str, float]) -> sp.Expr:
    """A formula with the values of those of its symbols that are known."""
    return formula.xreplace(
        {each: sp.Float(known[each.name]) for each in formula.free_symbols if each.name in known}
    )


def _day(case: Case, row: Measurement | Censored) -> float:
    """The nominal day of a row's visit (rows of one visit share one blood draw)."""
    return next((visit.nominal for visit in case.visits if visit.id == row.visit), row.day)


def filled(formula: str, places: Sequence[str], fillings: Sequence[str], where: str) -> sp.Expr:
    """A formula with its placeholders filled by what the row says: parameters or numbers."""
    parsed = parse_formula(formula, where=where)
    return parsed.xreplace(
        {
            sp.Symbol(place): parse_formula(filling, where=where)
            for place, filling in zip(places, fillings, strict=True)
        }
    )


def _spread(about: Analyte, row: Measurement | Censored, fixed: Mapping[str, float]) -> tuple[float, str]:
    """The standard deviation of a row once fixed parameters are put in: a number, or a number times an estimated parameter.

    Returns
    -------
    number : float
        Above zero.
    scale : str
        The parameter; empty without any.
    """
    if about.distribution not in ("normal", "log-normal"):
        what = (
            f"{about.observable} is {about.distribution}; normal and log-normal measurements can be scored."
        )
        raise CalibrationError([Problem(what=what, remedy="Write one of these.", column="noiseDistribution")])
    fillings = row.noise_parameters if isinstance(row, Measurement) else ()
    formula = filled(
        about.noise, about.noise_placeholders[: len(fillings)], fillings, f"noise of {about.observable}"
    )
    known = _with_numbers(formula, fixed)
    names = sorted(map(str, known.free_symbols))
    factor = known.diff(sp.Symbol(names[0])) if names else known
    if len(names) > 1 or not factor.is_number or (names and known.subs(sp.Symbol(names[0]), 0) != 0):
        of = f" ({', '.join(names)} of which are estimated or the model's)" if len(names) > 1 else ""
        what = (
            f"the noise of {about.observable} is {about.noise!r}{of}; a positive number, or a number times one estimated "
            "parameter, can be scored."
        )
        raise CalibrationError([Problem(what=what, column="noiseFormula")])
    if not (factor.is_real and 0 < float(factor) < float("inf")):
        what = f"the noise of {about.observable} is {about.noise!r}; it must be a finite number above zero."
        raise CalibrationError([Problem(what=what, column="noiseFormula")])
    return float(factor), names[0] if names else ""


# of a prediction that is zero but for rounding, as a share of the limit it is held against
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Rows:
    """Terms as arrays, shape (n,): see :class:`cellsim.likelihood.observations.Term`.

    Attributes
    ----------
    output, occasion : array of int
    measured, upper, sd : array
    scale : array of str
        The parameter that `sd` is multiplied by, empty where it is none.
    logged, above : array of bool
    plain, short, graded : array of bool
        Which are values, censored rows and grades.
    grading : array of Grading or None
        Of grades.
    """

    output: NDArray[np.intp]
    occasion: NDArray[np.intp]
    measured: Array
    upper: Array
    sd: Array
    scale: NDArray[np.object_]
    logged: NDArray[np.bool_]
    above: NDArray[np.bool_]
    plain: NDArray[np.bool_]
    short: NDArray[np.bool_]
    graded: NDArray[np.bool_]
    grading: NDArray[np.object_]

    @classmethod
    def of(cls, terms: Sequence[Term]) -> Rows:
        """One row a term, in order."""

        def column(name: str, kind: Any) -> NDArray[Any]:
            return np.array([getattr(term, name) for term in terms], kind)

        def part(name: str) -> NDArray[np.bool_]:
            return np.array([term.part == name for term in terms], bool)

        return cls(
            output=column("output", np.intp),
            occasion=column("occasion", np.intp),
            measured=column("measured", float),
            upper=column("upper", float),
            sd=column("sd", float),
            scale=column("scale", object),
            logged=column("logged", bool),
            above=column("above", bool),
            plain=part("standard"),
            short=part("censored"),
            graded=part("graded"),
            grading=column("grading", object),
        )

    def taken(self, which: NDArray[np.integer]) -> Rows:
        """Some of them, or some several times."""
        return Rows(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The parameters that must be known to score them, beside the predictions."""
        return tuple(dict.fromkeys([*self.scale[self.scale != ""].tolist(), *self.grades.names]))

    @cached_property
    def scaled(self) -> list[int]:
        """Rows whose spread is estimated."""
        return np.flatnonzero(self.scale != "").tolist()

    @cached_property
    def parts(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where the values are, and where the censored rows are."""
        return np.flatnonzero(self.plain), np.flatnonzero(self.short)

    @cached_property
    def grades(self) -> GradedRows:
        """The graded rows."""
        rows = np.flatnonzero(self.graded)
        ends = (each[rows].astype(np.intp).tolist() for each in (self.measured, self.upper))
        return GradedRows.of(rows, self.grading[rows].tolist(), *ends)

    def spreads(self, values: Mapping[str, float] | Mapping[str, Array]) -> Array:
        """The spread of every row under given parameters, shape (..., n) for values of shape (...)."""
        out = self.sd
        for name in dict.fromkeys(self.scale[self.scaled].tolist()):
            out = out * np.where(self.scale == name, np.asarray(values[name])[..., None], 1.0)
        return out

    def unscorable(self, predicted: Array) -> NDArray[np.bool_]:
        """Which predictions have no density: not finite, or without a logarithm where one is taken.

        Zero is below every limit of an assay and is graded lowest, with certainty; a value, a row above its limit and
        any other grade it makes impossible.
        """
        lost = ~np.isfinite(predicted) | ((predicted <= 0) & (self.logged | self.graded))
        return lost & ~self.settled(predicted)

    def settled(self, predicted: Array) -> NDArray[np.bool_]:
        """Which rows a prediction of zero makes certain; rounding in the solver may leave it a little below."""
        below = (self.short & self.logged & ~self.above) | (self.graded & (self.measured == 0))
        scale = np.where(self.graded, 1.0, self.measured)
        return below & (predicted <= 0) & (predicted >= -_ROUNDING * scale)


@dataclass(frozen=True, eq=False)
class Scores:
    """What predictions made of rows.

    Attributes
    ----------
    log_likelihood, residual, slope : array, shape (n,)
        The last is the derivative of the residual with respect to the prediction.
    by_name : list of (int, str, float)
        Row, parameter, and the derivative of the residual with respect to it where it does not go through the
        prediction: the cut-points of grades, and estimated spreads.
    """

    log_likelihood: Array
    residual: Array
    slope: Array
    by_name: list[tuple[int, str, float]]


def score_rows(rows: Rows, predicted: Array, values: Mapping[str, Any], degrees: float) -> Scores:
    """Score every row.

    Parameters
    ----------
    rows : Rows
    predicted : array, shape (n,)
        In the unit of each row; none may be unscorable.
    values : mapping of str to float
        Every parameter; only those of grades and of spreads are read, and only where there are such.
    degrees : float
        Degrees of freedom of the noise of values and censored rows.

    Returns
    -------
    Scores

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> objective = objective_of(load_case("sjogren_rfib"))
    >>> values = Rows.of(objective.terms[:2])
    >>> score_rows(values, values.measured, {}, np.inf).residual.tolist()
    [0.0, 0.0]
    """
    nothing = rows.settled(predicted)
    predicted = np.where(nothing, 0.0, predicted)
    log_likelihood, residual, turn, of_grades = _scored(rows, predicted, values, degrees)
    by_name = [] if of_grades is None else rows.grades.slopes(of_grades)
    for k in rows.scaled:
        if nothing[k]:
            continue
        # z = (prediction - measured) / spread, or minus that, falls as the spread grows
        apart = rows.measured[k] - predicted[k]
        if rows.logged[k]:
            apart = float(np.log(rows.measured[k] / predicted[k]))
        by_name.append((k, rows.scale[k], turn[k] * apart / values[rows.scale[k]]))
    # noise of a logarithm, and grades, answer to the logarithm of the prediction
    inner = np.ones(len(predicted))
    np.divide(1.0, predicted, out=inner, where=rows.logged & ~nothing)
    # what is certain stays certain for a little more
    turn[nothing] = 0.0
    return Scores(log_likelihood, residual, turn * inner, by_name)


def score_sets(
    rows: Rows, predicted: Array, values: Mapping[str, Array], degrees: float
) -> tuple[Array, Array]:
    """:func:`score_rows` for many sets of parameters at once, without slopes.

    Parameters
    ----------
    rows : Rows
    predicted : array, shape (n_sets, n_rows)
        None may be unscorable.
    values : mapping of str to array, shape (n_sets,)
        Those of grades and of spreads.
    degrees : float

    Returns
    -------
    log_likelihood, residual : array, shape (n_sets, n_rows)
    """
    predicted = np.where(rows.settled(predicted), 0.0, predicted)
    return _scored(rows, predicted, values, degrees)[:2]


def _scored(
    rows: Rows, predicted: Array, values: Mapping[str, Any], degrees: float
) -> tuple[Array, Array, Array, GradeScores | None]:
    """Log-likelihood, residual and its slope, shape (..., n_rows); the same of graded rows with their other slopes."""
    log_likelihood, residual, turn = (np.empty(predicted.shape) for _ in range(3))
    plain, short = rows.parts
    sd = rows.spreads(values)
    given = rows.measured[plain], predicted[..., plain], sd[..., plain]
    log_likelihood[..., plain], residual[..., plain], turn[..., plain] = (
        gaussian(*given, logged=rows.logged[plain])
        if np.isinf(degrees)
        else student(*given, degrees=degrees, logged=rows.logged[plain])
    )
    if short.size:
        log_likelihood[..., short], residual[..., short], turn[..., short] = censored(
            rows.measured[short],
            predicted[..., short],
            sd[..., short],
            above=rows.above[short],
            logged=rows.logged[short],
            degrees=degrees,
        )
    if not rows.grades.place.size:
        return log_likelihood, residual, turn, None
    mine = rows.grades.place
    found = rows.grades.scored(predicted[..., mine], values)
    log_likelihood[..., mine], residual[..., mine], turn[..., mine] = (
        found.log_likelihood,
        found.residual,
        found.by_level,
    )
    return log_likelihood, residual, turn, found
