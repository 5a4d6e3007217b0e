"""Code that evaluates graph nodes, straight through."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from cellsim.compiler.graph import BOOLEAN, FLOOR_OF_BASES, INPUTS, STATE, Graph
from cellsim.compiler.llvm import Code, exp, log

__all__ = ["emit_nodes", "fixed_nodes"]

_LIBRARY = ("tanh", "sinh", "cosh", "sin", "cos", "tan", "asin", "acos", "atan", "asinh", "acosh", "atanh")
_INTRINSICS = {"sqrt": "llvm.sqrt", "abs": "llvm.fabs", "floor": "llvm.floor"}
_COMPARE = {"lt": "olt", "le": "ole", "eq": "oeq", "ne": "une"}


def emit_nodes(
    code: Code,
    graph: Graph,
    targets: Iterable[tuple[int, Callable[[str], None]]],
    read: Callable[[Code, int], str],
    *,
    kept: Mapping[int, int] | None = None,
) -> None:
    """Write code that computes nodes and hands each to its sink as soon as it is known.

    Parameters
    ----------
    code : Code
        Where to write.
    graph : Graph
        Where the nodes live.
    targets : iterable of (node, sink)
        ``sink(name)`` receives the value.
    read : callable
        ``read(code, node)`` loads an input, or a node in `kept`.
    kept : mapping of int
        Nodes that are loaded instead of computed.
    """
    kept = kept or {}
    wanted: dict[int, list[Callable[[str], None]]] = {}
    for node, sink in targets:
        wanted.setdefault(node, []).append(sink)
    order = graph.reachable(wanted, stop=kept)
    order = [node for node in order if node not in kept or graph.ops[node] != "const"]
    values: dict[int, str] = {}

    def get(node: int) -> str:
        if node not in values:
            if graph.ops[node] == "const":
                value = graph.args[node][0]
                return code.const(value)
            values[node] = read(code, node)
        return values[node]

    def done(node: int) -> None:
        for sink in wanted.get(node, ()):
            sink(get(node))

    inputs = {node for node in order if node in kept or graph.ops[node] in INPUTS}
    level: dict[int, int] = {}
    for node in order:
        if node in inputs:
            level[node] = 0
        else:
            step = graph.ops[node] in ("exp", "log") and code.width == 1
            level[node] = max(level[arg] for arg in graph.args[node]) + step
    waiting: dict[tuple[int, str], list[int]] = {}
    rest: dict[int, list[int]] = {}
    for node in order:
        if node in inputs:
            if node in wanted:
                rest.setdefault(0, []).append(node)
        elif graph.ops[node] in ("exp", "log") and code.width == 1:
            waiting.setdefault((level[node], graph.ops[node]), []).append(node)
        else:
            rest.setdefault(level[node], []).append(node)
    for depth in range(max(level.values(), default=0) + 1):
        for op in ("log", "exp"):
            nodes = waiting.get((depth, op), [])
            for start in range(0, len(nodes), 8):
                group = nodes[start : start + 8]
                compute = exp if op == "exp" else log
                if len(group) == 1:
                    values[group[0]] = compute(code, get(graph.args[group[0]][0]))
                else:
                    vector, width = code.pack([get(graph.args[node][0]) for node in group])
                    vector = compute(code, vector, width)
                    for lane, node in enumerate(group):
                        values[node] = code.line(f"extractelement {code.kind(width)} {vector}, i32 {lane}")
                for node in group:
                    done(node)
        for node in rest.get(depth, []):
            if node not in inputs:
                values[node] = _one(code, graph, node, get, kept)
            done(node)


def _one(code: Code, graph: Graph, node: int, get: Callable[[int], str], kept: Mapping[int, int]) -> str:
    op, args = graph.ops[node], graph.args[node]
    logical = code.kind(code.width, "i1")
    if op == "add":
        for this, other in (args, args[::-1]):
            if graph.ops[other] == "neg" and other not in kept:
                return code.two("fsub", get(this), get(graph.args[other][0]))
        return code.two("fadd", get(args[0]), get(args[1]))
    if op == "mul":
        return code.two("fmul", get(args[0]), get(args[1]))
    if op == "neg":
        return code.line(f"fneg {code.type} {get(args[0])}")
    if op == "quotient":
        return code.line(f"fdiv {code.type} {get(args[0])}, {get(args[1])}")
    if op == "recip":
        return code.two("fdiv", code.const(1.0), get(args[0]))
    if op == "exp":
        return exp(code, get(args[0]))
    if op == "log":
        return log(code, get(args[0]))
    if op in _INTRINSICS:
        return code.intrinsic(_INTRINSICS[op], get(args[0]))
    if op in _LIBRARY:
        return code.library(op, get(args[0]))
    if op in ("min", "max"):
        a, b = get(args[0]), get(args[1])
        return code.choose(code.compare("olt" if op == "min" else "ogt", a, b), a, b)
    if op == "pos":
        a, least = get(args[0]), code.const(FLOOR_OF_BASES)
        return code.choose(code.compare("olt", a, least), least, a)  # not-a-number passes through
    if op == "parity":
        halved = code.line(f"fmul {code.type} {get(args[0])}, {code.const(0.5)}")
        twice = code.line(f"fmul {code.type} {code.intrinsic('llvm.floor', halved)}, {code.const(2.0)}")
        rest = code.line(f"fsub {code.type} {get(args[0])}, {twice}")
        odd = code.choose(code.compare("oeq", rest, code.const(1.0)), code.const(-1.0), code.const(math.nan))
        return code.choose(code.compare("oeq", rest, code.const(0.0)), code.const(1.0), odd)
    if op == "select":
        return code.choose(get(args[0]), get(args[1]), get(args[2]))
    if op in _COMPARE:
        return code.compare(_COMPARE[op], get(args[0]), get(args[1]))
    if op in ("and", "or"):
        return code.line(f"{op} {logical} {get(args[0])}, {get(args[1])}")
    if op == "not":
        true = "true" if code.width == 1 else "<" + ", ".join(["i1 true"] * code.width) + ">"
        return code.line(f"xor {logical} {get(args[0])}, {true}")
    raise AssertionError(op)


def fixed_nodes(graph: Graph, targets: Iterable[int], changing: int = STATE) -> list[int]:
    """The outermost nodes under `targets` that do not change: numbers worth computing beforehand.

    Parameters
    ----------
    graph : Graph
    targets : iterable of int
        What will be evaluated.
    changing : int
        Dependence bits that count as change; inputs without them are among the nodes found.
    """
    found: set[int] = set()
    seen: set[int] = set()
    stack = list(targets)
    while stack:
        node = stack.pop()
        if node in seen or graph.ops[node] == "const":
            continue
        seen.add(node)
        if not graph.depends[node] & changing and graph.ops[node] not in BOOLEAN:
            found.add(node)
        elif graph.ops[node] not in INPUTS:
            stack.extend(graph.args[node])
    return sorted(found)
