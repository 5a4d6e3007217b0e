"""Which parameters a collapsed sampler leaves to Laplace's approximation: those in which the rows are nearly linear.

With residuals r of rows and prior, r^2 / 2 the loss, Laplace's approximation of the inner parameters w given all others is exact
where r is linear in w. To second order r(w) = r + J w + q(w), q_r = w'H_r w / 2, and at draws of N(0, (J'J)^-1) the
approximation is off by

    delta(w) = sum over rows of q_r (r_r + (J w)_r) + q_r^2 / 2,

whose standard deviation is the inner mismatch, in nats: what it costs in importance weights. The second derivatives H are
differences of exact first ones, one simulation with gradient for all parameters that move no row in common, and know of every pair that
bends only together.
Parameters leave the inner part one by one, that one first whose fixing (all others following it, as the rest of
the posterior has them do) takes most from the mismatch, until little is left. A parameter in which modes of the posterior lie
far apart is outer whatever the rows say near one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from cellsim.errors import CalibrationError
from cellsim.likelihood.row_dependence import answers_of, moved_together
from cellsim.threads import on_all_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.marginal_days import WithoutDays

    Array = NDArray[np.float64]
    Whole = NDArray[np.intp]

__all__ = ["LARGEST_MISMATCH", "Bend", "Split", "bends_at", "split_by", "split_of"]

# nats: what is left below it is left to the weights, unless a parameter more outside takes as much as this from it; and
# what is as good as linear
LARGEST_MISMATCH, _WORTH, _LINEAR = 1.5, 0.25, 0.15
# at how many places of the posterior the rows are bent; draws of each at which the approximation is held against them
_POINTS, _DRAWS = 4, 30
# of a residual, from one standard deviation of one parameter on top of one of another: what bends less is straight
_STRAIGHT = 0.02
# standard deviations between modes from which they are modes of that parameter
_APART = 4.0
# of what Laplace's approximation is off at one draw: what is further off counts as this far
_FARTHEST = 8.0


@dataclass(frozen=True, eq=False)
class Bend:
    """The rows to second order at one place.

    Attributes
    ----------
    residuals : array, shape (n_rows,)
    slopes : array, shape (n_rows, n)
    second : array, shape (n_rows, n, n)
        Symmetric.
    """

    residuals: Array
    slopes: Array
    second: Array

    @cached_property
    def alike(self) -> list[tuple[Whole, Whole, NDArray[np.float32]]]:
        """Rows that bend along the same parameters, these parameters, and second derivatives of the ones along the others."""
        kinds, which = np.unique((self.second != 0).any(axis=2), axis=0, return_inverse=True)
        out = []
        for k, kind in enumerate(kinds):
            if kind.any():
                rows, along = np.flatnonzero(which.ravel() == k), np.flatnonzero(kind)
                out.append((rows, along, self.second[np.ix_(rows, along, along)].astype(np.float32)))
        return out


@dataclass(frozen=True, eq=False)
class Split:
    """Outer and inner parameters.

    Attributes
    ----------
    outer, inner : array of int
        Among the columns of a density without days, increasing.
    mismatch : float
        By how many nats Laplace's approximation of the inner ones is expected to be off, a standard deviation.
    """

    outer: Whole
    inner: Whole
    mismatch: float


def split_of(
    density: WithoutDays, mean: Array, covariance: Array, *, seed: int, modes: Sequence[Array] = ()
) -> Split:
    """Choose by the problem.

    Parameters
    ----------
    density : WithoutDays
    mean, covariance : array, shape (n,) and (n, n)
        Of a normal approximation of the posterior.
    seed : int
    modes : sequence of array, shape (n,), optional
        Of the posterior.

    Returns
    -------
    Split

    Raises
    ------
    CalibrationError
        If no place of the approximation can be simulated.
    """
    away = np.abs(np.array([mean, *modes]) - mean) > _APART * np.sqrt(np.diag(covariance))
    first = np.flatnonzero(away.any(axis=0)).tolist()
    return split_by(bends_at(density, mean, covariance, seed=seed), seed=seed, first=first)


def bends_at(density: WithoutDays, mean: Array, covariance: Array, *, seed: int) -> list[Bend]:
    """The rows to second order at some draws of a normal approximation, each with its most likely days; see :func:`split_of`.

    At the first of them every parameter is moved, at the others those that bent anything there; those at once that move no row in
    common.
    """
    density, objective, columns = density.rough, density.objective, density.columns
    random = np.random.default_rng([seed, 0])
    root, sd = np.linalg.cholesky(covariance), np.sqrt(np.diag(covariance))
    count, why, out = objective.residual_count, "", []
    answers = answers_of(objective)[:, columns]
    bending: Whole = np.arange(mean.size)

    def slopes(theta: Array) -> Array | None:
        found = objective.evaluate(theta, gradient=True, rtol=density.rtol)
        if found.failure or found.jacobian is None or not np.isfinite(found.jacobian).all():
            return None
        return np.asarray(found.jacobian[:count, columns])

    for _ in range(4 * _POINTS):
        theta = density.with_likely_days(mean + root @ random.standard_normal(mean.size))
        here = None if theta is None else objective.evaluate(theta, gradient=True, rtol=density.rtol)
        if theta is None or here is None or here.failure or here.jacobian is None:
            why = "its days cannot be scored" if here is None else here.failure
            continue
        first = here.jacobian[:count, columns]

        turned = partial(_turned, slopes, theta, first, columns, sd)
        made = np.zeros((mean.size, count, mean.size))
        groups = [bending[group] for group in moved_together(answers[:, bending])]
        for group, turns in zip(groups, on_all_cores(turned, groups), strict=True):
            for j, turn in zip(group, turns, strict=True):
                made[j] = np.where(answers[:, [j]], turn, 0.0)
        made = 0.5 * (made.transpose(1, 0, 2) + made.transpose(1, 2, 0))
        bending = bending[(np.abs(made) * np.outer(sd, sd) > _STRAIGHT).any(axis=(0, 2))[bending]]
        made[:, np.setdiff1d(np.arange(mean.size), bending)] = 0.0
        made[:, :, np.setdiff1d(np.arange(mean.size), bending)] = 0.0
        out.append(Bend(here.residuals[:count], first, made))
        if len(out) == _POINTS:
            break
    if not out:
        raise CalibrationError(
            f"no draw of the normal approximation of {objective.variant} can be simulated: {why}"
        )
    return out


def _turned(
    slopes: Callable[[Array], Array | None],
    theta: Array,
    first: Array,
    columns: Whole,
    sd: Array,
    group: Whole,
) -> list[Array]:
    """How slopes turn along each of several parameters that are moved at once, differences over one of their standard deviations."""
    for share in (1.0, -1.0, 0.3):
        moved = theta.copy()
        moved[columns[group]] += share * sd[group]
        if (there := slopes(moved)) is not None:
            return [np.asarray((there - first) / (share * sd[j])) for j in group]
    if group.size > 1:
        return [_turned(slopes, theta, first, columns, sd, group[[k]])[0] for k in range(group.size)]
    # what cannot be simulated a little further is not linear there
    return [np.where(np.arange(sd.size) == group, 1 / sd[group] ** 2, np.zeros_like(first))]


def split_by(
    bends: list[Bend], *, seed: int, first: Sequence[int] = (), most: float = LARGEST_MISMATCH
) -> Split:
    """Outer parameters one by one, those of `first` before all, until Laplace's approximation of the others is off by no
    more than `most` nats, and one more would change little.

    Examples
    --------
    A product bends only together, and what is added to it not at all:

    >>> second = np.zeros((1, 3, 3))
    >>> second[0, 0, 1] = second[0, 1, 0] = 3.0
    >>> found = split_by([Bend(np.ones(1), np.ones((1, 3)), second)], seed=1)
    >>> found.outer.size, 2 in found.inner
    (1, True)
    """
    size = bends[0].slopes.shape[1]
    random = np.random.default_rng([seed, 1])
    bending = np.any([(bend.second != 0).any(axis=(0, 1)) for bend in bends], axis=0)
    outer = list(first)
    while True:
        # fresh ones every time: what is best for the same few draws is not best for others
        half = random.standard_normal((_DRAWS, size))
        normals = np.concatenate([half, -half])
        inner = np.setdiff1d(np.arange(size), outer)
        bent = np.flatnonzero(bending[inner])
        off = [_off(bend, inner, bent, normals) for bend in bends]
        mismatch = float(np.median([now for now, _ in off]))
        then = np.median([each for _, each in off], axis=0)
        gain = mismatch - float(then.min(initial=mismatch))
        if not inner.size or mismatch <= _LINEAR or (mismatch <= most and gain < _WORTH):
            return Split(np.sort(np.array(outer, np.intp)), inner, mismatch)
        outer.append(int(inner[bent[np.argmin(then)]]))


def _off(bend: Bend, inner: Whole, bent: Whole, normals: Array) -> tuple[float, Array]:
    """The mismatch, and what would be left of it without each of those inner parameters that bend, shape (n_bent,)."""
    if not bent.size:
        return 0.0, np.empty(0)
    slopes, among = bend.slopes[:, inner], inner[bent]
    covariance = np.linalg.inv(slopes.T @ slopes + np.eye(inner.size))
    draws = normals[:, inner] @ np.linalg.cholesky(covariance).T
    # all others follow a parameter that is set back
    follow = (covariance / np.diag(covariance))[:, bent]
    # a standard deviation of sixty draws: numbers of half the length tell it in half the time
    straight = (bend.residuals + draws @ slopes.T).T.astype(np.float32)
    along_each = (slopes @ follow).astype(np.float32)
    back, moved_by = draws[:, bent].astype(np.float32), follow[bent].astype(np.float32)
    now, then = np.zeros(len(draws), np.float32), np.zeros(back.shape, np.float32)
    for rows, along_all, whole in bend.alike:
        mine = np.isin(along_all, among)
        some = np.searchsorted(among, along_all[mine])
        second = whole if mine.all() else whole[:, mine][:, :, mine]
        moved, others = back[:, some].T, moved_by[some]
        along = second @ moved
        curved = 0.5 * (along * moved).sum(axis=1)
        now += (curved * (straight[rows] + 0.5 * curved)).sum(axis=0)
        twice = ((second @ others) * others).sum(axis=1)
        curved_then = along.transpose(0, 2, 1) @ others
        curved_then -= 0.5 * back * twice[:, None]
        curved_then *= -back
        curved_then += curved[:, :, None]
        straight_then = 0.5 * curved_then
        straight_then -= back * along_each[rows][:, None]
        straight_then += straight[rows][:, :, None]
        then += (curved_then * straight_then).sum(axis=0)
    return float(_spread(now.astype(float))), _spread(then.astype(float))


def _spread(off: Array) -> Array:
    """Standard deviation, outliers drawn in."""
    return np.asarray(np.clip(off - np.median(off, axis=0), -_FARTHEST, _FARTHEST).std(axis=0))
