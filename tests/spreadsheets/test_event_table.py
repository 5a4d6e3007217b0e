"""Values and doses in one table, in and out: the witness is what was written, row by row, and NONMEM's own conventions."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cellsim as cs
from cellsim.case.case import Case
from cellsim.cli.commands import main
from cellsim.dosing.schedule import _place
from cellsim.errors import CaseError

NONMEM = """\
ID,TIME,AMT,RATE,II,ADDL,CMT,EVID,MDV,DV,DVID,CENS,LIMIT
1,-1,.,.,.,.,.,0,0,12.0,1,0,.
1,0,1000,6000,14,2,1,1,1,.,.,.,.
1,10,.,.,.,.,.,0,0,3.5,1,0,.
1,10,.,.,.,.,.,0,0,5,2,1,0
1,20,.,.,.,.,.,0,1,.,1,.,.
1,30,.,.,.,.,.,0,0,200,2,-1,.
"""
SAID = {
    "amount_unit": "mg",
    "compartments": {1: "rituximab"},
    "analytes": {1: "CRP (mg/L)", 2: "CD19 (1/uL)"},
}


def written(tmp_path: Path, text: str = NONMEM) -> Path:
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def values(case: Case) -> list[tuple]:
    rows = [(row.analyte, row.day, row.value, "", row.unit) for row in case.rows]
    return sorted(
        rows + [(row.analyte, row.day, row.limit, row.censoring, row.unit) for row in case.censored]
    )


def test_a_table_of_nonmem_is_read_by_its_conventions(tmp_path: Path) -> None:
    """ADDL doses II apart, RATE amount a day, MDV 1 not measured, CENS 1 below DV and -1 above it."""
    case = cs.new_case(table=written(tmp_path), **SAID)
    assert [(each.day, each.cells, each.product) for each in case.timeline] == [
        (d, 1000.0, "rituximab") for d in (0, 14, 28)
    ]
    assert all(each.duration == pytest.approx(1 / 6) for each in case.timeline)
    assert case.products[0].unit == "mg"
    assert values(case) == [
        ("CD19", 10.0, 5.0, "left", "1/uL"), ("CD19", 30.0, 200.0, "right", "1/uL"),
        ("CRP", -1.0, 12.0, "", "mg/L"), ("CRP", 10.0, 3.5, "", "mg/L"),
    ]  # fmt: skip


def test_hours_count_as_hours(tmp_path: Path) -> None:
    case = cs.new_case(table=written(tmp_path), time_unit="hour", **SAID)
    assert [each.day for each in case.timeline] == [0.0, 14 / 24, 28 / 24]
    assert sorted({each.nominal for each in case.visits}) == pytest.approx([-1 / 24, 10 / 24, 30 / 24])
    assert case.timeline.infusions[0].duration == pytest.approx(1 / 6 / 24)


def test_two_sheets_and_one_table_of_the_same_are_one_case(tmp_path: Path) -> None:
    """The same starting model, priors and posterior, whichever way the numbers came."""
    lab = pd.DataFrame({"day": [-1, 10], "CRP (mg/L)": [12.0, 3.5]})
    dosed = pd.DataFrame({"day": [0, 14], "product": "drug", "dose (mg)": [100, 50]})
    rows = [{"day": -1, "DV": 12.0, "DVID": "CRP"}, {"day": 10, "DV": 3.5, "DVID": "CRP"},
            {"day": 0, "AMT": 100, "CMT": "drug"}, {"day": 14, "AMT": 50, "CMT": "drug"}]  # fmt: skip
    one = cs.new_case(lab, dosed, name="same")
    other = cs.new_case(table=rows, amount_unit="mg", analytes={"CRP": "CRP (mg/L)"}, name="same")
    assert one.files["model.ant"] == other.files["model.ant"]
    for file in ("parameters.tsv", "conditions.tsv", "experiments.tsv", "products.tsv"):
        # they were made from other cells
        texts = [re.sub(r"\([A-Z]\d\)|[A-Z]\d of table", "", each.files[file]) for each in (one, other)]
        assert texts[0] == texts[1]
    assert values(one) == values(other)


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    """There and back: every dose with its amount, product and duration, every value with its day, unit and censoring."""
    products = data.draw(
        st.lists(st.sampled_from(["drug", "graft", "A_1"]), min_size=0, max_size=2, unique=True)
    )
    units = {each: data.draw(st.sampled_from(["mg", "cells", "g"]), label=each) for each in products}
    days = st.integers(-40, 200).map(lambda n: n / 4)
    sizes = st.floats(1e-3, 1e9, allow_nan=False)
    doses = [
        {
            "day": data.draw(days), "product": each, "amount": data.draw(st.floats(1e5, 1e9) if units[each] == "cells" else sizes),
            "unit": units[each], "duration (d)": data.draw(st.sampled_from([0.0, 0.125, 1 / 3])),
        }
        for each in products for _ in range(data.draw(st.integers(1, 3)))
    ]  # fmt: skip
    sampled = data.draw(
        st.lists(st.tuples(st.sampled_from(["CRP", "IgG"]), days), min_size=1, max_size=6, unique=True)
    )
    marks = [data.draw(st.sampled_from(["", "<", ">"])) for _ in sampled]
    lab = pd.DataFrame(
        [{"analyte": name, "day": day, "value": f"{mark}{data.draw(sizes)!r}", "unit": "g/L"}
         for (name, day), mark in zip(sampled, marks, strict=True)]
    )  # fmt: skip
    case = cs.new_case(lab, pd.DataFrame(doses) if doses else None, name="there")
    table = case.event_table()
    again = cs.new_case(table=table, **table.attrs, name="back")
    assert values(again) == values(case)
    one, other = (
        [(each.day, each.product, each.cells, each.duration) for each in made.timeline]
        for made in (case, again)
    )
    assert [each[:3] for each in one] == [each[:3] for each in other]
    assert [each[3] for each in one] == pytest.approx([each[3] for each in other], rel=1e-12)
    assert {each.name: each.unit for each in again.products} == {
        each.name: each.unit for each in case.products
    }


def test_a_sample_before_the_dose_of_its_day_stands_before_it() -> None:
    case = cs.new_case(pd.DataFrame({"day": [0, 3], "CRP (mg/L)": [5.0, 4.0]}),
                       pd.DataFrame({"day": [0], "product": ["drug"], "dose (mg)": [10]}))  # fmt: skip
    assert case.visits[0].timing == "predose"
    assert case.event_table()["EVID"].tolist() == [0, 1, 0]
    after = cs.load_case(
        {**case.files, "visits.tsv": case.files["visits.tsv"].replace("predose", "postdose")}
    )
    assert after.event_table()["EVID"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "1,10,.,.,.,.,.,0,0,5,2,1,0",
            "1,10,.,.,.,.,.,0,0,5,2,1,1",
            "row 5: LIMIT 1 beside DV 5 is an interval",
        ),
        ("12.0,1,0", "12.0,1,2", "row 2: CENS 2 is neither"),
        ("12.0,1,0", "high,1,0", "row 2: dv 'high'"),
        ("12.0,1,0", "12.0,7,0", r"row 2: DVID 7 does not say what was measured; tell with analytes=\{7:"),
        ("0,0,12.0,", "0,0,.,", "row 2: an observation without DV"),
        ("6000,14,2,1,1", "6000,14,2,3,1", "row 3: CMT 3 does not say which product"),
        ("14,2,1,1,1", "14,2,1,5,1", "row 3: EVID 5 is none of 0"),
        ("CENS,LIMIT", "CENS,WT", "no dose has a column 'wt'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_its_row(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in NONMEM
    with pytest.raises(CaseError, match=said):
        cs.new_case(table=written(tmp_path, NONMEM.replace(old, new)), **SAID)


def test_nothing_is_guessed(tmp_path: Path) -> None:
    path = written(tmp_path)
    for gone, said in (("amount_unit", "AMT has no unit"), ("compartments", "CMT 1"), ("analytes", "DVID 1")):
        with pytest.raises(CaseError, match=said):
            cs.new_case(table=path, **{name: each for name, each in SAID.items() if name != gone})
    with pytest.raises(CaseError, match="amount_unit does not say in which unit 'rituximab'"):
        cs.new_case(table=path, **{**SAID, "amount_unit": {"rituximb": "mg"}})
    with pytest.raises(CaseError, match="one table of both"):
        cs.new_case(path, table=path)
    with pytest.raises(CaseError, match="one table of both"):
        cs.new_case()


def test_the_command_line_reads_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["new", str(tmp_path / "mine"), "--table", str(written(tmp_path)), "--amount-unit", "rituximab=mg",
             "--compartment", "1=rituximab", "--analyte", "1=CRP (mg/L)", "--analyte", "2=CD19 (1/uL)"]  # fmt: skip
    assert main(words) == 0
    made = cs.load_case(tmp_path / "mine")
    assert values(made) == values(cs.new_case(table=written(tmp_path), **SAID))
    capsys.readouterr()
    assert main(["new", str(tmp_path / "other"), "--table", str(written(tmp_path)), "--analyte", "CRP"]) == 1
    assert "write it as 1=name" in capsys.readouterr().err
    assert np.isfinite([row.value for row in made.rows]).all()


def test_late_and_partial_doses_are_written_as_they_arrive(tmp_path: Path) -> None:
    """A case holds what reaches the patient: day and lag, amount and share, a rate kept; and gives it out so."""
    rows = [
        {"TIME": 0, "AMT": 100, "RATE": 50, "CMT": "drug", "ALAG": 0.5, "F": 0.4},
        {"TIME": 3, "DV": 4.0, "DVID": "CRP"},
    ]
    case = cs.new_case(table=rows, amount_unit="mg", analytes={"CRP": "CRP (mg/L)"})
    assert [(each.day, each.cells, each.duration) for each in case.timeline] == [(0.5, 40.0, 0.8)]
    out = case.event_table()
    assert out.loc[out["EVID"] == 1, ["TIME", "AMT", "RATE"]].values.tolist() == [[0.5, 40.0, 50.0]]
    said = {"drug": {"lag": 0.5, "bioavailability": 0.4}}
    plain = [{k: v for k, v in each.items() if k not in ("ALAG", "F")} for each in rows]
    other = cs.new_case(table=plain, amount_unit="mg", analytes={"CRP": "CRP (mg/L)"}, absorption=said)
    assert other.timeline == case.timeline


COURSE = [
    {"TIME": 0, "AMT": 8, "CMT": "drug", "SS": 1, "II": 0.5, "ADDL": 2},
    {"TIME": 0.25, "AMT": 3, "CMT": "drug", "SS": 2, "II": 0.5, "ALAG": 0.1},
    {"TIME": 3, "DV": 4.0, "DVID": "CRP"},
]
DECAY = "drug = 0; crp = 5; drug' = -k*drug; crp' = 2 - 0.4*crp*(1 + drug); k = 1.5"


def test_a_steady_state_of_a_case_is_the_doses_that_led_there() -> None:
    """Forty doses before it leave what 1 / (1 - exp(-k tau)) says; the case goes out as an event table and comes back."""
    said = {"amount_unit": "mg", "analytes": {"CRP": "crp (mg/L)"}}
    case = cs.new_case(table=COURSE, model=DECAY, run_in=40, **said)
    assert case.timeline.count == 40 + 3 + 40 + 1
    seen = cs.simulate(cs.load_model(DECAY), case.timeline, [0.2], start=case.start, rtol=1e-9)["drug"][0]
    left = np.exp(-1.5 * 0.5)
    expected = 8 / (1 - left) * np.exp(-1.5 * 0.2) + 3 / (1 - left) * np.exp(-1.5 * 0.35)
    assert seen == pytest.approx(expected, rel=1e-7)
    again = cs.new_case(table=(table := case.event_table()), model=DECAY, **table.attrs)
    assert [each[:4] for each in map(_place, again.timeline)] == [
        each[:4] for each in map(_place, case.timeline)
    ]
    assert not [each for each in case.check() if "steady state" in each.what]
    slow = cs.new_case(table=COURSE, model=DECAY.replace("k = 1.5", "k = 0.02"), run_in=10, **said)
    assert [each.row for each in slow.check() if "have not led to a steady state: drug" in each.what] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"TIME": 1, "AMT": 5, "EVID": 4}], "row 2: reset on day 1: a case is one patient from the first day on"),
        ([{"TIME": 1, "AMT": 5, "SS": 1, "II": 1}], "row 2: steady state on day 1 .* would change what was given or measured on day 0"),
        ([{"TIME": 4, "AMT": 5, "SS": 2, "II": 1}], "would change what was given or measured on day 3"),
        ([{"TIME": -1, "AMT": 5, "SS": 1, "II": 1}], "a case begins with what was given.*run_in"),
        ([{"TIME": -1, "AMT": 0, "RATE": 5, "SS": 1}], "write the infusion that led there"),
    ],
)  # fmt: skip
def test_a_case_is_never_set_anew(rows: list[dict[str, float]], said: str) -> None:
    told = [{"TIME": 0, "AMT": 100}, *rows, {"TIME": 3, "DV": 4.0, "DVID": "CRP"}]
    with pytest.raises(CaseError, match=said):
        cs.new_case(table=told, product="drug", amount_unit="mg", analytes={"CRP": "CRP (mg/L)"})
