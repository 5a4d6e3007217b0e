"""Noise: densities against scipy's, residuals against their definition, slopes against difference quotients."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.errors import CalibrationError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.noise import censored, gaussian, graded, student
from cellsim.likelihood.replicates import score

BELOW = np.array([False])
positive = st.floats(0.05, 50)


@given(measured=positive, predicted=positive, sd=st.floats(0.05, 2))
def test_gaussian_is_scipys_normal_and_lognormal(measured: float, predicted: float, sd: float) -> None:
    y, m, s = np.array([measured] * 2), np.array([predicted] * 2), np.array([sd] * 2)
    l, r, slope = gaussian(y, m, s, logged=np.array([True, False]))
    assert l[0] == pytest.approx(stats.lognorm(sd, scale=predicted).logpdf(measured), rel=1e-9, abs=1e-9)
    assert l[1] == pytest.approx(stats.norm(predicted, sd).logpdf(measured), rel=1e-9, abs=1e-9)
    assert slope == pytest.approx(1 / s)
    assert r[1] == pytest.approx((predicted - measured) / sd)


@given(limit=positive, predicted=positive, sd=st.floats(0.05, 2))
def test_censoring_is_scipys_distribution_function(limit: float, predicted: float, sd: float) -> None:
    l, r, slope = (
        v[0] for v in censored(np.array([limit]), np.array([predicted]), np.array([sd]), above=BELOW)
    )
    assert l == pytest.approx(stats.norm.logcdf((np.log(limit) - np.log(predicted)) / sd), rel=1e-10)
    assert r**2 == pytest.approx(-2 * l)
    step = 1e-5
    up, down = (
        censored(np.array([limit]), np.array([predicted * np.exp(h)]), np.array([sd]), above=BELOW)[1][0]
        for h in (step, -step)
    )
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-12)


@given(limits=st.lists(positive, min_size=2, max_size=2, unique=True), predicted=positive)
def test_censored_likelihood_is_monotone_in_the_limit(limits: list[float], predicted: float) -> None:
    """Invariant 14: a higher limit leaves more room, so never less likelihood."""
    low, high = sorted(limits)
    l = censored(np.array([low, high]), np.array([predicted] * 2), np.array([0.5] * 2), above=BELOW)[0]
    assert l[0] <= l[1]


@given(
    level=st.floats(-3, 3),
    cuts=st.lists(st.floats(-3, 3), min_size=3, max_size=3, unique=True),
    scale=st.floats(0.1, 1),
)
def test_grades_are_logistic_shares_that_sum_to_one(level: float, cuts: list[float], scale: float) -> None:
    cuts = [cut + 1e-3 * i for i, cut in enumerate(sorted(cuts))]
    edges = np.array([-np.inf, *cuts, np.inf])
    l = graded(np.full(4, level), edges[:-1], edges[1:], scale)[0]
    assert np.exp(l).sum() == pytest.approx(1)
    assert np.exp(l) == pytest.approx(np.diff(stats.logistic(level, scale).cdf(edges)), rel=1e-6, abs=1e-12)


@given(level=st.floats(-2, 2), low=st.floats(-2, 0), gap=st.floats(0.2, 2))
def test_grade_slopes_are_difference_quotients(level: float, low: float, gap: float) -> None:
    def residual(a: float, b: float, c: float) -> float:
        return float(graded(np.array([a]), np.array([b]), np.array([c]), 0.3)[1][0])

    here, step = (level, low, low + gap), 1e-6
    slopes = [
        float(v[0]) for v in graded(np.array([here[0]]), np.array([here[1]]), np.array([here[2]]), 0.3)[2:]
    ]
    for k, slope in enumerate(slopes):
        up, down = (tuple(x + (h if i == k else 0) for i, x in enumerate(here)) for h in (step, -step))
        assert slope == pytest.approx((residual(*up) - residual(*down)) / (2 * step), rel=1e-3, abs=1e-6)


@given(limit=positive, predicted=positive, sd=st.floats(0.05, 2))
def test_a_value_lies_below_or_above_its_limit(limit: float, predicted: float, sd: float) -> None:
    """The two chances sum to one, and the two residuals pull in opposite directions."""
    both = [np.array([each] * 2) for each in (limit, predicted, sd)]
    l, _, slope = censored(*both, above=np.array([False, True]))
    assert np.exp(l).sum() == pytest.approx(1)
    assert slope[0] >= 0 >= slope[1]


# ---- Student's t ----------------------------------------------------------------------------------------


@given(measured=positive, predicted=positive, scale=st.floats(0.05, 2), degrees=st.floats(0.5, 60))
@example(measured=0.05, predicted=0.05000000000000001, scale=1.0, degrees=1.0)
def test_student_is_scipys_t(measured: float, predicted: float, scale: float, degrees: float) -> None:
    y, m, s = np.array([measured] * 2), np.array([predicted] * 2), np.array([scale] * 2)
    l, r, slope = student(y, m, s, degrees=degrees, logged=np.array([True, False]))
    logged = stats.t(degrees, np.log(predicted), scale).logpdf(np.log(measured)) - np.log(measured)
    assert l[0] == pytest.approx(logged, rel=1e-9, abs=1e-9)
    assert l[1] == pytest.approx(stats.t(degrees, predicted, scale).logpdf(measured), rel=1e-9, abs=1e-9)
    highest = stats.t(degrees, predicted, scale).logpdf(predicted)
    assert r[1] ** 2 == pytest.approx(2 * (highest - l[1]), rel=1e-9, abs=1e-9)
    # neighbouring numbers may have one logarithm
    assert (
        np.sign(r).tolist() == np.sign([np.log(predicted) - np.log(measured), predicted - measured]).tolist()
    )
    step = 1e-6 * scale
    up, down = (student(y, m + h, s, degrees=degrees, logged=BELOW)[1][1] for h in (step, -step))
    assert slope[1] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-9)
    up, down = (student(y, m * np.exp(h), s, degrees=degrees, logged=~BELOW)[1][0] for h in (step, -step))
    assert slope[0] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-9)


def test_at_its_median_a_t_has_the_slope_of_its_limit() -> None:
    """There the slope is 0 over 0; r = z sqrt((nu + 1)/nu) to first order."""
    one = np.ones(1)
    slope = student(one, one, 0.5 * one, degrees=4.0, logged=BELOW)[2]
    assert slope == pytest.approx(2 * np.sqrt(5 / 4))


@given(measured=positive, predicted=positive, scale=st.floats(0.3, 2))
def test_many_degrees_are_normal(measured: float, predicted: float, scale: float) -> None:
    """t differs from the normal density by (1 + z^4)/nu at most; z is kept below 20 here."""
    z = np.log(predicted / measured) / scale
    given_ = np.array([measured]), np.array([predicted]), np.array([scale])
    for ours, theirs in zip(
        student(*given_, degrees=1e6, logged=~BELOW), gaussian(*given_, logged=~BELOW), strict=True
    ):
        assert ours == pytest.approx(theirs, abs=(1 + z**4) / 1e6 / scale)


@given(
    limit=positive,
    predicted=positive,
    scale=st.floats(0.05, 2),
    degrees=st.floats(0.5, 60),
    over=st.booleans(),
)
def test_censoring_under_t_is_scipys_distribution_function(
    limit: float, predicted: float, scale: float, degrees: float, over: bool
) -> None:
    def at(m: float) -> list[float]:
        return [
            float(v[0])
            for v in censored(
                np.array([limit]), np.array([m]), np.array([scale]), above=np.array([over]), degrees=degrees
            )
        ]

    l, r, slope = at(predicted)
    distribution = stats.t(degrees, np.log(predicted), scale)
    theirs = (distribution.logsf if over else distribution.logcdf)(np.log(limit))
    assert l == pytest.approx(float(theirs), rel=1e-8, abs=1e-14)
    assert r**2 == pytest.approx(-2 * l)
    step = 1e-5 * scale
    up, down = (at(predicted * np.exp(h))[1] for h in (step, -step))
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-9)


def outlier(**options) -> cs.Calibration:
    """y = a read six times, once far off; a ~ N(0, 2)."""
    values = [9.9, 10.1, 10.0, 10.2, 9.8, 14.0]
    case = tiny_case(
        "x = 0; x' = 0",
        {"y": ("10 + a + x", 0.2, "normal")},
        [("y", float(k), value) for k, value in enumerate(values)],
        {"a": ("normal", 0.0, 2.0)},
    )
    return cs.calibrate(case, starts=3, **options)


def test_under_t_the_posterior_and_its_constants_are_the_products_of_scipys_densities() -> None:
    """One unknown: exp(-(sum of squares + constant)/2) on a grid is prior times likelihood, so its integral, the
    evidence, may be compared between noises. One row 20 scales off moves the estimate by less than a tenth of what it
    moves the normal one."""
    fit = outlier(degrees=4.0)
    objective, prior = fit.objective, stats.norm(0, 2.0)
    seen = np.array([term.measured for term in objective.terms])
    for a in (-0.5, 0.0, 0.7):
        theta = np.array([a / 2.0])
        exact = stats.t(4, 10 + a, 0.2).logpdf(seen).sum() + prior.logpdf(a) + np.log(2.0)
        assert -0.5 * (objective.evaluate(theta).objective + objective.constant) == pytest.approx(exact)
    grid = np.linspace(-3, 5, 40001)
    density = stats.t(4, 10 + grid[:, None], 0.2).logpdf(seen).sum(axis=1) + prior.logpdf(grid)
    assert fit.values["a"] == pytest.approx(grid[density.argmax()], abs=2e-4)
    # Laplace is an approximation here: 0.1 of a ln evidence of about -10
    assert fit.log_evidence == pytest.approx(np.log(np.trapezoid(np.exp(density), grid)), abs=0.1)
    plain = outlier()
    assert abs(fit.values["a"]) < 0.1 * abs(plain.values["a"])
    assert fit.log_evidence > plain.log_evidence + 20


def test_the_gradient_under_t_is_a_difference_quotient() -> None:
    """On the published case, the censored and the graded rows among its rows."""
    objective = objective_of(cs.load_case("sjogren_rfib"), degrees=4.0, rtol=1e-9)
    random = np.random.default_rng(2)
    theta = 0.5 * random.standard_normal(len(objective.names))
    exact = objective.evaluate(theta, gradient=True).gradient
    for _ in range(3):
        move = random.standard_normal(theta.size)
        move *= 1e-5 / np.linalg.norm(move)
        up, down = (objective.evaluate(theta + sign * move).objective / 2 for sign in (1, -1))
        assert (up - down) / 2 == pytest.approx(exact @ move, rel=1e-4)


def test_a_fit_under_t_is_saved_says_so_and_comes_back(tmp_path) -> None:
    fit = outlier(degrees=4.0)
    fit.save(tmp_path / "fit.json")
    again = cs.Calibration.load(tmp_path / "fit.json")
    assert again.objective.degrees == 4.0
    assert again.log_evidence == pytest.approx(fit.log_evidence)
    assert "Student's t with 4 degrees" in again.report()
    outlier().save(tmp_path / "plain.json")
    assert cs.Calibration.load(tmp_path / "plain.json").objective.degrees == np.inf


def test_a_posterior_under_t_is_sampled_under_t(tmp_path) -> None:
    """The sampled mean is the integral of scipy's densities, to four standard errors of some 200 independent draws."""
    fit = outlier(degrees=4.0)
    post = cs.sample(fit, method="nuts", draws=150, tune=60, chains=2, seed=1, progress=False)
    seen = np.array([term.measured for term in fit.objective.terms])
    grid = np.linspace(-3, 5, 40001)
    density = stats.t(4, 10 + grid[:, None], 0.2).logpdf(seen).sum(axis=1) + stats.norm(0, 2).logpdf(grid)
    weight = np.exp(density - density.max())
    mean = np.average(grid, weights=weight)
    spread = np.sqrt(np.average((grid - mean) ** 2, weights=weight))
    assert 2 * post.flat[:, 0].mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(200))
    post.save(tmp_path / "post.nc")
    assert cs.Posterior.load(tmp_path / "post.nc").objective.degrees == 4.0


def test_new_measurements_under_t_have_the_tails_of_t() -> None:
    """20,000 replicates: the share beyond three scales is that of t, within four binomial standard errors."""
    objective = objective_of(outlier().case, degrees=4.0)
    drawn = score(objective, np.zeros((20_000 // 6, 1)), rtol=1e-4, seed=1).replicated
    share, exact = np.mean(np.abs(drawn - 10) > 0.6), 2 * stats.t(4).sf(3)
    assert share == pytest.approx(exact, abs=4 * np.sqrt(exact / drawn.size))


@pytest.mark.parametrize("degrees", [0.0, -4.0, np.nan])
def test_noise_without_degrees_is_refused(degrees: float) -> None:
    with pytest.raises(CalibrationError, match="above zero"):
        outlier(degrees=degrees)


# ---- limits where nothing is left, and limits under normal noise ----------------------------------------


def before_the_dose(**changes) -> cs.Case:
    """x is 10 exp(-0.1 t) from the dose of day 0 on, nothing before; y = k x, seen as 6 on day 5."""
    given = {
        "observables": {"y": ("x*k", 0.1)},
        "rows": [("y", 5.0, 6.0)],
        "parameters": {"k": ("log-normal", 0.0, 1.0)},
        "doses": [(0.0, "x", 10.0)],
        "start": -2.0,
        **changes,
    }
    return tiny_case("x = 0; x' = -0.1*x; k = 1", **given)


@pytest.mark.parametrize("degrees", [np.inf, 4.0])
def test_nothing_predicted_lies_below_every_limit(degrees: float) -> None:
    """ln P = 0: the fit is the one without that row, gradient and all."""
    bare = cs.calibrate(before_the_dose(), starts=2, degrees=degrees)
    with_row = cs.calibrate(before_the_dose(censored=[("y", -1.0, 0.5)]), starts=2, degrees=degrees)
    assert with_row.objective.parts(with_row.theta)["censored"] == 0
    assert with_row.log_evidence == pytest.approx(bare.log_evidence, abs=1e-6)
    found = with_row.objective.evaluate(with_row.theta, gradient=True)
    assert np.all(np.isfinite(found.jacobian))
    if np.isinf(degrees):
        # ln y is normal around ln k + ln 10 - 0.5, ln k around 0: a normal density of variance 1 + 0.01
        distribution = stats.norm(np.log(10) - 0.5, np.sqrt(1.01))
        assert with_row.log_evidence == pytest.approx(distribution.logpdf(np.log(6)) - np.log(6), abs=1e-4)
        assert f"{with_row.log_evidence:.2f}" == "-2.72"


def test_value_where_nothing_is_predicted_is_impossible_and_named() -> None:
    case = before_the_dose(rows=[("y", -1.0, 0.5), ("y", 5.0, 6.0)])
    with pytest.raises(CalibrationError, match="y at visit v0 is predicted as 0"):
        cs.calibrate(case, starts=1)


@given(
    limit=st.floats(-5, 5),
    predicted=st.floats(-5, 5),
    sd=st.floats(0.1, 2),
    over=st.booleans(),
    t=st.booleans(),
)
def test_censoring_under_normal_noise_is_scipys_distribution_function(
    limit: float, predicted: float, sd: float, over: bool, t: bool
) -> None:
    degrees = 4.0 if t else np.inf

    def at(m: float) -> list[float]:
        row = np.array([limit]), np.array([m]), np.array([sd])
        made = censored(*row, above=np.array([over]), logged=np.array([False]), degrees=degrees)
        return [float(v[0]) for v in made]

    l, r, slope = at(predicted)
    distribution = stats.t(4, predicted, sd) if t else stats.norm(predicted, sd)
    assert l == pytest.approx(
        float((distribution.logsf if over else distribution.logcdf)(limit)), rel=1e-8, abs=1e-14
    )
    assert r**2 == pytest.approx(-2 * l)
    step = 1e-5 * sd
    up, down = (at(predicted + h)[1] for h in (step, -step))
    assert slope == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-7)


def test_censored_row_with_normal_noise_is_scored() -> None:
    """y is 3 + b with noise of sd 1, seen as 3 and once below 2; b ~ N(0, 1): the evidence by quadrature."""
    case = tiny_case(
        "x = 3; x' = 0",
        {"y": ("x + b", 1.0, "normal")},
        [("y", 1.0, 3.0)],
        {"b": ("normal", 0.0, 1.0)},
        censored=[("y", 2.0, 2.0)],
    )
    fit = cs.calibrate(case, starts=2)
    at = np.linspace(-6, 6, 2001)
    each = stats.norm.logpdf(at) + stats.norm(3 + at, 1).logpdf(3) + stats.norm(3 + at, 1).logcdf(2)
    exact = np.logaddexp.reduce(each) + np.log(at[1] - at[0])
    post = cs.sample(fit, method="collapsed", effective=200, draws=4, seed=1, progress=False)
    assert post.log_evidence == pytest.approx(exact, abs=4 * post.log_evidence_error + 0.002)
    assert fit.theta[0] == pytest.approx(at[np.argmax(each)], abs=0.01)


@pytest.mark.parametrize("censoring", ["left", "right"])
def test_a_row_of_a_case_lies_on_its_side_of_the_limit(censoring: str) -> None:
    """Witness: scipy's distribution function below a limit, its survival function above one."""
    files = tiny_case(
        "x = 3; x' = 0",
        {"y": ("x + b", 1.0, "normal")},
        [("y", 1.0, 3.0)],
        {"b": ("normal", 0.0, 1.0)},
        censored=[("y", 2.0, 2.0)],
    ).files
    table = files["extended.tsv"].replace("left", censoring)
    objective = objective_of(cs.load_case({**files, "extended.tsv": table}))
    beyond = stats.norm(3.5, 1.0).logcdf if censoring == "left" else stats.norm(3.5, 1.0).logsf
    assert objective.parts(np.array([0.5]))["censored"] == pytest.approx(beyond(2.0), abs=1e-9)


@pytest.mark.parametrize("upper", [-1.0, 0.0, np.inf])
def test_nothing_to_see_is_graded_lowest(upper: float) -> None:
    """S((cut - ln level)/scale) tends to 1 as the level goes to 0; what moves it no more has no slope."""
    below, above = np.array([-np.inf]), np.array([upper])
    l, residual, *slopes = graded(np.array([-np.inf]), below, above, 0.3)
    assert l[0] == residual[0] == 0 and all(slope[0] == 0 for slope in slopes)
    nearly = graded(np.array([np.log(1e-300)]), below, above, 0.3)[0]
    assert nearly[0] == pytest.approx(0.0, abs=1e-12)
