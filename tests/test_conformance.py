"""The ledger of public suites, on problems written here: each verdict once."""

import time
from pathlib import Path

import pytest

from benchmarks import conformance, conformance_petab

YAML = (
    "format_version: 2.0.0\nmodel_files: {m: {location: m.ant, language: antimony}}\nparameter_files: [p.tsv]\n"
    "observable_files: [o.tsv]\nmeasurement_files: [d.tsv]\n"
)
TABLES = {
    "m.ant": "x = 1; x' = -k*x; k = 1",
    "p.tsv": "parameterId\testimate\tnominalValue\tlowerBound\tupperBound\nk\ttrue\t0.5\t0\tinf\n",
    "o.tsv": "observableId\tobservableFormula\tnoiseFormula\ny\tx\t1\n",
    "d.tsv": "observableId\texperimentId\ttime\tmeasurement\ny\t\t0\t1\n",
    "_simulations.tsv": "observableId\texperimentId\ttime\tsimulation\ny\t\t0\t1\n",
}
SOLUTION = "llh: -0.9189385332046727\nchi2: {}\ntol_llh: 0.001\ntol_chi2: 0.001\ntol_simulations: 0.001\nsimulation_files: [_simulations.tsv]\n"


def written(root: Path, case: str, chi2: float = 0.0, **tables: str) -> None:
    folder = root / case
    folder.mkdir()
    files = {f"_{case}.yaml": YAML, f"_{case}_solution.yaml": SOLUTION.format(chi2), **TABLES, **tables}
    for file, text in files.items():
        (folder / file).write_text(text)


def test_the_ledger_tells_right_wrong_and_refused_and_ends_with_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "0001")
    written(tmp_path, "0002", **{"o.tsv": TABLES["o.tsv"].replace("\tx\t", "\tz\t")})
    assert conformance.main(["--suites", str(tmp_path), "--gradients"]) == 0
    page = capsys.readouterr().out
    assert "| PEtab 2 | 2 | 1 | 0 | 1 | 0 | 0 | 0 |" in page
    assert (
        "1 x y uses '...', which nothing has. " in page and "PEtab 2 0002: o.tsv, row 2: y uses 'z'" in page
    )
    written(tmp_path, "0003", chi2=1.0)
    (tmp_path / "Some").mkdir()
    for file, text in {**TABLES, "Some.yaml": YAML}.items():
        (tmp_path / "Some" / file).write_text(text)
    assert conformance.main(["--suites", str(tmp_path)]) == 1
    page = capsys.readouterr().out
    assert (
        "PEtab 2 0003: chi2 0, expected 1" in page
        and "| PEtab benchmarks | 1 | 0 | 1 | 0 | 0 | 0 | 0 |" in page
    )
    (tmp_path / "reference.tsv").write_text("problem\tlog_likelihood_at_nominal\nSome\t-0.91894\n")
    assert conformance_petab.judged(tmp_path / "Some" / "Some.yaml") == ("right", "")
    assert conformance.main(["--suites", str(tmp_path / "none")]) == 2


def _crash(path: Path, gradients: bool) -> tuple[str, str]:
    import os

    os._exit(3)


def _slow(path: Path, gradients: bool) -> tuple[str, str]:
    began = time.process_time()
    while time.process_time() - began < 60:
        pass
    return "right", ""


def _waiting(path: Path, gradients: bool) -> tuple[str, str]:
    time.sleep(60)
    return "right", ""


def test_a_case_that_ends_its_process_has_crashed_and_one_that_goes_on_is_slow(tmp_path: Path) -> None:
    assert conformance.run_case(_crash, tmp_path) == ("crashed", "the process ended with 3")
    assert conformance.run_case(_slow, tmp_path, seconds=0.2)[0] == "slow"
    waited = conformance.run_case(_waiting, tmp_path, seconds=0.01)
    assert waited == ("slow", "not done after 0.6 s on the clock")
