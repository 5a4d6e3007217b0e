"""Dosing told as stories, and motion held to closed forms, by both solvers."""

from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsim.case.case import load_case
from cellsim.dosing.delivery import cells_per_unit, deliver
from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.errors import ModelError, ScheduleError, SimulationError
from cellsim.library import model_file, shipped_models
from cellsim.model.formulas import parse_formula
from cellsim.model.model import Assignment, Event, Model, Parameter, State, load_model
from cellsim.solver import simulation
from cellsim.solver.simulation import simulate

SOLVERS = ("rodas", "scipy")
# what is asked of a step, and how far from the truth a whole run may end: the errors of all steps add up
RTOL, ATOL, WITHIN = 1e-8, 1e-11, {"rodas": 5e-8, "scipy": 2e-7}
DAYS = (0, 7, 14, 21, 49, 77, 105, 133, 161, 189, 217, 245)
RFIB = Product("rfib", "autologous", "gut")


def model_of(states, parameters=(), assignments=(), events=(), unit="Mcell"):
    """A small model from text: states {name: (initial, rate)}, parameters {name: value}, ..."""
    return Model(
        name="small",
        states=tuple(State(n, parse_formula(str(i)), parse_formula(r), unit) for n, (i, r) in states.items()),
        parameters=tuple(Parameter(n, float(v)) for n, v in dict(parameters).items()),
        assignments=tuple(Assignment(n, parse_formula(f)) for n, f in dict(assignments).items()),
        events=tuple(
            Event(
                name,
                parse_formula(when).args[0].cond,
                tuple((n, parse_formula(v)) for n, v in sets.items()),
                initially,
            )
            for name, when, sets, initially in events
        ),
        units=(("Mcell", "1e6 item"),),
        time_unit="day",
    )


ONE = model_of({"x": (0, "-k*x")}, {"k": 0.3}, {"double": "2*x"})
KA, KE = 1.7, 0.11
CHAIN = model_of(
    {"gut": (0, "-ka*gut"), "blood": (0, "ka*gut - ke*blood")},
    {"ka": KA, "ke": KE},
    {"total": "gut + blood"},
)


def run(model, schedule, times, solver="rodas", **more):
    return simulate(model, schedule, times, solver=solver, rtol=RTOL, atol=ATOL, **more)


def left_of(dose, t, k=0.3):
    """What is left at t of one infusion into a compartment that empties at rate k (cells in 1e6)."""
    amount, since = dose.cells / 1e6, t - dose.day
    if since < 0:
        return 0.0
    if not dose.duration:
        return amount * np.exp(-k * since)
    running = min(since, dose.duration)
    return amount / dose.duration / k * (np.exp(-k * (since - running)) - np.exp(-k * since))


def chain_at(t, dose=1.0):
    """Gut and blood after one unit dose at 0 (Bateman)."""
    t = np.maximum(t, 0.0)
    gut = dose * np.exp(-KA * t)
    return gut, dose * KA / (KA - KE) * (np.exp(-KE * t) - np.exp(-KA * t))


# ---- closed forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_bolus_and_zero_order_doses_match_the_closed_form(solver):
    schedule = Schedule.at([0, 1, 1.5, 6], cells=5e6, duration=[0, 3, 2, 0], product="x")
    times = np.sort([*np.linspace(0, 12, 50), 1.0, 1.5, 3.5, 4.0, 6.0])
    exact = [sum(left_of(dose, t) for dose in schedule) for t in times]
    assert run(ONE, schedule, times, solver)["x"] == pytest.approx(exact, rel=WITHIN[solver])


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_published_schedule_on_a_chain_matches_bateman(solver):
    schedule = Schedule.at(DAYS, cells=[5e7] * 7 + [7.5e7] * 5, product="rfib", products=[RFIB])
    times = np.linspace(0, 300, 77)
    found = run(CHAIN, schedule, times, solver)
    each = [chain_at(times - dose.day, dose.cells / 1e6 * (1.0)) for dose in schedule]
    blood = sum(np.where(times >= dose.day, one[1], 0.0) for dose, one in zip(schedule, each))
    assert found["blood"] == pytest.approx(blood, rel=WITHIN[solver], abs=1e-9)
    assert found["total"] == pytest.approx(found["gut"] + found["blood"], rel=1e-14)


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_error_is_what_was_asked_for(solver, rtol):
    schedule = Schedule.at(DAYS, cells=[5e7] * 7 + [7.5e7] * 5, product="gut")
    times = np.linspace(0, 300, 77)
    exact = sum(
        np.where(times >= dose.day, chain_at(times - dose.day, dose.cells / 1e6)[1], 0) for dose in schedule
    )
    found = simulate(CHAIN, schedule, times, solver=solver, rtol=rtol, atol=1e-3 * rtol)
    assert np.abs(found["blood"] - exact).max() < 5 * rtol * exact.max()
    area = 725 * KA / (KA - KE) * (1 / KE - 1 / KA) - (found["blood"][-1] / KE + found["gut"][-1] / KE)
    assert found.auc("blood") == pytest.approx(area, rel=5 * rtol)


@pytest.mark.parametrize("solver", SOLVERS)
def test_area_peak_and_days_below_match_the_closed_form(solver):
    schedule = Schedule.at([0, 7], cells=5e6, product="x")
    found, near = run(ONE, schedule, [0, 14], solver), WITHIN[solver]
    area = 5 / 0.3 * (2 - np.exp(-0.3 * 14) - np.exp(-0.3 * 7))
    assert found.auc("x") == pytest.approx(area, rel=near)
    assert found.auc("double", 7, 14) == pytest.approx(
        2 * (5 + 5 * np.exp(-2.1)) / 0.3 * (1 - np.exp(-2.1)), rel=near
    )
    assert found.peak("x") == (7.0, pytest.approx(5 + 5 * np.exp(-2.1), rel=near))
    below = (7 - np.log(5) / 0.3) + (7 - np.log(5 + 5 * np.exp(-2.1)) / 0.3)
    assert found.time_below("x", 1.0) == pytest.approx(below, rel=10 * near)
    assert found.at("x", [3.3, 7.0, 9.0]) == pytest.approx(
        [5 * np.exp(-0.99), 5 + 5 * np.exp(-2.1), (5 + 5 * np.exp(-2.1)) * np.exp(-0.6)], rel=10 * near
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_peak_between_samples_matches_bateman(solver):
    found = run(CHAIN, Schedule.at([2], cells=1e6, product="gut"), [30], solver)
    day = 2 + np.log(KA / KE) / (KA - KE)
    height = chain_at(np.array(day - 2))[1]
    assert found.peak("blood") == (
        pytest.approx(day, abs=1e-3),
        pytest.approx(height, rel=10 * WITHIN[solver]),
    )
    assert found.auc("blood", 2, 30) == pytest.approx(
        KA / (KA - KE) * ((1 - np.exp(-KE * 28)) / KE - (1 - np.exp(-KA * 28)) / KA), rel=WITHIN[solver]
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_rate_that_uses_time_matches_its_integral(solver):
    model = model_of({"x": (1, "cos(time)"), "y": (0, "piecewise(2, time < off, 0)")}, {"off": 3.3})
    times = np.linspace(-1, 9, 21)
    found = run(model, Schedule(), times, solver)
    assert found.start == -1.0
    assert found["x"] == pytest.approx(1 + np.sin(times) - np.sin(-1), abs=1e-6)
    later = run(model, Schedule(), [9.0], solver, start=-1)  # no sample hides the jump from the solver
    assert later["y"][0] == pytest.approx(2 * 4.3, rel=1e-6)


# ---- stories --------------------------------------------------------------------------------------------

TIMES = np.linspace(0, 20, 41)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_half_doses_are_one_dose(solver):
    half, whole = (Schedule.at([3, 8], cells=each, product="gut") for each in (2.5e6, 5e6))
    halves = run(CHAIN, half + half, TIMES, solver)["blood"]
    assert halves == pytest.approx(run(CHAIN, whole, TIMES, solver)["blood"], rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("solver", SOLVERS)
def test_back_to_back_infusions_are_one_long_infusion(solver):
    one = Schedule.at([2], cells=6e6, duration=6, product="gut")
    three = Schedule.at([2, 4, 6], cells=2e6, duration=2, product="gut")
    assert run(CHAIN, three, TIMES, solver)["blood"] == pytest.approx(
        run(CHAIN, one, TIMES, solver)["blood"], rel=WITHIN[solver], abs=1e-9
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_overlapping_infusions_of_one_product_add_up(solver):
    apart = [Schedule.at([day], cells=3e6, duration=4, product="gut") for day in (1, 3)]
    together = run(CHAIN, apart[0] + apart[1], TIMES, solver)["blood"]
    alone = [run(CHAIN, each, TIMES, solver)["blood"] for each in apart]
    assert together == pytest.approx(alone[0] + alone[1], rel=WITHIN[solver], abs=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_shorter_and_shorter_infusion_tends_to_a_bolus(solver):
    bolus = run(CHAIN, Schedule.at([2], cells=5e6, product="gut"), [5], solver)["gut"][0]
    gaps = []
    for duration in (1.0, 0.1, 0.01, 1e-6, 1e-12, 1e-17):
        given_slowly = Schedule.at([2], cells=5e6, duration=duration, product="gut")
        gaps.append(abs(run(CHAIN, given_slowly, [5], solver)["gut"][0] / bolus - 1))
    # an infusion of length d is on average d/2 later: relative difference ka d / 2
    assert gaps[1:3] == pytest.approx([KA * 0.1 / 2, KA * 0.01 / 2], rel=0.1)
    assert max(gaps[3:]) < 2e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_sample_at_the_instant_of_a_dose_is_read_after_it(solver):
    schedule = Schedule.at([0, 4, 9], cells=5e6, product="x")
    found = run(ONE, schedule, [0, 4 - 1e-9, 4, 9], solver)
    assert found["x"][0] == 5.0
    assert found["x"][2] - found["x"][1] == pytest.approx(5.0, rel=1e-6)
    assert found["x"][3] == pytest.approx(sum(left_of(dose, 9.0) for dose in schedule), rel=1e-6)
    assert run(ONE, schedule, [0], solver)["x"] == [5.0]  # a run without length
    assert run(ONE, schedule, [0, 3], solver)["x"][-1] == pytest.approx(5 * np.exp(-0.9), rel=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_shifted_calendar_shifts_the_answer(solver):
    schedule = Schedule.every(7, cells=5e6, doses=3, duration=0.25, product="gut")
    here = run(CHAIN, schedule, TIMES, solver)
    there = run(CHAIN, schedule.shifted(-931), TIMES - 931, solver)
    assert there["blood"] == pytest.approx(here["blood"], rel=WITHIN[solver], abs=1e-9)
    assert there.peak("blood")[0] == pytest.approx(here.peak("blood")[0] - 931, abs=1e-3)


@pytest.mark.parametrize(("solver", "count"), [("rodas", 12), ("scipy", 4)])
def test_every_dose_matters(solver, count):
    """All of the case's by the engine, the first ones by the slow solver."""
    given_doses = Schedule.at(
        DAYS[:count], cells=([5e7] * 7 + [7.5e7] * 5)[:count], product="rfib", products=[RFIB]
    )
    whole = run(CHAIN, given_doses, [400], solver).auc("blood")
    # all cells pass through blood
    assert whole == pytest.approx({12: 725, 4: 200}[count] / KE, rel=1e-6)
    for dropped in given_doses:
        left = replace(given_doses, infusions=[each for each in given_doses if each != dropped])
        lost = whole - run(CHAIN, left, [400], solver).auc("blood")
        assert lost == pytest.approx(dropped.cells / 1e6 / KE, rel=1e-4)


doses = st.lists(
    st.builds(
        Infusion,
        day=st.floats(1e-9, 18) | st.integers(0, 18),
        product=st.sampled_from(["gut", "blood"]),
        cells=st.floats(1e5, 1e8),
        duration=st.just(0.0) | st.floats(1e-3, 10),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=30)
@given(doses, st.randoms(use_true_random=False), st.sampled_from(SOLVERS))
def test_order_is_irrelevant_and_doses_superpose(infusions, random, solver):
    times = np.linspace(0, 30, 16)
    together = run(CHAIN, Schedule(infusions), times, solver)
    random.shuffle(infusions)
    assert np.array_equal(run(CHAIN, Schedule(infusions), times, solver).y, together.y)
    alone = sum(run(CHAIN, Schedule([each]), times, solver)["total"] for each in infusions)
    assert together["total"] == pytest.approx(alone, rel=20 * WITHIN[solver], abs=1e-6)


@settings(max_examples=20)
@given(doses)
def test_the_engine_agrees_with_its_witness(infusions):
    times = np.linspace(0, 30, 31)
    engine, witness = (run(CHAIN, Schedule(infusions), times, solver) for solver in SOLVERS)
    assert engine.y == pytest.approx(witness.y, rel=1e-5, abs=1e-6)
    assert engine.auc("blood") == pytest.approx(witness.auc("blood"), rel=1e-5)
    assert engine.peak("blood")[1] == pytest.approx(witness.peak("blood")[1], rel=1e-5)


# ---- events ---------------------------------------------------------------------------------------------

SAWTOOTH = model_of(
    {"x": (1, "1"), "falls": (0, "0"), "on": (0, "0")},
    {"T": 3.3},
    {"when": "2*T"},
    events=[
        ("fall", "x >= 2.5", {"x": "0", "falls": "falls + 1"}, True),
        ("switch", "time >= when", {"on": "1"}, True),
    ],
)


@pytest.mark.parametrize("solver", SOLVERS)
def test_events_by_state_and_by_time_match_the_sawtooth(solver):
    found = run(
        SAWTOOTH, Schedule.at([6.6, 9], cells=1e6, product="x"), [1.4, 3, 6.5, 6.6, 7.9, 9, 10], solver
    )
    # falls at 1.5, 4.0, 6.5 (from 0 at rate 1); a dose of 1 on 6.6 makes the next 8.0, one on 9 makes it 9.5
    assert found["x"] == pytest.approx([2.4, 1.5, 0.0, 1.1, 2.4, 2.0, 0.5], abs=1e-6)
    assert found["falls"][[0, 1, 3, 4, 5, 6]] == pytest.approx([0, 1, 3, 3, 4, 5])
    assert found["on"] == pytest.approx([0, 0, 0, 1, 1, 1, 1])
    assert found.auc("on") == pytest.approx(10 - 6.6, abs=1e-6)
    assert found.auc("falls") == pytest.approx(2.5 * 1 + 2.5 * 2 + 1.5 * 3 + 1.5 * 4 + 0.5 * 5, abs=1e-5)
    assert found.peak("x", end=6)[1] == pytest.approx(2.5, abs=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_event_on_a_curve_of_time_is_searched_for(solver):
    model = model_of(
        {"y": (0, "cos(time)"), "n": (0, "0"), "m": (0, "0")},
        assignments={"wave": "sin(time)"},
        events=[
            ("up", "wave > 0.5", {"n": "n + 1"}, True),
            ("window", "time > 3 && time < 5", {"m": "m + time"}, True),
        ],
    )
    # the sine passes 1/2 upwards at pi/6 + 2 pi k
    found = run(model, Schedule(), [0.52, 0.53, 6.8, 6.81, 20.0], solver)
    assert found["n"] == pytest.approx([0, 1, 1, 2, 4])
    assert found["m"][-1] == pytest.approx(3.0, rel=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    ("start", "initially", "on"), [(-5, True, 1), (0, True, 0), (0, False, 1), (2, False, 1)]
)
def test_a_switch_at_day_zero_fires_when_told(solver, start, initially, on):
    model = model_of({"on": (0, "0")}, events=[("switch", "time >= 0", {"on": "1"}, initially)])
    assert run(model, Schedule(), [4], solver, start=start)["on"] == [on]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_dose_can_set_off_an_event_and_that_another(solver):
    model = model_of(
        {"x": (0, "-0.1*x"), "a": (0, "0"), "b": (0, "0")},
        events=[("first", "x > 4", {"a": "x"}, True), ("second", "a > 0", {"b": "a + x", "x": "1"}, True)],
    )
    found = run(model, Schedule.at([3], cells=5e6, product="x"), [2.9, 3.0, 5.0], solver)
    assert found["a"] == pytest.approx([0, 5, 5])
    assert found["b"] == pytest.approx([0, 10, 10])
    assert found["x"] == pytest.approx([0, 1, np.exp(-0.2)], rel=1e-6)


# ---- what a dose becomes --------------------------------------------------------------------------------


def test_cells_reach_the_state_in_its_unit():
    mixed = replace(CHAIN, states=(CHAIN.states[0], replace(CHAIN.states[1], unit="pg/mL")))
    schedule = Schedule(
        [Infusion(0, "rfib", 5e7), Infusion(1, "gut_direct", 7.5e7, 0.5), Infusion(2, "drug", 3.0)],
        products=[RFIB, Product("gut_direct", "", "gut"), Product("drug", "", "blood")],
    )
    given_doses = deliver(schedule, mixed)
    assert given_doses.boluses == ((0.0, "gut", 50.0), (2.0, "blood", 3.0))
    assert given_doses.inflows == ((1.0, 1.5, "gut", 150.0),)
    assert deliver(Schedule.at([0], cells=2e6, product="gut"), CHAIN).boluses == ((0.0, "gut", 2.0),)


@pytest.mark.parametrize(
    ("unit", "cells"),
    [
        ("Mcell", 1e6),
        ("heap", 3e6),
        ("item", 1.0),
        ("cell", 1.0),
        ("1e6 cells", 1e6),
        ("1e6*item", 1e6),
        ("kcell", 1e3),
    ],
)
def test_units_that_count_cells(unit, cells):
    assert cells_per_unit(unit, {"Mcell": "1e+06 item", "heap": "3 Mcell"}) == cells
    undefined = {"Mcell": 1e6, "heap": None}.get(unit, cells)
    assert cells_per_unit(unit, {}) == undefined  # the usual names are known without a definition


def test_a_clock_that_does_not_count_days_is_refused():
    schedule = Schedule.at([0], cells=1e6, product="x")
    for unit in ("", "day", "d", "86400 second"):
        assert deliver(schedule, replace(ONE, time_unit=unit)).boluses
    hours = replace(ONE, time_unit="hour")
    with pytest.raises(ScheduleError, match="counts in hour"):
        simulate(hours, schedule, [1])
    assert simulate(hours, Schedule(), [1])["x"] == [0.0]


@pytest.mark.parametrize("unit", ["", "pg/mL", "mole", "Mcell_per_day", "loop", "percent", "1e6"])
def test_units_that_do_not_count_cells(unit):
    defined = {"Mcell_per_day": "1e6 item / 86400 second", "loop": "2 loop", "percent": "1e-2 dimensionless"}
    assert cells_per_unit(unit, defined) is None


def test_unknown_products_are_refused_all_at_once():
    schedule = Schedule([Infusion(0, "guts", 5e7), Infusion(1, "bloot", 5e7)])
    with pytest.raises(ScheduleError, match="Did you mean 'gut'") as caught:
        simulate(CHAIN, schedule, [1])
    assert len(caught.value.problems) == 2
    elsewhere = Product("rfib", "autologous", "infusate")
    with pytest.raises(ScheduleError, match="enters 'infusate'"):
        simulate(CHAIN, Schedule([Infusion(0, "rfib", 5e7)], products=[elsewhere]), [1])


# ---- the door -------------------------------------------------------------------------------------------


def test_the_simulation_starts_on_day_zero_or_with_what_is_earlier():
    growing = model_of({"x": (1, "x")})
    assert run(growing, Schedule.at([1], cells=1e6, product="x"), [2])["x"] == pytest.approx(
        [np.e**2 + np.e], rel=1e-6
    )
    assert simulate(growing, Schedule(), [-2, 1]).start == -2
    assert simulate(growing, Schedule.at([-3], cells=1, product="x"), [1]).start == -3
    assert simulate(growing, Schedule(), [5], start=4)["x"] == pytest.approx([np.e], rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_values_are_for_one_run_only(solver):
    schedule = Schedule()
    found = run(ONE, schedule, [2], solver, values={"k": 0.5, "x": 3})
    assert found["x"] == pytest.approx([3 * np.exp(-1)], rel=1e-6)
    assert dict(found.values) == {"k": 0.5, "x": 3}
    assert run(ONE, schedule, [2], solver)["x"] == [0.0]
    for values in ({"kk": 1}, {"double": 1}, {"k": np.nan}):
        with pytest.raises(ModelError):
            run(ONE, schedule, [2], solver, values=values)


def test_outputs_can_be_chosen():
    found = simulate(CHAIN, Schedule.at([0], cells=1e6, product="gut"), [0, 1], outputs=["total", "gut"])
    assert found.names == ("total", "gut")
    assert found["total"][0] == found["gut"][0] == 1.0
    assert found.units == {"total": "", "gut": "Mcell"}
    assert found.auc("total") > found.auc("gut")


@pytest.mark.parametrize(
    ("times", "options", "said"),
    [
        ([], {}, "No times"),
        ([1, np.nan], {}, r"times\[1\]"),
        ([2, 1], {}, "go back from day 2 to day 1"),
        # what NumPy would have made of them: day 19723, days, nanoseconds, the number behind a mask, and 1 and 2
        (np.array(["2024-01-01"], "M8[D]"), {}, r"times\[0\] is .*2024-01-01"),
        (np.array([5], "m8[D]"), {}, r"times\[0\]"),
        (np.array([5], "m8[ns]"), {}, r"times\[0\]"),
        ([date(2024, 1, 1)], {}, r"times\[0\]"),
        ([0, timedelta(days=1)], {}, r"times\[1\]"),
        (pd.to_timedelta([1], unit="D"), {}, r"times\[0\]"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), {}, r"times\[1\] is masked"),
        (["1", "2"], {}, r"times\[0\] is '1'|times\[0\] is .*'1'"),
        ([True], {}, r"times\[0\]"),
        ([1j], {}, r"times\[0\]"),
        ([1], {"start": np.timedelta64(0, "D")}, "not a finite day"),
        ([1], {"start": 2}, "first sample is on day 1"),
        ([6], {"start": 2}, "infusion of x is on day 0"),
        ([1], {"start": np.inf}, "not a finite day"),
        ([1], {"solver": "rodos"}, "Did you mean 'rodas'"),
        ([1], {"rtol": 0}, "rtol"),
        ([1], {"atol": np.nan}, "atol"),
        ([1], {"outputs": ["X"]}, "Did you mean 'x'"),
    ],
)
def test_what_cannot_be_asked_is_refused(times, options, said):
    with pytest.raises(SimulationError, match=said):
        simulate(ONE, Schedule.at([0, 5], cells=1e6, product="x"), times, **options)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_run_that_breaks_down_says_when_and_what(solver):
    explosion = model_of({"calm": (1, "-calm"), "wild": (1, "wild^2")})  # infinite on day 1
    with pytest.raises(
        SimulationError, match=r"past day (0\.999|1:).* wild changes fastest, at .* stands at"
    ):
        run(explosion, Schedule(), [2], solver)
    with pytest.raises(SimulationError, match=r"past day 0: .* root changes fastest, at nan"):
        run(model_of({"root": (-1, "ln(root)")}), Schedule(), [2], solver)


def test_the_witness_stops_when_it_has_worked_enough(monkeypatch):
    """Van der Pol takes some thousand evaluations; a limit below stops it on the way, one above changes nothing."""
    model = model_of({"x": (2, "y"), "y": (0, "1000*(1 - x^2)*y - x")})
    plain = run(model, Schedule(), [2000], "scipy")
    whole = simulation.integrate_scipy
    monkeypatch.setattr(simulation, "integrate_scipy", partial(whole, max_evaluations=500))
    with pytest.raises(SimulationError, match=r"past day \d.*as many rates .* changes fastest"):
        run(model, Schedule(), [2000], "scipy")
    monkeypatch.setattr(simulation, "integrate_scipy", partial(whole, max_evaluations=20_000))
    assert np.array_equal(run(model, Schedule(), [2000], "scipy").y, plain.y)


# ---- the shipped case -----------------------------------------------------------------------------------


def test_the_witness_sees_early_that_a_motion_repeats_itself(monkeypatch):
    """A sine of 1e5 days takes more than a million evaluations; one that decays (closed form) comes to rest in time."""
    whole, asked = simulation.integrate_scipy, []
    monkeypatch.setattr(simulation, "integrate_scipy", partial(whole, max_evaluations=50_000))
    rates = simulation._Motion.rates
    monkeypatch.setattr(simulation._Motion, "rates", lambda self, *at: asked.append(1) or rates(self, *at))
    with pytest.raises(
        SimulationError, match=r"repeats itself, and to go on to day 100000 .* changes fastest"
    ):
        run(model_of({"s": (0, "c"), "c": (1, "-s")}), Schedule(), [1e5], "scipy")
    assert len(asked) < 5_000
    decaying = run(model_of({"s": (0, "c"), "c": (1, "-s - 0.02*c")}), Schedule(), [10.0, 1e3], "scipy")
    w = np.sqrt(1 - 1e-4)
    assert decaying["s"] == pytest.approx(
        [np.exp(-0.1) * np.sin(10 * w) / w, np.exp(-10) * np.sin(1000 * w) / w], abs=2e-5
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_cell_of_the_case_is_accounted_for(solver):
    case, model = load_case("sjogren_rfib"), load_model("sjogren_rfib")
    found = simulate(model, case.timeline, [-500.0, 0.0, 245.0, 400.0], start=-931, solver=solver)
    infused = [sum(each.cells for each in case.timeline if each.day <= day) / 1e6 for day in found.times]
    assert infused[-1] == 1225
    assert found["accounted"] == pytest.approx(infused, rel=1e-8)


# ---- another tool as witness ----------------------------------------------------------------------------


def roadrunner(antimony_text, names, delivery, days, start):
    """States of a model under a delivery, by libRoadRunner (CVODE), restarted by hand at every change."""
    import antimony
    import roadrunner as rr

    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(antimony_text) >= 0, antimony.getLastError()
    engine = rr.RoadRunner(antimony.getSBMLString(antimony.getMainModuleName()))
    engine.integrator.relative_tolerance, engine.integrator.absolute_tolerance = 1e-10, 1e-12
    stops = sorted({start, *days, *(day for day, _, _ in delivery.boluses)})
    found, now = {}, start
    for stop in stops:
        if stop > now:
            engine.simulate(now, stop, 2)
        now = stop
        for day, state, amount in delivery.boluses:
            if day == stop:
                engine[state] = engine[state] + amount
        found[stop] = [engine[name] for name in names]
    return np.array([found[day] for day in days])


@pytest.mark.parametrize("name", [each for each in shipped_models() if each.startswith("persistence")])
@pytest.mark.parametrize("solver", SOLVERS)
def test_tutorial_models_match_libroadrunner(name, solver):
    model = load_model(name)
    entry = next(state.name for state in model.states if "infusate" in state.name)
    schedule = Schedule.at(DAYS[:6], cells=[5e7] * 6, product=entry)
    days = [0.0, 0.5, 3.0, 7.0, 20.0, 35.0, 80.0, 120.0]
    names = [each.name for each in (*model.states, *model.assignments)]
    witness = roadrunner(model_file(name).read_text(), names, deliver(schedule, model), days, 0.0)
    found = run(model, schedule, days, solver)
    ours = np.column_stack([found[each] for each in names])
    assert ours == pytest.approx(witness, rel=2e-6, abs=1e-8)


def test_days_without_a_gap_are_taken_in_every_array():
    """A mask that hides nothing, whole numbers and pandas' columns are days: exp(-t) by all."""
    model = load_model("x = 1; x' = -x")
    for times in (
        [1, 2],
        np.ma.array([1, 2], mask=[False, False]),
        pd.Series([1, 2], dtype="Int64"),
        (1.0, 2),
    ):
        assert simulate(model, Schedule(), times)["x"] == pytest.approx(np.exp([-1, -2]), rel=1e-5)
    with pytest.raises(ModelError, match=r"cs\.load_model"):
        simulate("persistence", Schedule(), [1])
