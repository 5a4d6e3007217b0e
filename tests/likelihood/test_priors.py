"""Priors: densities against libpetab and quadrature, whitening against the normal approximation it promises."""

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.stats import qmc
from small_cases import straight_line

from cellsim.case.case import load_case
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.priors import Coordinates, Prior, latin_hypercube

PRIORS = [
    Prior("normal", (1.0, 2.0)),
    Prior("normal", (1.0, 2.0), 0.0, 2.5),
    Prior("log-normal", (-0.5, 0.7), 0.0),
    Prior("log-normal", (-0.5, 0.7), 0.3, 4.0),
    Prior("uniform", (-60.0, 0.0)),
    Prior("log-uniform", (0.01, 100.0)),
    Prior("laplace", (0.0, 1.5)),
    Prior("log-laplace", (0.2, 0.4)),
    Prior("exponential", (0.3,)),
    Prior("gamma", (2.0, 1.5), 0.0, 9.0),
    Prior("chisquare", (3.0,)),
    Prior("rayleigh", (2.0,)),
    Prior("cauchy", (0.0, 1.0), -30.0, 30.0),
]
WIDENED = [
    Prior("normal", (1.0, 2.0)).widened(0.6),
    Prior("log-normal", (-0.5, 0.7), 0.0).widened(1.2),
    Prior("uniform", (-60.0, 0.0)).widened(0.8),
    Prior("gamma", (2.0, 1.5), 0.0, 9.0).widened(1.1),
]


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_whitened_coordinate_is_standard_normal_by_the_law_of_large_numbers(prior: Prior) -> None:
    """Kolmogorov-Smirnov against the distribution itself; p below 1e-4 happens once in ten thousand seeds."""
    draws = prior.value(np.random.default_rng(7).standard_normal(4000))
    share = stats.kstest(
        draws,
        lambda x: (prior._distribution().cdf(x) - prior._distribution().cdf(prior.lower)) / prior._share(),
    )
    assert share.pvalue > 1e-4


@pytest.mark.parametrize(
    ("family", "ends", "theirs"),
    [
        ("uniform", (-3.0, 5.0), stats.uniform(-3.0, 8.0)),
        ("log-uniform", (0.02, 7.0), stats.loguniform(0.02, 7.0)),
    ],
)
def test_boxes_are_scipys(family: str, ends: tuple[float, float], theirs: Any) -> None:
    """Witness: scipy.stats, which is not loaded for them; also beyond the box and at nought."""
    ours = Prior(family, ends)._distribution()
    x = np.array([-9.0, -3.0, -1.0, 0.0, 0.02, 0.5, 4.0, 5.0, 6.5, 9.0])
    for asked in ("cdf", "sf"):
        assert getattr(ours, asked)(x) == pytest.approx(getattr(theirs, asked)(x), abs=1e-14)
    inside = (x >= ends[0]) & (x <= ends[1])
    assert ours.logpdf(x[inside]) == pytest.approx(theirs.logpdf(x[inside]))
    assert (ours.logpdf(x[~inside]) == -np.inf).all()
    share = np.array([0.0, 1e-9, 0.3, 1.0])
    for asked in ("ppf", "isf"):
        assert getattr(ours, asked)(share) == pytest.approx(getattr(theirs, asked)(share))
    assert ours.support() == pytest.approx(theirs.support())
    for none in (ends[::-1], (1.0, 1.0)):
        with pytest.raises(CaseError, match="leaves nothing"):
            Prior(family, none)


@pytest.mark.parametrize("prior", [*PRIORS, *WIDENED], ids=str)
def test_density_integrates_to_one(prior: Prior) -> None:
    edges = prior.value(np.linspace(-6.5, 6.5, 66))
    mass = sum(
        integrate.quad(lambda x: float(np.exp(prior.log_density(x))), a, b)[0]
        for a, b in itertools.pairwise(edges)
    )
    assert mass == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("prior", [*PRIORS, *WIDENED], ids=str)
@given(theta=st.floats(-4, 4))
def test_whitening_goes_back_and_forth_and_slope_is_the_difference_quotient(
    prior: Prior, theta: float
) -> None:
    x, step = float(prior.value(np.array(theta))), 1e-5
    assert prior.whitened(x) == pytest.approx(theta, abs=1e-6)
    quotient = (prior.value(np.array(theta + step)) - prior.value(np.array(theta - step))) / (2 * step)
    assert prior.slope(np.array(theta)) == pytest.approx(quotient, rel=1e-5)


TAILS = [
    Prior("normal", (0.0, 1.0), 8.0, 9.0),
    Prior("normal", (0.0, 1.0), 9.0, 12.0),
    Prior("normal", (0.0, 1.0), 30.0),
    Prior("normal", (0.0, 1.0), -9.0, -8.0),
    Prior("normal", (0.0, 1.0), -np.inf, -30.0),
    Prior("log-normal", (0.0, 0.5), np.exp(5.0), np.exp(6.0)),
    Prior("log-normal", (0.0, 0.5), np.exp(-6.0), np.exp(-5.0)),
    Prior("exponential", (1.0,), 35.0, 40.0),
    Prior("exponential", (1.0,), 40.0, 45.0),
    Prior("exponential", (1.0,), 1e-12, 2e-12),
    Prior("laplace", (0.0, 1.0), 36.0, 40.0),
    Prior("laplace", (0.0, 1.0), -40.0, -36.0),
    Prior("log-laplace", (0.0, 1.0), 1e16, 2e16),
    Prior("log-laplace", (0.0, 1.0), 1e-16, 2e-16),
    Prior("cauchy", (0.0, 1.0), 1e15, 2e15),
    Prior("cauchy", (0.0, 1.0), -2e15, -1e15),
    Prior("gamma", (2.0, 1.0), 45.0, 50.0),
    Prior("gamma", (2.0, 1.0), 1e-9, 2e-9),
    Prior("chisquare", (3.0,), 90.0, 100.0),
    Prior("chisquare", (3.0,), 1e-9, 2e-9),
    Prior("rayleigh", (1.0,), 9.0, 10.0),
    Prior("rayleigh", (1.0,), 1e-9, 2e-9),
    Prior("uniform", (0.0, 1.0), 0.9, 0.95),
    Prior("log-uniform", (0.01, 100.0), 90.0, 99.0),
]


def density_by_mpmath(family: str, parameters: tuple[float, ...], x: Any) -> Any:
    """The textbook formula, not normalised."""
    a, b = (*(mpmath.mpf(each) for each in parameters), mpmath.mpf(1))[:2]
    return {
        "normal": lambda: mpmath.exp(-(((x - a) / b) ** 2) / 2),
        "log-normal": lambda: mpmath.exp(-(((mpmath.log(x) - a) / b) ** 2) / 2) / x,
        "exponential": lambda: mpmath.exp(-x / a),
        "laplace": lambda: mpmath.exp(-abs(x - a) / b),
        "log-laplace": lambda: mpmath.exp(-abs(mpmath.log(x) - a) / b) / x,
        "cauchy": lambda: 1 / (1 + ((x - a) / b) ** 2),
        "gamma": lambda: x ** (a - 1) * mpmath.exp(-x / b),
        "chisquare": lambda: x ** (a / 2 - 1) * mpmath.exp(-x / 2),
        "rayleigh": lambda: x * mpmath.exp(-((x / a) ** 2) / 2),
        "uniform": lambda: mpmath.mpf(1),
        "log-uniform": lambda: 1 / x,
    }[family]()


@pytest.mark.parametrize("prior", TAILS, ids=str)
def test_a_prior_cut_far_out_in_a_tail_is_what_mpmath_integrates(prior: Prior) -> None:
    """Witness: 40 digits, density and median by quadrature of the textbook formula between the bounds."""
    low = prior.lower if np.isfinite(prior.lower) else -32.0  # e^-62 of what is left lies beyond
    high = prior.upper if np.isfinite(prior.upper) else 32.0
    with mpmath.workdps(40):

        def density(x: Any) -> Any:
            return density_by_mpmath(prior.family, prior.parameters, mpmath.mpf(x))

        most = max(density(low), density(high))  # the error that quad looks at is absolute

        def mass(low: float, high: float) -> Any:
            points = [mpmath.mpf(low) + (mpmath.mpf(high) - mpmath.mpf(low)) * k / 4 for k in range(5)]
            return mpmath.quad(lambda x: density(x) / most, points)

        whole = mass(low, high)
        for share in (0.1, 0.7):
            x = low + share * (high - low)
            right = float(mpmath.log(density(x) / most / whole))
            assert float(prior.log_density(x)) == pytest.approx(right, rel=1e-11, abs=1e-11)
        for theta in (-3.0, -0.5, 0.0, 1.0, 3.0):
            x = float(prior.value(np.array(theta)))
            assert prior.lower <= x <= prior.upper
            assert float(mass(low, x) / whole) == pytest.approx(stats.norm.cdf(theta), rel=1e-6)
            assert prior.whitened(x) == pytest.approx(theta, abs=1e-6)
    far = prior.value(np.array([-40.0, -8.0, 8.0, 40.0]))
    assert np.all((far >= prior.lower) & (far <= prior.upper))


def test_densities_agree_with_libpetab() -> None:
    from petab.v2 import Parameter
    from petab.v2.core import PriorDistribution

    for prior in PRIORS:
        low = (
            max(prior.lower, float(prior.value(np.array(-5.0))))
            if prior.family in ("log-uniform", "uniform")
            else prior.lower
        )
        theirs = Parameter(
            id="x",
            lb=prior.parameters[0] if "uniform" in prior.family else low,
            ub=prior.parameters[1] if "uniform" in prior.family else prior.upper,
            nominal_value=1.0,
            estimate=True,
            prior_distribution=PriorDistribution(prior.family),
            prior_parameters=list(prior.parameters),
        )
        for theta in (-1.5, 0.1, 2.0):
            x = float(prior.value(np.array(theta)))
            assert float(prior.log_density(x)) == pytest.approx(
                float(np.log(theirs.prior_dist.pdf(x))), abs=1e-10
            )


@pytest.mark.parametrize("power", [0.5, 0.8, 1.25])
def test_widening_is_a_power_of_the_density_in_the_whitened_coordinate(power: float) -> None:
    """Witness: N(0, 1) to the power alpha is N(0, 1/alpha) after normalisation, by scipy."""
    prior = Prior("gamma", (2.0, 1.5), 0.0, 9.0)
    wide = prior.widened(power**-0.5)
    x = prior.value(np.linspace(-2.5, 2.5, 11))
    theta = np.array([prior.whitened(each) for each in x])
    expected = stats.norm(0, power**-0.5).logpdf(theta) - np.log(prior.slope(theta))
    assert wide.log_density(x) == pytest.approx(expected, rel=1e-8)
    assert np.exp(wide.log_density(10.0)) == 0
    with pytest.raises(CaseError, match="times as wide"):
        prior.widened(-1.0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(CaseError, match="Did you mean 'log-normal'"):
        Prior("lognormal", (0.0, 1.0))
    with pytest.raises(CaseError, match="takes 2 finite numbers"):
        Prior("normal", (0.0,))
    with pytest.raises(CaseError, match="leaves nothing"):
        Prior("uniform", (0.0, 1.0), 2.0, 3.0)
    with pytest.raises(CaseError, match="below 1e-290"):
        Prior("normal", (0.0, 1.0), 40.0, 41.0)
    assert not np.isfinite(Prior("log-normal", (0.0, 1.0)).whitened(-1.0))


def test_several_at_once_are_the_same_one_by_one() -> None:
    several = [*PRIORS, *WIDENED]
    theta = np.random.default_rng(3).standard_normal((5, len(several)))
    both = Coordinates(tuple(several))
    for j, prior in enumerate(several):
        assert both.values(theta)[:, j] == pytest.approx(prior.value(theta[:, j]), rel=1e-14)
        assert both.slopes(theta)[:, j] == pytest.approx(prior.slope(theta[:, j]), rel=1e-14)


def test_bounds_in_a_case_s_table_cut_the_prior() -> None:
    """Witness: scipy's truncated normal distribution, at the same probability."""
    files = straight_line([10.3, 11.9], [0.5, 2.0]).files
    head, *rows = [line.split("\t") for line in files["parameters.tsv"].splitlines()]
    for row in rows:
        if row[0] == "a":
            row[head.index("lowerBound")], row[head.index("upperBound")] = "-0.5", "2.0"
    table = "".join("\t".join(each) + "\n" for each in [head, *rows])
    objective = objective_of(load_case({**files, "parameters.tsv": table}))
    for theta in (-2.0, 0.3, 1.7):
        values = objective.values(np.full(2, theta))
        assert values["a"] == pytest.approx(stats.truncnorm(-0.5, 2.0).ppf(stats.norm.cdf(theta)), rel=1e-9)
        assert values["b"] == pytest.approx(theta)


def test_a_latin_hypercube_is_scipys() -> None:
    """Witness: scipy's, which takes half a second to load; it draws from a generator spawned from the one it is given."""
    for count, size, seed in [(7, 3, 1), (1, 5, 2), (0, 4, 3), (19, 1, 4)]:
        theirs = qmc.LatinHypercube(size, rng=np.random.default_rng(seed)).random(count)
        ours = latin_hypercube(count, size, np.random.default_rng(seed).spawn(1)[0])
        assert np.array_equal(ours, theirs)


def test_the_log_normal_distribution_is_scipys() -> None:
    """Witness: scipy.stats, on both sides of nought and far out in both tails."""
    ours = Prior("log-normal", (-0.5, 0.7))._distribution()
    theirs = stats.lognorm(0.7, scale=np.exp(-0.5))
    x = np.array([-1.0, 0.0, 1e-12, 0.01, 0.4, 1.0, 7.0, 1e3, 1e9, np.inf])
    shares = np.array([0.0, 1e-250, 1e-9, 0.3, 0.5, 0.999, 1.0])
    for name, at in (("cdf", x), ("sf", x), ("logpdf", x[:-1]), ("ppf", shares), ("isf", shares)):
        assert getattr(ours, name)(at) == pytest.approx(getattr(theirs, name)(at), rel=1e-12), name
    assert ours.support() == theirs.support()
