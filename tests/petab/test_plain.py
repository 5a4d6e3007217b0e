"""Plain PEtab v2 problems, without any table of ours: PEtab's own test case, closed forms, libpetab."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.case import Case, load_case
from cellsim.case.files import COMPANIONS
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of
from cellsim.model.model import load_model

# A turns into B and back, as in the first case of PEtab's test suite
MODEL = "A = a0; A' = -k1*A + k2*B; B = b0; B' = k1*A - k2*B; a0 = 1; b0 = 0; k1 = 0.8; k2 = 0.6"
PROBLEM = """\
format_version: 2.0.0
model_files: {model_0: {location: _model.xml, language: sbml}}
parameter_files: [_parameters.tsv]
observable_files: [_observables.tsv]
measurement_files: [_measurements.tsv]
condition_files: []
experiment_files: []
"""
TABLES = {
    "_observables.tsv": "observableId\tobservableFormula\tnoiseFormula\nobs_a\tA\t0.5\n",
    "_measurements.tsv": "observableId\texperimentId\ttime\tmeasurement\nobs_a\t\t0\t0.7\nobs_a\t\t10\t0.1\n",
    "_parameters.tsv": "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\n"
    + "".join(f"{name}\t0\t10\t{value}\ttrue\n" for name, value in (("a0", 1.0), ("b0", 0.0), ("k1", 0.8), ("k2", 0.6))),
}  # fmt: skip


def written(folder: Path, name: str = "_0001.yaml", **tables: str) -> Path:
    for file, text in {**TABLES, name: PROBLEM, "_model.xml": load_model(MODEL).to_sbml(), **tables}.items():
        (folder / file).write_text(text)
    return folder


def log_likelihood(case: Case) -> float:
    """At the nominal values."""
    return float(objective_of(case.fixed(**case.nominal)).evaluate(np.empty(0)).log_likelihood.sum())


def test_the_first_case_of_petabs_suite_scores_as_it_says(tmp_path: Path) -> None:
    """Its llh is -0.84750169713188; A(10) = (k2 + k1 exp(-(k1 + k2) 10))/(k1 + k2) is the closed form."""
    case = cs.load_case(written(tmp_path))
    a = (0.6 + 0.8 * np.exp(-14)) / 1.4
    assert log_likelihood(case) == pytest.approx(stats.norm.logpdf([0.7, 0.1], [1.0, a], 0.5).sum(), abs=1e-6)
    assert log_likelihood(case) == pytest.approx(-0.84750169713188, abs=1e-6)
    assert [each.nominal for each in case.visits] == [0.0, 10.0] and not case.variants and not case.products
    # what PEtab means without a prior is said, row by row
    assert sum("uniform between its bounds" in str(each) for each in case.check()) == 4


@pytest.mark.parametrize("how", ["folder", "path", "texts"])
def test_it_opens_by_folder_path_and_texts_and_reads_again(tmp_path: Path, how: str) -> None:
    written(tmp_path, "problem.yaml" if how == "texts" else "anything.yml")
    texts = {each.name: each.read_text() for each in tmp_path.iterdir()}
    source = {"folder": tmp_path, "path": tmp_path / "anything.yml", "texts": texts}[how]
    case = cs.load_case(source)
    assert set(COMPANIONS) <= set(case.files)
    assert log_likelihood(load_case(case.files)) == log_likelihood(case)


def test_it_calibrates_to_the_closed_form(tmp_path: Path) -> None:
    """With rates held, both values are linear in a0 and b0: the mode of PEtab's density is least squares within the box."""
    case = cs.load_case(written(tmp_path))
    fit = cs.calibrate(case, starts=2, density="petab", fixed={"k1": 0.8, "k2": 0.6, "b0": 0.0})
    share = (0.6 + 0.8 * np.exp(-14)) / 1.4
    assert fit.values["a0"] == pytest.approx((0.7 + share * 0.1) / (1 + share**2), abs=1e-4)
    assert fit.values["k1"] == 0.8


def test_a_case_stripped_of_its_own_tables_keeps_its_standard_part(tmp_path: Path) -> None:
    """Doses, experiments, priors and replicates: the witness is the case it was made from."""
    whole = tiny_case(
        "x = 0; x' = -k*x; k = 0.3; c = 2", {"y": ("x + 1", 0.2), "z": ("c*x + 1", 0.3, "normal")},
        [("y", 1.0, 3.0), ("y", 3.0, 2.0), ("z", 3.0, 4.0)],
        {"k": ("log-normal", -1.0, 0.3), "c": 2.0}, doses=[(0.5, "x", 4.0), (2.0, "x", 1.0)],
    )  # fmt: skip
    texts = {file: text for file, text in whole.files.items() if file not in COMPANIONS}
    head, *rows = texts["measurements.tsv"].splitlines()
    cut = [head.split("\t").index(name) for name in ("visitId", "unit")]

    def shorter(line: str) -> str:
        return "\t".join(cell for k, cell in enumerate(line.split("\t")) if k not in cut)

    texts["measurements.tsv"] = "\n".join(map(shorter, [head, *rows, rows[0]])) + "\n"
    lines = [line for line in texts["parameters.tsv"].splitlines() if not line.startswith("c\t")]
    texts["parameters.tsv"] = "\n".join(lines).replace("k\t\t\t", "k\t0\tinf\t") + "\n"
    plain = cs.load_case(texts)
    assert plain.timeline.infusions == whole.timeline.infusions
    theta = np.array([0.4])
    one, other = (objective_of(each).evaluate(theta).log_likelihood for each in (whole, plain))
    # a value printed twice is two replicates, which PEtab counts twice
    assert sorted(other) == pytest.approx(sorted([*one, one[0]]))
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    from cellsim.petab.problem import lint

    assert not [each for each in lint(tmp_path) if each.severity == "error"]


def test_what_is_not_there_or_cannot_be_meant_is_said(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "other.yaml").write_text(PROBLEM)
    with pytest.raises(CaseError, match=r"has 2 YAML files: _0001.yaml, other.yaml. Give the path of one"):
        cs.load_case(tmp_path)
    assert cs.load_case(tmp_path / "other.yaml").name == tmp_path.name
    unbounded = TABLES["_parameters.tsv"].replace("k1\t0\t10", "k1\t0\tinf")
    (tmp_path / "_parameters.tsv").write_text(unbounded)
    # PEtab lets a parameter be estimated without a prior and without bounds; a case does not
    with pytest.raises(
        CaseError, match=r"_parameters.tsv, row 4, column priorDistribution: k1 is estimated and has no prior"
    ):
        load_case(tmp_path / "other.yaml")
    assert isinstance(cs.load_case(tmp_path / "other.yaml"), cs.EstimationProblem)
    (tmp_path / "_parameters.tsv").write_text(TABLES["_parameters.tsv"].replace("k1\t", "k_1\t"))
    with pytest.raises(CaseError, match=r"no parameter 'k_1'.*Did you mean 'k1'"):
        cs.load_case(tmp_path / "other.yaml")
    # a case that has lost one of its tables is no plain problem
    files = cs.load_case("cytopenia_synthetic").files
    with pytest.raises(CaseError, match=r"visits.tsv: the file is missing"):
        cs.load_case({file: text for file, text in files.items() if file != "visits.tsv"})
