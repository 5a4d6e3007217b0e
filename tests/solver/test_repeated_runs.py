"""Small simulations asked for again and again, whose room is kept between them: each is as if it were the first.

Witnesses are closed forms.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sympy as sp

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.solver.integration import Doses, Solution, integrate

DAYS = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
RATES = (0.3, 1.0, 0.7, 2.0, 0.3)


def decay() -> Kernels:
    x, k = sp.symbols("x k")
    return compile_equations(
        Equations(("x",), ("k",), (-k * x,), (sp.Integer(3),), outputs=(x,), output_names=("x",))
    )


def test_each_has_its_own_values_and_keeps_its_results() -> None:
    kernels = decay()
    found = [integrate(kernels, [k], times=DAYS, rtol=1e-8, directions=["k"]) for k in RATES]
    for k, each in zip(RATES, found, strict=True):
        assert each.outputs[0, :, 0] == pytest.approx(3 * np.exp(-k * DAYS), rel=1e-6)
        assert each.states[0] == pytest.approx(each.outputs[0])
        assert each.sensitivities is not None
        assert each.sensitivities[0, :, 0, 0] == pytest.approx(-3 * DAYS * np.exp(-k * DAYS), abs=1e-6)
        assert each.steps > 0 and each.messages == ("",)
    assert found[0].steps == found[-1].steps
    assert np.array_equal(found[0].outputs, found[-1].outputs)


def test_states_at_the_start_doses_and_rates_of_outputs_are_each_call_s_own() -> None:
    kernels, dosed = decay(), Doses(jumps=((1.0, "x", 5.0),))
    for first, k in ((2.0, 0.5), (7.0, 0.1), (2.0, 0.5)):
        given = integrate(
            kernels, [k], dosed, DAYS, start_states=[first], rtol=1e-8, output_rates=True, keep_states=False
        )
        exact = first * np.exp(-k * DAYS) + 5 * np.exp(-k * (DAYS - 1)) * (DAYS >= 1)
        assert given.outputs[0, :, 0] == pytest.approx(exact, rel=1e-6)
        assert given.output_rates is not None
        assert given.output_rates[0, :, 0] == pytest.approx(-k * exact, rel=1e-6)
        own = integrate(kernels, [k], times=DAYS, rtol=1e-8)
        assert own.outputs[0, :, 0] == pytest.approx(3 * np.exp(-k * DAYS), rel=1e-6)


def test_one_that_fails_leaves_nothing_to_the_next() -> None:
    """x' = k x^2 from 1 is 1/(1 - k t), for k = 0.8 no further than day 1.25."""
    x, k = sp.symbols("x k")
    kernels = compile_equations(
        Equations(("x",), ("k",), (k * x**2,), (sp.Integer(1),), outputs=(x,), output_names=("x",))
    )
    for rate in (0.1, 0.2, 0.8, 0.2, 0.8, 0.1):
        found = integrate(kernels, [rate], times=DAYS, rtol=1e-8, directions=["k"])
        right = 1 / (1 - rate * DAYS)
        assert found.sensitivities is not None
        if rate < 0.8:
            assert found.messages == ("",)
            assert found.outputs[0, :, 0] == pytest.approx(right, rel=1e-6)
            assert found.sensitivities[0, :, 0, 0] == pytest.approx(DAYS * right**2, rel=1e-6)
        else:
            assert found.status[0] and found.messages[0]
            assert np.isnan(found.outputs[0, 3:]).all() and np.isnan(found.sensitivities[0, 3:]).all()
            assert found.outputs[0, :3, 0] == pytest.approx(right[:3], rel=1e-6)


def test_threads_do_not_share_what_is_kept() -> None:
    kernels = decay()
    integrate(kernels, [1.0], times=DAYS, directions=["k"])

    def one(rate: float) -> Solution:
        return integrate(kernels, [rate], times=DAYS, rtol=1e-8, directions=["k"])

    rates = np.linspace(0.1, 2.0, 200)
    with ThreadPoolExecutor(4) as pool:
        for rate, found in zip(rates, pool.map(one, rates.tolist()), strict=True):
            assert found.outputs[0, :, 0] == pytest.approx(3 * np.exp(-rate * DAYS), rel=1e-6)
            assert found.sensitivities is not None
            assert found.sensitivities[0, :, 0, 0] == pytest.approx(
                -3 * DAYS * np.exp(-rate * DAYS), abs=1e-6
            )
