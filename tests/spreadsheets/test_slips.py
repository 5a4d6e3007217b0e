"""What can be read in a sheet and may be meant otherwise is doubted by its cell; the witness is the number by hand."""

from datetime import datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

import cellsim as cs
from cellsim.errors import CaseError
from cellsim.spreadsheets.doses import dose_sheet
from cellsim.spreadsheets.lab_values import lab_table
from cellsim.spreadsheets.sheet import read_sheet

DOCS = Path(__file__).resolve().parents[2] / "docs" / "spreadsheets"


def table(folder, text, name="lab.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return lab_table(read_sheet(folder / name))


def doubts(found):
    return [str(each).partition(": ")[2] for each in found.doubts]


@pytest.mark.parametrize(
    ("text", "value", "doubted"),
    [
        ("day;CRP (mg/L);IgG (g/L)\n0;1.000;1,5\n", 1.0, True),
        ("day;CRP (mg/L);IgG (g/L)\n0;1.000;15\n", 1.0, True),  # nothing else tells what a point is
        ("day;CRP (mg/L);IgG (g/L)\n0;1.000;1.5\n", 1.0, False),  # another point can only be a decimal one
        ("day,CRP (mg/L),IgG (g/L)\n0,1.000,15\n", 1.0, False),
        ("day;CRP (mg/L);IgG (g/L)\n0;0.692;1,5\n", 0.692, False),  # thousands do not begin with nought
        ("day;CRP (mg/L);IgG (g/L)\n0;<1.500;1,5\n", 1.5, True),
        ("day;CRP (mg/L);IgG (g/L)\n0;1,250;1.5\n", 1.25, True),  # both marks, and no telling
        ("day;CRP (mg/L);IgG (g/L)\n0;1,250;15\n", 1.25, False),
    ],
)
def test_a_point_that_may_separate_thousands_is_doubted(tmp_path, text, value, doubted):
    found = table(tmp_path, text)
    assert found.values[0].value == value
    assert any("B2: " in each and "may be 1" in each for each in doubts(found)) == doubted


@pytest.mark.parametrize("word", ["ND", "n.d.", "nd", "N/D", "none", "-", "\N{EN DASH}", "#N/A"])
def test_a_word_that_may_be_no_empty_cell_is_doubted_once(tmp_path, word):
    found = table(tmp_path, f"day,CRP (mg/L)\n0,1.5\n7,{word}\n14,2\n21,{word}\n")
    assert [each.value for each in found.values] == [1.5, 2.0]
    (said,) = doubts(found)
    assert said.startswith(f"B3: {word!r} counts as not measured") and "(and so in B5)" in said


@pytest.mark.parametrize("word", ["", "NA", "not done", "."])
def test_an_empty_cell_is_none(tmp_path, word):
    assert doubts(table(tmp_path, f"day,CRP (mg/L),IgG (g/L)\n0,1.5,9\n7,{word},9\n")) == []


@pytest.mark.parametrize(
    ("typed", "value", "censoring", "doubted"),
    [
        ("<0.5", 0.5, "left", False),
        ("\N{LESS-THAN OR EQUAL TO} 0.5", 0.5, "left", False),
        ("below 0.5", 0.5, "left", True),
        ("less than 0.5", 0.5, "left", True),
        ("more than 200", 200.0, "right", True),
        (">200", 200.0, "right", False),
        ("12.5 H", 12.5, "", True),
        ("12.5*", 12.5, "", True),
        ("1.2 x 10^3", 1200.0, "", False),
        ("3.5 mg/L", 3.5, "", False),
    ],
)
def test_limits_flags_and_powers(tmp_path, typed, value, censoring, doubted):
    found = table(tmp_path, f"day,CRP (mg/L)\n0,{typed}\n")
    assert [(each.value, each.censoring) for each in found.values] == [(value, censoring)]
    assert bool(doubts(found)) == doubted


@pytest.mark.parametrize("typed", ["<LOD", "BLQ", "undetectable", "negative", "0.5<", "1x10e8", "1,234.5"])
def test_what_is_no_value_is_refused_with_what_to_write(tmp_path, typed):
    with pytest.raises(CaseError, match=r"B2: .*Write ") as told:
        table(tmp_path, f'day,CRP (mg/L)\n0,"{typed}"\n')
    assert len(told.value.problems) == 1


def test_per_cents_are_read_as_a_workbook_shows_them(tmp_path):
    """Excel holds 0.32 where it shows 32 %."""
    book = openpyxl.Workbook()
    for row in (["day", "lymphocytes (%)"], [0, 0.325], [7, 28]):
        book.active.append(row)
    book.active["B2"].number_format = "0.0%"
    book.save(tmp_path / "lab.xlsx")
    assert [each.value for each in lab_table(read_sheet(tmp_path / "lab.xlsx")).values] == [32.5, 28.0]


def test_units_behind_names_and_in_a_row_of_their_own(tmp_path):
    behind = table(tmp_path, "day,CRP mg/L,IgG (g/L)\n0,1.5,9\n")
    below = table(tmp_path, "day,CRP,IgG\n,mg/L,[g/L]\n0,1.5,9\n", "below.csv")
    for found in (behind, below):
        assert [(each.name, each.unit) for each in found.analytes] == [("CRP", "mg/L"), ("IgG", "g/L")]
        assert len(doubts(found)) == 1


def test_columns_of_days_and_visits_with_numbers_are_visits(tmp_path):
    found = table(tmp_path, "analyte,unit,day 0,day 28\nCRP,mg/L,1.5,2\n")
    assert [each.when for each in found.visits] == [0.0, 28.0] and [each.value for each in found.values] == [
        1.5,
        2.0,
    ]
    named = table(tmp_path, "analyte,unit,visit 1,visit 2\nday,,0,28\nCRP,mg/L,1.5,2\n")
    assert [(each.name, each.when) for each in named.visits] == [("visit 1", 0.0), ("visit 2", 28.0)]


def test_dates_in_words_and_with_the_year_first(tmp_path):
    text = 'date,CRP (mg/L)\n30 Jan 2023,1\n2023/2/3,2\n3-Mar-2023,3\n"April 4, 2023",4\n'
    expected = [datetime(2023, 1, 30), datetime(2023, 2, 3), datetime(2023, 3, 3), datetime(2023, 4, 4)]
    assert [each.when for each in table(tmp_path, text).visits] == expected


def test_days_that_contradict_their_dates(tmp_path):
    text = "date,day,CRP (mg/L)\n2023-01-01,0,1\n2023-01-29,82,2\n2023-03-26,84,3\n"
    (said,) = doubts(table(tmp_path, text))
    assert said.startswith("B3: day 82 stands beside 2023-01-29, which is day 28")


def test_one_name_is_not_taken_for_another_that_stands_beside_it(tmp_path):
    """IgG and IgM, and B cells and T cells, are neighbours by their letters and two things by their visits."""
    rows = [
        f"{day},{name},{value},g/L\n"
        for day in (0, 7, 14)
        for name, value in (("B cells", 5), ("T cells", 9))
    ]
    assert doubts(table(tmp_path, "day,analyte,value,unit\n" + "".join(rows[:-1]))) == []
    slip = table(tmp_path, "day,analyte,value,unit\n" + "".join(rows[:-1]) + "14,T celsl,9,g/L\n")
    assert any("'T celsl' stands only here" in each for each in doubts(slip))


def test_the_sheets_that_ship_leave_no_doubt():
    assert lab_table(read_sheet(DOCS / "lab.csv")).doubts == ()
    assert dose_sheet(read_sheet(DOCS / "treatment.csv")).doubts == ()


def test_sheets_from_the_newest_on_are_in_order(tmp_path):
    assert (
        doubts(table(tmp_path, "date,CRP (mg/L)\n2023-03-01,1\n2023-02-01,2\n2023-01-01,3\n2022-12-01,3\n"))
        == []
    )


def test_exchanged_sheets_are_told_and_the_level_of_a_drug_is_no_dose(tmp_path):
    with pytest.raises(CaseError, match=r"B1: 'product' is a column of doses.*exchanged"):
        lab_table(read_sheet(DOCS / "treatment.csv"))
    assert [each.value for each in table(tmp_path, "day,drug (mg/L)\n0,<0.1\n7,12\n").values] == [0.1, 12.0]


def test_days_counted_from_another_date_are_doubted():
    lab = pd.DataFrame({"date": ["2023-01-30", "2023-02-27"], "day": [0, 28], "CRP (mg/L)": [12.0, 3.0]})
    given = pd.DataFrame({"date": ["2023-02-02"], "product": "drug", "dose (mg)": [100.0]})
    said = [str(each) for each in cs.new_case(lab, given, name="p").check()]
    assert any(
        "B2: day 0 stands beside 2023-01-30" in each and "--day-zero 2023-01-30" in each for each in said
    )
    told = cs.new_case(lab, given, name="p", day_zero="2023-01-30")
    assert [each.nominal for each in told.visits] == [0.0, 28.0] and [each.day for each in told.timeline] == [
        3.0
    ]
    assert not any("stands beside" in str(each) for each in told.check())


def test_a_dash_for_a_limit_is_none(tmp_path):
    found = table(tmp_path, "analyte,day,value,unit,lower,upper\nCRP,0,12,mg/L,-,5\nCRP,7,3,mg/L,n/a,5\n")
    assert (found.analytes[0].low, found.analytes[0].high, found.doubts) == (None, 5.0, ())
