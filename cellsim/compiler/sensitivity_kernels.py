"""Machine code for sensitivities: the derivative of the Rosenbrock step itself, eight directions at a time.

With h held fixed, differentiating ``W k_i = f(Y_i) + (1/h) sum_j C_ij k_j``, ``W = I/(h gamma) - J(y)``
along a direction (written with a prime) gives one more solve with the same factors:

    W k_i' = J(Y_i) Y_i' + f_p(Y_i) p' + (1/h) sum_j C_ij k_j' + d/dy (J(y) k_i) y' + d/dp (J(y) k_i) p'

The matrices on the right are the same for all directions, so they are computed once and applied to lanes of
eight. By then all eight stages are known, so what is computed at each of them is computed side by side, a lane a
stage. Auxiliaries of the system take part as unknowns without inertia:
``a' = g_y y' + g_p p'``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cellsim.compiler import rodas5p as tableau
from cellsim.compiler.evaluation import emit_nodes, fixed_nodes
from cellsim.compiler.graph import DIRECTION
from cellsim.compiler.llvm import BLOCK, Code, Layout
from cellsim.compiler.lu import FactorEntry
from cellsim.compiler.sensitivity_directions import LANES, LaneGroup, Packing, TangentTerms
from cellsim.compiler.sensitivity_tables import write_seeds, write_stage_loops, write_start_loops
from cellsim.compiler.writer import CONTROL_H, CONTROL_RTOL, Writer

__all__ = ["Shape", "TangentWriter"]

STAGES = tableau.STAGES
assert STAGES == BLOCK  # a stage a lane


@dataclass
class Shape:
    """Slots of a group with given rows, relative to where the group begins."""

    group: LaneGroup
    loops: bool = False
    layout: Layout = field(default_factory=Layout)

    def __post_init__(self) -> None:
        n, m = len(self.group.rows) * LANES, len(self.group.auxiliaries) * LANES
        for name, size in (
            ("s", n),
            ("s1", n),
            ("floor", n),
            ("sample", n),
            ("yd", n),
            ("u", n),
            ("k", STAGES * n),
            ("dense", 3 * n),
            ("a", m),
            # what loops find in memory
            *((name, m) for name in ("of_auxiliary", "of_second", "a at stage") if self.loops),
        ):
            self.layout.add(name, size)
        self.row = {r: i * LANES for i, r in enumerate(self.group.rows)}
        self.auxiliary = {r: i * LANES for i, r in enumerate(self.group.auxiliaries)}


class TangentWriter:
    """Writes all tangent kernels for one packing."""

    def __init__(self, base: Writer, packing: Packing) -> None:
        self.base, self.packing = base, packing
        system = self.system = base.system
        graph = self.graph = system.graph
        self.loops = base.loops
        self.size = system.n + len(system.auxiliaries)
        self.parameters = sorted({d.index for d in packing.directions if d.kind == "parameter"})
        wanted = set(self.parameters)
        self.lanes_of: dict[int, list[int]] = {}
        for d, direction in enumerate(packing.directions):
            if direction.kind == "parameter":
                self.lanes_of.setdefault(direction.index, []).append(d)
        terms = self.terms = TangentTerms(system, wanted)
        self.slopes, self.second, self.second_p = terms.slopes, terms.second, terms.second_p
        # what needs a stage value, what only the start of the step, what only parameters
        stage = [*system.jacobian.values(), *self.slopes.values()]
        second = [*self.second.values(), *self.second_p.values()]
        others = [d for *_, d in (*terms.outputs_y, *terms.outputs_p, *terms.initials_p)]
        others += [d for entries in terms.events for *_, d in entries]
        others += [d for _, gap, entries in terms.atoms for d in (gap, *(d for *_, d in entries))]
        self.kept = {node: i for i, node in enumerate(fixed_nodes(graph, [*stage, *second, *others]))}
        at_step = [n for n in fixed_nodes(graph, second, DIRECTION) if n not in self.kept]
        self.at_step = {node: i for i, node in enumerate(at_step)}
        moving = {
            n
            for n in system.jacobian.values()
            if self.loops or (n not in self.kept and graph.value(n) is None)
        }
        self.jacobian_slot = {node: i for i, node in enumerate(sorted(moving))}
        self.second_slot = {node: i for i, node in enumerate(sorted({*self.second.values()}))}
        self.slope_slot: dict[tuple[str, int, int], int] = {}
        for (i, j), node in self.slopes.items():
            if not self._still((i, j), node):
                self.slope_slot["first" if i < system.n else "auxiliary", i, j] = len(self.slope_slot)
        for i, j in self.second_p:
            self.slope_slot.setdefault(("first" if i < system.n else "second", i, j), len(self.slope_slot))
        lay = self.layout = Layout()
        lay.add("q", len(self.kept))
        lay.add("step", len(self.at_step))
        self.block = Layout()
        self.block.add("jacobian", len(self.jacobian_slot))
        self.block.add("second", len(self.second_slot))
        self.block.add("slopes", len(self.slope_slot))
        lay.add("y across", STAGES * base.nw)
        lay.add("k across", STAGES * base.ext)
        lay.add("stages", STAGES * self.block.size)
        lay.add("gy", len(terms.outputs_y))
        lay.add("gp", len(terms.outputs_p))
        lay.add("y0p", len(terms.initials_p))
        lay.add("event", max(map(len, terms.events), default=0))
        lay.add("atoms", terms.atom_entries)
        lay.add("error", BLOCK)
        groups = packing.groups
        if self.loops:  # one code for all: each has all rows
            everything = LaneGroup(tuple(range(system.n)), tuple(range(system.n, self.size)))
            groups = (everything,) * len(groups)
            lay.add("solve", self.size * LANES)
        self.shapes = [Shape(group, self.loops) for group in groups]
        self.begin = []
        for g, shape in enumerate(self.shapes):
            lay.add(f"group{g}", shape.layout.size)
            self.begin.append(lay[f"group{g}"])
        self.externals: set[str] = set()

    def finish(
        self, code: Code, name: str, arguments: str = "ptr %w, ptr %v", *, internal: bool = False
    ) -> str:
        """The function written, its external names noted."""
        self.externals |= code.externals
        return code.function(name, arguments, internal=internal)

    # -- scalars -----------------------------------------------------------------------------------

    def read(self, states: str) -> Callable[[Code, int], str]:
        """Loads for code that runs at one state."""

        def load(code: Code, node: int) -> str:
            if node in self.kept:
                return code.load("%v", self.layout["q"] + self.kept[node])
            if self.graph.ops[node] == "s":
                return code.load("%w", self.base.layout["peak"] + self.graph.args[node][0])
            assert self.graph.ops[node] == "y"
            return code.load(states, self.graph.args[node][0])

        return load

    def read_across(self, code: Code, node: int) -> str:
        """Loads for code that runs at all stages."""
        if self.graph.ops[node] == "y" and node not in self.kept:
            return code.load("%v", self.layout["y across"] + STAGES * self.graph.args[node][0])
        return code.spread(self.read("")(_Scalar(code), node))

    def read_along(self, code: Code, node: int) -> str:
        """Loads for code that runs along all stage vectors, from the start of the step."""
        if self.graph.ops[node] == "k":
            return code.load(
                "%v", self.layout["k across"] + STAGES * self.base.place(self.graph.args[node][0])
            )
        if node in self.kept:
            return self.read_across(code, node)
        return code.spread(code.load("%v", self.layout["step"] + self.at_step[node], 1))

    def prepare(self) -> str:
        """Terms of parameters only."""
        code = Code()

        def load(code: Code, node: int) -> str:
            return code.load("%w", self.base.layout["p"] + self.graph.args[node][0])

        def sink(i: int) -> Callable[[str], None]:
            return lambda value: code.store(value, "%v", self.layout["q"] + i)

        emit_nodes(code, self.graph, [(node, sink(i)) for node, i in self.kept.items()], load)
        return self.finish(code, "prepare")

    def evaluate(self, name: str, slot: str, nodes: Iterable[int], source: str) -> str:
        """A kernel that writes nodes into a slot, states read from slot `source` of w."""
        code = Code()
        states = code.pointer("%w", self.base.layout[source])

        def sink(i: int) -> Callable[[str], None]:
            return lambda value: code.store(value, "%v", self.layout[slot] + i)

        targets = [(node, sink(i)) for i, node in enumerate(nodes)]
        emit_nodes(code, self.graph, targets, self.read(states), kept=self.kept)
        return self.finish(code, name)

    def _still(self, entry: tuple[int, int], node: int) -> bool:
        """A slope that never changes in time."""
        known = node in self.kept or self.graph.value(node) is not None
        return known and (entry not in self.second_p or entry[0] >= self.system.n)

    def across(self) -> str:
        """Stage values and stage vectors turned, so that the eight stages of a state are beside each other."""
        code, base = Code(STAGES), self.base
        for source, target, size in (("stages", "y across", base.nw), ("k", "k across", base.ext)):
            rows = [code.pointer("%w", base.layout[source] + i * size) for i in range(STAGES)]
            into = code.pointer("%v", self.layout[target])

            def body(o: str, rows: list[str] = rows, into: str = into) -> None:
                turned = code.transposed([code.load(row, o) for row in rows])
                begin = code.pointer(into, code.line(f"mul i64 {o}, {STAGES}"))
                for j, vector in enumerate(turned):
                    code.store(vector, begin, j * STAGES)

            code.loop(size // BLOCK, body)
        return self.finish(code, "across", internal=True)

    def at_stages(self) -> str:
        """Jacobian entries and slopes by parameters at all stage values."""
        code = Code(STAGES)
        targets = [(node, self.sink(code, "jacobian", i)) for node, i in self.jacobian_slot.items()]
        for (kind, row, parameter), i in self.slope_slot.items():
            if kind != "second" and (row, parameter) in self.slopes:
                targets.append((self.slopes[row, parameter], self.sink(code, "slopes", i)))
        emit_nodes(code, self.graph, targets, self.read_across, kept=self.kept)
        return self.finish(code, "at_stages", internal=True)

    def sink(self, code: Code, slot: str, i: int, *, added: bool = False) -> Callable[[str], None]:
        """What writes one entry at all stages, or adds to it."""
        offset = self.layout["stages"] + STAGES * (self.block[slot] + i)

        def write(value: str) -> None:
            total = code.two("fadd", code.load("%v", offset), value) if added else value
            code.store(total, "%v", offset)

        return write

    def at_start(self) -> str:
        """Terms of the second derivatives without the stage vector, at the start of the step."""
        code = Code()
        y = code.pointer("%w", self.base.layout["y"])

        def sink(i: int) -> Callable[[str], None]:
            return lambda value: code.store(value, "%v", self.layout["step"] + i)

        targets = [(node, sink(i)) for node, i in self.at_step.items()]
        emit_nodes(code, self.graph, targets, self.read(y), kept=self.kept)
        return self.finish(code, "at_start", internal=True)

    def second_at_stages(self) -> str:
        """Derivatives of J(y) k, for all stage vectors."""
        code = Code(STAGES)
        graph = self.graph
        targets = [(node, self.sink(code, "second", i)) for node, i in self.second_slot.items()]
        for (row, parameter), node in self.second_p.items():
            slot = self.slope_slot["first" if row < self.system.n else "second", row, parameter]
            upon = (row, parameter) in self.slopes and row < self.system.n
            targets.append((node, self.sink(code, "slopes", slot, added=upon)))
        kept = {node: 0 for node in (*self.kept, *self.at_step) if graph.value(node) is None}
        emit_nodes(code, graph, targets, self.read_along, kept=kept)
        return self.finish(code, "second_at_stages", internal=True)

    # -- lanes -------------------------------------------------------------------------------------

    def entry(self, code: Code, node: int) -> tuple[str, bool]:
        """A Jacobian entry at the stage, spread over lanes; whether it is a literal one."""
        value = self.graph.value(node)
        if value is not None:
            return code.const(value), value == 1.0
        if node in self.kept:
            return code.spread(code.load("%v", self.layout["q"] + self.kept[node], 1)), False
        return self.at_this(code, "jacobian", self.jacobian_slot[node]), False

    def at_this(self, code: Code, slot: str, i: int) -> str:
        """An entry at the stage that %b points at, in all lanes."""
        return code.spread(code.load("%b", self.entry_place(slot, i), 1))

    def entry_place(self, slot: str, i: int) -> int:
        """Where an entry at a stage stands after %b."""
        return STAGES * (self.block[slot] + i)

    def seeded(self, code: Code, kind: str, row: int, group: int, total: str) -> str:
        """Add the slopes of a row by parameters, each in the lanes of the directions along it."""
        for parameter, members in self.lanes_of.items():
            lanes = {self.packing.home[d][1] for d in members if self.packing.home[d][0] == group}
            if not lanes:
                continue
            hot = "<" + ", ".join("double 1.0" if i in lanes else "double 0.0" for i in range(LANES)) + ">"
            if (kind, row, parameter) in self.slope_slot:
                scalar = self.at_this(code, "slopes", self.slope_slot[kind, row, parameter])
            elif kind != "second" and (row, parameter) in self.slopes:
                scalar, _ = self.entry(code, self.slopes[row, parameter])
            else:
                continue
            total = code.times_plus(scalar, hot, total)
        return total

    def auxiliaries(
        self, group: int, shape: Shape, source: str, into: str | None
    ) -> tuple[Code, dict[int, str], dict[int, str]]:
        """Begin a function that knows tangents of states (from slot `source`) and of auxiliaries."""
        code = Code(LANES)
        x: dict[int, str] = {}
        a: dict[int, str] = {}
        jacobian = self.system.jacobian

        def state(r: int) -> str:
            if r not in x:
                x[r] = code.load("%g", shape.layout[source] + shape.row[r])
            return x[r]

        for r in shape.group.auxiliaries:
            total = self.seeded(code, "auxiliary", r, group, code.const(0.0))
            for (i, j), node in jacobian.items():
                if i == r and (j in shape.row or j in a):
                    total = self.term(code, node, state(j) if j in shape.row else a[j], total)
            a[r] = total
            if into is not None:
                code.store(total, "%g", shape.layout[into] + shape.auxiliary[r])
        return code, x, a

    def term(self, code: Code, node: int, vector: str, total: str) -> str:
        """total + entry vector"""
        scalar, one = self.entry(code, node)
        return code.two("fadd", vector, total) if one else code.times_plus(scalar, vector, total)

    def start_of(self, name: str, group: int, shape: Shape) -> str:
        """Tangents of the auxiliaries at the start of the step (entries of stage 1 must be there)."""
        code, _, _ = self.auxiliaries(group, shape, "s", "a")
        return self.finish(code, name, "ptr %w, ptr %v, ptr %g, ptr %b", internal=True)

    def stage_of(self, name: str, group: int, shape: Shape) -> str:
        """Tangent of one stage: right-hand side, then the solve, into %kd (which holds the carried part)."""
        code, yd, ad = self.auxiliaries(group, shape, "yd", None)
        lay = shape.layout
        s: dict[int, str] = {}

        def at_start(j: int) -> str:
            if j not in s:
                slot, place = ("s", shape.row) if j in shape.row else ("a", shape.auxiliary)
                s[j] = code.load("%g", lay[slot] + place[j])
            return s[j]

        def stage(j: int) -> str:
            if j in ad:
                return ad[j]
            if j not in yd:
                yd[j] = code.load("%g", lay["yd"] + shape.row[j])
            return yd[j]

        here = {*shape.row, *shape.auxiliary}
        by_row: dict[int, list[tuple[int, int, bool]]] = {r: [] for r in here}
        for (i, j), node in self.system.jacobian.items():
            if i in shape.row and j in here:
                by_row[i].append((j, node, False))
        for (i, j), node in self.second.items():
            if i in here and j in here:
                by_row[i].append((j, node, True))
        x: dict[int, str] = {}
        for r in sorted(here):
            if r in shape.row:
                total = self.seeded(code, "first", r, group, code.load("%kd", shape.row[r]))
            else:
                total = self.seeded(code, "second", r, group, code.const(0.0))
            for j, node, second in by_row[r]:
                if second:
                    scalar = self.at_this(code, "second", self.second_slot[node])
                    total = code.times_plus(scalar, at_start(j), total)
                else:
                    total = self.term(code, node, stage(j), total)
            x[r] = total
        self._solve(code, x, here)
        for r, offset in shape.row.items():
            code.store(x[r], "%kd", offset)
        return self.finish(code, name, "ptr %w, ptr %v, ptr %g, ptr %kd, ptr %b", internal=True)

    def _solve(self, code: Code, x: dict[int, str], here: set[int]) -> None:
        base = self.base

        def minus(i: int, factor: FactorEntry, j: int) -> None:
            if factor.literal is not None:
                x[i] = code.times_minus(code.const(factor.literal), x[j], x[i])
            elif factor.node is not None:
                x[i] = code.times_plus(code.spread(base.entry(_Scalar(code), factor.node)), x[j], x[i])
            else:
                assert factor.slot is not None
                slot = code.spread(code.load("%w", base.layout["lu"] + factor.slot, 1))
                x[i] = code.times_minus(slot, x[j], x[i])

        plan = base.plan
        for p, down in zip(plan.order, plan.lower, strict=True):
            if p in here:
                for i in down:  # what p moves is reached too, hence here
                    minus(i, base.factors["L", i, p], p)
        for p, across in zip(reversed(plan.order), reversed(plan.upper), strict=True):
            if p not in here:
                continue
            for j in across:
                if j in here:
                    minus(p, base.factors["U", p, j], j)
            if ("D", p, p) in base.factors:
                slot = base.factors["D", p, p].slot
                assert slot is not None
                x[p] = code.two("fmul", x[p], code.spread(code.load("%w", base.layout["lu"] + slot, 1)))

    def combine(self, stage: int) -> str:
        """Y_i' and the part of k_i' that is carried over from earlier stages, for %n vectors of lanes."""
        code = Code(BLOCK)
        h = code.load("%w", self.base.layout["control"] + CONTROL_H, 1)
        ih = code.spread(code.line(f"fdiv double {code.const(1.0, 1)}, {h}"))
        size = code.line(f"mul i64 %n, {LANES}")
        ks = ["%k"]
        for _ in range(stage):
            ks.append(code.pointer(ks[-1], size))

        def body(o: str) -> None:
            k = [code.load(ks[j], o) for j in range(stage)]
            if stage >= 6:
                point = code.two("fadd", code.load("%yd", o), k[stage - 1])
            else:
                point = code.load("%s", o)
                for j in range(stage):
                    point = code.times_plus(code.const(tableau.a[stage][j]), k[j], point)
            code.store(point, "%yd", o)
            total = code.load("%u", o)
            if stage:
                carried = code.two("fmul", code.const(tableau.C[stage][0]), k[0])
                for j in range(1, stage):
                    carried = code.times_plus(code.const(tableau.C[stage][j]), k[j], carried)
                total = code.times_plus(carried, ih, total)
            code.store(total, ks[stage], o)

        code.loop(size, body)
        arguments = "ptr %w, ptr %s, ptr %yd, ptr %u, ptr %k, i64 %n"
        return self.finish(code, f"combine{stage}", arguments, internal=True)

    def step(self) -> str:
        """Tangents of all stages of the step just taken; the new tangent goes to slot s1."""
        code = Code(BLOCK)
        for name in ("across", "at_start", "at_stages", "second_at_stages"):
            code.do(f"call void @{name}(ptr %w, ptr %v)")
        blocks = [code.pointer("%v", self.layout["stages"] + i) for i in range(STAGES)]
        # group by group, so that the stages of a group stay in the nearest cache
        for number, (begin, shape) in enumerate(zip(self.begin, self.shapes, strict=True)):
            lay, n = shape.layout, len(shape.group.rows)
            g = code.pointer("%v", begin)
            s, yd, u, k = (code.pointer(g, lay[name]) for name in ("s", "yd", "u", "k"))
            which = "_loops" if self.loops else str(number)
            if shape.group.auxiliaries:
                if self.loops:  # into %kd of the last stage, which is not there yet
                    last = code.pointer(k, (STAGES - 1) * n * LANES)
                    code.do(f"call void @seed{number}(ptr %w, ptr %v, ptr {g}, ptr {last}, ptr {blocks[0]})")
                code.do(f"call void @start{which}(ptr %w, ptr %v, ptr {g}, ptr {blocks[0]})")
            for i, b in enumerate(blocks):
                kd = code.pointer(k, i * n * LANES)
                code.do(f"call void @combine{i}(ptr %w, ptr {s}, ptr {yd}, ptr {u}, ptr {k}, i64 {n})")
                if self.loops:
                    code.do(f"call void @seed{number}(ptr %w, ptr %v, ptr {g}, ptr {kd}, ptr {b})")
                code.do(f"call void @stage{which}(ptr %w, ptr %v, ptr {g}, ptr {kd}, ptr {b})")
            last, s1 = code.pointer(k, (STAGES - 1) * n * LANES), code.pointer(g, lay["s1"])

            def close(o: str, last: str = last, yd: str = yd, s1: str = s1) -> None:
                code.store(code.two("fadd", code.load(yd, o), code.load(last, o)), s1, o)

            code.loop(n * LANES // BLOCK, close)
        return self.finish(code, "step")

    def error(self) -> str:
        """The last stage is the error of the step, of tangents as of states: its largest share of what is allowed.

        Allowed is rtol |s| and what stands in slot floor; a lane each, into slot error.
        """

        def share(code: Code, off: str, allowed: str) -> str:
            return code.two("fdiv", off, code.two("fadd", allowed, code.const(1e-300)))

        return self._of_errors("error", share)

    def excess(self) -> str:
        """The same without a division: by how much it is beyond so many times what is allowed as slot error says first."""

        def beyond(code: Code, off: str, allowed: str) -> str:
            times = code.spread(code.load("%v", self.layout["error"], 1))
            return code.two("fsub", off, code.two("fmul", times, allowed))

        return self._of_errors("excess", beyond)

    def _of_errors(self, name: str, measure: Callable[[Code, str, str], str]) -> str:
        """The largest of a measure of the last stage and what is allowed, or 0; a lane each, into slot error."""
        code = Code(BLOCK)
        worst = code.pointer("%v", self.layout["error"])
        rtol = code.spread(code.load("%w", self.base.layout["control"] + CONTROL_RTOL, 1))
        largest = code.const(0.0)
        for begin, shape in zip(self.begin, self.shapes, strict=True):
            lay, n = shape.layout, len(shape.group.rows)
            g = code.pointer("%v", begin)
            s, s1, floor = (code.pointer(g, lay[name]) for name in ("s", "s1", "floor"))
            last = code.pointer(g, lay["k"] + (STAGES - 1) * n * LANES)

            def body(
                o: str, before: str, s: str = s, s1: str = s1, floor: str = floor, last: str = last
            ) -> str:
                old, new, off = (code.intrinsic("llvm.fabs", code.load(each, o)) for each in (s, s1, last))
                size = code.choose(code.compare("ogt", old, new), old, new)
                e = measure(code, off, code.times_plus(rtol, size, code.load(floor, o)))
                # ordered: what is no number says nothing
                return code.choose(code.compare("ogt", e, before), e, before)

            largest = code.fold(n * LANES // BLOCK, largest, body)
        code.store(largest, worst, 0)
        return self.finish(code, name)

    def dense(self) -> str:
        """Tangent of the continuous extension."""
        code = Code(BLOCK)
        for begin, shape in zip(self.begin, self.shapes, strict=True):
            g = code.pointer("%v", begin)
            lay, n = shape.layout, len(shape.group.rows)
            ks = [code.pointer(g, lay["k"] + j * n * LANES) for j in range(STAGES)]
            into = [code.pointer(g, lay["dense"] + m * n * LANES) for m in range(3)]

            def body(o: str, ks: list[str] = ks, into: list[str] = into) -> None:
                k = [code.load(each, o) for each in ks]
                for m in range(3):
                    total = code.two("fmul", code.const(tableau.H[m][0]), k[0])
                    for j in range(1, STAGES):
                        total = code.times_plus(code.const(tableau.H[m][j]), k[j], total)
                    code.store(total, into[m], o)

            code.loop(n * LANES // BLOCK, body)
        return self.finish(code, "dense")

    def all(self) -> list[str]:
        """Every kernel, as text."""
        functions = [
            self.prepare(),
            self.across(),
            self.at_start(),
            self.at_stages(),
            self.second_at_stages(),
        ]
        functions += [self.combine(i) for i in range(STAGES)]
        if self.loops and self.shapes:
            functions += [write_stage_loops(self), *(write_seeds(self, g) for g in range(len(self.shapes)))]
            if self.system.auxiliaries:
                functions.append(write_start_loops(self))
        for g, shape in enumerate(() if self.loops else self.shapes):
            functions.append(self.stage_of(f"stage{g}", g, shape))
            if shape.group.auxiliaries:
                functions.append(self.start_of(f"start{g}", g, shape))
        functions += [
            self.step(),
            self.error(),
            self.excess(),
            self.dense(),
            self.evaluate("observe_y", "gy", [d for *_, d in self.terms.outputs_y], "ys"),
            self.evaluate("observe_p", "gp", [d for *_, d in self.terms.outputs_p], "ys"),
            self.evaluate("initial", "y0p", [d for *_, d in self.terms.initials_p], "y"),
        ]
        gaps = [d for _, gap, entries in self.terms.atoms for d in (gap, *(d for *_, d in entries))]
        functions.append(self.evaluate("atoms", "atoms", gaps, "y"))
        for e, entries in enumerate(self.terms.events):
            functions.append(self.evaluate(f"event{e}", "event", [d for *_, d in entries], "y"))
        return functions


class _Scalar(Code):
    """The same code, for a moment reading single doubles."""

    def __init__(self, code: Code) -> None:
        self.__dict__ = code.__dict__

    def load(self, base: str, offset: int | str, width: int | None = None) -> str:
        """Read a double."""
        return super().load(base, offset, 1)
