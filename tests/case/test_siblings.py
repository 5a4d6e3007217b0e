"""Siblings of a case: the witness is the same case written by hand, or a closed form of what changed."""

import math

import numpy as np
import pandas as pd
import pytest
from small_cases import straight_line, tiny_case

import cellsim as cs
from cellsim.case.case import Case, load_case
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of

DAYS, VALUES = (0.0, 1.0, 2.0, 4.0), (9.8, 11.3, 12.1, 14.2)


def line() -> Case:
    return straight_line(VALUES, DAYS)


def log_likelihood(case: Case) -> float:
    objective = objective_of(case)
    return float(objective.evaluate(np.zeros(len(objective.names))).log_likelihood.sum())


def test_another_prior_is_that_of_the_closed_form() -> None:
    """Everything is Gaussian: the posterior under the other prior is that of Bayesian linear regression."""
    fit = cs.calibrate(line().with_prior("b", "normal", (3.0, 0.1)), starts=1)
    design = np.column_stack([np.ones(4), DAYS]) / 0.5
    precision = design.T @ design + np.diag([1.0, 100.0])
    mean = np.linalg.solve(precision, design.T @ (np.array(VALUES) - 10) / 0.5 + [0.0, 300.0])
    assert [fit.values["a"], fit.values["b"]] == pytest.approx(list(mean), abs=1e-4)


def test_a_prior_is_given_to_what_was_held_and_starts_where_it_is_allowed() -> None:
    case = tiny_case("x = 1; x' = -k*x; k = 1", {"y": "A*x"}, [("y", 1.0, 0.4)], {"k": 1.0, "A": ("log-normal", 0.0, 1.0)})  # fmt: skip
    boxed = case.with_prior("k", "uniform", (2.0, 3.0)).prior("k")
    assert (boxed.estimate, boxed.family, boxed.lower, boxed.upper, boxed.nominal) == (
        True,
        "uniform",
        2.0,
        3.0,
        2.5,
    )
    logged = case.with_prior("k", "log-normal", (math.log(5), 0.3), bounds=(0, 10)).prior("k")
    assert (logged.nominal, logged.upper) == (1.0, 10.0)
    assert case.with_prior("k", "gamma", (4.0, 0.5), nominal=1.5).prior("k").nominal == 1.5
    assert not case.prior("k").estimate


def test_what_was_said_of_the_old_prior_is_not_said_of_the_new_one() -> None:
    old = cs.load_case("cytopenia_synthetic")
    new = old.with_prior("CL", "log-normal", (-1.4, 0.1))
    assert (new.prior("CL").mark, new.prior("CL").source) == ("A", "")
    assert old.prior("CL").source and new.prior("kill") == old.prior("kill")


def test_parameters_held_leave_the_others_as_if_written_so() -> None:
    held = line().fixed(b=1.25)
    written = tiny_case("x = 0; x' = 1", {"y": ("10 + a + b*x", 0.5, "normal")},
                        [("y", day, value) for day, value in zip(DAYS, VALUES, strict=True)],
                        {"a": ("normal", 0.0, 1.0), "b": 1.25}, name="straight_line")  # fmt: skip
    one, other = (cs.calibrate(each, starts=1) for each in (held, written))
    assert one.values == pytest.approx(other.values) and one.values["b"] == 1.25
    assert one.log_evidence == pytest.approx(other.log_evidence)


def test_a_spread_that_sampling_would_free_is_held_when_it_is_said_to_be() -> None:
    case = line()
    assert objective_of(case.fixed(a=0.1), hierarchy=True).names == ("b",)


def test_variants_hold_what_they_estimated_and_keep_what_they_are() -> None:
    case = cs.load_case("cytopenia_synthetic").fixed(e=3.0)
    assert {each.id: dict(each.fixed)["e"] for each in case.variants} == {
        "cells_act": 3.0,
        "antibody_only": 2.0,
    }
    with pytest.raises(CaseError, match="w_cells is held at 1 in variant cells_act"):
        case.fixed(w_cells=0.0)


def test_a_visit_whose_day_is_told_stands_on_it_with_its_rows() -> None:
    """The witness is the likelihood with the day known from the beginning."""

    def made(**windows) -> Case:
        return tiny_case("x = 1; x' = -0.1*x", {"y": "A*x"}, [("y", windows.get("day", 5.0), 0.5)],
                         {"A": ("log-normal", 0.0, 1.0)}, windows=windows.get("box"))  # fmt: skip

    told = made(box={5.0: (0.0, 10.0)}).fixed(day_v0=7.0)
    assert [each.nominal for each in told.visits] == [row.day for row in told.rows] == [7.0]
    assert objective_of(told).names == ("A",)
    assert log_likelihood(told) == pytest.approx(log_likelihood(made(day=7.0)))


def test_values_left_out_are_those_of_the_case_without_their_rows() -> None:
    case = tiny_case("x = 1; x' = -0.3*x", {"y": "A*x", "z": "B*x"},
                     [("y", 1.0, 0.8), ("y", 2.0, 0.5), ("z", 1.0, 2.0), ("z", 3.0, 1.0)],
                     {"A": ("log-normal", 0.0, 1.0), "B": ("log-normal", 0.0, 1.0)}, censored=[("z", 4.0, 0.7)])  # fmt: skip
    objective = objective_of(case)
    every = objective.evaluate(np.zeros(2)).log_likelihood
    by_row = {(t.analyte, t.visit): l for t, l in zip(objective.terms, every, strict=True)}
    one = case.without(analyte="z", visit="v0")
    assert log_likelihood(one) == pytest.approx(sum(by_row.values()) - by_row["z", "v0"])
    none = case.without(analyte="z")
    assert [each.id for each in none.analytes] == ["y"] and [each.id for each in none.visits] == ["v0", "v1"]
    # nothing reads B any more; a parameter of no row and no model would be refused in a file
    assert objective_of(none).names == ("A",) and not none.censored
    assert log_likelihood(none) == pytest.approx(by_row["y", "v0"] + by_row["y", "v1"])
    assert len(case.rows) == 4


@pytest.mark.parametrize("name", ["sjogren_rfib", "cytopenia_synthetic"])
def test_every_analyte_and_every_visit_of_a_shipped_case_can_be_left_out(name: str) -> None:
    case = cs.load_case(name)
    for each in case.analytes[::5]:
        assert each.id not in {row.analyte for row in case.without(analyte=each.id).rows}
    for visit in case.visits:
        sibling = case.without(visit=visit.id)
        assert len(sibling.rows) == sum(row.visit != visit.id for row in case.rows)
        assert f"day_{visit.id}" not in {each.id for each in sibling.priors}


def test_values_left_out_and_added_again_are_the_case() -> None:
    """There and back: the posterior of the rows put back is that of the rows never taken."""
    case = cs.load_case("cytopenia_synthetic")
    lost = [row for row in case.rows if (row.analyte, row.visit) in (("PLT", "week4"), ("HB", "week26"))]
    less = case
    for row in lost:
        less = less.without(analyte=row.analyte, visit=row.visit)
    assert len(less.rows) == len(case.rows) - 2
    table = pd.DataFrame([{"analyte": r.analyte, "visit": r.visit, "value": r.value, "unit": r.unit, "source": None} for r in lost])  # fmt: skip
    again = less.add(table)
    assert sorted((r.analyte, r.visit, r.value, r.day) for r in again.rows) == sorted((r.analyte, r.visit, r.value, r.day) for r in case.rows)  # fmt: skip
    assert log_likelihood(again) == pytest.approx(log_likelihood(case), rel=1e-9)


def test_a_value_on_a_day_of_its_own_is_a_visit_of_its_own() -> None:
    more = line().add(
        {"analyte": "y", "day": 6.5, "value": 17.0}, {"analyte": "y", "visit": "v3", "value": "<15"}
    )
    assert more.visits[-1].nominal == 6.5 and more.censored[0].limit == 15.0
    written = straight_line((*VALUES, 17.0), (*DAYS, 6.5))
    z = (15 - 10) / 0.5
    below = math.log(0.5 * math.erfc(-z / math.sqrt(2)))
    assert log_likelihood(more) == pytest.approx(log_likelihood(written) + below)


def test_every_complaint_comes_at_once_with_what_was_meant() -> None:
    case = cs.load_case("cytopenia_synthetic")
    with pytest.raises(CaseError) as refused:
        case.add(
            {"analyte": "PTL", "visit": "week4", "value": 3},
            {"analyte": "CRP", "visit": "week5", "value": "high"},
            {"analyte": "CRP", "value": 1.0, "vist": "week4"},
        )
    said = str(refused.value)
    assert "value 1: no analyte 'PTL'" in said and "Did you mean 'PLT'?" in said
    assert "value 2: value 'high' is no number" in said and "value 2: no visit 'week5'" in said
    assert "value 3: 'vist' says nothing" in said and "Did you mean 'visit'?" in said
    with pytest.raises(CaseError, match="Multiply the value by"):
        case.add({"analyte": "CRP", "visit": "week4", "value": 0.3, "unit": "mg/dL"})
    with pytest.raises(CaseError, match="nothing to add"):
        case.add()
    with pytest.raises(CaseError, match=r"(?s)No parameter 'kil'.*Did you mean 'kill'.*CL = nan"):
        case.fixed(kil=1.0, CL=math.nan)
    with pytest.raises(CaseError, match="Did you mean 'log-normal'"):
        case.with_prior("CL", "lognormal", (0, 1))
    with pytest.raises(CaseError, match="takes 2 finite numbers"):
        case.with_prior("CL", "normal", (0, 1, 2))
    with pytest.raises(CaseError, match="sd of the prior of CL is -1"):
        case.with_prior("CL", "normal", (0.2, -1))
    with pytest.raises(CaseError, match="Did you mean 'week12'"):
        case.without(analyte="CRP", visit="week_12")
    with pytest.raises(CaseError, match="nothing to leave out"):
        case.without()


def test_siblings_are_cases_that_read_again() -> None:
    case = line().with_prior("a", "laplace", (0.0, 0.5)).fixed(b=1.0).without(visit="v1")
    assert load_case(case.files) == case and case != line()
