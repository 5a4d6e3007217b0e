"""Dosing as a clinician means it: nothing dropped, doubled or moved without being asked."""

from dataclasses import FrozenInstanceError, replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsim.dosing.schedule import Infusion, Product, Schedule
from cellsim.errors import ScheduleError

RFIB = Product("rfib", "autologous", "infusate_auto")
UCMSC = Product("ucmsc", "allogeneic", "infusate_allo")
DAYS = (0, 7, 14, 21, 49, 77, 105, 133, 161, 189, 217, 245)
GIVEN = Schedule.at(DAYS, cells=[5e7] * 7 + [7.5e7] * 5, product="rfib", products=[RFIB, UCMSC])
BEFORE = Schedule.every(61, cells=5e7, doses=10, start=-874, product="ucmsc", products=[UCMSC])

words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=12)
infusions = st.builds(
    Infusion,
    day=st.floats(-5e3, 5e3),
    product=st.sampled_from(["rfib", "ucmsc"]),
    cells=st.floats(1e-3, 1e12),
    duration=st.just(0.0) | st.floats(0, 30),
    label=words | st.sampled_from(["NA", "NaN", "null", "None", ".", "-", "#N/A", "007", "1e5"]),
)
schedules = st.builds(
    Schedule,
    st.lists(infusions, max_size=8),
    products=st.sampled_from([(), (RFIB, UCMSC)]),
    day_zero=st.none() | st.dates(date(1990, 1, 1), date(2100, 1, 1)),
)


def problems_of(make) -> list[str]:
    with pytest.raises(ScheduleError) as caught:
        make()
    return [str(problem) for problem in caught.value.problems]


# ---- the published case (witness: the counts and totals printed in the paper) ---------------------------


def test_the_published_case_has_twelve_infusions_and_725_million_cells():
    assert (GIVEN.count, GIVEN.total(), GIVEN.span) == (12, 7.25e8, (0.0, 245.0))
    written = Schedule.at((0, 7, 14, 21), cells=5e7, product="rfib")
    written += Schedule.every(28, start=49, cells=5e7, doses=3, product="rfib")
    written += Schedule.every(28, start=133, cells=7.5e7, doses=5, product="rfib")
    assert written == replace(GIVEN, products=())


def test_it_prints_as_a_clinician_would_write_it():
    assert str(GIVEN) == (
        "rfib (autologous): 5.0e7 cells on days 0, 7, 14, 21, then every 28 days to day 105, 7 doses; "
        "7.5e7 cells every 28 days from day 133 to day 245, 5 doses; total 12 infusions, 7.25e8 cells"
    )
    both = str(BEFORE + GIVEN).splitlines()
    assert both[0].startswith(
        "ucmsc (allogeneic): 5.0e7 cells every 61 days from day -874 to day -325, 10 doses"
    )
    assert both[-1] == "all products: total 22 infusions, 1.225e9 cells"


def test_it_prints_dates_when_day_zero_is_known():
    dated = str(replace(GIVEN, day_zero="2023-10-06"))
    assert "on 2023-10-06 (day 0), 2023-10-13 (day 7)" in dated
    assert "from 2024-02-16 (day 133) to 2024-06-07 (day 245)" in dated


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Schedule(), "no infusions"),
        (Schedule.at(3, cells=40, product="A"), "A: 40 cells on day 3, 1 dose; total 1 infusion, 40 cells"),
        (
            Schedule.at([0, 0], cells=5e7, duration=1 / 24, product="A"),
            "A: 5.0e7 cells over 1 h on days 0, 0, 2 doses; total 2 infusions, 1.0e8 cells",
        ),
        (
            Schedule.every(7, cells=7.25e8 / 36, doses=36, duration=3, label="cryo", product="A"),
            'A: 2.014e7 cells over 3 days "cryo" every 7 days from day 0 to day 245, 36 doses; '
            "total 36 infusions, 7.25e8 cells",
        ),
        (
            Schedule.every(0.1, cells=1, doses=5, duration=0.01, product="A"),
            "A: 1 cell over 14.4 min every 0.1 days from day 0 to day 0.4, 5 doses; "
            "total 5 infusions, 5 cells",
        ),
    ],
)
def test_words(schedule, text):
    assert str(schedule) == text


@given(schedules)
def test_every_dose_is_counted_in_words_and_none_is_merged(schedule):
    import re

    assert sum(int(n) for n in re.findall(r", (\d+) doses?;", str(schedule))) == schedule.count


# ---- algebra --------------------------------------------------------------------------------------------


@given(schedules, schedules)
def test_addition_keeps_every_dose_in_either_order(one, other):
    one, other = replace(one, day_zero=None), replace(other, products=one.products)
    assert one + other == other + one
    assert hash(one + other) == hash(other + one)
    assert (one + other).count == one.count + other.count
    assert sorted((one + other).infusions, key=repr) == sorted([*one, *other], key=repr)
    assert (one + other).total() == pytest.approx(one.total() + other.total(), rel=1e-12)


@given(schedules)
def test_days_are_sorted_and_sum_begins_with_nothing(schedule):
    days = [each.day for each in schedule]
    assert days == sorted(days)
    assert sum([schedule]) == schedule
    assert schedule + Schedule() == schedule


@given(schedules, st.floats(-4e3, 4e3))
def test_a_cut_gives_two_parts_that_add_to_the_whole(schedule, day):
    assert schedule.only(before=day) + schedule.only(after=day) == schedule
    parts = [schedule.only(product=name) for name in {each.product for each in schedule}]
    assert sum(parts, replace(schedule, infusions=())) == schedule


@given(schedules, st.integers(-1000, 1000), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_shifting_and_scaling_can_be_undone(schedule, days, factor):
    there = schedule.shifted(days)
    assert [each.day for each in there] == pytest.approx([each.day + days for each in schedule], abs=1e-9)
    back = [each.day for each in there.shifted(-days)]
    assert back == pytest.approx([each.day for each in schedule], abs=1e-9)
    assert schedule.scaled(factor).scaled(1 / factor) == schedule


def test_sources_and_products():
    both = BEFORE + GIVEN
    assert both.only(source="autologous").total() == 7.25e8
    assert both.only(source="allogeneic") == both.only(product="ucmsc") == both.only(before=0)
    assert both.total("ucmsc") == 5e8
    other = GIVEN.as_product("ucmsc")
    assert (other.total("ucmsc"), other.count, other.total("rfib")) == (7.25e8, 12, 0.0)
    fresh = Schedule.at([0], cells=1e7, product="x").as_product(UCMSC)
    assert fresh.products == (UCMSC,)


def test_two_equal_rows_stay_two_rows():
    dose = Schedule.at([0], cells=5e7, product="rfib")
    assert (dose + dose).count == 2
    assert (dose + dose).total() == 1e8


def test_a_schedule_cannot_be_changed_and_minus_zero_is_zero():
    with pytest.raises(FrozenInstanceError):
        GIVEN.day_zero = date(2023, 10, 6)
    assert repr(Infusion(-0.0, "rfib", 5e7)) == repr(Infusion(0, "rfib", 50_000_000))
    assert Infusion(np.float32(7), "rfib", np.int64(5)) == Infusion(7, "rfib", 5)


# ---- calendar -------------------------------------------------------------------------------------------


def test_dates_and_days_are_the_same_schedule():
    dates = ["2023-10-06", date(2023, 10, 13), pd.Timestamp("2023-10-20T12:00"), 21]
    dated = Schedule.at(dates, cells=5e7, product="rfib", day_zero="2023-10-06")
    assert [each.day for each in dated] == [0, 7, 14.5, 21]
    assert dated.only(before="2023-10-14").count == 2
    weekly = Schedule.every(
        7, start="2023-10-13", doses=2, cells=5e7, product="rfib", day_zero=date(2023, 10, 6)
    )
    assert weekly.span == (7, 14)


@pytest.mark.parametrize(
    "day", ["2023-02-30", "2023-13-01", "6 Oct 2023", "20231006", pd.NaT, True, None, "0"]
)
def test_impossible_dates_are_refused(day):
    assert len(problems_of(lambda: Schedule.at([day], cells=5e7, product="rfib", day_zero="2023-10-06"))) == 1


def test_a_date_needs_day_zero_and_two_clocks_do_not_add():
    assert "day_zero" in problems_of(lambda: Schedule.at(["2023-10-06"], cells=5e7, product="rfib"))[0]
    one, other = (replace(GIVEN, day_zero=text) for text in ("2023-10-06", "2023-10-07"))
    assert "2023-10-07" in problems_of(lambda: one + other)[0]
    assert (one + replace(GIVEN, day_zero=None)).day_zero == date(2023, 10, 6)
    assert "calendar" in problems_of(lambda: one.shifted(1e8))[0]


# ---- refusals -------------------------------------------------------------------------------------------


def test_all_complaints_come_at_once_with_their_rows():
    found = problems_of(
        lambda: Schedule.at(
            [0, float("nan"), 2, 3, 4],
            cells=[0, -1, float("inf"), "5e7", 5e7],
            duration=[0, 0, 0, 0, -1],
            product="rfb",
            products=[RFIB],
        )
    )
    assert found == [
        "no product 'rfb'. Did you mean 'rfib'? Known: rfib.",
        "doses, row 1: cells 0 are not above zero.",
        "doses, row 2: day nan is not a finite number of days.",
        "doses, row 2: cells -1 are not above zero.",
        "doses, row 3: cells inf is not a finite number.",
        "doses, row 4: cells '5e7' is str, not a number.",
        "doses, row 5: duration -1 days is negative.",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Infusion("0", "rfib", 5e7),
        lambda: Infusion(0, "", 5e7),
        lambda: Infusion(0, "rfib ", 5e7),
        lambda: Infusion(0, "rfib", True),
        lambda: Infusion(0, "rfib", float("nan")),
        lambda: Infusion(0, "rfib", 5e7, float("inf")),
        lambda: Infusion(0, "rfib", 5e7, label="two\nlines"),
        lambda: Infusion(10**400, "rfib", 5e7),
        lambda: Product("rfib", "self", "A"),
        lambda: Product("rfib", "autologous", ""),
        lambda: Schedule(["rfib"]),
        lambda: Schedule(products=[RFIB, replace(RFIB, state="A")]),
        lambda: GIVEN.as_product("ucmcs"),
        lambda: GIVEN.only(product="ucmcs"),
        lambda: GIVEN.only(source="donor"),
        lambda: GIVEN.total("ucmcs"),
        lambda: GIVEN.scaled(0),
        lambda: GIVEN.scaled(float("nan")),
        lambda: GIVEN.shifted("7"),
        lambda: GIVEN + Schedule.at([0], cells=1, product="blood"),
        lambda: Schedule.every(0, cells=1, doses=2, product="rfib"),
        lambda: Schedule.every(7, cells=1, doses=2.0, product="rfib"),
        lambda: Schedule.at([0, 7], cells=[1, 2, 3], product="rfib"),
        lambda: Schedule.at([0, 7], cells=np.array(1.0), product="rfib"),
        lambda: Schedule.at(None, cells=1, product="rfib"),
        lambda: Schedule.from_table(None),
        lambda: Schedule.from_table([1, 2]),
        lambda: Schedule.from_table([{"C": "C", "TIME": 0, "AMT": 1}], amount_unit="cells", product="rfib"),
        lambda: Schedule.at([0], cells=1, product="rfib", day_zero="2023-10-06T10:00"),
    ],
)
def test_refused(make):
    assert len(problems_of(make)) == 1


# ---- tables ---------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(schedules)
def test_tables_lose_nothing(tmp_path_factory, schedule):
    zero = schedule.day_zero
    frame = schedule.to_frame()
    assert Schedule.from_table(frame, products=schedule.products, day_zero=zero) == schedule
    assert (
        Schedule.from_table(frame.to_dict("records"), products=schedule.products, day_zero=zero) == schedule
    )
    path = tmp_path_factory.mktemp("tables") / "doses.csv"
    for separator in (",", "\t", ";"):
        frame.to_csv(path, sep=separator, index=False)
        assert Schedule.from_table(path, products=schedule.products, day_zero=zero) == schedule
    if schedule.infusions:  # day and date together tell which date day 0 is
        assert Schedule.from_table(path, products=schedule.products).day_zero == zero


def test_nonmem_columns_write_out_additional_doses():
    rows = [
        {
            "ID": 1,
            "TIME": 0,
            "AMT": 50,
            "RATE": 0,
            "DUR": 0,
            "II": 7,
            "ADDL": 3,
            "CMT": 1,
            "EVID": 1,
            "DV": ".",
        },
        {
            "ID": 1,
            "TIME": 10,
            "AMT": 0,
            "RATE": 0,
            "DUR": 0,
            "II": 0,
            "ADDL": 0,
            "CMT": 1,
            "EVID": 0,
            "DV": 3.2,
        },
        {"ID": 1, "TIME": 49, "AMT": 50, "RATE": 0, "DUR": 0, "II": 28, "ADDL": 2, "CMT": 1, "EVID": 1},
        {"ID": 1, "TIME": 133, "AMT": 75, "RATE": 0, "DUR": 0, "II": 28, "ADDL": 4, "CMT": 1, "EVID": 1},
    ]
    read = Schedule.from_table(
        rows, amount_unit="1e6 cells", compartments={1: "rfib"}, products=[RFIB, UCMSC]
    )
    assert read == GIVEN


def test_rate_duration_and_hours(tmp_path):
    path = tmp_path / "nm.csv"
    path.write_text("TIME,AMT,RATE,DUR,CMT\n0,50,600,.,rfib\n24,50,600,0.0833333333,rfib\n48,50,.,2,rfib\n")
    read = Schedule.from_table(path, amount_unit="Mcell", time_unit="hour")
    assert [each.day for each in read] == [0, 1, 2]
    assert [each.duration * 24 for each in read] == pytest.approx([50 / 600, 50 / 600, 2], rel=1e-9)
    assert {each.cells for each in read} == {5e7}


def test_a_decimal_interval_gives_each_dose_once():
    # rxode2 issue 405: a decimal II doubled the second dose
    read = Schedule.from_table(
        [{"TIME": 0.1, "AMT": 1, "II": 0.7, "ADDL": 9}], amount_unit="cells", product="rfib"
    )
    assert [each.day for each in read] == pytest.approx(0.1 + 0.7 * np.arange(10))


def test_observations_without_evid_give_no_dose():
    rows = [{"TIME": 0, "AMT": 5e7, "DV": np.nan}, {"TIME": 1, "AMT": np.nan, "DV": 2.0}]
    assert Schedule.from_table(pd.DataFrame(rows), amount_unit="cells", product="rfib").count == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("TIME,AMT\n0,50\n", "amount_unit"),
        ("day,cells\n0,5e7\n", "product"),
        ("day,product,cells,duraton\n0,rfib,5e7,1\n", "Did you mean 'duration'"),
        ("day,product,cells\n0,rfib,\n", "row 2: cells is empty"),
        ("day,product,cells\n0,rfib,5e7\n1,rfib,five\n", "row 3: cells 'five'"),
        ('day,product,cells\n0,rfib,"50,000"\n', "row 2: cells '50,000'"),
        ("day,product,cells\n0,rfib,5_0\n", "row 2: cells '5_0'"),
        ("day,product,cells\n0,rfib,5e7,9\n", "row 2: 4 cells under 3 columns"),
        ("day,product,cells\nnan,rfib,5e7\n", "row 2: neither day nor date"),
        ("day,product,cells\n,rfib,5e7\n", "row 2: neither day nor date"),
        ("day,date,product,cells\n0,2023-10-06,rfib,1\n7,2023-10-14,rfib,1\n", "row 3: day 7 is 2023-10-13"),
        ("date,product,cells\n2023-10-32,rfib,1\n", "row 2: '2023-10-32'"),
        ("", "header included"),
        ("day,Day,product,cells\n", "twice"),
        ("product,cells\nrfib,1\n", "no column says when"),
        ("day,product\n0,rfib\n", "no column says how many"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, said):
    path = tmp_path / "doses.csv"
    path.write_text(text)
    found = problems_of(lambda: Schedule.from_table(path))
    assert said in found[0], found


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"EVID": 2}, "EVID 2"),
        ({"EVID": 3}, "EVID 3"),
        ({"EVID": 5}, "EVID 5"),
        ({"EVID": 0}, "EVID 0 is an observation"),
        ({"SS": 1}, "needs the interval II"),
        ({"RATE": -2}, "RATE -2"),
        ({"RATE": 50, "DUR": 2}, "AMT/RATE is 1 days"),
        ({"ADDL": 3}, "positive interval"),
        ({"ADDL": 1.5, "II": 7}, "not a count"),
        ({"ADDL": -1, "II": 7}, "not a count"),
        ({"II": -7}, "positive interval"),
        ({"CMT": 2}, "compartments={2: 'name of the product'}"),
        ({"AMT": "50"}, "amt '50' is str"),
        ({"AMT": -50}, "cells -5e+07"),
    ],
)
def test_nonmem_rows_that_are_refused_by_row(row, said):
    rows = [{"TIME": 0, "AMT": 50}, {"TIME": 1, "AMT": 50, **row}]
    found = problems_of(lambda: Schedule.from_table(rows, amount_unit="1e6 cells", product="rfib"))
    assert found == [each for each in found if each.startswith("table, row 2: ") and said in each]


def test_a_missing_file_is_said_kindly():
    assert "no_such.csv" in problems_of(lambda: Schedule.from_table("no_such.csv"))[0]


def test_a_span_of_time_is_no_number_of_days():
    """A span of NumPy's is an integer to Python, in whatever unit it has: 7 days would be 6e14 in nanoseconds."""
    span = np.timedelta64(7, "D").astype("m8[ns]")
    for make in (
        lambda: Schedule.at([span], cells=1, product="x"),
        lambda: Schedule.at(np.array([7], "m8[D]"), cells=1, product="x"),
        lambda: Schedule.at(np.array(["2024-01-01"], "M8[D]"), cells=1, product="x"),
        lambda: Schedule.at(np.ma.array([0, 7], mask=[False, True]), cells=1, product="x"),
        lambda: Schedule.every(span, cells=1, doses=2, product="x"),
        lambda: Schedule.every(7, cells=1, doses=2, product="x", start=span),
        lambda: Schedule.at([0], cells=1, product="x", duration=span),
        lambda: Schedule.at([0], cells=1, product="x").shifted(span),
    ):
        with pytest.raises(ScheduleError):
            make()
    assert Schedule.at(np.array([0, 7]), cells=1, product="x").span == (0.0, 7.0)
