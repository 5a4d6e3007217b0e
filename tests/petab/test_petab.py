"""Doses to PEtab and back, and libpetab's own verdict on what we write."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.case import load_case
from cellsim.case.export import export_problem
from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.errors import CaseError, ScheduleError
from cellsim.library import case_folder
from cellsim.petab.doses_read import schedule_from_experiment
from cellsim.petab.doses_write import CONDITION_COLUMNS, EXPERIMENT_COLUMNS, experiment_from_schedule
from cellsim.petab.problem import lint, read_problem_file
from cellsim.petab.tables import TableReader, table_text

CASE = load_case("sjogren_rfib")
RFIB = Product("rfib", "autologous", "infusate_auto", rate="infusion_rate_auto")
UCMSC = Product("ucmsc", "allogeneic", "infusate_allo", rate="infusion_rate_allo")
PRODUCTS = (RFIB, UCMSC)

days = st.floats(-2000, 2000).map(lambda day: day + 0.0) | st.integers(-30, 30).map(float)
durations = st.just(0.0) | st.floats(1e-4, 40) | st.sampled_from([0.5, 1.0, 7.0])
labels = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from("; \\\"'"), max_size=6)
infusions = st.builds(
    Infusion,
    day=days,
    product=st.sampled_from(["rfib", "ucmsc"]),
    cells=st.floats(1, 1e12) | st.sampled_from([5e7, 7.5e7]),
    duration=durations,
    label=labels,
)
schedules = st.lists(infusions, max_size=8).map(lambda each: Schedule(tuple(each), PRODUCTS))


def through_text(experiment, conditions):
    """The rows as they come back from files."""
    reader = TableReader(
        {
            "e.tsv": table_text(EXPERIMENT_COLUMNS, experiment),
            "c.tsv": table_text(CONDITION_COLUMNS, conditions),
        }
    )
    rows = reader.table("e.tsv", EXPERIMENT_COLUMNS), reader.table("c.tsv", CONDITION_COLUMNS)
    assert not reader.problems
    return rows


def delivered(experiment, conditions, product):
    """Cells a plain PEtab reader delivers: sums of increments, and of rate times time."""
    value = {each["conditionId"]: (each["targetId"], each["targetValue"]) for each in conditions}
    changes = [(float(e["time"]), *value[e["conditionId"]]) for e in experiment if e["conditionId"]]
    total = math.fsum(float(text.split(" + ")[1]) for _, target, text in changes if target == product.state)
    rates = [(time, float(text)) for time, target, text in changes if target == product.rate]
    assert not rates or rates[-1][1] == 0
    total += math.fsum(level * (end - begin) for (begin, level), (end, _) in pairwise(rates))
    return total * 1e6


# ---- both directions ------------------------------------------------------------------------------


@settings(max_examples=200)
@given(schedule=schedules)
def test_a_schedule_comes_back_from_petab_without_loss(schedule):
    rows = through_text(*experiment_from_schedule(schedule))
    assert schedule_from_experiment(*rows, PRODUCTS) == schedule


@settings(max_examples=200)
@given(schedule=schedules)
def test_a_tool_that_reads_only_petab_delivers_the_same_cells(schedule):
    experiment, conditions = experiment_from_schedule(schedule)
    for product in PRODUCTS:
        wanted = schedule.only(product=product.name).total()
        assert delivered(experiment, conditions, product) == pytest.approx(wanted, rel=1e-6)
    # at one instant, each state or rate is changed once, and the first period changes nothing
    target = {each["conditionId"]: each["targetId"] for each in conditions}
    places = [(each["time"], target[each["conditionId"]]) for each in experiment if each["conditionId"]]
    assert len(places) == len(set(places))
    assert experiment[0]["conditionId"] == ""
    times = [float(each["time"]) for each in experiment]
    assert times == sorted(times) and (len(times) == 1 or times[0] < times[1])


@settings(max_examples=100)
@given(schedule=schedules)
def test_without_our_columns_the_same_cells_arrive_over_the_same_time(schedule):
    experiment, conditions = experiment_from_schedule(schedule)
    bare = [{name: each[name] for name in ("experimentId", "time", "conditionId")} for each in experiment]
    again = schedule_from_experiment(bare, conditions, PRODUCTS)
    for product in PRODUCTS:
        mine, theirs = schedule.only(product=product.name), again.only(product=product.name)
        for day in (-1e4, -1.0, 0.0, 3.5, 1e4):
            assert given_by(theirs, day) == pytest.approx(given_by(mine, day), rel=1e-6, abs=1e-3)


def given_by(schedule, day):
    """Cells given up to `day`: the closed form of constant-rate input."""
    return math.fsum(
        each.cells * (min(1.0, (day - each.day) / each.duration) if each.duration else 1.0)
        for each in schedule
        if each.day <= day
    )


def test_overlapping_infusions_of_one_product_add():
    given_ = Schedule((Infusion(0, "rfib", 4e7, 2), Infusion(1, "rfib", 6e7, 2)), PRODUCTS)
    experiment, conditions = experiment_from_schedule(given_, start=-10)
    value = {each["conditionId"]: each["targetValue"] for each in conditions}
    steps = [(each["time"], value[each["conditionId"]]) for each in experiment[1:]]
    assert steps == [("0", "20"), ("1", "50"), ("2", "30"), ("3", "0")]
    assert experiment[0]["time"] == "-10"


def test_doses_at_one_instant_on_one_state_are_one_condition():
    given_ = Schedule(
        (Infusion(0, "rfib", 4e7), Infusion(0, "rfib", 1e7), Infusion(0, "ucmsc", 5e7)), PRODUCTS
    )
    experiment, conditions = experiment_from_schedule(given_)
    assert [each["targetValue"] for each in conditions] == ["infusate_allo + 50", "infusate_auto + 50"]
    assert len(experiment) == 3


def test_a_dose_into_any_other_state_keeps_its_own_unit():
    given_ = Schedule.at([0, 1], cells=2.5, product="C")
    experiment, conditions = experiment_from_schedule(given_)
    assert conditions == [{"conditionId": "C_plus_2p5", "targetId": "C", "targetValue": "C + 2.5"}]
    assert schedule_from_experiment(experiment, conditions) == given_


def test_the_scale_of_a_state_is_used_both_ways():
    given_ = Schedule((Infusion(0, "rfib", 5e7),), PRODUCTS)
    experiment, conditions = experiment_from_schedule(
        given_, cells_per_unit={"infusate_auto": 1e7, "infusate_allo": 1}
    )
    assert conditions[0]["targetValue"] == "infusate_auto + 5"
    scale = {"infusate_auto": 1e7, "infusate_allo": 1}
    assert schedule_from_experiment(experiment, conditions, PRODUCTS, cells_per_unit=scale) == given_
    with pytest.raises(ScheduleError, match=r"gives 5e\+06"):
        schedule_from_experiment(experiment, conditions, PRODUCTS, cells_per_unit=1e6)


@pytest.mark.parametrize(
    ("infusion", "start", "words"),
    [
        (Infusion(0, "rfib", 5e7), 0.0, "not before the first dose"),
        (Infusion(1e9, "rfib", 5e7, 1e-9), None, "too short to be written"),
        (Infusion(0, "rfib", 1e300, 1e-200), None, "too short to be written"),
        (Infusion(0, "C", 5e7, 1.0), None, "names no parameter for its rate"),
        (Infusion(0, "rfib", 5e-324), None, "cannot be written in units of 1e\\+06"),
    ],
)
def test_what_petab_cannot_hold_is_refused_not_dropped(infusion, start, words):
    known = () if infusion.product == "C" else PRODUCTS
    with pytest.raises(ScheduleError, match=words):
        experiment_from_schedule(Schedule((infusion,), known), start=start)


@settings(max_examples=100)
@given(schedule=schedules, data=st.data())
def test_columns_that_disagree_with_what_petab_delivers_are_refused(schedule, data):
    assume(schedule.count)
    experiment, conditions = experiment_from_schedule(schedule)
    number = data.draw(st.integers(0, len(conditions) - 1))
    words = conditions[number]["targetValue"].split(" + ")
    words[-1] = repr(float(words[-1]) * 1.01 + 0.01)
    conditions[number]["targetValue"] = " + ".join(words)
    with pytest.raises(ScheduleError):
        schedule_from_experiment(experiment, conditions, PRODUCTS)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("0", "off"), ("1", "on")], "never set back to 0"),
        ([("0", "on"), ("0", "off")], "is set twice"),
        ([("0", "down")], "a negative rate of input"),
        ([("0", "twice")], "neither a dose nor a rate"),
        ([("zero", "on")], "not a finite number of days"),
        ([("0", "dose"), ("0", "more")], "two conditions dose infusate_auto"),
        ([("0", "does")], "Did you mean 'dose'"),
    ],
)
def test_experiments_that_are_no_schedule_are_refused(rows, words):
    values = {"on": "5", "off": "0", "down": "-5", "twice": "2*infusion_rate_auto", "dose": "1", "more": "2"}
    conditions = [
        {"conditionId": name, "targetId": RFIB.rate, "targetValue": value} for name, value in values.items()
    ]
    for each in conditions[-2:]:
        each |= {"targetId": RFIB.state, "targetValue": f"{RFIB.state} + {each['targetValue']}"}
    with pytest.raises(ScheduleError, match=words):
        schedule_from_experiment(
            [{"time": time, "conditionId": name} for time, name in rows], conditions, PRODUCTS
        )


# ---- whole problems -------------------------------------------------------------------------------


def test_libpetab_finds_nothing_wrong_with_the_shipped_folder():
    assert lint(case_folder("sjogren_rfib")) == ()


@pytest.mark.parametrize("variant", [None, *(each.id for each in CASE.variants)])
def test_every_variant_is_written_as_a_problem_libpetab_accepts(variant, tmp_path):
    path = export_problem(CASE, tmp_path / "problem", variant=variant)
    assert lint(path.parent) == ()


def test_libpetab_reads_the_problem_as_we_do(tmp_path):
    from petab.v2 import Problem

    chosen = CASE.variant("V4")
    read = Problem.from_yaml(export_problem(CASE, tmp_path, variant=chosen))
    rows = [(each.observable_id, each.time, each.measurement) for each in read.measurements]
    assert rows == [(row.observable, row.day, row.value) for row in CASE.rows]
    fixed = dict(chosen.fixed)
    for theirs, ours in zip(read.parameters, [each for each in CASE.priors if each.standard], strict=True):
        assert theirs.id == ours.id
        assert theirs.estimate == (ours.estimate and ours.id not in fixed)
        assert theirs.nominal_value == fixed.get(ours.id, ours.nominal)
        if theirs.estimate:
            assert theirs.prior_distribution == ours.family
            assert tuple(theirs.prior_parameters) == ours.parameters
    (experiment,) = read.experiments
    doses = {(each.day, product.state): each.cells / 1e6 for each in CASE.timeline
             for product in CASE.products if product.name == each.product}  # fmt: skip
    change = {each.id: each.changes[0] for each in read.conditions}
    seen = {
        (period.time, change[name].target_id): str(change[name].target_value)
        for period in experiment.periods
        for name in period.condition_ids
    }
    assert experiment.periods[0].time == CASE.start and not experiment.periods[0].condition_ids
    assert set(seen) == set(doses)
    for place, text in seen.items():
        assert {f"{doses[place]:g}", place[1]} == set(text.replace(".0", "").split(" + "))


def test_an_exported_problem_carries_the_whole_standard_part(tmp_path):
    path = export_problem(CASE, tmp_path)
    ours, theirs = read_problem_file(CASE.files["problem.yaml"]), read_problem_file(path.read_text())
    assert theirs.problems == [] and theirs.tables == ours.tables
    assert (tmp_path / theirs.model).is_file()
    for names in theirs.tables.values():
        for name in names:
            assert (tmp_path / name).read_text(encoding="utf-8") == CASE.files[name]
    with pytest.raises(CaseError, match="No variant 'V9'"):
        export_problem(CASE, tmp_path, variant="V9")


def test_an_estimated_parameter_without_bounds_is_written_with_infinite_ones(tmp_path):
    """Witness: libpetab, which refuses to open a table where either is empty; both problems have one posterior."""
    from petab.v2 import Problem

    case = tiny_case(
        "x = 1; x' = -k*x; k = 1", {"y": ("x", 0.2)}, [("y", 1.0, 0.4)], {"k": ("log-normal", 0.0, 0.5)}
    )
    assert "\t-inf\tinf\t" not in case.files["parameters.tsv"]
    (found,) = Problem.from_yaml(str(export_problem(case, tmp_path))).parameters
    assert (found.lb, found.ub) == (-math.inf, math.inf)
    assert cs.load_case(tmp_path).log_posterior() == pytest.approx(case.log_posterior(), rel=1e-9)


def test_libpetab_s_complaints_come_through(tmp_path):
    path = export_problem(CASE, tmp_path)
    table = tmp_path / "measurements.tsv"
    table.write_text(table.read_text().replace("sample_effect_before", "sample_effect_beforehand"))
    assert any(problem.severity == "error" for problem in lint(path))
    table.unlink()
    assert "cannot read it" in str(lint(path)[0])


def test_our_rows_of_the_shipped_timeline_are_those_of_the_table():
    """The shipped table is what our own writer would deliver, dose by dose."""
    experiment, conditions = experiment_from_schedule(CASE.timeline, start=CASE.start)
    again = schedule_from_experiment(experiment, conditions, CASE.products, day_zero=CASE.day_zero)
    assert again == CASE.timeline
    assert again.infusions[0] == replace(again.infusions[0], day=-874.0, cells=5e7, product="ucmsc")
