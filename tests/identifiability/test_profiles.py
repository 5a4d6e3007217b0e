"""Profiles against closed forms, brute force, lmfit and the approximation of coverage; open ends and kinks said in words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import optimize, stats
from small_cases import decay, straight_line, tiny_case

from cellsim.case.case import load_case
from cellsim.errors import CalibrationError
from cellsim.identifiability import profile_search
from cellsim.identifiability.profile_curve import CLOSED, Branch, Curve, row_of, threshold
from cellsim.identifiability.profile_path import ProfileProblem, settle
from cellsim.identifiability.profile_search import loosest
from cellsim.identifiability.profiles import profile
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.posterior import sample
from cellsim.predictions.measures import Area, InRange
from cellsim.predictions.predictions import prediction_from, predictions_of
from cellsim.results import DATA_DRIVEN, PRIOR_DRIVEN, UNTOUCHED

DAYS = (0.5, 1.0, 2.0, 3.0)
Z95 = stats.norm.ppf(0.975)


def gaussian(values, days, sd, prior):
    """Posterior of y - 10 = a + b t, by the textbook: mean and covariance."""
    X = np.column_stack([np.ones(len(days)), days])
    covariance = np.linalg.inv(X.T @ X / sd**2 + np.eye(2) / prior**2)
    return covariance @ X.T @ (np.array(values) - 10) / sd**2, covariance


def regression(values, sd):
    """ln y = ln A - k t by least squares: estimates and covariance of (ln A, k), sd known."""
    X = np.column_stack([np.ones(len(DAYS)), -np.array(DAYS)])
    covariance = np.linalg.inv(X.T @ X) * sd**2
    return covariance @ X.T @ np.log(values) / sd**2, covariance


# ---- closed forms ---------------------------------------------------------------------------------


def test_a_linear_gaussian_problem_has_its_parabola():
    values = [10.4, 11.1, 11.3, 12.9]
    mean, covariance = gaussian(values, DAYS, 0.5, 2.0)
    objective = objective_of(straight_line(values, DAYS, sd=0.5, prior=2.0))
    weights = np.array([1.0, 5.0])
    line = prediction_from(objective, lambda p: p["a"] + 5 * p["b"], "day 5")
    found = profile(objective, ["a", "b"], predictions=[line])
    variances = [*np.diag(covariance), weights @ covariance @ weights]
    for curve, middle, variance in zip(
        found.curves.values(), [*mean, weights @ mean], variances, strict=True
    ):
        assert curve.estimate == pytest.approx(middle, abs=1e-6)
        for level in found.levels:
            here = curve.interval(level)
            reach = np.sqrt(threshold(level) * variance)
            assert (here.low, here.high) == pytest.approx((middle - reach, middle + reach), abs=1e-5)
            assert here.closed and here.pieces == 1
        at = np.linspace(middle - np.sqrt(variance), middle + np.sqrt(variance), 7)
        places = at if curve.prediction else at / 2
        np.testing.assert_allclose(curve.rise_at(places), (at - middle) ** 2 / variance, atol=1e-5)
        # a Gaussian is its own Laplace approximation
        drawn = curve.drawing()
        np.testing.assert_allclose(drawn["laplace"], drawn["rise"], atol=1e-3)
    assert found["b"].contraction == pytest.approx(1 - covariance[1, 1] / 4, abs=1e-4)
    assert found["b"].shift == pytest.approx(mean[1] / 2, abs=1e-5)


def test_the_likelihood_of_a_decay_rate_is_the_regression_s_parabola():
    # nonlinear in ln k, the coordinate walked along; in k itself it is the parabola of a straight line
    values, sd = [1.5, 1.0, 0.7, 0.33], 0.2
    (log_a, k), covariance = regression(values, sd)
    objective = objective_of(decay(values, DAYS, sd=sd, prior=2.0))
    last = prediction_from(objective, lambda p: p["A"] * np.exp(-6 * p["k"]), "day 6")
    found = profile(objective, ["k", "A"], predictions=[last], kind="likelihood")
    reach = Z95 * np.sqrt(covariance[1, 1])
    assert found["k"].interval(0.95).low == pytest.approx(k - reach, rel=2e-3)
    assert found["k"].interval(0.95).high == pytest.approx(k + reach, rel=2e-3)
    ahead = np.array([1.0, -6.0])
    middle, spread = ahead @ [log_a, k], np.sqrt(ahead @ covariance @ ahead)
    for end, sign in (("low", -1), ("high", 1)):
        assert getattr(found["day 6"].interval(0.95), end) == pytest.approx(
            np.exp(middle + sign * Z95 * spread), rel=5e-3
        )
    # the curve is a parabola in k all along, not only at its ends
    rates = np.linspace(k - reach, k + reach, 30)
    places = [found["k"].prior.whitened(each) for each in rates]
    np.testing.assert_allclose(
        found["k"].rise_at(np.array(places)), (rates - k) ** 2 / covariance[1, 1], atol=0.02
    )


def test_an_area_of_one_parameter_is_profiled_like_that_parameter():
    case = tiny_case(
        "x = 2; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 0.9)], {"k": ("log-normal", 0.0, 0.5)}
    )
    objective = objective_of(case)
    (area,) = predictions_of(objective, [Area("x")], until=5)
    found = profile(objective, "k", predictions=[area])

    def closed(rate):
        return 2 * (1 - np.exp(-5 * rate)) / rate

    for level in found.levels:
        rates, areas = found["k"].interval(level), found["area of x"].interval(level)
        assert (areas.low, areas.high) == pytest.approx((closed(rates.high), closed(rates.low)), rel=1e-3)
    assert found["area of x"].contraction == pytest.approx(found["k"].contraction, abs=0.1)


def test_a_prediction_integrates_what_it_asks_of_and_no_more():
    """Beside x stand states that it does not depend on, one of which has no value after day 1. Witness: the closed form of x alone."""
    case = tiny_case(
        "x = 2; x' = -k*x; z = 1; z' = z^2; w = 0; w' = x; v = 0; v' = w; k = 0.5",
        {"y": "x"},
        [("y", 0.5, 1.6)],
        {"k": ("log-normal", float(np.log(0.5)), 0.3)},
    )
    (area,) = predictions_of(objective_of(case), [Area("x")], until=5)
    value, (slope,) = area.of(np.zeros(1))
    rate, gone = 0.5, np.exp(-2.5)
    assert value == pytest.approx(2 * (1 - gone) / rate, rel=1e-6)
    # d/d ln k of 2 (1 - exp(-5 k)) / k, times the prior's sd
    assert slope == pytest.approx(0.3 * (10 * gone - 2 * (1 - gone) / rate), rel=1e-5)


def test_both_walks_from_an_optimum_share_what_is_known_there(monkeypatch):
    """Derivatives at a place are the same whichever parameter is held and whichever way it goes. Witness: the places asked."""
    places = []
    spot = ProfileProblem.spot

    def counted(self, theta):
        places.append(tuple(theta))
        return spot(self, theta)

    monkeypatch.setattr(ProfileProblem, "spot", counted)
    objective = objective_of(decay([9.1, 8.0, 6.5], [0.5, 1.0, 2.0]))
    for kind in ("posterior", "unaided"):
        places.clear()
        found = profile(objective, kind=kind)
        assert len(found.curves) == len(objective.names) > 1
        # without its own prior a parameter has an optimum of its own, looked for from where that with the prior lies
        spared = len(found.curves) if kind == "unaided" else 0
        assert len(places) <= len(set(places)) + spared


@pytest.mark.parametrize(("sd", "loosely"), [(0.1, True), (1e-5, False)])
def test_walks_are_simulated_as_exactly_as_rows_tell(sd, loosely):
    """Rows of a decay known to a tenth, and to a hundred thousandth. Witness: its levels in closed form, along k."""
    objective = objective_of(decay(2 * np.exp(-0.5 * np.array(DAYS)), DAYS, sd=sd))
    best = np.array(
        [objective.priors[j].whitened({"k": 0.5, "A": 2.0}[name]) for j, name in enumerate(objective.names)]
    )
    rtol = loosest(objective, best, threshold(0.95), 0.01)
    assert (rtol > objective.rtol) == loosely
    if loosely:
        here = ProfileProblem(objective, np.ones(2), rtol=rtol)
        for move in (-0.15, 0.0, 0.15):
            theta = best + np.where(np.array(objective.names) == "k", move, 0.0)
            apart = (0.5 * np.exp(move) - 0.5) * np.array(DAYS) / sd
            assert here.spot(theta).level == pytest.approx(apart @ apart + theta @ theta, abs=1e-3)


def test_a_prediction_is_asked_once_at_each_place():
    """It is a simulation with derivatives of its own. Witness: the places asked; the point is where the target was."""
    objective = objective_of(decay([1.0, 0.5, 0.3], [0.5, 1.0, 2.0]))
    places = []

    def bent(theta):
        places.append(tuple(theta))
        return float(theta[0] - 2 * theta[1] + 0.1 * theta[0] ** 2), np.array([1 + 0.2 * theta[0], -2.0])

    here = ProfileProblem(objective, np.ones(2))
    found = settle(here, np.array([0.1, -0.2]), bent, 1.2)
    assert found is not None and found.at == pytest.approx(1.2, rel=1e-3)
    assert len(places) == len(set(places)) == found.evaluations > 2


def test_a_nonlinear_problem_agrees_with_brute_force_at_every_point():
    model = "x = 0; g = A; g' = -a*g; x' = a*g - k*x; A = 10; a = 2; k = 0.5"
    rows = [
        ("y", day, value) for day, value in zip((0.3, 1, 2, 4, 7), (3.1, 5.6, 4.9, 2.2, 0.4), strict=True)
    ]
    beliefs = {"a": ("log-normal", 0.5, 0.8), "k": ("log-normal", -0.7, 0.6), "A": ("log-normal", 2.0, 0.5)}
    objective = objective_of(tiny_case(model, {"y": ("x", 0.15)}, rows, beliefs))
    found = profile(objective)
    assert list(found.curves) == ["a", "k", "A"] or set(found.curves) == {"a", "k", "A"}
    for name, curve in found.curves.items():
        j = objective.names.index(name)
        (branch,) = curve.branches
        for at, rise in zip(branch.at, branch.rise, strict=True):

            def residuals(others, at=at, j=j):
                return objective.evaluate(np.insert(others, j, at), rtol=1e-8).residuals

            best = optimize.least_squares(residuals, np.delete(found.theta, j), xtol=1e-12, ftol=1e-12)
            assert rise == pytest.approx(2 * best.cost - found.least, abs=2e-3)


# ---- lmfit ----------------------------------------------------------------------------------------


def test_intervals_agree_with_lmfit_on_a_well_posed_problem():
    import lmfit

    days = np.array([0.2, 0.6, 1.0, 1.6, 2.4, 3.5, 5.0])
    values, sd = np.array([8.7, 6.4, 5.2, 3.3, 2.5, 1.7, 1.5]), 0.2
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x + c", sd, "normal")},
        [("y", day, value) for day, value in zip(days, values, strict=True)],
        {"k": ("log-normal", 0.0, 3.0), "A": ("log-normal", 2.0, 3.0), "c": ("normal", 1.0, 20.0)},
    )
    found = profile(objective_of(case), kind="likelihood")

    def residuals(p):
        return (p["A"] * np.exp(-p["k"] * days) + p["c"] - values) / sd

    start = lmfit.create_params(k=1.0, A=8.0, c=1.0)
    mini = lmfit.Minimizer(residuals, start, scale_covar=False)
    fit = mini.minimize()

    def share(best, new):
        """Chi-square of one degree of freedom, the noise being known; lmfit's own F test estimates it."""
        return stats.chi2.cdf(new.chisqr - best.chisqr, 1)

    theirs = lmfit.conf_interval(mini, fit, sigmas=[0.68, 0.95], prob_func=share)
    for name, bounds in theirs.items():
        low, _, middle, _, high = [value for _, value in bounds]
        ours = found[name].interval(0.95)
        width = high - low
        assert found[name].estimate == pytest.approx(middle, abs=2e-3 * width)
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=5e-3 * width)


# ---- open ends and kinks --------------------------------------------------------------------------

PRODUCT = "x = 10; x' = -k*V*x; k = 1; V = 1"


def test_a_flat_direction_is_open_on_both_sides_and_said_so():
    beliefs = {"k": ("log-normal", 0.0, 0.5), "V": ("log-normal", 0.0, 0.5)}
    objective = objective_of(tiny_case(PRODUCT, {"y": "x"}, [("y", 1.0, 3.68), ("y", 2.0, 1.353)], beliefs))
    flat = profile(objective, "k", kind="likelihood")["k"]
    ends = flat.interval(0.95)
    assert ends.lower == ends.upper == "open: flat" and not ends.closed
    assert flat.contraction == 0.0 and len(flat.drawing()["open"]) == 2
    assert "the curve is flat" in flat.sentence()
    table = profile(objective, kind="likelihood").table()
    assert table[["low_95", "high_95"]].isna().all(axis=None)
    assert (table["lower"] == "open: flat").all()
    # without its own prior k is bounded by what is believed about V: the product is known to a few percent
    unaided = profile(objective, "k", kind="unaided")["k"].interval(0.95)
    assert unaided.high / unaided.low == pytest.approx(np.exp(2 * Z95 * 0.5), rel=0.01)
    assert all(curve.interval(0.95).closed for curve in profile(objective).curves.values())


def test_a_value_below_a_limit_bounds_one_side_only():
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("x", 0.3), "z": ("2 + 0*x", 0.3)},
        [("z", 0.5, 2.0)],
        {"k": ("log-normal", 1.0, 1.0)},
        censored=[("y", 1.0, 0.05)],
    )
    curve = profile(objective_of(case), "k", kind="unaided")["k"]
    ends = curve.interval(0.95)
    low = optimize.brentq(
        lambda k: -2 * stats.norm.logcdf((np.log(0.05) + k) / 0.3) - threshold(0.95), 0.1, 10
    )
    assert ends.lower == CLOSED and ends.upper == "open: flat"
    assert ends.low == pytest.approx(low, rel=0.02)
    assert "no upper end" in curve.sentence() and np.isnan(row_of(curve)["high_95"])


def test_the_bend_where_another_parameter_reaches_its_limit_is_found_and_named():
    # V, within 5 prior sd of 0.2, makes up for k within a factor e; beyond, the curve is a parabola in k V
    beliefs = {"k": ("log-normal", 0.0, 1.0), "V": ("log-normal", 0.0, 0.2)}
    case = tiny_case(PRODUCT, {"y": ("x", 0.05)}, [("y", 1.0, 10 * np.exp(-1.0))], beliefs)
    curve = profile(objective_of(case), "k", kind="likelihood")["k"]
    ends = curve.interval(0.95)
    # at V = e^-1 resp. e: |k V - 1| = 1.96 * 0.05
    assert ends.high == pytest.approx(np.e * (1 + 1.96 * 0.05), rel=0.02)
    assert ends.low == pytest.approx((1 - 1.96 * 0.05) / np.e, rel=0.02)
    assert len(curve.kinks) == 2 and all("leans on V" in words for _, words in curve.kinks)
    assert "leans on V" in curve.sentence()


def test_a_parameter_no_row_depends_on_keeps_its_prior_and_is_named_so():
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1; u = 1", {"y": "x"}, [("y", 1.0, 0.5)],
        {"k": ("log-normal", 0.0, 0.5), "u": ("normal", 3.0, 2.0)},
    )  # fmt: skip
    curve = profile(objective_of(case), "u")["u"]
    assert curve.verdict == UNTOUCHED and "no row depends on it" in curve.sentence()
    ends = curve.interval(0.95)
    assert (ends.low, ends.high) == pytest.approx((3 - Z95 * 2, 3 + Z95 * 2), abs=1e-4)


def test_a_window_s_end_is_called_by_its_name():
    case = tiny_case("x = 1; x' = -0.001*x", {"y": "x"}, [("y", 2.0, 1.0)], {}, windows={2.0: (1.0, 4.0)})
    curve = profile(objective_of(case), "day_v0", kind="unaided")["day_v0"]
    assert curve.interval(0.95).upper == "open: to the end of its window"


def test_two_valleys_make_an_interval_in_two_pieces():
    case = tiny_case(
        "x = 0; x' = 1", {"y": ("10 + a*a", 0.4, "normal")}, [("y", 1.0, 12.2)], {"a": ("normal", 0.1, 1.0)}
    )
    fit = calibrate(case, starts=8)
    curve = profile(fit, "a")["a"]
    ends = curve.interval(0.95)
    assert len(curve.branches) == 2 and ends.pieces == 2 and "in 2 pieces" in curve.sentence()
    assert ends.low < -1 and ends.high > 1 and curve.rise_at(np.array([-0.1])) > threshold(0.95)


# ---- the approximation --------------------------------------------------------------------------------------


def test_ninety_five_percent_intervals_cover_the_truth_that_often():
    # 200 patients: the count is binomial(200, 0.95); outside of 180..198 with probability 0.2 % at any other seed
    days, truth, sd = np.array([0.3, 1.0, 2.0, 3.5]), {"k": 0.6, "A": 5.0}, 0.25
    clean = truth["A"] * np.exp(-truth["k"] * days) + 1
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x + 1", sd, "normal")},
        [("y", day, value) for day, value in zip(days, clean, strict=True)],
        {"k": ("log-normal", 0.0, 2.0), "A": ("log-normal", 1.0, 2.0)},
    )
    objective = objective_of(case)
    random = np.random.default_rng(20)
    hits = 0
    for _ in range(200):
        measured = clean + sd * random.standard_normal(days.size)
        terms = tuple(
            dataclasses.replace(term, measured=float(value))
            for term, value in zip(objective.terms, measured, strict=True)
        )
        ends = profile(
            dataclasses.replace(objective, terms=terms), "k", kind="likelihood", levels=(0.95,), workers=1
        )["k"].interval(0.95)
        hits += ends.low <= truth["k"] <= ends.high
    assert 180 <= hits <= 198


# ---- the case -------------------------------------------------------------------------------------


def test_clearance_is_as_wide_as_its_prior_in_the_case_and_a_baseline_is_not():
    objective = objective_of(load_case("sjogren_rfib"))
    found = profile(objective, ["kappa", "IgG_0"])
    kappa, baseline = found["kappa"], found["IgG_0"]
    assert kappa.verdict == PRIOR_DRIVEN and kappa.contraction < 0.05
    assert baseline.verdict == DATA_DRIVEN and baseline.contraction > 0.95
    assert "as wide as the prior" in found.report() and found.report().count("\n") >= 5
    assert set(found.table()["verdict"]) == {PRIOR_DRIVEN, DATA_DRIVEN}


# ---- manners --------------------------------------------------------------------------------------


def test_all_complaints_come_at_once():
    objective = objective_of(decay([1.0, 0.5, 0.3, 0.2], DAYS))
    with pytest.raises(CalibrationError) as error:
        profile(objective, ["kk", "A"], kind="posteriour", levels=(95,))
    assert len(error.value.problems) == 3
    assert "Did you mean" in str(error.value)
    with pytest.raises(CalibrationError, match="does not move with any parameter"):
        profile(objective, predictions={"constant": lambda p: 1.0})
    with pytest.raises(CalibrationError, match="no profile of"):
        profile(objective, "k")["x"]


def test_a_chance_that_is_a_step_is_refused():
    objective = objective_of(load_case("sjogren_rfib"))
    chance = predictions_of(objective, [InRange((300.0,), analytes=("IgG",))], until=300)
    with pytest.raises(CalibrationError, match="judged without noise is a step"):
        profile(objective, predictions=chance)


def test_groups_name_their_parameters():
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1", {"y": "A*x"}, [("y", 1.0, 0.5), ("y", 2.0, 0.3)],
        {"k": ("log-normal", 0.0, 0.5), "A": ("log-normal", 0.0, 0.5)}, groups={"k": "drives", "A": "baselines"},
    )  # fmt: skip
    objective = objective_of(case)
    assert list(profile(objective).curves) == ["k"]
    assert list(profile(objective, "baselines").curves) == ["A"]


def test_an_interrupt_keeps_what_is_done(monkeypatch):
    objective = objective_of(decay([1.0, 0.5, 0.3, 0.2], DAYS))
    real = profile_search.walk

    def impatient(ground, quantity, first, side, **options):
        if first.theta.size and quantity(first.theta)[1][1]:
            raise KeyboardInterrupt
        return real(ground, quantity, first, side, **options)

    monkeypatch.setattr(profile_search, "walk", impatient)
    found = profile(objective, workers=1)
    assert len(found.curves) == 1 and any("interrupted" in each for each in found.doubts)


def test_threads_change_nothing():
    objective = objective_of(decay([1.0, 0.5, 0.3, 0.2], DAYS))
    one, two = (profile(objective, workers=n).table() for n in (1, 2))
    assert one.equals(two)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": 0.0}, "step = 0.0; above 0"),
        ({"step": -0.5}, "step = -0.5"),
        ({"step": np.nan}, "step = nan"),
        ({"tolerance": 0.0}, "tolerance = 0"),
        ({"workers": 0}, "workers = 0"),
        ({"kind": None}, "no kind None"),
        ({"levels": 95.0}, "levels"),
        ({"names": []}, "nothing to profile"),
        ({"names": "k", "predictions": {"k": lambda p: 2 * p["k"]}}, "two quantities are called 'k'"),
    ],
)
def test_settings_no_walk_can_be_made_with_are_refused(options, words):
    objective = objective_of(decay([1.0, 0.5, 0.3, 0.2], DAYS))
    with pytest.raises(CalibrationError, match=words):
        profile(objective, **options)


def test_one_level_may_be_a_plain_number():
    objective = objective_of(straight_line([10.4, 11.1, 11.3, 12.9], DAYS))
    alone, listed = profile(objective, levels=0.9), profile(objective, levels=(0.9,))
    assert alone.levels == (0.9,) and alone.table().equals(listed.table())


def test_chains_are_no_place_to_walk_from():
    fit = calibrate(straight_line([10.4, 11.1, 11.3, 12.9], DAYS), starts=1)
    with pytest.raises(CalibrationError, match="draws have none"):
        profile(sample(fit, method="nuts", draws=4, tune=40))


def test_a_prediction_that_comes_to_its_end_is_followed_that_far():
    """At 0.6 and at 1 no parameter moves it any more: the walk ends there and says so, and nothing is divided by it."""
    objective = objective_of(decay([1.0, 0.5, 0.3, 0.2], DAYS))

    def saturated(values):
        return float(np.clip(values["k"], 0.6, 1.0))

    found = profile(objective, predictions={"held between": saturated})["held between"]
    assert all(0.6 <= value <= 1.0 for value in found.value(found.branches[0].at))
    assert not found.intervals[-1].closed and "no way on was found" in found.sentence()


def test_what_is_drawn_of_two_valleys_is_the_lower_one_alone() -> None:
    """Parabolas about -1 and +1, the second half a unit higher: the line is the lower of the two, and every point on it."""
    at = np.linspace(-2.5, 2.5, 11)

    def mode(middle: float, foot: float) -> Branch:
        rise = foot + (at - middle) ** 2
        nothing = tuple(() for _ in at)
        return Branch(
            at, rise, 2 * (at - middle), np.zeros((11, 1)), nothing, nothing, ("reached", "reached"), 1.0
        )

    curve = Curve(
        "q", "1", "", "", True, "posterior", -1.0, (mode(-1, 0), mode(1, 0.5)), (0.95,), None, 1.0, 0.0
    )
    seen = curve.drawing()
    value, rise = seen["nodes"]
    exact = np.minimum((value + 1) ** 2, 0.5 + (value - 1) ** 2)
    assert rise == pytest.approx(exact, abs=0.02) and np.interp(
        value, seen["value"], seen["rise"]
    ) == pytest.approx(rise, abs=0.02)
    assert sorted(value) == pytest.approx(at)


# ---- ends that a prior puts -----------------------------------------------------------------------


def _decay_in_boxes(k: float, A: float):
    """y = A exp(-k t), log-normal noise of 0.05, around A = 2 and k = 0.3; flat priors from zero."""
    return tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x", 0.05)},
        [
            ("y", day, 2 * np.exp(-0.3 * day) * error)
            for day, error in zip((0.5, 1, 2, 4, 6), (1.02, 0.97, 1.03, 0.99, 1.01), strict=True)
        ],
        {"k": ("uniform", 0.0, k), "A": ("uniform", 0.0, A)},
    )


@pytest.mark.parametrize("width", [2.0, 4.0])
def test_an_end_that_moves_with_another_parameter_s_box_is_no_end_of_the_data_s(width):
    # only the product is measured, to within 0.1/sqrt 2: a ends where b has come to the ends of its box
    case = tiny_case(
        "x = 1; x' = 0; a = 1; b = 1",
        {"y": ("a*b*x", 0.1, "normal")},
        [("y", 1.0, 1.0), ("y", 2.0, 1.05)],
        {"a": ("uniform", 0.01, 50.0), "b": ("uniform", 0.5, width)},
    )
    found = profile(objective_of(case), "a", kind="likelihood")["a"]
    ends = found.interval(0.95)
    reach = Z95 * 0.1 / np.sqrt(2)
    assert (ends.low, ends.high) == pytest.approx(((1.025 - reach) / width, (1.025 + reach) / 0.5), rel=2e-3)
    assert ends.lower == ends.upper == "bounded by the prior of b" and ends.holders == (("b",), ("b",))
    assert found.verdict == PRIOR_DRIVEN and "bounded by the prior of b" in found.sentence()
    # the figure says so too, and marks no end as open
    seen = found.drawing()
    assert seen["open"] == () and seen["held"] == pytest.approx((ends.low, ends.high))
    row = profile(objective_of(case), "a", kind="likelihood").table().iloc[0]
    assert np.isnan(row["low_95"]) and row["lower"] == "bounded by the prior of b"


def test_what_the_data_hold_is_closed_however_wide_the_boxes_are():
    found = [
        profile(calibrate(_decay_in_boxes(*widths), starts=4), "k", kind="likelihood")["k"].interval(0.95)
        for widths in ((3.0, 20.0), (30.0, 100.0))
    ]
    assert all(each.closed and each.holders == ((), ()) for each in found)
    assert (found[0].low, found[0].high) == pytest.approx((found[1].low, found[1].high), rel=1e-3)
    # ln y = ln A - k t by least squares
    days = np.array([0.5, 1, 2, 4, 6])
    design = np.column_stack([np.ones(5), -days])
    covariance = np.linalg.inv(design.T @ design) * 0.05**2
    logs = np.log(2 * np.exp(-0.3 * days) * np.array([1.02, 0.97, 1.03, 0.99, 1.01]))
    middle, reach = (covariance @ design.T @ logs)[1] / 0.05**2, Z95 * np.sqrt(covariance[1, 1])
    assert (found[0].low, found[0].high) == pytest.approx((middle - reach, middle + reach), rel=2e-3)


def test_a_box_that_ends_before_the_likelihood_s_mode_bounds_every_end():
    # A = 2 lies outside: k is that of A = 1.8, and A's lower end is measured from there
    found = profile(calibrate(_decay_in_boxes(30.0, 1.8), starts=4), kind="likelihood")
    k, A = found["k"].interval(0.95), found["A"].interval(0.95)
    assert k.lower == k.upper == A.lower == "bounded by the prior of A"
    assert A.upper == "open: to the end of its window"
    assert found["k"].verdict == found["A"].verdict == PRIOR_DRIVEN


@pytest.mark.parametrize("other", [("normal", 0.0, 10.0), ("uniform", -20.0, 20.0)])
def test_a_parameter_that_comes_to_its_box_is_no_other_mode(other):
    # A + B is measured: one mode, along which A goes to 0 or 2. The ends of B are the sum's, less the ends of A's box
    case = tiny_case(
        "x = 1; x' = 0; A = 1; B = 1",
        {"y": ("A + B + 0*x", 0.1, "normal")},
        [("y", 1.0, 1.0), ("y", 2.0, 1.1)],
        {"A": ("uniform", 0.0, 2.0), "B": other},
    )
    curve = profile(objective_of(case), "B", kind="likelihood")["B"]
    reach, ends = Z95 * 0.1 / np.sqrt(2), curve.interval(0.95)
    assert (ends.low, ends.high) == pytest.approx((1.05 - reach - 2, 1.05 + reach), rel=2e-3)
    assert curve.kinks == () and "mode" not in curve.sentence()


def test_both_ends_that_a_box_puts_are_said_to_be_its() -> None:
    """Rows tell the product k q alone, near 1: k ends near 0.1 and near 10 because q is between 10 and 0.1, on both sides."""
    rows = [("y", 0.5, 6.0), ("y", 1.0, 3.7), ("y", 2.0, 1.4)]
    beliefs = {"k": ("log-normal", -0.7, 1.0), "q": ("log-uniform", 0.1, 10.0)}
    case = tiny_case("x = 10; x' = -k*q*x; k = 0.5; q = 1", {"y": "x"}, rows, beliefs)
    found = profile(calibrate(case, starts=2, seed=1), ["k"], kind="likelihood")["k"].interval(0.95)
    assert (found.low, found.high) == (pytest.approx(0.1, rel=0.2), pytest.approx(10, rel=0.2))
    assert found.holders == (("q",), ("q",))
