"""Figures of competing mechanisms: their evidence, their fit, and what they predict of what they were not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.comparison.verdicts import off_of
from cellsim.errors import CellsimError
from cellsim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL,
    TINY,
    VERMILLION,
    AxesArray,
    as_typed,
    dress,
    figure_of,
    label,
    legend,
    panels,
)
from cellsim.posterior.approximation import together
from cellsim.results import number
from cellsim.sweeps.agreement import SEPARATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.conclusions import Conclusion
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.posterior.calibration import Calibration

__all__ = ["evidence", "robustness", "variants"]

PART_STYLES = {"standard": ("o", BLUE), "graded": ("s", PURPLE), "censored": ("^", ORANGE)}
_LEFT_OUT = {"analyte": (-0.13, "o", BLUE, "analytes"), "visit": (0.13, "D", GREEN, "visits")}


@as_typed
def evidence(comparison: Comparison, ax: Any = None) -> AxesArray:
    """Variants of a case held against each other: evidence, what they predict, stacking.

    Parameters
    ----------
    comparison : Comparison
        From :func:`cellsim.compare`.
    ax : array of Axes, optional
        One; three when analytes and visits were left out.

    Returns
    -------
    AxesArray
        The greatest evidence on top, variants under which the treatment does nothing as squares. First natural log evidence
        less the best by draws: hollow by Laplace, filled with its standard error by draws; within the dark band a ratio of evidences is below 20, within the pale one
        nothing is decided, as evidences may be off. Then
        log predictive densities of left-out analytes and visits, less the best, and their stacking weights.

    Raises
    ------
    CellsimError
        If too few Axes are given.
    """
    names, fits = list(comparison.order), comparison.fits
    own, many = ax is None, 3 if comparison.left else 1
    width = 7.2 if many == 3 else 5.2
    height = 0.26 * len(names) + 0.75
    axes = panels(many, ax, columns=many, width=width, height=height, sharey=True)
    at = np.arange(len(names))
    _evidences(axes[0], comparison, names)
    if many == 3:
        table = comparison.table().set_index("variant").loc[names]
        for by, (off, shape, colour, plural) in _LEFT_OUT.items():
            elpd = np.array(
                [
                    sum(each.elpd for each in comparison.left.get(name, ()) if each.by == by) or np.nan
                    for name in names
                ]
            )
            axes[1].plot(
                elpd - np.nanmax(elpd), at + off, shape, color=colour, markersize=4.2, gid=f"elpd-{by}"
            )
            axes[2].barh(at + off, table[f"weight_{plural}"], height=0.24, color=colour, gid=f"weight-{by}")
        axes[2].set_xlim(0, 1)
    titles = (
        "ln evidence, less the best",
        "ln predicted, less the best",
        "stacking weight",
    )
    for panel, text in zip(axes, titles, strict=False):
        panel.axvline(0, color=GREY, linewidth=0.6, zorder=1)
        panel.hlines(at, *panel.get_xlim(), color=PALE, linewidth=0.3, zorder=0)
        dress(panel, x=text)
    axes[0].set_yticks(at, [_name(name, fits[name]) for name in names])
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    legend(axes, _keys(comparison), own=own)
    label(
        figure_of(axes),
        own=own,
        case=next(iter(fits.values())).case,
        rests_on=[comparison.approximation.words],
    )
    return axes


def _evidences(panel: Any, comparison: Comparison, names: Sequence[str]) -> None:
    by_laplace = np.array([comparison.fits[name].log_evidence for name in names])
    best = max(comparison.evidences.values())
    panel.axvspan(-SEPARATES - off_of(comparison), 0, color=PALE, alpha=0.3, linewidth=0, zorder=0)
    panel.axvspan(-SEPARATES, 0, color=PALE, alpha=0.6, linewidth=0, zorder=0)
    for k, name in enumerate(names):
        shape = "s" if name in comparison.roles.nulls else "o"
        panel.plot(
            [by_laplace[k] - best],
            [k],
            shape,
            color=BLACK,
            markerfacecolor="white",
            markersize=5,
            gid="laplace",
        )
        known = comparison.known[name]
        panel.errorbar(
            [known.log_evidence - best],
            [k],
            xerr=[known.error],
            fmt=shape,
            color=BLUE,
            markersize=4.5,
            linewidth=1.2,
            zorder=4,
            gid="evidence",
        )
    panel.margins(x=0.06)


def _keys(comparison: Comparison) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    style: dict[str, Any] = {"linestyle": "none", "color": BLACK, "markersize": 4.5}
    keys: list[Any] = [Line2D([], [], marker="o", markerfacecolor="white", label="Laplace", **style)]
    keys.append(Line2D([], [], marker="o", label=comparison.by, **{**style, "color": BLUE}))
    if comparison.roles.nulls:
        keys.append(
            Line2D([], [], marker="s", markerfacecolor="white", label="the treatment does nothing", **style)
        )
    if comparison.left:
        keys += [
            Line2D([], [], marker=shape, label=f"{plural} left out", **{**style, "color": colour})
            for _, shape, colour, plural in _LEFT_OUT.values()
        ]
    keys += [
        Patch(color=PALE, alpha=0.8, label="ratio below 20"),
        Patch(color=PALE, alpha=0.3, label="too near to tell"),
    ]
    return keys


@as_typed
def variants(
    fits: Mapping[str, Calibration] | Sequence[Calibration], ax: Any = None, **marker: Any
) -> AxesArray:
    """How well competing mechanisms explain the same data.

    Left: natural log evidence (Laplace) less that of the best variant; within the grey band a ratio of evidences
    is below 20 and says little. Right: log likelihood of each part at the optimum, less the best variant's for
    that part: it rewards freedom, the evidence does not.

    Parameters
    ----------
    fits : mapping or sequence of Calibration
        Of the same case; a mapping's keys are the names shown.
    ax : array of two Axes, optional
    **marker
        To every ``plot``.

    Returns
    -------
    array of two Axes

    Raises
    ------
    CellsimError
        If there are none, or they score different rows.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> plots.variants([fitted])[0].get_xlabel()
    'ln evidence, less the best'
    """
    if not isinstance(fits, Mapping | Sequence):
        raise CellsimError("variants takes calibrations, as a list or by name, like {'null': fit}.")
    named = dict(fits) if isinstance(fits, Mapping) else {each.variant: each for each in fits}
    if not named:
        raise CellsimError("no calibrations to compare.")
    if len({tuple((t.file, t.row) for t in each.objective.terms) for each in named.values()}) > 1:
        raise CellsimError("these calibrations score different rows; their evidences cannot be compared.")
    own = ax is None
    axes = panels(2, ax, columns=2, width=7.2, height=0.24 * len(named) + 0.75, sharey=True)
    names = list(named)
    evidence = np.array([each.log_evidence for each in named.values()])
    at = np.arange(len(names))
    left, right = axes
    left.axvspan(-np.log(20), 0, color=PALE, alpha=0.5, linewidth=0, zorder=0)
    style = {"linestyle": "none", "marker": "o", "markersize": 4.5, "color": BLACK, **marker}
    left.plot(evidence - evidence.max(), at, gid="evidence", **style)
    parts = [each.objective.parts(each.theta) for each in named.values()]
    for k, (part, (shape, colour)) in enumerate(PART_STYLES.items()):
        values = np.array([one[part] for one in parts])
        if not values.any():
            continue
        style = {
            "linestyle": "none",
            "marker": shape,
            "markersize": 4.0,
            "color": colour,
            "label": part,
            **marker,
        }
        right.plot(values - values.max(), at + (k - 1) * 0.16, gid=part, **style)
    for panel in axes:
        panel.axvline(0, color=GREY, linewidth=0.6, zorder=1)
        panel.hlines(at, *panel.get_xlim(), color=PALE, linewidth=0.3, zorder=0)
        panel.margins(x=0.06)
    left.set_yticks(at, [_name(key, each) for key, each in named.items()])
    left.set_ylim(len(names) - 0.4, -0.6)
    for panel, text in zip(axes, ("ln evidence, less the best", "ln likelihood, less the best"), strict=True):
        dress(panel)
        panel.set_xlabel(text, fontsize=SMALL)
    legend([right] if not own else axes, right.get_legend_handles_labels()[0], own=own)
    of_all = together({name: each.approximation for name, each in named.items()})
    label(figure_of(axes), own=own, case=next(iter(named.values())).case, rests_on=[of_all.words])
    return axes


def _name(key: str, fit: Calibration) -> str:
    about = next((each for each in fit.case.variants if each.id == fit.variant), None)
    return f"{key}  {about.name}" if about is not None and about.name and about.name != key else key


# letters on a coloured ground stay black: the grounds are half transparent
CHANGE_COLOURS = {"flips": VERMILLION, "becomes open": ORANGE, "is settled": SKY}
_LINE, _NAMES, _CELL = 0.15, 3.0, 0.62
_LETTERS = 56


@as_typed
def robustness(found: Robustness, ax: Axes | None = None) -> Axes:
    """Every conclusion under every alteration, as a table whose coloured cells are those that change.

    Parameters
    ----------
    found : Robustness
        From :func:`cellsim.robustness`.
    ax : Axes, optional

    Returns
    -------
    Axes
        One line an alteration, grouped, the case as it stands on top; one column a conclusion with its threshold. A
        cell holds the number; it is coloured where the number concludes something else than the case as it stands.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> plots.robustness(cs.robustness(cs.load_case("sjogren_rfib")))  # doctest: +SKIP
    """
    from matplotlib.patches import Patch, Rectangle

    own, columns = ax is None, len(found.conclusions)
    # half a line of air where another kind of alteration begins
    breaks = [k > 0 and row.group != found.rows[k - 1].group for k, row in enumerate(found.rows)]
    at = np.arange(len(found.rows)) + 0.6 * np.cumsum(breaks)
    width, height = _NAMES + _CELL * columns, _LINE * float(at[-1] + 1) + 1.1
    [panel] = panels(1, ax, columns=1, width=width, height=height)
    for k, row in enumerate(found.rows):
        for j, conclusion in enumerate(found.conclusions):
            value = row.values.get(conclusion.id, np.nan)
            change = found.change(conclusion, row)
            if change:
                corner = (j - 0.5, at[k] - 0.5)
                panel.add_patch(
                    Rectangle(corner, 1, 1, color=CHANGE_COLOURS[change], alpha=0.5, linewidth=0, gid=change)
                )
            panel.text(j, at[k], number(value, 2), fontsize=TINY, ha="center", va="center", gid="number")
    panel.set_xlim(-0.5, columns - 0.5)
    panel.set_ylim(at[-1] + 0.6, -0.6)
    panel.axhline(0.5 + 0.3 * breaks[1] if len(breaks) > 1 else 0.5, color=BLACK, linewidth=0.6)
    panel.set_yticks(at, [shorten(row.name, _LETTERS, placeholder=" …") for row in found.rows])
    panel.xaxis.tick_top()
    panel.set_xticks(range(columns), [_head(each) for each in found.conclusions])
    dress(panel)
    panel.tick_params(length=0)
    panel.spines[["left", "bottom"]].set_visible(False)
    seen = {found.change(each, row) for each in found.conclusions for row in found.rows} - {""}
    keys = [
        Patch(color=colour, alpha=0.5, label=change)
        for change, colour in CHANGE_COLOURS.items()
        if change in seen
    ]
    if keys:
        legend([panel], keys, own=own)
    label(figure_of(panel), own=own, case=found.case, rests_on=[found.approximation.words])
    return panel


def _head(conclusion: Conclusion) -> str:
    name, unit = (
        fill(each, 9, break_long_words=False) for each in (conclusion.id.replace("_", " "), conclusion.unit)
    )
    return f"{name}\n> {number(conclusion.threshold)}\n{unit}"
