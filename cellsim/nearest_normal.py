"""The normal law nearest to a posterior, and the evidence it gives: between Laplace's approximation and chains.

Laplace's law stands at a mode and has the curvature there. The law of least Kullback-Leibler divergence KL(q || p) has
the posterior's slope vanish on average over itself, and for its precision the average of minus the second derivatives
(Opper and Archambeau 2009, Neural Comput 21:786); for these stands J'J, as Gauss and Newton have it. Any normal law q
gives a lower bound,

    ln p(data)  >=  E_q[ln p(data, theta) - ln q(theta)],

and draws of it, weighted by p / q with the largest weights smoothed (Vehtari et al. 2024, JMLR 25:72), the evidence
itself as far as their shape k allows. Unknown sampling days, which give a posterior several summits, are integrated out
first (:mod:`cellsim.unknown_days`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cellsim.convergence import smoothed_weights
from cellsim.errors import CalibrationError
from cellsim.likelihood import Objective
from cellsim.modes import Mixture
from cellsim.unknown_days import WithoutDays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["NearestNormal", "nearest_normal"]

# of the simulations: the density is then good to a few hundredths of what its scatter over draws is
_RTOL = 1e-3
# how much of a step is taken, and its longest in standard deviations: averages over few points are rough
_SHARE, _LONGEST = 0.5, 2.0
_LEAST_ROUNDS = 4

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class NearestNormal:
    """What the nearest normal law says of the evidence.

    Attributes
    ----------
    bound, bound_error : float
        Lower bound of the log evidence (natural, so in nats), all constants included, and its standard error; -inf where the law has draws
        that cannot be simulated.
    log_evidence, error : float
        By importance weights, and its standard error as far as the weights tell.
    shape : float
        Pareto shape of the weights: above 0.7 the estimate mostly lies too low, and the bound is what stands.
    lost : int
        Draws that could not be simulated; their weight is nought.
    """

    bound: float
    bound_error: float
    log_evidence: float
    error: float
    shape: float
    lost: int = 0


def nearest_normal(
    objective: Objective,
    mixture: Mixture,
    *,
    seed: int = 0,
    rounds: int = 14,
    points: int = 24,
    draws: int = 600,
) -> NearestNormal:
    """Fit the nearest normal law from the highest optimum, and draw from it.

    Parameters
    ----------
    objective : Objective
    mixture : Mixture
        Its optima.
    seed : int
        Of all draws.
    rounds, points : int
        Steps, and points over which each averages; the law is the average of the later half of them.
    draws : int
        For bound and evidence.

    Returns
    -------
    NearestNormal

    Raises
    ------
    CalibrationError
        For fewer than 4 rounds, 2 points or 40 draws, and if most points of the law cannot be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim.nearest_normal import nearest_normal
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> found = nearest_normal(fit.objective, fit.mixture)  # doctest: +SKIP
    >>> found.log_evidence > fit.log_evidence  # doctest: +SKIP
    True
    """
    if rounds < _LEAST_ROUNDS or points < 2 or draws < 40:
        raise CalibrationError(
            f"rounds = {rounds}, points = {points}, draws = {draws}: at least {_LEAST_ROUNDS}, 2 and 40 are needed."
        )
    density = WithoutDays(objective, _RTOL)
    columns = density.columns
    seeds = np.random.SeedSequence(seed).spawn(2)
    mean = mixture.modes[0].theta[columns]
    first = density.curvature(mean)
    precision = np.eye(columns.size) if first is None else first
    means, precisions = [], []
    random = np.random.default_rng(seeds[0])
    for k in range(rounds):
        # opposite points, whose odd errors cancel
        half = random.standard_normal(((points + 1) // 2, columns.size))
        places = mean + _spread(precision, np.concatenate([half, -half]))
        made = _on_all_cores(density.bent, places)
        slopes = [here.gradient for here, bend in made if bend is not None]
        bends = [bend for _, bend in made if bend is not None]
        if len(bends) < len(made) / 2:
            raise CalibrationError(
                f"{len(made) - len(bends)} of {len(made)} points of the nearest normal law cannot be simulated."
            )
        bend = np.mean(bends, axis=0)
        step = np.linalg.solve(bend, np.mean(slopes, axis=0))
        mean = mean + min(_SHARE, _LONGEST / max(float(np.sqrt(step @ bend @ step)), 1e-12)) * step
        precision = (1 - _SHARE) * precision + _SHARE * bend
        if k >= rounds // 2:
            means.append(mean)
            precisions.append(precision)
    normals = np.random.default_rng(seeds[1]).standard_normal((draws, columns.size))
    return _judged(density, np.mean(means, axis=0), np.mean(precisions, axis=0), normals)


def _judged(density: WithoutDays, mean: Array, precision: Array, normals: Array) -> NearestNormal:
    """Bound and evidence from draws of a normal law."""
    found = _on_all_cores(density.density, mean + _spread(precision, normals))
    _, root = np.linalg.slogdet(precision)
    # ln p less ln q; the constants of the unit normal prior and of q are the same
    apart = np.array([each.value for each in found]) + 0.5 * (normals**2).sum(axis=1) - 0.5 * root
    fine = np.isfinite(apart)
    if fine.sum() < apart.size / 2:
        raise CalibrationError(
            f"{int((~fine).sum())} of {apart.size} draws of the nearest normal law cannot be simulated."
        )
    kept = apart[fine]
    logs, shape = smoothed_weights(kept)
    # smoothed weights come summing to one; the smaller half of them are untouched, and so tell by what they were divided
    small = np.argsort(kept)[: (kept.size + 1) // 2]
    total = float(np.mean(kept[small] - logs[small]))
    return NearestNormal(
        bound=float(kept.mean()) if fine.all() else -np.inf,
        bound_error=float(kept.std() / np.sqrt(kept.size)),
        log_evidence=total - float(np.log(apart.size)),
        error=float(np.std(kept.size * np.exp(logs)) / np.sqrt(kept.size)),
        shape=shape,
        lost=int((~fine).sum()),
    )


def _spread(precision: Array, normals: Array) -> Array:
    """Unit normal draws, one a row, with a precision instead."""
    return np.asarray(np.linalg.solve(np.linalg.cholesky(precision).T, normals.T).T)


def _on_all_cores(work: Callable[[Array], _Found], places: Sequence[Array] | Array) -> list[_Found]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, places))
