"""Read sympy expressions into a graph; what cannot be compiled is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from itertools import pairwise

import sympy as sp

from cellsim.compiler.gradients import gradient
from cellsim.compiler.graph import SLACK, Graph
from cellsim.errors import ModelError

__all__ = ["lower"]

_CALLS = {
    sp.exp: "exp",
    sp.log: "log",
    sp.Abs: "abs",
    sp.floor: "floor",
    sp.tanh: "tanh",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.asin: "asin",
    sp.acos: "acos",
    sp.atan: "atan",
    sp.asinh: "asinh",
    sp.acosh: "acosh",
    sp.atanh: "atanh",
}
_RECIPROCALS = {
    sp.sec: "cos",
    sp.csc: "sin",
    sp.cot: "tan",
    sp.sech: "cosh",
    sp.csch: "sinh",
    sp.coth: "tanh",
}
_OF_RECIPROCALS = {
    sp.asec: "acos", sp.acsc: "asin", sp.acot: "atan", sp.asech: "acosh", sp.acsch: "asinh", sp.acoth: "atanh"
}  # fmt: skip
_RELATIONS = {
    sp.StrictLessThan: ("lt", False),
    sp.LessThan: ("le", False),
    sp.StrictGreaterThan: ("lt", True),
    sp.GreaterThan: ("le", True),
    sp.Equality: ("eq", False),
    sp.Unequality: ("ne", False),
}


def lower(graph: Graph, expr: sp.Basic, names: Mapping[str, int], memo: dict, *, where: str = "") -> int:
    """The node of a sympy expression.

    Parameters
    ----------
    expr : sympy.Basic
        What to read.
    names : mapping of str to int
        Node of every symbol that may occur.
    memo : dict
        Expressions already read (kept by the caller between calls that share `names`).
    where : str
        Where it stands, for the error message.

    Raises
    ------
    ModelError
        A symbol is unknown or a function cannot be compiled; the message names it.
    """
    found = memo.get(expr)
    if found is None:
        found = _lower(graph, expr, lambda inner: lower(graph, inner, names, memo, where=where), names, where)
        memo[expr] = found
    return found


def _lower(graph: Graph, expr: sp.Basic, lower: Callable, names: Mapping[str, int], where: str) -> int:
    place = f" (in {where})" if where else ""
    if isinstance(expr, sp.Symbol):
        if expr.name not in names:
            raise ModelError(f"{expr.name!r} is neither a state nor a parameter nor time{place}.")
        return names[expr.name]
    if isinstance(expr, sp.Number | sp.NumberSymbol):
        return graph.const(float(expr))
    if isinstance(expr, sp.Add):
        plus = [lower(arg) for arg in expr.args]
        return graph.add(
            graph.total(each for each in plus if graph.fixed(each)),
            graph.total(each for each in plus if not graph.fixed(each)),
        )
    if isinstance(expr, sp.Mul):
        return _product(graph, expr, lower, names.get("time"))
    if isinstance(expr, sp.Pow):
        if expr.base is sp.E:
            return graph.call("exp", lower(expr.exp))
        return reduce(graph.mul, _power(graph, expr, lower, names.get("time")))
    if type(expr) in _CALLS:
        return graph.call(_CALLS[type(expr)], lower(expr.args[0]))
    if type(expr) in _RECIPROCALS:
        return graph.recip(graph.call(_RECIPROCALS[type(expr)], lower(expr.args[0])))
    if type(expr) in _OF_RECIPROCALS:
        return graph.call(_OF_RECIPROCALS[type(expr)], graph.recip(lower(expr.args[0])))
    if isinstance(expr, sp.floor | sp.ceiling):
        return _whole(graph, expr, lower)
    if isinstance(expr, sp.factorial):
        return lower(_factorial(expr.args[0]))
    if isinstance(expr, sp.sign):
        a = lower(expr.args[0])
        below = graph.select(graph.ask("lt", a, graph.zero), graph.const(-1.0), graph.zero)
        return graph.select(graph.ask("lt", graph.zero, a), graph.one, below)
    if isinstance(expr, sp.Min | sp.Max):
        op = "min" if isinstance(expr, sp.Min) else "max"
        nodes = sorted(lower(arg) for arg in expr.args)
        result = nodes[0]
        for node in nodes[1:]:
            x, y = graph.value(result), graph.value(node)
            if x is not None and y is not None:
                result = graph.const(min(x, y) if op == "min" else max(x, y))
            else:
                result = graph.node(op, result, node)
        return result
    if isinstance(expr, sp.Piecewise):
        result = graph.const(math.nan)
        for value, condition in reversed(expr.args):
            result = graph.select(graph.truth(lower(condition)), graph.numeric(lower(value)), result)
        return result
    if type(expr) in _RELATIONS:
        op, swapped = _RELATIONS[type(expr)]
        a, b = (graph.numeric(lower(arg)) for arg in expr.args)
        return graph.ask(op, b, a) if swapped else graph.ask(op, a, b)
    if expr in (sp.true, sp.false):
        return graph.const(bool(expr))
    if isinstance(expr, sp.logic.boolalg.BooleanFunction):
        joined = _joined(graph, expr, [graph.truth(lower(arg)) for arg in expr.args])
        if joined is not None:
            return joined
    raise ModelError(f"{type(expr).__name__} in {expr} cannot be compiled{place}.")


def _joined(graph: Graph, expr: sp.Basic, truths: list[int]) -> int | None:
    """Conditions joined to one, of truth values alone: machine code branches on bits, never on numbers."""

    def differ(a: int, b: int) -> int:
        return graph.logic(
            "or", graph.logic("and", a, graph.invert(b)), graph.logic("and", graph.invert(a), b)
        )

    if isinstance(expr, sp.And | sp.Or):
        op = "and" if isinstance(expr, sp.And) else "or"
        return reduce(lambda a, b: graph.logic(op, a, b), truths)
    if isinstance(expr, sp.Not):
        return graph.invert(truths[0])
    if isinstance(expr, sp.Xor):
        return reduce(differ, truths)
    if isinstance(expr, sp.Implies):
        return graph.logic("or", graph.invert(truths[0]), truths[1])
    if isinstance(expr, sp.Equivalent):
        same = [graph.invert(differ(a, b)) for a, b in pairwise(truths)]
        return reduce(lambda a, b: graph.logic("and", a, b), same)
    if isinstance(expr, sp.ITE):
        condition, a, b = truths
        return graph.logic(
            "or", graph.logic("and", condition, a), graph.logic("and", graph.invert(condition), b)
        )
    return None


# the coefficients of Lanczos's series for g = 7 (P. Godfrey's; relative error below 1e-14)
_LANCZOS = (
    0.99999999999980993227684700473478,
    676.520368121885098567009190444019,
    -1259.13921672240287047156078755283,
    771.3234287776530788486528258894,
    -176.61502916214059906584551354,
    12.507343278686904814458936853,
    -0.13857109526572011689554707,
    9.984369578019570859563e-6,
    1.50563273514931155834e-7,
)


def _factorial(n: sp.Expr) -> sp.Expr:
    """The factorial as the gamma function of n + 1, smooth in between; no number below 0."""
    far = n + sp.Float(7.5)
    series = sp.Add(_LANCZOS[0], *(each / (n + k) for k, each in enumerate(_LANCZOS) if k))
    value = sp.Float(math.sqrt(2 * math.pi)) * sp.exp((n + sp.Rational(1, 2)) * sp.log(far) - far) * series
    return sp.Piecewise((value, n >= 0))


def _whole(graph: Graph, expr: sp.Basic, lower: Callable) -> int:
    """floor or ceiling; a quotient under it is divided once, because 49*(1/49) is a little less than 1."""
    (inner,) = expr.args
    above, below = inner.as_numer_denom() if isinstance(inner, sp.Mul) else (inner, sp.S.One)
    node = lower(above) if below == 1 else graph.quotient(lower(above), lower(below))
    if isinstance(expr, sp.floor):
        return graph.call("floor", node)
    return graph.neg(graph.call("floor", graph.neg(node)))


def _power(graph: Graph, expr: sp.Pow, lower: Callable, clock: int | None) -> list[int]:
    """The factors of a power, with the slack that its base has: to first order, that of the states in it; the clock has none."""
    base, exponent = lower(expr.base), lower(expr.exp)
    slack = graph.zero
    if not expr.exp.is_integer:
        states = {node for node in graph.reachable([base]) if graph.ops[node] == "y" and node != clock}
        for state, slope in sorted(gradient(graph, base, states).items()) if len(states) < 3 else ():
            if not graph.fixed(slope):
                continue
            size = graph.mul(graph.call("abs", slope), graph.input("s", graph.args[state][0]))
            slack = graph.add(slack, size)
    return graph.power(base, exponent, graph.mul(graph.const(SLACK), slack))


def _product(graph: Graph, expr: sp.Mul, lower: Callable, clock: int | None) -> int:
    """Fixed factors first, and one division instead of several."""
    groups = {True: [graph.one, graph.one], False: [graph.one, graph.one]}
    factors = []
    for factor in expr.args:
        below = isinstance(factor, sp.Pow) and factor.exp.is_Number and bool(factor.exp < 0)
        one = 1 / factor if below else factor
        # the sign of a power stands apart, so that exponentials can meet
        apart = (
            _power(graph, one, lower, clock)
            if isinstance(one, sp.Pow) and one.base is not sp.E
            else [lower(one)]
        )
        factors += [(node, below) for node in apart]
    factors.sort(key=lambda each: graph.ops[each[0]] != "exp")  # exponentials meet, and become one
    for node, below in factors:
        group = groups[graph.fixed(node)]
        group[below] = graph.mul(group[below], node)
    result = graph.one
    for fixed in (True, False):
        above, under = groups[fixed]
        part = above if under == graph.one else graph.mul(above, graph.recip(under))
        result = graph.mul(result, part)
    return result
