"""Forward sensitivities against closed forms, complex steps, and differences along the same step sequence."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from oracles import OneCompartment, system
from scipy.integrate import solve_ivp
from scipy.special import gammainc

from cellsim.compiler.equations import Equations, Trigger
from cellsim.compiler.kernels import Kernels, compile_equations
from cellsim.errors import SimulationError
from cellsim.solver.integration import Doses, integrate

ONE = OneCompartment()
DOSES = Doses(jumps=((1.0, "x", 5.0),), rates=((2.0, 4.0, "x", 3.0),))
ALL = ["k", "x0", ("jump time", 0), ("jump", 0), ("on", 0), ("off", 0), ("rate", 0)]
TIMES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0])


def test_dosed_compartment_matches_closed_form_in_every_direction() -> None:
    kernels = compile_equations(ONE.equations)
    found = integrate(kernels, [0.7, 2.0], DOSES, TIMES, rtol=1e-11, atol=1e-13, directions=ALL)
    x, slopes = ONE.state(TIMES, 0.7, 2.0), ONE.slopes(TIMES, 0.7, 2.0)
    assert found.sensitivities is not None
    assert found.sensitivities.shape == (1, len(TIMES), 1, len(ALL))
    for column, (name, dx) in enumerate(slopes.items()):
        expected = 2 * x * 0.7 * dx + (x**2 if name == "k" else 0.0)
        assert found.sensitivities[0, :, 0, column] == pytest.approx(expected, rel=1e-8, abs=1e-9), name


SATURABLE = system({"a": "-v*a/(m + a)", "b": "v*a/(m + a) - k*b**2"}, "v m k", a=2.0, b=0.3)
AT = {  # what is differentiated, and where
    "v": 1.4, "m": 0.6, "k": 0.5, "a": 2.0, "b": 0.3,
    "jump": 3.0, "jump time": 1.1, "rate": 2.5, "on": 1.9, "off": 3.2, "sample": 4.5,
}  # fmt: skip
ALONG = ["v", "m", "k", ("initial", "a"), ("initial", "b")]
ALONG += [(kind, 0) for kind in ("jump", "jump time", "rate", "on", "off")]


def saturable_by_complex_step(name: str) -> np.ndarray:
    """d (a, b) / d `name` at the sample: SciPy's DOP853 on complex numbers, each stretch scaled to unit length so
    that times can be complex too."""
    z = {key: complex(value, 1e-30 if key == name else 0.0) for key, value in AT.items()}
    y = np.array([z["a"], z["b"]])
    stops = [0.0, z["jump time"], z["on"], z["off"], z["sample"]]
    for place, (begin, end) in enumerate(pairwise(stops)):
        y[0] += z["jump"] if place == 1 else 0.0

        def rates(_: float, y: np.ndarray, place: int = place, length: complex = end - begin) -> np.ndarray:
            flow = z["v"] * y[0] / (z["m"] + y[0])
            return length * np.array([(z["rate"] if place == 2 else 0.0) - flow, flow - z["k"] * y[1] ** 2])

        y = solve_ivp(rates, (0, 1), y, method="DOP853", rtol=1e-13, atol=1e-15).y[:, -1]
    return y.imag / 1e-30


def test_a_nonlinear_model_matches_the_complex_step_in_every_direction() -> None:
    """Across a dose and an infusion's start and end; the last column is along the sample time."""
    kernels = compile_equations(replace(SATURABLE, outputs=sp.symbols("a b"), output_names=("a", "b")))
    doses = Doses(((AT["jump time"], "a", AT["jump"]),), ((AT["on"], AT["off"], "a", AT["rate"]),))
    found = integrate(
        kernels,
        [AT["v"], AT["m"], AT["k"]],
        doses,
        [AT["sample"]],
        rtol=1e-11,
        atol=1e-13,
        directions=ALONG,
        output_rates=True,
    )
    assert found.sensitivities is not None
    assert found.output_rates is not None
    columns = [*found.sensitivities[0, 0].T, found.output_rates[0, 0]]
    for name, column in zip(AT, columns, strict=True):
        assert column == pytest.approx(saturable_by_complex_step(name), rel=1e-8, abs=1e-10), name


def test_parameters_may_stand_in_any_order() -> None:
    p, doses = np.array([1.4, 0.6, 0.5]), Doses(((1.0, "a", 3.0),), ((2.0, 3.0, "b", 1.0),))
    given = replace(
        SATURABLE, outputs=(sp.Symbol("a") * sp.Symbol("k"), sp.Symbol("b")), output_names=("s", "b")
    )
    found = [
        integrate(
            compile_equations(replace(given, parameters=tuple(given.parameters[i] for i in order))),
            p[order],
            doses,
            [0.5, 2.5, 4.0],
            directions=[given.parameters[i] for i in order],
        ).sensitivities
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0])
    ]
    assert found[0] is not None
    for order, one in zip(([2, 1, 0], [1, 2, 0]), found[1:], strict=True):
        assert one == pytest.approx(found[0][..., order], rel=1e-12, abs=1e-14)


def test_solution_keeps_its_tolerance_when_sensitivities_are_carried() -> None:
    """Steps follow derivatives too, so both differ in their last digits, not in what is right."""
    kernels = compile_equations(ONE.equations)
    exact = integrate(kernels, [0.7, 2.0], DOSES, TIMES, rtol=1e-12)
    plain = integrate(kernels, [0.7, 2.0], DOSES, TIMES)
    carried = integrate(kernels, [0.7, 2.0], DOSES, TIMES, directions=["k"])
    assert plain.outputs == pytest.approx(exact.outputs, rel=1e-6)
    assert carried.outputs == pytest.approx(exact.outputs, rel=1e-6)
    assert carried.steps <= 1.5 * plain.steps


def cascade(first: float, beside: float = 0.0) -> Kernels:
    """x0' = k - m x0, then x_i' = x_(i-1) - m x_i, all beginning at `first`, and beside them w' = -`beside` w."""
    names = (*(f"x{i}" for i in range(6)), "w")
    x, (k, m) = sp.symbols(names), sp.symbols("k m")
    rates = (k - m * x[0], *(x[i - 1] - m * x[i] for i in range(1, 6)), -beside * x[6])
    start = tuple(sp.Float(first) for _ in names)
    outputs, named = x[:6], names[:6]
    return compile_equations(Equations(names, ("k", "m"), rates, start, outputs=outputs, output_names=named))


@pytest.mark.parametrize(("first", "k"), [(1.0, 1.0), (0.0, 0.0)], ids=["at rest", "empty"])
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("unit", [1.0, 1e-9, 1e9])
def test_steps_follow_derivatives_where_states_rest(first: float, k: float, rtol: float, unit: float) -> None:
    """d x_i / d k at rest is the law of a sum of i + 1 waiting times, P(i + 1, t); a single long step was off by 0.24.

    In whatever unit k and the states are counted.
    """
    days = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 30.0])
    found = integrate(
        cascade(first * unit), [k * unit, 1.0], times=days, rtol=rtol, directions=["k"], max_steps=2000
    )
    exact = np.array([gammainc(i + 1, days) for i in range(6)]).T
    assert found.sensitivities is not None
    assert np.abs(found.sensitivities[0, :, :, 0] - exact).max() < 2 * rtol
    assert found.outputs[0] == pytest.approx(np.full((6, 6), first * unit), rel=1e-12)


@pytest.mark.parametrize("beside", [0.01, 0.3, 30.0])
def test_steps_follow_derivatives_of_what_rests_beside_something_that_moves(beside: float) -> None:
    """The same law: how long steps may be for a state says nothing about derivatives of others."""
    days = np.array([0.5, 2.0, 8.0, 30.0])
    found = integrate(cascade(1.0, beside), [1.0, 1.0], times=days, directions=["k"])
    exact = np.array([gammainc(i + 1, days) for i in range(6)]).T
    assert found.sensitivities is not None
    assert np.abs(found.sensitivities[0, :, :, 0] - exact).max() < 2e-6


def test_a_derivative_that_is_rounding_alone_asks_for_no_steps() -> None:
    """d/dr of x' = r (p - m x) at rest is 0: terms of the size of x cancel, and what is left of them is noise."""
    x, y, r, p, m = sp.symbols("x y r p m")
    rates = (r * (p - m * x), sp.Float(0.1) * (x - 2 * y))
    start = (p / m, sp.Integer(3))
    kernels = compile_equations(
        Equations(("x", "y"), ("r", "p", "m"), rates, start, outputs=(x, y), output_names=("x", "y"))
    )
    for rtol in (1e-6, 1e-9):
        alone = integrate(kernels, [3.3, 0.7, 0.3], times=[100.0], rtol=rtol)
        found = integrate(kernels, [3.3, 0.7, 0.3], times=[100.0], rtol=rtol, directions=["r"])
        assert found.sensitivities is not None
        assert np.abs(found.sensitivities).max() < 1e-12
        assert found.steps + found.rejected <= alone.steps + alone.rejected + 5


def test_where_there_is_no_derivative_steps_go_on_all_the_same() -> None:
    """x' = -k sqrt(x) is empty on day 2/k, and its derivative by k, -t (1 - k t/2), is 0 from then on."""
    x, k = sp.symbols("x k")
    kernels = compile_equations(
        Equations(("x",), ("k",), (-k * sp.sqrt(x),), (sp.Integer(1),), outputs=(x,), output_names=("x",))
    )
    days = np.array([0.5, 1.0, 1.9, 2.5, 5.0])
    found = integrate(kernels, [1.0], times=days, directions=["k"], max_steps=500)
    assert found.status[0] == 0 and found.sensitivities is not None
    right = np.where(days < 2.0, -days * (1 - days / 2), 0.0)
    assert found.sensitivities[0, :, 0, 0] == pytest.approx(right, abs=1e-5)


def test_directions_may_come_in_any_order() -> None:
    kernels = compile_equations(ONE.equations)
    forth = integrate(kernels, [0.7, 2.0], DOSES, TIMES, directions=ALL).sensitivities
    back = integrate(kernels, [0.7, 2.0], DOSES, TIMES, directions=ALL[::-1]).sensitivities
    assert forth is not None
    assert back is not None
    assert np.array_equal(forth, back[..., ::-1])


def test_unknown_directions_are_named_together() -> None:
    kernels = compile_equations(ONE.equations)
    with pytest.raises(SimulationError) as caught:
        integrate(kernels, [0.7, 2.0], DOSES, TIMES, directions=["kk", ("jump", 3), ("speed", 0)])
    assert len(caught.value.problems) == 3


def test_gradient_is_that_of_the_scheme_at_loose_tolerance() -> None:
    """At a tolerance of 1e-3, differences of the computed solution itself, its steps held fixed, match to
    1e-7.

    Steps are held fixed by a step limit so small that the error control never acts.
    """
    rates = {"a": "-k*a/(1 + a) + m*b**2", "b": "k*a/(1 + a) - m*b**2 - exp(-q*b)*b"}
    equations = system(rates, "k m q", a=3.0, b=0.5)
    kernels = compile_equations(
        replace(equations, outputs=(sp.Symbol("a") * sp.Symbol("q"),), output_names=("aq",))
    )
    p, times, doses = np.array([1.3, 0.4, 0.8]), [0.4, 1.0, 2.7], Doses(jumps=((1.0, "a", 2.0),))
    keep = {"rtol": 1.0, "atol": 1.0, "max_step": 0.25, "lanes": 1}
    found = integrate(kernels, p, doses, times, directions=["k", "m", "q"], **keep).sensitivities
    assert found is not None
    for i in range(3):
        h = 1e-4 * p[i]
        shifted = np.array([p, p, p, p])
        shifted[:, i] += np.array([h, -h, 2 * h, -2 * h])
        o = integrate(kernels, shifted, doses, times, **keep).outputs[:, :, 0]
        expected = (8 * (o[0] - o[1]) - (o[2] - o[3])) / (12 * h)
        assert found[0, :, 0, i] == pytest.approx(expected, rel=1e-8)


def test_sensitivities_across_a_time_event_whose_time_is_a_parameter() -> None:
    x, time, when, k = sp.symbols("x time when k")
    reset = Trigger("reset", sp.Ge(time, when), (("x", k * x / 2 + 1),))
    equations = Equations(("x",), ("when", "k"), (-k * x,), (sp.Integer(1),), (x,), ("x",), (reset,))
    kernels = compile_equations(equations)
    w, c, t = 1.5, 0.8, 3.0
    found = integrate(kernels, [w, c], Doses(), [t], rtol=1e-10, atol=1e-12, directions=["when", "k"])
    assert found.sensitivities is not None

    def exact(w: sp.Expr, c: sp.Expr) -> sp.Expr:
        return (c / 2 * sp.exp(-c * w) + 1) * sp.exp(-c * (t - w))

    a, b = sp.symbols("a b")
    expected = [float(exact(a, b).diff(v).subs({a: w, b: c})) for v in (a, b)]
    assert found.sensitivities[0, 0, 0] == pytest.approx(expected, rel=1e-8)


def test_directions_that_only_outputs_feel_cost_no_lanes() -> None:
    from cellsim.compiler.sensitivity_directions import directions_of, pack

    x, k, scale = sp.symbols("x k scale")
    equations = Equations(("x",), ("k", "scale"), (-k * x,), (sp.Integer(1),), (scale * x,), ("seen",))
    packing = pack(equations.system, directions_of(equations.system, ["scale"], 0, 0), {})
    assert packing.groups == ()
    found = integrate(
        compile_equations(equations), [0.5, 3.0], Doses(), [2.0], directions=["scale"], rtol=1e-9
    )
    assert found.sensitivities is not None
    assert found.sensitivities[0, 0, 0, 0] == pytest.approx(np.exp(-1.0), rel=1e-8)


def test_disjoint_directions_share_a_lane() -> None:
    from cellsim.compiler.sensitivity_directions import directions_of, pack

    names = [f"k{i}" for i in range(20)]
    equations = system(
        {f"x{i}": f"-k{i}*x{i}" for i in range(20)}, " ".join(names), **{f"x{i}": 1.0 for i in range(20)}
    )
    packing = pack(equations.system, directions_of(equations.system, names, 0, 0), {})
    assert set(packing.home) == {(0, 0)}


def test_sensitivities_across_an_event_that_a_state_triggers() -> None:
    """x falls at rate c from x0; at the threshold it is lifted by b and falls on at rate 2 c."""
    x, n, c, x0, low, b = sp.symbols("x n c x0 low b")
    lift = Trigger("lift", sp.Le(x, low) & sp.Lt(n, 1), (("x", x + b), ("n", n + 1)))
    rates = (-c * x * (1 + n), sp.Integer(0))
    equations = Equations(
        ("x", "n"), ("c", "x0", "low", "b"), rates, (x0, sp.Integer(0)), (x,), ("x",), (lift,)
    )
    p, t = [0.6, 5.0, 2.0, 4.0], 3.0
    found = integrate(
        compile_equations(equations),
        p,
        Doses(),
        [t],
        rtol=1e-11,
        atol=1e-12,
        directions=["c", "x0", "low", "b"],
    )
    after = t - sp.log(x0 / low) / c
    exact = (low + b) * sp.exp(-2 * c * after)
    point = dict(zip((c, x0, low, b), p, strict=True))
    assert found.outputs[0, 0, 0] == pytest.approx(float(exact.subs(point)), rel=1e-9)
    assert found.sensitivities is not None
    expected = [float(exact.diff(v).subs(point)) for v in (c, x0, low, b)]
    assert found.sensitivities[0, 0, 0] == pytest.approx(expected, rel=1e-8)
