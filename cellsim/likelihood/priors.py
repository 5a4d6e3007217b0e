"""Priors, and the coordinate in which every one of them is a standard normal.

A parameter x with prior distribution function F is carried as theta with F(x) = Phi(theta), Phi the standard
normal distribution function. In theta every prior, truncated or not, is N(0, 1): its residual is theta itself,
contraction is 1 - var(theta), and a shift of one is one prior standard deviation. For a normal prior theta is
(x - mean)/sd, for a log-normal one (ln x - mean)/sd; both are used in that closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CaseError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["FAMILIES", "Coordinates", "Prior", "latin_hypercube"]


class _Normal:
    """The normal distribution by scipy's bare functions: a truncated one is asked in every gradient."""

    def __init__(self, mean: float, sd: float) -> None:
        self.mean, self.sd = mean, sd

    def cdf(self, x: Any) -> Any:
        from scipy.special import ndtr

        return ndtr((np.asarray(x) - self.mean) / self.sd)

    def sf(self, x: Any) -> Any:
        from scipy.special import ndtr

        return ndtr((self.mean - np.asarray(x)) / self.sd)

    def ppf(self, share: Any) -> Any:
        from scipy.special import ndtri

        return self.mean + self.sd * ndtri(share)

    def isf(self, share: Any) -> Any:
        from scipy.special import ndtri

        return self.mean - self.sd * ndtri(share)

    def support(self) -> tuple[float, float]:
        return -np.inf, np.inf

    def logpdf(self, x: Any) -> Any:
        return -0.5 * ((np.asarray(x) - self.mean) / self.sd) ** 2 - np.log(self.sd * np.sqrt(2 * np.pi))


class _Uniform:
    """The uniform distribution, not a number where its ends are none."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = (low, high) if low < high else (np.nan, np.nan)

    def cdf(self, x: Any) -> Any:
        return np.clip((np.asarray(x) - self.low) / (self.high - self.low), 0.0, 1.0)

    def sf(self, x: Any) -> Any:
        return np.clip((self.high - np.asarray(x)) / (self.high - self.low), 0.0, 1.0)

    def ppf(self, share: Any) -> Any:
        return self.low + np.asarray(share) * (self.high - self.low)

    def isf(self, share: Any) -> Any:
        return self.high - np.asarray(share) * (self.high - self.low)

    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def logpdf(self, x: Any) -> Any:
        inside = (np.asarray(x) >= self.low) & (np.asarray(x) <= self.high)
        return np.where(inside, -np.log(self.high - self.low), -np.inf)


class _OfLog:
    """A distribution by that of the logarithm: most priors are one, and scipy.stats takes half a second to load."""

    def __init__(self, of_log: _Normal | _Uniform) -> None:
        self._of_log = of_log

    @staticmethod
    def _log(x: Any) -> Any:
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(np.asarray(x, float), 0.0))

    def cdf(self, x: Any) -> Any:
        return self._of_log.cdf(self._log(x))

    def sf(self, x: Any) -> Any:
        return self._of_log.sf(self._log(x))

    def ppf(self, share: Any) -> Any:
        return np.exp(self._of_log.ppf(share))

    def isf(self, share: Any) -> Any:
        return np.exp(self._of_log.isf(share))

    def support(self) -> tuple[float, float]:
        low, high = self._of_log.support()
        return float(np.exp(low)), float(np.exp(high))

    def logpdf(self, x: Any) -> Any:
        logged = self._log(x)
        # nought at nought itself, where the logarithm has no end
        finite = np.isfinite(logged)
        here = np.where(finite, logged, 0.0)
        return np.where(finite, self._of_log.logpdf(here) - here, -np.inf)


def _logarithms(*ends: float) -> list[float]:
    return [float(np.log(each)) if each > 0 else np.nan for each in ends]


def _by_scipy(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
    def distribution(*parameters: float) -> Any:
        from scipy import stats

        return made(getattr(stats, name), *parameters)

    return distribution


# PEtab's families: how many parameters each takes, and the distribution they mean
FAMILIES: dict[str, tuple[int, Callable[..., Any]]] = {
    "cauchy": (2, _by_scipy("cauchy", lambda family, a, b: family(a, b))),
    "chisquare": (1, _by_scipy("chi2", lambda family, a: family(a))),
    "exponential": (1, _by_scipy("expon", lambda family, a: family(scale=a))),
    "gamma": (2, _by_scipy("gamma", lambda family, a, b: family(a, scale=b))),
    "laplace": (2, _by_scipy("laplace", lambda family, a, b: family(a, b))),
    "log-laplace": (2, _by_scipy("loglaplace", lambda family, a, b: family(1 / b, scale=np.exp(a)))),
    "log-normal": (2, lambda mean, sd: _OfLog(_Normal(mean, sd))),
    "log-uniform": (2, lambda low, high: _OfLog(_Uniform(*_logarithms(low, high)))),
    "normal": (2, _Normal),
    "rayleigh": (1, _by_scipy("rayleigh", lambda family, a: family(scale=a))),
    "uniform": (2, _Uniform),
}


_LEAST = 1e-290  # probability between bounds: below it a double loses digits, and soon is 0


# scipy takes a millisecond to make a distribution, and a gradient asks several times
@lru_cache(maxsize=4096)
def _distribution(family: str, parameters: tuple[float, ...]) -> Any:
    return FAMILIES[family][1](*parameters)


@lru_cache(maxsize=4096)
def _tail(family: str, parameters: tuple[float, ...], lower: float, upper: float) -> int:
    """The half of the family that the bounds lie in: 1 above the median, -1 below it, 0 on both sides of it."""
    median = float(_distribution(family, parameters).ppf(0.5))
    return int(lower >= median) - int(upper <= median)


@lru_cache(maxsize=4096)
def _share(family: str, parameters: tuple[float, ...], lower: float, upper: float) -> float:
    # far out a distribution function is 1 to the last digit: what lies beyond is counted there instead
    whole, tail = _distribution(family, parameters), _tail(family, parameters, lower, upper)
    if not lower < upper:
        return 0.0
    if tail > 0:
        return float(whole.sf(lower) - whole.sf(upper))
    if tail < 0:
        return float(whole.cdf(upper) - whole.cdf(lower))
    return float(1.0 - whole.cdf(lower) - whole.sf(upper))


@dataclass(frozen=True)
class Prior:
    """One parameter's prior: a PEtab family, truncated to its bounds.

    Parameters
    ----------
    family : str
        One of PEtab v2's: cauchy, chisquare, exponential, gamma, laplace, log-laplace, log-normal,
        log-uniform, normal, rayleigh, uniform.
    parameters : tuple of float
        In PEtab's order (log-normal: mean and sd of the logarithm), in the parameter's own unit.
    lower, upper : float
        Truncation, default none.
    spread : float
        Standard deviation of the prior in the coordinate that whitens the family; see :meth:`widened`.

    Raises
    ------
    CaseError
        For an unknown family, a wrong number of parameters, or bounds that leave no probability.

    Examples
    --------
    >>> half_life = Prior("log-normal", (0.0, 0.5))
    >>> float(half_life.value(np.array(0.0)))
    1.0
    """

    family: str
    parameters: tuple[float, ...]
    lower: float = -np.inf
    upper: float = np.inf
    spread: float = 1.0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise CaseError(f"no prior family {self.family!r}. {did_you_mean(self.family, FAMILIES)}")
        wanted = FAMILIES[self.family][0]
        if len(self.parameters) != wanted or not np.all(np.isfinite(self.parameters)):
            raise CaseError(f"a {self.family} prior takes {wanted} finite numbers, seen {self.parameters}.")
        if not self._share() > _LEAST:
            raise CaseError(
                f"{self.family} prior {self.parameters} leaves nothing between {self.lower} and {self.upper} "
                f"(a probability below {_LEAST:g})."
            )
        if not 0 < self.spread < np.inf:
            raise CaseError(f"a prior cannot be spread {self.spread:g} times as wide.")

    def _distribution(self) -> Any:
        return _distribution(self.family, self.parameters)

    def _share(self) -> float:
        """Probability between the bounds, which the truncated density is divided by."""
        return _share(self.family, self.parameters, self.lower, self.upper)

    def _tail(self) -> int:
        return _tail(self.family, self.parameters, self.lower, self.upper)

    @property
    def _closed(self) -> bool:
        natural = 0.0 if self.family == "log-normal" else -np.inf
        return (
            self.family in ("normal", "log-normal") and self.lower <= natural and not np.isfinite(self.upper)
        )

    @property
    def _ends(self) -> tuple[float, float] | None:
        """Where a uniform prior, cut to its bounds, begins and ends; None for another family."""
        if self.family != "uniform":
            return None
        return max(self.lower, self.parameters[0]), min(self.upper, self.parameters[1])

    @property
    def cut(self) -> tuple[bool, bool]:
        """Whether the prior ends below and above at a bound that somebody chose, beyond which there might have been more.

        A box and bounds inside the family's support are such ends; zero, for a quantity that is positive by nature, is none.
        """
        if self.family in ("uniform", "log-uniform"):
            return True, True
        low, high = self._distribution().support()
        return self.lower > low, self.upper < high

    @property
    def lowest(self) -> float:
        """Where the prior, cut to its bounds, begins."""
        return float(max(self.lower, self._distribution().support()[0]))

    def value(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """The parameter at prior-whitened coordinate `theta` (any shape), in its own unit."""
        theta = self.spread * np.asarray(theta, float)
        if self._closed:
            mean, sd = self.parameters
            x = mean + sd * theta
            return np.exp(x) if self.family == "log-normal" else x
        from scipy.special import ndtr

        if (ends := self._ends) is not None:
            reach = (ends[1] - ends[0]) * ndtr(-np.abs(theta))
            return np.asarray(np.where(theta < 0, ends[0] + reach, ends[1] - reach))
        whole, share, tail = self._distribution(), self._share(), self._tail()
        # from the nearer tail, so that neither loses its digits; where both ends lie in one tail, from that one
        low = np.minimum(theta, 0.0) if tail == 0 else theta
        high = -np.maximum(theta, 0.0) if tail == 0 else -theta
        from_below = whole.ppf(whole.cdf(self.lower) + share * ndtr(low)) if tail <= 0 else np.inf
        from_above = whole.isf(whole.sf(self.upper) + share * ndtr(high)) if tail >= 0 else np.inf
        x = np.where((theta < 0) if tail == 0 else tail < 0, from_below, from_above)
        return np.asarray(np.clip(x, self.lower, self.upper))

    def slope(self, theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivative of :meth:`value` with respect to `theta`."""
        if self._closed:
            sd = self.spread * self.parameters[1]
            return sd * self.value(theta) if self.family == "log-normal" else np.full(np.shape(theta), sd)
        normal = np.exp(-0.5 * (self.spread * np.asarray(theta)) ** 2) / np.sqrt(2 * np.pi)
        if (ends := self._ends) is not None:
            return self.spread * (ends[1] - ends[0]) * normal
        return self.spread * normal * np.exp(-self._family_log_density(self.value(theta)))

    def whitened(self, value: float) -> float:
        """The prior-whitened coordinate of `value`; infinite outside the prior's support."""
        from scipy.special import ndtri

        if self._closed:
            mean, sd = self.parameters
            with np.errstate(invalid="ignore", divide="ignore"):
                x = np.log(value) if self.family == "log-normal" else value
            return float((x - mean) / sd / self.spread)
        whole, share, tail = self._distribution(), self._share(), self._tail()
        under = (
            whole.sf(self.lower) - whole.sf(value) if tail > 0 else whole.cdf(value) - whole.cdf(self.lower)
        )
        over = (
            whole.cdf(self.upper) - whole.cdf(value) if tail < 0 else whole.sf(value) - whole.sf(self.upper)
        )
        return float(ndtri(under / share) if under < over else -ndtri(over / share)) / self.spread

    def log_density(self, value: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Log of the truncated density at `value`, in the parameter's own unit, as PEtab defines it."""
        plain = self._family_log_density(value)
        if self.spread == 1.0:
            return plain
        theta = np.vectorize(self.whitened, otypes=[float])(value)
        with np.errstate(invalid="ignore"):
            moved = plain + 0.5 * (self.spread**2 - 1) * theta**2 - np.log(self.spread)
        return np.where(np.isfinite(plain), moved, plain)

    def _family_log_density(self, value: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """The same without :attr:`spread`."""
        inside = (np.asarray(value) >= self.lower) & (np.asarray(value) <= self.upper)
        logged = np.asarray(self._distribution().logpdf(value)) - np.log(self._share())
        return np.where(inside, logged, -np.inf)

    def widened(self, factor: float) -> Prior:
        """A sibling whose whitened coordinate is spread `factor` times as wide around the same median.

        With factor 1/sqrt(alpha) its density, in the whitened coordinate, is this one's to the power alpha, made to
        integrate to one: what power-scaling of priors asks for (Kallioinen et al. 2024, Stat Comput 34:57).
        """
        return replace(self, spread=self.spread * factor)


@dataclass(frozen=True)
class Coordinates:
    """Several priors at once: what :class:`Prior` does, along the last axis of an array.

    Parameters
    ----------
    priors : tuple of Prior

    Examples
    --------
    >>> both = Coordinates((Prior("normal", (1.0, 2.0)), Prior("log-normal", (0.0, 0.5))))
    >>> both.values(np.array([[0.0, 0.0], [1.0, 0.0]])).tolist()
    [[1.0, 1.0], [3.0, 1.0]]
    """

    priors: tuple[Prior, ...]

    @cached_property
    def _closed(self) -> tuple[NDArray[np.intp], Array, Array, NDArray[np.bool_]]:
        """Positions, means, sds and log flags of the priors with a closed form, which go in one sweep."""
        found = [j for j, prior in enumerate(self.priors) if prior._closed]
        mean, sd = (np.array([self.priors[j].parameters[k] for j in found]) for k in (0, 1))
        sd = sd * np.array([self.priors[j].spread for j in found])
        logged = np.array([self.priors[j].family == "log-normal" for j in found], dtype=bool)
        return np.array(found, dtype=np.intp), mean, sd, logged

    @cached_property
    def _boxes(self) -> tuple[NDArray[np.intp], Array, Array, Array]:
        """Positions, ends and spreads of the uniform ones, which go in one sweep too."""
        found = [(j, *prior._ends, prior.spread) for j, prior in enumerate(self.priors) if prior._ends]
        place, low, high, spread = np.array(found, float).reshape(-1, 4).T
        return place.astype(np.intp), low, high, spread

    @cached_property
    def _others(self) -> tuple[tuple[int, Prior], ...]:
        return tuple(
            (j, prior) for j, prior in enumerate(self.priors) if not prior._closed and prior._ends is None
        )

    def values(self, theta: Array) -> Array:
        """Parameters at `theta`, shape (..., n_priors), in their own units."""
        theta = np.asarray(theta, float)
        out = np.empty(theta.shape)
        place, mean, sd, logged = self._closed
        plain = mean + sd * theta[..., place]
        out[..., place] = np.where(logged, np.exp(np.where(logged, plain, 0.0)), plain)
        place, low, high, spread = self._boxes
        if place.size:
            here = spread * theta[..., place]
            reach = (high - low) * self._normal(-np.abs(here))
            out[..., place] = np.where(here < 0, low + reach, high - reach)
        for j, prior in self._others:
            out[..., j] = prior.value(theta[..., j])
        return out

    def slopes(self, theta: Array) -> Array:
        """Derivative of each value with respect to its own coordinate, same shape."""
        theta = np.asarray(theta, float)
        out = np.empty(theta.shape)
        place, mean, sd, logged = self._closed
        out[..., place] = sd * np.where(
            logged, np.exp(np.where(logged, mean + sd * theta[..., place], 0.0)), 1.0
        )
        place, low, high, spread = self._boxes
        if place.size:
            here = spread * theta[..., place]
            out[..., place] = spread * (high - low) * np.exp(-0.5 * here**2) / np.sqrt(2 * np.pi)
        for j, prior in self._others:
            out[..., j] = prior.slope(theta[..., j])
        return out

    @cached_property
    def _normal(self) -> Callable[[Array], Array]:
        """The standard normal distribution function."""
        from scipy.special import ndtr

        return ndtr


def latin_hypercube(count: int, size: int, random: np.random.Generator) -> Array:
    """Points of the unit cube, one in each of `count` slices of every coordinate, shape (count, size).

    Parameters
    ----------
    count, size : int
        Points, and coordinates of each.
    random : Generator

    Returns
    -------
    array
        Between 0 and 1.

    Examples
    --------
    >>> points = latin_hypercube(4, 2, np.random.default_rng(0))
    >>> np.sort(np.floor(4 * points), axis=0).T.tolist()
    [[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]]
    """
    inside = random.uniform(size=(count, size))
    slices = np.tile(np.arange(1, count + 1), (size, 1))
    for each in slices:
        random.shuffle(each)
    return np.asarray((slices.T - inside) / count)
