"""PEtab 1: wide condition tables, pre-equilibration by a column, scales of parameters, transformations of observables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cellsim.delimited import read_number
from cellsim.errors import did_you_mean
from cellsim.petab.records import (
    Change,
    Experiment,
    MeasurementRow,
    ModelFile,
    ObservableRow,
    ParameterRow,
    Period,
    ProblemTables,
    SubProblem,
)
from cellsim.petab.table_reading import TableReading
from cellsim.petab.tables import TableRow

__all__ = ["Version1"]

_SCALES = ("lin", "log", "log10")
_TRUTHS = {
    "0": False,
    "1": True,
    "0.0": False,
    "1.0": True,
    "false": False,
    "true": True,
    "False": False,
    "True": True,
}
# the family that each prior of version 1 is in version 2, for a parameter on a scale: linear, and logarithmic
_FAMILIES = {
    "uniform": ("uniform", "uniform"),
    "normal": ("normal", "normal"),
    "laplace": ("laplace", "laplace"),
    "logNormal": ("log-normal", "log-normal"),
    "logLaplace": ("log-laplace", "log-laplace"),
    "parameterScaleUniform": ("uniform", "log-uniform"),
    "parameterScaleNormal": ("normal", "log-normal"),
    "parameterScaleLaplace": ("laplace", "log-laplace"),
}
_NOT_TARGETS = ("conditionId", "conditionName")
_LN10 = math.log(10.0)


class Version1(TableReading):
    """One problem of version 1 while it is read."""

    def tables(self) -> ProblemTables:
        """All of it."""
        if self.content.get("extensions"):
            self.say("extensions are not read.", severity="doubt")
        parameters = self._parameters()
        parts: list[SubProblem] = []
        entries = self.content.get("problems")
        if (
            not isinstance(entries, list)
            or not entries
            or not all(isinstance(each, dict) for each in entries)
        ):
            self.say("no list of problems.", "Write 'problems:' and below it the files of each model.")
            entries = []
        count = 0
        for place, entry in enumerate(entries):
            model = self._model(entry, place)
            part = self._part(entry, model, count)
            if part is not None:
                parts.append(part)
                count += len(part.measurements)
        mapping: dict[str, str] = {}
        for entry in entries:
            for row in self.rows(
                self.names(entry, "mapping_files", needed=False), ("petabEntityId", "modelEntityId")
            ):
                mapping[row.of("petabEntityId")] = row.of("modelEntityId")
        return self.whole(parameters, parts, mapping)

    def _model(self, entry: Mapping[str, Any], place: int) -> ModelFile | None:
        if "model_files" in entry:
            found = self.models(entry["model_files"])
        else:
            named = self.names(entry, "sbml_files", needed=True)
            found = [ModelFile(f"model_{place}", each, "sbml") for each in named]
            for each in found:
                self.folder.read(each.location)
        if len(found) > 1:
            self.say(
                f"problem {place + 1} names {len(found)} models, and its measurements do not say which they are of."
            )
        return found[0] if len(found) == 1 else None

    # ---- parameters -------------------------------------------------------------------------------

    def _parameters(self) -> list[ParameterRow]:
        required = ("parameterId", "estimate")
        optional = (
            "parameterScale", "lowerBound", "upperBound", "nominalValue", "objectivePriorType", "objectivePriorParameters",
            "initializationPriorType", "initializationPriorParameters",
        )  # fmt: skip
        rows = self.rows(self.names(self.content, "parameter_file", needed=True), required, optional)
        return [self._parameter(row) for row in self.unique(rows, "parameterId", {})]

    def _parameter(self, row: TableRow) -> ParameterRow:
        found = self.parameter(row, truths=_TRUTHS)
        scale = self.reader.choice(row, "parameterScale", _SCALES, "lin")
        given = row.of("objectivePriorType")
        if given and given not in _FAMILIES:
            self.reader.complain(row, f"no prior {given!r}.", did_you_mean(given, _FAMILIES))
            given = ""
        numbers = self.numbers(row, "objectivePriorParameters")
        if not given and numbers:
            given = "parameterScaleUniform"
        if not given:
            # what an optimiser sees flat on its own scale
            return replace(found, scale=scale)
        on_scale = given.startswith("parameterScale")
        family = _FAMILIES[given][on_scale and scale != "lin"]
        if not numbers and given in ("uniform", "parameterScaleUniform"):
            numbers = (found.lower, found.upper)
        elif on_scale and scale != "lin":
            base = _LN10 if scale == "log10" else 1.0
            numbers = tuple(
                math.exp(base * each) if family == "log-uniform" else base * each for each in numbers
            )
        if len(numbers) != 2:
            self.reader.complain(
                row, f"objectivePriorParameters of {given} are two numbers; {len(numbers)} are given."
            )
            return replace(found, scale=scale)
        return replace(found, scale=scale, family=family, parameters=numbers)

    # ---- one model --------------------------------------------------------------------------------

    def _part(self, entry: Mapping[str, Any], model: ModelFile | None, first: int) -> SubProblem | None:
        observables = self._observables(entry)
        conditions = self._conditions(entry)
        required = ("observableId", "simulationConditionId", "measurement", "time")
        optional = ("preequilibrationConditionId", "observableParameters", "noiseParameters")
        rows = self.rows(self.names(entry, "measurement_files", needed=True), required, optional)
        experiments: dict[str, Experiment] = {}
        measurements: list[MeasurementRow] = []
        for row in rows:
            before, during = row.of("preequilibrationConditionId"), row.of("simulationConditionId")
            unknown = [
                each for each in (before, during) if each not in conditions and (each or each is during)
            ]
            for each in dict.fromkeys(unknown):
                self.reader.complain(row, f"no condition {each!r}.", did_you_mean(each, conditions))
            if unknown:
                continue
            name = f"{during} after {before}" if before else during
            if name not in experiments:
                experiments[name] = _experiment(
                    name, conditions.get(before) if before else None, conditions[during]
                )
            made = self.measurement(row, observables, experiments, name, first + len(measurements))
            if made is not None:
                measurements.append(made)
        if model is None or not measurements:
            return None
        return SubProblem(
            model, observables, experiments, tuple(replace(each, model=model.id) for each in measurements)
        )

    def _observables(self, entry: Mapping[str, Any]) -> dict[str, ObservableRow]:
        required = ("observableId", "observableFormula", "noiseFormula")
        optional = ("observableTransformation", "noiseDistribution")
        rows = self.rows(self.names(entry, "observable_files", needed=True), required, optional)
        found = {}
        for row in self.unique(rows, "observableId", {}):
            made = self.observable(row)
            written = f"{made.formula} {made.noise}"
            found[made.id] = replace(
                made,
                scale=self.reader.choice(row, "observableTransformation", _SCALES, "lin"),
                law=self.reader.choice(row, "noiseDistribution", ("normal", "laplace"), "normal"),
                placeholders=self._placeholders(row, "observableParameter", made.id, written),
                noise_placeholders=self._placeholders(row, "noiseParameter", made.id, written),
            )
        return found

    def _placeholders(self, row: TableRow, kind: str, observable: str, written: str) -> tuple[str, ...]:
        """``observableParameter1_x``, ``observableParameter2_x``, ... as the formulas of observable x have them."""
        numbers = {int(each) for each in re.findall(rf"\b{kind}(\d+)_{re.escape(observable)}\b", written)}
        if numbers != set(range(1, len(numbers) + 1)):
            self.reader.complain(row, f"the {kind}s of {observable} are not numbered 1, 2, ...")
        return tuple(f"{kind}{k}_{observable}" for k in sorted(numbers))

    def _conditions(self, entry: Mapping[str, Any]) -> dict[str, TableRow]:
        found: dict[str, TableRow] = {}
        rows = self.rows(self.names(entry, "condition_files", needed=True), ("conditionId",))
        self.unique(rows, "conditionId", found)
        for row in found.values():
            for target, cell in row.items():
                if target not in _NOT_TARGETS and row.of(target) and not cell.strip().isidentifier():
                    try:
                        read_number(cell)
                    except ValueError as error:
                        self.reader.complain(row, f"{target}: {error}, and no name of a parameter.")
        return found


def _experiment(name: str, before: TableRow | None, during: TableRow) -> Experiment:
    """What a row's two conditions come to."""
    periods = []
    for time, row in ((-math.inf, before), (0.0, during)):
        if row is not None:
            changes = tuple(
                Change(target=target, value=row.of(target), file=row.file, row=row.row)
                for target in row
                if target not in _NOT_TARGETS and row.of(target)
            )
            periods.append(Period(time, changes, anew=True))
    return Experiment(name, tuple(periods))
