"""The objective of a case, a model and a variant: which parameters are free, what they are of, what every row is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError, CaseError, Problem
from cellsim.likelihood.objective import Objective, kernels_for
from cellsim.likelihood.observations import Term, terms_of
from cellsim.likelihood.priors import Prior

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.records import PriorRow
    from cellsim.model.model import Model

__all__ = ["objective_of"]


def objective_of(
    case: Case,
    model: Model | None = None,
    *,
    variant: str | None = None,
    rtol: float = 1e-6,
    hierarchy: bool = False,
    degrees: float = np.inf,
) -> Objective:
    """Bring a case, a model and a variant together.

    Parameters
    ----------
    case : Case
    model : Model, optional
        The case's own by default.
    variant : str, optional
        A row of the model space; the default one otherwise.
    rtol : float
        Relative tolerance of the simulations; the absolute one is a thousandth of it.
    hierarchy : bool
        Whether parameters with a prior that the case does not let a fit estimate (spreads of a hierarchy) are
        free as well; they stand last.
    degrees : float
        Degrees of freedom of the noise: Student's t instead of normal noise when finite.

    Returns
    -------
    Objective

    Raises
    ------
    CaseError
        If the case does not fit the model.
    CalibrationError
        For measurement models that are not supported, all at once, for degrees not above zero, and for a variant of a
        case that has none.
    ModelError
        If `model` is none.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> objective = objective_of(load_case("sjogren_rfib"))
    >>> sum(term.part == "standard" for term in objective.terms)
    81
    """
    from cellsim.dosing.delivery import deliver
    from cellsim.model.model import load_model, model_given
    from cellsim.solver.integration import Doses

    if variant and not case.variants:
        raise CalibrationError(f"{case.name} has no variants, so none can be chosen ({variant}).")
    if model is None:
        model = load_model(case.model)
    elif wrong := [problem for problem in case.check(model_given(model)) if problem.severity == "error"]:
        raise CaseError(wrong)
    chosen = case.variant(variant or "") if case.variants else None
    own = {each.name: each.value for each in model.parameters}
    settled = {row.id: row.nominal for row in case.priors if not row.estimate}
    # the model that the result hands on is the one that was looked at
    if held := {
        name: value
        for name, value in settled.items()
        if name in own and not math.isclose(value, own[name], rel_tol=1e-6)
    }:
        model = model.with_values(held)
    fixed = {**own, **settled, **dict(chosen.fixed if chosen else ())}
    open_rows = [row for row in case.priors if row.id not in dict(chosen.fixed if chosen else ())]
    free = [row for row in open_rows if row.estimate]
    if hierarchy:
        free += [row for row in open_rows if row.family and not row.estimate]
    for row in free:
        fixed.pop(row.id, None)
    outputs, terms, occasions = terms_of(case, fixed)
    priors = _priors_of(free)
    _refuse_spreads(case, dict(zip((row.id for row in free), priors, strict=True)), terms)
    delivery = deliver(case.timeline, model)
    return Objective(
        case=case,
        model=model,
        variant=chosen.id if chosen else "",
        names=tuple(row.id for row in free),
        priors=priors,
        fixed=fixed,
        terms=terms,
        occasions=occasions,
        kernels=kernels_for(model, outputs),
        doses=Doses.of(delivery),
        rtol=rtol,
        degrees=degrees,
    )


def _refuse_spreads(case: Case, priors: Mapping[str, Prior], terms: Sequence[Term]) -> None:
    """Refuse estimated spreads that are none: names without a prior, and priors that allow zero and less."""
    problems = []
    for name in dict.fromkeys(term.scale for term in terms if term.scale):
        about = next(
            each for each in case.analytes if any(t.scale == name and t.analyte == each.id for t in terms)
        )
        prior = priors.get(name)
        if prior is None:
            what = (
                f"the noise of {about.observable} is {about.noise!r}, and {name} is no parameter of the case."
            )
            remedy = "Its spread is a positive number, or a number times one parameter of parameters.tsv."
            problems.append(
                Problem(what=what, remedy=remedy, file=about.file, row=about.row, column="noiseFormula")
            )
        elif not prior.lowest >= 0:
            row = case.prior(name)
            what = f"{name} is the spread of {about.observable}, and its {prior.family} prior allows values below zero."
            remedy = "Give it a log-normal prior, or a lowerBound of 0."
            problems.append(
                Problem(what=what, remedy=remedy, file=row.file, row=row.row, column="priorDistribution")
            )
    if problems:
        raise CalibrationError(problems)


def _priors_of(rows: Sequence[PriorRow]) -> tuple[Prior, ...]:
    """The prior of each row; all that cannot be one are told at once, each in its place."""
    made, problems = [], []
    for row in rows:
        numbers = row.parameters or (row.lower, row.upper)
        try:
            made.append(Prior(row.family or "uniform", numbers, row.lower, row.upper))
        except CaseError as error:
            problems += [
                replace(
                    problem,
                    what=f"{row.id}: {problem.what}",
                    file=row.file,
                    row=row.row,
                    column="priorParameters",
                )
                for problem in error.problems
            ]
    if problems:
        raise CaseError(problems)
    return tuple(made)
