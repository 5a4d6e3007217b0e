"""Writes the kernels of one system: rates, Jacobian, sparse LU, a whole Rosenbrock step, outputs.

Every kernel is ``void kernel(double *w, double *v)`` and works inside one aligned workspace ``w`` whose slots
are described by a `Layout`; a value of width ``W`` holds the same quantity of ``W`` simulations side by side.
Terms that depend on parameters only are computed once per simulation (``prepare``) and kept in slot ``q``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cellsim.compiler import rodas5p as tableau
from cellsim.compiler.derivatives import System
from cellsim.compiler.evaluation import emit_nodes, fixed_nodes
from cellsim.compiler.graph import Graph
from cellsim.compiler.llvm import BLOCK, Code, Layout, padded
from cellsim.compiler.lu import Elimination, FactorEntry, Pieces, plan_elimination, write_lu, write_solve
from cellsim.compiler.lu_tables import through_tables, write_lu_loops, write_solve_loops
from cellsim.compiler.scales import write_scales

__all__ = ["CONTROL_H", "CONTROL_RTOL", "CONTROL_THETA", "Writer"]

CONTROL_H, CONTROL_RTOL, CONTROL_THETA = 0, 1, 2
LONGEST_RUN = 1000  # nodes


def moving_reader(layout: Layout, kept: dict[int, int], width: int, states: str, graph: Graph) -> Callable:
    """Loads for code that runs at a point in time: states from pointer `states`, the rest from slot q."""

    def read(code: Code, node: int) -> str:
        if node in kept:
            return code.load("%w", layout["q"] + kept[node] * width)
        if graph.ops[node] == "s":
            return code.load("%w", layout["peak"] + graph.args[node][0] * width)
        assert graph.ops[node] == "y"
        return code.load(states, graph.args[node][0] * width)

    return read


class Writer:
    """Writes all kernels of one width for a system.

    Parameters
    ----------
    system : System
    width : int
        Lanes of a value.
    tables : bool
        Whether a long elimination may be a loop over tables, which are constants of the module beside its functions.
    """

    def __init__(self, system: System, width: int, *, tables: bool = True) -> None:
        self.system, self.width = system, width
        graph = self.graph = system.graph
        self.n, self.m = system.n, len(system.auxiliaries)
        self.nw = padded(self.n * width)
        self.ext = self.nw + padded(self.m * width)
        self.jacobian = system.jacobian
        self.plan: Elimination = plan_elimination(self.n + self.m, self.jacobian)
        self.loops = tables and through_tables(self.plan)
        output_slopes = {
            (o, j): node
            for o, slopes in enumerate(map(system.full_slopes, system.outputs))
            for j, y in enumerate(system.y)
            if (node := slopes.get(y)) is not None
        }
        self.output_slopes = output_slopes
        moving = [*system.rates, *system.outputs, *self.jacobian.values(), *output_slopes.values()]
        moving += [*system.initials, *(n for each in system.assignments for _, n in each)]
        located = [system.frozen_conditions[e] for e in system.located]
        truths = [graph.select(c, graph.one, graph.zero) for c in located]
        self.truths = list(enumerate(truths))
        self.modes = [
            (i, node if graph.ops[node] == "floor" else graph.select(node, graph.one, graph.zero))
            for i, node in enumerate(system.modes)
        ]
        moving += [*system.gaps, *truths, *(node for _, node in self.modes)]
        self.kept = {node: i for i, node in enumerate(fixed_nodes(graph, moving))}
        # entries of the Jacobian that move get a slot each, equal ones the same; a loop reads literal ones from memory too
        entries = sorted(
            {
                node
                for node in self.jacobian.values()
                if node not in self.kept and (self.loops or graph.ops[node] != "const")
            }
        )
        self.jacobian_slot = {node: i for i, node in enumerate(entries)}
        self.factors: dict[tuple[str, int, int], FactorEntry] = {}
        self.externals: set[str] = set()
        lay = self.layout = Layout()
        w = width
        lay.add("control", BLOCK)
        lay.add("error", BLOCK)
        for name, size in (
            ("p", len(system.p) * w),
            ("q", len(self.kept) * w),
            ("y", self.nw),
            ("y1", self.nw),
            ("u", self.nw),
            ("atol", self.nw),
            ("peak", self.nw),
            ("share", self.nw),
            ("low", self.nw),
            ("least", self.nw),
            ("news", self.nw // BLOCK),
            ("f", self.nw),
            ("rates", self.nw),
            ("ys", self.nw),
            ("dense", 3 * self.nw),
            ("k", tableau.STAGES * self.ext),
            ("stages", (tableau.STAGES if width == 1 else 1) * self.nw),
            ("g", len(system.outputs) * w),
            ("gdot", len(system.outputs) * w),
            ("gaps", len(system.gaps) * w),
            ("roots", len(located) * w),
            ("modes", len(system.modes) * w),
            ("jacobian", len(entries) * w),
            (
                "lu",
                (len(self.plan.order) + sum(map(len, self.plan.lower)) + sum(map(len, self.plan.upper))) * w,
            ),
        ):
            lay.add(name, size)
        if self.loops:
            lay.add("row", (self.n + self.m) * w)

    def place(self, index: int) -> int:
        """Offset of a state or auxiliary in an extended vector."""
        return index * self.width if index < self.n else self.nw + (index - self.n) * self.width

    def code(self, width: int | None = None) -> Code:
        """The body of a function of this width."""
        return Code(self.width if width is None else width)

    def finish(
        self, code: Code, name: str, arguments: str = "ptr %w, ptr %v", *, internal: bool = False
    ) -> str:
        """The function written, its external names noted."""
        self.externals |= code.externals
        return code.function(name, arguments, internal=internal)

    def reader(self, states: str) -> Callable:
        """Loads for code that runs at a point in time."""
        return moving_reader(self.layout, self.kept, self.width, states, self.graph)

    def all(self) -> list[str]:
        """Every kernel, as text."""
        lay = self.layout
        system = self.system
        functions = [
            self.prepare(),
            self.rates_added(),
            write_lu_loops(self) if self.loops else write_lu(self),
            write_solve_loops(self) if self.loops else write_solve(self),
            self.wrapped("rhs", self.copy_u, [("rates_added", "y", "f")]),
            self.wrapped("rhs_at_sample", self.copy_u, [("rates_added", "ys", "f")]),
            self.step(),
            self.dense(),
            write_scales(self),
            self.evaluate("initial", list(enumerate(system.initials)), "y", "y"),
            self.slopes(),
            self.evaluate("observe", list(enumerate(system.outputs)), "ys", "g"),
            self.observe_rate(),
            self.evaluate("conditions", self.truths, "ys", "roots"),
            self.evaluate("gaps", list(enumerate(system.gaps)), "ys", "gaps"),
            self.evaluate("modes", self.modes, "ys", "modes"),
        ]
        for e, assignments in enumerate(system.assignments):
            functions.append(self.evaluate(f"event{e}", assignments, "y", "ys"))
        assert lay.size
        return functions

    # -- one kernel each ---------------------------------------------------------------------------

    def prepare(self) -> str:
        """Terms that depend on parameters only, into slot q."""
        code = self.code()
        lay, w = self.layout, self.width

        def read(code: Code, node: int) -> str:
            return code.load("%w", lay["p"] + self.graph.args[node][0] * w)

        def sink(index: int) -> Callable[[str], None]:
            return lambda value: code.store(value, "%w", lay["q"] + index * w)

        emit_nodes(code, self.graph, [(node, sink(i)) for node, i in self.kept.items()], read)
        return self.finish(code, "prepare")

    def portions(self, targets: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """Cut (index, node) pairs into runs that need about a thousand nodes, if there are many more.

        What two runs share is computed twice, but LLVM's work grows faster than a function's length.
        """
        if len(self.graph.reachable([node for _, node in targets], stop=self.kept)) < 2 * LONGEST_RUN:
            return [targets]
        runs: list[list[tuple[int, int]]] = [[]]
        seen: set[int] = set()
        for target in targets:
            seen.update(self.graph.reachable([target[1]], stop=self.kept))
            runs[-1].append(target)
            if len(seen) > LONGEST_RUN:
                runs.append([])
                seen = set()
        return [run for run in runs if run]

    def slopes(self) -> str:
        """Kernel ``jac``: the Jacobian at y, and the rates there, which share most of their terms with it."""
        lay, w = self.layout, self.width
        places = [(lay["jacobian"] + i * w, node) for node, i in self.jacobian_slot.items()]
        moving = [(lay["rates"] + i * w, node) for i, node in enumerate(self.system.rates)]
        return self.evaluated("jac", [*places, *(each for each in moving if each[1] != self.graph.zero)], "y")

    def evaluate(self, name: str, targets: list[tuple[int, int]], source: str, into: str) -> str:
        """A kernel that writes nodes, pairs (index, node), into slot `into`; states come from `source`."""
        first = self.layout[into]
        return self.evaluated(name, [(first + i * self.width, node) for i, node in targets], source)

    def evaluated(self, name: str, targets: list[tuple[int, int]], source: str) -> str:
        """A kernel that writes nodes, pairs (place in the workspace, node); states come from `source`."""
        pieces = Pieces(self, name, "ptr %w, ptr %v", internal=False)
        for number, run in enumerate(self.portions(targets)):
            if number:
                pieces.cut(always=True)
            code = pieces.code
            states = code.pointer("%w", self.layout[source])

            def sink(place: int, code: Code = code) -> Callable[[str], None]:
                return lambda value: code.store(value, "%w", place)

            emit_nodes(
                code, self.graph, [(node, sink(i)) for i, node in run], self.reader(states), kept=self.kept
            )
        return pieces.text()

    def rates_added(self) -> str:
        """io += f(y)"""
        arguments = "ptr noalias %w, ptr noalias %y, ptr noalias %f"
        pieces = Pieces(self, "rates_added", arguments, internal=True)
        moving = [(i, node) for i, node in enumerate(self.system.rates) if node != self.graph.zero]
        for number, run in enumerate(self.portions(moving)):
            if number:
                pieces.cut(always=True)
            code = pieces.code

            def sink(i: int, code: Code = code) -> Callable[[str], None]:
                def add(value: str) -> None:
                    before = code.load("%f", i * self.width)
                    code.store(code.two("fadd", value, before), "%f", i * self.width)

                return add

            emit_nodes(
                code, self.graph, [(node, sink(i)) for i, node in run], self.reader("%y"), kept=self.kept
            )
        return pieces.text()

    def inside(self, name: str, outputs: Sequence[int]) -> str:
        """A kernel that writes some outputs into slot g, at y + theta h of a step: of the states only those they read are looked up there."""
        lay, w = self.layout, self.width
        pieces = Pieces(self, name, "ptr %w, ptr %v", internal=False)
        for number, run in enumerate(self.portions([(k, self.system.outputs[k]) for k in outputs])):
            if number:
                pieces.cut(always=True)
            code = pieces.code
            at = code.load("%w", lay["control"] + CONTROL_THETA, 1)
            theta, rest = code.spread(at), code.spread(code.line(f"fsub double {code.const(1.0, 1)}, {at}"))
            elsewhere = self.reader("")

            def read(
                code: Code, node: int, theta: str = theta, rest: str = rest, elsewhere: Callable = elsewhere
            ) -> str:
                if node in self.kept or self.graph.ops[node] != "y":
                    return str(elsewhere(code, node))
                place = self.graph.args[node][0] * w
                before = code.load("%w", lay["y"] + place)
                if self.graph.args[node][0] == self.system.clock:
                    step = code.spread(code.load("%w", lay["control"] + CONTROL_H, 1))
                    return code.times_plus(theta, step, before)
                moved = code.two("fsub", code.load("%w", lay["y1"] + place), before)
                k = [code.load("%w", lay["dense"] + m * self.nw + place) for m in range(3)]
                inner = code.times_plus(theta, code.times_plus(theta, k[2], k[1]), k[0])
                # what stands still is not rounded
                return code.times_plus(theta, code.times_plus(rest, inner, moved), before)

            def sink(k: int, code: Code = code) -> Callable[[str], None]:
                return lambda value: code.store(value, "%w", lay["g"] + k * w)

            emit_nodes(code, self.graph, [(node, sink(k)) for k, node in run], read, kept=self.kept)
        return pieces.text()

    def copy_u(self, code: Code) -> None:
        """f := u"""
        u, f = code.pointer("%w", self.layout["u"]), code.pointer("%w", self.layout["f"])
        code.loop(self.nw // BLOCK, lambda o: code.store(code.load(u, o, BLOCK), f, o, BLOCK))

    def wrapped(self, name: str, before: Callable[[Code], None], calls: list[tuple[str, str, str]]) -> str:
        """A kernel that calls others."""
        code = self.code()
        before(code)
        for function, first, second in calls:
            a, b = code.pointer("%w", self.layout[first]), code.pointer("%w", self.layout[second])
            code.do(f"call void @{function}(ptr %w, ptr {a}, ptr {b})")
        return self.finish(code, name)

    def observe_rate(self) -> str:
        """gdot = (dg/dy) f"""
        code = self.code()
        states, rates = code.pointer("%w", self.layout["ys"]), code.pointer("%w", self.layout["f"])
        sums: dict[int, str] = {}

        def sink(o: int, j: int) -> Callable[[str], None]:
            def add(value: str) -> None:
                term = code.two("fmul", value, code.load(rates, j * self.width))
                sums[o] = code.two("fadd", sums[o], term) if o in sums else term

            return add

        targets = [(node, sink(o, j)) for (o, j), node in self.output_slopes.items()]
        emit_nodes(code, self.graph, targets, self.reader(states), kept=self.kept)
        for o in range(len(self.system.outputs)):
            code.store(sums.get(o, code.const(0.0)), "%w", self.layout["gdot"] + o * self.width)
        return self.finish(code, "observe_rate")

    def entry(self, code: Code, node: int | None) -> str:
        """Load a Jacobian entry that has a place."""
        assert node is not None
        return code.load("%w", self.entry_place(node))

    def entry_place(self, node: int) -> int:
        """Where in the workspace a Jacobian entry stands."""
        if node in self.kept:
            return self.layout["q"] + self.kept[node] * self.width
        return self.layout["jacobian"] + self.jacobian_slot[node] * self.width

    def step(self) -> str:
        """All stages from y with step h: k, stage values, y1, and the largest scaled error per block lane.

        The rates of the first are there already, in slot ``rates``: ``jac`` runs whenever y has changed.
        """
        code = self.code()
        lay, blocks = self.layout, self.nw // BLOCK
        h = code.load("%w", lay["control"] + CONTROL_H, 1)
        ih = code.spread(code.line(f"fdiv double {code.const(1.0, 1)}, {h}"), BLOCK)
        y, u, rates = (code.pointer("%w", lay[name]) for name in ("y", "u", "rates"))
        ks = [code.pointer("%w", lay["k"] + i * self.ext) for i in range(tableau.STAGES)]
        # tangents, which go with one lane only, look at all stage values again
        apart = self.nw if self.width == 1 else 0
        stages = [code.pointer("%w", lay["stages"] + i * apart) for i in range(tableau.STAGES)]
        for i in range(tableau.STAGES):

            def combine(o: str, i: int = i) -> None:
                k = [code.load(ks[j], o, BLOCK) for j in range(i)]
                if i >= 6:  # rows 7 and 8 of a repeat row 6, then add whole stages
                    point = code.two("fadd", code.load(stages[i - 1], o, BLOCK), k[i - 1], BLOCK)
                else:
                    point = code.load(y, o, BLOCK)
                    for j in range(i):
                        point = code.times_plus(code.const(tableau.a[i][j], BLOCK), k[j], point, BLOCK)
                if i or apart:
                    code.store(point, stages[i], o, BLOCK)
                total = code.load(u, o, BLOCK)
                if i == 0:
                    total = code.two("fadd", total, code.load(rates, o, BLOCK), BLOCK)
                else:
                    carried = code.two("fmul", code.const(tableau.C[i][0], BLOCK), k[0], BLOCK)
                    for j in range(1, i):
                        carried = code.times_plus(code.const(tableau.C[i][j], BLOCK), k[j], carried, BLOCK)
                    total = code.times_plus(carried, ih, total, BLOCK)
                code.store(total, ks[i], o, BLOCK)

            code.loop(blocks, combine)
            if i:
                code.do(f"call void @rates_added(ptr %w, ptr {stages[i]}, ptr {ks[i]})")
            code.do(f"call void @solve(ptr %w, ptr {ks[i]})")
        y1, atol = code.pointer("%w", lay["y1"]), code.pointer("%w", lay["atol"])
        error = code.pointer("%w", lay["error"])
        rtol = code.spread(code.load("%w", lay["control"] + CONTROL_RTOL, 1), BLOCK)

        def close(o: str, worst: str) -> str:
            k = code.load(ks[-1], o, BLOCK)
            new = code.two("fadd", code.load(stages[-1], o, BLOCK), k, BLOCK)
            code.store(new, y1, o, BLOCK)
            old = code.intrinsic("llvm.fabs", code.load(y, o, BLOCK), width=BLOCK)
            size = code.intrinsic("llvm.fabs", new, width=BLOCK)
            size = code.choose(code.compare("ogt", old, size, BLOCK), old, size, BLOCK)
            scale = code.times_plus(rtol, size, code.load(atol, o, BLOCK), BLOCK)
            e = code.two("fdiv", code.intrinsic("llvm.fabs", k, width=BLOCK), scale, BLOCK)
            # unordered: not-a-number wins and stays
            wins = code.line(f"fcmp ugt {code.kind(BLOCK)} {e}, {worst}")
            stuck = code.line(f"fcmp uno {code.kind(BLOCK)} {worst}, {worst}")
            return code.choose(stuck, worst, code.choose(wins, e, worst, BLOCK), BLOCK)

        code.store(code.fold(blocks, code.const(0.0, BLOCK), close, BLOCK), error, 0, BLOCK)
        return self.finish(code, "step")

    def dense(self) -> str:
        """K_1, K_2, K_3 of the continuous extension."""
        code = self.code()
        lay = self.layout
        ks = [code.pointer("%w", lay["k"] + i * self.ext) for i in range(tableau.STAGES)]
        into = [code.pointer("%w", lay["dense"] + m * self.nw) for m in range(3)]

        def body(o: str) -> None:
            k = [code.load(each, o, BLOCK) for each in ks]
            for m in range(3):
                total = code.two("fmul", code.const(tableau.H[m][0], BLOCK), k[0], BLOCK)
                for j in range(1, tableau.STAGES):
                    total = code.times_plus(code.const(tableau.H[m][j], BLOCK), k[j], total, BLOCK)
                code.store(total, into[m], o, BLOCK)

        code.loop(self.nw // BLOCK, body)
        return self.finish(code, "dense")
