"""The pages of a report: the first screen, a page for each question, the details folded; and the first screen alone on one sheet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cellsim.report.background import background
from cellsim.report.data_driven import learned
from cellsim.report.elements import section
from cellsim.report.first_screen import first_screen
from cellsim.report.fit import fitted
from cellsim.report.mechanisms import changes, variants_compared
from cellsim.report.page import page
from cellsim.report.planning import what_next

if TYPE_CHECKING:
    from cellsim.report.steps import Job

__all__ = ["INDEX", "SUMMARY", "pages_of", "write_pages"]

INDEX, SUMMARY = "index.html", "summary.html"

_LINK = re.compile(r"</?a\b[^>]*>")

# what the contents call each section, by its anchor
_BRIEF = {
    "first": "Summary",
    "fit": "Fit",
    "learned": "What was learned",
    "variants": "Mechanisms compared",
    "next": "What next",
    "robustness": "What would change it",
    "details": "Details",
}


def pages_of(job: Job, seconds: Mapping[str, float]) -> dict[str, str]:
    """The pages, from whatever is there.

    Parameters
    ----------
    job : Job
        With its results; those that are missing are said to be.
    seconds : mapping of str to float
        How long each step took.

    Returns
    -------
    dict of str to str
        By file: the whole, and its first screen alone, to be printed on one sheet or sent to somebody; nothing in that leads elsewhere.
    """
    kinds: dict[str, Callable[[], tuple[str, str, str]]] = {
        "fit": lambda: fitted(job),
        "learned": lambda: learned(job),
        "variants": lambda: variants_compared(job),
        "next": lambda: what_next(job),
        "robustness": lambda: changes(job),
        "details": lambda: background(job, seconds),
        # last: it tells of failures in the others too
        "first": lambda: first_screen(job),
    }
    made = {anchor: _whole(job, anchor, make) for anchor, make in kinds.items()}
    sections = [(anchor, _BRIEF[anchor], made[anchor][2]) for anchor in _BRIEF]
    alone = [("first", _BRIEF["first"], _LINK.sub("", made["first"][2]))]
    title, label = f"{job.case.name}: report", job.case.label
    return {INDEX: page(title, label, sections), SUMMARY: page(title, label, alone, contents=False)}


def write_pages(job: Job, seconds: Mapping[str, float]) -> str:
    """Write them; the name of the first."""
    for name, content in pages_of(job, seconds).items():
        job.output.put(name, content)
    return INDEX


def _whole(job: Job, anchor: str, make: Callable[[], tuple[str, str, str]]) -> tuple[str, str, str]:
    """A section; where it cannot be made, that is said in its place and the others still stand."""
    what = f"Section {_BRIEF[anchor]}"
    made = job.output.attempt(what, make)
    return section(anchor, _BRIEF[anchor], job.output.said(what)) if made is None else made
