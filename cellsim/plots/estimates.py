"""Figures of what was learned: parameters beside their priors."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.identifiability.profile_curve import CLOSED
from cellsim.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    SMALL,
    TINY,
    VERMILLION,
    AxesArray,
    as_typed,
    dress,
    figure_of,
    label,
    legend,
    own_figure,
    own_unit_axis,
    panels,
    pick,
    unit_text,
)
from cellsim.results import DATA_DRIVEN, LEVEL, MOVED, PRIOR_DRIVEN, REACH, UNTOUCHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellsim.identifiability.profile_curve import Curve
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior

__all__ = ["VERDICT_COLOURS", "parameters", "profile"]

VERDICT_COLOURS = {DATA_DRIVEN: BLUE, MOVED: VERMILLION, PRIOR_DRIVEN: GREY, UNTOUCHED: PALE}


@as_typed
def parameters(
    fit: Calibration | Posterior,
    groups: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    limit: int = 45,
    **marker: Any,
) -> Axes:
    """Posterior beside prior for every parameter the data touch, in prior standard deviations.

    Parameters
    ----------
    fit : Calibration or Posterior
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
        One line a parameter, grouped: pale the prior's 90 % interval, coloured the posterior's (over all optima,
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
    panel.hlines(at, -REACH, REACH, color=PALE, linewidth=3.2, zorder=1, gid="prior")
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

    keys = [Line2D([], [], color=PALE, linewidth=3.2, label=f"prior, {100 * LEVEL:g} %")]
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
    label(figure_of(panel), own=own, case=fit.case, rests_on=[fit.approximation.words])
    return panel


_COLUMNS = 4
# letters of the smallest size that fit beneath a panel of four
_LETTERS = 28


@as_typed
def profile(profiles: Profiles, names: Sequence[str] | None = None, ax: Any = None) -> AxesArray:
    """Profiles: how much worse the best fit becomes as one quantity is held elsewhere.

    Parameters
    ----------
    profiles : Profiles
    names : sequence of str, optional
        All by default.
    ax : Axes or sequence of Axes, optional
        One a quantity.

    Returns
    -------
    AxesArray
        -2 ln above its least value, against the quantity in its own unit (logarithmic where its prior is). Solid the
        profile with the points computed, dotted Laplace's parabola at its foot, dashed what the prior alone would
        say; lines at the levels. A cross stands where an end stays open, a triangle where the curve bends for a
        reason that lies elsewhere; the reason stands beneath.

    Raises
    ------
    CellsimError
        For quantities that were not profiled, or when there are none.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> [panel] = plots.profile(cs.profile(fitted, "kappa"))
    >>> panel.get_title()
    'kappa: prior-driven'
    """
    chosen = pick(names, profiles.curves, "profile of")
    if not chosen:
        raise CellsimError("no profile was finished; there is nothing to draw.")
    own = own_figure(ax)
    axes = panels(len(chosen), ax, columns=_COLUMNS, height=1.5)
    drawn = [profiles[name].drawing() for name in chosen]
    top = 1.35 * max(drawn[0]["levels"].values())
    for panel, name, seen in zip(axes, chosen, drawn, strict=True):
        _curve(panel, profiles[name], seen, top)
    for panel in axes[::_COLUMNS] if own else axes:
        panel.set_ylabel("rise of -2 ln", fontsize=TINY, labelpad=2)
    legend(axes, _keys(profiles, drawn), own=own)
    label(figure_of(axes), own=own, case=profiles.objective.case, rests_on=[profiles.approximation.words])
    return axes


def _curve(panel: Any, curve: Curve, seen: dict[str, Any], top: float) -> None:
    value, rise = seen["value"], seen["rise"]
    for height in seen["levels"].values():
        panel.axhline(height, color=PALE, linewidth=0.8, zorder=0, gid="level")
    if seen["prior"] is not None:
        panel.plot(value, seen["prior"], color=GREY, linewidth=1.0, linestyle="--", gid="prior")
    panel.plot(value, rise, color=BLUE, linewidth=1.4, gid="profile")
    panel.plot(value, seen["laplace"], color=ORANGE, linewidth=1.2, linestyle=":", gid="laplace")
    panel.plot(*seen["nodes"], "o", color=BLUE, markersize=1.8, gid="nodes")
    ends = [(each, np.interp(each, value, rise)) for each in seen["open"] if np.isfinite(each)]
    bends = [(each, np.interp(each, value, rise)) for each, _ in seen["kinks"]]
    held = [(each, np.interp(each, value, rise)) for each in seen["held"]]
    for gid, shape, size, places in (
        ("open", "x", 5.5, ends),
        ("held", "s", 4.0, held),
        ("kink", "^", 4.5, bends),
    ):
        if places:
            x, y = np.transpose(places)
            panel.plot(
                x,
                np.minimum(y, 0.96 * top),
                shape,
                color=VERMILLION,
                markersize=size,
                zorder=5,
                clip_on=False,
                gid=gid,
            )
    panel.set_ylim(0, top)
    own_unit_axis(panel, curve.prior.family if curve.prior else "", value.min(), value.max())
    said = seen["verdict"]
    if curve.kind != "posterior":
        # what counts without its prior is whether the data bound it at all
        bounded = {0: "bounded", 1: "bounded by a prior on one side", 2: "bounded by a prior"}
        closed = bounded[len(seen["held"])]
        said = {0: closed, 1: "open on one side", 2: "open on both sides"}[len(seen["open"])]
    colour = VERDICT_COLOURS.get(said, BLUE if said == "bounded" else GREY)
    below = [unit_text(seen["unit"]) or "(no unit)", *(fill(each, _LETTERS) for each in _reasons(seen))]
    dress(panel, title=fill(f"{curve.name}: {said}", _LETTERS, break_on_hyphens=False), x="\n".join(below))
    panel.title.set_color(GREY if said == UNTOUCHED else colour)


def _reasons(seen: dict[str, Any]) -> list[str]:
    """Why ends are open and curves bend, in words."""
    last = max(seen["intervals"], key=lambda each: each.level)
    ends = {"below": last.lower, "above": last.upper}
    said = [f"{words} {side}" for side, words in ends.items() if words != CLOSED]
    if len(set(ends.values())) == 1 and said:
        said = [f"{last.lower} on both sides"]
    return said + [words for _, words in seen["kinks"]]


def _keys(profiles: Profiles, drawn: Sequence[dict[str, Any]]) -> list[Any]:
    from matplotlib.lines import Line2D

    kind = {
        "posterior": "profile posterior",
        "unaided": "profile without its own prior",
        "likelihood": "profile likelihood",
    }[profiles.kind]
    keys = [
        Line2D([], [], color=BLUE, marker="o", markersize=2, label=kind),
        Line2D([], [], color=ORANGE, linestyle=":", label="Laplace"),
        Line2D([], [], color=GREY, linestyle="--", label="prior alone"),
        Line2D([], [], color=PALE, label=" and ".join(f"{100 * each:g} %" for each in profiles.levels)),
    ]
    for what, shape, words in (
        ("open", "x", "open end"),
        ("held", "s", "end put by another prior"),
        ("kinks", "^", "bends for a reason elsewhere"),
    ):
        if any(each[what] for each in drawn):
            keys.append(Line2D([], [], color=VERMILLION, marker=shape, linestyle="none", label=words))
    return keys
