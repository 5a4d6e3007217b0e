"""The posterior as a mixture of Gaussians, one around every distinct optimum that the starts found.

With three visits a posterior easily has several modes (was the second sample drawn two days after an infusion, or
eight?), and the highest need not hold the most probability. Each mode contributes its Laplace approximation,
weighted by its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Mixture", "Mode"]


@dataclass(frozen=True, eq=False)
class Mode:
    """One mode of the posterior in prior-whitened coordinates.

    Attributes
    ----------
    theta : array, shape (n,)
    curvature : array, shape (n, n)
        Hessian of -ln posterior there.
    log_likelihood : float
        With all constants.
    objective : float
        Sum of squares there.
    error : float
        Estimated relative error that the curvature's own error leaves in a standard deviation, see
        :class:`cellsim.posterior.curvature.Curvature`.
    uncertain : array, shape (n,), or None
        In which direction, if it is larger than it should be.
    """

    theta: Array
    curvature: Array
    log_likelihood: float
    objective: float
    error: float = 0.0
    uncertain: Array | None = None

    def __repr__(self) -> str:
        return f"<Mode of {self.theta.size} parameters: objective {self.objective:.4g}>"

    @cached_property
    def is_maximum(self) -> bool:
        """Whether every direction is curved downwards."""
        return bool(self._scaled[0].min(initial=np.inf) > 0)

    @cached_property
    def _scaled(self) -> tuple[Array, Array, Array]:
        """Eigenvalues and eigenvectors of the curvature scaled to a unit diagonal, and the scale.

        Small eigenvalues keep their digits so, however different the coordinates' own spreads are.
        """
        sizes = np.diag(self.curvature)
        scale = np.asarray(np.sqrt(np.where(sizes > 0, sizes, 1.0)))
        values, vectors = np.linalg.eigh(self.curvature / np.outer(scale, scale))
        return np.asarray(values), np.asarray(vectors), scale

    @cached_property
    def _factor(self) -> tuple[Array, Array]:
        """A square root F of the curvature, F @ F.T, and its inverse; where it is no mode, the prior's curvature of one."""
        values, vectors, scale = self._scaled
        if not self.is_maximum:
            curved, vectors = np.linalg.eigh(self.curvature)
            values, scale = np.where(curved > 0, curved, 1.0), np.ones(scale.size)
        return scale[:, None] * vectors * np.sqrt(values), (vectors / np.sqrt(values)).T / scale

    @cached_property
    def _log_determinant(self) -> float:
        """Of the curvature."""
        values, _, scale = self._scaled
        if not self.is_maximum:
            curved, scale = np.linalg.eigvalsh(self.curvature), np.ones(scale.size)
            values = np.where(curved > 0, curved, 1.0)
        return float(np.log(values).sum() + 2 * np.log(scale).sum())

    @cached_property
    def covariance(self) -> Array:
        """Inverse curvature, shape (n, n)."""
        back = self._factor[1]
        return np.asarray(back.T @ back)

    def ahead(self, moves: Array) -> Array:
        """A step of so many standard deviations along the axes of this mode's approximation, shape (n,), in theta."""
        return np.asarray(moves @ self._factor[1])

    @cached_property
    def log_evidence(self) -> float:
        """Laplace: ln of the probability of the data, as far as it comes from this mode."""
        return self.log_likelihood - 0.5 * float(self.theta @ self.theta) - 0.5 * self._log_determinant


@dataclass(frozen=True, eq=False)
class Mixture:
    """Several modes, the highest mode first.

    Parameters
    ----------
    modes : tuple of Mode

    Examples
    --------
    >>> one = Mode(np.zeros(1), 4 * np.eye(1), 0.0, 0.0)
    >>> Mixture((one,)).covariance.tolist()
    [[0.25]]
    """

    modes: tuple[Mode, ...]

    @cached_property
    def log_evidence(self) -> float:
        """ln p(data), summed over the modes."""
        from scipy.special import logsumexp

        return float(logsumexp([mode.log_evidence for mode in self.modes]))

    @cached_property
    def weights(self) -> Array:
        """Share of the probability that each mode holds, shape (n_modes,)."""
        return np.exp(np.array([mode.log_evidence for mode in self.modes]) - self.log_evidence)

    @cached_property
    def mean(self) -> Array:
        """Posterior mean, shape (n,)."""
        return np.asarray(self.weights @ np.array([mode.theta for mode in self.modes]))

    @cached_property
    def covariance(self) -> Array:
        """Posterior covariance: within the modes and between them, shape (n, n)."""
        mean, out = self.mean, 0.0
        for weight, mode in zip(self.weights, self.modes, strict=True):
            apart = mode.theta - mean
            out = out + weight * (mode.covariance + np.outer(apart, apart))
        return np.asarray(out)

    def quantiles(self, levels: Sequence[float]) -> Array:
        """Marginal quantiles of every coordinate, shape (n_levels, n), by bisection of the mixture's own approximation."""
        from scipy.special import ndtr, ndtri

        centre = np.array([mode.theta for mode in self.modes])
        sd = np.array([np.sqrt(np.diag(mode.covariance)) for mode in self.modes])
        out = []
        for level in levels:
            each = centre + sd * ndtri(level)
            low, high = each.min(axis=0), each.max(axis=0)
            for _ in range(60):
                middle = (low + high) / 2
                under = self.weights @ ndtr((middle - centre) / sd) < level
                low, high = np.where(under, middle, low), np.where(under, high, middle)
            out.append((low + high) / 2)
        return np.array(out)

    def log_density(self, theta: Array) -> Array:
        """Log density of the mixture, shape (n,), at points of shape (n, n_parameters)."""
        from scipy.special import logsumexp

        parts = []
        for weight, mode in zip(self.weights, self.modes, strict=True):
            z = (theta - mode.theta) @ mode._factor[0]
            size = 0.5 * mode._log_determinant - 0.5 * mode.theta.size * np.log(2 * np.pi)
            parts.append(np.log(weight) + size - 0.5 * (z**2).sum(axis=-1))
        return np.asarray(logsumexp(parts, axis=0))

    def draws(self, n: int, *, seed: int) -> Array:
        """Independent draws, shape (n, n_parameters)."""
        random = np.random.default_rng(seed)
        which = random.choice(len(self.modes), size=n, p=self.weights / self.weights.sum())
        normal = random.standard_normal((n, self.modes[0].theta.size))
        out = np.empty_like(normal)
        for k, mode in enumerate(self.modes):
            here = which == k
            # the Cholesky factor, which the rounded covariance of an ill-posed problem need not have
            root = np.linalg.qr(mode._factor[1], mode="r")
            out[here] = mode.theta + normal[here] @ (np.sign(np.diag(root))[:, None] * root)
        return out
