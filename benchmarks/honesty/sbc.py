"""Simulation-based calibration: truths from the prior, patients from the truths, and where posteriors place them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from benchmarks.honesty.ledger import Record, Study, stamp_of
from benchmarks.honesty.patients import NOTHING, Watched, drives, full, reduced
from benchmarks.honesty.posteriors import (
    fitted,
    laplace,
    log_likelihoods,
    positions,
    quantities,
    reweighted,
    sampled,
)
from cellsim.errors import CellsimError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import replicate

# of the sampler: warm-up, draws, and how many are kept so that they are nearly independent
REDUCED_CHAIN = {"tune": 200, "draws": 400, "keep": 100}
FULL_CHAIN = {"tune": 100, "draws": 150, "keep": 50}


def patient(
    objective: Objective, watched: Watched, chain: dict[str, int], chained: int, starts: int, k: int
) -> Record:
    """One truth, one patient, every posterior; patients from number `chained` on are not sampled."""
    begun = time.perf_counter()
    random = np.random.default_rng([k, 1])
    theta = random.standard_normal(len(objective.names))
    try:
        made = replicate(objective, theta, seed=k)
        mixture = fitted(made, k, starts)
        truth = quantities(made, theta[None], watched, log_likelihoods(made, theta[None]))[0]
        draws = laplace(made, mixture, watched, n=400, seed=k)
        mended, k_hat = reweighted(mixture, draws)
        out: Record = {
            "modes": len(mixture.modes),
            "k_hat": round(k_hat, 2),
            "laplace": positions(draws, theta, truth, random),
            "psis": positions(mended, theta, truth, random),
        }
        if k < chained:
            chained_draws, went = sampled(made, mixture, watched, seed=k, **chain)
            out |= {"nuts": positions(chained_draws, theta, truth, random), **went}
    except (CellsimError, np.linalg.LinAlgError) as error:
        out = {"failed": str(error)[:200]}
    return {**out, "seconds": round(time.perf_counter() - begun, 1)}


def names(objective: Objective, watched: Watched) -> Sequence[str]:
    """Of the numbers in every list of positions."""
    return (*objective.names, "log-likelihood", *watched.names)


def judged() -> dict[str, tuple[Objective, Watched]]:
    """What is put to the test, by study."""
    return {
        "reduced": (reduced(), NOTHING),
        "V2": (full("V2"), drives(full("V2"))),
        "V0": (full("V0"), drives(full("V0"), contrast=False)),
    }


def studies() -> list[Study]:
    """Reduced, full, and the null."""
    settings = {
        "reduced": (200, 20, REDUCED_CHAIN, 200),
        "V2": (100, 2, FULL_CHAIN, 30),
        "V0": (60, 2, FULL_CHAIN, 0),
    }
    out = []
    for name, (objective, watched) in judged().items():
        patients, quick, chain, chained = settings[name]
        one = partial(patient, objective, watched, chain, chained, 2)
        out.append(
            Study("sbc", name, stamp_of(objective, settings=(chain, watched.names)), patients, quick, one)
        )
    return out
