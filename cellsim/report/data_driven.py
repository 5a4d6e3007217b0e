"""The part of a report that answers which parameters are data-driven, by draws and by profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellsim.files import file_name
from cellsim.report.draws import apart_table, apart_words, draws_words, source_words
from cellsim.report.page import details, paragraphs, section, table
from cellsim.report.profiles import predicted, seen
from cellsim.report.report_summary import (
    determined,
    groups_table,
    learned_words,
    listed,
    profiles_words,
    standing,
)

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.report.report_summary import Approximated
    from cellsim.report.steps import Job

__all__ = ["learned"]


def learned(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "Which parameters are data-driven?"
    if job.main is None:
        return section("learned", title, paragraphs(["No variant could be calibrated."]))
    from cellsim import plots

    name = job.main
    fit, source, post = job.fits[name], job.source(name), job.posteriors.get(name)
    if not fit.objective.names:
        said = f"Nothing is estimated in {job.label(name)}: every parameter has a fixed value, so nothing was learned."
        return section("learned", title, paragraphs([said]))
    known = set(fit.table()["group"])
    mechanism = [each for each in job.case.mechanism if each in known]
    said = source_words(source, fit)
    return section(
        "learned",
        title,
        paragraphs([f"Shown for {job.label(name)}. {standing(name, job.compared)}".strip()]),
        paragraphs([*learned_words(source), *determined(source)]),
        table(groups_table(source), names={"determined": "numbers determined"}),
        job.output.draw(
            "parameters_mechanism",
            f"Parameters of {listed(mechanism)}: the prior's 90 % interval (pale) and the posterior's by "
            f"{source.approximation.name}, in prior standard deviations. Grey means that the prior speaks.",
            lambda: plots.parameters(source, mechanism),
            alt="Forest plot of the mechanism's parameters",
        )
        if mechanism
        else "",
        details(
            "The parameters about which most was learned",
            job.output.draw(
                "parameters",
                "Those whose interval shrank or moved most.",
                lambda: plots.parameters(source),
                alt="Forest plot of the best determined parameters",
            ),
        ),
        details(
            "All parameters: prior, posterior, verdict",
            table(_all(source), file=f"tables/{file_name(name)}_{_kind(source)}.csv"),
        ),
        "<h3>Where these numbers come from</h3>",
        paragraphs([said]),
        job.output.said(f"Draws of {name or job.case.name}"),
        job.output.part("Words on the draws", lambda: _draws(job, fit, post)) if post is not None else "",
        "<h3>Profiles: how much worse the fit becomes elsewhere</h3>",
        job.output.said("Profiles"),
        job.output.part("Words on the profiles", lambda: _profiles(job, source)),
        job.output.said("Predictions"),
        job.output.part("Words on the predictions", lambda: predicted(job)),
        job.output.said("What the rows can see"),
        job.output.part("Words on what the rows can see", lambda: seen(job.seen)),
    )


def _kind(source: Approximated) -> str:
    """What the file of its table is called."""
    return "parameters" if source.approximation.kind == "laplace" else "posterior"


def _all(source: Approximated) -> pd.DataFrame:
    from cellsim.posterior.posterior import Posterior
    from cellsim.posterior.tables import parameter_table, posterior_table

    shown = posterior_table(source) if isinstance(source, Posterior) else parameter_table(source)
    return source.approximation.stamped(shown)


def _draws(job: Job, fit: Calibration, post: Posterior) -> str:
    """Doubts, where Laplace was wrong, and the pictures of the draws."""
    from cellsim import plots

    apart = apart_table(fit, post)
    file = job.output.csv(f"tables/{file_name(post.variant)}_laplace_and_draws.csv", apart)
    moved = apart[apart["apart"].abs() >= 0.1].head(12)
    return "".join(
        [
            paragraphs([*draws_words(post), apart_words(apart)]),
            details(
                "Where draws and Laplace differ most: medians with 90 % intervals",
                table(
                    moved,
                    names={
                        "laplace": "by Laplace",
                        "draws": "by draws",
                        "narrower": "sd by Laplace / draws",
                    },
                    file=file,
                ),
            ),
            job.output.draw(
                "prior_posterior",
                "Prior (dashed) and posterior by draws of the mechanism's parameters; the number is "
                "the contraction.",
                lambda: plots.prior_posterior(post),
                alt="Prior and posterior densities of the mechanism's parameters",
            ),
            details(
                "The draws themselves",
                job.output.draw(
                    "trace",
                    "The six parameters about which the chains agree least: draws in order, and how the ranks of each "
                    "chain fill twenty classes, level when they agree.",
                    lambda: plots.trace(post),
                    alt="Traces and ranks of the chains",
                )
                if post.method == "nuts"
                else "",
                job.output.draw(
                    "pair",
                    "The five parameters of the mechanism about which most was learned, against each other.",
                    lambda: plots.pair(post),
                    alt="Pairs of parameters under the draws",
                ),
            ),
        ]
    )


def _profiles(job: Job, source: Approximated) -> str:
    from cellsim import plots
    from cellsim.report.report_summary import profiles_table

    found = job.profiles
    if found is None:
        return paragraphs(["There are none."])
    doubts = [f"Doubt: {each}" for each in found.approximation.doubts]
    return "".join(
        [
            paragraphs([*doubts, *profiles_words(found, source)]),
            job.output.draw(
                "profile",
                f"Rise of -2 ln posterior as one parameter is held elsewhere and all others may answer, for "
                f"{listed(list(dict.fromkeys(each.group for each in found.curves.values())))}. Dashed: what the prior "
                "alone would say; where both agree the data say nothing.",
                lambda: plots.profile(found),
                alt="Profiles of the mechanism's parameters",
            )
            if found.curves
            else "",
            details(
                "Every profile in words and numbers",
                paragraphs([curve.sentence() for curve in found.curves.values()]),
                table(
                    profiles_table(found), file=f"tables/{file_name(found.objective.variant)}_profiles.csv"
                ),
            ),
        ]
    )
