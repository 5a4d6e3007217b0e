"""Grids of plans or of parameters as heat maps, and parameters one at a time as a tornado."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError, did_you_mean
from cellsim.plots.style import (
    BLACK,
    BLUE,
    PURPLE,
    SMALL,
    TINY,
    AxesArray,
    as_typed,
    dress,
    label,
    panels,
    unit_text,
)
from cellsim.sweeps.decisions import place_asked
from cellsim.sweeps.parameter_tables import ParameterSweep

if TYPE_CHECKING:
    from cellsim.predictions.measures import Asked
    from cellsim.sweeps.sweep_result import Sweep

__all__ = ["heat_map", "tornado"]

# numbers are written into cells up to this many
_WRITTEN = 150


@as_typed
def heat_map(
    result: Sweep | ParameterSweep,
    measure: str | None = None,
    quantity: str | None = None,
    ax: Any = None,
    *,
    x: str | None = None,
    y: str | None = None,
    schedule: str | None = None,
    **mesh: Any,
) -> AxesArray:
    """One measure over two factors of a family of schedules, or over two parameters.

    A cell is the median (the mean of a chance) of all draws, and of all levels of the other factors. Where a cell is empty nothing could be
    simulated.

    Parameters
    ----------
    result : Sweep or ParameterSweep
        Of a ``cs.Schedule.grid``, or of parameters on a grid.
    measure, quantity : str, optional
        As in ``result.table()``; the first asked by default.
    ax : Axes, optional
    x, y : str, optional
        Factors; the first two by default.
    schedule : str, optional
        Of parameters; the first by default.
    **mesh
        To ``pcolormesh``.

    Returns
    -------
    array of Axes

    Raises
    ------
    CellsimError
        For a sweep without two factors, and for factors or measures that there are none of.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> model = cs.load_model("x = 1; x' = -k*x; k = 1; s = 1; y := s*x")
    >>> levels = {"k": [0.1, 1.0], "s": [1.0, 2.0, 3.0]}
    >>> found = cs.sweep(model, cs.Schedule(), until=5, parameters=levels, measures=["area(y)"])
    >>> plots.heat_map(found)[0].get_xlabel()
    'k'
    """
    place = place_asked(result.asked, measure, quantity, None)
    asked = result.asked[place]
    if isinstance(result, ParameterSweep):
        factors: list[str] = list(result.parameters) if result.design == "grid" else []
        rows = [dict(zip(result.parameters, point.tolist(), strict=True)) for point in result.points]
        values = result.estimates(asked.measure, asked.quantity, schedule=schedule)
        doubts = result.approximation.words
    else:
        factors = list(next(iter(result.levels.values()), {}))
        rows = [dict(result.levels.get(name, {})) for name in result.schedules]
        draws = result.posterior[:, place]
        values = draws.mean(axis=1) if asked.chance else np.median(draws, axis=1)
        doubts = result.approximation.words
    for name in (x, y):
        if name is not None and name not in factors:
            raise CellsimError(f"no factor {name!r} in this sweep. {did_you_mean(name, factors)}")
    others = [name for name in factors if name not in (x, y)]
    x = x or (others.pop(0) if others else None)
    y = y or (others.pop(0) if others else None)
    if x is None or y is None:
        raise CellsimError(
            "a heat map needs two factors with several levels: cs.Schedule.grid(interval=[7, 14], doses=[4, 8], ...), or parameters on a grid."
        )
    columns, lines = (list(dict.fromkeys(row[name] for row in rows)) for name in (x, y))
    cells = np.full((len(lines), len(columns)), np.nan)
    for i, line in enumerate(lines):
        for j, column in enumerate(columns):
            here = [
                value for row, value in zip(rows, values, strict=True) if row[x] == column and row[y] == line
            ]
            here = [value for value in here if np.isfinite(value)]
            if here:
                cells[i, j] = float(np.mean(here) if asked.chance else np.median(here))
    own = ax is None
    axes = panels(
        1, ax, columns=1, width=max(3.2, 0.55 * len(columns) + 2.0), height=max(2.2, 0.35 * len(lines) + 1.2)
    )
    panel = axes[0]
    drawn = panel.pcolormesh(
        np.ma.masked_invalid(cells), **{"cmap": "cividis", "edgecolors": "white", "linewidth": 0.4, **mesh}
    )
    panel.set_xticks(np.arange(len(columns)) + 0.5, [_level(each) for each in columns], fontsize=TINY)
    panel.set_yticks(np.arange(len(lines)) + 0.5, [_level(each) for each in lines], fontsize=TINY)
    if cells.size <= _WRITTEN:
        middle = float(np.nanmean([np.nanmin(cells), np.nanmax(cells)]))
        for (i, j), value in np.ndenumerate(cells):
            if np.isfinite(value):
                colour = "white" if value < middle else BLACK
                panel.text(
                    j + 0.5, i + 0.5, f"{value:.3g}", ha="center", va="center", fontsize=TINY, color=colour
                )
    dress(panel, x=_factor_text(result, x), y=_factor_text(result, y))
    bar = panel.figure.colorbar(drawn, ax=panel)
    bar.set_label(_text(asked), fontsize=SMALL)
    bar.ax.tick_params(labelsize=TINY)
    label(panel.figure, own=own, case=result.case, rests_on=[doubts])
    return axes


@as_typed
def tornado(
    result: ParameterSweep,
    measure: str | None = None,
    quantity: str | None = None,
    ax: Any = None,
    *,
    schedule: str | None = None,
    **bar: Any,
) -> AxesArray:
    """What each parameter does to one measure by itself, the one that moves most on top.

    A bar goes from the measure at the least value of the parameter (blue) to that at the greatest (purple); the line is where nothing is set.

    Parameters
    ----------
    result : ParameterSweep
        With ``design="one at a time"``.
    measure, quantity, schedule : str, optional
        As for :meth:`cellsim.sweeps.parameter_tables.ParameterSweep.tornado`.
    ax : Axes, optional
    **bar
        To ``barh``.

    Returns
    -------
    array of Axes

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> model = cs.load_model("x = 1; x' = -k*x; k = 1; s = 1; y := s*x")
    >>> levels = {"k": [0.9, 1.1], "s": [0.5, 2.0]}
    >>> found = cs.sweep(model, cs.Schedule(), until=5, parameters=levels, measures=["area(y)"], design="one at a time")
    >>> [each.get_text() for each in plots.tornado(found)[0].get_yticklabels()]
    ['s', 'k']
    """
    table = result.tornado(measure, quantity, schedule=schedule)
    asked = result.asked[place_asked(result.asked, measure, quantity, None)]
    own = ax is None
    axes = panels(1, ax, columns=1, width=4.6, height=0.3 * len(table) + 1.2)
    panel, reference = axes[0], float(table["reference"].iloc[0])
    at = np.arange(len(table), dtype=float)
    for side, colour, kind in (("at_low", BLUE, "low"), ("at_high", PURPLE, "high")):
        style = {"color": colour, "height": 0.55, "alpha": 0.85, **bar}
        drawn = panel.barh(at, table[side] - reference, left=reference, **style)
        for patch, value in zip(drawn, table[f"{kind}_value"], strict=True):
            patch.set_gid(kind)
            here = patch.get_x() + patch.get_width()
            panel.annotate(
                f"{value:.3g}",
                (here, patch.get_y() + patch.get_height() / 2),
                xytext=(2 if patch.get_width() >= 0 else -2, 0),
                textcoords="offset points",
                ha="left" if patch.get_width() >= 0 else "right",
                va="center",
                fontsize=TINY,
            )
    panel.axvline(reference, color=BLACK, linewidth=0.8)
    panel.set_yticks(at, list(table["parameter"]))
    panel.set_ylim(len(table) - 0.5, -0.5)
    panel.margins(x=0.15)
    dress(panel, x=_text(asked))
    label(panel.figure, own=own, case=result.case, rests_on=[result.approximation.words])
    return axes


def _level(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _factor_text(result: Sweep | ParameterSweep, name: str) -> str:
    """A factor with its unit."""
    case = result.case
    if isinstance(result, ParameterSweep):
        unit = next((each.unit for each in case.priors if each.id == name), "") if case is not None else ""
    else:
        given = {
            each.product for plan in result.schedules.values() for each in plan.infusions
        }  # all of one unit, or none is told
        units = {each.unit for each in case.products if each.name in given}
        amount = units.pop() if len(units) == 1 else ""
        unit = {"interval": "days", "start": "day", "duration": "days", "cells": amount}.get(name, "")
        name = {"cells": "dose"}.get(name, name)
    unit = unit_text(unit)
    return f"{name} ({unit})" if unit else name


def _text(asked: Asked) -> str:
    unit = f" ({unit_text(asked.unit)})" if asked.unit not in ("", "1") else ""
    when = f", day {asked.day:g}" if np.isfinite(asked.day) else ""
    named = asked.quantity if asked.measure in ("formula", "own") else f"{asked.measure} {asked.quantity}"
    return f"{named}{when}{unit}"
