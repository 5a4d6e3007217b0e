"""The comparison with other tools agrees where it should, and sees what is wrong."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from benchmarks.cross_tools import compared, elements, roadrunner_engine
from benchmarks.small_models import loosest
from cellsim.case.case import Case
from cellsim.estimation.omex import export_archive, files_of_archive
from cellsim.estimation.problem import load_problem
from cellsim.model.antimony import antimony_to_sbml

YAML = (
    "format_version: 1\nparameter_file: p.tsv\nproblems:\n- condition_files: [c.tsv]\n  measurement_files: [d.tsv]\n"
    "  observable_files: [o.tsv]\n  sbml_files: [m.xml]\n"
)
TABLES = {
    "p.tsv": "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\nk\tlin\t0\t9\t0.5\t1\n",
    "c.tsv": "conditionId\tx\nlow\t1\nhigh\t3\n",
    "o.tsv": "observableId\tobservableFormula\tnoiseFormula\ny\tscale*x\t0.1\n".replace(
        "scale", "observableParameter1_y"
    ),
    "d.tsv": "observableId\tsimulationConditionId\ttime\tmeasurement\tobservableParameters\n"
    "y\tlow\t2\t0.4\t2\ny\thigh\t1\t1.8\tk\n",
}


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    for name, text in {
        "m.yaml": YAML,
        **TABLES,
        "m.xml": antimony_to_sbml("x = 2; x' = -k*x; k = 1"),
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "m.yaml"


def decay(rate: float) -> object:
    """An engine that knows the closed form x(0) exp(-rate t), the start read from the SBML it is handed."""

    def run(sbml: str, names: Sequence[str], times: Sequence[float]) -> Mapping[str, np.ndarray]:
        import libsbml

        document = libsbml.readSBMLFromString(sbml)
        start = document.getModel().getParameter("x").getValue()
        return {"x": start * np.exp(-rate * np.array(times))}

    return run


def test_predictions_and_likelihoods_agree_with_libroadrunner_and_the_closed_form(problem: Path) -> None:
    """Witness: libRoadRunner; the closed form; libpetab scores both."""
    for engine in (roadrunner_engine(), decay(0.5)):
        apart, scores = compared(problem, engine)  # type: ignore[arg-type]
        assert apart < 1e-7 and scores < 1e-6


def test_a_model_a_little_off_is_seen(problem: Path) -> None:
    """Witness: x(2) = exp(-2 k) is off by 2e-3 where k is off by 1e-3."""
    apart, scores = compared(problem, decay(0.501))  # type: ignore[arg-type]
    assert apart == pytest.approx(2e-3, rel=0.5) and scores > 1e-4


def boluses() -> Case:
    """Two boluses, values with and without a logarithm."""
    return tiny_case(
        "x = 0; x' = -k*x; k = 0.3; c = 2", {"y": ("x + 1", 0.2), "z": ("c*x + 1", 0.3, "normal")},
        [("y", 1.0, 3.0), ("y", 3.0, 2.0), ("z", 3.0, 4.0)],
        {"k": ("log-normal", -1.0, 0.3), "c": 2.0}, doses=[(0.5, "x", 4.0), (2.0, "x", 1.0)],
    )  # fmt: skip


def scored_by_others(archive: Path) -> float:
    """libcombine unpacks it, libpetab reads its tables, libRoadRunner runs its SBML from period to period, SciPy scores the rows."""
    import roadrunner
    from petab.v2 import Problem
    from scipy import stats

    problem = Problem.from_combine(str(archive))
    sbml = problem.model.to_sbml_str()
    machine = roadrunner.RoadRunner(sbml)
    machine.integrator.relative_tolerance, machine.integrator.absolute_tolerance = 1e-10, 1e-12
    machine.integrator.maximum_num_steps = 1_000_000
    nominal = {each.id: float(each.nominal_value) for each in problem.parameters}
    known = elements(sbml)
    for name in known & set(nominal):
        machine.setValue(name, nominal[name])

    def value(formula: Any, filled: Mapping[str, float]) -> float:
        here = {
            each: machine.getValue(name) if (name := str(each)) in known else {**nominal, **filled}[name]
            for each in formula.free_symbols
        }
        return float(formula.subs(here))

    (experiment,) = problem.experiments
    rows = sorted(problem.measurements, key=lambda each: each.time)
    now, total = experiment.periods[0].time, 0.0
    ends = [each.time for each in experiment.periods[1:]] + [np.inf]
    for period, end in zip(experiment.periods, ends, strict=True):
        changes = problem.get_changes_for_period(period)
        for target, new in [(each.target_id, value(each.target_value, {})) for each in changes]:
            machine.setValue(target, new)
        for row in [each for each in rows if period.time <= each.time < end]:
            if row.time > now:
                machine.simulate(now, row.time, 2)
                now = row.time
            about = next(each for each in problem.observables if each.id == row.observable_id)
            filled = dict(
                zip(map(str, about.observable_placeholders), row.observable_parameters, strict=True)
            )
            filled |= dict(zip(map(str, about.noise_placeholders), row.noise_parameters, strict=True))
            numbers = {name: float(each) for name, each in filled.items()}
            predicted, sd = value(about.formula, numbers), value(about.noise_formula, numbers)
            logged = about.noise_distribution.value == "log-normal"
            law = stats.lognorm(sd, scale=predicted) if logged else stats.norm(predicted, sd)
            total += float(law.logpdf(row.measurement))
        if now < end < np.inf:
            machine.simulate(now, end, 2)
            now = end
    return total


@pytest.mark.parametrize("name", ["two boluses", "cytopenia_synthetic"])
def test_an_archive_opened_by_other_tools_scores_as_here(name: str, tmp_path: Path) -> None:
    """Witness: libcombine, libpetab, libRoadRunner and SciPy, to whom nothing but the file is handed."""
    if importlib.util.find_spec("libcombine") is None:
        assert not os.environ.get("CI"), "CI installs python-libcombine with the extra test"
        pytest.skip("needs python-libcombine")
    case = cs.load_case(name) if name == "cytopenia_synthetic" else boluses()
    archive = export_archive(case, tmp_path / "case.omex", standard=True)
    here = load_problem(files_of_archive(archive)).log_likelihood(rtol=1e-10)
    assert scored_by_others(archive) == pytest.approx(here, rel=1e-6)


def test_the_loosest_tolerance_that_is_accurate_enough_is_timed() -> None:
    """Witness: a run whose error is ten times its tolerance."""
    reference = np.array([[2.0], [1.0]])
    rtol, error, took = loosest(lambda rtol: reference * (1 + 10 * rtol), reference, 2e-5)
    assert rtol == "1e-06" and error == pytest.approx(1e-5, rel=0.01) and took > 0
