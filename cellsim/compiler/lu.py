"""Code for the sparse LU of I/(h gamma) - J and its solves, without pivoting: planned once from the pattern, unrolled.

Numbers that never change by elimination are not copied: a factor may be a literal, minus a Jacobian entry, or
a slot of ``lu``. Large systems are written as a row of functions, since LLVM's work grows faster than a
function's length; what one piece leaves to the next goes through memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellsim.compiler import rodas5p as tableau
from cellsim.compiler.llvm import Code

if TYPE_CHECKING:
    from cellsim.compiler.writer import Writer

__all__ = ["Elimination", "FactorEntry", "Pieces", "plan_elimination", "write_lu", "write_solve"]

LONGEST_FUNCTION = 1000  # lines


@dataclass(frozen=True)
class Elimination:
    """Order and pattern of an LU factorisation with diagonal pivots.

    Parameters
    ----------
    order : tuple of int
        Pivots, first eliminated first.
    lower : tuple of tuple of int
        For each pivot in `order`, the rows that still hold an entry in its column.
    upper : tuple of tuple of int
        For each pivot in `order`, the columns (the pivot aside) of its row.
    fill : int
        Entries that were not in the pattern given.
    """

    order: tuple[int, ...]
    lower: tuple[tuple[int, ...], ...]
    upper: tuple[tuple[int, ...], ...]
    fill: int


def plan_elimination(size: int, pattern: Iterable[tuple[int, int]]) -> Elimination:
    """Eliminate in Markowitz order: always the diagonal entry whose row and column are emptiest.

    Parameters
    ----------
    size : int
        Number of rows.
    pattern : iterable of (row, column)
        Entries that may be different from zero; the diagonal is always counted in.

    Examples
    --------
    >>> arrow = [(0, 1), (0, 2), (1, 0), (2, 0)]  # eliminating 0 first would fill everything
    >>> plan_elimination(3, arrow).order, plan_elimination(3, arrow).fill
    ((1, 0, 2), 0)
    """
    rows: list[set[int]] = [set() for _ in range(size)]
    columns: list[set[int]] = [set() for _ in range(size)]
    for i, j in pattern:
        if i != j:
            rows[i].add(j)
            columns[j].add(i)
    left = set(range(size))
    order, lower, upper, fill = [], [], [], 0
    while left:
        pivot = min(left, key=lambda each: (len(rows[each]) * len(columns[each]), each))
        left.remove(pivot)
        across, down = sorted(rows[pivot]), sorted(columns[pivot])
        for j in across:
            columns[j].discard(pivot)
        for i in down:
            rows[i].discard(pivot)
        for i in down:
            for j in across:
                if i != j and j not in rows[i]:
                    rows[i].add(j)
                    columns[j].add(i)
                    fill += 1
        order.append(pivot)
        lower.append(tuple(down))
        upper.append(tuple(across))
    return Elimination(tuple(order), tuple(lower), tuple(upper), fill)


@dataclass(frozen=True)
class FactorEntry:
    """One number of the factorisation: a literal, minus a Jacobian entry, or a slot of ``lu``."""

    literal: float | None = None
    node: int | None = None
    slot: int | None = None


class Pieces:
    """A function that may be cut into several, called one after the other.

    Parameters
    ----------
    writer : Writer
        Who collects the functions.
    name, arguments : str
        Name and parameters of the whole.
    internal : bool
        Whether it is called from other kernels only.
    flush : callable
        What to write before a cut, and forget after it.
    """

    def __init__(
        self,
        writer: Writer,
        name: str,
        arguments: str,
        *,
        internal: bool,
        flush: Callable[[Code], None] | None = None,
    ) -> None:
        self.writer, self.name, self.arguments, self.internal = writer, name, arguments, internal
        self.flush = flush
        self.code = writer.code()
        self.parts: list[str] = []

    def cut(self, *, always: bool = False) -> None:
        """End this piece if it has become long."""
        if always or len(self.code.lines) >= LONGEST_FUNCTION:
            if self.flush is not None:
                self.flush(self.code)
            self._end()

    def _end(self) -> None:
        part = f"{self.name}_{len(self.parts)}"
        self.parts.append(self.writer.finish(self.code, part, self.arguments, internal=True))
        self.code = self.writer.code()

    def text(self) -> str:
        """All pieces and the function that calls them."""
        if not self.parts:
            return self.writer.finish(self.code, self.name, self.arguments, internal=self.internal)
        self._end()
        whole = self.writer.code()
        for i in range(len(self.parts)):
            whole.do(f"call void @{self.name}_{i}({self.arguments.replace(' noalias', '')})")
        return "".join(self.parts) + self.writer.finish(
            whole, self.name, self.arguments, internal=self.internal
        )


def write_lu(writer: Writer) -> str:
    """Kernel ``lu``; fills ``writer.factors``, where each number of the factorisation is found."""
    values: dict[tuple[int, int], str] = {}  # known in this piece
    slots: dict[tuple[int, int], int] = {}  # known to later pieces
    gone: set[int] = set()
    shift: list[str] = []
    base = writer.layout["lu"]

    def slot_of(entry: tuple[int, int]) -> int:
        return slots.setdefault(entry, len(slots))

    def flush(code: Code) -> None:
        for (i, j), name in values.items():
            if i not in gone and j not in gone:
                code.store(name, "%w", base + slot_of((i, j)) * writer.width)
                changed.add((i, j))
        values.clear()
        shift.clear()

    pieces = Pieces(writer, "lu", "ptr %w, ptr %v", internal=False, flush=flush)
    changed: set[tuple[int, int]] = set()
    sources: dict[tuple[int, int], FactorEntry] = {}
    for entry, node in writer.jacobian.items():
        constant = writer.graph.value(node)
        sources[entry] = FactorEntry(literal=-constant) if constant is not None else FactorEntry(node=node)
    for i in range(writer.n, writer.n + writer.m):
        assert (i, i) not in sources  # an auxiliary is not defined by itself
        sources[i, i] = FactorEntry(literal=1.0)

    def diagonal(code: Code) -> str:
        if not shift:
            h = code.load("%w", writer.layout["control"], 1)
            scaled = code.line(f"fmul double {h}, {code.const(tableau.gamma, 1)}")
            shift.append(code.spread(code.line(f"fdiv double {code.const(1.0, 1)}, {scaled}")))
        return shift[0]

    def value(i: int, j: int) -> str:
        code, entry = pieces.code, (i, j)
        if entry in values:
            return values[entry]
        if entry in changed:
            values[entry] = code.load("%w", base + slots[entry] * writer.width)
            return values[entry]
        source = sources.get(entry)
        inertia = i == j and i < writer.n
        if source is None:
            values[entry] = diagonal(code)
        elif source.literal is not None:
            literal = code.const(source.literal)
            values[entry] = code.two("fadd", diagonal(code), literal) if inertia else literal
        else:
            number = writer.entry(code, source.node)
            values[entry] = (
                code.two("fsub", diagonal(code), number)
                if inertia
                else code.line(f"fneg {code.type} {number}")
            )
        return values[entry]

    def exists(i: int, j: int) -> bool:
        return (i, j) in sources or (i, j) in changed or (i, j) in values or (i == j and i < writer.n)

    def keep(kind: str, i: int, j: int, name: str) -> None:
        slot = slot_of((i, j))
        writer.factors[kind, i, j] = FactorEntry(slot=slot)
        pieces.code.store(name, "%w", base + slot * writer.width)

    for p, down, across in zip(writer.plan.order, writer.plan.lower, writer.plan.upper, strict=True):
        inverse = None
        if p < writer.n or (p, p) in changed:
            inverse = pieces.code.two("fdiv", pieces.code.const(1.0), value(p, p))
            keep("D", p, p, inverse)
        for j in across:
            if (p, j) in sources and (p, j) not in changed:
                writer.factors["U", p, j] = sources[p, j]
            else:
                keep("U", p, j, value(p, j))
        for i in down:
            code = pieces.code
            if inverse is None and (i, p) in sources and (i, p) not in changed:
                writer.factors["L", i, p] = sources[i, p]
                multiplier = value(i, p) if across else ""
            else:
                multiplier = value(i, p) if inverse is None else code.two("fmul", value(i, p), inverse)
                keep("L", i, p, multiplier)
            for j in across:
                if exists(i, j):
                    values[i, j] = code.times_minus(multiplier, value(p, j), value(i, j))
                else:
                    values[i, j] = code.line(f"fneg {code.type} {code.two('fmul', multiplier, value(p, j))}")
                changed.add((i, j))
        gone.add(p)
        pieces.cut()
    return pieces.text()


def write_solve(writer: Writer) -> str:
    """Kernel ``solve``: x := (L U)^-1 x in place; auxiliary rows count as zero on the way in."""
    x: dict[int, str] = {}  # known in this piece
    begun = set(range(writer.n))  # rows that hold something

    def flush(code: Code) -> None:
        for i, name in x.items():
            code.store(name, "%x", writer.place(i))
        x.clear()

    pieces = Pieces(writer, "solve", "ptr %w, ptr %x", internal=True, flush=flush)

    def get(i: int) -> str:
        if i not in x:
            x[i] = pieces.code.load("%x", writer.place(i))
        return x[i]

    def lu(factor: FactorEntry) -> str:
        assert factor.slot is not None
        return pieces.code.load("%w", writer.layout["lu"] + factor.slot * writer.width)

    def minus(i: int, factor: FactorEntry, j: int) -> None:
        """x_i -= factor x_j"""
        if j not in begun:
            return
        code = pieces.code
        negative = factor.node is not None  # minus a Jacobian entry
        if factor.literal is not None:
            number = code.const(factor.literal)
        else:
            number = writer.entry(code, factor.node) if negative else lu(factor)
        product = code.two("fmul", number, get(j))
        if i in begun:
            x[i] = code.two("fadd" if negative else "fsub", get(i), product)
        else:
            x[i] = product if negative else code.line(f"fneg {code.type} {product}")
            begun.add(i)

    for p, down in zip(writer.plan.order, writer.plan.lower, strict=True):
        for i in down:
            minus(i, writer.factors["L", i, p], p)
        pieces.cut()
    for p, across in zip(reversed(writer.plan.order), reversed(writer.plan.upper), strict=True):
        for j in across:
            minus(p, writer.factors["U", p, j], j)
        if p not in begun:
            x[p] = pieces.code.const(0.0)
            begun.add(p)
        elif ("D", p, p) in writer.factors:
            x[p] = pieces.code.two("fmul", get(p), lu(writer.factors["D", p, p]))
        if p in x:
            pieces.code.store(x[p], "%x", writer.place(p))
        pieces.cut()
    return pieces.text()
