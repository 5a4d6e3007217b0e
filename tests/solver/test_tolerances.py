"""The absolute tolerance follows what a state is: closed forms and scipy at 1e-12, in both solvers and the likelihood."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from small_cases import tiny_case

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.errors import SimulationError
from cellsim.likelihood.formulation import objective_of
from cellsim.solver.integration import Doses, integrate

NONE = cs.Schedule()
GROWTH = np.log(5e8) / 10  # 1e-12 becomes 5e-4 in ten days
SOLVERS = ("rodas", "scipy")


def last(text: str, name: str, day: float, solver: str, schedule: cs.Schedule = NONE) -> float:
    return float(cs.simulate(cs.load_model(text), schedule, [0.0, day], solver=solver)[name][-1])  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e12])
def test_what_begins_small_grows_as_the_closed_form_says(size: float, solver: str) -> None:
    assert last(f"x = {size}; x' = {GROWTH}*x", "x", 10.0, solver) == pytest.approx(size * 5e8, rel=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_small_dose_into_nothing_grows_too(solver: str) -> None:
    given = cs.Schedule.at([1.0], cells=1e-12, product="x")
    found = last(f"x = 0; x' = {GROWTH}*x", "x", 11.0, solver, given)
    assert found == pytest.approx(5e-4, rel=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_something_small_feeds_grows_too(solver: str) -> None:
    """z' = r z + x with x = 1e-12 exp(-t): z = 1e-12 (exp(r t) - exp(-t))/(r + 1)."""
    text = f"x = 1e-12; x' = -x; z = 0; z' = {GROWTH}*z + x"
    right = 1e-12 * (5e8 - np.exp(-10.0)) / (GROWTH + 1)
    assert last(text, "z", 10.0, solver) == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("size", [1e-12, 1e8])
def test_a_chain_filled_from_nothing_is_right_in_any_unit(size: float, solver: str) -> None:
    """Transit compartments: the n-th holds t^n exp(-t)/n! of the dose."""
    chain = "; ".join(f"a{k} = 0; a{k}' = a{k - 1} - a{k}" for k in range(1, 8))
    found = last(f"a0 = {size}; a0' = -a0; {chain}", "a7", 3.0, solver)
    assert found == pytest.approx(size * 3.0**7 / 5040 * np.exp(-3.0), rel=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_nonlinear_model_in_tiny_units_is_what_scipy_says_at_1e_12(solver: str) -> None:
    """An infection that begins with 1e-12 of what it becomes."""
    text = "s = 1; s' = -2*s*v; v = 1e-12; v' = 2*s*v - 0.5*v"
    seen = solve_ivp(
        lambda t, y: [-2 * y[0] * y[1], 2 * y[0] * y[1] - 0.5 * y[1]],
        (0, 22), [1.0, 1e-12], "DOP853", t_eval=[15.0, 22.0], rtol=1e-12, atol=1e-30,
    ).y[1]  # fmt: skip
    found = cs.simulate(cs.load_model(text), NONE, [15.0, 22.0], solver=solver)["v"]  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx(seen.tolist(), rel=2e-4)


def test_lanes_follow_each_its_own_values() -> None:
    kernels = compile_equations(equations_of(cs.load_model(f"x = a; a = 1; x' = {GROWTH}*x"), ("x",)))
    sizes = np.array([[1e-12], [1.0], [1e-20], [1e6]])
    found = integrate(kernels, sizes, times=[10.0], lanes=4)
    assert found.outputs[:, 0, 0].tolist() == pytest.approx((5e8 * sizes[:, 0]).tolist(), rel=1e-4)


def test_a_state_that_stays_zero_costs_nothing_and_one_that_dies_out_does_not_hold_up_the_rest() -> None:
    text = "x = 1; x' = -50*x; y = 1; y' = -0.01*y; z = 0; z' = -z"
    kernels = compile_equations(equations_of(cs.load_model(text), ("y",)))
    found = integrate(kernels, np.zeros((1, 0)), times=[100.0])
    assert found.outputs[0, 0, 0] == pytest.approx(np.exp(-1.0), rel=1e-5)
    assert found.steps < 60


def test_a_given_absolute_tolerance_is_kept_to() -> None:
    kernels = compile_equations(equations_of(cs.load_model("x = 1; x' = -x"), ("x",)))
    doses = Doses(jumps=((20.0, "x", 1e-8),))
    loose = integrate(kernels, np.zeros((1, 0)), doses, [25.0], atol=1e-3)
    tight = integrate(kernels, np.zeros((1, 0)), doses, [25.0], atol=1e-16)
    exact = np.exp(-25.0) + 1e-8 * np.exp(-5.0)
    assert tight.outputs[0, 0, 0] == pytest.approx(exact, rel=1e-5)
    assert tight.steps > 2 * loose.steps


def test_the_likelihood_and_its_gradient_follow_the_values_too() -> None:
    """x = a exp(r t): the prediction, and its slopes x/a and x t."""
    case = tiny_case(
        f"a = 1e-12; r = {GROWTH}; x = a; x' = r*x",
        {"y": "x"},
        [("y", 10.0, 5e-4)],
        {"a": ("log-normal", float(np.log(1e-12)), 1.0), "r": ("normal", GROWTH, 0.1)},
    )
    objective = objective_of(case)
    seen = objective.evaluate(np.zeros(2), gradient=True)
    assert seen.predicted[0] == pytest.approx(5e-4, rel=3e-3)  # at the likelihood's own relative tolerance
    assert objective.evaluate(np.zeros(2), rtol=1e-9).predicted[0] == pytest.approx(5e-4, rel=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e6])
@pytest.mark.parametrize(
    ("rate", "right"),
    [
        ("max(0, 1 - 100*abs(time - 200))", 0.01),
        ("max(0, 1 - 10*abs(time - 20000))", 0.1),
        ("max(0, 1 - 1e5*abs(time - 20))", 1e-5),
        ("piecewise(1000*(time - 199.999), time > 199.999 && time < 200, 0)", 5e-4),
        ("max(0, min(1, 1000*(time - 20.3))) - max(0, min(1, 1000*(time - 20.9)))", 0.6),
    ],
)
def test_a_ramp_lifts_a_state_that_has_been_zero(rate: str, right: float, unit: float) -> None:
    """At the turn the rate is rounding, and so is its time scale. Witness: areas of triangles and a trapezoid."""
    model = cs.load_model(f"x = 0; x' = {unit:g}*({rate})")
    found = cs.simulate(model, cs.Schedule(), [20100.0])["x"]
    assert float(found[0]) == pytest.approx(unit * right, rel=1e-6)


# ---- what falls out of sight and grows again --------------------------------------------------------------

KILLED = "x = 1; x' = r*x*(1 - x) - k*x*piecewise(1, time < 5, 0); r = 1; k = 5"


def killed(t: np.ndarray, r: float, k: float) -> np.ndarray:
    """Logistic growth, killed at rate k until day 5: 1/x is linear before and after (Bernoulli)."""

    def onwards(u: float | np.ndarray, a: float, days: np.ndarray) -> np.ndarray:
        return (u - r / a) * np.exp(-a * days) + r / a

    return 1 / onwards(onwards(1.0, r - k, np.minimum(t, 5.0)), r, np.maximum(t - 5.0, 0.0))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("k", [3.0, 4.7, 5.3, 6.0, 8.0, 21.0, 41.0])
def test_what_falls_out_of_sight_and_grows_again_is_followed(k: float, solver: str) -> None:
    """ln x falls by 5 (k - 1), to e^-200 at most, and grows back; at mid height the error of the fall is seen in full."""
    days = np.array([5.0, 5 + 2.5 * (k - 1), 5 + 5 * (k - 1), 9 + 5 * (k - 1)])
    seen = cs.simulate(cs.load_model(KILLED), cs.Schedule(), days, values={"k": k}, solver=solver)
    assert seen["x"] == pytest.approx(killed(days, 1.0, k), rel=3e-4)


@pytest.mark.parametrize(("rtol", "precise"), [(1e-6, 1e-4), (1e-4, 5e-3)])
def test_it_is_followed_in_lanes_and_as_loosely_as_the_likelihood_asks(rtol: float, precise: float) -> None:
    """Sets that need it and sets that do not, side by side."""
    kernels = compile_equations(equations_of(cs.load_model(KILLED), ["x"]))
    sets = np.array([[1.0, k] for k in (2.0, 6.0, 8.0, 1.5, 21.0, 11.0, 3.0, 41.0, 1.2)])
    days = np.array([5.0, 25.0, 40.0, 80.0, 210.0])
    found = integrate(kernels, sets, times=days, rtol=rtol, peak_share=0.1)
    assert not found.status.any()
    for (r, k), seen in zip(sets, found.outputs[:, :, 0], strict=True):
        assert seen == pytest.approx(killed(days, r, k), rel=precise)


def test_its_slopes_are_those_of_the_closed_form() -> None:
    kernels = compile_equations(equations_of(cs.load_model(KILLED), ["x"]))
    days = np.array([38.0, 42.0])
    found = integrate(kernels, [1.0, 8.0], times=days, peak_share=0.1, directions=["r", "k"])
    assert found.sensitivities is not None
    for j, (dr, dk) in enumerate([(1e-5, 0.0), (0.0, 1e-5)]):
        exact = (killed(days, 1 + dr, 8 + dk) - killed(days, 1 - dr, 8 - dk)) / 2e-5
        assert found.sensitivities[0, :, 0, j] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_that_feed_each_other_are_followed_together(solver: str) -> None:
    """From equal values s and b stay equal, and ln s is the integral of g: -40 on day 5, 0 on day 25."""
    text = "s = 1; b = 1; s' = b - s + g*s; b' = s - b + g*b; g := piecewise(-8, time < 5, 2)"
    days = np.array([5.0, 20.0, 25.0])
    seen = cs.simulate(cs.load_model(text), cs.Schedule(), days, solver=solver)
    assert np.log(seen["s"]) == pytest.approx([-40.0, -10.0, 0.0], abs=2e-3)
    assert np.log(seen["b"]) == pytest.approx([-40.0, -10.0, 0.0], abs=2e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_no_number_holds_is_refused_not_forgotten(solver: str) -> None:
    """x falls by e^-745 or so, where doubles end, and grows again."""
    with pytest.raises(SimulationError, match="grows by itself from less than"):
        cs.simulate(cs.load_model(KILLED), cs.Schedule(), [0, 800], values={"k": 150.0}, solver=solver)


def test_what_is_filled_from_elsewhere_is_not_run_again() -> None:
    """A dose washed out to e^-200 of itself, and the next one: its error is forgotten, not grown."""
    model = cs.load_model("g = 0; c = 0; e = 0; g' = -50*g; c' = 50*g - 20*c; e' = c - 10*e")
    kernels = compile_equations(equations_of(model))
    doses = Doses(jumps=((0.0, "g", 1.0), (10.0, "g", 1.0)))
    once = integrate(kernels, [], Doses(jumps=doses.jumps[:1]), [9.0])
    assert integrate(kernels, [], doses, [19.0]).steps < 3 * once.steps
