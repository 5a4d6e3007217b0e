"""Analytes that name no quantity of the model are predicted by their formula, whatever is asked of them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim import plots
from cellsim.dosing.infusions import Infusion, Product
from cellsim.errors import CellsimError, SimulationError
from cellsim.likelihood.formulation import objective_of
from cellsim.predictions.measures import DaysBelow, InRange, PeakLoad, Value, default_measures
from cellsim.predictions.predictions import predictions_of

RATE = 0.1


def fitted(noise: str = "0.1", distribution: str = "log-normal", **options) -> cs.Calibration:
    """y = A x (s is fixed, and may be part of the noise) with x = 10 exp(-t/10), reference range up to 4."""
    made = tiny_case(
        "x = 10; x' = -k*x; k = 0.1; s = 0.3; twice := 2*s",
        {"y": ("A*x", 0.1, distribution)},
        [("y", 1.0, 9.0), ("y", 5.0, 6.0)],
        {"k": RATE, "A": ("log-normal", 0.0, 0.5), "s": 0.3},
    )
    files = made.files
    header, row = files["observables.tsv"].splitlines()
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True)) | {"noiseFormula": noise} | options
    cells |= {"referenceUpper": "4"}
    files["observables.tsv"] = "\n".join(["\t".join(cells), "\t".join(cells.values())]) + "\n"
    return cs.calibrate(cs.load_case(files), starts=2)


@pytest.mark.parametrize(("noise", "spread"), [("0.1", 0.1), ("s/2", 0.15)])
@pytest.mark.parametrize("distribution", ["normal", "log-normal"])
def test_chance_as_sampled_is_scipys_under_either_noise(noise: str, spread: float, distribution: str) -> None:
    """The spread may be a formula of fixed parameters, and the approximation is the analyte's own."""
    fit = fitted(noise, distribution, referenceLower="3.9")
    swept = cs.sweep(
        fit, {"none": cs.Schedule()}, until=9, draws=20, measures=[Value(), InRange(noise=True)], seed=3
    )
    value, chance = swept.posterior[0]
    draws = fit.objective.vector_of(fit.draws(20, seed=3), ["A"])[:, 0]
    assert value == pytest.approx(draws * 10 * np.exp(-RATE * 9), rel=1e-5)
    approximation = (
        stats.norm(value, spread) if distribution == "normal" else stats.lognorm(spread, scale=value)
    )
    assert chance == pytest.approx(approximation.cdf(4.0) - approximation.cdf(3.9), rel=1e-6)


def test_prediction_and_figures_take_the_formula() -> None:
    fit = fitted()
    [asked] = predictions_of(fit, [Value((9.0,))], until=9)
    value, slope = asked.of(fit.theta)
    # d (A x) / d theta = 0.5 A x, the prior's sd being 0.5 in ln A
    assert slope[0] == pytest.approx(0.5 * value, rel=1e-4)
    axes = plots.fit(fit, draws=5)
    assert len(axes) == 1


def test_formula_with_placeholders_and_no_quantity_is_refused_in_words() -> None:
    made = cs.load_case("sjogren_rfib").files
    lines = made["observables.tsv"].splitlines()
    column = lines[0].split("\t").index("quantity")
    rows = [line.split("\t") for line in lines[1:]]
    rows = [[*row[:column], "", *row[column + 1 :]] if row[0] == "obs_IL6" else row for row in rows]
    made["observables.tsv"] = "\n".join([lines[0], *("\t".join(row) for row in rows)]) + "\n"
    case = cs.load_case(made)
    with pytest.raises(CellsimError, match=r"IL6 cannot be predicted .* Name the model's quantity"):
        Value((9.0,), ("IL6",)).formulas(case)
    assert "IL6" not in Value((9.0,)).formulas(case)


@pytest.mark.parametrize(
    ("model", "quantity", "level", "until", "days"),
    [
        ("u := 1 + piecewise(-1, time>=100.3 && time<100.35, 0)", "u", 0.5, 200, 0.05),
        ("e = 1; e' = 0; at time>=33.21: e = 0; at time>=33.26: e = 1", "e", 0.5, 200, 0.05),
        ("c := cos(2*pi*3*time)", "c", 0.0, 365, 182.5),
        ("z = 2; z' = -0.1*z", "z", 1.0, 20, 20 - 10 * np.log(2)),
        ("z = 1; z' = z*(1 - z/1000); w := 1/z", "w", 0.01, 30, 30 - np.log(99.9 / 0.9)),
    ],
)
def test_days_below_a_level_miss_no_stay_however_short(
    model: str, quantity: str, level: float, until: float, days: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: closed forms (windows, an event's days, half of all periods, a decay, logistic growth)."""
    monkeypatch.setattr("cellsim.predictions.predictor.RTOL", 1e-5)
    made = tiny_case(
        f"x = 1; x' = 0*x; k = 1; {model}",
        {"y": ("x*k", 0.1)},
        [("y", 1.0, 1.0)],
        {"k": ("log-normal", 0.0, 0.5)},
    )
    swept = cs.sweep(
        cs.calibrate(made, starts=1),
        {"none": cs.Schedule()},
        until=until,
        measures=[DaysBelow(quantity, level)],
        draws=3,
    )
    assert swept.posterior[0, 0] == pytest.approx(days, abs=2e-4)


def test_days_below_a_level_move_with_the_crossing() -> None:
    """x = 5 exp(-k t) is below 1 from ln(5)/k on; by ln k, which theta moves by its prior sd, that day moves by -ln(5)/k."""
    made = tiny_case(
        "x = 5; x' = -k*x; k = 0.2",
        {"y": ("x", 0.1)},
        [("y", 1.0, 4.0)],
        {"k": ("log-normal", float(np.log(0.2)), 0.3)},
    )
    objective = objective_of(made)
    [found] = predictions_of(objective, [DaysBelow("x", 1.0)], until=28)
    value, slope = found.of(np.array([0.0]))
    assert value == pytest.approx(28 - np.log(5) / 0.2, abs=1e-4)
    assert slope == pytest.approx([0.3 * np.log(5) / 0.2], rel=1e-3)


# ---- peaks --------------------------------------------------------------------------------------------

DOSES = ((0.0, 5.0), (3.3, 4.0), (7.0, 6.0))


def absorbed(formula: str) -> cs.Calibration:
    """gut -> x -> out with ka and ke log-normal; `formula` is the one analyte of a panel, its upper limit 2."""
    made = tiny_case(
        "gut = 0; x = 0; gut' = -ka*gut; x' = ka*gut - ke*x; ka = 20; ke = 0.3",
        {"y": formula},
        [("y", -1.0, 2.0)],
        {"ka": ("log-normal", float(np.log(20)), 0.4), "ke": ("log-normal", float(np.log(0.3)), 0.3)},
        start=-2.0,
    )
    files = made.files
    header, row = files["observables.tsv"].splitlines()
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    cells |= {"referenceUpper": "2", "panel": "cytokines"}
    files["observables.tsv"] = "\n".join(["\t".join(cells), "\t".join(cells.values())]) + "\n"
    return cs.calibrate(cs.load_case(files), starts=1)


def course(t: np.ndarray, ka: float, ke: float, of: str) -> np.ndarray:
    """Superposed doses: Bateman's function for x, exponentials for gut."""
    since = t[:, None] - np.array([day for day, _ in DOSES])
    amount, after = np.array([amount for _, amount in DOSES]), np.maximum(since, 0.0)
    gut = np.where(since >= 0, amount * np.exp(-ka * after), 0.0).sum(axis=1)
    x = (amount * ka / (ka - ke) * (np.exp(-ke * after) - np.exp(-ka * after))).sum(axis=1)
    return {"1 + x": 1 + x, "1 + gut": 1 + gut, "1/(1 + x)": 1 / (1 + x)}[of]


def exact_peak(ka: float, ke: float, of: str, until: float) -> float:
    """The greatest value of the closed form, looked for ever closer."""
    days = np.unique([*np.linspace(0, until, 4001), *(day for day, _ in DOSES if day <= until)])
    for _ in range(3):
        best = int(np.argmax(course(days, ka, ke, of)))
        low, high = days[max(best - 1, 0)], days[min(best + 1, len(days) - 1)]
        days = np.unique([*np.linspace(low, high, 2001), days[best]])
    return float(course(days, ka, ke, of).max())


@pytest.fixture(scope="module", params=["1 + x", "1 + gut", "1/(1 + x)"])
def loaded(request: pytest.FixtureRequest) -> tuple[str, cs.Calibration]:
    return request.param, absorbed(request.param)


PLAN = cs.Schedule(tuple(Infusion(day, "gut", amount) for day, amount in DOSES), (Product("gut", "", "gut"),))


@pytest.mark.parametrize("until", [7.0, 7.1, 20.0])
def test_a_peak_is_that_of_the_closed_form_wherever_it_lies(
    loaded: tuple[str, cs.Calibration], until: float
) -> None:
    """Bateman's function rises and falls within hours between recorded days; gut jumps at doses, the last day's too."""
    formula, fit = loaded
    swept = cs.sweep(
        fit, {"three": PLAN}, until=until, measures=[PeakLoad("cytokines")], draws=9, history=None
    )
    draws = fit.objective.vector_of(fit.draws(9, seed=0), ["ka", "ke"])
    exact = [exact_peak(ka, ke, formula, until) / 2 for ka, ke in draws]
    assert swept.posterior[0, 0] == pytest.approx(exact, rel=1e-5)


def test_a_peak_as_a_prediction_has_the_value_and_slope_of_the_closed_form(
    loaded: tuple[str, cs.Calibration],
) -> None:
    """And a trajectory's own peak of x is the same."""
    formula, fit = loaded
    [asked] = predictions_of(fit, [PeakLoad("cytokines")], plan=PLAN, until=7.1, history=None)
    value, slope = asked.of(fit.theta)
    ka, ke = fit.objective.vector_of(fit.theta, ["ka", "ke"])
    assert value == pytest.approx(exact_peak(ka, ke, formula, 7.1) / 2, rel=1e-5)
    # theta counts prior sds of ln ka and ln ke
    for j, (first, second, sd) in enumerate([(1, 0, 0.4), (0, 1, 0.3)]):
        up, down = (
            exact_peak(ka * np.exp(first * each), ke * np.exp(second * each), formula, 7.1) / 2
            for each in (1e-4, -1e-4)
        )
        assert slope[j] == pytest.approx(sd * (up - down) / 2e-4, rel=1e-3, abs=1e-5)
    if formula == "1 + x":
        seen = cs.simulate(fit.objective.model, PLAN, [0, 7.1], values={"ka": ka, "ke": ke})
        assert value == pytest.approx((1 + seen.peak("x")[1]) / 2, rel=1e-5)


def test_the_peak_of_what_time_moves_is_found_in_long_steps() -> None:
    """No dose, so steps are as long as the run; y = 2 + sin(2 pi t)/(1 + (t - 20.4)^2) has its top near day 20.25."""
    fit = absorbed("2 + sin(6.283185307179586*time)/(1 + (time - 20.4)^2)")
    swept = cs.sweep(
        fit, {"none": cs.Schedule()}, until=50, measures=[PeakLoad("cytokines")], draws=2, history=None
    )
    days = np.linspace(20, 21, 1_000_001)
    exact = (2 + np.sin(2 * np.pi * days) / (1 + (days - 20.4) ** 2)).max() / 2
    assert swept.posterior[0, 0] == pytest.approx(exact, rel=1e-6)


def test_the_peak_of_a_narrow_pulse_that_no_rate_reads_is_not_stepped_over() -> None:
    """y = 2 + 5 exp(-(1000 (t - 20.4))^2), two minutes wide, has its top of 7 at day 20.4."""
    formula = "2 + 5*exp(-(1000*(time - 20.4))^2)"
    fit = absorbed(formula)
    swept = cs.sweep(
        fit, {"none": cs.Schedule()}, until=50, measures=[PeakLoad("cytokines")], draws=2, history=None
    )
    assert swept.posterior[0, 0] == pytest.approx(7 / 2, rel=1e-6)
    model = cs.load_model(f"x = 1; x' = -0.01*x; y := {formula}")
    for solver in ("rodas", "scipy"):
        day, height = cs.simulate(model, cs.Schedule(), [0, 50], solver=solver).peak("y")
        assert (day, height) == (pytest.approx(20.4, abs=1e-5), pytest.approx(7, rel=1e-6)), solver


def test_the_peak_of_what_no_step_can_follow_is_refused_and_its_values_are_not() -> None:
    fit = absorbed("2 + cos(10000000*time)")
    with pytest.raises(SimulationError, match="rises and falls too often between day"):
        cs.sweep(
            fit, {"none": cs.Schedule()}, until=50, measures=[PeakLoad("cytokines")], draws=2, history=None
        )
    model = cs.load_model("x = 1; x' = -0.01*x; y := cos(10000000*time)")
    assert cs.simulate(model, cs.Schedule(), [0, 50])["y"][-1] == pytest.approx(np.cos(5e8), abs=1e-6)


def test_an_interval_leaves_half_of_the_rest_on_either_side() -> None:
    """Witness: scipy's normal quantiles."""
    from cellsim.predictions.measures import Asked
    from cellsim.sweeps.learned import summary

    draws = np.random.default_rng(1).standard_normal(100_000)
    found = summary(draws, Asked("value", "x", "1"), 0.9, "")
    assert [found["low"], found["high"]] == pytest.approx([-1.645, 1.645], abs=0.03)


def test_an_analyte_without_limits_is_never_asked_whether_it_is_in_range() -> None:
    """Without limits the chance would be one under every schedule, and say nothing."""
    lab = pd.DataFrame({"day": [0, 28], "CRP (mg/L)": [9.0, 5.0], "IgG (g/L)": [12.0, 11.0]})
    ranged = pd.concat([pd.DataFrame([{"day": "range", "CRP (mg/L)": "<5"}]), lab])
    for frame, names in ((lab, []), (ranged, ["CRP", "CRP"])):
        case = cs.new_case(frame, name="p")
        model = cs.load_model(case.model)
        asked = [one for each in default_measures(model, case=case) for one in each.asked(case, model, 28.0)]
        assert [one.quantity for one in asked if "in range" in one.measure] == names
        assert [one.quantity for one in asked if one.measure == "value"] == ["CRP", "IgG"]
