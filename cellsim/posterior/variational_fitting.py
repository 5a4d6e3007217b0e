"""The Gaussian variational approximation of a posterior, and the evidence it gives: between Laplace's approximation and chains.

Laplace's approximation stands at a mode and has the curvature there. The approximation of least Kullback-Leibler divergence KL(q || p) has
the posterior's slope vanish on average over itself, and for its precision the average of minus the second derivatives
(Opper and Archambeau 2009, Neural Comput 21:786); for these stands J'J, as Gauss and Newton have it. Any normal approximation q
gives a lower bound,

    ln p(data)  >=  E_q[ln p(data, theta) - ln q(theta)],

and draws of it, weighted by p / q with the largest weights smoothed (Vehtari et al. 2024, JMLR 25:72), the evidence
itself as far as their shape k allows. Unknown sampling days, which give a posterior several modes, are integrated out
first (:mod:`cellsim.likelihood.marginal_days`).

The approximation of a altered posterior, one with a row less or another prior, is a few steps away from the first; what its
evidence is more is the difference of two bounds at the same draws, its own and that of the first posterior walked for as
few steps over the same points: gaps below the evidence, and what a short walk leaves, cancel, and an alteration that
alters nothing changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective
from cellsim.posterior.laplace import Mixture
from cellsim.posterior.variational import VariationalApproximation, on_all_cores, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["normal_near", "refit", "variational_approximation"]

# of the simulations: the density is then good to a few hundredths of what its scatter over draws is
_RTOL = 1e-3
# how much of a step is taken, and its longest in standard deviations: averages over few points are rough
_SHARE, _LONGEST = 0.5, 2.0
_LEAST_ROUNDS = 4
# of a refitted approximation: rounds, how many of them take their step whole, points, draws
_NEARBY = {"rounds": 6, "whole": 2, "points": 12, "draws": 200}


def variational_approximation(
    objective: Objective,
    mixture: Mixture,
    *,
    seed: int = 0,
    rounds: int = 14,
    points: int = 24,
    draws: int = 600,
) -> VariationalApproximation:
    """Fit the variational approximation from the highest optimum, and draw from it.

    Parameters
    ----------
    objective : Objective
    mixture : Mixture
        Its optima.
    seed : int
        Of all draws.
    rounds, points : int
        Steps, and points over which each averages; the approximation is the average of the later half of them.
    draws : int
        For bound and evidence.

    Returns
    -------
    VariationalApproximation

    Raises
    ------
    CalibrationError
        For fewer than 4 rounds, 2 points or 40 draws, and if most points of the approximation cannot be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.posterior.variational_fitting import variational_approximation
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> approximation = variational_approximation(fit.objective, fit.mixture)  # doctest: +SKIP
    >>> approximation.log_evidence > fit.log_evidence  # doctest: +SKIP
    True
    """
    if rounds < _LEAST_ROUNDS or points < 2 or draws < 40:
        raise CalibrationError(
            f"rounds = {rounds}, points = {points}, draws = {draws}: at least {_LEAST_ROUNDS}, 2 and 40 are needed."
        )
    density = WithoutDays(objective, _RTOL)
    mean, precision = normal_near(density, mixture.modes[0].theta, seed=seed, rounds=rounds, points=points)
    apart = _apart(density, mean, precision, _normals(seed, draws, mean.size))
    approximation = VariationalApproximation(density, mean, precision, np.nan, apart, seed)
    return replace(approximation, log_evidence=approximation.evidence.log_evidence)


def normal_near(
    density: WithoutDays, theta: Array, *, seed: int, rounds: int = 6, points: int = 12
) -> tuple[Array, Array]:
    """Mean and precision of the variational approximation alone, to start from.

    Parameters
    ----------
    density : WithoutDays
    theta : array, shape (n_parameters,)
        A mode.
    seed, rounds, points
        See :func:`variational_approximation`.

    Raises
    ------
    CalibrationError
        If most points of the approximation cannot be simulated.
    """
    mean = theta[density.columns]
    first = density.curvature(mean)
    precision = np.eye(mean.size) if first is None else first
    return _walked(density, mean, precision, _seeds(seed)[0], rounds=rounds, points=points)


def refit(
    approximation: VariationalApproximation, objective: Objective, theta: Array | None = None
) -> VariationalApproximation:
    """The variational approximation of a altered objective.

    Parameters
    ----------
    approximation : VariationalApproximation
        From :func:`variational_approximation`.
    objective : Objective
        The other one: no parameters but the first one's, of which some may be held.
    theta : array, shape (n_parameters,), optional
        :attr:`VariationalApproximation.theta` in the coordinates of the other objective, where these are others.

    Returns
    -------
    VariationalApproximation

    Raises
    ------
    CalibrationError
        If most points of the approximation cannot be simulated, or the other objective estimates what the first one did not.
    """
    if unknown := [
        objective.names[k]
        for k in WithoutDays(objective, _RTOL).columns
        if objective.names[k] not in approximation.names
    ]:
        raise CalibrationError(
            f"the approximation of {approximation.variant or approximation.case.name} knows nothing of {', '.join(unknown)}, which the altered case "
            "estimates; calibrate that case by itself."
        )
    found, before = (
        _short(approximation, objective, approximation.theta if theta is None else theta),
        _unaltered(approximation),
    )
    fine, both = np.isfinite(found.apart), np.isfinite(found.apart) & np.isfinite(before)
    # a draw that cannot be simulated has weight nought: the others are so many fewer
    lost = float(np.log(fine.mean()) - np.log(np.isfinite(before).mean()))
    more = float((found.apart[both] - before[both]).mean()) + lost
    return replace(found, log_evidence=approximation.log_evidence + more)


@lru_cache(maxsize=16)
def _unaltered(approximation: VariationalApproximation) -> Array:
    """ln of the posterior less ln of the approximation, of a short walk that ends where it began but for its own roughness."""
    return _short(approximation, approximation.objective, approximation.theta).apart


def _short(
    approximation: VariationalApproximation, objective: Objective, theta: Array
) -> VariationalApproximation:
    """A few steps from an approximation to that of a altered objective, whose evidence is left open."""
    density = WithoutDays(objective, _RTOL)
    kept = [approximation.names.index(objective.names[k]) for k in density.columns]
    mean, precision = _walked(
        density,
        theta[density.columns],
        approximation.precision[np.ix_(kept, kept)],
        _seeds(approximation.seed)[0],
        rounds=_NEARBY["rounds"],
        points=_NEARBY["points"],
        whole=_NEARBY["whole"],
    )
    normals = _normals(approximation.seed, approximation.apart.size, approximation.mean.size)[
        : _NEARBY["draws"], kept
    ]
    apart = _apart(density, mean, precision, normals)
    return VariationalApproximation(
        density, mean, precision, np.nan, apart, approximation.seed, approximation.known
    )


def _walked(
    density: WithoutDays,
    mean: Array,
    precision: Array,
    seed: np.random.SeedSequence,
    *,
    rounds: int,
    points: int,
    whole: int = 0,
) -> tuple[Array, Array]:
    """Mean and precision, averaged over the later rounds."""
    # compiles, before threads ask for it
    density.curved(mean)
    means, precisions = [], []
    random = np.random.default_rng(seed)
    for k in range(rounds):
        # opposite points, whose odd errors cancel
        half = random.standard_normal(((points + 1) // 2, mean.size))
        made = on_all_cores(density.curved, mean + spread(precision, np.concatenate([half, -half])))
        slopes = [here.gradient for here, bend in made if bend is not None]
        bends = [bend for _, bend in made if bend is not None]
        if len(bends) < len(made) / 2:
            why = next(here.failure for here, bend in made if bend is None)
            raise CalibrationError(
                f"{len(made) - len(bends)} of {len(made)} points of the variational approximation cannot be simulated: {why}"
            )
        bend = np.mean(bends, axis=0)
        step = np.linalg.solve(bend, np.mean(slopes, axis=0))
        share = 1.0 if k < whole else _SHARE
        mean = mean + min(share, _LONGEST / max(float(np.sqrt(step @ bend @ step)), 1e-12)) * step
        precision = (1 - share) * precision + share * bend
        if k >= max(rounds // 2, whole):
            means.append(mean)
            precisions.append(precision)
    return np.mean(means, axis=0), np.mean(precisions, axis=0)


def _apart(density: WithoutDays, mean: Array, precision: Array, normals: Array) -> Array:
    """ln of the posterior less ln of a normal distribution, at draws of the approximation."""
    found = np.array(on_all_cores(density.value, mean + spread(precision, normals)))
    if np.isfinite(found).sum() < found.size / 2:
        raise CalibrationError(
            f"{int((~np.isfinite(found)).sum())} of {found.size} draws of the variational approximation cannot be simulated."
        )
    _, root = np.linalg.slogdet(precision)
    # the constants of the unit normal prior and of the approximation are the same
    return np.asarray(found + 0.5 * (normals**2).sum(axis=1) - 0.5 * root)


def _seeds(seed: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence(seed).spawn(2)


def _normals(seed: int, draws: int, size: int) -> Array:
    """The unit normal draws behind an evidence, the same for refitted approximations."""
    return np.random.default_rng(_seeds(seed)[1]).standard_normal((draws, size))
