"""Figures of profiles and of sampled posteriors: curves, chains, pairs, and every printed value beside its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.figures_style import (
    BLUE,
    GREY,
    PALE,
    SMALL,
    TINY,
    VERMILLION,
    AxesArray,
    display_name,
    dress,
    figure_of,
    label,
    legend,
    own_figure,
    panels,
    pick,
    scale,
    unit_text,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.posterior import Posterior
    from cellsim.priors import Prior
    from cellsim.profiles import Profiles

    Array = NDArray[np.float64]

__all__ = ["pair", "posterior_predictive", "prior_posterior", "profile", "trace"]

_RISE = 8.0


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
        Solid the profile, pale what the prior alone would say; lines at the levels; a cross where an end stays open,
        a triangle where the curve bends for a reason that lies elsewhere.

    Raises
    ------
    CellsimError
        For quantities that were not profiled.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> fitted = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> [panel] = plots.profile(cs.profile(fitted, "kappa"))
    >>> panel.get_title()
    'kappa: prior-driven'
    """
    from matplotlib.lines import Line2D

    chosen = pick(names, profiles.curves, "profile of")
    own = own_figure(ax)
    axes = panels(len(chosen), ax, columns=4, height=1.5)
    for panel, name in zip(axes, chosen, strict=True):
        seen = profiles[name].drawing()
        if seen["prior"] is not None:
            panel.plot(seen["value"], seen["prior"], color=GREY, linewidth=1.0, linestyle="--", gid="prior")
        panel.plot(seen["value"], seen["rise"], color=BLUE, linewidth=1.3, gid="profile")
        panel.plot(*seen["nodes"], "o", color=BLUE, markersize=1.8, gid="nodes")
        for height in seen["levels"].values():
            panel.axhline(height, color=PALE, linewidth=0.8, zorder=0)
        for value in seen["open"]:
            at = float(profiles[name].estimate if not np.isfinite(value) else value)
            panel.plot([at], [_RISE * 0.93], "x", color=VERMILLION, markersize=5, gid="open")
        for value, _ in seen["kinks"]:
            panel.plot([value], [_RISE * 0.06], "^", color=VERMILLION, markersize=3.5, gid="kink")
        panel.set_ylim(0, _RISE)
        _value_axis(panel, profiles[name].prior)
        unit = unit_text(seen["unit"])
        dress(panel, title=f"{name}: {seen['verdict']}", x=unit or "(no unit)")
    for panel in axes[::4]:
        panel.set_ylabel("rise of -2 ln", fontsize=TINY, labelpad=2)
    legend(
        axes,
        [
            Line2D([], [], color=BLUE, marker="o", markersize=2, label=f"profile {profiles.kind}"),
            Line2D([], [], color=GREY, linestyle="--", label="prior alone"),
            Line2D([], [], color=PALE, label=" and ".join(f"{100 * each:g} %" for each in profiles.levels)),
            Line2D([], [], color=VERMILLION, marker="x", linestyle="none", label="open end"),
            Line2D(
                [], [], color=VERMILLION, marker="^", linestyle="none", label="leans on another parameter"
            ),
        ],
        own=own,
    )
    label(figure_of(axes), own=own)
    return axes


def _value_axis(panel: Any, prior: Prior | None) -> None:
    """A log axis for what is believed about on a log scale."""
    if prior is not None and prior.family in ("log-normal", "log-uniform", "log-laplace"):
        from matplotlib.ticker import LogLocator, NullFormatter

        panel.set_xscale("log")
        low, high = panel.get_xlim()
        subs = (1.0,) if high / low > 30 else (1.0, 3.0) if high / low > 8 else (1.0, 2.0, 5.0)
        panel.xaxis.set_major_locator(LogLocator(subs=subs, numticks=5))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())


def trace(
    post: Posterior, names: Sequence[str] | None = None, ax: Any = None, *, limit: int = 6
) -> AxesArray:
    """Chains and their ranks, the worst R-hat first.

    Parameters
    ----------
    post : Posterior
    names : sequence of str, optional
        Parameters; those with the largest R-hat by default.
    ax : sequence of Axes, optional
        Two a parameter.
    limit : int
        How many by default.

    Returns
    -------
    AxesArray
        For each parameter its draws in order (prior sd) with divergences marked beneath, and how the ranks of each
        chain fill twenty classes: flat when chains have mixed.
    """
    from scipy.stats import rankdata

    rhat = dict(zip(post.objective.names, post.convergence.rhat, strict=True))
    worst = sorted(rhat, key=lambda name: -np.nan_to_num(rhat[name], nan=np.inf))
    chosen = worst[:limit] if names is None else pick(names, post.objective.names, "parameter")
    own = own_figure(ax)
    axes = panels(2 * len(chosen), ax, columns=2, height=1.15)
    chains, length, _ = post.thetas.shape
    diverging = np.asarray(post.drawn.statistics["diverging"], bool)
    for k, name in enumerate(chosen):
        draws = post.thetas[:, :, post.objective.names.index(name)]
        lines, ranks = axes[2 * k], axes[2 * k + 1]
        for c in range(chains):
            lines.plot(draws[c], color=_chain(c), linewidth=0.35)
        for c, at in zip(*np.nonzero(diverging), strict=True):
            lines.plot([at], [draws.min()], "|", color=VERMILLION, markersize=7, gid=f"diverging-{c}")
        counts = rankdata(draws).reshape(draws.shape)
        edges = np.linspace(0.5, chains * length + 0.5, 21)
        for c in range(chains):
            held, _ = np.histogram(counts[c], edges)
            ranks.stairs(held, edges, color=_chain(c), linewidth=0.9)
        ranks.axhline(length / 20, color=GREY, linewidth=0.7, linestyle="--")
        ranks.set_ylim(0, None)
        dress(lines, title=f"{name}: R-hat {rhat[name]:.3f}", x="draw", y="prior sd")
        dress(ranks, title="ranks by chain", x="rank among all draws", y="draws")
    label(figure_of(axes), own=own)
    return axes


def _chain(k: int) -> str:
    return ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")[k % 6]


def _learned(post: Posterior, limit: int) -> list[str]:
    """The parameters about which most was learned, the mechanism's own before baselines and sample effects."""
    from cellsim.profiles import DYNAMIC

    news = 1 - post.flat.var(axis=0) + np.abs(post.flat.mean(axis=0)) / 2
    dynamic = [post.case.prior(name).group in DYNAMIC for name in post.objective.names]
    order = sorted(range(len(news)), key=lambda j: (not dynamic[j], -news[j]))
    return [post.objective.names[j] for j in order[:limit]]


def pair(post: Posterior, names: Sequence[str] | None = None, ax: Any = None) -> AxesArray:
    """Draws of several parameters against each other, in prior standard deviations.

    Parameters
    ----------
    post : Posterior
    names : sequence of str, optional
        Two to eight parameters; the five of the mechanism about which most was learned by default.
    ax : sequence of Axes, optional
        n x n, row by row.

    Returns
    -------
    AxesArray
        Row by row; marginals on the diagonal beside the prior's (dashed), divergences marked.
    """
    chosen = _learned(post, 5) if names is None else pick(names, post.objective.names, "parameter")
    size, own = len(chosen), own_figure(ax)
    axes = panels(size * size, ax, columns=size, height=1.3)
    columns = [post.objective.names.index(name) for name in chosen]
    draws = post.flat[:, columns]
    bad = np.asarray(post.drawn.statistics["diverging"], bool).ravel()
    some = np.linspace(0, len(draws) - 1, min(len(draws), 1200)).astype(int)
    grid = np.linspace(-3.5, 3.5, 141)
    for i in range(size):
        for j in range(size):
            panel = axes[i * size + j]
            if j > i:
                panel.set_axis_off()
                continue
            if i == j:
                panel.hist(draws[:, i], bins=30, density=True, color=BLUE, alpha=0.6, gid="posterior")
                panel.plot(
                    grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=GREY, linestyle="--", gid="prior"
                )
                panel.set_yticks([])
            else:
                panel.plot(
                    draws[some, j],
                    draws[some, i],
                    ".",
                    color=BLUE,
                    markersize=1.2,
                    alpha=0.4,
                    rasterized=True,
                )
                panel.plot(draws[bad, j], draws[bad, i], "x", color=VERMILLION, markersize=4, gid="diverging")
                panel.set_ylim(-3.5, 3.5)
            panel.set_xlim(-3.5, 3.5)
            dress(panel, x=chosen[j] if i == size - 1 else "", y=chosen[i] if j == 0 and i else "")
    figure = figure_of(axes)
    if own:
        figure.suptitle("prior standard deviations; dashed: the prior", fontsize=SMALL)
    label(figure, own=own)
    return axes


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
        One a parameter: histogram of the draws in prior standard deviations, dashed the prior; the values at the
        prior's median and two sd either side stand on the axis in the parameter's unit.
    """
    chosen = _learned(post, limit) if names is None else pick(names, post.objective.names, "parameter")
    own = own_figure(ax)
    axes = panels(len(chosen), ax, columns=5, height=1.25)
    grid = np.linspace(-3.5, 3.5, 141)
    for panel, name in zip(axes, chosen, strict=True):
        j = post.objective.names.index(name)
        panel.hist(
            post.flat[:, j], bins=40, range=(-3.5, 3.5), density=True, color=BLUE, alpha=0.6, gid="posterior"
        )
        panel.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=GREY, linestyle="--", gid="prior")
        panel.set_xlim(-3.5, 3.5)
        panel.set_yticks([])
        marks = [-2.0, 0.0, 2.0]
        prior = post.objective.priors[j]
        panel.set_xticks(marks, [f"{float(prior.value(np.array(each))):.2g}" for each in marks])
        unit = unit_text(post.case.prior(name).unit)
        dress(panel, title=name, x=unit or "(no unit)")
    label(figure_of(axes), own=own)
    return axes


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
        For every row median, 50 and 90 % of its replicas, and the printed value: filled inside the 90 %, a red cross
        outside.
    """
    terms = [(k, term) for k, term in enumerate(post.objective.terms) if term.part != "graded"]
    chosen = pick(analytes, dict.fromkeys(term.analyte for _, term in terms), "analyte")
    own = own_figure(ax)
    axes = panels(len(chosen), ax, columns=5, height=1.25)
    replicas = post.drawn.scored.replicated.reshape(-1, len(post.objective.terms))
    for panel, name in zip(axes, chosen, strict=True):
        rows = sorted(((k, term) for k, term in terms if term.analyte == name), key=lambda row: row[1].day)
        low, first, middle, third, high = np.quantile(
            replicas[:, [k for k, _ in rows]], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0
        )
        at = np.arange(len(rows))
        panel.vlines(at, low, high, color=PALE, linewidth=5, gid="90 %")
        panel.vlines(at, first, third, color=BLUE, linewidth=5, alpha=0.5, gid="50 %")
        panel.plot(at, middle, "_", color=BLUE, markersize=7)
        seen = np.array([term.measured for _, term in rows])
        inside = (seen >= low) & (seen <= high)
        panel.plot(at[inside], seen[inside], "o", color="black", markersize=3, gid="inside")
        panel.plot(at[~inside], seen[~inside], "x", color=VERMILLION, markersize=5, gid="outside")
        scale(panel, [low, high, seen])
        panel.set_xticks(at, [term.visit or f"{term.day:g}" for _, term in rows], rotation=20)
        panel.set_xlim(-0.6, len(rows) - 0.4)
        dress(panel, title=display_name(post.case, name), y=unit_text(rows[0][1].unit))
    label(figure_of(axes), own=own)
    return axes
