"""The evidence of a variant from draws of its posterior: a check on Laplace's approximation.

Bridge sampling (Meng and Wong 1996, Statistica Sinica 6:831; iterated as in Gronau et al. 2017, J Math Psychol
81:80): a normal distribution fitted to one half of the draws is the bridge's other end for the other half. Its error is that of
Fruehwirth-Schnatter (2004, Econom J 7:143), with autocorrelation counted through the effective sample size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from cellsim.comparison.reweighting import Exact, Reweighting
from cellsim.errors import CalibrationError, CutShortError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.convergence import converged, smoothed_weights
from cellsim.posterior.fitting import optima
from cellsim.posterior.variational import VariationalApproximation, VariationalEvidence
from cellsim.posterior.variational_fitting import refit
from cellsim.threads import CORES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.posterior.posterior import Posterior

    Array = NDArray[np.float64]

__all__ = [
    "ALL",
    "BRIDGE",
    "COLLAPSED",
    "EITHER",
    "POWERS",
    "Bridge",
    "bridge",
    "evidence_and_draws",
    "evidence_of",
    "evidence_slopes",
    "groups_of",
    "with_power",
    "with_power_by_weights",
]

# by what draws tell an evidence; and by either, a variant one, a variant the other
BRIDGE, COLLAPSED, EITHER = "bridge sampling", "the collapsed sampler", "sampling"
_ENOUGH = 1e-8
# of simulations, as in the sampler
_RTOL = 1e-3
_LOST = 0.01
_MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Bridge:
    """A log evidence by bridge sampling.

    Attributes
    ----------
    log_evidence : float
        All constants included.
    error : float
        Its standard error, by the draws used; a normal distribution that misses a mode is not seen by it.
    lost : int
        Draws that had no likelihood and play no part.
    doubts : tuple of str
        About the draws it was taken from.
    means : str
        ``"bridge sampling"`` of chains, or ``"the collapsed sampler"`` where the draws brought it with them.
    """

    log_evidence: float
    error: float
    lost: int = 0
    doubts: tuple[str, ...] = ()
    means: str = BRIDGE


def evidence_of(post: Posterior) -> Bridge:
    """The log evidence that draws of a posterior give: their own where they were weighted, else by bridge sampling.

    Parameters
    ----------
    post : Posterior
        Made with ``hierarchy=False``, as evidences of calibrations are.

    Raises
    ------
    CalibrationError
        As :func:`bridge` does.
    """
    if post.drawn.weighted is not None:
        found = Bridge(post.log_evidence, post.log_evidence_error, means=COLLAPSED)
    else:
        rows = post.drawn.scored.log_likelihood.sum(axis=-1)
        found = bridge(post.objective, post.drawn.thetas, rows, seed=post.run.seed)
    return replace(found, doubts=tuple(post.doubts))


def evidence_and_draws(
    fit: Calibration,
    post: Posterior | None = None,
    *,
    days: Sequence[float] = (),
    **options: Any,
) -> tuple[Bridge, Reweighting | Exact]:
    """The evidence of a variant, and draws of its posterior to be weighted for others.

    Parameters
    ----------
    fit : Calibration
    post : Posterior, optional
        Drawn already; the collapsed sampler draws else, or chains where nothing is nearly linear.
    days : sequence of float
        Days on which samples will be held.
    **options
        Of :func:`cellsim.sample`.

    Returns
    -------
    evidence : Bridge
    weighted : Reweighting or Exact
    """
    if not WithoutDays(fit.objective, _RTOL).columns.size:
        exact = Exact(fit.objective)
        return Bridge(exact.log_evidence, 0.0, means=COLLAPSED), exact
    if post is None:
        post = posterior_of(fit, **options)
        if post.interrupted:
            raise KeyboardInterrupt
    found = evidence_of(post)
    return found, Reweighting(post, log_evidence=found.log_evidence, days=days, seed=post.run.seed)


def posterior_of(fit: Calibration, *, effective: int = 400, draws: int = 400, **options: Any) -> Posterior:
    """Weighted draws, or chains where nothing is nearly linear; spreads of hierarchies held as in the calibration."""
    from cellsim.posterior.posterior import sample

    try:
        return sample(
            fit,
            method="collapsed",
            effective=effective,
            budget=max(50, 10 * effective),
            draws=draws,
            hierarchy=False,
            **options,
        )
    except CutShortError:
        raise
    except CalibrationError:
        return sample(fit, method="nuts", draws=max(effective, 4), hierarchy=False, **options)


def bridge(objective: Objective, thetas: Array, log_likelihood: Array, *, seed: int) -> Bridge:
    """Estimate ln p(data) from draws of the posterior.

    Parameters
    ----------
    objective : Objective
    thetas : array, shape (n_chains, n_draws, n_parameters)
        Prior-whitened.
    log_likelihood : array, shape (n_chains, n_draws)
        Of all rows, with all constants; nan for a draw that could not be scored, which then plays no part.
    seed : int
        Of the draws from the normal approximation.

    Returns
    -------
    Bridge

    Raises
    ------
    CalibrationError
        With too few draws to fit a normal distribution to half of them, and when more than a hundredth of them have no
        likelihood.

    Examples
    --------
    >>> import cellsim as cs
    >>> post = cs.sample(cs.load_case("sjogren_rfib"), hierarchy=False)  # doctest: +SKIP
    >>> rows = post.drawn.scored.log_likelihood  # doctest: +SKIP
    >>> bridge(post.objective, post.thetas, rows.sum(axis=-1), seed=1)  # doctest: +SKIP
    """
    chains, length, size = thetas.shape
    half = length // 2
    if chains * half < 4 * size:
        raise CalibrationError(
            f"{chains * length} draws of {size} parameters are too few for a bridge: at least {8 * size} are needed."
        )
    lost = int(np.isnan(log_likelihood).sum())
    if lost > _LOST * log_likelihood.size:
        raise CalibrationError(
            f"{lost} of {log_likelihood.size} draws have no likelihood: what is left of them is no posterior to take an "
            "evidence from."
        )
    fitted, used = thetas[:, :half].reshape(-1, size), thetas[:, half:]
    centre: Array = fitted.mean(axis=0)
    root: Array = np.linalg.cholesky(np.cov(fitted.T) + 1e-9 * np.eye(size)).astype(float)
    fresh = np.random.default_rng(seed).standard_normal((used.shape[0] * used.shape[1], size))
    proposed = centre + fresh @ root.T
    scored = objective.log_likelihoods(proposed, threads=CORES)
    at_draws = (
        log_likelihood[:, half:] + _normal(used, np.zeros(size), np.eye(size)) - _normal(used, centre, root)
    )
    at_fresh = scored + _normal(proposed, np.zeros(size), np.eye(size))
    at_fresh = at_fresh - _normal(proposed, centre, root)
    known = np.isfinite(at_draws)
    # a few gaps, filled so that the order of the others still tells how they hang together
    whole = np.where(known, at_draws, np.median(at_draws[known]))
    effective = float(np.clip(converged(whole[..., None]).ess_bulk[0], 1.0, known.sum()))
    return replace(_between(at_draws[known], at_fresh, effective), lost=lost)


def _normal(theta: Array, centre: Array, root: Array) -> Array:
    """Log density of a normal distribution along the last axis; `root` is the Cholesky factor of its covariance."""
    size = centre.size
    z = np.linalg.solve(root, (theta - centre).reshape(-1, size).T).T
    out = -0.5 * (z**2).sum(axis=-1) - np.log(np.diag(root)).sum() - 0.5 * size * np.log(2 * np.pi)
    return np.asarray(out.reshape(theta.shape[:-1]))


def _between(at_draws: Array, at_fresh: Array, effective: float) -> Bridge:
    """Iterate the optimal bridge; inputs are ln(posterior unnormalised / normal) at draws of either."""
    middle = float(np.median(at_draws))
    one, other = np.exp(at_draws - middle), np.exp(np.minimum(at_fresh - middle, 700.0))
    share = effective / (effective + other.size)
    rest, ratio = 1 - share, 1.0
    for _ in range(_MOST_ROUNDS):
        upper = np.mean(other / (share * other + rest * ratio))
        lower = np.mean(1 / (share * one + rest * ratio))
        before, ratio = ratio, float(upper / lower)
        if abs(ratio / before - 1) < _ENOUGH:
            break
    f_fresh = other / (share * other + rest * ratio)
    f_draws = 1 / (share * one + rest * ratio)
    squared = np.var(f_fresh) / np.mean(f_fresh) ** 2 / other.size
    squared += np.var(f_draws) / np.mean(f_draws) ** 2 / effective
    return Bridge(middle + float(np.log(ratio)), float(np.sqrt(squared)))


ALL = "all priors"
# what priors are raised to when it is asked what hangs on them
POWERS = (0.5, 2.0)


def groups_of(fit: Calibration) -> dict[str, list[int]]:
    """Columns of theta by the case's groups of parameters, and all of them."""
    found: dict[str, list[int]] = {}
    for j, name in enumerate(fit.objective.names):
        found.setdefault(fit.case.prior(name).group or "others", []).append(j)
    return {**found, ALL: list(range(len(fit.objective.names)))}


def evidence_slopes(fit: Calibration, normal: VariationalEvidence | None = None) -> dict[str, float]:
    """d ln evidence / d ln alpha of every group's priors.

    Parameters
    ----------
    fit : Calibration
    normal : VariationalEvidence, optional
        Its moments go before those of Laplace's mixture; unknown sampling days have only the latter.

    Returns
    -------
    dict of str to float

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> -60 < evidence_slopes(fit)["all priors"] < 60
    True
    """
    by_laplace = dict(
        zip(fit.objective.names, np.diag(fit.mixture.covariance) + fit.mixture.mean**2, strict=True)
    )
    known = {**by_laplace, **(normal.second if normal is not None else {})}
    second = np.array([known[name] for name in fit.objective.names])
    return {group: float(np.sum(1 - second[columns]) / 2) for group, columns in groups_of(fit).items()}


def with_power_by_weights(post: Posterior, columns: Iterable[int], alpha: float) -> float:
    """By how much the log evidence changes when the priors of some parameters are raised to a power, from weighted draws.

    A standard normal prior raised to the power a, and normalised, is N(0, 1/a): every draw counts
    a^(1/2) exp((1 - a) theta^2/2) times as much for each parameter, and the mean of that is the ratio of the evidences.

    Parameters
    ----------
    post : Posterior
        Weighted draws.
    columns : iterable of int
        Of theta.
    alpha : float
        Below one: wider priors.

    Returns
    -------
    float
        nan where the new weights cannot be trusted (Pareto k of 0.7 and more), and for chains.
    """
    weighted, chosen = post.drawn.weighted, list(columns)
    if weighted is None:
        return np.nan
    bend = 0.5 * (1 - alpha) * (weighted.thetas[:, :, chosen] ** 2).sum(axis=2)
    new = logsumexp(weighted.log_weights + bend + 0.5 * len(chosen) * np.log(alpha), axis=1)
    fine = np.isfinite(new)
    _, shape = smoothed_weights(new[fine])
    old = logsumexp(weighted.log_weights)
    return float(logsumexp(new[fine]) - old) if shape < LARGEST_SHAPE else np.nan


def with_power(
    fit: Calibration,
    columns: Iterable[int],
    alpha: float,
    *,
    approximation: VariationalApproximation | None = None,
) -> float:
    """The log evidence when the priors of some parameters are raised to a power.

    Parameters
    ----------
    fit : Calibration
    columns : iterable of int
        Of theta.
    alpha : float
        Below one: wider priors.
    approximation : VariationalApproximation, optional
        The one nearest to the posterior: the evidence is then that of the approximation nearest to the new posterior. By default
        Laplace's, fitted anew from the known optima.

    Returns
    -------
    float
    """
    chosen = set(columns)
    objective = replace(
        fit.objective,
        priors=tuple(
            prior.widened(alpha**-0.5) if j in chosen else prior
            for j, prior in enumerate(fit.objective.priors)
        ),
    )
    # the same parameter values, in the coordinate of the new prior
    scale = np.array([alpha**0.5 if j in chosen else 1.0 for j in range(len(objective.names))])
    if approximation is None:
        return optima(objective, [mode.theta * scale for mode in fit.mixture.modes]).mixture.log_evidence
    return refit(approximation, objective, approximation.theta * scale).log_evidence
