"""Coordinates in which a posterior looks like N(0, I), found from draws and from curvature.

Two covariances describe a posterior that is not Gaussian: that of its draws, which is wide where the posterior is
wide anywhere, and the inverse of its mean curvature, which is narrow where it is narrow anywhere. A step of the
sampler must fit the narrowest place and a trajectory must cross the widest, so the frame lies halfway. With C the
covariance of x and G that of the gradient g of ln p (its mean curvature), the Fisher divergence from a Gaussian,

    E |S^(1/2) g + S^(-1/2) (x - m)|^2 = tr(S G) + tr(S^-1 C) - 2 n,

is least where S G S = C: at the geometric mean of C and G^-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Frame", "frame_between", "geometric_mean"]


@dataclass(frozen=True, eq=False)
class Frame:
    """Affine coordinates: theta = centre + root z.

    Attributes
    ----------
    centre : array, shape (n,)
    root : array, shape (n, n)
        Symmetric square root of a covariance.
    """

    centre: Array
    root: Array

    @classmethod
    def of(cls, centre: Array, covariance: Array) -> Frame:
        """Where a Gaussian with this mean and covariance is N(0, I).

        Examples
        --------
        >>> Frame.of(np.zeros(2), np.diag([4.0, 9.0])).root.tolist()
        [[2.0, 0.0], [0.0, 3.0]]
        """
        return cls(np.asarray(centre, float), _root(covariance))

    def theta(self, z: Array) -> Array:
        """Out of these coordinates; any leading axes."""
        return np.asarray(self.centre + z @ self.root)

    def z(self, theta: Array) -> Array:
        """Into them."""
        return np.asarray(np.linalg.solve(self.root, (theta - self.centre)[..., None])[..., 0])


def _root(matrix: Array) -> Array:
    """Symmetric square root of a positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 1e-12))) @ vectors.T)


def geometric_mean(first: Array, second: Array) -> Array:
    """The matrix halfway between two covariances: A (A^-1 B)^(1/2).

    Parameters
    ----------
    first, second : array, shape (n, n)
        Symmetric and positive definite.

    Examples
    --------
    >>> geometric_mean(np.diag([1.0, 4.0]), np.diag([9.0, 4.0])).round(12).tolist()
    [[3.0, 0.0], [0.0, 4.0]]
    """
    half = _root(first)
    back = np.linalg.inv(half)
    return np.asarray(half @ _root(back @ second @ back) @ half)


def frame_between(draws: Array, curvatures: Sequence[Array]) -> Frame:
    """The frame for further sampling, from draws so far.

    Parameters
    ----------
    draws : array, shape (n_draws, n)
    curvatures : sequence of array, shape (n, n)
        Of minus the log density at some of them, positive definite (J'J, the prior's part included).

    Returns
    -------
    Frame
        At the mean of the draws. Their covariance is first drawn towards the inverse of the mean curvature, the
        more the fewer they are, because few draws say nothing about most directions.
    """
    narrow = np.linalg.inv(np.mean(curvatures, axis=0))
    n_draws, n = draws.shape
    held = Frame.of(draws.mean(axis=0), narrow)
    z = held.z(draws)
    weight = n_draws / (n_draws + n)
    wide = held.root @ (weight * (z.T @ z) / n_draws + (1 - weight) * np.eye(n)) @ held.root
    return Frame.of(held.centre, geometric_mean(wide, narrow))
