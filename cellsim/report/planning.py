"""What to do next: the same amount in other doses under every mechanism, the best plans under the patient's own rules, the next visit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.verdicts import SEPARATES
from cellsim.dosing.infusions import amount_text
from cellsim.dosing.schedule import Schedule
from cellsim.report.elements import Shown, link, paragraphs, section, table
from cellsim.report.report_summary import listed, records
from cellsim.report.schedules import other_doses
from cellsim.results import number

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.case.outcomes import Outcome
    from cellsim.design.clinic_rules import ClinicRules
    from cellsim.design.visit_table import VisitPlan
    from cellsim.report.steps import Job

__all__ = ["AHEAD", "own_rules", "what_next"]

EXPLORER = "explore.html"
# mechanisms that are asked, the best by evidence, and how many nats behind it they may be
_MECHANISMS = 3
# draws of each; the page promises brackets and errors, no last digit
_DRAWS, _EXPLORED = 80, 60
# days after the last visit or dose
_AFTER = (14.0, 28.0, 56.0, 112.0)
# lines of a table
_LINES = 5
# of the benefit: less is no difference
_NOUGHT = 1e-4


# ---- what is computed -----------------------------------------------------------------------------


def _asked(job: Job) -> list[str]:
    """The mechanisms that evidence has not dropped, the best first, and the one shown."""
    known = [name for name in job.known if np.isfinite(getattr(job.source(name), "log_evidence", np.nan))]
    behind = {name: float(job.source(name).log_evidence) for name in known}
    best = max(behind.values(), default=0.0)
    near = sorted(
        (each for each in known if behind[each] >= best - SEPARATES), key=lambda each: -behind[each]
    )
    return near[:_MECHANISMS] or ([job.main] if job.main is not None else [])


def _outcome(case: Case) -> Outcome | None:
    return next((each for each in case.outcomes if each.better), None)


def own_rules(case: Case) -> ClinicRules | None:
    """Rules that allow what was done to the patient: the doses, gaps and no more than the total of the product given last.

    Parameters
    ----------
    case : Case

    Returns
    -------
    ClinicRules or None
        None where nothing was given from day 0 on.
    """
    from cellsim.design.clinic_rules import ClinicRules

    if not case.schedule.count:
        return None
    product = case.schedule.infusions[-1].product
    own = [each for each in case.schedule.infusions if each.product == product]
    sizes = sorted({each.cells for each in own})
    gaps = sorted({round(float(gap), 3) for gap in np.diff([each.day for each in own]) if gap > 0}) or [1.0]
    counts = sorted({max(1, round(len(own) * share)) for share in (1 / 3, 2 / 3, 1.0)})
    return ClinicRules(
        product=product,
        cells=sorted({sizes[0], sizes[-1]}),
        doses=counts,
        interval=sorted({gaps[0], gaps[-1]}),
        start=sorted({0.0, own[0].day}),
        total_cells=sum(each.cells for each in own) * (1 + 1e-9),
    )


def _optimum(job: Job) -> None:
    from cellsim.design.optimisation import optimise

    rules = own_rules(job.case)
    if rules is None or _outcome(job.case) is None:
        return
    given = job.case.schedule
    [product] = rules.product
    others = tuple(each for each in given.infusions if each.product != product)
    found = optimise(
        [job.source(name) for name in _asked(job)],
        rules,
        until=job.until,
        draws=_DRAWS,
        seed=job.seed,
        background=Schedule(others, given.products, given.day_zero),
    )
    job.optimum = found
    if found.interrupted:
        job.stop("best plans")
    job.output.csv("tables/best_plans.csv", found.table())
    job.output.csv("tables/certificate.csv", found.certificate())


def _visits(job: Job) -> None:
    from cellsim.design.next_visit import plan_visits

    sources = {job.called(name): job.source(name) for name in _asked(job)}
    questions = ["plan"] * (_outcome(job.case) is not None and len(job.plans) > 1)
    questions += ["variant"] * (len(sources) > 1)
    if not questions:
        return
    last = max([job.until, *(visit.latest for visit in job.case.visits)])
    plans = {each.name: each.schedule for each in job.plans} if "plan" in questions else None
    found = plan_visits(
        sources,
        [last + day for day in _AFTER],
        question=questions,
        plans=plans,
        stored=[visit.id for visit in job.case.visits],
        draws=_DRAWS,
        seed=job.seed,
    )
    job.visits = found
    job.output.csv("tables/next_visit.csv", found.table())


def _explorer(job: Job) -> None:
    from cellsim.explorer.page import explore

    name = job.main
    if name is None or not job.case.schedule.count:
        return
    explore(
        job.source(name),
        job.output.folder / EXPLORER,
        until=job.until,
        draws=_EXPLORED,
        seed=job.seed,
    )
    job.explorer = EXPLORER


def _attempted(what: str, work: Callable[[Job], None], job: Job) -> None:
    if job.fits:
        job.output.attempt(what, lambda: work(job))


AHEAD: dict[str, Callable[[Job], None]] = {
    "best plans": partial(_attempted, "Plans under own rules", _optimum),
    "next visit": partial(_attempted, "Next visit", _visits),
    "page that computes": partial(_attempted, "Page that computes", _explorer),
}
"""What is computed of the next steps, each by itself: what fails is said in its place."""


# ---- the best plans ---------------------------------------------------------------------------------


def _best(job: Job) -> str:
    found = job.optimum
    if found is None:
        return ""
    import pandas as pd

    outcome = _outcome(job.case)
    assert outcome is not None
    frame, surely = found.table(), found.certificate()
    rows = job.output.rows(
        "tables/best_plans", frame, "Plans that cannot be told from the best, the simplest first"
    )
    sure = job.output.rows(
        "tables/certificate", surely, "How much better any other plan may be, by mechanism"
    )
    unit, scale = outcome.unit, float(frame["benefit"].abs().max())

    def shown(value: float) -> str:
        """What is far below the benefit is the solver's, and nought."""
        return number(0.0 if abs(value) < _NOUGHT * scale else value)

    lines = [
        {
            "Plan": Shown(one.plan, one.extrapolation and f"outside what was given: {one.extrapolation}"),
            f"{outcome.label[:1].upper()}{outcome.label[1:]}": Shown(number(one.benefit)),
            "Behind the best mean": Shown(shown(one.behind), f"Monte Carlo error {shown(one.behind_error)}"),
            "Expected regret": Shown(shown(one.regret)),
            "Worst regret": Shown(shown(one.worst_regret), f"under “{job.called(one.worst_variant)}”"),
        }
        for one in records(frame.head(_LINES))
    ]
    rules = found.rules
    [product] = rules.product
    dose = next((each.unit for each in job.case.products if each.name == product), "cells")
    sizes = listed([amount_text(each, dose) for each in rules.cells])
    allowed = (
        f"The case has no rules of a clinic, so that what was done to the patient is what is allowed: {sizes} of “{product}”, "
        f"{listed([f'{each:g}' for each in rules.doses])} doses, {listed([f'{each:g}' for each in rules.interval])} days apart, no more in "
        "all than was given; other products as given. “cellsim optimise” takes the rules of a clinic."
    )
    said = f"Of {len(found.candidates)} plans {len(frame)} cannot be told from the best; the simplest is “{frame['plan'].iloc[0]}”."
    certified = [
        f"{shown(one.eps)} {unit}".rstrip() + f" under “{job.called(one.variant)}”"
        for one in records(surely)
        if not one.alike
    ]
    bounds = [
        f"With a probability of {number(100 * found.probability)} % no other plan that was looked at is better than this one by more than "
        f"{listed(certified)}."
    ] * bool(certified)
    if same := [f"“{job.called(name)}”" for name in found.alike]:
        bounds.append(
            f"Under {listed(same)} plans cannot differ: no dose in which they differ reaches what is asked."
        )
    return (
        "<h3>Which plan is best under the patient's own rules?</h3>"
        + paragraphs([allowed, said], at=rows.file)
        + paragraphs(bounds, at=sure.file)
        + table(
            pd.DataFrame(lines),
            caption="Plans that cannot be told from the best, the simplest first",
            at=rows.places(range(len(lines))),
            stacked=True,
        )
    )


# ---- the next visit ---------------------------------------------------------------------------------

_ASKED = {"plan": "which plan is best", "variant": "which mechanism it is"}


def _visit(job: Job) -> str:
    found = job.visits
    if found is None:
        return ""
    import pandas as pd

    frame = found.table()
    rows = job.output.rows("tables/next_visit", frame, "What each day and panel is expected to tell")
    index = {
        (one.question, one.day, one.panel): k
        for k, one in enumerate(records(frame))
        if not one.variant and one.visit == 1 and not one.sample
    }
    lines, places, said = [], [], []
    coming, kept = found.only(stored=False), found.only(stored=True)
    for question in found.questions:
        ranked = coming.ranked(question)
        unit = found.about["unit"] if question == "plan" else "nats"
        best = ranked[0]
        if not coming.tells(question):
            said.append(f"No visit is expected to tell anything about {_ASKED[question]}.")
            continue
        ties = len(coming.ties(question))
        said.append(
            f"About {_ASKED[question]}: best is “{best.candidate.panel}” on day {best.candidate.day:g}; "
            + (
                f"{ties} of {len(ranked)} days and panels cannot be told from it."
                if ties > 1
                else "no other is as good."
            )
        )
        for each in ranked[:_LINES]:
            bracket = each.bracket
            share = f"{100 * bracket.lower / each.of:.0f} to {100 * bracket.upper / each.of:.0f} % of all there is" if each.of > 0 else ""  # fmt: skip
            lines.append(
                {
                    "Question": _ASKED[question],
                    "Day": Shown(f"{each.candidate.day:g}"),
                    "Panel": each.candidate.panel,
                    "Expected to tell": Shown(
                        f"{number(bracket.lower)} to {number(bracket.upper)} {unit}".rstrip(), share
                    ),
                }
            )
            places.append(index[question, each.candidate.day, each.candidate.panel])
    said += [_of_stored(job, kept, question) for question in found.questions if kept.candidates]
    said = [each for each in said if each]
    if not lines:
        return "<h3>Which next visit?</h3>" + paragraphs(said)
    about = (
        "About the plan: by how much the regret of choosing wrongly is expected to shrink. About the mechanism: information in nats. Every number is a "
        "bracket, whose ends are off to either side on average."
    )
    return (
        "<h3>Which next visit?</h3>"
        + paragraphs([*said, about], at=rows.file)
        + table(
            pd.DataFrame(lines),
            caption="Days and panels of a next visit, the best first for each question",
            at=rows.places(places),
            stacked=True,
        )
    )


def _of_stored(job: Job, kept: VisitPlan, question: str) -> str:
    """What a new assay of the serum of a visit would tell; empty where that is nothing."""
    best = kept.ranked(question)[0]
    if not best.bracket.lower > 2 * best.bracket.error:
        return ""
    names = {visit.id: visit.name or visit.id for visit in job.case.visits}
    unit = kept.about["unit"] if question == "plan" else "nats"
    return (
        f"About {_ASKED[question]}, if serum is stored: a new assay of “{best.candidate.panel}” in the sample “{names[best.candidate.sample]}” is expected to "
        f"tell {number(best.bracket.lower)} to {number(best.bracket.upper)} {unit}".rstrip()
        + ", at no visit."
    )


def what_next(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    moved = ""
    if job.explorer:
        moved = f"<p>{link(job.explorer, 'Move the doses yourself')}: the same model and draws, on a page that computes.</p>"
    body = [
        moved,
        job.output.part("Words on doses of one amount", lambda: other_doses(job)),
        job.output.said("Plans under own rules"),
        job.output.part("Words on the best plans", lambda: _best(job)),
        job.output.said("Next visit"),
        job.output.part("Words on the next visit", lambda: _visit(job)),
        job.output.said("Page that computes"),
    ]
    if not any(body):
        body = [paragraphs(["Nothing was asked of other plans or of a next visit yet."])]
    return section("next", "What next: which plan, and which visit?", *body)
