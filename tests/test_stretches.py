"""Coordinates that give sampling days room after infusions, against their own definition, closed forms, differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.likelihood import Objective, objective_of
from cellsim.priors import Prior
from cellsim.stretches import BUSY, POINTS, Stretch, day_curve, places_of, stretch_of

WINDOW = Prior("uniform", (21.0, 49.0))
GIVEN = np.array([0.0, 7.0, 21.0, 30.0, 49.0])
SHARE = 0.9


def told(day: float) -> float:
    """0 and 7 are over, 21 to 30 and 30 to 49 are the window's two intervals."""
    first, then = min(day, 30.0) - 21.0, max(day - 30.0, 0.0)
    return first / (first + BUSY) + then / (then + BUSY)


def test_the_coordinate_is_the_one_promised() -> None:
    """Phi(x) against (1 - w) F + w H, written out day by day."""
    curve = day_curve(WINDOW, GIVEN, share=SHARE)
    for day in [*np.linspace(21.05, 29.5, 30), *np.linspace(30.5, 48.95, 30)]:
        wanted = (1 - SHARE) * (day - 21) / 28 + SHARE * told(day) / told(49.0)
        assert float(WINDOW.value(curve(stats.norm.ppf(wanted)))) == pytest.approx(day, abs=2e-3)


# ---- how much room -------------------------------------------------------------------------------

BOX, DOSE, RATE, LOOSE = (0.0, 10.0), 4.0, 0.5, 0.8


def pulse(scatter: float, rate: float = RATE) -> Objective:
    """One, and a dose that fades at a known rate; read times a factor known to LOOSE, on a day within BOX."""
    case = tiny_case(
        f"x = 1; x' = -{rate}*(x - 1)",
        {"y": ("A*x", scatter)},
        [("y", 5.0, 3.0)],
        {"A": ("log-normal", 0.0, LOOSE)},
        doses=[(DOSE, "x", 20.0)],
        windows={5.0: BOX},
    )
    return objective_of(case)


def asked(scatter: float) -> float:
    """T by quadrature: with residual slopes a (day) and b (factor), 1 / (C^-1) = 1 + a^2 / (1 + b^2) by hand."""

    def more(theta: float) -> float:
        fading = 20.0 * np.exp(-RATE * (BOX[1] * stats.norm.cdf(theta) - DOSE))
        a = RATE * fading / (1 + fading) / scatter * BOX[1] * stats.norm.pdf(theta)
        return float(np.sqrt(1 + a**2 / (1 + (LOOSE / scatter) ** 2)) - 1)

    return float(integrate.quad(more, stats.norm.ppf(DOSE / BOX[1]), 4.0)[0])


@pytest.mark.parametrize("scatter", [0.05, 0.5, 2.0])
def test_room_is_what_rows_ask_for(scatter: float) -> None:
    """w = T^2 / (1 + T^2), read off the curve two of the six days between the dose and the end of the window."""
    objective = pulse(scatter)
    points = np.random.default_rng(1).standard_normal((POINTS, 2))  # the factor does not matter here
    ((column, curve),) = stretch_of(objective, points, rtol=1e-8).curves.items()
    whole = asked(scatter) ** 2
    share = whole / (1 + whole)
    below = (1 - share) * (6.0 / 10.0) + share * (2.0 / (2.0 + BUSY)) / (6.0 / (6.0 + BUSY))
    x = Stretch({0: curve}).x(np.array([objective.priors[column].whitened(DOSE + 2.0)]))
    assert 0.01 < share < 0.8
    assert stats.norm.cdf(x[0]) == pytest.approx(below, abs=0.05 * share)


def test_a_day_of_which_rows_say_nothing_stays_as_it_is() -> None:
    stretch = stretch_of(pulse(0.05, rate=0.0), np.zeros((1, 2)), rtol=1e-6)
    theta = np.linspace(-6, 6, 25)[:, None] * np.ones(2)
    # nothing fades, but the dose's jump is there: the curve is flat on both sides of it
    assert stretch.curves and stretch.x(theta) == pytest.approx(theta, abs=1e-6)


def test_a_window_before_every_infusion_is_left_alone() -> None:
    later = tiny_case(
        "x = 1; x' = -x", {"y": "x"}, [("y", 5.0, 3.0)], {}, doses=[(12.0, "x", 1.0)], windows={5.0: BOX}
    )
    assert not stretch_of(objective_of(later), np.zeros((1, 1)), rtol=1e-6).curves


def test_what_cannot_be_simulated_gets_no_room() -> None:
    """Points that overflow everywhere: the day is as its prior has it."""
    objective = pulse(0.05)
    theta = np.linspace(-6, 6, 25)[:, None] * np.ones(2)
    stretch = stretch_of(objective, np.full((2, 2), np.nan), rtol=1e-6)
    assert stretch.x(theta) == pytest.approx(theta, abs=1e-6)


windows = st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))


@given(windows, st.lists(st.floats(-20, 1e4), max_size=5), st.floats(0, 0.95))
def test_order_is_kept_whatever_the_window(
    window: tuple[float, float], infusions: list[float], share: float
) -> None:
    """Windows far from day zero and narrow ones, where neighbouring days are one number."""
    low, width = window
    prior = Prior("uniform", (low, low + width))
    days = np.array([*infusions, low, low + width / 2, low + width])
    places, curve = places_of(prior, days), day_curve(prior, days, share=share)
    assert np.all(np.diff(places) > 0) and np.all(np.isfinite(places))
    assert np.all(np.diff(curve.x) > 0) and np.all(np.isfinite(curve.x))


# ---- a change of coordinates ---------------------------------------------------------------------


@given(st.lists(st.floats(-12, 12), min_size=2, max_size=2))
def test_there_and_back(point: list[float]) -> None:
    stretch = Stretch({1: day_curve(WINDOW, GIVEN, share=SHARE)})
    theta = np.array(point)
    x = stretch.x(theta)
    assert x[0] == theta[0]
    assert stretch.theta(x) == pytest.approx(theta, abs=1e-12)


@given(st.floats(-11, 11))
def test_slopes_are_those_of_differences(place: float) -> None:
    curve, step = day_curve(WINDOW, GIVEN, share=SHARE), 1e-6
    assume(np.abs(curve.x - place).min() > 2 * step)  # at a knot the second derivative has two values
    stretch = Stretch({0: curve})
    slope, turn = stretch.slopes(np.array([place]))
    ahead, behind = (np.array([place + each]) for each in (step, -step))
    assert slope[0] == pytest.approx((stretch.theta(ahead) - stretch.theta(behind))[0] / (2 * step), rel=1e-6)
    later, sooner = (np.log(stretch.slopes(each)[0][0]) for each in (ahead, behind))
    assert turn[0] == pytest.approx((later - sooner) / (2 * step), abs=1e-4)


# ---- the case ------------------------------------------------------------------------------------


def test_the_days_of_the_case_and_nothing_else() -> None:
    """Two days after the twelfth infusion no longer lie in a tail; the visit before all infusions of rFib follows others."""
    objective = objective_of(cs.load_case("sjogren_rfib"))
    stretch = stretch_of(objective, np.zeros((1, len(objective.names))), rtol=1e-3)
    named = [objective.names[column] for column in stretch.curves]
    assert set(named) == {"day_before", "day_after4", "day_after12"}
    theta = np.zeros(len(objective.names))
    column = objective.names.index("day_after12")
    theta[column] = objective.priors[column].whitened(247.0)
    assert theta[column] < -2 < -1 < stretch.x(theta)[column]


def test_the_null_needs_no_room() -> None:
    """Without an effect of cells little depends on the days, and they stay nearly as the prior has them."""
    objective = objective_of(cs.load_case("sjogren_rfib"), variant="V0")
    stretch = stretch_of(objective, np.zeros((1, len(objective.names))), rtol=1e-3)
    theta = np.outer(stats.norm.ppf([0.05, 0.5, 0.95]), np.ones(len(objective.names)))
    assert stretch.x(theta) == pytest.approx(theta, abs=0.1)
