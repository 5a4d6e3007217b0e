"""Plans compared draw by draw: chances, regret, dominance and ties against closed forms, and their Monte Carlo errors against scatter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cellsim.sweeps.decisions import beats, rank, told_apart
from cellsim.sweeps.learned import effective_draws, mean_error, median_error


def two_plans(count: int, shift: float, sd: float, rho: float, seed: int) -> np.ndarray:
    """Draws of two Gaussian utilities of means 0 and `shift`, both of one sd, of correlation rho."""
    cover = sd**2 * np.array([[1.0, rho], [rho, 1.0]])
    return np.random.default_rng(seed).multivariate_normal([0.0, shift], cover, size=count).T


def test_regret_of_two_gaussian_plans_has_its_closed_form() -> None:
    """The difference d = second - first is N(m, s^2), s^2 = 2 sd^2 (1 - rho): regret of the first is E max(d, 0) = m Phi(m/s) +
    s phi(m/s), and the second beats it with Phi(m/s)."""
    shift, sd, rho = 0.4, 1.0, 0.3
    s = sd * np.sqrt(2 * (1 - rho))
    regret = shift * stats.norm.cdf(shift / s) + s * stats.norm.pdf(shift / s)
    found = rank(two_plans(20_000, shift, sd, rho, 1), 20_000)
    assert found.order == (1, 0)
    assert found.regret[0] == pytest.approx(regret, abs=4 * found.regret_error[0])
    assert found.regret[1] == pytest.approx(regret - shift, abs=4 * found.regret_error[1])
    assert found.best[1] == pytest.approx(stats.norm.cdf(shift / s), abs=4 * found.best_error[1])
    assert found.regret_error[0] < 0.01


@pytest.mark.parametrize("kind", ["share", "median", "mean", "none"])
def test_monte_carlo_errors_are_the_scatter_of_repeats(kind: str) -> None:
    """200 repeats of 300 draws: their standard deviation is what each of them says of itself."""
    random = np.random.default_rng(5)
    draws = random.normal(size=(200, 300))
    if kind == "share":
        values, errors = (draws > 0.5).mean(axis=1), mean_error((draws > 0.5).astype(float), 300)
    elif kind == "median":
        values, errors = np.median(draws, axis=1), median_error(draws, 300)
    elif kind == "mean":
        values, errors = draws.mean(axis=1), mean_error(draws, 300)
    else:  # of a chance of nought the error is that of Beta(1, n + 1)
        assert mean_error(np.zeros(300), 300) == pytest.approx(stats.beta(1, 301).std(), rel=1e-9)
        return
    assert np.mean(errors) == pytest.approx(values.std(), rel=0.2)


def test_equals_have_one_half_and_are_a_tie() -> None:
    """The same draws give one half to each; independent draws of one distribution are a tie nearly always."""
    same = np.random.default_rng(0).normal(size=200)
    chance, error = beats(same, same * (1 + 1e-9), 200)
    assert (float(chance), float(error)) == (0.5, 0.0)
    found = rank(np.array([same, same]), 200)
    assert found.tie.all() and found.best.tolist() == [0.5, 0.5] and found.regret.tolist() == [0.0, 0.0]
    assert found.dominated_by == ((), ())
    apart = np.random.default_rng(1).normal(size=(2, 200, 100))
    told = [told_apart(*map(float, beats(a, b, 100))) for a, b in zip(*apart, strict=True)]
    assert told.count("tie") == 200  # a chance of 0.9 by luck is eight standard errors away


def test_a_plan_that_is_nowhere_worse_dominates() -> None:
    base = np.random.default_rng(2).normal(size=50)
    better = base + np.where(np.arange(50) == 7, 1.0, 0.0)
    crossing = base + np.where(np.arange(50) < 3, -1.0, 2.0)
    found = rank(np.array([base, better, crossing]), 50)
    assert found.dominated_by == ((1,), (), ())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_chances_and_regrets_add_up(seed: int, plans: int) -> None:
    """P(A beats B) + P(B beats A) = 1, the chances to be the best add to 1, and the highest mean has the least regret."""
    draws = np.random.default_rng(seed).integers(0, 4, size=(plans, 30)).astype(float)
    found = rank(draws, 30)
    assert found.best.sum() == pytest.approx(1.0)
    assert found.regret[found.order[0]] == pytest.approx(found.regret.min())
    assert found.regret - found.regret.min() == pytest.approx(found.mean.max() - found.mean)
    one, other = (float(beats(*pair, 30)[0]) for pair in ((draws[0], draws[1]), (draws[1], draws[0])))
    assert one + other == pytest.approx(1.0)


def test_draws_drawn_again_are_worth_no_more_than_the_sampler_made() -> None:
    class Made:
        effective = 80.0

    assert [effective_draws(Made(), n) for n in (50, 400)] == [50.0, 80.0]
    assert effective_draws(object(), 400) == 400.0
