"""Figures of chains: their course, their ranks, and their draws against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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

__all__ = ["GRID", "REACH", "learned", "normal", "pair", "posterior_predictive", "prior_posterior", "trace"]

# prior standard deviations shown
REACH = 3.5
GRID = np.linspace(-REACH, REACH, 141)
_CLASSES = 20
# without the vermillion of divergences
_CHAINS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK)
# points of a cloud beyond which it is a blot
_POINTS = 1200


def _chains_given(given: Any, asked: str) -> None:
    """Refuse what has no chains, with a word on how to come by them; `asked` is what was called."""
    if not hasattr(given, "drawn"):
        shown = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
        raise CellsimError(f"plots.{asked} takes draws, and {shown} has none. Sample first: cs.sample(fit).")
    if asked == "trace" and given.drawn.weighted is not None:
        raise CellsimError(
            "plots.trace shows chains, and these draws were weighted and not walked; plots.pair and plots.prior_posterior show "
            "them."
        )


def normal(at: Array) -> Array:
    """The density of every prior in its own standard deviations."""
    return np.asarray(np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi))


def learned(post: Posterior, limit: int) -> list[str]:
    """The parameters about which most was learned, the mechanism's own before all others."""
    news = 1 - post.flat.var(axis=0) + np.abs(post.flat.mean(axis=0)) / 2
    dynamic = [post.case.prior(name).group in post.case.mechanism for name in post.objective.names]
    order = sorted(range(len(news)), key=lambda j: (not dynamic[j], -news[j]))
    return [post.objective.names[j] for j in order[:limit]]


@as_typed
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
        For each parameter its draws in order (prior sd), a tick at the foot for every divergence, and how the ranks
        of each chain fill twenty classes: near the dashed line when chains have mixed.

    Raises
    ------
    CellsimError
        For unknown parameters, and for what has no chains.
    """
    from matplotlib.lines import Line2D
    from scipy.stats import rankdata

    _chains_given(post, "trace")
    found = post.convergence
    all_names = post.objective.names
    worst = sorted(all_names, key=lambda name: -np.nan_to_num(found.rhat[all_names.index(name)], nan=np.inf))
    chosen = worst[:limit] if names is None else pick(names, all_names, "parameter")
    own = own_figure(ax)
    axes = panels(2 * len(chosen), ax, columns=2, height=1.0)
    chains, length, _ = post.thetas.shape
    diverging = np.asarray(post.drawn.statistics["diverging"], bool)
    edges = np.linspace(0.5, chains * length + 0.5, _CLASSES + 1)
    colours = [_CHAINS[c % len(_CHAINS)] for c in range(chains)]
    for k, name in enumerate(chosen):
        j = all_names.index(name)
        draws = post.thetas[:, :, j]
        lines, ranks = axes[2 * k], axes[2 * k + 1]
        counts = rankdata(draws).reshape(draws.shape)
        for chain, colour, held in zip(draws, colours, counts, strict=True):
            lines.plot(chain, color=colour, linewidth=0.35, gid="chain")
            ranks.stairs(np.histogram(held, edges)[0], edges, baseline=None, color=colour, linewidth=1.0)
        at = np.nonzero(diverging.any(axis=0))[0]
        if at.size:
            lines.plot(
                at,
                np.full(at.size, 0.05),
                "|",
                color=VERMILLION,
                markersize=8,
                markeredgewidth=1.4,
                transform=lines.get_xaxis_transform(),
                gid="diverging",
            )
        ranks.axhline(length / _CLASSES, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        ranks.set_ylim(0, None)
        last = k == len(chosen) - 1 or not own
        effective = np.fmin(found.ess_bulk[j], found.ess_tail[j])
        dress(
            lines,
            title=f"{name}: R-hat {found.rhat[j]:.3f}, {effective:.0f} effective draws",
            x="draw" if last else "",
            y="prior sd",
        )
        dress(
            ranks,
            title="ranks" if k == 0 or not own else "",
            x="rank among all draws" if last else "",
            y="draws",
        )
    keys = [Line2D([], [], color=colour, label=f"chain {c + 1}") for c, colour in enumerate(colours)]
    if diverging.any():
        keys.append(Line2D([], [], color=VERMILLION, marker="|", linestyle="none", label="divergence"))
    legend(axes, keys, own=own)
    label(figure_of(axes), own=own, case=post.case, rests_on=[post.approximation.words])
    return axes


@as_typed
def pair(post: Posterior, names: Sequence[str] | None = None, ax: Any = None) -> AxesArray:
    """Draws of several parameters against each other, in prior standard deviations.

    Parameters
    ----------
    post : Posterior
    names : sequence of str, optional
        Parameters; the five of the mechanism about which most was learned by default.
    ax : sequence of Axes, optional
        n x n, row by row.

    Returns
    -------
    AxesArray
        Row by row; on the diagonal each posterior beside its prior, below it the clouds with a cross at every
        divergence, above it their correlations.

    Raises
    ------
    CellsimError
        For unknown parameters, and for what has no chains.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    _chains_given(post, "pair")
    chosen = learned(post, 5) if names is None else pick(names, post.objective.names, "parameter")
    size, own = len(chosen), own_figure(ax)
    axes = panels(size * size, ax, columns=size, height=7.0 / max(size, 4))
    draws = post.flat[:, [post.objective.names.index(name) for name in chosen]]
    # weighted draws have no trajectories that could diverge
    bad = np.asarray(post.drawn.statistics.get("diverging", np.zeros(len(draws))), bool).ravel()
    some = np.linspace(0, len(draws) - 1, min(len(draws), _POINTS)).astype(int)
    for i in range(size):
        for j in range(size):
            panel = axes[i * size + j]
            if j > i:
                panel.set_axis_off()
                r = f"r = {np.corrcoef(draws[:, i], draws[:, j])[0, 1]:.2f}"
                panel.text(
                    0.5, 0.5, r, transform=panel.transAxes, ha="center", va="center", fontsize=SMALL, gid="r"
                )
                continue
            if i == j:
                panel.hist(
                    draws[:, i],
                    bins=35,
                    range=(-REACH, REACH),
                    density=True,
                    color=BLUE,
                    alpha=0.6,
                    gid="posterior",
                )
                panel.plot(GRID, normal(GRID), color=GREY, linestyle="--", linewidth=1.2, gid="prior")
                panel.set_yticks([])
            else:
                _cloud(panel, draws[:, j], draws[:, i], some, bad)
            panel.set_xlim(-REACH, REACH)
            panel.set_xticks([-2, 0, 2])
            inner = own and i < size - 1
            dress(
                panel,
                title=chosen[i] if i == j else "",
                x="" if inner else f"{chosen[j]} (prior sd)",
                y=f"{chosen[i]} (prior sd)" if j == 0 and i else "",
            )
            panel.tick_params(labelbottom=not inner, labelleft=j == 0 or not own)
    keys = [
        Patch(color=BLUE, alpha=0.6, label="posterior"),
        Line2D([], [], color=GREY, linestyle="--", label="prior"),
    ]
    if bad.any():
        keys.append(Line2D([], [], color=VERMILLION, marker="x", linestyle="none", label="divergence"))
    legend(axes, keys, own=own)
    label(figure_of(axes), own=own, case=post.case, rests_on=[post.approximation.words])
    return axes


def _cloud(panel: Any, x: Array, y: Array, some: NDArray[np.int_], bad: NDArray[np.bool_]) -> None:
    panel.plot(x[some], y[some], ".", color=BLUE, markersize=1.6, alpha=0.4, rasterized=True, gid="draws")
    if bad.any():
        panel.plot(x[bad], y[bad], "x", color=VERMILLION, markersize=4.5, gid="diverging")
    panel.set_ylim(-REACH, REACH)
    panel.set_yticks([-2, 0, 2])


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
        For unknown parameters, and for what has no chains.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    _chains_given(post, "prior_posterior")
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
    label(figure_of(axes), own=own, case=post.case, rests_on=[post.approximation.words])
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
        For analytes without scored values, and for what has no chains.
    """
    _chains_given(post, "posterior_predictive")
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
    label(figure_of(axes), own=own, case=post.case, rests_on=[post.approximation.words])
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
