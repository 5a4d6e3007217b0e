"""The variational approximation from which the sampler starts, and the density it is made of: closed forms stand behind them."""

from __future__ import annotations

import numpy as np
import pytest
from patients import small_fit
from small_cases import straight_line

from cellsim.comparison.alterations import Alteration
from cellsim.errors import CalibrationError
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.posterior.fitting import calibrate
from cellsim.posterior.variational_fitting import normal_near

DAYS, VALUES, SD = [0.0, 1.0, 2.0, 4.0], [10.4, 11.1, 11.3, 12.9], 0.5


def test_of_a_normal_posterior_the_approximation_is_the_closed_form() -> None:
    """y = 10 + a + b t with unit normal priors: precision I + X'X / sd^2."""
    fit = calibrate(straight_line(VALUES, DAYS, sd=SD), starts=1)
    density, X = WithoutDays(fit.objective, 1e-6), np.column_stack([np.ones(4), DAYS])
    exact = np.eye(2) + X.T @ X / SD**2
    mean, precision = normal_near(density, fit.theta, seed=1)
    order = [fit.objective.names.index(name) for name in ("a", "b")]
    assert mean[order] == pytest.approx(
        np.linalg.solve(exact, X.T @ (np.array(VALUES) - 10.0) / SD**2), abs=1e-3
    )
    assert precision[np.ix_(order, order)] == pytest.approx(exact, rel=1e-3)
    again = normal_near(density, fit.theta, seed=1)
    assert np.array_equal(again[0], mean) and np.array_equal(again[1], precision)


def test_an_approximation_begun_far_away_comes_home() -> None:
    """The same closed form, from a place twelve standard deviations off: steps are two long at most."""
    fit = calibrate(straight_line(VALUES, DAYS, sd=SD), starts=1)
    density = WithoutDays(fit.objective, 1e-6)
    mean, precision = normal_near(density, fit.theta, seed=1)
    away = np.linalg.solve(np.linalg.cholesky(precision).T, np.full(2, 12 / np.sqrt(2)))
    found, _ = normal_near(density, fit.theta + away, seed=1)
    off = found - mean
    assert np.sqrt(off @ precision @ off) < 0.1


def test_an_approximation_that_cannot_be_simulated_is_refused() -> None:
    """A baseline below zero, whose logarithm is scored."""
    broken = Alteration(id="broken", group="prior", name="a negative baseline", held={"base_IL6": -1.0})
    density = WithoutDays(broken.of(small_fit("V0").objective), 1e-3)
    with pytest.raises(
        CalibrationError, match="6 of 6 points of the variational approximation cannot be simulated"
    ):
        normal_near(density, np.zeros(len(density.objective.names)), seed=1)


def test_value_slope_and_bend_of_one_simulation_are_those_of_two() -> None:
    density = WithoutDays(small_fit("V2").objective, 1e-6)
    eta = 0.3 * np.random.default_rng(1).standard_normal(density.columns.size)
    (here, bend), apart = density.curved(eta), density.density(eta)
    assert here.value == pytest.approx(apart.value, abs=1e-9)
    assert here.gradient == pytest.approx(apart.gradient, abs=1e-7)
    assert bend == pytest.approx(density.curvature(eta), abs=1e-9)


def test_the_value_alone_is_the_density_s() -> None:
    density = WithoutDays(small_fit("V2").objective, 1e-7)
    for eta in 0.5 * np.random.default_rng(3).standard_normal((4, density.columns.size)):
        assert density.value(eta) == pytest.approx(density.density(eta).value, abs=1e-4)


def test_values_of_many_are_those_of_each_with_its_derivative() -> None:
    """Witness: the density of each, simulated by itself with its gradient; of what cannot be scored there is none."""
    density = WithoutDays(small_fit("V2").objective, 1e-7)
    etas = 0.5 * np.random.default_rng(4).standard_normal((11, density.columns.size))
    expected = [density.density(eta).value for eta in etas]
    assert density.values(etas) == pytest.approx(expected, abs=1e-4)
    assert density.values(etas[:0]).shape == (0,)
    broken = Alteration(id="broken", group="prior", name="a negative baseline", held={"base_IL6": -1.0})
    lost = WithoutDays(broken.of(small_fit("V0").objective), 1e-3)
    assert lost.values(np.zeros((3, lost.columns.size))).tolist() == [-np.inf] * 3
