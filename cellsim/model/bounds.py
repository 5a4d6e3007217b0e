"""How large an expression may grow: sympy writes, differentiates and compares by recursion over every part of it."""

from __future__ import annotations

import sympy as sp

from cellsim.errors import ModelError

__all__ = ["MOST_PARTS", "TALLEST", "height", "is_larger", "refuse_growth"]

MOST_PARTS = 10_000
"""Parts of a formula in which others are written out."""

TALLEST = 120
"""Levels of an expression; sympy gives up near 190."""


def height(value: sp.Basic) -> int:
    """Levels of an expression.

    Examples
    --------
    >>> height(sp.Symbol("x") + 1)
    2
    """
    highest, waiting = 0, [(value, 1)]
    while waiting:
        each, level = waiting.pop()
        highest = max(highest, level)
        waiting += [(part, level + 1) for part in each.args]
    return highest


def is_larger(value: sp.Basic, most: int) -> bool:
    """Whether an expression has more parts than so many; it may share them, and be told at once all the same.

    Examples
    --------
    >>> is_larger(sp.Symbol("x") + 1, 2)
    True
    """
    count, waiting = 0, [value]
    while waiting and count <= most:
        count += 1
        waiting += waiting.pop().args
    return count > most


def refuse_growth(value: sp.Basic, where: str) -> None:
    """Refuse an expression that has become too large by writing others out in it.

    Raises
    ------
    ModelError
    """
    if is_larger(value, MOST_PARTS):
        raise ModelError(
            f"{where} has more than {MOST_PARTS} parts once what it uses is written out. Write its value, or use fewer steps."
        )
    if height(value) > TALLEST:
        raise ModelError(
            f"{where} nests more than {TALLEST} operations once what it uses is written out. Write its value."
        )
