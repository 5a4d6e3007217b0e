"""The posteriors that are judged, and where they place a truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.honesty.patients import Watched
from benchmarks.honesty.ranks import position
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import smoothed_weights
from cellsim.posterior.convergence import converged
from cellsim.posterior.fitting import optima
from cellsim.posterior.laplace import Mixture
from cellsim.posterior.sampler import Run, explored

Array = NDArray[np.float64]
# kept beside every chain's positions: a line without it is of a sampler before this one
SAMPLER = "sampling days integrated out"
# of its simulations: the default of cellsim.sample
RTOL = 1e-3


@dataclass(frozen=True, eq=False)
class Draws:
    """Of a posterior: parameters, log-likelihood and what else is watched, with weights that sum to one."""

    thetas: Array
    quantities: Array
    weights: Array


def fitted(patient: Objective, seed: int, starts: int = 2) -> Mixture:
    """The Laplace mixture, from the prior medians and draws of the prior."""
    random = np.random.default_rng(seed)
    size = len(patient.names)
    return optima(patient, [np.zeros(size), *random.standard_normal((starts - 1, size))]).mixture


def log_likelihoods(patient: Objective, thetas: Array) -> Array:
    """Of all rows; -inf where it cannot be simulated."""
    return patient.log_likelihoods(thetas)


def quantities(patient: Objective, thetas: Array, watched: Watched, likelihoods: Array) -> Array:
    """The log-likelihood, then what is watched, shape (n, 1 + n_watched)."""
    return np.hstack([likelihoods[:, None], watched.of(thetas)])


def laplace(patient: Objective, mixture: Mixture, watched: Watched, *, n: int, seed: int) -> Draws:
    """Independent draws of the mixture."""
    thetas = mixture.draws(n, seed=seed)
    likelihoods = log_likelihoods(patient, thetas)
    return Draws(thetas, quantities(patient, thetas, watched, likelihoods), np.full(n, 1 / n))


def reweighted(mixture: Mixture, draws: Draws) -> tuple[Draws, float]:
    """The same draws with Pareto-smoothed importance weights towards the exact posterior, and their k-hat."""
    target = draws.quantities[:, 0] - 0.5 * (draws.thetas**2).sum(axis=1)
    ratios = target - _log_density(mixture, draws.thetas)
    fine = np.isfinite(ratios)
    # a draw that cannot be simulated has weight nought
    logs, k = smoothed_weights(np.where(fine, ratios, ratios[fine].min() - 700.0))
    weights = np.exp(logs)
    return Draws(draws.thetas, draws.quantities, weights / weights.sum()), k


def _log_density(mixture: Mixture, thetas: Array) -> Array:
    from scipy.special import logsumexp

    parts = []
    for weight, mode in zip(mixture.weights, mixture.modes, strict=True):
        root = np.linalg.cholesky(mode.covariance)
        z = np.linalg.solve(root, (thetas - mode.theta).T)
        parts.append(np.log(weight) - 0.5 * (z**2).sum(axis=0) - np.log(np.diag(root)).sum())
    return np.asarray(logsumexp(parts, axis=0))


def sampled(
    patient: Objective, mixture: Mixture, watched: Watched, *, tune: int, draws: int, keep: int, seed: int
) -> tuple[Draws, dict[str, Any]]:
    """One chain of the No-U-Turn sampler from the Laplace mixture, thinned evenly to `keep`, and how it went."""
    run = Run(
        seed=seed,
        tune=tune,
        asked=draws,
        target_accept=0.8,
        max_depth=10,
        rtol=RTOL,
        hierarchy=False,
    )
    made = explored(patient, mixture.draws(20, seed=seed), run, chains=1, progress=False)
    kept = np.linspace(0, made.thetas.shape[1] - 1, keep).astype(int)
    thetas = made.thetas[0, kept]
    likelihoods = made.scored.log_likelihood[0, kept].sum(axis=1)
    halves = converged(np.stack(np.split(made.thetas[0, : draws // 2 * 2], 2)))
    went = {
        "sampler": SAMPLER,
        "ess": round(float(np.min(halves.ess_bulk))),
        "rhat": round(float(np.max(halves.rhat)), 3),
        "divergences": int(np.sum(made.statistics["diverging"])),
    }
    return Draws(thetas, quantities(patient, thetas, watched, likelihoods), np.full(keep, 1 / keep)), went


def positions(draws: Draws, theta: Array, numbers: Array, random: np.random.Generator) -> list[float]:
    """Where the truth stands in every parameter and every quantity: shares below it, three digits."""
    columns = np.hstack([draws.thetas, draws.quantities])
    truths = np.concatenate([theta, numbers])
    fine = np.isfinite(draws.quantities).all(axis=1) & (draws.weights > 0)
    weights = draws.weights[fine] / draws.weights[fine].sum()
    return [
        round(position(truth, column, random, weights), 4)
        for truth, column in zip(truths, columns[fine].T, strict=True)
    ]


# prior standard deviations; nine points for a curve about 0.6 wide, where the trapezoidal rule is exact to 1e-5
_ALONG = np.linspace(-3.0, 3.0, 9)


@dataclass(frozen=True)
class Integrated:
    """One parameter integrated by quadrature, all others by Laplace's method at each of its values.

    Attributes
    ----------
    log_evidence, mean, sd : float
        The latter two of the parameter, prior-whitened.
    """

    log_evidence: float
    mean: float
    sd: float


def integrated(patient: Objective, name: str, mixture: Mixture) -> Integrated:
    """What the mixture would say were it not Gaussian along one parameter; warm starts from its highest mode."""
    column = patient.names.index(name)
    keep = [j for j in range(len(patient.names)) if j != column]
    best = mixture.modes[0].theta
    first = int(np.argmin(np.abs(_ALONG - best[column])))
    logs = np.full(_ALONG.size, -np.inf)
    for side in (range(first, _ALONG.size), range(first - 1, -1, -1)):
        warm = best[keep]
        for place in side:
            z = float(_ALONG[place])
            held = replace(
                patient,
                names=tuple(patient.names[j] for j in keep),
                priors=tuple(patient.priors[j] for j in keep),
                fixed={**patient.fixed, name: float(patient.priors[column].value(z))},
            )
            found = optima(held, [warm]).mixture
            warm = found.modes[0].theta
            logs[place] = found.log_evidence - 0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    top = logs.max()
    share = np.exp(logs - top)
    log_evidence = top + np.log(share.sum() * (_ALONG[1] - _ALONG[0]))
    share /= share.sum()
    mean = float(share @ _ALONG)
    return Integrated(float(log_evidence), mean, float(np.sqrt(share @ (_ALONG - mean) ** 2)))
