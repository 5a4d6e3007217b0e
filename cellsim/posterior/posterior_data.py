"""Draws beside the data: every scored row under every draw, as the groups ArviZ knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import Scored

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["groups_of"]

PRIOR_DRAWS = 1000
# of draws, and what ArviZ makes of the two when it puts all draws in one row or names what it summarises
_DIMENSIONS = frozenset({"chain", "draw", "sample", "variable", "metric", "summary", "column"})


def variable_of(name: str) -> str:
    """What a parameter is called among ArviZ's variables: its name, unless that is a dimension of theirs.

    Examples
    --------
    >>> variable_of("k"), variable_of("chain")
    ('k', 'chain (parameter)')
    """
    # a space keeps it apart from every name a model can have
    return f"{name} (parameter)" if name in _DIMENSIONS else name


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
        ``posterior`` and ``prior`` (a variable for every parameter, see :func:`variable_of`, in its own unit),
        ``unconstrained_posterior`` (``theta``, prior-whitened), ``sample_stats``, and ``y`` over the dimension ``row`` in ``log_likelihood``,
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
        return xr.Dataset(
            {
                variable_of(name): (
                    ("chain", "draw"),
                    values[..., j],
                    {"unit": objective.case.prior(name).unit, "parameter": name},
                )
                for j, name in enumerate(objective.names)
            },
            coords=axes,
        )

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
