"""Directions to differentiate along, and how they share lanes.

Two directions whose effects reach disjoint sets of states fit into one lane of a tangent: the states one
moves are untouched by the other. In a model with many parameters that act on one quantity each, this turns
a hundred directions into a few dozen lanes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cellsim.compiler.derivatives import System
from cellsim.compiler.graph import BOOLEAN, STATE, Graph
from cellsim.errors import Problem, SimulationError, did_you_mean

__all__ = ["KINDS", "LANES", "Direction", "LaneGroup", "Packing", "TangentTerms", "pack"]

LANES = 8
KINDS = ("parameter", "initial", "jump", "jump time", "rate", "on", "off")


@dataclass(frozen=True)
class Direction:
    """One thing to differentiate with respect to.

    Parameters
    ----------
    kind : str
        ``"parameter"``, ``"initial"`` (value of a state at the start), ``"jump"`` and ``"jump time"``
        (amount and time of a dose), ``"rate"``, ``"on"`` and ``"off"`` (of a zero-order input).
    index : int
        Which parameter, state, jump or rate, counted in the order of equations or doses.
    """

    kind: str
    index: int


@dataclass(frozen=True)
class LaneGroup:
    """Eight lanes that march together, and the rows any of them moves.

    Parameters
    ----------
    rows : tuple of int
        States, ascending.
    auxiliaries : tuple of int
        Auxiliaries (indices beyond the states), ascending.
    """

    rows: tuple[int, ...]
    auxiliaries: tuple[int, ...]


@dataclass(frozen=True)
class Packing:
    """Where every direction lives.

    Parameters
    ----------
    directions : tuple of Direction
    reach : tuple of frozenset of int
        States (and auxiliaries, beyond the states) each direction moves; empty if it acts on outputs only.
    home : tuple of (int, int)
        LaneGroup and lane of each direction, (-1, -1) for one that moves nothing.
    groups : tuple of LaneGroup
    """

    directions: tuple[Direction, ...]
    reach: tuple[frozenset[int], ...]
    home: tuple[tuple[int, int], ...]
    groups: tuple[LaneGroup, ...]


def directions_of(
    system: System, wanted: Sequence[str | Direction | tuple[str, str | int]], n_jumps: int, n_rates: int
) -> tuple[Direction, ...]:
    """Read directions: a parameter's name, a `Direction`, or a pair such as ``("initial", "x")``,
    ``("jump", 0)``.

    Raises
    ------
    SimulationError
        Names all that do not exist.
    """
    equations, problems, found = system.equations, [], []
    sizes = {
        "parameter": len(equations.parameters),
        "initial": len(equations.states),
        "jump": n_jumps,
        "jump time": n_jumps,
        "rate": n_rates,
        "on": n_rates,
        "off": n_rates,
    }
    names = {"parameter": equations.parameters, "initial": equations.states}
    places = {kind: {name: i for i, name in enumerate(each)} for kind, each in names.items()}
    for each in wanted:
        if isinstance(each, Direction):
            kind, key = each.kind, each.index
        else:
            kind, key = ("parameter", each) if isinstance(each, str) else each  # type: ignore[assignment]
        if kind not in KINDS:
            problems.append(
                Problem(what=f"{kind!r} is no kind of direction.", remedy=did_you_mean(kind, KINDS))
            )
            continue
        if isinstance(key, str):
            place = places.get(kind, {})
            if key not in place:
                problems.append(Problem(what=f"There is no {kind} {key!r}.", remedy=did_you_mean(key, place)))
                continue
            key = place[key]
        if not 0 <= key < sizes[kind]:
            problems.append(Problem(what=f"There is no {kind} number {key}; there are {sizes[kind]}."))
            continue
        found.append(Direction(kind, int(key)))
    if problems:
        raise SimulationError(problems)
    return tuple(found)


def _origins(
    system: System,
    direction: Direction,
    dosed: dict[str, Sequence[int]],
    given_start: bool,
    modes: Sequence[tuple[set[int], set[int]]],
) -> set[int]:
    """Rows that a direction moves at first hand; `modes` are those of the system."""
    if direction.kind == "initial":
        return {direction.index}
    if direction.kind != "parameter":
        return {dosed["jump" if direction.kind.startswith("jump") else "rate"][direction.index]}
    graph, p = system.graph, system.p[direction.index]
    rows = {i for (i, j) in system.parameter_slopes if j == direction.index}
    if any(p in graph.reachable([turn.gap]) for turn in system.turns):  # a jump of rates moves with it
        turning = {system.middle_of}
        rows |= {i for i, node in enumerate(system.rates) if turning & set(graph.reachable([node]))}
    for turn, moved_rows in modes:
        if p in turn:
            rows |= moved_rows
    if not given_start:
        rows |= {i for i, node in enumerate(system.initials) if p in graph.reachable([node])}
    for condition, assignments in zip(system.conditions, system.assignments, strict=True):
        moved = p in graph.reachable([condition])
        rows |= {i for i, node in assignments if moved or p in graph.reachable([node])}
        if moved:
            rows |= _read(system, [node for _, node in assignments])
    return rows


def _modes(system: System) -> list[tuple[set[int], set[int]]]:
    """For each mode, everything that it is made of, and the rates that jump where it changes."""
    graph, first = system.graph, system.n - len(system.modes)
    inside = [set(graph.reachable([node])) for node in system.rates]
    return [
        (set(graph.reachable([turn])), {i for i, nodes in enumerate(inside) if system.y[first + m] in nodes})
        for m, turn in enumerate(system.mode_turns)
    ]


def _read(system: System, nodes: Iterable[int]) -> set[int]:
    """States that nodes use, the clock counted: where an instant moves, they are read earlier or later."""
    inside = set(system.graph.reachable(nodes))
    return {i for i, node in enumerate(system.y) if node in inside}


def pack(
    system: System,
    directions: Iterable[Direction],
    dosed: dict[str, Sequence[int]],
    *,
    given_start: bool = False,
) -> Packing:
    """Find what each direction reaches and let disjoint ones share lanes.

    Parameters
    ----------
    system : System
    directions : iterable of Direction
    dosed : dict
        ``"jump"`` and ``"rate"``: the state each dose goes into.
    given_start : bool
        Whether the states at the start are given, hence independent of parameters.
    """
    directions = tuple(directions)
    onward: dict[int, set[int]] = {}
    for i, j in system.jacobian:
        onward.setdefault(j, set()).add(i)
    state_of = {node: i for i, node in enumerate(system.y)}
    for event, assignments in enumerate(system.assignments):
        for i, node in assignments:
            causes = system.graph.reachable(
                [node] if event in system.timed else [node, system.conditions[event]]
            )
            for cause in causes:
                if cause in state_of:
                    onward.setdefault(state_of[cause], set()).add(i)
        if event in system.located:
            read = _read(system, [node for _, node in assignments])
            for cause in _read(system, [system.conditions[event]]):
                onward.setdefault(cause, set()).update(read)
    modes = _modes(system)
    for turn, moved_rows in modes:
        for cause in turn:
            if cause in state_of:
                onward.setdefault(state_of[cause], set()).update(moved_rows)
    reach = []
    for direction in directions:
        seen: set[int] = set()
        stack = list(_origins(system, direction, dosed, given_start, modes))
        while stack:
            row = stack.pop()
            if row not in seen:
                seen.add(row)
                stack.extend(onward.get(row, ()))
        reach.append(frozenset(seen))
    # largest first into the first lane that is free of its rows; then lanes of like size march together
    lanes: list[tuple[set[int], list[int]]] = []
    for d in sorted(range(len(directions)), key=lambda d: (-len(reach[d]), d)):
        if not reach[d]:
            continue
        for rows, members in lanes:
            if not rows & reach[d]:
                rows.update(reach[d])
                members.append(d)
                break
        else:
            lanes.append((set(reach[d]), [d]))
    lanes.sort(key=lambda lane: (-len(lane[0]), sorted(lane[0])))
    home = [(-1, -1)] * len(directions)
    groups = []
    for start in range(0, len(lanes), LANES):
        together = lanes[start : start + LANES]
        moved = sorted(set().union(*(each for each, _ in together)))
        groups.append(
            LaneGroup(tuple(r for r in moved if r < system.n), tuple(r for r in moved if r >= system.n))
        )
        for lane, (_, members) in enumerate(together):
            for d in members:
                home[d] = (start // LANES, lane)
    return Packing(directions, tuple(reach), tuple(home), tuple(groups))


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
    atoms : list of (root, gap, list of ("y" or "p", index, node))
        Comparisons and floors of located events, then of modes: the gap that crosses zero, and its derivatives.
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
        roots = [graph.reachable([system.frozen_conditions[event]]) for event in system.located]
        for r, nodes in enumerate([*roots, *([turn] for turn in system.mode_turns)]):
            for node in nodes:
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
