"""Equations as one graph with sparse derivatives."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import sympy as sp

from cellsim.compiler.gradients import gradient, slopes
from cellsim.compiler.graph import STATE, Graph
from cellsim.compiler.lowering import lower
from cellsim.errors import ModelError

if TYPE_CHECKING:
    from cellsim.compiler.equations import Equations

__all__ = ["System"]

_SMALLEST_GAIN = 4


@dataclass(eq=False)
class System:
    """Equations as graph nodes, with sparse first derivatives.

    A model that uses time gets a last state, the clock. Terms that many rates share and that collect many
    states (an effect summed over products, say) become **auxiliaries**: for derivatives they count as
    unknowns ``a = g(y, a)`` of their own, which keeps Jacobian, elimination and tangents sparse. Indices
    below run over states, then auxiliaries.

    Attributes
    ----------
    n : int
        Number of states, the clock counted.
    clock : int or None
        Index of the clock.
    y, p : list of int
        Input nodes.
    rates, initials, outputs, auxiliaries : list of int
        Nodes.
    """

    equations: Equations
    graph: Graph = field(default_factory=Graph)

    def __post_init__(self) -> None:
        equations, graph = self.equations, self.graph
        self.y = [graph.input("y", i) for i in range(len(equations.states))]
        self.p = [graph.input("p", i) for i in range(len(equations.parameters))]
        names = dict(zip(equations.states, self.y, strict=True)) | dict(
            zip(equations.parameters, self.p, strict=True)
        )
        clock = graph.input("y", len(equations.states))
        names.setdefault("time", clock)
        memo: dict = {}

        def read(expr: sp.Basic, where: str) -> int:
            return graph.numeric(lower(graph, expr, names, memo, where=where))

        for name, expr in equations.definitions:
            names[name] = read(expr, name)
        self.rates = [
            read(r, f"the rate of {s}") for s, r in zip(equations.states, equations.rates, strict=True)
        ]
        self.outputs = [
            read(expr, f"output {name}")
            for name, expr in zip(equations.output_names, equations.outputs, strict=True)
        ]
        self.conditions = [
            graph.truth(read(each.condition, f"event {each.name}")) for each in equations.events
        ]
        self.assignments = [
            [
                (equations.states.index(name), read(expr, f"event {event.name}"))
                for name, expr in event.assignments
            ]
            for event in equations.events
        ]
        self.initials = [
            read(i, f"the initial value of {s}")
            for s, i in zip(equations.states, equations.initials, strict=True)
        ]
        self.event_times = [self._when(node, clock) for node in self.conditions]
        # a condition whose time is known beforehand is a break point: it needs no clock
        located = [node for node, when in zip(self.conditions, self.event_times, strict=True) if when is None]
        needed = [*self.rates, *self.outputs, *located, *(n for each in self.assignments for _, n in each)]
        self.clock = len(self.y) if clock in graph.reachable(needed) else None
        if self.clock is not None:
            self.y.append(clock)
            self.rates.append(graph.one)
            self.initials.append(clock)
        self.n = len(self.y)
        others = {node for i, node in enumerate(self.y) if i != self.clock}
        for state, node in zip(equations.states, self.initials, strict=False):
            if others & set(graph.reachable([node])):
                raise ModelError(
                    f"The initial value of {state!r} depends on a state; substitute that state's own."
                )
        self.auxiliaries = self._find_auxiliaries()

    # -- structure ---------------------------------------------------------------------------------

    @property
    def unknowns(self) -> list[int]:
        """Nodes that derivatives are taken for: states, then auxiliaries."""
        return [*self.y, *self.auxiliaries]

    @property
    def rows(self) -> list[int]:
        """Nodes that are differentiated: rates, then auxiliaries."""
        return [*self.rates, *self.auxiliaries]

    def _find_auxiliaries(self) -> list[int]:
        """Greedily choose the shared terms that save most entries of the Jacobian."""
        graph = self.graph
        order = [node for node in graph.reachable(self.rates) if graph.depends[node] & STATE]
        inner = [node for node in order if graph.ops[node] not in ("y",)]
        inputs = {node: 1 << i for i, node in enumerate(self.y)}
        chosen: list[int] = []

        def masks(cut: dict[int, int]) -> dict[int, int]:
            found = dict(inputs)
            for node in inner:
                bits = 0
                for arg in graph.args[node]:
                    bits |= cut.get(arg) or found.get(arg, 0)
                found[node] = bits
            return found

        def entries(found: dict[int, int], cut: dict[int, int]) -> int:
            of_rates = sum((cut.get(node) or found.get(node, 0)).bit_count() for node in self.rates)
            return of_rates + sum(found[node].bit_count() + 1 for node in cut)

        cut: dict[int, int] = {}
        current = masks(cut)
        total = entries(current, cut)
        while True:
            best = None
            candidates = [node for node in inner if node not in cut and current[node].bit_count() >= 3]
            # of a chain of terms with the same inputs only the last few matter; unary steps on top cost
            # nothing
            for node in candidates:
                trial = {**cut, node: 1 << (self.n + len(cut))}
                gain = total - entries(masks(trial), trial)
                if gain >= _SMALLEST_GAIN and (best is None or gain > best[0]):
                    best = (gain, node)
            if best is None or len(chosen) > self.n:
                return sorted(chosen)
            cut[best[1]] = 1 << (self.n + len(cut))
            chosen.append(best[1])
            current = masks(cut)
            total -= best[0]

    def _when(self, condition: int, clock: int) -> int | None:
        """The node of `t` if the condition reads ``time >= t`` or ``time > t`` with t fixed, else None."""
        graph = self.graph
        if graph.ops[condition] in ("lt", "le"):
            early, late = graph.args[condition]
            if late == clock and not graph.depends[early] & STATE:
                return early
        return None

    @cached_property
    def jacobian(self) -> dict[tuple[int, int], int]:
        """Entries d row / d unknown, by (row, column), in row order."""
        place = {node: j for j, node in enumerate(self.unknowns)}
        return {
            (i, place[v]): d
            for i, row in enumerate(self._slopes_of_rows)
            for v, d in row.items()
            if v in place
        }

    @cached_property
    def parameter_slopes(self) -> dict[tuple[int, int], int]:
        """Entries d row / d parameter at fixed unknowns, by (row, parameter)."""
        place = {node: j for j, node in enumerate(self.p)}
        return {
            (i, place[v]): d
            for i, row in enumerate(self._slopes_of_rows)
            for v, d in row.items()
            if v in place
        }

    @cached_property
    def _slopes_of_rows(self) -> list[dict[int, int]]:
        return [self.slopes(node) for node in self.rows]

    def slopes(self, node: int) -> dict[int, int]:
        """Derivatives of any node with respect to unknowns and parameters, by node."""
        independent = {*self.unknowns, *self.p}
        if node not in self.auxiliaries:
            return gradient(self.graph, node, independent)
        result: dict[int, int] = {}  # an auxiliary's own row: look one step inside it
        for inner, slope in slopes(self.graph, node, independent):
            for v, d in gradient(self.graph, inner, independent).items():
                result[v] = self.graph.add(result.get(v, self.graph.zero), self.graph.mul(d, slope))
        return result

    def full_slopes(self, node: int) -> dict[int, int]:
        """Derivatives with respect to states and parameters, auxiliaries seen through."""
        return gradient(self.graph, node, {*self.y, *self.p})

    @property
    def jacobian_pattern(self) -> tuple[tuple[int, int], ...]:
        """Where the Jacobian of the rates (auxiliaries seen through) may differ from zero."""
        place = {node: j for j, node in enumerate(self.y)}
        return tuple(
            (i, place[v])
            for i, node in enumerate(self.rates)
            for v in sorted(self.full_slopes(node))
            if v in place
        )
