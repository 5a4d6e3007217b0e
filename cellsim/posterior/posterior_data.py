"""Draws beside the data: every scored row under every draw, as the groups ArviZ knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.likelihood.objective import Objective
from cellsim.likelihood.scoring import cuts_of

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Scored", "groups_of", "score"]

PRIOR_DRAWS = 1000


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
    found = objective.evaluate_all(flat, rtol=rtol)
    shape = (*thetas.shape[:-1], len(objective.terms))
    predicted = np.array([each.predicted for each in found]).reshape(len(flat), -1)
    replicated = _replicate(objective, flat, predicted, np.random.default_rng(seed))
    likelihood = np.array([each.log_likelihood for each in found])
    return Scored(likelihood.reshape(shape), predicted.reshape(shape), replicated.reshape(shape))


def _replicate(objective: Objective, thetas: Array, predicted: Array, random: np.random.Generator) -> Array:
    """New measurements, shape of `predicted`: the noise of every row, and the reading of a grade."""
    out = np.empty(predicted.shape)
    for k, term in enumerate(objective.terms):
        here = predicted[:, k]
        if term.part == "graded":
            with np.errstate(divide="ignore"):
                level = np.log(here)
            noise = random.logistic(size=here.size)
            for i, theta in enumerate(thetas):
                values = objective.values(theta)
                cuts = cuts_of(values)[1:-1]
                out[i, k] = np.sum(level[i] + values["purpura_scale"] * noise[i] > cuts)
            continue
        noise = term.sd * (
            random.standard_normal(here.size)
            if np.isinf(objective.degrees)
            else random.standard_t(objective.degrees, here.size)
        )
        out[:, k] = here * np.exp(noise) if term.logged else here + noise
    return out


def groups_of(
    objective: Objective, thetas: Array, statistics: Mapping[str, NDArray[Any]], scored: Scored, *, seed: int
) -> dict[str, xr.Dataset]:
    """Draws and data as ArviZ's groups.

    Parameters
    ----------
    objective : Objective
    thetas : array, shape (n_chains, n_draws, n_parameters)
    statistics : mapping of str to array, shape (n_chains, n_draws)
    scored : Scored
    seed : int
        Of the draws of the prior.

    Returns
    -------
    dict of str to Dataset
        ``posterior`` and ``prior`` (a variable for every parameter, in its own unit), ``unconstrained_posterior``
        (``theta``, prior-whitened), ``sample_stats``, and ``y`` over the dimension ``row`` in ``log_likelihood``,
        ``posterior_predictive`` and ``observed_data`` (the limit of a censored row, the lowest grade allowed).
    """
    import xarray as xr

    draws = {"chain": np.arange(thetas.shape[0]), "draw": np.arange(thetas.shape[1])}
    rows = {
        "row": [f"{term.file} {term.row}: {term.analyte} {term.visit}".rstrip() for term in objective.terms]
    }
    priors = np.random.default_rng([seed, 1]).standard_normal((1, PRIOR_DRAWS, len(objective.names)))

    def in_units(where: Array) -> xr.Dataset:
        values = objective._coordinates.values(where)
        axes = {"chain": np.arange(where.shape[0]), "draw": np.arange(where.shape[1])}
        made = xr.Dataset(
            {name: (("chain", "draw"), values[..., j]) for j, name in enumerate(objective.names)}, coords=axes
        )
        for name in objective.names:
            made[name].attrs["unit"] = objective.case.prior(name).unit
        return made

    def by_row(what: Array) -> xr.Dataset:
        return xr.Dataset({"y": (("chain", "draw", "row"), what)}, coords={**draws, **rows})

    return {
        "posterior": in_units(thetas),
        "sample_stats": xr.Dataset(
            {name: (("chain", "draw"), np.asarray(each)) for name, each in statistics.items()}, coords=draws
        ),
        "log_likelihood": by_row(scored.log_likelihood),
        "posterior_predictive": by_row(scored.replicated),
        "prior": in_units(priors),
        "observed_data": xr.Dataset(
            {
                "y": (("row",), [term.measured for term in objective.terms]),
                "upper": (("row",), [term.upper for term in objective.terms]),
                "part": (("row",), [term.part for term in objective.terms]),
                "unit": (("row",), [term.unit for term in objective.terms]),
            },
            coords=rows,
        ),
        "unconstrained_posterior": xr.Dataset(
            {"theta": (("chain", "draw", "parameter"), thetas)},
            coords={**draws, "parameter": list(objective.names)},
        ),
    }
