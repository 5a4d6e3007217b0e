"""A solution between its samples: steps in a row, none of which reaches across a dose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Path"]

Array = np.ndarray[Any, np.dtype[np.float64]]
_PIECE = 2048  # days looked at together


@dataclass(frozen=True, eq=False)
class Path:
    """A solution as the solver saw it: steps in a row, each with an interpolant.

    Parameters
    ----------
    starts, ends : numpy.ndarray, shape (n_steps,)
        Days each step begins and ends. A dose or event lies between two steps; the last step may have
        no length, when one falls on the last day.
    states : callable
        From step numbers and days, both of shape (n,), to states of shape (n, n_states).
    read : callable
        From days (n,) and states (n, n_states) to the named quantities (n, n_names).
    """

    starts: Array
    ends: Array
    states: Callable[[np.ndarray[Any, Any], Array], Array]
    read: Callable[[Array, Array], Array]

    def step_of(self, times: Array) -> np.ndarray[Any, Any]:
        """The step each day belongs to; at a dose the one after it."""
        return np.searchsorted(self.starts, times, side="right") - 1

    def values(self, steps: np.ndarray[Any, Any], times: Array) -> Array:
        """All named quantities at days inside given steps, shape (n, n_names)."""
        return self.read(times, self.states(steps, times))

    def one(self, place: int, steps: np.ndarray[Any, Any], times: Array) -> Array:
        """One named quantity at days inside given steps, shaped like `times`, read a piece at a time."""
        flat, of = times.reshape(-1), np.broadcast_to(steps, times.shape).reshape(-1)
        found = np.empty(flat.size)
        for begin in range(0, flat.size, _PIECE):
            piece = slice(begin, begin + _PIECE)
            found[piece] = self.values(of[piece], flat[piece])[:, place]
        return found.reshape(times.shape)

    def within(self, start: float, end: float) -> tuple[np.ndarray[Any, Any], Array, Array]:
        """The steps that lie between two days, with where each begins and ends there."""
        lower, upper = np.maximum(self.starts, start), np.minimum(self.ends, end)
        steps = np.flatnonzero(lower < upper)
        return steps, lower[steps], upper[steps]
