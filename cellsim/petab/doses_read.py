"""PEtab experiments read as schedules: what the conditions deliver, and what the extra columns tell of it.

PEtab holds increments of a state and levels of a rate; the extra columns that
:mod:`cellsim.petab.doses_write` writes tell the single infusions behind them. Both must agree.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise

from cellsim.delimited import read_number, why_no_number
from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.errors import Problem, ScheduleError, did_you_mean
from cellsim.petab.doses_write import Scale, rate_levels, scale_of
from cellsim.petab.tables import TableRow

__all__ = ["schedule_from_experiment"]

_NUMBER = r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+\.(?:[eE][+-]?[0-9]+)?"
_INCREMENT = re.compile(rf"([A-Za-z_]\w*)\s*([+-])\s*([+-]?)\s*({_NUMBER})")
_TURNED = re.compile(rf"({_NUMBER})\s*\+\s*([A-Za-z_]\w*)")
_LEVEL = re.compile(rf"[+-]?\s*(?:{_NUMBER})")
_AGREE = 1e-9  # relative; above rounding, far below any real difference between two ways of writing a dose


def schedule_from_experiment(
    experiment: Sequence[Mapping[str, str]],
    conditions: Sequence[Mapping[str, str]],
    products: Sequence[Product] = (),
    *,
    cells_per_unit: Scale = 1e6,
    day_zero: date | None = None,
) -> Schedule:
    """Read a schedule from the rows of one PEtab experiment.

    Where the extra columns tell cells, product, duration and label, they are used, and must agree with what
    the conditions deliver; where they do not, an increment is a dose without duration, and every stretch of
    constant rate is one infusion (which delivers the same cells over the same time).

    Parameters
    ----------
    experiment, conditions : sequence of mapping
        Rows by column, as text.
    products : sequence of Product
        Which product enters which state. An increment of any other state is a dose in that state's unit.
    cells_per_unit : float or mapping
        Cells in one unit of the states that products enter, the same for all or by state.
    day_zero : datetime.date, optional
        Calendar date of day 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ScheduleError
        All problems at once, each with its row.

    Examples
    --------
    >>> rows = [{"time": "-1"}, {"time": "0", "conditionId": "dose"}]
    >>> change = [{"conditionId": "dose", "targetId": "infusate_auto", "targetValue": "infusate_auto + 50"}]
    >>> rfib = Product("rfib", "autologous", "infusate_auto")
    >>> print(schedule_from_experiment(rows, change, [rfib]))
    rfib (autologous): 5.0e7 cells on day 0, 1 dose; total 1 infusion, 5.0e7 cells
    """
    return _DoseReading(experiment, conditions, products, cells_per_unit).schedule(day_zero)


class _DoseReading:
    """One experiment on its way to a schedule: what PEtab delivers, and what the extra columns declare."""

    def __init__(
        self,
        experiment: Sequence[Mapping[str, str]],
        conditions: Sequence[Mapping[str, str]],
        products: Sequence[Product],
        cells_per_unit: Scale,
    ) -> None:
        self.problems: list[Problem] = []
        self.products = {product.name: product for product in products}
        self.cells_per_unit = cells_per_unit
        self.rates = {product.rate: product for product in products if product.rate}
        self.jumps: dict[tuple[float, str], tuple[float, TableRow]] = {}
        self.levels: dict[str, dict[float, tuple[float, TableRow]]] = defaultdict(dict)
        self.declared: list[tuple[Infusion, TableRow]] = []
        changes: dict[str, list[TableRow]] = defaultdict(list)
        for line in map(_as_line, conditions):
            changes[line.of("conditionId")].append(line)
        for line in map(_as_line, experiment):
            try:
                time = read_number(line.of("time"))
            except ValueError:
                time = math.nan
            if not math.isfinite(time):
                what = f"time {line.of('time')!r} is not a finite number of days."
                self.complain(line, what, "Write days from day 0.", column="time")
                continue
            name = line.of("conditionId")
            if name and name not in changes:
                remedy = did_you_mean(name, changes)
                self.complain(line, f"no condition {name!r}.", remedy, column="conditionId")
            elif name:
                self.deliver(time, line, changes[name])
            self.declare(time, line)

    def complain(self, line: TableRow, what: str, remedy: str, *, column: str) -> None:
        self.problems.append(line.problem(what, remedy, column=column))

    def scale(self, state: str) -> float:
        return scale_of(state, list(self.products.values()), self.cells_per_unit)

    def deliver(self, time: float, line: TableRow, changes: Sequence[TableRow]) -> None:
        """Note what one condition changes at `time`."""
        for change in changes:
            target, value = change.of("targetId"), change.of("targetValue")
            if target in self.rates and _LEVEL.fullmatch(value):
                level = read_number(value.replace(" ", ""))
                if level < 0:
                    what = f"a negative rate of input, {level:g}, into {target}."
                    self.complain(change, what, "Write it from 0 on.", column="targetValue")
                elif time in self.levels[target]:
                    what = f"{target} is set twice at day {time:g}."
                    self.complain(line, what, "Add the rates up in one row.", column="conditionId")
                else:
                    self.levels[target][time] = (level, line)
                continue
            amount = _increment(target, value)
            if amount is None:
                self.complain(
                    change,
                    f"{target} := {value!r} is neither a dose nor a rate of input.",
                    f"A dose is written '{target or 'state'} + 50'; a rate is a number.",
                    column="targetValue",
                )
            elif not amount > 0:
                what = f"a dose of {amount:g} into {target}: cells cannot be taken out."
                remedy = f"Write '{target} + {abs(amount):g}', or remove it." if amount else "Remove it."
                self.complain(change, what, remedy, column="targetValue")
            elif (time, target) in self.jumps:
                what = f"two conditions dose {target} at day {time:g}."
                self.complain(line, what, "Add them up in one condition.", column="conditionId")
            else:
                self.jumps[time, target] = (amount, line)

    def declare(self, time: float, line: TableRow) -> None:
        """Note the infusions that the extra columns of a row tell of."""
        if not line.of("cells"):
            return
        columns = {name: _unlisted(line.get(name, "")) for name in ("cells", "product", "duration", "label")}
        count = len(columns["cells"])
        for name, values in columns.items():
            if values == [""]:
                columns[name] = values * count
            elif len(values) != count:
                what = f"{count} values of cells, but {len(values)} of {name}."
                self.complain(line, what, "Write one for each, joined by ';'.", column=name)
                return
        for cells, product, duration, label in zip(*columns.values(), strict=True):
            try:
                amount, lasting = read_number(cells), read_number(duration or "0")
            except ValueError:
                what = f"cells {cells!r} over {duration!r} days are not numbers."
                self.complain(line, what, why_no_number(cells), column="cells")
                continue
            named = product.strip() or self.only_product(line)
            if named and self.products and named not in self.products and (time, named) not in self.jumps:
                what, remedy = f"no product {named!r}.", did_you_mean(named, self.products)
                self.complain(line, what, remedy, column="product")
                continue
            try:
                self.declared.append((Infusion(time, named or "", amount, lasting, label), line))
            except ScheduleError as error:
                # what is said of a dose begins with the name of its number
                self.problems += [
                    line.problem(
                        each.what,
                        each.remedy or "Correct it, or remove the row.",
                        column=next((name for name in columns if each.what.startswith(name)), "cells"),
                    )
                    for each in error.problems
                ]

    def only_product(self, line: TableRow) -> str | None:
        """The product of a row that names none: the one that enters the state its condition doses."""
        targets = {target for (_, target), (_, where) in self.jumps.items() if where is line}
        targets |= {
            self.rates[r].state
            for r, steps in self.levels.items()
            for _, where in steps.values()
            if where is line
        }
        fits = [name for name, product in self.products.items() if product.state in targets]
        return fits[0] if len(fits) == 1 else next(iter(targets), None)

    def target(self, infusion: Infusion) -> str:
        product = self.products.get(infusion.product)
        return product.state if product else infusion.product

    def schedule(self, day_zero: date | None) -> Schedule:
        infusions = [*self.bolus_doses(), *self.lasting_doses()]
        if self.problems:
            raise ScheduleError(self.problems)
        # a name that is a state, not a product, is understood only by a schedule that knows no products
        known = () if any(each.product not in self.products for each in infusions) else self.products.values()
        return Schedule(tuple(infusions), tuple(known), day_zero)

    def bolus_doses(self) -> list[Infusion]:
        told: dict[tuple[float, str], list[Infusion]] = defaultdict(list)
        for infusion, line in self.declared:
            if not infusion.duration:
                place = (infusion.day, self.target(infusion))
                told[place].append(infusion)
                if place not in self.jumps:
                    what = f"{infusion.cells:g} cells of {infusion.product}, but no condition gives them."
                    self.complain(
                        line, what, "Name the condition that does, or empty cells.", column="conditionId"
                    )
        for (day, target), (amount, line) in self.jumps.items():
            scale = self.scale(target)
            if (day, target) not in told:
                names = [name for name, product in self.products.items() if product.state == target]
                if len(names) > 1:
                    what = f"{' and '.join(names)} both enter {target}."
                    self.complain(line, what, "Say which in column 'product'.", column="product")
                told[day, target].append(Infusion(day, names[0] if names else target, amount * scale))
                continue
            stated = math.fsum(each.cells for each in told[day, target])
            if not math.isclose(stated, amount * scale, rel_tol=_AGREE):
                self.complain(
                    line,
                    f"{stated:g} cells are written here, "
                    f"but condition {line.of('conditionId')!r} gives {amount * scale:g}.",
                    "Correct the one or the other.",
                    column="cells",
                )
        return [each for doses in told.values() for each in doses]

    def lasting_doses(self) -> list[Infusion]:
        found: list[Infusion] = []
        for rate, product in self.rates.items():
            scale = self.scale(product.state)
            told = [
                (each, line)
                for each, line in self.declared
                if each.duration
                and each.product in self.products
                and self.products[each.product].rate == rate
            ]
            steps = dict(sorted(self.levels.get(rate, {}).items()))
            if steps and (last := list(steps.values())[-1])[0] > 0:
                what = f"{rate} is never set back to 0."
                self.complain(last[1], what, "Add the row that ends the infusion.", column="conditionId")
                found += [each for each, _ in told]  # which are no doses without a rate
                continue
            if told:
                found += [each for each, _ in told]
                self.compare(rate, rate_levels((each for each, _ in told), scale), steps, told)
                continue
            instants = list(steps)
            for begin, end in pairwise(instants):
                if steps[begin][0] > 0:
                    cells = steps[begin][0] * (end - begin) * scale
                    found.append(Infusion(begin, product.name, cells, end - begin))
        lasting = [(each, line) for each, line in self.declared if each.duration and each not in found]
        for infusion, line in lasting:
            self.complain(
                line,
                f"{infusion.product} takes {infusion.duration:g} days, but no rate parameter of it is set.",
                "Name it in column 'rate' of the products, and write its rows on and off.",
                column="duration",
            )
        return found

    def compare(
        self,
        rate: str,
        stated: Mapping[float, float],
        given: Mapping[float, tuple[float, TableRow]],
        told: Sequence[tuple[Infusion, TableRow]],
    ) -> None:
        """Complain where the declared infusions and the rows on and off deliver different rates."""

        def level(steps: Mapping[float, float], at: float) -> float:
            return next(
                (value for instant, value in sorted(steps.items(), reverse=True) if instant <= at), 0.0
            )

        delivered = {instant: value for instant, (value, _) in given.items()}
        for instant in sorted({*stated, *delivered}):
            if not math.isclose(level(stated, instant), level(delivered, instant), rel_tol=_AGREE):
                line = given[instant][1] if instant in given else told[0][1]
                self.complain(
                    line,
                    f"from day {instant:g} the infusions written here need "
                    f"{rate} = {level(stated, instant):g}, but it is {level(delivered, instant):g}.",
                    "Correct cells and duration, or the condition and the row that ends it.",
                    column="conditionId" if instant in given else "cells",
                )
                return


def _as_line(row: Mapping[str, str]) -> TableRow:
    return row if isinstance(row, TableRow) else TableRow(row)


def _increment(target: str, value: str) -> float | None:
    """How much `value` adds to `target`; None when it is anything else."""
    if found := _INCREMENT.fullmatch(value):
        name, sign, inner, number = found.groups()
        amount = read_number(number) * (-1 if sign == "-" else 1) * (-1 if inner == "-" else 1)
    elif found := _TURNED.fullmatch(value):
        number, name = found.groups()
        amount = read_number(number)
    else:
        return None
    return amount if name == target and math.isfinite(amount) else None


def _unlisted(text: str) -> list[str]:
    found, escaped = [""], False
    for letter in text:
        if escaped or letter not in "\\;":
            found[-1] += letter
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            found.append("")
    return found
