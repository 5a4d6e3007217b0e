"""A new assay of a sample that was drawn already: closed forms of a patient in whom the logarithm of everything is Gaussian."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.cli.__main__ import main
from cellsim.design.stored_samples import stored_samples
from cellsim.errors import CalibrationError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.petab.tables import table_text

SD, TAU, DAYS = 0.3, 0.5, (0.0, 1.0, 2.0)
ROWS = [("y", 0, 1.3), ("z", 0, 1.1), ("y", 1, 1.9), ("y", 2, 3.2)]


def measured(rows: list[tuple[str, int, float]]) -> dict[str, str]:
    """Tables of rows that name the effect of their sample, s_v0 at the first visit."""
    observables = [
        {
            "observableId": f"obs_{name}", "observableFormula": f"value_{name}*exp(effect_{name})", "noiseFormula": f"{SD}",
            "noiseDistribution": "log-normal", "observablePlaceholders": f"effect_{name}", "analyte": name, "unit": "1", "quantity": f"value_{name}",
            "panel": "serum",
        }
        for name in ("y", "z")
    ]  # fmt: skip
    lines = [
        {
            "observableId": f"obs_{name}", "experimentId": "timeline", "time": f"{DAYS[k]}", "measurement": f"{value}",
            "observableParameters": f"s_v{k}", "visitId": f"v{k}", "unit": "1",
        }
        for name, k, value in rows
    ]  # fmt: skip
    return {
        "observables.tsv": table_text(tuple(observables[0]), observables),
        "measurements.tsv": table_text(tuple(lines[0]), lines),
    }


MODEL = "t = 0; t' = 1; a = 0; b = 0; value_y := exp(a + b*t); value_z := exp(a - b*t)"
EFFECTS = {f"s_v{k}": ("normal", 0.0, TAU) for k in range(3)}


@lru_cache
def fit() -> cs.Calibration:
    """ln y = a + b t + s and ln z = a - b t + s with a, b ~ N(0, 1) and s ~ N(0, TAU) of each sample; z was measured in the first one alone."""
    case = tiny_case(
        MODEL,
        {"y": "value_y"},
        [("y", day, 1.0) for day in DAYS],
        {"a": ("normal", 0.0, 1.0), "b": ("normal", 0.0, 1.0), **EFFECTS},
        tables=measured(ROWS),
        name="stored",
    )
    return cs.calibrate(case, starts=1, seed=1)


def row(name: str, visit: int | None = None, day: float = 0.0) -> np.ndarray:
    """Slopes of the logarithm of a value by a, b, s_v0, s_v1, s_v2."""
    out = np.zeros(5)
    out[:2] = 1.0, (day if visit is None else DAYS[visit]) * (1.0 if name == "y" else -1.0)
    if visit is not None:
        out[2 + visit] = 1.0
    return out


def known() -> np.ndarray:
    """Covariance of a, b and the effects after the rows."""
    design = np.array([row(name, k) for name, k, _ in ROWS])
    return np.linalg.inv(np.diag(1 / np.array([1.0, 1.0, TAU, TAU, TAU]) ** 2) + design.T @ design / SD**2)


@dataclass(frozen=True)
class Exact:
    """Draws of the closed form whose mean and covariance are those of the posterior exactly, so that only the noise of assays is left to chance."""

    objective: Objective

    def draws(self, n: int, *, seed: int) -> np.ndarray:
        names = ["a", "b", "s_v0", "s_v1", "s_v2"]
        design = np.array([row(name, k) for name, k, _ in ROWS])
        middle = known() @ design.T @ np.log([value for *_, value in ROWS]) / SD**2
        plain = np.random.default_rng(seed).standard_normal((n, 5))
        plain -= plain.mean(axis=0)
        plain = np.linalg.solve(np.linalg.cholesky(plain.T @ plain / n), plain.T).T
        values = middle + plain @ np.linalg.cholesky(known()).T
        sizes = np.array([1.0, 1.0, TAU, TAU, TAU])
        return (values / sizes)[:, [names.index(name) for name in self.objective.names]]


def test_a_new_assay_shares_the_sample_and_a_new_visit_does_not() -> None:
    """Witness: the share of the variance of b, and half ln det(I + J C J'/S), in closed form, within 1 %; S is the scatter of the assay, of a new visit
    with a new effect that its panel shares beside it."""
    panels = {"y": ["y"], "serum": ["y", "z"]}
    found = cs.plan_visits(
        Exact(fit().objective), [3.0], panels=panels, stored=["v2"], question=("parameter", "everything"), parameter="b", draws=3000, seed=3
    )  # fmt: skip
    assert {each.sample for each in found.candidates} == {"", "v2"}
    about = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    for question in found.questions:
        for each in found.ranked(question):
            one = each.candidate
            rows = np.array([row(name, 2 if one.sample else None, one.day) for name in panels[one.panel]])
            scatter = SD**2 * np.eye(len(rows)) + (0.0 if one.sample else TAU**2) * np.ones(
                (len(rows), len(rows))
            )
            spread = rows @ known() @ rows.T + scatter
            shared = rows @ known() @ about
            exact = {
                "parameter": shared @ np.linalg.solve(spread, shared) / (about @ known() @ about),
                "everything": 0.5 * (np.linalg.slogdet(spread)[1] - np.linalg.slogdet(scatter)[1]),
            }[question]
            # 1 % of all of a variance, 1 % of the information of two values; that of one alone is too little for so few draws
            off = (
                0.01
                if question == "parameter"
                else 0.01 * exact
                if len(rows) == 2
                else 3 * each.bracket.error
            )
            assert each.bracket.middle == pytest.approx(exact, abs=off), (question, one.words)


def late() -> cs.Case:
    """A dose of x on day 1, on which the second sample is drawn before it; the day of the third is known to a week."""
    return tiny_case(
        "x = 0; x' = 0; t = 0; t' = 1; a = 0; b = 0; value_y := exp(a + b*t + x); value_z := exp(a - b*t)",
        {"y": "value_y"},
        [("y", day, 1.0) for day in DAYS],
        {"a": ("normal", 0.0, 1.0), "b": ("normal", 0.0, 1.0), **EFFECTS},
        doses=[(1.0, "x", 1.0)],
        windows={2.0: (1.5, 8.5)},
        tables={
            **measured(ROWS),
            "visits.tsv": "visitId\tname\tnominal\tearliest\tlatest\ttiming\nv0\tfirst\t0\t0\t0\t\nv1\tsecond\t1\t1\t1\tpredose\n"
            "v2\tthird\t2\t1.5\t8.5\t\n",
        },
        name="late",
    )


def test_a_stored_sample_has_the_day_and_the_effect_of_each_draw() -> None:
    """Witness: exp(a + b t + s) and exp(a - b t + s) with the t and s of each draw; the dose of the day comes after a predose sample. z was not
    measured in the later samples: that it shares the effect with y is known from the first."""
    objective = objective_of(late())
    thetas = np.random.default_rng(4).standard_normal((7, len(objective.names)))
    found = stored_samples(objective, objective.case.visits, objective.case.analytes, thetas)
    a, b, last = objective.vector_of(thetas, ["a", "b", "day_v2"]).T
    order = [each.id for each in objective.case.analytes]
    for k, (visit, day, given) in enumerate((("v0", 0.0, 0.0), ("v1", 1.0, 0.0), ("v2", last, 1.0))):
        effect = objective.vector_of(thetas, [f"s_{visit}"])[:, 0]
        exact = {"y": np.exp(a + b * day + given + effect), "z": np.exp(a - b * day + effect)}
        seen = found[visit]
        assert seen.predicted == pytest.approx(np.column_stack([exact[name] for name in order]), rel=1e-5), k
        assert not seen.scatter.shared.any() and seen.scatter.spreads == pytest.approx(SD)


def test_an_effect_that_no_row_of_the_sample_tells_is_as_unknown_as_a_new_one() -> None:
    """Without the row of y the first sample says nothing about its effect: TAU beside the assay, shared by both."""
    case = late().without(visit="v1")
    objective = objective_of(case)
    visit = next(each for each in late().visits if each.id == "v1")
    thetas = np.zeros((2, len(objective.names)))
    seen = stored_samples(objective, [visit], case.analytes, thetas)["v1"]
    assert (seen.scatter.shared @ seen.scatter.shared.T) == pytest.approx(np.full((2, 2), TAU**2))
    assert seen.predicted == pytest.approx(1.0)


def test_a_sample_of_a_patient_who_stands_still_is_worth_what_a_new_visit_is() -> None:
    """Without effects, drift and doubt about the day both measure the same thing with the same noise: the very same numbers, and costs of each."""
    case = tiny_case(
        "x = 1; x' = 0", {"y": ("a*x", 0.3)}, [("y", 1.0, 1.2)], {"a": ("log-normal", 0.0, 1.0)}, name="still"
    )  # fmt: skip
    fitted = cs.calibrate(case, starts=1)
    found = cs.plan_visits(
        fitted, [9.0], stored=[1], question="everything", costs={"y": 40.0, ("v0", "y"): 10.0}, draws=200, visits=2
    )  # fmt: skip
    table = found.table()
    first = table[table["visit"] == 1].set_index("sample")
    assert first.loc["v0", "lower"] == pytest.approx(first.loc["", "lower"], rel=1e-4)
    assert first.loc["v0", "per_cost"] == pytest.approx(4 * first.loc["", "per_cost"], rel=1e-4)
    assert {each.sample for each in found.chosen} == {"", "v0"}
    text = found.report()
    assert "stored sample v0 (day 1), y" in text and "taken to have kept its values" in text
    assert "sample" in found._repr_html_() and "stored sample v0" in text
    axes = cs.plots.next_visit(found)
    assert "new assay of a stored sample" in {
        each.get_text() for each in axes[0].figure.legends[0].get_texts()
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stored": ["v9"]}, "(?s)stored: no sample 'v9'.*v0"),
        ({"stored": [7.5]}, "stored: no sample 7.5"),
        ({"stored": [], "days": []}, "a list of days is needed"),
        ({"stored": ["v2"], "costs": {("v1", "serum"): 1.0}}, "(?s)no stored sample 'v1'.*v2"),
        ({"stored": ["v2"], "costs": {("v2", "sera"): 1.0}}, "(?s)no panel 'sera'.*serum"),
        ({"stored": ["v2"], "costs": {("v2", "serum"): -1.0}}, "cost of serum of v2 is -1.0"),
    ],
)
def test_what_is_no_stored_sample_is_refused(options: dict, said: str) -> None:
    asked = {"days": [5.0], "question": "everything", **options}
    with pytest.raises(CalibrationError, match=said):
        cs.plan_visits(fit(), **asked)


def test_the_command_line_takes_stored_samples_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "fit.json"
    fit().save(saved)
    out = tmp_path / "table.csv"
    asked = [
        "plan",
        str(saved),
        "--stored",
        "v2",
        "--stored",
        "0",
        "--question",
        "everything",
        "--cost",
        "serum@v2=15",
        "--draws",
        "60",
    ]
    assert main([*asked, "--out", str(out)]) == 0
    assert "stored sample v2 (day 2), serum" in capsys.readouterr().out
    table = pd.read_csv(out, keep_default_na=False)
    assert set(table["sample"]) == {"v0", "v2"} and "15" in {
        str(each).removesuffix(".0") for each in table["cost"]
    }
