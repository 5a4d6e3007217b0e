"""When which cells are infused: an immutable set of doses that adds, shifts and prints itself.

Days are counted from day 0 and cells as cells; the model's own unit comes in only when a schedule is
delivered to a model. Nothing here drops, doubles or moves a dose without being asked.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from cellsim.dates import as_date, date_of, day_of
from cellsim.dosing.families import Family, grid
from cellsim.dosing.infusions import Infusion, Product, describe, number_complaints
from cellsim.dosing.restarts import Reset, Restart, SteadyState
from cellsim.dosing.table_out import frame_of, html_of, line_of
from cellsim.dosing.table_rows import infusions_of, spread
from cellsim.dosing.tables import TextTable, read_table
from cellsim.errors import Problem, ScheduleError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Infusion", "Product", "Reset", "Schedule", "SteadyState"]


def _place(infusion: Infusion) -> tuple[float, str, float, float, str, float, float]:
    return (
        infusion.day, infusion.product, infusion.cells, infusion.duration, infusion.label, infusion.lag,
        infusion.bioavailability,
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class Schedule:
    """An immutable set of infusions on one clock.

    At one instant restarts come first, then infusions, then events, then samples, then events on a strict ``>`` (see `cellsim.simulate`).

    Parameters
    ----------
    infusions : iterable of Infusion
        In any order; kept sorted by day, equal rows included.
    products : iterable of Product
        What the names mean. When given, every infusion must use one of them; when empty, a name is
        looked up among the states of the model that the schedule is delivered to.
    day_zero : datetime.date or str, optional
        Calendar date of day 0 (ISO text is read).
    restarts : iterable of Reset or SteadyState
        Instants at which states are set anew (:mod:`cellsim.dosing.restarts`). Those of one instant keep their order.

    Raises
    ------
    ScheduleError
        All problems at once: unknown or contradicting products, dates beyond the calendar.

    Examples
    --------
    >>> loading = Schedule.at([0, 7, 14, 21], cells=5e7, product="rfib")
    >>> upkeep = Schedule.every(28, start=49, cells=7.5e7, doses=5, product="rfib")
    >>> print(loading + upkeep)  # doctest: +NORMALIZE_WHITESPACE
    rfib: 5.0e7 cells on days 0, 7, 14, 21, 4 doses;
    7.5e7 cells every 28 days from day 49 to day 161, 5 doses; total 9 infusions, 5.75e8 cells
    """

    infusions: tuple[Infusion, ...] = ()
    products: tuple[Product, ...] = ()
    day_zero: date | None = None
    restarts: tuple[Restart, ...] = ()

    def __post_init__(self) -> None:
        infusions, products = tuple(self.infusions), tuple(self.products)
        strange: list[object] = [each for each in infusions if not isinstance(each, Infusion)]
        restarts = tuple(self.restarts)
        _refuse(
            f"a schedule restarts with Reset and SteadyState objects, not {each!r}."
            for each in restarts
            if not isinstance(each, Reset | SteadyState)
        )
        strange += [each for each in products if not isinstance(each, Product)]
        _refuse(f"a schedule is made of Infusion and Product objects, not {each!r}." for each in strange)
        if self.day_zero is not None:
            object.__setattr__(self, "day_zero", _date_zero(self.day_zero))
        # one order for one content, so that sums in either order are equal and hash alike
        object.__setattr__(self, "infusions", tuple(sorted(infusions, key=_place)))
        object.__setattr__(self, "restarts", tuple(sorted(restarts, key=lambda each: each.day)))
        object.__setattr__(self, "products", tuple(sorted(set(products), key=lambda each: each.name)))
        problems = [*self._product_problems(), *self._date_problems()]
        if problems:
            raise ScheduleError(problems)

    def _product_problems(self) -> Iterator[Problem]:
        known: dict[str, Product] = {}
        for product in self.products:
            if product.name in known:
                yield Problem(
                    what=f"product {product.name!r} means both {known[product.name]} and {product}."
                )
            known[product.name] = product
        for name in sorted({each.product for each in self._given()} - set(known) if known else ()):
            yield Problem(what=f"no product {name!r}.", remedy=did_you_mean(name, known))

    def _given(self) -> Iterator[Infusion | SteadyState]:
        """All that has a product."""
        yield from self.infusions
        yield from (each for each in self.restarts if isinstance(each, SteadyState))

    def _date_problems(self) -> Iterator[Problem]:
        if self.day_zero is None or not self.infusions:
            return
        for day in (self.infusions[0].day, self.infusions[-1].day):
            try:
                date_of(day, self.day_zero)
            except ValueError as error:
                yield Problem(what=f"{error}.")

    # ---- making one -------------------------------------------------------------------------------

    @classmethod
    def every(
        cls,
        interval_days: float,
        *,
        cells: float,
        doses: int,
        product: str,
        start: float | date | str = 0.0,
        duration: float = 0.0,
        label: str = "",
        products: Iterable[Product] = (),
        day_zero: date | str | None = None,
    ) -> Schedule:
        """Equal doses at equal intervals.

        Parameters
        ----------
        interval_days : float
            Days from one dose to the next, above zero.
        cells : float
            Cells of each dose.
        doses : int
            How many, at least one.
        product : str
            Name of a product, or of a state of the model.
        start : float, datetime.date or str
            Day (or date, when `day_zero` is given) of the first dose.
        duration : float
            Days each takes; 0 for a bolus.
        label : str
            A remark for each.
        products, day_zero
            As for :class:`Schedule`.

        Returns
        -------
        Schedule

        Raises
        ------
        ScheduleError
            All problems at once.

        Examples
        --------
        >>> Schedule.every(56, cells=1.45e8, doses=5, product="rfib").total()
        725000000.0
        """
        problems = [Problem(what=what) for what in number_complaints("interval", interval_days)]
        if not problems and not interval_days > 0:
            problems = [Problem(what=f"an interval of {interval_days:g} days is not above zero.")]
        try:
            count = operator.index(doses)
        except TypeError:
            count = 0
        if count < 1 or isinstance(doses, bool):
            problems.append(Problem(what=f"doses {doses!r} is not a count of one or more."))
        zero = None if day_zero is None else _date_zero(day_zero)
        try:
            first = day_of(start, zero)
        except ValueError as error:
            first = 0.0
            problems.append(Problem(what=f"start: {error}."))
        step = 0.0 if problems else float(interval_days)
        rest: dict[str, Any] = {"duration": duration, "label": label, "products": products, "day_zero": zero}
        try:
            made = cls.at(
                [first + each * step for each in range(max(count, 1))], cells=cells, product=product, **rest
            )
        except ScheduleError as error:
            raise ScheduleError([*problems, *error.problems]) from None
        if problems:
            raise ScheduleError(problems)
        return made

    @classmethod
    def grid(
        cls,
        *,
        interval: float | Iterable[float],
        cells: float | Iterable[float],
        doses: int | Iterable[int],
        product: str | Iterable[str],
        start: float | date | str | Iterable[float | date | str] = 0.0,
        duration: float | Iterable[float] = 0.0,
        products: Iterable[Product] = (),
        day_zero: date | str | None = None,
    ) -> Family:
        """A family of schedules: :meth:`every` for each combination of levels, for ``cs.sweep`` to compare in one call.

        Parameters
        ----------
        interval, cells, doses, product, start, duration
            As for :meth:`every`, each one level or several.
        products, day_zero
            As for :class:`Schedule`, the same for all.

        Returns
        -------
        Family
            Schedules by a name that says the levels of each factor that has several; ``family.table()`` lists them.

        Raises
        ------
        ScheduleError
            All problems at once.

        Examples
        --------
        >>> family = Schedule.grid(interval=[7, 14, 28], cells=[5e7, 7.5e7], doses=range(4, 13), product="rfib")
        >>> len(family), list(family)[0]
        (54, 'every 7 d, 5.0e7 cells, 4 doses')
        """
        levels = {
            "interval": interval,
            "cells": cells,
            "doses": doses,
            "product": product,
            "start": start,
            "duration": duration,
        }
        return grid(cls.every, levels, {"products": tuple(products), "day_zero": day_zero})

    @classmethod
    def at(
        cls,
        days: float | date | str | Iterable[float | date | str],
        *,
        cells: float | Sequence[float],
        product: str | Sequence[str],
        duration: float | Sequence[float] = 0.0,
        label: str | Sequence[str] = "",
        products: Iterable[Product] = (),
        day_zero: date | str | None = None,
    ) -> Schedule:
        """Doses on given days or calendar dates.

        Parameters
        ----------
        days : float, datetime.date, str, or an iterable of them
            Days from day 0, or dates (ISO text is read) when `day_zero` is given.
        cells, product, duration, label
            One for all doses, or one for each. Cells in cells, duration in days.
        products, day_zero
            As for :class:`Schedule`.

        Returns
        -------
        Schedule

        Raises
        ------
        ScheduleError
            All problems at once, each with the number of its dose.

        Examples
        --------
        >>> dates = ["2023-10-06", "2023-10-13"]
        >>> [each.day for each in Schedule.at(dates, cells=5e7, product="rfib", day_zero=dates[0])]
        [0.0, 7.0]
        """
        zero = None if day_zero is None else _date_zero(day_zero)
        products = tuple(products)
        each = {"product": product, "cells": cells, "duration": duration, "label": label}
        rows, problems = spread(days, each, products)
        return cls(infusions_of(rows, problems, products, zero, file="doses"), products, zero)

    @classmethod
    def from_table(
        cls,
        source: str | PathLike[str] | pd.DataFrame | Iterable[Mapping[str, Any]] | TextTable,
        *,
        product: str | None = None,
        amount_unit: str | None = None,
        time_unit: Literal["day", "hour"] = "day",
        compartments: Mapping[Any, str] | None = None,
        products: Iterable[Product] = (),
        day_zero: date | str | None = None,
        ignore: Sequence[str] = (),
        absorption: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Schedule:
        """Doses from a table: a file, a DataFrame, or a list of rows.

        Our columns are ``day`` or ``date``, ``product``, ``cells``, ``duration`` (days), ``label``, ``lag`` (days) and
        ``bioavailability``. Those of NONMEM are understood too, in upper or lower case: ``TIME AMT RATE DUR CMT ALAG F``;
        ``ADDL`` further doses, ``II`` apart, are written out; ``SS`` 1 and 2 are the steady state of doses ``II`` apart, or
        without ``AMT`` and ``II`` of a constant ``RATE``; ``EVID`` 0 is an observation (as is, without ``EVID``, a row with a
        ``DV`` and no amount), 1 a dose, 2 nothing, 3 a reset, 4 a reset and a dose. At one instant rows act in their order: a reset,
        or an ``SS`` 1, takes back what rows before it gave there, and cancels their further doses. Rows with a ``C`` in the column
        ``C`` are left out, as are lines of a file that begin with ``#`` (one with the cells of a row is refused, unless it begins
        with ``##``) and rows in which every cell is missing. ``SS`` 3, ``II`` without ``ADDL`` or ``SS``, and every other ``EVID``
        are refused, as are other columns unless named in `ignore`. A date is text such as 2023-10-06 or a date of Python,
        numpy or pandas: a spreadsheet's number of a day is refused.

        Parameters
        ----------
        source : path, DataFrame or iterable of mappings
            A file is comma, tab or semicolon separated text with a header; a part of one is a
            :class:`~cellsim.dosing.tables.TextTable`.
        product : str, optional
            For rows that name none.
        amount_unit : {"cells", "1e6 cells", "Mcell"}, optional
            What one of AMT is. It must be given when there is a column AMT: it is never guessed.
        time_unit : {"day", "hour"}
            Of TIME, DUR, II, and in RATE.
        compartments : mapping, optional
            Product of each number in CMT, such as ``{1: "graft"}``.
        products, day_zero
            As for :class:`Schedule`. Where day and date both stand in the table they must agree, and
            tell `day_zero` themselves.
        ignore : sequence of str
            Columns to leave aside.
        absorption : mapping of str to mapping, optional
            What a control stream says of a product, ``{"drug": {"lag": 0.5, "bioavailability": 0.8}}``: ``lag`` (ALAG) and
            ``bioavailability`` (F) where no column does, ``rate`` of RATE -1, ``duration`` of RATE -2; numbers, in the units of the
            table. A RATE is kept whatever share arrives, a DUR too.

        Returns
        -------
        Schedule

        Raises
        ------
        ScheduleError
            All problems at once, each with its row: the line of a file, else counted from 1.

        Examples
        --------
        >>> rows = [{"TIME": 0, "AMT": 50, "II": 7, "ADDL": 3, "CMT": 1}]
        >>> print(Schedule.from_table(rows, amount_unit="1e6 cells", compartments={1: "rfib"}))
        rfib: 5.0e7 cells on days 0, 7, 14, 21, 4 doses; total 4 infusions, 2.0e8 cells
        """
        reading = read_table(
            source,
            product=product,
            amount_unit=amount_unit,
            time_unit=time_unit,
            compartments=compartments,
            day_zero=None if day_zero is None else _date_zero(day_zero),
            ignore=tuple(ignore),
            absorption=absorption,
        )
        products, zero = tuple(products), reading.day_zero
        infusions = infusions_of(reading.rows, reading.problems, products, zero, file=reading.file)
        return cls(infusions, products, zero, reading.restarts)

    # ---- making others ----------------------------------------------------------------------------

    def __add__(self, other: Schedule) -> Schedule:
        """Both, on one clock; doses at one instant stay separate rows and add up in effect."""
        if not isinstance(other, Schedule):
            return NotImplemented
        if None not in (self.day_zero, other.day_zero) and self.day_zero != other.day_zero:
            raise ScheduleError(
                f"Day 0 is {self.day_zero} in one schedule and {other.day_zero} in the other; "
                "read both with the same day_zero."
            )
        zero = other.day_zero if self.day_zero is None else self.day_zero
        return Schedule(
            self.infusions + other.infusions,
            self.products + other.products,
            zero,
            self.restarts + other.restarts,
        )

    def __radd__(self, other: object) -> Schedule:
        """Let ``sum`` begin with its zero."""
        return self if other == 0 and isinstance(other, int) else NotImplemented

    def _each(self, change: Callable[[Any], Any], **more: Any) -> Schedule:
        """All that has a product, changed."""
        return replace(
            self,
            **more,
            infusions=tuple(change(each) for each in self.infusions),
            restarts=tuple(each if isinstance(each, Reset) else change(each) for each in self.restarts),
        )

    def shifted(self, days: float) -> Schedule:
        """The same doses, all later by `days` (earlier when negative); day 0 stays where it is.

        Examples
        --------
        >>> Schedule.at([0, 7], cells=5e7, product="rfib").shifted(-7).span
        (-7.0, 0.0)
        """
        _refuse(number_complaints("shift", days))

        def later(each: Any) -> Any:
            return replace(each, day=each.day + float(days))

        return replace(
            self, infusions=tuple(map(later, self.infusions)), restarts=tuple(map(later, self.restarts))
        )

    def scaled(self, factor: float) -> Schedule:
        """The same days with every dose multiplied by `factor` (above zero).

        Examples
        --------
        >>> Schedule.at([0, 7], cells=5e7, product="rfib").scaled(0.5).total()
        50000000.0
        """
        _refuse(number_complaints("factor", factor))
        if not factor > 0:
            raise ScheduleError(f"A factor of {factor:g} leaves no dose; it must be above zero.")
        return self._each(lambda each: replace(each, cells=each.cells * float(factor)))

    def only(
        self,
        *,
        product: str | Collection[str] | None = None,
        source: str | None = None,
        before: float | date | str | None = None,
        after: float | date | str | None = None,
    ) -> Schedule:
        """The doses, and steady states, that meet every condition given; a reset has a day alone.

        Parameters
        ----------
        product : str or collection of str, optional
            Name of the product or products.
        source : {"autologous", "allogeneic"}, optional
            Source of the product; the schedule must know its products.
        before, after : float, datetime.date or str, optional
            Day or date. Before is strict and after is not, so ``only(before=d) + only(after=d)`` is all.

        Returns
        -------
        Schedule
            With the same products and day 0; it may have no dose left.

        Raises
        ------
        ScheduleError
            For a product or source the schedule does not know.

        Examples
        --------
        >>> Schedule.every(7, cells=5e7, doses=12, product="rfib").only(before=28).count
        4
        """
        kept: list[Infusion | Restart] = [*self.infusions, *self.restarts]
        if product is not None:
            names = [product] if isinstance(product, str) else list(product)
            _refuse(
                f"no product {name!r}. {did_you_mean(name, self._names())}" for name in self._strangers(names)
            )
            kept = [each for each in kept if isinstance(each, Reset) or each.product in names]
        if source is not None:
            sources = {each.name: each.source for each in self.products}
            if source not in sources.values():
                known = did_you_mean(source, {each or "none" for each in sources.values()})
                raise ScheduleError(f"No product here is {source!r}. {known}")
            kept = [each for each in kept if isinstance(each, Reset) or sources[each.product] == source]
        try:
            first = -math.inf if after is None else day_of(after, self.day_zero)
            last = math.inf if before is None else day_of(before, self.day_zero)
        except ValueError as error:
            raise ScheduleError(f"{error}.") from None
        inside = [each for each in kept if first <= each.day < last]
        return replace(
            self,
            infusions=tuple(each for each in inside if isinstance(each, Infusion)),
            restarts=tuple(each for each in inside if not isinstance(each, Infusion)),
        )

    def as_product(self, product: str | Product) -> Schedule:
        """The same days and cells, all of another product.

        Parameters
        ----------
        product : str or Product
            A name the schedule knows (any name when it knows no products), or a product to make known.

        Examples
        --------
        >>> Schedule.at([0], cells=5e7, product="rfib").as_product("ucmsc").infusions[0].product
        'ucmsc'
        """
        known = self.products + ((product,) if isinstance(product, Product) else ())
        name = product.name if isinstance(product, Product) else product
        return self._each(lambda each: replace(each, product=name), products=known)

    # ---- asking -----------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        return sorted({each.product for each in self._given()} | {each.name for each in self.products})

    def _strangers(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name not in self._names()]

    def total(self, product: str | None = None) -> float:
        """Cells given, of all products or of one; of products in other units see :func:`cellsim.dosing.infusions.amounts`.

        Raises
        ------
        ScheduleError
            For a product the schedule does not know: a misspelt name has not been given zero cells.

        Examples
        --------
        >>> Schedule.every(28, cells=7.5e7, doses=5, product="rfib").total("rfib")
        375000000.0
        """
        if product is not None:
            _refuse(
                f"no product {name!r}. {did_you_mean(name, self._names())}"
                for name in self._strangers([product])
            )
        return math.fsum(each.cells for each in self.infusions if product in (None, each.product))

    @property
    def count(self) -> int:
        """How many infusions."""
        return len(self.infusions)

    @property
    def span(self) -> tuple[float, float] | None:
        """First day and the day the last infusion is over; None without a dose."""
        if not self.infusions:
            return None
        return self.infusions[0].day, max(each.end for each in self.infusions)

    def __len__(self) -> int:
        return len(self.infusions)

    def __iter__(self) -> Iterator[Infusion]:
        return iter(self.infusions)

    def to_frame(self) -> pd.DataFrame:
        """One row a dose: day, date (when day 0 is known, ISO text), product, cells, duration, label.

        Doses that come late or in part have the columns lag and bioavailability, restarts the columns evid, ss and ii.

        Returns
        -------
        pandas.DataFrame
            :meth:`from_table` reads it back without loss, also from a CSV file of it.

        Raises
        ------
        ScheduleError
            For a steady state whose next dose is not given: no row is both.

        Examples
        --------
        >>> Schedule.at([0], cells=5e7, product="rfib").to_frame().columns.tolist()
        ['day', 'product', 'cells', 'duration', 'label']
        """
        return frame_of(self)

    def __str__(self) -> str:
        return describe(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    def __repr__(self) -> str:
        return line_of(self)


def _refuse(complaints: Iterable[str]) -> None:
    first = next(stream := iter(complaints), None)
    if first is not None:
        raise ScheduleError([Problem(what=what) for what in chain([first], stream)])


def _date_zero(value: object) -> date:
    try:
        return as_date(value)
    except ValueError as error:
        raise ScheduleError(f"day_zero: {error}.") from None
