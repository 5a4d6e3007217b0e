"""Formulas worked out with their derivatives, for many rows at once: forward differentiation on sympy's trees.

Nothing is compiled and no code is written: a formula of a table is walked from its leaves to its root, and every node carries its
values, shape (n,), and their derivatives along each direction, shape (n, m).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from cellsim.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Sloped", "constant", "worked_out"]


@dataclass(frozen=True, eq=False)
class Sloped:
    """Values and their derivatives.

    Attributes
    ----------
    value : array, shape (n,) or (1,)
    slope : array, shape (n, m) or (1, m), or None
        None where nothing moves them.
    """

    value: Array
    slope: Array | None = None

    def times(self, factor: Array) -> Array | None:
        """The derivatives, each row times a factor; where a derivative is none, so it stays whatever the factor."""
        if self.slope is None:
            return None
        return np.where(self.slope == 0.0, 0.0, self.slope * np.asarray(factor)[:, None])


def constant(value: float) -> Sloped:
    """A number that nothing moves."""
    return Sloped(np.array([value], float))


def _plus(*slopes: Array | None) -> Array | None:
    kept = [each for each in slopes if each is not None]
    return sum(kept[1:], kept[0]) if kept else None


def _log(x: Sloped) -> Sloped:
    return Sloped(np.log(x.value), x.times(1.0 / x.value))


def _one(
    function: Callable[[Array], Array], derivative: Callable[[Array], Array]
) -> Callable[[Sloped], Sloped]:
    return lambda x: Sloped(function(x.value), x.times(derivative(x.value)))


def _none(x: Array) -> Array:
    return np.zeros_like(x)


_OF_ONE: dict[Any, Callable[[Sloped], Sloped]] = {
    sp.exp: _one(np.exp, np.exp),
    sp.log: _log,
    sp.Abs: _one(np.abs, np.sign),
    sp.sign: _one(np.sign, _none),
    sp.floor: _one(np.floor, _none),
    sp.ceiling: _one(np.ceil, _none),
    sp.sin: _one(np.sin, np.cos),
    sp.cos: _one(np.cos, lambda x: -np.sin(x)),
    sp.tan: _one(np.tan, lambda x: 1 / np.cos(x) ** 2),
    sp.cot: _one(lambda x: 1 / np.tan(x), lambda x: -1 / np.sin(x) ** 2),
    sp.sec: _one(lambda x: 1 / np.cos(x), lambda x: np.tan(x) / np.cos(x)),
    sp.csc: _one(lambda x: 1 / np.sin(x), lambda x: -1 / (np.sin(x) * np.tan(x))),
    sp.sinh: _one(np.sinh, np.cosh),
    sp.cosh: _one(np.cosh, np.sinh),
    sp.tanh: _one(np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    sp.coth: _one(lambda x: 1 / np.tanh(x), lambda x: -1 / np.sinh(x) ** 2),
    sp.sech: _one(lambda x: 1 / np.cosh(x), lambda x: -np.tanh(x) / np.cosh(x)),
    sp.csch: _one(lambda x: 1 / np.sinh(x), lambda x: -1 / (np.sinh(x) * np.tanh(x))),
    sp.asin: _one(np.arcsin, lambda x: 1 / np.sqrt(1 - x**2)),
    sp.acos: _one(np.arccos, lambda x: -1 / np.sqrt(1 - x**2)),
    sp.atan: _one(np.arctan, lambda x: 1 / (1 + x**2)),
    sp.acot: _one(lambda x: np.arctan(1 / x), lambda x: -1 / (1 + x**2)),
    sp.asec: _one(lambda x: np.arccos(1 / x), lambda x: 1 / (np.abs(x) * np.sqrt(x**2 - 1))),
    sp.acsc: _one(lambda x: np.arcsin(1 / x), lambda x: -1 / (np.abs(x) * np.sqrt(x**2 - 1))),
    sp.asinh: _one(np.arcsinh, lambda x: 1 / np.sqrt(1 + x**2)),
    sp.acosh: _one(np.arccosh, lambda x: 1 / np.sqrt(x**2 - 1)),
    sp.atanh: _one(np.arctanh, lambda x: 1 / (1 - x**2)),
    sp.acoth: _one(lambda x: np.arctanh(1 / x), lambda x: 1 / (1 - x**2)),
    sp.asech: _one(lambda x: np.arccosh(1 / x), lambda x: -1 / (x * np.sqrt(1 - x**2))),
    sp.acsch: _one(lambda x: np.arcsinh(1 / x), lambda x: -1 / (np.abs(x) * np.sqrt(1 + x**2))),
}
_COMPARED: dict[Any, Callable[[Array, Array], Any]] = {
    sp.Gt: np.greater,
    sp.Ge: np.greater_equal,
    sp.Lt: np.less,
    sp.Le: np.less_equal,
    sp.Eq: np.equal,
    sp.Ne: np.not_equal,
}


def worked_out(formula: sp.Basic, known: Callable[[str], Sloped]) -> Sloped:
    """What a formula comes to, with its derivatives.

    Parameters
    ----------
    formula : sympy.Basic
    known : callable
        Value of each name.

    Returns
    -------
    Sloped
        nan where it has no value.

    Raises
    ------
    ModelError
        For a function that cannot be worked out.

    Examples
    --------
    >>> x = Sloped(np.array([2.0, 3.0]), np.ones((2, 1)))
    >>> found = worked_out(sp.Symbol("x") ** 2, lambda name: x)
    >>> found.value.tolist(), found.slope[:, 0].tolist()
    ([4.0, 9.0], [4.0, 6.0])
    """
    with np.errstate(all="ignore"):
        return _walked(formula, known)


def _walked(formula: sp.Basic, known: Callable[[str], Sloped]) -> Sloped:
    if isinstance(formula, sp.Symbol):
        return known(formula.name)
    if formula.is_number or isinstance(formula, sp.Number):
        return constant(float(formula))
    kind = formula.func
    if kind is sp.Piecewise:
        return _pieces(formula, known)
    parts = [_walked(each, known) for each in formula.args]
    if kind is sp.Add:
        return Sloped(
            sum((each.value for each in parts), np.zeros(1)), _plus(*(each.slope for each in parts))
        )
    if kind is sp.Mul:
        return _product(parts)
    if kind is sp.Pow:
        return _power(*parts)
    if kind in (sp.Max, sp.Min):
        return _extreme(parts, larger=kind is sp.Max)
    if kind in _OF_ONE and len(parts) == 1:
        return _OF_ONE[kind](parts[0])
    raise ModelError(f"The formula {formula} cannot be worked out here.")


def _product(parts: list[Sloped]) -> Sloped:
    whole = parts[0]
    for each in parts[1:]:
        whole = Sloped(whole.value * each.value, _plus(whole.times(each.value), each.times(whole.value)))
    return whole


def _power(base: Sloped, exponent: Sloped) -> Sloped:
    value = base.value**exponent.value
    of_base = base.times(exponent.value * base.value ** (exponent.value - 1))
    if exponent.slope is None:
        return Sloped(value, of_base)
    growth = np.where(value == 0.0, 0.0, value * np.log(base.value))
    return Sloped(value, _plus(of_base, exponent.times(growth)))


def _wide(parts: list[Sloped]) -> tuple[list[Array], list[Array | None]]:
    """The same, all of one length."""
    values = np.broadcast_arrays(*(each.value for each in parts))
    count = len(values[0])
    slopes = [
        None if each.slope is None else np.broadcast_to(each.slope, (count, each.slope.shape[1]))
        for each in parts
    ]
    return list(values), slopes


def _chosen(choice: NDArray[np.intp], parts: list[Sloped]) -> Sloped:
    values, slopes = _wide([Sloped(choice.astype(float)), *parts])
    picked = np.broadcast_to(choice, values[0].shape)
    value = np.choose(picked, values[1:])
    some = next((each for each in slopes if each is not None), None)
    if some is None:
        return Sloped(value)
    filled = [np.zeros_like(some) if each is None else each for each in slopes[1:]]
    return Sloped(value, np.choose(picked[:, None], filled))


def _extreme(parts: list[Sloped], *, larger: bool) -> Sloped:
    best = parts[0]
    for each in parts[1:]:
        other = each.value > best.value if larger else each.value < best.value
        best = _chosen(np.asarray(other, np.intp), [best, each])
    return best


def _pieces(formula: sp.Basic, known: Callable[[str], Sloped]) -> Sloped:
    whole = constant(np.nan)
    for value, condition in reversed(formula.args):
        holds = np.asarray(_holds(condition, known), np.intp)
        if not holds.any():
            continue
        whole = _chosen(holds, [whole, _walked(value, known)])
    return whole


def _holds(condition: sp.Basic, known: Callable[[str], Sloped]) -> NDArray[np.bool_]:
    if condition in (sp.true, sp.false):
        return np.array([condition == sp.true])
    if condition.func in _COMPARED:
        a, b = (_walked(each, known).value for each in condition.args)
        return np.asarray(_COMPARED[condition.func](a, b))
    joined = {sp.And: np.logical_and, sp.Or: np.logical_or}
    if condition.func in joined:
        parts = [_holds(each, known) for each in condition.args]
        whole = parts[0]
        for each in parts[1:]:
            whole = joined[condition.func](whole, each)
        return whole
    if condition.func is sp.Not:
        return ~_holds(condition.args[0], known)
    raise ModelError(f"The condition {condition} cannot be worked out here.")
