"""A solution between its samples: steps in a row, none of which reaches across a dose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Path", "panelled"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Read = Callable[[Array, Array], Array]

_NODES = np.polynomial.legendre.leggauss(8)[0]  # inside a panel, so that neither end is ever asked for
_WEIGHTS = np.array([1.0 / np.prod(x - np.delete(_NODES, i)) for i, x in enumerate(_NODES)])  # barycentric
_MOST_HALVINGS = 45
_SHORTEST = 1e-10  # relative to the day: a panel is not halved below this


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
    read: Read

    def step_of(self, times: Array) -> np.ndarray[Any, Any]:
        """The step each day belongs to; at a dose the one after it."""
        return np.searchsorted(self.starts, times, side="right") - 1

    def values(self, steps: np.ndarray[Any, Any], times: Array) -> Array:
        """All named quantities at days inside given steps, shape (n, n_names)."""
        return self.read(times, self.states(steps, times))

    def within(self, start: float, end: float) -> tuple[np.ndarray[Any, Any], Array, Array]:
        """The steps that lie between two days, with where each begins and ends there."""
        lower, upper = np.maximum(self.starts, start), np.minimum(self.ends, end)
        steps = np.flatnonzero(lower < upper)
        return steps, lower[steps], upper[steps]


def _between(nodes: Array, samples: Array, x: Array) -> Array:
    """Polynomial through samples (n, n_nodes, n_states) at `x` (n,), in [-1, 1]; barycentric form."""
    gap = x[:, None] - nodes
    hit = gap == 0
    weights = _WEIGHTS / np.where(hit, 1.0, gap)
    weights = np.where(hit.any(axis=1)[:, None], hit.astype(float), weights)
    return np.einsum("ij,ijk->ik", weights, samples) / weights.sum(axis=1)[:, None]


def panelled(
    sample: Callable[[Array], Array], read: Read, breaks: Iterable[float], *, rtol: float, atol: float
) -> Path:
    """A path from a solver that can be sampled anywhere, but does not tell its steps.

    Between breaks, panels are halved until the polynomial through eight samples of a panel foretells
    those of its halves. The samples are inside the panels, so doses and events at breaks stay sharp;
    what happens at an unknown instant is enclosed until it hardly has a length.

    Parameters
    ----------
    sample : callable
        From days in order, shape (n,), to states, shape (n, n_states); at a break read after it.
    read : callable
        As in :class:`Path`.
    breaks : iterable of float
        Start, end, and every day between on which something may jump.
    rtol, atol : float
        How well the samples must be foretold, relative to the largest of a panel and absolute.

    Returns
    -------
    Path
    """
    edges = np.unique(np.fromiter(breaks, dtype=float))

    def sampled(left: Array, right: Array) -> Array:
        days = (0.5 * (left + right))[:, None] + (0.5 * (right - left))[:, None] * _NODES
        order = np.argsort(days.reshape(-1), kind="stable")
        found = sample(days.reshape(-1)[order])
        back = np.empty_like(found)
        back[order] = found
        return back.reshape(*days.shape, -1)

    final = sample(edges[-1:])
    done: list[tuple[Array, Array, Array]] = []
    left, right = edges[:-1], edges[1:]
    whole: Array = sampled(left, right) if left.size else np.empty((0, len(_NODES), final.shape[1]))
    for _ in range(_MOST_HALVINGS):
        if not left.size:
            break
        middle = 0.5 * (left + right)
        lefts, rights = np.column_stack([left, middle]), np.column_stack([middle, right])
        halves: Array = sampled(lefts.reshape(-1), rights.reshape(-1)).reshape(len(left), -1, final.shape[1])
        foretold: Array = np.stack(
            [
                _between(_NODES, whole, np.full(len(left), x))
                for x in np.concatenate([0.5 * (_NODES - 1), 0.5 * (_NODES + 1)])
            ],
            axis=1,
        )
        size = np.abs(halves).max(axis=1, keepdims=True)
        wrong = (np.abs(foretold - halves) > atol + rtol * size).any(axis=(1, 2))
        wrong &= (right - left) > _SHORTEST * np.maximum(1.0, np.abs(left))
        in_two = halves.reshape(len(left), 2, len(_NODES), -1)
        settled, unsettled = (np.concatenate([*in_two[each], whole[:0]]) for each in (~wrong, wrong))
        done.append((lefts[~wrong].reshape(-1), rights[~wrong].reshape(-1), settled))
        left, right, whole = lefts[wrong].reshape(-1), rights[wrong].reshape(-1), unsettled
    done.append((left, right, whole))
    done.append((edges[-1:], edges[-1:], np.repeat(final[:, None], len(_NODES), axis=1)))
    starts = np.concatenate([each[0] for each in done])
    ends = np.concatenate([each[1] for each in done])
    samples = np.concatenate([each[2] for each in done])
    order = np.argsort(starts + 0.0, kind="stable")  # the one without length stays last
    starts, ends, samples = starts[order], ends[order], samples[order]
    widths = np.where(ends > starts, ends - starts, 1.0)

    def states(steps: np.ndarray[Any, Any], times: Array) -> Array:
        x = 2.0 * (times - starts[steps]) / widths[steps] - 1.0
        return _between(_NODES, samples[steps], x)

    return Path(starts, ends, states, read)
