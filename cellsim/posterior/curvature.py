"""Which parameters may be moved at once when second derivatives are taken as differences of a gradient.

The sum of squares is a sum over rows, so its second derivative with respect to two parameters is zero where no row
depends on both. Most parameters of a case belong to one analyte, and analytes are told apart: their loadings can all be
moved in one step, and each change of the gradient still has one author. What has several authors is read from the
other side, the matrix being symmetric (Coleman & Moré 1984, Math Program 28:243).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pattern = NDArray[np.bool_]

__all__ = ["moves", "neighbours", "symmetric"]


def neighbours(touched: Pattern) -> Pattern:
    """Which pairs of parameters meet in a row, shape (n, n); each meets itself.

    Parameters
    ----------
    touched : array of bool, shape (n_rows, n)
        Which row depends on which parameter.
    """
    counts = touched.astype(np.int64)
    return np.asarray((counts.T @ counts > 0) | np.eye(touched.shape[1], dtype=bool))


def moves(together: Pattern) -> list[list[int]]:
    """Groups of parameters to be moved at once, so few that the whole matrix can be read from the changes.

    Parameters which meet many others are moved alone; the rest are shared out so that no two of a group meet a third one
    of the rest. How many count as many is tried out.

    Parameters
    ----------
    together : array of bool, shape (n, n)
        From :func:`neighbours`.

    Returns
    -------
    list of list of int
        Every parameter once.

    Examples
    --------
    >>> star = np.eye(4, dtype=bool)
    >>> star[0] = star[:, 0] = True
    >>> moves(star)
    [[0], [1, 2, 3]]
    """
    met = together.sum(axis=0)
    tried = [_shared_out(together, met > most) for most in (0, *np.unique(met))]
    return min(tried, key=len)


def _shared_out(together: Pattern, alone: Pattern) -> list[list[int]]:
    rest = np.flatnonzero(~alone)
    inside = together[np.ix_(rest, rest)].astype(np.int64)
    clash = inside @ inside > 0
    groups: list[list[int]] = []
    for k in np.argsort(-clash.sum(axis=0), kind="stable"):
        free = (group for group in groups if not clash[k, group].any())
        if (group := next(free, None)) is None:
            groups.append([int(k)])
        else:
            group.append(int(k))
    return [[int(j)] for j in np.flatnonzero(alone)] + [[int(rest[k]) for k in group] for group in groups]


def symmetric(
    together: Pattern, groups: Sequence[Sequence[int]], steps: Array, changes: Sequence[Array]
) -> Array:
    """The matrix behind the changes that moving the groups made.

    Parameters
    ----------
    together : array of bool, shape (n, n)
    groups : sequence of sequence of int
        From :func:`moves`.
    steps : array, shape (n,)
        How far each parameter was moved.
    changes : sequence of array, shape (n,)
        Of the gradient, one for each group: H @ (the steps of that group).

    Returns
    -------
    array, shape (n, n)
        Each entry the mean of the one or two places that tell it alone.
    """
    total, count = np.zeros(together.shape), np.zeros(together.shape)
    for group, change in zip(groups, changes, strict=True):
        meets = together[group]
        told = meets & (meets.sum(axis=0) == 1)
        for j, where in zip(group, told, strict=True):
            total[where, j] += change[where] / steps[j]
            count[where, j] += 1
    total, count = total + total.T, count + count.T
    return np.asarray(np.divide(total, count, out=np.zeros(total.shape), where=count > 0))
