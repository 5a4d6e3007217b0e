"""What a measurement is expected to tell: closed forms of linear Gaussian designs, quadrature for the rest."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm, qmc

from cellsim.design import information
from cellsim.design.information import Foreseen, NewSample

DRAWS = 1024
SEEDS = range(24)


def draws(size: int) -> np.ndarray:
    """Standard normal draws that fill the space evenly, so that the noise of a measurement is all that is random."""
    return norm.ppf(qmc.Sobol(size, seed=3).random(DRAWS))


def linear(design: np.ndarray, sd: float, seed: int) -> tuple[np.ndarray, Foreseen]:
    """theta ~ N(0, 1), y = design theta + noise."""
    theta = draws(design.shape[1])
    covariance = sd**2 * np.eye(len(design))[None, None]
    sample = NewSample.drawn((theta @ design.T)[None], covariance, seed=seed)
    return theta, Foreseen([sample], np.ones(DRAWS))


@pytest.mark.parametrize("design", [[[1.0, 0.0]], [[1.0, 0.5], [0.2, -1.0]]])
def test_the_information_of_a_linear_design_lies_in_the_bracket_to_a_hundredth(design: list) -> None:
    """Witness: half the log determinant of I + J J' / sd^2."""
    matrix, sd = np.array(design), 0.3
    exact = 0.5 * np.linalg.slogdet(np.eye(len(matrix)) + matrix @ matrix.T / sd**2)[1]
    found = [linear(matrix, sd, seed)[1].information for seed in SEEDS]
    lower, upper = (np.mean([getattr(each, end) for each in found]) for end in ("lower", "upper"))
    assert lower == pytest.approx(exact, rel=0.01)
    # a thousand draws leave the marginal density of a rare measurement too small by a few hundredths
    assert lower <= upper < 1.03 * exact


def test_the_variance_that_a_linear_design_removes_is_that_of_the_closed_form() -> None:
    """Witness: c' (I - (I + J'J/sd^2)^-1) c / c'c for the number c' theta."""
    # what is left is little, so that sixteen seeds tell the share to a hundredth
    matrix, sd, about = np.array([[1.0, 0.5]]), 0.3, np.array([1.0, 0.3])
    after = np.linalg.inv(np.eye(2) + matrix.T @ matrix / sd**2)
    exact = 1 - about @ after @ about / (about @ about)
    found = []
    for seed in SEEDS:
        theta, foreseen = linear(matrix, sd, seed)
        found.append(foreseen.narrowing(theta @ about))
    assert np.mean([each.lower for each in found]) == pytest.approx(exact, rel=0.01)
    assert np.mean([each.upper for each in found]) == pytest.approx(exact, rel=0.01)


def test_the_value_of_a_sample_for_two_plans_is_that_of_the_closed_form() -> None:
    """Witness: of a difference N(m, s^2) whose mean after the sample has variance rho^2 s^2, E max(0, .) - max(0, m)."""
    m, s, sd = 0.3, 1.5, 1.0
    rho = np.sqrt(1 / (1 + sd**2))

    def gain(spread: float) -> float:
        return spread * norm.pdf(m / spread) + m * norm.cdf(m / spread) - max(m, 0.0)

    foreseen = [linear(np.array([[1.0]]), sd, seed) for seed in SEEDS]
    found = [each.value(np.column_stack([np.zeros(DRAWS), m + s * theta[:, 0]])) for theta, each in foreseen]
    assert found[0].regret == pytest.approx(gain(s), rel=0.005)
    lower, upper = (np.mean([getattr(each.removed, end) for each in found]) for end in ("lower", "upper"))
    error = np.sqrt(np.mean([each.removed.error**2 for each in found]) / len(found))
    assert lower == pytest.approx(gain(rho * s), abs=3 * error)
    assert error < 0.03 * gain(rho * s)
    # weights know the mean after each sample, and scatter less than what a plan then brings
    assert gain(rho * s) <= upper < 1.03 * gain(rho * s)


def test_equal_plans_leave_no_regret_and_nothing_to_remove() -> None:
    theta, foreseen = linear(np.array([[1.0]]), 1.0, 0)
    # the second differs by less than a solver can tell
    value = foreseen.value(np.column_stack([100 + theta, 100 + theta + 1e-8]))
    assert value.regret == value.removed.upper == 0.0


def test_the_information_about_a_class_is_that_of_quadrature() -> None:
    """Witness: mutual information of a fair coin and N(+-1, 1), by quadrature."""
    classes = np.arange(DRAWS) % 2
    means = np.where(classes == 0, -1.0, 1.0)[None, :, None]

    def both(y: float) -> float:
        return 0.5 * (norm.pdf(y, -1) + norm.pdf(y, 1))

    exact = quad(lambda y: -both(y) * np.log(both(y)), -9, 9)[0] - 0.5 * np.log(2 * np.pi * np.e)
    found = [
        Foreseen([NewSample.drawn(means, np.ones((1, 1, 1, 1)), seed=seed)], np.ones(DRAWS)) for seed in SEEDS
    ]
    for end in ("lower", "upper"):
        each = [getattr(one.information_of_class(classes), end) for one in found]
        assert np.mean(each) == pytest.approx(exact, rel=0.02)
    assert found[0].entropy(classes) == pytest.approx(np.log(2))


def test_a_doubtful_day_is_averaged_over() -> None:
    """Witness: density of a mixture of normals, by scipy."""
    means = np.array([[[0.0], [1.0]], [[2.0], [-1.0]]])
    sample = NewSample.drawn(means, 0.25 * np.ones((1, 1, 1, 1)), seed=4)
    for j in range(2):
        for i in range(2):
            exact = np.mean(norm.pdf(sample.values[j, 0], means[:, i, 0], 0.5))
            assert sample.densities[j, i] == pytest.approx(np.log(exact), abs=1e-12)


def test_covariances_of_their_own_are_each_draws_own() -> None:
    """Witness: scipy's multivariate normal."""
    from scipy.stats import multivariate_normal

    random = np.random.default_rng(1)
    means = random.normal(size=(1, 4, 2))
    roots = random.normal(size=(1, 4, 2, 2))
    covariances = roots @ np.swapaxes(roots, 2, 3) + 0.3 * np.eye(2)
    sample = NewSample.drawn(means, covariances, seed=5)
    exact = [
        [multivariate_normal(means[0, i], covariances[0, i]).logpdf(value) for i in range(4)]
        for value in sample.values
    ]
    assert np.allclose(sample.densities, exact, atol=1e-10)


def test_two_samples_together_tell_what_one_of_both_would() -> None:
    """Witness: densities of independent measurements multiply."""
    theta = draws(2)
    parts = [NewSample.drawn(theta[None, :, [k]], np.ones((1, 1, 1, 1)), seed=k) for k in range(2)]
    both = Foreseen(parts, np.ones(DRAWS)).information
    alone = [Foreseen([each], np.ones(DRAWS)).information for each in parts]
    assert both.lower > max(each.lower for each in alone)
    # of independent coordinates information adds: ln 2 in all
    assert both.lower == pytest.approx(np.log(2.0), abs=4 * both.error)


def test_weights_count_as_copies_would() -> None:
    """Witness: a draw of weight two is two draws, of the measurements that the others make."""
    theta = np.array([-1.0, 0.2, 0.9])
    sample = NewSample.drawn(theta[None, :, None], np.ones((1, 1, 1, 1)), seed=2)
    weighted = Foreseen([sample], np.array([2.0, 1.0, 1.0]))
    density = np.exp(sample.densities)
    exact = np.log(density @ np.array([0.5, 0.25, 0.25]))
    own = np.diag(sample.densities)
    assert weighted.information.lower == pytest.approx(max(np.array([0.5, 0.25, 0.25]) @ (own - exact), 0.0))


def test_sums_of_exponentials_are_those_of_scipy() -> None:
    """Far apart, all alike, and rows of nothing at all."""
    terms = np.random.default_rng(4).normal(size=(40, 30)) * 10.0 ** np.linspace(-3, 3, 40)[:, None]
    terms[3], terms[4, 1:], terms[5] = -np.inf, -np.inf, 700.0
    given = terms.copy()
    for axis in (0, 1):
        expected = logsumexp(terms, axis=axis)
        assert np.allclose(information._log_sum(terms, axis), expected, rtol=1e-13, atol=1e-13)
    assert np.array_equal(terms, given)
