"""Figure of robustness: every conclusion under every alteration, and which ones change."""

from __future__ import annotations

from textwrap import fill, shorten
from typing import TYPE_CHECKING

import numpy as np

from cellsim.plots.style import (
    BLACK,
    ORANGE,
    SKY,
    TINY,
    VERMILLION,
    as_typed,
    dress,
    figure_of,
    label,
    legend,
    panels,
)
from cellsim.posterior.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cellsim.comparison.conclusions import Conclusion
    from cellsim.comparison.robustness_table import Robustness

__all__ = ["robustness"]

# letters on a coloured ground stay black: the grounds are half transparent
CHANGE_COLOURS = {"flips": VERMILLION, "becomes open": ORANGE, "is settled": SKY}
_LINE, _NAMES, _CELL = 0.15, 3.0, 0.62
_LETTERS = 56


@as_typed
def robustness(found: Robustness, ax: Axes | None = None) -> Axes:
    """Every conclusion under every alteration, as a table whose coloured cells are those that change.

    Parameters
    ----------
    found : Robustness
        From :func:`cellsim.robustness`.
    ax : Axes, optional

    Returns
    -------
    Axes
        One line an alteration, grouped, the case as it stands on top; one column a conclusion with its threshold. A
        cell holds the number; it is coloured where the number concludes something else than the case as it stands.

    Examples
    --------
    >>> import cellsim as cs
    >>> from cellsim import plots
    >>> plots.robustness(cs.robustness(cs.load_case("sjogren_rfib")))  # doctest: +SKIP
    """
    from matplotlib.patches import Patch, Rectangle

    own, columns = ax is None, len(found.conclusions)
    # half a line of air where another kind of alteration begins
    breaks = [k > 0 and row.group != found.rows[k - 1].group for k, row in enumerate(found.rows)]
    at = np.arange(len(found.rows)) + 0.6 * np.cumsum(breaks)
    width, height = _NAMES + _CELL * columns, _LINE * float(at[-1] + 1) + 1.1
    [panel] = panels(1, ax, columns=1, width=width, height=height)
    for k, row in enumerate(found.rows):
        for j, conclusion in enumerate(found.conclusions):
            value = row.values.get(conclusion.id, np.nan)
            change = found.change(conclusion, row)
            if change:
                corner = (j - 0.5, at[k] - 0.5)
                panel.add_patch(
                    Rectangle(corner, 1, 1, color=CHANGE_COLOURS[change], alpha=0.5, linewidth=0, gid=change)
                )
            panel.text(j, at[k], number(value, 2), fontsize=TINY, ha="center", va="center", gid="number")
    panel.set_xlim(-0.5, columns - 0.5)
    panel.set_ylim(at[-1] + 0.6, -0.6)
    panel.axhline(0.5 + 0.3 * breaks[1] if len(breaks) > 1 else 0.5, color=BLACK, linewidth=0.6)
    panel.set_yticks(at, [shorten(row.name, _LETTERS, placeholder=" …") for row in found.rows])
    panel.xaxis.tick_top()
    panel.set_xticks(range(columns), [_head(each) for each in found.conclusions])
    dress(panel)
    panel.tick_params(length=0)
    panel.spines[["left", "bottom"]].set_visible(False)
    seen = {found.change(each, row) for each in found.conclusions for row in found.rows} - {""}
    keys = [
        Patch(color=colour, alpha=0.5, label=change)
        for change, colour in CHANGE_COLOURS.items()
        if change in seen
    ]
    if keys:
        legend([panel], keys, own=own)
    label(figure_of(panel), own=own, rests_on=[found.approximation.words])
    return panel


def _head(conclusion: Conclusion) -> str:
    name, unit = (
        fill(each, 9, break_long_words=False) for each in (conclusion.id.replace("_", " "), conclusion.unit)
    )
    return f"{name}\n> {number(conclusion.threshold)}\n{unit}"
