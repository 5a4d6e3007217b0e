"""Samples on the day of a dose: read before it when the visit says so, doubted when it says nothing."""

from pathlib import Path

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.export_v1 import export_v1
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of

K = 0.1
TROUGH = 10 * np.exp(-7 * K)
LATER = (TROUGH + 10) * np.exp(-3 * K)


def weekly(
    timing: str | None = None, *, model: str = "x=0; x'=-k*x; k=0.1", formula: str = "x", **options
) -> cs.Case:
    """10 into x on days 0 and 7, read on day 7 as what is left of the first, and on day 10."""
    given = {"doses": [(0.0, "x", 10.0), (7.0, "x", 10.0)], "start": -1.0, **options}
    made = tiny_case(
        model,
        {"y": (formula, 0.05)},
        [("y", 7.0, TROUGH), ("y", 10.0, LATER)],
        {"k": ("log-normal", float(np.log(K)), 1.0)},
        **given,
    )
    return made if timing is None else timed(made, timing)


def timed(case: cs.Case, timing: str) -> cs.Case:
    """The first visit with its timing stated."""
    files = case.files
    head, first, *rest = files["visits.tsv"].splitlines()
    rows = [f"{head}\ttiming", f"{first}\t{timing}", *(f"{each}\t" for each in rest)]
    return cs.load_case({**files, "visits.tsv": "\n".join(rows) + "\n"})


def test_trough_said_to_be_predose_is_read_before_the_dose() -> None:
    """Made with k = 0.1 and no noise, which is the prior's median: the fit finds it, both residuals are nothing."""
    case = weekly("predose")
    assert case.check() == ()
    fit = cs.calibrate(case, starts=3, seed=1)
    assert fit.values["k"] == pytest.approx(K, rel=1e-6)
    assert fit.rows()["residual"].abs().max() < 1e-4
    assert fit.rows()["day"].tolist() == [7.0, 10.0]
    # read after it, as a postdose sample is, the same row is off by ln 3 / 0.05 sigmas
    late = objective_of(weekly("postdose"))
    assert late.evaluate(late.theta({})).predicted == pytest.approx([TROUGH + 10, LATER], rel=1e-5)


@pytest.mark.parametrize("timing", ["predose", "postdose"])
def test_gradient_at_a_dose_is_that_of_its_side(timing: str) -> None:
    """d ln y / d theta = -k times the mean age of what is there (prior sd 1 in ln k), after the closed form."""
    objective = objective_of(weekly(timing))
    found = objective.evaluate(objective.theta({}), gradient=True, rtol=1e-9)
    more = 0.0 if timing == "predose" else 10.0
    expected = [-K * 7 * TROUGH / (TROUGH + more) / 0.05, -K * (3 + 7 * TROUGH / (TROUGH + 10)) / 0.05]
    assert found.jacobian[:2, 0] == pytest.approx(expected, rel=1e-5)


def test_baseline_on_the_day_of_the_first_dose() -> None:
    """Day 0 is the instant of the dose: nothing is there before it, which makes a value impossible and a limit certain."""
    case = tiny_case(
        "x=0; x'=-k*x; k=0.1", {"y": ("x", 0.1)}, [("y", 5.0, 6.0)], {"k": 0.1},
        censored=[("y", 0.0, 0.5)], doses=[(0.0, "x", 10.0)], start=-1.0,
    )  # fmt: skip
    assert "visit 'v0' is on day 0, at the instant of the infusion of x" in str(case.check()[0])
    before = objective_of(timed(case, "predose"))
    assert before.parts(np.empty(0))["censored"] == 0
    after = objective_of(timed(case, "postdose"))
    assert after.parts(np.empty(0))["censored"] < -100


@pytest.mark.parametrize("solver", ["rodas", "scipy"])
def test_both_solvers_read_the_side_asked_for(solver: str) -> None:
    case = weekly()
    model = cs.load_model("x=0; x'=-k*x; k=0.1")
    days = [np.nextafter(7.0, -np.inf), 7.0]
    seen = cs.simulate(model, case.timeline, days, start=-1.0, solver=solver, rtol=1e-9)
    assert seen["x"] == pytest.approx([TROUGH, TROUGH + 10], rel=1e-7)


def test_exported_problem_reads_it_before_the_dose(tmp_path: Path) -> None:
    """libRoadRunner runs the exported model and is read at the exported times."""
    import pandas as pd
    import roadrunner

    export_v1(weekly("predose"), tmp_path)
    rows = pd.read_csv(tmp_path / "measurements.tsv", sep="\t")
    runner = roadrunner.RoadRunner(str(tmp_path / "model.xml"))
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-10, 1e-12
    seen = runner.simulate(times=[0.0, *rows["time"]], selections=["time", "x"])
    assert np.asarray(seen)[1:, 1] == pytest.approx([TROUGH, LATER], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "y would notice"),
        # through an assignment, and through an event that sees the dose
        ({"model": "x=0; x'=-k*x; k=0.1; a := 2*x", "formula": "a/2"}, "y would notice"),
        (
            {"model": "x=0; x'=-k*x; k=0.1; z=0; z'=0; at (x > 12): z = 1", "formula": "z + 1"},
            "y would notice",
        ),
        # a state that only follows: the same on both sides of the dose
        ({"model": "x=0; x'=-k*x; k=0.1; z=1; z'=x", "formula": "z"}, ""),
        ({"doses": [(0.0, "x", 10.0), (6.5, "x", 10.0)]}, ""),
        ({"windows": {7.0: (5.0, 9.0)}}, ""),
    ],
)
def test_doubt_names_visit_and_dose_where_it_matters(options: dict, named: str) -> None:
    doubts = weekly(**options).check()
    if not named:
        assert doubts == ()
        return
    [doubt] = doubts
    assert (doubt.severity, doubt.file, doubt.row) == ("doubt", "visits.tsv", 2)
    assert "visit 'v0' is on day 7, at the instant of the infusion of x" in doubt.what and named in doubt.what
    assert "predose or postdose" in doubt.remedy


def test_timing_needs_one_day_and_a_dose_on_it() -> None:
    with pytest.raises(
        CaseError,
        match=r"visits.tsv, row 2, column timing: visit 'v0' is predose, but its day is estimated between 5 and 9",
    ):
        weekly("predose", windows={7.0: (5.0, 9.0)})
    with pytest.raises(
        CaseError, match=r"visits.tsv, row 2, column timing: timing 'pre' .* Did you mean 'predose'"
    ):
        weekly("pre")
    [doubt] = weekly("predose", doses=[(0.0, "x", 10.0), (6.5, "x", 10.0)]).check()
    assert "predose, but nothing is given on day 7. The nearest dose is on day 6.5." in str(doubt)


@pytest.mark.parametrize(("dosed", "said"), [(0.1 + 0.2, "4.8e-12 s before"), (0.2999, "8.6 s after")])
def test_a_sample_all_but_at_a_dose_is_doubted_too(dosed: float, said: str) -> None:
    """0.1 + 0.2 is not 0.3: the row is read before the dose, at 1 or not at 11, and both numbers print as 0.3."""
    case = tiny_case(
        "x=1; x'=0*x; k=1", {"y": ("k*x", 0.1)}, [("y", 0.3, 2.0)], {"k": ("log-normal", 0.0, 1.0)},
        doses=[(dosed, "x", 10.0)],
    )  # fmt: skip
    objective = objective_of(case)
    seen = objective.evaluate(objective.theta({"k": 1.0})).predicted
    assert seen == pytest.approx([1.0 if dosed > 0.3 else 11.0])
    [doubt] = [each for each in case.check() if each.file == "visits.tsv"]
    assert f"{said} the infusion of x" in doubt.what
    assert f"write {dosed!r} for both" in doubt.remedy
    [told] = [each for each in timed(case, "predose").check() if each.file == "visits.tsv"]
    assert said in told.remedy and f"write {dosed!r} for both" in told.remedy
