"""The integrator against closed forms, published end values and itself."""

import numpy as np
import pytest
import sympy as sp
from oracles import STIFF, OneCompartment, Stiff, system

from cellsim.compiler.equations import Equations, Trigger
from cellsim.compiler.kernels import compile_equations
from cellsim.errors import SimulationError
from cellsim.solver.integration import Doses, integrate


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("problem", STIFF, ids=lambda each: each.name)
def test_stiff_problems_within_a_few_times_the_tolerance(problem: Stiff, tolerance: float) -> None:
    kernels = compile_equations(problem.equations)
    atol = tolerance * problem.smallest
    found = integrate(
        kernels, np.zeros((1, 0)), Doses(), [problem.end], rtol=tolerance, atol=atol, max_steps=400_000
    )
    assert found.messages == ("",)
    expected = np.array(problem.values)
    error = np.abs(found.states[0, 0] - expected) / (tolerance * np.abs(expected) + atol)
    assert error.max() < problem.allowed, dict(zip(problem.equations.states, error, strict=True))


def test_decay_under_jump_and_input_matches_closed_form() -> None:
    problem = OneCompartment()
    kernels = compile_equations(problem.equations)
    times = np.linspace(0, 8, 33)
    doses = Doses(jumps=((1.0, "x", 5.0),), rates=((2.0, 4.0, "x", 3.0),))
    found = integrate(kernels, [0.7, 2.0], doses, times, rtol=1e-8, atol=1e-10, output_rates=True)
    x = problem.state(times, 0.7, 2.0)
    assert found.states[0, :, 0] == pytest.approx(x, rel=1e-8)
    assert found.outputs[0, :, 0] == pytest.approx(0.7 * x**2, rel=1e-8)
    flow = 3.0 * ((times >= 2.0) & (times < 4.0))
    assert found.output_rates is not None
    assert found.output_rates[0, :, 0] == pytest.approx(2 * 0.7 * x * (flow - 0.7 * x), rel=1e-7)


def test_a_time_event_is_a_break_point_and_resets_states() -> None:
    x, time, when = sp.symbols("x time when")
    reset = Trigger("reset", sp.Ge(time, when), (("x", x / 2 + 1),))
    equations = Equations(("x",), ("when",), (-x,), (sp.Integer(1),), events=(reset,))
    found = integrate(compile_equations(equations), [[1.0], [2.0]], Doses(), [0.5, 1.0, 2.0], rtol=1e-9)
    one = np.exp(-1) / 2 + 1
    assert found.states[0, :, 0] == pytest.approx([np.exp(-0.5), one, one * np.exp(-1)], rel=1e-8)
    assert found.states[1, :, 0] == pytest.approx([np.exp(-0.5), np.exp(-1), np.exp(-2) / 2 + 1], rel=1e-8)


def test_a_state_event_is_located_on_the_dense_output() -> None:
    h, v = sp.symbols("h v")
    bounce = Trigger("bounce", sp.Lt(h, 0) & sp.Lt(v, 0), (("v", -v), ("h", sp.Integer(0))))
    ball = Equations(("h", "v"), (), (v, sp.Integer(-2)), (sp.Integer(1), sp.Integer(0)), events=(bounce,))
    found = integrate(
        compile_equations(ball), np.zeros((1, 0)), Doses(), [0.5, 1.0, 2.0, 3.0, 9.0], rtol=1e-8
    )
    assert found.states[0, :, 0] == pytest.approx(
        [0.75, 0.0, 1.0, 0.0, 0.0], abs=1e-7
    )  # an elastic ball, period 2


def test_non_autonomous_rates_use_a_clock() -> None:
    kernels = compile_equations(system({"x": "-x + time"}))
    found = integrate(kernels, np.zeros((1, 0)), Doses(), [1.0, 4.0], start=-1.0, rtol=1e-8, atol=1e-12)
    expected = [t - 1 + 2 * np.exp(-(t + 1)) for t in (1.0, 4.0)]
    assert found.states[0, :, 0] == pytest.approx(expected, rel=1e-8)


def test_two_half_doses_are_one() -> None:
    kernels = compile_equations(OneCompartment().equations)
    times = [1.0, 2.0]
    one = integrate(kernels, [0.7, 2.0], Doses(jumps=((1.0, "x", 5.0),)), times)
    two = integrate(kernels, [0.7, 2.0], Doses(jumps=((1.0, "x", 2.5), (1.0, "x", 2.5))), times)
    assert np.array_equal(one.states, two.states)


def test_impossible_doses_are_refused_all_at_once() -> None:
    kernels = compile_equations(OneCompartment().equations)
    doses = Doses(jumps=((-1.0, "x", 5.0), (1.0, "y", 5.0)), rates=((2.0, 1.0, "x", 1.0),))
    with pytest.raises(SimulationError) as caught:
        integrate(kernels, [0.7, 2.0], doses, [3.0])
    assert len(caught.value.problems) == 3


def test_doses_nearer_than_any_step_are_refused_in_words() -> None:
    kernels = compile_equations(OneCompartment().equations)
    near = integrate(
        kernels, [0.7, 2.0], Doses(jumps=((0.0, "x", 1.0), (1e-300, "x", 2.0))), [1.0], rtol=1e-9
    )
    assert near.states[0, 0, 0] == pytest.approx(5 * np.exp(-0.7), rel=1e-8)
    with pytest.raises(SimulationError, match=r"at time 0 and again at .*-324: nearer than any step"):
        integrate(kernels, [0.7, 2.0], Doses(jumps=((5e-324, "x", 1.0),)), [1.0])


def test_an_explosion_is_a_status_and_the_neighbours_finish() -> None:
    kernels = compile_equations(system({"x": "a*x**2 - x"}, "a", x=1.0))
    found = integrate(kernels, [[0.1], [2.0], [0.2]], Doses(), [0.5, 5.0], lanes=2, rtol=1e-8)
    assert found.status.tolist() in ([0, 1, 0], [0, 3, 0])
    assert "x" in found.messages[1]
    assert np.isnan(found.states[1, 1, 0])
    exact = [1 / (a + (1 - a) * np.exp(5.0)) for a in (0.1, 0.2)]
    assert found.states[[0, 2], 1, 0] == pytest.approx(exact, rel=1e-6)


def test_a_parameter_that_is_not_a_number_fails_its_own_set_only() -> None:
    kernels = compile_equations(OneCompartment().equations)
    found = integrate(kernels, [[np.nan, 1.0], [0.7, 2.0], [0.7, np.inf]], Doses(), [0.0, 1.0], lanes=4)
    assert found.status.tolist() == [3, 0, 3]
    assert found.states[1, 1, 0] == pytest.approx(2.0 * np.exp(-0.7), rel=1e-5)
    assert np.isnan(found.states[[0, 2], 1, 0]).all()


def test_too_many_steps_says_when_and_where() -> None:
    kernels = compile_equations(OneCompartment().equations)
    found = integrate(kernels, [0.7, 2.0], Doses(), [1.0], rtol=1e-12, max_steps=3)
    assert found.status.tolist() == [2]
    assert "too many steps" in found.messages[0]
    assert "x" in found.messages[0]


def test_nothing_to_integrate_is_no_trouble() -> None:
    k, time = sp.symbols("k time")
    still = compile_equations(Equations((), ("k",), (), (), (k * time, 2 * k), ("line", "flat")))
    found = integrate(still, [3.0], Doses(), [1.0, 4.0])
    assert found.outputs[0].tolist() == [[3.0, 6.0], [12.0, 6.0]]
    flat = compile_equations(Equations((), ("k",), (), (), (2 * k,), ("flat",)))
    found = integrate(flat, [3.0], Doses(), [1.0], directions=["k"])
    assert found.outputs.ravel().tolist() == [6.0]
    assert found.sensitivities is not None
    assert found.sensitivities.ravel().tolist() == [2.0]
    none = integrate(compile_equations(OneCompartment().equations), np.zeros((0, 2)), Doses(), [1.0])
    assert none.states.shape == (0, 1, 1)


def test_a_switch_in_time_is_found_by_the_error_control() -> None:
    x, k, time = sp.symbols("x k time")
    rate = sp.Piecewise((k, time < 5), (sp.Integer(0), True)) - x
    kernels = compile_equations(Equations(("x",), ("k",), (rate,), (sp.Integer(0),)))
    found = integrate(kernels, [1.0], Doses(), [4.0, 6.0], rtol=1e-6, atol=1e-9)
    assert found.states[0, :, 0] == pytest.approx([1 - np.exp(-4), (1 - np.exp(-5)) * np.exp(-1)], rel=1e-5)
