"""How often evidence prefers an effect when there is none, and when there is one."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.honesty.ledger import Record, Study, stamp_of
from benchmarks.honesty.patients import full
from benchmarks.honesty.posteriors import fitted, integrated
from cellsim.errors import CellsimError
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.replicates import replicate

VARIANTS = ("V0", "V0b", "V2", "V4")
NULLS, EFFECTS = ("V0", "V0b"), ("V2", "V4")
# prior standard deviations of e above its median, so e = 1.3: the drive at the full memory falls to well below a half
STRONG = 1.5


def drawn_truth(objective: Objective, k: int) -> np.ndarray:
    """A truth from the prior of its variant."""
    return np.random.default_rng([k, 3]).standard_normal(len(objective.names))


def strong_truth(objective: Objective, k: int) -> np.ndarray:
    """The same with a strong effect."""
    theta = drawn_truth(objective, k)
    theta[objective.names.index("e")] = STRONG
    return theta


def made_of(kind: str, k: int) -> Objective:
    """A patient of the null, or with a strong effect under V2 or V4."""
    truth = full("V0" if kind == "null" else kind)
    return replicate(truth, drawn_truth(truth, k) if kind == "null" else strong_truth(truth, k), seed=k)


def evidence(made: Objective, siblings: dict[str, Objective], seed: int) -> Record:
    """ln evidence of the patient's rows under each variant, Laplace; null where it could not be found."""
    out: Record = {}
    for name, objective in siblings.items():
        try:
            # rows are scored alike in every variant: formulas are numbered in the order of the case's tables
            found = fitted(replace(objective, terms=made.terms), seed).log_evidence
            out[name] = round(found, 3) if np.isfinite(found) else None
        except (CellsimError, np.linalg.LinAlgError):
            out[name] = None
    return out


def patient(kind: str, k: int) -> Record:
    """One patient: of the null, or with an effect under V2 or V4."""
    begun = time.perf_counter()
    try:
        made = made_of(kind, k)
        out: Record = {"evidence": evidence(made, {name: full(name) for name in VARIANTS}, k)}
    except CellsimError as error:
        out = {"failed": str(error)[:200]}
    return {**out, "seconds": round(time.perf_counter() - begun, 1)}


# what the whole drive hangs on in each: integrated by quadrature where the Laplace mixture is too crude
_HINGES = {"V0": "phi", "V2": "e", "V4": "e"}


def closer(kind: str, k: int) -> Record:
    """The same patient as :func:`patient` makes, its evidence by quadrature along the parameter that matters most."""
    begun = time.perf_counter()
    out: Record = {"evidence": {}, "mean": {}}
    try:
        made = made_of(kind, k)
        for name in ("V0", "V2"):
            sibling = replace(full(name), terms=made.terms)
            found = integrated(sibling, _HINGES[name], fitted(sibling, k))
            out["evidence"][name] = round(found.log_evidence, 3)
            out["mean"][name] = round(found.mean, 3)
    except (CellsimError, np.linalg.LinAlgError) as error:
        out = {"failed": str(error)[:200]}
    return {**out, "seconds": round(time.perf_counter() - begun, 1)}


def published(k: int) -> Record:
    """The case itself under one variant, both ways."""
    begun = time.perf_counter()
    name = tuple(_HINGES)[k]
    objective = full(name)
    mixture = fitted(objective, 0)
    column = objective.names.index(_HINGES[name])
    better = integrated(objective, _HINGES[name], mixture)
    return {
        "variant": name,
        "parameter": _HINGES[name],
        "laplace": [
            round(mixture.log_evidence, 2),
            round(mixture.mean[column], 2),
            round(float(np.sqrt(mixture.covariance[column, column])), 2),
        ],
        "quadrature": [round(better.log_evidence, 2), round(better.mean, 2), round(better.sd, 2)],
        "seconds": round(time.perf_counter() - begun, 1),
    }


def studies() -> list[Study]:
    """The null, and a strong effect with and without killing; some of them more closely; the published case."""
    stamp = stamp_of(*(full(name) for name in VARIANTS), settings=STRONG)
    return [
        Study("preference", "null", stamp, 50, 2, partial(patient, "null")),
        Study("preference", "V2", stamp, 24, 1, partial(patient, "V2")),
        Study("preference", "V4", stamp, 24, 1, partial(patient, "V4")),
        Study("preference", "null, closer", stamp, 12, 0, partial(closer, "null")),
        Study("preference", "V2, closer", stamp, 5, 0, partial(closer, "V2")),
        Study("preference", "published", stamp, 3, 0, published),
    ]
