"""Samples at the very instant of an event: before it where its trigger does not hold yet, after it where it does.

``time > 2`` is false at 2 and true just after it, so that what is read at 2 is read before the event; ``time >= 2`` is true at 2.
Witnesses: closed forms, and libRoadRunner, which keeps to the same.
"""

from __future__ import annotations

import numpy as np
import pytest
import roadrunner

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.compiler.sensitivity_directions import Direction
from cellsim.model.antimony import antimony_to_sbml
from cellsim.solver.integration import Doses, integrate

SOLVERS = ("rodas", "scipy")
TIMES = [0.0, 1.0, 2.0, 3.0, 4.0]
STANDS = "x = 1; x' = 0; "
READ = {  # model, what x is at TIMES
    "after": ("at (time > 2): x = 5", [1, 1, 1, 5, 5]),
    "at": ("at (time >= 2): x = 5", [1, 1, 5, 5, 5]),
    "not up to": ("at (!(time <= 2)): x = 5", [1, 1, 1, 5, 5]),
    "not before": ("at (!(time < 2)): x = 5", [1, 1, 5, 5, 5]),
    "after the start": ("at (time > 0): x = 5", [1, 5, 5, 5, 5]),
    "a window that is open": ("at (time > 2 && time < 3): x = x + 4", [1, 1, 1, 5, 5]),
    "a window that begins and ends": ("at (time >= 2 && time <= 3): x = x + 4; at (time > 3): x = 9", [1, 1, 5, 5, 9]),
    "on states too": ("at (time > 2 && x > 0): x = 5", [1, 1, 1, 5, 5]),
    "on states too, at": ("at (time >= 2 && x > 0): x = 5", [1, 1, 5, 5, 5]),
    "one of both": ("at (time > 2 || x < 0): x = 5", [1, 1, 1, 5, 5]),
    "late": ("at 1 after (time > 2): x = 5", [1, 1, 1, 1, 5]),
    "late, at": ("at 1 after (time >= 2): x = 5", [1, 1, 1, 5, 5]),
    "by priority": ("a: at (time > 2), priority=1: x = 5; b: at (time > 2), priority=2: x = 7", [1, 1, 1, 5, 5]),
    "one sets off another": ("y = 0; at (time > 2): y = 3; at (y > 2): x = 5", [1, 1, 1, 5, 5]),
    "a piece that ends": ("q := piecewise(1, time < 2, 5)", [1, 1, 5, 5, 5]),
    "a piece that ends, at": ("q := piecewise(1, time <= 2, 5)", [1, 1, 1, 5, 5]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_sample_at_the_instant_is_read_as_the_trigger_is_there(name: str) -> None:
    text, right = READ[name]
    model = cs.load_model(STANDS + text)
    shown = "q" if "q :=" in text else "x"
    for solver in SOLVERS:
        seen = cs.simulate(model, cs.Schedule(), TIMES, solver=solver)
        assert seen[shown].tolist() == pytest.approx(right), solver
        assert [float(seen.at(shown, each)) for each in TIMES[1:-1]] == pytest.approx(right[1:-1]), solver
    runner = roadrunner.RoadRunner(antimony_to_sbml(f"model m()\n{STANDS}{text}\nend"))
    runner.integrator.maximum_time_step = 0.1  # else it steps over windows
    runner.timeCourseSelections = ["time", shown]
    assert np.array(runner.simulate(0, 4, 5))[:, 1] == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize(("relation", "known"), [(">", False), (">=", True)])
def test_so_are_samples_at_instants_that_are_no_round_numbers(relation: str, known: bool) -> None:
    """Also of delayed executions, whose instants are sums, in a model whose steps are not the event's."""
    random = np.random.default_rng(17)
    for _ in range(12):
        first, delay = random.choice([0.1, 0.2, 0.3, 0.7, 1.1, 2.3, 5.0], 2)
        times = [0.0, first, first + delay, first + delay + 1]
        model = cs.load_model(
            f"x = 1; x' = 0; z = 1; z' = -3*z; at {delay} after (time {relation} {first}): x = 5"
        )
        for solver in SOLVERS:
            seen = cs.simulate(model, cs.Schedule(), times, solver=solver)["x"]
            assert seen.tolist() == pytest.approx([1, 1, 5 if known else 1, 5]), (first, delay, solver)


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_every_simulation_of_many_has_its_own_instant(lanes: int) -> None:
    """Seven sets in lanes, of which each is sampled at the instant of its own event and of others'."""
    kernels = compile_equations(
        equations_of(cs.load_model("x = 1; x' = 0; at (time > T): x = 5; T = 1"), ["x"])
    )
    instants = np.arange(1.0, 8.0)
    seen = integrate(kernels, instants[:, None], times=np.arange(9.0), lanes=lanes).outputs[:, :, 0]
    assert seen == pytest.approx(np.where(np.arange(9.0) > instants[:, None], 5.0, 1.0))


@pytest.mark.parametrize(("relation", "there"), [(">", 11), (">=", 3)])
def test_doses_of_the_instant_are_in_what_is_read_whichever_the_event_is(relation: str, there: float) -> None:
    model = cs.load_model(f"x = 1; x' = 0; at (time {relation} 2): x = 3")
    for solver in SOLVERS:
        seen = cs.simulate(model, cs.Schedule.at([2], cells=10, product="x"), TIMES, solver=solver)
        assert seen["x"].tolist() == pytest.approx([1, 1, there, 3, 3]), solver
        day, height = seen.peak("x")
        assert (day, height) == (2.0, pytest.approx(11)) if relation == ">" else height == pytest.approx(3)
        assert seen.auc("x") == pytest.approx(1 * 2 + 3 * 2)


def test_a_greatest_value_that_lasts_an_instant_is_found() -> None:
    """A dose is read at its instant, and taken away just after it."""
    kernels = compile_equations(equations_of(cs.load_model("x = 1; x' = 0; at (time > 2): x = 3"), ["x"]))
    found = integrate(kernels, np.empty(0), Doses(jumps=((2.0, "x", 10.0),)), times=[4.0], peaks=["x"])
    assert found.greatest.ravel() == pytest.approx([11.0])
    assert found.greatest_at.ravel() == pytest.approx([2.0])


# ---- derivatives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", ["time > T", "time >= T", "time > T && x < 100", "time >= T && x < 100", "time > T || x < 0"]
)
def test_instants_move_what_follows_whatever_else_the_trigger_asks(options: str) -> None:
    """Closed form: e^(-k t) + e^(-k (t - T)), whose derivative by T is k e^(-k (t - T)). Those on time and states were 0."""
    model = cs.load_model(f"x = 1; x' = -0.5*x; at ({options}): x = x + 1; T = 2.1")
    kernels = compile_equations(equations_of(model, ["x"]))
    times = np.array([1.0, 2.0, 2.4, 5.0])
    found = integrate(kernels, [2.1], times=times, directions=["T"], rtol=1e-9)
    late = np.where(times > 2.1, np.exp(-0.5 * (times - 2.1)), 0.0)
    assert found.outputs[0, :, 0] == pytest.approx(np.exp(-0.5 * times) + late, rel=1e-7)
    assert found.sensitivities[0, :, 0, 0] == pytest.approx(0.5 * late, rel=1e-7)


@pytest.mark.parametrize("options", ["x > 3", "x > 3 && time > 1"])
def test_what_a_dose_sets_off_moves_with_the_dose(options: str) -> None:
    """Closed form: y = e^(-t/2) + e^(-(t - s)/2) from the dose at s on. It was 0."""
    model = cs.load_model(f"x = 1; x' = 0; y = 1; y' = -0.5*y; at ({options}): y = y + 1")
    kernels = compile_equations(equations_of(model, ["y"]))
    dose = Doses(jumps=((2.1, "x", 5.0),))
    found = integrate(
        kernels, np.empty(0), dose, times=[1.0, 2.4, 5.0], directions=[Direction("jump time", 0)], rtol=1e-9
    )
    late = np.exp(-0.5 * (np.array([2.4, 5.0]) - 2.1))
    assert found.sensitivities[0, :, 0, 0] == pytest.approx([0.0, *(0.5 * late)], rel=1e-7)
