"""Nodes of unknown sampling days, against moments, closed forms and approximations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from cellsim.likelihood.day_quadrature import Nodes, nodes_of
from cellsim.likelihood.priors import Prior

WINDOW = Prior("uniform", (21.0, 49.0))
GIVEN = np.array([0.0, 7.0, 21.0, 30.0, 49.0])


def mean(nodes: Nodes, values: np.ndarray) -> float:
    return float(np.exp(nodes.log_weights) @ values)


@pytest.mark.parametrize("infusions", [GIVEN, np.array([]), np.array([-400.0])])
def test_moments_are_those_of_the_unit_normal(infusions: np.ndarray) -> None:
    nodes = nodes_of(WINDOW, infusions)
    assert mean(nodes, np.ones(nodes.thetas.size)) == pytest.approx(1.0, abs=1e-12)
    for power in range(1, 7):
        assert mean(nodes, nodes.thetas**power) == pytest.approx(stats.norm.moment(power), rel=5e-3, abs=5e-3)


@pytest.mark.parametrize("rate", [0.02, 0.5, 3.0])
def test_what_jumps_and_fades_after_an_infusion(rate: float) -> None:
    """A pulse given at day 30: (1 - exp(-19 rate)) / rate over the 28 days of the window."""
    nodes = nodes_of(WINDOW, GIVEN)
    pulse = np.where(nodes.days >= 30, np.exp(-rate * (nodes.days - 30)), 0.0)
    assert mean(nodes, pulse) == pytest.approx((1 - np.exp(-19 * rate)) / rate / 28, rel=2e-4)


def test_a_day_known_to_a_few_hours() -> None:
    """A narrow normal on the second day after an infusion, over the 28 days of the window."""
    nodes = nodes_of(WINDOW, GIVEN)
    for width in (0.5, 0.25):
        found = mean(nodes, stats.norm.pdf(nodes.days, 32.0, width))
        assert found == pytest.approx(1 / 28, rel=0.01 if width > 0.3 else 0.05)


def test_a_window_without_infusions_is_seen_as_well_as_its_rows_tell_the_day() -> None:
    """A normal of a sixth of the window, and of a tenth: the cumulative normal distribution is the witness."""
    nodes = nodes_of(WINDOW, np.array([]))
    for width, near in ((28 / 6, 2e-4), (2.8, 5e-3)):
        for centre in (35.0, 46.0):
            normal = stats.norm(centre, width)
            expected = (normal.cdf(49) - normal.cdf(21)) / 28
            assert mean(nodes, normal.pdf(nodes.days)) == pytest.approx(expected, rel=near)


windows = st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))


@given(windows, st.lists(st.floats(-20, 1e4), max_size=5))
def test_order_is_kept_whatever_the_window(window: tuple[float, float], infusions: list[float]) -> None:
    """Windows far from day zero and narrow ones, where neighbouring days are one number."""
    low, width = window
    nodes = nodes_of(
        Prior("uniform", (low, low + width)), np.array([*infusions, low, low + width / 2, low + width])
    )
    assert np.all(np.diff(nodes.thetas) > 0) and np.all(np.isfinite(nodes.days))
    assert np.all(np.isfinite(nodes.log_weights))
    assert np.exp(nodes.log_weights).sum() == pytest.approx(1.0)


# ---- draws ---------------------------------------------------------------------------------------


def drawn(log_likelihood: np.ndarray, nodes: Nodes, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return tuple(np.array([nodes.drawn(log_likelihood, random) for _ in range(n)]).T)


@pytest.mark.parametrize("width", [0.08, 0.3, 2.0])
def test_draws_follow_prior_times_likelihood(width: float) -> None:
    """A unit normal times a normal about 0.7 of this width: normal again, by the precisions' sum."""
    nodes = nodes_of(WINDOW, GIVEN)
    precision = 1 + width**-2
    exact = stats.norm(0.7 * width**-2 / precision, precision**-0.5)
    thetas, densities = drawn(stats.norm.logpdf(nodes.thetas, 0.7, width), nodes)
    assert stats.kstest(thetas, exact.cdf).pvalue > 1e-3
    assert densities == pytest.approx(exact.logpdf(thetas), abs=0.05)


def test_where_rows_have_no_density_nothing_is_drawn() -> None:
    """A half normal: the part above an edge, since what lies between two nodes cannot be known."""
    nodes = nodes_of(WINDOW, np.array([]))
    edge = nodes.edges[2]
    thetas, densities = drawn(np.where(nodes.thetas > edge, 0.0, -np.inf), nodes)
    assert thetas.min() > edge
    exact = stats.truncnorm(edge, np.inf)
    assert stats.kstest(thetas, exact.cdf).pvalue > 1e-3
    assert densities == pytest.approx(exact.logpdf(thetas), abs=0.02)


def test_a_panel_with_holes_takes_the_nearest_node() -> None:
    nodes = nodes_of(WINDOW, np.array([]))
    holed = np.zeros(nodes.thetas.size)
    holed[7] = -np.inf  # the middle node of the second panel
    thetas, densities = drawn(holed, nodes)
    halfway = (nodes.thetas[6:8].mean(), nodes.thetas[7:9].mean())
    cell = np.diff(nodes.edges)[1] / 48
    assert not np.any((thetas > halfway[0] + cell) & (thetas < halfway[1] - cell))
    assert np.all(np.isfinite(densities))


def test_the_density_of_draws_is_normalised() -> None:
    """E[1/p] over draws of p is the length of where they fall: here the ten prior sd looked at."""
    nodes = nodes_of(WINDOW, GIVEN)
    thetas, densities = drawn(0.5 * nodes.thetas**2, nodes, 500)  # flat where the prior is taken out again
    assert densities == pytest.approx(-np.log(10.0), abs=1e-2)
    assert integrate.quad(lambda x: np.exp(-np.log(10.0)), -5, 5)[0] == pytest.approx(1.0)
    assert stats.kstest(thetas, stats.uniform(-5, 10).cdf).pvalue > 1e-3
