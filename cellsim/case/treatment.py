"""The treatment of a case: which products there are, and which infusions its timeline holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from cellsim.case.plausibility import dose_doubt
from cellsim.dates import as_date, far_away
from cellsim.dosing.delivery import cells_per_unit
from cellsim.dosing.infusions import SOURCES, dose_noun
from cellsim.dosing.schedule import Product, Schedule
from cellsim.errors import ScheduleError
from cellsim.petab.doses_read import schedule_from_experiment
from cellsim.petab.tables import REMARKS, TableReader, TableRow, kept

if TYPE_CHECKING:
    from cellsim.model.model import Model

__all__ = ["Treatment"]

_PRODUCTS = (
    ("productId", "source", "state"),
    ("name", "rate", "unit", "quantity", "cellsPerUnit", "infusions", "cells", "background", *REMARKS),
)
_EXPERIMENT = (
    ("experimentId", "time", "conditionId"),
    ("date", "product", "cells", "duration", "label", "calendar", *REMARKS),
)
_CONDITIONS = (("conditionId", "targetId", "targetValue"), REMARKS)


class Treatment:
    """Products, infusions, and the clock they are counted on.

    Parameters
    ----------
    reader : TableReader
        Where complaints are left.
    tables : mapping
        Names of the standard tables by their key in the problem file.
    model : Model, optional
        What the doses enter: it says what one unit of a state is where the table does not.

    Attributes
    ----------
    products : tuple of Product
    timeline : Schedule
        Everything given; empty when it cannot be read.
    start : float or None
        The day the simulation starts.
    day_zero : datetime.date or None
        The date of day 0, from the column ``date`` of the experiment table.
    background : tuple of str
        Products that every plan keeps giving as they were given.
    cells_per_unit : dict
        How much of a product, in its own unit, is one unit of the state it enters.
    product_rows : dict
        TableRow of each product in its table.
    targets : dict
        What the conditions change, with the row that does it first.
    experiments : list of str
        The experiment's name (one is allowed).
    """

    def __init__(
        self, reader: TableReader, tables: Mapping[str, Sequence[str]], model: Model | None = None
    ) -> None:
        self.reader = reader
        self._units = {} if model is None else {each.name: each.unit for each in model.states}
        self._defined = {} if model is None else dict(model.units)
        self.cells_per_unit: dict[str, float] = {}
        self._promised: dict[str, tuple[float | None, float | None, TableRow]] = {}
        self.background: tuple[str, ...] = ()
        self.products = kept(self._product(line) for line in reader.rows(["products.tsv"], *_PRODUCTS))
        self.product_rows = {name: line.row for name, (_, _, line) in self._promised.items()}
        experiment = reader.rows(tables.get("experiment_files", ()), *_EXPERIMENT)
        conditions = reader.rows(tables.get("condition_files", ()), *_CONDITIONS)
        self.experiments = list(dict.fromkeys(line.of("experimentId") for line in experiment))[:1]
        self.targets: dict[str, TableRow] = {}
        for line in conditions:
            self.targets.setdefault(line.of("targetId"), line)
        timed = [(time, line) for line in experiment if (time := reader.number(line, "time")) is not None]
        timed.sort(key=lambda each: each[0])  # the order of rows says nothing
        self.start = self._start(timed)
        self._doubt_idle([line for _, line in timed], conditions)
        self.day_zero = self._day_zero(timed)
        names = ["products.tsv", *tables.get("experiment_files", ()), *tables.get("condition_files", ())]
        complete = all(name in reader.texts for name in names)
        self.timeline = self._timeline([line for _, line in timed], conditions, complete)

    def _product(self, line: TableRow) -> Product | None:
        name, state = self.reader.text(line, "productId"), self.reader.text(line, "state")
        counted = cells_per_unit(self._units.get(state, ""), self._defined)
        scale = self.reader.number(line, "cellsPerUnit", default=counted or 1.0)
        if scale is not None and not scale > 0:
            what, remedy = (
                f"cellsPerUnit {scale:g} must be above zero.",
                "Correct it, or leave it to the model.",
            )
            self.reader.complain(line, what, remedy, column="cellsPerUnit")
            scale = None
        self.cells_per_unit[state] = counted or 1.0 if scale is None else scale
        own = self._units.get(state, "cells")
        unit = line.of("unit") or ("cells" if counted or line.of("source") in SOURCES[:2] else own)
        self._promised[name] = (
            self.reader.number(line, "infusions") if line.of("infusions") else None,
            self.reader.number(line, "cells") if line.of("cells") else None,
            line,
        )
        if self.reader.truth(line, "background"):
            self.background += (name,)
        try:
            return Product(
                name,
                "" if line.of("source").lower() == "none" else line.of("source"),
                state,
                line.of("name"),
                line.of("rate"),
                unit,
                line.of("quantity"),
            )
        except ScheduleError as error:
            for each in error.problems:
                at = "productId" if not name else "state" if not state else "source"
                self.reader.complain(line, each.what, each.remedy, column=at)
            return None

    def _start(self, timed: Sequence[tuple[float, TableRow]]) -> float | None:
        for time, line in timed:
            if said := far_away(time):
                self.reader.complain(line, f"{said}.", "Is it right?", column="time", severity="doubt")
            if line.of("experimentId") not in self.experiments:
                what = (
                    f"a second experiment {line.of('experimentId')!r}: a case is one patient on one timeline."
                )
                remedy = f"Its name is {self.experiments[0]!r}."
                self.reader.complain(line, what, remedy, column="experimentId")
        if not timed:
            return None
        start = min(time for time, _ in timed)
        for time, line in timed:
            if time == start and line.of("conditionId"):
                self.reader.complain(
                    line,
                    f"the first period, on day {start:g}, changes something.",
                    "Put a row without condition before it: that is where the simulation starts.",
                    column="conditionId",
                )
        return start

    def _doubt_idle(self, experiment: Sequence[TableRow], conditions: Sequence[TableRow]) -> None:
        """Periods that change nothing, and conditions that no period has: a name may be lost."""
        for line in experiment[1:]:
            # cells without a condition are refused where doses are read
            if not line.of("conditionId") and not line.of("cells"):
                said = f"the row of day {line.of('time')} has no condition, and does nothing."
                remedy = "Only the first row has none: was its conditionId lost?"
                self.reader.complain(line, said, remedy, column="conditionId", severity="doubt")
        used = {line.of("conditionId") for line in experiment}
        for name, line in {each.of("conditionId"): each for each in reversed(conditions)}.items():
            if name and name not in used and experiment:
                said = f"no row of the experiment has condition {name!r}, which is never applied."
                remedy = "Was a row of the experiment lost?"
                self.reader.complain(line, said, remedy, column="conditionId", severity="doubt")

    def _day_zero(self, timed: Sequence[tuple[float, TableRow]]) -> date | None:
        found: date | None = None
        for time, line in timed:
            if not line.of("date"):
                continue
            try:
                zero = as_date(line.of("date")) - timedelta(days=time // 1)
            except OverflowError:
                what = f"day {time:g} is beyond the calendar."
                self.reader.complain(line, what, "Correct the day, or leave date empty.", column="time")
                continue
            except ValueError as error:
                self.reader.complain(line, f"{error}.", "Write it as 2023-10-06.", column="date")
                continue
            found = found or zero
            if zero != found:
                what = f"day {time:g} on {line.of('date')} makes {zero} day 0; the rows above say {found}."
                self.reader.complain(line, what, "Correct the day or the date.", column="date")
        return found

    def _timeline(
        self, experiment: Sequence[TableRow], conditions: Sequence[TableRow], complete: bool
    ) -> Schedule:
        try:
            timeline = schedule_from_experiment(
                experiment,
                conditions,
                self.products,
                cells_per_unit=self.cells_per_unit,
                day_zero=self.day_zero,
            )
        except ScheduleError as error:
            file = experiment[0].file if experiment else ""
            found = [each if each.file else replace(each, file=file) for each in error.problems]
            # one missing file is one complaint, not one for every dose
            changes = {line.file for line in conditions}
            self.reader.problems += [each for each in found if complete or each.file in changes]
            return Schedule((), self.products, self.day_zero)
        for product in self.products if complete else ():
            self._keep_promise(product, timeline)
        self._doubt_sizes(timeline, experiment)
        return timeline

    def _doubt_sizes(self, timeline: Schedule, experiment: Sequence[TableRow]) -> None:
        """Doses a thousandfold off the others of their product, or of a few cells."""
        states = {product.name: product.state for product in self.products}
        units = {product.name: product.unit for product in self.products}
        for k, each in enumerate(timeline.infusions):
            others = [
                one.cells
                for i, one in enumerate(timeline.infusions)
                if i != k and one.product == each.product
            ]
            counted = units.get(each.product) == "cells" and states.get(each.product) in self.cells_per_unit
            unit = "cells" if counted else f"{units.get(each.product, '')} of {each.product}".strip()
            if why := dose_doubt(each.cells, others, counted=counted, unit=unit):
                at = [
                    one for one in experiment if one.of("conditionId") and float(one.of("time")) == each.day
                ]
                said = f"the infusion of {each.product} on day {each.day:g}: {why}."
                remedy = "Is the amount in another unit?"
                where = at[0] if at else TableRow({})
                column = "cells" if where.of("cells") else "conditionId" if at else ""
                self.reader.complain(where, said, remedy, column=column, severity="doubt")

    def _keep_promise(self, product: Product, timeline: Schedule) -> None:
        """What the source says was given in total must be what the timeline gives."""
        count, cells, line = self._promised[product.name]
        given = [each for each in timeline if each.product == product.name]
        total = sum(each.cells for each in given)
        if count is not None and count != len(given):
            what = (
                f"{count:g} {dose_noun(given, self.products)}s of {product.name} are stated, and {len(given)} stand in the "
                "timeline."
            )
            self.reader.complain(line, what, "Was a row lost or doubled?", column="infusions")
        if cells is not None and abs(cells - total) > 1e-6 * cells:
            what = (
                f"{cells:g} {product.unit} of {product.name} are stated, and {total:g} stand in the timeline."
            )
            self.reader.complain(line, what, "Is a dose wrong, or the total?", column="cells")
