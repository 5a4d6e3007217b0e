"""Formulas put into formulas, as floating-point numbers would work them out.

Sympy's own ``xreplace`` works out every piece of a `Piecewise` term, those that do not hold included: with ``x = -1`` it asks whether
the imaginary ``sqrt(x)`` is positive, and fails. And where a term of pieces gets into a condition it looks for a simpler one, which can
take minutes. Here conditions come first, and what does not hold is left alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import sympy as sp
from sympy.core.relational import Relational

from cellsim.errors import ModelError

__all__ = ["MOST_PIECES", "TooManyPiecesError", "compared", "substituted"]

MOST_PIECES = 256
"""Combinations of pieces compared in one condition."""


class TooManyPiecesError(Exception):
    """A relation of so many piecewise terms that writing out its combinations would never end."""


def compared(relation: Callable[..., sp.Basic], a: sp.Expr, b: sp.Expr) -> sp.Basic:
    """A relation without piecewise terms inside: each of their pieces is compared where it holds.

    Sympy would fold them too, but asks for the sets on which conditions hold, which not all conditions have.

    Parameters
    ----------
    relation : callable
        A class of sympy's, for instance `sympy.Gt`.
    a, b : sympy.Expr

    Raises
    ------
    TooManyPiecesError

    Examples
    --------
    >>> x = sp.Symbol("x")
    >>> large = compared(sp.Gt, sp.Piecewise((x, x >= 0), (-x, True)), sp.Integer(5))
    >>> [bool(large.subs(x, at)) for at in (6, 1, -6)]
    [True, False, True]
    """
    left = itertools.count()

    def each_piece(this: sp.Basic) -> sp.Basic:
        inner = next(
            (each for each in sp.preorder_traversal(this) if isinstance(each, sp.Piecewise)),
            None,
        )
        if inner is None:
            return _related(relation, *this.args)
        if next(left) > MOST_PIECES:
            raise TooManyPiecesError
        ways, before = [], sp.true
        for value, condition in inner.args:
            holds = sp.And(before, condition)
            if holds != sp.false:  # what cannot be is not compared: it may have no real value
                ways.append(sp.And(holds, each_piece(this.xreplace({inner: value}))))
            before = sp.And(before, sp.Not(condition))
        return sp.Or(*ways)

    return each_piece(sp.Tuple(a, b))


def _related(relation: Callable[..., sp.Basic], a: sp.Expr, b: sp.Expr) -> sp.Basic:
    if any((each.is_number and each.is_extended_real is False) or each is sp.nan for each in (a, b)):
        return sp.true if relation is sp.Ne else sp.false  # of what is no number nothing holds
    return relation(a, b)


def substituted(formula: sp.Basic, values: Mapping[sp.Symbol, sp.Basic], where: str = "") -> sp.Basic:
    """A formula with others in place of symbols.

    Parameters
    ----------
    formula : sympy.Basic
        A number or a condition.
    values : mapping of Symbol to sympy.Basic
    where : str
        What the formula belongs to, for the error message.

    Returns
    -------
    sympy.Basic
        What has no real value is `sympy.nan` in it.

    Raises
    ------
    ModelError
        A condition compares more than `MOST_PIECES` combinations of pieces.

    Examples
    --------
    >>> x = sp.Symbol("x")
    >>> guarded = sp.Piecewise((1, sp.And(x > 0, sp.sqrt(x) > 2)), (0, True))
    >>> substituted(guarded, {x: sp.Float(-1.5)}), substituted(guarded, {x: sp.Float(9)})
    (0, 1)
    """
    known: dict[sp.Basic, sp.Basic] = {}
    asked = set(values)

    def put(part: sp.Basic) -> sp.Basic:
        if part in known:
            return known[part]
        if isinstance(part, sp.Symbol):
            return values.get(part, part)
        if not part.args or asked.isdisjoint(part.free_symbols):
            return part
        known[part] = found = _real(_put_into(part, put))
        return found

    try:
        return put(formula)
    except TooManyPiecesError:
        place = f" of {where}" if where else ""
        raise ModelError(
            f"A condition in the formula{place} compares more than {MOST_PIECES} combinations of pieces once what it "
            "uses is written out. Write its value."
        ) from None


def _put_into(part: sp.Basic, put: Callable[[sp.Basic], sp.Basic]) -> sp.Basic:
    if isinstance(part, sp.Piecewise):
        pairs = []
        for value, condition in part.args:
            holds = put(condition)
            if holds == sp.false:
                continue
            pairs.append((put(value), holds))
            if holds == sp.true:
                break
        return sp.Piecewise(*pairs) if pairs else sp.nan
    parts = [put(each) for each in part.args]
    if isinstance(part, Relational):
        return compared(part.func, *parts)
    try:
        return part.func(*parts)
    except ZeroDivisionError:
        return sp.zoo
    except (TypeError, ValueError):  # the larger of two of which one is no number
        if sp.nan in parts or sp.zoo in parts:
            return sp.nan
        raise


def _real(value: sp.Basic) -> sp.Basic:
    # an imaginary number is none; what is infinite may be divided by again
    imaginary = isinstance(value, sp.Expr) and value.is_number and value.is_extended_real is False
    return sp.nan if imaginary and value is not sp.zoo else value
