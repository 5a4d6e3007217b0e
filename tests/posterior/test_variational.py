"""The variational approximation: closed forms and quadrature stand behind bound and evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from patients import small_fit, small_variational
from scipy import stats
from small_cases import decay, decay_log_evidence, pulses, pulses_log_density, straight_line

from cellsim.comparison.alterations import Alteration
from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.variational import VariationalApproximation
from cellsim.posterior.variational_fitting import refit, variational_approximation

DAYS, VALUES, SD = [0.0, 1.0, 2.0, 4.0], [10.4, 11.1, 11.3, 12.9], 0.5


def test_of_a_normal_posterior_bound_and_evidence_are_the_closed_form() -> None:
    """y = 10 + a + b t with unit normal priors: y is normal, and the nearest approximation is the posterior itself."""
    fit = calibrate(straight_line(VALUES, DAYS, sd=SD), starts=1)
    X = np.column_stack([np.ones(4), DAYS])
    exact = stats.multivariate_normal(np.full(4, 10.0), SD**2 * np.eye(4) + X @ X.T).logpdf(VALUES)
    found = variational_approximation(fit.objective, fit.mixture).evidence
    assert found.bound == pytest.approx(exact, abs=0.01)
    assert found.log_evidence == pytest.approx(exact, abs=0.01)
    assert found.shape < 0.5 and found.lost == 0


@pytest.mark.parametrize("values", [[1.4, 1.1, 0.45], [0.9, 0.2, 0.1], [2.0, 2.1, 1.9]])
def test_of_a_bent_posterior_the_bound_lies_below_quadrature_and_the_evidence_on_it(
    values: list[float],
) -> None:
    fit = calibrate(decay(values, [0.2, 1.0, 2.5]), starts=2)
    exact = decay_log_evidence(values, [0.2, 1.0, 2.5])
    found = variational_approximation(fit.objective, fit.mixture, seed=3, draws=1000).evidence
    assert found.bound < exact + 4 * found.bound_error
    assert found.log_evidence == pytest.approx(exact, abs=5 * found.error + 0.02)
    assert found.error < 0.1


@pytest.mark.parametrize("scatter", [0.1, 0.6])
def test_unknown_days_are_integrated_out_as_quadrature_does(scatter: float) -> None:
    """A sample after one dose or the other: the closed form of both parameters' density, on a grid."""
    fit = calibrate(pulses(scatter), starts=2)
    factor, day = np.linspace(-6, 6, 601), np.linspace(-6, 6, 2401)
    logs = pulses_log_density(factor[:, None], day, scatter)
    exact = np.logaddexp.reduce(logs, axis=None) + np.log((factor[1] - factor[0]) * (day[1] - day[0]))
    found = variational_approximation(fit.objective, fit.mixture, seed=1, draws=1000).evidence
    assert found.log_evidence == pytest.approx(exact, abs=5 * found.error + 5e-3)
    assert found.bound < exact + 4 * found.bound_error and found.error < 0.2


def test_one_seed_gives_one_answer_whatever_threads_do() -> None:
    fit = small_fit("V0")
    one, again, other = (
        variational_approximation(
            fit.objective, fit.mixture, rounds=6, points=4, draws=60, seed=seed
        ).evidence
        for seed in (1, 1, 2)
    )
    assert one == again != other


def test_value_slope_and_bend_of_one_simulation_are_those_of_two() -> None:
    density = WithoutDays(small_fit("V2").objective, 1e-6)
    eta = 0.3 * np.random.default_rng(1).standard_normal(density.columns.size)
    (here, bend), apart = density.curved(eta), density.density(eta)
    assert here.value == pytest.approx(apart.value, abs=1e-9)
    assert here.gradient == pytest.approx(apart.gradient, abs=1e-7)
    assert bend == pytest.approx(density.curvature(eta), abs=1e-9)


@pytest.mark.parametrize("numbers", [{"rounds": 3}, {"points": 1}, {"draws": 10}])
def test_impossible_numbers_are_refused(numbers: dict[str, int]) -> None:
    fit = small_fit("V0")
    with pytest.raises(CalibrationError, match="at least 4, 2 and 40"):
        variational_approximation(fit.objective, fit.mixture, **numbers)  # type: ignore[arg-type]


def test_the_value_alone_is_the_density_s() -> None:
    density = WithoutDays(small_fit("V2").objective, 1e-7)
    for eta in 0.5 * np.random.default_rng(3).standard_normal((4, density.columns.size)):
        assert density.value(eta) == pytest.approx(density.density(eta).value, abs=1e-4)


def test_draws_of_a_normal_posterior_have_its_moments() -> None:
    """Closed form: precision I + X'X / sd^2; draws also have a mean and a variance that a chi square approximation allows."""
    fit = calibrate(straight_line(VALUES, DAYS, sd=SD), starts=1)
    X = np.column_stack([np.ones(4), DAYS])
    covariance = np.linalg.inv(np.eye(2) + X.T @ X / SD**2)
    mean = covariance @ X.T @ (np.array(VALUES) - 10.0) / SD**2
    approximation = variational_approximation(fit.objective, fit.mixture)
    order = [approximation.names.index(name) for name in ("a", "b")]
    assert approximation.mean[order] == pytest.approx(mean, abs=1e-3)
    assert approximation.covariance[np.ix_(order, order)] == pytest.approx(covariance, abs=1e-4)
    assert approximation.moments("a") == pytest.approx((mean[0], covariance[0, 0]), abs=1e-3)
    with pytest.raises(CalibrationError, match="no parameter 'day_v0'"):
        approximation.moments("day_v0")
    drawn = approximation.draws(2000, seed=4)[:, order]
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.1 * np.sqrt(np.diag(covariance)).max())
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.15 * covariance.max())
    assert np.array_equal(approximation.draws(20, seed=4), approximation.draws(20, seed=4))


def test_days_drawn_lie_where_their_chance_says() -> None:
    """A stretch's chance, averaged over the approximation, against the share of independent draws in it (a binomial approximation)."""
    fit, approximation = small_fit("V2"), small_variational("V2")
    column = fit.objective.names.index("day_v1")
    days = fit.objective.priors[column].value(approximation.draws(800, seed=5)[:, column])
    middle = float(np.median(days))
    for stretches in (
        [[-100.0, middle]],
        [[-100.0, middle - 1.0], [middle + 1.0, 1000.0]],
        [[middle + 3.0, 1000.0]],
    ):
        inside = np.any([(days > low) & (days < high) for low, high in stretches], axis=0).mean()
        # three standard errors: the share has 800 independent draws, the chance 100, whose spread is 0.3 at most
        assert approximation.chance("day_v1", np.array(stretches)) == pytest.approx(
            inside, abs=3 * np.hypot(0.018, 0.03)
        )
    assert approximation.chance("day_v1", np.array([[-100.0, 1000.0]])) == pytest.approx(1.0)


def test_a_law_whose_draws_cannot_be_simulated_is_refused() -> None:
    """A baseline below zero, whose logarithm is scored."""
    broken = Alteration(id="broken", group="prior", name="a negative baseline", held={"base_IL6": -1.0})
    density = WithoutDays(broken.of(small_fit("V0").objective), 1e-3)
    size = density.columns.size
    approximation = VariationalApproximation(density, np.zeros(size), np.eye(size), 0.0, np.zeros(40), 0)
    with pytest.raises(
        CalibrationError, match="50 of 50 draws of the variational approximation of V0 cannot be"
    ):
        approximation.draws(40, seed=1)


def test_the_law_of_a_kindred_line_is_its_own_closed_form() -> None:
    """Without the last row, from the approximation with it."""
    fit = calibrate(straight_line(VALUES, DAYS, sd=SD), starts=1)
    rest = replace(fit.objective, terms=fit.objective.terms[:-1])
    X = np.column_stack([np.ones(3), DAYS[:-1]])
    exact = stats.multivariate_normal(np.full(3, 10.0), SD**2 * np.eye(3) + X @ X.T).logpdf(VALUES[:-1])
    assert refit(variational_approximation(fit.objective, fit.mixture), rest).log_evidence == pytest.approx(
        exact, abs=2e-3
    )


def test_what_alters_nothing_changes_no_evidence() -> None:
    """Of a posterior that is not normal, whose short walk is rough: the roughness cancels, whole."""
    approximation = small_variational("V2")
    assert refit(approximation, small_fit("V2").objective).log_evidence == approximation.log_evidence
