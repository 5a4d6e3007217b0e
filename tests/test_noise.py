"""Noise: densities against scipy's, residuals against their definition, slopes against difference quotients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cellsim.noise import censored, gaussian, graded

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
