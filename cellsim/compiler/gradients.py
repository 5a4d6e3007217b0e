"""Exact derivatives of graph nodes, as graph nodes."""

from __future__ import annotations

import math
from collections.abc import Collection

from cellsim.compiler.graph import FLOOR_OF_BASES, INPUTS, Graph

__all__ = ["gradient", "slopes"]


def gradient(graph: Graph, node: int, wrt: Collection[int]) -> dict[int, int]:
    """Derivatives of a node with respect to other nodes, as nodes; what is zero is left out.

    A node of `wrt` counts as independent: what it is made of is not looked into. Branches of a piecewise term
    are differentiated apart, so that a branch not taken can be infinite without harm. What does not count (weight 0)
    has no slope even where an exponential is too large for a number: 1/(1 + exp(x)) is 0 and flat there.
    """
    order = graph.reachable([node], stop=wrt)
    touched: set[int] = set(order) & set(wrt)
    if not touched:
        return {}
    for each in order:
        if each not in touched and graph.ops[each] not in INPUTS and each not in wrt:
            touched.update((each,) if any(arg in touched for arg in graph.args[each]) else ())
    adjoint: dict[int, int] = {node: graph.one}
    result: dict[int, int] = {}
    for each in reversed(order):
        weight = adjoint.pop(each, None)
        if weight is None or each not in touched or weight == graph.zero:
            continue
        if each in wrt:
            result[each] = weight
            continue
        for inner, slope in slopes(graph, each, wrt):
            if inner in touched:
                share = graph.mul(weight, slope)
                # a weight constant in time that is 0 leaves no number in the value either: nothing to keep flat
                if graph.unbounded[slope] and not graph.fixed(weight):
                    share = graph.select(graph.relation("eq", weight, graph.zero), graph.zero, share)
                adjoint[inner] = graph.add(adjoint.get(inner, graph.zero), share)
    return {key: value for key, value in result.items() if value != graph.zero}


def slopes(graph: Graph, node: int, wrt: Collection[int]) -> list[tuple[int, int]]:
    """Derivatives of a node with respect to its arguments (for a piecewise term, min and max: to what is independent)."""
    op, args = graph.ops[node], graph.args[node]
    if op == "add":
        return [(args[0], graph.one), (args[1], graph.one)]
    if op == "neg":
        return [(args[0], graph.const(-1.0))]
    if op == "mul":
        a, b = args
        return [(a, graph.mul(graph.const(2.0), a))] if a == b else [(a, b), (b, a)]
    if op == "recip":
        return [(args[0], graph.neg(graph.mul(node, node)))]
    if op == "exp":
        return [(args[0], node)]
    if op == "log":
        return [(args[0], graph.recip(args[0]))]
    if op == "sqrt":
        return [(args[0], graph.mul(graph.const(0.5), graph.recip(node)))]
    if op == "tanh":
        return [(args[0], graph.sub(graph.one, graph.mul(node, node)))]
    if op in ("sinh", "cosh"):
        return [(args[0], graph.call("cosh" if op == "sinh" else "sinh", args[0]))]
    if op == "sin":
        return [(args[0], graph.call("cos", args[0]))]
    if op == "cos":
        return [(args[0], graph.neg(graph.call("sin", args[0])))]
    if op == "tan":
        return [(args[0], graph.add(graph.one, graph.mul(node, node)))]
    if op in ("asin", "acos"):
        root = graph.recip(graph.call("sqrt", graph.sub(graph.one, graph.mul(args[0], args[0]))))
        return [(args[0], root if op == "asin" else graph.neg(root))]
    if op == "atan":
        return [(args[0], graph.recip(graph.add(graph.one, graph.mul(args[0], args[0]))))]
    if op in ("asinh", "acosh"):
        below = graph.add(graph.mul(args[0], args[0]), graph.const(1.0 if op == "asinh" else -1.0))
        return [(args[0], graph.recip(graph.call("sqrt", below)))]
    if op == "atanh":
        return [(args[0], graph.recip(graph.sub(graph.one, graph.mul(args[0], args[0]))))]
    if op == "pos":
        above = graph.relation("lt", graph.const(FLOOR_OF_BASES), args[0])
        return [(args[0], graph.select(above, graph.one, graph.zero))]
    if op == "parity":  # a negative base has a power at whole exponents, and none between them
        return [(args[0], graph.const(math.nan))]
    if op == "abs":
        below = graph.relation("lt", args[0], graph.zero)
        return [(args[0], graph.select(below, graph.const(-1.0), graph.one))]
    if op in ("min", "max", "select"):
        taken = args[0] if op == "select" else graph.relation("lt", *(args if op == "min" else args[::-1]))
        ways = [gradient(graph, each, wrt) for each in args[-2:]]
        return [
            (each, graph.select(taken, ways[0].get(each, graph.zero), ways[1].get(each, graph.zero)))
            for each in sorted({*ways[0], *ways[1]})
        ]
    return []  # floor, what stands under it, and relations are flat
