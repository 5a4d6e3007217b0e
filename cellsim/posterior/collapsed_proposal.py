"""From where a collapsed sampler draws its outer parameters u, and what it learns from what it found there.

The first round draws from a mixture of normal distributions, the base b: the variational approximation's marginal, wider where the
rows have taught it something, and those of the modes of the calibration. Every later one draws from

    q(u)  ~  (1 - share) b'(u) exp(beta s(u))  +  share b(u),

b' being the base and a normal distribution with the moments found so far, s a Gaussian process regression of ln (posterior
marginal / b') on all draws so far (Rasmussen and Williams 2006, ch. 2), and the last part the defensive one, which
bounds every weight (Hesterberg 1995, Technometrics 37:185). Draws of the first part are made by systematic resampling of very many of
b', which costs no simulation; the mean of exp(beta s) over the same candidates is the constant. With it the expected weight is the
evidence however few candidates there are: over all choices among c_1 ... c_M, with t_i = exp(beta s(c_i)),

    sum of t_i / sum(t) . f(c_i) / (b'(c_i) t_i / mean(t))  =  mean of f(c_i) / b'(c_i),

whose expectation over candidates of b' is the integral of f. (Beside the defensive part the constant enters a sum, and its own error
leaves a part in M of the evidence.) A draw counts against the mixture of all rounds, whichever it came from (deterministic
mixture weights: Owen and Zhou 2000, J Am Stat Assoc 95:135), and against that of a later round as if the regression had not known this
draw: a value that chance made high would raise the density there, lower its own weight, and with it the evidence (by half a nat
where values are noisy and the regression follows them). The same goes for the normal distribution with the moments found so far, where one draw
holds a tenth of all shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from cellsim.likelihood.linear_rows import inverse
from cellsim.threads import on_all_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "Normal",
    "NormalMixture",
    "Surface",
    "Tilted",
    "log_density_of_all",
    "matern",
    "mixed",
    "squared_distances",
    "systematic",
    "tilted",
    "widened",
]

_LOG_TWO_PI = float(np.log(2 * np.pi))
# a direction of less variance than this has been learned, and is drawn this much wider, never wider than the prior by more
_LEARNED, _WIDER, _WIDEST = 0.85, 1.35, 1.05
# of a tilted proposal: its defensive part, how far it trusts the regression, the moments' part of what is tilted
_DEFENSIVE, _TRUST, _MOMENTS = 0.15, 0.8, 0.5
# draws that are tilted by resampling, and those of one thread
_CANDIDATES, _PART = 10_000, 1000
# of the regression: draws used, and how far below the middle a value is taken for what it is; reaches that are tried, in standard
# deviations and roots of the dimension, sizes, in variances of the values, and variances of what one draw tells; and draws by which
# these are judged
_MOST, _FLOOR = 1000, 7.0
_REACHES, _SIZES, _NOISES = np.array([0.7, 1.0, 1.4, 2.0]), np.array([1.0, 3.0]), (0.3, 1.0)
_TRIED = 300
# moments are those of weights raised to this power, which more draws share; no draw is left out of them that holds more than this, nor one
# that holds so little that it moves nothing
_TEMPER, _HEAVIEST, _LIGHT = 0.7, 0.9, 2e-4


@dataclass(frozen=True, eq=False)
class Normal:
    """A normal distribution.

    Attributes
    ----------
    mean : array, shape (n,)
    covariance : array, shape (n, n)
    """

    mean: Array
    covariance: Array
    root: Array = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", np.linalg.cholesky(self.covariance))

    def log_density(self, places: Array) -> Array:
        """At places of shape (k, n), shape (k,)."""
        z = np.linalg.solve(self.root, (places - self.mean).T)
        size = np.log(np.diag(self.root)).sum() + 0.5 * self.mean.size * _LOG_TWO_PI
        return np.asarray(-0.5 * (z**2).sum(axis=0) - size)


@dataclass(frozen=True, eq=False)
class NormalMixture:
    """Several, with their shares, which add up to one.

    Examples
    --------
    >>> one = NormalMixture((Normal(np.zeros(1), np.eye(1)),), np.ones(1))
    >>> float(one.log_density(np.zeros((1, 1)))[0].round(4))
    -0.9189
    """

    parts: tuple[Normal, ...]
    shares: Array

    def draws(self, n: int, random: np.random.Generator) -> Array:
        """Independent draws, shape (n, n_parameters)."""
        return np.asarray(self.labelled(n, random)[0])

    def labelled(self, n: int, random: np.random.Generator) -> tuple[Array, NDArray[np.intp]]:
        """Independent draws, and of which part each is."""
        which = random.choice(len(self.parts), size=n, p=self.shares)
        normals = random.standard_normal((n, self.parts[0].mean.size))
        means = np.array([each.mean for each in self.parts])
        roots = np.array([each.root for each in self.parts])
        return means[which] + np.einsum("kij,kj->ki", roots[which], normals), which

    def log_density(self, places: Array) -> Array:
        """At places of shape (k, n), shape (k,)."""
        each = [
            np.log(share) + part.log_density(places)
            for part, share in zip(self.parts, self.shares, strict=True)
        ]
        return np.asarray(logsumexp(each, axis=0))

    def moments(self) -> Normal:
        """The normal distribution of the same mean and covariance."""
        mean = self.shares @ np.array([each.mean for each in self.parts])
        covariance = np.zeros((mean.size, mean.size))
        for share, part in zip(self.shares, self.parts, strict=True):
            covariance += share * (part.covariance + np.outer(part.mean - mean, part.mean - mean))
        return Normal(mean, covariance)


def widened(normal: Normal) -> Normal:
    """The same distribution, wider in the directions the rows have taught something, in prior-whitened coordinates."""
    sizes = np.diag(normal.covariance)
    scale = np.where(sizes < _LEARNED, np.clip(_WIDEST / np.sqrt(sizes), 1.0, _WIDER), 1.0)
    return Normal(normal.mean, normal.covariance * np.outer(scale, scale))


@dataclass(frozen=True, eq=False)
class Surface:
    """A Gaussian process regression of values on places.

    The kernel is Matern's of smoothness 5/2, of one reach in all directions of `scale`. Reach, size and noise are those of the greatest
    marginal likelihood among a few.

    Attributes
    ----------
    left_out : array, shape (k,)
        At each of the places it goes through, what it would be there without that one.
    """

    scale: Normal
    reach: float
    places: Array
    middle: float
    size: float
    floor: float
    weights: Array
    left_out: Array

    @classmethod
    def through(cls, places: Array, values: Array, scale: Normal) -> Surface:
        """Through values that are known but for noise.

        Parameters
        ----------
        places : array, shape (k, n)
        values : array, shape (k,)
            Of these the lowest are not followed downwards.
        scale : Normal
            In whose standard deviations distances count.
        """
        whole = places
        chosen = np.arange(len(places))
        if len(places) > _MOST:
            chosen = np.linspace(0, len(places) - 1, _MOST).astype(int)
            places, values = places[chosen], values[chosen]
        values = np.maximum(values, np.median(values) - _FLOOR)
        z = np.asarray(np.linalg.solve(scale.root, (places - scale.mean).T).T, float)
        middle, spread = float(values.mean()), float(max(values.var(), 1e-6))
        apart = squared_distances(z, z)
        few = np.linspace(0, len(z) - 1, min(_TRIED, len(z))).astype(int)
        some = np.ix_(few, few)

        def judged(reach: float) -> list[tuple[float, float, float, float]]:
            kernel, out = matern(apart[some], reach), []
            for size, noise in product((spread * _SIZES).tolist(), _NOISES):
                inner = size * kernel + noise * np.eye(few.size)
                out.append((_log_likelihood(inner, values[few] - middle), reach, size, noise))
            return out

        reaches = (np.sqrt(max(places.shape[1], 1)) * _REACHES).tolist()
        _, reach, size, noise = max(each for made in on_all_cores(judged, reaches) for each in made)
        kernel = size * matern(apart, reach)
        precision = inverse(kernel + noise * np.eye(len(z)))
        weights = np.asarray(precision @ (values - middle), float)
        floor = float(np.quantile(values, 0.02))
        made = cls(scale, reach, z, middle, size, floor, weights, np.empty(0))
        # without the i-th value the weights are less precision[:, i] weights[i] / precision[i, i]
        own = (kernel * precision).sum(axis=1) * weights / np.diag(precision)
        left_out = np.empty(len(whole))
        others = np.setdiff1d(np.arange(len(whole)), chosen)
        if others.size:
            left_out[others] = made(whole[others])
        left_out[chosen] = np.maximum(middle + kernel @ weights - own, floor)
        return replace(made, left_out=left_out)

    def __call__(self, places: Array) -> Array:
        # numbers of half the length take a quarter of the time, and are exact to a thousandth of what the regression leaves open
        z = np.linalg.solve(self.scale.root, (places - self.scale.mean).T).T.astype(np.float32)
        known, weights = self.places.astype(np.float32), self.weights.astype(np.float32)

        # a part at a time: all at once would be a table of gigabytes
        def part(first: int) -> NDArray[Any]:
            return np.asarray(
                matern(squared_distances(z[first : first + _PART], known), self.reach) @ weights
            )

        found = np.concatenate(on_all_cores(part, range(0, len(z), _PART))).astype(float)
        return np.maximum(self.middle + self.size * found, self.floor)


def squared_distances(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Of every row of one from every row of the other."""
    apart = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.maximum(apart, 0.0, out=apart)


def matern(apart: NDArray[Any], reach: float) -> NDArray[Any]:
    """Matern's kernel of smoothness 5/2, of size one, from squared distances."""
    r = np.sqrt(apart * apart.dtype.type(5 / reach**2))
    return np.asarray((1 + r * (1 + r / 3)) * np.exp(-r))


def _log_likelihood(covariance: Array, values: Array) -> float:
    root = np.linalg.cholesky(covariance)
    whole = solve_triangular(root, values, lower=True)
    return float(-0.5 * whole @ whole - np.log(np.diag(root)).sum())


@dataclass(frozen=True, eq=False)
class Tilted:
    """What a round draws from.

    Attributes
    ----------
    base : NormalMixture
        The defensive part, and all of it where there is no surface.
    under : NormalMixture
        What is tilted.
    surface : Surface or None
    candidates : array, shape (n_candidates, n)
        Draws of `under`.
    tilts : array, shape (n_candidates,)
        beta s of each.
    left_out : array, shape (k,)
        ln of the density of `under` at each place it was learned from, as if it had been learned from the others alone.
    """

    base: NormalMixture
    under: NormalMixture
    surface: Surface | None = None
    candidates: Array = field(default_factory=lambda: np.empty((0, 0)))
    tilts: Array = field(default_factory=lambda: np.empty(0))
    left_out: Array = field(default_factory=lambda: np.empty(0))

    @cached_property
    def constant(self) -> float:
        """ln of the mean of exp(beta s) over the candidates."""
        return float(logsumexp(self.tilts) - np.log(self.tilts.size))

    def draws(self, n: int, random: np.random.Generator) -> Array:
        """Draws, shape (n, n_parameters), in random order."""
        if self.surface is None:
            return self.base.draws(n, random)
        plain = int(random.binomial(n, _DEFENSIVE))
        chosen = systematic(self.tilts, n - plain, random)
        found = np.concatenate([self.candidates[chosen], self.base.draws(plain, random)])
        return np.asarray(random.permutation(found))

    def log_density(self, places: Array) -> Array:
        """At places of shape (k, n), shape (k,)."""
        if self.surface is None:
            return self.base.log_density(places)
        return self._log_density(places, self.under.log_density(places), self.surface(places))

    def log_density_learned(self, places: Array) -> Array:
        """The same at the places it was learned from, at each as if it had been learned from the others alone."""
        if self.surface is None:
            return self.base.log_density(places)
        return self._log_density(places, self.left_out, self.surface.left_out)

    def _log_density(self, places: Array, under: Array, heights: Array) -> Array:
        plain = self.base.log_density(places)
        bent = under + _TRUST * heights - self.constant
        return np.logaddexp(np.log(1 - _DEFENSIVE) + bent, np.log(_DEFENSIVE) + plain)


def tilted(
    base: NormalMixture,
    places: Array,
    log_target: Array,
    log_weights: Array,
    random: np.random.Generator,
) -> Tilted:
    """What the next round draws from.

    Parameters
    ----------
    base : NormalMixture
    places : array, shape (k, n)
        All draws so far.
    log_target : array, shape (k,)
        What was found of ln of the posterior marginal there.
    log_weights : array, shape (k,)
        Of the draws.
    random : Generator
        Of the candidates.

    Returns
    -------
    Tilted
    """
    if not places.shape[1]:
        return Tilted(base, base)
    powers = np.exp(_TEMPER * (log_weights - log_weights.max()))
    powers /= powers.sum()
    of_base = base.moments()
    mean = powers @ places
    found = (powers[:, None] * (places - mean)).T @ (places - mean)
    moved = _moved(of_base, mean, found, float(powers @ powers))
    under = NormalMixture((*base.parts, widened(moved)), np.append((1 - _MOMENTS) * base.shares, _MOMENTS))
    surface = Surface.through(places, log_target - under.log_density(places), under.moments())
    candidates = under.draws(_CANDIDATES, random)
    left_out = np.logaddexp(
        np.log(1 - _MOMENTS) + base.log_density(places),
        np.log(_MOMENTS) + _left_out(of_base, places, powers, mean, found),
    )
    return Tilted(base, under, surface, candidates, _TRUST * surface(candidates), left_out)


def _moved(base: Normal, mean: Array, covariance: Array, squares: float) -> Normal:
    """A normal distribution between the base and moments found by shares of this sum of squares."""
    effective, size = 1 / squares, mean.size
    share = effective / (effective + size)
    return Normal(
        base.mean + effective / (effective + 5) * (mean - base.mean),
        share * covariance + (1 - share) * base.covariance,
    )


def _left_out(base: Normal, places: Array, shares: Array, mean: Array, covariance: Array) -> Array:
    """ln of the density of the normal distribution with the moments found, at each place as if these were the others'.

    Without the i-th of shares p the mean is m - p d / (1 - p) and the covariance (C - p d d' / (1 - p)) / (1 - p), d being x_i - m.
    """
    squares = float(shares @ shares)
    out = widened(_moved(base, mean, covariance, squares)).log_density(places)
    for i in np.flatnonzero(shares > _LIGHT).tolist():
        place, p = places[i], min(float(shares[i]), _HEAVIEST)
        apart, rest = place - mean, 1 - p
        others = (covariance - p / rest * np.outer(apart, apart)) / rest
        moved = _moved(base, mean - p / rest * apart, others, max(squares - p**2, 1e-12) / rest**2)
        out[i] = float(widened(moved).log_density(place[None])[0])
    return out


def log_density_of_all(rounds: Sequence[tuple[Tilted, int]], places: Array) -> Array:
    """ln of the mixture of all rounds, each by its number of draws, at places of shape (k, n), shape (k,)."""
    return mixed([count for _, count in rounds], [each.log_density(places) for each, _ in rounds])


def mixed(counts: Sequence[int], log_densities: Sequence[Array]) -> Array:
    """ln of a mixture of rounds, each by its number of draws, from ln of the density of each."""
    shares = np.log(np.array(counts) / sum(counts))
    return np.asarray(logsumexp(shares[:, None] + np.array(log_densities), axis=0))


def systematic(log_weights: Array, n: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Indices drawn in proportion to weights, each as often as expected but for less than one, in order.

    Examples
    --------
    >>> systematic(np.log([0.5, 0.25, 0.25]), 4, np.random.default_rng(1)).tolist()
    [0, 0, 1, 2]
    """
    shares = np.exp(log_weights - log_weights.max())
    edges = np.cumsum(shares) / shares.sum()
    places = (np.arange(n) + random.random()) / max(n, 1)
    return np.minimum(np.searchsorted(edges, places, side="right"), shares.size - 1)
