"""The comparison with other tools agrees where it should, and sees what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cross_tools import compared, roadrunner_engine
from benchmarks.small_models import shortest
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


def test_the_loosest_tolerance_that_is_accurate_enough_is_timed() -> None:
    """Witness: a run whose error is ten times its tolerance."""
    reference = np.array([[2.0], [1.0]])
    rtol, error, took = shortest(lambda rtol: reference * (1 + 10 * rtol), reference, 2e-5)
    assert rtol == 1e-6 and error == pytest.approx(1e-5, rel=0.01) and took > 0
