"""Figures of what was learned: parameters beside their priors, variants beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.figures_style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SMALL,
    TINY,
    VERMILLION,
    dress,
    figure_of,
    label,
    legend,
    panels,
    pick,
)
from cellsim.identifiability import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellsim.figures_style import AxesArray
    from cellsim.fitted import Calibration

__all__ = ["parameters", "variants"]

VERDICT_COLOURS = {DATA_DRIVEN: BLUE, MOVED: VERMILLION, PRIOR_DRIVEN: GREY, UNTOUCHED: PALE}
PART_STYLES = {"standard": ("o", BLUE), "graded": ("s", PURPLE), "censored": ("^", ORANGE)}


def parameters(
    fit: Calibration,
    groups: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    limit: int = 45,
    **marker: Any,
) -> Axes:
    """Posterior beside prior for every parameter the data touch, in prior standard deviations.

    Parameters
    ----------
    fit : Calibration
    groups : sequence of str, optional
        As in the case's parameter tables; all by default.
    ax : Axes, optional
    limit : int
        No more parameters than this: those whose contraction, or else shift, is largest.
    **marker
        To the estimates' ``plot``.

    Returns
    -------
    Axes
        One line a parameter, grouped: pale the prior's 95 % interval, coloured the posterior's (over all optima,
        the marker at the highest), by verdict.

    Raises
    ------
    CellsimError
        For unknown groups, or when the data touch none of their parameters.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> plots.parameters(fitted, limit=5).get_xlabel()
    'distance from the prior median (prior sd)'
    """
    table = fit.table()
    known = list(dict.fromkeys(table["group"]))
    chosen = pick(groups, known, "group")
    touched = table[table["group"].isin(chosen) & (table["verdict"] != UNTOUCHED)]
    if touched.empty:
        raise CellsimError(f"the data touch no parameter of {', '.join(chosen)}.")
    # what was learned: variance removed, or the median moved
    news = np.maximum(
        touched["contraction"].to_numpy(), np.minimum(touched["shift"].abs().to_numpy() / 2, 1.0)
    )
    order = np.argsort(-news, kind="stable")[:limit]
    shown = touched.iloc[np.sort(order)]
    shown = shown.assign(place=[chosen.index(each) for each in shown["group"]])
    shown = shown.sort_values(["place", "contraction"], ascending=[True, False], kind="stable")
    own = ax is None
    breaks = np.flatnonzero(np.diff(shown["place"].to_numpy())) + 1
    # half a line of air between groups
    at = np.arange(len(shown)) + 0.8 * np.searchsorted(breaks, np.arange(len(shown)), side="right")
    [panel] = panels(1, ax, columns=1, width=5.6, height=0.135 * float(at[-1] + 2) + 0.55)
    reach = 1.959963984540054
    columns = [fit.objective.names.index(name) for name in shown["parameter"]]
    low, high = fit.mixture.quantiles([0.025, 0.975])[:, columns]
    estimate = fit.theta[columns]
    panel.hlines(at, -reach, reach, color=PALE, linewidth=3.2, zorder=1, gid="prior")
    panel.axvline(0, color=GREY, linewidth=0.6, zorder=0)
    for verdict, colour in VERDICT_COLOURS.items():
        here = (shown["verdict"] == verdict).to_numpy()
        if not here.any():
            continue
        panel.hlines(at[here], low[here], high[here], color=colour, linewidth=1.3, zorder=3, gid=verdict)
        style = {
            "linestyle": "none",
            "marker": "o",
            "markersize": 3.2,
            "color": colour,
            "zorder": 4,
            **marker,
        }
        panel.plot(estimate[here], at[here], gid=f"estimate-{verdict}", **style)
    panel.set_yticks(at, list(shown["parameter"]))
    panel.set_ylim(at[-1] + 0.9, -1.0)
    dress(panel)
    panel.set_xlabel("distance from the prior median (prior sd)", fontsize=SMALL)
    firsts = [0, *breaks.tolist()]
    edge = panel.get_yaxis_transform()
    for first in firsts:
        panel.text(
            1.01,
            at[first],
            shown["group"].iloc[first],
            fontsize=TINY,
            color=GREY,
            va="center",
            transform=edge,
        )
    from matplotlib.lines import Line2D

    keys = [Line2D([], [], color=PALE, linewidth=3.2, label="prior, 95 %")]
    keys += [
        Line2D([], [], color=colour, marker="o", markersize=3.2, linewidth=1.3, label=verdict)
        for verdict, colour in VERDICT_COLOURS.items()
        if (shown["verdict"] == verdict).any()
    ]
    legend([panel], keys, own=own)
    left_out = len(touched) - len(shown)
    if left_out:
        panel.set_title(
            f"{len(shown)} of {len(touched)} parameters that touch these data", fontsize=TINY, color=GREY
        )
    label(figure_of(panel), own=own)
    return panel


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
    label(figure_of(axes), own=own)
    return axes


def _name(key: str, fit: Calibration) -> str:
    about = next((each for each in fit.case.variants if each.id == fit.variant), None)
    return f"{key}  {about.name}" if about is not None and about.name and about.name != key else key
