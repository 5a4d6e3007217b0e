"""Figures of profiles: how much worse the best fit becomes as one quantity is held elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CellsimError
from cellsim.identifiability.identification import UNTOUCHED
from cellsim.identifiability.profile_curve import CLOSED
from cellsim.plots.estimates import VERDICT_COLOURS
from cellsim.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
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

if TYPE_CHECKING:
    from cellsim.identifiability.profile_curve import Curve
    from cellsim.identifiability.profiles import Profiles

__all__ = ["profile"]

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
    label(figure_of(axes), own=own, rests_on=[profiles.approximation.words])
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
