r"""What a measurement is expected to tell, from draws alone: information, narrowing, and the regret it would remove.

A measurement y is simulated once under every draw theta_j. Its density under every other draw is known, so that the posterior
after y is a matter of weights, w_i p(y_j | theta_i), and nothing is simulated or fitted again. With few draws both the
marginal density of y and what is expected after it are off in a known direction, which depends on whether the draw that made
y takes part. Every answer is therefore a bracket: its two ends are off, on average, to either side.

* Expected information gain E ln p(y | theta) - E ln p(y): the marginal density with the draw that made y is too large, the
  one without it too small (Foster et al., AISTATS 2020; Rainforth et al., ICML 2018, review in Statistical Science 2024).
* Information about a class, such as the mechanism: the same twice, once within the class.
* Share of a number's variance that is removed: below by a regression on y judged on draws it did not see, above by weights with
  the draw that made y.
* Expected value of sample information E max_k E(U_k | y) - max_k E U_k: below by a rule of decision learned on other draws,
  above by weights; never above that of perfect information (Heath, Kunst, Jackson et al., Medical Decision Making 2020;
  Strong, Oakley, Brennan et al. 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Bracket", "Foreseen", "NewSample", "Value"]

# parts in which draws are left out of a regression that is judged on them
_FOLDS = 5
# draws that each coefficient of a regression needs
_DRAWS_A_COEFFICIENT = 10
# of the regression, relative to the spread of a standardised measurement
_RIDGE = 1e-6
# the solver's relative tolerance
_SAME = 1e-6


@dataclass(frozen=True)
class Bracket:
    """A number between two estimates of it.

    Attributes
    ----------
    lower, upper : float
        Too small and too large on average.
    terms : array, shape (n_draws,)
        What each draw brings to the lower end, before it is held within what is possible.
    weights : array, shape (n_draws,)
        Of the draws, their sum one.
    """

    lower: float
    upper: float
    terms: Array = field(repr=False, compare=False)
    weights: Array = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """Monte Carlo standard error of the lower end."""
        return _standard_error(self.terms, self.weights)

    def apart(self, other: Bracket) -> tuple[float, float]:
        """How far this lower end lies above another's upper end, and the standard error of that, draw by draw."""
        return self.lower - other.upper, _standard_error(self.terms - other.terms, self.weights)

    @property
    def middle(self) -> float:
        """Half way."""
        return 0.5 * (self.lower + self.upper)


@dataclass(frozen=True)
class Value:
    """What a measurement is worth for a choice among plans, in the unit of the outcome.

    Attributes
    ----------
    regret : float
        Expected loss, as things stand, against knowing everything: the expected value of perfect information.
    removed : Bracket
        How much of it the measurement removes: the expected value of sample information.
    """

    regret: float
    removed: Bracket


@dataclass(frozen=True, eq=False)
class NewSample:
    """A measurement that may be taken, under every draw.

    Attributes
    ----------
    means : array, shape (n_nodes, n_draws, n_values)
        Medians of the values, on the scale on which they are normal; one node for each day the sample may really be taken.
    factors : array, shape (n_nodes, n_draws, n_values, n_values), or (1, 1, ...) where all are alike
        Cholesky factors of their covariances.
    values : array, shape (n_draws, n_values)
        One simulated measurement for each draw.
    """

    means: Array
    factors: Array
    values: Array

    @classmethod
    def drawn(cls, means: Array, covariances: Array, *, seed: int | tuple[int, int]) -> NewSample:
        """Simulate one measurement a draw.

        Parameters
        ----------
        means : array, shape (n_nodes, n_draws, n_values)
        covariances : array, shape (n_nodes, n_draws, n_values, n_values), or (1, 1, ...)
        seed : int or tuple of int
            The same for measurements that are to be compared, which then share their noise; another one for those taken together.
        """
        random = np.random.default_rng(seed)
        nodes, draws, size = means.shape
        factors: Array = np.linalg.cholesky(covariances).astype(float)
        node = random.integers(nodes, size=draws)
        noise = random.standard_normal((draws, size))
        each = np.arange(draws)
        if factors.shape[:2] == (1, 1):
            spread = noise @ factors[0, 0].T
        else:
            spread = np.einsum("iab,ib->ia", factors[node, each], noise)
        return cls(means, factors, means[node, each] + spread)

    @cached_property
    def densities(self) -> Array:
        """ln p(y_j | theta_i), row j, column i."""
        parts = np.array([self._at_node(node) for node in range(len(self.means))])
        return parts[0] if len(parts) == 1 else _log_sum(parts, axis=0) - np.log(len(parts))

    def _at_node(self, node: int) -> Array:
        from scipy.linalg import solve_triangular
        from scipy.spatial.distance import cdist

        draws, size = self.values.shape
        constant = -0.5 * size * np.log(2 * np.pi)
        if self.factors.shape[:2] == (1, 1):
            factor = self.factors[0, 0]
            given, expected = (
                solve_triangular(factor, each.T, lower=True).T for each in (self.values, self.means[node])
            )
            return np.asarray(
                constant - np.log(np.diag(factor)).sum() - 0.5 * cdist(given, expected, "sqeuclidean")
            )
        out = np.empty((draws, draws))
        for i, factor in enumerate(self.factors[node]):
            apart = solve_triangular(factor, (self.values - self.means[node, i]).T, lower=True)
            out[:, i] = constant - np.log(np.diag(factor)).sum() - 0.5 * np.sum(apart**2, axis=0)
        return out


class Foreseen:
    """One or more measurements, and what is known after them under every draw.

    Parameters
    ----------
    samples : sequence of NewSample
        Taken together; given the parameters they do not depend on one another.
    weights : array, shape (n_draws,)
        Of the draws, which must all differ.
    """

    def __init__(self, samples: Sequence[NewSample], weights: Array) -> None:
        self.samples = tuple(samples)
        self.weights = weights / weights.sum()
        self._effective = 1.0 / float(np.sum(self.weights**2))

    @cached_property
    def values(self) -> Array:
        """All measurements of every draw, shape (n_draws, n_values)."""
        return np.hstack([each.values for each in self.samples])

    @cached_property
    def densities(self) -> Array:
        """ln of their densities, row j those of the measurements of draw j, column i under draw i."""
        return np.asarray(sum(each.densities for each in self.samples))

    @cached_property
    def _own(self) -> Array:
        return np.diag(self.densities)

    @cached_property
    def _terms(self) -> Array:
        return np.asarray(self.densities + np.log(self.weights))

    def _bracket(self, low: Array, high: Array, most: float = np.inf) -> Bracket:
        """From what each draw brings to both ends; nothing is below nought or above what is possible."""
        lower, upper = (float(np.clip(self._mean(each), 0.0, most)) for each in (low, high))
        return Bracket(min(lower, upper), upper, low, self.weights)

    def only(self, which: NDArray[np.intp]) -> Foreseen:
        """The same for some of the draws, which are then all there are."""
        made = Foreseen(self.samples, self.weights[which])
        made.__dict__ |= {"values": self.values[which], "densities": self.densities[np.ix_(which, which)]}
        return made

    @cached_property
    def _others(self) -> Array:
        """The terms of the marginal density without the draw that made the measurement."""
        out = self._terms.copy()
        np.fill_diagonal(out, -np.inf)
        return out

    @cached_property
    def _with(self) -> Array:
        """ln of the marginal density of every measurement, the draw that made it among the others."""
        return _log_sum(self._terms, axis=1)

    @cached_property
    def _without(self) -> Array:
        return _log_sum(self._others, axis=1) - np.log1p(-self.weights)

    @cached_property
    def after(self) -> Array:
        """Weights of the draws after every measurement, row j those after y_j, the draw that made it among them."""
        return np.asarray(np.exp(self._terms - self._with[:, None]))

    def _mean(self, each: Array) -> float:
        return float(self.weights @ each)

    @property
    def information(self) -> Bracket:
        """Expected information about all parameters, in nats.

        The lower end is at most the logarithm of the number of draws: what tells more needs more of them.
        """
        low, high = self._own - self._with, self._own - self._without
        return self._bracket(low, high)

    def entropy(self, classes: NDArray[np.intp]) -> float:
        """Of the classes as they are weighted now, in nats: all that can be learned of them."""
        shares = np.array([self.weights[classes == each].sum() for each in np.unique(classes)])
        return float(-np.sum(shares * np.log(shares)))

    def information_of_class(self, classes: NDArray[np.intp]) -> Bracket:
        """Expected information about which class a draw is of, in nats; at most the entropy of the classes.

        Parameters
        ----------
        classes : array of int, shape (n_draws,)
            Each with two draws at least.
        """
        low, high = np.empty(len(classes)), np.empty(len(classes))
        for each in np.unique(classes):
            of = classes == each
            share = float(self.weights[of].sum())
            within = _log_sum(self._terms[np.ix_(of, of)], axis=1) - np.log(share)
            left = share - self.weights[of]
            without = _log_sum(self._others[np.ix_(of, of)], axis=1) - np.log(left)
            low[of] = without - self._with[of]
            high[of] = within - self._without[of]
        return self._bracket(low, high, self.entropy(classes))

    def narrowing(self, target: Array) -> Bracket:
        """Share of the variance of a number that the measurement is expected to remove.

        Parameters
        ----------
        target : array, shape (n_draws,)
        """
        centred = target - self._mean(target)
        variance = self._mean(centred**2)
        if not variance > _SAME * self._mean(target**2):
            return self._bracket(np.zeros(len(target)), np.zeros(len(target)))
        left = (centred - self._predicted(centred[:, None])[:, 0]) ** 2
        after = self.after @ centred**2 - (self.after @ centred) ** 2
        return self._bracket(1.0 - left / variance, 1.0 - after / variance, 1.0)

    def value(self, utilities: Array) -> Value:
        """What the measurement is worth for a choice among plans.

        Parameters
        ----------
        utilities : array, shape (n_draws, n_plans)
            What each plan would bring, more being better.
        """
        expected = self.weights @ utilities
        best = int(np.argmax(expected))
        gained = utilities - utilities[:, [best]]
        # differences that the solver cannot tell are none
        gained[np.abs(gained) <= _SAME * np.abs(utilities).max()] = 0.0
        perfect = self._mean(gained.max(axis=1))
        chosen = np.argmax(self._predicted(gained), axis=1)
        by_rule = gained[np.arange(len(gained)), chosen]
        by_weights = (self.after @ gained).max(axis=1)
        return Value(perfect, self._bracket(by_rule, by_weights, perfect))

    def _predicted(self, targets: Array) -> Array:
        """Numbers expected after every measurement, by weighted least squares on draws that leave this one out."""
        design = _terms_of(self.values, self.weights, self._effective)
        out = np.empty(targets.shape)
        fold = np.random.default_rng(0).permutation(len(targets)) % _FOLDS
        for each in range(_FOLDS):
            judged = fold == each
            known, weight = design[~judged], self.weights[~judged, None]
            normal = known.T @ (weight * known) / weight.sum()
            normal[np.diag_indices_from(normal)] += _RIDGE
            out[judged] = design[judged] @ np.linalg.solve(
                normal, known.T @ (weight * targets[~judged]) / weight.sum()
            )
        return out


def _terms_of(values: Array, weights: Array, effective: float) -> Array:
    """Constant, standardised values, then their products, as many as the draws can tell."""
    centre = weights @ values
    scale = np.sqrt(weights @ (values - centre) ** 2)
    z = (values - centre) / np.where(scale > 0, scale, 1.0)
    columns = [np.ones(len(z)), *z.T]
    products = [(a, b) for a in range(z.shape[1]) for b in range(a, z.shape[1])]
    squares = [each for each in products if each[0] == each[1]]
    room = effective / _DRAWS_A_COEFFICIENT - len(columns)
    for a, b in products if len(products) <= room else squares if len(squares) <= room else []:
        columns.append(z[:, a] * z[:, b] - (a == b))
    return np.column_stack(columns)


def _standard_error(terms: Array, weights: Array) -> float:
    """Of a weighted mean."""
    spread = weights @ (terms - weights @ terms) ** 2
    return float(np.sqrt(spread * np.sum(weights**2)))


def _log_sum(terms: Array, axis: int) -> Array:
    """ln of the sum of exponentials; scipy's own goes through its terms seven times, which is most of the time of a question."""
    peak = terms.max(axis=axis, keepdims=True)
    peak[np.isneginf(peak)] = 0.0
    scaled = terms - peak
    np.exp(scaled, out=scaled)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(scaled.sum(axis=axis)) + peak.squeeze(axis))
