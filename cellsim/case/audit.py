"""A case as a page to read before anything is computed: what is scored, what is not, and every doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from cellsim.case.outcomes import ASKED_TABLES
from cellsim.case.records import SCORED, STATUSES, PriorRow
from cellsim.dates import date_of
from cellsim.dosing.infusions import dose_noun
from cellsim.results import html_fragment

if TYPE_CHECKING:
    from cellsim.case.case import Case
    from cellsim.errors import Problem

__all__ = ["audit", "case_html"]

_WIDTH = 100
_MARKS = {"V": "verified in a published source", "M": "general knowledge", "A": "assumption of ours"}


def audit(case: Case, problems: Sequence[Problem] | None = None) -> str:
    """The truth audit of a case: a plain text page.

    Parameters
    ----------
    case : Case
        The case.
    problems : sequence of Problem, optional
        What :func:`cellsim.check` found; what tables and model alone can tell by default.

    Returns
    -------
    str
        Lines of at most about 100 characters.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> print(audit(load_case("sjogren_rfib")).splitlines()[0])
    Case sjogren_rfib: 28 analytes, 3 visits, 82 scored laboratory values, 22 infusions
    """
    return "\n".join(_lines(case, case.check() if problems is None else problems)) + "\n"


def _lines(case: Case, problems: Sequence[Problem]) -> Iterator[str]:
    short = [row for row in case.censored if row.scored]
    counted = len(case.rows) + len(short)
    yield (
        f"Case {case.name}: {len(case.analytes)} analytes, {len(case.visits)} visits, "
        f"{counted} scored laboratory values, {case.timeline.count} {dose_noun(case.timeline, case.products)}s"
    )
    wrong = [problem for problem in problems if problem.severity == "error"]
    if wrong:
        yield from _title("Problems")
        yield from (line for problem in wrong for line in _item(str(problem)))

    yield from _title("Treatment")
    if case.day_zero is not None:
        begin = date_of(case.start, case.day_zero)
        yield f"Day 0 is {case.day_zero}; the simulation starts on day {case.start:g} ({begin})."
    for label, schedule in (("before day 0", case.history), ("from day 0 on", case.schedule)):
        yield f"{label}:"
        yield from (line for each in str(schedule).splitlines() for line in _item(each))

    known = all(visit.earliest == visit.latest for visit in case.visits)
    uncertain = "" if known else " (a day that is uncertain is estimated within its window)"
    yield from _title(f"Visits{uncertain}")
    width = max((len(each.id) for each in case.visits), default=0)
    for visit in case.visits:
        taken = [row.visit for row in case.rows] + [row.visit for row in short]
        yield (
            f"  {visit.id:<{width}}  day {visit.nominal:g}"
            + f", between {visit.earliest:g} and {visit.latest:g}" * (visit.earliest < visit.latest)
            + f"; {taken.count(visit.id)} scored values"
        )
        yield from wrap(visit.source, _WIDTH, initial_indent="      ", subsequent_indent="      ")

    if case.table1:
        yield from _title(f"The printed table: {len(case.table1)} cells, {_shape(case)}")
        states = Counter(cell.status for cell in case.table1)
        for status, meaning in STATUSES.items():
            if states[status]:
                scored = (
                    "scored"
                    if status in SCORED
                    else "scored as a limit"
                    if status == "censored"
                    else "not scored"
                )
                yield f"  {states[status]:>3}  {status:<14} {scored}; {meaning}"
        yield f"  {counted} are scored: {len(case.rows)} as numbers, {len(short)} as limits."

    yield from _title("Scored")
    yield from _values(case)

    left = [cell for cell in case.table1 if cell.status not in (*SCORED, "censored")]
    if left or not all(grade.scored for grade in case.grades):
        yield from _title("Kept, and not scored")
    for cell in left:
        said = "" if cell.value is None else f" {cell.printed}"
        yield from _item(f"{cell.analyte} at {cell.visit}{said}: {cell.status}, {STATUSES[cell.status]}.")
    for grade in case.grades:
        if not grade.scored:
            why = (
                "before the simulation starts"
                if grade.day < case.start
                else "no part of the model predicts it"
            )
            yield from _item(
                f"{grade.observable}, {grade.calendar or f'day {grade.day:g}'}: {_grades(grade.lower, grade.upper)}; {why}."
            )

    if any(grade.scored for grade in case.grades):
        yield from _title("Scored as grades between two limits")
        for grade in case.grades:
            if grade.scored:
                seen = f"{grade.observable}, day {grade.day:g}" + f" ({grade.calendar})" * bool(
                    grade.calendar
                )
                yield from _item(f'{seen}: {_grades(grade.lower, grade.upper)}, "{grade.text}"')

    yield from _title("What is believed beforehand")
    yield from _beliefs(case.priors)
    if case.variants:
        yield f"  {len(case.variants)} variants of the mechanism:"
        for variant in case.variants:
            named = f"{variant.id} ({variant.name})" if variant.name else variant.id
            yield from _item(f"{named}: {variant.meaning}{' The default.' if variant.default else ''}")

    if case.alternatives:
        yield from _title("What may have been otherwise")
        for alternative in case.alternatives:
            why = f"; {alternative.source}" if alternative.source else ""
            yield from _item(f"{alternative.id}: {alternative.name}{why}.")

    if missing := {file: what for file, what in ASKED_TABLES.items() if file not in case.files}:
        yield from _title("Not asked")
        for file, what in missing.items():
            yield from _item(f"There is no {file}: a report does without {what}.")

    doubts = [problem for problem in problems if problem.severity != "error"]
    yield from _title(f"Doubts ({len(doubts)})")
    for problem in doubts:
        yield from _item(str(problem))


def _title(text: str) -> Iterator[str]:
    yield from ("", text, "-" * len(text))


def _item(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="      ", break_long_words=False)


def _shape(case: Case) -> str:
    rows = {cell.analyte for cell in case.table1}
    columns = {cell.visit for cell in case.table1}
    return f"{len(rows)} rows at {len(columns)} visits"


def _grades(lower: int, upper: int) -> str:
    return f"grade {lower}" if lower == upper else f"grade {lower} to {upper}"


def _values(case: Case) -> Iterator[str]:
    """One line an analyte: the values at the visits, the ones out of range starred, and the range."""
    shown: dict[tuple[str, str], list[str]] = {}
    for row in case.rows:
        star = "" if case.analyte(row.analyte).in_range(row.value) else "*"
        shown.setdefault((row.analyte, row.visit), []).append(f"{row.value:g}{star}")
    for short in case.censored:
        said = f"{'<' if short.censoring == 'left' else '>'}{short.limit:g}"
        shown.setdefault((short.analyte, short.visit), []).append(said)
    # several assays of one analyte at one visit stand side by side
    text = {key: ", ".join(each) for key, each in shown.items()}
    name = max((len(each.name) for each in case.analytes), default=0)
    unit = max((len(each.unit) for each in case.analytes), default=0)
    wide = [
        max(len(visit.id), *(len(each) for (_, when), each in text.items() if when == visit.id), 0)
        for visit in case.visits
    ]
    head = "  ".join(f"{visit.id:>{size}}" for visit, size in zip(case.visits, wide))
    yield f"  {'':<{name}}  {'':<{unit}}  {head}  reference range (* outside; ? doubtful)"
    for panel in dict.fromkeys(each.panel for each in case.analytes):
        for each in case.analytes:
            if each.panel == panel:
                cells = "  ".join(
                    f"{text.get((each.id, visit.id), '-'):>{size}}" for visit, size in zip(case.visits, wide)
                )
                limits = each.range_text + (" ?" if each.reference_doubt else "")
                yield f"  {each.name:<{name}}  {each.unit:<{unit}}  {cells}  {limits}".rstrip()


def _beliefs(priors: Iterable[PriorRow]) -> Iterator[str]:
    rows = list(priors)
    free = [each for each in rows if each.estimate]
    beside = sum(not each.standard for each in free)
    yield (
        f"  {len(rows)} parameters: {len(free)} with a prior ({beside} of them beside the PEtab problem), "
        "the rest fixed."
    )
    marks = Counter(each.mark for each in rows)
    for mark, meaning in _MARKS.items():
        yield f"  {marks[mark]:>3}  {mark}  {meaning}"


def case_html(case: Case) -> str:
    """The case as a notebook shows it: what it is, how many doubts it has, its values by visit."""
    import pandas as pd

    doubts = sum(each.severity == "doubt" for each in case.check())
    said = [
        repr(case).strip("<>"),
        case.label,
        *str(case.timeline).splitlines(),
        f"{doubts} doubts; case.audit() is the whole page.",
    ]
    values = {(each.analyte, each.visit): f"{each.value:g}" for each in case.rows}
    values |= {
        (each.analyte, each.visit): f"{'<' if each.censoring == 'left' else '>'}{each.limit:g}"
        for each in case.censored
    }
    rows = [
        {
            "analyte": each.name, "unit": each.unit, "reference range": each.range_text,
            **{f"{visit.name} (day {visit.nominal:g})": values.get((each.id, visit.id), "") for visit in case.visits},
        }
        for each in case.analytes
    ]  # fmt: skip
    return html_fragment(said, pd.DataFrame(rows))
