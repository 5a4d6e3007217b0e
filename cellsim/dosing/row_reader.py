"""One row of a table of doses: which kind it is, and the doses and restarts it tells of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

from cellsim.dates import as_date, date_of, day_of, serial_date
from cellsim.delimited import is_missing, read_number, why_no_number
from cellsim.dosing.restarts import Reset, SteadyState
from cellsim.errors import ScheduleError

__all__ = ["ABSORPTION", "DoseRow", "Event", "RowReader", "UnreadableError", "is_blank", "is_not_there"]

ABSORPTION = ("lag", "bioavailability", "rate", "duration")
"""What a model may say of the doses of a product: NONMEM's ALAG, F, R (of RATE -1) and D (of RATE -2)."""
_MOST = 10_000  # further doses one row may ask for
_SAME = 1e-6  # RATE, DUR and AMT of a printed table agree to so much, relative
_DOSES, _RESETS = (1.0, 4.0), (3.0, 4.0)  # of EVID
_ASKED = {-1.0: "rate", -2.0: "duration"}  # of the model, by RATE
_OF_DOSES = ("amt", "cells", "rate", "ss", "addl", "ii", "dur", "duration")


class DoseRow(NamedTuple):
    """One dose as read, not yet judged; `row` is where it stands."""

    day: Any
    product: Any
    cells: Any
    duration: Any
    label: Any
    row: int
    lag: Any = 0.0
    bioavailability: Any = 1.0


Event = DoseRow | Reset | SteadyState


class UnreadableError(ValueError):
    """A cell of the table that cannot be what its column says; the message is the complaint."""


_NOTHING = frozenset({"-", "\N{EN DASH}", "\N{EM DASH}", "NULL", "Null", "null", "None"})
"""What a list of doses has for a number or a date where there is none; a label or a product may be called so."""


def is_not_there(value: object) -> bool:
    """Empty, NONMEM's lone dot, ``NA`` and the like, None, NaN, NaT or pandas' NA."""
    if value is None or isinstance(value, str):
        return value is None or value.strip() == "." or is_missing(value)
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither equal to itself nor different
        return type(value).__name__ == "NAType"


def is_blank(value: object) -> bool:
    """Whether a number or a date is not there: missing, a dash, ``NULL``."""
    return is_not_there(value) or (isinstance(value, str) and value.strip() in _NOTHING)


def _serial(value: object) -> str:
    """Why a number is no date; empty when it is none, or no number at all."""
    try:
        number = read_number(value) if isinstance(value, str) else value
    except ValueError:
        return ""
    if not isinstance(number, Real | Decimal) or isinstance(number, bool):
        return ""
    meant = serial_date(float(number))
    guess = (
        f"; if it is the day of a spreadsheet, it is {meant} (or 1462 days later, from an old Mac)"
        if meant
        else ""
    )
    return f"date {value} is a number, not a date{guess}. Write dates as 2023-10-06, days in a column day."


@dataclass
class RowReader:
    """Turns the rows of one table into doses, noting complaints on the way."""

    from_text: bool
    amount: float
    hours: float
    product: str | None
    compartments: Mapping[Any, str]
    day_zero: date | None
    has_dv: bool
    absorption: Mapping[Any, Mapping[str, float]] = field(default_factory=dict)

    def number(self, row: Mapping[str, Any], column: str, absent: float = 0.0) -> float:
        value = row.get(column)
        if is_blank(value):
            return absent
        if isinstance(value, str) and self.from_text:
            try:
                return read_number(value)
            except ValueError as error:
                raise UnreadableError(f"{column} {error}. {why_no_number(value)}") from None
        if isinstance(value, Real | Decimal) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                return math.inf
        raise UnreadableError(f"{column} {value!r} is {type(value).__name__}, not a number.")

    def day(self, row: Mapping[str, Any]) -> float:
        dated = not is_blank(row.get("date"))
        timed = next((name for name in ("day", "time") if not is_blank(row.get(name))), "")
        if not dated and not timed:
            raise UnreadableError("neither day nor date is given.")
        day = self.number(row, timed) / (self.hours if timed == "time" else 1.0) if timed else math.nan
        if not dated:
            return day
        try:
            if said := _serial(row["date"]):
                raise UnreadableError(said)
            if not timed:
                return day_of(row["date"], self.day_zero)
            written = as_date(row["date"])
            if self.day_zero is None:
                self.day_zero = written - timedelta(days=math.floor(day))
            if date_of(day, self.day_zero) != written:
                raise UnreadableError(
                    f"day {day:g} is {date_of(day, self.day_zero)}, but the date says {written}."
                )
        except (ValueError, OverflowError) as error:
            raise UnreadableError(f"{str(error).rstrip('.')}.") from None
        return day

    def named(self, row: Mapping[str, Any]) -> Any:
        """The product of a row."""
        if not is_not_there(row.get("product")):
            product = row["product"]
            return product.strip() if self.from_text else product
        compartment = row.get("cmt")
        if is_not_there(compartment):
            if self.product is None:
                raise UnreadableError(
                    "no product is given; name it in a column, or for all rows with product=."
                )
            return self.product
        for key in (compartment, str(compartment).strip()):
            if key in self.compartments:
                return self.compartments[key]
        numeral = str(compartment).strip().removesuffix(".0")
        if numeral.lstrip("-").isdigit():
            for key in (numeral, int(numeral)):
                if key in self.compartments:
                    return self.compartments[key]
            known = f"compartments={{{numeral}: 'name of the product'}}"
            raise UnreadableError(f"CMT {numeral} does not say which product it is; tell with {known}.")
        return str(compartment).strip()

    def share(self, row: Mapping[str, Any], product: Any, column: str, absent: float) -> float:
        """Lag or bioavailability of the doses of a row: its own column, else what is said of the product."""
        own = {"lag": ("lag", "alag"), "bioavailability": ("bioavailability", "f")}[column]
        for name in own:
            if not is_blank(row.get(name)):
                return self.number(row, name) / (self.hours if name == "alag" else 1.0)
        said = self.absorption.get(product, {}).get(column)
        if said is None:
            return absent
        return said / self.hours if column == "lag" else said

    def _asked(self, product: Any, rate: float) -> float:
        """What RATE -1 or -2 leaves to the model."""
        if rate not in _ASKED:
            raise UnreadableError(
                f"RATE {rate:g} is neither a rate, nor -1 or -2, which ask the model for it."
            )
        name = _ASKED[rate]
        said = self.absorption.get(product, {}).get(name)
        if said is None:
            known = f"absorption={{{product!r}: {{{name!r}: ...}}}}"
            raise UnreadableError(
                f"RATE {rate:g} asks the model for the {name} of infusion; say it with {known}."
            )
        return said

    def duration(self, row: Mapping[str, Any], amount: float, product: Any) -> float:
        """Days of infusion from DUR, RATE or both; a rate is kept whatever share of the amount arrives."""
        stated = self.number(row, "duration")
        rate = self.number(row, "rate")
        given = self.number(row, "dur") / self.hours
        if stated and (given or rate):
            raise UnreadableError("duration stands beside DUR or RATE; keep one of them.")
        if rate < 0:
            asked = self._asked(product, rate)
            if given:
                raise UnreadableError(
                    f"RATE {rate:g} leaves to the model what DUR {given:.6g} says; keep one."
                )
            if _ASKED[rate] == "duration":
                return asked / self.hours
            rate = asked
        if rate == 0:
            return stated or given
        share = self.share(row, product, "bioavailability", 1.0)
        implied = amount * share / rate / self.hours
        if given and not math.isclose(given, implied, rel_tol=_SAME):
            of = "AMT/RATE" if share == 1.0 else "F AMT/RATE"
            raise UnreadableError(f"{of} is {implied:.6g} days, but DUR says {given:.6g} days.")
        return given or implied

    def kind(self, row: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        """Whether a row resets, whether it is a dose, and whether it is an observation."""
        column = "amt" if "amt" in row else "cells"
        amount = self.number(row, column)
        measured = None if is_blank(row.get("mdv")) else self.number(row, "mdv") == 0
        steady = self.number(row, "ss") != 0
        if is_blank(row.get("evid")):
            if amount or steady:
                if measured:
                    what = f"an amount of {amount:g}" if amount else "SS"
                    raise UnreadableError(
                        f"MDV 0 is a measurement, but the row has {what}; say which with EVID."
                    )
                return False, True, False
            # without an amount: an observation, or an instant of which nothing is told
            if not is_blank(row.get("dv")) or measured is False:
                return False, False, True
            if self.has_dv:
                raise UnreadableError(
                    f"neither {column} nor DV is given; EVID 0 or MDV 1 would say that none is meant."
                )
            return False, True, False
        event = self.number(row, "evid")
        if event not in (0.0, 1.0, 2.0, 3.0, 4.0):
            raise UnreadableError(
                f"EVID {event:g} is none of 0 (observation), 1 (dose), 2 (neither), 3 (reset) and 4 (reset and dose)."
            )
        if event not in _DOSES:
            name = {0.0: "an observation", 2.0: "no dose", 3.0: "a reset alone (4 would be one with a dose)"}[
                event
            ]
            if amount:
                raise UnreadableError(f"EVID {event:g} is {name}, but the row has an amount of {amount:g}.")
            for other in _OF_DOSES if event else ():  # observations may repeat what the dose before them said
                if self.number(row, other):
                    raise UnreadableError(f"EVID {event:g} is {name}, but the row has {other} {row[other]}.")
        return event in _RESETS, event in _DOSES, event == 0.0

    def events(self, number: int, row: Mapping[str, Any], file: str) -> Iterator[Event]:
        """What a row that is no observation tells of, in order: a reset, a steady state, its doses."""
        resets, dose, _ = self.kind(row)
        try:
            if resets:
                yield Reset(self.day(row), row=number)
            if dose:
                yield from self._doses(number, row, file)
        except ScheduleError as error:
            raise UnreadableError(" ".join(each.what for each in error.problems)) from None

    def _doses(self, number: int, row: Mapping[str, Any], file: str) -> Iterator[Event]:
        column = "amt" if "amt" in row else "cells"
        steady, interval = self.number(row, "ss"), self.number(row, "ii") / self.hours
        more, amount = self.number(row, "addl"), self.number(row, column)
        if steady not in (0.0, 1.0, 2.0):
            also = " SS 1 finds the steady state that SS 3 does." if steady == 3.0 else ""
            raise UnreadableError(
                f"SS {steady:g} is none of 0, 1 (in place of what is there) and 2 (added).{also}"
            )
        if more not in range(_MOST + 1):
            raise UnreadableError(f"ADDL {more:g} is not a count of further doses (0 to {_MOST}).")
        if interval < 0 or (more and not interval > 0):
            raise UnreadableError(f"ADDL {more:g} needs a positive interval II, not {interval:g}.")
        day, product = self.day(row), self.named(row)
        if steady and not amount:
            yield self._constant(row, day, product, interval, (file, number))
            return
        if is_blank(row.get(column)):
            raise UnreadableError(f"{column} is empty.")
        if steady and not interval:
            raise UnreadableError(f"SS {steady:g} of a dose needs the interval II of its course.")
        if interval > 0 and not steady and is_blank(row.get("addl")):
            raise UnreadableError(
                f"II {self.number(row, 'ii'):g} without ADDL: how many further doses? Write 0 for none."
            )
        label = row.get("label")
        if not isinstance(label, str):
            label = "" if is_not_there(label) else label
        elif not label.strip() or (column == "amt" and label.strip() == "."):
            label = ""  # a table of NONMEM, where a lone dot is nothing; elsewhere any text is a label, NA and NaN too
        cells = amount * self.amount if column == "amt" else amount
        duration = self.duration(row, amount, product)
        lag, share = (self.share(row, product, "lag", 0.0), self.share(row, product, "bioavailability", 1.0))
        if steady:
            yield SteadyState(
                day, product, cells, interval=interval, duration=duration, added=steady == 2.0, lag=lag,
                bioavailability=share, file=file, row=number,
            )  # fmt: skip
        for step in range(int(more) + 1):
            yield DoseRow(day + step * interval, product, cells, duration, label, number, lag, share)

    def _constant(
        self, row: Mapping[str, Any], day: float, product: Any, interval: float, place: tuple[str, int]
    ) -> SteadyState:
        """The steady state of a constant inflow, which ends with it: SS without an amount, with a RATE."""
        rate = self.number(row, "rate")
        if rate < 0 and _ASKED.get(rate) != "rate":
            raise UnreadableError(
                "SS without an amount is a constant inflow: it has a RATE, and no duration."
            )
        rate = self._asked(product, rate) if rate < 0 else rate
        if not rate or interval or self.number(row, "dur") or self.number(row, "duration"):
            raise UnreadableError(
                "SS without an amount is a constant inflow: it needs a RATE above zero, and neither II nor a duration."
            )
        if self.share(row, product, "bioavailability", 1.0) != 1.0:
            raise UnreadableError(
                "a constant inflow has no amount of which a share could arrive: F must be 1."
            )
        cells = rate * self.hours * (self.amount if "amt" in row else 1.0)
        return SteadyState(
            day,
            product,
            cells,
            interval=0.0,
            added=self.number(row, "ss") == 2.0,
            file=place[0],
            row=place[1],
        )
