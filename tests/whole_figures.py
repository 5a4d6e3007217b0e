"""What every figure owes its reader: nothing overlaps or leaves the page, every axis is named, the label stands once."""

import warnings
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from cellsim.plots.style import figure_of

# points that boxes may share: constrained layout lets letters of neighbours touch
TOUCH = 4
LEAST_LETTERS = 7


def assert_whole(drawn: Any) -> None:
    """`drawn` is what a function of `cellsim.plots` gave back."""
    figure = figure_of(drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns when panels find no room
        figure.canvas.draw()
    said = [text.get_text().replace("\n", " ") for text in figure.texts]
    assert sum(each.endswith("not for treatment decisions.") for each in said) == 1
    axes = list(np.atleast_1d(np.asarray(drawn, dtype=object)).ravel())
    page = figure.bbox
    boxes = [each.get_tightbbox() for each in axes] + [each.get_window_extent() for each in figure.legends]
    for box in boxes:
        assert box.x0 >= page.x0 - 2 and box.x1 <= page.x1 + 2
        assert box.y0 >= page.y0 - 2 and box.y1 <= page.y1 + 2
    for one, two in combinations(boxes, 2):
        wide = min(one.x1, two.x1) - max(one.x0, two.x0)
        high = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert wide < TOUCH or high < TOUCH
    for each in axes:
        if not each.axison:
            continue
        named = each.get_ylabel() or len(each.get_yticks())
        assert named or each.get_title(loc="left") or each.get_title()
        ticks = [text for text in each.get_xticklabels() if text.get_text() and text.get_visible()]
        _assert_apart(each, ticks)
        letters = [*ticks, *each.get_yticklabels(), each.xaxis.label, each.yaxis.label, each.title]
        # a panel in the middle of a grid may have no letters of its own
        assert all(letter.get_fontsize() >= LEAST_LETTERS for letter in letters if letter.get_text())


def _assert_apart(panel: Any, ticks: list[Any]) -> None:
    """Words beneath an axis can be told from each other."""
    low, high = sorted(panel.get_xlim())
    shown = sorted(
        (t for t in ticks if low <= t.get_position()[0] <= high), key=lambda t: t.get_position()[0]
    )
    if any(text.get_rotation() for text in shown):
        return
    spans = [text.get_window_extent() for text in shown]
    for one, two in pairwise(spans):
        assert one.x1 <= two.x0 + 1 or two.x1 <= one.x0 + 1
