"""LLVM assembly as text, for one double or for lanes of doubles."""

from __future__ import annotations

import struct
from collections.abc import Callable

__all__ = ["BLOCK", "Code", "number", "padded"]

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

    # -- control -----------------------------------------------------------------------------------

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
        """The whole definition, as text."""
        linkage = "internal " if internal else ""
        body = "\n".join(self.lines)
        return f"define {linkage}void @{name}({arguments}) #0 {{\n{body}\n  ret void\n}}\n"
