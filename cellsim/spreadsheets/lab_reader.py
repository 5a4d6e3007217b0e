"""The analytes, visits and values of one laboratory sheet while it is read, each held against what stands above it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from cellsim.errors import UnitError
from cellsim.spreadsheets.cell_reader import CellReader
from cellsim.spreadsheets.sheet import Cell
from cellsim.spreadsheets.slips import days_against_dates, misspelt, out_of_order, unit_slip
from cellsim.units import conversion_factor, parse_unit

__all__ = ["LabAnalyte", "LabReader", "LabValue", "LabVisit", "bare_unit"]

_BRACKETED = re.compile(r"(.+?)\s*[\[(]([^\[\]()]+)[\])]\s*")
_BEHIND_NAME = re.compile(r"(.+?)(?:\s*,\s*|\s+)(\S*[/%\N{PER MILLE SIGN}]\S*(?:\s*/\s*\S+)?)")

_ONE_OF_TWO = "Delete one if it is a copy; rename one if it is another quantity."


@dataclass(frozen=True)
class LabAnalyte:
    """One laboratory quantity: its name as written, unit, reference limits and panel, and the cell of its name."""

    name: str
    unit: str
    low: float | None
    high: float | None
    panel: str
    cell: Cell
    unit_cell: Cell | None = None


@dataclass(frozen=True)
class LabVisit:
    """One sampling occasion: its name, its date, its day or neither, and the cell that says so."""

    name: str
    when: datetime | float | None
    cell: Cell


@dataclass(frozen=True)
class LabValue:
    """One value: number, ``"left"`` or ``"right"`` where it is only a limit, analyte and visit by position."""

    analyte: int
    visit: int
    value: float
    censoring: str
    cell: Cell


def bare_unit(cell: Cell) -> str:
    """A unit as its own cell says it, brackets around it aside.

    Examples
    --------
    >>> bare_unit(Cell("[mg/L]", 2, 3))
    'mg/L'
    """
    return cell.text.strip("[]() ") if re.fullmatch(r"[\[(].*[\])]", cell.text) else cell.text


@dataclass
class LabReader(CellReader):
    """One laboratory sheet while it is read: what was found, and what is wrong.

    Attributes
    ----------
    analytes, visits, values : list
    named : dict of str to list of Cell
        Where each analyte is named, one row a value.
    days : list of (date, day, cell)
        Study days that stand beside a date.
    unitless : dict of str to list of Cell
        Empty cells of the unit of each analyte.
    """

    analytes: list[LabAnalyte] = field(default_factory=list)
    visits: list[LabVisit] = field(default_factory=list)
    values: list[LabValue] = field(default_factory=list)
    named: dict[str, list[Cell]] = field(default_factory=dict)
    days: list[tuple[datetime, float, Cell]] = field(default_factory=list)
    unitless: dict[str, list[Cell]] = field(default_factory=dict)

    def analyte(
        self,
        cell: Cell,
        unit_cell: Cell | None = None,
        limits: tuple[float | None, float | None] = (None, None),
        panel: str = "",
        *,
        limits_cell: Cell | None = None,
    ) -> int:
        """The position of an analyte by its name; limits and unit of a later row must not differ."""
        name, unit = cell.text, bare_unit(unit_cell) if unit_cell is not None else ""
        if not unit:
            name, unit = self._name_and_unit(cell)
        at = unit_cell if unit_cell is not None and unit_cell.value is not None else cell
        if unit_cell is not None and unit_cell.value is None:
            self.unitless.setdefault(name.casefold(), []).append(unit_cell)
        low, high = limits
        for k, known in enumerate(self.analytes):
            if known.name.casefold() != name.casefold():
                continue
            others = (
                ("unit", known.unit, unit),
                ("lower limit", known.low, low),
                ("upper limit", known.high, high),
            )
            differ = [
                each for each in others if each[1] not in ("", None) and each[2] not in ("", None, each[1])
            ]
            if differ and known.cell.row == cell.row:
                what, one, other = differ[0]
                said = (
                    f"{name} stands in {known.cell.place} too, with the {what} {one} there and {other} here."
                )
                self.complain(cell, said, _ONE_OF_TWO)
                return k
            if unit and known.unit and unit != known.unit:
                self._other_unit(at, unit, known)
            elif unit and not known.unit:
                self._judge_unit(at, unit)
            for what, one, other in (("lower limit", known.low, low), ("upper limit", known.high, high)):
                if one is not None and other is not None and one != other:
                    self.complain(
                        limits_cell or cell,
                        f"{name} has the {what} {other:g} here, and {one:g} in row {known.cell.row}.",
                        f"Use one {what} for all values of an analyte.",
                    )
            self.analytes[k] = replace(
                known,
                unit=known.unit or unit,
                low=known.low if known.low is not None else low,
                high=known.high if known.high is not None else high,
                unit_cell=known.unit_cell or (at if unit else None),
            )
            return k
        if unit:
            self._judge_unit(at, unit)
        self.analytes.append(LabAnalyte(name, unit, low, high, panel, cell, at if unit else None))
        return len(self.analytes) - 1

    def _name_and_unit(self, cell: Cell) -> tuple[str, str]:
        """A name with its unit in brackets, or, where that is a unit beyond doubt, behind it."""
        if found := _BRACKETED.fullmatch(cell.text):
            return found[1], found[2].strip()
        if found := _BEHIND_NAME.fullmatch(cell.text):
            try:
                parse_unit(found[2])
            except Exception:  # no unit, so it belongs to the name
                return cell.text, ""
            what = f"{cell.text!r} is read as {found[1]} in {found[2]}"
            self.guess("unit behind name", cell, what, f"Write '{found[1]} ({found[2]})' if that is right.")
            return found[1], found[2]
        return cell.text, ""

    def _judge_unit(self, cell: Cell, unit: str) -> None:
        if said := unit_slip(unit):
            self.complain(cell, *said)

    def _other_unit(self, cell: Cell, unit: str, known: LabAnalyte) -> None:
        """Complain about a second unit of an analyte, unless it means the same as the first."""
        remedy = "Use one unit for all values of an analyte."
        try:
            factor = conversion_factor(unit, known.unit)
        except UnitError:
            pass
        else:
            if factor == 1:
                return
            remedy = f"Multiply the value by {factor:g}, and write {known.unit}; or correct the unit."
        at = known.unit_cell or known.cell
        what = f"{known.name} has the unit {unit} here, and {known.unit} in {at.place}."
        self.complain(cell, what, remedy)

    def visit(
        self, name: str, when: datetime | float | None, cell: Cell, *, name_cell: Cell | None = None
    ) -> int:
        """The position of a visit: one name is one visit, and so is one date without names."""
        at = name_cell or cell
        for k, known in enumerate(self.visits):
            same_name = bool(name) and known.name.casefold() == name.casefold()
            same_time = when is not None and known.when == when
            if same_name and when is not None and known.when is not None and not same_time:
                self.complain(
                    at,
                    f"visit {name} is on {_said(when)} here, and on {_said(known.when)} in {known.cell.place}.",
                    "One visit has one date; give the second another name, or correct the date.",
                )
                return k
            if name and known.name and same_time and not same_name:
                self.complain(
                    at,
                    f"visits {name} and {known.name} ({known.cell.place}) are both on {_said(known.when)}.",
                    "Give them one name, or correct a date.",
                )
                return k
            if same_name or (not name and not known.name and same_time):
                if known.when is None:
                    self.visits[k] = replace(known, when=when)
                return k
        self.visits.append(LabVisit(name, when, cell))
        return len(self.visits) - 1

    def when_of(self, at: dict[str, int], row: Sequence[Cell]) -> tuple[datetime | float | None, Cell | None]:
        """When a row was taken, by its date, else by its day, and the cell that says so; None where neither does."""
        found: dict[str, datetime | float | None] = {}
        for kind in ("date", "day"):
            if kind in at and row[at[kind]].value is not None:
                found[kind] = self.when(row[at[kind]], day=kind == "day")
        if isinstance(one := found.get("date"), date) and isinstance(day := found.get("day"), float):
            self.days.append((one, day, row[at["day"]]))
        kind = next(iter(found), "")
        return (found[kind], row[at[kind]]) if kind else (None, None)

    def doubt_twice(self, cell: Cell, read: Sequence[int]) -> None:
        """Doubt the last of the analytes read when it was there before."""
        if read[-1] in read[:-1]:
            about = self.analytes[read[-1]]
            said = (
                f"{about.name} stands in {about.cell.place} too; both are read as assays of the same samples."
            )
            self.complain(cell, said, _ONE_OF_TWO, severity="doubt")

    def add(self, analyte: int, visit: int, cell: Cell) -> None:
        """The value in a cell, when there is one."""
        if found := self.value(cell, self.analytes[analyte].unit):
            self.values.append(LabValue(analyte, visit, *found, cell))

    def doubt_repeat(self, cell: Cell, visit: int, rows: dict[int, Cell]) -> None:
        """Doubt a row or column of a visit that has one already."""
        if visit in rows:
            what = f"{cell.text} stands in {rows[visit].place} too; their values are read as repeated assays of one visit"
            self.guess(
                "repeated visit", cell, what, "Delete one if it is a copy, or give it another name and date."
            )
        rows.setdefault(visit, cell)

    def doubt_slips(self) -> None:
        """Doubt what was read and is probably a slip."""
        valued = {each.analyte for each in self.values}
        for k, about in enumerate(self.analytes):
            if k not in valued:
                what = f"no value of {about.name} stands in the sheet, and it is left out"
                self.guess("no value", about.cell, what, "Delete it if nothing is lost.")
            elif about.unit_cell is not None:
                for cell in self.unitless.get(about.name.casefold(), ()):
                    what = f"{about.name} has no unit here, and is taken to be in {about.unit} as in {about.unit_cell.place}"
                    self.guess("unit of other rows", cell, what, "Write the unit.")
        occasions: dict[str, set[int]] = {}
        at_visit: dict[str, set[int]] = {}
        places: dict[str, list[Cell]] = {}
        courses: dict[int, list[tuple[datetime | float, Cell]]] = {}
        for each in self.values:
            name = self.visits[each.visit].name
            occasions.setdefault(self.analytes[each.analyte].name, set()).add(each.visit)
            at_visit.setdefault(name, set()).add(each.analyte)
            if (when := self.visits[each.visit].when) is not None:
                courses.setdefault(each.analyte, []).append((when, self.visits[each.visit].cell))
            if name:
                places.setdefault(name, []).append(self.visits[each.visit].cell)
        for cell, what, remedy in (
            *misspelt(
                self.named, lambda one, other: bool(occasions.get(one, set()) & occasions.get(other, set()))
            ),
            *misspelt(places, lambda one, other: bool(at_visit[one] & at_visit[other])),
            *dict.fromkeys(odd for each in courses.values() for odd in out_of_order(each)),
            *days_against_dates(self.days),
        ):
            self.complain(cell, f"{what}.", remedy, severity="doubt")


def _said(when: datetime | float | None) -> str:
    return f"day {when:g}" if isinstance(when, float) else str(when.date()) if when is not None else ""
