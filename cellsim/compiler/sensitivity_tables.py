"""The tangent of one stage as loops over tables, for systems whose elimination is one too: the same code for all directions.

Written out, every group of lanes has code of its own, which for five hundred states takes minutes to compile and more to run than the
arithmetic does. Here every group has all rows, and one function serves them all. Products and eliminations go column by column: what
follows each other then changes different rows, and none waits for the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellsim.compiler.llvm import Code
from cellsim.compiler.lu_tables import look, over, table
from cellsim.compiler.sensitivity_directions import LANES

if TYPE_CHECKING:
    from cellsim.compiler.sensitivity_kernels import Shape, TangentWriter

__all__ = ["write_seeds", "write_stage_loops", "write_start_loops"]

_Term = tuple[int, int, int]  # where the row is, where the vector is, which entry of the stage


def _terms(name: str, terms: Sequence[_Term]) -> str:
    return "".join(table(f"{name}_{part}", [each[k] for each in terms]) for k, part in enumerate("rve"))


def _add_products(code: Code, name: str, count: int, into: str) -> None:
    """row += entry * vector, for all terms of a table; vectors are in %g."""

    def term(e: str) -> None:
        row, vector, entry = (look(code, f"{name}_{part}", e) for part in "rve")
        number = code.spread(code.load("%b", entry, 1))
        code.store(code.times_plus(number, code.load("%g", vector), code.load(into, row)), into, row)

    if count:
        over(code, "0", str(count), term)


def _place(writer: TangentWriter, shape: Shape, index: int, states: str, auxiliaries: str) -> int:
    """Where the tangent of a state or an auxiliary stands in a group."""
    n = writer.system.n
    slot = states if index < n else auxiliaries
    return shape.layout[slot] + LANES * (index if index < n else index - n)


def _auxiliary_terms(writer: TangentWriter, shape: Shape, states: str, auxiliaries: str) -> list[_Term]:
    """Of an auxiliary by states and by auxiliaries before it, row by row."""
    n = writer.system.n
    return [
        (LANES * (i - n), _place(writer, shape, j, states, auxiliaries), writer.entry_place("jacobian", writer.jacobian_slot[node]))
        for (i, j), node in sorted(writer.system.jacobian.items())
        if i >= n
    ]  # fmt: skip


def _copy(code: Code, source: str, into: str, rows: int) -> None:
    code.loop(rows, lambda o: code.store(code.load(source, o), into, o))


def write_start_loops(writer: TangentWriter) -> str:
    """Function ``start_loops``: tangents of the auxiliaries at the start of the step, from entries of stage 1 in %b."""
    shape, code = writer.shapes[0], Code(LANES)
    terms = _auxiliary_terms(writer, shape, "s", "a")
    into = code.pointer("%g", shape.layout["a"])
    _copy(code, code.pointer("%g", shape.layout["of_auxiliary"]), into, len(writer.system.auxiliaries))
    _add_products(code, "start", len(terms), into)
    return _terms("start", terms) + writer.finish(
        code, "start_loops", "ptr %w, ptr %v, ptr %g, ptr %b", internal=True
    )


def write_seeds(writer: TangentWriter, group: int) -> str:
    """Function ``seed`` of a group: slopes of rows by its parameters, added to %kd or put where auxiliaries find them."""
    shape, code, n = writer.shapes[group], Code(LANES), writer.system.n
    zero = code.const(0.0)
    for r in range(n):
        before = len(code.lines)
        given = code.load("%kd", LANES * r)
        total = writer.seeded(code, "first", r, group, given)
        if total == given:
            del code.lines[before:]
        else:
            code.store(total, "%kd", LANES * r)
    for r in range(len(writer.system.auxiliaries)):
        for kind, slot in (("auxiliary", "of_auxiliary"), ("second", "of_second")):
            total = writer.seeded(code, kind, n + r, group, zero)
            if total != zero:
                code.store(total, "%g", shape.layout[slot] + LANES * r)
    return writer.finish(code, f"seed{group}", "ptr %w, ptr %v, ptr %g, ptr %kd, ptr %b", internal=True)


def write_stage_loops(writer: TangentWriter) -> str:
    """Function ``stage_loops``: right-hand side of a stage, then the solve, into %kd (which holds the carried part and seeds)."""
    system, shape = writer.system, writer.shapes[0]
    code, n, m = Code(LANES), system.n, len(system.auxiliaries)
    texts = []

    def products(name: str, terms: Sequence[_Term], into: str) -> None:
        texts.append(_terms(name, terms))
        _add_products(code, name, len(terms), into)

    x = code.pointer("%v", writer.layout["solve"])
    if m:
        here = code.pointer("%g", shape.layout["a at stage"])
        _copy(code, code.pointer("%g", shape.layout["of_auxiliary"]), here, m)
        products("aside", _auxiliary_terms(writer, shape, "yd", "a at stage"), here)
        _copy(code, code.pointer("%g", shape.layout["of_second"]), code.pointer(x, n * LANES), m)
    _copy(code, "%kd", x, n)
    by_column = sorted(system.jacobian.items(), key=lambda each: each[0][::-1])
    products(
        "rhs",
        [
            (LANES * i, _place(writer, shape, j, "yd", "a at stage"), writer.entry_place("jacobian", writer.jacobian_slot[node]))
            for (i, j), node in by_column
            if i < n
        ],
        x,
    )  # fmt: skip
    products(
        "bend",
        [
            (LANES * i, _place(writer, shape, j, "s", "a"), writer.entry_place("second", writer.second_slot[node]))
            for (i, j), node in sorted(writer.second.items(), key=lambda each: each[0][::-1])
        ],
        x,
    )  # fmt: skip
    texts.append(_write_elimination(writer, code, x))
    _copy(code, x, "%kd", n)
    arguments = "ptr %w, ptr %v, ptr %g, ptr %kd, ptr %b"
    return "".join(texts) + writer.finish(code, "stage_loops", arguments, internal=True)


def _write_elimination(writer: TangentWriter, code: Code, x: str) -> str:
    """x := (L U)^-1 x in place; its tables."""
    base, plan = writer.base, writer.base.plan
    lu = code.pointer("%w", base.layout["lu"])

    def slot(kind: str, i: int, j: int) -> int:
        found = base.factors[kind, i, j].slot
        assert found is not None  # where the elimination is a loop, every number has a place
        return found

    above: dict[int, list[int]] = {p: [] for p in plan.order}
    for p, across in zip(plan.order, plan.upper, strict=True):
        for j in across:
            above[j].append(p)
    down = [
        [(LANES * i, slot("L", i, p)) for i in rows] for p, rows in zip(plan.order, plan.lower, strict=True)
    ]
    up = [[(LANES * i, slot("U", i, p)) for i in above[p]] for p in plan.order]
    texts = [
        table("pivot_rows", [LANES * p for p in plan.order]),
        table("pivots", [slot("D", p, p) for p in plan.order]),
    ]
    for name, columns in (("down", down), ("up", up)):
        ends = [0]
        for each in columns:
            ends.append(ends[-1] + len(each))
        flat = [each for column in columns for each in column]
        texts.append(table(f"{name}_begin", ends))
        texts += [
            table(f"{name}_{part}", [each[k] for each in flat]) for k, part in enumerate(("rows", "slots"))
        ]

    def subtract(name: str, k: str, solved: str) -> None:
        def term(e: str) -> None:
            row = look(code, f"{name}_rows", e)
            number = code.spread(code.load(lu, look(code, f"{name}_slots", e), 1))
            code.store(code.times_minus(number, solved, code.load(x, row)), x, row)

        following = code.line(f"add i64 {k}, 1")
        over(code, look(code, f"{name}_begin", k), look(code, f"{name}_begin", following), term)

    def forward(k: str) -> None:
        subtract("down", k, code.load(x, look(code, "pivot_rows", k)))

    def backward(k: str) -> None:
        row = look(code, "pivot_rows", k)
        pivot = code.spread(code.load(lu, look(code, "pivots", k), 1))
        solved = code.two("fmul", code.load(x, row), pivot)
        code.store(solved, x, row)
        subtract("up", k, solved)

    over(code, "0", str(len(plan.order)), forward)
    over(code, "0", str(len(plan.order)), backward, down=True)
    return "".join(texts)
