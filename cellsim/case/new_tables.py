"""The tables of a new case, written from what two sheets say; every guess is a doubt of its row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from cellsim.dosing.schedule import Schedule
from cellsim.errors import CaseError, ModelError, Problem, did_you_mean
from cellsim.model.content import Assignment, State
from cellsim.model.model import Model, load_model
from cellsim.model.starting_model import effect_names, starting_model
from cellsim.petab.doses_write import experiment_from_schedule
from cellsim.petab.origins import cell_of
from cellsim.petab.tables import number_text, table_text
from cellsim.spreadsheets.doses import DoseSheet
from cellsim.spreadsheets.lab_values import LabTable, LabValue, days_of_visits

__all__ = ["NewTables", "identifiers"]

_NOISE = 0.3
_WINDOW = 60.0  # days a first or last visit without date may lie outside of the others
_FACTOR = 0.5  # sd of the logarithm of a model's own parameter: a factor of 2.7 either way holds 95 %


def identifiers(names: Iterable[str]) -> list[str]:
    """Names as formulas can hold them, each its own: letters, digits and underscores, no digit first.

    Examples
    --------
    >>> identifiers(["IL-6", "CD4+ T cells", "24 h protein", "IL 6"])
    ['IL6', 'CD4_T_cells', 'x24_h_protein', 'IL6_2']
    """
    out: list[str] = []
    for name in names:
        plain = re.sub(r"(?<=[A-Za-z])[-\s](?=\d)", "", name)
        plain = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or "x"
        plain = plain if plain[0].isalpha() else f"x{plain}"
        taken, number = {each.lower() for each in out}, 2
        found = plain
        while found.lower() in taken:
            found, number = f"{plain}_{number}", number + 1
        out.append(found)
    return out


@dataclass
class _Place:
    """A visit as the case has it."""

    id: str
    name: str
    nominal: float
    earliest: float
    latest: float
    doubt: str
    cell: str


class NewTables:
    """The tables of one case."""

    def __init__(
        self,
        table: LabTable,
        doses: DoseSheet | None,
        model: Model | str | Path | None,
        name: str,
        zero: date | None,
    ) -> None:
        self.table, self.doses, self.name, self.zero = table, doses, name, zero
        seen = {each.analyte for each in table.values}
        self.read = [k for k in range(len(table.analytes)) if k in seen]
        self.ids = dict(zip(self.read, identifiers(table.analytes[k].name for k in self.read), strict=True))
        self.own = None if model is None else model if isinstance(model, Model) else _read_model(model)
        self.schedule = Schedule() if doses is None else doses.schedule(zero, self._states(doses))
        self.places = self._visits()
        begin = [self.schedule.span[0]] if self.schedule.span else []
        first = min([each.earliest for each in self.places] + begin)
        self.start = math.floor(min(first, 0.0)) - 1.0
        self.positive = {
            k: all(each.value > 0 for each in table.values if each.analyte == k) for k in self.read
        }
        self.model = self.own or self._starting()
        self.quantities = self._quantities()

    def _states(self, doses: DoseSheet) -> dict[str, str]:
        """The state each product enters."""
        if self.own is None:
            return {each: f"amount_{each}" for each in doses.products}
        states = [each.name for each in self.own.states]
        found, problems = {}, []
        for product in doses.products:
            same = [
                each
                for each in states
                if each.casefold() in (product.casefold(), f"amount_{product}".casefold())
            ]
            if len(same) == 1:
                found[product] = same[0]
            else:
                what = f"the model has no state that doses of {product!r} enter."
                remedy = f"Call the product after its state. {did_you_mean(product, states)}"
                at = doses.cells.get(product)
                place = f"{at.place}: " if at is not None else ""
                row = None if at is None else at.row
                problems.append(Problem(what=place + what, remedy=remedy, file=doses.file, row=row))
        if problems:
            raise CaseError(problems)
        return found

    def _visits(self) -> list[_Place]:
        days = days_of_visits(self.table, self.zero)
        used = {each.visit for each in self.table.values}
        names = identifiers(
            each.name
            or (f"day_{days[k]:g}".replace("-", "minus_") if days[k] is not None else f"visit_{k + 1}")
            for k, each in enumerate(self.table.visits)
        )
        out = []
        for k, visit in enumerate(self.table.visits):
            if k not in used:
                continue
            day = days[k]
            if day is not None:
                out.append(_Place(names[k], visit.name or names[k], day, day, day, "", visit.cell.place))
                continue
            before = max((each for each in days[:k] if each is not None), default=None)
            after = min((each for each in days[k + 1 :] if each is not None), default=None)
            if before is None and after is None:
                raise CaseError(
                    f"{self.table.file}: no visit has a date or a day ({visit.name} in {visit.cell.place} neither). "
                    "Add a column date or day, or a row of dates below the header."
                )
            low = before if before is not None else (after or 0.0) - _WINDOW
            high = after if after is not None else (before or 0.0) + _WINDOW
            if not low < high:
                raise CaseError(
                    f"{self.table.file}, {visit.cell.place}: visit {visit.name} has no date, and its neighbours leave "
                    f"no room (days {low:g} to {high:g}). Write its date, or put visits in the order of time."
                )
            doubt = (
                f"no date is given, so its day lies anywhere between {low:g} and {high:g}; write it into nominal, earliest and "
                "latest if it is known"
            )
            out.append(_Place(names[k], visit.name, (low + high) / 2, low, high, doubt, visit.cell.place))
        return out

    # ---- the model --------------------------------------------------------------------------------

    def _starting(self) -> Model:
        units = self.doses.units if self.doses is not None else {}
        return starting_model(
            self.name,
            [(self.ids[k], self.table.analytes[k].name, self.table.analytes[k].unit or "1", 
              self._centre(k)[0], None if self.positive[k] else self._scale(k)) for k in self.read],
            [(each.name, each.label, units[each.name], self._usual(each.name)) for each in self.schedule.products],
            lasting=[each.name for each in self.schedule.products if each.rate],
        )  # fmt: skip

    def _usual(self, product: str) -> float:
        """The median dose, in the unit of the product's state."""
        assert self.doses is not None
        sizes = sorted(each.cells for each in self.schedule if each.product == product)
        return sizes[len(sizes) // 2] / self.doses.per_unit(product)

    def _centre(self, k: int) -> tuple[float, str]:
        """Where an analyte is taken to lie without treatment, and why."""
        about = self.table.analytes[k]
        first = next(each for each in self.table.values if each.analyte == k)
        if self.positive[k] and about.low and about.high and about.low > 0:
            return math.sqrt(about.low * about.high), "the middle of the reference range"
        if about.high is not None and (about.high > 0 or not self.positive[k]):
            middle = about.high / 2 if about.low is None else (about.low + about.high) / 2
            return middle, "the middle of the reference range"
        return first.value, f"the first value ({first.cell.place})"

    def _quantities(self) -> dict[int, str]:
        """The model's quantity that each analyte is compared with."""
        if self.own is None:
            return {k: f"value_{self.ids[k]}" for k in self.read}
        known: list[Assignment | State] = [*self.own.assignments, *self.own.states]
        plain = {_letters(each.name): each.name for each in known}
        labels = {_letters(each.label): each.name for each in known if each.label}
        found, problems = {}, []
        for k in self.read:
            about = self.table.analytes[k]
            key = _letters(about.name)
            name = plain.get(key) or plain.get(f"value{key}") or labels.get(key)
            if name is None:
                what = f"{about.cell.place}: the model has no quantity for the analyte {about.name!r}."
                remedy = f"Call the column after the quantity, or delete it. {did_you_mean(about.name, plain.values())}"
                problems.append(Problem(what=what, remedy=remedy, file=self.table.file, row=about.cell.row))
            else:
                found[k] = name
        if problems:
            raise CaseError(problems)
        return found

    # ---- the tables -------------------------------------------------------------------------------

    def texts(self) -> dict[str, str]:
        """Every file of the case."""
        effects = [] if self.own is not None or not self.schedule.count else effect_names(self.model)
        experiment, conditions = self._timeline()
        tables: dict[str, tuple[Sequence[str], list[dict[str, str]]]] = {
            "observables.tsv": (_OBSERVABLES, [self._observable(k) for k in self.read]),
            "measurements.tsv": (_MEASUREMENTS, self._measurements()),
            "parameters.tsv": (_PARAMETERS, self._parameters()),
            "parameters_extended.tsv": (_PARAMETERS, [self._visit_day(each) for each in self.places if each.doubt]),
            "visits.tsv": (_VISITS, [self._visit(each) for each in self.places]),
            "experiments.tsv": (("experimentId", "time", "conditionId", "date", "product", "cells", "duration", "label", "source"), experiment),
            "conditions.tsv": (("conditionId", "targetId", "targetValue"), conditions),
            "products.tsv": (_PRODUCTS, self._products()),
            "table1.tsv": (("analyte", "visitId", "value", "unit", "status"), []),
            "extended.tsv": (_EXTENDED, self._censored()),
            "model_space.tsv": (
                ("model_subspace_id", "model_subspace_petab_yaml", *effects),
                [_subspace("drift", {each: self._off(each) for each in effects}), _subspace("response", dict.fromkeys(effects, "estimate"))]
                if effects else [],
            ),
            "variants.tsv": (
                ("variantId", "name", "meaning", "default"),
                [
                    {"variantId": "drift", "name": "drift alone", "meaning": "Treatment does nothing; every analyte drifts by itself.", "default": "false"},
                    {"variantId": "response", "name": "response to treatment", "meaning": "Treatment drives one response that every analyte follows to its own degree, beside its drift.", "default": "true"},
                ] if effects else [],
            ),
        }  # fmt: skip
        if effects:
            tables |= self._asked()
        return {
            **{file: table_text(columns, rows) for file, (columns, rows) in tables.items()},
            "problem.yaml": _PROBLEM.format(name=self.name),
            "model.ant": self.model.to_antimony(),
            "README.md": self._readme(),
        }

    def _asked(self) -> dict[str, tuple[Sequence[str], list[dict[str, str]]]]:
        """What the starting model's groups say, and which of its quantities figures show."""
        said = {"persistence": "persistence", "drives": "mechanism"}
        groups = {row["group"] for row in self._parameters()}
        shown = [
            {
                "quantityId": "response",
                "figure": "course",
                "label": "response to treatment (1 at a usual dose)",
            }
        ]
        shown += [
            {
                "quantityId": each.state, "figure": "amount", "product": each.name,
                "label": f"amount of {each.label or each.name} ({self.model[each.state].unit})",
            }
            for each in self.schedule.products
        ]  # fmt: skip
        return {
            "groups.tsv": (("group", "role"), [{"group": each, "role": role} for each, role in said.items() if each in groups]),
            "quantities.tsv": (("quantityId", "figure", "product", "label"), shown),
        }  # fmt: skip

    def _off(self, name: str) -> str:
        """What holds a parameter of the treatment's effect where treatment does nothing."""
        found = self.model[name]
        return "0" if name.startswith("loading_") else number_text(getattr(found, "value", 0.0))

    def _timeline(self) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        if not self.schedule.count:
            rows: tuple[list[dict[str, str]], list[dict[str, str]]] = (
                [{"experimentId": "timeline", "time": number_text(self.start), "conditionId": ""}], []
            )  # fmt: skip
        else:
            assert self.doses is not None
            scale = {each.state: self.doses.per_unit(each.name) for each in self.schedule.products}
            rows = experiment_from_schedule(self.schedule, start=self.start, cells_per_unit=scale)
        for row in rows[0]:
            cells = self._given_at(row)
            if cells:
                row["source"] = self._from(" and ".join(cells), self.doses)
        if self.zero is not None:
            rows[0][0]["date"] = str(self.zero + timedelta(days=math.floor(self.start)))
        return rows

    def _from(self, place: str, sheet: LabTable | DoseSheet | None) -> str:
        """The cell of a sheet that a row is made from."""
        return "" if sheet is None or not place else cell_of(place, Path(sheet.file).name)

    def _given_at(self, row: Mapping[str, str]) -> list[str]:
        """The cells of the doses that a row of the experiment begins."""
        if self.doses is None or not row.get("cells"):
            return []
        names, day = set(row.get("product", "").split(";")), float(row["time"])
        given = zip(self.doses.doses, self.doses.days(self.zero), strict=True)
        return [each.cell.place for each, when in given if when == day and each.product in names]

    def _observable(self, k: int) -> dict[str, str]:
        about = self.table.analytes[k]
        doubts = []
        if not about.unit:
            doubts.append(
                f"no unit is given, and none is taken: write it in the sheet, as in '{about.name} (mg/L)', or in the column unit"
            )
        where = self._from(about.cell.place, self.table)
        if self.positive[k]:
            spread = _NOISE
            doubts.append(
                f"its spread is a guess: {spread:g} of the natural logarithm, about {100 * spread:.0f} %; write the "
                "assay's own into noiseFormula"
            )
        else:
            spread = max(0.15 * self._size(k), (self._width(k) or 0.0) / 4) or 1.0
            low = next(e for e in self.table.values if e.analyte == k and not e.value > 0)
            remedy = (
                "write <0.5, with the limit of the assay, if it was below it"
                if low.value == 0
                else "correct it if its sign is wrong"
            )
            doubts.append(
                f"{self._from(low.cell.place, self.table)} is {low.value:g}, not above zero ({remedy}), so noise is normal; "
                f"its spread {spread:.3g} is a guess"
            )
        return {
            "observableId": f"obs_{self.ids[k]}", "observableFormula": self.quantities[k],
            "noiseFormula": number_text(float(f"{spread:.3g}")),
            "noiseDistribution": "log-normal" if self.positive[k] else "normal",
            "observableName": about.name, "analyte": self.ids[k], "quantity": self.quantities[k],
            "unit": about.unit or "1", "panel": about.panel, "referenceLower": _number(about.low),
            "referenceUpper": _number(about.high), "doubt": "; ".join(doubts), "source": where,
        }  # fmt: skip

    def _width(self, k: int) -> float | None:
        """How wide an analyte's reference range is."""
        about = self.table.analytes[k]
        return about.high - about.low if about.low is not None and about.high is not None else None

    def _scale(self, k: int) -> float:
        """How far an analyte that is not always above zero may move."""
        return float(f"{max(self._size(k), (self._width(k) or 0.0) / 2) or 1.0:.3g}")

    def _size(self, k: int) -> float:
        """The median size of an analyte's values, whatever their sign."""
        sizes = sorted(abs(each.value) for each in self.table.values if each.analyte == k)
        return sizes[len(sizes) // 2]

    def _repeats(self, value: LabValue) -> str:
        """Which of several assays of one sample a value is; empty for a lone one."""
        same = [e for e in self.table.values if (e.analyte, e.visit) == (value.analyte, value.visit)]
        return f"r{same.index(value) + 1}" if len(same) > 1 else ""

    def _row(self, value: LabValue) -> dict[str, str]:
        about = self.table.analytes[value.analyte]
        place = self._place(value)
        return {
            "observableId": f"obs_{self.ids[value.analyte]}", "visitId": place.id, "unit": about.unit or "1",
            "replicateId": self._repeats(value), "source": self._from(value.cell.place, self.table),
            "analyte": self.ids[value.analyte], "status": "printed",
        }  # fmt: skip

    def _place(self, value: LabValue) -> _Place:
        used = sorted({each.visit for each in self.table.values})
        return self.places[used.index(value.visit)]

    def _measurements(self) -> list[dict[str, str]]:
        return [
            {
                **self._row(each), "experimentId": "timeline", "time": number_text(self._place(each).nominal),
                "measurement": number_text(each.value),
            }
            for each in self.table.values
            if not each.censoring
        ]  # fmt: skip

    def _censored(self) -> list[dict[str, str]]:
        return [
            {
                **self._row(each), "kind": "censored", "day": number_text(self._place(each).nominal),
                "censoring": each.censoring, "limit": number_text(each.value), "scored": "true", "status": "censored",
            }
            for each in self.table.values
            if each.censoring
        ]  # fmt: skip

    def _parameters(self) -> list[dict[str, str]]:
        """Every parameter but the rates of infusions, which the timeline sets."""
        rates = {each.rate for each in self.schedule.products}
        made = _own_prior if self.own is not None else self._starting_prior
        return [
            made(each.name, each.value, each.unit, each.label)
            for each in self.model.parameters
            if each.name not in rates
        ]

    def _starting_prior(self, name: str, value: float, unit: str, label: str) -> dict[str, str]:
        kind, _, of = name.partition("_")
        guess = {
            "baseline": (("log-normal", (math.log(value) if value > 0 else 0.0, 1.0)), "baselines"),
            "loading": (("normal", (0.0, 0.5)), "loadings"),
            "drift": (("normal", (0.0, 0.3)), "drifts"),
            "elimination": (("log-normal", (math.log(value) if value > 0 else 0.0, 1.5)), "persistence"),
            "onset": (("log-normal", (math.log(value) if value > 0 else 0.0, 1.0)), "drives"),
            "strength": (("log-normal", (0.0, 1.0)), "drives"),
        }.get(kind)
        if guess is None:
            return _prior(name, value, None, unit, "", label, "")
        (family, numbers), group = guess
        doubt, source = "a guess of the starting model; replace it by what is known", ""
        if kind == "baseline":
            k = next(k for k, each in self.ids.items() if each == of)
            doubt = f"its prior is centred on {self._centre(k)[1]}; replace it by what is known"
            source = self._from(self.table.analytes[k].cell.place, self.table)
            if not self.positive[k]:
                family, numbers = "normal", (value, self._scale(k))
        if kind == "strength" and of == self.schedule.products[0].name:
            return _prior(name, value, None, unit, group, label, "")
        return _prior(name, value, (family, numbers), unit, group, label, doubt) | {"source": source}

    def _visit_day(self, place: _Place) -> dict[str, str]:
        return _prior(
            f"day_{place.id}", place.nominal, ("uniform", (place.earliest, place.latest)), "day", "visit days",
            f"day of visit {place.name}", "",
        ) | {"lowerBound": number_text(place.earliest), "upperBound": number_text(place.latest)}  # fmt: skip

    def _visit(self, place: _Place) -> dict[str, str]:
        before = [each.product for each in self.schedule if each.day == place.nominal and not place.doubt]
        return {
            "visitId": place.id, "name": place.name, "nominal": number_text(place.nominal),
            "earliest": number_text(place.earliest), "latest": number_text(place.latest),
            "timing": "predose" if before else "",
            "doubt": place.doubt or (
                f"it is the day of a dose ({before[0]}), and taken to be before it; write postdose into timing if it was after" if before else ""
            ),
            "source": self._from(place.cell, self.table),
        }  # fmt: skip

    def _unit_doubt(self, product: str, state: str) -> str:
        """That nothing says in which unit a state of somebody's own model stands."""
        if self.own is None or self.doses is None or self.own[state].unit:
            return ""
        return (
            f"the model gives {state} no unit, and doses enter it in {self.doses.units[product]}; write the unit of {state} "
            "into the model, or check that it is meant"
        )

    def _products(self) -> list[dict[str, str]]:
        if self.doses is None:
            return []
        return [
            {
                "productId": each.name, "name": each.label or each.name, "source": each.source, "state": each.state, "rate": each.rate,
                "cellsPerUnit": number_text(self.doses.per_unit(each.name)),
                "unit": "cells" if self.doses.units[each.name] == "Mcell" else self.doses.units[each.name],
                "quantity": each.state if self.own is None else "",
                "doubt": "; ".join(filter(None, [self.doses.doubts_of.get(each.name, ""), self._unit_doubt(each.name, each.state)])),
                "note": self._from(self.doses.cells[each.name].place if each.name in self.doses.cells else "", self.doses),
            }
            for each in self.schedule.products
        ]  # fmt: skip

    def _readme(self) -> str:
        notes = [*self.table.doubts, *(self.doses.doubts if self.doses is not None else ())]
        told = "\n".join(f"- {each}" for each in notes)
        return _README.format(name=self.name) + (f"\n{_READ_WITH_A_DOUBT}\n\n{told}\n" if notes else "")


def _read_model(source: str | Path) -> Model:
    """Somebody's own model; what is wrong with it names its file."""
    try:
        return load_model(source)
    except ModelError as error:
        file = "" if "\n" in str(source) or not Path(source).is_file() else str(source)
        raise CaseError([replace(each, file=each.file or file) for each in error.problems]) from None


def _letters(name: str) -> str:
    """A name by its letters and digits alone, so that CD-19 and cd_19 are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(value: float | None) -> str:
    return "" if value is None else number_text(value)


def _subspace(name: str, values: Mapping[str, str]) -> dict[str, str]:
    return {"model_subspace_id": name, "model_subspace_petab_yaml": "problem.yaml", **values}


def _own_prior(name: str, value: float, unit: str, label: str) -> dict[str, str]:
    """A prior around a value of somebody's own model: a factor either way above zero, held where it is zero or below."""
    if not value > 0:
        doubt = "held at the model's value, which is not above zero; give it a prior if it is to be estimated"
        return _prior(name, value, None, unit, "", label, doubt)
    doubt = "a guess: the model's value, within a factor of 2.7 either way; replace it by what is known"
    return _prior(name, value, ("log-normal", (math.log(value), _FACTOR)), unit, "", label, doubt)


def _prior(
    name: str, value: float, belief: tuple[str, tuple[float, ...]] | None, unit: str, group: str, label: str, doubt: str
) -> dict[str, str]:  # fmt: skip
    line = {
        "parameterId": name, "nominalValue": number_text(value), "unit": unit, "group": group, "mark": "A",
        "meaning": label or name, "doubt": doubt, "estimate": "false" if belief is None else "true",
    }  # fmt: skip
    if belief is not None:
        family, numbers = belief
        line |= {
            "priorDistribution": family,
            "priorParameters": ";".join(number_text(float(f"{each:.6g}")) for each in numbers),
        }
        line |= {"lowerBound": "0" if family == "log-normal" else "-inf", "upperBound": "inf"}
    return line


_OBSERVABLES = (
    "observableId", "observableFormula", "noiseFormula", "noiseDistribution", "observableName", "analyte", "quantity",
    "unit", "panel", "referenceLower", "referenceUpper", "doubt", "source",
)  # fmt: skip
_MEASUREMENTS = (
    "observableId", "experimentId", "time", "measurement", "visitId", "analyte", "unit", "status", "replicateId", "source",
)  # fmt: skip
_PARAMETERS = (
    "parameterId", "lowerBound", "upperBound", "nominalValue", "estimate", "priorDistribution", "priorParameters",
    "unit", "group", "mark", "meaning", "doubt", "source",
)  # fmt: skip
_VISITS = ("visitId", "name", "nominal", "earliest", "latest", "timing", "doubt", "source")
_PRODUCTS = (
    "productId",
    "name",
    "source",
    "state",
    "rate",
    "unit",
    "cellsPerUnit",
    "quantity",
    "doubt",
    "note",
)
_EXTENDED = (
    "observableId", "kind", "visitId", "day", "censoring", "limit", "lower", "upper", "unit", "analyte", "scored",
    "status", "replicateId", "source",
)  # fmt: skip
_PROBLEM = """\
format_version: 2.0.0
id: {name}
model_files: {{model: {{location: model.ant, language: antimony}}}}
parameter_files: [parameters.tsv]
observable_files: [observables.tsv]
measurement_files: [measurements.tsv]
condition_files: [conditions.tsv]
experiment_files: [experiments.tsv]
"""
_READ_WITH_A_DOUBT = "Guessed while the sheets were read, and told here alone:"
_README = """\
# {name}

Made from two spreadsheets. `cellsim check` on this folder repeats every guess about a row; correct the row, and the doubt
goes. The equations are in `model.ant`, what is believed about its parameters in `parameters.tsv`.
"""
