"""How a posterior is explored: weighted draws or chains, and every row scored under every draw.

Weighted draws are those of :mod:`cellsim.posterior.collapsed`; what leaves this module of them is resampled, so that all draws
count alike, with the weighted ones beside. Chains walk in the prior-whitened coordinates of all parameters but the days on which blood was drawn, which are
integrated out (:mod:`cellsim.likelihood.marginal_days`); every draw is given days afterwards, so that all that leaves this module
is theta. Chains start from draws of the Laplace mixture of a calibration. Warm-up has two stages: a pilot in the preconditioner
of the mean curvature, then a second one in a preconditioner learned from the pilots of all chains (:mod:`cellsim.posterior.nuts`). A
simulation that fails rejects its point: density zero, counted and told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, CutShortError
from cellsim.interrupts import brought_home
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import Scored, score
from cellsim.posterior.collapsed import collapsed_draws
from cellsim.posterior.collapsed_proposal import Normal
from cellsim.posterior.fitting import optima
from cellsim.posterior.laplace import Mixture
from cellsim.posterior.nuts import Chains, Preconditioner, preconditioner_between, run_chains
from cellsim.posterior.variational_fitting import normal_near
from cellsim.posterior.weighted_draws import Weighted
from cellsim.processes import MANY_PARAMETERS, start_processes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["CLOSER", "FRAME_POINTS", "Drawn", "Run", "continued", "explored", "weighed"]

# at how many points the curvature is averaged: it is known exactly at each, so few are enough
# draws of greatest weight from which modes are looked for; of the sum of squares: less is where two descents to one mode end
_HEAVIEST, _HIGHER = 4, 2.0

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
    before : str
        What was tried first, and why it was left; empty where nothing was.
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
    before: str = ""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws and all that belongs to them.

    Attributes
    ----------
    thetas : array, shape (n_chains, n_draws, n_parameters)
        All of one weight; one chain where they were resampled from weighted ones.
    statistics : mapping of str to array, shape (n_chains, n_draws)
    scored : Scored
    run : Run
    weighted : Weighted or None
        What they were resampled from.
    """

    thetas: Array
    statistics: Mapping[str, NDArray[Any]]
    scored: Scored
    run: Run
    weighted: Weighted | None = None

    def __repr__(self) -> str:
        chains, length, size = self.thetas.shape
        return f"<Drawn: {chains} chains x {length} draws, {size} parameters>"


class _Target:
    """What chains walk on, and what it told."""

    def __init__(self, objective: Objective, rtol: float) -> None:
        self.without_days, self.why = WithoutDays(objective, rtol), ""

    def __call__(self, eta: Array) -> tuple[float, Array]:
        found = self.without_days.density(eta)
        self.why = found.failure or self.why
        return found.value, found.gradient

    def curvatures(self, points: Array) -> list[Array]:
        """At every point that can be simulated; the prior's if there is none."""
        made = [each for each in map(self.without_days.curvature, points) if each is not None]
        return made or [np.eye(points.shape[1])]

    def learned(self, draws: Array) -> Preconditioner:
        """The preconditioner that draws so far suggest."""
        flat = draws.reshape(-1, draws.shape[-1])
        few = flat[np.linspace(0, len(flat) - 1, min(FRAME_POINTS, len(flat))).astype(int)]
        return preconditioner_between(flat, self.curvatures(few))


def weighed(
    objective: Objective,
    mixture: Mixture,
    run: Run,
    *,
    effective: int,
    budget: int,
    progress: bool | None = None,
) -> Drawn:
    """Draw from the posterior by the collapsed sampler.

    Parameters
    ----------
    objective : Objective
    mixture : Mixture
        Of the calibration; parameters that it does not have stand last in the objective.
    run : Run
        Settings; `asked` draws are handed out.
    effective, budget : int
        See :func:`cellsim.posterior.collapsed.collapsed_draws`.
    progress : bool, optional

    Returns
    -------
    Drawn

    Raises
    ------
    CalibrationError
        If the approximation it starts from cannot be found, nothing is nearly linear, or no draw can be simulated.
    """
    begun = time.perf_counter()
    density = WithoutDays(objective, run.rtol)
    if density.columns.size >= MANY_PARAMETERS:
        start_processes()
    first, rescore, resample = (int(each) for each in np.random.SeedSequence([run.seed, 4]).generate_state(3))
    size = len(objective.names)
    modes = [
        (np.append(each.theta, np.zeros(size - each.theta.size)), each.covariance) for each in mixture.modes
    ]
    columns, known = density.columns, min(objective.evaluate(theta).objective for theta, _ in modes)
    higher: list[tuple[Array, Array]] = []

    def misses_mode(weighted: Weighted) -> bool:
        higher[:] = _higher_modes(objective, weighted, known)
        return bool(higher)

    def drawn(first_look: bool) -> Weighted:
        mean, precision = normal_near(density.rough, modes[0][0], seed=first)
        around = []
        for theta, covariance in modes:
            whole = np.eye(size)
            whole[: len(covariance), : len(covariance)] = covariance
            around.append(Normal(theta[columns], whole[np.ix_(columns, columns)]))
        return collapsed_draws(
            density,
            Normal(mean, np.asarray(np.linalg.inv(precision))),
            around,
            effective=effective,
            budget=budget,
            seed=first,
            progress=progress,
            misses_mode=misses_mode if first_look else None,
        )

    weighted = drawn(first_look=True)
    if higher and not weighted.interrupted:
        modes[:0] = higher
        missed = known - objective.evaluate(higher[0][0]).objective
        weighted = replace(drawn(first_look=False), missed=0.5 * missed)

    def completed() -> tuple[Array, Array, Scored]:
        thetas, weights = weighted.resampled(run.asked, seed=resample)
        # days move along their own density given all else, which leaves the posterior what it is
        moved, _ = density.drawn_all(thetas[:, columns], seed=resample)
        thetas = np.where(np.isfinite(moved).all(axis=1, keepdims=True), moved, thetas)[None]
        return thetas, weights[None], score(objective, thetas, rtol=run.rtol * CLOSER, seed=rescore)

    (thetas, weights, scored), interrupted = brought_home(completed, weighted.interrupted)
    rough = objective.log_likelihoods(thetas[0][:FRAME_POINTS], rtol=run.rtol)
    closer = scored.log_likelihood.sum(axis=-1)
    error = np.abs(rough - closer[0][:FRAME_POINTS])
    return Drawn(
        thetas=thetas,
        statistics={"lp": closer - 0.5 * (thetas**2).sum(axis=-1), "weight": weights},
        scored=scored,
        run=replace(
            run,
            rejected=weighted.lost,
            why=weighted.why,
            seconds=time.perf_counter() - begun,
            tolerance_error=float(error[np.isfinite(error)].max(initial=0.0)),
        ),
        weighted=replace(weighted, interrupted=interrupted),
    )


def _higher_modes(objective: Objective, weighted: Weighted, known: float) -> list[tuple[Array, Array]]:
    """Modes, with their covariances, where the sum of squares is less than any known by more than luck of a descent, the least first.

    A mode that all starts of a calibration missed shows in few draws of great weight: from the heaviest a descent leads there.
    """
    heaviest = np.argsort(-weighted.log_weights.max(axis=1))[:_HEAVIEST]
    firsts = [weighted.thetas[k, np.argmax(weighted.log_weights[k])] for k in heaviest.tolist()]
    try:
        found = optima(objective, firsts).mixture.modes
    except CalibrationError:  # no descent went through: they lead nowhere
        return []
    return [
        (each.theta, each.covariance)
        for each in sorted(found, key=lambda mode: mode.objective)
        if each.objective < known - _HIGHER
    ]


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
    target = _Target(objective, run.rtol)
    laplace = laplace[:, target.without_days.columns]
    preconditioner = Preconditioner.of(
        laplace.mean(axis=0), np.linalg.inv(np.mean(target.curvatures(laplace), axis=0))
    )
    seeds = [int(each) for each in np.random.SeedSequence(run.seed).generate_state(3)]
    options: dict[str, Any] = {
        "chains": chains,
        "target_accept": run.target_accept,
        "max_depth": run.max_depth,
        "progress": progress,
    }
    short = run.tune // 4
    starts = [laplace[k % len(laplace)] for k in range(chains)]
    found = run_chains(
        target, preconditioner, draws=short, tune=short, seed=seeds[0], firsts=starts, **options
    )
    if not found.interrupted:
        pilot = found
        found = run_chains(
            target,
            target.learned(pilot.theta),
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
    return _drawn(target, found, run, seeds[2])


def continued(objective: Objective, so_far: Drawn, draws: int, *, tune: int, progress: bool | None) -> Drawn:
    """Continue every chain from its last draw, in a preconditioner learned from all of them.

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
    run, (chains, length, _) = so_far.run, so_far.thetas.shape
    target = _Target(objective, run.rtol)
    reached = so_far.thetas[..., target.without_days.columns]
    seeds = [int(each) for each in np.random.SeedSequence([run.seed, length]).generate_state(2)]
    found = run_chains(
        target,
        target.learned(reached),
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seeds[0],
        firsts=reached[:, -1],
        target_accept=run.target_accept,
        max_depth=run.max_depth,
        progress=progress,
    )
    new = _drawn(target, found, replace(run, asked=length + draws), seeds[1], least=0)
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


def _completed(target: _Target, eta: Array, run: Run, seed: int) -> tuple[Array, Array, Scored]:
    """Draws with days of their own, what these add to the log density, and every row under every draw."""
    chains, length, _ = eta.shape
    days, noise = np.random.SeedSequence(seed).generate_state(2)
    thetas, densities = target.without_days.drawn_all(eta.reshape(chains * length, -1), seed=int(days))
    thetas = thetas.reshape(chains, length, -1)
    scored = score(target.without_days.objective, thetas, rtol=run.rtol * CLOSER, seed=int(noise))
    return thetas, densities.reshape(chains, length), scored


def _drawn(target: _Target, found: Chains, run: Run, seed: int, *, least: int = _FEWEST) -> Drawn:
    """Give every draw its days, score what the chains left, and remember what making it took."""
    if found.theta.shape[1] < least:
        raise CutShortError("interrupted before every chain had left its warm-up; nothing to keep.")
    (thetas, densities, scored), _ = brought_home(
        lambda: _completed(target, found.theta, run, seed), found.interrupted
    )
    plain = scored.log_likelihood.sum(axis=-1) - 0.5 * (thetas**2).sum(axis=-1)
    lp = found.statistics["lp"] + densities
    return Drawn(
        thetas=thetas,
        statistics={**found.statistics, "lp": lp},
        scored=scored,
        run=replace(
            run,
            evaluations=found.evaluations,
            rejected=found.rejected,
            why=target.why,
            seconds=found.seconds,
            tolerance_error=float(np.nanmax(np.abs(plain - lp), initial=0.0)),
        ),
    )
