"""Figures of a sampled posterior: parameters beside their priors, printed values among their replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.plots.draws import GRID, REACH, learned, normal
from cellsim.plots.style import (
    BLACK,
    BLUE,
    GREY,
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
    panels,
    pick,
    reference,
    scale,
    unit_text,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.likelihood.observations import Term
    from cellsim.posterior.posterior import Posterior

    Array = NDArray[np.float64]

__all__ = ["posterior_predictive", "prior_posterior"]

_COLUMNS = 5
# colours of the bars that hold 90 and 50 % of the replicas; the reference range keeps the pale grey
_WIDE, _NARROW = 0.25, 0.6


@as_typed
def prior_posterior(
    post: Posterior, names: Sequence[str] | None = None, ax: Any = None, *, limit: int = 20
) -> AxesArray:
    """Prior and posterior density of parameters, side by side.

    Parameters
    ----------
    post : Posterior
    names : sequence of str, optional
        By default those of the mechanism, the best determined first.
    ax : sequence of Axes, optional
    limit : int
        How many by default.

    Returns
    -------
    AxesArray
        One a parameter: histogram of the draws, dashed the prior, over the coordinate in which the prior is normal;
        the values at the prior's median and two sd either side stand on the axis in the parameter's unit. The number
        is the contraction.

    Raises
    ------
    CellsimError
        For unknown parameters.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    chosen = learned(post, limit) if names is None else pick(names, post.objective.names, "parameter")
    own = own_figure(ax)
    axes = panels(len(chosen), ax, columns=_COLUMNS, height=1.2)
    marks = np.array([-2.0, 0.0, 2.0])
    for panel, name in zip(axes, chosen, strict=True):
        j = post.objective.names.index(name)
        draws = post.flat[:, j]
        panel.hist(
            draws, bins=40, range=(-REACH, REACH), density=True, color=BLUE, alpha=0.6, gid="posterior"
        )
        panel.plot(GRID, normal(GRID), color=GREY, linestyle="--", linewidth=1.2, gid="prior")
        panel.set_xlim(-REACH, REACH)
        panel.set_yticks([])
        prior = post.objective.priors[j]
        panel.set_xticks(marks, [f"{float(f'{each:.2g}'):g}" for each in prior.value(marks)])
        panel.text(
            0.98,
            0.97,
            f"{100 * (1 - draws.var()):.0f} %",
            transform=panel.transAxes,
            ha="right",
            va="top",
            fontsize=TINY,
            gid="contraction",
        )
        dress(panel, title=name, x=unit_text(post.case.prior(name).unit) or "(no unit)")
    keys = [
        Patch(color=BLUE, alpha=0.6, label="posterior"),
        Line2D([], [], color=GREY, linestyle="--", label="prior"),
        Line2D([], [], linestyle="none", label="%: contraction (1 - posterior / prior variance)"),
    ]
    legend(axes, keys, own=own)
    label(figure_of(axes), own=own, rests_on=[post.approximation.words])
    return axes


@as_typed
def posterior_predictive(post: Posterior, analytes: Sequence[str] | None = None, ax: Any = None) -> AxesArray:
    """What the laboratory might have printed, had the model been true, beside what it printed.

    Parameters
    ----------
    post : Posterior
    analytes : sequence of str, optional
        All with scored values by default.
    ax : Axes or sequence of Axes, optional
        One an analyte.

    Returns
    -------
    AxesArray
        At every visit the median of the replicas with bars for 50 and 90 % of them, and the printed value: filled
        inside the 90 %, a red cross outside; a triangle is a value known only as a limit. The grey band is the
        reference range.

    Raises
    ------
    CellsimError
        For analytes without scored values.
    """
    terms = [(k, term) for k, term in enumerate(post.objective.terms) if term.part != "graded"]
    chosen = pick(analytes, dict.fromkeys(term.analyte for _, term in terms), "analyte")
    own = own_figure(ax)
    axes = panels(len(chosen), ax, columns=_COLUMNS, height=1.2)
    replicas = post.drawn.scored.replicated.reshape(-1, len(post.objective.terms))
    replicas = replicas[~np.isnan(replicas).any(axis=1)]
    visits = [each.id for each in post.case.visits]
    for k, (panel, name) in enumerate(zip(axes, chosen, strict=True)):
        about = post.case.analyte(name)
        rows = [(visits.index(term.visit), j, term) for j, term in terms if term.analyte == name]
        _replicas(panel, [(at, replicas[:, j], term) for at, j, term in rows])
        reference(panel, about.lower, about.upper)
        panel.set_xlim(-0.6, len(visits) - 0.4)
        lowest = k + _COLUMNS >= len(chosen) or not own
        panel.set_xticks(range(len(visits)), visits if lowest else [""] * len(visits), rotation=25)
        dress(panel, title=about.name, y=unit_text(rows[0][2].unit))
    legend(axes, _keys(post), own=own)
    label(figure_of(axes), own=own, rests_on=[post.approximation.words])
    return axes


def _replicas(panel: Any, rows: Sequence[tuple[int, Array, Term]]) -> None:
    """The rows of one analyte: where each stands, its replicas, and what was printed."""
    shown = []
    for at, made, term in rows:
        low, first, middle, third, high = np.quantile(made, [0.05, 0.25, 0.5, 0.75, 0.95])
        panel.vlines(at, low, high, color=BLUE, alpha=_WIDE, linewidth=6, gid="90 %")
        panel.vlines(at, first, third, color=BLUE, alpha=_NARROW, linewidth=6, gid="50 %")
        panel.plot([at], [middle], "_", color=BLUE, markersize=8, gid="median")
        inside = low <= term.measured <= high
        if term.part == "censored":
            # surprising when hardly any replica lies where the value is known to lie
            kept = np.mean(made > term.measured if term.above else made < term.measured)
            inside = kept >= 0.05
        shape = ("^" if term.above else "v") if term.part == "censored" else "o" if inside else "x"
        panel.plot(
            [at],
            [term.measured],
            shape,
            color=BLACK if inside else VERMILLION,
            markersize=3.2 if inside else 5,
            zorder=5,
            gid="inside" if inside else "outside",
        )
        shown += [low, high, term.measured]
    scale(panel, [shown])


def _keys(post: Posterior) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    style: dict[str, Any] = {"color": BLACK, "linestyle": "none", "markersize": 4}
    keys: list[Any] = [
        Line2D([], [], color=BLUE, alpha=_NARROW, linewidth=5, label="50 % and"),
        Line2D([], [], color=BLUE, alpha=_WIDE, linewidth=5, label="90 % of replicas"),
        Line2D([], [], marker="o", label="printed", **style),
        Line2D([], [], marker="x", **{**style, "color": VERMILLION}, label="printed, outside 90 %"),
    ]
    if any(term.part == "censored" for term in post.objective.terms):
        keys.append(Line2D([], [], marker="v", label="printed as a limit", **style))
    return [*keys, Patch(color=PALE, alpha=0.45, label="reference range")]
