"""What a dose is: a product, and one infusion of it, each judged when it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

from cellsim.errors import Problem, ScheduleError

__all__ = ["Infusion", "Product", "dose_complaints", "number_complaints"]

SOURCES = ("autologous", "allogeneic", "")


@dataclass(frozen=True)
class Product:
    """What is infused, and where in the model it enters.

    Parameters
    ----------
    name : str
        The word used in schedules and tables, such as ``"rfib"``.
    source : {"autologous", "allogeneic", ""}
        Whose cells; empty for what is no cell product (a drug).
    state : str
        The model's state a dose is added to.
    label : str
        For tables and figures.
    rate : str
        The model's parameter that PEtab files use as zero-order input into `state`, or empty.

    Raises
    ------
    ScheduleError
        For an empty name, an empty state or another source.

    Examples
    --------
    >>> Product("rfib", "autologous", "infusate_auto").source
    'autologous'
    """

    name: str
    source: str
    state: str
    label: str = ""
    rate: str = ""

    def __post_init__(self) -> None:
        complaints = [*_name_complaints("product", self.name)]
        if self.source not in SOURCES:
            complaints.append(
                f"source {self.source!r} of product {self.name!r} is not autologous or allogeneic."
            )
        if not isinstance(self.state, str) or not self.state:
            complaints.append(f"product {self.name!r} needs the state of the model that its doses enter.")
        if complaints:
            raise ScheduleError([Problem(what=what) for what in complaints])


@dataclass(frozen=True)
class Infusion:
    """One dose.

    Parameters
    ----------
    day : float
        When it starts, in days from day 0; negative before.
    product : str
        Name of a product, or of a state of the model.
    cells : float
        How many cells, above zero.
    duration : float
        Days it takes at a constant rate; 0 for a bolus.
    label : str
        A remark that travels with the dose.

    Raises
    ------
    ScheduleError
        All complaints at once: a day that is not finite, cells that are not above zero, text for numbers.

    Examples
    --------
    >>> Infusion(7, "rfib", 5e7)
    Infusion(day=7.0, product='rfib', cells=50000000.0, duration=0.0, label='')
    """

    day: float
    product: str
    cells: float
    duration: float = 0.0
    label: str = ""

    def __post_init__(self) -> None:
        complaints = dose_complaints(self.day, self.product, self.cells, self.duration, self.label)
        if complaints:
            raise ScheduleError([Problem(what=what) for what in complaints])
        for name in ("day", "cells", "duration"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # -0.0 becomes 0.0
        for name in ("product", "label"):
            object.__setattr__(self, name, str(getattr(self, name)))

    @property
    def end(self) -> float:
        """The day it is over, in days."""
        return self.day + self.duration


def _name_complaints(what: str, name: object) -> Iterator[str]:
    if not isinstance(name, str):
        yield f"{what} {name!r} is {type(name).__name__}, not text."
    elif name != name.strip() or not name.isprintable() or not any(each.isalnum() for each in name):
        yield f"{what} {name!r} is not a name: letters or digits, and no blanks around them."


def number_complaints(what: str, value: object) -> Iterator[str]:
    """Why `value` is not a finite number, in words; nothing when it is."""
    if not isinstance(value, Real) or isinstance(value, bool):
        yield f"{what} {value!r} is {type(value).__name__}, not a number."
        return
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        yield f"{what} {value!r} is not a finite number."


def dose_complaints(day: Any, product: Any, cells: Any, duration: Any, label: Any) -> list[str]:
    """Everything wrong with one dose, in words."""
    of_day = [*number_complaints("day", day)]
    of_cells = [*number_complaints("cells", cells)]
    if not of_cells and not cells > 0:
        of_cells = [f"cells {cells:g} are not above zero."]
    of_duration = [*number_complaints("duration", duration)]
    if not of_duration and duration < 0:
        of_duration = [f"duration {duration:g} days is negative."]
    if not of_day and not of_duration and not math.isfinite(float(day) + float(duration)):
        of_duration = [f"an infusion from day {day:g} over {duration:g} days has no end."]
    of_label = []
    if not isinstance(label, str) or not (label.isprintable() or not label):
        of_label = [f"label {label!r} is not one line of text."]
    return [*of_day, *_name_complaints("product", product), *of_cells, *of_duration, *of_label]
