"""A Gaussian variational approximation of a posterior, from which the collapsed sampler takes its first proposal.

Laplace's approximation stands at a mode and has the curvature there. The normal distribution q of least Kullback-Leibler divergence
KL(q || p) has the posterior's slope vanish on average over itself, and for its precision the average of minus the second derivatives
(Opper and Archambeau 2009, Neural Comput 21:786); for these stands J'J, as Gauss and Newton have it. Unknown sampling days,
which give a posterior several modes, are integrated out first (:mod:`cellsim.likelihood.marginal_days`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.threads import on_all_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["normal_near", "spread"]

# how much of a step is taken, and its longest in standard deviations; how much of a precision: averages over few points are rough
_SHARE, _LONGEST, _SHARE_OF_PRECISION = 0.7, 3.0, 0.4
# steps, and points of each: where the rows bend, the mean lies five to ten standard deviations from the mode, and a step of rows taken
# for linear is short. Many steps of few points come nearer to it than few steps of many; after six of twelve points it was six of V3's
# standard deviations away, after these two
_ROUNDS, _POINTS = 18, 6


def normal_near(
    density: WithoutDays, theta: Array, *, seed: int, rounds: int = _ROUNDS, points: int = _POINTS
) -> tuple[Array, Array]:
    """Mean and precision of the approximation, prior-whitened.

    Parameters
    ----------
    density : WithoutDays
        The posterior, unknown sampling days integrated out.
    theta : array, shape (n_parameters,)
        A mode, where it starts.
    seed : int
        Of all points.
    rounds, points : int
        Steps, and points over which each averages; the approximation is the average of the last third of them.

    Returns
    -------
    mean : array, shape (n_left,)
    precision : array, shape (n_left, n_left)

    Raises
    ------
    CalibrationError
        If most points of the approximation cannot be simulated.
    """
    mean = theta[density.columns]
    first = density.curvature(mean)
    precision = np.eye(mean.size) if first is None else first
    return _walked(density, mean, precision, seed, rounds=rounds, points=points)


def spread(precision: Array, normals: Array) -> Array:
    """Unit normal draws, one a row, with a precision instead."""
    return np.asarray(np.linalg.solve(np.linalg.cholesky(precision).T, normals.T).T)


def _walked(
    density: WithoutDays,
    mean: Array,
    precision: Array,
    seed: int,
    *,
    rounds: int,
    points: int,
) -> tuple[Array, Array]:
    """Mean and precision, averaged over the later rounds."""
    # compiles, before threads ask for it
    density.curved(mean)
    means, precisions = [], []
    random = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
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
        mean = mean + min(_SHARE, _LONGEST / max(float(np.sqrt(step @ bend @ step)), 1e-12)) * step
        precision = (1 - _SHARE_OF_PRECISION) * precision + _SHARE_OF_PRECISION * bend
        if k >= rounds - rounds // 3:
            means.append(mean)
            precisions.append(precision)
    return np.mean(means, axis=0), np.mean(precisions, axis=0)
