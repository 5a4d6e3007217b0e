"""How well a variant predicts what it was not shown: every analyte, and every visit, left out in turn.

The log predictive density of rows g given all others is a difference of evidences,

    ln p(y_g | y_rest) = ln p(y) - ln p(y_rest),

and so exact as far as these are: of the Gaussian variational approximation of each posterior (:mod:`cellsim.posterior.variational_fitting`), or
without one up to Laplace's approximation, which moves each optimum by Newton steps after the rows are gone; where
these do not settle, the rest is fitted anew. With draws of the posterior the same is had without any fit by
Pareto-smoothed importance sampling (Vehtari et al. 2024, JMLR 25:72), which says by its shape k when it cannot be
trusted: whole visits mostly cannot.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.objective import Objective
from cellsim.posterior.convergence import smoothed_weights
from cellsim.posterior.curvature import ON_THE_WAY
from cellsim.posterior.fitting import optima
from cellsim.posterior.laplace import Mixture, Mode
from cellsim.posterior.variational import VariationalApproximation
from cellsim.posterior.variational_fitting import refit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Left", "all_left_out", "groups_of_rows", "left_out", "smoothed", "stacking"]

# above one half the weights have no variance. Up to 0.7 is usable for single rows; for the groups left out here the
# shape is itself so noisy that sums at 0.59 to 0.74 were up to 1.3 nats off (bridge sampling of the rest, small patient
# of the tests), and none below one half by more than 0.06
LARGEST_SHAPE = 0.5
# Newton steps, how near in posterior sd they must come, and how much of a step is tried
_STEPS, _SETTLED, _SHRINK = 8, 0.02, (1.0, 0.4, 0.15)


@dataclass(frozen=True)
class Left:
    """One group of rows predicted by all others.

    Attributes
    ----------
    by, group : str
        ``"analyte"`` or ``"visit"``, and which.
    rows : int
    elpd : float
        ln p(its rows | all others), constants included.
    how : str
        ``"draws"`` (importance sampling), ``"variational"`` (variational approximations), or by Laplace ``"steps"`` (Newton steps from
        the optima) or ``"refit"``.
    shape : float
        Pareto shape k of the importance weights; nan without draws.
    """

    by: str
    group: str
    rows: int
    elpd: float
    how: str
    shape: float = float("nan")


def groups_of_rows(objective: Objective) -> dict[tuple[str, str], tuple[int, ...]]:
    """Which rows belong to each analyte and to each visit; a row may belong to no visit."""
    found: dict[tuple[str, str], list[int]] = {}
    for k, term in enumerate(objective.terms):
        found.setdefault(("analyte", term.analyte), []).append(k)
        if term.visit:
            found.setdefault(("visit", term.visit), []).append(k)
    return {key: tuple(rows) for key, rows in found.items()}


def left_out(
    objective: Objective,
    mixture: Mixture,
    by: str,
    group: str,
    rows: Sequence[int],
    *,
    draws: Array | None = None,
    approximation: VariationalApproximation | None = None,
) -> Left:
    """Predict a group of rows from all others.

    Parameters
    ----------
    objective : Objective
    mixture : Mixture
        Its optima.
    by, group : str
    rows : sequence of int
        Of `objective.terms`.
    draws : array, shape (n_draws, n_terms), optional
        Log-likelihood of every row under draws of the posterior.
    approximation : VariationalApproximation, optional
        The one nearest to the posterior: goes before Laplace's approximation.

    Returns
    -------
    Left

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), variant="V0", starts=1)
    >>> rows = groups_of_rows(fit.objective)["analyte", "ESR"]
    >>> left_out(fit.objective, fit.mixture, "analyte", "ESR", rows).how
    'steps'
    """
    shape = float("nan")
    if draws is not None:
        elpd, shape = smoothed(draws[:, list(rows)].sum(axis=1))
        if shape <= LARGEST_SHAPE:
            return Left(by, group, len(rows), elpd, "draws", shape)
    kept = tuple(term for k, term in enumerate(objective.terms) if k not in set(rows))
    if not kept:
        # nothing is left to learn from: the prior predicts
        whole, how = (
            (mixture.log_evidence, "steps")
            if approximation is None
            else (approximation.log_evidence, "variational")
        )
        return Left(by, group, len(rows), whole, how, shape)
    rest, how = replace(objective, terms=kept), "steps"
    if approximation is not None:
        # an approximation that cannot be followed there leaves it to the optima
        with suppress(CalibrationError):
            return Left(
                by,
                group,
                len(rows),
                approximation.log_evidence - refit(approximation, rest).log_evidence,
                "variational",
                shape,
            )
    moved = [_moved(objective, rest, mode) for mode in mixture.modes]
    if any(each is None for each in moved):
        how = "refit"
        found = optima(rest, [mode.theta for mode in mixture.modes])
        moved = list(found.mixture.modes)
    without = Mixture(tuple(each for each in moved if each is not None)).log_evidence
    return Left(by, group, len(rows), mixture.log_evidence - without, how, shape)


def _moved(objective: Objective, rest: Objective, mode: Mode) -> Mode | None:
    """The optimum without some rows, by Newton steps; None where they do not settle.

    The curvature is that of Gauss and Newton at each point, plus what second derivatives added at the mode.
    """
    rtol = max(objective.rtol, ON_THE_WAY)
    before = objective.evaluate(mode.theta, gradient=True, rtol=rtol).jacobian
    assert before is not None
    curved = mode.curvature - before.T @ before
    if not mode.theta.size:
        there = rest.evaluate(mode.theta)
        return replace(mode, log_likelihood=float(there.log_likelihood.sum()), objective=there.objective)
    theta, here = mode.theta, rest.evaluate(mode.theta, gradient=True, rtol=rtol)
    for _ in range(_STEPS):
        if here.failure or here.jacobian is None:
            return None
        curvature = curved + here.jacobian.T @ here.jacobian
        values, vectors = np.linalg.eigh(curvature)
        if values[0] <= 0:
            return None
        along = (vectors.T @ here.gradient) / np.sqrt(values)
        if np.linalg.norm(along) < _SETTLED:
            there = rest.evaluate(theta)
            return Mode(theta, curvature, float(there.log_likelihood.sum()), there.objective)
        move = -(vectors @ (along / np.sqrt(values)))
        for shrink in _SHRINK:
            there = rest.evaluate(theta + shrink * move, gradient=True, rtol=rtol)
            if not there.failure and there.objective < here.objective:
                break
        else:
            return None
        theta, here = theta + shrink * move, there
    return None


def all_left_out(
    objective: Objective,
    mixture: Mixture,
    *,
    draws: Array | None = None,
    approximation: VariationalApproximation | None = None,
) -> tuple[Left, ...]:
    """Every analyte and every visit in turn, on all cores; parameters as for :func:`left_out`."""
    groups = groups_of_rows(objective)

    def predicted(item: tuple[tuple[str, str], tuple[int, ...]]) -> Left:
        return left_out(objective, mixture, *item[0], item[1], draws=draws, approximation=approximation)

    if approximation is not None:
        # each of its steps is on all cores
        return tuple(map(predicted, groups.items()))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(pool.map(predicted, groups.items()))


def smoothed(log_likelihood: Array) -> tuple[float, float]:
    """ln p(rows | all others) from draws given all rows, and the shape of the weights.

    Parameters
    ----------
    log_likelihood : array, shape (n_draws,)
        Of the rows left out, under each draw of the posterior given all rows.

    Returns
    -------
    elpd, shape : float
    """
    weights, shape = smoothed_weights(-log_likelihood)
    return float(np.logaddexp.reduce(weights + log_likelihood)), shape


def stacking(elpd: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Weights under which a mixture of variants predicts best what was left out.

    Maximises sum over groups of ln sum over variants of w exp(elpd) (Yao et al. 2018, Bayesian Anal 13:917), a concave
    problem, by the rounds of expectation and maximisation of a mixture with known parts.

    Parameters
    ----------
    elpd : mapping of str to sequence of float
        Variant -> log predictive density of each group, groups in the same order.

    Returns
    -------
    dict of str to float
        Summing to one.

    Examples
    --------
    >>> weights = stacking({"a": [0.0, 0.0], "b": [-9.0, -9.0]})
    >>> round(weights["a"], 6)
    1.0
    """
    table = np.array(list(elpd.values()), float).T
    odds = np.exp(table - table.max(axis=1, keepdims=True))
    weights = np.full(odds.shape[1], 1 / odds.shape[1])
    for _ in range(20_000):
        shares = weights * odds
        new = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.max(np.abs(new - weights)) < 1e-9:
            break
        weights = new
    return dict(zip(elpd, weights.tolist(), strict=True))
