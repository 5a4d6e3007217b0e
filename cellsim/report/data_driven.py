"""The part of a report that answers what was learned from the findings, by draws and by profiles."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cellsim.files import file_name
from cellsim.report.draws import apart_table, apart_words, draws_words, source_words
from cellsim.report.elements import Shown, details, paragraphs, section, table, typeset
from cellsim.report.mechanisms import by_names
from cellsim.report.profiles import predicted, seen
from cellsim.report.report_summary import (
    determined,
    groups_table,
    learned_words,
    listed,
    profiles_words,
    standing,
)
from cellsim.report.schedules import persists_answer, products_compared
from cellsim.results import DATA_DRIVEN, MOVED, PRIOR_DRIVEN, UNTOUCHED, number

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.report.page import RowsPage
    from cellsim.report.report_summary import Approximated
    from cellsim.report.steps import Job

__all__ = ["learned", "mechanism_table"]

# parameters of the mechanism that stand open; the others are folded
_MOST_SHOWN = 8


def learned(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "What was learned from this patient, and what was assumed"
    if job.main is None:
        return section("learned", title, paragraphs(["No variant could be calibrated."]))
    from cellsim import plots

    name = job.main
    fit, source, post = job.fits[name], job.source(name), job.posteriors.get(name)
    if not fit.objective.names:
        said = f"Nothing is estimated in “{job.called(name)}”: every parameter has a fixed value, so nothing was learned."
        return section("learned", title, paragraphs([said]))
    frame = source.table()
    rows = job.output.rows(
        f"tables/{file_name(name)}_{_kind(source)}", frame, f"Every parameter of “{job.called(name)}”, before and after the data",
        draws=job.drawn_from(name),
    )  # fmt: skip
    known = set(frame["group"])
    mechanism = [each for each in job.case.mechanism if each in known]
    question = products_compared(job)
    asked = persists_answer(job) if question is not None else []
    return section(
        "learned",
        title,
        paragraphs([*learned_words(source), *determined(source)], at=rows.file),
        mechanism_table(source, rows),
        f"<h3>{escape(typeset(question.title))}</h3>" + paragraphs(asked, at=rows.file)
        if question is not None and asked
        else "",
        details(
            "How much was learned of each part of the model",
            table(groups_table(source), names={"determined": "numbers determined"}),
        ),
        details(
            "The mechanism's parameters as a figure",
            job.output.draw(
                "parameters_mechanism",
                f"Parameters of {listed(mechanism)}: the prior's 90 % interval (pale) and the posterior's by "
                f"{source.approximation.name}, in prior standard deviations. Grey means that the prior speaks.",
                lambda: plots.parameters(source, mechanism),
                alt="Prior and posterior intervals of the mechanism's parameters; the table of parameters has the numbers",
                folded=True,
                of=(source,),
            ),
        )
        if mechanism
        else "",
        details(
            "The parameters about which most was learned",
            job.output.draw(
                "parameters",
                "Those whose interval shrank or moved most.",
                lambda: plots.parameters(source),
                alt="Prior and posterior intervals of the best determined parameters; the table of parameters has the numbers",
                folded=True,
                of=(source,),
            ),
        ),
        details(
            "Every parameter before and after the data",
            table(_all(source), file=rows.file),
        ),
        details(
            "Where these numbers come from",
            paragraphs([source_words(source, fit), standing(job.called(name), by_names(job.compared))]),
            job.output.said(f"Draws of {job.called(name)}"),
            job.output.part("Words on the draws", lambda: _draws(job, fit, post)) if post is not None else "",
        ),
        details(
            "Profiles: how much worse the fit becomes elsewhere",
            job.output.part("Words on the profiles", lambda: _profiles(job, source)),
            job.output.part("Words on the predictions", lambda: predicted(job)),
            job.output.part("Words on what the rows can see", lambda: seen(job.seen)),
        ),
        *(job.output.said(each) for each in ("Profiles", "Predictions", "What the rows can see")),
    )


_SHORT = {
    DATA_DRIVEN: "learned",
    MOVED: "moved, not narrowed",
    PRIOR_DRIVEN: "assumed",
    UNTOUCHED: "assumed; no effect on these findings",
}


def mechanism_table(source: Approximated, rows: RowsPage) -> str:
    """The parameters of the mechanism about which most was learned, in words: before, after, and whose number that is.

    Parameters
    ----------
    source : Calibration or Posterior
    rows : RowsPage
        Of its table.
    """
    import pandas as pd

    frame = source.table()
    own = frame[frame["group"].isin(source.case.mechanism)]
    if own.empty:
        return ""
    own = own.sort_values("contraction", ascending=False, kind="stable")
    lines = pd.DataFrame(
        [
            {
                "Parameter": Shown(_capital(one["meaning"] or one["parameter"]), _in_unit(one)),
                "Before the data": Shown(_spread(one, "prior_median", "prior_low", "prior_high")),
                "After": Shown(_spread(one, "estimate", "low", "high")),
                "Share learned": Shown(f"{100 * max(one['contraction'], 0.0):.0f} %"),
                "So it was": _SHORT[one["verdict"]],
            }
            for _, one in own.iterrows()
        ]
    )
    at = rows.places(list(own.index))
    said = "Parameters of the mechanism: median and 90 % interval. Share learned: how much of the prior variance the data removed"
    shown = table(lines[:_MOST_SHOWN], caption=said, at=at[:_MOST_SHOWN], stacked=True)
    if len(lines) <= _MOST_SHOWN:
        return shown
    more = f"{len(lines) - _MOST_SHOWN} more parameters of the mechanism"
    return shown + details(more, table(lines[_MOST_SHOWN:], at=at[_MOST_SHOWN:]))


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _in_unit(one: pd.Series) -> str:
    from cellsim.plots.style import unit_text

    return ", ".join(filter(None, (str(one["parameter"]), unit_text(str(one["unit"])))))


def _spread(one: pd.Series, *names: str) -> str:
    middle, low, high = (number(float(one[name])) for name in names)
    return f"{middle} ({low} to {high})"


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
                folded=True,
                of=(post,),
            ),
            details(
                "The draws themselves",
                job.output.draw(
                    "trace",
                    "The six parameters about which the chains agree least: draws in order, and how the ranks of each "
                    "chain fill twenty classes, level when they agree.",
                    lambda: plots.trace(post),
                    alt="Traces and ranks of the chains",
                    folded=True,
                    of=(post,),
                )
                if post.method == "nuts"
                else "",
                job.output.draw(
                    "pair",
                    "The five parameters of the mechanism about which most was learned, against each other.",
                    lambda: plots.pair(post),
                    alt="Pairs of parameters under the draws",
                    folded=True,
                    of=(post,),
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
                    profiles_table(found),
                    file=f"tables/{file_name(found.objective.variant)}_profiles.csv",
                ),
            ),
        ]
    )
