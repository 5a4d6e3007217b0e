"""What stands folded at the end of a report: plans in full, the audit of the case, reasons to doubt, and how to run it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from cellsim.files import file_name
from cellsim.posterior.tables import given_words
from cellsim.report.elements import details, link, paragraphs, pre, section, table
from cellsim.report.report_summary import listed
from cellsim.report.schedules import what_if

if TYPE_CHECKING:
    from cellsim.report.steps import Job

__all__ = ["background"]


def background(job: Job, seconds: Mapping[str, float]) -> tuple[str, str, str]:
    """The section: everything folded.

    Parameters
    ----------
    job : Job
    seconds : mapping of str to float
        How long each step took.
    """
    return section(
        "details",
        "Details",
        job.output.part("Every plan", lambda: what_if(job)),
        job.output.part("Audit on the page", lambda: _audit(job)),
        job.output.part("Reasons to doubt", lambda: _doubts(job)),
        job.output.part("How to run this again", lambda: _again(job, seconds)),
        kind="screen",
    )


def _audit(job: Job) -> str:
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
    prior = ""
    if job.main is not None:
        objective = job.fits[job.main].objective

        def prior_figure() -> Any:
            from cellsim import plots

            return plots.prior_predictive(objective, draws=job.draws, seed=job.seed)

        prior = "<h3>Does the prior look like a patient?</h3>" + job.output.draw(
            "prior",
            f"What the priors of “{job.called(job.main)}” expect before the data: median, 50 and 90 % of draws, without "
            f"{'sample effect and ' * bool(job.case.groups_of('sample effect'))}noise, beside reference range and printed values on their nominal days.",
            prior_figure,
            alt="Prior predictive bands of every analyte beside its printed values",
            folded=True,
            of=(objective,),
        )
    return details(
        "What is known: the audit of the case",
        paragraphs(said if case.table1 else [said[0], said[2]]),
        pre(case.audit()),
        prior,
        f'<p class="quiet">{link("audit.txt")}</p>',
        anchor="audit",
    )


def _doubts(job: Job) -> str:
    parts = []
    count = 0
    for name, fit in job.fits.items():
        used, post = job.source(name), job.posteriors.get(name)
        count += len(used.approximation.doubts)
        said = [
            f"Numbers rest on {used.approximation.name}.",
            *used.approximation.doubts,
        ]
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
        parts.append(f"<h3>{escape(job.called(name))}</h3>" + paragraphs([*said, *drawn, gives]))
    noted = [str(each) for each in job.case.check() if each.severity == "doubt"]
    about = details(f"Doubts about the case itself ({len(noted)})", paragraphs(noted)) if noted else ""
    title = f"Reasons to doubt: {count} of the computation, {len(noted)} of the case"
    return details(title, *parts, about, anchor="doubts")


def _again(job: Job, seconds: Mapping[str, float]) -> str:
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
        (
            "comparison",
            "cellsim.Comparison.load",
            ["comparison.json"] * (job.comparison is not None),
        ),
        (
            "robustness",
            "cellsim.Robustness.load",
            ["robustness.json"] * (job.robustness is not None),
        ),
    ]
    there = [
        (kind, reader, [file for file in files if (job.output.folder / file).is_file()])
        for kind, reader, files in kinds
    ]
    saved = "".join(
        f"<p>Saved {kind}, which <code>{reader}</code> reads: {', '.join(link(file) for file in files)}.</p>"
        for kind, reader, files in there
        if files
    )
    spent = pd.DataFrame({"step": list(seconds), "seconds": [round(each) for each in seconds.values()]})
    return details(
        "How to run this again",
        paragraphs(["From this folder, which holds a copy of the case and its model:"]),
        pre(job.command),
        paragraphs([f"Seed {job.seed}; made with:"]),
        pre(made),
        saved,
        "<p>Every table stands in <code>tables/</code>, every figure in <code>figures/</code>, the settings in "
        "<code>report.json</code>, this summary alone on one sheet in <code>summary.html</code>.</p>",
        details(
            "How long each step took; some stood side by side",
            table(spent),
        ),
        anchor="again",
    )
