"""What reading PEtab's tables has in common in both versions: names in YAML, rows, references, numbers and lists."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cellsim.delimited import read_number
from cellsim.errors import Problem, did_you_mean
from cellsim.petab.folder import ProblemFolder
from cellsim.petab.records import (
    Experiment,
    MeasurementRow,
    ModelFile,
    ObservableRow,
    ParameterRow,
    ProblemTables,
    SubProblem,
)
from cellsim.petab.tables import TableReader, TableRow, listed

__all__ = ["TableReading"]

_EXTRAS = ("datasetId", "replicateId", "observableName", "parameterName", "conditionName")
"""Columns that PEtab knows beside those that are read."""

LANGUAGES = ("sbml", "antimony")


class TableReading:
    """One problem while its tables are read; `problems` of the reader collects everything that is wrong.

    Parameters
    ----------
    folder : ProblemFolder
    reader : TableReader
    content : mapping
        Of the YAML.
    """

    def __init__(self, folder: ProblemFolder, reader: TableReader, content: Mapping[str, Any]) -> None:
        self.folder, self.reader, self.content = folder, reader, content

    def say(self, what: str, remedy: str = "", *, severity: str = "error") -> None:
        """A complaint about the YAML."""
        self.reader.problems.append(
            Problem(what=what, remedy=remedy, file=self.folder.file, severity=severity)
        )

    def names(self, content: Mapping[str, Any], key: str, *, needed: bool) -> tuple[str, ...]:
        """The files listed under a key."""
        given = content.get(key) or []
        given = [given] if isinstance(given, str) else given
        if not isinstance(given, list) or not all(isinstance(each, str) and each for each in given):
            self.say(f"{key} is no list of file names.", f"Write '{key}:' and below it '  - table.tsv'.")
            return ()
        if needed and not given:
            self.say(f"no list of {key}.", f"Write '{key}:' and below it '  - table.tsv'.")
        return tuple(given)

    def rows(
        self, names: Iterable[str], required: Sequence[str], optional: Sequence[str] = ()
    ) -> list[TableRow]:
        """The rows of one table or of several of one kind."""
        found: list[TableRow] = []
        for name in names:
            text = self.folder.read(name)
            if name in self.folder.texts:
                self.reader.texts[name] = text
                found += self.reader.table(name, required, (*optional, *_EXTRAS))
        return found

    def unique(self, rows: Iterable[TableRow], column: str, seen: dict[str, Any]) -> list[TableRow]:
        """The rows whose identifier is given, readable and new."""
        kept = []
        for row in rows:
            name = row.of(column)
            if not name:
                self.reader.complain(row, f"no {column}.")
            elif not (name.isidentifier() and name.isascii()):
                self.reader.complain(
                    row, f"{column} {name!r} is no identifier.", "Write letters, digits and _."
                )
            elif name in seen:
                self.reader.complain(row, f"{column} {name!r} stands there twice.", "Keep one row.")
            else:
                seen[name] = row
                kept.append(row)
        return kept

    # ---- models -----------------------------------------------------------------------------------

    def models(self, given: Any) -> list[ModelFile]:
        """The models under ``model_files``."""
        found = []
        for name, entry in given.items() if isinstance(given, dict) else ():
            location, language = (
                (entry.get(key, "") for key in ("location", "language"))
                if isinstance(entry, dict)
                else ("", "")
            )
            if not isinstance(location, str) or not location:
                self.say(f"the model {name} needs a location and 'language: sbml'.")
            elif language not in LANGUAGES:
                self.say(
                    f"the model {name} is written in {language or 'no language'!r}; {' and '.join(LANGUAGES)} are read."
                )
            else:
                self.folder.read(location)
                found.append(ModelFile(str(name), location, language))
        if not found and not self.reader.problems:
            self.say("no model is named.", "Write 'model_files:' with a location and 'language: sbml'.")
        return found

    # ---- parameters -------------------------------------------------------------------------------

    def parameter(self, row: TableRow, *, truths: Mapping[str, bool]) -> ParameterRow:
        """What both versions say of a parameter."""
        estimate = row.of("estimate")
        if estimate not in truths:
            self.reader.complain(row, f"estimate {estimate!r} is neither of {', '.join(list(truths)[:2])}.")
        nominal = self.reader.number(row, "nominalValue", default=math.nan, infinite=True)
        lower = self.reader.number(row, "lowerBound", default=-math.inf, infinite=True)
        upper = self.reader.number(row, "upperBound", default=math.inf, infinite=True)
        low, high = -math.inf if lower is None else lower, math.inf if upper is None else upper
        if low > high:
            self.reader.complain(row, f"lowerBound {low:g} lies above upperBound {high:g}.")
        value = math.nan if nominal is None else nominal
        free = truths.get(estimate, False)
        if not free and math.isnan(value) and nominal is not None:
            self.reader.complain(row, "a parameter that is not estimated needs a nominalValue.")
        return ParameterRow(
            id=row.of("parameterId"),
            estimate=free,
            nominal=value,
            lower=low,
            upper=high,
            file=row.file,
            row=row.row,
        )

    def numbers(self, row: TableRow, column: str) -> tuple[float, ...]:
        """A list of numbers."""
        try:
            return tuple(read_number(each) for each in listed(row.of(column)))
        except ValueError as error:
            self.reader.complain(row, f"{column}: {error}.")
            return ()

    # ---- observables ------------------------------------------------------------------------------

    def observable(self, row: TableRow) -> ObservableRow:
        """What both versions say of an observable."""
        return ObservableRow(
            id=row.of("observableId"),
            name=row.of("observableName"),
            formula=self.reader.text(row, "observableFormula"),
            noise=self.reader.text(row, "noiseFormula"),
            file=row.file,
            row=row.row,
        )

    # ---- measurements -----------------------------------------------------------------------------

    def measurement(
        self,
        row: TableRow,
        observables: Mapping[str, ObservableRow],
        experiments: Mapping[str, Experiment],
        experiment: str,
        number: int,
    ) -> MeasurementRow | None:
        """One measured value; None, and complained about, where it cannot be one."""
        about = observables.get(row.of("observableId"))
        if about is None:
            name = row.of("observableId")
            self.reader.complain(row, f"no observable {name!r}.", did_you_mean(name, observables))
            return None
        value = self.reader.number(row, "measurement", default=math.nan)
        time = self.reader.number(row, "time", infinite=True)
        if value is None or time is None:
            return None
        if math.isnan(value):
            what = f"{about.id} has no measurement here; the row is left out."
            self.reader.complain(row, what, severity="doubt")
            return None
        if about.scale != "lin" and value <= 0:
            what = f"{about.id} is measured as {value:g}, which has no logarithm; its noise is {about.scale}-{about.law}."
            self.reader.complain(row, what)
            return None
        parameters, noise = listed(row.of("observableParameters")), listed(row.of("noiseParameters"))
        for said, places, fillings in (
            ("observableParameters", about.placeholders, parameters),
            ("noiseParameters", about.noise_placeholders, noise),
        ):
            if len(places) != len(fillings):
                what = f"{said} fills {len(fillings)} placeholders of {about.id}, which has {len(places)}"
                self.reader.complain(row, f"{what}{': ' if places else ''}{', '.join(places)}.")
                return None
        starts = [each.time for each in experiments[experiment].periods if math.isfinite(each.time)]
        first = min(starts, default=0.0)
        if time < first:
            self.reader.complain(row, f"time {time:g} lies before the start at {first:g}.")
            return None
        return MeasurementRow(
            observable=about.id,
            experiment=experiment,
            time=time,
            value=value,
            model=row.of("modelId"),
            parameters=parameters,
            noise_parameters=noise,
            number=number,
            file=row.file,
            row=row.row,
        )

    def whole(
        self, parameters: Sequence[ParameterRow], parts: Sequence[SubProblem], mapping: Mapping[str, str]
    ) -> ProblemTables:
        """Everything that was read."""
        name = self.content.get("id") or self.content.get("problem_id") or self.folder.name
        if not parts and not any(
            each.severity == "error" for each in (*self.reader.problems, *self.folder.problems)
        ):
            self.say("no measurement is compared with any model.")
        return ProblemTables(
            name=name if isinstance(name, str) and name.isprintable() else self.folder.name,
            version=0,
            parameters=tuple(parameters),
            parts=tuple(parts),
            mapping=mapping,
            problems=tuple(self.reader.problems),
        )

    @staticmethod
    def numbered(rows: Iterable[MeasurementRow]) -> tuple[MeasurementRow, ...]:
        """The same, counted anew."""
        return tuple(replace(row, number=k) for k, row in enumerate(rows))
