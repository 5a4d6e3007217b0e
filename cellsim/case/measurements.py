"""The data of a case, from text to records: what can be read is read, the rest is complained about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cellsim.case.checks import is_number
from cellsim.case.records import (
    STATUSES,
    TIMINGS,
    Analyte,
    Censored,
    Grade,
    Measurement,
    PrintedCell,
    Visit,
)
from cellsim.dates import far_away
from cellsim.errors import did_you_mean
from cellsim.petab.tables import REMARKS, TableReader, TableRow, kept, listed

__all__ = ["Data"]

_DISTRIBUTIONS = ("normal", "log-normal", "laplace", "log-laplace")


class Data:
    """What was measured, and how it is predicted and scored.

    Parameters
    ----------
    reader : TableReader
        The texts; complaints are left there.
    tables : mapping
        Names of the standard tables by their key in the problem file.

    Attributes
    ----------
    analytes, visits, rows, table1, censored, grades : tuple
        One record for each row that can be read.
    """

    def __init__(self, reader: TableReader, tables: Mapping[str, Sequence[str]]) -> None:
        self.reader = reader
        observables = reader.rows(tables.get("observable_files", ()), *_OBSERVABLES)
        self.analytes = kept(self._analyte(line) for line in observables)
        self._observables = {each.observable: each for each in self.analytes}
        visits = reader.rows(["visits.tsv"], *_VISITS)
        self.visits = tuple(sorted(kept(self._visit(line) for line in visits), key=lambda each: each.nominal))
        measurements = reader.rows(tables.get("measurement_files", ()), *_MEASUREMENTS)
        self.rows = kept(self._measurement(line) for line in measurements)
        cells = reader.rows(["table1.tsv"], *_TABLE1)
        self.table1 = kept(self._cell(line) for line in cells)
        extended = [self._extended(line) for line in reader.rows(["extended.tsv"], *_EXTENDED)]
        self.censored = tuple(each for each in extended if isinstance(each, Censored))
        self.grades = tuple(each for each in extended if isinstance(each, Grade))

    def _limits(self, line: TableRow) -> tuple[float | None, float | None]:
        found = [
            self.reader.number(line, column) if line.of(column) else None
            for column in ("referenceLower", "referenceUpper")
        ]
        if None not in found and not found[0] < found[1]:  # type: ignore[operator]
            what = f"the reference range {found[0]:g} to {found[1]:g} is empty."
            remedy = "The lower limit comes first: exchange them, or correct one."
            self.reader.complain(line, what, remedy, column="referenceLower")
        return found[0], found[1]

    def _analyte(self, line: TableRow) -> Analyte | None:
        observable = self.reader.text(line, "observableId")
        formula, noise = self.reader.text(line, "observableFormula"), self.reader.text(line, "noiseFormula")
        if not observable:
            return None
        lower, upper = self._limits(line)
        if not line.of("noiseDistribution"):
            said = f"{observable} has no noiseDistribution; normal is taken."
            remedy = "Write normal or log-normal."
            self.reader.complain(line, said, remedy, column="noiseDistribution", severity="doubt")
        short = line.of("analyte") or observable.removeprefix("obs_")
        if not short.strip("\"'") or not (short + observable).isprintable():
            self.reader.complain(
                line,
                f"{observable!r} is an observable of the analyte {short!r}, which is no name.",
                "Write a short name in the column analyte.",
                column="analyte" if line.of("analyte") else "observableId",
            )
        if is_number(noise) and not float(noise) > 0:
            self.reader.complain(
                line,
                f"noiseFormula of {observable} is {noise}; a spread is above zero.",
                "Write the standard deviation, of the natural logarithm for log-normal values.",
                column="noiseFormula",
            )
        name = line.of("observableName") or short
        if line.of("referenceDoubt"):
            said = f"{name}: the reference limit is doubtful ({line.of('referenceDoubt')})."
            remedy = "Empty the cell when it is settled."
            self.reader.complain(line, said, remedy, column="referenceDoubt", severity="doubt")
        return Analyte(
            id=short,
            observable=observable,
            name=name,
            unit=self.reader.text(line, "unit"),
            panel=line.of("panel"),
            lower=lower,
            upper=upper,
            quantity=line.of("quantity"),
            baseline=line.of("baseline"),
            formula=formula,
            noise=noise,
            distribution=self.reader.choice(line, "noiseDistribution", _DISTRIBUTIONS, "normal"),
            placeholders=listed(line.of("observablePlaceholders")),
            noise_placeholders=listed(line.of("noisePlaceholders")),
            reference_doubt=line.of("referenceDoubt"),
            file=line.file,
            row=line.row,
        )

    def _visit(self, line: TableRow) -> Visit | None:
        identity = self.reader.text(line, "visitId")
        days = [self.reader.number(line, column, unit="days") for column in ("nominal", "earliest", "latest")]
        if not identity or None in days:
            return None
        nominal, earliest, latest = [day for day in days if day is not None]
        if said := far_away(nominal):
            self.reader.complain(line, f"{said}.", "Is it right?", column="nominal", severity="doubt")
        if not earliest <= latest:
            what = f"the window of visit {identity!r} ends on day {latest:g}, before it begins on day {earliest:g}."
            self.reader.complain(line, what, "Exchange earliest and latest.", column="earliest")
        elif not earliest <= nominal <= latest:
            what = f"nominal day {nominal:g} of visit {identity!r} is outside of its window, {earliest:g} to {latest:g}."
            self.reader.complain(line, what, "Correct the day, or widen the window.", column="nominal")
        return Visit(
            id=identity,
            name=line.of("name") or identity,
            nominal=nominal,
            earliest=earliest,
            latest=latest,
            calendar=line.of("calendar"),
            source=line.of("source"),
            timing=self.reader.choice(line, "timing", TIMINGS) if line.of("timing") else "",
            file=line.file,
            row=line.row,
        )

    def _analyte_of(self, line: TableRow) -> str:
        """The analyte of a row that names an observable."""
        observable = self.reader.text(line, "observableId")
        if observable and observable not in self._observables and self._observables:
            remedy = did_you_mean(observable, self._observables)
            self.reader.complain(line, f"no observable {observable!r}.", remedy, column="observableId")
        known = self._observables.get(observable)
        return known.id if known else line.of("analyte") or observable.removeprefix("obs_")

    def _measurement(self, line: TableRow) -> Measurement | None:
        analyte = self._analyte_of(line)
        day, value = self.reader.number(line, "time", unit="days"), self.reader.number(line, "measurement")
        unit = self.reader.text(line, "unit")
        self._limits(line)
        if day is None or value is None:
            return None
        return Measurement(
            observable=line.of("observableId"),
            analyte=analyte,
            experiment=self.reader.text(line, "experimentId"),
            visit=self.reader.text(line, "visitId"),
            day=day,
            value=value,
            unit=unit,
            parameters=listed(line.of("observableParameters")),
            noise_parameters=listed(line.of("noiseParameters")),
            replicate=line.of("replicateId"),
            status=self.reader.choice(line, "status", STATUSES, "printed"),
            source=line.of("source"),
            doubt=line.of("doubt"),
            file=line.file,
            row=line.row,
        )

    def _cell(self, line: TableRow) -> PrintedCell | None:
        analyte, visit = self.reader.text(line, "analyte"), self.reader.text(line, "visitId")
        status = self.reader.choice(line, "status", STATUSES)
        lower, upper = self._limits(line)
        value = None if status == "missing" else self.reader.number(line, "value")
        if not analyte or not visit or not status or (value is None and status != "missing"):
            return None
        if status == "missing" and line.of("value"):
            what = f"a missing cell with the value {line.of('value')}."
            self.reader.complain(line, what, "Give it another status.", column="status")
        elif status == "ocr_corrected" and not line.of("doubt"):
            what = f"{analyte} at {visit}: corrected, and no doubt says why."
            self.reader.complain(line, what, "Write the reason into the column doubt.", column="doubt")
        return PrintedCell(
            analyte=analyte,
            visit=visit,
            value=value,
            unit=self.reader.text(line, "unit"),
            lower=lower,
            upper=upper,
            panel=line.of("panel"),
            printed=line.of("printed"),
            printed_analyte=line.of("printedAnalyte"),
            printed_unit=line.of("printedUnit"),
            printed_reference=line.of("printedReference"),
            status=status,
            doubt=line.of("doubt"),
            source=line.of("source"),
            file=line.file,
            row=line.row,
        )

    def _extended(self, line: TableRow) -> Censored | Grade | None:
        kind = self.reader.choice(line, "kind", ("censored", "graded"))
        day = self.reader.number(line, "day", unit="days")
        if "scored" in line:
            self.reader.text(line, "scored")
        scored = self.reader.truth(line, "scored")
        needed = {"censored": ("visitId", "censoring", "limit", "unit"), "graded": ("lower", "upper")}.get(
            kind, ()
        )
        if lost := [column for column in needed if column not in line]:
            self.reader.complain(
                line,
                f"a {kind} row needs the column {' and '.join(lost)}.",
                "Add it to the header.",
                column="kind",
            )
            return None
        if not kind or day is None:
            return None
        words = {
            "status": line.of("status"),
            "source": line.of("source"),
            "doubt": line.of("doubt"),
            "text": line.of("text"),
        }
        if kind == "censored":
            limit = self.reader.number(line, "limit")
            analyte, unit = self._analyte_of(line), self.reader.text(line, "unit")
            censoring = self.reader.choice(line, "censoring", ("left", "right"))
            if limit is None or not censoring:
                return None
            return Censored(
                observable=line.of("observableId"),
                analyte=analyte,
                visit=self.reader.text(line, "visitId"),
                day=day,
                limit=limit,
                unit=unit,
                censoring=censoring,
                parameters=listed(line.of("observableParameters")),
                replicate=line.of("replicateId"),
                scored=scored,
                file=line.file,
                row=line.row,
                **words,
            )
        lower, upper = self._grade(line, "lower"), self._grade(line, "upper")
        earliest = self.reader.number(line, "earliest", default=day)
        latest = self.reader.number(line, "latest", default=day)
        if lower is None or upper is None or earliest is None or latest is None:
            return None
        if lower > upper:
            what = f"grades {lower} to {upper} are the wrong way round."
            self.reader.complain(line, what, "Exchange lower and upper.", column="lower")
        if not earliest <= day <= latest:
            what = f"day {day:g} is outside of its own window {earliest:g} to {latest:g}."
            self.reader.complain(line, what, "Correct the day, or widen the window.", column="day")
        return Grade(
            observable=self.reader.text(line, "observableId"),
            day=day,
            earliest=earliest,
            latest=latest,
            lower=lower,
            upper=upper,
            quantity=line.of("quantity"),
            scale=line.of("scale"),
            cuts=listed(line.of("cutPoints")),
            scored=scored,
            calendar=line.of("calendar"),
            file=line.file,
            row=line.row,
            **words,
        )

    def _grade(self, line: TableRow, column: str) -> int | None:
        value = self.reader.number(line, column)
        if value is not None and (value != int(value) or value < 0):
            what = f"{column} {value:g} is not a grade: 0, 1, 2, ..."
            self.reader.complain(line, what, "Write a whole number from 0 on.", column=column)
            return None
        return None if value is None else int(value)


_OBSERVABLES = (
    ("observableId", "observableFormula", "noiseFormula", "unit"),
    ("observableName", "observablePlaceholders", "noisePlaceholders", "noiseDistribution", "analyte",
     "quantity", "baseline", "panel", "referenceLower", "referenceUpper", "referenceDoubt", "noiseSource", *REMARKS),
)  # fmt: skip
_MEASUREMENTS = (
    ("observableId", "experimentId", "time", "measurement", "visitId", "unit"),
    ("observableParameters", "noiseParameters", "analyte", "panel", "referenceLower", "referenceUpper",
     "status", "modelId", "replicateId", *REMARKS),
)  # fmt: skip
_VISITS = (("visitId", "nominal", "earliest", "latest"), ("name", "calendar", "timing", *REMARKS))
_TABLE1 = (
    ("analyte", "visitId", "value", "unit", "status"),
    ("referenceLower", "referenceUpper", "panel", "printedAnalyte", "printed", "printedUnit",
     "printedReference", *REMARKS),
)  # fmt: skip
_EXTENDED = (
    ("observableId", "kind", "day", "scored"),
    ("visitId", "earliest", "latest", "censoring", "limit", "lower", "upper", "unit", "quantity",
     "scale", "cutPoints", "observableParameters", "calendar", "text", "status", "replicateId", *REMARKS),
)  # fmt: skip
