"""Equations as one graph with sparse derivatives."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

import sympy as sp

from cellsim.compiler.gradients import gradient, slopes
from cellsim.compiler.graph import INPUTS, STATE, Graph, made_once
from cellsim.compiler.lowering import lower
from cellsim.compiler.time_conditions import TimeConditions, Turn, written
from cellsim.errors import ModelError, Problem

if TYPE_CHECKING:
    from cellsim.compiler.equations import Equations

__all__ = ["System"]

_SMALLEST_GAIN = 4


@dataclass(eq=False)
class System:
    """Equations as graph nodes, with sparse first derivatives.

    A model that uses time gets a state more, the clock; one whose rates have conditions on time alone another, the
    middle between two turns of these (see `cellsim.compiler.time_conditions`). Each comparison of states and each
    floor in rates gets one more, its **mode**: what it says, held while a step is made, so that every step sees one
    smooth branch; the step loop ends a step where a mode changes. Terms that many rates share and that collect many
    states (an effect summed over products, say) become **auxiliaries**: for derivatives they count as
    unknowns ``a = g(y, a)`` of their own, which keeps Jacobian, elimination and tangents sparse. Indices
    below run over states, then auxiliaries.

    Attributes
    ----------
    n : int
        Number of states, the clock counted.
    clock, middle : int or None
        Indices of the clock and of the middle.
    y, p : list of int
        Input nodes.
    time, middle_of : int
        Nodes of the clock and of the middle, whether they are states or not.
    rates, initials, outputs, auxiliaries : list of int
        Nodes; in rates, conditions on time alone are asked at the middle.
    conditions, frozen_conditions : list of int
        Nodes of the events' conditions, at an instant and between two turns.
    timed, located : list of int
        Events that wait for time alone, and the others.
    turns : list of Turn
        What jumps or bends at times that can be told beforehand.
    told_by : tuple of int
        Parameters that these times and the conditions of timed events depend on.
    modes : list of int
        Comparisons and floors whose values modes hold; modes are the last states.
    mode_turns : list of int
        The same with the modes inside them held.
    courses : list of (int, int)
        Smooth functions of time alone in rates, each with its slope in time.
    output_courses : list of (int, int)
        The same in outputs alone, which matter where an output is looked at between samples.
    gaps : list of int
        What crosses zero where a condition on states, or a floor of them in rates, turns; first those in rates, `switches` in number.
    turning : list of int
        The states that gaps, modes and conditions of located events read: no others are looked at inside a step to see what turns.
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
        clock = self.time = graph.input("y", len(equations.states))
        middle = self.middle_of = graph.input("y", len(equations.states) + 1)
        graph.whole = {names[name] for name in equations.whole}
        graph.whole |= {graph.neg(node) for node in graph.whole}
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
        self._freeze(TimeConditions(graph, clock, middle))
        located = [self.frozen_conditions[e] for e in self.located]
        needed = [*self.rates, *self.outputs, *located, *(n for each in self.assignments for _, n in each)]
        reached = set(graph.reachable([*needed, *self.initials]))
        self.clock = len(self.y) if {clock, middle} & reached else None
        self.middle = None
        if self.clock is not None:
            self.y.append(clock)
            self.rates.append(graph.one)
            self.initials.append(clock)
            if middle in reached:
                self.middle = len(self.y)
                self.y.append(middle)
                self.rates.append(graph.zero)
                self.initials.append(middle)
        self._hold_modes()
        self.n = len(self.y)
        others = {*self.y[: len(equations.states)]}
        for state, node in zip(equations.states, self.initials, strict=False):
            if others & set(graph.reachable([node])):
                raise ModelError(
                    f"The initial value of {state!r} depends on a state; substitute that state's own."
                )
        self.gaps = self._find_gaps()
        asked = set(graph.reachable([*self.gaps, *self.modes, *located]))
        self.turning = [i for i, node in enumerate(self.y) if node in asked]
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
        """Greedily choose the shared terms that save most entries of the Jacobian.

        What a term saves is counted where it is used, not in the whole graph, and only where it can save enough.
        """
        graph = self.graph
        inner = [
            node
            for node in graph.reachable(self.rates)
            if graph.depends[node] & STATE and graph.ops[node] not in INPUTS
        ]
        found = {node: 1 << i for i, node in enumerate(self.y)}  # the unknowns that a term looks at, as bits
        users: dict[int, list[int]] = {}
        for node in inner:
            for arg in dict.fromkeys(graph.args[node]):
                users.setdefault(arg, []).append(node)
        rows = Counter(self.rates)
        cut: dict[int, int] = {}

        def bits(node: int, trial: Mapping[int, int]) -> int:
            seen = 0
            for arg in graph.args[node]:
                seen |= cut.get(arg) or trial.get(arg) or found.get(arg, 0)
            return seen

        for node in inner:
            found[node] = bits(node, {})

        def change(term: int, bit: int) -> tuple[int, dict[int, int]]:
            """Entries saved by a term as an unknown of its own, and what the terms that use it look at then."""
            trial, saved = {term: bit}, rows[term] * (found[term].bit_count() - 1)
            waiting, queued = list(users.get(term, ())), set(users.get(term, ()))
            heapify(waiting)
            while waiting:
                node = heappop(waiting)
                seen = bits(node, trial)
                if seen == found[node]:
                    continue
                trial[node] = seen
                less = found[node].bit_count() - seen.bit_count()
                if node in cut:
                    saved += less
                    continue
                saved += rows[node] * less
                for user in users.get(node, ()):
                    if user not in queued:
                        queued.add(user)
                        heappush(waiting, user)
            return saved - found[term].bit_count() - 1, trial

        chosen: list[int] = []
        while len(chosen) <= self.n:
            # the rates and unknowns above each term: no other can lose an entry by it
            above, numbers = dict[int, int](), dict[int, int]()
            for i, node in enumerate([*self.rates, *cut]):
                numbers[node] = numbers.get(node, 0) | 1 << i
            for node in reversed(inner):
                above[node] = numbers.get(node, 0)
                for user in users.get(node, ()):
                    above[node] |= numbers[user] if user in cut else above[user]
            best, bit = None, 1 << (self.n + len(cut))
            for node in inner:
                size = found[node].bit_count()
                if (
                    node in cut
                    or size < 3
                    or above[node].bit_count() * (size - 1) - size - 1 < _SMALLEST_GAIN
                ):
                    continue
                gain, _ = change(node, bit)
                if gain >= _SMALLEST_GAIN and (best is None or gain > best[0]):
                    best = (gain, node)
            if best is None:
                break
            term = best[1]
            _, trial = change(term, bit)
            cut[term] = bit
            del trial[term]
            found.update(trial)
            chosen.append(term)
        return sorted(chosen)

    def _freeze(self, time_conditions: TimeConditions) -> None:
        """Tell conditions on time alone from others, and ask them between their turns."""
        graph, equations = self.graph, self.equations
        everything = [*self.rates, *self.outputs, *self.conditions]
        self.frozen_conditions, self.turns = list(self.conditions), list[Turn]()
        self.timed = [e for e, node in enumerate(self.conditions) if not graph.depends[node] & STATE]
        if self.time in graph.reachable(everything):
            self.rates = time_conditions.frozen(self.rates)
            self.frozen_conditions = time_conditions.frozen(self.conditions)
            time_conditions.frozen(self.outputs)  # a figure, or an area under an output, wants its jumps too
            self.turns = time_conditions.turns
            self.timed = [e for e, node in enumerate(self.conditions) if time_conditions.alone(node)]
        self.located = [e for e in range(len(self.conditions)) if e not in self.timed]
        self.courses = self._find_courses(self.rates)
        known = {node for node, _ in self.courses}
        self.output_courses = [each for each in self._find_courses(self.outputs) if each[0] not in known]
        asked = [
            *(turn.gap for turn in self.turns),
            *(self.conditions[e] for e in self.timed),
            *(node for node, _ in (*self.courses, *self.output_courses)),
        ]
        told = set(graph.reachable(asked))
        self.told_by = tuple(j for j, node in enumerate(self.p) if node in told)
        names = dict(zip([*self.y, *self.p], (*equations.states, *equations.parameters), strict=True))
        problems = [
            Problem(
                what=f"Event {equations.events[e].name} waits for {shown}, which holds for an instant only.",
                remedy="Write >= if it is reached from below, <= if from above.",
            )
            for e in self.located
            for node in graph.reachable([self.frozen_conditions[e]])
            if graph.ops[node] in ("eq", "ne") and self._moves(graph.sub(*graph.args[node]))
            for shown in [written(graph, node, {**names, self.time: "time", self.middle_of: "time"})]
        ]
        if problems:
            raise ModelError(problems)

    def _find_courses(self, of: list[int]) -> list[tuple[int, int]]:
        """What in rates or outputs, as large as it goes, is a function of time alone and not linear, with its slope in time."""
        graph, alone = self.graph, dict[int, bool]()
        order = graph.reachable(of)
        for node in order:
            op, args = graph.ops[node], graph.args[node]
            if op in INPUTS:
                alone[node] = op not in ("y", "k") or node in (self.time, self.middle_of)
            else:
                alone[node] = all(alone[arg] for arg in args)
        mixed = [node for node in order if not alone[node] and graph.ops[node] not in INPUTS]
        whole = [arg for node in mixed for arg in graph.args[node]]
        found = []
        for node in dict.fromkeys([*of, *whole]):
            if alone[node]:
                slope = gradient(graph, node, {self.time}).get(self.time)
                if slope is not None and self.time in graph.reachable([slope]):
                    found.append((node, slope))
        return found

    def _hold_modes(self) -> None:
        """Put a mode in place of every comparison of states, and every floor of them, that rates ask for."""
        graph = self.graph
        varying = {*self.y, self.time}
        first, held = len(self.equations.states) + 2, dict[int, int]()
        self.modes, self.mode_turns = list[int](), list[int]()

        def mode(value: int, turn: int) -> int:
            if value not in self.modes:
                self.modes.append(value)
                self.mode_turns.append(turn)
            return graph.input("y", first + self.modes.index(value))

        for node in graph.reachable(self.rates):
            op, args = graph.ops[node], graph.args[node]
            if op in INPUTS:
                held[node] = node
                continue
            inner = tuple(held[arg] for arg in args)
            held[node] = graph.again(node, inner) if inner != args else node
            if op == "floor" and gradient(graph, graph.product(inner[0]), varying):
                # rounded, so that it is as flat as the floor is
                whole = graph.add(graph.const(0.5), mode(node, held[node]))
                held[node] = graph.call("floor", whole)
            elif op in ("lt", "le") and node in graph.asked and gradient(graph, graph.sub(*inner), varying):
                # a <= b is the opposite of b < a: both turn as one
                value, turn = (
                    (node, held[node])
                    if op == "lt"
                    else (graph.relation("lt", *args[::-1]), graph.relation("lt", *inner[::-1]))
                )
                holds = graph.relation("lt", graph.const(0.5), mode(value, turn))
                held[node] = holds if op == "lt" else graph.invert(holds)
        if not self.modes:
            return
        self.rates = [held[node] for node in self.rates]
        if self.clock is None:
            self.clock = len(self.y)
            self.y.append(self.time)
            self.rates.append(graph.one)
            self.initials.append(self.time)
        if self.middle is None:  # modes come after both
            self.middle = len(self.y)
            self.y.append(self.middle_of)
            self.rates.append(graph.zero)
            self.initials.append(self.middle_of)
        for _ in self.modes:
            self.y.append(graph.input("y", len(self.y)))
            self.rates.append(graph.zero)
            self.initials.append(graph.zero)

    def shown(self, node: int) -> str:
        """A node as a formula, for messages."""
        equations = self.equations
        names = dict(zip(self.y, equations.states, strict=False))
        names |= dict(zip(self.p, equations.parameters, strict=True))
        return written(self.graph, node, {**names, self.time: "time", self.middle_of: "time"})

    def _moves(self, node: int) -> bool:
        """Whether a node changes between events."""
        moving = {y for y, rate in zip(self.y, self.rates, strict=True) if rate != self.graph.zero}
        return bool(gradient(self.graph, node, {*moving, self.time}))

    def _find_gaps(self) -> list[int]:
        """Differences that cross zero where a condition on states turns, in rates and in events."""
        graph, found = self.graph, list[int]()
        in_rates = [node for node in self.mode_turns if graph.ops[node] == "lt"]
        for floor in self.mode_turns:
            if graph.ops[floor] == "floor":  # it turns where its argument is whole
                found.append(graph.call("sin", graph.mul(graph.const(math.pi), graph.args[floor][0])))
        in_events = graph.reachable([self.frozen_conditions[e] for e in self.located])
        for node in [*in_rates, None, *in_events]:
            if node is None:
                self.switches = len(found)
            elif graph.ops[node] in ("lt", "le") and graph.depends[node] & STATE:
                gap = graph.sub(graph.args[node][1], graph.args[node][0])
                if gap not in found and graph.neg(gap) not in found and self._moves(gap):
                    found.append(gap)
        return found

    @made_once
    def jacobian(self) -> dict[tuple[int, int], int]:
        """Entries d row / d unknown, by (row, column), in row order."""
        place = {node: j for j, node in enumerate(self.unknowns)}
        return {
            (i, place[v]): d
            for i, row in enumerate(self._slopes_of_rows)
            for v, d in row.items()
            if v in place
        }

    @made_once
    def parameter_slopes(self) -> dict[tuple[int, int], int]:
        """Entries d row / d parameter at fixed unknowns, by (row, parameter)."""
        place = {node: j for j, node in enumerate(self.p)}
        return {
            (i, place[v]): d
            for i, row in enumerate(self._slopes_of_rows)
            for v, d in row.items()
            if v in place
        }

    @made_once
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
