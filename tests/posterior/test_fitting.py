"""Calibration: closed forms of Gaussian problems, lmfit's own numbers, files, doubts."""

import json
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import lmfit
import numpy as np
import pytest
from scipy import optimize, stats
from small_cases import decay, straight_line, tiny_case

import cellsim as cs
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CalibrationError, CaseError
from cellsim.likelihood.descents import starting_points
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior import fitting
from cellsim.posterior.curvature import hessian
from cellsim.posterior.diagnosis import _gradient_error, diagnose
from cellsim.posterior.fitting import optima
from cellsim.posterior.laplace import Mixture, Mode

DAYS = np.array([1.0, 2.0, 4.0])
SEEN = np.array([10.9, 11.4, 13.1])


def gaussian_answer(sd: float, prior: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Posterior mean and covariance of (a, b) and ln evidence, by conjugate algebra."""
    design = np.column_stack([np.ones(3), DAYS])
    precision = design.T @ design / sd**2 + np.eye(2) / prior**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ design.T @ (SEEN - 10) / sd**2
    marginal = sd**2 * np.eye(3) + prior**2 * design @ design.T
    return mean, covariance, float(stats.multivariate_normal(np.full(3, 10.0), marginal).logpdf(SEEN))


@pytest.mark.parametrize(("sd", "prior"), [(0.5, 1.0), (0.1, 3.0)])
def test_a_linear_gaussian_problem_has_its_closed_form(sd: float, prior: float) -> None:
    """MAP, covariance and evidence are exact there: Laplace is no approximation."""
    fit = cs.calibrate(straight_line(SEEN, DAYS, sd=sd, prior=prior), starts=2)
    mean, covariance, log_evidence = gaussian_answer(sd, prior)
    assert np.array([fit.values["a"], fit.values["b"]]) == pytest.approx(mean, rel=1e-6)
    assert fit.covariance * prior**2 == pytest.approx(covariance, rel=1e-5)
    assert fit.log_evidence == pytest.approx(log_evidence, abs=1e-5)
    table = fit.table().set_index("parameter")
    half = stats.norm.ppf(0.95) * np.sqrt(np.diag(covariance))
    assert table["high"].to_numpy() == pytest.approx(mean + half, rel=1e-5)
    assert table["contraction"].to_numpy() == pytest.approx(1 - np.diag(covariance) / prior**2, rel=1e-5)
    assert fit.effective_parameters == pytest.approx(2 - np.trace(covariance) / prior**2, rel=1e-5)


def test_lmfit_alone_gives_the_same_numbers_when_rows_abound() -> None:
    """With a flat prior the optimum and lmfit's own standard errors (scale_covar off) are ours."""
    days = np.linspace(0.5, 6, 12)
    seen = 3 * np.exp(-0.4 * days) * np.exp(0.1 * np.random.default_rng(4).standard_normal(12))
    fit = cs.calibrate(decay(seen, days, sd=0.1, prior=50.0), starts=1)

    def residual(p: lmfit.Parameters) -> np.ndarray:
        return np.asarray((p["lnA"] - np.exp(p["lnk"]) * days - np.log(seen)) / 0.1)

    start = lmfit.create_params(lnA=0.0, lnk=0.0)
    theirs = lmfit.minimize(residual, start, scale_covar=False)
    assert np.log(fit.values["A"]) == pytest.approx(theirs.params["lnA"].value, abs=1e-5)
    assert np.log(fit.values["k"]) == pytest.approx(theirs.params["lnk"].value, abs=1e-5)
    # theirs is J'J, ours the Hessian: they agree to the size of the residuals' curvature
    ours = 50 * np.sqrt(np.diag(fit.covariance))
    names = list(fit.objective.names)
    assert ours[names.index("A")] == pytest.approx(theirs.params["lnA"].stderr, rel=0.05)
    assert ours[names.index("k")] == pytest.approx(theirs.params["lnk"].stderr, rel=0.05)


def test_fewer_rows_than_parameters_leave_the_prior_where_it_was() -> None:
    """lmfit's trap: one row and two parameters. The direction that no row sees keeps exactly the prior's spread."""
    case = tiny_case(
        "x = 1; x' = 0",
        {"y": ("10 + a + b*x", 0.5, "normal")},
        [("y", 1.0, 12.0)],
        {"a": ("normal", 0.0, 1.0), "b": ("normal", 0.0, 1.0)},
    )
    fit = cs.calibrate(case, starts=1)
    along, across = np.array([1, 1]) / np.sqrt(2), np.array([1, -1]) / np.sqrt(2)
    assert across @ fit.covariance @ across == pytest.approx(1, rel=1e-6)
    assert along @ fit.covariance @ along == pytest.approx(1 / (1 + 2 / 0.25), rel=1e-6)
    assert fit.lmfit is not None
    assert fit.lmfit.nfree >= 0  # prior rows are rows for lmfit, which must never reach a negative count


def test_the_hessian_is_not_the_one_of_gauss_and_newton() -> None:
    """On exp(-k t) the exact second derivative is known: (d ln y / d theta)^2/s^2 + r (d2 ln y / d theta2)/s + 1."""
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1", {"y": ("x", 0.2)}, [("y", 2.0, 0.4)], {"k": ("log-normal", 0.0, 0.7)}
    )
    objective = objective_of(case)
    theta = np.array([0.3])
    k, s, w = np.exp(0.7 * 0.3), 0.2, 0.7
    slope = -2 * k * w / s  # of the residual (ln y - ln 0.4)/s
    residual = (-2 * k - np.log(0.4)) / s
    exact = slope**2 + residual * (-2 * k * w**2 / s) + 1
    assert hessian(objective, theta)[0, 0] == pytest.approx(
        exact, rel=1e-3
    )  # steps of 0.01: their square, times a few
    assert hessian(objective, theta, step=1e-3, rtol=1e-9)[0, 0] == pytest.approx(exact, rel=1e-5)
    assert abs(slope**2 + 1 - exact) > 0.1 * exact


def test_two_explanations_are_both_found_and_weighed() -> None:
    """x = (t - 5)^2 + 1 read on an unknown day between 0 and 10: the day is 2.76 or 7.24, half and half."""
    case = tiny_case(
        "x = 26; x' = 2*(c - 5); c = 0; c' = 1",
        {"y": ("x", 0.05)},
        [("y", 4.0, 6.0)],
        {},
        windows={4.0: (0.0, 10.0)},
    )
    fit = cs.calibrate(case, starts=3)
    days = sorted(fit.objective.values(mode.theta)["day_v0"] for mode in fit.mixture.modes)
    assert days == pytest.approx([5 - np.sqrt(5), 5 + np.sqrt(5)], abs=0.1)
    assert fit.mixture.weights == pytest.approx([0.5, 0.5], abs=0.02)
    assert any("several explanations" in doubt for doubt in fit.diagnosis["doubts"])


def test_a_start_ends_early_only_where_another_has_ended() -> None:
    """The same case, its two optima apart in height. Witness: each descent alone, which is walked to its end."""
    case = tiny_case(
        "x = 26; x' = 2*(c - 5); c = 0; c' = 1",
        {"y": ("x*exp(0.3*a)", 0.05)},
        [("y", 4.0, 6.0)],
        {"a": ("normal", 0.0, 1.0)},
        windows={4.0: (0.0, 10.0)},
    )
    objective = objective_of(case)
    places = [np.array([a, day]) for a in (-0.5, 0.4) for day in (-1.2, -0.3, 0.2, 1.4)]
    alone = [fitting.descend(objective, (), each, Event()) for each in places]
    known = (alone[0],)
    early = 0
    for place, whole in zip(places, alone, strict=True):
        ended = fitting.descend(objective, known, place, Event())
        there = "another start" in ended.start.message
        assert there == (whole.theta[1] * known[0].theta[1] > 0)  # on the same side of day 5
        assert ended.start.converged and ended.start.objective < whole.start.objective + 0.06
        assert ended.start.evaluations <= whole.start.evaluations + 1
        early += there
    assert 0 < early < len(places)


def test_a_mixture_has_the_moments_and_quantiles_of_its_draws() -> None:
    """Law of large numbers, 20,000 draws; each bound is four standard errors (fails once in 15,000 seeds)."""
    modes = (
        Mode(np.array([-2.0, 0.0]), np.array([[4.0, 1.0], [1.0, 2.0]]), -1.0, 0.0),
        Mode(np.array([1.0, 0.5]), np.eye(2), -2.0, 1.0),
    )
    mixture, n = Mixture(modes), 20_000
    draws = mixture.draws(n, seed=1)
    sd = np.sqrt(np.diag(mixture.covariance))
    assert np.all(np.abs(draws.mean(axis=0) - mixture.mean) < 4 * sd / np.sqrt(n))
    assert np.cov(draws.T) == pytest.approx(mixture.covariance, abs=0.1)
    for level, each in zip((0.05, 0.5, 0.9), mixture.quantiles([0.05, 0.5, 0.9]), strict=True):
        assert np.mean(draws < each, axis=0) == pytest.approx(
            [level] * 2, abs=4 * np.sqrt(level * (1 - level) / n)
        )


def test_draws_are_those_of_the_cholesky_factor() -> None:
    """Witness: NumPy's factor. Where rounding leaves a covariance none, draws are made all the same (NIST's Lanczos1)."""
    precision = np.array([[4.0, 1.0], [1.0, 2.0]])
    draws = Mixture((Mode(np.ones(2), precision, 0.0, 0.0),)).draws(5, seed=3)
    random = np.random.default_rng(3)
    random.choice(1, size=5, p=[1.0])
    factor = np.linalg.cholesky(np.linalg.inv(precision))
    assert draws == pytest.approx(1 + random.standard_normal((5, 2)) @ factor.T)


def test_a_failed_simulation_loses_even_beside_a_start_of_a_million_sigmas() -> None:
    """y = 10 + exp(800 a), a from 0 to 1 reaches beyond the largest number; a start ten million sd off still wins."""
    case = tiny_case(
        "x = 0; x' = 1", {"y": ("10 + exp(800*a)", 1e-6, "normal")}, [("y", 1.0, 22.0)], {"a": ("normal", 0.0, 1.0)}
    )  # fmt: skip
    objective = objective_of(case)
    start, beyond = objective.evaluate(np.zeros(1)), objective.evaluate(np.ones(1))
    assert beyond.failure and not start.failure
    assert start.objective == pytest.approx(((11 - 22) / 1e-6) ** 2)
    assert beyond.objective > 1e6 * start.objective
    fit = cs.calibrate(case, starts=1)
    assert fit.values["a"] == pytest.approx(np.log(12) / 800, rel=1e-9)


def test_the_seed_decides_and_nothing_else() -> None:
    case = decay([2.0, 1.0, 0.3], DAYS)
    ones, others = (cs.calibrate(case, starts=4, seed=seed) for seed in (5, 5))
    assert [start.objective for start in ones.starts] == [start.objective for start in others.starts]
    assert np.array_equal(ones.draws(3, seed=2), others.draws(3, seed=2))
    assert not np.array_equal(ones.draws(3, seed=2), ones.draws(3, seed=3))


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    fit = cs.calibrate(decay([2.0, 1.0, 0.3], DAYS), starts=3, seed=9)
    fit.save(tmp_path / "fit.json")
    again = cs.Calibration.load(tmp_path / "fit.json")
    assert again.report() == fit.report()
    assert again.rows().equals(fit.rows())
    assert np.array_equal(again.draws(4, seed=1), fit.draws(4, seed=1))


def test_a_file_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    fit = cs.calibrate(decay([2.0, 1.0, 0.3], DAYS), starts=1)
    fit.save(tmp_path / "fit.json")
    content = json.loads((tmp_path / "fit.json").read_text())
    content["modes"][0]["theta"][0] += 0.5
    (tmp_path / "fit.json").write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match="states a sum of squares"):
        cs.Calibration.load(tmp_path / "fit.json")
    (tmp_path / "fit.json").write_text("{}")
    with pytest.raises(CalibrationError, match="not a saved calibration"):
        cs.Calibration.load(tmp_path / "fit.json")


def test_the_case_is_told_row_by_row(sjogren_fit: cs.Calibration) -> None:
    """What a diagnosis must say of the published case, with one start."""
    fit = sjogren_fit
    said = fit.diagnosis
    assert said["rows"]["count"] == {"standard": 81, "censored": 1, "graded": 10}
    assert len(said["rows"]["scored"]) == 92
    assert said["doses"] == {"rfib": {"count": 12, "cells": 7.25e8}, "ucmsc": {"count": 10, "cells": 5e8}}
    assert abs(said["ledger"]) < 1e-8
    assert said["gradient"] < 1e-5
    assert said["leftover"] < 0.05
    assert any("only one start" in doubt for doubt in said["doubts"])
    table = fit.table().set_index("parameter")
    assert table.loc["t_n", "verdict"] == "no effect on these data"  # drift is off in V2
    assert (
        table.loc["kappa", "verdict"] == "prior-driven"
    )  # nothing measured tells how fast cells are rejected
    assert table.loc["IgG_0", "verdict"] == "data-driven"


def test_nonsense_is_refused() -> None:
    case = decay([2.0, 1.0, 0.3], DAYS)
    for starts in (0, 1.5, True, "2", None):
        with pytest.raises(CalibrationError, match=r"^starts = .*a whole number, at least 1"):
            cs.calibrate(case, starts=starts)
    for seed in (None, -1, 1.5):
        with pytest.raises(CalibrationError, match=r"^seed = .*a whole number, at least 0"):
            cs.calibrate(case, starts=1, seed=seed)
    with pytest.raises(CalibrationError, match=r"decay has no variants.*V9"):
        cs.calibrate(case, variant="V9")
    with pytest.raises(cs.errors.ModelError, match=r"'persistence' is none. Load one first: cs.load_model"):
        cs.calibrate(case, "persistence")
    with pytest.raises(cs.errors.CaseError, match="No variant 'V9'"):
        cs.calibrate(cs.load_case("sjogren_rfib"), variant="V9")


def test_density_of_a_mixture_is_that_of_its_normal_laws() -> None:
    """Witness: scipy's multivariate normal."""
    random = np.random.default_rng(5)
    modes = []
    for _ in range(2):
        root = random.standard_normal((3, 3))
        modes.append(Mode(random.standard_normal(3), root @ root.T + np.eye(3), 0.0, 0.0))
    mixture, points = Mixture(tuple(modes)), random.standard_normal((6, 3))
    parts = [stats.multivariate_normal(mode.theta, mode.covariance).pdf(points) for mode in modes]
    assert mixture.log_density(points) == pytest.approx(np.log(mixture.weights @ np.array(parts)))


def test_a_posterior_that_laplace_misses_is_said(sjogren_fit: cs.Calibration) -> None:
    """A Gaussian line has nothing to miss; for the case, chains and synthetic patients show it (docs/honesty.md)."""
    line = cs.calibrate(straight_line([10.3, 11.9, 12.4], [0.5, 1.0, 2.0]), starts=2)
    assert line.diagnosis["shape"] < 0.7 and not any("Pareto" in each for each in line.diagnosis["doubts"])
    assert sjogren_fit.diagnosis["shape"] > 0.7
    assert any("sample before quoting" in each for each in sjogren_fit.diagnosis["doubts"])


def rough_growth(spread: float):
    """A model whose exponentials overflow in parts of its prior: values are finite there, some derivatives are not."""
    return tiny_case(
        "x = 1; x' = 0; a = 1; b = 1; c = 1; y := a*exp(-exp(b*time))*exp(c)",
        {"o": ("y", 0.1, "normal")},
        [("o", day, value) for day, value in ((1.0, 1.0), (2.0, 1.5), (4.0, 2.0), (8.0, 1.2))],
        {"a": ("log-normal", 0.0, spread), "b": ("normal", 0.0, spread), "c": ("log-normal", 0.0, spread)},
    )


def test_no_start_is_lost_where_the_search_can_go_on_from_nearby() -> None:
    """scipy's own least squares from a gentle point is the witness of the best value."""
    fit = cs.calibrate(rough_growth(30.0), starts=12)
    assert all(np.isfinite(start.objective) for start in fit.starts)
    days, values = np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 1.5, 2.0, 1.2])

    def residuals(theta):
        a, b, c = np.exp(30 * theta[0]), 30 * theta[1], np.exp(30 * theta[2])
        said = a * np.exp(c - np.exp(b * days))
        return np.append((said - values) / 0.1, theta)

    order = [fit.objective.names.index(each) for each in "abc"]
    best = min(
        2 * optimize.least_squares(residuals, np.array(first) / 30, xtol=1e-14).cost
        for first in ([0.0, 0.2, -5.0], [2.0, -0.2, 1.0], [0.5, -5.0, 0.0])
    )
    assert fit.sum_of_squares == pytest.approx(best, abs=1e-4)
    assert residuals(fit.theta[order]) @ residuals(fit.theta[order]) == pytest.approx(
        fit.sum_of_squares, rel=1e-5
    )


def test_a_lost_start_is_told_with_its_reason() -> None:
    """At nearly every point of this prior nothing is left of the state, and a log-normal value cannot be scored."""
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1",
        {"y": ("A*x", 0.1)},
        [("y", day, 2 * np.exp(-0.3 * day)) for day in (0.5, 1, 2, 4, 6)],
        {"k": ("uniform", 0.0, 1e5), "A": ("uniform", 0.0, 10.0)},
    )
    objective = objective_of(case)
    first = [objective.theta({"k": 0.3, "A": 2.0}), *(np.array([shift, 0.0]) for shift in (1.0, 1.5))]
    found = optima(objective, first)
    assert np.isfinite(found.starts[0].objective)
    lost = [start for start in found.starts if not np.isfinite(start.objective)]
    said = diagnose(objective, found.mixture, found.starts)
    assert said["starts"]["failed"] == len(lost) == len(said["starts"]["lost"])
    for start, each in zip(lost, said["starts"]["lost"], strict=True):
        assert each["why"] == start.message and "cannot be scored" in start.message
    assert bool(lost) == any("starts failed: start" in doubt for doubt in said["doubts"])
    never = tiny_case(
        "x = 1; x' = 0; k = 1", {"y": "-k*x"}, [("y", 1.0, 1.0)], {"k": ("log-normal", 0.0, 1.0)}
    )
    hopeless = objective_of(never)
    with pytest.raises(
        CalibrationError, match=r"none of 1 starts .* start 1: the simulation at the start failed"
    ):
        optima(hopeless, [np.zeros(1)])


def test_a_value_that_the_case_stands_in_for_is_told_and_not_handed_on() -> None:
    """y = A x with x = exp(-k t): what the fit shows is what its model says, by the closed form, at the case's k."""
    text = "x = 1; x' = -k*x; k = 0.1; A = 1"
    rows = [("y", day, 3 * np.exp(-0.1 * day)) for day in (1.0, 5.0)]
    case = tiny_case(text, {"y": "A*x"}, rows, {"k": 0.1, "A": ("log-normal", 0.0, 1.0)})
    fit = cs.calibrate(case, cs.load_model(text).with_values(k=0.2, A=2), starts=1)
    said = [each for each in fit.diagnosis["doubts"] if "the model says" in each]
    assert len(said) == 2
    assert any("k = 0.1" in each and "0.2" in each and "The case's value is used" in each for each in said)
    assert any("A = 1" in each and "says 2" in each and "estimated from its prior" in each for each in said)
    shown = cs.simulate(fit.model, Schedule(), [5])
    assert shown["x"] == pytest.approx(np.exp(-0.5), rel=1e-5)
    assert fit.values["A"] * shown["x"][0] == pytest.approx(fit.rows()["predicted"].iloc[1], rel=1e-4)
    # where the case's own file says the same, the fit still does
    other = tiny_case(
        text.replace("0.1", "0.2"), {"y": "A*x"}, rows, {"k": 0.1, "A": ("log-normal", 0.0, 1.0)}
    )
    again = cs.calibrate(other, cs.load_model(text).with_values(k=0.2), starts=1)
    assert any("the model says 0.2" in each for each in again.diagnosis["doubts"])


def test_what_a_calibration_holds_is_held_in_what_comes_of_it(tmp_path: Path) -> None:
    """b held: a alone is Gaussian; draws, the saved file and its case know it."""
    fit = cs.calibrate(straight_line(SEEN, DAYS), starts=1, fixed={"b": 1.2})
    variance = 1 / (3 / 0.25 + 1)
    assert fit.values == pytest.approx({"b": 1.2, "a": variance * (SEEN - 10 - 1.2 * DAYS).sum() / 0.25})
    assert fit.objective.names == ("a",) and not fit.case.prior("b").estimate
    fit.save(tmp_path / "held.json")
    assert cs.Calibration.load(tmp_path / "held.json").values == pytest.approx(fit.values)
    with pytest.raises(CaseError, match="Did you mean 'b'"):
        cs.calibrate(straight_line(SEEN, DAYS), starts=1, fixed={"B": 1.2})


def test_a_wrong_gradient_is_told_by_its_size_and_so_is_one_beside_which_nothing_can_be_simulated() -> None:
    """Witness: the exact gradient made larger by a hundredth, which a unit step along it tells in full."""
    fit = cs.calibrate(decay([1.5, 1.0, 0.7, 0.33], [0.5, 1.0, 2.0, 3.0]), starts=1)
    right, mode = fit.objective, fit.mixture.modes[0]

    def said(share: float, height: float = 0.0) -> float:
        wrong = SimpleNamespace(
            evaluate=lambda *a, **k: SimpleNamespace(gradient=share * right.evaluate(*a, **k).gradient),
            evaluate_sets=lambda *a, **k: SimpleNamespace(
                objectives=right.evaluate_sets(*a, **k).objectives + height
            ),
        )
        return _gradient_error(wrong, mode)

    assert said(1.0) < 1e-4  # a third derivative is left of central differences
    assert 0.002 < said(1.01) < 0.01
    assert said(1.0, np.inf) == np.finfo(float).max


def test_a_variant_is_also_sought_from_where_the_default_one_leads() -> None:
    """From the prior medians V1 falls 25 nats short of the optimum that descents from every other variant but V0's reach."""
    case = cs.load_case("sjogren_rfib")
    objective = objective_of(case, variant="V1")
    medians, passed = starting_points(case, None, objective, starts=2, seed=1)
    assert not medians.any()
    low, high = (optima(objective, [first]).mixture.modes[0] for first in (medians, passed))
    assert low.objective - high.objective > 40
    # the default one has no other to pass through
    default = objective_of(case)
    assert len(starting_points(case, None, default, starts=3, seed=1)) == 3
    assert not starting_points(case, None, default, starts=1, seed=1)[0].any()
    assert np.abs(passed).max() < 6
