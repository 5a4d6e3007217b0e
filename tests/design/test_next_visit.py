"""The next visit of small patients: closed forms where everything is Gaussian, and regret that is really removed."""

from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from patients import small_fit
from scipy.stats import norm
from small_cases import straight_line, tiny_case

import cellsim as cs
from cellsim.design.new_samples import scatter_of
from cellsim.errors import CalibrationError, CellsimError

DAYS, SD = (0.0, 1.0, 2.0), 0.5


@lru_cache
def line() -> cs.Calibration:
    """y = 10 + a + b t, priors N(0, 1): Laplace's approximation is the posterior."""
    return cs.calibrate(straight_line([10.1, 10.4, 11.2], DAYS, sd=SD), starts=1, seed=1)


def known() -> np.ndarray:
    """Covariance of a and b after the three rows, in closed form."""
    design = np.column_stack([np.ones(3), DAYS])
    return np.asarray(np.linalg.inv(np.eye(2) + design.T @ design / SD**2))


def test_days_of_a_line_are_ordered_as_a_d_optimal_design_orders_them() -> None:
    """Witness: half ln(1 + j C j' / sd^2), which grows with the distance of a day."""
    found = cs.plan_visits(line(), [3, 6, 12], question="everything", draws=1500, seed=2)
    ranked = found.ranked()
    assert [each.candidate.day for each in ranked] == [12.0, 6.0, 3.0]
    for each in ranked:
        row = np.array([1.0, each.candidate.day])
        exact = 0.5 * np.log(1 + row @ known() @ row / SD**2)
        error = 4 * each.bracket.error
        assert each.bracket.lower - error < exact < each.bracket.upper + error


def test_what_a_prediction_gains_is_what_the_closed_form_says() -> None:
    """Witness: the variance of a Gaussian prediction before and after one more row."""
    found = cs.plan_visits(
        line(),
        [4, 10],
        question=("prediction", "parameter"),
        prediction=("y", 12),
        parameter="a",
        draws=1500,
        seed=2,
    )
    for question, about in (("prediction", np.array([1.0, 12.0])), ("parameter", np.array([1.0, 0.0]))):
        for each in found.ranked(question):
            row = np.array([1.0, each.candidate.day])
            shared = row @ known() @ about
            exact = shared**2 / (row @ known() @ row + SD**2) / (about @ known() @ about)
            error = 4 * each.bracket.error
            assert each.bracket.lower - error < exact < each.bracket.upper + error


def test_a_second_visit_is_judged_together_with_the_first() -> None:
    """Witness: half the log determinant for both rows."""
    found = cs.plan_visits(line(), [6, 12], question="everything", visits=2, draws=1500, seed=3)
    assert [each.day for each in found.chosen] == [12.0, 6.0]
    [both] = found.ranked(visit=2)
    rows = np.array([[1.0, 12.0], [1.0, 6.0]])
    exact = 0.5 * np.linalg.slogdet(np.eye(2) + rows @ known() @ rows.T / SD**2)[1]
    error = 4 * both.bracket.error
    assert both.bracket.lower - error < exact < both.bracket.upper + error


def test_values_that_share_nothing_scatter_each_by_itself() -> None:
    """Witness: a diagonal of the spreads in the observable table, squared; no row of this patient names a parameter of its sample."""
    fit = small_fit()
    analytes = fit.case.analytes
    scatter = scatter_of(fit.objective, analytes, np.zeros((3, len(fit.objective.names))))
    means, covariances = scatter.normal(np.full((1, 3, 3), 2.0))
    assert means == pytest.approx(np.log(2.0))
    order = [each.id for each in analytes]
    spread = {"IL6": 0.3, "IL8": 0.3, "ESR": 0.2}
    exact = np.diag([spread[each] ** 2 for each in order])
    assert covariances.shape == (1, 1, 3, 3)
    assert covariances[0, 0] == pytest.approx(exact)


def test_the_effect_of_a_panel_is_shared_by_its_members() -> None:
    """Witness: sd^2 I + tau^2 1 1' of a panel whose rows name one parameter, and nothing beside the diagonal for the other analyte."""
    case = cs.load_case("sjogren_rfib")
    from cellsim.likelihood.formulation import objective_of

    objective = objective_of(case)
    chosen = [each for each in case.analytes if each.id in ("IL6", "IL10", "ESR")]
    scatter = scatter_of(objective, chosen, np.zeros((2, len(objective.names))))
    _, covariances = scatter.normal(np.ones((1, 2, 3)))
    prior = case.prior("sample_effect_before").parameters[1]
    shared = np.array([prior if each.id != "ESR" else 0.0 for each in chosen])
    exact = np.outer(shared, shared) + np.diag([float(each.noise) ** 2 for each in chosen])
    assert covariances[0, 0] == pytest.approx(exact)


@lru_cache
def chooser() -> cs.Calibration:
    """One dose moves y = 10 + a + b x by b for good, N(0, 1) before; everything is Gaussian."""
    case = tiny_case(
        "x = 0; x' = 0",
        {"y": ("10 + a + b*x", SD, "normal")},
        [("y", 0.0, 10.2), ("y", 3.0, 10.3)],
        {"a": ("normal", 0.0, 1.0), "b": ("normal", 0.0, 1.0)},
        doses=[(1.0, "x", 1.0)],
        tables={
            "outcomes.tsv": "outcomeId\tmeasure\tquantity\tlevel\tbetter\tlabel\tunit\nlow\tvalue\ty\t\tlower\ty at the end\t1\n"
        },
        name="chooser",
    )
    return cs.calibrate(case, starts=1, seed=1)


def test_the_regret_that_a_visit_removes_is_that_of_the_closed_form() -> None:
    """Witness: with and without a dose differ by b, N(m, s^2) after the rows; s' is the spread of its mean after the visit."""
    case = chooser().case
    plans = {"dose": case.schedule, "none": cs.Schedule((), case.products)}
    found = cs.plan_visits(chooser(), [5.0], plans=plans, draws=1500, seed=4)
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    covariance = np.linalg.inv(np.eye(2) + design.T @ design / SD**2)
    mean = covariance @ (design.T @ np.array([0.2, 0.3]) / SD**2)
    row, about = np.array([1.0, 1.0]), np.array([0.0, 1.0])
    s = np.sqrt(about @ covariance @ about)
    after = abs(row @ covariance @ about) / np.sqrt(row @ covariance @ row + SD**2)

    def gain(spread: float) -> float:
        # y is better when it is lower: the dose is worth -b
        m = -mean[1]
        return float(spread * norm.pdf(m / spread) + m * norm.cdf(m / spread) - max(m, 0.0))

    [best] = found.ranked()
    assert best.of == pytest.approx(gain(s), rel=0.15)
    error = 3 * best.bracket.error
    assert best.bracket.lower - error < gain(after) < best.bracket.upper + error
    assert error < gain(after)


def test_a_plan_that_is_no_other_leaves_nothing_to_learn() -> None:
    case = chooser().case
    found = cs.plan_visits(
        chooser(), [5.0], plans={"one": case.schedule, "same": case.schedule}, draws=100, seed=4
    )
    assert found.ranked()[0].of == found.ranked()[0].bracket.upper == 0.0
    assert "None of these visits is expected to tell anything" in found.report()
    # nor has the figure a best one
    assert not found.tells("plan")
    axes = np.atleast_1d(np.asarray(cs.plots.next_visit(found)))[0]
    assert [each.get_text() for each in axes.texts] == ["no day is expected to tell anything"]
    assert not [each for each in axes.lines if each.get_markersize() == 8]


def test_which_variant_it_is_is_asked_of_draws_of_both() -> None:
    """Witness: with an all but certain variant next to nothing is left to learn, and the entropy bounds it."""
    fits = {name: small_fit(name) for name in ("V2", "V0")}
    found = cs.plan_visits(fits, [150, 250], question=("variant", "everything"), draws=120, seed=1)
    odds = np.exp(fits["V0"].log_evidence - fits["V2"].log_evidence)
    p = 1 / (1 + odds)
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    for each in found.ranked("variant"):
        assert each.of == pytest.approx(entropy, rel=1e-6)
        assert 0 <= each.bracket.lower <= each.bracket.upper <= entropy * (1 + 1e-9)
    assert {each.variant for each in found.findings if each.question == "everything"} == {"", "V2", "V0"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"days": [2.0]}, "not after the last visit"),
        ({"days": []}, "a list of days is needed"),
        ({"days": [9.0], "question": "parametr"}, "Did you mean"),
        ({"days": [9.0], "question": "parameter"}, "go together"),
        ({"days": [9.0], "question": "parameter", "parameter": "c"}, "no parameter 'c'"),
        ({"days": [9.0], "question": "prediction", "prediction": ("z", 9)}, "no analyte 'z'"),
        ({"days": [9.0], "question": "variant"}, "cannot be asked of one"),
        ({"days": [9.0], "question": "plan"}, "no outcome"),
        ({"days": [9.0], "question": "everything", "panels": ["blod"]}, "no panel or analyte 'blod'"),
        ({"days": [9.0], "question": "everything", "draws": 3}, "at least 50"),
        ({"days": [9.0], "question": "everything", "costs": {"y": -1.0}}, "a number above zero"),
        ({"days": [9.0], "question": "everything", "day_error": 8.0}, "not after the last visit"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(asked: dict, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        cs.plan_visits(line(), asked.pop("days"), **asked)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(CalibrationError) as told:
        cs.plan_visits(line(), [1.0], question="everyting", draws=3, panels=["z"])
    assert len(told.value.problems) == 4


def test_the_table_and_the_words_say_the_same() -> None:
    found = cs.plan_visits(line(), [3, 12], question="everything", costs={"y": 20.0}, draws=300, seed=2)
    table = found.table()
    best = table.sort_values("per_cost").iloc[-1]
    assert best["day"] == found.chosen[0].day == 12.0
    assert best["per_cost"] == pytest.approx((best["lower"] + best["upper"]) / 2 / 20.0)
    assert f"day 12, y: {best['lower']:.3g} to {best['upper']:.3g}" in found.report()
    assert found.label in found.report()
    with pytest.raises(CellsimError, match="was not asked"):
        found.ranked("plan")


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, other = (
        cs.plan_visits(line(), [3, 12], question="everything", draws=100, seed=5).table() for _ in range(2)
    )
    assert one.equals(other)


def test_the_command_line_says_what_the_call_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Witness: the table of :func:`cellsim.plan_visits` with the same seed; the figure has a band a panel and a ring."""
    from cellsim.cli.commands import main

    saved, out, figure = tmp_path / "fit.json", tmp_path / "visits.csv", tmp_path / "visits.png"
    line().save(saved)
    words = [
        "plan",
        str(saved),
        "--days",
        "3:12:9",
        "--question",
        "everything",
        "--cost",
        "y=20",
        "--draws",
        "100",
    ]
    assert main([*words, "--seed", "5", "--out", str(out), "--figure", str(figure)]) == 0
    told = capsys.readouterr().out
    own = cs.plan_visits(line(), [3, 12], question="everything", costs={"y": 20.0}, draws=100, seed=5)
    assert own.report() in told
    assert pd.read_csv(out)["lower"].to_numpy() == pytest.approx(own.table()["lower"].to_numpy(), rel=1e-6)
    assert figure.stat().st_size > 1000
    assert main(["plan", str(saved), "--days", "3-12"]) == 1
    assert "like 280,308,364" in capsys.readouterr().err


def test_the_figure_shows_every_question_and_panel() -> None:
    found = cs.plan_visits(
        small_fit(), [150, 200], question=("everything", "parameter"), parameter="e", draws=240, seed=1
    )
    axes = cs.plots.next_visit(found)
    assert len(axes) == 2 and any(map(found.tells, found.questions))
    for ax, question in zip(axes, found.questions, strict=True):
        rings = [each.get_xydata()[0].tolist() for each in ax.lines if each.get_markersize() == 8]
        best = found.ranked(question)[0]
        assert rings == [[best.candidate.day, best.bracket.middle]] * found.tells(question)
        assert len(ax.collections) == len({each.panel for each in found.candidates})
    plt.close(axes.figure)
