"""What a case says of values of its parameters, by the objective of its default variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError, Problem, SimulationError, did_you_mean, is_finite_number
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.likelihood.objective import Evaluation

    Array = NDArray[np.float64]

__all__ = ["chi2", "log_likelihood", "log_priors", "simulate"]

_RTOL = 1e-8


def log_likelihood(case: Case, values: Mapping[str, float] | None = None) -> float:
    """See :meth:`cellsim.scores.Scores.log_likelihood`."""
    return float(_evaluated(*_asked(case, values)).log_likelihood.sum())


def chi2(case: Case, values: Mapping[str, float] | None = None) -> float:
    """See :meth:`cellsim.scores.Scores.chi2`."""
    objective, theta = _asked(case, values)
    plain = objective.rows.plain
    return float((_evaluated(objective, theta).residuals[: len(plain)][plain] ** 2).sum())


def log_priors(case: Case, values: Mapping[str, float] | None = None) -> dict[str, float]:
    """See :meth:`cellsim.scores.Scores.log_priors`."""
    objective, _ = _asked(case, values)
    known = {**case.nominal, **(values or {})}
    named = zip(objective.names, objective.priors, strict=True)
    return {name: float(prior.log_density(known[name])) for name, prior in named}


def simulate(case: Case, values: Mapping[str, float] | None = None) -> pd.DataFrame:
    """See :meth:`cellsim.scores.Scores.simulate`."""
    import pandas as pd

    objective, theta = _asked(case, values)
    found, spreads = _evaluated(objective, theta), objective.rows.spreads(objective.values(theta))
    rows = [
        (case.analyte(term.analyte).observable, term.day, term.measured, predicted, spread)
        for term, predicted, spread in zip(
            objective.terms, found.predicted.tolist(), spreads.tolist(), strict=True
        )
        if term.part == "standard"
    ]
    return pd.DataFrame(rows, columns=["observableId", "time", "measurement", "simulation", "spread"])


def _asked(case: Case, values: Mapping[str, float] | None) -> tuple[Objective, Array]:
    """The objective, and where it is asked; a value at an end of its prior lies infinitely far out."""
    given, nominal = dict(values or {}), case.nominal
    problems = [
        Problem(what=f"no parameter {name!r} in {case.name}.", remedy=did_you_mean(name, nominal))
        for name in given
        if name not in nominal
    ]
    problems += [
        Problem(what=f"{name} = {value!r} is not a finite number.")
        for name, value in given.items()
        if not is_finite_number(value)
    ]
    if problems:
        raise CalibrationError(problems)
    objective = objective_of(case, rtol=_RTOL)
    if held := {name: float(value) for name, value in given.items() if name not in objective.names}:
        objective = objective_of(case.fixed(**held), rtol=_RTOL)
    theta = np.empty(len(objective.names))
    for k, (name, prior) in enumerate(zip(objective.names, objective.priors, strict=True)):
        value = float(given.get(name, nominal[name]))
        if not np.isfinite(prior.log_density(value)) and not _at_an_end(
            prior.whitened(value), float(value), prior
        ):
            problems.append(Problem(what=f"{name} = {value:g} lies outside its prior's support."))
        theta[k] = prior.whitened(value)
    if problems:
        raise CalibrationError(problems)
    return objective, theta


def _at_an_end(theta: float, value: float, prior: object) -> bool:
    return bool(np.isinf(theta)) and value in (
        getattr(prior, "lowest", np.nan),
        getattr(prior, "upper", np.nan),
    )


def _evaluated(objective: Objective, theta: Array) -> Evaluation:
    with np.errstate(invalid="ignore"):
        found = objective.evaluate(theta)
    if found.failure:
        raise SimulationError(found.failure)
    return found
