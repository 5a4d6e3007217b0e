"""The page for its reader: length, names, links, contrast, and how a browser lays it out on screens and on paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from layout import A4_PIXELS, as_printed, by_sheet, measured, printed
from patients import small_fit, small_patient
from scipy.stats import norm, rankdata
from small_cases import tiny_case

import cellsim as cs
from cellsim.design.information import Bracket
from cellsim.design.visit_table import Candidate, Finding, VisitPlan
from cellsim.posterior.approximation import Approximation
from cellsim.report.elements import count_words, figure, paragraphs, table, typeset
from cellsim.report.first_screen import verdict_sentence
from cellsim.report.fit import first_weeks
from cellsim.report.overview import write_pages
from cellsim.report.page import DPI, ReportFolder
from cellsim.report.planning import AHEAD, own_rules, what_next
from cellsim.report.products import main_outcome
from cellsim.report.schedules import ranks, same_amount
from cellsim.report.steps import LONG, Job
from cellsim.report.style import STYLE
from cellsim.results import number
from cellsim.sweeps.prior_draws import PriorDraws
from cellsim.sweeps.sweep_result import Sweep

mpl.use("Agg")

VOID = ("meta", "img", "br", "link")
WIDTHS = (400, 1000, 1400)


class Element:
    """A part of a page."""

    def __init__(self, tag: str, attributes: dict[str, str], above: Element | None) -> None:
        self.tag, self.attributes, self.above = tag, attributes, above
        self.inside: list[Element | str] = []

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.inside)

    def all(self, *tags: str) -> list[Element]:
        found = [each for each in self.inside if isinstance(each, Element)]
        own = [each for each in found if not tags or each.tag in tags]
        return [*own, *(one for each in found for one in each.all(*tags))]

    @property
    def around(self) -> list[Element]:
        return [] if self.above is None else [self.above, *self.above.around]

    @property
    def folded(self) -> bool:
        return any(each.tag == "details" for each in self.around)


class Reader(HTMLParser):
    """A page as a tree; what is opened must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.at = self.top = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.inside.append(made)
        if tag not in VOID:
            self.at = made

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.above is not None
        self.at = self.at.above

    def handle_data(self, data: str) -> None:
        self.at.inside.append(data)


def read(html: str) -> Element:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.at is reader.top
    return reader.top


DRAW = ReportFolder.draw


def drawn(
    output: ReportFolder,
    name: str,
    caption: str,
    make: Callable[[], Any],
    *,
    alt: str,
    at: str = "",
    **_: bool,
) -> str:
    if name not in ("what_if", "fit"):
        file = output.put(f"figures/{name}.png", blank())
        return figure(blank(), caption, alt=alt, file=file, at=at)
    return DRAW(output, name, caption, make, alt=alt, at=at)


@lru_cache
def blank() -> bytes:
    held = BytesIO()
    mpl.figure.Figure(figsize=(7.2, 4)).savefig(held, format="png", dpi=50)
    return held.getvalue()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Two variants, a few weighted draws of each, every plan: all that a quick report rests on."""
    made = Job(
        small_patient(), ReportFolder(tmp_path_factory.mktemp("page")),
        starts=1, draws=12, effective=40, seed=1, variants=("V2", "V0"), without=LONG,
    )  # fmt: skip
    made.inputs()
    for name in made.variants:
        made.fits[name] = small_fit(name)
        made._tables(name, {"parameters": made.fits[name].table, "rows": made.fits[name].rows})
        made.sample(name, effective=40)
        made.ask(name)
    for work in AHEAD.values():
        work(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cellsim.report.page.DPI", 50)
        # two figures are drawn; the others have their places, and are as high as usual
        patch.setattr(ReportFolder, "draw", drawn)
        write_pages(made, {"all": 1.0})
    assert not made.output.failures
    return made


@pytest.fixture(scope="module")
def html(job: Job) -> str:
    return (job.output.folder / "index.html").read_text(encoding="utf-8")


def test_open_words_are_few(html: str) -> None:
    """The words of the tree, counted another way than the page counts them."""
    tree = read(html)
    seen = [
        each
        for each in tree.all()
        if each.tag not in ("style", "title") and not (each.folded and each.tag != "summary")
    ]
    words = sum(
        len(text.split())
        for each in seen
        if sum(one.tag == "details" for one in each.around) <= (each.tag == "summary")
        for text in each.inside
        if isinstance(text, str)
    )
    found = count_words(html)
    assert found["open"] == words <= 3000
    assert found["folded"] > 500


def test_the_first_screen_says_who_what_and_what_not(job: Job, html: str) -> None:
    first = next(each for each in read(html).all("section") if each.attributes["id"] == "first")
    text = first.text
    assert [each.text for each in first.all("dt")] == ["Patient", "Treatment", "Visits", "Mechanism"]
    assert small_patient().label in text and "Do not choose, change or stop a treatment" in text
    verdict = next(each for each in first.all("p") if each.attributes.get("class") == "verdict").text
    assert verdict.endswith(".") and verdict.count(". ") == 0
    # the plans with every outcome, the prior's beneath each number
    rows = next(iter(first.all("table"))).all("tr")[1:]
    assert [each.all("th")[0].inside[0] for each in rows] == [each.name for each in job.plans]
    assert all("prior" in cell.text for row in rows for cell in row.all("td")[:3])
    assert any(each.attributes.get("alt", "").startswith("Time courses") for each in first.all("img"))


def test_better_is_said_where_every_mechanism_agrees_and_else_what_it_hangs_on(job: Job) -> None:
    """The draws of one plan are moved by hand, in one mechanism, then in both; what the sentence must say follows from the rule alone."""
    outcome, plan = main_outcome(job.sweeps["V2"]), job.plans[1].name
    assert outcome is not None

    def moved(name: str, by: float) -> Sweep:
        result = job.sweeps[name]
        place = [(each.measure, each.quantity) for each in result.asked].index(outcome.key)
        posterior = np.tile(result.posterior[:1], (len(result.schedules), 1, 1))
        posterior[1, place] += by if outcome.better == "higher" else -by
        return replace(
            result,
            posterior=posterior,
            prior_draws=PriorDraws.of(posterior),
            effective=100.0,
            rests_on=Approximation("collapsed"),
        )

    made = copy(job)
    made.sweeps = {"V2": moved("V2", 5.0), "V0": moved("V0", 0.0)}
    # the rows of this patient leave nothing to the null: it is not asked
    assert f"“{plan}” would have done better than what was given, which was assumed" in verdict_sentence(made)
    # one whose evidence is not known is
    made.fits = {"V2": job.fits["V2"]}
    said = verdict_sentence(made)
    assert (
        f"whether “{plan}” would have done better than what was given hangs on this: under “{job.called('V0')}” the plans do not differ"
        in said
    )
    made.sweeps["V0"] = moved("V0", 5.0)
    assert f"“{plan}” would have done better than what was given, which was assumed" in verdict_sentence(made)
    made.sweeps["V0"] = moved("V0", -5.0)
    assert f"under “{job.called('V0')}” it is the other way round" in verdict_sentence(made)
    del made.sweeps["V0"]
    assert f"under “{job.called('V2')}” (1 other mechanism not asked)" in verdict_sentence(made)


def test_a_number_leads_to_its_row_and_from_there_to_its_draws(job: Job, html: str) -> None:
    """Witness: the sweep's own table, read again from the row that the link names."""
    first = next(iter(read(html).all("table")))
    result = job.sweeps["V2"].table()
    links = [each.all("td")[0].all("a")[0] for each in first.all("tr")[1:]]
    assert len(links) == len(job.plans)
    for link, plan in zip(links, job.plans, strict=True):
        file, row = link.attributes["href"].split("#")
        page = read((job.output.folder / file).read_text(encoding="utf-8"))
        found = next(each for each in page.all("tr") if each.attributes.get("id") == row)
        own = result[(result["schedule"] == plan.name) & (result["measure"] == "days below 0.5")]
        assert found.all("th")[0].text == plan.name
        assert typeset(number(float(own["estimate"].iloc[0]))) in [each.text for each in found.all("td")]
        assert link.text == f"{own['estimate'].iloc[0]:.0f}"
        behind = [each.attributes["href"] for each in page.all("a") if "draws" in each.attributes["href"]]
        assert behind and (job.output.folder / file).parent.joinpath(behind[0]).resolve().is_file()


def unlinked(each: Element) -> str:
    """The text that is in no link, small letters beneath a number among it."""
    parts = [
        one if isinstance(one, str) else ("" if one.tag == "a" else unlinked(one)) for one in each.inside
    ]
    return "".join(parts)


def test_open_numbers_of_sentences_and_tables_are_links(html: str) -> None:
    """In every section but the first, whose lines on patient and reading are no results."""
    tree = read(html)
    told = 0
    for place in tree.all("section"):
        if place.attributes["id"] in ("first", "details"):
            continue
        for each in place.all("p", "td"):
            if each.folded or each.all("p", "td"):
                continue
            loose = unlinked(each)
            loose = re.sub(r"“[^”]*”", "", loose)
            assert not re.search(r"(?<!\w)\d", loose), each.text
            told += len(each.all("a"))
    assert told > 20


def test_mechanisms_have_names_and_never_codes(html: str) -> None:
    tree = read(html)
    for each in tree.all("pre", "details"):
        # what is typed and which files there are: names of files, by which nothing is called
        if each.tag == "pre" or each.attributes.get("id") == "again":
            each.inside.clear()
    text = tree.all("body")[0].text
    assert not re.search(r"\bV[02]\b", text)
    assert "“engulfed”" in text and "“null”" in text


def test_one_approximation_draws_every_open_number(html: str) -> None:
    sections = [each for each in read(html).all("section") if each.attributes["id"] != "details"]
    seen = " ".join(
        each.text
        for place in sections
        for each in place.all("p", "td", "caption", "figcaption")
        if not each.folded
    )
    assert "the collapsed sampler" in seen and not re.search("(?i)laplace|variational|optimum", seen)


def test_no_link_is_dead(job: Job) -> None:
    """Files and places in them, of every page of the report."""
    pages = sorted(job.output.folder.rglob("*.html"))
    assert len(pages) > 6
    known: dict[Path, set[str]] = {}
    for page in pages:
        tree = read(page.read_text(encoding="utf-8"))
        known[page] = {each.attributes["id"] for each in tree.all() if "id" in each.attributes}
        ids = [each.attributes["id"] for each in tree.all() if "id" in each.attributes]
        assert len(ids) == len(set(ids)), page
    count = 0
    for page in pages:
        for each in read(page.read_text(encoding="utf-8")).all("a"):
            file, _, place = unescape(each.attributes["href"]).partition("#")
            target = (page.parent / file).resolve() if file else page
            assert target.is_file(), (page, file)
            assert not place or place in known[target], (page, file, place)
            count += 1
    assert count > 100
    # the sheet that is sent to somebody leads nowhere, and needs nothing
    summary = (job.output.folder / "summary.html").read_text(encoding="utf-8")
    assert [each.attributes["href"] for each in read(summary).all("a")] == []


def test_pages_can_be_read_without_eyes_or_mouse(job: Job, html: str) -> None:
    """WCAG 2.2: language, one first heading and none skipped, alternative texts, headers of tables, regions reached by keys."""
    tree = read(html)
    assert tree.all("html")[0].attributes["lang"] == "en"
    levels = [int(each.tag[1]) for each in tree.all("h1", "h2", "h3", "h4") if not each.folded]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    images = tree.all("img")
    assert images and all(len(each.attributes["alt"]) > 20 for each in images)
    for each in tree.all("table"):
        heads = each.all("thead")[0].all("th")
        assert heads and all(one.attributes["scope"] == "col" for one in heads)
        assert all(row.all("th")[0].attributes["scope"] == "row" for row in each.all("tbody")[0].all("tr"))
    for each in tree.all("div"):
        if each.attributes.get("class") == "wide":
            # a figure is reached by its link
            reached = each.attributes.get("tabindex") == "0" and each.attributes["aria-label"]
            assert reached or any(one.attributes.get("href") for one in each.all("a"))
    assert tree.all("body")[0].all("a")[0].attributes["class"] == "skip"
    assert ":focus-visible" in STYLE and "http-equiv" not in html


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_letters_stand_out_from_their_ground() -> None:
    """At least 4.5 to 1, WCAG 2.2 criterion 1.4.3; witness: its formula, by which #767676 on white is just enough."""

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", STYLE))
    for letters in ("ink", "quiet", "accent"):
        for ground in ("paper", "wash", "warn"):
            assert contrast(colours[letters], colours[ground]) >= 4.5, (letters, ground)
    used = set(re.findall(r"(?<![-\w])color: ([^;}]+)", STYLE))
    assert used <= {"var(--ink)", "var(--quiet)", "var(--accent)", "inherit"}


def test_numbers_have_one_style() -> None:
    made = paragraphs(["From -5 to 7.25e8 cells; “block of 12 days” is 3.5 % of it."], at="t.html#r1")
    links = read(made).all("a")
    assert [each.text for each in links] == ["−5", "7.25 × 10⁸", "3.5 %"]
    assert {each.attributes["href"] for each in links} == {"t.html#r1"}
    shown = table(pd.DataFrame({"a": ["x"], "b": [1.5e-7], "c": [-2.0]}), at=["t.html#r1"])
    assert [each.text for each in read(shown).all("a")] == ["1.5 × 10⁻⁷", "−2"]


# ---- as a browser lays it out -----------------------------------------------------------------------------


def test_nothing_sticks_out_of_a_screen(job: Job, html: str) -> None:
    """Witness: Chromium, on a phone, a tablet and a desk, with everything folded and everything opened."""
    for page in (html, (job.output.folder / "tables/V2_what_if.html").read_text(encoding="utf-8")):
        for each in measured(page, WIDTHS):
            assert each["scrolls"] <= each["seen"] <= each["width"] and not each["out"], each


def test_paper_cuts_no_table(job: Job, html: str, tmp_path: Path) -> None:
    """Witness: Chromium's PDF, whose tags say on which sheet each table lies; the width by its layout with the rules of paper."""
    pdf = printed(job.output.folder / "index.html", tmp_path)
    sheets, tables = by_sheet(pdf)
    # the summary and one for each question; folded parts stay at home
    assert sheets == 6 and len(tables) >= 3
    assert all(len(each) == 1 for each in tables)
    # the figure of the first sheet is not pushed under the second's letters
    assert by_sheet(pdf, "Figure")[1][0] == tables[0] == {0}
    for each in measured(as_printed(html), (A4_PIXELS,)):
        assert each["scrolls"] <= each["seen"] and not each["out"], each


def test_the_summary_is_one_sheet(job: Job, tmp_path: Path) -> None:
    sheets, tables = by_sheet(printed(job.output.folder / "summary.html", tmp_path))
    assert sheets == 1 and [len(each) for each in tables] == [1]


def test_a_cut_table_would_be_seen(tmp_path: Path) -> None:
    """The reading of tags finds a table that goes over two sheets, and the measure finds what is too wide."""
    rows = "".join(f"<tr><td>{k}</td></tr>" for k in range(150))
    long, wide = tmp_path / "long.html", "<!doctype html><div style='width: 500px'>wide</div>"
    long.write_text(f"<!doctype html><html lang='en'><body><table>{rows}</table></body></html>")
    sheets, [lies] = by_sheet(printed(long, tmp_path))
    assert sheets > 1 and len(lies) == sheets
    assert [bool(each["out"]) for each in measured(wide, (400, 1000))] == [
        True,
        True,
        False,
        False,
    ]


def test_a_case_without_plans_and_variants_has_its_page(tmp_path: Path) -> None:
    from small_cases import tiny_case

    case = tiny_case(
        "x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 4.0)], {"k": ("log-normal", 0.0, 1.0)}
    )
    made = Job(
        case, ReportFolder(tmp_path), starts=1, draws=5, effective=4, seed=1, variants=("",), without=LONG
    )
    made.calibrate("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cellsim.report.page.ReportFolder.draw", lambda *_, **__: "")
        write_pages(made, {})
    assert not made.output.failures
    text = read((tmp_path / "index.html").read_text(encoding="utf-8")).text
    assert "nothing was given" in text and "No mechanism has draws yet" in text
    assert cs.load_case(case.files).patient == ""


def test_the_first_weeks_begin_where_the_simulation_does() -> None:
    """A case of one's own begins a day before its first visit, which may be less than a week before the first dose."""
    case = tiny_case(
        "x = 0; x' = -k*x; k = 0.1",
        {"y": "x + 1"},
        [("y", -3.0, 1.0), ("y", 20.0, 2.0)],
        {"k": ("log-normal", -2.0, 0.5)},
        doses=[(0.0, "x", 5.0)],
        start=-4.0,
    )
    assert first_weeks(case) == (-4.0, 63.0)


def test_the_next_visit_is_told_by_its_brackets(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of brackets made by hand: the best first, its ties counted, and of a question that no visit tells anything about, that."""
    visits = [Candidate(day, "cytokines") for day in (130.0, 150.0, 170.0)]
    drawn = job.case.visits[0]
    visits.append(Candidate(drawn.nominal, "cytokines", None, drawn.id))
    told = dict(zip(visits, ((0.1, 0.2), (0.5, 0.7), (0.6, 0.64), (0.65, 0.66)), strict=True))
    even = np.full(50, 1 / 50)
    findings = [
        Finding(1, each, question, "", Bracket(low * of, high * of, np.full(50, low) * of, even), 0.69)
        for question, of in (("variant", 1.0), ("plan", 0.0))
        for each, (low, high) in told.items()
    ]
    about = {"plan": "days", "variant": "engulfed, null", "unit": "days"}
    rests = job.posteriors["V2"].approximation
    made = VisitPlan(
        job.case, (), ("plan", "variant"), about, tuple(visits), tuple(findings), 50, 50.0, rests
    )
    monkeypatch.setattr(job, "visits", made)
    place = read(what_next(job)[2])
    shown = [[each.text for each in row.all("td")] for row in place.all("tr")[1:] if row.all("td")]
    mine = [row for row in shown if row[1] == "cytokines"]
    assert [row[0] for row in mine] == ["170", "150", "130"]
    assert [row[2].split(" nats")[0] for row in mine] == ["0.6 to 0.64", "0.5 to 0.7", "0.1 to 0.2"]
    assert "87 to 93 % of all there is" in mine[0][2]
    assert "No visit is expected to tell anything about which plan is best." in place.text
    assert "best is “cytokines” on day 170; 2 of 3 days and panels cannot be told from it" in place.text
    # the serum of a visit beside them, not among them
    assert f"if serum is stored: a new assay of “cytokines” in the sample “{drawn.name}”" in place.text


def test_the_best_plan_is_one_that_the_patient_could_have_had(job: Job, html: str) -> None:
    """Witness: every plan that the rules allow, by ``cs.sweep`` under both mechanisms, weighted by evidence."""
    rules, found = own_rules(job.case), job.optimum
    assert rules is not None and found is not None
    given = job.case.schedule
    assert set(found.names) and all(plan.total() <= given.total() * 1.001 for plan in found.plans.values())
    swept = cs.sweep(
        [job.posteriors[name] for name in ("V2", "V0")], found.plans, until=job.until, draws=80, seed=1
    )
    best = swept.ranking()
    shown = found.table().set_index("plan")
    for name, mean in zip(best["schedule"], best["mean"], strict=True):
        assert shown["benefit"][name] == pytest.approx(mean, rel=1e-3, abs=1e-3)
    place = next(each for each in read(html).all("section") if each.attributes["id"] == "next")
    assert typeset(found.table()["plan"].iloc[0]) in place.text


def test_equals_share_the_mean_of_their_ranks() -> None:
    """Witness: scipy's ranks, of columns that are all different, have equals, or nothing but these."""
    random = np.random.default_rng(3)
    columns = np.column_stack([random.standard_normal(50), random.integers(0, 7, 50), np.full(50, 2.0)])
    np.testing.assert_array_equal(ranks(columns), rankdata(columns, axis=0))


def test_the_order_of_plans_hangs_on_what_made_it(job: Job) -> None:
    """Witness: two plans that differ by a - 0.5, a normal: best in P(a > 0.5), rank correlation with a of one."""
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, 4000))
    result = job.sweeps["V2"]
    utility = np.zeros((len(result.schedules), len(result.asked), 4000))
    place = next(k for k, each in enumerate(result.asked) if each.measure == "days below 0.5")
    names = list(result.schedules)[:2]
    utility[0, place], utility[1, place] = b, b + a - 0.5
    made = replace(result, posterior=utility, prior_draws=PriorDraws.of(utility[..., :100]))
    [row] = same_amount({"V2": made}, names, {"V2": np.column_stack([b, a])}).itertuples()
    assert row.best == names[0] and row.hangs_on == 1 and row.correlation == pytest.approx(-1.0)
    assert row.chance == pytest.approx(norm.cdf(0.5), abs=0.02)
    assert row.turns == pytest.approx(norm.sf(0.5), abs=0.02)
    # nothing tells plans apart that are the same in every draw
    utility[1, place] = b
    [row] = same_amount({"V2": replace(made, posterior=utility)}, names, {}).itertuples()
    assert row.best == "" and row.chance == 0.5 and row.hangs_on == -1


def test_folded_figures_are_left_for_the_last_page(tmp_path: Path) -> None:
    """A reader waits for the first one. Witness: the files, and what was asked to be drawn."""
    output, asked = ReportFolder(tmp_path), []

    def make(name: str) -> Any:
        asked.append(name)
        return plt.figure(figsize=(1, 1))

    def pictures() -> str:
        return "".join(
            output.draw(name, f"Courses of {name}.", partial(make, name), alt="a", folded=name == "unseen")
            for name in ("seen", "unseen")
        )

    output.hurried = True
    first = pictures()
    assert asked == ["seen"] and "Not drawn yet: Courses of unseen." in first
    assert [each.name for each in (tmp_path / "figures").iterdir()] == ["seen.png"]
    output.hurried = False
    assert "Not drawn yet" not in pictures() and asked == ["seen", "seen", "unseen"]


def test_a_figure_is_drawn_again_only_for_other_results(tmp_path: Path) -> None:
    """A page is written twice. Witness: what was asked to be drawn; a figure that says not what it shows is drawn each time."""
    output, asked = ReportFolder(tmp_path), []
    one, other = object(), object()

    def picture(*of: object) -> str:
        def make() -> Any:
            asked.append(of)
            return plt.figure(figsize=(1, 1))

        return output.draw("fit", "Courses.", make, alt="a", of=of)

    assert picture(one) == picture(one) and asked == [(one,)]
    picture(other), picture(other, one), picture(), picture()
    assert asked == [(one,), (other,), (other, one), (), ()]


def test_an_image_is_what_matplotlib_saves(tmp_path: Path) -> None:
    """Witness: savefig of the same figure, pixel by pixel; panels that share a legend and log axes, laid out by themselves."""

    def made() -> Any:
        figure = plt.figure(figsize=(4, 3), layout="constrained")
        for k, panel in enumerate(figure.subplots(2, 2).ravel()):
            panel.plot([1, 2, 3], [10.0**k, 1.0, 2.0], label=f"a longer name {k}")
            panel.set_title(f"panel {k}")
            panel.set_yscale("log" if k % 2 else "linear")
        figure.legend(loc="outside upper center")
        return figure

    expected, one = BytesIO(), made()
    one.savefig(expected, format="png", dpi=DPI)
    plt.close(one)
    open_before = plt.get_fignums()
    ReportFolder(tmp_path).draw("a", "A.", made, alt="a")
    found = plt.imread(tmp_path / "figures/a.png")
    assert np.array_equal(found, plt.imread(BytesIO(expected.getvalue())))
    assert plt.get_fignums() == open_before


def test_each_row_of_a_page_of_rows_is_a_place(tmp_path: Path) -> None:
    """Witness: the numbers counted out."""
    rows = ReportFolder(tmp_path).rows("tables/a", pd.DataFrame({"a": ["x", "y", "z"], "b": [1, 2, 3]}), "A")
    html = (tmp_path / "tables/a.html").read_text(encoding="utf-8")
    assert re.findall(r'<tr id="(r\d+)"><th scope="row">(\w)', html) == [
        ("r1", "x"),
        ("r2", "y"),
        ("r3", "z"),
    ]
    assert rows.at(2) == "tables/a.html#r3"
