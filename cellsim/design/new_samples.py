"""How the values of a sample that may be taken would scatter about what is predicted, each alone and all together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.observations import spread_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.records import Analyte
    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]

__all__ = ["Scatter", "effects_of", "scatter_of"]


@dataclass(frozen=True, eq=False)
class Scatter:
    """How the values of a new sample scatter about what is predicted.

    Attributes
    ----------
    logged : array of bool, shape (n_values,)
        Which are normal on the logarithmic scale.
    spreads : array, shape (n_draws, n_values)
        Standard deviations of each value alone, on that scale.
    shared : array, shape (n_values, n_effects)
        Standard deviations of effects that are new with every sample and move several values at once, as logarithms of factors.
    """

    logged: NDArray[np.bool_]
    spreads: Array
    shared: Array

    def only(self, which: Sequence[int]) -> Scatter:
        """Of some of the values."""
        chosen = list(which)
        return Scatter(self.logged[chosen], self.spreads[:, chosen], self.shared[chosen])

    def normal(self, predicted: Array) -> tuple[Array, Array]:
        """Means and covariances on the scale on which values are normal.

        Parameters
        ----------
        predicted : array, shape (n_nodes, n_draws, n_values)
            Values without noise, in their own units; above zero where they are log-normal.

        Returns
        -------
        means : array, shape (n_nodes, n_draws, n_values)
        covariances : array, shape (n_nodes, n_draws, n_values, n_values), or (1, 1, ...) where all are alike
        """
        means = predicted.copy()
        means[..., self.logged] = np.log(predicted[..., self.logged])
        # a factor common to the sample moves a value that is normal by so much of itself
        moves = np.where(self.logged, 1.0, predicted)
        alike = not np.ptp(self.spreads, axis=0).any()
        if alike and (self.logged | (self.shared == 0).all(axis=1)).all():
            moves, spreads = np.ones((1, 1, len(self.logged))), self.spreads[:1]
        else:
            spreads = self.spreads
        loading = moves[..., None] * self.shared
        covariances = loading @ np.swapaxes(loading, -1, -2)
        covariances = covariances + (spreads**2)[..., None] * np.eye(len(self.logged))
        return means, covariances


def scatter_of(objective: Objective, analytes: Sequence[Analyte], thetas: Array) -> Scatter:
    """The scatter of a new sample of some analytes.

    A value has the spread that its last scored row has, or that of the observable table where it has none. Effects that rows of
    one sample share by a parameter with a normal prior are new in a new sample, with the spread of that prior.

    Parameters
    ----------
    objective : Objective
    analytes : sequence of Analyte
    thetas : array, shape (n_draws, n_parameters)
        Prior-whitened.

    Returns
    -------
    Scatter
        With nan among the spreads of analytes of which no spread is known.
    """
    case = objective.case
    spreads = np.empty((len(thetas), len(analytes)))
    for k, each in enumerate(analytes):
        rows = [term for term in objective.terms if term.analyte == each.id and term.part != "graded"]
        if rows:
            size = objective.vector_of(thetas, [rows[-1].scale])[:, 0] if rows[-1].scale else 1.0
            spreads[:, k] = rows[-1].sd * size
        else:
            spreads[:, k] = spread_of(case, each, objective.fixed)
    return Scatter(
        np.array([each.distribution.startswith("log") for each in analytes]),
        spreads,
        _shared(objective, [each.id for each in analytes]),
    )


def effects_of(
    objective: Objective, analytes: Sequence[str]
) -> tuple[dict[tuple[str, int], int], list[float]]:
    """Effects that rows of one sample share, and the standard deviation of each.

    An effect is known by the place at which rows of an analyte name its parameter; two analytes have it in common where rows
    of one visit name the same parameter.

    Parameters
    ----------
    objective : Objective
    analytes : sequence of str

    Returns
    -------
    effects : dict of (str, int) to int
        Which effect an analyte has at which of its placeholders.
    sizes : list of float
        By effect.
    """
    priors = {each.id: each for each in objective.case.priors}
    effect_of: dict[str, int] = {}
    places: dict[tuple[str, int], int] = {}
    sizes: list[float] = []
    for row in objective.case.rows:
        if row.analyte not in analytes:
            continue
        for place, name in enumerate(row.parameters):
            prior = priors.get(name)
            # a variant that fixes the parameter knows no such effect
            if prior is None or prior.family != "normal" or name not in objective.names:
                continue
            # the parameter belongs to one visit; the effect is the same at every visit
            effect = places.get((row.analyte, place), effect_of.get(name, len(sizes)))
            effect_of.setdefault(name, effect)
            places[row.analyte, place] = effect
            if effect == len(sizes):
                sizes.append(float(prior.parameters[1]))
    return places, sizes


def _shared(objective: Objective, analytes: Sequence[str]) -> Array:
    """Standard deviations of shared effects by analyte and effect."""
    places, sizes = effects_of(objective, analytes)
    out = np.zeros((len(analytes), len(sizes)))
    for (analyte, _), effect in places.items():
        out[list(analytes).index(analyte), effect] = sizes[effect]
    return out
