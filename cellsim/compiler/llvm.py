"""LLVM assembly as text, for one double or for lanes of doubles."""

from __future__ import annotations

import ctypes
import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.kept_code import folders, kept

__all__ = [
    "BLOCK",
    "Assembly",
    "Code",
    "CompiledKernels",
    "Layout",
    "aligned",
    "assemble",
    "exp",
    "host_machine",
    "lane_width",
    "log",
    "number",
    "padded",
]

BLOCK = 8
"""Doubles in a block: slots of the workspace start at multiples of it, and whole-vector loops move by it."""


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

    # -- words -------------------------------------------------------------------------------------

    @staticmethod
    def kind(width: int, base: str = "double") -> str:
        """LLVM type of `width` values."""
        return base if width == 1 else f"<{width} x {base}>"

    @property
    def type(self) -> str:
        """LLVM type of a value of this code."""
        return self.kind(self.width)

    def const(self, value: float, width: int | None = None) -> str:
        """A number, in every lane."""
        width = self.width if width is None else width
        text = number(value)
        return text if width == 1 else "<" + ", ".join([f"double {text}"] * width) + ">"

    @staticmethod
    def integer(value: int, width: int) -> str:
        """A 64-bit integer, in every lane."""
        return str(value) if width == 1 else "<" + ", ".join([f"i64 {value}"] * width) + ">"

    def fresh(self) -> str:
        """A name not used before."""
        self._count += 1
        return f"%v{self._count}"

    def line(self, text: str) -> str:
        """Write an instruction with a result; its name."""
        name = self.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        """Write an instruction without a result."""
        self.lines.append("  " + text)

    # -- memory: offsets count doubles -------------------------------------------------------------

    def pointer(self, base: str, offset: int | str) -> str:
        """Address of a double, `offset` doubles after `base`."""
        if offset == 0:
            return base
        if isinstance(offset, str):
            return self.line(f"getelementptr inbounds double, ptr {base}, i64 {offset}")
        return self.line(f"getelementptr inbounds i8, ptr {base}, i64 {8 * offset}")

    def load(self, base: str, offset: int | str, width: int | None = None) -> str:
        """Read a value."""
        width = self.width if width is None else width
        where = self.pointer(base, offset)
        return self.line(f"load {self.kind(width)}, ptr {where}, align {8 * width}")

    def store(self, value: str, base: str, offset: int | str, width: int | None = None) -> None:
        """Write a value."""
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

    # -- arithmetic --------------------------------------------------------------------------------

    def two(self, op: str, a: str, b: str, width: int | None = None) -> str:
        """An instruction with two operands, free to fuse a product into a sum."""
        width = self.width if width is None else width
        return self.line(f"{op} contract {self.kind(width)} {a}, {b}")

    def times_plus(self, a: str, b: str, c: str, width: int | None = None) -> str:
        """a b + c"""
        return self.two("fadd", self.two("fmul", a, b, width), c, width)

    def times_minus(self, a: str, b: str, c: str, width: int | None = None) -> str:
        """c - a b"""
        return self.two("fsub", c, self.two("fmul", a, b, width), width)

    def intrinsic(self, name: str, *args: str, width: int | None = None) -> str:
        """Call an intrinsic of LLVM."""
        width = self.width if width is None else width
        kind = self.kind(width)
        full = f"@{name}.{'f64' if width == 1 else f'v{width}f64'}"
        self.externals.add(f"declare {kind} {full}({', '.join([kind] * len(args))})")
        return self.line(f"call {kind} {full}({', '.join(f'{kind} {arg}' for arg in args)})")

    def choose(self, condition: str, a: str, b: str, width: int | None = None) -> str:
        """a where the condition holds, else b."""
        width = self.width if width is None else width
        kind = self.kind(width)
        return self.line(f"select {self.kind(width, 'i1')} {condition}, {kind} {a}, {kind} {b}")

    def compare(self, how: str, a: str, b: str, width: int | None = None) -> str:
        """A comparison of floating-point numbers."""
        width = self.width if width is None else width
        return self.line(f"fcmp {how} {self.kind(width)} {a}, {b}")

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

    def transposed(self, rows: list[str]) -> list[str]:
        """Columns of a square of values: as many rows as a value has lanes."""
        rows, apart = list(rows), self.width // 2
        kind, mask = self.type, self.kind(self.width, "i32")

        def shuffled(a: str, b: str, lanes: list[int]) -> str:
            chosen = ", ".join(f"i32 {lane}" for lane in lanes)
            return self.line(f"shufflevector {kind} {a}, {kind} {b}, {mask} <{chosen}>")

        while apart:  # swap ever smaller squares beside the diagonal
            lanes = range(self.width)
            first = [lane + self.width - apart if lane & apart else lane for lane in lanes]
            second = [lane + self.width if lane & apart else lane + apart for lane in lanes]
            for i in [i for i in lanes if not i & apart]:
                a, b = rows[i], rows[i + apart]
                rows[i], rows[i + apart] = shuffled(a, b, first), shuffled(a, b, second)
            apart //= 2
        return rows

    # -- control -----------------------------------------------------------------------------------

    def loop(self, blocks: int | str, body: Callable[[str], None]) -> None:
        """Run `body(offset)` for offsets 0, 8, ..., counted in doubles.

        `blocks` may be the name of an i64 that holds the number of doubles, not zero.
        """

        def turn(offset: str, passed: str) -> str:
            body(offset)
            return passed

        self.fold(blocks, "", turn)

    def fold(
        self, blocks: int | str, start: str, body: Callable[[str, str], str], width: int | None = None
    ) -> str:
        """As `loop`; `body` also takes a value, `start` first, and gives that of the next turn. What the last one gives."""
        if blocks == 1:
            return body("0", start)
        if blocks == 0:
            return start
        size = blocks if isinstance(blocks, str) else str(BLOCK * blocks)
        kind = self.kind(self.width if width is None else width)
        self._count += 1
        label, after = f"loop{self._count}", f"after{self._count}"
        offset, following, more = f"%o{self._count}", f"%n{self._count}", f"%m{self._count}"
        passed, before = f"%c{self._count}" if start else "", self.block
        self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
        place, self.block = len(self.lines), label
        given = body(offset, passed)
        last = self.block
        first = [f"  {offset} = phi i64 [0, %{before}], [{following}, %{last}]"]
        if start:
            first.append(f"  {passed} = phi {kind} [{start}, %{before}], [{given}, %{last}]")
        self.lines[place:place] = first
        self.do(f"{following} = add nuw nsw i64 {offset}, {BLOCK}")
        self.do(f"{more} = icmp ult i64 {following}, {size}")
        self.do(f"br i1 {more}, label %{label}, label %{after}")
        self.lines.append(f"{after}:")
        self.block = after
        return given

    def when(self, condition: str, body: Callable[[], None]) -> None:
        """Run `body` where a truth holds; nothing it makes has a name after it."""
        self._count += 1
        label, after = f"then{self._count}", f"after{self._count}"
        self.do(f"br i1 {condition}, label %{label}, label %{after}")
        self.lines.append(f"{label}:")
        self.block = label
        body()
        self.do(f"br label %{after}")
        self.lines.append(f"{after}:")
        self.block = after

    def function(self, name: str, arguments: str = "ptr %w, ptr %v", *, internal: bool = False) -> str:
        """The whole definition, as text."""
        linkage = "internal " if internal else ""
        body = "\n".join(self.lines)
        return f"define {linkage}void @{name}({arguments}) #0 {{\n{body}\n  ret void\n}}\n"


# (exp(r) - 1 - r) / r^2 on |r| < log(2)/2: interpolation at Chebyshev points, relative error of exp below
# 2e-17
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
# log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f/(2 + f): the polynomial of fdlibm's e_log.c (Sun
# Microsystems)
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
# half of e^ the one is no subnormal yet, twice half of e^ the other is infinite
_LEAST_EXPONENT, _MOST_EXPONENT = -707.0, 709.8
_ROUNDER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits


def exp(code: Code, x: str, width: int | None = None) -> str:
    """e^x without branches, error below 1.5 ulp; 9e-308 for everything below -707, infinite above 709.78."""
    n = code.width if width is None else width
    kind, whole = code.kind(n), code.kind(n, "i64")

    def c(value: float) -> str:
        return code.const(value, n)

    low = code.choose(code.compare("olt", x, c(_LEAST_EXPONENT), n), c(_LEAST_EXPONENT), x, n)
    t = code.choose(code.compare("ogt", low, c(_MOST_EXPONENT), n), c(_MOST_EXPONENT), low, n)
    shifted = code.times_plus(t, c(1.4426950408889634), c(_ROUNDER), n)
    k = code.line(f"fsub {kind} {shifted}, {c(_ROUNDER)}")
    r = code.times_minus(k, c(_LN2_HIGH), t, n)
    r = code.times_minus(k, c(_LN2_LOW), r, n)
    r2 = code.two("fmul", r, r, n)
    even, odd = c(_EXP[8]), c(_EXP[9])
    for i in (6, 4, 2, 0):
        even, odd = code.times_plus(even, r2, c(_EXP[i]), n), code.times_plus(odd, r2, c(_EXP[i + 1]), n)
    p = code.times_plus(code.times_plus(odd, r, even, n), r2, r, n)
    # half of it, so that k = 1024 does not overflow too early
    half = code.line(f"bitcast {kind} {code.times_plus(p, c(0.5), c(0.5), n)} to {whole}")
    # the low bits of `shifted` hold k, which is added to the exponent
    bits = code.line(f"bitcast {kind} {shifted} to {whole}")
    power = code.line(f"shl {whole} {bits}, {code.integer(52, n)}")
    scaled = code.line(f"bitcast {whole} {code.line(f'add {whole} {half}, {power}')} to {kind}")
    return code.line(f"fmul {kind} {scaled}, {c(2.0)}")


def log(code: Code, x: str, width: int | None = None) -> str:
    """Natural logarithm without branches, error below 1 ulp; log(0) = -inf, NaN for negatives."""
    n = code.width if width is None else width
    kind, whole = code.kind(n), code.kind(n, "i64")

    def c(value: float) -> str:
        return code.const(value, n)

    tiny = code.compare("olt", x, c(2.2250738585072014e-308), n)
    scaled = code.choose(tiny, code.line(f"fmul {kind} {x}, {c(2.0**54)}"), x, n)
    bits = code.line(f"bitcast {kind} {scaled} to {whole}")
    above = code.line(f"sub {whole} {bits}, {code.integer(0x3FE6A09E667F3BCD, n)}")
    e = code.line(f"ashr {whole} {above}, {code.integer(52, n)}")
    back = code.line(f"shl {whole} {e}, {code.integer(52, n)}")
    m = code.line(f"bitcast {whole} {code.line(f'sub {whole} {bits}, {back}')} to {kind}")
    wrapped = code.line(f"add {whole} {e}, {code.integer(0x4338000000000000, n)}")
    k = code.line(f"fsub {kind} {code.line(f'bitcast {whole} {wrapped} to {kind}')}, {c(_ROUNDER)}")
    k = code.choose(tiny, code.line(f"fsub {kind} {k}, {c(54.0)}"), k, n)
    f = code.line(f"fsub {kind} {m}, {c(1.0)}")
    s = code.line(f"fdiv {kind} {f}, {code.two('fadd', f, c(2.0), n)}")
    z = code.two("fmul", s, s, n)
    w = code.two("fmul", z, z, n)
    even = code.times_plus(w, code.times_plus(w, c(_LOG[5]), c(_LOG[3]), n), c(_LOG[1]), n)
    odd = code.times_plus(w, code.times_plus(w, c(_LOG[6]), c(_LOG[4]), n), c(_LOG[2]), n)
    odd = code.times_plus(w, odd, c(_LOG[0]), n)
    big_r = code.two("fadd", code.two("fmul", w, even, n), code.two("fmul", z, odd, n), n)
    half = code.two("fmul", code.two("fmul", f, f, n), c(0.5), n)
    tail = code.times_plus(s, code.two("fadd", half, big_r, n), code.two("fmul", k, c(_LN2_LOW), n), n)
    inner = code.two("fsub", code.two("fsub", half, tail, n), f, n)
    result = code.two("fsub", code.two("fmul", k, c(_LN2_HIGH), n), inner, n)
    result = code.choose(code.compare("oeq", x, c(float("inf")), n), c(float("inf")), result, n)
    result = code.choose(code.compare("oeq", x, c(0.0), n), c(float("-inf")), result, n)
    wrong = code.line(f"fcmp ult {kind} {x}, {c(0.0)}")
    return code.choose(wrong, c(float("nan")), result, n)


Array = NDArray[np.float64]


class Layout:
    """Where each slot of a workspace begins (in doubles); every slot fills whole blocks."""

    def __init__(self) -> None:
        self.offset: dict[str, int] = {}
        self.size = 0

    def add(self, name: str, size: int) -> None:
        """Append a slot of `size` doubles."""
        self.offset[name] = self.size
        self.size += padded(max(size, 1))

    def __getitem__(self, name: str) -> int:
        return self.offset[name]


def aligned(size: int, *, blank: bool = True) -> Array:
    """Numbers that start at a multiple of 64 bytes: zeros, or, unless they are to be `blank`, whatever memory held."""
    raw = np.zeros(size + BLOCK) if blank else np.empty(size + BLOCK)
    skip = (-raw.ctypes.data // 8) % BLOCK
    return raw[skip : skip + size]


_NEAR = {"codemodel": "small", "reloc": "pic"}


def host_machine(effort: int = 2, *, near: bool = False) -> Any:
    """A target machine; the engine that gets it owns it and frees it, so each engine needs its own.

    Parameters
    ----------
    effort : {0, 1, 2, 3}
        How much LLVM does for fast code.
    near : bool
        Whether constants stand near the code, so that an instruction reads them itself: far ones take an address and a register each.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=effort,
        jit=True,
        **(_NEAR if near else {}),
    )


@lru_cache(maxsize=1)
def lane_width() -> int:
    """Doubles per vector register of this machine, between 2 and 8.

    Examples
    --------
    >>> lane_width() in (2, 4, 8)
    True
    """
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 8
    return 4 if features.get("avx2") else 2


LONGEST_OPTIMISED = 24_000
"""Lines of assembly beyond which what has no loop is translated without effort: six times as fast to compile, and a half
slower to run. Loops, which hardly grow with a model, are optimised always."""
_WORTH_KEEPING = 2_000
"""Lines from which on it is kept in a file: fewer take less than a tenth of a second."""
# without widths LLVM may split 512-bit vectors in two on machines that have them; without a frame pointer it cannot align the
# stack once it runs out of registers, and every other vector put there crosses a line of the cache, some a page. What is
# elsewhere is called by an address in a table beside the code, as it may be far from it
_ATTRIBUTES = """\
attributes #0 = { nounwind "frame-pointer"="all" "prefer-vector-width"="512" "min-legal-vector-width"="512" }
attributes #1 = { nonlazybind }
!llvm.module.flags = !{!0}
!0 = !{i32 7, !"RtLibUseGOT", i32 1}
"""
_DEFINED = re.compile(r"^define (?:internal )?void @(\w+)\((.*)\) #0 \{$", re.MULTILINE)
_CALLED = re.compile(r"^  call void @(\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Assembly:
    """Machine code.

    Attributes
    ----------
    address : dict of str to int
        Of every function that is not internal.
    engines : tuple
        Owners of the code, to be kept alive as long as it is used.
    """

    address: dict[str, int]
    engines: tuple[Any, ...] = field(repr=False)


def assemble(functions: Sequence[str], externals: Iterable[str]) -> Assembly:
    """Compile LLVM assembly.

    Parameters
    ----------
    functions : sequence of str
        Definitions as `Code.function` writes them, with the constants they read.
    externals : iterable of str
        Declarations of what they call beside each other.
    """
    declared = [f"{each} #1" for each in sorted(set(externals))]
    if sum(text.count("\n") for text in functions) < LONGEST_OPTIMISED:
        return _assembled([*declared, *functions], 2)
    loops, straight = [text for text in functions if "  br " in text], list(functions)
    while moved := [text for text in straight if text in loops or _calls(text, loops)]:
        straight = [text for text in straight if text not in moved]
        loops += [text for text in moved if text not in loops]
    arguments = {name: given for text in straight for name, given in _DEFINED.findall(text)}
    called = {name for text in loops for name in _CALLED.findall(text)} & set(arguments)
    straight = [
        re.sub(rf"^define internal (void @(?:{'|'.join(called)})\()", r"define \1", text, flags=re.MULTILINE)
        for text in straight
    ]
    first = _assembled([*declared, *straight], 0)
    declared += [
        f"declare void @{name}({', '.join('ptr' for _ in arguments[name].split(','))}) #1"
        for name in sorted(called)
    ]
    second = _assembled([*declared, *loops], 2, {name: first.address[name] for name in called})
    return Assembly(first.address | second.address, first.engines + second.engines)


def _calls(text: str, others: Iterable[str]) -> bool:
    """Whether a function calls one of others."""
    return not {name for each in others for name, _ in _DEFINED.findall(each)}.isdisjoint(
        _CALLED.findall(text)
    )


def _assembled(text: Sequence[str], effort: int, known: Mapping[str, int] = MappingProxyType({})) -> Assembly:
    """One module; `known` functions are elsewhere."""
    import llvmlite.binding as llvm

    whole = "\n".join([*text, _ATTRIBUTES])
    module = llvm.parse_assembly(whole)
    names = [f.name for f in module.functions if not f.is_declaration and f.linkage == llvm.Linkage.external]
    # all memory in one place: what is near when translated is near when loaded
    engine = llvm.create_mcjit_compiler(module, host_machine(effort, near=True), use_lmm=True)
    for name, address in known.items():
        engine.add_global_mapping(module.get_function(name), address)
    if whole.count("\n") >= _WORTH_KEEPING:
        code = kept(f"kernels-{_fingerprint(whole, effort)}", lambda: _translated(whole, effort), folders())
        engine.set_object_cache(getbuffer_func=lambda _: code)
    engine.finalize_object()
    return Assembly({name: engine.get_function_address(name) for name in names}, (engine,))


def _translated(text: str, effort: int) -> bytes:
    """Object code of assembly."""
    import llvmlite.binding as llvm

    return bytes(host_machine(effort, near=True).emit_object(llvm.parse_assembly(text)))


def _fingerprint(text: str, effort: int) -> str:
    """Of everything that object code depends on: what is translated, by which compiler, for which processor."""
    import llvmlite.binding as llvm

    parts = [text, str(effort), repr(_NEAR), version("llvmlite"), llvm.get_host_cpu_name()]
    parts += [llvm.get_host_cpu_features().flatten(), llvm.get_process_triple()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


@dataclass
class CompiledKernels:
    """A compiled group of kernels that share a workspace.

    Attributes
    ----------
    layout : Layout
        Slots of the workspace.
    width : int
        Simulations side by side.
    address : dict of str to int
        Entry point of each kernel.
    fixed : int
        Terms that depend on parameters only.
    engines : tuple
        Owners of the code.
    """

    layout: Layout
    width: int
    address: dict[str, int]
    fixed: int
    engines: tuple[Any, ...] = field(repr=False)
    _entries: dict[str, Callable[[int, int], None]] = field(default_factory=dict, repr=False)

    def workspace(self) -> Array:
        """Zeros for every slot, aligned."""
        return aligned(self.layout.size)

    def call(self, name: str, w: Array) -> None:
        """Run one kernel from Python (slow path: witnesses and tests)."""
        if name not in self._entries:
            self._entries[name] = _KERNEL(self.address[name])
        place = w.__array_interface__["data"][0]  # what w.ctypes.data is, which a witness asks for too often
        self._entries[name](place, place)
