"""What predictions make of rows: the density of each, its residual r with r^2 = 2 (l_max - l), and how r answers.

All rows at once, as arrays: they are scored thousands of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.likelihood.noise import censored, gaussian, graded, student
from cellsim.likelihood.observations import Term

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# of a prediction that is zero but for rounding, as a share of the limit it is held against
_ROUNDING = 1e-6

__all__ = ["Rows", "Scores", "cuts_of", "score_rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Terms as arrays, shape (n,): see :class:`cellsim.likelihood.observations.Term`.

    Attributes
    ----------
    output, occasion : array of int
    measured, upper, sd : array
    logged, above : array of bool
    plain, short, graded : array of bool
        Which are values, censored rows and grades.
    """

    output: NDArray[np.intp]
    occasion: NDArray[np.intp]
    measured: Array
    upper: Array
    sd: Array
    logged: NDArray[np.bool_]
    above: NDArray[np.bool_]
    plain: NDArray[np.bool_]
    short: NDArray[np.bool_]
    graded: NDArray[np.bool_]

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
            logged=column("logged", bool),
            above=column("above", bool),
            plain=part("standard"),
            short=part("censored"),
            graded=part("graded"),
        )

    def taken(self, which: NDArray[np.integer]) -> Rows:
        """Some of them, or some several times."""
        return Rows(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

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
        prediction: the cut-points of grades.
    """

    log_likelihood: Array
    residual: Array
    slope: Array
    by_name: list[tuple[int, str, float]]


def score_rows(rows: Rows, predicted: Array, values: Mapping[str, float], degrees: float) -> Scores:
    """Score every row.

    Parameters
    ----------
    rows : Rows
    predicted : array, shape (n,)
        In the unit of each row; none may be unscorable.
    values : mapping of str to float
        Every parameter; only those of grades are read, and only if there are grades.
    degrees : float
        Degrees of freedom of the noise of values and censored rows.

    Returns
    -------
    Scores

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.objective import objective_of
    >>> objective = objective_of(load_case("sjogren_rfib"))
    >>> values = Rows.of(objective.terms[:2])
    >>> score_rows(values, values.measured, {}, np.inf).residual.tolist()
    [0.0, 0.0]
    """
    log_likelihood, residual, turn = (np.empty(len(predicted)) for _ in range(3))
    by_name: list[tuple[int, str, float]] = []
    plain, short, grade = rows.plain, rows.short, rows.graded
    nothing = rows.settled(predicted)
    predicted = np.where(nothing, 0.0, predicted)
    given = rows.measured[plain], predicted[plain], rows.sd[plain]
    log_likelihood[plain], residual[plain], turn[plain] = (
        gaussian(*given, logged=rows.logged[plain])
        if np.isinf(degrees)
        else student(*given, degrees=degrees, logged=rows.logged[plain])
    )
    if short.any():
        log_likelihood[short], residual[short], turn[short] = censored(
            rows.measured[short],
            predicted[short],
            rows.sd[short],
            above=rows.above[short],
            logged=rows.logged[short],
            degrees=degrees,
        )
    if grade.any():
        cuts = cuts_of(values)
        low, high = rows.measured[grade].astype(int), rows.upper[grade].astype(int)
        with np.errstate(divide="ignore"):
            level = np.log(predicted[grade])
        scored = graded(level, cuts[low], cuts[high + 1], values["purpura_scale"])
        log_likelihood[grade], residual[grade], turn[grade] = scored[:3]
        for row, below, above, *weights in zip(
            np.flatnonzero(grade), low, high + 1, *scored[3:], strict=True
        ):
            for cut, weight in zip((below, above), weights, strict=True):
                by_name += [(int(row), name, sign * weight) for name, sign in _CUT_SLOPES.get(int(cut), ())]
    # noise of a logarithm, and grades, answer to the logarithm of the prediction
    inner = np.ones(len(predicted))
    np.divide(1.0, predicted, out=inner, where=rows.logged & ~nothing)
    # what is certain stays certain for a little more
    turn[nothing] = 0.0
    return Scores(log_likelihood, residual, turn * inner, by_name)


def cuts_of(values: Mapping[str, float]) -> Array:
    """Cut-points of the grades 0 to 3 on the log lesion level, with the open ends."""
    third = values["purpura_cut_3"]
    second = third - values["purpura_gap_2"]
    return np.array([-np.inf, second - values["purpura_gap_1"], second, third, np.inf])


# how the cut-points move with the parameters they are made of
_CUT_SLOPES: dict[int, tuple[tuple[str, float], ...]] = {
    1: (("purpura_cut_3", 1.0), ("purpura_gap_2", -1.0), ("purpura_gap_1", -1.0)),
    2: (("purpura_cut_3", 1.0), ("purpura_gap_2", -1.0)),
    3: (("purpura_cut_3", 1.0),),
}
