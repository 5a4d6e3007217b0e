"""Figures of profiles and posteriors show the numbers of their results, and the commands that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from patients import small_comparison, small_patient
from scipy.stats import chi2, norm
from whole_figures import assert_whole

import cellsim as cs
from cellsim import plots
from cellsim.case.case import Case
from cellsim.cli.commands import main
from cellsim.comparison import variants
from cellsim.comparison.conclusions import Conclusion
from cellsim.comparison.robustness_table import BASE, ConclusionRow
from cellsim.errors import CellsimError
from cellsim.posterior.approximation import Approximation

mpl.use("Agg")


@cache
def fitted() -> cs.Calibration:
    return cs.calibrate(small_patient(), starts=2)


@cache
def drawn() -> cs.Posterior:
    return cs.sample(fitted(), method="nuts", chains=2, draws=60, tune=60, seed=1)


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


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@cache
def diverging() -> cs.Posterior:
    """The same draws with two divergences among them, of the second and of the first chain."""
    post = drawn()
    marks = np.zeros(post.thetas.shape[:2], bool)
    marks[1, 7] = marks[0, 40] = True
    statistics = {**post.drawn.statistics, "diverging": marks}
    return replace(post, drawn=replace(post.drawn, statistics=statistics))


@cache
def shaken() -> cs.Robustness:
    """Two conclusions under two alterations: one flips the first, the other cannot ask it and settles the second."""
    rows = (
        ConclusionRow(id=BASE, group="", name="the case as it stands", values={"lead": 4.0, "pulse": 0.51}),
        ConclusionRow(id="a", group="noise", name="Student-t", values={"lead": -1.0, "pulse": 0.52}),
        ConclusionRow(
            id="b", group="visit left out", name="without a visit", values={"lead": np.nan, "pulse": 0.9}
        ),
    )
    lead = Conclusion(id="lead", question="?", unit="nat", threshold=0.0, above="yes", below="no")
    pulse = replace(lead, id="pulse", unit="probability", threshold=0.5, margin=0.1)
    return cs.Robustness(
        small_patient(),
        small_comparison().roles,
        ("V2", "V0"),
        (lead, pulse),
        (),
        rows,
        planned=2,
        seed=0,
        starts=1,
        seconds=0.0,
        versions={},
        approximation=Approximation("collapsed"),
    )


FIGURES: dict[str, Callable[[], Any]] = {
    "profile": lambda: plots.profile(cs.profile(fitted())),
    "profile unaided": lambda: plots.profile(cs.profile(fitted(), kind="unaided")),
    "trace": lambda: plots.trace(diverging()),
    "pair": lambda: plots.pair(diverging()),
    "prior_posterior": lambda: plots.prior_posterior(drawn()),
    "posterior_predictive": lambda: plots.posterior_predictive(drawn()),
    "evidence": lambda: plots.evidence(small_comparison()),
    "robustness": lambda: plots.robustness(shaken()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_whole(name: str) -> None:
    assert_whole(FIGURES[name]())


def test_a_profile_is_drawn_through_the_points_computed() -> None:
    found = cs.profile(fitted(), ["e", "kappa"])
    axes = plots.profile(found)
    assert [panel.get_title().split(":")[0] for panel in axes] == ["e", "kappa"]
    for panel, name in zip(axes, ("e", "kappa"), strict=True):
        [nodes] = lines(panel, "nodes")
        values, rises = found[name].drawing()["nodes"]
        assert nodes.get_xdata() == pytest.approx(values) and nodes.get_ydata() == pytest.approx(rises)
        assert panel.get_xscale() == "log"
        heights = sorted(float(line.get_ydata()[0]) for line in lines(panel, "level"))
        assert heights == pytest.approx(chi2.ppf([0.68, 0.95], 1))
        # the prior's own rise is the square of the distance from its median, in its sd, where the curve was walked
        [prior] = lines(panel, "prior")
        assert len(prior.get_xdata()) > 20
        approximation = found[name].prior
        assert approximation is not None and approximation.family == "log-normal"
        mean, sd = approximation.parameters
        assert prior.get_ydata() == pytest.approx(((np.log(prior.get_xdata()) - mean) / sd) ** 2)
        assert panel.get_xlabel() == "(no unit)"
    with pytest.raises(CellsimError, match="no profile of 'phi'"):
        plots.profile(found, ["phi"])
    with pytest.raises(CellsimError, match="nothing to draw"):
        plots.profile(replace(found, curves={}))


def test_a_laplace_parabola_has_the_spread_of_the_calibration() -> None:
    fit = fitted()
    [panel] = plots.profile(cs.profile(fit, "base_IL6"))
    [drawn_line] = lines(panel, "laplace")
    j = fit.objective.names.index("base_IL6")
    mode = fit.mixture.modes[0]
    one_sd = float(fit.objective.priors[j].value(np.array(mode.theta[j] + np.sqrt(mode.covariance[j, j]))))
    rise = np.interp(np.log(one_sd), np.log(drawn_line.get_xdata()), drawn_line.get_ydata())
    assert rise == pytest.approx(1.0, abs=0.05)


def test_an_open_end_is_marked_and_said() -> None:
    found = cs.profile(fitted(), ["kappa"], kind="unaided")
    ends = found["kappa"].interval(0.95)
    assert ends.lower.startswith("open: ") and ends.upper.startswith("open: ")
    [panel] = plots.profile(found)
    [marks] = lines(panel, "open")
    assert sorted(marks.get_xdata()) == pytest.approx(sorted(found["kappa"].drawing()["open"]))
    assert panel.get_title() == "kappa: open on both sides"
    said = panel.get_xlabel().replace("\n", " ")
    assert ends.lower in said and ends.upper in said


def test_where_a_curve_leans_on_another_parameter_is_marked_and_said() -> None:
    found = cs.profile(fitted(), "e")
    [branch, *_] = found["e"].branches
    pressed = tuple(("phi",) if k == len(branch.at) - 1 else () for k in range(len(branch.at)))
    curved = replace(found, curves={"e": replace(found["e"], branches=(replace(branch, pressed=pressed),))})
    [panel] = plots.profile(curved)
    [marks] = lines(panel, "kink")
    assert marks.get_xdata() == pytest.approx([float(found["e"].value(branch.at[-1]))])
    assert "it leans on phi" in panel.get_xlabel().replace("\n", " ")


def test_chains_are_drawn_whole_and_their_ranks_add_up() -> None:
    post = diverging()
    axes = plots.trace(post, ["e"])
    j = post.objective.names.index("e")
    column = post.thetas[:, :, j]
    for line, chain in zip(lines(axes[0], "chain"), column, strict=True):
        assert line.get_ydata() == pytest.approx(chain)
    held = [patch.get_data().values.sum() for patch in axes[1].patches]
    assert held == [column.shape[1]] * column.shape[0]
    [marks] = lines(axes[0], "diverging")
    assert marks.get_xdata().tolist() == [7, 40]
    assert axes[0].get_title().startswith(f"e: R-hat {post.convergence.rhat[j]:.3f}")
    # the worst first
    shown = [panel.get_title().split(":")[0] for panel in plots.trace(post, limit=3)[::2]]
    worst = np.array(post.objective.names)[np.argsort(-post.convergence.rhat)][:3]
    assert shown == worst.tolist()


def test_pairs_stand_beside_the_prior() -> None:
    post = diverging()
    axes = plots.pair(post, ["e", "kappa"])
    assert (axes[2].get_xlabel(), axes[2].get_ylabel()) == ("e (prior sd)", "kappa (prior sd)")
    [prior] = lines(axes[0], "prior")
    assert prior.get_ydata() == pytest.approx(norm.pdf(prior.get_xdata()))
    areas = sum(patch.get_width() * patch.get_height() for patch in axes[0].patches)
    assert areas == pytest.approx(1)
    e, kappa = (post.thetas[:, :, post.objective.names.index(name)] for name in ("e", "kappa"))
    [cloud] = lines(axes[2], "draws")
    assert cloud.get_xydata() == pytest.approx(np.column_stack([e.ravel(), kappa.ravel()]))
    [marks] = lines(axes[2], "diverging")
    assert marks.get_xydata() == pytest.approx(np.array([[e[0, 40], kappa[0, 40]], [e[1, 7], kappa[1, 7]]]))
    [r] = [text.get_text() for text in axes[1].texts]
    assert r == f"r = {np.corrcoef(e.ravel(), kappa.ravel())[0, 1]:.2f}"


def test_densities_of_parameters_carry_their_own_unit() -> None:
    [panel] = plots.prior_posterior(drawn(), ["e"])
    # median 0.301 and two sd of the logarithm either side, as the case's prior says: exp(-1.2), exp(-1.2 -+ 2)
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0.041", "0.3", "2.2"]
    table = drawn().table().set_index("parameter")
    [said] = [text.get_text() for text in panel.texts]
    assert said == f"{100 * table.loc['e', 'contraction']:.0f} %"


def test_printed_values_stand_among_their_replicas() -> None:
    post = drawn()
    axes = plots.posterior_predictive(post)
    shown = sum(len(lines(panel, gid)) for panel in axes for gid in ("inside", "outside"))
    assert shown == sum(term.part != "graded" for term in post.objective.terms)
    [panel] = plots.posterior_predictive(post, ["ESR"])
    rows = [(k, term) for k, term in enumerate(post.objective.terms) if term.analyte == "ESR"]
    made = post.drawn.scored.replicated.reshape(-1, len(post.objective.terms))
    order = [each.id for each in post.case.visits]
    for k, term in rows:
        at = order.index(term.visit)
        low, high = np.quantile(made[:, k], [0.05, 0.95])
        gid = "inside" if low <= term.measured <= high else "outside"
        [mark] = [line for line in lines(panel, gid) if line.get_xdata()[0] == at]
        assert mark.get_ydata()[0] == term.measured
        [bar] = [
            each
            for each in panel.collections
            if each.get_gid() == "90 %" and each.get_segments()[0][0, 0] == at
        ]
        assert bar.get_segments()[0][:, 1] == pytest.approx([low, high])
    [band] = [each for each in panel.patches if each.get_gid() == "reference"]
    assert band.get_extents().transformed(panel.transData.inverted()).y1 == pytest.approx(20)
    # the value known only as a limit is a triangle at that limit
    [other] = plots.posterior_predictive(post, ["IL8"])
    marks = [*lines(other, "inside"), *lines(other, "outside")]
    assert [line.get_ydata()[0] for line in marks if line.get_marker() == "v"] == [60.0]


def test_variants_stand_at_their_evidences_and_what_they_predict() -> None:
    found = small_comparison()
    axes = plots.evidence(found)
    table = found.table().set_index("variant")
    names = [text.get_text().split()[0] for text in axes[0].get_yticklabels()]
    assert names == list(found.order)
    best = max(each.log_evidence for each in found.known.values())
    for k, name in enumerate(names):
        [mark] = [line for line in lines(axes[0], "laplace") if line.get_ydata()[0] == k]
        assert mark.get_xdata()[0] == pytest.approx(table.loc[name, "laplace"] - best)
        # the null is a square
        assert mark.get_marker() == ("s" if name == "V0" else "o")
    bars = {each.lines[0].get_gid(): [] for each in axes[0].containers}
    for each in axes[0].containers:
        bars[each.lines[0].get_gid()].append(each)
    assert [each.lines[0].get_xdata()[0] for each in bars["evidence"]] == pytest.approx(
        [found.known[name].log_evidence - best for name in names]
    )
    for name, bar in zip(names, bars["evidence"], strict=True):
        assert np.ptp(bar.lines[2][0].get_segments()[0][:, 0]) == pytest.approx(2 * found.known[name].error)
    for by, plural in (("analyte", "analytes"), ("visit", "visits")):
        elpd = table[f"elpd_{plural}"].to_numpy()
        [marks] = lines(axes[1], f"elpd-{by}")
        assert marks.get_xdata() == pytest.approx(elpd - elpd.max())
        bars = [each.get_width() for each in axes[2].patches if each.get_gid() == f"weight-{by}"]
        assert bars == pytest.approx(table[f"weight_{plural}"].tolist())
    assert len(plots.evidence(replace(found, left={}))) == 1


def test_the_table_of_robustness_colours_what_changes() -> None:
    found = shaken()
    panel = plots.robustness(found)
    heads = [text.get_text().split("\n")[:2] for text in panel.get_xticklabels()]
    assert heads == [["lead", "> 0"], ["pulse", "> 0.5"]]
    rows = list(panel.get_yticks())
    coloured = {
        (each.get_gid(), round(each.get_x() + 0.5), rows.index(each.get_y() + 0.5)) for each in panel.patches
    }
    assert coloured == {("flips", 0, 1), ("is settled", 1, 2)}
    numbers = {(*each.get_position(), each.get_text()) for each in panel.texts}
    assert (0, rows[0], "4") in numbers and (0, rows[2], "-") in numbers
    assert (1, rows[1], "0.52") in numbers


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


def test_sample_and_compare_from_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "_TRIED", 0)  # other priors of all groups together, not of each
    out, saved = folder.parent / "post.nc", folder.parent / "compared.json"
    few = ["--method", "nuts", "--draws", "30", "--tune", "40", "--chains", "2", "--starts", "1"]
    assert main(["sample", str(folder), *few, "--hold-spreads", "--out", str(out)]) == 0
    assert "2 chains x 30 draws" in capsys.readouterr().out
    assert main(["sample", str(out), "--draws", "20", "--tune", "40"]) == 0
    assert "2 chains x 50 draws" in capsys.readouterr().out
    asked = ["compare", str(folder), "--starts", "1", "--effective", "60", "--out", str(saved)]
    assert main([*asked, "--figure", str(folder.parent / "evidence.png")]) == 0
    assert "greatest evidence" in capsys.readouterr().out
    assert set(cs.Comparison.load(saved).fits) == {"V0", "V2"}


@pytest.mark.parametrize("name", ["trace", "pair", "prior_posterior", "posterior_predictive"])
def test_what_has_no_chains_is_refused_in_words(name: str) -> None:
    with pytest.raises(
        CellsimError, match=rf"plots.{name} takes draws, and a Calibration has none.*cs.sample"
    ):
        getattr(plots, name)(fitted())
