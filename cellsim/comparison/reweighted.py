"""A posterior known by weighted draws of another one: what it tells, and whether its weights can be trusted.

How draws are weighted is in :mod:`cellsim.comparison.reweighting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.approximation import LARGEST_SHAPE, Approximation
from cellsim.posterior.collapsed_proposal import systematic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.likelihood.objective import Objective

    Array = NDArray[np.float64]

__all__ = ["FINITE", "RTOL", "Reweighted"]

FINITE = 0.5
"""Pareto k up to which weights have a variance, and the error that they tell means something."""

RTOL = 1e-3
"""Relative tolerance of the simulations, as in the sampler."""

# draws that are read on all days again, where they were moved: the chance of a day is then known to some hundredths
_READ = 128


@dataclass(frozen=True, eq=False)
class Reweighted:
    """A posterior known by weighted draws.

    Attributes
    ----------
    objective : Objective
        Whose posterior.
    thetas : array, shape (n, n_parameters)
        Prior-whitened; unknown sampling days play no part.
    log_weights : array, shape (n,)
        Smoothed, summing to one.
    log_evidence, error : float
        And its standard error beside that of the posterior the draws are of.
    pareto_k : float
        Shape of the weights, trusted below 0.7.
    how : str
        ``"draws"`` as they stand, ``"moved draws"``, ``"fresh draws"`` of this very posterior, or ``"quadrature"``.
    kind : str
        Of the approximation.
    few : bool
        Whether weights have left so few draws that their k means nothing.
    known : tuple of str
        What is doubted of the posterior they are draws of.
    days : mapping of int to array, shape (n, n_nodes)
        Of each unknown day, by its column: ln (weight times likelihood) of its nodes, where known.
    """

    objective: Objective
    thetas: Array
    log_weights: Array
    log_evidence: float
    error: float
    pareto_k: float
    how: str
    kind: str
    few: bool = False
    known: tuple[str, ...] = ()
    days: Mapping[int, Array] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """The case, altered or not."""
        return self.objective.case

    @property
    def variant(self) -> str:
        """The variant's id."""
        return self.objective.variant

    @property
    def effective(self) -> float:
        """Independent draws these are worth."""
        return float(1 / np.exp(2 * self.log_weights).sum())

    @property
    def trusted(self) -> bool:
        """Whether the weights can be trusted."""
        return self.pareto_k < LARGEST_SHAPE and not self.few

    @property
    def approximation(self) -> Approximation:
        """What its numbers rest on."""
        own = [f"weights of these draws are uneven (Pareto k {self.pareto_k:.2f})"] * (not self.trusted)
        own += [f"they leave {self.effective:.0f} independent draws, too few for any k to tell"] * self.few
        return Approximation(self.kind, (*self.known, *own))

    def __repr__(self) -> str:
        return (
            f"<Draws of {self.case.name}, variant {self.variant}: {self.effective:.0f} effective, Pareto k {self.pareto_k:.2f}, ln "
            f"evidence {self.log_evidence:.2f}>"
        )

    def moments(self, name: str) -> tuple[float, float]:
        """Mean and variance of a parameter, prior-whitened; nan of one that is held or an unknown sampling day."""
        if name not in self.objective.names or (k := self.objective.names.index(name)) in self._unknown:
            return np.nan, np.nan
        weights = np.exp(self.log_weights)
        mean = float(weights @ self.thetas[:, k])
        return mean, float(weights @ (self.thetas[:, k] - mean) ** 2)

    @cached_property
    def _unknown(self) -> frozenset[int]:
        """Columns of unknown sampling days."""
        return frozenset(each.column for each in WithoutDays(self.objective, RTOL).visits)

    def chance(self, day: str, stretches: Array) -> float:
        """How likely an estimated sampling day lies in one of some stretches, shape (n, 2)."""
        column, weights = self.objective.names.index(day), np.exp(self.log_weights)
        density = WithoutDays(self.objective, RTOL)
        nodes = next((each.nodes for each in density.visits if each.column == column), None)
        if nodes is None:
            days = self.objective.priors[column].value(self.thetas[:, column])[:, None]
            inside = ((days > stretches[:, 0]) & (days < stretches[:, 1])).any(axis=1)
            return float(weights @ inside)
        read = self.days[column] if column in self.days else self._by_node[column]
        chances = np.full(len(weights), np.nan)
        for k in np.flatnonzero(np.isfinite(read).any(axis=1)).tolist():
            chances[k] = nodes.chance(read[k] - nodes.log_weights, stretches)
        if column not in self.days:
            weights = self._few[1]
        fine = np.isfinite(chances)
        return float(weights[fine] @ chances[fine] / weights[fine].sum())

    @cached_property
    def _few(self) -> tuple[NDArray[np.intp], Array]:
        """Draws that stand for all of them where each must be simulated again, and how much each counts."""
        chosen = systematic(self.log_weights, _READ, np.random.default_rng(0))
        which, counts = np.unique(chosen, return_counts=True)
        weights = np.zeros(len(self.thetas))
        weights[which] = counts / counts.sum()
        return which, weights

    @cached_property
    def _by_node(self) -> dict[int, Array]:
        """:attr:`days`, simulated, of every unknown day at once for a few draws; nan of the others, and where one cannot be."""
        density, which = WithoutDays(self.objective, RTOL), self._few[0]
        found = density.by_node_all(self.thetas[which][:, density.columns])
        out = {}
        for k, visit in enumerate(density.visits):
            out[visit.column] = np.full((len(self.thetas), visit.nodes.days.size), np.nan)
            for draw, each in zip(which.tolist(), found, strict=True):
                if not isinstance(each, str):
                    out[visit.column][draw] = each[k]
        return out

    def draws(self, n: int, *, seed: int) -> Array:
        """Draws that count alike, prior-whitened, shape (n, n_parameters)."""
        random = np.random.default_rng(seed)
        return np.asarray(self.thetas[random.permutation(systematic(self.log_weights, n, random))])
