"""The figures of docs/honesty.md and docs/decisions.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.honesty.decided import Bin
from benchmarks.honesty.ranks import band
from cellsim.plots.style import BLACK, BLUE, GREEN, GREY, PALE, SMALL, TINY, VERMILLION, WIDE

Array = NDArray[np.float64]
_MARKED = {"e": VERMILLION, "ln drive, day 259": BLUE, "log-likelihood": GREEN}


def _figure(rows: int, columns: int, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def ranks(panels: Sequence[tuple[str, Array, Sequence[str]]], path: Path) -> None:
    """ECDF of the positions minus the uniform one, a line for every quantity, in the simultaneous 95 % band."""
    figure, axes = _figure((len(panels) + 2) // 3, 3, 2.3 * ((len(panels) + 2) // 3))
    for ax, (title, u, names) in zip(axes.flat, panels):
        z, low, high = band(len(u))
        ax.fill_between(z, low, high, color=PALE, alpha=0.6, lw=0)
        for column, name in sorted(zip(u.T, names, strict=True), key=lambda each: each[1] in _MARKED):
            marked = name in _MARKED
            ax.plot(
                z,
                (column[:, None] <= z).mean(axis=0) - z,
                color=_MARKED.get(name, GREY),
                lw=1.4 if marked else 0.4,
                alpha=1.0 if marked else 0.5,
                label=name if marked else None,
            )
        ax.axhline(0, color=BLACK, lw=0.5)
        ax.set_title(f"{title}\n{len(u)} patients", fontsize=SMALL)
        ax.set_xlim(0, 1)
        ax.tick_params(labelsize=TINY)
        if any(name in _MARKED for name in names):
            ax.legend(fontsize=TINY, frameon=False, loc="best")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    figure.supxlabel("share of the posterior below the truth", fontsize=SMALL)
    figure.supylabel("ECDF minus uniform", fontsize=SMALL)
    figure.savefig(path)


def recovery(truths: Mapping[str, tuple[float, Array, Array]], path: Path) -> None:
    """ln disease drive on the later day: every patient's mean and 95 % interval, the truth as a line."""
    figure, axes = _figure(1, 1, 0.5 + 0.42 * len(truths))
    ax, ticks = axes[0, 0], []
    for row, (name, (truth, mean, sd)) in enumerate(truths.items()):
        y = -row + np.linspace(-0.32, 0.32, mean.size)
        colour = GREEN if "sampled" in name else BLUE
        ax.hlines(y, mean - 1.96 * sd, mean + 1.96 * sd, color=colour, lw=0.7, alpha=0.6)
        ax.plot(mean, y, ".", color=colour, ms=3)
        ax.vlines(truth, -row - 0.42, -row + 0.42, color=VERMILLION, lw=2)
        ticks.append(name)
    ax.set_yticks(-np.arange(len(ticks)), ticks, fontsize=SMALL)
    ax.tick_params(axis="x", labelsize=TINY)
    ax.set_xlabel(
        "ln disease drive, day 259: truth (red), patients' means and 95 % (Laplace blue, sampled green)",
        fontsize=SMALL,
    )
    figure.savefig(path)


def preference(gains: Mapping[str, Array], path: Path) -> None:
    """ln evidence of the best effect over the best null, patient by patient."""
    figure, axes = _figure(1, 1, 0.7 + 0.4 * len(gains))
    ax = axes[0, 0]
    for row, gain in enumerate(gains.values()):
        colour = VERMILLION if row in _null_rows(gains) else BLUE
        ax.plot(np.sort(gain), -row + np.linspace(-0.3, 0.3, gain.size), ".", color=colour, ms=4)
    for value, name, side in (
        (0.0, "even ", "right"),
        (np.log(3), "3:1", "center"),
        (np.log(20), " 20:1", "left"),
    ):
        ax.axvline(value, color=GREY, lw=0.7, ls="--")
        ax.text(value, 0.55, name, fontsize=TINY, color=GREY, ha=side)
    ax.set_yticks(-np.arange(len(gains)), list(gains), fontsize=SMALL)
    ax.set_ylim(-len(gains) + 0.5, 0.8)
    ax.tick_params(axis="x", labelsize=TINY)
    ax.set_xlabel("ln evidence, effect over null", fontsize=SMALL)
    figure.savefig(path)


def _null_rows(gains: Mapping[str, Array]) -> set[int]:
    return {row for row, name in enumerate(gains) if name.startswith("no effect")}


def reliability(panels: Mapping[str, Sequence[Bin]], path: Path) -> None:
    """How often the favoured plan was truly better, against the chance it was given; bars: exact 95 % intervals of one pair a patient."""
    count = max(len(panels), 1)
    figure, axes = _figure((count + 2) // 3, 3, 2.4 * ((count + 2) // 3))
    for ax, (title, bins) in zip(axes.flat, panels.items()):
        ax.plot([0.5, 1], [0.5, 1], color=GREY, lw=0.8)
        for each in bins:
            low, high = each.one.interval
            ax.plot([each.mean, each.mean], [low, high], color=BLUE, lw=1)
            ax.plot(
                each.mean,
                each.share,
                "o",
                color=BLUE,
                ms=2 + 4 * np.sqrt(each.pairs / max(one.pairs for one in bins)),
            )
        ax.set_title(title, fontsize=SMALL)
        ax.set_xlim(0.48, 1.02)
        ax.set_ylim(0.0, 1.05)
        ax.tick_params(labelsize=TINY)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    figure.supxlabel("chance said", fontsize=SMALL)
    figure.supylabel("truly better", fontsize=SMALL)
    figure.savefig(path)
