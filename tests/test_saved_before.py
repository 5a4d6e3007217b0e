"""What version 0.1 saved is read and finds its numbers again, or is refused naming the version that reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from patients import small_fit
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.outcomes import ASKED_TABLES
from cellsim.errors import CalibrationError

OLD = "0.1.0"


def saved_as_before(fit: cs.Calibration, path: Path, *, lost: tuple[str, ...] = ()) -> Path:
    """A calibration as 0.1 wrote it: its case has none of the tables and columns that came with 0.2."""
    fit.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["versions"]["cellsim"] = OLD
    files = {name: text for name, text in content["case"].items() if name not in ASKED_TABLES}
    for name, text in files.items():
        head, *rows = [line.split("\t") for line in text.split("\n")]
        kept = [k for k, column in enumerate(head) if column not in lost]
        if name.endswith(".tsv") and len(kept) < len(head):
            files[name] = "\n".join("\t".join(row[k] for k in kept if k < len(row)) for row in (head, *rows))
    content["case"] = files
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_calibration_of_0_1_finds_its_sum_of_squares_again(tmp_path: Path) -> None:
    """Witness: the calibration that was saved."""
    fit = small_fit()
    again = cs.Calibration.load(saved_as_before(fit, tmp_path / "old.json", lost=("quantity", "unit_")))
    assert again.sum_of_squares == pytest.approx(fit.sum_of_squares, rel=1e-6)
    assert again.versions["cellsim"] == OLD and fit.versions["cellsim"] == cs.__version__ == "0.2.0"
    assert again.case.outcomes == () and again.case.label.startswith("n = 1; ")


def test_grades_of_0_1_are_refused_naming_the_version_that_reads_them(tmp_path: Path) -> None:
    head = "observableId\tkind\tday\tlower\tupper\tquantity\tscale\tcutPoints\tscored\n"
    priors = (
        "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\tpriorDistribution\tpriorParameters\n"
    )
    case = tiny_case(
        "x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 4.0)], {"k": ("log-normal", 0.0, 1.0)},
        tables={
            "extended.tsv": f"{head}spots\tgraded\t1\t1\t1\tx\ts\tc\ttrue\n",
            "parameters_extended.tsv": f"{priors}c\t-inf\tinf\t1\ttrue\tnormal\t1;1\ns\t\t\t0.3\tfalse\t\t\n",
        },
    )  # fmt: skip
    fit = cs.calibrate(case, starts=1)
    path = saved_as_before(fit, tmp_path / "old.json", lost=("scale", "cutPoints"))
    with pytest.raises(CalibrationError, match=rf"(?s)cellsim {OLD}.*scale and cutPoints.*CHANGELOG"):
        cs.Calibration.load(path)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_comparison_of_before_is_refused_in_words(number: int, tmp_path: Path) -> None:
    """Its evidences came by an approximation that is no longer made."""
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"format": f"cellsim comparison {number}", "fits": {}, "normals": {}}))
    said = rf"comparison of another version of cellsim \(format 'cellsim comparison {number}'.*Make it again from its case"
    with pytest.raises(CalibrationError, match=said):
        cs.Comparison.load(path)
