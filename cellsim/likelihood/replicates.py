"""Replicated rows: every scored row under given parameters, its likelihood, and a new measurement with fresh noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.observations import Term
from cellsim.threads import CORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Scored", "replicate", "score"]

# the patient is simulated this much more exactly than it will be fitted
_CLOSER = 0.1


@dataclass(frozen=True, eq=False)
class Scored:
    """Every row under every draw.

    Attributes
    ----------
    log_likelihood, predicted : array, shape (..., n_terms)
        nan where a draw could not be simulated.
    replicated : array, shape (..., n_terms)
        A new measurement with fresh noise: a value in the row's unit, or a grade.
    """

    log_likelihood: Array
    predicted: Array
    replicated: Array


def score(objective: Objective, thetas: Array, *, rtol: float, seed: int) -> Scored:
    """Score every row under every draw, on all cores.

    Parameters
    ----------
    objective : Objective
    thetas : array, shape (..., n_parameters)
        Prior-whitened.
    rtol : float
        Of the simulations.
    seed : int
        Of the noise of the replicates.

    Returns
    -------
    Scored
    """
    flat = thetas.reshape(-1, thetas.shape[-1])
    found = objective.evaluate_sets(flat, rtol=rtol, threads=CORES)
    shape = (*thetas.shape[:-1], len(objective.terms))
    replicated = _replicate(objective, flat, found.predicted, np.random.default_rng(seed))
    return Scored(
        found.by_row.reshape(shape),
        found.predicted.reshape(shape),
        replicated.reshape(shape),
    )


def _replicate(objective: Objective, thetas: Array, predicted: Array, random: np.random.Generator) -> Array:
    """New measurements, shape of `predicted`: the noise of every row, and the reading of a grade."""
    out = np.empty(predicted.shape)
    values = objective.asked_by(objective.rows, thetas)
    for k, term in enumerate(objective.terms):
        here = predicted[:, k]
        if term.grading is not None:
            with np.errstate(divide="ignore"):
                level = np.log(here)
            noise = random.logistic(size=here.size)
            read = level + term.grading.spread(values) * noise
            out[:, k] = np.sum(read[:, None] > term.grading.levels(values)[..., 1:-1], axis=1)
            continue
        sizes = values[term.scale] if term.scale else 1.0
        noise = (
            term.sd
            * sizes
            * (
                random.standard_normal(here.size)
                if np.isinf(objective.degrees)
                else random.standard_t(objective.degrees, here.size)
            )
        )
        out[:, k] = here * np.exp(noise) if term.logged else here + noise
    return out


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
    >>> from cellsim.likelihood.formulation import objective_of
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
