"""Simulations side by side: conditions looked for by the states they read, samples of all lanes at once, lanes given up."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp
from oracles import system

from cellsim.compiler.kernels import compile_equations
from cellsim.solver.integration import Doses, integrate
from cellsim.solver.step_control import stays_above


@pytest.mark.parametrize("seed", range(20))
def test_a_polynomial_said_to_stay_above_a_level_does(seed: int) -> None:
    """Against the quartic itself at 400 places; and it is said wherever the quartic keeps well away from the level."""
    rng = np.random.default_rng(seed)
    said = []
    for _ in range(50):
        values, level, sign = rng.normal(rng.uniform(0, 3), 1, 5), rng.normal(), rng.choice([-1.0, 1.0])
        quartic = np.polynomial.Polynomial.fit(np.arange(5) / 4, values, 4)
        least = (sign * quartic(np.linspace(0, 1, 400))).min()
        found = stays_above.py_func(values, 1, 0, sign, level)
        assert not found or least > level - 1e-12
        if least > level + 4 * np.ptp(values):
            said.append(found)
    assert all(said)


def test_days_below_a_level_in_lanes_are_those_of_the_closed_form() -> None:
    """x' = -k x from 5, among states before and after it that move: below 1 from ln(5)/k on, in every lane its own."""
    others = {f"z{i}": f"cos({i + 1}*time) - z{i}" for i in range(6)}
    rates = {**dict(list(others.items())[:3]), "x": "-k*x", **dict(list(others.items())[3:])}
    kernels = compile_equations(
        system({**rates, "below": "Piecewise((1, x < 1), (0, True))"}, "k", x=5.0, z1=1.0, z5=-2.0)
    )
    assert [kernels.equations.states[i] for i in kernels.system.turning if i < 8] == ["x"]
    rates_of = np.geomspace(0.2, 2, 16)[:, None]
    times = np.linspace(0, 20, 41)
    found = integrate(kernels, rates_of, times=times, lanes=8, rtol=1e-8)
    place = kernels.equations.states.index("below")
    exact = np.maximum(times - np.log(5) / rates_of, 0)
    assert found.states[:, :, place] == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("plans", [1, 2])
def test_lanes_given_up_say_nothing_and_the_others_everything(shared: bool, plans: int) -> None:
    """x' = x^2 from c ends at 1/c: x = c/(1 - c t) before, nan from there on, whatever the lanes beside it do."""
    equations = system({"y": "-y", "x": "x**2"}, "c")
    kernels = compile_equations(replace(equations, initials=(sp.Integer(1), sp.Symbol("c"))))
    start = np.array([0.01, 0.9, 0.02, 0.4, 0.03, 0.05, 0.2, 0.01])
    times = np.linspace(0, 4.2, 43)
    doses = (Doses(), Doses(jumps=((2.0, "y", 1.0),)))[:plans]
    found = integrate(
        kernels,
        np.tile(start, plans)[:, None],
        [each for each in doses for _ in start] if plans > 1 else doses[0],
        times if shared else np.tile(times, (len(start) * plans, 1)),
        lanes=8,
        rtol=1e-8,
    )
    ends = 1 / start
    for which, states in enumerate(found.states.reshape(plans, len(start), len(times), 2)):
        for lane, end in enumerate(ends):
            before, after = times < 0.999 * end, times > end
            assert states[lane, before, 1] == pytest.approx(
                start[lane] / (1 - start[lane] * times[before]), rel=1e-5
            )
            assert np.isnan(states[lane, after]).all()
            given = np.where(times >= 2, np.exp(-(times - 2)), 0) * which
            assert states[lane, before, 0] == pytest.approx((np.exp(-times) + given)[before], rel=1e-5)
    assert list(found.status > 0) == list(ends < 4.2) * plans


def test_the_greatest_value_of_one_output_is_that_of_its_closed_form() -> None:
    """sin(w t) exp(-t/9) among outputs of other states: its first top, between samples, in every lane."""
    kernels = compile_equations(
        system({"a": "-3*a", "s": "w*c - s/9", "c": "-w*s - c/9", "b": "1 - b"}, "w", c=1.0, a=2.0)
    )
    names = kernels.equations.states
    frequency = np.linspace(0.5, 2, 8)
    seen = compile_equations(
        replace(
            kernels.equations,
            outputs=tuple(sp.Symbol(each) for each in names),
            output_names=tuple(f"seen {each}" for each in names),
        )
    )
    found = integrate(seen, frequency[:, None], times=[0.0, 20.0], peaks=["seen s"], lanes=8, rtol=1e-8)
    top = np.arctan(9 * frequency) / frequency
    assert found.greatest[:, 0] == pytest.approx(np.sin(frequency * top) * np.exp(-top / 9), rel=1e-5)
    assert found.greatest_at[:, 0] == pytest.approx(top, abs=1e-2)


@pytest.mark.parametrize("shared", [True, False])
def test_samples_of_lanes_on_the_day_of_a_dose_are_read_after_it(shared: bool) -> None:
    """x' = -k x with 4 given on days 1 and 2: x is 4 on day 1 and 4 + 4 exp(-k) on day 2, whether lanes share their days or not."""
    kernels = compile_equations(system({"x": "-k*x"}, "k", x=0.0))
    rates_of, times = np.linspace(0.2, 2, 8)[:, None], np.array([0.0, 1.0, 1.5, 2.0])
    found = integrate(
        kernels,
        rates_of,
        Doses(jumps=((1.0, "x", 4.0), (2.0, "x", 4.0))),
        times if shared else np.tile(times, (8, 1)),
        lanes=8,
        rtol=1e-8,
    ).states[:, :, 0]
    gone = np.exp(-rates_of[:, 0])
    assert found[:, 1] == pytest.approx(4.0, abs=1e-12)
    assert found[:, 3] == pytest.approx(4.0 + 4.0 * gone, rel=1e-6)


@pytest.mark.parametrize("plans", [1, 2])
def test_outputs_without_states_are_read_where_samples_are_taken(plans: int) -> None:
    """x' = x^2 from c and y' = -y, both given something on a sampled day: x y + t in closed form, nan once a lane is given up.

    And all as it is said of states that are kept, which are read in the end; the greatest of x y too.
    """
    x, y, t, c = sp.symbols("x y time c")
    kernels = compile_equations(
        replace(
            system({"y": "-y", "x": "x**2", "late": "Piecewise((1, x > 0.3), (0, True))"}, "c"),
            initials=(sp.Integer(1), c, sp.Integer(0)),
            outputs=(x * y + t, sp.Symbol("late"), x * y),
            output_names=("seen", "since", "product"),
        )
    )
    start = np.array([0.01, 0.9, 0.02, 0.4, 0.03, 0.05, 0.2, 0.01])
    times = np.linspace(0, 4.2, 43)
    given = (Doses(jumps=((2.0, "y", 1.0), (4.2, "y", 1.0))), Doses(jumps=((2.0, "y", 3.0),)))[:plans]
    asked = (
        np.tile(start, plans)[:, None],
        [each for each in given for _ in start] if plans > 1 else given[0],
        times,
    )
    options = {"lanes": 8, "rtol": 1e-8, "peaks": ["product"]}
    kept = integrate(kernels, *asked, **options)
    into = np.full((len(times), 3, len(start) * plans), -1.0)
    for found in (
        integrate(kernels, *asked, keep_states=False, **options),
        integrate(kernels, *asked, keep_states=False, into=into.transpose(2, 0, 1), **options),
    ):
        assert not found.states.size and found.status.tolist() == kept.status.tolist()
        assert np.allclose(found.outputs, kept.outputs, rtol=1e-12, atol=1e-12, equal_nan=True)
        assert np.allclose(found.greatest, kept.greatest, rtol=1e-12, equal_nan=True)
        for which, outputs in enumerate(found.outputs.reshape(plans, len(start), len(times), 3)):
            for lane, end in enumerate(1 / start):
                before, after = times < 0.999 * end, times > end
                more = (1.0, 3.0)[which] * np.exp(-(times - 2.0))
                dosed = np.exp(-times) + np.where(times >= 2.0, more, 0.0)
                dosed[-1] += 1.0 - which  # on the last day itself
                right = start[lane] / (1 - start[lane] * times[before]) * dosed[before] + times[before]
                assert outputs[lane, before, 0] == pytest.approx(right, rel=1e-5)
                crossed = max(1 / start[lane] - 1 / 0.3, 0.0)
                assert outputs[lane, before, 1] == pytest.approx(
                    np.maximum(times - crossed, 0)[before], abs=1e-6
                )
                assert np.isnan(outputs[lane, after]).all()
