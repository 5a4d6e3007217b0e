"""Conditions on time alone, found in a graph and frozen between the instants at which they turn.

A comparison of time and parameters, a floor, a smaller or larger of two, makes a rate jump or bend at instants that
can be known beforehand. The step loop stops at each of them. In between nothing turns, so a frozen condition is
asked at the **middle** of the stretch, an input of its own beside the clock: no stage of a step can see the other
side of a jump, not even one that lies exactly on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cellsim.compiler.gradients import gradient
from cellsim.compiler.graph import STATE, Graph

__all__ = ["RELATIONS", "TimeConditions", "Turn", "written"]

RELATIONS = ("lt", "le", "eq", "ne")
_SINGULAR = ("recip", "log", "pos", "asin", "acos", "atanh", "acosh")
_SAME = 4e-16  # two numbers this near, relative to their sizes, are equal as far as rounding can tell
_CLOCK, _OTHER = 1, 2
_SIGNS = {"lt": "<", "le": "<=", "eq": "==", "ne": "!=", "and": "&&", "or": "||", "add": "+", "mul": "*"}


@dataclass(frozen=True)
class Turn:
    """An expression of time alone that jumps or bends.

    Attributes
    ----------
    node : int
        The expression as the model has it.
    gap : int
        What crosses zero there (for a floor: a whole number), smooth between the turns found before this one.
    slope : int
        Derivative of `gap` by the clock.
    whole : bool
        Whether every whole number counts.
    """

    node: int
    gap: int
    slope: int
    whole: bool


@dataclass(eq=False)
class TimeConditions:
    """Turns of a graph, in an order in which each depends on earlier ones only.

    Parameters
    ----------
    graph : Graph
    clock, middle : int
        Input nodes: time, and the middle of the stretch between two turns.
    """

    graph: Graph
    clock: int
    middle: int
    turns: list[Turn] = field(default_factory=list)
    _bits: dict[int, int] = field(default_factory=dict)
    _frozen: dict[int, int] = field(default_factory=dict)
    _moved: dict[int, int] = field(default_factory=dict)

    def frozen(self, nodes: Iterable[int]) -> list[int]:
        """These nodes with every condition on time alone asked at the middle; their turns are noted."""
        wanted, graph = list(nodes), self.graph
        for node in graph.reachable(wanted):
            if node not in self._frozen:
                self._frozen[node] = self._freeze(node) if self._bits_of(node) & _CLOCK else node
        return [self._frozen[node] for node in wanted]

    def alone(self, node: int) -> bool:
        """Whether a node depends on no state but the clock."""
        self.frozen([node])
        return not self._bits_of(node) & _OTHER

    def _bits_of(self, node: int) -> int:
        """Whether a node depends on the clock (1) and on other states (2)."""
        graph, bits = self.graph, self._bits
        if not graph.depends[node] & STATE:
            return 0
        if node not in bits:
            for each in graph.reachable([node]):
                if each in bits:
                    continue
                if graph.ops[each] in ("y", "k"):
                    bits[each] = {self.clock: _CLOCK, self.middle: 0}.get(each, _OTHER)
                else:
                    inner = () if graph.ops[each] in ("const", "p") else graph.args[each]
                    bits[each] = 0
                    for arg in inner:
                        bits[each] |= bits.get(arg, 0)
        return bits[node]

    def _freeze(self, node: int) -> int:
        graph, op = self.graph, self.graph.ops[node]
        if op == "y":
            return node
        args = [self._frozen[arg] for arg in graph.args[node]]
        if self._bits_of(node) & _OTHER:
            return self._again(node, args)
        if op in RELATIONS:
            self._note(node, graph.sub(args[1], args[0]))
            return self._compared(op, *(self._at_middle(arg) for arg in args))
        if op == "floor":
            self._note(node, graph.product(args[0]), whole=True)
            return graph.call("floor", self._at_middle(args[0]))
        if op == "abs":
            self._note(node, args[0])
            below = graph.relation("lt", self._at_middle(args[0]), graph.zero)
            return graph.select(below, graph.neg(args[0]), args[0])
        if op in ("min", "max"):
            self._note(node, graph.sub(args[1], args[0]))
            first = [self._at_middle(arg) for arg in args]
            return graph.select(graph.relation("lt", *(first if op == "min" else first[::-1])), *args)
        return self._again(node, args)

    def _again(self, node: int, args: Sequence[int]) -> int:
        changed = tuple(args) != self.graph.args[node]
        return self.graph.again(node, args) if changed else node

    def _compared(self, op: str, a: int, b: int) -> int:
        """A comparison at the middle; equality allows for rounding, since its instants are computed."""
        graph = self.graph
        if op in ("lt", "le"):
            return graph.relation(op, a, b)
        size = graph.add(graph.call("abs", a), graph.call("abs", b))
        near = graph.call("abs", graph.sub(b, a))
        same = graph.relation("le", near, graph.mul(graph.const(_SAME), size))
        return same if op == "eq" else graph.invert(same)

    def _at_middle(self, node: int) -> int:
        """The node with the middle in place of the clock."""
        graph = self.graph
        for each in graph.reachable([node], stop=self._moved):
            if each in self._moved:
                continue
            if each == self.clock:
                self._moved[each] = self.middle
            elif graph.ops[each] in ("const", "p", "y", "k", "s"):
                self._moved[each] = each
            else:
                self._moved[each] = self._again(each, [self._moved[arg] for arg in graph.args[each]])
        return self._moved[node]

    def _note(self, node: int, gap: int, *, whole: bool = False) -> None:
        graph = self.graph
        if self.clock not in graph.reachable([gap]):
            return
        for each in graph.reachable([gap]):  # where a gap has no value, or another branch, it can turn too
            if graph.ops[each] in _SINGULAR and self.clock in graph.reachable([each]):
                edge = self._edge(each)
                self._add(Turn(each, edge, self._slope(edge), False))
        self._add(Turn(node, gap, self._slope(gap), whole))

    def _edge(self, node: int) -> int:
        """What is zero where the values of a function end."""
        graph, (inner,) = self.graph, self.graph.args[node]
        if graph.ops[node] in ("asin", "acos", "atanh"):
            return graph.sub(graph.one, graph.mul(inner, inner))
        return graph.sub(inner, graph.one) if graph.ops[node] == "acosh" else inner

    def _add(self, turn: Turn) -> None:
        if turn not in self.turns:
            self.turns.append(turn)

    def _slope(self, node: int) -> int:
        return gradient(self.graph, node, {self.clock}).get(self.clock, self.graph.zero)


def written(graph: Graph, node: int, names: Mapping[int, str]) -> str:
    """A node as a formula, for messages.

    Parameters
    ----------
    graph : Graph
    node : int
    names : mapping of int to str
        Of the inputs.

    Examples
    --------
    >>> graph = Graph()
    >>> time = graph.input("y", 0)
    >>> written(graph, graph.relation("lt", graph.mul(time, time), graph.const(50)), {time: "time"})
    'time*time < 50'
    """

    def of(node: int) -> str:
        op, args = graph.ops[node], graph.args[node]
        if node in names:
            return names[node]
        if op == "const":
            return f"{args[0]:.12g}"
        if op in ("neg", "recip", "not"):
            return {"neg": "-", "recip": "1/", "not": "!"}[op] + inner(args[0])
        if op in _SIGNS:
            return f" {_SIGNS[op]} ".join(map(inner if op != "add" else of, args)).replace(" * ", "*")
        if op == "select":
            return f"piecewise({of(args[1])}, {of(args[0])}, {of(args[2])})"
        return of(args[0]) if op == "pos" else f"{op}({', '.join(map(of, args))})"

    def inner(node: int) -> str:
        single = node in names or graph.ops[node] not in (*_SIGNS, "neg") or graph.ops[node] == "mul"
        return of(node) if single else f"({of(node)})"

    return of(node).replace("+ -", "- ")
