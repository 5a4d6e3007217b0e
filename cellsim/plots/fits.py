"""Figures that hold the model against the laboratory's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.infusions import dose_noun
from cellsim.errors import CellsimError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.observations import prediction_of
from cellsim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SMALL,
    TINY,
    as_typed,
    band,
    display_name,
    dress,
    figure_of,
    infusions,
    label,
    legend,
    panels,
    pick,
    reference,
    scale,
    unit_text,
)
from cellsim.posterior.calibration import Calibration
from cellsim.predictions.bands import Bands, bands, read_at

if TYPE_CHECKING:
    import sympy as sp
    from matplotlib.axes import Axes

    from cellsim.case.case import Case
    from cellsim.case.records import Analyte
    from cellsim.likelihood.observations import Term
    from cellsim.plots.style import AxesArray
    from cellsim.posterior.posterior import Posterior

__all__ = ["fit", "prior_predictive", "residuals"]

# of the days between the visits, shown on either side of them
_MARGIN = 0.035
VISIT_COLOURS = (BLACK, ORANGE, BLUE, PURPLE, GREEN)
VISIT_MARKERS = ("o", "s", "D", "^", "v")


def _span(case: Case, days: tuple[float, float] | None) -> tuple[float, float]:
    """The days shown: as asked, or those on which samples may have been taken, with a margin."""
    if days is not None:
        return float(days[0]), float(days[1])
    first = min((visit.earliest for visit in case.visits), default=case.start)
    last = max((visit.latest for visit in case.visits), default=case.start)
    margin = max(_MARGIN * (last - first), 1.0)
    return max(case.start, first - margin), last + margin


def _predicted(chosen: Sequence[Analyte]) -> dict[str, sp.Expr]:
    """What predicts each analyte, under the name of its quantity, or under its own where it has none."""
    return {each.quantity or each.id: prediction_of(each) for each in chosen}


def _terms(objective: Objective, analyte: str) -> list[tuple[int, Term]]:
    return [(k, term) for k, term in enumerate(objective.terms) if term.analyte == analyte and term.visit]


def _beyond(term: Term, factor: float, sd: float) -> float:
    """A place on the side of its limit on which a censored value lies: so many times, or half as many spreads, away."""
    if not term.logged:
        return term.measured + (1 if term.above else -1) * sd * factor / 2
    return term.measured * factor if term.above else term.measured / factor


def _spread(term: Term, value: float, sd: float) -> tuple[float, float]:
    """Where 95 % of samples lie around `value` by the row's own spread."""
    if term.logged:
        return value * float(np.exp(-1.96 * sd)), value * float(np.exp(1.96 * sd))
    return value - 1.96 * sd, value + 1.96 * sd


@as_typed
def fit(
    fit: Calibration,
    analytes: Sequence[str] | None = None,
    ax: Any = None,
    *,
    days: tuple[float, float] | None = None,
    draws: int = 200,
    seed: int = 0,
    among: Bands | None = None,
    posterior: Posterior | None = None,
    **line: Any,
) -> AxesArray:
    """Printed values beside what the model says, one panel an analyte.

    A filled marker is the printed value on the fitted day of its visit; the horizontal bar spans the days the
    sample may have been taken on. A hollow marker, where it differs, is what the curve should meet: the value
    with the fitted sample effect taken out (and, for a share of a printed gate, with the gate's own misfit
    taken out); its vertical bar holds 95 % of such samples by the analyte's own spread. An arrow points down
    from a limit of detection. The curve is the model's median with 50 and 90 % bands over draws from the
    Laplace posterior, without sample effect or noise; the grey band is the reference range; ticks are
    doses.

    Parameters
    ----------
    fit : Calibration
    analytes : sequence of str, optional
        All by default.
    ax : Axes or array of Axes, optional
        One for each analyte.
    days : (float, float), optional
        First and last day; those of the visits' windows by default, with a margin.
    draws, seed : int
        Of the bands.
    among : Bands, optional
        Bands of the analytes' quantities computed before; then `days`, `draws` and `seed` are those.
    posterior : Posterior, optional
        Draws of the same variant, to take the bands from instead of the Laplace posterior.
    **line
        To the median's line.

    Returns
    -------
    array of Axes
        In the order of the analytes. Values are in each analyte's unit, on a log axis where they span more
        than a factor of four.

    Raises
    ------
    CellsimError
        For unknown analytes, too few Axes, or when no draw can be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> axes = plots.fit(fitted, ["IL6", "ESR"], draws=20)
    >>> [each.get_ylabel() for each in axes]
    ['pg/mL', 'mm/h']
    """
    case, objective = fit.case, fit.objective
    chosen = [
        case.analyte(name)
        for name in pick(analytes, [each.id for each in case.analytes if each.foreseeable], "analyte")
    ]
    start, end = _span(case, days)
    seen = among or bands(posterior or fit, _predicted(chosen), start=start, end=end, draws=draws, seed=seed)
    start, end = float(seen.times[0]), float(seen.times[-1])
    axes = panels(len(chosen), ax, columns=4)
    occasions, predicted = objective.days(fit.theta), fit.rows()["predicted"].to_numpy()
    visits, values = {visit.id: visit for visit in case.visits}, objective.values(fit.theta)
    reads = read_at(fit, _predicted(chosen), objective.read_at(occasions).tolist()) if len(occasions) else {}
    for panel, about in zip(axes, chosen, strict=True):
        curve = seen.curve(about.quantity or about.id)
        band(panel, seen.times, curve, BLUE, **line)
        shown = [curve[[0, 4]]]
        for k, term in _terms(objective, about.id):
            day, without = occasions[term.occasion], float(reads[about.quantity or about.id][term.occasion])
            window, sd = visits[term.visit], term.spread(values)
            if term.part == "censored":
                panel.plot([day], [term.measured], marker="_", markersize=7, color=BLACK, gid="censored")
                panel.annotate(
                    "",
                    (day, _beyond(term, 1.6, sd)),
                    (day, term.measured),
                    arrowprops={
                        "arrowstyle": "->",
                        "color": BLACK,
                        "linewidth": 0.9,
                        "shrinkA": 0,
                        "shrinkB": 0,
                    },
                )
                shown.append(np.array(sorted((_beyond(term, 1.7, sd), term.measured))))
            else:
                adjusted = (
                    term.measured * without / predicted[k]
                    if term.logged
                    else term.measured + without - predicted[k]
                )
                low, high = _spread(term, adjusted, sd)
                panel.vlines(day, low, high, color=BLACK, linewidth=0.7, zorder=4)
                if not np.isclose(adjusted, term.measured, rtol=1e-6):
                    panel.plot(
                        [day],
                        [adjusted],
                        "o",
                        markersize=4.2,
                        color=BLACK,
                        markerfacecolor="white",
                        markeredgewidth=0.9,
                        zorder=5,
                        gid="adjusted",
                    )
                panel.plot([day], [term.measured], "o", markersize=3.2, color=BLACK, zorder=6, gid="printed")
                shown.append(np.array([low, high, term.measured]))
            panel.hlines(
                term.measured,
                window.earliest,
                window.latest,
                color=GREY,
                linewidth=0.8,
                zorder=3,
                gid="window",
            )
        panel.set_xlim(start, end)
        scale(panel, shown)
        reference(panel, about.lower, about.upper)
        infusions(panel, case.timeline, case.products)
        dress(panel, title=about.name, y=unit_text(about.unit))
    _days_below(axes, own=ax is None)
    legend(axes, _keys(case, start, end), own=ax is None)
    label(figure_of(axes), own=ax is None, case=case, rests_on=[seen.approximation.words])
    return axes


def _days_below(axes: AxesArray, *, own: bool, text: str = "day") -> None:
    """The time axis is named under the lowest panel of each column; under every one in a figure not ours."""
    for k, each in enumerate(axes):
        place = each.get_subplotspec()
        columns = place.get_gridspec().ncols if own and place is not None else 1
        lowest = k + columns >= len(axes)
        if lowest or not own:
            each.set_xlabel(text, fontsize=TINY, labelpad=2)


def _keys(case: Case, start: float, end: float) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from cellsim.plots.style import colour_of

    given = list(dict.fromkeys(each.product for each in case.timeline.infusions if start <= each.day <= end))
    return [
        Line2D([], [], color=BLACK, marker="o", markersize=3.2, linestyle="none", label="printed value"),
        Line2D(
            [],
            [],
            color=BLACK,
            marker="o",
            markersize=4.2,
            markerfacecolor="white",
            linestyle="none",
            label="the same, comparable to the curve",
        ),
        Line2D([], [], color=BLACK, marker="|", markersize=7, linestyle="none", label="95 % of such samples"),
        Line2D([], [], color=GREY, linewidth=0.8, label="possible days"),
        Line2D([], [], color=BLUE, linewidth=1.1, label="model: median, 50 and 90 %"),
        Patch(color=PALE, alpha=0.6, linewidth=0, label="reference range"),
        *(
            Line2D(
                [],
                [],
                color=colour_of(name, case.products),
                marker="|",
                linestyle="none",
                label=f"{name} {dose_noun([each for each in case.timeline if each.product == name], case.products)}",
            )
            for name in given
        ),
    ]


@as_typed
def prior_predictive(
    source: Case | Objective,
    analytes: Sequence[str] | None = None,
    ax: Any = None,
    *,
    variant: str | None = None,
    days: tuple[float, float] | None = None,
    draws: int = 200,
    seed: int = 0,
    among: Bands | None = None,
    **line: Any,
) -> AxesArray:
    """What the priors alone expect of every analyte, beside reference range and printed values.

    A prior that looks like a patient covers the printed values without forbidding others. Markers stand on the
    nominal days; the sample effect and the noise are not in the bands.

    Parameters
    ----------
    source : Case or Objective
    analytes : sequence of str, optional
        All by default.
    ax : Axes or array of Axes, optional
        One for each analyte.
    variant : str, optional
        For a case; its default variant otherwise.
    days : (float, float), optional
        First and last day; those of the visits' windows by default, with a margin.
    draws, seed : int
        Of the bands.
    among : Bands, optional
        Prior bands computed before.
    **line
        To the median's line.

    Returns
    -------
    array of Axes
        In the order of the analytes, values in their units.

    Raises
    ------
    CellsimError
        For unknown analytes, too few Axes, posterior bands, or when no draw can be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> plots.prior_predictive(cs.load_case("sjogren_rfib"), ["ESR"], draws=20)[0].get_ylabel()
    'mm/h'
    """
    objective = source if isinstance(source, Objective) else objective_of(source, variant=variant)
    case = objective.case
    chosen = [
        case.analyte(name)
        for name in pick(analytes, [each.id for each in case.analytes if each.foreseeable], "analyte")
    ]
    start, end = _span(case, days)
    if among is not None and among.kind != "prior":
        raise CellsimError("these bands are the posterior's; draw them with prior=True.")
    seen = among or bands(objective, _predicted(chosen), start=start, end=end, draws=draws, seed=seed)
    axes = panels(len(chosen), ax, columns=4)
    for panel, about in zip(axes, chosen, strict=True):
        curve = seen.curve(about.quantity or about.id)
        band(panel, seen.times, curve, PURPLE, **line)
        shown = [curve[[0, 4]]]
        for _, term in _terms(objective, about.id):
            marker = ("^" if term.above else "v") if term.part == "censored" else "o"
            panel.plot(
                [term.day], [term.measured], marker, markersize=3.2, color=BLACK, zorder=5, gid="printed"
            )
            shown.append(np.array([term.measured]))
        panel.set_xlim(seen.times[0], seen.times[-1])
        scale(panel, shown)
        reference(panel, about.lower, about.upper)
        dress(panel, title=about.name, y=unit_text(about.unit))
    _days_below(axes, own=ax is None)
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys = [
        Line2D(
            [],
            [],
            color=BLACK,
            marker="o",
            markersize=3.2,
            linestyle="none",
            label="printed value, nominal day",
        ),
        Line2D([], [], color=PURPLE, linewidth=1.1, label="prior: median, 50 and 90 %"),
        Patch(color=PALE, alpha=0.6, linewidth=0, label="reference range"),
    ]
    legend(axes, keys, own=ax is None)
    label(figure_of(axes), own=ax is None, case=case, rests_on=[seen.approximation.words])
    return axes


@as_typed
def residuals(fit: Calibration, ax: Axes | None = None, **marker: Any) -> Axes:
    """How many sigmas apart printed and predicted are, by analyte and visit.

    Observed minus predicted: positive where the printed value is above the model's. For a censored value or a grade it is the
    square root of twice the log-likelihood lost, which has no sign of its own.

    Parameters
    ----------
    fit : Calibration
    ax : Axes, optional
    **marker
        To every ``plot``.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> plots.residuals(fitted).get_xlabel()
    'observed minus predicted (sigmas)'
    """
    rows, case = fit.rows(), fit.case
    names = list(dict.fromkeys(rows["analyte"]))
    own = ax is None
    [panel] = panels(1, ax, columns=1, width=4.6, height=0.155 * len(names) + 0.6)
    visits = [visit.id for visit in case.visits if (rows["visit"] == visit.id).any()]
    for limit, alpha in ((2.0, 0.35), (1.0, 0.35)):
        panel.axvspan(-limit, limit, color=PALE, alpha=alpha, linewidth=0, zorder=0)
    panel.axvline(0, color=GREY, linewidth=0.6, zorder=1)
    panel.hlines(range(len(names)), -1e3, 1e3, color=PALE, linewidth=0.3, zorder=1)
    width = 0.22
    for place, visit in enumerate([*visits, ""]):
        here = rows[rows["visit"] == visit]
        if here.empty:
            continue
        across = (place - (len(visits) - 1) / 2) * width if visit else 0.0
        name = next((each.name for each in case.visits if each.id == visit), "graded finding")
        panel.plot(
            here["residual"].where(here["part"] != "standard", -here["residual"]),
            [names.index(each) + across for each in here["analyte"]],
            **{
                "linestyle": "none",
                "marker": VISIT_MARKERS[place % len(VISIT_MARKERS)],
                "markersize": 3.6,
                "color": VISIT_COLOURS[place % len(VISIT_COLOURS)],
                "markerfacecolor": "white" if not visit else VISIT_COLOURS[place % len(VISIT_COLOURS)],
                "label": name,
                "gid": visit or "graded",
                **marker,
            },
        )
    reach = max(3.0, float(np.nanmax(np.abs(rows["residual"]))) * 1.08)
    panel.set_xlim(-reach, reach)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.set_yticks(range(len(names)), [display_name(case, name) for name in names])
    dress(panel, x="observed minus predicted (sigmas)")
    panel.set_xlabel("observed minus predicted (sigmas)", fontsize=SMALL)
    handles, _ = panel.get_legend_handles_labels()
    legend([panel], handles, own=own)
    label(figure_of(panel), own=own, case=case, rests_on=[fit.with_every_doubt.words])
    return panel
