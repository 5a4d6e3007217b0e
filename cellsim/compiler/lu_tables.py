"""The same elimination and solves as `cellsim.compiler.lu` plans, as loops over tables: code that does not grow with the system.

Row by row, every row spread over a dense one while those before it are taken from it (Gustavson's scheme). The tables are constants
of the module. A number costs more time here than where every line is written out, and no time to compile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cellsim.compiler import rodas5p as tableau
from cellsim.compiler.llvm import Code
from cellsim.compiler.lu import Elimination, FactorEntry

if TYPE_CHECKING:
    from cellsim.compiler.writer import Writer

__all__ = ["MOST_WRITTEN_OUT", "over", "table", "through_tables", "write_lu_loops", "write_solve_loops"]

MOST_WRITTEN_OUT = 2000
"""Multiplications of an elimination beyond which it is a loop: compiling them would take most of a second."""


def through_tables(plan: Elimination) -> bool:
    """Whether an elimination is too long to be written out.

    Examples
    --------
    >>> from cellsim.compiler.lu import plan_elimination
    >>> def full(n): return [(i, j) for i in range(n) for j in range(n)]
    >>> through_tables(plan_elimination(10, full(10))), through_tables(plan_elimination(40, full(40)))
    (False, True)
    """
    return sum(len(down) * len(across) for down, across in zip(plan.lower, plan.upper, strict=True)) > (
        MOST_WRITTEN_OUT
    )


def table(name: str, numbers: Sequence[int]) -> str:
    """A constant of the module, of 32-bit numbers."""
    inside = ", ".join(f"i32 {number}" for number in numbers) or "i32 0"
    return f"@{name} = internal constant [{max(len(numbers), 1)} x i32] [{inside}], align 64\n"


def look(code: Code, name: str, index: str) -> str:
    """An entry of a table, as a 64-bit number."""
    where = code.line(f"getelementptr inbounds i32, ptr @{name}, i64 {index}")
    short = code.line(f"load i32, ptr {where}, align 4")
    return code.line(f"zext i32 {short} to i64")


def over(code: Code, first: str, stop: str, body: Callable[[str], None], *, down: bool = False) -> None:
    """Run `body(i)` for first, first + 1, ... below stop; the other way round with `down`."""
    head, inside, after = (code.fresh()[1:] for _ in range(3))
    before, counter, following, more = code.block, code.fresh(), code.fresh(), code.fresh()
    code.do(f"br label %{head}")
    code.lines.append(f"{head}:")
    place = len(code.lines)
    code.lines.append("")
    code.do(f"{more} = icmp {'ugt' if down else 'ult'} i64 {counter}, {first if down else stop}")
    code.do(f"br i1 {more}, label %{inside}, label %{after}")
    code.lines.append(f"{inside}:")
    code.block = inside
    index = code.line(f"sub i64 {counter}, 1") if down else counter
    body(index)
    code.do(f"{following} = {'sub' if down else 'add'} i64 {counter}, 1")
    code.lines[place] = (
        f"  {counter} = phi i64 [{stop if down else first}, %{before}], [{following}, %{code.block}]"
    )
    code.do(f"br label %{head}")
    code.lines.append(f"{after}:")
    code.block = after


class _Rows:
    """Where in the workspace the factors stand: inverse pivots, then row by row what is left and right of the diagonal."""

    def __init__(self, writer: Writer) -> None:
        plan, self.writer = writer.plan, writer
        self.size = len(plan.order)
        position = {p: k for k, p in enumerate(plan.order)}
        left: list[list[int]] = [[] for _ in plan.order]
        for k, down in enumerate(plan.lower):
            for i in down:
                left[position[i]].append(k)
        right = [sorted(position[j] for j in across) for across in plan.upper]
        self.begin, self.middle, self.columns = [0], list[int](), list[int]()
        for k in range(self.size):
            self.columns += left[k]
            self.middle.append(len(self.columns))
            self.columns += right[k]
            self.begin.append(len(self.columns))
        self.position = position

    def tables(self) -> str:
        order, writer = self.writer.plan.order, self.writer
        entries: list[list[tuple[int, int]]] = [[] for _ in order]
        for (i, j), node in writer.jacobian.items():
            entries[self.position[i]].append((self.position[j], writer.entry_place(node)))
        flat = [each for row in entries for each in row]
        ends = [sum(map(len, entries[:k])) for k in range(self.size + 1)]
        return "".join(
            table(name, numbers)
            for name, numbers in (
                ("lu_begin", self.begin),
                ("lu_middle", self.middle),
                ("lu_columns", self.columns),
                ("lu_places", [writer.place(p) for p in order]),
                ("lu_inert", [int(p < writer.n) for p in order]),
                ("lu_entries", ends),
                ("lu_entry_columns", [column for column, _ in flat]),
                ("lu_entry_places", [place for _, place in flat]),
            )
        )

    def factors(self) -> dict[tuple[str, int, int], FactorEntry]:
        """Where each number of the factorisation is found."""
        order, found = self.writer.plan.order, dict[tuple[str, int, int], FactorEntry]()
        for k, p in enumerate(order):
            found["D", p, p] = FactorEntry(slot=k)
            for e in range(self.begin[k], self.begin[k + 1]):
                j = order[self.columns[e]]
                found["L" if e < self.middle[k] else "U", p, j] = FactorEntry(slot=self.size + e)
        return found


def _scaled(code: Code, index: str) -> str:
    """A place in a vector, in doubles."""
    return code.line(f"mul nuw nsw i64 {index}, {code.width}") if code.width > 1 else index


def write_lu_loops(writer: Writer) -> str:
    """Kernel ``lu`` with its tables; fills ``writer.factors``, where each number of the factorisation is found."""
    rows, code = _Rows(writer), writer.code()
    writer.factors.update(rows.factors())
    h = code.load("%w", writer.layout["control"], 1)
    shift = code.line(f"fmul double {h}, {code.const(tableau.gamma, 1)}")
    shift = code.spread(code.line(f"fdiv double {code.const(1.0, 1)}, {shift}"))
    x = code.pointer("%w", writer.layout["row"])
    inverse = code.pointer("%w", writer.layout["lu"])
    found = code.pointer("%w", writer.layout["lu"] + rows.size * writer.width)

    def at(column: str) -> str:
        return _scaled(code, column)

    def row(i: str) -> None:
        following = code.line(f"add i64 {i}, 1")
        begin, middle, end = (
            look(code, "lu_begin", i),
            look(code, "lu_middle", i),
            look(code, "lu_begin", following),
        )
        over(code, begin, end, lambda e: code.store(code.const(0.0), x, at(look(code, "lu_columns", e))))
        inert = code.line(f"icmp ne i64 {look(code, 'lu_inert', i)}, 0")
        diagonal = code.line(f"select i1 {inert}, {code.type} {shift}, {code.type} {code.const(1.0)}")
        code.store(diagonal, x, at(i))

        def entry(e: str) -> None:
            column = at(look(code, "lu_entry_columns", e))
            number = code.load("%w", look(code, "lu_entry_places", e))
            code.store(code.two("fsub", code.load(x, column), number), x, column)

        over(code, look(code, "lu_entries", i), look(code, "lu_entries", following), entry)

        def eliminate(e: str) -> None:
            k = look(code, "lu_columns", e)
            multiplier = code.two("fmul", code.load(x, at(k)), code.load(inverse, at(k)))
            code.store(multiplier, found, at(e))

            def subtract(f: str) -> None:
                column = at(look(code, "lu_columns", f))
                code.store(
                    code.times_minus(multiplier, code.load(found, at(f)), code.load(x, column)), x, column
                )

            over(
                code,
                look(code, "lu_middle", k),
                look(code, "lu_begin", code.line(f"add i64 {k}, 1")),
                subtract,
            )

        over(code, begin, middle, eliminate)
        pivot = code.load(x, at(i))
        code.store(code.line(f"fdiv {code.type} {code.const(1.0)}, {pivot}"), inverse, at(i))
        over(
            code,
            middle,
            end,
            lambda e: code.store(code.load(x, at(look(code, "lu_columns", e))), found, at(e)),
        )

    over(code, "0", str(rows.size), row)
    return rows.tables() + writer.finish(code, "lu")


def write_solve_loops(writer: Writer) -> str:
    """Kernel ``solve``: x := (L U)^-1 x in place; auxiliary rows count as zero on the way in."""
    code, size = writer.code(), len(writer.plan.order)
    y = code.pointer("%w", writer.layout["row"])
    inverse = code.pointer("%w", writer.layout["lu"])
    found = code.pointer("%w", writer.layout["lu"] + size * writer.width)

    def minus(first: str, stop: str, i: str) -> None:
        """y_i -= sum of factor times y, over the entries from first to stop"""

        def term(e: str) -> None:
            other = code.load(y, _scaled(code, look(code, "lu_columns", e)))
            total = code.times_minus(
                code.load(found, _scaled(code, e)), other, code.load(y, _scaled(code, i))
            )
            code.store(total, y, _scaled(code, i))

        over(code, first, stop, term)

    def forward(i: str) -> None:
        inert = code.line(f"icmp ne i64 {look(code, 'lu_inert', i)}, 0")
        given = code.load("%x", look(code, "lu_places", i))
        given = code.line(f"select i1 {inert}, {code.type} {given}, {code.type} {code.const(0.0)}")
        code.store(given, y, _scaled(code, i))
        minus(look(code, "lu_begin", i), look(code, "lu_middle", i), i)

    def backward(i: str) -> None:
        minus(look(code, "lu_middle", i), look(code, "lu_begin", code.line(f"add i64 {i}, 1")), i)
        solved = code.two("fmul", code.load(y, _scaled(code, i)), code.load(inverse, _scaled(code, i)))
        code.store(solved, y, _scaled(code, i))
        code.store(solved, "%x", look(code, "lu_places", i))

    over(code, "0", str(size), forward)
    over(code, "0", str(size), backward, down=True)
    return writer.finish(code, "solve", "ptr %w, ptr %x", internal=True)
