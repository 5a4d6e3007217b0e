"""PEtab 2: long condition tables, experiments of periods, placeholders by name, several models by a column."""

from __future__ import annotations

import math
from dataclasses import replace

from cellsim.errors import did_you_mean
from cellsim.petab.records import (
    Change,
    Experiment,
    MeasurementRow,
    ObservableRow,
    ParameterRow,
    Period,
    ProblemTables,
    SubProblem,
)
from cellsim.petab.table_reading import TableReading
from cellsim.petab.tables import TableRow, listed

__all__ = ["Version2"]

_TRUTHS = {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}
_LAWS = {
    "normal": ("normal", "lin"),
    "log-normal": ("normal", "log"),
    "log10-normal": ("normal", "log10"),
    "laplace": ("laplace", "lin"),
    "log-laplace": ("laplace", "log"),
    "log10-laplace": ("laplace", "log10"),
}
_PRIORS = {
    "cauchy": 2, "chisquare": 1, "exponential": 1, "gamma": 2, "laplace": 2, "log-laplace": 2, "log-normal": 2,
    "log-uniform": 2, "normal": 2, "rayleigh": 1, "uniform": 2,
}  # fmt: skip


class Version2(TableReading):
    """One problem of version 2 while it is read."""

    def tables(self) -> ProblemTables:
        """All of it."""
        self._extensions()
        models = self.models(self.content.get("model_files"))
        parameters = self._parameters()
        observables = self._observables()
        experiments = self._experiments(self._conditions())
        measurements = self._measurements(observables, experiments, [each.id for each in models])
        mapping = {}
        for row in self.rows(
            self.names(self.content, "mapping_files", needed=False), ("petabEntityId", "modelEntityId")
        ):
            if row.of("modelEntityId") and row.of("petabEntityId"):
                mapping[row.of("petabEntityId")] = row.of("modelEntityId")
        parts = []
        for model in models:
            mine = tuple(each for each in measurements if (each.model or models[0].id) == model.id)
            if mine:
                parts.append(SubProblem(model, observables, experiments, mine))
        return self.whole(parameters, parts, mapping)

    def _extensions(self) -> None:
        given = self.content.get("extensions")
        for name, each in given.items() if isinstance(given, dict) else ():
            needed = isinstance(each, dict) and str(each.get("required", "")).lower() == "true"
            self.say(
                f"the extension {name} is not read.",
                "The problem says that it means something else without it." if needed else "",
                severity="error" if needed else "doubt",
            )

    def _parameters(self) -> list[ParameterRow]:
        key = "parameter_files" if "parameter_files" in self.content else "parameter_file"
        required, optional = (
            ("parameterId", "estimate"),
            ("lowerBound", "upperBound", "nominalValue", "priorDistribution", "priorParameters"),
        )
        rows = self.rows(self.names(self.content, key, needed=True), required, optional)
        return [self._parameter(row) for row in self.unique(rows, "parameterId", {})]

    def _parameter(self, row: TableRow) -> ParameterRow:
        found = self.parameter(row, truths=_TRUTHS)
        family, numbers = row.of("priorDistribution"), self.numbers(row, "priorParameters")
        if not family:
            if numbers:
                self.reader.complain(row, "priorParameters without a priorDistribution.")
            return found
        if family not in _PRIORS:
            self.reader.complain(row, f"no prior {family!r}.", did_you_mean(family, _PRIORS))
            return found
        if not numbers and family in ("uniform", "log-uniform"):
            numbers = (found.lower, found.upper)
        if len(numbers) != _PRIORS[family]:
            self.reader.complain(
                row, f"priorParameters of {family}: {_PRIORS[family]} are needed, {len(numbers)} given."
            )
            return found
        return replace(found, family=family, parameters=numbers)

    def _observables(self) -> dict[str, ObservableRow]:
        required = ("observableId", "observableFormula", "noiseFormula")
        optional = ("noiseDistribution", "observablePlaceholders", "noisePlaceholders")
        rows = self.rows(self.names(self.content, "observable_files", needed=True), required, optional)
        found = {}
        for row in self.unique(rows, "observableId", {}):
            law, scale = _LAWS[self.reader.choice(row, "noiseDistribution", _LAWS, "normal")]
            found[row.of("observableId")] = replace(
                self.observable(row),
                law=law,
                scale=scale,
                placeholders=listed(row.of("observablePlaceholders")),
                noise_placeholders=listed(row.of("noisePlaceholders")),
            )
        return found

    def _conditions(self) -> dict[str, list[Change]]:
        found: dict[str, list[Change]] = {}
        names = self.names(self.content, "condition_files", needed=False)
        for row in self.rows(names, ("conditionId", "targetId", "targetValue")):
            target, value = self.reader.text(row, "targetId"), self.reader.text(row, "targetValue")
            changes = found.setdefault(row.of("conditionId"), [])
            if any(each.target == target for each in changes):
                self.reader.complain(
                    row, f"condition {row.of('conditionId')} sets {target} twice.", "Keep one row."
                )
            elif target and value:
                changes.append(Change(target=target, value=value, file=row.file, row=row.row))
        return found

    def _experiments(self, conditions: dict[str, list[Change]]) -> dict[str, Experiment]:
        names = self.names(self.content, "experiment_files", needed=False)
        periods: dict[str, dict[float, list[Change]]] = {}
        for row in self.rows(names, ("experimentId", "time"), ("conditionId",)):
            name, condition = self.reader.text(row, "experimentId"), row.of("conditionId")
            time = self.reader.number(row, "time", infinite=True)
            if time is None or not name:
                continue
            if time == math.inf:
                self.reader.complain(row, "a period cannot begin at time inf.")
                continue
            if condition and condition not in conditions:
                self.reader.complain(row, f"no condition {condition!r}.", did_you_mean(condition, conditions))
                continue
            here = periods.setdefault(name, {}).setdefault(time, [])
            for change in conditions.get(condition, ()):
                if any(each.target == change.target for each in here):
                    what = f"two conditions set {change.target} at time {time:g} of {name}."
                    self.reader.complain(row, what, "Leave one of them out.")
                else:
                    here.append(change)
        found = {"": Experiment("", (Period(0.0),))}
        for name, each in periods.items():
            made = [Period(time, tuple(changes)) for time, changes in sorted(each.items())]
            if made[-1].time == -math.inf:  # what follows the steady state is counted from time 0
                made.append(Period(0.0))
            found[name] = Experiment(name, tuple(made))
        return found

    def _measurements(
        self, observables: dict[str, ObservableRow], experiments: dict[str, Experiment], models: list[str]
    ) -> list[MeasurementRow]:
        required = ("observableId", "measurement", "time")
        optional = ("experimentId", "observableParameters", "noiseParameters", "modelId")
        found: list[MeasurementRow] = []
        for row in self.rows(self.names(self.content, "measurement_files", needed=True), required, optional):
            experiment, model = row.of("experimentId"), row.of("modelId")
            if experiment not in experiments:
                known = [each for each in experiments if each]
                self.reader.complain(row, f"no experiment {experiment!r}.", did_you_mean(experiment, known))
                continue
            if model not in models and (model or len(models) > 1):
                self.reader.complain(
                    row, f"no model {model!r}." if model else "no modelId.", did_you_mean(model, models)
                )
                continue
            if (made := self.measurement(row, observables, experiments, experiment, len(found))) is not None:
                found.append(made)
        return found
