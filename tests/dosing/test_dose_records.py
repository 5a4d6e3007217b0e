"""Tables of doses told as stories, each held to an event processor of matrix exponentials (`exact_doses`) and to closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exact_doses import exact
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.dosing.delivery import deliver
from cellsim.dosing.schedule import Infusion, Reset, Schedule, SteadyState
from cellsim.errors import ScheduleError, SimulationError
from cellsim.predictions.plans import delivered
from cellsim.solver.integration import Doses, integrate
from cellsim.solver.restarts import settle

KA, K10, K12, K21 = 1.3, 0.4, 0.7, 0.5
MODEL = cs.load_model(f"""
depot = 0; central = 0; tissue = 0
depot' = -{KA}*depot
central' = {KA}*depot - ({K10} + {K12})*central + {K21}*tissue
tissue' = {K12}*central - {K21}*tissue
""")
MATRIX = np.array([[-KA, 0, 0], [KA, -K10 - K12, K21], [0, K12, -K21]])
STATES = {1: "depot", 2: "central", 3: "tissue"}
TIMES = (0.0, 0.25, 1.0, 1.5, 2.0, 3.25, 4.0, 4.5, 6.0, 8.0, 13.0)

# what happens, in the columns of NONMEM; CMT 1 is the depot and 2 the blood
STORIES: dict[str, list[dict[str, float]]] = {
    "a bolus": [{"TIME": 0, "AMT": 100, "CMT": 2}],
    "a dose by mouth": [{"TIME": 1, "AMT": 100, "CMT": 1}],
    "an infusion by its rate": [{"TIME": 1, "AMT": 100, "RATE": 40, "CMT": 2}],
    "an infusion by its duration": [{"TIME": 1, "AMT": 100, "DUR": 2.5, "CMT": 2}],
    "an infusion by both": [{"TIME": 1, "AMT": 100, "RATE": 40, "DUR": 2.5, "CMT": 2}],
    "further doses": [{"TIME": 0.5, "AMT": 100, "II": 1.5, "ADDL": 3, "CMT": 1}],
    "further infusions": [{"TIME": 0.5, "AMT": 100, "RATE": 200, "II": 1.5, "ADDL": 3, "CMT": 2}],
    "infusions that overlap": [{"TIME": 0, "AMT": 100, "RATE": 30, "II": 1.5, "ADDL": 3, "CMT": 2}],
    "two doses at once": [{"TIME": 1, "AMT": 60, "CMT": 2}, {"TIME": 1, "AMT": 40, "CMT": 2}],
    "two places at once": [{"TIME": 1, "AMT": 60, "CMT": 1}, {"TIME": 1, "AMT": 40, "RATE": 20, "CMT": 2}],
    "a bolus beside an infusion": [
        {"TIME": 0, "AMT": 90, "RATE": 30, "CMT": 2}, {"TIME": 0, "AMT": 50, "CMT": 2},
        {"TIME": 1.5, "AMT": 50, "CMT": 2},
    ],
    "a lag": [{"TIME": 1, "AMT": 100, "ALAG": 0.75, "CMT": 1}],
    "a lag before an infusion": [{"TIME": 1, "AMT": 100, "RATE": 40, "ALAG": 0.75, "CMT": 2}],
    "a share that arrives": [{"TIME": 1, "AMT": 100, "F": 0.35, "CMT": 1}],
    "a share at a rate": [{"TIME": 1, "AMT": 100, "RATE": 40, "F": 0.5, "CMT": 2}],
    "a share over a duration": [{"TIME": 1, "AMT": 100, "DUR": 2.5, "F": 0.5, "CMT": 2}],
    "late, in part and again": [
        {"TIME": 0, "AMT": 100, "RATE": 80, "F": 0.8, "ALAG": 0.3, "II": 1.2, "ADDL": 4, "CMT": 2}
    ],
    "neither dose nor sample": [{"TIME": 0, "AMT": 100, "CMT": 2}, {"TIME": 1.5, "EVID": 2, "CMT": 2}],
    "a reset": [{"TIME": 0, "AMT": 100, "CMT": 1}, {"TIME": 1.5, "EVID": 3}],
    "a reset and a dose": [{"TIME": 0, "AMT": 100, "CMT": 1}, {"TIME": 1.5, "EVID": 4, "AMT": 30, "CMT": 2}],
    "a reset stops an infusion and further doses": [
        {"TIME": 0, "AMT": 300, "RATE": 50, "II": 1, "ADDL": 8, "CMT": 2}, {"TIME": 3.25, "EVID": 3},
        {"TIME": 4, "AMT": 20, "CMT": 1},
    ],
    "a reset while a dose is late": [
        {"TIME": 0, "AMT": 50, "CMT": 2}, {"TIME": 1, "AMT": 100, "ALAG": 2, "CMT": 1}, {"TIME": 2, "EVID": 3},
    ],
    "a dose, then a reset, at once": [
        {"TIME": 0, "AMT": 10, "CMT": 2}, {"TIME": 2, "AMT": 100, "CMT": 2}, {"TIME": 2, "EVID": 3},
        {"TIME": 2, "AMT": 7, "CMT": 2},
    ],
    "a steady state": [{"TIME": 1, "AMT": 100, "SS": 1, "II": 2, "CMT": 1}],
    "a steady state of infusions": [{"TIME": 0, "AMT": 100, "RATE": 100, "SS": 1, "II": 2, "CMT": 2}],
    "a steady state of infusions that overlap": [
        {"TIME": 1, "AMT": 100, "RATE": 20, "SS": 1, "II": 2, "ADDL": 1, "CMT": 2}
    ],
    "a steady state of late doses": [
        {"TIME": 1, "AMT": 100, "RATE": 80, "F": 0.9, "ALAG": 0.6, "SS": 1, "II": 2, "ADDL": 2, "CMT": 2}
    ],
    "morning and evening": [
        {"TIME": 0, "AMT": 100, "SS": 1, "II": 2, "ADDL": 1, "CMT": 1},
        {"TIME": 1, "AMT": 50, "SS": 2, "II": 2, "ADDL": 1, "CMT": 1},
    ],
    "a steady state in place of what runs": [
        {"TIME": 0, "AMT": 500, "RATE": 50, "II": 3, "ADDL": 3, "CMT": 2},
        {"TIME": 2, "AMT": 100, "RATE": 50, "SS": 1, "II": 6, "CMT": 2},
    ],
    "a constant inflow until now": [
        {"TIME": 1, "AMT": 0, "RATE": 30, "SS": 1, "CMT": 2}, {"TIME": 2, "AMT": 60, "RATE": 30, "CMT": 2}
    ],
    "a constant inflow beside a course": [
        {"TIME": 0, "AMT": 80, "SS": 1, "II": 2, "CMT": 1}, {"TIME": 0, "AMT": 0, "RATE": 30, "SS": 2, "CMT": 2}
    ],
}  # fmt: skip


def scheduled(records: Sequence[dict[str, float]], **options: Any) -> Schedule:
    columns = dict.fromkeys(name for each in records for name in each)
    rows = [{name: each.get(name, ".") for name in columns} for each in records]
    return Schedule.from_table(rows, amount_unit="cells", compartments=STATES, **options)


def simulated(schedule: Schedule, times: Sequence[float] = TIMES, **options: Any) -> np.ndarray:
    seen = cs.simulate(MODEL, schedule, times, **{"rtol": 1e-9, **options})
    return np.column_stack([seen[name] for name in STATES.values()])


@pytest.mark.parametrize("story", STORIES)
def test_a_table_does_what_matrix_exponentials_say(story: str) -> None:
    told = STORIES[story]
    expected = exact(MATRIX, told, TIMES)
    assert expected.max() > 1.0
    np.testing.assert_allclose(simulated(scheduled(told)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "story", ["a steady state of late doses", "morning and evening", "a reset and a dose"]
)
def test_the_second_solver_sees_the_same(story: str) -> None:
    told = STORIES[story]
    seen = simulated(scheduled(told), solver="scipy", rtol=1e-8)
    np.testing.assert_allclose(seen, exact(MATRIX, told, TIMES), rtol=1e-5, atol=1e-5)


def test_rates_and_durations_left_to_the_model() -> None:
    """RATE -1 and -2 with what is said of the product are what the number itself would be; hours are hours."""
    for asked, said, column in ((-1, {"rate": 40.0}, "RATE"), (-2, {"duration": 2.5}, "DUR")):
        written = scheduled([{"TIME": 1, "AMT": 100, "RATE": asked, "CMT": 2}], absorption={"central": said})
        known = scheduled([{"TIME": 1, "AMT": 100, column: next(iter(said.values())), "CMT": 2}])
        assert written == known
    said = {"central": {"lag": 6.0, "bioavailability": 0.5, "rate": 25.0}}
    hours = [{"TIME": 24, "AMT": 100, "RATE": -1, "CMT": 2}]
    made = scheduled(hours, absorption=said, time_unit="hour").infusions
    assert made == (Infusion(1, "central", 100, 2 / 24, lag=0.25, bioavailability=0.5),)


HOURS = {"TIME": 24.0, "II": 24.0, "ALAG": 24.0, "DUR": 24.0, "RATE": 1 / 24.0}


@pytest.mark.parametrize("story", STORIES)
def test_a_table_in_hours_is_the_same_one(story: str) -> None:
    """Witness: the table in days. Every time counts 24 times as much, every rate a 24th."""

    def numbers(made: Schedule) -> list[tuple[float, ...]]:
        rows = [
            (each.day, each.cells, each.duration, each.lag, each.bioavailability) for each in made.infusions
        ]
        steady = [each for each in made.restarts if isinstance(each, SteadyState)]
        return rows + [(each.day, each.cells, each.interval, each.duration, each.lag) for each in steady]

    told = [
        {name: value * (HOURS.get(name, 1.0) if value > 0 else 1.0) for name, value in each.items()}
        for each in STORIES[story]
    ]
    days, hours = scheduled(STORIES[story]), scheduled(told, time_unit="hour")
    assert [each.day for each in hours.restarts] == pytest.approx([each.day for each in days.restarts])
    assert np.array(numbers(hours)) == pytest.approx(np.array(numbers(days)), rel=1e-12)


RECORD = st.fixed_dictionaries(
    {
        "TIME": st.integers(0, 12).map(lambda n: n / 2),
        "EVID": st.sampled_from([1, 1, 1, 1, 2, 3, 4]),
        "AMT": st.sampled_from([20.0, 50.0, 100.0]),
        "CMT": st.sampled_from([1, 2]),
        "RATE": st.sampled_from([0.0, 0.0, 15.0, 60.0]),
        "II": st.sampled_from([1.0, 1.75, 4.0]),
        "ADDL": st.integers(0, 3),
        "SS": st.sampled_from([0, 0, 0, 1, 2]),
        "ALAG": st.sampled_from([0.0, 0.0, 0.3, 0.9]),
        "F": st.sampled_from([1.0, 1.0, 0.4, 1.2]),
    }
)


@settings(deadline=None, max_examples=40)
@given(st.lists(RECORD, min_size=1, max_size=5))
def test_random_tables_do_what_matrix_exponentials_say(records: list[dict[str, float]]) -> None:
    told = [
        each if each["EVID"] in (1, 4) else {"TIME": each["TIME"], "EVID": each["EVID"], "CMT": each["CMT"]}
        for each in sorted(records, key=lambda each: each["TIME"])
    ]
    assume(any(each["EVID"] in (1, 4) for each in told))
    expected = exact(MATRIX, told, TIMES)
    schedule = scheduled(told)
    np.testing.assert_allclose(simulated(schedule), expected, rtol=1e-6, atol=1e-6)
    # there and back, also as a table of NONMEM
    assert Schedule.from_table(schedule.to_frame()) == schedule
    # what is written out beforehand arrives alike
    assert deliver(schedule.shifted(2).shifted(-2), MODEL) == deliver(schedule, MODEL)


# ---- steady states ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1e-4, 0.1, 30.0])
def test_accumulation_is_one_over_one_minus_what_is_left(k: float) -> None:
    """Before its next dose a steady state holds D e / (1 - e), e = exp(-k tau), however slowly it was reached."""
    model = cs.load_model(f"x = 0; x' = -{k}*x")
    plan = Schedule((Infusion(3, "x", 8),), restarts=(SteadyState(3, "x", 8, interval=0.5),))
    left = math.exp(-k * 0.5)
    seen = cs.simulate(model, plan, [3.0, 3.25])["x"]
    assert seen == pytest.approx([8 / (1 - left), 8 / (1 - left) * math.exp(-k * 0.25)], rel=1e-6)


SATURABLE = "x = 0; x' = -vm*x/(km + x); vm = 10; km = 3"


def test_a_saturable_steady_state_is_where_a_dose_leaves_in_an_interval() -> None:
    """Km ln((C + D)/C) + D = Vm tau, so C = D / (exp((Vm tau - D) / Km) - 1) before a dose; SciPy's solver finds it too."""
    model = cs.load_model(SATURABLE)
    plan = Schedule((Infusion(0, "x", 9.5),), restarts=(SteadyState(0, "x", 9.5, interval=1.0),))
    before = 9.5 / math.expm1((10 - 9.5) / 3)
    for solver, near in (("rodas", 1e-7), ("scipy", 1e-6)):
        seen = cs.simulate(model, plan, [0.0, 1 - 1e-9], solver=solver, rtol=1e-8)["x"]
        assert seen == pytest.approx([before + 9.5, before], rel=near)


@pytest.mark.parametrize(
    ("solver", "vm"),
    [("rodas", "vm = 10"), ("scipy", "vm = 10"), ("rodas", "vm = 1e-3"), ("rodas", "vm = 0")],
)
def test_where_no_steady_state_is_the_dose_and_its_row_are_named(solver: Any, vm: str) -> None:
    """More comes in than can leave (10 a day): the letter names dose, day, row and what still grows."""
    model = cs.load_model(SATURABLE.replace("vm = 10", vm))
    plan = Schedule.from_table([{"TIME": 2, "AMT": 10.5, "SS": 1, "II": 1, "CMT": "x"}], amount_unit="cells")
    with pytest.raises(
        SimulationError,
        match=r"day 2 of 10.5 x every 1 days \(table, row 1\): no steady state.*x still moves",
    ):
        cs.simulate(model, plan, [3.0], solver=solver)


def test_far_out_nothing_is_settled() -> None:
    """A cycle that adds 1 for ever has no fixed point, whatever a slope that is wrong by 1e-6 and a wide tolerance say."""
    endless = settle(lambda y: (y + 1.0, np.array([[1 - 1e-6]])), np.zeros(1), 0.05)
    assert endless.moving == 0


def test_a_conserved_total_keeps_what_the_reset_gave_it() -> None:
    """Receptors bind and let go, in all 5: quasi-equilibrium is not singular to the search, and the total stays."""
    model = cs.load_model(
        "c = 0; r = 5; rc = 0; c' = -0.8*c - c*r + 2*rc; r' = -c*r + 2*rc; rc' = c*r - 2*rc"
    )
    plan = Schedule((Infusion(0, "c", 4),), restarts=(SteadyState(0, "c", 4, interval=1.0),))
    seen = cs.simulate(model, plan, [0.0, 1 - 1e-9, 1.0], rtol=1e-8)
    assert seen["r"] + seen["rc"] == pytest.approx(5.0, rel=1e-7)
    written = cs.simulate(
        model, Schedule.every(1, cells=4, doses=81, product="c", start=-80), [0.0], rtol=1e-8
    )
    for name in ("c", "r", "rc"):
        assert seen[name][0] == pytest.approx(written[name][0], rel=1e-6)


def test_what_is_added_leaves_out_what_is_there_anyway() -> None:
    """With production, SS 2 adds what the doses alone bring: the matrix series, not a second baseline."""
    model = cs.load_model("x = 0; x' = 6 - 0.5*x")
    plan = Schedule((Infusion(1, "x", 8),), restarts=(SteadyState(1, "x", 8, interval=2.0, added=True),))
    told = [{"TIME": 1, "AMT": 8, "SS": 2, "II": 2, "CMT": 1}]
    seen = cs.simulate(model, plan, TIMES, rtol=1e-9)["x"]
    expected = exact(np.array([[-0.5]]), told, TIMES, b=np.array([6.0]))[:, 0]
    assert seen == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "added", "said"),
    [
        (SATURABLE, True, "added in linear models only, and the rate of x is not linear"),
        ("x = 0; x' = -x*(1 + sin(time))", False, "x depends on the time itself"),
        ("x = 0; x' = -k; k := 1 + cos(time)", False, "x depends on the time itself"),
        ("x = 0; x' = -x; at (x > 5): x = 0", True, "this one has events"),
    ],
)
def test_what_has_no_such_steady_state_is_refused(text: str, added: bool, said: str) -> None:
    plan = Schedule((), restarts=(SteadyState(0, "x", 3, interval=1, added=added),))
    for solver in ("rodas", "scipy"):
        with pytest.raises(SimulationError, match=said):
            cs.simulate(cs.load_model(text), plan, [1.0], solver=solver)  # type: ignore[arg-type]


def test_steady_states_are_differentiated() -> None:
    """Along k: d/dk of D exp(-k(t - 0)) / (1 - exp(-k tau)) after SS 1; of both terms after SS 2; of the initial value after a reset."""
    model = cs.load_model("x = 3*k; x' = -k*x; k = 0.4")
    kernels = compile_equations(equations_of(model, ("x",)))
    plan = Schedule(
        (Infusion(1, "x", 8), Infusion(2, "x", 5)),
        restarts=(
            SteadyState(1, "x", 8, interval=0.5),
            SteadyState(2, "x", 5, interval=2.0, added=True),
            Reset(3),
        ),
    )

    def closed(k: complex, t: float) -> complex:
        if t < 1:
            return 3 * k * np.exp(-k * t)
        if t >= 3:
            return 3 * k * np.exp(-k * (t - 3))
        course = 8 / (1 - np.exp(-0.5 * k)) * np.exp(-k * (t - 1))
        return course + (5 / (1 - np.exp(-2 * k)) * np.exp(-k * (t - 2)) if t >= 2 else 0)

    times = [0.5, 1.0, 1.7, 2.0, 2.9, 3.0, 3.5]
    rates = [[0.4], [1.1]]
    found = integrate(kernels, rates, Doses.of(deliver(plan, model)), times, directions=["k"], rtol=1e-9)
    assert found.sensitivities is not None
    for i, (k,) in enumerate(rates):
        values = np.array([closed(k + 1e-30j, t) for t in times])
        assert found.outputs[i, :, 0] == pytest.approx(values.real, rel=1e-7)
        assert found.sensitivities[i, :, 0, 0] == pytest.approx(values.imag / 1e-30, rel=1e-6)


def test_sets_beside_one_another_are_those_alone() -> None:
    """Sets, schedules with and without restarts, peaks and dense paths: as one by one."""
    model = cs.load_model("x = 0; x' = -k*x; k = 0.4")
    kernels = compile_equations(equations_of(model, ("x",)))
    plain = Doses(jumps=((0.5, "x", 3.0),))
    plan = Schedule((Infusion(1, "x", 8),), restarts=(SteadyState(1, "x", 8, interval=0.5),))
    several = [plain, Doses.of(deliver(plan, model)), plain]
    p = [[0.2], [0.4], [0.8]]
    together = integrate(kernels, p, several, [0.0, 1.0, 2.0], peaks=["x"], dense=True)
    for i in range(3):
        alone = integrate(kernels, p[i], several[i], [0.0, 1.0, 2.0], peaks=["x"], dense=True)
        np.testing.assert_allclose(together.outputs[i], alone.outputs[0], rtol=1e-6)
        np.testing.assert_allclose(together.greatest[i], alone.greatest[0], rtol=1e-6)
        assert together.paths[i].ends[-1] == alone.paths[0].ends[-1] == 2.0
    assert together.greatest[1, 0] == pytest.approx(8 / (1 - math.exp(-0.2)), rel=1e-6)


@pytest.mark.parametrize("solver", ["rodas", "scipy"])
def test_what_only_adds_up_needs_no_steady_state(solver: Any) -> None:
    """An area of the model begins anew: D/(k) e^-kt' from the steady state on, and again from the reset on."""
    model = cs.load_model("x = 0; x' = -0.4*x; load = 1; load' = x")
    plan = Schedule(
        (Infusion(0, "x", 8), Infusion(3, "x", 5)), restarts=(SteadyState(0, "x", 8, interval=0.5), Reset(2))
    )
    seen = cs.simulate(model, plan, [0.0, 1.0, 2.0, 4.0], solver=solver, rtol=1e-8)["load"]
    course = 8 / (1 - math.exp(-0.2)) / 0.4
    expected = [1, 1 + course * (1 - math.exp(-0.4)), 1, 1 + 5 / 0.4 * (1 - math.exp(-0.4))]
    assert seen == pytest.approx(expected, rel=1e-5)


def test_a_sweep_asks_for_areas_across_restarts() -> None:
    """Areas from a steady state through a reset to a late, partial dose: the sum of their closed forms."""
    model = cs.load_model("x = 0; x' = -k*x; k = 0.4")
    plan = Schedule(
        (Infusion(0, "x", 8), Infusion(3, "x", 5, lag=0.5, bioavailability=0.4)),
        restarts=(SteadyState(0, "x", 8, interval=0.5), Reset(2)),
    )
    levels = [0.2, 0.4, 0.8]
    found = cs.sweep(model, plan, until=5, parameters={"k": levels}, measures=["area(x)", "peak(x)"])
    k = np.array(levels)
    first = 8 / (1 - np.exp(-0.5 * k))
    areas = first * (1 - np.exp(-2 * k)) / k + 2 * (1 - np.exp(-1.5 * k)) / k
    assert found.estimates("formula", "area(x)") == pytest.approx(areas, rel=1e-4)
    assert found.estimates("formula", "peak(x)") == pytest.approx(first, rel=1e-4)


# ---- schedules as data --------------------------------------------------------------------------------------


def test_what_a_schedule_does_it_does_to_restarts_too() -> None:
    course = SteadyState(4, "a", 10, interval=2)
    plan = Schedule((Infusion(0, "b", 1), Infusion(4, "a", 10)), restarts=(course, Reset(1)))
    assert plan.restarts == (Reset(1), course)
    assert plan.shifted(3).restarts == (Reset(4), replace(course, day=7))
    assert plan.scaled(2).restarts == (Reset(1), replace(course, cells=20))
    assert plan.only(product="b").restarts == (Reset(1),)
    assert plan.only(before=2) + plan.only(after=2) == plan
    assert plan.as_product("c").restarts[1] == replace(course, product="c")
    assert "reset on day 1" in str(plan) and "steady state on day 4 of 10 a every 2 days" in str(plan)
    assert hash(plan) != hash(replace(plan, restarts=()))
    late = Schedule((Infusion(0, "a", 10, lag=0.5, bioavailability=0.8),))
    assert str(late).startswith("a: 10 cells of which 0.8 arrives 12 h late on day 0")
    assert "2 restarts" in repr(plan)
    alone = replace(plan, infusions=())
    with pytest.raises(ScheduleError, match="its next dose is not given"):
        alone.to_frame()
    assert "steady state on day 4" in alone._repr_html_() and "2 restarts" in repr(alone)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"AMT": 5, "SS": 3, "II": 1}, "SS 3 is none of 0, 1.*SS 1 finds the steady state that SS 3 does"),
        ({"AMT": 5, "SS": 1}, "SS 1 of a dose needs the interval II"),
        ({"AMT": 5, "SS": 1, "II": 1, "ALAG": 1}, "a lag of 1 days is not shorter than the interval of 1 days"),
        ({"AMT": 0, "SS": 1}, "needs a RATE above zero"),
        ({"AMT": 0, "SS": 1, "RATE": 5, "II": 1}, "needs a RATE above zero, and neither II"),
        ({"AMT": 0, "SS": 1, "RATE": 5, "F": 0.5}, "F must be 1"),
        ({"AMT": 5, "SS": 1, "RATE": 1e-9, "II": 1}, "more than 1000 doses of the course run at once"),
        ({"AMT": 5, "EVID": 3}, "EVID 3 is a reset alone.*amount of 5"),
        ({"AMT": 0, "EVID": 2, "RATE": 5}, "EVID 2 is no dose, but the row has rate 5"),
        ({"AMT": 5, "EVID": 5}, "EVID 5 is none of 0"),
        ({"AMT": 5, "RATE": -1}, r"RATE -1 asks the model for the rate of infusion; say it with absorption=\{'x'"),
        ({"AMT": 5, "RATE": -2}, "RATE -2 asks the model for the duration"),
        ({"AMT": 5, "RATE": -3}, "RATE -3 is neither a rate, nor -1 or -2"),
        ({"AMT": 5, "F": 0}, "bioavailability 0 is not above zero"),
        ({"AMT": 5, "ALAG": -1}, "lag -1 days is negative"),
        ({"AMT": 5, "MDV": 0, "SS": 1, "II": 1}, "MDV 0 is a measurement"),
    ],
)  # fmt: skip
def test_what_no_record_can_mean_is_refused_in_its_row(row: dict[str, float], said: str) -> None:
    with pytest.raises(ScheduleError, match=f"row 1: .*{said}"):
        Schedule.from_table([{"TIME": 0, **row}], product="x", amount_unit="cells")


def test_what_is_said_of_absorption_is_judged() -> None:
    rows = [{"TIME": 0, "AMT": 5}]
    for said, words in (
        ({"x": {"alag": 1.0}}, "alag is none of lag"), ({"x": {"lag": -1.0}}, "lag -1 is negative"),
        ({"x": {"rate": 0.0}}, "rate 0 is not above zero"), ({"x": {"lag": math.nan}}, "not a finite number"),
        ({"y": {"lag": 1.0}}, "no dose is of 'y'"),
    ):  # fmt: skip
        with pytest.raises(ScheduleError, match=words):
            Schedule.from_table(rows, product="x", amount_unit="cells", absorption=said)


def test_what_a_day_cuts_off_counts_from_when_it_arrives() -> None:
    """Late by 2 days over 4: a quarter has flown by day 3, and nothing of a late bolus by then."""
    plan = Schedule(
        (Infusion(0, "x", 8, 4, lag=2), Infusion(2, "x", 5, lag=2)), restarts=(Reset(1), Reset(4))
    )
    cut = delivered(plan, 3)
    assert cut.infusions == (Infusion(0, "x", 2, 1, lag=2),) and cut.restarts == (Reset(1),)
