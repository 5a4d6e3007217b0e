"""What every day and panel of a visit still to come, or a new assay of a stored sample, is expected to tell: the result, its table and its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.design.information import Bracket
from cellsim.errors import CellsimError, did_you_mean
from cellsim.posterior.approximation import Approximation
from cellsim.results import html_fragment

if TYPE_CHECKING:
    import pandas as pd

    from cellsim.case.case import Case

__all__ = ["QUESTIONS", "Candidate", "Finding", "VisitPlan"]

QUESTIONS = ("plan", "variant", "parameter", "prediction", "everything")
"""What can be asked: which plan is best, which mechanism it is, a parameter, a later value, all parameters at once."""

_MEANING = {
    "plan": "expected regret removed",
    "variant": "expected information about the mechanism (nats)",
    "parameter": "share of the variance removed",
    "prediction": "share of the variance removed",
    "everything": "expected information about all parameters (nats)",
}
_SHOWN = 5


@dataclass(frozen=True, order=True)
class Candidate:
    """A visit that may be made, or a new assay of a sample that is stored.

    Attributes
    ----------
    day : float
        Of a stored sample the nominal one; each draw has its own.
    panel : str
    cost : float or None
        In the unit in which costs were given.
    sample : str
        Of a stored sample: the visit at which it was drawn; empty of a visit still to come.
    """

    day: float
    panel: str
    cost: float | None = None
    sample: str = ""

    @property
    def words(self) -> str:
        """``day 280, blood``, or ``stored sample week12 (day 84), blood``."""
        when = f"day {self.day:g}"
        return f"{f'stored sample {self.sample} ({when})' if self.sample else when}, {self.panel}"


@dataclass(frozen=True)
class Finding:
    """What one candidate tells about one question.

    Attributes
    ----------
    visit : int
        1 for the first to be made; each later one is judged together with those chosen before it.
    candidate : Candidate
    question : str
        One of :data:`QUESTIONS`.
    variant : str
        Under which; empty for the average over all by their evidence.
    bracket : Bracket
        For a plan: the expected regret removed, in the unit of the outcome. For a parameter or a prediction: the share of the variance
        of its normal score that is removed. Otherwise information, in nats.
    of : float
        All that could be told: the regret as things stand, the entropy of the variants, 1 of a share; nan where there is no such number.
    """

    visit: int
    candidate: Candidate
    question: str
    variant: str
    bracket: Bracket
    of: float


@dataclass(frozen=True, eq=False)
class VisitPlan:
    """Days and panels of the next visit, judged by what they are expected to tell.

    Made by :func:`cellsim.plan_visits`.

    Attributes
    ----------
    case : Case
    variants : tuple of str
        Averaged over; empty for one alone.
    questions : tuple of str
        As asked, the first deciding the order.
    about : mapping of str to str
        By question: what it is about; ``"unit"`` is that of the outcome.
    candidates : tuple of Candidate
    findings : tuple of Finding
    draws : int
    effective : float
        Draws these are worth.
    approximation : Approximation
        What the draws rest on, with every doubt.
    """

    case: Case
    variants: tuple[str, ...]
    questions: tuple[str, ...]
    about: Mapping[str, str]
    candidates: tuple[Candidate, ...]
    findings: tuple[Finding, ...]
    draws: int
    effective: float
    approximation: Approximation

    @property
    def label(self) -> str:
        """What must stand beside every number."""
        return self.case.label

    def only(self, *, stored: bool) -> VisitPlan:
        """The same of new assays of stored samples alone, or of visits still to come alone.

        Parameters
        ----------
        stored : bool
        """
        return replace(
            self,
            candidates=tuple(each for each in self.candidates if bool(each.sample) == stored),
            findings=tuple(each for each in self.findings if bool(each.candidate.sample) == stored),
        )

    def ranked(self, question: str | None = None, *, visit: int = 1) -> tuple[Finding, ...]:
        """Candidates of one visit by the middle of their brackets, the best first.

        Parameters
        ----------
        question : str, optional
            The first that was asked by default.
        visit : int

        Raises
        ------
        CellsimError
            For a question that was not asked.
        """
        question = self.questions[0] if question is None else question
        if question not in self.questions:
            raise CellsimError(f"{question!r} was not asked. {did_you_mean(question, self.questions)}")
        found = [
            each
            for each in self.findings
            if each.question == question and each.visit == visit and not each.variant
        ]
        return tuple(sorted(found, key=lambda each: -each.bracket.middle))

    def tells(self, question: str | None = None) -> bool:
        """Whether the best candidate of the next visit is expected to tell anything, by more than two of its errors; as :meth:`ranked`."""
        best = self.ranked(question)[0].bracket
        return bool(best.upper > 2 * best.error)

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        """The best candidate of each visit, by the first question."""
        count = max(each.visit for each in self.findings)
        return tuple(self.ranked(visit=visit)[0].candidate for visit in range(1, count + 1))

    def ties(self, question: str | None = None, *, visit: int = 1) -> tuple[Candidate, ...]:
        """The best, and all whose bracket reaches that of the best within two standard errors of the difference, draw by draw."""
        first, *others = self.ranked(question, visit=visit)
        tied = [first.candidate]
        for each in others:
            apart, error = first.bracket.apart(each.bracket)
            if apart <= 2 * error:
                tied.append(each.candidate)
        return tuple(tied)

    def table(self) -> pd.DataFrame:
        """One row a visit, question, candidate and variant.

        Returns
        -------
        DataFrame
            Columns visit, question, about, day, panel, sample (the visit at which a stored sample was drawn, empty of a visit still to come), variant (empty for the average), lower, upper, error, unit, of (all that
            could be told), share (middle of the bracket over that), tie (whether it cannot be told from the best), cost,
            per_cost (middle over cost), meaning, approximation, doubts. See :class:`Finding`.
        """
        import pandas as pd

        tied = {
            (question, visit): self.ties(question, visit=visit)
            for question in self.questions
            for visit in {each.visit for each in self.findings}
        }
        rows = []
        for each in self.findings:
            candidate, bracket = each.candidate, each.bracket
            share = bracket.middle / each.of if each.of > 0 else (0.0 if each.of == 0 else np.nan)
            rows.append(
                {
                    "visit": each.visit,
                    "question": each.question,
                    "about": self.about[each.question],
                    "day": candidate.day,
                    "panel": candidate.panel,
                    "sample": candidate.sample,
                    "variant": each.variant,
                    "lower": bracket.lower,
                    "upper": bracket.upper,
                    "error": bracket.error,
                    "unit": self._unit(each.question),
                    "of": each.of,
                    "share": share,
                    "tie": not each.variant and candidate in tied[each.question, each.visit],
                    "cost": np.nan if candidate.cost is None else candidate.cost,
                    "per_cost": np.nan if candidate.cost is None else bracket.middle / candidate.cost,
                    "meaning": _MEANING[each.question],
                }
            )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

    def _unit(self, question: str) -> str:
        if question == "plan":
            return self.about["unit"]
        return "1" if question in ("parameter", "prediction") else "nat"

    def report(self) -> str:
        """The answer as text: by question the best days and panels with their brackets, what ties with them, and doubts."""
        lines = [
            f"Next visit of {self.case.name}"
            + (f", averaged over {', '.join(self.variants)} by their evidence" if self.variants else ""),
            self.label,
            "",
        ]
        for question in self.questions:
            lines += self._of_question(question)
        if len(self.chosen) > 1:
            lines += [
                "Visits one after the other: " + "; ".join(each.words for each in self.chosen) + ".",
                "",
            ]
        lines.append(f"{self.draws} draws, worth {self.effective:.0f} of equal weight.")
        return "\n".join([*lines, *self.approximation.lines])

    def _of_question(self, question: str) -> list[str]:
        ranked = self.ranked(question)
        unit = self._unit(question).replace("1", "") if question != "plan" else self.about["unit"]
        about = f": {self.about[question]}" if self.about[question] else ""
        lines = [f"Question: {question}{about} ({_MEANING[question]})"]
        best = ranked[0]
        if np.isfinite(best.of) and question in ("plan", "variant"):
            what = "regret as things stand" if question == "plan" else "entropy of the variants"
            lines.append(f"  {what}: {best.of:.3g} {unit or 'nat'}".rstrip())
        for each in ranked[:_SHOWN]:
            bracket = each.bracket
            share = (
                f", {100 * bracket.lower / each.of:.0f} to {100 * bracket.upper / each.of:.0f} % of it"
                if question in ("plan", "variant") and each.of > 0
                else ""
            )
            lines.append(
                f"  {each.candidate.words}: {bracket.lower:.3g} to {bracket.upper:.3g} {unit}".rstrip()
                + share
            )
        tied = self.ties(question)
        if not self.tells(question):
            lines.append("  None of these visits is expected to tell anything about it.")
        elif len(tied) > 1:
            lines.append(f"  {len(tied)} of {len(ranked)} cannot be told from the best.")
        return [*lines, ""]

    def _repr_html_(self) -> str:
        table = self.table()
        shown = table[(table["variant"] == "") & (table["visit"] == 1)].sort_values(
            ["question", "share"], ascending=[True, False]
        )
        columns = [
            "question",
            "about",
            "day",
            "panel",
            *(["sample"] if any(each.sample for each in self.candidates) else []),
            "lower",
            "upper",
            "unit",
            "share",
            "tie",
        ]
        return html_fragment(
            [f"Next visit of {self.case.name}", self.label, *self.approximation.lines],
            shown[columns].round(3),
        )

    def __repr__(self) -> str:
        first = self.chosen[0]
        return (
            f"<VisitPlan of {self.case.name}: {len(self.candidates)} days and panels, {', '.join(self.questions)}; best: "
            f"{first.words}; {self.approximation.label}>"
        )
