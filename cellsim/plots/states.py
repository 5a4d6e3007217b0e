"""Figures of what cannot be measured: what is left of each product, and the courses behind the laboratory's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import dose_noun
from cellsim.errors import CellsimError
from cellsim.likelihood.observations import prediction_of
from cellsim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    SMALL,
    TINY,
    as_typed,
    band,
    colour_of,
    dress,
    figure_of,
    infusions,
    label,
    legend,
    panels,
    pick,
)
from cellsim.posterior.calibration import Calibration
from cellsim.predictions.bands import Bands, bands
from cellsim.solver.trajectory import Trajectory

if TYPE_CHECKING:
    import sympy as sp
    from matplotlib.axes import Axes

    from cellsim.case.case import Case
    from cellsim.case.outcomes import ShownQuantity
    from cellsim.dosing.schedule import Product, Schedule
    from cellsim.model.model import Model
    from cellsim.plots.style import AxesArray
    from cellsim.posterior.posterior import Posterior

__all__ = ["acting", "amounts_shown", "drives", "expected_grade", "grades_shown", "persistence"]

# fewer cells than one are no cells
LEAST_CELLS = 1.0


def amounts_shown(case: Case, model: Model, products: Sequence[Product]) -> list[ShownQuantity]:
    """What a case shows of how much there is of its products, as far as the model has it."""
    names = {each.name for each in products}
    return [
        each
        for each in case.shown
        if each.figure == "amount" and each.quantity in model and (not each.product or each.product in names)
    ]


def _wrapped(text: str) -> str:
    """What stands on an axis, its bracket on a line of its own."""
    return text.replace(" (", "\n(", 1)


def _cells(model: Model, name: str) -> float:
    from cellsim.dosing.delivery import cells_per_unit

    return cells_per_unit(model[name].unit, dict(model.units)) or 1.0


@as_typed
def persistence(
    source: Calibration | Trajectory,
    ax: Any = None,
    *,
    days: tuple[float, float] | None = None,
    draws: int = 200,
    seed: int = 0,
    among: Bands | None = None,
    posterior: Posterior | None = None,
    case: Case | None = None,
    **line: Any,
) -> AxesArray:
    """How much there is of each product, over the whole timeline: what the case's ``quantities.tsv`` shows of amounts.

    Parameters
    ----------
    source : Calibration or Trajectory
        A calibration gives medians with 50 and 90 % bands over its Laplace posterior, a trajectory one line.
    ax : Axes or array of Axes, optional
        One for each panel: quantities of one label share theirs.
    days : (float, float), optional
        First and last day; all by default.
    draws, seed : int
        Of the bands.
    among : Bands, optional
        Bands of the quantities computed before; then `draws` and `seed` are those.
    posterior : Posterior, optional
        Draws of the same variant, to take the bands from instead of the Laplace posterior.
    case : Case, optional
        Whose quantities and products are shown, for a trajectory.
    **line
        To the lines.

    Returns
    -------
    array of Axes
        Cells on a log axis from one cell on; other amounts, and what belongs to no product, as they are.

    Raises
    ------
    CellsimError
        If the case shows no amount that the model has.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> case, model = cs.load_case("sjogren_rfib"), cs.load_model("sjogren_rfib")
    >>> seen = cs.simulate(model, case.timeline, range(-931, 401), start=-931)
    >>> [each.get_ylabel() for each in plots.persistence(seen, case=case)]
    ['viable cells', 'dying cells', 'alloimmune effectors\\n(share of maximum)']
    """
    timeline: Schedule
    if isinstance(source, Calibration):
        case, model, timeline, products = (
            source.case,
            source.model,
            source.case.timeline,
            source.case.products,
        )
        start, end = days or (case.start, _last_day(case))
    else:
        model, timeline, products = source.model, source.schedule, source.schedule.products
        start, end = days or (float(source.times[0]), source.end)
    if case is None:
        raise CellsimError("a trajectory knows no case: say whose quantities are shown, case=...")
    shown = amounts_shown(case, model, products)
    if not shown:
        raise CellsimError(
            f"{case.name} shows no amount of {', '.join(each.name for each in products) or 'any product'}; write rows of "
            "the figure 'amount' into quantities.tsv."
        )
    asked = {each.quantity: (each.label, each.product) for each in shown}
    units = {each.name: each.unit for each in products}
    names = list(dict.fromkeys(panel for panel, _ in asked.values()))
    axes = panels(len(names), ax, columns=1, height=1.5, sharex=True)
    rests_on = []
    if isinstance(source, Calibration):
        seen = among or bands(posterior or source, list(asked), start=start, end=end, draws=draws, seed=seed)
        curves = {name: seen.curve(name) for name in asked}
        times, rests_on = seen.times, [seen.approximation.words]
    else:
        inside = (source.times >= start) & (source.times <= end)
        times = source.times[inside]
        curves = {name: source[name][inside][None, :] for name in asked}
    for name, (title, product) in asked.items():
        panel = axes[names.index(title)]
        counted = units.get(product) == "cells"
        colour = colour_of(product, products) if product else GREEN
        values = (
            np.maximum(curves[name] * _cells(model, name), LEAST_CELLS * 1e-3) if counted else curves[name]
        )
        words = next((each.label or each.name for each in products if each.name == product), "")
        if len(values) == 1:
            panel.plot(
                times, values[0], **{"color": colour, "linewidth": 1.1, "label": words, "gid": name, **line}
            )
        else:
            band(panel, times, values, colour, name=words, **{"gid": name, **line})
    for title, panel in zip(names, axes, strict=True):
        panel.set_xlim(start, end)
        dress(panel, y=_wrapped(title))
        if any(units.get(product) == "cells" for panel_of, product in asked.values() if panel_of == title):
            panel.set_yscale("log")
            panel.set_ylim(LEAST_CELLS, max(panel.get_ylim()[1], 10 * LEAST_CELLS))
        else:
            panel.set_ylim(0, max(panel.get_ylim()[1], 0.05))
        infusions(panel, timeline, products)
    _days(axes, timeline)
    _source_legend(axes, products, timeline, own=ax is None, lines=isinstance(source, Calibration))
    label(figure_of(axes), own=ax is None, case=case, rests_on=rests_on)
    return axes


def _days(axes: AxesArray, timeline: Schedule) -> None:
    first = "" if timeline.day_zero is None else f" (day 0 is {timeline.day_zero})"
    axes[-1].set_xlabel(f"day{first}", fontsize=SMALL, labelpad=2)


def _source_legend(
    axes: AxesArray, products: Sequence[Product], timeline: Schedule, *, own: bool, lines: bool
) -> None:
    from matplotlib.lines import Line2D

    given = list(dict.fromkeys(each.product for each in timeline.infusions))
    label = {each.name: f"{each.name}, {each.source}" if each.source else each.name for each in products}
    keys = [
        Line2D([], [], color=colour_of(name, products), linewidth=1.3, label=label.get(name, name))
        for name in given
    ]
    noun = dose_noun(timeline.infusions, products)
    keys.append(Line2D([], [], color=GREY, marker="|", linestyle="none", label=noun))
    if lines:
        keys.append(Line2D([], [], color=GREY, linewidth=5, alpha=0.4, label="50 and 90 % of draws"))
    legend(axes, keys, own=own)


@as_typed
def drives(
    fit: Calibration,
    quantities: Sequence[str] | None = None,
    ax: Any = None,
    *,
    days: tuple[float, float] | None = None,
    draws: int = 200,
    seed: int = 0,
    among: Bands | None = None,
    posterior: Posterior | None = None,
    **line: Any,
) -> AxesArray:
    """Latent courses over the timeline, and graded findings beside the grade the model expects.

    A graded finding is a box over the grades its words allow and the days it may have been seen on; hollow when
    it is not scored. The curve beside it is the expected grade: the sum over the cut-points of the chance to be
    above them.

    Parameters
    ----------
    fit : Calibration
    quantities : sequence of str, optional
        States, assignments, or analytes by their id. By default those that the case's
        ``quantities.tsv`` shows as courses and this variant does not switch off.
    ax : Axes or array of Axes, optional
        One for each quantity, and one more for each graded finding that is scored.
    days : (float, float), optional
        First and last day; all by default.
    draws, seed : int
        Of the bands.
    among : Bands, optional
        As :func:`drive_formulas` names them, computed before.
    posterior : Posterior, optional
        Draws of the same variant, to take the bands from instead of the Laplace posterior.
    **line
        To the medians' lines.

    Returns
    -------
    array of Axes

    Raises
    ------
    CellsimError
        For unknown quantities, too few Axes, or when no draw can be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> len(plots.drives(fitted, draws=20))
    4
    """
    case, model = fit.case, fit.model
    known = [*(each.name for each in model.states), *(each.name for each in model.assignments)]
    known += [each.id for each in case.analytes if each.id not in known]
    chosen = pick(quantities, known, "quantity") if quantities is not None else acting(fit)
    graded = grades_shown(case)
    if not chosen and not graded:
        raise CellsimError(f"{case.name} shows no courses in quantities.tsv; name the quantities to draw.")
    start, end = days or (case.start, _last_day(case))
    wanted = drive_formulas(fit, chosen)
    seen = among or bands(posterior or fit, wanted, start=start, end=end, draws=draws, seed=seed)
    axes = panels(len(chosen) + len(graded), ax, columns=1, height=1.25, sharex=True)
    words = {each.quantity: _wrapped(each.label) for each in case.shown if each.figure == "course"}
    # a box of the last finding is whole
    room = (start - 0.01 * (end - start), end + 0.01 * (end - start))
    for panel, name in zip(axes, chosen, strict=False):
        band(panel, seen.times, seen.curve(name), BLUE, **{"gid": name, **line})
        dress(panel, y=words.get(name, name))
        panel.set_ylim(0, None)
        panel.set_xlim(*room)
    for panel, finding in zip(axes[len(chosen) :], graded, strict=False):
        _grades(panel, case, finding)
        name = _expected_name(finding)
        band(panel, seen.times, seen.curve(name), BLUE, **{"gid": name, **line})
        panel.set_xlim(*room)
    for panel in axes:
        infusions(panel, case.timeline, case.products)
    _days(axes, case.timeline)
    _drive_legend(axes, case, graded=bool(graded), own=ax is None)
    label(figure_of(axes), own=ax is None, case=case, rests_on=[seen.approximation.words])
    return axes


def drive_formulas(fit: Calibration, chosen: Sequence[str] | None = None) -> dict[str, sp.Expr]:
    """What :func:`drives` draws, as :func:`cellsim.predictions.bands.bands` takes it."""
    import sympy as sp

    names = acting(fit) if chosen is None else chosen
    grades = {_expected_name(each): expected_grade(fit.case, each) for each in grades_shown(fit.case)}
    analytes = {each.id: each for each in fit.case.analytes}
    return {
        **{name: sp.Symbol(name) if name in fit.model else prediction_of(analytes[name]) for name in names},
        **grades,
    }


def acting(fit: Calibration) -> list[str]:
    """Quantities that the case shows as courses and whose switch, where they have one, this variant does not hold at zero."""
    values = fit.objective.fixed
    return [
        each.quantity
        for each in fit.case.shown
        if each.figure == "course"
        and each.quantity in fit.model
        and (not each.switch or values.get(each.switch, 1.0) != 0)
    ]


def _last_day(case: Case) -> float:
    days = [visit.latest for visit in case.visits] + [each.latest for each in case.grades if each.scored]
    return max([*days, *(each.end for each in case.timeline.infusions)])


def grades_shown(case: Case) -> list[str]:
    """Graded findings that are scored."""
    return list(dict.fromkeys(each.observable for each in case.grades if each.scored))


def _expected_name(finding: str) -> str:
    return f"expected grade of {finding}"


def expected_grade(case: Case, finding: str) -> sp.Expr:
    """Sum over the cut-points of the chance that a graded finding lies above, as the likelihood has it."""
    import sympy as sp

    from cellsim.model.formulas import parse_formula

    about = next(each for each in case.grades if each.observable == finding and each.scored)
    level, scale = sp.log(sp.Symbol(about.quantity)), parse_formula(about.scale)
    return sp.Add(*(1 / (1 + sp.exp((parse_formula(cut) - level) / scale)) for cut in about.cuts))


def _grades(panel: Axes, case: Case, finding: str) -> None:
    from matplotlib.patches import Rectangle

    half, highest = 0.12, 1
    for each in case.grades:
        if each.observable != finding:
            continue
        highest = max(highest, len(each.cuts))
        middle, least = (each.earliest + each.latest) / 2, 6.0
        width = max(each.latest - each.earliest, least)
        box = Rectangle(
            (middle - width / 2, each.lower - half),
            width,
            each.upper - each.lower + 2 * half,
            facecolor=GREY if each.scored else "none",
            alpha=0.6,
            edgecolor=BLACK,
            linewidth=0.6,
            zorder=1,
            gid="grade",
        )
        panel.add_patch(box)
    panel.set_ylim(-0.3, highest + 0.3)
    panel.set_yticks(range(highest + 1))
    dress(panel, y=f"{finding}\n(grade, 0 to {highest})")


def _drive_legend(axes: AxesArray, case: Case, *, graded: bool, own: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys: list[Any] = [
        Line2D([], [], color=GREY, linewidth=5, alpha=0.4, label="median, 50 and 90 % of draws")
    ]
    if graded:
        keys.append(Patch(facecolor=GREY, alpha=0.6, label="graded finding: grades and days its words allow"))
    keys += [
        Line2D(
            [],
            [],
            color=colour_of(name, case.products),
            marker="|",
            linestyle="none",
            label=f"{name} {dose_noun([each for each in case.timeline if each.product == name], case.products)}",
        )
        for name in dict.fromkeys(each.product for each in case.timeline.infusions)
    ]
    legend(axes, keys, own=own)
    for each in axes:
        each.yaxis.label.set_fontsize(TINY)
