"""A sheet of doses as a ward keeps it, read into doses with their cells; cells, milligrams and other units alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from cellsim.dosing.body import Body
from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.dosing.tables import AMOUNT_UNITS
from cellsim.errors import CaseError, Problem, ScheduleError
from cellsim.spreadsheets.cell_reader import CellReader, plain_power
from cellsim.spreadsheets.sheet import Cell, Sheet
from cellsim.spreadsheets.slips import meant, misspelt, out_of_order
from cellsim.units import parse_unit

__all__ = ["DoseSheet", "SheetDose", "dose_sheet"]

_WORDS = {
    "date": "date datum givenon given infusiondate dosedate datetime",
    "day": "day days studyday tag time",
    "product": "product drug treatment substance medication agent compound name",
    "amount": "amount dose amt cells quantity menge dosis number",
    "unit": "unit units doseunit amountunit einheit",
    "duration": "duration dur infusiontime length",
    "label": "label remark comment note notes batch lot",
    "source": "source origin donor",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_BRACKETED = re.compile(r"(.+?)\s*[\[(]([^\[\]()]+)[\])]\s*")
_WITH_UNIT = re.compile(r"([+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*([A-Za-z\N{MICRO SIGN}].*)")
_TIMES_TEN = re.compile(r"[x*\N{MULTIPLICATION SIGN}]\s*10")
_EXPONENT = re.compile(r"[eE]\d+")
_COUNTS = {
    **{name.lower(): count for name, count in AMOUNT_UNITS.items()},
    "cell": 1.0,
    "10^6 cells": 1e6,
    "mio cells": 1e6,
    "million cells": 1e6,
}
_BARE = re.compile(r"[\d.^eEx*\s]+")
_TIMES = {
    "d": 1.0,
    "day": 1.0,
    "days": 1.0,
    "h": 1 / 24,
    "hour": 1 / 24,
    "hours": 1 / 24,
    "hr": 1 / 24,
    "hrs": 1 / 24,
    "min": 1 / 1440,
    "minutes": 1 / 1440,
    "mins": 1 / 1440,
    "minute": 1 / 1440,
}
_SOURCES = {
    "autologous": "autologous",
    "own": "autologous",
    "allogeneic": "allogeneic",
    "donor": "allogeneic",
    "": "",
}
_MCELL = 1e6


@dataclass(frozen=True)
class SheetDose:
    """One dose: when, which product, how much in its unit (counts of cells as cells), days it takes, and its cell."""

    when: datetime | float
    product: str
    amount: float
    duration: float
    label: str
    cell: Cell
    when_cell: Cell | None = None


@dataclass(frozen=True)
class DoseSheet:
    """A sheet of doses, read.

    Attributes
    ----------
    file : str
    doses : tuple of SheetDose
    units : dict of str to str
        Unit of each product's state: ``"Mcell"`` for cells.
    names, sources : dict of str to str
        What the sheet calls each product, and whose cells they are.
    doubts : tuple of Problem
    doubts_of : dict of str to str
        What was guessed about a product.
    cells : dict of str to Cell
        Where each product is named first.
    steady : tuple of (float, float, int)
        Day, interval and row of each steady state that doses are written out for.
    """

    file: str
    doses: tuple[SheetDose, ...]
    units: Mapping[str, str]
    names: Mapping[str, str]
    sources: Mapping[str, str]
    doubts: tuple[Problem, ...] = ()
    doubts_of: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    steady: tuple[tuple[float, float, int], ...] = ()

    @property
    def products(self) -> tuple[str, ...]:
        """Products by identifier, in the order of the sheet."""
        return tuple(self.units)

    def per_unit(self, product: str) -> float:
        """How much of what a dose counts is one unit of the product's state: a million for cells, else one."""
        return _MCELL if self.units[product] == "Mcell" else 1.0

    def days(self, zero: date | None) -> list[float]:
        """The study day of every dose, dates counted from `zero`."""
        return [_day(each.when, zero) for each in self.doses]

    def schedule(self, zero: date | None, states: Mapping[str, str]) -> Schedule:
        """The doses as infusions, dates counted from `zero`; `states` says which state each product enters."""
        lasting = {each.product for each in self.doses if each.duration}
        products = tuple(
            Product(
                each, self.sources[each], states[each], self.names[each],
                f"infusion_rate_{each}" if each in lasting else "",
            )
            for each in self.products
        )  # fmt: skip
        return Schedule(
            tuple(
                Infusion(day, each.product, each.amount, each.duration, each.label)
                for each, day in zip(self.doses, self.days(zero), strict=True)
            ),
            products,
            zero,
        )


def _day(when: datetime | float, zero: date | None) -> float:
    if isinstance(when, float):
        return when
    assert zero is not None
    return (when - datetime.combine(zero, time())) / timedelta(days=1)


def _kind(cell: Cell) -> tuple[str, str]:
    """What a column is called after, and the unit in brackets behind it."""
    if not isinstance(cell.value, str):
        return "", ""
    found = _BRACKETED.fullmatch(cell.text)
    name, unit = (found[1], found[2].strip()) if found else (cell.text, "")
    word = re.sub(r"[^a-z]", "", name.lower())
    if word == "cells" and "cell" not in unit.lower():
        unit = f"{unit} cells".strip()  # as in cells (1e6)
    return _KINDS.get(word, ""), unit


def dose_sheet(sheet: Sheet, body: Body | None = None) -> DoseSheet:
    """Read a sheet of doses.

    Parameters
    ----------
    sheet : Sheet
        With a header: date or day, product, and cells or dose, whose unit stands in brackets or in a column unit; duration
        with its unit in brackets, label, and source (autologous or allogeneic) where there are any.
    body : Body, optional
        Weight and height, for doses per kg and per m^2; what they come to is a doubt of the cell.

    Returns
    -------
    DoseSheet

    Raises
    ------
    CaseError
        With every cell that cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> from cellsim.spreadsheets.sheet import read_sheet
    >>> found = dose_sheet(read_sheet(pd.DataFrame({"day": [0, 14], "drug": "rituximab", "dose (mg)": [1000, 500]})))
    >>> found.units, [each.amount for each in found.doses]
    ({'rituximab': 'mg'}, [1000.0, 500.0])
    """
    reader = CellReader.of(sheet)
    header = next(
        (k for k, row in enumerate(sheet.rows) if sum(cell.value is not None for cell in row) > 1), 0
    )
    for cell in (each for row in sheet.rows[:header] for each in row if each.value is not None):
        what = f"{cell.text[:40]!r} stands above the header and is not read."
        reader.complain(cell, what, "Delete it if nothing is lost.", severity="doubt")
    top, rows = sheet.rows[header], sheet.rows[header + 1 :]
    kinds = [_kind(cell) for cell in top]
    at: dict[str, int] = {}
    for k, (kind, _) in enumerate(kinds):
        if kind and kind in at:
            first = top[at[kind]]
            what = f"{top[k].text!r} and {first.text!r} ({first.place}) both say the {kind}."
            reader.complain(top[k], what, "Keep one, or rename the other.")
        elif kind:
            at[kind] = k
        elif top[k].value is not None:
            found = meant(top[k].text, _KINDS)
            remedy = (
                f"Did you mean {found!r}?" if found else "Delete it, or leave it if it says nothing of doses."
            )
            reader.complain(top[k], f"the column {top[k].text!r} is not read.", remedy, severity="doubt")
    reader.nameless(top, rows)
    reader.one_patient(top, rows)
    for what, names in (("when", ("date", "day")), ("how much", ("amount",))):
        if not set(names) & at.keys():
            remedy = f"Call a column {' or '.join(names)}." + (
                " Name its unit: 'dose (mg)'." if what == "how much" else ""
            )
            near = [
                f"{cell.text!r} ({cell.place}) for {found!r}"
                for cell, (kind, _) in zip(top, kinds, strict=True)
                if not kind and (found := meant(cell.text, _KINDS)) and _KINDS[found] in names
            ]
            remedy += f" Is {' and '.join(near)} meant?" if near else ""
            at_fault = next((cell for cell in top if near and near[0].startswith(repr(cell.text))), top[0])
            reader.complain(at_fault, f"no column says {what}.", remedy)
    if any(each.severity == "error" for each in reader.problems):
        raise CaseError([each for each in reader.problems if each.severity == "error"])
    in_header = {kind: unit for kind, unit in kinds if unit}
    return _Doses(reader, at, in_header, body or Body(), top).read(rows)


class _Doses:
    """The rows of one sheet while they are read."""

    def __init__(
        self,
        reader: CellReader,
        at: Mapping[str, int],
        units: Mapping[str, str],
        body: Body,
        top: Sequence[Cell],
    ) -> None:
        self.reader, self.at, self.in_header, self.body, self.top = reader, at, units, body, top
        self.named: dict[str, list[Cell]] = {}
        self.unitless: dict[str, list[tuple[Cell, float]]] = {}
        self.ids: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.doubts_of: dict[str, str] = {}

    def read(self, body: Sequence[Sequence[Cell]]) -> DoseSheet:
        """Every dose, or every complaint."""
        made = [each for row in body if (each := self._dose(row)) is not None]
        self._tell_unitless(sum(row[self.at["amount"]].value is not None for row in body))
        if not made and not any(each.severity == "error" for each in self.reader.problems):
            self.reader.complain(
                self.reader.sheet.rows[0][0], "no dose stands in this sheet.", "Is it another sheet?"
            )
        wrong = [each for each in self.reader.problems if each.severity == "error"]
        if wrong:
            raise CaseError(wrong)
        self._doubt_slips(made)
        names = {identity: name for name, identity in self.ids.items()}
        first = {self.ids[name]: cells[0] for name, cells in self.named.items() if name in self.ids}
        return DoseSheet(
            self.reader.sheet.file, tuple(made), self.units, names, self.sources,
            tuple(self.reader.all_told()), self.doubts_of, first,
        )  # fmt: skip

    def _tell_unitless(self, doses: int) -> None:
        """Complain about amounts without unit: in the header where that is missing for all of them, else by cell."""
        for kind, remedy in (
            ("dose", "Write it in the header, 'dose (mg)' or 'cells', or in a column unit."),
            ("duration", "Write 'duration (h)' or 'duration (days)' in the header."),
        ):
            lacking = self.unitless.get(kind, [])
            unit = "unit" if kind == "dose" else "unit of time"
            head = self.top[self.at["amount" if kind == "dose" else "duration"]] if lacking else None
            if head is not None and len(lacking) == doses and doses > 1:
                first, value = lacking[0]
                what = f"the column {head.text!r} has no {unit}, as of {value:g} in {first.place}."
                self.reader.complain(head, what, remedy)
                continue
            for cell, value in lacking:
                self.reader.complain(cell, f"the {kind} {value:g} has no {unit}.", remedy)

    def _doubt_slips(self, made: Sequence[SheetDose]) -> None:
        """Doubt products that are all but another one, and doses that stand twice."""
        for cell, what, remedy in misspelt(self.named, lambda one, other: False):
            self.reader.complain(cell, f"{what}.", remedy, severity="doubt")
        seen: dict[tuple[object, ...], Cell] = {}
        for each in made:
            same = (each.when, each.product, each.amount, each.duration)
            if same in seen:
                what = f"the dose of {seen[same].place} stands here again; both are read as given"
                self.reader.guess("twice", each.cell, what, "Delete one if it is a copy.")
            seen.setdefault(same, each.cell)
        for product in dict.fromkeys(each.product for each in made):
            times = [(each.when, each.when_cell or each.cell) for each in made if each.product == product]
            for cell, what, remedy in out_of_order(times):
                self.reader.complain(cell, f"{what}.", remedy, severity="doubt")

    def _cell(self, row: Sequence[Cell], kind: str) -> Cell | None:
        return row[self.at[kind]] if kind in self.at and row[self.at[kind]].value is not None else None

    def _dose(self, row: Sequence[Cell]) -> SheetDose | None:
        amount_cell = self._cell(row, "amount")
        if amount_cell is None:
            if any(cell.value is not None for cell in row):
                remedy = "Write how much was given, or delete the row."
                self.reader.complain(row[self.at["amount"]], "a row without a dose.", remedy)
            return None
        date_cell, day_cell = self._cell(row, "date"), self._cell(row, "day")
        if date_cell is None and day_cell is None:
            remedy = "Write its date or day; a total is no dose: delete its row."
            empty = next((row[self.at[kind]] for kind in ("date", "day") if kind in self.at), amount_cell)
            self.reader.complain(empty, "nothing says when this dose was given.", remedy)
            return None
        when = (
            self.reader.when(date_cell, day=False)
            if date_cell
            else self.reader.when(day_cell or amount_cell, day=True)
        )
        product = self._product(row, amount_cell)
        amount = self._amount(row, amount_cell, product)
        duration = self._duration(row)
        label = self._cell(row, "label")
        if when is None or amount is None or duration is None or not product:
            return None
        named = label.text if label else ""
        return SheetDose(when, product, amount, duration, named, amount_cell, date_cell or day_cell)

    def _product(self, row: Sequence[Cell], beside: Cell) -> str:
        cell = self._cell(row, "product")
        if cell is None and "product" in self.at:
            self.reader.complain(row[self.at["product"]], "no product stands beside this dose.", "Name it.")
            return ""
        name = cell.text if cell else "product"
        known = next((each for each in self.ids if each.casefold() == name.casefold()), None)
        if known is None:
            identity = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "product"
            identity = identity if identity[0].isalpha() else f"x{identity}"
            while identity in self.units or identity in self.ids.values():
                identity += "_2"
            self.ids[name] = identity
            known = name
        identity = self.ids[known]
        if cell is not None:
            self.named.setdefault(known, []).append(cell)
        source = self._cell(row, "source")
        word = source.text.lower() if source else ""
        if word not in _SOURCES:
            self.reader.complain(
                source or beside,
                f"source {word!r} is not autologous or allogeneic.",
                "Write one of them, or nothing.",
            )
            word = ""
        self.sources[identity] = _SOURCES[word] or self.sources.get(identity, "")
        return identity

    def _amount(self, row: Sequence[Cell], cell: Cell, product: str) -> float | None:
        unit_cell = self._cell(row, "unit")
        unit = unit_cell.text if unit_cell else self.in_header.get("amount", "")
        text = plain_power(cell.text)
        own = _WITH_UNIT.fullmatch(text) if isinstance(cell.value, str) else None
        if own and not _EXPONENT.fullmatch(own[2]) and not _TIMES_TEN.match(own[2]):
            text, unit = own[1], own[2].strip() or unit
        value = self.reader.number(cell, text if isinstance(cell.value, str) else None)
        if value is None:
            return None
        if not value > 0:
            self.reader.complain(
                cell, f"the dose {value:g} is not above zero.", "Delete the row if nothing was given."
            )
            return None
        if not unit:
            self.unitless.setdefault("dose", []).append((cell, value))
            return None
        if _BARE.fullmatch(unit):
            self.reader.complain(cell, f"the unit {unit!r} is a number.", "Write of what: '1e6 cells', 'mg'.")
            return None
        if "/" in unit:
            try:
                amount, plain = self.body.amount(value, unit)
            except ScheduleError as error:
                remedy = "Say it (weight in kg, height in cm), or write the amount given."
                self.reader.complain(cell, str(error), remedy)
                return None
            said = f"{value:g} {unit} come to {amount:.4g} {plain} for {self.body}"
            self.reader.complain(cell, f"{said}.", "Check it, or write the amount given.", severity="doubt")
            self.doubts_of.setdefault(product, f"{cell.place}: {said}")
            value, unit = amount, plain
        counted = unit.lower() in _COUNTS
        if not counted and "cell" in unit.lower():
            self.reader.complain(
                cell, f"{unit!r} is no unit of cells that is known.", "Write cells, or 1e6 cells."
            )
            return None
        if not counted:
            try:
                parse_unit(unit)
            except Exception as error:  # its message is the complaint
                self.reader.complain(cell, f"unit {unit!r}: {error}", "Write cells, mg, g, IU or the like.")
                return None
        state_unit = "Mcell" if counted else unit
        if product and self.units.setdefault(product, state_unit) != state_unit:
            self.reader.complain(
                cell,
                f"{product} is given in {unit} here, and in {self.units[product]} above.",
                "Use one unit for a product.",
            )
            return None
        if not counted:
            return value
        cells = value * _COUNTS[unit.lower()]
        if cells < 1e4:
            self.reader.complain(
                cell,
                f"{cells:g} cells is hardly a dose.",
                "Is the number in millions? Then write '1e6 cells' as its unit.",
                severity="doubt",
            )
            self.doubts_of[product] = f"{cell.place}: {cells:g} cells is hardly a dose"
        return cells

    def _duration(self, row: Sequence[Cell]) -> float | None:
        cell = self._cell(row, "duration")
        if cell is None:
            return 0.0
        unit = self.in_header.get("duration", "")
        value = self.reader.number(cell)
        if value is None:
            return None
        if unit.lower() not in _TIMES:
            self.unitless.setdefault("duration", []).append((cell, value))
            return None
        if value < 0 or not math.isfinite(value):
            self.reader.complain(
                cell, f"the duration {value:g} is below zero.", "Write 0 for a dose given at once."
            )
            return None
        return value * _TIMES[unit.lower()]
