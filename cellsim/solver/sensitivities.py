"""Directions laid out for the step loop: what is seeded when, and where each result goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellsim.compiler.graph import WRITING
from cellsim.compiler.kernels import Kernels
from cellsim.compiler.llvm import CompiledKernels, aligned, assemble
from cellsim.compiler.sensitivity_directions import LANES, Direction, Packing, directions_of, pack
from cellsim.compiler.sensitivity_kernels import Shape, TangentWriter
from cellsim.solver.breakpoints import BreakTable, Doses
from cellsim.solver.conditions import Turnings
from cellsim.solver.loop_arrays import (
    SEED_AFTER,
    SEED_DOSE,
    SEED_EVENT,
    SEED_INPUT,
    SEED_STATE,
    SEED_TURN,
    Tangents,
    address,
    addresses,
)

__all__ = [
    "PLACE_OF_RESULT",
    "CarriedTangents",
    "SensitivityLayout",
    "TangentUnit",
    "courses_of",
    "no_tangents",
    "tangent_unit",
]

Array = NDArray[np.float64]
# tables of breaks whose seeds a layout remembers
_MOST_SEEDED = 64
_FIELDS = {name: place for place, name in enumerate(Tangents._fields)}
_V, _RESULT, _MOVED, _EFFECTS = (_FIELDS[name] for name in ("v", "result", "moved", "effects"))
PLACE_OF_RESULT = _RESULT
"""Where in `CarriedTangents.places` it stands where sensitivities go."""
_SEEDS = slice(_FIELDS["seed_ptr"], _V)


@dataclass(frozen=True)
class CarriedTangents:
    """What the step loop gets to carry sensitivities along.

    Attributes
    ----------
    places : array
        Where the arrays of :class:`cellsim.solver.loop_arrays.Tangents` begin.
    v : array
        Their workspace.
    at : int
        Where it begins.
    seeds : Seeds or None
        What must live as long as the loop runs.
    """

    places: NDArray[np.int64]
    v: Array
    at: int
    seeds: Seeds | None = None


@lru_cache(maxsize=1)
def no_tangents() -> CarriedTangents:
    """What the step loop gets when nothing is differentiated: sizes of zero."""
    nothing: Any = np.zeros(16, np.int64)
    return CarriedTangents(np.full(len(Tangents._fields), address(nothing)), nothing, address(nothing))


@dataclass(frozen=True)
class SensitivityLayout:
    """Directions compiled and laid out for the step loop."""

    made: TangentUnit
    addresses: NDArray[np.int64]
    slots: NDArray[np.int64]
    sizes: NDArray[np.int64]
    groups: NDArray[np.int64]
    places: NDArray[np.int64]
    pairs_y: NDArray[np.int64]
    pairs_p: NDArray[np.int64]
    initials: NDArray[np.int64]
    row_ptr: NDArray[np.int64]
    rows: NDArray[np.int64]
    along: NDArray[np.int64]
    floors: NDArray[np.int64]
    event_ptr: NDArray[np.int64]
    event_y: NDArray[np.int64]
    event_p_ptr: NDArray[np.int64]
    event_p: NDArray[np.int64]
    atoms: NDArray[np.int64]
    atom_y: NDArray[np.int64]
    tau_ptr: NDArray[np.int64]
    tau: NDArray[np.int64]
    spare: list[CarriedTangents] = field(default_factory=list, repr=False)
    _seeded: dict[tuple[int, int, Doses], tuple[BreakTable, Turnings, Seeds]] = field(
        default_factory=dict, repr=False
    )

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """Where the arrays begin that every run has."""
        return addresses(*(getattr(self, name) for name in Tangents._fields[: _SEEDS.start]))

    @cached_property
    def moved(self) -> NDArray[np.bool_]:
        """Which outputs each direction can move at all, shape (n_outputs, n_directions)."""
        *_, n_directions, _, n_entries = self.sizes.tolist()
        out = np.zeros(n_entries, bool)
        out[self.pairs_y[:, 2]] = True
        out[self.pairs_p[:, 1]] = True
        return out.reshape(-1, n_directions)

    def place(self, direction: int, state: int, slot: int = 0) -> int:
        """Where the tangent of a state along a direction stands in ``v``; slot 0 is s, 3 is u."""
        g, lane = self.made.packing.home[direction]
        return int(self.groups[g, slot] + self.places[g, state] + lane)

    def tangents(
        self, table: BreakTable, doses: Doses, states: tuple[str, ...], result: Array, turned: Turnings
    ) -> CarriedTangents:
        """Everything for one run; `result` (n_times, n_outputs, n_directions) is filled.

        What is returned belongs into `spare` when the run is over.
        """
        # what turns is found once for each set of parameters that it depends on, so the object stands for it
        key = id(table), id(turned) if turned.days else 0, doses
        known = self._seeded.get(key)
        if known is None:
            if len(self._seeded) >= _MOST_SEEDED:
                self._seeded.clear()
            known = self._seeded[key] = (table, turned, self._seeds(table, doses, states, turned))
        seeds = known[2]
        try:
            carried = self.spare.pop()
            carried.v[:] = 0.0
        except IndexError:
            size, n = self.made.unit.layout.size, len(self.made.packing.directions)
            v = aligned(size + 3 * n)
            places = np.zeros(len(Tangents._fields), np.int64)
            places[: self.begins.size] = self.begins
            where = address(v)
            places[_V], places[_MOVED], places[_EFFECTS] = where, where + 8 * size, where + 8 * (size + n)
            carried = CarriedTangents(places, v, where)
        carried.places[_SEEDS] = seeds.places
        carried.places[_RESULT] = address(result)
        return CarriedTangents(carried.places, carried.v, carried.at, seeds)

    def _seeds(self, table: BreakTable, doses: Doses, states: tuple[str, ...], turned: Turnings) -> Seeds:
        """What begins to move, break by break."""
        start = float(table.breaks[0])
        seeds: list[tuple[int, int, int, float]] = []

        def at(time: float) -> int | None:
            return int(np.searchsorted(table.breaks, time)) if time <= table.breaks[-1] else None

        def index(state: str | int) -> int:
            return states.index(state) if isinstance(state, str) else state

        def seed(time: float, code: int, where: int, value: float) -> None:
            if (b := at(time)) is not None:
                seeds.append((b, code, where, value))

        fired = {(each.day, SEED_AFTER if each.after else SEED_EVENT) for each in turned.firings}
        days, waiting = {day for day, _ in fired}, bool(turned.system.located)
        for d, direction in enumerate(self.made.packing.directions):
            kind, i = direction.kind, direction.index
            if kind == "initial":
                seed(start, SEED_STATE, self.place(d, i), 1.0)
            elif kind in ("jump", "jump time"):
                time, state, _ = doses.jumps[i]
                if kind == "jump":
                    seed(time, SEED_STATE, self.place(d, index(state)), 1.0)
                else:
                    seed(time, SEED_DOSE, d, 1.0)
                    if waiting and time not in days:  # what the dose sets off moves with it
                        seed(time, SEED_EVENT, d, 1.0)
            elif kind in ("rate", "on", "off"):
                on, off, state, _ = doses.rates[i]
                if kind == "rate":
                    seed(on, SEED_INPUT, self.place(d, index(state), 3), 1.0)
                    seed(off, SEED_INPUT, self.place(d, index(state), 3), -1.0)
                else:
                    seed(on if kind == "on" else off, SEED_DOSE, d, 1.0)
        along: dict[int, list[int]] = {}
        for d, direction in enumerate(self.made.packing.directions):
            if direction.kind == "parameter":
                along.setdefault(direction.index, []).append(d)
        for number, parameter, speed in turned.speeds(along):
            day = turned.days[number]
            for d in along[parameter]:
                seed(day, SEED_TURN, d, speed)
                for code in (SEED_EVENT, SEED_AFTER):
                    # an event on time and states may fire there too; where none does, tangents come back to where they were
                    if (day, code) in fired or waiting:
                        seed(day, code, d, speed)
        seeds.sort()
        counted = np.bincount(np.array([b for b, *_ in seeds], np.int64), minlength=len(table.breaks))
        return Seeds(
            np.concatenate([[0], np.cumsum(counted)]).astype(np.int64),
            np.array([code for _, code, *_ in seeds], np.int64),
            np.array([where for *_, where, _ in seeds], np.int64),
            np.array([value for *_, value in seeds], float),
        )


@dataclass(frozen=True)
class Seeds:
    """What begins to move at each break, as :class:`cellsim.solver.loop_arrays.Tangents` has it."""

    ptr: NDArray[np.int64]
    code: NDArray[np.int64]
    at: NDArray[np.int64]
    value: Array

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """In order."""
        return self.ptr, self.code, self.at, self.value

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Where they begin."""
        return addresses(*self.arrays)


def _table(rows: Sequence[Sequence[int]], columns: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(len(rows), columns)


def courses_of(
    kernels: Kernels,
    wanted: Sequence[str | Direction | tuple[str, str | int]],
    doses: tuple[Doses, ...],
    given_start: bool,
) -> list[SensitivityLayout]:
    """One course for each set of doses; equal ones are shared."""
    return _courses(kernels, tuple(wanted), doses, given_start)


@lru_cache(maxsize=64)
def _courses(
    kernels: Kernels,
    wanted: tuple[str | Direction | tuple[str, str | int], ...],
    doses: tuple[Doses, ...],
    given_start: bool,
) -> list[SensitivityLayout]:
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], SensitivityLayout] = {}
    states = kernels.equations.states
    courses = []
    for each in doses:
        jumps = tuple(
            states.index(s) if isinstance(s, str) and s in states else int(s) for _, s, _ in each.jumps
        )
        rates = tuple(
            states.index(s) if isinstance(s, str) and s in states else int(s) for *_, s, _ in each.rates
        )
        if (jumps, rates) not in known:
            known[jumps, rates] = _course(kernels, wanted, jumps, rates, given_start)
        courses.append(known[jumps, rates])
    return courses


@lru_cache(maxsize=64)
def _course(
    kernels: Kernels,
    wanted: tuple[str | Direction | tuple[str, str | int], ...],
    jumps: tuple[int, ...],
    rates: tuple[int, ...],
    given_start: bool,
) -> SensitivityLayout:
    with WRITING:  # packing and writing differentiate
        return _laid_out(kernels, wanted, jumps, rates, given_start)


def _laid_out(
    kernels: Kernels,
    wanted: tuple[str | Direction | tuple[str, str | int], ...],
    jumps: tuple[int, ...],
    rates: tuple[int, ...],
    given_start: bool,
) -> SensitivityLayout:
    system = kernels.system
    directions = directions_of(system, wanted, len(jumps), len(rates))
    packing = pack(system, directions, {"jump": jumps, "rate": rates}, given_start=given_start)
    made = tangent_unit(kernels, packing)
    lay = made.unit.layout
    names: tuple[str, ...] = (
        "prepare",
        "step",
        "dense",
        "observe_y",
        "observe_p",
        "initial",
        "atoms",
        "error",
        "excess",
    )
    names += tuple(f"event{e}" for e in range(len(system.assignments)))
    groups, news, places = [], [], np.full((len(made.shapes), system.n), -1, np.int64)
    for g, (shape, begin) in enumerate(zip(made.shapes, made.begin, strict=True)):
        slots = [begin + shape.layout[name] for name in ("s", "s1", "sample", "u", "dense")]
        groups.append((*slots, len(shape.row) * LANES))
        news.append([begin + shape.layout[name] - slots[0] for name in ("s1", "floor")])
        for row, offset in shape.row.items():
            places[g, row] = offset
    size = len(directions)

    def place(d: int, state: int, slot: int) -> int:
        g, lane = packing.home[d]
        return int(groups[g][slot] + places[g, state] + lane)

    along: dict[int, list[int]] = {}
    for d, direction in enumerate(directions):
        if direction.kind == "parameter":
            along.setdefault(direction.index, []).append(d)
    moved = [sorted(r for r in reach if r < system.n) for reach in packing.reach]
    by_state: dict[int, list[int]] = {}
    for d, rows in enumerate(moved):
        for r in rows:
            by_state.setdefault(r, []).append(d)
    event_y, event_p, event_ptr, event_p_ptr = [], [], [0], [0]
    for assignments, entries in zip(system.assignments, made.event_entries, strict=True):
        event_y += [(-1, i, 0) for i, _ in assignments]  # every target forgets its old tangent
        event_y += [(e, i, j) for e, (i, kind, j) in enumerate(entries) if kind == "y"]
        event_p += [
            (e, place(d, i, 0))
            for e, (i, kind, j) in enumerate(entries)
            if kind == "p"
            for d in along.get(j, ())
        ]
        event_ptr.append(len(event_y))
        event_p_ptr.append(len(event_p))
    atoms: list[tuple[int, int, int]] = []
    atom_y: list[tuple[int, int]] = []
    tau: list[tuple[int, int]] = []
    tau_ptr, at = [0], 0
    for root, slopes in made.atoms:
        atoms.append((root, at, len(atom_y)))
        atom_y += [(at + 1 + e, j) for e, (kind, j) in enumerate(slopes) if kind == "y"]
        for d, direction in enumerate(directions):
            for e, (kind, j) in enumerate(slopes):
                if kind == "y" and j in packing.reach[d]:
                    tau.append((at + 1 + e, place(d, j, 0)))
                elif kind == "p" and direction.kind == "parameter" and direction.index == j:
                    tau.append((at + 1 + e, -1))
            tau_ptr.append(len(tau))
        at += 1 + len(slopes)
    atoms.append((-1, at, len(atom_y)))
    pairs_y = [
        (e, place(d, j, 2), o * size + d)
        for e, (o, j) in enumerate(made.output_entries)
        for d in by_state.get(j, ())
    ]
    pairs_p = [(e, o * size + d) for e, (o, j) in enumerate(made.output_parameters) for d in along.get(j, ())]
    # where the start is given, parameters that the model's own start values depend on do not move it
    initials = [
        (e, place(d, i, 0))
        for e, (i, j) in enumerate(() if given_start else made.initial_entries)
        for d in along.get(j, ())
    ]
    sizes = (
        1, len(groups), system.n, len(pairs_y), len(pairs_p), len(initials), size, len(atoms),
        len(system.outputs) * size,
    )  # fmt: skip
    return SensitivityLayout(
        atoms=_table(atoms, 3),
        atom_y=_table(atom_y, 2),
        tau_ptr=np.array(tau_ptr, np.int64),
        tau=_table(tau, 2),
        made=made,
        addresses=np.array([made.unit.address[name] for name in names], np.int64),
        slots=np.array([lay[name] for name in ("gy", "gp", "y0p", "event", "atoms", "error")], np.int64),
        sizes=np.array(sizes, np.int64),
        groups=_table(groups, 6),
        places=places,
        pairs_y=_table(pairs_y, 3),
        pairs_p=_table(pairs_p, 2),
        initials=_table(initials, 2),
        row_ptr=np.cumsum([0, *map(len, moved)]).astype(np.int64),
        rows=_table([(r, place(d, r, 0)) for d, rows in enumerate(moved) for r in rows], 2),
        along=np.array([each.index if each.kind == "parameter" else -1 for each in directions], np.int64),
        floors=_table(
            [
                [place(d, r, 0) + further for further in news[packing.home[d][0]]]
                for d, rows in enumerate(moved)
                for r in rows
            ],
            2,
        ),
        event_ptr=np.array(event_ptr, np.int64),
        event_y=_table(event_y, 3),
        event_p_ptr=np.array(event_p_ptr, np.int64),
        event_p=_table(event_p, 2),
    )


@dataclass
class TangentUnit:
    """Compiled tangents for one packing of directions.

    Attributes
    ----------
    packing : Packing
    unit : CompiledKernels
        Kernels called with the scalar unit's workspace as ``w`` and their own as ``v``.
    shapes : list of Shape
        One per group.
    begin : list of int
        Where each group begins in ``v``.
    output_entries, output_parameters : list
        (output, state) and (output, parameter) of the entries in slots ``gy`` and ``gp``.
    initial_entries : list of (state, parameter)
        Of the entries in slot ``y0p``.
    event_entries : list of list of (target, ``"y"`` or ``"p"``, index)
        Of the entries in slot ``event``, per event.
    atoms : list of (located event, list of (``"y"`` or ``"p"``, index))
        Of slot ``atoms``: each begins with the gap itself.
    """

    packing: Packing
    unit: CompiledKernels
    shapes: list[Shape]
    begin: list[int]
    output_entries: list[tuple[int, int]]
    output_parameters: list[tuple[int, int]]
    initial_entries: list[tuple[int, int]]
    event_entries: list[list[tuple[int, str, int]]]
    atoms: list[tuple[int, list[tuple[str, int]]]]


_UNITS: dict[tuple[int, Packing], tuple[Kernels, TangentUnit]] = {}


def tangent_unit(kernels: Kernels, packing: Packing) -> TangentUnit:
    """Tangent kernels for a packing of directions, compiled at first use."""
    key = (id(kernels), packing)
    with WRITING:
        if key in _UNITS:
            return _UNITS[key][1]
        if len(_UNITS) >= 64:
            _UNITS.pop(next(iter(_UNITS)))
        kernels.unit(1)
        writer = TangentWriter(kernels.writer(1), packing)
        code = assemble(writer.all(), writer.externals)
        made = TangentUnit(
            packing,
            CompiledKernels(writer.layout, 1, code.address, len(writer.kept), code.engines),
            writer.shapes,
            writer.begin,
            [(o, j) for o, j, _ in writer.terms.outputs_y],
            [(o, j) for o, j, _ in writer.terms.outputs_p],
            [(i, j) for i, j, _ in writer.terms.initials_p],
            [[(i, kind, j) for i, kind, j, _ in entries] for entries in writer.terms.events],
            [(r, [(kind, j) for kind, j, _ in entries]) for r, _, entries in writer.terms.atoms],
        )
        _UNITS[key] = (kernels, made)
        return made
