"""A PEtab v2 problem that nobody wrote as a case: the tables and columns a case has beside it, as PEtab means them.

What PEtab leaves out is written out: rows of one time are a visit of that day, an estimated parameter without a prior is uniform
on its bounds, a parameter of the model that the table does not name is held at the model's value, a problem without
experiments is one that starts at time 0. Nothing that stands in the problem is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cellsim.delimited import read_number, read_table_text
from cellsim.petab.problem import read_yaml
from cellsim.petab.tables import TableReader, TableRow, number_text, table_text

__all__ = ["HEADERS", "completed", "with_every_kind"]

HEADERS = {
    "visits.tsv": ("visitId", "nominal", "earliest", "latest"),
    "products.tsv": ("productId", "source", "state"),
    "table1.tsv": ("analyte", "visitId", "value", "unit", "status"),
    "extended.tsv": ("observableId", "kind", "day", "scored"),
    "parameters_extended.tsv": ("parameterId", "lowerBound", "upperBound", "nominalValue", "estimate"),
    "model_space.tsv": ("model_subspace_id", "model_subspace_petab_yaml"),
    "variants.tsv": ("variantId", "default"),
}
"""Tables that a case has and a plain problem has not, with the columns they need."""

_OWN = {
    "condition_files": ("conditions.tsv", ("conditionId", "targetId", "targetValue")),
    "experiment_files": ("experiments.tsv", ("experimentId", "time", "conditionId")),
}
_EXPERIMENT = "experiment"


def with_every_kind(text: str) -> tuple[str, dict[str, str]]:
    """A problem file that names a table of every kind, and the empty tables it then names.

    Parameters
    ----------
    text : str
        Of the problem file; PEtab lets one leave conditions and experiments out.

    Examples
    --------
    >>> said, tables = with_every_kind("format_version: 2.0.0\\nexperiment_files: [e.tsv]\\n")
    >>> sorted(tables), "conditions.tsv" in said
    (['conditions.tsv'], True)
    """
    content, problems = read_yaml(text, file="problem.yaml")
    if problems or not isinstance(content, dict):
        return text, {}
    absent = {key: each for key, each in _OWN.items() if not content.get(key)}
    if not absent:
        return text, {}
    import yaml

    content |= {key: [file] for key, (file, _) in absent.items()}
    tables = {file: table_text(columns, []) for file, columns in absent.values()}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True), tables


def completed(
    texts: Mapping[str, str], tables: Mapping[str, Sequence[str]], parameters: Mapping[str, float]
) -> dict[str, str]:
    """What a plain problem lacks to be a case.

    Parameters
    ----------
    texts : mapping of str to str
        Its tables by file name.
    tables : mapping
        Names of the standard tables by their key in the problem file.
    parameters : mapping of str to float
        The model's parameters and their values.

    Returns
    -------
    dict of str to str
        Tables to be added, or to stand in place of those there are.
    """
    made = _Completed(texts, tables)
    made.experiments()
    made.measurements()
    made.observables()
    made.parameters(parameters)
    return made.out


class _Completed:
    """The tables of one problem while they are completed."""

    def __init__(self, texts: Mapping[str, str], tables: Mapping[str, Sequence[str]]) -> None:
        self.texts, self.tables = texts, tables
        self.out: dict[str, str] = {file: table_text(columns, []) for file, columns in HEADERS.items()}

    def _rows(self, key: str) -> Iterable[tuple[str, list[str], list[TableRow]]]:
        """Each table of a kind: its name, header and rows."""
        for file in self.tables.get(key, ()):
            if file in self.texts:
                header = list(read_table_text(self.texts[file], "\t").columns)
                yield file, header, TableReader(self.texts).table(file, ())

    def _write(self, file: str, header: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        filled = dict.fromkeys(column for row in rows for column in row)
        self.out[file] = table_text([*header, *(each for each in filled if each not in header)], rows)

    def experiments(self) -> None:
        """One that starts at time 0, where there is none."""
        self.experiment = next(
            (row.of("experimentId") for _, _, rows in self._rows("experiment_files") for row in rows), ""
        )
        for file, header, rows in self._rows("experiment_files"):
            if not rows and not self.experiment:
                self.experiment = _EXPERIMENT
                self._write(file, header, [{"experimentId": _EXPERIMENT, "time": "0", "conditionId": ""}])

    def measurements(self) -> None:
        """Visits by time, and replicates by number."""
        visits: dict[float, str] = {}
        for file, header, rows in self._rows("measurement_files"):
            seen: dict[tuple[str, ...], int] = {}
            new = []
            for row in rows:
                more = {
                    "unit": row.of("unit") or "1",
                    "experimentId": row.of("experimentId") or self.experiment,
                }
                if (day := _number(row.of("time"))) is not None:
                    more["visitId"] = row.of("visitId") or visits.setdefault(day, f"visit_{len(visits) + 1}")
                same = tuple(row.of(each) for each in ("observableId", "experimentId", "time", "measurement"))
                seen[same] = seen.get(same, 0) + 1
                if seen[same] > 1 and not row.of("replicateId"):
                    more["replicateId"] = f"r{seen[same]}"
                new.append({**row, **more})
            self._write(file, header, new)
        days = [
            {"visitId": name, **dict.fromkeys(("nominal", "earliest", "latest"), number_text(day))}
            for day, name in sorted(visits.items())
        ]
        self._write("visits.tsv", HEADERS["visits.tsv"], days)

    def observables(self) -> None:
        """Units, which PEtab does not know; what is not log-normal is normal."""
        for file, header, rows in self._rows("observable_files"):
            said = [
                {
                    **row,
                    "unit": row.of("unit") or "1",
                    "noiseDistribution": row.of("noiseDistribution") or "normal",
                }
                for row in rows
            ]
            self._write(file, header, said)

    def parameters(self, own: Mapping[str, float]) -> None:
        """Priors that PEtab means, and parameters that it leaves to the model."""
        targets = {row.of("targetId") for _, _, rows in self._rows("condition_files") for row in rows}
        named = {row.of("parameterId") for _, _, rows in self._rows("parameter_files") for row in rows}
        left = [name for name in own if name not in named | targets]
        for file, header, rows in self._rows("parameter_files"):
            new = [{**row, **self._belief(row)} for row in rows]
            new += [
                {"parameterId": name, "nominalValue": number_text(own[name]), "estimate": "false"}
                for name in left
            ]
            left = []
            self._write(file, header, new)

    @staticmethod
    def _belief(row: TableRow) -> dict[str, str]:
        if row.of("estimate").lower() != "true" or row.of("priorDistribution"):
            return {}
        low, high = (_number(row.of(column)) for column in ("lowerBound", "upperBound"))
        if low is None or high is None:
            return {}
        doubt = "PEtab takes an estimated parameter without a prior for uniform between its bounds"
        out = {
            "priorDistribution": "uniform", "priorParameters": f"{number_text(low)};{number_text(high)}", "doubt": doubt
        }  # fmt: skip
        if not row.of("nominalValue"):
            out["nominalValue"] = number_text((low + high) / 2)
        return out


def _number(text: str) -> float | None:
    """A finite number, or None where there is none, which the reader of the case then says."""
    try:
        value = read_number(text)
    except ValueError:
        return None
    return value if value - value == 0 else None
