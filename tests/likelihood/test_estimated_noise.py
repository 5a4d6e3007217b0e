"""Spreads that are estimated: quadrature over the spread of a closed form given it, SciPy's densities and minimisers, differences."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.case import Case
from cellsim.errors import CalibrationError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.replicates import replicate, score
from cellsim.predictions.measures import InRange

DAYS = np.array([0.5, 1.0, 2.0, 3.0, 4.0, 6.0])
SEEN = np.array([11.3, 11.2, 12.9, 12.4, 14.6, 15.9])
SIGMA = (np.log(0.3), 0.7)  # mean and sd of the logarithm
# standard errors that luck alone passes once in two million comparisons
LUCK = 5.0


def line(sigma: tuple | float = ("log-normal", *SIGMA), noise: str = "sigma") -> Case:
    """y = 10 + a + b t, a and b N(0, 1), with a spread of its own."""
    return tiny_case(
        "x = 0; x' = 1",
        {"y": ("10 + a + b*x", noise, "normal")},
        [("y", day, value) for day, value in zip(DAYS, SEEN, strict=True)],
        {"a": ("normal", 0.0, 1.0), "b": ("normal", 0.0, 1.0), "sigma": sigma},
        name="line",
    )


def given(sigma: float) -> tuple[float, np.ndarray, np.ndarray]:
    """ln p(values | sigma), and mean and covariance of a and b given it: conjugate algebra."""
    design = np.column_stack([np.ones(DAYS.size), DAYS])
    covariance = np.linalg.inv(design.T @ design / sigma**2 + np.eye(2))
    marginal = stats.multivariate_normal(
        np.full(DAYS.size, 10.0), sigma**2 * np.eye(DAYS.size) + design @ design.T
    )
    return float(marginal.logpdf(SEEN)), covariance @ design.T @ (SEEN - 10) / sigma**2, covariance


@cache
def by_quadrature(factor: float = 1.0) -> tuple[float, float, float]:
    """ln evidence, mean of ln sigma, and mean of b, over ln sigma."""

    def weigh(z: float) -> tuple[float, float, float]:
        height, mean, _ = given(factor * np.exp(SIGMA[0] + SIGMA[1] * z))
        share = float(np.exp(height) * stats.norm.pdf(z))
        return share, share * (SIGMA[0] + SIGMA[1] * z), share * mean[1]

    whole, logs, slopes = (integrate.quad(lambda z, k=k: weigh(z)[k], -6, 8, limit=200)[0] for k in range(3))
    return float(np.log(whole)), logs / whole, slopes / whole


@cache
def drawn(noise: str = "sigma") -> cs.Posterior:
    fit = cs.calibrate(line(noise=noise), starts=3)
    return cs.sample(fit, method="collapsed", effective=200, draws=100, seed=1, progress=False)


@pytest.mark.parametrize(("noise", "factor"), [("sigma", 1.0), ("2*sigma", 2.0)])
def test_posterior_and_evidence_are_those_of_quadrature(noise: str, factor: float) -> None:
    post = drawn(noise)
    evidence, logs, slope = by_quadrature(factor)
    assert abs(post.log_evidence - evidence) < LUCK * post.log_evidence_error + 1e-3
    frame = post.frame()
    weights = frame["weight"] / frame["weight"].sum()
    for values, mean in ((np.log(frame["sigma"]), logs), (frame["b"], slope)):
        found = float(weights @ values)
        error = float(np.sqrt(weights @ (values - found) ** 2 / post.effective))
        assert abs(found - mean) < LUCK * error + 1e-3


def test_chains_find_the_same() -> None:
    post = cs.sample(
        cs.calibrate(line(), starts=3), method="nuts", seed=1, draws=100, tune=80, progress=False
    )
    _, logs, slope = by_quadrature()
    frame = post.frame()
    for values, mean, name in ((np.log(frame["sigma"]), logs, "sigma"), (frame["b"], slope, "b")):
        effective = float(post.convergence.ess_bulk[post.objective.names.index(name)])
        assert abs(values.mean() - mean) < LUCK * values.std() / np.sqrt(effective)


@pytest.mark.parametrize("density", ["whitened", "petab"])
def test_the_estimate_is_the_mode_that_scipy_finds(density: str) -> None:
    fit = cs.calibrate(line(), starts=3, density=density)

    def height(p: np.ndarray) -> float:
        a, b, log_sigma = p
        rows = stats.norm(10 + a + b * DAYS, np.exp(log_sigma)).logpdf(SEEN).sum()
        beliefs = stats.norm.logpdf([a, b]).sum() + stats.norm(*SIGMA).logpdf(log_sigma)
        return -float(rows + beliefs - (log_sigma if density == "petab" else 0.0))

    theirs = optimize.minimize(height, [0.0, 1.0, -1.0], tol=1e-10).x
    ours = [fit.values["a"], fit.values["b"], np.log(fit.values["sigma"])]
    assert ours == pytest.approx(theirs, abs=2e-4)


def test_the_spread_of_the_approximation_is_the_inverse_hessian() -> None:
    fit = cs.calibrate(line(), starts=3)

    def height(theta: np.ndarray) -> float:
        a, b, z = theta
        return (
            -float(stats.norm(10 + a + b * DAYS, np.exp(SIGMA[0] + SIGMA[1] * z)).logpdf(SEEN).sum())
            + theta @ theta / 2
        )

    step, theta = 1e-4, fit.theta
    moves = step * np.eye(3)
    hessian = [[height(theta + u + v) - height(theta + u - v) - height(theta - u + v) + height(theta - u - v) for u in moves]
               for v in moves] / np.array(4 * step**2)  # fmt: skip
    assert fit.covariance == pytest.approx(np.linalg.inv(hessian), rel=2e-3)


def test_a_spread_held_at_a_value_is_that_number() -> None:
    """And what was estimated can be held: the evidence is then the closed form given it."""
    assert cs.calibrate(line(), starts=1, fixed={"sigma": 0.4}).log_evidence == pytest.approx(
        given(0.4)[0], abs=1e-5
    )


def _mixed(distribution: str = "log-normal") -> Case:
    """Two analytes of one spread, one of a panel's own, a censored row, and an unknown day."""
    return tiny_case(
        "x = 3; x' = -0.2*x",
        {
            "y": ("A*x", "s", distribution),
            "z": ("A + x", "0.5*s", distribution),
            "w": ("A*x", "r", "log-normal"),
        },
        [("y", 1.0, 4.0), ("y", 5.0, 1.3), ("z", 1.0, 3.0), ("w", 1.0, 2.0), ("w", 5.0, 1.1)],
        {"A": ("log-normal", 0.0, 0.5), "s": ("log-normal", -1.0, 0.5), "r": ("uniform", 0.1, 1.0)},
        windows={5.0: (3.0, 8.0)},
        censored=[("z", 9.0, 1.4)],
    )


@pytest.mark.parametrize("degrees", [np.inf, 4.0])
@pytest.mark.parametrize("distribution", ["log-normal", "normal"])
def test_the_gradient_is_that_of_the_log_likelihood_by_scipy(distribution: str, degrees: float) -> None:
    """Value and slope: every row by SciPy's own densities, and differences of their sum."""
    objective = objective_of(_mixed(distribution), degrees=degrees, rtol=1e-10)

    def rows(theta: np.ndarray) -> np.ndarray:
        values, days = objective.values(theta), objective.days(theta)
        out = []
        for term in objective.terms:
            x = 3 * np.exp(-0.2 * days[term.occasion])
            predicted = values["A"] + x if term.analyte == "z" else values["A"] * x
            sd = {"y": values["s"], "z": 0.5 * values["s"], "w": values["r"]}[term.analyte]
            law = stats.norm if np.isinf(degrees) else stats.t(degrees)
            apart = (np.log(term.measured / predicted) if term.logged else term.measured - predicted) / sd
            if term.part == "censored":
                out.append(law.logcdf(apart))
            else:
                out.append(law.logpdf(apart) - np.log(sd) - (np.log(term.measured) if term.logged else 0.0))
        return np.array(out)

    theta = np.random.default_rng(3).normal(scale=0.6, size=len(objective.names))
    found = objective.evaluate(theta, gradient=True)
    assert found.log_likelihood == pytest.approx(rows(theta), rel=1e-6)
    moves = 1e-5 * np.eye(theta.size)
    slope = np.array([(rows(theta + move).sum() - rows(theta - move).sum()) / 2e-5 for move in moves])
    assert -found.gradient == pytest.approx(slope - theta, rel=1e-5, abs=1e-6)
    assert objective.log_likelihoods(np.array([theta, 0 * theta])) == pytest.approx([rows(theta).sum(), rows(0 * theta).sum()], rel=1e-6)  # fmt: skip
    # the sum of squares is -2 ln posterior up to its constant
    assert found.objective + objective.constant == pytest.approx(
        -2 * rows(theta).sum() + theta @ theta + theta.size * np.log(2 * np.pi), rel=1e-6
    )


def test_with_days_integrated_out_the_gradient_is_that_of_the_value() -> None:
    density = WithoutDays(objective_of(_mixed()), 1e-9)
    eta = np.array([0.3, -0.4, 0.5])
    moves = 1e-4 * np.eye(3)
    slope = [(density.value(eta + move) - density.value(eta - move)) / 2e-4 for move in moves]
    assert density.density(eta).gradient == pytest.approx(slope, rel=1e-3, abs=1e-3)
    assert density.curved(eta)[0].gradient == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_the_expected_information_on_a_spread_is_twice_its_rows() -> None:
    """Mean of the curvature over new data is Fisher's: 2 n on ln sd and none shared with the mean, the prior's 1 beside it."""
    objective = objective_of(line())
    theta = np.array([0.2, 0.8, 0.3])
    found = [WithoutDays(replicate(objective, theta, seed=k), 1e-6).curvature(theta) for k in range(200)]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(200)
    fisher = np.array([0.0, 0.0, 2 * DAYS.size * SIGMA[1] ** 2 + 1.0])
    assert np.all(np.abs(mean[2] - fisher) < LUCK * error[2])


def test_new_measurements_scatter_by_the_spread_of_their_draw() -> None:
    """A law of large numbers: sd of the logarithm of replicates."""
    objective = objective_of(_mixed())
    theta = np.zeros((4000, len(objective.names)))
    theta[:, objective.names.index("s")] = 1.0
    found = score(objective, theta, rtol=1e-4, seed=1)
    for k, term in enumerate(objective.terms):
        expected = {"y": np.exp(-0.5), "z": 0.5 * np.exp(-0.5), "w": 0.55}[term.analyte]
        scatter = np.log(found.replicated[:, k] / found.predicted[:, k]).std()
        assert scatter == pytest.approx(expected, rel=LUCK / np.sqrt(2 * 4000))
    few = np.random.default_rng(3).standard_normal((3, len(objective.names)))
    together = objective.evaluate_sets(few).residuals
    assert together == pytest.approx(np.array([objective.evaluate(each).residuals for each in few]), abs=1e-4)
    patient = replicate(objective, theta[0], seed=2)
    assert np.isfinite(patient.evaluate(theta[0]).log_likelihood).all()


def test_rows_left_out_take_their_part_of_the_spread_with_them() -> None:
    """A sibling with fewer terms: its density is that of the rows left."""
    objective = objective_of(_mixed())
    few = replace(objective, terms=objective.terms[:2])
    theta = np.full(len(objective.names), 0.2)
    whole, part = (each.evaluate(theta) for each in (objective, few))
    assert part.objective + few.constant == pytest.approx(
        -2 * whole.log_likelihood[:2].sum() + theta @ theta + theta.size * np.log(2 * np.pi), rel=1e-6
    )


def test_a_chance_of_a_sample_counts_the_spread_of_each_draw() -> None:
    case = line()
    tables = case.files["observables.tsv"].splitlines()
    heads = [*tables[0].split("\t"), "referenceLower", "referenceUpper"]
    files = {**case.files, "observables.tsv": "\n".join(["\t".join(heads), f"{tables[1]}\t0\t15"]) + "\n"}
    fit = cs.calibrate(cs.load_case(files), starts=2)
    found = cs.sweep(fit, cs.Schedule(), until=6.0, measures=[InRange(noise=True)], draws=200, seed=3)
    a, b, z = fit.draws(200, seed=3).T
    sd = np.exp(SIGMA[0] + SIGMA[1] * z)
    ready = stats.norm.cdf((15 - (10 + a + b * 6)) / sd) - stats.norm.cdf((0 - (10 + a + b * 6)) / sd)
    assert found.posterior[0, 0] == pytest.approx(ready, abs=1e-5)


def test_a_spread_that_may_be_below_zero_is_refused_in_its_place() -> None:
    case = line(("normal", 0.3, 0.1))
    said = "sigma is the spread of obs_y, and its normal prior allows values below zero"
    assert any(said in str(each) for each in cs.check(case))
    with pytest.raises(CalibrationError, match=rf"parameters.tsv, row 4, column priorDistribution: {said}"):
        cs.calibrate(case, starts=1)


def test_noise_parameters_of_rows_are_estimated_too() -> None:
    """PEtab's placeholder, filled with a parameter by every row: the same posterior as the parameter in the formula."""
    case = line()
    observables = case.files["observables.tsv"].replace("noiseFormula", "noisePlaceholders\tnoiseFormula")
    observables = observables.replace("\tsigma\t", "\tnoise_y\tnoise_y\t")
    rows = case.files["measurements.tsv"].splitlines()
    rows = [f"{row}\t{'noiseParameters' if k == 0 else 'sigma'}" for k, row in enumerate(rows)]
    files = {**case.files, "observables.tsv": observables, "measurements.tsv": "\n".join(rows) + "\n"}
    filled = objective_of(cs.load_case(files))
    theta = np.array([0.1, 0.9, -0.3])
    assert filled.evaluate(theta).objective == pytest.approx(objective_of(case).evaluate(theta).objective)
