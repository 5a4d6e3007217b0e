"""Sparse LU without pivoting, planned once from the pattern: who is eliminated when, and what fills in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Elimination", "plan_elimination"]


@dataclass(frozen=True)
class Elimination:
    """Order and pattern of an LU factorisation with diagonal pivots.

    Parameters
    ----------
    order : tuple of int
        Pivots, first eliminated first.
    lower : tuple of tuple of int
        For each pivot in `order`, the rows that still hold an entry in its column.
    upper : tuple of tuple of int
        For each pivot in `order`, the columns (the pivot aside) of its row.
    fill : int
        Entries that were not in the pattern given.
    """

    order: tuple[int, ...]
    lower: tuple[tuple[int, ...], ...]
    upper: tuple[tuple[int, ...], ...]
    fill: int


def plan_elimination(size: int, pattern: Iterable[tuple[int, int]]) -> Elimination:
    """Eliminate in Markowitz order: always the diagonal entry whose row and column are emptiest.

    Parameters
    ----------
    size : int
        Number of rows.
    pattern : iterable of (row, column)
        Entries that may be different from zero; the diagonal is always counted in.

    Examples
    --------
    >>> arrow = [(0, 1), (0, 2), (1, 0), (2, 0)]  # eliminating 0 first would fill everything
    >>> plan_elimination(3, arrow).order, plan_elimination(3, arrow).fill
    ((1, 0, 2), 0)
    """
    rows: list[set[int]] = [set() for _ in range(size)]
    columns: list[set[int]] = [set() for _ in range(size)]
    for i, j in pattern:
        if i != j:
            rows[i].add(j)
            columns[j].add(i)
    left = set(range(size))
    order, lower, upper, fill = [], [], [], 0
    while left:
        pivot = min(left, key=lambda each: (len(rows[each]) * len(columns[each]), each))
        left.remove(pivot)
        across, down = sorted(rows[pivot]), sorted(columns[pivot])
        for j in across:
            columns[j].discard(pivot)
        for i in down:
            rows[i].discard(pivot)
        for i in down:
            for j in across:
                if i != j and j not in rows[i]:
                    rows[i].add(j)
                    columns[j].add(i)
                    fill += 1
        order.append(pivot)
        lower.append(tuple(down))
        upper.append(tuple(across))
    return Elimination(tuple(order), tuple(lower), tuple(upper), fill)
