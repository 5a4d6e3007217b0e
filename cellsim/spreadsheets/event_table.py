"""Measurements and doses of one patient in one table, as NONMEM and Monolix keep them: in and out.

A row is a dose (AMT above zero, EVID 1) or an observation (DV, EVID 0 or MDV 0). Doses are read as everywhere here
(:meth:`cellsim.Schedule.from_table`); an observation of CENS 1 lies below its DV, one of CENS -1 above it. LIMIT bounds a
value censored from above on its other side: only one that no positive value passes (0 or less) says nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from os import PathLike
from typing import TYPE_CHECKING, Any

from cellsim.dosing.restarts import Reset, SteadyState
from cellsim.dosing.row_reader import DoseRow, UnreadableError, is_blank
from cellsim.dosing.tables import AMOUNT_UNITS, TableReading, read_table
from cellsim.errors import CaseError, Problem, UnitError, did_you_mean
from cellsim.spreadsheets.doses import DoseSheet, SheetDose
from cellsim.spreadsheets.lab_values import LabAnalyte, LabTable, LabValue, LabVisit
from cellsim.spreadsheets.sheet import Cell
from cellsim.units import parse_unit

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.dosing.schedule import Schedule

__all__ = ["event_table", "read_event_table"]

_NAMED = re.compile(r"(.+?)\s*[\[(]([^\[\]()]+)[\])]\s*")
_CENSORING = {0.0: "", 1.0: "left", -1.0: "right"}


def read_event_table(
    source: str | PathLike[str] | pd.DataFrame | Iterable[Mapping[str, Any]],
    *,
    amount_unit: str | Mapping[str, str] | None,
    time_unit: str,
    compartments: Mapping[Any, str] | None,
    analytes: Mapping[Any, str] | None,
    product: str | None,
    day_zero: date | None,
    ignore: Sequence[str],
    absorption: Mapping[str, Mapping[str, float]] | None = None,
    run_in: int = 0,
) -> tuple[LabTable, DoseSheet | None]:
    """Read a table of events into values and doses; see :func:`cellsim.new_case` for its columns.

    Returns
    -------
    values : LabTable
    doses : DoseSheet or None
        None where the table has no dose.

    Raises
    ------
    CaseError
        With every row that cannot be read.

    Examples
    --------
    >>> rows = [{"TIME": 0, "AMT": 100, "CMT": "drug"}, {"TIME": 1, "DV": 4.2, "DVID": "CRP"}]
    >>> values, doses = read_event_table(rows, amount_unit="mg", time_unit="day", compartments=None, analytes=None,
    ...     product=None, day_zero=None, ignore=())
    >>> values.values[0].value, doses.units
    (4.2, {'drug': 'mg'})
    """
    reading = read_table(
        source,
        product=product,
        # what an amount counts is said product by product below
        amount_unit=None if amount_unit is None else "cells",
        time_unit=time_unit,
        compartments=compartments,
        day_zero=day_zero,
        ignore=tuple(ignore),
        absorption=absorption,
    )
    made = _Events(reading, analytes or {}, set(ignore))
    made.observe()
    doses = made.doses(amount_unit, run_in)
    if not made.values:
        made.say("no row has a DV that was measured: EVID 0 or MDV 0, and a number.", None)
    if made.problems:
        raise CaseError(made.problems)
    return made.table(), doses


@dataclass
class _Found:
    """An observation: its analyte and visit by position, value, censoring, and where it stands."""

    analyte: int
    visit: int
    value: float
    censoring: str
    cell: Cell


class _Events:
    """The rows of one table while they are read."""

    def __init__(self, reading: TableReading, analytes: Mapping[Any, str], ignore: set[str]) -> None:
        self.reading, self.named = reading, {str(key): name for key, name in analytes.items()}
        self.problems: list[Problem] = list(reading.problems)
        self.ignore = ignore
        self.analytes: list[LabAnalyte] = []
        self.days: list[float] = []
        self.values: list[_Found] = []

    def say(self, what: str, row: int | None, remedy: str = "") -> None:
        """Add a complaint about a row."""
        self.problems.append(Problem(what=what, remedy=remedy, file=self.reading.file, row=row))

    def observe(self) -> None:
        """Read every row that is no dose."""
        for number, row in self.reading.observed:
            try:
                self._observe(number, row)
            except UnreadableError as error:
                self.say(str(error), number)

    def _observe(self, number: int, row: Mapping[str, Any]) -> None:
        reader = self.reading.reader
        assert reader is not None
        if reader.number(row, "mdv"):
            return
        if is_blank(row.get("dv")):
            raise UnreadableError("an observation without DV; MDV 1 says that nothing was measured.")
        value, mark = reader.number(row, "dv"), reader.number(row, "cens")
        if value - value != 0:
            raise UnreadableError(f"DV {row['dv']} is not a finite number.")
        if mark not in _CENSORING:
            raise UnreadableError(f"CENS {mark:g} is neither 0 (measured), 1 (below DV) nor -1 (above DV).")
        if not is_blank(row.get("limit")):
            limit = reader.number(row, "limit")
            if not mark:
                raise UnreadableError(
                    f"LIMIT {limit:g} beside CENS 0 says nothing; CENS 1 would say that DV is a limit."
                )
            if mark < 0 or limit > 0:
                raise UnreadableError(
                    f"LIMIT {limit:g} beside DV {value:g} is an interval, and values beyond one limit are scored; leave LIMIT out."
                )
        day = reader.day(row)
        cell = Cell(value, number, 1 + list(row).index("dv"))
        analyte = self._analyte(row, cell)
        if day not in self.days:
            self.days.append(day)
        self.values.append(_Found(analyte, self.days.index(day), value, _CENSORING[mark], cell))

    def _analyte(self, row: Mapping[str, Any], cell: Cell) -> int:
        """What was measured: by DVID, by CMT where there is none, or the one thing that is."""
        column = next((each for each in ("dvid", "cmt") if not is_blank(row.get(each))), "")
        said = str(row[column]).strip().removesuffix(".0") if column else "DV"
        name = self.named.get(said, said)
        if column and name == said and said.lstrip("-").isdigit():
            known = f"analytes={{{said}: 'name (unit)'}}"
            raise UnreadableError(
                f"{column.upper()} {said} does not say what was measured; tell with {known}."
            )
        found = _NAMED.fullmatch(name)
        plain, unit = (found[1], found[2].strip()) if found else (name, "")
        for k, each in enumerate(self.analytes):
            if each.name.casefold() == plain.casefold():
                return k
        self.analytes.append(LabAnalyte(plain, unit, None, None, "", cell))
        return len(self.analytes) - 1

    def table(self) -> LabTable:
        """The observations, visits in the order of time."""
        order = sorted(range(len(self.days)), key=self.days.__getitem__)
        place = {old: new for new, old in enumerate(order)}
        first = {found.visit: found.cell for found in reversed(self.values)}
        visits = tuple(LabVisit("", float(self.days[old]), first[old]) for old in order)
        values = [LabValue(f.analyte, place[f.visit], f.value, f.censoring, f.cell) for f in self.values]
        return LabTable(self.reading.file, tuple(self.analytes), visits, tuple(values), ())

    def _steady(self, run_in: int) -> Iterator[SteadyState]:
        """Steady states that earlier doses can stand for; complaints about all others, and about resets."""
        for each in self.reading.restarts:
            if isinstance(each, Reset):
                what = (
                    f"{each}: a case is one patient from the first day on, whose states are never set anew."
                )
                remedy = (
                    "Leave the row out where the drug washed out by itself; occasions that begin anew are experiments of a "
                    "PEtab problem. cs.simulate runs a schedule of the table as it is."
                )
                self.say(what, each.row, remedy)
                continue
            earlier = [day for day in self.days if day < each.day]
            if not each.added:
                earlier += [row.day for row in self.reading.rows if row.day < each.day]
            if earlier:
                what = f"{each}: the doses that led there would change what was given or measured on day {earlier[0]:g}."
                self.say(what, each.row, "A case holds steady states before everything else only.")
            elif not each.interval:
                self.say(f"{each}: write the infusion that led there.", each.row)
            elif run_in < 1:
                remedy = "Say how many doses before it stand for it: run_in (--run-in)."
                self.say(f"{each}: a case begins with what was given.", each.row, remedy)
            else:
                yield each

    def doses(self, amount_unit: str | Mapping[str, str] | None, run_in: int) -> DoseSheet | None:
        """The doses, each in the unit that is said of its product."""
        ids: dict[str, str] = {}
        units: dict[str, str] = {}
        made = []
        steady = [*self._steady(run_in)]
        led = [
            DoseRow(each.day - k * each.interval, each.product, each.cells, each.duration, "", each.row, each.lag,
                    each.bioavailability)
            for each in steady for k in range(run_in, 0, -1)
        ]  # fmt: skip
        for row in (*led, *self.reading.rows):
            name = str(row.product)
            if isinstance(amount_unit, Mapping):
                unit = amount_unit.get(name, "")
            else:
                unit = amount_unit or "cells"
            if name not in ids:
                plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "product"
                plain = plain if plain[0].isalpha() else f"x{plain}"
                while plain in ids.values():
                    plain += "_2"
                ids[name] = plain
                units[plain] = "Mcell" if unit in AMOUNT_UNITS else unit
                self._judge_unit(name, unit, row.row, amount_unit)
            amount = float(row.cells) * row.bioavailability * AMOUNT_UNITS.get(unit, 1.0)
            if not 0 < amount < float("inf"):
                self.say(
                    f"the dose {amount:g} is not above zero.", row.row, "Delete the row if nothing was given."
                )
            if not 0 <= row.duration < float("inf"):
                self.say(f"the duration {row.duration:g} is below zero.", row.row)
            cell = Cell(amount, row.row, 1)
            if not 0 <= row.lag < float("inf"):
                self.say(f"the lag {row.lag:g} is below zero.", row.row)
            made.append(SheetDose(float(row.day) + row.lag, ids[name], amount, row.duration, row.label, cell))
        if not made:
            return None
        names = {identity: name for name, identity in ids.items()}
        return DoseSheet(
            self.reading.file, tuple(made), units, names, dict.fromkeys(names, ""),
            steady=tuple((each.day, each.interval, each.row) for each in steady),
        )  # fmt: skip

    def _judge_unit(self, name: str, unit: str, row: int, given: str | Mapping[str, str] | None) -> None:
        """Complain about a product without unit, and a unit that is none."""
        if not unit:
            known = given if isinstance(given, Mapping) else ()
            self.say(
                f"amount_unit does not say in which unit {name!r} is given.", row, did_you_mean(name, known)
            )
        elif unit not in AMOUNT_UNITS:
            try:
                parse_unit(unit)
            except UnitError as error:
                self.say(f"amount_unit {unit!r} of {name}: {error}", row)


def event_table(
    schedule: Schedule, values: Sequence[tuple[float, str, float, str]], *, before: Sequence[float] = ()
) -> pd.DataFrame:
    """Doses and values as one table; see :meth:`cellsim.Case.event_table`.

    Parameters
    ----------
    schedule : Schedule
    values : sequence of (float, str, float, str)
        Day, analyte, value, and ``""``, ``"left"`` or ``"right"``.
    before : sequence of float
        Days on which values stand before the doses of the day.
    """
    import pandas as pd

    products = list(dict.fromkeys(each.product for each in schedule))
    analytes = list(dict.fromkeys(name for _, name, _, _ in values))
    marks = {censoring: int(mark) for mark, censoring in _CENSORING.items()}
    rows: list[tuple[float, int, dict[str, Any]]] = []
    for each in schedule:
        rate = each.cells / each.duration if each.duration else 0.0
        told = {"EVID": 1, "MDV": 1, "AMT": each.cells, "RATE": rate, "CMT": 1 + products.index(each.product)}
        rows.append((each.day, 1, told))
    for day, name, value, censoring in values:
        told = {"EVID": 0, "MDV": 0, "DV": value, "DVID": 1 + analytes.index(name), "CENS": marks[censoring]}
        rows.append((day, 0 if day in before else 2, told))
    ordered = sorted(rows, key=lambda each: each[:2])
    columns = ("ID", "TIME", "EVID", "AMT", "RATE", "CMT", "DV", "DVID", "MDV", "CENS")
    table = pd.DataFrame([{"ID": 1, "TIME": day, **told} for day, _, told in ordered], columns=list(columns))
    for name in ("CMT", "DVID", "CENS", "EVID", "MDV"):
        table[name] = table[name].astype("Int64")
    table.attrs["compartments"] = dict(enumerate(products, start=1))
    table.attrs["analytes"] = dict(enumerate(analytes, start=1))
    return table
