"""A case with something about it changed: its tables rewritten, to be read and checked as files are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellsim.case.assumptions import FAMILIES
from cellsim.case.records import Visit
from cellsim.delimited import read_number, read_table_text
from cellsim.errors import CaseError, ModelError, Problem, did_you_mean, is_finite_number, is_number
from cellsim.petab.problem import read_problem_file
from cellsim.petab.tables import TableReader, TableRow, number_text, table_text

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case

    Given = Mapping[str, Any] | pd.DataFrame

__all__ = ["added", "fixed", "rewritten", "tables_of", "with_prior", "without"]

_SUBSPACE = ("model_subspace_id", "model_subspace_petab_yaml")
_OF_MEASUREMENT = (
    "analyte", "visit", "day", "value", "unit", "replicateId", "observableParameters", "noiseParameters", "status",
    "source", "doubt",
)  # fmt: skip
_NEEDED = ("analyte", "value")


def tables_of(case: Case, key: str) -> tuple[str, ...]:
    """Names of a case's tables of one kind, as its problem file lists them."""
    return read_problem_file(case.files["problem.yaml"]).tables[key]


def rewritten(
    files: Mapping[str, str], file: str, change: Callable[[TableRow], Mapping[str, str] | None]
) -> dict[str, str]:
    """One table with some cells of its rows replaced, or without the rows for which `change` gives None.

    Parameters
    ----------
    files : mapping of str to str
        Texts by file name.
    file : str
        Which; nothing is made of one that is not there.
    change : callable
        Cells by column, for a row.

    Returns
    -------
    dict of str to str
        The new text under its name; empty where the table has no rows.
    """
    if file not in files:
        return {}
    lines = TableReader(files).table(file, ())
    if not lines:
        return {}
    pairs = [(line, change(line)) for line in lines]
    return {file: table_text(list(lines[0]), [{**line, **new} for line, new in pairs if new is not None])}


def _longer(files: Mapping[str, str], file: str, rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """One table with rows at its end; a column that only they fill is added, and all others stand as they are."""
    if not rows or file not in files:
        return {}
    header = list(read_table_text(files[file], "\t").columns)
    filled = dict.fromkeys(column for row in rows for column, text in row.items() if text)
    columns = [*header, *(each for each in filled if each not in header)]
    before = TableReader(files).table(file, ())
    return {file: table_text(columns, [*before, *rows])}


def _parameter_files(case: Case) -> tuple[str, ...]:
    return (*tables_of(case, "parameter_files"), "parameters_extended.tsv")


# ---- what is believed -----------------------------------------------------------------------------


def with_prior(
    case: Case,
    name: str,
    distribution: str,
    parameters: Sequence[float],
    *,
    bounds: tuple[float, float] | None = None,
    nominal: float | None = None,
) -> dict[str, str]:
    """The tables of a case in which a parameter is estimated under another prior; see :meth:`Case.with_prior`."""
    old = case.prior(name)
    problems = []
    if distribution not in FAMILIES:
        what = f"no prior family {distribution!r}."
        problems.append(Problem(what=what, remedy=did_you_mean(str(distribution), FAMILIES)))
    numbers = tuple(parameters) if isinstance(parameters, Iterable) else (parameters,)
    if wrong := [each for each in numbers if not is_finite_number(each)]:
        said = f"the prior of {name} takes finite numbers, not {', '.join(map(repr, wrong))}."
        problems.append(Problem(what=said))
    edges = _edges(bounds)
    if bounds is not None and edges is None:
        problems.append(Problem(what=f"bounds = {bounds!r}: a lower and an upper one are needed."))
    if nominal is not None and not is_finite_number(nominal):
        problems.append(Problem(what=f"nominal = {nominal!r}: a finite number is needed."))
    if problems:
        raise CaseError(problems)
    if edges is not None:
        low, high = edges
    elif distribution.endswith("uniform") and len(numbers) == 2:
        low, high = (float(each) for each in numbers)
    else:
        low, high = old.lower, old.upper
    cells = {
        "estimate": "true",
        "priorDistribution": distribution,
        "priorParameters": ";".join(number_text(float(each)) for each in numbers),
        "lowerBound": _bound(low),
        "upperBound": _bound(high),
        # what was said of the belief before is no source of this one
        "mark": "A",
        "source": "",
        "doubt": "",
    }
    if nominal is not None:
        cells["nominalValue"] = number_text(float(nominal))
    elif not _allowed(old.nominal, distribution, low, high):
        cells["nominalValue"] = number_text(_middle(distribution, numbers, low, high, old.nominal))
    return _with_parameters(case, {name: cells})


def _edges(bounds: object) -> tuple[float, float] | None:
    """A lower and an upper bound; None where these are none."""
    given = tuple(bounds) if isinstance(bounds, Iterable) else ()
    if len(given) != 2 or not all(map(is_number, given)):
        return None
    return float(given[0]), float(given[1])


def _bound(value: float) -> str:
    return str(float(value)) if value in (float("inf"), float("-inf")) else number_text(value)


def _allowed(value: float, family: str, low: float, high: float) -> bool:
    """Whether fits may start from a value: within the bounds, and above zero where the family begins there."""
    return low <= value <= high and (value > 0 or family in ("normal", "cauchy", "laplace", "uniform"))


def _middle(family: str, numbers: Sequence[float], low: float, high: float, otherwise: float) -> float:
    """A value a prior allows, in its middle; `otherwise` where the prior is none, which its check then says."""
    import numpy as np

    with np.errstate(all="ignore"):
        middles: dict[str, Callable[..., float]] = {
            "uniform": lambda a, b: (a + b) / 2,
            "log-uniform": lambda a, b: float(np.sqrt(a * b)),
            "log-normal": lambda mean, sd: float(np.exp(mean)),
            "log-laplace": lambda mean, scale: float(np.exp(mean)),
            "gamma": lambda shape, scale: shape * scale,
            "exponential": lambda scale: scale * float(np.log(2)),
            "chisquare": lambda degrees: degrees,
            "rayleigh": lambda scale: scale * float(np.sqrt(2 * np.log(2))),
        }
        try:
            found = middles.get(family, lambda middle, spread: middle)(*numbers)
        except TypeError:  # another number of parameters than the family has
            return otherwise
    inside = min(max(found, low), high)
    return inside if is_finite_number(inside) else otherwise


def _with_parameters(
    case: Case, changes: Mapping[str, Mapping[str, str]], files: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Every table, with other cells in rows of those of parameters, and other files beside them."""
    new = dict(files or {})
    for file in _parameter_files(case):
        lines = TableReader(case.files).table(file, ()) if file in case.files else []
        if any(line.of("parameterId") in changes for line in lines):
            rows = [{**line, **changes.get(line.of("parameterId"), {})} for line in lines]
            # a table of values that are held need not have columns of priors
            filled = dict.fromkeys(column for row in rows for column, text in row.items() if text)
            header = list(lines[0])
            new[file] = table_text([*header, *(each for each in filled if each not in header)], rows)
    return {**case.files, **new}


def fixed(case: Case, values: Mapping[str, float], *, variant: str | None = None) -> dict[str, str]:
    """The tables of a case in which parameters are held at values; see :meth:`Case.fixed`.

    `variant` is the one that is to be asked next, the default one otherwise.
    """
    chosen = case.variant(variant or "") if case.variants else None
    known = {each.id: each for each in case.priors}
    problems = []
    for name, value in values.items():
        if name not in known:
            what = f"No parameter {name!r} in {case.name}."
            problems.append(Problem(what=what, remedy=did_you_mean(name, known)))
        elif not is_finite_number(value):
            unit = known[name].unit
            what = f"{name} = {value!r}: a finite number{f' in {unit}' if unit else ''} is needed."
            problems.append(Problem(what=what))
        elif chosen and (own := dict(chosen.fixed).get(name, value)) != value:
            what = f"{name} is held at {own:g} in variant {chosen.id}, which makes it that mechanism."
            remedy = "Ask another variant, or change model_space.tsv."
            problems.append(Problem(what=what, remedy=remedy))
    if not values:
        problems.append(Problem(what="nothing to hold: name a parameter and its value, fixed(k=0.5)."))
    if problems:
        raise CaseError(problems)
    held = {name: number_text(float(value)) for name, value in values.items()}
    cells = {"estimate": "false", "priorDistribution": "", "priorParameters": "", "doubt": ""}
    files = rewritten(
        case.files,
        "model_space.tsv",
        lambda line: {name: text for name, text in held.items() if line.of(name) == "estimate"},
    )
    visits = {
        visit.id: held[f"day_{visit.id}"]
        for visit in case.visits
        if f"day_{visit.id}" in held and not known[f"day_{visit.id}"].standard
    }
    if visits:
        files |= _on_days(case, visits)
    return _with_parameters(
        case, {name: {**cells, "nominalValue": text} for name, text in held.items()}, files
    )


def _on_days(case: Case, visits: Mapping[str, str]) -> dict[str, str]:
    """The tables with visits on days that are known."""

    def visit_row(line: TableRow) -> dict[str, str]:
        day = visits.get(line.of("visitId"))
        return {} if day is None else dict.fromkeys(("nominal", "earliest", "latest"), day)

    def measured_row(line: TableRow) -> dict[str, str]:
        return {"time": visits[line.of("visitId")]} if line.of("visitId") in visits else {}

    def extended_row(line: TableRow) -> dict[str, str]:
        day = visits.get(line.of("visitId"))
        columns = ("day", "earliest", "latest") if day is not None else ()
        return {column: str(day) for column in columns if line.of(column)}

    files = rewritten(case.files, "visits.tsv", visit_row)
    files |= rewritten(case.files, "extended.tsv", extended_row)
    for file in tables_of(case, "measurement_files"):
        files |= rewritten(case.files, file, measured_row)
    return files


# ---- what was measured ----------------------------------------------------------------------------


def without(
    case: Case, *, analyte: str | Sequence[str] | None = None, visit: str | Sequence[str] | None = None
) -> dict[str, str]:
    """The tables of a case without some of its values; see :meth:`Case.without`."""
    analytes, visits = _names(analyte), _names(visit)
    known = {"analyte": [each.id for each in case.analytes], "visit": [each.id for each in case.visits]}
    known["analyte"] += [each.observable for each in case.grades]
    problems = [
        Problem(what=f"No {kind} {name!r} in {case.name}.", remedy=did_you_mean(name, known[kind]))
        for kind, names in (("analyte", analytes), ("visit", visits))
        for name in names or ()
        if name not in known[kind]
    ]
    if not analytes and not visits:
        problems.append(Problem(what="nothing to leave out: name an analyte, a visit, or both."))
    if problems:
        raise CaseError(problems)
    ids = {each.observable: each.id for each in case.analytes}

    def goes(line: TableRow) -> bool:
        name = ids.get(line.of("observableId"), line.of("observableId") or line.of("analyte"))
        return (not analytes or name in analytes) and (not visits or line.of("visitId") in visits)

    def stays(line: TableRow) -> dict[str, str] | None:
        return None if goes(line) else {}

    files = dict(case.files)
    left = 0
    for file in (*tables_of(case, "measurement_files"), "extended.tsv", "table1.tsv"):
        left += sum(goes(line) for line in TableReader(files).table(file, ()) if file != "table1.tsv")
        files |= rewritten(files, file, stays)
    if not left:
        what = f"no value of {' or '.join(analytes or ('any analyte',))} at {' or '.join(visits or ('any visit',))} in {case.name}."
        raise CaseError(what)
    return _unused_gone(case, files)


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(map(str, given))


def _unused_gone(case: Case, files: dict[str, str]) -> dict[str, str]:
    """Tables without the observables, visits and parameters that no row needs any more, and what spoke of them."""
    measured = [
        line for file in tables_of(case, "measurement_files") for line in TableReader(files).table(file, ())
    ]
    extended = TableReader(files).table("extended.tsv", ()) if "extended.tsv" in files else []
    rows = [*measured, *extended]
    seen, sampled = ({line.of(column) for line in rows} for column in ("observableId", "visitId"))
    gone = [each for each in case.analytes if each.observable not in seen]
    visits = [each.id for each in case.visits if each.id not in sampled]
    kept = [each for each in case.analytes if each.observable in seen]
    used_before = _symbols(
        [text for each in case.analytes for text in (each.formula, each.noise)]
        + [text for row in case.rows for text in (*row.parameters, *row.noise_parameters)]
        + [text for row in case.censored for text in row.parameters]
    )
    fillings = [text for line in rows for column in ("observableParameters", "noiseParameters") for text in line.of(column).split(";")]  # fmt: skip
    used = _symbols([text for each in kept for text in (each.formula, each.noise)] + fillings)
    lost = {*(used_before - used - _of_model(case)), *(f"day_{visit}" for visit in visits)}
    ids, panels = {each.id for each in gone}, {each.panel for each in gone} - {each.panel for each in kept}

    def without_names(column: str, names: Collection[str]) -> Callable[[TableRow], dict[str, str] | None]:
        return lambda line: None if line.of(column) in names else {}

    changes: list[tuple[str, str, Collection[str]]] = [
        *(
            (file, "observableId", {each.observable for each in gone})
            for file in tables_of(case, "observable_files")
        ),
        *((file, "parameterId", lost) for file in _parameter_files(case)),
        ("visits.tsv", "visitId", visits),
        ("table1.tsv", "analyte", ids),
        ("table1.tsv", "visitId", visits),
        ("alternatives.tsv", "analyte", ids),
        ("alternatives.tsv", "parameterId", lost),
        ("outcomes.tsv", "quantity", ids | panels),
    ]
    out = dict(files)
    for file, column, names in changes:
        out |= rewritten(out, file, without_names(column, names)) if names else {}
    if "model_space.tsv" in out and lost:
        lines = TableReader(out).table("model_space.tsv", ())
        if lines:
            out["model_space.tsv"] = table_text([each for each in lines[0] if each not in lost], lines)
    return out


def _symbols(formulas: Iterable[str]) -> set[str]:
    """Every name in formulas; one that cannot be read has none, which the check of the case says."""
    from cellsim.model.formulas import parse_formula

    found: set[str] = set()
    for text in dict.fromkeys(filter(None, (each.strip() for each in formulas))):
        try:
            found |= {str(each) for each in parse_formula(text).free_symbols}
        except ModelError:
            continue
    return found


def _of_model(case: Case) -> set[str]:
    from cellsim.model.model import load_model

    return {each.name for each in load_model(case.model).quantities} if case.model else set()


def added(case: Case, *measurements: Given) -> dict[str, str]:
    """The tables of a case with more values; see :meth:`Case.add`."""
    given = [row for each in measurements for row in _rows_of(each)]
    if not given:
        raise CaseError('nothing to add: give a value, add({"analyte": "urea", "day": 28, "value": 3.1}).')
    problems: list[Problem] = []
    made = _Additions(case, problems)
    for k, row in enumerate(given):
        made.add(row, f"value {k + 1}" if len(given) > 1 else "the value")
    if problems:
        raise CaseError(problems)
    files = dict(case.files)
    measured = tables_of(case, "measurement_files")[0]
    for file, rows in (
        (measured, made.measured),
        ("extended.tsv", made.extended),
        ("visits.tsv", made.visits),
    ):
        files |= _longer(files, file, rows)
    if case.table1:
        files |= _longer(files, "table1.tsv", made.printed)
    return files


def _rows_of(given: Given) -> list[dict[str, Any]]:
    """One mapping a value."""
    if isinstance(given, Mapping):
        return [dict(given)]
    if not hasattr(given, "to_dict"):
        raise CaseError(
            f"a {type(given).__name__} is no measurement: give a mapping with analyte, value and visit or day, or a data frame "
            "with these columns."
        )
    return [{str(name): value for name, value in row.items()} for row in given.to_dict("records")]


class _Additions:
    """Rows to be added, and what is wrong with them."""

    def __init__(self, case: Case, problems: list[Problem]) -> None:
        self.case, self.problems = case, problems
        self.measured: list[dict[str, str]] = []
        self.extended: list[dict[str, str]] = []
        self.visits: list[dict[str, str]] = []
        self.printed: list[dict[str, str]] = []
        self._new: dict[float, Visit] = {}

    def add(self, row: Mapping[str, Any], where: str) -> None:
        """One more value, or a complaint about it."""
        before = len(self.problems)

        def say(what: str, remedy: str = "") -> None:
            self.problems.append(Problem(what=f"{where}: {what}", remedy=remedy))

        cells = {name: "" if _empty(value) else str(value).strip() for name, value in row.items()}
        for name in cells:
            if name not in _OF_MEASUREMENT:
                say(f"{name!r} says nothing about a measurement.", did_you_mean(name, _OF_MEASUREMENT))
        for name in _NEEDED:
            if not cells.get(name):
                say(f"no {name}.")
        about = next((e for e in self.case.analytes if cells.get("analyte") in (e.id, e.observable)), None)
        if about is None and cells.get("analyte"):
            known = [each.id for each in self.case.analytes]
            say(
                f"no analyte {cells['analyte']!r} in {self.case.name}.", did_you_mean(cells["analyte"], known)
            )
        sign, number = cells.get("value", "")[:1], cells.get("value", "")
        censoring = {"<": "left", ">": "right"}.get(sign, "")
        if number and not _is_value(number[1:] if censoring else number):
            say(
                f"value {row['value']!r} is no number.",
                "Write 3.1, or <0.5 or >200 for what lies beyond a limit.",
            )
        visit = self._visit(cells, say)
        if len(self.problems) > before or about is None or visit is None:
            return
        unit = cells.get("unit") or about.unit
        value = number_text(read_number((number[1:] if censoring else number).strip()))
        shared = {
            "observableId": about.observable, "visitId": visit.id, "analyte": about.id, "unit": unit,
            **{name: cells.get(name, "") for name in ("replicateId", "observableParameters", "source", "doubt")},
            "status": "censored" if censoring else cells.get("status", ""),
        }  # fmt: skip
        day = number_text(visit.nominal)
        if censoring:
            scored = {
                "kind": "censored",
                "day": day,
                "censoring": censoring,
                "limit": value,
                "scored": "true",
            }
            self.extended.append({**shared, **scored})
        else:
            experiment = self.case.experiment or next((each.experiment for each in self.case.rows), "")
            told = {"noiseParameters": cells.get("noiseParameters", ""), "panel": about.panel}
            self.measured.append(
                {**shared, **told, "experimentId": experiment, "time": day, "measurement": value}
            )
        limits = [("referenceLower", about.lower), ("referenceUpper", about.upper)]
        self.printed.append(
            {
                **shared, "value": value, "status": shared["status"] or "printed",
                **{name: number_text(limit) for name, limit in limits if limit is not None},
            }
        )  # fmt: skip

    def _visit(self, cells: Mapping[str, str], say: Callable[[str, str], None]) -> Visit | None:
        """The visit a row names, or the one of its day: a new one where there is none."""
        known = {each.id: each for each in self.case.visits}
        named, text = cells.get("visit", ""), cells.get("day", "")
        if text and not _is_value(text):
            say(f"day {text!r} is no number.", "Days are counted from day 0.")
            return None
        day = read_number(text) if text else None
        if named in known:
            if day is not None and day != known[named].nominal:
                say(
                    f"day {day:g}, but visit {named!r} is on day {known[named].nominal:g}.",
                    "Leave the day out.",
                )
            return known[named]
        if named and day is None:
            say(
                f"no visit {named!r}.",
                f"Give its day as well, if it is a new one. {did_you_mean(named, known)}",
            )
            return None
        if day is None:
            say("neither visit nor day.", "Say when it was sampled.")
            return None
        found = next((each for each in known.values() if each.nominal == day and not named), None)
        if found is not None:
            return found
        if day not in self._new:
            name = named or f"on_day_{day:g}".replace("-", "minus_").replace(".", "_").replace("+", "")
            self._new[day] = Visit(id=name, name=name, nominal=day, earliest=day, latest=day)
            self.visits.append(
                {"visitId": name, **dict.fromkeys(("nominal", "earliest", "latest"), number_text(day))}
            )
        elif named and self._new[day].id != named:
            say(
                f"visit {named!r} is on day {day:g}, as {self._new[day].id!r} is.",
                "Give one of them another day.",
            )
        return self._new[day]


def _is_value(text: str) -> bool:
    try:
        return is_finite_number(read_number(text.strip()))
    except ValueError:
        return False


def _empty(value: object) -> bool:
    """Whether a cell of a mapping or of a data frame says nothing."""
    return value is None or value != value or str(value) == "<NA>"
