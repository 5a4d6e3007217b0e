"""The part of a model that is asked about: the same numbers as the whole, from fewer equations."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from small_cases import tiny_case

import cellsim as cs
from cellsim.likelihood.formulation import objective_of
from cellsim.predictions.bands import QUANTILES, bands
from cellsim.predictions.part import part_behind


def network(seed: int) -> tuple[cs.Model, list[str], np.ndarray]:
    """A linear network x' = A x of six states, with its rates that are 0, and A."""
    random = np.random.default_rng(seed)
    size = 6
    links = (random.random((size, size)) < 0.3) & ~np.eye(size, dtype=bool)
    zero = links & (random.random((size, size)) < 0.4)
    lines = ["model net()"]
    for i in range(size):
        parts = [f"k_{i}_{j}*x{j}" for j in np.flatnonzero(links[i])]
        lines.append(f"  x{i}' = {' + '.join(['-x' + str(i), *parts])}; x{i} = {i + 1}")
    lines += [f"  k_{i}_{j} = {0.0 if zero[i, j] else 0.3}" for i, j in np.argwhere(links)]
    names = [f"k_{i}_{j}" for i, j in np.argwhere(zero)]
    return (
        cs.load_model("\n".join([*lines, "end"])),
        names,
        np.where(links & ~zero, 0.3, 0.0) - np.eye(size),
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_what_is_kept_of_a_linear_network_is_what_its_matrix_says_is_upstream(
    seed: int,
) -> None:
    """Witness: the states j of which (I + |A|)^n leads to the one asked for."""
    model, zero, matrix = network(seed)
    part = part_behind(model, [sp.Symbol("x0")], zero=zero)
    upstream = np.linalg.matrix_power(np.eye(6) + np.abs(matrix), 6)[0] > 0
    assert {each.name for each in part.states} == {f"x{j}" for j in np.flatnonzero(upstream)}
    assert part.parameters == model.parameters


@pytest.mark.parametrize("seed", [0, 2])
def test_the_part_of_a_network_moves_as_the_whole_does(seed: int) -> None:
    """Witness: the matrix exponential of the whole."""
    model, zero, matrix = network(seed)
    part = part_behind(model, [sp.Symbol("x0")], zero=zero)
    assert len(part.states) < 6
    found = cs.simulate(part, cs.Schedule(), [0.0, 1.5, 3.0])["x0"]
    exact = [(expm(matrix * t) @ np.arange(1.0, 7.0))[0] for t in (0.0, 1.5, 3.0)]
    assert np.asarray(found) == pytest.approx(exact, rel=1e-5)


def test_events_and_assignments_bring_what_they_use() -> None:
    """x is set by an event that waits for w; z and what only it needs are gone, the event's other part too."""
    model = cs.load_model(
        "v = 2; w = 0; w' = 1; u = 1; u' = -u; y := 2*x; x = v; x' = -x; z = 0; z' = u; q := z + 1; at (w > 1): x = 5, z = 7"
    )
    part = part_behind(model, [sp.Symbol("y")])
    assert {each.name for each in part.states} == {"w", "x"}
    assert [each.name for each in part.assignments] == ["y"]
    [event] = part.events
    assert [name for name, _ in event.assignments] == ["x"]
    whole, less = (cs.simulate(each, cs.Schedule(), [0.5, 1.0, 2.0])["x"] for each in (model, part))
    assert np.asarray(less) == pytest.approx(np.asarray(whole), rel=1e-5)


def test_what_has_no_value_at_nought_keeps_its_name() -> None:
    """1/w at w = 0 is no number: the formula stays, and with it all that it uses."""
    model = cs.load_model("x = 1; x' = -x/w + w*z; z = 1; z' = 0; w = 0")
    assert {each.name for each in part_behind(model, [sp.Symbol("x")], zero=["w"]).states} == {"x", "z"}


def test_a_formula_of_no_state_leaves_the_model_as_it_is() -> None:
    model = cs.load_model("x = 1; x' = -k*x; k = 2")
    assert part_behind(model, [sp.Symbol("k")]) == model


def test_bands_integrate_what_they_show_and_no_more() -> None:
    """Beside x and y stand states that neither depends on, one of which has no value after day 1. Witness: the closed forms of x and y."""
    case = tiny_case(
        "x = 2; y = 0; x' = -k*x; y' = k*x; z = 1; z' = z^2; w = 0; w' = x; v = 0; v' = w; u = 0; u' = v; k = 0.5",
        {"seen": "x"},
        [("seen", 0.5, 1.6)],
        {"k": ("log-normal", float(np.log(0.5)), 0.3)},
    )
    objective = objective_of(case)
    found = bands(objective, ["x", "y"], start=0, end=5, draws=9, seed=2)
    assert found.lost == 0
    rates = 0.5 * np.exp(0.3 * np.random.default_rng(2).standard_normal((9, 1)))
    left = 2 * np.exp(-rates * found.times)
    for name, each in (("x", left), ("y", 2 - left)):
        np.testing.assert_allclose(found.curves[name], np.quantile(each, QUANTILES, axis=0), atol=2e-4)
