"""Measures of one's own, noise of a new sample, joint ranges and days to relapse: closed forms and scipy as witnesses."""

import numpy as np
import pytest
from scipy import stats
from small_cases import straight_line, tiny_case

import cellsim as cs
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, ModelError
from cellsim.predictions.measures import AllInRange, Area, InRange, Value
from cellsim.predictions.own_measures import DaysToRelapse, Formula, measures_given
from cellsim.predictions.predictions import predictions_of


@pytest.fixture(scope="module")
def drug() -> cs.Calibration:
    """x' = -k x, k log-normal, and y = 2 x + 1."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.2",
        {"y": ("2*x + 1", 0.3)},
        [("y", -1.0, 1.1)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3)},
        start=-2.0,
    )
    return cs.calibrate(case, starts=1)


def of_k(fit: cs.Calibration, n: int) -> np.ndarray:
    return fit.objective.vector(fit.draws(n, seed=0))[
        :, list(fit.objective.kernels.equations.parameters).index("k")
    ]


def ask(
    fit: cs.Calibration, measures: object, plan: Schedule, until: float = 20, draws: int = 9
) -> np.ndarray:
    return cs.sweep(fit, plan, until=until, measures=measures, draws=draws, history=None).posterior[0]  # type: ignore[arg-type]


ONE = Schedule.at([0], cells=3.0, product="x")


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("area(x)", lambda k: 3 * (1 - np.exp(-20 * k)) / k),
        ("mean(2*x)", lambda k: 6 * (1 - np.exp(-20 * k)) / k / 20),
        ("area(x)/peak(x)", lambda k: (1 - np.exp(-20 * k)) / k),
        ("at(y, 5)/at(y, 0) - 1", lambda k: (6 * np.exp(-5 * k) + 1) / 7 - 1),
        ("days_above(x, 1)", lambda k: np.log(3) / k),
        ("days_below(y, 3) + days_above(y, 3)", lambda k: 20 + 0 * k),
        ("y", lambda k: 6 * np.exp(-20 * k) + 1),
        ("piecewise(1, at(x, 4) < 1.3, 0)*max(2, 1)", lambda k: 2.0 * (3 * np.exp(-4 * k) < 1.3)),
        ("sqrt(abs(-peak(y)))^2", lambda k: 7 + 0 * k),
    ],
)
def test_formulas_have_their_closed_forms(
    drug: cs.Calibration, text: str, exact: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellsim.predictions.predictor.RTOL", 1e-5)
    k = of_k(drug, 9)
    assert ask(drug, [text], ONE)[0] == pytest.approx(exact(k), rel=2e-5)  # type: ignore[operator]


def test_a_function_of_a_trajectory_is_what_simulate_says(drug: cs.Calibration) -> None:
    """Peak and area of the compiled measures, and of each draw simulated by itself, are the same numbers."""

    def highest(seen: cs.Trajectory) -> float:
        return seen.peak("x", 0, 20)[1]

    plan = Schedule.every(3, cells=2.0, doses=4, product="x")
    own, area, peak = ask(drug, [highest, "area(x)", "peak(x)"], plan)
    assert own == pytest.approx(peak, rel=1e-5)
    named = ask(drug, {"exposure": lambda seen: seen.auc("x", 0, 20)}, plan)
    assert named[0] == pytest.approx(area, rel=1e-5)
    table = cs.sweep(drug, plan, until=20, measures={"exposure": highest}, draws=2, history=None).table()
    assert list(table["quantity"]) == ["exposure"]


@pytest.mark.parametrize(
    ("measures", "error", "said"),
    [
        (["area(x, 3)"], ModelError, "takes area.formula., and 2 are given"),
        (["area(peak(x))"], ModelError, r"peak\(\) stands inside area"),
        (["at(x, k)"], ModelError, "needs a number"),
        (["x < 3"], ModelError, "is a condition"),
        (["area(xx)"], CellsimError, "names 'xx'.*Did you mean 'x'"),
        (["log(at(x, 0) - 5)"], CellsimError, "not a finite number in 9 of 9"),
        (["__import__('os')"], ModelError, "formula"),
        ([3], CellsimError, "3 is no measure"),
        ([lambda seen: "high"], CellsimError, "gives 'high' for draw 0"),
        ("area(x)", CellsimError, "takes a list of measures"),
    ],
)
def test_what_is_no_measure_is_refused(
    drug: cs.Calibration, measures: object, error: type, said: str
) -> None:
    with pytest.raises(error, match=f"(?s){said}"):
        ask(drug, measures, ONE)


def test_measures_of_a_sweep_alone_are_refused_elsewhere(drug: cs.Calibration) -> None:
    """A derivative of a sample's noise or of another plan's last dose would be a number without meaning."""
    for each in (Value(noise=True), DaysToRelapse("x", 1.0), *measures_given([lambda seen: 1.0])):
        with pytest.raises(CellsimError, match="asked of a sweep alone"):
            [one.of(np.zeros(1)) for one in predictions_of(drug, [each], until=5)]
    exact = predictions_of(drug, [Formula("area(x)"), Area("x")], until=5, plan=ONE)
    (formula, slope), (area, other) = (each.of(np.zeros(1)) for each in exact)
    assert formula == pytest.approx(area) and slope == pytest.approx(other)


def test_days_to_relapse_are_those_of_an_exponential(drug: cs.Calibration) -> None:
    """z = 3 - x rises above 2.5 when x = 3 exp(-k t) falls below 0.5: ln(6)/k days after the only dose, or not by then."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.2; z := 3 - x",
        {"y": ("2*x + 1", 0.3)},
        [("y", -1.0, 1.1)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3)},
        start=-2.0,
    )
    fit = cs.calibrate(case, starts=1)
    k = of_k(fit, 40)
    exact = np.log(6) / k
    late = Schedule.at([2], cells=3.0, product="x")
    days, relapsed = ask(fit, [DaysToRelapse("z", 2.5)], late, until=12, draws=40)
    assert 0 < relapsed.sum() < 40
    assert days == pytest.approx(np.minimum(exact, 10.0), abs=5e-4)  # x is simulated to 1e-4 there
    assert np.array_equal(relapsed, (exact < 10).astype(float))
    days, relapsed = ask(fit, [DaysToRelapse("z", 2.5)], Schedule(), until=12, draws=3)
    assert days.tolist() == [0.0] * 3 and relapsed.tolist() == [1.0] * 3


def line(lower: float, upper: float) -> cs.Calibration:
    """A straight line whose analyte has a reference range."""
    case = straight_line([10.3, 11.2], [0.0, 1.0])
    text = case.files["observables.tsv"].splitlines()
    rows = [f"{text[0]}\treferenceLower\treferenceUpper", *(f"{row}\t{lower}\t{upper}" for row in text[1:])]
    return cs.calibrate(cs.load_case({**case.files, "observables.tsv": "\n".join(rows) + "\n"}), starts=1)


def test_the_chance_of_being_in_range_of_a_linear_gaussian_model_has_its_closed_form() -> None:
    """y(t) = 10 + a + b t, a and b normal: the predictive distribution on day 3 is normal, with and without the noise of a sample."""
    low, high, day, sd = 10.5, 13.0, 3.0, 0.5
    fit = line(low, high)
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    cover = np.linalg.inv(np.eye(2) + design.T @ design / sd**2)
    mean = 10 + np.array([1.0, day]) @ cover @ design.T @ np.array([0.3, 1.2]) / sd**2
    var = np.array([1.0, day]) @ cover @ np.array([1.0, day])
    measures = [InRange((day,)), InRange((day,), noise=True), Value((day,), noise=True)]
    found = cs.sweep(fit, Schedule(), until=day, measures=measures, draws=4000, seed=2)
    table = found.table()
    for k, spread in enumerate((var, var + sd**2)):
        law = stats.norm(mean, np.sqrt(spread))
        row = table.iloc[k]
        assert row["estimate"] == pytest.approx(law.cdf(high) - law.cdf(low), abs=4 * row["error"])
        assert 0 < row["error"] < 0.01
    assert stats.kstest(found.posterior[0, 2], stats.norm(mean, np.sqrt(var + sd**2)).cdf).pvalue > 1e-3
    assert table["estimate"][2] == pytest.approx(mean, abs=4 * table["error"][2])


def test_the_joint_chance_counts_the_effect_that_a_sample_shares(sjogren_fit: cs.Calibration) -> None:
    """Noises of a panel are normal with one shared part: scipy's multivariate normal distribution is the witness."""
    fit, case = sjogren_fit, sjogren_fit.case
    panel = "cytokines"
    names = tuple(each.id for each in case.analytes if each.panel == panel)
    measures = [
        AllInRange(panel, noise=True),
        InRange(noise=True, analytes=names),
        Value(analytes=names),
        AllInRange(panel),
    ]
    found = cs.sweep(fit, case.schedule, until=300, measures=measures, draws=3).posterior[0]
    joint, each, values, plain = found[0], found[1 : 1 + len(names)], found[1 + len(names) : -1], found[-1]
    shared, spreads = (
        0.4,
        [0.3 if n == "TNFa" else 0.6 if n in ("IL1b", "IL6", "IL8") else 0.5 for n in names],
    )
    upper = np.array([case.analyte(n).upper for n in names])
    for draw in range(3):
        sd = np.hypot(spreads, shared)
        assert each[:, draw] == pytest.approx(stats.norm.cdf(np.log(upper / values[:, draw]) / sd), rel=1e-6)
        cover = np.diag(np.square(spreads)) + shared**2
        exact = stats.multivariate_normal(np.zeros(len(names)), cover).cdf(
            np.log(upper / values[:, draw]), rng=1
        )
        assert joint[draw] == pytest.approx(exact, rel=0.02, abs=1e-6)
        assert each[:, draw].prod() < joint[draw] < each[:, draw].min()
        assert plain[draw] == float((values[:, draw] <= upper).all())
