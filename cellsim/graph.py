"""Expressions as one shared graph: equal terms exist once, parameter-only terms are told apart, gradients are exact.

sympy is the language the model is written in; this is the form it is compiled and differentiated from. A node is a
number; its arguments have smaller numbers, so counting upwards is a valid order of evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping

import sympy as sp

from cellsim.errors import ModelError

__all__ = ["FLOOR_OF_BASES", "Graph"]

FLOOR_OF_BASES = 2.0**-465
"""A real power x^c is computed as exp(c log(max(x, 2^-465))), about 1e-140: zero and the tiny negatives that
rounding leaves behind read as zero, and every derivative stays finite. Only the argument is floored, never a state,
so no mass is made or lost."""

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
}
_RELATIONS = {
    sp.StrictLessThan: ("lt", False),
    sp.LessThan: ("le", False),
    sp.StrictGreaterThan: ("lt", True),
    sp.GreaterThan: ("le", True),
    sp.Equality: ("eq", False),
    sp.Unequality: ("ne", False),
}
_NUMBERS: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "floor": math.floor,
    "tanh": math.tanh,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "recip": lambda x: 1.0 / x,
}
_LARGEST_UNROLLED_POWER = 64

# what a node depends on, as bits
PARAMETER, STATE, DIRECTION = 1, 2, 4
BOOLEAN = ("lt", "le", "eq", "ne", "and", "or", "not")


class Graph:
    """A pool of expression nodes with value numbering.

    Attributes
    ----------
    ops : list of str
        What each node does: ``const``, ``p`` and ``y`` (inputs), ``add``, ``mul``, ``neg``, ``recip``, a function
        name, ``min``, ``max``, ``pos`` (the floor of bases), ``select``, a relation, ``and``, ``or``, ``not``.
    args : list of tuple
        Node numbers of the arguments; for ``const`` the value, for inputs the index.
    depends : list of int
        Bits: 1 if the node depends on a parameter, 2 if on a state, 4 if on a direction.
    """

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.args: list[tuple] = []
        self.depends: list[int] = []
        self._known: dict[tuple, int] = {}
        self.zero = self.const(0.0)
        self.one = self.const(1.0)

    # -- making nodes ------------------------------------------------------------------------------------------

    def _node(self, op: str, *args: int) -> int:
        key = (op, *args)
        found = self._known.get(key)
        if found is None:
            found = len(self.ops)
            self._known[key] = found
            self.ops.append(op)
            self.args.append(args)
            bits = 0
            for arg in args:
                bits |= self.depends[arg]
            self.depends.append(bits)
        return found

    def const(self, value: float) -> int:
        value = float(value) + 0.0  # no negative zero
        key = ("const", value)
        if key not in self._known:
            self._known[key] = len(self.ops)
            self.ops.append("const")
            self.args.append((value,))
            self.depends.append(0)
        return self._known[key]

    def input(self, kind: str, index: int) -> int:
        """An input: ``"p"`` is constant in time, ``"y"`` and ``"k"`` (a direction) are not."""
        key = (kind, "input", index)
        if key not in self._known:
            self._known[key] = len(self.ops)
            self.ops.append(kind)
            self.args.append((index,))
            self.depends.append({"p": PARAMETER, "k": STATE | DIRECTION}.get(kind, STATE))
        return self._known[key]

    def value(self, node: int) -> float | None:
        return self.args[node][0] if self.ops[node] == "const" else None

    def _fixed(self, node: int) -> bool:
        """Constant in time: worth computing once per simulation instead of once per step."""
        return not self.depends[node] & STATE

    def _parts(self, node: int, op: str) -> tuple[int | None, int]:
        """Split ``fixed op moving``; the fixed part is always the first argument."""
        if self.ops[node] == op and not self._fixed(node):
            first, second = self.args[node]
            if self._fixed(first):
                return first, second
        return None, node

    def neg(self, a: int) -> int:
        value = self.value(a)
        if value is not None:
            return self.const(-value)
        if self.ops[a] == "neg":
            return self.args[a][0]
        if self.ops[a] == "mul":  # a fixed factor swallows the sign
            fixed, moving = self._parts(a, "mul")
            if fixed is not None and self.value(fixed) is not None:
                return self.mul(self.neg(fixed), moving)
        return self._node("neg", a)

    def add(self, a: int, b: int) -> int:
        x, y = self.value(a), self.value(b)
        if x is not None and y is not None:
            return self.const(x + y)
        if x == 0.0:
            return b
        if y == 0.0:
            return a
        if (self.ops[b] == "neg" and self.args[b][0] == a) or (self.ops[a] == "neg" and self.args[a][0] == b):
            return self.zero
        fa, a = (a, None) if self._fixed(a) else self._parts(a, "add")  # type: ignore[assignment]
        fb, b = (b, None) if self._fixed(b) else self._parts(b, "add")  # type: ignore[assignment]
        fixed = self._plain("add", fa, fb)
        moving = self._plain("add", a, b)
        if fixed is None:
            return moving  # type: ignore[return-value]
        if moving is None:
            return fixed
        if self.value(fixed) == 0.0:
            return moving
        return self._node("add", fixed, moving)

    def _plain(self, op: str, a: int | None, b: int | None) -> int | None:
        if a is None or b is None:
            return b if a is None else a
        x, y = self.value(a), self.value(b)
        if x is not None and y is not None:
            return self.const(x + y if op == "add" else x * y)
        neutral = 0.0 if op == "add" else 1.0
        if x == neutral:
            return b
        if y == neutral:
            return a
        return self._node(op, min(a, b), max(a, b))

    def sub(self, a: int, b: int) -> int:
        return self.add(a, self.neg(b))

    def mul(self, a: int, b: int) -> int:
        x, y = self.value(a), self.value(b)
        if x == 0.0 or y == 0.0:
            return self.zero
        if x is not None and y is not None:
            return self.const(x * y)
        if x == 1.0:
            return b
        if y == 1.0:
            return a
        if x == -1.0:
            return self.neg(b)
        if y == -1.0:
            return self.neg(a)
        if self.ops[a] == "neg":
            return self.neg(self.mul(self.args[a][0], b))
        if self.ops[b] == "neg":
            return self.neg(self.mul(a, self.args[b][0]))
        if self.ops[a] == "exp" and self.ops[b] == "exp":  # one exponential instead of two
            return self.call("exp", self.add(self.args[a][0], self.args[b][0]))
        fa, a = (a, None) if self._fixed(a) else self._parts(a, "mul")  # type: ignore[assignment]
        fb, b = (b, None) if self._fixed(b) else self._parts(b, "mul")  # type: ignore[assignment]
        fixed = self._plain("mul", fa, fb)
        moving = self._plain("mul", a, b)
        if fixed is None:
            return moving  # type: ignore[return-value]
        if moving is None:
            return fixed
        if self.ops[fixed] == "neg":
            return self.neg(self._node("mul", self.args[fixed][0], moving))
        return self._node("mul", fixed, moving)

    def recip(self, a: int) -> int:
        value = self.value(a)
        if value is not None and value != 0.0:
            return self.const(1.0 / value)
        if self.ops[a] == "recip":
            return self.args[a][0]
        if self.ops[a] == "neg":
            return self.neg(self.recip(self.args[a][0]))
        if self.ops[a] == "exp":
            return self.call("exp", self.neg(self.args[a][0]))
        fixed, moving = self._parts(a, "mul")
        if fixed is not None:
            return self.mul(self.recip(fixed), self._node("recip", moving))
        return self._node("recip", a)

    def call(self, name: str, a: int) -> int:
        value = self.value(a)
        if value is not None:
            try:
                return self.const(_NUMBERS[name](value))
            except (ValueError, OverflowError, ZeroDivisionError):
                pass  # log(0) and the like keep their meaning at run time: an infinity, or not a number
        return self._node(name, a)

    def power(self, base: int, exponent: int) -> int:
        n = self.value(exponent)
        if n is not None and n == int(n) and abs(n) <= _LARGEST_UNROLLED_POWER:
            return self._unrolled(base, int(n))
        if n is not None and 2 * n == int(2 * n) and abs(n) <= _LARGEST_UNROLLED_POWER:
            floored = self._node("pos", base) if self.value(base) is None else base
            return self.mul(self._unrolled(floored, math.floor(n)), self.call("sqrt", floored))
        if self.ops[base] == "exp":
            return self.call("exp", self.mul(exponent, self.args[base][0]))
        value = self.value(base)
        if value is not None:
            floored = self.const(max(value, FLOOR_OF_BASES))
        else:
            floored = self._node("pos", base)
        return self.call("exp", self.mul(exponent, self.call("log", floored)))

    def _unrolled(self, base: int, n: int) -> int:
        if n < 0:
            return self.recip(self._unrolled(base, -n))
        result, square = self.one, base
        while n:
            if n & 1:
                result = self.mul(result, square)
            n >>= 1
            if n:
                square = self.mul(square, square)
        return result

    def select(self, condition: int, a: int, b: int) -> int:
        known = self.value(condition)
        if known is not None:
            return a if known else b
        return a if a == b else self._node("select", condition, a, b)

    def relation(self, op: str, a: int, b: int) -> int:
        x, y = self.value(a), self.value(b)
        if x is not None and y is not None:
            return self.const({"lt": x < y, "le": x <= y, "eq": x == y, "ne": x != y}[op])
        return self._node(op, a, b)

    def logic(self, op: str, a: int, b: int) -> int:
        for this, other in ((a, b), (b, a)):
            known = self.value(this)
            if known is not None:
                return other if bool(known) == (op == "and") else this
        return self._node(op, a, b)

    def invert(self, a: int) -> int:
        known = self.value(a)
        return self.const(not known) if known is not None else self._node("not", a)

    def truth(self, a: int) -> int:
        """A node that can be branched on; numbers count as true unless zero."""
        if self.ops[a] in BOOLEAN:
            return a
        if self.ops[a] == "select" and self.args[a][1:] == (self.one, self.zero):
            return self.args[a][0]
        known = self.value(a)
        return self.const(known != 0.0) if known is not None else self.relation("ne", a, self.zero)

    def numeric(self, a: int) -> int:
        """A node that can be calculated with; truth is 1, its opposite 0."""
        return self.select(a, self.one, self.zero) if self.ops[a] in BOOLEAN else a

    def total(self, nodes: Iterable[int]) -> int:
        result = self.zero
        for node in nodes:
            result = self.add(result, node)
        return result

    # -- from sympy --------------------------------------------------------------------------------------------

    def lower(self, expr: sp.Basic, names: Mapping[str, int], memo: dict, *, where: str = "") -> int:
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
            found = self._lower(expr, lambda inner: self.lower(inner, names, memo, where=where), names, where)
            memo[expr] = found
        return found

    def _lower(self, expr: sp.Basic, lower: Callable, names: Mapping[str, int], where: str) -> int:
        place = f" (in {where})" if where else ""
        if isinstance(expr, sp.Symbol):
            if expr.name not in names:
                raise ModelError(f"{expr.name!r} is neither a state nor a parameter nor time{place}.")
            return names[expr.name]
        if isinstance(expr, sp.Number | sp.NumberSymbol):
            return self.const(float(expr))
        if isinstance(expr, sp.Add):
            plus = [lower(arg) for arg in expr.args]
            return self.add(
                self.total(each for each in plus if self._fixed(each)),
                self.total(each for each in plus if not self._fixed(each)),
            )
        if isinstance(expr, sp.Mul):
            return self._product(expr, lower)
        if isinstance(expr, sp.Pow):
            if expr.base is sp.E:
                return self.call("exp", lower(expr.exp))
            return self.power(lower(expr.base), lower(expr.exp))
        if type(expr) in _CALLS:
            return self.call(_CALLS[type(expr)], lower(expr.args[0]))
        if isinstance(expr, sp.ceiling):
            return self.neg(self.call("floor", self.neg(lower(expr.args[0]))))
        if isinstance(expr, sp.sign):
            a = lower(expr.args[0])
            below = self.select(self.relation("lt", a, self.zero), self.const(-1.0), self.zero)
            return self.select(self.relation("lt", self.zero, a), self.one, below)
        if isinstance(expr, sp.Min | sp.Max):
            op = "min" if isinstance(expr, sp.Min) else "max"
            nodes = sorted(lower(arg) for arg in expr.args)
            result = nodes[0]
            for node in nodes[1:]:
                x, y = self.value(result), self.value(node)
                both = x is not None and y is not None
                result = (
                    self.const(min(x, y) if op == "min" else max(x, y))  # type: ignore[type-var]
                    if both
                    else self._node(op, result, node)
                )
            return result
        if isinstance(expr, sp.Piecewise):
            result = self.const(math.nan)
            for value, condition in reversed(expr.args):
                result = self.select(self.truth(lower(condition)), self.numeric(lower(value)), result)
            return result
        if type(expr) in _RELATIONS:
            op, swapped = _RELATIONS[type(expr)]
            a, b = (self.numeric(lower(arg)) for arg in expr.args)
            return self.relation(op, b, a) if swapped else self.relation(op, a, b)
        if isinstance(expr, sp.And | sp.Or):
            op = "and" if isinstance(expr, sp.And) else "or"
            result = self.truth(lower(expr.args[0]))
            for arg in expr.args[1:]:
                result = self.logic(op, result, self.truth(lower(arg)))
            return result
        if isinstance(expr, sp.Not):
            return self.invert(self.truth(lower(expr.args[0])))
        if isinstance(expr, sp.ITE):
            condition, a, b = (lower(arg) for arg in expr.args)
            return self.select(self.truth(condition), a, b)
        if expr in (sp.true, sp.false):
            return self.const(bool(expr))
        raise ModelError(f"{type(expr).__name__} in {expr} cannot be compiled{place}.")

    def _product(self, expr: sp.Mul, lower: Callable) -> int:
        """Fixed factors first, and one division instead of several."""
        groups = {True: [self.one, self.one], False: [self.one, self.one]}
        factors = []
        for factor in expr.args:
            below = isinstance(factor, sp.Pow) and factor.exp.is_Number and bool(factor.exp < 0)
            factors.append((lower(1 / factor if below else factor), below))
        factors.sort(key=lambda each: self.ops[each[0]] != "exp")  # exponentials meet, and become one
        for node, below in factors:
            group = groups[self._fixed(node)]
            group[below] = self.mul(group[below], node)
        result = self.one
        for fixed in (True, False):
            above, under = groups[fixed]
            part = above if under == self.one else self.mul(above, self.recip(under))
            result = self.mul(result, part)
        return result

    # -- gradients ---------------------------------------------------------------------------------------------

    def gradient(self, node: int, wrt: Collection[int]) -> dict[int, int]:
        """Derivatives of a node with respect to other nodes, as nodes; what is zero is left out.

        A node of `wrt` counts as independent: what it is made of is not looked into. Branches of a piecewise term
        are differentiated apart, so that a branch not taken can be infinite without harm.
        """
        order = self.reachable([node], stop=wrt)
        touched: set[int] = set(order) & set(wrt)
        if not touched:
            return {}
        for each in order:
            if each not in touched and self.ops[each] not in ("const", "p", "y", "k") and each not in wrt:
                if any(arg in touched for arg in self.args[each]):
                    touched.add(each)
        adjoint: dict[int, int] = {node: self.one}
        result: dict[int, int] = {}
        for each in reversed(order):
            weight = adjoint.pop(each, None)
            if weight is None or each not in touched or weight == self.zero:
                continue
            if each in wrt:
                result[each] = weight
                continue
            for inner, slope in self._slopes(each, wrt):
                if inner in touched:
                    adjoint[inner] = self.add(adjoint.get(inner, self.zero), self.mul(weight, slope))
        return {key: value for key, value in result.items() if value != self.zero}

    def _slopes(self, node: int, wrt: Collection[int]) -> list[tuple[int, int]]:
        op, args = self.ops[node], self.args[node]
        if op == "add":
            return [(args[0], self.one), (args[1], self.one)]
        if op == "neg":
            return [(args[0], self.const(-1.0))]
        if op == "mul":
            a, b = args
            return [(a, self.mul(self.const(2.0), a))] if a == b else [(a, b), (b, a)]
        if op == "recip":
            return [(args[0], self.neg(self.mul(node, node)))]
        if op == "exp":
            return [(args[0], node)]
        if op == "log":
            return [(args[0], self.recip(args[0]))]
        if op == "sqrt":
            return [(args[0], self.mul(self.const(0.5), self.recip(node)))]
        if op == "tanh":
            return [(args[0], self.sub(self.one, self.mul(node, node)))]
        if op in ("sinh", "cosh"):
            return [(args[0], self.call("cosh" if op == "sinh" else "sinh", args[0]))]
        if op == "sin":
            return [(args[0], self.call("cos", args[0]))]
        if op == "cos":
            return [(args[0], self.neg(self.call("sin", args[0])))]
        if op == "tan":
            return [(args[0], self.add(self.one, self.mul(node, node)))]
        if op in ("asin", "acos"):
            root = self.recip(self.call("sqrt", self.sub(self.one, self.mul(args[0], args[0]))))
            return [(args[0], root if op == "asin" else self.neg(root))]
        if op == "atan":
            return [(args[0], self.recip(self.add(self.one, self.mul(args[0], args[0]))))]
        if op == "pos":
            above = self.relation("lt", self.const(FLOOR_OF_BASES), args[0])
            return [(args[0], self.select(above, self.one, self.zero))]
        if op == "abs":
            below = self.relation("lt", args[0], self.zero)
            return [(args[0], self.select(below, self.const(-1.0), self.one))]
        if op in ("min", "max"):
            first = self.relation("lt", *(args if op == "min" else args[::-1]))
            return [
                (args[0], self.select(first, self.one, self.zero)),
                (args[1], self.select(first, self.zero, self.one)),
            ]
        if op == "select":
            ways = [self.gradient(each, wrt) for each in args[1:]]
            return [
                (each, self.select(args[0], ways[0].get(each, self.zero), ways[1].get(each, self.zero)))
                for each in sorted({*ways[0], *ways[1]})
            ]
        return []  # floor and relations are flat

    def reachable(self, nodes: Iterable[int], *, stop: Collection[int] = ()) -> list[int]:
        """Everything needed for `nodes`, in order of evaluation; nodes in `stop` are not looked into."""
        seen: set[int] = set()
        stack = list(nodes)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node not in stop and self.ops[node] not in ("const", "p", "y", "k"):
                stack.extend(self.args[node])
        return sorted(seen)
