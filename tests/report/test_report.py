"""The report: every section, every number equal to the result's own, and nothing lost when a step fails."""

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from patients import small_fit, small_patient
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.records import variant_names
from cellsim.comparison.alterations import Alteration, alterations_of
from cellsim.errors import CellsimError, CutShortError, ScheduleError
from cellsim.plots.style import figure_of
from cellsim.predictions.plan_tables import plans_from_table, plans_table
from cellsim.predictions.plans import plans_of
from cellsim.report import report_summary as words
from cellsim.report.chains import ReportStep, follow
from cellsim.report.draws import apart_table, apart_words
from cellsim.report.elements import figure, odds, section, table
from cellsim.report.mechanisms import by_names, variants_compared
from cellsim.report.overview import pages_of
from cellsim.report.page import ReportFolder, copy_case, page
from cellsim.report.products import contrast_words, persists_words
from cellsim.report.report import Report, write_report
from cellsim.report.steps import LONG, Job
from cellsim.threads import CORES

mpl.use("Agg")

SECTIONS = ("first", "fit", "learned", "variants", "next", "robustness", "details")
FOLDED = ("contrast", "what-if", "audit", "doubts", "again")
FIGURES = (
    *(
        "prior",
        "parameters_mechanism",
        "parameters",
        "prior_posterior",
        "pair",
        "profile",
        "predictions",
        "evidence",
    ),
    *("variants", "contrast", "robustness", "what_if", "what_if_load", "fit", "posterior_predictive"),
    *("residuals", "drives", "persistence", "persistence_first"),
)
DRAW = ReportFolder.draw


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One start, ten draws, two variants, 120 effective draws of both, and two alterations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cellsim.comparison.robustness_analysis.alterations_of", few_of)
        patch.setattr("cellsim.report.page.DPI", 40)
        patch.setattr("cellsim.comparison.variants._TRIED", 1)  # of other priors, one group and all of them
        # its figures are drawn once, on the last page; `quick` below has the first one
        stages = Job.stages
        patch.setattr(
            Job, "stages", lambda job: [[pageless(chain) for chain in stage] for stage in stages(job)]
        )
        folder = tmp_path_factory.mktemp("report")
        return write_report(small_patient(), folder, starts=1, draws=10, effective=120, seed=1)


def pageless(chain: Sequence[ReportStep]) -> list[ReportStep]:
    return [replace(each, page=False) for each in chain]


def few_of(case: cs.Case) -> list[Alteration]:
    return [each for each in alterations_of(case) if each.id in ("sample_effect_none", "day_v1_earliest")]


@pytest.fixture(scope="module")
def html(made: Report) -> str:
    return made.index.read_text(encoding="utf-8")


def known(made: Report, patch: pytest.MonkeyPatch) -> None:
    """Calibrations and draws are those of `made`."""
    patch.setattr("cellsim.comparison.variants._TRIED", 0)
    patch.setattr("cellsim.posterior.fitting.calibrate", lambda *_, variant, **__: made.fits[variant])
    patch.setattr("cellsim.posterior.posterior.sample", lambda fit, **_: made.posteriors[fit.variant])


@pytest.fixture
def plain(made: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without figures, of calibrations and draws made before: for tests of words."""
    known(made, monkeypatch)
    monkeypatch.setattr(ReportFolder, "draw", lambda *_, **__: "")


@pytest.fixture(scope="module")
def quick(made: Report, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, list[str], dict[str, Any]]:
    """A quick report of calibrations and draws made before: with each of its pages, and the axes of six figures."""
    pages: list[str] = []
    shown: dict[str, Any] = {}
    put = ReportFolder.put

    def seen(output: ReportFolder, name: str, content: str | bytes) -> str:
        if name == "index.html":
            pages.append(str(content))
        return put(output, name, content)

    def kept(_: ReportFolder, name: str, caption: str, make: Callable[[], Any], **__: object) -> str:
        if name in ("drives", "what_if", "fit", "persistence", "parameters_mechanism", "contrast"):
            # once all of it is there
            if len(pages) == 1:
                shown[name] = make()
            assert "Laplace" not in caption
        return ""

    with pytest.MonkeyPatch.context() as patch:
        known(made, patch)
        patch.setattr(ReportFolder, "put", seen)
        patch.setattr(ReportFolder, "draw", kept)
        found = write_report(
            small_patient(), tmp_path_factory.mktemp("quick"), starts=1, draws=20, seed=1, without=LONG
        )
    plt.close("all")
    return found, pages, shown


def text_of(html: str) -> str:
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_every_section_and_figure_is_there(made: Report, html: str) -> None:
    assert not made.failures
    for anchor in SECTIONS:
        assert f'<section id="{anchor}" ' in html and f'href="#{anchor}"' in html
    for anchor in FOLDED:
        assert f'<details id="{anchor}">' in html
    assert html.count("data:image/png;base64,") == len(FIGURES)
    for name in FIGURES:
        assert (made.folder / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert html.count(small_patient().label) >= 2
    # self-contained: nothing is fetched, and every file linked to lies beside the page
    assert not re.search(r'(src|href)="(https?:)?//', html) and "<script" not in html
    for file in re.findall(r'href="([^"#]+)[#"]', html):
        assert (made.folder / file).is_file(), file


def test_tables_read_back_equal_to_the_results(made: Report) -> None:
    for name, fit in made.fits.items():
        again = pd.read_csv(
            made.folder / f"tables/{name}_parameters.csv", keep_default_na=False, na_values=[""]
        )
        pd.testing.assert_frame_equal(
            again[["parameter", "estimate", "low", "high", "contraction", "verdict"]],
            fit.table()[["parameter", "estimate", "low", "high", "contraction", "verdict"]],
            check_exact=True,
        )
        rows = pd.read_csv(made.folder / f"tables/{name}_rows.csv")
        assert rows["residual"].to_numpy() == pytest.approx(fit.rows()["residual"].to_numpy(), rel=1e-15)
        answer = made.sweeps[name].table()
        seen = pd.read_csv(made.folder / f"tables/{name}_what_if.csv", keep_default_na=False, na_values=[""])
        for column in ("schedule", "cells", "measure", "quantity", "estimate", "prior_estimate"):
            assert seen[column].tolist() == answer[column].tolist()
    draws = pd.read_csv(made.folder / "tables/V2_draws.csv.gz")
    assert draws["value"].to_numpy() == pytest.approx(
        made.sweeps["V2"].draws()["value"].to_numpy(), rel=1e-15
    )


def test_saved_calibrations_load_again(made: Report) -> None:
    again = cs.Calibration.load(made.folder / "calibrations/V2.json")
    assert again.theta == pytest.approx(made.fits["V2"].theta, abs=1e-12)


def test_the_command_makes_it_again_from_its_own_folder(made: Report, html: str) -> None:
    """The copy of the case is the case; the command is one that the command line understands."""
    how = json.loads((made.folder / "report.json").read_text())
    program, verb, home, *options = shlex.split(how["command"])
    assert (program, verb) == ("cellsim", "report")
    copy = cs.load_case(made.folder / home)
    assert copy.files["measurements.tsv"] == small_patient().files["measurements.tsv"]
    assert (copy.timeline, copy.priors) == (small_patient().timeline, small_patient().priors)
    assert options[:2] == ["--out", "again"]
    assert options[2:] == ["--seed", "1", "--starts", "1", "--draws", "10", "--effective", "120"]
    assert how["command"] in text_of(html) and how["seed"] == 1 and how["versions"]["numpy"] == np.__version__


def test_the_copy_of_the_shipped_case_keeps_its_model(tmp_path: Path) -> None:
    """Its model stands two folders up; the copy finds its own, and no file leaves the folder."""
    case = cs.load_case("sjogren_rfib")
    home = copy_case(case, ReportFolder(tmp_path))
    copy = cs.load_case(tmp_path / home)
    assert copy.files == case.files and not [each for each in copy.check() if "is used" in each.what]
    with pytest.raises(CellsimError, match="outside"):
        ReportFolder(tmp_path).put("../escape.txt", "")


def test_sentences_say_what_the_numbers_say(made: Report, html: str) -> None:
    text, fit, post = text_of(html), made.fits["V2"], made.posteriors["V2"]
    # the variance of the draws themselves, not of a normal distribution
    assert f"the shares learned add up to {np.sum(1 - post.flat.var(axis=0)):.1f} of" in text
    assert made.comparison is not None
    evidence = made.comparison.evidences
    best = max(evidence, key=lambda name: evidence[name])
    gap = max(evidence.values()) - evidence["V2"]
    named = {"V2": "engulfed", "V0": "null"}
    assert f"“{named[best]}” has the greatest evidence" in text
    if gap:
        assert f"({odds(gap)})" in text
    standing = words.standing("engulfed", by_names(made.comparison))
    assert (
        "has the greatest evidence" if gap == 0 else f"lies {gap:.1f} nats behind that of {named[best]}"
    ) in standing
    assert standing in text
    worst = fit.rows().iloc[int(np.argmax(fit.rows()["residual"].abs().to_numpy()))]
    assert worst["analyte"] == words.unfollowed(fit).iloc[0]["analyte"]
    assert f"{abs(worst['residual']):.1f} sigmas" in " ".join(words.unfollowed_words(fit, post))
    # cells beside every schedule
    for plan in plans_of(fit.case):
        assert plan.name in text
    assert "3.0 × 10⁸ cells" in text


def test_the_source_contrast_stands_beside_every_variant(made: Report) -> None:
    frame = pd.read_csv(made.folder / "tables/rfib_ucmsc.csv", keep_default_na=False, na_values=[""])
    assert set(frame["variant"]) == {"V2", "V0"}
    assert {"above", "prior_above", "difference", "prior_difference"} <= set(frame.columns)
    # donor cells are killed, whatever else: fewer viable ones, by prior and posterior alike
    viable = frame[frame["quantity"] == "viable cells of rfib and ucmsc"]
    assert (viable["above"] == 1).all()
    # whatever ten draws say of the size, the direction is the prior's
    assert viable["note"].str.match("as the prior says, in direction|direction as the prior says").all()
    # with e = 0 nothing the cells do reaches the disease drive
    null = frame[(frame["variant"] == "V0") & (frame["quantity"] == "D")]
    assert (null["difference"] == 0).all() and (null["above"] == 0.5).all()


@pytest.mark.usefixtures("plain")
def test_a_failed_variant_is_reported_and_costs_nothing_else(
    tmp_path: Path, made: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(case: cs.Case, *, variant: str, **_: object) -> cs.Calibration:
        if variant == "V0":
            raise CellsimError("the ground shook")
        return made.fits[variant]

    monkeypatch.setattr("cellsim.posterior.fitting.calibrate", broken)
    monkeypatch.setattr("cellsim.sweeps.sweeps.sweep", lambda *_, **__: made.sweeps["V2"])
    monkeypatch.setattr("cellsim.plots.drives", lambda *_, **__: 1 / 0)
    # of all figures the one that fails is drawn
    monkeypatch.setattr(
        ReportFolder,
        "draw",
        lambda self, name, *a, **k: DRAW(self, name, *a, **k) if name == "drives" else "",
    )
    second = write_report(small_patient(), tmp_path / "new", starts=1, draws=3, without=LONG)
    assert set(second.fits) == {"V2"}
    assert set(second.failures) == {"Calibration of null", "Figure drives"}
    text = text_of(second.index.read_text())
    assert "Calibration of null failed." in text and "the ground shook" in text
    assert "Figure drives failed." in text and "division by zero" in text
    assert (tmp_path / "new/calibrations/V2.json").is_file()
    assert json.loads((tmp_path / "new/failures.json").read_text()) == second.failures
    assert json.loads((tmp_path / "new/report.json").read_text())["failures"] == second.failures
    # when none is left there is a page all the same
    monkeypatch.setattr("cellsim.posterior.fitting.calibrate", lambda *_, **__: 1 / 0)
    third = write_report(small_patient(), tmp_path / "none", starts=1, draws=3)
    assert set(third.failures) == {"Calibration of engulfed", "Calibration of null"}
    assert not third.fits and "No variant could be calibrated" in third.index.read_text()


def test_what_cannot_be_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    for options, meant in (
        ({"variants": ["V22"]}, "V2"),
        ({"starts": 0}, "starts = 0"),
        ({"draws": 0}, "draws = 0"),
        ({"effective": 0}, "effective = 0"),
        ({"without": ["robust"]}, "robustness"),
        ({"variants": []}, "no variant"),
    ):
        with pytest.raises(CellsimError, match=meant):
            write_report(small_patient(), tmp_path / "none", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


def test_the_alternatives_keep_the_cells_they_promise() -> None:
    case = cs.load_case("sjogren_rfib")
    plans = {each.name: each.schedule for each in plans_of(case)}
    given = plans.pop("as given")
    assert given == case.schedule
    assert len(plans) >= 5
    for name, plan in plans.items():
        if name not in ("stop after 4", "nothing"):
            assert plan.total() == pytest.approx(given.total(), rel=1e-12), name
        if plan.count:
            assert plan.span is not None and plan.span[0] >= 0 and plan.span[1] <= 245
    assert plans["stop after 4"].total() == 2e8
    assert [each.day for each in plans["block of 12 days, same cells"]] == list(range(12))
    assert {each.product for each in plans["same days and cells, ucmsc"]} == {"ucmsc"}


def test_plans_survive_their_table(tmp_path: Path) -> None:
    case = cs.load_case("sjogren_rfib")
    plans = plans_of(case)
    plans_table(plans).to_csv(tmp_path / "plans.csv", index=False)
    again = plans_from_table(tmp_path / "plans.csv", case)
    assert again == {each.name: each.schedule for each in plans if each.schedule.count}
    (tmp_path / "bad.csv").write_text("plan,day,product,cells\na,0,rfibb,5e7\nb,0,rfib,-1\n")
    with pytest.raises(ScheduleError) as caught:
        plans_from_table(tmp_path / "bad.csv", case)
    assert [each.row for each in caught.value.problems] == [2, 3] and "'rfibb'" in str(caught.value)
    (tmp_path / "none.csv").write_text("day,product,cells\n0,rfib,5e7\n")
    with pytest.raises(ScheduleError, match="no column 'plan'"):
        plans_from_table(tmp_path / "none.csv", case)


def test_pages_escape_what_they_are_given() -> None:
    nasty = "<script>alert('x')</script>"
    frame = pd.DataFrame({nasty: [nasty, "b"], "n": [1.23456, np.nan]})
    held = table(frame, caption=nasty, at=[f'"{nasty}', ""]) + figure(
        b"", nasty, alt='"><script>', file=nasty
    )
    made = page(nasty, nasty, [("a", nasty, section("a", nasty, held)[2])])
    assert "<script" not in made and "1.23" in made


def test_a_contrast_says_what_was_assumed_and_what_was_learned() -> None:
    """One variant without a difference, one assumed, one learned in the other direction, one learned in size alone."""
    columns = ("variant", "difference", "low", "high", "above", "prior_above", "verdict")
    rows = [
        ("A", 0.1, -1.0, 1.0, 0.55, 0.5, "prior-driven"),
        ("B", 20.0, 5.0, 40.0, 0.98, 0.97, "prior-driven"),
        ("C", -9.0, -20.0, -1.0, 0.03, 0.5, "data-driven"),
        ("D", 30.0, 29.0, 31.0, 0.98, 0.97, "data-driven"),
    ]
    frame = pd.DataFrame(rows, columns=columns).assign(measure="days below 0.5", quantity="D")
    case = small_patient()
    [said] = contrast_words(
        frame.assign(unit="days"), "x", "y", case, case.questions[0], {"A": 0.0, "B": -11.4, "C": 0.0}
    )
    assert "no difference that matters under A." in said
    assert "More under B (11 nats behind the best) by 20 (days; 90 %: +5.0 to +40;" in said
    assert "Fewer under C (best evidence) by 9.0 (days;" in said and "disagree on the direction" in said
    assert "Under B the prior said so already, the direction and how much" in said
    assert "Under D the prior said the direction already, but not how much" in said
    assert "Under C the data moved the chance" in said


# ---- chains, robustness, interrupts -----------------------------------------------------------------------


def test_all_numbers_of_a_mechanism_come_from_its_draws(made: Report, html: str) -> None:
    text, post = text_of(html), made.posteriors["V2"]
    assert post.usable and post.effective >= 120 and set(made.posteriors) == {"V2", "V0"}
    count = len(post.drawn.weighted.thetas)
    assert (
        f"come from {count} weighted draws of the collapsed sampler, worth {post.effective:.0f} independent ones"
        in text
    )
    # so do the schedules: the sweep of the same draws says the same
    plans = {each.name: each.schedule for each in plans_of(post.case)}
    again = cs.sweep(post, plans, until=made.sweeps["V2"].until, draws=10, seed=1)
    assert again.posterior == pytest.approx(made.sweeps["V2"].posterior, rel=1e-6)
    # doubts stand on the page, and the draws are saved
    for doubt in post.doubts:
        assert re.sub(r"\s+", " ", doubt) in text
    assert cs.Posterior.load(made.folder / "posteriors/V2.nc").thetas == pytest.approx(post.thetas)


def test_where_laplace_was_put_elsewhere_is_told(made: Report) -> None:
    """Moved by three of its own sd, one parameter stands out, and is named first."""
    fit, post = made.fits["V2"], made.posteriors["V2"]
    j = post.objective.names.index("kappa")
    thetas = post.thetas.copy()
    thetas[..., j] += 3 * post.flat[:, j].std()
    table = apart_table(fit, cs.Posterior(post.objective, replace(post.drawn, thetas=thetas)))
    before = apart_table(fit, post).set_index("parameter")["apart"]["kappa"]
    assert table["parameter"][0] == "kappa" and table["apart"][0] == pytest.approx(before - 3, abs=1e-9)
    assert "kappa (-" in apart_words(table)


def test_what_was_learned_of_the_mechanism_is_named(made: Report, html: str) -> None:
    post, text = made.posteriors["V2"], text_of(html)
    table = post.table().set_index("parameter")
    assert table["verdict"]["e"] == "data-driven" and table["verdict"]["kappa"] == "prior-driven"
    said = words.learned_words(post)
    assert "1 is data-driven: e." in said[1] and all(each in text for each in said)
    # the table of the mechanism has how much, and whose number it is
    assert f"{100 * table['contraction']['e']:.0f} % learned" in text
    assert made.profiles is not None and made.profiles["e"].verdict == "data-driven"
    assert "they call e data-driven, as the numbers above do" in text


def test_what_longer_persistence_owes_to_the_prior() -> None:
    """Draws of the prior itself: nothing was learned, and that is what is said."""
    fit = small_fit()
    plans = {each.name: each.schedule for each in plans_of(fit.case)}
    first, second, claimed = "as given", "same days and cells, ucmsc", fit.case.questions[0]
    asked = cs.sweep(fit, {name: plans[name] for name in (first, second)}, until=120, draws=40, seed=2)
    same = replace(asked, posterior=asked.prior)
    said = persists_words(fit, same, first, second, claimed)
    assert "none has left its prior" in said[0] and "assumed, not learned" in said[-1]
    # the ratio is that of the areas, whose closed form is (1 + kappa) for cells that live a day
    kappa = np.exp(-0.7 + np.random.default_rng(3).standard_normal((40, len(fit.objective.names))))
    kappa = kappa[:, fit.objective.names.index("kappa")]
    assert f"the prior alone says {np.median(1 + kappa):.2f}" in said[1]
    moved = replace(asked, posterior=asked.prior * np.where(np.arange(2) == 0, 9.0, 1.0)[:, None, None])
    assert "The data moved it and did not narrow it" in persists_words(fit, moved, first, second, claimed)[-1]
    # about its middle on the logarithm a tenth as wide, and shifted: the data's in size
    places = [k for k, each in enumerate(asked.asked) if each.measure == "area" and "viable" in each.quantity]
    ratio = asked.prior[0, places].sum(axis=0) / asked.prior[1, places].sum(axis=0)
    areas = asked.prior * np.array([3 * ratio**-0.9, np.ones(40)])[:, None]
    assert (
        "data's answer (share learned 99 %"
        in persists_words(fit, replace(asked, posterior=areas), first, second, claimed)[-1]
    )


def test_the_comparison_and_robustness_are_told(made: Report, html: str) -> None:
    text, compared, shaken = text_of(html), made.comparison, made.robustness
    assert compared is not None and shaken is not None
    # by what each mechanism is called
    assert by_names(compared).verdict.split(". ")[0] in text and set(compared.known) == {"V2", "V0"}
    assert cs.Comparison.load(made.folder / "comparison.json").verdict == compared.verdict
    assert cs.Robustness.load(made.folder / "robustness.json").verdict == shaken.verdict
    # of what acts over the null, the other way round than in the table, as odds like all evidences of the page
    lead = {row.id: odds(-row.values["null_lead"]) for row in shaken.rows}
    assert f"as it stands {lead['as it stands']}; with no sample effect {lead['sample_effect_none']}" in text
    # one approximation for the schedules, the comparison and robustness, not three
    assert shaken.rows[0].evidence["V2"] == pytest.approx(compared.known["V2"].log_evidence, abs=0.05)


def test_what_is_left_out_is_said(quick: tuple[Report, list[str], dict[str, Any]]) -> None:
    made, pages, _ = quick
    text = text_of(made.index.read_text())
    # the first page has the mechanism shown and its schedules, and says what it lacks; the last lacks nothing
    first = text_of(pages[0])
    assert len(pages) == 2 and pages[1] == made.index.read_text()
    assert "not finished" in first and "Still to come: the other mechanisms, profiles" in first
    # no page moves on by itself (WCAG 2.2.1); it says that a newer one comes
    assert "open it again later" in first and "http-equiv" not in pages[0] and "not finished" not in text
    assert "as given" in first
    failures = made.folder / "failures.json"
    assert not failures.exists() or json.loads(failures.read_text()) == {}
    assert set(made.posteriors) == {"V2", "V0"} and made.robustness is None and not made.failures
    assert made.comparison is not None and not made.comparison.left
    assert "Left out as asked: prediction of findings" in text
    worth = f"{made.posteriors['V2'].effective:.0f} independent ones"
    assert f"All numbers come from draws by the collapsed sampler, worth {worth}" in text
    assert "--quick" in json.loads((made.folder / "report.json").read_text())["command"]


def test_one_approximation_draws_everything_of_a_report(
    quick: tuple[Report, list[str], dict[str, Any]],
) -> None:
    """A course drawn in two figures is one course, to the solver's tolerance."""
    made, _, shown = quick
    assert not made.failures and len(shown) == 6
    for axes in shown.values():
        foot = " ".join(" ".join(text.get_text() for text in figure_of(axes).texts).split())
        assert "Numbers rest on the collapsed sampler" in foot and "Laplace" not in foot
    days = np.arange(1.0, 100.0)
    drawn = []
    for name, gid in (("drives", "D"), ("what_if", "course-as given")):
        line = next(line for axes in shown[name] for line in axes.lines if line.get_gid() == gid)
        drawn.append(np.interp(days, *line.get_data()))
    assert drawn[0] == pytest.approx(drawn[1], rel=1e-4)
    for file in ("V2_what_if", "V2_contrasts", "V2_posterior"):
        assert set(pd.read_csv(made.folder / f"tables/{file}.csv")["approximation"]) == {
            "the collapsed sampler"
        }
    told = json.loads((made.folder / "report.json").read_text())["approximations"]
    assert {name: each["kind"] for name, each in told.items()} == {"V2": "collapsed", "V0": "collapsed"}


@pytest.mark.usefixtures("plain")
def test_an_interrupt_keeps_what_is_done_and_writes_the_page(
    tmp_path: Path, made: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tired(case: cs.Case, *, variant: str, **_: object) -> cs.Calibration:
        if variant == "V0":
            raise KeyboardInterrupt
        return made.fits[variant]

    monkeypatch.setattr("cellsim.posterior.fitting.calibrate", tired)
    first = write_report(small_patient(), tmp_path / "one", starts=1, draws=3)
    assert set(first.fits) == {"V2"} and first.interrupted == "calibrating null" and not first.failures
    text = text_of(first.index.read_text())
    assert "Interrupted during “calibrating null”" in text
    assert (tmp_path / "one/calibrations/V2.json").is_file()
    assert json.loads((tmp_path / "one/report.json").read_text())["interrupted"] == "calibrating null"

    # in the middle of sampling: nothing to keep of the draws, and nothing is begun after them
    def early(*_: object, **__: object) -> cs.Posterior:
        raise CutShortError("interrupted before any draw was weighted; nothing to keep.")

    monkeypatch.setattr("cellsim.posterior.fitting.calibrate", lambda *_, variant, **__: made.fits[variant])
    monkeypatch.setattr("cellsim.posterior.posterior.sample", early)
    second = write_report(small_patient(), tmp_path / "two", starts=1, draws=3)
    assert second.interrupted == "draws of engulfed" and second.comparison is None and not second.failures
    assert second.profiles is None and not second.sweeps and set(second.fits) == {"V2"}


def test_the_page_of_the_mechanism_shown_is_whole_before_the_others_are_there(
    tmp_path: Path, made: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: the page as a calibration of another mechanism, which waits for it, finds it."""
    known(made, monkeypatch)
    seen: list[str] = []

    def drawn(output: ReportFolder, name: str, *_: object, folded: bool = False, **__: object) -> str:
        return "Not drawn yet" if folded and output.hurried else f"Here is {name}."

    def calibrated(*_: object, variant: str, **__: object) -> cs.Calibration:
        for _ in range(1000 * (variant != "V2")):
            if (tmp_path / "index.html").is_file():
                page = (tmp_path / "index.html").read_text(encoding="utf-8")
                seen[:] = dict.fromkeys([*seen, page])
                if "Not drawn yet" not in page:
                    break
            time.sleep(0.02)
        return made.fits[variant]

    monkeypatch.setattr(ReportFolder, "draw", drawn)
    monkeypatch.setattr("cellsim.posterior.fitting.calibrate", calibrated)
    found = write_report(small_patient(), tmp_path, starts=1, draws=3, effective=50, without=LONG)
    # the first page is made beside them, too, so that no core waits for it
    *first, page = seen
    assert all("Not drawn yet" in each and "Here is fit." in each for each in first)
    assert "Not drawn yet" not in page and "Here is posterior_predictive." in page
    assert "This page is not finished" in page and "the other mechanisms" in page
    assert "This page is not finished" not in found.index.read_text(encoding="utf-8") and not found.failures


@pytest.mark.usefixtures("plain")
def test_before_all_variants_are_sampled_those_that_are_stand_for_themselves(
    tmp_path: Path, made: Report
) -> None:
    """Of a variant without draws no evidence is known."""
    options: dict[str, Any] = {"starts": 1, "draws": 6, "effective": 50, "seed": 1}
    job = Job(small_patient(), ReportFolder(tmp_path), **options, variants=("V2", "V0"), without=LONG)
    job.fits |= made.fits
    assert not job.known and not job.compared.fits
    assert "no evidence is known" in variants_compared(job)[-1]
    job.sample("V2", effective=50)
    assert set(job.compared.fits) == set(job.compared.known) == {"V2"}
    assert job.compared.evidences["V2"] == job.posteriors["V2"].log_evidence


def test_what_a_model_does_not_have_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: the model's own names. None is a disease drive, an effector or a viable cell, and the case has one product at most."""
    drawn: dict[str, str] = {}
    monkeypatch.setattr(
        "cellsim.report.page.ReportFolder.draw",
        lambda self, name, caption, make, alt, at="", **_: (
            drawn.update({name: caption}) or f"{caption} {alt}"
        ),
    )
    case = tiny_case(
        "bag = 0; bag' = -0.2*bag; x = 1; x' = k*bag - 0.1*x; k = 0.1",
        {"y": "x"}, [("y", 1.0, 1.0), ("y", 10.0, 9.0)], {"k": ("log-normal", -2.3, 0.5)}, doses=[(2.0, "bag", 50.0)],
    )  # fmt: skip
    job = Job(
        case, ReportFolder(tmp_path), starts=1, draws=10, effective=4, seed=1, variants=("",), without=LONG
    )
    job.calibrate("")
    job.ask("")
    text = text_of(pages_of(job, {})["index.html"])
    assert job.output.failures == {}
    assert {"fit", "residuals", "what_if"} <= set(drawn)
    assert not {"drives", "persistence", "persistence_first", "parameters_mechanism", "contrast"} & set(drawn)
    assert not re.search(r"(?i)failed\.|purpura|disease drive|viable|persist|own cells|cytokine", text)


def test_a_report_calibrates_what_it_does_not_show_from_fewer_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: the starts that are asked for. Where none is shown before others all have as many."""
    asked: list[tuple[str, int]] = []

    def calibrated(case: Any, *, variant: str, starts: int, **_: Any) -> None:
        asked.append((variant, starts))
        raise CellsimError("not here.")

    monkeypatch.setattr("cellsim.posterior.fitting.calibrate", calibrated)
    for starts, without, variants in (
        (8, LONG, ("V0", "V2")), (3, LONG, ("V0", "V2")), (8, (), ("V0", "V2")), (8, LONG, ("V0",)),
    ):  # fmt: skip
        job = Job(
            small_patient(), ReportFolder(tmp_path), starts=starts, draws=4, effective=4, seed=1,
            variants=variants, without=without,
        )  # fmt: skip
        for name in variants:
            job.calibrate(name)
    found = [each for _, each in asked]
    assert found == [4, 8, 3, 3, 4, 8, 8] and [name for name, _ in asked[:2]] == ["V0", "V2"]


def test_a_report_asks_for_fewer_draws_of_what_it_does_not_show(tmp_path: Path) -> None:
    """Witness: the steps."""

    def asked(without: Sequence[str], effective: int) -> list[str]:
        job = Job(
            small_patient(), ReportFolder(tmp_path), starts=1, draws=4, effective=effective, seed=1,
            variants=("V2", "V0"), without=without,
        )  # fmt: skip
        return [step.words for step in job.steps() if "effective draws" in step.words]

    shown, other = (variant_names(small_patient().variants)[name] for name in ("V2", "V0"))
    draws = "effective draws of"
    assert asked(LONG, 100) == [f"100 {draws} {shown}", f"40 {draws} {other}"]
    assert asked(LONG, 30) == [f"30 {draws} {shown}", f"30 {draws} {other}"]
    assert asked((), 400) == [f"{n} {draws} {name}" for n, name in ((100, shown), (400, shown), (100, other))]


def beyond(job: Job) -> None:
    """A step that says where it was done, and fails at one thing."""
    job.output.put("where.txt", f"{os.getpid()}")
    job.output.attempt("What cannot be", lambda: 1 / 0)
    job.output.attempt("What is mended", lambda: 1)
    job.explorer = "explore.html"


def ended_early(job: Job) -> None:
    raise KeyboardInterrupt


def never(job: Job) -> None:
    job.output.put("never.txt", "")


@pytest.mark.skipif(CORES == 1, reason="one core may be used, and no process is started")
def test_a_chain_in_a_process_brings_home_what_it_makes_here(
    tmp_path: Path, made: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: the same chain done here. What is known already does not come back; what fails is told, and an interrupt."""
    options: dict[str, Any] = {
        "starts": 1,
        "draws": 6,
        "effective": 50,
        "seed": 1,
        "variants": ("V2", "V0"),
        "without": LONG,
    }
    jobs = []
    for size, name in ((10**6, "here"), (0, "there")):
        monkeypatch.setattr("cellsim.report.chains.MANY_PARAMETERS", size)
        job = Job(small_patient(), ReportFolder(tmp_path / name), **options)
        job.fits |= made.fits
        job.output.tell("What is mended", "before")
        before = dict(job.fits)
        [chain] = [one for one in job.stages()[1] if one[0].variant == "V0"]
        seconds = follow(job, [*chain[1:], ReportStep("beyond", 1, beyond, variant="V0")])
        assert list(seconds) == [each.words for each in chain[1:]] + ["beyond"] and not job.stopped
        assert job.fits == before and all(job.fits[each] is before[each] for each in before)
        assert list(job.output.failures) == ["What cannot be"] and job.explorer == "explore.html"
        assert json.loads((job.output.folder / "failures.json").read_text()) == job.output.failures
        assert ((job.output.folder / "where.txt").read_text() == str(os.getpid())) == (name == "here")
        jobs.append(job)
    here, there = jobs
    assert np.array_equal(here.posteriors["V0"].thetas, there.posteriors["V0"].thetas)
    assert here.sweeps["V0"].table().equals(there.sweeps["V0"].table())
    files = {each.relative_to(here.output.folder) for each in here.output.folder.rglob("*.csv*")}
    assert len(files) == 4
    for each in files:
        assert (here.output.folder / each).read_bytes() == (there.output.folder / each).read_bytes()
    follow(there, [ReportStep("the end", 1, ended_early), ReportStep("never", 1, never)])
    assert there.stopped == "the end" and not (there.output.folder / "never.txt").exists()
