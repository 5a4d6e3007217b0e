"""Weighted draws of a posterior: what they are worth, whether they can be trusted, and draws of one weight made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from cellsim.posterior.approximation import LARGEST_SHAPE, smoothed_weights
from cellsim.posterior.collapsed_proposal import systematic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["SEVERAL", "THRICE", "Weighted"]

SEVERAL, THRICE = 90, 3.0
"""So many weights none of which is so many times their mean have no tail to speak of."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """Weighted draws of a posterior.

    Attributes
    ----------
    thetas : array, shape (n, n_inner, n_parameters)
        Prior-whitened; inner draws of one place of the outer parameters stand together, and count as one.
    log_weights : array, shape (n, n_inner)
        ln (posterior, not normalised / proposal): the mean of the weights is the evidence. -inf for a draw that could not
        be simulated.
    outer : tuple of str
        The parameters that were drawn and not approximated; unknown sampling days always are.
    mismatch_expected : float
        Of the inner draws, see :class:`cellsim.posterior.inner_parameters.Split`.
    asked, budget : int
        Effective draws asked for, and draws that were allowed.
    why : str
        What the last failure said.
    interrupted : bool
        Whether it ended for an interrupt.
    missed : float
        By how much ln of the posterior at a mode that draws have shown exceeds that at all modes known before; 0 where none did.
    """

    thetas: Array
    log_weights: Array
    outer: tuple[str, ...]
    mismatch_expected: float
    asked: int
    budget: int
    why: str = ""
    interrupted: bool = False
    missed: float = 0.0

    def __repr__(self) -> str:
        return (
            f"<{len(self.thetas)} weighted draws: {self.effective:.0f} effective, Pareto k {self.pareto_k:.2f}, ln evidence "
            f"{self.log_evidence:.2f} +- {self.log_evidence_error:.2f}>"
        )

    # ---- files ------------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """All but the arrays, as plain values."""
        return {each.name: getattr(self, each.name) for each in fields(self)[2:]}

    @classmethod
    def of_about(cls, thetas: Array, log_weights: Array, about: Mapping[str, Any]) -> Weighted:
        """From arrays and plain values."""
        return cls(thetas, log_weights, **{**about, "outer": tuple(about["outer"])})

    # ---- judgement --------------------------------------------------------------------------------

    @cached_property
    def _by_place(self) -> Array:
        """ln weight of each place, shape (n,)."""
        return np.asarray(logsumexp(self.log_weights, axis=1) - np.log(self.log_weights.shape[1]))

    @cached_property
    def _smoothed(self) -> tuple[Array, float]:
        """Smoothed ln weights of places that have one, summing to one, -inf for the others; and their shape."""
        fine = np.isfinite(self._by_place)
        out = np.full(fine.size, -np.inf)
        logs = self._by_place[fine]
        whole = float(logsumexp(logs)) if logs.size else -np.inf
        if logs.size >= SEVERAL and logs.max() < whole - np.log(logs.size) + np.log(THRICE):
            # the shape of a tail is that of what is left of next to nothing
            out[fine] = logs - whole
            return out, 0.0
        out[fine], shape = smoothed_weights(logs)
        return out, shape

    @property
    def pareto_k(self) -> float:
        """Shape of the weights: below 0.7 they can be trusted; 0 where none of many is three times their mean."""
        return self._smoothed[1]

    @property
    def effective(self) -> float:
        """Independent draws these are worth: 1 / sum of squared smoothed weights; inner copies do not count."""
        return float(1 / np.exp(2 * self._smoothed[0]).sum())

    @cached_property
    def log_evidence(self) -> float:
        """ln p(rows), all constants included."""
        return float(logsumexp(self._by_place) - np.log(self._by_place.size))

    @cached_property
    def log_evidence_error(self) -> float:
        """Its standard error, as far as the weights tell."""
        shares = np.exp(self._by_place - logsumexp(self._by_place))
        return float(np.sqrt(max(float(shares @ shares) - 1 / shares.size, 0.0)))

    @cached_property
    def mismatch(self) -> float:
        """By how many nats inner draws of one place differ, a standard deviation (median over places)."""
        whole = self.log_weights[np.isfinite(self.log_weights).all(axis=1)]
        return float(np.median(whole.std(axis=1, ddof=1))) if len(whole) else np.nan

    @cached_property
    def smoothed(self) -> Array:
        """Smoothed weights of all inner draws, with a mean of one, shape (n, n_inner)."""
        whole = np.where(np.isfinite(self._by_place), self._by_place, 0.0)
        within = np.exp(self.log_weights - whole[:, None])
        return np.asarray(np.exp(self._smoothed[0])[:, None] * within * self._by_place.size)

    def resampled(self, n: int, *, seed: int) -> tuple[Array, Array]:
        """Draws that count alike, by systematic resampling, shape (n, n_parameters), in random order, and their weights."""
        random, weights = np.random.default_rng(seed), self.smoothed.ravel()
        with np.errstate(divide="ignore"):
            chosen = random.permutation(systematic(np.log(weights), n, random))
        return self.thetas.reshape(-1, self.thetas.shape[-1])[chosen], weights[chosen]

    @property
    def lost(self) -> int:
        """Draws that could not be simulated."""
        return int((~np.isfinite(self._by_place)).sum())

    @property
    def trusted(self) -> bool:
        """Whether the weights can be trusted at all."""
        return self.pareto_k < LARGEST_SHAPE

    @property
    def doubts(self) -> tuple[str, ...]:
        """Every reason to doubt them, with what to try."""
        made, out = len(self.thetas), []
        if self.interrupted:
            out.append(
                f"interrupted: {made} of {self.budget} draws that were allowed were made; sample again for more."
            )
        if not self.trusted:
            out.append(
                f"the weights of the collapsed sampler are too uneven (Pareto k {self.pareto_k:.2f}, trusted below "
                f"{LARGEST_SHAPE:g}): a part of the posterior is reached by few draws or by none; sample with "
                "method='nuts', or with a larger budget."
            )
        if self.effective < self.asked and not self.interrupted:
            out.append(
                f"{self.effective:.0f} of {self.asked} effective draws were reached with {made} draws; sample with "
                f"budget={int(np.ceil(made * self.asked / max(self.effective, 1.0) / 500) * 500)}."
            )
        if self.missed:
            out.append(
                f"draws have shown a mode that the starts of the calibration missed, {self.missed:.1f} nats above theirs, and were made "
                "around it; calibrate with more starts."
            )
        if self.lost:
            out.append(
                f"{self.lost} of {made} draws could not be simulated and have no weight; the last one: {self.why}"
            )
        return tuple(out)
