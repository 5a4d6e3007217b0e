"""The part of a report that answers whether the mechanism can follow every analyte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellsim.dosing.infusions import dose_noun
from cellsim.files import file_name
from cellsim.posterior.calibration import Calibration
from cellsim.report.elements import Shown, details, paragraphs, section, table
from cellsim.report.report_summary import listed, modes_words, unfollowed_words
from cellsim.results import LEVEL, TAILS, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case
    from cellsim.posterior.posterior import Posterior
    from cellsim.report.steps import Job

__all__ = ["first_weeks", "fitted", "replicas_table", "replicas_words"]

# values outside their interval that stand open; the others are folded
_MOST_OUTSIDE = 6


def fitted(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "Fit: does the mechanism follow the findings?"
    if job.main is None:
        return section("fit", title, paragraphs(["No variant could be calibrated."]))
    from cellsim import plots

    name = job.main
    fit, post, case = job.fits[name], job.posteriors.get(name), job.case
    source = job.source(name)
    posterior = None if isinstance(source, Calibration) else source
    at = job.output.rows(f"tables/{file_name(name)}_rows", fit.rows(), "Every scored finding beside the model's best fit", draws=job.drawn_from(name))  # fmt: skip
    told = job.output.part(
        "Words on the fit",
        lambda: (
            _replicas(job, post)
            if post is not None
            else paragraphs(unfollowed_words(fit, source), at=at.file)
        ),
    )
    return section(
        "fit",
        title,
        job.output.draw(
            "fit",
            "Printed values (points) on the fitted day of each visit, and the model's median with 50 % and 90 % bands. "
            + "Hollow points: without what is shared by all assays of that sample. " * _sample_effects(case)
            + "Grey ground: reference range.",
            lambda: plots.fit(fit, posterior=posterior, draws=job.draws, seed=job.seed),
            alt=f"Course of {listed([each.name for each in case.analytes])}: printed values and the model's bands; the rows have all numbers",
            at=at.file,
            of=(fit, source),
        ),
        told,
        details(
            "Printed and predicted value of every finding",
            paragraphs(
                [
                    *modes_words(fit),
                    *(unfollowed_words(fit, source) if post is not None else []),
                ]
            ),
            table(
                _fit_table(fit),
                names={each.id: f"{each.name or each.id}: printed | model (sigmas)" for each in case.visits},
                file=f"tables/{file_name(name)}_rows.csv",
            ),
            job.output.draw(
                "residuals",
                "Residuals in sigmas (observed minus predicted) of every finding, at the optimum.",
                lambda: plots.residuals(fit),
                alt="Residuals by analyte and visit; the table above has the numbers",
                folded=True,
                of=(fit,),
            ),
        ),
        details(
            "What the laboratory might have printed",
            job.output.draw(
                "posterior_predictive",
                "What the laboratory might have printed had the model been true (median, 50 and 90 % of replicas from the "
                f"draws, noise{' and sample effect' * _sample_effects(case)} included), beside what it printed.",
                lambda: plots.posterior_predictive(post),
                alt="Replicas of every analyte and visit beside the printed values",
                folded=True,
                of=(post,),
            ),
        )
        if post is not None
        else "",
        _unmeasured(job, fit),
    )


def _fit_table(fit: Calibration) -> pd.DataFrame:
    from cellsim.posterior.tables import fit_table

    called = {each.id: each.name for each in fit.case.analytes}
    shown = fit_table(fit).drop(columns="worst")
    return shown.assign(analyte=[called.get(each, each) for each in shown["analyte"]])


def replicas_table(post: Posterior) -> pd.DataFrame:
    """Every scored value beside what the model would have had printed.

    Parameters
    ----------
    post : Posterior

    Returns
    -------
    DataFrame
        Columns analyte, visit (their names), printed, unit, low, median, high (of replicas with fresh noise), inside,
        approximation, doubts. Values alone, without limits and grades.
    """
    import pandas as pd

    case, terms = post.case, post.objective.terms
    replicas = post.drawn.scored.replicated.reshape(-1, len(terms))
    replicas = replicas[~np.isnan(replicas).any(axis=1)]
    low, middle, high = np.quantile(replicas, [TAILS[0], 0.5, TAILS[1]], axis=0)
    analytes = {each.id: each.name for each in case.analytes}
    visits = {each.id: each.name or each.id for each in case.visits}
    rows = [
        {
            "analyte": analytes.get(term.analyte, term.analyte),
            "visit": visits.get(term.visit, term.visit),
            "printed": float(term.measured),
            "unit": term.unit,
            "low": float(low[k]),
            "median": float(middle[k]),
            "high": float(high[k]),
            "inside": bool(low[k] <= term.measured <= high[k]),
        }
        for k, term in enumerate(terms)
        if term.part == "standard"
    ]
    return post.approximation.stamped(pd.DataFrame(rows))


def replicas_words(frame: pd.DataFrame, parameters: float) -> list[str]:
    """How many printed values lie among what the model would have had printed, and what that is worth.

    Parameters
    ----------
    frame : DataFrame
        From :func:`replicas_table`.
    parameters : float
        How many numbers the data determined.
    """
    if frame.empty:
        return []
    count, inside = len(frame), int(frame["inside"].sum())
    return [
        f"The model was asked what the laboratory would print if the model were true, noise included. {inside} of {count} printed "
        f"values lie inside the interval that holds {100 * LEVEL:g} % of these answers; about {LEVEL * count:.0f} are expected. "
        "The model has seen the values, so a good count is no merit, and values outside show where it fails.",
        f"With {parameters:.0f} numbers learned from {count} values, a close fit does not prove the mechanism.",
    ]


def _replicas(job: Job, post: Posterior) -> str:
    import pandas as pd

    frame = replicas_table(post)
    title = "Every printed value beside what the model would have had printed"
    rows = job.output.rows(
        f"tables/{file_name(post.variant)}_replicas",
        frame,
        title,
        draws=job.drawn_from(post.variant),
    )
    said = paragraphs(replicas_words(frame, float(post.table()["contraction"].sum())), at=rows.file)
    # the furthest outside first, in widths of their interval
    low, high, seen = (frame[each].to_numpy() for each in ("low", "high", "printed"))
    off = np.maximum(low - seen, seen - high) / (high - low)
    outside = [int(k) for k in np.argsort(-off, kind="stable") if not frame["inside"][k]]
    if not outside:
        return said
    lines = pd.DataFrame(
        [
            {
                "Finding": Shown(f"{frame['analyte'][k]}, {frame['visit'][k]}"),
                "Printed": Shown(f"{number(frame['printed'][k])} {_unit(frame['unit'][k])}".rstrip()),
                "Expected (90 % interval)": Shown(
                    f"{number(frame['median'][k])} ({number(frame['low'][k])} to {number(frame['high'][k])})"
                ),
            }
            for k in outside
        ]
    )
    at = rows.places(outside)
    open_ = table(
        lines[:_MOST_OUTSIDE], caption="Printed values that the model does not expect, the furthest first",
        at=at[:_MOST_OUTSIDE], stacked=True,
    )  # fmt: skip
    more = len(outside) - _MOST_OUTSIDE
    if more <= 0:
        return said + open_
    return said + open_ + details(f"{more} more outside", table(lines[_MOST_OUTSIDE:], at=at[_MOST_OUTSIDE:]))


def _unit(unit: str) -> str:
    from cellsim.plots.style import unit_text

    return unit_text(unit)


def _sample_effects(case: Case) -> bool:
    return bool(case.groups_of("sample effect"))


def _unmeasured(job: Job, fit: Calibration) -> str:
    """The figures of what no row measures, as far as the model has such quantities."""
    from cellsim import plots
    from cellsim.plots.states import acting, amounts_shown, grades_shown

    case, source = job.case, job.source(fit.variant)
    by, posterior = (
        source.approximation.name,
        None if isinstance(source, Calibration) else source,
    )
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
                folded=True,
                of=(fit, source),
            )
        )
    if amounts_shown(case, fit.model, case.products):
        figures += [
            job.output.draw(
                "persistence",
                f"How much there is of each product, by {by}. Where no visit counted it these curves are the priors' as far as "
                "the data leave them.",
                lambda: plots.persistence(fit, posterior=posterior, draws=job.draws, seed=job.seed),
                alt="Amount of each product over the whole timeline",
                folded=True,
                of=(fit, source),
            ),
            job.output.draw(
                "persistence_first",
                f"The same around the first {dose_noun(case.schedule, case.products)}s from day 0 on.",
                lambda: plots.persistence(
                    fit,
                    days=first_weeks(case),
                    posterior=posterior,
                    draws=job.draws,
                    seed=job.seed,
                ),
                alt="Amount of each product in the first weeks",
                folded=True,
                of=(fit, source),
            ),
        ]
    return details("Courses that no finding measures", *figures) if figures else ""


def first_weeks(case: Case) -> tuple[float, float]:
    """Nine weeks from the first dose of day 0 on, and the week before it as far as the simulation goes back.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> first_weeks(load_case("cytopenia_synthetic"))
    (-7.0, 63.0)
    """
    first = min((each.day for each in case.schedule.infusions), default=0.0)
    return max(first - 7.0, case.start), first + 63.0
