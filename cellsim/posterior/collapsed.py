"""A collapsed importance sampler: outer parameters drawn, days drawn given these, all others by Laplace's approximation.

Given the outer parameters u and the days d of the samples the rows are nearly linear in the inner parameters w
(:mod:`cellsim.posterior.inner_parameters` says which are which), so that

    u ~ q(u),    d ~ q(d | u) at the nodes of their quadrature,    w ~ N(mode, (J'J)^-1) given u and d

is near to the posterior, and what it is off stands in the weights p(u, d, w, rows) / q: their mean is the evidence, and
Pareto's k says whether they can be trusted (Rue, Martino and Chopin 2009, J R Stat Soc B 71:319; Kristensen et al. 2016, J Stat
Softw 70:5; Vehtari et al. 2024, JMLR 25:72). What q(u) is, and what every round learns, stands in
:mod:`cellsim.posterior.collapsed_proposal`. Conditional proposals may learn as well: a draw's weight has that density of d and w
which it was drawn from, and the mixture of all rounds for u, which leaves its mean the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from cellsim.errors import CalibrationError, CutShortError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.collapsed_proposal import Normal, Tilted, mixed, tilted
from cellsim.posterior.conditional_draws import (
    DRAWS,
    Conditional,
    Draw,
    Guess,
    PredictedSlopes,
    features_of,
    guess_of_modes,
)
from cellsim.posterior.inner_parameters import split_of
from cellsim.posterior.weighted_draws import Weighted
from cellsim.processes import MANY_PARAMETERS, Held, in_processes
from cellsim.streams import progress_bar
from cellsim.threads import CORES, one_thread_of_blas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["collapsed_draws"]

# draws of a round at first, of a block of it at least (what an interrupt costs), and those of one thread side by side; short rounds
# first, for what a few draws teach is worth more than as many draws of a poor proposal, then such of a quarter of all draws so
# far, to which no round more could add much
_ROUND, _BLOCK, _TOGETHER, _QUARTER = 96, 96, 16, 4
# places before which no run ends: of fewer the heaviest weights are as a rule not among them, so that the evidence is some tenths of a
# nat too low and Pareto's k, which is then uncertain by 0.2, content
_FEWEST = 480
# places after which a run ends that at its pace would need so many times its budget
_FAIR, _HOPE = 1200, 4
# slopes of the rows from which others are predicted, at least; and anew when there are so many times as many
_ENOUGH, _ANEW = 90, 1.25


def collapsed_draws(
    density: WithoutDays,
    normal: Normal,
    modes: Sequence[Normal] = (),
    *,
    effective: int,
    budget: int,
    seed: int = 0,
    progress: bool | None = None,
    misses_mode: Callable[[Weighted], bool] | None = None,
) -> Weighted:
    """Draw until there are enough effective draws, or until the budget is spent, or would be several times over at the pace of more than a
    thousand draws.

    Parameters
    ----------
    density : WithoutDays
        The posterior.
    normal : Normal
        An approximation of it, prior-whitened, of all parameters but unknown days.
    modes : sequence of Normal, optional
        Approximations around modes, of the same parameters, where the first draws look as well.
    effective, budget : int
    seed : int
        Of everything that is drawn.
    progress : bool, optional
    misses_mode : callable, optional
        Asked once, of some hundred draws whose weights are not trusted: whether they show a mode that no proposal knows; if so no more are made.

    Returns
    -------
    Weighted
        Of fewer draws after an interrupt, and saying so.

    Raises
    ------
    CalibrationError
        If nothing is nearly linear, so that there are no inner parameters, or if most draws cannot be simulated.
    CutShortError
        If interrupted before there is anything to keep.
    """
    # small matrices: more threads than one take turns with those of the simulations
    with one_thread_of_blas():
        return _collapsed_draws(density, normal, modes, effective, budget, seed, progress, misses_mode)


def _collapsed_draws(
    density: WithoutDays,
    normal: Normal,
    modes: Sequence[Normal],
    effective: int,
    budget: int,
    seed: int,
    progress: bool | None,
    misses_mode: Callable[[Weighted], bool] | None,
) -> Weighted:
    split = split_of(density, normal.mean, normal.covariance, seed=seed, modes=[each.mean for each in modes])
    names = [density.objective.names[k] for k in density.columns]
    if not split.inner.size:
        raise CalibrationError(
            f"nothing in {density.objective.variant or density.objective.case.name} is linear enough to leave to Laplace's "
            "approximation; sample with method='nuts'."
        )
    conditional = Conditional(density, split, (normal, *modes))
    # compiles, before threads ask for it
    conditional.drawn(normal.mean[None, split.outer], None, [np.random.default_rng(0)])
    run = _Rounds(conditional, seed)
    interrupted = False
    with progress_bar(total=budget, title="draws", progress=progress) as bar:
        try:
            more = _ROUND
            while run.count < budget:
                run.go_on(min(more, budget - run.count), bar.update)
                if not run.draws:
                    continue
                weighted = run.weighted(names, effective, budget)
                many = run.count >= _FEWEST
                if many and weighted.trusted and weighted.effective >= effective:
                    break
                if many and misses_mode is not None and not weighted.trusted:
                    if misses_mode(weighted):
                        break
                    misses_mode = None
                if run.count >= _FAIR and _HOPE * weighted.effective * budget < effective * run.count:
                    break
                more = max(_ROUND, run.count // _QUARTER)
                if weighted.trusted:
                    # no more than seem to be needed
                    needed = int(run.count * (effective / weighted.effective - 1))
                    more = min(more, max(needed, _BLOCK))
        except KeyboardInterrupt:
            interrupted = True
    if not run.draws:
        if interrupted:
            raise CutShortError("interrupted before any draw was weighed; nothing to keep.")
        raise CalibrationError(
            f"none of {run.count} draws of the collapsed sampler could be simulated: {run.why}"
        )
    return run.weighted(names, effective, budget, interrupted=interrupted)


class _Rounds:
    """What was drawn so far, and what it taught."""

    def __init__(self, conditional: Conditional, seed: int) -> None:
        self.conditional, self.seed = conditional, seed
        self._held = Held(conditional)
        self.rounds: list[tuple[Tilted, int]] = []
        self.places: list[Array] = []
        self.log_densities: list[Array] = []
        self.draws: list[Draw] = []
        self.slopes: tuple[int, PredictedSlopes | None] = 0, None
        self.count, self.why = 0, ""

    def go_on(self, n: int, told: Callable[[int], object]) -> None:
        """One round more, in blocks; a block that is interrupted is as if it had not been begun."""
        random = np.random.default_rng([self.seed, 2, len(self.rounds)])
        proposal, guess = self._learned(random)
        places = proposal.draws(n, random)
        self.rounds.append((proposal, 0))
        known = np.array(self.places)
        self.log_densities.append(proposal.log_density_learned(known) if len(known) else np.empty(0))
        size = max(_BLOCK, -(-n // 2))
        for first in range(0, n, size):
            block = places[first : first + size]
            made = self._drawn(block, guess)
            for u, each in zip(block, made, strict=True):
                if isinstance(each, str) or not np.isfinite(each.logs).any():
                    self.why = each if isinstance(each, str) else "no inner draw could be simulated."
                else:
                    self.places.append(u)
                    self.draws.append(each)
            self.count += len(block)
            self.rounds[-1] = (proposal, self.rounds[-1][1] + len(block))
            told(len(block))

    def _drawn(self, block: Array, guess: Guess | None) -> list[Draw | str]:
        size, worth = _TOGETHER, self.conditional.density.columns.size >= MANY_PARAMETERS
        if worth:
            # what is held is sent with each part
            size *= max(1, -(-len(block) // (CORES * size)))
        held = Held(guess)
        calls = [
            (self._held, held, block[first : first + size], self.seed, self.count + first)
            for first in range(0, len(block), size)
        ]
        return [each for part in in_processes(_drawn_at, calls, worth=worth) for each in part]

    def _learned(self, random: np.random.Generator) -> tuple[Tilted, Guess | None]:
        base = self.conditional.base
        size = self.conditional.split.outer.size
        if len(self.draws) <= size + 2:
            return Tilted(base, base), None
        places, (log_target, log_weights) = np.array(self.places), self._known()
        proposal = tilted(base, places, log_target, log_weights, random)
        weights = np.exp(np.maximum(0.3 * (log_weights - log_weights.max()), -6.0))
        scale, made = base.moments(), [k for k, each in enumerate(self.draws) if each.slopes is not None]
        if len(made) >= max(_ENOUGH, _ANEW * self.slopes[0]):
            known = [each for k in made if (each := self.draws[k].slopes) is not None]
            self.slopes = len(made), PredictedSlopes.of(features_of(scale, places[made]), known)
        modes = np.array([each.mode for each in self.draws])
        guess = Guess(scale, guess_of_modes(features_of(scale, places), modes, weights), self.slopes[1])
        return proposal, guess

    def _known(self) -> tuple[Array, Array]:
        """ln of the posterior marginal at every place, and ln weights."""
        logs = np.array([each.logs for each in self.draws])
        log_target = np.asarray(logsumexp(logs, axis=1) - np.log(logs.shape[1]))
        return log_target, log_target - self._against()

    def _against(self) -> Array:
        """ln of the density of the mixture of all rounds at every place; that of each is asked once a place."""
        for k, (proposal, _) in enumerate(self.rounds):
            known = self.log_densities[k]
            fresh = np.array(self.places[known.size :])
            if len(fresh):
                self.log_densities[k] = np.append(known, proposal.log_density(fresh))
        made = [k for k, (_, count) in enumerate(self.rounds) if count]
        return mixed([self.rounds[k][1] for k in made], [self.log_densities[k] for k in made])

    def weighted(
        self, names: Sequence[str], asked: int, budget: int, *, interrupted: bool = False
    ) -> Weighted:
        """All draws against the mixture of all rounds."""
        against = self._against()
        thetas = np.zeros((self.count, DRAWS, len(self.conditional.density.objective.names)))
        log_weights = np.full((self.count, DRAWS), -np.inf)
        thetas[: len(self.draws)] = [each.thetas for each in self.draws]
        log_weights[: len(self.draws)] = np.array([each.logs for each in self.draws]) - against[:, None]
        split = self.conditional.split
        return Weighted(
            thetas,
            log_weights,
            tuple(names[k] for k in split.outer),
            split.mismatch,
            asked,
            budget,
            self.why,
            interrupted,
        )


def _drawn_at(
    conditional: Conditional, guess: Guess | None, places: Array, seed: int, number: int
) -> list[Draw | str]:
    """Draws at places of the outer parameters, each by a generator of the run's seed and its own number, the first of which is given."""
    out: list[Draw | str] = []
    with one_thread_of_blas():
        for first in range(0, len(places), _TOGETHER):
            several = places[first : first + _TOGETHER]
            numbers = range(number + first, number + first + len(several))
            out += conditional.drawn(several, guess, [np.random.default_rng([seed, 3, k]) for k in numbers])
    return out
