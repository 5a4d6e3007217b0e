"""The parts of a report about other schedules: one product against another, and what another plan would have done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cellsim.dosing.infusions import amounts_text
from cellsim.files import file_name, replaced
from cellsim.posterior.approximation import KINDS
from cellsim.predictions.plans import AS_GIVEN
from cellsim.report.page import details, link, paragraphs, section, table
from cellsim.report.products import (
    across_variants,
    contrast_table,
    contrast_words,
    persists_words,
    plan_table,
    plan_words,
    watched,
)
from cellsim.report.report_summary import listed, standing

if TYPE_CHECKING:
    from cellsim.case.outcomes import ReportQuestion
    from cellsim.predictions.sweep_result import Sweep
    from cellsim.report.steps import Job

__all__ = ["contrast", "days_answer", "persists_answer", "products_compared", "what_if"]


# ---- one product against another --------------------------------------------------------------------------


def contrast(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    question, first, second = _pair(job)
    if question is None:
        return section("contrast", "One product against another", paragraphs(["No question compares two."]))
    frame = contrast_table(ordered(job), first, second, question) if job.sweeps else None
    if frame is None or frame.empty:
        said = "Neither an outcome nor the amount of either product could be compared under any mechanism."
        return section("contrast", question.title, paragraphs([said]))
    from cellsim import plots

    file = job.output.csv(f"tables/{file_name(question.first)}_{file_name(question.second)}.csv", frame)
    removal = job.case.groups_of("rejection")
    return section(
        "contrast",
        question.title,
        paragraphs(
            [
                *persists_answer(job),
                f"The same days and amounts were given to every mechanism as “{first}” and as “{second}”."
                + " No claim about removal stands alone: mechanisms in which both products are removed alike, or differ in "
                "potency instead, stand beside it." * bool(removal),
                *contrast_words(frame, first, second, job.case, question, _trail(job)),
                _drawn_from(job),
            ]
        ),
        job.output.draw(
            "contrast",
            f"“{first}” minus “{second}” under every mechanism: median and 90 % of draws, the prior's hollow.",
            lambda: plots.contrast(ordered(job), first, second),
            alt="Difference between the products under every variant",
        ),
        table(
            frame,
            names={
                "low": "5 %",
                "high": "95 %",
                "above": "chance first is larger",
                "prior_difference": "prior: difference",
                "prior_above": "prior: chance",
            },
            file=file,
        ),
    )


def products_compared(job: Job) -> ReportQuestion | None:
    """The question that sets two products against each other, where a plan gives the one for the other."""
    question, _, _ = _pair(job)
    asked = {(each.measure, each.quantity) for result in job.sweeps.values() for each in result.asked}
    return question if not job.sweeps or asked & set(watched(job.case)) else None


def persists_answer(job: Job) -> list[str]:
    """What the claim owes to the prior, in the variant shown."""
    question, first, second = _pair(job)
    if job.main is None or question is None:
        return []
    return persists_words(job.source(job.main), job.sweeps.get(job.main), first, second, question)


def _pair(job: Job) -> tuple[ReportQuestion | None, str, str]:
    """The question between two products, and the two plans that give them."""
    for question in (each for each in job.case.questions if each.kind == "products"):
        for plan in (each for each in job.plans if each.other in (question.first, question.second)):
            return question, AS_GIVEN, plan.name
    return None, AS_GIVEN, ""


def _trail(job: Job) -> dict[str, float]:
    """ln evidence of every variant, less the best."""
    evidences = job.compared.evidences if job.fits else {}
    best = max(evidences.values(), default=0.0)
    return {name: each - best for name, each in evidences.items()}


def _drawn_from(job: Job) -> str:
    """Which mechanisms have draws, and which have not."""
    by: dict[str, list[str]] = {}
    for name in job.sweeps:
        by.setdefault(job.sweeps[name].approximation.name, []).append(name or job.case.name)
    sampled = [name for name in (KINDS["chains"], KINDS["collapsed"]) if name in by]
    said = [f"Draws of {listed(by.pop(name))} are from {name}." for name in sampled]
    said += [
        f"Draws of {listed(names)} are from {means}: good for a direction, not for a decimal."
        for means, names in by.items()
    ]
    return " ".join(said)


def ordered(job: Job) -> dict[str, Sweep]:
    """The sweeps, the variant shown in detail first."""
    names = sorted(job.sweeps, key=lambda name: name != job.main)
    return {name: job.sweeps[name] for name in names}


# ---- other schedules --------------------------------------------------------------------------------------


def days_answer(job: Job) -> list[str]:
    """Which plan leads, and whether that depends on the mechanism."""
    return across_variants(ordered(job))[1]


def what_if(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "What would other schedules have done?"
    if not job.plans:
        return section("what-if", title, paragraphs(["Nothing was given from day 0 on."]))
    import pandas as pd

    plans = pd.DataFrame(
        [
            {
                "plan": each.name,
                "doses": each.schedule.count,
                "given": amounts_text(each.schedule, each.schedule.products) or "nothing",
                "what it is": each.words,
            }
            for each in job.plans
        ]
    )
    head = table(plans, file="tables/plans.csv")
    failed = [job.output.said(f"Schedules under {name}") for name in job.fits]
    name = job.main if job.main in job.sweeps else next(iter(job.sweeps), None)
    if name is None:
        return section("what-if", title, head, *failed)
    from cellsim import plots
    from cellsim.plots.sweeps import course_text, default_course

    result = job.sweeps[name]

    def draws() -> None:
        with replaced(job.output.folder / f"tables/{file_name(name)}_draws.csv.gz") as place:
            result.draws().to_csv(place, index=False, lineterminator="\n")

    job.output.attempt("Draws", draws)
    ranking = days_answer(job)
    doubts = [f"Doubt: {each}" for each in result.approximation.doubts]
    shown = default_course(result)
    extra = "".join(
        job.output.draw(
            f"what_if_{file_name(outcome.id)}",
            f"The same for {course_text(job.case, outcome.course)}: {outcome.label}.",
            partial(plots.sweep, result, outcome.course),
            alt=f"{outcome.course} under every schedule",
        )
        for outcome in job.case.outcomes
        if outcome.course in result.curves and outcome.course != shown
    )
    return section(
        "what-if",
        title,
        paragraphs([*ranking, *plan_words(result), *doubts]),
        *failed,
        job.output.draw(
            "what_if",
            f"{course_text(job.case, shown)} under every schedule, and what is asked of it; filled: posterior, hollow: prior.",
            lambda: plots.sweep(result),
            alt="Time courses and measures of every schedule",
        ),
        "<h3>The plans</h3>",
        paragraphs(
            [
                f"Every plan follows the same history and is looked at until day {job.until:g}, with {job.draws} draws of "
                f"{job.label(name)} from {result.approximation.name} and as many of its prior. "
                f"{standing(name, job.compared)}"
                + " The block spreads the whole amount over consecutive days, because one dose of that size was never given."
                * any(each.name.startswith("block") for each in job.plans)
            ]
        ),
        head,
        details(
            "Every measure of every schedule",
            table(
                plan_table(result),
                names={
                    "low": "5 %",
                    "high": "95 %",
                    "prior_estimate": "prior",
                    "prior_low": "prior 5 %",
                    "prior_high": "prior 95 %",
                },
                file=f"tables/{file_name(name)}_what_if.csv",
            ),
        ),
        extra,
        _across(job),
        f'<p class="quiet">{link(f"tables/{file_name(name)}_contrasts.csv", "Every pair of schedules")}, '
        f"{link(f'tables/{file_name(name)}_draws.csv.gz', 'every draw')}.</p>",
    )


def _across(job: Job) -> str:
    by_variant, _ = across_variants(ordered(job))
    outcome = next(iter(job.case.outcomes), None)
    if by_variant.empty or outcome is None or len(job.sweeps) < 2:
        return ""
    file = job.output.csv("tables/outcome_by_variant.csv", by_variant)
    return "".join(
        [
            "<h3>Does the answer depend on the mechanism?</h3>",
            paragraphs(
                [
                    f"{outcome.label[:1].upper()}{outcome.label[1:]}, posterior median, under every mechanism. "
                    + _drawn_from(job)
                ]
            ),
            table(by_variant, file=file),
        ]
    )
