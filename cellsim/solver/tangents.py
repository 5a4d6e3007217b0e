"""Forward sensitivities compiled for a set of directions."""

from __future__ import annotations

from dataclasses import dataclass

from cellsim.compiler.assembly import Unit, assemble
from cellsim.compiler.kernels import Kernels
from cellsim.compiler.sensitivity_directions import Packing
from cellsim.compiler.sensitivity_kernels import Shape, TangentWriter

__all__ = ["TangentUnit", "tangent_unit"]


@dataclass
class TangentUnit:
    """Compiled tangents for one packing of directions.

    Attributes
    ----------
    packing : Packing
    unit : Unit
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
    unit: Unit
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
    if key not in _UNITS:
        if len(_UNITS) >= 64:
            _UNITS.pop(next(iter(_UNITS)))
        kernels.unit(1)
        writer = TangentWriter(kernels.writer(1), packing)
        functions = writer.all()
        engine = assemble(functions, writer.externals)
        names = [f.split("@")[1].split("(")[0] for f in functions if f.startswith("define void")]
        address: dict[str, int] = {name: engine.get_function_address(name) for name in names}
        made = TangentUnit(
            packing,
            Unit(writer.layout, 1, address, len(writer.kept), engine),
            writer.shapes,
            writer.begin,
            [(o, j) for o, j, _ in writer.terms.outputs_y],
            [(o, j) for o, j, _ in writer.terms.outputs_p],
            [(i, j) for i, j, _ in writer.terms.initials_p],
            [[(i, kind, j) for i, kind, j, _ in entries] for entries in writer.terms.events],
            [(r, [(kind, j) for kind, j, _ in entries]) for r, _, entries in writer.terms.atoms],
        )
        _UNITS[key] = (kernels, made)
    return _UNITS[key][1]
