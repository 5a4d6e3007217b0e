"""Draws from the posterior of an estimation problem, by chains of the No-U-Turn sampler in prior-whitened coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError, CellsimError, Problem
from cellsim.estimation.fitting import ProblemFit
from cellsim.estimation.problem import EstimationProblem
from cellsim.likelihood.priors import Coordinates, Prior
from cellsim.posterior.convergence import Convergence, converged
from cellsim.posterior.nuts import Preconditioner, run_chains

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["ProblemDraws", "drawn"]

# no coordinate begins further out: an estimate at a bound lies infinitely far
_FURTHEST = 3.0
_STEP = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class ProblemDraws:
    """Draws of the parameters of an estimation problem; made by :func:`cellsim.sample`.

    Attributes
    ----------
    problem : EstimationProblem
    names : tuple of str
        What was drawn.
    draws : array, shape (n_chains, n_draws, m)
        In the parameters' own units.
    held : mapping of str to float
        Parameters that were not.
    log_posterior : array, shape (n_chains, n_draws)
        Of the prior-whitened coordinates, up to a constant.
    diverging : int
        Draws at which the sampler lost its way.
    rejected : int
        Places that could not be scored.
    interrupted : bool
    """

    problem: EstimationProblem
    names: tuple[str, ...]
    draws: Array
    held: Mapping[str, float]
    log_posterior: Array
    diverging: int
    rejected: int
    interrupted: bool

    @cached_property
    def convergence(self) -> Convergence:
        """R-hat and effective sample sizes."""
        return converged(self.draws)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against quoting them."""
        told = ["interrupted: the chains are shorter than asked for."] if self.interrupted else []
        if not self.convergence.usable:
            worst = (
                self.names[int(np.nanargmax(self.convergence.rhat))]
                if np.any(np.isfinite(self.convergence.rhat))
                else "?"
            )
            told.append(f"the chains do not agree yet (worst: {worst}); draw more.")
        if self.diverging:
            told.append(f"{self.diverging} draws diverged: a corner of the posterior may be missed.")
        return tuple(told)

    def frame(self) -> pd.DataFrame:
        """Every draw, in natural units, with its chain."""
        import pandas as pd

        chains, length, size = self.draws.shape
        found = pd.DataFrame(self.draws.reshape(-1, size), columns=list(self.names))
        found.insert(0, "chain", np.repeat(np.arange(chains), length))
        return found

    def table(self) -> pd.DataFrame:
        """Median, 90 % interval, R-hat and effective draws of each parameter."""
        import pandas as pd

        flat = self.draws.reshape(-1, len(self.names))
        low, middle, high = np.quantile(flat, [0.05, 0.5, 0.95], axis=0)
        found = self.convergence
        columns = {
            "median": middle,
            "lower": low,
            "upper": high,
            "rhat": found.rhat,
            "ess": np.fmin(found.ess_bulk, found.ess_tail),
        }
        return pd.DataFrame(columns, index=pd.Index(list(self.names), name="parameter"))

    def report(self) -> str:
        """The table as text, and every doubt."""
        lines = [repr(self).strip("<>"), *(f"doubt: {each}" for each in self.doubts), ""]
        return "\n".join([*lines, self.table().to_string(float_format=lambda x: f"{x:.4g}")])

    def __repr__(self) -> str:
        chains, length, _ = self.draws.shape
        return f"<ProblemDraws of {self.problem.name}: {chains} chains x {length} draws, {len(self.names)} parameters>"


class _Target:
    """The log posterior density of whitened coordinates, with its gradient."""

    def __init__(self, fit: ProblemFit, rtol: float) -> None:
        self.problem, self.held, self.rtol = fit.problem, dict(fit.coordinates.held), rtol
        self.names = fit.coordinates.names
        self.priors = _proper(self.problem, self.names)
        self.coordinates = Coordinates(self.priors)
        self.columns = [self.problem.names.index(name) for name in self.names]
        self.why = ""

    def values(self, theta: Array) -> dict[str, float]:
        return {**self.held, **dict(zip(self.names, self.coordinates.values(theta).tolist(), strict=True))}

    def __call__(self, theta: Array) -> tuple[float, Array]:
        try:
            scored = self.problem.scored(self.values(theta), slopes=True, rtol=self.rtol)
        except CellsimError as error:
            self.why = str(error)
            return -math.inf, np.zeros(theta.size)
        value = sum(float(each.log_likelihood.sum()) for each in scored) - 0.5 * float(theta @ theta)
        slope = sum(
            (each.gradient.sum(axis=0) for each in scored if each.gradient is not None),
            np.zeros(len(self.problem.names)),
        )
        return value, slope[self.columns] * self.coordinates.slopes(theta) - theta

    def curvature(self, theta: Array) -> Array:
        """Minus the second derivatives; the prior's alone where that has a side that bends upward."""
        size = theta.size
        out = np.empty((size, size))
        for k in range(size):
            h = _STEP * np.eye(size)[k]
            out[k] = (self(theta - h)[1] - self(theta + h)[1]) / (2 * _STEP)
        out = (out + out.T) / 2
        if not np.all(np.isfinite(out)):
            return np.eye(size)
        values, vectors = np.linalg.eigh(out)
        return np.asarray((vectors * np.maximum(np.abs(values), 0.1)) @ vectors.T)


def _proper(problem: EstimationProblem, names: tuple[str, ...]) -> tuple[Prior, ...]:
    """The prior of each parameter; improper ones cannot be drawn from."""
    found = {name: problem.priors[name] for name in names}
    wrong = [
        Problem(
            what=f"{name} has neither a prior nor two bounds, so that its posterior may not exist.",
            remedy="Give it bounds.",
        )
        for name, prior in found.items()
        if prior is None
    ]
    if wrong:
        raise CalibrationError(wrong)
    return tuple(prior for prior in found.values() if prior is not None)


def drawn(
    fit: ProblemFit,
    *,
    draws: int = 1000,
    tune: int = 400,
    chains: int = 4,
    seed: int = 0,
    rtol: float = 1e-5,
    target_accept: float = 0.8,
    max_depth: int = 10,
    progress: bool | None = None,
) -> ProblemDraws:
    """Draw from the posterior of a problem that was fitted; see :func:`cellsim.sample`, which calls it.

    Parameters
    ----------
    fit : ProblemFit
        Chains begin around it.
    draws, tune, chains, seed, target_accept, max_depth, progress
        As for :func:`cellsim.sample`.
    rtol : float
        Relative tolerance of the simulations.

    Returns
    -------
    ProblemDraws

    Raises
    ------
    CalibrationError
        For parameters with neither a prior nor bounds, and if no place can be scored.
    """
    target = _Target(fit, rtol)
    if not target.names:
        raise CalibrationError(f"{fit.problem.name} estimates nothing, so there is nothing to draw.")
    whitened = [
        prior.whitened(fit.values[name]) for name, prior in zip(target.names, target.priors, strict=True)
    ]
    centre = np.clip(np.nan_to_num(whitened), -_FURTHEST, _FURTHEST)
    found = run_chains(
        target,
        Preconditioner.of(centre, np.asarray(np.linalg.inv(target.curvature(centre)), float)),
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        max_depth=max_depth,
        low_rank=True,
        progress=progress,
    )
    if not found.theta.size:
        raise CalibrationError("interrupted before there were draws to keep.")
    return ProblemDraws(
        problem=fit.problem,
        names=target.names,
        draws=target.coordinates.values(found.theta),
        held=target.held,
        log_posterior=found.statistics["lp"],
        diverging=int(np.sum(found.statistics["diverging"])),
        rejected=found.rejected,
        interrupted=found.interrupted,
    )
