"""All derivatives that carrying sensitivities needs, as graph nodes."""

from __future__ import annotations

from collections.abc import Collection

from cellsim.compiler.derivatives import System
from cellsim.compiler.graph import BOOLEAN, STATE, Graph

__all__ = ["TangentTerms"]


class TangentTerms:
    """Derivatives of a system with respect to unknowns and some of its parameters.

    Attributes
    ----------
    slopes : dict of (row, parameter) to node
        Of rates and auxiliaries, at fixed unknowns.
    second : dict of (row, unknown) to node
        Of the Jacobian times a direction (inputs ``"k"``).
    second_p : dict of (row, parameter) to node
        Of the same, by parameters.
    outputs_y, outputs_p, initials_p : list of (what, by which, node)
        Of outputs by states and parameters, of initial values by parameters.
    events : list of list of (target, "y" or "p", index, node)
        Of new values, per event.
    atoms : list of (located event, gap, list of ("y" or "p", index, node))
        Comparisons and floors of located events: the gap that crosses zero, and its derivatives.
    atom_entries : int
        How many numbers `atoms` are.
    """

    def __init__(self, system: System, wanted: Collection[int]) -> None:
        graph = system.graph
        place = {node: j for j, node in enumerate(system.unknowns)}
        parameter = {node: j for j, node in enumerate(system.p)}
        self.slopes = {(i, j): d for (i, j), d in system.parameter_slopes.items() if j in wanted}
        # d/d(unknowns, p) of the Jacobian times a direction k
        self.second: dict[tuple[int, int], int] = {}
        self.second_p: dict[tuple[int, int], int] = {}
        along: dict[int, int] = {}
        for (i, j), node in system.jacobian.items():
            if graph.value(node) is None:
                along[i] = graph.add(along.get(i, graph.zero), graph.mul(node, graph.input("k", j)))
        for i, node in along.items():
            for v, d in system.slopes(node).items():
                if v in place:
                    self.second[i, place[v]] = d
                elif parameter.get(v) in wanted:
                    self.second_p[i, parameter[v]] = d
        self.outputs_y, self.outputs_p = [], []
        state = {node: j for j, node in enumerate(system.y)}
        for o, node in enumerate(system.outputs):
            for v, d in sorted(system.full_slopes(node).items()):
                if v in state:
                    self.outputs_y.append((o, state[v], d))
                elif parameter.get(v) in wanted:
                    self.outputs_p.append((o, parameter[v], d))
        self.initials_p = [
            (i, parameter[v], d)
            for i, node in enumerate(system.initials)
            for v, d in sorted(system.full_slopes(node).items())
            if parameter.get(v) in wanted
        ]
        self.events: list[list[tuple[int, str, int, int]]] = []
        for assignments in system.assignments:
            entries: list[tuple[int, str, int, int]] = []
            for i, node in assignments:
                for v, d in sorted(system.full_slopes(node).items()):
                    if v in state:
                        entries.append((i, "y", state[v], d))
                    elif parameter.get(v) in wanted:
                        entries.append((i, "p", parameter[v], d))
            self.events.append(entries)
        # a condition turns where one of its comparisons does: late - early crosses zero
        self.atoms: list[tuple[int, int, list[tuple[str, int, int]]]] = []
        self.atom_entries = 0
        for r, event in enumerate(system.located):
            for node in graph.reachable([system.frozen_conditions[event]]):
                gap = self._gap(graph, node)
                if gap is None:
                    continue
                gap_slopes = [
                    ("y", state[v], d) if v in state else ("p", parameter[v], d)
                    for v, d in sorted(system.full_slopes(gap).items())
                    if v in state or parameter.get(v) in wanted
                ]
                self.atoms.append((r, gap, gap_slopes))
                self.atom_entries += 1 + len(gap_slopes)

    @staticmethod
    def _gap(graph: Graph, node: int) -> int | None:
        """What crosses zero where a comparison turns or a floor jumps; None for any other node."""
        args = graph.args[node]
        if not graph.depends[node] & STATE:
            return None
        if graph.ops[node] in BOOLEAN[:4]:
            return graph.sub(args[1], args[0])
        if graph.ops[node] != "floor":
            return None
        # the distance from the nearest whole number, which is flat; a quotient is differentiated as a product
        nearest = graph.call("floor", graph.add(args[0], graph.const(0.5)))
        if graph.ops[args[0]] == "quotient":
            above, below = graph.args[args[0]]
            return graph.sub(above, graph.mul(nearest, below))
        return graph.sub(args[0], nearest)
