"""How a graded finding is read: where its grades end, on the logarithm of what is graded, and how far the reading scatters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.case.records import Grade, PriorRow, problem_at
from cellsim.errors import CaseError, ModelError, Problem, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case

    Array = NDArray[np.float64]

__all__ = ["Grading", "grading_of", "linear_form", "scales_checked"]

Linear = tuple[float, tuple[tuple[str, float], ...]]


@dataclass(frozen=True)
class Grading:
    """Cut-points and scatter of one ordinal scale: grades 0, 1, ... up to the number of cut-points.

    Attributes
    ----------
    scale : (float, tuple of (str, float))
        The logistic spread of a reading: a number and the parameters added to it, each with its factor.
    cuts : tuple of (float, tuple of (str, float))
        Each cut-point, from the lowest on.
    """

    scale: Linear
    cuts: tuple[Linear, ...]

    def spread(self, values: Mapping[str, Any]) -> Any:
        """The logistic spread under given parameters, a number or an array as these are."""
        return _value(self.scale, values)

    def levels(self, values: Mapping[str, Any]) -> Array:
        """The cut-points under given parameters, with an open end on either side.

        Parameters
        ----------
        values : mapping of str to float, or to array of shape (n_sets,)

        Returns
        -------
        array, shape (n_cuts + 2,) or (n_sets, n_cuts + 2)

        Examples
        --------
        >>> two = grading_of("s", ["c - gap", "c"])
        >>> two.levels({"c": 1.0, "gap": 0.25, "s": 0.3}).tolist()
        [-inf, 0.75, 1.0, inf]
        """
        cuts = [_value(each, values) for each in self.cuts]
        shape = np.shape(sum(cuts))
        ends = [-np.inf, *cuts, np.inf]
        return np.stack([np.broadcast_to(each, shape) for each in ends], axis=-1) if shape else np.array(ends)

    def slopes(self, cut: int) -> tuple[tuple[str, float], ...]:
        """How the cut-point under a grade moves with the parameters; nothing where the scale is open."""
        return self.cuts[cut - 1][1] if 0 < cut <= len(self.cuts) else ()


def grading_of(scale: str, cuts: Sequence[str]) -> Grading:
    """What a case's table says about a scale.

    Parameters
    ----------
    scale : str
        Formula of the logistic spread.
    cuts : sequence of str
        Formulas of the cut-points.

    Raises
    ------
    CaseError
        For formulas that are no sums of parameters.
    """
    return Grading(linear_form(scale), tuple(map(linear_form, cuts)))


def linear_form(text: str) -> Linear:
    """A formula as a number and the parameters added to it, each with its factor.

    Raises
    ------
    CaseError
        If it is none.

    Examples
    --------
    >>> linear_form("c - 2*gap + 0.5")
    (0.5, (('c', 1.0), ('gap', -2.0)))
    """
    import sympy as sp

    from cellsim.model.formulas import parse_formula

    parsed = parse_formula(text, where=text)
    names = sorted(parsed.free_symbols, key=str)
    factors = [parsed.diff(name) for name in names]
    rest = parsed.xreplace(dict.fromkeys(names, sp.Integer(0)))
    if not (rest.is_number and all(each.is_number for each in factors)):
        raise CaseError(
            f"{text!r} is no sum of parameters, each with a number before it, like 'cut_2 - gap_1'."
        )
    return float(rest), tuple((str(name), float(each)) for name, each in zip(names, factors, strict=True))


def _value(form: Linear, values: Mapping[str, Any]) -> Any:
    return form[0] + sum(factor * values[name] for name, factor in form[1])


# ---- what can be wrong with it ------------------------------------------------------------------------


def scales_checked(case: Case) -> tuple[set[str], list[Problem]]:
    """The parameters that scales of grades are made of, and what is wrong with these scales."""
    read: set[str] = set()
    found: list[Problem] = []
    known = {each.id: each for each in case.priors}
    first: dict[str, Grade] = {}
    for row in case.grades:
        if row.scored and not (row.scale and row.cuts):
            lost = " and ".join(
                each for each, told in (("scale", row.scale), ("cutPoints", row.cuts)) if not told
            )
            what = f"the grade of {row.observable} is scored, and nothing says its {lost}."
            remedy = "Name the parameters in the columns scale and cutPoints of extended.tsv, or set scored to false."
            found.append(problem_at(row, what, remedy, column="scale" if not row.scale else "cutPoints"))
            continue
        if not row.cuts:
            continue
        before = first.setdefault(row.observable, row)
        if (row.scale, row.cuts) != (before.scale, before.cuts):
            what = f"{row.observable} is graded on another scale than in row {before.row}."
            remedy = "One finding has one scale: scale and cutPoints are the same in all its rows."
            found.append(problem_at(row, what, remedy, column="cutPoints"))
        if row.upper > len(row.cuts):
            what = f"grade {row.upper} of {row.observable}, but {len(row.cuts)} cut-points make grades 0 to {len(row.cuts)}."
            found.append(problem_at(row, what, "Correct the grade, or add a cut-point.", column="upper"))
        if before is row:
            names, problems = _scale_of(row, known)
            read |= names
            found += problems
    return read, found


def _scale_of(row: Grade, known: Mapping[str, PriorRow]) -> tuple[set[str], list[Problem]]:
    """The parameters of one scale, and what is wrong with it."""
    try:
        grading = grading_of(row.scale, row.cuts)
    except (CaseError, ModelError) as error:
        return set(), [problem_at(row, each.what, each.remedy, column="cutPoints") for each in error.problems]
    names = {name for _, terms in (grading.scale, *grading.cuts) for name, _ in terms}
    if lost := sorted(names - set(known)):
        return names, [
            problem_at(
                row,
                f"the scale of {row.observable} is made of {name!r}, which is in no table of parameters.",
                did_you_mean(name, known) + " Add its prior or its value to parameters_extended.tsv.",
                column="cutPoints",
            )
            for name in lost
        ]
    values = {name: known[name].nominal for name in names}
    levels = grading.levels(values)[1:-1].tolist()
    found = []
    if any(later <= earlier for earlier, later in pairwise(levels)):
        what = f"the cut-points of {row.observable} do not rise: {', '.join(f'{each:g}' for each in levels)}."
        remedy = "They stand from the lowest to the highest, at nominal values."
        found.append(problem_at(row, what, remedy, column="cutPoints"))
    if not grading.spread(values) > 0:
        what = f"the scale of {row.observable} is {grading.spread(values):g}; a spread is above zero."
        found.append(problem_at(row, what, "Correct its nominal value.", column="scale"))
    return names, found
