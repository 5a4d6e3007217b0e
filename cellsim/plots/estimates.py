"""Figures of what was learned: parameters beside their priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.identifiability.identification import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED
from cellsim.plots.style import (
    BLUE,
    GREY,
    PALE,
    SMALL,
    TINY,
    VERMILLION,
    as_typed,
    dress,
    figure_of,
    label,
    legend,
    panels,
    pick,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.posterior.variational import NormalLaw

__all__ = ["VERDICT_COLOURS", "parameters"]

VERDICT_COLOURS = {DATA_DRIVEN: BLUE, MOVED: VERMILLION, PRIOR_DRIVEN: GREY, UNTOUCHED: PALE}


@as_typed
def parameters(
    fit: Calibration | NormalLaw | Posterior,
    groups: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    limit: int = 45,
    **marker: Any,
) -> Axes:
    """Posterior beside prior for every parameter the data touch, in prior standard deviations.

    Parameters
    ----------
    fit : Calibration, NormalLaw or Posterior
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
        the marker at the highest; of chains the marker at the median), by verdict.

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
    priors = dict(zip(fit.objective.names, fit.objective.priors, strict=True))
    low, estimate, high = (
        np.array(
            [
                priors[name].whitened(value)
                for name, value in zip(shown["parameter"], shown[place], strict=True)
            ]
        )
        for place in ("low", "estimate", "high")
    )
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
    label(figure_of(panel), own=own, rests_on=[fit.approximation.words])
    return panel
