"""What was said of plans in a study, counted against what is true: bands, chances, and answers by the library's own rule.

Patients are independent of one another, plans and pairs of one patient are not: errors are over patients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.honesty.ledger import Record
from benchmarks.honesty.ranks import Rate, mean_and_error
from cellsim.posterior.approximation import LARGEST_SHAPE
from cellsim.posterior.convergence import USABLE_ESS
from cellsim.sweeps.agreement import Agreement, Chance, agreement

Array = NDArray[np.float64]
# of the chance that is given to the plan it favours
EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
MAIN = 0


@dataclass(frozen=True)
class Patient:
    """One synthetic patient.

    Attributes
    ----------
    makes : str
        The mechanism of the truth.
    readings : mapping of str to Record
        What was found with each mechanism.
    """

    makes: str
    readings: Mapping[str, Record]

    @property
    def own(self) -> Mapping[str, Record]:
        """Read with the true mechanism alone."""
        return {self.makes: self.readings[self.makes]}

    @property
    def others(self) -> Mapping[str, Record]:
        """With the true one left out."""
        return {name: each for name, each in self.readings.items() if name != self.makes}

    @property
    def apart(self) -> Array:
        """By how much the first plan of each pair is truly better, by the measure that decides."""
        return np.array(next(iter(self.readings.values()))["apart"][MAIN])


Among = Callable[[Patient], Mapping[str, Record]]


def joined(makes: str, lines: Mapping[str, Sequence[Record]]) -> list[Patient]:
    """Patients that were read with every mechanism, from the lines of each; those of which a reading failed are left out."""
    by = {name: {line["k"]: line for line in each if "failed" not in line} for name, each in lines.items()}
    whole = sorted(set.intersection(*(set(each) for each in by.values()))) if by else []
    return [Patient(makes, {name: each[k] for name, each in by.items()}) for k in whole]


def weights(readings: Mapping[str, Record]) -> Array:
    """Of each mechanism, by its evidence."""
    logs = np.array([each["evidence"] for each in readings.values()])
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum())


def averaged(readings: Mapping[str, Record], key: str) -> Array:
    """A chance, or a position among draws, averaged over mechanisms by their evidence, shape (n_measures, ...)."""
    return np.asarray(np.tensordot(weights(readings), np.array([each[key] for each in readings.values()]), 1))


def said_of(readings: Mapping[str, Record], pair: int) -> Agreement:
    """What the library says of a pair of plans."""
    chances = {
        name: Chance(
            each["chance"][MAIN][pair],
            each["error"][MAIN][pair],
            each["prior"][MAIN][pair],
            each["k_hat"] < LARGEST_SHAPE and each["effective"] >= USABLE_ESS,
        )
        for name, each in readings.items()
    }
    evidence = {name: each["evidence"] for name, each in readings.items()}
    errors = {name: each["evidence_error"] for name, each in readings.items()}
    return agreement(chances, evidence, errors)


# ---- bands ----------------------------------------------------------------------------------------


def in_bands(patients: Sequence[Patient], among: Among, measure: int, level: float) -> tuple[float, float]:
    """Share of plans that were not given whose truth lies in the band, and its error over patients."""
    u = np.array([averaged(among(each), "u")[measure, 1:] for each in patients])
    return mean_and_error((np.abs(u - 0.5) < level / 2).mean(axis=1))


# ---- chances --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bin:
    """Statements of about one chance.

    Attributes
    ----------
    low, high : float
        Of the chance given to the plan it favours.
    pairs : int
    mean : float
        What was said, on average.
    share : float
        How often that plan was truly better; a truth of two equals counts half.
    one : Rate
        The same of one pair of each patient, drawn at random: these are independent. Equals are drawn for.
    """

    low: float
    high: float
    pairs: int
    mean: float
    share: float
    one: Rate


def reliability(patients: Sequence[Patient], among: Among, measure: int, *, seed: int = 0) -> list[Bin]:
    """Of the times a chance was said to be about p, how often it came true; pairs that no draw tells apart say nothing."""
    random = np.random.default_rng(seed)
    rows = []
    for k, each in enumerate(patients):
        chance = averaged(among(each), "chance")[measure]
        truth = np.sign(np.array(next(iter(each.readings.values()))["apart"][measure]))
        side = np.sign(chance - 0.5)
        came = 0.5 * (1 + side * truth)
        rows += [
            (k, folded, hit)
            for folded, hit, told in zip(0.5 + np.abs(chance - 0.5), came, side, strict=True)
            if told
        ]
    table = np.array(rows).reshape(-1, 3)
    out = []
    for low, high in pairwise(EDGES):
        inside = table[(table[:, 1] >= low) & ((table[:, 1] < high) | (high == 1.0))]
        if not len(inside):
            continue
        chosen = [random.choice(inside[inside[:, 0] == k, 2]) for k in np.unique(inside[:, 0])]
        hits = sum(random.random() < each for each in chosen)
        out.append(
            Bin(
                low,
                high,
                len(inside),
                float(inside[:, 1].mean()),
                float(inside[:, 2].mean()),
                Rate(int(hits), len(chosen)),
            )
        )
    return out


# ---- answers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tally:
    """Answers of the rule over pairs of plans.

    Attributes
    ----------
    pairs, said, wrong : int
        Pairs of plans; those of which one was said to be better; those of which it is not (worse, or equal).
    patients : Rate
        Patients of whom anything wrong was said, among those of whom anything was said.
    found : tuple of Rate
        Of pairs that truly differ by more than each of the sizes stated: those decided.
    leads : tuple of float
        Of each patient of whom something wrong was said: nats by which the evidence of the true mechanism is ahead of the best that was asked.
    hangs_on : Counter
        Why nothing was said: reasons of :class:`~cellsim.sweeps.agreement.Agreement`, or ``"nobody"`` where no mechanism tells the two apart.
    """

    pairs: int
    said: int
    wrong: int
    patients: Rate
    found: tuple[Rate, ...]
    leads: tuple[float, ...]
    hangs_on: Counter[str]


def tally(patients: Sequence[Patient], among: Among, sizes: Sequence[float]) -> Tally:
    """Count what is said by the measure that decides."""
    pairs = said = wrong = spoken = misled = 0
    large, decided = np.zeros(len(sizes), int), np.zeros(len(sizes), int)
    hangs_on: Counter[str] = Counter()
    leads = []
    for each in patients:
        readings, told, off = among(each), 0, 0
        for pair, apart in enumerate(each.apart):
            found = said_of(readings, pair)
            side = {"first": 1, "second": -1, "tie": 0}[found.better]
            told += side != 0
            off += side != 0 and side * apart <= 0
            above = abs(apart) > np.array(sizes)
            large += above
            decided += above & (side != 0)
            if not side:
                hangs_on.update(set(found.hangs_on.values()) or {"nobody"})
        pairs += len(each.apart)
        said, wrong = said + told, wrong + off
        spoken, misled = spoken + (told > 0), misled + (off > 0)
        if off:
            best = max(line["evidence"] for line in readings.values())
            leads.append(each.readings[each.makes]["evidence"] - best)
    return Tally(
        pairs,
        said,
        wrong,
        Rate(misled, spoken),
        tuple(map(Rate, decided.tolist(), large.tolist())),
        tuple(leads),
        hangs_on,
    )
