"""The parts of a report about other schedules: own cells against donor cells, and what another plan would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellsim.dosing.infusions import cells_text
from cellsim.files import file_name, replaced
from cellsim.predictions.plans import AS_GIVEN
from cellsim.report.chains import plans_apart
from cellsim.report.page import details, link, paragraphs, section, table
from cellsim.report.products import (
    WATCHED,
    across_variants,
    contrast_table,
    contrast_words,
    persists_words,
    plan_table,
    plan_words,
)
from cellsim.report.report_summary import listed, standing

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.predictions.sweeps import Sweep
    from cellsim.report.steps import Job

__all__ = ["contrast", "days_answer", "persists_answer", "sources_compared", "what_if"]


# ---- own cells against donor cells ------------------------------------------------------------------------


def contrast(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "Do the patient's own cells persist longer, and who says so?"
    frame, first, second = _pair(job)
    if frame.empty:
        said = "Neither days of disease nor viable cells could be compared under any mechanism."
        return section("contrast", title, paragraphs([said]))
    from cellsim import plots

    file = job.output.csv("tables/autologous_allogeneic.csv", frame)
    return section(
        "contrast",
        title,
        paragraphs(
            [
                *persists_answer(job),
                f"The same days and cells were given to every mechanism as “{first}” and as “{second}”. No claim "
                "about clearance stands alone: mechanisms in which cells of the two sources are cleared alike, or "
                "differ in potency instead, stand beside it.",
                *contrast_words(frame, first, second, _trail(job)),
                _drawn_from(job),
            ]
        ),
        job.output.draw(
            "contrast",
            f"“{first}” minus “{second}” under every mechanism: median and 90 % of draws, the prior's hollow.",
            lambda: plots.contrast(ordered(job), first, second),
            alt="Difference between the sources under every variant",
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


def sources_compared(job: Job) -> bool:
    """Whether the case has two sources of cells and its model tells what is compared between them."""
    _, _, second = _pair(job)
    watched = {quantity for _, quantity in WATCHED}
    asked = {each.quantity for result in job.sweeps.values() for each in result.asked}
    return bool(second) and (not job.sweeps or bool(asked & watched))


def persists_answer(job: Job) -> list[str]:
    """What "own cells persist longer" owes to the prior, in the variant shown."""
    _, first, second = _pair(job)
    if job.main is None or not second:
        return []
    return persists_words(job.source(job.main), job.sweeps.get(job.main), first, second)


def _pair(job: Job) -> tuple[pd.DataFrame, str, str]:
    """The table of autologous against allogeneic, and the two plans' names."""
    import pandas as pd

    other = next((each.name for each in job.plans if each.name.startswith("same days and cells")), "")
    if not other or not job.sweeps:
        return pd.DataFrame(), AS_GIVEN, other
    return contrast_table(ordered(job), AS_GIVEN, other), AS_GIVEN, other


def _trail(job: Job) -> dict[str, float]:
    """ln evidence of every variant, less the best."""
    evidences = job.compared.evidences if job.fits else {}
    best = max(evidences.values(), default=0.0)
    return {name: each - best for name, each in evidences.items()}


def _drawn_from(job: Job) -> str:
    """Which mechanisms are drawn from chains, and which are not."""
    by: dict[str, list[str]] = {}
    for name in job.sweeps:
        by.setdefault(job.sweeps[name].approximation.name, []).append(name or job.case.name)
    said = [f"Draws of {listed(by.pop('chains'))} are from chains."] if "chains" in by else []
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
                "infusions": each.schedule.count,
                "total cells": cells_text(each.schedule.total()),
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

    result = job.sweeps[name]

    def draws() -> None:
        with replaced(job.output.folder / f"tables/{file_name(name)}_draws.csv.gz") as place:
            result.draws().to_csv(place, index=False, lineterminator="\n")

    job.output.attempt("Draws", draws)
    ranking = days_answer(job)
    doubts = [f"Doubt: {each}" for each in result.approximation.doubts]
    extra = ""
    if "load of cytokines" in result.curves:
        extra = job.output.draw(
            "what_if_cytokines",
            "The same for the load of cytokines: the geometric mean of value over upper reference limit.",
            lambda: plots.sweep(result, "load of cytokines"),
            alt="Cytokine load under every schedule",
        )
    return section(
        "what-if",
        title,
        paragraphs([*ranking, *plan_words(result), *doubts]),
        *failed,
        job.output.draw(
            "what_if",
            f"{'Disease drive' if 'D' in result.curves else next(iter(result.curves), '')} under every schedule, and what is "
            "asked of it; filled: posterior, hollow: prior.",
            lambda: plots.sweep(result),
            alt="Time courses and measures of every schedule",
        ),
        "<h3>The plans</h3>",
        paragraphs(
            [
                f"Every plan follows the same history and is looked at until day {job.until:g}, with {job.draws} draws of "
                f"{job.label(name)} from {result.approximation.name} and as many of its prior. "
                f"{standing(name, job.compared)}"
                + " The block spreads the whole amount over consecutive days, because one bag of that size was never given."
                * any(each.name.startswith("block") for each in job.plans)
            ]
        ),
        head,
        _before_chains(job, name),
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


def _before_chains(job: Job, name: str) -> str:
    """The same days by chains and by what there was before them, where both are there."""
    if name not in job.before_chains:
        return ""
    frame = plans_apart(job.sweeps[name], job.before_chains[name])
    if frame.empty:
        return ""
    means = job.before_chains[name].approximation.name
    file = job.output.csv(f"tables/{file_name(name)}_days_before_chains.csv", frame)
    return details(
        f"The same by {means}, beside the chains: days with the disease drive below one half",
        table(frame, names={"other": f"by {means}", "chains": "by chains"}, file=file),
    )


def _across(job: Job) -> str:
    by_variant, _ = across_variants(ordered(job))
    if by_variant.empty:
        return ""
    file = job.output.csv("tables/days_by_variant.csv", by_variant)
    return "".join(
        [
            "<h3>Does the answer depend on the mechanism?</h3>",
            paragraphs(
                [
                    "Days with the disease drive below one half, posterior median, under every mechanism. "
                    + _drawn_from(job)
                ]
            ),
            table(by_variant, file=file),
        ]
    )
