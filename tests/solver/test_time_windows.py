"""Conditions turn where they should: on time alone, on states, and everything that happens at one instant.

Witnesses are closed forms, worked out beside each case; both solvers must give them.
"""

import math
import re
from functools import partial

import numpy as np
import pytest
from scipy import special
from small_cases import tiny_case

from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, SimulationError
from cellsim.likelihood.formulation import objective_of
from cellsim.model.model import load_model
from cellsim.solver import simulation
from cellsim.solver.conditions import turnings
from cellsim.solver.integration import Doses, integrate
from cellsim.solver.simulation import simulate

SOLVERS = ("rodas", "scipy")
NONE = Schedule()


def last(
    text: str, name: str, until: float, solver: str = "rodas", schedule: Schedule = NONE, **more
) -> float:
    return float(simulate(load_model(text), schedule, [until], solver=solver, **more)[name][-1])


# time spent with the condition true, of days 0 to 30
AREAS = {
    "time >= 5 && time < 5.01": 0.01,
    "time > 29 || time < 2": 3.0,
    "!(time <= 5 || time > 6)": 1.0,
    "xor(time > 3, time > 7)": 4.0,
    "time^2 > 50": 30 - math.sqrt(50),
    "(time - 5)^2 > 0": 30.0,
    "sin(time) > 0": 5 * math.pi,
    "tan(time) > 1": 10 * math.pi / 4,
    "exp(-time) > 0.01": math.log(100),
    "log(time) < 1": math.e,
    "1/(time - 5) > 1": 1.0,
    "arcsin(time/30) > 1": 30 - 30 * math.sin(1),  # its values end on the last day
    "arccos(time/30) < 0.5": 30 - 30 * math.cos(0.5),
    "arcsin(time/10) < 2": 10.0,  # what has no value makes no condition true
    "sqrt(time - 5) >= 0": 25.0,  # zero where its values begin, or end
    "sqrt(5 - time) >= 0": 5.0,
    "log(time + 1)*sqrt(5 - time) >= 0": 5.0,
    "arccosh(time + 1) > 1": 31 - math.cosh(1),
    "arctanh(time/30) > 0.5": 30 - 30 * math.tanh(0.5),
    "arcsinh(time) > 2": 30 - math.sinh(2),
    "abs(time - 5) < 1": 2.0,
    "max(time - 3, 4 - time) < 1": 1.0,
    "time % 7 < 1": 5.0,
    "floor(time/7) == 2": 7.0,
    "ceil(time) == 3": 1.0,
    "time == 5": 0.0,
    "time != 5": 30.0,
    "w > 0.5": 0.5,
    "between(time)": 0.25,
    "time > 3 && x < 100": 27.0,
}


@pytest.mark.parametrize("condition", AREAS)
def test_a_condition_on_time_is_never_stepped_over(condition: str) -> None:
    text = (
        "function between(t)\n piecewise(1, t > 4 && t < 4.25, 0)\nend\n"
        f"x = 0; w := piecewise(1, time > 3 && time < 3.5, 0); x' = piecewise(1, {condition}, 0)"
    )
    for solver in SOLVERS:
        assert last(text, "x", 30.0, solver) == pytest.approx(AREAS[condition], abs=1e-9), solver


def test_a_floor_that_loses_its_value_is_told_by_name() -> None:
    """Its values end on day 1, and so does what can be computed."""
    kernels = compile_equations(equations_of(load_model("x = 0; x' = 1 + floor((1 - time)^1.5)"), ["x"]))
    found = integrate(kernels, np.zeros(0), Doses(), [0.5, 3.0])
    assert re.fullmatch(r"At time 1 a value is no longer finite.*floor\(.*1 - time.*", found.messages[0])
    assert found.outputs[0, 0, 0] == pytest.approx(0.5)


def test_floors_of_time_are_jumps_and_bends_are_met() -> None:
    # sum over days of floor(t/7) to day 28: 7*(0 + 1 + 2 + 3); integral of |t - 5|: 25/2 + 25/2
    for solver in SOLVERS:
        assert last("x = 0; x' = floor(time/7)", "x", 28.0, solver) == pytest.approx(42, abs=1e-9)
        assert last("x = 0; x' = abs(time - 5)", "x", 10.0, solver) == pytest.approx(25, rel=1e-6)


FIRINGS = {
    "time == 5": 1,
    "time != 5": 1,
    "time > 5": 1,
    "time >= 5 && time < 5.001": 1,
    "time >= 10": 1,
    "time < 5": 0,
    "sin(time) > 0": 2,  # false on day 0 itself, true behind it, and again behind 2 pi
    "sin(time) >= 1": 2,
    "time % 3 < 1": 3,
    "time >= 5 && n < 10": 1,
    "time == 5 && n < 10": 1,
}


@pytest.mark.parametrize("trigger", FIRINGS)
def test_an_event_fires_each_time_its_window_opens(trigger: str) -> None:
    for solver in SOLVERS:
        assert last(f"n = 0; n' = 0; at ({trigger}): n = n + 1", "n", 10.0, solver) == FIRINGS[trigger], (
            solver
        )


def test_days_that_cannot_be_told_are_refused_by_name() -> None:
    for condition in ("sin(1000/(time + 0.001)) > 0", "sin(time)^2 + cos(time)^2 >= 1"):
        for solver in SOLVERS:
            with pytest.raises(CellsimError, match=r"time.*turns more than 20000 times"):
                last(f"x = 0; x' = piecewise(1, {condition}, 0)", "x", 30.0, solver)
    with pytest.raises(CellsimError, match="turns more than"):
        last("x = 0; x' = piecewise(1, sin(time) > 0, 0)", "x", 1e9)
    with pytest.raises(CellsimError, match=r"waits for x == 3.*instant only.*>="):
        last("x = 0; x' = 1; n = 0; n' = 0; at (x == 3): n = 1", "n", 5.0)


# ---- the day moves with a parameter ---------------------------------------------------------------------

MOVED = {  # condition, value of p, d(time spent with it true)/dp, from day 0 to day 10
    "time >= p": (4.0, -1.0),
    "time >= p && time < p + 0.1": (4.0, 0.0),
    "time < 3*p": (2.0, 3.0),
    "time^2 < p": (9.0, 1 / 6),
    "time % p < 1": (4.0, 0.0),  # open at 0, 4 and 8, each for a day
    "time % 4 < p": (1.5, 3.0),
    "sin(p*time) > 0": (1.0, -(math.pi - 2 * math.pi + 3 * math.pi)),
    "floor(time/p) == 1": (3.0, 1.0),
}


@pytest.mark.parametrize("condition", MOVED)
def test_the_jump_of_a_rate_moves_with_its_day(condition: str) -> None:
    value, slope = MOVED[condition]
    kernels = compile_equations(
        equations_of(load_model(f"x = 0; x' = piecewise(1, {condition}, 0) - 0*x; p = {value}"), ["x"])
    )
    found = integrate(kernels, [value], times=[10.0], directions=["p"]).sensitivities
    assert found is not None
    assert found[0, 0, 0, 0] == pytest.approx(slope, abs=1e-6)


def test_sensitivities_of_a_moving_window_and_event_are_closed_forms() -> None:
    # x = exp(-k (t - T)) behind T, tripled at T + 1
    model = load_model(
        "x = 1; x' = piecewise(-k*x, time >= T, 0); at (time >= T + 1): x = 3*x; k = 0.5; T = 2"
    )
    kernels = compile_equations(equations_of(model, ["x"]))
    p = [{"k": 0.5, "T": 2.0}[name] for name in kernels.parameters]
    times = np.array([1.0, 2.5, 3.0, 4.0])
    got = integrate(kernels, p, times=times, directions=["k", "T"], rtol=1e-8, atol=1e-12)
    behind = np.maximum(times - 2, 0)
    x = np.exp(-0.5 * behind) * np.where(times >= 3, 3, 1)
    assert got.outputs[0, :, 0] == pytest.approx(x, rel=1e-7)
    assert got.sensitivities is not None
    assert got.sensitivities[0, :, 0, 0] == pytest.approx(-behind * x, rel=1e-6, abs=1e-9)
    # at the instant of the event a sample is read behind it, so x there jumps with T as it moves on
    moved = np.where(times > 2, 0.5 * x, 0.0)
    assert got.sensitivities[0, :, 0, 1] == pytest.approx(moved, rel=1e-6, abs=1e-9)


def test_each_lane_has_its_own_days() -> None:
    model = load_model(
        "x = 0; x' = piecewise(1, time >= T && time < T + w, 0); n = 0; n' = 0; at (time >= T): n = n + T; T = 1; w = 1"
    )
    kernels = compile_equations(equations_of(model, ["x", "n"]))
    sets = np.column_stack([np.linspace(1, 12, 13), np.geomspace(1e-3, 3, 13)])
    sets = sets[:, [("T", "w").index(name) for name in kernels.parameters]]
    for lanes in (1, 4, 8):
        found = integrate(kernels, sets, times=[20.0], lanes=lanes).outputs[:, 0]
        assert found[:, 0] == pytest.approx(np.geomspace(1e-3, 3, 13), rel=1e-9)
        assert found[:, 1] == pytest.approx(np.linspace(1, 12, 13), rel=1e-12)


def test_two_conditions_that_move_apart_have_no_slope_where_they_meet() -> None:
    model = load_model("x = 0; x' = piecewise(1, time >= a, 0) + piecewise(2, time >= b, 0); a = 3; b = 3")
    kernels = compile_equations(equations_of(model, ["x"]))
    with pytest.raises(CellsimError, match="no derivative by a, which moves that day"):
        integrate(kernels, [3.0, 3.0], times=[5.0], directions=["a"])


def test_the_likelihood_and_its_gradient_know_the_day() -> None:
    text = "x = 1; x' = 0.05*(1 - x) - piecewise(s, time >= T && time < T + 7, 0)*x; s = 0.3; T = 100"
    rows = [("y", 90.0, 1.0), ("y", 104.0, 0.3), ("y", 259.0, 1.0)]
    case = tiny_case(
        text,
        {"y": ("x", 0.1)},
        rows,
        {"s": ("log-normal", -1.2, 1.0), "T": ("log-normal", math.log(101), 0.1)},
    )
    objective = objective_of(case)
    theta = objective.theta({"s": 0.3, "T": 101.3})
    found = objective.evaluate(theta, gradient=True, rtol=1e-8)
    level = 0.05 / 0.35
    wanted = level + (1 - level) * math.exp(-0.35 * (104 - 101.3))
    assert found.predicted[1] == pytest.approx(wanted, rel=1e-5)
    assert found.jacobian is not None
    for j, step in enumerate(np.eye(theta.size) * 1e-4):
        ahead, behind = (objective.evaluate(theta + sign * step, rtol=1e-8).residuals for sign in (1, -1))
        assert found.jacobian[:, j] == pytest.approx((ahead - behind) / 2e-4, rel=1e-4, abs=1e-5)


# ---- conditions on states -------------------------------------------------------------------------------


def test_a_peak_between_two_steps_is_not_stepped_over() -> None:
    text = "s = 0; c = 1; s' = c; c' = -s; n = 0; n' = 0; x = 0; x' = piecewise(1, s > 0.9999, 0); at (s > 0.9999): n = n + 1"
    each = 2 * math.acos(0.9999)
    for solver in SOLVERS:
        seen = simulate(load_model(text), NONE, [20.0], solver=solver, rtol=1e-9, atol=1e-12)
        assert seen["n"][0] == 3, solver
        assert seen["x"][0] == pytest.approx(3 * each, rel=1e-4), solver


def test_an_event_that_its_own_values_undo_waits_for_the_next_rise() -> None:
    # A = exp(-t) meets B = 1 - exp(-t) at ln 2, where both are a half; libRoadRunner goes on so too
    text = "A = 1; B = 0; A' = -A; B' = A; at (B > A): A = 0.5, B = 0.5"
    for solver in SOLVERS:
        assert last(text, "A", 3.0, solver) == pytest.approx(math.exp(-3), abs=2e-5), solver


BOUNCE = "y = 1; v = 0; y' = v; v' = -9.81; at (y < 0): y = 0, v = -{0}*v"


@pytest.mark.parametrize("kept", [0.8, 0.3])
def test_events_without_end_are_told_by_name_and_time(kept: float) -> None:
    stop = math.sqrt(2 / 9.81) * (1 + kept) / (1 - kept)  # bounces pile up before this time
    for solver in SOLVERS:
        with pytest.raises(CellsimError, match=r"without end.*_E0 fires again and again") as told:
            last(BOUNCE.format(kept), "y", 20.0, solver)
        time = float(
            str(told.value).split("ime " if solver == "rodas" else "past day ")[1].split(":")[0].split(" ")[0]
        )
        assert time == pytest.approx(stop, rel=0.02)
        height = last(BOUNCE.format(kept), "y", 0.6, solver)
        first, speed = math.sqrt(2 / 9.81), kept * math.sqrt(2 * 9.81)
        assert height == pytest.approx(speed * (0.6 - first) - 9.81 / 2 * (0.6 - first) ** 2, abs=1e-5)
    with pytest.raises(CellsimError, match="without end"):
        last("a = 0; a' = 0; x = 0; x' = 1; at (x > 1 && a < 0.5): a = 1; at (a > 0.5): a = 0", "a", 2.0)


# conditions whose two sides lead back to them: Filippov's own example, one beside a drift, a switched second derivative
# (a stretch of v = -x), a thermostat without a dead band; text, the instant from which on there is no solution, what is named
SLIDES = {
    "x = 1; x' = piecewise(-1, x > 0, 1)": (1.0, "'0 < x'"),
    "x = 1; y = 0; x' = piecewise(-1, x > 0, 1) + 0.3*y; y' = 0": (1.0, "'0 < x'"),
    "x = 1; v = 0; x' = v; v' = piecewise(-1, x + v > 0, 1)": (math.sqrt(3) - 1, "'0 < (x + v)'"),
    "x = 5; x' = piecewise(2, x < 3, 0) - 0.4*x": (math.log(5 / 3) / 0.4, "'x < 3'"),
    "x = 1; u = -1; x' = u; u' = 0; at (x < 0): u = 1; at (x > 0): u = -1": (1.0, "_E"),
}


@pytest.mark.parametrize("text", SLIDES)
def test_what_slides_along_a_condition_is_refused_at_once(text: str) -> None:
    """Witness: where each side's closed form meets the condition; no more than some thousand steps are spent there."""
    since, name = SLIDES[text]
    kernels = compile_equations(equations_of(load_model(text), ["x"]))
    found = integrate(kernels, np.zeros(0), Doses(), [since + 3.0])
    assert found.status[0] in (4, 8) and "without end" in found.messages[0] and name in found.messages[0]
    assert float(found.messages[0].split()[2]) == pytest.approx(since, rel=2e-5)
    assert found.steps + found.rejected < 8000
    with pytest.raises(SimulationError, match=f"without end.*{re.escape(name)}"):
        last(text, "x", since + 3.0)
    assert np.isfinite(last(text, "x", since - 1e-3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1; x' = piecewise(-1, x > 0, 1)", "repeats itself|hardly any time"),
        ("x = 1; y = 0; x' = piecewise(-1, x > 0, 1) + 0.3*sin(y); y' = 1", "hardly any time"),
        ("x = 1; u = -1; x' = u; u' = 0; at (x < 0): u = 1; at (x > 0): u = -1", "_E. fires again and again"),
    ],
)
def test_the_second_solver_does_not_slide_for_long_either(text: str, said: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Long before it has asked for as many rates as it may."""
    asked: list[int] = []
    rates, whole = simulation._Motion.rates, simulation.integrate_scipy
    monkeypatch.setattr(simulation, "integrate_scipy", partial(whole, max_evaluations=50_000))
    monkeypatch.setattr(simulation._Motion, "rates", lambda self, *at: asked.append(1) or rates(self, *at))
    with pytest.raises(SimulationError, match=f"past day 1.*({said})"):
        last(text, "x", 5.0, "scipy")
    assert len(asked) < 3_000


def test_one_simulation_of_a_group_slides_and_the_others_end() -> None:
    """Closed form: with the other side at -0.5 instead, x falls on from day 1 at that rate."""
    text = "x = 1; x' = piecewise(-1, x > 0, b); b = 1"
    kernels = compile_equations(equations_of(load_model(text), ["x"]))
    sets = np.array([[-0.5], [1.0], [-0.25], [2.0], [-1.0]])
    for lanes in (1, 4):
        found = integrate(kernels, sets, Doses(), [0.5, 3.0], lanes=lanes)
        assert found.status.tolist() == [0, 8, 0, 8, 0], lanes
        assert found.outputs[:, 0, 0] == pytest.approx(0.5)
        assert found.outputs[::2, 1, 0] == pytest.approx(2 * sets[::2, 0])
        assert np.isnan(found.outputs[[1, 3], 1, 0]).all()


@pytest.mark.parametrize("speed", [10, 200, 1000, 3000])
def test_a_fast_wave_of_a_state_is_not_taken_for_a_slow_one(speed: float) -> None:
    """Closed form: y climbs while the sine is positive and falls back while it is negative; n counts its periods."""
    text = (
        f"x = 0; x' = 1; n = 0; n' = 0; at (cos({speed}*x) < 0): n = n + 1; "
        f"y = 0; y' = piecewise(1, sin({speed}*x) > 0, -1)"
    )
    seen = simulate(load_model(text), NONE, [1.0, 3.0], rtol=1e-8)
    half = math.pi / speed
    phase = np.array([1.0, 3.0]) % (2 * half)
    assert seen["y"] == pytest.approx(np.where(phase < half, phase, 2 * half - phase), abs=1e-7)
    assert seen["n"] == pytest.approx(np.floor(np.array([1.0, 3.0]) / (2 * half) + 0.75))


# ---- one instant ----------------------------------------------------------------------------------------

DOSED = Schedule.at([1], cells=10, product="x")
PAIRS = {  # text, quantity, what it is on day 1, and on day 2
    "a dose is in what an event reads": ("x = 1; x' = 0; y = 0; y' = 0; at (time >= 1): y = x", "y", 11, 11),
    "a dose sets off an event": ("x = 1; x' = 0; y = 0; y' = 0; at (x > 5): y = x", "y", 11, 11),
    "and one that waits for time too": (
        "x = 1; x' = 0; y = 0; y' = 0; at (x > 5 && time >= 1): y = 2*x", "y", 22, 22,
    ),
    "an event may undo a dose": ("x = 1; x' = 0; at (time >= 1): x = 0", "x", 0, 0),
    "events at one instant start from the same values": (
        "x = 1; x' = 0; y = 5; y' = 0; at (time >= 1): y = x; at (time >= 1): x = y", "x", 5, 5,
    ),
    "also one on time and one on states": (
        "x = 1; x' = 0; y = 5; y' = 0; at (time >= 1): y = x; at (x > 5): x = y", "x", 5, 5,
    ),
    "an event set off by another sees its values": (
        "x = 1; x' = 0; y = 0; y' = 0; z = 0; z' = 0; at (time >= 1): y = x; at (y > 5): z = y", "z", 11, 11,
    ),
    "a window that opens is open behind the instant": (
        "x = 1; x' = 0; y = 0; y' = piecewise(x, time >= 1, 0)", "y", 0, 11,
    ),
    "a condition that a dose makes true holds from there": (
        "x = 1; x' = 0; y = 0; y' = piecewise(1, x > 5, 0)", "y", 0, 1,
    ),
    "a window and an event at one instant": (
        "x = 1; x' = 0; y = 0; y' = piecewise(x, time > 1, 0); at (time >= 1): x = 3", "y", 0, 3,
    ),
    "the last in the file sets what two events set": (
        "x = 1; x' = 0; at (time >= 1): x = 2; at (time > 0.5 && time >= 1): x = 3", "x", 3, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", PAIRS)
def test_what_happens_at_one_instant_has_one_order(story: str) -> None:
    text, name, there, after = PAIRS[story]
    for solver in SOLVERS:
        seen = simulate(load_model(text), DOSED, [0.5, 1.0, 2.0], solver=solver)[name]
        assert seen[1:] == pytest.approx([there, after], abs=1e-9), solver


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("x0", "options", "first"), [(0, "", 0), (0, "", -3), (0, "", 1), (6, "", 0), (6, ", t0=false", 1)]
)
def test_doses_on_the_start_day_set_off_events_as_in_libroadrunner(
    x0: float, options: str, first: float, solver: str
) -> None:
    """There, doses are events that fire at their instants, the start included."""
    import antimony
    import roadrunner

    text = f"x = {x0}; x' = 0; n = 0; n' = 0; at (x > 5){options}: n = n + 1, x = 0"
    start = min(first, 0.0)
    doses = "".join(f"at (time >= {first - start + 7 * k}), t0=false: x = x + 10;" for k in range(4))
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"{text}; {doses}") >= 0, antimony.getLastError()
    witness = roadrunner.RoadRunner(antimony.getSBMLString(antimony.getMainModuleName()))
    witness.simulate(0, 30 - start, 200)
    schedule = Schedule.every(7, cells=10, doses=4, product="x", start=first)
    found = simulate(load_model(text), schedule, [30.0], solver=solver)
    assert (found["n"][0], found["x"][0]) == (witness["n"], witness["x"])
    assert witness["n"] == {"": 0 if x0 else 4}.get(options, 5)


def test_sets_and_sensitivities_know_events_of_the_start_day() -> None:
    text = "x = x0; x' = -x; y = 0; y' = 0; x0 = 1; k = 2; at x > 5: y = y + k*x, x = 0"
    kernels = compile_equations(equations_of(load_model(text), ["y"]))
    doses = [Doses(jumps=((day, "x", 10.0),)) for day in (0.0, 0.0, 1.0)]
    sets = [
        [1.0, 2.0],
        [6.0, 2.0],
        [1.0, 3.0],
    ]  # x0, k; in the second the event has been true before the start
    order = [kernels.equations.parameters.index(name) for name in ("x0", "k")]
    given = np.array(sets)[:, np.argsort(order)]
    several = integrate(kernels, given, doses, [0.0, 2.0]).outputs[:, :, 0]
    assert several == pytest.approx(np.array([[22, 22], [0, 0], [0, 3 * (10 + math.exp(-1))]]), rel=1e-6)
    found = integrate(kernels, given[:1], doses[0], [0.0, 2.0], directions=["x0", "k"]).sensitivities
    assert found is not None
    assert found[0, :, 0] == pytest.approx(np.array([[2, 11], [2, 11]]), rel=1e-9)  # y = k (x0 + 10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rate", [1.0, 0.3, 0.7, 3.0])
def test_a_sample_at_the_instant_of_an_event_on_states_is_read_after_it(rate: float, solver: str) -> None:
    model = load_model(f"x = 0; x' = {rate}; z = 0; z' = 0; at x >= 5: z = 1")
    day = 5 / rate
    assert simulate(model, Schedule(), [day], solver=solver)["z"].tolist() == [1]
    assert simulate(model, Schedule(), [day / 2, day, 3 * day], solver=solver)["z"].tolist() == [0, 1, 1]
    before = simulate(model, Schedule(), [day * (1 - 1e-9)], solver=solver)["z"]
    assert before.tolist() == [0]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_bump_between_two_bends_is_not_stepped_over(solver: str) -> None:
    """The area under 1 - u^2 from -1 to 1 is 4/3."""
    for days in (400.0, 1e5):
        found = last("x = 0; x' = max(0, 1 - ((time - 200)*10)^2)", "x", days, solver)
        assert found == pytest.approx(4 / 30, rel=1e-5)


def test_samples_at_an_instant_are_read_after_everything() -> None:
    model = load_model("x = 0; x' = 0; at (time >= 1): x = 2*x")
    kernels = compile_equations(equations_of(model, ["x"]))
    seen = integrate(kernels, [], Doses(jumps=((1.0, "x", 3.0),)), [1.0, 1.0, 2.0]).outputs[0, :, 0]
    assert seen.tolist() == [6.0, 6.0, 6.0]


def test_events_that_pile_up_but_come_to_rest_are_gone_through() -> None:
    text = "A = 2; B = 3; A' = 1; B' = -1; at (A > B): A = 2"
    # they meet at t = 1/2, then half as long again: at 1/2, 3/4, 7/8 ..., and rest at t = 1 with A = B = 2
    for solver in SOLVERS:
        assert last(text, "B", 1.5, solver) == pytest.approx(1.5, abs=1e-6), solver
        assert last(text, "A", 1.5, solver) == pytest.approx(2.5, abs=1e-4), solver


def test_more_days_than_anyone_reads_are_refused(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    from cellsim.cli import main

    (tmp_path / "m.ant").write_text("x = 1; x' = -x", encoding="utf-8")
    assert main(["simulate", str(tmp_path / "m.ant"), "--until", "1e9"]) != 0
    assert "the most" in capsys.readouterr().err


# jumps of rates where states cross a level: text, sampled state, day, slopes in closed form
CROSSINGS = {
    # x = exp(-t/10) meets k at 10 ln(1/k)
    "a level": (
        "x = 1; z = 0; x' = -0.1*x; z' = piecewise(1, x > k, 0); k = 0.5",
        {"k": -10 / 0.5},
    ),
    "both sides written": (
        "x = 1; z = 0; x' = -a*x; z' = piecewise(2, x <= k, 3, x > k); k = 0.5; a = 0.1",
        {"k": -20.0, "a": -math.log(2) / 0.1**2},
    ),
    # up to k at t = k/3, from there 1 a day: x = k + 10 - k/3
    "its own rate": ("z = 0; z' = piecewise(3, z < k, 1); k = 2", {"k": 2 / 3}),
    # the level rises past x on day c, before x has come down to k: 2 a day until then, 0.5 after
    "a level that jumps": (
        "x = 1; z = 0; x' = -0.1*x; y = 0; y' = 1; z' = piecewise(2, x > k*piecewise(1, y < c, 1.2), 0.5);"
        " k = 0.5; c = 6",
        {"k": 0.0, "c": 1.5},
    ),
    # the whole part of exp(t/10)/k rises by one at 10 ln(2 k), 10 ln(3 k), ... to day 10
    "a floor": ("x = 1; z = 0; x' = 0.1*x; z' = floor(x/k); k = 0.6", {"k": -3 * 10 / 0.6}),
    "by way of a definition": (
        "x = 1; w := piecewise(1, x > k, 0); z = 0; u = 0; x' = -0.1*x; u' = w; z' = u; k = 0.5",
        {"k": -20 * (10 - 10 * math.log(2))},
    ),
    # no jump: the integral of (exp(-t/10) - k) as long as it is positive
    "a kink": (
        "x = 1; z = 0; x' = -0.1*x; z' = piecewise(x - k, x > k, 0); k = 0.5",
        {"k": -10 * math.log(2)},
    ),
    "a larger one": ("x = 1; z = 0; x' = -0.1*x; z' = max(x - k, 0); k = 0.5", {"k": -10 * math.log(2)}),
}


@pytest.mark.parametrize("crossing", CROSSINGS)
def test_a_jump_of_a_rate_moves_with_the_crossing_of_a_state(crossing: str) -> None:
    text, slopes = CROSSINGS[crossing]
    model = load_model(text)
    kernels = compile_equations(equations_of(model, ["z"]))
    values = {each.name: each.value for each in model.parameters}
    p = np.array([values[name] for name in kernels.parameters])
    found = integrate(kernels, p, times=[10.0], directions=list(kernels.parameters), rtol=1e-9)
    assert found.sensitivities is not None
    for j, name in enumerate(kernels.parameters):
        assert found.sensitivities[0, 0, 0, j] == pytest.approx(slopes[name], rel=1e-4, abs=1e-6)
        step = 1e-4 * np.eye(p.size)[j]
        ahead, behind = integrate(kernels, [p + step, p - step], times=[10.0], rtol=1e-10).outputs[:, 0, 0]
        assert (ahead - behind) / 2e-4 == pytest.approx(slopes[name], rel=1e-3, abs=1e-5)


def test_crossings_are_met_in_every_lane() -> None:
    text = "x = 1; z = 0; x' = -0.1*x; z' = piecewise(1, x > k, 0); k = 0.5"
    kernels = compile_equations(equations_of(load_model(text)))
    levels = np.linspace(0.4, 0.9, 8)
    for lanes in (1, 2, 4, 8):
        found = integrate(kernels, levels[:, None], times=[10.0], lanes=lanes)
        assert found.states[:, 0, 1] == pytest.approx(-10 * np.log(levels), rel=2e-5), lanes


def test_a_crossing_moves_with_a_dose_and_its_time() -> None:
    # a dose of D on day s lifts exp(-t/10): the level is met 10 ln((1 + D exp(s/10))/k) after the start
    text = "x = 1; z = 0; x' = -0.1*x; z' = piecewise(1, x > k, 0); k = 0.5"
    kernels = compile_equations(equations_of(load_model(text), ["z"]))
    doses = Doses(jumps=((3.0, "x", 0.2),))
    found = integrate(
        kernels, [0.5], doses, [12.0], directions=[("jump", 0), ("jump time", 0), ("initial", "x")], rtol=1e-9
    )
    whole = 1 + 0.2 * math.exp(0.3)
    wanted = [10 * math.exp(0.3) / whole, 0.2 * math.exp(0.3) / whole, 10 / whole]
    assert found.outputs[0, 0, 0] == pytest.approx(10 * math.log(whole / 0.5), rel=1e-6)
    assert found.sensitivities is not None
    assert found.sensitivities[0, 0, 0] == pytest.approx(wanted, rel=1e-5)


def test_a_branch_without_values_beyond_its_end_is_left_there() -> None:
    # the integral of -ln(1 - t/2) up to day 2 is 2; then 1 a day
    text = "x = 1; z = 0; x' = -0.5; z' = piecewise(-log(x), x > 0, 1)"
    for solver in SOLVERS:
        assert last(text, "z", 10.0, solver) == pytest.approx(10.0, rel=1e-5), solver


@pytest.mark.parametrize("max_step", [np.inf, 0.3, 0.02])
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("power", [0.3, 0.5, 0.8])
def test_a_level_that_is_touched_and_not_crossed_has_no_slope(
    power: float, rtol: float, max_step: float
) -> None:
    """x = (1 - (1 - power) a t)^(1/(1 - power)) comes to rest at 0 on a day that no rate there tells the slope of.

    However long steps are; dx/da before that day is its own witness.
    """
    kernels = compile_equations(equations_of(load_model(touching(power)), ["z", "x"]))
    end = 1 / (1 - power) / 0.3
    carried = partial(integrate, kernels, [0.3], directions=["a"], rtol=rtol, max_step=max_step)
    found = carried(times=[0.75 * end])
    assert found.sensitivities is not None
    exact = -0.75 * end * 0.25 ** (power / (1 - power))
    assert found.sensitivities[0, 0, 1, 0] == pytest.approx(exact, rel=max(20 * rtol, 1e-7))
    found = carried(times=[1.5 * end], max_steps=100_000)
    assert "'0 < x' turns there without crossing" in found.messages[0]
    assert np.isnan(found.outputs).all()


def touching(power: float) -> str:
    return f"x = 1; x' = piecewise(-a*x^{power}, x > 0, 0); z = 0; z' = piecewise(1, x > 0, 0); a = 0.3"


def test_what_comes_to_rest_where_its_rate_ends_has_a_slope_all_the_same() -> None:
    """x = (1 - a t/2)^2, then 0 for all a: its own rates do not jump."""
    kernels = compile_equations(
        equations_of(load_model("x = 1; x' = piecewise(-a*sqrt(x), x > 0, 0); a = 0.3"), ["x"])
    )
    for max_step in (np.inf, 0.02):
        found = integrate(kernels, [0.3], times=[10.0], directions=["a"], max_step=max_step)
        assert found.sensitivities is not None
        assert found.sensitivities[0, 0, 0, 0] == pytest.approx(0.0, abs=1e-12)


FALLS = "x = 1; v = -1; x' = v; v' = 0.5; d = 0.01; z = 1; "  # x = (1 - t/2)^2 crosses d on day 2 - 2 sqrt(d)
AFTER = {
    "z' = piecewise(0, x > d, 1)": lambda s: 1 + 3 - (2 - 2 * s) - (3 - (2 + 2 * s) if s < 0.5 else 0),
    "z' = -0.1*z; at (x < d): z = 1": lambda s: math.exp(-0.1 * (3 - (2 - 2 * s))),
}


@pytest.mark.parametrize("max_step", [np.inf, 0.03])
@pytest.mark.parametrize("rest", AFTER)
def test_a_level_that_is_crossed_slowly_has_a_slope_until_its_error_hides_it(
    rest: str, max_step: float
) -> None:
    """z on day 3 by d, the depth of the crossing: differences of the closed form, down to a ten-thousandth."""
    kernels = compile_equations(equations_of(load_model(FALLS + rest), ["z"]))
    for depth in (0.09, 0.01, 1e-4):
        found = integrate(kernels, [depth], times=[3.0], directions=["d"], max_step=max_step)
        assert found.sensitivities is not None
        step = 1e-4 * depth
        ahead, behind = (AFTER[rest](math.sqrt(depth + sign * step)) for sign in (1, -1))
        assert found.sensitivities[0, 0, 0, 0] == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


def test_an_event_whose_condition_is_only_touched_has_no_slope() -> None:
    """x = (1 - a t/2)^2 reaches 0 on day 2/a, where an event sets z; it is named."""
    text = (
        "x = 1; x' = piecewise(-a*sqrt(x), x > 0, 0); z = 5; z' = -0.1*z; a = 0.3; empty: at (x <= 0): z = 1"
    )
    kernels = compile_equations(equations_of(load_model(text), ["z"]))
    for max_step in (np.inf, 0.3, 0.02):
        found = integrate(kernels, [0.3], times=[10.0], directions=["a"], max_step=max_step)
        assert "the condition of empty turns there without crossing" in found.messages[0]
        assert np.isnan(found.outputs).all()
    found = integrate(kernels, [0.3], times=[10.0])
    assert found.outputs[0, 0, 0] == pytest.approx(math.exp(-0.1 * (10 - 2 / 0.3)), rel=1e-3)


def test_the_likelihood_and_its_gradient_know_the_crossing() -> None:
    text = "x = 1; z = 0; x' = -a*x; z' = piecewise(1, x > k, 0); k = 0.5; a = 0.1"
    case = tiny_case(
        text,
        {"y": ("z", 0.1)},
        [("y", 2.0, 2.0), ("y", 12.0, 7.0)],
        {"k": ("log-normal", math.log(0.5), 0.3), "a": ("log-normal", math.log(0.1), 0.3)},
    )
    objective = objective_of(case)
    theta = objective.theta({"k": 0.52, "a": 0.11})
    found = objective.evaluate(theta, gradient=True, rtol=1e-8)
    assert found.predicted[1] == pytest.approx(-math.log(0.52) / 0.11, rel=1e-6)
    assert found.jacobian is not None
    for j, step in enumerate(np.eye(theta.size) * 1e-4):
        ahead, behind = (objective.evaluate(theta + sign * step, rtol=1e-8).residuals for sign in (1, -1))
        assert abs(found.jacobian[:, j]).max() > 0.1
        assert found.jacobian[:, j] == pytest.approx((ahead - behind) / 2e-4, rel=1e-4, abs=1e-5)


# ---- smooth functions of time ---------------------------------------------------------------------------


def bell(centre: object, width: object) -> str:
    """A pulse of area 1."""
    return f"exp(-((time - {centre})/{width})^2)/({width}*sqrt(3.141592653589793))"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("text", "days", "exact"),
    [
        (f"n = 0; n' = {bell(50, 0.01)}", [49.0, 50.0, 100.0], [0.0, 0.5, 1.0]),
        (f"n = 0; n' = {bell(50, 1e-5)}", [50.0, 1000.0], [0.5, 1.0]),
        (f"n = 0; c = 37.123; w = 0.01; g := {bell('c', 'w')}; n' = 2*g", [30.0, 100.0], [0.0, 2.0]),
        (
            f"n = 0; n' = {bell(50, 0.01)} + {bell(20.5, 0.003)} + 0.01*{bell(90, 0.002)}",
            [10.0, 40.0, 80.0, 100.0],
            [0.0, 1.0, 2.0, 2.01],
        ),
        ("n = 0; n' = (tanh((time - 50)/0.001) - tanh((time - 50.1)/0.001))/2", [10.0, 100.0], [0.0, 0.1]),
        ("n = 0; n' = 0.001/3.141592653589793/((time - 50)^2 + 1e-6)", [100.0], [2 / np.pi * np.arctan(5e4)]),
        (f"n = 1; n' = -n*{bell(50, 0.01)}", [49.0, 100.0], [1.0, np.exp(-1)]),
        (
            f"n = 1; n' = -n*piecewise({bell(50, 0.01)}, time < 60, {bell(70, 0.01)})",
            [49.0, 65.0, 100.0],
            [1.0, np.exp(-1), np.exp(-2)],
        ),
        ("n = 0; m = 4; n' = exp(-((time - 50)/0.01)^m)/0.01", [100.0], [2 * special.gamma(1.25)]),
        # one pulse a week: the integral over a period of exp(-a sin^2) is that of Bessel's I_0
        ("n = 0; n' = exp(-1000*sin(3.141592653589793*time/7)^2)", [70.0], [70 * special.ive(0, 500)]),
    ],
)
def test_a_narrow_pulse_of_time_is_not_stepped_over(
    text: str, days: list[float], exact: list[float], solver: str
) -> None:
    """Areas of bells, of a window with soft edges, of Cauchy's curve; what they do to a state by the exponential."""
    seen = simulate(load_model(text), NONE, days, solver=solver)  # type: ignore[arg-type]
    assert seen["n"] == pytest.approx(exact, rel=1e-4, abs=1e-12)


def test_pulses_of_each_set_of_parameters_are_seen_in_lanes() -> None:
    """n(t) is a normal distribution function, whatever its middle; its slope by the middle minus the density."""
    kernels = compile_equations(equations_of(load_model(f"n = 0; c = 1; n' = {bell('c', 0.01)}"), ["n"]))
    centres = np.array([3.3, 11.7, 42.0, 77.77, 98.9, 150.0, 20.0, 64.0, 5.0])
    found = integrate(kernels, centres[:, None], times=[50.0, 100.0])
    assert found.outputs[:, :, 0] == pytest.approx(
        np.column_stack([centres < 50, centres < 100]).astype(float), rel=1e-5, abs=1e-9
    )
    slopes = integrate(kernels, [42.0], times=[42.005, 60.0], directions=["c"]).sensitivities
    assert slopes is not None
    density = np.exp(-0.25) / (0.01 * np.sqrt(np.pi))
    assert slopes[0, :, 0, 0] == pytest.approx([-density, 0.0], rel=1e-3, abs=1e-3)


def test_what_step_control_sees_by_itself_gets_no_stops() -> None:
    """Of sines and broad bells; a pulse has one on each flank, a soft step one."""

    def stops(rate: str) -> tuple[float, ...]:
        system = equations_of(load_model(f"x = 0; x' = {rate}")).system
        return turnings(system, [], 0.0, 100.0).steep

    assert (
        stops("sin(6.283185307179586*time) - x")
        == stops("exp(-((time - 50)/40)^2)*x")
        == stops("time*x")
        == ()
    )
    half = 0.01 * np.sqrt(np.log(2))
    assert stops("exp(-((time - 50)/0.01)^2)") == pytest.approx((50 - half, 50 + half), abs=1e-9)
    assert stops("tanh((time - 30)/0.01)") == pytest.approx((30.0,), abs=1e-9)


def test_what_rises_and_falls_too_often_is_refused_by_name() -> None:
    model = load_model("x = 0; x' = sin(100000*time)")
    with pytest.raises(SimulationError, match=r"'sin\(100000\*time\)' rises and falls too often"):
        simulate(model, NONE, [0, 1000])


# ---- what turns and turns back within a step ------------------------------------------------------------------

CLOCK = "s = 0; s' = 1; n = 0; "
HALF_DAY = "n' = piecewise(1, {}, 0)"
PARABOLA = "s = 0; s' = 0.01; x = 0; x' = 0.0402*(1 - 2*s); n = 0; n' = floor(x)"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("text", "until", "exact"),
    [
        (CLOCK + HALF_DAY.format("s >= 100 && s < 107"), 365.0, 7.0),
        (CLOCK + HALF_DAY.format("s >= 100 && s < 100.01"), 365.0, 0.01),
        (CLOCK + HALF_DAY.format("s - 7*floor(s/7) < 0.5"), 30.0, 2.5),
        (CLOCK + HALF_DAY.format("abs(s - 50) < 0.01"), 365.0, 0.02),
        ("x = 10; x' = -x; n = 0; " + HALF_DAY.format("x < 5 && x > 4.9"), 10.0, math.log(5 / 4.9)),
        (
            "d = 1000; x = 10; x' = -0.1*x; at (x < 5): d = time; n = 0; "
            + HALF_DAY.format("time >= d + 50 && time < d + 50.02"),
            365.0,
            0.02,
        ),
        # two levels crossed at one instant, one of them twice over
        (
            "x = 10; x' = -x; n = 0; n' = piecewise(1, x < 5, 0) + piecewise(2, 2*x < 10, 0)",
            10.0,
            3 * (10 - math.log(2)),
        ),
        ("x = 10; x' = -x; n = 0; m = 0; at (x < 5): n = n + 1; at (2*x < 10): m = m + 1", 10.0, 1.0),
        # 4.02 s (1 - s) is above 1 in the middle of a hundred days, for the root of 1 - 4/4.02 of them
        (PARABOLA, 100.0, 100 * math.sqrt(1 - 4 / 4.02)),
    ],
)
def test_a_window_of_states_is_met_however_short(text: str, until: float, exact: float, solver: str) -> None:
    """The time spent in each, or how often it was entered."""
    # LSODA's own error of a hundred days' polynomial at its tolerance
    precise = 1e-4 if solver == "rodas" else 1e-3
    assert last(text, "n", until, solver) == pytest.approx(exact, rel=precise, abs=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        ("s > 50 && s < 50.01", 1),
        ("abs(s - 50) < 0.001", 1),
        ("time >= d + 50 && time < d + 50.001", 1),
    ],
)
def test_an_event_on_a_window_of_states_fires_each_time(condition: str, fires: int, solver: str) -> None:
    text = f"{CLOCK}d = 1000; at (time >= 20): d = time; at ({condition}): n = n + 1"
    assert last(text, "n", 365.0, solver) == fires


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_event_on_a_wave_fires_once_a_period(solver: str) -> None:
    """s = t: sin s passes 0.999 at asin(0.999) and every 2 pi after it."""
    assert last(f"{CLOCK}at (sin(s) > 0.999): n = n + 1", "n", 365.0, solver) == 58
