"""Dosing answers held against truths: plans that were not given, which of two does better, and when that is said.

A line is one patient of one mechanism read with one: the truth is drawn from the prior of the former, the rows from the truth, the
posterior is that of the latter by :func:`cellsim.sample`. Lines of one patient are joined afterwards, so that the true mechanism may be among those
compared, or left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

import cellsim as cs
from benchmarks.honesty.families import Family, prior_numbers, shipped, small
from benchmarks.honesty.ledger import Record, Study, stamp_of
from benchmarks.honesty.patients import NOTHING
from benchmarks.honesty.posteriors import Draws, log_likelihoods, positions, quantities
from benchmarks.honesty.ranks import position
from cellsim.errors import CellsimError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import replicate
from cellsim.posterior.calibration import Calibration, versions
from cellsim.posterior.fitting import optima
from cellsim.posterior.posterior import Posterior
from cellsim.sweeps.decisions import beats
from cellsim.sweeps.learned import difference

Array = NDArray[np.float64]

# changes when a line would come out otherwise for the same case: how a posterior is found, what is remembered of it
METHOD = (
    "collapsed sampler, days by their evidence to first order, each value and the moments left out where it is weighed, 2 starts, "
    "spreads of hierarchies held, an approximation of 18 steps, 480 places at least, modes that draws show"
)
# effective draws asked for, draws that are allowed for them, draws of one weight made of them
EFFECTIVE, BUDGET, DRAWS = 100, 1600, 200
# number of the first patient: those before it are of the other studies
FIRST = 300


def truth_of(objective: Objective, k: int) -> Array:
    """A truth from the prior of a mechanism."""
    return np.random.default_rng([k, 1]).standard_normal(len(objective.names))


def posterior(patient: Objective, k: int) -> Posterior:
    """Fitted from the prior medians and one draw of the prior, then sampled."""
    size = len(patient.names)
    begin = [np.zeros(size), np.random.default_rng(k).standard_normal(size)]
    found = optima(patient, begin, whole=False, progress=False)
    fit = Calibration(patient, found.mixture, found.starts, k, {"doubts": []}, versions=versions())
    return cs.sample(
        fit,
        method="collapsed",
        hierarchy=False,
        effective=EFFECTIVE,
        budget=BUDGET,
        draws=DRAWS,
        seed=k,
        progress=False,
    )


def reading(family: Family, makes: str, reads: str, k: int) -> Record:
    """Patient number `k` of one mechanism, read with one."""
    begun = time.process_time()
    makes_it, reads_it = family.objectives[makes], family.objectives[reads]
    theta = truth_of(makes_it, k)
    random = np.random.default_rng([k, 4])
    try:
        made = replicate(makes_it, theta, seed=k)
        # rows are scored alike in every mechanism: formulas are numbered in the order of the case's tables
        patient = replace(reads_it, terms=made.terms)
        post = posterior(patient, k)
        weighted = post.drawn.weighted
        assert weighted is not None
        out: Record = {
            "k_hat": round(post.pareto_k, 2),
            "effective": round(post.effective),
            "draws": len(weighted.thetas),
            "outer": len(weighted.outer),
            "evidence": round(post.log_evidence, 3),
            "evidence_error": round(post.log_evidence_error, 3),
            **judged(
                family.better,
                family.numbers(patient, post.flat),
                prior_numbers(family, reads),
                family.numbers(makes_it, theta[None])[:, :, 0],
                post.effective,
                random,
            ),
        }
        if makes == reads:
            watched = family.watched if makes == next(iter(family.objectives)) else NOTHING
            truth = quantities(made, theta[None], watched, log_likelihoods(made, theta[None]))[0]
            likelihoods = post.drawn.scored.log_likelihood[0].sum(axis=1)
            flat = np.full(len(post.flat), 1 / len(post.flat))
            draws = Draws(post.flat, quantities(patient, post.flat, watched, likelihoods), flat)
            out["collapsed"] = positions(draws, theta, truth, random)
    except (CellsimError, np.linalg.LinAlgError) as error:
        out = {"failed": str(error)[:200]}
    return {**out, "seconds": round(time.process_time() - begun, 1)}


def judged(
    better: Sequence[int],
    draws: Array,
    prior: Array,
    truth: Array,
    effective: float,
    random: np.random.Generator,
) -> Record:
    """What a posterior says of every plan and every pair of plans, and what is true.

    Parameters
    ----------
    better : sequence of int
        Of each measure: 1 where more is better, -1 where less is.
    draws, prior : array, shape (n_plans, n_measures, n_draws)
        nan where a draw could not be simulated.
    truth : array, shape (n_plans, n_measures)
    effective : float
        Independent draws these are worth.
    random : numpy.random.Generator
        For ties.

    Returns
    -------
    dict
        ``truth`` and ``u`` (share of draws below it) by measure and plan; by measure and pair of plans, in the order of
        :func:`itertools.combinations`: ``chance`` that the first does better, its Monte Carlo ``error``, the chance by the ``prior``, and ``apart``, by
        how much the first is truly better.
    """
    draws, prior = (each[:, :, np.isfinite(each).all(axis=(0, 1))] for each in (draws, prior))
    worth = min(effective, draws.shape[2])
    out: Record = {name: [] for name in ("truth", "u", "chance", "error", "prior", "apart")}
    for m, sign in enumerate(better):
        true = truth[:, m]
        out["truth"].append([_short(each) for each in true])
        # what the solver cannot tell apart is equal
        out["u"].append(
            [
                round(
                    position(
                        0.0,
                        difference(draws[i, m], np.full(draws.shape[2], each)),
                        random,
                    ),
                    4,
                )
                for i, each in enumerate(true)
            ]
        )
        pairs = list(combinations(range(len(true)), 2))
        said = [beats(sign * draws[i, m], sign * draws[j, m], worth) for i, j in pairs]
        before = [beats(sign * prior[i, m], sign * prior[j, m], prior.shape[2]) for i, j in pairs]
        out["chance"].append([round(float(chance), 4) for chance, _ in said])
        out["error"].append([round(float(error), 4) for _, error in said])
        out["prior"].append([round(float(chance), 4) for chance, _ in before])
        out["apart"].append([_short(sign * float(difference(true[i], true[j]))) for i, j in pairs])
    return out


def _short(number: float) -> float:
    return float(f"{number:.5g}")


FAMILIES: dict[str, Callable[[], Family]] = {"small": small, "shipped": shipped}


# of which mechanism, read with which, how many, of a trial, and in which turn
ASKED = {
    "small": [
        *(("memory", reads, 200, 3, 0) for reads in ("memory", "null", "short")),
        *((makes, reads, 60, 1, 2) for makes in ("null", "short") for reads in ("memory", "null", "short")),
    ],
    "shipped": [
        ("V2", "V2", 60, 1, 1),
        ("V2", "V0", 60, 0, 2), ("V0", "V2", 60, 0, 2), ("V0", "V0", 60, 0, 2),
        ("V2", "V3", 60, 0, 3), ("V0", "V3", 60, 0, 3), ("V3", "V0", 60, 0, 3), ("V3", "V2", 60, 0, 3), ("V3", "V3", 60, 0, 3),
    ],
}  # fmt: skip


def name_of(family: str, makes: str, reads: str) -> str:
    """A study's name."""
    return f"{family}: {makes} read as {reads}"


def studies(names: Sequence[str] = tuple(FAMILIES)) -> Sequence[Study]:
    """The small model first, then patients of the shipped case, their own mechanism first."""
    out = []
    for name in names:
        family = FAMILIES[name]()
        for makes, reads, patients, quick, turn in ASKED[name]:
            objectives = [family.objectives[each] for each in dict.fromkeys((makes, reads))]
            stamp = stamp_of(*objectives, settings=(METHOD, EFFECTIVE, BUDGET, DRAWS, *family.settings))
            one = partial(reading, family, makes, reads)
            out.append(
                Study("decisions", name_of(name, makes, reads), stamp, patients, quick, one, FIRST, turn)
            )
    return out
