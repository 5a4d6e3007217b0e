"""How well a variant predicts what it was not shown: every analyte, and every visit, left out in turn.

The log predictive density of rows g given all others is a difference of evidences,

    ln p(y_g | y_rest) = ln p(y) - ln p(y_rest),

the second of which draws of the posterior give that are weighted for the rest, or moved and then weighted
(:mod:`cellsim.comparison.reweighting`); where Pareto's k says that neither can be trusted, the rest is sampled by itself. The k stands
with each number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellsim.comparison.evidence import Evidence, change_of
from cellsim.comparison.reweighting import Exact, Reweighting
from cellsim.errors import CalibrationError, equal_fields, hash_fields
from cellsim.likelihood.objective import Objective
from cellsim.posterior.calibration import Calibration

__all__ = ["Left", "all_left_out", "groups_of_rows", "left_out", "stacking"]


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
        By ``"draws"`` as they stand, ``"moved draws"``, ``"fresh draws"`` given all others, or ``"quadrature"``; where no row is left,
        by what the evidence is known.
    shape : float
        Pareto shape k of the weights, trusted below 0.7; nan of chains.
    error : float
        Standard error of the density, as far as the weights tell.
    """

    by: str
    group: str
    rows: int
    elpd: float
    how: str
    shape: float
    error: float

    __eq__ = equal_fields
    __hash__ = hash_fields


def groups_of_rows(objective: Objective) -> dict[tuple[str, str], tuple[int, ...]]:
    """Which rows belong to each analyte and to each visit; a row may belong to no visit."""
    found: dict[tuple[str, str], list[int]] = {}
    for k, term in enumerate(objective.terms):
        found.setdefault(("analyte", term.analyte), []).append(k)
        if term.visit:
            found.setdefault(("visit", term.visit), []).append(k)
    return {key: tuple(rows) for key, rows in found.items()}


def left_out(
    fit: Calibration,
    known: Evidence,
    weighted: Reweighting | Exact,
    by: str,
    group: str,
    rows: Sequence[int],
    *,
    seed: int = 0,
    thorough: bool = True,
) -> Left:
    """Predict a group of rows from all others.

    Parameters
    ----------
    fit : Calibration
        Of all rows.
    known : Evidence
    weighted : Reweighting or Exact
        Evidence and draws of its posterior, see :func:`cellsim.comparison.evidence.evidence_and_draws`.
    by, group : str
    rows : sequence of int
        Of the terms of its objective.
    seed : int
        Of fresh draws, where weights cannot be trusted.
    thorough : bool, default True
        As for :func:`cellsim.comparison.evidence.change_of`.

    Returns
    -------
    Left

    Raises
    ------
    CalibrationError
        If no draws tell what the other rows say.
    """
    objective, gone = fit.objective, set(rows)
    kept = tuple(term for k, term in enumerate(objective.terms) if k not in gone)
    if not kept:
        # nothing is left to learn from: the prior predicts
        return Left(by, group, len(rows), known.log_evidence, known.means, known.pareto_k, known.error)
    rest = change_of(fit, known, weighted, replace(objective, terms=kept), seed=seed, thorough=thorough)
    return Left(by, group, len(rows), -rest.value, rest.how, rest.shape, rest.error)


def all_left_out(
    fit: Calibration,
    known: Evidence,
    weighted: Reweighting | Exact,
    *,
    seed: int = 0,
    thorough: bool = True,
) -> tuple[list[Left], list[str]]:
    """Every analyte and every visit in turn, and in words which could not be predicted; parameters as for :func:`left_out`."""
    found, problems = [], []
    for (by, group), rows in groups_of_rows(fit.objective).items():
        try:
            found.append(left_out(fit, known, weighted, by, group, rows, seed=seed, thorough=thorough))
        except CalibrationError as error:
            name = fit.variant or fit.case.name
            problems.append(f"{by} {group} of {name} could not be predicted from all others: {error}")
    return found, problems


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
