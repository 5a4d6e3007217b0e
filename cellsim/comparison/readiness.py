"""The complete audit of a case: what any later verb would refuse, said before anything is computed.

Tables and model judge each other in :meth:`cellsim.Case.check`. Here the objective of every variant is built and asked
once, as calibrations, comparisons and chains will do first, and every alternative reading of the case is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from cellsim.case.alternatives import ALTERNATIVES
from cellsim.case.case import Case
from cellsim.comparison.altered_case import altered
from cellsim.errors import CellsimError, Problem
from cellsim.estimation.opening import load_case
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.priors import Prior
from cellsim.petab.origins import with_origins

if TYPE_CHECKING:
    from cellsim.likelihood.objective import Objective
    from cellsim.model.model import Model

__all__ = ["check"]

# draws of the prior that are tried where its medians cannot be scored
_TRIED = 8
# prior sd from its middle at which a value held is taken for a slip
_FAR = 4.0


def check(
    source: str | PathLike[str] | Mapping[str, str] | Case, model: Model | None = None
) -> tuple[Problem, ...]:
    """Everything wrong with a case and everything doubtful about it, as far as any later verb would say so.

    What has no error here can be calibrated, swept, identified, profiled, sampled, compared and reported, as far as
    there is anything estimated to profile and sample.

    Parameters
    ----------
    source : str, path, mapping or Case
        What :func:`cellsim.load_case` takes; a case that cannot be read is told, not raised.
    model : Model, optional
        Judge against this model instead of the one the case names.

    Returns
    -------
    tuple of Problem
        Errors first; each with file and row where it has any.

    Examples
    --------
    >>> import cellsim as cs
    >>> {problem.severity for problem in cs.check("sjogren_rfib")}
    {'doubt'}
    """
    try:
        case = load_case(source, model=model)
    except CellsimError as error:
        return error.problems
    if not isinstance(case, Case):
        return case.check()
    found = list(case.check(model))
    if not any(each.severity == "error" for each in found):
        for variant in [each.id for each in case.variants] or [""]:
            found += _of_variant(case, model, variant)
        found += _alternatives(case)
        found += _held(case)
    told = dict.fromkeys(with_origins(found, case.files))
    return tuple(sorted(told, key=lambda each: each.severity != "error"))


def _of_variant(case: Case, model: Model | None, variant: str) -> Iterator[Problem]:
    """What the objective of a variant says when it is built and asked for the first time."""
    about = f"under {variant}: " if variant else ""
    try:
        objective = objective_of(case, model, variant=variant or None)
        # chains free what calibrations hold
        objective_of(case, model, variant=variant or None, hierarchy=True)
    except CellsimError as error:
        yield from error.problems
        return
    if not objective.names:
        where = next((each for each in case.variants if each.id == variant), None)
        yield Problem(
            what=f"{about}nothing is estimated; profile and sample will refuse.",
            remedy="Give a parameter a prior and estimate true, unless that is meant.",
            file=where.file if where else next((each.file for each in case.priors), ""),
            row=where.row if where else None,
            column="" if where else "estimate",
            severity="doubt",
        )
    for theta, words in _first_points(objective):
        yield from _at(objective, theta, words, about)


def _held(case: Case) -> Iterator[Problem]:
    """Values that a variant holds although the parameter's own prior all but excludes them; nothing at all may be meant."""
    for variant in case.variants:
        for name, value in variant.fixed:
            row = case.prior(name)
            if not (row.family and value):
                continue
            prior = Prior(row.family, row.parameters, row.lower, row.upper)
            if abs(away := prior.whitened(value)) > _FAR:
                what = (
                    f"{variant.id} holds {name} at {value:g}, which its prior all but excludes "
                    f"({'outside of it' if np.isinf(away) else f'{away:+.1f} sd'})."
                )
                yield Problem(
                    what=what,
                    remedy="Is a decimal point wrong?",
                    file=variant.file,
                    row=variant.row,
                    column=name,
                    severity="doubt",
                )


def _first_points(objective: Objective) -> Iterator[tuple[np.ndarray, str]]:
    medians = np.zeros(len(objective.names))
    yield medians, "at the prior medians"
    try:
        nominal = objective.theta({})
    except CellsimError:
        # a nominal value outside of its prior is no place to ask
        return
    if not np.allclose(nominal, medians):
        yield nominal, "at the nominal values"


def _at(objective: Objective, theta: np.ndarray, words: str, about: str) -> Iterator[Problem]:
    """Whether a point can be scored and differentiated; where not, whether any start could."""
    found = objective.evaluate(theta, gradient=True)
    why, lost = found.failure, found.unscorable
    if not why and found.jacobian is not None and not np.all(np.isfinite(found.jacobian)):
        lost = int(np.argmin(np.isfinite(found.jacobian).all(axis=1)))
        term = objective.terms[lost]
        why = f"{term.analyte}, day {term.day:g}, has no finite slope."
    if not why:
        return
    others = np.random.default_rng(0).standard_normal((_TRIED * min(1, theta.size), theta.size))
    fine = sum(not objective.evaluate(each, gradient=True).failure for each in others)
    problem = Problem(
        what=f"{about}{words} {why}",
        remedy=f"{fine} of {len(others)} draws of the prior can be scored." if len(others) else "",
        severity="doubt" if fine else "error",
    )
    yield (
        problem
        if lost < 0
        else replace(problem, file=objective.terms[lost].file, row=objective.terms[lost].row)
    )


def _alternatives(case: Case) -> Iterator[Problem]:
    """Every other reading of the case must be one."""
    for each in case.alternatives:
        if each.parameter:
            continue
        try:
            altered(case, each)
        except CellsimError as error:
            for problem in error.problems:
                yield Problem(
                    what=f"alternative {each.id!r} leaves a case that cannot be read: {problem}",
                    remedy="Correct its days or limits.",
                    file=ALTERNATIVES,
                )
