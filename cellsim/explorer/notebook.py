"""A page that computes as a widget of a notebook: the plan that it is moved to is a schedule in Python."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cellsim.dosing.infusions import Infusion
from cellsim.errors import CellsimError

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.dosing.schedule import Schedule

__all__ = ["widget_of"]


def widget_of(case: Case, html: str, title: str) -> Any:
    """A widget that shows a page.

    Returns
    -------
    anywidget.AnyWidget
        ``.plan`` is the schedule that the page now shows, background products among it; ``.observe(function, "doses")`` hears of a change.

    Raises
    ------
    CellsimError
        The package anywidget is missing.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise CellsimError(
            "a page as a widget needs the package anywidget. Install it: pip install 'cellsim[notebook]'."
        ) from None

    class Page(anywidget.AnyWidget):
        """A page, and the doses of its plan: dicts of day, product, amount (in the product's unit) and duration (days)."""

        _esm = files("cellsim.explorer").joinpath("notebook.js").read_text(encoding="utf-8")
        html = traitlets.Unicode().tag(sync=True)
        title = traitlets.Unicode().tag(sync=True)
        doses: Any = traitlets.List().tag(sync=True)

        @property
        def plan(self) -> Schedule:
            given = [
                Infusion(
                    day=float(each["day"]),
                    product=str(each["product"]),
                    cells=float(each["amount"]),
                    duration=float(each["duration"]),
                )
                for each in self.doses
            ]
            return replace(case.schedule, infusions=tuple(given), restarts=())

    return Page(html=html, title=title)
