"""The part of a report that answers what would change its conclusions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellsim.comparison.robust_words import sentences
from cellsim.comparison.verdicts import NORMAL_OFF
from cellsim.report.page import details, paragraphs, section, table
from cellsim.report.report_words import listed, records

if TYPE_CHECKING:
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.report.steps import Job

__all__ = ["change_words", "changes"]

# conclusions with more changes than this are named by their number only
_NAMED = 3


def changes(job: Job) -> tuple[str, str, str]:
    """The section, from whatever is there."""
    title = "What would change it?"
    failed = job.desk.said("Robustness")
    found = job.robustness
    if found is None:
        why = "Left out as asked." if "robustness" in job.without else "The conclusions were not drawn again."
        return section("robustness", title, failed, paragraphs([] if failed else [why]))
    if not found.conclusions:
        why = "The model and the variants of this case lead to no conclusion that could be drawn again."
        return section("robustness", title, failed, paragraphs([why, *found.left_out]))
    from cellsim import plots

    asked = found.questions()
    file = job.desk.csv("tables/conclusions.csv", asked)
    return section(
        "robustness",
        title,
        paragraphs(
            [
                f"Every conclusion was drawn again under {len(found.rows) - 1} alterations, each of one thing that is not "
                f"known or might have been otherwise: for each of {listed(list(found.variants))} the normal law nearest to its "
                "posterior was found again, with unknown sampling days integrated out. Its evidences were seen to be up to "
                f"{NORMAL_OFF:g} nats off; what lies nearer to its threshold than that is called open. "
                "Leads of two lines that differ by a few tenths of a nat are the same.",
                *change_words(found),
            ]
        ),
        table(
            asked.drop(columns="margin"),
            names={"value": "as it stands", "changes": "alterations that change it", "asked": "of"},
            file=file,
        ),
        job.desk.draw(
            "robustness",
            "Every conclusion (columns, with its threshold) under every alteration (lines); coloured where another "
            "conclusion follows than from the case as it stands.",
            lambda: plots.robustness(found),
            alt="Table of conclusions under alterations",
        ),
        details("Each conclusion in full", paragraphs(sentences(found))),
    )


def change_words(found: Robustness) -> list[str]:
    """What nothing changes, and what changes the rest."""
    asked = found.questions()
    asked = asked[asked["asked"] > 0]
    firm = asked[asked["changes"] == 0]
    said = []
    if not firm.empty:
        said.append(f"Changed by nothing: {'; '.join(firm['says'])}.")
    flips = found.flips()
    for one in records(asked[asked["changes"] > 0]):
        names = list(flips["name"][flips["conclusion"] == one.conclusion])
        which = listed(names) if len(names) <= _NAMED else f"{one.changes} of {one.asked} alterations"
        advice = ". Nothing should rest on it" if one.changes > one.asked / 3 else ""
        said.append(f"“{one.says[0].upper()}{one.says[1:]}” changes with this altered: {which}{advice}.")
    return said
