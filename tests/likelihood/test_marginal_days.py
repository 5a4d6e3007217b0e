"""The posterior without its sampling days, against scipy's quadrature of the posterior with them, and differences."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats
from small_cases import PULSES, pulses_log_density, tiny_case
from small_cases import pulses as pulses_case

import cellsim as cs
from cellsim.likelihood import marginal_days as unknown_days
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective

BOX, DOSES = PULSES["box"], PULSES["doses"]


@cache
def pulses(scatter: float = 0.1) -> Objective:
    return objective_of(pulses_case(scatter))


def joint(objective: Objective, theta: np.ndarray, rtol: float) -> float:
    found = objective.evaluate(theta, rtol=rtol)
    return float(found.log_likelihood.sum()) - 0.5 * float(theta @ theta)


def integrated(objective: Objective, column: int, eta: float) -> float:
    """ln of the integral over the day, by scipy, in pieces between what the doses break."""

    def density(theta: float) -> float:
        point = np.insert(np.array([eta]), column, theta)
        return np.exp(joint(objective, point, 1e-9) + 0.5 * eta**2) / np.sqrt(2 * np.pi)

    edges = [-5.0, *stats.norm.ppf(np.array(DOSES) / BOX[1]), 5.0]
    parts = [integrate.quad(density, a, b, limit=400, epsabs=0, epsrel=1e-7)[0] for a, b in pairwise(edges)]
    return float(np.log(sum(parts))) - 0.5 * eta**2


@pytest.mark.parametrize("scatter", [0.1, 0.6])
@pytest.mark.parametrize("eta", [-1.0, 0.3, 1.5])
def test_value_is_the_integral(scatter: float, eta: float) -> None:
    objective = pulses(scatter)
    column = objective.names.index("day_v0")
    found = WithoutDays(objective, 1e-9).density(np.array([eta]))
    assert found.value == pytest.approx(integrated(objective, column, eta), abs=3e-3)


@pytest.fixture
def every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that hardly matter are differentiated, too."""
    monkeypatch.setattr(unknown_days, "_NEGLIGIBLE", 1e-15)


@pytest.mark.usefixtures("every_node")
@pytest.mark.parametrize("eta", [-1.0, 0.3, 1.5])
def test_gradient_and_curvature_are_those_of_the_value(eta: float) -> None:
    """ln A is linear in eta, so the curvature after Gauss, Newton and Louis is exact."""
    without, step = WithoutDays(pulses(0.6), 1e-9), 1e-3
    before, here, after = (without.density(np.array([eta + d])) for d in (-step, 0.0, step))
    assert here.gradient[0] == pytest.approx((after.value - before.value) / (2 * step), abs=1e-4)
    curved = -(after.value - 2 * here.value + before.value) / step**2
    assert without.curvature(np.array([eta]))[0, 0] == pytest.approx(curved, rel=1e-3)  # type: ignore[index]


def test_a_day_that_says_more_about_the_rest_than_it_is_known_by_keeps_the_curvature_positive() -> None:
    """Between two explanations of one row the log density is a mode: its own curvature is below nought there."""
    without = WithoutDays(pulses(0.1), 1e-8)
    etas, step = np.linspace(-1.5, 1.5, 31), 1e-2
    values = {
        d: np.array([without.density(np.array([e + d])).value for e in etas]) for d in (-step, 0.0, step)
    }
    curved = -(values[step] - 2 * values[0.0] + values[-step]) / step**2
    found = np.array([without.curvature(np.array([e]))[0, 0] for e in etas])  # type: ignore[index]
    assert np.all(found > 0)
    high = curved > 1
    assert found[high] == pytest.approx(curved[high], rel=0.05)


def test_a_draw_and_the_place_it_was_drawn_at_have_the_density_of_both() -> None:
    """p(eta) p(day | eta) = p(eta, day), term by term, at the same tolerance."""
    objective = pulses(0.1)
    without, random = WithoutDays(objective, 1e-8), np.random.default_rng(3)
    for eta in (-1.0, 0.3, 1.5):
        place = np.array([eta])
        value = without.density(place).value
        for _ in range(20):
            theta, more = without.drawn(place, random)
            assert theta[without.columns] == pytest.approx(place)
            assert value + more == pytest.approx(joint(objective, theta, 1e-8), abs=0.05)


def test_draws_for_many_do_not_depend_on_threads() -> None:
    without = WithoutDays(pulses(0.1), 1e-6)
    etas = np.linspace(-1, 1, 12)[:, None]
    first, second = without.drawn_all(etas, seed=1), without.drawn_all(etas, seed=1)
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert len({*first[0][:, without.objective.names.index("day_v0")]}) == 12


def test_copies_of_a_draw_have_the_days_that_each_would_have_alone() -> None:
    """Witness: one place at a time, by the generator that the seed gives it."""
    without = WithoutDays(pulses(0.1), 1e-9)
    etas = np.array([[0.3], [-0.8], [0.3], [0.3], [-0.8]])
    thetas, more = without.drawn_all(etas, seed=4)
    randoms = [np.random.default_rng(each) for each in np.random.SeedSequence(4).spawn(5)]
    alone = [without.drawn(eta, random) for eta, random in zip(etas, randoms, strict=True)]
    assert thetas == pytest.approx(np.array([theta for theta, _ in alone]), abs=1e-5)
    assert more == pytest.approx([each for _, each in alone], abs=1e-4)


def test_nodes_of_many_places_are_those_of_each() -> None:
    """The scalar path is the witness; a place that cannot be simulated takes nothing from its neighbours."""
    without = WithoutDays(pulses(0.1), 1e-7)
    etas = np.array([[0.3], [np.nan], [-0.8]])
    found = without.by_node(etas)
    assert isinstance(found[1], str)
    for k in (0, 2):
        assert found[k][0] == pytest.approx(without.by_node(etas[k : k + 1])[0][0], abs=1e-4)
    twice = without.drawn_all(np.tile(etas[:1], (5, 1)), seed=1)[0][:, without.visits[0].column]
    assert len({*twice.tolist()}) == 5


def test_a_simulation_that_fails_has_no_density() -> None:
    without = WithoutDays(pulses(0.1), 1e-6)
    lost = np.array([np.nan])
    found = without.density(lost)
    assert found.value == -np.inf and found.failure and np.all(found.gradient == 0)
    assert without.curvature(lost) is None
    theta, more = without.drawn(lost, np.random.default_rng(0))
    assert np.all(np.isnan(theta)) and np.isnan(more)


def test_days_that_are_known_change_nothing() -> None:
    case = tiny_case(
        "x = 1; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 0.3)], {"k": ("log-normal", 0.0, 0.7)}
    )
    objective = objective_of(case)
    without, theta = WithoutDays(objective, 1e-6), np.array([0.4])
    assert without.columns.tolist() == [0]
    assert without.density(theta).value == joint(objective, theta, 1e-6)
    found = objective.evaluate(theta, gradient=True, rtol=1e-6)
    assert without.density(theta).gradient == pytest.approx(-found.gradient)
    assert without.drawn(theta, np.random.default_rng(0)) == (theta, 0.0)


def test_a_posterior_with_a_mode_after_each_dose_is_that_of_quadrature() -> None:
    """After which dose the sample was taken, and how soon: the joint density on a grid of both parameters, in closed form."""
    objective = pulses(0.6)
    post = cs.sample(cs.calibrate(objective.case, starts=4), method="nuts", draws=500, tune=150, seed=4)
    factor, day = np.linspace(-4, 4, 81), np.linspace(-4, 4, 801)
    logs = pulses_log_density(factor[:, None], day, 0.6)
    for k, j in ((32, 440), (52, 250)):  # and the objective is that density
        assert joint(objective, np.array([factor[k], day[j]]), 1e-8) == pytest.approx(
            logs[k, j] + np.log(2 * np.pi), abs=1e-5
        )
    fine = np.exp(logs - logs.max())
    second = stats.norm.ppf(DOSES[1] / BOX[1])
    later = float(fine[:, day > second].sum() / fine.sum())
    assert post.objective.names == ("A", "day_v0") and 0.1 < later < 0.9
    assert np.mean(post.flat[:, 1] > second) == pytest.approx(later, abs=0.04)
    mean = float(fine.sum(axis=1) @ factor / fine.sum())
    assert post.flat[:, 0].mean() == pytest.approx(mean, abs=0.08)
    assert not post.doubts


# ---- the case ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("every_node")
def test_the_case_without_its_days() -> None:
    """All days of samples go; the gradient is that of differences, and days drawn have the density of both."""
    objective = objective_of(cs.load_case("sjogren_rfib"))
    without = WithoutDays(objective, 1e-6)
    left = [objective.names[k] for k in without.columns]
    assert {*objective.names} - {*left} == {"day_before", "day_after4", "day_after12"}
    random = np.random.default_rng(2)
    for _ in range(2):
        eta, along = 0.5 * random.standard_normal(len(left)), random.standard_normal(len(left)) * 1e-4
        ahead, behind = (without.density(eta + each).value for each in (along, -along))
        here = without.density(eta)
        assert here.gradient @ along == pytest.approx((ahead - behind) / 2, rel=1e-4, abs=1e-7)
        theta, more = without.drawn(eta, random)
        assert here.value + more == pytest.approx(joint(objective, theta, 1e-6), abs=0.05)


def test_nodes_that_hold_next_to_nothing_cost_the_gradient_next_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the gradient with all of them."""
    objective = objective_of(cs.load_case("sjogren_rfib"))
    without = WithoutDays(objective, 1e-4)
    eta = 0.5 * np.random.default_rng(2).standard_normal(without.columns.size)
    some = without.density(eta)
    monkeypatch.setattr(unknown_days, "_NEGLIGIBLE", 0.0)
    every = without.density(eta)
    assert some.value == every.value
    lost = np.linalg.norm(some.gradient - every.gradient)
    assert 0 < lost < 3e-3 * np.linalg.norm(every.gradient)
