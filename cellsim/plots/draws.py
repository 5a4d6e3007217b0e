"""Figures of chains: their course, their ranks, and their draws against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
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
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.posterior.posterior import Posterior

    Array = NDArray[np.float64]

__all__ = ["GRID", "REACH", "learned", "normal", "pair", "trace"]

# prior standard deviations shown
REACH = 3.5
GRID = np.linspace(-REACH, REACH, 141)
_CLASSES = 20
# without the vermillion of divergences
_CHAINS = (BLUE, ORANGE, GREEN, PURPLE, SKY, BLACK)
# points of a cloud beyond which it is a blot
_POINTS = 1200


def normal(at: Array) -> Array:
    """The density of every prior in its own standard deviations."""
    return np.asarray(np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi))


def learned(post: Posterior, limit: int) -> list[str]:
    """The parameters about which most was learned, the mechanism's own before baselines and sample effects."""
    from cellsim.identifiability.profiles import DYNAMIC

    news = 1 - post.flat.var(axis=0) + np.abs(post.flat.mean(axis=0)) / 2
    dynamic = [post.case.prior(name).group in DYNAMIC for name in post.objective.names]
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
        For unknown parameters.
    """
    from matplotlib.lines import Line2D
    from scipy.stats import rankdata

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
    label(figure_of(axes), own=own, rests_on=[post.approximation.words])
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
        For unknown parameters.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    chosen = learned(post, 5) if names is None else pick(names, post.objective.names, "parameter")
    size, own = len(chosen), own_figure(ax)
    axes = panels(size * size, ax, columns=size, height=7.0 / max(size, 4))
    draws = post.flat[:, [post.objective.names.index(name) for name in chosen]]
    bad = np.asarray(post.drawn.statistics["diverging"], bool).ravel()
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
    label(figure_of(axes), own=own, rests_on=[post.approximation.words])
    return axes


def _cloud(panel: Any, x: Array, y: Array, some: NDArray[np.int_], bad: NDArray[np.bool_]) -> None:
    panel.plot(x[some], y[some], ".", color=BLUE, markersize=1.6, alpha=0.4, rasterized=True, gid="draws")
    if bad.any():
        panel.plot(x[bad], y[bad], "x", color=VERMILLION, markersize=4.5, gid="diverging")
    panel.set_ylim(-REACH, REACH)
    panel.set_yticks([-2, 0, 2])
