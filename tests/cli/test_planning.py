"""``cellsim sweep`` of grids, measures, parameters and several mechanisms, and ``cellsim optimise``: what a script says is the witness."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.cli.commands import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two mechanisms of one small case, as files."""
    case = tiny_case(
        "x = 0; k = 0.3; f = 1; x' = -f*k*x",
        {"y": ("x + 1", 0.5)},
        [("y", 1.0, 3.0)],
        {"k": ("log-normal", float(np.log(0.3)), 0.3), "f": 1.0},
        doses=[(0.0, "x", 3.0)],
        variants={"A": {"f": 1}, "B": {"f": 2}},
        start=-1.0,
    )
    places = []
    for name in ("A", "B"):
        places.append(tmp_path_factory.mktemp("fits") / f"{name}.json")
        cs.calibrate(case, variant=name, starts=1).save(places[-1])
    return places


def test_a_grid_with_measures_is_swept(saved: list[Path], tmp_path: Path, capsys: Captured) -> None:
    words = ["sweep", str(saved[0]), "--every", "2,5", "--cells", "1", "--doses", "2:4:2", "--product", "x", "--until", "30", "--draws", "6",
             "--measure", "area(x)", "--out", str(tmp_path / "numbers.csv"), "--seed", "3"]  # fmt: skip
    assert main(words) == 0
    fit = cs.Calibration.load(saved[0])
    plans = {
        "as given": fit.case.schedule,
        **cs.Schedule.grid(interval=[2, 5], cells=1.0, doses=[2, 4], product="x"),
    }
    own = cs.sweep(fit, plans, until=30, measures=["area(x)"], draws=6, seed=3).table()
    found = pd.read_csv(tmp_path / "numbers.csv")
    assert found["schedule"].tolist() == own["schedule"].tolist()
    assert found["estimate"].to_numpy() == pytest.approx(own["estimate"].to_numpy(), rel=1e-9)
    assert "every 5 d, 4 doses" in capsys.readouterr().out


def test_parameters_and_a_model_alone_are_swept(saved: list[Path], tmp_path: Path, capsys: Captured) -> None:
    """The area of one dose of 3 is 3 (1 - exp(-30 k))/k; the tornado and the heat map are drawn."""
    model = tmp_path / "drug.ant"
    model.write_text("x = 0; k = 0.3; s = 1; x' = -k*x; y := s*x\n")
    shared = [
        "--every",
        "1",
        "--cells",
        "3",
        "--doses",
        "1",
        "--product",
        "x",
        "--until",
        "30",
        "--measure",
        "area(y)",
    ]
    grid = [
        "sweep",
        str(model),
        *shared,
        "--parameter",
        "k=0.1,0.2",
        "--parameter",
        "s=1:2",
        "--out",
        str(tmp_path / "grid.csv"),
    ]
    assert main([*grid, "--figure", str(tmp_path / "grid.png")]) == 0
    found = pd.read_csv(tmp_path / "grid.csv")
    assert found["estimate"].to_numpy() == pytest.approx(
        found["s"] * 3 * (1 - np.exp(-30 * found["k"])) / found["k"], rel=1e-4
    )
    one = [
        "sweep",
        str(saved[0]),
        "--parameter",
        "k=0.1,0.2",
        "--design",
        "one at a time",
        "--until",
        "30",
        "--measure",
        "area(x)",
        "--draws",
        "4",
    ]
    assert main([*one, "--figure", str(tmp_path / "tornado.png")]) == 0
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("grid", "tornado"))
    assert "swing" in capsys.readouterr().out


def test_several_mechanisms_are_averaged(saved: list[Path], capsys: Captured) -> None:
    words = [
        "sweep",
        *map(str, saved),
        "--every",
        "2",
        "--cells",
        "1",
        "--doses",
        "2",
        "--until",
        "30",
        "--draws",
        "6",
        "--measure",
        "area(x)",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    fits = [cs.Calibration.load(place) for place in saved]
    weight = 1 / (1 + np.exp(fits[1].log_evidence - fits[0].log_evidence))
    assert f"- A: {weight:.3f}" in out and "averaged over A, B" in out


def test_rules_are_optimised(saved: list[Path], tmp_path: Path, capsys: Captured) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'product = "x"\ncells = [1.0, 2.0]\ndoses = {from = 1, to = 4}\ninterval = [2, 5]\ntotal_cells = 4.0\n'
    )
    words = ["optimise", str(saved[0]), "--rules", str(rules), "--until", "30", "--measure", "area(x)", "--better", "higher", "--draws", "8",
             "--eps", "0.01", "--out", str(tmp_path / "plans.csv"), "--front", str(tmp_path / "front.csv")]  # fmt: skip
    assert main(words) == 0
    found = cs.optimise(
        cs.Calibration.load(saved[0]),
        rules,
        until=30,
        measure="area(x)",
        better="higher",
        draws=8,
        seed=1,
        eps=0.01,
    )
    assert pd.read_csv(tmp_path / "plans.csv")["plan"].tolist() == found.table()["plan"].tolist()
    assert pd.read_csv(tmp_path / "front.csv")["amount"].tolist() == found.front()["amount"].tolist()
    assert "no allowed plan is better than" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--every", "7", "--cells", "5e7"], "--doses missing"),
        (["--every", "7", "--cells", "5", "--doses", "2.5"], "--doses 2.5: a whole number"),
        (["--parameter", "k"], "--parameter k"),
        (["--parameter", "kk=1"], "Did you mean 'k'"),
        (["--measure", "area(xx)"], "Did you mean 'x'"),
        (["--strict", "--every", "7", "--cells", "50", "--doses", "2"], "lies outside what was given"),
        (["--error", "3"], "error = 3"),
    ],
)
def test_what_cannot_be_asked_is_said(
    saved: list[Path], words: list[str], said: str, capsys: Captured
) -> None:
    assert main(["sweep", str(saved[0]), "--until", "30", *words]) == 1
    assert said in capsys.readouterr().err
