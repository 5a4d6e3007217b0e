"""Doses per kilogram and square metre: Mosteller's formula by hand, and the case that amounts written out make."""

import pandas as pd
import pytest

import cellsim as cs
from cellsim.dosing.body import Body
from cellsim.errors import CaseError, ScheduleError

LAB = pd.DataFrame({"day": [0, 20], "CRP (mg/L)": [12.0, 3.5]})


def dosed(unit: str, dose: float) -> pd.DataFrame:
    return pd.DataFrame({"day": [1, 8], "product": "drug", f"dose ({unit})": dose})


def test_the_surface_is_mostellers() -> None:
    """His own example: 1.73 m^2 are 72.2 kg at 149 cm, to his three digits; and 2 m^2 exactly."""
    assert Body(weight=80, height=180).surface == 2.0
    assert Body(weight=72.2, height=149.0).surface == pytest.approx(1.73, abs=0.005)
    assert Body(weight=80).surface is None


@pytest.mark.parametrize(
    ("unit", "dose", "plain", "amount"),
    [("mg/kg", 5, "mg", 400.0), ("mg/m^2", 375, "mg", 750.0), ("IU/kg", 10, "IU", 800.0), ("1e6 cells/kg", 2, "cells", 1.6e8), ("Gy", 2, "Gy", 2.0)],
)  # fmt: skip
def test_a_sheet_per_body_is_the_sheet_of_amounts(unit: str, dose: float, plain: str, amount: float) -> None:
    one = cs.new_case(LAB, dosed(unit, dose), weight=80, height=180, name="same")
    other = cs.new_case(LAB, dosed(plain, amount), name="same")
    assert one.timeline == other.timeline and one.files["model.ant"] == other.files["model.ant"]
    assert (one.body.weight, one.body.height) == (80, 180)
    assert one.amount(dose, unit) == amount
    # what was worked out is a doubt of its product until somebody has looked
    assert any("come to" in str(each) for each in one.check()) == ("/" in unit)


def test_without_a_body_there_is_no_amount() -> None:
    with pytest.raises(CaseError, match=r"in mg/kg, and the weight of the patient is not known"):
        cs.new_case(LAB, dosed("mg/kg", 5))
    with pytest.raises(CaseError, match=r"in mg/m\^2, and the height of the patient is not known"):
        cs.new_case(LAB, dosed("mg/m^2", 5), weight=80)
    with pytest.raises(CaseError, match="doses per kg and per m"):
        cs.new_case(LAB, dosed("mg/day", 5), weight=80)
    case = cs.new_case(LAB, dosed("mg", 5), weight=80)
    with pytest.raises(
        CaseError, match=r"problem.yaml: .*height of the patient is not known.*extensions: patient"
    ):
        case.amount(375, "mg/m^2")
    with pytest.raises(CaseError, match="weight = 8000: a number in kg"):
        cs.new_case(LAB, weight=8000)
    with pytest.raises(ScheduleError, match=r"height = 1.72: a number in cm"):
        Body(height=1.72)


def test_the_problem_file_says_it_in_any_unit_and_is_refused_in_its_row() -> None:
    files = cs.new_case(LAB, dosed("mg", 5)).files

    def read(said: str) -> cs.Case:
        patient = f"extensions: {{patient: {{version: 1.0.0, required: false, {said}}}}}\n"
        return cs.load_case({**files, "problem.yaml": files["problem.yaml"] + patient})

    case = read("weight: 70000 g, height: 1.72 m")
    assert (case.body.weight, case.body.height) == (pytest.approx(70.0), pytest.approx(172.0))
    assert not any("extensions" in str(each) for each in case.check())
    with pytest.raises(CaseError, match=r"problem.yaml, row \d+: patient: .*weight"):
        read("weight: heavy")
