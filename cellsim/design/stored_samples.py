"""A new assay of a sample that was drawn already: the same blood and the same day, and noise of the assay alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.design.new_samples import Scatter, effects_of, scatter_of
from cellsim.likelihood.observations import filled, prediction_of
from cellsim.threads import CORES

if TYPE_CHECKING:
    import sympy as sp
    from numpy.typing import NDArray

    from cellsim.case.records import Analyte, Censored, Measurement, Visit
    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]

__all__ = ["StoredSample", "stored_samples"]


@dataclass(frozen=True, eq=False)
class StoredSample:
    """What a new assay of one stored sample would read, under every draw.

    Attributes
    ----------
    predicted : array, shape (n_draws, n_values)
        Values without the noise of the assay, on the day that each draw says the sample was taken, with the effect of this sample in
        that draw; nan where a draw could not be simulated.
    scatter : Scatter
        Of the new assay. An effect of this sample that no row of it tells is still as unknown as that of a new sample.
    """

    predicted: Array
    scatter: Scatter

    def only(self, draws: NDArray[np.bool_]) -> StoredSample:
        """Of some of the draws."""
        return StoredSample(self.predicted[draws], replace(self.scatter, spreads=self.scatter.spreads[draws]))


def stored_samples(
    objective: Objective, visits: Sequence[Visit], analytes: Sequence[Analyte], thetas: Array
) -> dict[str, StoredSample]:
    """What new assays of stored samples would read.

    Parameters
    ----------
    objective : Objective
    visits : sequence of Visit
        At which the samples were drawn, under the treatment that was given.
    analytes : sequence of Analyte
        Each foreseeable.
    thetas : array, shape (n_draws, n_parameters)
        Prior-whitened.

    Returns
    -------
    dict of str to StoredSample
        By id of the visit.
    """
    if not visits:
        return {}
    outputs: dict[sp.Expr, str] = {}
    named: dict[str, list[str]] = {}
    scatters = {}
    for visit in visits:
        formulas, scatters[visit.id] = _read(objective, visit, analytes, thetas)
        named[visit.id] = [outputs.setdefault(each, f"y{len(outputs)}") for each in formulas]
    kernels = objective.kernels_of({name: formula for formula, name in outputs.items()})
    days = np.column_stack([_days(objective, each, thetas) for each in visits])
    order = np.argsort(days, axis=1, kind="stable")
    # the same patient under the same treatment, of whom something else is read
    solution = replace(objective, kernels=kernels).solved(
        thetas, np.take_along_axis(days, order, axis=1), threads=CORES
    )
    seen = np.take_along_axis(solution.outputs, np.argsort(order, axis=1)[:, :, None], axis=1)
    seen[solution.status != 0] = np.nan
    place = {name: k for k, name in enumerate(outputs.values())}
    return {
        visit.id: StoredSample(seen[:, k, [place[name] for name in named[visit.id]]], scatters[visit.id])
        for k, visit in enumerate(visits)
    }


def _days(objective: Objective, visit: Visit, thetas: Array) -> Array:
    """When the sample is read under every draw: before the dose of that day where it was drawn predose."""
    name = f"day_{visit.id}"
    if name in objective.names or name in objective.fixed:
        days = objective.vector_of(thetas, [name])[:, 0]
    else:
        days = np.full(len(thetas), visit.nominal)
    if visit.timing == "predose":
        days = np.maximum(np.nextafter(days, -np.inf), objective.case.start)
    return np.asarray(days)


def _read(
    objective: Objective, visit: Visit, analytes: Sequence[Analyte], thetas: Array
) -> tuple[list[sp.Expr], Scatter]:
    """What predicts each analyte in this very sample, and how a new assay scatters about that."""
    case = objective.case
    every: list[Measurement | Censored] = [*case.rows, *case.censored]
    rows = [row for row in every if row.visit == visit.id]
    own: Mapping[str, tuple[str, ...]] = {row.analyte: row.parameters for row in rows}
    effects, _ = effects_of(objective, [each.id for each in case.analytes])
    told = {
        effects[row.analyte, place]: name
        for row in rows
        for place, name in enumerate(row.parameters)
        if (row.analyte, place) in effects
    }
    scatter = scatter_of(objective, analytes, thetas)
    shared, formulas = scatter.shared.copy(), []
    for k, about in enumerate(analytes):
        fillings = own.get(about.id) or tuple(
            told.get(effects.get((about.id, place), -1), "") for place in range(len(about.placeholders))
        )
        if len(fillings) == len(about.placeholders) and all(fillings):
            formulas.append(filled(about.formula, about.placeholders, fillings, about.observable))
            shared[k] = 0.0
        else:
            formulas.append(prediction_of(about))
    return formulas, replace(scatter, shared=shared)
