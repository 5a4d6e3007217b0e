"""Recovery: patients made again and again from stated truths, and how often intervals hold them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from benchmarks.honesty.ledger import Record, Study, stamp_of
from benchmarks.honesty.patients import drives, full
from benchmarks.honesty.posteriors import Draws, fitted, laplace, positions, sampled
from benchmarks.honesty.sbc import FULL_CHAIN
from cellsim.errors import CellsimError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import replicate

PATIENTS, QUICK, CHAINED = 16, 1, 6
SAMPLED = ("medians", "autologous")


@dataclass(frozen=True)
class Truth:
    """A state of the world, and the variant its patients are read with.

    Attributes
    ----------
    meaning : str
    variant, read_with : str
        Which generates, which is fitted.
    values : mapping
        What differs from the prior medians.
    """

    meaning: str
    variant: str
    read_with: str
    values: Mapping[str, float] = field(default_factory=dict)


TRUTHS = {
    "medians": Truth("every parameter at its prior median", "V2", "V2"),
    "autologous": Truth(
        "a strong effect, donor cells killed fast: e = 1.2, kappa = 5", "V2", "V2", {"e": 1.2, "kappa": 5.0}
    ),
    "null": Truth("cells do nothing (V0), read with the null", "V0", "V0"),
    "null read as V2": Truth("cells do nothing (V0), read as if they did", "V0", "V2"),
    "short": Truth(
        "second sample on the day after an infusion (day 22)", "V2", "V2", {"e": 1.2, "day_after4": 22.0}
    ),
    "allogeneic": Truth(
        "donor cells 2.7 times as potent, nobody kills them: e = 1.2, ln q = 1",
        "V6",
        "V6",
        {"e": 1.2, "ln_q_allo": 1.0},
    ),
    "allogeneic read as V2": Truth(
        "the same, read with killing in place of potency", "V6", "V2", {"e": 1.2, "ln_q_allo": 1.0}
    ),
}


def shared(truth: Truth) -> tuple[Objective, Objective, list[str]]:
    """The generating and the reading objective, and the parameters both have."""
    makes, reads = full(truth.variant), full(truth.read_with)
    return makes, reads, [name for name in reads.names if name in makes.names]


def truth_theta(truth: Truth) -> np.ndarray:
    """Where the truth stands, prior-whitened."""
    objective = full(truth.variant)
    theta = np.zeros(len(objective.names))
    moved = objective.theta(truth.values)
    for name in truth.values:
        theta[objective.names.index(name)] = moved[objective.names.index(name)]
    return theta


def patient(truth: Truth, chain: Mapping[str, int] | None, k: int) -> Record:
    """One patient of a truth: where the truth stands in the posterior, how far the mean is off, how wide it is.

    The posterior is the Laplace mixture, or a chain of the sampler that starts from it.
    """
    begun = time.perf_counter()
    random = np.random.default_rng([k, 2])
    makes, reads, both = shared(truth)
    theta = truth_theta(truth)
    try:
        # rows are scored alike in every variant: formulas are numbered in the order of the case's tables
        read = replace(reads, terms=replicate(makes, theta, seed=k).terms)
        mixture, watched = fitted(read, k), drives(reads)
        draws = (
            laplace(read, mixture, watched, n=400, seed=k)
            if chain is None
            else sampled(read, mixture, watched, seed=k, **chain)[0]
        )
        numbers = np.concatenate([[np.nan], drives(makes).of(theta[None])[0]])
        place = np.array([reads.names.index(name) for name in both])
        there = np.zeros(len(reads.names))
        there[place] = theta[[makes.names.index(name) for name in both]]
        found = np.array(positions(draws, there, numbers, random))
        mean, spread = draws.thetas.mean(axis=0), draws.thetas.var(axis=0)
        if chain is None:
            mean, spread = mixture.mean, np.diag(mixture.covariance)
        out: Record = {
            "u": found[place].tolist(),
            "bias": np.round((mean - there)[place], 3).tolist(),
            "contraction": np.round(1 - spread[place], 3).tolist(),
            "u_numbers": found[len(reads.names) + 1 :].tolist(),
            **summary(draws),
        }
    except (CellsimError, np.linalg.LinAlgError) as error:
        out = {"failed": str(error)[:200]}
    return {**out, "seconds": round(time.perf_counter() - begun, 1)}


def summary(draws: Draws) -> Record:
    """Mean and standard deviation of what is predicted."""
    inside = draws.quantities[:, 1:]
    inside = inside[np.isfinite(inside).all(axis=1)]
    return {
        "mean_numbers": np.round(inside.mean(axis=0), 4).tolist(),
        "sd_numbers": np.round(inside.std(axis=0), 4).tolist(),
    }


def published(k: int) -> Record:
    """The case itself, whose truth nobody knows: what the mixture says, and what chain number k says."""
    begun = time.perf_counter()
    objective = full("V2")
    mixture, watched = fitted(objective, 0), drives(objective)
    chained, went = sampled(objective, mixture, watched, seed=k, tune=200, draws=250, keep=125)
    return {
        "laplace": summary(laplace(objective, mixture, watched, n=400, seed=k)),
        "nuts": summary(chained),
        **went,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def numbers(truth: Truth) -> Sequence[str]:
    """Names of what is predicted."""
    return drives(full(truth.read_with)).names


def studies() -> list[Study]:
    """One for each truth; two of them sampled as well; the published case."""
    out = []
    for name, truth in TRUTHS.items():
        objectives = shared(truth)[:2]
        stamp = stamp_of(*objectives, settings=(truth, numbers(truth)))
        out.append(Study("coverage", name, stamp, PATIENTS, QUICK, partial(patient, truth, None)))
        if name in SAMPLED:
            stamp = stamp_of(*objectives, settings=(truth, numbers(truth), FULL_CHAIN))
            one = partial(patient, truth, FULL_CHAIN)
            out.append(Study("coverage", f"{name}, sampled", stamp, CHAINED, 0, one))
    stamp = stamp_of(full("V2"), settings="published")
    out.append(Study("coverage", "published", stamp, 2, 0, published))
    return out
