"""The what-if figure: what each schedule does over time, and its measures with the prior's answer beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import dose_noun, doses_text
from cellsim.errors import CellsimError, did_you_mean
from cellsim.plots.style import (
    BLACK,
    BLUE,
    PALE,
    PURPLE,
    SMALL,
    TINY,
    AxesArray,
    as_typed,
    band,
    colour_of,
    display_name,
    dress,
    label,
    legend,
    log_axis,
    panels,
    scale,
    unit_text,
)
from cellsim.posterior.approximation import Approximation, together

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellsim.case.case import Case
    from cellsim.dosing.schedule import Schedule
    from cellsim.predictions.measures import Asked
    from cellsim.sweeps.sweep_result import Sweep

__all__ = ["contrast", "course_text", "default_course", "default_measures_shown", "schedule_text", "sweep"]

# letters in a line under a measure
# chances below this are called nought
_NOUGHT = 0.005
# letters of a line below a measure, and below the time courses
_MEASURE_WIDTH, _COURSE_WIDTH = 18, 60


def schedule_text(name: str, plan: Schedule) -> str:
    """A schedule's name with the count of doses and the amounts given, which no comparison may leave out.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Schedule
    >>> schedule_text("weekly", Schedule.every(7, cells=5e7, doses=4, product="rfib"))
    'weekly: 4 infusions, 2.0e8 cells'
    """
    return f"{name}: {doses_text(plan.infusions, plan.products)}"


def default_course(result: Sweep) -> str:
    """What is drawn over time: that of the first outcome which has a course here, or the first there is."""
    found = [each.course for each in result.case.outcomes if each.course in result.curves]
    return next(iter((*found, *result.curves)), "")


def default_measures_shown(result: Sweep) -> list[int]:
    """Places of up to three outcomes of the case; the first asked when none of them was."""
    found = [
        next((k for k, each in enumerate(result.asked) if (each.measure, each.quantity) == wanted.key), None)
        for wanted in result.case.outcomes
    ]
    places = [each for each in found if each is not None][:3]
    return places or list(range(min(3, len(result.asked))))


@as_typed
def sweep(
    result: Sweep,
    quantity: str | None = None,
    measures: Sequence[tuple[str, str]] | None = None,
    ax: Any = None,
    *,
    log: bool | None = None,
    **line: Any,
) -> AxesArray:
    """Compare schedules: one row each, its time course at the left, its measures at the right.

    The time course is the posterior median with 50 and 90 % bands; the dashed line is the first schedule's
    median. A filled marker with bar is the posterior's answer (median and 90 %; the mean where it is a chance),
    a hollow one the prior's: where the two agree, the answer was assumed and not learned. What is given stands
    beside every name.

    Parameters
    ----------
    result : Sweep
    quantity : str, optional
        What is drawn over time: an analyte or another recorded quantity; that of the case's first outcome by default.
    measures : sequence of (measure, quantity), optional
        As in ``result.table()``; the usual ones by default.
    ax : array of Axes, optional
        One for each schedule, then one for each measure (as returned).
    log : bool, optional
        Whether the time courses have a log axis; by default where they span more than a factor of four.
    **line
        To the medians' lines.

    Returns
    -------
    array of Axes
        The time courses in the order of the schedules, then the measures. Measures share the rows.

    Raises
    ------
    CellsimError
        For quantities or measures the sweep does not have, or too few Axes.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> case = cs.load_case("sjogren_rfib")
    >>> fitted = cs.calibrate(case, starts=1)
    >>> result = cs.sweep(fitted, {"as given": case.schedule}, until=365, draws=20)
    >>> plots.sweep(result).savefig("what-if.png")  # doctest: +SKIP
    >>> plots.sweep(result)[0].get_title(loc="left")
    'as given: 12 infusions, 7.25e8 cells'
    """
    if not result.curves:
        raise CellsimError(
            "this sweep has no time course to draw: its measures are areas alone. Ask for a value or days below a level too."
        )
    if quantity is None:
        quantity = default_course(result)
    if quantity not in result.curves:
        raise CellsimError(
            f"no time course of {quantity!r} in this sweep. {did_you_mean(quantity, result.curves)}"
        )
    places = (
        default_measures_shown(result) if measures is None else [_place(result, each) for each in measures]
    )
    # a chance that is nought under every schedule is told in words, unless it was asked for
    nought = [] if measures is not None else [place for place in places if _nought(result, place)]
    places = [place for place in places if place not in nought]
    count = len(result.schedules)
    own = ax is None
    axes = _layout(count, len(places)) if own else panels(count + len(places), ax, columns=1)
    rows, columns = axes[:count], axes[count:]
    curves = result.curves[quantity]
    for k, (panel, (name, plan)) in enumerate(zip(rows, result.delivered.items(), strict=True)):
        band(panel, result.times, curves[k], BLUE, **{"gid": f"course-{name}", **line})
        if k:
            panel.plot(
                result.times, curves[0, 2], color=BLACK, linewidth=0.8, linestyle=(0, (4, 2)), gid="reference"
            )
        # a little room before day 0, where the first infusion's tick would hide behind the axis
        panel.set_xlim(-0.015 * result.until, result.until)
        dress(panel)
        panel.set_title(schedule_text(name, plan), fontsize=TINY + 0.5, loc="left", pad=2)
    logged = [scale(panel, [curves[:, [0, 4]]], force=log) for panel in rows]
    for panel, is_log in zip(rows, logged, strict=True):
        low, high = float(curves[:, 0].min()), float(curves[:, 4].max())
        panel.set_ylim((low / 1.15, high * 1.15) if is_log else (min(0.0, low * 1.05), high * 1.08))
        panel.tick_params(labelbottom=panel is rows[-1] or not own)
    for panel, plan in zip(rows, result.schedules.values(), strict=True):
        _doses(panel, plan, result.case)
    told = [fill(_nought_text(result, each), _COURSE_WIDTH) for each in nought]
    rows[-1].set_xlabel("\n".join(["day", *told]), fontsize=SMALL)
    text = course_text(result.case, quantity)
    if own:
        rows[0].figure.supylabel(text, fontsize=SMALL)
    else:
        rows[0].set_ylabel(text, fontsize=SMALL)
    for panel, place in zip(columns, places, strict=True):
        _measure(panel, result, place)
    for panel in columns[1:] if own else ():
        panel.tick_params(labelleft=False)
    if own and len(columns):
        columns[0].tick_params(labelleft=False)
    _keys(axes, result, own=own)
    label(axes[0].figure, own=own, case=result.case, rests_on=[result.approximation.words])
    return axes


def _layout(count: int, measures: int) -> AxesArray:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(7.2, 0.92 * count + 1.0), layout="constrained")
    widths = [2.7, *[1.0] * measures]
    grid = figure.add_gridspec(count, 1 + measures, width_ratios=widths)
    rows: list[Any] = []
    for k in range(count):
        rows.append(figure.add_subplot(grid[k, 0], sharex=rows[0] if rows else None))
    columns: list[Any] = []
    for k in range(measures):
        columns.append(figure.add_subplot(grid[:, 1 + k], sharey=columns[0] if columns else None))
    return AxesArray.of([*rows, *columns])


def _place(result: Sweep, wanted: tuple[str, str]) -> int:
    if isinstance(wanted, str) or len(wanted) != 2:
        pair = next(((each.measure, each.quantity) for each in result.asked), ("measure", "quantity"))
        raise CellsimError(
            f"{wanted!r} is no measure of a quantity: give pairs, like {pair}, as in result.table()."
        )
    for k, each in enumerate(result.asked):
        if (each.measure, each.quantity) == tuple(wanted):
            return k
    known = [f"{each.measure} of {each.quantity}" for each in result.asked]
    asked = " of ".join(wanted)
    raise CellsimError(f"no measure {asked!r} in this sweep. {did_you_mean(asked, known)}")


def _doses(panel: Axes, plan: Schedule, case: Case) -> None:
    """A tick for each dose, its height by its size beside the largest that the patient was given of the product."""
    largest: dict[str, float] = {}
    for each in case.timeline.infusions:
        largest[each.product] = max(largest.get(each.product, 0.0), each.cells)
    for each in plan.infusions:
        height = 0.06 + 0.10 * min(each.cells / largest.get(each.product, each.cells), 3.0) / 3.0
        panel.plot(
            [each.day, each.day],
            [0.0, height],
            color=colour_of(each.product, case.products),
            linewidth=1.0,
            transform=panel.get_xaxis_transform(),
            gid="infusion",
            solid_capstyle="butt",
        )


def course_text(case: Case, quantity: str) -> str:
    """What stands on the axis of a course."""
    analyte = next((each for each in case.analytes if each.id == quantity), None)
    if analyte is not None:
        return f"{analyte.name} ({unit_text(analyte.unit)})"
    shown = next((each.label for each in case.shown if each.quantity == quantity), quantity)
    outcome = next((each for each in case.outcomes if each.course == quantity), None)
    if shown == quantity and outcome is not None and outcome.measure == "peak load":
        return f"{quantity} ({outcome.unit})" if outcome.unit else quantity
    return shown


def _measure_text(case: Case, asked: Asked) -> str:
    name = display_name(case, asked.quantity)
    outcome = next((each for each in case.outcomes if each.key == (asked.measure, asked.quantity)), None)
    product = next((each for each in case.products if each.quantity == asked.quantity), None)
    if outcome is not None:
        text = fill(outcome.label, _MEASURE_WIDTH)
        if outcome.unit and outcome.unit not in outcome.label:
            text += f"\n({unit_text(outcome.unit)})"
    elif product is not None and asked.measure == "area":
        text = f"{name} over time\n({unit_text(asked.unit)})"
    elif asked.chance:
        text = f"chance: {name}\n{asked.measure}"
    else:
        text = f"{name}, {asked.measure}\n({unit_text(asked.unit)})"
    return text + (f",\nday {asked.day:g}" if np.isfinite(asked.day) else "")


def _measure(panel: Axes, result: Sweep, place: int) -> None:
    asked, count = result.asked[place], len(result.schedules)
    at = np.arange(count, dtype=float)
    both = ((result.posterior[:, place], at - 0.1, "posterior"), (result.prior[:, place], at + 0.14, "prior"))
    for draws, rows, kind in both:
        if not draws.size:
            continue
        colour = BLUE if kind == "posterior" else PURPLE
        middle = draws.mean(axis=1) if asked.chance else np.median(draws, axis=1)
        if not asked.chance:
            low, high = np.quantile(draws, [0.05, 0.95], axis=1)
            panel.hlines(rows, low, high, color=colour, linewidth=1.2, alpha=0.8, gid=f"{kind}-interval")
        panel.plot(
            middle,
            rows,
            linestyle="none",
            marker="o",
            markersize=4.0,
            color=colour,
            markerfacecolor=colour if kind == "posterior" else "white",
            gid=kind,
        )
    panel.axvline(
        result.posterior[0, place].mean() if asked.chance else float(np.median(result.posterior[0, place])),
        color=BLACK,
        linewidth=0.7,
        linestyle=(0, (4, 2)),
        zorder=0,
    )
    for edge in np.arange(count - 1) + 0.5:
        panel.axhline(edge, color=PALE, linewidth=0.5, zorder=0)
    panel.set_ylim(count - 0.5, -0.5)
    panel.set_yticks(at, list(result.schedules))
    values = np.concatenate([result.posterior[:, place].ravel(), result.prior[:, place].ravel()])
    wide = values.min() > 0 and values.max() / values.min() > 30 and not asked.chance
    if wide:
        panel.set_xscale("log")  # so that the limits are those of a log axis
        log_axis(panel, *panel.get_xlim(), most=3)
    elif asked.chance:
        panel.set_xlim(-0.04, 1.04)
        panel.set_xticks([0.0, 0.5, 1.0])
    else:
        panel.locator_params(axis="x", nbins=3, min_n_ticks=3)
    dress(panel, x=_measure_text(result.case, asked))


def _nought(result: Sweep, place: int) -> bool:
    return result.asked[place].chance and bool((result.posterior[:, place].mean(axis=-1) < _NOUGHT).all())


def _nought_text(result: Sweep, place: int) -> str:
    text = " ".join(_measure_text(result.case, result.asked[place]).split())
    before = result.prior[:, place].mean(axis=-1) if result.prior.size else np.empty(0)
    prior = f" (prior: up to {before.max():.2g})" if before.size and before.max() >= _NOUGHT else ""
    return f"{text}: below {_NOUGHT:g} under every schedule{prior}"


def _keys(axes: AxesArray, result: Sweep, *, own: bool) -> None:
    from matplotlib.lines import Line2D

    first = next(iter(result.schedules))
    used = list(dict.fromkeys(each.product for plan in result.schedules.values() for each in plan.infusions))
    sources = {each.name: f"{each.name} ({each.source})" for each in result.case.products if each.source}
    every = [each for plan in result.schedules.values() for each in plan.infusions]
    keys = [
        Line2D(
            [], [], color=BLUE, marker="o", markersize=4, linewidth=1.2, label="posterior (band, bar: 90 %)"
        ),
        Line2D(
            [],
            [],
            color=PURPLE,
            marker="o",
            markersize=4,
            markerfacecolor="white",
            linewidth=1.2,
            label="prior",
        ),
        Line2D([], [], color=BLACK, linewidth=0.8, linestyle=(0, (4, 2)), label=first),
        *(
            Line2D(
                [],
                [],
                color=colour_of(name, result.case.products),
                marker="|",
                linestyle="none",
                label=f"{sources.get(name, name)} "
                + dose_noun([each for each in every if each.product == name], result.case.products),
            )
            for name in used
        ),
    ]
    legend(axes, keys, own=own)


@as_typed
def contrast(
    sweeps: Mapping[str, Sweep],
    first: str,
    second: str,
    measures: Sequence[tuple[str, str]] | None = None,
    ax: Any = None,
    **marker: Any,
) -> AxesArray:
    """One schedule against another under several variants, the prior's answer beside the posterior's.

    Parameters
    ----------
    sweeps : mapping of str to Sweep
        By name of the variant; each holds both schedules.
    first, second : str
        Names of schedules; what is shown is first minus second, draw by draw.
    measures : sequence of (measure, quantity), optional
        As in ``result.table()``; the usual ones by default. Chances are left out.
    ax : array of Axes, optional
        One for each measure.
    **marker
        To every ``plot``.

    Returns
    -------
    array of Axes

    Raises
    ------
    CellsimError
        If there are no sweeps, or one has not got what is asked.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> case = cs.load_case("sjogren_rfib")
    >>> fitted = cs.calibrate(case, starts=1)
    >>> both = {"given": case.schedule, "allogeneic": case.schedule.as_product("ucmsc")}
    >>> result = cs.sweep(fitted, both, until=365, draws=20)
    >>> axes = plots.contrast({"V2": result}, "given", "allogeneic")
    >>> " ".join(axes[0].get_xlabel().split()[:5])
    'difference in days with the'
    """
    if not isinstance(sweeps, Mapping) or not sweeps:
        raise CellsimError("contrast takes sweeps by the name of their variant, like {'null': result}.")
    one = next(iter(sweeps.values()))
    chosen = (
        [
            (one.asked[k].measure, one.asked[k].quantity)
            for k in default_measures_shown(one)
            if not one.asked[k].chance
        ]
        if measures is None
        else list(measures)
    )
    own = ax is None
    height = 0.27 * len(sweeps) + 0.75
    axes = panels(
        len(chosen), ax, columns=len(chosen), width=min(7.2, 3.6 * len(chosen)), height=height, sharey=True
    )
    at = np.arange(len(sweeps), dtype=float)
    for panel, wanted in zip(axes, chosen, strict=True):
        for row, result in zip(at, sweeps.values(), strict=True):
            place = _place(result, wanted)
            i, j = (_row(result, name) for name in (first, second))
            for draws, shift, colour, inside, kind in (
                (result.posterior, -0.13, BLUE, BLUE, "posterior"),
                (result.prior, 0.16, PURPLE, "white", "prior"),
            ):
                apart = draws[i, place] - draws[j, place]
                if not apart.size:
                    continue
                low, middle, high = np.quantile(apart, [0.05, 0.5, 0.95])
                panel.hlines(row + shift, low, high, color=colour, linewidth=1.2, gid=f"{kind}-interval")
                style = {
                    "marker": "o",
                    "markersize": 4.0,
                    "color": colour,
                    "markerfacecolor": inside,
                    **marker,
                }
                panel.plot([middle], [row + shift], linestyle="none", gid=kind, **style)
        panel.axvline(0, color=BLACK, linewidth=0.7, zorder=0)
        panel.set_ylim(len(sweeps) - 0.5, -0.5)
        panel.set_yticks(at, list(sweeps))
        panel.locator_params(axis="x", nbins=4, min_n_ticks=3)
        dress(panel, x="difference in\n" + _measure_text(one.case, one.asked[_place(one, wanted)]))
    from matplotlib.lines import Line2D

    keys = [
        Line2D(
            [], [], color=BLUE, marker="o", markersize=4, linewidth=1.2, label=f"“{first}” minus “{second}”"
        ),
        Line2D(
            [],
            [],
            color=PURPLE,
            marker="o",
            markersize=4,
            markerfacecolor="white",
            linewidth=1.2,
            label="prior",
        ),
    ]
    legend(axes, keys, own=own)
    by_kind: dict[str, dict[str, Approximation]] = {}
    for name, result in sweeps.items():
        by_kind.setdefault(result.approximation.kind, {})[name] = result.approximation
    # a doubt of one variant alone needs no name before it
    notes = [
        (together(each) if len(each) > 1 else next(iter(each.values()))).words for each in by_kind.values()
    ]
    if len(notes) > 1:
        notes = [f"{', '.join(names)}: {note}" for names, note in zip(by_kind.values(), notes, strict=True)]
    label(axes[0].figure, own=own, case=one.case, rests_on=notes)
    return axes


def _row(result: Sweep, name: str) -> int:
    names = list(result.schedules)
    if name not in names:
        raise CellsimError(f"no schedule {name!r} in this sweep. {did_you_mean(name, names)}")
    return names.index(name)
