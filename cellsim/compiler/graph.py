"""Expressions as one shared graph: equal terms exist once, and parameter-only terms are told apart.

sympy is the language a model is written in; this is the form it is compiled and differentiated from. A node
is a number; its arguments have smaller numbers, so counting upwards is a valid order of evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from threading import RLock
from typing import Any, Generic, TypeVar

__all__ = [
    "BOOLEAN",
    "DIRECTION",
    "FLOOR_OF_BASES",
    "INPUTS",
    "PARAMETER",
    "SLACK",
    "STATE",
    "WRITING",
    "Graph",
    "made_once",
]

WRITING = RLock()
"""Held by a thread that adds nodes to any graph: a node is its place in lists that all threads of a model share."""

FLOOR_OF_BASES = 2.0**-465
"""A real power x^c is computed as exp(c log(max(x, 2^-465))), about 1e-140, for c
above 0: every derivative stays finite at zero. Only the base is floored, never a state, so no mass is made or lost."""
SLACK = 1e-3
"""A negative base counts as zero in a power that is not whole as long as it is within this share of the largest values
that its states have had: error control leaves such negatives behind. Beyond it the power is not a number."""
INPUTS = ("const", "p", "y", "k", "s")

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
    "asinh": math.asinh,
    "acosh": math.acosh,
    "atanh": math.atanh,
    "recip": lambda x: 1.0 / x,
}
_LARGEST_UNROLLED_POWER = 64

# what a node depends on, as bits
PARAMETER, STATE, DIRECTION = 1, 2, 4
_EXPONENTIAL = ("exp", "sinh", "cosh")
_BOUNDED = ("recip", "tanh", "atan", "parity", "lt", "le", "eq", "ne", "and", "or", "not")
BOOLEAN = ("lt", "le", "eq", "ne", "and", "or", "not")


Made = TypeVar("Made")


class made_once(Generic[Made]):  # noqa: N801 - used like `property`
    """A property that is made at first use, while no other thread writes to a graph, and kept.

    `functools.cached_property` would not do: up to Python 3.11 it holds a lock of its own, for which a thread that writes could
    wait for ever, and from 3.12 on none, so that two threads would each make another.
    """

    def __init__(self, make: Callable[[Any], Made]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Made:
        if instance is None:
            return self  # type: ignore[return-value]
        with WRITING:
            kept = instance.__dict__  # later it is found there, without this
            if self.name not in kept:
                kept[self.name] = self.make(instance)
            return kept[self.name]


class Graph:
    """A pool of expression nodes with value numbering.

    Attributes
    ----------
    ops : list of str
        What each node does: ``const``, ``p`` and ``y`` (inputs), ``add``, ``mul``, ``neg``, ``recip``, a
        function name, ``quotient`` (under a floor), ``min``, ``max``, ``pos`` (the floor of bases), ``parity``, ``select``, a relation, ``and``,
        ``or``, ``not``.
    args : list of tuple
        Node numbers of the arguments; for ``const`` the value, for inputs the index.
    depends : list of int
        Bits: 1 if the node depends on a parameter, 2 if on a state, 4 if on a direction.
    unbounded : list of bool
        Whether an exponential in the node can make it infinite where the states are not.
    """

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.args: list[tuple] = []
        self.depends: list[int] = []
        self.unbounded: list[bool] = []
        self._known: dict[tuple, int] = {}
        self.whole: set[int] = set()  # exponents that are whole numbers as the model has them
        self.asked: set[int] = set()  # comparisons that the model itself makes
        self.zero = self.const(0.0)
        self.one = self.const(1.0)

    # -- making nodes ------------------------------------------------------------------------------

    def node(self, op: str, *args: int) -> int:
        """The node of an operation, as it stands (nothing simplified)."""
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
            grows = any(self.unbounded[arg] for arg in args)
            self.unbounded.append(op in _EXPONENTIAL or (grows and op not in _BOUNDED))
        return found

    def again(self, node: int, args: Iterable[int]) -> int:
        """The same operation on other arguments, as it stands."""
        changed = self.node(self.ops[node], *args)
        if node in self.asked:
            self.asked.add(changed)
        return changed

    def ask(self, op: str, a: int, b: int) -> int:
        """A comparison that the model itself makes, unlike those that keep a power within its domain."""
        node = self.relation(op, a, b)
        self.asked.add(node)
        return node

    def const(self, value: float) -> int:
        """A number."""
        value = float(value) + 0.0  # no negative zero
        key = ("const", value if value == value else "not a number")
        if key not in self._known:
            self._known[key] = len(self.ops)
            self.ops.append("const")
            self.args.append((value,))
            self.depends.append(0)
            self.unbounded.append(False)
        return self._known[key]

    def input(self, kind: str, index: int) -> int:
        """An input: ``"p"`` is constant in time; a state ``"y"``, its largest value so far ``"s"`` and a direction
        ``"k"`` are not."""
        key = (kind, "input", index)
        if key not in self._known:
            self._known[key] = len(self.ops)
            self.ops.append(kind)
            self.args.append((index,))
            self.depends.append({"p": PARAMETER, "k": STATE | DIRECTION}.get(kind, STATE))
            self.unbounded.append(False)
        return self._known[key]

    def value(self, node: int) -> float | None:
        """The number a node is, or None."""
        return self.args[node][0] if self.ops[node] == "const" else None

    def fixed(self, node: int) -> bool:
        """Constant in time: worth computing once per simulation instead of once per step."""
        return not self.depends[node] & STATE

    def _parts(self, node: int, op: str) -> tuple[int | None, int]:
        """Split ``fixed op moving``; the fixed part is always the first argument."""
        if self.ops[node] == op and not self.fixed(node):
            first, second = self.args[node]
            if self.fixed(first):
                return first, second
        return None, node

    def neg(self, a: int) -> int:
        """-a"""
        value = self.value(a)
        if value is not None:
            return self.const(-value)
        if self.ops[a] == "neg":
            return self.args[a][0]
        if self.ops[a] == "mul":  # a fixed factor swallows the sign
            fixed, moving = self._parts(a, "mul")
            if fixed is not None and self.value(fixed) is not None:
                return self.mul(self.neg(fixed), moving)
        return self.node("neg", a)

    def add(self, a: int, b: int) -> int:
        """a + b, its fixed part kept apart."""
        x, y = self.value(a), self.value(b)
        if x is not None and y is not None:
            return self.const(x + y)
        if x == 0.0:
            return b
        if y == 0.0:
            return a
        if (self.ops[b] == "neg" and self.args[b][0] == a) or (self.ops[a] == "neg" and self.args[a][0] == b):
            return self.zero
        fa, a = (a, None) if self.fixed(a) else self._parts(a, "add")  # type: ignore[assignment]
        fb, b = (b, None) if self.fixed(b) else self._parts(b, "add")  # type: ignore[assignment]
        fixed = self._plain("add", fa, fb)
        moving = self._plain("add", a, b)
        if fixed is None:
            return moving  # type: ignore[return-value]
        if moving is None:
            return fixed
        if self.value(fixed) == 0.0:
            return moving
        return self.node("add", fixed, moving)

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
        return self.node(op, min(a, b), max(a, b))

    def sub(self, a: int, b: int) -> int:
        """a - b"""
        return self.add(a, self.neg(b))

    def mul(self, a: int, b: int) -> int:
        """a b, its fixed part kept apart."""
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
        fa, a = (a, None) if self.fixed(a) else self._parts(a, "mul")  # type: ignore[assignment]
        fb, b = (b, None) if self.fixed(b) else self._parts(b, "mul")  # type: ignore[assignment]
        fixed = self._plain("mul", fa, fb)
        moving = self._plain("mul", a, b)
        if fixed is None:
            return moving  # type: ignore[return-value]
        if moving is None:
            return fixed
        if self.ops[fixed] == "neg":
            return self.neg(self.node("mul", self.args[fixed][0], moving))
        return self.node("mul", fixed, moving)

    def recip(self, a: int) -> int:
        """1 / a"""
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
            return self.mul(self.recip(fixed), self.node("recip", moving))
        return self.node("recip", a)

    def quotient(self, a: int, b: int) -> int:
        """a / b rounded once; flat, for use under a floor (elsewhere a product with `recip` is differentiated)."""
        x, y = self.value(a), self.value(b)
        if x is not None and y is not None and y != 0.0:
            return self.const(x / y)
        return self.node("quotient", a, b)

    def product(self, a: int) -> int:
        """A `quotient`, which has no slope of its own, as a product that has; any other node as it is."""
        return self.mul(self.args[a][0], self.recip(self.args[a][1])) if self.ops[a] == "quotient" else a

    def call(self, name: str, a: int) -> int:
        """A function of one argument, by name."""
        value = self.value(a)
        if value is not None:
            try:
                return self.const(_NUMBERS[name](value))
            except (ValueError, OverflowError, ZeroDivisionError):
                pass  # log(0) and the like keep their meaning at run time: an infinity, or not a number
        return self.node(name, a)

    def power(self, base: int, exponent: int, slack: int) -> list[int]:
        """base ^ exponent as factors: products for whole exponents, roots for halves, else by exp and log.

        `slack` is how far below zero a base counts as zero in a power that is not whole.
        """
        n = self.value(exponent)
        if n is not None and n == int(n) and abs(n) <= _LARGEST_UNROLLED_POWER:
            return [self._unrolled(base, int(n))]
        if self.ops[base] == "exp":
            return [self.call("exp", self.mul(exponent, self.args[base][0]))]
        if n is None and exponent not in self.whole:
            return [self.call("exp", self.mul(exponent, self._log_of_base(base, exponent, slack)))]
        sign = self._sign(base, exponent, slack)
        size = self._pos(self.call("abs", base))
        if n is not None and 2 * n == int(2 * n) and abs(n) <= _LARGEST_UNROLLED_POWER:
            return [self.mul(self._unrolled(size, math.floor(n)), self.call("sqrt", size)), sign]
        return [self.call("exp", self.mul(exponent, self.call("log", size))), sign]

    def _log_of_base(self, base: int, exponent: int, slack: int) -> int:
        """Logarithm of a base, one for all powers of it: no number beyond the slack, and that of zero within it.

        What zero counts as is the floor where the exponent is not negative; a negative power of it is infinite.
        """
        size = self.select(self.relation("lt", base, self.const(FLOOR_OF_BASES)), self.zero, base)
        size = self.select(self.relation("lt", base, self.neg(slack)), self.const(math.nan), size)
        negative = self.relation("lt", exponent, self.zero)
        least = self.select(negative, self.const(-math.inf), self.const(math.log(FLOOR_OF_BASES)))
        return self.node("max", least, self.call("log", size))  # in this order not-a-number passes through

    def _pos(self, a: int) -> int:
        value = self.value(a)
        return self.node("pos", a) if value is None else self.const(max(value, FLOOR_OF_BASES))

    def _sign(self, base: int, exponent: int, slack: int) -> int:
        """What |base|^exponent is multiplied by: 1 above zero; below it 1 or -1 for a whole exponent, else no number."""
        negative = self.relation("lt", exponent, self.zero)
        infinite = self.select(negative, self.const(math.inf), self.one)
        parity = self.parity(exponent)
        vanishing = self.select(negative, self.const(math.inf), self.zero)
        nearly = self.select(self.relation("eq", parity, parity), parity, vanishing)
        below = self.select(self.relation("lt", base, self.neg(slack)), parity, nearly)
        at_most_zero = self.select(self.relation("eq", base, self.zero), infinite, below)
        return self.select(self.relation("lt", self.zero, base), self.one, at_most_zero)

    def parity(self, a: int) -> int:
        """1 for even numbers, -1 for odd ones, not a number for all others, and so is its slope everywhere."""
        value = self.value(a)
        if value is None:
            return self.node("parity", a)
        return self.const({0.0: 1.0, 1.0: -1.0}.get(value % 2.0, math.nan))

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
        """a where the condition holds, else b."""
        known = self.value(condition)
        if known is not None:
            return a if known else b
        return a if a == b else self.node("select", condition, a, b)

    def relation(self, op: str, a: int, b: int) -> int:
        """One of lt, le, eq, ne."""
        x, y = self.value(a), self.value(b)
        if x is not None and y is not None:
            return self.const({"lt": x < y, "le": x <= y, "eq": x == y, "ne": x != y}[op])
        return self.node(op, a, b)

    def logic(self, op: str, a: int, b: int) -> int:
        """``and`` or ``or``."""
        for this, other in ((a, b), (b, a)):
            known = self.value(this)
            if known is not None:
                return other if bool(known) == (op == "and") else this
        return self.node(op, a, b)

    def invert(self, a: int) -> int:
        """not a"""
        known = self.value(a)
        return self.const(not known) if known is not None else self.node("not", a)

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
        """The sum of nodes."""
        result = self.zero
        for node in nodes:
            result = self.add(result, node)
        return result

    def reachable(self, nodes: Iterable[int], *, stop: Collection[int] = ()) -> list[int]:
        """Everything needed for `nodes`, in order of evaluation; nodes in `stop` are not looked into."""
        seen: set[int] = set()
        stack = list(nodes)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node not in stop and self.ops[node] not in INPUTS:
                stack.extend(self.args[node])
        return sorted(seen)
