"""What must not matter does not matter: doses, lanes, threads, calendars; and random models against scipy."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import OneCompartment, system
from scipy.integrate import solve_ivp

from cellsim.compiler.equations import Equations
from cellsim.compiler.kernels import compile_equations
from cellsim.solver.integration import Doses, integrate

PAIR = compile_equations(
    system(
        {"bag": "-k*bag", "x": "k*bag - v*x/(m + x)", "seen": "x - seen", "gone": "v*x/(m + x)"},
        "k v m",
        x=0.2,
    )
)
P = np.array([3.0, 1.1, 0.7])


def end(doses: Doses, t: float = 5.0, p: np.ndarray = P, **more) -> np.ndarray:
    options = {"rtol": 1e-9, "atol": 1e-12, **more}
    return integrate(PAIR, p, doses, [t], **options).states[0, -1]


def test_back_to_back_inputs_are_one_long_input() -> None:
    one = end(Doses(rates=((1.0, 3.0, "bag", 2.0),)))
    two = end(Doses(rates=((1.0, 2.2, "bag", 2.0), (2.2, 3.0, "bag", 2.0))))
    assert two == pytest.approx(one, rel=1e-8)


def test_a_short_input_tends_to_a_jump() -> None:
    jump = end(Doses(jumps=((1.0, "bag", 4.0),)))
    gaps = [
        np.abs(end(Doses(rates=((1.0, 1.0 + d, "bag", 4.0 / d),))) / jump - 1).max()
        for d in (1e-2, 1e-3, 1e-4)
    ]
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]
    assert gaps[2] < 1e-3


def test_order_of_doses_in_the_list_does_not_matter() -> None:
    jumps = ((1.0, "bag", 4.0), (0.5, "x", 1.0), (1.0, "x", 0.5), (3.0, "bag", 1.0))
    assert np.array_equal(end(Doses(jumps=jumps)), end(Doses(jumps=jumps[::-1])))


def test_shifting_the_calendar_shifts_the_answer() -> None:
    here = integrate(PAIR, P, Doses(jumps=((1.0, "bag", 4.0),)), [2.0, 6.0], rtol=1e-9, atol=1e-12).states
    there = integrate(
        PAIR, P, Doses(jumps=((-99.0, "bag", 4.0),)), [-98.0, -94.0], start=-100.0, rtol=1e-9, atol=1e-12
    ).states
    assert there == pytest.approx(here, rel=1e-8)


def test_a_sample_at_a_dose_is_read_after_it_wherever_else_one_samples() -> None:
    doses = Doses(jumps=((1.0, "bag", 4.0), (2.0, "bag", 4.0)))
    found = integrate(PAIR, P, doses, [0.0, 1.0, 1.0, 1.5, 2.0], rtol=1e-9, atol=1e-12).states[0, :, 0]
    assert found[[0, 1, 2]] == pytest.approx([0.0, 4.0, 4.0], abs=1e-12)
    assert found[4] == pytest.approx(4.0 + 4.0 * np.exp(-3.0), rel=1e-8)


def test_a_thousand_doses_keep_the_mass() -> None:
    rng = np.random.default_rng(0)
    jumps = tuple(
        (float(t), "bag", float(a))
        for t, a in zip(np.sort(rng.uniform(0, 90, 1000)), rng.uniform(0, 0.2, 1000))
    )
    found = end(Doses(jumps=jumps), t=100.0, rtol=1e-4, atol=1e-8)
    given = 0.2 + sum(a for *_, a in jumps)
    assert found[0] + found[1] + found[3] == pytest.approx(given, rel=1e-12)  # whatever the tolerance


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_lanes_threads_and_batch_size_agree_within_the_tolerance(tolerance: float) -> None:
    rng = np.random.default_rng(1)
    sets = P * np.exp(0.5 * rng.standard_normal((21, 3)))
    doses = Doses(jumps=((1.0, "bag", 4.0), (2.0, "bag", 1.0)), rates=((3.0, 3.5, "x", 1.0),))
    times, options = [0.5, 1.0, 2.7, 5.0], {"rtol": tolerance, "atol": 1e-3 * tolerance}
    exact = integrate(PAIR, sets, doses, times, rtol=1e-11, atol=1e-13, lanes=1).states
    for lanes in (1, 2, 4, 8):
        found = integrate(PAIR, sets, doses, times, lanes=lanes, **options).states
        assert np.abs(found - exact).max(axis=(0, 1)) == pytest.approx(
            0, abs=5 * tolerance * np.abs(exact).max()
        )
        threaded = integrate(PAIR, sets, doses, times, lanes=lanes, threads=3, **options).states
        assert np.array_equal(found, threaded)


def test_sets_may_have_doses_and_times_of_their_own() -> None:
    problem = OneCompartment()
    kernels = compile_equations(problem.equations)
    doses = [Doses(jumps=((float(i % 3), "x", float(i)),)) for i in range(10)]
    times = np.array([[1.0 + 0.1 * i, 3.0 + 0.2 * i] for i in range(10)])
    together = integrate(kernels, np.tile([0.7, 2.0], (10, 1)), doses, times, lanes=4, rtol=1e-10, atol=1e-12)
    for i in range(10):
        at = float(i % 3)
        exact = 2 * np.exp(-0.7 * times[i]) + i * np.exp(-0.7 * (times[i] - at)) * (times[i] >= at)
        assert together.states[i, :, 0] == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize(("what", "expected"), [("method", 5), ("dense", 4)])
def test_measured_order_matches_the_claim(what: str, expected: int) -> None:
    """On a non-autonomous, nonlinear problem with a closed form: x' = -2 t x^2, x = 1 / (1 + t^2)."""
    kernels = compile_equations(system({"x": "-2*time*x**2"}, x=1.0))
    errors = []
    for steps in (10, 20, 40):
        h = 2.0 / steps
        at = h * np.arange(1, steps + 1) if what == "method" else h * (np.arange(steps) + 0.4)
        found = integrate(kernels, np.zeros((1, 0)), Doses(), at, rtol=1e3, atol=1e3, max_step=h, end=2.0)
        assert found.steps == steps
        errors.append(np.abs(found.states[0, :, 0] - 1 / (1 + at**2)).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] > expected - 0.3


def test_the_peak_share_saves_steps_and_keeps_the_error_relative_to_the_peak() -> None:
    doses = Doses(jumps=tuple((5.0 * i, "bag", 4.0) for i in range(10)))
    times = np.linspace(0, 50, 101)
    exact = integrate(PAIR, P, doses, times, rtol=1e-11, atol=1e-13).states[0]
    plain = integrate(PAIR, P, doses, times, rtol=1e-4, atol=1e-10)
    shared = integrate(PAIR, P, doses, times, rtol=1e-4, peak_share=0.1)
    assert shared.steps < 0.8 * plain.steps
    assert (np.abs(shared.states[0] - exact) / np.abs(exact).max(axis=0)).max() < 1e-3


def test_a_path_of_thousands_of_steps_is_kept_whole() -> None:
    """More steps than there was room for at first: nothing lost, nothing twice, against the closed form."""
    x = sp.Symbol("x")
    decay = compile_equations(Equations(("x",), (), rates=(-x,), initials=(sp.Integer(1),)))
    doses = Doses(jumps=((1.0, "x", 1.0),))
    (path,) = integrate(decay, np.zeros((1, 0)), doses, [3.0], dense=True, max_step=1e-3).paths
    assert len(path.rows) >= 3000
    assert path.starts[1:].tolist() == path.ends[:-1].tolist()
    middle = 0.5 * (path.starts + path.ends)
    found = path.states(np.arange(len(middle)), middle)[:, 0]
    wanted = np.exp(-middle) + np.where(middle > 1, np.exp(1 - middle), 0.0)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_a_dense_path_passes_through_the_samples() -> None:
    doses, times = Doses(jumps=((1.0, "bag", 4.0), (5.0, "bag", 1.0))), np.linspace(0, 5, 37)
    found = integrate(PAIR, P, doses, times, dense=True)
    path = found.paths[0]
    assert path.starts[1:] == pytest.approx(path.ends[:-1], abs=1e-15)
    step = np.searchsorted(path.starts, times, side="right") - 1
    assert path.states(step, times) == pytest.approx(found.states[0], abs=1e-14)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Equations, list[float]]:
    """A few species, mass-action and Hill reactions between them, one dose."""
    n = draw(st.integers(2, 6))
    names = [f"s{i}" for i in range(n)]
    rates = {name: [f"-0.1*{name}"] for name in names}
    parameters, values = [], []
    for r in range(draw(st.integers(1, 8))):
        source, target = draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1))
        helper = draw(st.integers(0, n - 1))
        kind = draw(st.sampled_from(["first", "second", "hill", "inhibited"]))
        parameters += [f"k{r}", f"m{r}"]
        # a Hill exponent below one has an infinite slope at zero, where a start at zero has no unique solution and
        # LSODA, the witness, gives up before its end
        values += [draw(st.floats(0.01, 100.0)), draw(st.floats(1.0 if kind == "hill" else 0.1, 4.0))]
        flow = {
            "first": f"k{r}*s{source}",
            "second": f"k{r}*s{source}*s{helper}",
            "hill": f"k{r}*s{source}*s{helper}**m{r}/(1 + s{helper}**m{r})",
            "inhibited": f"k{r}*s{source}/(m{r} + s{helper})",
        }[kind]
        rates[names[source]].append(f"-{flow}")
        if target != source:
            rates[names[target]].append(f"+{flow}")
    starts = {name: draw(st.sampled_from([0.0, 0.5, 1.0, 20.0])) for name in names}
    return system(
        {name: " ".join(terms) for name, terms in rates.items()}, " ".join(parameters), **starts
    ), values


@settings(max_examples=25)
@given(networks())
def test_random_networks_match_scipy(network: tuple[Equations, list[float]]) -> None:
    equations, values = network
    kernels, p = compile_equations(equations), np.array(values)
    first = solve_ivp(
        lambda t, y: kernels.rhs(t, np.maximum(y, 0), p),
        (0, 1),
        kernels.initial(p),
        method="LSODA",
        rtol=1e-9,
        atol=1e-11,
    ).y[:, -1]
    first[0] += 3.0
    second = solve_ivp(
        lambda t, y: kernels.rhs(t, np.maximum(y, 0), p), (1, 4), first, method="LSODA", rtol=1e-9, atol=1e-11
    ).y[:, -1]
    found = integrate(kernels, p, Doses(jumps=((1.0, 0, 3.0),)), [4.0], rtol=1e-7, atol=1e-9)
    assert found.messages == ("",)
    assert found.states[0, 0] == pytest.approx(second, rel=1e-5, abs=1e-6)


def test_mass_is_kept_to_rounding_in_a_closed_network() -> None:
    a, b, c, k = sp.symbols("a b c k")
    flow, back = k * a * b / (1 + a), c / 3
    closed = Equations(
        ("a", "b", "c"),
        ("k",),
        (back - flow, back - flow, flow - back),
        (sp.Integer(3), sp.Integer(1), sp.Integer(0)),
    )
    found = integrate(
        compile_equations(closed), [[5.0], [500.0]], Doses(), [0.1, 1.0, 50.0], rtol=1e-3, atol=1e-6
    ).states
    assert found[..., 0] + found[..., 2] == pytest.approx(3.0, rel=1e-13)
    assert found[..., 1] + found[..., 2] == pytest.approx(1.0, rel=1e-13)
