"""Coordinates that give sampling days room after infusions, against their own definition and differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import cellsim as cs
from cellsim.likelihood import objective_of
from cellsim.priors import Prior
from cellsim.stretches import BUSY, SHARE, Stretch, day_curve, stretch_of

WINDOW = Prior("uniform", (21.0, 49.0))
GIVEN = np.array([0.0, 7.0, 21.0, 30.0, 49.0])


def test_the_coordinate_is_the_one_promised() -> None:
    """Phi(x) against (1 - w) F + w H, written out day by day."""
    curve = day_curve(WINDOW, GIVEN)

    def told(day: float) -> float:
        """0 and 7 are over, 21 to 30 and 30 to 49 are the window's two intervals."""
        first, then = min(day, 30.0) - 21.0, max(day - 30.0, 0.0)
        return first / (first + BUSY) + then / (then + BUSY)

    for day in [*np.linspace(21.05, 29.5, 30), *np.linspace(30.5, 48.95, 30)]:
        wanted = (1 - SHARE) * (day - 21) / 28 + SHARE * told(day) / told(49.0)
        assert float(WINDOW.value(curve(stats.norm.ppf(wanted)))) == pytest.approx(day, abs=2e-3)


@given(st.lists(st.floats(-12, 12), min_size=2, max_size=2))
def test_there_and_back(point: list[float]) -> None:
    stretch = Stretch({1: day_curve(WINDOW, GIVEN)})
    theta = np.array(point)
    x = stretch.x(theta)
    assert x[0] == theta[0]
    assert stretch.theta(x) == pytest.approx(theta, abs=1e-12)


@given(st.floats(-11, 11))
def test_slopes_are_those_of_differences(place: float) -> None:
    curve, step = day_curve(WINDOW, GIVEN), 1e-6
    assume(np.abs(curve.x - place).min() > 2 * step)  # at a knot the second derivative has two values
    stretch = Stretch({0: curve})
    slope, turn = stretch.slopes(np.array([place]))
    ahead, behind = (np.array([place + each]) for each in (step, -step))
    assert slope[0] == pytest.approx((stretch.theta(ahead) - stretch.theta(behind))[0] / (2 * step), rel=1e-6)
    later, sooner = (np.log(stretch.slopes(each)[0][0]) for each in (ahead, behind))
    assert turn[0] == pytest.approx((later - sooner) / (2 * step), abs=1e-4)


def test_a_window_before_every_infusion_is_left_alone() -> None:
    assert day_curve(Prior("uniform", (-60.0, 0.0)), np.array([0.0, 7.0])) is None


def test_the_days_of_the_case_and_nothing_else() -> None:
    """The visit after the twelfth infusion: two days after it no longer lie in the prior's tail."""
    objective = objective_of(cs.load_case("sjogren_rfib"))
    stretch = stretch_of(objective)
    named = [objective.names[column] for column in stretch.curves]
    assert set(named) == {"day_before", "day_after4", "day_after12"}
    theta = np.zeros(len(objective.names))
    column = objective.names.index("day_after12")
    theta[column] = objective.priors[column].whitened(247.0)
    assert theta[column] < -2 < -0.8 < stretch.x(theta)[column]
