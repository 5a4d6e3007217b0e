"""The page of a report: the answers first, then a section for each question, made from whatever results are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from cellsim.dosing.infusions import dose_noun
from cellsim.files import file_name
from cellsim.posterior.tables import given_words
from cellsim.report.data_driven import learned
from cellsim.report.fit import fitted
from cellsim.report.mechanisms import change_words, changes, nulls_answer, variants_compared
from cellsim.report.page import details, failure, link, page, paragraphs, pre, section, table
from cellsim.report.report_summary import learned_words, listed
from cellsim.report.schedules import contrast, days_answer, persists_answer, products_compared, what_if
from cellsim.report.steps import Job

__all__ = ["page_of"]

# what the contents call each section, by its anchor
_BRIEF = {
    "audit": "Audit",
    "learned": "Data-driven?",
    "variants": "Variants compared",
    "contrast": "Products compared",
    "robustness": "What would change it",
    "what-if": "Other schedules",
    "fit": "Fit",
    "doubts": "Reasons to doubt",
    "again": "Run it again",
}
_LEFT_OUT = {
    "leave-out": "prediction of left-out rows of left-out analytes and visits",
    "robustness": "the conclusions under everything that may have been otherwise",
}


def page_of(job: Job, seconds: Mapping[str, float]) -> str:
    """The page, from whatever is there.

    Parameters
    ----------
    job : Job
        With its results; those that are missing are said to be.
    seconds : mapping of str to float
        How long each step took.

    Returns
    -------
    str
    """
    question = products_compared(job)
    # the head comes last: it tells of failures in the sections too
    sections = [
        _whole(job, "audit", lambda: _audit(job)),
        _whole(job, "learned", lambda: learned(job)),
        _whole(job, "variants", lambda: variants_compared(job)),
        *([_whole(job, "contrast", lambda: contrast(job))] if question is not None else []),
        _whole(job, "robustness", lambda: changes(job)),
        _whole(job, "what-if", lambda: what_if(job)),
        _whole(job, "fit", lambda: fitted(job)),
        _whole(job, "doubts", lambda: _doubts(job)),
        _whole(job, "again", lambda: _again(job, seconds)),
    ]
    words = {1: "one visit", 2: "two visits", 3: "three visits", 4: "four visits", 5: "five visits"}
    count = words.get(len(job.case.visits), f"{len(job.case.visits)} visits")
    brief = _BRIEF | ({"contrast": question.brief} if question is not None else {})
    named = [(anchor, brief[anchor], content) for anchor, _, content in sections]
    title = f"{job.case.name}: what {count} can and cannot tell"
    return page(title, job.case.label, _lead(job), named, unfinished=bool(job.waiting))


def _whole(job: Job, anchor: str, make: Callable[[], tuple[str, str, str]]) -> tuple[str, str, str]:
    """A section; where it cannot be made, that is said in its place and the others still stand."""
    what = f"Section {_BRIEF[anchor]}"
    made = job.output.attempt(what, make)
    return section(anchor, _BRIEF[anchor], job.output.said(what)) if made is None else made


def _lead(job: Job) -> str:
    case = job.case
    scored = (
        len(case.rows) + sum(row.scored for row in case.censored) + sum(row.scored for row in case.grades)
    )
    noun = dose_noun(case.timeline, case.products)
    what = (
        f"One patient's {scored} scored findings at {len(case.visits)} visit{'s' * (len(case.visits) != 1)} and "
        f"{case.timeline.count} {noun}{'s' * (case.timeline.count != 1)}, "
        f"held against {len(job.fits)} {'competing mechanisms' if len(job.fits) != 1 else 'mechanism'}, and what "
        f"each of them says about {max(len(job.plans) - 1, 0)} other schedules."
    )
    how = (
        "Every number stands beside what was believed before the data; where the two agree, the number was "
        "assumed. The answers below are computed from the results, as is every sentence on this page."
    )
    said = [what, how, *_missing(job)]
    if job.main is not None:
        rests_on, drawn = job.source(job.main).approximation, job.posteriors.get(job.main)
        worth = f" ({drawn.effective:.0f} effective draws)" if drawn is not None else ""
        said.append(
            f"Numbers of {job.label(job.main)}, the mechanism shown in detail, come from {rests_on.name}{worth}: parameters, "
            "bands and schedules alike."
            + " They are not beyond doubt: see its reasons."
            * bool(rests_on.doubts)
        )
    points = []
    for anchor, question, answer in _answers(job):
        found = job.output.attempt(f"Summary of {anchor}", answer) if job.main is not None else None
        if found:
            points.append(
                f"<li><strong>{escape(question)}</strong> {escape(' '.join(found))} "
                f'<a href="#{anchor}">More</a></li>'
            )
    broken = [f"{step}: {why}" for step, why in job.output.failures.items()]
    failed = failure(f"{len(broken)} of the steps", "\n".join(broken)) if broken else ""
    return paragraphs(said) + (f"<ul>{''.join(points)}</ul>" if points else "") + failed


def _answers(job: Job) -> list[tuple[str, str, Callable[[], list[str]]]]:
    """Anchor, question, and how it is answered."""
    question = products_compared(job)
    return [
        (
            "learned",
            "Which parameters are data-driven?",
            lambda: learned_words(job.source(job.main or ""))[:2],
        ),
        ("variants", "How does the null fare?", lambda: nulls_answer(job)),
        ("contrast", question.title if question is not None else "", lambda: persists_answer(job)),
        (
            "robustness",
            "What would change it?",
            lambda: change_words(job.robustness) if job.robustness else [],
        ),
        ("what-if", "Which schedule?", lambda: days_answer(job)),
    ]


def _missing(job: Job) -> list[str]:
    """What was left out or interrupted."""
    out = []
    if job.without:
        out.append(f"Left out as asked: {listed([_LEFT_OUT[each] for each in job.without])}.")
    if job.waiting:
        come = dict.fromkeys(
            "the other mechanisms" if each.one_variant else each.words for each in job.waiting
        )
        out.append(
            f"This page is not finished: it is written again as results come. Still to come: {listed(list(come))}."
        )
    if job.stopped:
        out.append(
            f"Interrupted during “{job.stopped}”: what was ready then is below, what comes after it is missing."
        )
    return out


def _audit(job: Job) -> tuple[str, str, str]:
    case = job.case
    states = Counter(cell.status for cell in case.table1)
    doubts = [str(each) for each in case.check() if each.severity == "doubt"]
    said = [
        f"{len(case.analytes)} analytes are scored: {len(case.rows)} numbers, "
        f"{sum(row.scored for row in case.censored)} known only as a limit, and "
        f"{sum(row.scored for row in case.grades)} graded findings.",
        f"The {len(case.table1)} cells of the printed table, by status: "
        + listed([f"{status.replace('_', ' ')} {count}" for status, count in states.items()])
        + ".",
        f"{len(doubts)} doubt{'s' * (len(doubts) != 1)} about the case were noted while reading it.",
    ]
    body = paragraphs(said if case.table1 else [said[0], said[2]])
    audit = job.output.part("Audit on the page", lambda: details("The whole audit", pre(case.audit())))
    prior = ""
    if job.main is not None:
        objective = job.fits[job.main].objective

        def prior_figure() -> Any:
            from cellsim import plots

            return plots.prior_predictive(objective, draws=job.draws, seed=job.seed)

        prior = details(
            "Does the prior look like a patient?",
            job.output.draw(
                "prior",
                f"What the priors of {job.main} expect before the data: median, 50 and 90 % of draws, without "
                f"{'sample effect and ' * bool(job.case.groups_of('sample effect'))}noise, beside reference range and printed values on their nominal days.",
                prior_figure,
                alt="Prior predictive bands of every analyte",
            ),
        )
    files = f'<p class="quiet">{link("audit.txt")}</p>'
    return section("audit", "What is known: the audit", body, audit, prior, files)


def _doubts(job: Job) -> tuple[str, str, str]:
    parts = []
    for name, fit in job.fits.items():
        used, post = job.source(name), job.posteriors.get(name)
        said = [f"Numbers rest on {used.approximation.name}.", *used.approximation.doubts]
        if not used.approximation.doubts:
            said.append("Nothing gives reason to doubt the computation.")
        # what stands beside what is used, in places that compare the two
        said += [f"Of the calibration: {each}" for each in fit.approximation.doubts if each not in said]
        drawn = [f"Draws: {each}" for each in post.doubts if each not in said] if post is not None else []
        facts = fit.diagnosis
        gives = (
            f"{facts['starts']['agree']} of {facts['starts']['count']} starts agree, {facts['starts']['failed']} "
            f"failed; gradient against differences {facts['gradient']:.0e}; "
            + "; ".join(f"{key}: {given_words(job.case, key, each)}" for key, each in facts["doses"].items())
            + "."
        )
        parts.append(f"<h3>{escape(job.label(name))}</h3>" + paragraphs([*said, *drawn, gives]))
    noted = [str(each) for each in job.case.check() if each.severity == "doubt"]
    about = details(f"Doubts about the case itself ({len(noted)})", paragraphs(noted)) if noted else ""
    return section("doubts", "Reasons to doubt", *parts, about)


def _again(job: Job, seconds: Mapping[str, float]) -> tuple[str, str, str]:
    import pandas as pd

    from cellsim.posterior.calibration import versions

    made = "\n".join(f"{name} {each}" for name, each in versions().items())
    kinds = [
        (
            "calibrations",
            "cellsim.Calibration.load",
            [f"calibrations/{file_name(each)}.json" for each in job.fits],
        ),
        (
            "posteriors",
            "cellsim.Posterior.load",
            [f"posteriors/{file_name(each)}.nc" for each in job.posteriors],
        ),
        ("comparison", "cellsim.Comparison.load", ["comparison.json"] * (job.comparison is not None)),
        ("robustness", "cellsim.Robustness.load", ["robustness.json"] * (job.robustness is not None)),
    ]
    saved = "".join(
        f"<p>Saved {kind}, which <code>{reader}</code> reads: {', '.join(link(file) for file in files)}.</p>"
        for kind, reader, files in kinds
        if files
    )
    spent = pd.DataFrame({"step": list(seconds), "seconds": [round(each) for each in seconds.values()]})
    return section(
        "again",
        "How to run this again",
        paragraphs(["From this folder, which holds a copy of the case and its model:"]),
        pre(job.command),
        paragraphs([f"Seed {job.seed}; made with:"]),
        pre(made),
        saved,
        f"<p>Every table stands in <code>tables/</code>, every figure in <code>figures/</code>, the settings in "
        f"{link('report.json')}.</p>",
        details(f"How long it took ({sum(seconds.values()):.0f} s before the page)", table(spent)),
    )
