"""Small patients made in one call: a few lines of Antimony, a few rows, a few priors, and a closed form to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.special import ndtr

from cellsim.case.case import Case, load_case
from cellsim.model.model import load_model
from cellsim.petab.tables import table_text

TableRow = dict[str, str]
ROLES = {
    "persistence": "persistence",
    "alloimmunity": "rejection",
    "drives": "mechanism",
    "vessels": "mechanism",
    "sample effects": "sample effect",
}
"""Groups of small cases, and what their parameters say."""


def tiny_case(
    model_text: str,
    observables: Mapping[str, str | tuple[str, float | str] | tuple[str, float | str, str]],
    rows: Iterable[tuple[str, float, float]],
    parameters: Mapping[str, float | tuple],
    *,
    doses: Iterable[tuple[float, str, float]] = (),
    products: Iterable[tuple[str, str, str]] = (),
    windows: Mapping[float, tuple[float, float]] | None = None,
    censored: Iterable[tuple[str, float, float]] = (),
    variants: Mapping[str, Mapping[str, float | str]] | None = None,
    groups: Mapping[str, str] | None = None,
    tables: Mapping[str, str] | None = None,
    start: float = 0.0,
    name: str = "tiny",
) -> Case:
    """A whole case, read and checked by :func:`cellsim.load_case`, from what a test wants to say.

    Parameters
    ----------
    model_text : str
        Antimony (or SBML) text, or the name of a shipped model.
    observables : mapping
        Name -> formula, or (formula, sd, a number or a formula), or (formula, sd, "normal" | "log-normal"); sd 0.1, log-normal by default.
    rows : iterable of (observable, day, value)
        One visit for each day, named v0, v1, ... in the order of time. Values must be above zero.
    parameters : mapping
        Name -> value (fixed), or (PEtab family, numbers...), e.g. ``("log-normal", 0.0, 0.5)``. Names that are no
        parameter of the model may be used by observables. Parameters of the model not named keep its values, fixed.
    doses : iterable of (day, state, amount)
        In the unit of the state. Where that counts cells, a product must enter the state.
    products : iterable of (name, source, state)
    windows : mapping
        Day -> (earliest, latest): that visit's day is estimated, uniform on the window, as ``day_v0``, ...
    censored : iterable of (observable, day, limit)
        Values known to lie below a limit.
    variants : mapping
        Name -> {parameter: value or "estimate"}; the first is the default one.
    groups : mapping
        Parameter -> group, as in a case's parameter table. Groups called like those of :data:`ROLES` have these roles.
    tables : mapping
        Further tables by file name, such as ``questions.tsv``.
    start : float
        The day the simulation starts.
    name : str

    Examples
    --------
    >>> tiny_case("x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 4.0)], {"k": ("log-normal", 0.0, 1.0)})
    <Case tiny: 1 analytes, 1 visits, 1 scored values, 0 infusions>
    """
    model = load_model(model_text)
    rows, censored, doses = list(rows), list(censored), list(doses)
    windows = dict(windows or {})
    days = sorted({float(day) for _, day, _ in [*rows, *censored]})
    visit = {day: f"v{k}" for k, day in enumerate(days)}
    known = {each.name: each.value for each in model.parameters}
    given = {**known, **parameters}
    written: dict[str, tuple[Sequence[str], list[TableRow]]] = {
        "observables.tsv": (
            ("observableId", "observableFormula", "noiseFormula", "noiseDistribution", "analyte", "unit"),
            [_observable(each, about) for each, about in observables.items()],
        ),
        "measurements.tsv": (
            ("observableId", "experimentId", "time", "measurement", "visitId", "unit"),
            [
                {
                    "observableId": f"obs_{each}", "experimentId": "timeline", "time": repr(float(day)),
                    "measurement": repr(float(value)), "visitId": visit[float(day)], "unit": "1",
                }
                for each, day, value in rows
            ],
        ),
        "parameters.tsv": (_PRIOR, [_prior(each, belief, (groups or {}).get(each, "")) for each, belief in given.items()]),
        "parameters_extended.tsv": (
            _PRIOR,
            [
                _prior(f"day_{visit[float(day)]}", ("uniform", *window), "visit days")
                | {"nominalValue": repr(float(day)), "lowerBound": repr(float(window[0])), "upperBound": repr(float(window[1]))}
                for day, window in windows.items()
            ],
        ),
        "visits.tsv": (
            ("visitId", "nominal", "earliest", "latest"),
            [
                {"visitId": visit[day], "nominal": repr(day), "earliest": repr(float(low)), "latest": repr(float(high))}
                for day in days
                for low, high in [windows.get(day, (day, day))]
            ],
        ),
        "experiments.tsv": (
            ("experimentId", "time", "conditionId"),
            [
                {"experimentId": "timeline", "time": repr(float(start)), "conditionId": ""},
                *(
                    {"experimentId": "timeline", "time": repr(float(day)), "conditionId": f"dose{k}"}
                    for k, (day, _, _) in enumerate(doses)
                ),
            ],
        ),
        "conditions.tsv": (
            ("conditionId", "targetId", "targetValue"),
            [
                {"conditionId": f"dose{k}", "targetId": state, "targetValue": f"{state} + {amount!r}"}
                for k, (_, state, amount) in enumerate(doses)
            ],
        ),
        "products.tsv": (
            ("productId", "source", "state"),
            [dict(zip(("productId", "source", "state"), each, strict=True)) for each in products],
        ),
        "table1.tsv": (("analyte", "visitId", "value", "unit", "status"), []),
        "extended.tsv": (
            ("observableId", "kind", "visitId", "day", "censoring", "limit", "unit", "scored"),
            [
                {
                    "observableId": f"obs_{each}", "kind": "censored", "visitId": visit[float(day)],
                    "day": repr(float(day)), "censoring": "left", "limit": repr(float(limit)), "unit": "1",
                    "scored": "true",
                }
                for each, day, limit in censored
            ],
        ),
        "model_space.tsv": _space(variants or {}),
        "variants.tsv": (
            ("variantId", "default"),
            [{"variantId": each, "default": str(k == 0).lower()} for k, each in enumerate(variants or {})],
        ),
    }  # fmt: skip
    files = {file: table_text(columns, lines) for file, (columns, lines) in written.items()}
    roles = [
        {"group": each, "role": ROLES[each]}
        for each in dict.fromkeys((groups or {}).values())
        if each in ROLES
    ]
    if roles:
        files["groups.tsv"] = table_text(("group", "role"), roles)
    files |= dict(tables or {})
    return load_case({**files, "problem.yaml": _PROBLEM.format(name=name), "model.xml": model.to_sbml()})


_PRIOR = (
    "parameterId", "lowerBound", "upperBound", "nominalValue", "estimate", "priorDistribution", "priorParameters",
    "unit", "group",
)  # fmt: skip
_PROBLEM = """\
format_version: 2.0.0
id: {name}
model_files: {{model: {{location: model.xml, language: sbml}}}}
parameter_files: [parameters.tsv]
observable_files: [observables.tsv]
measurement_files: [measurements.tsv]
condition_files: [conditions.tsv]
experiment_files: [experiments.tsv]
"""


def _observable(name: str, about: str | tuple) -> TableRow:
    given = (about,) if isinstance(about, str) else about
    formula, spread, family = (*given, *(None, 0.1, "log-normal")[len(given) :])
    return {
        "observableId": f"obs_{name}",
        "observableFormula": formula,
        "noiseFormula": spread if isinstance(spread, str) else repr(float(spread)),
        "noiseDistribution": family,
        "analyte": name,
        "unit": "1",
    }


def _prior(name: str, belief: float | tuple, group: str) -> TableRow:
    line = {"parameterId": name, "group": group}
    if not isinstance(belief, tuple):
        return line | {"nominalValue": repr(float(belief)), "estimate": "false"}
    family, *numbers = belief
    middle = {
        "log-normal": lambda mean, sd: np.exp(mean),
        "normal": lambda mean, sd: mean,
        "uniform": lambda low, high: (low + high) / 2,
        "log-uniform": lambda low, high: np.sqrt(low * high),
    }[family](*numbers)
    return line | {
        "nominalValue": repr(float(middle)),
        "estimate": "true",
        "priorDistribution": family,
        "priorParameters": ";".join(repr(float(each)) for each in numbers),
    }


def _space(variants: Mapping[str, Mapping[str, float | str]]) -> tuple[Sequence[str], list[TableRow]]:
    names = list(dict.fromkeys(name for each in variants.values() for name in each))
    return (
        ("model_subspace_id", "model_subspace_petab_yaml", *names),
        [
            {
                "model_subspace_id": variant,
                "model_subspace_petab_yaml": "problem.yaml",
                **{name: str(each.get(name, "estimate")) for name in names},
            }
            for variant, each in variants.items()
        ],
    )


# ---- patients whose answer is known --------------------------------------------------------------


def straight_line(
    values: Sequence[float], days: Sequence[float], *, sd: float = 0.5, prior: float = 1.0
) -> Case:
    """y = a + b t + 10 with normal noise and normal priors N(0, prior) on a and b: everything is Gaussian."""
    return tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + a + b*x", sd, "normal")},
        [("y", day, value) for day, value in zip(days, values, strict=True)],
        {"a": ("normal", 0.0, prior), "b": ("normal", 0.0, prior)},
        name="straight_line",
    )


def decay(values: Sequence[float], days: Sequence[float], *, sd: float = 0.2, prior: float = 1.0) -> Case:
    """y = A exp(-k t) with log-normal noise: linear in ln A, nonlinear in ln k; priors log-normal(0, prior)."""
    return tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x", sd)},
        [("y", day, value) for day, value in zip(days, values, strict=True)],
        {"k": ("log-normal", 0.0, prior), "A": ("log-normal", 0.0, prior)},
        name="decay",
    )


def decay_log_evidence(
    values: Sequence[float], days: Sequence[float], *, sd: float = 0.2, prior: float = 1.0
) -> float:
    """ln p(values) of :func:`decay`, without any simulation.

    Given k, ln y is N(-k t, sd^2 I + prior^2 11'); what is left is an integral over ln k, by the trapezoid rule on a
    grid far finer and wider than the posterior.
    """
    logs, t, n = np.log(values), np.asarray(days, float), len(days)
    z = np.linspace(-8, 8, 4001)
    apart = logs + np.exp(prior * z)[:, None] * t
    # the covariance has one eigenvalue sd^2 + n prior^2, along the mean, and sd^2 across it
    along = apart.sum(axis=1) ** 2 / n
    across = (apart**2).sum(axis=1) - along
    given = -0.5 * (along / (sd**2 + n * prior**2) + across / sd**2)
    given -= (
        0.5 * (n * np.log(2 * np.pi) + np.log(sd**2 + n * prior**2) + (n - 1) * np.log(sd**2)) + logs.sum()
    )
    weight = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(z[1] - z[0])
    return float(np.logaddexp.reduce(given + weight))


PULSES = {"box": (0.0, 10.0), "doses": (2.0, 6.0), "rate": 0.7, "values": {5.0: 6.0, 20.0: 1.5}}


def pulses(scatter: float = 0.1) -> Case:
    """One, and two doses that fade; read times a factor A on a day within a box, and once on a known day."""
    return tiny_case(
        f"x = 1; x' = -{PULSES['rate']}*(x - 1)",
        {"y": ("A*x", scatter)},
        [("y", day, value) for day, value in PULSES["values"].items()],
        {"A": ("log-normal", 0.0, 0.8)},
        doses=[(day, "x", 20.0) for day in PULSES["doses"]],
        windows={5.0: PULSES["box"]},
    )


def pulses_log_density(
    factor: np.ndarray, day: np.ndarray, scatter: float, *, without: int | None = None
) -> np.ndarray:
    """ln of prior and likelihood of :func:`pulses` at whitened A and day, without any simulation and one of its rows; any shapes that fit."""
    course = [
        1
        + 20
        * sum(np.exp(-PULSES["rate"] * np.maximum(at - dose, 0.0)) * (at >= dose) for dose in PULSES["doses"])
        for at in (PULSES["box"][1] * ndtr(day), np.array(20.0))
    ]
    found = -0.5 * (factor**2 + day**2) - np.log(2 * np.pi)
    for k, (value, x) in enumerate(zip(PULSES["values"].values(), course, strict=True)):
        if k == without:
            continue
        z = (np.log(value / x) - 0.8 * factor) / scatter
        found = found - 0.5 * z**2 - np.log(scatter * np.sqrt(2 * np.pi)) - np.log(value)
    return found
