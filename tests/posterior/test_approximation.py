"""What results rest on: every one carries it to all its faces, one in a report, and a bad one is not silent."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from patients import small_comparison, small_fit, small_posterior
from scipy import stats
from small_cases import straight_line

import cellsim as cs
from cellsim import plots
from cellsim.comparison.comparison import Comparison
from cellsim.comparison.evidence import COLLAPSED, Evidence
from cellsim.dosing.schedule import Schedule
from cellsim.errors import ApproximationWarning, CalibrationError, CellsimError
from cellsim.posterior.approximation import Approximation, together
from cellsim.predictions.bands import bands
from cellsim.predictions.measures import Area, DaysBelow, Value
from cellsim.predictions.predictions import predictions_of
from cellsim.results import difference
from cellsim.sweeps.learned import beside_prior

mpl.use("Agg")

DAYS, VALUES, SD = [0.0, 1.0, 2.0, 4.0], [10.4, 11.1, 11.3, 12.9], 0.5


@pytest.fixture(autouse=True)
def no_figure_stays_open() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fit() -> cs.Calibration:
    """y = 10 + a + b x with normal everything: each approximation of it is exact."""
    return cs.calibrate(straight_line(VALUES, DAYS, sd=SD), starts=1)


def doubtful(fit: cs.Calibration, shape: float = 1.6) -> cs.Calibration:
    """The same with another Pareto k, and the doubt that goes with it."""
    from cellsim.posterior.diagnosis import _doubts_of_laplace

    facts = {**fit.diagnosis, "shape": shape}
    told = _doubts_of_laplace(facts)
    return replace(
        fit, diagnosis={**facts, "doubts": [*fit.diagnosis["doubts"], *told], "doubts_of_laplace": told}
    )


def foot(axes: Any) -> str:
    figure = axes.figure if hasattr(axes, "figure") else axes[0].figure
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


# ---- a bad approximation is not silent --------------------------------------------------------------------


def test_a_sweep_of_a_bad_approximation_warns_and_carries_the_doubt(fit: cs.Calibration) -> None:
    plans = {"none": Schedule()}
    with warnings.catch_warnings():
        warnings.simplefilter("error", ApproximationWarning)
        good = cs.sweep(fit, plans, until=5, measures=[Area("x")], draws=5)
    assert good.approximation == fit.approximation and "Laplace's approximation, 1 doubt" in repr(good)
    with pytest.warns(ApproximationWarning, match=r"Pareto k 1\.6.*quick look.*cs\.sample\(fit\)") as caught:
        bad = cs.sweep(doubtful(fit), plans, until=5, measures=[Area("x")], draws=5)
    assert caught[0].filename == __file__
    assert "Laplace's approximation, 2 doubts" in repr(bad)
    for table in (bad.table(), good.table()):
        assert set(table["approximation"]) == {"Laplace's approximation"}
    assert bad.table()["doubts"].str.contains("Pareto k 1.6").all()
    # what a file of them keeps: the same columns as every other table
    assert bad.draws()["doubts"].str.contains("Pareto k 1.6").all()
    rows, errors = doubtful(fit).rows(), doubtful(fit).standard_errors()
    assert rows["doubts"].str.contains("Pareto k 1.6").all()
    assert "2 doubts" in errors.to_csv() and "Pareto k 1.6" in errors.attrs["doubts"]
    [note] = [
        each.get_text() for each in plots.residuals(doubtful(fit)).figure.texts if "Pareto" in each.get_text()
    ]
    assert "the highest optimum" in note
    # an approximation of which not even the shape is known is no better
    with pytest.warns(ApproximationWarning):
        cs.sweep(doubtful(fit, float("nan")), plans, until=5, measures=[Area("x")], draws=5)


def test_chains_that_do_not_agree_warn_too(fit: cs.Calibration, tmp_path: Path) -> None:
    """Twelve draws a chain cannot have a hundred effective ones."""
    post = cs.sample(fit, method="nuts", draws=12, tune=40, progress=False)
    assert not post.convergence.usable and post.approximation.kind == "chains"
    assert post.approximation.doubts == tuple(post.doubts)
    with pytest.warns(ApproximationWarning, match=r"post\.resume"):
        found = cs.sweep(post, {"none": Schedule()}, until=5, measures=[Area("x")], draws=5)
    assert set(found.table()["approximation"]) == {"chains"}
    assert "Numbers rest on chains." in post.report()
    # the file says it to whoever opens it with another tool, and ours judges the draws again
    post.save(tmp_path / "post.nc")
    with xr.open_dataset(tmp_path / "post.nc", group="posterior", engine="h5netcdf") as group:
        assert group.attrs["approximation"] == "chains" and group.attrs["doubts"].split("\n") == post.doubts
    assert cs.Posterior.load(tmp_path / "post.nc").approximation == post.approximation


# ---- direction and size -----------------------------------------------------------------------------------


def test_direction_and_size_are_judged_apart() -> None:
    """Draws whose place among the prior's is known: a quarter of its spread about its 5 % point is no answer of the prior."""
    prior = -np.abs(stats.norm(0, 3).ppf((np.arange(4000) + 0.5) / 4000))
    here = stats.norm(-4.1, 0.9).ppf((np.arange(400) + 0.5) / 400)
    found = beside_prior(here, prior)
    assert found["above"] == found["prior_above"] == 0
    assert found["verdict"] == "data-driven"
    assert str(found["note"]).startswith(
        "direction as the prior says, size not as the prior says (contraction 0."
    )
    assert beside_prior(prior[::10], prior)["note"] == "as the prior says, in direction and size"
    other = beside_prior(-here, prior)
    assert str(other["note"]).startswith("direction not as the prior says, size not as the prior says (contr")
    # Phi(0.4) is 0.66: a share that a prior of one half does not have, and one of 0.3 makes less sure of the other side
    wide = stats.norm(0, 1).ppf((np.arange(1000) + 0.5) / 1000)
    for shift, before, said in (
        (0.4, 0.0, "direction not as the prior says, size as the prior says"),
        (0.4, 0.05, "direction as the prior says but surer, size as the prior says"),
        (0.1, 0.5, "direction as the prior says but less sure, size as the prior says"),
    ):
        assert beside_prior(wide + shift, wide + before)["note"] == said
    chances = beside_prior(np.full(9, 0.4), np.full(9, 0.1), chance=True)
    assert chances["note"] == "direction as the prior says, size not as the prior says"
    assert beside_prior(np.zeros(9), np.zeros(9))["note"] == "no difference, and none expected"
    assert beside_prior(np.zeros(9), np.zeros(0))["note"] == ""


# ---- every face says it -----------------------------------------------------------------------------------


def test_tables_and_texts_carry_it(fit: cs.Calibration, tmp_path: Path) -> None:
    bad = doubtful(fit)
    k = "the normal approximations around the optima do not stand for the posterior"
    assert "2 doubts" in repr(bad) and bad.report().count(k) == 1 and k in bad.report_html()
    for frame, name in (
        (bad.table(), "Laplace's approximation"),
        (bad.rows(), "the highest optimum"),
        (cs.identify(bad).table(), "Laplace's approximation"),
        (cs.identify(bad).groups(), "Laplace's approximation"),
        (cs.identify(fit.objective).table(), "the curvature at one point"),
        (cs.profile(bad, "a").table(), "profiles from the optima"),
    ):
        frame.to_csv(tmp_path / "table.csv", index=False)
        again = pd.read_csv(tmp_path / "table.csv")
        assert set(again["approximation"]) == {name}, name
        if name in ("Laplace's approximation", "the highest optimum"):
            assert (
                again["doubts"].str.contains(k).all() and again["doubts"].str.contains("only one start").all()
            )
        elif name != "the curvature at one point":
            assert (again["doubts"] == "only one start").all()
    assert "only one start" in cs.profile(fit, "a").report() and k not in cs.profile(bad, "a").report()
    assert "Laplace's approximation" in cs.identify(bad).report()


def test_figures_say_it_beneath(fit: cs.Calibration) -> None:
    patient, k = small_fit(), "Numbers rest on Laplace's approximation"
    approximation = small_posterior()
    options = {"draws": 5, "days": (0.0, 30.0)}
    for axes, expected in (
        (plots.fit(patient, ["ESR"], **options), k),
        (
            plots.fit(patient, ["ESR"], posterior=approximation, **options),
            "Numbers rest on the collapsed sampler",
        ),
        (
            plots.drives(patient, ["D"], posterior=approximation, **options),
            "Numbers rest on the collapsed sampler",
        ),
        (plots.persistence(patient, **options), k),
        (plots.prior_predictive(patient.case, ["ESR"], **options), "Numbers rest on the prior."),
        (plots.residuals(patient), "Numbers rest on the highest optimum (doubts: only one start"),
        (plots.parameters(approximation), "Numbers rest on the collapsed sampler"),
        (
            plots.profile(cs.profile(fit, "a")),
            "Numbers rest on profiles from the optima (doubts: only one start)",
        ),
        (plots.variants([patient]), k),
    ):
        assert expected in foot(axes), expected
    # a second figure in the same one adds what it rests on, once
    _, both = plt.subplots(1, 2)
    plots.parameters(patient, ax=both[0])
    plots.parameters(approximation, ax=both[1])
    plots.parameters(approximation, ax=both[1])
    assert foot(both).count("the collapsed sampler") == 1 and k in foot(both)
    assert foot(both).count("not for treatment decisions") == 1


def test_a_contrast_of_variants_says_what_each_rests_on() -> None:
    patient = small_fit()
    given = {"as given": patient.case.schedule, "nothing": Schedule((), patient.case.products)}
    by = {
        name: cs.sweep(each, given, until=60, draws=5)
        for name, each in (("A", patient), ("B", small_posterior()))
    }
    said = foot(plots.contrast(by, "as given", "nothing"))
    assert "A: Laplace's approximation" in said and "B: the collapsed sampler" in said
    assert "Numbers rest on the collapsed sampler" in foot(plots.sweep(by["B"]))


def test_what_several_variants_are_doubted_for_is_said_once() -> None:
    one, other = (
        Approximation("laplace", ("only one start: more.",)),
        Approximation("laplace", ("only one start: more.", "x y.")),
    )
    assert together({"A": one, "B": other}).doubts == ("A, B: only one start: more.", "B: x y.")
    many = Approximation("chains", tuple(f"doubt number {k}." for k in range(6)))
    assert many.words.endswith("doubt number 3; and 2 more)") and many.label == "chains, 6 doubts"
    with pytest.raises(ValueError, match="no approximation is called 'guess'"):
        Approximation.of_content({"kind": "guess", "doubts": [], "unfit": ""})
    assert Approximation.of_content(json.loads(json.dumps(many.content()))) == many


def test_files_carry_it(fit: cs.Calibration, tmp_path: Path) -> None:
    bad = doubtful(fit)
    bad.save(tmp_path / "fit.json")
    again = cs.Calibration.load(tmp_path / "fit.json")
    assert again.approximation == bad.approximation and again.at_optimum == bad.at_optimum
    silent = json.loads((tmp_path / "fit.json").read_text())
    del silent["diagnosis"]["shape"]
    (tmp_path / "fit.json").write_text(json.dumps(silent))
    with pytest.raises(CalibrationError, match="it has no 'shape'"):
        cs.Calibration.load(tmp_path / "fit.json")
    drawn = Evidence(-3.0, 0.1, doubts=("chains disagree about a (1.2): more draws.",))
    for found, kind in (
        (
            Comparison({"": bad}, {"": Evidence(-3.0, 0.1, means=COLLAPSED)}),
            "collapsed",
        ),
        (Comparison({"": bad}, {"": drawn}), "chains"),
    ):
        found.save(tmp_path / "compared.json")
        assert Comparison.load(tmp_path / "compared.json").approximation == found.approximation
        assert found.approximation.kind == kind
        assert found.table()["approximation"][0] in str(found)
    assert "chains disagree about a" in str(found) and "chains disagree about a" in found._repr_html_()
    told = json.loads((tmp_path / "compared.json").read_text())
    del told["known"][""]["doubts"]
    (tmp_path / "compared.json").write_text(json.dumps(told))
    with pytest.raises(CalibrationError, match="parts missing or changed"):
        Comparison.load(tmp_path / "compared.json")


# ---- names ------------------------------------------------------------------------------------------------


def test_bands_take_an_analyte_or_refuse_in_words() -> None:
    patient = small_fit()
    found = bands(patient, ["ESR", "value_ESR", "D"], start=0, end=10, draws=4)
    assert np.array_equal(found.curves["ESR"], found.curves["value_ESR"])
    assert "Laplace's approximation" in repr(found) and found.approximation.kind == "laplace"
    assert bands(patient, ["D"], start=0, end=10, draws=4, prior=True).approximation.kind == "prior"
    with pytest.raises(CellsimError, match="'CRPP'") as refused:
        bands(patient, ["CRPP", "value_ESRR"], start=0, end=10)
    assert len(refused.value.problems) == 2 and "Did you mean 'value_ESR'" in str(refused.value)
    import sympy as sp

    with pytest.raises(CellsimError, match="no quantity 'q' in 'twice'"):
        bands(patient, {"twice": 2 * sp.Symbol("q")}, start=0, end=10)


def test_every_name_and_day_that_is_none_is_refused_in_words(fit: cs.Calibration) -> None:
    """No KeyError, no IndexError, and no value of another day."""
    patient = small_fit()
    given = {"as given": patient.case.schedule}
    areas, asked = (
        cs.sweep(patient, given, until=20, draws=3, measures=[Area("D"), *more])
        for more in ([], [DaysBelow("D", 0.5)])
    )
    other, found = bands(patient, ["R"], start=0, end=5, draws=3), small_comparison()
    for work, words in (
        (lambda: plots.fit(patient, ["ESR"], among=other), "these bands have no 'value_ESR'"),
        (lambda: plots.drives(patient, ["D"], among=other), "these bands have no 'D'"),
        (lambda: plots.drives(patient, ["ESRR"]), "Did you mean 'ESR'"),
        (lambda: plots.sweep(areas), "no time course to draw"),
        (lambda: plots.sweep(asked, measures=["area"]), "is no measure of a quantity: give pairs"),
        (lambda: plots.sweep(asked, measures=[("area", "DD")]), "no measure 'area of DD'"),
        (lambda: plots.contrast(asked, "as given", "as given"), "by the name of their variant"),
        (lambda: plots.variants(patient), "as a list or by name"),
        (lambda: found.slopes("V22"), "Did you mean 'V2'"),
        (lambda: found.weights("analytes"), "Did you mean 'analyte'"),
        (lambda: cs.sweep(patient, given, until=20, measures=[DaysBelow("DD", 1.0)]), "No quantity 'DD'"),
        (lambda: predictions_of(patient, [DaysBelow("DD", 1.0)], until=20), "No quantity 'DD'"),
        (lambda: cs.sweep(patient, given, until=20, measures=[Value((99.0, -5.0), ("ESR",))]), "2 problems"),
        (lambda: predictions_of(patient, [Value((99.0,), ("ESR",))], until=20), "day 99 is asked for"),
        (lambda: cs.sweep(patient, given, until=20, measures=Area("D")), "a list of measures"),
        (lambda: cs.sweep(patient.objective, given, until=20), "cs.calibrate"),
        (lambda: asked.table(level=90), "level = 90"),
        (lambda: asked.contrasts(level=0), "level = 0"),
    ):
        with pytest.raises(CellsimError) as refused:
            work()
        assert words in str(refused.value), words


def test_an_analyte_is_drawn_by_its_id_as_its_quantity_is() -> None:
    panels = [plots.drives(small_fit(), [name], draws=3)[0] for name in ("ESR", "value_ESR")]
    one, other = (
        next(line for line in panel.lines if line.get_gid() == name).get_ydata()
        for panel, name in zip(panels, ("ESR", "value_ESR"), strict=True)
    )
    assert np.array_equal(one, other)


def test_a_signed_difference_is_said_by_a_word_alone() -> None:
    assert [difference(each, "above", "below", "as high as") for each in (5.46, -2.9, 0.04, -0.04)] == [
        "5.5 above",
        "2.9 below",
        "as high as",
        "as high as",
    ]
