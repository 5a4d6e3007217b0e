"""What the README says is run, and what it lists exists."""

import re
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import cellsim as cs
from cellsim.model.model import load_model

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_scripts_run(
    sjogren_fit: cs.Calibration,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As printed, one after the other in one session; only the number of starts is cut, to save an hour of waiting."""
    sweep = cs.sweep

    def quick(case: cs.Case, *, starts: int, seed: int) -> cs.Calibration:
        assert (starts, seed) == (50, 1) and case == sjogren_fit.case
        return sjogren_fit

    monkeypatch.setattr(cs, "calibrate", quick, raising=False)
    monkeypatch.setattr(cs, "sweep", lambda *a, **k: sweep(*a, draws=20, **k), raising=False)
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {}
    for script in SCRIPTS:
        exec(compile(script, "README.md", "exec"), session)
    assert (tmp_path / "what-if.png").stat().st_size > 10_000
    assert "prior-driven" in capsys.readouterr().out


def test_the_house_is_as_drawn() -> None:
    """Every folder of the package has its line in the README's table, and none that does not exist."""
    drawn = re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE)
    assert sorted(drawn) == sorted(path.parent.name for path in (ROOT / "cellsim").glob("*/__init__.py"))


def test_every_parameter_of_the_case_model_is_explained() -> None:
    """The table of models/README.md has each parameter with the value that the model has."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\S+) \|", (ROOT / "models/README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    model = load_model("sjogren_rfib")
    assert {name: pytest.approx(float(value), rel=1e-6) for name, value in rows} == {
        each.name: each.value for each in model.parameters
    }


def test_nominal_values_of_the_case_are_those_of_the_model() -> None:
    model = load_model("sjogren_rfib")
    nominal = cs.load_case("sjogren_rfib").nominal
    for each in model.parameters:
        if each.name in nominal:
            assert nominal[each.name] == pytest.approx(each.value, rel=1e-6), each.name
