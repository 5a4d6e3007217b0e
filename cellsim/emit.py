"""LLVM assembly as text: straight-line code from a graph, for one double or for lanes of doubles."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping

from cellsim.graph import BOOLEAN, FLOOR_OF_BASES, STATE, Graph

__all__ = ["BLOCK", "Code", "emit_nodes", "fixed_nodes", "padded"]

BLOCK = 8
"""Doubles in a block: slots of the workspace start at multiples of it, and whole-vector loops move by it."""

_LIBRARY = ("tanh", "sinh", "cosh", "sin", "cos", "tan", "asin", "acos", "atan")
_INTRINSICS = {"sqrt": "llvm.sqrt", "abs": "llvm.fabs", "floor": "llvm.floor"}
# (exp(r) - 1 - r) / r^2 on |r| < log(2)/2: interpolation at Chebyshev points, relative error of exp below 2e-17
_EXP = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)
# log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f/(2 + f): the polynomial of fdlibm's e_log.c (Sun Microsystems)
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_ROUNDER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits


def padded(size: int) -> int:
    """The next multiple of the block size."""
    return -(-size // BLOCK) * BLOCK


def number(value: float) -> str:
    """A double as LLVM reads it without rounding."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Code:
    """The body of one function, written line by line.

    Parameters
    ----------
    width : int
        Lanes of a value: 1 for ``double``, else ``<width x double>``.
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self.lines: list[str] = ["entry:"]
        self.block = "entry"
        self.externals: set[str] = set()
        self._count = 0

    # -- words -------------------------------------------------------------------------------------------------

    @staticmethod
    def kind(width: int, base: str = "double") -> str:
        return base if width == 1 else f"<{width} x {base}>"

    @property
    def type(self) -> str:
        return self.kind(self.width)

    def const(self, value: float, width: int | None = None) -> str:
        width = self.width if width is None else width
        text = number(value)
        return text if width == 1 else "<" + ", ".join([f"double {text}"] * width) + ">"

    @staticmethod
    def integer(value: int, width: int) -> str:
        return str(value) if width == 1 else "<" + ", ".join([f"i64 {value}"] * width) + ">"

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def line(self, text: str) -> str:
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        self.lines.append("  " + text)

    # -- memory: offsets count doubles -------------------------------------------------------------------------

    def pointer(self, base: str, offset: int | str) -> str:
        if offset == 0:
            return base
        if isinstance(offset, str):
            return self.line(f"getelementptr inbounds double, ptr {base}, i64 {offset}")
        return self.line(f"getelementptr inbounds i8, ptr {base}, i64 {8 * offset}")

    def load(self, base: str, offset: int | str, width: int | None = None) -> str:
        width = self.width if width is None else width
        where = self.pointer(base, offset)
        return self.line(f"load {self.kind(width)}, ptr {where}, align {8 * width}")

    def store(self, value: str, base: str, offset: int | str, width: int | None = None) -> None:
        width = self.width if width is None else width
        where = self.pointer(base, offset)
        self.do(f"store {self.kind(width)} {value}, ptr {where}, align {8 * width}")

    def spread(self, scalar: str, width: int | None = None) -> str:
        """One double into all lanes."""
        width = self.width if width is None else width
        if width == 1:
            return scalar
        kind = self.kind(width)
        first = self.line(f"insertelement {kind} poison, double {scalar}, i32 0")
        return self.line(f"shufflevector {kind} {first}, {kind} poison, <{width} x i32> zeroinitializer")

    # -- arithmetic --------------------------------------------------------------------------------------------

    def two(self, op: str, a: str, b: str, width: int | None = None) -> str:
        width = self.width if width is None else width
        return self.line(f"{op} contract {self.kind(width)} {a}, {b}")

    def times_plus(self, a: str, b: str, c: str, width: int | None = None) -> str:
        return self.two("fadd", self.two("fmul", a, b, width), c, width)

    def times_minus(self, a: str, b: str, c: str, width: int | None = None) -> str:
        """c - a b"""
        return self.two("fsub", c, self.two("fmul", a, b, width), width)

    def intrinsic(self, name: str, *args: str, width: int | None = None) -> str:
        width = self.width if width is None else width
        kind = self.kind(width)
        full = f"@{name}.{'f64' if width == 1 else f'v{width}f64'}"
        self.externals.add(f"declare {kind} {full}({', '.join([kind] * len(args))})")
        return self.line(f"call {kind} {full}({', '.join(f'{kind} {arg}' for arg in args)})")

    def choose(self, condition: str, a: str, b: str, width: int | None = None) -> str:
        width = self.width if width is None else width
        kind = self.kind(width)
        return self.line(f"select {self.kind(width, 'i1')} {condition}, {kind} {a}, {kind} {b}")

    def compare(self, how: str, a: str, b: str, width: int | None = None) -> str:
        width = self.width if width is None else width
        return self.line(f"fcmp {how} {self.kind(width)} {a}, {b}")

    def exp(self, x: str, width: int | None = None) -> str:
        """e^x without branches, error below 1.5 ulp; 3e-308 for everything below -708, infinite above 709.78."""
        n = self.width if width is None else width
        kind, whole = self.kind(n), self.kind(n, "i64")

        def c(value: float) -> str:
            return self.const(value, n)

        low = self.compare("olt", x, c(-708.0), n)
        high = self.compare("ogt", x, c(709.8), n)
        t = self.choose(high, c(709.8), self.choose(low, c(-708.0), x, n), n)
        shifted = self.times_plus(t, c(1.4426950408889634), c(_ROUNDER), n)
        k = self.line(f"fsub {kind} {shifted}, {c(_ROUNDER)}")
        r = self.times_minus(k, c(_LN2_HIGH), t, n)
        r = self.times_minus(k, c(_LN2_LOW), r, n)
        r2 = self.two("fmul", r, r, n)
        r4 = self.two("fmul", r2, r2, n)
        r8 = self.two("fmul", r4, r4, n)
        pair = [self.times_plus(c(_EXP[i + 1]), r, c(_EXP[i]), n) for i in range(0, 10, 2)]
        low4 = self.times_plus(pair[1], r2, pair[0], n)
        mid4 = self.times_plus(pair[3], r2, pair[2], n)
        q = self.times_plus(mid4, r4, low4, n)
        q = self.times_plus(pair[4], r8, q, n)
        p = self.two("fadd", self.times_plus(q, r2, r, n), c(1.0), n)
        bits = self.line(f"bitcast {kind} {shifted} to {whole}")
        # the low bits hold k; 2^(k-1) as a double, then twice that, so that k = 1024 does not overflow too early
        power = self.line(f"add {whole} {bits}, {self.integer(1022, n)}")
        power = self.line(f"shl {whole} {power}, {self.integer(52, n)}")
        scale = self.line(f"bitcast {whole} {power} to {kind}")
        result = self.line(f"fmul {kind} {p}, {scale}")
        result = self.line(f"fmul {kind} {result}, {c(2.0)}")
        return self.choose(self.compare("ogt", x, c(709.782712893384), n), c(float("inf")), result, n)

    def log(self, x: str, width: int | None = None) -> str:
        """Natural logarithm without branches, error below 1 ulp; log(0) = -inf, NaN for negatives."""
        n = self.width if width is None else width
        kind, whole = self.kind(n), self.kind(n, "i64")

        def c(value: float) -> str:
            return self.const(value, n)

        tiny = self.compare("olt", x, c(2.2250738585072014e-308), n)
        scaled = self.choose(tiny, self.line(f"fmul {kind} {x}, {c(2.0**54)}"), x, n)
        bits = self.line(f"bitcast {kind} {scaled} to {whole}")
        above = self.line(f"sub {whole} {bits}, {self.integer(0x3FE6A09E667F3BCD, n)}")
        e = self.line(f"ashr {whole} {above}, {self.integer(52, n)}")
        back = self.line(f"shl {whole} {e}, {self.integer(52, n)}")
        m = self.line(f"bitcast {whole} {self.line(f'sub {whole} {bits}, {back}')} to {kind}")
        wrapped = self.line(f"add {whole} {e}, {self.integer(0x4338000000000000, n)}")
        k = self.line(f"fsub {kind} {self.line(f'bitcast {whole} {wrapped} to {kind}')}, {c(_ROUNDER)}")
        k = self.choose(tiny, self.line(f"fsub {kind} {k}, {c(54.0)}"), k, n)
        f = self.line(f"fsub {kind} {m}, {c(1.0)}")
        s = self.line(f"fdiv {kind} {f}, {self.two('fadd', f, c(2.0), n)}")
        z = self.two("fmul", s, s, n)
        w = self.two("fmul", z, z, n)
        even = self.times_plus(w, self.times_plus(w, c(_LOG[5]), c(_LOG[3]), n), c(_LOG[1]), n)
        odd = self.times_plus(w, self.times_plus(w, c(_LOG[6]), c(_LOG[4]), n), c(_LOG[2]), n)
        odd = self.times_plus(w, odd, c(_LOG[0]), n)
        big_r = self.two("fadd", self.two("fmul", w, even, n), self.two("fmul", z, odd, n), n)
        half = self.two("fmul", self.two("fmul", f, f, n), c(0.5), n)
        tail = self.times_plus(s, self.two("fadd", half, big_r, n), self.two("fmul", k, c(_LN2_LOW), n), n)
        inner = self.two("fsub", self.two("fsub", half, tail, n), f, n)
        result = self.two("fsub", self.two("fmul", k, c(_LN2_HIGH), n), inner, n)
        result = self.choose(self.compare("oeq", x, c(float("inf")), n), c(float("inf")), result, n)
        result = self.choose(self.compare("oeq", x, c(0.0), n), c(float("-inf")), result, n)
        wrong = self.line(f"fcmp ult {kind} {x}, {c(0.0)}")
        return self.choose(wrong, c(float("nan")), result, n)

    def library(self, name: str, x: str) -> str:
        """A function of the C library, lane by lane."""
        self.externals.add(f"declare double @{name}(double)")
        if self.width == 1:
            return self.line(f"call double @{name}(double {x})")
        result = "poison"
        for lane in range(self.width):
            one = self.line(f"extractelement {self.type} {x}, i32 {lane}")
            one = self.line(f"call double @{name}(double {one})")
            result = self.line(f"insertelement {self.type} {result}, double {one}, i32 {lane}")
        return result

    def pack(self, values: list[str]) -> tuple[str, int]:
        """Doubles side by side in one vector of 2, 4 or 8 (the first repeated to fill it)."""
        width = next(w for w in (2, 4, 8) if w >= len(values))
        kind = self.kind(width)
        vector = self.spread(values[0], width) if len(values) < width else "poison"
        for lane, value in enumerate(values):
            vector = self.line(f"insertelement {kind} {vector}, double {value}, i32 {lane}")
        return vector, width

    # -- control -----------------------------------------------------------------------------------------------

    def loop(self, blocks: int | str, body: Callable[[str], None]) -> None:
        """Run `body(offset)` for offsets 0, 8, ..., counted in doubles.

        `blocks` may be the name of an i64 that holds the number of doubles, not zero.
        """
        if blocks == 1:
            body("0")
            return
        if blocks == 0:
            return
        size = blocks if isinstance(blocks, str) else str(BLOCK * blocks)
        self._count += 1
        label, after = f"loop{self._count}", f"after{self._count}"
        offset, following, more = f"%o{self._count}", f"%n{self._count}", f"%m{self._count}"
        self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.do(f"{offset} = phi i64 [0, %{self.block}], [{following}, %{label}]")
        body(offset)
        self.do(f"{following} = add nuw nsw i64 {offset}, {BLOCK}")
        self.do(f"{more} = icmp ult i64 {following}, {size}")
        self.do(f"br i1 {more}, label %{label}, label %{after}")
        self.lines.append(f"{after}:")
        self.block = after

    def function(self, name: str, arguments: str = "ptr %w, ptr %v", *, internal: bool = False) -> str:
        linkage = "internal " if internal else ""
        body = "\n".join(self.lines)
        return f"define {linkage}void @{name}({arguments}) #0 {{\n{body}\n  ret void\n}}\n"


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

    inputs = {node for node in order if node in kept or graph.ops[node] in ("p", "y", "k", "const")}
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
                compute = code.exp if op == "exp" else code.log
                if len(group) == 1:
                    values[group[0]] = compute(get(graph.args[group[0]][0]))
                else:
                    vector, width = code.pack([get(graph.args[node][0]) for node in group])
                    vector = compute(vector, width)
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
    if op == "recip":
        return code.two("fdiv", code.const(1.0), get(args[0]))
    if op == "exp":
        return code.exp(get(args[0]))
    if op == "log":
        return code.log(get(args[0]))
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
        elif graph.ops[node] not in ("p", "y", "k"):
            stack.extend(graph.args[node])
    return sorted(found)
