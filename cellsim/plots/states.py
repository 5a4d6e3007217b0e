"""Figures of what cannot be measured: cells in the body, and the drives behind the laboratory's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.likelihood.observations import prediction_of
from cellsim.plots.style import (
    BLACK,
    CYCLE,
    GREEN,
    GREY,
    PURPLE,
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
    from cellsim.dosing.schedule import Product, Schedule
    from cellsim.model.model import Model
    from cellsim.plots.style import AxesArray
    from cellsim.posterior.posterior import Posterior
    from cellsim.posterior.variational import VariationalApproximation

__all__ = ["DRIVES", "acting", "drives", "expected_grade", "persistence", "persistence_quantities"]

# name of the quantity, what stands on its axis
DRIVES = {
    "D": "disease drive D\n(1 at diagnosis)",
    "R": "remembered state R\n(doses)",
    "V": "viable cells V\n(doses)",
    "Z": "niche cells Z\n(doses)",
    "P": "acute pulse P\n(doses)",
}
GRADED = "purpura"
# fewer cells than one are no cells
LEAST_CELLS = 1.0


def _suffix(product: Product) -> str:
    """``auto`` of ``infusate_auto``: how the model names what belongs to a product."""
    return product.state.rpartition("_")[2]


def persistence_quantities(model: Model, products: Sequence[Product]) -> dict[str, tuple[str, str]]:
    """Viable and dying cells of each product, and effectors: quantity -> (panel, product)."""
    found: dict[str, tuple[str, str]] = {}
    for product in products:
        for stem, panel in (("viable", "viable cells"), ("A", "dying cells")):
            if (name := f"{stem}_{_suffix(product)}") in model:
                found[name] = panel, product.name
    if "E" in model and found:
        found["E"] = "alloimmune effectors", ""
    return found


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
    posterior: Posterior | VariationalApproximation | None = None,
    **line: Any,
) -> AxesArray:
    """How many infused cells live and die in the body, by product, over the whole timeline.

    Parameters
    ----------
    source : Calibration or Trajectory
        A calibration gives medians with 50 and 90 % bands over its Laplace posterior, a trajectory one line.
    ax : Axes or array of Axes, optional
        One for each panel: viable cells, dying cells and, where the model has them, effectors.
    days : (float, float), optional
        First and last day; all by default.
    draws, seed : int
        Of the bands.
    among : Bands, optional
        Bands of the quantities computed before; then `draws` and `seed` are those.
    posterior : Posterior or VariationalApproximation, optional
        Chains or variational approximation of the same variant, to take the bands from instead of the Laplace posterior.
    **line
        To the lines.

    Returns
    -------
    array of Axes
        Cells on a log axis from one cell on; effectors relative to their maximum.

    Raises
    ------
    CellsimError
        If the model has no ``viable_...`` of any product.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> case, model = cs.load_case("sjogren_rfib"), cs.load_model("sjogren_rfib")
    >>> seen = cs.simulate(model, case.timeline, range(-931, 401), start=-931)
    >>> [each.get_ylabel() for each in plots.persistence(seen)]
    ['viable (cells)', 'dying (cells)', 'alloimmune effectors\\n(share of maximum)']
    """
    timeline: Schedule
    if isinstance(source, Calibration):
        model, timeline, products = source.model, source.case.timeline, source.case.products
        start, end = days or (
            source.case.start,
            max([each.end for each in timeline.infusions] + [0.0]) + 155.0,
        )
    else:
        model, timeline, products = source.model, source.schedule, source.schedule.products
        start, end = days or (float(source.times[0]), source.end)
    asked = persistence_quantities(model, products)
    if not asked:
        raise CellsimError(
            f"{model.name} counts no viable cells of {', '.join(each.name for each in products) or 'any product'}; "
            "an assignment viable_... for each product is needed."
        )
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
        factor = _cells(model, name) if product else 1.0
        colour = colour_of(product, products) if product else GREEN
        values = np.maximum(curves[name] * factor, LEAST_CELLS * 1e-3) if product else curves[name]
        words = next((each.label or each.name for each in products if each.name == product), "")
        if len(values) == 1:
            panel.plot(
                times, values[0], **{"color": colour, "linewidth": 1.1, "label": words, "gid": name, **line}
            )
        else:
            band(panel, times, values, colour, name=words, **{"gid": name, **line})
    for title, panel in zip(names, axes, strict=True):
        panel.set_xlim(start, end)
        if title == "alloimmune effectors":
            panel.set_ylim(0, max(panel.get_ylim()[1], 0.05))
            dress(panel, y="alloimmune effectors\n(share of maximum)")
        else:
            panel.set_yscale("log")
            top = max(panel.get_ylim()[1], 10 * LEAST_CELLS)
            panel.set_ylim(LEAST_CELLS, top)
            dress(panel, y=f"{title.removesuffix(' cells')} (cells)")
        infusions(panel, timeline, products)
    _days(axes, timeline)
    _source_legend(axes, products, timeline, own=ax is None, lines=isinstance(source, Calibration))
    label(figure_of(axes), own=ax is None, rests_on=rests_on)
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
    keys.append(Line2D([], [], color=GREY, marker="|", linestyle="none", label="infusion"))
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
    posterior: Posterior | VariationalApproximation | None = None,
    **line: Any,
) -> AxesArray:
    """The latent drives over the timeline, and the grades of purpura beside the grade the model expects.

    A graded finding is a box over the grades its words allow and the days it may have been seen on; hollow when
    it is not scored. The curve beside it is the expected grade: the sum over the cut-points of the chance to be
    above them.

    Parameters
    ----------
    fit : Calibration
    quantities : sequence of str, optional
        States, assignments, or analytes by their id. By default D, what acts in this variant (R, viable or niche cells), and P.
    ax : Axes or array of Axes, optional
        One for each quantity, and one more for the grades when the case has any.
    days : (float, float), optional
        First and last day; all by default.
    draws, seed : int
        Of the bands.
    among : Bands, optional
        As :func:`drive_formulas` names them, computed before.
    posterior : Posterior or VariationalApproximation, optional
        Chains or variational approximation of the same variant, to take the bands from instead of the Laplace posterior.
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
    if not chosen:
        raise CellsimError(f"{model.name} has none of D, R and P; name the quantities to draw.")
    expected = expected_grade(fit)
    start, end = days or (case.start, _last_day(case))
    wanted = drive_formulas(fit, chosen)
    seen = among or bands(posterior or fit, wanted, start=start, end=end, draws=draws, seed=seed)
    axes = panels(len(chosen) + (expected is not None), ax, columns=1, height=1.25, sharex=True)
    for k, (panel, name) in enumerate(zip(axes, chosen, strict=False)):
        band(panel, seen.times, seen.curve(name), CYCLE[k % len(CYCLE)], **{"gid": name, **line})
        dress(panel, y=DRIVES.get(name, name))
        panel.set_ylim(0, None)
        panel.set_xlim(start - 0.01 * (end - start), end)
    if expected is not None:
        _grades(axes[-1], case)
        band(axes[-1], seen.times, seen.curve("expected grade"), PURPLE, **{"gid": "expected grade", **line})
        axes[-1].set_xlim(start - 0.01 * (end - start), end)
    for panel in axes:
        infusions(panel, case.timeline, case.products)
    _days(axes, case.timeline)
    _drive_legend(axes, case, graded=expected is not None, own=ax is None)
    label(figure_of(axes), own=ax is None, rests_on=[seen.approximation.words])
    return axes


def drive_formulas(fit: Calibration, chosen: Sequence[str] | None = None) -> dict[str, sp.Expr]:
    """What :func:`drives` draws, as :func:`cellsim.predictions.bands.bands` takes it."""
    import sympy as sp

    expected = expected_grade(fit)
    names = acting(fit) if chosen is None else chosen
    grade = {} if expected is None else {"expected grade": expected}
    analytes = {each.id: each for each in fit.case.analytes}
    return {
        **{name: sp.Symbol(name) if name in fit.model else prediction_of(analytes[name]) for name in names},
        **grade,
    }


def acting(fit: Calibration) -> list[str]:
    """D, the quantity whose switch is on in this variant, and P, as far as the model has them; none where it has none."""
    switches = {"R": "w_eff", "V": "w_live", "Z": "w_niche"}
    values = fit.objective.fixed
    on = [name for name, switch in switches.items() if values.get(switch, 0.0)] or ["R"]
    return [name for name in ("D", *on, "P") if name in fit.model]


def _last_day(case: Case) -> float:
    days = [visit.latest for visit in case.visits] + [each.latest for each in case.grades if each.scored]
    return max([*days, *(each.end for each in case.timeline.infusions)])


def expected_grade(fit: Calibration) -> sp.Expr | None:
    """Sum over the cut-points of the chance that the graded finding lies above, as the likelihood has it."""
    import sympy as sp

    quantity = next(
        (each.quantity for each in fit.case.grades if each.observable == GRADED and each.scored), ""
    )
    if not quantity:
        return None
    third, scale = sp.Symbol("purpura_cut_3"), sp.Symbol("purpura_scale")
    second = third - sp.Symbol("purpura_gap_2")
    first = second - sp.Symbol("purpura_gap_1")
    level = sp.log(sp.Symbol(quantity))
    return sp.Add(*(1 / (1 + sp.exp((cut - level) / scale)) for cut in (first, second, third)))


def _grades(panel: Axes, case: Case) -> None:
    from matplotlib.patches import Rectangle

    half = 0.12
    for each in case.grades:
        if each.observable != GRADED:
            continue
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
    panel.set_ylim(-0.3, 3.3)
    panel.set_yticks([0, 1, 2, 3])
    dress(panel, y="purpura\n(grade, 0 to 3)")


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
            label=f"{name} infusion",
        )
        for name in dict.fromkeys(each.product for each in case.timeline.infusions)
    ]
    legend(axes, keys, own=own)
    for each in axes:
        each.yaxis.label.set_fontsize(TINY)
