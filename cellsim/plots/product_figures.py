"""Two products at the same days and amounts, by number of doses and gap, under every mechanism."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.plots.style import (
    BLUE,
    SMALL,
    VERMILLION,
    AxesArray,
    as_typed,
    colour_of,
    dress,
    label,
    legend,
    panels,
    unit_text,
)

if TYPE_CHECKING:
    from cellsim.sweeps.product_comparison import ProductComparison

__all__ = ["products"]

_APART = 0.12
# of a line beside an axis
_LETTERS = 22


@as_typed
def products(result: ProductComparison, ax: Any = None, **marker: Any) -> AxesArray:
    """One row a measure, one column a mechanism; each design with the first product and the second, prior beside posterior.

    Parameters
    ----------
    result : ProductComparison
        From :func:`cellsim.compare_products`.
    ax : array of Axes, optional
        One for each measure and mechanism, row by row.
    **marker
        To every ``plot``.

    Returns
    -------
    AxesArray
        Filled markers with bars are medians and 90 % of the draws, hollow ones the prior's. A mechanism in which both products are removed alike
        says so in its title: there they can only differ in what they do.

    Raises
    ------
    CellsimError
        If too few Axes are given.
    """
    from matplotlib.lines import Line2D

    names, own = list(result.sweeps), ax is None
    count = len(result.asked) * len(names)
    axes = panels(
        count,
        ax,
        columns=len(names),
        width=max(4.5, 2.5 * len(names) + 0.6),
        height=1.75,
    )
    pair = (result.first, result.second)
    colours = [colour_of(each.name, result.case.products) for each in pair]
    if colours[0] == colours[1]:
        colours = [BLUE, VERMILLION]
    where = np.arange(len(result.designs), dtype=float)
    called = {each.id: each.name for each in result.case.variants}
    for k, panel in enumerate(axes):
        place, which = divmod(k, len(names))
        asked, name = result.asked[place], names[which]
        for at, design in zip(where, result.designs, strict=True):
            for prior in (True, False):
                both = result.draws(name, design, place, prior=prior)
                for draws, colour, side in zip(both, colours, (-1, 1), strict=True):
                    if not draws.size:
                        continue
                    x = at + side * _APART * (2.2 if prior else 1.0)
                    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
                    panel.vlines(x, low, high, color=colour, linewidth=0.7 if prior else 1.4)
                    inside, size = ("white", 3.0) if prior else (colour, 4.0)
                    style = {"marker": "o", "markersize": size, "markerfacecolor": inside, "color": colour}
                    panel.plot([x], [middle], linestyle="none", **{**style, **marker})
        panel.set_ylim(bottom=0)
        panel.set_xlim(-0.5, len(where) - 0.5)
        gaps = [f"{doses} × {gap:g} d" for doses, gap in result.designs]
        panel.set_xticks(where, gaps, rotation=30, ha="right", rotation_mode="anchor")
        alike = "" if result.removal(name) else "\nboth removed alike"
        title = f"{called.get(name) or name}{alike}" if place == 0 else ""
        last = place == len(result.asked) - 1
        panel.tick_params(labelbottom=last or not own)
        unit = unit_text(asked.unit)
        told = not unit or unit in asked.measure or asked.measure.startswith("days")
        text = fill(asked.measure, _LETTERS) + ("" if told else f"\n({unit})")
        beneath = "doses × days between them" if last else ""
        dress(panel, title=title, x=beneath, y=text if which == 0 else "")
        panel.yaxis.label.set_fontsize(SMALL)
    keys = [
        Line2D(
            [],
            [],
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.4,
            label=each.label or each.name,
        )
        for colour, each in zip(colours, pair, strict=True)
    ]
    keys.append(
        Line2D(
            [],
            [],
            color="black",
            marker="o",
            markersize=3,
            markerfacecolor="white",
            linewidth=0.7,
            label="prior",
        )
    )
    legend(axes, keys, own=own)
    label(axes.figure, own=own, case=result.case, rests_on=[result.approximation.words])
    return axes
