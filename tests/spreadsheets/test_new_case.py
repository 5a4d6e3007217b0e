"""A stranger's spreadsheets become a case: every shape, every mark, every mistake with its cell."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

import cellsim as cs
from cellsim.case.new_tables import identifiers
from cellsim.errors import CaseError
from cellsim.spreadsheets.doses import dose_sheet
from cellsim.spreadsheets.lab_values import lab_table
from cellsim.spreadsheets.sheet import read_sheet, sheet_of

VALUES = {
    ("CRP", 0): 12.5,
    ("CRP", 35): 0.91,
    ("CRP", 257): 4.1,
    ("IgG", 0): 19.2,
    ("IgG", 35): 17.5,
    ("IgG", 257): 16.0,
}
BY_ANALYTE = "Analyte;Unit;Reference;06.10.2023;10.11.2023;19.06.2024\nCRP;mg/L;<5;12,5;<0,91;4,1\nIgG;g/L;7-16;19,2;17,5;16,0\n"
BY_VISIT = (
    "visit,date,CRP (mg/L),IgG [g/L]\nrange,,<5,7 to 16\nbefore,2023-10-06,12.5,19.2\nearly,2023-11-10,<0.91,17.5\n"
    "late,2024-06-19,4.1,16\n"
)
LONG = (
    "test\tresult\tunit\tday\tlow\thigh\n"
    "CRP\t12.5\tmg/L\t0\t\t5\nCRP\t<0.91\tmg/L\t35\t\t5\nCRP\t4.1\tmg/L\t257\t\t5\n"
    "IgG\t19.2\tg/L\t0\t7\t16\nIgG\t17.5\tg/L\t35\t7\t16\nIgG\t16\tg/L\t257\t7\t16\n"
)
DOSES = pd.DataFrame(
    {
        "date": ["2023-10-06", "2023-10-13"],
        "product": ["rFib", "rFib"],
        "cells": [5e7, 5e7],
        "source": ["own", "own"],
    }
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusals(make) -> list[str]:
    with pytest.raises(CaseError) as caught:
        make()
    return [str(each) for each in caught.value.problems]


def seen(case: cs.Case) -> dict[tuple[str, float], float]:
    return {(each.analyte, each.day): each.value for each in case.rows} | {
        (each.analyte, each.day): each.limit for each in case.censored
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", BY_ANALYTE), ("b.csv", BY_VISIT), ("c.tsv", LONG)],
    ids=["analyte", "visit", "value"],
)
def test_one_patient_in_three_shapes_is_one_case(tmp_path, name, text):
    """Witness: the values by hand; the limit of CRP is censored, the ranges are read from either form."""
    case = cs.new_case(
        written(tmp_path, name, text), name="p", day_zero=date(2023, 10, 6) if name != "c.tsv" else None
    )
    assert seen(case) == VALUES
    assert [(each.analyte, each.censoring) for each in case.censored] == [("CRP", "left")]
    assert [(each.unit, each.lower, each.upper) for each in case.analytes] == [
        ("mg/L", None, 5.0),
        ("g/L", 7.0, 16.0),
    ]


def test_excel_and_a_data_frame_say_the_same(tmp_path):
    """Witness: the same cells as text."""
    book = openpyxl.Workbook()
    page = book.active
    page.append(["date", "CRP (mg/L)", "IgG (g/L)"])
    for day, crp, igg in (
        (date(2023, 10, 6), 12.5, 19.2),
        (date(2023, 11, 10), "<0.91", 17.5),
        (datetime(2024, 6, 19), 4.1, 16),
    ):
        page.append([day, crp, igg])
    book.save(tmp_path / "lab.xlsx")
    frame = pd.read_excel(tmp_path / "lab.xlsx")
    cases = [cs.new_case(source, DOSES, name="p") for source in (tmp_path / "lab.xlsx", frame)]
    for case in cases:
        assert seen(case) == VALUES
        assert [(each.day, each.cells, each.product) for each in case.timeline] == [
            (0, 5e7, "rFib"),
            (7, 5e7, "rFib"),
        ]


def test_doses_and_visits_by_date_stand_on_their_days():
    """Witness: the calendar, over the end of a month, a leap day and the last night of summer time."""
    dates = ["2023-10-06", "2023-10-30", "2024-02-28", "2024-03-01"]
    days = [(date.fromisoformat(each) - date(2023, 10, 4)).days for each in dates]
    given = pd.DataFrame({"date": dates, "product": "rFib", "cells": 5e7, "source": "own"})
    seen = pd.DataFrame({"date": dates, "CRP (mg/L)": [9.0, 8.0, 7.0, 6.0]})
    case = cs.new_case(seen, given, name="p", day_zero="2023-10-04")
    assert [each.day for each in case.timeline] == days == [2, 26, 147, 149]
    assert [each.nominal for each in case.visits] == days


def test_what_excel_hides_is_doubted_by_its_row(tmp_path):
    book = openpyxl.Workbook()
    page = book.active
    for row in (["day", "CRP"], [0, 1.0], [1, 2.0], [2, "=B2+1"]):
        page.append(row)
    page.merge_cells("A3:A4")
    page.row_dimensions[2].hidden = True
    page.column_dimensions["B"].hidden = True
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.save(tmp_path / "lab.xlsx")
    said = [str(each) for each in read_sheet(tmp_path / "lab.xlsx").problems]
    for words in (
        "1904",
        "A3:A4 are merged",
        "row 2 is hidden",
        "column B is hidden",
        "B4 holds the formula",
    ):
        assert any(words in each for each in said), (words, said)
    book.create_sheet("second").append(["x", "y"])
    book.save(tmp_path / "two.xlsx")
    assert "Name one, like two.xlsx::Sheet" in refusals(lambda: read_sheet(tmp_path / "two.xlsx"))[0]
    assert sheet_of(f"{tmp_path / 'two.xlsx'}::second").rows[0][0].text == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date,CRP (mg/L)\n2023-10-06,twelve\n", "row 2: B2: 'twelve' is not a number"),
        ("date,CRP (mg/L)\n2023-10-06,\"1,234\"\n", "1.234 or 1234"),
        ("date,CRP (mg/L)\n05/06/2023,1\n", "may begin with the day or with the month"),
        ("date,CRP (mg/L)\n31.02.2023,1\n", "no date that exists"),
        ("date,CRP (mg/L)\n45205,1\n", "A2: 45205 is no date; as a spreadsheet's number of a day it is 2023-10-06"),
        ("test,result,unit,day\nCRP,1,mg/L,0\nCRP,2,mg/dL,7\n", "row 3: C3: CRP has the unit mg/dL here, and mg/L in C2. Multiply the value by 10"),
        ("test,result,unit\nCRP,1,mg/L\n", "no column says when a value was taken"),
        ("test,result,unit,day\nCRP,1,mg/L,\n", "nothing says when CRP was taken"),
        ("test,result,unit,day\n,1,mg/L,0\n", "B2: 1 has no analyte beside it"),
        ("CRP,IgG\n1,2\n", "names neither an analyte nor a date, day or visit"),
        ("date,CRP (mg/L),CRP (mg/L)\n2023-10-06,,\n", "no value stands in this sheet"),
        ("day,CRP (mg/L)\n0,2023-10-06\n", "is not a number"),
        ("analyte,range,day 0\nCRP,five,1\n", "B2: 'five' is no range"),
        ("analyte,range,day 0\nCRP,9-5,1\n", "the range 9-5 is empty"),
        ("analyte,value,result,day\nCRP,1,1,0\n", "both say the value"),
        ("visit,CRP (mg/L)\nbefore,1\nafter,2\n", "no visit has a date or a day"),
        ("alone\n", "no row with two cells"),
        ("day,CRP (mg/L)\n0,12,5\n", "row 2: 3 cells under 2 columns. Check the commas."),
        ("day,CRP (mg/L),IgG (g/L)\n0,1\n", "row 2: 2 cells under 3 columns"),
        ('day,CRP (mg/L),note\n0,1,"a\n7,2,b\n14,3,"\n', "closes 2 rows below, which would swallow"),
        ('day,CRP (mg/L),note\n0,1,"a\n7,2,b\n', "opens here and never closes"),
    ],
)  # fmt: skip
def test_mistakes_in_values_are_refused_by_cell(tmp_path, text, said):
    found = refusals(lambda: cs.new_case(written(tmp_path, "lab.csv", text), name="p", day_zero="2023-01-01"))
    assert any(said in each for each in found), found


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"day": [0], "product": ["a"], "dose": [5]}, "C2: the dose 5 has no unit"),
        ({"day": [0], "product": ["a"], "dose (mg/kg)": [5]}, "the weight of the patient is not known"),
        ({"day": [0], "product": ["a"], "dose (mg)": [-5]}, "is not above zero"),
        ({"day": [0, 1], "product": ["a", "a"], "dose": ["5 mg", "5 g"]}, "a is given in g here, and in mg above"),
        ({"product": ["a"], "dose (mg)": [5]}, "no column says when"),
        ({"day": [0], "product": ["a"]}, "no column says how much"),
        ({"day": [0], "product": [None], "dose (mg)": [5]}, "no product stands beside this dose"),
        ({"day": [None], "product": ["a"], "dose (mg)": [5]}, "nothing says when this dose was given"),
        ({"day": [0], "product": ["a"], "dose (mg)": [5], "duration": [1]}, "has no unit of time"),
        ({"day": [0], "product": ["a"], "dose (foo)": [5]}, "unit 'foo'"),
        ({"day": [0], "product": ["a"], "dose (Mio. cells)": [5]}, "no unit of cells that is known"),
        ({"day": [0], "product": ["a"], "cells (mg)": [5]}, "'mg cells' is no unit of cells"),
        ({"day": [0], "product": ["a"], "dose (10^6)": [5]}, "the unit '10^6' is a number"),
        ({"day": [0], "product": ["a"], "dose (mg)": [1], "": [5]}, "D2: '5' stands under no name"),
        ({"day": [0], "product": ["a"], "cells": [5e7], "source": ["mine"]}, "not autologous or allogeneic"),
    ],
)  # fmt: skip
def test_mistakes_in_doses_are_refused_by_cell(rows, said):
    found = refusals(lambda: dose_sheet(read_sheet(pd.DataFrame(rows))))
    assert any(said in each for each in found), found


def test_cells_and_milligrams_arrive_in_their_own_units(tmp_path):
    """Witness: closed form, amounts decay at first order from the dose; one hour of infusion."""
    doses = pd.DataFrame(
        {
            "day": [0, 7],
            "drug": ["rFib", "mAb"],
            "dose": ["50 million cells", "200 mg"],
            "duration (h)": [0, 1],
        }
    )
    case = cs.new_case(pd.DataFrame({"day": [0, 14], "CRP (mg/L)": [9.0, 5.0]}), doses, name="p")
    model = cs.load_model(case.model)
    rate = model["elimination_rFib"].value
    shown = cs.simulate(model, case.timeline, [1.0, 14.0])
    assert shown["amount_rFib"] == pytest.approx(50 * np.exp(-rate * np.array([1.0, 14.0])), rel=1e-5)
    hour = 1 / 24
    left = 200 * (1 - math.exp(-rate * hour)) / (rate * hour) * math.exp(-rate * (7 - hour))
    assert shown["amount_mAb"][1] == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize(
    "header", ["cells (1e6)", "cells (10^6)", "cells (million)", "dose (1e6 cells)", "dose (Mcell)"]
)
def test_millions_of_cells_are_millions(header):
    found = dose_sheet(read_sheet(pd.DataFrame({"day": [0], "product": ["a"], header: [50]})))
    assert [each.amount for each in found.doses] == [5e7] and found.units == {"a": "Mcell"}


def test_a_dose_in_another_unit_than_its_state_is_refused_with_the_factor(tmp_path):
    """500 mg are half a gram, and no 500."""
    text = "unit g = gram; drug has g; drug = 0; drug' = -k*drug; k = 0.1; CRP := 1 + drug"
    lab, given = pd.DataFrame({"day": [0], "CRP": [1.0]}), {"day": [0], "product": ["drug"]}
    said = refusals(
        lambda: cs.new_case(lab, pd.DataFrame({**given, "dose (mg)": [500]}), model=text, name="p")
    )
    assert "Multiply the value by 0.001" in said[0]
    bare = cs.new_case(
        lab, pd.DataFrame({**given, "dose (mg)": [500]}), model=text.replace("drug has g; ", ""), name="p"
    )
    assert any("gives drug no unit, and doses enter it in mg" in str(each) for each in bare.check())


def test_an_analyte_in_two_columns_is_doubted():
    found = lab_table(read_sheet(pd.DataFrame([[0, 1.0, 2.0]], columns=["day", "CRP", "crp"])))
    assert [each.value for each in found.values] == [1.0, 2.0]
    assert "C1: CRP stands in B1 too" in str(found.doubts[0])


@pytest.mark.parametrize("column", ["patient", "Subject ID", "USUBJID", "MRN"])
def test_rows_of_two_patients_are_refused(column):
    """Pooled, two people's values would be one course of one person."""
    values = pd.DataFrame(
        {"day": [0, 28], "analyte": "CRP", "value": [12.0, 6.5], "unit": "mg/L", column: ["p1", "p2"]}
    )
    doses = pd.DataFrame({"day": [0, 7], "product": "drug", "dose (mg)": [5.0, 5.0], column: ["p1", "p2"]})
    with pytest.raises(
        CaseError, match=rf"2 values of {column} \(p1, p2\): a sheet holds one patient"
    ) as told:
        cs.new_case(values, doses)
    assert len(told.value.problems) == 2
    # of one patient, it is a column that is not read, and said to be
    wide = pd.DataFrame({"day": [0, 28], "CRP (mg/L)": [12.0, 6.5], column: [1, 2]})
    with pytest.raises(CaseError, match=rf"2 values of {column} \(1, 2\)"):
        cs.new_case(wide)
    one = [each.assign(**{column: "p1"}) for each in (values, doses)]
    said = [
        str(each) for each in cs.new_case(*one).check() if f"the column '{column}' is not read" in str(each)
    ]
    assert len(said) == 2


def test_every_guess_is_a_doubt_and_work_starts_at_once(tmp_path):
    """A response that is there is found: CRP falls by a factor of e^-1 under a lasting dose, and the other stays."""
    lab = written(tmp_path, "lab.csv", "day,CRP (mg/L),IgG (g/L)\n0,12.5,16\n28,6,15.9\n56,4.6,16.1\n")
    folder = tmp_path / "mine"
    case = cs.new_case(lab, DOSES.drop(columns="date").assign(day=[0, 28]), folder=folder)
    assert case == cs.load_case(folder) and case.name == "mine"
    assert not [each for each in cs.check(case) if each.severity == "error"]
    said = "\n".join(map(str, case.check()))
    for words in (
        "spread is a guess",
        "first value (B2)",
        "guess of the starting model",
        "taken to be before it",
    ):
        assert words in said, said
    fit = cs.calibrate(case, starts=2)
    assert fit.values["loading_CRP"] < -0.2 and abs(fit.values["loading_IgG"]) < 0.2
    with pytest.raises(CaseError, match="not empty"):
        cs.new_case(lab, folder=folder)


def test_a_visit_without_date_lies_between_its_neighbours():
    frame = pd.DataFrame({"visit": ["a", "b", "c"], "day": [0, None, 50], "CRP (mg/L)": [9.0, 7.0, 5.0]})
    case = cs.new_case(frame, name="p")
    assert [(each.earliest, each.latest) for each in case.visits] == [(0, 0), (0, 50), (50, 50)]
    assert case.prior("day_b").family == "uniform"
    assert any("anywhere between 0 and 50" in str(each) for each in case.check())


def test_repeats_of_one_sample_are_scored_each():
    frame = pd.DataFrame({"day": [0, 0, 7], "test": "CRP", "result": [9.0, 9.4, 5.0], "unit": "mg/L"})
    assert [each.replicate for each in cs.new_case(frame, name="p").rows] == ["r1", "r2", ""]


def test_a_mechanism_of_ones_own_is_matched_by_name(tmp_path):
    """Witness: closed form of the own model, at the fit's values."""
    model = written(
        tmp_path, "mine.ant", "drug = 0; drug' = -k*drug; k = 0.1; base = 10; CRP := base*exp(-drug/100)"
    )
    lab = pd.DataFrame({"day": [0, 10, 40], "crp": [10.0, 7.0, 9.8]})
    given = pd.DataFrame({"day": [1], "product": ["drug"], "dose (mg)": [100.0]})
    case = cs.new_case(lab, given, model=model, name="p")
    fit = cs.calibrate(case, starts=2)
    k, base = fit.values["k"], fit.values["base"]
    expected = [base, base * math.exp(-math.exp(-9 * k)), base * math.exp(-math.exp(-39 * k))]
    assert fit.rows()["predicted"].to_numpy() == pytest.approx(expected, rel=1e-3)
    found = refusals(lambda: cs.new_case(lab.rename(columns={"crp": "IgA"}), given, model=model, name="p"))
    assert "no quantity for the analyte 'IgA'" in found[0]
    found = refusals(lambda: cs.new_case(lab, given.assign(product="pill"), model=model, name="p"))
    assert "no state that doses of 'pill' enter" in found[0]


def test_names_become_identifiers_of_their_own():
    assert identifiers(["IL-6", "il 6", "γ-GT", "CD4+ (%)", "1-day"]) == [
        "IL6",
        "il6_2",
        "GT",
        "CD4",
        "x1_day",
    ]


def test_the_decimal_comma_is_told_by_its_cell():
    found = lab_table(read_sheet(pd.DataFrame({"day": ["0"], "CRP": ["12,5"], "IgG": ["1,234"]})))
    assert [each.value for each in found.values] == [12.5, 1.234]
    assert "'12,5' has a decimal comma" in str(found.doubts[0]) and "B2" in str(found.doubts[0])


def test_the_command_line_makes_a_case_and_repeats_its_guesses(tmp_path, capsys):
    from cellsim.cli.commands import main

    lab = written(tmp_path, "lab.csv", BY_ANALYTE)
    DOSES.to_csv(tmp_path / "doses.csv", index=False)
    folder = tmp_path / "mine"
    assert main(["new", str(folder), "--values", str(lab), "--doses", str(tmp_path / "doses.csv")]) == 0
    said = capsys.readouterr().out
    assert (
        "2 analytes, 3 visits" in said
        and "spread is a guess" in said
        and f"cellsim calibrate {folder}" in said
    )
    assert main(["check", str(folder)]) == 0


def test_what_is_wrong_with_a_model_names_its_file(tmp_path):
    model = written(tmp_path, "mine.ant", "drug = 0; drug' = -k*drug; k = 0.1\nunit mg = milli gram\n")
    said = refusals(lambda: cs.new_case(pd.DataFrame({"day": [0], "drug": [1.0]}), model=model, name="p"))
    assert str(model) in said[0]
