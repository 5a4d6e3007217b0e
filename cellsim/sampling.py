"""How a posterior is explored: pilot, learned frame, chains, and every row scored under every draw.

In prior-whitened coordinates theta the log posterior density is the sum of the rows' log-likelihoods minus
theta'theta/2, and its gradient -J'r (:mod:`cellsim.likelihood`). Chains move in coordinates x that give sampling days
room where much changes (:mod:`cellsim.stretches`); all that leaves this module is theta again. Chains start from draws
of the Laplace mixture of a calibration. Warm-up has two stages: a pilot in the frame of the mean curvature, then a
second one in a frame learned from the pilots of all chains (:mod:`cellsim.frames`). A simulation that fails rejects its
point: density zero, counted and told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.chains import Chains, run_chains
from cellsim.errors import CalibrationError
from cellsim.frames import Frame, frame_between
from cellsim.likelihood import Objective
from cellsim.posterior_data import Scored, score
from cellsim.stretches import stretch_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["CLOSER", "FRAME_POINTS", "Drawn", "Run", "continued", "explored"]

# at how many points the curvature is averaged: it is known exactly at each, so few are enough
FRAME_POINTS = 40
# rows are scored this much more exactly than the chains were simulated, which also measures what that cost
CLOSER = 0.1
_FEWEST = 4


@dataclass(frozen=True)
class Run:
    """How chains were made.

    Attributes
    ----------
    seed, tune, asked : int
        Warm-up draws dropped and draws asked for, a chain.
    target_accept, max_depth, rtol
        See :func:`cellsim.sample`.
    hierarchy : bool
        Whether spreads of hierarchies were free.
    evaluations, rejected : int
        Simulations with gradient, and how many failed.
    why : str
        What the last failure said.
    seconds : float
        Of all sampling.
    tolerance_error : float
        Largest change of the log density when simulated more exactly.
    """

    seed: int
    tune: int
    asked: int
    target_accept: float
    max_depth: int
    rtol: float
    hierarchy: bool
    evaluations: int = 0
    rejected: int = 0
    why: str = ""
    seconds: float = 0.0
    tolerance_error: float = 0.0


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws and all that belongs to them.

    Attributes
    ----------
    thetas : array, shape (n_chains, n_draws, n_parameters)
    statistics : mapping of str to array, shape (n_chains, n_draws)
    scored : Scored
    run : Run
    """

    thetas: Array
    statistics: Mapping[str, NDArray[Any]]
    scored: Scored
    run: Run


class _Density:
    """The log posterior density of x and its gradient, up to a constant."""

    def __init__(self, objective: Objective, rtol: float, plausible: Array) -> None:
        self.objective, self.rtol, self.why = objective, rtol, ""
        self.stretch = stretch_of(objective, plausible, rtol=rtol)

    def __call__(self, x: Array) -> tuple[float, Array]:
        theta = self.stretch.theta(x)
        found = self.objective.evaluate(theta, gradient=True, rtol=self.rtol)
        if found.failure:
            self.why = found.failure
            return -np.inf, x
        slope, turn = self.stretch.slopes(x)
        density = float(found.log_likelihood.sum()) - 0.5 * float(theta @ theta) + float(np.log(slope).sum())
        return density, turn - found.gradient * slope

    def curvatures(self, points: Array) -> list[Array]:
        """J'J at every x that can be simulated, with a unit matrix for the prior."""
        made = []
        for x in points:
            found = self.objective.evaluate(self.stretch.theta(x), gradient=True, rtol=self.rtol)
            if not found.failure and found.jacobian is not None and np.all(np.isfinite(found.jacobian)):
                rows = found.jacobian[: len(self.objective.terms)] * self.stretch.slopes(x)[0]
                made.append(rows.T @ rows + np.eye(x.size))
        return made or [np.eye(points.shape[1])]


def _learned(density: _Density, draws: Array) -> Frame:
    """The frame that draws so far suggest."""
    flat = draws.reshape(-1, draws.shape[-1])
    few = flat[np.linspace(0, len(flat) - 1, min(FRAME_POINTS, len(flat))).astype(int)]
    return frame_between(flat, density.curvatures(few))


def explored(
    objective: Objective, laplace: Array, run: Run, *, chains: int, progress: bool | None = None
) -> Drawn:
    """Draw from the posterior.

    Parameters
    ----------
    objective : Objective
    laplace : array, shape (n, n_parameters)
        Draws of an approximation; the first ones are where chains start.
    run : Run
        Settings.
    chains : int
    progress : bool, optional

    Returns
    -------
    Drawn
        Fewer than asked for after an interrupt.

    Raises
    ------
    CalibrationError
        If no start can be simulated, or if interrupted before there is anything to keep.
    """
    density = _Density(objective, run.rtol, laplace)
    laplace = density.stretch.x(laplace)
    frame = Frame.of(laplace.mean(axis=0), np.linalg.inv(np.mean(density.curvatures(laplace), axis=0)))
    seeds = [int(each) for each in np.random.SeedSequence(run.seed).generate_state(3)]
    options: dict[str, Any] = {
        "chains": chains,
        "target_accept": run.target_accept,
        "max_depth": run.max_depth,
        "progress": progress,
    }
    short = run.tune // 4
    starts = [laplace[k % len(laplace)] for k in range(chains)]
    found = run_chains(density, frame, draws=short, tune=short, seed=seeds[0], firsts=starts, **options)
    if not found.interrupted:
        pilot = found
        found = run_chains(
            density,
            _learned(density, pilot.theta),
            draws=run.asked,
            tune=run.tune - 2 * short,
            seed=seeds[1],
            firsts=pilot.theta[:, -1],
            **options,
        )
        # interrupted early: what the pilot drew after its own warm-up is not worthless
        best = pilot if found.interrupted and found.theta.shape[1] < short else found
        found = replace(
            best,
            evaluations=found.evaluations + pilot.evaluations,
            rejected=found.rejected + pilot.rejected,
            seconds=found.seconds + pilot.seconds,
            interrupted=found.interrupted,
        )
    return _drawn(density, found, run, seeds[2])


def continued(objective: Objective, so_far: Drawn, draws: int, *, tune: int, progress: bool | None) -> Drawn:
    """Continue every chain from its last draw, in a frame learned from all of them.

    Parameters
    ----------
    objective : Objective
    so_far : Drawn
    draws, tune : int
        More draws a chain, and those dropped while the step finds its length again.
    progress : bool, optional

    Returns
    -------
    Drawn
        Old and new draws, one after the other.
    """
    run, (chains, length, size) = so_far.run, so_far.thetas.shape
    last = so_far.thetas[:, -2:].swapaxes(0, 1).reshape(-1, size)
    density = _Density(objective, run.rtol, last)
    reached = density.stretch.x(so_far.thetas)
    seeds = [int(each) for each in np.random.SeedSequence([run.seed, length]).generate_state(2)]
    found = run_chains(
        density,
        _learned(density, reached),
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seeds[0],
        firsts=reached[:, -1],
        target_accept=run.target_accept,
        max_depth=run.max_depth,
        progress=progress,
    )
    new = _drawn(density, found, replace(run, asked=length + draws), seeds[1], least=0)
    old, more = so_far.scored, new.scored
    return Drawn(
        thetas=np.concatenate([so_far.thetas, new.thetas], axis=1),
        statistics={
            name: np.concatenate([so_far.statistics[name], each], axis=1)
            for name, each in new.statistics.items()
        },
        scored=Scored(
            np.concatenate([old.log_likelihood, more.log_likelihood], axis=1),
            np.concatenate([old.predicted, more.predicted], axis=1),
            np.concatenate([old.replicated, more.replicated], axis=1),
        ),
        run=replace(
            new.run,
            evaluations=run.evaluations + new.run.evaluations,
            rejected=run.rejected + new.run.rejected,
            why=new.run.why or run.why,
            seconds=run.seconds + new.run.seconds,
            tolerance_error=max(run.tolerance_error, new.run.tolerance_error),
        ),
    )


def _drawn(density: _Density, found: Chains, run: Run, seed: int, *, least: int = _FEWEST) -> Drawn:
    """Score what the chains left, and remember what making it took."""
    if found.theta.shape[1] < least:
        raise CalibrationError("interrupted before every chain had left its warm-up; nothing to keep.")
    thetas = density.stretch.theta(found.theta)
    scored = score(density.objective, thetas, rtol=run.rtol * CLOSER, seed=seed)
    plain = scored.log_likelihood.sum(axis=-1) - 0.5 * (thetas**2).sum(axis=-1)
    room = np.array([[np.log(density.stretch.slopes(x)[0]).sum() for x in chain] for chain in found.theta])
    lp = found.statistics["lp"] - room
    return Drawn(
        thetas=thetas,
        statistics={**found.statistics, "lp": lp},
        scored=scored,
        run=replace(
            run,
            evaluations=found.evaluations,
            rejected=found.rejected,
            why=density.why,
            seconds=found.seconds,
            tolerance_error=float(np.nanmax(np.abs(plain - lp), initial=0.0)),
        ),
    )
