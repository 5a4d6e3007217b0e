"""Laws that ranks and rates obey when a posterior is right, and how surprising what was found is.

For a truth drawn from the prior and data drawn given the truth, the share u of an exact posterior below the truth is
uniform on (0, 1), for every parameter and everything computed from parameters (Talts et al. 2018, arXiv 1804.06788).
The simultaneous bands are those of Sailynoja, Burkner and Vehtari, Stat Comput 32:32 (2022): at every point z the
number of u <= z is binomial, and one pointwise level is chosen such that a uniform sample stays inside everywhere with
the probability asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

Array = NDArray[np.float64]

_POINTS, _SIMULATED = 100, 4000


def position(truth: float, draws: Array, random: np.random.Generator, weights: Array | None = None) -> float:
    """Share of the draws below the truth: uniform for exact draws, ties and the ends broken at random."""
    size = draws.size
    weights = np.full(size, 1 / size) if weights is None else weights
    below, tied = float(weights[draws < truth].sum()), float(weights[draws == truth].sum())
    return (size * (below + random.random() * tied) + random.random()) / (size + 1)


def _grid(n: int) -> Array:
    points = min(n, _POINTS)
    return np.arange(1, points) / points


def _level(u: Array) -> Array:
    """Twice the smallest pointwise tail probability of each sample, shape (..., n) -> (...)."""
    n = u.shape[-1]
    z = _grid(n)
    counts = np.array([(u <= each).sum(axis=-1) for each in z])
    table_low = np.array([binom.cdf(np.arange(n + 1), n, each) for each in z])
    table_high = np.array([binom.sf(np.arange(n + 1) - 1, n, each) for each in z])
    rows = np.arange(len(z)).reshape(-1, *[1] * (u.ndim - 1))
    return np.asarray(2 * np.minimum(table_low[rows, counts], table_high[rows, counts]).min(axis=0))


@lru_cache(maxsize=32)
def _uniform_levels(n: int) -> Array:
    return np.sort(_level(np.random.default_rng(n).random((_SIMULATED, n))))


def surprise(u: Array) -> Array:
    """p-value of uniformity of samples (..., n) by the simultaneous band that they would just touch.

    By simulation of 4,000 uniform samples, so never below 1/4,001.
    """
    found = _uniform_levels(u.shape[-1])
    return (1 + np.searchsorted(found, _level(u), side="right")) / (1 + found.size)


def band(n: int, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Points z, and the lowest and highest ECDF minus z that a uniform sample of size n has everywhere at once."""
    z, pointwise = _grid(n), float(np.quantile(_uniform_levels(n), 1 - level))
    return z, binom.ppf(pointwise / 2, n, z) / n - z, binom.ppf(1 - pointwise / 2, n, z) / n - z


@dataclass(frozen=True)
class Rate:
    """A share found, with its exact 95 % interval (Clopper and Pearson)."""

    count: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Its ends; 0 and 1 of nothing."""
        low = beta.ppf(0.025, self.count, self.n - self.count + 1) if self.count else 0.0
        high = beta.ppf(0.975, self.count + 1, self.n - self.count) if self.count < self.n else 1.0
        return float(low), float(high)

    def __str__(self) -> str:
        if not self.n:
            return "none"
        low, high = self.interval
        return (
            f"{self.count}/{self.n} = {100 * self.count / self.n:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        )


def mean_and_error(by_patient: Array) -> tuple[float, float]:
    """Mean over patients, and its standard error; patients are independent, what is inside one is not."""
    return float(by_patient.mean()), float(by_patient.std(ddof=1) / np.sqrt(by_patient.size))


def spread(u: Array) -> tuple[float, float]:
    """12 (u - 1/2)^2 over patients (n_patients, n_quantities), with its error.

    1 when exact; above, truths lie too far out: the posterior is too narrow or displaced; below, it is too wide.
    """
    return mean_and_error(12 * ((u - 0.5) ** 2).mean(axis=1))


def coverage(u: Array, level: float) -> tuple[float, float]:
    """Share of truths inside the central interval, over patients (n_patients, n_quantities), with its error."""
    return mean_and_error((np.abs(u - 0.5) < level / 2).mean(axis=1))
