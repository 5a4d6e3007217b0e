"""What a dose is: a product, and one infusion of it, each judged when it is made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from math import fsum
from typing import TYPE_CHECKING, Any

from cellsim.dates import date_of
from cellsim.errors import Problem, ScheduleError, is_finite_number, is_number

if TYPE_CHECKING:
    from cellsim.dosing.schedule import Schedule

__all__ = [
    "Infusion",
    "Product",
    "amount_text",
    "amounts",
    "amounts_text",
    "cells_text",
    "describe",
    "dose_complaints",
    "dose_noun",
    "doses_text",
    "number_complaints",
]

SOURCES = ("autologous", "allogeneic", "")


@dataclass(frozen=True)
class Product:
    """What is infused, and where in the model it enters.

    Parameters
    ----------
    name : str
        The word used in schedules and tables, such as ``"graft"``.
    source : {"autologous", "allogeneic", ""}
        Whose cells; empty for what is no cell product (a drug).
    state : str
        The model's state a dose is added to.
    label : str
        For tables and figures.
    rate : str
        The model's parameter that PEtab files use as zero-order input into `state`, or empty.
    unit : str
        What its doses count; ``"cells"``, or a unit such as ``"mg"``.
    quantity : str
        The model's quantity that shows how much of it there is; empty when there is none.

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
    unit: str = "cells"
    quantity: str = ""

    def __post_init__(self) -> None:
        complaints = [*_name_complaints("product", self.name)]
        if not isinstance(self.unit, str) or not self.unit.isprintable():
            complaints.append(f"unit {self.unit!r} of product {self.name!r} is no unit.")
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
        How many cells, or how much of what is no cell product in its unit; above zero.
    duration : float
        Days it takes at a constant rate; 0 for a bolus.
    label : str
        A remark that travels with the dose.
    lag : float
        Days from `day` until it reaches its state (NONMEM's ALAG); not negative.
    bioavailability : float
        Which share of it does (NONMEM's F); above zero. The rest goes nowhere.

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
    lag: float = field(default=0.0, kw_only=True)
    bioavailability: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        complaints = dose_complaints(
            self.day, self.product, self.cells, self.duration, self.label, self.lag, self.bioavailability
        )
        if complaints:
            raise ScheduleError([Problem(what=what) for what in complaints])
        for name in ("day", "cells", "duration", "lag", "bioavailability"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # -0.0 becomes 0.0
        for name in ("product", "label"):
            object.__setattr__(self, name, str(getattr(self, name)))

    @property
    def arrival(self) -> float:
        """The day it begins to reach its state: `day` and its lag."""
        return self.day + self.lag

    @property
    def end(self) -> float:
        """The day it is over, in days."""
        return self.arrival + self.duration

    def __repr__(self) -> str:
        more = [f"lag={self.lag!r}"] * (self.lag != 0.0)
        more += [f"bioavailability={self.bioavailability!r}"] * (self.bioavailability != 1.0)
        shown = ", ".join(
            [f"{name}={getattr(self, name)!r}" for name in ("day", "product", "cells", "duration", "label")]
            + more
        )
        return f"Infusion({shown})"


def _name_complaints(what: str, name: object) -> Iterator[str]:
    if not isinstance(name, str):
        yield f"{what} {name!r} is {type(name).__name__}, not text."
    elif name != name.strip() or not name.isprintable() or not any(each.isalnum() for each in name):
        yield f"{what} {name!r} is not a name: letters or digits, and no blanks around them."


def number_complaints(what: str, value: object) -> Iterator[str]:
    """Why `value` is not a finite number, in words; nothing when it is."""
    if is_finite_number(value):
        return
    if is_number(value):
        yield f"{what} {value!r} is not a finite number."
    else:
        yield f"{what} {value!r} is {type(value).__name__}, not a number."


def dose_complaints(
    day: Any, product: Any, cells: Any, duration: Any, label: Any, lag: Any = 0.0, bioavailability: Any = 1.0
) -> list[str]:
    """Everything wrong with one dose, in words."""
    of_day = [*number_complaints("day", day)]
    of_cells = [*number_complaints("cells", cells)]
    if not of_cells and not cells > 0:
        of_cells = [f"cells {cells:g} are not above zero."]
    of_duration = [*number_complaints("duration", duration)]
    if not of_duration and duration < 0:
        of_duration = [f"duration {duration:g} days is negative."]
    of_lag = [*number_complaints("lag", lag)]
    if not of_lag and lag < 0:
        of_lag = [f"lag {lag:g} days is negative."]
    of_share = [*number_complaints("bioavailability", bioavailability)]
    if not of_share and not bioavailability > 0:
        of_share = [f"bioavailability {bioavailability:g} is not above zero."]
    if not (of_day or of_duration or of_lag) and not math.isfinite(float(day) + float(lag) + float(duration)):
        of_duration = [f"an infusion from day {day:g} over {duration:g} days has no end."]
    of_label = []
    if not isinstance(label, str) or not (label.isprintable() or not label):
        of_label = [f"label {label!r} is not one line of text."]
    return [
        *of_day, *_name_complaints("product", product), *of_cells, *of_duration, *of_lag, *of_share, *of_label,
    ]  # fmt: skip


_LONG = 5  # so many doses at one interval open a run as "every 7 days", fewer are listed
_STEPS = 3  # so many equal steps continue one as "then every 28 days to"


def cells_text(cells: float) -> str:
    """A number of cells as it is spoken: mantissa and power of ten, to four digits.

    Examples
    --------
    >>> cells_text(7.25e8), cells_text(5e7), cells_text(12)
    ('7.25e8', '5.0e7', '12')
    """
    if cells == 0 or 1 <= abs(cells) < 1e4:  # a count one can say
        return f"{cells:.4g}"
    mantissa, power = f"{cells:.3e}".split("e")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{int(power)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration_text(days: float) -> str:
    for factor, unit, least in ((1.0, "day", 2.0), (24.0, "h", 1.0), (1440.0, "min", 0.0)):
        if days * factor >= least:
            amount = f"{days * factor:.6g}"
            return f"{amount} {unit}{'s' if unit == 'day' else ''}"
    raise AssertionError("durations are never negative")


def _equal_steps(days: Sequence[float], first: int) -> int:
    """How many equal, positive steps follow `days[first]`."""
    if first + 1 >= len(days):
        return 0
    step = days[first + 1] - days[first]
    # start + i * interval rounds: days that differ by less than a millisecond are the same day
    close = 1e-8 * max(1.0, abs(days[first]), abs(days[-1]))
    steps = 0
    while first + steps + 1 < len(days) and step > 0:
        if abs(days[first + steps + 1] - days[first] - (steps + 1) * step) > close:
            break
        steps += 1
    return steps


def _stretches(days: Sequence[float]) -> Iterator[tuple[bool, list[float]]]:
    """Cut days into stretches: (equal steps?, days); an equal stretch counts from the day before it."""
    at = 0
    listed: list[float] = []
    if (steps := _equal_steps(days, 0)) + 1 >= _LONG:
        yield True, list(days[: steps + 1])
        at = steps + 1
    while at < len(days):
        # not from the first day itself: four weekly doses are listed, and what follows them is "then every"
        steps = _equal_steps(days, at - 1) if at > 1 else 0
        if steps < _STEPS:
            listed.append(days[at])
            at += 1
            continue
        if listed:
            yield False, listed
            listed = []
        yield True, list(days[at : at + steps])
        at += steps
    if listed:
        yield False, listed


def _days_text(days: Sequence[float], day_zero: date | None) -> str:
    def said(day: float) -> str:
        number = f"{day:.10g}"
        return number if day_zero is None else f"{date_of(day, day_zero)} (day {number})"

    parts: list[str] = []
    before = None
    for equal, stretch in _stretches(days):
        if equal and before is None:
            step = (stretch[-1] - stretch[0]) / (len(stretch) - 1)
            word = "day " if day_zero is None else ""
            parts.append(f"every {step:.6g} days from {word}{said(stretch[0])} to {word}{said(stretch[-1])}")
        elif equal and before is not None:
            step = (stretch[-1] - before) / len(stretch)
            parts.append(f"every {step:.6g} days to {'day ' if day_zero is None else ''}{said(stretch[-1])}")
        else:
            noun = "" if day_zero is not None else "day " if len(stretch) == 1 else "days "
            parts.append(f"on {noun}{', '.join(said(day) for day in stretch)}")
        before = stretch[-1]
    return ", then ".join(parts)


def _doses_text(infusions: Sequence[Infusion], unit: str, day_zero: date | None) -> str:
    """One run of equal doses."""
    dose = infusions[0]
    duration = f" over {_duration_text(dose.duration)}" if dose.duration else ""
    label = f' "{dose.label}"' if dose.label else ""
    share = f" of which {dose.bioavailability:.6g} arrives" if dose.bioavailability != 1.0 else ""
    lag = f" {_duration_text(dose.lag)} late" if dose.lag else ""
    days = _days_text([each.day for each in infusions], day_zero)
    return f"{amount_text(dose.cells, unit)}{duration}{label}{share}{lag} {days}, {_count(len(infusions), 'dose')}"


def _total_text(infusions: Sequence[Infusion], products: Sequence[Product]) -> str:
    return f"total {doses_text(infusions, products)}"


def amount_text(amount: float, unit: str = "cells") -> str:
    """An amount as it is spoken, with its unit.

    Examples
    --------
    >>> amount_text(7.25e8), amount_text(1), amount_text(375, "mg")
    ('7.25e8 cells', '1 cell', '375 mg')
    """
    return f"{cells_text(amount)} {'cell' if unit == 'cells' and amount == 1 else unit}".rstrip()


def amounts(infusions: Iterable[Infusion], products: Sequence[Product]) -> dict[str, float]:
    """How much of each unit is given; a product that is not known counts cells.

    Examples
    --------
    >>> drug = Product("drug", "", "depot", unit="mg")
    >>> amounts([Infusion(0, "drug", 100), Infusion(7, "drug", 50), Infusion(0, "graft", 5e7)], [drug])
    {'mg': 150.0, 'cells': 50000000.0}
    """
    units = {each.name: each.unit for each in products}
    parts: dict[str, list[float]] = {}
    for each in infusions:
        parts.setdefault(units.get(each.product, "cells"), []).append(each.cells)
    return {unit: fsum(each) for unit, each in parts.items()}


def amounts_text(infusions: Iterable[Infusion], products: Sequence[Product]) -> str:
    """The same in words; units never add.

    Examples
    --------
    >>> amounts_text([Infusion(0, "graft", 5e7), Infusion(7, "graft", 5e7)], [])
    '1.0e8 cells'
    """
    found = amounts(infusions, products)
    return " and ".join(amount_text(amount, unit) for unit, amount in found.items())


def dose_noun(infusions: Iterable[Infusion], products: Sequence[Product]) -> str:
    """``"infusion"`` of cells; ``"dose"`` where something else is given too.

    Examples
    --------
    >>> dose_noun([Infusion(0, "drug", 100)], [Product("drug", "", "depot", unit="mg")])
    'dose'
    """
    return "infusion" if set(amounts(infusions, products)) <= {"cells"} else "dose"


def doses_text(infusions: Sequence[Infusion], products: Sequence[Product]) -> str:
    """Count and amounts, in words.

    Examples
    --------
    >>> doses_text([Infusion(0, "drug", 100)], [Product("drug", "", "depot", unit="mg")]), doses_text([], [])
    ('1 dose, 100 mg', 'no infusions')
    """
    if not infusions:
        return "no infusions" if all(each.unit == "cells" for each in products) else "no doses"
    return f"{_count(len(infusions), dose_noun(infusions, products))}, {amounts_text(infusions, products)}"


def describe(schedule: Schedule) -> str:
    """Write a schedule out: one line a product, with count and total cells.

    Parameters
    ----------
    schedule : Schedule

    Returns
    -------
    str
        Calendar dates stand beside the days when ``schedule.day_zero`` is known.

    Examples
    --------
    >>> from cellsim.dosing.schedule import Schedule
    >>> print(describe(Schedule.every(7, cells=5e7, doses=6, product="rfib")))
    rfib: 5.0e7 cells every 7 days from day 0 to day 35, 6 doses; total 6 infusions, 3.0e8 cells
    """
    restarts = [str(each) for each in schedule.restarts]
    if not schedule.infusions:
        return "\n".join(["no infusions", *restarts])
    sources = {product.name: product.source for product in schedule.products}
    units = {product.name: product.unit for product in schedule.products}
    by_product: dict[str, list[Infusion]] = {}
    for infusion in schedule.infusions:
        by_product.setdefault(infusion.product, []).append(infusion)
    lines = []
    for name, doses in by_product.items():
        runs = groupby(
            doses, key=lambda each: (each.cells, each.duration, each.label, each.lag, each.bioavailability)
        )
        said = [_doses_text(list(run), units.get(name, "cells"), schedule.day_zero) for _, run in runs]
        source = f" ({sources[name]})" if sources.get(name) else ""
        lines.append(f"{name}{source}: {'; '.join([*said, _total_text(doses, schedule.products)])}")
    if len(lines) > 1:
        lines.append(f"all products: {_total_text(schedule.infusions, schedule.products)}")
    return "\n".join([*lines, *restarts])
