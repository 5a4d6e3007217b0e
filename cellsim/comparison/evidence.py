"""The evidence of a variant from draws of its posterior: their own where they were weighted, else by bridge sampling.

Bridge sampling (Meng and Wong 1996, Statistica Sinica 6:831; iterated as in Gronau et al. 2017, J Math Psychol
81:80): a normal distribution fitted to one half of the draws is the bridge's other end for the other half. Its error is that of
Fruehwirth-Schnatter (2004, Econom J 7:143), with autocorrelation counted through the effective sample size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.comparison.draw_maps import carried
from cellsim.comparison.reweighted import RTOL, Reweighted
from cellsim.comparison.reweighting import Exact, Reweighting
from cellsim.errors import CalibrationError, CutShortError, equal_fields, hash_fields
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.convergence import converged
from cellsim.posterior.fitting import optima
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
    "QUADRATURE",
    "Change",
    "Evidence",
    "altered",
    "bridge",
    "change_of",
    "evidence_and_draws",
    "evidence_of",
    "evidence_slopes",
    "groups_of",
    "hopeless",
    "posterior_of",
    "with_power",
]

# by what an evidence is known; and by either, a variant one, a variant the other
BRIDGE, COLLAPSED, EITHER, QUADRATURE = ("bridge sampling", "the collapsed sampler", "sampling", "quadrature")
# how draws of an altered posterior were had that was sampled by itself
FRESH = "fresh draws"
_ENOUGH = 1e-8
_LOST = 0.01
_MOST_ROUNDS = 1000
# Pareto k of weights without a mean: what they are weighted for once more means nothing
_HOPELESS = 1.0
# effective draws of an altered posterior, sampled by itself
_AGAIN = 40


@dataclass(frozen=True)
class Evidence:
    """A log evidence from draws.

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
        ``"bridge sampling"`` of chains, ``"the collapsed sampler"`` where the draws brought it with them, or ``"quadrature"`` where
        only sampling days are estimated.
    pareto_k, effective : float
        Shape of the weights, nan of chains, and effective draws.
    second : mapping of str to float
        Mean square of every parameter, prior-whitened.
    """

    log_evidence: float
    error: float
    lost: int = 0
    doubts: tuple[str, ...] = ()
    means: str = BRIDGE
    pareto_k: float = float("nan")
    effective: float = float("nan")
    second: Mapping[str, float] = field(default_factory=dict)

    __eq__ = equal_fields
    __hash__ = hash_fields


def hopeless(evidence: Evidence) -> str:
    """Why draws that gave an evidence tell nothing of an altered posterior; empty where they do."""
    if evidence.pareto_k > _HOPELESS:
        return f"its own draws are not to be trusted (Pareto k {evidence.pareto_k:.2f})"
    return ""


def evidence_of(post: Posterior) -> Evidence:
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
        found = Evidence(post.log_evidence, post.log_evidence_error, means=COLLAPSED, pareto_k=post.pareto_k)
    else:
        rows = post.drawn.scored.log_likelihood.sum(axis=-1)
        found = bridge(post.objective, post.drawn.thetas, rows, seed=post.run.seed)
    thetas, weights = post.weighted
    second = weights @ thetas**2 / weights.sum()
    return replace(
        found,
        doubts=tuple(post.doubts),
        effective=post.effective,
        second=dict(zip(post.objective.names, second.tolist(), strict=True)),
    )


def evidence_and_draws(
    fit: Calibration, post: Posterior | None = None, *, days: Sequence[float] = (), **options: Any
) -> tuple[Evidence, Reweighting | Exact]:
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
    evidence : Evidence
    weighted : Reweighting or Exact
    """
    if not WithoutDays(fit.objective, RTOL).columns.size:
        exact = Exact(fit.objective)
        return Evidence(exact.log_evidence, 0.0, means=QUADRATURE, pareto_k=0.0, second=exact.second), exact
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
            draws=draws,
            hierarchy=False,
            **options,
        )
    except CutShortError:
        raise
    except CalibrationError:
        return sample(fit, method="nuts", draws=max(effective, 4), hierarchy=False, **options)


def bridge(objective: Objective, thetas: Array, log_likelihood: Array, *, seed: int) -> Evidence:
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
    Evidence

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


def _between(at_draws: Array, at_fresh: Array, effective: float) -> Evidence:
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
    return Evidence(middle + float(np.log(ratio)), float(np.sqrt(squared)))


ALL = "all priors"
# what priors are raised to when it is asked what hangs on them
POWERS = (0.5, 2.0)


def groups_of(fit: Calibration) -> dict[str, list[int]]:
    """Columns of theta by the case's groups of parameters, and all of them."""
    found: dict[str, list[int]] = {}
    for j, name in enumerate(fit.objective.names):
        found.setdefault(fit.case.prior(name).group or "others", []).append(j)
    return {**found, ALL: list(range(len(fit.objective.names)))}


def evidence_slopes(fit: Calibration, evidence: Evidence) -> dict[str, float]:
    """d ln evidence / d ln alpha of every group's priors.

    Parameters
    ----------
    fit : Calibration
    evidence : Evidence
        Of its posterior: the mean squares of its parameters say.

    Returns
    -------
    dict of str to float
    """
    second = np.array([evidence.second[name] for name in fit.objective.names])
    return {group: float(np.sum(1 - second[columns]) / 2) for group, columns in groups_of(fit).items()}


def with_power(objective: Objective, columns: Iterable[int], alpha: float) -> Objective:
    """An objective with the priors of some parameters raised to a power.

    Parameters
    ----------
    objective : Objective
    columns : iterable of int
        Of theta.
    alpha : float
        Below one: wider priors.

    Returns
    -------
    Objective
    """
    chosen = set(columns)
    priors = (
        prior.widened(alpha**-0.5) if j in chosen else prior for j, prior in enumerate(objective.priors)
    )
    return replace(objective, priors=tuple(priors))


@dataclass(frozen=True)
class Change:
    """What other rows or priors make of a log evidence.

    Attributes
    ----------
    value, error : float
        ln evidence with them less that of the posterior as it stands, and its standard error as far as weights tell.
    shape : float
        Pareto k of the weights, trusted below 0.7; nan of chains.
    how : str
        By ``"draws"`` as they stand, ``"moved draws"``, ``"fresh draws"`` of the altered posterior, or ``"quadrature"`` where only
        sampling days are estimated.
    """

    value: float
    error: float
    shape: float
    how: str

    __eq__ = equal_fields
    __hash__ = hash_fields


def change_of(
    fit: Calibration,
    known: Evidence,
    weighted: Reweighting | Exact,
    objective: Objective,
    *,
    seed: int,
    thorough: bool = True,
) -> Change:
    """By how much the ln evidence changes when rows or priors are others; parameters and errors as for :func:`altered`."""
    found = altered(fit, known, weighted, objective, seed=seed, thorough=thorough)
    error = float(np.hypot(found.error, known.error)) if found.how == FRESH else found.error
    return Change(found.log_evidence - weighted.log_evidence, error, found.pareto_k, found.how)


def altered(
    fit: Calibration,
    known: Evidence,
    weighted: Reweighting | Exact,
    objective: Objective,
    *,
    seed: int,
    thorough: bool = True,
) -> Reweighted:
    """Draws of the posterior of another objective: other rows, priors, noise, limits or days, or parameters held.

    The draws are weighted, moved before where that can be (:mod:`cellsim.comparison.reweighting`). Where no weights can be trusted, the
    altered posterior is sampled by itself if the evidence as it stands can be trusted.

    Parameters
    ----------
    fit : Calibration
        Of the posterior as it stands.
    known : Evidence
        Its evidence.
    weighted : Reweighting or Exact
        Its draws.
    objective : Objective
        The other one.
    seed : int
        Of fresh draws.
    thorough : bool, default True
        Whether an altered posterior may be sampled by itself, half a minute each; without, what weights tell is told with its k.

    Returns
    -------
    Reweighted

    Raises
    ------
    CalibrationError
        If neither its draws nor fresh ones tell it.
    """
    found, problem = None, None
    try:
        found = weighted.of(objective)
        # a difference from an evidence that is not trusted itself gains nothing by fresh draws
        if not thorough or found.trusted or known.pareto_k >= LARGEST_SHAPE:
            return found
    except CalibrationError as error:
        if not thorough:
            raise
        problem = error
    try:
        fresh = _fresh(fit, objective, seed)
    except CutShortError:
        raise KeyboardInterrupt from None
    except CalibrationError as error:
        if found is None:
            raise (problem or error) from None
        return found
    if found is not None and not found.few and fresh.pareto_k >= found.pareto_k:
        return found
    if isinstance(weighted, Reweighting):
        weighted.keep(fresh)
    return fresh


def _fresh(fit: Calibration, objective: Objective, seed: int) -> Reweighted:
    """Draws of the posterior of another objective, sampled by itself from the modes of a calibration."""
    places = np.array([mode.theta for mode in fit.mixture.modes])
    mixture = optima(objective, list(carried(fit.objective, objective, places)[0])).mixture
    post = posterior_of(
        replace(fit, objective=objective, mixture=mixture, point=None),
        effective=_AGAIN,
        draws=_AGAIN,
        seed=seed,
        progress=False,
    )
    evidence = evidence_of(post)
    drawn = Reweighting(post, log_evidence=evidence.log_evidence, seed=seed).unaltered()
    shape = evidence.pareto_k if np.isfinite(evidence.pareto_k) else drawn.pareto_k
    return replace(drawn, how=FRESH, error=evidence.error, pareto_k=shape)
