"""The part of a report that answers whether the mechanism can follow every analyte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellsim.dosing.infusions import dose_noun
from cellsim.files import file_name
from cellsim.posterior.calibration import Calibration
from cellsim.report.page import details, paragraphs, section, table
from cellsim.report.report_summary import listed, modes_words, replicas_words, unfollowed_words

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.report.steps import Job

__all__ = ["fitted"]


def fitted(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "Does the mechanism follow every analyte?"
    if job.main is None:
        return section("fit", title, paragraphs(["No variant could be calibrated."]))
    from cellsim import plots
    from cellsim.posterior.tables import fit_table

    name = job.main
    fit, post, case = job.fits[name], job.posteriors.get(name), job.case
    source = job.source(name)
    by, posterior = source.approximation.name, None if isinstance(source, Calibration) else source
    predicted = ""
    if post is not None:
        predicted = job.output.part("Words on the replicas", lambda: paragraphs(replicas_words(post)))
        predicted += job.output.draw(
            "posterior_predictive",
            "What the laboratory might have printed had the model been true (median, 50 and 90 % of replicas from the "
            f"draws, noise{' and sample effect' * _sample_effects(case)} included), beside what it printed.",
            lambda: plots.posterior_predictive(post),
            alt="Posterior predictive of every analyte and visit",
        )
    return section(
        "fit",
        title,
        job.output.part("Words on the fit", lambda: paragraphs(unfollowed_words(fit, source))),
        job.output.draw(
            "fit",
            f"Printed values on the fitted day of each visit, beside the model's median with 50 and 90 % bands by {by}. "
            + "Hollow markers: sample effect taken out, as the curve should meet them."
            * _sample_effects(case),
            lambda: plots.fit(fit, posterior=posterior, draws=job.draws, seed=job.seed),
            alt="Fit of every analyte over time",
        ),
        predicted,
        details(
            "Printed, predicted and residual of every row",
            paragraphs(modes_words(fit)),
            table(
                fit_table(fit).drop(columns="worst"),
                names={each.id: f"{each.name}: printed | model (sigmas)" for each in case.visits},
                file=f"tables/{file_name(name)}_rows.csv",
            ),
            job.output.draw(
                "residuals",
                "Residuals in sigmas (observed minus predicted) of every row, at the optimum.",
                lambda: plots.residuals(fit),
                alt="Residuals by analyte and visit",
            ),
        ),
        _unmeasured(job, fit),
    )


def _sample_effects(case: Case) -> bool:
    return bool(case.groups_of("sample effect"))


def _unmeasured(job: Job, fit: Calibration) -> str:
    """The figures of what no row measures, as far as the model has such quantities."""
    from cellsim import plots
    from cellsim.plots.states import acting, amounts_shown, grades_shown

    case, source = job.case, job.source(fit.variant)
    by, posterior = source.approximation.name, None if isinstance(source, Calibration) else source
    figures = []
    graded = grades_shown(case)
    if acting(fit) or graded:
        beside = f", and the graded {listed(graded)} beside the grade expected" if graded else ""
        figures.append(
            job.output.draw(
                "drives",
                f"Courses that no row measures over the whole timeline by {by}{beside}.",
                lambda: plots.drives(fit, posterior=posterior, draws=job.draws, seed=job.seed),
                alt=f"Latent courses over time{f', and {listed(graded)}' if graded else ''}",
            )
        )
    if amounts_shown(case, fit.model, case.products):
        first = min((each.day for each in case.schedule.infusions), default=0.0)
        figures += [
            job.output.draw(
                "persistence",
                f"How much there is of each product, by {by}. Where no visit counted it these curves are the priors' as far as "
                "the data leave them.",
                lambda: plots.persistence(fit, posterior=posterior, draws=job.draws, seed=job.seed),
                alt="Amount of each product over the whole timeline",
            ),
            job.output.draw(
                "persistence_first",
                f"The same around the first {dose_noun(case.schedule, case.products)}s from day 0 on.",
                lambda: plots.persistence(
                    fit,
                    days=(first - 7.0, first + 63.0),
                    posterior=posterior,
                    draws=job.draws,
                    seed=job.seed,
                ),
                alt="Amount of each product in the first weeks",
            ),
        ]
    return "<h3>Behind the numbers</h3>" + "".join(figures) if figures else ""
