"""Patients whose truth is known: what the laboratory might have printed, had given parameters been true."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.observations import Term
from cellsim.posterior.posterior_data import score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["replicate"]

# the patient is simulated this much more exactly than it will be fitted
_CLOSER = 0.1


def replicate(objective: Objective, theta: Array, *, seed: int) -> Objective:
    """A synthetic patient: the same visits, assays and schedule, with every scored row drawn anew.

    Rows are drawn as they are scored, so that `theta` and the rows are one draw from prior and likelihood when `theta`
    is drawn from the prior: N(0, 1) in every coordinate.

    * A value: from its normal or log-normal noise.
    * A row printed as beyond the limit of its assay: the value is drawn; beyond the same limit it stays censored,
      otherwise it becomes a plain value. Rows printed as values have no limit.
    * A grade: drawn from the ordered logit. A row that allowed several grades cannot tell these apart and can tell all
      others: what falls among them is read as the whole range, anything else as itself.

    Parameters
    ----------
    objective : Objective
    theta : array, shape (n_parameters,)
        The truth, prior-whitened; ``objective.theta({...})`` makes it from values.
    seed : int
        Of the noise.

    Returns
    -------
    Objective
        A sibling with other rows in `terms`; :func:`cellsim.posterior.fitting.optima` fits it. Its `case` is still the one
        the rows were modelled on.

    Raises
    ------
    CalibrationError
        If the truth cannot be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.likelihood.objective import objective_of
    >>> objective = objective_of(cs.load_case("sjogren_rfib"))
    >>> patient = replicate(objective, np.zeros(len(objective.names)), seed=1)
    >>> len(patient.terms) == len(objective.terms)
    True
    """
    theta = np.asarray(theta, float)
    drawn = score(objective, theta[None], rtol=objective.rtol * _CLOSER, seed=seed)
    if not np.isfinite(drawn.predicted).all():
        why = objective.evaluate(theta).failure or "a prediction is not finite"
        raise CalibrationError(f"no patient can be made of these parameters: {why}")
    terms = zip(objective.terms, drawn.replicated[0].tolist(), strict=True)
    return replace(objective, terms=tuple(_read(term, value) for term, value in terms))


def _read(term: Term, value: float) -> Term:
    """The row as the laboratory would print this value."""
    if term.part == "graded":
        if term.measured <= value <= term.upper:
            return term
        return replace(term, measured=value, upper=value)
    if term.part == "censored":
        if (value > term.measured) if term.above else (value < term.measured):
            return term
        return replace(term, part="standard", measured=value, above=False)
    return replace(term, measured=value)
