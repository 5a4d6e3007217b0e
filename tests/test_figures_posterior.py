"""Figures of profiles and posteriors show the numbers of their results, and the commands that make them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from patients import small_patient

import cellsim as cs
from cellsim import plots
from cellsim.case import Case
from cellsim.cli import main
from cellsim.errors import CellsimError

mpl.use("Agg")


@cache
def fitted() -> cs.Calibration:
    return cs.calibrate(small_patient(), starts=2)


@cache
def drawn() -> cs.Posterior:
    return cs.sample(fitted(), draws=60, tune=60, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    case: Case = small_patient()
    for name, text in case.files.items():
        path = tmp_path / "case" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "case"


def lines(panel: object, gid: str) -> list:
    return [line for line in panel.lines if line.get_gid() == gid]  # type: ignore[attr-defined]


def test_a_profile_is_drawn_through_the_points_computed() -> None:
    found = cs.profile(fitted(), ["e", "kappa"])
    axes = plots.profile(found)
    assert [panel.get_title().split(":")[0] for panel in axes] == ["e", "kappa"]
    for panel, name in zip(axes, ("e", "kappa"), strict=True):
        [nodes] = lines(panel, "nodes")
        values, rises = found[name].drawing()["nodes"]
        assert nodes.get_xdata() == pytest.approx(values) and nodes.get_ydata() == pytest.approx(rises)
        assert panel.get_xscale() == "log"
    with pytest.raises(CellsimError, match="no profile of 'phi'"):
        plots.profile(found, ["phi"])


def test_chains_are_drawn_whole_and_their_ranks_add_up() -> None:
    post = drawn()
    axes = plots.trace(post, ["e"])
    column = post.thetas[:, :, post.objective.names.index("e")]
    for line, chain in zip(axes[0].lines, column, strict=False):
        assert line.get_ydata() == pytest.approx(chain)
    held = [patch.get_data().values.sum() for patch in axes[1].patches]
    assert held == [column.shape[1]] * column.shape[0]
    assert len(plots.trace(post, limit=3)) == 6


def test_pairs_stand_beside_the_prior() -> None:
    axes = plots.pair(drawn(), ["e", "kappa"])
    assert (axes[2].get_xlabel(), axes[2].get_ylabel()) == ("e", "kappa")
    assert len(lines(axes[0], "prior")) == 1
    areas = sum(patch.get_width() * patch.get_height() for patch in axes[0].patches)
    assert areas == pytest.approx(1)


def test_densities_of_parameters_carry_their_own_unit() -> None:
    [panel] = plots.prior_posterior(drawn(), ["e"])
    prior = drawn().objective.priors[drawn().objective.names.index("e")]
    assert [text.get_text() for text in panel.get_xticklabels()] == [
        f"{float(prior.value(np.array(each))):.2g}" for each in (-2.0, 0.0, 2.0)
    ]


def test_printed_values_stand_among_their_replicas() -> None:
    post = drawn()
    axes = plots.posterior_predictive(post)
    shown = sum(
        len(line.get_ydata()) for panel in axes for gid in ("inside", "outside") for line in lines(panel, gid)
    )
    assert shown == sum(term.part != "graded" for term in post.objective.terms)
    [panel] = plots.posterior_predictive(post, ["ESR"])
    marks = np.concatenate([line.get_ydata() for gid in ("inside", "outside") for line in lines(panel, gid)])
    assert sorted(marks) == sorted(term.measured for term in post.objective.terms if term.analyte == "ESR")


def test_profile_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, figure = folder.parent / "e.csv", folder.parent / "e.png"
    words = [
        "profile",
        str(folder),
        "--parameter",
        "e",
        "--starts",
        "2",
        "--out",
        str(out),
        "--figure",
        str(figure),
    ]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("Profile posterior of small")
    assert out.read_text().startswith("name,") and figure.stat().st_size > 1000
    assert main(["profile", str(folder), "--parameter", "f", "--starts", "1"]) == 1


def test_sample_and_compare_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, saved = folder.parent / "post.nc", folder.parent / "compared.json"
    few = ["--draws", "30", "--tune", "40", "--chains", "2", "--starts", "1"]
    assert main(["sample", str(folder), *few, "--hold-spreads", "--out", str(out)]) == 0
    assert "2 chains x 30 draws" in capsys.readouterr().out
    assert main(["sample", str(out), "--draws", "20", "--tune", "40"]) == 0
    assert "2 chains x 50 draws" in capsys.readouterr().out
    asked = ["compare", str(folder), "--starts", "1", "--posterior", str(out), "--out", str(saved)]
    assert main([*asked, "--figure", str(folder.parent / "evidence.png")]) == 0
    assert "Bridge sampling against Laplace" in capsys.readouterr().out
    assert set(cs.Comparison.load(saved).fits) == {"V0", "V2"}
