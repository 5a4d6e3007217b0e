"""Rows of a problem against what its experiments came to: predictions, noise, log-likelihoods and their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from cellsim.delimited import read_number
from cellsim.errors import CaseError, ModelError, Problem, SimulationError, did_you_mean
from cellsim.estimation.courses import Course
from cellsim.estimation.prepared import PreparedModel
from cellsim.estimation.slopes import Sloped, worked_out
from cellsim.likelihood.noise import gaussian, laplace
from cellsim.petab.expressions import parse_expression
from cellsim.petab.records import MeasurementRow, ObservableRow, SubProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Observed", "Scored", "observed_by", "score"]

_LN10 = float(np.log(10.0))


@dataclass(frozen=True, eq=False)
class Observed:
    """All rows of one observable.

    Attributes
    ----------
    about : ObservableRow
    formula, noise : sympy.Expr
    rows : tuple of MeasurementRow
    others : mapping of str to sympy.Expr
        Formulas of the observables, which formulas may name.
    """

    about: ObservableRow
    formula: sp.Expr
    noise: sp.Expr
    rows: tuple[MeasurementRow, ...]
    others: Mapping[str, sp.Expr]

    def fillings(self, name: str) -> list[str] | None:
        """What each row fills in for a placeholder; None for any other name."""
        if name in self.about.placeholders:
            k = self.about.placeholders.index(name)
            return [row.parameters[k] for row in self.rows]
        if name in self.about.noise_placeholders:
            k = self.about.noise_placeholders.index(name)
            return [row.noise_parameters[k] for row in self.rows]
        return None


def observed_by(part: SubProblem, model: PreparedModel) -> tuple[Observed, ...]:
    """The rows of a part by observable, with every formula read.

    Raises
    ------
    CaseError
        For formulas that cannot be read, and names that nothing has, all at once.
    """
    problems: list[Problem] = []
    formulas: dict[str, sp.Expr] = {}
    by_name: dict[str, list[MeasurementRow]] = {}
    for row in part.measurements:
        by_name.setdefault(row.observable, []).append(row)

    def read(about: ObservableRow, text: str, what: str) -> sp.Expr:
        try:
            return parse_expression(text, where=f"{what} of {about.id}")
        except ModelError as error:
            if about.id in by_name:
                problems.extend(about.problem(each.what, each.remedy) for each in error.problems)
            return sp.Integer(1)

    for about in part.observables.values():
        formulas[about.id] = read(about, about.formula, "formula")
    found = []
    for name, rows in by_name.items():
        about = part.observables[name]
        one = Observed(about, formulas[name], read(about, about.noise, "noise"), tuple(rows), formulas)
        found.append(one)
        problems += _unknown_names(one, model)
    if problems:
        raise CaseError(dict.fromkeys(problems))
    return tuple(found)


def _unknown_names(one: Observed, model: PreparedModel) -> list[Problem]:
    """Names in formulas and in rows that nothing has."""
    about, problems = one.about, []
    places = {*about.placeholders, *about.noise_placeholders}
    known = [*model.shared, *model.parameters, *model.states, *model.assignments]
    for formula in (one.formula, one.noise):
        for name in sorted(each.name for each in formula.free_symbols):
            if (
                name == "time"
                or name in places
                or name in model.shared
                or model.has(name)
                or name in one.others
            ):
                continue
            problems.append(
                about.problem(f"{about.id} uses {name!r}, which nothing has.", did_you_mean(name, known))
            )
    for row in one.rows:
        for filling in (*row.parameters, *row.noise_parameters):
            if _number(filling) is None and filling not in model.shared and not model.has(filling):
                problems.append(
                    row.problem(f"no parameter {filling!r}.", did_you_mean(filling, model.shared))
                )
    return problems


def _number(text: str) -> float | None:
    try:
        return read_number(text)
    except ValueError:
        return None


@dataclass(frozen=True, eq=False)
class Scored:
    """Rows of one observable against their predictions.

    Attributes
    ----------
    rows : tuple of MeasurementRow
    predicted, spread : array, shape (n,)
        The spread on the scale of the noise, as the table gives it.
    log_likelihood : array, shape (n,)
        Natural, with all constants.
    standardised : array, shape (n,)
        (measured - predicted)/spread, on the scale of the noise.
    residual : array, shape (n,)
        r with r^2 = 2 (l_max - l) at this spread.
    gradient : array, shape (n, m), or None
        Of the log-likelihood.
    residual_slopes, spread_slopes : array, shape (n, m), or None
        Of the residual, and of the logarithm of the spread.
    """

    rows: tuple[MeasurementRow, ...]
    predicted: Array
    spread: Array
    log_likelihood: Array
    standardised: Array
    residual: Array
    gradient: Array | None = None
    residual_slopes: Array | None = None
    spread_slopes: Array | None = None


def score(
    one: Observed,
    model: PreparedModel,
    courses: Mapping[str, Course],
    shared: Callable[[str], Sloped],
    *,
    directions: int = 0,
    judged: bool = True,
) -> Scored:
    """Compare the rows of an observable with what the experiments came to.

    Parameters
    ----------
    one : Observed
    model : PreparedModel
    courses : mapping of str to Course
        By experiment.
    shared : callable
        Values of the problem's parameters.
    directions : int
        How many parameters to differentiate for.
    judged : bool
        Whether to refuse what has no density; else its log-likelihood is nan.

    Raises
    ------
    SimulationError
        A prediction or a spread has no density, with the row.
    """
    count = len(one.rows)
    known = _known_in_rows(one, model, courses, shared)
    y, sd = (_filled(worked_out(each, known), count, directions) for each in (one.formula, one.noise))
    predicted, spread, dy, dsd = y[0], sd[0], y[1], sd[1]
    logged = one.about.scale != "lin"
    unusable = ~np.isfinite(predicted) | ~np.isfinite(spread) | ~(spread > 0) | (logged & ~(predicted > 0))
    if judged and unusable.any():
        k = int(np.argmax(unusable))
        wrong_spread = not (np.isfinite(spread[k]) and spread[k] > 0)
        said = f"has the spread {spread[k]:g}" if wrong_spread else f"is predicted as {predicted[k]:g}"
        row = one.rows[k]
        raise SimulationError(
            [row.problem(f"{one.about.id} at time {row.time:g} {said}, which cannot be scored.")]
        )
    measured = np.array([row.value for row in one.rows])
    base = _LN10 if one.about.scale == "log10" else 1.0
    law = laplace if one.about.law == "laplace" else gaussian
    with np.errstate(all="ignore"):
        log_likelihood, residual, turn = law(
            measured, predicted, base * spread, logged=np.full(count, logged)
        )
        standardised = -residual if law is gaussian else -np.sign(residual) * residual**2 / 2
        if not directions:
            return Scored(one.rows, predicted, spread, log_likelihood, standardised, residual)
        inner = 1.0 / predicted if logged else np.ones(count)
        by_spread = dsd / spread[:, None]
        by_level = dy * inner[:, None]
        # the residual is z (normal), or the root of 2 |z| (Laplace): with the spread it falls as 1/sd, or its root
        fall = 1.0 if law is gaussian else 0.5
        slopes = by_level * turn[:, None] - fall * residual[:, None] * by_spread
        # at its median a Laplace density has a corner: the slope there is none
        pulled = (-residual * turn)[:, None] * by_level
        gradient = pulled + (2 * fall * residual**2 / 2 - 1.0)[:, None] * by_spread
    return Scored(
        one.rows, predicted, spread, log_likelihood, standardised, residual, gradient, slopes, by_spread
    )


def _filled(found: Sloped, count: int, directions: int) -> tuple[Array, Array]:
    value = np.broadcast_to(found.value, (count,)).astype(float)
    if found.slope is None:
        return value, np.zeros((count, directions))
    return value, np.broadcast_to(found.slope, (count, directions))


def _known_in_rows(
    one: Observed, model: PreparedModel, courses: Mapping[str, Course], shared: Callable[[str], Sloped]
) -> Callable[[str], Sloped]:
    """The value of every name in each row."""
    places = [np.searchsorted(courses[row.experiment].times, row.time) for row in one.rows]

    def gathered(take: Callable[[Course], Array], slope: Callable[[Course], Array | None], k: int) -> Sloped:
        value = np.array(
            [take(courses[row.experiment])[i, k] for row, i in zip(one.rows, places, strict=True)]
        )
        slopes = [slope(courses[row.experiment]) for row in one.rows]
        if any(each is None for each in slopes):
            return Sloped(value)
        return Sloped(
            value, np.array([each[i, k] for each, i in zip(slopes, places, strict=True) if each is not None])
        )

    def given(name: str) -> Sloped | None:
        if (fillings := one.fillings(name)) is not None:
            return _placed(fillings, known, len(one.rows))
        if name == "time":
            return Sloped(np.array([row.time for row in one.rows]))
        if (k := model.state_place.get(name)) is not None:
            return gathered(lambda course: course.states, lambda course: course.state_slopes, k)
        if (k := model.parameter_place.get(name)) is not None:
            return gathered(lambda course: course.parameters, lambda course: course.parameter_slopes, k)
        return None

    def elsewhere(name: str) -> Sloped:
        if name not in model.shared and name in one.others:
            return worked_out(one.others[name], known)
        return shared(name)

    known = model.look_up(given, elsewhere)
    return known


def _placed(fillings: Sequence[str], known: Callable[[str], Sloped], count: int) -> Sloped:
    """What rows fill in: numbers, and values of parameters."""
    value = np.empty(count)
    slope: Array | None = None
    for filling in dict.fromkeys(fillings):
        rows = np.array([each == filling for each in fillings])
        number = _number(filling)
        found = Sloped(np.array([number])) if number is not None else known(filling)
        value[rows] = np.broadcast_to(found.value, (count,))[rows]
        if found.slope is not None:
            slope = np.zeros((count, found.slope.shape[1])) if slope is None else slope
            slope[rows] = np.broadcast_to(found.slope, slope.shape)[rows]
    return Sloped(value, slope)
