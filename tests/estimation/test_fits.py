"""Fits, profiles and draws of estimation problems: least squares in closed form is the witness."""

from pathlib import Path

import numpy as np
import pytest
from problems import table, version_2
from scipy import stats

import cellsim as cs
from cellsim.cli.commands import main
from cellsim.errors import CalibrationError
from cellsim.estimation.fitting import ProblemFit
from cellsim.estimation.problem import EstimationProblem, load_problem
from cellsim.estimation.profiling import ProblemProfiles
from cellsim.estimation.sampling import ProblemDraws

TIMES = np.arange(8.0)
SEEN = np.array([1.2, 2.9, 4.7, 7.2, 8.8, 11.3, 12.7, 15.4])
LINE = np.column_stack([np.ones(8), TIMES])
BEST, (REST,), *_ = np.linalg.lstsq(LINE, SEEN, rcond=None)


def line(spread: str = "0.5", rows: str = "", law: str = "normal", **tables: str) -> EstimationProblem:
    """A straight line a + b t under two conditions, half of the points in each."""
    measured = "".join(f"y e{k % 2} {t:g} {y}\n" for k, (t, y) in enumerate(zip(TIMES, SEEN)))
    texts = version_2(
        "parameterId estimate nominalValue lowerBound upperBound priorDistribution priorParameters\n"
        f"a true 0 -50 50 - -\nb true 1 -50 50 - -\n{rows}",
        f"observableId observableFormula noiseFormula noiseDistribution\ny a+b*x+off {spread} {law}\n",
        f"observableId experimentId time measurement\n{measured}",
        conditions="conditionId targetId targetValue\nc0 off 0\nc1 off b-b\n",
        experiments="experimentId time conditionId\ne0 0 c0\ne1 0 c1\n",
        models={"m": "x = 0; x' = 1; off = 3"},
    )
    problem = load_problem({**texts, **tables})
    assert problem.log_likelihood() < 0
    return problem


def test_a_fit_of_two_conditions_is_least_squares_with_its_standard_errors() -> None:
    """With an estimated spread the maximum of the likelihood is (X'X)^-1 X'y, sigma^2 = RSS/n, errors sigma^2 (X'X)^-1."""
    fit = cs.calibrate(line("sd", "sd true 3 0.01 100 - -\n"), starts=3, seed=2)
    assert isinstance(fit, ProblemFit)
    sigma = np.sqrt(REST / 8)
    assert [fit.values[name] for name in ("a", "b", "sd")] == pytest.approx([*BEST, sigma], rel=1e-4)
    assert fit.log_likelihood == pytest.approx(stats.norm.logpdf(SEEN, LINE @ BEST, sigma).sum(), abs=1e-7)
    errors = np.sqrt(np.diag(np.linalg.inv(LINE.T @ LINE))) * sigma
    assert [fit.standard_errors[name] for name in ("a", "b")] == pytest.approx(errors, rel=1e-3)
    # of the logarithm of a standard deviation: sd/sqrt(2n)
    assert fit.standard_errors["sd"] == pytest.approx(sigma / 4, rel=1e-3)
    assert not fit.at_bounds and not fit.doubts and "3 of 3 starts ended here" in fit.report()
    assert list(fit.table().index) == ["a", "b", "sd"]


def test_priors_pull_the_estimate_as_bayes_says_and_bounds_hold_it() -> None:
    """A normal prior on the slope is one more row; with the intercept held, its mode is the weighted mean."""
    problem = line(rows="")
    pulled = problem.files["parameter.tsv"].replace(
        "b\ttrue\t1\t-50\t50\t\t", "b\ttrue\t1\t-50\t50\tnormal\t0;0.05"
    )
    fit = cs.calibrate(load_problem({**problem.files, "parameter.tsv": pulled}), starts=1, fixed={"a": 1.0})
    weight = (TIMES**2).sum() / 0.25
    free = (TIMES * (SEEN - 1.0)).sum() / (TIMES**2).sum()
    assert fit.values["b"] == pytest.approx(weight * free / (weight + 400), rel=1e-5)
    assert fit.values["a"] == 1.0
    low = problem.files["parameter.tsv"].replace("b\ttrue\t1\t-50\t50", "b\ttrue\t1\t0\t1.5")
    fit = cs.calibrate(load_problem({**problem.files, "parameter.tsv": low}), starts=1)
    assert fit.values["b"] == pytest.approx(1.5) and fit.at_bounds == {"b": "upper"}
    assert fit.values["a"] == pytest.approx((SEEN - 1.5 * TIMES).mean(), rel=1e-5)
    assert any("b (upper)" in each for each in fit.doubts) and np.isnan(fit.standard_errors["b"])


def test_laplace_noise_is_least_absolute_deviations() -> None:
    """With the slope held the estimate is the median of what is left, and the scale the mean absolute deviation."""
    fit = cs.calibrate(
        line("sd", "sd true 1 0.01 100 - -\n", law="laplace"), starts=2, seed=0, fixed={"b": 2.0}
    )
    left = SEEN - 2.0 * TIMES
    spread = np.abs(left - np.median(left)).mean()
    assert fit.log_likelihood == pytest.approx(
        stats.laplace.logpdf(left, np.median(left), spread).sum(), abs=1e-3
    )


def test_a_profile_of_a_line_is_its_normal_interval() -> None:
    """Known spread: the rise is ((b - best)/error)^2, the interval best +- 1.96 errors."""
    fit = cs.calibrate(line(), starts=1)
    found = cs.profile(fit, "b")
    assert isinstance(found, ProblemProfiles)
    error = 0.5 * np.sqrt(np.linalg.inv(LINE.T @ LINE)[1, 1])
    each = found["b"]
    assert each.rise == pytest.approx(((each.values - BEST[1]) / error) ** 2, abs=1e-4)
    assert each.interval() == pytest.approx((BEST[1] - 1.96 * error, BEST[1] + 1.96 * error), abs=1e-3)
    assert found.table().loc["b", "open"] == "" and "1 parameters" in found.report()
    with pytest.raises(CalibrationError, match="no estimated parameter 'bb'"):
        cs.profile(fit, "bb")
    with pytest.raises(CalibrationError, match="profile takes a fit"):
        cs.profile(fit.problem)


def test_what_data_leave_open_is_said() -> None:
    """c is a product with a parameter that nothing else tells: its profile is flat up to both bounds."""
    problem = line(rows="c true 1 0.5 2 - -\n")
    observed = problem.files["observable.tsv"].replace("a+b*x", "a+b*c*x")
    fit = cs.calibrate(load_problem({**problem.files, "observable.tsv": observed}), starts=1)
    each = cs.profile(fit, ["c"])["c"]
    assert each.interval() == (-np.inf, np.inf) and (each.values[0], each.values[-1]) == pytest.approx(
        (0.5, 2)
    )
    assert np.abs(each.rise).max() < 1e-4


def test_draws_of_a_line_have_its_normal_posterior() -> None:
    """Flat priors, known spread: N(best, 0.25 (X'X)^-1). Means within four standard errors of the chains."""
    found = cs.sample(cs.calibrate(line(), starts=1), draws=80, tune=40, chains=2, seed=3)
    assert isinstance(found, ProblemDraws)
    flat = found.frame()[["a", "b"]].to_numpy()
    covariance = 0.25 * np.linalg.inv(LINE.T @ LINE)
    effective = float(np.nanmin(found.convergence.ess_bulk))
    assert effective > 30
    assert np.abs(flat.mean(axis=0) - BEST).max() < 4 * np.sqrt(np.diag(covariance).max() / effective)
    assert np.cov(flat.T) == pytest.approx(covariance, rel=0.5)
    assert (
        list(found.table().columns) == ["median", "lower", "upper", "rhat", "ess"]
        and "2 chains" in found.report()
    )


def test_an_improper_posterior_is_not_drawn_from() -> None:
    problem = line()
    wide = problem.files["parameter.tsv"].replace("b\ttrue\t1\t-50\t50", "b\ttrue\t1\t-inf\tinf")
    fit = cs.calibrate(load_problem({**problem.files, "parameter.tsv": wide}), starts=2)
    assert fit.values["b"] == pytest.approx(BEST[1], rel=1e-5)
    with pytest.raises(CalibrationError, match="b has neither a prior nor two bounds"):
        cs.sample(fit, draws=10, tune=40)


def test_verbs_that_take_a_case_say_why_not() -> None:
    problem = line()
    fit = cs.calibrate(problem, starts=1)
    asked = {
        "sweep": lambda: cs.sweep(fit, {}, until=1), "compare": lambda: cs.compare(problem), "robustness": lambda: cs.robustness(problem),
        "identify": lambda: cs.identify(fit),
    }  # fmt: skip
    for verb, call in asked.items():
        with pytest.raises(CalibrationError, match=f"{verb} takes a case: "):
            call()
    with pytest.raises(CalibrationError, match="calibrate of an estimation problem does not have: variant"):
        cs.calibrate(problem, variant="V1")
    with pytest.raises(CalibrationError, match="no parameter 'c'"):
        cs.calibrate(problem, fixed={"c": 1.0})
    assert cs.check(problem) == problem.check()
    assert table("a\n1") == "a\n1\n"


def test_the_command_line_says_what_a_problem_is_and_where_it_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, text in line().files.items():
        (tmp_path / file).write_text(text)
    assert main(["calibrate", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert (
        "2 estimated parameters, 8 measurements, 2 experiments, 1 model" in said
        and "In a script cs.load_case(" in said
    )
    assert main(["check", str(tmp_path)]) == 0


def test_a_start_that_cannot_be_scored_is_left_and_a_problem_that_never_can_is_told() -> None:
    """log of a negative line: no place has a density."""
    problem = line()
    never = (
        problem.files["observable.tsv"].replace("a+b*x+off", "-1-a^2-0*b*x").replace("normal", "log-normal")
    )
    files = {**problem.files, "observable.tsv": never}
    with pytest.raises(
        CalibrationError,
        match=r"none of 2 starts could be carried through: measurement.tsv, row 2: y at time 0",
    ):
        cs.calibrate(load_problem(files), starts=2)
